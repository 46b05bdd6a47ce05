/* As much of cmocka as the unit tests of loops need, for an architecture whose cmocka is not there: the first
 * check that fails is printed and ends the program. */
#ifndef SINEW_ARM_CMOCKA_H
#define SINEW_ARM_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fail_msg(...)                                   \
    do {                                                \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fprintf(stderr, "\n");                          \
        exit(1);                                        \
    } while (0)
#define assert_true(x)          \
    do {                        \
        if (!(x))               \
            fail_msg("%s", #x); \
    } while (0)
#define assert_false(x) assert_true(!(x))
#define assert_non_null(x) assert_true((x) != NULL)
#define assert_string_equal(a, b) assert_true(strcmp((a), (b)) == 0)
#define assert_int_equal(a, b) equal_or_end(__FILE__, __LINE__, #a, (long long)(a), (long long)(b))
#define assert_memory_equal(a, b, n)                     \
    do {                                                 \
        if (memcmp((a), (b), (n)) != 0)                  \
            fail_msg("%s and %s are different", #a, #b); \
    } while (0)

static inline void equal_or_end(const char *file, int line, const char *what, long long found,
                                long long expected)
{
    if (found == expected)
        return;
    fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", file, line, what, found, expected);
    exit(1);
}

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f) \
    {                       \
#f, f               \
    }
#define cmocka_run_group_tests(tests, setup, teardown) run_all(tests, sizeof(tests) / sizeof *(tests))

static inline int run_all(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *state = NULL;
        tests[i].run(&state);
        printf("%s: fine\n", tests[i].name);
    }
    return 0;
}

#endif
