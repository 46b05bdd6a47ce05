/* Shards of Hugging Face files that were not consolidated: parts put together by the offsets that each file
 * tells, and what is refused. */
#include "unitlib.h"

#include "formats/checkpoint.h"

#include <stdio.h>
#include <unistd.h>

enum { FILES = 4 };

/* One file of a folder: its name, its header's JSON, bytes of data (numbers 0, 1, 2, ... in float32). */
struct shard {
    const char *name, *header;
    int64_t data_bytes;
};

#define INFO(text) "\"__metadata__\":{\"format\":\"pt\",\"DCP_SHARDING_INFO\":\"" text "\"}"
#define OFFSETS(name, list) "{\\\"" name "\\\":{\\\"saved_offsets\\\":" list "}}"
#define TENSOR(name, shape, from, to) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
#define NAME(who, k, n) "shard-0000" #who "-model-0000" #k "-of-0000" #n ".safetensors"

static void write_shards(const struct bench *b, const struct shard *v)
{
    for (int i = 0; i < FILES && v[i].name; i++) {
        char path[300];
        uint64_t n = strlen(v[i].header);
        snprintf(path, sizeof path, "%s/%s", b->folder, v[i].name);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(&n, 1, 8, f), 8);
        assert_int_equal(fwrite(v[i].header, 1, n, f), n);
        for (int64_t k = 0; k < v[i].data_bytes / 4; k++) {
            float x = (float)(10 * i) + (float)k;
            assert_int_equal(fwrite(&x, 1, 4, f), 4);
        }
        assert_int_equal(fclose(f), 0);
    }
}

static void remove_shards(const struct bench *b, const struct shard *v)
{
    for (int i = 0; i < FILES && v[i].name; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", b->folder, v[i].name);
        unlink(path);
    }
}

static const struct {
    const char *what;
    struct shard files[FILES];
    err_t verdict;
    const char *says;
} rows[] = {
    {"two processes, one tensor by rows",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12},
      {NAME(2, 1, 1), "{" INFO(OFFSETS("w", "[1,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12}},
     ERR_OK,
     "Shards of 2 processes in 2 files"},
    {"no offsets: a whole tensor",
     {{NAME(1, 1, 1), "{" TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_OK,
     "Shards of 1 processes"},
    {"the second of three is lost",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12},
      {NAME(3, 1, 1), "{" INFO(OFFSETS("w", "[2,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12}},
     ERR_DATA,
     "of the processes 1 to 3 that wrote"},
    {"overlap",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0,0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24},
      {NAME(2, 1, 1), "{" INFO(OFFSETS("w", "[1,0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "lie in 2 pieces"},
    {"two saves",
     {{NAME(1, 1, 1), "{" TENSOR("w", "[2,3]", "0", "24") "}", 24},
      {NAME(2, 1, 2), "{" TENSOR("v", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "shards of two checkpoints"},
    {"too few offsets",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "saved_offsets, a list of 2 numbers, found a list of 1"},
    {"offsets of another tensor",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("v", "[0,0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "tensor w: DCP_SHARDING_INFO"},
    {"a negative offset",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[-1,0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "expected integers not below 0, found -1"},
    {"an offset that overflows",
     {{NAME(1, 1, 1),
       "{" INFO(OFFSETS("w", "[9223372036854775807,0]")) "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "overflow 64 bits"},
    {"an offset far away",
     {{NAME(1, 1, 1),
       "{" INFO(OFFSETS("w", "[4611686018427387904,4611686018427387904]")) "," TENSOR("w", "[2,3]", "0",
                                                                                      "24") "}",
       24}},
     ERR_DATA,
     "overflows"},
    {"no JSON",
     {{NAME(1, 1, 1), "{" INFO("{") "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "DCP_SHARDING_INFO"},
    {"a list",
     {{NAME(1, 1, 1), "{" INFO("[1]") "," TENSOR("w", "[2,3]", "0", "24") "}", 24}},
     ERR_DATA,
     "DCP_SHARDING_INFO"},
    {"two types",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12},
      {NAME(2, 1, 1),
       "{" INFO(OFFSETS("w", "[1,0]")) ",\"w\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[0,4]}}",
       4}},
     ERR_DATA,
     "a piece of type BF16"},
    {"other axes",
     {{NAME(1, 1, 1), "{" INFO(OFFSETS("w", "[0,0]")) "," TENSOR("w", "[1,3]", "0", "12") "}", 12},
      {NAME(2, 1, 1), "{" INFO(OFFSETS("w", "[1]")) "," TENSOR("w", "[3]", "0", "12") "}", 12}},
     ERR_DATA,
     "1 axes, expected 2 as in"},
    {"cut short", {{NAME(1, 1, 1), "{" TENSOR("w", "[2,3]", "0", "24") "}", 20}}, ERR_DATA, NAME(1, 1, 1)},
};

static void test_rows(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct checkpoint c;
        write_shards(b, rows[i].files);
        err_clear(&b->err);
        err_t code = checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err);
        const char *said = code == ERR_OK ? c.note : b->err.text;
        if (code != rows[i].verdict || !said || !strstr(said, rows[i].says))
            fail_msg("%s: verdict %d, expected %d and \"%s\" in: %s", rows[i].what, (int)code,
                     (int)rows[i].verdict, rows[i].says, said ? said : "nothing");
        if (code == ERR_OK) {
            float v[6];
            const struct stored_tensor *t = checkpoint_find(&c, "w");
            assert_true(t && t->ndim == 2 && t->dims[0] == 2 && t->dims[1] == 3);
            assert_int_equal(checkpoint_read(&c, t, 0, 6, v, &b->err), ERR_OK);
            for (int k = 0; k < 6; k++)
                assert_true(v[k] == (float)(rows[i].files[1].name && k > 2 ? 10 + k - 3 : k));
            checkpoint_close(&c);
        }
        remove_shards(b, rows[i].files);
        arena_reset(&b->arena);
    }
}

/* Names that only look like shards are none. */
static void test_names(void **state)
{
    struct bench *b = *state;
    static const char *const names[] = {"shard-1-model-1-of-1.safetensors",
                                        "shard-00001-model-00002-of-00001.safetensors",
                                        "shard-00000-model-00001-of-00001.safetensors",
                                        "shard-00001-model-00001-of-00001.safetensors.tmp",
                                        "shard-00001-model-00001-of-00001x.safetensors",
                                        "shard-99999999999999999999-model-00001-of-00001.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct shard v[FILES] = {{names[i], "{" TENSOR("w", "[2,3]", "0", "24") "}", 24}};
        write_shards(b, v);
        if (checkpoint_exists(b->folder))
            fail_msg("%s was taken for a shard", names[i]);
        remove_shards(b, v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_rows), TEST_FOLDER(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
