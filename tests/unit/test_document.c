/* Document and item: places of things, the subset of YAML that is taken, and one complaint for one mistake.
 * What a config makes of it is test_config's. */

#include "unitlib.h"

#include "study/item.h"

struct fixture {
    struct bench bench;
    struct problems problems;
    struct asker asker;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER) != 0)
        return -1;
    struct fixture *x = *state;
    x->problems = (struct problems){.arena = &x->bench.arena, .file = "f"};
    x->asker = (struct asker){&x->problems, &x->bench.arena, &x->bench.err};
    unsetenv("SINEW_UNSET");
    setenv("SINEW_SET", "set ${SINEW_UNSET} {word}", 1);
    setenv("SINEW_EMPTY", "", 1);
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static struct item *parse_bytes(struct fixture *x, const char *text, int64_t n)
{
    struct item *root;
    x->problems = (struct problems){.arena = &x->bench.arena, .file = "f"};
    assert_int_equal(document_parse(text, n, &x->problems, &x->bench.arena, &root, &x->bench.err), ERR_OK);
    return root;
}

static struct item *parse(struct fixture *x, const char *text)
{
    return parse_bytes(x, text, (int64_t)strlen(text));
}

/* As parse, without a complaint. */
static struct item *take(struct fixture *x, const char *text)
{
    struct item *root = parse(x, text);
    if (!root || x->problems.n > 0)
        fail_msg("%s: %s", text, x->problems.n ? x->problems.list[0].text : "nothing");
    return root;
}

/* There is one complaint, with this text, and it is forgotten. */
static void check_said(struct fixture *x, const char *says)
{
    if (x->problems.n != 1 || !strstr(x->problems.list[0].text, says))
        fail_msg("%d complaints, first \"%s\"; expected one, \"%s\"", x->problems.n,
                 x->problems.n ? x->problems.list[0].text : "", says);
    assert_int_equal(x->bench.err.code, ERR_OK);
    x->problems.n = 0;
}

static void check_mark(struct mark m, int line, int column)
{
    assert_int_equal(m.line, line);
    assert_int_equal(m.column, column);
}

/* ---- the tree ---- */

static void marks(void **state)
{
    struct fixture *x = *state;
    struct mark at;
    struct item *root = take(
        x, "# first\nname: x\n\xc3\xa9\xe2\x82\xac: {a: 1,\n  b: [2, \"3\",\n   4]}\r\nlast: |\n  text\n");
    assert_int_equal(root->kind, ITEM_MAP);
    check_mark(root->mark, 2, 1);
    assert_string_equal(item_get(root, "name", &at)->text, "x");
    check_mark(at, 2, 1);
    struct item *map = item_get(root, "\xc3\xa9\xe2\x82\xac", &at);
    check_mark(at, 3, 1);
    check_mark(map->mark, 3, 5); /* in characters, not bytes */
    struct item *list = item_get(map, "b", NULL);
    check_mark(list->items[1]->mark, 4, 10);
    check_mark(list->items[2]->mark, 5, 4);
    assert_int_equal(list->items[1]->quoted, 1);
    assert_int_equal(list->items[0]->quoted, 0);
    assert_string_equal(item_get(root, "last", NULL)->text, "text\n");
    assert_null(item_get(root, "absent", NULL));
    assert_null(item_get(list, "b", NULL));
    assert_null(item_get(NULL, "b", NULL));
}

/* As deep as may be, and one deeper, in every way to nest. */
static void depth(void **state)
{
    struct fixture *x = *state;
    char text[1000];
    for (int deep = DOCUMENT_DEPTH - 1; deep <= DOCUMENT_DEPTH + 1; deep++)
        for (int kind = 0; kind < 2; kind++) {
            int used = 0;
            for (int i = 0; i < deep; i++)
                used += snprintf(text + used, sizeof text - (size_t)used, "%s", kind ? "{a: " : "[");
            for (int i = 0; i < deep; i++)
                used += snprintf(text + used, sizeof text - (size_t)used, "%s", kind ? "}" : "]");
            if (deep <= DOCUMENT_DEPTH) {
                take(x, text);
            } else {
                assert_null(parse(x, text));
                check_said(x, "nested deeper than 32 levels");
            }
        }
}

static void duplicates(void **state)
{
    struct fixture *x = *state;
    struct item *root = parse(x, "a: 1\nb: 2\n'a': 3\nc: {d: 4, d: 5}\n\"\\u0061\": 6\n");
    assert_int_equal(x->problems.n, 3);
    struct err e;
    err_clear(&e);
    assert_int_equal(problems_end(&x->problems, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "3 errors"));
    assert_string_equal(x->problems.list[0].text, "f:3:1: duplicate key \"a\" (first in line 1)");
    assert_string_equal(x->problems.list[1].text, "f:4:11: duplicate key \"d\" (first in line 4)");
    assert_string_equal(x->problems.list[2].text, "f:5:1: duplicate key \"a\" (first in line 1)");
    assert_int_equal(root->n, 3); /* the first of each is kept, in the order of the file */
    assert_string_equal(root->keys[0], "a");
    assert_string_equal(root->keys[2], "c");
    assert_string_equal(item_get(root, "a", NULL)->text, "1");
    assert_string_equal(item_get(item_get(root, "c", NULL), "d", NULL)->text, "4");
}

static void refused(void **state)
{
    struct fixture *x = *state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "f:1:1: the file is empty"},
        {"# only a comment", "the file is empty"},
        {"a: &x 1", "f:1:4: anchors and aliases"},
        {"a: *x", "anchors and aliases"},
        {"&x a: 1", "f:1:1: anchors and aliases"},
        {"a: &x [1]\nb: *x\nc: !t 2", "f:1:4: anchors and aliases"}, /* the first stands for all */
        {"a: !!int 3", "f:1:4: tags (!) are not supported"},
        {"! a", "tags (!) are not supported"},
        {"a: 1\n---\nb: 2", "a second document"},
        {"a: 1\n...\n---\nb: 2", "a second document"},
        {"? {b: c}\n: 1", "a key must be a word, found a map"},
        {"a: \"x\\0y\"", "must not contain the character NUL"},
        {"a: [1, 2", "not valid YAML"},
        {"a: 1\n b: 2\n", "not valid YAML"},
        {"a: \"\\q\"", "not valid YAML"},
        {"\xc3\x28: 1", "f:1:1: not valid UTF-8"},
        {"a: b\n\xc3\xa9\xed\xa0\x80", "f:2:2: not valid UTF-8"}, /* a surrogate */
        {"a: \xc0\x80", "not valid UTF-8"},                       /* overlong */
        {"%TAG\n---\na: 1", "not valid YAML"},
        {"@a", "not valid YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(x, cases[i].text);
        check_said(x, cases[i].says);
    }
    assert_null(parse_bytes(x, "a: \0b", 5));
    check_said(x, "f:1:4: the file contains the character NUL");
}

/* Of many complaints the first are listed; what they quote cannot drive a terminal. */
static void complaints(void **state)
{
    struct fixture *x = *state;
    take(x, "a: 1");
    for (int i = 0; i < PROBLEMS_LISTED + 50; i++)
        problem_add(&x->problems, (struct mark){1 + (PROBLEMS_LISTED + 50 - i) / 2, 1}, "number %d", i);
    assert_int_equal(x->problems.n, PROBLEMS_LISTED);
    assert_int_equal(x->problems.more, 50);
    struct err e;
    err_clear(&e);
    assert_int_equal(problems_end(&x->problems, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, " errors, the first found are listed"));
    for (int i = 1; i < x->problems.n; i++) {
        const struct problem *a = &x->problems.list[i - 1], *b = &x->problems.list[i];
        assert_true(a->mark.line < b->mark.line || (a->mark.line == b->mark.line && a->order < b->order));
    }
    x->problems.n = 0;
    problem_add(&x->problems, (struct mark){3, 4}, "%s", "a\x1b[2J\x7f\xc2\x9b\xff\xc3\xa9");
    check_said(x, "f:3:4: a [2J    \xc3\xa9");
}

/* ---- asking ---- */

static void wrong_kinds(void **state)
{
    struct fixture *x = *state;
    const struct asker *r = &x->asker;
    struct item *root = take(x, "s: text\nl: [1]\nm: {a: 1}\nn:\nq: ''\n");
    struct item *s = item_get(root, "s", NULL), *l = item_get(root, "l", NULL),
                *m = item_get(root, "m", NULL), *n = item_get(root, "n", NULL),
                *q = item_get(root, "q", NULL), **items;
    int count;
    assert_int_equal(item_expect(r, s, ITEM_SCALAR, "w"), 0);
    assert_int_equal(item_expect(r, s, ITEM_LIST, "w"), -1);
    check_said(x, "f:1:4: w: expected a list, found \"text\"");
    assert_int_equal(item_expect(r, l, ITEM_MAP, "w"), -1);
    check_said(x, "f:2:4: w: expected a map, found a list");
    assert_int_equal(item_expect(r, n, ITEM_MAP, "w"), -1);
    check_said(x, "w: expected a map, found nothing");
    assert_null(item_text(r, m, "w"));
    check_said(x, "w: expected a text, found a map");
    assert_null(item_text(r, n, "w"));
    check_said(x, "w: expected a text, found nothing");
    assert_string_equal(item_text(r, q, "w"), "");
    assert_int_equal(item_scalars(r, m, "w", &items, &count), -1);
    check_said(x, "w: expected a list, found a map");
    assert_int_equal(item_scalars(r, s, "w", &items, &count), 0);
    assert_int_equal(count, 1);
    /* nothing is said twice: neither of what is absent nor of what was bad */
    struct item bad = {.kind = ITEM_BAD};
    double real;
    int64_t whole;
    assert_int_equal(item_expect(r, NULL, ITEM_MAP, "w"), -1);
    assert_int_equal(item_expect(r, &bad, ITEM_MAP, "w"), -1);
    assert_null(item_text(r, NULL, "w"));
    assert_null(item_name(r, &bad, "w"));
    assert_int_equal(item_int(r, NULL, 0, "w", &whole), -1);
    assert_int_equal(item_real(r, &bad, "w", &real), -1);
    assert_int_equal(item_scalars(r, NULL, "w", &items, &count), -1);
    assert_int_equal(x->problems.n, 0);
}

static void nulls(void **state)
{
    struct fixture *x = *state;
    struct item *list = take(x, "[~, null, '', 'null', \"~\", Null, 0]");
    static const int expected[] = {1, 1, 0, 0, 0, 0, 0};
    for (int i = 0; i < 7; i++)
        assert_int_equal(item_is_null(list->items[i]), expected[i]);
}

static void numbers(void **state)
{
    struct fixture *x = *state;
    const struct asker *r = &x->asker;
    static const struct {
        const char *text;
        int whole, real; /* is it one? */
    } cases[] = {
        {"0", 1, 1},
        {"9223372036854775807", 1, 1},
        {"9223372036854775808", 0, 1},
        {"-1", 0, 1}, /* below the least */
        {"+7", 1, 1},
        {"07", 0, 1},
        {"0x10", 0, 0},
        {"1e3", 0, 1},
        {"1_000", 0, 0},
        {".inf", 0, 0},
        {"nan", 0, 0},
        {"1e999", 0, 0},
        {"1.5", 0, 1},
        {"'1'", 0, 0},
        {"\"1\"", 0, 0},
        {"\"${SINEW_UNSET:-12}\"", 1, 1},
        {"1 2", 0, 0},
        {"[1]", 0, 0},
        {"~", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item *it = take(x, cases[i].text);
        int64_t whole;
        double real;
        if ((item_int(r, it, 0, "w", &whole) == 0) != cases[i].whole || x->problems.n != !cases[i].whole)
            fail_msg("%s: as an integer", cases[i].text);
        x->problems.n = 0;
        if ((item_real(r, it, "w", &real) == 0) != cases[i].real || x->problems.n != !cases[i].real)
            fail_msg("%s: as a number", cases[i].text);
    }
}

static void names(void **state)
{
    struct fixture *x = *state;
    char longest[120];
    static const char *const good[] = {"a", "0", "A.b-c_d", "7B-v0.1"}, *const bad[] = {"",    ".a",
                                                                                        "-a",  "_a",
                                                                                        "a b", "a/b",
                                                                                        "a\n", "\xc3\xa9",
                                                                                        "a:b", "a\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(name_is_valid(bad[i]));
    memset(longest, 'x', sizeof longest);
    longest[100] = '\0';
    assert_true(name_is_valid(longest));
    longest[100] = 'x';
    longest[101] = '\0';
    assert_false(name_is_valid(longest));
    assert_null(item_name(&x->asker, take(x, "../../etc"), "w"));
    check_said(x, "w: \"../../etc\" is no valid name");
}

static void keys(void **state)
{
    struct fixture *x = *state;
    static const struct key keys[] = {{"base", 1}, {"tuned", 2}, {"logits", 0}, {"either", 3}, {"or", 3}};
    struct item *map = take(x, "{base: 1, tuned: 2, or: 3}");
    item_check_keys(&x->asker, map, keys, 5, "w");
    assert_int_equal(x->problems.n, 0);
    item_check_keys(&x->asker, take(x, "{base: 1, tunde: 2, or: 3}"), keys, 5, "w");
    check_said(x, "f:1:11: w: unknown key \"tunde\"; did you mean tuned?"); /* and tuned is not missing too */
    item_check_keys(&x->asker, take(x, "{base: 1, tuned: 2}"), keys, 5, "w");
    check_said(x, "f:1:1: w: missing key either or or");
    item_check_keys(&x->asker, take(x, "{base: 1, tuned: 2, either: 1, zzzzzz: 1}"), keys, 5, "w");
    check_said(x, "unknown key \"zzzzzz\"; valid keys: base, tuned, logits, either, or");
    assert_int_equal(item_meant(&x->asker, take(x, "{lgits: 1}"), keys, 5, "logits"), 1);
    assert_int_equal(item_meant(&x->asker, take(x, "{base: 1}"), keys, 5, "logits"), 0);
}

/* ---- patterns ---- */

static void patterns(void **state)
{
    struct fixture *x = *state;
    static const char *const words[] = {"word", "seed"}, *const values[] = {"W", "7"};
    static const struct {
        const char *text, *expected, *says; /* one of the two */
    } cases[] = {
        {"plain", "plain", NULL},
        {"{word}{seed}-{word}", "W7-W", NULL},
        {"${SINEW_SET}/{word}", "set ${SINEW_UNSET} {word}/W", NULL}, /* a value is not looked into */
        {"${SINEW_UNSET:-{word}}", "{word}", NULL}, /* nor is a default: it ends at the first brace */
        {"${SINEW_EMPTY}x", "x", NULL},
        {"${SINEW_EMPTY:-d}x", "dx", NULL},
        {"${SINEW_UNSET:-}x", "x", NULL},
        {"$${SINEW_SET}", "${SINEW_SET}", NULL},
        {"$a $ $$ b$", "$a $ $$ b$", NULL},
        {"a}b", "a}b", NULL},
        {"${SINEW_UNSET}", NULL, "SINEW_UNSET is not set"},
        {"${}", NULL, "expected ${NAME}"},
        {"${1A}", NULL, "expected ${NAME}"},
        {"${A B}", NULL, "expected ${NAME}"},
        {"${A", NULL, "expected ${NAME}"},
        {"{wrod}", NULL, "did you mean {word}?"},
        {"{}", NULL, "unknown placeholder \"{}\""},
        {"{word", NULL, "unknown placeholder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item it = {.kind = ITEM_SCALAR, .mark = {1, 1}, .text = cases[i].text, .quoted = 1};
        struct pattern p;
        int fine = item_pattern(&x->asker, &it, words, 2, "w", &p) == 0;
        if (fine && x->problems.n == 0) {
            const char *text = pattern_fill(&x->asker, &p, values);
            if (cases[i].expected)
                assert_string_equal(text, cases[i].expected);
            continue;
        }
        if (!cases[i].says)
            fail_msg("%s: %s", cases[i].text, x->problems.list[0].text);
        check_said(x, cases[i].says);
    }
    /* without words braces mean nothing; each mistake is said */
    struct item it = {.kind = ITEM_SCALAR, .mark = {1, 1}, .text = "{word} ${SINEW_EMPTY}{", .quoted = 1};
    assert_string_equal(item_text(&x->asker, &it, "w"), "{word} {");
    it.text = "${SINEW_UNSET} ${} {word} {nope} ${SINEW_SET}";
    struct pattern p;
    assert_int_equal(item_pattern(&x->asker, &it, words, 2, "w", &p), -1);
    assert_int_equal(x->problems.n, 3);
}

static void no_memory(void **state)
{
    struct fixture *x = *state;
    struct bench *b = &x->bench;
    static const char text[] = "a: {b: [1, 2, {c: d}], e: \"${SINEW_SET}\"}\nf: 'a longer text'\n";
    int done = 0;
    for (size_t budget = 1; !done; budget += 37) {
        struct item *root;
        arena_reset(&b->arena);
        err_clear(&b->err);
        b->mem.budget_bytes = budget;
        x->problems = (struct problems){.arena = &b->arena, .file = "f"};
        err_t code = document_parse(text, (int64_t)strlen(text), &x->problems, &b->arena, &root, &b->err);
        assert_true(budget < 100000 && (code == ERR_OK || code == ERR_SYSTEM));
        assert_true((code == ERR_OK) == (root != NULL) && x->problems.n == 0);
        done = code == ERR_OK;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(marks), TEST(depth),   TEST(duplicates), TEST(refused), TEST(complaints), TEST(wrong_kinds),
        TEST(nulls), TEST(numbers), TEST(names),      TEST(keys),    TEST(patterns),   TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
