/* Command line: verbs and their options. */
#ifndef SINEW_CLI_H
#define SINEW_CLI_H

#include "base/err.h"
#include "export/mask.h"
#include "engine/runner.h"

enum verb {
    VERB_CHECK,
    VERB_PLAN,
    VERB_RUN,
    VERB_STATUS,
    VERB_REPORT,
    VERB_EXPORT,
    VERB_HELP,
    VERB_VERSION,
    VERB_COUNT
};

struct cli {
    enum verb verb;
    enum verb help_on; /* with VERB_HELP: the verb asked about, or VERB_HELP for the whole */
    const char *config;
    struct selection selection;   /* lists are borrowed from argv through the arena */
    struct export_request export; /* with VERB_EXPORT; texts are borrowed from argv */
    int verbose, quiet;
};

/* Local. Parses argv. Errors: CONFIG (usage), with the nearest valid word. */
err_t cli_parse(struct cli *c, int argc, char **argv, struct arena *a, struct err *e);

/* Local. Prints the help of a verb (VERB_HELP: of the program) or the version on stdout. */
void cli_help(enum verb v);
void cli_version(void);

#endif
