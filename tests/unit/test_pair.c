/* Catalogues and pairs: written and read back, matched by name, refused where they do not match, read in the
 * compare type. */
#include "unitlib.h"

#include "hdf5/digest.h"
#include "compare/pair.h"
#include "formats/catalogue.h"
#include "elements/codes/codes.h"

enum { SIDES = 2, SIDE_TENSORS = 8 };

struct fixture {
    struct bench bench;
    char model[SIDES][250], catalogue[SIDES][250];
    struct pair p;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    h5_start();
    for (int i = 0; i < SIDES; i++) {
        const char *side = i ? "tuned" : "base";
        snprintf(f->model[i], sizeof f->model[i], "%s/%s.safetensors", f->bench.folder, side);
        snprintf(f->catalogue[i], sizeof f->catalogue[i], "%s/%s.h5", f->bench.folder, side);
    }
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pair_close(&f->p);
    return bench_delete(state);
}

/* Writes a checkpoint whose bytes count up from `start`, and its catalogue. */
static void make_side(struct fixture *f, int side, struct stored_tensor *t, int64_t n, unsigned start)
{
    const char *const metadata[] = {"simulated", "for a test"};
    const void *bytes[SIDE_TENSORS];
    struct checkpoint c;
    struct h5 *h;
    assert_true(n <= SIDE_TENSORS);
    for (int64_t i = 0; i < n; i++) {
        int64_t size = dtype_bits(t[i].dtype);
        for (int d = 0; d < t[i].ndim; d++)
            size *= t[i].dims[d];
        unsigned char *content;
        assert_int_equal(arena_array(&f->bench.arena, "content", size / 8, &content, &f->bench.err), ERR_OK);
        for (int64_t k = 0; k < size / 8; k++)
            content[k] = (unsigned char)((unsigned)k + start);
        bytes[i] = content;
    }
    assert_int_equal(model_write(f->model[side], t, n, bytes, metadata, side, &f->bench.arena, &f->bench.err),
                     0);
    assert_int_equal(checkpoint_open(&c, f->model[side], NULL, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_int_equal(h5_create(f->catalogue[side], &f->bench.arena, &h, &f->bench.err), ERR_OK);
    assert_int_equal(catalogue_write(&c, h, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_int_equal(h5_close(h, &f->bench.err), ERR_OK);
    assert_int_equal(digest_seal(f->catalogue[side], &f->bench.arena, &f->bench.err), ERR_OK);
}

static err_t open_pair(struct fixture *f, enum arithmetic arithmetic, struct table *skipped)
{
    err_clear(&f->bench.err);
    static const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    return pair_open(&f->p, f->catalogue[0], f->catalogue[1], arithmetic, &policy, "fam/ppo/0", "delta",
                     skipped, &f->bench.arena, &f->bench.err);
}

static void test_catalogue(void **state)
{
    struct fixture *f = *state;
    struct stored_tensor t[] = {
        {.name = "model.layers.1.up.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {3, 5}},
        {.name = "empty", .dtype = DTYPE_F32, .ndim = 2, .dims = {0, 5}},
        {.name = "scalar", .dtype = DTYPE_F16},
        {.name = "packed", .dtype = DTYPE_F4, .ndim = 1, .dims = {6}},
    };
    make_side(f, 1, t, 4, 0);
    struct checkpoint c, read;
    assert_int_equal(checkpoint_open(&c, f->model[1], NULL, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_int_equal(catalogue_read(&read, f->catalogue[1], &f->bench.arena, &f->bench.err), ERR_OK);
    assert_true(c.ntensors == read.ntensors && c.nfiles == read.nfiles && c.parameters == read.parameters);
    assert_string_equal(c.path, read.path);
    assert_string_equal(c.format, read.format);
    assert_string_equal(read.simulated, "for a test");
    assert_string_equal(c.files[0].path, read.files[0].path);
    assert_true(c.files[0].size_bytes == read.files[0].size_bytes &&
                c.files[0].mtime_ns == read.files[0].mtime_ns);
    assert_true(c.files[0].header_hash == read.files[0].header_hash && read.files[0].fd == -1);
    for (int64_t i = 0; i < c.ntensors; i++) {
        const struct stored_tensor *x = &c.tensors[i], *y = &read.tensors[i];
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->module, y->module);
        assert_true(x->dtype == y->dtype && x->ndim == y->ndim && x->elements == y->elements &&
                    x->layer == y->layer);
        assert_true(x->file == y->file && x->offset_bytes == y->offset_bytes &&
                    x->size_bytes == y->size_bytes);
        assert_memory_equal(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims);
    }
    assert_int_equal(checkpoint_verify(&read, &f->bench.err), ERR_OK);
    make_side(f, 0, t, 1, 0);
    assert_int_equal(catalogue_read(&read, f->catalogue[0], &f->bench.arena, &f->bench.err), ERR_OK);
    assert_null(read.simulated);
    assert_int_not_equal(catalogue_read(&read, f->bench.folder, &f->bench.arena, &f->bench.err), ERR_OK);
}

static void test_read(void **state)
{
    struct fixture *f = *state;
    enum { N = LAYOUT_BLOCK + 100 };
    struct stored_tensor base[] = {{.name = "b", .dtype = DTYPE_BF16, .ndim = 1, .dims = {N}},
                                   {.name = "a", .dtype = DTYPE_F16, .ndim = 2, .dims = {2, 3}},
                                   {.name = "e", .dtype = DTYPE_F32, .ndim = 2, .dims = {7, 0}},
                                   {.name = "ids", .dtype = DTYPE_I64, .ndim = 1, .dims = {3}},
                                   {.name = "half", .dtype = DTYPE_F8_E5M2, .ndim = 1, .dims = {1}},
                                   {.name = "s", .dtype = DTYPE_F32}};
    struct stored_tensor tuned[] = {{.name = "s", .dtype = DTYPE_BF16},
                                    {.name = "ids", .dtype = DTYPE_F32, .ndim = 1, .dims = {3}},
                                    {.name = "half", .dtype = DTYPE_F8_E5M2, .ndim = 1, .dims = {1}},
                                    {.name = "b", .dtype = DTYPE_F32, .ndim = 1, .dims = {N}},
                                    {.name = "a", .dtype = DTYPE_F16, .ndim = 2, .dims = {2, 3}},
                                    {.name = "e", .dtype = DTYPE_F32, .ndim = 2, .dims = {7, 0}}};
    struct table skipped;
    table_init(&skipped, "skipped", &f->bench.arena);
    make_side(f, 0, base, 6, 0);
    make_side(f, 1, tuned, 6, 100);
    assert_int_equal(open_pair(f, ARITHMETIC_BF16, &skipped), ERR_OK);
    assert_int_equal(skipped.nrows, 2);
    assert_string_equal(table_text(&skipped, 0, "tensor"), "half");
    assert_string_equal(table_text(&skipped, 0, "reason"), "type F8_E5M2 is not compared");
    assert_string_equal(table_text(&skipped, 1, "tensor"), "ids");
    assert_string_equal(table_text(&skipped, 1, "reason"),
                        "type I64 in the base is not compared with F32 in the tuned checkpoint");
    assert_string_equal(table_text(&skipped, 1, "cell"), "fam/ppo/0");
    assert_string_equal(table_text(&skipped, 1, "node"), "delta");
    assert_int_equal(table_int(&skipped, 1, "parameters"), 3);
    const struct layout *l = &f->p.match.main.layout;
    const char *const names[] = {"a", "b", "e", "s"};
    assert_int_equal(l->ntensors, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(l->tensors[i].name, names[i]);
    assert_true(l->elements == 6 + N + 0 + 1 && l->nblocks == 1 + 2 + 0 + 1);
    assert_string_equal(l->tensors[1].dtype_base, "BF16");
    assert_string_equal(l->tensors[1].dtype_tuned, "F32");

    for (int arithmetic = 0; arithmetic < ARITHMETIC_COUNT; arithmetic++) {
        if (arithmetic > 0)
            assert_int_equal(open_pair(f, (enum arithmetic)arithmetic, NULL), ERR_OK);
        int bytes = arithmetic_bytes((enum arithmetic)arithmetic);
        char *w0 = malloc((size_t)LAYOUT_BLOCK * 4), *w1 = malloc((size_t)LAYOUT_BLOCK * 4);
        unsigned char raw[400], want[400];
        for (int64_t first = 0; first < N; first += LAYOUT_BLOCK) {
            int64_t n = N - first < LAYOUT_BLOCK ? N - first : LAYOUT_BLOCK;
            assert_int_equal(pair_read(&f->p, 1, first, n, w0, w1, &f->bench.err), ERR_OK);
            for (int k = 0; k < 200; k++)
                raw[k] = (unsigned char)(2 * first + k);
            tensor_to_compare((enum arithmetic)arithmetic, DTYPE_BF16, raw, 100, want);
            assert_memory_equal(w0, want, 100 * (size_t)bytes);
            for (int k = 0; k < 400; k++)
                raw[k] = (unsigned char)(4 * first + k + 100);
            tensor_to_compare((enum arithmetic)arithmetic, DTYPE_F32, raw, 100, want);
            assert_memory_equal(w1, want, 100 * (size_t)bytes);
        }
        for (int k = 0; k < 12; k++)
            raw[k] = (unsigned char)k;
        tensor_to_compare((enum arithmetic)arithmetic, DTYPE_F16, raw, 6, want);
        assert_int_equal(pair_read(&f->p, 0, 0, 6, w0, w1, &f->bench.err), ERR_OK);
        assert_memory_equal(w0, want, 6 * (size_t)bytes);
        assert_int_equal(pair_read(&f->p, 2, 0, 0, w0, w1, &f->bench.err), ERR_OK);
        assert_int_equal(pair_read(&f->p, 3, 0, 1, w0, w1, &f->bench.err), ERR_OK);
        assert_int_equal(pair_read(&f->p, 4, 0, 1, w0, w1, &f->bench.err), ERR_BUG);
        pair_close(&f->p);
        free(w0);
        free(w1);
    }
}

static void expect(struct fixture *f, const char *first, const char *second)
{
    err_t code = open_pair(f, ARITHMETIC_BF16, NULL);
    if (code != ERR_DATA || !strstr(f->bench.err.text, first) || !strstr(f->bench.err.text, second))
        fail_msg("code %d, expected \"%s\" and \"%s\": %s", (int)code, first, second, f->bench.err.text);
    if (getenv("SINEW_TEST_SHOW"))
        print_message("%s\n", f->bench.err.text);
    err_clear(&f->bench.err);
}

/* A side whose numbers are decoded against one that says them itself, either way round. */
static void test_one_side_decoded(void **state)
{
    struct fixture *f = *state;
    enum { N = 6, START = 60 }; /* of bytes from there on a scale is 0.743... */
    struct stored_tensor coded[] = {{.name = "w", .dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {2, 3}},
                                    {.name = "w_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {1, 1}}};
    struct stored_tensor plain[] = {{.name = "w", .dtype = DTYPE_BF16, .ndim = 2, .dims = {2, 3}}};
    unsigned char bytes[2 * N];
    uint16_t w[SIDES][N], decoded[N], said[N];
    float scale;
    for (int k = 0; k < 2 * N; k++)
        bytes[k] = (unsigned char)(START + k);
    memcpy(&scale, bytes, sizeof scale);
    memcpy(said, bytes, sizeof said);
    codes_decode(ISA_PORTABLE, CODES_E4M3, bytes, N, &scale, N, decoded);
    for (int side = 0; side < SIDES; side++) {
        struct table skipped;
        table_init(&skipped, "skipped", &f->bench.arena);
        make_side(f, side, coded, 2, START);
        make_side(f, !side, plain, 1, START);
        assert_int_equal(open_pair(f, ARITHMETIC_BF16, &skipped), ERR_OK);
        assert_int_equal(skipped.nrows, 1);
        assert_string_equal(table_text(&skipped, 0, "reason"), "scale of w");
        assert_int_equal(pair_read(&f->p, 0, 0, N, w[0], w[1], &f->bench.err), ERR_OK);
        assert_memory_equal(w[side], decoded, sizeof decoded);
        assert_memory_equal(w[!side], said, sizeof said);
        pair_close(&f->p);
    }
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct stored_tensor abc[] = {{.name = "a", .dtype = DTYPE_BF16, .ndim = 2, .dims = {2, 3}},
                                  {.name = "b", .dtype = DTYPE_BF16, .ndim = 1, .dims = {4}},
                                  {.name = "c", .dtype = DTYPE_BF16, .ndim = 1, .dims = {4}}};
    struct stored_tensor other[] = {{.name = "a", .dtype = DTYPE_BF16, .ndim = 2, .dims = {3, 2}},
                                    {.name = "b", .dtype = DTYPE_BF16, .ndim = 1, .dims = {4}},
                                    {.name = "d", .dtype = DTYPE_BF16, .ndim = 1, .dims = {4}}};
    struct stored_tensor ids = {.name = "ids", .dtype = DTYPE_I64, .ndim = 1, .dims = {4}};
    make_side(f, 0, abc, 3, 0);
    make_side(f, 1, abc, 1, 0);
    expect(f, "tensor b is in the base checkpoint", "in the base only: 2, in the tuned only: 0");
    make_side(f, 0, abc, 2, 0);
    make_side(f, 1, abc, 3, 0);
    expect(f, "tensor c is in the tuned checkpoint", "in the base only: 0, in the tuned only: 1");
    make_side(f, 0, abc, 3, 0);
    make_side(f, 1, other, 3, 0);
    expect(f, "tensor c is in the base checkpoint", "in the base only: 1, in the tuned only: 1");
    make_side(f, 0, abc, 1, 0);
    make_side(f, 1, other, 1, 0);
    expect(f, "tensor a: shape 2x3 in the base checkpoint", ", 3x2 in the tuned checkpoint");
    make_side(f, 0, &ids, 1, 0);
    make_side(f, 1, &ids, 1, 0);
    expect(f, "nothing to compare", "tuned.safetensors");

    make_side(f, 0, abc, 2, 0);
    make_side(f, 1, abc, 2, 0);
    assert_int_equal(open_pair(f, ARITHMETIC_BF16, NULL), ERR_OK);
    assert_int_equal(truncate(f->model[1], 150), 0);
    expect(f, "tuned.safetensors: changed since it was catalogued", "run sinew run again");
    unlink(f->model[0]);
    expect(f, "base.safetensors: was catalogued, but cannot be found now", "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_catalogue),
        TEST(test_read),
        TEST(test_one_side_decoded),
        TEST(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
