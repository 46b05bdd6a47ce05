#include "compare/names/rename.h"

#include "compare/names/preset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules ---- */

/* PATTERN -> REPLACEMENT, cut at the star where there is one. */
struct rule {
    int star;
    const char *head, *tail, *new_head, *new_tail; /* not terminated */
    int head_bytes, tail_bytes, new_head_bytes, new_tail_bytes;
};

static void trim(const char **from, const char **to)
{
    while (*from < *to && **from == ' ')
        ++*from;
    while (*to > *from && (*to)[-1] == ' ')
        --*to;
}

static int has_star(const char *from, const char *to)
{
    return memchr(from, '*', (size_t)(to - from)) != NULL;
}

/* Cuts [from, to) at its star. -1: there are two. */
static int cut(const char *from, const char *to, const char **head, int *head_bytes, const char **tail,
               int *tail_bytes)
{
    const char *star = memchr(from, '*', (size_t)(to - from));
    *head = from;
    *head_bytes = (int)((star ? star : to) - from);
    *tail = star ? star + 1 : to;
    *tail_bytes = (int)(to - *tail);
    return has_star(*tail, to) ? -1 : 0;
}

static int parse_rule(const char *text, struct rule *r, char *problem, int size)
{
    static const char ARROW[] = "->";
    const char *arrow = strstr(text, ARROW), *why = NULL;
    if (!arrow || strstr(arrow + 2, ARROW)) {
        snprintf(problem, (size_t)size, "expected \"PATTERN -> REPLACEMENT\", found \"%.200s\"", text);
        return -1;
    }
    const char *from = text, *to = arrow, *new_from = arrow + 2, *new_to = text + strlen(text);
    trim(&from, &to);
    trim(&new_from, &new_to);
    r->star = has_star(from, to);
    if (from == to)
        why = "the pattern is empty";
    else if (cut(from, to, &r->head, &r->head_bytes, &r->tail, &r->tail_bytes) != 0 ||
             cut(new_from, new_to, &r->new_head, &r->new_head_bytes, &r->new_tail, &r->new_tail_bytes) != 0)
        why = "at most one * is allowed on each side";
    else if (r->star != has_star(new_from, new_to))
        why = "pattern and replacement must both have a *, or neither";
    if (why)
        snprintf(problem, (size_t)size, "\"%.200s\": %s", text, why);
    return why ? -1 : 0;
}

/* Is the rule a word to be taken out: no arrow, no star, no space, and one dot, its last letter? */
static int is_word(const char *rule)
{
    size_t n = strlen(rule);
    return n > 1 && rule[n - 1] == '.' && strcspn(rule, ".* >") == n - 1;
}

int rename_check(const char *rule, char *problem, int size)
{
    struct rule r;
    struct text_hint hint;
    int presets = 0;
    if (preset_is(rule) || is_word(rule))
        return 0;
    while (preset_words[presets])
        presets++;
    if (!strstr(rule, "->") && text_meant(&hint, rule, preset_words, presets, "", "\"", "")[0]) {
        snprintf(problem, (size_t)size, "\"%.100s\" is no preset: %s", rule, hint.text);
        return -1;
    }
    return parse_rule(rule, &r, problem, size);
}

/* ---- names ---- */

static int rule_matches(const struct rule *r, const char *name, size_t n)
{
    size_t head = (size_t)r->head_bytes, tail = (size_t)r->tail_bytes;
    return n >= head + tail && memcmp(name, r->head, head) == 0 &&
           (!r->star || memcmp(name + n - tail, r->tail, tail) == 0);
}

static err_t apply_rule(struct named_list *list, const char *text, int64_t *found, struct arena *a,
                        struct err *e)
{
    struct rule r;
    char problem[300];
    if (parse_rule(text, &r, problem, sizeof problem) != 0)
        return err_set(e, ERR_CONFIG, "rename: %s", problem);
    for (int64_t i = 0; i < list->n; i++) {
        const char *name = list->v[i].name;
        size_t n = strlen(name), head = (size_t)r.head_bytes;
        if (!rule_matches(&r, name, n))
            continue;
        int rest = (int)(n - head) - (r.star ? r.tail_bytes : 0);
        list->v[i].name = arena_printf(a, e, "%.*s%.*s%.*s", r.new_head_bytes, r.new_head, rest, name + head,
                                       r.star ? r.new_tail_bytes : 0, r.new_tail);
        if (!list->v[i].name)
            return e->code;
        ++*found;
    }
    return ERR_OK;
}

/* The next place of the word, dot included, as a whole part of a name; NULL: there is none. */
static char *find_word(char *name, const char *word, size_t n)
{
    for (char *p = name; p && *p; p = strchr(p, '.'), p = p ? p + 1 : NULL)
        if (strncmp(p, word, n) == 0)
            return p;
    return NULL;
}

static err_t take_out(struct named_list *list, const char *word, int64_t *found, struct arena *a,
                      struct err *e)
{
    size_t n = strlen(word);
    for (int64_t i = 0; i < list->n; i++) {
        if (!strstr(list->v[i].name, word))
            continue;
        char *name = arena_strdup(a, list->v[i].name, e), *at = name;
        if (!name)
            return e->code;
        int times = 0;
        for (; (at = find_word(at, word, n)) != NULL; times++)
            memmove(at, at + n, strlen(at + n) + 1);
        if (times == 0)
            continue;
        list->v[i].name = name;
        ++*found;
    }
    return ERR_OK;
}

err_t rename_apply(struct named_list *list, const char *rule, int64_t *found, const struct checkpoint *base,
                   const struct checkpoint *tuned, struct arena *a, struct err *e)
{
    *found = 0;
    if (preset_is(rule))
        return preset_apply(rule, &list->v, &list->n, found, base, tuned, a, e);
    return is_word(rule) ? take_out(list, rule, found, a, e) : apply_rule(list, rule, found, a, e);
}

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : strcmp(x->tensor->name, y->tensor->name);
}

err_t rename_sort(struct named_list *list, const struct checkpoint *tuned, struct err *e)
{
    if (list->n > 0)
        qsort(list->v, (size_t)list->n, sizeof *list->v, by_name);
    for (int64_t i = 1; i < list->n; i++)
        if (strcmp(list->v[i - 1].name, list->v[i].name) == 0)
            return err_set(
                e, ERR_CONFIG, "rename: tensors %s and %s of the tuned checkpoint %s would both become %s",
                list->v[i - 1].tensor->name, list->v[i].tensor->name, tuned->path, list->v[i].name);
    return ERR_OK;
}
