#include "formats/dcp/dcp_item.h"

#include "formats/torch/torch_reader.h"

/* Are two shapes the same but for axes of length 1? Megatron puts such in front where layers are stacked. */
static int same_shape(int ndim, const int64_t *dims, int n, const int64_t *others)
{
    int i = 0, k = 0;
    for (;;) {
        while (i < ndim && dims[i] == 1)
            i++;
        while (k < n && others[k] == 1)
            k++;
        if (i == ndim || k == n)
            return i == ndim && k == n;
        if (dims[i++] != others[k++])
            return 0;
    }
}

static int equal_shape(int ndim, const int64_t *dims, int n, const int64_t *others)
{
    int same = ndim == n;
    for (int i = 0; i < ndim && same; i++)
        same = dims[i] == others[i];
    return same;
}

/* The tensor of the item, as it says itself. */
static err_t read_tensor(const struct dcp_item *item, const char *what, struct stored_tensor *found,
                         uint64_t *hash, struct arena *a, struct arena *scratch, struct err *e)
{
    struct torch_reader r;
    TRY(torch_reader_open_at(&r, what, item->fd, item->offset_bytes, item->length_bytes, a, scratch, e));
    *hash = r.header_hash;
    return rebuild_tensor(&r, found, r.pickle.root, e);
}

err_t dcp_item_read(const struct dcp_item *item, const struct stored_tensor *t, struct stored_piece *piece,
                    uint64_t *hash, struct arena *a, struct arena *scratch, struct err *e)
{
    struct stored_tensor found = {.name = t->name};
    struct err why;
    char shape[200], expected[200];
    char *what = arena_printf(scratch, e, "%s: bytes %lld to %lld", item->path, (long long)item->offset_bytes,
                              (long long)(item->offset_bytes + item->length_bytes));
    if (!what)
        return e->code;
    err_clear(&why);
    err_t code = read_tensor(item, what, &found, hash, a, scratch, &why);
    if (code == ERR_DATA)
        return err_set(
            e, code,
            "%.1100s; .metadata has a chunk of tensor %.200s there: the file is of another save, or "
            "damaged: copy it again",
            why.text, t->name);
    if (code != ERR_OK)
        return err_set(e, code, "%s", why.text);
    int equal = equal_shape(found.ndim, found.dims, t->ndim, piece->dims);
    if (found.dtype != t->dtype ||
        !(equal || (!found.strides && same_shape(found.ndim, found.dims, t->ndim, piece->dims))))
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: a chunk of shape %s of %s, expected %s of %s as .metadata says: the file "
            "is of another save",
            what, t->name, shape_text(found.ndim, found.dims, shape, sizeof shape), dtype_name(found.dtype),
            shape_text(t->ndim, piece->dims, expected, sizeof expected), dtype_name(t->dtype));
    piece->dtype = found.dtype;
    piece->offset_bytes = found.offset_bytes;
    piece->strides = found.strides;
    return ERR_OK;
}
