/* The fit of rates: exact where nodes tell them, what is assumed where they do not, within its limits, and by
 * relative errors, so that a few long nodes do not decide alone. */

#include "unitlib.h"

#include <math.h>

#include "command/planning/fit.h"

static const double assumed[] = {100, 1000, 1e6};

static struct fit_node node(double nodes, double tensors, double elements, const double *rates)
{
    struct fit_node n = {.amount = {nodes, tensors, elements}};
    for (int k = 0; k < 3; k++)
        n.sec += n.amount[k] / rates[k];
    return n;
}

static void near(double x, double expected, double share)
{
    if (fabs(x / expected - 1) > share)
        print_message("%g, expected %g\n", x, expected);
    assert_true(fabs(x / expected - 1) <= share);
}

static void exact(void **state)
{
    (void)state;
    const double rates[] = {250, 4000, 3e5};
    const struct fit_node nodes[] = {node(1, 1, 10, rates), node(1, 100, 1e3, rates), node(1, 20, 1e6, rates),
                                     node(1, 300, 2e5, rates)};
    double out[RATES];
    fit_rates(nodes, 4, 3, assumed, out);
    for (int k = 0; k < 3; k++)
        near(out[k], rates[k], 0.01);
}

/* A kind that no node has any of is not told; one that hardly counts stays as assumed; none leaves its
 * limits. */
static void little_told(void **state)
{
    (void)state;
    const double rates[] = {100, 1000, 1e9};
    struct fit_node nodes[] = {node(1, 0, 10, rates), node(1, 0, 20, rates)};
    double out[RATES];
    fit_rates(nodes, 2, 3, assumed, out);
    near(out[0], 100, 0.01);
    assert_true(out[1] == 0);
    near(out[2], 1e6, 0.2);
    const double fast[] = {1e6, 1e9, 1e12};
    nodes[0] = node(1, 1, 1e9, fast);
    nodes[1] = node(1, 50, 1e3, fast);
    fit_rates(nodes, 2, 3, assumed, out);
    for (int k = 0; k < 3; k++)
        assert_true(out[k] <= 10 * assumed[k] * (1 + 1e-9) && out[k] >= assumed[k] / 10 * (1 - 1e-9));
}

/* Of times that no rates explain each counts by its relative error: 1 s and 3 s for the same work are 1.2 s.
 */
static void relative(void **state)
{
    (void)state;
    const struct fit_node nodes[] = {{.amount = {100}, .sec = 1}, {.amount = {100}, .sec = 3}};
    double out[RATES];
    fit_rates(nodes, 2, 1, assumed, out);
    /* x minimises (x - 1)^2 + (x / 3 - 1)^2: 1.2 */
    near(out[0], 100 / 1.2, 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact), cmocka_unit_test(little_told),
                                       cmocka_unit_test(relative)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
