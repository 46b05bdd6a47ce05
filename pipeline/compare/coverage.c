#include "compare/coverage.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void coverage_leave(struct coverage *c, const char *tensor, int64_t parameters, const char *reason)
{
    int at = COVERAGE_LARGEST;
    if (parameters <= 0)
        return;
    c->nleft++;
    while (at > 0 && (!c->largest[at - 1].tensor || c->largest[at - 1].parameters < parameters))
        at--; /* behind one of the same size: the first by name comes first */
    if (at == COVERAGE_LARGEST)
        return;
    memmove(c->largest + at + 1, c->largest + at, (size_t)(COVERAGE_LARGEST - 1 - at) * sizeof c->largest[0]);
    c->largest[at] = (struct coverage_left){.tensor = tensor, .parameters = parameters};
    snprintf(c->largest[at].reason, sizeof c->largest[at].reason, "%s", reason);
}

double coverage_share(const struct coverage *c, int side)
{
    double shares[2];
    for (int k = 0; k < 2; k++)
        shares[k] = c->parameters[k] > 0 ? (double)c->compared[k] / (double)c->parameters[k] : 1;
    return side >= 0 ? shares[side] : shares[0] < shares[1] ? shares[0] : shares[1];
}

/* So that 100 % means all, and 90 % no less than that. */
static const char *percent_cut(double share, char *out, size_t size)
{
    if (share > 0 && share < 1e-4)
        snprintf(out, size, "less than 0.01 %%");
    else if (share == 0 || share == 1)
        snprintf(out, size, "%.0f %%", 100 * share);
    else
        snprintf(out, size, "%.2f %%", floor(1e4 * share + 1e-6) / 100); /* 0.57 is a little less than that */
    return out;
}

const char *coverage_words(const struct coverage *c, char *out, size_t size)
{
    char base[32], tuned[32];
    snprintf(out, size, "%s of the base's parameters and %s of the tuned side's are compared",
             percent_cut(coverage_share(c, 0), base, sizeof base),
             percent_cut(coverage_share(c, 1), tuned, sizeof tuned));
    return out;
}

int coverage_parse(const char *text, double *least)
{
    char *end;
    if (strcmp(text, "any") == 0) {
        *least = 0;
        return 0;
    }
    *least = strtod(text, &end);
    return end != text && *end == '\0' && *least >= 0 && *least <= 1 ? 0 : -1;
}

err_t coverage_check(const struct coverage *c, double least, const char *base, const char *tuned,
                     const char *remedy, struct err *e)
{
    char words[160], largest[700] = "", bound[32];
    size_t used = 0;
    if (coverage_share(c, -1) >= least)
        return ERR_OK;
    for (int i = 0; i < COVERAGE_LARGEST && c->largest[i].tensor && used + 1 < sizeof largest; i++) {
        char n[32];
        used += (size_t)snprintf(largest + used, sizeof largest - used, "%s%.100s (%s, %.60s)",
                                 i > 0 ? ", " : "", c->largest[i].tensor,
                                 text_grouped(c->largest[i].parameters, n, sizeof n), c->largest[i].reason);
    }
    return err_set(e, ERR_DATA,
                   "%s, expected at least %s of either (base %.150s, tuned %.150s): no figure would tell of "
                   "the others; of %lld tensors left out the largest: %s%s; \"coverage: any\" of delta, or a "
                   "share such as %.2g, takes the comparison as it is%s",
                   coverage_words(c, words, sizeof words), percent_cut(least, bound, sizeof bound), base,
                   tuned, (long long)c->nleft, largest, c->nleft > COVERAGE_LARGEST ? ", ..." : "",
                   floor(100 * coverage_share(c, -1)) / 100, remedy);
}
