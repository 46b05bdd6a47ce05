/* DAG: which nodes a study has, what each needs, in which order they run and where their artifacts are. */

#include "studylib.h"

#define HEAD "study: s\noutput: ${DIR}/out\n"
#define MATRIX                                                          \
    "matrix:\n  families: [f, g]\n  algorithms: [a, b]\n  seeds: [0]\n" \
    "  base: m/{family}/base\n  tuned: m/{family}/{algorithm}\n"
#define STAGES                                                                                                 \
    "stages:\n  end: {kind: closing, needs: [all, one, ground]}\n  all: {kind: joint, needs: [one, ground]}\n" \
    "  one: {kind: fake, needs: [ground]}\n  ground: {}\n"

static const char *input_text(struct study *s, int i)
{
    const struct node *n = &s->dag.nodes[i];
    struct text t = {.arena = &s->bench.arena};
    text_add(&t, &s->bench.err, "%s", "");
    for (int k = 0; k < n->ninputs; k++) {
        const struct input *in = &n->inputs[k];
        const struct node *below = &s->dag.nodes[n->input_nodes[k]];
        assert_ptr_equal(in->path, below->path);
        assert_string_equal(in->kind, below->stage->kind);
        assert_ptr_equal(in->cell, below->stage->scope == SCOPE_CELL ? below->cell : NULL);
        text_add(&t, &s->bench.err, "%s%s of %s%s%s", k ? ", " : "", in->node, below->label,
                 in->role[0] ? " as " : "", in->role);
    }
    return t.text;
}

/* What must hold of every DAG: groups in order, everything a node needs before it, each path once. */
static void check_shape(const struct study *s)
{
    const struct dag *d = &s->dag;
    assert_int_equal(d->first[0], 0);
    assert_int_equal(d->first[s->config.nnodes], d->nnodes);
    for (int k = 0; k < s->config.nnodes; k++)
        for (int i = d->first[k]; i < d->first[k + 1]; i++)
            assert_int_equal(d->nodes[i].decl, d->order[k]);
    for (int i = 0; i < d->nnodes; i++) {
        for (int k = 0; k < d->nodes[i].ninputs; k++)
            assert_true(d->nodes[i].input_nodes[k] < i);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(d->nodes[i].path, d->nodes[k].path);
    }
}

static void scopes(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX STAGES);
    check_shape(s);
    assert_int_equal(s->dag.nnodes, 6 + 4 + 2 + 1);
    static const char *const order[] = {"ground", "one", "all", "end"};
    for (int k = 0; k < 4; k++)
        assert_string_equal(s->config.nodes[s->dag.order[k]].name, order[k]);
    assert_string_equal(input_text(s, study_node(s, "ground", "m/f/base")), "");
    assert_string_equal(input_text(s, study_node(s, "one", "g/b/0")),
                        "ground of m/g/base as base, ground of m/g/b as tuned");
    assert_string_equal(input_text(s, study_node(s, "all", "m/g/base")),
                        "one of g/a/0, one of g/b/0, ground of m/g/base as base");
    const struct node *end = &s->dag.nodes[study_node(s, "end", "s")];
    assert_int_equal(end->ninputs, 2 + 4 + 6);
    assert_int_equal(end->ncells, 4);
    const struct node *all = &s->dag.nodes[study_node(s, "all", "m/g/base")];
    assert_int_equal(all->ncells, 2);
    assert_string_equal(all->cells[1]->name, "g/b/0");
    assert_null(all->cell);
    assert_string_equal(s->dag.archive + strlen(s->config.output), "/s.h5");
}

static void paths(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX STAGES);
    const char *out = s->config.output;
    char expected[200];
    snprintf(expected, sizeof expected, "%s/cells/g/b/0/one.h5", out);
    assert_string_equal(s->dag.nodes[study_node(s, "one", "g/b/0")].path, expected);
    snprintf(expected, sizeof expected, "%s/study/end.h5", out);
    assert_string_equal(s->dag.nodes[study_node(s, "end", "s")].path, expected);
    snprintf(expected, sizeof expected, "%s/bases/m-g-base-", out);
    assert_memory_equal(s->dag.nodes[study_node(s, "all", "m/g/base")].path, expected, strlen(expected));
    snprintf(expected, sizeof expected, "%s/checkpoints/m-g-b-", out);
    assert_memory_equal(s->dag.nodes[study_node(s, "ground", "m/g/b")].path, expected, strlen(expected));
}

/* Folder names of checkpoints: readable, never hidden, never with anything but letters, digits, . _ - in
 * them, and different where the paths are. */
static void slugs(void **state)
{
    struct study *s = *state;
    study_read(
        s, HEAD
        "cells:\n"
        "  - {family: f, algorithm: a, base: /x/one/two/three, tuned: /y/one/two/three}\n"
        "  - {family: f, algorithm: b, base: .hidden, tuned: 'a b/\xc3\xa9 $(rm)'}\n"
        "  - {family: f, algorithm: c, base: /, tuned: ..}\n"
        "  - {family: f, algorithm: d, base: a.b, tuned: "
        "x/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy}\n"
        "stages: {ground: {}}\n");
    check_shape(s);
    assert_int_equal(s->dag.nnodes, 8);
    for (int i = 0; i < s->dag.nnodes; i++) {
        const char *folder = s->dag.nodes[i].path + strlen(s->config.output);
        assert_memory_equal(folder, "/checkpoints/", 13);
        folder += 13;
        size_t n = strcspn(folder, "/");
        assert_string_equal(folder + n, "/ground.h5");
        assert_true(n >= 9 && n < 100 && folder[0] != '.');
        assert_int_equal(strspn(folder, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"),
                         n);
    }
}

/* A checkpoint that one cell starts from and another was tuned to is one node, told from the view of the cell
 * that made it. */
static void chain(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD "cells:\n"
                       "  - {family: f, algorithm: second, base: mid, tuned: end}\n"
                       "  - {family: f, algorithm: first, base: start, tuned: mid}\n"
                       "  - {family: f, algorithm: still, base: start, tuned: start}\n"
                       "stages: {ground: {}, fake: {needs: ground}, joint: {needs: fake}}\n");
    check_shape(s);
    assert_int_equal(s->dag.nnodes, 3 + 3 + 2);
    const struct node *mid = &s->dag.nodes[study_node(s, "ground", "mid")];
    assert_string_equal(mid->role, "tuned");
    assert_string_equal(mid->cell->name, "f/first/0");
    const struct node *start = &s->dag.nodes[study_node(s, "ground", "start")];
    assert_string_equal(start->role, "tuned"); /* of the cell that did not move */
    assert_string_equal(start->cell->name, "f/still/0");
    assert_string_equal(s->dag.nodes[study_node(s, "ground", "end")].role, "tuned");
    assert_string_equal(input_text(s, study_node(s, "fake", "f/second/0")),
                        "ground of mid as base, ground of end as tuned");
    assert_string_equal(input_text(s, study_node(s, "fake", "f/still/0")),
                        "ground of start as base, ground of start as tuned");
    assert_string_equal(input_text(s, study_node(s, "joint", "start")),
                        "fake of f/first/0, fake of f/still/0");
}

/* A stage that does not apply to a cell has no node there, and who needs it does without. */
static void does_not_apply(void **state)
{
    struct study *s = *state;
    study_read(s,
               HEAD "cells:\n"
                    "  - {family: none, algorithm: a, base: b, tuned: t}\n"
                    "  - {family: f, algorithm: a, base: b, tuned: u}\n"
                    "  - {family: none, algorithm: a, seed: 1, base: c, tuned: v}\n"
                    "stages: {fake: {}, after: {kind: fake, needs: fake}, joint: {needs: [fake, after]}}\n");
    check_shape(s);
    assert_int_equal(s->dag.nnodes, 1 + 1 + 2);
    assert_string_equal(input_text(s, study_node(s, "after", "f/a/0")), "fake of f/a/0");
    assert_string_equal(input_text(s, study_node(s, "joint", "b")), "fake of f/a/0, after of f/a/0");
    assert_string_equal(input_text(s, study_node(s, "joint", "c")), "");
    assert_int_equal(s->dag.nodes[study_node(s, "joint", "c")].ncells, 1);
}

/* A cell may need what was found out about its base. */
static void from_the_base(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX "stages: {all: {kind: joint}, one: {kind: fake, needs: all}}\n");
    check_shape(s);
    assert_string_equal(input_text(s, study_node(s, "one", "g/a/0")), "all of m/g/base");
}

/* The study's nodes stand last, even if nothing but their kind says so. */
static void study_last(void **state)
{
    struct study *s = *state;
    study_read(s,
               HEAD MATRIX "stages: {end: {kind: closing}, after: {kind: closing, needs: end}, ground: {}, "
                           "one: {kind: fake}}\n");
    check_shape(s);
    static const char *const order[] = {"ground", "one", "end", "after"};
    for (int k = 0; k < 4; k++)
        assert_string_equal(s->config.nodes[s->dag.order[k]].name, order[k]);
    assert_string_equal(input_text(s, study_node(s, "after", "s")), "end of s");
}

static void context(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX STAGES "memory_per_process: 128 MiB\n");
    const struct node *n = &s->dag.nodes[study_node(s, "one", "f/b/0")];
    struct ctx ctx = node_ctx(&s->dag, n, &s->bench.arena);
    assert_string_equal(ctx.node, "one");
    assert_string_equal(ctx.label, "f/b/0");
    assert_ptr_equal(ctx.params, s->config.nodes[n->decl].params);
    assert_int_equal(ctx.ninputs, 2);
    assert_string_equal(ctx_input(&ctx, "ground", "tuned")->path,
                        s->dag.nodes[study_node(s, "ground", "m/f/b")].path);
    assert_string_equal(ctx_input(&ctx, "ground", NULL)->role, "base");
    assert_null(ctx_input(&ctx, "joint", NULL));
    assert_int_equal(ctx.memory_bytes, 128 << 20);
    assert_string_equal(ctx.archive, s->dag.archive);
    assert_null(ctx.out);
}

/* A circle that a config has in spite of its check is our mistake, and no endless loop. */
static void circle(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX "stages: {one: {kind: fake}, two: {kind: fake, needs: one}}\n");
    int back[] = {1};
    s->config.nodes[0].nneeds = 1;
    s->config.nodes[0].needs = back;
    assert_int_equal(dag_build(&s->dag, &s->config, &s->bench.arena, &s->bench.err), ERR_BUG);
}

static void no_memory(void **state)
{
    struct study *s = *state;
    study_read(s, HEAD MATRIX STAGES);
    int done = 0;
    for (size_t more = 0; !done; more += 512) {
        struct arena a;
        arena_init(&a, &s->bench.mem);
        err_clear(&s->bench.err);
        s->bench.mem.budget_bytes = s->bench.mem.live_bytes + more + 1;
        err_t code = dag_build(&s->dag, &s->config, &a, &s->bench.err);
        assert_true(more < 1000000 && (code == ERR_OK || code == ERR_SYSTEM));
        done = code == ERR_OK;
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STUDY(scopes),         TEST_STUDY(paths),         TEST_STUDY(slugs),      TEST_STUDY(chain),
        TEST_STUDY(does_not_apply), TEST_STUDY(from_the_base), TEST_STUDY(study_last), TEST_STUDY(context),
        TEST_STUDY(circle),         TEST_STUDY(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
