#include "compare/walk.h"

#include <string.h>

/* Tensors whose sums are open at once: an even number, as half of them are a window's. */
static int64_t open_of(size_t sums_bytes)
{
    const int64_t fit = (int64_t)((size_t)WALK_SUMS_BYTES / (sums_bytes > 0 ? sums_bytes : 1)) / 2 * 2;
    return fit > WALK_OPEN ? WALK_OPEN : fit < 2 ? 2 : fit;
}

err_t walk_start(struct walk *w, const struct comm *c, const struct layout *l, int64_t elements,
                 const struct walk_sums *sums, struct arena *a, struct err *e)
{
    *w = (struct walk){.comm = c, .layout = l, .window = elements * c->np, .arena = a};
    if (sums)
        w->sums = *sums;
    w->open = open_of(w->sums.bytes);
    TRY(arena_array_at(a, "walk.sums", w->open, w->sums.bytes > 0 ? w->sums.bytes : 1, (void **)&w->slots,
                       e));
    const int64_t each = (int64_t)c->np * COMM_GATHER;
    int64_t *all;
    TRY(arena_array(a, "walk.votes", WALK_LEAD * each, &all, e));
    for (int i = 0; i < WALK_LEAD; i++)
        w->votes[i].all = all + i * each;
    return ERR_OK;
}

void *walk_sums(const struct walk *w, int64_t tensor)
{
    return w->slots + (size_t)(tensor % w->open) * w->sums.bytes;
}

/* Collective. Ends the open tensors before `to`. */
static void end_sums(struct walk *w, int64_t to, struct err *e)
{
    for (; w->ended < to && w->sums.bytes > 0; w->ended++) {
        int empty = w->layout->tensors[w->ended].elements == 0; /* the slot may be another's */
        w->sums.end(w->sums.arg, w->ended, empty ? NULL : walk_sums(w, w->ended), e);
    }
}

/* Collective. Begins the sums of a window's tensors, and ends older ones where there is no room. */
static void start_sums(struct walk *w, int64_t first, int64_t last, struct err *e)
{
    if (last - w->ended >= w->open)
        end_sums(w, first, e);
    if (w->started < first) /* those between are empty */
        w->started = first;
    for (; w->started <= last && w->sums.bytes > 0; w->started++)
        memset(walk_sums(w, w->started), 0, w->sums.bytes);
}

const char *walk_tensor(const struct walk *w)
{
    return w->from < w->to ? w->layout->tensors[layout_block(w->layout, w->from).tensor].name : "";
}

double walk_done(const struct walk *w)
{
    return (double)w->end / (double)w->layout->nblocks;
}

static int64_t window_end(const struct walk *w, int64_t begin)
{
    return w->sums.bytes > 0 ? layout_window_tensors(w->layout, begin, w->window, w->open / 2)
                             : layout_window(w->layout, begin, w->window);
}

int walk_next(struct walk *w, struct err *e)
{
    const struct layout *l = w->layout;
    if (w->end >= l->nblocks)
        return 0;
    comm_asked(w->comm, e); /* a huge layout is walked for hours */
    w->begin = w->end;
    w->end = window_end(w, w->begin);
    layout_share(l, w->begin, w->end, w->comm->np, w->comm->me, &w->from, &w->to);
    start_sums(w, layout_block(l, w->begin).tensor, layout_block(l, w->end - 1).tensor, e);
    return 1;
}

void walk_ahead(const struct walk *w, int64_t *from, int64_t *to)
{
    *from = *to = w->layout->nblocks;
    if (w->end < w->layout->nblocks)
        layout_share(w->layout, w->end, window_end(w, w->end), w->comm->np, w->comm->me, from, to);
}

/* Collective. Did any process fail, by the oldest vote that is under way? */
static int hear(struct walk *w)
{
    struct comm_gather *vote = &w->votes[w->heard++ % WALK_LEAD];
    int failed = 0;
    comm_gather_end(vote);
    for (int q = 0; q < w->comm->np; q++)
        failed |= vote->all[(int64_t)q * COMM_GATHER] != 0;
    return failed;
}

/* Collective. No vote is under way any more. */
static void hear_all(struct walk *w)
{
    while (w->heard < w->cast)
        hear(w);
}

err_t walk_agree(struct walk *w, struct err *e)
{
    if (w->cast - w->heard == WALK_LEAD && hear(w)) {
        hear_all(w);
        return comm_agree(w->comm, e);
    }
    struct comm_gather *vote = &w->votes[w->cast++ % WALK_LEAD];
    vote->mine[0] = e->code != ERR_OK;
    comm_gather_start(w->comm, vote);
    return ERR_OK;
}

err_t walk_finish(struct walk *w, struct err *e)
{
    hear_all(w);
    TRY_ALL(w->comm, e);
    end_sums(w, w->layout->ntensors, e);
    arena_drop(w->arena, w->slots);
    arena_drop(w->arena, w->votes[0].all);
    return ERR_OK;
}

double walk_bytes(size_t sums_bytes)
{
    return (double)open_of(sums_bytes) * (double)sums_bytes;
}
