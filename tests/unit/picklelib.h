/* Pickles of protocol 2 made by hand, value by value, as torch.save writes what trainers keep beside weights.
 */
#ifndef SINEW_PICKLELIB_H
#define SINEW_PICKLELIB_H

#include "torchlib.h"

struct pickled {
    unsigned char b[8192];
    size_t n;
};

static inline void pk_bytes(struct pickled *p, const void *bytes, size_t n)
{
    assert_true(p->n + n <= sizeof p->b);
    memcpy(p->b + p->n, bytes, n);
    p->n += n;
}

/* Opcodes, or a GLOBAL: what is written as it is. */
static inline void pk(struct pickled *p, const char *ops)
{
    pk_bytes(p, ops, strlen(ops));
}

static inline void pk_begin(struct pickled *p)
{
    p->n = 0;
    pk_bytes(p, "\x80\2", 2);
}

static inline void pk_text(struct pickled *p, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    pk(p, "X");
    pk_bytes(p, &n, 4);
    pk(p, text);
}

static inline void pk_int(struct pickled *p, int32_t x)
{
    pk(p, "J");
    pk_bytes(p, &x, 4);
}

/* A key of a map that has been begun by "}(" and ends by "u"; its value follows. */
static inline void pk_key(struct pickled *p, const char *key)
{
    pk_text(p, key);
}

static inline void pk_key_int(struct pickled *p, const char *key, int32_t x)
{
    pk_key(p, key);
    pk_int(p, x);
}

static inline void pk_ints(struct pickled *p, const int64_t *v, int n)
{
    pk(p, "(");
    for (int i = 0; i < n; i++)
        pk_int(p, (int32_t)v[i]);
    pk(p, "t");
}

static inline void pk_size(struct pickled *p, const int64_t *v, int n)
{
    pk(p, "ctorch\nSize\n");
    pk_ints(p, v, n);
    pk(p, "\x85R");
}

/* A row-major tensor of storage `key` of `all` elements, from element `at` on. type: "Float". */
static inline void pk_tensor(struct pickled *p, const char *type, const char *key, int64_t all, int64_t at,
                             const int64_t *dims, int ndim)
{
    int64_t strides[TENSOR_MAX_NDIM], step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        step *= dims[i];
    }
    pk(p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    pk_text(p, "storage");
    pk(p, "ctorch\n");
    pk(p, type);
    pk(p, "Storage\n");
    pk_text(p, key);
    pk_text(p, "cpu");
    pk_int(p, (int32_t)all);
    pk(p, "tQ");
    pk_int(p, (int32_t)at);
    pk_ints(p, dims, ndim);
    pk_ints(p, strides, ndim);
    pk(p, "\x89"
          "ccollections\nOrderedDict\n)RtR");
}

#endif
