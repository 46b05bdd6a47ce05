#include "formats/safetensors/safetensors_writer.h"

#include "base/file.h"
#include "base/text.h"
#include "formats/safetensors/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ALIGN_BYTES = 8,     /* the reference writer pads the header to it */
    PASS_BYTES = 1 << 30 /* written at once, at most */
};

/* ---- the header ---- */

static err_t check_unique(const struct stored_tensor *t, int64_t n, struct arena *a, struct err *e)
{
    const char **names;
    TRY(arena_array(a, "safetensors.names", n, &names, e));
    for (int64_t i = 0; i < n; i++)
        names[i] = t[i].name;
    if (n > 0)
        qsort(names, (size_t)n, sizeof *names, text_order);
    for (int64_t i = 0; i < n; i++)
        if (safetensors_is_metadata(names[i]) || (i > 0 && strcmp(names[i - 1], names[i]) == 0))
            err_set(e, ERR_BUG, "a safetensors header was asked for with the tensor name %s %s", names[i],
                    safetensors_is_metadata(names[i]) ? "(reserved)" : "twice");
    arena_drop(a, names);
    return e->code;
}

static err_t add_tensor(struct text *out, struct stored_tensor *t, int64_t begin, int64_t *end, int first,
                        struct err *e)
{
    if (safetensors_count(t, &t->elements, &t->size_bytes) != SAFETENSORS_COUNTED ||
        __builtin_add_overflow(begin, t->size_bytes, end))
        return err_set(e, ERR_DATA, "tensor %s: the size of its shape is no number of bytes within 64 bits",
                       t->name);
    t->offset_bytes = begin;
    TRY(text_add(out, e, "%s", first ? "" : ","));
    TRY(text_add_json(out, e, t->name));
    TRY(text_add(out, e, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype)));
    for (int i = 0; i < t->ndim; i++)
        TRY(text_add(out, e, "%s%lld", i ? "," : "", (long long)t->dims[i]));
    return text_add(out, e, "],\"data_offsets\":[%lld,%lld]}", (long long)begin, (long long)*end);
}

static err_t refuse_long(uint64_t bytes, int64_t ntensors, struct err *e)
{
    return err_set(e, ERR_DATA,
                   "a header of %" PRIu64 " bytes or more for %lld tensors: the format allows %d", bytes,
                   (long long)ntensors, SAFETENSORS_MAX_HEADER_BYTES);
}

err_t safetensors_header(struct stored_tensor *t, int64_t ntensors, const char *const *metadata, int n,
                         struct arena *a, char **header, int64_t *header_bytes, struct err *e)
{
    struct text out = {.arena = a};
    uint64_t least = 0; /* bytes of the texts alone: a hopeless header is not built first */
    *header = NULL;
    for (int i = 0; i < 2 * n; i++)
        least += strlen(metadata[i]);
    for (int64_t i = 0; i < ntensors; i++)
        least += strlen(t[i].name);
    if (least > SAFETENSORS_MAX_HEADER_BYTES)
        return refuse_long(least, ntensors, e);
    TRY(check_unique(t, ntensors, a, e));
    TRY(text_add(&out, e, "%*s{", SAFETENSORS_PREFIX_BYTES, ""));
    for (int i = 0; i < n; i++) {
        TRY(text_add(&out, e, "%s", i ? "," : "\"__metadata__\":{"));
        TRY(text_add_json(&out, e, metadata[2 * i]));
        TRY(text_add(&out, e, ":"));
        TRY(text_add_json(&out, e, metadata[2 * i + 1]));
    }
    if (n > 0)
        TRY(text_add(&out, e, "}"));
    int64_t end = 0;
    for (int64_t i = 0; i < ntensors; i++)
        TRY(add_tensor(&out, &t[i], end, &end, i == 0 && n == 0, e));
    TRY(text_add(&out, e, "}"));
    while (out.used % ALIGN_BYTES != 0)
        TRY(text_add(&out, e, " "));
    uint64_t length = (uint64_t)(out.used - SAFETENSORS_PREFIX_BYTES);
    if (length > SAFETENSORS_MAX_HEADER_BYTES)
        return refuse_long(length, ntensors, e);
    for (int i = 0; i < SAFETENSORS_PREFIX_BYTES; i++)
        out.text[i] = (char)(unsigned char)(length >> (8 * i));
    for (int64_t i = 0; i < ntensors; i++) {
        t[i].offset_bytes += out.used;
        t[i].layer = tensor_layer(t[i].name);
        t[i].file = 0;
    }
    *header = out.text;
    *header_bytes = out.used;
    return ERR_OK;
}

err_t safetensors_index_text(const struct stored_tensor *t, int64_t ntensors, const char *const *files,
                             struct text *out, struct err *e)
{
    int64_t total = 0;
    for (int64_t i = 0; i < ntensors; i++)
        total += t[i].size_bytes;
    TRY(text_add(out, e, "{\n  \"metadata\": {\"total_size\": %lld},\n  \"weight_map\": {\n",
                 (long long)total));
    for (int64_t i = 0; i < ntensors; i++) {
        TRY(text_add(out, e, "    "));
        TRY(text_add_json(out, e, t[i].name));
        TRY(text_add(out, e, ": "));
        TRY(text_add_json(out, e, files[i]));
        TRY(text_add(out, e, "%s\n", i + 1 < ntensors ? "," : ""));
    }
    return text_add(out, e, "  }\n}\n");
}

/* ---- the file ---- */

err_t safetensors_writer_plan(struct safetensors_writer *w, const char *path, const char *mark,
                              struct stored_tensor *t, int64_t ntensors, const char *const *metadata, int n,
                              struct arena *a, struct err *e)
{
    *w = (struct safetensors_writer){.fd = -1, .alone = mark != NULL};
    TRY(safetensors_header(t, ntensors, metadata, n, a, &w->header, &w->header_bytes, e));
    w->path = arena_strdup(a, path, e);
    w->partial = file_partial(a, path, mark, e);
    if (!w->path || !w->partial)
        return e->code;
    w->size_bytes = w->header_bytes;
    for (int64_t i = 0; i < ntensors; i++)
        w->size_bytes += t[i].size_bytes;
    return ERR_OK;
}

err_t safetensors_writer_create(struct safetensors_writer *w, struct err *e)
{
    if (w->alone)
        file_sweep(w->path);
    TRY(file_create(w->partial, &w->fd, e));
    if (safetensors_writer_put(w, w->header, w->header_bytes, 0, e) == ERR_OK &&
        ftruncate(w->fd, (off_t)w->size_bytes) != 0)
        file_cannot(e, w->partial, "made as long as it will be", errno, w->size_bytes - w->header_bytes,
                    w->size_bytes);
    return safetensors_writer_close(w, e);
}

err_t safetensors_writer_open(struct safetensors_writer *w, struct err *e)
{
    w->fd = open(w->partial, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (w->fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be opened for writing: %s", w->partial, strerror(errno));
    return ERR_OK;
}

err_t safetensors_writer_put(struct safetensors_writer *w, const void *from, int64_t n, int64_t at,
                             struct err *e)
{
    const char *p = from;
    while (n > 0) {
        ssize_t wrote = pwrite(w->fd, p, (size_t)(n < PASS_BYTES ? n : PASS_BYTES), (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return file_cannot(e, w->partial, "written", wrote < 0 ? errno : ENOSPC, n, w->size_bytes);
        p += wrote;
        n -= wrote;
        at += wrote;
    }
    return ERR_OK;
}

err_t safetensors_writer_close(struct safetensors_writer *w, struct err *e)
{
    int fd = w->fd;
    w->fd = -1;
    if (fd >= 0 && close(fd) != 0 && e->code == ERR_OK) /* network file systems report a full disk here */
        file_cannot(e, w->partial, "closed", errno, 0, w->size_bytes);
    return e->code;
}

err_t safetensors_writer_commit(const struct safetensors_writer *w, struct err *e)
{
    return file_commit(w->partial, w->path, e);
}

void safetensors_writer_discard(struct safetensors_writer *w)
{
    struct err ignored;
    err_clear(&ignored);
    safetensors_writer_close(w, &ignored);
    if (w->partial)
        unlink(w->partial);
}
