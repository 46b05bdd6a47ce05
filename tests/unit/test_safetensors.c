/* The safetensors reader against the malformed files of the format's own test suite and attack list, and
 * files that others met. */
#include "safetensorslib.h"

#include "malformed_safetensors.h"

static void write_raw(const char *path, const void *bytes, size_t n)
{
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_malformed(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct malformed *c = &cases[i];
        uint64_t announced = c->announced == -1 ? c->n : (uint64_t)c->announced;
        if (strncmp(c->what, "3 ", 2) == 0)
            announced = 0xffffff0000000000u | c->n;
        if (strncmp(c->what, "26 ", 3) == 0)
            announced = c->n + 1;
        write_file(f->path, announced, c->header, c->n, c->data);
        struct safetensors s;
        err_clear(&f->bench.err);
        err_t code = safetensors_open(&s, f->path, &f->bench.arena, &f->bench.err);
        if ((int)code != c->verdict)
            fail_msg("%s: code %d, expected %d: %s", c->what, (int)code, c->verdict, f->bench.err.text);
        if (code == ERR_OK) {
            if (s.ntensors != c->tensors)
                fail_msg("%s: %lld tensors", c->what, (long long)s.ntensors);
            int64_t at = s.data_start;
            for (int64_t k = 0; k < s.ntensors; k++) {
                assert_true(s.tensors[k].offset_bytes == at);
                at += s.tensors[k].size_bytes;
            }
            assert_true(at == s.size_bytes);
        } else {
            if (!strstr(f->bench.err.text, f->path))
                fail_msg("%s: the message does not name the file: %s", c->what, f->bench.err.text);
            for (int k = 0; k < 4 && c->contains[k]; k++)
                if (!strstr(f->bench.err.text, c->contains[k]))
                    fail_msg("%s: \"%s\" is not in: %s", c->what, c->contains[k], f->bench.err.text);
            for (const char *p = f->bench.err.text; *p; p++)
                if ((unsigned char)*p < 0x20)
                    fail_msg("%s: a control character reaches the message", c->what);
            if (getenv("SINEW_TEST_SHOW"))
                print_message("%s: %s\n", c->what, f->bench.err.text);
        }
        arena_reset(&f->bench.arena);
        assert_int_equal(f->bench.mem.live_bytes, 0);
    }
}

static void expect(struct fixture *f, err_t expected, const char *contains)
{
    struct safetensors s;
    err_clear(&f->bench.err);
    err_t code = safetensors_open(&s, f->path, &f->bench.arena, &f->bench.err);
    if (code != expected || (contains && !strstr(f->bench.err.text, contains)))
        fail_msg("code %d: %s", (int)code, f->bench.err.text);
    arena_reset(&f->bench.arena);
    assert_int_equal(f->bench.mem.live_bytes, 0);
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    expect(f, ERR_DATA, "cannot be opened"); /* 23: not there */
    write_raw(f->path, "", 0);               /* 1 */
    expect(f, ERR_DATA, "expected at least 8 bytes (the header's length), found 0");
    write_raw(f->path, "1234567", 7);
    expect(f, ERR_DATA, "found 7");
    const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    write_raw(f->path, lfs, sizeof lfs - 1);
    expect(f, ERR_DATA, "git-lfs pointer");
    unlink(f->path);
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect(f, ERR_DATA, "no regular file");
    rmdir(f->path);
    assert_int_equal(mkfifo(f->path, 0600), 0); /* must not wait for a writer */
    expect(f, ERR_DATA, "no regular file");
}

/* 27, 28: very many entries at one place; and the same under a small budget. */
static void test_many(void **state)
{
    struct fixture *f = *state;
    enum { N = 100000 };
    char *text = malloc((size_t)N * 80 + 10), *p = text;
    p += snprintf(p, 10, "{");
    for (int i = 0; i < N; i++)
        p += snprintf(p, 80, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}",
                      i ? "," : "", i);
    *p++ = '}';
    write_file(f->path, (uint64_t)(p - text), text, (size_t)(p - text), 16);
    expect(f, ERR_DATA, "overlap");
    f->bench.mem.budget_bytes = (size_t)24 << 20;
    expect(f, ERR_SYSTEM, "memory budget");
    f->bench.mem.budget_bytes = (size_t)1 << 20;
    expect(f, ERR_SYSTEM, "memory budget");
    f->bench.mem.budget_bytes = 0;
    free(text);
}

/* A list in a list in a list ...: refused by depth, not by the stack. */
static void test_deep(void **state)
{
    struct fixture *f = *state;
    enum { N = 1000000 };
    char *text = malloc(N);
    memset(text, '[', N);
    memcpy(text, "{\"a\":", 5);
    write_file(f->path, N, text, N, 0);
    expect(f, ERR_DATA, "no valid JSON");
    free(text);
}

/* Header lengths around 100 000, where a published client broke. */
static void test_lengths(void **state)
{
    struct fixture *f = *state;
    for (size_t n = 99990; n <= 100001; n++) {
        char *text = malloc(n);
        memset(text, ' ', n);
        memcpy(text, "{" I32("a", "[1]", 0, 4), sizeof("{" I32("a", "[1]", 0, 4)) - 1);
        text[n - 1] = '}';
        write_file(f->path, n, text, n, 4);
        expect(f, ERR_OK, NULL);
        free(text);
    }
}

/* Any single damage to a good file is either harmless or refused, and never more than that. */
static void test_damage(void **state)
{
    struct fixture *f = *state;
    struct stored_tensor t[3] = {
        {.name = "model.layers.0.q_proj.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {3, 4}},
        {.name = "n", .dtype = DTYPE_F32, .ndim = 1, .dims = {5}},
        {.name = "s", .dtype = DTYPE_I64, .ndim = 0}};
    char *header;
    int64_t n;
    const char *const metadata[] = {"format", "pt"};
    assert_int_equal(safetensors_header(t, 3, metadata, 1, &f->bench.arena, &header, &n, &f->bench.err),
                     ERR_OK);
    size_t total = (size_t)n + 24 + 20 + 8;
    char *good = calloc(1, total), *bad = malloc(total);
    memcpy(good, header, (size_t)n);
    arena_reset(&f->bench.arena);
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 4000; round++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bad, good, total);
        size_t at = (size_t)(x >> 8) % (size_t)n, size = total;
        switch (round % 4) {
        case 0:
            bad[at] = (char)x;
            break;
        case 1:
            bad[at] ^= (char)(1 << (x & 7));
            break;
        case 2:
            size = (size_t)(x >> 8) % total;
            break;
        default:
            memmove(bad + at, bad + at + 1, total - at - 1);
            bad[8 + (x >> 40) % 60] = "0123456789-[]{},\":. e"[x % 21];
            break;
        }
        write_raw(f->path, bad, size);
        struct safetensors s;
        err_clear(&f->bench.err);
        err_t code = safetensors_open(&s, f->path, &f->bench.arena, &f->bench.err);
        assert_true(code == ERR_OK || code == ERR_DATA);
        assert_true(code == ERR_OK || f->bench.err.text[0]);
        arena_reset(&f->bench.arena);
        assert_int_equal(f->bench.mem.live_bytes, 0);
    }
    free(bad);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_malformed), TEST(test_files),   TEST(test_many),
        TEST(test_deep),      TEST(test_lengths), TEST(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
