/* Outlook: what forecasts of a study say, for a reader on a terminal and for programs. */
#ifndef SINEW_OUTLOOK_H
#define SINEW_OUTLOOK_H

#include "base/text.h"
#include "engine/machine/forecast.h"

/* Forecasts of one study on numbers of processes, ascending. */
struct outlook {
    const struct machine *machine;
    const struct dag *dag;
    int n;
    const struct forecast *list;
    int64_t stops; /* processes from which twice as many gain less than a tenth; 0: none of those looked at */
    const char *stops_at; /* the stage that most time goes to there, and what bounds it */
};

/* Local. "1,16,256" as ascending numbers of processes. Errors: CONFIG (usage). */
err_t outlook_counts(const char *text, int64_t **counts, int *n, struct arena *a, struct err *e);

/* Local. A table of stages by numbers of processes, where scaling stops, and what was measured of it. */
err_t outlook_table(const struct outlook *o, struct text *out, struct err *e);

/* Local. What of this a machine model measured, what it assumed: a sentence or two. */
err_t outlook_model(const struct machine *m, const struct dag *d, struct text *out, struct err *e);

/* Local. The list of design's --json: one object for each number of processes. */
err_t outlook_json(const struct outlook *o, struct text *out, struct err *e);

#endif
