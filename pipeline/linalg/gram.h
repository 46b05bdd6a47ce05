/* Gram: the product A'A of a mostly zero float matrix with itself, in double, by rank-k updates.
 *
 * RL updates are 5 to 30 % dense, so that a dense product would multiply zeros most of the time. Here one
 * factor is a list of what is not zero, the other stays dense and moves through the vector unit: the work
 * shrinks with the density. Products of floats are exact in double and each sum runs in the order of the
 * rows, so all instruction sets give the same bits. Pure: no MPI, no BLAS, no allocation. */
#ifndef SINEW_GRAM_H
#define SINEW_GRAM_H

#include <stdint.h>

enum {
    GRAM_PANEL = 512,    /* most rows of a panel */
    GRAM_BLOCKS = 4,     /* most blocks of rows that a panel is listed in */
    GRAM_CHUNK = 1 << 18 /* bytes of dense columns that are worked on at once */
};

/* What is not zero in a panel, and room for one chunk of it. Columns are taken in groups, within a group one
 * block of rows after the other; each of its columns has a list there, the shortest first. */
struct gram_lists {
    uint16_t *column; /* n x GRAM_BLOCKS: of each list, the column within its group */
    uint16_t *count;  /* n x GRAM_BLOCKS: its entries */
    uint16_t *row;    /* n x GRAM_PANEL: of each entry, the row within its block; ascending in a list */
    float *value;     /* n x GRAM_PANEL */
    char *chunk;      /* GRAM_CHUNK */
};

/* Local. Elements from one column of a Gram matrix of order n to the next: a multiple of 8, and no large
 * power of two, at which columns would compete for the same cache lines. */
int64_t gram_stride(int64_t n);

/* Local. Lists what is not zero in a panel of k rows (at most GRAM_PANEL) of n floats. Returns how many. */
int64_t gram_list(const float *panel, int64_t k, int64_t n, struct gram_lists *l);

/* Local. G += P'P for the listed panel P. g: n columns, ld = gram_stride(n) apart; the lower triangle is
 * added to, and some of what is above it and below row n is overwritten. */
void gram_add(double *g, int64_t n, int64_t ld, const float *panel, int64_t k, const struct gram_lists *l);

/* Local. out (cols x rows) = the transpose of columns [from, from+cols) of x (rows x stride). */
void gram_transpose(const float *x, int64_t rows, int64_t stride, int64_t from, int64_t cols, float *out);

#endif
