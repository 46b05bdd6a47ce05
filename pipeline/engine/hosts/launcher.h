/* Launcher: the program that started this process, where it waits for a host that does not answer. */
#ifndef SINEW_LAUNCHER_H
#define SINEW_LAUNCHER_H

/* Local. For who is about to leave a job of which a part cannot be reached: where this process was started by
 * mpirun or its daemon, and that has not ended of itself some seconds later, it is killed: it would wait for
 * the daemon of the lost host for ever, and Open MPI 4.1's crashes there when it is asked to end. A process
 * of its own sees to that; this one goes on. Of another launcher, such as Slurm's, nothing is done: it has
 * limits of its own. Calls nothing that a thread of a program in any state may not. */
void launcher_end_soon(void);

#endif
