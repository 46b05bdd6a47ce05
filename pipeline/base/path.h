/* Paths as text: joined, cleaned, taken apart. Nothing here looks at a file but path_make_dir. */
#ifndef SINEW_PATH_H
#define SINEW_PATH_H

#include "base/err.h"
#include "base/mem.h"

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

/* Local, pure. Why a name that a file gives, relative to its folder, is no file there or below, to stand
 * behind the name ("is an absolute path"); NULL: it is one. Such a file is as untrusted as any other input.
 */
const char *path_fault(const char *name);

/* Local. The path made absolute with the current folder (no links are followed). Arena-owned. */
char *path_absolute(struct arena *a, const char *path, struct err *e);

/* Local. Creates a folder and its parents. Errors: SYSTEM with the system's reason. */
err_t path_make_dir(const char *path, struct err *e);

#endif
