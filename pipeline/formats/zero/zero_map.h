/* What the readers of both kinds of files need of a pickled map. */
#ifndef SINEW_ZERO_MAP_H
#define SINEW_ZERO_MAP_H

#include "formats/stored.h"
#include "formats/torch/torch_reader.h"

enum { ZERO_SHOWN = 512 };

/* Local. Opens a file that torch.save wrote and adds it to the list's files, as number *file. Errors: as
 * torch_reader_open. */
err_t zero_open(struct torch_reader *r, const char *path, struct stored_list *list, int *file,
                struct arena *keep, struct arena *scratch, struct err *e);

/* Local, pure. Does v hold pairs? v may be NULL. */
int zero_is_map(const struct pickle_value *v);

/* Local, pure. The integer of a key; `other` where there is none. */
int64_t zero_int(const struct pickle *p, const struct pickle_value *map, const char *key, int64_t other);

/* Local. DATA: what key was expected to hold. */
err_t zero_refuse(const struct torch_reader *r, const char *key, const char *expected,
                  const struct pickle_value *v, struct err *e);

/* Local, pure. The folder of a path, for a message: "." where it has none. */
void zero_folder_of(const char *path, char *dir, int size);

#endif
