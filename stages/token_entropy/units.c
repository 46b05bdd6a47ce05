#include "token_entropy/units.h"

#include "kernels/entropy/id_sums.h"

#include <math.h>
#include <string.h>

static const int POLICY_BIT = 56; /* of a step's number, above the unit's */

static int64_t item_of(int policy, int64_t first)
{
    return ((int64_t)policy << POLICY_BIT) + first / UNIT;
}

void unit_put(struct journal *j, int policy, int64_t first, int64_t n, const double *nats,
              const uint8_t *rows)
{
    const struct hash_part parts[] = {{nats, (size_t)n * sizeof *nats}, {rows, (size_t)n}};
    journal_put(j, item_of(policy, first), parts, 2);
}

int unit_get(struct journal *j, int policy, int64_t first, int64_t n, double *nats, uint8_t *rows)
{
    char bytes[UNIT * (sizeof *nats + 1)];
    const struct step *s = journal_find(j, item_of(policy, first));
    if (!s || n > UNIT || s->bytes != n * (int64_t)(sizeof *nats + 1) || !journal_get(j, s, bytes))
        return 0;
    memcpy(nats, bytes, (size_t)n * sizeof *nats);
    memcpy(rows, bytes + (size_t)n * sizeof *nats, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        if (!isnan(nats[i]) && !(nats[i] >= 0 && nats[i] < ID_SUMS_MOST_NATS))
            return 0;
    return 1;
}

int unit_kept(const struct journal *j, int policy, int64_t first)
{
    return journal_find(j, item_of(policy, first)) != NULL;
}

int64_t unit_until_kept(const struct journal *j, int policy, int64_t first, int64_t n)
{
    for (int64_t at = first / UNIT * UNIT + UNIT; j && at < first + n; at += UNIT)
        if (unit_kept(j, policy, at))
            return at - first;
    return n;
}

int64_t unit_tokens(const struct journal *j, int policy, int64_t tokens)
{
    const struct step *steps;
    int64_t kept = 0, all = journal_steps(j, &steps);
    for (int64_t i = 0; i < all; i++) {
        int64_t first = (steps[i].item - item_of(policy, 0)) * UNIT;
        if (steps[i].item >= item_of(policy, 0) && first < tokens)
            kept += tokens - first < UNIT ? tokens - first : UNIT;
    }
    return kept;
}
