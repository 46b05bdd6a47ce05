/* Suggest: the rules of "rename" by which the names of two checkpoints would match, tried before they are
 * proposed.
 *
 * Tried are, on top of the rules that there are: the words and beginnings that wrappers of modules put into
 * names, taken off where there are any; then the names of vision-language models before and after
 * transformers 4.52, models with and without their head's outer name, torchtitan's; and whatever one side has
 * in front of the other's names. */
#ifndef SINEW_SUGGEST_H
#define SINEW_SUGGEST_H

#include "base/text.h"
#include "formats/checkpoint.h"

/* Local. "with rename: ["module. ->"] 291 of 291 match": the rules under which most tensors of the base have
 * one of their name (of equals the first that is tried: fewer rules come before more), and how many, those
 * included that are packed otherwise. NULL where none matches more than `have` does by itself, or there is no
 * memory to try. Owned by the arena. Depends on names and shapes alone. */
const char *suggest_rename(const struct checkpoint *base, const struct checkpoint *tuned,
                           const struct text_list *have, struct arena *a);

#endif
