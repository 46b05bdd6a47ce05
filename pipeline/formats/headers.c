#include "formats/headers.h"

#include "base/path.h"
#include "formats/format.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

/* What a path was like. Finer than a file_stamp: nothing but looking again depends on it. */
struct seen {
    const char *path;
    int there;
    int64_t inode, size_bytes, mtime_ns, ctime_ns;
};

/* The path, its folder, config.json, the file by which a folder is opened and the folder that is in, a base,
 * and the config.json that was read. */
enum { MAX_PLACES = 8 };

struct header {
    const char *path, *name; /* name: choice_name */
    struct choice choice;
    struct arena arena; /* of what follows */
    struct checkpoint checkpoint;
    int is_open, users;
    int64_t round; /* in which it was last looked at */
    size_t bytes;
    int nplaces;
    struct seen places[MAX_PLACES];
    struct seen *files; /* parallel to the checkpoint's */
};

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct seen look(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct seen){.path = path};
    return (struct seen){.path = path,
                         .there = 1,
                         .inode = (int64_t)st.st_ino,
                         .size_bytes = (int64_t)st.st_size,
                         .mtime_ns = nanoseconds(st.st_mtim),
                         .ctime_ns = nanoseconds(st.st_ctim)};
}

static int is_as_seen(const struct seen *then)
{
    const struct seen now = look(then->path);
    return now.there == then->there && now.inode == then->inode && now.size_bytes == then->size_bytes &&
           now.mtime_ns == then->mtime_ns && now.ctime_ns == then->ctime_ns;
}

/* Looks at what decides, before the checkpoint is opened: what changes meanwhile is noticed in the next
 * round. */
static err_t look_at_places(struct header *x, struct err *e)
{
    struct stat st;
    const struct format *format;
    char name[PATH_MAX];
    x->nplaces = 0;
    x->places[x->nplaces++] = look(x->path);
    int is_folder = stat(x->path, &st) == 0 && S_ISDIR(st.st_mode);
    const char *folder = is_folder ? x->path : path_dir(&x->arena, x->path, e);
    const char *config = folder ? path_join(&x->arena, folder, "config.json", e) : NULL;
    if (!config)
        return e->code;
    if (!is_folder)
        x->places[x->nplaces++] = look(folder);
    if (x->choice.base)
        x->places[x->nplaces++] = look(x->choice.base);
    x->places[x->nplaces++] = look(config);
    if (!is_folder || format_look(folder, &format, name, sizeof name) == FORMAT_NONE)
        return ERR_OK;
    const char *opened_by = path_join(&x->arena, folder, name, e);
    if (!opened_by)
        return e->code;
    x->places[x->nplaces++] = look(opened_by);
    if (strchr(name, '/') && (folder = path_dir(&x->arena, opened_by, e)))
        x->places[x->nplaces++] = look(folder);
    return e->code;
}

/* The config.json that was read, where it is not the folder's own. */
static void look_at_config(struct header *x)
{
    const char *path = x->checkpoint.config.path;
    for (int i = 0; path && i < x->nplaces; i++)
        if (strcmp(x->places[i].path, path) == 0)
            path = NULL;
    if (path)
        x->places[x->nplaces++] = look(path);
}

/* A file that was replaced while its header was read is not as the checkpoint has it: what was seen of it
 * matches nothing then. */
static err_t look_at_files(struct header *x, struct err *e)
{
    const struct checkpoint *c = &x->checkpoint;
    TRY(arena_array(&x->arena, "headers.files", c->nfiles, &x->files, e));
    for (int64_t i = 0; i < c->nfiles; i++) {
        x->files[i] = look(c->files[i].path);
        if (x->files[i].size_bytes != c->files[i].size_bytes || x->files[i].mtime_ns != c->files[i].mtime_ns)
            x->files[i].inode = -1;
    }
    return ERR_OK;
}

static int is_unchanged(const struct header *x)
{
    for (int i = 0; i < x->nplaces; i++)
        if (!is_as_seen(&x->places[i]))
            return 0;
    for (int64_t i = 0; i < x->checkpoint.nfiles; i++)
        if (!is_as_seen(&x->files[i]))
            return 0;
    return 1;
}

static void drop(struct headers *h, struct header *x)
{
    arena_release(&x->arena);
    h->bytes -= x->bytes;
    x->bytes = 0;
    x->is_open = 0;
}

/* Gives back about `bytes`, the longest held first. Returns how many. */
static size_t give(void *arg, size_t bytes)
{
    struct headers *h = arg;
    size_t given = 0;
    for (int64_t i = 0; i < h->n && given < bytes && h->bytes > 0; i++) {
        struct header *x = h->list[h->hand];
        h->hand = (h->hand + 1) % h->n;
        if (!x->is_open || x->users > 0)
            continue;
        given += x->bytes;
        drop(h, x);
    }
    return given;
}

void headers_init(struct headers *h, struct mem *m)
{
    *h = (struct headers){.giver = {.give = give, .arg = h}, .round = 1};
    arena_init(&h->arena, m);
    h->by_name.arena = &h->arena;
    mem_giver_add(m, &h->giver);
}

void headers_release(struct headers *h)
{
    if (!h->arena.mem)
        return;
    mem_giver_remove(h->arena.mem, &h->giver);
    for (int64_t i = h->n - 1; i >= 0; i--)
        if (h->list[i]->is_open) {
            checkpoint_close(&h->list[i]->checkpoint);
            drop(h, h->list[i]);
        }
    arena_release(&h->arena);
}

void headers_round(struct headers *h)
{
    h->round++;
}

err_t headers_still(const struct headers *h, struct err *e)
{
    for (int64_t i = 0; i < h->n; i++) {
        const struct header *x = h->list[i];
        for (int64_t k = 0; x->is_open && x->round == h->round && k < x->checkpoint.nfiles; k++) {
            const struct seen *then = &x->files[k], now = look(then->path);
            /* not by ctime: another name for the file, or another owner, changes no byte */
            if (!now.there || now.inode != then->inode || now.size_bytes != then->size_bytes ||
                now.mtime_ns != then->mtime_ns)
                return err_set(
                    e, ERR_DATA,
                    "%s: %s while it was read; nothing is kept of that: run again once nobody writes it",
                    then->path, now.there ? "has changed" : "has gone");
        }
    }
    return ERR_OK;
}

void headers_trim(struct headers *h, size_t bytes)
{
    if (h->bytes > bytes)
        give(h, h->bytes - bytes);
}

/* A name that the arena need not keep, as most are no more than a path. */
static int64_t number_of(struct headers *h, const char *path, const struct choice *choice, struct err *e)
{
    struct arena scratch;
    arena_init(&scratch, h->arena.mem);
    const char *name = choice_name(path, choice, &scratch, e);
    int64_t at = name ? dict_find(&h->by_name, name) : -1;
    arena_release(&scratch);
    return at;
}

/* Keeps the path, the choice and their name. */
static err_t name_header(struct headers *h, struct header *x, const char *path, const struct choice *choice,
                         struct err *e)
{
    x->path = arena_strdup(&h->arena, path, e);
    if (choice)
        x->choice = *choice;
    if (x->path && x->choice.base)
        x->choice.base = arena_strdup(&h->arena, x->choice.base, e);
    x->name = e->code == ERR_OK ? choice_name(x->path, &x->choice, &h->arena, e) : NULL;
    return e->code;
}

/* The place of a checkpoint in the list, made where there is none. NULL when e is set. */
static struct header *find(struct headers *h, const char *path, const struct choice *choice, struct err *e)
{
    int64_t at = number_of(h, path, choice, e);
    if (at >= 0)
        return h->list[at];
    struct header *x = NULL;
    if (arena_array(&h->arena, "headers", 1, &x, e) != ERR_OK ||
        name_header(h, x, path, choice, e) != ERR_OK ||
        arena_grow(&h->arena, "headers", h->n + 1, &h->cap, &h->list, e) != ERR_OK ||
        dict_put(&h->by_name, x->name, h->n, e) != ERR_OK)
        return NULL;
    h->list[h->n++] = x;
    return x;
}

static err_t open_anew(struct headers *h, struct header *x, struct err *e)
{
    struct mem *m = h->arena.mem;
    size_t before = m->live_bytes, given = h->bytes;
    arena_init(&x->arena, m);
    err_t code = look_at_places(x, e);
    if (code == ERR_OK)
        code = checkpoint_open(&x->checkpoint, x->path, &x->choice, &x->arena, e);
    if (code == ERR_OK)
        code = look_at_files(x, e);
    if (code == ERR_OK)
        look_at_config(x);
    if (code != ERR_OK) {
        arena_release(&x->arena);
        return code;
    }
    given -= h->bytes; /* others went while this one came */
    x->bytes = m->live_bytes + given - before;
    h->bytes += x->bytes;
    h->opened++;
    x->is_open = 1;
    return ERR_OK;
}

err_t headers_get(struct headers *h, const char *path, const struct choice *choice, struct checkpoint **out,
                  struct err *e)
{
    *out = NULL;
    struct header *x = find(h, path, choice, e);
    if (!x)
        return e->code;
    if (x->is_open && x->users == 0 && x->round != h->round && !is_unchanged(x))
        drop(h, x);
    if (!x->is_open)
        TRY(open_anew(h, x, e));
    x->round = h->round;
    x->users++;
    *out = &x->checkpoint;
    return ERR_OK;
}

void headers_put(struct headers *h, struct checkpoint *c)
{
    (void)h;
    if (!c)
        return;
    struct header *x = (struct header *)(void *)((char *)c - offsetof(struct header, checkpoint));
    if (--x->users == 0)
        checkpoint_close(c);
}
