/* What the tests of entropies share: rows, references in long double, and every instruction set compared bit
 * for bit. */
#ifndef SINEW_ENTROPYLIB_H
#define SINEW_ENTROPYLIB_H

#include "kernels/entropy/entropy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static inline uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double uniform(uint64_t *state)
{
    return (double)(next(state) >> 11) * 0x1p-53;
}

/* H = ln(sum) - (sum of z exp(z)) / sum, largest logit subtracted, in the 64-bit mantissa of long double. */
static inline double reference(const double *x, int64_t n, double temperature)
{
    long double top = -INFINITY, s = 0, a = 0;
    for (int64_t j = 0; j < n; j++)
        top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < n; j++) {
        if (x[j] == -INFINITY)
            continue;
        long double z = (x[j] - top) / temperature, p = expl(z);
        s += p;
        a += z * p;
    }
    return (double)(logl(s) - a / s);
}

/* The form of entropy.h, which does not cancel: as exact where H is tiny. What is below exp(-708) is nothing.
 */
static inline double reference_of_tiny(const double *x, int64_t n, double temperature)
{
    int64_t top = 0;
    long double s = 0, a = 0;
    for (int64_t j = 0; j < n; j++)
        top = x[j] > x[top] ? j : top;
    for (int64_t j = 0; j < n; j++) {
        long double z = (x[j] - x[top]) / (long double)temperature, p = expl(z);
        if (j == top || z <= -708)
            continue;
        s += p;
        a -= z * p;
    }
    return (double)(log1pl(s) + a / (1 + s));
}

static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_F64};
static struct entropy_room rooms[8]; /* of each choice of instruction sets, so that each makes its tables */

/* With every instruction set there is: they must agree in every bit. */
static inline enum entropy_fault row(enum dtype type, const void *x, int64_t n, double temperature, double *h,
                                     int64_t *at)
{
    enum entropy_fault fault = entropy_row(ISA_PORTABLE, type, x, n, temperature, &rooms[0], h, at);
    enum isa isa;
    for (int choice = 1; isa_choice(choice, &isa); choice++) {
        double other = -2;
        int64_t other_at = -2;
        assert_int_equal(entropy_row(isa, type, x, n, temperature, &rooms[choice], &other, &other_at), fault);
        assert_int_equal(other_at, *at);
        assert_memory_equal(&other, h, sizeof other);
    }
    return fault;
}

static inline void near(double found, double expected, double relative)
{
    assert_true(fabs(found - expected) <= relative * fabs(expected));
}

/* A row in type t, and what it says in float64. */
static inline void convert(enum dtype t, const double *from, int64_t n, void *out, double *wide)
{
    for (int64_t i = 0; i < n; i++) {
        float f = (float)from[i];
        if (t == DTYPE_BF16) {
            ((uint16_t *)out)[i] = bf16_from_float(f);
            wide[i] = bf16_to_float(((uint16_t *)out)[i]);
        } else if (t == DTYPE_F16) { /* by truncation, which is as good */
            uint32_t bits;
            memcpy(&bits, &f, sizeof bits);
            uint32_t size = bits & 0x7fffffff, half = size >> 13;
            half = size >= 0x7f800000   ? 0x7c00 | (uint32_t)(size > 0x7f800000) << 9
                   : size >= 0x47800000 ? 0x7bff
                   : size < 0x38800000  ? 0
                                        : half - (112 << 10);
            ((uint16_t *)out)[i] = (uint16_t)(half | (bits >> 16 & 0x8000));
            wide[i] = f16_to_float(((uint16_t *)out)[i]);
        } else if (t == DTYPE_F32) {
            ((float *)out)[i] = f;
            wide[i] = f;
        } else
            wide[i] = ((double *)out)[i] = from[i];
    }
}

#endif
