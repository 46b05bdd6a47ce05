/* Checkpoints of torch.distributed.checkpoint: a folder with .metadata and files __R_N.distcp, in which every
 * process leaves its chunks of tensors, each a torch.save archive of its own, one behind another.
 *
 * Source: pytorch, torch/distributed/checkpoint/filesystem.py. accelerate, torchtitan, prime-rl, VeOmni,
 * OLMo-core and, below its iterations, Megatron-core write such folders. Without coordination between
 * processes (use_collectives=False) each leaves a __R.metadata of its own; they are read as one. Which names
 * are the model's dcp_model.h says; other values are neither read nor opened. Every chunk that is taken is
 * looked at in its file: its place, type and shape are checked against .metadata. */
#include "formats/format.h"

#include "base/dict.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/decoders/view.h"
#include "formats/dcp/dcp_item.h"
#include "formats/dcp/dcp_metadata.h"
#include "formats/dcp/dcp_model.h"
#include "formats/torch/state_dict.h"
#include "formats/torch/torch_reader.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char METADATA[] = ".metadata";

/* Where trainers put the model's checkpoint in the folder of a step. */
static const char *const folders[] = {"",           "pytorch_model_fsdp_0/", "model_and_optim/",
                                      "dist_ckpt/", "actor/dist_ckpt/",      "model/"};

/* ---- recognising ---- */

/* The number of a process in "__R.metadata"; -1: it is no such name. */
static int64_t process_of(const char *name)
{
    char *end;
    if (strncmp(name, "__", 2) != 0 || !isdigit((unsigned char)name[2]))
        return -1;
    long long number = strtoll(name + 2, &end, 10);
    return strcmp(end, METADATA) == 0 && number < INT_MAX ? number : -1;
}

/* What a folder holds of a distributed checkpoint. */
struct dcp_seen {
    int64_t files, metadata; /* *.distcp; __R.metadata */
    int whole, unfinished;   /* .metadata; .metadata.tmp */
};

static struct dcp_seen look(const char *dir)
{
    struct dcp_seen s = {.whole = format_has_entry(dir, METADATA)};
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        s.files += text_ends_with(entry->d_name, ".distcp");
        s.metadata += process_of(entry->d_name) >= 0;
        s.unfinished += text_ends_with(entry->d_name, ".metadata.tmp");
    }
    if (d)
        closedir(d);
    return s;
}

/* Is there a checkpoint, or what is left of one, in a folder of dir ("" or ending in a slash)? Then its
 * metadata is the name. Where files are without it, opening says so. */
static int find_in(const char *dir, const char *folder, char *name, int size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, folder);
    if (n < 0 || n >= (int)sizeof path)
        return 0;
    struct dcp_seen s = look(path);
    if (!s.whole && s.metadata == 0 && s.files == 0)
        return 0;
    return snprintf(name, (size_t)size, "%s%s", folder, METADATA) < size;
}

/* Megatron's run names its last iteration in a file of a few digits beside its folders. */
static int find_latest(const char *dir, char *name, int size)
{
    char path[PATH_MAX], text[24] = "", *end = text;
    int n = snprintf(path, sizeof path, "%s/latest_checkpointed_iteration.txt", dir);
    int fd = n > 0 && n < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    long long iteration = got > 0 && isdigit((unsigned char)text[0]) ? strtoll(text, &end, 10) : -1;
    if (end == text || (*end != '\0' && *end != '\n') || iteration < 0)
        return 0;
    snprintf(path, sizeof path, "iter_%07lld/", iteration);
    return find_in(dir, path, name, size);
}

static int find_dcp(const char *dir, char *name, int size)
{
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++)
        if (find_in(dir, folders[k], name, size))
            return 1;
    return find_latest(dir, name, size);
}

/* ---- the metadata ---- */

struct dcp_file {
    const char *name; /* as the metadata has it, relative to the folder */
    const char *path;
    struct file_stamp stamp;
    int64_t end_bytes; /* where the last item ends that the metadata has in it */
    int index;         /* in the list; -1: not used */
    uint64_t hash;
};

/* A chunk that is to be looked at. */
struct dcp_want {
    struct stored_tensor *t;
    struct stored_piece *piece;
    const struct dcp_place *place;
    int64_t file;
};

struct dcp {
    const char *dir, *path;      /* path: of the metadata, for messages */
    const struct choice *choice; /* NULL: nothing is chosen */
    struct stored_list *out;
    int64_t nmetadata, nentries, nfiles, files_cap, nwants, wants_cap;
    struct dcp_metadata *metadata;
    struct dcp_entry **entries; /* of all of them, sorted by name */
    struct dict files_by_name;
    struct dcp_file *files;
    struct dcp_want *wants;
    struct arena *keep, *scratch;
};

static err_t refuse_lost(const char *dir, const struct dcp_seen *s, struct err *e)
{
    if (s->unfinished)
        return err_set_part(
            e,
            "%s: the save was interrupted: .metadata.tmp is there, but no .metadata, which is "
            "written last; use an earlier checkpoint",
            dir);
    return err_set_part(
        e,
        "%s: .metadata is lost: expected it beside the %lld .distcp files found; one process alone writes it, when "
        "all are done, and without it nothing tells whose bytes are where; copy it from the node that ran "
        "process 0 (nodes without a shared file system keep their files each for itself: gather all of them "
        "in one folder)",
        dir, (long long)s->files);
}

static int by_process(const void *a, const void *b)
{
    int64_t x = process_of(*(const char *const *)a), y = process_of(*(const char *const *)b);
    return (x > y) - (x < y);
}

/* The names of the files of metadata in the folder. */
static err_t list_metadata(const struct dcp *g, const char ***out, int64_t *n, struct err *e)
{
    struct dcp_seen s = look(g->dir);
    const char **names;
    DIR *d;
    *n = 0;
    TRY(arena_array(g->scratch, "dcp.names", s.metadata + 1, &names, e));
    *out = names;
    if (s.whole) {
        names[(*n)++] = METADATA;
        return ERR_OK;
    }
    d = s.metadata > 0 ? opendir(g->dir) : NULL;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && *n < s.metadata; entry = readdir(d))
        if (process_of(entry->d_name) >= 0) {
            names[*n] = arena_strdup(g->scratch, entry->d_name, e);
            if (!names[*n])
                break;
            ++*n;
        }
    if (d)
        closedir(d);
    TRY(e->code);
    if (*n == 0)
        return refuse_lost(g->dir, &s, e);
    qsort(names, (size_t)*n, sizeof *names, by_process);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct dcp_entry *x = *(struct dcp_entry *const *)a, *y = *(struct dcp_entry *const *)b;
    int c = dcp_text_order(x->name, y->name);
    return c ? c : (x->of > y->of) - (x->of < y->of);
}

static err_t read_metadata(struct dcp *g, struct err *e)
{
    const char **names;
    TRY(list_metadata(g, &names, &g->nmetadata, e));
    TRY(arena_array(g->scratch, "dcp.metadata", g->nmetadata, &g->metadata, e));
    for (int64_t i = 0; i < g->nmetadata; i++) {
        struct dcp_metadata *m = &g->metadata[i];
        char *path = path_join(g->keep, g->dir, names[i], e);
        if (!path)
            return e->code;
        TRY(dcp_metadata_read(m, path, g->scratch, e));
        TRY(stored_add_file(g->out, path, m->stamp.size_bytes, m->stamp.mtime_ns, m->hash, g->keep, e));
        g->nentries += m->nentries;
    }
    g->path = g->metadata[0].path;
    TRY(arena_array(g->scratch, "dcp.entries", g->nentries, &g->entries, e));
    int64_t n = 0;
    for (int64_t i = 0; i < g->nmetadata; i++)
        for (int64_t k = 0; k < g->metadata[i].nentries; k++)
            g->entries[n++] = &g->metadata[i].entries[k];
    if (n > 0)
        qsort(g->entries, (size_t)n, sizeof *g->entries, by_name);
    return ERR_OK;
}

/* ---- the files ---- */

/* A file must lie in the folder or below: metadata is as untrusted as any other input. */
static err_t check_path(const struct dcp *g, const char *name, const struct pickle_value *text, struct err *e)
{
    const char *fault = path_fault(name);
    char shown[PATH_MAX];
    if (!fault && (size_t)text->n != strlen(name))
        fault = "holds a zero byte";
    if (!fault)
        return ERR_OK;
    return err_set(e, ERR_DATA,
                   "%s: the file \"%.300s\" %s: expected one in the folder of the metadata, or below",
                   g->path, pickle_shown(text->text, text->n, shown, 301), fault);
}

/* The number of the file in which a place is. */
static err_t file_of(struct dcp *g, const struct dcp_place *place, int64_t *out, struct err *e)
{
    char name[PATH_MAX];
    const struct pickle_value *text = place->file;
    if (text->n >= (int64_t)sizeof name)
        return err_set(e, ERR_DATA, "%s: the name of a file has %lld bytes, expected fewer than %d", g->path,
                       (long long)text->n, PATH_MAX);
    memcpy(name, text->text, (size_t)text->n);
    name[text->n] = '\0';
    *out = dict_find(&g->files_by_name, name);
    if (*out >= 0)
        return ERR_OK;
    TRY(check_path(g, name, text, e));
    TRY(arena_grow(g->scratch, "dcp.files", g->nfiles + 1, &g->files_cap, &g->files, e));
    struct dcp_file *f = &g->files[g->nfiles];
    *f = (struct dcp_file){.index = -1};
    f->path = path_join(g->keep, g->dir, name, e);
    f->name = f->path ? arena_strdup(g->scratch, name, e) : NULL;
    if (!f->name)
        return e->code;
    TRY(dict_put(&g->files_by_name, f->name, g->nfiles, e));
    *out = g->nfiles++;
    return ERR_OK;
}

/* ---- the tensors ---- */

static err_t add_want(struct dcp *g, const struct dcp_entry *entry, struct stored_tensor *t,
                      struct stored_piece *piece, struct err *e)
{
    char shape[200];
    const struct dcp_place *place = dcp_place_find(entry, t->ndim, piece->start);
    if (!place)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: its chunk from %s on is nowhere: expected a place in storage_data; the "
            "save is incomplete",
            entry->of->path, t->name, shape_text(t->ndim, piece->start, shape, sizeof shape));
    if (place->transforms)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: its bytes were changed when they were written (transform_descriptors, "
                       "a compression mostly): expected them as they are; load it with torch and save it "
                       "without extensions",
                       entry->of->path, t->name);
    TRY(arena_grow(g->scratch, "dcp.wants", g->nwants + 1, &g->wants_cap, &g->wants, e));
    struct dcp_want *w = &g->wants[g->nwants++];
    *w = (struct dcp_want){.t = t, .piece = piece, .place = place};
    return file_of(g, place, &w->file, e);
}

/* One tensor from all metadata that have it, n of them: its chunks, empty ones aside, become pieces. */
struct dcp_gathered {
    struct stored_piece *pieces;
    int64_t n;
};

static err_t gather(struct dcp *g, struct stored_tensor *t, struct dcp_entry *const *entries, int64_t n,
                    struct dcp_gathered *out, struct err *e)
{
    const struct pickle_value *chunk;
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        struct stored_tensor as = {.name = t->name};
        TRY(dcp_entry_shape(entries[i], i == 0 ? t : &as, e));
        if (i > 0 &&
            (as.dtype != t->dtype || as.ndim != t->ndim || memcmp(as.dims, t->dims, sizeof as.dims) != 0))
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: another type or shape than %s has: two saves in one folder",
                           entries[i]->of->path, t->name, entries[0]->of->path);
        for (const struct pickle_cell *at = dcp_chunk_next(entries[i], NULL, &chunk); at;
             at = dcp_chunk_next(entries[i], at, &chunk))
            most++;
    }
    TRY(arena_array(g->keep, "checkpoint.pieces", most, &out->pieces, e));
    for (int64_t i = 0; i < n; i++)
        for (const struct pickle_cell *at = dcp_chunk_next(entries[i], NULL, &chunk); at;
             at = dcp_chunk_next(entries[i], at, &chunk)) {
            struct stored_piece *piece = &out->pieces[out->n];
            int empty = 0;
            TRY(dcp_chunk_read(entries[i], chunk, t, piece, e));
            for (int k = 0; k < t->ndim; k++)
                empty |= piece->dims[k] == 0;
            if (empty) {
                *piece = (struct stored_piece){.file = 0};
                continue;
            }
            out->n++;
            TRY(add_want(g, entries[i], t, piece, e));
        }
    return ERR_OK;
}

static err_t name_tensor(struct dcp *g, struct stored_tensor *t, const struct dcp_entry *entry, struct err *e)
{
    struct torch_reader r = {.path = g->path, .keep = g->keep};
    char *name;
    int64_t n;
    TRY(dcp_model_name(entry, &name, &n, g->scratch, e));
    const struct pickle_value text = {.kind = PICKLE_TEXT, .text = name, .n = n};
    TRY(torch_reader_name(&r, t, &text, e));
    arena_drop(g->scratch, name);
    return ERR_OK;
}

/* The entries of one name are neighbours. */
static int64_t same_name(const struct dcp *g, int64_t i)
{
    int64_t end = i + 1;
    while (end < g->nentries && dcp_text_order(g->entries[i]->name, g->entries[end]->name) == 0)
        end++;
    return end;
}

static err_t list_tensors(struct dcp *g, struct dcp_gathered **gathered, struct err *e)
{
    int64_t n = 0;
    for (int64_t i = 0; i < g->nentries; i = same_name(g, i))
        n += g->entries[i]->depth >= 0;
    TRY(arena_array(g->keep, "checkpoint.tensors", n, &g->out->tensors, e));
    TRY(arena_array(g->scratch, "dcp.gathered", n, gathered, e));
    for (int64_t i = 0, end; i < g->nentries; i = end) {
        end = same_name(g, i);
        if (g->entries[i]->depth < 0)
            continue;
        struct stored_tensor *t = &g->out->tensors[g->out->ntensors];
        TRY(name_tensor(g, t, g->entries[i], e));
        TRY(gather(g, t, g->entries + i, end - i, &(*gathered)[g->out->ntensors], e));
        g->out->ntensors++;
    }
    return ERR_OK;
}

/* ---- the chunks ---- */

static int by_place(const void *a, const void *b)
{
    const struct dcp_want *x = a, *y = b;
    int c = (x->file > y->file) - (x->file < y->file);
    c = c ? c
          : (x->place->offset_bytes > y->place->offset_bytes) -
                (x->place->offset_bytes < y->place->offset_bytes);
    return c ? c : (x->piece > y->piece) - (x->piece < y->piece);
}

/* All files that are needed must be there; the first that is not is told with how many are not. */
static err_t check_files(struct dcp *g, struct err *e)
{
    int64_t missing = 0;
    const struct dcp_file *first = NULL;
    for (int64_t i = 0; i < g->nfiles; i++)
        if (!file_stamp_of(g->files[i].path, &g->files[i].stamp)) {
            missing++;
            first = first ? first : &g->files[i];
        }
    if (missing == 0)
        return ERR_OK;
    return err_set_part(
        e,
        "%s: is missing: %s has chunks of the model in it; expected %lld files, found %lld: every process "
        "writes its own, and on nodes without a shared file system they stay where they were "
        "written: gather them in one folder",
        first->path, g->path, (long long)g->nfiles, (long long)(g->nfiles - missing));
}

/* Items lie in the file, one behind another. */
static err_t check_place(const struct dcp *g, const struct dcp_want *w, const struct dcp_want *before,
                         struct err *e)
{
    const struct dcp_file *f = &g->files[w->file];
    const struct dcp_place *p = w->place;
    int64_t end = p->offset_bytes + p->length_bytes; /* no overflow: dcp_metadata.c looked */
    if (end > f->stamp.size_bytes)
        return err_set_part(
            e, "%s: truncated: a chunk of tensor %s ends at byte %lld, the file has %lld: copy it again",
            f->path, w->t->name, (long long)end, (long long)f->stamp.size_bytes);
    if (before && before->place != p &&
        before->place->offset_bytes + before->place->length_bytes > p->offset_bytes)
        return err_set(e, ERR_DATA, "%s: chunks of tensors %s and %s overlap in %s at byte %lld", g->path,
                       before->t->name, w->t->name, f->path, (long long)p->offset_bytes);
    return ERR_OK;
}

/* The wants [from, to) of one file. */
static err_t read_file(struct dcp *g, int64_t from, int64_t to, struct arena *item_arena, struct err *e)
{
    struct dcp_file *f = &g->files[g->wants[from].file];
    int fd;
    err_t code = file_open(f->path, &fd, &f->stamp, e);
    for (int64_t i = from; i < to && code == ERR_OK; i++) {
        struct dcp_want *w = &g->wants[i];
        uint64_t hashes[2] = {f->hash, 0};
        const struct dcp_item item = {f->path, fd, w->place->offset_bytes, w->place->length_bytes};
        code = check_place(g, w, i > from ? w - 1 : NULL, e);
        if (code == ERR_OK)
            code = dcp_item_read(&item, w->t, w->piece, &hashes[1], g->keep, item_arena, e);
        f->hash = hash_bytes(hashes, sizeof hashes);
        w->piece->file = (int)g->out->nfiles;
        arena_reset(item_arena);
    }
    if (fd >= 0)
        close(fd);
    TRY(code);
    return stored_add_file(g->out, f->path, f->stamp.size_bytes, f->stamp.mtime_ns, f->hash, g->keep, e);
}

static err_t read_chunks(struct dcp *g, struct err *e)
{
    struct arena item_arena = {0};
    err_t code = check_files(g, e);
    if (g->nwants > 0)
        qsort(g->wants, (size_t)g->nwants, sizeof *g->wants, by_place);
    arena_init(&item_arena, g->scratch->mem);
    for (int64_t i = 0, end; i < g->nwants && code == ERR_OK; i = end) {
        for (end = i + 1; end < g->nwants && g->wants[end].file == g->wants[i].file; end++)
            ;
        code = read_file(g, i, end, &item_arena, e);
    }
    arena_release(&item_arena);
    return code;
}

/* ---- all of it ---- */

/* The names of all files that the metadata names, whatever lies in them, into a set. Neighbours mostly name
 * one file by one text. */
static err_t name_files(struct dcp *g, struct dict *named, struct err *e)
{
    const struct pickle_value *last = NULL;
    for (int64_t i = 0; i < g->nmetadata; i++)
        for (int64_t k = 0; k < g->metadata[i].nplaces; k++) {
            const struct pickle_value *file = g->metadata[i].places[k].file;
            if (file == last)
                continue;
            last = file;
            char *name = arena_strndup(g->scratch, file->text, (size_t)file->n, e);
            if (!name)
                return e->code;
            if (dict_find(named, name) < 0)
                TRY(dict_put(named, name, 0, e));
            else
                arena_drop(g->scratch, name);
        }
    return ERR_OK;
}

/* Files of another save are no harm, but worth a word. */
static err_t say_strangers(struct dcp *g, struct err *e)
{
    struct dict named = {.arena = g->scratch};
    int64_t strangers = 0;
    TRY(name_files(g, &named, e));
    DIR *d = opendir(g->dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        strangers += text_ends_with(entry->d_name, ".distcp") && dict_find(&named, entry->d_name) < 0;
    if (d)
        closedir(d);
    if (strangers == 0)
        return ERR_OK;
    char *told = arena_printf(
        g->scratch, e, "%lld .distcp files that .metadata does not name, of another save, are left alone.",
        (long long)strangers);
    return told ? state_dict_note(g->out, told, g->keep, e) : e->code;
}

/* What is deployed of float32 masters is mostly bf16: rounded once, for who asks for the model's weights. */
static err_t round_masters(struct dcp *g, struct err *e)
{
    int64_t rounded = 0;
    for (int64_t i = 0; i < g->out->ntensors; i++) {
        struct stored_tensor *t = &g->out->tensors[i];
        rounded += t->dtype == DTYPE_F32 || t->dtype == DTYPE_F64;
        TRY(cast_make(t, g->keep, e));
    }
    return rounded > 0 ? state_dict_note(g->out, "Weights of float32 are rounded to bf16.", g->keep, e)
                       : ERR_OK;
}

/* The model's config.json lies beside the checkpoint, in the folder of the step (accelerate), or there in one
 * of its own (verl). */
static err_t find_config(struct dcp *g, struct err *e)
{
    static const char config[] = "config.json";
    char *above = path_dir(g->keep, g->dir, e);
    char *own = above ? path_join(g->keep, above, "huggingface", e) : NULL;
    if (!own)
        return e->code;
    const char *const dirs[] = {g->dir, above, own};
    g->out->config_dir = g->dir;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (format_has_entry(dirs[i], config)) {
            g->out->config_dir = dirs[i];
            return ERR_OK;
        }
    return ERR_OK;
}

static err_t read_folder(struct dcp *g, struct err *e)
{
    struct dcp_gathered *gathered;
    TRY(read_metadata(g, e));
    TRY(dcp_model_find(g->entries, g->nentries, g->dir, &g->out->note, g->keep, g->scratch, e));
    TRY(list_tensors(g, &gathered, e));
    TRY(read_chunks(g, e));
    for (int64_t i = 0; i < g->out->ntensors; i++)
        TRY(stored_assemble(&g->out->tensors[i], gathered[i].pieces, gathered[i].n, 0, g->out, g->path,
                            g->keep, e));
    TRY(state_dict_unwrap(g->out, g->path, g->keep, e));
    TRY(find_config(g, e));
    TRY(say_strangers(g, e));
    return g->choice && g->choice->weights == CHOICE_WEIGHTS_MODEL ? round_masters(g, e) : ERR_OK;
}

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    struct arena scratch = {0};
    struct dcp g = {
        .dir = path_dir(a, path, e), .choice = choice, .out = out, .keep = a, .scratch = &scratch};
    *out = (struct stored_list){0};
    if (!g.dir)
        return e->code;
    arena_init(&scratch, a->mem);
    g.files_by_name.arena = &scratch;
    err_t code = read_folder(&g, e);
    arena_release(&scratch);
    return code;
}

const struct format format_dcp = {
    .name = "torch distributed checkpoint",
    .ignores = CHOICE_OF_BASE,
    .masters = 1,
    .finds = "a torch distributed checkpoint (.metadata and *.distcp)",
    .find = find_dcp,
    .open = open_list,
};
