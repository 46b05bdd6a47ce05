#include "linalg/grid_team.h"

#include <math.h>
#include <string.h>

enum { READ_FLOATS = 1 << 18 /* how much a slab is read at a time while zero rows are left out */ };

int team_grid_rows(int np)
{
    int p = (int)sqrt((double)np);
    while (np % p != 0)
        p--;
    return p;
}

int64_t team_rows_at_once(int64_t cols)
{
    return READ_FLOATS / cols > 0 ? READ_FLOATS / cols : 1;
}

/* Is there anything but zeros in x? Clears *finite if there is NaN or Inf. Made so that it vectorises. */
static int scan(const float *x, int64_t n, int *finite)
{
    uint32_t any = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffU;
        any |= bits;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0x7f800000U)
        *finite = 0;
    return any != 0;
}

err_t team_read(struct team_job *j, float *x, int64_t room, int64_t *held, struct err *e)
{
    int64_t at_once = team_rows_at_once(j->cols);
    while (j->next < j->to && *held < room && j->finite) {
        int64_t n = min64(min64(at_once, j->to - j->next), room - *held);
        float *to = x + *held * j->cols;
        TRY(j->get(j->arg, j->next, n, to, e));
        j->next += n;
        for (int64_t i = 0; i < n; i++) {
            float *row = x + *held * j->cols;
            if (!scan(to + i * j->cols, j->cols, &j->finite))
                continue;
            if (row != to + i * j->cols)
                memmove(row, to + i * j->cols, (size_t)j->cols * sizeof *row);
            ++*held;
        }
    }
    return ERR_OK;
}

int64_t team_most(struct team_job *j, int64_t held, int64_t *sum)
{
    int64_t v[2] = {held, !j->finite}, total = held;
    comm_max(j->comm, v, 2);
    comm_sum(j->comm, &total, 1);
    *sum = total;
    j->finite = !v[1];
    return v[0];
}
