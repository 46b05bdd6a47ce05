/* Wording: what a study's keys are called where there is no study.
 *
 * Messages and notes tell the remedy in the words of a config: "unmatched: skip", "rows: common" of delta,
 * weights: masters. Who compares two checkpoints by a command has written none; there each of these keys is
 * an option of the same name, and is told as that. */
#ifndef SINEW_WORDING_H
#define SINEW_WORDING_H

#include "base/err.h"
#include "base/mem.h"

/* Local. The text with `"KEY: VALUE" of delta`, `"KEY: VALUE"` and the bare `KEY: VALUE` of a key that is an
 * option as `--KEY VALUE`, `"KEY" of delta` as `--KEY`, and the rules of `rename: ["...", ...]` as one
 * --rename each, quoted for a shell. What is no such key stays. Owned by the arena; NULL with e set. */
char *wording_options(const char *text, struct arena *a, struct err *e);

/* Local. A failure's text likewise, and its item only where that is no node of a study. What does not fit
 * stays as it is. */
void wording_error(struct err *failure, struct arena *a);

#endif
