/* Text: growing strings, lists of words, the nearest valid word. Nothing here knows of sinew. */
#ifndef SINEW_TEXT_H
#define SINEW_TEXT_H

#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stddef.h>

/* A string that grows in an arena. Zero-initialise, set arena, append; text is NULL until the first append.
 */
struct text {
    struct arena *arena;
    char *text;
    int64_t used, cap;
};

/* A list of words, as a parameter of kind PARAM_TEXTS has it. */
struct text_list {
    int n;
    const char **v;
};

/* Local. printf at the end. */
err_t text_add(struct text *t, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Local. The same for a function that has its own "...". */
err_t text_add_args(struct text *t, struct err *e, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Local. The same of n bytes as they are, and of a whole number; by far faster where there are very many. */
err_t text_put(struct text *t, struct err *e, const char *s, int64_t n);
err_t text_put_int(struct text *t, struct err *e, int64_t value);

/* Local. Appends s as a JSON string, quotes included, all control characters escaped. */
err_t text_add_json(struct text *t, struct err *e, const char *s);

/* Local. Bytes of the valid UTF-8 character at s (1 to 4) of at most n; 0 where there is none. */
int text_utf8(const char *s, int64_t n);

/* Local. The word of the list nearest to `word` by edit distance (Damerau: adjacent swaps count one; case is
 * free), or NULL where none is near enough: a third of its letters may change, or 2 of 4 and more, or 1 of 2
 * and 3. */
const char *text_nearest(const char *word, const char *const *words, int n);

/* Local. "a, b, c" into an arena string. */
char *text_join(struct arena *a, const char *const *words, int n, const char *sep, struct err *e);

/* What text_meant writes into; a word of NEAREST_LETTERS and what stands round it. */
struct text_hint {
    char text[192];
};

/* Local. before + "did you mean " + the nearest word between quotes + "?" + after, or "" where no word is
 * near. Returns hint->text. */
const char *text_meant(struct text_hint *hint, const char *word, const char *const *words, int n,
                       const char *before, const char *quote, const char *after);

/* Local. Names and paths come from outside. Puts '?' in the place of what moves a terminal or turns a line
 * round: control characters (of ASCII, and U+0080 to U+009F), and those that set the direction of writing or
 * end a line. Line feeds and tabs stay where keep_lines is set. */
void text_plain(char *s, int keep_lines);

/* Local. Does s end with `end`? */
int text_ends_with(const char *s, const char *end);

/* Local. 1234567 as "1,234,567". Returns out. */
const char *text_grouped(int64_t n, char *out, size_t size);

/* Local. For qsort and bsearch over an array of strings: bytewise. */
int text_order(const void *a, const void *b);

#endif
