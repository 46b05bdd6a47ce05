/* Walk: a stage's way through the blocks of a layout, window by window: as many blocks as all processes have
 * room for at once, each process its share of them.
 *
 * Processes meet as seldom as can be, so that one that waits for a disk, or whose core another program shares
 * for a while, does not hold up the others: whether all goes well they tell each other while they work and
 * listen to it many windows later, and what is added up per tensor stays open until room is needed or the
 * walk ends. What is done does not depend on the number of processes; where the walk meets does. */
#ifndef SINEW_WALK_H
#define SINEW_WALK_H

#include "base/comm.h"
#include "compare/layout.h"
#include "base/mem.h"

enum {
    WALK_TENSORS = 64,            /* of a window at most, where there are sums */
    WALK_OPEN = 2 * WALK_TENSORS, /* tensors whose sums are open at once, at most */
    WALK_SUMS_BYTES = 1 << 24,    /* their sums' memory: where they take more, fewer are open */
    WALK_LEAD = 16 /* windows that a process may be ahead of another, and work on after that has failed */
};

/* Sums per tensor: zeroed when the tensor begins, ended by the stage. */
struct walk_sums {
    size_t bytes; /* of one tensor's; 0: the stage has none */
    /* Collective. Adds one tensor's sums up over processes and takes them. sums: NULL where the tensor is
     * empty. Tensors come in the order of the layout, each once. A failure stays in e. */
    void (*end)(void *arg, int64_t tensor, void *sums, struct err *e);
    void *arg;
};

struct walk {
    const struct comm *comm;
    const struct layout *layout;
    int64_t begin, end; /* the window's blocks */
    int64_t from, to;   /* this process's of them */
    /* private */
    int64_t window; /* elements */
    struct walk_sums sums;
    int64_t open;                        /* tensors whose sums there is room for */
    char *slots;                         /* of tensor t: slot t % open */
    int64_t ended, started;              /* tensors [ended, started) are open */
    struct comm_gather votes[WALK_LEAD]; /* on how each window went */
    int64_t cast, heard;                 /* votes [heard, cast) are under way */
    struct arena *arena;
};

/* Local. Before the first window of a layout. elements: what a process takes of a window, about. sums: NULL
 * where the stage has none per tensor. Errors: SYSTEM over budget. */
err_t walk_start(struct walk *w, const struct comm *c, const struct layout *l, int64_t elements,
                 const struct walk_sums *sums, struct arena *a, struct err *e);

/* Collective. On to the next window: 1, or 0 where there is none. Where this process was asked to end early
 * that is in e, for the next agreement. */
int walk_next(struct walk *w, struct err *e);

/* Local. This process's share of the window behind this one; empty where there is none. */
void walk_ahead(const struct walk *w, int64_t *from, int64_t *to);

/* Local. The tensor with which this process's share of this window begins; "" where that is empty. */
const char *walk_tensor(const struct walk *w);

/* Local. How far the walk has come with this window: a share of the layout's blocks. */
double walk_done(const struct walk *w);

/* Local. The open sums of a tensor of this window. */
void *walk_sums(const struct walk *w, int64_t tensor);

/* Collective, but nobody waits for those who are not more than WALK_LEAD windows behind. Tells the others
 * whether this process has failed so far, and learns what they told so many windows before: a failure that is
 * shared by all is returned, and the walk is over. For stages in which nothing else tells. */
err_t walk_agree(struct walk *w, struct err *e);

/* Collective. Ends the walk behind its last window: agrees, and ends all sums that are open. */
err_t walk_finish(struct walk *w, struct err *e);

/* Local. Memory of a walk's sums, for plans. Pure. */
double walk_bytes(size_t sums_bytes);

#endif
