/* Headers: each checkpoint is opened once, however many look at it; a header may hold a million tensors. What
 * is taken of it (choice.h) makes two of one path.
 *
 * What was opened stays until its memory is wanted: the cache gives back, under the budget's pressure
 * (mem.h), whatever nobody has borrowed, and opens it anew when it is asked for again. It never serves what
 * is no longer so: with each round (of looking at many checkpoints, or of running a node) all that decides
 * what a checkpoint is, its folder, its config.json, its index and its files, is compared with what it was
 * when the checkpoint was opened. What cannot be opened is not remembered. */
#ifndef SINEW_HEADERS_H
#define SINEW_HEADERS_H

#include "base/dict.h"
#include "formats/checkpoint.h"
#include "formats/choice.h"

struct header;

/* One per process and run; owned by the caller, not to be moved. */
struct headers {
    struct arena arena; /* of the list; each header has its own */
    struct mem_giver giver;
    struct dict by_name; /* choice_name: into list */
    int64_t n, cap;
    struct header **list;
    size_t bytes;   /* held by the headers that are open */
    int64_t hand;   /* the next to be given back */
    int64_t round;  /* the present one */
    int64_t opened; /* so far: how many times a checkpoint was */
};

/* Local. An empty cache drawing on m's budget, to which it gives back. Released before m's other givers that
 * came earlier; nothing may be borrowed then. */
void headers_init(struct headers *h, struct mem *m);
void headers_release(struct headers *h);

/* Local. Begins a round: what is asked for from now on is looked at again, once. */
void headers_round(struct headers *h);

/* Local. Borrows the checkpoint at path, under a choice (NULL: none), until headers_put; its tensors may be
 * read. Errors: as checkpoint_open; *out is NULL then. */
err_t headers_get(struct headers *h, const char *path, const struct choice *choice, struct checkpoint **out,
                  struct err *e);

/* Local. Gives it back, its files closed. c: NULL or from headers_get. */
void headers_put(struct headers *h, struct checkpoint *c);

/* Local. Are the files of what was opened or looked at in this round, as far as it is still open, what they
 * were then? What was read of them may be a mixture else. Errors: DATA, which names the first that is not. */
err_t headers_still(const struct headers *h, struct err *e);

/* Local. Gives back what nobody has borrowed until at most `bytes` are held. */
void headers_trim(struct headers *h, size_t bytes);

#endif
