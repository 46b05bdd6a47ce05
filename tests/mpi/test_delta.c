/* delta, on as many processes as the program is started with: changed elements planted at known places, on
 * both sides of block boundaries, and the values that are no ordinary numbers, against counts made by hand;
 * the stored update gives back both sides. One line per failed check; exit status 0 or 1. */
#include "stagelib.h"

#include "elements/bits/bits.h"
#include "compare/update.h"

enum { BIG = 2 * LAYOUT_BLOCK + 70, ODD = 13, WIDE = 6, TENSORS = 4 };

static const struct cell cell = {.name = "tiny/grpo/3",
                                 .family = "tiny",
                                 .algorithm = "grpo",
                                 .data = "",
                                 .seed = 3,
                                 .step = -1,
                                 .base = "base",
                                 .tuned = "tuned"};

/* In the order of the file, which is not that of the layout: big, empty, odd, wide. */
static const struct stored_tensor tensors[TENSORS] = {
    {.name = "wide.weight", .dtype = DTYPE_F32, .ndim = 2, .dims = {2, 3}},
    {.name = "model.layers.0.odd.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {ODD}},
    {.name = "empty.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {0, 4}},
    {.name = "big.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {BIG}},
};

/* The changes of big: 1 becomes 1 + 2^-7. */
static const int64_t places[] = {0, LAYOUT_BLOCK - 1, LAYOUT_BLOCK, BIG - 1};
enum { PLACES = (int)(sizeof places / sizeof *places) };

/* Old and new bits of odd, in bf16. 0x3728 is 1e-5 rounded, 0x3a80 is 2^-10. */
static const uint16_t odd[2][ODD] = {
    {0x8000, 0x7fc0, 0x7f80, 0x7fc0, 0x3f80, 0x0000, 0x0000, 0x8000, 0x7f80, 0x0000, 0x4000, 0x0000, 0x0001},
    {0x0000, 0x7fc0, 0x7f80, 0x3f80, 0xff80, 0x3a80, 0x3a81, 0x8000, 0xff80, 0x3728, 0x4000, 0x3729, 0x0001}};
/*   sign    NaN     Inf     of NaN  to Inf  2^-10   above   same    sign    1e-5    same    above   same */

/* Old and new values of wide: the first three differ in float32, of which only the first two do in bf16. */
static const float wide[2][WIDE] = {{1, -2, 1, 0, 5, -0.0f}, {3, -1, 1.0009765625f, 0, 5, -0.0f}};

struct expected {
    const char *tensor;
    int64_t parameters, bit_changed, nonzero, nan_count, inf_count;
    int64_t updated[4]; /* beyond 0, 1e-5, 2^-10, 0.5 */
    double max_abs, sum_abs, sum_squares;
};

#define TINY 0x1.5p-17 /* 0x3728 */
#define NEXT 0x1.52p-17
#define STEP 0x1.02p-10 /* 0x3a81 */

/* odd changes at 0, 3, 4, 5, 6, 8, 9, 11: a sign of zero (difference 0), of NaN, to -Inf, 2^-10, above it, a
 * sign of Inf, 1e-5 rounded and above it. NaN and Inf that stay count as updated but for their bits: two
 * more. */
static const struct expected in_bf16[TENSORS] = {
    {"big.weight", BIG, 4, 4, 0, 0, {4, 4, 4, 0}, 0x1p-7, 4 * 0x1p-7, 4 * 0x1p-14},
    {"empty.weight", 0, 0, 0, 0, 0, {0, 0, 0, 0}, 0, 0, 0},
    {"model.layers.0.odd.weight",
     ODD,
     8,
     9,
     2,
     3,
     {9, 8, 6, 5},
     STEP,
     0x1p-10 + STEP + TINY + NEXT,
     0x1p-20 + STEP *STEP + TINY *TINY + NEXT *NEXT},
    {"wide.weight", WIDE, 2, 2, 0, 0, {2, 2, 2, 2}, 2, 3, 5},
};

static const char *const tolerances[] = {"tolerances", "[0, 1e-5, 0.0009765625, 0.5]", NULL};

/* Process 0. Tables of an artifact against the expected counts. */
static void check_tables(struct world *w, const char *path, const struct expected *expected)
{
    struct table t = read_table(w, path, "tensors"), sparsity = read_table(w, path, "tensor_sparsity"),
                 all = read_table(w, path, "sparsity"), cells = read_table(w, path, "cells"),
                 inf = read_table(w, path, "inf_counts");
    int64_t changed = 0, nonzero = 0, updated[4] = {0};
    check_int(w, "rows of tensors", t.nrows, TENSORS);
    check_int(w, "rows of tensor_sparsity", sparsity.nrows, 5 * TENSORS);
    for (int64_t i = 0; i < t.nrows && i < TENSORS; i++) {
        const struct expected *x = &expected[i];
        double n = x->parameters > 0 ? (double)x->parameters : 1;
        check_text(w, "tensor", table_text(&t, i, "tensor"), x->tensor);
        check_int(w, x->tensor, table_int(&t, i, "parameters"), x->parameters);
        check_int(w, x->tensor, table_int(&t, i, "bit_changed"), x->bit_changed);
        check_int(w, x->tensor, table_int(&t, i, "nonzero"), x->nonzero);
        check_int(w, x->tensor, table_int(&t, i, "nan_count"), x->nan_count);
        check_real(w, x->tensor, table_real(&t, i, "max_abs"), x->max_abs, 0);
        check_real(w, x->tensor, table_real(&t, i, "mean_abs"), x->sum_abs / n, 1e-18);
        check_real(w, x->tensor, table_real(&t, i, "l2"), sqrt(x->sum_squares), 1e-15);
        for (int k = 0; k < 5; k++) {
            check_text(w, x->tensor, table_text(&sparsity, 5 * i + k, "criterion"), k ? "absolute" : "bits");
            check_int(w, x->tensor, table_int(&sparsity, 5 * i + k, "updated"),
                      k ? x->updated[k - 1] : x->bit_changed);
        }
        changed += x->bit_changed;
        nonzero += x->nonzero;
        for (int k = 0; k < 4; k++)
            updated[k] += x->updated[k];
    }
    const int64_t n = BIG + ODD + WIDE;
    check_int(w, "tensors of the cell", table_int(&cells, 0, "tensors"), TENSORS);
    check_int(w, "parameters of the cell", table_int(&cells, 0, "parameters"), n);
    check_int(w, "bit_changed of the cell", table_int(&cells, 0, "bit_changed"), changed);
    check_int(w, "nonzero of the cell", table_int(&cells, 0, "nonzero"), nonzero);
    for (int k = 0; k < 4; k++) {
        check_int(w, "updated in the cell", table_int(&all, 1 + k, "updated"), updated[k]);
        check_real(w, "sparsity", table_real(&all, 1 + k, "sparsity"), 1 - (double)updated[k] / (double)n, 0);
    }
    check_int(w, "rows of inf_counts", inf.nrows, 1);
    check_int(w, "Inf in odd", table_int(&inf, 0, "inf_count"), expected[2].inf_count);
}

/* Process 0. How often a table's row of tensor `tensor` says `quantity` (may be NULL) and `bin`. */
static int64_t in_bin(const struct table *t, int64_t tensor, const char *quantity, int64_t bin,
                      const char *column)
{
    for (int64_t i = 0; i < t->nrows; i++)
        if (table_int(t, i, "tensor_index") == tensor && table_int(t, i, "bin") == bin &&
            (!quantity || strcmp(table_text(t, i, "quantity"), quantity) == 0))
            return table_int(t, i, column);
    return 0;
}

/* Process 0. Histograms in bf16. */
static void check_histograms(struct world *w, const char *path)
{
    struct table bins = read_table(w, path, "bins"), h = read_table(w, path, "tensor_histograms");
    check_int(w, "big: elements of size 1", in_bin(&bins, 0, NULL, 0x3f80 >> 5, "elements"), BIG);
    check_int(w, "big: updated of size 1", in_bin(&bins, 0, NULL, 0x3f80 >> 5, "updated"), PLACES);
    check_int(w, "odd: elements at zero", in_bin(&bins, 2, NULL, 0, "elements"), 7);
    check_int(w, "odd: updated at zero", in_bin(&bins, 2, NULL, 0, "updated"), 5);
    check_int(w, "odd: NaN", in_bin(&bins, 2, NULL, 0x7fc0 >> 5, "elements"), 2);
    check_int(w, "big: differences of 2^-7", in_bin(&h, 0, "abs_delta", -7, "count"), PLACES);
    check_int(w, "odd: differences from 2^-10 on", in_bin(&h, 2, "abs_delta", -10, "count"), 2);
    check_int(w, "odd: differences from 2^-17 on", in_bin(&h, 2, "abs_delta", -17, "count"), 2);
    check_int(w, "big: one step apart", in_bin(&h, 0, "ulp_distance", 0, "count"), PLACES);
    check_int(w, "odd: no step apart", in_bin(&h, 2, "ulp_distance", -1, "count"), 1);
    check_int(w, "odd: Inf to -Inf", in_bin(&h, 2, "ulp_distance", 15, "count"), 2); /* and 1 to -Inf */
}

/* Process 0. The datasets of the stored update in bf16, and both sides rebuilt from each other. */
static void check_update(struct world *w, const char *path)
{
    static const int64_t first_value[] = {0, 2, 3, 4, 12, 14};
    const int64_t odd_word = bits_words(BIG), n = 6;
    int64_t found;
    int64_t *first = read_bulk(w, path, "/update/first_value", H5_INT64, sizeof *first, &found);
    check_int(w, "first values", found, n);
    check(w, found == n && memcmp(first, first_value, sizeof first_value) == 0, "first values differ");
    uint64_t *words = read_bulk(w, path, "/update/bitmap", H5_BITS64, sizeof *words, &found);
    check_int(w, "words", found, odd_word + 2);
    for (int64_t i = 0; i < PLACES && found == odd_word + 2; i++)
        check(w, words[places[i] / 64] >> places[i] % 64 & 1, "big: element %lld is not in the bitmap",
              (long long)places[i]);
    check_int(w, "bits of big", bits_count(words, found < odd_word ? found : odd_word), PLACES);
    if (found == odd_word + 2) {
        check_int(w, "bits of odd", (int64_t)words[odd_word], 0xb79);
        check_int(w, "bits of wide", (int64_t)words[odd_word + 1], 3);
    }
    int64_t *position = read_bulk(w, path, "/update/nonfinite", H5_INT64, sizeof *position, &found);
    check_int(w, "elements that stay NaN or Inf", found, 2);
    check_int(w, "place of NaN", position[0], 64 * odd_word + 1);
    check_int(w, "place of Inf", found > 1 ? position[1] : -1, 64 * odd_word + 2);

    struct update *u;
    struct update_part part;
    struct err e;
    uint16_t side[2][ODD];
    err_clear(&e);
    if (check(w, update_open(path, NULL, &w->arena, &u, &e) == ERR_OK, "%s: %s", path, e.text)) {
        check(w, update_read(u, 3, 4, &part, &e) == ERR_OK && part.nvalues == 8, "odd: %s", e.text);
        memcpy(side, odd, sizeof side);
        if (e.code == ERR_OK) {
            bits_unpack(2, part.words, ODD, part.new_bits, side[0]);
            bits_unpack(2, part.words, ODD, part.old_bits, side[1]);
        }
        check(w, memcmp(side[0], odd[1], sizeof side[0]) == 0, "odd: tuned is not base and update");
        check(w, memcmp(side[1], odd[0], sizeof side[1]) == 0, "odd: base is not tuned and update");
        update_close(u);
    }
}

/* Collective. One tensor of one element: less work than processes. */
static void tiny(struct world *w)
{
    const struct stored_tensor t = {.name = "one", .dtype = DTYPE_F16};
    static const uint16_t value[2] = {0x3c00, 0x4000}; /* 1, 2 */
    const char *path[2];
    for (int i = 0; i < 2; i++) {
        const void *bytes = &value[i];
        path[i] = load_model(w, i ? "tiny-tuned" : "tiny-base", &t, 1, &bytes);
    }
    const char *delta = run_delta(w, &cell, path[0], path[1], NULL, in_root(w, "tiny-delta.h5"));
    if (w->comm.me == 0) {
        struct table tensors_found = read_table(w, delta, "tensors");
        check_int(w, "one", table_int(&tensors_found, 0, "nonzero"), 1);
        check_real(w, "one", table_real(&tensors_found, 0, "l2"), 1, 0);
    }
}

/* Collective. One process that has no memory left stops all; so does a checkpoint that has changed. */
static void failures(struct world *w, const char *const *catalogue, const void *const *bytes)
{
    struct err e;
    const struct input inputs[] = {{.kind = "load", .role = "base", .path = catalogue[0]},
                                   {.kind = "load", .role = "tuned", .path = catalogue[1]}};
    struct ctx ctx = {.label = cell.name, .cell = &cell, .inputs = inputs, .ninputs = 2};
    char *path = in_root(w, "bad.h5");
    if (w->comm.me == w->comm.np - 1)
        w->mem.budget_bytes = w->mem.live_bytes + 1000000;
    err_t code = run_stage(w, ctx, "delta", NULL, path, &e);
    w->mem.budget_bytes = 0;
    check_refusal(w, code, &e, ERR_SYSTEM, "memory budget exceeded", path);
    check_int(w, "process without memory", e.process, w->comm.np - 1);
    char *model = write_model(w, "tuned", tensors, TENSORS - 1, bytes);
    code = run_stage(w, ctx, "delta", NULL, path, &e);
    check_refusal(w, code, &e, ERR_DATA, model, path);
}

int main(int argc, char **argv)
{
    static const char *const f32[] = {"arithmetic", "f32", "tolerances", "[0, 1e-5, 0.0009765625, 0.5]",
                                      NULL};
    static const char *const none[] = {"store", "none", "tolerances", "[0, 1e-5, 0.0009765625, 0.5]", NULL};
    struct world w;
    const char *catalogue[2];
    const void *bytes[TENSORS];
    struct expected in_f32[TENSORS];
    memcpy(in_f32, in_bf16, sizeof in_f32);
    /* In float32 1e-5 is less than 0x3728, and the third of wide changes by 2^-10. */
    in_f32[2].updated[1] = 9;
    in_f32[3] = (struct expected){"wide.weight", WIDE, 3, 3, 0, 0, {3, 3, 2, 2}, 2, 3 + 0x1p-10, 5 + 0x1p-20};
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    for (int side = 0; side < 2; side++) {
        uint16_t *big = take(&w, BIG, sizeof *big);
        for (int64_t i = 0; i < BIG; i++)
            big[i] = 0x3f80;
        for (int i = 0; side == 1 && i < PLACES; i++)
            big[places[i]] = 0x3f81;
        bytes[0] = wide[side];
        bytes[1] = odd[side];
        bytes[2] = NULL;
        bytes[3] = big;
        catalogue[side] = load_model(&w, side ? "tuned" : "base", tensors, TENSORS, bytes);
    }
    const char *path = run_delta(&w, &cell, catalogue[0], catalogue[1], tolerances, in_root(&w, "bf16.h5"));
    const char *wider = run_delta(&w, &cell, catalogue[0], catalogue[1], f32, in_root(&w, "f32.h5"));
    const char *counts = run_delta(&w, &cell, catalogue[0], catalogue[1], none, in_root(&w, "none.h5"));
    if (w.comm.me == 0) {
        check_tables(&w, path, in_bf16);
        check_histograms(&w, path);
        check_update(&w, path);
        check_tables(&w, wider, in_f32);
        check_tables(&w, counts, in_bf16);
        check_histograms(&w, counts);
    }
    tiny(&w);
    failures(&w, catalogue, bytes);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
