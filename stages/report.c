/* report: the study's tables as CSV, one Markdown page and the sparsity table, from the archive alone.
 *
 * Everything is done by process 0: every archive table is read once, in ranges of rows, so memory does not
 * grow with the number of tensors; each range goes to the table's CSV file and into the summary from which
 * the pages are then written. A table that is empty, or that no stage of the study writes, makes a section
 * that says so, and a CSV file with a header alone. */
#include "artifact.h"
#include "h5.h"
#include "page.h"
#include "sheet.h"
#include "stage.h"
#include "summary.h"
#include "table.h"
#include "text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK_ROWS = 8192 }; /* read at once */

struct report_params {
    int64_t detail;
};

static const struct param report_params[] = {
    {"detail", PARAM_INT, offsetof(struct report_params, detail), "cells", "40", 0, 1e6, NULL,
     "report.md has a row per cell (or pair of cells) up to this many, and groups them beyond"},
    {.name = NULL},
};

struct report {
    struct ctx *ctx;
    struct arena *a;
    struct arena chunk; /* one range of rows, or one table of a page */
    struct h5 *archive;
    const char *dir;
    struct table files;
    struct summary summary;
};

/* ---- files ---- */

/* Notes a written file for the artifact: its absence or change makes the node stale. */
static err_t note_file(struct report *r, const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", path, strerror(errno));
    return TABLE_ADD(&r->files, e, V_TEXT(path), V_INT(st.st_size),
                     V_INT((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec), V_TEXT(""));
}

static err_t write_page(struct report *r, const char *name, const struct text *page, struct err *e)
{
    char *path = path_join(r->a, r->dir, name, e);
    if (!path)
        return e->code;
    TRY(file_write(path, page->text ? page->text : "", page->used, e));
    return note_file(r, path, e);
}

static err_t csv_rows(const struct table *t, struct text *out, struct err *e)
{
    const struct schema *s = t->schema;
    const union value *v = t->values;
    for (int64_t i = 0; i < t->nrows * s->ncolumns; i++, v++) {
        int c = (int)(i % s->ncolumns);
        if (s->columns[c].kind == COLUMN_TEXT)
            TRY(csv_text(out, v->text, e));
        else if (s->columns[c].kind == COLUMN_INT)
            TRY(text_add(out, e, "%lld", (long long)v->i));
        else
            TRY(csv_real(out, v->x, e));
        TRY(text_add(out, e, "%s", c == s->ncolumns - 1 ? "\r\n" : ","));
    }
    return ERR_OK;
}

/* Reads a table range by range: into the CSV file and into the summary. */
static err_t stream_rows(struct report *r, const char *name, FILE *out, struct err *e)
{
    int64_t at = 0, total = h5_has_table(r->archive, name) ? 1 : 0;
    while (at < total && e->code == ERR_OK) {
        struct table t;
        struct text lines = {.arena = &r->chunk};
        table_init(&t, name, &r->chunk);
        TRY(h5_table_read(r->archive, name, &t, at, CHUNK_ROWS, &total, e));
        if (t.nrows == 0)
            break;
        TRY(csv_rows(&t, &lines, e));
        if (fwrite(lines.text, 1, (size_t)lines.used, out) != (size_t)lines.used)
            return err_set(e, ERR_SYSTEM, "%s/%s.csv: cannot be written: %s", r->dir, name, strerror(errno));
        summary_take(&r->summary, &t, e);
        *r->ctx->bytes_done += (double)lines.used;
        at += t.nrows;
        arena_reset(&r->chunk);
    }
    return e->code;
}

static err_t stream(struct report *r, const char *name, struct err *e)
{
    const struct schema *s = schema_find(name);
    char *path = arena_printf(r->a, e, "%s/%s.csv", r->dir, name);
    char *partial = path ? arena_printf(r->a, e, "%s.partial", path) : NULL;
    if (!partial)
        return e->code;
    FILE *out = fopen(partial, "wb");
    if (!out)
        return err_set(e, ERR_SYSTEM, "%s: cannot be created: %s", partial, strerror(errno));
    for (int c = 0; c < s->ncolumns; c++)
        fprintf(out, "%s%s", s->columns[c].name, c == s->ncolumns - 1 ? "\r\n" : ",");
    stream_rows(r, name, out, e);
    arena_reset(&r->chunk);
    int bad = ferror(out);
    if (fclose(out) != 0 || bad)
        err_set(e, ERR_SYSTEM, "%s: cannot be written: %s", partial, strerror(errno));
    if (e->code == ERR_OK && file_commit(partial, path, e) == ERR_OK)
        return note_file(r, path, e);
    remove(partial);
    return e->code;
}

/* ---- the stage ---- */

/* A root attribute of the archive; not every archive has each. */
static const char *attribute(struct report *r, const char *name)
{
    struct err missing;
    char *value = NULL;
    err_clear(&missing);
    return h5_get_text(r->archive, "/", name, &value, &missing) == ERR_OK && value ? value : "";
}

/* Local, process 0. */
static err_t write_report(struct report *r, struct err *e)
{
    int n;
    const struct schema *const *schemas = schema_archive(&n);
    struct summary *sum = &r->summary;
    struct sheet cells;
    struct text plain = {.arena = r->a}, page = {.arena = r->a}, md = {.arena = r->a};
    TRY(path_make_dir(r->dir, e));
    TRY(h5_open(r->ctx->archive, 0, r->a, &r->archive, e));
    sum->study = attribute(r, "study");
    sum->simulated = attribute(r, "simulated");
    sum->created = attribute(r, "created");
    sum->version = attribute(r, "sinew_version");
    for (int i = 0; i < n; i++) {
        TRY(stream(r, schemas[i]->name, e));
        ctx_progress(r->ctx, (double)(i + 1) / (double)(n + 1), 0);
    }
    page_headline(sum, &cells, e);
    TRY(page_sparsity(sum, &cells, 0, &plain, e));
    TRY(page_sparsity(sum, &cells, 1, &page, e));
    TRY(page_report(sum, &cells, &md, e));
    TRY(write_page(r, "sparsity.txt", &plain, e));
    TRY(write_page(r, "sparsity.md", &page, e));
    return write_page(r, "report.md", &md, e);
}

/* Collective. */
static err_t report_run(struct ctx *ctx, struct err *e)
{
    const struct report_params *params = ctx->params;
    struct report *r = NULL;
    if (ctx->comm->me == 0 && arena_array(ctx->arena, "report", 1, &r, e) == ERR_OK) {
        struct h5 *out;
        struct err closing; /* a file that was only read */
        err_clear(&closing);
        r->ctx = ctx;
        r->a = ctx->arena;
        arena_init(&r->chunk, ctx->arena->mem);
        table_init(&r->files, "files", r->a);
        summary_init(&r->summary, r->a, &r->chunk, params->detail);
        r->dir = path_join(r->a, ctx->output, "report", e);
        if (r->dir)
            write_report(r, e);
        h5_close(r->archive, &closing);
        arena_release(&r->chunk);
        if (e->code == ERR_OK && artifact_tables(ctx->out, &out, e) == ERR_OK)
            h5_table_write(out, "files", &r->files, e);
    }
    return comm_agree(ctx->comm, e);
}

static const char *const report_inputs[] = {"?*mask",          "?*rank",  "?*overlap",
                                            "?*token-entropy", "?*delta", NULL};

const struct stage stage_report = {
    .kind = "report",
    .brief = "the study's tables as CSV and Markdown, beside published figures",
    .version = 1,
    .scope = SCOPE_STUDY,
    .params = report_params,
    .params_size = sizeof(struct report_params),
    .writes_files = 1,
    .inputs = report_inputs,
    .run = report_run,
};
