/* rank, on as many processes as the program is started with: updates planted with known singular values:
 * outer products of orthogonal sign vectors, diagonals, nothing at all; what receives no rank is listed with
 * its reason. The same ranks come from an update that was not stored. One line per failed check; exit status
 * 0 or 1. */
#include "stagelib.h"

#include "elements/bits/bits.h"

static const struct cell cell = {.name = "tiny/ppo/0",
                                 .family = "tiny",
                                 .algorithm = "ppo",
                                 .data = "",
                                 .step = -1,
                                 .base = "base",
                                 .tuned = "tuned"};

/* 520 x 512 is more than a block. Ordered by name, as the layout is. */
enum { DIAGONAL, EMPTY, EQUAL, LARGE, LINE, NORM, NAN_ONE, OUTER, STILL, TALL, TENSORS, MATRICES = 6 };
static const struct stored_tensor tensors[TENSORS] = {
    {.name = "diagonal.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {40, 40}},
    {.name = "empty.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {0, 4}},
    {.name = "equal.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {24, 48}},
    {.name = "large.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {520, 512}},
    {.name = "line.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {9}},
    {.name = "model.layers.1.input_layernorm.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {3, 3}},
    {.name = "nan.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {5, 3}},
    {.name = "outer.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {16, 32}},
    {.name = "still.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {6, 7}},
    {.name = "tall.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {64, 16}},
};

static uint16_t to_bf16(double x)
{
    float f = (float)x; /* exact here: few bits */
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return (uint16_t)(b >> 16);
}

/* Column k of Sylvester's Hadamard matrix: these are orthogonal, of length sqrt(n) over n = 2^m rows. */
static double sign(int64_t i, int64_t k)
{
    return __builtin_parityll((unsigned long long)(i & k)) ? -1 : 1;
}

/* Element (i, j) of the update of tensor t. */
static double planted(int t, int64_t i, int64_t j)
{
    switch (t) {
    case DIAGONAL:
        return i == j ? ldexp(1, (int)-i) : 0;
    case EQUAL:
        return j == (5 * i + 2) % 48 ? -0.75 : 0;
    case LARGE: /* rows 512 to 519 stay */
        return i < 512 ? ldexp(sign(i, 3) * sign(j, 9) + 0.25 * sign(i, 300) * sign(j, 77), -8) : 0;
    case OUTER:
        return ldexp(4 * sign(i, 1) * sign(j, 30) + 2 * sign(i, 6) * sign(j, 5) + sign(i, 15) * sign(j, 0),
                     -8);
    case TALL: /* four columns, each twice as long as the one before */
        return j < 4 ? ldexp(sign(i, j), (int)j) : 0;
    case STILL:
        return 0;
    default:
        return (double)(i + 1);
    }
}

/* Singular value k of tensor t, descending. */
static double sigma(int t, int64_t k)
{
    switch (t) {
    case DIAGONAL:
        return ldexp(1, (int)-k);
    case EQUAL:
        return 0.75;
    case LARGE:
        return k < 2 ? 512 * ldexp(1, -8 - 2 * (int)k) : 0;
    case OUTER:
        return k < 3 ? sqrt(16 * 32) * ldexp(1, -6 - (int)k) : 0;
    case TALL:
        return k < 4 ? 8 * ldexp(1, 3 - (int)k) : 0;
    default:
        return 0;
    }
}

struct expected {
    int tensor;
    int64_t matrix_rank;
    double stable_rank, effective_rank;
};

/* Entropy of shares 4/7, 2/7, 1/7 is ln 7 - (10/7) ln 2; of 8, 4, 2, 1 of 15, ln 15 - (34/15) ln 2; of 4/5
 * and 1/5, ln 5 - (8/5) ln 2; of powers of one half, 2 ln 2. The diagonal is 2^-k: 40 * 2^-23 lies between
 * 2^-18 and 2^-17. */
static int expectations(struct expected *x)
{
    const double ln2 = log(2);
    const struct expected all[MATRICES] = {
        {DIAGONAL, 18, 4.0 / 3, 4}, /* sums of 4^-k and of 2^-k to k = 39, beyond rounding */
        {EQUAL, 24, 24, 24},
        {LARGE, 2, 1 + 1.0 / 16, exp(log(5) - 8 * ln2 / 5)},
        {OUTER, 3, 1 + 1.0 / 4 + 1.0 / 16, exp(log(7) - 10 * ln2 / 7)},
        {STILL, 0, 0, 0},
        {TALL, 4, 1 + 1.0 / 4 + 1.0 / 16 + 1.0 / 64, exp(log(15) - 34 * ln2 / 15)},
    };
    memcpy(x, all, sizeof all);
    return MATRICES;
}

/* Process 0. tolerance: 0 for the default. */
static void check_ranks(struct world *w, const char *path, double tolerance)
{
    struct expected x[MATRICES];
    int n = expectations(x);
    int64_t nvalues;
    struct table t = read_table(w, path, "rank"), skipped = read_table(w, path, "skipped");
    const double *s = read_bulk(w, path, "/spectra", H5_REAL64, sizeof *s, &nvalues);
    struct table methods = read_table(w, path, "methods");
    check_int(w, "rows of rank", t.nrows, n);
    check_int(w, "processes for the large matrix", table_int(&methods, 2, "processes"), w->comm.np);
    check_int(w, "processes for a small one", table_int(&methods, 0, "processes"), 1);
    check_int(w, "singular values", nvalues, 40 + 24 + 512 + 3 + 16 + 6 + 16);
    for (int r = 0; r < n && r < t.nrows; r++) {
        const struct stored_tensor *at = &tensors[x[r].tensor];
        const char *name = at->name;
        int64_t small = at->dims[0] < at->dims[1] ? at->dims[0] : at->dims[1], matrix_rank = x[r].matrix_rank;
        double large = (double)(at->dims[0] + at->dims[1] - small), top = sigma(x[r].tensor, 0), error = 0;
        if (tolerance > 0)
            for (matrix_rank = 0; matrix_rank < small && sigma(x[r].tensor, matrix_rank) > tolerance;)
                matrix_rank++;
        check_text(w, "tensor", table_text(&t, r, "tensor"), name);
        check_int(w, name, table_int(&t, r, "rows"), at->dims[0]);
        check_int(w, name, table_int(&t, r, "cols"), at->dims[1]);
        check_int(w, name, table_int(&t, r, "matrix_rank"), matrix_rank);
        check_int(w, name, table_int(&t, r, "max_rank"), small);
        check_int(w, name, table_int(&t, r, "ambiguous"), 0);
        check_real(w, name, table_real(&t, r, "rank_percent"), 100.0 * (double)matrix_rank / (double)small,
                   0);
        check_real(w, name, table_real(&t, r, "sigma_max"), top, 1e-6 * top);
        check_real(w, name, table_real(&t, r, "tolerance"), tolerance > 0 ? tolerance : large * 0x1p-23 * top,
                   1e-12 * top);
        check_real(w, name, table_real(&t, r, "stable_rank"), x[r].stable_rank, 1e-6);
        check_real(w, name, table_real(&t, r, "effective_rank"), x[r].effective_rank, 2e-4);
        int64_t first = table_int(&t, r, "spectrum_offset");
        check_int(w, name, table_int(&t, r, "spectrum_length"), small);
        for (int64_t k = 0; k < small && first + k < nvalues; k++)
            error = fmax(error, fabs(s[first + k] - sigma(x[r].tensor, k)));
        check(w, error <= 1e-6 * top, "%s: a singular value is off by %g of %g", name, error, top);
    }
    const char *const reasons[][2] = {{"empty.weight", "empty"},
                                      {"line.weight", "1-D"},
                                      {tensors[NORM].name, "name contains layernorm"},
                                      {"nan.weight", "non-finite update"}};
    check_int(w, "rows of skipped", skipped.nrows, 4);
    for (int i = 0; i < 4; i++) {
        check_text(w, "skipped", table_text(&skipped, i, "tensor"), reasons[i][0]);
        check_text(w, reasons[i][0], table_text(&skipped, i, "reason"), reasons[i][1]);
    }
}

/* Collective. */
static void run(struct world *w, const char *delta, const char *tolerance)
{
    const char *const settings[] = {"tolerance", tolerance, NULL};
    struct err e;
    char *path = in_root(w, "rank.h5");
    check(w, run_on_delta(w, &cell, delta, "rank", settings, path, &e) == ERR_OK, "%s", e.text);
    if (w->comm.me == 0)
        check_ranks(w, path, strtod(tolerance, NULL));
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    struct world w;
    struct err e;
    const char *catalogue[2];
    const void *bytes[2][TENSORS];
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    for (int t = 0; t < TENSORS; t++) {
        int64_t rows = tensors[t].dims[0], cols = tensors[t].ndim == 2 ? tensors[t].dims[1] : 1;
        uint16_t *zero = take(&w, rows * cols + 1, sizeof *zero), *to = take(&w, rows * cols + 1, sizeof *to);
        for (int64_t i = 0; i < rows * cols; i++)
            to[i] = to_bf16(planted(t, i / cols, i % cols));
        if (t == NAN_ONE)
            zero[14] = to[14] = 0x7fc0; /* does not change */
        bytes[0][t] = zero;
        bytes[1][t] = to;
    }
    for (int side = 0; side < 2; side++)
        catalogue[side] = load_model(&w, side ? "tuned" : "base", tensors, TENSORS, bytes[side]);
    static const char *const none[] = {"store", "none", NULL};
    const char *delta = run_delta(&w, &cell, catalogue[0], catalogue[1], NULL, in_root(&w, "delta.h5"));
    run(&w, delta, "0");
    run(&w, run_delta(&w, &cell, catalogue[0], catalogue[1], none, in_root(&w, "none.h5")), "0");
    run(&w, delta, "0.1");

    /* One bit of the bitmap of one matrix: only the processes that have it can see it. */
    char *path = in_root(&w, "bad.h5");
    struct table t = read_table(&w, delta, "compared");
    int64_t word = 0;
    for (int i = 0; i < STILL; i++)
        word += bits_words(table_int(&t, i, "parameters"));
    MPI_Barrier(w.comm.mpi);
    if (w.comm.me == 0)
        flip_bit(&w, delta, "/update/bitmap", 64 * word);
    MPI_Barrier(w.comm.mpi);
    err_t code = run_on_delta(&w, &cell, delta, "rank", NULL, path, &e);
    check_refusal(&w, code, &e, ERR_DATA, "bitmap and values disagree", path);
    check_text(&w, "failed item", e.item, tensors[STILL].name);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
