/* Pattern: a key of an adapter's rank_pattern or alpha_pattern, matched as PEFT matches it.
 *
 * A key K is a Python regular expression and holds for a module's name where `(.*\.)?(K)$` matches it from
 * its beginning: src/peft/utils/other.py, get_pattern_key. Here it becomes a graph of states that is walked
 * for all ways at once, so that no pattern takes longer than its length times the name's. What is understood:
 * characters, ., classes, \d \w \s and their opposites, escaped characters, groups, |, ^, $, and * + ? {m,n},
 * lazy or not, which is the same for a name that must match to its end. What is not (looking ahead and
 * behind, references, flags, word borders) is refused by name, never guessed at. */
#ifndef SINEW_PATTERN_H
#define SINEW_PATTERN_H

#include "base/err.h"
#include "base/mem.h"

struct module_pattern;

enum { PATTERN_LENGTH = 1000, PATTERN_STATES = 4000 };

/* Local. Makes a pattern of a key, owned by the arena. Returns it; NULL with what is not understood in
 * problem, or with e set where memory is short. */
struct module_pattern *pattern_make(const char *key, char *problem, int size, struct arena *a, struct err *e);

/* Local. Does it hold for a module's name? 1 or 0. */
int pattern_matches(struct module_pattern *p, const char *name);

#endif
