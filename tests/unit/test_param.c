/* Parameters: every kind, its range and its canonical text. */

#include "unitlib.h"

#include "study/param.h"

struct values {
    int flag;
    int64_t count, size;
    double tolerance;
    const char *name;
    int mode;
    struct real_list tolerances;
    struct text_list words;
};

static const char *const modes[] = {"absolute", "bits", "relative", NULL};

enum { FLAG, COUNT, SIZE, TOLERANCE, NAME, MODE, TOLERANCES, WORDS };

static const struct param table[] = {
    {"flag", PARAM_BOOL, offsetof(struct values, flag), NULL, "true", 0, 0, NULL, "help"},
    {"count", PARAM_INT, offsetof(struct values, count), NULL, "3", 1, 100, NULL, "help"},
    {"size", PARAM_BYTES, offsetof(struct values, size), "bytes", "2 GiB", 1024, 9e18, NULL, "help"},
    {"tolerance", PARAM_REAL, offsetof(struct values, tolerance), NULL, "1e-5", 0, 1, NULL, "help"},
    {"name", PARAM_TEXT, offsetof(struct values, name), NULL, "a b", 0, 0, NULL, "help"},
    {"mode", PARAM_CHOICE, offsetof(struct values, mode), NULL, "bits", 0, 0, modes, "help"},
    {"tolerances", PARAM_REALS, offsetof(struct values, tolerances), NULL, "[0, 1e-8, 0.5]", 0, 1, NULL,
     "help"},
    {"words", PARAM_TEXTS, offsetof(struct values, words), NULL, "[a, \"b, c\" , 'd' ]", 0, 0, NULL, "help"},
    {0},
};

static const char *text_of(struct bench *b, int which, const struct values *v)
{
    struct text t = {.arena = &b->arena};
    assert_int_equal(param_text(&table[which], v, &t, &b->err), ERR_OK);
    return t.text;
}

static void defaults(void **state)
{
    struct bench *b = *state;
    struct values v = {0};
    assert_int_equal(param_defaults(table, &v, &b->arena, &b->err), ERR_OK);
    assert_int_equal(v.flag, 1);
    assert_int_equal(v.count, 3);
    assert_int_equal(v.size, 2147483648);
    assert_true(v.tolerance == 1e-5);
    assert_string_equal(v.name, "a b");
    assert_int_equal(v.mode, 1);
    assert_int_equal(v.tolerances.n, 3);
    assert_true(v.tolerances.v[0] == 0 && v.tolerances.v[1] == 1e-8 && v.tolerances.v[2] == 0.5);
    assert_int_equal(v.words.n, 3);
    assert_string_equal(v.words.v[0], "a");
    assert_string_equal(v.words.v[1], "b, c");
    assert_string_equal(v.words.v[2], "d");
    static const char *const texts[] = {"true",    "3",    "2 GiB",           "1e-05",
                                        "\"a b\"", "bits", "[0, 1e-08, 0.5]", "[\"a\", \"b, c\", \"d\"]"};
    for (int i = 0; i < 8; i++)
        assert_string_equal(text_of(b, i, &v), texts[i]);
}

static void defaults_absent(void **state)
{
    struct bench *b = *state;
    struct param bare[9];
    memcpy(bare, table, sizeof bare);
    for (int i = 0; i < 8; i++)
        bare[i].fallback = NULL;
    struct values v = {0};
    assert_int_equal(param_defaults(bare, &v, &b->arena, &b->err), ERR_OK);
    assert_string_equal(v.name, "");
    assert_int_equal(v.mode, 0);
    assert_int_equal(v.tolerances.n, 0);
    assert_string_equal(text_of(b, TOLERANCES, &v), "[]");
    bare[COUNT].fallback = "101";
    assert_int_equal(param_defaults(bare, &v, &b->arena, &b->err), ERR_BUG);
    assert_non_null(strstr(b->err.text, "count"));
}

/* param_set of one scalar; the problem is checked to be there exactly when it fails. */
static int set(struct bench *b, int which, const char *value, struct values *v, char *problem)
{
    int result =
        param_set(&table[which], v, &(struct param_given){1, 0, &value}, &b->arena, problem, 300, &b->err);
    assert_int_equal(b->err.code, ERR_OK);
    assert_int_equal(result != 0, problem[0] != '\0');
    return result;
}

static void accepts(void **state)
{
    struct bench *b = *state;
    static const struct {
        int which;
        const char *value, *canonical;
    } cases[] = {
        {FLAG, "yes", "true"},
        {FLAG, "False", "false"},
        {COUNT, "100", "100"},
        {COUNT, "+7", "7"},
        {SIZE, "4096", "4 KiB"},
        {SIZE, "512 MB", "500000 KiB"},
        {SIZE, "1.5e9", "1500000000"},
        {SIZE, "0.5MiB", "512 KiB"},
        {SIZE, "1 gib", "1 GiB"},
        {TOLERANCE, "1e-8", "1e-08"},
        {TOLERANCE, "0.10", "0.1"},
        {TOLERANCE, ".5", "0.5"},
        {TOLERANCE, "-0.0", "0"},
        {TOLERANCE, "1", "1"},
        {NAME, "${x} \"q\"", "\"$${x} \\\"q\\\"\""},
        {NAME, "$${", "\"$$${\""},
        {MODE, "relative", "relative"},
        {TOLERANCES, "1e-4", "[0.0001]"},
        {TOLERANCE, "0.1234567890123456789", "0.12345678901234568"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct values v = {0};
        char problem[300];
        assert_int_equal(set(b, cases[i].which, cases[i].value, &v, problem), 0);
        assert_string_equal(text_of(b, cases[i].which, &v), cases[i].canonical);
    }
}

static void refuses(void **state)
{
    struct bench *b = *state;
    static const struct {
        int which;
        const char *value, *said;
    } cases[] = {
        {FLAG, "1", "true or false"},
        {COUNT, "0", "from 1 to 100"},
        {COUNT, "101", "found \"101\""},
        {COUNT, "1.0", "an integer"},
        {COUNT, "1e2", "an integer"},
        {COUNT, " 1", "an integer"},
        {COUNT, "1 ", "an integer"},
        {COUNT, "010", "an integer"},
        {COUNT, "0x10", "an integer"},
        {COUNT, "", "an integer"},
        {COUNT, "99999999999999999999", "an integer"},
        {SIZE, "1 GX", "a size"},
        {SIZE, "-1", "a size"},
        {SIZE, "GiB", "a size"},
        {SIZE, "1023", "of at least 1 KiB"},
        {SIZE, "9999999999 TiB", "a size"},
        {SIZE, "1e30", "a size"},
        {TOLERANCE, "nan", "a number"},
        {TOLERANCE, "inf", "a number"},
        {TOLERANCE, "1e999", "a number"},
        {TOLERANCE, "0x1p-3", "a number"},
        {TOLERANCE, "1e-5x", "a number"},
        {TOLERANCE, "1.5", "from 0 to 1"},
        {TOLERANCE, "-1e-9", "from 0 to 1"},
        {TOLERANCE, "", "a number"},
        {MODE, "absolut", "did you mean absolute?"},
        {MODE, "x", "one of absolute, bits, relative"},
        {TOLERANCES, "two", "a list of numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct values v = {0};
        char problem[300];
        assert_int_equal(set(b, cases[i].which, cases[i].value, &v, problem), -1);
        if (!strstr(problem, cases[i].said))
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].value, problem, cases[i].said);
    }
}

/* param_set of n scalars that stand in a list. */
static int set_list(struct bench *b, int which, const char *const *given, int n, struct values *v,
                    char *problem)
{
    return param_set(&table[which], v, &(struct param_given){n, 1, given}, &b->arena, problem, 300, &b->err);
}

static void lists(void **state)
{
    struct bench *b = *state;
    struct values v = {0};
    char problem[300];
    const char *const numbers[] = {"1", "0.5"}, *const bad[] = {"1", "2"};
    assert_int_equal(set_list(b, TOLERANCES, numbers, 2, &v, problem), 0);
    assert_string_equal(text_of(b, TOLERANCES, &v), "[1, 0.5]");
    assert_int_equal(set_list(b, TOLERANCES, NULL, 0, &v, problem), 0);
    assert_int_equal(v.tolerances.n, 0);
    assert_int_equal(set_list(b, TOLERANCES, bad, 2, &v, problem), -1);
    assert_int_equal(set_list(b, TOLERANCE, numbers, 1, &v, problem), -1);
    assert_non_null(strstr(problem, "found a list"));
    assert_int_equal(set_list(b, WORDS, numbers, 2, &v, problem), 0);
    assert_string_equal(text_of(b, WORDS, &v), "[\"1\", \"0.5\"]");
    /* out of memory is no complaint about the file */
    b->mem.budget_bytes = 1;
    assert_int_equal(set_list(b, TOLERANCES, numbers, 2, &v, problem), -1);
    assert_string_equal(problem, "");
    assert_int_equal(b->err.code, ERR_SYSTEM);
}

static void numbers_round_trip(void **state)
{
    (void)state;
    static const double reals[] = {0,
                                   1,
                                   0.1,
                                   1e-5,
                                   1.00136e-05,
                                   1e22,
                                   5e-324,
                                   1.7976931348623157e308,
                                   -2.5,
                                   1.0 / 3,
                                   123456789012345680.0,
                                   -7};
    char text[40];
    double back;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        assert_int_equal(real_parse(real_text(reals[i], text, sizeof text), &back), 0);
        assert_true(back == reals[i]);
    }
    static const int64_t sizes[] = {0, 1, 1023, 1024, 67108864, 1500000000, INT64_MAX, 1LL << 62};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(bytes_parse(bytes_text(sizes[i], text, sizeof text)), sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_BENCH(defaults), TEST_BENCH(defaults_absent),
                                       TEST_BENCH(accepts),  TEST_BENCH(refuses),
                                       TEST_BENCH(lists),    TEST_BENCH(numbers_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
