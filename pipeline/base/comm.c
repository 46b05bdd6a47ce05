#include "base/comm.h"

#include "base/log.h"
#include "base/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PASS = 1 << 28
}; /* elements or bytes per MPI call: far below the 2^31 where MPI-IO and counts break */

void comm_check(int mpi_status, const char *call, const char *file, int line)
{
    if (mpi_status == MPI_SUCCESS)
        return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0, me = -1;
    MPI_Error_string(mpi_status, text, &n);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    terminal_wipe_any(stderr);
    fprintf(stderr, "sinew: internal error: process %d: %s:%d: %.60s: %s\n", me, file, line, call, text);
    fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, err_status(ERR_BUG));
}

void comm_init(struct comm *c, MPI_Comm mpi)
{
    *c = (struct comm){.mpi = mpi};
    MPI_TRY(MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN));
    MPI_TRY(MPI_Comm_rank(mpi, &c->me));
    MPI_TRY(MPI_Comm_size(mpi, &c->np));
}

void comm_start(struct comm *world, int alone, int *argc, char ***argv)
{
    static const char *const settings[][2] = {
        {"OMPI_MCA_ess_singleton_isolated", "1"},
        {"OMPI_MCA_orte_create_session_dirs", "0"}, /* all such processes of a host would share one, and
                                                       remove it under each other */
        {"OMPI_MCA_pml", "ob1"},
        {"OMPI_MCA_btl", "self"},
        {"OMPI_MCA_osc", "^ucx"},
    };
    for (size_t i = 0; alone && i < sizeof settings / sizeof settings[0]; i++)
        setenv(settings[i][0], settings[i][1], 0);
    double before = clock_sec();
    MPI_Init(argc, argv);
    comm_init(world, MPI_COMM_WORLD);
    world->start_sec = clock_sec() - before;
}

void comm_init_within(struct comm *part, const struct comm *c, MPI_Comm mpi)
{
    comm_init(part, mpi);
    part->interrupt = c->interrupt;
    part->interrupt_arg = c->interrupt_arg;
}

err_t comm_asked(const struct comm *c, struct err *e)
{
    if (c->interrupt && e->code == ERR_OK)
        c->interrupt(c->interrupt_arg, e);
    return e->code;
}

err_t(comm_agree)(const struct comm *c, struct err *e)
{
    comm_asked(c, e);
    if (c->np == 1) {
        if (e->code != ERR_OK && e->process < 0) {
            e->process = c->me;
            gethostname(e->host, sizeof e->host - 1);
        }
        return e->code;
    }
    struct {
        int code, process;
    } mine = {(int)e->code, c->me}, worst;
    MPI_TRY(MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, c->mpi));
    if (worst.code == ERR_OK)
        return ERR_OK;
    if (worst.process == c->me && e->process < 0) {
        e->process = c->me;
        gethostname(e->host, sizeof e->host - 1);
    }
    comm_bcast(c, e, (int64_t)sizeof *e, worst.process);
    return e->code;
}

void comm_rest(const struct comm *c)
{
    enum { SPINS = 200, ASK_EVERY = 64 };
    const struct timespec nap = {.tv_nsec = 200000};
    int all = 0;
    MPI_Request request;
    struct err asked; /* the next agreement brings it */
    if (c->np == 1)
        return;
    MPI_TRY(MPI_Ibarrier(c->mpi, &request));
    for (int i = 0; !all; i++) {
        if (i >= SPINS)
            nanosleep(&nap, NULL);
        if (i >= SPINS && i % ASK_EVERY == 0) {
            err_clear(&asked);
            comm_asked(c, &asked);
        }
        MPI_TRY(MPI_Test(&request, &all, MPI_STATUS_IGNORE));
    }
}

void comm_abort(const struct comm *c, const struct err *e)
{
    int me = c->me;
    MPI_Comm_rank(MPI_COMM_WORLD, &me); /* teams beside each other may fail together, too */
    usleep((useconds_t)me * 100000);    /* mostly all see it: the first to speak ends the others */
    terminal_wipe_any(stderr);
    fprintf(stderr, "sinew: %s: %s\n", err_name(e->code), e->text);
    fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, err_status(e->code));
    _exit(err_status(e->code));
}

void comm_bcast(const struct comm *c, void *buf, int64_t n, int from)
{
    if (c->np == 1)
        return;
    for (int64_t at = 0; at < n; at += PASS) {
        int64_t part = n - at < PASS ? n - at : PASS;
        MPI_TRY(MPI_Bcast((char *)buf + at, (int)part, MPI_BYTE, from, c->mpi));
    }
}

static void allreduce(const struct comm *c, void *v, int64_t n, MPI_Datatype type, MPI_Op op)
{
    if (c->np == 1)
        return;
    int64_t pass = PASS / 8;
    for (int64_t at = 0; at < n; at += pass) {
        int64_t part = n - at < pass ? n - at : pass;
        MPI_TRY(MPI_Allreduce(MPI_IN_PLACE, (char *)v + 8 * at, (int)part, type, op, c->mpi));
    }
}

static void reduce_to_root(const struct comm *c, void *v, int64_t n, MPI_Datatype type, MPI_Op op)
{
    if (c->np == 1)
        return;
    int64_t pass = PASS / 8;
    for (int64_t at = 0; at < n; at += pass) {
        int64_t part = n - at < pass ? n - at : pass;
        char *p = (char *)v + 8 * at;
        MPI_TRY(MPI_Reduce(c->me == 0 ? MPI_IN_PLACE : p, p, (int)part, type, op, 0, c->mpi));
    }
}

void comm_sum(const struct comm *c, int64_t *v, int64_t n)
{
    allreduce(c, v, n, MPI_INT64_T, MPI_SUM);
}

void comm_max(const struct comm *c, int64_t *v, int64_t n)
{
    allreduce(c, v, n, MPI_INT64_T, MPI_MAX);
}

void comm_max_real(const struct comm *c, double *v, int64_t n)
{
    allreduce(c, v, n, MPI_DOUBLE, MPI_MAX);
}

void comm_sum_to_root(const struct comm *c, int64_t *v, int64_t n)
{
    reduce_to_root(c, v, n, MPI_INT64_T, MPI_SUM);
}

void comm_max_real_to_root(const struct comm *c, double *v, int64_t n)
{
    reduce_to_root(c, v, n, MPI_DOUBLE, MPI_MAX);
}

/* ---- memory in common ---- */

enum { SHARED_NAME = 64 };

/* Process 0. A new piece of memory under a name that no other run has; -1. */
static int make_shared(size_t bytes, char name[SHARED_NAME])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name, SHARED_NAME, "/sinew-%lld-%lld%09ld", (long long)getpid(), (long long)now.tv_sec,
             now.tv_nsec);
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) != 0) { /* else what is full is told by a signal */
        close(fd);
        shm_unlink(name);
        fd = -1;
    }
    return fd;
}

int comm_share(const struct comm *c, size_t bytes, struct comm_shared *s)
{
    char name[SHARED_NAME] = "";
    struct stat st;
    int64_t lacks = 0;
    *s = (struct comm_shared){NULL, bytes};
    int fd = c->me == 0 ? make_shared(bytes, name) : -1;
    if (c->me == 0 && fd < 0)
        name[0] = '\0';
    comm_bcast(c, name, SHARED_NAME, 0);
    if (c->me > 0 && name[0])
        fd = shm_open(name, O_RDWR, 0);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)bytes)
        s->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (s->memory == MAP_FAILED)
        s->memory = NULL;
    lacks = !s->memory;
    comm_max(c, &lacks, 1); /* all have opened it, or have not */
    if (c->me == 0 && name[0])
        shm_unlink(name);
    if (lacks)
        comm_share_end(s);
    return !lacks;
}

void comm_share_end(struct comm_shared *s)
{
    if (s->memory)
        munmap(s->memory, s->bytes);
    s->memory = NULL;
}

int comm_levels(int np)
{
    int levels = 0;
    while (((int64_t)1 << levels) < np)
        levels++;
    return levels;
}

void comm_team_range(int np, int level, int team, int *from, int *to)
{
    *from = (int)(((int64_t)np * team) >> level);
    *to = (int)(((int64_t)np * (team + 1)) >> level);
}

/* The last team that begins at `me` or before it: the largest k with floor(np * k / 2^level) <= me. */
int comm_team_of(int np, int level, int me)
{
    return (int)(((((int64_t)me + 1) << level) - 1) / np);
}

void comm_team(const struct comm *c, int level, struct comm *team)
{
    int from, to, mine = comm_team_of(c->np, level, c->me);
    if (level == 0) {
        *team = *c;
        return;
    }
    comm_team_range(c->np, level, mine, &from, &to);
    MPI_Comm mpi = MPI_COMM_SELF;
    if (level < comm_levels(c->np)) {
        MPI_TRY(MPI_Comm_split(c->mpi, to - from > 1 ? mine : MPI_UNDEFINED, c->me, &mpi));
        if (mpi == MPI_COMM_NULL)
            mpi = MPI_COMM_SELF;
    }
    comm_init_within(team, c, mpi);
}

void comm_team_free(const struct comm *c, struct comm *team)
{
    if (team->mpi != MPI_COMM_SELF && team->mpi != c->mpi)
        MPI_TRY(MPI_Comm_free(&team->mpi));
    team->mpi = MPI_COMM_NULL;
}

void comm_gather_start(const struct comm *c, struct comm_gather *g)
{
    MPI_TRY(MPI_Iallgather(g->mine, COMM_GATHER, MPI_INT64_T, g->all, COMM_GATHER, MPI_INT64_T, c->mpi,
                           &g->request));
}

void comm_gather_end(struct comm_gather *g)
{
    MPI_TRY(MPI_Wait(&g->request, MPI_STATUS_IGNORE));
}

void split(int64_t n, int np, int me, int64_t *from, int64_t *to)
{
    int64_t share = n / np, rest = n % np;
    *from = me * share + (me < rest ? me : rest);
    *to = *from + share + (me < rest ? 1 : 0);
}
