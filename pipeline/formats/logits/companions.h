/* Companions: what stands beside logits (or entropies) with one value for each token: the ids of the tokens,
 * and which of them count. Known by their names:
 *   ids   token_ids, input_ids
 *   mask  mask; completion_mask (TRL), response_mask (verl), loss_mask; attention_mask
 * the better first: of two masks the one that tells answer from prompt counts, and the one that tells tokens
 * from padding does not. Any other tensor with a value for each token is not read, and is named. */
#ifndef SINEW_COMPANIONS_H
#define SINEW_COMPANIONS_H

#include "formats/logits/logits.h"

enum companion { COMPANION_NONE, COMPANION_IDS, COMPANION_MASK };

/* Local. What the tensor of this name is for, of n that stand in one file: the best name of its kind; else
 * nothing. */
enum companion companions_find(const struct stored_tensor *list, int64_t n, const char *name);

/* Local. Takes l's ids and mask from the tensors of its file, of which those must have their types and
 * shapes and the others their numbers of elements, and notes what has a value for each token and is not read.
 * l->tokens is known. Names are borrowed. Errors: DATA where one has not a value for each token, or a type
 * that does not fit; SYSTEM. */
err_t companions_take(struct logits *l, const struct stored_tensor *list, int64_t n, struct arena *a,
                      struct err *e);

/* Local. Elements [first, first+n) of t, ids or mask, as integers; d: the same under HDF5, else NULL. At most
 * l's reserved rows at once. Errors: DATA where a mask of floating point has a value other than 0 and 1. */
err_t companions_read(struct logits *l, const struct stored_tensor *t, struct h5_source *d, int64_t first,
                      int64_t n, int64_t *out, struct err *e);

/* Local. Of rows [first, first+n): which count, where l has a mask, and their ids, where it has them (room
 * for n each); *counted: how many count. Errors: as companions_read. */
err_t companions_block(struct logits *l, int64_t first, int64_t n, int64_t *mask, int64_t *ids,
                       int64_t *counted, struct err *e);

/* Local. DATA, with its place, where the id of a token is not from 0 to nids - 1. */
err_t companions_check_id(const struct logits *l, int64_t token, int64_t id, int64_t nids, struct err *e);

/* Local. Raises *largest to the largest id of the rows that count, through companions_block; each must be
 * below nids. */
err_t companions_largest_id(struct logits *l, int64_t first, int64_t n, int64_t *mask, int64_t *ids,
                            int64_t nids, int64_t *largest, struct err *e);

/* Local. Why what l->unused names is not read, for the policy ("base" or "tuned"). Arena-owned; NULL only
 * when e is set. */
const char *companions_why_unused(const struct logits *l, const char *policy, struct arena *a, struct err *e);

#endif
