#include "base/err.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *name;
} families[ERR_COUNT] = {
#define X(code, status, text) [code] = {status, text},
    ERR_LIST(X)
#undef X
};

void err_clear(struct err *e)
{
    memset(e, 0, sizeof *e);
    e->process = -1;
}

err_t err_set_at(struct err *e, err_t code, const char *file, int line, const char *fmt, ...)
{
    if (e->code != ERR_OK)
        return e->code;
    e->code = code;
    const char *slash = strrchr(file, '/');
    snprintf(e->where, sizeof e->where, "%s:%d", slash ? slash + 1 : file, line);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    text_plain(e->text, 0); /* a message is one line */
    return code;
}

void err_mark_part(struct err *e)
{
    e->part |= e->code == ERR_OK; /* the first cause is kept */
}

void err_item(struct err *e, const char *fmt, ...)
{
    if (e->code == ERR_OK || e->item[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->item, sizeof e->item, fmt, ap);
    va_end(ap);
    text_plain(e->item, 0);
}

int err_status(err_t code)
{
    return code < ERR_COUNT ? families[code].status : families[ERR_BUG].status;
}

const char *err_name(err_t code)
{
    return code < ERR_COUNT ? families[code].name : families[ERR_BUG].name;
}
