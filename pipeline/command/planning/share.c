#include "command/planning/share.h"

#include <string.h>

err_t share_text(const struct comm *c, const char **text, struct arena *a, struct err *e)
{
    const char *own = c->me == 0 ? *text : NULL;
    int64_t length = own ? (int64_t)strlen(own) + 1 : 0;
    char *copy;
    comm_bcast(c, &length, (int64_t)sizeof length, 0);
    if (arena_array(a, "share.text", length, &copy, e) == ERR_OK && own)
        memcpy(copy, own, (size_t)length);
    TRY_ALL(c, e);
    comm_bcast(c, copy, length, 0);
    *text = length > 0 ? copy : NULL;
    return ERR_OK;
}
