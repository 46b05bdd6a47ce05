/* Opening: from a path to the tensors that it leads to, whatever is there: a folder of the hub's cache, a
 * folder or a file in some format, an index with its shards. */
#ifndef SINEW_OPENING_H
#define SINEW_OPENING_H

#include "formats/format.h"

struct opening {
    const char *path;            /* what was opened: of a folder of the hub's cache, its snapshot */
    const char *note;            /* which one that is; NULL where nothing was chosen */
    const struct format *format; /* the table's first where no format was found */
};

/* Local. Opens what the path leads to as one list, owned by the arena. Errors: those of hub_resolve and of
 * the format's open; DATA where nothing is there or no format knows it. */
err_t opening_list(struct opening *o, struct stored_list *out, const char *path, const struct choice *choice,
                   struct arena *a, struct err *e);

#endif
