/* Again: is what was stored of the checkpoints what they give?
 *
 * Every node that stores an update (compare/update.h) is compared with the update that its checkpoints give
 * now, bit by bit: which elements changed, their old and new bits, and how many the tables count of each
 * tensor; and every catalogue with the headers (recatalogue.h). From the update follows all else that is
 * computed of a cell. Memory is bounded by the config's. */
#ifndef SINEW_AGAIN_H
#define SINEW_AGAIN_H

#include "engine/runner.h"

/* What is compared: all tensors of all updates, or `draws` of them (one that is drawn twice counts once),
 * which the seed decides, the same on any number of processes. */
struct again_sample {
    int64_t draws; /* 0: all */
    int64_t seed;
};

struct again_counts {
    int64_t updates, tensors, elements; /* that were compared */
    int64_t catalogues;                 /* of checkpoints, compared with the headers */
    int64_t otherwise;                  /* of updates and catalogues, those that differ */
    int64_t left;                       /* that were not compared: not fresh, or checkpoints that are gone */
    char first[200];                    /* the first that differs */
};

/* Collective. Tells on stdout, by process 0, of what differs and what is not compared. counts: on process 0.
 * Errors: DATA where a checkpoint cannot be read; SYSTEM. */
err_t again_compare(struct runner *r, const struct again_sample *s, struct again_counts *counts,
                    struct err *e);

#endif
