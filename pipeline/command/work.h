/* Work: what stands between a parsed command line and its verb: the config, the DAG, what is on disk, and
 * what the run is told of the machine. */
#ifndef SINEW_WORK_H
#define SINEW_WORK_H

#include "base/comm.h"
#include "command/cli.h"

/* Collective. Does what the command line says, to the end of its verb. command: the command line as text, for
 * the archive. mem: its budget becomes the config's; a: lifetime of the run. What is wrong with the config is
 * printed line by line. Errors: CONFIG, and the verb's. */
err_t work_do(const struct comm *c, struct cli *cli, const char *command, struct mem *mem, struct arena *a,
              struct err *e);

#endif
