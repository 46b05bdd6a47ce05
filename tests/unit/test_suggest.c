/* The rules of rename that are proposed for names that do not match: which, how many names they say to join,
 * and that they do, when they are taken as they are written. */
#include "unitlib.h"

#include "compare/match.h"
#include "compare/names/suggest.h"

enum { MOST = 12, MOST_RULES = 8 };

struct side {
    struct checkpoint c;
    struct stored_tensor tensors[MOST];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stored_tensor *)a)->name, ((const struct stored_tensor *)b)->name);
}

static void make(struct side *s, const char *path, const char *const *names)
{
    memset(s, 0, sizeof *s);
    s->c.path = path;
    s->c.tensors = s->tensors;
    for (; names[s->c.ntensors]; s->c.ntensors++)
        s->tensors[s->c.ntensors] = (struct stored_tensor){.name = names[s->c.ntensors],
                                                           .dtype = DTYPE_BF16,
                                                           .ndim = 1,
                                                           .dims = {4},
                                                           .elements = 4,
                                                           .layer = -1,
                                                           .module = "m"};
    qsort(s->tensors, (size_t)s->c.ntensors, sizeof *s->tensors, by_name);
    s->c.config.type = "qwen3";
}

/* The rules of `with rename: ["...", ...]`, as YAML would have them. */
static int take_rules(char *text, const char **rules)
{
    int n = 0;
    char *end = strchr(text, ']');
    for (char *p = strchr(text, '"'); p && p < end && n < MOST_RULES; p = strchr(p, '"')) {
        char *close = strchr(p + 1, '"');
        rules[n++] = p + 1;
        *close = '\0';
        p = close + 1;
    }
    return n;
}

static const struct {
    const char *base[MOST], *tuned[MOST], *have, *want; /* want NULL: nothing is proposed */
} cases[] = {
    /* what wrappers put into names is no rule's work: see unwrapped */
    {{"model.a.w", "model.b.w", "z"}, {"module.model.a.w", "module.model.b.w", "y"}, NULL, NULL},
    {{"model.a.w", "model.b.w"},
     {"module.policy.model.a.w", "module.policy.model.b.w"},
     NULL,
     "with rename: [\"module.policy. ->\"] 2 of 2 match"},
    {{"model.layers.0.q", "visual.blocks.0.q", "lm_head.weight"},
     {"model.language_model.layers.0.q", "model.visual.blocks.0.q", "lm_head.weight"},
     NULL,
     "with rename: [\"model.language_model. -> model.\", \"model.visual. -> visual.\"] 3 of 3 match"},
    {{"model.language_model.layers.0.q", "model.visual.blocks.0.q", "lm_head.weight"},
     {"model.layers.0.q", "visual.blocks.0.q", "lm_head.weight"},
     NULL,
     "with rename: [\"model. -> model.language_model.\", \"visual. -> model.visual.\"] 3 of 3 match"},
    {{"language_model.model.layers.0.q", "language_model.lm_head.weight", "vision_tower.q",
      "multi_modal_projector.q"},
     {"model.language_model.layers.0.q", "lm_head.weight", "model.vision_tower.q",
      "model.multi_modal_projector.q"},
     NULL,
     "with rename: [\"model.language_model. -> language_model.model.\", \"lm_head. -> language_model.lm_head.\", "
     "\"model.vision_tower. -> vision_tower.\", \"model.multi_modal_projector. -> multi_modal_projector.\"] 4 of "
     "4 match"},
    {{"model.layers.0.q", "lm_head.x"},
     {"language_model.model.layers.0.q", "language_model.lm_head.x", "vision_tower.q"},
     NULL,
     "with rename: [\"language_model. ->\"] 2 of 2 match"},
    {{"model.layers.0.q", "model.norm.w", "lm_head.x"},
     {"layers.0.q", "norm.w", "lm_head.x"},
     NULL,
     "with rename: [\"layers. -> model.layers.\", \"norm. -> model.norm.\"] 3 of 3 match"},
    {{"h.0.q", "wte.weight"},
     {"transformer.h.0.q", "transformer.wte.weight"},
     NULL,
     "with rename: [\"transformer. ->\"] 2 of 2 match"},
    {{"actor.model.q", "actor.model.k"},
     {"model.q", "model.k"},
     NULL,
     "with rename: [\"* -> actor.*\"] 2 of 2 match"},
    {{"model.q", "model.k"},
     {"policy.net.model.q", "policy.net.model.k", "critic.model.q"},
     NULL,
     "with rename: [\"policy.net. ->\"] 2 of 2 match"},
    {{"model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.weight", "model.norm.weight",
      "lm_head.weight"},
     {"module.tok_embeddings.weight", "module.layers.0.attention.wo.weight", "module.norm.weight",
      "module.output.weight"},
     NULL,
     "with rename: [\"module. ->\", \"torchtitan\"] 4 of 4 match"},
    {{"model.q", "model.k"},
     {"module.model.x.q", "module.model.k"},
     "*.x.q -> *.q",
     "with rename: [\"*.x.q -> *.q\", \"module. ->\"] 2 of 2 match"},
    {{"model.q"}, {"other.k"}, NULL, NULL},
    {{"model.q", "visual.blocks.0.q"}, {"model.q", "vision.0.q"}, NULL, NULL},
    {{"model.layers.0.q"}, {"visual.blocks.0.q"}, NULL, NULL},
    {{"model.q"}, {"\"; rm -rf *; .model.q"}, NULL, NULL}, /* hostile names go into no rule */
};

static void test_proposals(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct side x, y;
        const char *rules[MOST_RULES] = {cases[i].have};
        struct text_list have = {cases[i].have != NULL, rules};
        make(&x, "BASE", cases[i].base);
        make(&y, "TUNED", cases[i].tuned);
        const char *got = suggest_rename(&x.c, &y.c, &have, &b->arena);
        if (!cases[i].want || !got || strcmp(got, cases[i].want) != 0) {
            if (got != cases[i].want) /* both NULL is right */
                fail_msg("case %zu: %s\nexpected: %s", i, got ? got : "nothing",
                         cases[i].want ? cases[i].want : "nothing");
            continue;
        }
        char *text = arena_strdup(&b->arena, got, &b->err);
        struct match m;
        struct match_policy policy = {.skip_unmatched = 1, .rename = {take_rules(text, rules), rules}};
        assert_int_equal(match_build(&m, &x.c, &y.c, &policy, "", "", NULL, &b->arena, &b->err), ERR_OK);
        char matched[40];
        snprintf(matched, sizeof matched, "] %lld of %lld match", (long long)m.main.layout.ntensors,
                 (long long)x.c.ntensors);
        if (!strstr(got, matched))
            fail_msg("case %zu: its rules match %lld, and it says: %s", i, (long long)m.main.layout.ntensors,
                     got);
    }
}

/* Both sides' first names, and the proposal, stand in the message. */
static void test_message(void **state)
{
    struct bench *b = *state;
    static const char *const base[] = {"model.a", "model.b", "model.c", "model.d", "same", NULL};
    static const char *const tuned[] = {"policy.model.a", "policy.model.b", "same", NULL};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    make(&x, "BASE", base);
    make(&y, "TUNED", tuned);
    assert_int_equal(match_build(&m, &x.c, &y.c, &policy, "", "", NULL, &b->arena, &b->err), ERR_DATA);
    static const char *const parts[] = {
        "tensors in the base only: 4, in the tuned only: 2; the base's are model.a, model.b, model.c, ...; the "
        "tuned side's are policy.model.a, policy.model.b; expected",
        "; with rename: [\"policy. ->\"] 3 of 5 match"};
    for (int i = 0; i < 2; i++)
        if (!strstr(b->err.text, parts[i]))
            fail_msg("expected \"%s\": %s", parts[i], b->err.text);
}

static const struct {
    const char *base[MOST], *tuned[MOST], *words; /* taken off; NULL: nothing is */
    int64_t matched;
} unwrapped[] = {
    {{"model.a.w", "model.b.w"}, {"_orig_mod.model.a.w", "_orig_mod.model.b.w"}, "\"_orig_mod.\"", 2},
    {{"model.0.a.w", "model.1.b.w"},
     {"model.0._orig_mod.a.w", "model.1._orig_mod.b._orig_mod.w"},
     "\"_orig_mod.\"",
     2},
    {{"model.a.w", "model.b.w", "z"}, {"module.model.a.w", "module.model.b.w", "y"}, "\"module.\"", 2},
    {{"model.a.w"}, {"base_model.model.model.a.w"}, "\"base_model.model.\"", 1},
    {{"model.a.w", "model.b.w"},
     {"module._orig_mod.base_model.model.model._fsdp_wrapped_module.a.w",
      "module._orig_mod.base_model.model.model.b.w"},
     "\"_orig_mod.\", \"_fsdp_wrapped_module.\", \"module.\", \"base_model.model.\"",
     2},
    {{"_fsdp_wrapped_module.a.w"}, {"a.w"}, "\"_fsdp_wrapped_module.\"", 1}, /* the base's, too */
    {{"module.a.w"}, {"module.a.w"}, NULL, 1},                               /* they match as they are */
    {{"a.w", "b.w"}, {"a.w", "module.a.w", "b.w"}, NULL, 2},                 /* two would be one */
    {{"a.w"}, {"my_module.a.w"}, NULL, 0},                                   /* another word */
    {{"a.w"}, {"a.module.b.w"}, NULL, 0},
};

/* Wrappers' words are taken off unasked where more names match then, and it is said. */
static void test_unwrapped(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < sizeof unwrapped / sizeof *unwrapped; i++) {
        struct side x, y;
        struct match m;
        char said[300] = "";
        struct match_policy policy = {.skip_unmatched = 1};
        make(&x, "BASE", unwrapped[i].base);
        make(&y, "TUNED", unwrapped[i].tuned);
        err_t code = match_build(&m, &x.c, &y.c, &policy, "", "", NULL, &b->arena, &b->err);
        assert_int_equal(code, unwrapped[i].matched ? ERR_OK : ERR_DATA);
        err_clear(&b->err);
        if (unwrapped[i].matched)
            assert_int_equal(m.main.layout.ntensors, unwrapped[i].matched);
        if (unwrapped[i].words)
            snprintf(said, sizeof said, "names are matched without %s, which wrappers of modules put there",
                     unwrapped[i].words);
        if (strcmp(m.naming ? m.naming : "", said) != 0)
            fail_msg("case %zu: said \"%s\", expected \"%s\"", i, m.naming ? m.naming : "", said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_BENCH(test_proposals), TEST_BENCH(test_message),
                                       TEST_BENCH(test_unwrapped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
