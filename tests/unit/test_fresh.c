/* Freshness: for each reason to run a node again one case, and those in which it must not be run again. */

#include "studylib.h"

#include "hdf5/digest.h"

#include <fcntl.h>
#include <sys/stat.h>

#define HEAD "study: s\noutput: ${DIR}/out\n"
#define CELLS                                                                          \
    "cells:\n  - {family: f, algorithm: a, base: \"${DIR}/b\", tuned: \"${DIR}/t\"}\n" \
    "  - {family: f, algorithm: b, base: \"${DIR}/b\", tuned: \"${DIR}/u\"}\n"
#define STAGES \
    "stages: {ground: {}, one: {kind: fake, needs: ground}, two: {kind: fake, needs: one}, joint: {needs: two}}\n"

/* Writes FOLDER/NAME. */
static char *put(struct study *s, const char *name, const char *content)
{
    char *path = in_folder(s, "%s", name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, strlen(content), f), strlen(content));
    assert_int_equal(fclose(f), 0);
    return path;
}

/* A safetensors file of one tensor of two numbers. */
static void put_model(struct study *s, const char *name, const char *tensor, const char *bytes)
{
    char header[200], *path = in_folder(s, "%s", name);
    uint64_t n = (uint64_t)snprintf(
        header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", tensor);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&n, 8, 1, f), 1);
    assert_int_equal(fwrite(header, 1, (size_t)n, f), n);
    assert_int_equal(fwrite(bytes, 1, 8, f), 8);
    assert_int_equal(fclose(f), 0);
}

/* Sets a file's time of modification, in nanoseconds of the first second of 2020. */
static void set_time(const char *path, long ns)
{
    struct timespec times[2] = {{.tv_sec = 1577836800, .tv_nsec = ns}, {.tv_sec = 1577836800, .tv_nsec = ns}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_checkpoints(struct study *s)
{
    put(s, "b", "base");
    put(s, "t", "tuned");
    put(s, "u", "other");
}

static void begin(struct study *s, const char *yaml)
{
    study_read(s, yaml);
    study_make_all(s);
    for (int i = 0; i < s->dag.nnodes; i++)
        if (s->all[i].state != STATE_FRESH)
            fail_msg("%s: %s: %s", s->dag.nodes[i].path, fresh_name(s->all[i].state), s->all[i].why);
}

/* The node is in this state, and a stale one says why. */
static void check(struct study *s, const char *name, const char *label, enum fresh_state state,
                  const char *why)
{
    const struct freshness *f = &s->all[study_node(s, name, label)];
    if (f->state != state || !strstr(f->why, why) || (state != STATE_STALE && f->why[0]))
        fail_msg("%s of %s is %s (%s), expected %s (%s)", name, label, fresh_name(f->state), f->why,
                 fresh_name(state), why);
}

static void check_others_fresh(struct study *s, const char *name, const char *label)
{
    int but = study_node(s, name, label);
    for (int i = 0; i < s->dag.nnodes; i++)
        if (i != but && s->all[i].state != STATE_FRESH)
            fail_msg("%s is %s: %s", s->dag.nodes[i].path, fresh_name(s->all[i].state), s->all[i].why);
}

static const char *artifact(struct study *s, const char *name, const char *label)
{
    return s->dag.nodes[study_node(s, name, label)].path;
}

/* ---- there or not ---- */

static void missing_and_partial(void **state)
{
    struct study *s = *state;
    put_checkpoints(s);
    study_read(s, HEAD CELLS STAGES);
    study_judge(s);
    for (int i = 0; i < s->dag.nnodes; i++)
        assert_int_equal(s->all[i].state, STATE_MISSING);
    begin(s, HEAD CELLS STAGES);
    char partial[300];
    const char *path = artifact(s, "two", "f/a/0");
    snprintf(partial, sizeof partial, "%s.partial.other-17", path);
    assert_int_equal(rename(path, partial), 0);
    study_judge(s);
    check(s, "two", "f/a/0", STATE_PARTIAL, "");
    check_others_fresh(s, "two", "f/a/0"); /* what lies below decides, not what is there of it */
    assert_int_equal(unlink(partial), 0);
    study_judge(s);
    check(s, "two", "f/a/0", STATE_MISSING, "");
    study_make(s, study_node(s, "two", "f/a/0"));
    study_judge(s);
    check_others_fresh(s, "two", "f/a/0");
    check(s, "two", "f/a/0", STATE_FRESH, "");
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(fresh_name(STATE_FRESH), "fresh");
    assert_string_equal(fresh_name(STATE_STALE), "stale");
    assert_string_equal(fresh_name(STATE_PARTIAL), "partial");
    assert_string_equal(fresh_name(STATE_MISSING), "missing");
    assert_string_equal(fresh_name(STATE_COUNT), "?");
}

/* ---- damage ---- */

static void damaged(void **state)
{
    struct study *s = *state;
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    const char *path = artifact(s, "one", "f/b/0");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (int kind = 0; kind < 3; kind++) {
        FILE *f = fopen(path, kind == 0 ? "wb" : "r+b");
        assert_non_null(f);
        if (kind == 0)
            fputs("no HDF5 file", f);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(kind == 1 ? truncate(path, st.st_size / 2) : 0, 0);
        assert_int_equal(kind == 2 ? truncate(path, 0) : 0, 0);
        study_judge(s);
        check(s, "one", "f/b/0", STATE_STALE,
              "carries no digests: it was cut short, edited, or written by an older version");
        check_others_fresh(s, "one", "f/b/0");
        study_make(s, study_node(s, "one", "f/b/0"));
        study_judge(s);
        check(s, "one", "f/b/0", STATE_FRESH, "");
    }
}

/* A part of the key that is not there, is another, or is no text. */
static void other_keys(void **state)
{
    struct study *s = *state;
    static const char *const parts[][2] = {{"key_stage", "made by another version of the stage"},
                                           {"key_params", "its parameters changed"},
                                           {"key_files", "the files it reads changed"},
                                           {"key_inputs", "what it needs changed"}};
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    for (int k = 0; k < 4; k++)
        for (int kind = 0; kind < 2; kind++) {
            struct h5 *h;
            struct bench *b = &s->bench;
            assert_int_equal(h5_open(artifact(s, "one", "f/a/0"), 1, &b->arena, &h, &b->err), ERR_OK);
            if (kind == 0)
                h5_set_text(h, "/", parts[k][0], "0123456789abcdef", &b->err);
            else
                h5_set_int(h, "/", parts[k][0], 7, &b->err);
            assert_int_equal(h5_close(h, &b->err), ERR_OK);
            study_judge(s);
            check(s, "one", "f/a/0", STATE_STALE,
                  "carries no digests: it was cut short, edited, or written by an older version");
            assert_int_equal(digest_seal(artifact(s, "one", "f/a/0"), &b->arena, &b->err), ERR_OK);
            study_judge(s);
            check(s, "one", "f/a/0", STATE_STALE, parts[k][1]);
            study_make(s, study_node(s, "one", "f/a/0"));
        }
}

/* ---- what decides ---- */

static void parameters(void **state)
{
    struct study *s = *state;
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    study_read(s,
               HEAD CELLS "stages: {ground: {}, one: {kind: fake, needs: ground, rows: 2}, two: {kind: fake, "
                          "needs: one}, joint: {needs: two}}\n");
    study_judge(s);
    check(s, "ground", s->config.cells[0].base, STATE_FRESH, "");
    check(s, "one", "f/a/0", STATE_STALE, "its parameters changed");
    check(s, "two", "f/a/0", STATE_STALE, "one of f/a/0 is stale");
    check(s, "joint", s->config.cells[0].base, STATE_STALE, "two of f/a/0 is stale");
    /* once what it needs has run again, it is still stale, and the reason is another */
    study_make(s, study_node(s, "one", "f/a/0"));
    study_judge(s);
    check(s, "one", "f/a/0", STATE_FRESH, "");
    check(s, "two", "f/a/0", STATE_STALE, "what it needs changed");
    /* a value written otherwise is the same value; so is the old one, again */
    study_read(s, HEAD CELLS
               "stages: {ground: {}, one: {kind: fake, needs: [ground], items: +1, cost: 0.0}, two: "
               "{kind: fake, needs: one}, joint: {needs: two}}\n");
    study_judge(s);
    check(s, "one", "f/b/0", STATE_FRESH, "");
    check(s, "one", "f/a/0", STATE_STALE, "its parameters changed");
    check(s, "two", "f/a/0", STATE_FRESH, "");
}

/* A cell more on a base: the base's node is another, those of the cells there were are not. */
static void a_cell_more(void **state)
{
    struct study *s = *state;
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    study_read(s,
               HEAD CELLS "  - {family: f, algorithm: c, base: \"${DIR}/b\", tuned: \"${DIR}/u\"}\n" STAGES);
    study_judge(s);
    check(s, "two", "f/a/0", STATE_FRESH, "");
    check(s, "one", "f/c/0", STATE_MISSING, "");
    check(s, "joint", s->config.cells[0].base, STATE_STALE, "its parameters changed");
    /* a cell by the same name from elsewhere is not that cell */
    put(s, "v", "elsewhere");
    study_read(s, HEAD
               "cells:\n  - {family: f, algorithm: a, base: \"${DIR}/b\", tuned: \"${DIR}/v\"}\n" STAGES);
    study_judge(s);
    check(s, "one", "f/a/0", STATE_STALE, "its parameters changed");
}

static void files(void **state)
{
    struct study *s = *state;
    put_checkpoints(s);
    char *tuned = put(s, "t", "tuned"), *moved = in_folder(s, "moved");
    set_time(tuned, 0);
    begin(s, HEAD CELLS STAGES);
    set_time(tuned, 1); /* a nanosecond later */
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "the files it reads changed");
    check(s, "one", "f/a/0", STATE_STALE, "ground of ");
    check(s, "one", "f/b/0", STATE_FRESH, "");
    check(s, "joint", s->config.cells[0].base, STATE_STALE, "two of f/a/0 is stale");
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_FRESH, "");
    put(s, "t", "tunee"); /* as long, and as old */
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "the files it reads changed");
    put(s, "t", "tuned!");
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "the files it reads changed");
    /* a file that is gone cannot have changed; one that comes back is looked at again */
    assert_int_equal(rename(tuned, moved), 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_FRESH, "");
    check(s, "joint", s->config.cells[0].base, STATE_FRESH, "");
    put(s, "t", "tuned");
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_FRESH, "");
}

/* Other bytes under the same size, time and header, of a large file: those of a stretch, and those of the
 * last block. */
static void bytes(void **state)
{
    struct study *s = *state;
    char *content = malloc((1 << 20) + 1), *tuned = in_folder(s, "t");
    assert_non_null(content);
    memset(content, 'a', 1 << 20);
    content[1 << 20] = 0;
    put(s, "b", "base");
    put(s, "u", "other");
    put(s, "t", content);
    set_time(tuned, 0);
    begin(s, HEAD CELLS STAGES);
    memset(content + (700 << 10), 'b', 40 << 10);
    put(s, "t", content);
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "/t (its bytes, not its size or time)");
    check(s, "one", "f/b/0", STATE_FRESH, "");
    memset(content + (700 << 10), 'a', 40 << 10);
    put(s, "t", content);
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_FRESH, "");
    content[(1 << 20) - 1] = 'b';
    put(s, "t", content);
    set_time(tuned, 0);
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "its bytes, not its size or time");
    free(content);
}

/* What an artifact says that was made before there were samples: no sample, and a key without. */
static void without_samples(void **state)
{
    struct study *s = *state;
    char text[4096], hash[HASH_TEXT], *tuned = put(s, "t", "tuned");
    put(s, "b", "base");
    put(s, "u", "other");
    set_time(tuned, 0);
    begin(s, HEAD CELLS STAGES);
    int i = study_node(s, "ground", tuned);
    const char *now = s->all[i].files_text, *sample = strstr(now, " sample ");
    assert_non_null(sample);
    snprintf(text, sizeof text, "%.*s\n", (int)(sample - now), now);
    hash_text(text, hash);
    struct h5 *h;
    struct bench *b = &s->bench;
    const char *path = s->dag.nodes[i].path;
    assert_int_equal(h5_open(path, 1, &b->arena, &h, &b->err), ERR_OK);
    assert_int_equal(h5_set_text(h, "/", "key_files", hash, &b->err), ERR_OK);
    assert_int_equal(h5_close(h, &b->err), ERR_OK);
    assert_int_equal(digest_seal(path, &b->arena, &b->err), ERR_OK);
    study_judge(s);
    check(s, "ground", tuned, STATE_FRESH, "");
    assert_string_equal(s->all[i].files, hash);
    set_time(tuned, 5);
    study_judge(s);
    check(s, "ground", tuned, STATE_STALE, "/t (its time)");
    assert_string_not_equal(s->all[i].files, hash);
}

/* A file that was not there when the node ran, and is there now. */
static void came_later(void **state)
{
    struct study *s = *state;
    char *late = in_folder(s, "late");
    begin(s, HEAD CELLS "stages: {one: {kind: fake, reads: \"${DIR}/late\"}}\n");
    put(s, "late", "x");
    study_judge(s);
    check(s, "one", "f/a/0", STATE_STALE, "the files it reads changed");
    study_make(s, study_node(s, "one", "f/a/0"));
    study_judge(s);
    check(s, "one", "f/a/0", STATE_FRESH, "");
    assert_int_equal(unlink(late), 0);
    study_judge(s);
    check(s, "one", "f/a/0", STATE_FRESH, "");
    check(s, "one", "f/b/0", STATE_FRESH, ""); /* it has never known the file */
}

/* Of a checkpoint in a folder all files count, by size, time and header; a folder without one is absent, one
 * that cannot be read is so until it can. */
static void folders(void **state)
{
    struct study *s = *state;
    char *folder = in_folder(s, "t"), *model = in_folder(s, "t/model.safetensors");
    put(s, "b", "base");
    put(s, "u", "other");
    assert_int_equal(mkdir(folder, 0777), 0);
    put_model(s, "t/model.safetensors", "w", "12345678");
    set_time(model, 0);
    begin(s, HEAD CELLS STAGES);
    put(s, "t/README.md", "not of the model");
    study_judge(s);
    check(s, "ground", folder, STATE_FRESH, "");
    put_model(s, "t/model.safetensors", "v", "12345678");
    set_time(model, 0);
    study_judge(s);
    check(s, "ground", folder, STATE_STALE, "the files it reads changed");
    put(s, "t/model.safetensors", "no safetensors file");
    study_judge(s);
    check(s, "ground", folder, STATE_STALE, "the files it reads changed");
    study_make(s, study_node(s, "ground", folder));
    study_judge(s);
    check(s, "ground", folder, STATE_FRESH, "");
    put_model(s, "t/model.safetensors", "w", "12345678");
    set_time(model, 0);
    study_judge(s);
    check(s, "ground", folder, STATE_STALE, "the files it reads changed");
    study_make(s, study_node(s, "ground", folder));
    assert_int_equal(unlink(model), 0); /* a folder is left, and no checkpoint in it */
    study_judge(s);
    check(s, "ground", folder, STATE_FRESH, "");
    assert_int_equal(unlink(in_folder(s, "t/README.md")), 0);
    assert_int_equal(rmdir(folder), 0);
    study_judge(s);
    check(s, "ground", folder, STATE_FRESH, "");
}

/* ---- files written beside the artifact ---- */

static void written_files(void **state)
{
    struct study *s = *state;
    begin(s, HEAD CELLS "stages: {maker: {}, ground: {needs: maker}}\n");
    char *tuned = in_folder(s, "t");
    assert_int_equal(unlink(tuned), 0);
    study_judge(s);
    check(s, "maker", tuned, STATE_STALE, "/t is missing or was changed");
    check(s, "maker", in_folder(s, "b"), STATE_FRESH, "");
    put(s, "t", "made\n"); /* as it was, but for its time */
    set_time(tuned, 0);
    study_judge(s);
    check(s, "maker", tuned, STATE_STALE, "/t is missing or was changed");
    study_make(s, study_node(s, "maker", tuned));
    study_judge(s);
    check(s, "maker", tuned, STATE_FRESH, "");
    check(s, "ground", tuned, STATE_STALE, "the files it reads changed");
    /* the list of them is gone */
    struct bench *b = &s->bench;
    struct h5 *h;
    struct table none;
    table_init(&none, "skipped", &b->arena);
    assert_int_equal(h5_create(in_folder(s, "other.h5"), &b->arena, &h, &b->err), ERR_OK);
    int i = study_node(s, "maker", tuned);
    h5_table_write(h, "skipped", &none, &b->err);
    fresh_mark(&s->dag, i, &s->all[i], h, &b->err);
    assert_int_equal(h5_close(h, &b->err), ERR_OK);
    assert_int_equal(digest_seal(in_folder(s, "other.h5"), &b->arena, &b->err), ERR_OK);
    assert_int_equal(rename(in_folder(s, "other.h5"), s->dag.nodes[i].path), 0);
    study_judge(s);
    check(s, "maker", tuned, STATE_STALE, "its list of written files is damaged");
}

/* A study moved to another folder writes its files there: they are others. */
static void moved_study(void **state)
{
    struct study *s = *state;
    begin(s, HEAD CELLS "stages: {maker: {}, ground: {needs: maker}}\n");
    assert_int_equal(rename(in_folder(s, "out"), in_folder(s, "out2")), 0);
    study_read(s, "study: s\noutput: ${DIR}/out2\n" CELLS "stages: {maker: {}, ground: {needs: maker}}\n");
    study_judge(s);
    check(s, "maker", in_folder(s, "t"), STATE_STALE, "its parameters changed");
    /* one that writes nothing beside its artifact is what it was */
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    assert_int_equal(rename(in_folder(s, "out"), in_folder(s, "out3")), 0);
    study_read(s, "study: s\noutput: ${DIR}/out3\n" CELLS STAGES);
    study_judge(s);
    check(s, "joint", s->config.cells[0].base, STATE_FRESH, "");
}

static void no_memory(void **state)
{
    struct study *s = *state;
    struct bench *b = &s->bench;
    put_checkpoints(s);
    begin(s, HEAD CELLS STAGES);
    int i = study_node(s, "ground", s->config.cells[0].base), done = 0;
    for (size_t more = 0; !done; more += 128) {
        struct arena a;
        arena_init(&a, &b->mem);
        err_clear(&b->err);
        b->mem.budget_bytes = b->mem.live_bytes + more + 1;
        headers_round(&s->headers);
        err_t code = fresh_node(&s->dag, i, s->all, &s->headers, &a, &b->err);
        assert_true(more < 1000000 && (code == ERR_OK || code == ERR_SYSTEM));
        done = code == ERR_OK && s->all[i].state == STATE_FRESH;
        arena_release(&a);
    }
    b->mem.budget_bytes = 0;
    study_judge(s);
}

int main(void)
{
    h5_start();
    const struct CMUnitTest tests[] = {
        TEST_STUDY(missing_and_partial),
        TEST_STUDY(names),
        TEST_STUDY(damaged),
        TEST_STUDY(other_keys),
        TEST_STUDY(parameters),
        TEST_STUDY(a_cell_more),
        TEST_STUDY(files),
        TEST_STUDY(bytes),
        TEST_STUDY(without_samples),
        TEST_STUDY(came_later),
        TEST_STUDY(folders),
        TEST_STUDY(written_files),
        TEST_STUDY(moved_study),
        TEST_STUDY(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
