/* Chart: one figure of the report as numbers and words, before any program draws it.
 *
 * A chart is curves over an axis, rows of dots, or blocks of a matrix. From it come the script that draws it
 * (plot.h) and the CSV file with its numbers, so that the two cannot differ. Order of calls: chart_new, then
 * what its kind has (chart_series and chart_point; chart_label; chart_block and chart_set), then chart_csv.
 * After an error in e nothing more is taken; callers look at e once, at the end. */
#ifndef SINEW_CHART_H
#define SINEW_CHART_H

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "report/pivot.h"

#include <stdint.h>

enum { CHART_SERIES = 24, CHART_BLOCKS = 4, CHART_MARKS = 6 };

enum chart_kind {
    CHART_CURVES, /* series of (x, y) */
    CHART_ROWS,   /* a named row for each label; series of (value, row number) */
    CHART_MATRIX  /* blocks of labels x columns, as colours and, where there is room, numbers */
};

enum chart_style { CHART_LINE, CHART_LINE_POINTS, CHART_DOTS, CHART_HOLLOW, CHART_FAINT };

struct chart_series {
    const char *name;
    enum chart_style style;
    int64_t n, cap, cap_y;
    double *x, *y;
};

/* A line across the figure: at x = value, at y = value, or where both are equal. */
struct chart_mark {
    char axis; /* 'x', 'y' or 'd' */
    double value;
    const char *text;
};

struct chart_block {
    const char *title;
    double *values; /* labels x columns; NaN where there is none */
};

struct chart {
    struct arena *arena;
    enum chart_kind kind;
    const char *name; /* of the files: letters, digits, '-' and '.' */
    const char *title, *caption;
    const char *x_title, *y_title, *value_title, *label_title;
    int log_x, log_y, whole;           /* whole: numbers of a matrix are printed without decimals */
    int extra;                         /* one of many alike, shown on request */
    double x_min, x_max, y_min, y_max; /* NaN: as the data has them */
    int nseries, nblocks, nmarks;
    struct chart_series series[CHART_SERIES];
    struct keys labels;  /* rows of CHART_ROWS and CHART_MATRIX, from the top */
    struct keys columns; /* of CHART_MATRIX; of CHART_CURVES: names of x = 0, 1, ... where x is no number */
    struct chart_block blocks[CHART_BLOCKS];
    struct chart_mark marks[CHART_MARKS];
};

/* Local. An empty chart in the arena; NULL only when e is set. name: made of printf, other characters than
 * those allowed become '-'. */
struct chart *chart_new(struct arena *a, enum chart_kind kind, struct err *e, const char *name, ...)
    __attribute__((format(printf, 4, 5)));

/* Local. A text kept in the chart's arena, printf; "" where memory is out. */
const char *chart_text(struct chart *c, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Local. The series of a name, added with the style where it is new; NULL where there is no room for another.
 */
struct chart_series *chart_series(struct chart *c, const char *name, enum chart_style style, struct err *e);

/* Local. Adds a point to a series (NULL: nowhere); one that is not finite is left out. */
void chart_point(struct chart *c, struct chart_series *s, double x, double y, struct err *e);

/* Local. The same; nothing where the series has that very point: several cells may have one published value.
 */
void chart_point_once(struct chart *c, struct chart_series *s, double x, double y, struct err *e);

/* Local. Orders the points of every series by x. */
void chart_sort(struct chart *c);

/* Local. The number of a row or column label, added where it is new; -1 only when e is set. */
int64_t chart_label(struct chart *c, struct keys *l, const char *text, struct err *e);

/* Local. A block of the matrix, all NaN; labels and columns are complete by then. -1 where there is no room.
 */
int chart_block(struct chart *c, const char *title, struct err *e);

/* Local. Sets a value of a block. */
void chart_set(struct chart *c, int block, int64_t row, int64_t column, double x);

/* Local. A line across the figure; no more than CHART_MARKS are taken. */
void chart_mark(struct chart *c, char axis, double value, const char *text);

/* Local, pure. Is there anything to be seen? */
int chart_is_empty(const struct chart *c);

/* Local. Least and greatest value of all blocks of a matrix; both NaN where there is none. */
void chart_range(const struct chart *c, double *least, double *greatest);

/* Local. Appends the chart's numbers as CSV: a row per point or value. */
err_t chart_csv(const struct chart *c, struct text *out, struct err *e);

#endif
