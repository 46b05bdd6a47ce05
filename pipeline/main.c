/* sinew: measures what reinforcement learning changed in a language model. Reads like a table of contents. */
#include "command/cli.h"
#include "base/comm.h"
#include "study/config.h"
#include "study/dag.h"
#include "linalg/grid_blas.h"
#include "hdf5/h5.h"
#include "base/log.h"
#include "command/presence.h"
#include "engine/runner.h"
#include "base/file.h"
#include "base/text.h"
#include "command/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONFIG_MAX_BYTES = 4 << 20,
    CONFIG_MEMORY_BYTES = 1 << 30
}; /* until the config says how much memory it may be */

/* Process 0 reads the config; all get the same bytes. Collective. */
static err_t read_config(const struct comm *c, const char *path, struct arena *a, char **text, int64_t *n,
                         struct err *e)
{
    *n = 0;
    if (c->me == 0 && file_read(a, path, CONFIG_MAX_BYTES, text, n, e) != ERR_OK)
        e->code = ERR_CONFIG; /* a config that cannot be read is the user's to mend */
    TRY_ALL(c, e);
    comm_bcast(c, n, (int64_t)sizeof *n, 0);
    if (c->me != 0)
        arena_array(a, "config.text", *n + 1, text, e);
    TRY_ALL(c, e);
    comm_bcast(c, *text, *n, 0);
    return ERR_OK;
}

/* The one message about a failure, from process 0. */
static void print_error(const struct err *e)
{
    fprintf(stderr, "sinew: %s: %s", err_name(e->code), e->text);
    if (e->item[0] && !strstr(e->text, e->item))
        fprintf(stderr, " (in %s)", e->item);
    if (e->code == ERR_BUG || e->code == ERR_NUMERIC)
        fprintf(stderr, " [process %d on %s, %s]", e->process, e->host, e->where);
    fputc('\n', stderr);
}

static const char *mpi_version(char *text, int size)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    MPI_TRY(MPI_Get_library_version(version, &n));
    version[strcspn(version, ",\n")] = '\0';
    snprintf(text, (size_t)size, "%s", version);
    return text;
}

static err_t run_verb(struct runner *r, const struct cli *cli, struct err *e)
{
    switch (cli->verb) {
    case VERB_CHECK:
        return verb_check(r, e);
    case VERB_PLAN:
        return verb_plan(r, e);
    case VERB_RUN:
        TRY(selection_check(&cli->selection, r->dag->config, r->arena, e));
        return runner_run(r, &cli->selection, e);
    case VERB_STATUS:
        return verb_status(r, e);
    case VERB_REPORT:
        return runner_report(r, e);
    case VERB_EXPORT:
        return export_mask(r, &cli->export, e);
    default:
        return err_set(e, ERR_BUG, "no such verb");
    }
}

/* Collective. From the parsed command line to the end of its verb. */
static err_t work(const struct comm *c, const struct cli *cli, const char *command, struct mem *mem,
                  struct arena *a, struct err *e)
{
    struct config config;
    struct dag dag;
    struct log log;
    struct problems problems = {.arena = a, .file = cli->config};
    char *text, host[64] = "", mpi[MPI_MAX_LIBRARY_VERSION_STRING], hdf5[32], blas[160];
    int64_t n;
    log_init(&log, cli->quiet ? LOG_QUIET : cli->verbose ? LOG_DETAIL : LOG_INFO, c->me == 0);
    TRY(read_config(c, cli->config, a, &text, &n, e));
    config_parse(&config, cli->config, text, n, &problems, a, e);
    for (int i = 0; i < problems.n && c->me == 0; i++)
        fprintf(stderr, "%s\n", problems.list[i].text);
    TRY_ALL(c, e);
    dag_build(&dag, &config, a, e);
    TRY_ALL(c, e);
    int nmissing;
    TRY(presence_settle(c, &config, &dag, &cli->selection, &log, &nmissing, a, e));
    mem->budget_bytes = (size_t)config.memory_bytes;
    int threads = grid_blas_threads(c);
    gethostname(host, sizeof host - 1);
    struct provenance provenance = {.command = command,
                                    .host = host,
                                    .processes = c->np,
                                    .mpi = mpi_version(mpi, sizeof mpi),
                                    .hdf5 = h5_version(hdf5, sizeof hdf5),
                                    .blas = grid_blas_version(blas, sizeof blas)};
    if (cli->verb == VERB_RUN)
        log_info(&log, "sinew: study %s: %d cells, %d nodes, %d process%s of %d BLAS thread%s, output %s",
                 config.study, config.ncells, dag.nnodes, c->np, c->np > 1 ? "es" : "", threads,
                 threads > 1 ? "s" : "", config.output);
    if (nmissing > 0 && cli->verb == VERB_RUN) {
        if (c->me == 0)
            presence_refuse(&dag, &cli->selection, nmissing, a, e);
        return comm_agree(c, e);
    }
    struct headers headers;
    headers_init(&headers, mem);
    struct runner r = {.comm = c,
                       .dag = &dag,
                       .log = &log,
                       .mem = mem,
                       .arena = a,
                       .provenance = &provenance,
                       .headers = &headers};
    err_t code = run_verb(&r, cli, e);
    headers_release(&headers);
    return code;
}

/* Under mpirun or srun --help and --version are printed once, before MPI starts. */
static int is_first_process(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value)
            return strcmp(value, "0") == 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct mem mem;
    struct arena arena;
    struct err e;
    struct cli cli;
    struct comm world;
    mem_start();
    mem_init(&mem, CONFIG_MEMORY_BYTES);
    arena_init(&arena, &mem);
    err_clear(&e);
    err_t code = cli_parse(&cli, argc, argv, &arena, &e);
    if (code != ERR_OK || cli.verb == VERB_HELP || cli.verb == VERB_VERSION) {
        if (is_first_process() && code != ERR_OK)
            print_error(&e);
        else if (is_first_process() && cli.verb == VERB_HELP)
            cli_help(cli.help_on);
        else if (is_first_process())
            cli_version();
        arena_release(&arena);
        return err_status(code);
    }
    grid_blas_start(argv);
    struct text command = {.arena = &arena};
    for (int i = 0; i < argc; i++)
        text_add(&command, &e, "%s%s", i ? " " : "", argv[i]);
    setenv("OMPI_MCA_fcoll", "^vulcan",
           0); /* Open MPI 4.1's default collective-write component corrupts HDF5 files */
    MPI_Init(&argc, &argv);
    comm_init(&world, MPI_COMM_WORLD);
    h5_start();
    code = work(&world, &cli, command.text ? command.text : "", &mem, &arena, &e);
    if (code != ERR_OK && world.me == 0)
        print_error(&e);
    fflush(stdout);
    int64_t abandoned = h5_abandoned();
    comm_max(&world, &abandoned, 1);
    if (abandoned) /* HDF5's clean-up, which MPI_Finalize starts, would crash; no process leaves before the
                      message is out */
        _exit(err_status(code));
    arena_release(&arena);
    MPI_Finalize();
    return err_status(code);
}
