/* Messages of a study in the words of options. */
#include "unitlib.h"

#include "command/wording.h"

#include <string.h>

static const struct {
    const char *text, *want;
} cases[] = {
    {"", ""},
    {"nothing of it", "nothing of it"},
    {"\"rename\" of delta matches, \"unmatched: skip\" leaves", "--rename matches, --unmatched skip leaves"},
    {"\"coverage: any\" of delta, or 0.5", "--coverage any, or 0.5"},
    {"; \"rows: common\" of deltas", "; --rows common of deltas"},
    {"taken; weights: masters takes them", "taken; --weights masters takes them"},
    {"weights: other, my_weights: masters",
     "weights: other, my_weights: masters"}, /* none of the key's values */
    {"weights: mastersX", "weights: mastersX"},
    {"raise memory_per_process or use", "raise --memory or use"},
    {"with rename: [\"a. ->\", \"* -> b.*\"] 2 of 3 match",
     "with --rename 'a. ->' --rename '* -> b.*' 2 of 3 match"},
    {"with rename: [\"it's ->\"] 1", "with rename: [\"it's ->\"] 1"}, /* no shell would take that */
    {"rename: \"a -> b\" matches", "--rename \"a -> b\" matches"},
    {"\"rename", "\"rename"},
    {"\"rows: ", "\"rows: "},
    {"rename: [\"a", "rename: [\"a"},
    {"tensor \"rows\" is", "tensor --rows is"}, /* a name in quotes; those of tensors stand in none */
};

static void test_wording(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = wording_options(cases[i].text, &b->arena, &b->err);
        assert_non_null(got);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, got, cases[i].want);
    }
    struct err e;
    err_clear(&e);
    err_set(&e, ERR_DATA, "\"rows: skip\" of delta leaves it");
    err_item(&e, "delta of a/b/0");
    wording_error(&e, &b->arena);
    assert_string_equal(e.text, "--rows skip leaves it");
    assert_string_equal(e.item, "");
    err_clear(&e);
    err_set(&e, ERR_NUMERIC, "no convergence");
    err_item(&e, "model.norm.weight");
    wording_error(&e, &b->arena);
    assert_string_equal(e.text, "no convergence");
    assert_string_equal(e.item, "model.norm.weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_BENCH(test_wording)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
