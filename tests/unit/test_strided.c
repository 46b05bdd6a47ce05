/* Strided: ranges of tensors whose elements lie in any order, beside the plain definition: element
 * (i, j, k, ...) stands i * strides[0] + j * strides[1] + ... elements behind the first. */

#include "unitlib.h"

#include "formats/strided.h"

enum { FILE_BYTES = 1 << 18 };

/* A file in memory, and what was read of it. */
struct source {
    unsigned char bytes[FILE_BYTES];
    int64_t from, end; /* what may be read: beyond it the read fails */
    int64_t reads, read_bytes, largest;
};

static err_t read_source(void *arg, int64_t at, int64_t n, void *buf, struct err *e)
{
    struct source *s = arg;
    if (n <= 0 || at < s->from || at + n > s->end)
        return err_set(e, ERR_DATA, "[%lld, %lld) was read of [%lld, %lld)", (long long)at,
                       (long long)(at + n), (long long)s->from, (long long)s->end);
    memcpy(buf, s->bytes + at, (size_t)n);
    s->reads++;
    s->read_bytes += n;
    s->largest = n > s->largest ? n : s->largest;
    return ERR_OK;
}

static struct source *new_source(struct bench *b)
{
    struct source *s;
    uint64_t seed = 3;
    assert_int_equal(arena_array(&b->arena, "test", 1, &s, &b->err), ERR_OK);
    for (int64_t i = 0; i < FILE_BYTES; i++)
        s->bytes[i] = (unsigned char)next_random(&seed);
    s->end = FILE_BYTES;
    return s;
}

/* A tensor at byte `offset`. The strides are borrowed. */
static struct stored_tensor tensor(enum dtype dtype, int64_t offset, int ndim, const int64_t *dims,
                                   const int64_t *strides)
{
    struct stored_tensor t = {
        .name = "t", .dtype = dtype, .ndim = ndim, .elements = 1, .offset_bytes = offset, .strides = strides};
    for (int i = 0; i < ndim; i++) {
        t.dims[i] = dims[i];
        t.elements *= dims[i];
    }
    t.size_bytes = t.elements * dtype_bits(dtype) / 8;
    return t;
}

/* The byte at which element i, in row-major order, begins. */
static int64_t place(const struct stored_tensor *t, int64_t i)
{
    int64_t at = 0;
    for (int k = t->ndim - 1; k >= 0; k--) {
        at += i % t->dims[k] * t->strides[k];
        i /= t->dims[k];
    }
    return t->offset_bytes + at * (dtype_bits(t->dtype) / 8);
}

/* Reads elements [first, first + n), of which nothing outside the tensor's own bytes may be touched. */
static void check(struct bench *b, struct source *s, const struct stored_tensor *t, int64_t first, int64_t n)
{
    int64_t width = dtype_bits(t->dtype) / 8, at, bytes;
    unsigned char *out;
    assert_int_equal(arena_array(&b->arena, "test", n * width + 8, &out, &b->err), ERR_OK);
    memset(out + n * width, 0xA5, 8);
    s->from = t->offset_bytes;
    s->end = t->offset_bytes + stored_span(t);
    const struct strided_source source = {read_source, s};
    if (strided_read(t, first, n, &source, out, &b->err) != ERR_OK)
        fail_msg("elements [%lld, %lld): %s", (long long)first, (long long)(first + n), b->err.text);
    for (int k = 0; k < 8; k++)
        assert_int_equal(out[n * width + k], 0xA5);
    for (int64_t i = 0; i < n; i++)
        if (memcmp(out + i * width, s->bytes + place(t, first + i), (size_t)width) != 0)
            fail_msg("element %lld of [%lld, %lld) is wrong", (long long)i, (long long)first,
                     (long long)(first + n));
    if (n > 0) {
        strided_range(t, first, n, &at, &bytes);
        assert_true(at >= s->from && at + bytes <= s->end);
        for (int64_t i = 0; i < n; i++)
            assert_true(place(t, first + i) >= at && place(t, first + i) + width <= at + bytes);
    }
    arena_drop(&b->arena, out);
}

/* All ranges of a small tensor. */
static void check_all(struct bench *b, struct source *s, const struct stored_tensor *t)
{
    for (int64_t first = 0; first <= t->elements; first++)
        for (int64_t n = 0; first + n <= t->elements; n++)
            check(b, s, t, first, n);
}

static void by_hand(void **state)
{
    struct bench *b = *state;
    struct source *s = new_source(b);
    for (int i = 0; i < 100; i++)
        s->bytes[10 + i] = (unsigned char)i;
    const struct stored_tensor t = tensor(DTYPE_U8, 10, 2, (const int64_t[]){3, 2}, (const int64_t[]){1, 3});
    unsigned char out[6];
    const struct strided_source source = {read_source, s};
    assert_int_equal(strided_read(&t, 0, 6, &source, out, &b->err), ERR_OK);
    assert_memory_equal(out, ((const unsigned char[]){0, 3, 1, 4, 2, 5}), 6); /* a transposed 2 x 3 */
    assert_int_equal(strided_read(&t, 1, 3, &source, out, &b->err), ERR_OK);
    assert_memory_equal(out, ((const unsigned char[]){3, 1, 4}), 3);
}

/* Transposed, sliced, expanded, permuted, with axes of one and none at all; each width. */
static void forms(void **state)
{
    struct bench *b = *state;
    struct source *s = new_source(b);
    static const enum dtype dtypes[] = {DTYPE_U8, DTYPE_BF16, DTYPE_F32, DTYPE_F64};
    static const struct {
        int ndim;
        int64_t dims[5], strides[5];
    } shapes[] = {
        {0, {0}, {0}},
        {1, {7}, {1}},
        {1, {7}, {3}},
        {1, {7}, {0}},                    /* one element, expanded */
        {2, {4, 5}, {1, 4}},              /* transposed */
        {2, {4, 5}, {11, 2}},             /* every second column of a wider one */
        {2, {4, 5}, {0, 1}},              /* a row, expanded */
        {2, {4, 5}, {1, 0}},              /* a column, expanded */
        {2, {4, 3}, {1, 1}},              /* windows that overlap */
        {3, {2, 3, 4}, {4, 8, 1}},        /* permuted */
        {3, {2, 3, 4}, {1, 2, 6}},        /* all reversed */
        {3, {1, 3, 1}, {100, 7, 50}},     /* axes of one, whose stride means nothing */
        {4, {2, 2, 3, 2}, {3, 6, 1, 12}}, /* two axes swapped twice */
        {5, {2, 1, 2, 2, 2}, {1, 9, 2, 4, 8}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
            struct stored_tensor t = tensor(dtypes[k], 13, shapes[i].ndim, shapes[i].dims, shapes[i].strides);
            check_all(b, s, &t);
        }
}

/* Random shapes and orders of axes, with gaps and without; random ranges. */
static void random_shapes(void **state)
{
    struct bench *b = *state;
    struct source *s = new_source(b);
    static const enum dtype dtypes[] = {DTYPE_U8, DTYPE_BF16, DTYPE_F32, DTYPE_F64};
    uint64_t seed = 11;
    for (int round = 0; round < 400; round++) {
        int ndim = 1 + (int)(next_random(&seed) % TENSOR_MAX_NDIM), order[TENSOR_MAX_NDIM];
        int64_t dims[TENSOR_MAX_NDIM], strides[TENSOR_MAX_NDIM], step = 1;
        for (int i = 0; i < ndim; i++) {
            int64_t most = ndim < 3 ? 60 : ndim < 5 ? 7 : 2;
            dims[i] = 1 + (int64_t)(next_random(&seed) % (uint64_t)most);
            int at = (int)(next_random(&seed) % (uint64_t)(i + 1));
            order[i] = order[at];
            order[at] = i;
        }
        for (int i = 0; i < ndim; i++) {
            strides[order[i]] = next_random(&seed) % 9 ? step : 0;
            step = step * dims[order[i]] + (int64_t)(next_random(&seed) % 4 ? 0 : next_random(&seed) % 5);
        }
        struct stored_tensor t =
            tensor(dtypes[round % 4], (int64_t)(next_random(&seed) % 100), ndim, dims, strides);
        if (t.offset_bytes + stored_span(&t) > FILE_BYTES)
            continue;
        check(b, s, &t, 0, t.elements);
        for (int k = 0; k < 20; k++) {
            int64_t first = (int64_t)(next_random(&seed) % (uint64_t)t.elements);
            check(b, s, &t, first, 1 + (int64_t)(next_random(&seed) % (uint64_t)(t.elements - first)));
        }
    }
}

/* Rows far apart are not read over; what lies close together is read at once; no read is larger than the
 * window. */
static void reads_little(void **state)
{
    struct bench *b = *state;
    struct source *s = new_source(b);
    struct stored_tensor t = tensor(DTYPE_F32, 0, 2, (const int64_t[]){6, 8}, (const int64_t[]){10000, 1});
    check(b, s, &t, 0, 48);
    assert_int_equal(s->read_bytes, 48 * 4); /* the gaps of 40 kB are left out */
    assert_int_equal(s->reads, 6);
    s->reads = s->read_bytes = s->largest = 0;
    t = tensor(DTYPE_F32, 0, 2, (const int64_t[]){200, 300}, (const int64_t[]){1, 200});
    check(b, s, &t, 0, 60000); /* transposed, 240 kB: each byte once */
    assert_true(s->read_bytes <= 240000 + 65536);
    assert_true(s->reads < 10 && s->largest <= 65536);
}

/* What the source says goes up, and nothing more is read. */
static err_t broken(void *arg, int64_t at, int64_t n, void *buf, struct err *e)
{
    (void)at, (void)n, (void)buf;
    int *left = arg;
    return (*left)-- > 0 ? ERR_OK : err_set(e, ERR_SYSTEM, "cannot be read");
}

static void failing_source(void **state)
{
    struct bench *b = *state;
    static float out[60];
    for (int good = 0; good < 6; good++) {
        int left = good;
        const struct strided_source source = {broken, &left};
        const struct stored_tensor t =
            tensor(DTYPE_F32, 0, 2, (const int64_t[]){6, 10}, (const int64_t[]){100000, 1});
        err_clear(&b->err);
        assert_int_equal(strided_read(&t, 0, 60, &source, out, &b->err), ERR_SYSTEM);
        assert_string_equal(b->err.text, "cannot be read");
        assert_int_equal(left, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(by_hand),      TEST_BENCH(forms),          TEST_BENCH(random_shapes),
        TEST_BENCH(reads_little), TEST_BENCH(failing_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
