/* Pickles: what a state dict needs is read as a tree of values; all else is refused by name and byte, and
 * bounded. */
#include "unitlib.h"

#include "formats/torch/pickle.h"

struct fixture {
    struct bench bench;
    struct pickle p;
};

static int setup(void **state)
{
    return bench_new(state, sizeof(struct fixture), WITHOUT_FOLDER);
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static const struct pickle_name names[] = {
    {"torch", "FloatStorage", PICKLE_USE_NAME, 0},
    {"torch", "Size", PICKLE_USE_CALL, 1},
    {"collections", "OrderedDict", PICKLE_USE_DICT, 2},
};

static err_t parse(struct fixture *f, const char *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly as long, so that reading beyond is seen */
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    err_clear(&f->bench.err);
    err_t code =
        pickle_read(&f->p, "x.bin: data.pkl", copy, (int64_t)n, names, 3, &f->bench.arena, &f->bench.err);
    free(copy);
    return code;
}

#define BYTES(text) text, sizeof(text) - 1
#define SYSTEM "cposix\nsystem\n"
#define DICT "ccollections\nOrderedDict\n)R"

static const struct one {
    const char *what, *bytes;
    size_t n;
    int verdict;
    const char *contains[2];
} cases[] = {
    {"None", BYTES("\x80\2N."), ERR_OK, {0}},
    {"without protocol", BYTES("N."), ERR_OK, {0}},
    {"empty", BYTES(""), ERR_DATA, {"byte 0", "without its end"}},
    {"no stop", BYTES("\x80\2N"), ERR_DATA, {"byte 3", "opcode STOP"}},
    {"bytes behind", BYTES("\x80\2N.N"), ERR_DATA, {"byte 3: opcode STOP", "bytes behind the end"}},
    {"nothing to stop with", BYTES("\x80\2."), ERR_DATA, {"expected one value"}},
    {"two values", BYTES("\x80\2NN."), ERR_DATA, {"expected one value"}},
    {"open mark", BYTES("\x80\2(N."), ERR_DATA, {"expected one value"}},
    {"protocol 4", BYTES("\x80\4N."), ERR_DATA, {"pickle protocol 4, expected 2", "pickle_protocol"}},
    {"protocol cut", BYTES("\x80"), ERR_DATA, {"opcode PROTO", "ends within it"}},
    /* what would run code */
    {"os.system",
     BYTES("\x80\2" SYSTEM "X\2\0\0\0id\x85R."),
     ERR_DATA,
     {"byte 2: GLOBAL posix.system is refused", "nothing of the file was executed"}},
    {"eval",
     BYTES("\x80\2}c__builtin__\neval\nX\1\0\0\0"
           "1\x85R0."),
     ERR_DATA,
     {"byte 3: GLOBAL __builtin__.eval"}},
    {"name with a longer module", BYTES("ctorch.evil\nSize\n."), ERR_DATA, {"GLOBAL torch.evil.Size"}},
    {"name with an escape", BYTES("ca\x1b[2J\nb\n."), ERR_DATA, {"GLOBAL a?[2J.b"}},
    {"STACK_GLOBAL",
     BYTES("\x80\2X\2\0\0\0osX\6\0\0\0system\x93."),
     ERR_DATA,
     {"byte 20: opcode 0x93 (STACK_GLOBAL) is refused"}},
    {"INST", BYTES("(iposix\nsystem\n."), ERR_DATA, {"byte 1: opcode 0x69 (INST)"}},
    {"OBJ", BYTES("(ctorch\nSize\no."), ERR_DATA, {"opcode 0x6f (OBJ)"}},
    {"NEWOBJ", BYTES("ctorch\nSize\n)\x81."), ERR_DATA, {"byte 13: opcode 0x81 (NEWOBJ)"}},
    {"NEWOBJ_EX", BYTES("ctorch\nSize\n)}\x92."), ERR_DATA, {"(NEWOBJ_EX)"}},
    {"EXT1", BYTES("\x82\1."), ERR_DATA, {"byte 0: opcode 0x82 (EXT1)"}},
    {"PERSID", BYTES("P0\n."), ERR_DATA, {"(PERSID)"}},
    {"text integer", BYTES("I1\n."), ERR_DATA, {"opcode 0x49 (INT)"}},
    {"unknown opcode", BYTES("\xfe."), ERR_DATA, {"byte 0: opcode 0xfe (unknown)"}},
    {"call of a type",
     BYTES("ctorch\nFloatStorage\n)R."),
     ERR_DATA,
     {"byte 21: opcode REDUCE", "call of torch.FloatStorage is refused"}},
    {"call of a map with arguments",
     BYTES("ccollections\nOrderedDict\n]\x85R."),
     ERR_DATA,
     {"with arguments is refused"}},
    {"call of a text", BYTES("X\1\0\0\0a)R."), ERR_DATA, {"expected a GLOBAL to call"}},
    {"call with no tuple", BYTES("ctorch\nSize\nNR."), ERR_DATA, {"expected a tuple of arguments"}},
    {"call of nothing", BYTES(")R."), ERR_DATA, {"too few values"}},
    {"state of a text", BYTES("X\1\0\0\0a}b."), ERR_DATA, {"opcode BUILD", "expected a map of attributes"}},
    {"state of no map", BYTES(DICT "Nb."), ERR_DATA, {"expected a map of attributes"}},
    {"state of a map", BYTES(DICT "}X\1\0\0\0aNsb."), ERR_OK, {0}},
    /* stack, memo, lengths */
    {"name without end", BYTES("ctorch"), ERR_DATA, {"opcode GLOBAL", "ends within its name"}},
    {"text beyond the end",
     BYTES("X\377\377\377\377a."),
     ERR_DATA,
     {"opcode BINUNICODE", "expected 4294967295 bytes, found 2"}},
    {"length cut", BYTES("X\1\0"), ERR_DATA, {"expected 4 bytes, found 2"}},
    {"tuple of too little", BYTES("N\x86."), ERR_DATA, {"opcode TUPLE2: too few"}},
    {"tuple across a mark", BYTES("N(N\x86."), ERR_DATA, {"opcode TUPLE2: too few"}},
    {"tuple without mark", BYTES("Nt."), ERR_DATA, {"opcode TUPLE: no mark"}},
    {"items for a text", BYTES("X\1\0\0\0a(NNu."), ERR_DATA, {"expected a map below"}},
    {"items for nothing", BYTES("(NNu."), ERR_DATA, {"expected a map below"}},
    {"items across a mark", BYTES("}((NNu."), ERR_DATA, {"expected a map below"}},
    {"key without value", BYTES("}(Nu."), ERR_DATA, {"a key without a value"}},
    {"list items for a map", BYTES("}(Ne."), ERR_DATA, {"expected a list below"}},
    {"one item for nothing", BYTES("Ns."), ERR_DATA, {"too few"}},
    {"memo never put", BYTES("h\5."), ERR_DATA, {"opcode BINGET: memo slot that was never put"}},
    {"memo beyond all, got", BYTES("j\377\377\377\377."), ERR_DATA, {"never put"}},
    {"memo beyond all, put",
     BYTES("Nr\377\377\377\377."),
     ERR_DATA,
     {"opcode LONG_BINPUT: memo slot beyond"}},
    {"memo of nothing", BYTES("q\0."), ERR_DATA, {"too few"}},
    {"integer of 72 bits",
     BYTES("\x8a\11\1\2\3\4\5\6\7\10\11."),
     ERR_DATA,
     {"opcode LONG1: an integer of more"}},
    {"long integer cut", BYTES("\x8a\4\1\2"), ERR_DATA, {"ends within it"}},
    {"a map that holds itself", BYTES("}q\0X\1\0\0\0ah\0s."), ERR_OK, {0}},
};

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
    assert_true(v->kind == PICKLE_CALL && names[v->i].id == 1);
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
    const struct CMUnitTest tests[] = {TEST(test_cases), TEST(test_values), TEST(test_growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
