#include "command/cli.h"

#include "command/presence.h"

#include <stddef.h>

/* A run begins with what it is about, and not at all where a cell would end it. */
static err_t run_run(struct runner *r, const struct cli *c, struct err *e)
{
    const struct config *config = r->dag->config;
    int np = r->comm->np;
    log_info(r->log, "sinew: study %s: %d cells, %d nodes, %d process%s of %d BLAS thread%s, output %s",
             config->study, config->ncells, r->dag->nnodes, np, np > 1 ? "es" : "", r->threads,
             r->threads > 1 ? "s" : "", config->output);
    if (r->nmissing > 0) {
        if (r->comm->me == 0)
            presence_refuse(r->dag, &c->selection, r->nmissing, r->arena, e);
        return comm_agree(r->comm, e);
    }
    struct selection named = c->selection;
    if (c->share ||
        c->cell_index) /* its cells are the config's, some perhaps among those that were left out */
        named.cells.n = 0;
    selection_check(&named, config, r->arena, e); /* all judge names alike; memory may fail one */
    TRY_ALL(r->comm, e);
    return runner_run(r, &c->selection, e);
}

static const struct verb_option run_options[] = {
    {"stage", 's', "NODE", "rerun this stage alone, from the artifacts below it (may be repeated)",
     OPTION_LIST, offsetof(struct cli, selection.stages), NULL},
    {"cell", 'c', "CELL", "only this cell's nodes (may be repeated)", OPTION_LIST,
     offsetof(struct cli, selection.cells), NULL},
    {"share", '\0', "I/N",
     "only the I-th of N shares of the cells, for jobs side by side or one after the\n"
     "other; a run without it then puts bases, archive and report together",
     OPTION_TEXT, offsetof(struct cli, share), NULL},
    {"cell-index", '\0', "NUMBERS",
     "only these cells, by their number in 'sinew check CONFIG --cells': 3, 7-9, 1,4,7-9\n"
     "(a job of an array: --cell-index $SLURM_ARRAY_TASK_ID)",
     OPTION_TEXT, offsetof(struct cli, cell_index), NULL},
    {"take-over", '\0', NULL,
     "what other runs hold that gave no sign of life for 20 s, on other machines, is run\n"
     "here (without it after 120 s; of runs on this machine it is known whether they live)",
     OPTION_FLAG, offsetof(struct cli, take_over), NULL},
    {"force", 'f', NULL, "run what is fresh, too", OPTION_FLAG, offsetof(struct cli, selection.force), NULL},
    {"keep-going", 'k', NULL,
     "a checkpoint that is damaged costs what needs it, and no more: the rest is done,\n"
     "archive and report mark what lacks, and the exit status is 3",
     OPTION_FLAG, offsetof(struct cli, keep_going), NULL},
    {"time-limit", 't', "TIME",
     "end in good order before that: 90s, 45m, 12h, 2d or D-HH:MM:SS. Without it:\n"
     "SINEW_TIME_LIMIT, else the end of the job as Slurm or PBS tells it",
     OPTION_TEXT, offsetof(struct cli, time_limit), NULL},
    {"machine", '\0', "FILE",
     "rates of the machine (YAML, as 'sinew plan --calibrate' writes it), by which work is\n"
     "divided among processes; without it as with plan",
     OPTION_TEXT, offsetof(struct cli, machine), NULL},
    {0},
};

const struct verb verb_run = {
    .name = "run",
    .args = "CONFIG [--stage NODE]... [--cell FAMILY/ALGORITHM/SEED]... [--share I/N] "
            "[--cell-index NUMBERS] [--force] [--keep-going] [--take-over] [--time-limit TIME]",
    .brief = "run what is not fresh, then put the archive and the report together",
    .more =
        "SIGTERM, SIGINT, SIGUSR1 or SIGUSR2 to any one process, and a file named `stop` in the output folder,\n"
        "end it in good order, too, with exit status 75: the same command goes on from there.\n"
        "Several runs may work on one study at once: each runs the nodes that no other one has.\n",
    .options = run_options,
    .stops = 1,
    .run = run_run,
};
