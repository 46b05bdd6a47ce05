/* Command line: a verb, its options, and what it is to work on. */
#ifndef SINEW_CLI_H
#define SINEW_CLI_H

#include "base/err.h"
#include "command/verb.h"
#include "engine/selection.h"
#include "base/text.h"
#include "export/mask.h"

/* What `compare` is asked. All but scratch is argv's. */
struct compare_request {
    const char *base, *tuned;
    const char *logits_base, *logits_tuned; /* NULL: none */
    const char *weights, *adapter, *merge, *arithmetic, *rank, *memory, *unmatched, *rows, *mtp,
        *coverage; /* NULL: as by default */
    struct text_list rename;
    const char *report; /* folder that is kept; NULL: none */
    int json, print_config;
    const char *scratch; /* process 0's: folder of the run that is taken away; NULL: none */
};

/* What `plan` is asked. */
struct plan_request {
    const char *processes; /* numbers of them; NULL: as many as there are */
    int json, calibrate, probe;
};

/* All texts are argv's. */
struct cli {
    const struct verb *verb;
    const struct verb *about; /* whose help is wanted; NULL: the program's */
    const char *config;
    struct selection selection;
    const char *time_limit; /* NULL: it was not given */
    const char *share;      /* of the cells; NULL: all */
    const char *cell_index; /* numbers of cells; NULL: all */
    int take_over;          /* runs that give no sign of life have ended */
    struct export_request export;
    struct compare_request compare;
    struct plan_request plan;
    const char *machine; /* the file of its rates; NULL: that of the output folder, or what is assumed */
    const char *export_format; /* as it was given; NULL: it was not */
    int list_cells;            /* check tells of each cell where its checkpoints are, and no more */
    int keep_going;            /* run goes on after nodes that fail on their data */
    int list_all;              /* status has a line for each node */
    int full;                  /* verify computes updates again */
    const char *sample, *seed; /* of how many tensors, and which; NULL: they were not given */
    char **folders;            /* that init looks in */
    int nfolders;
    int verbose, quiet;
    int terse;         /* the verb's own wish: its answer alone on the standard output, no log */
    const char *shell; /* whose completion is wanted; NULL: bash */
};

/* The options of all verbs. */
extern const struct verb_option cli_options[];

/* Local. Parses argv. Errors: CONFIG (usage), of an unknown verb with the nearest. */
err_t cli_parse(struct cli *c, int argc, char **argv, struct arena *a, struct err *e);

/* Local. The words of a verb that works on one CONFIG. Errors: CONFIG. */
err_t cli_one_config(struct cli *c, int n, char **words, struct err *e);

#endif
