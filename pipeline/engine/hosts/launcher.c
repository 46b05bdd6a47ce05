#include "engine/hosts/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { END_AFTER_SEC = 5, PATH_BYTES = 64, MOST_FILES = 4096 };

/* Is a process what /proc says is one of Open MPI's launchers? Its number may be another's by now. */
static int is_launcher(const char *comm_path)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted"};
    char name[32] = "";
    int fd = open(comm_path, O_RDONLY | O_CLOEXEC), known = 0;
    ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        known = known || (n > 0 && strncmp(name, names[i], strlen(names[i])) == 0);
    return known;
}

static void nap(int sec)
{
    const struct timespec t = {.tv_sec = sec};
    nanosleep(&t, NULL);
}

void launcher_end_soon(void)
{
    const pid_t parent = getppid();
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)parent);
    if (parent <= 1 || !is_launcher(path) || fork() != 0)
        return;
    setsid(); /* the launcher ends the groups of its processes, and waits for whoever holds their output */
    for (int fd = 0; fd < MOST_FILES; fd++)
        close(fd);
    nap(END_AFTER_SEC);
    if (is_launcher(path))
        kill(parent, SIGKILL);
    _exit(0);
}
