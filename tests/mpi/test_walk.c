/* The walk over a layout: every block once and by one process, sums ended once and in order however many
 * tensors there are, a failure of one process ending the walk of all before long, and one that is ahead
 * waiting for nobody. */
#include "stagelib.h"

#include "compare/walk.h"

enum { TENSORS = 700 };

struct counted {
    int64_t blocks, elements;
};

struct ended {
    struct world *w;
    const struct layout *l;
    int64_t next;
};

static void end_tensor(void *arg, int64_t t, void *sums, struct err *e)
{
    struct ended *d = arg;
    const struct layout_tensor *x = &d->l->tensors[t];
    struct counted none = {0, 0}, *k = sums ? sums : &none;
    (void)e;
    check(d->w, t == d->next, "tensor %lld comes where %lld should", (long long)t, (long long)d->next);
    d->next = t + 1;
    check(d->w, (sums != NULL) == (x->elements > 0), "tensor %lld: sums of an empty one, or none",
          (long long)t);
    comm_sum_to_root(&d->w->comm, &k->blocks, 2);
    check(d->w, d->w->comm.me != 0 || (k->blocks == x->nblocks && k->elements == x->elements),
          "tensor %lld has %lld blocks and %lld elements, expected %lld and %lld", (long long)t,
          (long long)k->blocks, (long long)k->elements, (long long)x->nblocks, (long long)x->elements);
}

/* Sizes that cut windows in every way: empty ones in rows, tiny ones, some of several blocks. */
static void make_layout(struct layout *l, struct layout_tensor *t, uint64_t seed)
{
    static const int64_t sizes[] = {0, 1, 100, LAYOUT_BLOCK, 3 * LAYOUT_BLOCK + 5, 64};
    for (int i = 0; i < TENSORS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        t[i] = (struct layout_tensor){.name = "t", .elements = sizes[(seed >> 33) % 6]};
        if (i > 300 && i < 500 && i % 150)
            t[i].elements = 0;
    }
    *l = (struct layout){.ntensors = TENSORS, .tensors = t};
    layout_number(l);
}

/* fails: the window at which the last process fails, -1: none does. Returns the walk's outcome. */
static err_t walk_once(struct world *w, const struct layout *l, int64_t elements, int with_sums, int fails,
                       struct err *e)
{
    struct ended d = {.w = w, .l = l};
    const struct walk_sums sums = {.bytes = sizeof(struct counted), .end = end_tensor, .arg = &d};
    struct walk k;
    struct arena a;
    int64_t covered = 0, last = 0;
    int window = 0;
    err_clear(e);
    arena_init(&a, &w->mem);
    err_t code = walk_start(&k, &w->comm, l, elements, with_sums ? &sums : NULL, &a, e);
    for (; code == ERR_OK && walk_next(&k, e); window++) {
        int64_t from, to;
        check(w, k.begin == last && k.from >= k.begin && k.to <= k.end, "window %d is out of place", window);
        last = k.end;
        if (window == fails && w->comm.me == w->comm.np - 1)
            err_set(e, ERR_DATA, "made to fail");
        for (int64_t b = k.from; b < k.to; b++) {
            struct block at = layout_block(l, b);
            covered += at.n;
            if (with_sums) {
                struct counted *c = walk_sums(&k, at.tensor);
                c->blocks++;
                c->elements += at.n;
            }
        }
        walk_ahead(&k, &from, &to);
        check(w, from <= to && to <= l->nblocks, "the share ahead is out of place");
        code = walk_agree(&k, e);
    }
    check(w, fails < 0 || window <= fails + 1 + WALK_LEAD,
          "%d windows were begun with a failure in window %d", window, fails);
    if (code == ERR_OK)
        code = walk_finish(&k, e);
    comm_sum(&w->comm, &covered, 1);
    if (fails < 0) {
        check(w, covered == l->elements, "%lld elements were covered, expected %lld", (long long)covered,
              (long long)l->elements);
        check(w, !with_sums || d.next == TENSORS, "%lld tensors were ended", (long long)d.next);
    }
    arena_release(&a);
    return code;
}

/* Process 0 is as far ahead as can be before another begins: who waits for one that is behind waits for ever.
 */
static void lead(struct world *w, const struct layout *l)
{
    struct err e;
    struct walk k;
    struct arena a;
    int window = 0, go = 1;
    err_clear(&e);
    arena_init(&a, &w->mem);
    check(w, walk_start(&k, &w->comm, l, 1, NULL, &a, &e) == ERR_OK, "%s", e.text);
    if (w->comm.me > 0)
        MPI_Recv(&go, 1, MPI_INT, 0, 0, w->comm.mpi, MPI_STATUS_IGNORE);
    for (; walk_next(&k, &e); window++) {
        for (int q = 1; q < w->comm.np && w->comm.me == 0 && window == WALK_LEAD; q++)
            MPI_Send(&go, 1, MPI_INT, q, 0, w->comm.mpi);
        check(w, walk_agree(&k, &e) == ERR_OK, "window %d: %s", window, e.text);
    }
    check(w, window > 2 * WALK_LEAD, "%d windows show nothing", window);
    check(w, walk_finish(&k, &e) == ERR_OK, "%s", e.text);
    arena_release(&a);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct world w;
    world_init(&w, "", 0);
    static struct layout_tensor tensors[TENSORS];
    struct layout l;
    struct err e;
    for (int seed = 1; seed < 4; seed++)
        for (int64_t elements = 64; elements < 20 * LAYOUT_BLOCK; elements *= 31)
            for (int with_sums = 0; with_sums < 2; with_sums++) {
                make_layout(&l, tensors, (uint64_t)seed);
                check(&w, walk_once(&w, &l, elements, with_sums, -1, &e) == ERR_OK, "the walk failed: %s",
                      e.text);
            }
    make_layout(&l, tensors, 9);
    lead(&w, &l);
    for (int fails = 0; fails < 2 * WALK_LEAD + 2; fails++)
        for (int with_sums = 0; with_sums < 2; with_sums++)
            check(&w,
                  walk_once(&w, &l, LAYOUT_BLOCK, with_sums, fails, &e) == ERR_DATA &&
                      strcmp(e.text, "made to fail") == 0,
                  "a failure in window %d became %d: %s", fails, (int)e.code, e.text);
    struct layout empty = {.ntensors = 0};
    check(&w, walk_once(&w, &empty, 64, 0, -1, &e) == ERR_OK, "an empty layout: %s", e.text);
    int failed = world_end(&w);
    MPI_Finalize();
    return failed;
}
