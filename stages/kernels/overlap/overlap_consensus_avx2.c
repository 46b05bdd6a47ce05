/* overlap_consensus with AVX2. */
#include "kernels/overlap/overlap_avx2.h"

#if defined(__x86_64__)

#include "elements/adder_avx2.h"

#define SLICED_TARGET AVX2
#define SLICED_INLINE AVX2_INLINE
#define SLICED_CONSENSUS overlap_consensus_avx2
#define OVERLAP_SUMS overlap_sums_avx2
#define vec_adder adder_two
#define vec_bits words_bytes
#define vec_load words_load
#define vec_load_first words_load_first
#define vec_store words_store

enum { LANES = OVERLAP_AVX2_LANES };

typedef __m256i vec;

AVX2_INLINE vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

AVX2_INLINE vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

AVX2_INLINE vec vec_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

AVX2_INLINE vec vec_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

AVX2_INLINE int vec_any(vec a)
{
    return !_mm256_testz_si256(a, a);
}

AVX2_INLINE vec vec_all(int set)
{
    return _mm256_set1_epi64x(-(int64_t)set);
}

AVX2_INLINE vec vec_andnot(vec a, vec b)
{
    return _mm256_andnot_si256(a, b);
}

AVX2_INLINE vec vec_add_bytes(vec a, vec b)
{
    return _mm256_add_epi8(a, b);
}

AVX2_INLINE int64_t vec_sum(vec a)
{
    return words_lanes(words_sum_bytes(a));
}

#include "kernels/overlap/overlap_values.h"

#include "kernels/overlap/overlap_sliced.h"

#endif
