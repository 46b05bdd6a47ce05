/* Forecast: what a study would take on a number of processes, from headers alone: the schedule that its run
 * would make, in the times of a machine model. */
#ifndef SINEW_FORECAST_H
#define SINEW_FORECAST_H

#include "engine/machine/machine.h"

/* What most of a stage's time goes to. */
enum forecast_bound {
    BOUND_NOTHING,  /* it takes none */
    BOUND_WORK,     /* arithmetic of the processor */
    BOUND_READING,  /* checkpoints */
    BOUND_WRITING,  /* artifacts */
    BOUND_OVERHEAD, /* what each node, tensor and row costs by itself, which is not divided */
    BOUND_NODE,     /* the longest node: there are more processes than work for them */
    BOUND_PART      /* the largest part of a node that is not divided (stage.part) */
};

struct forecast_stage {
    const char *name;
    int todo, unknown;    /* nodes that are not fresh; of these, whose cost cannot be told yet */
    double sec;           /* wall time */
    double processor_sec; /* of all processes at work, without what they wait */
    double read_bytes, write_bytes, disk_bytes, kept_bytes, flops; /* disk: at the most */
    double process_bytes, likely_bytes; /* counted memory of one process: at the most, and as a rule */
    enum forecast_bound bound;
    const char *part; /* with BOUND_PART */
};

struct forecast {
    int np, n;
    struct forecast_stage *stages; /* n: the declared ones in the order in which they run, and the archive */
    double sec, processor_sec;     /* of all, and the program's start */
    double process_bytes, likely_bytes; /* the largest */
    int largest, slowest;               /* the stages of these, and of the time */
    double disk_bytes;                  /* artifacts, archive and report */
    int unknown;
};

/* Local (process 0's work). todo: per node of d, those that would run. Errors: SYSTEM (memory). */
err_t forecast_study(const struct machine *m, const struct dag *d, const char *todo, int np,
                     struct headers *h, struct forecast *out, struct arena *a, struct err *e);

/* Local, pure. The same stage's bound in words: "reading", "one matrix". Into text, which is returned. */
const char *forecast_bound(const struct forecast_stage *s, char *text, int size);

#endif
