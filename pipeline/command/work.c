#include "command/work.h"

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "command/presence.h"
#include "engine/machine/machine_file.h"
#include "engine/runner.h"
#include "engine/stop.h"
#include "formats/headers.h"
#include "hdf5/h5.h"
#include "linalg/grid_blas.h"
#include "study/choices.h"
#include "study/config.h"
#include "study/dag.h"
#include "study/steps.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_MAX_BYTES = 4 << 20 };

/* Local. What the user wrote, which is the user's to mend where it is not there or not to be read. Where the
 * system fails at what could be read, that is said instead. */
static err_t read_own(struct arena *a, const char *path, int64_t most, char **text, int64_t *n, struct err *e)
{
    struct stat st;
    if (file_read(a, path, most, text, n, e) == ERR_OK)
        return ERR_OK;
    int sound = stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
    if (!sound || e->code == ERR_DATA)
        e->code = ERR_CONFIG;
    return e->code;
}

/* Process 0. The config: of a file, or the verb's own. */
static err_t get_config(struct cli *cli, struct arena *a, char **text, int64_t *n, struct err *e)
{
    struct text own = {.arena = a};
    if (!cli->verb->study)
        return read_own(a, cli->config, CONFIG_MAX_BYTES, text, n, e);
    TRY(cli->verb->study(cli, &own, a, e));
    *text = own.text;
    *n = own.used;
    return ERR_OK;
}

/* Process 0 reads the config; all get the same bytes. Collective. */
static err_t read_config(const struct comm *c, struct cli *cli, struct arena *a, char **text, int64_t *n,
                         struct err *e)
{
    *n = 0;
    if (c->me == 0)
        get_config(cli, a, text, n, e);
    TRY_ALL(c, e);
    comm_bcast(c, n, (int64_t)sizeof *n, 0);
    if (c->me != 0)
        arena_array(a, "config.text", *n + 1, text, e);
    TRY_ALL(c, e);
    comm_bcast(c, *text, *n, 0);
    return ERR_OK;
}

/* Collective. The config, checked; process 0 lists what is wrong with it. */
static err_t take_config(const struct comm *c, struct cli *cli, struct config *config, struct arena *a,
                         struct err *e)
{
    const char *path = cli->verb->study ? "the study of this command" : cli->config;
    struct problems problems = {.arena = a, .file = path};
    char *text;
    int64_t n;
    TRY(read_config(c, cli, a, &text, &n, e));
    config_parse(config, path, text, n, &problems, a, e);
    for (int i = 0; i < problems.n && c->me == 0; i++)
        fprintf(stderr, "%s\n", problems.list[i].text);
    return comm_agree(c, e);
}

enum { MACHINE_MAX_BYTES = 1 << 20 };

/* Process 0's. The machine that the study is planned for: of the file that was given, else of the output
 * folder's, else what is assumed. What is wrong with a file is listed. */
static err_t take_machine(const struct cli *cli, const struct config *config, struct machine *m,
                          struct arena *a, struct err *e)
{
    struct problems problems;
    char *text, *own = path_join(a, config->output, "machine.yaml", e);
    int64_t n;
    *m = machine_assume();
    if (!own)
        return e->code;
    const char *path = cli->machine ? cli->machine : own;
    if (cli->plan.calibrate || (!cli->machine && access(own, F_OK) != 0))
        return ERR_OK;
    TRY(read_own(a, path, MACHINE_MAX_BYTES, &text, &n, e));
    machine_parse(m, path, text, n, &problems, a, e);
    for (int i = 0; i < problems.n; i++)
        fprintf(stderr, "%s\n", problems.list[i].text);
    return e->code;
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

/* Collective. Tells the verb of the machine, and has it run. */
static err_t run_verb(struct runner *r, const struct cli *cli, const char *command, struct err *e)
{
    char host[64] = "", mpi[MPI_MAX_LIBRARY_VERSION_STRING], hdf5[32], blas[160];
    r->threads = grid_blas_threads();
    gethostname(host, sizeof host - 1);
    const struct provenance provenance = {.command = command,
                                          .host = host,
                                          .processes = r->comm->np,
                                          .threads = r->threads,
                                          .mpi = mpi_version(mpi, sizeof mpi),
                                          .hdf5 = h5_version(hdf5, sizeof hdf5),
                                          .blas = grid_blas_version(blas, sizeof blas)};
    r->provenance = &provenance;
    err_t code = cli->verb->run(r, cli, e);
    r->provenance = NULL;
    return code;
}

static err_t do_study(const struct comm *c, struct cli *cli, const char *command, struct mem *mem,
                      struct arena *a, struct err *e)
{
    struct config config;
    struct dag dag;
    struct log log;
    struct terminal terminal;
    struct runner r = {.comm = c,
                       .dag = &dag,
                       .log = &log,
                       .mem = mem,
                       .arena = a,
                       .time_limit = cli->time_limit,
                       .keep_going = cli->keep_going,
                       .take_over = cli->take_over};
    log_init(&log, cli->quiet || cli->terse ? LOG_QUIET : cli->verbose ? LOG_DETAIL : LOG_INFO, c->me == 0);
    terminal_init(&terminal, stderr, c->me == 0 && !cli->quiet);
    log.terminal = &terminal;
    TRY(take_config(c, cli, &config, a, e));
    TRY(steps_settle(c, &config, a, e));
    TRY(choices_settle(c, &config, a, e));
    if (dag_build(&dag, &config, a, e) == ERR_OK && cli->share)
        selection_share(&cli->selection, cli->share, &config, a, e);
    if (e->code == ERR_OK && cli->cell_index)
        selection_index(&cli->selection, cli->cell_index, &config, a, e);
    struct machine machine;
    if (c->me == 0 && e->code == ERR_OK)
        take_machine(cli, &config, &machine, a, e);
    TRY_ALL(c, e);
    r.machine = c->me == 0 ? &machine : NULL;
    struct headers headers;
    mem->budget_bytes = (size_t)config.memory_bytes;
    headers_init(&headers, mem);
    r.headers = &headers;
    err_t code = cli->list_cells
                     ? presence_look(c, &config, &dag, &headers, a, e)
                     : presence_settle(c, &config, &dag, &cli->selection, &headers, &log, &r.nmissing, a, e);
    if (code == ERR_OK)
        code = run_verb(&r, cli, command, e);
    headers_release(&headers);
    terminal_wipe(&terminal);
    return code;
}

err_t work_do(const struct comm *c, struct cli *cli, const char *command, struct mem *mem, struct arena *a,
              struct err *e)
{
    if (cli->verb->stops)
        stop_listen();
    if (cli->verb->listen)
        cli->verb->listen(cli, c);
    err_t code = do_study(c, cli, command, mem, a, e);
    if (c->me == 0 && cli->verb->end)
        cli->verb->end(cli);
    return code;
}
