/* Ways of reading a pair of files while computing on what was read: the choice of `read`, `read_block` and of
 * what is not offered.
 *
 *   mpirun -n 2 bench_reader FOLDER [--mb N] [--runs N] [--passes N]
 *       [--cold | --device RATE,LATENCY] [--only WAY] [--json FILE]
 *
 * Two files of N MB (default 512) are written to FOLDER. Each process reads its half of both, 128 KiB of one
 * and 128 KiB of the other in turn, and passes over every such pair as often as --passes says (default 2:
 * about what a comparison costs). Every way is measured once per run, in turn with its rival: pread of 128
 * KiB. A ratio is taken within a run, of times and of processor times (which others on the machine disturb
 * less, and which is what counts where every core has a process); rows are medians over the runs. --cold
 * takes the files out of the page cache before each measurement, which needs a real disk under FOLDER; where
 * they do not go, it says so and ends with status 77. The processes share the disk: how cold a virtual one
 * is, its host decides. */
#include "benchlib.h"
#include "base/comm.h"
#include "base/log.h"
#include "formats/readahead.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 17, SIDES = 2, ADVISED = 8, MOST_BLOCK = 4 << 20 };

enum way { WAY_PREAD, WAY_AUTO, WAY_THREAD, WAY_DIRECT, WAY_ADVISE, WAY_MAPPED, WAY_FAULTS };

static const struct row {
    enum way way;
    int64_t block;
    const char *name;
    double target; /* 0: none */
} rows[] = {
    {WAY_PREAD, 1 << 16, "pread 64 KiB", 0},
    {WAY_PREAD, 1 << 18, "pread 256 KiB", 0},
    {WAY_PREAD, 1 << 20, "pread 1 MiB", 0},
    {WAY_PREAD, 4 << 20, "pread 4 MiB", 0},
    {WAY_AUTO, 1 << 18, "auto 256 KiB", 0.97},
    {WAY_AUTO, 1 << 20, "auto 1 MiB", 0.97},
    {WAY_AUTO, 4 << 20, "auto 4 MiB", 0.97},
    {WAY_THREAD, 1 << 16, "thread 64 KiB", 0},
    {WAY_THREAD, 1 << 18, "thread 256 KiB", 0},
    {WAY_THREAD, 1 << 19, "thread 512 KiB", 0},
    {WAY_THREAD, 1 << 20, "thread 1 MiB", 0},
    {WAY_THREAD, 4 << 20, "thread 4 MiB", 0},
    {WAY_DIRECT, 1 << 16, "direct 64 KiB", 0},
    {WAY_DIRECT, 1 << 18, "direct 256 KiB", 0},
    {WAY_DIRECT, 1 << 19, "direct 512 KiB", 0},
    {WAY_DIRECT, 1 << 20, "direct 1 MiB", 0},
    {WAY_DIRECT, 4 << 20, "direct 4 MiB", 0},
    {WAY_ADVISE, 1 << 20, "pread 128 KiB, WILLNEED 8 x 1 MiB ahead", 0},
    {WAY_MAPPED, 1 << 20, "mapped, 1 MiB populated at once", 0},
    {WAY_FAULTS, 1 << 20, "mapped, pages as they are touched", 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct bench {
    struct comm comm;
    struct mem mem;
    int fd[SIDES];
    int64_t from, to; /* bytes of each file that are this process's */
    int passes, cold;
    unsigned char *buf[SIDES];
    uint64_t sum; /* so that nothing is optimised away */
};

/* The simulated device: bytes per second, 0 for none, and seconds; when it is through with what was asked. */
static struct {
    double rate, latency, free_at;
    pthread_mutex_t lock;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In the place of the C library's. */
ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    ssize_t got = (ssize_t)syscall(SYS_pread64, fd, buf, n, at);
    if (device.rate <= 0 || got <= 0)
        return got;
    pthread_mutex_lock(&device.lock);
    double now = clock_sec(), sec;
    device.free_at = (device.free_at > now ? device.free_at : now) + (double)got / device.rate;
    sec = device.free_at + device.latency - now;
    pthread_mutex_unlock(&device.lock);
    struct timespec wait = {(time_t)sec, (long)((sec - (double)(time_t)sec) * 1e9)};
    nanosleep(&wait, NULL);
    return got;
}

static void must(int fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The stand-in for a comparison. */
static void compute(struct bench *b, const void *p, const void *q, int64_t n)
{
    for (int k = 0; k < b->passes; k++) {
        const uint64_t *x = p, *y = q;
        uint64_t sum = 0;
        for (int64_t i = 0; i < n / 8; i++)
            sum += (x[i] ^ y[i]) & 0x00ff00ff00ff00ffu;
        b->sum += sum;
    }
}

static void read_all(struct bench *b, struct readahead *r, int side, int64_t at, int64_t n,
                     unsigned char *buf)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = readahead_read(r, b->fd[side], buf + done, n - done, at + done);
        must(got > 0, "read");
        done += got;
    }
}

/* By pread of `block`, or of PIECE with the file system told of the next blocks. */
static void by_pread(struct bench *b, int64_t block, int advise)
{
    int64_t size = advise ? PIECE : block, advised = b->from;
    for (int64_t at = b->from; at < b->to; at += size) {
        for (; advise && advised < b->to && advised < at + ADVISED / SIDES * block; advised += block)
            for (int k = 0; k < SIDES; k++)
                posix_fadvise(b->fd[k], advised, block, POSIX_FADV_WILLNEED);
        int64_t n = b->to - at < size ? b->to - at : size;
        for (int k = 0; k < SIDES; k++)
            read_all(b, NULL, k, at, n, b->buf[k]);
        for (int64_t i = 0; i < n; i += PIECE)
            compute(b, b->buf[0] + i, b->buf[1] + i, n - i < PIECE ? n - i : PIECE);
    }
}

static void by_reader(struct bench *b, int mode, int64_t block)
{
    struct arena a;
    struct err e;
    struct readahead *r;
    err_clear(&e);
    arena_init(&a, &b->mem);
    must(readahead_open(&r, &(struct readahead_setting){mode, block}, &a, &e) == ERR_OK, e.text);
    int64_t ahead = b->from;
    for (int64_t at = b->from; at < b->to; at += PIECE) {
        ahead = ahead > at ? ahead : at; /* reading ahead may begin late */
        readahead_passed(r, at - block + 1);
        for (; ahead < b->to && readahead_room(r) >= SIDES; ahead += block)
            for (int k = 0; k < SIDES; k++)
                readahead_want(r, b->fd[k], ahead, b->to - ahead < block ? b->to - ahead : block, ahead);
        int64_t n = b->to - at < PIECE ? b->to - at : PIECE;
        for (int k = 0; k < SIDES; k++)
            read_all(b, r, k, at, n, b->buf[k]);
        compute(b, b->buf[0], b->buf[1], n);
    }
    readahead_close(r);
    arena_release(&a);
}

static void by_map(struct bench *b, int64_t block, int populate)
{
    unsigned char *p[SIDES];
    for (int k = 0; k < SIDES; k++) {
        p[k] = mmap(NULL, (size_t)b->to, PROT_READ, MAP_SHARED, b->fd[k], 0);
        must(p[k] != MAP_FAILED, "mmap");
        madvise(p[k], (size_t)b->to, MADV_SEQUENTIAL);
    }
    for (int64_t at = b->from; at < b->to; at += block) {
        int64_t end = at + block < b->to ? at + block : b->to;
        for (int k = 0; k < SIDES && populate; k++)
            must(madvise(p[k] + at, (size_t)(end - at), MADV_POPULATE_READ) == 0, "madvise");
        for (int64_t i = at; i < end; i += PIECE)
            compute(b, p[0] + i, p[1] + i, end - i < PIECE ? end - i : PIECE);
        for (int k = 0; k < SIDES && populate; k++) /* bounded, as every other way is */
            madvise(p[k] + at, (size_t)(end - at), MADV_DONTNEED);
    }
    for (int k = 0; k < SIDES; k++)
        munmap(p[k], (size_t)b->to);
}

/* Share of a file's pages in the page cache. */
static double resident(int fd, int64_t bytes)
{
    int64_t pages = bytes / sysconf(_SC_PAGESIZE), n = 0;
    void *p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *in = malloc((size_t)pages + 1);
    must(p != MAP_FAILED && in && mincore(p, (size_t)bytes, in) == 0, "mincore");
    for (int64_t i = 0; i < pages; i++)
        n += in[i] & 1;
    munmap(p, (size_t)bytes);
    free(in);
    return pages > 0 ? (double)n / (double)pages : 0;
}

/* What a way took: the slowest process's time, and the processor time of all. */
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

static struct cost measure(struct bench *b, const struct row *row)
{
    if (b->cold && b->comm.me == 0)
        for (int k = 0; k < SIDES; k++)
            posix_fadvise(b->fd[k], 0, 0, POSIX_FADV_DONTNEED);
    MPI_TRY(MPI_Barrier(b->comm.mpi));
    double started = clock_sec(), cpu_started = cpu_sec();
    switch (row->way) {
    case WAY_PREAD:
    case WAY_ADVISE:
        by_pread(b, row->block, row->way == WAY_ADVISE);
        break;
    case WAY_AUTO:
        by_reader(b, READ_AUTO, row->block);
        break;
    case WAY_THREAD:
        by_reader(b, READ_THREAD, row->block);
        break;
    case WAY_DIRECT:
        by_reader(b, READ_DIRECT, row->block);
        break;
    case WAY_MAPPED:
    case WAY_FAULTS:
        by_map(b, row->block, row->way == WAY_MAPPED);
        break;
    }
    struct cost c = {clock_sec() - started, cpu_sec() - cpu_started};
    comm_max_real(&b->comm, &c.sec, 1);
    MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, &c.cpu_sec, 1, MPI_DOUBLE, MPI_SUM, b->comm.mpi));
    return c;
}

/* The files, written by process 0 and open in all. */
static void open_files(struct bench *b, const char *folder, int64_t bytes)
{
    for (int k = 0; k < SIDES; k++) {
        char path[500];
        must(snprintf(path, sizeof path, "%s/bench_reader-%d.bin", folder, k) < (int)sizeof path, folder);
        if (b->comm.me == 0) {
            unsigned char *block = malloc(MOST_BLOCK);
            int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            must(fd >= 0 && block, path);
            for (int64_t i = 0; i < MOST_BLOCK; i++)
                block[i] = (unsigned char)(i * 7 + i / 256);
            for (int64_t at = 0; at < bytes; at += MOST_BLOCK)
                must(pwrite(fd, block, MOST_BLOCK, at) == MOST_BLOCK, path);
            must(fsync(fd) == 0 && close(fd) == 0, path);
            free(block);
        }
        MPI_TRY(MPI_Barrier(b->comm.mpi));
        b->fd[k] = open(path, O_RDONLY);
        must(b->fd[k] >= 0, path);
        MPI_TRY(MPI_Barrier(b->comm.mpi));
        if (b->comm.me == 0)
            unlink(path); /* it goes with the last descriptor */
    }
}

static void print_row(const struct row *row, const struct cost *cost, const struct cost *rival, int runs,
                      double bytes, const char *state, FILE *json)
{
    double ratio[MAX_RUNS], cpu[MAX_RUNS], sec[MAX_RUNS], rival_sec[MAX_RUNS], least, most, a, b;
    double target = state[0] != 'w' && row->target > 0 ? 1 : row->target;
    char target_text[20] = "null";
    for (int i = 0; i < runs; i++) {
        sec[i] = cost[i].sec;
        rival_sec[i] = rival[i].sec;
        ratio[i] = rival[i].sec / cost[i].sec;
        cpu[i] = rival[i].cpu_sec / cost[i].cpu_sec;
    }
    double rate = bytes / median(sec, runs, &a, &b) / 1e9,
           rival_rate = bytes / median(rival_sec, runs, &a, &b) / 1e9, cpu_ratio = median(cpu, runs, &a, &b),
           mid = median(ratio, runs, &least, &most);
    printf(
        "%-40s %-6s %6.2f GB/s  pread 128 KiB %6.2f GB/s  ratio %.2f (%.2f to %.2f), by processor time %.2f "
        "(%.2f to %.2f)\n",
        row->name, state, rate, rival_rate, mid, least, most, cpu_ratio, a, b);
    if (target > 0)
        snprintf(target_text, sizeof target_text, "%.2f", target);
    if (json)
        fprintf(json,
                "{\"what\": \"read %s, %s\", \"rival\": \"pread 128 KiB\", \"ratio\": %.4g, \"least\": %.4g, "
                "\"most\": %.4g, \"target\": %s, \"gb_per_sec\": %.4g, \"rival_gb_per_sec\": %.4g, "
                "\"processor_time_ratio\": %.4g}\n",
                row->name, state, mid, least, most, target_text, rate, rival_rate, cpu_ratio);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"mb", required_argument, NULL, 'm'},     {"runs", required_argument, NULL, 'r'},
        {"passes", required_argument, NULL, 'p'}, {"cold", no_argument, NULL, 'c'},
        {"device", required_argument, NULL, 'd'}, {"only", required_argument, NULL, 'o'},
        {"json", required_argument, NULL, 'j'},   {0}};
    static const struct row rival = {WAY_PREAD, PIECE, "pread 128 KiB", 0};
    static struct cost cost[ROWS][MAX_RUNS], rival_cost[ROWS][MAX_RUNS];
    struct bench b = {.passes = 2};
    const char *json_path = NULL, *only = ""; /* only: how the names of the rows begin */
    int64_t mb = 512;
    int runs = 5, o, status = 0;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'm')
            mb = strtol(optarg, NULL, 10);
        else if (o == 'r')
            runs = (int)strtol(optarg, NULL, 10);
        else if (o == 'p')
            b.passes = (int)strtol(optarg, NULL, 10);
        else if (o == 'c')
            b.cold = 1;
        else if (o == 'd' && sscanf(optarg, "%lf,%lf", &device.rate, &device.latency) != 2)
            device.rate = -1;
        else if (o == 'o')
            only = optarg;
        else if (o == 'j')
            json_path = optarg;
    }
    if (argc - optind != 1 || runs < 1 || runs > MAX_RUNS || mb < 8 || device.rate < 0) {
        fprintf(stderr, "usage: bench_reader FOLDER [--mb N] [--runs N] [--passes N] [--cold | --device "
                        "RATE,LATENCY] [--json FILE]\n");
        return 2;
    }
    const char *state = device.rate > 0 ? "device" : b.cold ? "cold" : "warm";
    device.rate *= 1e6;
    device.latency *= 1e-6;
    MPI_Init(&argc, &argv);
    comm_init(&b.comm, MPI_COMM_WORLD);
    mem_init(&b.mem, 0);
    int64_t bytes = mb * 1000000 / MOST_BLOCK * MOST_BLOCK, blocks = bytes / MOST_BLOCK;
    open_files(&b, argv[optind], bytes);
    b.from = blocks * b.comm.me / b.comm.np * MOST_BLOCK;
    b.to = blocks * (b.comm.me + 1) / b.comm.np * MOST_BLOCK;
    for (int k = 0; k < SIDES; k++) {
        b.buf[k] = aligned_alloc(READAHEAD_ALIGN, MOST_BLOCK);
        must(b.buf[k] != NULL, "memory");
    }
    measure(&b, &rival);
    if (b.cold) {
        double left = 0;
        if (b.comm.me == 0) {
            posix_fadvise(b.fd[0], 0, 0, POSIX_FADV_DONTNEED);
            left = resident(b.fd[0], bytes);
        }
        comm_max_real(&b.comm, &left, 1);
        status = left > 0.1 ? 77 : 0;
        if (status && b.comm.me == 0)
            printf("bench_reader: %.0f %% of the file stay in the page cache: no cold rows\n", 100 * left);
    }
    for (int r = 0; r < runs && status == 0; r++)
        for (int i = 0; i < ROWS; i++) {
            if (strncmp(rows[i].name, only, strlen(only)) != 0)
                continue;
            rival_cost[i][r] = measure(&b, &rival);
            cost[i][r] = measure(&b, &rows[i]);
        }
    FILE *json = b.comm.me == 0 && json_path ? fopen(json_path, "a") : NULL;
    for (int i = 0; i < ROWS && status == 0 && b.comm.me == 0; i++)
        if (strncmp(rows[i].name, only, strlen(only)) == 0)
            print_row(&rows[i], cost[i], rival_cost[i], runs, 2.0 * (double)bytes, state, json);
    if (json)
        fclose(json);
    if (b.sum == 1)
        printf("%llu\n", (unsigned long long)b.sum);
    MPI_Finalize();
    return status;
}
