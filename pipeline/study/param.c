#include "study/param.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { EXPECTED = 400, FOUND = 60, NUMBER = 40 };

/* Where the value of p stands in the stage's parameter struct. */
static void *slot(const struct param *p, void *params)
{
    return (char *)params + p->offset;
}

static const void *slot_const(const struct param *p, const void *params)
{
    return (const char *)params + p->offset;
}

int int_parse(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits) || (*digits == '0' && digits[1] != '\0'))
        return -1;
    char *end;
    errno = 0;
    long long x = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return -1;
    *out = x;
    return 0;
}

int real_parse(const char *text, double *out)
{
    /* strtod also takes blanks, hexadecimal, infinity and nan: only these characters may stand here */
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0')
        return -1;
    char *end;
    double x = strtod(text, &end);
    if (*end != '\0' || !isfinite(x))
        return -1;
    *out = x == 0.0 ? 0.0 : x; /* no negative zero: equal values, equal text */
    return 0;
}

const char *real_text(double x, char *text, int size)
{
    if (fabs(x) < 1e15 && x == floor(x)) { /* "100", not "1e+02" */
        snprintf(text, (size_t)size, "%.0f", x);
        return text;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, (size_t)size, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return text;
}

static const struct {
    const char *name;
    double bytes;
} units[] = {
    {"", 1},      {"B", 1},        {"kB", 1e3},        {"MB", 1e6},           {"GB", 1e9},
    {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
};

int64_t bytes_parse(const char *text)
{
    char number[NUMBER];
    size_t n = strspn(text, "+-.0123456789");
    if ((text[n] == 'e' || text[n] == 'E') && strspn(text + n + 1, "+-0123456789") > 0)
        n += 1 + strspn(text + n + 1, "+-0123456789");
    if (n >= sizeof number)
        return -1;
    memcpy(number, text, n);
    number[n] = '\0';
    const char *unit = text + n + strspn(text + n, " ");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(unit, units[i].name) != 0)
            continue;
        int64_t whole;
        int64_t each = (int64_t)units[i].bytes;
        if (int_parse(number, &whole) == 0) /* exact, beyond the 53 bits of a double */
            return whole < 0 || __builtin_mul_overflow(whole, each, &whole) ? -1 : whole;
        double x;
        if (real_parse(number, &x) != 0 || x < 0 || x * units[i].bytes >= 9223372036854775808.0)
            return -1;
        return (int64_t)llround(x * units[i].bytes);
    }
    return -1;
}

const char *bytes_text(int64_t bytes, char *text, int size)
{
    static const char *const names[] = {"", " KiB", " MiB", " GiB"};
    int i = 0;
    while (i < 3 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(text, (size_t)size, "%lld%s", (long long)bytes, names[i]);
    return text;
}

static int is_list_kind(enum param_kind kind)
{
    return kind == PARAM_REALS || kind == PARAM_TEXTS;
}

static int choice_count(const struct param *p)
{
    int n = 0;
    while (p->choices && p->choices[n])
        n++;
    return n;
}

const char *param_expected(const struct param *p, char *text, int size)
{
    static const char *const words[] = {
        [PARAM_BOOL] = "true or false",
        [PARAM_INT] = "an integer",
        [PARAM_REAL] = "a number",
        [PARAM_BYTES] = "a size (\"2 GiB\", \"512 MB\")",
        [PARAM_TEXT] = "a text",
        [PARAM_CHOICE] = "one of",
        [PARAM_REALS] = "a list of numbers",
        [PARAM_TEXTS] = "a list of texts",
    };
    int used = snprintf(text, (size_t)size, "%s", words[p->kind]);
    for (int i = 0; p->kind == PARAM_CHOICE && i < choice_count(p) && used < size; i++)
        used += snprintf(text + used, (size_t)(size - used), "%s %s", i ? "," : "", p->choices[i]);
    int numbers =
        p->kind == PARAM_INT || p->kind == PARAM_REAL || p->kind == PARAM_BYTES || p->kind == PARAM_REALS;
    if (numbers && (p->min != 0 || p->max != 0) && used < size) {
        char low[NUMBER], high[NUMBER];
        if (p->kind == PARAM_BYTES) {
            bytes_text((int64_t)p->min, low, sizeof low);
            bytes_text(p->max < 9e18 ? (int64_t)p->max : INT64_MAX, high, sizeof high);
        } else {
            real_text(p->min, low, sizeof low);
            real_text(p->max, high, sizeof high);
        }
        if (p->max >= 9e15) /* as good as no limit */
            snprintf(text + used, (size_t)(size - used), " of at least %s", low);
        else
            snprintf(text + used, (size_t)(size - used), " from %s to %s", low, high);
    }
    return text;
}

static int in_range(const struct param *p, double x)
{
    return (p->min == 0 && p->max == 0) || (x >= p->min && x <= p->max);
}

static int bool_parse(const char *text, int *out)
{
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0)
        *out = 1;
    else if (strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0)
        *out = 0;
    else
        return -1;
    return 0;
}

/* One scalar of kind bool, int, real, bytes or choice into its C type at out. 0, or -1 where it does not fit.
 */
static int set_scalar(const struct param *p, const char *value, void *out)
{
    int64_t whole;
    double real;
    int flag;
    switch (p->kind) {
    case PARAM_BOOL:
        if (bool_parse(value, &flag) != 0)
            return -1;
        *(int *)out = flag;
        return 0;
    case PARAM_INT:
        if (int_parse(value, &whole) != 0 || !in_range(p, (double)whole))
            return -1;
        *(int64_t *)out = whole;
        return 0;
    case PARAM_BYTES:
        whole = bytes_parse(value);
        if (whole < 0 || !in_range(p, (double)whole))
            return -1;
        *(int64_t *)out = whole;
        return 0;
    case PARAM_REAL:
    case PARAM_REALS:
        if (real_parse(value, &real) != 0 || !in_range(p, real))
            return -1;
        *(double *)out = real;
        return 0;
    case PARAM_CHOICE:
        for (int i = 0; i < choice_count(p); i++)
            if (strcmp(p->choices[i], value) == 0) {
                *(int *)out = i;
                return 0;
            }
        return -1;
    default:
        return -1;
    }
}

static int refuse(const struct param *p, const char *value, char *problem, int size)
{
    char expected[EXPECTED];
    param_expected(p, expected, sizeof expected);
    struct text_hint hint;
    snprintf(
        problem, (size_t)size, "expected %s, found \"%.*s%s\"%s", expected, FOUND, value,
        strlen(value) > FOUND ? "..." : "",
        text_meant(&hint, value, p->choices, p->kind == PARAM_CHOICE ? choice_count(p) : 0, "; ", "", ""));
    return -1;
}

int param_set(const struct param *p, void *params, const struct param_given *given, struct arena *a,
              char *problem, int size, struct err *e)
{
    const char *const *values = given->values;
    problem[0] = '\0';
    if (!is_list_kind(p->kind) && (given->is_list || given->n != 1)) {
        char expected[EXPECTED];
        snprintf(problem, (size_t)size, "expected %s, found a list",
                 param_expected(p, expected, sizeof expected));
        return -1;
    }
    if (p->kind == PARAM_REALS) {
        struct real_list list = {.n = given->n};
        if (arena_array(a, "params", given->n, &list.v, e) != ERR_OK)
            return -1;
        for (int i = 0; i < given->n; i++)
            if (set_scalar(p, values[i], &list.v[i]) != 0)
                return refuse(p, values[i], problem, size);
        *(struct real_list *)slot(p, params) = list;
        return 0;
    }
    if (p->kind == PARAM_TEXTS) {
        struct text_list list = {.n = given->n};
        if (arena_array(a, "params", given->n, &list.v, e) != ERR_OK)
            return -1;
        for (int i = 0; i < given->n; i++)
            if (!(list.v[i] = arena_strdup(a, values[i], e)))
                return -1;
        *(struct text_list *)slot(p, params) = list;
        return 0;
    }
    if (p->kind == PARAM_TEXT) {
        const char *copy = arena_strdup(a, values[0], e);
        if (!copy)
            return -1;
        *(const char **)slot(p, params) = copy;
        return 0;
    }
    return set_scalar(p, values[0], slot(p, params)) == 0 ? 0 : refuse(p, values[0], problem, size);
}

/* Cuts one item of a default ("abc" or 'abc' or "\"a, b\"") out of a flow list; *at moves behind its comma.
 */
static char *cut_item(const char **at, struct arena *a, struct err *e)
{
    const char *s = *at + strspn(*at, " ");
    size_t n;
    if (*s == '"' || *s == '\'') {
        const char *close = strchr(s + 1, *s);
        n = close ? (size_t)(close - s - 1) : strlen(s + 1);
        s++;
        *at = s + n + (close != NULL);
    } else {
        n = strcspn(s, ",]");
        *at = s + n;
        while (n > 0 && s[n - 1] == ' ')
            n--;
    }
    *at += strspn(*at, " ");
    *at += **at == ',';
    return arena_strndup(a, s, n, e);
}

static err_t set_default(const struct param *p, void *params, struct arena *a, struct err *e)
{
    const char *text = p->fallback;
    const char *single[1] = {text};
    struct param_given given = {.n = 1, .values = single};
    if (is_list_kind(p->kind)) {
        text = text ? text : "[]";
        const char *at = text + (*text == '[');
        const char **items = NULL;
        int64_t cap = 0;
        int n = 0;
        for (at += strspn(at, " "); *at != '\0' && *at != ']'; n++) {
            TRY(arena_grow(a, "params", n + 1, &cap, &items, e));
            if (!(items[n] = cut_item(&at, a, e)))
                return e->code;
        }
        given = (struct param_given){.n = n, .is_list = 1, .values = items};
    } else if (!text) {
        if (p->kind == PARAM_TEXT)
            *(const char **)slot(p, params) = "";
        return ERR_OK; /* the rest is zero already */
    } else {
        size_t length = strlen(text); /* a text may stand in quotes here as it does in YAML */
        if (p->kind == PARAM_TEXT && length >= 2 && text[0] == '"' && text[length - 1] == '"')
            if (!(single[0] = arena_strndup(a, text + 1, length - 2, e)))
                return e->code;
    }
    char problem[EXPECTED + 2 * FOUND];
    if (param_set(p, params, &given, a, problem, sizeof problem, e) == 0)
        return ERR_OK;
    return err_set(e, ERR_BUG, "default of parameter %s: %s", p->name, problem);
}

err_t param_defaults(const struct param *table, void *params, struct arena *a, struct err *e)
{
    for (const struct param *p = table; p && p->name; p++)
        TRY(set_default(p, params, a, e));
    return ERR_OK;
}

err_t param_quote(struct text *out, const char *s, struct err *e)
{
    struct text doubled = {.arena = out->arena};
    TRY(text_add(&doubled, e, "%s", ""));
    for (;;) {
        const char *open = strstr(s, "${");
        if (!open)
            break;
        TRY(text_add(&doubled, e, "%.*s$${", (int)(open - s), s));
        s = open + 2;
    }
    TRY(text_add(&doubled, e, "%s", s));
    err_t code = text_add_json(out, e, doubled.text);
    arena_drop(out->arena, doubled.text);
    return code;
}

err_t param_text(const struct param *p, const void *params, struct text *out, struct err *e)
{
    const void *v = slot_const(p, params);
    char number[NUMBER];
    switch (p->kind) {
    case PARAM_BOOL:
        return text_add(out, e, "%s", *(const int *)v ? "true" : "false");
    case PARAM_INT:
        return text_add(out, e, "%lld", (long long)*(const int64_t *)v);
    case PARAM_BYTES:
        return text_add(out, e, "%s", bytes_text(*(const int64_t *)v, number, sizeof number));
    case PARAM_REAL:
        return text_add(out, e, "%s", real_text(*(const double *)v, number, sizeof number));
    case PARAM_TEXT:
        return param_quote(out, *(const char *const *)v, e);
    case PARAM_CHOICE:
        return text_add(out, e, "%s", p->choices[*(const int *)v]);
    case PARAM_REALS: {
        const struct real_list *list = v;
        TRY(text_add(out, e, "["));
        for (int i = 0; i < list->n; i++)
            TRY(text_add(out, e, "%s%s", i ? ", " : "", real_text(list->v[i], number, sizeof number)));
        return text_add(out, e, "]");
    }
    case PARAM_TEXTS: {
        const struct text_list *list = v;
        TRY(text_add(out, e, "["));
        for (int i = 0; i < list->n; i++) {
            TRY(text_add(out, e, "%s", i ? ", " : ""));
            TRY(param_quote(out, list->v[i], e));
        }
        return text_add(out, e, "]");
    }
    }
    return err_set(e, ERR_BUG, "parameter %s: no such kind %d", p->name, (int)p->kind);
}
