/* Pickles: what their writers write is read as a tree of values, foreign names and calls as what they are,
 * which runs nothing; all else is refused by name and byte, and bounded. */
#include "unitlib.h"

#include "formats/torch/pickle.h"

struct fixture {
    struct bench bench;
    struct pickle p;
    char *copy;
};

static int setup(void **state)
{
    return bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->copy);
    return bench_delete(state);
}

static const struct pickle_name names[] = {
    {"torch", "FloatStorage", 0, 0},
    {"torch", "Size", 1, 0},
    {"collections", "OrderedDict", 2, 1},
};

static err_t parse(struct fixture *f, const char *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly as long, so that reading beyond is seen */
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    free(f->copy);
    err_clear(&f->bench.err);
    err_t code =
        pickle_read(&f->p, "x.bin: data.pkl", copy, (int64_t)n, names, 3, &f->bench.arena, &f->bench.err);
    f->copy = copy; /* texts lie in it */
    return code;
}

#define BYTES(text) text, sizeof(text) - 1
#define SYSTEM "cposix\nsystem\n"
#define A51 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_NAME A51 A51 A51 A51 A51 /* 255 bytes */
#define DICT "ccollections\nOrderedDict\n)R"

static const struct one {
    const char *what, *bytes;
    size_t n;
    int verdict;
    const char *contains[2];
    const char *told; /* what the root is called in messages */
} cases[] = {
    {"None", BYTES("\x80\2N."), ERR_OK, {0}, NULL},
    {"without protocol", BYTES("N."), ERR_OK, {0}, NULL},
    {"empty", BYTES(""), ERR_DATA, {"byte 0", "without its end"}, NULL},
    {"no stop", BYTES("\x80\2N"), ERR_DATA, {"byte 3", "opcode STOP"}, NULL},
    {"bytes behind", BYTES("\x80\2N.N"), ERR_DATA, {"byte 3: opcode STOP", "bytes behind the end"}, NULL},
    {"nothing to stop with", BYTES("\x80\2."), ERR_DATA, {"expected one value"}, NULL},
    {"two values", BYTES("\x80\2NN."), ERR_DATA, {"expected one value"}, NULL},
    {"open mark", BYTES("\x80\2(N."), ERR_DATA, {"expected one value"}, NULL},
    {"protocol 3", BYTES("\x80\3N."), ERR_OK, {0}, NULL},
    {"protocol 4", BYTES("\x80\4N."), ERR_OK, {0}, NULL},
    {"protocol 5", BYTES("\x80\5N."), ERR_OK, {0}, NULL},
    {"protocol 1",
     BYTES("\x80\1N."),
     ERR_DATA,
     {"pickle protocol 1, expected 2 to 5", "pickle_protocol"},
     NULL},
    {"protocol 6",
     BYTES("\x80\6N."),
     ERR_DATA,
     {"pickle protocol 6, expected 2 to 5", "pickle_protocol"},
     NULL},
    {"protocol cut", BYTES("\x80"), ERR_DATA, {"opcode PROTO", "ends within it"}, NULL},
    /* what would run code: it is noted, and whoever expects something else refuses it by this name */
    {"os.system",
     BYTES("\x80\2" SYSTEM "X\2\0\0\0id\x85R."),
     ERR_OK,
     {0},
     "an object of posix.system; nothing of the file was executed"},
    {"eval",
     BYTES("\x80\2}c__builtin__\neval\nX\1\0\0\0"
           "1\x85R0."),
     ERR_OK,
     {0},
     "a map"},
    {"name with a longer module", BYTES("ctorch.evil\nSize\n."), ERR_OK, {0}, "the name torch.evil.Size"},
    {"name with an escape", BYTES("ca\x1b[2J\nb\n."), ERR_OK, {0}, "the name a?[2J.b"},
    {"name of 255 bytes", BYTES("c" LONG_NAME "\nx\n."), ERR_OK, {0}, NULL},
    {"name of 256 bytes", BYTES("c" LONG_NAME "a\nx\n."), ERR_DATA, {"name of more than 256 bytes"}, NULL},
    {"STACK_GLOBAL",
     BYTES("\x80\2X\2\0\0\0osX\6\0\0\0system\x93)R."),
     ERR_OK,
     {0},
     "an object of os.system; nothing of the file was executed"},
    {"STACK_GLOBAL of a known name",
     BYTES("\x8c\13collections\x94\x8c\13OrderedDict\x94\x93)R."),
     ERR_OK,
     {0},
     "a map"},
    {"STACK_GLOBAL of a number",
     BYTES("\x8c\2osK\1\x93."),
     ERR_DATA,
     {"STACK_GLOBAL: expected the texts"},
     NULL},
    {"STACK_GLOBAL of a long text",
     BYTES("\x8c\1a\x8d\0\1\0\0\0\0\0\0" LONG_NAME "a\x93."),
     ERR_DATA,
     {"more than 256 bytes"},
     NULL},
    {"getattr, called", BYTES("c__builtin__\ngetattr\nctorch\nSize\nU\1n\x86R)R."), ERR_OK, {0}, "an object"},
    {"INST", BYTES("(iposix\nsystem\n."), ERR_DATA, {"byte 1: opcode 0x69 (INST)"}, NULL},
    {"OBJ", BYTES("(ctorch\nSize\no."), ERR_DATA, {"opcode 0x6f (OBJ)"}, NULL},
    {"NEWOBJ",
     BYTES("ctorch\nSize\n)\x81."),
     ERR_OK,
     {0},
     "an object of torch.Size; nothing of the file was executed"},
    {"NEWOBJ of a map's name is none",
     BYTES("ccollections\nOrderedDict\n)\x81."),
     ERR_OK,
     {0},
     "an object of collections.OrderedDict; nothing of the file was executed"},
    {"NEWOBJ of a text", BYTES("U\1a)\x81."), ERR_DATA, {"NEWOBJ: expected a GLOBAL"}, NULL},
    {"NEWOBJ without a tuple", BYTES("ctorch\nSize\n}\x81."), ERR_DATA, {"NEWOBJ: expected a tuple"}, NULL},
    {"NEWOBJ_EX",
     BYTES("ctorch\nSize\n)}\x92."),
     ERR_OK,
     {0},
     "an object of torch.Size; nothing of the file was executed"},
    {"NEWOBJ_EX without a map",
     BYTES("ctorch\nSize\n))\x92."),
     ERR_DATA,
     {"NEWOBJ_EX: expected a map"},
     NULL},
    {"NEWOBJ_EX of too little", BYTES(")}\x92."), ERR_DATA, {"NEWOBJ_EX: too few"}, NULL},
    {"EXT1", BYTES("\x82\1."), ERR_DATA, {"byte 0: opcode 0x82 (EXT1)"}, NULL},
    {"PERSID", BYTES("P0\n."), ERR_DATA, {"(PERSID)"}, NULL},
    {"text integer", BYTES("I1\n."), ERR_DATA, {"opcode 0x49 (INT)"}, NULL},
    {"unknown opcode", BYTES("\xfe."), ERR_DATA, {"byte 0: opcode 0xfe (unknown)"}, NULL},
    {"NEXT_BUFFER", BYTES("\x97."), ERR_DATA, {"opcode 0x97 (NEXT_BUFFER) is refused"}, NULL},
    {"call of a type",
     BYTES("ctorch\nFloatStorage\n)R."),
     ERR_OK,
     {0},
     "an object of torch.FloatStorage; nothing of the file was executed"},
    {"call of a map with arguments",
     BYTES("ccollections\nOrderedDict\n]\x85R."),
     ERR_OK,
     {0},
     "an object of collections.OrderedDict; nothing of the file was executed"},
    {"call of a text", BYTES("X\1\0\0\0a)R."), ERR_DATA, {"expected a GLOBAL to call"}, NULL},
    {"call with no tuple", BYTES("ctorch\nSize\nNR."), ERR_DATA, {"expected a tuple of arguments"}, NULL},
    {"call of nothing", BYTES(")R."), ERR_DATA, {"too few values"}, NULL},
    {"state of a text", BYTES("X\1\0\0\0a}b."), ERR_DATA, {"opcode BUILD", "expected an object below"}, NULL},
    {"state of a name",
     BYTES("ctorch\nSize\n}b."),
     ERR_DATA,
     {"opcode BUILD", "expected an object below"},
     NULL},
    {"state of any kind", BYTES(DICT "Nb."), ERR_OK, {0}, "a map"},
    {"state of a map", BYTES(DICT "}X\1\0\0\0aNsb."), ERR_OK, {0}, "a map"},
    {"two states", BYTES(DICT "}b}b."), ERR_DATA, {"opcode BUILD: a second state"}, NULL},
    {"a state of nothing", BYTES("}b."), ERR_DATA, {"BUILD: too few"}, NULL},
    {"a map in a class",
     BYTES("cm\nD\n)\x81U\1aNs."),
     ERR_OK,
     {0},
     "an object of m.D; nothing of the file was executed"},
    {"a set", BYTES("\x8f(K\1K\2\x90."), ERR_OK, {0}, "a set"},
    {"a frozen set", BYTES("(K\1K\2\x91."), ERR_OK, {0}, "a set"},
    {"items of a set for a list", BYTES("](K\1\x90."), ERR_DATA, {"ADDITEMS: expected a set below"}, NULL},
    {"LIST and DICT", BYTES("(((K\1l(U\1aNdt0N."), ERR_DATA, {"expected one value"}, NULL},
    {"DICT of a key", BYTES("(Nd."), ERR_DATA, {"opcode DICT: a key without a value"}, NULL},
    {"POP of a mark", BYTES("(0N."), ERR_OK, {0}, "None"},
    {"POP of nothing", BYTES("0N."), ERR_DATA, {"POP: too few"}, NULL},
    {"POP_MARK", BYTES("N(NN1."), ERR_OK, {0}, "None"},
    {"POP_MARK without", BYTES("NN1."), ERR_DATA, {"POP_MARK: no mark"}, NULL},
    {"DUP",
     BYTES("K\1"
           "2\x86."),
     ERR_OK,
     {0},
     "a tuple"},
    {"DUP of nothing", BYTES("2."), ERR_DATA, {"DUP: too few"}, NULL},
    {"a frame", BYTES("\x80\4\x95\2\0\0\0\0\0\0\0N."), ERR_OK, {0}, "None"},
    {"a frame beyond the end",
     BYTES("\x80\4\x95\3\0\0\0\0\0\0\0N."),
     ERR_DATA,
     {"opcode FRAME", "expected 3 bytes, found 2"},
     NULL},
    {"bytes",
     BYTES("C\2\0\377B\1\0\0\0a\x86\x8e\1\0\0\0\0\0\0\0b\x86\x96\1\0\0\0\0\0\0\0b\x86."),
     ERR_OK,
     {0},
     "a tuple"},
    {"bytes beyond the end",
     BYTES("\x8e\377\377\377\377\377\377\377\377a."),
     ERR_DATA,
     {"BINBYTES8", "found 2"},
     NULL},
    {"MEMOIZE of nothing", BYTES("\x94."), ERR_DATA, {"MEMOIZE: too few"}, NULL},
    /* stack, memo, lengths */
    {"name without end", BYTES("ctorch"), ERR_DATA, {"opcode GLOBAL", "ends within its name"}, NULL},
    {"text beyond the end",
     BYTES("X\377\377\377\377a."),
     ERR_DATA,
     {"opcode BINUNICODE", "expected 4294967295 bytes, found 2"},
     NULL},
    {"length cut", BYTES("X\1\0"), ERR_DATA, {"expected 4 bytes, found 2"}, NULL},
    {"tuple of too little", BYTES("N\x86."), ERR_DATA, {"opcode TUPLE2: too few"}, NULL},
    {"tuple across a mark", BYTES("N(N\x86."), ERR_DATA, {"opcode TUPLE2: too few"}, NULL},
    {"tuple without mark", BYTES("Nt."), ERR_DATA, {"opcode TUPLE: no mark"}, NULL},
    {"items for a text", BYTES("X\1\0\0\0a(NNu."), ERR_DATA, {"expected a map below"}, NULL},
    {"items for nothing", BYTES("(NNu."), ERR_DATA, {"expected a map below"}, NULL},
    {"items across a mark", BYTES("}((NNu."), ERR_DATA, {"expected a map below"}, NULL},
    {"key without value", BYTES("}(Nu."), ERR_DATA, {"a key without a value"}, NULL},
    {"list items for a map", BYTES("}(Ne."), ERR_DATA, {"expected a list below"}, NULL},
    {"one item for nothing", BYTES("Ns."), ERR_DATA, {"too few"}, NULL},
    {"memo never put", BYTES("h\5."), ERR_DATA, {"opcode BINGET: memo slot that was never put"}, NULL},
    {"memo beyond all, got", BYTES("j\377\377\377\377."), ERR_DATA, {"never put"}, NULL},
    {"memo beyond all, put",
     BYTES("Nr\377\377\377\377."),
     ERR_DATA,
     {"opcode LONG_BINPUT: memo slot beyond"},
     NULL},
    {"memo of nothing", BYTES("q\0."), ERR_DATA, {"too few"}, NULL},
    {"integer of 72 bits",
     BYTES("\x8a\11\1\2\3\4\5\6\7\10\11."),
     ERR_OK,
     {0},
     "an integer of more than 64 bits"},
    {"integer of 2^31 bytes", BYTES("\x8b\0\0\0\x80."), ERR_DATA, {"opcode LONG4", "found 1"}, NULL},
    {"long integer cut", BYTES("\x8a\4\1\2"), ERR_DATA, {"ends within it"}, NULL},
    {"a map that holds itself", BYTES("}q\0X\1\0\0\0ah\0s."), ERR_OK, {0}, NULL},
};

/* Where a value stands is told where there is one. */
static void test_where(void **state)
{
    struct fixture *f = *state;
    char where[PICKLE_WHERE];
    assert_int_equal(parse(f, "\x80\2K\7.", 5), ERR_OK);
    assert_string_equal(pickle_where(f->p.root, "data.pkl", where), " (byte 2 of data.pkl)");
    assert_string_equal(pickle_where(f->p.root, NULL, where), " (byte 2)");
    assert_string_equal(pickle_where(NULL, "data.pkl", where), "");
}

static void test_cases(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct one *c = &cases[i];
        err_t code = parse(f, c->bytes, c->n);
        if ((int)code != c->verdict)
            fail_msg("%s: verdict %d, expected %d: %s", c->what, (int)code, c->verdict, f->bench.err.text);
        for (int k = 0; k < 2 && c->contains[k]; k++)
            if (!strstr(f->bench.err.text, c->contains[k]))
                fail_msg("%s: expected \"%s\" in: %s", c->what, c->contains[k], f->bench.err.text);
        char told[PICKLE_TOLD];
        if (c->told && strcmp(pickle_told(&f->p, f->p.root, told), c->told) != 0)
            fail_msg("%s: expected \"%s\", found: %s", c->what, c->told, told);
        for (const char *p = f->bench.err.text; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        if (getenv("SINEW_TEST_SHOW"))
            print_message("%s: %s\n", c->what, f->bench.err.text);
        arena_reset(&f->bench.arena);
    }
}

static void test_values(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] =
        "\x80\2(" DICT "q\0(X\1\0\0\0aK\377X\1\0\0\0bM\1\200uX\1\0\0\0cJ\376\377\377\377s"
        "](\x8a\0\x8a\1\377\x8a\10\1\0\0\0\0\0\0\200e"
        "NaG\277\360\0\0\0\0\0\0\x88\x89"
        "ctorch\nSize\nK\1K\2\x86\x85RU\2a\0Qh\0t.";
    char *copy = malloc(sizeof bytes);
    assert_non_null(copy);
    memcpy(copy, bytes, sizeof bytes);
    const struct pickle *p = &f->p;
    assert_int_equal(
        pickle_read(&f->p, "x", copy, sizeof bytes - 1, names, 3, &f->bench.arena, &f->bench.err), ERR_OK);
    const struct pickle_value *map = pickle_item(p, p->root, 0), *list = pickle_item(p, p->root, 1), *key, *v;
    assert_true(p->root->kind == PICKLE_TUPLE && p->root->n == 8 && map->kind == PICKLE_DICT && map->n == 3);
    static const struct {
        const char *key;
        int64_t value;
    } pairs[] = {{"a", 255}, {"b", 32769}, {"c", -2}};
    const struct pickle_cell *at = NULL;
    for (int i = 0; i < 3; i++) {
        at = pickle_next(p, map, at, &key, &v);
        assert_true(at && pickle_is(key, pairs[i].key) && v->kind == PICKLE_INT && v->i == pairs[i].value);
    }
    assert_null(pickle_next(p, map, at, &key, &v));
    static const int64_t longs[] = {0, -1, INT64_MIN + 1};
    at = NULL;
    assert_int_equal(list->n, 4);
    for (int i = 0; i < 3; i++) {
        at = pickle_next(p, list, at, NULL, &v);
        assert_true(v->kind == PICKLE_INT && v->i == longs[i]);
    }
    pickle_next(p, list, at, NULL, &v);
    assert_int_equal(v->kind, PICKLE_NONE);
    v = pickle_item(p, p->root, 2);
    assert_true(v->kind == PICKLE_REAL && v->x == -1.0);
    assert_true(pickle_item(p, p->root, 3)->i == 1 && pickle_item(p, p->root, 4)->i == 0);
    v = pickle_item(p, p->root, 5);
    assert_true(v->kind == PICKLE_CALL && pickle_id(p, v) == 1);
    v = pickle_item(p, pickle_item(p, pickle_item(p, v, 0), 0), 1);
    assert_true(v->kind == PICKLE_INT && v->i == 2);
    v = pickle_item(p, p->root, 6);
    assert_true(v->kind == PICKLE_PERSISTENT && pickle_item(p, v, 0)->n == 2);
    assert_ptr_equal(pickle_item(p, p->root, 7), map);
    assert_null(pickle_item(p, p->root, 8));
    assert_null(pickle_item(p, map, 0));
    char shown[8];
    assert_string_equal(pickle_shown("a\0\xff\xc3\xa4"
                                     "bcdef",
                                     10, shown, sizeof shown),
                        "a??\xc3\xa4"
                        "bc");
    free(copy);
}

/* Objects as trainers' pickles have them: attributes in a map or behind a None, subclasses with what they
 * hold, names known and unknown; and protocol 4's memo. */
static void test_objects(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] =
        "\x80\4("
        "\x8c\3m.a\x94\x8c\4Meta\x94\x93\x94)\x81}(\x8c\3"
        "fqn\x94\x8c\1w\x8c\3dupK\1\x8c\3dupK\2ub\x94" /* memo: m.a Meta class fqn object */
        "h\2K\7\x85\x81N}\x8c\3"
        "dimK\3s\x86"
        "b"
        "cm\nD\n)R(h\3K\1h\3K\2u(K\5K\6e"
        "ctorch\nFloatStorage\n"
        "h\4"
        "cnone\nx\n)R"
        "t.";
    assert_int_equal(parse(f, bytes, sizeof bytes - 1), ERR_OK);
    const struct pickle *p = &f->p;
    const struct pickle_value *v = pickle_item(p, p->root, 0), *key, *value, *module, *name;
    assert_true(v->kind == PICKLE_OBJECT && pickle_item(p, v, 0)->n == 0 && !pickle_item(p, v, 1));
    assert_true(pickle_is_object(p, v, "m.a", "Meta") && pickle_is_object(p, v, NULL, "Meta") &&
                pickle_is_object(p, v, "b|m.a|c", "Meta") && pickle_is_object(p, v, "b|m.a", "Meta"));
    assert_false(pickle_is_object(p, v, "m", "Meta") || pickle_is_object(p, v, "m.a|", "Met") ||
                 pickle_is_object(p, v, "b|c", "Meta") || pickle_is_object(p, v, "", "Meta") ||
                 pickle_is_name(p, v, "m.a", "Meta") || pickle_is_object(p, NULL, NULL, "Meta"));
    assert_true(pickle_names(p, v, &module, &name) && pickle_is(module, "m.a") && pickle_is(name, "Meta"));
    assert_true(pickle_is(pickle_attribute(p, v, "fqn"), "w") && pickle_attribute(p, v, "dup")->i == 2);
    assert_null(pickle_attribute(p, v, "absent"));
    assert_int_equal(pickle_id(p, v), -1);
    v = pickle_item(p, p->root, 1);
    assert_true(pickle_attribute(p, v, "dim")->i == 3 && pickle_item(p, pickle_item(p, v, 0), 0)->i == 7);
    assert_int_equal(pickle_state(p, v)->kind, PICKLE_TUPLE);
    assert_null(pickle_get(p, v, "dim"));
    v = pickle_item(p, p->root, 2);
    assert_true(v->kind == PICKLE_CALL && v->n == 4 && pickle_get(p, v, "fqn")->i == 2 &&
                !pickle_state(p, v));
    static const int64_t held[] = {1, 2, 5, 6};
    const struct pickle_cell *at = NULL;
    for (int i = 0; i < 4; i++) {
        at = pickle_next(p, v, at, &key, &value);
        assert_true(at && (key != NULL) == (i < 2) && value->i == held[i]);
    }
    assert_null(pickle_next(p, v, at, &key, &value));
    v = pickle_item(p, p->root, 3);
    assert_true(pickle_id(p, v) == 0 && pickle_is_name(p, v, "torch", "FloatStorage") &&
                !pickle_is_object(p, v, "torch", "FloatStorage"));
    assert_ptr_equal(pickle_item(p, p->root, 4), pickle_item(p, p->root, 0));
    v = pickle_item(p, p->root, 5);
    assert_true(pickle_id(p, v) == -1 && pickle_names(p, v, &module, &name) && pickle_is(module, "none"));
    assert_false(pickle_names(p, p->root, &module, &name));
    assert_null(pickle_get(p, NULL, "x"));
    assert_null(pickle_attribute(p, NULL, "x"));
}

/* Abuse that only grows: linear in the pickle's bytes, refused at a bound or by the budget. */
static void test_growth(void **state)
{
    struct fixture *f = *state;
    enum { N = 5000000 };
    static const struct {
        char byte;
        const char *contains;
    } cases_of_one[] = {
        {'(', "more than 4096"}, {'N', "more than 4194304 values on the stack"}, {']', "on the stack"}};
    char *bytes = malloc(N);
    assert_non_null(bytes);
    for (int i = 0; i < 3; i++) {
        memset(bytes, cases_of_one[i].byte, N);
        err_clear(&f->bench.err);
        assert_int_equal(pickle_read(&f->p, "x", bytes, N, names, 3, &f->bench.arena, &f->bench.err),
                         ERR_DATA);
        assert_non_null(strstr(f->bench.err.text, cases_of_one[i].contains));
        arena_reset(&f->bench.arena);
    }
    f->bench.mem.budget_bytes = 1 << 20;
    err_clear(&f->bench.err);
    assert_int_equal(pickle_read(&f->p, "x", bytes, N, names, 3, &f->bench.arena, &f->bench.err), ERR_SYSTEM);
    assert_non_null(strstr(f->bench.err.text, "memory budget exceeded"));
    assert_true(f->bench.mem.peak_bytes < (size_t)N * 100);
    f->bench.mem.budget_bytes = 0;
    arena_reset(&f->bench.arena);
    /* lists in lists, without marks: as deep as one likes, for nothing recurses */
    bytes[0] = ']';
    for (int i = 1; i < N / 2; i++)
        bytes[i] = ']';
    memset(bytes + N / 2, 'a', N / 2 - 1);
    bytes[N - 1] = '.';
    err_clear(&f->bench.err);
    assert_int_equal(pickle_read(&f->p, "x", bytes, N, names, 3, &f->bench.arena, &f->bench.err), ERR_OK);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_cases), TEST(test_where), TEST(test_values),
                                       TEST(test_objects), TEST(test_growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
