#include "base/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* longer words get no suggestion */
enum { NEAREST_LETTERS = 128 };

err_t text_add(struct text *t, struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err_t code = text_add_args(t, e, fmt, args);
    va_end(args);
    return code;
}

err_t text_add_args(struct text *t, struct err *e, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int64_t room = t->text ? t->cap - t->used : 0;
    int n = vsnprintf(room > 0 ? t->text + t->used : NULL, room > 0 ? (size_t)room : 0, fmt, args);
    err_t code = ERR_OK;
    if (n < 0) {
        code = err_set(e, ERR_BUG, "text cannot be formatted: \"%s\"", fmt);
    } else if (n >= room) {
        code = arena_grow(t->arena, "text", t->used + n + 1, &t->cap, &t->text, e);
        if (code == ERR_OK)
            vsnprintf(t->text + t->used, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (code == ERR_OK)
        t->used += n;
    else if (room > 0)
        t->text[t->used] = '\0'; /* what was written of it is no part of the text */
    return code;
}

err_t text_put(struct text *t, struct err *e, const char *s, int64_t n)
{
    TRY(arena_grow(t->arena, "text", t->used + n + 1, &t->cap, &t->text, e));
    memcpy(t->text + t->used, s, (size_t)n);
    t->used += n;
    t->text[t->used] = '\0';
    return ERR_OK;
}

err_t text_put_int(struct text *t, struct err *e, int64_t value)
{
    char digits[20]; /* from the last on */
    int at = (int)sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    return text_put(t, e, digits + at, (int)sizeof digits - at);
}

int text_utf8(const char *s, int64_t n)
{
    if (n <= 0)
        return 0;
    unsigned lead = (unsigned char)s[0];
    if (lead < 0x80)
        return 1;
    int width = lead >= 0xC2 && lead <= 0xDF   ? 2
                : (lead & 0xF0) == 0xE0        ? 3
                : lead >= 0xF0 && lead <= 0xF4 ? 4
                                               : 0;
    if (width == 0 || width > n)
        return 0;
    for (int i = 1; i < width; i++)
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 0;
    /* longer than needed, UTF-16 surrogates, above U+10FFFF */
    unsigned second = (unsigned char)s[1];
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
        return 0;
    return width;
}

/* The code point of a valid character of 2 or 3 bytes if it is a control, a line break, a byte order mark or
 * a noncharacter: YAML refuses those or folds them away, so they are written as escapes. 0 for all others. */
static unsigned unprintable(const char *s, int width)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned point = width == 2   ? (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu)
                     : width == 3 ? (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu)
                                  : 0;
    int odd = point < 0xA0 || point == 0x2028 || point == 0x2029 || point == 0xFEFF || point >= 0xFFFE;
    return odd ? point : 0;
}

err_t text_add_json(struct text *t, struct err *e, const char *s)
{
    TRY(text_put(t, e, "\"", 1));
    int64_t left = (int64_t)strlen(s);
    while (left > 0) {
        int64_t plain = 0; /* what most texts are all of */
        while (s[plain] >= 0x20 && s[plain] < 0x7F && s[plain] != '"' && s[plain] != '\\')
            plain++;
        TRY(text_put(t, e, s, plain));
        s += plain;
        left -= plain;
        if (left == 0)
            break;
        unsigned char c = (unsigned char)*s;
        int width = text_utf8(s, left);
        if (width == 0)
            TRY(text_add(t, e, "\\ufffd"));
        else if (c == '"' || c == '\\')
            TRY(text_add(t, e, "\\%c", c));
        else if (c == '\n')
            TRY(text_add(t, e, "\\n"));
        else if (c == '\t')
            TRY(text_add(t, e, "\\t"));
        else if (c == '\r')
            TRY(text_add(t, e, "\\r"));
        else if (c < 0x20 || c == 0x7F)
            TRY(text_add(t, e, "\\u%04x", c));
        else if (width > 1 && unprintable(s, width))
            TRY(text_add(t, e, "\\u%04x", unprintable(s, width)));
        else
            TRY(text_put(t, e, s, width));
        s += width ? width : 1;
        left -= width ? width : 1;
    }
    return text_put(t, e, "\"", 1);
}

/* Optimal string alignment: insert, delete, change and swap of neighbours cost one; case costs nothing. */
static int distance(const char *a, const char *b)
{
    int na = (int)strlen(a), nb = (int)strlen(b);
    int rows[3][NEAREST_LETTERS + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= nb; j++)
        above[j] = before[j] = j;
    for (int i = 1; i <= na; i++) {
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int best = above[j - 1] + (ca != cb);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        int *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[nb];
}

const char *text_nearest(const char *word, const char *const *words, int n)
{
    size_t length = strlen(word);
    if (length > NEAREST_LETTERS)
        return NULL;
    int limit = (int)length / 3;
    if (limit < 2)
        limit = length < 2 ? 0 : length < 4 ? 1 : 2; /* most of the word must be left */
    const char *nearest = NULL;
    for (int i = 0; i < n; i++) {
        if (strlen(words[i]) > NEAREST_LETTERS)
            continue;
        int d = distance(word, words[i]);
        if (d <= limit) {
            nearest = words[i];
            limit = d - 1; /* the first of equals stays */
        }
    }
    return nearest;
}

char *text_join(struct arena *a, const char *const *words, int n, const char *sep, struct err *e)
{
    size_t bytes = 0, nsep = strlen(sep);
    for (int i = 0; i < n; i++)
        bytes += strlen(words[i]) + nsep;
    char *all;
    if (arena_array(a, "text", (int64_t)bytes + 1, &all, e) != ERR_OK)
        return NULL;
    char *at = all;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        if (i > 0) {
            memcpy(at, sep, nsep);
            at += nsep;
        }
        memcpy(at, words[i], length);
        at += length;
    }
    return all;
}

const char *text_meant(struct text_hint *hint, const char *word, const char *const *words, int n,
                       const char *before, const char *quote, const char *after)
{
    const char *near = text_nearest(word, words, n);
    hint->text[0] = '\0';
    if (near)
        snprintf(hint->text, sizeof hint->text, "%sdid you mean %s%s%s?%s", before, quote, near, quote,
                 after);
    return hint->text;
}

int text_ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

const char *text_grouped(int64_t n, char *out, size_t size)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Bytes of the character at c that no text from outside may hold; 0: it is none. */
static int unwelcome(const unsigned char *c)
{
    if (*c < 0x20 || *c == 0x7f)
        return 1;
    if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
        return 2;
    if (*c == 0xd8 && c[1] == 0x9c) /* U+061C */
        return 2;
    if (*c != 0xe2 || (c[1] != 0x80 && c[1] != 0x81))
        return 0;
    int marks = c[1] == 0x80 && ((c[2] >= 0x8e && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae)),
        isolates = c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9;
    return marks || isolates ? 3 : 0;
}

void text_plain(char *s, int keep_lines)
{
    char *to = s;
    while (*s) {
        int n = keep_lines && (*s == '\n' || *s == '\t') ? 0 : unwelcome((const unsigned char *)s);
        *to++ = n ? '?' : *s;
        s += n ? n : 1;
    }
    *to = '\0';
}
