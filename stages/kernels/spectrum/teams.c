#include "kernels/spectrum/teams.h"

#include <stdlib.h>
#include <string.h>

int team_next(int t, int np)
{
    return t < np && 2 * t > np ? np : 2 * t;
}

/* More processes than memory asks for where the matrix would otherwise be what all wait for, and where a team
 * is done earlier, though the rest has to wait for it. */
int team_size(const struct team_costs *k, int64_t rows, int64_t cols, int np, double total)
{
    int t = 1;
    while (t < np && k->bytes(k->arg, rows, cols, t, k->available) > k->available)
        t = team_next(t, np);
    double alone = k->cost(k->arg, rows, cols, 1, k->available), rest = (total - alone) / np;
    while (t < np) {
        int more = team_next(t, np);
        double now = k->cost(k->arg, rows, cols, t, k->available),
               then = k->cost(k->arg, rows, cols, more, k->available);
        if (now * np <= 1.05 * total || then + rest >= (t > 1 ? now + rest : now) ||
            k->bytes(k->arg, rows, cols, more, k->available) > k->available)
            break;
        t = more;
    }
    return t;
}

static int longest_first(const void *x, const void *y)
{
    const struct team_matrix *a = x, *b = y;
    return a->cost > b->cost       ? -1
           : a->cost < b->cost     ? 1
           : a->tensor < b->tensor ? -1
                                   : a->tensor > b->tensor;
}

const struct team_matrix *teams_deal(struct team_matrix *matrices, int64_t n, const struct team_costs *k,
                                     int np, double *load)
{
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        struct team_matrix *m = &matrices[i];
        m->cost = k->cost(k->arg, m->rows, m->cols, 1, k->available);
        total += m->cost;
    }
    qsort(matrices, (size_t)n, sizeof *matrices, longest_first);
    for (int64_t i = 0; i < n; i++) {
        struct team_matrix *m = &matrices[i];
        m->processes = team_size(k, m->rows, m->cols, np, total);
        m->cost = k->cost(k->arg, m->rows, m->cols, m->processes, k->available);
        if (k->bytes(k->arg, m->rows, m->cols, m->processes, k->available) > k->available)
            return m;
    }
    for (int t = 1; t <= np; t = team_next(t, np)) {
        memset(load, 0, (size_t)np * sizeof *load);
        for (int64_t i = 0; i < n; i++) {
            struct team_matrix *m = &matrices[i];
            if (m->processes != t)
                continue;
            for (int team = 1; team < np / t; team++)
                if (load[team] < load[m->team])
                    m->team = team;
            load[m->team] += m->cost;
        }
    }
    return NULL;
}
