/* Config: files that are no config, or are made to do harm: refused, in bounded memory, each with a
 * complaint. */

#include "configlib.h"

#include "base/text.h"

static void no_yaml(void **state)
{
    struct fixture *b = *state;
    REFUSE(b, "", "1:1: the file is empty");
    REFUSE(b, "# nothing\n", "1:1: the file is empty");
    REFUSE(b, "---\n", "the config: expected a map, found nothing");
    REFUSE(b, "study: a\n\toutput: b\n", "s.yaml:2:1: not valid YAML:");
    REFUSE(b, "study: a\nmatrix: {families: [a, b\nseeds: 1\n", "not valid YAML:");
    REFUSE(b, "study: \"a\n", "not valid YAML:");
    REFUSE(b, "%YAML 3.0\n---\na: 1\n", "not valid YAML:");
    REFUSE(b, "study: a\noutput: \x01\n", "2:9: not valid YAML: control characters");
    REFUSE(b, "study: a\nout\xc3\xa9\xff: b\n", "2:5: not valid UTF-8");
    REFUSE(b, "\xff\xfe\n", "1:1: not valid UTF-8");
    REFUSE(b, HEAD CELLS STAGES "---\nstudy: b\n", "5:1: a second document");
    static const char *const nul[] = {"2:3: the file contains the character NUL", NULL};
    refuse_bytes(b, "a\nbc\0d", 6, nul);
    REFUSE(b, "study: \"a\\0b\"\noutput: o\n" CELLS STAGES, "1:8: a text must not contain the character NUL");
}

static void aliases(void **state)
{
    struct fixture *b = *state;
    /* each level nine times the one before: 9^9 items if they were copied */
    struct text t = {.arena = &b->bench.arena};
    text_add(&t, &b->bench.err, HEAD CELLS STAGES "a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (int c = 'b'; c <= 'i'; c++) {
        text_add(&t, &b->bench.err, "%c: &%c [", c, c);
        for (int i = 0; i < 9; i++)
            text_add(&t, &b->bench.err, "%s*%c", i ? "," : "", c - 1);
        text_add(&t, &b->bench.err, "]\n");
    }
    char *bomb = strdup(t.text);
    assert_int_equal(parse(b, bomb), ERR_CONFIG);
    assert_int_equal(b->problems.n, 10);
    int said = 0;
    for (int i = 0; i < 10; i++)
        said += strstr(b->problems.list[i].text, "anchors and aliases") != NULL;
    assert_int_equal(said, 1);
    assert_true(b->bench.mem.peak_bytes < 1000000);
    free(bomb);
    REFUSE(b, "study: &s demo\noutput: *s\n" CELLS STAGES, "1:8: anchors and aliases");
    REFUSE(b, "study: *s\noutput: o\n" CELLS STAGES, "1:8: anchors and aliases");
    REFUSE(b, HEAD CELLS "stages: {load: {<<: *x}}\n", "anchors and aliases");
    REFUSE(b, "study: !!python/object:os.system x\noutput: !a b\n" CELLS STAGES,
           "1:8: tags (!) are not supported");
}

static void deep(void **state)
{
    struct fixture *b = *state;
    static char text[200000];
    for (int kind = 0; kind < 4; kind++) {
        static const char *const openers[] = {"[", "{a: ", "- ", "? "};
        size_t used = 0, n = strlen(openers[kind]);
        while (used + n < sizeof text - 1) {
            memcpy(text + used, openers[kind], n);
            used += n;
        }
        text[used] = '\0';
        REFUSE(b, text, "nested deeper than 32 levels");
    }
}

static void many_keys(void **state)
{
    struct fixture *b = *state;
    struct text t = {.arena = &b->bench.arena};
    text_add(&t, &b->bench.err, HEAD CELLS "stages: {load: {}}\nmatrix:\n");
    for (int i = 0; i < 20000; i++)
        text_add(&t, &b->bench.err, " k%d: 1\n", i % 10000);
    char *copy = strdup(t.text);
    assert_int_equal(parse(b, copy), ERR_CONFIG);
    assert_int_equal(b->problems.n, PROBLEMS_LISTED);
    assert_int_equal(b->problems.n + b->problems.more, 10000 + 10000 + 5);
    free(copy);
}

static void no_memory(void **state)
{
    struct fixture *b = *state;
    int done = 0;
    for (size_t budget = 100; !done; budget += budget < 4000 ? 53 : 1000) {
        b->bench.mem.budget_bytes = budget;
        err_t code = parse(b, full);
        done = code == ERR_OK;
        assert_true(done || code == ERR_SYSTEM);
        assert_true(budget < 1000000);
    }
    done = 0;
    for (size_t budget = 100; !done; budget += 97) {
        b->bench.mem.budget_bytes = budget;
        err_t code = parse(b, "study: ~\nmatrix: {a: b}\nstages: {rank: {a: b, needs: rank}}\n");
        done = code == ERR_CONFIG;
        assert_true(done || code == ERR_SYSTEM);
        assert_true(budget < 1000000);
    }
    b->bench.mem.budget_bytes = 0;
}

/* Every prefix and every one-byte change of a config is either taken or complained of, never worse. */
static void damaged(void **state)
{
    struct fixture *b = *state;
    char text[sizeof full];
    for (size_t n = 0; n < sizeof full - 1; n++) {
        err_t code = parse_bytes(b, full, (int64_t)n);
        assert_true(code == ERR_OK || (code == ERR_CONFIG && b->problems.n > 0));
        static const char changes[] = "\0:{}[],\"'*&!$\n\xff";
        memcpy(text, full, sizeof full);
        for (size_t k = n % 4; k < sizeof changes - 1; k += 4) {
            text[n] = changes[k];
            code = parse_bytes(b, text, sizeof full - 1);
            assert_true(code == ERR_OK || (code == ERR_CONFIG && b->problems.n > 0));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(no_yaml),   TEST(aliases),   TEST(deep),
                                       TEST(many_keys), TEST(no_memory), TEST(damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
