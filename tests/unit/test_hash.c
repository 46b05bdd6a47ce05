/* The hash of a sample: what changes a stretch of a file is seen wherever it lies, and what lies at its ends.
 */
#include "unitlib.h"

#include "base/file.h"
#include "base/hash.h"

enum { KIB = 1 << 10, SIZE = (4 << 20) + 100, STRETCH = SIZE / 62 + 4096 };

static uint64_t sample(struct bench *b, const char *path, int blocks)
{
    uint64_t hash = 0;
    assert_int_equal(hash_sample(path, blocks, &hash, &b->err), ERR_OK);
    return hash;
}

static void put_at(const char *path, int64_t at, const char *bytes, int64_t n)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void stretches(void **state)
{
    struct bench *b = *state;
    char path[200], *text = malloc(SIZE), *other = malloc(2 * STRETCH);
    assert_non_null(text);
    assert_non_null(other);
    for (int i = 0; i < SIZE; i++)
        text[i] = (char)(i % 251);
    memset(other, 'x', 2 * STRETCH);
    snprintf(path, sizeof path, "%s/file", b->folder);
    assert_int_equal(file_write(path, text, SIZE, &b->err), ERR_OK);
    const uint64_t whole = sample(b, path, 64);
    assert_int_equal(whole, sample(b, path, 64));
    assert_int_not_equal(whole, sample(b, path, 8));
    /* two stretches of 1 / 62 at any place hold a block that was drawn */
    for (int64_t at = 0; at + 2 * STRETCH <= SIZE; at += 37 * KIB) {
        put_at(path, at, other, 2 * STRETCH);
        assert_int_not_equal(whole, sample(b, path, 64));
        put_at(path, at, text + at, 2 * STRETCH);
        assert_int_equal(whole, sample(b, path, 64));
    }
    /* the first byte and the last */
    for (int64_t at = 0; at < SIZE; at += SIZE - 1) {
        put_at(path, at, other, 1);
        assert_int_not_equal(whole, sample(b, path, 64));
        assert_int_not_equal(whole, sample(b, path, 8));
        put_at(path, at, text + at, 1);
    }
    free(text);
    free(other);
}

static void small_files(void **state)
{
    struct bench *b = *state;
    char path[200], text[8 * 4096];
    uint64_t hash;
    memset(text, 'a', sizeof text);
    snprintf(path, sizeof path, "%s/small", b->folder);
    for (int64_t n = 0; n <= (int64_t)sizeof text; n += n % 4096 == 1 || n == 0 ? 1 : 4095) {
        assert_int_equal(file_write(path, text, n, &b->err), ERR_OK);
        const uint64_t whole = sample(b, path, 8);
        for (int64_t at = 0; at < n; at += 1021) { /* each byte counts */
            put_at(path, at, "b", 1);
            assert_int_not_equal(whole, sample(b, path, 8));
            put_at(path, at, "a", 1);
        }
        assert_int_equal(whole, sample(b, path, 8));
    }
    assert_int_equal(hash_sample(b->folder, 8, &hash, &b->err), ERR_DATA);
    err_clear(&b->err);
    unlink(path);
    assert_int_equal(hash_sample(path, 8, &hash, &b->err), ERR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(stretches), TEST_FOLDER(small_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
