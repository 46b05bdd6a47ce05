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

enum {
    SHEET_COLUMNS = 64,
    SHEET_ROWS = 5000 /* that are kept; a reader of more wants a program, and has the CSV files for it */
};

struct sheet {
    struct arena *arena;
    const char **cells; /* titles first, then row after row */
    int64_t ncells, cap;
    int64_t most;     /* rows that are kept */
    int64_t left;     /* cells that came behind them */
    const char *rest; /* the file that has all rows; NULL: one of the CSV files. Borrowed */
    int whole;        /* all rows stand in text files, too, which otherwise have the first ones */
    int ncols;
    char align[SHEET_COLUMNS]; /* 'l', 'r' or 'c' */
};

/* Local. An empty sheet drawing on the arena. It keeps SHEET_ROWS rows and counts the others, unless `most`
 * is set before the first row. */
void sheet_init(struct sheet *s, struct arena *a);

/* Local. Adds a column; all columns come before the first cell. align: 'l' texts, 'r' numbers, 'c' texts that
 * are cells' names, FAMILY/ALGORITHM/SEED. Errors: BUG past SHEET_COLUMNS. */
void sheet_column(struct sheet *s, char align, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Local. The next cell of the row, printf; a row ends with its last column. */
void sheet_cell(struct sheet *s, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Local. A count with thousands separated by commas, and a real with so many decimals ("-" for NaN). */
void sheet_count(struct sheet *s, int64_t n, struct err *e);
void sheet_real(struct sheet *s, double x, int decimals, struct err *e);

/* Local. Complete rows that are kept, titles not counted; and all that there were. */
int64_t sheet_rows(const struct sheet *s);
int64_t sheet_all_rows(const struct sheet *s);

/* Local. Appends the first rows, at most so many, as a Markdown table padded to the width of its columns (in
 * code points), '|' escaped. */
err_t sheet_markdown(const struct sheet *s, int64_t rows, struct text *out, struct err *e);

/* Local. The same as plain text: columns two blanks apart, a rule under the titles, no blanks at line ends.
 */
err_t sheet_plain(const struct sheet *s, int64_t rows, struct text *out, struct err *e);

/* Local. Where the sheet has more rows than the `shown` first: one sentence that says so and names the file
 * that has all; else nothing. */
err_t sheet_say_rest(const struct sheet *s, int64_t shown, struct text *out, struct err *e);

/* Local, pure. The sheet with no more rows than the first `most`; it borrows all that it has. */
struct sheet sheet_first(const struct sheet *s, int64_t most);

/* Local, pure. A real as people write tolerances: "1e-5", "0.672", "0"; six digits at most. Returns text. */
const char *real_short(double x, char *text, int size);

/* Local. Appends a text as a CSV field (RFC 4180): in double quotes, with quotes doubled, where it holds a
 * comma, a quote, a line break or a blank at an end; as it is otherwise. One that a
 * spreadsheet would take for a formula (it begins with = + - @ or a tab) gets an apostrophe in front. */
err_t csv_text(struct text *out, const char *text, struct err *e);

/* Local. Appends a real as the shortest of 15 to 17 digits that reads back as the same double; nan, inf and
 * -inf by name, as pandas and numpy read them. */
err_t csv_real(struct text *out, double x, struct err *e);

#endif
