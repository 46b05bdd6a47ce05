/* Time of token entropies: the kernel on rows of logits in memory, each process its share of the rows.
 * rival_entropy.py runs it and hands the same rows to torch and numpy.
 *
 *     mpirun -n 2 bench_entropy FILE [--type bf16|f16|f32] [--rows N] [--start BYTE] [--vocabulary V] [--runs
 * N]
 *                               [--rounds N] [--json FILE]
 *
 * FILE holds the rows from byte --start on, as --type says (default bf16). --rounds passes over them make a
 * run, which is timed as a whole; before each run the same bytes are read from the file in pieces of 512 KiB,
 * which is timed, too. One line per run and JSON lines, appended to FILE: the seconds of both, and the
 * entropies as an array of float64 in FILE.nats beside it. */
#include "base/comm.h"
#include "kernels/entropy/entropy.h"

#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RUNS = 25, PIECE = 512 << 10 };

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "bench_entropy: no memory, or no such file\n");
        MPI_Abort(MPI_COMM_WORLD, 4);
    }
    return p;
}

static void usage(void)
{
    fprintf(stderr,
            "usage: bench_entropy FILE [--type bf16|f16|f32] [--rows N] [--start BYTE] [--vocabulary V] "
            "[--runs N] [--rounds N] [--json FILE]\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
}

struct options {
    const char *file, *json, *type_name;
    enum dtype type;
    int64_t rows, start, vocabulary, runs, rounds;
};

static enum dtype type_of(const char *name)
{
    const struct {
        const char *name;
        enum dtype type;
    } types[] = {{"bf16", DTYPE_BF16}, {"f16", DTYPE_F16}, {"f32", DTYPE_F32}};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (strcmp(name, types[k].name) == 0)
            return types[k].type;
    usage();
    return DTYPE_BF16;
}

static void parse(struct options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        int64_t *to;
    } numbers[] = {{"--rows", &o->rows},
                   {"--start", &o->start},
                   {"--vocabulary", &o->vocabulary},
                   {"--runs", &o->runs},
                   {"--rounds", &o->rounds}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof numbers / sizeof *numbers && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        if (k < sizeof numbers / sizeof *numbers && i + 1 < argc)
            *numbers[k].to = strtoll(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            o->json = argv[++i];
        else if (strcmp(argv[i], "--type") == 0 && i + 1 < argc)
            o->type_name = argv[++i];
        else if (argv[i][0] != '-' && !o->file)
            o->file = argv[i];
        else
            usage();
    }
    if (!o->file || o->runs < 1 || o->runs > MOST_RUNS || o->rows < 1 || o->vocabulary < 1 || o->rounds < 1)
        usage();
    o->type = type_of(o->type_name);
}

static int64_t row_bytes(const struct options *o)
{
    return o->vocabulary * dtype_bits(o->type) / 8;
}

/* Rows [from, to) of the file into x, one after the other; or each piece to its beginning, where nothing is
 * kept. */
static void load(const struct options *o, int64_t from, int64_t to, char *x, int kept)
{
    int64_t bytes = (to - from) * row_bytes(o), done = 0;
    int fd = open(o->file, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && done < bytes) {
        size_t n = bytes - done < PIECE ? (size_t)(bytes - done) : PIECE;
        ssize_t got = pread(fd, x + (kept ? done : 0), n, (off_t)(o->start + from * row_bytes(o) + done));
        if (got <= 0)
            break;
        done += got;
    }
    need(done == bytes ? x : NULL);
    close(fd);
}

static double reading(const struct options *o, int64_t from, int64_t to, char *piece)
{
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    load(o, from, to, piece, 0);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Wtime() - started;
}

static void print_seconds(FILE *f, const char *name, const double *seconds, int64_t n)
{
    fprintf(f, "\"%s\": [", name);
    for (int t = 0; t < n; t++)
        fprintf(f, "%s%.6f", t ? ", " : "", seconds[t]);
    fprintf(f, "]");
}

static void report(const struct options *o, const double *seconds, const double *read, const double *nats,
                   int np)
{
    printf("entropy of %lld x %lld %s logits in memory, %s, %d processes:", (long long)o->rows,
           (long long)o->vocabulary, o->type_name, isa_name(isa_usable()), np);
    for (int t = 0; t < o->runs; t++)
        printf(" %.2f us/row (read %.2f)", seconds[t] / (double)o->rows * 1e6,
               read[t] / (double)o->rows * 1e6);
    printf("\n");
    if (!o->json)
        return;
    char beside[4096];
    snprintf(beside, sizeof beside, "%s.nats", o->json);
    FILE *f = need(fopen(o->json, "a")), *values = need(fopen(beside, "wb"));
    fprintf(f,
            "{\"what\": \"entropy\", \"rows\": %lld, \"vocabulary\": %lld, \"processes\": %d, \"isa\": "
            "\"%s\", ",
            (long long)o->rows, (long long)o->vocabulary, np, isa_name(isa_usable()));
    print_seconds(f, "sec", seconds, o->runs);
    fprintf(f, ", ");
    print_seconds(f, "read_sec", read, o->runs);
    fprintf(f, "}\n");
    fwrite(nats, sizeof *nats, (size_t)o->rows, values);
    if (fclose(f) != 0 || fclose(values) != 0)
        need(NULL);
}

int main(int argc, char **argv)
{
    struct options o = {.rows = 4096, .vocabulary = 151936, .runs = 1, .rounds = 1, .type_name = "bf16"};
    double seconds[MOST_RUNS], read[MOST_RUNS];
    int64_t from, to, at = 0;
    MPI_Init(&argc, &argv);
    struct comm c;
    comm_init(&c, MPI_COMM_WORLD);
    parse(&o, argc, argv);
    split(o.rows, c.np, c.me, &from, &to);
    char *x = need(malloc((size_t)((to - from) * row_bytes(&o)) + 1)), *piece = need(malloc(PIECE));
    load(&o, from, to, x, 1);
    struct entropy_room *room = need(aligned_alloc(_Alignof(struct entropy_room), sizeof *room));
    memset(room, 0, sizeof *room);
    double *nats = need(calloc((size_t)o.rows, sizeof *nats));
    for (int t = 0; t < o.runs; t++) {
        read[t] = reading(&o, from, to, piece);
        double started = MPI_Wtime();
        for (int64_t k = 0; k < o.rounds; k++)
            for (int64_t i = from; i < to; i++)
                if (entropy_row(isa_usable(), o.type, x + (i - from) * row_bytes(&o), o.vocabulary, 1, room,
                                &nats[i], &at) != ENTROPY_FINE)
                    need(NULL);
        MPI_Barrier(MPI_COMM_WORLD);
        seconds[t] = (MPI_Wtime() - started) / (double)o.rounds;
    }
    MPI_Allreduce(MPI_IN_PLACE, nats, (int)o.rows, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    if (c.me == 0)
        report(&o, seconds, read, nats, c.np);
    free(nats);
    free(room);
    free(piece);
    free(x);
    MPI_Finalize();
    return 0;
}
