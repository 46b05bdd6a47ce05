/* Lengths of time as a user and the schedulers write them. What a run does with them: e2e/test_stop.py. */
#include "unitlib.h"

#include "engine/stop.h"

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double sec;
    } good[] = {
        {"90s", 90},           {"0s", 0},      {"1.5m", 90},      {"45m", 2700},    {"12h", 43200},
        {"2d", 172800},        {"02:03", 123}, {"1:02:03", 3723}, {"100:00", 6000}, {"1-00:00:10", 86410},
        {"7-23:59:59", 691199}};
    static const char *const bad[] = {"",      "5",      "s",       "-1s",     "1x",  "1ss",   "nan s",
                                      "inf s", "1e999s", "1:2:3:4", "1-2",     "a:b", "-1:00", "1:-2",
                                      ":30",   "1:",     "x-1:00",  "1--1:00", " 1s", "1 s"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(stop_duration(good[i].text) == good[i].sec);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (stop_duration(bad[i]) >= 0)
            fail_msg("\"%s\" is taken for %g s", bad[i], stop_duration(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lengths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
