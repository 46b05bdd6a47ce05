/* Guess and naming: what names of folders say. */

#include "unitlib.h"

#include "command/naming.h"

#include <sys/stat.h>

static struct guess of(const char *name)
{
    return guess_name(name, (int)strlen(name));
}

static void steps_and_seeds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t step, seed;
        const char *digits;
    } rows[] = {
        {"global_step_100", 100, -1, "100"},
        {"checkpoint-500", 500, -1, "500"},
        {"step_7", 7, -1, "7"},
        {"step-7", 7, -1, "7"},
        {"iter_0000100", 100, -1, "0000100"},
        {"epoch_3", 3, -1, "3"},
        {"global_step3", 3, -1, "3"},
        {"ckpt12", 12, -1, "12"},
        {"100", 100, -1, "100"},
        {"0", 0, -1, "0"},
        {"CHECKPOINT_3", 3, -1, "3"},
        {"epoch_1_step_20", 20, -1, "20"},
        {"seed-2", -1, 2, NULL},
        {"seed_0", -1, 0, NULL},
        {"s1", -1, 1, NULL},
        {"grpo-seed3-step40", 40, 3, "40"},
        {"Qwen2.5-1.5B", -1, -1, NULL},
        {"llama-3.2-1b", -1, -1, NULL},
        {"s1-32B", -1, -1, NULL},
        {"v0.1", -1, -1, NULL},
        {"step", -1, -1, NULL},
        {"step_1234567890123", -1, -1, NULL},
        {"", -1, -1, NULL},
        {"--__", -1, -1, NULL},
        {"run2", -1, -1, NULL},
        {"step_-3", 3, -1, "3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct guess g = of(rows[i].name);
        if (g.step != rows[i].step || g.seed != rows[i].seed)
            fail_msg("%s: step %lld seed %lld", rows[i].name, (long long)g.step, (long long)g.seed);
        if (rows[i].digits)
            assert_memory_equal(rows[i].name + g.step_at.at, rows[i].digits, strlen(rows[i].digits));
        assert_int_equal(g.step_at.n, rows[i].digits ? (int)strlen(rows[i].digits) : 0);
    }
}

static void algorithms(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"grpo", "grpo"},      {"Qwen2.5-7B-GRPO-step100", "GRPO"},
        {"my_dpo_run", "dpo"}, {"trl-grpo-lora", "grpo"},
        {"ppo2", "ppo"},       {"reinforce++", "reinforce"},
        {"supposed", ""},      {"dpotato", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct guess g = of(rows[i][0]);
        assert_int_equal(g.algorithm_at.n, (int)strlen(rows[i][1]));
        assert_memory_equal(rows[i][0] + g.algorithm_at.at, rows[i][1], strlen(rows[i][1]));
    }
    assert_int_equal(of("base").base, 1);
    assert_true(of("sft").base > of("base").base);
    assert_int_equal(of("database").base, 0);
    assert_true(of("actor").ordinary);
    assert_true(guess_is_part("optimizer_0") && guess_is_part("original") && !guess_is_part("checkpoint-3"));
    assert_true(guess_is_beside("training_args.bin") && guess_is_beside("rng_state_0.pth") &&
                !guess_is_beside("model.pt"));
}

static void words(void **state)
{
    struct bench *b = *state;
    static const char *const rows[][2] = {{"my model", "my-model"},
                                          {"..x", "x"},
                                          {"", "model"},
                                          {"\xc3\xa9t\xc3\xa9", "t--"},
                                          {"{step}", "step-"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(guess_word(&b->arena, rows[i][0], (int)strlen(rows[i][0]), &b->err), rows[i][1]);
}

/* ---- paths ---- */

static const char *pattern(struct bench *b, const char *path, int known, const struct naming_words *w)
{
    const struct sighting s = {.path = path, .known = known};
    char *out;
    assert_int_equal(naming_pattern(&s, w, &out, &b->arena, &b->err), ERR_OK);
    return out;
}

static void patterns(void **state)
{
    struct bench *b = *state;
    const struct naming_words all = {"tiny", "grpo", 1, 40}, none = {NULL, NULL, -1, -1};
    assert_string_equal(pattern(b, "/m/tiny/grpo/seed-1/checkpoint-40", 3, &all),
                        "/m/{family}/{algorithm}/seed-{seed}/checkpoint-{step}");
    assert_string_equal(pattern(b, "/m/tiny/grpo-seed1-step40/actor", 3, &all),
                        "/m/{family}/{algorithm}-seed{seed}-step{step}/actor");
    assert_string_equal(pattern(b, "/m/step40-grpo.pt", 3, &all), "/m/step{step}-{algorithm}.pt");
    assert_string_equal(pattern(b, "/tiny/grpo/m/tiny", 8, &all),
                        "/tiny/grpo/m/{family}"); /* only from `known` on */
    assert_string_equal(pattern(b, "m/tiny/seed-01", 0, &all), "m/{family}/seed-01"); /* no config gives 01 */
    assert_string_equal(pattern(b, "m/tiny/step-40", 0, &none), "m/tiny/step-40");
    assert_null(pattern(b, "m/{x}/tiny", 0, &all));
}

/* A padded step is a place where {step} finds it, alone. */
static void padded(void **state)
{
    struct bench *b = *state;
    const struct naming_words w = {NULL, NULL, -1, 40};
    char *path = arena_printf(&b->arena, &b->err, "%s/iter_0000040", b->folder);
    char *want = arena_printf(&b->arena, &b->err, "%s/iter_{step}", b->folder);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_string_equal(pattern(b, path, (int)strlen(b->folder), &w), want);
    assert_int_equal(mkdir(arena_printf(&b->arena, &b->err, "%s/iter_040", b->folder), 0777), 0);
    assert_null(pattern(b, path, (int)strlen(b->folder), &w));
}

static void families(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *path, *hub, *family;
        int known;
    } rows[] = {
        {"/models/Qwen2.5-1.5B/base", NULL, "Qwen2.5-1.5B", 1},
        {"/models/Qwen2.5-1.5B", NULL, "Qwen2.5-1.5B", 8},
        {"/models/tiny/model.safetensors", NULL, "tiny", 8},
        {"/hub/models--Q--N-1/snapshots/abc", "Q/N-1", "N-1", 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sighting s = {.path = rows[i].path, .known = rows[i].known, .hub = rows[i].hub};
        struct span raw;
        char *family;
        assert_int_equal(naming_family(&s, &raw, &family, &b->arena, &b->err), ERR_OK);
        assert_string_equal(family, rows[i].family);
    }
}

static void rests(void **state)
{
    struct bench *b = *state;
    const struct sighting base = {.path = "/m/tiny/base"},
                          tuned = {.path = "/m/tiny/trainer/my run/global_step_3/actor"},
                          bare = {.path = "/m/tiny/checkpoint-3"};
    char *rest;
    assert_int_equal(naming_rest(&tuned, &base, "tiny", &rest, &b->arena, &b->err), ERR_OK);
    assert_string_equal(rest, "my-run");
    assert_int_equal(naming_rest(&bare, &base, "tiny", &rest, &b->arena, &b->err), ERR_OK);
    assert_string_equal(rest, "");
    assert_int_equal(naming_common("/a/b/c", "/a/b/cd"), 4);
    assert_int_equal(naming_common("/a/b", "/a/b"), 4);
    assert_int_equal(naming_common("x", "y"), 0);
}

static void branches(void **state)
{
    (void)state;
    const struct sighting s = {
        .path = "/hub/models--o--m/snapshots/0123456789", .known = 5, .says = "step_40"};
    assert_int_equal(naming_of(&s).step, 40);
    assert_int_equal(naming_of(&s).step_at.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(steps_and_seeds), TEST_BENCH(algorithms), TEST_BENCH(words), TEST_BENCH(patterns),
        TEST_FOLDER(padded),         TEST_BENCH(families),   TEST_BENCH(rests), TEST_BENCH(branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
