/* Mask file: which elements of a cell are updated by a criterion, a bit each. One service for the stage that
 * writes it and for those that read it.
 *
 * In the artifact: /mask (uint64 words, see layout.h, 1 where updated), the table "compared" from which the
 * layout is rebuilt, the root attributes criterion, tolerance and arithmetic, and the table "bins" of all
 * elements and of the updated ones by tensor and magnitude bin of |w0|. Its counts stand in the tables that
 * go into the archive; the one row of "sparsity" is the whole mask's. */
#ifndef SINEW_MASKFILE_H
#define SINEW_MASKFILE_H

#include "compare/layout.h"
#include "hdf5/artifact.h"

extern const struct dataset maskfile_datasets[]; /* for the stage that writes it */

/* What two masks must have in common, beside their layout, to be compared. */
struct maskfile_kind {
    const char *criterion, *arithmetic;
    double tolerance;
};

/* ---- writing ---- */

/* Collective. Creates the words in the artifact. */
err_t maskfile_create(struct artifact *out, const struct layout *l, struct h5_bulk **words, struct err *e);

/* Local, process 0. All that stands beside the words but the tables for the archive. */
err_t maskfile_describe(struct h5 *f, const struct layout *l, const struct maskfile_kind *k,
                        const struct table *bins, struct arena *a, struct err *e);

/* ---- reading ---- */

/* Local. What the mask at path is of. Owned by the arena. Errors: DATA for a damaged artifact, SYSTEM. */
err_t maskfile_read(const char *path, struct layout *l, struct maskfile_kind *k, struct arena *a,
                    struct err *e);

/* Local. Opens the words of a mask of this layout. *m is NULL on error; owned by the arena, closed by
 * maskfile_close (NULL is fine). Errors: DATA where their number is another, SYSTEM. */
struct maskfile;
err_t maskfile_open(const char *path, const struct layout *l, struct arena *a, struct maskfile **m,
                    struct err *e);
void maskfile_close(struct maskfile *m);

/* Local. Words [at, at+n) of the layout. */
err_t maskfile_words(const struct maskfile *m, int64_t at, int64_t n, uint64_t *words, struct err *e);

/* Local. Rows [at, at+n) of table bins, as far as there are, into an empty table of the arena; *total
 * receives how many it has. */
err_t maskfile_bins(const struct maskfile *m, int64_t at, int64_t n, struct table *bins, int64_t *total,
                    struct arena *a, struct err *e);

/* Local. Elements that are updated, as table sparsity says. Errors: DATA where that does not fit the layout.
 */
err_t maskfile_updated(const struct maskfile *m, int64_t *updated, struct err *e);

/* ---- reading several ---- */

/* Masks of one layout, to be read side by side. Few stay open; where there are many, each is opened anew for
 * each reading. */
struct maskset;

/* Local. Owned by the arena; paths and layout are borrowed until maskset_close (NULL is fine). *s is NULL on
 * error. */
err_t maskset_open(const char *const *path, int n, const struct layout *l, struct arena *a,
                   struct maskset **s, struct err *e);
void maskset_close(struct maskset *s);

/* Local. maskfile_words and maskfile_bins of mask i. */
err_t maskset_words(struct maskset *s, int i, int64_t at, int64_t n, uint64_t *words, struct err *e);
err_t maskset_bins(struct maskset *s, int i, int64_t at, int64_t n, struct table *bins, int64_t *total,
                   struct arena *a, struct err *e);

#endif
