#include "elements/magnitude/classes_avx2.h"

#if defined(__x86_64__)

#include <string.h>

void classes_begin(struct classes *c)
{
    memset(c, 0, sizeof *c);
}

/* The bits of a digit of this weight, to count[0..7]. */
AVX2 static inline void weigh(int64_t *count, __m256i digit, int64_t weight)
{
    for (int k = 7; k >= 0; k--) {
        count[k] += weight * __builtin_popcount((unsigned)_mm256_movemask_epi8(digit));
        digit = _mm256_add_epi8(digit, digit);
    }
}

AVX2 void classes_finish(struct classes *c, int half, const __m256i carry[CLASSES_STEPS])
{
    __m256i *digit = c->digit[half], sixteen[4], more[2];
    for (int i = 0; i < 4; i++)
        sixteen[i] = adder_two(&digit[3], carry[2 * i], carry[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        more[i] = adder_two(&digit[4], sixteen[2 * i], sixteen[2 * i + 1]);
    weigh(c->count + 8 * half, adder_two(&digit[5], more[0], more[1]), 1 << CLASSES_DIGITS);
}

AVX2 void classes_add(struct classes *c, uint8_t *index, int64_t n)
{
    __m256i carry[CLASSES_STEPS];
    memset(index + n, 0xff, (size_t)(CLASSES_CHUNK - n));
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < CLASSES_STEPS; i++)
            carry[i] = classes_step(c, half, index + i * (CLASSES_CHUNK / CLASSES_STEPS));
        classes_finish(c, half, carry);
    }
}

AVX2 void classes_end(struct classes *c)
{
    for (int half = 0; half < 2; half++)
        for (int d = 0; d < CLASSES_DIGITS; d++)
            weigh(c->count + 8 * half, c->digit[half][d], 1 << d);
}

#endif
