/* What the tests of the stages share: the processes with a folder of their own, checks, models with planted
 * content, and one stage run as the engine would, from parameters given as text into an artifact.
 *
 * A failed check prints one line; the program's exit status is 0 only if none failed on any process. */
#ifndef SINEW_STAGELIB_H
#define SINEW_STAGELIB_H

#include "../files.h"

#include "compare/pair.h"
#include "formats/catalogue.h"
#include "hdf5/digest.h"
#include "study/registry.h"
#include "study/tables.h"
#include "study/stage.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

struct world {
    struct comm comm;
    struct mem mem;
    struct arena arena;
    struct log log;
    char root[200];
    int keep; /* the folder was given, and stays */
    int bare; /* artifacts are written without digests: for who measures what these cost */
    int64_t failures;
};

/* ---- checks: Local ---- */

__attribute__((format(printf, 3, 4))) static inline int check(struct world *w, int ok, const char *fmt, ...)
{
    if (ok)
        return 1;
    va_list ap;
    va_start(ap, fmt);
    printf("process %d of %d: ", w->comm.me, w->comm.np);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    w->failures++;
    return 0;
}

static inline void check_int(struct world *w, const char *what, int64_t found, int64_t expected)
{
    check(w, found == expected, "%s is %lld, expected %lld", what, (long long)found, (long long)expected);
}

/* NaN is expected where `expected` is NaN. */
static inline void check_real(struct world *w, const char *what, double found, double expected, double error)
{
    int fine = isnan(expected) ? isnan(found) : fabs(found - expected) <= error;
    check(w, fine, "%s is %.17g, expected %.17g", what, found, expected);
}

static inline void check_text(struct world *w, const char *what, const char *found, const char *expected)
{
    check(w, strcmp(found, expected) == 0, "%s is \"%s\", expected \"%s\"", what, found, expected);
}

/* ---- beginning and end: Collective ---- */

/* folder: where files go, or NULL for a temporary one. budget_bytes: 0 for no limit. */
static inline void world_init(struct world *w, const char *folder, size_t budget_bytes)
{
    *w = (struct world){.keep = folder != NULL};
    comm_init(&w->comm, MPI_COMM_WORLD);
    mem_start();
    mem_init(&w->mem, budget_bytes);
    arena_init(&w->arena, &w->mem);
    log_init(&w->log, LOG_QUIET, 0);
    h5_start();
    if (folder)
        snprintf(w->root, sizeof w->root, "%s", folder);
    else if (w->comm.me == 0 && folder_make(w->root, sizeof w->root) != 0) {
        printf("%s: cannot be made\n", w->root);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    comm_bcast(&w->comm, w->root, (int64_t)sizeof w->root, 0);
}

/* Returns the exit status. */
static inline int world_end(struct world *w)
{
    MPI_Barrier(w->comm.mpi);
    if (!w->keep && w->comm.me == 0)
        check(w, folder_remove(w->root) == 0, "%s: cannot be removed", w->root);
    arena_release(&w->arena);
    check(w, w->mem.live_bytes == 0, "%zu bytes are still held at the end", w->mem.live_bytes);
    int64_t all = w->failures;
    comm_sum(&w->comm, &all, 1);
    return all != 0;
}

/* ---- files ---- */

/* Local. Memory of the test itself, zeroed; a test that has none left ends the job. */
static inline void *take(struct world *w, int64_t n, size_t size)
{
    struct err e;
    void *p;
    err_clear(&e);
    if (arena_array_at(&w->arena, "test", n, size, &p, &e) != ERR_OK) {
        printf("%s\n", e.text);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return p;
}

/* Local. ROOT/NAME, owned by the world. */
__attribute__((format(printf, 2, 3))) static inline char *in_root(struct world *w, const char *fmt, ...)
{
    char name[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    size_t size = strlen(w->root) + strlen(name) + 2;
    char *path = take(w, (int64_t)size, 1);
    snprintf(path, size, "%s/%s", w->root, name);
    return path;
}

/* Collective. Process 0 writes n tensors to ROOT/NAME.safetensors. */
static inline char *write_model(struct world *w, const char *name, const struct stored_tensor *tensors,
                                int64_t n, const void *const *bytes)
{
    char *path = in_root(w, "%s.safetensors", name);
    struct err e;
    err_clear(&e);
    if (w->comm.me == 0) {
        struct stored_tensor *t = take(w, n, sizeof *t);
        memcpy(t, tensors, (size_t)n * sizeof *t);
        check(w, model_write(path, t, n, bytes, NULL, 0, &w->arena, &e) == 0, "%s: not written %s", path,
              e.text);
    }
    MPI_Barrier(w->comm.mpi);
    return path;
}

/* ---- stages ---- */

/* Local. The stage's parameters: its defaults, then settings: name, text as in YAML, ..., NULL. */
static inline void *stage_params(struct world *w, const struct stage *s, const char *const *settings)
{
    struct err e;
    err_clear(&e);
    char *params = take(w, (int64_t)s->params_size, 1);
    check(w, param_defaults(s->params, params, &w->arena, &e) == ERR_OK, "%s: %s", s->kind, e.text);
    for (; settings && settings[0]; settings += 2) {
        struct param one[2] = {{0}, {0}}; /* set as if the text were its default */
        for (const struct param *p = s->params; p->name; p++)
            if (strcmp(p->name, settings[0]) == 0)
                one[0] = *p;
        one[0].fallback = settings[1];
        err_clear(&e);
        check(w, one[0].name && param_defaults(one, params, &w->arena, &e) == ERR_OK, "%s: %s: %s %s",
              s->kind, settings[0], settings[1], e.text);
    }
    return params;
}

/* Collective. Runs a stage as the engine does, into the artifact at path, and ends that. ctx: what the node
 * works on: label, cell, checkpoint, base, inputs; the rest is filled in here. Returns the code agreed upon,
 * its text in e. */
static inline err_t run_stage(struct world *w, struct ctx ctx, const char *kind, const char *const *settings,
                              const char *path, struct err *e)
{
    const struct stage *s = registry_find(kind);
    struct artifact out;
    struct arena arena; /* the node's: what a stage leaves there is gone with it */
    struct headers headers;
    double bytes = 0;
    err_clear(e);
    ctx.params = stage_params(w, s, settings);
    arena_init(&arena, &w->mem);
    headers_init(&headers, &w->mem);
    ctx.comm = &w->comm;
    ctx.headers = &headers;
    ctx.arena = &arena;
    ctx.log = &w->log;
    ctx.node = kind;
    ctx.out = &out;
    ctx.bytes_done = &bytes;
    ctx.memory_bytes = (int64_t)w->mem.budget_bytes;
    err_t code = artifact_begin(&out, &w->comm, path, &arena, e);
    out.bare = w->bare;
    if (code == ERR_OK) {
        code = s->run(&ctx, e);
        err_t ended = artifact_end(&out, code == ERR_OK, e);
        code = code != ERR_OK ? code : ended;
    }
    check(w, code == e->code, "%s returned %d, its error says %d", kind, (int)code, (int)e->code);
    headers_release(&headers);
    arena_release(&arena);
    return code;
}

/* Collective. As run_stage, and must succeed. Returns path. */
static inline const char *must_run(struct world *w, struct ctx ctx, const char *kind,
                                   const char *const *settings, const char *path)
{
    struct err e;
    err_t code = run_stage(w, ctx, kind, settings, path, &e);
    check(w, code == ERR_OK, "%s: %s", path, e.text);
    return path;
}

/* Collective. The stage must have failed with this code on all processes, all with one text that holds
 * `says`, and have left nothing under the artifact's names. */
static inline void check_refusal(struct world *w, err_t code, const struct err *e, err_t expected,
                                 const char *says, const char *path)
{
    char text[sizeof e->text];
    check(w, code == expected, "%s: code %d, expected %d: %s", path, (int)code, (int)expected, e->text);
    check(w, strstr(e->text, says) != NULL, "%s: \"%s\" does not say \"%s\"", path, e->text, says);
    memcpy(text, e->text, sizeof text);
    comm_bcast(&w->comm, text, (int64_t)sizeof text, 0);
    check(w, strcmp(text, e->text) == 0, "%s: \"%s\", but on process 0 \"%s\"", path, e->text, text);
    MPI_Barrier(w->comm.mpi);
    check(w, access(path, F_OK) != 0, "%s: was left behind", path);
    check(w, !file_has_partial(path), "%s: a partial file was left behind", path);
    MPI_Barrier(w->comm.mpi);
}

/* Collective. Writes a model and runs load on it. Returns the catalogue's path, ROOT/NAME.h5. */
static inline const char *load_model(struct world *w, const char *name, const struct stored_tensor *t,
                                     int64_t n, const void *const *bytes)
{
    char *model = write_model(w, name, t, n, bytes);
    struct ctx ctx = {.label = model, .checkpoint = model, .role = "base"};
    return must_run(w, ctx, "load", NULL, in_root(w, "%s.h5", name));
}

/* Collective. Runs delta on two catalogues, which must succeed. */
static inline const char *run_delta(struct world *w, const struct cell *cell, const char *base,
                                    const char *tuned, const char *const *settings, const char *path)
{
    const struct input inputs[] = {{.kind = "load", .node = "load", .role = "base", .path = base},
                                   {.kind = "load", .node = "load", .role = "tuned", .path = tuned}};
    struct ctx ctx = {.label = cell->name, .cell = cell, .inputs = inputs, .ninputs = 2};
    return must_run(w, ctx, "delta", settings, path);
}

/* Collective. Runs a stage of cell scope that needs delta. */
static inline err_t run_on_delta(struct world *w, const struct cell *cell, const char *delta,
                                 const char *kind, const char *const *settings, const char *path,
                                 struct err *e)
{
    const struct input input = {.kind = "delta", .node = "delta", .cell = cell, .role = "", .path = delta};
    struct ctx ctx = {.label = cell->name, .cell = cell, .inputs = &input, .ninputs = 1};
    return run_stage(w, ctx, kind, settings, path, e);
}

/* ---- reading artifacts: Local ---- */

/* A table of an artifact, owned by the world; empty, and a failure, where it cannot be read. */
static inline struct table read_table(struct world *w, const char *path, const char *name)
{
    struct table t;
    struct h5 *f = NULL;
    struct err e;
    err_clear(&e);
    table_start(&t, tables_find(name), &w->arena);
    if (h5_open_sealed(path, &w->arena, &f, &e) == ERR_OK)
        h5_table_read(f, name, &t, 0, -1, NULL, &e);
    h5_close(f, &e);
    check(w, e.code == ERR_OK, "%s: table %s: %s", path, name, e.text);
    return t;
}

/* A bulk dataset of *n elements; room for one is there in any case. */
static inline void *read_bulk(struct world *w, const char *path, const char *name, enum h5_type type,
                              size_t size, int64_t *n)
{
    struct h5 *f = NULL;
    struct h5_bulk *d;
    struct err e;
    void *buf = NULL;
    err_clear(&e);
    *n = 0;
    if (h5_open_sealed(path, &w->arena, &f, &e) == ERR_OK && h5_find(f, name, type, &d, n, &e) == ERR_OK) {
        buf = take(w, *n + 1, size);
        h5_get(d, 0, *n, buf, &e);
    }
    h5_close(f, &e);
    check(w, e.code == ERR_OK, "%s: %s: %s", path, name, e.text);
    return buf ? buf : take(w, 1, size);
}

/* Process 0. Flips one bit of a dataset of 64-bit words. */
static inline void flip_bit(struct world *w, const char *path, const char *name, int64_t bit)
{
    struct h5 *f = NULL;
    struct h5_bulk *d;
    struct err e;
    uint64_t word;
    int64_t n;
    err_clear(&e);
    if (h5_open(path, 1, &w->arena, &f, &e) == ERR_OK && h5_find(f, name, H5_BITS64, &d, &n, &e) == ERR_OK &&
        h5_get(d, bit / 64, 1, &word, &e) == ERR_OK) {
        word ^= (uint64_t)1 << bit % 64;
        h5_put(d, bit / 64, 1, &word, &e);
    }
    if (h5_close(f, &e) == ERR_OK)
        digest_seal(path, &w->arena, &e);
    check(w, e.code == ERR_OK, "%s: %s: %s", path, name, e.text);
}

/* The first row from `row` on whose column holds the text; -1 where there is none. */
static inline int64_t find_row(const struct table *t, int64_t row, const char *column, const char *text)
{
    while (row < t->nrows && strcmp(table_text(t, row, column), text) != 0)
        row++;
    return row < t->nrows ? row : -1;
}

#endif
