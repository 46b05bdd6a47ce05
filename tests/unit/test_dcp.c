/* Distributed checkpoints: chunks of any shape found in their files, which names are the model's, and one
 * harm after another done to a good folder, each with its verdict and what the message must say. */
#include "dcplib.h"

#include "formats/checkpoint.h"

#include <sys/stat.h>

enum { TENSORS = 6, MATRIX, COLUMNS, SCALAR, EMPTY, MOMENT, VALUE };

struct fixture {
    struct bench bench;
    struct saved saved[8];
    int n, paths;
    struct pickled metadata;
    struct zipped z;
    struct checkpoint c;
};

static int setup(void **state)
{
    return bench_new(state, sizeof(struct fixture), WITH_FOLDER);
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static const char *path_in(const struct fixture *f, const char *name, char out[300])
{
    snprintf(out, 300, "%s/%s", f->bench.folder, name);
    return out;
}

/* Element i of tensor t. */
static float number(int t, int64_t i)
{
    return (float)(100 * t) + (float)i;
}

/* The item of a chunk, whose numbers are those of its box, appended to its file. */
static void write_chunk(struct fixture *f, int t, struct chunk *c)
{
    const struct saved *s = &f->saved[t];
    float data[64];
    int64_t n = 0, rows = s->ndim > 0 ? c->sizes[0] : 1, cols = s->ndim > 1 ? c->sizes[1] : 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < cols; k++)
            data[n++] = number(t, (c->offsets[0] + i) * (s->ndim > 1 ? s->dims[1] : 1) + c->offsets[1] + k);
    item_make(&f->z, 1, s->ndim, c->sizes, NULL, data, n);
    char path[300];
    FILE *out = fopen(path_in(f, c->file, path), "ab");
    assert_non_null(out);
    c->at = ftell(out);
    c->length = (int64_t)f->z.n;
    assert_int_equal(fwrite(f->z.b, 1, f->z.n, out), f->z.n);
    assert_int_equal(fclose(out), 0);
}

/* Two processes' files: rows in both, columns of both in turn, a scalar, a tensor of no rows, an optimiser.
 */
static void make(struct fixture *f)
{
    static const struct saved good[] = {
        {"model.a.weight",
         {"model", "a.weight"},
         "float32",
         2,
         {5, 3},
         2,
         {{{0, 0}, {3, 3}, "__0_0.distcp", 0, 0, NULL, 0}, {{3, 0}, {2, 3}, "__1_0.distcp", 0, 0, NULL, 0}}},
        {"model.b.weight",
         {"model", "b.weight"},
         "float32",
         2,
         {4, 4},
         4,
         {{{0, 0}, {2, 2}, "__0_0.distcp", 0, 0, NULL, 0},
          {{0, 2}, {2, 2}, "__1_0.distcp", 0, 0, NULL, 0},
          {{2, 0}, {2, 4}, "__1_0.distcp", 0, 0, NULL, 0},
          {{4, 0}, {0, 4}, "__1_0.distcp", 0, 0, NULL, 0}}},
        {"model.c", {"model", "c"}, "float32", 0, {0}, 1, {{{0}, {0}, "__1_0.distcp", 0, 0, NULL, 0}}},
        {"model.e", {"model", "e"}, "bfloat16", 1, {0}, 1, {{{0}, {0}, "__0_0.distcp", 0, 0, NULL, 0}}},
        {"optimizer.state.a.weight.exp_avg",
         {"optimizer", "state", "a.weight", "exp_avg"},
         "float32",
         1,
         {2},
         1,
         {{{0}, {2}, "__0_0.distcp", 0, 0, NULL, 0}}},
        {"optimizer.lr", {"optimizer", "lr"}, NULL, 0, {0}, 1, {{{0}, {0}, "__0_0.distcp", 0, 100, NULL, 0}}},
    };
    char path[300];
    memcpy(f->saved, good, sizeof good);
    f->n = (int)(sizeof good / sizeof *good);
    f->paths = 1;
    unlink(path_in(f, "__0_0.distcp", path));
    unlink(path_in(f, "__1_0.distcp", path));
    for (int t = 0; t < f->n; t++)
        for (int k = 0; k < f->saved[t].nchunks && f->saved[t].dtype; k++)
            write_chunk(f, t, &f->saved[t].chunks[k]);
}

static err_t open_it(struct fixture *f)
{
    char path[300];
    pk_metadata(&f->metadata, f->saved, f->n, f->paths);
    bytes_write(path_in(f, ".metadata", path), f->metadata.b, f->metadata.n);
    err_clear(&f->bench.err);
    return checkpoint_open(&f->c, f->bench.folder, NULL, &f->bench.arena, &f->bench.err);
}

static void check_numbers(struct fixture *f, const char *name, int t, int64_t n)
{
    float v[64];
    const struct stored_tensor *x = checkpoint_find(&f->c, name);
    if (!x)
        fail_msg("no tensor %s", name);
    assert_int_equal(x->elements, n);
    assert_int_equal(checkpoint_read(&f->c, x, 0, n, v, &f->bench.err), ERR_OK);
    for (int64_t i = 0; i < n; i++)
        assert_true(v[i] == number(t, i));
}

static void test_good(void **state)
{
    struct fixture *f = *state;
    make(f);
    if (open_it(f) != ERR_OK)
        fail_msg("%s", f->bench.err.text);
    assert_int_equal(f->c.ntensors, 4);
    assert_int_equal(f->c.nfiles, 3); /* the metadata is one of them */
    check_numbers(f, "a.weight", 0, 15);
    check_numbers(f, "b.weight", 1, 16);
    check_numbers(f, "c", 2, 1);
    check_numbers(f, "e", 3, 0);
    assert_true(checkpoint_find(&f->c, "a.weight")->cut->flat);
    assert_false(checkpoint_find(&f->c, "b.weight")->cut->flat);
    assert_non_null(strstr(f->c.note, "under model"));
    assert_non_null(strstr(f->c.note, "left out: optimizer (1 tensor, 1 other value)"));
    checkpoint_close(&f->c);
    char path[300]; /* a file of another save beside them */
    bytes_write(path_in(f, "__2_0.distcp", path), "x", 1);
    assert_int_equal(open_it(f), ERR_OK);
    assert_non_null(strstr(f->c.note, "1 .distcp files"));
    unlink(path);
}

/* Where trainers put it: in a folder of the step, or in that of the iteration which Megatron's run says is
 * its last. */
static void test_folders(void **state)
{
    static const char *const folders[] = {"pytorch_model_fsdp_0", "model_and_optim", "dist_ckpt",
                                          "iter_0000120"};
    static const char *const files[] = {".metadata", "__0_0.distcp", "__1_0.distcp"};
    struct fixture *f = *state;
    struct bench *b = &f->bench;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char dir[300], from[300], to[400], latest[300];
        int iteration = strncmp(folders[i], "iter", 4) == 0;
        make(f);
        assert_int_equal(open_it(f), ERR_OK);
        assert_int_equal(mkdir(path_in(f, folders[i], dir), 0700), 0);
        for (int k = 0; k < 3; k++) {
            snprintf(to, sizeof to, "%s/%s", dir, files[k]);
            assert_int_equal(rename(path_in(f, files[k], from), to), 0);
        }
        path_in(f, "latest_checkpointed_iteration.txt", latest);
        if (iteration) {
            static const char *const wrong[] = {"", "-1", "release", "121", "120x", "120/../.."};
            for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
                bytes_write(latest, wrong[k], strlen(wrong[k]));
                err_clear(&b->err);
                assert_int_equal(checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err), ERR_DATA);
            }
            bytes_write(latest, "120\n", 4);
        }
        err_clear(&b->err);
        if (checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err) != ERR_OK)
            fail_msg("%s: %s", folders[i], b->err.text);
        if (!strstr(f->c.note, folders[i]))
            fail_msg("%s is not in: %s", folders[i], f->c.note);
        check_numbers(f, "a.weight", 0, 15);
        checkpoint_close(&f->c);
        for (int k = 0; k < 3; k++) {
            snprintf(to, sizeof to, "%s/%s", dir, files[k]);
            unlink(to);
        }
        unlink(latest);
        rmdir(dir);
    }
}

/* Wrappers leave words in names; masters are rounded for who asks for what is deployed. */
static void test_names_and_numbers(void **state)
{
    struct fixture *f = *state;
    const struct choice model = {.weights = CHOICE_WEIGHTS_MODEL};
    make(f);
    for (int i = 0; i < 4; i++) {
        static char names[4][60];
        snprintf(names[i], sizeof names[i], "_orig_mod.%s", f->saved[i].path[1]);
        f->saved[i].path[1] = names[i];
    }
    assert_int_equal(open_it(f), ERR_OK);
    check_numbers(f, "a.weight", 0, 15);
    assert_non_null(strstr(f->c.note, "_orig_mod."));
    checkpoint_close(&f->c);
    assert_int_equal(checkpoint_open(&f->c, f->bench.folder, &model, &f->bench.arena, &f->bench.err), ERR_OK);
    assert_int_equal(decoder_type(checkpoint_find(&f->c, "a.weight")), DTYPE_BF16);
    assert_int_equal(decoder_type(checkpoint_find(&f->c, "e")), DTYPE_BF16);
    assert_non_null(strstr(f->c.note, "rounded to bf16"));
    checkpoint_close(&f->c);
}

/* ---- which names are the model's ---- */

static const struct {
    const char *paths[4][DCP_STEPS]; /* of four tensors of one element */
    const char *names[4];            /* as the checkpoint lists them; NULL behind the last */
    const char *note;                /* part of it, or of the refusal where there are no names */
} trees[] = {
    {{{"state", "model", "w.a"}, {"state", "model", "w.b"}, {"state", "opt", "w.a"}, {"step"}},
     {"w.a", "w.b"},
     "left out: state.opt (1 tensor), step (1 tensor)"},
    {{{"layers.0.w"}, {"norm.w"}, {"optimizer", "state.layers.0.w"}, {"train_state", "step"}},
     {"layers.0.w", "norm.w"},
     "names as they are saved; left out: optimizer (1 tensor), train_state (1 tensor)"},
    {{{"model", "state_dict", "x.w"}, {"model", "state_dict", "y.w"}, {"optim", "x"}, {"optim", "y"}},
     {"x.w", "y.w"},
     "under model.state_dict"},
    {{{"model", "model.w"}, {"model", "lm_head.w"}, {"model", "v"}, {"optimizer", "model", "v"}},
     {"lm_head.w", "model.w", "v"},
     "under model"},
    {{{"app", "net", "x.w"}, {"app", "net", "y.w"}, {"optimizer", "a"}, {"epoch"}},
     {"x.w", "y.w"},
     "under app.net"},
    {{{"layers", "0", "w"}, {"norm", "w"}, {"optimizer", "a"}, {"step"}},
     {"layers.0.w", "norm.w"},
     "names as they are saved"},
    {{{"ema", "model", "w"}, {"model", "w"}, {"model", "v"}, {"optimizer", "a"}},
     {"v", "w"},
     "left out: ema (1 tensor), optimizer (1 tensor)"},
    {{{"actor", "model", "w"}, {"critic", "model", "w"}, {"step"}, {"optimizer", "a"}},
     {NULL},
     "holds two models, actor.model and critic.model"},
    {{{"optimizer", "state", "a"}, {"optimizer", "state", "b"}, {"step"}, {"lr_scheduler", "x"}},
     {NULL},
     "holds no model: expected tensors under \"model\", or beside an optimizer at the top; found"},
};

static void test_trees(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        char path[300], names[4][100];
        unlink(path_in(f, "__0_0.distcp", path));
        f->n = 4;
        f->paths = 1;
        for (int t = 0; t < 4; t++) {
            int used = 0;
            struct saved *s = &f->saved[t];
            *s = (struct saved){.name = names[t], .dtype = "float32", .ndim = 1, .dims = {1}, .nchunks = 1};
            s->chunks[0] = (struct chunk){.sizes = {1}, .file = "__0_0.distcp"};
            for (int k = 0; k < DCP_STEPS && trees[i].paths[t][k]; k++) {
                s->path[k] = trees[i].paths[t][k];
                used += snprintf(names[t] + used, sizeof names[t] - (size_t)used, "%s%s", k > 0 ? "." : "",
                                 s->path[k]);
            }
            write_chunk(f, t, &s->chunks[0]);
        }
        err_t code = open_it(f);
        const char *said = code == ERR_OK ? f->c.note : f->bench.err.text;
        if ((code == ERR_OK) != (trees[i].names[0] != NULL) || !strstr(said, trees[i].note))
            fail_msg("row %zu: verdict %d, expected \"%s\" in: %s", i, (int)code, trees[i].note, said);
        for (int k = 0; k < 4 && code == ERR_OK; k++)
            if (k < f->c.ntensors ? !trees[i].names[k] || strcmp(f->c.tensors[k].name, trees[i].names[k]) != 0
                                  : trees[i].names[k] != NULL)
                fail_msg("row %zu: name %d is %s, expected %s", i, k,
                         k < f->c.ntensors ? f->c.tensors[k].name : "none",
                         trees[i].names[k] ? trees[i].names[k] : "none");
        arena_reset(&f->bench.arena);
    }
}

/* Without paths a name is what it is, but an optimiser's is known by its beginning. */
static void test_no_paths(void **state)
{
    struct fixture *f = *state;
    make(f);
    f->paths = 0;
    assert_int_equal(open_it(f), ERR_OK);
    assert_int_equal(f->c.ntensors, 4);
    assert_non_null(checkpoint_find(&f->c, "model.a.weight"));
    assert_non_null(strstr(f->c.note, "left out: optimizer (1 tensor, 1 other value)"));
}

/* Every process with metadata of its own: the chunks of both. */
static void test_own_metadata(void **state)
{
    struct fixture *f = *state;
    char path[300];
    make(f);
    for (int who = 0; who < 2; who++) {
        struct saved part = f->saved[0];
        part.nchunks = 1;
        part.chunks[0] = f->saved[0].chunks[who];
        pk_metadata(&f->metadata, &part, 1, 1);
        bytes_write(path_in(f, who ? "__1.metadata" : "__0.metadata", path), f->metadata.b, f->metadata.n);
    }
    unlink(path_in(f, ".metadata", path));
    err_t code = checkpoint_open(&f->c, f->bench.folder, NULL, &f->bench.arena, &f->bench.err);
    if (code != ERR_OK)
        fail_msg("%s", f->bench.err.text);
    assert_int_equal(f->c.ntensors, 1);
    check_numbers(f, "a.weight", 0, 15);
    checkpoint_close(&f->c);
    unlink(path_in(f, "__1.metadata", path)); /* one of two */
    assert_int_equal(checkpoint_open(&f->c, f->bench.folder, NULL, &f->bench.arena, &f->bench.err), ERR_DATA);
    check_message(&f->bench.err, "one metadata of two", (const char *const[4]){"lie in none of its"});
    unlink(path_in(f, "__0.metadata", path));
}

/* ---- harm ---- */

static void lose_file(struct fixture *f)
{
    char path[300];
    unlink(path_in(f, "__1_0.distcp", path));
}
static void cut_file(struct fixture *f)
{
    char path[300];
    assert_int_equal(truncate(path_in(f, "__1_0.distcp", path), f->saved[2].chunks[0].at + 100), 0);
}
static void other_save(struct fixture *f)
{
    char path[300];
    int64_t end = f->saved[2].chunks[0].at + f->saved[2].chunks[0].length;
    char *junk = calloc(1, (size_t)end);
    assert_non_null(junk);
    bytes_write(path_in(f, "__1_0.distcp", path), junk, (size_t)end);
    free(junk);
}
static void swap_items(struct fixture *f)
{
    struct chunk *x = &f->saved[0].chunks[1], *y = &f->saved[1].chunks[1], was = *x;
    x->at = y->at;
    x->length = y->length;
    y->at = was.at;
    y->length = was.length;
}
static void other_type(struct fixture *f)
{
    f->saved[0].dtype = "bfloat16";
}
static void no_type(struct fixture *f)
{
    f->saved[0].dtype = "complex64";
}
static void gap(struct fixture *f)
{
    f->saved[0].nchunks = 1;
}
static void larger(struct fixture *f)
{
    f->saved[0].dims[0] = 6;
}
static void outside(struct fixture *f)
{
    f->saved[0].dims[0] = 4;
}
static void overflow(struct fixture *f)
{
    f->saved[0].dims[0] = f->saved[0].dims[1] = (int64_t)1 << 40;
}
static void overlap(struct fixture *f)
{
    f->saved[0].chunks[1].offsets[0] = 2;
}
static void negative(struct fixture *f)
{
    f->saved[0].chunks[1].offsets[0] = -1;
}
static void lost_place(struct fixture *f)
{
    f->saved[0].chunks[1].lost = 1;
}
static void changed_bytes(struct fixture *f)
{
    f->saved[0].chunks[1].transforms = "stream.zstd";
}
static void above(struct fixture *f)
{
    f->saved[0].chunks[1].file = "../__1_0.distcp";
}
static void absolute(struct fixture *f)
{
    f->saved[0].chunks[1].file = "/etc/passwd";
}
static void no_name(struct fixture *f)
{
    f->saved[0].chunks[1].file = "";
}
static void far(struct fixture *f)
{
    f->saved[0].chunks[1].at = INT64_MAX - 10;
}
static void beyond(struct fixture *f)
{
    f->saved[0].chunks[1].at = (int64_t)1 << 40;
}
static void before(struct fixture *f)
{
    f->saved[0].chunks[1].at = -1;
}
static void shared(struct fixture *f)
{
    f->saved[0].chunks[1].at = f->saved[1].chunks[1].at + 1;
}
static void long_name(struct fixture *f)
{
    static char name[5001];
    memset(name, 'a', 5000);
    f->saved[0].chunks[1].file = name;
}
static void twice(struct fixture *f)
{
    f->saved[3] = f->saved[0];
}
static void same_below(struct fixture *f)
{
    f->saved[3].path[1] = "a.weight";
}
static void control(struct fixture *f)
{
    f->saved[3].path[1] = "a\nweight";
}
static void link_loop(struct fixture *f)
{
    char path[300];
    unlink(path_in(f, "__1_0.distcp", path));
    assert_int_equal(symlink("__1_0.distcp", path), 0);
}
static void pipe_there(struct fixture *f)
{
    char path[300];
    unlink(path_in(f, "__1_0.distcp", path));
    assert_int_equal(mkfifo(path, 0600), 0);
}

static const struct {
    const char *what;
    void (*harm)(struct fixture *f);
    const char *contains[4];
} harms[] = {
    {"a lost file", lose_file, {"__1_0.distcp: is missing", "expected 2 files, found 1"}},
    {"a file cut short", cut_file, {"__1_0.distcp: truncated", "tensor c"}},
    {"a file of another save", other_save, {"__1_0.distcp: bytes 0 to", "of another save, or damaged"}},
    {"items swapped", swap_items, {"a chunk of shape 2x3 of F32", "expected 2x2 of F32"}},
    {"another type", other_type, {"tensor a.weight", "of F32, expected 3x3 of BF16"}},
    {"no real type", no_type, {"model.a.weight: properties: dtype", "complex64"}},
    {"a gap", gap, {"tensor a.weight: elements 9 to 14 of 15", "lie in none of its 1 pieces"}},
    {"a larger tensor", larger, {"tensor a.weight: elements 15 to 17 of 18"}},
    {"a box outside", outside, {"tensor a.weight: a piece of shape 2x3 from 3x0 on leaves"}},
    {"sizes that overflow", overflow, {"tensor a.weight: shape 1099511627776x1099511627776", "overflows"}},
    {"an overlap", overlap, {"tensor a.weight: elements 6 to 8", "lie in 2 pieces"}},
    {"a negative offset", negative, {"storage_data: offset: expected an integer not below 0, found -1"}},
    {"a chunk without a place", lost_place, {"its chunk from 3x0 on is nowhere"}},
    {"bytes that were changed", changed_bytes, {"transform_descriptors"}},
    {"a file above", above, {"the file \"../__1_0.distcp\" leaves the folder"}},
    {"a file elsewhere", absolute, {"the file \"/etc/passwd\" is an absolute path"}},
    {"a file without a name", no_name, {"the file \"\" is empty"}},
    {"an end that overflows", far, {"model.a.weight: storage_data: expected an end of at most 64 bits"}},
    {"an item beyond the file", beyond, {"__1_0.distcp: truncated: a chunk of tensor a.weight"}},
    {"an item before the file",
     before,
     {"storage_data: offset in the file: expected an integer not below 0, found -1"}},
    {"items that share bytes", shared, {"chunks of tensors", "overlap in"}},
    {"a name of 5000 bytes", long_name, {"the name of a file has 5000 bytes"}},
    {"a name twice", twice, {"model.a.weight: state_dict_metadata: expected a name once"}},
    {"two names that become one", same_below, {"a.weight", "twice"}},
    {"a control character", control, {"the tensor name a?weight holds the control character 0x0a"}},
    {"a link to itself", link_loop, {"__1_0.distcp"}},
    {"a pipe", pipe_there, {"__1_0.distcp", "no regular file"}},
};

static void test_harm(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
        make(f);
        harms[i].harm(f);
        err_t code = open_it(f);
        if (code != ERR_DATA)
            fail_msg("%s: verdict %d: %s", harms[i].what, (int)code, f->bench.err.text);
        check_message(&f->bench.err, harms[i].what, harms[i].contains);
        arena_reset(&f->bench.arena);
    }
}

/* The metadata itself: gone, unfinished, something else, cut short at every byte, each byte changed. */
static void test_metadata(void **state)
{
    struct fixture *f = *state;
    struct bench *b = &f->bench;
    char path[300], other[300];
    make(f);
    assert_int_equal(open_it(f), ERR_OK);
    path_in(f, ".metadata", path);
    for (size_t n = 0; n < f->metadata.n; n += n < 200 ? 1 : 7) {
        bytes_write(path, f->metadata.b, n);
        err_clear(&b->err);
        if (checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err) != ERR_DATA)
            fail_msg("%zu of %zu bytes: %s", n, f->metadata.n, b->err.text);
        arena_reset(&b->arena);
    }
    uint64_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        size_t at = next_random(&seed) % f->metadata.n;
        char was = f->metadata.b[at];
        f->metadata.b[at] = (char)next_random(&seed);
        bytes_write(path, f->metadata.b, f->metadata.n);
        f->metadata.b[at] = was;
        err_clear(&b->err);
        err_t code = checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err);
        if (code != ERR_OK && code != ERR_DATA)
            fail_msg("byte %zu changed: verdict %d: %s", at, (int)code, b->err.text);
        arena_reset(&b->arena);
    }
    static const char foreign[] = "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.";
    bytes_write(path, foreign, sizeof foreign - 1);
    err_clear(&b->err);
    assert_int_equal(checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err), ERR_DATA);
    check_message(&b->err, "foreign", (const char *const[4]){"state_dict_metadata", "posix.system"});
    unlink(path);
    err_clear(&b->err);
    assert_int_equal(checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err), ERR_DATA);
    check_message(&b->err, "lost", (const char *const[4]){".metadata is lost", "2 .distcp files"});
    bytes_write(path_in(f, ".metadata.tmp", other), "", 0);
    err_clear(&b->err);
    assert_int_equal(checkpoint_open(&f->c, b->folder, NULL, &b->arena, &b->err), ERR_DATA);
    check_message(&b->err, "unfinished", (const char *const[4]){"the save was interrupted"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_good),  TEST(test_folders),  TEST(test_names_and_numbers),
                                       TEST(test_trees), TEST(test_no_paths), TEST(test_own_metadata),
                                       TEST(test_harm),  TEST(test_metadata)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
