/* What the tests of the engine share: a study from its YAML, of stages that do as they are told
 * (stage_fake.h), and artifacts written as the runner writes them. */
#ifndef SINEW_STUDYLIB_H
#define SINEW_STUDYLIB_H

#include "unitlib.h"

#include "../stage_fake.h"

#include "base/text.h"
#include "engine/fresh.h"
#include "study/choices.h"
#include "study/dag.h"

#include <mpi.h>

struct study {
    struct bench bench;
    struct problems problems;
    struct config config;
    struct dag dag;
    struct freshness *all; /* of each node of dag */
    struct headers headers;
};

static inline int study_setup(void **state)
{
    if (bench_new(state, sizeof(struct study), WITH_FOLDER) != 0)
        return -1;
    struct study *s = *state;
    headers_init(&s->headers, &s->bench.mem);
    return 0;
}

static inline int study_teardown(void **state)
{
    struct study *s = *state;
    headers_release(&s->headers);
    return bench_delete(state);
}

/* A test whose state is a struct study, with a folder. */
#define TEST_STUDY(f) cmocka_unit_test_setup_teardown(f, study_setup, study_teardown)

/* FOLDER/NAME of the test, arena-owned. */
__attribute__((format(printf, 2, 3))) static inline char *in_folder(struct study *s, const char *fmt, ...)
{
    char name[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    char *path = arena_printf(&s->bench.arena, &s->bench.err, "%s/%s", s->bench.folder, name);
    assert_non_null(path);
    return path;
}

/* Parses a study and builds its DAG; it must be right. $DIR in the YAML is the test's folder. */
static inline void study_read(struct study *s, const char *yaml)
{
    struct bench *b = &s->bench;
    struct comm self = {.mpi = MPI_COMM_SELF, .np = 1};
    setenv("DIR", b->folder, 1);
    err_t code =
        config_parse(&s->config, "s.yaml", yaml, (int64_t)strlen(yaml), &s->problems, &b->arena, &b->err);
    for (int i = 0; i < s->problems.n; i++)
        print_message("  %s\n", s->problems.list[i].text);
    assert_int_equal(code, ERR_OK);
    assert_int_equal(choices_settle(&self, &s->config, &b->arena, &b->err), ERR_OK);
    assert_int_equal(dag_build(&s->dag, &s->config, &b->arena, &b->err), ERR_OK);
    assert_int_equal(arena_array(&b->arena, "test", s->dag.nnodes, &s->all, &b->err), ERR_OK);
}

/* The node of this name on this label; the test fails where there is none. */
static inline int study_node(const struct study *s, const char *name, const char *label)
{
    for (int i = 0; i < s->dag.nnodes; i++)
        if (strcmp(s->config.nodes[s->dag.nodes[i].decl].name, name) == 0 &&
            strcmp(s->dag.nodes[i].label, label) == 0)
            return i;
    fail_msg("there is no node %s of %s", name, label);
    return -1;
}

/* Computes the freshness of all nodes. */
static inline void study_judge(struct study *s)
{
    headers_round(&s->headers);
    for (int i = 0; i < s->dag.nnodes; i++)
        assert_int_equal(fresh_node(&s->dag, i, s->all, &s->headers, &s->bench.arena, &s->bench.err), ERR_OK);
}

/* Runs node i by itself, as the runner would, into its artifact. Freshness must have been computed. */
static inline void study_make(struct study *s, int i)
{
    struct bench *b = &s->bench;
    const struct node *n = &s->dag.nodes[i];
    struct comm self = {.mpi = MPI_COMM_SELF, .np = 1};
    struct artifact out;
    struct arena a;
    struct h5 *f;
    double bytes = 0;
    arena_init(&a, &b->mem);
    struct ctx ctx = node_ctx(&s->dag, n, &a);
    ctx.comm = &self;
    ctx.headers = &s->headers;
    ctx.out = &out;
    ctx.bytes_done = &bytes;
    if (artifact_begin(&out, &self, n->path, &a, &b->err) == ERR_OK &&
        n->stage->run(&ctx, &b->err) == ERR_OK && artifact_tables(&out, &f, &b->err) == ERR_OK)
        fresh_mark(&s->dag, i, &s->all[i], f, &b->err);
    artifact_end(&out, b->err.code == ERR_OK, &b->err);
    if (b->err.code != ERR_OK)
        fail_msg("%s: %s", n->path, b->err.text);
    arena_release(&a);
}

/* Runs all nodes in order; afterwards all are fresh. */
static inline void study_make_all(struct study *s)
{
    for (int i = 0; i < s->dag.nnodes; i++) {
        headers_round(&s->headers);
        assert_int_equal(fresh_node(&s->dag, i, s->all, &s->headers, &s->bench.arena, &s->bench.err), ERR_OK);
        study_make(s, i);
    }
    study_judge(s);
}

#endif
