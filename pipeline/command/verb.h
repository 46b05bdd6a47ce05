/* Verbs: what the first word of the command line has sinew do.
 *
 * A verb is a file of verbs/ with one exported const table at its bottom, and a line in the table of verb.c.
 * All that is said of it is told from the table: the help, the manual, the complaints about options.
 */
#ifndef SINEW_VERB_H
#define SINEW_VERB_H

#include "base/comm.h"
#include "base/err.h"

#include <stddef.h>

struct arena;
struct cli;
struct runner;
struct text;
struct verb;

enum option_kind {
    OPTION_FLAG, /* offset: of an int, which becomes 1 */
    OPTION_TEXT, /* of a const char *; the last one counts */
    OPTION_LIST, /* of a struct text_list, which has room for all */
    OPTION_VERB  /* stands for a verb, about the one that was named */
};

struct verb_option {
    const char *name;      /* --name; NULL ends a list */
    char letter;           /* -l; '\0': it has none */
    const char *argument;  /* what the help calls its value; NULL: it takes none */
    const char *help;      /* lines; NULL: not listed */
    enum option_kind kind; /* where its value goes in struct cli */
    size_t offset;
    const struct verb *verb; /* with OPTION_VERB */
};

enum verb_place {
    VERB_FIRST,  /* listed by --help */
    VERB_SECOND, /* found, and meant by a misspelt word */
    VERB_HIDDEN  /* found */
};

/* Says something, looks at something, or runs on a study. */
struct verb {
    const char *name, *args, *brief;
    const char *more; /* lines behind its options; "": there are none */
    enum verb_place place;
    const struct verb_option *options; /* its own, beside those of all verbs; NULL: none. An option of several
                                          verbs is named, lettered and valued alike in all */

    int stops; /* asked by a signal to end early it does so in good order (engine/stop.h) */

    /* Local, on every process, before the study. Signals that it takes otherwise. NULL: none. */
    void (*listen)(const struct cli *c, const struct comm *world);

    /* Local. What is left of the command line beside options. NULL: one CONFIG. Errors: CONFIG. */
    err_t (*words)(struct cli *c, int n, char **words, struct err *e);

    /* Local, on stdout, before MPI is started; then no study is read. */
    void (*say)(const struct cli *c);

    /* Local, on stdout, likewise, for what may fail. a: its memory. Errors: as it says. */
    err_t (*look)(const struct cli *c, struct arena *a, struct err *e);

    /* Local, process 0's. Of a verb that works on no CONFIG: the study that it runs instead, as YAML, added
     * to out. What is made for it on the way is taken away by `end`. NULL: CONFIG is read. Errors: as it
     * says. */
    err_t (*study)(struct cli *c, struct text *out, struct arena *a, struct err *e);

    /* Collective. */
    err_t (*run)(struct runner *r, const struct cli *c, struct err *e);

    /* Local. A failure in the words of the command line, where the verb's own study is not the user's. NULL:
     * it is told as it is. */
    void (*reword)(struct err *failure, struct arena *a);

    /* Local, process 0's, after everything, whatever became of it. NULL: nothing is left to do. */
    void (*end)(const struct cli *c);
};

/* In the order in which they are listed, NULL behind the last. */
extern const struct verb *const verb_table[];

/* Those that options of all verbs stand for. */
extern const struct verb verb_help, verb_version;

/* Local. The verb of this name. Errors: CONFIG with the nearest. */
err_t verb_find(const char *name, const struct verb **out, struct err *e);

/* Local. The option of this name among the verb's own; NULL where there is none. */
const struct verb_option *verb_option(const struct verb *v, const char *name);

#endif
