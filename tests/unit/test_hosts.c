/* Hosts: their processes in words. */
#include "unitlib.h"

#include "engine/hosts/hosts.h"

#include <string.h>

static void in_words(void **state)
{
    (void)state;
    int first[] = {0, 0, 2, 3, 3, 3, 2, 2}; /* by the host's first process */
    const struct hosts h = {.n = 3, .first = first};
    char text[80];
    assert_string_equal(hosts_processes(&h, 8, 0, text, sizeof text), "processes 0 to 1");
    assert_string_equal(hosts_processes(&h, 8, 3, text, sizeof text), "processes 3 to 5");
    assert_string_equal(hosts_processes(&h, 8, 2, text, sizeof text), "3 processes, the first 2");
    assert_string_equal(hosts_processes(&h, 6, 2, text, sizeof text), "process 2");
    assert_int_equal(strlen(hosts_processes(&h, 8, 2, text, 10)), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_words)};
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
