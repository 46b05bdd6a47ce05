/* load and delta of checkpoints whose tensors lie in several pieces, on as many processes as the program is
 * started with: every table and every dataset is that of the same tensors in one safetensors file, whether
 * datasets refer to the pieces or hold copies. With a folder as argument the artifacts are left there, for a
 * look by other programs. One line per failed check; exit status 0 or 1. */
#include "stagelib.h"

#include "../cutlib.h"

enum { TENSORS = 7, LONG = 2 * LAYOUT_BLOCK + 77, RANKS = 3 };

static const struct cell cell = {.name = "tiny/grpo/3",
                                 .family = "tiny",
                                 .algorithm = "grpo",
                                 .data = "",
                                 .seed = 3,
                                 .step = -1,
                                 .base = "base",
                                 .tuned = "tuned"};

static const struct stored_tensor tensors[TENSORS] = {
    {.name = "codes.weight", .dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {300, 200}},
    {.name = "codes.weight_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {3, 2}},
    {.name = "ids", .dtype = DTYPE_I64, .ndim = 1, .dims = {11}},
    {.name = "line.weight", .dtype = DTYPE_BF16, .ndim = 1, .dims = {LONG}},
    {.name = "model.layers.0.up.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {257, 640}},
    {.name = "model.layers.1.up.weight", .dtype = DTYPE_F16, .ndim = 3, .dims = {5, 6, 7}},
    {.name = "scalar", .dtype = DTYPE_F32},
};

/* Contents of a side: no NaN; every 29th element's low byte differs between the sides. */
static void fill(struct world *w, int side, const void *bytes[TENSORS])
{
    for (int i = 0; i < TENSORS; i++) {
        int64_t width = dtype_bits(tensors[i].dtype) / 8, n = width;
        for (int d = 0; d < tensors[i].ndim; d++)
            n *= tensors[i].dims[d];
        unsigned char *content = take(w, n, 1);
        for (int64_t k = 0; k < n; k++)
            content[k] =
                (unsigned char)((37 * i + 11 * k + k / 640) % 101 + (k % (29 * width) == 0 ? side : 0));
        bytes[i] = content;
    }
}

/* Collective. Writes a side in pieces, tensor i in kind + i. */
static char *write_cut(struct world *w, const char *name, const void *const *bytes, int kind)
{
    char *dir = in_root(w, "%s", name);
    struct cut_writer cut;
    if (w->comm.me == 0 && check(w, cut_begin(&cut, dir, RANKS) == 0, "%s: not made", dir)) {
        for (int i = 0; i < TENSORS; i++)
            cut_add(&cut, &tensors[i], bytes[i], (enum cut_kind)((kind + i) % CUT_KINDS), RANKS);
        check(w, cut_end(&cut) == 0, "%s: not written", dir);
    }
    MPI_Barrier(w->comm.mpi);
    return dir;
}

static const char *load_cut(struct world *w, const char *name, const char *model, const char *copy)
{
    const char *const settings[] = {"copy", copy, NULL};
    struct ctx ctx = {.label = model, .checkpoint = model, .role = "base"};
    return must_run(w, ctx, "load", settings, in_root(w, "%s.h5", name));
}

/* ---- comparing: process 0 ---- */

static int same_row(const struct schema *s, const union datum *x, const union datum *y)
{
    int same = 1;
    for (int k = 0; k < s->ncolumns; k++)
        same &= s->columns[k].kind == COLUMN_TEXT ? strcmp(x[k].text, y[k].text) == 0 : x[k].i == y[k].i;
    return same;
}

static void same_table(struct world *w, const char *path, const char *other, const char *name)
{
    struct table x = read_table(w, path, name), y = read_table(w, other, name);
    check_int(w, name, y.nrows, x.nrows);
    for (int64_t i = 0; i < x.nrows && x.nrows == y.nrows; i++)
        check(w, same_row(x.schema, x.values + i * x.schema->ncolumns, y.values + i * x.schema->ncolumns),
              "%s: row %lld of %s differs", other, (long long)i, name);
}

static void same_bulk(struct world *w, const char *path, const char *other, const char *name,
                      enum h5_type type, size_t size)
{
    int64_t n, m;
    const void *x = read_bulk(w, path, name, type, size, &n), *y = read_bulk(w, other, name, type, size, &m);
    check(w, n == m && n > 0 && memcmp(x, y, (size_t)n * size) == 0, "%s: %s differs", other, name);
}

/* All that delta wrote. */
static void same_delta(struct world *w, const char *path, const char *other)
{
    static const char *const names[] = {"cells",   "sparsity",          "layers",    "modules",
                                        "tensors", "tensor_sparsity",   "skipped",   "compared",
                                        "bins",    "tensor_histograms", "inf_counts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        same_table(w, path, other, names[i]);
    same_bulk(w, path, other, "/update/bitmap", H5_BITS64, 8);
    same_bulk(w, path, other, "/update/old", H5_BITS16, 2);
    same_bulk(w, path, other, "/update/new", H5_BITS16, 2);
}

/* The datasets of load that have one dimension, whichever way they came about; table pieces is there alone.
 */
static void check_load(struct world *w, const char *path, const char *other)
{
    same_bulk(w, path, other, "/tensors/ids", H5_INT64, 8);
    same_bulk(w, path, other, "/tensors/line.weight", H5_BF16, 2);
    same_bulk(w, path, other, "/tensors/scalar", H5_REAL32, 4);
    struct table x = read_table(w, path, "catalogue"), y = read_table(w, other, "catalogue"),
                 pieces = read_table(w, other, "pieces");
    check_int(w, "rows of catalogue", y.nrows, x.nrows);
    for (int64_t i = 0; i < x.nrows && i < y.nrows; i++) {
        static const char *const texts[] = {"tensor", "shape", "dtype", "module", "strides"};
        for (int k = 0; k < 5; k++)
            check_text(w, texts[k], table_text(&y, i, texts[k]), table_text(&x, i, texts[k]));
        check_int(w, "parameters", table_int(&y, i, "parameters"), table_int(&x, i, "parameters"));
    }
    check(w, find_row(&pieces, 0, "tensor", "line.weight") >= 0, "%s: no pieces of line.weight", other);
    check(w, find_row(&pieces, 0, "tensor", "scalar") < 0, "%s: pieces of a scalar", other);
}

int main(int argc, char **argv)
{
    static const char *const settings[] = {"tolerances", "[0, 1e-5, 0.25]", NULL};
    struct world w;
    const void *bytes[2][TENSORS];
    MPI_Init(&argc, &argv);
    world_init(&w, argc > 1 ? argv[1] : NULL, 0);
    fill(&w, 0, bytes[0]);
    fill(&w, 1, bytes[1]);
    const char *base = load_model(&w, "base", tensors, TENSORS, bytes[0]),
               *tuned = load_model(&w, "tuned", tensors, TENSORS, bytes[1]);
    const char *one = run_delta(&w, &cell, base, tuned, settings, in_root(&w, "delta.h5"));
    for (int kind = 0; kind < CUT_KINDS; kind++) {
        const char *cut[2];
        char name[30];
        for (int side = 0; side < 2; side++) {
            snprintf(name, sizeof name, "%s-%d", side ? "tuned" : "base", kind);
            char *model = write_cut(&w, name, bytes[side], kind + side);
            cut[side] = load_cut(&w, name, model, kind % 2 ? "true" : "false");
            if (w.comm.me == 0)
                check_load(&w, side ? tuned : base, cut[side]);
        }
        const char *both = run_delta(&w, &cell, cut[0], cut[1], settings, in_root(&w, "delta-%d.h5", kind));
        if (w.comm.me == 0)
            same_delta(&w, one, both);
        const char *half = run_delta(&w, &cell, cut[0], tuned, settings, in_root(&w, "half-%d.h5", kind));
        if (w.comm.me == 0)
            same_delta(&w, one, half);
    }
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
