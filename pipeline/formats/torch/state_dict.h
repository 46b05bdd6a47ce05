/* State dicts: the map of names to tensors in what a trainer saved, and the names as the model itself has
 * them.
 *
 * A trainer saves the map alone, or beside other things under one of four names, once or twice within each
 * other ("model" -> "state_dict"); what stands beside is passed over, of whatever classes it is. Wrappers
 * leave their prefixes in the names: torch.compile "_orig_mod.", DataParallel "module.". */
#ifndef SINEW_STATE_DICT_H
#define SINEW_STATE_DICT_H

#include "formats/torch/torch_reader.h"

/* Local. The map of r's file. *note: which one was taken and what is beside it, owned by r->keep; NULL where
 * the map is all there is. Errors: DATA where there is none, or more than one, with the line that saves it.
 */
err_t state_dict_find(struct torch_reader *r, const struct pickle_value **map, const char **note,
                      struct err *e);

/* Local, pure. Is it an entry that modules keep beside their tensors, and no tensor? */
int state_dict_passes_over(const struct pickle *p, const struct pickle_value *key,
                           const struct pickle_value *value);

/* Local. Takes "_orig_mod." out of the names, and "module." where all begin with it; sorts the list. What was
 * done is added to its note. path: for messages. Errors: DATA where a name comes twice; SYSTEM over budget.
 */
err_t state_dict_unwrap(struct stored_list *list, const char *path, struct arena *a, struct err *e);

/* Local. Adds a sentence to a list's note. Errors: SYSTEM over budget. */
err_t state_dict_note(struct stored_list *list, const char *sentence, struct arena *a, struct err *e);

#endif
