/* Pivot: figures grouped under a row key and a column key, each group with its count, mean, least and
 * greatest value.
 *
 * Values are added in the order of the archive's rows, by one process, so means do not depend on the number
 * of processes. Keys keep the order of their first appearance. Memory is the arena's and grows with the
 * number of groups, not of values. After an error in e nothing more is taken; callers look at e once, at the
 * end. */
#ifndef SINEW_PIVOT_H
#define SINEW_PIVOT_H

#include "base/dict.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum { PIVOT_COLUMNS = 48 }; /* column keys beyond this fall together under "others" */

/* A set of texts, numbered in the order of their first appearance. */
struct keys {
    struct arena *arena;
    const char **text;
    int64_t n, cap, last; /* last: what was found last; rows come in runs of one key */
    struct dict index;    /* of text */
};

/* Local. Number of a key, added where it is new; -1 only when e is set. */
int64_t keys_add(struct keys *k, const char *text, struct err *e);

/* Local. Number of a key; -1 where there is none. */
int64_t keys_find(struct keys *k, const char *text);

/* Local. "a, b, c" of at most `most` keys, then "and N more"; arena-owned, NULL only when e is set. */
const char *keys_list(const struct keys *k, int64_t most, struct err *e);

struct tally {
    int64_t n;
    double sum, least, greatest;
};

/* Local, pure. Adds a value; NaN (undefined, such as the overlap of an empty set) is left out. */
void tally_add(struct tally *t, double x);

/* Local, pure. The mean; NaN where nothing was added. */
double tally_mean(const struct tally *t);

struct pivot {
    struct keys rows, cols;
    struct tally *groups; /* row * width + col */
    int64_t cap, width;   /* width: 0, or a room for columns that is doubled where it is full */
};

/* Local. An empty pivot drawing on the arena. */
void pivot_init(struct pivot *p, struct arena *a);

/* Local. Adds x to the group of a row and a column key. */
void pivot_add(struct pivot *p, const char *row, const char *col, double x, struct err *e);

/* Local. The group of a row and a column key; an empty tally where there is none. */
struct tally pivot_at(struct pivot *p, const char *row, const char *col);

/* Local. Orders the rows: keys that are numbers by size, then the others bytewise, but for a number behind
 * the same words (visual 9, visual 10), which goes by size. Groups go with their rows. */
void pivot_sort_rows(struct pivot *p, struct err *e);

#endif
