/* The loops of lowrank_lanes.h with AVX2. */
#include "elements/lowrank/lowrank_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LOWRANK_TARGET AVX2
#define LOWRANK_INLINE AVX2_INLINE

enum { WIDE = 8 };

typedef __m256 vec;

AVX2_INLINE vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

AVX2_INLINE vec vec_load(const float *from)
{
    return _mm256_loadu_ps(from);
}

AVX2_INLINE void vec_store(float *to, vec a)
{
    _mm256_storeu_ps(to, a);
}

AVX2_INLINE vec vec_all(float x)
{
    return _mm256_set1_ps(x);
}

AVX2_INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

AVX2_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

#include "elements/lowrank/lowrank_lanes.h"

const struct lowrank_loops lowrank_avx2 = {.rows = rows_lanes};

#endif
