#include "formats/torch/pickle_tree.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static int is_object(const struct pickle_value *v)
{
    return v && (v->kind == PICKLE_CALL || v->kind == PICKLE_OBJECT);
}

static int holds_cells(const struct pickle_value *v)
{
    return is_object(v) || (v && (v->kind == PICKLE_LIST || v->kind == PICKLE_SET || v->kind == PICKLE_DICT));
}

/* Arguments (0) or state (1) of what can have them. */
static const struct pickle_value *part(const struct pickle *p, const struct pickle_value *v, int which)
{
    if (!holds_cells(v) || v->parts == 0)
        return NULL;
    int32_t i = p->items[v->parts - 1 + which];
    return i < 0 ? NULL : &p->values[i];
}

const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *v, int64_t i)
{
    if (is_object(v))
        return i == 0 ? part(p, v, 0) : NULL;
    if (!v || i < 0 || i >= v->n || (v->kind != PICKLE_TUPLE && v->kind != PICKLE_PERSISTENT))
        return NULL;
    return &p->values[p->items[v->first + i]];
}

const struct pickle_cell *pickle_next(const struct pickle *p, const struct pickle_value *v,
                                      const struct pickle_cell *at, const struct pickle_value **key,
                                      const struct pickle_value **value)
{
    if (!holds_cells(v))
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

const struct pickle_value *pickle_get(const struct pickle *p, const struct pickle_value *v, const char *key)
{
    const struct pickle_value *found = NULL, *k = NULL, *value = NULL;
    for (const struct pickle_cell *at = pickle_next(p, v, NULL, &k, &value); at;
         at = pickle_next(p, v, at, &k, &value))
        if (pickle_is(k, key))
            found = value;
    return found;
}

const struct pickle_value *pickle_state(const struct pickle *p, const struct pickle_value *v)
{
    return part(p, v, 1);
}

const struct pickle_value *pickle_attribute(const struct pickle *p, const struct pickle_value *v,
                                            const char *name)
{
    return pickle_in_state(p, pickle_state(p, v), name);
}

const struct pickle_value *pickle_in_state(const struct pickle *p, const struct pickle_value *state,
                                           const char *name)
{
    enum {
        MAX_ATTRIBUTES = 1 << 10
    }; /* a class has some ten: to search many for each of many is an attack */
    const struct pickle_value *found;
    if (state && state->kind == PICKLE_TUPLE)
        for (int64_t i = 0; i < state->n && i < 2; i++)
            if (pickle_item(p, state, i)->n > MAX_ATTRIBUTES)
                return NULL;
    if (state && state->kind != PICKLE_TUPLE && state->n > MAX_ATTRIBUTES)
        return NULL;
    if (!state || state->kind != PICKLE_TUPLE)
        return pickle_get(p, state, name);
    if (state->n != 2)
        return NULL;
    found = pickle_get(p, pickle_item(p, state, 1), name);
    return found ? found : pickle_get(p, pickle_item(p, state, 0), name);
}

/* The name that v is, or is an object of; NULL: none. */
static const struct pickle_value *name_of(const struct pickle *p, const struct pickle_value *v)
{
    if (is_object(v))
        v = v->callee > 0 ? &p->values[v->callee - 1] : NULL;
    return v && v->kind == PICKLE_NAME ? v : NULL;
}

int pickle_id(const struct pickle *p, const struct pickle_value *v)
{
    v = name_of(p, v);
    return v && v->i >= 0 ? p->names[v->i].id : -1;
}

int pickle_names(const struct pickle *p, const struct pickle_value *v, const struct pickle_value **module,
                 const struct pickle_value **name)
{
    v = name_of(p, v);
    if (!v)
        return 0;
    *module = &p->values[v->first];
    *name = &p->values[v->last];
    return 1;
}

/* Is it one of several texts, given with '|' between them? */
static int is_one_of(const struct pickle_value *v, const char *texts)
{
    for (const char *from = texts;; from++) {
        const char *to = strchr(from, '|');
        size_t n = to ? (size_t)(to - from) : strlen(from);
        if ((size_t)v->n == n && memcmp(v->text, from, n) == 0)
            return 1;
        if (!to)
            return 0;
        from = to;
    }
}

static int is_named(const struct pickle *p, const struct pickle_value *v, const char *modules,
                    const char *name)
{
    const struct pickle_value *m, *n;
    return pickle_names(p, v, &m, &n) && pickle_is(n, name) && (!modules || is_one_of(m, modules));
}

int pickle_is_name(const struct pickle *p, const struct pickle_value *v, const char *modules,
                   const char *name)
{
    return v && v->kind == PICKLE_NAME && is_named(p, v, modules, name);
}

int pickle_is_object(const struct pickle *p, const struct pickle_value *v, const char *modules,
                     const char *name)
{
    return is_object(v) && is_named(p, v, modules, name);
}

int pickle_is(const struct pickle_value *v, const char *text)
{
    return v && v->kind == PICKLE_TEXT && (size_t)v->n == strlen(text) &&
           memcmp(v->text, text, (size_t)v->n) == 0;
}

const char *pickle_kind_text(const struct pickle_value *v)
{
    static const char *const words[PICKLE_KIND_COUNT] = {
        [PICKLE_NONE] = "None",           [PICKLE_BOOL] = "True or False",
        [PICKLE_INT] = "an integer",      [PICKLE_LONG] = "an integer of more than 64 bits",
        [PICKLE_REAL] = "a real number",  [PICKLE_TEXT] = "a text",
        [PICKLE_BYTES] = "bytes",         [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",         [PICKLE_SET] = "a set",
        [PICKLE_DICT] = "a map",          [PICKLE_NAME] = "a name",
        [PICKLE_CALL] = "an object",      [PICKLE_OBJECT] = "an object",
        [PICKLE_PERSISTENT] = "a storage"};
    return v ? words[v->kind] : "nothing";
}

const char *pickle_told(const struct pickle *p, const struct pickle_value *v, char out[PICKLE_TOLD])
{
    enum { SHOWN = 96 };
    char m[SHOWN], n[SHOWN];
    const struct pickle_value *module = NULL, *name = NULL;
    if (!pickle_names(p, v, &module, &name)) {
        snprintf(out, PICKLE_TOLD, "%s", pickle_kind_text(v));
        return out;
    }
    pickle_shown(module->text, module->n, m, SHOWN);
    pickle_shown(name->text, name->n, n, SHOWN);
    if (v->kind == PICKLE_NAME)
        snprintf(out, PICKLE_TOLD, "the name %s.%s", m, n);
    else
        snprintf(out, PICKLE_TOLD, "an object of %s.%s; nothing of the file was executed", m, n);
    return out;
}

const char *pickle_where(const struct pickle_value *v, const char *of, char out[PICKLE_WHERE])
{
    out[0] = '\0';
    if (v)
        snprintf(out, PICKLE_WHERE, " (byte %lld%s%.32s)", (long long)v->at, of ? " of " : "", of ? of : "");
    return out;
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
