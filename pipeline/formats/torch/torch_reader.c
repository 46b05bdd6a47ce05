#include "formats/torch/torch_reader.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_PICKLE_BYTES = 100000000, /* as large as a safetensors header may be */
    MAX_NAME_BYTES = 512,         /* ours: names become columns of fixed width and HDF5 links */
    SHOWN = 101
};

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
                       "%s: a TorchScript archive, expected a state dict; write one with: " TORCH_CONVERT(
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
static err_t check_head(const struct torch_reader *r, int fd, struct err *e)
{
    enum { HEAD = 512, TAR_MARK = 257 };
    static const char legacy[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    unsigned char head[HEAD];
    ssize_t got;
    do
        got = pread(fd, head, sizeof head, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", r->path, strerror(errno));
    int n = (int)got;
    if (begins_with(head, n, "PK\3\4", 4))
        return ERR_OK;
    TRY(file_refuse_pointer(r->path, (const char *)head, n, r->file_bytes, e));
    int old = begins_with(head, n, legacy, (int)sizeof legacy - 1);
    int tar = n > TAR_MARK && begins_with(head + TAR_MARK, n - TAR_MARK, "ustar", 5);
    if (old || tar)
        return err_set(
            e, ERR_DATA,
            "%s: %s, expected the zip archive that torch.save writes since 1.6; convert it with: " TORCH_CONVERT(
                TORCH_LOAD),
            r->path, old ? "torch's format before 1.6" : "a tar archive, torch's format before 0.1.10");
    return err_set(e, ERR_DATA,
                   "%s: no torch file: expected the zip archive that torch.save writes, found %lld bytes%s",
                   r->path, (long long)r->file_bytes,
                   n > 0 && head[0] == 0x80 ? " that begin as a bare pickle" : " of something else");
}

static err_t read_archive(struct torch_reader *r, int fd, int64_t start_bytes, struct err *e)
{
    TRY(zip_open_at(&r->zip, r->path, fd, start_bytes, r->file_bytes, r->scratch, e));
    const struct zip_entry *entry = NULL;
    TRY(find_pickle(r, &entry, e));
    TRY(check_beside(r, e));
    char *bytes = NULL, *what = arena_printf(r->scratch, e, "%s: data.pkl", r->path);
    if (!what)
        return e->code;
    TRY(zip_read(&r->zip, entry, MAX_PICKLE_BYTES, r->scratch, &bytes, e));
    const uint64_t hashes[] = {r->zip.directory_hash, hash_bytes(bytes, (size_t)entry->size_bytes)};
    r->header_hash = hash_bytes(hashes, sizeof hashes);
    return pickle_read(&r->pickle, what, bytes, entry->size_bytes, rebuild_names, rebuild_nnames, r->scratch,
                       e);
}

err_t torch_reader_open(struct torch_reader *r, const char *path, struct arena *keep, struct arena *scratch,
                        struct err *e)
{
    struct file_stamp stamp;
    int fd;
    *r = (struct torch_reader){.keep = keep, .scratch = scratch};
    r->path = arena_strdup(keep, path, e);
    if (!r->path)
        return e->code;
    TRY(file_open(path, &fd, &stamp, e));
    r->file_bytes = stamp.size_bytes;
    r->mtime_ns = stamp.mtime_ns;
    err_t code = check_head(r, fd, e);
    if (code == ERR_OK)
        code = read_archive(r, fd, 0, e);
    close(fd);
    r->zip.fd = -1;
    return code;
}

err_t torch_reader_open_at(struct torch_reader *r, const char *what, int fd, int64_t start_bytes,
                           int64_t size_bytes, struct arena *keep, struct arena *scratch, struct err *e)
{
    *r = (struct torch_reader){.path = what, .file_bytes = size_bytes, .keep = keep, .scratch = scratch};
    err_t code = read_archive(r, fd, start_bytes, e);
    r->zip.fd = -1;
    return code;
}

/* ---- names ---- */

static err_t check_name(const struct torch_reader *r, const struct pickle_value *key, struct err *e)
{
    char shown[SHOWN];
    if (!key || key->kind != PICKLE_TEXT)
        return err_set(e, ERR_DATA,
                       "%s: a key of the state dict: expected a text, found %s (byte %d of data.pkl)",
                       r->path, pickle_kind_text(key), key ? (int)key->at : -1);
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

err_t torch_reader_name(struct torch_reader *r, struct stored_tensor *t, const struct pickle_value *key,
                        struct err *e)
{
    TRY(check_name(r, key, e));
    int room = (int)key->n + 1;
    char *texts;
    TRY(arena_array(r->keep, "torchfile.names", 2 * room, &texts, e));
    memcpy(texts, key->text, (size_t)key->n);
    tensor_module(texts, texts + room, room);
    t->name = texts;
    t->module = texts + room;
    t->layer = tensor_layer(texts);
    return ERR_OK;
}
