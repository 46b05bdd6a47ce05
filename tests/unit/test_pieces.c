/* Tensors in several pieces: which pieces make a tensor, what is said of those that do not, and reading
 * across their borders, against the same tensors in one piece. */
#include "unitlib.h"

#include "../cutlib.h"
#include "hdf5/digest.h"
#include "compare/pair.h"
#include "formats/catalogue.h"
#include "formats/checkpoint.h"

/* ---- which pieces make a tensor ---- */

enum { FILE_BYTES = 1 << 20 };

static struct stored_file files[] = {{.path = "rank-0", .size_bytes = FILE_BYTES},
                                     {.path = "rank-1", .size_bytes = FILE_BYTES}};
static const struct stored_list list = {.nfiles = 2, .files = files};

/* The tensor t of 4 x 6 in F32. */
static struct stored_tensor matrix(void)
{
    return (struct stored_tensor){.name = "t", .dtype = DTYPE_F32, .ndim = 2, .dims = {4, 6}};
}

static struct stored_piece box(int64_t row, int64_t col, int64_t rows, int64_t cols, int file)
{
    return (struct stored_piece){
        .dtype = DTYPE_F32, .start = {row, col}, .dims = {rows, cols}, .file = file, .offset_bytes = 40};
}

static err_t assemble(struct bench *b, struct stored_tensor *t, const struct stored_piece *v, int64_t n,
                      int flat)
{
    struct stored_piece *kept;
    err_clear(&b->err);
    assert_int_equal(arena_array(&b->arena, "pieces", n, &kept, &b->err), ERR_OK);
    if (n > 0)
        memcpy(kept, v, (size_t)n * sizeof *v);
    return stored_assemble(t, kept, n, flat, &list, "FOLDER", &b->arena, &b->err);
}

static void refused(struct bench *b, const struct stored_piece *v, int64_t n, int flat, const char *says)
{
    struct stored_tensor t = matrix();
    assert_int_equal(assemble(b, &t, v, n, flat), ERR_DATA);
    if (!strstr(b->err.text, says) || !strstr(b->err.text, "FOLDER: tensor t: "))
        fail_msg("\"%s\" does not say \"%s\"", b->err.text, says);
}

static void test_whole(void **state)
{
    struct bench *b = *state;
    struct stored_tensor t = matrix();
    const struct stored_piece one = box(0, 0, 4, 6, 1);
    assert_int_equal(assemble(b, &t, &one, 1, 0), ERR_OK);
    assert_true(!t.cut && t.file == 1 && t.offset_bytes == 40 && t.elements == 24 && t.size_bytes == 96);

    /* rows, in any order, with empty ones and replicas between: runs */
    const struct stored_piece rows[] = {box(3, 0, 1, 6, 0), box(4, 0, 0, 6, 1), box(0, 0, 2, 6, 1),
                                        box(2, 0, 1, 6, 0), box(3, 0, 1, 6, 1), box(0, 0, 2, 6, 0)};
    assert_int_equal(assemble(b, &t, rows, 6, 0), ERR_OK);
    assert_true(t.cut && t.cut->flat && t.cut->n == 3 && stored_in_runs(&t));
    assert_true(t.cut->v[0].start[0] == 0 && t.cut->v[1].start[0] == 12 && t.cut->v[2].start[0] == 18);
    assert_true(t.cut->v[0].file == 0 && t.cut->v[2].file == 0 && t.cut->v[2].span_bytes == 24);
    assert_true(stored_piece_from(t.cut, 0) == 0 && stored_piece_from(t.cut, 11) == 0);
    assert_true(stored_piece_from(t.cut, 12) == 1 && stored_piece_from(t.cut, 23) == 2);

    /* a brick wall is no grid, yet whole */
    const struct stored_piece bricks[] = {box(0, 0, 2, 2, 0), box(0, 2, 2, 4, 0), box(2, 0, 2, 4, 0),
                                          box(2, 4, 1, 2, 0), box(3, 4, 1, 2, 0)};
    assert_int_equal(assemble(b, &t, bricks, 5, 0), ERR_OK);
    assert_true(t.cut && !t.cut->flat && t.cut->n == 5 && !stored_in_runs(&t));
    assert_true(t.cut->reach[0] == 2 && t.cut->reach[4] == 4);

    /* nothing has to lie anywhere; a scalar is one element, however often it is given */
    struct stored_tensor none = {.name = "t", .dtype = DTYPE_F32, .ndim = 2, .dims = {0, 5}};
    assert_int_equal(assemble(b, &none, NULL, 0, 0), ERR_OK);
    assert_true(!none.cut && none.elements == 0);
    struct stored_tensor scalar = {.name = "t", .dtype = DTYPE_F32};
    const struct stored_piece both[] = {box(0, 0, 0, 0, 1), box(0, 0, 0, 0, 0)};
    assert_int_equal(assemble(b, &scalar, both, 2, 0), ERR_OK);
    assert_true(!scalar.cut && scalar.elements == 1 && scalar.file == 0);
}

static void test_faults(void **state)
{
    struct bench *b = *state;
    const struct stored_piece rows[] = {box(0, 0, 1, 6, 0), box(3, 0, 1, 6, 0)};
    refused(b, rows, 2, 0, "elements 6 to 17 of 24 (shape 4x6) lie in none of its 2 pieces");
    refused(b, rows, 0, 0, "elements 0 to 23 of 24 (shape 4x6) lie in none of its 0 pieces");
    const struct stored_piece columns[] = {box(0, 0, 4, 2, 0), box(0, 3, 4, 3, 1)};
    refused(b, columns, 2, 0, "elements 2 to 2 of 24 (shape 4x6) lie in none of its 2 pieces");
    const struct stored_piece twice[] = {box(0, 0, 3, 6, 0), box(2, 0, 2, 6, 1)};
    refused(b, twice, 2, 0,
            "elements 12 to 17 of 24 (shape 4x6) lie in 2 pieces, of rank-0 and rank-1: expected each in "
            "exactly one");
    /* as many elements as it should, and yet not those */
    const struct stored_piece shifted[] = {box(0, 0, 2, 3, 0), box(0, 3, 2, 3, 0), box(2, 0, 2, 3, 0),
                                           box(2, 2, 2, 3, 1)};
    refused(b, shifted, 4, 0, "elements 14 to 14 of 24 (shape 4x6) lie in 2 pieces, of rank-0 and rank-1");
    const struct stored_piece low[] = {box(0, 0, 5, 6, 0)}, left[] = {box(0, -1, 4, 7, 0)},
                              wide[] = {box(0, 1, 4, INT64_MAX, 0)};
    refused(b, low, 1, 0, "a piece of shape 5x6 from 0x0 on leaves the tensor's 4x6");
    refused(b, left, 1, 0, "a piece of shape 4x7 from 0x-1 on leaves the tensor's 4x6");
    refused(b, wide, 1, 0, "leaves the tensor's 4x6");
    const struct stored_piece runs[] = {box(0, 0, 7, 0, 0), box(7, 0, 16, 0, 0)},
                              over[] = {box(0, 0, 7, 0, 0), box(6, 0, 18, 0, 1)},
                              far[] = {box(20, 0, 5, 0, 0)};
    refused(b, runs, 2, 1, "elements 23 to 23 of 24 (shape 4x6) lie in none of its 2 pieces");
    refused(b, over, 2, 1, "elements 6 to 6 of 24 (shape 4x6) lie in 2 pieces, of rank-0 and rank-1");
    refused(b, far, 1, 1, "a piece of shape 5 from 20 on leaves the tensor's 24 elements");
}

static void test_places(void **state)
{
    struct bench *b = *state;
    static const int64_t steps[] = {1, 1 << 20}, back[] = {-1, 6}, huge[] = {INT64_MAX / 2, INT64_MAX / 2};
    struct stored_piece p = box(0, 0, 4, 6, 0);
    p.offset_bytes = FILE_BYTES - 95;
    refused(b, &p, 1, 0, "a piece of shape 4x6 from byte 1048481 on leaves its file rank-0 of 1048576 bytes");
    p.offset_bytes = -1;
    refused(b, &p, 1, 0, "from byte -1 on leaves its file");
    p.offset_bytes = 0;
    p.file = 2;
    refused(b, &p, 1, 0, "a piece lies in file 2 of 2");
    p.file = 0;
    p.dtype = DTYPE_BF16;
    refused(b, &p, 1, 0, "a piece of type BF16 in rank-0: expected the tensor's, F32");
    p.dtype = DTYPE_F32;
    const int64_t *const bad[] = {steps, back, huge};
    for (int i = 0; i < 3; i++) {
        p.strides = bad[i];
        refused(b, &p, 1, 0, "leaves its file");
    }
    struct stored_tensor t = {.name = "t", .dtype = DTYPE_F32, .ndim = 2, .dims = {INT64_MAX / 2, 3}};
    assert_int_equal(assemble(b, &t, &p, 1, 0), ERR_DATA);
    assert_non_null(strstr(b->err.text, "overflows"));
    t = (struct stored_tensor){.name = "t", .dtype = DTYPE_F4, .ndim = 1, .dims = {4}};
    assert_int_equal(assemble(b, &t, &p, 1, 0), ERR_DATA);
    assert_non_null(strstr(b->err.text, "whole bytes"));
    const int64_t most = (int64_t)1 << 62; /* of nothing there may be much */
    t = (struct stored_tensor){.name = "t", .dtype = DTYPE_F32, .ndim = 3, .dims = {0, most, most}};
    assert_int_equal(assemble(b, &t, NULL, 0, 0), ERR_OK);
    assert_true(t.elements == 0 && !t.cut);
}

/* Random boxes of a small tensor, against counting in how many each element lies. */
static void test_random_boxes(void **state)
{
    struct bench *b = *state;
    uint64_t seed = 5;
    int whole = 0;
    for (int round = 0; round < 20000; round++) {
        struct stored_tensor t = {.name = "t", .dtype = DTYPE_F32, .ndim = 3, .dims = {3, 2, 4}};
        struct stored_piece v[4];
        int count[24] = {0}, n = 1 + (int)(next_random(&seed) % 4), cut = (int)(next_random(&seed) % 3);
        for (int i = 0; i < n; i++) {
            v[i] = (struct stored_piece){.dtype = DTYPE_F32, .dims = {3, 2, 4}};
            int64_t at = (int64_t)(next_random(&seed) % (uint64_t)t.dims[cut]);
            v[i].start[cut] = i == 0 ? 0 : at;
            v[i].dims[cut] = 1 + (int64_t)(next_random(&seed) % (uint64_t)(t.dims[cut] - v[i].start[cut]));
            int again = 0;
            for (int k = 0; k < i; k++)
                again |= v[k].start[cut] == v[i].start[cut] && v[k].dims[cut] == v[i].dims[cut];
            for (int64_t e = 0; e < 24 && !again; e++) {
                int64_t index = cut == 0 ? e / 8 : cut == 1 ? e / 4 % 2 : e % 4;
                count[e] += index >= v[i].start[cut] && index < v[i].start[cut] + v[i].dims[cut];
            }
        }
        int64_t fault = 0;
        while (fault < 24 && count[fault] == 1)
            fault++;
        err_t code = assemble(b, &t, v, n, 0);
        assert_int_equal(code, fault < 24 ? ERR_DATA : ERR_OK);
        whole += code == ERR_OK;
        if (fault < 24) {
            int64_t last = fault;
            char says[60];
            while (last + 1 < 24 && count[last + 1] == count[fault] &&
                   (cut != 2 || (last + 1) % 4 != 0)) /* a range ends with the row of a last axis */
                last++;
            snprintf(says, sizeof says, "elements %lld to ", (long long)fault);
            assert_non_null(strstr(b->err.text, says));
            snprintf(says, sizeof says, "lie in %s", count[fault] == 0 ? "none" : "2");
            assert_true(count[fault] > 2 || strstr(b->err.text, says));
            assert_true(atoll(strstr(b->err.text, " to ") + 4) <= last);
        }
        arena_reset(&b->arena);
    }
    assert_in_range(whole, 100, 19000);
}

/* As many chunks as a large checkpoint has in all, as one grid; every fault is found among them. */
static void test_many(void **state)
{
    struct bench *b = *state;
    enum { SIDE = 300 };
    struct stored_piece *v;
    struct stored_tensor t = {.name = "t", .dtype = DTYPE_U8, .ndim = 2, .dims = {3 * SIDE, 2 * SIDE}};
    assert_int_equal(arena_array(&b->arena, "pieces", SIDE * SIDE, &v, &b->err), ERR_OK);
    for (int64_t i = 0; i < SIDE * SIDE; i++)
        v[i] = (struct stored_piece){.dtype = DTYPE_U8,
                                     .start = {i * 7919 % SIDE * 3, i / SIDE * 2},
                                     .dims = {3, 2},
                                     .offset_bytes = i};
    assert_int_equal(assemble(b, &t, v, SIDE * SIDE, 0), ERR_OK);
    assert_true(t.cut->n == SIDE * SIDE && !t.cut->flat);
    for (int64_t i = 0; i < SIDE * SIDE; i += 44444) {
        struct stored_piece kept = v[i];
        char says[80];
        int64_t at = kept.start[0] * 2 * SIDE + kept.start[1];
        v[i].dims[1] = 1;
        assert_int_equal(assemble(b, &t, v, SIDE * SIDE, 0), ERR_DATA);
        snprintf(says, sizeof says, "elements %lld to %lld of 540000 ", (long long)at + 1, (long long)at + 1);
        assert_non_null(strstr(b->err.text, says));
        v[i] = kept;
    }
}

/* ---- reading ---- */

enum { SHAPES = 7, PARTS = 4 };

static const struct {
    int ndim;
    int64_t dims[3];
} shapes[SHAPES] = {{0, {0}},      {1, {7}},      {2, {5, 7}},         {3, {4, 3, 5}},
                    {2, {3, 900}}, {2, {400, 3}}, {2, {6, 4 * 16384}},
                    /* a run of a quarter is read at once */};

static int64_t elements_of(int shape)
{
    int64_t n = 1;
    for (int i = 0; i < shapes[shape].ndim; i++)
        n *= shapes[shape].dims[i];
    return n;
}

/* Any range, at the borders of pieces and beside them, gives the bytes that were written. */
static void check_ranges(struct bench *b, struct checkpoint *c, const struct stored_tensor *t,
                         const unsigned char *bytes, uint64_t *seed)
{
    int64_t width = dtype_bits(t->dtype) / 8;
    unsigned char *buf = malloc((size_t)(t->size_bytes + 1));
    buf[t->size_bytes] = 0x5a;
    assert_int_equal(checkpoint_read(c, t, 0, t->elements, buf, &b->err), ERR_OK);
    assert_memory_equal(buf, bytes, (size_t)t->size_bytes);
    for (int k = 0; k < 60; k++) {
        int64_t first = (int64_t)(next_random(seed) % (uint64_t)t->elements), left = t->elements - first;
        int64_t n = 1 + (int64_t)(next_random(seed) % (uint64_t)(k % 2 || left < 9 ? left : 9));
        buf[n * width] = 0x5a;
        assert_int_equal(checkpoint_read(c, t, first, n, buf, &b->err), ERR_OK);
        assert_memory_equal(buf, bytes + first * width, (size_t)(n * width));
        assert_int_equal(buf[n * width], 0x5a);
    }
    free(buf);
}

static void test_reading(void **state)
{
    struct bench *b = *state;
    static const enum dtype dtypes[] = {DTYPE_U8, DTYPE_BF16, DTYPE_F32, DTYPE_F64};
    uint64_t seed = 11;
    unsigned char *bytes = malloc((size_t)elements_of(SHAPES - 1) * 8);
    for (int64_t i = 0; i < elements_of(SHAPES - 1) * 8; i++)
        bytes[i] = (unsigned char)next_random(&seed);
    for (int kind = 0; kind < CUT_KINDS; kind++)
        for (int64_t parts = 1; parts <= PARTS; parts++)
            for (int d = 0; d < 4; d++) {
                char dir[200];
                struct cut_writer w;
                struct checkpoint c;
                snprintf(dir, sizeof dir, "%s/%d-%d-%d", b->folder, kind, (int)parts, d);
                assert_int_equal(cut_begin(&w, dir, 3), 0);
                for (int i = 0; i < SHAPES; i++) {
                    char name[16];
                    struct stored_tensor t = {.name = name, .dtype = dtypes[d], .ndim = shapes[i].ndim};
                    snprintf(name, sizeof name, "t%d", i);
                    memcpy(t.dims, shapes[i].dims, sizeof shapes[i].dims);
                    cut_add(&w, &t, bytes, (enum cut_kind)kind, parts);
                }
                assert_int_equal(cut_end(&w), 0);
                assert_int_equal(checkpoint_open(&c, dir, NULL, &b->arena, &b->err), ERR_OK);
                assert_true(c.ntensors == SHAPES && c.nfiles <= 4);
                assert_string_equal(c.format, "cut");
                for (int i = 0; i < SHAPES; i++) {
                    const struct stored_tensor *t = &c.tensors[i];
                    assert_int_equal(t->elements, elements_of(i));
                    if (i == 2 && (kind == CUT_ROWS || kind == CUT_RUNS))
                        assert_true(parts == 1 ? !t->cut && !t->strides : t->cut && t->cut->flat);
                    if (i == 2 && (kind == CUT_COLUMNS || kind == CUT_TRANSPOSED) && parts > 1)
                        assert_true(t->cut && !t->cut->flat);
                    check_ranges(b, &c, t, bytes, &seed);
                }
                checkpoint_close(&c);
                folder_remove(dir);
                arena_reset(&b->arena);
            }
    free(bytes);
}

/* A file cut short while the tensor is read is an error that names it. */
static void test_truncated(void **state)
{
    struct bench *b = *state;
    const unsigned char bytes[24 * 4] = {0};
    struct stored_tensor t = matrix();
    char dir[200], path[240];
    struct cut_writer w;
    struct checkpoint c;
    snprintf(dir, sizeof dir, "%s/cut", b->folder);
    assert_int_equal(cut_begin(&w, dir, 2), 0);
    cut_add(&w, &t, bytes, CUT_ROWS, 2);
    assert_int_equal(cut_end(&w), 0);
    assert_int_equal(checkpoint_open(&c, dir, NULL, &b->arena, &b->err), ERR_OK);
    snprintf(path, sizeof path, "%s/rank-1.bin", dir);
    assert_int_equal(truncate(path, 50), 0);
    unsigned char buf[24 * 4];
    assert_int_equal(checkpoint_read(&c, c.tensors, 0, 12, buf, &b->err), ERR_OK);
    assert_int_equal(checkpoint_read(&c, c.tensors, 11, 2, buf, &b->err), ERR_DATA);
    assert_non_null(strstr(b->err.text, "rank-1.bin: truncated while in use: tensor t is cut off"));
    checkpoint_close(&c);
    err_clear(&b->err);
    assert_int_equal(checkpoint_open(&c, dir, NULL, &b->arena, &b->err), ERR_DATA);
    assert_non_null(strstr(b->err.text, "rank-1.bin of 50 bytes"));
}

/* ---- catalogues and pairs ---- */

enum { MODEL = 6, ROWS = 700, COLS = 640 };

static const struct stored_tensor model[MODEL] = {
    {.name = "a.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {ROWS, COLS}},
    {.name = "b.weight", .dtype = DTYPE_F8_E4M3, .ndim = 2, .dims = {ROWS, COLS}},
    {.name = "b.weight_scale_inv", .dtype = DTYPE_F32, .ndim = 2, .dims = {(ROWS + 127) / 128, COLS / 128}},
    {.name = "c.bias", .dtype = DTYPE_F32, .ndim = 1, .dims = {3 * ROWS}},
    {.name = "d.ids", .dtype = DTYPE_I64, .ndim = 1, .dims = {9}},
    {.name = "e.weight", .dtype = DTYPE_F16, .ndim = 3, .dims = {7, 10, COLS}},
};

/* Writes the model, its bytes shifted by `start`, as one file or cut in a kind per tensor, and its catalogue.
 */
static void make_side(struct bench *b, const char *name, unsigned start, int kind, char *catalogue)
{
    char path[250];
    const void *bytes[MODEL];
    struct stored_tensor t[MODEL];
    struct cut_writer w;
    struct checkpoint c;
    struct h5 *h;
    memcpy(t, model, sizeof t);
    for (int i = 0; i < MODEL; i++) {
        int64_t n = dtype_bits(t[i].dtype) / 8;
        for (int k = 0; k < t[i].ndim; k++)
            n *= t[i].dims[k];
        unsigned char *content;
        assert_int_equal(arena_array(&b->arena, "content", n, &content, &b->err), ERR_OK);
        for (int64_t k = 0; k < n; k++)
            content[k] = (unsigned char)((k * 2654435761 >> 7) % 101 + (k % 997 == 0 ? start : 0));
        bytes[i] = content;
    }
    snprintf(path, sizeof path, "%s/%s%s", b->folder, name, kind < 0 ? ".safetensors" : "");
    if (kind < 0) {
        assert_int_equal(model_write(path, t, MODEL, bytes, NULL, 0, &b->arena, &b->err), 0);
    } else {
        assert_int_equal(cut_begin(&w, path, 5), 0);
        for (int i = 0; i < MODEL; i++)
            cut_add(&w, &t[i], bytes[i], (enum cut_kind)((kind + i) % CUT_KINDS), 3);
        assert_int_equal(cut_end(&w), 0);
    }
    snprintf(catalogue, 250, "%s/%s.h5", b->folder, name);
    assert_int_equal(checkpoint_open(&c, path, NULL, &b->arena, &b->err), ERR_OK);
    assert_int_equal(h5_create(catalogue, &b->arena, &h, &b->err), ERR_OK);
    assert_int_equal(catalogue_write(&c, h, &b->arena, &b->err), ERR_OK);
    assert_int_equal(h5_has_table(h, "pieces"), kind >= 0);
    assert_int_equal(h5_close(h, &b->err), ERR_OK);
    assert_int_equal(digest_seal(catalogue, &b->arena, &b->err), ERR_OK);
}

static void same_tensor(const struct stored_tensor *x, const struct stored_tensor *y)
{
    assert_string_equal(x->name, y->name);
    assert_true(x->dtype == y->dtype && x->elements == y->elements && x->size_bytes == y->size_bytes);
    assert_true(x->file == y->file && x->offset_bytes == y->offset_bytes && !x->cut == !y->cut);
    for (int64_t i = 0; x->cut && i < x->cut->n; i++) {
        const struct stored_piece *p = &x->cut->v[i], *q = &y->cut->v[i];
        assert_true(x->cut->n == y->cut->n && x->cut->flat == y->cut->flat);
        assert_memory_equal(p->start, q->start, sizeof p->start);
        assert_memory_equal(p->dims, q->dims, sizeof p->dims);
        assert_true(p->file == q->file && p->offset_bytes == q->offset_bytes &&
                    p->span_bytes == q->span_bytes);
        assert_true(!p->strides == !q->strides &&
                    (!p->strides || memcmp(p->strides, q->strides, (size_t)x->ndim * 8) == 0));
        assert_int_equal(x->cut->reach[i], y->cut->reach[i]);
    }
}

static void test_catalogue(void **state)
{
    struct bench *b = *state;
    h5_start();
    for (int kind = 0; kind < CUT_KINDS; kind++) {
        char catalogue[250], folder[200], name[20];
        struct checkpoint c, read;
        snprintf(name, sizeof name, "kind-%d", kind);
        make_side(b, name, 0, kind, catalogue);
        snprintf(folder, sizeof folder, "%s/%s", b->folder, name);
        assert_int_equal(checkpoint_open(&c, folder, NULL, &b->arena, &b->err), ERR_OK);
        assert_int_equal(catalogue_read(&read, catalogue, &b->arena, &b->err), ERR_OK);
        assert_true(c.ntensors == read.ntensors && c.nfiles == read.nfiles &&
                    c.parameters == read.parameters);
        for (int64_t i = 0; i < c.ntensors; i++)
            same_tensor(&c.tensors[i], &read.tensors[i]);
    }
}

/* A catalogue of one file and one tensor, that may lie elsewhere, in a piece. */
static void write_catalogue(struct bench *b, const char *path, int64_t file_bytes, const char *file,
                            int pieces)
{
    static const char *const texts[] = {"checkpoint", "format", "simulated",
                                        "note",       "config", "config_problem"};
    struct table t;
    struct h5 *h;
    struct err *e = &b->err;
    assert_int_equal(h5_create(path, &b->arena, &h, e), ERR_OK);
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
    table_init(&t, "files", &b->arena);
    TABLE_ADD(&t, e, V_TEXT("/here"), V_INT(file_bytes), V_INT(0), V_TEXT("0"));
    h5_table_write(h, "files", &t, e);
    table_init(&t, "catalogue", &b->arena);
    TABLE_ADD(&t, e, V_TEXT("t"), V_TEXT("2"), V_TEXT("F32"), V_INT(-1), V_TEXT(""), V_TEXT("t"), V_INT(2),
              V_TEXT(file), V_INT(8), V_INT(8), V_TEXT(""));
    h5_table_write(h, "catalogue", &t, e);
    table_init(&t, "pieces", &b->arena);
    TABLE_ADD(&t, e, V_TEXT("t"), V_TEXT("0"), V_TEXT("2"), V_INT(1), V_TEXT("/here"), V_INT(8), V_INT(8),
              V_TEXT(""));
    if (pieces)
        h5_table_write(h, "pieces", &t, e);
    assert_int_equal(h5_close(h, e), ERR_OK);
    assert_int_equal(digest_seal(path, &b->arena, e), ERR_OK);
}

/* Artifacts are not believed: a tensor in a file that is not listed, whatever its pieces say, and a file of
 * no size. */
static void test_damaged_catalogue(void **state)
{
    static const struct {
        int64_t file_bytes;
        const char *file;
        int pieces;
        err_t expected;
    } cases[] = {
        {16, "/here", 1, ERR_OK},   {16, "/here", 0, ERR_OK},          {16, "/elsewhere", 1, ERR_DATA},
        {15, "/here", 1, ERR_DATA}, {15, "/here", 0, ERR_DATA},        {16, "/elsewhere", 0, ERR_DATA},
        {-1, "/here", 0, ERR_DATA}, {INT64_MIN, "/here", 0, ERR_DATA},
    };
    struct bench *b = *state;
    h5_start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[250];
        struct checkpoint c;
        snprintf(path, sizeof path, "%s/%zu.h5", b->folder, i);
        write_catalogue(b, path, cases[i].file_bytes, cases[i].file, cases[i].pieces);
        err_clear(&b->err);
        if (catalogue_read(&c, path, &b->arena, &b->err) != cases[i].expected)
            fail_msg("case %zu: \"%s\"", i, b->err.text);
        err_clear(&b->err);
    }
}

/* All blocks of the main layout and the one aside, both sides, into out. */
static int64_t read_all(struct bench *b, struct pair *p, unsigned char *out)
{
    int64_t used = 0;
    pair_expect(p, &p->match.main, 0, p->match.main.layout.nblocks);
    for (int64_t k = 0; k < p->match.main.layout.nblocks; k++) {
        struct block at = layout_block(&p->match.main.layout, k);
        for (int64_t done = 0, n; done < at.n; done += n) {
            n = min64(at.n - done, 33333);
            unsigned char *w1 = out + used + n * arithmetic_bytes(p->arithmetic);
            assert_int_equal(pair_read(p, at.tensor, at.first + done, n, out + used, w1, &b->err), ERR_OK);
            used += 2 * n * arithmetic_bytes(p->arithmetic);
        }
    }
    assert_int_equal(pair_read_aside(p, 0, 0, 9, out + used, out + used + 72, &b->err), ERR_OK);
    return used + 144;
}

/* Both sides cut in every way give what they give in one piece, read ahead or when asked. */
static void test_pair(void **state)
{
    struct bench *b = *state;
    static const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    enum { ROOM = 16 << 20 };
    unsigned char *expected = calloc(1, ROOM), *found = calloc(1, ROOM);
    char one[2][250], cut[2][250], name[30];
    h5_start();
    make_side(b, "base", 0, -1, one[0]);
    make_side(b, "tuned", 9, -1, one[1]);
    for (int arithmetic = 0; arithmetic < ARITHMETIC_COUNT; arithmetic++) {
        struct pair p;
        assert_int_equal(pair_open(&p, one[0], one[1], (enum arithmetic)arithmetic, &policy, "", "", NULL,
                                   &b->arena, &b->err),
                         ERR_OK);
        assert_int_equal(p.match.main.layout.ntensors, 4);
        int64_t used = read_all(b, &p, expected);
        pair_close(&p);
        assert_true(used < ROOM);
        for (int kind = 0; kind < CUT_KINDS; kind++)
            for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++) {
                if (arithmetic == 0 && mode == READ_AUTO)
                    for (int side = 0; side < 2; side++) {
                        snprintf(name, sizeof name, "cut-%d-%d", side, kind);
                        make_side(b, name, side ? 9 : 0, kind + side, cut[side]);
                    }
                for (int side = 0; side < 2; side++)
                    snprintf(cut[side], sizeof cut[side], "%s/cut-%d-%d.h5", b->folder, side, kind);
                assert_int_equal(pair_open(&p, cut[0], cut[1], (enum arithmetic)arithmetic, &policy, "", "",
                                           NULL, &b->arena, &b->err),
                                 ERR_OK);
                assert_int_equal(pair_read_by(&p, &(struct readahead_setting){mode, 1 << 16}, &b->err),
                                 ERR_OK);
                memset(found, 0, (size_t)used);
                assert_int_equal(read_all(b, &p, found), used);
                assert_memory_equal(found, expected, (size_t)used);
                if (mode >= READ_THREAD) {
                    /* on a busy machine the threads may come too late for all of it, but not time and again
                     */
                    for (int again = 0; again < 200 && readahead_fetched(p.reader) == 0; again++)
                        read_all(b, &p, found);
                    assert_true(readahead_fetched(p.reader) > 0);
                }
                pair_close(&p);
            }
    }
    free(expected);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_whole),      TEST_BENCH(test_faults),
        TEST_BENCH(test_places),     TEST_BENCH(test_random_boxes),
        TEST_BENCH(test_many),       TEST_FOLDER(test_reading),
        TEST_FOLDER(test_truncated), TEST_FOLDER(test_catalogue),
        TEST_FOLDER(test_pair),      TEST_FOLDER(test_damaged_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
