/* Stop: a run that is asked to end early ends in good order. Who asks is a signal (TERM, INT, USR1, USR2) to
 * any one process, the time limit, or a file named `stop` in the output folder. Every agreement (comm_agree)
 * is then a failure of code STOPPED: what is complete stands, what was in work begins anew, or from where it
 * was kept.
 *
 * A signal that is repeated, as schedulers do, is the same wish. Who presses ^C twice, or sends TERM again
 * after TERM_AGAIN_SEC, does not want to wait: the second one ends the process as if it were not caught. */
#ifndef SINEW_STOP_H
#define SINEW_STOP_H

#include "base/comm.h"
#include "base/err.h"
#include "base/mem.h"

enum { STOP_TERM_AGAIN_SEC = 5, STOP_WHY = 96 };

struct stop {
    struct comm *world;  /* whose agreements, and its teams', look here while the run goes on */
    const char *file;    /* process 0 looks for it */
    const char *mark;    /* process 0: lies in the output folder from one stop to the next */
    int marked;          /* process 0: it did when the run began */
    double deadline_sec; /* of clock_sec; infinite where there is none */
    double polled_sec, looked_sec;
    double gap_sec;  /* the longest time between two agreements of this process */
    double end_sec;  /* what it takes to end, from what was measured of it */
    double keep_sec; /* of a node, before it keeps steps: a tenth of what was left; infinite without limit */
    int asked;       /* by a signal, the limit, the file, or another process */
    char why[STOP_WHY];
    MPI_Request *notices; /* to every other process, once this one is asked by itself */
    char notice[STOP_WHY];
    int sent, heard;
};

/* Local. The seconds that a duration is: 90s, 10m, 2h, 1d, or [[D-]H:]MM:SS as Slurm and PBS write it.
 * Negative where it is none (a number without a unit is seconds to one scheduler and minutes to another). */
double stop_duration(const char *text);

/* Local, once. Signals are noted from now to the end of the process, for the run that begins sooner or later.
 * Those that are ignored (nohup) stay so. */
void stop_listen(void);

/* Collective. From now to stop_end the world's agreements look for the wish to stop. limit: as given on the
 * command line; NULL: SINEW_TIME_LIMIT, else the job's end as Slurm (SLURM_JOB_END_TIME) or PBS
 * (PBS_WALLTIME) tells it; the end is process 0's. file and mark are borrowed. Errors: CONFIG where the limit
 * is no duration; SYSTEM. */
err_t stop_start(struct stop *s, struct comm *world, const char *limit, const char *file, const char *mark,
                 struct arena *a, struct err *e);

/* Local. Tells what was measured of the end of an item: the limit leaves room for it. */
void stop_measured(struct stop *s, double sec);

/* Collective on c. STOPPED where an item that will take this long would not be done before the limit. */
err_t stop_before(struct stop *s, const struct comm *c, double sec, struct err *e);

/* Collective. Agreements are as they were before; no notice is left on its way. */
void stop_end(struct stop *s);

/* Process 0. The one line about a run that was stopped, in e's place: how much it did, how it goes on. A run
 * that was stopped before it had done anything, for the second time, is an error (SYSTEM): nobody should
 * submit it again as it is. ran: nodes that it completed; steps: what it kept of those that it did not. last:
 * no other run is in the folder, for which the file `stop` would be left: it asked those that were there. */
void stop_say(const struct stop *s, int64_t ran, int64_t steps, int last, const char *config, struct err *e);

#endif
