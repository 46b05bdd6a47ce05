#include "study/document.h"
#include "study/param.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { FOUND = 60, NAME_BYTES = 100 };

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

void problems_sort(struct problems *p)
{
    if (p->n > 0)
        qsort(p->list, (size_t)p->n, sizeof *p->list, by_place);
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
                    FOUND, places[i].key, map->key_marks[places[first].pair].line);
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

/* ---- asking the tree ---- */

int item_is_null(const struct item *it)
{
    return it->kind == ITEM_SCALAR && !it->quoted &&
           (it->text[0] == '\0' || strcmp(it->text, "~") == 0 || strcmp(it->text, "null") == 0);
}

/* What stands there, in words. Into text, which is returned. */
static const char *found(const struct item *it, char *text, int size)
{
    if (it->kind != ITEM_SCALAR)
        snprintf(text, (size_t)size, "%s", it->kind == ITEM_LIST ? "a list" : "a map");
    else if (item_is_null(it))
        snprintf(text, (size_t)size, "nothing");
    else
        snprintf(text, (size_t)size, "\"%.*s%s\"", FOUND, it->text, strlen(it->text) > FOUND ? "..." : "");
    return text;
}

const char *part_name(char *text, int size, const char *whole, const char *part)
{
    return snprintf(text, (size_t)size, "%s.%s", whole, part) < 0 ? whole : text;
}

int item_expect(const struct asker *r, const struct item *it, enum item_kind kind, const char *what)
{
    static const char *const words[] = {
        [ITEM_SCALAR] = "a single value", [ITEM_LIST] = "a list", [ITEM_MAP] = "a map"};
    if (!it || it->kind == ITEM_BAD)
        return -1;
    if (it->kind == kind)
        return 0;
    char seen[FOUND + 16];
    problem_add(r->problems, it->mark, "%s: expected %s, found %s", what, words[kind],
                found(it, seen, sizeof seen));
    return -1;
}

static int key_index(const struct key *keys, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(keys[i].name, name) == 0)
            return i;
    return -1;
}

/* The names of the keys, for text_nearest; NULL when e is set. */
static const char **key_names(const struct asker *r, const struct key *keys, int n)
{
    const char **names;
    if (arena_array(r->arena, "config", n, &names, r->e) != ERR_OK)
        return NULL;
    for (int i = 0; i < n; i++)
        names[i] = keys[i].name;
    return names;
}

int item_meant(const struct asker *r, const struct item *map, const struct key *keys, int n, const char *key)
{
    if (item_get(map, key, NULL))
        return 1;
    const char **names = key_names(r, keys, n);
    int meant = 0;
    for (int i = 0; names && i < map->n && !meant; i++) {
        const char *near = key_index(keys, n, map->keys[i]) < 0 ? text_nearest(map->keys[i], names, n) : NULL;
        meant = near && strcmp(near, key) == 0;
    }
    arena_drop(r->arena, names);
    return meant;
}

void item_check_keys(const struct asker *r, const struct item *map, const struct key *keys, int n,
                     const char *what)
{
    const char **names = key_names(r, keys, n);
    if (!names)
        return;
    for (int i = 0; i < map->n; i++) {
        if (key_index(keys, n, map->keys[i]) >= 0)
            continue;
        const char *near = text_nearest(map->keys[i], names, n);
        char *all = near ? NULL : text_join(r->arena, names, n, ", ", r->e);
        problem_add(r->problems, map->key_marks[i], "%s: unknown key \"%.*s\"; %s%s%s", what, FOUND,
                    map->keys[i], near ? "did you mean " : "valid keys: ",
                    near  ? near
                    : all ? all
                          : "",
                    near ? "?" : "");
    }
    for (int i = 0; i < n; i++) {
        int group = keys[i].group, there = group == 0;
        for (int j = 0; j < n && !there; j++)
            there = keys[j].group == group && (j < i || item_meant(r, map, keys, n, keys[j].name));
        if (there) /* or said at the first key of the group */
            continue;
        struct text wanted = {.arena = r->arena};
        for (int j = i; j < n; j++)
            if (keys[j].group == group)
                text_add(&wanted, r->e, "%s%s", j > i ? " or " : "", keys[j].name);
        problem_add(r->problems, map->mark, "%s: missing key %s", what, wanted.text ? wanted.text : "");
    }
    arena_drop(r->arena, names);
}

static int is_name_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static int add_piece(const struct asker *r, struct pattern *out, const char *text, size_t n, int word)
{
    if (arena_grow(r->arena, "config", out->n + 1, &out->cap, &out->pieces, r->e) != ERR_OK)
        return -1;
    char *copy = NULL;
    if (word < 0 && !(copy = arena_strndup(r->arena, text, n, r->e)))
        return -1;
    out->pieces[out->n++] = (struct piece){.text = copy, .word = word};
    return 0;
}

/* "${NAME}" or "${NAME:-default}" at s: its value becomes a piece. Returns the bytes read, or -1. */
static int add_variable(const struct asker *r, const struct item *it, const char *s, const char *what,
                        struct pattern *out)
{
    const char *name = s + 2, *close = strchr(name, '}');
    int n = 0;
    while (is_name_letter(name[n]))
        n++;
    int has_default = strncmp(name + n, ":-", 2) == 0;
    if (!close || n == 0 || (name[0] >= '0' && name[0] <= '9') || (name + n != close && !has_default)) {
        problem_add(r->problems, it->mark, "%s: expected ${NAME} or ${NAME:-default}, found \"%.*s\"", what,
                    FOUND, s);
        return -1;
    }
    char *variable = arena_strndup(r->arena, name, (size_t)n, r->e);
    if (!variable)
        return -1;
    const char *value = getenv(variable);
    if (value)
        for (int64_t left = (int64_t)strlen(value), at = 0, width; left > 0; left -= width, at += width)
            if ((width = text_utf8(value + at, left)) == 0) {
                problem_add(r->problems, it->mark, "%s: the environment variable %s is not valid UTF-8", what,
                            variable);
                return -1;
            }
    if (has_default && (!value || value[0] == '\0'))
        return add_piece(r, out, name + n + 2, (size_t)(close - name - n - 2), -1) == 0 ? (int)(close + 1 - s)
                                                                                        : -1;
    if (!value) {
        problem_add(r->problems, it->mark,
                    "%s: the environment variable %s is not set; set it, or write ${%s:-default}", what,
                    variable, variable);
        return -1;
    }
    return add_piece(r, out, value, strlen(value), -1) == 0 ? (int)(close + 1 - s) : -1;
}

/* "{WORD}" at s becomes a piece. Returns the bytes read, or -1. */
static int add_word(const struct asker *r, const struct item *it, const char *s, const char *const *words,
                    int nwords, const char *what, struct pattern *out)
{
    const char *close = strchr(s, '}');
    char *word = close ? arena_strndup(r->arena, s + 1, (size_t)(close - s - 1), r->e) : NULL;
    for (int i = 0; word && i < nwords; i++)
        if (strcmp(words[i], word) == 0)
            return add_piece(r, out, NULL, 0, i) == 0 ? (int)(close + 1 - s) : -1;
    if (r->e->code != ERR_OK)
        return -1;
    const char *near = word ? text_nearest(word, words, nwords) : NULL;
    char *all = text_join(r->arena, words, nwords, "} {", r->e);
    if (near)
        problem_add(r->problems, it->mark, "%s: unknown placeholder {%.*s}; did you mean {%s}?", what, FOUND,
                    word, near);
    else
        problem_add(r->problems, it->mark, "%s: unknown placeholder \"%.*s\"; there are {%s}", what,
                    close ? (int)(close + 1 - s) : FOUND, s, all ? all : "");
    return -1;
}

int item_pattern(const struct asker *r, const struct item *it, const char *const *words, int nwords,
                 const char *what, struct pattern *out)
{
    *out = (struct pattern){0};
    if (!it || it->kind == ITEM_BAD)
        return -1;
    if (it->kind != ITEM_SCALAR || item_is_null(it)) {
        char seen[FOUND + 16];
        problem_add(r->problems, it->mark, "%s: expected a text, found %s", what,
                    found(it, seen, sizeof seen));
        return -1;
    }
    int bad = 0;
    for (const char *s = it->text; *s;) {
        int used;
        if (strncmp(s, "$${", 3) == 0)
            used = add_piece(r, out, s + 1, 2, -1) == 0 ? 3 : -1;
        else if (strncmp(s, "${", 2) == 0)
            used = add_variable(r, it, s, what, out);
        else if (*s == '{' && nwords > 0)
            used = add_word(r, it, s, words, nwords, what, out);
        else {
            size_t n = 1 + strcspn(s + 1, nwords > 0 ? "${" : "$");
            used = add_piece(r, out, s, n, -1) == 0 ? (int)n : -1;
        }
        if (used < 0) { /* said; what follows may be wrong too, each at its own brace */
            const char *close = strchr(s, '}');
            bad = 1;
            if (!close || r->e->code != ERR_OK)
                break;
            s = close + 1;
        } else {
            s += used;
        }
    }
    return bad ? -1 : 0;
}

char *pattern_fill(const struct asker *r, const struct pattern *p, const char *const *values)
{
    size_t bytes = 1;
    for (int i = 0; i < p->n; i++)
        bytes += strlen(p->pieces[i].text ? p->pieces[i].text : values[p->pieces[i].word]);
    char *all;
    if (arena_array(r->arena, "config", (int64_t)bytes, &all, r->e) != ERR_OK)
        return NULL;
    size_t used = 0;
    for (int i = 0; i < p->n; i++) {
        const char *part = p->pieces[i].text ? p->pieces[i].text : values[p->pieces[i].word];
        size_t n = strlen(part);
        memcpy(all + used, part, n);
        used += n;
    }
    return all;
}

const char *item_text(const struct asker *r, const struct item *it, const char *what)
{
    struct pattern p;
    return item_pattern(r, it, NULL, 0, what, &p) == 0 ? pattern_fill(r, &p, NULL) : NULL;
}

int name_is_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > NAME_BYTES || !is_name_letter(name[0]) || name[0] == '_')
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!is_name_letter(name[i]) && name[i] != '.' && name[i] != '-')
            return 0;
    return 1;
}

const char *item_name(const struct asker *r, const struct item *it, const char *what)
{
    const char *name = item_text(r, it, what);
    if (!name || name_is_valid(name))
        return name;
    problem_add(r->problems, it->mark,
                "%s: \"%.*s\" is no valid name: letters, digits, '.', '_' and '-', a letter or digit first, "
                "at most %d",
                what, FOUND, name, NAME_BYTES);
    return NULL;
}

/* Text of what should be a number. In quotes it is a text, unless the quotes are there for the sake of
 * ${NAME}. */
static const char *number_text(const struct asker *r, const struct item *it, const char *expected,
                               const char *what)
{
    if (!it || it->kind == ITEM_BAD)
        return NULL;
    char seen[FOUND + 16];
    if (it->kind != ITEM_SCALAR || item_is_null(it)) {
        problem_add(r->problems, it->mark, "%s: expected %s, found %s", what, expected,
                    found(it, seen, sizeof seen));
        return NULL;
    }
    if (it->quoted && !strstr(it->text, "${")) {
        problem_add(r->problems, it->mark, "%s: expected %s, found the text %s in quotes", what, expected,
                    found(it, seen, sizeof seen));
        return NULL;
    }
    return item_text(r, it, what);
}

int item_int(const struct asker *r, const struct item *it, int64_t min, const char *what, int64_t *out)
{
    char expected[64];
    snprintf(expected, sizeof expected, "an integer of at least %lld", (long long)min);
    const char *text = number_text(r, it, expected, what);
    if (!text)
        return -1;
    if (int_parse(text, out) == 0 && *out >= min)
        return 0;
    problem_add(r->problems, it->mark, "%s: expected %s, found \"%.*s\"", what, expected, FOUND, text);
    return -1;
}

int item_real(const struct asker *r, const struct item *it, const char *what, double *out)
{
    const char *text = number_text(r, it, "a number", what);
    if (!text)
        return -1;
    if (real_parse(text, out) == 0)
        return 0;
    problem_add(r->problems, it->mark, "%s: expected a number, found \"%.*s\"", what, FOUND, text);
    return -1;
}

int item_scalars(const struct asker *r, struct item *it, const char *what, struct item ***out, int *n)
{
    *n = 0;
    *out = NULL;
    if (!it || it->kind == ITEM_BAD)
        return -1;
    if (it->kind == ITEM_LIST) {
        *out = it->items;
        *n = it->n;
        return 0;
    }
    if (it->kind == ITEM_MAP || item_is_null(it)) {
        char seen[FOUND + 16];
        problem_add(r->problems, it->mark, "%s: expected a list, found %s", what,
                    found(it, seen, sizeof seen));
        return -1;
    }
    if (arena_array(r->arena, "config", 1, out, r->e) != ERR_OK)
        return -1;
    (*out)[0] = it;
    *n = 1;
    return 0;
}
