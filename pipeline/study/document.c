#include "study/document.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { SHOWN = 60 /* bytes of a key that a complaint quotes */ };

void problem_add(struct problems *p, struct mark at, const char *fmt, ...)
{
    struct err e;
    if (p->n == PROBLEMS_LISTED) {
        p->more++;
        return;
    }
    err_clear(&e);
    struct text line = {.arena = p->arena};
    char *said = NULL;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && arena_array(p->arena, "problems", (int64_t)n + 1, &said, &e) == ERR_OK)
        vsnprintf(said, (size_t)n + 1, fmt, again);
    va_end(again);
    if (!said || text_add(&line, &e, "%s:%d:%d: %s", p->file, at.line, at.column, said) != ERR_OK ||
        arena_grow(p->arena, "problems", p->n + 1, &p->cap, &p->list, &e) != ERR_OK) {
        p->lost++;
        return;
    }
    /* what the file says is shown as it is, but it cannot drive the terminal */
    for (char *c = line.text; *c;) {
        int width =
            text_utf8(c, line.used - (c - line.text)); /* a shortened text may end within a character */
        int control = width == 0 || (unsigned char)*c < 0x20 || *c == 0x7F ||
                      ((unsigned char)c[0] == 0xC2 && (unsigned char)c[1] < 0xA0);
        for (int k = 0; control && k < (width ? width : 1); k++)
            c[k] = ' ';
        c += width ? width : 1;
    }
    arena_drop(p->arena, said);
    p->list[p->n] = (struct problem){.mark = at, .order = p->n, .text = line.text};
    p->n++;
}

static int by_place(const void *left, const void *right)
{
    const struct problem *a = left, *b = right;
    if (a->mark.line != b->mark.line)
        return a->mark.line < b->mark.line ? -1 : 1;
    if (a->mark.column != b->mark.column)
        return a->mark.column < b->mark.column ? -1 : 1;
    return a->order - b->order;
}

err_t problems_end(struct problems *p, struct err *e)
{
    if (p->n > 0)
        qsort(p->list, (size_t)p->n, sizeof *p->list, by_place);
    if (e->code != ERR_OK)
        return e->code;
    if (p->lost)
        return err_set(e, ERR_SYSTEM, "%s: no memory for the list of its errors", p->file);
    if (p->n > 0)
        return err_set(e, ERR_CONFIG, "%s: %d error%s%s", p->file, p->n + p->more, p->n == 1 ? "" : "s",
                       p->more > 0 ? ", the first found are listed" : "");
    return ERR_OK;
}

/* ---- from libyaml's events to the tree ---- */

struct parse {
    yaml_parser_t yaml;
    const char *text;
    int64_t n;
    struct problems *problems;
    struct arena *arena;
    struct err *e;
    int depth;
    int shared;  /* an anchor, alias or tag was complained of */
    int stopped; /* nothing more can be read */
};

/* Line and column (in characters) of a byte. */
static struct mark mark_of_byte(const char *text, int64_t byte)
{
    struct mark m = {1, 1};
    for (int64_t i = 0; i < byte; i++) {
        if (text[i] == '\n')
            m = (struct mark){m.line + 1, 1};
        else if (((unsigned char)text[i] & 0xC0) != 0x80)
            m.column++;
    }
    return m;
}

static struct mark mark_of(yaml_mark_t m)
{
    return (struct mark){(int)m.line + 1, (int)m.column + 1};
}

/* The next event; -1 when there is none any more, for whatever reason. */
static int next_event(struct parse *d, yaml_event_t *event)
{
    if (d->stopped)
        return -1;
    if (yaml_parser_parse(&d->yaml, event))
        return 0;
    d->stopped = 1;
    const yaml_parser_t *y = &d->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        err_set(d->e, ERR_SYSTEM, "%s: out of memory in libyaml", d->problems->file);
        return -1;
    }
    struct mark at =
        y->error == YAML_READER_ERROR
            ? mark_of_byte(d->text, (int64_t)y->problem_offset < d->n ? (int64_t)y->problem_offset : d->n)
            : mark_of(y->problem_mark);
    if (y->context)
        problem_add(d->problems, at, "not valid YAML: %s (%s, line %d)", y->problem, y->context,
                    mark_of(y->context_mark).line);
    else
        problem_add(d->problems, at, "not valid YAML: %s", y->problem ? y->problem : "unreadable");
    return -1;
}

static struct item *new_item(struct parse *d, enum item_kind kind, struct mark at)
{
    struct item *it;
    if (arena_array(d->arena, "document", 1, &it, d->e) != ERR_OK) {
        d->stopped = 1;
        return NULL;
    }
    it->kind = kind;
    it->mark = at;
    return it;
}

/* The first anchor, alias or tag of a file is complained of; all of them are one habit. */
static void refuse_shared(struct parse *d, struct mark at, const char *what)
{
    if (!d->shared)
        problem_add(d->problems, at, "%s are not supported: write the values out", what);
    d->shared = 1;
}

static struct item *read_item(struct parse *d, yaml_event_t *event);

static struct item *read_scalar(struct parse *d, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct item *it = new_item(d, ITEM_SCALAR, mark_of(event->start_mark));
    if (!it)
        return NULL;
    if (memchr(value, '\0', length)) {
        problem_add(d->problems, it->mark, "a text must not contain the character NUL");
        it->kind = ITEM_BAD;
        return it;
    }
    it->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    it->text = arena_strndup(d->arena, value, length, d->e);
    d->stopped |= !it->text;
    return it;
}

static void read_list(struct parse *d, struct item *list)
{
    int64_t cap = 0;
    yaml_event_t event;
    while (next_event(d, &event) == 0) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return;
        }
        struct item *it = read_item(d, &event);
        if (!it || arena_grow(d->arena, "document", list->n + 1, &cap, &list->items, d->e) != ERR_OK) {
            d->stopped = 1;
            return;
        }
        list->items[list->n++] = it;
    }
}

/* For duplicate keys: pairs in the order of their keys, equal keys in the order of the file. */
struct key_place {
    const char *key;
    int pair;
};

static int compare_keys(const void *left, const void *right)
{
    const struct key_place *a = left, *b = right;
    int order = strcmp(a->key, b->key);
    return order != 0 ? order : a->pair - b->pair;
}

/* Complains of each key that was there before, and drops its pair. */
static void drop_duplicates(struct parse *d, struct item *map)
{
    struct key_place *places;
    if (map->n < 2)
        return;
    if (arena_array(d->arena, "document", map->n, &places, d->e) != ERR_OK) {
        d->stopped = 1;
        return;
    }
    for (int i = 0; i < map->n; i++)
        places[i] = (struct key_place){map->keys[i], i};
    qsort(places, (size_t)map->n, sizeof *places, compare_keys);
    int first = 0;
    for (int i = 1; i < map->n; i++) {
        if (strcmp(places[i].key, places[first].key) != 0) {
            first = i;
            continue;
        }
        problem_add(d->problems, map->key_marks[places[i].pair], "duplicate key \"%.*s\" (first in line %d)",
                    SHOWN, places[i].key, map->key_marks[places[first].pair].line);
        map->items[places[i].pair] = NULL;
    }
    arena_drop(d->arena, places);
    int kept = 0;
    for (int i = 0; i < map->n; i++) {
        if (!map->items[i])
            continue;
        map->keys[kept] = map->keys[i];
        map->key_marks[kept] = map->key_marks[i];
        map->items[kept++] = map->items[i];
    }
    map->n = kept;
}

static void read_map(struct parse *d, struct item *map)
{
    int64_t cap_items = 0, cap_keys = 0, cap_marks = 0;
    yaml_event_t event;
    while (next_event(d, &event) == 0) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            drop_duplicates(d, map);
            return;
        }
        struct item *key = read_item(d, &event);
        if (!key || next_event(d, &event) != 0)
            break;
        struct item *value = read_item(d, &event);
        if (!value)
            break;
        if (key->kind == ITEM_LIST || key->kind == ITEM_MAP)
            problem_add(d->problems, key->mark, "a key must be a word, found a %s",
                        key->kind == ITEM_LIST ? "list" : "map");
        /* "<<: *name" was complained of as an alias */
        if (key->kind != ITEM_SCALAR || (value->kind == ITEM_BAD && strcmp(key->text, "<<") == 0))
            continue;
        if (arena_grow(d->arena, "document", map->n + 1, &cap_items, &map->items, d->e) != ERR_OK ||
            arena_grow(d->arena, "document", map->n + 1, &cap_keys, &map->keys, d->e) != ERR_OK ||
            arena_grow(d->arena, "document", map->n + 1, &cap_marks, &map->key_marks, d->e) != ERR_OK)
            break;
        map->keys[map->n] = key->text;
        map->key_marks[map->n] = key->mark;
        map->items[map->n++] = value;
    }
    d->stopped = 1;
}

/* Takes the event. NULL when reading has stopped. */
static struct item *read_item(struct parse *d, yaml_event_t *event)
{
    struct mark at = mark_of(event->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    struct item *it = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        it = read_scalar(d, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        it = new_item(d, ITEM_LIST, at);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        it = new_item(d, ITEM_MAP, at);
        break;
    default: /* an alias */
        refuse_shared(d, at, "anchors and aliases (& and *)");
        it = new_item(d, ITEM_BAD, at);
        break;
    }
    if (anchor)
        refuse_shared(d, at, "anchors and aliases (& and *)");
    if (tag)
        refuse_shared(d, at, "tags (!)");
    yaml_event_delete(event);
    if (!it || it->kind == ITEM_SCALAR || it->kind == ITEM_BAD)
        return it;
    if (d->depth == DOCUMENT_DEPTH) {
        problem_add(d->problems, at, "nested deeper than %d levels", DOCUMENT_DEPTH);
        d->stopped = 1;
        return NULL;
    }
    d->depth++;
    if (it->kind == ITEM_LIST)
        read_list(d, it);
    else
        read_map(d, it);
    d->depth--;
    return d->stopped ? NULL : it;
}

/* The document of a stream, and nothing behind it. */
static struct item *read_stream(struct parse *d)
{
    yaml_event_t event;
    struct item *root = NULL;
    int documents = 0;
    while (next_event(d, &event) == 0) {
        yaml_event_type_t type = event.type;
        struct mark at = mark_of(event.start_mark);
        if (type == YAML_DOCUMENT_START_EVENT && documents++ > 0)
            problem_add(d->problems, at, "a second document: a config is one YAML document");
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_END_EVENT ||
            type == YAML_DOCUMENT_START_EVENT) {
            yaml_event_delete(&event);
            if (documents > 1)
                return root;
            continue;
        }
        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            if (documents == 0)
                problem_add(d->problems, (struct mark){1, 1}, "the file is empty");
            return root;
        }
        root = read_item(d, &event);
    }
    return NULL;
}

err_t document_parse(const char *text, int64_t n, struct problems *p, struct arena *a, struct item **root,
                     struct err *e)
{
    *root = NULL;
    for (int64_t i = 0, width; i < n; i += width) {
        width = text_utf8(text + i, n - i);
        if (width == 0 || text[i] == '\0') {
            problem_add(p, mark_of_byte(text, i),
                        width ? "the file contains the character NUL" : "not valid UTF-8");
            return ERR_OK;
        }
    }
    struct parse d = {.text = text, .n = n, .problems = p, .arena = a, .e = e};
    if (!yaml_parser_initialize(&d.yaml))
        return err_set(e, ERR_SYSTEM, "%s: out of memory in libyaml", p->file);
    yaml_parser_set_input_string(&d.yaml, (const unsigned char *)text, (size_t)n);
    *root = read_stream(&d);
    yaml_parser_delete(&d.yaml);
    return e->code;
}

struct item *item_get(const struct item *map, const char *key, struct mark *key_mark)
{
    for (int i = 0; map && map->kind == ITEM_MAP && i < map->n; i++)
        if (strcmp(map->keys[i], key) == 0) {
            if (key_mark)
                *key_mark = map->key_marks[i];
            return map->items[i];
        }
    return NULL;
}
