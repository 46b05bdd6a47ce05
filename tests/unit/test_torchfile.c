/* Torch files made by hand: state dicts read in place, views with strides against a plain walk, and what a
 * file may not say, each with its verdict and what the message must say. */
#include "torchlib.h"

#include "formats/checkpoint.h"
#include "formats/torch/torchfile.h"

struct fixture {
    struct bench bench;
    struct zipped z;
    struct checkpoint c;
    char path[200];
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/pytorch_model.bin", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    checkpoint_close(&f->c);
    return bench_delete(state);
}

/* Pieces of pickles. Numbers are single bytes ("\6"), tuples of them written out. */
#define GLOBAL(module, name) "c" module "\n" name "\n"
#define TEXT(length, text) "X" length "\0\0\0" text
#define DICT GLOBAL("collections", "OrderedDict") ")R"
#define STORAGE_AT(module, type, key, numel) \
    "(" TEXT("\7", "storage") GLOBAL(module, type) TEXT("\1", key) TEXT("\3", "cpu") numel "tQ"
#define STORAGE(type, key, numel) STORAGE_AT("torch", type, key, "K" numel)
#define VIEW(storage, offset, size, stride) \
    GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" storage "K" offset size stride "\x89" DICT "tR"
#define PAIR(a, b) "K" a "K" b "\x86"
#define WHOLE VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", PAIR("\2", "\3"), PAIR("\3", "\1"))
#define HEAD "\x80\2"
#define MODEL(value) HEAD DICT TEXT("\1", "w") value "s."
#define BYTES(text) text, sizeof(text) - 1

/* data.pkl, and storages 0 (6 bf16) and 1 (8 bytes). */
static void begin(struct fixture *f, const char *pickle, size_t n)
{
    static const unsigned char bf16[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                               bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "archive/data.pkl", pickle, n, 1);
    zipped_add(&f->z, "archive/data/0", bf16, sizeof bf16, 1);
    zipped_add(&f->z, "archive/data/1", bytes, sizeof bytes, 1);
}

static err_t finish(struct fixture *f)
{
    zipped_add(&f->z, "archive/version", "3\n", 2, 1);
    zipped_end(&f->z, 1);
    bytes_write(f->path, f->z.b, f->z.n);
    err_clear(&f->bench.err);
    checkpoint_close(&f->c);
    return checkpoint_open(&f->c, f->path, NULL, &f->bench.arena, &f->bench.err);
}

static const struct one {
    const char *what, *bytes;
    size_t n;
    int verdict;
    const char *contains[4];
} cases[] = {
    {"a tensor", BYTES(MODEL(WHOLE)), ERR_OK, {0}},
    {"no tensor", BYTES(HEAD DICT "."), ERR_OK, {0}},
    {"a map with attributes",
     BYTES(HEAD DICT TEXT("\1", "w") WHOLE "s}" TEXT("\11", "_metadata") DICT "sb."),
     ERR_OK,
     {0}},
    {"size as torch.Size",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0",
                      GLOBAL("torch", "Size") PAIR("\2", "\3") "\x85R", PAIR("\3", "\1")))),
     ERR_OK,
     {0}},
    {"_rebuild_tensor",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor") "(" STORAGE("HalfStorage", "0",
                                                                       "\6") "K\0K\6\x85K\1\x85tR")),
     ERR_OK,
     {0}},
    {"_rebuild_parameter",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_parameter") WHOLE "\x88" DICT "\x87R")),
     ERR_OK,
     {0}},
    {"_rebuild_from_type_v2",
     BYTES(
         MODEL(GLOBAL("torch._tensor", "_rebuild_from_type_v2") "(" GLOBAL("torch._utils", "_rebuild_tensor")
                   GLOBAL("torch.nn.parameter", "Parameter") "(" STORAGE("HalfStorage", "0",
                                                                         "\6") "K\0K\6\x85K\1\x85t}tR")),
     ERR_OK,
     {0}},
    {"_rebuild_tensor_v3",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v3") "(" STORAGE_AT(
         "torch.storage", "UntypedStorage", "1",
         "K\10") "K\0K\10\x85K\1\x85\x89" DICT GLOBAL("torch", "float8_e4m3fn") "tR")),
     ERR_OK,
     {0}},
    {"under state_dict",
     BYTES(HEAD "}" TEXT("\5", "epoch") "K\3s" TEXT("\12", "state_dict") "}" TEXT("\1", "w") WHOLE "ss."),
     ERR_OK,
     {0}},
    {"under model", BYTES(HEAD "}" TEXT("\5", "model") "}" TEXT("\1", "w") WHOLE "ss."), ERR_OK, {0}},
    {"beside an optimizer",
     BYTES(HEAD "}" TEXT("\5", "model") "}" TEXT("\1", "w") WHOLE "ss" TEXT("\3", "opt") "}" TEXT("\1", "m")
               WHOLE "ss."),
     ERR_OK,
     {0}},
    {"beside an object of any class",
     BYTES(HEAD "}" TEXT("\20", "model_state_dict") "}" TEXT("\1", "w") WHOLE "ss" TEXT("\4", "args")
               GLOBAL("posix", "system") TEXT("\2", "id") "\x85R}bs."),
     ERR_OK,
     {0}},
    {"under module", BYTES(HEAD "}" TEXT("\6", "module") "}" TEXT("\1", "w") WHOLE "ss."), ERR_OK, {0}},
    {"one more level down",
     BYTES(HEAD "}" TEXT("\5", "model") "}" TEXT("\12", "state_dict") "}" TEXT("\1", "w") WHOLE "sss."),
     ERR_OK,
     {0}},
    {"a map of a class of its own",
     BYTES(HEAD GLOBAL("my", "StateDict") ")R" TEXT("\1", "w") WHOLE "s."),
     ERR_OK,
     {0}},
    {"an extra state beside tensors",
     BYTES(HEAD DICT "(" TEXT("\1", "w") WHOLE TEXT("\16", "m._extra_state") GLOBAL("io", "BytesIO") ")Ru."),
     ERR_OK,
     {0}},
    {"two state dicts",
     BYTES(HEAD "}" TEXT("\5", "model") "}" TEXT("\1", "w") WHOLE
           "ss" TEXT("\6", "module") "}" TEXT("\1", "m") WHOLE "ss."),
     ERR_DATA,
     {"under \"model\" and under \"module\"", "['model'], 'NEW')"}},
    {"a model",
     BYTES(HEAD GLOBAL("my", "Model") ")\x81}" TEXT("\1", "w") WHOLE "sb."),
     ERR_DATA,
     {"found an object of my.Model", "save its state_dict() instead"}},
    {"a tensor with a state",
     BYTES(MODEL(WHOLE "}b")),
     ERR_DATA,
     {"tensor w: state behind it: expected none"}},
    {"a tensor called model", BYTES(HEAD "}" TEXT("\5", "model") WHOLE "s."), ERR_OK, {0}},
    {"expanded",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\3", PAIR("\377", "\3"), PAIR("\0", "\1")))),
     ERR_OK,
     {0}},
    {"an empty one beyond its storage",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\377", PAIR("\0", "\3"), PAIR("\3", "\1")))),
     ERR_OK,
     {0}},
    {"a scalar", BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\5", ")", ")"))), ERR_OK, {0}},
    /* refused */
    {"a list", BYTES(HEAD "]."), ERR_DATA, {"no state dict", "found a list"}},
    {"a tensor alone", BYTES(HEAD WHOLE "."), ERR_DATA, {"found a tensor"}},
    {"a number for a tensor",
     BYTES(MODEL("K\7")),
     ERR_DATA,
     {"tensor w: value: expected a tensor, found an integer"}},
    {"a map for a tensor", BYTES(MODEL(DICT)), ERR_DATA, {"tensor w", "found a map"}},
    {"a name that is no text",
     BYTES(HEAD DICT "K\1" WHOLE "s."),
     ERR_DATA,
     {"a key of the state dict: expected a text, found an integer"}},
    {"the empty name", BYTES(HEAD DICT "X\0\0\0\0" WHOLE "s."), ERR_DATA, {"the empty name"}},
    {"NUL in a name",
     BYTES(HEAD DICT TEXT("\3", "a\0b") WHOLE "s."),
     ERR_DATA,
     {"name a?b holds the control character 0x00"}},
    {"no UTF-8 in a name",
     BYTES(HEAD DICT TEXT("\2", "a\377") WHOLE "s."),
     ERR_DATA,
     {"name a? holds the byte"}},
    {"one name twice",
     BYTES(HEAD DICT "(" TEXT("\1", "w") WHOLE TEXT("\1", "w") WHOLE "u."),
     ERR_DATA,
     {"tensor w stands in the state dict twice"}},
    {"a map that holds itself",
     BYTES(HEAD DICT "q\0" TEXT("\12", "state_dict") "h\0s."),
     ERR_DATA,
     {"tensor state_dict", "found a map"}},
    {"a call of code",
     BYTES(HEAD DICT TEXT("\1", "w") GLOBAL("os", "system") TEXT("\2", "id") "\x85Rs."),
     ERR_DATA,
     {"tensor w: value: expected a tensor, found an object of os.system",
      "nothing of the file was executed"}},
    {"a tensor as a method",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_wrapper_subclass") ")R")),
     ERR_DATA,
     {"tensor w: value: expected a tensor, found an object of torch._utils._rebuild_wrapper_subclass"}},
    {"no storage of that key",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "7", "\6"), "\0", PAIR("\2", "\3"), PAIR("\3", "\1")))),
     ERR_DATA,
     {"tensor w: storage 7", "entry archive/data/7"}},
    {"a key that leaves data",
     BYTES(MODEL(VIEW("(" TEXT("\7", "storage") GLOBAL("torch", "ByteStorage") TEXT("\12", "../version")
                          TEXT("\3", "cpu") "K\2tQ",
                      "\0", "K\2\x85", "K\1\x85"))),
     ERR_DATA,
     {"expected an entry archive/data/../version"}},
    {"a key with NUL",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "\0", "\6"), "\0", PAIR("\2", "\3"), PAIR("\3", "\1")))),
     ERR_DATA,
     {"expected a key of 1 to 100 bytes"}},
    {"a storage of more elements",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\7"), "\0", PAIR("\2", "\3"), PAIR("\3", "\1")))),
     ERR_DATA,
     {"size mismatch: 7 elements of BF16, found 12 bytes"}},
    {"a storage of another type",
     BYTES(MODEL(VIEW(STORAGE("FloatStorage", "0", "\6"), "\0", PAIR("\2", "\3"), PAIR("\3", "\1")))),
     ERR_DATA,
     {"6 elements of F32, found 12 bytes"}},
    {"a storage beyond 64 bits",
     BYTES(MODEL(VIEW(STORAGE_AT("torch", "DoubleStorage", "0", "\x8a\10\377\377\377\377\377\377\377\177"),
                      "\0", "K\1\x85", "K\1\x85"))),
     ERR_DATA,
     {"9223372036854775807 elements"}},
    {"a storage of negative length",
     BYTES(MODEL(
         VIEW(STORAGE_AT("torch", "ByteStorage", "1", "J\377\377\377\377"), "\0", "K\1\x85", "K\1\x85"))),
     ERR_DATA,
     {"not below 0"}},
    {"no storage",
     BYTES(MODEL(VIEW("N", "\0", "K\1\x85", "K\1\x85"))),
     ERR_DATA,
     {"expected a storage, found None"}},
    {"a storage of four words",
     BYTES(MODEL(VIEW("(" TEXT("\7", "storage") GLOBAL("torch", "ByteStorage") TEXT("\1", "1") "K\10tQ", "\0",
                      "K\1\x85", "K\1\x85"))),
     ERR_DATA,
     {"expected ('storage', type, key"}},
    {"a storage type that is none",
     BYTES(MODEL(VIEW(STORAGE("Size", "0", "\6"), "\0", "K\1\x85", "K\1\x85"))),
     ERR_DATA,
     {"expected a storage type"}},
    {"beyond its storage",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\1", PAIR("\2", "\3"), PAIR("\3", "\1")))),
     ERR_DATA,
     {"tensor w: shape 2x3 with strides 3x1 from element 1 on leaves its storage", "12 bytes"}},
    {"strides beyond its storage",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", PAIR("\2", "\3"), PAIR("\4", "\1")))),
     ERR_DATA,
     {"strides 4x1", "leaves its storage"}},
    {"strides beyond 64 bits",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", PAIR("\3", "\1"),
                      "\x8a\10\377\377\377\377\377\377\377\177K\1\x86"))),
     ERR_DATA,
     {"leaves its storage"}},
    {"an offset beyond 64 bits",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" STORAGE(
         "BFloat16Storage", "0", "\6") "\x8a\10\377\377\377\377\377\377\377\177K\1\x85K\1\x85\x89" DICT
                                       "tR")),
     ERR_DATA,
     {"leaves its storage"}},
    {"a shape beyond 64 bits",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0",
                      "\x8a\10\377\377\377\377\377\377\377\177K\4\x86", PAIR("\0", "\0")))),
     ERR_DATA,
     {"overflows"}},
    {"more elements than time",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", "J\0\0\0\20K\1\x86", PAIR("\0", "\0")))),
     ERR_DATA,
     {"expected at most 16 times as much"}},
    {"rows that overlap",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", PAIR("\2", "\3"), PAIR("\2", "\1")))),
     ERR_DATA,
     {"strides 2x1: its rows overlap"}},
    {"a negative stride",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\5", "K\6\x85", "J\377\377\377\377\x85"))),
     ERR_DATA,
     {"stride: expected an integer not below 0, found -1"}},
    {"a negative size",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\5", "J\377\377\377\377\x85", "K\1\x85"))),
     ERR_DATA,
     {"size: expected an integer not below 0"}},
    {"fewer strides than axes",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", PAIR("\2", "\3"), "K\1\x85"))),
     ERR_DATA,
     {"stride: expected 2 numbers, one per axis, found 1"}},
    {"nine axes",
     BYTES(MODEL(
         VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "K\1\x85"))),
     ERR_DATA,
     {"size: expected at most 8 numbers, found 9"}},
    {"a real size",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", "G\100\0\0\0\0\0\0\0\x85", "K\1\x85"))),
     ERR_DATA,
     {"size: expected an integer, found a real number"}},
    {"a list of sizes",
     BYTES(MODEL(VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\0", "]", "K\1\x85"))),
     ERR_DATA,
     {"size: expected a tuple of integers, found a list"}},
    {"three arguments",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v2")
                     STORAGE("BFloat16Storage", "0", "\6") "K\0)\x87R")),
     ERR_DATA,
     {"expected 6 arguments, found 3"}},
    {"hooks",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" STORAGE("BFloat16Storage", "0",
                                                                          "\6") "K\0))\x89}K\1K\1stR")),
     ERR_DATA,
     {"backward hooks"}},
    {"a negative view",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v2") "(" STORAGE(
         "BFloat16Storage", "0", "\6") "K\0))\x89" DICT "}" TEXT("\3", "neg") "\x88stR")),
     ERR_DATA,
     {"metadata", "conjugate or negative"}},
    {"a parameter of nothing",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_parameter") ")R")),
     ERR_DATA,
     {"expected a tensor within, found nothing"}},
    {"a parameter of a parameter of ...",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_parameter") "q\1h\1h\1h\1h\1" WHOLE
                                                              "\x85R\x85R\x85R\x85R\x85R")),
     ERR_DATA,
     {"wrapped less often"}},
    {"a type for a tensor",
     BYTES(MODEL(GLOBAL("torch._tensor", "_rebuild_from_type_v2") "(" GLOBAL("collections", "OrderedDict")
                     GLOBAL("torch", "Tensor") ")NtR")),
     ERR_DATA,
     {"tensor w"}},
    {"a dtype that is none",
     BYTES(MODEL(GLOBAL("torch._utils", "_rebuild_tensor_v3") "(" STORAGE(
         "UntypedStorage", "1", "\10") "K\0K\10\x85K\1\x85\x89" DICT GLOBAL("torch", "Tensor") "tR")),
     ERR_DATA,
     {"dtype: expected a dtype of an untyped storage"}},
};

static void test_cases(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct one *c = &cases[i];
        begin(f, c->bytes, c->n);
        err_t code = finish(f);
        if ((int)code != c->verdict)
            fail_msg("%s: verdict %d, expected %d: %s", c->what, (int)code, c->verdict, f->bench.err.text);
        check_message(&f->bench.err, c->what, c->contains);
        if (code == ERR_OK)
            for (int64_t k = 0; k < f->c.ntensors; k++) {
                static unsigned char buf[4096];
                const struct stored_tensor *t = &f->c.tensors[k];
                assert_int_equal(checkpoint_read(&f->c, t, 0, t->elements, buf, &f->bench.err), ERR_OK);
            }
        checkpoint_close(&f->c);
        f->c = (struct checkpoint){0};
        arena_reset(&f->bench.arena);
        assert_int_equal(f->bench.mem.live_bytes, 0);
    }
}

static void test_values(void **state)
{
    struct fixture *f = *state;
    static const char pickle[] = HEAD DICT "(" TEXT("\26", "model.layers.3.up.bias")
        VIEW(STORAGE("BFloat16Storage", "0", "\6"), "\2", PAIR("\2", "\2"), PAIR("\1", "\2")) TEXT("\1", "a")
            WHOLE "u.";
    begin(f, pickle, sizeof pickle - 1);
    assert_int_equal(finish(f), ERR_OK);
    assert_string_equal(f->c.format, "torch");
    assert_int_equal(f->c.ntensors, 2);
    assert_int_equal(f->c.parameters, 10);
    const struct stored_tensor *a = checkpoint_find(&f->c, "a"),
                               *b = checkpoint_find(&f->c, "model.layers.3.up.bias");
    assert_true(a && b && a->dtype == DTYPE_BF16 && !a->strides && a->offset_bytes == (int64_t)f->z.data[1]);
    assert_true(b->layer == 3 && strcmp(b->module, "up") == 0 && b->strides && b->strides[0] == 1 &&
                b->strides[1] == 2);
    assert_true(b->offset_bytes == a->offset_bytes + 4 && b->size_bytes == 8 && stored_span(b) == 8);
    static const unsigned char expected[] = {5, 6, 9, 10, 7, 8, 11, 12}; /* 2 4; 3 5 */
    unsigned char buf[8];
    for (int64_t first = 0; first < 4; first++)
        for (int64_t n = 0; first + n <= 4; n++) {
            assert_int_equal(checkpoint_read(&f->c, b, first, n, buf, &f->bench.err), ERR_OK);
            assert_memory_equal(buf, expected + 2 * first, (size_t)(2 * n));
        }
    uint64_t hash = f->c.files[0].header_hash;
    begin(f, pickle, sizeof pickle - 1);
    zipped_add(&f->z, "archive/byteorder", "little", 6, 1);
    assert_int_equal(finish(f), ERR_OK);
    assert_true(f->c.files[0].header_hash != hash);
}

/* What wrappers put before names is taken off, and what was done is said; not in a file of an index, whose
 * names are the index's. */
static void test_wrapped_names(void **state)
{
    struct fixture *f = *state;
    static const char compiled[] = HEAD "}" TEXT("\5", "model") "}(" TEXT("\13", "_orig_mod.a")
        WHOLE TEXT("\34", "layers.3._orig_mod.up.weight") WHOLE "us" TEXT("\4", "step") "K\7s.";
    static const char parallel[] =
        HEAD DICT "(" TEXT("\10", "module.a") WHOLE TEXT("\10", "module.b") WHOLE "u.";
    static const char mixed[] = HEAD DICT "(" TEXT("\10", "module.a") WHOLE TEXT("\1", "b") WHOLE "u.";
    static const char twice[] = HEAD DICT "(" TEXT("\13", "_orig_mod.a") WHOLE TEXT("\1", "a") WHOLE "u.";
    begin(f, compiled, sizeof compiled - 1);
    assert_int_equal(finish(f), ERR_OK);
    const struct stored_tensor *t = checkpoint_find(&f->c, "layers.3.up.weight");
    assert_true(checkpoint_find(&f->c, "a") && t && t->layer == 3 && strcmp(t->module, "up") == 0);
    assert_string_equal(f->c.note,
                        "The tensors are those of its map model; step beside it is left alone. Names "
                        "are without torch.compile's \"_orig_mod.\".");
    begin(f, parallel, sizeof parallel - 1);
    assert_int_equal(finish(f), ERR_OK);
    assert_true(checkpoint_find(&f->c, "a") && checkpoint_find(&f->c, "b"));
    assert_non_null(strstr(f->c.note, "\"module.\" that all begin with"));
    begin(f, mixed, sizeof mixed - 1);
    assert_int_equal(finish(f), ERR_OK);
    assert_true(checkpoint_find(&f->c, "module.a") && !f->c.note);
    begin(f, twice, sizeof twice - 1);
    assert_int_equal(finish(f), ERR_DATA);
    check_message(&f->bench.err, "twice", (const char *const[4]){"tensor a stands in the state dict twice"});
    char index[220];
    snprintf(index, sizeof index, "%s/pytorch_model.bin.index.json", f->bench.folder);
    bytes_write(index, "{}", 2);
    begin(f, parallel, sizeof parallel - 1);
    assert_int_equal(finish(f), ERR_OK);
    assert_true(checkpoint_find(&f->c, "module.a") && !f->c.note);
}

/* What is around the pickle. */
static void test_archives(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *data;
        const char *contains[4];
    } more[] = {{"archive/byteorder", "big", {"byteorder: expected \"little\", found \"big\""}},
                {"archive/constants.pkl", "x", {"a TorchScript archive", "torch.jit.load('OLD'"}},
                {"other/data.pkl", "x", {"expected one data.pkl", "archive/data.pkl and other/data.pkl"}}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        begin(f, BYTES(MODEL(WHOLE)));
        zipped_add(&f->z, more[i].name, more[i].data, strlen(more[i].data), 1);
        assert_int_equal(finish(f), ERR_DATA);
        check_message(&f->bench.err, more[i].name, more[i].contains);
    }
    memset(&f->z, 0, sizeof f->z);
    zipped_add(&f->z, "a/b/data.pkl", "x", 1, 1);
    assert_int_equal(finish(f), ERR_DATA);
    check_message(&f->bench.err, "no pickle", (const char *const[4]){"a zip archive without TOP/data.pkl"});

    static char tar[1024];
    memcpy(tar + 257, "ustar", 6);
    static const struct {
        const char *what, *bytes;
        size_t n;
        const char *contains[4];
    } heads[] = {
        {"legacy",
         BYTES("\x80\2\x8a\12l\xfc\x9c"
               "F\xf9 j\xa8P\31.\x80\2M\351\3."),
         {"torch's format before 1.6", "python3 -c \"import torch; torch.save(torch.load('OLD'"}},
        {"tar", tar, sizeof tar, {"a tar archive, torch's format before 0.1.10", "python3 -c"}},
        {"pickle", BYTES("\x80\2}."), {"no torch file", "a bare pickle"}},
        {"git-lfs",
         BYTES("version https://git-lfs.github.com/spec/v1\n"),
         {"git-lfs pointer", "git lfs pull"}},
        {"empty", BYTES(""), {"no torch file", "found 0 bytes"}},
        {"cut", BYTES("PK\3\4"), {"truncated", "copy the file again"}},
        {"safetensors", BYTES("\2\0\0\0\0\0\0\0{}"), {"no torch file", "of something else"}},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        bytes_write(f->path, heads[i].bytes, heads[i].n);
        err_clear(&f->bench.err);
        assert_int_equal(checkpoint_open(&f->c, f->path, NULL, &f->bench.arena, &f->bench.err), ERR_DATA);
        check_message(&f->bench.err, heads[i].what, heads[i].contains);
    }
}

/* Any range of a tensor with strides, against a walk element by element: windows, gaps and boxes of all
 * kinds. */
static void check_ranges(struct fixture *f, const struct stored_tensor *t, const unsigned char *file,
                         unsigned *seed)
{
    unsigned char *all = malloc((size_t)t->size_bytes), *part = malloc((size_t)t->size_bytes);
    int64_t width = dtype_bits(t->dtype) / 8;
    assert_true(all && part);
    for (int64_t i = 0; i < t->elements; i++) {
        int64_t left = i, at = 0;
        for (int k = t->ndim - 1; k >= 0; k--) {
            at += left % t->dims[k] * t->strides[k];
            left /= t->dims[k];
        }
        memcpy(all + i * width, file + t->offset_bytes + at * width, (size_t)width);
    }
    for (int round = 0; round < 40; round++) {
        *seed = *seed * 1664525 + 1013904223;
        int64_t first = round == 0 ? 0 : (int64_t)(*seed >> 8) % t->elements;
        *seed = *seed * 1664525 + 1013904223;
        int64_t n = round == 0 ? t->elements : (int64_t)(*seed >> 8) % (t->elements - first + 1);
        assert_int_equal(checkpoint_read(&f->c, t, first, n, part, &f->bench.err), ERR_OK);
        assert_memory_equal(part, all + first * width, (size_t)(n * width));
    }
    free(all);
    free(part);
}

static void test_strides(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum dtype dtype;
        int ndim;
        int64_t dims[TENSOR_MAX_NDIM], strides[TENSOR_MAX_NDIM];
    } views[] = {
        {DTYPE_BF16, 2, {300, 400}, {1, 300}},
        {DTYPE_BF16, 2, {40, 3000}, {1, 40}},
        {DTYPE_BF16, 2, {9, 30}, {1, 7000}},
        {DTYPE_U8, 2, {50, 70}, {1000, 3}},
        {DTYPE_F32, 1, {3000}, {17}},
        {DTYPE_F64, 1, {30}, {1000}},
        {DTYPE_U8, 1, {40}, {5000}},
        {DTYPE_BF16, 2, {100, 50}, {0, 2}},
        {DTYPE_BF16, 3, {20, 3, 50}, {1, 0, 20}},
        {DTYPE_F32, 4, {5, 6, 7, 8}, {1, 280, 40, 5}},
        {DTYPE_F64, 3, {1, 9, 11}, {77, 11, 2}},
        {DTYPE_U8, 2, {1000, 90}, {90, 0}},
        {DTYPE_BF16, 8, {2, 3, 2, 3, 2, 3, 2, 3}, {1, 2, 6, 12, 36, 72, 216, 432}},
        {DTYPE_I64, 2, {8193, 3}, {3, 1}},
        {DTYPE_BF16, 2, {3, 70000}, {1, 3}},
    };
    enum { FILE_BYTES = 900000, OFFSET = 77 };
    unsigned char *file = malloc(FILE_BYTES);
    unsigned seed = 1;
    assert_non_null(file);
    for (int i = 0; i < FILE_BYTES; i++)
        file[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
    bytes_write(f->path, file, FILE_BYTES);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    struct stored_file one = {.path = f->path,
                              .size_bytes = FILE_BYTES,
                              .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                              .fd = -1};
    f->c = (struct checkpoint){.files = &one, .nfiles = 1};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        struct stored_tensor t = {.name = "t", .dtype = views[i].dtype, .ndim = views[i].ndim};
        t.offset_bytes = OFFSET;
        t.strides = views[i].strides;
        t.elements = 1;
        for (int k = 0; k < t.ndim; k++)
            t.elements *= t.dims[k] = views[i].dims[k];
        t.size_bytes = t.elements * dtype_bits(t.dtype) / 8;
        assert_true(stored_span(&t) > 0 && OFFSET + stored_span(&t) <= FILE_BYTES);
        check_ranges(f, &t, file, &seed);
    }
    /* a file cut short while it is read: a message, no wrong numbers */
    struct stored_tensor t = {.name = "t", .dtype = DTYPE_U8, .ndim = 2, .dims = {300, 2999}};
    t.offset_bytes = OFFSET;
    t.elements = 300 * 2999;
    t.size_bytes = t.elements;
    t.strides = (const int64_t[]){1, 300};
    unsigned char *buf = malloc((size_t)t.elements);
    assert_non_null(buf);
    assert_int_equal(checkpoint_read(&f->c, &t, 0, t.elements, buf, &f->bench.err), ERR_OK);
    assert_int_equal(truncate(f->path, FILE_BYTES - 1000), 0);
    assert_int_equal(checkpoint_read(&f->c, &t, 0, t.elements, buf, &f->bench.err), ERR_DATA);
    assert_non_null(strstr(f->bench.err.text, "truncated while in use"));
    free(buf);
    free(file);
    checkpoint_close(&f->c);
    f->c = (struct checkpoint){0};
}

/* Cut short at every byte, and every byte changed once: no crash, no other verdict than good or bad data. */
static void test_every_byte(void **state)
{
    struct fixture *f = *state;
    begin(f, BYTES(MODEL(WHOLE)));
    assert_int_equal(finish(f), ERR_OK);
    for (size_t i = 0; i < 2 * f->z.n; i++) {
        size_t at = i / 2;
        unsigned char kept = f->z.b[at];
        f->z.b[at] ^= (unsigned char)(i % 2 ? 0xff : 1 << (at % 8));
        bytes_write(f->path, f->z.b, i % 2 ? f->z.n : at);
        err_clear(&f->bench.err);
        checkpoint_close(&f->c);
        err_t code = checkpoint_open(&f->c, f->path, NULL, &f->bench.arena, &f->bench.err);
        assert_true(code == ERR_OK || code == ERR_DATA);
        assert_true(code == ERR_DATA || i % 2);
        f->z.b[at] = kept;
        f->c = (struct checkpoint){0};
        arena_reset(&f->bench.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_cases),    TEST(test_values),  TEST(test_wrapped_names),
                                       TEST(test_archives), TEST(test_strides), TEST(test_every_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
