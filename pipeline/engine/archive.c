#include "engine/archive.h"

#include "compare/concentration/concentration.h"
#include "compare/norms.h"
#include "engine/state/failures.h"
#include "hdf5/digest.h"
#include "hdf5/seen.h"
#include "base/path.h"
#include "base/file.h"
#include "base/text.h"
#include "study/registry.h"
#include "study/tables.h"
#include "version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    COPY_ROWS = 8192,         /* read of a table or of bulk data at once */
    GATHER_ROWS = 2048,       /* of several artifacts, before they are written */
    GATHER_BYTES = 512 << 20, /* of rows that the first pass takes along, at the most */
    ROW_BYTES = 1024          /* of a row in memory, generously */
};

/* What the artifacts hold of one archive table. */
struct archive_part {
    const struct schema *schema;
    int widths[SCHEMA_MAX_COLUMNS];
    int64_t nrows;
    int only; /* declared stage that alone provides a table without node column; -1 while unknown */
    struct arena arena;
    struct table rows; /* read and not yet written */
};

/* A dataset of the archive: what all artifacts of a declared stage hold of one of its datasets. */
struct archive_bulk {
    const struct dataset *what;
    int decl;
    int64_t n;  /* elements in all artifacts that were looked at */
    int64_t at; /* elements copied */
    struct h5_bulk *to;
};

/* What the second pass is to copy of an artifact. */
struct provided {
    char *part, *bulk; /* per table and per dataset of the archive */
    char cell;         /* has the node's cell a row in table cells */
};

struct archive_build {
    const struct dag *dag;
    const struct freshness *all; /* per node */
    struct arena *arena;         /* reset for each artifact */
    struct h5 *archive;
    struct archive_part *part;
    struct archive_bulk *bulk;
    int nparts, nbulks;
    struct provided *provided; /* per node */
    size_t gather_to;          /* bytes in memory up to which the first pass takes rows along; 0: no more */
    struct table files;        /* that the study reads */
    struct table timings;      /* of the nodes */
    struct text notes;         /* of checkpoints, what was taken, a line each; text NULL: nothing to say */
    char *seen;                /* per cell: has a row in table cells */
    int ncheckpoints, nsimulated;
    char simulated[512]; /* what a simulated checkpoint says of itself */
};

/* Of what artifacts the archive is made, and what besides decides about it. */
struct archive_key {
    char parts[HASH_TEXT], all[HASH_TEXT];
};

static void compute_key(const struct dag *d, const struct freshness *all, struct arena *a,
                        struct archive_key *key, struct err *e)
{
    struct text t = {.arena = a};
    text_add(&t, e, "artifacts");
    for (int i = 0; i < d->nnodes && e->code == ERR_OK; i++) {
        /* a node that ran again has the same key, and maybe not the same rows */
        if (d->nodes[i].stage->scope == SCOPE_STUDY)
            continue;
        if (all[i].lacks_why)
            text_add(&t, e, " %s %s", failure_name(all[i].lacks), all[i].lacks_why);
        if (failures_told(&all[i]))
            continue;
        text_add(&t, e, " %s %016llx", all[i].key, (unsigned long long)digest_of(d->nodes[i].path));
    }
    if (e->code != ERR_OK)
        return;
    hash_text(t.text, key->parts);
    t = (struct text){.arena = a};
    if (text_add(&t, e, "archive %d %s %s %s %s", ARCHIVE_SCHEMA_VERSION, SINEW_VERSION, d->config->resolved,
                 d->config->text, key->parts) == ERR_OK)
        hash_text(t.text, key->all);
}

int archive_is_fresh(const struct dag *d, const struct freshness *all, struct arena *scratch)
{
    char why[160];
    if (access(d->archive, F_OK) != 0 || digest_noted(d->archive, why, sizeof why))
        return 0;
    struct err ignored;
    err_clear(&ignored);
    char *recorded = NULL;
    struct archive_key key = {.all = ""};
    struct h5 *h;
    compute_key(d, all, scratch, &key, &ignored);
    if (h5_open_sealed(d->archive, scratch, &h, &ignored) != ERR_OK)
        return 0;
    int same = h5_get_text(h, "/", "key", &recorded, &ignored) == ERR_OK && strcmp(recorded, key.all) == 0;
    h5_close(h, &ignored);
    return same;
}

err_t archive_look(const struct dag *d, struct arena *scratch, struct err *e)
{
    struct h5 *f;
    int64_t version = 0;
    if (access(d->archive, F_OK) != 0)
        return err_set(e, ERR_DATA, "there is no archive %s to report from; 'sinew run %s' makes it",
                       d->archive, d->config->file);
    TRY(h5_open_sealed(d->archive, scratch, &f, e));
    h5_get_int(f, "/", "schema_version", &version, e);
    if (h5_close(f, e) == ERR_OK && version != ARCHIVE_SCHEMA_VERSION)
        err_set(e, ERR_DATA, "%s: is of schema version %lld, expected %d; 'sinew run %s' makes it anew",
                d->archive, (long long)version, (int)ARCHIVE_SCHEMA_VERSION, d->config->file);
    return e->code;
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
    char *note;
    if (h5_get_text(h, "/", "note", &note, &ignored) == ERR_OK && note[0])
        TRY(text_add(&b->notes, e, "%s: %s\n", n->label, note));
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

/* Rows from `from` on say where their bulk data begin in the artifact; in the archive that is `shift` later.
 */
static err_t shift_rows(struct table *t, const char *offset, int64_t from, int64_t shift, struct err *e)
{
    int c = schema_column(t->schema, offset), n = t->schema->ncolumns;
    if (c < 0 || t->schema->columns[c].kind != COLUMN_INT)
        return err_set(e, ERR_BUG, "table %s, column %s: not a column of integers", t->schema->name, offset);
    for (int64_t r = from; r < t->nrows; r++)
        if (t->values[r * n + c].i >= 0)
            t->values[r * n + c].i += shift;
    return ERR_OK;
}

/* The same for rows of an artifact of a declared stage, whose bulk data the archive holds or will hold behind
 * what it has: in the first pass that is counted in n, in the second in at. */
static err_t shift_part(struct archive_build *b, struct archive_part *p, int decl, int64_t from, int second,
                        struct err *e)
{
    for (int i = 0; i < b->nbulks; i++) {
        const struct archive_bulk *x = &b->bulk[i];
        if (x->decl == decl && x->what->table == p->schema)
            TRY(shift_rows(&p->rows, x->what->offset, from, second ? x->at : x->n, e));
    }
    return ERR_OK;
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
            TRY(shift_part(b, p, n->decl, before, 0, e));
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
    for (int i = 0; i < b->nbulks; i++) {
        struct archive_bulk *x = &b->bulk[i];
        struct h5_bulk *d;
        int64_t length;
        if (x->decl != n->decl || !h5_has(h, x->what->name))
            continue;
        TRY(h5_find(h, x->what->name, x->what->type, &d, &length, e));
        x->n += length;
        provided->bulk[i] = 1;
    }
    return note_provenance(b, n, h, e);
}

/* Bulk data of one artifact go behind those before. */
static err_t copy_bulk(struct archive_build *b, struct archive_bulk *x, struct h5 *h, struct err *e)
{
    struct h5_bulk *from;
    int64_t length;
    char *values;
    TRY(h5_find(h, x->what->name, x->what->type, &from, &length, e));
    TRY(arena_array(b->arena, "archive.bulk", (int64_t)COPY_ROWS * h5_type_bytes(x->what->type), &values, e));
    for (int64_t at = 0; at < length; at += COPY_ROWS) {
        int64_t part = length - at < COPY_ROWS ? length - at : COPY_ROWS;
        TRY(h5_get(from, at, part, values, e));
        TRY(h5_put(x->to, x->at + at, part, values, e));
    }
    x->at += length;
    return ERR_OK;
}

/* Has the second pass nothing to do with an artifact? */
static int is_bare(const struct archive_build *b, int i)
{
    const struct provided *provided = &b->provided[i];
    return !memchr(provided->bulk, 1, (size_t)b->nbulks) && !memchr(provided->part, 1, (size_t)b->nparts);
}

/* Writes what was gathered of a table. */
static err_t write_gathered(struct archive_build *b, struct archive_part *p, struct err *e)
{
    if (p->rows.nrows > 0)
        TRY(h5_table_append(b->archive, p->schema->name, &p->rows, e));
    arena_reset(&p->arena);
    table_start(&p->rows, p->schema, &p->arena);
    return ERR_OK;
}

/* Second pass: the artifact's rows go into the archive's tables, by way of memory: few writes of many rows
 * are by far faster than many of few. */
static err_t copy_tables(struct archive_build *b, const struct node *n, struct h5 *h, struct err *e)
{
    const struct provided *provided = &b->provided[n - b->dag->nodes];
    for (int k = 0; k < b->nparts; k++) {
        struct archive_part *p = &b->part[k];
        const struct schema *s = p->schema;
        if (!provided->part[k])
            continue;
        for (int64_t at = 0, total = 1; at < total; at += COPY_ROWS) {
            int64_t before = p->rows.nrows;
            TRY(h5_table_read(h, s->name, &p->rows, at, COPY_ROWS, &total, e));
            TRY(shift_part(b, p, n->decl, before, 1, e));
            if (p->rows.nrows >= GATHER_ROWS)
                TRY(write_gathered(b, p, e));
        }
    }
    for (int i = 0; i < b->nbulks; i++)
        if (provided->bulk[i])
            TRY(copy_bulk(b, &b->bulk[i], h, e));
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
        if (n->stage->scope == SCOPE_STUDY || failures_told(&b->all[i]) || (skip && skip(b, i)))
            continue;
        struct h5 *h;
        TRY(h5_open_sealed(n->path, b->arena, &h, e));
        err_t code = visit(b, n, h, e);
        err_item(e, "%s", n->path);
        err_t closed = h5_close(h, e); /* which says where damage was taken for something that is not there */
        arena_reset(b->arena);
        TRY(code != ERR_OK ? code : closed);
    }
    return ERR_OK;
}

/* A cell of which there are no figures: the report knows it by how the reason begins. */
static err_t add_unmeasured(struct table *skipped, const char *cell, const char *why, struct err *e)
{
    char reason[2048];
    snprintf(reason, sizeof reason, "not measured: %s", why);
    return TABLE_ADD(skipped, e, V_TEXT(cell), V_TEXT(""), V_TEXT(""), V_INT(0), V_TEXT(reason));
}

/* Rows that come from the config: published figures, cells without a delta, logits that are not there. */
static err_t config_rows(struct archive_build *b, struct table *cells, struct table *published,
                         struct table *skipped, struct err *e)
{
    const struct config *c = b->dag->config;
    const struct norms unmeasured = norms_of(&(struct square_sums){NAN, NAN, NAN});
    for (int i = 0; i < c->ncells + c->nabsent; i++) {
        const struct cell *x = &c->cells[i];
        for (int k = 0; k < x->npublished; k++)
            TRY(TABLE_ADD(published, e, V_TEXT(x->published[k].source), V_TEXT(x->published[k].quantity),
                          V_TEXT(x->algorithm), V_TEXT(x->family), V_REAL(x->published[k].value),
                          V_TEXT(x->name)));
        const char *lacks = i < c->ncells && !b->seen[i] ? failures_of_cell(b->dag, b->all, x) : NULL;
        if (lacks)
            TRY(add_unmeasured(skipped, x->name, lacks, e));
        if (!b->seen[i])
            TRY(TABLE_ADD(cells, e, V_TEXT(x->name), V_TEXT(x->family), V_TEXT(x->algorithm), V_INT(x->seed),
                          V_TEXT(x->data), V_INT(x->step), V_TEXT(x->base), V_TEXT(x->tuned), V_INT(0),
                          V_INT(0), V_INT(0), V_REAL(NAN), V_REAL(NAN), V_INT(0), V_INT(0), V_INT(0),
                          V_NORMS(unmeasured), V_CONCENTRATION(CONCENTRATION_UNKNOWN)));
        if (i >= c->ncells)
            TRY(add_unmeasured(skipped, x->name, "its checkpoints are not on disk", e));
    }
    return ERR_OK;
}

/* A table of rows at hand widens the columns it goes into. */
static void widen(struct archive_build *b, const struct table *t)
{
    for (int k = 0; k < b->nparts; k++)
        if (b->part[k].schema == t->schema) {
            table_widths(t, b->part[k].widths);
            b->part[k].nrows += t->nrows;
        }
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
    TRY(h5_set_int(f, "/provenance", "blas_threads", p->threads, e));
    TRY(h5_table_write(f, "/provenance/inputs", &b->files, e));
    if (b->notes.text)
        TRY(h5_write_text(f, "/provenance/notes", b->notes.text,
                          "what was taken of checkpoints that could mean more than one thing, a line each",
                          e));
    return h5_table_write(f, "/provenance/timings", &b->timings, e);
}

static err_t write_links(struct archive_build *b, struct err *e)
{
    const struct dag *d = b->dag;
    TRY(h5_group(b->archive, "/cells", "links to each cell's artifacts, relative to this file", e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (n->stage->scope != SCOPE_CELL || failures_told(&b->all[i]))
            continue;
        char *name = arena_printf(b->arena, e, "/cells/%s/%s", n->cell->name, d->config->nodes[n->decl].name);
        char *file = path_relative(b->arena, d->config->output, n->path, e);
        if (!name || !file)
            return e->code;
        TRY(h5_link_external(b->archive, name, file, "/", e));
    }
    return ERR_OK;
}

static err_t write_root(struct archive_build *b, const struct archive_key *key, struct err *e)
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
    TRY(h5_set_text(b->archive, "/", "key", key->all, e));
    TRY(h5_set_text(b->archive, "/", "parts", key->parts, e));
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

/* The groups of all bulk data that there can be, and the datasets of those that there are. */
static err_t create_bulk(struct archive_build *b, struct err *e)
{
    int nstages;
    const struct stage *const *stages = registry_stages(&nstages);
    for (int i = 0; i < nstages; i++)
        for (const struct dataset *d = stages[i]->datasets; d && d->name; d++)
            if (d->archived)
                TRY(h5_group(b->archive, d->name, d->group, e));
    for (int i = 0; i < b->nbulks; i++) {
        struct archive_bulk *x = &b->bulk[i];
        char name[128];
        if (x->n == 0)
            continue;
        snprintf(name, sizeof name, "%.64s/%.48s", x->what->name, b->dag->config->nodes[x->decl].name);
        TRY(h5_bulk(b->archive, name, x->what->type, x->n, 0, x->what->archived, x->what->units, &x->to, e));
    }
    return ERR_OK;
}

static err_t fill(struct archive_build *b, const struct provenance *p, const struct archive_key *key,
                  struct arena *keep, struct err *e)
{
    const struct config *c = b->dag->config;
    TRY(write_root(b, key, e));
    table_init(&b->files, "files", keep);
    b->notes.arena = keep;
    table_init(&b->timings, "timings", keep);
    TRY(each_artifact(b, NULL, survey, e));
    TRY(write_simulated(b, e));
    /* rows from the config: first all cells, for the widths */
    static const char *const names[] = {"cells", "published", "skipped", "failed"};
    struct table rows[4];
    for (int i = 0; i < 4; i++)
        table_init(&rows[i], names[i], keep);
    TRY(config_rows(b, &rows[0], &rows[1], &rows[2], e));
    TRY(failures_rows(b->dag, b->all, &rows[3], e));
    for (int i = 0; i < 4; i++)
        widen(b, &rows[i]);
    for (int k = 0; k < b->nparts; k++)
        TRY(h5_table_create(b->archive, b->part[k].schema->name, b->part[k].schema, b->part[k].widths,
                            b->part[k].nrows, e));
    TRY(create_bulk(b, e));
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
    for (int i = 0; i < 4; i++)
        TRY(h5_table_append(b->archive, names[i], &rows[i], e));
    TRY(write_links(b, e));
    return write_provenance(b, p, e);
}

/* The tables and datasets of the archive, and room to note what each artifact provides of them. */
static err_t lay_out(struct archive_build *b, struct arena *keep, struct err *e)
{
    const struct config *c = b->dag->config;
    const struct schema *const *schemas;
    TRY(tables_of_archive(keep, &schemas, &b->nparts, e));
    int nbulks = 0;
    char *flags;
    for (int i = 0; i < c->nnodes; i++)
        for (const struct dataset *x = c->nodes[i].stage->datasets; x && x->name; x++)
            nbulks += x->archived != NULL;
    const int64_t each = b->nparts + nbulks;
    TRY(arena_array(keep, "archive.seen", c->ncells + c->nabsent, &b->seen, e));
    TRY(arena_array(keep, "archive.bulk", nbulks, &b->bulk, e));
    TRY(arena_array(keep, "archive.provided", b->dag->nnodes, &b->provided, e));
    TRY(arena_array(keep, "archive.provided", b->dag->nnodes * each, &flags, e));
    TRY(arena_array(keep, "archive.tables", b->nparts, &b->part, e));
    for (int i = 0; i < c->nnodes; i++)
        for (const struct dataset *x = c->nodes[i].stage->datasets; x && x->name; x++)
            if (x->archived)
                b->bulk[b->nbulks++] = (struct archive_bulk){.what = x, .decl = i};
    for (int i = 0; i < b->dag->nnodes; i++) {
        b->provided[i].part = flags + i * each;
        b->provided[i].bulk = b->provided[i].part + b->nparts;
    }
    for (int k = 0; k < b->nparts; k++) {
        struct archive_part *p = &b->part[k];
        *p = (struct archive_part){.schema = schemas[k], .only = -1};
        arena_init(&p->arena, keep->mem);
        table_start(&p->rows, p->schema, &p->arena);
    }
    return ERR_OK;
}

err_t archive_build(const struct dag *d, const struct freshness *all, const struct provenance *p,
                    struct arena *scratch, struct err *e)
{
    struct arena keep, inner;
    arena_init(&keep, scratch->mem);
    arena_init(&inner, scratch->mem);
    struct archive_build b = {.dag = d, .all = all, .arena = &inner};
    char *partial = NULL;
    struct seen_file *seen;
    struct archive_key key = {.all = ""};
    err_t code;
    size_t eighth = scratch->mem->budget_bytes / 8;
    b.gather_to = scratch->mem->live_bytes + (eighth > 0 && eighth < GATHER_BYTES ? eighth : GATHER_BYTES);
    compute_key(d, all, &keep, &key, e);
    TRY_OUT(code, e->code);
    TRY_OUT(code, lay_out(&b, &keep, e));
    file_sweep(d->archive);
    if (!(partial = file_partial(&keep, d->archive, NULL, e)))
        TRY_OUT(code, e->code);
    TRY_OUT(code, seen_create(&seen, &keep, e));
    TRY_OUT(code, h5_create_seen(partial, seen, &keep, &b.archive, e));
    fill(&b, p, &key, &keep, e);
    h5_close(b.archive, e);
    if (e->code == ERR_OK)
        digest_seal_seen(partial, seen, &keep, e);
    if (e->code == ERR_OK && file_commit(partial, d->archive, e) == ERR_OK)
        digest_note_remove(d->archive);
    else
        unlink(partial);
    code = e->code;
out:
    for (int k = 0; b.part && k < b.nparts; k++)
        arena_release(&b.part[k].arena);
    arena_release(&inner);
    arena_release(&keep);
    return code;
}
