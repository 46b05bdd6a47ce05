#include "command/survey.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "command/guess.h"
#include "formats/checkpoint.h"
#include "formats/folders/unread.h"
#include "formats/format.h"
#include "formats/json.h"
#include "formats/logits/logits.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_MAX_BYTES = 4 << 20, REF_MAX_BYTES = 256, FILES_OF_FOLDER = 1000 };

err_t survey_add_note(struct survey *s, const char *path, const char *why, struct err *e)
{
    TRY(arena_grow(s->arena, "survey.notes", s->nnotes + 1, &s->cap_notes, &s->notes, e));
    s->notes[s->nnotes] =
        (struct survey_note){arena_strdup(s->arena, path, e), arena_strdup(s->arena, why, e)};
    s->nnotes++;
    return e->code;
}

/* ---- small files beside the weights ---- */

/* A small regular file whole; what is no such file, or cannot be read, is none: *text is NULL then. A pipe
 * would be waited for. */
static int64_t read_small(const char *path, int64_t max_bytes, char **text, struct arena *scratch)
{
    struct err bad;
    struct file_stamp stamp;
    int fd;
    int64_t n = 0;
    *text = NULL;
    err_clear(&bad);
    if (file_open(path, &fd, &stamp, &bad) != ERR_OK)
        return 0;
    close(fd);
    if (stamp.size_bytes <= max_bytes)
        file_read(scratch, path, max_bytes, text, &n, &bad);
    return n;
}

/* The text of a key of a JSON file in a folder; NULL where there is none. What is wrong with the file is for
 * those to say who need it. */
static const char *json_text(struct survey *s, const char *dir, const char *file, const char *key,
                             struct err *e)
{
    struct err bad;
    struct arena scratch;
    struct json_doc *doc = NULL;
    const char *found = NULL;
    char *text = NULL;
    err_clear(&bad);
    arena_init(&scratch, s->arena->mem);
    const char *path = path_join(&scratch, dir, file, &bad);
    int64_t n = path ? read_small(path, JSON_MAX_BYTES, &text, &scratch) : 0;
    if (text && json_doc_parse(&doc, path, text, n, &scratch, &bad) == ERR_OK) {
        const struct json_item *item = json_item_get(json_doc_root(doc), key);
        if (json_item_kind(item) == JSON_KIND_TEXT)
            found = arena_strdup(s->arena, json_item_text(item), e);
    }
    json_doc_release(doc);
    arena_release(&scratch);
    return found;
}

/* A hub's cache has models--ORG--NAME/snapshots/REVISION, and beside snapshots the branches as files of refs
 * that hold the revision. The branch of the revision; NULL: none is known. */
static const char *branch_of(struct survey *s, const char *snapshots, const char *revision, struct err *e)
{
    char refs[PATH_MAX];
    const char *found = NULL;
    struct arena scratch;
    int n = snprintf(refs, sizeof refs, "%.*s/refs", (int)(path_last(snapshots) - snapshots), snapshots);
    DIR *d = n > 0 && n < (int)sizeof refs ? opendir(refs) : NULL;
    if (!d)
        return NULL;
    arena_init(&scratch, s->arena->mem);
    for (struct dirent *entry = readdir(d); entry && !found && e->code == ERR_OK; entry = readdir(d)) {
        char *text = NULL,
             *path = entry->d_name[0] == '.' ? NULL : path_join(&scratch, refs, entry->d_name, e);
        if (path && read_small(path, REF_MAX_BYTES, &text, &scratch) > 0 && text) {
            text[strcspn(text, " \n")] = '\0';
            if (strcmp(text, revision) == 0)
                found = arena_strdup(s->arena, entry->d_name, e);
        }
        arena_reset(&scratch);
    }
    arena_release(&scratch);
    closedir(d);
    return found;
}

/* "ORG/NAME" of ".../models--ORG--NAME/snapshots/REVISION"; NULL where the path is none. */
static const char *hub_name(struct survey *s, const char *path, struct err *e)
{
    const char *at = strstr(path, "models--"), *end = at ? strstr(at, "/snapshots/") : NULL;
    if (!at || !end || (at > path && at[-1] != '/'))
        return NULL;
    at += strlen("models--");
    char *name = arena_strndup(s->arena, at, (size_t)(end - at), e);
    char *dash = name ? strstr(name, "--") : NULL;
    if (!dash)
        return name;
    *dash = '/';
    memmove(dash + 1, dash + 2, strlen(dash + 2) + 1);
    return name;
}

/* ---- taking note ---- */

static int has_logits(struct survey *s, const char *dir, struct err *e)
{
    const char *file = logits_file(dir, s->arena, e);
    return file && access(file, F_OK) == 0;
}

static int is_text(const char *s)
{
    int64_t n = (int64_t)strlen(s), width;
    for (int64_t at = 0; at < n; at += width)
        if ((width = text_utf8(s + at, n - at)) == 0 || (unsigned char)s[at] < 0x20 || s[at] == 0x7f)
            return 0;
    return 1;
}

/* One more checkpoint, unless it is there already, under another name of the same folder. */
static err_t add_sighting(struct survey *s, struct sighting x, const struct stat *st, struct err *e)
{
    x.device = st->st_dev;
    x.inode = st->st_ino;
    for (int64_t i = 0; i < s->n; i++)
        if (s->found[i].device == x.device && s->found[i].inode == x.inode)
            return ERR_OK;
    if (!is_text(x.path))
        return survey_add_note(s, x.path, "a config, which is a text, cannot hold its name; rename it", e);
    if (s->n == SURVEY_FOUND)
        return survey_add_note(s, x.path, "there are more checkpoints than a study holds", e);
    TRY(arena_grow(s->arena, "survey.found", s->n + 1, &s->cap, &s->found, e));
    s->found[s->n++] = x;
    return ERR_OK;
}

static err_t add_folder(struct survey *s, struct sighting x, const struct stat *st, struct err *e)
{
    char *dir = path_dir(s->arena, x.path, e);
    x.hub = hub_name(s, x.path, e);
    if (x.hub && dir && strcmp(path_last(dir), "snapshots") == 0)
        x.says = branch_of(s, dir, path_last(x.path), e);
    if (x.hub && !x.says)
        x.says = "main";
    if (format_has_entry(x.path, "adapter_config.json")) {
        x.adapter = json_text(s, x.path, "adapter_config.json", "base_model_name_or_path", e);
        x.adapter = x.adapter ? x.adapter : "";
    }
    x.came_from = json_text(s, x.path, "config.json", "_name_or_path", e);
    x.logits = has_logits(s, x.path, e);
    return e->code == ERR_OK ? add_sighting(s, x, st, e) : e->code;
}

/* ---- a folder ---- */

/* The names in a folder, sorted; -1 in *n where it cannot be listed, which is noted. */
static err_t list_names(struct survey *s, const char *path, const char ***out, int64_t *n, struct arena *a,
                        struct err *e)
{
    DIR *d = opendir(path);
    int64_t cap = 0;
    *out = NULL;
    *n = -1;
    if (!d) {
        char why[200];
        snprintf(why, sizeof why, "cannot be listed: %s", strerror(errno));
        log_warn(s->log, "%s: %s", path, why);
        return survey_add_note(s, path, why, e);
    }
    *n = 0;
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (entry->d_name[0] == '.')
            continue;
        if (arena_grow(a, "survey.names", *n + 1, &cap, out, e) == ERR_OK)
            (*out)[(*n)++] = arena_strdup(a, entry->d_name, e);
    }
    closedir(d);
    if (*n > 0 && e->code == ERR_OK)
        qsort(*out, (size_t)*n, sizeof **out, text_order);
    return e->code;
}

/* What a folder is taken for. */
struct glance {
    int is_checkpoint;
    int is_step;             /* its name has a step */
    char part[NAME_MAX + 1]; /* the folder in it that holds the checkpoint's files; "" */
};

/* A folder of a run is recognised by some formats too, by the step that the trainer wrote down as its last.
 * The steps themselves are wanted then, not the run. */
static void look_at(struct glance *l, const char *path)
{
    const struct format *format;
    char name[PATH_MAX];
    const char *last = path_last(path);
    *l = (struct glance){.is_step = guess_name(last, (int)strlen(last)).step >= 0};
    l->is_checkpoint = format_look(path, &format, name, sizeof name) != FORMAT_NONE;
    if (l->is_checkpoint && !l->is_step && strncmp(name, "latest", strlen("latest")) == 0)
        l->is_checkpoint = 0;
    size_t n = l->is_checkpoint ? strcspn(name, "/") : 0;
    if (n == 0 || name[n] != '/' || n > NAME_MAX)
        return;
    snprintf(l->part, sizeof l->part, "%.*s", (int)n, name);
    if (!l->is_step && guess_name(name, (int)n).step >= 0) {
        l->is_checkpoint = 0;
        l->part[0] = '\0';
    }
}

/* Is a folder of this name in one that was looked at to be walked into? */
static int is_walked(const struct glance *l, const char *name)
{
    if (!l->is_checkpoint)
        return 1;
    return !l->is_step && strcmp(l->part, name) != 0 && !guess_is_part(name);
}

/* Files of a folder that is no checkpoint, each of which may be one. */
static err_t take_file(struct survey *s, struct sighting x, const struct stat *st, int *nfiles, struct err *e)
{
    struct err bad;
    struct arena scratch;
    struct checkpoint c;
    const char *name = path_last(x.path);
    if (!format_of(name) || guess_is_beside(name) || ++*nfiles > FILES_OF_FOLDER)
        return ERR_OK;
    err_clear(&bad);
    arena_init(&scratch, s->arena->mem);
    err_t code = checkpoint_open(&c, x.path, NULL, &scratch, &bad);
    int64_t ntensors = code == ERR_OK ? c.ntensors : 0;
    arena_release(&scratch);
    return code == ERR_OK && ntensors == 0 ? ERR_OK
           : code == ERR_OK                ? add_sighting(s, x, st, e)
                                           : survey_add_note(s, x.path, bad.text, e);
}

static err_t put_off(struct survey *s, struct sighting x, struct err *e)
{
    TRY(arena_grow(s->arena, "survey.links", s->nlinks + 1, &s->cap_links, &s->links, e));
    s->links[s->nlinks++] = x;
    return ERR_OK;
}

/* A folder in which nothing was found: what it is, where that is known. */
static err_t note_other(struct survey *s, const char *path, struct err *e)
{
    struct arena scratch;
    struct err why;
    err_clear(&why);
    arena_init(&scratch, s->arena->mem);
    err_t code =
        unread_refuse_folder(path, &scratch, &why) == ERR_OK ? ERR_OK : survey_add_note(s, path, why.text, e);
    arena_release(&scratch);
    return code;
}

static err_t look_in(struct survey *s, struct sighting here, int depth, struct err *e);

/* One name in a folder. */
static err_t look_entry(struct survey *s, const struct sighting *here, const struct glance *l,
                        const char *name, int depth, int *nfiles, struct err *e)
{
    struct sighting x = {.root = here->root, .known = here->known};
    struct stat st;
    x.path = path_join(s->arena, here->path, name, e);
    if (!x.path)
        return e->code;
    if (lstat(x.path, &st) != 0)
        return ERR_OK;
    int is_link = S_ISLNK(st.st_mode);
    if (is_link && stat(x.path, &st) != 0)
        return ERR_OK; /* it leads nowhere, or round */
    if (S_ISREG(st.st_mode))
        return l->is_checkpoint ? ERR_OK : take_file(s, x, &st, nfiles, e);
    if (!S_ISDIR(st.st_mode))
        return ERR_OK;
    if (l->is_checkpoint && l->is_step && strcmp(l->part, name) != 0 && !guess_is_part(name) &&
        checkpoint_exists(x.path))
        return survey_add_note(s, x.path, "lies in a step's checkpoint, which was taken by itself", e);
    if (!is_walked(l, name))
        return ERR_OK;
    return is_link ? put_off(s, x, e) : look_in(s, x, depth + 1, e);
}

static err_t look_in(struct survey *s, struct sighting here, int depth, struct err *e)
{
    struct stat st;
    struct glance l;
    if (depth > SURVEY_DEPTH || s->nfolders >= SURVEY_FOLDERS)
        return survey_add_note(s, here.path,
                               depth > SURVEY_DEPTH
                                   ? "was not looked into: too deep; give it to 'sinew init' itself"
                                   : "was not looked into: too many folders; give fewer",
                               e);
    s->nfolders++;
    if (stat(here.path, &st) != 0)
        return ERR_OK; /* it was there a moment ago */
    look_at(&l, here.path);
    if (l.is_checkpoint)
        TRY(add_folder(s, here, &st, e));
    struct arena names;
    const char **list;
    int64_t n;
    int nfiles = 0;
    int64_t found = s->n, noted = s->nnotes;
    arena_init(&names, s->arena->mem);
    err_t code = list_names(s, here.path, &list, &n, &names, e);
    for (int64_t i = 0; i < n && code == ERR_OK; i++)
        code = look_entry(s, &here, &l, list[i], depth, &nfiles, e);
    arena_release(&names);
    if (code == ERR_OK && !l.is_checkpoint && s->n == found && s->nnotes == noted)
        code = note_other(s, here.path, e);
    return code;
}

err_t survey_look(struct survey *s, const char *path, struct err *e)
{
    struct stat st;
    struct sighting x = {.root = s->nroots++, .is_root = 1};
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM, "%s: %s", path,
                       strerror(errno));
    x.path = path_clean(s->arena, path, e);
    if (!x.path)
        return e->code;
    const char *last = path_last(x.path);
    x.known = (int)(last - x.path);
    if (strcmp(last, "..") == 0) /* says nothing */
        x.known = (int)strlen(x.path);
    if (S_ISDIR(st.st_mode))
        return look_in(s, x, 0, e);
    return add_sighting(s, x, &st, e);
}

/* ---- the end ---- */

/* By path, numbers in it by their size: step 9 before step 10. */
static int by_path(const void *a, const void *b)
{
    const char *p = ((const struct sighting *)a)->path, *q = ((const struct sighting *)b)->path;
    while (*p && *q) {
        size_t m = strspn(p, "0123456789"), n = strspn(q, "0123456789");
        if (m > 0 && n > 0) {
            size_t zeros_p = strspn(p, "0"), zeros_q = strspn(q, "0");
            zeros_p -= zeros_p == m;
            zeros_q -= zeros_q == n;
            if (m - zeros_p != n - zeros_q)
                return m - zeros_p < n - zeros_q ? -1 : 1;
            int order = memcmp(p + zeros_p, q + zeros_q, m - zeros_p);
            if (order != 0)
                return order;
            p += m;
            q += n;
        } else if (*p != *q) {
            return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
        } else {
            p++;
            q++;
        }
    }
    int ended = (*p != '\0') - (*q != '\0');
    return ended != 0 ? ended
                      : strcmp(((const struct sighting *)a)->path, ((const struct sighting *)b)->path);
}

err_t survey_end(struct survey *s, struct err *e)
{
    for (int64_t i = 0; i < s->nlinks; i++) {
        struct stat st;
        struct glance l;
        if (stat(s->links[i].path, &st) != 0)
            continue;
        look_at(&l, s->links[i].path);
        if (l.is_checkpoint)
            TRY(add_folder(s, s->links[i], &st, e));
        else
            TRY(survey_add_note(s, s->links[i].path, "is a link to a folder, and was not walked into", e));
    }
    if (s->n > 0)
        qsort(s->found, (size_t)s->n, sizeof *s->found, by_path);
    return e->code;
}
