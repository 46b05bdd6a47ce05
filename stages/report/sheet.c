#include "report/sheet.h"

#include "report/real.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sheet_init(struct sheet *s, struct arena *a)
{
    *s = (struct sheet){.arena = a, .most = SHEET_ROWS};
}

static void add_cell(struct sheet *s, struct err *e, const char *fmt, va_list args)
{
    char text[1024];
    if (s->ncols > 0 && s->ncells / s->ncols > s->most) {
        s->left++;
        return;
    }
    if (e->code != ERR_OK || arena_grow(s->arena, "sheet", s->ncells + 1, &s->cap, &s->cells, e) != ERR_OK)
        return;
    vsnprintf(text, sizeof text, fmt, args);
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' '; /* a row is one line */
    char *copy = arena_strdup(s->arena, text, e);
    if (copy)
        s->cells[s->ncells++] = copy;
}

void sheet_column(struct sheet *s, char align, struct err *e, const char *fmt, ...)
{
    if (s->ncols >= SHEET_COLUMNS || s->ncells != s->ncols) {
        err_set(e, ERR_BUG, "a sheet column too many or too late, column %d", s->ncols + 1);
        return;
    }
    va_list args;
    va_start(args, fmt);
    add_cell(s, e, fmt, args);
    va_end(args);
    s->align[s->ncols++] = align;
}

void sheet_cell(struct sheet *s, struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_cell(s, e, fmt, args);
    va_end(args);
}

/* 1,234,567 */
static const char *grouped_digits(int64_t n, char grouped[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && digits[i - 1] != '-' && (len - i) % 3 == 0)
            grouped[at++] = ',';
        grouped[at++] = digits[i];
    }
    grouped[at] = '\0';
    return grouped;
}

void sheet_count(struct sheet *s, int64_t n, struct err *e)
{
    char grouped[32];
    sheet_cell(s, e, "%s", grouped_digits(n, grouped));
}

void sheet_real(struct sheet *s, double x, int decimals, struct err *e)
{
    if (isnan(x))
        sheet_cell(s, e, "-");
    else
        sheet_cell(s, e, "%.*f", decimals, x);
}

int64_t sheet_rows(const struct sheet *s)
{
    return s->ncols > 0 ? s->ncells / s->ncols - 1 : 0;
}

int64_t sheet_all_rows(const struct sheet *s)
{
    return s->ncols > 0 ? sheet_rows(s) + s->left / s->ncols : 0;
}

/* Code points of UTF-8, which is what a terminal and an editor align by. */
static int width_of(const char *text, int escaped)
{
    int width = 0;
    for (; *text; text++)
        width += ((*text & 0xc0) != 0x80) + (escaped && *text == '|');
    return width;
}

static void measure(const struct sheet *s, int64_t rows, int escaped, int least, int *width)
{
    for (int c = 0; c < s->ncols; c++)
        width[c] = least;
    for (int64_t i = 0; i < (rows + 1) * s->ncols; i++) {
        int w = width_of(s->cells[i], escaped);
        if (w > width[i % s->ncols])
            width[i % s->ncols] = w;
    }
}

static void add_blanks(struct text *out, int n, struct err *e)
{
    if (n > 0)
        text_add(out, e, "%*s", n, "");
}

static void add_escaped(struct text *out, const char *text, struct err *e)
{
    const char *bar;
    while ((bar = strchr(text, '|'))) {
        text_add(out, e, "%.*s\\|", (int)(bar - text), text);
        text = bar + 1;
    }
    text_add(out, e, "%s", text);
}

static void add_rule(struct text *out, char mark, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        text_add(out, e, "%c", mark);
}

err_t sheet_markdown(const struct sheet *s, int64_t rows, struct text *out, struct err *e)
{
    int width[SHEET_COLUMNS];
    rows = min64(rows, sheet_rows(s));
    measure(s, rows, 1, 3, width);
    for (int64_t r = 0; s->ncols > 0 && r <= rows; r++) {
        for (int c = 0; c < s->ncols; c++) {
            const char *cell = s->cells[r * s->ncols + c];
            int pad = width[c] - width_of(cell, 1);
            text_add(out, e, "| ");
            add_blanks(out, s->align[c] == 'r' ? pad : 0, e);
            add_escaped(out, cell, e);
            add_blanks(out, s->align[c] == 'r' ? 1 : pad + 1, e);
        }
        text_add(out, e, "|\n");
        for (int c = 0; r == 0 && c < s->ncols; c++) {
            text_add(out, e, "|%s", s->align[c] == 'r' ? "-" : ":");
            add_rule(out, '-', width[c], e);
            text_add(out, e, "%s", s->align[c] == 'r' ? ":" : "-");
        }
        if (r == 0)
            text_add(out, e, "|\n");
    }
    return e->code;
}

err_t sheet_plain(const struct sheet *s, int64_t rows, struct text *out, struct err *e)
{
    int width[SHEET_COLUMNS];
    rows = min64(rows, sheet_rows(s));
    measure(s, rows, 0, 1, width);
    for (int64_t r = 0; s->ncols > 0 && r <= rows; r++) {
        for (int c = 0; c < s->ncols; c++) {
            const char *cell = s->cells[r * s->ncols + c];
            int pad = width[c] - width_of(cell, 0), last = c == s->ncols - 1;
            add_blanks(out, s->align[c] == 'r' ? pad : 0, e);
            text_add(out, e, "%s", cell);
            add_blanks(out, last ? 0 : s->align[c] == 'r' ? 2 : pad + 2, e);
        }
        text_add(out, e, "\n");
        for (int c = 0; r == 0 && c < s->ncols; c++) {
            add_rule(out, '-', width[c], e);
            text_add(out, e, "%s", c == s->ncols - 1 ? "\n" : "  ");
        }
    }
    return e->code;
}

struct sheet sheet_first(const struct sheet *s, int64_t most)
{
    struct sheet first = *s;
    if (sheet_rows(s) > most) {
        first.ncells = (most + 1) * s->ncols;
        first.left += s->ncells - first.ncells;
    }
    return first;
}

err_t sheet_say_rest(const struct sheet *s, int64_t shown, struct text *out, struct err *e)
{
    char first[32], all[32];
    if (sheet_all_rows(s) <= shown)
        return ERR_OK;
    return text_add(out, e, "The first %s of %s rows; %s %s.", grouped_digits(shown, first),
                    grouped_digits(sheet_all_rows(s), all),
                    s->rest ? s->rest : "the CSV files beside this page", s->rest ? "has all" : "have all");
}

const char *real_short(double x, char *text, int size)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.5e", x);
    char *mark = strchr(digits, 'e'), *end = mark;
    if (!mark || x == 0 || (fabs(x) >= 0.01 && fabs(x) < 1e6)) {
        snprintf(text, (size_t)size, "%g", x);
        return text;
    }
    while (end[-1] == '0')
        end--;
    if (end[-1] == '.')
        end--;
    snprintf(text, (size_t)size, "%.*se%ld", (int)(end - digits), digits, strtol(mark + 1, NULL, 10));
    return text;
}

err_t csv_text(struct text *out, const char *text, struct err *e)
{
    size_t n = strlen(text);
    const char *mark = n > 1 && strchr("=+-@\t\r", text[0]) ? "'" : "";
    int plain = !strpbrk(text, ",\"\r\n") && (n == 0 || (text[0] != ' ' && text[n - 1] != ' '));
    if (!plain)
        TRY(text_put(out, e, "\"", 1));
    TRY(text_put(out, e, mark, (int64_t)strlen(mark)));
    if (plain)
        return text_put(out, e, text, (int64_t)n);
    const char *quote;
    while ((quote = strchr(text, '"'))) {
        TRY(text_put(out, e, text, quote + 1 - text));
        TRY(text_put(out, e, "\"", 1));
        text = quote + 1;
    }
    TRY(text_put(out, e, text, (int64_t)strlen(text)));
    return text_put(out, e, "\"", 1);
}

err_t csv_real(struct text *out, double x, struct err *e)
{
    char digits[REAL_TEXT];
    if (fabs(x) < 1e15 && x == floor(x) && !(x == 0 && signbit(x))) /* 15 digits are enough, and quick */
        return text_put_int(out, e, (int64_t)x);
    int n = real_exact(x, digits);
    return text_put(out, e, digits, n);
}
