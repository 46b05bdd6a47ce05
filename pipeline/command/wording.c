#include "command/wording.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* Keys of delta, of a cell and of the study, and their options; the values by which a key is known without
 * quotes, as the words are common ones. */
static const struct {
    const char *key, *option;
    const char *values[3];
} keys[] = {
    {"weights", "weights", {"masters", "model"}},
    {"adapter", "adapter", {"merged", "exact"}},
    {"merge", "merge", {"default", "safe"}},
    {"arithmetic", "arithmetic", {"bf16", "f32"}},
    {"unmatched", "unmatched", {"fail", "skip"}},
    {"rows", "rows", {"fail", "common", "skip"}},
    {"mtp", "mtp", {"exclude", "include"}},
    {"coverage", "coverage", {"any"}},
    {"rename", "rename", {NULL}},
    {"memory_per_process", "memory", {NULL}},
};
enum { KEYS = sizeof keys / sizeof *keys };

static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The key that a word at p is, all of it; -1: none. */
static int key_at(const char *p)
{
    for (int k = 0; k < KEYS; k++) {
        size_t n = strlen(keys[k].key);
        if (strncmp(p, keys[k].key, n) == 0 && !is_letter(p[n]))
            return k;
    }
    return -1;
}

/* Bytes of one of the key's values at p, all of a word; 0: it is none. */
static size_t value_at(int k, const char *p)
{
    for (int i = 0; i < 3 && keys[k].values[i]; i++) {
        size_t n = strlen(keys[k].values[i]);
        if (strncmp(p, keys[k].values[i], n) == 0 && !is_letter(p[n]))
            return n;
    }
    return 0;
}

static size_t of_delta(const char *p)
{
    static const char words[] = " of delta";
    return strncmp(p, words, sizeof words - 1) == 0 && !is_letter(p[sizeof words - 1]) ? sizeof words - 1 : 0;
}

/* "KEY: VALUE" or "KEY" in quotes; returns the bytes read, 0: it is none. */
static size_t take_quoted(const char *p, struct text *out, struct err *e)
{
    int k = *p == '"' ? key_at(p + 1) : -1;
    if (k < 0)
        return 0;
    const char *at = p + 1 + strlen(keys[k].key), *value = strncmp(at, ": ", 2) == 0 ? at + 2 : NULL,
               *end = strchr(at, '"');
    if (!end || (!value && at != end))
        return 0;
    text_add(out, e, "--%s%s%.*s", keys[k].option, value ? " " : "", value ? (int)(end - value) : 0,
             value ? value : "");
    return (size_t)(end + 1 - p) + of_delta(end + 1);
}

/* KEY: VALUE where the value is one that the key has, and memory_per_process, which nothing else is. */
static size_t take_bare(const char *p, struct text *out, struct err *e)
{
    int k = key_at(p);
    if (k < 0)
        return 0;
    size_t n = strlen(keys[k].key), value = strncmp(p + n, ": ", 2) == 0 ? value_at(k, p + n + 2) : 0;
    if (value > 0) {
        text_add(out, e, "--%s %.*s", keys[k].option, (int)value, p + n + 2);
        return n + 2 + value;
    }
    int is_named = strncmp(p + n, ": \"", 3) == 0; /* rename: "a -> b" matches none of ... */
    if (!strchr(keys[k].key, '_') && !is_named)
        return 0;
    text_add(out, e, "--%s", keys[k].option);
    return n + (size_t)is_named;
}

/* rename: ["RULE", ...] of rules that are plain letters, as they are proposed. */
static size_t take_rules(const char *p, struct text *out, struct err *e)
{
    static const char begins[] = "rename: [\"";
    const char *at = p + sizeof begins - 2, *end = strchr(p, ']');
    int n = 0;
    if (strncmp(p, begins, sizeof begins - 1) != 0 || !end || memchr(p, '\'', (size_t)(end - p)))
        return 0;
    while (at < end && *at == '"') {
        size_t length = strcspn(at + 1, "\"");
        text_add(out, e, "%s--rename '%.*s'", n++ > 0 ? " " : "", (int)length, at + 1);
        at += length + 2;
        at += strspn(at, ", ");
    }
    return (size_t)(end + 1 - p);
}

char *wording_options(const char *text, struct arena *a, struct err *e)
{
    struct text out = {.arena = a};
    text_add(&out, e, "%s", "");
    for (const char *p = text; *p && e->code == ERR_OK;) {
        size_t n = 0;
        if (p == text || !is_letter(p[-1])) {
            n = take_quoted(p, &out, e);
            n = n ? n : take_rules(p, &out, e);
            n = n ? n : take_bare(p, &out, e);
        }
        if (n == 0)
            text_put(&out, e, p, 1);
        p += n ? n : 1;
    }
    return e->code == ERR_OK ? out.text : NULL;
}

void wording_error(struct err *failure, struct arena *a)
{
    struct err e;
    err_clear(&e);
    char *text = wording_options(failure->text, a, &e);
    if (text)
        snprintf(failure->text, sizeof failure->text, "%s", text);
    if (strstr(failure->item, " of ")) /* NODE of CELL: names that sinew made up */
        failure->item[0] = '\0';
}
