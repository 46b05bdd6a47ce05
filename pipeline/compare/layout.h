/* Layout: the compared tensors of a pair in one line, cut into fixed-size blocks.
 *
 * Tensors follow each other by name. Each is cut into blocks of LAYOUT_BLOCK elements (the last one shorter),
 * so that a block lies in one tensor and its bits in whole 64-bit words of the bitmap; a tensor's bits begin
 * at a word. Work is divided by blocks, and every floating-point sum is built from block sums, so no result
 * depends on the number of processes. */
#ifndef SINEW_LAYOUT_H
#define SINEW_LAYOUT_H

#include "base/comm.h"
#include "base/err.h"
#include "hdf5/h5.h"
#include "base/mem.h"
#include "hdf5/table.h"
#include "elements/tensor.h"

enum { LAYOUT_BLOCK = 1 << 18 }; /* elements: 512 KiB of bf16 */

struct layout_tensor {
    const char *name, *module;
    const char *stack; /* elements/stack.h; "" for the model's main one */
    int64_t layer;     /* in its stack; -1: in none */
    int ndim;
    int64_t dims[TENSOR_MAX_NDIM];
    int64_t elements;
    const char *dtype_base, *dtype_tuned; /* safetensors names */
    int64_t first_block, nblocks;
    int64_t first_word, nwords; /* 64-bit words of the bitmap */
};

struct layout {
    int64_t ntensors, nblocks, nwords, elements;
    struct layout_tensor *tensors; /* sorted by name, bytewise */
};

struct block {
    int64_t tensor; /* index */
    int64_t first;  /* first element in the tensor */
    int64_t n;      /* elements, 1..LAYOUT_BLOCK */
    int64_t word;   /* first word in the bitmap of the whole layout */
    int64_t nwords;
};

/* Local. Fills first_block, nblocks, first_word, nwords and the totals from the tensors' elements. */
void layout_number(struct layout *l);

/* Local. Block b of the layout, 0 <= b < nblocks. O(log ntensors). */
struct block layout_block(const struct layout *l, int64_t b);

/* Local. The window that begins at block b0: the largest b1 such that blocks [b0, b1) hold at most
 * max_elements, but at least one block. Depends on nothing but its arguments. */
int64_t layout_window(const struct layout *l, int64_t b0, int64_t max_elements);

/* Local. The same, and at most max_tensors tensors. */
int64_t layout_window_tensors(const struct layout *l, int64_t b0, int64_t max_elements, int64_t max_tensors);

/* Local. The blocks [*from, *to) of window [b0, b1) that are process me's of np, contiguous, balanced by
 * elements. */
void layout_share(const struct layout *l, int64_t b0, int64_t b1, int np, int me, int64_t *from, int64_t *to);

/* Local. The first difference between the tensors of two layouts, in their order: a tensor that only one has,
 * or one of another size: of other elements, with `shapes` also of another shape. d: the tensors that differ,
 * NULL where there is none. */
enum layout_order { LAYOUT_SAME, LAYOUT_ONLY_A, LAYOUT_ONLY_B, LAYOUT_SIZES };
struct layout_difference {
    const struct layout_tensor *a, *b;
};
enum layout_order layout_compare(const struct layout *a, const struct layout *b, int shapes,
                                 struct layout_difference *d);

/* Local. Writes or reads the table "compared" of an artifact, from which the layout is rebuilt. */
err_t layout_write(const struct layout *l, struct h5 *f, struct arena *a, struct err *e);
err_t layout_read(struct layout *l, struct h5 *f, struct arena *a, struct err *e);

/* Local, pure. Of the tensors that are marked, leaves n marked: those of `first` before others, and of either
 * those whose names have the smallest hashes, so that it is the same ones in every layout of these names. 0:
 * all. Errors: SYSTEM over budget. */
struct layout_drawn {
    int64_t changed,
        unchanged; /* of all that were marked those of `first`, and others; 0 where all are left */
};
err_t layout_draw(const struct layout *l, int64_t n, const char *first, char *marked, struct layout_drawn *of,
                  struct arena *a, struct err *e);

#endif
