/* report: the study's tables as CSV, its figures, one Markdown and one HTML page and the sparsity table, from
 * the archive alone.
 *
 * Everything is done by process 0: every archive table is read once, in ranges of rows, so memory does not
 * grow with the number of tensors; each range goes to the table's CSV file and into the summary from which
 * the pages are then written. A table that is empty, or that no stage of the study writes, makes a section
 * that says so, and a CSV file with a header alone. Figures are drawn by gnuplot, one run each; where it is
 * not there, or one fails, the report says so and everything else is as it would be. */
#include "hdf5/artifact.h"
#include "base/gnuplot.h"
#include "hdf5/h5.h"
#include "report/body/html.h"
#include "report/body/textpage.h"
#include "report/chart/plot.h"
#include "report/figures/figures.h"
#include "report/gather.h"
#include "report/page/page.h"
#include "report/page/sections.h"
#include "report/sheet.h"
#include "report/summary.h"
#include "study/stage.h"
#include "hdf5/table.h"
#include "base/path.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHUNK_ROWS = 8192,      /* read at once */
    DRAWING_SEC = 60,       /* for one figure */
    DRAWING_BYTES = 1 << 26 /* of one SVG file */
};

struct report_params {
    int64_t detail;
    int figures, html;
};

static const struct param report_params[] = {
    {"detail", PARAM_INT, offsetof(struct report_params, detail), "cells", "40", 0, 1e6, NULL,
     "report.md has a row per cell (or pair of cells) up to this many, and groups them beyond"},
    {"figures", PARAM_BOOL, offsetof(struct report_params, figures), NULL, "true", 0, 0, NULL,
     "draw the figures, by gnuplot, as SVG and PNG"},
    {"html", PARAM_BOOL, offsetof(struct report_params, html), NULL, "true", 0, 0, NULL,
     "write report.html, one page with all figures in it"},
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
    struct gather gather;
    struct figures figures;
    const char *drawings, *scratch; /* folders: of the figures, and where they are drawn */
};

/* ---- files ---- */

/* Notes a written file for the artifact: its absence or change makes the node stale. */
static err_t note_file(struct report *r, const char *path, struct err *e)
{
    struct file_stamp stamp;
    if (!file_stamp_of(path, &stamp))
        return err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", path, strerror(errno));
    uint64_t hash;
    char text[20];
    TRY(hash_file(path, &hash, e));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return TABLE_ADD(&r->files, e, V_TEXT(path), V_INT(stamp.size_bytes), V_INT(stamp.mtime_ns),
                     V_TEXT(text));
}

static err_t write_page(struct report *r, const char *name, const struct text *page, struct err *e)
{
    char *path = path_join(r->a, r->dir, name, e);
    if (!path)
        return e->code;
    if (page->text)
        text_plain(page->text, 1);
    TRY(file_write(path, page->text ? page->text : "", page->text ? (int64_t)strlen(page->text) : 0, e));
    return note_file(r, path, e);
}

static err_t csv_rows(const struct table *t, struct text *out, struct err *e)
{
    const struct schema *s = t->schema;
    const union datum *v = t->values;
    for (int64_t i = 0; i < t->nrows * s->ncolumns; i++, v++) {
        int c = (int)(i % s->ncolumns);
        if (s->columns[c].kind == COLUMN_TEXT)
            TRY(csv_text(out, v->text, e));
        else if (s->columns[c].kind == COLUMN_INT)
            TRY(text_put_int(out, e, v->i));
        else
            TRY(csv_real(out, v->x, e));
        TRY(c == s->ncolumns - 1 ? text_put(out, e, "\r\n", 2) : text_put(out, e, ",", 1));
    }
    return ERR_OK;
}

/* Reads a table range by range: into the CSV file and into the summary. */
static err_t stream_rows(struct report *r, const struct schema *s, FILE *out, struct err *e)
{
    const char *name = s->name;
    int64_t at = 0, total = h5_has_table(r->archive, name) ? 1 : 0;
    while (at < total && e->code == ERR_OK) {
        struct table t;
        struct text lines = {.arena = &r->chunk};
        table_start(&t, s, &r->chunk);
        TRY(h5_table_read(r->archive, name, &t, at, CHUNK_ROWS, &total, e));
        if (t.nrows == 0)
            break;
        TRY(csv_rows(&t, &lines, e));
        if (fwrite(lines.text, 1, (size_t)lines.used, out) != (size_t)lines.used)
            return file_cannot(e, arena_printf(r->a, e, "%s/%s.csv", r->dir, name), "written", errno,
                               lines.used, 0);
        summary_take(&r->summary, &t, e);
        gather_take(&r->gather, &t, e);
        *r->ctx->bytes_done += (double)lines.used;
        at += t.nrows;
        arena_reset(&r->chunk);
    }
    return e->code;
}

static err_t stream(struct report *r, const struct schema *s, struct err *e)
{
    const char *name = s->name;
    char *path = arena_printf(r->a, e, "%s/%s.csv", r->dir, name);
    char *partial = path ? file_partial(r->a, path, NULL, e) : NULL;
    if (!partial)
        return e->code;
    int fd;
    TRY(file_create(partial, &fd, e));
    FILE *out = fdopen(fd, "wb");
    if (!out)
        return file_cannot(e, partial, "created", errno, 0, 0);
    for (int c = 0; c < s->ncolumns; c++)
        fprintf(out, "%s%s", s->columns[c].name, c == s->ncolumns - 1 ? "\r\n" : ",");
    stream_rows(r, s, out, e);
    arena_reset(&r->chunk);
    int bad = ferror(out);
    const long whole = ftell(out);
    if (fclose(out) != 0 || bad)
        file_cannot(e, partial, "written", errno, 0, whole);
    if (e->code == ERR_OK && file_commit(partial, path, e) == ERR_OK)
        return note_file(r, path, e);
    remove(partial);
    return e->code;
}

/* Rows of a table of the archive; 0 where it is not there. */
static err_t count_rows(struct report *r, const char *name, int64_t *n, struct err *e)
{
    struct table none;
    *n = 0;
    for (int i = 0; i < r->ctx->ntables && h5_has_table(r->archive, name); i++)
        if (strcmp(r->ctx->tables[i]->name, name) == 0) {
            table_start(&none, r->ctx->tables[i], &r->chunk);
            TRY(h5_table_read(r->archive, name, &none, 0, 0, n, e));
        }
    return h5_sound(r->archive, e);
}

/* What all pages take for granted: there are cells, and where something is counted of them, at a tolerance.
 */
static err_t check_archive(struct report *r, struct err *e)
{
    static const char *const counted[] = {"layers", "modules", "tensors", "tensor_sparsity"};
    int64_t ncells, nsparsity, n;
    TRY(count_rows(r, "cells", &ncells, e));
    TRY(count_rows(r, "sparsity", &nsparsity, e));
    if (ncells == 0)
        return err_set(
            e, ERR_DATA,
            "%s: table cells is empty or not there: nothing in the archive can be reported; remove it, and 'sinew run' "
            "makes it anew",
            r->ctx->archive);
    for (size_t i = 0; i < sizeof counted / sizeof *counted && nsparsity == 0; i++) {
        TRY(count_rows(r, counted[i], &n, e));
        if (n > 0)
            return err_set(
                e, ERR_DATA,
                "%s: table %s has %lld rows and table sparsity none: they do not belong together; remove the archive, and 'sinew "
                "run' makes it anew",
                r->ctx->archive, counted[i], (long long)n);
    }
    return ERR_OK;
}

/* ---- figures ---- */

/* The spectra that figures show, from the archive. */
static err_t read_spectra(struct report *r, struct err *e)
{
    struct gather *g = &r->gather;
    struct h5_bulk *d;
    int64_t total = 0;
    if (g->nspectra == 0)
        return ERR_OK;
    const char *name = arena_printf(r->a, e, "/spectra/%s", r->summary.rank_nodes.text[0]);
    if (!name)
        return e->code;
    TRY(h5_find(r->archive, name, H5_REAL64, &d, &total, e));
    for (int64_t i = 0; i < g->nspectra; i++) {
        struct gather_spectrum *s = &g->spectra[i];
        double *values;
        if (s->length < 1 || s->offset > total - s->length)
            continue;
        TRY(arena_array(&r->chunk, "report.spectrum", s->length, &values, e));
        TRY(h5_get(d, s->offset, s->length, values, e));
        gather_spectrum_set(s, values);
        arena_reset(&r->chunk);
    }
    return ERR_OK;
}

/* One of a figure's files, drawn in the scratch folder, goes to its place. */
static err_t keep_drawing(struct report *r, const char *name, const char *ending, struct err *e)
{
    char *from = arena_printf(r->a, e, "%s/%s.%s", r->scratch, name, ending);
    char *to = from ? arena_printf(r->a, e, "%s/%s.%s", r->drawings, name, ending) : NULL;
    if (!to)
        return e->code;
    TRY(file_commit(from, to, e));
    return note_file(r, to, e);
}

/* The bytes of a picture's file; NULL: it is not there to its end. gnuplot does not look whether what it
 * writes was written. */
static char *whole_picture(struct arena *a, const char *path, const char *end)
{
    struct err unread;
    int64_t size = 0;
    char *text = NULL;
    err_clear(&unread);
    if (file_read(a, path, DRAWING_BYTES, &text, &size, &unread) != ERR_OK)
        return NULL;
    const char *tail = text + (size > 16 ? size - 16 : 0);
    return memmem(tail, (size_t)(text + size - tail), end, strlen(end)) ? text : NULL;
}

/* Where a figure could not be drawn: was it for want of room? Then there is none for a picture now. */
static err_t has_room(struct report *r, struct err *e)
{
    enum { PICTURE_BYTES = 1 << 17 };
    char *path = path_join(r->a, r->scratch, "room", e), *zeros;
    TRY(arena_array(&r->chunk, "report.room", PICTURE_BYTES, &zeros, e));
    if (path && file_write(path, zeros, PICTURE_BYTES, e) == ERR_OK)
        unlink(path);
    arena_reset(&r->chunk);
    return e->code;
}

/* Draws one figure. That it cannot be drawn is noted in the figure and is no error. */
static err_t draw(struct report *r, const char *program, struct figure *f, struct err *e)
{
    const char *name = f->chart->name;
    struct text script = {.arena = &r->chunk};
    struct err unread;
    char problem[1024] = "";
    err_clear(&unread);
    TRY(plot_script(f->chart, &script, e));
    char *path = path_join(r->a, r->scratch, "figure.gp", e);
    char *svg = path ? arena_printf(r->a, e, "%s/%s.svg", r->scratch, name) : NULL;
    char *png = svg ? arena_printf(r->a, e, "%s/%s.png", r->scratch, name) : NULL;
    if (!png)
        return e->code;
    TRY(file_write(path, script.text, script.used, e));
    arena_reset(&r->chunk);
    int failed = gnuplot_run(program, r->scratch, "figure.gp", DRAWING_SEC, problem, sizeof problem) != 0;
    TRY(comm_asked(r->ctx->comm, e)); /* what ends a run may have ended the drawing as well */
    char *text = failed ? NULL : whole_picture(r->a, svg, "</svg>");
    int drawn = text && whole_picture(&r->chunk, png, "IEND");
    arena_reset(&r->chunk);
    if (drawn) {
        f->svg = text;
        TRY(keep_drawing(r, name, "svg", e));
        TRY(keep_drawing(r, name, "png", e));
        return ERR_OK;
    }
    TRY(has_room(r, e));
    unlink(svg);
    unlink(png);
    f->problem = arena_strdup(r->a, problem[0] ? problem : "gnuplot left no picture", e);
    if (f->problem)
        log_warn(r->ctx->log, "figure %s: %s", name, f->problem);
    return e->code;
}

/* Pictures that an earlier report drew and this one does not would be taken for current ones. The index lists
 * them; only its names are removed. */
static err_t drop_old(struct report *r, const char *index, struct err *e)
{
    static const char *const endings[] = {"svg", "png", "csv"};
    struct err unread;
    char *text = NULL;
    int64_t n;
    err_clear(&unread);
    if (access(index, R_OK) != 0 || file_read(&r->chunk, index, 1 << 24, &text, &n, &unread) != ERR_OK)
        return ERR_OK;
    for (char *line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        size_t length = strcspn(line + 1, ",\r\n");
        if (length == 0 || length > 200 || line[1] == '.' || memchr(line + 1, '/', length))
            continue;
        for (int k = 0; k < 3; k++) {
            char *path =
                arena_printf(&r->chunk, e, "%s/%.*s.%s", r->drawings, (int)length, line + 1, endings[k]);
            if (!path)
                return e->code;
            unlink(path);
        }
    }
    arena_reset(&r->chunk);
    return ERR_OK;
}

/* The figures' data, and a list of the figures with their captions. */
static err_t write_data(struct report *r, const char *index, struct err *e)
{
    struct text list = {.arena = r->a};
    text_add(&list, e, "name,section,title,drawn,caption\r\n");
    for (int64_t i = 0; i < r->figures.n; i++) {
        const struct figure *f = &r->figures.list[i];
        struct text data = {.arena = &r->chunk};
        TRY(chart_csv(f->chart, &data, e));
        char *path = arena_printf(r->a, e, "%s/%s.csv", r->drawings, f->chart->name);
        if (!path)
            return e->code;
        TRY(file_write(path, data.text, data.used, e));
        TRY(note_file(r, path, e));
        arena_reset(&r->chunk);
        const struct section *section = section_find(f->section);
        if (!section)
            return err_set(e, ERR_BUG, "figure %s stands in section \"%s\", which the page has not",
                           f->chart->name, f->section);
        const char *const fields[] = {f->chart->name, section->title, f->chart->title};
        for (int k = 0; k < 3; k++) {
            csv_text(&list, fields[k], e);
            text_add(&list, e, ",");
        }
        text_add(&list, e, "%d,", f->svg != NULL);
        csv_text(&list, f->chart->caption, e);
        TRY(text_add(&list, e, "\r\n"));
    }
    TRY(file_write(index, list.text, list.used, e));
    return note_file(r, index, e);
}

static err_t draw_all(struct report *r, const struct report_params *p, struct err *e)
{
    struct figures *f = &r->figures;
    TRY(read_spectra(r, e));
    TRY(figures_build(f, &r->gather, e));
    f->wanted = p->figures;
    r->drawings = path_join(r->a, r->dir, "figures", e);
    char *index = r->drawings ? path_join(r->a, r->drawings, "index.csv", e) : NULL;
    if (!index)
        return e->code;
    TRY(drop_old(r, index, e));
    if (!p->figures)
        unlink(index);
    if (!p->figures || f->n == 0)
        return ERR_OK;
    TRY(path_make_dir(r->drawings, e));
    file_sweep_folder(r->drawings);
    const char *program = gnuplot_find(r->a, e);
    if (!program) {
        f->missing =
            "The program gnuplot is not in PATH. Install the package gnuplot-nox and write the report "
            "again with 'sinew report'; the numbers of each figure stand in the folder figures.";
        log_info(r->ctx->log, "%-14s not drawn: no gnuplot in PATH; install gnuplot-nox", "figures");
        return e->code == ERR_OK ? write_data(r, index, e) : e->code;
    }
    r->scratch = file_partial(r->a, r->drawings, NULL, e);
    if (!r->scratch)
        return e->code;
    TRY(path_make_dir(r->scratch, e));
    for (int64_t i = 0; i < f->n; i++) {
        ctx_item(r->ctx, f->list[i].chart->name);
        TRY(draw(r, program, &f->list[i], e));
        ctx_progress(r->ctx, 0.5 + 0.5 * (double)i / (double)f->n, 0);
    }
    static const char *const left[] = {"figure.gp", "gnuplot.log"};
    for (int k = 0; k < 2; k++) {
        char *path = path_join(r->a, r->scratch, left[k], e);
        if (path)
            unlink(path);
    }
    rmdir(r->scratch);
    return write_data(r, index, e);
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

/* What the archive says was taken of checkpoints; most archives have nothing to say. */
static const char *notes(struct report *r)
{
    static const char name[] = "/provenance/notes";
    struct err missing;
    char *text = NULL;
    err_clear(&missing);
    if (!h5_has(r->archive, name) || h5_read_text(r->archive, name, &text, &missing) != ERR_OK)
        return "";
    return text;
}

/* Local, process 0. */
static err_t write_report(struct report *r, const struct report_params *p, struct err *e)
{
    struct summary *sum = &r->summary;
    struct page page;
    struct text plain = {.arena = r->a}, marked = {.arena = r->a}, md = {.arena = r->a},
                html = {.arena = r->a};
    TRY(path_make_dir(r->dir, e));
    file_sweep_folder(r->dir); /* and no link to another place, where what is drawn would go */
    TRY(h5_open_sealed(r->ctx->archive, r->a, &r->archive, e));
    TRY(check_archive(r, e));
    sum->study = attribute(r, "study");
    sum->simulated = attribute(r, "simulated");
    sum->created = attribute(r, "created");
    sum->version = attribute(r, "sinew_version");
    sum->notes = notes(r);
    int n = r->ctx->ntables;
    TRY(figures_keep(&r->gather, r->ctx->tables, n, e));
    for (int i = 0; i < n; i++) {
        TRY(stream(r, r->ctx->tables[i], e));
        TRY(comm_asked(r->ctx->comm, e));
        ctx_progress(r->ctx, 0.5 * (double)(i + 1) / (double)(n + 1), 0);
    }
    TRY(h5_sound(r->archive, e)); /* what was taken for absent is absent */
    TRY(draw_all(r, p, e));
    page_init(&page, sum, &r->figures, e);
    TRY(page_sparsity(&page, 0, &plain, e));
    TRY(page_sparsity(&page, 1, &marked, e));
    TRY(page_report(&page, e));
    TRY(textpage_markdown(&page.body, &md, e));
    TRY(write_page(r, "sparsity.txt", &plain, e));
    TRY(write_page(r, "sparsity.md", &marked, e));
    TRY(write_page(r, "report.md", &md, e));
    if (!p->html)
        return ERR_OK;
    const char *title = arena_printf(r->a, e, "%s - sinew report", sum->study);
    if (!title)
        return e->code;
    TRY(html_page(&page.body, title, &html, e));
    return write_page(r, "report.html", &html, e);
}

/* Collective. */
static err_t report_run(struct ctx *ctx, struct err *e)
{
    const struct report_params *params = ctx->params;
    struct report *r = NULL;
    if (ctx->comm->me == 0 && arena_array(ctx->arena, "report", 1, &r, e) == ERR_OK) {
        struct h5 *out;
        r->ctx = ctx;
        r->a = ctx->arena;
        arena_init(&r->chunk, ctx->arena->mem);
        table_init(&r->files, "files", r->a);
        summary_init(&r->summary, r->a, &r->chunk, params->detail);
        gather_init(&r->gather, &r->summary);
        r->dir = path_join(r->a, ctx->output, "report", e);
        if (r->dir)
            write_report(r, params, e);
        h5_close(r->archive, e);
        arena_release(&r->chunk);
        if (e->code == ERR_OK && artifact_tables(ctx->out, &out, e) == ERR_OK)
            h5_table_write(out, "files", &r->files, e);
    }
    comm_rest(ctx->comm);
    return comm_agree(ctx->comm, e);
}

static const struct stage_work report_work[] = {WORK_ALONE("pages", 1.5), WORK_ALONE("cells", 500),
                                                WORK_ALONE("bases", 4), WORK_END};

static void report_plan(const struct plan_view *view, struct estimate *out)
{
    double cells = view->ncells,
           tables = 4e4 * cells + 2000 * view->tensors + 7500 * view->pairs; /* measured */
    *out = (struct estimate){.work = {1, cells, view->bases}, .tensors = view->tensors, .known = 1};
    out->read_bytes = out->reread_bytes = out->write_bytes = tables;
    out->process_bytes = out->likely_bytes = 4e6 + 1e5 * cells;
}

static const char *const report_inputs[] = {"?*" STAGE_REPORTED, NULL};

static const struct schema *const report_tables[] = {&schema_files, NULL};

const struct stage stage_report = {
    .kind = "report",
    .brief = "the study's tables and figures as CSV, Markdown and one HTML page, beside published figures",
    .version = 5,
    .scope = SCOPE_STUDY,
    .params = report_params,
    .params_size = sizeof(struct report_params),
    .writes_files = 1,
    .inputs = report_inputs,
    .plan = report_plan,
    .work = report_work,
    .tables = report_tables,
    .run = report_run,
};
