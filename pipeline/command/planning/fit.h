/* Fit: rates of a stage's kinds of work, from nodes that ran: each told so much of each kind, and took so
 * long.
 *
 * Seconds per unit that make the sum of squared relative errors least, each within a tenth and ten times of
 * what is assumed, and near it where the nodes hardly tell (a ridge). Pure. */
#ifndef SINEW_FIT_H
#define SINEW_FIT_H

#include "engine/machine/machine.h"

struct fit_node {
    double amount[RATES]; /* of each kind of work */
    double sec;           /* of the processor; above 0 */
};

/* Local, pure. assumed: rates, above 0. out: the rates; 0 of a kind that no node has any of. */
void fit_rates(const struct fit_node *nodes, int64_t n, int nrates, const double *assumed, double *out);

#endif
