/* Strata: the elements of a base by tensor and magnitude bin of |w0|, and how many of each are updated in K
 * masks; the chance overlap of two masks is the sum over them. Held a run of rows at a time, sorted by tensor
 * and bin. No MPI, no files. */
#ifndef SINEW_STRATA_H
#define SINEW_STRATA_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum {
    STRATA_BINS = 1024,        /* the bin is a 10-bit number */
    STRATA_MOST_ROWS = 1 << 16 /* held at once, and at least twice those of a tensor */
};

struct strata {
    int k;                      /* masks */
    int64_t pair_from, pair_to; /* the pairs of masks that are summed */
    char *needed;               /* per mask: has it a part in one of them */
    const char *apart;          /* per mask: its elements are no base's, and have no part in any */
    int first;                  /* of the needed ones; -1: there is none */
    int64_t room, n, total;     /* rows: that fit, that are held, that there are */
    int64_t *tensor, *bin, *elements;
    int64_t *updated; /* [mask][room] */
    int64_t *sum;     /* per mask: updated elements seen; -1 where it is not needed */
};

/* Local. Room for the rows of the masks of pairs [pair_from, pair_to), about window_bytes of it. apart: of
 * each mask, borrowed; of a pair with such a one nothing is summed. */
err_t strata_init(struct strata *s, int k, const char *apart, int64_t pair_from, int64_t pair_to,
                  int64_t window_bytes, struct arena *a, struct err *e);

/* Local. Row r of mask i. The first needed mask says what the strata are; the others must say the same. */
enum strata_fault { STRATA_FINE, STRATA_DIFFERS, STRATA_COUNT };
enum strata_fault strata_put(struct strata *s, int i, int64_t r, const int64_t row[4]);

/* Local. The first row that is out of order or of range, which bounds the rows of a tensor; -1: none. */
int64_t strata_disorder(const struct strata *s, int64_t ntensors);

/* Local. How many of the rows held, the first of which is row `at` of all, are of whole tensors. */
int64_t strata_whole(const struct strata *s, int64_t at);

/* Local. Where the rows of the tensor that begins at row r0 end, at `end` at the latest; *elements receives
 * the sum of its elements. */
int64_t strata_tensor(const struct strata *s, int64_t r0, int64_t end, int64_t *elements);

/* Local. Rows [r0, r1) are one tensor's: adds its updated elements to the masks' sums, and to each pair's
 * ns scopes the mean and variance of its chance overlap: arrays [pair - pair_from][nscopes]. */
struct strata_chance {
    int64_t nscopes, scope[3];
    int ns;
    double *mean, *variance;
};
void strata_add(struct strata *s, int64_t r0, int64_t r1, const struct strata_chance *to);

#endif
