/* Standing: what the jobs of an output folder are at, as status tells it. */
#ifndef SINEW_STANDING_H
#define SINEW_STANDING_H

#include "base/dict.h"
#include "engine/state/jobs.h"

struct standing {
    struct job_record *jobs;
    int n;
    struct dict at; /* hash of an artifact's path: which of all jobs' processes is at it, counted through */
};

/* Local. Reads the jobs of an output folder. Errors: SYSTEM (memory). */
err_t standing_read(struct standing *s, const char *output, struct arena *a, struct err *e);

/* Local. A line for each job on the standard output; one of a run that ended early in good order. */
void standing_put(const struct standing *s, const char *output, const char *config);

/* Local. Who is at this artifact, or was when it was killed; NULL where nobody is. why: out, in words, of
 * size bytes. */
const struct job_record *standing_at(const struct standing *s, const char *artifact, char *why, int size);

#endif
