/* Machine: what a node costs on a process or a team of them, told from headers. One model for plan, which
 * shows it, and for the schedule, which acts on it. */
#ifndef SINEW_MACHINE_H
#define SINEW_MACHINE_H

#include "formats/headers.h"
#include "study/dag.h"

struct machine_model {
    double bytes_per_sec, flops_per_sec; /* of one process */
    int spare; /* one part in so many of a process's memory is left for what it holds beside a node */
};

/* What is assumed where nothing was measured: there to tell minutes from days. */
extern const struct machine_model machine_assumed;

/* Local. What a node may count on of a process's memory_bytes. Pure. */
int64_t machine_memory(const struct machine_model *m, int64_t memory_bytes);

/* Local. Seconds that one process takes for all of the work. Pure. */
double machine_sec(const struct machine_model *m, const struct estimate *x);

/* Local. The stage's own estimate for node n on a team of np processes, from as many headers as it needs.
 * Returns 1, or 0 where it cannot be told: the stage has none, or a checkpoint is not there yet or cannot be
 * opened, which is the stage's to report. */
int machine_estimate(const struct machine_model *m, const struct dag *d, const struct node *n, int np,
                     struct headers *h, struct estimate *x);

#endif
