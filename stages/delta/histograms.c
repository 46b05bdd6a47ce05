#include "delta/histograms.h"

#include <math.h>

err_t histograms_add_tensor(struct table *to, int64_t t, const struct change_counts *k, struct err *e)
{
    for (int b = 0; b < CHANGE_EXPONENTS; b++)
        if (k->exponents[b] > 0)
            TRY(TABLE_ADD(to, e, V_INT(t), V_TEXT("abs_delta"), V_INT(b + CHANGE_EXPONENT_0),
                          V_INT(k->exponents[b])));
    for (int b = 0; b < CHANGE_STEPS; b++)
        if (k->steps[b] > 0)
            TRY(TABLE_ADD(to, e, V_INT(t), V_TEXT("ulp_distance"), V_INT(b - 1), V_INT(k->steps[b])));
    return ERR_OK;
}

err_t histograms_add_cell(struct table *to, const char *cell, const char *node, const struct change_counts *k,
                          struct err *e)
{
    for (int b = 0; b < CHANGE_EXPONENTS; b++)
        if (k->exponents[b] > 0)
            TRY(TABLE_ADD(to, e, V_TEXT(cell), V_TEXT(node), V_TEXT("abs_delta"),
                          V_INT(b + CHANGE_EXPONENT_0), V_REAL(ldexp(1, b + CHANGE_EXPONENT_0)),
                          V_INT(k->exponents[b]), V_INT(k->exponents[b])));
    for (int b = 0; b < CHANGE_STEPS; b++)
        if (k->steps[b] > 0)
            TRY(TABLE_ADD(to, e, V_TEXT(cell), V_TEXT(node), V_TEXT("ulp_distance"), V_INT(b - 1),
                          V_REAL(b == 0 ? 0 : ldexp(1, b - 1)), V_INT(k->steps[b]), V_INT(k->steps[b])));
    for (int b = 0; b < MAGNITUDE_BINS; b++)
        if (k->bin_elements[b] > 0)
            TRY(TABLE_ADD(to, e, V_TEXT(cell), V_TEXT(node), V_TEXT("magnitude"), V_INT(b),
                          V_REAL(magnitude_bin_lower(b)), V_INT(k->bin_elements[b]),
                          V_INT(k->bin_updated[b])));
    return ERR_OK;
}
