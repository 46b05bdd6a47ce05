/* Files of logits: hostile .npy and llama.cpp headers, each with its verdict and message; tiny files of each
 * format read back to the bit; what a folder offers. */
#include "unitlib.h"

#include "formats/logits/logits.h"
#include "formats/logits/npy.h"

#include <math.h>

struct fixture {
    struct bench bench;
    char path[250];
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/logits.bin", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    unlink(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void expect_text(const char *what, const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", what, text, part);
}

/* ---- .npy headers ---- */

/* Magic, version and length are put before the text; data_bytes follow. */
static const struct header {
    const char *what, *text;
    int major, minor;
    int64_t announced, data_bytes; /* announced -1: as long as the text */
    const char *message;           /* NULL: fine */
} headers[] = {
    {"numpy's own", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", 1, 0, -1, 24, NULL},
    {"version 2", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n", 2, 0, -1, 48, NULL},
    {"version 3", "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n", 3, 0, -1, 12, NULL},
    {"another order, other quotes", "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", 1, 0, -1,
     24, NULL},
    {"one dimension", "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }", 1, 0, -1, 40, NULL},
    {"one dimension has no order", "{'descr': '<f8', 'fortran_order': True, 'shape': (5,), }", 1, 0, -1, 40,
     NULL},
    {"bfloat16 of ml_dtypes", "{'descr': '<V2', 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 12,
     NULL},
    {"the same, read and written again", "{'descr': '|V2', 'fortran_order': False, 'shape': (2, 3), }", 1, 0,
     -1, 12, NULL},
    {"four bytes of nothing", "{'descr': '|V4', 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 24,
     "'|V4'"},
    {"scalar", "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 1, 0, -1, 8, NULL},
    {"empty", "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9223372036854775807), }", 1, 0, -1, 0,
     NULL},
    {"long integers of Python 2", "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", 1, 0, -1,
     24, NULL},
    {"Fortran order", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 1, 0, -1, 24, "Fortran"},
    {"big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 24, "'>f4'"},
    {"integers", "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 48, "'<i8'"},
    {"a pickle", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 48, "'|O'"},
    {"structured", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", 1, 0, -1, 24,
     "found [('a', '<f4')]"},
    {"an expression", "{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (1,)}", 1, 0,
     -1, 8, "found __import__"},
    {"an escape", "{'descr': '<\\x66' , 'fortran_order': False, 'shape': (1,)}", 1, 0, -1, 8, "'descr'"},
    {"unclosed text", "{'descr': '<f4", 1, 0, -1, 8, "'descr'"},
    {"unclosed map", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", 1, 0, -1, 24,
     "found the end"},
    {"unclosed tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", 1, 0, -1, 24,
     "found the end"},
    {"no comma", "{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}", 1, 0, -1, 24, "a comma or }"},
    {"no comma in shape", "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", 1, 0, -1, 24, "comma"},
    {"a number is no tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}", 1, 0, -1, 24, "comma"},
    {"a list is no tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': [6]}", 1, 0, -1, 24, "tuple"},
    {"comma alone", "{,}", 1, 0, -1, 0, "a key in quotes"},
    {"nested", "{'shape': ((((((((", 1, 0, -1, 0, "an integer"},
    {"negative", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", 1, 0, -1, 24, "found -2"},
    {"real", "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 3)}", 1, 0, -1, 24, "found .0"},
    {"beyond 64 bits", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}", 1, 0,
     -1, 24, "64 bits"},
    {"product overflows", "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", 1, 0,
     -1, 24, "overflows"},
    {"bytes overflow", "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693951,)}", 1, 0, -1,
     24, "overflows"},
    {"nine dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}", 1,
     0, -1, 4, "more than 8"},
    {"missing key", "{'descr': '<f4', 'shape': (2, 3)}", 1, 0, -1, 24, "fortran_order"},
    {"key twice", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (2, 3)}", 1, 0, -1, 24,
     "twice"},
    {"unknown key", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", 1, 0, -1, 24,
     "'more'"},
    {"text behind", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x", 1, 0, -1, 24,
     "nothing behind"},
    {"too short", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 1, 0, -1, 23, "truncated"},
    {"too long", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 1, 0, -1, 25, "behind"},
    {"huge and not there", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}", 1, 0, -1,
     24, "truncated"},
    {"length beyond the file", "{'descr': '<f4'", 1, 0, 60000, 0, "truncated within its header"},
    {"length of 4 GiB", "{'descr': '<f4'", 2, 0, 0xffffffff, 0, "expected at most 65535"},
    {"length 0", "", 1, 0, 0, 0, "expected {"},
    {"version 0", "{}", 0, 0, -1, 0, "version 0.0"},
    {"version 4", "{}", 4, 0, -1, 0, "version 4.0"},
    {"version 1.1", "{}", 1, 1, -1, 0, "version 1.1"},
};

static size_t build_npy(const struct header *h, unsigned char *out)
{
    size_t n = strlen(h->text), start = h->major > 1 ? 12 : 10;
    uint32_t length = h->announced < 0 ? (uint32_t)n : (uint32_t)h->announced;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)h->major;
    out[7] = (unsigned char)h->minor;
    for (size_t i = 8; i < start; i++)
        out[i] = (unsigned char)(length >> 8 * (i - 8));
    memcpy(out + start, h->text, n);
    memset(out + start + n, 0, (size_t)h->data_bytes);
    return start + n + (size_t)h->data_bytes;
}

static void test_npy_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const struct header *h = &headers[i];
        unsigned char built[1024];
        size_t n = build_npy(h, built);
        unsigned char *exact = malloc(n); /* so that a sanitizer sees a byte too far */
        struct npy npy;
        struct err e;
        assert_non_null(exact);
        memcpy(exact, built, n);
        err_clear(&e);
        err_t code = npy_parse(&npy, "x.npy", exact, (int64_t)n, (int64_t)n, &e);
        if (code != (h->message ? ERR_DATA : ERR_OK))
            fail_msg("%s: %s", h->what, e.text);
        if (h->message)
            expect_text(h->what, e.text, h->message);
        free(exact);
    }
}

/* Every beginning of a good file is refused, with no byte read behind it. */
static void test_npy_cut_anywhere(void **state)
{
    (void)state;
    unsigned char built[1024];
    size_t all = build_npy(&headers[0], built);
    for (size_t n = 0; n < all; n++) {
        unsigned char *exact = malloc(n + 1);
        struct npy npy;
        struct err e;
        assert_non_null(exact);
        memcpy(exact, built, n);
        err_clear(&e);
        assert_int_equal(npy_parse(&npy, "x.npy", exact, (int64_t)n, (int64_t)n, &e), ERR_DATA);
        free(exact);
    }
}

/* ---- llama.cpp headers ---- */

static void put(unsigned char *out, int at, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        out[at + i] = (unsigned char)(x >> 8 * i);
}

static const struct llama_header {
    const char *what;
    uint32_t context, vocabulary, chunks;
    int64_t file_bytes;
    const char *message; /* NULL: fine */
} llama_headers[] = {
    /* 20 + 4 * 2 * 5 tokens + 2 * 2 rows of 2 * (4 + 6) bytes */
    {"odd vocabulary", 5, 5, 2, 20 + 40 + 80, NULL},
    {"even vocabulary", 5, 6, 2, 20 + 40 + 80, NULL},
    {"even context", 6, 6, 2, 20 + 48 + 80, NULL},
    {"the least", 3, 1, 1, 20 + 12 + 12, NULL},
    {"a byte short", 5, 5, 2, 20 + 40 + 79, "expected 140 bytes"},
    {"one chunk short", 5, 5, 2, 20 + 40 + 40, "1 chunks are complete"},
    {"no rows", 5, 5, 2, 20 + 40, "found 60: 0 chunks are complete"},
    {"tokens cut", 5, 5, 2, 30, "0 chunks are complete"},
    {"header alone", 5, 5, 2, 20, "expected 140 bytes"},
    {"a byte long", 5, 5, 2, 20 + 40 + 81, "longer"},
    {"no context", 0, 5, 2, 100, "context 0"},
    {"context without rows", 2, 5, 2, 100, "context 2"},
    {"negative context", 0xffffffff, 5, 2, 100, "context -1"},
    {"no vocabulary", 5, 0, 2, 100, "vocabulary 0"},
    {"negative vocabulary", 5, 0x80000000, 2, 100, "vocabulary -2147483648"},
    {"no chunks", 5, 5, 0, 100, "0 chunks"},
    {"all as large as can be", 0x7fffffff, 0x7fffffff, 0x7fffffff, 100, "overflows"},
    {"large", 0x7fffffff, 2, 0x7fffffff, 100, "overflows"},
};

static void test_llama_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof llama_headers / sizeof *llama_headers; i++) {
        const struct llama_header *h = &llama_headers[i];
        unsigned char head[LLAMA_HEADER] = "_logits_";
        struct llama llama;
        struct err e;
        put(head, 8, h->context);
        put(head, 12, h->vocabulary);
        put(head, 16, h->chunks);
        err_clear(&e);
        err_t code = llama_parse(&llama, "x.kld", head, LLAMA_HEADER, h->file_bytes, &e);
        if (code != (h->message ? ERR_DATA : ERR_OK))
            fail_msg("%s: %s", h->what, e.text);
        if (h->message)
            expect_text(h->what, e.text, h->message);
        for (int64_t n = 0; n < LLAMA_HEADER; n++) {
            err_clear(&e);
            assert_int_equal(llama_parse(&llama, "x.kld", head, n, n, &e), ERR_DATA);
        }
    }
}

static void test_llama_rows(void **state)
{
    (void)state;
    static const struct {
        float scale, lowest;
        const char *message;
    } scales[] = {
        {0, 0, NULL},
        {1e-4f, -8, NULL},
        {16 / 65535.f, -16.5f, NULL},
        {NAN, -8, "NaN"},
        {1e-4f, NAN, "NaN"},
        {INFINITY, -8, "none that llama.cpp writes"},
        {-1e-4f, -8, "none that llama.cpp writes"},
        {1, -8, "none that llama.cpp writes"},
        {1e-4f, 3, "none that llama.cpp writes"},
        {1e-4f, -INFINITY, "none that llama.cpp writes"},
    };
    const struct llama h = {.vocabulary = 3};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        uint16_t row[8] = {0, 0, 0, 0, 0, 1, 65535, 9999};
        double out[3] = {0};
        memcpy(row, &scales[i].scale, 4);
        memcpy(row + 2, &scales[i].lowest, 4);
        const char *fault = llama_row(&h, row, out);
        if (scales[i].message) {
            assert_non_null(fault);
            expect_text("row", fault, scales[i].message);
            continue;
        }
        assert_null(fault);
        double s = scales[i].scale, low = scales[i].lowest;
        /* Only a row that spans the whole range has cut entries. */
        assert_true(i == 2 ? out[0] == -INFINITY : out[0] == low);
        assert_true(out[1] == low + s && out[2] == low + 65535 * s);
    }
}

/* ---- files ---- */

static void open_fine(struct fixture *f, struct logits *l, const char *path)
{
    if (logits_open(l, path, &f->bench.arena, &f->bench.err) != ERR_OK)
        fail_msg("%s", f->bench.err.text);
}

static void test_llama_file(void **state)
{
    struct fixture *f = *state;
    struct {
        char magic[8];
        int32_t head[3], tokens[10];
        struct {
            float scale, lowest;
            uint16_t codes[4];
        } rows[4];
    } file = {.magic = "_logits_", .head = {5, 3, 2}, .tokens = {10, 11, 12, 1, 2, 20, 21, 22, 0, 1}};
    _Static_assert(sizeof file == 8 + 12 + 40 + 4 * 16, "no padding");
    memcpy(file.magic, "_logits_", 8);
    for (int i = 0; i < 4; i++) {
        file.rows[i].scale = 1e-4f;
        file.rows[i].lowest = -2;
        for (int j = 0; j < 4; j++)
            file.rows[i].codes[j] = (uint16_t)(1000 * i + j);
    }
    write_file(f->path, &file, sizeof file);
    struct logits l;
    open_fine(f, &l, f->path);
    assert_string_equal(l.format, "llama.cpp");
    assert_int_equal(l.tokens, 4);
    assert_int_equal(l.vocabulary, 3);
    assert_true(l.has_ids && !l.has_mask);
    assert_int_equal(logits_reserve(&l, 4, &f->bench.arena, &f->bench.err), ERR_OK);
    double out[12];
    int64_t ids[4];
    assert_int_equal(logits_read(&l, 0, 4, out, &f->bench.err), ERR_OK);
    for (int i = 0; i < 12; i++)
        assert_true(out[i] == -2 + (double)1e-4f * (1000 * (i / 3) + i % 3));
    /* Rows stand for tokens 2 and 3 of a chunk; what was drawn are tokens 3 and 4. */
    assert_int_equal(logits_read_ids(&l, 0, 4, ids, &f->bench.err), ERR_OK);
    assert_true(ids[0] == 1 && ids[1] == 2 && ids[2] == 0 && ids[3] == 1);
    assert_int_equal(logits_read_ids(&l, 1, 2, ids, &f->bench.err), ERR_OK);
    assert_true(ids[0] == 2 && ids[1] == 0);
    char where[64];
    assert_string_equal(logits_position(&l, 3, where, sizeof where), "chunk 1 token 3");
    assert_int_equal(logits_read(&l, 1, 4, out, &f->bench.err), ERR_BUG);
    logits_close(&l);
    logits_close(&l);

    err_clear(&f->bench.err);
    write_file(f->path, &file, sizeof file - 1);
    assert_int_equal(logits_open(&l, f->path, &f->bench.arena, &f->bench.err), ERR_DATA);
    expect_text("truncated", f->bench.err.text, "expected 124 bytes");
    expect_text("truncated", f->bench.err.text, "found 123: 1 chunks are complete");
    logits_close(&l);
}

static void test_npy_file(void **state)
{
    struct fixture *f = *state;
    unsigned char built[1024];
    size_t n = build_npy(&headers[0], built);
    const float x[6] = {1, -INFINITY, 3, -0.5f, NAN, INFINITY};
    memcpy(built + n - sizeof x, x, sizeof x);
    write_file(f->path, built, n);
    struct logits l;
    open_fine(f, &l, f->path);
    assert_string_equal(l.format, ".npy");
    assert_true(l.tokens == 2 && l.vocabulary == 3 && l.per_sequence == 0 && !l.has_ids && !l.has_mask);
    assert_int_equal(logits_reserve(&l, 1, &f->bench.arena, &f->bench.err), ERR_OK);
    double out[3];
    assert_int_equal(logits_read(&l, 0, 1, out, &f->bench.err), ERR_OK);
    assert_true(out[0] == 1 && out[1] == -INFINITY && out[2] == 3);
    assert_int_equal(logits_read(&l, 1, 1, out, &f->bench.err), ERR_OK);
    assert_true(out[0] == -0.5 && isnan(out[1]) && out[2] == INFINITY);
    assert_int_equal(logits_verify(&l, &f->bench.err), ERR_OK);
    write_file(f->path, built, n);
    assert_int_equal(logits_verify(&l, &f->bench.err), ERR_DATA);
    logits_close(&l);
}

/* Rows in any order, announced or not, are the file's, whatever the reader's blocks; what was announced
 * is read ahead. */
static void test_read_ahead(void **state)
{
    enum { ROWS = 300, WIDTH = 700, AT_ONCE = 7 };
    static const int64_t blocks[] = {4096, 20000, 1 << 20};
    struct fixture *f = *state;
    struct bench *b = &f->bench;
    struct err *e = &b->err;
    struct header h = {"", "", 1, 0, -1, (int64_t)ROWS * WIDTH * 4, NULL};
    char text[100];
    snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", ROWS, WIDTH);
    h.text = text;
    unsigned char *built = malloc(1024 + (size_t)h.data_bytes);
    assert_non_null(built);
    size_t n = build_npy(&h, built);
    float *x = malloc((size_t)h.data_bytes);
    assert_non_null(x);
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = (float)i;
    memcpy(built + n - h.data_bytes, x, (size_t)h.data_bytes);
    write_file(f->path, built, n);
    for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++)
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
            for (int jump = 0; jump < 2; jump++) {
                struct logits l;
                open_fine(f, &l, f->path);
                size_t before = b->mem.live_bytes;
                assert_int_equal(logits_reserve(&l, AT_ONCE, &b->arena, e), ERR_OK);
                assert_int_equal(
                    logits_read_by(&l, &(struct readahead_setting){mode, blocks[k]}, &b->arena, e), ERR_OK);
                logits_expect(&l, 3, ROWS - 1);
                for (int64_t first = 3, m; first < ROWS; first += m + (jump && first % 3 ? 40 : 0)) {
                    m = ROWS - first < AT_ONCE ? ROWS - first : AT_ONCE;
                    enum dtype type;
                    const void *rows;
                    assert_int_equal(logits_rows(&l, first, m, NULL, &type, &rows, e), ERR_OK);
                    assert_memory_equal(rows, x + first * WIDTH, (size_t)(m * WIDTH) * sizeof *x);
                    if (jump && first > 200) { /* and back once */
                        assert_int_equal(logits_rows(&l, 0, 1, NULL, &type, &rows, e), ERR_OK);
                        assert_memory_equal(rows, x, WIDTH * sizeof *x);
                    }
                }
                assert_int_equal(logits_read_by(&l, NULL, &b->arena, e), ERR_OK);
                assert_int_equal(logits_reserve(&l, 0, &b->arena, e), ERR_OK);
                assert_int_equal(b->mem.live_bytes, before);
                logits_close(&l);
            }
    /* How soon the threads run is the system's affair: they get more and more time. */
    int64_t fetched = 0;
    for (unsigned pause = 1; fetched == 0 && pause < 2000000; pause *= 2) {
        struct logits l;
        enum dtype type;
        const void *rows;
        open_fine(f, &l, f->path);
        assert_int_equal(logits_reserve(&l, AT_ONCE, &b->arena, e), ERR_OK);
        assert_int_equal(logits_read_by(&l, &(struct readahead_setting){READ_THREAD, 1 << 20}, &b->arena, e),
                         ERR_OK);
        logits_expect(&l, 0, ROWS);
        assert_int_equal(logits_rows(&l, 0, AT_ONCE, NULL, &type, &rows, e), ERR_OK);
        usleep(pause);
        assert_int_equal(logits_rows(&l, AT_ONCE, AT_ONCE, NULL, &type, &rows, e), ERR_OK);
        fetched = readahead_fetched(l.reader);
        logits_close(&l);
    }
    assert_true(fetched > 0);
    free(x);
    free(built);
}

static void write_h5(struct fixture *f, const char *path, const char *name, enum h5_type type, int ndim,
                     const int64_t *dims, const void *bytes, int64_t elements)
{
    struct h5 *h;
    struct h5_bulk *d;
    struct err *e = &f->bench.err;
    unlink(path);
    assert_int_equal(h5_create(path, &f->bench.arena, &h, e), ERR_OK);
    assert_int_equal(h5_array(h, name, type, ndim, dims, &d, e), ERR_OK);
    if (elements > 0)
        assert_int_equal(h5_array_put_rows(d, 0, dims[0], bytes, e), ERR_OK);
    assert_int_equal(h5_close(h, e), ERR_OK);
}

static void test_hdf5_file(void **state)
{
    struct fixture *f = *state;
    const int64_t dims[3] = {2, 3, 2};
    uint16_t bits[12];
    for (int i = 0; i < 12; i++)
        bits[i] = bf16_from_float((float)i - 5);
    snprintf(f->path, sizeof f->path, "%s/logits.h5", f->bench.folder);
    write_h5(f, f->path, "logits", H5_BF16, 3, dims, bits, 12);
    struct logits l;
    open_fine(f, &l, f->bench.folder);
    assert_string_equal(l.format, "HDF5");
    assert_string_equal(l.path, f->path);
    assert_true(l.tokens == 6 && l.vocabulary == 2 && l.per_sequence == 3 && l.row_bytes == 4);
    assert_int_equal(logits_reserve(&l, 6, &f->bench.arena, &f->bench.err), ERR_OK);
    /* Every range of rows, across sequences. */
    for (int first = 0; first <= 6; first++)
        for (int n = 0; n <= 6 - first; n++) {
            double out[12];
            assert_int_equal(logits_read(&l, first, n, out, &f->bench.err), ERR_OK);
            for (int i = 0; i < 2 * n; i++)
                assert_true(out[i] == 2 * first + i - 5);
        }
    char where[64];
    assert_string_equal(logits_position(&l, 4, where, sizeof where), "sequence 1 token 1");
    logits_close(&l);

    /* Announced, but never written: no values are made up. */
    write_h5(f, f->path, "logits", H5_REAL32, 3, (const int64_t[]){1000, 1000, 1000}, NULL, 0);
    assert_int_equal(logits_open(&l, f->path, &f->bench.arena, &f->bench.err), ERR_DATA);
    expect_text("unwritten", f->bench.err.text,
                "dataset logits: expected 4000000000 bytes of values, found 0");
    logits_close(&l);

    err_clear(&f->bench.err);
    write_h5(f, f->path, "x", H5_REAL32, 1, (const int64_t[]){1}, bits, 1);
    assert_int_equal(logits_open(&l, f->path, &f->bench.arena, &f->bench.err), ERR_DATA);
    expect_text("nothing in it", f->bench.err.text, "no dataset named logits");
    logits_close(&l);
}

static void test_safetensors_entropies(void **state)
{
    struct fixture *f = *state;
    const double nats[3] = {0.25, 0, 1.5};
    const int32_t ids[3] = {4, 5, 6};
    const uint8_t mask[3] = {1, 0, 7};
    struct stored_tensor t[] = {
        {.name = "entropy", .dtype = DTYPE_F64, .ndim = 1, .dims = {3}},
        {.name = "input_ids", .dtype = DTYPE_I32, .ndim = 1, .dims = {3}},
        {.name = "attention_mask", .dtype = DTYPE_U8, .ndim = 1, .dims = {3}},
    };
    const void *bytes[] = {nats, ids, mask};
    assert_int_equal(model_write(f->path, t, 3, bytes, NULL, 0, &f->bench.arena, &f->bench.err), 0);
    struct logits l;
    open_fine(f, &l, f->path);
    assert_string_equal(l.format, "safetensors");
    assert_true(l.tokens == 3 && l.vocabulary == 0 && l.has_ids && l.has_mask);
    assert_int_equal(logits_reserve(&l, 3, &f->bench.arena, &f->bench.err), ERR_OK);
    double out[3];
    int64_t found[3];
    assert_int_equal(logits_read(&l, 0, 3, out, &f->bench.err), ERR_OK);
    assert_memory_equal(out, nats, sizeof nats);
    assert_int_equal(logits_read_ids(&l, 1, 2, found, &f->bench.err), ERR_OK);
    assert_true(found[0] == 5 && found[1] == 6);
    assert_int_equal(logits_read_mask(&l, 0, 3, found, &f->bench.err), ERR_OK);
    assert_true(found[0] == 1 && found[1] == 0 && found[2] == 1);
    logits_close(&l);
}

static void test_folders_and_strangers(void **state)
{
    struct fixture *f = *state;
    struct err *e = &f->bench.err;
    struct logits l;
    char want[300];
    /* Of an empty folder the first choice is named as missing. */
    assert_int_equal(logits_open(&l, f->bench.folder, &f->bench.arena, e), ERR_DATA);
    expect_text("empty folder", e->text, "/logits.safetensors: cannot be opened");
    logits_close(&l);
    static const char *const names[] = {"logits.npy", "logits.h5", "logits.safetensors"};
    for (int i = 0; i < 3; i++) {
        snprintf(want, sizeof want, "%s/%s", f->bench.folder, names[i]);
        write_file(want, "x", 1);
        assert_string_equal(logits_file(f->bench.folder, &f->bench.arena, e), want);
        assert_true(logits_is_file_of(want, f->bench.folder) && logits_is_file_of(want, want));
        err_clear(e);
        assert_int_equal(logits_open(&l, f->bench.folder, &f->bench.arena, e), ERR_DATA);
        expect_text(want, e->text, want);
        logits_close(&l);
    }
    assert_false(logits_is_file_of(f->bench.folder, f->bench.folder));
    assert_false(logits_is_file_of("models/base/other.npy", "models/base"));
    assert_false(logits_is_file_of("models/base2/logits.npy", "models/base"));
    assert_true(logits_is_file_of("models/base/logits.npy", "models/base/"));

    err_clear(e);
    write_file(f->path, "PK\x03\x04 a zip archive", 19);
    assert_int_equal(logits_open(&l, f->path, &f->bench.arena, e), ERR_DATA);
    expect_text("a zip", e->text, "unknown format");
    logits_close(&l);
    err_clear(e);
    assert_int_equal(logits_open(&l, "/dev/zero", &f->bench.arena, e), ERR_DATA);
    expect_text("a device", e->text, "no regular file");
    logits_close(&l);
    struct logits zero = {0};
    logits_close(&zero);
}

int main(void)
{
    h5_start();
    const struct CMUnitTest tests[] = {
        TEST(test_npy_headers),
        TEST(test_npy_cut_anywhere),
        TEST(test_llama_headers),
        TEST(test_llama_rows),
        TEST(test_llama_file),
        TEST(test_npy_file),
        TEST(test_read_ahead),
        TEST(test_hdf5_file),
        TEST(test_safetensors_entropies),
        TEST(test_folders_and_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
