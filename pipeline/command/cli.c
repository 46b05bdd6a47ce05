#include "command/cli.h"

#include "base/text.h"
#include "version.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *args, *brief, *more;
} verbs[VERB_COUNT] = {
    [VERB_CHECK] =
        {"check", "CONFIG", "parse and validate everything, headers of all inputs included; touch nothing",
         "Lists every error found. Exit status: 0 all is well, 2 the config is wrong, 3 an input is.\n"},
    [VERB_PLAN] =
        {"plan", "CONFIG",
         "check, then the DAG, what is fresh, bytes, flops, memory per process, estimated time",
         "Run it under the mpirun of the job to come: the figures are for that number of processes.\n"},
    [VERB_RUN] =
        {"run", "CONFIG [--stage NODE]... [--cell FAMILY/ALGORITHM/SEED]... [--force]",
         "run what is not fresh, then put the archive and the report together",
         "  -s, --stage NODE   rerun this stage alone, from the artifacts below it (may be repeated)\n"
         "  -c, --cell CELL    only this cell's nodes (may be repeated)\n"
         "  -f, --force        run what is fresh, too\n"},
    [VERB_STATUS] = {"status", "CONFIG", "each node: fresh, stale (and why), partial, missing", ""},
    [VERB_REPORT] = {"report", "CONFIG", "tables from the archive alone, no checkpoint needed", ""},
    [VERB_EXPORT] =
        {"export", "mask CONFIG --cell CELL --node NODE --to FILE [--format bytes|bits] [--force]",
         "a cell's mask as a safetensors file, for masking gradients in a trainer",
         "  -c, --cell CELL    the cell: FAMILY/ALGORITHM/SEED[+DATA][@STEP]\n"
         "  -n, --node NODE    the node of kind mask, which must have run\n"
         "  -o, --to FILE      the file to write\n"
         "      --format WORD  bytes (default): 0 and 1, a tensor of each parameter's name and shape;\n"
         "                     bits: packed, 8 elements to a byte, least significant bit first, row major\n"
         "  -f, --force        overwrite FILE; never one with tensors that sinew did not export\n"
         "Exit status 3 where the mask is missing or stale; the message says what to run.\n"},
    [VERB_HELP] = {"help", "[VERB]", "this text, or a verb's", ""},
    [VERB_VERSION] = {"version", "", "version, commit and build", ""},
};

static const char common[] = "  -v, --verbose      a line per node\n"
                             "  -q, --quiet        errors and results only\n"
                             "  -h, --help         this text\n";

static const char statuses[] =
    "Exit status: 0 done, 2 config or usage, 3 input data, 4 system (file, memory, library), 5 numeric,\n"
    "70 internal error, 75 interrupted and resumable.\n";

void cli_help(enum verb v)
{
    if (v != VERB_HELP) {
        printf("sinew %s %s\n  %s\n\n%s%s\n%s", verbs[v].name, verbs[v].args, verbs[v].brief, verbs[v].more,
               common, statuses);
        return;
    }
    printf("sinew measures what reinforcement learning changed in a language model.\n\n"
           "  [mpirun -n N] sinew VERB CONFIG [options]\n\n");
    for (int i = 0; i < VERB_HELP; i++)
        printf("  %-8s %s\n", verbs[i].name, verbs[i].brief);
    printf("\n  sinew VERB --help explains a verb, sinew --version says which version this is.\n"
           "  CONFIG is a study in YAML; configs/reference.yaml explains every key.\n\n%s",
           statuses);
}

void cli_version(void)
{
    printf("sinew %s%s%s%s (%s)\n", SINEW_VERSION, SINEW_COMMIT[0] ? ", commit " : "", SINEW_COMMIT, "",
           SINEW_BUILD);
}

static err_t find_verb(const char *word, enum verb *v, struct err *e)
{
    const char *names[VERB_COUNT];
    for (int i = 0; i < VERB_COUNT; i++) {
        names[i] = verbs[i].name;
        if (strcmp(word, names[i]) == 0) {
            *v = (enum verb)i;
            return ERR_OK;
        }
    }
    struct text_hint hint;
    return err_set(e, ERR_CONFIG, "unknown verb '%s'%s; 'sinew --help' lists them", word,
                   text_meant(&hint, word, names, VERB_COUNT, ", ", "'", ""));
}

/* What is left of the command line of 'sinew export' after its options. */
static err_t parse_export(struct cli *c, int n, char **words, const char *format, struct err *e)
{
    static const char *const kinds[] = {"mask"};
    struct export_request *x = &c->export;
    if (n != 2)
        return err_set(
            e, ERR_CONFIG,
            "'sinew export' wants what to export (mask) and one CONFIG file, %d words given; 'sinew "
            "export --help' explains",
            n);
    if (strcmp(words[0], kinds[0]) != 0) {
        struct text_hint hint;
        return err_set(e, ERR_CONFIG, "'sinew export' knows no '%s'%s; it exports: mask", words[0],
                       text_meant(&hint, words[0], kinds, 1, ", ", "'", ""));
    }
    const char *missing = c->selection.cells.n != 1 ? "one --cell"
                          : !x->node                ? "--node"
                          : !x->to                  ? "--to"
                                                    : NULL;
    if (missing)
        return err_set(e, ERR_CONFIG, "'sinew export mask' wants %s; 'sinew export --help' explains",
                       missing);
    x->what = words[0];
    x->cell = c->selection.cells.v[0];
    x->force = c->selection.force;
    c->config = words[1];
    return format ? export_format_find(format, &x->format, e) : ERR_OK;
}

static err_t parse_options(struct cli *c, int argc, char **argv, struct err *e)
{
    static const struct option options[] = {{"stage", required_argument, NULL, 's'},
                                            {"cell", required_argument, NULL, 'c'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"node", required_argument, NULL, 'n'},
                                            {"to", required_argument, NULL, 'o'},
                                            {"format", required_argument, NULL, 'F'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *format = NULL;
    int o, wants_run = 0, wants_export = 0;
    opterr = 0;
    optind = 1;
    while ((o = getopt_long(argc, argv, ":s:c:fvqhn:o:", options, NULL)) != -1)
        switch (o) {
        case 's':
            c->selection.stages.v[c->selection.stages.n++] = optarg;
            wants_run = 1;
            break;
        case 'c':
            c->selection.cells.v[c->selection.cells.n++] = optarg;
            wants_run = 1;
            break;
        case 'f':
            c->selection.force = wants_run = 1;
            break;
        case 'n':
            c->export.node = optarg;
            wants_export = 1;
            break;
        case 'o':
            c->export.to = optarg;
            wants_export = 1;
            break;
        case 'F':
            format = optarg;
            wants_export = 1;
            break;
        case 'v':
            c->verbose = 1;
            break;
        case 'q':
            c->quiet = 1;
            break;
        case 'h':
            c->help_on = c->verb;
            c->verb = VERB_HELP;
            return ERR_OK;
        case 'V':
            c->verb = VERB_VERSION;
            return ERR_OK;
        case ':':
            return err_set(e, ERR_CONFIG, "option '%s' wants a value; 'sinew %s --help' explains",
                           argv[optind - 1], verbs[c->verb].name);
        default:
            return err_set(e, ERR_CONFIG, "unknown option '%s'; 'sinew %s --help' lists them",
                           argv[optind - 1], verbs[c->verb].name);
        }
    if (c->verb == VERB_HELP || c->verb == VERB_VERSION) {
        c->help_on = VERB_HELP;
        return optind < argc && c->verb == VERB_HELP ? find_verb(argv[optind], &c->help_on, e) : ERR_OK;
    }
    if (wants_export && c->verb != VERB_EXPORT)
        return err_set(e, ERR_CONFIG,
                       "--node, --to and --format are options of 'sinew export', not of 'sinew %s'",
                       verbs[c->verb].name);
    if (c->verb == VERB_EXPORT && c->selection.stages.n == 0)
        return parse_export(c, argc - optind, argv + optind, format, e);
    if (wants_run && c->verb != VERB_RUN)
        return err_set(e, ERR_CONFIG, "%s of 'sinew run', not of 'sinew %s'",
                       c->verb == VERB_EXPORT ? "--stage is an option"
                                              : "--stage, --cell and --force are options",
                       verbs[c->verb].name);
    if (optind + 1 != argc)
        return err_set(e, ERR_CONFIG,
                       "'sinew %s' wants one CONFIG file, %d given; 'sinew %s --help' explains",
                       verbs[c->verb].name, argc - optind, verbs[c->verb].name);
    c->config = argv[optind];
    return ERR_OK;
}

err_t cli_parse(struct cli *c, int argc, char **argv, struct arena *a, struct err *e)
{
    *c = (struct cli){.verb = VERB_HELP, .help_on = VERB_HELP};
    if (argc < 2)
        return err_set(
            e, ERR_CONFIG,
            "a verb is wanted: check, plan, run, status, report or export; 'sinew --help' explains");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return ERR_OK;
    if (strcmp(argv[1], "--version") == 0) {
        c->verb = VERB_VERSION;
        return ERR_OK;
    }
    TRY(arena_array(a, "cli.stages", argc, &c->selection.stages.v, e));
    TRY(arena_array(a, "cli.cells", argc, &c->selection.cells.v, e));
    TRY(find_verb(argv[1], &c->verb, e));
    return parse_options(c, argc - 1, argv + 1, e);
}
