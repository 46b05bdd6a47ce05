/* How large a tensor and its update are, and whether they point the same way. Pure: no MPI, no files, no
 * allocation.
 *
 * Of w0, w1 and d = w1 - w0 (not rounded to the compare type, as the tables' other figures of the difference
 * are) the sums of w0^2, of d^2 and of w1^2 - w0^2, over the elements that are finite on both sides. The last
 * two have terms of changed elements alone, so that of unchanged ones nothing but w0 is looked at; and from
 * them the cosine follows without the cancellation of 1 - w0.w1 / |w0||w1|:
 *   1 - cos = (|d|^2 - (|w1| - |w0|)^2) / (2 |w0| |w1|),   |w1| - |w0| = sum(w1^2 - w0^2) / (|w1| + |w0|).
 * Elements go to fixed lanes by their place in the run, whose sums go to exact accumulators (xsum.h): the
 * result depends on where runs begin, not on isa, processes or their order. All of it is int64 words, so that
 * one integer sum reduces it. */
#ifndef SINEW_SIZE_H
#define SINEW_SIZE_H

#include "base/isa.h"
#include "base/xsum.h"
#include "elements/tensor.h"

struct size_sums {
    struct xsum base, delta, gain; /* of w0^2, d^2, w1^2 - w0^2 */
};

/* Partial sums of one run: element i goes to lane i % SIZE_LANES. */
enum { SIZE_LANES = 32 };
struct size_lanes {
    double base[SIZE_LANES], delta[SIZE_LANES], gain[SIZE_LANES];
};

enum { SIZE_WORDS = (int)(sizeof(struct size_sums) / sizeof(int64_t)) };

/* Local. Adds a run of n elements of the base in the compare type, changed or not. */
void size_add_base(struct size_sums *s, enum isa isa, enum arithmetic arithmetic, const void *bits,
                   int64_t n);

/* Local. Adds n changed elements to the lanes of a run, zeroed before its first: the run, or the next n of
 * it, a multiple of SIZE_LANES unless they are its last. Their old bits have been or will be among those of
 * the base: one that is not finite on the new side alone is taken out of its sum. */
void size_add_changed(struct size_lanes *lanes, enum isa isa, enum arithmetic arithmetic,
                      const void *old_bits, const void *new_bits, int64_t n);

/* Local. Adds a run's sums. */
void size_add_lanes(struct size_sums *s, const struct size_lanes *lanes);

/* Local. Adds a run of n elements whose update d is known by itself, rather than as the difference of two
 * sums that it was rounded in: w1 is w0 + d. Both in the compare type. Takes the place of the two above. */
void size_add_exact(struct size_sums *s, enum arithmetic arithmetic, const void *base_bits,
                    const void *update_bits, int64_t n);

/* Local. Carries propagated: before it is reduced over processes or merged. */
void size_normalise(struct size_sums *s);

/* Local. dst += src, both normalised. */
void size_merge(struct size_sums *dst, const struct size_sums *src);

#endif
