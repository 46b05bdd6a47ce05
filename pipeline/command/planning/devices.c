#include "command/planning/devices.h"

#include "base/file.h"
#include "base/log.h"
#include "engine/hosts/hosts.h"
#include "linalg/gram.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 1 << 20, /* bytes at once */
    PIECES = 192,    /* of a file that a process writes and reads */
    PASSES = 3,      /* together: the first waits for memory that the system has not at hand, as a run does */
    FLUSHES = 12,    /* small files */
    AGREEMENTS = 200,
    LINKS = 6,              /* sums of which the quickest counts */
    LINK_WORDS = 512 << 10, /* of each */
    LOADS = 6,              /* pieces of work of which the median counts */
    LOAD_COLUMNS = 768,
    LOAD_ROWS = 512
};
static const double LONGEST_SEC = 8; /* of all passes over a disk, beside its flushes */

static err_t failed(const char *what, const char *path, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "%s: %s: %s", path, what, strerror(errno));
}

/* ---- disks ---- */

/* Writes a file until it is on the disk. *rate: bytes a second. */
static err_t write_once(const char *path, char *piece, double *rate, struct err *e)
{
    int fd;
    int64_t bytes = 0;
    double started = clock_sec();
    TRY(file_create(path, &fd, e));
    for (int i = 0; i < PIECES && e->code == ERR_OK; i++) {
        errno = 0; /* a short write has no reason of its own */
        if (write(fd, piece, PIECE) != PIECE)
            file_cannot(e, path, "written", errno ? errno : ENOSPC, PIECE, (int64_t)PIECES * PIECE);
        bytes += PIECE;
        if (clock_sec() - started > LONGEST_SEC / PASSES)
            break;
    }
    if (e->code == ERR_OK && fsync(fd) != 0)
        file_cannot(e, path, "flushed to the disk", errno, 0, (int64_t)PIECES * PIECE);
    close(fd);
    *rate = (double)bytes / fmax(1e-6, clock_sec() - started);
    return e->code;
}

/* Reads from byte `at` on what is not in memory: the file system is asked to forget it first, and may not. */
static err_t read_once(const char *path, int64_t at, char *piece, double *rate, struct err *e)
{
    int fd;
    int64_t bytes = 0;
    struct file_stamp stamp;
    TRY(file_open(path, &fd, &stamp, e));
    posix_fadvise(fd, at, (off_t)PIECES * PIECE, POSIX_FADV_DONTNEED);
    double started = clock_sec();
    for (int i = 0; i < PIECES && clock_sec() - started < LONGEST_SEC / PASSES; i++) {
        ssize_t n = pread(fd, piece, PIECE, at + bytes);
        if (n < 0)
            failed("cannot be read", path, e);
        if (n <= 0)
            break;
        bytes += n;
    }
    close(fd);
    *rate = (double)bytes / fmax(1e-6, clock_sec() - started);
    return e->code;
}

/* The rate of as many bytes in each pass. */
static double rate_of_passes(const double rates[PASSES])
{
    double sec_per_byte = 0;
    for (int i = 0; i < PASSES; i++)
        sec_per_byte += 1 / fmax(1, rates[i]) / PASSES;
    return 1 / sec_per_byte;
}

/* The file is left for reading it. */
static err_t write_file(const char *path, char *piece, double *rate, struct err *e)
{
    double rates[PASSES];
    for (int i = 0; i < PASSES; i++) {
        if (i > 0)
            unlink(path);
        TRY(write_once(path, piece, &rates[i], e));
    }
    *rate = rate_of_passes(rates);
    return ERR_OK;
}

static err_t read_file(const char *path, int64_t at, char *piece, double *rate, struct err *e)
{
    double rates[PASSES];
    for (int i = 0; i < PASSES; i++)
        TRY(read_once(path, at, piece, &rates[i], e));
    *rate = rate_of_passes(rates);
    return ERR_OK;
}

/* Seconds until a small file is complete under its name. */
static err_t flush_files(const char *folder, double *sec, struct arena *a, struct err *e)
{
    double started = clock_sec();
    for (int i = 0; i < FLUSHES; i++) {
        char *path = arena_printf(a, e, "%s/flush-%d", folder, i);
        if (!path)
            return e->code;
        TRY(file_write(path, "sinew\n", 6, e));
        unlink(path);
    }
    *sec = (clock_sec() - started) / FLUSHES;
    return ERR_OK;
}

/* ---- processes ---- */

/* Processor seconds of a piece of work as rank has it: memory and arithmetic. */
static double work_once(double *gram, float *panel, struct gram_lists *lists)
{
    double before = processor_sec();
    int64_t ld = gram_stride(LOAD_COLUMNS);
    for (int i = 0; i < LOAD_ROWS * LOAD_COLUMNS; i++)
        panel[i] = (i * 7 + i / 13) % 5 == 0 ? (float)(i % 1000) : 0;
    gram_list(panel, LOAD_ROWS, LOAD_COLUMNS, lists);
    gram_add(gram, LOAD_COLUMNS, ld, panel, LOAD_ROWS, lists);
    return processor_sec() - before;
}

/* Collective. The least time of a piece of work: of process 0 by itself, then of all at once. */
static err_t measure_crowding(const struct comm *c, double *crowding, struct arena *a, struct err *e)
{
    double *gram, alone = INFINITY, together = INFINITY;
    float *panel;
    struct gram_lists lists = {0};
    arena_array(a, "calibration.gram", LOAD_COLUMNS * gram_stride(LOAD_COLUMNS), &gram, e);
    arena_array(a, "calibration.panel", LOAD_COLUMNS * LOAD_ROWS, &panel, e);
    gram_lists_room(&lists, LOAD_COLUMNS, a, e);
    TRY_ALL(c, e);
    for (int i = 0; i < LOADS && c->me == 0; i++)
        alone = fmin(alone, work_once(gram, panel, &lists));
    comm_rest(c);
    for (int i = 0; i < LOADS; i++)
        together = fmin(together, work_once(gram, panel, &lists));
    comm_max_real(c, &together, 1);
    *crowding = fmax(1, together / alone);
    return ERR_OK;
}

/* Collective. Seconds of an agreement, by each doubling of the processes. */
static err_t measure_agreement(const struct comm *c, double *sec, struct err *e)
{
    comm_agree(c, e);
    double started = clock_sec();
    for (int i = 0; i < AGREEMENTS; i++)
        comm_agree(c, e);
    *sec = (clock_sec() - started) / AGREEMENTS / fmax(1, log2(c->np));
    return e->code;
}

/* Collective. Bytes that process 0 and another one add up in a second, as stages do at the end of a node. */
static void measure_link(const struct comm *c, int other, int64_t *words, double *rate)
{
    MPI_Comm both;
    struct comm pair;
    double least = INFINITY;
    MPI_TRY(MPI_Comm_split(c->mpi, c->me == 0 || c->me == other ? 0 : MPI_UNDEFINED, c->me, &both));
    if (both != MPI_COMM_NULL) {
        comm_init(&pair, both);
        for (int i = 0; i < LINKS; i++) {
            double started = clock_sec();
            comm_sum(&pair, words, LINK_WORDS);
            least = fmin(least, clock_sec() - started);
        }
        MPI_TRY(MPI_Comm_free(&both));
        *rate = LINK_WORDS * 8 / fmax(1e-9, least);
    }
    comm_bcast(c, rate, (int64_t)sizeof *rate, 0);
}

/* Collective. The links of process 0 to the first other one of its host, and to the first of another; where
 * there is no such, a link to another host is at least known to be no faster than within this one. */
static err_t measure_links(const struct comm *c, const struct hosts *h, struct machine *m, struct arena *a,
                           struct err *e)
{
    int64_t *words;
    int near = 1, far = 1;
    arena_array(a, "calibration.words", LINK_WORDS, &words, e);
    TRY_ALL(c, e);
    while (near < c->np && h->first[near] != h->first[0])
        near++;
    while (far < c->np && h->first[far] == h->first[0])
        far++;
    if (near < c->np)
        measure_link(c, near, words, &m->link_host);
    if (far < c->np)
        measure_link(c, far, words, &m->link);
    else
        m->link = fmin(m->link, m->link_host);
    return ERR_OK;
}

/* ---- all ---- */

/* Processes of process 0's host. */
static int of_host(const struct hosts *h, int np)
{
    int n = 0;
    for (int p = 0; p < np; p++)
        n += h->first[p] == h->first[0];
    return n;
}

/* Collective. Rates of all processes at once: of each the mean, of a host and of all the sums; where there is
 * but one process or host, the larger numbers are known to be no less. */
static void take_rates(const struct comm *c, int host, double mine, double *process, double *host_rate,
                       double *all)
{
    double sum = mine, most = mine;
    MPI_TRY(MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, c->mpi));
    comm_max_real(c, &most, 1);
    *process = most;
    *host_rate = sum / c->np * host;
    *all = host < c->np ? sum : fmax(*all, *host_rate);
}

err_t devices_measure(const struct comm *c, const char *folder, const char *checkpoint, struct machine *m,
                      struct arena *a, struct err *e)
{
    char *piece, *path = arena_printf(a, e, "%s/device-%d", folder, c->me);
    struct hosts hosts;
    TRY(hosts_gather(&hosts, c, a, e));
    int host = of_host(&hosts, c->np);
    double rate = 0;
    struct file_stamp stamp = {0};
    if (arena_array(a, "calibration.piece", PIECE, &piece, e) == ERR_OK)
        memset(piece, 'x', PIECE);
    TRY_ALL(c, e);
    write_file(path, piece, &rate, e);
    TRY_ALL(c, e);
    take_rates(c, host, rate, &m->write_process, &m->write_host, &m->write_all);
    int64_t part = 0;
    if (checkpoint && file_stamp_of(checkpoint, &stamp) && stamp.size_bytes / c->np >= (int64_t)16 * PIECE)
        part = stamp.size_bytes / c->np * c->me; /* each its own part */
    else
        checkpoint = path;
    read_file(checkpoint, part, piece, &rate, e);
    TRY_ALL(c, e);
    take_rates(c, host, rate, &m->read_process, &m->read_host, &m->read_all);
    unlink(path);
    if (c->me == 0)
        flush_files(folder, &m->flush_sec, a, e);
    TRY_ALL(c, e);
    if (c->np == 1)
        return ERR_OK;
    m->processes_per_host = host > m->processes_per_host ? host : m->processes_per_host;
    TRY(measure_agreement(c, &m->agree_sec, e));
    TRY(measure_links(c, &hosts, m, a, e));
    return measure_crowding(c, &m->crowding, a, e);
}
