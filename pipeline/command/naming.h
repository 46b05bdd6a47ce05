/* Naming: what the way to a checkpoint says of it, name by name, and what its cell is called by it. */
#ifndef SINEW_NAMING_H
#define SINEW_NAMING_H

#include "command/guess.h"
#include "command/survey.h"

/* What the names of a path say together: of each kind the last that says it. */
struct naming {
    int64_t step, seed;    /* -1: none says it */
    struct span step_at;   /* its digits in the path; n 0: they do not stand there */
    struct span algorithm; /* in the path; n 0: none says it */
    int base;              /* guess.base of the last name, ordinary ones passed over */
};

/* Local, pure. Of a sighting's path from `known` on, and of its branch. */
struct naming naming_of(const struct sighting *s);

/* Local. The family of a model by the path of its base: the last name that is neither ordinary nor a base's,
 * a hub's NAME, else the folder that the base lies in (naming_folder). raw: the same as it stands in the
 * path; n 0 where it does not stand there. *out is owned by the arena. Errors: SYSTEM (memory). */
err_t naming_family(const struct sighting *base, struct span *raw, char **out, struct arena *a,
                    struct err *e);

/* Local. What a folder is called by: its name, or where that says nothing the nearest one above that does.
 * path: absolute. *out is owned by the arena. Errors: SYSTEM (memory). */
err_t naming_folder(const char *path, char **out, struct arena *a, struct err *e);

/* Local. What of a tuned model's path is not said otherwise: its own names behind the way it shares with its
 * base, without ordinary ones, the family and what has a step or seed, joined by '-'; "" where nothing is
 * left. *out is owned by the arena. Errors: SYSTEM (memory). */
err_t naming_rest(const struct sighting *tuned, const struct sighting *base, const char *family, char **out,
                  struct arena *a, struct err *e);

/* Local. The algorithm that one of the nearest folders around a tuned model is called by, where its path as
 * it was given does not say it: of what lies above. *out is owned by the arena; NULL where none says it.
 * Errors: SYSTEM (memory).
 */
err_t naming_above(const struct sighting *tuned, char **out, struct arena *a, struct err *e);

/* What stands for a name in a pattern. */
struct naming_words {
    const char *family, *algorithm; /* NULL: no place of it */
    int64_t seed, step;             /* -1: no place of it */
};

/* Local. The path with {family}, {algorithm}, {seed} and {step} in the places where the words stand in it,
 * from `known` on. *out is owned by the arena, and NULL where no pattern says that path: it holds braces, or
 * a padded step that would be found elsewhere. Errors: SYSTEM (memory). */
err_t naming_pattern(const struct sighting *s, const struct naming_words *words, char **out, struct arena *a,
                     struct err *e);

/* Local, pure. Bytes of the folders that two paths have in common from their beginning. */
int naming_common(const char *p, const char *q);

#endif
