/* What config.json may hold, and what is made of it. */
#include "unitlib.h"

#include "base/file.h"
#include "formats/model_config.h"

#include <sys/resource.h>

static void test_model_config(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *text; /* NULL: no file */
        int64_t layers;
        enum model_tied tied;
        const char *problem;
    } cases[] = {
        {NULL, 0, MODEL_TIED_UNKNOWN, NULL},
        {"{}", 0, MODEL_TIED_UNKNOWN, NULL},
        {"{\"num_hidden_layers\": 61, \"tie_word_embeddings\": false}", 61, MODEL_TIED_NO, NULL},
        {"{\"text_config\": {\"num_hidden_layers\": 3, \"tie_word_embeddings\": true}}", 3, MODEL_TIED_YES,
         NULL},
        {"{\"num_hidden_layers\": null}", 0, MODEL_TIED_UNKNOWN, NULL},
        {"{\"num_hidden_layers\": -1}", 0, MODEL_TIED_UNKNOWN, "num_hidden_layers"},
        {"{\"num_hidden_layers\": 1e3}", 0, MODEL_TIED_UNKNOWN, "num_hidden_layers"},
        {"{\"num_hidden_layers\": \"4\"}", 0, MODEL_TIED_UNKNOWN, "found a text"},
        {"[1]", 0, MODEL_TIED_UNKNOWN, "expected a JSON map"},
        {"{\"x\": ", 0, MODEL_TIED_UNKNOWN, "config.json"},
        {"", 0, MODEL_TIED_UNKNOWN, "config.json"},
    };
    char path[200], file[200];
    snprintf(path, sizeof path, "%s/config.json", b->folder);
    snprintf(file, sizeof file, "%s/model.safetensors", b->folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config m;
        if (cases[i].text) {
            unlink(path);
            assert_int_equal(file_write(path, cases[i].text, (int64_t)strlen(cases[i].text), &b->err),
                             ERR_OK);
        }
        assert_int_equal(model_config_read(&m, i % 2 ? b->folder : file, &b->arena, &b->err), ERR_OK);
        if (m.layers != cases[i].layers || m.tied != cases[i].tied || !m.problem != !cases[i].problem ||
            !m.path != !cases[i].text || (m.problem && !strstr(m.problem, cases[i].problem)))
            fail_msg("case %zu: %lld layers, tied %d, problem %s", i, (long long)m.layers, (int)m.tied,
                     m.problem ? m.problem : "none");
    }
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* not waited for */
    struct model_config m;
    assert_int_equal(model_config_read(&m, b->folder, &b->arena, &b->err), ERR_OK);
    assert_non_null(m.problem);
}

/* No descriptor is left: that says nothing of the model, and is over the next time. */
static void test_passing_error(void **state)
{
    struct bench *b = *state;
    const char text[] = "{\"num_hidden_layers\": 7}";
    char path[200];
    struct model_config m;
    struct rlimit before, none;
    snprintf(path, sizeof path, "%s/config.json", b->folder);
    assert_int_equal(file_write(path, text, (int64_t)strlen(text), &b->err), ERR_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    err_t code = model_config_read(&m, b->folder, &b->arena, &b->err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(code, ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "config.json: cannot be opened"));
    err_clear(&b->err);
    assert_int_equal(model_config_read(&m, b->folder, &b->arena, &b->err), ERR_OK);
    assert_null(m.problem);
    assert_int_equal(m.layers, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_model_config), TEST_FOLDER(test_passing_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
