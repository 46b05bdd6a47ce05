/* gnuplot, behind one file: found in PATH, run on a script, never through a shell.
 *
 * It runs as a child of one process, started by posix_spawn, which copies no memory: safe under MPI, whose
 * memory may be registered with the network. The child inherits nothing but the environment; it reads no
 * start-up file, its standard input is empty, and what it says goes into a file beside the script. */
#ifndef SINEW_GNUPLOT_H
#define SINEW_GNUPLOT_H

#include "base/err.h"
#include "base/mem.h"

/* Local. The path of the program in PATH, arena-owned; NULL where there is none (or e is set). */
const char *gnuplot_find(struct arena *a, struct err *e);

/* Local. Runs the script, a file name in folder dir, with dir as the current folder, for at most limit_sec
 * seconds; after that it is killed. Returns 0 where it has ended well, else -1 with the reason in problem
 * (size bytes): a picture that cannot be drawn is no failure of the study. */
int gnuplot_run(const char *program, const char *dir, const char *script, double limit_sec, char *problem,
                int size);

#endif
