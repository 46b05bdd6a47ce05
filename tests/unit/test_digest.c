/* Digests: what is read of a sealed file is what was sealed, or nothing; whatever became of the file. */
#include "unitlib.h"

#include "hdf5/digest.h"
#include "hdf5/h5.h"
#include "hdf5/seen.h"

#include <hdf5.h>
#include <xxhash.h>

enum { PAGE_BYTES = DIGEST_BLOCK * DIGEST_PAGE };

static char *path_of(struct bench *b, const char *name)
{
    char *path = arena_printf(&b->arena, &b->err, "%s/%s", b->folder, name);
    assert_non_null(path);
    return path;
}

static void put_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The whole file, arena-owned. */
static unsigned char *get_file(struct bench *b, const char *path, size_t *n)
{
    struct stat st;
    unsigned char *bytes;
    assert_int_equal(stat(path, &st), 0);
    *n = (size_t)st.st_size;
    assert_int_equal(arena_array(&b->arena, "test", (int64_t)*n + 1, &bytes, &b->err), ERR_OK);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static void fill(unsigned char *bytes, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)next_random(&seed);
}

/* ---- the format ---- */

static void sizes_at_the_edges(void **state)
{
    static const int64_t sizes[] = {
        0, 1, DIGEST_BLOCK - 1, DIGEST_BLOCK, DIGEST_BLOCK + 1, PAGE_BYTES, PAGE_BYTES + 1};
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    unsigned char *bytes, *back;
    arena_array(&b->arena, "test", PAGE_BYTES + 1, &bytes, &b->err);
    arena_array(&b->arena, "test", PAGE_BYTES + 100, &back, &b->err);
    fill(bytes, PAGE_BYTES + 1, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t n = sizes[i];
        struct digest *d;
        put_file(path, bytes, (size_t)n);
        assert_int_equal(digest_seal(path, &b->arena, &b->err), ERR_OK);
        assert_int_equal(digest_open(path, &b->arena, &d, &b->err), ERR_OK);
        assert_int_equal(digest_bytes(d), n);
        memset(back, 7, (size_t)n + 50);
        assert_int_equal(digest_read(d, 0, n + 50, back), ERR_OK);
        assert_memory_equal(back, bytes, (size_t)n);
        for (int k = 0; k < 50; k++) /* behind the end, as HDF5's own drivers have it */
            assert_int_equal(back[n + k], 0);
        uint64_t seed = 5;
        for (int k = 0; k < 200 && n > 0; k++) {
            int64_t at = (int64_t)(next_random(&seed) % (uint64_t)n),
                    m = (int64_t)(next_random(&seed) % 70000);
            m = m < n - at ? m : n - at;
            assert_int_equal(digest_read(d, at, m, back), ERR_OK);
            assert_memory_equal(back, bytes + at, (size_t)m);
        }
        digest_close(d);
    }
}

/* The page of digest.h, read by nothing but itself. */
static void as_the_header_says(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    unsigned char bytes[2 * DIGEST_BLOCK + 10];
    size_t n, bytes_n = sizeof bytes;
    fill(bytes, bytes_n, 2);
    put_file(path, bytes, bytes_n);
    digest_seal(path, &b->arena, &b->err);
    unsigned char *f = get_file(b, path, &n);
    assert_int_equal(n, bytes_n + 3 * 8 + 8 + 64);
    uint64_t list[3], page, footer[8];
    memcpy(list, f + bytes_n, 24);
    memcpy(&page, f + bytes_n + 24, 8);
    memcpy(footer, f + bytes_n + 32, 64);
    assert_memory_equal(f, bytes, bytes_n);
    assert_true(list[0] == XXH3_64bits(bytes, DIGEST_BLOCK));
    assert_true(list[2] == XXH3_64bits(bytes + 2 * DIGEST_BLOCK, 10));
    assert_true(page == XXH3_64bits(list, 24));
    assert_memory_equal(footer, "sinew digests 1\n", 16);
    assert_int_equal(footer[2], bytes_n);
    assert_int_equal(footer[3], 16384);
    assert_int_equal(footer[4], 3);
    assert_true(footer[5] == XXH3_64bits(&page, 8));
    assert_true(footer[7] == XXH3_64bits(footer, 56));
    assert_true(digest_of(path) == footer[7]);
}

/* ---- hashed while it is written ---- */

enum { WRITERS = 3, SEEN_BLOCKS = 300 };

/* Writes anywhere, whole blocks and parts, some of them twice, by several processes, each with a seen of its
 * own. */
static void write_anyhow(struct bench *b, const char *path, int rounds, struct seen_file **seen,
                         uint64_t seed)
{
    static unsigned char bytes[40 * DIGEST_BLOCK];
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int p = 0; p < WRITERS; p++)
        assert_int_equal(seen_create(&seen[p], &b->arena, &b->err), ERR_OK);
    for (int i = 0; i < rounds; i++) {
        int64_t at = (int64_t)(next_random(&seed) % SEEN_BLOCKS) * DIGEST_BLOCK,
                n = (int64_t)(next_random(&seed) % 39) * DIGEST_BLOCK;
        if (next_random(&seed) % 4 == 0)
            at += (int64_t)(next_random(&seed) % DIGEST_BLOCK);
        if (next_random(&seed) % 4 == 0)
            n += (int64_t)(next_random(&seed) % DIGEST_BLOCK);
        fill(bytes, (size_t)n, next_random(&seed));
        seen_write(seen[next_random(&seed) % WRITERS], at, n, bytes);
        assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
        assert_int_equal(fwrite(bytes, 1, (size_t)n, f), n);
    }
    assert_int_equal(fclose(f), 0);
}

/* The list as the processes together make it up, against reading everything; returns how many blocks need not
 * be read. */
static int64_t list_as_if_read(struct bench *b, const char *path, struct seen_file **seen)
{
    static uint64_t read[DIGEST_PAGE], told[DIGEST_PAGE], some[DIGEST_PAGE];
    static uint16_t marks[DIGEST_PAGE], mark[DIGEST_PAGE];
    struct digest_writer w;
    struct stat st;
    int n = 0, also = 0;
    int64_t known = 0;
    memset(told, 0, sizeof told);
    memset(marks, 0, sizeof marks);
    for (int p = 0; p < WRITERS; p++) {
        seen_page(seen[p], 0, some, mark);
        for (int i = 0; i < DIGEST_PAGE; i++) {
            told[i] += some[i];
            marks[i] = (uint16_t)(marks[i] + mark[i]);
        }
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(digest_writer_open(&w, path, st.st_size, 0, &b->arena, &b->err), ERR_OK);
    assert_int_equal(digest_writer_page(&w, 0, NULL, read, &n, &b->err), ERR_OK);
    assert_int_equal(digest_writer_page(&w, 0, marks, told, &also, &b->err), ERR_OK);
    digest_writer_close(&w);
    assert_int_equal(n, also);
    assert_memory_equal(read, told, (size_t)n * sizeof *read);
    for (int i = 0; i < n; i++)
        known += marks[i] == SEEN_KNOWN;
    return known;
}

static void seen_is_as_if_read(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    struct seen_file *seen[WRITERS];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        write_anyhow(b, path, (int)seed, seen, seed);
        list_as_if_read(b, path, seen);
    }
    write_anyhow(b, path, 3, seen, 7);
    assert_true(list_as_if_read(b, path, seen) > 0);
}

/* Where there is no memory for hashes nothing is known, and nothing wrong is. */
static void seen_without_memory(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    struct seen_file *seen[WRITERS];
    b->mem.budget_bytes = b->mem.live_bytes + 1000000;
    write_anyhow(b, path, 30, seen, 11);
    b->mem.budget_bytes = 0;
    assert_int_equal(list_as_if_read(b, path, seen), 0);
}

/* An artifact of one process: all of the large data is known, and the digests are those of reading it. */
static void seen_by_hdf5(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f.h5");
    struct seen_file *seen;
    struct h5 *f;
    struct h5_bulk *fixed, *grows;
    static int64_t values[1 << 18];
    enum { N = 1 << 18, TIMES = 5 };
    fill((unsigned char *)values, sizeof values, 3);
    assert_int_equal(seen_create(&seen, &b->arena, &b->err), ERR_OK);
    assert_int_equal(h5_create_seen(path, seen, &b->arena, &f, &b->err), ERR_OK);
    h5_bulk(f, "/fixed", H5_INT64, TIMES * N, 0, "values", NULL, &fixed, &b->err);
    h5_bulk(f, "/grows", H5_INT64, 0, TIMES * N, "values", NULL, &grows, &b->err);
    for (int i = 0; i < TIMES; i++) {
        h5_put(fixed, (int64_t)i * N, N, values, &b->err);
        h5_bulk_grow(grows, (int64_t)(i + 1) * N, &b->err);
        h5_put(grows, (int64_t)i * N, N, values, &b->err);
    }
    h5_put(fixed, 5, 3000, values + 9, &b->err); /* over what was hashed */
    assert_int_equal(h5_close(f, &b->err), ERR_OK);
    uint64_t hashes[DIGEST_PAGE];
    uint16_t marks[DIGEST_PAGE];
    int known = 0;
    seen_page(seen, 0, hashes, marks);
    for (int i = 0; i < DIGEST_PAGE; i++)
        known += marks[i] == SEEN_KNOWN;
    const int all = 2 * TIMES * (int)(sizeof values / DIGEST_BLOCK);
    assert_true(known > all - 4 * TIMES && known <= all);
    assert_int_equal(digest_seal_seen(path, seen, &b->arena, &b->err), ERR_OK);
    size_t n, again;
    unsigned char *told = get_file(b, path, &n);
    struct digest *d;
    assert_int_equal(digest_open(path, &b->arena, &d, &b->err), ERR_OK);
    assert_int_equal(truncate(path, digest_bytes(d)), 0);
    digest_close(d);
    assert_int_equal(digest_seal(path, &b->arena, &b->err), ERR_OK);
    unsigned char *read = get_file(b, path, &again);
    assert_int_equal(n, again);
    assert_memory_equal(told, read, n);
}

/* ---- damage ---- */

/* A flipped bit, wherever it is: the file cannot be opened, or not be read. */
static void any_bit(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    unsigned char bytes[DIGEST_BLOCK + 100], back[sizeof bytes];
    size_t n;
    fill(bytes, sizeof bytes, 3);
    put_file(path, bytes, sizeof bytes);
    digest_seal(path, &b->arena, &b->err);
    unsigned char *f = get_file(b, path, &n);
    for (size_t i = 0; i < n; i += i < sizeof bytes - 200 ? 101 : 1) {
        struct digest *d;
        f[i] ^= (unsigned char)(1 << i % 8);
        put_file(path, f, n);
        f[i] ^= (unsigned char)(1 << i % 8);
        if (digest_open(path, &b->arena, &d, &b->err) == ERR_OK) {
            assert_int_equal(digest_read(d, 0, (int64_t)sizeof bytes, back), ERR_DATA);
            assert_non_null(strstr(digest_error(d)->text, "do not match the digests written with them"));
            assert_int_equal(digest_read(d, 0, 1, back), ERR_DATA); /* nothing of it any more */
            digest_close(d);
        } else {
            assert_int_equal(b->err.code, ERR_DATA);
            assert_true(i >= sizeof bytes);
        }
        err_clear(&b->err);
    }
    for (size_t keep = 0; keep < n; keep += keep < n - 120 ? 97 : 1) {
        struct digest *d;
        put_file(path, f, keep);
        assert_int_equal(digest_open(path, &b->arena, &d, &b->err), ERR_DATA);
        assert_non_null(strstr(b->err.text, "carries no digests"));
        assert_int_equal(digest_of(path), 0);
        err_clear(&b->err);
    }
}

/* The first damaged block of a range, and what a note of it is worth. */
static void blocks_and_notes(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "f");
    unsigned char bytes[5 * DIGEST_BLOCK];
    char why[120];
    struct digest *d;
    int64_t bad;
    fill(bytes, sizeof bytes, 4);
    put_file(path, bytes, sizeof bytes);
    digest_seal(path, &b->arena, &b->err);
    FILE *f = fopen(path, "r+b");
    assert_int_equal(fseek(f, 3 * DIGEST_BLOCK + 9, SEEK_SET), 0);
    fputc(bytes[3 * DIGEST_BLOCK + 9] ^ 1, f);
    fclose(f);
    assert_int_equal(digest_open(path, &b->arena, &d, &b->err), ERR_OK);
    assert_int_equal(digest_check(d, 0, 3, &bad, &b->err), ERR_OK);
    assert_int_equal(bad, -1);
    assert_false(digest_noted(path, why, sizeof why));
    assert_int_equal(digest_check(d, 1, 5, &bad, &b->err), ERR_OK);
    assert_int_equal(bad, 3);
    assert_true(digest_noted(path, why, sizeof why));
    assert_string_equal(why, "bytes [49152, 65536) do not match the digests written with them");
    digest_close(d);
    put_file(path, bytes, sizeof bytes); /* another file under that name */
    assert_false(digest_noted(path, why, sizeof why));
    put_file(path_of(b, "f.damaged"), "1 \x1b[31m\n", 8);
    assert_false(digest_noted(path, why, sizeof why));
    digest_note_remove(path);
    assert_int_not_equal(access(path_of(b, "f.damaged"), F_OK), 0);
}

/* ---- HDF5 ---- */

static void put_h5(struct bench *b, const char *path)
{
    struct h5 *f;
    struct h5_bulk *d;
    int64_t v[5000];
    for (int i = 0; i < 5000; i++)
        v[i] = 3 * i;
    h5_create(path, &b->arena, &f, &b->err);
    h5_bulk(f, "/v", H5_INT64, 5000, 0, "values", NULL, &d, &b->err);
    h5_put(d, 0, 5000, v, &b->err);
    h5_bulk(f, "/deep/grown", H5_INT64, 0, 5000, "values", NULL, &d, &b->err);
    h5_bulk_grow(d, 5000, &b->err);
    h5_put(d, 0, 5000, v, &b->err);
    h5_set_text(f, "/", "name", "value", &b->err);
    h5_link_external(f, "/elsewhere", "b.h5", "/v", &b->err);
    h5_close(f, &b->err);
    assert_int_equal(digest_seal(path, &b->arena, &b->err), ERR_OK);
}

/* Reads all that put_h5 wrote. Wrong values fail the test. */
static void read_h5(struct bench *b, const char *path)
{
    static const char *const names[] = {"/v", "/deep/grown"};
    struct h5 *f = NULL;
    struct h5_bulk *d;
    char *name;
    int64_t v[5000], n;
    h5_open_sealed(path, &b->arena, &f, &b->err);
    for (int k = 0; k < 2 && b->err.code == ERR_OK; k++)
        if (h5_find(f, names[k], H5_INT64, &d, &n, &b->err) == ERR_OK &&
            h5_get(d, 0, 5000, v, &b->err) == ERR_OK)
            for (int i = 0; i < 5000; i++)
                assert_int_equal(v[i], 3 * i);
    if (b->err.code == ERR_OK && h5_get_text(f, "/", "name", &name, &b->err) == ERR_OK)
        assert_string_equal(name, "value");
    h5_close(f, &b->err);
}

/* Whatever byte is another, HDF5 is shown none that was not written. */
static void hdf5_sees_no_damage(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "a.h5");
    int found = 0, trials = 0;
    size_t n;
    h5_start();
    put_h5(b, path);
    read_h5(b, path);
    assert_int_equal(b->err.code, ERR_OK);
    unsigned char *f = get_file(b, path, &n);
    uint64_t seed = 6;
    for (size_t i = 0; i < n; i += i < 3000 ? 7 : 311, trials++) {
        unsigned char was = f[i];
        f[i] = (unsigned char)(was ^ (1 + next_random(&seed) % 255));
        put_file(path, f, n);
        f[i] = was;
        read_h5(b, path);
        assert_true(b->err.code == ERR_OK || b->err.code == ERR_DATA);
        found += b->err.code == ERR_DATA;
        if (b->err.code == ERR_DATA && !strstr(b->err.text, "damaged"))
            assert_non_null(strstr(b->err.text, "carries no digests"));
        err_clear(&b->err);
    }
    assert_true(found > trials * 9 / 10); /* the rest lies where nothing was read */
}

/* A link into another file, whole or not, is no way into it; opened twice, one may be closed. */
static void links_and_twice(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "a.h5");
    struct h5 *f, *g;
    struct h5_bulk *d;
    int64_t v[10], n;
    h5_start();
    put_h5(b, path);
    put_h5(b, path_of(b, "b.h5"));
    struct arena first;
    arena_init(&first, &b->mem);
    assert_int_equal(h5_open_sealed(path, &first, &f, &b->err), ERR_OK);
    assert_int_equal(h5_open_sealed(path, &b->arena, &g, &b->err), ERR_OK);
    h5_close(f, &b->err);
    arena_release(&first);
    assert_int_equal(h5_find(g, "/v", H5_INT64, &d, &n, &b->err), ERR_OK);
    assert_int_equal(h5_get(d, 10, 10, v, &b->err), ERR_OK);
    assert_int_equal(v[9], 57);
    assert_int_equal(h5_find(g, "/elsewhere", H5_INT64, &d, &n, &b->err), ERR_DATA);
    err_clear(&b->err);
    h5_close(g, &b->err);
    assert_int_equal(b->err.code, ERR_OK);
}

/* HDF5 by itself reads the file as any other, and cuts the digests off where it opens it to write. */
static void others_read_it(void **state)
{
    struct bench *b = *state;
    const char *path = path_of(b, "a.h5");
    struct h5 *f;
    struct h5_bulk *d;
    int64_t v[5000], n;
    h5_start();
    put_h5(b, path);
    assert_int_equal(h5_open(path, 0, &b->arena, &f, &b->err), ERR_OK);
    h5_find(f, "/elsewhere", H5_INT64, &d, &n, &b->err);
    assert_int_equal(b->err.code, ERR_DATA); /* there is no b.h5 */
    err_clear(&b->err);
    assert_int_equal(h5_find(f, "/v", H5_INT64, &d, &n, &b->err), ERR_OK);
    assert_int_equal(h5_get(d, 0, 5000, v, &b->err), ERR_OK);
    assert_int_equal(v[4999], 3 * 4999);
    h5_close(f, &b->err);
    assert_true(digest_of(path) != 0);
    h5_open(path, 1, &b->arena, &f, &b->err);
    h5_set_text(f, "/", "name", "other", &b->err);
    h5_close(f, &b->err);
    assert_int_equal(b->err.code, ERR_OK);
    assert_true(digest_of(path) == 0);
    read_h5(b, path);
    assert_int_equal(b->err.code, ERR_DATA);
    assert_non_null(strstr(b->err.text, "carries no digests"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_FOLDER(sizes_at_the_edges), TEST_FOLDER(as_the_header_says),  TEST_FOLDER(any_bit),
        TEST_FOLDER(blocks_and_notes),   TEST_FOLDER(hdf5_sees_no_damage), TEST_FOLDER(links_and_twice),
        TEST_FOLDER(others_read_it),     TEST_FOLDER(seen_is_as_if_read),  TEST_FOLDER(seen_without_memory),
        TEST_FOLDER(seen_by_hdf5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
