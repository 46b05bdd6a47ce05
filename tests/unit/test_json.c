/* JSON: what is taken and as what, what is refused and where, and that memory is counted and given back. */

#include "unitlib.h"

#include "base/text.h"
#include "formats/json.h"

static const struct json_item *parse(struct bench *b, const char *text, struct json_doc **d)
{
    if (json_doc_parse(d, "f: header", text, (int64_t)strlen(text), &b->arena, &b->err) != ERR_OK)
        fail_msg("%s", b->err.text);
    return json_doc_root(*d);
}

static void refuse_bytes(struct bench *b, const char *text, int64_t n, const char *says)
{
    struct json_doc *d = (struct json_doc *)b;
    err_clear(&b->err);
    if (json_doc_parse(&d, "f: header", text, n, &b->arena, &b->err) != ERR_DATA)
        fail_msg("taken, or refused otherwise (%s): %.200s", b->err.text, text);
    assert_null(d);
    if (!strstr(b->err.text, says) || strncmp(b->err.text, "f: header: ", 11) != 0)
        fail_msg("\"%s\" does not say \"%s\"", b->err.text, says);
    for (const char *c = b->err.text; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    assert_int_equal(b->mem.live_bytes, 0);
}

static void refuse(struct bench *b, const char *text, const char *says)
{
    refuse_bytes(b, text, (int64_t)strlen(text), says);
}

static void kinds(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    const struct json_item *root = parse(
        b,
        " {\"i\": -7, \"r\": 2.5, \"t\": \"a\\u00e9\\\"\", \"y\": true, \"n\": null, \"l\": [1, [], {}]} \n",
        &d);
    assert_int_equal(json_item_kind(root), JSON_KIND_MAP);
    assert_int_equal(json_item_count(root), 6);
    assert_int_equal(json_item_int(json_item_get(root, "i")), -7);
    assert_true(json_item_real(json_item_get(root, "r")) == 2.5);
    assert_string_equal(json_item_text(json_item_get(root, "t")), "a\xc3\xa9\"");
    assert_int_equal(json_item_kind(json_item_get(root, "y")), JSON_KIND_BOOL);
    assert_int_equal(json_item_int(json_item_get(root, "y")), 1);
    assert_int_equal(json_item_kind(json_item_get(root, "n")), JSON_KIND_NULL);
    const struct json_item *list = json_item_get(root, "l");
    assert_int_equal(json_item_count(list), 3);
    assert_int_equal(json_item_kind(json_item_at(list, 1)), JSON_KIND_LIST);
    assert_int_equal(json_item_kind(json_item_at(list, 2)), JSON_KIND_MAP);
    json_doc_release(d);
    assert_int_equal(b->mem.live_bytes, 0);
}

/* Asked for the wrong thing, or for what is not there, it gives nothing and does not fall over. */
static void wrong_questions(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    const struct json_item *root = parse(b, "{\"i\": 1, \"t\": \"x\"}", &d);
    const struct json_item *i = json_item_get(root, "i"), *t = json_item_get(root, "t");
    assert_null(json_item_get(root, "absent"));
    assert_null(json_item_get(i, "x"));
    assert_null(json_item_get(NULL, "x"));
    assert_null(json_item_at(root, 0));
    assert_null(json_item_at(root, -1));
    assert_null(json_item_at(NULL, 0));
    assert_int_equal(json_item_int(t), 0);
    assert_int_equal(json_item_int(NULL), 0);
    assert_true(json_item_real(i) == 0 && json_item_real(NULL) == 0);
    assert_string_equal(json_item_text(i), "");
    assert_string_equal(json_item_text(NULL), "");
    assert_int_equal(json_item_count(i), 0);
    assert_int_equal(json_item_count(NULL), 0);
    assert_int_equal(json_item_kind(NULL), JSON_KIND_NULL);
    assert_string_equal(json_item_kind_text(NULL), "nothing");
    assert_string_equal(json_item_kind_text(t), "a text");
    json_doc_release(d);
    json_doc_release(NULL);
}

static void order_of_the_file(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    static const char *const keys[] = {"z", "a", "", "m"};
    const struct json_item *root = parse(b, "{\"z\": 0, \"a\": 1, \"\": 2, \"m\": 3}", &d), *value;
    const char *key;
    int64_t n = 0;
    for (void *at = json_item_next(root, NULL, &key, &value); at;
         at = json_item_next(root, at, &key, &value), n++) {
        assert_string_equal(key, keys[n]);
        assert_int_equal(json_item_int(value), n);
    }
    assert_int_equal(n, 4);
    json_doc_release(d);
    root = parse(b, "{}", &d);
    assert_null(json_item_next(root, NULL, &key, &value));
    assert_null(key);
    assert_null(value);
    json_doc_release(d);
}

static void integers(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    const struct json_item *root =
        parse(b, "[9223372036854775807, -9223372036854775808, 0, -0, 1e3, 4.0, 9007199254740993]", &d);
    assert_int_equal(json_item_int(json_item_at(root, 0)), INT64_MAX);
    assert_int_equal(json_item_int(json_item_at(root, 1)), INT64_MIN);
    assert_int_equal(json_item_kind(json_item_at(root, 3)), JSON_KIND_INT);
    assert_int_equal(json_item_kind(json_item_at(root, 4)), JSON_KIND_REAL);
    assert_int_equal(json_item_kind(json_item_at(root, 5)), JSON_KIND_REAL);
    assert_int_equal(json_item_int(json_item_at(root, 6)), 9007199254740993); /* beyond a double's 53 bits */
    json_doc_release(d);
}

/* One number beyond int64, however deep, does not hide the rest: it is a real, its neighbours stay integers.
 */
static void beyond_integers(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    const struct json_item *root =
        parse(b, "{\"a\": [5, {\"big\": 9223372036854775808, \"small\": -12}], \"b\": 2.5}", &d);
    const struct json_item *list = json_item_get(root, "a"), *map = json_item_at(list, 1);
    assert_int_equal(json_item_kind(json_item_get(map, "big")), JSON_KIND_REAL);
    assert_true(json_item_real(json_item_get(map, "big")) == 0x1p63);
    assert_int_equal(json_item_int(json_item_at(list, 0)), 5);
    assert_int_equal(json_item_int(json_item_get(map, "small")), -12);
    assert_int_equal(json_item_kind(json_item_get(root, "b")), JSON_KIND_REAL);
    assert_string_equal(json_item_kind_text(json_item_get(map, "big")),
                        "a number that is no integer of 64 bits");
    json_doc_release(d);
    assert_int_equal(b->mem.live_bytes, 0);
}

static void numbers_refused(void **state)
{
    struct bench *b = *state;
    refuse(b, "[01]", "no valid JSON");
    refuse(b, "[+1]", "no valid JSON");
    refuse(b, "[1.]", "no valid JSON");
    refuse(b, "[.5]", "no valid JSON");
    refuse(b, "[0x10]", "no valid JSON");
    refuse(b, "[NaN]", "no valid JSON");
    refuse(b, "[-Infinity]", "no valid JSON");
    refuse(b, "[1e999]", "no valid JSON");
    refuse(b, "[1, 9223372036854775808, 1e999]", "no valid JSON"); /* also on the second reading */
}

static void syntax_refused(void **state)
{
    struct bench *b = *state;
    refuse(b, "", "no valid JSON");
    refuse(b, "   ", "no valid JSON");
    refuse(b, "3", "no valid JSON"); /* the top is a map or a list */
    refuse(b, "\"x\"", "no valid JSON");
    refuse(b, "{", "no valid JSON");
    refuse(b, "{\"a\": 1", "line 1");
    refuse(b, "{\"a\": 1,}", "no valid JSON");
    refuse(b, "{a: 1}", "no valid JSON");
    refuse(b, "{'a': 1}", "no valid JSON");
    refuse(b, "{\"a\" 1}", "no valid JSON");
    refuse(b, "[1, 2}", "no valid JSON");
    refuse(b, "[1] []", "no valid JSON");
    refuse(b, "[1] x", "byte 5 of 5");
    refuse(b, "[1]\n\n, ", "line 3");
    refuse(b, "[1 /* one */]", "no valid JSON");
    refuse(b, "[\"a\nb\"]", "no valid JSON");
    refuse(b, "[\"a\\q\"]", "no valid JSON");
    refuse(b, "\xef\xbb\xbf[1]", "no valid JSON"); /* a byte order mark is no white space */
}

static void texts_refused(void **state)
{
    struct bench *b = *state;
    refuse(b, "[\"\xff\"]", "no valid JSON");
    refuse(b, "[\"\xc0\xaf\"]", "no valid JSON");     /* overlong */
    refuse(b, "[\"\xed\xa0\x80\"]", "no valid JSON"); /* a surrogate */
    refuse(b, "[\"\xe2\x82\"]", "no valid JSON");
    refuse(b, "[\"\\ud800\"]", "no valid JSON");
    refuse(b, "[\"\\u0000\"]", "no valid JSON"); /* a text that C would cut short */
    refuse_bytes(b, "[\"a\0b\"]", 7, "");
    refuse_bytes(b, "[1]\0", 4, "a NUL byte stands outside of texts");
    refuse_bytes(b, "{\"a\": 1\0}", 9, "a NUL byte stands outside of texts (line 1, column 8, byte 8 of 9)");
    refuse_bytes(b, "[1,\n true\0]", 11,
                 "a NUL byte stands outside of texts (line 2, column 6, byte 10 of 11)");
    refuse_bytes(b, "{\"a\": {}\0}", 10, "a NUL byte stands outside of texts");
    refuse(b, "{\"\\u0000\": 1}", "no valid JSON");
}

static void duplicate_keys(void **state)
{
    struct bench *b = *state;
    refuse(b, "{\"w\": 1, \"x\": 2, \"w\": 3}", "duplicate key \"w\"");
    refuse(b, "{\"x\": {\"deep\": 1, \"deep\": 1}}", "duplicate key \"deep\"");
    refuse(b, "{\"a\\\"b\": 1, \"a\\\"b\": 2}", "duplicate key \"a\\\"b\"");
    refuse(b, "{\"\\u0041\": 1, \"A\": 2}", "duplicate key \"A\""); /* equal, however written */
    struct text t = {.arena = &b->arena};
    assert_int_equal(text_add(&t, &b->err, "{\"%0350d\": 1, \"%0350d\": 2}", 1, 1), ERR_OK);
    char *text = strdup(t.text);
    arena_reset(&b->arena);
    refuse(b, text, "duplicate key \"000000");
    free(text);
}

/* Nested deeper than the parser goes: refused, not a crash. */
static void deep(void **state)
{
    struct bench *b = *state;
    enum { DEPTH = 100000 };
    char *text = malloc(6 * DEPTH);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    refuse_bytes(b, text, 2 * DEPTH, "no valid JSON");
    for (int i = 0; i < DEPTH; i++)
        memcpy(text + 5 * i, "{\"a\":", 5);
    refuse_bytes(b, text, 5 * DEPTH, "no valid JSON");
    free(text);
}

static void memory_counted(void **state)
{
    struct bench *b = *state;
    enum { ITEMS = 20000 };
    char *text = malloc(3 * ITEMS + 2);
    struct json_doc *d = NULL;
    text[0] = '[';
    for (int i = 0; i < ITEMS; i++)
        memcpy(text + 1 + 3 * i, "[],", 3); /* two bytes of text unfold to tens of bytes of tree */
    memcpy(text + 3 * ITEMS, "]", 2);
    parse(b, text, &d);
    assert_true(b->mem.live_bytes > ITEMS * sizeof(void *));
    json_doc_release(d);
    assert_int_equal(b->mem.live_bytes, 0);
    b->mem.budget_bytes = 64 << 10;
    d = (struct json_doc *)b;
    assert_int_equal(json_doc_parse(&d, "f: header", text, 3 * ITEMS + 1, &b->arena, &b->err), ERR_SYSTEM);
    assert_null(d);
    assert_non_null(strstr(b->err.text, "do not fit the memory budget"));
    assert_non_null(strstr(b->err.text, "raise memory_per_process"));
    assert_int_equal(b->mem.live_bytes, 0);
    assert_true(b->mem.peak_bytes > b->mem.budget_bytes); /* of the first time */
    free(text);
}

/* At every point where there may be no memory: refused, and all given back. */
static void memory_anywhere(void **state)
{
    struct bench *b = *state;
    static const char text[] =
        "{\"a\": [5, {\"big\": 9223372036854775808, \"t\": \"a text longer than the first two buffers\"}],"
        "\"b\": 2.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000005}";
    int done = 0;
    for (size_t budget = 1; !done; budget += 16) {
        struct json_doc *d;
        err_clear(&b->err);
        b->mem.budget_bytes = budget;
        err_t code = json_doc_parse(&d, "f", text, (int64_t)strlen(text), &b->arena, &b->err);
        assert_true(budget < 100000 && (code == ERR_OK || code == ERR_SYSTEM));
        done = code == ERR_OK;
        json_doc_release(d);
        assert_int_equal(b->mem.live_bytes, 0);
    }
}

/* As Python writes it: its own words for numbers that JSON lacks, outside of texts, and a byte order mark. */
static void python(void **state)
{
    struct bench *b = *state;
    struct json_doc *d;
    const char *text =
        "\xef\xbb\xbf{\"a\": NaN, \"b\": [-Infinity,Infinity,NaN], \"NaN\": \"\\\"NaN\\\\\", \"i\": 3}";
    assert_int_equal(json_doc_parse_python(&d, "f", text, (int64_t)strlen(text), &b->arena, &b->err), ERR_OK);
    const struct json_item *root = json_doc_root(d);
    assert_int_equal(json_item_count(root), 4);
    assert_int_equal(json_item_kind(json_item_get(root, "a")), JSON_KIND_NULL);
    assert_int_equal(json_item_count(json_item_get(root, "b")), 3);
    assert_string_equal(json_item_text(json_item_get(root, "NaN")), "\"NaN\\");
    assert_int_equal(json_item_int(json_item_get(root, "i")), 3);
    json_doc_release(d);
    static const char *const bad[] = {"{\"a\": NaNNaN}", "{\"a\": Infinit}", "{\"a\": \"NaN}",
                                      "\xef\xbb",        "{\"a\\",           "{NaN: 1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err_clear(&b->err);
        assert_int_equal(json_doc_parse_python(&d, "f", bad[i], (int64_t)strlen(bad[i]), &b->arena, &b->err),
                         ERR_DATA);
        assert_non_null(strstr(b->err.text, "no valid JSON"));
    }
    assert_int_equal(b->mem.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(kinds),
        TEST_BENCH(python),
        TEST_BENCH(wrong_questions),
        TEST_BENCH(order_of_the_file),
        TEST_BENCH(integers),
        TEST_BENCH(beyond_integers),
        TEST_BENCH(numbers_refused),
        TEST_BENCH(syntax_refused),
        TEST_BENCH(texts_refused),
        TEST_BENCH(duplicate_keys),
        TEST_BENCH(deep),
        TEST_BENCH(memory_counted),
        TEST_BENCH(memory_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
