/* Distributed checkpoints made by hand: a .metadata, pickled as torch pickles it, and files of items, each an
 * archive of one tensor. What a chunk says of itself can be made to differ from what is there. */
#ifndef SINEW_DCPLIB_H
#define SINEW_DCPLIB_H

#include "torchlib.h"

enum { PICKLED_BYTES = 1 << 16, DCP_AXES = 3, DCP_CHUNKS = 4, DCP_STEPS = 5 };

struct pickled {
    char b[PICKLED_BYTES];
    size_t n;
};

static inline void pk(struct pickled *p, const char *bytes, size_t n)
{
    assert_true(p->n + n <= sizeof p->b);
    memcpy(p->b + p->n, bytes, n);
    p->n += n;
}

#define PK(p, literal) pk((p), (literal), sizeof(literal) - 1)

static inline void pk_number(struct pickled *p, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++, x >>= 8)
        pk(p, (char[1]){(char)(x & 0xff)}, 1);
}

static inline void pk_text(struct pickled *p, const char *text)
{
    PK(p, "X");
    pk_number(p, strlen(text), 4);
    pk(p, text, strlen(text));
}

static inline void pk_int(struct pickled *p, int64_t x)
{
    PK(p, "\x8a\x08");
    pk_number(p, (uint64_t)x, 8);
}

static inline void pk_name(struct pickled *p, const char *module, const char *name)
{
    PK(p, "c");
    pk(p, module, strlen(module));
    PK(p, "\n");
    pk(p, name, strlen(name));
    PK(p, "\n");
}

static inline void pk_numbers(struct pickled *p, int n, const int64_t *v)
{
    PK(p, "(");
    for (int i = 0; i < n; i++)
        pk_int(p, v[i]);
    PK(p, "t");
}

static inline void pk_size(struct pickled *p, int n, const int64_t *v)
{
    pk_name(p, "torch", "Size");
    pk_numbers(p, n, v);
    PK(p, "\x85R");
}

/* An object whose attributes follow, up to pk_end. */
static inline void pk_object(struct pickled *p, const char *name)
{
    pk_name(p, "torch.distributed.checkpoint.metadata", name);
    PK(p, ")\x81}(");
}

static inline void pk_end(struct pickled *p)
{
    PK(p, "ub");
}

struct chunk {
    int64_t offsets[DCP_AXES], sizes[DCP_AXES];
    const char *file;
    int64_t at, length;     /* of its item */
    const char *transforms; /* NULL: none */
    int lost;               /* it has no place */
};

struct saved {
    const char *name;
    const char *path[DCP_STEPS]; /* NULL behind the last */
    const char *dtype;           /* NULL: no tensor, a value of bytes */
    int ndim;
    int64_t dims[DCP_AXES];
    int nchunks;
    struct chunk chunks[DCP_CHUNKS];
};

static inline void pk_entry(struct pickled *p, const struct saved *t)
{
    pk_text(p, t->name);
    if (!t->dtype) {
        pk_name(p, "torch.distributed.checkpoint.metadata", "BytesStorageMetadata");
        PK(p, ")\x81");
        return;
    }
    pk_object(p, "TensorStorageMetadata");
    pk_text(p, "properties");
    pk_name(p, "torch.distributed.checkpoint.metadata", "TensorProperties");
    PK(p, ")\x81(");
    pk_name(p, "torch", t->dtype);
    PK(p, "N\x89N\x89tb");
    pk_text(p, "size");
    pk_size(p, t->ndim, t->dims);
    pk_text(p, "chunks");
    PK(p, "](");
    for (int i = 0; i < t->nchunks; i++) {
        pk_object(p, "ChunkStorageMetadata");
        pk_text(p, "offsets");
        pk_size(p, t->ndim, t->chunks[i].offsets);
        pk_text(p, "sizes");
        pk_size(p, t->ndim, t->chunks[i].sizes);
        pk_end(p);
    }
    PK(p, "e");
    pk_end(p);
}

static inline void pk_place(struct pickled *p, const struct saved *t, const struct chunk *c)
{
    pk_object(p, "MetadataIndex");
    pk_text(p, "fqn");
    pk_text(p, t->name);
    if (t->dtype) {
        pk_text(p, "offset");
        pk_size(p, t->ndim, c->offsets);
    }
    pk_end(p);
    pk_object(p, "_StorageInfo");
    pk_text(p, "relative_path");
    pk_text(p, c->file);
    pk_text(p, "offset");
    pk_int(p, c->at);
    pk_text(p, "length");
    pk_int(p, c->length);
    if (c->transforms) {
        pk_text(p, "transform_descriptors");
        PK(p, "]");
        pk_text(p, c->transforms);
        PK(p, "a");
    }
    pk_end(p);
}

/* The whole pickle. paths: with planner_data. */
static inline void pk_metadata(struct pickled *p, const struct saved *v, int n, int paths)
{
    p->n = 0;
    PK(p, "\x80\x04");
    pk_object(p, "Metadata");
    pk_text(p, "state_dict_metadata");
    PK(p, "}(");
    for (int i = 0; i < n; i++)
        pk_entry(p, &v[i]);
    PK(p, "u");
    pk_text(p, "planner_data");
    if (paths)
        PK(p, "}(");
    else
        PK(p, "N");
    for (int i = 0; i < n && paths; i++) {
        pk_text(p, v[i].name);
        PK(p, "(");
        for (int k = 0; k < DCP_STEPS && v[i].path[k]; k++)
            pk_text(p, v[i].path[k]);
        PK(p, "t");
    }
    if (paths)
        PK(p, "u");
    pk_text(p, "storage_data");
    PK(p, "}(");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < v[i].nchunks; k++)
            if (!v[i].chunks[k].lost)
                pk_place(p, &v[i], &v[i].chunks[k]);
    PK(p, "u");
    pk_end(p);
    PK(p, ".");
}

/* An archive of one tensor of float32 (wide) or bfloat16 numbers, as torch.save writes it. strides: in
 * elements; NULL: row-major. */
static inline void item_make(struct zipped *z, int wide, int ndim, const int64_t *dims,
                             const int64_t *strides, const void *data, int64_t elements)
{
    static struct pickled p;
    int64_t steps[DCP_AXES], step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        steps[i] = strides ? strides[i] : step;
        step *= dims[i];
    }
    p.n = 0;
    PK(&p, "\x80\x02");
    pk_name(&p, "torch._utils", "_rebuild_tensor_v2");
    PK(&p, "((");
    pk_text(&p, "storage");
    pk_name(&p, "torch", wide ? "FloatStorage" : "BFloat16Storage");
    pk_text(&p, "0");
    pk_text(&p, "cpu");
    pk_int(&p, elements);
    PK(&p, "tQ");
    pk_int(&p, 0);
    pk_numbers(&p, ndim, dims);
    pk_numbers(&p, ndim, steps);
    PK(&p, "\x89");
    pk_name(&p, "collections", "OrderedDict");
    PK(&p, ")RtR.");
    memset(z, 0, sizeof *z);
    zipped_add(z, "archive/data.pkl", p.b, p.n, 1);
    zipped_add(z, "archive/byteorder", "little", 6, 1);
    zipped_add(z, "archive/data/0", data, (size_t)elements * (wide ? 4 : 2), 1);
    zipped_add(z, "archive/version", "3\n", 2, 1);
    zipped_end(z, 1);
}

#endif
