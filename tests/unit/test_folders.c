/* Folders as people have them: the hub's cache, what is known and not read, and where the model is instead.
 * That every kind is told by its name stands in fail/test_refused.py. */
#include "unitlib.h"

#include <errno.h>

#include "formats/checkpoint.h"
#include "formats/folders/hub.h"
#include "formats/folders/unread.h"

static const char *in_dir(const struct bench *b, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", b->folder, name);
    return path;
}

/* A file with that text, and the folders that lead to it. */
static void put(const struct bench *b, const char *name, const char *text)
{
    char path[512];
    in_dir(b, name, path);
    for (char *p = path + strlen(b->folder) + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            if (mkdir(path, 0700) != 0)
                assert_int_equal(errno, EEXIST);
            *p = '/';
        }
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* The smallest model: one tensor. */
static void put_model(const struct bench *b, const char *name)
{
    char file[300], path[512];
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}} ";
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    put(b, file, "");
    FILE *out = fopen(in_dir(b, file, path), "wb");
    const unsigned char length[8] = {sizeof header - 1};
    assert_true(fwrite(length, 1, 8, out) == 8 && fputs(header, out) >= 0 && fputs("ab", out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void says(const struct bench *b, err_t code, err_t expected, const char *words)
{
    if (code != expected || b->err.code != expected || !strstr(b->err.text, words))
        fail_msg("code %d, expected %d and \"%s\": %s", (int)code, (int)expected, words, b->err.text);
}

static void refuse_folder(struct bench *b, const char *name, const char *words)
{
    char path[512];
    err_clear(&b->err);
    says(b, unread_refuse_folder(in_dir(b, name, path), &b->arena, &b->err), words[0] ? ERR_DATA : ERR_OK,
         words);
    assert_int_equal(unread_knows(path), words[0] && !strstr(words, "has not ended"));
}

static void refuse_file(struct bench *b, const char *name, const char *words)
{
    char path[512];
    err_clear(&b->err);
    says(b, unread_refuse_file(in_dir(b, name, path), &b->arena, &b->err), words[0] ? ERR_DATA : ERR_OK,
         words);
}

static void test_formats(void **state)
{
    struct bench *b = *state;
    put(b, "t/config.json", "{}");
    refuse_folder(b, "t", "");
    refuse_folder(b, "absent", "");
    put(b, "t/x.gguf", "GGUF");
    refuse_folder(b, "t", "t: a GGUF file of llama.cpp (x.gguf), which is not read: convert it");
    put(b, "w/blob.incomplete", "");
    refuse_folder(b, "w", "has not ended (blob.incomplete)");
    put(b, "u/a/default/x", "");
    refuse_folder(b, "u", "");
    put(b, "u/a/default/manifest.ocdbt", "");
    refuse_folder(b, "u", "a checkpoint of JAX (orbax, OCDBT) (a/default/manifest.ocdbt)");
    put(b, "v/.zarray", "");
    refuse_folder(b, "v", ""); /* one level further down alone */
    refuse_file(b, "t/x.gguf", "x.gguf: a GGUF file");
    put(b, "x.bin", "GGUF\3");
    refuse_file(b, "x.bin", "x.bin: a GGUF file");
    put(b, "x.pt", "GGU");
    refuse_file(b, "x.pt", "");
    refuse_file(b, "absent.pt", "");
    put(b, "consolidated.00.pth", "PK"); /* all of a model */
    refuse_file(b, "consolidated.00.pth", "");
    put(b, "consolidated.01.pth", "PK");
    refuse_file(b, "consolidated.00.pth", "cut for tensor parallelism");
}

static void test_places(void **state)
{
    struct bench *b = *state;
    char path[512];
    put(b, "run/tokenizer.json", "{}");
    put_model(b, "run/step-9");
    refuse_folder(b, "run", "its folder step-9 holds one: name ");
    put_model(b, "run/step-10");
    refuse_folder(b, "run", "holds 2 checkpoints (step-9, step-10) and is none itself");
    assert_non_null(strstr(b->err.text, "run/step-{step}"));
    put_model(b, "run/final");
    refuse_folder(b, "run",
                  "holds 3 checkpoints (final, step-9, step-10) and is none itself: name one of them");
    put(b, "run/optim/optimizer.bin", "");
    err_clear(&b->err);
    says(b, unread_refuse_beside(in_dir(b, "run/optim", path), &b->arena, &b->err), ERR_DATA,
         "holds the states of an optimiser (optimizer.bin), no model: the model is beside it, in ");
    assert_non_null(strstr(b->err.text, "run: final, step-9, step-10"));
    put(b, "run/final/optimizer.pt", "");
    refuse_file(b, "run/final/optimizer.pt", "the model is in its folder: name ");
    put(b, "lone/tokenizer.json", "");
    err_clear(&b->err);
    says(b, unread_refuse_beside(in_dir(b, "lone", path), &b->arena, &b->err), ERR_DATA,
         "lone: holds a tokenizer (tokenizer.json), no model");
    put(b, "other/readme", "");
    err_clear(&b->err);
    says(b, unread_refuse_beside(in_dir(b, "other", path), &b->arena, &b->err), ERR_OK, "");
}

/* What the cache's folder stands for: the end of the path, or what is said. */
static void resolve(struct bench *b, err_t expected, const char *words)
{
    char path[512];
    const char *to, *note;
    err_clear(&b->err);
    err_t code = hub_resolve(in_dir(b, "models--a--b", path), &to, &note, &b->arena, &b->err);
    if (expected != ERR_OK)
        says(b, code, expected, words);
    else if (code != ERR_OK || strcmp(to + strlen(to) - strlen(words), words) != 0)
        fail_msg("%s, expected %s: %s", to, words, b->err.text);
    else
        assert_true((note != NULL) == (strcmp(to, path) != 0));
}

static void test_hub(void **state)
{
    struct bench *b = *state;
    struct checkpoint c;
    char path[512];
    put(b, "models--a--b/readme", "");
    resolve(b, ERR_OK, "models--a--b");
    put_model(b, "models--a--b/snapshots/1f");
    resolve(b, ERR_OK, "models--a--b"); /* a folder of that name may be anyone's */
    put(b, "models--a--b/blobs/x", "");
    resolve(b, ERR_OK, "models--a--b/snapshots/1f");
    assert_true(checkpoint_exists(in_dir(b, "models--a--b", path)));
    assert_int_equal(checkpoint_open(&c, path, NULL, &b->arena, &b->err), ERR_OK);
    assert_int_equal(c.ntensors, 1);
    assert_string_equal(c.path, path);
    assert_string_equal(c.note, "snapshot 1f of the hub's cache");
    checkpoint_close(&c);
    put_model(b, "models--a--b/snapshots/2f");
    resolve(b, ERR_DATA, "with 2 snapshots (1f, 2f) and no refs/main");
    put(b, "models--a--b/refs/main", "2f\n");
    resolve(b, ERR_OK, "snapshots/2f");
    put(b, "models--a--b/refs/main", "3f");
    resolve(b, ERR_DATA, "refs/main names snapshot 3f, but snapshots holds 1f, 2f");
    static const char *const bad[] = {"", "../1f", "/tmp", "..", "1f/../2f", "\x1b[31m"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(b, "models--a--b/refs/main", bad[i]);
        resolve(b, ERR_DATA, "refs/main: expected the name of a snapshot");
    }
    put(b, "models--a--b/snapshots/4f/config.json", "{}");
    put(b, "models--a--b/refs/main", "4f");
    resolve(b, ERR_OK, "snapshots/4f");
    assert_false(checkpoint_exists(path));
    put(b, "models--a--b/blobs/y.incomplete", "");
    resolve(b, ERR_DATA, "has not ended (y.incomplete)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_formats), TEST_FOLDER(test_places),
                                       TEST_FOLDER(test_hub)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
