/* Zip archives: entries found where their own headers have them, ZIP64 too; and one harm after another done
 * to a good archive, each with its verdict and what the message must say. */
#include "torchlib.h"

#include "formats/torch/zip.h"

#include <fcntl.h>

struct fixture {
    struct bench bench;
    struct zipped z;
    struct zip zip;
    char path[200];
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/a.zip", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static void make(struct fixture *f, int wide, int streamed)
{
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "top/data.pkl", "pickle", 6, streamed);
    zipped_add(&f->z, "top/data/0", "0123456789", 10, streamed);
    zipped_add(&f->z, "top/data/1", "", 0, 0);
    zipped_add(&f->z, "top/version", "3\n", 2, streamed);
    zipped_end(&f->z, wide);
}

static err_t open_bytes(struct fixture *f, size_t n)
{
    bytes_write(f->path, f->z.b, n);
    err_clear(&f->bench.err);
    int fd = open(f->path, O_RDONLY);
    assert_true(fd >= 0);
    err_t code = zip_open(&f->zip, f->path, fd, (int64_t)n, &f->bench.arena, &f->bench.err);
    char *bytes;
    if (code == ERR_OK)
        for (int i = 0; i < f->z.entries; i++) {
            const struct zip_entry *entry = zip_find(&f->zip, f->z.names[i]);
            if (!entry)
                continue;
            assert_int_equal(entry->offset_bytes, f->z.data[i]);
            assert_int_equal(entry->size_bytes, f->z.sizes[i]);
            assert_int_equal(zip_read(&f->zip, entry, 10, &f->bench.arena, &bytes, &f->bench.err), ERR_OK);
            assert_memory_equal(bytes, f->z.b + f->z.data[i], f->z.sizes[i]);
        }
    close(fd);
    return code;
}

static void test_good(void **state)
{
    struct fixture *f = *state;
    uint64_t hashes[4];
    for (int k = 0; k < 4; k++) {
        make(f, k & 1, k >> 1);
        assert_int_equal(open_bytes(f, f->z.n), ERR_OK);
        assert_int_equal(f->zip.nentries, 4);
        assert_null(zip_find(&f->zip, "top/data/2"));
        assert_null(zip_find(&f->zip, ""));
        hashes[k] = f->zip.directory_hash;
        assert_int_equal(zip_find(&f->zip, "top/data/0")->offset_bytes % 64, 0);
    }
    assert_true(hashes[0] != hashes[1]);
    char *bytes;
    assert_int_equal(
        zip_read(&f->zip, zip_find(&f->zip, "top/data/0"), 9, &f->bench.arena, &bytes, &f->bench.err),
        ERR_DATA);
    memset(&f->z, 0, sizeof f->z); /* without entries */
    zipped_end(&f->z, 0);
    assert_int_equal(open_bytes(f, f->z.n), ERR_OK);
    assert_null(zip_find(&f->zip, "top/data/0"));
    make(f, 1, 0); /* a comment, in which an end record is no end record */
    set_number(&f->z, f->z.end + 20, 30, 2);
    put_bytes(&f->z, f->z.b + f->z.end, 22);
    put_bytes(&f->z, "12345678", 8);
    assert_int_equal(open_bytes(f, f->z.n), ERR_OK);
}

/* An archive between other bytes, more than what is kept of its ends, is read as if it were a file. */
static void test_window(void **state)
{
    struct fixture *f = *state;
    struct bench *b = &f->bench;
    static char junk[5000], big[9000];
    memset(junk, 'P', sizeof junk);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 23);
    for (int large = 0; large < 2; large++) {
        memset(&f->z, 0, sizeof f->z);
        zipped_add(&f->z, "archive/data.pkl", "pickle", 6, 1);
        zipped_add(&f->z, "archive/data/0", big, large ? sizeof big : 40, 1);
        zipped_end(&f->z, large);
        FILE *out = fopen(f->path, "wb");
        assert_non_null(out);
        for (int k = 0; k < 2; k++)
            assert_int_equal(fwrite(junk, 1, sizeof junk, out), sizeof junk);
        assert_int_equal(fwrite(f->z.b, 1, f->z.n, out), f->z.n);
        assert_int_equal(fwrite(junk, 1, sizeof junk, out), sizeof junk);
        assert_int_equal(fclose(out), 0);
        int fd = open(f->path, O_RDONLY);
        assert_true(fd >= 0);
        err_clear(&b->err);
        assert_int_equal(zip_open_at(&f->zip, "an item", fd, 10000, (int64_t)f->z.n, &b->arena, &b->err),
                         ERR_OK);
        const struct zip_entry *entry = zip_find(&f->zip, "archive/data/0");
        assert_non_null(entry);
        assert_int_equal(entry->offset_bytes, 10000 + f->z.data[1]);
        char *bytes;
        assert_int_equal(zip_read(&f->zip, entry, sizeof big, &b->arena, &bytes, &b->err), ERR_OK);
        assert_memory_equal(bytes, big, entry->size_bytes);
        assert_int_equal(zip_open_at(&f->zip, "an item", fd, 9999, (int64_t)f->z.n, &b->arena, &b->err),
                         ERR_DATA);
        close(fd);
    }
}

enum place { LOCAL_1, DATA_1, HEADER_0, HEADER_1, HEADER_2, HEADER_3, END64, LOCATOR, END };

struct harm {
    enum place place;
    int offset, bytes;
    uint64_t value;
};

static const struct harmed {
    const char *what;
    int wide;
    struct harm harms[3];
    int verdict;
    const char *contains[4];
} cases[] = {
    {"nothing", 0, {{0}}, ERR_OK, {0}},
    {"checksums are not compared", 0, {{HEADER_1, 16, 4, 1234}}, ERR_OK, {0}},
    {"no end", 0, {{END, 0, 1, 'Q'}}, ERR_DATA, {"truncated, or no zip archive", "copy the file again"}},
    {"end of several parts", 0, {{END, 4, 2, 1}}, ERR_DATA, {"in several parts"}},
    {"end with two counts", 0, {{END, 8, 2, 3}}, ERR_DATA, {"in several parts"}},
    {"comment longer than the file", 0, {{END, 20, 2, 1}}, ERR_DATA, {"no zip archive"}},
    {"directory elsewhere",
     0,
     {{END, 16, 4, 7}},
     ERR_DATA,
     {"central directory of", "at byte 7", "expected to end"}},
    {"directory beyond the file",
     0,
     {{END, 16, 4, 0xfffffff0}},
     ERR_DATA,
     {"at byte 4294967280", "expected to end"}},
    {"directory too long",
     0,
     {{END, 12, 4, 0xfffffff0}},
     ERR_DATA,
     {"central directory of 4294967280 bytes"}},
    {"too many entries", 0, {{END, 8, 2, 60000}, {END, 10, 2, 60000}}, ERR_DATA, {"60000 entries announced"}},
    {"one entry more", 0, {{END, 8, 2, 5}, {END, 10, 2, 5}}, ERR_DATA, {"5 entries announced"}},
    {"one entry less", 0, {{END, 8, 2, 3}, {END, 10, 2, 3}}, ERR_DATA, {"bytes behind its last entry"}},
    {"locator to nowhere",
     1,
     {{LOCATOR, 8, 8, UINT64_MAX}},
     ERR_DATA,
     {"ZIP64 end record at byte 18446744073709551615"}},
    {"locator to the entries", 1, {{LOCATOR, 8, 8, 0}}, ERR_DATA, {"no ZIP64 end record", "at byte 0"}},
    {"several disks", 1, {{LOCATOR, 16, 4, 2}}, ERR_DATA, {"in several parts"}},
    {"wide end of another size", 1, {{END64, 4, 8, 45}}, ERR_DATA, {"no ZIP64 end record of fitting size"}},
    {"wide end of several parts", 1, {{END64, 24, 8, 3}}, ERR_DATA, {"in several parts"}},
    {"wide end beyond all",
     1,
     {{END64, 48, 8, UINT64_MAX}},
     ERR_DATA,
     {"18446744073709551615", "expected to end"}},
    {"wide size beyond all", 1, {{END64, 40, 8, UINT64_MAX}}, ERR_DATA, {"18446744073709551615 bytes"}},
    {"wide count beyond all",
     1,
     {{END64, 24, 8, 1u << 30}, {END64, 32, 8, 1u << 30}},
     ERR_DATA,
     {"1073741824 entries"}},
    {"two ends that differ",
     1,
     {{END, 8, 2, 3}, {END, 10, 2, 3}},
     ERR_DATA,
     {"contradict each other: 3 and 4"}},
    {"two ends that agree", 1, {{END, 8, 2, 4}, {END, 10, 2, 4}}, ERR_OK, {0}},
    {"no header in the directory", 0, {{HEADER_1, 0, 1, 'Q'}}, ERR_DATA, {"no header of entry 1"}},
    {"name beyond the directory", 0, {{HEADER_3, 28, 2, 999}}, ERR_DATA, {"entry 3 is cut off"}},
    {"name of nothing", 0, {{HEADER_1, 28, 2, 0}}, ERR_DATA, {"entry 1: name of 0 bytes"}},
    {"NUL in a name", 0, {{HEADER_1, 48, 1, 0}}, ERR_DATA, {"entry 1: its name holds the byte 0x00"}},
    {"escape in a name", 0, {{HEADER_1, 48, 1, 27}}, ERR_DATA, {"its name holds the byte 0x1b"}},
    {"no UTF-8 in a name", 0, {{HEADER_1, 48, 1, 255}}, ERR_DATA, {"its name holds the byte 0xff"}},
    {"encrypted", 0, {{HEADER_1, 8, 2, 1}}, ERR_DATA, {"top/data/0 is encrypted"}},
    {"masked", 0, {{HEADER_1, 8, 2, 1 << 13}}, ERR_DATA, {"top/data/0 is encrypted"}},
    {"compressed",
     0,
     {{HEADER_1, 10, 2, 8}},
     ERR_DATA,
     {"top/data/0 is compressed (method 8)", "save its state dict"}},
    {"two sizes", 0, {{HEADER_1, 20, 4, 9}}, ERR_DATA, {"top/data/0: 10 bytes stored as 9"}},
    {"another size than its own header",
     0,
     {{HEADER_1, 20, 4, 9}, {HEADER_1, 24, 4, 9}},
     ERR_DATA,
     {"9 bytes in the", "10 in its"}},
    {"size beyond the file",
     0,
     {{HEADER_1, 20, 4, 0xfffffff0}, {HEADER_1, 24, 4, 0xfffffff0}},
     ERR_DATA,
     {"4294967280 bytes behind"}},
    {"size without ZIP64 field",
     0,
     {{HEADER_1, 24, 4, 0xffffffff}},
     ERR_DATA,
     {"damaged extra field in the central"}},
    {"place beyond the file",
     0,
     {{HEADER_1, 42, 4, 0x7fffffff}},
     ERR_DATA,
     {"header at byte 2147483647", "expected before"}},
    {"place of nothing", 0, {{HEADER_1, 42, 4, 1}}, ERR_DATA, {"no header at byte 1"}},
    {"place of another", 0, {{HEADER_1, 42, 4, 0}}, ERR_DATA, {"tells another name"}},
    {"two of one name and place", 0, {{HEADER_3, 42, 4, 0}, {HEADER_3, 28, 2, 11}}, ERR_DATA, {0}},
    {"wide size beyond all, in an entry",
     1,
     {{HEADER_1, 60, 8, UINT64_MAX}, {HEADER_1, 68, 8, UINT64_MAX}},
     ERR_DATA,
     {"18446744073709551615"}},
    {"wide place beyond all",
     1,
     {{HEADER_1, 76, 8, UINT64_MAX}},
     ERR_DATA,
     {"header at byte 18446744073709551615"}},
    {"extra field beyond its end", 1, {{HEADER_1, 58, 2, 25}}, ERR_DATA, {"damaged extra field"}},
    {"extra field without the place", 1, {{HEADER_1, 58, 2, 16}}, ERR_DATA, {"damaged extra field"}},
    {"extra field of another kind", 1, {{HEADER_1, 56, 2, 2}}, ERR_DATA, {"damaged extra field"}},
    {"own header of another method",
     0,
     {{LOCAL_1, 8, 2, 8}},
     ERR_DATA,
     {"top/data/0", "another name, method"}},
    {"own header encrypted", 0, {{LOCAL_1, 6, 2, 1}}, ERR_DATA, {"another name, method or encryption"}},
    {"own header of another name", 0, {{LOCAL_1, 35, 1, 'x'}}, ERR_DATA, {"another name"}},
    {"own header of a shorter name",
     0,
     {{LOCAL_1, 26, 2, 9}, {LOCAL_1, 28, 2, 0}},
     ERR_DATA,
     {"another name"}},
    {"own header of another size",
     0,
     {{LOCAL_1, 18, 4, 11}, {LOCAL_1, 22, 4, 11}},
     ERR_DATA,
     {"11 in its own header"}},
    {"own size without ZIP64 field",
     0,
     {{LOCAL_1, 18, 4, 0xffffffff}, {LOCAL_1, 22, 4, 0xffffffff}},
     ERR_DATA,
     {"damaged extra field in its own"}},
    {"own sizes left to a descriptor",
     0,
     {{LOCAL_1, 6, 2, 0x808}, {LOCAL_1, 18, 4, 0}, {LOCAL_1, 22, 4, 0}},
     ERR_OK,
     {0}},
    {"own sizes of nothing",
     0,
     {{LOCAL_1, 18, 4, 0}, {LOCAL_1, 22, 4, 0}},
     ERR_DATA,
     {"0 in its own header"}},
    {"extra field up to the directory",
     0,
     {{LOCAL_1, 28, 2, 65535}},
     ERR_DATA,
     {"expected before the central directory"}},
};

static size_t place_of(const struct zipped *z, enum place p)
{
    switch (p) {
    case LOCAL_1:
        return z->local[1];
    case DATA_1:
        return z->data[1];
    case HEADER_0:
    case HEADER_1:
    case HEADER_2:
    case HEADER_3:
        return z->header[p - HEADER_0];
    case END64:
        return z->end64;
    case LOCATOR:
        return z->locator;
    default:
        return z->end;
    }
}

static void test_harm(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct harmed *c = &cases[i];
        make(f, c->wide, 0);
        for (int k = 0; k < 3; k++)
            set_number(&f->z, place_of(&f->z, c->harms[k].place) + (size_t)c->harms[k].offset,
                       c->harms[k].value, c->harms[k].bytes);
        err_t code = open_bytes(f, f->z.n);
        if ((int)code != c->verdict)
            fail_msg("%s: verdict %d, expected %d: %s", c->what, (int)code, c->verdict, f->bench.err.text);
        check_message(&f->bench.err, c->what, c->contains);
        arena_reset(&f->bench.arena);
    }
}

/* Entries that share bytes, or a name. */
static void test_overlap(void **state)
{
    struct fixture *f = *state;
    /* An entry within another: its header is data of the first. */
    struct zipped inner = {0};
    zipped_add(&inner, "top/inner", "xyz", 3, 0);
    zipped_add(&f->z, "top/outer", inner.b, inner.n, 0);
    f->z.entries = 2;
    f->z.names[1] = "top/inner";
    f->z.local[1] = f->z.data[0];
    f->z.sizes[1] = 3;
    zipped_end(&f->z, 0);
    assert_int_equal(open_bytes(f, f->z.n), ERR_DATA);
    check_message(&f->bench.err, "inner",
                  (const char *const[4]){"top/outer and top/inner overlap", "begins at byte"});
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "top/data/0", "xyz", 3, 0);
    zipped_add(&f->z, "top/data/0", "abc", 3, 0);
    zipped_end(&f->z, 0);
    assert_int_equal(open_bytes(f, f->z.n), ERR_DATA);
    check_message(&f->bench.err, "twice", (const char *const[4]){"top/data/0 stands there twice"});
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "top/data/0", "xyz", 3, 0);
    f->z.entries = 2; /* the same place listed twice */
    f->z.names[1] = f->z.names[0];
    f->z.local[1] = f->z.local[0];
    f->z.sizes[1] = 3;
    zipped_end(&f->z, 0);
    assert_int_equal(open_bytes(f, f->z.n), ERR_DATA);
    check_message(&f->bench.err, "one place", (const char *const[4]){"overlap"});
}

/* Cut short at every byte: refused, and never read beyond the end. */
static void test_cut(void **state)
{
    struct fixture *f = *state;
    make(f, 1, 1);
    for (size_t n = 0; n < f->z.n; n++) {
        err_t code = open_bytes(f, n);
        if (code != ERR_DATA)
            fail_msg("%zu of %zu bytes: verdict %d", n, f->z.n, (int)code);
        arena_reset(&f->bench.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_good), TEST(test_window), TEST(test_harm),
                                       TEST(test_overlap), TEST(test_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
