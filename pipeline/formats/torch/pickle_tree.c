#include "formats/torch/pickle_tree.h"

#include "base/text.h"

#include <string.h>

const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *v, int64_t i)
{
    if (!v || i < 0 || i >= v->n ||
        (v->kind != PICKLE_TUPLE && v->kind != PICKLE_CALL && v->kind != PICKLE_PERSISTENT))
        return NULL;
    return &p->values[p->items[v->first + i]];
}

const struct pickle_cell *pickle_next(const struct pickle *p, const struct pickle_value *v,
                                      const struct pickle_cell *at, const struct pickle_value **key,
                                      const struct pickle_value **value)
{
    if (!v || (v->kind != PICKLE_LIST && v->kind != PICKLE_DICT))
        return NULL;
    int32_t i = at ? at->next : v->first;
    if (i < 0)
        return NULL;
    const struct pickle_cell *cell = &p->cells[i];
    if (key)
        *key = cell->key >= 0 ? &p->values[cell->key] : NULL;
    *value = &p->values[cell->value];
    return cell;
}

int pickle_is(const struct pickle_value *v, const char *text)
{
    return v && v->kind == PICKLE_TEXT && (size_t)v->n == strlen(text) &&
           memcmp(v->text, text, (size_t)v->n) == 0;
}

const char *pickle_kind_text(const struct pickle_value *v)
{
    static const char *const words[PICKLE_KIND_COUNT] = {
        [PICKLE_NONE] = "None",          [PICKLE_BOOL] = "True or False",  [PICKLE_INT] = "an integer",
        [PICKLE_REAL] = "a real number", [PICKLE_TEXT] = "a text",         [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",        [PICKLE_DICT] = "a map",          [PICKLE_NAME] = "a name",
        [PICKLE_CALL] = "an object",     [PICKLE_PERSISTENT] = "a storage"};
    return v ? words[v->kind] : "nothing";
}

const char *pickle_shown(const char *text, int64_t n, char *out, int size)
{
    int used = 0;
    for (int64_t i = 0; i < n;) {
        int width = text_utf8(text + i, n - i);
        int plain = width > 0 && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
        int bytes = plain ? width : 1;
        if (used + bytes >= size)
            break;
        if (plain)
            memcpy(out + used, text + i, (size_t)width);
        else
            out[used] = '?';
        used += bytes;
        i += bytes;
    }
    out[used] = '\0';
    return out;
}
