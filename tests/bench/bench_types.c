/* delta on pairs of every element type and of shapes that are none of a layer's, against reading the same
 * bytes.
 *
 *   mpirun -n 2 bench_types FOLDER [--runs N] [--million N] [--only WORDS] [--json FILE]
 *
 * Each row has a pair of its own in FOLDER (a memory file system keeps the disk out of it), of N million
 * parameters (default 96). The rival reads what the files hold of both sides, with the same processes, shares
 * and pieces, and makes nothing of it: no number is decoded, so that a row says what everything but reading
 * costs. Ratios are taken within a run, of times and of the processes' processor times, which others on the
 * machine disturb less; rows are medians over the runs. --only: rows whose text holds WORDS. */
#include "../mpi/stagelib.h"
#include "benchlib.h"
#include "torchzip.h"

#include "compare/pair.h"
#include "compare/update.h"
#include "compare/walk.h"
#include "elements/codes/codes.h"
#include "formats/safetensors/safetensors_writer.h"

#include <getopt.h>
#include <sys/resource.h>

enum { PIECE = 1 << 16 }; /* as in delta */

/* What a checkpoint's weights are stored as. */
enum kind { BF16, F16, F32, FP8, MXFP4 };

/* Rows and columns of a tensor. The columns are a multiple of the scales' blocks. */
enum shape { MATRICES, SMALL, EMBEDDING, SHAPES };
static const struct {
    int64_t rows, cols;
} shapes[SHAPES] = {{4096, 2048}, {4, 1024}, {0, 4096}}; /* 0: all there are */

struct row {
    const char *what;
    enum kind base, tuned;
    const char *arithmetic;
    enum shape shape;
    const char *target; /* as JSON */
    int torch;          /* files of torch.save, of bf16 */
};

static const struct row rows[] = {
    {"BF16", BF16, BF16, "bf16", MATRICES, "0.75", 0},
    {"BF16 in torch's .bin", BF16, BF16, "bf16", MATRICES, "0.65", 1},
    {"F16", F16, F16, "bf16", MATRICES, "0.6", 0},
    {"F32", F32, F32, "bf16", MATRICES, "0.6", 0},
    {"F32 tuned on BF16", BF16, F32, "bf16", MATRICES, "0.6", 0},
    {"F32, in arithmetic f32", F32, F32, "f32", MATRICES, "0.5", 0},
    {"FP8 E4M3 by F32 scales of 128x128", FP8, FP8, "bf16", MATRICES, "0.5", 0},
    {"MXFP4", MXFP4, MXFP4, "bf16", MATRICES, "null", 0},
    {"BF16, tensors of 4096 elements", BF16, BF16, "bf16", SMALL, "null", 0},
    {"F32, tensors of 4096 elements, in arithmetic f32", F32, F32, "f32", SMALL, "null", 0},
    {"BF16, one embedding of 4096 columns", BF16, BF16, "bf16", EMBEDDING, "null", 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void must(struct world *w, int fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "bench_types: process %d: %s\n", w->comm.me, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- data ---- */

/* Nearest code of every bf16, by looking at all of them. */
static void fill_codes(enum codes kind, int codes, uint8_t *nearest)
{
    for (int bits = 0; bits < 1 << 16; bits++) {
        const float x = bf16_to_float((uint16_t)bits);
        double best = INFINITY;
        for (int c = 0; c < codes; c++) {
            const double far = fabs((double)codes_value(kind, (uint8_t)c) - (double)x);
            if (far < best) {
                best = far;
                nearest[bits] = (uint8_t)c;
            }
        }
    }
}

/* Numbers of about normal distribution, of a spread of 1. */
static float bell(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    const uint64_t x = *seed >> 16,
                   sum = (x & 0xfff) + (x >> 12 & 0xfff) + (x >> 24 & 0xfff) + (x >> 36 & 0xfff);
    return ((float)sum - 8190) / 2364.0F;
}

static const float weight_size = 0.02F, step_size = 3e-6F;

/* Element i of a weight, of the tuned checkpoint with a step that training makes: a few per cent of it are
 * seen in bf16, all in f32. */
static float element(uint64_t *seed, int tuned)
{
    const float w = weight_size * bell(seed), d = step_size * bell(seed);
    return tuned ? w + d : w;
}

struct maker {
    enum kind kind;
    int tuned;
    uint64_t seed;
    uint8_t nearest[1 << 16];
};

/* n elements, n even, as they are stored. */
static void make_elements(struct maker *m, int64_t n, unsigned char *out)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = element(&m->seed, m->tuned);
        const uint16_t b = bf16_from_float(x), h = f16_from_float(x),
                       code = m->nearest[bf16_from_float(x * 2048)];
        switch (m->kind) {
        case BF16:
            memcpy(out + 2 * i, &b, 2);
            break;
        case F16:
            memcpy(out + 2 * i, &h, 2);
            break;
        case F32:
            memcpy(out + 4 * i, &x, 4);
            break;
        case FP8:
            out[i] = (unsigned char)code;
            break;
        case MXFP4:
            out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | code << 4 : code);
        }
    }
}

/* A weight of rows x cols and, behind it, what scales it; returns how many tensors these are. */
static int describe(enum kind kind, int64_t rows_of, int64_t cols, const char *name, struct stored_tensor *t,
                    struct arena *a, struct err *e)
{
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_F8_E4M3, DTYPE_U8};
    t[0] = (struct stored_tensor){.name = arena_printf(a, e, "%s%s", name, kind == MXFP4 ? "_packed" : ""),
                                  .dtype = types[kind],
                                  .ndim = 2,
                                  .dims = {rows_of, kind == MXFP4 ? cols / 2 : cols}};
    t[1] = (struct stored_tensor){
        .name = arena_printf(a, e, "%s_scale%s", name, kind == FP8 ? "_inv" : ""),
        .dtype = kind == FP8 ? DTYPE_F32 : DTYPE_U8,
        .ndim = 2,
        .dims = {kind == FP8 ? (rows_of + 127) / 128 : rows_of, cols / (kind == FP8 ? 128 : 32)}};
    return kind == FP8 || kind == MXFP4 ? 2 : 1;
}

static void write_tensor(struct world *w, struct maker *m, const struct stored_tensor *t, int scales, FILE *f)
{
    static unsigned char bytes[4 * PIECE];
    static const float scale = 1.0F / 2048;
    const int64_t each = m->kind == MXFP4 && !scales ? 2 : 1, n = t->dims[0] * t->dims[1] * each;
    for (int64_t at = 0, part; at < n; at += part) {
        part = min64(n - at, PIECE);
        const size_t size = (size_t)(part * dtype_bits(t->dtype) / 8 / each);
        for (int64_t i = 0; scales && i < part; i++)
            if (m->kind == FP8)
                memcpy(bytes + 4 * i, &scale, 4);
            else
                bytes[i] = 127 - 11 - 1;
        if (!scales)
            make_elements(m, part, bytes);
        must(w, fwrite(bytes, 1, size, f) == size, "the data cannot be written");
    }
}

/* The tensors as torch.save writes them. */
static void write_torch(struct world *w, struct maker *m, const struct stored_tensor *t, int64_t n,
                        const char *folder)
{
    static struct torchzip z;
    static unsigned char pickle[TORCHZIP_PICKLE];
    int64_t bytes = 0;
    char path[1024];
    snprintf(path, sizeof path, "%s/pytorch_model.bin", folder);
    z = (struct torchzip){.f = fopen(path, "wb")};
    must(w, z.f != NULL, path);
    static const char head[] = "\x80\2ccollections\nOrderedDict\n)R(";
    torchzip_pickle(&z, pickle, &bytes, head, (int64_t)sizeof head - 1);
    for (int64_t i = 0; i < n; i++)
        torchzip_tensor(&z, pickle, &bytes, t[i].name, (int)i, t[i].dims[0], t[i].dims[1]);
    torchzip_pickle(&z, pickle, &bytes, "u.", 2);
    torchzip_entry(&z, "data.pkl", bytes);
    torchzip_put(&z, pickle, bytes);
    for (int64_t i = 0; i < n; i++) {
        char name[TORCHZIP_NAME];
        snprintf(name, sizeof name, "data/%d", (int)i);
        torchzip_entry(&z, name, 2 * t[i].dims[0] * t[i].dims[1]);
        write_tensor(w, m, &t[i], 0, z.f);
        z.at += 2 * t[i].dims[0] * t[i].dims[1];
    }
    torchzip_entry(&z, "version", 2);
    torchzip_put(&z, "3\n", 2);
    torchzip_end(&z);
    must(w, fclose(z.f) == 0 && !z.failed, path);
}

/* Process 0. One side of a row's pair, as one file: safetensors, or torch's. */
static void write_side(struct world *w, const struct row *row, int tuned, int64_t elements,
                       const char *folder)
{
    static struct maker m;
    struct arena a;
    struct err e;
    struct stored_tensor *t;
    char *header, *path;
    int64_t header_bytes, n = 0, cols = shapes[row->shape].cols;
    const int64_t total = elements / cols,
                  each = shapes[row->shape].rows > 0 ? shapes[row->shape].rows : total;
    err_clear(&e);
    arena_init(&a, &w->mem);
    m = (struct maker){.kind = tuned ? row->tuned : row->base, .tuned = tuned, .seed = 1};
    if (m.kind == FP8 || m.kind == MXFP4)
        fill_codes(m.kind == FP8 ? CODES_E4M3 : CODES_E2M1, m.kind == FP8 ? 256 : 16, m.nearest);
    must(w, arena_array(&a, "bench", 2 * (total / each) + 2, &t, &e) == ERR_OK, e.text);
    for (int64_t i = 0; i < total / each; i++) {
        const char *name = arena_printf(&a, &e, "model.layers.%lld.mlp.up_proj.weight", (long long)i);
        n += describe(m.kind, each, cols, name, t + n, &a, &e);
    }
    must(w, e.code == ERR_OK && safetensors_header(t, n, NULL, 0, &a, &header, &header_bytes, &e) == ERR_OK,
         e.text);
    mkdir(folder, 0700);
    if (row->torch) {
        write_torch(w, &m, t, n, folder);
        arena_release(&a);
        return;
    }
    path = arena_printf(&a, &e, "%s/model.safetensors", folder);
    FILE *f = path ? fopen(path, "wb") : NULL;
    must(w, f && fwrite(header, 1, (size_t)header_bytes, f) == (size_t)header_bytes, folder);
    for (int64_t i = 0; i < n; i++)
        write_tensor(w, &m, &t[i], strstr(t[i].name, "_scale") != NULL, f);
    must(w, fclose(f) == 0, folder);
    arena_release(&a);
}

/* ---- measuring ---- */

/* What something took: the slowest process's time, and the processor time of all. */
struct cost {
    double sec, cpu_sec;
};

static double cpu_sec(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static struct cost begin(const struct comm *c)
{
    MPI_TRY(MPI_Barrier(c->mpi));
    return (struct cost){clock_sec(), cpu_sec()};
}

static struct cost end(const struct comm *c, struct cost started)
{
    struct cost took = {clock_sec() - started.sec, cpu_sec() - started.cpu_sec};
    comm_max_real(c, &took.sec, 1);
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &took.cpu_sec, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    return took;
}

/* Reads what is stored of elements [first, first+n) of t and, in proportion, of what helps it. Returns bytes.
 */
static double read_stored_bytes(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                                void *buf, struct err *e)
{
    const struct decoding *d = decoder_decoding(t);
    double bytes = 0;
    for (int64_t i = t->file >= 0 ? -1 : 0; i < (d ? d->nhelpers : 0); i++) {
        const struct stored_tensor *x = i < 0 ? t : d->helpers[i];
        const int64_t from = (int64_t)((double)x->elements / (double)t->elements * (double)first),
                      to = (int64_t)((double)x->elements / (double)t->elements * (double)(first + n));
        checkpoint_read(c, x, from, to - from, buf, e);
        bytes += (double)((to - from) * dtype_bits(x->dtype) / 8);
    }
    return bytes;
}

/* delta walks with sums, which bound a window's tensors. */
static void no_sums(void *arg, int64_t tensor, void *sums, struct err *e)
{
    (void)arg, (void)tensor, (void)sums, (void)e;
}

/* Reads the process's share of the pair, window by window as delta does, and nothing else. Returns the bytes
 * of all processes. */
static double read_pair(struct world *w, const char *base, const char *tuned)
{
    static uint64_t buf[PIECE];
    struct err e;
    struct pair p;
    struct arena a;
    struct walk k;
    double bytes = 0;
    err_clear(&e);
    arena_init(&a, &w->mem);
    pair_open(&p, base, tuned, ARITHMETIC_BF16, &(struct match_policy){0}, "", "", NULL, &a, &e);
    must(w, e.code == ERR_OK, e.text);
    const struct match_set *set = &p.match.main;
    const struct walk_sums sums = {.bytes = 1, .end = no_sums};
    walk_start(&k, &w->comm, &set->layout, update_window_blocks(ARITHMETIC_BF16, 0) * (int64_t)LAYOUT_BLOCK,
               &sums, &a, &e);
    while (e.code == ERR_OK && walk_next(&k, &e))
        for (int64_t b = k.from; b < k.to; b++) {
            const struct block at = layout_block(&set->layout, b);
            for (int64_t done = 0; done < at.n; done += PIECE) {
                const int64_t n = min64(at.n - done, PIECE);
                bytes += read_stored_bytes(&p.base, set->base[at.tensor], at.first + done, n, buf, &e);
                bytes += read_stored_bytes(&p.tuned, set->tuned[at.tensor], at.first + done, n, buf, &e);
            }
        }
    walk_finish(&k, &e);
    must(w, e.code == ERR_OK, e.text);
    pair_close(&p);
    arena_release(&a);
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, w->comm.mpi));
    return bytes;
}

static void print_row(const struct row *row, const struct cost *delta, const struct cost *plain, int runs,
                      double elements, double bytes, FILE *json)
{
    double ratio[MAX_RUNS], cpu[MAX_RUNS], sec[MAX_RUNS], least, most, a, b;
    for (int r = 0; r < runs; r++) {
        ratio[r] = plain[r].sec / delta[r].sec;
        cpu[r] = plain[r].cpu_sec / delta[r].cpu_sec;
        sec[r] = delta[r].cpu_sec;
    }
    const double mid = median(ratio, runs, &least, &most), by_cpu = median(cpu, runs, &a, &b);
    const double each = 1e9 * median(sec, runs, &a, &b) / elements;
    printf("%-50s %4.1f bytes a pair, %.3f ns of processor time; ratio to reading %.2f (%.2f to %.2f), by "
           "processor time %.2f\n",
           row->what, bytes / elements, each, mid, least, most, by_cpu);
    if (json)
        fprintf(json,
                "{\"what\": \"delta, nothing stored, %s\", \"rival\": \"reading the same bytes plainly\", "
                "\"ratio\": %.4g, \"least\": %.4g, \"most\": %.4g, \"target\": %s, \"runs\": %d, "
                "\"bytes_per_pair\": %.3g, \"cpu_ns_per_pair\": %.4g, \"processor_time_ratio\": %.4g}\n",
                row->what, mid, least, most, row->target, runs, bytes / elements, each, by_cpu);
    fflush(stdout);
}

static const char *load(struct world *w, const char *folder, const char *role)
{
    const struct ctx ctx = {.node = "load", .label = folder, .checkpoint = folder, .role = role};
    return must_run(w, ctx, "load", NULL, in_root(w, "%s.h5", role));
}

static void measure(struct world *w, const struct row *row, int64_t elements, int runs, FILE *json)
{
    static const struct cell cell = {
        .name = "bench/types/0", .family = "bench", .algorithm = "types", .data = "", .step = -1};
    const char *settings[] = {"store", "none", "arithmetic", row->arithmetic, NULL};
    struct cost delta[MAX_RUNS], plain[MAX_RUNS];
    double bytes = 0;
    const char *folder[] = {in_root(w, "base"), in_root(w, "tuned")};
    for (int k = 0; k < 2 && w->comm.me == 0; k++)
        write_side(w, row, k, elements, folder[k]);
    MPI_TRY(MPI_Barrier(w->comm.mpi));
    const char *base = load(w, folder[0], "base"), *tuned = load(w, folder[1], "tuned");
    for (int r = -1; r < runs; r++) { /* the first round warms up */
        const int at = r < 0 ? 0 : r;
        const char *out = in_root(w, "delta.h5");
        if (w->comm.me == 0)
            unlink(out);
        struct cost started = begin(&w->comm);
        bytes = read_pair(w, base, tuned);
        plain[at] = end(&w->comm, started);
        started = begin(&w->comm);
        run_delta(w, &cell, base, tuned, settings, out);
        delta[at] = end(&w->comm, started);
    }
    if (w->comm.me == 0)
        print_row(row, delta, plain, runs, (double)elements, bytes, json);
    for (int k = 0; k < 2 && w->comm.me == 0; k++)
        folder_remove(folder[k]);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"million", required_argument, NULL, 'm'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"json", required_argument, NULL, 'j'},
                                            {0}};
    const char *json_path = NULL, *only = "";
    int runs = 5, o, wrong = 0;
    int64_t million = 96;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (o == 'r')
            runs = (int)strtol(optarg, NULL, 10);
        else if (o == 'm')
            million = strtol(optarg, NULL, 10);
        else if (o == 'o')
            only = optarg;
        else if (o == 'j')
            json_path = optarg;
        else
            wrong = 1;
    if (wrong || argc - optind != 1 || runs < 1 || runs > MAX_RUNS || million < 8 || million > 4096) {
        fprintf(stderr, "usage: bench_types FOLDER [--runs N] [--million N] [--only WORDS] [--json FILE]\n");
        return 2;
    }
    MPI_Init(&argc, &argv);
    h5_start();
    struct world w;
    mkdir(argv[optind], 0700);
    world_init(&w, argv[optind], 0);
    FILE *json = w.comm.me == 0 && json_path ? fopen(json_path, "a") : NULL;
    const int64_t elements = (million * 1000000 + (1 << 22)) >> 23 << 23; /* whole matrices */
    for (int i = 0; i < ROWS; i++)
        if (strstr(rows[i].what, only))
            measure(&w, &rows[i], elements, runs, json);
    if (json)
        fclose(json);
    int failed = world_end(&w);
    MPI_Finalize();
    return failed;
}
