/* The safetensors writer: headers to the byte as the reference writes them, whole files by one or several
 * writers, and nothing under a final name that is not complete. */
#include "safetensorslib.h"

#include "base/file.h"
#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/safetensors_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_header(struct fixture *f, struct stored_tensor *t, int64_t nt, const char *const *metadata,
                         int nm, uint64_t length, const char *text)
{
    char *header;
    int64_t n;
    err_clear(&f->bench.err);
    assert_int_equal(safetensors_header(t, nt, metadata, nm, &f->bench.arena, &header, &n, &f->bench.err),
                     ERR_OK);
    assert_true(n == (int64_t)strlen(text) + 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal((unsigned char)header[i], length >> (8 * i) & 255);
    assert_memory_equal(header + 8, text, strlen(text));
}

/* 18, 19: to the byte as the reference writes. */
static void test_writer(void **state)
{
    struct fixture *f = *state;
    check_header(f, NULL, 0, NULL, 0, 8, "{}      ");
    const char *const pt[] = {"framework", "pt"};
    check_header(f, NULL, 0, pt, 1, 40, "{\"__metadata__\":{\"framework\":\"pt\"}}     ");
    struct stored_tensor t = {.name = "attn.0", .dtype = DTYPE_F32, .ndim = 3, .dims = {1, 2, 3}};
    check_header(f, &t, 1, NULL, 0, 64,
                 "{\"attn.0\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]}}");
    assert_true(t.offset_bytes == 72 && t.size_bytes == 24 && t.elements == 6);
    struct stored_tensor odd = {.name = "attn0", .dtype = DTYPE_F32, .ndim = 3, .dims = {1, 1, 2}};
    check_header(f, &odd, 1, NULL, 0, 64,
                 "{\"attn0\":{\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":[0,8]}}  ");
    const char *const quoted[] = {"a\"b", "line\nend\\", "c", ""};
    check_header(f, NULL, 0, quoted, 2, 48,
                 "{\"__metadata__\":{\"a\\\"b\":\"line\\nend\\\\\",\"c\":\"\"}}  ");

    char *header, *large = malloc(100000001);
    int64_t n;
    memset(large, 'a', 100000000);
    large[100000000] = '\0';
    const char *const much[] = {"framework", large}; /* 17 */
    err_clear(&f->bench.err);
    assert_int_equal(safetensors_header(NULL, 0, much, 1, &f->bench.arena, &header, &n, &f->bench.err),
                     ERR_DATA);
    free(large);
    struct stored_tensor twice[2] = {{.name = "a", .dtype = DTYPE_F32}, {.name = "a", .dtype = DTYPE_F32}};
    err_clear(&f->bench.err);
    assert_int_equal(safetensors_header(twice, 2, NULL, 0, &f->bench.arena, &header, &n, &f->bench.err),
                     ERR_BUG);
    struct stored_tensor half = {.name = "a", .dtype = DTYPE_F4, .ndim = 1, .dims = {3}};
    err_clear(&f->bench.err);
    assert_int_equal(safetensors_header(&half, 1, NULL, 0, &f->bench.arena, &header, &n, &f->bench.err),
                     ERR_DATA);
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    struct stored_tensor t[DTYPE_COUNT + 2];
    char names[DTYPE_COUNT + 2][64];
    int64_t data = 0;
    memset(t, 0, sizeof t);
    for (int i = 0; i < DTYPE_COUNT + 2; i++) {
        snprintf(names[i], sizeof names[i], "model.layers.%d.\"\xc3\xa9\\%d.weight", i, DTYPE_COUNT - i);
        t[i].name = names[i];
        t[i].dtype = (enum dtype)(i < DTYPE_COUNT ? i : DTYPE_BF16);
        t[i].ndim = i == DTYPE_COUNT ? 0 : 2;
        t[i].dims[0] = i == DTYPE_COUNT + 1 ? 0 : 4;
        t[i].dims[1] = 3 + i % 2;
    }
    const char *const metadata[] = {"simulated", "yes: \xe2\x9c\x93", "format", "pt"};
    char *header;
    int64_t n;
    assert_int_equal(
        safetensors_header(t, DTYPE_COUNT + 2, metadata, 2, &f->bench.arena, &header, &n, &f->bench.err),
        ERR_OK);
    for (int i = 0; i < DTYPE_COUNT + 2; i++)
        data += t[i].size_bytes;
    write_file(f->path, (uint64_t)n - 8, header + 8, (size_t)n - 8, (size_t)data);
    struct safetensors s;
    assert_int_equal(safetensors_open(&s, f->path, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_int_equal(s.ntensors, DTYPE_COUNT + 2);
    assert_true(s.size_bytes == n + data && s.data_start == n && n % 8 == 0);
    assert_string_equal(safetensors_metadata(&s, "simulated"), metadata[1]);
    assert_null(safetensors_metadata(&s, "absent"));
    for (int i = 0; i < s.ntensors; i++) {
        int k = 0;
        while (strcmp(t[k].name, s.tensors[i].name) != 0)
            k++;
        assert_true(t[k].dtype == s.tensors[i].dtype && t[k].offset_bytes == s.tensors[i].offset_bytes);
        assert_true(t[k].size_bytes == s.tensors[i].size_bytes && t[k].elements == s.tensors[i].elements);
        assert_true(t[k].ndim == s.tensors[i].ndim && s.tensors[i].layer == k);
    }
}

/* Two writers on one file, each its own tensor, in the wrong order; the file has its final name after the
 * commit alone. */
static void test_file(void **state)
{
    struct fixture *f = *state;
    struct arena *a = &f->bench.arena;
    struct err *e = &f->bench.err;
    struct stored_tensor t[2] = {{.name = "a.weight", .dtype = DTYPE_F32, .ndim = 1, .dims = {3}},
                                 {.name = "b.weight", .dtype = DTYPE_U8, .ndim = 1, .dims = {5}}};
    const char *const metadata[] = {"format", "pt"};
    static const float numbers[3] = {1, -2, 0.5f};
    struct safetensors_writer one, two;
    assert_int_equal(safetensors_writer_plan(&one, f->path, "first-7", t, 2, metadata, 1, a, e), ERR_OK);
    assert_int_equal(one.size_bytes, one.header_bytes + 12 + 5);
    two = one;
    assert_int_equal(safetensors_writer_create(&one, e), ERR_OK);
    assert_int_equal(safetensors_writer_open(&one, e), ERR_OK);
    assert_int_equal(safetensors_writer_open(&two, e), ERR_OK);
    assert_int_equal(safetensors_writer_put(&two, "hello", 5, t[1].offset_bytes, e), ERR_OK);
    assert_int_equal(safetensors_writer_put(&one, numbers, 12, t[0].offset_bytes, e), ERR_OK);
    assert_int_equal(safetensors_writer_close(&one, e), ERR_OK);
    assert_int_equal(safetensors_writer_close(&two, e), ERR_OK);
    assert_int_equal(safetensors_writer_close(&two, e), ERR_OK);
    assert_int_not_equal(access(f->path, F_OK), 0);
    assert_int_equal(safetensors_writer_commit(&one, e), ERR_OK);
    assert_int_not_equal(access(one.partial, F_OK), 0);
    struct safetensors s;
    assert_int_equal(safetensors_open(&s, f->path, a, e), ERR_OK);
    char *text;
    int64_t n;
    assert_int_equal(file_read(a, f->path, 1 << 20, &text, &n, e), ERR_OK);
    assert_int_equal(n, one.size_bytes);
    assert_memory_equal(text + s.tensors[0].offset_bytes, numbers, 12);
    assert_memory_equal(text + s.tensors[1].offset_bytes, "hello", 5);
}

/* What cannot be written is a message that names the partial file; giving up leaves nothing, and an older
 * file stays. */
static void test_failure(void **state)
{
    struct fixture *f = *state;
    struct arena *a = &f->bench.arena;
    struct err *e = &f->bench.err;
    struct stored_tensor t = {.name = "a", .dtype = DTYPE_U8, .ndim = 1, .dims = {4}};
    struct safetensors_writer w;
    write_file(f->path, 2, "{}", 2, 0);
    assert_int_equal(safetensors_writer_plan(&w, f->path, NULL, &t, 1, NULL, 0, a, e), ERR_OK);
    assert_int_equal(safetensors_writer_create(&w, e), ERR_OK);
    assert_int_equal(safetensors_writer_open(&w, e), ERR_OK);
    safetensors_writer_discard(&w);
    assert_int_not_equal(access(w.partial, F_OK), 0);
    assert_int_equal(access(f->path, F_OK), 0);
    assert_int_equal(safetensors_writer_open(&w, e), ERR_SYSTEM);
    assert_non_null(strstr(e->text, w.partial));
    err_clear(e);
    assert_int_equal(safetensors_writer_commit(&w, e), ERR_SYSTEM);
    err_clear(e);
    char *inside = arena_printf(a, e, "%s/below/x.safetensors", f->path);
    assert_int_equal(safetensors_writer_plan(&w, inside, NULL, &t, 1, NULL, 0, a, e), ERR_OK);
    assert_int_equal(safetensors_writer_create(&w, e), ERR_SYSTEM);
    assert_int_equal(access(f->path, F_OK), 0);
    err_clear(e);
    struct safetensors_writer nothing = {.fd = -1};
    safetensors_writer_discard(&nothing);
    assert_int_equal(safetensors_writer_close(&nothing, e), ERR_OK);
}

/* An index is JSON whatever the names are. */
static void test_index(void **state)
{
    struct fixture *f = *state;
    struct stored_tensor t[2] = {{.name = "a", .size_bytes = 4}, {.name = "q\"b", .size_bytes = 8}};
    const char *const files[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
    struct text out = {.arena = &f->bench.arena};
    assert_int_equal(safetensors_index_text(t, 2, files, &out, &f->bench.err), ERR_OK);
    assert_string_equal(out.text, "{\n  \"metadata\": {\"total_size\": 12},\n  \"weight_map\": {\n"
                                  "    \"a\": \"model-00001-of-00002.safetensors\",\n"
                                  "    \"q\\\"b\": \"model-00002-of-00002.safetensors\"\n  }\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_writer), TEST(test_round_trip), TEST(test_file), TEST(test_failure), TEST(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
