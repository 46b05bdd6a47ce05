#include "formats/torch/torchfile.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "formats/format.h"
#include "formats/torch/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_PICKLE_BYTES = 100000000, /* as large as a safetensors header may be */
    MAX_NAME_BYTES = 512,         /* ours: names become columns of fixed width and HDF5 links */
    SHOWN = 101
};

#define LOAD "torch.load('OLD', map_location='cpu', weights_only=True)"
#define CONVERT(what) "python3 -c \"import torch; torch.save(" what ", 'NEW')\""

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
    if (p->root->kind != PICKLE_DICT)
        return err_set(e, ERR_DATA, "%s: no state dict: expected a map of names to tensors, found %s",
                       r->path, rebuild_is_tensor(p->root) ? "a tensor" : pickle_kind_text(p->root));
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
                "python3 -c \"import torch; torch.save(" LOAD "['%s'], 'NEW')\"",
                r->path, name, rebuild_is_tensor(value) ? "a tensor" : pickle_kind_text(value),
                pickle_shown(key->kind == PICKLE_TEXT ? key->text : "", key->kind == PICKLE_TEXT ? key->n : 0,
                             shown, sizeof shown),
                name);
    }
    *out = found;
    return ERR_OK;
}

static err_t check_name(const struct torch_reader *r, const struct pickle_value *key, struct err *e)
{
    char shown[SHOWN];
    if (key->kind != PICKLE_TEXT)
        return err_set(e, ERR_DATA,
                       "%s: a key of the state dict: expected a text, found %s (byte %d of data.pkl)",
                       r->path, pickle_kind_text(key), (int)key->at);
    if (key->n == 0)
        return err_set(e, ERR_DATA, "%s: a tensor has the empty name", r->path);
    pickle_shown(key->text, key->n, shown, sizeof shown);
    if (key->n > MAX_NAME_BYTES)
        return err_set(e, ERR_DATA, "%s: tensor %s...: name of %lld bytes, expected at most %d", r->path,
                       shown, (long long)key->n, MAX_NAME_BYTES);
    for (int64_t i = 0; i < key->n;) {
        int width = text_utf8(key->text + i, key->n - i);
        unsigned c = (unsigned char)key->text[i];
        if (width == 0 || c < 0x20 || c == 0x7f)
            return err_set(e, ERR_DATA, "%s: the tensor name %s holds the %s 0x%02x", r->path, shown,
                           width == 0 ? "byte, no UTF-8," : "control character", c);
        i += width;
    }
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
    int64_t bytes = 0;
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        TRY(check_name(r, key, e));
        bytes += 2 * (key->n + 1);
    }
    char *texts;
    TRY(arena_array(r->keep, "torchfile.names", bytes, &texts, e));
    TRY(arena_array(r->keep, "torchfile.tensors", map->n, &out->tensors, e));
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value)) {
        struct stored_tensor *t = &out->tensors[out->ntensors++];
        int room = (int)key->n + 1;
        memcpy(texts, key->text, (size_t)key->n);
        tensor_module(texts, texts + room, room);
        t->name = texts;
        t->module = texts + room;
        t->layer = tensor_layer(texts);
        texts += 2 * room;
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

/* ---- the archive ---- */

/* The only TOP/data.pkl. */
static err_t find_pickle(struct torch_reader *r, const struct zip_entry **out, struct err *e)
{
    static const char last[] = "data.pkl";
    const struct zip_entry *found = NULL;
    for (int64_t i = 0; i < r->zip.nentries; i++) {
        const struct zip_entry *entry = &r->zip.entries[i];
        const char *slash = strchr(entry->name, '/');
        if (!slash || strcmp(slash + 1, last) != 0)
            continue;
        if (found)
            return err_set(e, ERR_DATA, "%s: expected one data.pkl in the archive, found %.300s and %.300s",
                           r->path, found->name, entry->name);
        found = entry;
        r->top = entry->name;
        r->top_bytes = (int)(slash + 1 - entry->name);
    }
    if (!found)
        return err_set(e, ERR_DATA, "%s: a zip archive without TOP/data.pkl: expected what torch.save writes",
                       r->path);
    *out = found;
    return ERR_OK;
}

static const struct zip_entry *beside(const struct torch_reader *r, const char *name)
{
    char path[1200];
    snprintf(path, sizeof path, "%.*s%s", r->top_bytes, r->top, name);
    return zip_find(&r->zip, path);
}

static err_t check_beside(const struct torch_reader *r, struct err *e)
{
    static const char little[] = "little";
    if (beside(r, "constants.pkl"))
        return err_set(e, ERR_DATA,
                       "%s: a TorchScript archive, expected a state dict; write one with: " CONVERT(
                           "torch.jit.load('OLD', map_location='cpu').state_dict()"),
                       r->path);
    const struct zip_entry *order = beside(r, "byteorder");
    if (!order)
        return ERR_OK; /* written before torch 2.1: on a little-endian machine, or it could not be told */
    char *text;
    TRY(zip_read(&r->zip, order, 64, r->scratch, &text, e));
    int64_t n = order->size_bytes;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    char shown[65];
    if (n != (int64_t)strlen(little) || memcmp(text, little, (size_t)n) != 0)
        return err_set(e, ERR_DATA,
                       "%s: byteorder: expected \"%s\", found \"%s\"; save it again on such a machine",
                       r->path, little, pickle_shown(text, n, shown, sizeof shown));
    arena_drop(r->scratch, text);
    return ERR_OK;
}

static int begins_with(const unsigned char *head, int n, const char *mark, int mark_bytes)
{
    return n >= mark_bytes && memcmp(head, mark, (size_t)mark_bytes) == 0;
}

/* What is no zip archive is called by its name. */
static err_t check_head(const struct torchfile *t, int fd, struct err *e)
{
    enum { HEAD = 512, TAR_MARK = 257 };
    static const char legacy[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    unsigned char head[HEAD];
    ssize_t got;
    do
        got = pread(fd, head, sizeof head, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", t->path, strerror(errno));
    int n = (int)got;
    if (begins_with(head, n, "PK\3\4", 4))
        return ERR_OK;
    TRY(file_refuse_pointer(t->path, (const char *)head, n, t->size_bytes, e));
    int old = begins_with(head, n, legacy, (int)sizeof legacy - 1);
    int tar = n > TAR_MARK && begins_with(head + TAR_MARK, n - TAR_MARK, "ustar", 5);
    if (old || tar)
        return err_set(
            e, ERR_DATA,
            "%s: %s, expected the zip archive that torch.save writes since 1.6; convert it with: " CONVERT(
                LOAD),
            t->path, old ? "torch's format before 1.6" : "a tar archive, torch's format before 0.1.10");
    return err_set(e, ERR_DATA,
                   "%s: no torch file: expected the zip archive that torch.save writes, found %lld bytes%s",
                   t->path, (long long)t->size_bytes,
                   n > 0 && head[0] == 0x80 ? " that begin as a bare pickle" : " of something else");
}

static err_t read_file(struct torch_reader *r, struct torchfile *t, int fd, struct err *e)
{
    TRY(check_head(t, fd, e));
    TRY(zip_open(&r->zip, t->path, fd, t->size_bytes, r->scratch, e));
    const struct zip_entry *entry = NULL;
    TRY(find_pickle(r, &entry, e));
    TRY(check_beside(r, e));
    char *bytes = NULL, *what = arena_printf(r->scratch, e, "%s: data.pkl", t->path);
    if (!what)
        return e->code;
    TRY(zip_read(&r->zip, entry, MAX_PICKLE_BYTES, r->scratch, &bytes, e));
    const uint64_t hashes[] = {r->zip.directory_hash, hash_bytes(bytes, (size_t)entry->size_bytes)};
    t->header_hash = hash_bytes(hashes, sizeof hashes);
    TRY(pickle_read(&r->pickle, what, bytes, entry->size_bytes, rebuild_names, rebuild_nnames, r->scratch,
                    e));
    return read_tensors(r, t, e);
}

err_t torchfile_open(struct torchfile *t, const char *path, struct arena *a, struct err *e)
{
    *t = (struct torchfile){0};
    t->path = arena_strdup(a, path, e);
    if (!t->path)
        return e->code;
    struct file_stamp stamp;
    int fd;
    TRY(file_open(path, &fd, &stamp, e));
    t->size_bytes = stamp.size_bytes;
    t->mtime_ns = stamp.mtime_ns;
    struct arena scratch = {0};
    arena_init(&scratch, a->mem);
    struct torch_reader r = {.path = t->path, .file_bytes = t->size_bytes, .keep = a, .scratch = &scratch};
    err_t code = read_file(&r, t, fd, e);
    close(fd);
    arena_release(&scratch);
    return code;
}

/* ---- as a format ---- */

static err_t open_list(struct stored_list *out, const char *path, struct arena *a, struct err *e)
{
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
    .open = open_list,
};
