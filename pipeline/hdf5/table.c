#include "hdf5/table.h"

#include <math.h>
#include <string.h>

void table_start(struct table *t, const struct schema *schema, struct arena *a)
{
    *t = (struct table){.schema = schema, .arena = a};
}

void table_init(struct table *t, const char *schema, struct arena *a)
{
    table_start(t, schema_find(schema), a);
}

static const char *kind_name(enum column_kind kind)
{
    return kind == COLUMN_TEXT ? "text" : kind == COLUMN_INT ? "integer" : "real";
}

/* Does the row fit the table? */
static err_t check_row(const struct table *t, const struct value *row, int n, struct err *e)
{
    const struct schema *s = t->schema;
    if (!s)
        return err_set(e, ERR_BUG, "a row of %d values for table (unknown)", n);
    if (n != s->ncolumns)
        return err_set(e, ERR_BUG, "a row of %d values for table %s, which has %d columns: %s %s", n, s->name,
                       s->ncolumns, n < s->ncolumns ? "nothing for column" : "too many after column",
                       s->columns[n < s->ncolumns ? n : s->ncolumns - 1].name);
    for (int i = 0; i < n; i++)
        if (row[i].kind != s->columns[i].kind)
            return err_set(e, ERR_BUG, "table %s, column %s: a value of kind %s where %s is expected",
                           s->name, s->columns[i].name, kind_name(row[i].kind),
                           kind_name(s->columns[i].kind));
    return ERR_OK;
}

/* Room for one more row. */
static inline err_t make_room(struct table *t, struct err *e)
{
    int n = t->schema->ncolumns;
    int64_t cap_values = t->cap * n;
    if (t->nrows < t->cap)
        return ERR_OK;
    TRY(arena_grow(t->arena, "table.rows", (t->nrows + 1) * n, &cap_values, &t->values, e));
    t->cap = cap_values / n;
    return ERR_OK;
}

/* Keeps a text in the row that is being added, whose place in the row before is `before` (NULL: it is the
 * first). Rows mostly repeat the texts of the row before: cell, node, base. */
static inline err_t keep_text(struct table *t, union datum *to, const union datum *before, const char *text,
                              struct err *e)
{
    if (before && strcmp(before->text, text) == 0)
        to->text = before->text;
    else if (!(to->text = arena_strdup(t->arena, text, e)))
        return e->code;
    return ERR_OK;
}

err_t table_add_n(struct table *t, const struct value *row, int n, struct err *e)
{
    TRY(check_row(t, row, n, e));
    TRY(make_room(t, e));
    union datum *to = t->values + t->nrows * n;
    const union datum *before = t->nrows > 0 ? to - n : NULL;
    for (int i = 0; i < n; i++)
        if (row[i].kind == COLUMN_TEXT)
            TRY(keep_text(t, to + i, before ? before + i : NULL, row[i].text ? row[i].text : "", e));
        else
            to[i].i = row[i].i; /* a real's bits as well */
    t->nrows++;
    return ERR_OK;
}

err_t table_add_row(struct table *t, const struct table *from, int64_t row, struct err *e)
{
    if (!t->schema)
        t->schema = from->schema;
    const struct schema *s = t->schema;
    if (!s || s != from->schema)
        return err_set(e, ERR_BUG, "a row of table %s for table %s",
                       from->schema ? from->schema->name : "(unknown)", s ? s->name : "(unknown)");
    TRY(make_room(t, e));
    const int n = s->ncolumns;
    union datum *to = t->values + t->nrows * n;
    const union datum *before = t->nrows > 0 ? to - n : NULL;
    const union datum *in = from->values + row * n; /* after make_room: it may be the same table */
    for (int i = 0; i < n; i++)
        if (s->columns[i].kind == COLUMN_TEXT)
            TRY(keep_text(t, to + i, before ? before + i : NULL, in[i].text, e));
        else
            to[i] = in[i];
    t->nrows++;
    return ERR_OK;
}

err_t table_add_all(struct table *t, const struct table *from, struct err *e)
{
    for (int64_t i = 0; i < from->nrows; i++)
        TRY(table_add_row(t, from, i, e));
    return ERR_OK;
}

static const union datum *find_value(const struct table *t, int64_t row, const char *column,
                                     enum column_kind kind)
{
    int c = t->schema ? schema_column(t->schema, column) : -1;
    if (c < 0 || t->schema->columns[c].kind != kind || row < 0 || row >= t->nrows)
        return NULL;
    return &t->values[row * t->schema->ncolumns + c];
}

const char *table_text(const struct table *t, int64_t row, const char *column)
{
    const union datum *v = find_value(t, row, column, COLUMN_TEXT);
    return v ? v->text : "";
}

int64_t table_int(const struct table *t, int64_t row, const char *column)
{
    const union datum *v = find_value(t, row, column, COLUMN_INT);
    return v ? v->i : 0;
}

double table_real(const struct table *t, int64_t row, const char *column)
{
    const union datum *v = find_value(t, row, column, COLUMN_REAL);
    return v ? v->x : NAN;
}

void table_set_real(struct table *t, int64_t row, const char *column, double x)
{
    if (find_value(t, row, column, COLUMN_REAL))
        t->values[row * t->schema->ncolumns + schema_column(t->schema, column)].x = x;
}

err_t schema_set_width(const struct schema *s, const char *column, int width, int widths[SCHEMA_MAX_COLUMNS],
                       struct err *e)
{
    int c = schema_column(s, column);
    if (c < 0 || s->columns[c].kind != COLUMN_TEXT)
        return err_set(e, ERR_BUG, "table %s, column %s: not a column of texts", s->name, column);
    widths[c] = width;
    return ERR_OK;
}

void table_widths(const struct table *t, int widths[SCHEMA_MAX_COLUMNS])
{
    const struct schema *s = t->schema;
    for (int64_t r = 0; r < t->nrows; r++)
        for (int i = 0; i < s->ncolumns; i++)
            if (s->columns[i].kind == COLUMN_TEXT) {
                int n = (int)strlen(t->values[r * s->ncolumns + i].text);
                widths[i] = n > widths[i] ? n : widths[i];
            }
}

err_t table_ints(const struct table *t, const char *column, struct int_column *out, struct err *e)
{
    int c = t->schema ? schema_column(t->schema, column) : -1;
    if (c < 0 || t->schema->columns[c].kind != COLUMN_INT)
        return err_set(e, ERR_BUG, "table %s, column %s: not a column of integers",
                       t->schema ? t->schema->name : "(unknown)", column);
    *out = (struct int_column){.first = t->values ? t->values + c : NULL, .step = t->schema->ncolumns};
    return ERR_OK;
}
