/* Calibration: measures a machine. Small simulated studies run in a scratch folder, each of another shape,
 * and from the processor time of their nodes follow the rates of every kind of work that their stages declare
 * (fit.h); disks, flushing, agreeing and crowding are measured with plain files and messages (devices.h).
 *
 * Work is told in processor time, which others on the machine hardly change; what waits for a disk is told in
 * wall time. One process does the studies; with several, disks and crowding are measured with all of them. */
#ifndef SINEW_CALIBRATION_H
#define SINEW_CALIBRATION_H

#include "engine/runner.h"

/* Collective. Measures this machine in a new folder below `in`, which is made where it is not there and
 * removed by scratch_remove (engine/scratch.h); checkpoint: a file to read, NULL: none. m: on process 0 what
 * is assumed, then what was measured; arena-owned. Errors: SYSTEM; what the studies give. */
err_t calibration_measure(const struct runner *r, const char *in, const char *checkpoint, struct machine *m,
                          struct err *e);

#endif
