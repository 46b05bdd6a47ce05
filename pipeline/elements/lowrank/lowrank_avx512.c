/* The loops of lowrank_lanes.h with AVX-512. */
#include "elements/lowrank/lowrank_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LOWRANK_TARGET AVX512
#define LOWRANK_INLINE AVX512_INLINE

enum { WIDE = 16 };

typedef __m512 vec;

AVX512_INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

AVX512_INLINE vec vec_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

AVX512_INLINE void vec_store(float *to, vec a)
{
    _mm512_storeu_ps(to, a);
}

AVX512_INLINE vec vec_all(float x)
{
    return _mm512_set1_ps(x);
}

AVX512_INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

AVX512_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#include "elements/lowrank/lowrank_lanes.h"

const struct lowrank_loops lowrank_avx512 = {.rows = rows_lanes};

#endif
