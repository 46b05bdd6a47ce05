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
#include "compare/named.h"
#include "formats/checkpoint.h"

/* Local. "with rename: ["module. ->"] 291 of 291 match": the rules under which most tensors of the base have
 * one of their name (of equals the first that is tried: fewer rules come before more), and how many, those
 * included that are packed otherwise. NULL where none matches more than `have` does by itself (without rules:
 * with what wrappers put into names taken off, as that needs none), or there is no memory to try. Owned by
 * the arena. Depends on names and shapes alone. */
const char *suggest_rename(const struct checkpoint *base, const struct checkpoint *tuned,
                           const struct text_list *have, struct arena *a);

/* Local. Takes off the names of two sorted lists what wrappers of modules put into them (torch.compile, FSDP,
 * DDP, activation checkpointing, DeepSpeed, PEFT), where more of them match then; the lists may become
 * others, of the arena. *what: the words taken off, "\"module.\""; NULL: nothing was. A name is never another
 * tensor's by it: two of one side that would be one leave both sides as they are. Errors: SYSTEM. */
err_t suggest_unwrapped(struct named_list *base, const struct checkpoint *of_base, struct named_list *tuned,
                        const struct checkpoint *of_tuned, const char **what, struct arena *a, struct err *e);

#endif
