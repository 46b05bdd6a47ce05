/* Items of a distributed checkpoint by themselves: between other bytes of a file, with axes of length 1 more
 * or fewer than their chunk, transposed, and what is no item of that chunk. */
#include "dcplib.h"

#include "formats/dcp/dcp_item.h"

#include <fcntl.h>

enum { BEFORE = 1000 };

/* The tensor's item has this shape; its chunk is one of 2 x 3, or of 1 x 3, of float32. */
static const struct {
    const char *what;
    int ndim;
    int64_t dims[3], strides[3]; /* strides[0] 0: row-major */
    int wide;
    int64_t rows; /* of the chunk */
    err_t verdict;
    const char *says;
} items[] = {
    {"as it is", 2, {2, 3}, {0}, 1, 2, ERR_OK, ""},
    {"transposed", 2, {2, 3}, {1, 2}, 1, 2, ERR_OK, ""},
    {"an axis less", 1, {3}, {0}, 1, 1, ERR_OK, ""},
    {"an axis more", 3, {1, 1, 3}, {0}, 1, 1, ERR_OK, ""},
    {"an axis more, in between", 3, {2, 1, 3}, {0}, 1, 2, ERR_OK, ""},
    {"other elements", 1, {2}, {0}, 1, 1, ERR_DATA, "a chunk of shape 2 of F32, expected 1x3 of F32"},
    {"the other way round", 2, {3, 2}, {0}, 1, 2, ERR_DATA, "a chunk of shape 3x2 of F32, expected 2x3"},
    {"axes of another length", 3, {2, 2, 3}, {0}, 1, 2, ERR_DATA, "a chunk of shape 2x2x3"},
    {"another type", 2, {2, 3}, {0}, 0, 2, ERR_DATA, "of BF16, expected 2x3 of F32"},
};

static int64_t count(int ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= dims[i];
    return n;
}

static void test_items(void **state)
{
    static struct zipped z;
    static const char junk[BEFORE];
    struct bench *b = *state;
    char path[300];
    snprintf(path, sizeof path, "%s/__0_0.distcp", b->folder);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        float data[12];
        uint64_t hash = 0;
        for (int k = 0; k < 12; k++)
            data[k] = (float)k;
        item_make(&z, items[i].wide, items[i].ndim, items[i].dims,
                  items[i].strides[0] ? items[i].strides : NULL, data, count(items[i].ndim, items[i].dims));
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(junk, 1, BEFORE, f), BEFORE);
        assert_int_equal(fwrite(z.b, 1, z.n, f), z.n);
        assert_int_equal(fwrite(junk, 1, BEFORE, f), BEFORE);
        assert_int_equal(fclose(f), 0);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        const struct stored_tensor t = {.name = "w", .dtype = DTYPE_F32, .ndim = 2, .dims = {4, 3}};
        struct stored_piece piece = {.dims = {items[i].rows, 3}};
        struct dcp_item item = {path, fd, BEFORE, (int64_t)z.n};
        struct arena scratch = {0};
        arena_init(&scratch, &b->mem);
        err_clear(&b->err);
        err_t code = dcp_item_read(&item, &t, &piece, &hash, &b->arena, &scratch, &b->err);
        if (code != items[i].verdict || !strstr(b->err.text, items[i].says))
            fail_msg("%s: verdict %d: %s", items[i].what, (int)code, b->err.text);
        if (code == ERR_OK) {
            assert_int_equal(piece.offset_bytes, BEFORE + (int64_t)z.data[2]);
            assert_true((piece.strides != NULL) == (items[i].strides[0] > 0) && piece.dtype == DTYPE_F32);
            item.offset_bytes++; /* not where it begins */
            assert_int_equal(dcp_item_read(&item, &t, &piece, &hash, &b->arena, &scratch, &b->err), ERR_DATA);
            assert_non_null(strstr(b->err.text, "of another save, or damaged"));
        }
        arena_release(&scratch);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_items)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
