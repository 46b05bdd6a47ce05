/* Schedule: which nodes of a stage run side by side, on how many processes each, and in which order.
 *
 * The processes are halved into teams (comm.h). Each node has a team: one process where there are enough
 * nodes for all, more where the node needs their memory or would be what all wait for. Nodes stand in one
 * order for all processes, those of large teams first; a process runs those of its teams in that order. As
 * teams are parts of larger ones, and the order is one, no two processes wait for each other. Results do not
 * depend on any of it. */
#ifndef SINEW_SCHEDULE_H
#define SINEW_SCHEDULE_H

#include "base/file.h"
#include "engine/machine/machine.h"

/* What is known of a node before it runs. */
struct job {
    int node;
    int deepest;              /* level of the smallest team that has the memory for it */
    double sec;               /* on one process, about: what is divided among a team (schedule_price); */
    double fixed;             /* what is not */
    double parts;             /* processes that find work in it, at most; 0: any number */
    struct machine_cost team; /* of which what its being a team adds */
    int64_t per_host;         /* processes */
    int known;                /* 0: its stage could not tell; the rest is 0 then */
    struct estimate cost;     /* what its stage told, of a team of the deepest level */
};

/* A node's place. */
struct schedule_slot {
    int node, level, team;
    double sec;             /* on its team, about */
    struct file_stamp seen; /* its artifact, before it was decided upon; decision.h fills it in */
};

/* Local. What is known of node i on np processes. Where no team has the memory for it, that is the smallest
 * of those that come nearest: more processes are of no use to all stages. */
struct job schedule_judge(const struct machine *m, const struct dag *d, int i, int np, struct headers *h);

/* Local, pure. What n judged jobs of one stage take while as many of np processes are at work as find work in
 * them, which share hosts and disks: returns how many these are. Artifacts that the memory of the hosts
 * cannot keep are read from the disk. */
int schedule_price(const struct machine *m, const struct dag *d, struct job *jobs, int n, int np);

/* Local. Places n jobs on np processes: slots[n], in the order to run them. Each job receives the smallest
 * team on which it ends within a deadline; of several deadlines that one is taken under which all jobs
 * together are done first, each team taking the longest of its level first (two phases, Turek, Wolf, Yu, SPAA
 * 1992). *end: when that is. Errors: SYSTEM (memory). */
err_t schedule_jobs(const struct job *jobs, int n, int np, struct schedule_slot *slots, double *end,
                    struct arena *scratch, struct err *e);

/* Local (process 0's work). Places nodes [from, to) with todo[i] on np processes: *n of them, in slots (room
 * for to - from). What they cost is their stages' own estimate, from the headers of their checkpoints; where
 * there is none they run on all processes. m: NULL is what is assumed. Errors: SYSTEM (memory). */
err_t schedule_nodes(const struct machine *m, const struct dag *d, int from, int to, const char *todo, int np,
                     struct headers *h, struct schedule_slot *slots, int *n, struct arena *scratch,
                     struct err *e);

#endif
