/* delta and mask on a pair of checkpoints, against reading the same bytes: same processes, same pieces, same
 * reader, same order.
 *
 *   mpirun -n 2 bench_pair BASE TUNED WORKFOLDER [--runs N] [--only none] [--json FILE]
 *
 * Each run times, one after the other: reading both checkpoints piece by piece into the compare type; delta
 * with `store: none`; delta with the update stored; mask from the stored update; writing as many bytes as
 * delta's artifact has with nothing but pwrite, each process a file of its own, which with reading is what
 * storing cannot be faster than; and delta with the update stored, but without digests, before or after the
 * one with them by turns, of both the time and the processors' time. The rows are medians over the runs; a
 * ratio is taken within a run. --only none leaves out all of what is stored. The checkpoints should be in the
 * page cache; the artifacts go to WORKFOLDER (a memory file system keeps the disk out of it). */
#include "../mpi/stagelib.h"
#include "benchlib.h"

#include "compare/pair.h"
#include "compare/walk.h"
#include "compare/update.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 16 }; /* as in delta */

/* Seconds between barriers; the slowest process counts. */
static double since(const struct comm *c, double started)
{
    double sec = clock_sec() - started;
    comm_max_real(c, &sec, 1);
    return sec;
}

static double now(const struct comm *c)
{
    MPI_TRY(MPI_Barrier(c->mpi));
    return clock_sec();
}

static void must(struct world *w, const struct err *e)
{
    if (e->code == ERR_OK)
        return;
    fprintf(stderr, "bench_pair: process %d: %s\n", w->comm.me, e->text);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Returns the bytes of both sides. */
static double read_block(struct pair *p, struct block at, void *w0, void *w1, struct err *e)
{
    for (int64_t done = 0; done < at.n; done += PIECE) {
        int64_t n = at.n - done < PIECE ? at.n - done : PIECE;
        pair_read(p, at.tensor, at.first + done, n, w0, w1, e);
    }
    return 4.0 * (double)at.n;
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
    struct err e;
    struct pair p;
    struct arena a;
    void *w0, *w1;
    struct walk k;
    double bytes = 0;
    err_clear(&e);
    arena_init(&a, &w->mem);
    pair_open(&p, base, tuned, ARITHMETIC_BF16, &(struct match_policy){0}, "", "", NULL, &a, &e);
    must(w, &e);
    arena_array_at(&a, "bench", PIECE, 2, &w0, &e);
    arena_array_at(&a, "bench", PIECE, 2, &w1, &e);
    must(w, &e);
    const struct layout *l = &p.match.main.layout;
    const struct walk_sums sums = {.bytes = 1, .end = no_sums};
    walk_start(&k, &w->comm, l, update_window_blocks(ARITHMETIC_BF16, 0) * (int64_t)LAYOUT_BLOCK, &sums, &a,
               &e);
    must(w, &e);
    while (walk_next(&k, &e)) {
        int64_t from, to;
        walk_ahead(&k, &from, &to);
        pair_expect(&p, &p.match.main, k.from, k.to);
        pair_expect(&p, &p.match.main, from, to);
        for (int64_t b = k.from; b < k.to; b++)
            bytes += read_block(&p, layout_block(l, b), w0, w1, &e);
    }
    walk_finish(&k, &e);
    must(w, &e);
    pair_close(&p);
    arena_release(&a);
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, w->comm.mpi));
    return bytes;
}

/* Seconds of writing `bytes` in all to new files, a share to each process's own, in pieces of 1 MiB. */
static double write_plainly(struct world *w, int64_t bytes)
{
    enum { PIECE_BYTES = 1 << 20 };
    static char piece[PIECE_BYTES];
    char *path = in_root(w, "plain.%d", w->comm.me);
    int64_t from, to;
    memset(piece, w->comm.me + 1, sizeof piece);
    split(bytes, w->comm.np, w->comm.me, &from, &to);
    unlink(path);
    double started = now(&w->comm);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    for (int64_t at = 0; at < to - from; at += PIECE_BYTES) {
        int64_t n = to - from - at < PIECE_BYTES ? to - from - at : PIECE_BYTES;
        if (fd < 0 || pwrite(fd, piece, (size_t)n, at) != n) {
            fprintf(stderr, "bench_pair: %s cannot be written\n", path);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
    }
    double sec = since(&w->comm, started);
    close(fd);
    unlink(path);
    return sec;
}

static int64_t file_bytes(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        fprintf(stderr, "bench_pair: %s is not there\n", path);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return about.st_size;
}

/* Seconds of delta with the update stored; the processors' seconds of all processes into *processor. bare:
 * without digests. */
static double store(struct world *w, const struct cell *cell, const char *base, const char *tuned, int bare,
                    double *processor)
{
    char *path = in_root(w, bare ? "bare.h5" : "delta.h5");
    if (w->comm.me == 0)
        unlink(path);
    double started = now(&w->comm), before = processor_sec();
    w->bare = bare;
    run_delta(w, cell, base, tuned, NULL, path);
    w->bare = 0;
    *processor = processor_sec() - before;
    double sec = since(&w->comm, started);
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, processor, 1, MPI_DOUBLE, MPI_SUM, w->comm.mpi));
    if (bare && w->comm.me == 0)
        unlink(path);
    return sec;
}

struct row {
    const char *what, *rival, *target; /* the last as JSON */
};

static void json_list(FILE *json, const char *key, const double *v, int n)
{
    fprintf(json, ", \"%s\": [", key);
    for (int i = 0; i < n; i++)
        fprintf(json, "%s%.5g", i ? ", " : "", v[i]);
    fprintf(json, "]");
}

/* One line of the result: rates of the row and of its rival, and their ratio within a run. */
static void print_row(const struct row *row, const double *sec, const double *rival_sec, int runs,
                      double bytes, FILE *json)
{
    double ratio[MAX_RUNS], least, most, a, b;
    for (int r = 0; r < runs; r++)
        ratio[r] = rival_sec[r] / sec[r];
    double mid = median(ratio, runs, &least, &most);
    double rate = bytes / median(sec, runs, &a, &b) / 1e9,
           rival = bytes / median(rival_sec, runs, &a, &b) / 1e9;
    printf("%-22s %6.2f GB/s  %s %6.2f GB/s  ratio %.2f (%.2f to %.2f)\n", row->what, rate, row->rival, rival,
           mid, least, most);
    if (!json)
        return;
    fprintf(json,
            "{\"what\": \"%s, 2 x %.2f GB\", \"rival\": \"%s\", \"ratio\": %.4g, "
            "\"least\": %.4g, \"most\": %.4g, \"target\": %s, \"runs\": %d, \"gb_per_sec\": %.4g, "
            "\"rival_gb_per_sec\": %.4g, \"bytes\": %.0f",
            row->what, bytes / 2e9, row->rival, mid, least, most, row->target, runs, rate, rival, bytes);
    json_list(json, "sec", sec, runs);
    json_list(json, "rival_sec", rival_sec, runs);
    fprintf(json, "}\n");
}

/* A node writes a new file. To give back the pages of the one of the round before takes a memory file system
 * as long as a third of the writing, and is not measured. */
static void forget(struct world *w)
{
    static const char *const artifact[] = {"none.h5", "delta.h5", "mask.h5"};
    for (size_t i = 0; i < sizeof artifact / sizeof *artifact && w->comm.me == 0; i++)
        unlink(in_root(w, "%s", artifact[i]));
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"json", required_argument, NULL, 'j'},
                                            {0}};
    enum { READ, NONE, STORED, MASK, LIMIT, DIGESTS, DIGESTS_WORK, WORK, ROWS = WORK };
    static const char reading[] = "reading the same bytes";
    static const struct row row[ROWS] = {
        [NONE] = {"delta, nothing stored", reading, "0.65"},
        [STORED] = {"delta, update stored", reading, "0.4"},
        [MASK] = {"mask from the update", reading, "null"},
        [LIMIT] = {"delta, update stored",
                   "reading the same bytes, then writing as many as are stored, plainly", "null"},
        [DIGESTS] = {"delta, update stored", "the same without digests", "0.97"},
        [DIGESTS_WORK] = {"... processors' time", "the same without digests", "0.97"}};
    double sec[WORK + 1][MAX_RUNS], bytes = 0;
    int runs = 5, rows = ROWS, wrong = 0, o;
    const char *json_path = NULL;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (o == 'r')
            runs = (int)strtol(optarg, NULL, 10);
        else if (o == 'j')
            json_path = optarg;
        else if (o == 'o' && strcmp(optarg, "none") == 0)
            rows = NONE + 1;
        else
            wrong = 1;
    if (wrong || argc - optind != 3 || runs < 1 || runs > MAX_RUNS) {
        fprintf(stderr, "usage: bench_pair BASE TUNED WORKFOLDER [--runs N] [--only none] [--json FILE]\n");
        return 2;
    }
    MPI_Init(&argc, &argv);
    h5_start();
    struct world w;
    world_init(&w, argv[optind + 2], 0);
    const char *base = must_run(
        &w, (struct ctx){.node = "load", .label = argv[optind], .checkpoint = argv[optind], .role = "base"},
        "load", NULL, in_root(&w, "base.h5"));
    const char *tuned = must_run(
        &w,
        (struct ctx){
            .node = "load", .label = argv[optind + 1], .checkpoint = argv[optind + 1], .role = "tuned"},
        "load", NULL, in_root(&w, "tuned.h5"));
    static const struct cell cell = {
        .name = "bench/pair/0", .family = "bench", .algorithm = "pair", .data = "", .step = -1};
    static const char *const none[] = {"store", "none", NULL};
    for (int r = -1; r < runs; r++) { /* the first round warms up */
        int at = r < 0 ? 0 : r;
        forget(&w);
        double started = now(&w.comm);
        bytes = read_pair(&w, base, tuned);
        sec[READ][at] = since(&w.comm, started);
        started = now(&w.comm);
        run_delta(&w, &cell, base, tuned, none, in_root(&w, "none.h5"));
        sec[NONE][at] = since(&w.comm, started);
        if (rows <= STORED)
            continue;
        const char *delta = in_root(&w, "delta.h5");
        for (int k = 0; k < 2; k++) {
            int bare = k != (at & 1);
            sec[bare ? DIGESTS : STORED][at] =
                store(&w, &cell, base, tuned, bare, &sec[bare ? DIGESTS_WORK : WORK][at]);
        }
        struct err e;
        err_clear(&e);
        started = now(&w.comm);
        run_on_delta(&w, &cell, delta, "mask", NULL, in_root(&w, "mask.h5"), &e);
        must(&w, &e);
        sec[MASK][at] = since(&w.comm, started);
        sec[LIMIT][at] = sec[READ][at] + write_plainly(&w, file_bytes(delta));
    }
    FILE *json = w.comm.me == 0 && json_path ? fopen(json_path, "a") : NULL;
    for (int i = NONE; i < rows && w.comm.me == 0; i++)
        print_row(&row[i],
                  sec[i == LIMIT || i == DIGESTS ? STORED
                      : i == DIGESTS_WORK        ? WORK
                                                 : i],
                  sec[i >= LIMIT ? i : READ], runs, bytes, json);
    if (json)
        fclose(json);
    int failed = world_end(&w);
    MPI_Finalize();
    return failed;
}
