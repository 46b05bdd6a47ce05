/* The AVX2 loop of transpose.c: eight rows of sixteen columns at a time, whose elements are brought together
 * by twos, fours and eights. */
#include "elements/transpose/transpose_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { ROWS = 8, COLS = 16 };

/* Sixteen columns of eight rows. In each half of a vector an 8 x 8 square turns round by itself. */
AVX2_INLINE void turn_tile(const uint16_t *in, int64_t in_step, uint16_t *out, int64_t out_step)
{
    __m256i a[ROWS], b[ROWS];
    for (int r = 0; r < ROWS; r++)
        a[r] = _mm256_loadu_si256((const __m256i *)(in + r * in_step));
    for (int k = 0; k < ROWS / 2; k++) { /* pairs of rows 2k, 2k + 1: columns 0 to 3, 4 to 7 */
        b[k] = _mm256_unpacklo_epi16(a[2 * k], a[2 * k + 1]);
        b[k + 4] = _mm256_unpackhi_epi16(a[2 * k], a[2 * k + 1]);
    }
    for (int k = 0; k < 2; k++)
        for (int half = 0; half < 2; half++) { /* fours of rows: columns by twos */
            a[4 * half + k] = _mm256_unpacklo_epi32(b[4 * half + 2 * k], b[4 * half + 2 * k + 1]);
            a[4 * half + k + 2] = _mm256_unpackhi_epi32(b[4 * half + 2 * k], b[4 * half + 2 * k + 1]);
        }
    for (int k = 0; k < ROWS; k += 2) { /* all eight */
        b[k] = _mm256_unpacklo_epi64(a[k], a[k + 1]);
        b[k + 1] = _mm256_unpackhi_epi64(a[k], a[k + 1]);
    }
    for (int c = 0; c < ROWS; c++) {
        _mm_storeu_si128((__m128i *)(out + c * out_step), _mm256_castsi256_si128(b[c]));
        _mm_storeu_si128((__m128i *)(out + (c + ROWS) * out_step), _mm256_extracti128_si256(b[c], 1));
    }
}

AVX2 static void turn(const uint16_t *in, int64_t rows, int64_t cols, int64_t in_step, uint16_t *out,
                      int64_t out_step)
{
    const int64_t whole_rows = rows - rows % ROWS, whole_cols = cols - cols % COLS;
    for (int64_t c = 0; c < whole_cols; c += COLS)
        for (int64_t r = 0; r < whole_rows; r += ROWS)
            turn_tile(in + r * in_step + c, in_step, out + c * out_step + r, out_step);
    transpose_16_portable(in + whole_rows * in_step, rows - whole_rows, whole_cols, in_step, out + whole_rows,
                          out_step);
    transpose_16_portable(in + whole_cols, rows, cols - whole_cols, in_step, out + whole_cols * out_step,
                          out_step);
}

const struct transpose_loops transpose_avx2 = {.turn = turn};

#endif
