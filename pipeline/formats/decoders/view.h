/* Views, joins, casts: tensors that follow from others without arithmetic.
 *
 * A view is another tensor's numbers in another order or a part of them (a slice, a transpose, a permutation
 * of rows); a join is several tensors one behind another; a cast is a tensor's own elements rounded to
 * another type. What they look at may lie in pieces, be decoded, or be derived itself. */
#ifndef SINEW_DECODER_VIEW_H
#define SINEW_DECODER_VIEW_H

#include "formats/decoder.h"

enum { VIEW_MAX_NDIM = 8 };

/* How elements of a tensor stand in the row-major order of another's. */
struct view_shape {
    int ndim;                                            /* 1 to VIEW_MAX_NDIM */
    int64_t offset;                                      /* the first, in elements */
    int64_t dims[VIEW_MAX_NDIM], strides[VIEW_MAX_NDIM]; /* strides in elements, each >= 0 */
};

extern const struct decoder decoder_view, decoder_join, decoder_cast;

/* Local. Makes t, derived, whose name and shape are filled in, a view of another tensor: its elements in
 * row-major order are those of the view, which may have more axes than t. Where `of` lies as it is in one run
 * of a file, and the view has t's axes, t becomes a stored tensor with strides, which costs nothing to read.
 * Errors: DATA, naming t, where the view leaves `of` or has another number of elements; SYSTEM over budget.
 */
err_t view_make(struct stored_tensor *t, const struct stored_tensor *of, const struct view_shape *view,
                struct arena *a, struct err *e);

/* Local. Makes t, derived, whose name and shape are filled in, n tensors of one type one behind another.
 * Errors: DATA, naming t, where their types differ or their elements do not add up; SYSTEM over budget. */
err_t join_make(struct stored_tensor *t, const struct stored_tensor *const *parts, int64_t n, struct arena *a,
                struct err *e);

/* Local. Makes t's numbers its stored elements rounded to bf16, once, to nearest even. Nothing happens to a
 * tensor that is no F32 or F64. Errors: SYSTEM over budget. */
err_t cast_make(struct stored_tensor *t, struct arena *a, struct err *e);

#endif
