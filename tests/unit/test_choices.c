/* Choices: what the keys weights, adapter and merge come to for each checkpoint, and which checkpoints are
 * one. */

#include "studylib.h"

#include "hdf5/digest.h"
#include "base/path.h"
#include "formats/format.h"

#include <sys/stat.h>

/* ---- formats that are recognised by one file in a folder, and look at what they say ---- */

static err_t open_nothing(struct stored_list *out, const char *path, const struct choice *choice,
                          struct arena *a, struct err *e)
{
    (void)path, (void)choice, (void)a, (void)e;
    *out = (struct stored_list){0};
    return ERR_OK;
}
static err_t open_adapted(struct stored_list *out, const char *path, const struct choice *choice,
                          struct arena *a, struct err *e)
{
    open_nothing(out, path, choice, a, e);
    out->adapted = 1;
    return ERR_OK;
}

static const struct format plain = {.name = "plain",
                                    .endings = {".plain"},
                                    .model = "plain",
                                    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
                                    .open = open_nothing};
static const struct format shards = {.name = "shards",
                                     .endings = {".shards"},
                                     .model = "shards",
                                     .ignores = CHOICE_OF_BASE,
                                     .open = open_nothing};
static const struct format adapter = {
    .name = "adapter", .endings = {".adapter"}, .model = "adapter", .open = open_adapted};
const struct format *const format_table[] = {&plain, &shards, &adapter, NULL};

#define HEAD "study: s\noutput: ${DIR}/out\n"
#define CELL(algorithm, base, tuned, more)                                                                  \
    "  - {family: f, algorithm: " algorithm ", base: \"${DIR}/" base "\", tuned: \"${DIR}/" tuned "\"" more \
    "}\n"
#define STAGES "stages: {ground: {}, fake: {needs: ground}, joint: {needs: [ground, fake]}}\n"

/* A folder with a file by which it is recognised. */
static void put(struct study *s, const char *folder, const char *file)
{
    assert_int_equal(mkdir(in_folder(s, "%s", folder), 0777), 0);
    FILE *f = fopen(in_folder(s, "%s/%s", folder, file), "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

/* The labels of the nodes of a stage, in order, without the test's folder; one string. */
static const char *labels(struct study *s, const char *name)
{
    struct text t = {.arena = &s->bench.arena};
    size_t n = strlen(s->bench.folder) + 1;
    text_add(&t, &s->bench.err, "%s", "");
    for (int i = 0; i < s->dag.nnodes; i++) {
        if (strcmp(s->config.nodes[s->dag.nodes[i].decl].name, name) != 0)
            continue;
        const char *at = s->dag.nodes[i].label, *next;
        for (text_add(&t, &s->bench.err, "%s", t.text[0] ? ", " : ""); (next = strstr(at, s->bench.folder));
             at = next + n)
            text_add(&t, &s->bench.err, "%.*s", (int)(next - at), at);
        text_add(&t, &s->bench.err, "%s", at);
    }
    return t.text;
}

/* ---- tests ---- */

static void names(void **state)
{
    struct study *s = *state;
    struct arena *a = &s->bench.arena;
    struct err *e = &s->bench.err;
    const struct choice none = {0},
                        all = {CHOICE_WEIGHTS_MASTERS, CHOICE_ADAPTER_EXACT, CHOICE_MERGE_SAFE, "b"};
    assert_string_equal(choice_name("p", NULL, a, e), "p");
    assert_string_equal(choice_name("p", &none, a, e), "p");
    assert_string_equal(choice_name("p", &all, a, e),
                        "p (weights: masters, adapter: exact, merge: safe, base: b)");
    struct choice c = choice_without(all, CHOICE_OF_WEIGHTS | CHOICE_OF_BASE);
    assert_string_equal(choice_name("p", &c, a, e), "p (adapter: exact, merge: safe)");
    c = choice_without(all, CHOICE_OF_ALL);
    assert_true(choice_same(&c, &none) && !choice_same(&c, &all));
    c = all;
    c.base = "bb";
    assert_false(choice_same(&c, &all));
}

/* Where no format looks at it a choice makes no node, and no path differs. */
static void ignored(void **state)
{
    struct study *s = *state;
    put(s, "b", "plain");
    put(s, "t", "plain");
    study_read(s, HEAD "cells:\n" CELL("x", "b", "t", "") STAGES);
    const char *before = s->dag.nodes[study_node(s, "ground", in_folder(s, "t"))].path;
    study_read(s, HEAD "cells:\n" CELL("x", "b", "t", ", weights: masters")
                      CELL("y", "b", "t", ", weights: model") CELL("z", "t", "t", "") STAGES);
    assert_string_equal(labels(s, "ground"), "b, t");
    assert_string_equal(labels(s, "joint"), "b, t");
    assert_string_equal(s->dag.nodes[study_node(s, "ground", in_folder(s, "t"))].path, before);
}

/* Masters and model of one folder are two checkpoints, on one base that has neither. */
static void weights(void **state)
{
    struct study *s = *state;
    put(s, "b", "plain");
    put(s, "t", "shards");
    study_read(s, HEAD "cells:\n" CELL("x", "b", "t", "") CELL("y", "b", "t", ", weights: masters")
                      CELL("z", "b", "t", ", weights: model") CELL("v", "t", "b", "") STAGES);
    assert_string_equal(labels(s, "ground"), "b, t, t (weights: masters), t (weights: model)");
    assert_string_equal(labels(s, "joint"), "b, t");
    const struct node *n = &s->dag.nodes[study_node(s, "fake", "f/y/0")];
    char name[200];
    snprintf(name, sizeof name, "%s (weights: masters)", in_folder(s, "t"));
    assert_int_equal(n->input_nodes[1], study_node(s, "ground", name));
    assert_int_equal(s->dag.nodes[n->input_nodes[1]].choice.weights, CHOICE_WEIGHTS_MASTERS);
    study_read(s, HEAD "cells:\n" CELL("x", "t", "t", ", weights: model")
                      CELL("y", "t", "t", ", weights: masters") STAGES);
    assert_string_equal(labels(s, "joint"), "t (weights: model), t (weights: masters)");
}

/* An adapter without any key is one on its cell's base; as a base it is what it was tuned to. */
static void adapters(void **state)
{
    struct study *s = *state;
    put(s, "b", "plain");
    put(s, "c", "plain");
    put(s, "a", "adapter");
    study_read(s, HEAD "cells:\n" CELL("x", "b", "a", "") CELL("y", "c", "a", "")
                      CELL("z", "b", "a", ", adapter: exact") CELL("v", "a", "c", "") STAGES);
    assert_string_equal(labels(s, "ground"), "b, a (base: b), c, a (base: c), a (adapter: exact, base: b)");
    assert_string_equal(labels(s, "joint"), "b, c, a (base: b)");
    /* whatever is asked of an adapter, one that is none is one checkpoint */
    study_read(s, HEAD "cells:\n" CELL("x", "b", "c", ", adapter: exact") CELL("y", "b", "c", ", merge: safe")
                      CELL("z", "c", "b", "") STAGES);
    assert_string_equal(labels(s, "ground"), "b, c");
    study_read(s,
               HEAD "matrix: {families: f, algorithms: [p, q], seeds: 0, base: \"${DIR}/{family}\", tuned: "
                    "\"${DIR}/{algorithm}\", merge: safe, adapter: merged}\n" STAGES);
    assert_int_equal(s->config.cells[1].choice.merge, CHOICE_MERGE_SAFE);
    assert_non_null(strstr(s->config.resolved, "q\", adapter: merged, merge: safe}\n"));
    assert_string_equal(labels(s, "ground"), "f, p, q"); /* nothing is there */
}

/* A checkpoint that was removed is what its artifact says it was. */
static void removed(void **state)
{
    struct study *s = *state;
    put(s, "b", "plain");
    put(s, "a", "adapter");
    put(s, "t", "shards");
    static const char *const yaml =
        HEAD "cells:\n" CELL("x", "b", "t", ", weights: masters") CELL("y", "b", "a", "") STAGES;
    for (int there = 1; there >= 0; there--) {
        study_read(s, yaml);
        assert_string_equal(labels(s, "ground"), "b, t (weights: masters), a (base: b)");
        for (int i = s->dag.first[0]; there && i < s->dag.first[1]; i++) {
            const struct node *n = &s->dag.nodes[i];
            struct h5 *f;
            assert_int_equal(path_make_dir(path_dir(&s->bench.arena, n->path, &s->bench.err), &s->bench.err),
                             ERR_OK);
            assert_int_equal(h5_create(n->path, &s->bench.arena, &f, &s->bench.err), ERR_OK);
            h5_set_text(f, "/", "format", i == 0 ? "plain" : i == 1 ? "shards" : "adapter", &s->bench.err);
            assert_int_equal(h5_close(f, &s->bench.err), ERR_OK);
            assert_int_equal(digest_seal(n->path, &s->bench.arena, &s->bench.err), ERR_OK);
        }
        for (int i = 0; there && i < 2; i++) {
            assert_int_equal(unlink(in_folder(s, i ? "t/shards" : "a/adapter")), 0);
            assert_int_equal(rmdir(in_folder(s, i ? "t" : "a")), 0);
        }
    }
    /* of another choice nothing is known: what was catalogued as masters is no model */
    study_read(s, HEAD "cells:\n" CELL("x", "b", "t", ", weights: model") STAGES);
    assert_string_equal(labels(s, "ground"), "b, t");
    study_read(s, HEAD "cells:\n" CELL("x", "b", "t", ", weights: model")
                      CELL("y", "b", "t", ", weights: masters") STAGES);
    assert_string_equal(labels(s, "ground"), "b, t (weights: model), t (weights: masters)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_STUDY(names), TEST_STUDY(ignored), TEST_STUDY(weights),
                                       TEST_STUDY(adapters), TEST_STUDY(removed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
