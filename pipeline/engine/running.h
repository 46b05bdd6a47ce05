/* Running: what a run knows while it goes on, shared by the files that decide, run and complete its nodes. */
#ifndef SINEW_RUNNING_H
#define SINEW_RUNNING_H

#include "engine/fresh.h"
#include "engine/hosts/lookout.h"
#include "engine/locks/lock.h"
#include "engine/runner.h"
#include "engine/schedule.h"
#include "engine/state/failures.h"
#include "engine/state/heartbeat.h"
#include "engine/stop.h"

enum {
    MAX_LEVELS = 32 /* of teams: halves of halves */
};

/* What is not looked at again. */
enum settled {
    SETTLED_NOT,
    SETTLED_FRESH, /* it was found so */
    SETTLED_RAN    /* by this run */
};

/* What keeps a picked node from being run, for now. */
enum awaited {
    AWAITED_NOT,
    AWAITED_HOLDER, /* another run holds it, or did when it was asked */
    AWAITED_BELOW   /* something that it needs is awaited */
};

/* What the nodes of a stage came to that have run. */
struct stage_totals {
    int64_t n;
    double sec;            /* from the first one's beginning to the last one's end */
    double min, mean, max; /* of the processes: seconds spent in them */
    double bytes;          /* read and written by all */
    int64_t peak_bytes;    /* of the process that took most memory */
};

struct work {
    struct runner *r;
    const struct selection *selection;
    struct comm team[MAX_LEVELS]; /* this process's team of each level, once there was a node for one */
    struct freshness *all;        /* per node; of nodes to do on all processes, of the others on process 0 */
    char *picked;                 /* per node; process 0 */
    char *todo;                   /* per node, same on all processes */
    char *settled;                /* per node; process 0: enum settled */
    char *awaited;                /* per node; process 0: enum awaited */
    struct file_stamp *seen;      /* per node; process 0: its artifact, before it was judged */
    int64_t *passed;              /* per slot: how it ended (teams.h); same on all */
    struct locks *locks;          /* this process's */
    struct schedule_slot *slots;  /* the stage's nodes to do, in running order; same on all processes */
    int nslots;
    MPI_Request *notices; /* to every process, of this one's failure */
    int64_t ran;          /* nodes that ran */
    int64_t committed;    /* of the stage at work, by teams that this process is the first of */
    int64_t steps;        /* that this process has kept of nodes (study/journal.h) */
    int waited;           /* process 0: for other runs */
    int built;            /* how often the archive was */
    double stage_bytes;   /* read and written by this process for the stage's nodes */
    double busy_sec;      /* spent in them */
    double longest_sec;   /* the longest of them */
    struct stop *stop;
    struct failures failures;
    struct heartbeat *heartbeat; /* NULL: there is none */
    struct hosts hosts;          /* of the processes */
    struct comm_shared shared;   /* across.h */
    size_t peak_bytes;
};

/* Collective. Makes up w for a run of what is picked, with what running_end gives back, whether it succeeded
 * or not. s is borrowed. Errors: CONFIG where the selection names what is not there; SYSTEM. */
err_t running_init(struct work *w, struct runner *r, const struct selection *s, struct err *e);

/* Local. The stage's last line in the log. name, units: of the stage. */
void running_say(const struct work *w, const char *name, const char *units, const struct stage_totals *t);

/* Local. Before nodes of a stage run that reads no checkpoint's header: they want the memory that many take.
 */
void running_trim(const struct work *w, const struct stage *s);

/* Local. What a stage of this scope has nodes of, in words. */
const char *running_units(enum scope s);

/* Collective. */
void running_end(struct work *w);

#endif
