/* The archive of a study of invented stages: their tables in order, bulk data one after the other with the
 * offsets that rows say, cells that nothing was measured of, artifacts that are missing or not as written. */
#include "engine/archive.h"
#include "hdf5/digest.h"
#include "hdf5/h5.h"
#include "study/registry.h"
#include "unitlib.h"

#include <stdio.h>
#include <unistd.h>

SCHEMA(things, "things", KEPT_IN_ARCHIVE, "What the stage found.", C_CELL, C_NODE, C_TEXT("name", "a name"),
       C_INT("vector_offset", "where it begins in /vectors/NODE"), C_INT("vector_length", "its elements"));
SCHEMA(notes, "notes", KEPT_IN_ARCHIVE, "A table without a column node.", C_CELL, C_TEXT("note", "a text"));

static const struct schema *const thing_tables[] = {&schema_cells, &things, &notes, NULL};
static const struct dataset thing_datasets[] = {{.name = "/vectors",
                                                 .type = H5_REAL32,
                                                 .units = "m",
                                                 .description = "vectors, one after the other",
                                                 .table = &things,
                                                 .offset = "vector_offset",
                                                 .archived = "vectors of all cells",
                                                 .group = "vectors, by node"},
                                                {0}};
static const struct stage stage_thing = {
    .kind = "thing", .scope = SCOPE_CELL, .tables = thing_tables, .datasets = thing_datasets};
static const struct stage *const stages[] = {&stage_thing};

const struct stage *const *registry_stages(int *n)
{
    *n = 1;
    return stages;
}

const struct stage *registry_find(const char *kind)
{
    return strcmp(kind, "thing") == 0 ? &stage_thing : NULL;
}

/* ---- a study of two nodes on three cells, of which the last is absent ---- */

enum { DECLS = 2, CELLS = 2, NODES = DECLS * CELLS };

struct study {
    struct bench bench; /* first: the fixture */
    struct config config;
    struct cell cells[CELLS + 1];
    struct published published;
    struct node_decl decls[DECLS];
    struct node nodes[NODES];
    struct dag dag;
    struct freshness all[NODES];
    struct provenance provenance;
    int bare; /* rows without a vector behind each row with one */
};

/* The artifact of node i: a row with a vector of i + 1 elements, 100 * i + 0, 1, ..., and rows without one.
 * Table notes is written by both declared nodes: the archive takes the first one's. */
static void write_artifact(struct study *s, int i, int empty)
{
    struct bench *b = &s->bench;
    const struct node *n = &s->nodes[i];
    const char *cell = n->cell->name, *node = s->decls[n->decl].name;
    struct h5 *f;
    struct h5_bulk *d;
    struct table t, u, none;
    char *list, name[40];
    float values[NODES];
    table_start(&t, &things, &b->arena);
    table_start(&u, &notes, &b->arena);
    table_init(&none, "bins", &b->arena); /* stays in the artifact */
    snprintf(name, sizeof name, "thing %d of \xc3\xa4%s", i, i == 3 ? " and a longer name" : "");
    if (!empty) {
        TABLE_ADD_OF(things, &t, &b->err, V_TEXT(cell), V_TEXT(node), V_TEXT(name), V_INT(0), V_INT(i + 1));
        for (int k = 0; k < s->bare; k++)
            TABLE_ADD_OF(things, &t, &b->err, V_TEXT(cell), V_TEXT(node), V_TEXT("bare"), V_INT(-1),
                         V_INT(0));
        TABLE_ADD_OF(notes, &u, &b->err, V_TEXT(cell), V_TEXT(node));
    }
    for (int k = 0; k <= i; k++)
        values[k] = (float)(100 * i + k);
    assert_int_equal(h5_create(n->path, &b->arena, &f, &b->err), ERR_OK);
    if (!empty) {
        assert_int_equal(h5_dataset(f, thing_datasets, i + 1, 0, &d, &b->err), ERR_OK);
        assert_int_equal(h5_put(d, 0, i + 1, values, &b->err), ERR_OK);
    }
    h5_table_write(f, "things", &t, &b->err);
    h5_table_write(f, "notes", &u, &b->err);
    h5_table_write(f, "bins", &none, &b->err);
    h5_table_list(f, &list, &b->err);
    h5_set_text(f, "/", "tables", list, &b->err);
    assert_int_equal(h5_close(f, &b->err), ERR_OK);
    assert_int_equal(digest_seal(n->path, &b->arena, &b->err), ERR_OK);
}

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct study), WITH_FOLDER) != 0)
        return -1;
    struct study *s = *state;
    struct bench *b = &s->bench;
    static const char *const names[] = {"f/ppo/0", "f/ppo/1", "f/ppo/2"};
    s->published = (struct published){"a paper", "sparsity", 0.7};
    for (int i = 0; i <= CELLS; i++)
        s->cells[i] = (struct cell){.name = names[i],
                                    .family = "f",
                                    .algorithm = "ppo",
                                    .data = "",
                                    .seed = i,
                                    .step = -1,
                                    .base = "base",
                                    .tuned = "tuned",
                                    .npublished = i == 0,
                                    .published = &s->published};
    s->decls[0] = (struct node_decl){.name = "near", .stage = &stage_thing};
    s->decls[1] = (struct node_decl){.name = "far", .stage = &stage_thing};
    s->config = (struct config){.file = "study.yaml",
                                .text = "the text",
                                .text_bytes = 8,
                                .study = "invented",
                                .output = b->folder,
                                .ncells = CELLS,
                                .nabsent = 1,
                                .cells = s->cells,
                                .nnodes = DECLS,
                                .nodes = s->decls,
                                .resolved = "the resolved text"};
    for (int i = 0; i < NODES; i++)
        s->nodes[i] = (struct node){.decl = i / CELLS,
                                    .stage = &stage_thing,
                                    .label = names[i % CELLS],
                                    .path = arena_printf(&b->arena, &b->err, "%s/%d.h5", b->folder, i),
                                    .cell = &s->cells[i % CELLS]};
    s->dag = (struct dag){.config = &s->config,
                          .nnodes = NODES,
                          .nodes = s->nodes,
                          .archive = arena_printf(&b->arena, &b->err, "%s/invented.h5", b->folder)};
    s->provenance = (struct provenance){
        .command = "test", .host = "here", .processes = 1, .mpi = "", .hdf5 = "", .blas = ""};
    s->bare = 1;
    for (int i = 0; i < NODES; i++)
        write_artifact(s, i, 0);
    return b->err.code != ERR_OK;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static err_t build(struct study *s)
{
    struct arena scratch;
    arena_init(&scratch, &s->bench.mem);
    err_t code = archive_build(&s->dag, s->all, &s->provenance, &scratch, &s->bench.err);
    arena_release(&scratch);
    return code;
}

static struct h5 *open_archive(struct study *s)
{
    struct h5 *f;
    assert_int_equal(h5_open(s->dag.archive, 0, &s->bench.arena, &f, &s->bench.err), ERR_OK);
    return f;
}

static struct table read_all(struct study *s, struct h5 *f, const struct schema *schema)
{
    struct table t;
    table_start(&t, schema, &s->bench.arena);
    assert_int_equal(h5_table_read(f, schema->name, &t, 0, -1, NULL, &s->bench.err), ERR_OK);
    return t;
}

/* Every row's vector is where the row says, in the dataset of its node. */
static void check_vectors(struct study *s, struct h5 *f, const struct table *t)
{
    static const char *const names[] = {"/vectors/near", "/vectors/far"};
    for (int64_t r = 0; r < t->nrows; r += 1 + s->bare) {
        int i = (int)r / (1 + s->bare);
        int64_t n, total = i < CELLS ? 1 + 2 : 3 + 4;
        struct h5_bulk *d;
        float values[16];
        assert_string_equal(table_text(t, r, "node"), s->decls[i / CELLS].name);
        assert_string_equal(table_text(t, r, "cell"), s->nodes[i].cell->name);
        assert_int_equal(table_int(t, r, "vector_length"), i + 1);
        assert_int_equal(h5_find(f, names[i / CELLS], H5_REAL32, &d, &n, &s->bench.err), ERR_OK);
        assert_int_equal(n, total);
        assert_int_equal(h5_get(d, table_int(t, r, "vector_offset"), i + 1, values, &s->bench.err), ERR_OK);
        for (int k = 0; k <= i; k++)
            assert_true(values[k] == (float)(100 * i + k));
        assert_int_equal(table_int(t, r + 1, "vector_offset"), -1); /* nowhere stays nowhere */
    }
}

static void tables_and_vectors_come_together(void **state)
{
    struct study *s = *state;
    assert_int_equal(build(s), ERR_OK);
    struct h5 *f = open_archive(s);
    struct table t = read_all(s, f, &things);
    assert_int_equal(t.nrows, 2 * NODES);
    check_vectors(s, f, &t);
    assert_string_equal(table_text(&t, 6, "name"), "thing 3 of \xc3\xa4 and a longer name");
    struct table u = read_all(s, f, &notes);
    assert_int_equal(u.nrows, CELLS); /* one declared node's alone */
    for (int i = 0; i < CELLS; i++)
        assert_string_equal(table_text(&u, i, "note"), "near");
    assert_false(h5_has_table(f, "bins"));
    char *units, *description;
    assert_int_equal(h5_get_text(f, "/vectors/far", "units", &units, &s->bench.err), ERR_OK);
    assert_string_equal(units, "m");
    assert_int_equal(h5_get_text(f, "/vectors", "description", &description, &s->bench.err), ERR_OK);
    assert_string_equal(description, "vectors, by node");
    h5_close(f, &s->bench.err);
}

/* Where rows of all artifacts are too many to be taken along in one reading, there are two: the same archive.
 */
static void little_memory_gives_the_same(void **state)
{
    struct study *s = *state;
    s->bare = 400;
    for (int i = 0; i < NODES; i++)
        write_artifact(s, i, 0);
    s->bench.mem.budget_bytes = s->bench.mem.live_bytes + (1 << 20); /* an eighth of it is for rows */
    assert_int_equal(build(s), ERR_OK);
    s->bench.mem.budget_bytes = 0;
    struct h5 *f = open_archive(s);
    struct table t = read_all(s, f, &things);
    assert_int_equal(t.nrows, NODES * (1 + s->bare));
    check_vectors(s, f, &t);
    h5_close(f, &s->bench.err);
}

static void what_was_not_measured_stands_in_it(void **state)
{
    struct study *s = *state;
    assert_int_equal(build(s), ERR_OK);
    struct h5 *f = open_archive(s);
    struct table cells = read_all(s, f, &schema_cells), skipped = read_all(s, f, &schema_skipped),
                 published = read_all(s, f, &schema_published);
    assert_int_equal(cells.nrows, CELLS + 1); /* no stage wrote a row of theirs */
    assert_string_equal(table_text(&cells, 2, "cell"), "f/ppo/2");
    assert_int_equal(table_int(&cells, 1, "seed"), 1);
    assert_int_equal(skipped.nrows, 1);
    assert_string_equal(table_text(&skipped, 0, "cell"), "f/ppo/2");
    assert_int_equal(published.nrows, 1);
    assert_true(table_real(&published, 0, "value") == 0.7);
    int64_t version;
    char *key;
    assert_int_equal(h5_get_int(f, "/", "schema_version", &version, &s->bench.err), ERR_OK);
    assert_int_equal(version, ARCHIVE_SCHEMA_VERSION);
    assert_int_equal(h5_get_text(f, "/", "key", &key, &s->bench.err), ERR_OK);
    h5_close(f, &s->bench.err);
    assert_true(archive_is_fresh(&s->dag, s->all, &s->bench.arena));
    s->all[2].key[0] = 'x'; /* another artifact than the archive is made of */
    s->all[2].key[1] = '\0';
    assert_false(archive_is_fresh(&s->dag, s->all, &s->bench.arena));
}

static void empty_artifacts_leave_empty_tables(void **state)
{
    struct study *s = *state;
    for (int i = 0; i < NODES; i++)
        write_artifact(s, i, 1);
    assert_int_equal(build(s), ERR_OK);
    struct h5 *f = open_archive(s);
    struct table t = read_all(s, f, &things);
    assert_int_equal(t.nrows, 0);
    assert_true(h5_has(f, "/vectors")); /* the group is always there */
    assert_false(h5_has(f, "/vectors/near"));
    h5_close(f, &s->bench.err);
}

static void check_failed(struct study *s, err_t code, err_t expected, const char *says)
{
    assert_int_equal(code, expected);
    if (!strstr(s->bench.err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", s->bench.err.text, says);
    assert_string_equal(s->bench.err.item, s->nodes[2].path);
    assert_int_not_equal(access(s->dag.archive, F_OK), 0); /* nothing under the name, nothing half done */
    assert_false(file_has_partial(s->dag.archive));
}

static void a_missing_artifact_is_named(void **state)
{
    struct study *s = *state;
    unlink(s->nodes[2].path);
    err_t code = build(s);
    assert_non_null(strstr(s->bench.err.text, s->nodes[2].path));
    assert_int_equal(code, ERR_SYSTEM);
    assert_int_not_equal(access(s->dag.archive, F_OK), 0);
}

static void tables_that_were_not_written_are_refused(void **state)
{
    struct study *s = *state;
    struct bench *b = &s->bench;
    struct h5 *f;
    struct table more;
    table_init(&more, "files", &b->arena);
    assert_int_equal(h5_open(s->nodes[2].path, 1, &b->arena, &f, &b->err), ERR_OK);
    assert_int_equal(h5_table_write(f, "files", &more, &b->err), ERR_OK);
    h5_close(f, &b->err);
    digest_seal(s->nodes[2].path, &b->arena, &b->err);
    check_failed(s, build(s), ERR_DATA, "its tables are not those that were written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tables_and_vectors_come_together),   TEST(little_memory_gives_the_same),
        TEST(what_was_not_measured_stands_in_it), TEST(empty_artifacts_leave_empty_tables),
        TEST(a_missing_artifact_is_named),        TEST(tables_that_were_not_written_are_refused),
    };
    h5_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
