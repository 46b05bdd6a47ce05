/* Bytes counted by class, for AVX2 loops: 16 classes at once and no table of counters in memory, which would
 * take a cycle or more for each element. A shuffle turns an index into a byte with one bit set; of such bytes
 * full adders make digits (adder_avx2.h), so that bits are counted once for many elements. */
#ifndef SINEW_CLASSES_AVX2_H
#define SINEW_CLASSES_AVX2_H

#include "elements/adder_avx2.h"

#if defined(__x86_64__)

#include <stdint.h>

enum {
    CLASSES = 16,
    CLASSES_CHUNK = 2048, /* indices that are added at once */
    CLASSES_STEPS = 8,
    CLASSES_DIGITS = 6,    /* kept from chunk to chunk; the seventh is counted */
    CLASSES_INDEX_0 = 0x70 /* index of class 0; one that is 0x80 or above is in no class */
};

struct classes {
    __m256i digit[2][CLASSES_DIGITS]; /* a byte's bits are classes 0 to 7, and 8 to 15 */
    int64_t count[CLASSES];
};

/* Local. Nothing counted. */
void classes_begin(struct classes *c);

/* Local. Indices of 32 bytes, class + shift each, where that is 0 to 15. */
AVX2_INLINE __m256i classes_index(__m256i bytes)
{
    return _mm256_adds_epu8(bytes, _mm256_set1_epi8(CLASSES_INDEX_0));
}

/* Local. Adds n <= CLASSES_CHUNK indices; index has room for CLASSES_CHUNK, the rest of which is overwritten.
 */
void classes_add(struct classes *c, uint8_t *index, int64_t n);

/* Local. A whole chunk in steps, for a loop that does something else between them: CLASSES_STEPS steps of a
 * chunk for each half of the classes, what they return handed to classes_finish in any order. */
AVX2_INLINE __m256i classes_step(struct classes *c, int half, const uint8_t *index);
void classes_finish(struct classes *c, int half, const __m256i carry[CLASSES_STEPS]);

/* Local. Completes the counts. */
void classes_end(struct classes *c);

/* Local. Adds CLASSES_CHUNK / CLASSES_STEPS indices to half of the classes; returns what is carried. */
AVX2_INLINE __m256i classes_step(struct classes *c, int half, const uint8_t *index)
{
    const __m256i *at = (const __m256i *)index;
    const __m256i one_hot = _mm256_broadcastsi128_si256(
        half ? _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128)
             : _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    __m256i *digit = c->digit[half], ones = digit[0], twos = digit[1], two[2], four[2];
    for (int j = 0; j < 2; j++) {
        for (int k = 0; k < 2; k++, at += 2)
            two[k] = adder_two(&ones, _mm256_shuffle_epi8(one_hot, _mm256_loadu_si256(at)),
                               _mm256_shuffle_epi8(one_hot, _mm256_loadu_si256(at + 1)));
        four[j] = adder_two(&twos, two[0], two[1]);
    }
    digit[0] = ones;
    digit[1] = twos;
    return adder_two(&digit[2], four[0], four[1]);
}

#endif
#endif
