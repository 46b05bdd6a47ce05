#include "command/cli.h"

#include "base/text.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_VALUE = 256 }; /* of long options for getopt; below it are letters */

const struct verb_option cli_options[] = {
    {"verbose", 'v', NULL, "a line per node", OPTION_FLAG, offsetof(struct cli, verbose), NULL},
    {"quiet", 'q', NULL, "errors and results only", OPTION_FLAG, offsetof(struct cli, quiet), NULL},
    {"help", 'h', NULL, "this text", OPTION_VERB, 0, &verb_help},
    {"version", '\0', NULL, NULL, OPTION_VERB, 0, &verb_version},
    {0},
};

/* Every option of every verb, each once: an option that the verb does not have is known by the one that has
 * it. */
struct known_option {
    const struct verb_option *option;
    int owner; /* the first verb that has it, by its number in the table; -1: all have it */
};

struct known_options {
    int n;
    struct known_option *list;
    struct option *longs; /* the same for getopt, its end behind the last */
    char *letters;        /* ":s:c:fv" */
};

static int count_options(const struct verb_option *o)
{
    int n = 0;
    while (o && o[n].name)
        n++;
    return n;
}

static void add_options(struct known_options *k, const struct verb_option *o, int owner)
{
    for (; o && o->name; o++) {
        int known = 0;
        for (int i = 0; i < k->n && !known; i++)
            known = strcmp(k->list[i].option->name, o->name) == 0;
        if (known)
            continue;
        k->longs[k->n] =
            (struct option){o->name, o->argument ? required_argument : no_argument, NULL, FIRST_VALUE + k->n};
        k->list[k->n++] = (struct known_option){o, owner};
        size_t used = strlen(k->letters);
        if (o->letter)
            k->letters[used++] = o->letter;
        if (o->letter && o->argument)
            k->letters[used++] = ':';
        k->letters[used] = '\0';
    }
}

static err_t know_options(struct known_options *k, struct arena *a, struct err *e)
{
    int n = count_options(cli_options);
    for (int i = 0; verb_table[i]; i++)
        n += count_options(verb_table[i]->options);
    *k = (struct known_options){0};
    TRY(arena_array(a, "cli.options", n, &k->list, e));
    TRY(arena_array(a, "cli.options", n + 1, &k->longs, e));
    TRY(arena_array(a, "cli.options", 2 * (int64_t)n + 2, &k->letters, e));
    k->letters[0] = ':'; /* getopt then tells an option without its value from an unknown one */
    add_options(k, cli_options, -1);
    for (int i = 0; verb_table[i]; i++)
        add_options(k, verb_table[i]->options, i);
    return ERR_OK;
}

/* The option that getopt found. */
static const struct known_option *found_option(const struct known_options *k, int value)
{
    if (value >= FIRST_VALUE)
        return &k->list[value - FIRST_VALUE];
    for (int i = 0; i < k->n; i++)
        if (k->list[i].option->letter == value)
            return &k->list[i];
    return NULL;
}

/* Puts an option's value where it goes. 1 where that ends the command line: it stands for another verb. */
static int take_option(struct cli *c, const struct verb_option *o, const char *value)
{
    char *at = (char *)c + o->offset;
    switch (o->kind) {
    case OPTION_FLAG:
        *(int *)at = 1;
        break;
    case OPTION_TEXT:
        *(const char **)at = value;
        break;
    case OPTION_LIST: {
        struct text_list *list = (struct text_list *)at;
        list->v[list->n++] = value;
        break;
    }
    case OPTION_VERB:
        c->about = c->verb;
        c->verb = o->verb;
        return 1;
    }
    return 0;
}

/* CONFIG: these are another verb's options, all that the verb has not. */
static err_t refuse_foreign(const struct verb *v, const struct known_options *k, int owner, struct err *e)
{
    char names[200] = "";
    int n = 0, all = 0;
    for (int i = 0; i < k->n; i++)
        all += k->list[i].owner == owner && !verb_option(v, k->list[i].option->name);
    for (int i = 0; i < k->n; i++) {
        if (k->list[i].owner != owner || verb_option(v, k->list[i].option->name))
            continue;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s--%s",
                 n == 0         ? ""
                 : n == all - 1 ? " and "
                                : ", ",
                 k->list[i].option->name);
        n++;
    }
    return err_set(e, ERR_CONFIG, "%s %s of 'sinew %s', not of 'sinew %s'", names,
                   all == 1 ? "is an option" : "are options", verb_table[owner]->name, v->name);
}

err_t cli_one_config(struct cli *c, int n, char **words, struct err *e)
{
    if (n != 1)
        return err_set(e, ERR_CONFIG,
                       "'sinew %s' wants one CONFIG file, %d given; 'sinew %s --help' explains",
                       c->verb->name, n, c->verb->name);
    c->config = words[0];
    return ERR_OK;
}

/* argv[0] is the verb. */
static err_t parse_options(struct cli *c, int argc, char **argv, struct arena *a, struct err *e)
{
    struct known_options known;
    const struct verb *v = c->verb;
    int value, foreign = -1; /* whose option was given: the last such verb's is complained of */
    TRY(know_options(&known, a, e));
    opterr = 0;
    optind = 0; /* has getopt begin anew */
    while ((value = getopt_long(argc, argv, known.letters, known.longs, NULL)) != -1) {
        if (value == ':')
            return err_set(e, ERR_CONFIG, "option '%s' wants a value; 'sinew %s --help' explains",
                           argv[optind - 1], v->name);
        const struct known_option *k = found_option(&known, value);
        if (!k)
            return err_set(e, ERR_CONFIG, "unknown option '%s'; 'sinew %s --help' lists them",
                           argv[optind - 1], v->name);
        const struct verb_option *own = verb_option(v, k->option->name);
        if (!own && k->owner >= 0)
            foreign = k->owner > foreign ? k->owner : foreign;
        else if (take_option(c, own ? own : k->option, optarg))
            return ERR_OK;
    }
    if (foreign >= 0 && !v->say)
        return refuse_foreign(v, &known, foreign, e);
    return (v->words ? v->words : cli_one_config)(c, argc - optind, argv + optind, e);
}

/* CONFIG: the verbs that --help lists. */
static err_t refuse_nothing(struct err *e)
{
    char names[200] = "";
    int n = 0, all = 0;
    for (int i = 0; verb_table[i]; i++)
        all += verb_table[i]->place == VERB_FIRST;
    for (int i = 0; verb_table[i]; i++) {
        if (verb_table[i]->place != VERB_FIRST)
            continue;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s",
                 n == 0         ? ""
                 : n == all - 1 ? " or "
                                : ", ",
                 verb_table[i]->name);
        n++;
    }
    return err_set(e, ERR_CONFIG, "a verb is wanted: %s; 'sinew --help' explains", names);
}

err_t cli_parse(struct cli *c, int argc, char **argv, struct arena *a, struct err *e)
{
    *c = (struct cli){.verb = &verb_help};
    if (argc < 2)
        return refuse_nothing(e);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return ERR_OK;
    if (strcmp(argv[1], "--version") == 0) {
        c->verb = &verb_version;
        return ERR_OK;
    }
    TRY(arena_array(a, "cli.stages", argc, &c->selection.stages.v, e));
    TRY(arena_array(a, "cli.cells", argc, &c->selection.cells.v, e));
    TRY(arena_array(a, "cli.rename", argc, &c->compare.rename.v, e));
    TRY(verb_find(argv[1], &c->verb, e));
    return parse_options(c, argc - 1, argv + 1, a, e);
}
