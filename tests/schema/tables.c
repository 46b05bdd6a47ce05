/* The page of all tables and datasets, made from the declarations of the machine and of the stages.
 *
 * sinew_tables prints the page. With --check PAGE: 0 if PAGE is that page; else 1, and what to do. With
 * --write PAGE: writes it, unless the archive breaks a promise that PAGE makes: then 1, and nothing is
 * written.
 *
 * What PAGE says of the archive under a version holds as long as the version does: the rule stands in
 * engine/archive.h. */
#include "study/tables.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/archive.h"
#include "study/registry.h"

#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

static const char *kind_text(enum column_kind kind)
{
    return kind == COLUMN_TEXT ? "text" : kind == COLUMN_INT ? "int64" : "float64";
}

static const char *type_text(enum h5_type type)
{
    static const char *const names[] = {
        [H5_BITS8] = "uint8",    [H5_BITS16] = "uint16", [H5_BITS32] = "uint32",
        [H5_BITS64] = "uint64",  [H5_INT64] = "int64",   [H5_REAL64] = "float64",
        [H5_REAL32] = "float32", [H5_BF16] = "bfloat16", [H5_REAL16] = "float16"};
    return names[type];
}

/* ---- the page ---- */

#define INTRO                                                                    \
    "# Tables of the archive and of the artifacts\n\n"                           \
    "Made by `sinew_tables --write` from the declarations in "                   \
    "`pipeline/hdf5/schema.c` and beside the stages; do "                        \
    "not edit.\n\nSchema version: %d\n\n"                                        \
    "What stands here of the archive under a version holds as long as the "      \
    "version (the root attribute "                                               \
    "`schema_version`) does. Tables,\ncolumns and datasets may join it. The "    \
    "version rises when one is taken away "                                      \
    "or renamed, or when its type, its units or its meaning\nchange. Artifacts " \
    "are read by the program that wrote "                                        \
    "them alone: there a change raises the version of the stage.\n\n"            \
    "A table is a 1-D compound dataset `/tables/NAME` of little-endian `int64` " \
    "and `float64` and of UTF-8 texts of "                                       \
    "a fixed width, padded\nwith zeros. In the archive each column has the "     \
    "attributes `COLUMN.description` and, "                                      \
    "where it has units, `COLUMN.units`.\n\n"

/* A text in a cell of a table: a | would end the cell. */
static void put_cell(struct text *t, const char *text, struct err *e)
{
    for (const char *end; *text; text = end) {
        end = text + 1 + strcspn(text + 1, "|");
        text_add(t, e, "%s%.*s", *text == '|' ? "\\" : "", (int)(end - text), text);
    }
    text_add(t, e, " |\n");
}

static void put_schema(struct text *t, const struct schema *s, struct err *e)
{
    text_add(t, e,
             "### `%s`\n\n%s\n\n| column | type | units | description "
             "|\n|---|---|---|---|\n",
             s->name, s->description);
    for (int i = 0; i < s->ncolumns; i++) {
        const struct column *c = &s->columns[i];
        text_add(t, e, "| `%s` | %s | %s | ", c->name, kind_text(c->kind), c->units ? c->units : "");
        put_cell(t, c->description, e);
    }
    text_add(t, e, "\n");
}

static void put_archive(struct text *t, struct arena *a, struct err *e)
{
    const struct schema *const *list = NULL;
    const struct stage *const *stages;
    int n = 0, nstages;
    tables_of_archive(a, &list, &n, e);
    text_add(t, e, "## Tables of the archive\n\n");
    for (int i = 0; i < n; i++)
        put_schema(t, list[i], e);
    text_add(t, e,
             "### Bulk data\n\n| dataset | type | units | description | begins "
             "at |\n|---|---|---|---|---|\n");
    stages = registry_stages(&nstages);
    for (int i = 0; i < nstages; i++)
        for (const struct dataset *d = stages[i]->datasets; d && d->name; d++)
            if (d->archived)
                text_add(t, e, "| `%s/NODE` | %s | %s | %s | `%s` of table `%s` |\n", d->name,
                         type_text(d->type), d->units ? d->units : "", d->archived, d->offset,
                         d->table->name);
    text_add(t, e, "\n");
}

/* The tables and datasets of one stage's artifact. */
static void put_stage(struct text *t, const struct stage *s, struct err *e)
{
    text_add(t, e, "### %s (version %d)\n\n", s->kind, s->version);
    text_add(t, e, "Tables:");
    for (const struct schema *const *x = s->tables; x && *x; x++)
        text_add(t, e, "%s `%s`", x == s->tables ? "" : ",", (*x)->name);
    text_add(t, e, "\n\n");
    if (!s->datasets)
        return;
    text_add(t, e, "| dataset | type | units | description |\n|---|---|---|---|\n");
    for (const struct dataset *d = s->datasets; d->name; d++)
        text_add(t, e, "| `%s%s` | %s | %s | %s |\n", d->name[0] == '/' ? "" : "/", d->name,
                 type_text(d->type), d->units ? d->units : "", d->description);
    text_add(t, e, "\n");
}

static void put_artifacts(struct text *t, struct err *e)
{
    int nstages, nshared;
    const struct stage *const *stages = registry_stages(&nstages);
    const struct schema *const *shared = schema_shared(&nshared);
    text_add(t, e,
             "## Artifacts\n\n"
             "The file of a node holds the tables and datasets that its stage "
             "declares. A catalogue (load) "
             "also holds `/tensors/NAME`, one dataset\nper tensor in the "
             "tensor's own type and shape.\n\n");
    for (int i = 0; i < nstages; i++)
        put_stage(t, stages[i], e);
    text_add(t, e, "## Tables of artifacts and of `/provenance`\n\n");
    for (int i = 0; i < nstages; i++)
        for (const struct schema *const *s = stages[i]->tables; s && *s; s++)
            if ((*s)->kept == KEPT_IN_ARTIFACT && schema_find((*s)->name) != *s)
                put_schema(t, *s, e);
    for (int i = 0; i < nshared; i++)
        if (shared[i]->kept == KEPT_IN_ARTIFACT)
            put_schema(t, shared[i], e);
}

static void put_page(struct text *t, struct err *e)
{
    text_add(t, e, INTRO, ARCHIVE_SCHEMA_VERSION);
    put_archive(t, t->arena, e);
    put_artifacts(t, e);
    while (t->used > 1 && t->text[t->used - 2] == '\n') /* one end of line at the end */
        t->text[--t->used] = '\0';
}

/* ---- what an earlier page promised ---- */

/* The rows of the archive's part of a page, each with the heading above it, as
 * "HEADING | NAME | TYPE | UNITS", one after the other: *at moves on. NULL at
 * the end. */
static const char *next_row(char **at, char *heading, size_t size, char *row, size_t row_size)
{
    char *line;
    while ((line = strsep(at, "\n")) != NULL && strncmp(line, "## Artifacts", 12) != 0) {
        if (strncmp(line, "### ", 4) == 0)
            snprintf(heading, size, "%s", line + 4);
        if (strncmp(line, "| `", 3) != 0)
            continue;
        char *field[3] = {0};
        line += 1;
        for (int i = 0; i < 3 && line; i++)
            field[i] = strsep(&line, "|");
        if (field[2]) {
            snprintf(row, row_size, "%s |%s|%s|%s", heading, field[0], field[1], field[2]);
            return row;
        }
    }
    return NULL;
}

/* Says what the page on disk promises of the archive under this version and the
 * new page does not. Returns how many. */
static int broken_promises(char *old, const char *page, struct arena *a, struct err *e)
{
    char mark[64], heading[128] = "", other_heading[128], row[512], other[512];
    int broken = 0;
    snprintf(mark, sizeof mark, "Schema version: %d\n", ARCHIVE_SCHEMA_VERSION);
    if (!strstr(old, mark))
        return 0;
    while (next_row(&old, heading, sizeof heading, row, sizeof row)) {
        char *again = arena_strdup(a, page, e);
        int kept = 0;
        other_heading[0] = '\0';
        while (!kept && next_row(&again, other_heading, sizeof other_heading, other, sizeof other))
            kept = strcmp(row, other) == 0;
        if (!kept) {
            fprintf(stderr, "tables: the archive no longer holds %s\n", row);
            broken++;
        }
    }
    return broken;
}

static int usage(void)
{
    fprintf(stderr, "usage: sinew_tables [--check PAGE | --write PAGE]\n");
    return 2;
}

static int compare(const struct text *page, const char *mode, const char *path, struct arena *a,
                   struct err *e)
{
    char *old = NULL, *kept;
    int64_t n = 0;
    struct err missing;
    err_clear(&missing);
    int there = file_read(a, path, MOST_BYTES, &old, &n, &missing) == ERR_OK;
    if (there && strcmp(old, page->text) == 0)
        return 0;
    if (there && (kept = arena_strdup(a, old, e)) && broken_promises(kept, page->text, a, e) > 0) {
        fprintf(stderr,
                "tables: raise ARCHIVE_SCHEMA_VERSION in pipeline/engine/archive.h "
                "(now %d), then run "
                "'sinew_tables --write %s'\n",
                ARCHIVE_SCHEMA_VERSION, path);
        return 1;
    }
    if (strcmp(mode, "--write") == 0)
        return file_write(path, page->text, page->used, e) != ERR_OK;
    fprintf(stderr,
            "tables: %s is not what the schema says (nothing of the archive was "
            "taken away: the version "
            "stays); run 'sinew_tables --write %s'\n",
            path, path);
    return 1;
}

int main(int argc, char **argv)
{
    struct mem m;
    struct arena a;
    struct err e;
    mem_init(&m, 0);
    arena_init(&a, &m);
    err_clear(&e);
    struct text page = {.arena = &a};
    int status = 0;
    put_page(&page, &e);
    if (argc == 1)
        fputs(page.text, stdout);
    else if (argc == 3 && (strcmp(argv[1], "--check") == 0 || strcmp(argv[1], "--write") == 0))
        status = compare(&page, argv[1], argv[2], &a, &e);
    else
        status = usage();
    if (e.code != ERR_OK) {
        fprintf(stderr, "tables: %s\n", e.text);
        status = err_status(e.code);
    }
    arena_release(&a);
    return status;
}
