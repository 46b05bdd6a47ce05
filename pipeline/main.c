/* sinew: measures what reinforcement learning changed in a language model. Reads like a table of contents. */
#include "base/comm.h"
#include "base/inject/inject.h"
#include "base/terminal.h"
#include "base/text.h"
#include "command/cli.h"
#include "command/launch.h"
#include "command/work.h"
#include "hdf5/h5.h"
#include "linalg/grid_blas.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_MEMORY_BYTES = 1 << 30 }; /* until the config says how much memory it may be */

/* Did it fail on another host than this process's? */
static int is_elsewhere(const struct err *e)
{
    char own[sizeof e->host] = "";
    gethostname(own, sizeof own - 1);
    return e->process >= 0 && e->host[0] && strcmp(own, e->host) != 0;
}

/* The one message about a failure, from process 0. */
static void print_error(const struct err *e)
{
    fprintf(stderr, "sinew: %s%s:%s %s", terminal_colour(stderr, TERMINAL_RED), err_name(e->code),
            terminal_plain(stderr), e->text);
    if (e->item[0] && !strstr(e->text, e->item))
        fprintf(stderr, " (in %s)", e->item);
    if (e->code == ERR_BUG || e->code == ERR_NUMERIC)
        fprintf(stderr, " [process %d on %s, %s]", e->process, e->host, e->where);
    else if (is_elsewhere(e))
        fprintf(stderr, " [process %d on %s]", e->process, e->host);
    fputc('\n', stderr);
}

/* A command line that is wrong, or a verb that says or looks at something and reads no study. */
static int end_without_mpi(const struct cli *cli, int speaks, struct arena *a, struct err *e)
{
    if (!speaks)
        return err_status(e->code);
    inject_process(0);
    if (e->code == ERR_OK && cli->verb->say)
        cli->verb->say(cli);
    else if (e->code == ERR_OK)
        cli->verb->look(cli, a, e);
    if (e->code != ERR_OK)
        print_error(e);
    inject_end();
    return err_status(e->code);
}

static const char *command_line(int argc, char **argv, struct arena *a, struct err *e)
{
    struct text command = {.arena = a};
    for (int i = 0; i < argc; i++)
        text_add(&command, e, "%s%s", i ? " " : "", argv[i]);
    return command.text ? command.text : "";
}

int main(int argc, char **argv)
{
    struct mem mem;
    struct arena arena;
    struct err e;
    struct cli cli;
    struct comm world;
    int nwords = argc;
    char **words = argv;
    const struct launch launch = launch_look();
    signal(SIGXFSZ, SIG_IGN); /* a file past the limit is then an error like a full disk, with a message */
    mem_start();
    mem_init(&mem, CONFIG_MEMORY_BYTES);
    arena_init(&arena, &mem);
    err_clear(&e);
    if (inject_begin(&nwords, &words, &arena, &e)) {
        arena_release(&arena);
        return 0;
    }
    if (e.code != ERR_OK || cli_parse(&cli, nwords, words, &arena, &e) != ERR_OK || cli.verb->say ||
        cli.verb->look || launch_before_mpi(&launch, &e) != ERR_OK) {
        int status = end_without_mpi(&cli, launch.first, &arena, &e);
        arena_release(&arena);
        return status;
    }
    if (launch_room(&e) != ERR_OK) {
        sleep(launch.first ? 0
                           : 1); /* what is short for all the first one says, and its end is that of all */
        print_error(&e);
        _exit(err_status(e.code)); /* the libraries' own end may want what is short */
    }
    grid_blas_start(argv);
    const char *command = command_line(argc, argv, &arena, &e);
    comm_start(&world, launch.alone, &argc, &argv);
    h5_start();
    inject_process(world.me);
    int speaks = world.me == 0;
    err_t code = launch_after_mpi(&launch, world.np, &e);
    if (code == ERR_OK)
        code = work_do(&world, &cli, command, &mem, &arena, &e);
    else
        speaks = launch.first; /* all are the first to MPI */
    if (code != ERR_OK && speaks && cli.verb->reword)
        cli.verb->reword(&e, &arena);
    if (code != ERR_OK && speaks)
        print_error(&e);
    fflush(stdout);
    inject_end();
    int64_t abandoned = h5_abandoned();
    comm_max(&world, &abandoned, 1);
    if (abandoned) /* HDF5's clean-up, which MPI_Finalize starts, would crash; no process leaves before the
                      message is out */
        _exit(err_status(code));
    arena_release(&arena);
    MPI_Finalize();
    return err_status(code);
}
