/* Tensors: element types, names, shapes, and the conversion of raw elements to the compare type. */
#ifndef SINEW_TENSOR_H
#define SINEW_TENSOR_H

#include "base/err.h"

#include <stdint.h>

enum { TENSOR_MAX_NDIM = 8 };

/* dtype, safetensors name, bits, floating type that the study compares */
#define DTYPE_LIST(X)                         \
    X(DTYPE_BF16, "BF16", 16, 1)              \
    X(DTYPE_F16, "F16", 16, 1)                \
    X(DTYPE_F32, "F32", 32, 1)                \
    X(DTYPE_F64, "F64", 64, 1)                \
    X(DTYPE_BOOL, "BOOL", 8, 0)               \
    X(DTYPE_U8, "U8", 8, 0)                   \
    X(DTYPE_I8, "I8", 8, 0)                   \
    X(DTYPE_U16, "U16", 16, 0)                \
    X(DTYPE_I16, "I16", 16, 0)                \
    X(DTYPE_U32, "U32", 32, 0)                \
    X(DTYPE_I32, "I32", 32, 0)                \
    X(DTYPE_U64, "U64", 64, 0)                \
    X(DTYPE_I64, "I64", 64, 0)                \
    X(DTYPE_C64, "C64", 64, 0)                \
    X(DTYPE_F8_E4M3, "F8_E4M3", 8, 0)         \
    X(DTYPE_F8_E5M2, "F8_E5M2", 8, 0)         \
    X(DTYPE_F8_E8M0, "F8_E8M0", 8, 0)         \
    X(DTYPE_F8_E4M3FNUZ, "F8_E4M3FNUZ", 8, 0) \
    X(DTYPE_F8_E5M2FNUZ, "F8_E5M2FNUZ", 8, 0) \
    X(DTYPE_F6_E2M3, "F6_E2M3", 6, 0)         \
    X(DTYPE_F6_E3M2, "F6_E3M2", 6, 0)         \
    X(DTYPE_F4, "F4", 4, 0)

enum dtype {
#define X(id, name, bits, compared) id,
    DTYPE_LIST(X)
#undef X
        DTYPE_COUNT
};

/* The type both sides of a pair are brought to before they are compared (`arithmetic` in the config). */
enum arithmetic { ARITHMETIC_BF16, ARITHMETIC_F32, ARITHMETIC_COUNT };

/* Local. Static strings and sizes. dtype_find gives DTYPE_COUNT for an unknown name. */
const char *dtype_name(enum dtype t);
int dtype_bits(enum dtype t);
int dtype_is_compared(enum dtype t);
int dtype_is_bits(enum dtype t); /* an integer or bool: equal or not, with no difference to speak of */
enum dtype dtype_find(const char *name);
const char *arithmetic_name(enum arithmetic a);

/* Local. Bytes of one element in the compare type: 2 for bf16, 4 for f32. */
int arithmetic_bytes(enum arithmetic a);

/* Local. Converts n raw little-endian elements of type t to the compare type: bf16 by rounding to nearest
 * even as torch does (F64 by way of float, rounded twice, as there), f32 by widening or rounding. A NaN
 * becomes 0x7fc0 when it is narrowed: the rule of torch's round_to_nearest_even, which its F16 to bf16
 * follows; F32 to bf16 in torch 1.13 gives 0xffff instead. out: n uint16 or uint32 bit patterns. in and out
 * may be the same buffer only where the element sizes agree. t must be BF16, F16, F32 or F64. */
void tensor_to_compare(enum arithmetic a, enum dtype t, const void *in, int64_t n, void *out);

/* Local. Scalar conversions, bit-exact with torch 1.13 but for NaN (above). */
uint16_t bf16_from_float(float x);
float bf16_to_float(uint16_t bits);
float f16_to_float(uint16_t bits);
uint16_t f16_from_float(float x);

/* Local. delta[i] = new - old of n elements in the compare type, in the compare arithmetic: for bf16 the
 * difference of the two bf16 values rounded to bf16, as float. delta overlaps neither. */
void tensor_difference(enum arithmetic a, const void *old_bits, const void *new_bits, int64_t n,
                       float *delta);

/* Local. The tolerance as torch.isclose applies it: rounded to float, then to the compare type. */
double tolerance_rounded(enum arithmetic a, double tolerance);

/* Local. layer: the number after the first "layers.", "layer.", "h.", "blocks." or "block." in the name, -1
 * where there is none; in which stack of layers: stack.h. tensor_layer_word: where that word begins, NULL
 * where there is none. module: the torch module that owns the parameter: the last word before .weight or
 * .bias (q_proj, lm_head), cut to size. */
int64_t tensor_layer(const char *name);
const char *tensor_layer_word(const char *name, int64_t *layer);
void tensor_module(const char *name, char *module, int size);

/* Local. "4096x1024"; "scalar" for ndim 0. */
const char *shape_text(int ndim, const int64_t *dims, char *text, int size);

/* Local. "4096x1024" back to numbers. Errors: DATA. */
err_t shape_parse(const char *text, int *ndim, int64_t *dims, struct err *e);

#endif
