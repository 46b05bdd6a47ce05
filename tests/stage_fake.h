/* Stages that do as they are told: one of each scope, whose parameters say how long they take, at which item
 * they fail on which process and with what kind of error, how much memory they take and what they write. The
 * engine is tested with them: they need no checkpoint, and fail where the real ones would not.
 *
 * This file is the registry too (study/registry.h), in place of the machine's: a program that includes it is
 * linked without the real stages. The kinds: `ground` of a checkpoint, `maker` of a checkpoint and writing
 * files beside its artifact, `fake` of a cell, `joint` of a base, `closing` of the study. */
#ifndef SINEW_STAGE_FAKE_H
#define SINEW_STAGE_FAKE_H

#include "base/file.h"
#include "compare/match.h"
#include "hdf5/artifact.h"
#include "study/registry.h"
#include "study/stage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fake_params {
    int64_t items, delay_ms; /* work: items one after the other, agreed upon after each; of each so long */
    const char *slow;        /* the one label that takes so long, others next to nothing; "": all */
    int64_t fail_item, fail_process; /* where it fails: -1 nowhere; the process of its team */
    int family;                      /* with which error */
    const char *only;                /* the one label it fails on; "": all */
    const char *unless;              /* it fails no more once this file is there; "": always */
    int64_t memory;                  /* bytes, divided among the processes */
    int64_t rows, elements;          /* written: to table skipped, to dataset /numbers */
    double cost;                     /* seconds that it says it will take */
    const char *reads;               /* a file that decides its freshness; "": none */
};

/* The families in the order of err_t, without ERR_OK. */
static const char *const fake_families[] = {"config", "data", "system", "numeric", "stopped", "bug", NULL};

#define FAKE_PARAM(name, kind, member, fallback, choices)                                   \
    {                                                                                       \
        name, kind, offsetof(struct fake_params, member), NULL, fallback, 0, 0, choices, "" \
    }
static const struct param fake_params[] = {
    FAKE_PARAM("items", PARAM_INT, items, "1", NULL),
    FAKE_PARAM("delay_ms", PARAM_INT, delay_ms, "0", NULL),
    FAKE_PARAM("slow", PARAM_TEXT, slow, "", NULL),
    FAKE_PARAM("fail_item", PARAM_INT, fail_item, "-1", NULL),
    FAKE_PARAM("fail_process", PARAM_INT, fail_process, "0", NULL),
    FAKE_PARAM("family", PARAM_CHOICE, family, "data", fake_families),
    FAKE_PARAM("only", PARAM_TEXT, only, "", NULL),
    FAKE_PARAM("unless", PARAM_TEXT, unless, "", NULL),
    FAKE_PARAM("memory", PARAM_INT, memory, "0", NULL),
    FAKE_PARAM("rows", PARAM_INT, rows, "1", NULL),
    FAKE_PARAM("elements", PARAM_INT, elements, "0", NULL),
    FAKE_PARAM("cost", PARAM_REAL, cost, "0", NULL),
    FAKE_PARAM("reads", PARAM_TEXT, reads, "", NULL),
    {.name = NULL},
};
#undef FAKE_PARAM

/* Local. One item: waits, and fails where it is told to. */
static err_t fake_item(const struct ctx *ctx, int64_t item, struct err *e)
{
    const struct fake_params *p = ctx->params;
    const struct timespec delay = {p->delay_ms / 1000, p->delay_ms % 1000 * 1000000};
    if (p->delay_ms > 0 && (!p->slow[0] || strcmp(p->slow, ctx->label) == 0))
        nanosleep(&delay, NULL);
    if (item != p->fail_item || ctx->comm->me != p->fail_process % ctx->comm->np)
        return ERR_OK;
    if ((p->only[0] && strcmp(p->only, ctx->label) != 0) || (p->unless[0] && access(p->unless, F_OK) == 0))
        return ERR_OK;
    return err_set(e, (err_t)(ERR_CONFIG + p->family), "item %lld failed as it was told to", (long long)item);
}

/* Collective. Numbers 0, 1, 2, ... by all processes, each its part. */
static err_t fake_numbers(struct ctx *ctx, int64_t n, struct err *e)
{
    struct h5 *f;
    struct h5_bulk *d;
    int64_t from, to, *values = NULL;
    split(n, ctx->comm->np, ctx->comm->me, &from, &to);
    if (arena_array(ctx->arena, "fake.numbers", to - from, &values, e) == ERR_OK)
        for (int64_t i = from; i < to; i++)
            values[i - from] = i;
    TRY_ALL(ctx->comm, e);
    if (artifact_bulk(ctx->out, &f, e) == ERR_OK &&
        h5_bulk(f, "/numbers", H5_INT64, n, 0, "the first whole numbers", NULL, &d, e) == ERR_OK)
        h5_put(d, from, to - from, values, e);
    return comm_agree(ctx->comm, e);
}

/* Process 0. The file beside the artifact: the checkpoint itself, noted as the real stages note theirs. */
static err_t fake_file(struct ctx *ctx, struct table *files, struct err *e)
{
    struct file_stamp stamp;
    TRY(file_write(ctx->checkpoint, "made\n", 5, e));
    if (!file_stamp_of(ctx->checkpoint, &stamp))
        return err_set(e, ERR_SYSTEM, "%s: %s", ctx->checkpoint, strerror(errno));
    return TABLE_ADD(files, e, V_TEXT(ctx->checkpoint), V_INT(stamp.size_bytes), V_INT(stamp.mtime_ns),
                     V_TEXT(""));
}

/* Process 0. Rows that reach the archive, and the list of what was written. */
static err_t fake_tables(struct ctx *ctx, int writes_files, struct err *e)
{
    const struct fake_params *p = ctx->params;
    struct h5 *f;
    struct table rows, files;
    table_init(&rows, "skipped", ctx->arena);
    table_init(&files, "files", ctx->arena);
    for (int64_t i = 0; i < p->rows; i++) {
        char name[32];
        snprintf(name, sizeof name, "row %lld", (long long)i);
        TRY(TABLE_ADD(&rows, e, V_TEXT(ctx->label), V_TEXT(ctx->node), V_TEXT(name), V_INT(i),
                      V_TEXT("written by a stand-in")));
    }
    if (writes_files)
        TRY(fake_file(ctx, &files, e));
    TRY(artifact_tables(ctx->out, &f, e));
    TRY(h5_table_write(f, "skipped", &rows, e));
    return writes_files ? h5_table_write(f, "files", &files, e) : ERR_OK;
}

/* Collective. */
static err_t fake_work(struct ctx *ctx, int writes_files, struct err *e)
{
    const struct fake_params *p = ctx->params;
    char *block = NULL;
    arena_array(ctx->arena, "fake.block", p->memory / ctx->comm->np, &block, e);
    TRY_ALL(ctx->comm, e);
    for (int64_t i = 0; i < p->items; i++) {
        fake_item(ctx, i, e);
        TRY_ALL(ctx->comm, e);
        ctx_progress(ctx, (double)(i + 1) / (double)p->items, 0);
    }
    if (p->elements > 0)
        TRY(fake_numbers(ctx, p->elements, e));
    TRY(artifact_bulk_done(ctx->out, e));
    if (ctx->comm->me == 0)
        fake_tables(ctx, writes_files, e);
    return comm_agree(ctx->comm, e);
}

static err_t fake_run(struct ctx *ctx, struct err *e)
{
    return fake_work(ctx, 0, e);
}

static err_t fake_make(struct ctx *ctx, struct err *e)
{
    return fake_work(ctx, 1, e);
}

static err_t fake_files(const struct ctx *ctx, err_t (*add)(void *arg, const char *path, struct err *e),
                        void *arg, struct err *e)
{
    const struct fake_params *p = ctx->params;
    return p->reads[0] ? add(arg, p->reads, e) : ERR_OK;
}

static err_t fake_ground_files(const struct ctx *ctx,
                               err_t (*add)(void *arg, const char *path, struct err *e), void *arg,
                               struct err *e)
{
    return add(arg, ctx->checkpoint, e);
}

/* It is one that compares the two checkpoints of a cell. */
static void fake_matches(const void *params, struct match_policy *out)
{
    (void)params;
    *out = (struct match_policy){0};
}

static void fake_plan(const struct plan_view *view, struct estimate *out)
{
    const struct fake_params *p = view->params;
    *out =
        (struct estimate){.flops = p->cost * 10e9, .process_bytes = (double)p->memory / view->np, .known = 1};
}

/* Not for cells of the family `none`. */
static int fake_applies(const struct cell *cell)
{
    return strcmp(cell->family, "none") != 0;
}

static const char *const fake_of_ground[] = {"?*maker", NULL};
static const char *const fake_of_cell[] = {"?*ground", "?*maker", "?*fake", "?*joint", NULL};
static const char *const fake_of_base[] = {"?*ground", "?*fake", NULL};
static const char *const fake_of_study[] = {"?*ground", "?*fake", "?*joint", "?*closing", NULL};

/* What they write. */
static const struct schema *const fake_schemas[] = {&schema_skipped, NULL}, *const fake_maker_schemas[] = {
                                                                                &schema_skipped,
                                                                                &schema_files, NULL};

#define FAKE_STAGE(symbol, name, of, ...)                                          \
    static const struct stage symbol = {.kind = name,                              \
                                        .brief = "does as it is told",             \
                                        .version = 1,                              \
                                        .scope = of,                               \
                                        .params = fake_params,                     \
                                        .params_size = sizeof(struct fake_params), \
                                        .plan = fake_plan,                         \
                                        __VA_ARGS__}
FAKE_STAGE(stage_maker, "maker", SCOPE_CHECKPOINT, .run = fake_make, .writes_files = 1,
           .tables = fake_maker_schemas);
FAKE_STAGE(stage_ground, "ground", SCOPE_CHECKPOINT, .run = fake_run, .tables = fake_schemas,
           .inputs = fake_of_ground, .files = fake_ground_files);
FAKE_STAGE(stage_fake, "fake", SCOPE_CELL, .run = fake_run, .tables = fake_schemas, .inputs = fake_of_cell,
           .files = fake_files, .applies = fake_applies, .matches = fake_matches);
FAKE_STAGE(stage_joint, "joint", SCOPE_BASE, .run = fake_run, .tables = fake_schemas, .inputs = fake_of_base);
FAKE_STAGE(stage_closing, "closing", SCOPE_STUDY, .run = fake_run, .tables = fake_schemas,
           .inputs = fake_of_study);
#undef FAKE_STAGE

static const struct stage *const fake_stages[] = {&stage_maker, &stage_ground, &stage_fake, &stage_joint,
                                                  &stage_closing};

const struct stage *const *registry_stages(int *n)
{
    *n = (int)(sizeof fake_stages / sizeof *fake_stages);
    return fake_stages;
}

const struct stage *registry_find(const char *kind)
{
    for (size_t i = 0; i < sizeof fake_stages / sizeof *fake_stages; i++)
        if (strcmp(fake_stages[i]->kind, kind) == 0)
            return fake_stages[i];
    return NULL;
}

#endif
