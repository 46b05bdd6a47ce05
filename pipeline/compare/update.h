/* Update: what changed in a cell: which elements, their old and new bits. One service for those who store it
 * and those who use it.
 *
 * In a delta artifact: /update/bitmap (uint64 words, see layout.h), /update/old and /update/new (the set
 * elements' bits in the compare type, in order), /update/first_value (int64 per block plus one: where a
 * block's values begin), /update/nonfinite (int64: element positions in bitmap bits of elements that did not
 * change but are NaN or Inf on both sides: torch.isclose never calls their difference close, so masks must
 * know them) and /update/nonfinite_bits (their bits). With `store: none` none of these exist, and the same
 * calls read the pair again. */
#ifndef SINEW_UPDATE_H
#define SINEW_UPDATE_H

#include "hdf5/artifact.h"
#include "elements/bits/bits.h"
#include "compare/layout.h"
#include "compare/pair.h"

extern const struct dataset update_datasets[]; /* for the stage that writes it */

/* A run of blocks of the update, in memory, growing as elements are compared. */
struct update_part {
    enum arithmetic arithmetic;
    enum isa isa;
    struct arena *arena; /* owns the buffers, which are kept from one run to the next */
    int64_t from, to;    /* blocks */
    uint64_t *words;     /* bitmap from block `from`'s first word on, blocks one after the other */
    int64_t nwords, nvalues;
    void *old_bits, *new_bits; /* nvalues each */
    int64_t *first_value;      /* to-from+1: where each block's values begin in old_bits */
    int64_t *nonfinite;        /* bit positions relative to words[0], ascending */
    void *nonfinite_bits;      /* their bits in the compare type */
    int64_t nnonfinite;
    int64_t cap_words, cap_values, cap_old, cap_blocks, cap_nonfinite, cap_nonfinite_bits;
};

/* Local. Blocks that a process may take into one part: at most 16 (4.2 M elements), fewer where memory_bytes
 * (0: no limit) would not hold them if every element had changed. */
int64_t update_window_blocks(enum arithmetic arithmetic, int64_t memory_bytes);

/* Local. An empty part. */
void update_part_init(struct update_part *p, enum arithmetic arithmetic, struct arena *a);

/* Local. Empties the part and makes it blocks [from, to). */
err_t update_part_start(struct update_part *p, int64_t from, int64_t to, struct err *e);

/* Local. Room for so many more words, values and non-finite elements behind those that the part holds.
 * Errors: SYSTEM over budget. */
err_t update_part_room(struct update_part *p, int64_t nwords, int64_t nvalues, int64_t nnonfinite,
                       struct err *e);

/* Local. Says that block b begins here (b = to: that the last one has ended). */
void update_part_block(struct update_part *p, int64_t b);

/* Local. Compares n elements of both sides in the compare type and appends what differs. A block may come in
 * pieces of a multiple of 64 elements, its last piece of any length. bins, where not NULL: w0's magnitudes
 * are added to its MAGNITUDE_BINS counts. */
err_t update_part_add(struct update_part *p, const void *w0, const void *w1, int64_t n, int64_t *bins,
                      struct err *e);

struct update; /* an open update */

/* Local. Opens the update of a delta artifact for reading, whichever way it was stored. how: to read the
 * checkpoints where it was not stored; NULL: without reading ahead, for who has many updates open. Owned by
 * the arena; closed by update_close. */
err_t update_open(const char *delta_artifact, const struct readahead_setting *how, struct arena *a,
                  struct update **u, struct err *e);
void update_close(struct update *u);

/* Local. The same, but made again from the checkpoints, whether it was stored or not. */
err_t update_open_again(const char *delta_artifact, const struct readahead_setting *how, struct arena *a,
                        struct update **u, struct err *e);

/* Local. What the update is of, without opening its values. Owned by the arena. */
struct update_head {
    struct layout layout;
    enum arithmetic arithmetic;
    int stored; /* the bits are; else the checkpoints are read again */
};
err_t update_look(const char *delta_artifact, struct update_head *head, struct arena *a, struct err *e);

/* Local. The table "skipped" of a delta artifact, into an empty table of the arena. */
err_t update_skipped(const char *delta_artifact, struct table *skipped, struct arena *a, struct err *e);

const struct layout *update_layout(const struct update *u);
enum arithmetic update_arithmetic(const struct update *u);

/* Local. The table "bins": all elements and those whose bits differ by tensor and magnitude bin, into an
 * empty table of the arena. */
err_t update_bins(struct update *u, struct table *bins, struct arena *a, struct err *e);

/* Local. Of the marked tensors leaves n marked (0: all of them), as layout_draw does it, those that changed
 * before those that did not. */
err_t update_draw(struct update *u, int64_t n, char *marked, struct layout_drawn *of, struct err *e);

/* Local. Reads blocks [from, to). The part's buffers belong to u and are overwritten by the next call.
 * Errors: DATA where the artifact or the checkpoints are damaged, SYSTEM over budget. */
err_t update_read(struct update *u, int64_t from, int64_t to, struct update_part *part, struct err *e);

/* Writing, by delta. A writer appends windows in order; each process brings the part for its own share of the
 * window. What a window has to be told of the others is on its way while the next ones are compared, so that
 * who is ahead by less than UPDATE_WAITING windows waits for nobody, and each process writes when it likes:
 * processes that write to one file at the same time get into each other's way. */
enum { UPDATE_WAITING = 3 }; /* windows that have been put and not yet written, at most */
struct update_writer;

/* Local, process 0. What stands beside the bits: the checkpoints and how they were matched, from which the
 * update can be made again, and the layout. */
struct update_source {
    enum arithmetic arithmetic;
    const char *base, *tuned; /* catalogues */
    const struct match_policy *policy;
    const char *simulated; /* what a simulated checkpoint says of itself, or NULL */
    const struct layout *layout;
};
err_t update_describe(struct h5 *f, const char *delta_artifact, const struct update_source *s,
                      struct arena *a, struct err *e);

/* Collective. Creates the datasets in the artifact. */
err_t update_writer_open(struct update_writer **out, struct artifact *artifact, const struct comm *c,
                         const struct layout *l, enum arithmetic arithmetic, struct arena *a, struct err *e);

/* Collective, but nobody waits. Hands over one window: the parts of processes 0..np-1 are contiguous in that
 * order (empty parts: from == to). The part must stay as it is until it is written: UPDATE_WAITING windows
 * later. A failure that this process brings in e reaches the others with the window. */
void update_writer_put(struct update_writer *w, const struct update_part *part, const struct err *e);

/* Collective, but each process may come at another time, once between two calls of update_writer_put. Makes
 * room for one more window: writes the oldest, where UPDATE_WAITING of them wait. A failure on this process
 * stays in e until the next window is put; returned is one that all share. */
err_t update_writer_flush(struct update_writer *w, struct err *e);

/* Collective. Writes all that waits and completes the datasets. */
err_t update_writer_close(struct update_writer *w, struct err *e);

#endif
