/* Shards: the files of a model that was saved in several, opened as one list, with an index (index.h) or
 * without.
 *
 * As in transformers all tensors of all shards are the model's, whatever an index says of their places. Names
 * are those it gives: STEM-00001-of-00003.ENDING. */
#ifndef SINEW_SHARDS_H
#define SINEW_SHARDS_H

#include "formats/format.h"

/* Local. Opens n files of a folder, each one file of that format, as one list: files in the given order,
 * tensors sorted by name. A tensor that stands in two shards with the same bytes is taken once, and list.note
 * says so (which is why those bytes are read here). Owned by the arena. Errors: those of the format's open;
 * DATA where two shards hold a tensor of one name and differ in it. */
err_t shards_join(struct stored_list *out, const struct format *format, const char *dir,
                  const char *const *files, int64_t n, const struct choice *choice, struct arena *a,
                  struct err *e);

/* Local. The one set of shards in a folder that is whole, of two files or more: 1, the name of its first and
 * how many it has. 0: there is none, or there are several. */
int shards_find(const char *dir, const char *stem, const char *ending, char *name, int size, int64_t *n);

/* Local. Opens the whole set whose first file `path` is, as shards_find found it. list.note says that there
 * was no index. Errors: as shards_join. */
err_t shards_open_set(struct stored_list *out, const struct format *format, const char *path,
                      const struct choice *choice, struct arena *a, struct err *e);

/* Local. What a folder lacks of the shards it has some of ("1 of 3 shards is missing: NAME"), into text; ""
 * where all are there, or none. */
void shards_lacking(const char *dir, const char *stem, const char *ending, char *text, int size);

/* Local. How many files of a folder are named as shards and are none of n files, sorted; the first of them,
 * by name, into `first` of NAME_MAX + 1 bytes. */
int64_t shards_others(const char *dir, const char *stem, const char *ending, const char *const *files,
                      int64_t n, char *first);

#endif
