/* Time of the linear algebra of rank: the seven matrices of an 8B Llama layer, and a 128256 x 4096 embedding,
 * with synthetic updates of 15 % density, for full spectra and for ranks alone. rival_rank.py makes the same
 * matrices and hands them to torch.
 *
 *     mpirun -n 2 bench_rank [--json FILE] [--runs N] [--only layer|embedding] [--mode full|none] [--scale S]
 *     bench_rank --kernels
 *
 * One line per row: its name, seconds of each run and the ranks; as JSON lines too, appended to FILE. --scale
 * divides the sizes, for a trial. The rate of dgemm in the same run says what the machine could do. --kernels
 * says which of OpenBLAS's kernels run, and nothing else: the rival is to have the same. */
#include "elements/bits/bits.h"
#include "linalg/grid_blas.h"
#include "linalg/grid.h"
#include "kernels/spectrum/spectrum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
            const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
            const double *beta, double *c, const int *ldc, size_t ltransa, size_t ltransb);
char *openblas_get_corename(void);

enum { DENSITY = 38 /* of 256 elements */, MATRICES = 7, REPEATS = 25 };

struct matrix {
    const char *name;
    int64_t rows, cols;
    /* What this process holds: the rows [from, to), as the update store has them. */
    int64_t from, to;
    uint64_t *words; /* a row begins a word */
    float *values;
    int64_t *first; /* of each row's values */
    int owner;      /* process, or -1 for all together */
    double seconds;
    int64_t matrix_rank;
    int method;
};

struct options {
    FILE *json; /* process 0 */
    int repeat, scale;
    const char *only, *mode;
};

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_rank: no memory, or no such file\n");
        MPI_Abort(MPI_COMM_WORLD, 4);
    }
    return p;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Element i of matrix number `seed`: a few units of the last place of a bf16 weight, or 0. */
static float element(uint64_t seed, int64_t i)
{
    uint64_t z = mix(((seed << 40) + (uint64_t)i + 1) * 0x9e3779b97f4a7c15U);
    if ((int)(z & 255) >= DENSITY)
        return 0;
    int64_t size = 1 + (int64_t)((z >> 8) & 3);
    return (float)ldexp((double)(z >> 63 ? -size : size), -14 - (int)((z >> 16) & 3));
}

static void make(struct matrix *m, uint64_t seed)
{
    int64_t width = bits_words(m->cols), rows = m->to - m->from, at = 0,
            room = rows * m->cols / 5 + m->cols + 64;
    m->words = need(calloc((size_t)(rows * width) + 1, sizeof *m->words));
    m->values = need(malloc((size_t)room * sizeof *m->values));
    m->first = need(malloc((size_t)(rows + 1) * sizeof *m->first));
    for (int64_t r = 0; r < rows; r++) {
        m->first[r] = at;
        for (int64_t c = 0; c < m->cols; c++) {
            float x = element(seed, (m->from + r) * m->cols + c);
            if (x == 0 || at == room)
                continue;
            m->words[r * width + c / 64] |= (uint64_t)1 << (c % 64);
            m->values[at++] = x;
        }
    }
    m->first[rows] = at;
}

static void forget(struct matrix *m)
{
    free(m->words);
    free(m->values);
    free(m->first);
}

static err_t get_rows(void *arg, int64_t row, int64_t n, float *out, struct err *e)
{
    const struct matrix *m = arg;
    int64_t width = bits_words(m->cols);
    (void)e;
    memset(out, 0, (size_t)(n * m->cols) * sizeof *out);
    for (int64_t r = row - m->from; r < row - m->from + n; r++, out += m->cols)
        bits_unpack((int)sizeof *out, m->words + r * width, m->cols, m->values + m->first[r], out);
    return ERR_OK;
}

static void decompose(struct matrix *m, struct grid *g, const struct comm *team, struct arena *a,
                      int counting, struct err *e)
{
    double started = MPI_Wtime(), share = spectrum_tolerance(m->rows, m->cols, 1);
    if (counting) {
        struct grid_bound bound = {.share = share, .band = spectrum_band(m->rows, m->cols, 1)};
        struct grid_count found;
        grid_count_above(g, &(struct grid_matrix){m->rows, m->cols, get_rows, m}, &bound, &found, a, e);
        m->matrix_rank = found.above;
        m->method = found.method;
    } else {
        int64_t n = m->rows < m->cols ? m->rows : m->cols;
        double *s = need(malloc((size_t)n * sizeof *s));
        int finite;
        m->method = grid_gram_method(m->rows, m->cols, team->np, 0, INFINITY);
        grid_singular_values(g, (enum grid_method)m->method,
                             &(struct grid_matrix){m->rows, m->cols, get_rows, m}, s, &finite, a, e);
        m->matrix_rank = 0;
        for (int64_t i = 0; i < n && e->code == ERR_OK; i++)
            m->matrix_rank += s[i] > share * s[0];
        free(s);
    }
    m->seconds = MPI_Wtime() - started;
}

static double cost(const struct matrix *m, int counting)
{
    double small = (double)(m->rows < m->cols ? m->rows : m->cols),
           large = (double)(m->rows < m->cols ? m->cols : m->rows);
    return small * small * (0.25 * large + (counting ? 1.0 : 2.4) * small);
}

/* Longest first, to the process with the least to do, as the stage deals them. */
static void deal(struct matrix *m, int n, int np, int counting)
{
    double *load = need(calloc((size_t)np, sizeof *load));
    for (int i = 0; i < n; i++)
        m[i].owner = -1;
    for (int turn = 0; turn < n; turn++) {
        int next = -1, least = 0;
        for (int i = 0; i < n; i++)
            if (m[i].owner < 0 && (next < 0 || cost(&m[i], counting) > cost(&m[next], counting)))
                next = i;
        for (int p = 1; p < np; p++)
            if (load[p] < load[least])
                least = p;
        m[next].owner = least;
        load[least] += cost(&m[next], counting);
    }
    free(load);
}

static void print_row(const char *name, int counting, const struct matrix *m, int n, int np,
                      const double *seconds, const struct options *o)
{
    const char *mode = counting ? "none" : "full";
    printf("%s, spectrum %s:", name, mode);
    for (int t = 0; t < o->repeat; t++)
        printf(" %.3f s", seconds[t]);
    printf(" on %d processes;", np);
    for (int i = 0; i < n; i++)
        printf("%s %s rank %lld by %s in %.2f s", i ? "," : "", m[i].name, (long long)m[i].matrix_rank,
               grid_method_name((enum grid_method)m[i].method), m[i].seconds);
    printf("\n");
    fflush(stdout);
    if (!o->json)
        return;
    fprintf(o->json, "{\"what\": \"%s, spectrum %s\", \"sec\": [", name, mode);
    for (int t = 0; t < o->repeat; t++)
        fprintf(o->json, "%s%.4f", t ? ", " : "", seconds[t]);
    fprintf(o->json, "], \"processes\": %d, \"matrices\": {", np);
    for (int i = 0; i < n; i++)
        fprintf(o->json, "%s\"%s\": {\"rank\": %lld, \"method\": \"%s\", \"sec\": %.4f}", i ? ", " : "",
                m[i].name, (long long)m[i].matrix_rank, grid_method_name((enum grid_method)m[i].method),
                m[i].seconds);
    fprintf(o->json, "}}\n");
}

/* One row of the benchmark, on all processes: `together` as one team, else each matrix on one process. */
static void row(const char *name, struct matrix *m, int n, int together, const struct options *o)
{
    struct comm world, own;
    struct mem mem;
    struct arena a;
    struct grid *g;
    struct err e;
    comm_init(&world, MPI_COMM_WORLD);
    comm_init(&own, together ? MPI_COMM_WORLD : MPI_COMM_SELF);
    mem_init(&mem, 0);
    arena_init(&a, &mem);
    err_clear(&e);
    grid_create(&g, &own, &a, &e);
    for (int counting = 0; counting < 2; counting++) {
        double seconds[REPEATS];
        if (o->mode && strcmp(o->mode, counting ? "none" : "full") != 0)
            continue;
        deal(m, n, world.np, counting);
        for (int i = 0; i < n; i++) {
            m[i].from = 0;
            m[i].to = together || m[i].owner == world.me ? m[i].rows : 0;
            if (together)
                split(m[i].rows, world.np, world.me, &m[i].from, &m[i].to);
            make(&m[i], (uint64_t)i + (together ? 100 : 0));
        }
        for (int t = 0; t < o->repeat; t++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double started = MPI_Wtime();
            for (int i = 0; i < n && e.code == ERR_OK; i++)
                if (together || m[i].owner == world.me)
                    decompose(&m[i], g, &own, &a, counting, &e);
            MPI_Barrier(MPI_COMM_WORLD);
            seconds[t] = MPI_Wtime() - started;
        }
        if (e.code != ERR_OK) {
            fprintf(stderr, "bench_rank: %s\n", e.text);
            MPI_Abort(MPI_COMM_WORLD, err_status(e.code));
        }
        for (int i = 0; i < n; i++) {
            double pair[3] = {m[i].seconds, (double)m[i].matrix_rank, m[i].method};
            MPI_Bcast(pair, 3, MPI_DOUBLE, together ? 0 : m[i].owner, MPI_COMM_WORLD);
            m[i].seconds = pair[0];
            m[i].matrix_rank = (int64_t)pair[1];
            m[i].method = (int)pair[2];
            forget(&m[i]);
        }
        if (world.me == 0) {
            print_row(name, counting, m, n, world.np, seconds, o);
        }
    }
    grid_destroy(g);
    arena_release(&a);
}

/* What each process can do while all multiply. */
static void rate(const struct options *o)
{
    const int n = 1536;
    const double one = 1;
    int np, me;
    double best = 0, least;
    double *x = need(malloc(sizeof *x * n * n)), *y = need(calloc((size_t)n * n, sizeof *y));
    for (int i = 0; i < n * n; i++)
        x[i] = (double)(i % 7) - 3;
    MPI_Comm_size(MPI_COMM_WORLD, &np);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    for (int t = 0; t < 4; t++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double started = MPI_Wtime();
        dgemm_("N", "N", &n, &n, &n, &one, x, &n, x, &n, &one, y, &n, 1, 1);
        best = fmax(best, 2e-9 * n * n * (double)n / (MPI_Wtime() - started));
    }
    MPI_Reduce(&best, &least, 1, MPI_DOUBLE, MPI_MIN, 0, MPI_COMM_WORLD);
    if (me == 0) {
        printf("dgemm: %.1f GF/s on each of %d processes\n", least, np);
        if (o->json)
            fprintf(o->json, "{\"what\": \"dgemm\", \"gflops_per_process\": %.1f, \"processes\": %d}\n",
                    least, np);
    }
    free(x);
    free(y);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_rank [--json FILE] [--runs N] [--only layer|embedding] [--mode full|none] "
                    "[--scale S]\n       bench_rank --kernels\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
}

int main(int argc, char **argv)
{
    grid_blas_start(argv);
    if (argc == 2 && strcmp(argv[1], "--kernels") == 0) {
        puts(openblas_get_corename());
        return 0;
    }
    MPI_Init(&argc, &argv);
    struct options o = {.repeat = 1, .scale = 1};
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (i + 1 == argc)
            usage();
        else if (strcmp(argv[i], "--json") == 0)
            path = argv[++i];
        else if (strcmp(argv[i], "--runs") == 0)
            o.repeat = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--scale") == 0)
            o.scale = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            o.only = argv[++i];
        else if (strcmp(argv[i], "--mode") == 0)
            o.mode = argv[++i];
        else
            usage();
    }
    if (o.repeat < 1 || o.repeat > REPEATS || o.scale < 1)
        usage();
    struct comm c;
    comm_init(&c, MPI_COMM_WORLD);
    grid_blas_threads();
    if (path && c.me == 0)
        o.json = need(fopen(path, "a"));
    struct matrix layer[MATRICES] = {
        {.name = "q_proj", .rows = 4096, .cols = 4096},     {.name = "k_proj", .rows = 1024, .cols = 4096},
        {.name = "v_proj", .rows = 1024, .cols = 4096},     {.name = "o_proj", .rows = 4096, .cols = 4096},
        {.name = "gate_proj", .rows = 14336, .cols = 4096}, {.name = "up_proj", .rows = 14336, .cols = 4096},
        {.name = "down_proj", .rows = 4096, .cols = 14336}};
    struct matrix embedding = {.name = "embed_tokens", .rows = 128256, .cols = 4096};
    for (int i = 0; i < MATRICES; i++) {
        layer[i].rows /= o.scale;
        layer[i].cols /= o.scale;
    }
    embedding.rows /= o.scale;
    embedding.cols /= o.scale;
    rate(&o);
    if (!o.only || strcmp(o.only, "layer") == 0)
        row("layer", layer, MATRICES, 0, &o);
    if (!o.only || strcmp(o.only, "embedding") == 0)
        row("embedding", &embedding, 1, 1, &o);
    if (o.json)
        fclose(o.json);
    MPI_Finalize();
    return 0;
}
