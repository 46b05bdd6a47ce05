#include "formats/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json_doc {
    json_t *root;
    struct mem *mem;
};

/* Jansson's allocator hooks take no argument, so the budget that counts has to be known to this file, per
 * thread: only while a text is parsed. Every allocation carries its own budget and size, so that it can be
 * given back later. */
struct counted {
    struct mem *mem;
    size_t bytes;
};
_Static_assert(sizeof(struct counted) % 16 == 0, "what follows the head keeps malloc's alignment");

static _Thread_local struct {
    struct mem *mem;
    int refused;
    size_t most_token; /* bytes: the token buffer never takes more */
    uint64_t granted;  /* over budget: bit k for 16 << k bytes */
} counting;

/* Jansson does not look whether the buffer of the token it is in could grow: without it the token would be
 * cut short, or an assertion end the program. The buffer doubles from 16 bytes on, so each such size is
 * granted once, over budget as it is; the text is refused all the same, at the next value or at its end. */
static int may_be_token(size_t n)
{
    if (n < 16 || n > counting.most_token || (n & (n - 1)) != 0)
        return 0;
    uint64_t bit = (uint64_t)1 << (__builtin_ctzll(n) - 4);
    int first = !(counting.granted & bit);
    counting.granted |= bit;
    return first;
}

static void *counted_malloc(size_t n)
{
    struct mem *m = counting.mem;
    size_t bytes;
    if (__builtin_add_overflow(n, sizeof(struct counted), &bytes))
        return NULL;
    if (m && !mem_room(m, bytes)) {
        counting.refused = 1;
        if (!may_be_token(n))
            return NULL;
    }
    struct counted *head = malloc(bytes);
    if (!head) {
        counting.refused = 1;
        return NULL;
    }
    *head = (struct counted){m, bytes};
    if (m) {
        m->live_bytes += bytes;
        if (m->live_bytes > m->peak_bytes)
            m->peak_bytes = m->live_bytes;
    }
    return head + 1;
}

static void counted_free(void *p)
{
    if (!p)
        return;
    struct counted *head = (struct counted *)p - 1;
    if (head->mem)
        head->mem->live_bytes -= head->bytes;
    free(head);
}

/* The key whose text ends at byte `end`; jansson reports the place of a repeated key, but not its name if
 * that is long. */
static const char *key_before(const char *text, int64_t end, int *length)
{
    *length = 0;
    if (end < 2 || text[end - 1] != '"')
        return "";
    for (int64_t at = end - 2; at >= 0 && end - at < 400; at--) {
        int64_t slashes = 0;
        while (at - slashes > 0 && text[at - slashes - 1] == '\\')
            slashes++;
        if (text[at] == '"' && slashes % 2 == 0) {
            *length = (int)(end - at - 2);
            return text + at + 1;
        }
    }
    return "";
}

/* Jansson's text and a key quote the file; control characters are not let through to a terminal. */
static void hide_control(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

static err_t refuse(const char *what, const char *text, int64_t n, const json_error_t *j, struct err *e)
{
    char why[JSON_ERROR_TEXT_LENGTH + 1] = "";
    snprintf(why, sizeof why, "%s", j->text);
    hide_control(why);
    if (j->position > 0 && j->position <= n && text[j->position - 1] == '\0')
        snprintf(why, sizeof why, "a NUL byte stands outside of texts");
    int length = 0;
    const char *key = "";
    if (json_error_code(j) == json_error_duplicate_key && j->position > 0 && j->position <= n)
        key = key_before(text, j->position, &length);
    if (length > 0) {
        char shown[301];
        snprintf(shown, sizeof shown, "%.*s", length, key);
        hide_control(shown);
        return err_set(e, ERR_DATA,
                       "%s: duplicate key \"%s\" (line %d, column %d, byte %d): each may stand once", what,
                       shown, j->line, j->column, j->position);
    }
    return err_set(e, ERR_DATA, "%s: no valid JSON: %s (line %d, column %d, byte %d of %lld)", what, why,
                   j->line, j->column, j->position, (long long)n);
}

/* Jansson passes over a NUL behind a number or a word. In a text that was taken otherwise it stands outside
 * of texts. */
static err_t refuse_nul(const char *what, const char *text, int64_t at, int64_t n, struct err *e)
{
    int line = 1;
    int64_t start = 0;
    for (int64_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    return err_set(
        e, ERR_DATA,
        "%s: no valid JSON: a NUL byte stands outside of texts (line %d, column %lld, byte %lld of "
        "%lld)",
        what, line, (long long)(at - start + 1), (long long)(at + 1), (long long)n);
}

/* Turns reals that are whole and exact in double back into integers, after a parse with all numbers as reals.
 * -1: no memory. */
static int restore_integers(json_t *v)
{
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n; i++) {
        json_t *item = json_array_get(v, i);
        double x = json_real_value(item);
        if (!json_is_real(item) ? restore_integers(item) != 0
                                : fabs(x) <= 0x1p53 && x == floor(x) &&
                                      json_array_set_new(v, i, json_integer((json_int_t)x)) != 0)
            return -1;
    }
    for (void *at = json_object_iter(v); at; at = json_object_iter_next(v, at)) {
        json_t *item = json_object_iter_value(at);
        double x = json_real_value(item);
        if (!json_is_real(item) ? restore_integers(item) != 0
                                : fabs(x) <= 0x1p53 && x == floor(x) &&
                                      json_object_iter_set_new(v, at, json_integer((json_int_t)x)) != 0)
            return -1;
    }
    return 0;
}

err_t json_doc_parse(struct json_doc **d, const char *what, const char *text, int64_t n, struct arena *a,
                     struct err *e)
{
    *d = NULL;
    struct json_doc *doc = malloc(sizeof *doc);
    if (!doc)
        return err_set(e, ERR_SYSTEM, "%s: out of memory", what);
    json_set_alloc_funcs(counted_malloc, counted_free);
    counting.mem = a->mem;
    counting.refused = 0;
    counting.most_token = 4 * (size_t)n + 16;
    counting.granted = 0;
    json_error_t j;
    size_t flags = JSON_REJECT_DUPLICATES;
    json_t *root = json_loadb(text, (size_t)n, flags, &j);
    /* A number beyond int64 stops the parser before its owner is known. With numbers as reals the tree is
     * complete, and the caller can say in which tensor it stands. */
    if (!root && !counting.refused && json_error_code(&j) == json_error_numeric_overflow) {
        root = json_loadb(text, (size_t)n, flags | JSON_DECODE_INT_AS_REAL, &j);
        if (root && restore_integers(root) != 0) {
            json_decref(root);
            root = NULL;
        }
    }
    int refused = counting.refused;
    counting.mem = NULL;
    const char *nul = root && !refused && n > 0 ? memchr(text, '\0', (size_t)n) : NULL;
    if (root && !refused && !nul) {
        *doc = (struct json_doc){root, a->mem};
        *d = doc;
        return ERR_OK;
    }
    json_decref(root);
    free(doc);
    if (nul)
        return refuse_nul(what, text, nul - text, n, e);
    if (refused)
        return err_set(e, ERR_SYSTEM,
                       "%s: %lld bytes of JSON do not fit the memory budget (%.1f of %.1f MiB in use); raise "
                       "memory_per_process",
                       what, (long long)n, (double)a->mem->live_bytes / 1048576.0,
                       (double)a->mem->budget_bytes / 1048576.0);
    return refuse(what, text, n, &j, e);
}

/* How many bytes of a word that Python alone knows stand at p, of at most n; 0: none. */
static int64_t python_word(const char *p, int64_t n)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (int i = 0; i < 3; i++) {
        int64_t length = (int64_t)strlen(words[i]);
        if (length <= n && memcmp(p, words[i], (size_t)length) == 0)
            return length;
    }
    return 0;
}

/* The text with those words as null, outside of texts, in `to` (room for 4/3 of n); its length. The longer
 * ones keep their places, so that what is said of bytes and columns holds. */
static int64_t tame(const char *text, int64_t n, char *to)
{
    int64_t used = 0, word;
    int quoted = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!quoted && (word = python_word(text + i, n - i)) > 0) {
            memcpy(to + used, "null", 4);
            used += 4;
            for (i += word - 1; word > 4; word--)
                to[used++] = ' ';
            continue;
        }
        to[used++] = text[i];
        if (quoted && text[i] == '\\' && i + 1 < n)
            to[used++] = text[++i];
        else if (text[i] == '"')
            quoted = !quoted;
    }
    return used;
}

err_t json_doc_parse_python(struct json_doc **d, const char *what, const char *text, int64_t n,
                            struct arena *a, struct err *e)
{
    char *tamed;
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    TRY(arena_array(a, "JSON text", n + n / 3 + 1, &tamed, e));
    err_t code = json_doc_parse(d, what, tamed, tame(text, n, tamed), a, e);
    arena_drop(a, tamed);
    return code;
}

void json_doc_release(struct json_doc *d)
{
    if (!d)
        return;
    json_decref(d->root);
    free(d);
}

const struct json_item *json_doc_root(const struct json_doc *d)
{
    return (const struct json_item *)d->root;
}

/* An item is jansson's value under another name; jansson's reading functions take NULL and other kinds. */
static const json_t *as_json(const struct json_item *v)
{
    return (const json_t *)v;
}

enum json_kind json_item_kind(const struct json_item *v)
{
    switch (v ? json_typeof(as_json(v)) : JSON_NULL) {
    case JSON_OBJECT:
        return JSON_KIND_MAP;
    case JSON_ARRAY:
        return JSON_KIND_LIST;
    case JSON_STRING:
        return JSON_KIND_TEXT;
    case JSON_INTEGER:
        return JSON_KIND_INT;
    case JSON_REAL:
        return JSON_KIND_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_KIND_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_KIND_NULL;
}

const char *json_item_kind_text(const struct json_item *v)
{
    static const char *const words[] = {
        [JSON_KIND_NULL] = "null",      [JSON_KIND_BOOL] = "true or false",
        [JSON_KIND_INT] = "an integer", [JSON_KIND_REAL] = "a number that is no integer of 64 bits",
        [JSON_KIND_TEXT] = "a text",    [JSON_KIND_LIST] = "a list",
        [JSON_KIND_MAP] = "a map"};
    return v ? words[json_item_kind(v)] : "nothing";
}

int64_t json_item_int(const struct json_item *v)
{
    return json_is_true(as_json(v)) ? 1 : json_integer_value(as_json(v));
}

double json_item_real(const struct json_item *v)
{
    return json_real_value(as_json(v));
}

const char *json_item_text(const struct json_item *v)
{
    const char *text = json_string_value(as_json(v));
    return text ? text : "";
}

int64_t json_item_count(const struct json_item *v)
{
    return (int64_t)(json_is_object(as_json(v)) ? json_object_size(as_json(v)) : json_array_size(as_json(v)));
}

const struct json_item *json_item_at(const struct json_item *list, int64_t i)
{
    return i < 0 ? NULL : (const struct json_item *)json_array_get(as_json(list), (size_t)i);
}

const struct json_item *json_item_get(const struct json_item *map, const char *key)
{
    return (const struct json_item *)json_object_get(as_json(map), key);
}

void *json_item_next(const struct json_item *map, void *at, const char **key, const struct json_item **value)
{
    /* jansson's iterators ask for a map they may change; reading does not change it */
    json_t *m = (json_t *)map;
    at = at ? json_object_iter_next(m, at) : json_object_iter(m);
    *key = at ? json_object_iter_key(at) : NULL;
    *value = at ? (const struct json_item *)json_object_iter_value(at) : NULL;
    return at;
}
