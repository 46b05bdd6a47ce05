/* Spectrum: what the singular values of one matrix say: numerical rank, stable rank, effective rank.
 * Pure: no MPI, no files, no allocation. */
#ifndef SINEW_SPECTRUM_H
#define SINEW_SPECTRUM_H

#include <stdint.h>

struct spectrum {        /* words of 8 bytes */
    int64_t matrix_rank; /* singular values above the tolerance */
    double tolerance;    /* absolute, unit of the matrix */
    double sigma_max, sigma_min;
    double stable_rank;    /* squared Frobenius norm / sigma_max^2; 0 for a zero matrix */
    double effective_rank; /* exp of the entropy of the singular values divided by their sum; 0 for a zero
                              matrix */
    double top20_energy;   /* share of the sum of squares in the 20 largest values (nick-yudin/modeldelta's
                              concentration_top_k); 1 where there are no more, NaN for a zero matrix */
    int64_t
        ambiguous; /* a singular value is so near the tolerance that float32 arithmetic may count otherwise */
};

/* Local. The tolerance of numpy.linalg.matrix_rank and torch.linalg.matrix_rank for float32: max(rows, cols)
 * * 2^-23 * sigma_max. */
double spectrum_tolerance(int64_t rows, int64_t cols, double sigma_max);

/* Local. Half-width of the band around the tolerance in which singular values computed in float32 may fall on
 * either side: (1 + sqrt(max(rows, cols)) / 2) * 2^-23 * sigma_max. The error of a float32 decomposition in
 * the small singular values was measured (LAPACK through torch, against float64; random sparse,
 * rank-deficient and spiked matrices from 16 to 2048) as at most 0.1 * sqrt(max(rows, cols)) * 2^-23 *
 * sigma_max; five times that leaves room for other implementations. */
double spectrum_band(int64_t rows, int64_t cols, double sigma_max);

/* Local. s: n = min(rows, cols) singular values, finite, not negative, descending. tolerance: absolute, or 0
 * for the default. Definitions: stable rank, Rudelson & Vershynin (2007); effective rank, Roy & Vetterli
 * (2007). */
void spectrum_measure(const double *s, int64_t n, int64_t rows, int64_t cols, double tolerance,
                      struct spectrum *out);

#endif
