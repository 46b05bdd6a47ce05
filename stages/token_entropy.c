/* token-entropy: how undecided the policy is at each token, base against tuned, from logits kept beside the
 * checkpoints, or from entropies that others computed.
 *
 * H = - sum p ln p in nats, p = softmax(logits / temperature), float64 (arXiv:2506.01939, section 2). Tokens
 * are divided over processes in units of 64, so that a process owns whole words of the forking mask. The
 * entropies go to the artifact; quantiles are exact order statistics, found by counting over the bits of the
 * values, digit by digit, so that nothing is gathered or sorted. Sums are exact or in fixed point: no result
 * depends on the number of processes. */
#include "kernels/entropy/id_sums.h"
#include "kernels/entropy/radix.h"
#include "token_entropy/rows.h"
#include "token_entropy/settings.h"
#include "token_entropy/units.h"
#include "compare/verdict.h"
#include "formats/logits/companions.h"
#include "formats/logits/fit.h"
#include "hdf5/h5.h"
#include "study/stage.h"
#include "base/xsum.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    ROUND_BYTES = 64 << 20, /* logits between two agreements */
    ROUND_TOKENS = 1 << 16,
    MAX_GIVEN_IDS = 1 << 24 /* token ids beside entropies, where no vocabulary bounds them */
};

#define C_POLICY C_TEXT("policy", "base or tuned")
SCHEMA(
    entropy_table, "entropy", KEPT_IN_ARCHIVE, "Token entropy of each policy, from its logits or as given.",
    C_CELL, C_NODE, C_POLICY, C_INT("tokens", "tokens counted"),
    C_INT("vocabulary", "logits per token; 0 where entropies were given"),
    C_REAL("temperature", "1", "logits are divided by it"), C_REAL("mean", "nats", "mean entropy per token"),
    C_REAL("median", "nats", "exact, linear interpolation"),
    C_REAL("p80", "nats", "80th percentile, exact, linear interpolation"),
    C_REAL("share_below_001", "1", "share of tokens with entropy below 0.01 nats"),
    C_REAL("threshold", "nats", "entropy from which on a token is a forking token"),
    C_INT("forking_tokens", "tokens with entropy >= threshold"),
    C_INT("cut_tokens", "tokens of whose logits fewer than half are there, the rest at -Inf or so"),
    C_TEXT("caveat", "what keeps the figures from being those of the policy's whole distribution; or empty"));

SCHEMA(token_ids_table, "token_ids", KEPT_IN_ARCHIVE,
       "Mean entropy of the distribution that each token id was sampled from.", C_CELL, C_NODE, C_POLICY,
       C_INT("token_id", "vocabulary index"), C_INT("count", "tokens of this id"),
       C_REAL("mean", "nats", "mean entropy of the tokens of this id"));

SCHEMA(quantiles_table, "entropy_quantiles", KEPT_IN_ARCHIVE, "Exact quantiles of token entropy.", C_CELL,
       C_NODE, C_POLICY, C_REAL("quantile", "1", "0 to 1"),
       C_REAL("value", "nats", "linear interpolation between order statistics"));

SCHEMA(histogram_table, "entropy_histogram", KEPT_IN_ARCHIVE, "Histogram of token entropy.", C_CELL, C_NODE,
       C_POLICY, C_REAL("lower", "nats", "lower edge, included"),
       C_REAL("upper", "nats", "upper edge, excluded but for the last bin"), C_INT("count", "tokens"));

enum { POLICIES = 2 }; /* what is of both is at a policy's number */
static const char NATS[] = "entropy of each token's distribution; NaN where the mask leaves it out",
                  FORKS[] = "bit per token, least significant first: entropy at or above the threshold";
static const struct dataset entropy_datasets[] = {{.name = "token_entropy/base", H5_REAL64, "nats", NATS},
                                                  {.name = "token_entropy/tuned", H5_REAL64, "nats", NATS},
                                                  {.name = "forking/base", H5_BITS64, NULL, FORKS},
                                                  {.name = "forking/tuned", H5_BITS64, NULL, FORKS},
                                                  {0}};

static const struct schema *const entropy_tables[] = {&entropy_table,
                                                      &token_ids_table,
                                                      &quantiles_table,
                                                      &histogram_table,
                                                      &schema_verdicts,
                                                      &schema_skipped,
                                                      NULL};

/* ---- one policy ---- */

/* What is measured of one policy; complete on process 0, mostly on all. */
struct policy {
    int number;              /* 0: base, 1: tuned */
    const char *name, *path; /* "base" or "tuned"; path NULL where no logits are given */
    struct logits logits;
    int64_t from, to;             /* this process's tokens */
    double *kept;                 /* their entropies, or NULL: read back from the artifact */
    double *buffer;               /* one round of entropies */
    int64_t round, rounds;        /* tokens per round; rounds, the same on all processes */
    struct h5_bulk *nats, *forks; /* in the artifact */
    struct verdict_entropy facts; /* tokens counted, their mean; rows: on process 0 alone */
    int64_t below, forking;
    struct xsum sum;
    int64_t nids; /* ids are below this: the vocabulary, or the largest found and one */
    int64_t *ids; /* ID_SUMS_EACH of each (id_sums.h); NULL without token ids */
    int64_t *histogram;
    double top; /* upper edge of the histogram: ln(vocabulary), or the largest entropy */
    double median, p80, threshold, *quantiles;
};

/* Counts a token whose entropy is known, and what its row of logits was found to be. */
static err_t count_token(struct policy *y, const struct rows *b, int64_t token, int64_t i, double nats,
                         uint8_t found, struct err *e)
{
    const struct logits *l = &y->logits;
    if (isnan(nats)) /* steps that no run has written */
        return err_set(e, ERR_DATA, "%s: token %lld: kept without an entropy; remove the steps", l->path,
                       (long long)token);
    y->facts.cut += (found & ROW_CUT) != 0;
    y->facts.of_logs += (found & ROW_OF_LOGS) != 0;
    y->facts.lacking += (found & ROW_LACKING) != 0;
    y->facts.tokens++;
    y->below += nats < 0.01;
    xsum_add(&y->sum, nats);
    if (l->vocabulary == 0 && nats > y->top)
        y->top = nats;
    if (!l->has_ids)
        return ERR_OK;
    TRY(companions_check_id(l, token, b->ids[i], y->nids, e));
    id_sums_add(y->ids, y->nids, b->ids[i], nats);
    return ERR_OK;
}

/* Entropies of n tokens from `first`, at most b->room, into nats: NaN for those not counted. kept: nats and
 * found are there. */
static err_t measure_rows(const struct ctx *ctx, struct policy *y, struct rows *b, int64_t first, int64_t n,
                          int kept, double *nats, uint8_t *found, struct err *e)
{
    const struct entropy_params *p = ctx->params;
    struct logits *l = &y->logits;
    int64_t any, width = l->vocabulary > 0 ? l->vocabulary : 1;
    const char *values = (const char *)b->values;
    enum dtype type = DTYPE_F64;
    TRY(companions_block(l, first, n, b->mask, b->ids, &any, e));
    if (any > 0 && !kept && l->vocabulary > 0)
        TRY(logits_rows(l, first, n, b->values, &type, (const void **)&values, e));
    else if (any > 0 && !kept)
        TRY(logits_read(l, first, n, b->values, e));
    int64_t row_bytes = width * dtype_bits(type) / 8;
    for (int64_t i = 0; i < n; i++) {
        if (l->has_mask && b->mask[i] == 0) {
            nats[i] = NAN;
            continue;
        }
        const char *row = values + i * row_bytes;
        if (!kept) {
            TRY(rows_entropy(b, l, first + i, type, row, p->temperature, &nats[i], e));
            found[i] = logits_are_plain(l) ? rows_look(type, row, width) : 0;
        }
        TRY(count_token(y, b, first + i, i, nats[i], found[i], e));
    }
    return ERR_OK;
}

/* One round: entropies of n tokens from `first`, a unit's first, into nats. Units that an earlier run has
 * kept are taken from there; the others are kept where it is time to. */
static err_t measure_round(const struct ctx *ctx, struct policy *y, struct rows *b, int64_t first, int64_t n,
                           double *nats, struct err *e)
{
    struct journal *j = y->logits.vocabulary > 0 ? ctx->journal : NULL;
    for (int64_t done = 0, put = 0; done < n;) {
        int64_t at = first + done, left = n - done, m = left < UNIT ? left : UNIT;
        int kept = done % UNIT == 0 && unit_get(j, y->number, at, m, nats + done, b->found + done);
        if (!kept)
            m = unit_until_kept(j, y->number, at, left < b->room ? left : b->room);
        for (int64_t k = 0; k < m; k += b->room)
            TRY(measure_rows(ctx, y, b, at + k, m - k < b->room ? m - k : b->room, kept, nats + done + k,
                             b->found + done + k, e));
        done += m;
        for (; put + UNIT <= done || (done == n && put < n); put += UNIT)
            if (j && !unit_kept(j, y->number, first + put))
                unit_put(j, y->number, first + put, n - put < UNIT ? n - put : UNIT, nats + put,
                         b->found + put);
    }
    return ERR_OK;
}

/* Collective. Counters for each token id. */
static err_t ids_init(const struct ctx *ctx, struct policy *y, struct rows *b, struct arena *a, struct err *e)
{
    y->nids = y->logits.vocabulary;
    if (!y->logits.has_ids)
        return ERR_OK;
    if (y->nids == 0) {
        int64_t largest = -1;
        for (int64_t at = y->from; at < y->to && e->code == ERR_OK; at += b->room)
            companions_largest_id(&y->logits, at, y->to - at < b->room ? y->to - at : b->room, b->mask,
                                  b->ids, MAX_GIVEN_IDS, &largest, e);
        TRY_ALL(ctx->comm, e);
        comm_max(ctx->comm, &largest, 1);
        y->nids = largest + 1;
    }
    arena_array(a, "token-entropy.ids", ID_SUMS_EACH * y->nids, &y->ids, e);
    return comm_agree(ctx->comm, e);
}

/* Local. Opens the file, takes this process's share and its buffers. */
static err_t policy_init(struct ctx *ctx, struct policy *y, struct arena *a, struct err *e)
{
    const struct entropy_params *p = ctx->params;
    struct logits *l = &y->logits;
    int64_t u0, u1;
    TRY(logits_open(l, y->path, a, e));
    if (l->vocabulary == 0 && p->temperature != 1)
        return err_set(e, ERR_CONFIG,
                       "%s holds entropies already computed: temperature must be 1 for them, found %g",
                       l->path, p->temperature);
    y->top = l->vocabulary > 0 ? log((double)l->vocabulary) : 0;
    split((l->tokens + UNIT - 1) / UNIT, ctx->comm->np, ctx->comm->me, &u0, &u1);
    y->from = u0 * UNIT < l->tokens ? u0 * UNIT : l->tokens;
    y->to = u1 * UNIT < l->tokens ? u1 * UNIT : l->tokens;
    y->round = ROUND_BYTES / l->row_bytes / UNIT * UNIT;
    y->round = y->round < UNIT ? UNIT : y->round > ROUND_TOKENS ? ROUND_TOKENS : y->round;
    split((l->tokens + UNIT - 1) / UNIT, ctx->comm->np, 0, &u0, &u1); /* the largest share */
    if (y->round > u1 * UNIT)
        y->round = u1 * UNIT;
    y->rounds = (u1 * UNIT + y->round - 1) / y->round;
    /* The entropies stay in memory where they take little of it; else each pass reads them back. */
    int64_t n = y->to - y->from, bounded = ctx->memory_bytes > 0 ? ctx->memory_bytes / 8 : (int64_t)256 << 20;
    if (n <= bounded / 8)
        TRY(arena_array(a, "token-entropy.kept", n, &y->kept, e));
    TRY(arena_array(a, "token-entropy.round", y->round, &y->buffer, e));
    TRY(arena_array(ctx->arena, "token-entropy.quantiles", p->quantiles.n, &y->quantiles, e));
    return arena_array(ctx->arena, "token-entropy.histogram", p->histogram_bins, &y->histogram, e);
}

static void say_item(struct ctx *ctx, const struct policy *y, int64_t first, int64_t n)
{
    char item[96];
    snprintf(item, sizeof item, "tokens %lld to %lld of the %s policy", (long long)first,
             (long long)(first + n - 1), y->name);
    ctx_item(ctx, item);
}

/* Collective. The first pass: all entropies, into the artifact and, if they fit, into memory. share: progress
 * before and after. */
static err_t measure_tokens(struct ctx *ctx, struct policy *y, struct arena *a, double share_0,
                            double share_1, struct err *e)
{
    const struct comm *c = ctx->comm;
    struct rows b = {0};
    if (rows_init(&b, &y->logits, y->round, a, e) == ERR_OK)
        logits_read_by(&y->logits, &ctx->read, a, e);
    TRY_ALL(c, e);
    TRY(ids_init(ctx, y, &b, a, e));
    struct logits *l = &y->logits;
    logits_expect(l, y->from, y->to);
    const int64_t kept = l->vocabulary > 0 ? unit_tokens(ctx->journal, y->number, l->tokens) : 0;
    if (kept > 0)
        log_info(ctx->log, "%s of %s: %lld of %lld tokens of the %s policy kept from an earlier run",
                 ctx->node, ctx->label, (long long)kept, (long long)l->tokens, y->name);
    for (int64_t r = 0; r < y->rounds; r++) {
        int64_t first = y->from + r * y->round, n = y->to - first < y->round ? y->to - first : y->round;
        double *nats = y->kept && n > 0 ? y->kept + (first - y->from) : y->buffer;
        if (n > 0)
            say_item(ctx, y, first, n);
        if (e->code == ERR_OK && n > 0)
            measure_round(ctx, y, &b, first, n, nats, e);
        if (n > 0 && e->code == ERR_OK)
            h5_put(y->nats, first, n, nats, e);
        TRY_ALL(c, e);
        ctx_progress(ctx, share_0 + (share_1 - share_0) * (double)(r + 1) / (double)y->rounds,
                     n > 0 ? (double)n * (double)(l->row_bytes + 8) : 0);
    }
    logits_verify(l, e);
    TRY_ALL(c, e);
    logits_read_by(l, NULL, a, e);
    logits_reserve(l, 0, a, e);
    arena_drop(a, b.values);
    arena_drop(a, b.kernel);
    int64_t *const counts[] = {&y->facts.tokens, &y->below, &y->facts.cut, &y->facts.of_logs,
                               &y->facts.lacking};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        comm_sum(c, counts[i], 1);
    comm_max_real(c, &y->top, 1);
    xsum_normalise(&y->sum);
    comm_sum(c, y->sum.limb, XSUM_LIMBS);
    if (y->ids)
        comm_sum_to_root(c, y->ids, ID_SUMS_EACH * y->nids);
    if (y->facts.tokens == 0)
        err_set(e, ERR_DATA, "%s: %s leaves no token to count", l->path, l->mask.name);
    y->facts.mean = xsum_value(&y->sum) / (double)(y->facts.tokens > 0 ? y->facts.tokens : 1);
    return comm_agree(c, e);
}

/* Local. Entropies [first, first + n) of this process's tokens, n <= round. */
static err_t entropies(const struct policy *y, int64_t first, int64_t n, const double **nats, struct err *e)
{
    *nats = y->kept ? y->kept + (first - y->from) : y->buffer;
    return y->kept ? ERR_OK : h5_get(y->nats, first, n, y->buffer, e);
}

/* ---- order statistics, histogram and forking tokens ---- */

static err_t count_digits(const struct policy *y, struct radix *s, struct err *e)
{
    for (int64_t first = y->from; first < y->to; first += y->round) {
        int64_t n = y->to - first < y->round ? y->to - first : y->round;
        const double *nats;
        TRY(entropies(y, first, n, &nats, e));
        radix_count(s, nats, n);
    }
    return ERR_OK;
}

/* Collective. Quantiles q[0..nq) of the counted entropies, by radix selection: six passes over the values
 * find eleven bits each of all that are wanted. */
static err_t find_quantiles(const struct ctx *ctx, const struct policy *y, const double *q, int64_t nq,
                            double *out, struct arena *a, struct err *e)
{
    struct radix s;
    int64_t ncounts;
    radix_start(&s, q, nq, y->facts.tokens, a, e);
    TRY_ALL(ctx->comm, e);
    while (radix_next(&s, &ncounts)) {
        count_digits(y, &s, e);
        TRY_ALL(ctx->comm, e);
        comm_sum(ctx->comm, s.counts, ncounts);
        radix_decide(&s);
    }
    for (int64_t i = 0; i < nq; i++)
        out[i] = radix_quantile(&s, q[i]);
    radix_end(&s, a);
    return ERR_OK;
}

/* Local. The last pass: histogram, and the mask of the tokens at or above the threshold into the artifact. */
static err_t mark_forks(const struct ctx *ctx, struct policy *y, struct arena *a, struct err *e)
{
    const int64_t nbins = ((const struct entropy_params *)ctx->params)->histogram_bins;
    uint64_t *words;
    TRY(arena_array(a, "token-entropy.forks", y->round / UNIT, &words, e));
    for (int64_t first = y->from; first < y->to; first += y->round) {
        int64_t n = y->to - first < y->round ? y->to - first : y->round, nwords = (n + UNIT - 1) / UNIT;
        const double *nats;
        TRY(entropies(y, first, n, &nats, e));
        histogram_add(y->histogram, nbins, y->top, nats, n);
        y->forking += threshold_mark(words, y->threshold, nats, n);
        TRY(h5_put(y->forks, first / UNIT, nwords, words, e));
    }
    arena_drop(a, words);
    return ERR_OK;
}

/* Collective. Creates the policy's datasets in the artifact. */
static err_t create_datasets(struct ctx *ctx, struct policy *y, struct err *e)
{
    struct h5 *f = NULL;
    TRY(artifact_bulk(ctx->out, &f, e));
    const struct dataset *nats = &entropy_datasets[y->number], *forks = nats + POLICIES;
    TRY(h5_dataset(f, nats, y->logits.tokens, 0, &y->nats, e));
    return h5_dataset(f, forks, (y->logits.tokens + UNIT - 1) / UNIT, 0, &y->forks, e);
}

/* Collective. Everything about one policy; share: how far the node is before and after. */
static err_t measure_policy(struct ctx *ctx, struct policy *y, struct arena *a, double share_0,
                            double share_1, struct err *e)
{
    const struct entropy_params *p = ctx->params;
    const struct comm *c = ctx->comm;
    int64_t nq = p->quantiles.n;
    double *q = NULL, *value = NULL;
    if (policy_init(ctx, y, a, e) == ERR_OK &&
        arena_array(a, "token-entropy.select", nq + 3, &q, e) == ERR_OK)
        arena_array(a, "token-entropy.select", nq + 3, &value, e);
    TRY_ALL(c, e);
    TRY(create_datasets(ctx, y, e));
    TRY(measure_tokens(ctx, y, a, share_0, share_1, e));
    memcpy(q, p->quantiles.v, (size_t)nq * sizeof *q);
    q[nq] = 0.5;
    q[nq + 1] = 0.8;
    q[nq + 2] = 1 - p->forking_share;
    TRY(find_quantiles(ctx, y, q, nq + 3, value, a, e));
    memcpy(y->quantiles, value, (size_t)nq * sizeof *value);
    y->median = value[nq];
    y->p80 = value[nq + 1];
    y->threshold = value[nq + 2];
    mark_forks(ctx, y, a, e);
    TRY_ALL(c, e);
    comm_sum(c, &y->forking, 1);
    comm_sum_to_root(c, y->histogram, p->histogram_bins);
    arena_drop(a, y->kept);
    arena_drop(a, y->buffer);
    y->kept = NULL;
    return ERR_OK;
}

/* ---- results, on process 0 ---- */

struct results {
    struct table entropy, quantiles, histogram, ids, verdicts, skipped;
    struct verdict_entropy facts[POLICIES];
};

static err_t add_policy(const struct ctx *ctx, const struct policy *y, struct results *t, struct err *e)
{
    const struct entropy_params *p = ctx->params;
    const struct value cell = V_TEXT(ctx->cell->name), node = V_TEXT(ctx->node), name = V_TEXT(y->name);
    char caveat[160];
    if (!y->path) {
        char reason[80];
        snprintf(reason, sizeof reason, "no logits of the %s policy are given", y->name);
        return TABLE_ADD(&t->skipped, e, cell, node, V_TEXT("logits"), V_INT(0), V_TEXT(reason));
    }
    for (int64_t i = 0; i < y->logits.nunused; i++) {
        const char *reason = companions_why_unused(&y->logits, y->name, t->skipped.arena, e);
        if (!reason)
            return e->code;
        log_info(ctx->log, "%s: %s: %s %s", ctx->cell->name, y->logits.path, y->logits.unused[i], reason);
        TRY(TABLE_ADD(&t->skipped, e, cell, node, V_TEXT(y->logits.unused[i]), V_INT(0), V_TEXT(reason)));
    }
    verdict_caveat(t->facts, y->number, caveat, sizeof caveat);
    TRY(TABLE_ADD_OF(entropy_table, &t->entropy, e, cell, node, name, V_INT(y->facts.tokens),
                     V_INT(y->logits.vocabulary), V_REAL(p->temperature), V_REAL(y->facts.mean),
                     V_REAL(y->median), V_REAL(y->p80), V_REAL((double)y->below / (double)y->facts.tokens),
                     V_REAL(y->threshold), V_INT(y->forking), V_INT(y->facts.cut), V_TEXT(caveat)));
    for (int i = 0; i < p->quantiles.n; i++)
        TRY(TABLE_ADD_OF(quantiles_table, &t->quantiles, e, cell, node, name, V_REAL(p->quantiles.v[i]),
                         V_REAL(y->quantiles[i])));
    for (int64_t i = 0; i < p->histogram_bins; i++)
        TRY(TABLE_ADD_OF(histogram_table, &t->histogram, e, cell, node, name,
                         V_REAL(histogram_edge(i, p->histogram_bins, y->top)),
                         V_REAL(histogram_edge(i + 1, p->histogram_bins, y->top)), V_INT(y->histogram[i])));
    for (int64_t id = 0; y->ids && id < y->nids; id++) {
        if (y->ids[id] < p->min_count)
            continue;
        double mean = id_sums_mean(y->ids, y->nids, id);
        TRY(TABLE_ADD_OF(token_ids_table, &t->ids, e, cell, node, name, V_INT(id), V_INT(y->ids[id]),
                         V_REAL(mean)));
    }
    return ERR_OK;
}

static err_t write_results(struct ctx *ctx, const struct policy *y, struct arena *a, struct err *e)
{
    struct results t = {.facts = {y[0].facts, y[1].facts}};
    const struct verdict verdict = verdict_entropy(t.facts);
    struct h5 *f;
    table_start(&t.entropy, &entropy_table, a);
    table_start(&t.quantiles, &quantiles_table, a);
    table_start(&t.histogram, &histogram_table, a);
    table_start(&t.ids, &token_ids_table, a);
    table_start(&t.verdicts, &schema_verdicts, a);
    table_start(&t.skipped, &schema_skipped, a);
    for (int i = 0; i < POLICIES; i++)
        TRY(add_policy(ctx, &y[i], &t, e));
    TRY(TABLE_ADD(&t.verdicts, e, V_TEXT(ctx->cell->name), V_TEXT(ctx->node), V_TEXT(verdict.about),
                  V_REAL(verdict.value), V_TEXT(verdict.sentence)));
    TRY(artifact_tables(ctx->out, &f, e));
    const struct table *all[] = {&t.entropy, &t.quantiles, &t.histogram, &t.ids, &t.verdicts, &t.skipped};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(h5_table_write(f, all[i]->schema->name, all[i], e));
    return ERR_OK;
}

/* ---- the stage ---- */

/* Process 0. Are both over their models' vocabulary? Told before anything is measured. */
static err_t check_fit(const struct ctx *ctx, struct policy *y, struct arena *a, struct err *e)
{
    struct fit_side side[POLICIES] = {{.path = y[0].path}, {.path = y[1].path}};
    for (int k = 0; k < POLICIES; k++) {
        const struct input *in = ctx_input(ctx, "load", y[k].name);
        side[k].catalogue = in ? in->path : NULL;
    }
    err_t code = fit_check(side, a, e);
    for (const struct fit_side *s = side; s < side + POLICIES; s++)
        y[s - side].facts = (struct verdict_entropy){
            .given = s->path != NULL, .vocabulary = s->vocabulary, .rows = s->rows, .strange = s->strange};
    return code;
}

static err_t measure(struct ctx *ctx, struct policy *y, struct arena *a, struct err *e)
{
    double given = (y[0].path != NULL) + (y[1].path != NULL), done = 0;
    if (ctx->comm->me == 0)
        check_fit(ctx, y, a, e);
    TRY_ALL(ctx->comm, e);
    arena_reset(a);
    for (int i = 0; i < 2; i++) {
        if (y[i].path)
            TRY(measure_policy(ctx, &y[i], a, done / given, (done + 1) / given, e));
        done += y[i].path != NULL;
    }
    TRY(artifact_bulk_done(ctx->out, e));
    if (ctx->comm->me == 0)
        write_results(ctx, y, a, e);
    return comm_agree(ctx->comm, e);
}

static err_t entropy_run(struct ctx *ctx, struct err *e)
{
    struct policy y[2] = {{.name = "base", .path = ctx->cell->logits_base},
                          {.number = 1, .name = "tuned", .path = ctx->cell->logits_tuned}};
    struct arena a;
    arena_init(&a, ctx->arena->mem);
    measure(ctx, y, &a, e);
    for (int i = 0; i < 2; i++)
        logits_close(&y[i].logits);
    arena_release(&a);
    return e->code;
}

static int entropy_applies(const struct cell *cell)
{
    return cell->logits_base || cell->logits_tuned;
}

static err_t entropy_files(const struct ctx *ctx, err_t (*add)(void *arg, const char *path, struct err *e),
                           void *arg, struct err *e)
{
    const char *path[] = {ctx->cell->logits_base, ctx->cell->logits_tuned};
    for (int i = 0; i < POLICIES; i++) {
        const char *file = path[i] ? logits_file(path[i], ctx->arena, e) : NULL;
        if (file)
            TRY(add(arg, file, e));
    }
    return e->code;
}

/* Headers of the logits only; a file that is not there yet, or is no such file, leaves the cost unknown. */
static void entropy_plan(const struct plan_view *view, struct estimate *out)
{
    const char *path[] = {view->cell->logits_base, view->cell->logits_tuned};
    *out = (struct estimate){.known = 1, .kept_bytes = 2e4};
    for (int i = 0; i < 2; i++) {
        if (!path[i])
            continue;
        struct mem m;
        struct arena a;
        struct err e;
        struct logits l;
        mem_init(&m, 0);
        arena_init(&a, &m);
        err_clear(&e);
        if (logits_open(&l, path[i], &a, &e) == ERR_OK) {
            double tokens = (double)l.tokens, v = (double)l.vocabulary, rows = fmax(ROWS_BYTES, v * 4);
            double bounded = view->memory_bytes > 0 ? (double)view->memory_bytes / 8 : 256e6;
            double held = 3 * rows + (double)sizeof(struct entropy_room) + ROUND_TOKENS * 8.0 +
                          (double)readahead_bytes(&view->read) + fmin(tokens * 8 / view->np, bounded) +
                          (l.has_ids ? v * 24 : 0);
            out->read_bytes += (double)l.size_bytes;
            out->write_bytes += tokens * (8 + 1.0 / 8);
            int by_exp = l.row_bytes != 2 * l.vocabulary; /* else by table */
            out->work[0] += tokens;
            out->work[1 + by_exp] += tokens * v;
            out->flops += tokens * v * (by_exp ? 30 : 2);
            out->process_bytes = held > out->process_bytes ? held : out->process_bytes;
        } else
            out->known = 0;
        logits_close(&l);
        arena_release(&a);
    }
}

const struct stage stage_token_entropy = {
    .kind = "token-entropy",
    .brief =
        "entropy of each token's distribution, its quantiles and forking tokens, base against tuned policy",
    .version = 5,
    .scope = SCOPE_CELL,
    .params = entropy_params,
    .params_size = sizeof(struct entropy_params),
    .inputs = (const char *const[]){"load", NULL},
    .reported = 1,
    .keeps_steps = 1,
    .check = entropy_check,
    .files = entropy_files,
    .applies = entropy_applies,
    .plan = entropy_plan,
    .work = (const struct stage_work[]){WORK("tokens", 0.7e6), WORK("logits16", 2e9), WORK("logits32", 0.9e9),
                                        WORK_END},
    .tables = entropy_tables,
    .datasets = entropy_datasets,
    .run = entropy_run,
};
