/* Share: what process 0 alone knows of where to work, told to all. */
#ifndef SINEW_SHARE_H
#define SINEW_SHARE_H

#include "base/comm.h"
#include "base/mem.h"

/* Collective. Process 0's text, or NULL, to all; arena-owned. Errors: SYSTEM (memory). */
err_t share_text(const struct comm *c, const char **text, struct arena *a, struct err *e);

#endif
