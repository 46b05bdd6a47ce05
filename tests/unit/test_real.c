/* Reals as texts that read back: letter for letter what printf and strtod give. */
#include "unitlib.h"

#include "report/real.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rule, by the library's own functions. */
static int by_printf(double x, char text[REAL_TEXT])
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, REAL_TEXT, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return n;
}

static void compare(double x)
{
    char mine[REAL_TEXT], theirs[REAL_TEXT];
    int n = real_exact(x, mine), expected = by_printf(x, theirs);
    assert_string_equal(mine, theirs);
    assert_int_equal(n, expected);
}

static void test_known(void **state)
{
    static const struct {
        double x;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {1e-5, "1e-05"},
                 {0.0001, "0.0001"},
                 {1.25e-7, "1.25e-07"},
                 {5e-324, "4.94065645841247e-324"},
                 {NAN, "nan"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[REAL_TEXT];
        assert_int_equal(real_exact(cases[i].x, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

/* Powers of two, whose neighbours are not equally far, powers of ten, and where the quick way ends. */
static void test_edges(void **state)
{
    (void)state;
    for (int i = -1074; i < 1024; i++) {
        compare(nextafter(ldexp(1, i), 0));
        compare(ldexp(1, i));
        compare(-nextafter(ldexp(1, i), INFINITY));
    }
    for (int i = -320; i < 309; i++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", i);
        double x = strtod(text, NULL);
        compare(x);
        compare(nextafter(x, 0));
        compare(nextafter(x, INFINITY));
    }
}

static void test_many(void **state)
{
    uint64_t r = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 400000; i++) {
        double x;
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        if (i % 4 == 0) /* any bits */
            memcpy(&x, &r, sizeof x);
        else if (i % 4 == 1) /* shares */
            x = (double)(r >> 11) / 9007199254740992.0;
        else if (i % 4 == 2) /* short ones, and what is in the middle of two texts */
            x = ldexp((double)(r % 100000), -(int)(r >> 40) % 50);
        else
            x = (double)(r % 1000000007) / (double)(1 + (r >> 32) % 1000000007);
        if (isfinite(x))
            compare(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
