/* Counting what every two masks share, against reading the masks from memory: same processes, same bytes.
 *
 *     mpirun -n 2 bench_overlap [--masks K] [--bits N] [--runs R] [--folder FOLDER] [--counts FILE] [--json
 * FILE]
 *
 * Each process holds its share of all K masks of N bits (default 21 of 1e9), far more than the caches do. A
 * run times, one after the other: reading them once, mask by mask; loading what the tiles of the kernel load
 * to compare every two, strip by strip out of the caches; all pairs; all pairs and the consensus
 * at once, as the stage does; and with --folder, where the masks are then written as the artifacts of
 * stage mask (1e9 bits: 125 MB each): reading those files window by window, and the whole stage overlap on
 * them. One line per run, all seconds as one JSON object appended to FILE. --counts writes all counts there,
 * for rival_overlap.py to compare with numpy's. */
#include "../mpi/stagelib.h"

#include "elements/bits/bits.h"
#include "compare/layout.h"
#include "kernels/overlap/overlap_counts.h"

#include <getopt.h>
#include <sys/mman.h>

enum {
    MAX_RUNS = 50,
    MAX_MASKS = 1024,
    WINDOW_BYTES = 4 << 20, /* as the stage's */
    TENSORS = 120,
    BINS = 100, /* of magnitude, per tensor: about what trained weights have */
    GROUP = 4,  /* masks that are compared with as many others in registers, as the kernel does */
    STRIP_WORDS = 192,
    STRIP_BYTES = 32 << 10
};

enum { READ, TILES, PAIRS, BOTH, FILES, STAGE, ROWS };
static const char *const row_names[ROWS] = {"read",       "tiles", "pairs", "pairs_consensus",
                                            "read_files", "stage"};

struct bench {
    struct world w;
    enum isa isa;
    int masks, runs;
    int64_t bits, nwords;     /* of each mask */
    int64_t from, to, stride; /* this process's words, and how far apart the masks are in memory */
    uint64_t *words;          /* [mask][stride] */
    int64_t *own, *pairs, *exactly;
    struct layout layout; /* of the files */
    struct cell *cells;
    struct input *inputs;
    double sec[ROWS][MAX_RUNS];
};

static void fail(const struct bench *b, const char *text)
{
    fprintf(stderr, "bench_overlap: process %d: %s\n", b->w.comm.me, text);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void must(const struct bench *b, const struct err *e)
{
    if (e->code != ERR_OK)
        fail(b, e->text);
}

/* ---- the masks ---- */

/* SplitMix64's number i of stream s. */
static uint64_t number(uint64_t s, int64_t i)
{
    uint64_t z = ((s << 40) + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Word w of mask m: of a quarter of all positions, which all masks share, three quarters. */
static uint64_t word(int m, uint64_t shared, int64_t w)
{
    uint64_t stream = 2 + 2 * (uint64_t)m;
    return shared & (number(stream, w) | number(stream + 1, w));
}

/* In huge pages, where the system has them: what is measured is memory, not the translation of addresses. */
static void make_masks(struct bench *b)
{
    split(b->nwords, b->w.comm.np, b->w.comm.me, &b->from, &b->to);
    b->stride = (b->to - b->from + 7) / 8 * 8 + 64; /* masks begin at different sets of the caches */
    size_t bytes = (size_t)b->stride * (size_t)b->masks * 8;
    b->words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->words == MAP_FAILED)
        fail(b, "no memory for the masks");
    madvise(b->words, bytes, MADV_HUGEPAGE);
    for (int64_t w = b->from; w < b->to; w++) {
        uint64_t shared = number(0, w) & number(1, w);
        if (w == b->nwords - 1 && b->bits % 64 != 0)
            shared &= ((uint64_t)1 << b->bits % 64) - 1;
        for (int m = 0; m < b->masks; m++)
            b->words[m * b->stride + w - b->from] = word(m, shared, w);
    }
}

/* ---- in memory ---- */

typedef uint64_t wide __attribute__((vector_size(64), aligned(8)));

/* Reads n words by vectors as wide as the processor's, several sums at once. */
static inline __attribute__((always_inline)) uint64_t read_words(const uint64_t *p, int64_t n)
{
    wide sum[4] = {{0}, {0}, {0}, {0}};
    uint64_t all = 0;
    for (; n >= 32; p += 32, n -= 32)
        for (int i = 0; i < 4; i++)
            sum[i] |= *(const wide *)(const void *)(p + 8 * i);
    for (; n > 0; n--)
        all |= *p++;
    for (int i = 0; i < 32; i++)
        all |= sum[i / 8][i % 8];
    return all;
}

#if defined(__x86_64__)
AVX512 static uint64_t read_avx512(const uint64_t *p, int64_t n)
{
    return read_words(p, n);
}

AVX2 static uint64_t read_avx2(const uint64_t *p, int64_t n)
{
    return read_words(p, n);
}
#endif

static uint64_t read_plain(const uint64_t *p, int64_t n)
{
    return read_words(p, n);
}

static void read_all(const struct bench *b)
{
    uint64_t (*read)(const uint64_t *, int64_t) = read_plain;
    uint64_t any = 0;
#if defined(__x86_64__)
    read = b->isa & ISA_AVX512 ? read_avx512 : b->isa & ISA_AVX2 ? read_avx2 : read_plain;
#endif
    for (int m = 0; m < b->masks; m++)
        any |= read(b->words + m * b->stride, b->to - b->from);
    if (any == 0 && b->to > b->from)
        fail(b, "the masks are empty");
}

/* Words [from, to) of two groups of masks, as a tile of the kernel loads them; from and to are multiples of 8
 * but at the end of the masks, behind which there is room. */
static inline __attribute__((always_inline)) uint64_t read_group(const uint64_t *const *p, int64_t from,
                                                                 int64_t to)
{
    wide any[2 * GROUP] = {{0}};
    uint64_t all = 0;
    for (int64_t w = from; w < to; w += 8)
        for (int i = 0; i < 2 * GROUP; i++)
            any[i] |= *(const wide *)(const void *)(p[i] + w);
    for (int i = 0; i < 16 * GROUP; i++)
        all |= any[i / 8][i % 8];
    return all;
}

#if defined(__x86_64__)
AVX512 static uint64_t group_avx512(const uint64_t *const *p, int64_t from, int64_t to)
{
    return read_group(p, from, to);
}

AVX2 static uint64_t group_avx2(const uint64_t *const *p, int64_t from, int64_t to)
{
    return read_group(p, from, to);
}
#endif

static uint64_t group_plain(const uint64_t *const *p, int64_t from, int64_t to)
{
    return read_group(p, from, to);
}

/* What the kernel loads to compare all pairs in tiles, strip by strip, and nothing done with it: what the
 * caches allow. */
static void read_tiles(const struct bench *b)
{
    uint64_t (*read)(const uint64_t *const *, int64_t, int64_t) = group_plain, any = 0;
    int64_t n = b->to - b->from, length = STRIP_BYTES / 8 / b->masks / 8 * 8;
#if defined(__x86_64__)
    read = b->isa & ISA_AVX512 ? group_avx512 : b->isa & ISA_AVX2 ? group_avx2 : group_plain;
#endif
    length = length < STRIP_WORDS ? STRIP_WORDS : length;
    for (int64_t at = 0; at < n; at += length)
        for (int i = 0; i < b->masks; i += GROUP)
            for (int j = i; j < b->masks; j += GROUP) {
                const uint64_t *p[2 * GROUP];
                for (int q = 0; q < GROUP; q++) {
                    p[q] = b->words + (i + q < b->masks ? i + q : i) * b->stride;
                    p[GROUP + q] = b->words + (j + q < b->masks ? j + q : j) * b->stride;
                }
                any |= read(p, at, n - at < length ? n : at + length);
            }
    if (any == 0 && n > 0)
        fail(b, "the masks are empty");
}

static void clear(struct bench *b)
{
    memset(b->own, 0, (size_t)b->masks * sizeof *b->own);
    memset(b->pairs, 0, (size_t)(overlap_pairs(b->masks) + 1) * sizeof *b->pairs);
    memset(b->exactly, 0, (size_t)(b->masks + 1) * sizeof *b->exactly);
}

static void count(struct bench *b, int consensus)
{
    static uint64_t room[OVERLAP_ROOM];
    clear(b);
    overlap_count(b->isa, b->words, b->stride, b->masks, b->to - b->from, room, b->own, b->pairs,
                  consensus ? b->exactly : NULL);
}

/* ---- in files ---- */

static const char *const module[] = {"self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj",
                                     "mlp.up_proj",      "mlp.down_proj",    "self_attn.v_proj"};

/* Tensors of one size, their bits in whole words, as many of the masks' words as that takes. */
static void make_layout(struct bench *b)
{
    struct layout *l = &b->layout;
    int64_t words = b->nwords / TENSORS, dims[1] = {words * 64};
    if (words < 1)
        fail(b, "the stage wants more bits");
    l->ntensors = TENSORS;
    l->tensors = take(&b->w, TENSORS, sizeof *l->tensors);
    for (int i = 0; i < TENSORS; i++) {
        char *name = take(&b->w, 80, 1);
        snprintf(name, 80, "model.layers.%03d.%s.weight", i / 6, module[i % 6]);
        l->tensors[i] = (struct layout_tensor){.name = name,
                                               .module = strchr(module[i % 6], '.') + 1,
                                               .layer = i / 6,
                                               .ndim = 1,
                                               .dims = {dims[0]},
                                               .elements = dims[0],
                                               .dtype_base = "BF16",
                                               .dtype_tuned = "BF16"};
    }
    layout_number(l);
}

static void write_bins(struct bench *b, struct table *t, const int64_t *updated, struct err *e)
{
    for (int64_t i = 0; i < TENSORS; i++)
        for (int64_t bin = 0; bin < BINS; bin++) {
            int64_t n = b->layout.tensors[i].elements, e0, e1, u0, u1;
            split(n, BINS, (int)bin, &e0, &e1);
            split(updated[i], BINS, (int)bin, &u0, &u1);
            if (TABLE_ADD(t, e, V_INT(i), V_INT(bin), V_INT(e1 - e0), V_INT(u1 - u0)) != ERR_OK)
                return;
        }
}

/* Collective. The artifact that stage mask would write. */
static void write_mask(struct bench *b, int m, const char *path)
{
    struct artifact out;
    struct arena a;
    struct err e;
    struct h5 *f;
    struct h5_bulk *d;
    struct table bins;
    int64_t updated[TENSORS] = {0}, end = b->to < b->layout.nwords ? b->to : b->layout.nwords;
    const uint64_t *mask = b->words + m * b->stride;
    err_clear(&e);
    arena_init(&a, &b->w.mem);
    for (int64_t i = 0; i < TENSORS; i++) {
        const struct layout_tensor *t = &b->layout.tensors[i];
        int64_t w0 = t->first_word < b->from ? b->from : t->first_word,
                w1 = t->first_word + t->nwords > end ? end : t->first_word + t->nwords;
        if (w0 < w1)
            updated[i] = bits_count(mask + w0 - b->from, w1 - w0);
    }
    comm_sum(&b->w.comm, updated, TENSORS);
    artifact_begin(&out, &b->w.comm, path, &a, &e);
    must(b, &e);
    artifact_bulk(&out, &f, &e);
    h5_bulk(f, "/mask", H5_BITS64, b->layout.nwords, 0, "one bit per element", NULL, &d, &e);
    must(b, &e);
    if (end > b->from)
        h5_put(d, b->from, end - b->from, mask, &e);
    must(b, &e);
    artifact_bulk_done(&out, &e);
    must(b, &e);
    if (b->w.comm.me == 0) {
        artifact_tables(&out, &f, &e);
        must(b, &e);
        layout_write(&b->layout, f, &a, &e);
        h5_set_text(f, "/", "criterion", "absolute", &e);
        h5_set_text(f, "/", "arithmetic", "bf16", &e);
        h5_set_real(f, "/", "tolerance", 1e-5, &e);
        table_init(&bins, "bins", &a);
        write_bins(b, &bins, updated, &e);
        must(b, &e);
        h5_table_write(f, "bins", &bins, &e);
    }
    must(b, &e);
    artifact_end(&out, 1, &e);
    must(b, &e);
    arena_release(&a);
}

static void write_masks(struct bench *b)
{
    make_layout(b);
    b->cells = take(&b->w, b->masks, sizeof *b->cells);
    b->inputs = take(&b->w, b->masks, sizeof *b->inputs);
    for (int m = 0; m < b->masks; m++) {
        char *name = take(&b->w, 40, 1);
        snprintf(name, 40, "bench/grpo/%d", m);
        b->cells[m] = (struct cell){.name = name,
                                    .family = "bench",
                                    .algorithm = "grpo",
                                    .data = "",
                                    .seed = m,
                                    .step = -1,
                                    .base = "base"};
        b->inputs[m] = (struct input){.kind = "mask",
                                      .node = "mask",
                                      .cell = &b->cells[m],
                                      .role = "",
                                      .path = in_root(&b->w, "mask%d.h5", m)};
        write_mask(b, m, b->inputs[m].path);
    }
}

/* Reads what the stage reads, in windows of the same size, and does nothing with it. */
static void read_files(struct bench *b)
{
    struct arena a;
    struct err e;
    struct h5 *f[MAX_MASKS];
    struct h5_bulk *d[MAX_MASKS];
    int64_t from, to, n, window = WINDOW_BYTES / 8 / b->masks;
    uint64_t *words;
    err_clear(&e);
    arena_init(&a, &b->w.mem);
    arena_array(&a, "bench", window, &words, &e);
    must(b, &e);
    for (int m = 0; m < b->masks; m++) {
        h5_open_sealed(b->inputs[m].path, &a, &f[m], &e);
        must(b, &e);
        h5_find(f[m], "mask", H5_BITS64, &d[m], &n, &e);
        must(b, &e);
    }
    split(b->layout.nwords, b->w.comm.np, b->w.comm.me, &from, &to);
    for (int64_t at = from; at < to; at += window)
        for (int m = 0; m < b->masks; m++)
            h5_get(d[m], at, to - at < window ? to - at : window, words, &e);
    for (int m = 0; m < b->masks; m++)
        h5_close(f[m], &e);
    must(b, &e);
    arena_release(&a);
}

static void run_overlap(struct bench *b)
{
    struct ctx ctx = {.label = "base", .base = "base", .inputs = b->inputs, .ninputs = b->masks};
    must_run(&b->w, ctx, "overlap", NULL, in_root(&b->w, "overlap.h5"));
    if (b->w.failures > 0)
        fail(b, "the stage failed");
}

/* ---- runs and results ---- */

static void time_row(struct bench *b, int row, int run)
{
    MPI_TRY(MPI_Barrier(b->w.comm.mpi));
    double sec = clock_sec();
    if (row == READ)
        read_all(b);
    else if (row == TILES)
        read_tiles(b);
    else if (row == PAIRS)
        count(b, 0);
    else if (row == BOTH)
        count(b, 1);
    else if (row == FILES)
        read_files(b);
    else
        run_overlap(b);
    sec = clock_sec() - sec;
    comm_max_real(&b->w.comm, &sec, 1);
    if (run >= 0)
        b->sec[row][run] = sec;
}

static void write_list(FILE *f, const char *name, const int64_t *v, int64_t n)
{
    fprintf(f, "\"%s\": [", name);
    for (int64_t i = 0; i < n; i++)
        fprintf(f, "%s%lld", i ? ", " : "", (long long)v[i]);
    fprintf(f, "]");
}

static void write_counts(struct bench *b, const char *path)
{
    int64_t npairs = overlap_pairs(b->masks);
    count(b, 1);
    comm_sum(&b->w.comm, b->own, b->masks);
    comm_sum(&b->w.comm, b->pairs, npairs);
    comm_sum(&b->w.comm, b->exactly, b->masks + 1);
    if (b->w.comm.me != 0)
        return;
    FILE *f = fopen(path, "w");
    if (!f) {
        fail(b, "the file of counts cannot be written");
        return;
    }
    fprintf(f, "{\"masks\": %d, \"bits\": %lld, ", b->masks, (long long)b->bits);
    write_list(f, "own", b->own, b->masks);
    fprintf(f, ", ");
    write_list(f, "both", b->pairs, npairs);
    fprintf(f, ", ");
    write_list(f, "exactly", b->exactly, b->masks + 1);
    fprintf(f, "}\n");
    fclose(f);
}

static void print(const struct bench *b, int rows, const char *json)
{
    double bytes = (double)b->nwords * 8 * b->masks;
    for (int r = 0; r < b->runs; r++) {
        printf("run %d:", r);
        for (int i = 0; i < rows; i++)
            printf(" %s %.4f s (%.1f GB/s)%s", row_names[i], b->sec[i][r], bytes / b->sec[i][r] / 1e9,
                   i + 1 < rows ? "," : "\n");
    }
    FILE *f = json ? fopen(json, "a") : NULL;
    if (!f)
        return;
    fprintf(f, "{\"isa\": \"%s\", \"processes\": %d, \"masks\": %d, \"bits\": %lld, \"bytes\": %.0f",
            isa_name(b->isa), b->w.comm.np, b->masks, (long long)b->bits, bytes);
    for (int i = 0; i < rows; i++) {
        fprintf(f, ", \"%s\": [", row_names[i]);
        for (int r = 0; r < b->runs; r++)
            fprintf(f, "%s%.6g", r ? ", " : "", b->sec[i][r]);
        fprintf(f, "]");
    }
    fprintf(f, "}\n");
    fclose(f);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"masks", required_argument, NULL, 'm'},
                                            {"bits", required_argument, NULL, 'b'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {"counts", required_argument, NULL, 'c'},
                                            {"json", required_argument, NULL, 'j'},
                                            {0}};
    struct bench b = {.isa = isa_usable(), .masks = 21, .runs = 5, .bits = 1000000000};
    const char *folder = NULL, *counts = NULL, *json = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'm')
            b.masks = (int)strtol(optarg, NULL, 10);
        else if (o == 'b')
            b.bits = strtoll(optarg, NULL, 10);
        else if (o == 'r')
            b.runs = (int)strtol(optarg, NULL, 10);
        else if (o == 'f')
            folder = optarg;
        else if (o == 'c')
            counts = optarg;
        else if (o == 'j')
            json = optarg;
        else
            return 2;
    }
    if (optind < argc || b.masks < 1 || b.masks > MAX_MASKS || b.bits < 1 || b.runs < 0 ||
        b.runs > MAX_RUNS) {
        fprintf(stderr,
                "usage: bench_overlap [--masks K] [--bits N] [--runs R] [--folder FOLDER] [--counts FILE] "
                "[--json FILE]\n");
        return 2;
    }
    b.nwords = bits_words(b.bits);
    MPI_Init(&argc, &argv);
    world_init(&b.w, folder, 0);
    b.own = take(&b.w, b.masks, sizeof *b.own);
    b.pairs = take(&b.w, overlap_pairs(b.masks) + 1, sizeof *b.pairs);
    b.exactly = take(&b.w, b.masks + 1, sizeof *b.exactly);
    make_masks(&b);
    if (folder)
        write_masks(&b);
    int rows = folder ? ROWS : FILES;
    for (int r = b.runs > 0 ? -1 : 0; r < b.runs; r++) /* the first round warms up */
        for (int i = 0; i < rows; i++)
            time_row(&b, i, r);
    if (counts)
        write_counts(&b, counts);
    if (b.w.comm.me == 0)
        print(&b, rows, json);
    int failed = world_end(&b.w);
    MPI_Finalize();
    return failed;
}
