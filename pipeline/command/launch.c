#include "command/launch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
 * either of their interfaces to MPI. */
static int is_alone(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_", "PMI", "SLURM_PROCID=", "ALPS_", "PALS_"};
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
