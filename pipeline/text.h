/* Text and paths: growing strings, the nearest valid word, path pieces, files read whole. Nothing here knows
 * of sinew. */
#ifndef SINEW_TEXT_H
#define SINEW_TEXT_H

#include "err.h"
#include "mem.h"

#include <stddef.h>

/* A string that grows in an arena. Zero-initialise, set arena, append; text is NULL until the first append.
 */
struct text {
    struct arena *arena;
    char *text;
    int64_t used, cap;
};

/* Local. printf at the end. */
err_t text_add(struct text *t, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Local. The same of n bytes as they are, and of a whole number; by far faster where there are very many. */
err_t text_put(struct text *t, struct err *e, const char *s, int64_t n);
err_t text_put_int(struct text *t, struct err *e, int64_t value);

/* Local. Appends s as a JSON string, quotes included, all control characters escaped. */
err_t text_add_json(struct text *t, struct err *e, const char *s);

/* Local. Bytes of the valid UTF-8 character at s (1 to 4) of at most n; 0 where there is none. */
int text_utf8(const char *s, int64_t n);

/* Local. The word of the list nearest to `word` by edit distance (Damerau: adjacent swaps count one; case is
 * free), or NULL where none is near enough: a third of its letters may change, or 2 of 4 and more, or 1 of 2
 * and 3. */
const char *text_nearest(const char *word, const char *const *words, int n);

/* Local. "a, b, c" into an arena string. */
char *text_join(struct arena *a, const char *const *words, int n, const char *sep, struct err *e);

/* Local. dir + "/" + name, without doubled slashes; name alone where dir is "" or ".". Arena-owned. */
char *path_join(struct arena *a, const char *dir, const char *name, struct err *e);

/* Local. The path with repeated and trailing slashes and "./" pieces removed; ".." is kept. Arena-owned. */
char *path_clean(struct arena *a, const char *path, struct err *e);

/* Local. Points at the last piece of path (clean: no trailing slash). */
const char *path_last(const char *path);

/* Local. All but the last piece ("." where there is none). Arena-owned. */
char *path_dir(struct arena *a, const char *path, struct err *e);

/* Local. `to` as seen from folder `from_dir`, both absolute or both relative to the same place ("../b/c");
 * absolute where that cannot be told from the text. Arena-owned. */
char *path_relative(struct arena *a, const char *from_dir, const char *to, struct err *e);

/* Local. The path made absolute with the current folder (no links are followed). Arena-owned. */
char *path_absolute(struct arena *a, const char *path, struct err *e);

/* Local. Creates a folder and its parents. Errors: SYSTEM with the system's reason. */
err_t path_make_dir(const char *path, struct err *e);

/* Local. The whole file, NUL-terminated, arena-owned; at most max_bytes. Errors: SYSTEM not readable, DATA
 * too large. */
err_t file_read(struct arena *a, const char *path, int64_t max_bytes, char **text, int64_t *n, struct err *e);

/* Local. Writes path.partial, flushes it to the disk and renames it to path: a file under its final name is
 * complete. */
err_t file_write(const char *path, const char *text, int64_t n, struct err *e);

/* Local. Flushes path.partial (already written and closed) to the disk and renames it to path, the folder
 * flushed too. */
err_t file_commit(const char *partial, const char *path, struct err *e);

#endif
