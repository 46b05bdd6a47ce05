/* Sheet: a small table of texts, laid out as aligned Markdown or plain text; and the fields of CSV files.
 *
 * Order of calls: sheet_init, sheet_column for each column, sheet_cell row after row, then sheet_markdown or
 * sheet_plain. After an error in e nothing more is taken; the layout functions return it. */
#ifndef SINEW_SHEET_H
#define SINEW_SHEET_H

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdint.h>

enum { SHEET_COLUMNS = 64 };

struct sheet {
    struct arena *arena;
    const char **cells; /* titles first, then row after row */
    int64_t ncells, cap;
    int ncols;
    char align[SHEET_COLUMNS]; /* 'l' or 'r' */
};

/* Local. An empty sheet drawing on the arena. */
void sheet_init(struct sheet *s, struct arena *a);

/* Local. Adds a column; all columns come before the first cell. align: 'l' texts, 'r' numbers. Errors: BUG
 * past SHEET_COLUMNS. */
void sheet_column(struct sheet *s, char align, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Local. The next cell of the row, printf; a row ends with its last column. */
void sheet_cell(struct sheet *s, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Local. A count with thousands separated by commas, and a real with so many decimals ("-" for NaN). */
void sheet_count(struct sheet *s, int64_t n, struct err *e);
void sheet_real(struct sheet *s, double x, int decimals, struct err *e);

/* Local. Complete rows, titles not counted. */
int64_t sheet_rows(const struct sheet *s);

/* Local. Appends the sheet as a Markdown table padded to the width of its columns (in code points), '|'
 * escaped. */
err_t sheet_markdown(const struct sheet *s, struct text *out, struct err *e);

/* Local. Appends the sheet as plain text: columns two blanks apart, a rule under the titles, no blanks at
 * line ends. */
err_t sheet_plain(const struct sheet *s, struct text *out, struct err *e);

/* Local, pure. A real as people write tolerances: "1e-5", "0.672", "0"; six digits at most. Returns text. */
const char *real_short(double x, char *text, int size);

/* Local. Appends a text as a CSV field (RFC 4180): in double quotes, with quotes doubled, where it holds a
 * comma, a quote, a line break or a blank at an end; as it is otherwise. */
err_t csv_text(struct text *out, const char *text, struct err *e);

/* Local. Appends a real as the shortest of 15 to 17 digits that reads back as the same double; nan, inf and
 * -inf by name, as pandas and numpy read them. */
err_t csv_real(struct text *out, double x, struct err *e);

#endif
