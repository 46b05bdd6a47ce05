/* Headers: a checkpoint is opened once a round and as long as nothing of it changes, is opened anew whatever
 * of it did, and goes when its memory is wanted and nobody has borrowed it. */

#include "unitlib.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "formats/headers.h"

struct cache {
    struct bench bench;
    struct headers headers;
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct cache), WITH_FOLDER) != 0)
        return -1;
    struct cache *s = *state;
    headers_init(&s->headers, &s->bench.mem);
    return 0;
}

static int teardown(void **state)
{
    struct cache *s = *state;
    headers_release(&s->headers);
    return bench_delete(state);
}

static char *in_folder(struct cache *s, const char *name)
{
    char *path = arena_printf(&s->bench.arena, &s->bench.err, "%s/%s", s->bench.folder, name);
    assert_non_null(path);
    return path;
}

/* A file of `elements` zeros in one tensor, under a name that did not stand there before. */
static void put_file(struct cache *s, const char *name, const char *tensor, int64_t elements)
{
    struct stored_tensor t = {.name = tensor, .dtype = DTYPE_F32, .ndim = 1, .dims = {elements}};
    char *zeros;
    assert_int_equal(arena_array(&s->bench.arena, "test", 4 * elements, &zeros, &s->bench.err), ERR_OK);
    const void *bytes[] = {zeros};
    char *path = in_folder(s, name), *partial = in_folder(s, "new");
    assert_int_equal(model_write(partial, &t, 1, bytes, NULL, 0, &s->bench.arena, &s->bench.err), 0);
    assert_int_equal(rename(partial, path), 0);
}

static void put_text(struct cache *s, const char *name, const char *text)
{
    FILE *f = fopen(in_folder(s, name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Sets a file's time, so that no clock's grain hides a change. */
static void set_time(struct cache *s, const char *name, int sec)
{
    struct timespec times[2] = {{.tv_sec = sec}, {.tv_sec = sec}};
    assert_int_equal(utimensat(AT_FDCWD, in_folder(s, name), times, 0), 0);
}

/* Asks for the checkpoint in a new round: its parameters, and whether it was opened for that. */
static void ask(struct cache *s, const char *name, int64_t parameters, int opened)
{
    struct checkpoint *c;
    int64_t before = s->headers.opened;
    headers_round(&s->headers);
    assert_int_equal(headers_get(&s->headers, in_folder(s, name), NULL, &c, &s->bench.err), ERR_OK);
    assert_int_equal(c->parameters, parameters);
    assert_int_equal(s->headers.opened - before, opened);
    headers_put(&s->headers, c);
}

static void opened_once(void **state)
{
    struct cache *s = *state;
    struct checkpoint *a, *b;
    assert_int_equal(mkdir(in_folder(s, "m"), 0777), 0);
    put_file(s, "m/model.safetensors", "x", 10);
    put_file(s, "one.safetensors", "x", 20);
    ask(s, "m", 10, 1);
    ask(s, "m", 10, 0);
    ask(s, "one.safetensors", 20, 1);
    ask(s, "one.safetensors", 20, 0);
    ask(s, "m", 10, 0);
    const char *path = in_folder(s, "m");
    assert_int_equal(headers_get(&s->headers, path, NULL, &a, &s->bench.err), ERR_OK);
    assert_int_equal(headers_get(&s->headers, path, NULL, &b, &s->bench.err), ERR_OK);
    assert_ptr_equal(a, b);
    assert_string_equal(a->path, path);
    headers_put(&s->headers, b);
    headers_put(&s->headers, a);
    headers_put(&s->headers, NULL);
    assert_int_equal(s->headers.opened, 2);
}

/* What is taken of it makes two of one path. */
static void by_choice(void **state)
{
    struct cache *s = *state;
    struct checkpoint *a, *b, *c;
    struct choice masters = {.weights = CHOICE_WEIGHTS_MASTERS}, on = {.base = "here"}, none = {0};
    const char *path = in_folder(s, "one.safetensors");
    put_file(s, "one.safetensors", "x", 20);
    ask(s, "one.safetensors", 20, 1);
    assert_int_equal(headers_get(&s->headers, path, &none, &a, &s->bench.err), ERR_OK);
    assert_int_equal(s->headers.opened, 1);
    assert_int_equal(headers_get(&s->headers, path, &masters, &b, &s->bench.err), ERR_OK);
    assert_int_equal(headers_get(&s->headers, path, &on, &c, &s->bench.err), ERR_OK);
    assert_true(a != b && b != c && a != c);
    headers_put(&s->headers, c);
    headers_put(&s->headers, b);
    char *again = strdup("here");
    on.base = again;
    assert_int_equal(headers_get(&s->headers, path, &on, &b, &s->bench.err), ERR_OK);
    assert_ptr_equal(b, c);
    free(again);
    headers_put(&s->headers, b);
    headers_put(&s->headers, a);
    assert_int_equal(s->headers.opened, 3);
}

static void read_through(void **state)
{
    struct cache *s = *state;
    struct checkpoint *c;
    float values[10];
    put_file(s, "one.safetensors", "x", 10);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(headers_get(&s->headers, in_folder(s, "one.safetensors"), NULL, &c, &s->bench.err),
                         ERR_OK);
        assert_int_equal(checkpoint_read(c, &c->tensors[0], 0, 10, values, &s->bench.err), ERR_OK);
        assert_int_equal(c->nopen, 1);
        headers_put(&s->headers, c);
        assert_int_equal(c->nopen, 0);
    }
}

/* What decides what the checkpoint is changes: it is opened anew, and not again after that. */
static void changes(void **state)
{
    struct cache *s = *state;
    assert_int_equal(mkdir(in_folder(s, "m"), 0777), 0);
    put_file(s, "m/model.safetensors", "x", 10);
    ask(s, "m", 10, 1);
    put_file(s, "m/model.safetensors", "x", 11); /* replaced */
    ask(s, "m", 11, 1);
    ask(s, "m", 11, 0);
    set_time(s, "m/model.safetensors", 1000); /* touched */
    ask(s, "m", 11, 1);
    put_text(s, "m/config.json", "{\"num_hidden_layers\": 3}"); /* new beside it */
    ask(s, "m", 11, 1);
    put_text(s, "m/config.json", "{\"num_hidden_layers\": 4}"); /* as long as before, in its place */
    set_time(s, "m/config.json", 1000);
    ask(s, "m", 11, 1);
    ask(s, "m", 11, 0);
    put_file(s, "one.safetensors", "x", 5);
    ask(s, "one.safetensors", 5, 1);
    put_file(s, "one.safetensors", "x", 6);
    ask(s, "one.safetensors", 6, 1);
}

/* A shard, or the index, of several. */
static void shards(void **state)
{
    struct cache *s = *state;
    assert_int_equal(mkdir(in_folder(s, "m"), 0777), 0);
    put_file(s, "m/a.safetensors", "x", 10);
    put_file(s, "m/b.safetensors", "y", 20);
    put_text(s, "m/model.safetensors.index.json",
             "{\"weight_map\": {\"x\": \"a.safetensors\", \"y\": \"b.safetensors\"}}");
    ask(s, "m", 30, 1);
    ask(s, "m", 30, 0);
    put_file(s, "m/b.safetensors", "y", 21);
    ask(s, "m", 31, 1);
    put_text(s, "m/model.safetensors.index.json",
             "{\"weight_map\": {\"x\": \"a.safetensors\"                         }}");
    set_time(s, "m/model.safetensors.index.json", 1000);
    ask(s, "m", 10, 1);
}

/* Within a round nothing is looked at twice; what is borrowed stays as it was. */
static void rounds(void **state)
{
    struct cache *s = *state;
    struct checkpoint *a, *b;
    const char *path = in_folder(s, "one.safetensors");
    put_file(s, "one.safetensors", "x", 10);
    ask(s, "one.safetensors", 10, 1);
    put_file(s, "one.safetensors", "x", 11);
    assert_int_equal(headers_get(&s->headers, path, NULL, &a, &s->bench.err), ERR_OK);
    assert_int_equal(a->parameters, 10);
    headers_round(&s->headers);
    assert_int_equal(headers_get(&s->headers, path, NULL, &b, &s->bench.err), ERR_OK);
    assert_ptr_equal(a, b);
    headers_put(&s->headers, b);
    headers_put(&s->headers, a);
    ask(s, "one.safetensors", 11, 1);
}

/* What cannot be opened says why each time, and is opened as soon as it can be. */
static void refusals(void **state)
{
    struct cache *s = *state;
    for (int i = 0; i < 2; i++) {
        struct checkpoint *c = (void *)s;
        struct err e;
        err_clear(&e);
        assert_int_equal(headers_get(&s->headers, in_folder(s, "one.safetensors"), NULL, &c, &e), ERR_DATA);
        assert_null(c);
        assert_non_null(strstr(e.text, "no checkpoint"));
    }
    assert_int_equal(s->headers.opened, 0);
    put_file(s, "one.safetensors", "x", 10);
    ask(s, "one.safetensors", 10, 1);
    assert_int_equal(unlink(in_folder(s, "one.safetensors")), 0);
    struct checkpoint *c;
    struct err e;
    err_clear(&e);
    headers_round(&s->headers);
    assert_int_equal(headers_get(&s->headers, in_folder(s, "one.safetensors"), NULL, &c, &e), ERR_DATA);
}

/* Under the budget's pressure those that nobody has borrowed go, the longest held first. */
static void pressure(void **state)
{
    struct cache *s = *state;
    struct mem *m = &s->bench.mem;
    struct checkpoint *kept;
    char name[40], *buffer;
    enum { MANY = 20, FREE = 1000 };
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d.safetensors", i);
        put_file(s, name, "x", 10);
        ask(s, name, 10, 1);
    }
    size_t held = s->headers.bytes, one = held / MANY;
    const char *first = in_folder(s, "0.safetensors");
    assert_int_equal(headers_get(&s->headers, first, NULL, &kept, &s->bench.err), ERR_OK);
    m->budget_bytes = m->live_bytes + FREE;
    assert_int_equal(mem_room(m, FREE), 1);
    assert_int_equal(s->headers.bytes, held);
    assert_int_equal(arena_array(&s->bench.arena, "test", FREE + (int64_t)one / 2, &buffer, &s->bench.err),
                     ERR_OK);
    assert_true(s->headers.bytes < held && s->headers.bytes >= held - 2 * one);
    assert_int_equal(kept->parameters, 10);
    m->budget_bytes = 0;
    ask(s, "0.safetensors", 10, 0);
    ask(s, "19.safetensors", 10, 0);
    ask(s, "1.safetensors", 10, 1);
    headers_trim(&s->headers, 3 * one);
    assert_true(s->headers.bytes <= 3 * one && s->headers.bytes > 0);
    m->budget_bytes = m->live_bytes;
    assert_int_equal(mem_room(m, 4 * one), 0); /* all but the borrowed one were given */
    assert_true(s->headers.bytes > 0 && s->headers.bytes < 2 * one);
    m->budget_bytes = 0;
    headers_put(&s->headers, kept);
    headers_trim(&s->headers, 0);
    assert_int_equal(s->headers.bytes, 0);
}

/* Wherever memory ends, it is an error or all is well, and nothing is held for nothing. */
static void no_memory(void **state)
{
    struct cache *s = *state;
    struct mem *m = &s->bench.mem;
    put_file(s, "one.safetensors", "x", 10);
    const char *path = in_folder(s, "one.safetensors");
    for (size_t more = 0;; more += 64) {
        struct checkpoint *c;
        struct err e;
        err_clear(&e);
        headers_round(&s->headers);
        m->budget_bytes = m->live_bytes + more + 1;
        err_t code = headers_get(&s->headers, path, NULL, &c, &e);
        m->budget_bytes = 0;
        assert_true(more < 1000000 && (code == ERR_OK || code == ERR_SYSTEM));
        headers_put(&s->headers, c);
        if (code == ERR_OK)
            break;
        assert_int_equal(s->headers.bytes, 0);
    }
    ask(s, "one.safetensors", 10, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(opened_once), TEST(by_choice), TEST(read_through),
                                       TEST(changes),     TEST(shards),    TEST(rounds),
                                       TEST(refusals),    TEST(pressure),  TEST(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
