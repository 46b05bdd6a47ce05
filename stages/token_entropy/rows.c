#include "token_entropy/rows.h"

#include "kernels/entropy/id_sums.h"
#include "kernels/entropy/whole.h"
#include "formats/logits/companions.h"

enum {
    MAX_VOCABULARY = 0x7fffffff /* what the kernel can count */
};

err_t rows_init(struct rows *b, struct logits *l, int64_t round, struct arena *a, struct err *e)
{
    int64_t width = l->vocabulary > 0 ? l->vocabulary : 1;
    b->room = ROWS_BYTES / 4 / width > 0 ? ROWS_BYTES / 4 / width : 1;
    if (b->room > round)
        b->room = round;
    if (width > MAX_VOCABULARY)
        return err_set(e, ERR_DATA, "%s: vocabulary of %lld, expected at most %lld", l->path,
                       (long long)width, (long long)MAX_VOCABULARY);
    b->isa = isa_usable();
    TRY(arena_array(a, "token-entropy.values", logits_are_plain(l) ? 0 : b->room * width, &b->values, e));
    TRY(arena_array(a, "token-entropy.kernel", 1, &b->kernel, e));
    TRY(arena_array(a, "token-entropy.integers", b->room, &b->mask, e));
    TRY(arena_array(a, "token-entropy.integers", b->room, &b->ids, e));
    TRY(arena_array(a, "token-entropy.found", round, &b->found, e));
    return logits_reserve(l, b->room, a, e);
}

err_t rows_entropy(const struct rows *b, const struct logits *l, int64_t token, enum dtype type,
                   const void *values, double temperature, double *nats, struct err *e)
{
    char where[64];
    int64_t at = 0;
    logits_position(l, token, where, sizeof where);
    if (l->vocabulary == 0) {
        double given = *(const double *)values;
        if (!(given >= 0 && given < ID_SUMS_MOST_NATS)) /* NaN is not either */
            return err_set(e, ERR_DATA, "%s: %s: entropy %g, expected 0 nats and above, below %d", l->path,
                           where, given, ID_SUMS_MOST_NATS);
        *nats = given + 0.0; /* -0 becomes 0: their images are compared as integers */
        return ERR_OK;
    }
    enum entropy_fault fault =
        entropy_row(b->isa, type, values, l->vocabulary, temperature, b->kernel, nats, &at);
    if (fault == ENTROPY_EMPTY)
        return err_set(e, ERR_DATA, "%s: %s: every logit is -Inf", l->path, where);
    if (fault != ENTROPY_FINE)
        return err_set(e, ERR_DATA, "%s: %s: the logit of vocabulary index %lld is %s", l->path, where,
                       (long long)at, fault == ENTROPY_NAN ? "NaN" : "+Inf");
    return ERR_OK;
}

uint8_t rows_look(enum dtype type, const void *row, int64_t width)
{
    int64_t cut = 0, of_logs = 0, lacking = 0;
    whole_count(type, row, width, &cut, &of_logs, &lacking);
    return (uint8_t)((cut ? ROW_CUT : 0) | (of_logs ? ROW_OF_LOGS : 0) | (lacking ? ROW_LACKING : 0));
}
