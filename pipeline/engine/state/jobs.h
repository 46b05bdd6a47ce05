/* Jobs: the heartbeats in an output folder (heartbeat.h), read by whoever looks: which jobs run there, which
 * were killed, at what, and whether memory was the likely cause. */
#ifndef SINEW_JOBS_H
#define SINEW_JOBS_H

#include "base/hash.h"
#include "base/mem.h"
#include "engine/locks/holder.h"

enum {
    JOBS_RECORD = 1024,    /* bytes of a record; the first is the job's, then one for each process */
    JOBS_MOST = 1 << 20,   /* processes of a job, at most */
    JOBS_SILENT_BEATS = 15 /* a job of which nothing can be asked is dead when it missed so many beats */
};

#define JOBS_FOLDER ".jobs"

/* The memory that there is for a process and those beside it. */
struct memory_room {
    int64_t limit_bytes;                /* of its control group, else of the machine; 0: not known */
    int of_group;                       /* the limit is a control group's */
    int64_t kills_group, kills_machine; /* processes that the kernel killed for want of memory there, since
                                           ever; -1: not known */
};

/* One process of a job, as it last said. */
struct job_process {
    int number;
    char host[64];
    int64_t pid;
    double up_sec, node_sec;       /* since the job began, and since it is at its node, when it wrote this */
    double share;                  /* of the node that is done */
    int64_t now_bytes, peak_bytes; /* resident */
    struct memory_room before, after; /* when the job began, and when this was written */
    char artifact[HASH_TEXT];         /* hash_text of the artifact's path; "-" between nodes */
    char node[104], label[400];       /* "" between nodes; the label may be cut */
    char item[160];                   /* the part of the node, such as a tensor; "" where none was said */
};

enum job_state { JOB_RUNS, JOB_KILLED, JOB_STATES };

struct job_record {
    enum job_state state;
    const char *path;
    struct lock_holder holder; /* its process 0 */
    char number[64];           /* of the scheduler; "-": none */
    double every_sec;          /* between two beats */
    double age_sec;            /* since the last beat, by the file system's clock */
    int nprocesses;
    struct job_process *process; /* those that have written; nprocesses of them */
};

/* Local. All jobs that have a file in the output folder; *n of them, sorted by name. A file that is none, or
 * is damaged, is left out. Errors: SYSTEM (memory). */
err_t jobs_read(const char *output, struct job_record **jobs, int *n, struct arena *a, struct err *e);

/* Local. Seconds since a job last wrote, by the file system's own clock (that of this machine where nothing
 * can be written there); negative where it has no file. host and pid: of its process 0. */
double jobs_age(const char *output, const char *host, int64_t pid);

/* Local. Was want of memory the likely cause of a job's death? The reason in words, into text (""): that the
 * kernel has killed for it since, or that the processes of a host held nearly all there is. */
const char *jobs_memory_cause(const struct job_record *j, char *text, int size);

/* Local. The name of a job's file in the folder, from host and process id. Returns text. */
const char *jobs_name(const char *host, int64_t pid, char *text, int size);

/* Local. What there is now, for this process. */
void memory_room_look(struct memory_room *room);

/* Local. Resident bytes of this process, and the most there were. */
void memory_resident(int64_t *now, int64_t *peak);

#endif
