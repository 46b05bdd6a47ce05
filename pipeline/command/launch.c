#include "command/launch.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    ROOM_MIB = 480, /* of address space beside what is mapped by now: MPI, and OpenBLAS's 128 a thread */
    ROOM_DESCRIPTORS = 40, /* MPI's, and the files of a node */
    WANTED_DESCRIPTORS = 4096
};

static const char STEP_TASKS[] = "SLURM_STEP_NUM_TASKS";

static int is_first(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value)
            return strcmp(value, "0") == 0;
    }
    return 1;
}

/* The marks that launchers leave in the environment of what they start: mpirun, and srun and its kind with
 * either of their interfaces to MPI. SLURM_PROCID is none: the shell of a batch job has it too, and what that
 * starts by itself is alone. */
static int is_alone(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_", "PMI", "SLURM_STEP_NUM_TASKS=", "ALPS_", "PALS_"};
    for (char **v = environ; *v; v++)
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
            if (strncmp(*v, marks[i], strlen(marks[i])) == 0)
                return 0;
    return 1;
}

struct launch launch_look(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", STEP_TASKS};
    struct launch l = {.first = is_first(), .alone = is_alone()};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && l.tasks == 0; i++) {
        const char *value = getenv(sizes[i]);
        long n = value ? strtol(value, NULL, 10) : 0;
        l.tasks = n > 0 ? n : 0;
        l.by = sizes[i];
    }
    return l;
}

err_t launch_before_mpi(const struct launch *l, struct err *e)
{
    if (l->tasks == 0 || strcmp(l->by, STEP_TASKS) != 0 || getenv("PMIX_RANK") || getenv("PMI_RANK") ||
        getenv("PMI_FD"))
        return ERR_OK;
    if (l->tasks > 1)
        return err_set(
            e, ERR_CONFIG,
            "srun has started %ld tasks of sinew that do not know each other, and each would write the "
            "same files; start them with 'srun --mpi=pmix' or with mpirun, or one with 'srun -n 1'",
            l->tasks);
    unsetenv("SLURM_STEP_ID");
    unsetenv("SLURM_STEPID");
    return ERR_OK;
}

err_t launch_after_mpi(const struct launch *l, int np, struct err *e)
{
    if (np > 1 || l->tasks <= 1)
        return ERR_OK;
    return err_set(
        e, ERR_CONFIG,
        "%ld processes were started (%s), but MPI knows of one, and each would write the same files; "
        "start them with the mpirun of the MPI that sinew is built with, or with 'srun --mpi=pmix', or "
        "start one",
        l->tasks, l->by);
}

/* How many descriptors there are for this process, up to n. */
static int count_descriptors(int n)
{
    int fd[ROOM_DESCRIPTORS], got = 0;
    while (got < n && (fd[got] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
        got++;
    for (int i = 0; i < got; i++)
        close(fd[i]);
    return got;
}

static err_t room_of_descriptors(struct err *e)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < WANTED_DESCRIPTORS &&
        limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < WANTED_DESCRIPTORS ? limit.rlim_max : WANTED_DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int got = count_descriptors(ROOM_DESCRIPTORS);
    if (got >= ROOM_DESCRIPTORS)
        return ERR_OK;
    return err_set(
        e, ERR_SYSTEM,
        "this process can open %d files at a time, and starting takes %d; raise the limit (ulimit -n %d)",
        got, ROOM_DESCRIPTORS, 4 * ROOM_DESCRIPTORS);
}

static err_t room_of_addresses(struct err *e)
{
    static const struct {
        int which;
        const char *name;
    } limits[] = {{RLIMIT_AS, "ulimit -v"}, {RLIMIT_DATA, "ulimit -d"}};
    const size_t bytes = (size_t)ROOM_MIB << 20;
    for (int i = 0; i < 2; i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
            continue;
        void *p =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return err_set(
                e, ERR_SYSTEM,
                "this process may map %lld MiB (%s), and to start MPI and BLAS takes about %d MiB beside "
                "memory_per_process; raise the limit, and bound memory by memory_per_process, which "
                "counts what is used",
                (long long)(limit.rlim_cur >> 20), limits[i].name, ROOM_MIB + 120);
        munmap(p, bytes);
    }
    return ERR_OK;
}

err_t launch_room(struct err *e)
{
    TRY(room_of_descriptors(e));
    return room_of_addresses(e);
}
