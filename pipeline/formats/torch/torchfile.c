#include "formats/torch/torchfile.h"

#include "base/text.h"
#include "formats/folders/shards.h"
#include "formats/format.h"
#include "formats/torch/torch_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 101 };

/* ---- the state dict ---- */

static int is_plain(const struct pickle_value *v)
{
    switch (v->kind) {
    case PICKLE_NONE:
    case PICKLE_BOOL:
    case PICKLE_INT:
    case PICKLE_REAL:
    case PICKLE_TEXT:
        return 1;
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_DICT:
        return v->n == 0;
    default:
        return 0;
    }
}

/* The map that holds the tensors: the top one, or the one under a name of old among plain values. */
static err_t find_state_dict(const struct torch_reader *r, const struct pickle_value **out, struct err *e)
{
    static const char *const nested[] = {"state_dict", "model"};
    const struct pickle *p = &r->pickle;
    const struct pickle_value *key = NULL, *value = NULL, *found = NULL;
    const char *name = NULL;
    char told[PICKLE_TOLD];
    if (p->root->kind != PICKLE_DICT)
        return err_set(
            e, ERR_DATA,
            "%s: no state dict: expected a map of names to tensors, found %s (byte %d of data.pkl)", r->path,
            rebuild_is_tensor(p, p->root) ? "a tensor" : pickle_told(p, p->root, told), (int)p->root->at);
    *out = p->root;
    for (int k = 0; k < 2 && !found; k++)
        for (const struct pickle_cell *at = pickle_next(p, p->root, NULL, &key, &value); at && !found;
             at = pickle_next(p, p->root, at, &key, &value))
            if (pickle_is(key, nested[k]) && value->kind == PICKLE_DICT) {
                found = value;
                name = nested[k];
            }
    if (!found)
        return ERR_OK;
    for (const struct pickle_cell *at = pickle_next(p, p->root, NULL, &key, &value); at;
         at = pickle_next(p, p->root, at, &key, &value)) {
        char shown[SHOWN];
        if (value != found && !is_plain(value))
            return err_set(
                e, ERR_DATA,
                "%s: beside its map \"%s\" it holds %s \"%s\": expected a state dict alone; write one with: "
                "python3 -c \"import torch; torch.save(" TORCH_LOAD "['%s'], 'NEW')\"",
                r->path, name, rebuild_is_tensor(p, value) ? "a tensor" : pickle_kind_text(value),
                pickle_shown(key->kind == PICKLE_TEXT ? key->text : "", key->kind == PICKLE_TEXT ? key->n : 0,
                             shown, sizeof shown),
                name);
    }
    *out = found;
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stored_tensor *)a)->name, ((const struct stored_tensor *)b)->name);
}

static err_t read_tensors(struct torch_reader *r, struct torchfile *out, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *map = NULL, *key, *value;
    TRY(find_state_dict(r, &map, e));
    TRY(arena_array(r->keep, "torchfile.tensors", map->n, &out->tensors, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        struct stored_tensor *t = &out->tensors[out->ntensors++];
        TRY(torch_reader_name(r, t, key, e));
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

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    (void)choice;
    struct torchfile t;
    TRY(torchfile_open(&t, path, a, e));
    *out = (struct stored_list){.ntensors = t.ntensors, .tensors = t.tensors};
    return stored_add_file(out, t.path, t.size_bytes, t.mtime_ns, t.header_hash, a, e);
}

const struct format format_torch = {
    .name = "torch",
    .endings = {".bin", ".pt", ".pth"},
    .stem = "pytorch_model",
    .model = "pytorch_model.bin",
    .index = "pytorch_model.bin.index.json",
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
