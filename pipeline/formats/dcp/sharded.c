/* The shards of Hugging Face files that torch's distributed checkpoint leaves where it is not asked to
 * consolidate them: shard-RRRRR-model-KKKKK-of-NNNNN.safetensors, one of each k at most from every process,
 * with no index and no metadata beside them.
 *
 * Source: pytorch, torch/distributed/checkpoint/{hf_storage,_hf_utils}.py. Each file is a safetensors file of
 * parts of tensors. Where a part begins in its tensor is said in the file's own metadata, a JSON text under
 * DCP_SHARDING_INFO: {name: {"saved_offsets": [...]}}; a file without it holds parts that begin at 0. How
 * large a tensor is follows from where its parts end, as torch reads it. */
#include "formats/dcp/sharded.h"

#include "formats/format.h"

#include "base/path.h"
#include "base/text.h"
#include "formats/json.h"
#include "formats/safetensors/safetensors.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the files ---- */

static const char *const folders[] = {"", "sharded/", "model/"}; /* where torch and NeMo put them */

/* The number that a text begins with, of 5 digits or more, behind `before`; -1: there is none. Moves the text
 * behind it. */
static int64_t number_behind(const char **text, const char *before)
{
    size_t n = strlen(before);
    int64_t number = 0, digits = 0;
    if (strncmp(*text, before, n) != 0)
        return -1;
    for (*text += n; isdigit((unsigned char)**text) && digits < 10; ++*text, digits++)
        number = 10 * number + (**text - '0');
    return digits < 5 ? -1 : number;
}

struct shard_name {
    int64_t process, file, files; /* counted from 1 */
};

/* Is a file's name that of a shard? */
static int parse_name(const char *name, struct shard_name *s)
{
    s->process = number_behind(&name, "shard-");
    s->file = s->process < 0 ? -1 : number_behind(&name, "-model-");
    s->files = s->file < 0 ? -1 : number_behind(&name, "-of-");
    return s->files > 0 && s->process > 0 && s->file > 0 && s->file <= s->files &&
           strcmp(name, ".safetensors") == 0;
}

/* The names of all shards in a folder, sorted. A folder that cannot be listed has none. */
static err_t list_names(const char *dir, const char ***out, int64_t *n, struct arena *a, struct err *e)
{
    DIR *d = opendir(dir);
    const char **names = NULL;
    struct shard_name s;
    int64_t cap = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && e->code == ERR_OK; entry = readdir(d))
        if (parse_name(entry->d_name, &s) &&
            arena_grow(a, "sharded.names", *n + 1, &cap, &names, e) == ERR_OK &&
            (names[*n] = arena_strdup(a, entry->d_name, e)))
            ++*n;
    if (d)
        closedir(d);
    if (*n > 0 && e->code == ERR_OK)
        qsort(names, (size_t)*n, sizeof *names, text_order);
    *out = names;
    return e->code;
}

int sharded_find(const char *dir, const char *in, char *name, int size)
{
    char path[PATH_MAX];
    struct shard_name s;
    int n = snprintf(path, sizeof path, "%s/%s", dir, in), found = 0;
    DIR *d = n > 0 && n < (int)sizeof path ? opendir(path) : NULL;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && !found; entry = readdir(d))
        found =
            parse_name(entry->d_name, &s) && snprintf(name, (size_t)size, "%s%s", in, entry->d_name) < size;
    if (d)
        closedir(d);
    return found;
}

static int find_sharded(const char *dir, char *name, int size)
{
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++)
        if (sharded_find(dir, folders[k], name, size))
            return 1;
    return 0;
}

/* ---- the parts ---- */

/* A part of a tensor: its box, and what the file says of it. */
struct shard_part {
    const struct stored_tensor *t;
    struct stored_piece piece;
};

struct sharded {
    const char *dir;
    int64_t nfiles, nparts, cap;
    const char **names;
    struct shard_part *parts;
    int64_t first, last, present; /* processes: the lowest and highest number, and how many there are */
};

/* All files are of one save: they agree on how many files a process writes. */
static err_t check_names(struct sharded *g, struct err *e)
{
    struct shard_name first, s;
    int64_t before = 0;
    parse_name(g->names[0], &first);
    for (int64_t i = 0; i < g->nfiles; i++) {
        parse_name(g->names[i], &s);
        if (s.files != first.files)
            return err_set(e, ERR_DATA,
                           "%s: shards of two checkpoints: %s and %s: expected one number of files; keep "
                           "those of one save alone",
                           g->dir, g->names[0], g->names[i]);
        g->present += s.process != before;
        before = s.process;
    }
    g->first = first.process;
    g->last = before;
    return ERR_OK;
}

/* Where the part begins in its tensor. info: of its file, NULL where there is none. */
static err_t read_start(struct shard_part *p, const char *path, const struct json_item *info, struct err *e)
{
    const struct stored_tensor *t = p->t;
    if (!info)
        return ERR_OK;
    const struct json_item *said =
        json_item_kind(info) == JSON_KIND_MAP ? json_item_get(info, t->name) : NULL;
    const struct json_item *list =
        json_item_kind(said) == JSON_KIND_MAP ? json_item_get(said, "saved_offsets") : NULL;
    if (json_item_kind(list) != JSON_KIND_LIST || json_item_count(list) != t->ndim)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: DCP_SHARDING_INFO: expected saved_offsets, a list of %d numbers, found "
            "%s of %lld",
            path, t->name, t->ndim, json_item_kind_text(list), (long long)json_item_count(list));
    for (int i = 0; i < t->ndim; i++) {
        const struct json_item *x = json_item_at(list, i);
        if (json_item_kind(x) == JSON_KIND_INT && json_item_int(x) < 0)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: DCP_SHARDING_INFO: saved_offsets: expected integers not below 0, "
                           "found %lld",
                           path, t->name, (long long)json_item_int(x));
        if (json_item_kind(x) != JSON_KIND_INT)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: DCP_SHARDING_INFO: saved_offsets: expected integers not below 0, "
                           "found %s",
                           path, t->name, json_item_kind_text(x));
        p->piece.start[i] = json_item_int(x);
    }
    return ERR_OK;
}

static err_t add_parts(struct sharded *g, const struct safetensors *s, int file, const struct json_item *info,
                       struct arena *scratch, struct err *e)
{
    TRY(arena_grow(scratch, "sharded.parts", g->nparts + s->ntensors, &g->cap, &g->parts, e));
    for (int64_t i = 0; i < s->ntensors; i++) {
        const struct stored_tensor *t = &s->tensors[i];
        struct shard_part *p = &g->parts[g->nparts++];
        *p = (struct shard_part){.t = t};
        p->piece.dtype = t->dtype;
        p->piece.file = file;
        p->piece.offset_bytes = t->offset_bytes;
        memcpy(p->piece.dims, t->dims, sizeof t->dims);
        TRY(read_start(p, s->path, info, e));
    }
    return ERR_OK;
}

static err_t read_shard(struct sharded *g, struct stored_list *out, const char *name, struct arena *a,
                        struct arena *scratch, struct err *e)
{
    struct safetensors s;
    char *path = path_join(a, g->dir, name, e);
    if (!path)
        return e->code;
    TRY(safetensors_open(&s, path, scratch, e));
    TRY(stored_add_file(out, path, s.size_bytes, s.mtime_ns, s.header_hash, a, e));
    const char *text = safetensors_metadata(&s, "DCP_SHARDING_INFO");
    char *what = arena_printf(scratch, e, "%s: DCP_SHARDING_INFO", path);
    struct json_doc *doc = NULL;
    if (!what)
        return e->code;
    if (text)
        TRY(json_doc_parse(&doc, what, text, (int64_t)strlen(text), scratch, e));
    err_t code = add_parts(g, &s, (int)out->nfiles - 1, doc ? json_doc_root(doc) : NULL, scratch, e);
    json_doc_release(doc);
    return code;
}

/* ---- the tensors ---- */

static int by_name(const void *a, const void *b)
{
    const struct shard_part *x = a, *y = b;
    int c = strcmp(x->t->name, y->t->name);
    return c ? c : (x->piece.file > y->piece.file) - (x->piece.file < y->piece.file);
}

/* The shape that n parts of one tensor span together. */
static err_t span(struct stored_tensor *t, const struct shard_part *parts, int64_t n,
                  const struct stored_list *out, struct err *e)
{
    for (int64_t i = 0; i < n; i++) {
        const struct shard_part *p = &parts[i];
        if (p->t->ndim != t->ndim)
            return err_set(e, ERR_DATA, "%s: tensor %s: %d axes, expected %d as in %s",
                           out->files[p->piece.file].path, t->name, p->t->ndim, t->ndim,
                           out->files[parts[0].piece.file].path);
        for (int k = 0; k < t->ndim; k++) {
            int64_t end;
            if (__builtin_add_overflow(p->piece.start[k], p->piece.dims[k], &end))
                return err_set(e, ERR_DATA, "%s: tensor %s: its offset %lld and size overflow 64 bits",
                               out->files[p->piece.file].path, t->name, (long long)p->piece.start[k]);
            t->dims[k] = end > t->dims[k] ? end : t->dims[k];
        }
    }
    return ERR_OK;
}

/* A gap mostly means that a process's files are not there: its number says so. */
static err_t refuse_gap(const struct sharded *g, const struct err *why, struct err *e)
{
    if (why->code != ERR_DATA || g->present == g->last)
        return err_set(e, why->code, "%s", why->text);
    return err_set(
        e, ERR_DATA,
        "%.1000s; of the processes 1 to %lld that wrote %s, the shards of %lld are there: copy the "
        "others' too",
        why->text, (long long)g->last, g->dir, (long long)g->present);
}

static err_t make_tensor(const struct sharded *g, struct stored_list *out, const struct shard_part *parts,
                         int64_t n, struct arena *a, struct err *e)
{
    struct stored_tensor *t = &out->tensors[out->ntensors++];
    struct stored_piece *pieces;
    struct err why;
    int room = (int)strlen(parts[0].t->name) + 1;
    char *module;
    t->name = arena_strdup(a, parts[0].t->name, e);
    if (!t->name)
        return e->code;
    TRY(arena_array(a, "sharded.modules", room, &module, e));
    tensor_module(t->name, module, room);
    t->module = module;
    t->layer = tensor_layer(t->name);
    t->dtype = parts[0].t->dtype;
    t->ndim = parts[0].t->ndim;
    TRY(span(t, parts, n, out, e));
    TRY(arena_array(a, "checkpoint.pieces", n, &pieces, e));
    for (int64_t i = 0; i < n; i++)
        pieces[i] = parts[i].piece;
    err_clear(&why);
    return stored_assemble(t, pieces, n, 0, out, g->dir, a, &why) == ERR_OK ? ERR_OK : refuse_gap(g, &why, e);
}

static err_t read_all(struct sharded *g, struct stored_list *out, struct arena *a, struct arena *scratch,
                      struct err *e)
{
    TRY(list_names(g->dir, &g->names, &g->nfiles, scratch, e));
    if (g->nfiles == 0)
        return err_set(e, ERR_DATA, "%s: no shards of the name shard-RRRRR-model-KKKKK-of-NNNNN.safetensors",
                       g->dir);
    TRY(check_names(g, e));
    for (int64_t i = 0; i < g->nfiles; i++)
        TRY(read_shard(g, out, g->names[i], a, scratch, e));
    if (g->nparts > 0)
        qsort(g->parts, (size_t)g->nparts, sizeof *g->parts, by_name);
    int64_t n = 0;
    for (int64_t i = 0; i < g->nparts; i++)
        n += i == 0 || strcmp(g->parts[i - 1].t->name, g->parts[i].t->name) != 0;
    TRY(arena_array(a, "checkpoint.tensors", n, &out->tensors, e));
    for (int64_t i = 0, end; i < g->nparts; i = end) {
        for (end = i + 1; end < g->nparts && strcmp(g->parts[i].t->name, g->parts[end].t->name) == 0; end++)
            ;
        TRY(make_tensor(g, out, &g->parts[i], end - i, a, e));
    }
    out->note = arena_printf(a, e,
                             "Shards of %lld processes in %lld files, not consolidated: how large a tensor "
                             "is follows from where its parts end.",
                             (long long)g->present, (long long)g->nfiles);
    return e->code;
}

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    struct arena scratch = {0};
    struct sharded g = {.dir = path_dir(a, path, e)};
    (void)choice;
    *out = (struct stored_list){0};
    if (!g.dir)
        return e->code;
    arena_init(&scratch, a->mem);
    err_t code = read_all(&g, out, a, &scratch, e);
    arena_release(&scratch);
    return code;
}

const struct format format_sharded = {
    .name = "safetensors shards of a distributed checkpoint",
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .finds = "shard-*-model-*-of-*.safetensors",
    .find = find_sharded,
    .open = open_list,
};
