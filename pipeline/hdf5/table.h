/* Tables: rows with named, described, unit-bearing columns, in memory. They become 1-D compound datasets
 * (h5.h).
 *
 * What the columns of a table are its schema says (schema.h). A stage builds its rows on process 0, in the
 * order that the archive shall have; tables in artifacts have the same columns as in the archive. */
#ifndef SINEW_TABLE_H
#define SINEW_TABLE_H

#include "base/err.h"
#include "base/mem.h"
#include "hdf5/schema.h"

#include <stdint.h>

/* A value on its way into a row; it says what it is, so that it is not taken for something else. */
struct value {
    enum column_kind kind;
    union {
        const char *text; /* borrowed, or NULL for "" */
        int64_t i;
        double x;
    };
};
#define V_TEXT(v) ((struct value){.kind = COLUMN_TEXT, .text = (v)})
#define V_INT(v) ((struct value){.kind = COLUMN_INT, .i = (v)})
#define V_REAL(v) ((struct value){.kind = COLUMN_REAL, .x = (v)})

/* A value in its column, which knows the kind. */
union datum {
    const char *text;
    int64_t i;
    double x;
};

struct table {
    const struct schema *schema; /* NULL: unknown; it has no rows and takes none */
    struct arena *arena;
    union datum *values; /* row after row */
    int64_t nrows, cap;
};

/* Local. An empty table; rows are owned by the arena, and so are copies of their texts. table_init: of a
 * shared schema, by its name. */
void table_start(struct table *t, const struct schema *schema, struct arena *a);
void table_init(struct table *t, const char *schema, struct arena *a);

/* Local. Adds a row: exactly one value per column, of the column's kind, in the schema's order. Texts are
 * copied. Errors: BUG naming table and column for a wrong kind or number of values, and then nothing is
 * added. */
err_t table_add_n(struct table *t, const struct value *row, int n, struct err *e);
#define TABLE_COUNT(...) (sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value))
#define TABLE_ADD(t, e, ...) \
    table_add_n((t), (const struct value[]){__VA_ARGS__}, (int)TABLE_COUNT(__VA_ARGS__), (e))

/* The same for a table of a schema declared in this file: the compiler counts the values. */
#define TABLE_ADD_OF(id, t, e, ...)                                                             \
    __extension__({                                                                             \
        _Static_assert(TABLE_COUNT(__VA_ARGS__) == sizeof id##_columns / sizeof(struct column), \
                       "one value for each column of " #id);                                    \
        TABLE_ADD(t, e, __VA_ARGS__);                                                           \
    })

/* Local. Adds copies of a row, or of all rows, of another table of the same schema, which a table without one
 * takes over. Errors: BUG for another schema. */
err_t table_add_row(struct table *t, const struct table *from, int64_t row, struct err *e);
err_t table_add_all(struct table *t, const struct table *from, struct err *e);

/* Local. One cell; the column must exist and have that kind (else: "" / 0 / NaN). */
const char *table_text(const struct table *t, int64_t row, const char *column);
int64_t table_int(const struct table *t, int64_t row, const char *column);
double table_real(const struct table *t, int64_t row, const char *column);

/* Local. Overwrites a real, of which more was learnt after its row was added; the column must exist and have
 * that kind (else nothing happens). */
void table_set_real(struct table *t, int64_t row, const char *column, double x);

/* Local. Sets the width in bytes of a text column, for h5_table_create. Errors: BUG naming table and column
 * where there is no such column of texts. */
err_t schema_set_width(const struct schema *s, const char *column, int width, int widths[SCHEMA_MAX_COLUMNS],
                       struct err *e);

/* Local. Raises the widths to those of the texts in the table. */
void table_widths(const struct table *t, int widths[SCHEMA_MAX_COLUMNS]);

/* Local. A column of integers of a long table, to be read row by row: value r stands at first[r * step].
 * Errors: BUG naming table and column where there is no such column of integers. */
struct int_column {
    const union datum *first;
    int step;
};
err_t table_ints(const struct table *t, const char *column, struct int_column *out, struct err *e);
static inline int64_t int_at(const struct int_column *c, int64_t row)
{
    return c->first[row * c->step].i;
}

#endif
