/* overlap, on as many processes as the program is started with: sets of updated elements planted in two
 * magnitude bins and across a block boundary, whose intersections, matched chances and consensus are counted
 * by hand; a cell that changed nothing; masks that do not fit together, also because a cell lacks a tensor or
 * rows of one. One line per failed check; exit
 * status 0 or 1. */
#include "stagelib.h"

#include "elements/bits/bits.h"

/* In q the first 60 elements are 1, the last 40 are 2; all others are 1. Ordered by name, as the layout is.
 */
enum {
    Q = 100,
    ONES = 60,
    UP = LAYOUT_BLOCK + 64,
    NORM = 70,
    TENSORS = 3,
    CELLS = 4,
    PARAMETERS = Q + UP + NORM
};
static const struct stored_tensor tensors[TENSORS] = {
    {.name = "model.layers.0.self_attn.q_proj.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {4, 25}},
    {.name = "model.layers.1.mlp.up_proj.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {UP}},
    {.name = "model.norm.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {NORM}},
};

#define CELL(a, s)                                                                                     \
    {                                                                                                  \
        .name = "tiny/" a "/" #s, .family = "tiny", .algorithm = a, .data = "", .seed = s, .step = -1, \
        .base = "base"                                                                                 \
    }
static const struct cell cells[CELLS] = {CELL("grpo", 0), CELL("grpo", 1), CELL("ppo", 2), CELL("dpo", 0)};

/* What each cell changes: [from, to) of q's ones, of q's twos, of up. The third changes nothing, the fourth
 * what the first does in up. */
static const int64_t changed[CELLS][3][2] = {
    {{0, 30}, {60, 80}, {LAYOUT_BLOCK - 5, LAYOUT_BLOCK + 5}},
    {{20, 50}, {70, 90}, {LAYOUT_BLOCK - 2, LAYOUT_BLOCK + 18}},
    {{0, 0}, {60, 60}, {0, 0}},
    {{0, 0}, {60, 60}, {LAYOUT_BLOCK - 5, LAYOUT_BLOCK + 5}},
};

/* Collective. The mask of cell c, by load, delta and mask. */
static const char *make_mask(struct world *w, int c, const char *base, const char *tolerance)
{
    uint16_t *q = take(w, Q, sizeof *q), *up = take(w, UP, sizeof *up), *norm = take(w, NORM, sizeof *norm);
    for (int64_t i = 0; i < Q; i++)
        q[i] = i < ONES ? 0x3f80 : 0x4000;
    for (int64_t i = 0; i < UP; i++)
        up[i] = 0x3f80;
    for (int64_t i = 0; i < NORM; i++)
        norm[i] = 0x3f80;
    for (int part = 0; c >= 0 && part < 3; part++)
        for (int64_t i = changed[c][part][0]; i < changed[c][part][1]; i++)
            (part < 2 ? q : up)[i]++; /* the next larger value */
    const void *bytes[TENSORS] = {q, up, norm};
    char name[20];
    snprintf(name, sizeof name, "cell%d", c);
    const char *catalogue = load_model(w, name, tensors, TENSORS, bytes);
    if (c < 0)
        return catalogue;
    const char *delta = run_delta(w, &cells[c], base, catalogue, NULL, in_root(w, "delta%d.h5", c));
    const char *const settings[] = {"tolerance", tolerance, NULL};
    struct err e;
    char *path = in_root(w, "mask%d-%s.h5", c, tolerance);
    check(w, run_on_delta(w, &cells[c], delta, "mask", settings, path, &e) == ERR_OK, "%s", e.text);
    return path;
}

/* Collective. The mask of a cell whose checkpoint has the first n tensors only, and `rows` rows of q; what
 * the base has more is left out by delta. All elements are 1, so that the twos of q are updated. */
static const char *make_partial_mask(struct world *w, const char *name, const char *base, int n, int64_t rows)
{
    struct stored_tensor part[TENSORS];
    const void *bytes[TENSORS];
    memcpy(part, tensors, sizeof part);
    part[0].dims[0] = rows;
    for (int t = 0; t < n; t++) {
        int64_t elements = t == 0 ? rows * 25 : t == 1 ? UP : NORM;
        uint16_t *v = take(w, elements, sizeof *v);
        for (int64_t i = 0; i < elements; i++)
            v[i] = 0x3f80;
        bytes[t] = v;
    }
    const char *catalogue = load_model(w, name, part, n, bytes);
    static const char *const lenient[] = {"unmatched", "skip", "rows", "common", NULL};
    const char *delta = run_delta(w, &cells[1], base, catalogue, lenient, in_root(w, "delta-%s.h5", name));
    struct err e;
    char *path = in_root(w, "mask-%s.h5", name);
    check(w, run_on_delta(w, &cells[1], delta, "mask", NULL, path, &e) == ERR_OK, "%s", e.text);
    return path;
}

/* Collective. overlap of n masks. */
static err_t run(struct world *w, const char *const *mask, int n, const char *path, struct err *e)
{
    struct input inputs[CELLS];
    for (int i = 0; i < n; i++)
        inputs[i] =
            (struct input){.kind = "mask", .node = "mask", .cell = &cells[i], .role = "", .path = mask[i]};
    struct ctx ctx = {.label = "base", .base = "base", .inputs = inputs, .ninputs = n};
    return run_stage(w, ctx, "overlap", NULL, path, e);
}

/* Variance of the overlap of u1 and u2 random ones of n: hypergeometric. */
static double variance(double n, double u1, double u2)
{
    return u1 * (u2 / n) * ((n - u1) / n) * ((n - u2) / (n - 1));
}

struct expected {
    const char *scope;
    int64_t parameters, updated_1, updated_2, both;
    double matched, variance;
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* Process 0. The row of this pair and scope; everything that follows from the counts is checked too. */
static void check_row(struct world *w, const struct table *t, int i, int j, const struct expected *x)
{
    int64_t r = 0;
    while (r < t->nrows && (strcmp(table_text(t, r, "cell_1"), cells[i].name) != 0 ||
                            strcmp(table_text(t, r, "cell_2"), cells[j].name) != 0 ||
                            strcmp(table_text(t, r, "scope"), x->scope) != 0))
        r++;
    if (!check(w, r < t->nrows, "no row of %s, %s, %s", cells[i].name, cells[j].name, x->scope))
        return;
    const double n = (double)x->parameters, u1 = (double)x->updated_1, u2 = (double)x->updated_2,
                 both = (double)x->both, random = u1 * u2 / n;
    const struct {
        const char *column;
        double value;
    } expected[] = {{"o1", ratio(both, u1)},
                    {"o2", ratio(both, u2)},
                    {"jaccard", ratio(both, u1 + u2 - both)},
                    {"random_intersection", random},
                    {"random_o1", ratio(random, u1)},
                    {"random_o2", ratio(random, u2)},
                    {"random_jaccard", ratio(random, u1 + u2 - random)},
                    {"matched_intersection", x->matched},
                    {"matched_o1", ratio(x->matched, u1)},
                    {"matched_o2", ratio(x->matched, u2)},
                    {"matched_jaccard", ratio(x->matched, u1 + u2 - x->matched)},
                    {"random_z", ratio(both - random, sqrt(variance(n, u1, u2)))},
                    {"matched_z", ratio(both - x->matched, sqrt(x->variance))}};
    check_int(w, x->scope, table_int(t, r, "parameters"), x->parameters);
    check_int(w, x->scope, table_int(t, r, "updated_1"), x->updated_1);
    check_int(w, x->scope, table_int(t, r, "updated_2"), x->updated_2);
    check_int(w, x->scope, table_int(t, r, "intersection"), x->both);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
        check_real(w, expected[k].column, table_real(t, r, expected[k].column), expected[k].value,
                   1e-12 * (1 + fabs(expected[k].value)));
}

/* Process 0. In q the first two cells have 30 and 30 of 60 ones, 10 of them common, and 20 and 20 of 40 twos,
 * 10 common; in up 10 and 20 of UP, 7 common. */
static void check_overlap(struct world *w, const char *path)
{
    const double up = 10.0 * 20 / UP, q_variance = variance(60, 30, 30) + variance(40, 20, 20),
                 up_variance = variance(UP, 10, 20);
    const struct expected pair[] = {
        {"model", PARAMETERS, 60, 70, 27, 15 + 10 + up, q_variance + up_variance},
        {"layer:0", Q, 50, 50, 20, 25, q_variance},
        {"layer:1", UP, 10, 20, 7, up, up_variance},
        {"module:q_proj", Q, 50, 50, 20, 25, q_variance},
        {"module:up_proj", UP, 10, 20, 7, up, up_variance},
        {"module:norm", NORM, 0, 0, 0, 0, 0},
    };
    struct table t = read_table(w, path, "overlap"), consensus = read_table(w, path, "consensus");
    check_int(w, "rows of overlap", t.nrows, 6 * 6);
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
        check_row(w, &t, 0, 1, &pair[i]);
    const struct expected with_none = {"model", PARAMETERS, 60, 0, 0, 0, 0},
                          none_first = {"model", PARAMETERS, 0, 10, 0, 0, 0};
    check_row(w, &t, 0, 2, &with_none);
    check_row(w, &t, 2, 3, &none_first);
    check_real(w, "o1 of an empty set", table_real(&t, find_row(&t, 0, "cell_1", cells[2].name), "o1"), NAN,
               0);
    const struct expected inside = {"model", PARAMETERS, 60, 10, 10, 10.0 * 10 / UP, variance(UP, 10, 10)};
    check_row(w, &t, 0, 3, &inside);
    check_text(w, "varies", table_text(&t, 0, "varies"), "seed");
    check_text(w, "varies", table_text(&t, 6, "varies"), "algorithm+seed");

    /* Of 103 elements in any cell, 27 + 10 - 7 are in at least two and 7 in three, none in four. */
    static const int64_t model[CELLS] = {103, 30, 7, 0}, layer_0[CELLS] = {80, 20, 0, 0};
    check_int(w, "rows of consensus", consensus.nrows, 6 * CELLS);
    for (int k = 0; k < CELLS; k++) {
        check_int(w, "k", table_int(&consensus, k, "k"), k + 1);
        check_int(w, "consensus", table_int(&consensus, k, "updated_in_at_least_k"), model[k]);
        check_int(w, "consensus of layer 0", table_int(&consensus, CELLS + k, "updated_in_at_least_k"),
                  layer_0[k]);
    }
}

/* Collective. Cells in which not the same was compared are refused, and what to do is said. */
static void check_unlike(struct world *w, const char *base, const char *whole, const char *bad)
{
    struct err e;
    const char *fewer = make_partial_mask(w, "fewer", base, TENSORS - 1, 4),
               *lower = make_partial_mask(w, "lower", base, TENSORS, 3);
    const struct {
        const char *mask[2], *says;
    } unlike[] = {{{whole, fewer}, "tensor model.norm.weight was compared in tiny/grpo/0 only; "},
                  {{fewer, whole}, "tensor model.norm.weight was compared in tiny/grpo/1 only; "},
                  {{whole, lower},
                   "of tensor model.layers.0.self_attn.q_proj.weight 4x25 was compared in one and 3x25 in "
                   "the other; "}};
    for (size_t i = 0; i < sizeof unlike / sizeof *unlike; i++) {
        err_t code = run(w, unlike[i].mask, 2, bad, &e);
        check_refusal(w, code, &e, ERR_DATA, unlike[i].says, bad);
        check(w, strstr(e.text, "put the cell that differs into a study of its own") != NULL,
              "\"%s\" does not say what to do", e.text);
    }
    /* Among themselves they are like any others. */
    const char *alike[] = {fewer, fewer};
    char *path = in_root(w, "alike.h5");
    check(w, run(w, alike, 2, path, &e) == ERR_OK, "%s", e.text);
    if (w->comm.me == 0 && e.code == ERR_OK) {
        struct table t = read_table(w, path, "overlap");
        check_int(w, "parameters of the tensors compared", table_int(&t, 0, "parameters"), Q + UP);
        check_int(w, "intersection", table_int(&t, 0, "intersection"), Q - ONES);
    }
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    struct world w;
    struct err e;
    const char *mask[CELLS];
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    const char *base = make_mask(&w, -1, NULL, NULL);
    for (int c = 0; c < CELLS; c++)
        mask[c] = make_mask(&w, c, base, "1e-5");
    char *path = in_root(&w, "overlap.h5"), *bad = in_root(&w, "bad.h5");
    check(&w, run(&w, mask, CELLS, path, &e) == ERR_OK, "%s", e.text);
    if (w.comm.me == 0 && e.code == ERR_OK)
        check_overlap(&w, path);
    MPI_Barrier(w.comm.mpi);
    check(&w, run(&w, mask, 1, path, &e) == ERR_OK, "%s", e.text); /* no pair at all */
    if (w.comm.me == 0 && e.code == ERR_OK) {
        struct table t = read_table(&w, path, "overlap"), consensus = read_table(&w, path, "consensus");
        check_int(&w, "rows of overlap of one cell", t.nrows, 0);
        check_int(&w, "consensus of one cell", table_int(&consensus, 0, "updated_in_at_least_k"), 60);
    }

    /* Masks of two tolerances; then one bit too many, which only the counts by bin can tell. */
    const char *mixed[] = {mask[0], make_mask(&w, 1, base, "1e-3")};
    err_t code = run(&w, mixed, 2, bad, &e);
    check_refusal(&w, code, &e, ERR_DATA, "are not comparable", bad);
    if (w.comm.me == 0)
        flip_bit(&w, mask[3], "/mask", 64 * bits_words(Q));
    MPI_Barrier(w.comm.mpi);
    code = run(&w, mask, CELLS, bad, &e);
    check_refusal(&w, code, &e, ERR_DATA, "table bins counts 10 updated elements, the mask 11", bad);
    check(&w, strstr(e.text, mask[3]) != NULL, "\"%s\" does not name %s", e.text, mask[3]);
    check_unlike(&w, base, mask[0], bad);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
