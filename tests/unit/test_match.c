/* Which tensors are compared with each other: names and renames, tensors on one side, heights that differ,
 * tied heads, types, FP8 scales, layers of multi-token prediction. From lists of tensors alone. */
#include "unitlib.h"

#include "compare/match.h"
#include "compare/names/rename.h"

enum { MOST = 12 };

/* A tensor in few words. */
struct t {
    const char *name;
    enum dtype dtype;
    int64_t dims[2]; /* as many as are not 0 */
};

struct side {
    struct checkpoint c;
    struct stored_tensor tensors[MOST];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct stored_tensor *)a)->name, ((const struct stored_tensor *)b)->name);
}

static void make(struct side *s, const char *path, const struct t *t)
{
    memset(s, 0, sizeof *s);
    s->c.path = path;
    s->c.tensors = s->tensors;
    for (; t->name; t++) {
        struct stored_tensor *x = &s->tensors[s->c.ntensors++];
        *x = (struct stored_tensor){.name = t->name, .dtype = t->dtype, .elements = 1};
        for (; x->ndim < 2 && t->dims[x->ndim]; x->ndim++)
            x->elements *= x->dims[x->ndim] = t->dims[x->ndim];
        x->layer = tensor_layer(t->name);
        x->module = "module";
    }
    qsort(s->tensors, (size_t)s->c.ntensors, sizeof *s->tensors, by_name);
}

/* As where a checkpoint is opened. */
static void decode(struct bench *b, struct side *s)
{
    for (int64_t i = 0; i < s->c.ntensors; i++)
        s->tensors[i].decoding = NULL;
    struct stored_list list = {.ntensors = s->c.ntensors, .tensors = s->tensors};
    assert_int_equal(decoder_resolve(&list, NULL, &b->arena, &b->err), ERR_OK);
}

static err_t build(struct bench *b, struct match *m, struct side *base, struct side *tuned,
                   const struct match_policy *policy, struct table *skipped)
{
    err_clear(&b->err);
    decode(b, base);
    decode(b, tuned);
    table_init(skipped, "skipped", &b->arena);
    return match_build(m, &base->c, &tuned->c, policy, "cell", "delta", skipped, &b->arena, &b->err);
}

/* "a b" of the names of a layout. */
static const char *names(const struct layout *l)
{
    static char text[400];
    text[0] = '\0';
    for (int64_t i = 0; i < l->ntensors; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", l->tensors[i].name);
    }
    return text;
}

static void refused(struct bench *b, err_t got, err_t want, const char *what)
{
    if (got != want || !strstr(b->err.text, what))
        fail_msg("code %d, expected %d and \"%s\": %s", (int)got, (int)want, what, b->err.text);
}

static void row(const struct table *t, int64_t i, const char *tensor, int64_t parameters, const char *reason)
{
    assert_true(i < t->nrows);
    assert_string_equal(table_text(t, i, "tensor"), tensor);
    assert_string_equal(table_text(t, i, "reason"), reason);
    assert_int_equal(table_int(t, i, "parameters"), parameters);
}

static void covers(const struct match *m, int64_t base, int64_t of_base, int64_t tuned, int64_t of_tuned)
{
    const struct coverage *c = &m->coverage;
    assert_int_equal(c->parameters[0], base);
    assert_int_equal(c->compared[0], of_base);
    assert_int_equal(c->parameters[1], tuned);
    assert_int_equal(c->compared[1], of_tuned);
}

static void test_names(void **state)
{
    struct bench *b = *state;
    static const struct t two[] = {{"a", DTYPE_BF16, {2}}, {"b", DTYPE_BF16, {3}}, {NULL, 0, {0}}};
    static const struct t other[] = {{"b", DTYPE_F32, {3}}, {"c", DTYPE_F32, {7, 2}}, {NULL, 0, {0}}};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", two);
    make(&y, "TUNED", two);
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout), "a b");
    assert_int_equal(skipped.nrows + m.aside.layout.ntensors + m.skipped_parameters, 0);
    make(&y, "TUNED", other);
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "in the base only: 1, in the tuned only: 1");
    policy.skip_unmatched = 1;
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout), "b");
    assert_int_equal(skipped.nrows, 2);
    row(&skipped, 0, "a", 2, "only in the base checkpoint");
    row(&skipped, 1, "c", 14, "only in the tuned checkpoint");
    assert_int_equal(m.skipped_parameters, 16);
    assert_ptr_equal(m.main.base[0], checkpoint_find(&x.c, "b"));
    assert_ptr_equal(m.main.tuned[0], checkpoint_find(&y.c, "b"));
    y.c.ntensors = 0;
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "nothing to compare: of the tensors of BASE (2)");
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *problem; /* NULL: it is one */
    } cases[] = {
        {"a.* -> *", NULL},
        {"*.x->y.*", NULL},
        {"module. ->", NULL},
        {"_orig_mod.", NULL},
        {"a.b.", "expected \"PATTERN"},
        {"*.", "expected \"PATTERN"},
        {".", "expected \"PATTERN"},
        {"  model.a  ->  model.b  ", NULL},
        {"a.*", "expected \"PATTERN -> REPLACEMENT\", found \"a.*\""},
        {"a -> b -> c", "expected \"PATTERN"},
        {" -> b", "the pattern is empty"},
        {"a.* -> b", "must both have a *"},
        {"a -> *", "must both have a *"},
        {"*.* -> *", "at most one *"},
        {"* -> *.*", "at most one *"},
        {"", "expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char problem[300] = "";
        int bad = rename_check(cases[i].rule, problem, sizeof problem);
        if (!bad != !cases[i].problem || (bad && !strstr(problem, cases[i].problem)))
            fail_msg("\"%s\": %d \"%s\"", cases[i].rule, bad, problem);
    }
}

static void test_rename(void **state)
{
    struct bench *b = *state;
    static const struct t plain[] = {
        {"model.a", DTYPE_BF16, {2}}, {"model.b", DTYPE_BF16, {3}}, {"z", DTYPE_BF16, {4}}, {NULL, 0, {0}}};
    static const struct t wrapped[] = {{"base.model.b.inner", DTYPE_BF16, {3}},
                                       {"base.model.a", DTYPE_BF16, {2}},
                                       {"module.z", DTYPE_BF16, {4}},
                                       {NULL, 0, {0}}};
    struct {
        int n;
        const char *rules[3], *problem; /* NULL: names match */
    } cases[] = {
        {3, {"base.* -> *", "*.inner -> *", "module. ->"}, NULL},
        {3, {"*.inner -> *", "base.model. -> model.", "module.* -> *"}, NULL},
        {3, {"base.", "module.", "*.inner -> *"}, NULL},
        {1, {"ner."}, "matches none"},
        {1,
         {"nothing.* -> *"},
         "matches none of the 3 tensors of the tuned checkpoint TUNED (the first is base."},
        {2, {"base.* -> *", "base.* -> *"}, "\"base.* -> *\" matches none"},
        {1, {"base.model.bb -> x"}, "matches none"},
        {2, {"*.inner -> *", "base.model.b -> base.model.a"}, "base.model.a and base.model.b.inner"},
        {1, {"bad"}, "rename: expected"},
        {1, {"base.* -> *"}, "tensor model.b is in the base checkpoint"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct match_policy policy = {.rename = {cases[i].n, cases[i].rules}};
        struct side x, y;
        struct match m;
        struct table skipped;
        make(&x, "BASE", plain);
        make(&y, "TUNED", wrapped);
        err_t code = build(b, &m, &x, &y, &policy, &skipped);
        if (cases[i].problem) {
            refused(b, code, i == 9 ? ERR_DATA : ERR_CONFIG, cases[i].problem);
            continue;
        }
        assert_int_equal(code, ERR_OK);
        assert_string_equal(names(&m.main.layout), "model.a model.b z");
        assert_string_equal(m.main.tuned[0]->name, "base.model.a");
        assert_string_equal(m.main.tuned[1]->name, "base.model.b.inner");
        assert_string_equal(m.main.tuned[2]->name, "module.z");
    }
}

static void test_rows(void **state)
{
    struct bench *b = *state;
    static const struct t low[] = {{"a", DTYPE_BF16, {5, 3}},
                                   {"lm_head.bias", DTYPE_BF16, {5}},
                                   {"same", DTYPE_BF16, {2, 2}},
                                   {NULL, 0, {0}}};
    static const struct t high[] = {{"a", DTYPE_F32, {8, 3}},
                                    {"lm_head.bias", DTYPE_F32, {8}},
                                    {"same", DTYPE_F32, {2, 2}},
                                    {NULL, 0, {0}}};
    static const struct t wide[] = {{"a", DTYPE_F32, {5, 4}},
                                    {"lm_head.bias", DTYPE_F32, {5}},
                                    {"same", DTYPE_F32, {2, 2}},
                                    {NULL, 0, {0}}};
    static const struct t line[] = {{"q.bias", DTYPE_BF16, {5}}, {NULL, 0, {0}}};
    static const struct t longer[] = {{"q.bias", DTYPE_BF16, {6}}, {NULL, 0, {0}}};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", low);
    make(&y, "TUNED", high);
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "tensor a: shape 5x3 in the base checkpoint BASE, 8x3 in the tuned checkpoint TUNED; expected "
            "the same "
            "shape: \"rows: common\"");
    policy.rows = MATCH_ROWS_COMMON;
    for (int turned = 0; turned < 2; turned++) {
        assert_int_equal(build(b, &m, turned ? &y : &x, turned ? &x : &y, &policy, &skipped), ERR_OK);
        assert_string_equal(names(&m.main.layout), "a lm_head.bias same");
        const struct layout_tensor *t = m.main.layout.tensors;
        assert_true(t[0].dims[0] == 5 && t[0].dims[1] == 3 && t[0].elements == 15 && t[1].elements == 5);
        assert_int_equal(m.main.layout.elements, 15 + 5 + 4);
        row(&skipped, 0, "a", 9, turned ? "rows 5..7 only in base" : "rows 5..7 only in tuned");
        row(&skipped, 1, "lm_head.bias", 3, turned ? "rows 5..7 only in base" : "rows 5..7 only in tuned");
        assert_int_equal(m.skipped_parameters, 12);
    }
    policy.rows = MATCH_ROWS_SKIP;
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout), "same");
    row(&skipped, 0, "a", 24, "shape 5x3 in the base, 8x3 in the tuned checkpoint");
    make(&y, "TUNED", wide);
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA, "tensor a: shape 5x3");
    make(&x, "BASE", line);
    make(&y, "TUNED", longer);
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA, "tensor q.bias: shape 5");
}

static void test_tied(void **state)
{
    struct bench *b = *state;
    static const struct t tied[] = {{"model.embed_tokens.weight", DTYPE_BF16, {5, 3}}, {NULL, 0, {0}}};
    static const struct t untied[] = {{"model.embed_tokens.weight", DTYPE_BF16, {5, 3}},
                                      {"lm_head.weight", DTYPE_BF16, {5, 3}},
                                      {NULL, 0, {0}}};
    static const struct t taller[] = {{"model.embed_tokens.weight", DTYPE_BF16, {5, 3}},
                                      {"lm_head.weight", DTYPE_BF16, {6, 3}},
                                      {NULL, 0, {0}}};
    static const struct {
        enum model_tied said;
        const struct t *head;
        int ok;
    } cases[] = {{MODEL_TIED_UNKNOWN, untied, 1}, {MODEL_TIED_UNKNOWN, taller, 0},
                 {MODEL_TIED_YES, untied, 1},     {MODEL_TIED_YES, taller, 1},
                 {MODEL_TIED_NO, untied, 0},      {MODEL_TIED_NO, taller, 0}};
    const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int turned = 0; turned < 2; turned++) {
            struct side x, y;
            struct match m;
            struct table skipped;
            make(&x, "BASE", tied);
            make(&y, "TUNED", cases[i].head);
            x.c.config.tied = cases[i].said;
            err_t code = build(b, &m, turned ? &y : &x, turned ? &x : &y, &policy, &skipped);
            if (!cases[i].ok) {
                refused(b, code, ERR_DATA, "tensor lm_head.weight is in the");
                continue;
            }
            assert_int_equal(code, ERR_OK);
            if (cases[i].head == taller) { /* which has no row of its own to be compared with */
                assert_string_equal(names(&m.main.layout), "model.embed_tokens.weight");
                row(&skipped, 0, "lm_head.weight", 18,
                    turned ? "tied to model.embed_tokens.weight on the tuned side"
                           : "tied to model.embed_tokens.weight on the base side");
                covers(&m, turned ? 33 : 15, 15, turned ? 15 : 33, 15);
                continue;
            }
            assert_string_equal(names(&m.main.layout), "lm_head.weight model.embed_tokens.weight");
            row(&skipped, 0, "lm_head.weight", 0,
                turned ? "tied to model.embed_tokens.weight on the tuned side, and compared with it"
                       : "tied to model.embed_tokens.weight on the base side, and compared with it");
            assert_string_equal(m.main.base[0]->name,
                                turned ? "lm_head.weight" : "model.embed_tokens.weight");
            assert_string_equal(m.main.tuned[0]->name,
                                turned ? "model.embed_tokens.weight" : "lm_head.weight");
            covers(&m, turned ? 30 : 15, turned ? 30 : 15, turned ? 15 : 30, turned ? 15 : 30);
        }
}

/* A head that is an equal copy is no parameter, whatever the other side does: unless that has one of its own.
 */
static void test_copied_head(void **state)
{
    struct bench *b = *state;
    static const char head[] = "lm_head.weight";
    static const struct t tied[] = {{"model.embed_tokens.weight", DTYPE_BF16, {5, 3}}, {NULL, 0, {0}}};
    static const struct t twice[] = {
        {"model.embed_tokens.weight", DTYPE_BF16, {5, 3}}, {head, DTYPE_BF16, {5, 3}}, {NULL, 0, {0}}};
    static const struct {
        const struct t *side[2];
        int copied[2], compared;
        int64_t parameters[2];
        const char *reason; /* of the head's row; NULL: it has none */
    } cases[] = {
        {{tied, twice}, {0, 1}, 1, {15, 15}, "an equal copy of the embedding, which is no parameter"},
        {{twice, tied}, {1, 0}, 1, {15, 15}, "an equal copy of the embedding, which is no parameter"},
        {{twice, twice},
         {1, 1},
         1,
         {15, 15},
         "an equal copy of the embedding on both sides, which is no parameter"},
        {{twice, twice}, {1, 0}, 2, {15, 30}, NULL},
        {{twice, twice}, {0, 1}, 2, {30, 15}, NULL},
        {{twice, twice}, {0, 0}, 2, {30, 30}, NULL},
    };
    const struct match_policy policy = {.rows = MATCH_ROWS_FAIL, .coverage = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct side s[2];
        struct match m;
        struct table skipped;
        for (int k = 0; k < 2; k++) {
            make(&s[k], k ? "TUNED" : "BASE", cases[i].side[k]);
            s[k].c.copied_head = cases[i].copied[k] ? head : NULL;
        }
        assert_int_equal(build(b, &m, &s[0], &s[1], &policy, &skipped), ERR_OK);
        assert_int_equal(m.main.layout.ntensors, cases[i].compared);
        assert_int_equal(m.skipped_parameters, 0);
        covers(&m, cases[i].parameters[0], cases[i].parameters[0], cases[i].parameters[1],
               cases[i].parameters[1]);
        assert_int_equal(skipped.nrows, cases[i].reason != NULL);
        if (cases[i].reason)
            row(&skipped, 0, head, 0, cases[i].reason);
    }
}

/* Less than is asked for is refused, with what is left out, the largest first, and how to go on. */
static void test_coverage(void **state)
{
    struct bench *b = *state;
    static const struct t base[] = {
        {"a", DTYPE_BF16, {80}}, {"b", DTYPE_BF16, {9}}, {"c", DTYPE_BF16, {11}}, {NULL, 0, {0}}};
    static const struct t tuned[] = {{"a", DTYPE_BF16, {80}},
                                     {"x.c", DTYPE_BF16, {11}},
                                     {"h.0.attn.masked_bias", DTYPE_BF16, {500}},
                                     {NULL, 0, {0}}};
    struct match_policy policy = {.skip_unmatched = 1, .coverage = 0.8};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", base);
    make(&y, "TUNED", tuned);
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    covers(&m, 100, 80, 91, 80);
    policy.coverage = 0.81;
    refused(
        b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
        "80.00 % of the base's parameters and 87.91 % of the tuned side's are compared, expected at least "
        "81.00 % of either (base BASE, tuned TUNED): no figure would tell of the others; of 3 tensors left "
        "out the largest: c (11, only in the base checkpoint), x.c (11, only in the tuned checkpoint), b "
        "(9, only in the base checkpoint); \"coverage: any\" of delta, or a share such as 0.8, takes the "
        "comparison as it is; with rename: [\"x. ->\"] 2 of 3 match");
}

static void test_types(void **state)
{
    struct bench *b = *state;
    static const struct t base[] = {
        {"a", DTYPE_F64, {2}},     {"b", DTYPE_I64, {3}}, {"c", DTYPE_BOOL, {4}},    {"d", DTYPE_I64, {5}},
        {"e", DTYPE_F8_E5M2, {6}}, {"f", DTYPE_C64, {7}}, {"g", DTYPE_F8_E8M0, {8}}, {NULL, 0, {0}}};
    static const struct t tuned[] = {
        {"a", DTYPE_BF16, {2}},    {"b", DTYPE_I64, {3}}, {"c", DTYPE_BOOL, {4}}, {"d", DTYPE_I32, {5}},
        {"e", DTYPE_F8_E5M2, {6}}, {"f", DTYPE_C64, {7}}, {"g", DTYPE_BF16, {8}}, {NULL, 0, {0}}};
    const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", base);
    make(&y, "TUNED", tuned);
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout), "a");
    assert_string_equal(names(&m.aside.layout), "b c");
    assert_int_equal(skipped.nrows, 6);
    row(&skipped, 0, "b", 3, "type I64: compared by bits only");
    row(&skipped, 1, "c", 4, "type BOOL: compared by bits only");
    row(&skipped, 2, "d", 5, "type I64 in the base is not compared with I32 in the tuned checkpoint");
    row(&skipped, 3, "e", 6, "type F8_E5M2 is not compared");
    row(&skipped, 4, "f", 7, "type C64 is not compared");
    row(&skipped, 5, "g", 8, "type F8_E8M0 is not compared");
    assert_int_equal(m.skipped_parameters, 33);
}

static const struct stored_tensor *scale_of(const struct stored_tensor *t)
{
    const struct decoding *d = decoder_decoding(t);
    return d && d->nhelpers > 0 ? d->helpers[0] : NULL;
}

static void test_fp8(void **state)
{
    struct bench *b = *state;
    static const struct t codes[] = {{"x.weight", DTYPE_F8_E4M3, {300, 200}},
                                     {"x.weight_scale_inv", DTYPE_F32, {3, 2}},
                                     {"y.weight", DTYPE_BF16, {2, 2}},
                                     {"y.weight_scale_inv", DTYPE_F32, {1, 1}},
                                     {NULL, 0, {0}}};
    static const struct t wide[] = {{"x.weight", DTYPE_BF16, {300, 200}},
                                    {"y.weight", DTYPE_BF16, {2, 2}},
                                    {"y.weight_scale_inv", DTYPE_F32, {1, 1}},
                                    {NULL, 0, {0}}};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    for (int both = 0; both < 3; both++) {
        make(&x, "BASE", both == 1 ? wide : codes);
        make(&y, "TUNED", both == 0 ? wide : codes);
        assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
        assert_string_equal(names(&m.main.layout), "x.weight y.weight");
        assert_int_equal(skipped.nrows, 2);
        row(&skipped, 0, "x.weight_scale_inv", 0, "scale of x.weight");
        row(&skipped, 1, "y.weight_scale_inv", 0,
            "a scale, which is no parameter"); /* y.weight is wide again */
        assert_ptr_equal(scale_of(m.main.base[0]),
                         both == 1 ? NULL : checkpoint_find(&x.c, "x.weight_scale_inv"));
        assert_ptr_equal(scale_of(m.main.tuned[0]),
                         both == 0 ? NULL : checkpoint_find(&y.c, "x.weight_scale_inv"));
        assert_null(scale_of(m.main.base[1]));
        assert_int_equal(m.skipped_parameters, 0);
    }
    x.tensors[1].dims[0] = 2;
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "tensor x.weight of the base checkpoint BASE is F8_E4M3: its scales");
    x.tensors[1].name = "x.weight_scales";
    policy.skip_unmatched = 1;
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "its scales x.weight_scale_inv are not there");
}

static void test_mtp(void **state)
{
    struct bench *b = *state;
    static const struct t list[] = {{"model.layers.0.q.weight", DTYPE_BF16, {2, 3}},
                                    {"model.layers.1.q.weight", DTYPE_BF16, {2, 3}},
                                    {"model.layers.2.embed_tokens.weight", DTYPE_BF16, {4, 3}},
                                    {"model.layers.2.ids", DTYPE_U8, {5}},
                                    {"vision.layers.7.q.weight", DTYPE_BF16, {7}},
                                    {NULL, 0, {0}}};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", list);
    make(&y, "TUNED", list);
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 4); /* nothing says how many layers there are */
    x.c.config.layers = 2;
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout),
                        "model.layers.0.q.weight model.layers.1.q.weight vision.layers.7.q.weight");
    assert_string_equal(names(&m.aside.layout), "model.layers.2.embed_tokens.weight model.layers.2.ids");
    row(&skipped, 0, "model.layers.2.embed_tokens.weight", 12, "multi-token-prediction layer 2");
    row(&skipped, 1, "model.layers.2.ids", 5, "multi-token-prediction layer 2");
    policy.include_mtp = 1;
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 4);
    row(&skipped, 0, "model.layers.2.ids", 5, "type U8: compared by bits only");
    x.c.config.path = "BASE/config.json";
    x.c.config.problem = "BASE/config.json: line 1: no";
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    policy.include_mtp = 0;
    refused(b, build(b, &m, &x, &y, &policy, &skipped), ERR_DATA,
            "BASE/config.json: line 1: no; the file tells layers");
}

/* Called so by their names, whatever the config says of layers; and the stacks of the layout. */
static void test_mtp_by_name(void **state)
{
    struct bench *b = *state;
    static const struct t list[] = {{"model.layers.0.q.weight", DTYPE_BF16, {2, 3}},
                                    {"mtp.fc.weight", DTYPE_BF16, {4, 3}},
                                    {"mtp.layers.0.q.weight", DTYPE_BF16, {5}},
                                    {"visual.blocks.0.q.weight", DTYPE_BF16, {7}},
                                    {NULL, 0, {0}}},
                          alone[] = {{"model.decoder.layers.9.q.weight", DTYPE_BF16, {2, 3}}, {NULL, 0, {0}}};
    struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct side x, y;
    struct match m;
    struct table skipped;
    make(&x, "BASE", list);
    make(&y, "TUNED", list);
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_string_equal(names(&m.main.layout), "model.layers.0.q.weight visual.blocks.0.q.weight");
    assert_string_equal(m.main.layout.tensors[0].stack, "");
    assert_string_equal(m.main.layout.tensors[1].stack, "visual");
    assert_string_equal(names(&m.aside.layout), "mtp.fc.weight mtp.layers.0.q.weight");
    assert_string_equal(m.aside.layout.tensors[0].stack, "mtp");
    row(&skipped, 0, "mtp.fc.weight", 12, "multi-token prediction");
    row(&skipped, 1, "mtp.layers.0.q.weight", 5, "multi-token-prediction layer 0");
    policy.include_mtp = 1;
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 4);
    policy.include_mtp = 0;
    make(&x, "BASE", alone);
    make(&y, "TUNED", alone);
    x.c.config.layers = 2; /* of whatever: by this name it is not said that the layers are the model's own */
    assert_int_equal(build(b, &m, &x, &y, &policy, &skipped), ERR_OK);
    assert_int_equal(m.main.layout.ntensors, 1);
    assert_string_equal(m.main.layout.tensors[0].stack, "");
}

static void test_policy_is_kept(void **state)
{
    struct bench *b = *state;
    const char *rules[] = {"a.* -> *", "module. ->"};
    const struct match_policy p = {MATCH_ROWS_COMMON, 1, 0.75, 1, {2, rules}},
                              plain = {MATCH_ROWS_FAIL, 0, 0, 0, {0, NULL}};
    const struct match_policy *const both[] = {&p, &plain};
    char path[200];
    h5_start();
    snprintf(path, sizeof path, "%s/x.h5", b->folder);
    for (int i = 0; i < 2; i++) {
        struct match_policy q;
        struct h5 *f;
        assert_int_equal(h5_create(path, &b->arena, &f, &b->err), ERR_OK);
        assert_int_equal(match_policy_write(both[i], f, &b->err), ERR_OK);
        assert_int_equal(match_policy_read(&q, f, &b->arena, &b->err), ERR_OK);
        assert_true(match_policy_same(both[i], &q));
        assert_false(match_policy_same(both[1 - i], &q));
        assert_int_equal(h5_close(f, &b->err), ERR_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(test_names),       TEST_BENCH(test_rules),       TEST_BENCH(test_rename),
        TEST_BENCH(test_rows),        TEST_BENCH(test_tied),        TEST_BENCH(test_types),
        TEST_BENCH(test_copied_head), TEST_BENCH(test_coverage),    TEST_BENCH(test_fp8),
        TEST_BENCH(test_mtp),         TEST_BENCH(test_mtp_by_name), TEST_FOLDER(test_policy_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
