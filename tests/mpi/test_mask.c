/* mask, on as many processes as the program is started with: the three criteria, bit for bit against a plain
 * loop over all elements of a pair whose values are drawn by their place alone, in both compare types, and
 * tolerances that are hit exactly. The same masks come from an update that was not stored. One line per
 * failed check; exit status 0 or 1. */
#include "stagelib.h"

#include "elements/bits/bits.h"

enum { MIXED = LAYOUT_BLOCK + 1000, SMALL = 131, TENSORS = 3, WORDS = (MIXED + 63) / 64 + (SMALL + 63) / 64 };

static const struct cell cell = {.name = "tiny/dpo/0",
                                 .family = "tiny",
                                 .algorithm = "dpo",
                                 .data = "",
                                 .step = -1,
                                 .base = "base",
                                 .tuned = "tuned"};

/* Ordered by name, as the layout is. */
static const struct stored_tensor tensors[TENSORS] = {
    {.name = "model.layers.0.mixed.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {MIXED}},
    {.name = "model.layers.2.none.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {3, 0}},
    {.name = "model.layers.2.small.weight", .dtype = DTYPE_F32, .ndim = 1, .dims = {SMALL}},
};

/* Both sides of the pair: [0] base, [1] tuned. */
struct content {
    uint16_t *mixed[2];
    float *small[2];
};

static uint64_t draw(uint64_t place)
{
    uint64_t z = (place + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float widen(uint16_t bits)
{
    uint32_t b = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* To bf16 and back, to the nearest, ties to even: by scaling to an integer, an implementation of its own. */
static double narrow(double x)
{
    int exponent;
    if (!isfinite(x) || x == 0)
        return x;
    frexp(x, &exponent);
    exponent = exponent < -125 ? -125 : exponent; /* subnormal: the last bit stays at 2^-133 */
    return ldexp(rint(ldexp(x, 8 - exponent)), exponent - 8);
}

/* Sizes around 2^-6, changed in one of three by a few steps; seldom NaN, Inf, zeros of both signs and other
 * elements altogether. */
static struct content make_content(struct world *w)
{
    static const uint16_t odd[] = {0x7fc0, 0x7f80, 0xff80, 0x0000, 0x8000, 0x0001};
    struct content c;
    for (int side = 0; side < 2; side++) {
        c.mixed[side] = take(w, MIXED, sizeof **c.mixed);
        c.small[side] = take(w, SMALL, sizeof **c.small);
    }
    for (int64_t i = 0; i < MIXED; i++) {
        uint64_t r = draw((uint64_t)i);
        uint16_t bits = (uint16_t)(0x3b00 + r % 0x200 + (r >> 10 & 1) * 0x8000);
        c.mixed[0][i] = c.mixed[1][i] = bits;
        if (r >> 11 & 1 && r >> 12 & 1)
            c.mixed[1][i] = (uint16_t)(bits + (r >> 13 & 7));
        if ((r >> 20) % 500 == 0)
            c.mixed[0][i] = odd[(r >> 30) % 6];
        if ((r >> 40) % 500 == 0)
            c.mixed[1][i] = odd[(r >> 50) % 6];
    }
    /* Places where block and word end: the same Inf, a change, the same NaN. */
    c.mixed[0][LAYOUT_BLOCK - 1] = c.mixed[1][LAYOUT_BLOCK - 1] = 0x7f80;
    c.mixed[0][LAYOUT_BLOCK] = 0x3f80;
    c.mixed[1][LAYOUT_BLOCK] = 0x3f90;
    c.mixed[0][MIXED - 1] = c.mixed[1][MIXED - 1] = 0xffc0;
    /* The tolerance 1e-5 is 0x3728 in bf16, where it is hit; in float32 it is a little less. */
    c.mixed[0][LAYOUT_BLOCK + 1] = c.mixed[0][LAYOUT_BLOCK + 2] = 0;
    c.mixed[1][LAYOUT_BLOCK + 1] = 0x3728;
    c.mixed[1][LAYOUT_BLOCK + 2] = 0x3729;
    /* 1 + k 2^-12 against 1: in bf16 only multiples of 2^-7 remain; k = 8 and 32 hit the tolerances 2^-9,
     * 2^-7. */
    for (int i = 0; i < SMALL; i++) {
        c.small[0][i] = 1;
        c.small[1][i] = 1 + (float)(i % 64) * 0x1p-12f;
    }
    return c;
}

/* Is the change from w0 to w1, both in the compare type, an update? */
static int updated(const char *criterion, double limit, int bf16, float w0, float w1)
{
    float d = w1 - w0;
    double size = fabs(bf16 ? narrow(d) : d);
    if (strcmp(criterion, "bits") == 0)
        return memcmp(&w0, &w1, sizeof w0) != 0;
    if (!isfinite(d))
        return 1;
    if (strcmp(criterion, "relative") == 0)
        return size > limit * fmax(fabs((double)w0), fabs((double)w1));
    return size > (bf16 ? narrow((float)limit) : (float)limit);
}

/* The mask by definition. counts: per tensor. */
static void expect_mask(const struct content *c, const char *criterion, double limit, int bf16,
                        uint64_t *words, int64_t *counts)
{
    memset(words, 0, WORDS * sizeof *words);
    memset(counts, 0, TENSORS * sizeof *counts);
    for (int64_t i = 0; i < MIXED; i++)
        if (updated(criterion, limit, bf16, widen(c->mixed[0][i]), widen(c->mixed[1][i]))) {
            words[i / 64] |= (uint64_t)1 << i % 64;
            counts[0]++;
        }
    uint64_t *last = words + (MIXED + 63) / 64;
    for (int64_t i = 0; i < SMALL; i++) {
        float w0 = c->small[0][i], w1 = c->small[1][i];
        if (updated(criterion, limit, bf16, bf16 ? (float)narrow(w0) : w0, bf16 ? (float)narrow(w1) : w1)) {
            last[i / 64] |= (uint64_t)1 << i % 64;
            counts[2]++;
        }
    }
}

/* Process 0. */
static void check_mask(struct world *w, const char *path, const struct content *c, const char *criterion,
                       double limit, int bf16)
{
    uint64_t expected[WORDS];
    int64_t counts[TENSORS], n, in_bins[TENSORS] = {0}, elements[TENSORS] = {0};
    expect_mask(c, criterion, limit, bf16, expected, counts);
    const uint64_t *words = read_bulk(w, path, "/mask", H5_BITS64, sizeof *words, &n);
    check_int(w, "words of the mask", n, WORDS);
    int64_t differ = 0;
    for (int64_t i = 0; i < n && i < WORDS; i++)
        differ += __builtin_popcountll(words[i] ^ expected[i]);
    check(w, differ == 0, "%s: %s %g: %lld bits of the mask differ", path, criterion, limit,
          (long long)differ);

    struct table all = read_table(w, path, "sparsity"), t = read_table(w, path, "tensor_sparsity"),
                 layers = read_table(w, path, "layers"), modules = read_table(w, path, "modules"),
                 bins = read_table(w, path, "bins");
    check_int(w, "updated", table_int(&all, 0, "updated"), counts[0] + counts[2]);
    check_real(w, "sparsity", table_real(&all, 0, "sparsity"),
               1 - (double)(counts[0] + counts[2]) / (double)(MIXED + SMALL), 0);
    check_text(w, "criterion", table_text(&all, 0, "criterion"), criterion);
    check_real(w, "tolerance", table_real(&all, 0, "tolerance"), limit, 0);
    for (int i = 0; i < TENSORS; i++) {
        check_text(w, "tensor", table_text(&t, i, "tensor"), tensors[i].name);
        check_int(w, tensors[i].name, table_int(&t, i, "updated"), counts[i]);
    }
    check_int(w, "layers", layers.nrows, 2);
    check_int(w, "second layer", table_int(&layers, 1, "layer"), 2);
    check_int(w, "updated in layer 2", table_int(&layers, 1, "updated"), counts[2]);
    check_real(w, "density of layer 2", table_real(&layers, 1, "mean_tensor_density"),
               (double)counts[2] / SMALL, 0); /* the empty tensor has none */
    check_int(w, "modules", modules.nrows, 3);
    check_int(w, "updated in mixed", table_int(&modules, find_row(&modules, 0, "module", "mixed"), "updated"),
              counts[0]);
    for (int64_t i = 0; i < bins.nrows; i++) {
        elements[table_int(&bins, i, "tensor_index") % TENSORS] += table_int(&bins, i, "elements");
        in_bins[table_int(&bins, i, "tensor_index") % TENSORS] += table_int(&bins, i, "updated");
    }
    check_int(w, "elements of mixed in bins", elements[0], MIXED);
    check_int(w, "elements of small in bins", elements[2], SMALL);
    check_int(w, "updated of mixed in bins", in_bins[0], counts[0]);
    check_int(w, "updated of small in bins", in_bins[2], counts[2]);
}

static const struct {
    const char *criterion, *name, *text;
    double limit;
} masks[] = {
    {"absolute", "tolerance", "1e-5", 1e-5},
    {"absolute", "tolerance", "0", 0},
    {"absolute", "tolerance", "0.0078125", 0x1p-7},
    {"absolute", "tolerance", "0.001953125", 0x1p-9},
    {"bits", "tolerance", "1", 0},
    {"relative", "eta", "0.0078125", 0x1p-7},
    {"relative", "eta", "0.02", 0.02},
};

/* Collective. All masks of one delta artifact. */
static void check_all(struct world *w, const char *delta, const struct content *c, int bf16)
{
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        const char *const settings[] = {"criterion", masks[i].criterion, masks[i].name, masks[i].text, NULL};
        char *path = in_root(w, "mask.h5");
        struct err e;
        err_t code = run_on_delta(w, &cell, delta, "mask", settings, path, &e);
        check(w, code == ERR_OK, "%s", e.text);
        if (w->comm.me == 0)
            check_mask(w, path, c, masks[i].criterion, masks[i].limit, bf16);
        MPI_Barrier(w->comm.mpi);
    }
}

/* What the plain loop itself should say where it can be told by hand: 131 elements, k = i % 64. */
static void check_by_hand(struct world *w, const struct content *c)
{
    uint64_t words[WORDS];
    int64_t counts[TENSORS];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        expect_mask(c, "absolute", 1e-5, bf16, words, counts);
        check_int(w, "0x3728", words[LAYOUT_BLOCK / 64] >> 1 & 1, bf16 ? 0 : 1);
        check_int(w, "0x3729", words[LAYOUT_BLOCK / 64] >> 2 & 1, 1);
    }
    /* k 2^-12 > 2^-9: k = 9..63, twice, and none of the last three elements (k = 0, 1, 2). */
    expect_mask(c, "absolute", 0x1p-9, 0, words, counts);
    check_int(w, "in float32 above 2^-9", counts[2], 110);
    /* In bf16 1 + k 2^-12 is 1 up to the tie k = 16, 1 + 2^-7 up to k = 47, 1 + 2^-6 from the tie at 48 on.
     */
    expect_mask(c, "absolute", 0x1p-9, 1, words, counts);
    check_int(w, "in bf16 above 2^-9", counts[2], 2 * 47);
    expect_mask(c, "absolute", 0x1p-7, 1, words, counts);
    check_int(w, "in bf16 above 2^-7", counts[2], 2 * 16);
}

/* Collective. More than one window of work, by tensors and within a tensor: 70 of one element, then one a
 * little longer than all processes hold at once. Each small one changes, and two elements of each block of
 * the long one. */
static void windows(struct world *w)
{
    enum { ONES = 70, WINDOW_BLOCKS = 32 };
    const int64_t blocks = WINDOW_BLOCKS * w->comm.np + 1, n = blocks * LAYOUT_BLOCK + 5;
    struct stored_tensor t[ONES + 1];
    const void *bytes[ONES + 1];
    const char *catalogue[2];
    uint16_t *values = w->comm.me == 0 ? take(w, n, sizeof *values) : NULL;
    for (int i = 0; i <= ONES; i++) {
        char *name = take(w, 32, 1);
        snprintf(name, 32, "tensor.%02d.weight", i);
        t[i] =
            (struct stored_tensor){.name = name, .dtype = DTYPE_BF16, .ndim = 1, .dims = {i < ONES ? 1 : n}};
        bytes[i] = values;
    }
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; values && i < n; i++)
            values[i] = i % (LAYOUT_BLOCK / 2) ? 0x3f80 : (uint16_t)(0x3f80 + side);
        catalogue[side] = load_model(w, side ? "long-tuned" : "long-base", t, ONES + 1, bytes);
    }
    const char *delta = run_delta(w, &cell, catalogue[0], catalogue[1], NULL, in_root(w, "long-delta.h5"));
    char *path = in_root(w, "long-mask.h5");
    struct err e;
    check(w, run_on_delta(w, &cell, delta, "mask", NULL, path, &e) == ERR_OK, "%s", e.text);
    if (w->comm.me != 0)
        return;
    struct table changed = read_table(w, delta, "tensors"), updated = read_table(w, path, "tensor_sparsity");
    for (int i = 0; i <= ONES; i++) {
        check_int(w, t[i].name, table_int(&changed, i, "bit_changed"), i < ONES ? 1 : 2 * blocks + 1);
        check_int(w, t[i].name, table_int(&updated, i, "updated"), i < ONES ? 1 : 2 * blocks + 1);
    }
    int64_t words, differ = 0;
    const uint64_t *mask = read_bulk(w, path, "/mask", H5_BITS64, sizeof *mask, &words);
    check_int(w, "words of the long mask", words, ONES + blocks * (LAYOUT_BLOCK / 64) + 1);
    for (int64_t i = 0; i < words; i++)
        differ += mask[i] != (i < ONES || (i - ONES) % (LAYOUT_BLOCK / 128) == 0);
    check_int(w, "wrong words of the long mask", differ, 0);
}

int main(int argc, char **argv)
{
    struct world w;
    struct err e;
    const char *catalogue[2];
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    struct content c = make_content(&w);
    for (int side = 0; side < 2; side++) {
        const void *bytes[TENSORS] = {c.mixed[side], NULL, c.small[side]};
        catalogue[side] = load_model(&w, side ? "tuned" : "base", tensors, TENSORS, bytes);
    }
    check_by_hand(&w, &c);
    static const char *const bf16[] = {NULL}, *const f32[] = {"arithmetic", "f32", NULL},
                             *const none[] = {"store", "none", NULL};
    char *delta = in_root(&w, "delta.h5");
    check_all(&w, run_delta(&w, &cell, catalogue[0], catalogue[1], f32, delta), &c, 0);
    check_all(&w, run_delta(&w, &cell, catalogue[0], catalogue[1], none, in_root(&w, "none.h5")), &c, 1);
    check_all(&w, run_delta(&w, &cell, catalogue[0], catalogue[1], bf16, delta), &c, 1);

    /* One bit of the bitmap, in the last block: only the process that has that block can see it. */
    char *path = in_root(&w, "bad.h5");
    if (w.comm.me == 0)
        flip_bit(&w, delta, "/update/bitmap", 64 * ((MIXED + 63) / 64) + 64);
    MPI_Barrier(w.comm.mpi);
    err_t code = run_on_delta(&w, &cell, delta, "mask", NULL, path, &e);
    check_refusal(&w, code, &e, ERR_DATA, "bitmap and values disagree", path);
    if (w.comm.me == 0)
        check(&w, truncate(delta, 5000) == 0, "%s: not cut", delta);
    MPI_Barrier(w.comm.mpi);
    code = run_on_delta(&w, &cell, delta, "mask", NULL, path, &e);
    check_refusal(&w, code, &e, ERR_DATA, delta, path);
    if (w.comm.np <= 2) /* the size grows with the processes */
        windows(&w);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
