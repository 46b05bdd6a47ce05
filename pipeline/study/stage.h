/* Stage: what the science tells the machine. One stage = one file under stages/ with one exported const
 * table. */
#ifndef SINEW_STAGE_H
#define SINEW_STAGE_H

#include "hdf5/artifact.h"
#include "base/comm.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "study/journal.h"
#include "study/param.h"
#include "formats/choice.h"
#include "formats/headers.h"
#include "formats/readahead.h"
#include "hdf5/table.h"

enum scope { SCOPE_CHECKPOINT, SCOPE_CELL, SCOPE_BASE, SCOPE_STUDY };

/* A published figure that the config gives beside a cell. */
struct published {
    const char *source, *quantity;
    double value;
};

/* One (family, algorithm, seed) of the matrix, optionally with training data and step. */
struct cell {
    const char *name;                        /* FAMILY/ALGORITHM/SEED[+DATA][@STEP] */
    const char *family, *algorithm, *data;   /* data: "" where there is none */
    int64_t seed, step;                      /* step: -1 where there is none */
    const char *base, *tuned;                /* checkpoint paths */
    struct choice choice;                    /* its keys, or the matrix's; no base */
    struct choice base_choice, tuned_choice; /* what they come to for each side (choices.h) */
    const char *logits_base, *logits_tuned;  /* NULL where there are none */
    const struct steps *steps;               /* its paths whose step may be padded (study/steps.h); NULL */
    int npublished;
    struct published *published;
    int kept; /* a checkpoint of it is gone, and what was read of it stands (`missing: kept`) */
    const char
        *lost; /* a checkpoint is gone, and this is not as it was: what is said; NULL. Process 0 knows */
};

/* What a node needs: an artifact below it. */
struct input {
    const char *kind, *node; /* stage kind and node name */
    const struct cell *cell; /* cell scope: the cell; else NULL */
    const char *role; /* for checkpoint scope: "base" or "tuned" from the view of the node's cell; else "" */
    const char *path; /* the artifact */
};

/* What a stage sees while it runs: its parameters, its scope, its processes, the services. */
struct ctx {
    const struct comm *comm;
    struct arena *arena; /* lifetime of the node */
    const struct log *log;
    struct progress *progress; /* of the stage over all its nodes; see ctx_progress */
    int64_t progress_done;
    const void *params;              /* the stage's parameter struct */
    const char *node;                /* node name: the key in the config */
    const char *label;               /* what it works on: cell, checkpoint or base */
    const struct cell *cell;         /* cell scope; checkpoint scope: the first cell that uses it */
    const char *checkpoint;          /* checkpoint scope: its path */
    struct choice choice;            /* checkpoint scope: what is taken of it */
    const char *role;                /* checkpoint scope: "tuned" if some cell is tuned to it, else "base" */
    const char *base;                /* base scope: its path */
    const struct cell *const *cells; /* base scope: all cells on it; study scope: all cells */
    int ncells;
    const struct input *inputs;
    int ninputs;
    struct artifact *out;
    struct journal *journal; /* where `keeps_steps`: what the node has done so far; NULL: none is kept */
    const char *output;      /* the study's output folder */
    const char *archive;     /* study scope: the archive, complete */
    const struct schema *const *tables; /* study scope: the archive's tables, in its order */
    int ntables;
    int64_t memory_bytes;                            /* budget of this process */
    struct readahead_setting read;                   /* how checkpoints are read */
    struct headers *headers;                         /* checkpoints that were opened already */
    void (*watch)(void *arg, double share);          /* is told how far the node is; NULL: nobody is */
    void (*watch_item)(void *arg, const char *item); /* and at which part of it, set where watch is */
    void *watch_arg;
    double *bytes_done; /* the stage adds the bytes this process has read or written, for the rate */
};

/* A kind of work that a stage does, beside what each node and each of its tensors cost by themselves: so much
 * of it does a process in a second of its processor where nobody has measured (engine/machine/machine.h).
 * WORK_ALONE is done by one process, however many there are. */
struct stage_work {
    const char *name; /* NULL ends a list */
    double per_sec;
    int alone;
};
#define WORK(name, per_sec) \
    {                       \
        name, per_sec, 0    \
    }
#define WORK_ALONE(name, per_sec) \
    {                             \
        name, per_sec, 1          \
    }
#define WORK_END \
    {            \
        0        \
    }
enum { STAGE_WORKS = 5 };

/* What a node will cost, as far as headers tell. Per node, over all processes unless said otherwise. */
struct estimate {
    double read_bytes, write_bytes, flops;
    double reread_bytes;      /* of read_bytes, those of artifacts of the same study */
    double disk_bytes;        /* what it writes at the most; 0: write_bytes */
    double kept_bytes;        /* of write_bytes, what the archive takes over */
    double work[STAGE_WORKS]; /* of each kind that the stage declares, in that order; work that a stage
                                 without a list does is told by its flops */
    double tensors;           /* 0: those of the base, of each cell where the node is of several */
    double parts;             /* processes that find work in it, at most; 0: any number */
    double shared_bytes;  /* that processes of a team add up, for each doubling of the team; at the most */
    double process_bytes; /* peak memory of one process, at the most */
    double likely_bytes;  /* the same as it is with updates of the usual density; 0: without reading ahead */
    int known;            /* 0: the inputs do not exist yet */
};

/* Checkpoint headers for plan: filled by the machine; NULL where they do not exist yet. */
struct plan_view {
    const struct checkpoint *base, *tuned; /* checkpoint scope: base only */
    const struct cell *cell;
    const char *role;             /* checkpoint scope: as a context's */
    int ncells;                   /* base scope: cells on the base; study scope: all */
    double tensors, pairs, bases; /* study scope: of the cells' bases; of cells on one base */
    int np;
    int64_t memory_bytes;
    struct readahead_setting read;
    const void *params;
};

struct match_policy;

/* In the place of a kind in `inputs`: every stage that is `reported`. */
#define STAGE_REPORTED "(reported)"

struct stage {
    const char *kind, *brief;
    int version; /* raised whenever results change: older artifacts are stale then */
    enum scope scope;
    const struct param *params; /* ends with name NULL */
    size_t params_size;
    int writes_files; /* writes files beside its artifact, listed in the artifact's table "files": fresh while
                         they stand */
    int keeps_steps;  /* what it has done of a node is kept (ctx.journal): one that was stopped goes on */
    const char *const *inputs; /* kinds that must ("?kind": may) stand in `needs`, once ("*kind", "?*kind":
                                  any number of times); NULL-terminated */
    int reported; /* what it adds to the archive is for the report, whose node then waits for it */
    const struct schema *const *tables; /* all that it writes into its artifact; those of the archive in the
                                           archive's order; NULL-terminated, NULL: none */
    const struct dataset *datasets;     /* likewise; ends with name NULL */

    /* Local, pure; may be NULL. Rules between parameters: returns 0, or -1 with the reason in problem. */
    int (*check)(const void *params, char *problem, int size);

    /* Local, pure; may be NULL. Files read beside the input artifacts (checkpoints, logits), which decide
     * freshness: calls add(arg, path) for each. A path may be a checkpoint folder or a file. */
    err_t (*files)(const struct ctx *ctx, err_t (*add)(void *arg, const char *path, struct err *e), void *arg,
                   struct err *e);

    /* Local, pure; may be NULL. Does the node exist for this cell (token-entropy: are there logits)? */
    int (*applies)(const struct cell *cell);

    /* Local, pure; may be NULL. For stages that compare the two checkpoints of a cell: how they are to be
     * matched, so that it can be checked from headers. Borrows from params. */
    void (*matches)(const void *params, struct match_policy *out);

    /* Local, pure; may be NULL. Cost from headers, in the kinds of work that `work` lists (at most
     * STAGE_WORKS; NULL: none). */
    void (*plan)(const struct plan_view *view, struct estimate *out);
    const struct stage_work *work;
    const char *part; /* what one process at least does by itself: "matrix"; NULL: work divides freely */

    /* Collective on ctx->comm. Writes the artifact. On failure e is set on at least the failing process and
     * every process returns with an agreed code. */
    err_t (*run)(struct ctx *ctx, struct err *e);
};

/* Local. What differs between two cells: family, algorithm, seed, data, step, joined by "+". Returns text, of
 * at least CELL_VARIES bytes. */
enum { CELL_VARIES = sizeof "family+algorithm+seed+data+step" };
const char *cell_varies(const struct cell *a, const struct cell *b, char *text, int size);

/* Local, pure. Is the cell's update what an adapter adds, not the difference of weights? Then nothing is
 * known of the weights below it (compare/pair.h). */
int cell_is_exact(const struct cell *c);

/* Local. The first input of a kind (and role, if role is not NULL); NULL where there is none. */
const struct input *ctx_input(const struct ctx *ctx, const char *kind, const char *role);

/* Local. Does the stage declare a dataset of this name? */
int stage_writes(const struct stage *s, const struct dataset *d);

/* Local. Says how far the node is (0..1) and adds the bytes that this process moved to the rate; prints when
 * a progress line is due. */
void ctx_progress(struct ctx *ctx, double fraction, double bytes);

/* Local. Says at which part of the node this process is now, such as a tensor, for who looks from outside. */
void ctx_item(struct ctx *ctx, const char *item);

#endif
