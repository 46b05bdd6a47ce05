#include "formats/torch/fsdp.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/decoders/view.h"
#include "formats/torch/shard.h"
#include "formats/torch/state_dict.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_WORLD = 1 << 20,
    LATEST_BYTES = 64,         /* of latest_checkpointed_iteration.txt: a number */
    COMPARED_BYTES = 64 << 10, /* of a replica that is compared whole, else its beginning */
    COMPARED_START = 4 << 10,  /* that beginning */
    COMPARED_IN_ALL = 64 << 20
};

/* ---- names of files ---- */

static int read_number(const char **at, int64_t *out)
{
    const char *p = *at;
    *out = 0;
    if (!isdigit((unsigned char)*p) || (*p == '0' && isdigit((unsigned char)p[1])))
        return 0;
    for (; isdigit((unsigned char)*p) && *out < MAX_WORLD; p++)
        *out = *out * 10 + (*p - '0');
    *at = p;
    return 1;
}

/* Is it the name of a rank's file? Of which rank, of how many? */
static int read_name(const char *name, int64_t *world, int64_t *rank_index)
{
    static const char head[] = "model_world_size_", middle[] = "_rank_";
    if (strncmp(name, head, sizeof head - 1) != 0)
        return 0;
    name += sizeof head - 1;
    if (!read_number(&name, world) || strncmp(name, middle, sizeof middle - 1) != 0)
        return 0;
    name += sizeof middle - 1;
    return read_number(&name, rank_index) && strcmp(name, ".pt") == 0;
}

/* The first such name in a folder, in the order of the alphabet: which one does not matter. */
static int first_shard(const char *dir, char *name, int size)
{
    DIR *d = opendir(dir);
    int found = 0;
    int64_t world, me;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        if (read_name(entry->d_name, &world, &me) && (int)strlen(entry->d_name) < size &&
            (!found || strcmp(entry->d_name, name) < 0)) {
            snprintf(name, (size_t)size, "%s", entry->d_name);
            found = 1;
        }
    if (d)
        closedir(d);
    return found;
}

/* The same in a folder below. */
static int shard_below(const char *dir, const char *below, char *name, int size)
{
    char path[PATH_MAX], last[NAME_MAX + 1];
    int n = snprintf(path, sizeof path, "%s/%s", dir, below);
    if (n < 0 || n >= (int)sizeof path || !first_shard(path, last, sizeof last))
        return 0;
    n = snprintf(name, (size_t)size, "%s/%s", below, last);
    return n > 0 && n < size;
}

/* A run's last step, as its trainer noted it. */
static int shard_latest(const char *dir, char *name, int size)
{
    char path[PATH_MAX], text[LATEST_BYTES + 1] = "", below[64];
    const char *at = text;
    int64_t step;
    int n = snprintf(path, sizeof path, "%s/latest_checkpointed_iteration.txt", dir);
    int fd = n > 0 && n < (int)sizeof path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, text, LATEST_BYTES) : -1;
    if (fd >= 0)
        close(fd);
    if (got <= 0 || !read_number(&at, &step) || step >= MAX_WORLD * (int64_t)10)
        return 0;
    snprintf(below, sizeof below, "global_step_%lld/actor", (long long)step);
    return shard_below(dir, below, name, size);
}

static int find(const char *dir, char *name, int size)
{
    return first_shard(dir, name, size) || shard_below(dir, "actor", name, size) ||
           shard_latest(dir, name, size);
}

/* ---- the ranks' files ---- */

/* A tensor of the model while its parts come together. */
struct gathered {
    struct stored_tensor t;
    enum shard_kind kind;
    struct stored_piece *v;
    int64_t n, cap;
    int64_t seen; /* ranks that have it */
};

/* Bytes that must be the same in two ranks' files. */
struct twin {
    const char *name;
    int file[2];
    int64_t at[2], n;
};

struct fsdp {
    const char *dir;
    int64_t world, me; /* me: whose file is open */
    int64_t nv;
    struct gathered *v;     /* in the order of rank 0 */
    struct gathered **find; /* by name */
    struct stored_list *list;
    const char *note; /* rank 0's */
    int64_t ntwins, twins_cap, compared_bytes;
    struct twin *twins; /* of the rank at hand */
    int replicas;       /* plain tensors: are there any? */
    struct arena *a, *scratch;
};

/* How many ranks there are, and that none of them lacks. */
static err_t count_ranks(struct fsdp *f, struct err *e)
{
    DIR *d = opendir(f->dir);
    int64_t world, me, other = 0, files = 0;
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", f->dir, strerror(errno));
    f->world = 0;
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (!read_name(entry->d_name, &world, &me))
            continue;
        files++;
        f->world = f->world ? f->world : world;
        other = world != f->world ? world : other;
        if (me >= world || world > MAX_WORLD)
            err_set(e, ERR_DATA, "%s/%s: rank %lld of %lld: expected ranks below that", f->dir, entry->d_name,
                    (long long)me, (long long)world);
    }
    closedir(d);
    if (e->code == ERR_OK && other)
        err_set(e, ERR_DATA,
                "%s: shards of %lld ranks and of %lld: expected those of one run; move the others to a "
                "folder of their own",
                f->dir, (long long)(other < f->world ? other : f->world),
                (long long)(other < f->world ? f->world : other));
    for (int64_t i = 0; i < f->world && files < f->world && e->code == ERR_OK; i++) {
        char name[80];
        snprintf(name, sizeof name, "model_world_size_%lld_rank_%lld.pt", (long long)f->world, (long long)i);
        if (!format_has_entry(f->dir, name))
            err_set_part(
                e,
                "%s: %s is missing: expected the files of all %lld ranks, found %lld; copy them from the "
                "nodes that wrote them",
                f->dir, name, (long long)f->world, (long long)files);
    }
    return e->code;
}

static int by_name(const void *a, const void *b)
{
    const struct gathered *const *x = a, *const *y = b;
    return strcmp((*x)->t.name, (*y)->t.name);
}

/* The tensor whose name a key is: the one at that place in rank 0's order, else wherever it is. */
static struct gathered *find_gathered(const struct fsdp *f, int64_t at, const char *name)
{
    if (at < f->nv && strcmp(f->v[at].t.name, name) == 0)
        return &f->v[at];
    int64_t low = 0, high = f->nv - 1;
    while (low <= high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, f->find[middle]->t.name);
        if (order == 0)
            return f->find[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Two parts that should be equal, to be compared as long as that is cheap. */
static err_t add_twin(struct fsdp *f, const char *name, const struct stored_piece *p, int file,
                      const struct stored_tensor *local, struct err *e)
{
    int64_t n = local->size_bytes <= COMPARED_BYTES ? local->size_bytes : COMPARED_START;
    if (p->strides || local->strides || f->compared_bytes + n > COMPARED_IN_ALL)
        return ERR_OK;
    TRY(arena_grow(f->scratch, "fsdp.twins", f->ntwins + 1, &f->twins_cap, &f->twins, e));
    f->twins[f->ntwins++] = (struct twin){name, {p->file, file}, {p->offset_bytes, local->offset_bytes}, n};
    f->compared_bytes += n;
    return ERR_OK;
}

/* A part that other ranks have too is taken of the first. */
static err_t add_part(struct fsdp *f, struct gathered *g, const struct shard *s, const struct shard_box *part,
                      struct err *e)
{
    const struct stored_tensor *local = &part->local;
    struct stored_piece p = {.dtype = local->dtype,
                             .file = (int)f->me,
                             .offset_bytes = local->offset_bytes,
                             .strides = local->strides};
    memcpy(p.start, part->start, sizeof p.start);
    memcpy(p.dims, local->dims, sizeof p.dims);
    for (int64_t i = 0; s->copies > 1 && i < g->n; i++)
        if (memcmp(g->v[i].start, p.start, sizeof p.start) == 0 &&
            memcmp(g->v[i].dims, p.dims, sizeof p.dims) == 0)
            return add_twin(f, g->t.name, &g->v[i], p.file, local, e);
    TRY(arena_grow(f->a, "fsdp.pieces", g->n + 1, &g->cap, &g->v, e));
    g->v[g->n++] = p;
    return ERR_OK;
}

static err_t refuse_other(const struct torch_reader *r, const struct gathered *g, const struct shard *s,
                          struct err *e)
{
    char here[200], there[200];
    return err_set(e, ERR_DATA,
                   "%s: tensor %s is of shape %s and type %s%s here, and of %s and %s%s on rank 0: expected "
                   "the files of one run, saved at one step",
                   r->path, g->t.name, shape_text(s->ndim, s->dims, here, sizeof here),
                   s->dtype == DTYPE_COUNT ? "unknown" : dtype_name(s->dtype),
                   s->kind == SHARD_WHOLE ? ", whole," : "",
                   shape_text(g->t.ndim, g->t.dims, there, sizeof there),
                   g->t.dtype == DTYPE_COUNT ? "unknown" : dtype_name(g->t.dtype),
                   g->kind == SHARD_WHOLE ? ", whole," : "");
}

/* What this rank has of a tensor goes to what the others have. */
static err_t gather(struct fsdp *f, const struct torch_reader *r, struct gathered *g, const struct shard *s,
                    struct err *e)
{
    int same = s->ndim == g->t.ndim && s->kind == g->kind &&
               (s->dtype == g->t.dtype || s->dtype == DTYPE_COUNT || g->t.dtype == DTYPE_COUNT);
    for (int i = 0; same && i < s->ndim; i++)
        same = s->dims[i] == g->t.dims[i];
    if (!same)
        return refuse_other(r, g, s, e);
    if (g->seen != f->me)
        return err_set(e, ERR_DATA, "%s: tensor %s stands in the state dict twice", r->path, g->t.name);
    g->seen++;
    g->t.dtype = g->t.dtype == DTYPE_COUNT ? s->dtype : g->t.dtype;
    f->replicas |= s->kind == SHARD_WHOLE && f->world > 1;
    for (int64_t i = 0; i < s->nparts; i++)
        TRY(add_part(f, g, s, &s->parts[i], e));
    return ERR_OK;
}

/* Rank 0 says which tensors there are. */
static err_t begin(struct fsdp *f, struct torch_reader *r, const struct pickle_value *map, struct err *e)
{
    const struct pickle_value *key = NULL, *value = NULL;
    TRY(arena_array(f->a, "fsdp.tensors", map->n, &f->v, e));
    TRY(arena_array(f->a, "fsdp.tensors", map->n, &f->find, e));
    for (const struct pickle_cell *at = pickle_next(&r->pickle, map, NULL, &key, &value); at;
         at = pickle_next(&r->pickle, map, at, &key, &value)) {
        if (state_dict_passes_over(&r->pickle, key, value))
            continue;
        struct gathered *g = &f->v[f->nv];
        TRY(torch_reader_name(r, &g->t, key, e));
        f->find[f->nv++] = g;
        if (strstr(g->t.name, "_flat_param"))
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s holds many parameters in one row (LOCAL_STATE_DICT): they cannot be "
                "told apart; save with SHARDED_STATE_DICT or FULL_STATE_DICT",
                r->path, g->t.name);
    }
    if (f->nv > 0)
        qsort(f->find, (size_t)f->nv, sizeof *f->find, by_name);
    return ERR_OK;
}

/* A key's text, for a look-up. */
static err_t name_of(struct torch_reader *r, const struct pickle_value *key, const char **name, struct err *e)
{
    struct stored_tensor t = {.name = ""};
    struct arena *keep = r->keep;
    r->keep = r->scratch;
    err_t code = torch_reader_name(r, &t, key, e);
    r->keep = keep;
    *name = t.name;
    return code;
}

static err_t refuse_lack(const struct fsdp *f, const char *path, struct err *e)
{
    for (int64_t i = 0; i < f->nv; i++)
        if (f->v[i].seen != f->me + 1)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s is missing, which rank 0 has: expected the files of one run, saved "
                           "at one step",
                           path, f->v[i].t.name);
    return ERR_OK;
}

static err_t read_tensors(struct fsdp *f, struct torch_reader *r, struct err *e)
{
    struct shard_reader k = {.r = r, .me = f->me, .world = f->world};
    struct shard s = {0};
    const struct pickle_value *map = NULL, *key = NULL, *value = NULL;
    const char *note = NULL, *name;
    int64_t n = 0;
    TRY(state_dict_find(r, &map, &note, e));
    if (f->me == 0) {
        f->note = note;
        TRY(begin(f, r, map, e));
    }
    for (const struct pickle_cell *at = pickle_next(&r->pickle, map, NULL, &key, &value); at;
         at = pickle_next(&r->pickle, map, at, &key, &value)) {
        if (state_dict_passes_over(&r->pickle, key, value))
            continue;
        TRY(name_of(r, key, &name, e));
        struct gathered *g = find_gathered(f, n++, name);
        if (!g)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s is none of rank 0's: expected the files of one run, saved at one "
                           "step",
                           r->path, name);
        TRY(shard_read(&k, g->t.name, value, &s, e));
        if (f->me == 0) {
            g->kind = s.kind;
            g->t.dtype = s.dtype;
            g->t.ndim = s.ndim;
            memcpy(g->t.dims, s.dims, sizeof s.dims);
        }
        TRY(gather(f, r, g, &s, e));
    }
    return n == f->nv ? ERR_OK : refuse_lack(f, r->path, e);
}

/* ---- replicas ---- */

static err_t read_at(int fd, const char *path, int64_t at, int64_t n, unsigned char *buf, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(fd, buf + done, (size_t)(n - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(e, got < 0 ? ERR_SYSTEM : ERR_DATA, "%s: cannot be read at byte %lld: %s", path,
                           (long long)(at + done), got < 0 ? strerror(errno) : "it has become shorter");
        done += got;
    }
    return ERR_OK;
}

/* One tensor in two ranks' files. open: of what was open before. */
static err_t compare_twin(struct fsdp *f, const struct twin *t, int fd, int *other_fd, int *other,
                          unsigned char *buf, struct err *e)
{
    const char *path[2] = {f->list->files[t->file[0]].path, f->list->files[t->file[1]].path};
    struct file_stamp stamp;
    if (*other != t->file[0]) {
        if (*other_fd >= 0)
            close(*other_fd);
        *other = t->file[0];
        TRY(file_open(path[0], other_fd, &stamp, e));
    }
    TRY(read_at(*other_fd, path[0], t->at[0], t->n, buf, e));
    TRY(read_at(fd, path[1], t->at[1], t->n, buf + t->n, e));
    for (int64_t i = 0; i < t->n; i++)
        if (buf[i] != buf[t->n + i])
            return err_set(e, ERR_DATA,
                           "%s: tensor %s is the same on several ranks, but byte %lld of it is not what it "
                           "is in %s: expected the files of one run, saved at one step",
                           path[1], t->name, (long long)i, path[0]);
    return ERR_OK;
}

static err_t compare_twins(struct fsdp *f, struct err *e)
{
    struct file_stamp stamp;
    int fd, other_fd = -1, other = -1;
    unsigned char *buf;
    if (f->ntwins == 0)
        return ERR_OK;
    TRY(arena_array(f->scratch, "fsdp.compared", 2 * COMPARED_BYTES, &buf, e));
    TRY(file_open(f->list->files[f->me].path, &fd, &stamp, e));
    for (int64_t i = 0; i < f->ntwins && e->code == ERR_OK; i++)
        compare_twin(f, &f->twins[i], fd, &other_fd, &other, buf, e);
    close(fd);
    if (other_fd >= 0)
        close(other_fd);
    return e->code;
}

/* ---- all together ---- */

static err_t read_rank(struct fsdp *f, struct err *e)
{
    char name[80];
    struct torch_reader r;
    snprintf(name, sizeof name, "model_world_size_%lld_rank_%lld.pt", (long long)f->world, (long long)f->me);
    char *path = path_join(f->scratch, f->dir, name, e);
    if (!path)
        return e->code;
    TRY(torch_reader_open(&r, path, f->a, f->scratch, e));
    TRY(stored_add_file(f->list, r.path, r.file_bytes, r.mtime_ns, r.header_hash, f->a, e));
    f->ntwins = f->twins_cap = 0;
    f->twins = NULL;
    TRY(read_tensors(f, &r, e));
    return compare_twins(f, e);
}

static err_t assemble(struct fsdp *f, struct err *e)
{
    struct stored_list *list = f->list;
    TRY(arena_array(f->a, "fsdp.list", f->nv, &list->tensors, e));
    for (int64_t i = 0; i < f->nv; i++) {
        struct gathered *g = &f->v[i];
        if (g->t.dtype == DTYPE_COUNT)
            g->t.dtype = DTYPE_F32; /* without elements nobody asks for their type */
        TRY(stored_assemble(&g->t, g->v, g->n, 0, list, f->dir, f->a, e));
        list->tensors[list->ntensors++] = g->t;
    }
    arena_drop(f->a, f->v);
    arena_drop(f->a, f->find);
    return ERR_OK;
}

/* The folder of the model's config.json: verl's huggingface/, or that of the shards. */
static err_t find_config(struct fsdp *f, struct model_config *config, struct err *e)
{
    char *dir = path_join(f->a, f->dir, "huggingface", e);
    if (!dir)
        return e->code;
    f->list->config_dir = format_has_entry(dir, "config.json") ? dir : f->dir;
    return model_config_read(config, f->list->config_dir, f->a, e);
}

/* verl deploys its float32 masters rounded to bf16, and so do others whose config says bfloat16. */
static err_t choose_weights(struct fsdp *f, const struct choice *choice, struct err *e)
{
    struct stored_list *list = f->list;
    struct model_config config = {.layers = 0};
    int wide = 0, rounds;
    TRY(find_config(f, &config, e));
    for (int64_t i = 0; i < list->ntensors; i++)
        wide |= list->tensors[i].dtype == DTYPE_F32;
    rounds = choice->weights == CHOICE_WEIGHTS_MODEL ||
             (choice->weights == CHOICE_WEIGHTS_DEFAULT && config.is_bf16);
    if (!wide)
        return ERR_OK;
    for (int64_t i = 0; rounds && i < list->ntensors; i++)
        if (list->tensors[i].dtype == DTYPE_F32)
            TRY(cast_make(&list->tensors[i], f->a, e));
    return state_dict_note(list,
                           rounds
                               ? "The float32 masters are rounded once to bf16, as they are deployed; "
                                 "weights: masters takes them as they are."
                               : "The float32 masters are taken as they are; weights: model rounds them to "
                                 "bf16, as they are deployed.",
                           f->a, e);
}

static err_t say_source(struct fsdp *f, struct err *e)
{
    struct stored_list *list = f->list;
    list->note = f->note;
    char *from = arena_printf(f->a, e, "Read from the shards of %lld rank%s.", (long long)f->world,
                              f->world > 1 ? "s" : "");
    if (!from)
        return e->code;
    TRY(state_dict_note(list, from, f->a, e));
    char *parent = path_dir(f->a, f->dir, e);
    if (!parent)
        return e->code;
    if (strcmp(path_last(f->dir), "actor") == 0 && format_has_entry(parent, "critic"))
        TRY(state_dict_note(list, "These are the actor's; critic/ beside it is a checkpoint of its own.",
                            f->a, e));
    if (f->replicas)
        TRY(state_dict_note(list, "Tensors that every rank has whole are rank 0's.", f->a, e));
    return ERR_OK;
}

static err_t open_shards(struct stored_list *out, const char *path, const struct choice *choice,
                         struct arena *a, struct err *e)
{
    struct arena scratch = {0};
    *out = (struct stored_list){.note = NULL};
    struct fsdp f = {.dir = path_dir(a, path, e), .list = out, .a = a, .scratch = &scratch};
    if (!f.dir)
        return e->code;
    TRY(count_ranks(&f, e));
    arena_init(&scratch, a->mem);
    for (f.me = 0; f.me < f.world && e->code == ERR_OK; f.me++) {
        read_rank(&f, e);
        arena_reset(&scratch);
    }
    arena_release(&scratch);
    if (e->code != ERR_OK)
        return e->code;
    TRY(assemble(&f, e));
    TRY(say_source(&f, e));
    TRY(choose_weights(&f, choice, e));
    return state_dict_unwrap(out, f.dir, a, e);
}

const struct format format_fsdp = {
    .name = "fsdp",
    .finds = "model_world_size_W_rank_R.pt of all ranks (there, in actor/, or of the latest global_step_N)",
    .ignores = CHOICE_OF_BASE,
    .masters = 1,
    .find = find,
    .open = open_shards,
};
