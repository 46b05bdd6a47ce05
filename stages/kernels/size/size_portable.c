/* The plain loops of size.c: the reference. */
#include "kernels/size/size_loops.h"

#include <string.h>

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int is_finite(uint32_t bits)
{
    return (bits & 0x7f800000) != 0x7f800000;
}

/* A square of at most 24 significant bits is exact in double. */
static inline void add_base(struct size_lanes *lanes, int64_t i, uint32_t bits)
{
    double x = (double)float_of(bits);
    if (is_finite(bits))
        lanes->base[i % SIZE_LANES] += x * x;
}

static inline void add_changed(struct size_lanes *lanes, int64_t i, uint32_t old_bits, uint32_t new_bits)
{
    double x = (double)float_of(old_bits), y = (double)float_of(new_bits), d = y - x;
    if (is_finite(old_bits) && is_finite(new_bits)) {
        lanes->delta[i % SIZE_LANES] += d * d;
        lanes->gain[i % SIZE_LANES] += y * y - x * x;
    } else if (is_finite(old_bits)) {
        lanes->base[i % SIZE_LANES] -= x * x;
    }
}

void size_base_bf16_portable(struct size_lanes *lanes, const uint16_t *bits, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        add_base(lanes, i, (uint32_t)bits[i] << 16);
}

void size_base_f32_portable(struct size_lanes *lanes, const uint32_t *bits, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        add_base(lanes, i, bits[i]);
}

void size_changed_bf16_portable(struct size_lanes *lanes, const uint16_t *old_bits, const uint16_t *new_bits,
                                int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        add_changed(lanes, i, (uint32_t)old_bits[i] << 16, (uint32_t)new_bits[i] << 16);
}

void size_changed_f32_portable(struct size_lanes *lanes, const uint32_t *old_bits, const uint32_t *new_bits,
                               int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        add_changed(lanes, i, old_bits[i], new_bits[i]);
}

const struct size_loops size_portable = {
    .base_bf16 = size_base_bf16_portable,
    .base_f32 = size_base_f32_portable,
    .changed_bf16 = size_changed_bf16_portable,
    .changed_f32 = size_changed_f32_portable,
};
