/* Rename: rules by which the tuned side's names become the base's.
 *
 * A rule is a preset (preset.h), or "PATTERN -> REPLACEMENT": with one * on both sides, a whole name, where *
 * stands for any text; with none, the beginning of a name; or "WORD.": that word and its dot, taken out
 * wherever it stands as a whole part of a name, as wrappers of modules put it there. */
#ifndef SINEW_RENAME_H
#define SINEW_RENAME_H

#include "base/text.h"
#include "compare/named.h"
#include "formats/checkpoint.h"

/* Local, pure. Is the text a rule? Returns 0, or -1 with what is wrong in problem. */
int rename_check(const char *rule, char *problem, int size);

/* Local. Applies one rule to the names of the tuned checkpoint, which then are in no order. *found: to how
 * many it applied. Names, and the list where a preset changes its length, are the arena's. Errors: CONFIG for
 * a text that is no rule; as preset_apply. */
err_t rename_apply(struct named_list *list, const char *rule, int64_t *found, const struct checkpoint *base,
                   const struct checkpoint *tuned, struct arena *a, struct err *e);

/* Local. Sorts renamed names. Errors: CONFIG where two tensors have one name. */
err_t rename_sort(struct named_list *list, const struct checkpoint *tuned, struct err *e);

#endif
