/* Units: 64 tokens, which stay on one process as one word of the forking mask, and what is kept of them in
 * the journal. */
#ifndef SINEW_TOKEN_UNITS_H
#define SINEW_TOKEN_UNITS_H

#include "study/journal.h"

#include <stdint.h>

enum { UNIT = 64 };

/* Local. Keeps what was found of n tokens from `first` on, a whole unit or a file's last one, of one policy:
 * entropies, and what their rows are (rows.h), where it is time to. */
void unit_put(struct journal *j, int policy, int64_t first, int64_t n, const double *nats,
              const uint8_t *rows);

/* Local. Takes it from where it was kept: 1, or 0 where it was not, or not whole. */
int unit_get(struct journal *j, int policy, int64_t first, int64_t n, double *nats, uint8_t *rows);

/* Local. Is there something of the unit of this token? */
int unit_kept(const struct journal *j, int policy, int64_t first);

/* Local. How many of the n tokens from `first` on lie before the next unit that was kept, that of `first`
 * left out. */
int64_t unit_until_kept(const struct journal *j, int policy, int64_t first, int64_t n);

/* Local. How many of a policy's tokens were kept. */
int64_t unit_tokens(const struct journal *j, int policy, int64_t tokens);

#endif
