/* Dict: numbers found by text. */
#include "unitlib.h"

#include "base/dict.h"

#include <stdio.h>

static void test_empty(void **state)
{
    struct bench *b = *state;
    struct dict d = {.arena = &b->arena};
    assert_int_equal(dict_find(&d, ""), -1);
    assert_int_equal(dict_find(&d, "a"), -1);
}

static void test_put_and_find(void **state)
{
    struct bench *b = *state;
    struct dict d = {.arena = &b->arena};
    assert_int_equal(dict_put(&d, "", 7, &b->err), ERR_OK);
    assert_int_equal(dict_put(&d, "a", 0, &b->err), ERR_OK);
    assert_int_equal(dict_put(&d, "a", 3, &b->err), ERR_OK);
    assert_int_equal(d.n, 2);
    assert_int_equal(dict_find(&d, ""), 7);
    assert_int_equal(dict_find(&d, "a"), 3);
    assert_int_equal(dict_find(&d, "b"), -1);
}

/* Each stays what it was while the table is widened under it. */
static void test_many(void **state)
{
    struct bench *b = *state;
    struct dict d = {.arena = &b->arena};
    enum { N = 5000 };
    for (int i = 0; i < N; i++) {
        char *key = arena_printf(&b->arena, &b->err, "model-%d", i);
        assert_int_equal(dict_put(&d, key, i, &b->err), ERR_OK);
    }
    assert_int_equal(d.n, N);
    for (int i = 0; i < N; i++) {
        char key[32];
        snprintf(key, sizeof key, "model-%d", i);
        assert_int_equal(dict_find(&d, key), i);
    }
    assert_int_equal(dict_find(&d, "model-5000"), -1);
}

static void test_no_memory(void **state)
{
    struct bench *b = *state;
    struct dict d = {.arena = &b->arena};
    b->mem.budget_bytes = 100;
    assert_int_equal(dict_put(&d, "a", 1, &b->err), ERR_SYSTEM);
    assert_int_equal(dict_find(&d, "a"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_BENCH(test_empty), TEST_BENCH(test_put_and_find),
                                       TEST_BENCH(test_many), TEST_BENCH(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
