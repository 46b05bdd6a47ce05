#include "formats/stored.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

static int by_name_then_file(const void *a, const void *b)
{
    const struct stored_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->file > y->file) - (x->file < y->file);
}

void stored_sort(struct stored_list *list)
{
    if (list->ntensors > 0)
        qsort(list->tensors, (size_t)list->ntensors, sizeof *list->tensors, by_name_then_file);
}

err_t stored_add_file(struct stored_list *list, const char *path, int64_t size_bytes, int64_t mtime_ns,
                      uint64_t header_hash, struct arena *a, struct err *e)
{
    TRY(arena_grow(a, "checkpoint.files", list->nfiles + 1, &list->files_cap, &list->files, e));
    list->files[list->nfiles++] = (struct stored_file){
        .path = path, .size_bytes = size_bytes, .mtime_ns = mtime_ns, .header_hash = header_hash, .fd = -1};
    return ERR_OK;
}

err_t stored_join(struct stored_list *out, const struct stored_list *parts, int64_t n, struct arena *a,
                  struct err *e)
{
    int64_t ntensors = 0, nfiles = 0;
    *out = (struct stored_list){0};
    for (int64_t i = 0; i < n; i++) {
        ntensors += parts[i].ntensors;
        nfiles += parts[i].nfiles;
    }
    TRY(arena_array(a, "checkpoint.files", nfiles, &out->files, e));
    TRY(arena_array(a, "checkpoint.tensors", ntensors, &out->tensors, e));
    for (int64_t i = 0; i < n; i++) {
        const struct stored_list *part = &parts[i];
        out->simulated = out->simulated ? out->simulated : part->simulated;
        for (int64_t k = 0; k < part->ntensors; k++) {
            struct stored_tensor *t = &out->tensors[out->ntensors++];
            *t = part->tensors[k];
            t->file += (int)out->nfiles;
        }
        for (int64_t k = 0; k < part->nfiles; k++)
            out->files[out->nfiles++] = part->files[k];
        arena_drop(a, part->tensors);
    }
    stored_sort(out);
    return ERR_OK;
}

const struct stored_tensor *stored_find(const struct stored_tensor *tensors, int64_t n, const char *name)
{
    int64_t low = 0, high = n - 1;
    while (low <= high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, tensors[middle].name);
        if (order == 0)
            return &tensors[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- places ---- */

int64_t stored_span(const struct stored_tensor *t)
{
    int64_t last = 0, bytes;
    if (!t->strides || t->elements == 0)
        return t->size_bytes;
    for (int i = 0; i < t->ndim; i++)
        if (t->strides[i] < 0 || __builtin_mul_overflow(t->dims[i] - 1, t->strides[i], &bytes) ||
            __builtin_add_overflow(last, bytes, &last))
            return -1;
    return __builtin_add_overflow(last, 1, &last) ||
                   __builtin_mul_overflow(last, dtype_bits(t->dtype) / 8, &bytes)
               ? -1
               : bytes;
}
