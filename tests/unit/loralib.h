/* Small bases and adapters for tests, written tensor by tensor with planted numbers. */
#ifndef SINEW_TEST_LORALIB_H
#define SINEW_TEST_LORALIB_H

#include "unitlib.h"

#include "formats/checkpoint.h"

#include <string.h>

/* A tensor to be written: "NAME TYPE AxB...". */
struct made {
    struct stored_tensor t;
    void *bytes;
};

/* Element i of a tensor of this name: a small number that bf16 has. */
static inline float planted(const char *name, int64_t i)
{
    uint64_t h = 1469598103934665603u;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    h = (h ^ (uint64_t)i) * 0x9e3779b97f4a7c15u;
    h ^= h >> 31;
    return ((float)(h % 255) - 127.0f) * 0x1p-9f;
}

static inline void made_fill(struct made *m, const char *text, struct arena *a, struct err *e)
{
    char name[200], type[16], shape[100] = "";
    assert_true(sscanf(text, "%199s %15s %99s", name, type, shape) >= 2);
    m->t = (struct stored_tensor){.name = arena_strdup(a, name, e), .dtype = dtype_find(type), .elements = 1};
    assert_true(m->t.dtype != DTYPE_COUNT);
    if (shape[0])
        assert_int_equal(shape_parse(shape, &m->t.ndim, m->t.dims, e), ERR_OK);
    for (int i = 0; i < m->t.ndim; i++)
        m->t.elements *= m->t.dims[i];
    float *wide;
    assert_int_equal(arena_array(a, "test", m->t.elements, &wide, e), ERR_OK);
    for (int64_t i = 0; i < m->t.elements; i++)
        wide[i] = planted(name, i);
    m->bytes = wide;
    if (m->t.dtype == DTYPE_BF16) {
        uint16_t *half;
        assert_int_equal(arena_array(a, "test", m->t.elements, &half, e), ERR_OK);
        for (int64_t i = 0; i < m->t.elements; i++)
            half[i] = bf16_from_float(wide[i]);
        m->bytes = half;
    } else if (m->t.dtype == DTYPE_F16) {
        uint16_t *half;
        assert_int_equal(arena_array(a, "test", m->t.elements, &half, e), ERR_OK);
        for (int64_t i = 0; i < m->t.elements; i++)
            half[i] = f16_from_float(wide[i]);
        m->bytes = half;
    }
}

/* Writes tensors, NULL behind the last, as FOLDER/SUB/FILE. */
static inline void made_write(struct bench *b, const char *sub, const char *file, const char *const *tensors)
{
    struct stored_tensor t[64];
    const void *bytes[64];
    int n = 0;
    char path[400];
    snprintf(path, sizeof path, "%s/%s", b->folder, sub);
    mkdir(path, 0777);
    for (; tensors[n]; n++) {
        struct made m;
        assert_true(n < 64);
        made_fill(&m, tensors[n], &b->arena, &b->err);
        t[n] = m.t;
        bytes[n] = m.bytes;
    }
    snprintf(path, sizeof path, "%s/%s/%s", b->folder, sub, file);
    assert_int_equal(model_write(path, t, n, bytes, NULL, 0, &b->arena, &b->err), 0);
}

static inline void made_text(struct bench *b, const char *sub, const char *file, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", b->folder, sub);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", b->folder, sub, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* All numbers of a tensor as float32, read `at_once` at a time. */
static inline const float *made_read(struct bench *b, struct checkpoint *c, const struct stored_tensor *t,
                                     int64_t at_once)
{
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, at_once), .most = at_once};
    char *v, *raw;
    float *out;
    assert_int_equal(arena_array(&b->arena, "test", s.bytes, &v, &b->err), ERR_OK);
    assert_int_equal(arena_array(&b->arena, "test", at_once * 8, &raw, &b->err), ERR_OK);
    assert_int_equal(arena_array(&b->arena, "test", t->elements, &out, &b->err), ERR_OK);
    s.v = v;
    for (int64_t i = 0, n; i < t->elements; i += n) {
        n = t->elements - i < at_once ? t->elements - i : at_once;
        if (checkpoint_numbers(c, t, i, n, &s, raw, &b->err) != ERR_OK)
            fail_msg("%s", b->err.text);
        tensor_to_compare(ARITHMETIC_F32, decoder_type(t), raw, n, out + i);
    }
    return out;
}

#endif
