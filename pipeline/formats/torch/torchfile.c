#include "formats/torch/torchfile.h"

#include "base/path.h"
#include "base/text.h"
#include "formats/folders/shards.h"
#include "formats/format.h"
#include "formats/torch/shard.h"
#include "formats/torch/state_dict.h"
#include "formats/torch/torch_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the state dict ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stored_tensor *)a)->name, ((const struct stored_tensor *)b)->name);
}

/* A rank's part that is all of a tensor: what a run on one process saves. */
static err_t read_part(struct shard_reader *k, struct stored_tensor *t, const struct pickle_value *value,
                       struct shard *part, struct err *e)
{
    TRY(shard_read(k, t->name, value, part, e));
    struct stored_tensor whole = part->nparts > 0 ? part->parts[0].local : *t;
    int64_t elements = 1;
    for (int i = 0; i < part->ndim; i++)
        elements = part->dims[i] == 0 ? 0 : elements;
    int same = elements == 0 || (part->nparts == 1 && memcmp(whole.dims, part->dims, sizeof whole.dims) == 0);
    if (!same)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: this file has a part of it: name the folder of all ranks' files, "
                       "model_world_size_W_rank_R.pt",
                       k->r->path, t->name);
    if (elements == 0) {
        whole.ndim = part->ndim;
        memcpy(whole.dims, part->dims, sizeof whole.dims);
        whole.dtype = part->dtype == DTYPE_COUNT ? DTYPE_F32 : part->dtype;
        whole.elements = whole.size_bytes = 0;
    }
    whole.name = t->name;
    whole.module = t->module;
    whole.layer = t->layer;
    *t = whole;
    return ERR_OK;
}

static err_t read_tensors(struct torch_reader *r, struct torchfile *out, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *map = NULL, *key, *value;
    struct shard_reader k = {.r = r, .me = -1, .world = 1};
    struct shard part = {0};
    TRY(state_dict_find(r, &map, &out->note, e));
    TRY(arena_array(r->keep, "torchfile.tensors", map->n, &out->tensors, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        if (state_dict_passes_over(p, key, value))
            continue;
        struct stored_tensor *t = &out->tensors[out->ntensors++];
        TRY(torch_reader_name(r, t, key, e));
        if (shard_is_part(p, value))
            TRY(read_part(&k, t, value, &part, e));
        else
            TRY(rebuild_tensor(r, t, value, e));
    }
    if (out->ntensors > 0)
        qsort(out->tensors, (size_t)out->ntensors, sizeof *out->tensors, by_name);
    for (int64_t i = 1; i < out->ntensors; i++)
        if (strcmp(out->tensors[i - 1].name, out->tensors[i].name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor %s stands in the state dict twice", out->path,
                           out->tensors[i].name);
    return ERR_OK;
}

err_t torchfile_open(struct torchfile *t, const char *path, struct arena *a, struct err *e)
{
    struct arena scratch = {0};
    struct torch_reader r;
    *t = (struct torchfile){0};
    arena_init(&scratch, a->mem);
    err_t code = torch_reader_open(&r, path, a, &scratch, e);
    if (code == ERR_OK) {
        t->path = r.path;
        t->size_bytes = r.file_bytes;
        t->mtime_ns = r.mtime_ns;
        t->header_hash = r.header_hash;
        code = read_tensors(&r, t, e);
    }
    arena_release(&scratch);
    return code;
}

/* ---- as a format ---- */

extern const struct format format_torch;

/* One of several files of a model has the names that the others have, and that the index says. */
static int is_shard(const char *path, struct arena *a, struct err *e)
{
    const char *dir = path_dir(a, path, e);
    return dir && (strstr(path_last(path), "-of-") || format_has_entry(dir, format_torch.index));
}

/* What trainers write beside their own files (accelerate, FULL_STATE_DICT). */
static int find(const char *dir, char *name, int size)
{
    static const char accelerate[] = "pytorch_model_fsdp.bin";
    if (!format_has_entry(dir, accelerate))
        return 0;
    snprintf(name, (size_t)size, "%s", accelerate);
    return 1;
}

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    (void)choice;
    struct torchfile t;
    TRY(torchfile_open(&t, path, a, e));
    *out = (struct stored_list){.note = t.note, .ntensors = t.ntensors, .tensors = t.tensors};
    TRY(stored_add_file(out, t.path, t.size_bytes, t.mtime_ns, t.header_hash, a, e));
    return is_shard(path, a, e) ? e->code : state_dict_unwrap(out, path, a, e);
}

const struct format format_torch = {
    .name = "torch",
    .endings = {".bin", ".pt", ".pth"},
    .stem = "pytorch_model",
    .model = "pytorch_model.bin",
    .index = "pytorch_model.bin.index.json",
    .finds = "pytorch_model_fsdp.bin",
    .find = find,
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .open = open_list,
};

static int find_shards(const char *dir, char *name, int size)
{
    int64_t n;
    return shards_find(dir, format_torch.stem, format_torch.endings[0], name, size, &n);
}

static err_t open_shards(struct stored_list *out, const char *path, const struct choice *choice,
                         struct arena *a, struct err *e)
{
    return shards_open_set(out, &format_torch, path, choice, a, e);
}

const struct format format_torch_shards = {
    .name = "torch",
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .finds = "all shards pytorch_model-*-of-*.bin",
    .find = find_shards,
    .open = open_shards,
};
