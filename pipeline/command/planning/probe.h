/* Probe: tries what a run asks of the file system of its output folder: locks, files that every host sees, a
 * write of all processes into one HDF5 file, that it is on the disk and reads back as it was; and says what
 * to set. */
#ifndef SINEW_PROBE_H
#define SINEW_PROBE_H

#include "engine/runner.h"

/* Collective. Works in a new folder below `in`, which is made where it is not there and removed by
 * scratch_remove; process 0 prints a line for each thing that was tried. *free_bytes: of the file system, on
 * process 0. Errors: SYSTEM where a run would not go well there. */
err_t probe_output(const struct runner *r, const char *in, double *free_bytes, struct err *e);

#endif
