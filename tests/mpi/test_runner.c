/* The runner, with stages that do as they are told: what stands on the disk after a run and after a failed
 * one, what a second run does, one error on all processes whoever failed, and that nobody waits for ever. */

#include "../stage_fake.h"
#include "stagelib.h"

#include "base/file.h"
#include "base/path.h"
#include "engine/runner.h"

#include <fcntl.h>
#include <sys/file.h>
#include <errno.h>
#include <sys/stat.h>

enum { BUDGET = 96 << 20, MOST_NODES = 64 };

/* A study, and what stood on the disk when it was last looked at. */
struct played {
    struct world *w;
    const char *folder;
    struct config config;
    struct dag dag;
    struct provenance provenance;
    struct runner runner;
    ino_t seen[MOST_NODES];
};

#define HEAD "study: s\noutput: ${DIR}/out\nmemory_per_process: 96 MiB\n"
#define CELL(algorithm) \
    "  - {family: f, algorithm: " algorithm ", base: \"${DIR}/base\", tuned: \"${DIR}/" algorithm "\"}\n"
#define CELLS "cells:\n" CELL("a") CELL("b") CELL("c") CELL("d") CELL("e") CELL("g")

/* Collective. Reads the study in folder ROOT/NAME, which is $DIR. */
static void play(struct played *p, struct world *w, const char *name, const char *yaml)
{
    struct problems problems;
    struct err e;
    err_clear(&e);
    *p = (struct played){.w = w, .folder = in_root(w, "%s", name)};
    if (w->comm.me == 0)
        check(w, mkdir(p->folder, 0777) == 0 || errno == EEXIST, "%s: %s", p->folder, strerror(errno));
    MPI_Barrier(w->comm.mpi);
    setenv("DIR", p->folder, 1);
    config_parse(&p->config, "s.yaml", yaml, (int64_t)strlen(yaml), &problems, &w->arena, &e);
    for (int i = 0; i < problems.n; i++)
        check(w, 0, "%s", problems.list[i].text);
    if (e.code == ERR_OK)
        dag_build(&p->dag, &p->config, &w->arena, &e);
    if (!check(w, e.code == ERR_OK && p->dag.nnodes <= MOST_NODES, "%s: %s", name, e.text))
        MPI_Abort(w->comm.mpi, 1);
    p->provenance = (struct provenance){
        .command = "test", .host = "here", .processes = w->comm.np, .mpi = "", .hdf5 = "", .blas = ""};
    p->runner = (struct runner){.comm = &w->comm,
                                .dag = &p->dag,
                                .log = &w->log,
                                .mem = &w->mem,
                                .arena = &w->arena,
                                .provenance = &p->provenance};
}

/* Collective. Runs; the processes must agree on the error, and nothing may be left of what one process told
 * another, nor of the lock. */
static err_t run(struct played *p, const struct selection *picked, struct err *e)
{
    static const struct selection all = {0};
    struct world *w = p->w;
    struct err first;
    int pending = 0;
    err_clear(e);
    struct headers headers;
    headers_init(&headers, &w->mem);
    p->runner.headers = &headers;
    err_t code = runner_run(&p->runner, picked ? picked : &all, e);
    headers_release(&headers);
    check_int(w, "the code returned", code, e->code);
    first = *e;
    comm_bcast(&w->comm, &first, (int64_t)sizeof first, 0);
    check(w, first.code == e->code && strcmp(first.text, e->text) == 0 && first.process == e->process,
          "\"%s\", but on process 0 \"%s\"", e->text, first.text);
    MPI_Barrier(w->comm.mpi);
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, w->comm.mpi, &pending, MPI_STATUS_IGNORE);
    check(w, !pending, "a message was not taken");
    if (w->comm.me == 0)
        check(w, access(in_root(w, "%s/out/.lock", p->folder + strlen(w->root) + 1), F_OK) != 0,
              "the lock is left");
    MPI_Barrier(w->comm.mpi);
    return code;
}

/* Collective. Runs, and must succeed. */
static void must_play(struct played *p, const struct selection *picked)
{
    struct err e;
    run(p, picked, &e);
    check(p->w, e.code == ERR_OK, "%s: %s", p->folder, e.text);
}

/* Collective. Runs, and must fail with this code and text. */
static void must_fail(struct played *p, const struct selection *picked, err_t code, const char *says,
                      struct err *e)
{
    run(p, picked, e);
    check(p->w, e->code == code, "%s: code %d, expected %d: %s", p->folder, (int)e->code, (int)code, e->text);
    check(p->w, strstr(e->text, says) != NULL, "%s: \"%s\" does not say \"%s\"", p->folder, e->text, says);
}

/* Process 0. Makes an empty file ROOT/.../NAME. */
static void touch(struct played *p, const char *name)
{
    if (p->w->comm.me == 0) {
        FILE *f = fopen(in_root(p->w, "%s/%s", p->folder + strlen(p->w->root) + 1, name), "w");
        check(p->w, f && fclose(f) == 0, "%s: cannot be written", name);
    }
    MPI_Barrier(p->w->comm.mpi);
}

/* ---- what stands on the disk: numbers of process 0, on all ---- */

static int64_t from_first(struct played *p, int64_t n)
{
    comm_bcast(&p->w->comm, &n, (int64_t)sizeof n, 0);
    return n;
}

static int is_of(const struct played *p, int i, const char *name)
{
    return !name || strcmp(p->config.nodes[p->dag.nodes[i].decl].name, name) == 0;
}

/* Artifacts under their final names, of one declared stage or (NULL) all; there may be none under another. */
static int64_t count_complete(struct played *p, const char *name)
{
    int64_t n = 0;
    for (int i = 0; i < p->dag.nnodes && p->w->comm.me == 0; i++) {
        check(p->w, !file_has_partial(p->dag.nodes[i].path), "%s: a partial file was left",
              p->dag.nodes[i].path);
        n += is_of(p, i, name) && access(p->dag.nodes[i].path, F_OK) == 0;
    }
    return from_first(p, n);
}

/* Artifacts that are other files than when this was last asked. */
static int64_t count_written(struct played *p, const char *name)
{
    int64_t n = 0;
    for (int i = 0; i < p->dag.nnodes && p->w->comm.me == 0; i++) {
        struct stat st;
        ino_t now = stat(p->dag.nodes[i].path, &st) == 0 ? st.st_ino : 0;
        n += is_of(p, i, name) && now != 0 && now != p->seen[i];
    }
    return from_first(p, n);
}

static void look(struct played *p)
{
    for (int i = 0; i < p->dag.nnodes; i++) {
        struct stat st;
        p->seen[i] = stat(p->dag.nodes[i].path, &st) == 0 ? st.st_ino : 0;
    }
    MPI_Barrier(p->w->comm.mpi);
}

static int has_archive(struct played *p)
{
    return (int)from_first(p, access(p->dag.archive, F_OK) == 0);
}

/* The archive's rows of table skipped: those of all nodes below the study, in the order of the DAG. */
static void check_archive(struct played *p, int64_t rows_each)
{
    struct world *w = p->w;
    if (w->comm.me != 0 || !check(w, access(p->dag.archive, F_OK) == 0, "no archive"))
        return;
    struct table t = read_table(w, p->dag.archive, "skipped");
    int64_t row = 0;
    for (int i = 0; i < p->dag.nnodes; i++)
        for (int64_t k = 0; p->dag.nodes[i].stage->scope != SCOPE_STUDY && k < rows_each; k++, row++) {
            check_text(w, "the row's cell", table_text(&t, row, "cell"), p->dag.nodes[i].label);
            check_int(w, "the row's number", table_int(&t, row, "parameters"), k);
        }
    check_int(w, "rows in the archive", t.nrows, row);
}

/* ---- runs ---- */

#define ALL_SCOPES                                                                                         \
    "stages: {ground: {}, one: {kind: fake, needs: ground, rows: 1, elements: 1000}, joint: {needs: one}," \
    " closing: {needs: joint}}\n"

static void all_scopes(struct world *w)
{
    struct played p;
    play(&p, w, "scopes", HEAD CELLS ALL_SCOPES);
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 7 + 6 + 1 + 1);
    check_archive(&p, 1);
    for (int i = 0; i < p.dag.nnodes; i++) {
        int64_t n = 0;
        if (!is_of(&p, i, "one"))
            continue;
        const int64_t *v = read_bulk(w, p.dag.nodes[i].path, "/numbers", H5_INT64, sizeof *v, &n);
        check_int(w, "numbers", n, 1000);
        for (int64_t k = 0; k < n && v[k] == k; k++)
            n -= k == n - 1;
        check_int(w, "numbers in their places", n, 999);
    }
    MPI_Barrier(w->comm.mpi);
    look(&p);
    must_play(&p, NULL); /* all is fresh */
    check_int(w, "artifacts written again", count_written(&p, NULL), 0);
    const struct selection again = {.force = 1};
    must_play(&p, &again);
    check_int(w, "artifacts written by force", count_written(&p, NULL), 15);
    check_archive(&p, 1);
}

/* A node on all processes, more of them than it has items: all take part, or wait, and end together. */
static void one_node(struct world *w)
{
    struct played p;
    play(&p, w, "one-small", HEAD "cells:\n" CELL("a") "stages: {fake: {elements: 1}}\n");
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 1);
    play(&p, w, "one-large",
         HEAD "cells:\n" CELL("a") "stages: {fake: {elements: 1, cost: 1000, items: 3}}\n");
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 1);
    int64_t processes = 0;
    struct h5 *f = NULL;
    struct err e;
    err_clear(&e);
    if (h5_open(p.dag.nodes[0].path, 0, &w->arena, &f, &e) == ERR_OK)
        h5_get_int(f, "/", "processes", &processes, &e);
    h5_close(f, &e);
    check_int(w, "processes of a node that costs much", processes, w->comm.np);
    play(&p, w, "none",
         HEAD "cells:\n  - {family: none, algorithm: a, base: b, tuned: t}\nstages: {fake: {}}\n");
    must_play(&p, NULL);
    check_int(w, "nodes", p.dag.nnodes, 0);
    check_int(w, "archive of a study without nodes", has_archive(&p), 1);
}

/* ---- across stages ---- */

/* Process 0. When the node of a declared stage was completed that works on this; in ns. */
static int64_t completed_ns(struct played *p, const char *name, const char *label)
{
    for (int i = 0; i < p->dag.nnodes; i++) {
        struct file_stamp stamp;
        if (is_of(p, i, name) && strcmp(p->dag.nodes[i].label, label) == 0 &&
            file_stamp_of(p->dag.nodes[i].path, &stamp))
            return stamp.mtime_ns;
    }
    return -1;
}

/* Long before the one slow node of a stage ends, others of the stages above it have: it alone is waited for.
 * What stands on it comes last, and the rows are those of one process. */
static void across(struct world *w)
{
    struct played p;
    play(&p, w, "across",
         HEAD CELLS "stages:\n  ground: {}\n"
                    "  one: {kind: fake, needs: ground, delay_ms: 1000, slow: f/b/0, cost: 0.01}\n"
                    "  two: {kind: fake, needs: one, elements: 10}\n  joint: {needs: two}\n");
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 7 + 6 + 6 + 1);
    check_archive(&p, 1);
    if (w->comm.me == 0) {
        int64_t slow = completed_ns(&p, "one", "f/b/0"), after = completed_ns(&p, "two", "f/b/0");
        check(w, slow > 0 && after > slow, "a node before what it needs");
        check(w, w->comm.np == 1 || completed_ns(&p, "two", "f/a/0") < slow,
              "the second stage began once all of the first had ended");
    }
    MPI_Barrier(w->comm.mpi);
    look(&p);
    must_play(&p, NULL);
    check_int(w, "artifacts written again", count_written(&p, NULL), 0);
}

/* A node that fails ends all stages that run; those at work are completed, and the next run goes on. */
static void across_fails(struct world *w)
{
    struct played p;
    struct err e;
    play(&p, w, "across-fails",
         HEAD CELLS
         "stages:\n  one: {kind: fake, cost: 0.01}\n"
         "  two: {kind: fake, needs: one, fail_item: 0, only: f/d/0, unless: \"${DIR}/mended\", cost: 0.01}\n"
         "  three: {kind: fake, needs: two, cost: 0.01}\n");
    must_fail(&p, NULL, ERR_DATA, "item 0 failed as it was told to", &e);
    check_text(w, "the item", e.item, "two of f/d/0");
    check(w, e.process >= 0 && e.process < w->comm.np, "process %d", e.process);
    int64_t before = count_complete(&p, NULL);
    check_int(w, "what needs it", completed_ns(&p, "three", "f/d/0"), -1);
    look(&p);
    touch(&p, "mended");
    must_play(&p, NULL);
    check_int(w, "artifacts written the second time", count_written(&p, NULL), 18 - before);
    check_archive(&p, 1);
}

/* ---- failures ---- */

/* On a team of all processes: each family, on the first and on the last process, at the first item and at a
 * later one. What was there before stays; once the reason is gone the run goes on from there. */
static void fails_together(struct world *w)
{
    for (int family = 0; fake_families[family]; family++)
        for (int last = 0; last < 2; last++) {
            struct played p;
            struct err e;
            char yaml[1200], name[40], item[300];
            int process = last ? w->comm.np - 1 : 0;
            snprintf(name, sizeof name, "together-%d-%d", family, last);
            snprintf(
                yaml, sizeof yaml,
                HEAD "cells:\n" CELL("a") CELL("b") CELL(
                    "c") "stages: {ground: {}, one: {kind: fake, needs: ground}, joint: {needs: one, cost: 1000, items: 4, "
                         "fail_item: %d, fail_process: %d, family: %s, unless: \"${DIR}/mended\", elements: 9}}\n",
                last * 2, process, fake_families[family]);
            play(&p, w, name, yaml);
            must_fail(&p, NULL, (err_t)(ERR_CONFIG + family), "failed as it was told to", &e);
            snprintf(item, sizeof item, "joint of %s/base", p.folder);
            check_text(w, "the item", e.item, item);
            check_int(w, "the process", e.process, process);
            check(w, e.host[0] != '\0', "no host in the error");
            check_int(w, "nodes below it", count_complete(&p, "ground") + count_complete(&p, "one"), 4 + 3);
            check_int(w, "the node itself", count_complete(&p, "joint"), 0);
            check_int(w, "the archive", has_archive(&p), 0);
            look(&p);
            touch(&p, "mended");
            must_play(&p, NULL);
            check_int(w, "artifacts written the second time", count_written(&p, NULL), 1);
            check_int(w, "artifacts", count_complete(&p, NULL), 4 + 3 + 1);
            check_archive(&p, 1);
        }
}

/* Side by side, a process for each cell: one fails while others are at work; these are completed, no further
 * one is begun. */
static void fails_alone(struct world *w)
{
    struct played p;
    struct err e;
    play(&p, w, "alone",
         HEAD CELLS "stages: {one: {kind: fake, items: 3, delay_ms: 3, fail_item: 1, only: f/b/0, unless: "
                    "\"${DIR}/mended\", cost: 0.01, elements: 10}}\n");
    must_fail(&p, NULL, ERR_DATA, "item 1 failed as it was told to", &e);
    check_text(w, "the item", e.item, "one of f/b/0");
    check(w, e.process >= 0 && e.process < w->comm.np, "process %d", e.process);
    int64_t before = count_complete(&p, NULL);
    check(w, before < 6, "%lld of 6 complete", (long long)before);
    look(&p);
    touch(&p, "mended");
    must_play(&p, NULL);
    check_int(w, "artifacts written the second time", count_written(&p, NULL), 6 - before);
    check_archive(&p, 1);
}

/* All teams fail at once: still one error, and the run ends. */
static void all_fail(struct world *w)
{
    struct played p;
    struct err e;
    play(&p, w, "all",
         HEAD CELLS "stages: {one: {kind: fake, fail_item: 0, family: numeric, cost: 0.01, delay_ms: 2}}\n");
    must_fail(&p, NULL, ERR_NUMERIC, "item 0 failed as it was told to", &e);
    check_int(w, "artifacts", count_complete(&p, NULL), 0);
    must_fail(&p, NULL, ERR_NUMERIC, "item 0 failed", &e); /* and again */
    check_int(w, "artifacts", count_complete(&p, NULL), 0);
}

/* More memory than a process may have: refused with what takes most; what one process has no room for is
 * given to as many as it takes. */
/* A run that keeps going: what fails on its data costs what needs it; a base's node is made of the others,
 * and made anew once all are there. What is no fault of the data ends the run. */
static void goes_on(struct world *w)
{
    struct played p;
    struct err e;
    play(
        &p, w, "goes-on",
        HEAD CELLS
        "stages:\n  one: {kind: fake, fail_item: 0, family: numeric, only: f/c/0, unless: \"${DIR}/mended\"}\n"
        "  two: {kind: fake, needs: [one], fail_item: 0, only: f/e/0, unless: \"${DIR}/mended\"}\n"
        "  all: {kind: joint, needs: [two]}\n");
    p.runner.keep_going = 1;
    must_fail(&p, NULL, ERR_DATA,
              "2 nodes failed: one of f/c/0: item 0 failed as it was told to; two of f/e/0", &e);
    check(w, strstr(e.text, "want of what they need: 1; some") != NULL, "%s", e.text);
    check_int(w, "complete nodes", count_complete(&p, NULL), 5 + 4 + 1);
    check(w, has_archive(&p), "there is no archive");
    check_int(w, "cells of the base's node", p.dag.nodes[12].ncells, 4);
    check(w, strcmp(p.dag.nodes[12].cells[2]->name, "f/d/0") == 0, "cells are out of order");
    touch(&p, "mended");
    play(
        &p, w, "goes-on",
        HEAD CELLS
        "stages:\n  one: {kind: fake, fail_item: 0, family: numeric, only: f/c/0, unless: \"${DIR}/mended\"}\n"
        "  two: {kind: fake, needs: [one], fail_item: 0, only: f/e/0, unless: \"${DIR}/mended\"}\n"
        "  all: {kind: joint, needs: [two]}\n");
    look(&p);
    must_play(&p, NULL);
    check_int(w, "nodes written", count_written(&p, NULL), 1 + 2 + 1);
    play(&p, w, "goes-on-not",
         HEAD CELLS "stages: {one: {kind: fake, fail_item: 0, family: system, only: f/c/0}}\n");
    p.runner.keep_going = 1;
    must_fail(&p, NULL, ERR_SYSTEM, "item 0 failed", &e);
}

static void memory(struct world *w)
{
    struct played p;
    struct err e;
    play(&p, w, "memory", HEAD CELLS "stages: {one: {kind: fake, memory: 10000000000}}\n");
    size_t live = w->mem.live_bytes;
    int64_t blocks = 0;
    for (const struct arena *a = w->mem.arenas; a; a = a->next)
        blocks++;
    must_fail(&p, NULL, ERR_SYSTEM, "fake.block", &e);
    check(w, strstr(e.text, "memory_per_process") != NULL, "no remedy in \"%s\"", e.text);
    check_int(w, "artifacts", count_complete(&p, NULL), 0);
    check(w, w->mem.live_bytes < live + (1 << 20), "%zu bytes more are held after the failure",
          w->mem.live_bytes - live);
    for (const struct arena *a = w->mem.arenas; a; a = a->next)
        blocks--;
    check_int(w, "arenas left open", -blocks, 0);
    play(&p, w, "memory-of-two", HEAD CELLS "stages: {one: {kind: fake, memory: 150000000}}\n");
    if (w->comm.np == 1)
        must_fail(&p, NULL, ERR_SYSTEM, "fake.block", &e);
    else
        must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), w->comm.np == 1 ? 0 : 6);
}

/* ---- the folder ---- */

static void lock(struct world *w)
{
    struct played p;
    struct err e;
    int fd = -1;
    play(&p, w, "lock", HEAD CELLS "stages: {fake: {}}\n");
    char *out = in_root(w, "lock/out"), *path = in_root(w, "lock/out/.lock");
    if (w->comm.me == 0) {
        check(w,
              mkdir(out, 0777) == 0 && (fd = open(path, O_RDWR | O_CREAT, 0666)) >= 0 &&
                  flock(fd, LOCK_EX | LOCK_NB) == 0,
              "%s: cannot be locked", path);
    }
    MPI_Barrier(w->comm.mpi);
    err_clear(&e);
    static const struct selection all = {0};
    check_int(w, "the code", runner_run(&p.runner, &all, &e), ERR_SYSTEM);
    check(w, strstr(e.text, "is in use by another run of sinew") != NULL, "\"%s\"", e.text);
    check_int(w, "artifacts", count_complete(&p, NULL), 0);
    if (w->comm.me == 0) {
        check(w, access(path, F_OK) == 0, "the lock of another run was removed");
        close(fd); /* its holder died: the file is left and holds nobody back */
    }
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 6);
}

/* What is in the way where the output, or an artifact, is to be. */
static void in_the_way(struct world *w)
{
    struct played p;
    struct err e;
    play(&p, w, "way", HEAD CELLS "stages: {fake: {}}\n");
    touch(&p, "out");
    must_fail(&p, NULL, ERR_SYSTEM, "/way/out", &e);
    play(&p, w, "way-2", HEAD CELLS "stages: {fake: {elements: 5}}\n");
    char *artifact = in_root(w, "way-2/out/cells/f/c/0/fake.h5/x");
    err_clear(&e);
    if (w->comm.me == 0)
        check(w, path_make_dir(artifact, &e) == ERR_OK, "%s", e.text);
    MPI_Barrier(w->comm.mpi);
    must_fail(&p, NULL, ERR_SYSTEM, "fake.h5", &e);
    check(w, strcmp(e.item, "fake of f/c/0") == 0, "item \"%s\"", e.item);
    check_int(w, "the archive", has_archive(&p), 0);
    MPI_Barrier(w->comm.mpi);
    if (w->comm.me == 0)
        check(w, folder_remove(in_root(w, "way-2/out/cells/f/c/0")) == 0, "cannot be removed");
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 6);
}

/* ---- what is run again ---- */

#define CHANGED(one, two)                                              \
    "stages: {ground: {}, one: {kind: fake, needs: ground, rows: " one \
    "}, two: {kind: fake, needs: ground, rows: " two                   \
    "}, joint: {needs: [one, two]}, closing: {needs: joint}}\n"

static void changed(struct world *w)
{
    struct played p, q;
    play(&p, w, "changed", HEAD CELLS CHANGED("1", "1"));
    must_play(&p, NULL);
    look(&p);
    play(&q, w, "changed", HEAD CELLS CHANGED("1", "2"));
    memcpy(q.seen, p.seen, sizeof q.seen);
    must_play(&q, NULL);
    check_int(w, "grounds written", count_written(&q, "ground"), 0);
    check_int(w, "unchanged nodes written", count_written(&q, "one"), 0);
    check_int(w, "changed nodes written", count_written(&q, "two"), 6);
    check_int(w, "nodes above them written", count_written(&q, "joint"), 1);
    check_int(w, "the study's nodes written", count_written(&q, "closing"), 1);
    look(&q);
    must_play(&q, NULL);
    check_int(w, "artifacts written the third time", count_written(&q, NULL), 0);
    /* a checkpoint that is written anew: its cells alone, and what stands on them */
    touch(&q, "c");
    must_play(&q, NULL);
    check_int(w, "grounds written", count_written(&q, "ground"), 1);
    check_int(w, "cells written", count_written(&q, "one") + count_written(&q, "two"), 2);
}

static void picked(struct world *w)
{
    struct played p;
    struct err e;
    const char *one[] = {"one"}, *cells[] = {"f/b/0"}, *closing[] = {"closing"};
    const struct selection stage = {.stages = {1, one}}, cell = {.cells = {1, cells}},
                           both = {.stages = {1, one}, .cells = {1, cells}}, study = {.stages = {1, closing}};
    play(&p, w, "picked", HEAD CELLS CHANGED("1", "1"));
    must_fail(&p, &stage, ERR_DATA, "one of f/a/0 needs ground of", &e);
    check(w, strstr(e.text, "is missing; run 'sinew run s.yaml --stage ground' first") != NULL, "%s", e.text);
    must_fail(&p, &study, ERR_DATA, "closing needs the archive", &e);
    check_int(w, "artifacts", count_complete(&p, NULL), 0);
    must_play(&p, &cell); /* its checkpoints and itself; no base, no archive of a part */
    check_int(w, "grounds", count_complete(&p, "ground"), 2);
    check_int(w, "cells", count_complete(&p, "one"), 1);
    check_int(w, "artifacts", count_complete(&p, NULL), 4);
    check_int(w, "the archive", has_archive(&p), 0);
    look(&p);
    must_play(&p, &both); /* asked for by name: run again although fresh */
    check_int(w, "artifacts written", count_written(&p, NULL), 1);
    must_play(&p, NULL);
    check_int(w, "artifacts", count_complete(&p, NULL), 7 + 12 + 2);
    check_archive(&p, 1);
}

int main(int argc, char **argv)
{
    struct world w;
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, BUDGET);
    all_scopes(&w);
    one_node(&w);
    across(&w);
    across_fails(&w);
    fails_together(&w);
    fails_alone(&w);
    all_fail(&w);
    goes_on(&w);
    memory(&w);
    lock(&w);
    in_the_way(&w);
    changed(&w);
    picked(&w);
    check(&w, !h5_abandoned(), "a file could not be closed");
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
