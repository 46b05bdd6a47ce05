/* Pair: a base and a tuned checkpoint matched by tensor name (match.h), read block by block in the compare
 * type. */
#ifndef SINEW_PAIR_H
#define SINEW_PAIR_H

#include "formats/checkpoint.h"
#include "base/log.h"
#include "compare/match.h"
#include "formats/readahead.h"
#include "hdf5/table.h"

enum { PAIR_RANGES = 4 };

/* What will be read of a pair, as far as it has been said: runs of blocks in the order of reading, counted
 * through from the first that was ever expected. */
struct pair_plan {
    struct pair_range {
        const struct match_set *set;
        int64_t from, to, count; /* blocks; number of block `from` in that order */
    } ranges[PAIR_RANGES];
    int nranges;
    int64_t now;                            /* the block that is read */
    int64_t next;                           /* the block of which the next piece is announced to the reader */
    int64_t sent[2];                        /* elements of it that have been, of base and tuned */
    const struct stored_tensor *advised[2]; /* the last tensor of which the file system was told */
};

struct pair {
    enum arithmetic arithmetic;
    struct checkpoint base, tuned;
    struct match match;                /* its layouts are those that are read by */
    void *raw;                         /* one block of raw elements, before conversion */
    struct decoder_scratch scratch[2]; /* of base and tuned */
    struct readahead *reader;          /* of both checkpoints */
    struct arena *arena;
    struct pair_plan plan;
};

/* Local. Matches two catalogues (load artifacts) as match_build does, under its policy. Tensors that are not
 * in the main layout are added to `skipped` (may be NULL) with node and reason. Everything is owned by the
 * arena. It is read in mode auto (readahead.h) unless pair_read_by says otherwise. */
err_t pair_open(struct pair *p, const char *base_catalogue, const char *tuned_catalogue,
                enum arithmetic arithmetic, const struct match_policy *policy, const char *cell,
                const char *node, struct table *skipped, struct arena *a, struct err *e);

/* Local. Would pair_open match these two opened checkpoints? naming, coverage (may be NULL): as match's.
 * Errors: DATA as there. */
err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned,
                 const struct match_policy *policy, const char *cell, const char **naming,
                 struct coverage *coverage, struct arena *a, struct err *e);

/* Local. A line of what was made of the names, where that was anything unasked, and one of what is compared,
 * where that is not all. */
void pair_say(const struct pair *p, const char *cell, const struct log *log);

/* Local. How to read it; before the first read. */
err_t pair_read_by(struct pair *p, const struct readahead_setting *how, struct err *e);

/* Local. Says that blocks [from, to) of a layout, that of set &p->match.main or .aside, will be read next and
 * in order, after those that were said before: the reader fetches ahead along them. A hint: reading otherwise
 * is slower and nothing else. Up to PAIR_RANGES such runs are kept, those that reading has come past are
 * forgotten. */
void pair_expect(struct pair *p, const struct match_set *set, int64_t from, int64_t to);

/* Local. Elements [first, first+n) of the main layout's tensor t from both sides, n <= LAYOUT_BLOCK, in the
 * compare type. Where the tuned side knows what was added to its base (decoder_change, an adapter read
 * exactly) w0 is zero and w1 that update: so every figure is the update's own, not that of two sums in which
 * it was rounded; and what depends on |w0|, the bins of magnitude and the criterion `relative`, knows nothing
 * of the base: all is in bin 0, and what is not zero is updated. */
err_t pair_read(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e);

/* Local. The same of the layout aside; integers and bools as they are. */
err_t pair_read_aside(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e);

/* Local. The base's elements of a tensor of a set, also where w0 is zero. */
err_t pair_base(struct pair *p, const struct match_set *set, int64_t t, int64_t first, int64_t n, void *w0,
                struct err *e);

/* Local. Closes the files. */
void pair_close(struct pair *p);

#endif
