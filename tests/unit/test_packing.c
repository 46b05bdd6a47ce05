/* Parameters that two checkpoints pack in other ways: experts and fused projections of made-up models, every
 * way against every other, where equal models must be equal element by element; and what does not fit. */
#include "unitlib.h"

#include <errno.h>

#include "compare/match.h"
#include "formats/checkpoint.h"

enum { EXPERTS = 3, MOST_TENSORS = 40, MOST_ELEMENTS = 4000 };

/* How a model is written. */
enum way { SPLIT, MIXTRAL, PACKED, CHUNKED, GPTOSS, WAYS };

/* What it is: the same numbers, whatever the way. */
struct model {
    int inner, hidden, biases;
    uint16_t gate[EXPERTS][MOST_ELEMENTS], up[EXPERTS][MOST_ELEMENTS]; /* inner x hidden */
    uint16_t down[EXPERTS][MOST_ELEMENTS];                             /* hidden x inner */
    uint16_t gate_bias[EXPERTS][100], up_bias[EXPERTS][100], down_bias[EXPERTS][100];
};

/* Its tensors in one way. */
struct written {
    int n;
    struct stored_tensor t[MOST_TENSORS];
    uint16_t *bytes[MOST_TENSORS];
    char names[MOST_TENSORS][100];
};

static uint16_t *add(struct written *w, const char *name, int ndim, int64_t a, int64_t b, int64_t c)
{
    struct stored_tensor *t = &w->t[w->n];
    snprintf(w->names[w->n], sizeof w->names[w->n], "model.layers.0.%s", name);
    *t = (struct stored_tensor){.name = w->names[w->n], .dtype = DTYPE_BF16, .ndim = ndim, .dims = {a, b, c}};
    w->bytes[w->n] = calloc((size_t)(a * (ndim > 1 ? b : 1) * (ndim > 2 ? c : 1)), 2);
    return w->bytes[w->n++];
}

static void fill(uint16_t *v, int64_t n, uint64_t *seed)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (uint16_t)(next_random(seed) % 0x7f00);
}

static struct model *make(int inner, int hidden, int biases)
{
    struct model *m = calloc(1, sizeof *m);
    uint64_t seed = (uint64_t)(inner * 1000 + hidden);
    m->inner = inner;
    m->hidden = hidden;
    m->biases = biases;
    for (int e = 0; e < EXPERTS; e++) {
        fill(m->gate[e], inner * hidden, &seed);
        fill(m->up[e], inner * hidden, &seed);
        fill(m->down[e], inner * hidden, &seed);
        fill(m->gate_bias[e], inner, &seed);
        fill(m->up_bias[e], inner, &seed);
        fill(m->down_bias[e], hidden, &seed);
    }
    return m;
}

static void write_split(struct written *w, const struct model *m, enum way way)
{
    static const char *const words[2][3] = {{"gate_proj", "up_proj", "down_proj"}, {"w1", "w3", "w2"}};
    const int64_t n = (int64_t)m->inner * m->hidden;
    char name[80];
    for (int e = 0; e < EXPERTS; e++)
        for (int k = 0; k < 3; k++) {
            const uint16_t *from[] = {m->gate[e], m->up[e], m->down[e]};
            const uint16_t *bias[] = {m->gate_bias[e], m->up_bias[e], m->down_bias[e]};
            const char *module = way == MIXTRAL ? "block_sparse_moe" : "mlp";
            int64_t rows = k == 2 ? m->hidden : m->inner, cols = k == 2 ? m->inner : m->hidden;
            snprintf(name, sizeof name, "%s.experts.%d.%s.weight", module, e, words[way == MIXTRAL][k]);
            memcpy(add(w, name, 2, rows, cols, 0), from[k], (size_t)n * 2);
            snprintf(name, sizeof name, "%s.experts.%d.%s.bias", module, e, words[way == MIXTRAL][k]);
            if (m->biases)
                memcpy(add(w, name, 1, rows, 0, 0), bias[k], (size_t)rows * 2);
        }
}

/* Element by element, from the definitions. */
static void write_packed(struct written *w, const struct model *m, enum way way)
{
    const int64_t inner = m->inner, hidden = m->hidden;
    const int turned = way != PACKED;
    uint16_t *both = turned ? add(w, "mlp.experts.gate_up_proj", 3, EXPERTS, hidden, 2 * inner)
                            : add(w, "mlp.experts.gate_up_proj", 3, EXPERTS, 2 * inner, hidden);
    uint16_t *down = turned ? add(w, "mlp.experts.down_proj", 3, EXPERTS, inner, hidden)
                            : add(w, "mlp.experts.down_proj", 3, EXPERTS, hidden, inner);
    for (int64_t e = 0; e < EXPERTS; e++)
        for (int64_t i = 0; i < inner; i++)
            for (int64_t h = 0; h < hidden; h++) {
                int64_t gate = way == GPTOSS ? 2 * i : i, up = way == GPTOSS ? 2 * i + 1 : inner + i;
                uint16_t *one = both + e * 2 * inner * hidden;
                one[turned ? h * 2 * inner + gate : gate * hidden + h] = m->gate[e][i * hidden + h];
                one[turned ? h * 2 * inner + up : up * hidden + h] = m->up[e][i * hidden + h];
                down[e * inner * hidden + (turned ? i * hidden + h : h * inner + i)] =
                    m->down[e][h * inner + i];
            }
    if (!m->biases)
        return;
    uint16_t *bias = add(w, "mlp.experts.gate_up_proj_bias", 2, EXPERTS, 2 * inner, 0);
    for (int64_t e = 0; e < EXPERTS; e++)
        for (int64_t i = 0; i < inner; i++) {
            bias[e * 2 * inner + 2 * i] = m->gate_bias[e][i];
            bias[e * 2 * inner + 2 * i + 1] = m->up_bias[e][i];
        }
    bias = add(w, "mlp.experts.down_proj_bias", 2, EXPERTS, hidden, 0);
    for (int64_t e = 0; e < EXPERTS; e++)
        memcpy(bias + e * hidden, m->down_bias[e], (size_t)hidden * 2);
}

static void write_experts(struct written *w, const struct model *m, enum way way)
{
    *w = (struct written){.n = 0};
    if (way == SPLIT || way == MIXTRAL)
        write_split(w, m, way);
    else
        write_packed(w, m, way);
    fill(add(w, way == MIXTRAL ? "block_sparse_moe.gate.weight" : "mlp.gate.weight", 2, EXPERTS, 4, 0), 12,
         &(uint64_t){5});
}

static void open_written(struct bench *b, struct checkpoint *c, struct written *w, const char *folder)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", b->folder, folder);
    if (mkdir(path, 0700) != 0)
        assert_int_equal(errno, EEXIST);
    snprintf(path, sizeof path, "%s/%s/model.safetensors", b->folder, folder);
    assert_int_equal(
        model_write(path, w->t, w->n, (const void *const *)w->bytes, NULL, 0, &b->arena, &b->err), 0);
    path[strlen(path) - strlen("/model.safetensors")] = '\0';
    if (checkpoint_open(c, path, NULL, &b->arena, &b->err) != ERR_OK)
        fail_msg("%s", b->err.text);
    for (int i = 0; i < w->n; i++)
        free(w->bytes[i]);
}

static void read_side(struct bench *b, struct checkpoint *c, const struct stored_tensor *t, int64_t step,
                      uint16_t *out)
{
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, step), .most = step};
    s.v = malloc((size_t)s.bytes + 1);
    for (int64_t i = 0; i < t->elements; i += step)
        assert_int_equal(checkpoint_numbers(c, t, i, t->elements - i < step ? t->elements - i : step, &s,
                                            out + i, &b->err),
                         ERR_OK);
    free(s.v);
}

/* Both sides are the same model: every tensor of the base is matched, and equal. */
static void check_equal(struct bench *b, struct checkpoint *x, struct checkpoint *y, int64_t notes,
                        const char *what)
{
    static uint16_t base[8 * MOST_ELEMENTS], tuned[8 * MOST_ELEMENTS];
    static const int64_t steps[] = {1 << 15, 7};
    const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct match m;
    struct table skipped;
    table_init(&skipped, "skipped", &b->arena);
    if (match_build(&m, x, y, &policy, "cell", "node", &skipped, &b->arena, &b->err) != ERR_OK)
        fail_msg("%s: %s", what, b->err.text);
    assert_int_equal(m.main.layout.ntensors, x->ntensors);
    assert_int_equal(m.skipped_parameters, 0);
    assert_int_equal(skipped.nrows, notes);
    for (int64_t i = 0; i < notes; i++) {
        assert_int_equal(strncmp(table_text(&skipped, i, "reason"), "packed: ", 8), 0);
        assert_int_equal(table_int(&skipped, i, "parameters"), 0);
    }
    for (int64_t i = 0; i < m.main.layout.ntensors; i++) {
        const struct stored_tensor *t = m.main.base[i], *u = m.main.tuned[i];
        assert_ptr_equal(t, &x->tensors[i]);
        assert_int_equal(u->elements, t->elements);
        assert_memory_equal(u->dims, t->dims, (size_t)t->ndim * sizeof *t->dims);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            read_side(b, x, t, steps[k], base);
            read_side(b, y, u, steps[k], tuned);
            if (memcmp(base, tuned, (size_t)t->elements * 2) != 0)
                fail_msg("%s: tensor %s differs", what, t->name);
        }
    }
}

static void test_experts(void **state)
{
    struct bench *b = *state;
    /* the second has square gates, the third square downs */
    static const int sizes[][2] = {{3, 5}, {4, 8}, {6, 6}, {33, 31}, {1, 1}, {1, 2}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int from = 0; from < WAYS; from++)
            for (int to = 0; to < WAYS; to++) {
                int one_packed = (from >= PACKED) + (to >= PACKED) <= 1;
                if (from == to || !one_packed)
                    continue;
                struct model *m = make(sizes[s][0], sizes[s][1], from == GPTOSS || to == GPTOSS);
                struct written w;
                struct checkpoint x, y;
                char what[100];
                snprintf(what, sizeof what, "%d x %d, way %d against %d", sizes[s][0], sizes[s][1], from, to);
                write_experts(&w, m, (enum way)from);
                open_written(b, &x, &w, "base");
                write_experts(&w, m, (enum way)to);
                open_written(b, &y, &w, "tuned");
                if (!((from == MIXTRAL || to == MIXTRAL) && m->biases)) /* Mixtral has none */
                    check_equal(b, &x, &y, from >= PACKED || to >= PACKED ? 2 + 2 * m->biases : 0, what);
                checkpoint_close(&x);
                checkpoint_close(&y);
                arena_reset(&b->arena);
                free(m);
            }
}

static void write_dense(struct written *w, int fused)
{
    enum { Q = 8, K = 2, H = 5, I = 7 };
    uint64_t seed = 3;
    *w = (struct written){.n = 0};
    uint16_t *q[3], *g[2], *bias[3];
    static const char *const words[] = {"q_proj", "k_proj", "v_proj"}, *const gates[] = {"gate_proj",
                                                                                         "up_proj"};
    static const int rows[] = {Q, K, K};
    char name[60];
    if (fused) {
        q[0] = add(w, "self_attn.qkv_proj.weight", 2, Q + 2 * K, H, 0);
        bias[0] = add(w, "self_attn.qkv_proj.bias", 1, Q + 2 * K, 0, 0);
        g[0] = add(w, "mlp.gate_up_proj.weight", 2, 2 * I, H, 0);
        q[1] = q[0] + Q * H, q[2] = q[1] + K * H, g[1] = g[0] + I * H;
        bias[1] = bias[0] + Q, bias[2] = bias[1] + K;
    }
    for (int k = 0; k < 3 && !fused; k++) {
        snprintf(name, sizeof name, "self_attn.%s.weight", words[k]);
        q[k] = add(w, name, 2, rows[k], H, 0);
        snprintf(name, sizeof name, "self_attn.%s.bias", words[k]);
        bias[k] = add(w, name, 1, rows[k], 0, 0);
    }
    for (int k = 0; k < 2 && !fused; k++) {
        snprintf(name, sizeof name, "mlp.%s.weight", gates[k]);
        g[k] = add(w, name, 2, I, H, 0);
    }
    for (int k = 0; k < 3; k++) {
        fill(q[k], rows[k] * H, &seed);
        fill(bias[k], rows[k], &seed);
    }
    for (int k = 0; k < 2; k++)
        fill(g[k], I * H, &seed);
    fill(add(w, "norm.weight", 1, H, 0, 0), H, &seed);
}

static void test_dense(void **state)
{
    struct bench *b = *state;
    for (int fused = 0; fused < 2; fused++) {
        struct written w;
        struct checkpoint x, y;
        write_dense(&w, fused);
        open_written(b, &x, &w, "base");
        write_dense(&w, !fused);
        open_written(b, &y, &w, "tuned");
        check_equal(b, &x, &y, 3, fused ? "fused base" : "fused tuned");
        checkpoint_close(&x);
        checkpoint_close(&y);
    }
}

/* Each change of the tuned side leaves a doubt, and is refused by the names, with the shape that does not
 * fit. */
static void test_doubts(void **state)
{
    struct bench *b = *state;
    static const struct {
        int way;
        const char *tensor;
        int axis, by;
        const char *says;
    } changes[] = {
        {PACKED, "model.layers.0.mlp.experts.gate_up_proj", 1, 2, "looks like a packing"},
        {PACKED, "model.layers.0.mlp.experts.gate_up_proj", 1, 1, "looks like a packing"},
        {PACKED, "model.layers.0.mlp.experts.down_proj", 0, 1, "of which 3 of 4 are on the other side"},
        {PACKED, "model.layers.0.mlp.experts.down_proj", 0, -1, "looks like a packing"},
        {SPLIT, "model.layers.0.mlp.experts.1.up_proj.weight", 0, 1, "looks like a packing"},
        {SPLIT, "model.layers.0.mlp.experts.1.up_proj.weight", 1, -1, "looks like a packing"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct model *m = make(3, 5, 0);
        struct written w;
        struct checkpoint x, y;
        struct match r;
        struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
        write_experts(&w, m, changes[i].way == PACKED ? SPLIT : PACKED);
        open_written(b, &x, &w, "base");
        write_experts(&w, m, (enum way)changes[i].way);
        for (int k = 0; k < w.n; k++)
            if (strcmp(w.names[k], changes[i].tensor) == 0) {
                w.t[k].dims[changes[i].axis] += changes[i].by;
                free(w.bytes[k]);
                w.bytes[k] = calloc(MOST_ELEMENTS, 2);
            }
        open_written(b, &y, &w, "tuned");
        assert_int_equal(match_build(&r, &x, &y, &policy, "", "", NULL, &b->arena, &b->err), ERR_DATA);
        if (!strstr(b->err.text, changes[i].says))
            fail_msg("change %zu: %s", i, b->err.text);
        err_clear(&b->err);
        policy.skip_unmatched = 1;
        assert_int_equal(match_build(&r, &x, &y, &policy, "", "", NULL, &b->arena, &b->err), ERR_OK);
        checkpoint_close(&x);
        checkpoint_close(&y);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_FOLDER(test_experts),
        TEST_FOLDER(test_dense),
        TEST_FOLDER(test_doubts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
