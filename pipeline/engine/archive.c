#include "engine/archive.h"

#include "base/path.h"
#include "base/file.h"
#include "base/text.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_TABLES = 32,
    MAX_COLUMNS = 32,
    COPY_ROWS = 8192,        /* read of a table at once */
    GATHER_ROWS = 2048,      /* of several artifacts, before they are written */
    GATHER_BYTES = 64 << 20, /* of rows that the first pass takes along */
    ROW_BYTES = 1024         /* of a row in memory, generously */
};

/* What the artifacts hold of one archive table. */
struct archive_part {
    const struct schema *schema;
    int widths[MAX_COLUMNS];
    int64_t nrows;
    int only; /* declared stage that alone provides a table without node column; -1 while unknown */
    struct arena arena;
    struct table rows; /* read and not yet written */
};

struct archive_build {
    const struct dag *dag;
    struct arena *arena; /* reset for each artifact */
    struct h5 *archive;
    struct archive_part part[MAX_TABLES];
    int nparts;
    struct provided {
        char part[MAX_TABLES], spectra, cell;
    } * provided;         /* per node: what the second pass is to copy; has it a row in table cells */
    size_t gather_to;     /* bytes in memory up to which the first pass takes rows along; 0: no more */
    struct table files;   /* that the study reads */
    struct table timings; /* of the nodes */
    char *seen;           /* per cell: has a row in table cells */
    int64_t *spectra;     /* per declared stage: singular values in all its artifacts */
    struct h5_bulk **spectrum;
    int64_t *spectrum_at;
    int ncheckpoints, nsimulated;
    char simulated[512]; /* what a simulated checkpoint says of itself */
};

static void archive_key(const struct dag *d, const struct freshness *all, struct text *t, char key[HASH_TEXT],
                        struct err *e)
{
    text_add(t, e, "archive %d %s %s %s", ARCHIVE_SCHEMA_VERSION, SINEW_VERSION, d->config->resolved,
             d->config->text);
    for (int i = 0; i < d->nnodes && e->code == ERR_OK; i++)
        if (d->nodes[i].stage->scope != SCOPE_STUDY)
            text_add(t, e, " %s", all[i].key);
    if (e->code == ERR_OK)
        hash_text(t->text, key);
}

int archive_is_fresh(const struct dag *d, const struct freshness *all, struct arena *scratch)
{
    if (access(d->archive, F_OK) != 0)
        return 0;
    struct err ignored;
    err_clear(&ignored);
    char key[HASH_TEXT] = "", *recorded = NULL;
    struct text t = {.arena = scratch};
    struct h5 *h;
    archive_key(d, all, &t, key, &ignored);
    if (h5_open(d->archive, 0, scratch, &h, &ignored) != ERR_OK)
        return 0;
    int same = h5_get_text(h, "/", "key", &recorded, &ignored) == ERR_OK && strcmp(recorded, key) == 0;
    h5_close(h, &ignored);
    return same;
}

/* Does this artifact provide rows of the table? Tables without a node column come from one declared stage
 * only: the first. list: of the artifact's tables, "NAME ROWS" in lines. */
static int provides(struct archive_part *p, const char *list, int decl)
{
    const char *name = p->schema->name;
    size_t n = strlen(name);
    while (*list && !(strncmp(list, name, n) == 0 && list[n] == ' '))
        list += strcspn(list, "\n") + 1;
    if (!*list)
        return 0;
    if (schema_column(p->schema, "node") >= 0)
        return 1;
    if (p->only < 0)
        p->only = decl;
    return p->only == decl;
}

/* What the provenance says of an artifact. */
static err_t note_provenance(struct archive_build *b, const struct node *n, struct h5 *h, struct err *e)
{
    double min = 0, mean = 0, max = 0, bytes = 0, peak = 0;
    struct err ignored; /* timings are for people: one that is not there fails nothing */
    err_clear(&ignored);
    h5_get_real(h, "/", "time_min_sec", &min, &ignored);
    h5_get_real(h, "/", "time_mean_sec", &mean, &ignored);
    h5_get_real(h, "/", "time_max_sec", &max, &ignored);
    h5_get_real(h, "/", "bytes_moved", &bytes, &ignored);
    h5_get_real(h, "/", "peak_bytes", &peak, &ignored);
    TRY(TABLE_ADD(&b->timings, e, V_TEXT(b->dag->config->nodes[n->decl].name), V_TEXT(n->label), V_REAL(min),
                  V_REAL(mean), V_REAL(max), V_REAL(bytes), V_REAL(peak)));
    if (n->stage->writes_files || n->stage->scope != SCOPE_CHECKPOINT || !h5_has_table(h, "files"))
        return ERR_OK;
    return h5_table_read(h, "files", &b->files, 0, -1, NULL, e);
}

/* Is there room to take the rows of all tables in the list along? If not, those of later artifacts are not
 * taken either: rows keep the order of the artifacts. */
static int may_take(struct archive_build *b, const char *list)
{
    size_t live = b->arena->mem->live_bytes, rows = 0;
    for (; *list; list += strcspn(list, "\n") + 1)
        rows += strtoull(list + strcspn(list, " "), NULL, 10);
    if (live > b->gather_to || rows > (b->gather_to - live) / ROW_BYTES)
        b->gather_to = 0;
    return b->gather_to > 0;
}

/* Rows from `from` on say where their spectra begin in the artifact; in the archive that is `shift` later. */
static void shift_spectra(struct table *t, int64_t from, int64_t shift)
{
    int offset = schema_column(t->schema, "spectrum_offset");
    for (int64_t r = from; offset >= 0 && r < t->nrows; r++)
        if (t->values[r * t->schema->ncolumns + offset].i >= 0)
            t->values[r * t->schema->ncolumns + offset].i += shift;
}

/* First pass over an artifact: are its tables those that were written, how many rows, how wide. While there
 * is room the rows are taken along; a small study's artifacts are then opened but once. */
static err_t survey(struct archive_build *b, const struct node *n, struct h5 *h, struct err *e)
{
    struct provided *provided = &b->provided[n - b->dag->nodes];
    char *found, *written;
    TRY(h5_table_list(h, &found, e));
    TRY(h5_get_text(h, "/", "tables", &written, e));
    if (strcmp(found, written) != 0)
        return err_set(e, ERR_DATA, "%s: its tables are not those that were written; delete it and run again",
                       n->path);
    struct err ignored;
    err_clear(&ignored);
    char *simulated;
    if (h5_has_table(h, "catalogue") && h5_get_text(h, "/", "simulated", &simulated, &ignored) == ERR_OK) {
        b->ncheckpoints++;
        b->nsimulated += simulated[0] != '\0';
        if (simulated[0])
            snprintf(b->simulated, sizeof b->simulated, "%s", simulated);
    }
    int take = may_take(b, found);
    for (int k = 0; k < b->nparts; k++) {
        struct archive_part *p = &b->part[k];
        const char *name = p->schema->name;
        int64_t nrows = 0, before = p->rows.nrows;
        if (!provides(p, found, n->decl))
            continue;
        if (take) {
            TRY(h5_table_take(h, name, &p->rows, p->widths, &nrows, e));
            shift_spectra(&p->rows, before, b->spectra[n->decl]);
            if (b->arena->mem->live_bytes > b->gather_to) /* longer texts than most have */
                b->gather_to = 0;
        } else {
            TRY(h5_table_widths(h, name, p->schema, p->widths, &nrows, e));
            provided->part[k] = 1;
        }
        p->nrows += nrows;
        if (strcmp(name, "cells") == 0 && n->cell)
            provided->cell = 1;
    }
    if (h5_has(h, "/spectra")) {
        struct h5_bulk *d;
        int64_t length;
        TRY(h5_find(h, "/spectra", H5_REAL64, &d, &length, e));
        b->spectra[n->decl] += length;
        provided->spectra = 1;
    }
    return note_provenance(b, n, h, e);
}

/* Spectra of one artifact go behind those before; *shift is where. */
static err_t copy_spectra(struct archive_build *b, const struct node *n, struct h5 *h, int64_t *shift,
                          struct err *e)
{
    *shift = b->spectrum_at[n->decl];
    if (!b->spectrum[n->decl] || !h5_has(h, "/spectra"))
        return ERR_OK;
    struct h5_bulk *from;
    int64_t length;
    double *values;
    TRY(h5_find(h, "/spectra", H5_REAL64, &from, &length, e));
    TRY(arena_array(b->arena, "archive.spectra", COPY_ROWS, &values, e));
    for (int64_t at = 0; at < length; at += COPY_ROWS) {
        int64_t part = length - at < COPY_ROWS ? length - at : COPY_ROWS;
        TRY(h5_get(from, at, part, values, e));
        TRY(h5_put(b->spectrum[n->decl], *shift + at, part, values, e));
    }
    b->spectrum_at[n->decl] += length;
    return ERR_OK;
}

/* Has the second pass nothing to do with an artifact? */
static int is_bare(const struct archive_build *b, int i)
{
    const struct provided *provided = &b->provided[i];
    return !provided->spectra && !memchr(provided->part, 1, sizeof provided->part);
}

/* Writes what was gathered of a table. */
static err_t write_gathered(struct archive_build *b, struct archive_part *p, struct err *e)
{
    if (p->rows.nrows > 0)
        TRY(h5_table_append(b->archive, p->schema->name, &p->rows, e));
    arena_reset(&p->arena);
    table_init(&p->rows, p->schema->name, &p->arena);
    return ERR_OK;
}

/* Second pass: the artifact's rows go into the archive's tables, by way of memory: few writes of many rows
 * are by far faster than many of few. */
static err_t copy_tables(struct archive_build *b, const struct node *n, struct h5 *h, struct err *e)
{
    int64_t shift = 0;
    TRY(copy_spectra(b, n, h, &shift, e));
    for (int k = 0; k < b->nparts; k++) {
        struct archive_part *p = &b->part[k];
        const struct schema *s = p->schema;
        if (!b->provided[n - b->dag->nodes].part[k])
            continue;
        for (int64_t at = 0, total = 1; at < total; at += COPY_ROWS) {
            int64_t before = p->rows.nrows;
            TRY(h5_table_read(h, s->name, &p->rows, at, COPY_ROWS, &total, e));
            shift_spectra(&p->rows, before, shift);
            if (p->rows.nrows >= GATHER_ROWS)
                TRY(write_gathered(b, p, e));
        }
    }
    return ERR_OK;
}

/* Runs a pass over the artifacts below the study; skip: some are not even opened. */
static err_t each_artifact(struct archive_build *b, int (*skip)(const struct archive_build *, int),
                           err_t (*visit)(struct archive_build *, const struct node *, struct h5 *,
                                          struct err *),
                           struct err *e)
{
    for (int i = 0; i < b->dag->nnodes; i++) {
        const struct node *n = &b->dag->nodes[i];
        if (n->stage->scope == SCOPE_STUDY || (skip && skip(b, i)))
            continue;
        struct h5 *h;
        TRY(h5_open(n->path, 0, b->arena, &h, e));
        err_t code = visit(b, n, h, e);
        err_item(e, "%s", n->path);
        h5_close(h, e);
        arena_reset(b->arena);
        TRY(code);
    }
    return ERR_OK;
}

/* Rows that come from the config: published figures, cells without a delta, logits that are not there. */
static err_t config_rows(struct archive_build *b, struct table *cells, struct table *published,
                         struct table *skipped, struct err *e)
{
    const struct config *c = b->dag->config;
    for (int i = 0; i < c->ncells + c->nabsent; i++) {
        const struct cell *x = &c->cells[i];
        for (int k = 0; k < x->npublished; k++)
            TRY(TABLE_ADD(published, e, V_TEXT(x->published[k].source), V_TEXT(x->published[k].quantity),
                          V_TEXT(x->algorithm), V_TEXT(x->family), V_REAL(x->published[k].value),
                          V_TEXT(x->name)));
        if (!b->seen[i])
            TRY(TABLE_ADD(cells, e, V_TEXT(x->name), V_TEXT(x->family), V_TEXT(x->algorithm), V_INT(x->seed),
                          V_TEXT(x->data), V_INT(x->step), V_TEXT(x->base), V_TEXT(x->tuned), V_INT(0),
                          V_INT(0), V_INT(0), V_INT(0), V_INT(0), V_INT(0)));
        if (i >= c->ncells)
            TRY(TABLE_ADD(skipped, e, V_TEXT(x->name), V_TEXT(""), V_TEXT(""), V_INT(0),
                          V_TEXT("not measured: its checkpoints are not on disk")));
    }
    return ERR_OK;
}

static struct archive_part *find_part(struct archive_build *b, const char *name)
{
    for (int k = 0; k < b->nparts; k++)
        if (strcmp(b->part[k].schema->name, name) == 0)
            return &b->part[k];
    return NULL;
}

/* A table of rows at hand widens the columns it goes into. */
static void widen(struct archive_part *p, const struct table *t)
{
    for (int64_t r = 0; r < t->nrows; r++)
        for (int i = 0; i < p->schema->ncolumns; i++)
            if (p->schema->columns[i].kind == COLUMN_TEXT) {
                int n = (int)strlen(t->values[r * p->schema->ncolumns + i].text);
                p->widths[i] = n > p->widths[i] ? n : p->widths[i];
            }
    p->nrows += t->nrows;
}

static err_t write_provenance(struct archive_build *b, const struct provenance *p, struct err *e)
{
    const struct dag *d = b->dag;
    struct h5 *f = b->archive;
    TRY(h5_group(f, "/provenance", "how the archive came to be", e));
    const char *const texts[][2] = {
        {"command", p->command},  {"host", p->host},      {"mpi", p->mpi},
        {"hdf5", p->hdf5},        {"blas", p->blas},      {"sinew", SINEW_VERSION},
        {"commit", SINEW_COMMIT}, {"build", SINEW_BUILD}, {"config", d->config->file},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TRY(h5_set_text(f, "/provenance", texts[i][0], texts[i][1], e));
    TRY(h5_set_int(f, "/provenance", "processes", p->processes, e));
    TRY(h5_table_write(f, "/provenance/inputs", &b->files, e));
    return h5_table_write(f, "/provenance/timings", &b->timings, e);
}

static err_t write_links(struct archive_build *b, struct err *e)
{
    const struct dag *d = b->dag;
    TRY(h5_group(b->archive, "/cells", "links to each cell's artifacts, relative to this file", e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (n->stage->scope != SCOPE_CELL)
            continue;
        char *name = arena_printf(b->arena, e, "/cells/%s/%s", n->cell->name, d->config->nodes[n->decl].name);
        char *file = path_relative(b->arena, d->config->output, n->path, e);
        if (!name || !file)
            return e->code;
        TRY(h5_link_external(b->archive, name, file, "/", e));
    }
    return ERR_OK;
}

static err_t write_root(struct archive_build *b, const char *key, struct err *e)
{
    const struct config *c = b->dag->config;
    char created[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    TRY(h5_set_int(b->archive, "/", "schema_version", ARCHIVE_SCHEMA_VERSION, e));
    TRY(h5_set_text(b->archive, "/", "study", c->study, e));
    TRY(h5_set_text(b->archive, "/", "sinew_version", SINEW_VERSION, e));
    TRY(h5_set_text(b->archive, "/", "created", created, e));
    TRY(h5_set_text(b->archive, "/", "key", key, e));
    TRY(h5_write_text(b->archive, "/config", c->text, "the configuration file as read", e));
    return h5_write_text(b->archive, "/resolved", c->resolved,
                         "the configuration with all defaults and cells filled in; it re-creates the run", e);
}

/* Says in the archive whether its checkpoints are simulated, and how; empty where none is. */
static err_t write_simulated(struct archive_build *b, struct err *e)
{
    char text[640] = "";
    if (b->nsimulated > 0)
        snprintf(text, sizeof text, "%d of %d checkpoints are simulated, for instance: %s", b->nsimulated,
                 b->ncheckpoints, b->simulated);
    return h5_set_text(b->archive, "/", "simulated", text, e);
}

static err_t fill(struct archive_build *b, const struct provenance *p, const char *key, struct arena *keep,
                  struct err *e)
{
    const struct config *c = b->dag->config;
    char name[64];
    TRY(write_root(b, key, e));
    table_init(&b->files, "files", keep);
    table_init(&b->timings, "timings", keep);
    TRY(each_artifact(b, NULL, survey, e));
    TRY(write_simulated(b, e));
    /* rows from the config: first all cells, for the widths */
    static const char *const names[] = {"cells", "published", "skipped"};
    struct table rows[3];
    for (int i = 0; i < 3; i++)
        table_init(&rows[i], names[i], keep);
    TRY(config_rows(b, &rows[0], &rows[1], &rows[2], e));
    for (int i = 0; i < 3; i++)
        widen(find_part(b, names[i]), &rows[i]);
    for (int k = 0; k < b->nparts; k++)
        TRY(h5_table_create(b->archive, b->part[k].schema->name, b->part[k].schema, b->part[k].widths,
                            b->part[k].nrows, e));
    TRY(h5_group(b->archive, "/spectra",
                 "singular values of the updates; table rank says where each spectrum begins", e));
    for (int i = 0; i < c->nnodes; i++)
        if (b->spectra[i] > 0) {
            snprintf(name, sizeof name, "/spectra/%.48s", c->nodes[i].name);
            TRY(h5_bulk(
                b->archive, name, H5_REAL64, b->spectra[i], 0,
                "singular values, descending within each matrix; offsets and lengths stand in table rank",
                "weight units", &b->spectrum[i], e));
        }
    for (int k = 0; k < b->nparts; k++)
        TRY(write_gathered(b, &b->part[k], e));
    TRY(each_artifact(b, is_bare, copy_tables, e));
    for (int k = 0; k < b->nparts; k++)
        TRY(write_gathered(b, &b->part[k], e));
    for (int i = 0; i < b->dag->nnodes; i++)
        if (b->provided[i].cell)
            b->seen[b->dag->nodes[i].cell - c->cells] = 1;
    for (int i = 0; i < 3; i++)
        table_init(&rows[i], names[i], keep);
    TRY(config_rows(b, &rows[0], &rows[1], &rows[2], e));
    for (int i = 0; i < 3; i++)
        TRY(h5_table_append(b->archive, names[i], &rows[i], e));
    TRY(write_links(b, e));
    return write_provenance(b, p, e);
}

err_t archive_build(const struct dag *d, const struct freshness *all, const struct provenance *p,
                    struct arena *scratch, struct err *e)
{
    struct arena keep, inner;
    arena_init(&keep, scratch->mem);
    arena_init(&inner, scratch->mem);
    struct archive_build b = {.dag = d, .arena = &inner};
    char key[HASH_TEXT] = "", *partial = NULL;
    const struct schema *const *schemas = schema_archive(&b.nparts);
    for (int k = 0; k < b.nparts; k++) {
        b.part[k] = (struct archive_part){.schema = schemas[k], .only = -1};
        arena_init(&b.part[k].arena, scratch->mem);
        table_init(&b.part[k].rows, schemas[k]->name, &b.part[k].arena);
    }
    struct text t = {.arena = &keep};
    err_t code;
    size_t eighth = scratch->mem->budget_bytes / 8;
    b.gather_to = scratch->mem->live_bytes + (eighth > 0 && eighth < GATHER_BYTES ? eighth : GATHER_BYTES);
    archive_key(d, all, &t, key, e);
    TRY_OUT(code, e->code);
    TRY_OUT(code, arena_array(&keep, "archive.seen", d->config->ncells + d->config->nabsent, &b.seen, e));
    TRY_OUT(code, arena_array(&keep, "archive.spectra", d->config->nnodes, &b.spectra, e));
    TRY_OUT(code, arena_array(&keep, "archive.spectra", d->config->nnodes, &b.spectrum, e));
    TRY_OUT(code, arena_array(&keep, "archive.spectra", d->config->nnodes, &b.spectrum_at, e));
    TRY_OUT(code, arena_array(&keep, "archive.provided", d->nnodes, &b.provided, e));
    if (!(partial = arena_printf(&keep, e, "%s.partial", d->archive)))
        TRY_OUT(code, e->code);
    TRY_OUT(code, h5_create(partial, &keep, &b.archive, e));
    code = fill(&b, p, key, &keep, e);
    h5_close(b.archive, e);
    if (e->code == ERR_OK)
        file_commit(partial, d->archive, e);
    else
        unlink(partial);
    code = e->code;
out:
    for (int k = 0; k < b.nparts; k++)
        arena_release(&b.part[k].arena);
    arena_release(&inner);
    arena_release(&keep);
    return code;
}
