#include "command/planning/fit.h"

#include <math.h>

static const double RIDGE = 1e-4, FURTHEST = 10;
enum { ROUNDS = 400 };

/* The share of node i's time that kind k takes at the assumed rate. */
static double share(const struct fit_node *node, int k, const double *assumed)
{
    return node->amount[k] / assumed[k] / node->sec;
}

void fit_rates(const struct fit_node *nodes, int64_t n, int nrates, const double *assumed, double *out)
{
    double normal[RATES][RATES] = {{0}}, right[RATES] = {0}, slower[RATES];
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < nrates; k++) {
            double x = share(&nodes[i], k, assumed);
            right[k] += x;
            for (int j = 0; j < nrates; j++)
                normal[k][j] += x * share(&nodes[i], j, assumed);
        }
    for (int k = 0; k < nrates; k++)
        slower[k] = 1;
    /* Of a convex function within a box: one variable after the other, until nothing moves. */
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < nrates; k++) {
            double ridge = RIDGE * (double)n, rest = right[k] + ridge;
            for (int j = 0; j < nrates; j++)
                rest -= j == k ? 0 : normal[k][j] * slower[j];
            slower[k] = fmin(FURTHEST, fmax(1 / FURTHEST, rest / (normal[k][k] + ridge)));
        }
    for (int k = 0; k < nrates; k++)
        out[k] = normal[k][k] > 0 ? assumed[k] / slower[k] : 0;
}
