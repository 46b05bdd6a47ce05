/* Presets: the names of a training library brought to those of the published base, and with them what is laid
 * out otherwise.
 *
 * "torchtitan" is the one there is. Source: torchtitan 0.3, models/{llama3,qwen3,deepseek_v3}/
 * state_dict_adapter.py, and the older names of 0.1 and 0.2. Names change; the rows of the query and key
 * projections of a Llama stand in another order (pairs of a head side by side, where the published files have
 * the halves of a head), so that without bringing them back a comparison means nothing; experts that are one
 * tensor become one each. What is not of the library's names stays as it is. */
#ifndef SINEW_PRESET_H
#define SINEW_PRESET_H

#include "compare/named.h"
#include "formats/checkpoint.h"

/* Local, pure. Is the word a preset's name? NULL behind the last of preset_words. */
int preset_is(const char *word);
extern const char *const preset_words[];

/* Local, pure. The preset by which the names of a tuned checkpoint, sorted, become a base's; NULL: none is
 * needed, or none does. Told from names that only one of the two sides can have. */
const char *preset_guess(const struct checkpoint *base, const struct checkpoint *tuned);

/* Local. Applies a preset to n names of the tuned checkpoint, into an array of the arena, which may be
 * longer. *found: how many it changed. Tensors in another order are derived from the tuned checkpoint's,
 * which must stay. Errors: DATA where the order of rows depends on the base's config.json, and that does not
 * say the number of heads, or another than the shape has. */
err_t preset_apply(const char *word, struct named_tensor **v, int64_t *n, int64_t *found,
                   const struct checkpoint *base, const struct checkpoint *tuned, struct arena *a,
                   struct err *e);

#endif
