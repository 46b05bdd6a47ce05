/* Export of masks: which node is meant, what is refused before a file is touched, and artifacts that are
 * whole as files but do not fit together. What a trainer reads of the file is told by the e2e tests. */

#include "unitlib.h"

#include "hdf5/digest.h"
#include "base/file.h"
#include "base/path.h"
#include "compare/maskfile.h"
#include "compare/update.h"
#include "export/mask.h"
#include "formats/safetensors/safetensors.h"
#include "study/registry.h"

#include <mpi.h>
#include <sys/stat.h>

/* ---- stand-ins for the stages ---- */

static const char *const of_delta[] = {"?*delta", NULL};
static const struct stage stage_delta = {.kind = "delta", .scope = SCOPE_CELL, .datasets = update_datasets},
                          stage_mask = {.kind = "mask",
                                        .scope = SCOPE_CELL,
                                        .inputs = of_delta,
                                        .datasets = maskfile_datasets};
static const struct stage *const stages[] = {&stage_delta, &stage_mask};

const struct stage *const *registry_stages(int *n)
{
    *n = 2;
    return stages;
}

const struct stage *registry_find(const char *kind)
{
    return strcmp(kind, "delta") == 0 ? &stage_delta : strcmp(kind, "mask") == 0 ? &stage_mask : NULL;
}

/* ---- a study with artifacts ---- */

/* What is wrong with the mask's artifact. */
enum defect {
    NONE,
    FEW_WORDS,
    NO_WORDS,
    NO_ROW,
    OTHER_PARAMETERS,
    OTHER_COUNT,
    NO_CRITERION,
    NO_TENSORS,
    DEFECTS
};

struct fixture {
    struct bench bench;
    struct comm self;
    struct log log;
    struct problems problems;
    struct config config;
    struct dag dag;
    struct freshness all[8];
    struct headers headers;
    struct runner runner;
    struct export_request request;
};

static const uint64_t words[] = {0x4005, 0x8000000000000001u, 0x21}; /* of a: 0, 2, 14; of b: 0, 63, 64, 69 */
enum { UPDATED = 7, PARAMETERS = 15 + 70 };

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *x = *state;
    x->self = (struct comm){.mpi = MPI_COMM_SELF, .np = 1};
    log_init(&x->log, LOG_QUIET, 0);
    headers_init(&x->headers, &x->bench.mem);
    h5_start();
    setenv("DIR", x->bench.folder, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    headers_release(&x->headers);
    return bench_delete(state);
}

static char *in_folder(struct fixture *x, const char *name)
{
    char *path = path_join(&x->bench.arena, x->bench.folder, name, &x->bench.err);
    assert_non_null(path);
    return path;
}

#define STUDY(stages)                                                                                       \
    "study: s\noutput: ${DIR}/out\n"                                                                        \
    "cells: [{family: f, algorithm: a, base: b, tuned: t}, {family: f, algorithm: b, base: b, tuned: u}]\n" \
    "stages: {" stages "}\n"

static void read_study(struct fixture *x, const char *yaml)
{
    struct bench *b = &x->bench;
    err_t code =
        config_parse(&x->config, "s.yaml", yaml, (int64_t)strlen(yaml), &x->problems, &b->arena, &b->err);
    if (code == ERR_OK)
        code = dag_build(&x->dag, &x->config, &b->arena, &b->err);
    if (code != ERR_OK)
        fail_msg("%s: %s", b->err.text, x->problems.n ? x->problems.list[0].text : "");
    assert_true(x->dag.nnodes <= 8);
    x->runner = (struct runner){.comm = &x->self,
                                .dag = &x->dag,
                                .log = &x->log,
                                .mem = &b->mem,
                                .arena = &b->arena,
                                .headers = &x->headers};
    x->request = (struct export_request){
        .what = "mask", .cell = "f/a/0", .node = "mask", .to = in_folder(x, "m.safetensors")};
}

static void write_mask(struct fixture *x, struct h5 *f, enum defect defect)
{
    struct bench *b = &x->bench;
    struct layout_tensor tensors[] = {
        {.name = "a",
         .module = "m",
         .ndim = 2,
         .dims = {3, 5},
         .elements = 15,
         .dtype_base = "BF16",
         .dtype_tuned = "BF16"},
        {.name = "b",
         .module = "m",
         .ndim = 1,
         .dims = {70},
         .elements = 70,
         .dtype_base = "BF16",
         .dtype_tuned = "BF16"},
        {.name = "c", .module = "m", .ndim = 2, .dims = {0, 4}, .dtype_base = "BF16", .dtype_tuned = "BF16"}};
    struct layout l = {.ntensors = 3, .tensors = tensors};
    struct table sparsity, bins;
    struct h5_bulk *d;
    const struct maskfile_kind kind = {"absolute", "bf16", 1e-5};
    int64_t nwords = defect == FEW_WORDS ? 2 : 3;
    layout_number(&l);
    table_start(&bins, &schema_bins, &b->arena);
    table_start(&sparsity, &schema_sparsity, &b->arena);
    if (defect != NO_ROW)
        TABLE_ADD(&sparsity, &b->err, V_TEXT("f/a/0"), V_TEXT("mask"), V_TEXT("absolute"), V_REAL(1e-5),
                  V_INT(PARAMETERS + (defect == OTHER_PARAMETERS)), V_INT(UPDATED + (defect == OTHER_COUNT)),
                  V_REAL(0.5));
    if (defect == NO_TENSORS || defect == NO_CRITERION)
        h5_set_real(f, "/", "tolerance", 1e-5, &b->err);
    if (defect == NO_CRITERION)
        layout_write(&l, f, &b->arena, &b->err);
    if (defect != NO_TENSORS && defect != NO_CRITERION)
        maskfile_describe(f, &l, &kind, &bins, &b->arena, &b->err);
    if (defect != NO_WORDS && h5_bulk(f, "/mask", H5_BITS64, nwords, 0, "mask", NULL, &d, &b->err) == ERR_OK)
        h5_put(d, 0, nwords, words, &b->err);
    h5_table_write(f, "sparsity", &sparsity, &b->err);
}

/* Writes the artifacts of all nodes. */
static void make(struct fixture *x, enum defect defect)
{
    struct bench *b = &x->bench;
    for (int i = 0; i < x->dag.nnodes; i++) {
        const struct node *n = &x->dag.nodes[i];
        struct h5 *f;
        struct table skipped;
        assert_int_equal(fresh_node(&x->dag, i, x->all, &x->headers, &b->arena, &b->err), ERR_OK);
        char *dir = path_dir(&b->arena, n->path, &b->err);
        assert_int_equal(path_make_dir(dir, &b->err), ERR_OK);
        assert_int_equal(h5_create(n->path, &b->arena, &f, &b->err), ERR_OK);
        if (n->stage == &stage_mask)
            write_mask(x, f, defect);
        table_start(&skipped, &schema_skipped, &b->arena);
        for (int k = 0; k < 2 && n->stage == &stage_delta; k++)
            TABLE_ADD(&skipped, &b->err, V_TEXT(n->label), V_TEXT("delta"), V_TEXT("s\"1\""), V_INT(4),
                      V_TEXT(k ? "and \\ again" : "for a \"reason\""));
        h5_table_write(f, "skipped", &skipped, &b->err);
        fresh_mark(&x->dag, i, &x->all[i], f, &b->err);
        h5_close(f, &b->err);
        digest_seal(n->path, &b->arena, &b->err);
        if (b->err.code != ERR_OK)
            fail_msg("%s", b->err.text);
    }
}

static void export(struct fixture *x)
{
    struct bench *b = &x->bench;
    size_t live = b->mem.live_bytes;
    err_clear(&b->err);
    err_t code = export_mask(&x->runner, &x->request, &b->err);
    assert_int_equal(code, b->err.code);
    assert_true(b->mem.live_bytes <= live + 4096); /* what a message's author took of the run's arena */
    assert_false(file_has_partial(x->request.to));
}

static void must_refuse(struct fixture *x, err_t code, const char *says)
{
    struct err *e = &x->bench.err;
    export(x);
    if (e->code != code || !strstr(e->text, says))
        fail_msg("code %d, \"%s\"; expected %d, \"%s\"", (int)e->code, e->text, (int)code, says);
    err_clear(e);
}

static void must_export(struct fixture *x)
{
    export(x);
    if (x->bench.err.code != ERR_OK)
        fail_msg("%s", x->bench.err.text);
}

#define PLAIN STUDY("delta: {}, mask: {needs: delta}")

/* ---- tests ---- */

static void formats(void **state)
{
    struct bench *b = *state;
    enum export_format format = EXPORT_BYTES;
    assert_int_equal(export_format_find("bits", &format, &b->err), ERR_OK);
    assert_int_equal(format, EXPORT_BITS);
    assert_int_equal(export_format_find("bytes", &format, &b->err), ERR_OK);
    assert_int_equal(format, EXPORT_BYTES);
    assert_int_equal(export_format_find("byts", &format, &b->err), ERR_CONFIG);
    assert_string_equal(b->err.text, "--format 'byts': expected bytes or bits; did you mean 'bytes'?");
    err_clear(&b->err);
    assert_int_equal(export_format_find("", &format, &b->err), ERR_CONFIG);
}

static void which_node(void **state)
{
    struct fixture *x = *state;
    read_study(x, STUDY("delta: {}, mask: {needs: delta}, mask-loose: {kind: mask, needs: delta}"));
    x->request.node = "mask-lose";
    must_refuse(
        x, ERR_CONFIG,
        "--node 'mask-lose' is not in the config; did you mean 'mask-loose'?; it has these masks: mask, mask-loose");
    x->request.node = "detla";
    must_refuse(x, ERR_CONFIG, "did you mean 'delta'?; it has these masks");
    x->request.node = "delta";
    must_refuse(x, ERR_CONFIG,
                "--node 'delta' is of kind delta, not mask; s.yaml has these masks: mask, mask-loose");
    x->request.cell = "f/a/1";
    must_refuse(x, ERR_CONFIG, "--cell 'f/a/1' is not in the config; did you mean 'f/a/0'?");
    read_study(x, STUDY("delta: {}"));
    must_refuse(x, ERR_CONFIG, "--node 'mask' is not in the config; it has these masks: none");
}

static void not_ready(void **state)
{
    struct fixture *x = *state;
    read_study(x, PLAIN);
    must_refuse(x, ERR_DATA, "is missing; run 'sinew run s.yaml --cell f/a/0' first");
    make(x, NONE);
    must_export(x);
    const char *delta = x->dag.nodes[0].path;
    assert_int_equal(unlink(delta), 0);
    x->request.force = 1;
    must_refuse(x, ERR_DATA, "needs its delta, "); /* the mask itself is fresh */
    read_study(x, STUDY("delta: {}, mask: {}"));
    make(x, NONE);
    x->request.force = 1;
    must_refuse(x, ERR_DATA, "mask of f/a/0 needs its delta, which lists the parameters that were left out");
}

static void contents(void **state)
{
    struct fixture *x = *state;
    struct safetensors s;
    struct bench *b = &x->bench;
    read_study(x, PLAIN);
    make(x, NONE);
    for (int bits = 0; bits < 2; bits++) {
        unsigned char bytes[PARAMETERS];
        x->request.format = bits ? EXPORT_BITS : EXPORT_BYTES;
        x->request.force = bits;
        must_export(x);
        assert_int_equal(safetensors_open(&s, x->request.to, &b->arena, &b->err), ERR_OK);
        assert_int_equal(s.ntensors, 3);
        assert_string_equal(safetensors_metadata(&s, "skipped"),
                            "{\"s\\\"1\\\"\":\"for a \\\"reason\\\"; and \\\\ again\"}");
        assert_string_equal(safetensors_metadata(&s, "updated"), "7");
        assert_string_equal(safetensors_metadata(&s, "tolerance"), "1e-05");
        assert_int_equal(bits, safetensors_metadata(&s, "shapes") != NULL);
        if (bits)
            assert_string_equal(safetensors_metadata(&s, "shapes"), "{\"a\":[3,5],\"b\":[70],\"c\":[0,4]}");
        FILE *f = fopen(x->request.to, "rb");
        assert_non_null(f);
        assert_int_equal(fseek(f, (long)s.data_start, SEEK_SET), 0);
        size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        if (bits) {
            assert_int_equal(n, 2 + 9);
            assert_memory_equal(bytes, "\x05\x40\x01\0\0\0\0\0\0\x80\x21", 11);
            continue;
        }
        assert_int_equal(n, PARAMETERS);
        for (int i = 0; i < PARAMETERS; i++)
            assert_int_equal(bytes[i],
                             i == 0 || i == 2 || i == 14 || i == 15 || i == 78 || i == 79 || i == 84);
    }
}

/* Artifacts that are fresh by their keys and do not fit together: refused, and what was there stays. */
static void defects(void **state)
{
    struct fixture *x = *state;
    static const char *const says[DEFECTS] = {
        [FEW_WORDS] = "the mask has 2 words, its tensors take 3",
        [NO_WORDS] = "cannot open dataset /mask",
        [NO_ROW] = "table sparsity does not fit the mask's tensors",
        [OTHER_PARAMETERS] = "table sparsity does not fit the mask's tensors",
        [OTHER_COUNT] = "the mask has 7 bits set, its table sparsity says 8; delete it and run",
        [NO_CRITERION] = "cannot read attribute criterion",
        [NO_TENSORS] = "cannot open table tables/compared",
    };
    read_study(x, PLAIN);
    make(x, NONE);
    must_export(x);
    struct file_stamp before, after;
    assert_int_equal(file_stamp_of(x->request.to, &before), 1);
    x->request.force = 1;
    for (int defect = NONE + 1; defect < DEFECTS; defect++) {
        make(x, (enum defect)defect);
        must_refuse(x, ERR_DATA, says[defect]);
        assert_int_equal(file_stamp_of(x->request.to, &after), 1);
        assert_true(file_stamp_same(&before, &after));
    }
}

static void targets(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    char *header, path[200];
    int64_t n;
    read_study(x, PLAIN);
    make(x, NONE);
    must_export(x);
    must_refuse(x, ERR_CONFIG, "is there; give --force to overwrite it");
    x->request.force = 1;
    must_export(x);
    x->request.to = b->folder;
    must_refuse(x, ERR_CONFIG, "is there and no file");
    /* somebody's weights: not even with --force */
    snprintf(path, sizeof path, "%s/weights.safetensors", b->folder);
    assert_int_equal(safetensors_header(NULL, 0, NULL, 0, &b->arena, &header, &n, &b->err), ERR_OK);
    assert_int_equal(file_write(path, header, n, &b->err), ERR_OK);
    x->request.to = path;
    must_refuse(x, ERR_CONFIG, "holds tensors that sinew did not export");
    assert_int_equal(file_write(path, "no weights", 10, &b->err), ERR_OK);
    must_export(x);
    x->request.to = in_folder(x, "no/such/folder.safetensors");
    must_refuse(x, ERR_SYSTEM, "cannot be created");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(formats), TEST(which_node), TEST(not_ready), TEST(contents), TEST(defects), TEST(targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
