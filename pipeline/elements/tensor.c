#include "elements/tensor.h"

#include "elements/convert/convert.h"
#include "elements/convert/convert_loops.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor files are little-endian, and read as they are");

static const struct {
    const char *name;
    int bits, compared;
} dtypes[DTYPE_COUNT] = {
#define X(id, name, bits, compared) [id] = {name, bits, compared},
    DTYPE_LIST(X)
#undef X
};

const char *dtype_name(enum dtype t)
{
    return (unsigned)t < DTYPE_COUNT ? dtypes[t].name : "unknown";
}

int dtype_bits(enum dtype t)
{
    return (unsigned)t < DTYPE_COUNT ? dtypes[t].bits : 0;
}

int dtype_is_compared(enum dtype t)
{
    return (unsigned)t < DTYPE_COUNT && dtypes[t].compared;
}

int dtype_is_bits(enum dtype t)
{
    return t >= DTYPE_BOOL && t <= DTYPE_I64;
}

enum dtype dtype_find(const char *name)
{
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (strcmp(dtypes[t].name, name) == 0)
            return (enum dtype)t;
    return DTYPE_COUNT;
}

const char *arithmetic_name(enum arithmetic a)
{
    return a == ARITHMETIC_BF16 ? "bf16" : a == ARITHMETIC_F32 ? "f32" : "unknown";
}

int arithmetic_bytes(enum arithmetic a)
{
    return a == ARITHMETIC_BF16 ? 2 : 4;
}

/* ---- bit patterns ---- */

static inline uint32_t float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

uint16_t bf16_from_float(float x)
{
    return convert_narrow(float_bits(x));
}

float bf16_to_float(uint16_t bits)
{
    return bits_float((uint32_t)bits << 16);
}

float f16_to_float(uint16_t bits)
{
    return bits_float(convert_widen_half(bits));
}

/* What is kept of a mantissa is rounded to nearest even; below the smallest normal number it is a multiple of
 * 2^-24, which an addition of floats rounds to. */
uint16_t f16_from_float(float x)
{
    uint32_t bits = float_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) /* 65520: halfway to what would come after 65504 */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* 2^-14 */
        uint32_t tiny = float_bits(bits_float(magnitude) + 0.5f);
        return (uint16_t)(sign | (tiny - float_bits(0.5f)));
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
}

void tensor_to_compare(enum arithmetic a, enum dtype t, const void *in, int64_t n, void *out)
{
    convert_to_compare(isa_usable(), a, t, in, n, out);
}

void tensor_difference(enum arithmetic a, const void *old_bits, const void *new_bits, int64_t n, float *delta)
{
    if (a == ARITHMETIC_BF16) {
        const uint16_t *x = old_bits, *y = new_bits;
        for (int64_t i = 0; i < n; i++) {
            float d = bits_float((uint32_t)y[i] << 16) - bits_float((uint32_t)x[i] << 16);
            delta[i] = bits_float((uint32_t)convert_narrow(float_bits(d)) << 16);
        }
    } else {
        const float *x = old_bits, *y = new_bits;
        for (int64_t i = 0; i < n; i++)
            delta[i] = y[i] - x[i];
    }
}

double tolerance_rounded(enum arithmetic a, double tolerance)
{
    float t = (float)tolerance;
    return a == ARITHMETIC_BF16 ? (double)bf16_to_float(bf16_from_float(t)) : (double)t;
}

/* ---- names ---- */

const char *tensor_layer_word(const char *name, int64_t *layer)
{
    static const char *const words[] = {"layers.", "layer.", "h.", "blocks.", "block."};
    for (const char *p = name, *dot; p; p = dot ? dot + 1 : NULL) {
        dot = strchr(p, '.');
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            size_t n = strlen(words[i]);
            if (strncmp(p, words[i], n) != 0 || !isdigit((unsigned char)p[n]))
                continue;
            int64_t number = 0;
            const char *d = p + n;
            for (; isdigit((unsigned char)*d) && number < 1000000; d++)
                number = 10 * number + (*d - '0');
            *layer = number;
            if (*d == '.' || *d == '\0')
                return p;
        }
    }
    *layer = -1;
    return NULL;
}

int64_t tensor_layer(const char *name)
{
    int64_t layer;
    tensor_layer_word(name, &layer);
    return layer;
}

/* Is the word the parameter's own name, rather than its owner's: weight, bias, weight_scale_inv, bias_hh_l0?
 */
static int is_parameter_word(const char *word, size_t n)
{
    static const char *const words[] = {"weight", "bias"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        if (n >= len && strncmp(word, words[i], len) == 0 && (n == len || word[len] == '_'))
            return 1;
    }
    return 0;
}

void tensor_module(const char *name, char *module, int size)
{
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    size_t n = strlen(last);
    if (dot && is_parameter_word(last, n)) {
        const char *owner = dot;
        while (owner > name && owner[-1] != '.')
            owner--;
        if (owner < dot) {
            last = owner;
            n = (size_t)(dot - owner);
        }
    }
    snprintf(module, (size_t)size, "%.*s", (int)(n < 4096 ? n : 4096), last);
}

/* ---- shapes ---- */

const char *shape_text(int ndim, const int64_t *dims, char *text, int size)
{
    int used = snprintf(text, (size_t)size, "%s", ndim == 0 ? "scalar" : "");
    for (int i = 0; i < ndim && used < size; i++)
        used += snprintf(text + used, (size_t)(size - used), "%s%lld", i ? "x" : "", (long long)dims[i]);
    return text;
}

err_t shape_parse(const char *text, int *ndim, int64_t *dims, struct err *e)
{
    *ndim = 0;
    if (strcmp(text, "scalar") == 0)
        return ERR_OK;
    for (const char *p = text;;) {
        int64_t d = 0;
        const char *start = p;
        for (; isdigit((unsigned char)*p); p++)
            if (__builtin_mul_overflow(d, 10, &d) || __builtin_add_overflow(d, *p - '0', &d))
                break;
        if (p == start || (*p != 'x' && *p != '\0') || *ndim == TENSOR_MAX_NDIM)
            return err_set(
                e, ERR_DATA,
                "shape \"%.100s\" is none: at most %d numbers joined by x, or \"scalar\", expected", text,
                TENSOR_MAX_NDIM);
        dims[(*ndim)++] = d;
        if (*p++ == '\0')
            return ERR_OK;
    }
}
