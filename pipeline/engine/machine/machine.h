/* Machine: what a machine does in a second, and what a node costs on a process or a team of them, told from
 * headers. One model for plan, which shows it, and for the schedule, which acts on it.
 *
 * A node's time is its processor's (each kind of work that its stage declares, at the rate of that kind) or
 * that of reading its checkpoints, whichever is longer, as reading goes on ahead; then that of writing. Rates
 * come from a file (machine_file.h), which `sinew plan --calibrate` writes; where none says them they are
 * assumed, those of work by the stages that declare it. */
#ifndef SINEW_MACHINE_H
#define SINEW_MACHINE_H

#include "formats/headers.h"
#include "study/dag.h"

/* What a stage's work takes: its nodes and tensors by themselves, then each kind that it declares. */
enum { RATE_NODES, RATE_TENSORS, RATE_WORK, RATES = RATE_WORK + STAGE_WORKS };
struct machine_rates {
    const struct stage *stage;
    double per_sec[RATES];
};

struct machine {
    const char *file;     /* where it was read from; NULL: it is assumed */
    const char *measured; /* when and where, in words; "": it was not */
    int64_t processes_per_host, host_bytes;
    int64_t resident_bytes; /* of a process, beside what is counted against memory_per_process */
    int64_t several_bytes;  /* the same, and in one of several, which share memory with each other */
    double read_process, read_host, read_all; /* bytes/s of checkpoints: by one process, all of a host, all */
    double write_process, write_host, write_all; /* of artifacts, to the disk */
    double flops_per_sec;                        /* of stages that declare no work */
    double nodes_per_sec, tensors_per_sec;       /* of stages that do, and were not measured */
    double seal_per_sec;      /* bytes/s of artifacts that are hashed, closed and handed to the system */
    double artifacts_per_sec; /* looked at, and put into the archive; one process does that */
    double start_sec;         /* of the program, before its first node */
    double flush_sec;         /* until an artifact's last byte is known to be on the disk */
    double agree_sec;         /* an agreement of two processes, of two hosts where there are */
    double link_host, link;   /* bytes/s that two processes add up: of one host, of two */
    double crowding; /* by how much a process is slower when all of its host are at work; 1: not at all */
    int nrates;
    const struct machine_rates *rates; /* of stages that were measured */
    int spare; /* one part in so many of a process's memory is left for what it holds beside a node */
};

/* Local. What is assumed where nothing was measured, of hosts like this one: there to tell minutes from days.
 */
struct machine machine_assume(void);

/* Local. What a node may count on of a process's memory_bytes. Pure. */
int64_t machine_memory(const struct machine *m, int64_t memory_bytes);

/* Local. Of a stage's rates: how many there are; the name of the k-th; what it is, and whether it was
 * measured (measured may be NULL); how much of it an estimate tells. Pure. */
int machine_nrates(const struct stage *s);
const char *machine_rate_name(const struct stage *s, int k);
double machine_amount(const struct estimate *x, int k);
double machine_rate(const struct machine *m, const struct stage *s, int k, int *measured);

/* Local. What each of np processes has beside what is counted. Pure. */
double machine_resident(const struct machine *m, int np);

/* A node's time, in seconds of one process. */
struct machine_cost {
    double work, serial;      /* of the processor: what is divided among a team; what is not */
    double read, write;       /* waiting for checkpoints; for the disk */
    double parts;             /* processes that find work in it, at most; 0: any number */
    double agree;             /* what each doubling of its team adds; and of what they add up: */
    double share_host, share; /* each doubling within a host; each beyond */
};

/* Local. What a team of so many processes takes longer for being one. Pure. */
double machine_team_sec(const struct machine_cost *c, int64_t processes_per_host, double processes);

/* Local. np: processes of the run, which share their hosts and the disks. Pure. */
struct machine_cost machine_cost(const struct machine *m, const struct stage *s, const struct estimate *x,
                                 int np);

/* Local. Bytes that one of np processes reads or writes in a second while all do; by how much it is slower at
 * work then. Pure. */
double machine_read_rate(const struct machine *m, int np);
double machine_write_rate(const struct machine *m, int np);
double machine_slowdown(const struct machine *m, int np);

/* Local. The stage's own estimate for node n on a team of np processes, from as many headers as it needs.
 * Returns 1, or 0 where it cannot be told: the stage has none, or a checkpoint is not there yet or cannot be
 * opened, which is the stage's to report. */
int machine_estimate(const struct machine *m, const struct dag *d, const struct node *n, int np,
                     struct headers *h, struct estimate *x);

#endif
