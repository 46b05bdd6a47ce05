/* Checkpoints as folders: what is taken for the model, shards and their index (hostile ones too), reading,
 * changes underneath. */
#include "unitlib.h"

#include "formats/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>

struct fixture {
    struct bench bench;
    struct checkpoint c;
};

static int setup(void **state)
{
    return bench_new(state, sizeof(struct fixture), WITH_FOLDER);
}

static const char *in_dir(const struct fixture *f, const char *name, char path[400])
{
    snprintf(path, 400, "%s/%s", f->bench.folder, name);
    return path;
}

static void empty_dir(const struct fixture *f)
{
    char path[400];
    DIR *d = opendir(f->bench.folder);
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(in_dir(f, entry->d_name, path));
    closedir(d);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    checkpoint_close(&f->c);
    return bench_delete(state);
}

static void write_text(const struct fixture *f, const char *name, const char *text)
{
    char path[400];
    unlink(in_dir(f, name, path));
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* A file of bf16 tensors of 6 elements, by names separated by spaces; element i of a tensor is i + 256 * its
 * first letter. */
static void write_model(struct fixture *f, const char *name, const char *tensors, const char *simulated)
{
    enum { MOST = 8, ELEMENTS = 6 };
    struct stored_tensor t[MOST] = {0};
    unsigned char content[MOST][2 * ELEMENTS];
    const void *bytes[MOST];
    char words[400], path[400], *rest = words, *word;
    int64_t n = 0;
    snprintf(words, sizeof words, "%s", tensors);
    while ((word = strsep(&rest, " ")) && *word) {
        for (int k = 0; k < ELEMENTS; k++) {
            content[n][2 * k] = (unsigned char)k;
            content[n][2 * k + 1] = (unsigned char)word[0];
        }
        bytes[n] = content[n];
        t[n++] = (struct stored_tensor){.name = word, .dtype = DTYPE_BF16, .ndim = 2, .dims = {2, 3}};
    }
    const char *const metadata[] = {"simulated", simulated};
    err_clear(&f->bench.err);
    assert_int_equal(model_write(in_dir(f, name, path), t, n, bytes, metadata, simulated ? 1 : 0,
                                 &f->bench.arena, &f->bench.err),
                     0);
}

static err_t open_dir(struct fixture *f)
{
    err_clear(&f->bench.err);
    return checkpoint_open(&f->c, f->bench.folder, NULL, &f->bench.arena, &f->bench.err);
}

static void expect(struct fixture *f, err_t expected, const char *first, const char *second)
{
    err_t code = open_dir(f);
    if (code != expected || (first && !strstr(f->bench.err.text, first)) ||
        (second && !strstr(f->bench.err.text, second)))
        fail_msg("code %d, expected \"%s\" and \"%s\": %s", (int)code, first ? first : "",
                 second ? second : "", f->bench.err.text);
    if (getenv("SINEW_TEST_SHOW"))
        print_message("%s\n", f->bench.err.text);
    for (const char *p = f->bench.err.text; *p; p++)
        assert_true((unsigned char)*p >= 0x20);
    arena_reset(&f->bench.arena);
    assert_int_equal(f->bench.mem.live_bytes, 0);
    f->c = (struct checkpoint){0};
}

static void check_tensor(struct fixture *f, const char *name)
{
    const struct stored_tensor *t = checkpoint_find(&f->c, name);
    uint16_t x[6];
    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(checkpoint_read(&f->c, t, 0, 6, x, &f->bench.err), ERR_OK);
    for (unsigned k = 0; k < 6; k++)
        assert_int_equal(x[k], k + 256u * (unsigned char)name[0]);
}

static void test_one_file(void **state)
{
    struct fixture *f = *state;
    char path[400];
    assert_false(checkpoint_exists(f->bench.folder));
    write_model(f, "model.safetensors", "z.layers.3.up.weight b a", NULL);
    write_model(f, "logits.safetensors", "logits",
                NULL); /* beside the weights, as users leave it: no shard */
    assert_true(checkpoint_exists(f->bench.folder));
    assert_true(checkpoint_exists(in_dir(f, "model.safetensors", path)));
    assert_int_equal(open_dir(f), ERR_OK);
    assert_true(f->c.ntensors == 3 && f->c.nfiles == 1 && f->c.parameters == 18);
    assert_string_equal(f->c.path, f->bench.folder);
    assert_string_equal(f->c.format, "safetensors");
    assert_null(f->c.simulated);
    assert_string_equal(f->c.tensors[0].name, "a");
    assert_string_equal(f->c.tensors[2].name, "z.layers.3.up.weight");
    assert_string_equal(f->c.tensors[2].module, "up");
    assert_int_equal(f->c.tensors[2].layer, 3);
    assert_int_equal(f->c.files[0].fd, -1); /* not before it is read */
    check_tensor(f, "a");
    check_tensor(f, "b");
    check_tensor(f, "z.layers.3.up.weight");
    assert_null(checkpoint_find(&f->c, "logits"));
    assert_null(checkpoint_find(&f->c, ""));
    assert_int_equal(checkpoint_verify(&f->c, &f->bench.err), ERR_OK);

    const struct stored_tensor *b = checkpoint_find(&f->c, "b");
    uint16_t part[2];
    assert_int_equal(checkpoint_read(&f->c, b, 4, 2, part, &f->bench.err), ERR_OK);
    assert_int_equal(part[1], 5 + 256 * 'b');
    assert_int_equal(checkpoint_read(&f->c, b, 6, 0, part, &f->bench.err), ERR_OK);
    static const int64_t wrong[][2] = {{-1, 1}, {0, -1},        {0, 7},        {6, 1},
                                       {7, 0},  {INT64_MAX, 2}, {2, INT64_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err_clear(&f->bench.err);
        assert_int_equal(checkpoint_read(&f->c, b, wrong[i][0], wrong[i][1], part, &f->bench.err), ERR_BUG);
    }
    checkpoint_close(&f->c);
    assert_int_equal(f->c.nopen, 0);
    err_clear(&f->bench.err);
    check_tensor(f, "b"); /* opened again */
    checkpoint_close(&f->c);

    assert_int_equal(
        checkpoint_open(&f->c, in_dir(f, "logits.safetensors", path), NULL, &f->bench.arena, &f->bench.err),
        ERR_OK);
    check_tensor(f, "logits");
    checkpoint_close(&f->c);
    struct checkpoint none = {0};
    checkpoint_close(&none);
}

#define INDEX(map) "{\"metadata\":{\"total_size\":1.5e300},\"weight_map\":{" map "}}"

static void two_shards(struct fixture *f, const char *index)
{
    write_model(f, "model-00001-of-00002.safetensors", "b d", NULL);
    write_model(f, "model-00002-of-00002.safetensors", "a c", "yes");
    write_text(f, "model.safetensors.index.json", index);
}

#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define FIT "\"a\":\"" TWO "\",\"b\":\"" ONE "\",\"c\":\"" TWO "\",\"d\":\"" ONE "\""

static void test_shards(void **state)
{
    struct fixture *f = *state;
    two_shards(f, INDEX(FIT));
    write_model(f, "logits.safetensors", "logits", NULL);
    write_model(f, "model-99.safetensors", "q", NULL); /* named by nobody */
    assert_true(checkpoint_exists(f->bench.folder));
    assert_int_equal(open_dir(f), ERR_OK);
    assert_true(f->c.ntensors == 4 && f->c.nfiles == 2 && f->c.parameters == 24);
    assert_string_equal(f->c.simulated, "yes");
    const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(f->c.tensors[i].name, names[i]);
        check_tensor(f, names[i]);
    }
    assert_int_equal(f->c.nopen, 2);
    checkpoint_close(&f->c);

    two_shards(f, "{\"weight_map\":{" FIT "}}"); /* no metadata */
    expect(f, ERR_OK, NULL, NULL);
    two_shards(f, "{\"metadata\":{},\"weight_map\":{" FIT "},\"note\":[1.5,null]}");
    expect(f, ERR_OK, NULL, NULL);

    char path[400], to[400]; /* a shard below the folder, and one that is a link, as caches have it */
    write_text(f, "model.safetensors.index.json",
               INDEX("\"a\":\"sub/model-2.safetensors\",\"b\":\"link.safetensors\""));
    assert_int_equal(mkdir(in_dir(f, "sub", path), 0700), 0);
    write_model(f, "sub/model-2.safetensors", "a", NULL);
    write_model(f, "blob", "b", NULL);
    assert_int_equal(symlink("blob", in_dir(f, "link.safetensors", to)), 0);
    expect(f, ERR_OK, NULL, NULL);
    unlink(in_dir(f, "blob", path));
    expect(f, ERR_DATA, "link.safetensors: cannot be opened", NULL);
    write_model(f, "model.safetensors", "m", NULL); /* wins over any index */
    assert_int_equal(open_dir(f), ERR_OK);
    assert_int_equal(f->c.ntensors, 1);
}

static void test_hostile_index(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *index, *first, *second;
    } cases[] = {
        {"", "no valid JSON", "index.json"},
        {"{\"weight_map\":", "no valid JSON", "byte"},
        {"[]", "weight_map", "found nothing"},
        {"{}", "weight_map", "found nothing"},
        {"{\"weight_map\":[]}", "weight_map", "found a list"},
        {"{\"weight_map\":{}}", "names no tensor", NULL},
        {INDEX("\"a\":7"), "tensor a", "found an integer"},
        {INDEX("\"a\":null"), "tensor a", "found null"},
        {INDEX("\"a\":\"" TWO "\",\"a\":\"" TWO "\""), "duplicate key \"a\"", NULL},
        {INDEX("\"a\":\"/etc/passwd\""), "\"/etc/passwd\" is an absolute path", "tensor a"},
        {INDEX("\"a\":\"/tmp/x.safetensors\""), "absolute", NULL},
        {INDEX("\"a\":\"../x.safetensors\""), "leaves the folder", "tensor a"},
        {INDEX("\"a\":\"sub/../../x.safetensors\""), "leaves the folder", NULL},
        {INDEX("\"a\":\"sub//../x.safetensors\""), "leaves the folder", NULL},
        {INDEX("\"a\":\"..\""), "leaves the folder", NULL},
        {INDEX("\"a\":\"\""), "is empty", NULL},
        {INDEX("\"a\":\".\""), "is no .safetensors file", NULL},
        {INDEX("\"a\":\"pytorch_model.bin\""), "is no .safetensors file", NULL},
        {INDEX("\"a\":\"x\\u001b.safetensors\""), "control character", NULL},
        {INDEX("\"a\\n\":\"" TWO "\""), "control character", NULL},
        {INDEX("\"a\":\"x\\u0000.safetensors\""), "no valid JSON", NULL},
        {INDEX(FIT ",\"e\":\"model-00003-of-00003.safetensors\",\"f\":\"model-00003-of-00003.safetensors\""),
         "model-00003-of-00003.safetensors: missing shard",
         "for 2 tensors (e, ...); expected 3 shards, found 2"},
        {INDEX(FIT ",\"e\":\"" ONE "\""), "tensor e: expected in shard " ONE ", found in no shard", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        two_shards(f, cases[i].index);
        expect(f, ERR_DATA, cases[i].first, cases[i].second);
    }
    char path[400];
    two_shards(f, INDEX(FIT));
    struct stat st;
    assert_int_equal(stat(in_dir(f, TWO, path), &st), 0);
    assert_int_equal(truncate(path, st.st_size - 13), 0);
    char sizes[100];
    snprintf(sizes, sizeof sizes, "expected a file of %lld bytes, found %lld", (long long)st.st_size,
             (long long)st.st_size - 13);
    expect(f, ERR_DATA, TWO ": truncated: tensor a is cut off", sizes);
    write_text(f, TWO, "");
    expect(f, ERR_DATA, TWO ": too short", NULL);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect(f, ERR_DATA, TWO ": is no regular file", NULL);
    unlink(in_dir(f, "model.safetensors.index.json", path));
    assert_int_equal(mkdir(path, 0700), 0);
    expect(f, ERR_DATA, "is no regular file", NULL);
}

/* Opens; the note must hold all of the words. */
static void noted(struct fixture *f, int64_t ntensors, const char *first, const char *second)
{
    if (open_dir(f) != ERR_OK || !f->c.note || !strstr(f->c.note, first) || !strstr(f->c.note, second))
        fail_msg("%s; noted \"%s\", expected \"%s\" and \"%s\"", f->bench.err.text,
                 f->c.note ? f->c.note : "", first, second);
    assert_int_equal(f->c.ntensors, ntensors);
    for (int64_t i = 0; i < ntensors; i++)
        check_tensor(f, f->c.tensors[i].name);
    checkpoint_close(&f->c);
    f->c = (struct checkpoint){0};
    arena_reset(&f->bench.arena);
    assert_int_equal(f->bench.mem.live_bytes, 0);
}

/* What transformers loads of shards and indexes that do not fit each other is read, and said. */
static void test_odd_shards(void **state)
{
    struct fixture *f = *state;
    char path[400];
    two_shards(f, INDEX("\"a\":\"" TWO "\",\"b\":\"" ONE "\",\"c\":\"" TWO "\""));
    noted(f, 4, "1 tensors that the index omits are read too", "(first d in " ONE ")");
    two_shards(f, INDEX("\"a\":\"" ONE "\",\"b\":\"" ONE "\",\"c\":\"" ONE "\",\"d\":\"" TWO "\""));
    noted(f, 4, "3 tensors lie in another shard than the index says", "(first a in " TWO ")");
    two_shards(f, INDEX(FIT));
    write_model(f, ONE, "b d a", NULL); /* of the same bytes */
    noted(f, 4, "1 tensors stand in two shards with the same bytes and are taken once", "(first a)");
    FILE *out = fopen(in_dir(f, ONE, path), "r+b");
    assert_true(out && fseek(out, -1, SEEK_END) == 0 && fputc('x', out) == 'x');
    assert_int_equal(fclose(out), 0);
    expect(f, ERR_DATA, "tensor a: expected in one shard, found in two that differ in it: " ONE " and " TWO,
           NULL);

    two_shards(f, INDEX(FIT)); /* without its index */
    assert_int_equal(unlink(in_dir(f, "model.safetensors.index.json", path)), 0);
    noted(f, 4, "all 2 shards " ONE " to -of-00002 by their names",
          "there is no model.safetensors.index.json");
    write_model(f, "model-00001-of-00003.safetensors", "q", NULL); /* a part of another set */
    noted(f, 4, "all 2 shards " ONE, "");
    write_model(f, "model-00002-of-00003.safetensors", "q", NULL);
    write_model(f, "model-00003-of-00003.safetensors", "r", NULL);
    expect(f, ERR_DATA, "the index of these shards is missing", "shards of 2 sets lie there");
    unlink(in_dir(f, "model-00002-of-00003.safetensors", path));
    unlink(in_dir(f, TWO, path));
    unlink(in_dir(f, ONE, path));
    expect(f, ERR_DATA, "copy it too; 1 of 3 shards is missing, first model-00002-of-00003.safetensors",
           NULL);
    write_text(f, "model.safetensors.index.json", INDEX(FIT)); /* of another set */
    expect(f, ERR_DATA, ONE ": missing shard", "expected 2 shards, found 0");
    write_model(f, "model-00002-of-00003.safetensors", "q", NULL);
    expect(f, ERR_DATA, "the index is of another set than the 3 shards that are there", "move it away");

    two_shards(f, INDEX(FIT));
    write_model(f, "model.safetensors", "m", NULL);
    noted(f, 1, "model.safetensors was taken", "not model.safetensors.index.json and its shards beside it");
}

static void test_choice(void **state)
{
    struct fixture *f = *state;
    char path[400];
    expect(f, ERR_DATA, "no model found: looked for model.safetensors", "found nothing");
    write_text(f, "config.json", "{}");
    write_text(f, "pytorch_model-00001-of-00002.bin", "x");
    expect(f, ERR_DATA, "the index of these shards is missing",
           "found config.json, pytorch_model-00001-of-00002.bin");
    assert_true(checkpoint_exists(f->bench.folder));     /* a part is no absence, nor are two models */
    write_model(f, "model-fp16.safetensors", "a", NULL); /* the only one that begins with "model" */
    write_model(f, "logits.safetensors", "logits", NULL);
    assert_true(checkpoint_exists(f->bench.folder));
    expect(f, ERR_OK, NULL, NULL);
    write_model(f, "model-fp32.safetensors", "a", NULL);
    assert_true(checkpoint_exists(f->bench.folder));
    expect(f, ERR_DATA, "the index of these shards is missing", "model-fp16.safetensors");
    empty_dir(f);
    write_model(f, ONE, "a", NULL); /* half of a model */
    expect(f, ERR_DATA, "the index of these shards is missing", ONE);
    empty_dir(f);
    write_model(f, "logits.safetensors", "logits", NULL);
    expect(f, ERR_DATA, "no model found", "logits.safetensors");
    for (int i = 0; i < 12; i++) {
        char name[20];
        snprintf(name, sizeof name, "n%02d", i);
        write_text(f, name, "");
    }
    expect(f, ERR_DATA, "found logits.safetensors, n00, n01, n02, n03, n04, n05, n06, ...", NULL);
    empty_dir(f);
    write_text(f, "model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    expect(f, ERR_DATA, "git-lfs pointer", NULL);

    static const char *const files[][2] = {
        {"weights.gguf", "a GGUF file of llama.cpp"},
        {"pytorch_model.bin", "no torch file"},
        {"model.safetensors.index.json", "name its folder instead"},
        {"__0_0.distcp", "a part of a distributed checkpoint: name its folder"},
        {"weights.dat", "expected a .safetensors, .bin, .pt or .pth file or a folder"}};
    for (int i = 0; i < 4; i++) {
        write_text(f, files[i][0], "x");
        err_clear(&f->bench.err);
        assert_int_equal(
            checkpoint_open(&f->c, in_dir(f, files[i][0], path), NULL, &f->bench.arena, &f->bench.err),
            ERR_DATA);
        assert_non_null(strstr(f->bench.err.text, files[i][1]));
    }
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_open(&f->c, in_dir(f, "absent", path), NULL, &f->bench.arena, &f->bench.err),
                     ERR_DATA);
    assert_non_null(strstr(f->bench.err.text, "absent: no checkpoint"));
}

/* Torch's files stand behind those of safetensors, as in transformers; what is taken is told by its message.
 */
static void test_order(void **state)
{
    struct fixture *f = *state;
    char path[400];
    write_model(f, "model-fp16.safetensors", "a", NULL);
    write_text(f, "pytorch_model.bin.index.json", "{}");
    expect(f, ERR_DATA, "pytorch_model.bin.index.json: expected a map \"weight_map\"", NULL);
    write_text(f, "pytorch_model.bin", "x");
    expect(f, ERR_DATA, "pytorch_model.bin: no torch file", NULL);
    write_text(f, "model.safetensors.index.json", "{}");
    expect(f, ERR_DATA, "model.safetensors.index.json: expected a map \"weight_map\"", NULL);
    write_model(f, "model.safetensors", "a", NULL);
    expect(f, ERR_OK, NULL, NULL);

    static const char *const faults[][2] = {
        {INDEX("\"a\":\"model.safetensors\""), "\"model.safetensors\" is no .bin file"},
        {INDEX("\"a\":\"../x.bin\""), "leaves the folder"},
        {INDEX("\"a\":\"/x.bin\""), "is an absolute path"},
        {INDEX("\"a\":\"x.bin\""), "x.bin: missing shard"},
        {INDEX("\"a\":\"pytorch_model.bin\",\"a\":\"x.bin\""), "duplicate key \"a\""},
    };
    const char *const away[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"};
    for (int i = 0; i < 3; i++)
        unlink(in_dir(f, away[i], path));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        write_text(f, "pytorch_model.bin.index.json", faults[i][0]);
        expect(f, ERR_DATA, faults[i][1], NULL);
    }
}

/* A file that changes after it was opened: no signal, no wrong numbers, but a message. */
static void test_changes(void **state)
{
    struct fixture *f = *state;
    char path[400];
    uint16_t x[6];
    struct stat st;
    write_model(f, "model.safetensors", "a b", NULL);
    assert_int_equal(open_dir(f), ERR_OK);
    check_tensor(f, "b");
    assert_int_equal(stat(in_dir(f, "model.safetensors", path), &st), 0);
    assert_int_equal(truncate(path, st.st_size - 5), 0); /* cut while open */
    assert_int_equal(checkpoint_read(&f->c, &f->c.tensors[0], 0, 6, x, &f->bench.err), ERR_OK);
    assert_int_equal(checkpoint_read(&f->c, &f->c.tensors[1], 0, 6, x, &f->bench.err), ERR_DATA);
    char expected[100];
    snprintf(expected, sizeof expected, "tensor b is cut off: expected a file of %lld bytes, found %lld",
             (long long)st.st_size, (long long)st.st_size - 5);
    assert_non_null(strstr(f->bench.err.text, expected));
    assert_non_null(strstr(f->bench.err.text, path));
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_verify(&f->c, &f->bench.err), ERR_DATA);
    assert_non_null(strstr(f->bench.err.text, "changed since it was catalogued"));
    checkpoint_close(&f->c);
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_read(&f->c, &f->c.tensors[1], 0, 1, x, &f->bench.err),
                     ERR_DATA); /* cut while closed */
    assert_non_null(strstr(f->bench.err.text, expected));

    write_model(f, "model.safetensors", "a b", NULL);
    assert_int_equal(open_dir(f), ERR_OK);
    const struct timespec times[2] = {{1000, 0}, {1000, 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(checkpoint_verify(&f->c, &f->bench.err), ERR_DATA);
    assert_non_null(strstr(f->bench.err.text, "run sinew run again"));
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_read(&f->c, &f->c.tensors[0], 0, 1, x, &f->bench.err), ERR_DATA);
    assert_int_equal(f->c.nopen, 0);
    unlink(path);
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_verify(&f->c, &f->bench.err), ERR_DATA);
    assert_non_null(strstr(f->bench.err.text, "cannot be found"));
    err_clear(&f->bench.err);
    assert_int_equal(checkpoint_read(&f->c, &f->c.tensors[0], 0, 1, x, &f->bench.err), ERR_DATA);
}

/* More shards than descriptors may be open: the least recently used is closed. */
static void test_many_shards(void **state)
{
    struct fixture *f = *state;
    enum { N = CHECKPOINT_MAX_OPEN + 9 };
    char index[N * 40 + 100], *p = index;
    p += snprintf(p, 40, "{\"weight_map\":{");
    for (int i = 0; i < N; i++) {
        char file[40], tensor[8];
        snprintf(file, sizeof file, "part%d.safetensors", i);
        snprintf(tensor, sizeof tensor, "%c%d", 'a' + i % 26, i);
        write_model(f, file, tensor, NULL);
        p += snprintf(p, 40, "%s\"%s\":\"%s\"", i ? "," : "", tensor, file);
    }
    snprintf(p, 3, "}}");
    write_text(f, "model.safetensors.index.json", index);
    assert_int_equal(open_dir(f), ERR_OK);
    assert_int_equal(f->c.nfiles, N);
    for (int round = 0; round < 3; round++)
        for (int64_t i = 0; i < f->c.ntensors; i++) {
            check_tensor(f, f->c.tensors[i].name);
            check_tensor(f, f->c.tensors[0].name);
            assert_true(f->c.nopen <= CHECKPOINT_MAX_OPEN);
            assert_true(f->c.files[f->c.tensors[0].file].fd >= 0);
        }
    int open_now = 0;
    for (int64_t i = 0; i < f->c.nfiles; i++)
        open_now += f->c.files[i].fd >= 0;
    assert_int_equal(open_now, CHECKPOINT_MAX_OPEN);
    checkpoint_close(&f->c);
    assert_int_equal(f->c.nopen, 0);
}

/* Real checkpoints, where they are at hand. */
static void test_real(void **state)
{
    struct fixture *f = *state;
    const char *root = getenv("TINYRL");
    char path[400];
    if (root) {
        snprintf(path, sizeof path, "%s/tiny-llama/grpo/seed-0", root);
    } else { /* beside the project, as seen from this file */
        const char *slash = strrchr(__FILE__, '/');
        snprintf(path, sizeof path, "%.*s/../../../shared/tinyrl/tiny-llama/grpo/seed-0",
                 slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".");
    }
    if (!checkpoint_exists(path)) {
        print_message("skipped: %s is not there\n", path);
        skip();
    }
    assert_int_equal(checkpoint_open(&f->c, path, NULL, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_true(f->c.ntensors == 39 && f->c.parameters == 799872 && f->c.nfiles == 1);
    for (int64_t i = 0; i < f->c.ntensors; i++) {
        const struct stored_tensor *t = &f->c.tensors[i];
        uint16_t *x = malloc((size_t)t->size_bytes);
        assert_int_equal(t->dtype, DTYPE_BF16);
        assert_int_equal(checkpoint_read(&f->c, t, 0, t->elements, x, &f->bench.err), ERR_OK);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_file),   TEST(test_shards),      TEST(test_hostile_index),
        TEST(test_odd_shards), TEST(test_choice),      TEST(test_order),
        TEST(test_changes),    TEST(test_many_shards), TEST(test_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
