/* Patterns of adapters, against what Python's re.match(rf"(.*\.)?({K})$", NAME) says. */
#include "unitlib.h"

#include "formats/lora/pattern.h"

#include <time.h>

static const struct row {
    const char *key, *name;
    int holds;
} rows[] = {
    {"q_proj", "model.layers.0.self_attn.q_proj", 1},
    {"q_proj", "q_proj", 1},
    {"q_proj", "model.layers.0.self_attn.xq_proj", 0},
    {"proj", "model.layers.0.self_attn.q_proj", 0},
    {"layers.1.self_attn.q_proj", "model.layers.1.self_attn.q_proj", 1},
    {"layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj", 0},
    {"layers.1.self", "layersx1yself", 1}, /* a dot is any character */
    {"", "model", 0},
    {"", "model.", 1},
    {"^model.*up_proj", "model.layers.0.mlp.up_proj", 1},
    {"^layers.*up_proj", "model.layers.0.mlp.up_proj", 0},
    {".*\\.q_proj", "model.layers.0.self_attn.q_proj", 1},
    {".*\\.q_proj", "q_proj", 0},
    {"layers\\.(0|1)\\..*", "model.layers.1.mlp.up_proj", 1},
    {"layers\\.(0|1)\\..*", "model.layers.2.mlp.up_proj", 0},
    {"layers\\.\\d{2}\\.mlp", "model.layers.12.mlp", 1},
    {"layers\\.\\d{2}\\.mlp", "model.layers.1.mlp", 0},
    {"layers\\.[0-46-9]\\.(?:mlp|attn)", "layers.5.mlp", 0},
    {"layers\\.[^5]\\.(?:mlp|attn)", "layers.4.attn", 1},
    {"(q|v)_proj|o_proj", "layers.0.o_proj", 1},
    {"[qv]_proj$", "layers.0.v_proj", 1},
    {"a{2,}", "aaa", 1},
    {"a{,2}", "aaa", 0},
    {"a{x", "a{x", 1}, /* no count: characters */
    {"(?P<which>q)_proj", "q_proj", 1},
    {"\\w+?_proj", "layers.up_proj", 1},
    {"up|", "up.", 1},
};

static void against_python(void **state)
{
    struct bench *b = *state;
    char problem[200];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct module_pattern *p = pattern_make(rows[i].key, problem, sizeof problem, &b->arena, &b->err);
        if (!p)
            fail_msg("%s: refused: %s", rows[i].key, problem);
        if (pattern_matches(p, rows[i].name) != rows[i].holds)
            fail_msg("%s for %s: expected %d", rows[i].key, rows[i].name, rows[i].holds);
    }
}

static void refused(void **state)
{
    struct bench *b = *state;
    static const char *const keys[][2] = {
        {"(?!q)_proj", "looking ahead"},
        {"(?i)q", "flags"},
        {"\\bq_proj", "escape"},
        {"(q)\\1", "escape"},
        {"q_proj\\", "backslash"},
        {"(q", "( without"},
        {"q)", ") without"},
        {"[q", "[ without"},
        {"*q", "repeats nothing"},
        {"q**", "repeats a repetition"},
        {"q++", "possessive"},
        {"q{3,2}", "{m,n}"},
        {"q{1000}", "{m,n}"},
        {"[z-a]", "backwards"},
        {"[a-\\d]", "class"},
        {"((((a{99}){99}){99}){99}){99}", "too long"},
    };
    char problem[200];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_null(pattern_make(keys[i][0], problem, sizeof problem, &b->arena, &b->err));
        assert_int_equal(b->err.code, ERR_OK);
        if (!strstr(problem, keys[i][1]))
            fail_msg("%s: %s: expected %s", keys[i][0], problem, keys[i][1]);
    }
    char deep[200], longer[1200];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_null(pattern_make(deep, problem, sizeof problem, &b->arena, &b->err));
    memset(longer, '*', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(pattern_make(longer, problem, sizeof problem, &b->arena, &b->err));
}

/* What takes a matcher that goes back longer than the world's age. */
static void bombs(void **state)
{
    struct bench *b = *state;
    static const char *const keys[] = {"(a*)*b", "(a|a)*b", "((a?){30})*b", "(.*)(.*)(.*)(.*)(.*)(.*)b"};
    char name[2000], problem[200];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    clock_t start = clock();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct module_pattern *p = pattern_make(keys[i], problem, sizeof problem, &b->arena, &b->err);
        assert_non_null(p);
        assert_int_equal(pattern_matches(p, name), 0);
    }
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_python, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(refused, bench_setup, bench_delete),
        cmocka_unit_test_setup_teardown(bombs, bench_setup, bench_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
