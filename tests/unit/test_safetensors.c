/* The safetensors reader against the malformed files of the format's own test suite and attack list, and
 * files that others met. */
#include "unitlib.h"

struct fixture {
    struct bench bench;
    char path[250];
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/model.safetensors", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

/* Announced length, header bytes, then data_bytes of data. */
static void write_file(const char *path, uint64_t announced, const void *header, size_t n, size_t data_bytes)
{
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(announced >> (8 * i) & 255), f);
    assert_int_equal(fwrite(header, 1, n, f), n);
    for (size_t i = 0; i < data_bytes; i++)
        fputc((int)(i & 255), f);
    assert_int_equal(fclose(f), 0);
}

static void write_raw(const char *path, const void *bytes, size_t n)
{
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

#define I32(name, shape, from, to) \
    "\"" name "\":{\"dtype\":\"I32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"
#define HEADER(text) text, sizeof(text) - 1, -1
enum { GOOD = ERR_OK, BAD = ERR_DATA };

static const struct malformed {
    const char *what;
    const char *header;
    size_t n;
    int64_t announced; /* -1: as long as it is */
    size_t data;
    int verdict;
    int64_t tensors;
    const char *contains[4]; /* of the message, beside the path */
} cases[] = {
    /* the reference's own tests, in the order of its list */
    {"2 header missing",
     "",
     0,
     60,
     0,
     BAD,
     0,
     {"truncated within its header", "expected at least 68 bytes", "found 8"}},
    {"3 header length beyond all", HEADER("{}"), 0, BAD, 0, {0}},
    {"4 no UTF-8", HEADER("\xff"), 0, BAD, 0, {"no valid JSON", "0xff"}},
    {"5 JSON cut", HEADER("{"), 0, BAD, 0, {"no valid JSON", "byte"}},
    {"6 white space after", HEADER("{}\r \t\n"), 0, GOOD, 0, {0}},
    {"7 white space before", HEADER("\t\n{}\r "), 0, GOOD, 0, {0}},
    {"8 bytes after the end",
     HEADER("{" I32("test", "[2,2]", 0, 16) "}"),
     16 + 32,
     BAD,
     0,
     {"bytes after the last tensor, test", "expected a file of 84 bytes", "found 116"}},
    {"9 two bytes missing",
     HEADER("{" I32("test", "[2,2]", 0, 16) "}"),
     14,
     BAD,
     0,
     {"truncated: tensor test", "expected a file of 84 bytes", "found 82"}},
    {"10 all in one place",
     HEADER("{" I32("a", "[2,2]", 0, 16) "," I32("b", "[2,2]", 0, 16) "," I32("c", "[2,2]", 0, 16) "}"),
     16,
     BAD,
     0,
     {"tensor b", "overlap", "expected to begin at byte 16"}},
    {"11 size mismatch",
     HEADER("{" I32("test", "[2,2]", 0, 4) "}"),
     16,
     BAD,
     0,
     {"tensor test", "expected 16 bytes", "found 4", "2x2 of I32"}},
    {"12 shape beyond 64 bits",
     HEADER("{" I32("test", "[2,18446744073709551614]", 0, 16) "}"),
     16,
     BAD,
     0,
     {"tensor test", "shape", "expected an integer of 64 bits", "found the real number 1.84467440737095"}},
    {"13 size overflows",
     HEADER("{" I32("test", "[2,9223372036854775807]", 0, 16) "}"),
     16,
     BAD,
     0,
     {"tensor test", "overflows", "2x9223372036854775807"}},
    {"14 empty tensor", HEADER("{" I32("test", "[2,0]", 0, 0) "}"), 0, GOOD, 1, {0}},
    {"15 scalar", HEADER("{" I32("test", "[]", 0, 4) "}"), 4, GOOD, 1, {0}},
    {"16a F4", HEADER("{\"t\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,1]}}"), 1, GOOD, 1, {0}},
    {"16b F4 misaligned",
     HEADER("{\"t\":{\"dtype\":\"F4\",\"shape\":[1,3],\"data_offsets\":[0,1]}}"),
     1,
     BAD,
     0,
     {"tensor t", "misaligned", "F4"}},
    {"16c F4 of two bytes",
     HEADER("{\"t\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,2]}}"),
     2,
     BAD,
     0,
     {"tensor t", "expected 1 bytes", "found 2"}},
    {"16d F6",
     HEADER("{\"t\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}"),
     3,
     GOOD,
     1,
     {0}},
    {"20 cut within the header",
     "{\"a\":{\"dtype\":\"F32\"",
     20,
     200,
     0,
     BAD,
     0,
     {"truncated within its header", "expected at least 208 bytes", "found 28"}},
    {"21 one byte of 4 MiB",
     HEADER("{\"w\":{\"dtype\":\"F32\",\"shape\":[1024,1024],\"data_offsets\":[0,4194304]}}"),
     1,
     BAD,
     0,
     {"truncated: tensor w", "expected a file of 4194380 bytes", "found 77"}},
    {"22 unknown dtype",
     HEADER("{\"w\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
     4,
     BAD,
     0,
     {"tensor w", "unknown dtype \"F33\"", "expected BF16"}},
    {"25 metadata alone", HEADER("{\"__metadata__\":{\"format\":\"pt\"}}"), 0, GOOD, 0, {0}},
    {"26 header longer than the file", HEADER("{}"), 0, BAD, 0, {0}},
    /* rules and attacks beside them */
    {"length of exactly the limit",
     "{}",
     2,
     100000000,
     0,
     BAD,
     0,
     {"truncated", "expected at least 100000008 bytes"}},
    {"length one above the limit",
     "{}",
     2,
     100000001,
     0,
     BAD,
     0,
     {"100000001", "expected at most 100000000"}},
    {"length with the top bit", "{}", 2, INT64_MIN, 0, BAD, 0, {"9223372036854775808", "expected at most"}},
    {"header of no bytes", "", 0, 0, 0, BAD, 0, {"header of 0 bytes"}},
    {"a list", HEADER("[]"), 0, BAD, 0, {"expected a JSON map", "found a list"}},
    {"a number", HEADER("7"), 0, BAD, 0, {"no valid JSON"}},
    {"null", HEADER("null"), 0, BAD, 0, {"no valid JSON"}},
    {"two values", HEADER("{}{}"), 0, BAD, 0, {"no valid JSON"}},
    {"padded with NUL", "{}\0\0\0\0\0\0", 8, -1, 0, BAD, 0, {"no valid JSON", "NUL byte"}},
    {"NUL in a key", HEADER("{\"a\\u0000b\":{}}"), 0, BAD, 0, {"no valid JSON"}},
    {"byte order mark", HEADER("\xef\xbb\xbf{}"), 0, BAD, 0, {"no valid JSON"}},
    {"comma at the end", HEADER("{" I32("a", "[1]", 0, 4) ",}"), 4, BAD, 0, {"no valid JSON"}},
    {"duplicate tensor",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("a", "[1]", 4, 8) "}"),
     8,
     BAD,
     0,
     {"duplicate key \"a\"", "byte"}},
    {"duplicate with a long name",
     HEADER("{" I32("model.layers.0.self_attn.q_proj.weight", "[1]", 0,
                    4) "," I32("model.layers.0.self_attn.q_proj.weight", "[1]", 4, 8) "}"),
     8,
     BAD,
     0,
     {"duplicate key \"model.layers.0.self_attn.q_proj.weight\""}},
    {"duplicate by escapes",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("\\u0061", "[1]", 4, 8) "}"),
     8,
     BAD,
     0,
     {"duplicate key"}},
    {"duplicate field",
     HEADER("{\"a\":{\"dtype\":\"I32\",\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
     4,
     BAD,
     0,
     {"duplicate key \"dtype\""}},
    {"hole at the start",
     HEADER("{" I32("a", "[1]", 4, 8) "}"),
     8,
     BAD,
     0,
     {"tensor a", "hole", "expected to begin at byte 0"}},
    {"hole between",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("b", "[1]", 8, 12) "}"),
     12,
     BAD,
     0,
     {"tensor b", "hole", "byte 4, at the end of tensor a"}},
    {"overlap by one",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("b", "[1]", 3, 7) "}"),
     7,
     BAD,
     0,
     {"tensor b", "overlap"}},
    {"offsets reversed", HEADER("{" I32("a", "[1]", 4, 0) "}"), 4, BAD, 0, {"tensor a", "reversed"}},
    {"offset negative",
     HEADER("{" I32("a", "[1]", -4, 0) "}"),
     4,
     BAD,
     0,
     {"tensor a", "data_offsets", "not below 0", "found -4"}},
    {"offset with a fraction",
     HEADER("{" I32("a", "[1]", 0, 4.0) "}"),
     4,
     BAD,
     0,
     {"tensor a", "data_offsets", "found the real number 4"}},
    {"offset a text",
     HEADER("{" I32("a", "[1]", 0, "4") "}"),
     4,
     BAD,
     0,
     {"tensor a", "data_offsets", "found a text"}},
    {"offset beyond 64 bits",
     HEADER("{" I32("a", "[1]", 0, 99999999999999999999) "}"),
     4,
     BAD,
     0,
     {"tensor a", "data_offsets", "real number 1e+20"}},
    {"beyond 64 bits in the second tensor",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("b", "[99999999999999999999]", 4, 8) "}"),
     8,
     BAD,
     0,
     {"tensor b", "shape"}},
    {"end at the last 64-bit number",
     HEADER("{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,"
            "9223372036854775807]}}"),
     4,
     BAD,
     0,
     {"tensor a", "overflows"}},
    {"far beyond the file",
     HEADER("{\"a\":{\"dtype\":\"U8\",\"shape\":[2305843009213693951],\"data_offsets\":[0,"
            "2305843009213693951]}}"),
     4,
     BAD,
     0,
     {"truncated: tensor a", "expected a file of 2305843009213694048 bytes", "found 101"}},
    {"one offset",
     HEADER("{\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0]}}"),
     4,
     BAD,
     0,
     {"tensor a", "expected 2 numbers", "found 1"}},
    {"three offsets",
     HEADER("{\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}"),
     4,
     BAD,
     0,
     {"tensor a", "found 3"}},
    {"offsets missing",
     HEADER("{\"a\":{\"dtype\":\"I32\",\"shape\":[1]}}"),
     4,
     BAD,
     0,
     {"tensor a", "data_offsets", "found nothing"}},
    {"shape missing",
     HEADER("{\"a\":{\"dtype\":\"I32\",\"data_offsets\":[0,4]}}"),
     4,
     BAD,
     0,
     {"tensor a", "shape", "found nothing"}},
    {"dtype missing",
     HEADER("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}"),
     4,
     BAD,
     0,
     {"tensor a", "dtype", "found nothing"}},
    {"dtype a number",
     HEADER("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}"),
     4,
     BAD,
     0,
     {"tensor a", "dtype", "an integer"}},
    {"shape negative", HEADER("{" I32("a", "[-1]", 0, 4) "}"), 4, BAD, 0, {"tensor a", "shape", "found -1"}},
    {"shape with a fraction",
     HEADER("{" I32("a", "[1.5]", 0, 4) "}"),
     4,
     BAD,
     0,
     {"tensor a", "shape", "real number 1.5"}},
    {"shape null", HEADER("{" I32("a", "null", 0, 4) "}"), 4, BAD, 0, {"tensor a", "shape", "found null"}},
    {"shape of nine dimensions",
     HEADER("{" I32("a", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}"),
     4,
     BAD,
     0,
     {"tensor a", "expected at most 8", "found 9"}},
    {"overflow before the zero",
     HEADER("{" I32("a", "[4611686018427387904,4,0]", 0, 0) "}"),
     0,
     BAD,
     0,
     {"tensor a", "overflows"}},
    {"zero before the overflow",
     HEADER("{" I32("a", "[0,4611686018427387904,4]", 0, 0) "}"),
     0,
     GOOD,
     1,
     {0}},
    {"entry no map", HEADER("{\"a\":[0,4]}"), 4, BAD, 0, {"tensor a", "found a list"}},
    {"unknown field passed over",
     HEADER(
         "{\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"note\":[99999999999999999999]}}"),
     4,
     GOOD,
     1,
     {0}},
    {"metadata empty", HEADER("{\"__metadata__\":{}," I32("a", "[1]", 0, 4) "}"), 4, GOOD, 1, {0}},
    {"metadata null", HEADER("{\"__metadata__\":null," I32("a", "[1]", 0, 4) "}"), 4, GOOD, 1, {0}},
    {"metadata with a number",
     HEADER("{\"__metadata__\":{\"step\":7}}"),
     0,
     BAD,
     0,
     {"__metadata__", "step", "expected a text"}},
    {"metadata a list", HEADER("{\"__metadata__\":[]}"), 0, BAD, 0, {"__metadata__", "found a list"}},
    {"name without letters", HEADER("{" I32("", "[1]", 0, 4) "}"), 4, BAD, 0, {"empty name"}},
    {"name with an escape",
     HEADER("{" I32("a\\u001b[31m", "[1]", 0, 4) "}"),
     4,
     BAD,
     0,
     {"control character 0x1b"}},
    {"name in UTF-8", HEADER("{" I32("\xe5\xb1\x82.0.w", "[1]", 0, 4) "}"), 4, GOOD, 1, {0}},
    {"name escaped", HEADER("{" I32("\\u5c42.0.w", "[1]", 0, 4) "}"), 4, GOOD, 1, {0}},
    {"name half a surrogate", HEADER("{" I32("\\ud800", "[1]", 0, 4) "}"), 4, BAD, 0, {"no valid JSON"}},
    {"UTF-8 too long a form", HEADER("{" I32("\xc0\xaf", "[1]", 0, 4) "}"), 4, BAD, 0, {"no valid JSON"}},
    {"empty tensors at the same place",
     HEADER("{" I32("a", "[0]", 4, 4) "," I32("b", "[1]", 0, 4) "," I32("c", "[0,3]", 4, 4) "}"),
     4,
     GOOD,
     3,
     {0}},
    {"cut off in the second of three",
     HEADER("{" I32("a", "[1]", 0, 4) "," I32("b", "[2]", 4, 12) "," I32("c", "[1]", 12, 16) "}"),
     7,
     BAD,
     0,
     {"truncated: tensor b", "expected a file of 187 bytes", "found 178"}},
};

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
