/* Devices: what disks and processes give each other, measured with plain files and messages. */
#ifndef SINEW_DEVICES_H
#define SINEW_DEVICES_H

#include "base/comm.h"
#include "base/mem.h"
#include "engine/machine/machine.h"

/* Collective. Measures into m (process 0's) what it holds of disks (reading of checkpoint, a file, or of what
 * was written where it is NULL or small; writing in folder), of flushing, agreeing and crowding; with one
 * process the host's rates are those of that one. Errors: SYSTEM. */
err_t devices_measure(const struct comm *c, const char *folder, const char *checkpoint, struct machine *m,
                      struct arena *a, struct err *e);

#endif
