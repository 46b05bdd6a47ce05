/* Time of token entropies: the kernel on rows of bf16 logits in memory, each process its share of the rows;
 * then stage token-entropy on the same logits as a file. rival_entropy.py runs it and hands the same rows to
 * torch and numpy.
 *
 *     mpirun -n 2 bench_entropy FILE [--rows N] [--start BYTE] [--vocabulary V] [--runs N] [--rounds N]
 * [--json FILE]
 *
 * FILE holds the rows from byte --start on, as bf16. --rounds passes over them make a run, which is timed as
 * a whole. One line per run and JSON lines, appended to FILE: the seconds, and the entropies as an array of
 * float64 in FILE.nats beside it. */
#include "base/comm.h"
#include "kernels/entropy/entropy.h"

#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RUNS = 25 };

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
    fprintf(stderr, "usage: bench_entropy FILE [--rows N] [--start BYTE] [--vocabulary V] [--runs N] "
                    "[--rounds N] [--json FILE]\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
}

struct options {
    const char *file, *json;
    int64_t rows, start, vocabulary, runs, rounds;
};

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
        else if (argv[i][0] != '-' && !o->file)
            o->file = argv[i];
        else
            usage();
    }
    if (!o->file || o->runs < 1 || o->runs > MOST_RUNS || o->rows < 1 || o->vocabulary < 1 || o->rounds < 1)
        usage();
}

/* Rows [from, to) of the file. */
static uint16_t *load(const struct options *o, int64_t from, int64_t to)
{
    int64_t row = o->vocabulary * 2, bytes = (to - from) * row, done = 0;
    char *x = need(malloc((size_t)bytes + 1));
    int fd = open(o->file, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && done < bytes) {
        ssize_t got = pread(fd, x + done, (size_t)(bytes - done), (off_t)(o->start + from * row + done));
        if (got <= 0)
            break;
        done += got;
    }
    need(done == bytes ? x : NULL);
    close(fd);
    return (uint16_t *)x;
}

static void report(const struct options *o, const double *seconds, const double *nats, int np)
{
    printf("entropy of %lld x %lld bf16 logits in memory, %s, %d processes:", (long long)o->rows,
           (long long)o->vocabulary, isa_name(isa_usable()), np);
    for (int t = 0; t < o->runs; t++)
        printf(" %.2f us/row", seconds[t] / (double)o->rows * 1e6);
    printf("\n");
    if (!o->json)
        return;
    char beside[4096];
    snprintf(beside, sizeof beside, "%s.nats", o->json);
    FILE *f = need(fopen(o->json, "a")), *values = need(fopen(beside, "wb"));
    fprintf(f,
            "{\"what\": \"entropy\", \"rows\": %lld, \"vocabulary\": %lld, \"processes\": %d, \"isa\": "
            "\"%s\", \"sec\": [",
            (long long)o->rows, (long long)o->vocabulary, np, isa_name(isa_usable()));
    for (int t = 0; t < o->runs; t++)
        fprintf(f, "%s%.6f", t ? ", " : "", seconds[t]);
    fprintf(f, "]}\n");
    fwrite(nats, sizeof *nats, (size_t)o->rows, values);
    if (fclose(f) != 0 || fclose(values) != 0)
        need(NULL);
}

int main(int argc, char **argv)
{
    struct options o = {.rows = 4096, .vocabulary = 151936, .runs = 1, .rounds = 1};
    double seconds[MOST_RUNS];
    int64_t from, to, at = 0;
    MPI_Init(&argc, &argv);
    struct comm c;
    comm_init(&c, MPI_COMM_WORLD);
    parse(&o, argc, argv);
    split(o.rows, c.np, c.me, &from, &to);
    uint16_t *x = load(&o, from, to);
    struct entropy_room *room = need(aligned_alloc(_Alignof(struct entropy_room), sizeof *room));
    memset(room, 0, sizeof *room);
    double *nats = need(calloc((size_t)o.rows, sizeof *nats));
    for (int t = 0; t < o.runs; t++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double started = MPI_Wtime();
        for (int64_t k = 0; k < o.rounds; k++)
            for (int64_t i = from; i < to; i++)
                if (entropy_row(isa_usable(), DTYPE_BF16, x + (i - from) * o.vocabulary, o.vocabulary, 1,
                                room, &nats[i], &at) != ENTROPY_FINE)
                    need(NULL);
        MPI_Barrier(MPI_COMM_WORLD);
        seconds[t] = (MPI_Wtime() - started) / (double)o.rounds;
    }
    MPI_Allreduce(MPI_IN_PLACE, nats, (int)o.rows, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    if (c.me == 0)
        report(&o, seconds, nats, c.np);
    free(nats);
    free(room);
    free(x);
    MPI_Finalize();
    return 0;
}
