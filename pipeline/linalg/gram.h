/* Gram: the product A'A of a mostly zero float matrix with itself, in double, by rank-k updates.
 *
 * RL updates are 5 to 30 % dense, so that a dense product would multiply zeros most of the time. Here one
 * factor is a list of what is not zero, the other stays dense and moves through the vector unit: the work
 * shrinks with the density. Where a panel can be split (gram_split.h), its sums are made in float32, twice as
 * fast, and none of them rounds; else they are made in double, where products of floats are exact, and each
 * runs in the order of the rows. So all instruction sets give the same bits. Pure: no MPI, no BLAS, no
 * allocation but of its lists. */
#ifndef SINEW_GRAM_H
#define SINEW_GRAM_H

#include "base/mem.h"

enum {
    GRAM_PANEL = 512,    /* most rows of a panel */
    GRAM_BLOCKS = 4,     /* most blocks of rows that a panel is listed in */
    GRAM_RESTS = 512,    /* one of so many elements of a panel may have a rest, and one more */
    GRAM_CHUNK = 1 << 18 /* bytes of dense columns that are worked on at once */
};

/* An element of a panel that has a rest: where it is, and what it was as a whole. */
struct gram_rest {
    int32_t row, column;
    float value;
};

/* What is not zero in a panel, and room for one chunk of it. Columns are taken in groups, within a group one
 * block of rows after the other; each of its columns has a list there, the shortest first. */
struct gram_lists {
    uint16_t *column; /* n x GRAM_BLOCKS: of each list, the column within its group */
    uint16_t *count;  /* n x GRAM_BLOCKS: its entries */
    uint16_t *row;    /* n x GRAM_PANEL: of each entry, the row within its block; ascending in a list */
    float *value;     /* n x GRAM_PANEL */
    char *chunk;      /* GRAM_CHUNK */
    /* Of a panel that was split: the elements with a rest, row by row, up to n + 1; and room for n of each.
     */
    struct gram_rest *rest;
    int64_t nrests;
    double *squares;
    float *rounder;
    int32_t *nonzero;
    int split; /* the panel is */
};

/* Local. Elements from one column of a Gram matrix of order n to the next: a multiple of 8, and no large
 * power of two, at which columns would compete for the same cache lines. */
int64_t gram_stride(int64_t n);

/* Local. Room for the lists of panels of n columns, owned by the arena. Errors: SYSTEM over budget. */
err_t gram_lists_room(struct gram_lists *l, int64_t n, struct arena *a, struct err *e);

/* Local. Splits a panel of k rows (at most GRAM_PANEL) of n finite floats where it can be split, and lists
 * what is not zero in it. Returns how many. */
int64_t gram_list(float *panel, int64_t k, int64_t n, struct gram_lists *l);

/* Local. G += P'P for the listed panel P. g: n columns, ld = gram_stride(n) apart; the lower triangle is
 * added to, and some of what is above it and below row n is overwritten. */
void gram_add(double *g, int64_t n, int64_t ld, const float *panel, int64_t k, const struct gram_lists *l);

/* Local. out (cols x rows) = the transpose of columns [from, from+cols) of x (rows x stride). */
void gram_transpose(const float *x, int64_t rows, int64_t stride, int64_t from, int64_t cols, float *out);

#endif
