/* Tensors that follow from others: views, joins and casts, of stored, cut-up and decoded tensors and of each
 * other, against a reference that takes each element by itself; in any ranges, and again from a catalogue. */
#include "unitlib.h"

#include "hdf5/digest.h"
#include "formats/catalogue.h"
#include "formats/checkpoint.h"
#include "formats/decoders/scaled.h"
#include "formats/decoders/view.h"
#include "formats/safetensors/safetensors.h"
#include "hdf5/table.h"

enum { HEADS = 3, HALF = 5, COLS = 130, ROWS = HEADS * 2 * HALF, MOST = 97 };

struct world {
    struct bench bench;
    char path[250];
    struct checkpoint c;
    float *plain;     /* ROWS x COLS */
    uint8_t *codes;   /* the same of FP8 */
    uint16_t *number; /* what the codes are, as bf16 */
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct world), WITH_FOLDER) != 0)
        return -1;
    struct world *w = *state;
    struct stored_tensor t[] = {
        {.name = "f.weight", .dtype = DTYPE_F32, .ndim = 2, .dims = {ROWS, COLS}},
        {.name = "q.weight", .dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {ROWS, COLS}},
        {.name = "q.weight_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {1, 2}}};
    static const float scales[] = {0.037f, 1.7f};
    uint64_t seed = 5;
    int64_t n = ROWS * COLS;
    w->plain = malloc((size_t)n * sizeof *w->plain);
    w->codes = malloc((size_t)n);
    w->number = malloc((size_t)n * sizeof *w->number);
    for (int64_t i = 0; i < n; i++) {
        w->plain[i] = (float)(int64_t)(next_random(&seed) % 2000003) * 0x1p-17f - 7;
        w->codes[i] = (uint8_t)next_random(&seed) & 0xbe;
        w->number[i] = bf16_from_float(codes_value(CODES_E4M3, w->codes[i]) * scales[i % COLS / 128]);
    }
    const void *const bytes[] = {w->plain, w->codes, scales};
    snprintf(w->path, sizeof w->path, "%s/model.safetensors", w->bench.folder);
    h5_start();
    return model_write(w->path, t, 3, bytes, NULL, 0, &w->bench.arena, &w->bench.err) ||
           checkpoint_open(&w->c, w->bench.folder, NULL, &w->bench.arena, &w->bench.err) != ERR_OK;
}

static int teardown(void **state)
{
    struct world *w = *state;
    checkpoint_close(&w->c);
    free(w->plain);
    free(w->codes);
    free(w->number);
    return bench_delete(state);
}

static struct stored_tensor named(const char *name, int64_t rows, int64_t cols)
{
    return (struct stored_tensor){.name = name,
                                  .ndim = 2,
                                  .dims = {rows, cols},
                                  .elements = rows * cols,
                                  .layer = -1,
                                  .module = "m",
                                  .file = STORED_NOWHERE};
}

/* Element k of t against want(k), in ranges of every length up to MOST. */
static void check(struct world *w, struct checkpoint *c, const struct stored_tensor *t,
                  uint32_t (*want)(const struct world *, int64_t))
{
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, MOST), .most = MOST};
    int64_t width = dtype_bits(decoder_type(t)) / 8;
    unsigned char out[4 * MOST];
    s.v = calloc(1, (size_t)s.bytes + 1);
    for (int64_t first = 0, n = 1; first < t->elements; first += n, n = n % MOST + 1) {
        n = n < t->elements - first ? n : t->elements - first;
        if (checkpoint_numbers(c, t, first, n, &s, out, &w->bench.err) != ERR_OK)
            fail_msg("%s", w->bench.err.text);
        for (int64_t i = 0; i < n; i++) {
            uint32_t got = 0;
            memcpy(&got, out + i * width, (size_t)width);
            if (got != want(w, first + i))
                fail_msg("%s: element %lld: 0x%x, expected 0x%x", t->name, (long long)(first + i), got,
                         want(w, first + i));
        }
    }
    free(s.v);
}

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* Rows as torchtitan and Hugging Face order a rotary projection: [heads, half, 2] against [heads, 2, half].
 */
static int64_t permuted(int64_t k)
{
    int64_t row = k / COLS, head = row / (2 * HALF), within = row % (2 * HALF);
    return (head * 2 * HALF + within % 2 * HALF + within / 2) * COLS + k % COLS;
}

static const struct view_shape permutation = {
    4, 0, {HEADS, HALF, 2, COLS}, {2 * HALF * COLS, COLS, HALF *COLS, 1}};
static const struct view_shape transpose = {2, 0, {COLS, ROWS}, {1, COLS}};
static const struct view_shape slice = {2, 7 * COLS + 11, {9, 101}, {COLS, 1}};

static uint32_t want_permuted(const struct world *w, int64_t k)
{
    return bits(w->plain[permuted(k)]);
}

static uint32_t want_permuted_codes(const struct world *w, int64_t k)
{
    return w->number[permuted(k)];
}

static uint32_t want_transposed(const struct world *w, int64_t k)
{
    return bits(w->plain[k % ROWS * COLS + k / ROWS]);
}

static uint32_t want_slice(const struct world *w, int64_t k)
{
    return bits(w->plain[(7 + k / 101) * COLS + 11 + k % 101]);
}

static uint32_t want_slice_codes(const struct world *w, int64_t k)
{
    return w->number[(7 + k / 101) * COLS + 11 + k % 101];
}

/* The slice of the codes, the codes permuted, the slice again. */
static uint32_t want_joined(const struct world *w, int64_t k)
{
    int64_t n = 9 * 101, all = ROWS * COLS;
    return k < n         ? want_slice_codes(w, k)
           : k < n + all ? want_permuted_codes(w, k - n)
                         : want_slice_codes(w, k - n - all);
}

static uint32_t want_cast(const struct world *w, int64_t k)
{
    return bf16_from_float(w->plain[k]);
}

enum { PERMUTED, TRANSPOSED, SLICE, PERMUTED_CODES, SLICE_CODES, JOINED, CAST, KINDS };
static uint32_t (*const wanted[KINDS])(const struct world *, int64_t) = {
    want_permuted,    want_transposed, want_slice, want_permuted_codes,
    want_slice_codes, want_joined,     want_cast};

/* All of them in one list, of which the checkpoint's own tensors are only the sources. */
static void derive(struct world *w, struct stored_tensor *t)
{
    struct arena *a = &w->bench.arena;
    struct err *e = &w->bench.err;
    const struct stored_tensor *f = checkpoint_find(&w->c, "f.weight"),
                               *q = checkpoint_find(&w->c, "q.weight");
    t[PERMUTED] = named("a", ROWS, COLS);
    t[TRANSPOSED] = named("b", COLS, ROWS);
    t[SLICE] = named("c", 9, 101);
    t[PERMUTED_CODES] = named("d", ROWS, COLS);
    t[SLICE_CODES] = named("e", 9, 101);
    t[JOINED] = named("f", 1, 2 * 9 * 101 + ROWS * COLS);
    assert_int_equal(view_make(&t[PERMUTED], f, &permutation, a, e), ERR_OK);
    assert_int_equal(view_make(&t[TRANSPOSED], f, &transpose, a, e), ERR_OK);
    assert_int_equal(view_make(&t[SLICE], f, &slice, a, e), ERR_OK);
    assert_int_equal(view_make(&t[PERMUTED_CODES], q, &permutation, a, e), ERR_OK);
    assert_int_equal(view_make(&t[SLICE_CODES], q, &slice, a, e), ERR_OK);
    const struct stored_tensor *parts[] = {&t[SLICE_CODES], &t[PERMUTED_CODES], &t[SLICE_CODES]};
    assert_int_equal(join_make(&t[JOINED], parts, 3, a, e), ERR_OK);
    t[CAST] = *f;
    t[CAST].name = "g";
    assert_int_equal(cast_make(&t[CAST], a, e), ERR_OK);
    struct stored_list list = {.ntensors = KINDS, .tensors = t, .nfiles = w->c.nfiles, .files = w->c.files};
    assert_int_equal(decoder_resolve(&list, &w->c.config, a, e), ERR_OK);
}

static void test_ranges(void **state)
{
    struct world *w = *state;
    struct stored_tensor t[KINDS];
    derive(w, t);
    assert_true(!t[TRANSPOSED].decoding && t[TRANSPOSED].strides && !t[SLICE].decoding);
    assert_true(t[PERMUTED].decoding && t[PERMUTED].dtype == DTYPE_F32 && t[JOINED].dtype == DTYPE_BF16);
    for (int i = 0; i < KINDS; i++)
        check(w, &w->c, &t[i], wanted[i]);
}

/* Written down and taken back, with sources that stand in no list. */
static void test_catalogue(void **state)
{
    struct world *w = *state;
    struct stored_tensor t[KINDS];
    struct arena *a = &w->bench.arena;
    struct err *e = &w->bench.err;
    struct checkpoint derived = w->c, read;
    struct h5 *f;
    char path[250];
    snprintf(path, sizeof path, "%s/catalogue.h5", w->bench.folder);
    derive(w, t);
    derived.tensors = t;
    derived.ntensors = KINDS;
    derived.note = "Seven tensors that follow from two.";
    assert_int_equal(h5_create(path, a, &f, e), ERR_OK);
    assert_int_equal(catalogue_write(&derived, f, a, e), ERR_OK);
    assert_int_equal(h5_close(f, e), ERR_OK);
    assert_int_equal(digest_seal(path, a, e), ERR_OK);
    if (catalogue_read(&read, path, a, e) != ERR_OK)
        fail_msg("%s", e->text);
    assert_string_equal(read.note, derived.note);
    assert_int_equal(read.ntensors, KINDS);
    for (int i = 0; i < KINDS; i++) {
        assert_string_equal(read.tensors[i].name, t[i].name);
        check(w, &read, &read.tensors[i], wanted[i]);
    }
    checkpoint_close(&read);
}

static void test_refused(void **state)
{
    struct world *w = *state;
    struct arena *a = &w->bench.arena;
    struct err *e = &w->bench.err;
    const struct stored_tensor *f = checkpoint_find(&w->c, "f.weight"),
                               *q = checkpoint_find(&w->c, "q.weight");
    const struct view_shape bad[] = {
        {2, 1, {ROWS, COLS}, {COLS, 1}},          {2, 0, {ROWS, COLS}, {COLS + 1, 1}},
        {2, -1, {ROWS, COLS}, {COLS, 1}},         {2, 0, {ROWS, COLS}, {COLS, -1}},
        {2, 0, {ROWS, COLS - 1}, {COLS, 1}},      {9, 0, {ROWS, COLS}, {COLS, 1}},
        {2, 0, {ROWS, COLS}, {INT64_MAX / 2, 1}}, {0, 0, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct stored_tensor t = named("t", ROWS, COLS);
        err_clear(e);
        if (view_make(&t, f, &bad[i], a, e) != ERR_DATA)
            fail_msg("view %zu was taken", i);
    }
    const struct stored_tensor *parts[] = {f, q};
    struct stored_tensor t = named("t", 2 * ROWS, COLS), u = named("u", 3 * ROWS, COLS);
    err_clear(e);
    assert_int_equal(join_make(&t, parts, 2, a, e), ERR_DATA);
    parts[1] = f;
    err_clear(e);
    assert_int_equal(join_make(&u, parts, 2, a, e), ERR_DATA);
    err_clear(e);
}

/* The catalogue of one derived tensor, as its tables say. */
struct said {
    const char *decoder, *dtype, *numbers;
    int64_t row, helper;
};

static void write_said(struct world *w, const char *path, const struct said *x)
{
    static const char *const texts[] = {"checkpoint", "format", "simulated",
                                        "note",       "config", "config_problem"};
    struct arena *a = &w->bench.arena;
    struct err *e = &w->bench.err;
    struct table t;
    struct h5 *h;
    assert_int_equal(h5_create(path, a, &h, e), ERR_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(h5_set_text(h, "/", texts[i], "", e), ERR_OK);
    h5_set_int(h, "/", "config_layers", 0, e);
    h5_set_text(h, "/", "copied_head", "", e);
    h5_set_int(h, "/", "config_tied", 0, e);
    h5_set_text(h, "/", "config_type", "", e);
    h5_set_text(h, "/", "quantized", "", e);
    h5_set_int(h, "/", "quantized_integers", 0, e);
    h5_set_int(h, "/", "config_heads", 0, e);
    h5_set_int(h, "/", "config_kv_heads", 0, e);
    table_init(&t, "files", a);
    TABLE_ADD(&t, e, V_TEXT("/here"), V_INT(16), V_INT(0), V_TEXT("0"));
    h5_table_write(h, "files", &t, e);
    for (int k = 0; k < 2; k++) { /* a derived tensor, and below it a stored source */
        table_init(&t, k ? "sources" : "catalogue", a);
        TABLE_ADD(&t, e, V_TEXT("t"), V_TEXT("4"), V_TEXT("F32"), V_INT(-1), V_TEXT(""), V_TEXT("t"),
                  V_INT(4), V_TEXT(k ? "/here" : ""), V_INT(0), V_INT(16), V_TEXT(""));
        h5_table_write(h, k ? "sources" : "catalogue", &t, e);
    }
    table_init(&t, "decodings", a);
    TABLE_ADD(&t, e, V_TEXT("t"), V_INT(x->row), V_TEXT(x->decoder), V_TEXT(x->dtype), V_TEXT(""), V_TEXT(""),
              V_TEXT(x->numbers), V_TEXT(""));
    if (x->decoder)
        h5_table_write(h, "decodings", &t, e);
    table_init(&t, "helpers", a);
    TABLE_ADD(&t, e, V_INT(0), V_INT(x->helper));
    h5_table_write(h, "helpers", &t, e);
    assert_int_equal(h5_close(h, e), ERR_OK);
    assert_int_equal(digest_seal(path, a, e), ERR_OK);
}

/* An artifact is a file like any other. */
static void test_damaged(void **state)
{
    static const char all[] = "1,0,4,0,0,0,0,0,0,0,1";
    static const struct said good = {"view", "F32", all, 0, 1};
    static const struct said bad[] = {
        {"vieW", "F32", all, 0, 1},
        {"view", "F33", all, 0, 1},
        {"view", "BF16", all, 0, 1},
        {"view", "F32", "1,1,4,0,0,0,0,0,0,0,1", 0, 1},
        {"view", "F32", "", 0, 1},
        {"view", "F32", "1,0,4,0,0,0,0,0,0,0,9223372036854775807", 0, 1},
        {"view", "F32", all, 0, 0},
        {"view", "F32", "1,0,4,0,0,0,0,0,0,0,99999999999999999999", 0, 1},
        {"view", "F32", all, 0, 2},
        {"view", "F32", "1,0,4,x", 0, 1},
        {"view", "F32", all, 0, -1},
        {"view", "F32", all, 1, 1},
        {"view", "F32", all, 2, 1},
        {"view", "F32", "1,0,4,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0", 0, 1},
        {"join", "BF16", "", 0, 1},
        {"cast", "BF16", "", 0, 1},
        {"scaled", "BF16", "", 0, 1},
        {NULL, "", "", 0, 1},
    };
    struct world *w = *state;
    struct checkpoint c;
    char path[250];
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        int is_good = i == sizeof bad / sizeof *bad;
        snprintf(path, sizeof path, "%s/%zu.h5", w->bench.folder, i);
        write_said(w, path, is_good ? &good : &bad[i]);
        err_clear(&w->bench.err);
        if (catalogue_read(&c, path, &w->bench.arena, &w->bench.err) != (is_good ? ERR_OK : ERR_DATA))
            fail_msg("case %zu: \"%s\"", i, w->bench.err.text);
        err_clear(&w->bench.err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_catalogue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
