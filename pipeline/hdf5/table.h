/* Tables: rows with named, described, unit-bearing columns, in memory. They become 1-D compound datasets
 * (h5.h).
 *
 * The schemas of all tables that reach the archive stand in table.c, once; they are the contract of
 * design.md. A stage builds its rows on process 0, in the order that the archive shall have; tables in
 * artifacts have the same columns as in the archive. */
#ifndef SINEW_TABLE_H
#define SINEW_TABLE_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum column_kind { COLUMN_TEXT, COLUMN_INT, COLUMN_REAL };

struct column {
    const char *name;
    enum column_kind kind;
    const char *units;       /* NULL where there are none */
    const char *description; /* a few words */
};

struct schema {
    const char *name;        /* "rank" */
    const char *description; /* one sentence, for h5dump -H */
    const struct column *columns;
    int ncolumns;
};

union value {
    const char *text; /* borrowed, or NULL for "" */
    int64_t i;
    double x;
};
#define V_TEXT(v) ((union value){.text = (v)})
#define V_INT(v) ((union value){.i = (v)})
#define V_REAL(v) ((union value){.x = (v)})

struct table {
    const struct schema *schema;
    struct arena *arena;
    union value *values; /* row after row */
    int64_t nrows, cap;
};

/* Local. The schema of an archive table, or of an artifact-only table, by name; NULL if there is none. */
const struct schema *schema_find(const char *name);

/* Local. All archive tables in the order in which the archive holds them. */
const struct schema *const *schema_archive(int *n);

/* Local. Index of a column; -1 if there is none. */
int schema_column(const struct schema *s, const char *column);

/* Local. An empty table of the named schema; rows are owned by the arena, and so are copies of their texts.
 */
void table_init(struct table *t, const char *schema, struct arena *a);

/* Local. Adds a row: exactly one value per column, of the column's kind, in the schema's order. Texts are
 * copied. */
err_t table_add_n(struct table *t, const union value *row, int n, struct err *e);
#define TABLE_ADD(t, e, ...)                             \
    table_add_n((t), (const union value[]){__VA_ARGS__}, \
                (int)(sizeof((const union value[]){__VA_ARGS__}) / sizeof(union value)), (e))

/* Local. One cell; the column must exist and have that kind (else: "" / 0 / NaN). */
const char *table_text(const struct table *t, int64_t row, const char *column);
int64_t table_int(const struct table *t, int64_t row, const char *column);
double table_real(const struct table *t, int64_t row, const char *column);

#endif
