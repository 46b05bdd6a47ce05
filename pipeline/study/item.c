#include "study/item.h"

#include "base/text.h"
#include "study/param.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEM = 600, FOUND = 60 /* bytes of what was found that a complaint quotes */, NAME_BYTES = 100 };

/* ---- what an item is ---- */

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

/* ---- texts, with the environment and placeholders filled in ---- */

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

/* ---- names, numbers, lists ---- */

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

/* ---- parameters ---- */

int item_param(const struct asker *r, struct item *it, const struct param *p, const char *what, void *params)
{
    char expected[PROBLEM], problem[PROBLEM];
    param_expected(p, expected, sizeof expected);
    int is_text =
        p->kind == PARAM_TEXT || p->kind == PARAM_TEXTS || p->kind == PARAM_CHOICE || p->kind == PARAM_BYTES;
    struct item **items = &it;
    int n = 1;
    if (it->kind == ITEM_BAD)
        return -1;
    if (it->kind == ITEM_LIST) {
        items = it->items;
        n = it->n;
    }
    const char **values;
    if (arena_array(r->arena, "config", n, &values, r->e) != ERR_OK)
        return -1;
    int bad = 0;
    for (int i = 0; i < n; i++) {
        const struct item *one = items[i];
        const char *found = one->kind == ITEM_MAP                                 ? "a map"
                            : one->kind == ITEM_LIST                              ? "a list in a list"
                            : item_is_null(one)                                   ? "nothing"
                            : one->quoted && !is_text && !strstr(one->text, "${") ? "a text in quotes"
                                                                                  : NULL;
        if (one->kind == ITEM_BAD)
            bad = 1;
        else if (found)
            problem_add(r->problems, one->mark, "%s: expected %s, found %s", what, expected, found);
        else
            values[i] = item_text(r, one, what);
        bad |= !values[i];
    }
    if (bad)
        return -1;
    const struct param_given given = {.n = n, .is_list = it->kind == ITEM_LIST, .values = values};
    if (param_set(p, params, &given, r->arena, problem, sizeof problem, r->e) == 0)
        return 0;
    if (problem[0])
        problem_add(r->problems, it->mark, "%s: %s", what, problem);
    return -1;
}
