/* dynamics, on as many processes as the program is started with: a run whose elements each follow one of
 * eight stories, so that every count is a number of stories times elements, made by hand; on both sides of
 * block boundaries, with any memory, from stored updates and from pairs read again; cells without steps give
 * no rows, and a damaged update is refused by all processes alike. One line per failed check; exit status 0
 * or 1. */
#include "stagelib.h"

enum { BIG = 3 * LAYOUT_BLOCK + 77, ODD = 13, TENSORS = 3, STORIES = 8, MEMBERS = 4, CELLS = 6 };

/* In the order of the file; that of the layout is by name: big, empty, odd. */
static const struct stored_tensor tensors[TENSORS] = {
    {.name = "odd.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {ODD}},
    {.name = "empty.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {0, 4}},
    {.name = "big.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {BIG}},
};

/* What element i of a tensor holds, story i mod 8, in bf16: in the base, at three steps, at the end. HALF is
 * 2^-17, below the tolerance of 1e-5; FULL is 2^-16, above it; EDGE is the tolerance rounded, and within. */
enum {
    ONE = 0x3f80,
    TWO = 0x4000,
    HALF = 0x3700,
    FULL = 0x3780,
    MINUS = 0xb700,
    EDGE = 0x3728,
    NOT = 0x7fc0
};
static const uint16_t story[STORIES][1 + MEMBERS] = {
    {ONE, ONE, ONE, ONE, ONE},   /* 0 never moves */
    {ONE, TWO, TWO, TWO, TWO},   /* 1 moves at once */
    {ONE, TWO, ONE, ONE, ONE},   /* 2 moves and comes back */
    {ONE, ONE, ONE, TWO, TWO},   /* 3 moves late */
    {0, EDGE, FULL, FULL, FULL}, /* 4 drifts: each step is within the tolerance, their sum is not */
    {0, HALF, MINUS, 0, 0},      /* 5 swings: within the tolerance of the start, its second step is not */
    {NOT, NOT, NOT, NOT, NOT},   /* 6 is NaN: never close to itself, its bits are equal */
    {ONE, ONE, ONE, ONE, TWO},   /* 7 moves at the end */
};

/* Stories as bits. */
#define S(i) (1 << (i))
struct expected {
    const char *criterion;
    int from_start[MEMBERS], from_previous[MEMBERS], ever[MEMBERS], outside[MEMBERS], ever_outside[MEMBERS];
    int never, cancelled, final;
};
static const struct expected in_values = {
    "absolute",
    {S(1) | S(2) | S(6), S(1) | S(4) | S(6), S(1) | S(3) | S(4) | S(6), S(1) | S(3) | S(4) | S(6) | S(7)},
    {S(1) | S(2) | S(6), S(2) | S(5) | S(6), S(3) | S(6), S(6) | S(7)},
    {S(1) | S(2) | S(6), S(1) | S(2) | S(4) | S(5) | S(6), 0x7e, 0xfe},
    {S(2), S(2) | S(5), 0, 0},
    {S(2), S(2) | S(5), S(2) | S(5), S(2) | S(5)},
    S(0),
    S(2) | S(5),
    S(1) | S(3) | S(4) | S(6) | S(7)};
static const struct expected in_bits = {
    "bits",
    {S(1) | S(2) | S(4) | S(5), S(1) | S(4) | S(5), S(1) | S(3) | S(4), S(1) | S(3) | S(4) | S(7)},
    {S(1) | S(2) | S(4) | S(5), S(2) | S(4) | S(5), S(3) | S(5), S(7)},
    {S(1) | S(2) | S(4) | S(5), S(1) | S(2) | S(4) | S(5), 0x3e, 0xbe},
    {S(2) | S(5), S(2) | S(5), S(5), 0},
    {S(2) | S(5), S(2) | S(5), S(2) | S(5), S(2) | S(5)},
    S(0) | S(6),
    S(2) | S(5),
    S(1) | S(3) | S(4) | S(7)};

/* Elements of the model that follow one of these stories. */
static int64_t elements(int stories)
{
    int64_t n = 0;
    for (int i = 0; i < STORIES; i++)
        if (stories & S(i))
            n += (BIG - i + STORIES - 1) / STORIES + (ODD - i + STORIES - 1) / STORIES;
    return n;
}

static const int64_t steps[MEMBERS] = {4, 8, 12, -1};

/* The cells as a config might list them: the run out of order, with its end; another run of one step, which
 * is the model at step 8; a cell without any. `member` is the model each is tuned to. */
struct listed {
    struct cell cell;
    int member;
};
#define CELL(name_, seed_, step_)                                                                           \
    {                                                                                                       \
        .name = name_, .family = "tiny", .algorithm = "grpo", .data = "math", .seed = seed_, .step = step_, \
        .base = "base", .tuned = name_                                                                      \
    }
static const struct listed cells[CELLS] = {
    {CELL("tiny/grpo/0+math", 0, -1), 4},  {CELL("tiny/grpo/0+math@12", 0, 12), 3},
    {CELL("tiny/grpo/1+math@8", 1, 8), 2}, {CELL("tiny/grpo/0+math@4", 0, 4), 1},
    {CELL("tiny/grpo/2+math", 2, -1), 1},  {CELL("tiny/grpo/0+math@8", 0, 8), 2},
};

/* Collective. The catalogue of model m (0: the base). */
static const char *make_model(struct world *w, int m)
{
    uint16_t *v = take(w, BIG, sizeof *v);
    for (int64_t i = 0; i < BIG; i++)
        v[i] = story[i % STORIES][m];
    char name[20];
    snprintf(name, sizeof name, "model-%d", m);
    const char *path = load_model(w, name, tensors, TENSORS, (const void *const[]){v, NULL, v});
    arena_drop(&w->arena, v);
    return path;
}

/* Collective. The deltas of all cells, as inputs. */
static void make_deltas(struct world *w, const char *const models[], const char *store, struct input inputs[])
{
    const char *const settings[] = {"store", store, NULL};
    for (int i = 0; i < CELLS; i++)
        inputs[i] = (struct input){.kind = "delta",
                                   .node = "delta",
                                   .cell = &cells[i].cell,
                                   .role = "",
                                   .path = run_delta(w, &cells[i].cell, models[0], models[cells[i].member],
                                                     settings, in_root(w, "delta-%s-%d.h5", store, i))};
}

static err_t run(struct world *w, const struct input *inputs, const char *criterion, const char *path,
                 struct err *e)
{
    const char *const settings[] = {"criterion", criterion, "tolerance", "1e-5", NULL};
    struct ctx ctx = {.label = "base", .base = "base", .inputs = inputs, .ninputs = CELLS};
    return run_stage(w, ctx, "dynamics", settings, path, e);
}

static void check_row(struct world *w, const struct table *t, int64_t row, const struct expected *x, int k,
                      int64_t previous)
{
    int64_t n = BIG + ODD, ever = elements(x->ever[MEMBERS - 1]);
    check_text(w, "node", table_text(t, row, "node"), "dynamics");
    check_text(w, "base", table_text(t, row, "base"), "base");
    check_int(w, "previous_step", table_int(t, row, "previous_step"), previous);
    check_int(w, "parameters", table_int(t, row, "parameters"), n);
    check_int(w, "updated_from_start", table_int(t, row, "updated_from_start"), elements(x->from_start[k]));
    check_real(w, "sparsity_from_start", table_real(t, row, "sparsity_from_start"),
               1 - (double)elements(x->from_start[k]) / (double)n, 0);
    check_int(w, "updated_from_previous", table_int(t, row, "updated_from_previous"),
              elements(x->from_previous[k]));
    check_real(w, "sparsity_from_previous", table_real(t, row, "sparsity_from_previous"),
               1 - (double)elements(x->from_previous[k]) / (double)n, 0);
    check_int(w, "ever_updated", table_int(t, row, "ever_updated"), elements(x->ever[k]));
    check_int(w, "outside_final", table_int(t, row, "outside_final"), elements(x->outside[k]));
    check_real(w, "outside_final_share", table_real(t, row, "outside_final_share"),
               (double)elements(x->outside[k]) / (double)ever, 0);
    check_int(w, "ever_outside_final", table_int(t, row, "ever_outside_final"), elements(x->ever_outside[k]));
    check_real(w, "ever_outside_final_share", table_real(t, row, "ever_outside_final_share"),
               (double)elements(x->ever_outside[k]) / (double)elements(x->ever[k]), 0);
}

/* Process 0. The run of four, then the run of one, which begins and ends at model 2. */
static void check_tables(struct world *w, const char *path, const struct expected *x)
{
    struct table t = read_table(w, path, "dynamics"), totals = read_table(w, path, "dynamics_totals");
    check_int(w, "rows", t.nrows, MEMBERS + 1);
    check_int(w, "totals", totals.nrows, 2);
    if (t.nrows != MEMBERS + 1 || totals.nrows != 2)
        return;
    for (int k = 0; k < MEMBERS; k++) {
        check_text(w, "run", table_text(&t, k, "run"), "tiny/grpo/0+math");
        check_int(w, "step", table_int(&t, k, "step"), steps[k]);
        check_row(w, &t, k, x, k, k > 0 ? steps[k - 1] : -1);
    }
    check_text(w, "run", table_text(&t, MEMBERS, "run"), "tiny/grpo/1+math");
    check_int(w, "step", table_int(&t, MEMBERS, "step"), 8);
    check_int(w, "updated", table_int(&t, MEMBERS, "updated_from_start"), elements(x->from_start[1]));
    check_int(w, "updated", table_int(&t, MEMBERS, "updated_from_previous"), elements(x->from_start[1]));
    check_int(w, "outside", table_int(&t, MEMBERS, "outside_final"), 0);
    check_text(w, "run", table_text(&totals, 0, "run"), "tiny/grpo/0+math");
    check_int(w, "steps", table_int(&totals, 0, "steps"), MEMBERS);
    check_int(w, "never", table_int(&totals, 0, "never_updated"), elements(x->never));
    check_int(w, "cancelled", table_int(&totals, 0, "cancelled"), elements(x->cancelled));
    check_int(w, "final", table_int(&totals, 0, "final_subnetwork"), elements(x->final));
    check_real(w, "cancelled_share", table_real(&totals, 0, "cancelled_share"),
               (double)elements(x->cancelled) / (BIG + ODD), 0);
    check_int(w, "steps", table_int(&totals, 1, "steps"), 1);
    check_int(w, "cancelled", table_int(&totals, 1, "cancelled"), 0);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    /* Budgets of dynamics: none; updates open, few blocks at once; each file opened anew for each block. */
    static const size_t budgets[] = {0, 48 << 20, 20 << 20};
    static const char *const stores[] = {"update", "none"};
    struct world w;
    struct input inputs[CELLS];
    struct err e;
    world_init(&w, argc > 1 ? argv[1] : NULL, 0);
    const char *models[1 + MEMBERS];
    for (int m = 0; m <= MEMBERS; m++)
        models[m] = make_model(&w, m);
    for (int s = 1; s >= 0; s--) {
        make_deltas(&w, models, stores[s], inputs);
        for (int b = 0; b < 3; b++) {
            const struct expected *x = b == 1 ? &in_bits : &in_values;
            const char *path = in_root(&w, "dynamics-%s-%d.h5", stores[s], b);
            w.mem.budget_bytes = budgets[b];
            err_t code = run(&w, inputs, x->criterion, path, &e);
            check(&w, code == ERR_OK, "%s: %s", path, e.text);
            w.mem.budget_bytes = 0;
            if (w.comm.me == 0 && code == ERR_OK)
                check_tables(&w, path, x);
        }
    }
    /* A bit more in the bitmap of step 12, in the last block. */
    if (w.comm.me == 0)
        flip_bit(&w, inputs[1].path, "/update/bitmap", 3 * LAYOUT_BLOCK + 8);
    MPI_Barrier(w.comm.mpi);
    const char *path = in_root(&w, "damaged.h5");
    err_t code = run(&w, inputs, "absolute", path, &e);
    check_refusal(&w, code, &e, ERR_DATA, "bitmap and values disagree", path);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
