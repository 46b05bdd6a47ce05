/* Spellings: one folder that a study names in two ways. */
#ifndef SINEW_SPELLINGS_H
#define SINEW_SPELLINGS_H

#include "engine/runner.h"

/* Process 0. Two bases that are one folder under two spellings are two bases to overlap: said in the log,
 * because nothing else shows it. Errors: SYSTEM (memory). */
err_t spellings_warn(const struct runner *r, struct err *e);

#endif
