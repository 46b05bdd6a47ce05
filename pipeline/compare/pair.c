#include "compare/pair.h"

#include "formats/catalogue.h"

#include <string.h>

/* ---- pairs ---- */

err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned,
                 const struct match_policy *policy, const char *cell, const char **naming,
                 struct coverage *coverage, struct arena *a, struct err *e)
{
    struct match m;
    err_t code = match_build(&m, base, tuned, policy, cell, "", NULL, a, e);
    err_item(e, "%s", cell);
    if (naming)
        *naming = m.naming;
    if (coverage)
        *coverage = m.coverage;
    return code;
}

static int64_t larger(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

/* What is read of a tensor of the set on one side, 0 the base's. Where what was added to the base is known by
 * itself (decoder_change), that is the tuned side. */
static const struct stored_tensor *side_of(const struct match_set *s, int side, int64_t t)
{
    const struct stored_tensor *change = side == 0 ? NULL : decoder_change(s->tuned[t]);
    return change ? change : side == 0 ? s->base[t] : s->tuned[t];
}

/* Room for a block of a set: bytes of the widest element as it is read, and scratch to decode either side. */
static void measure(const struct match_set *s, int64_t *widest, int64_t scratch[2])
{
    for (int64_t i = 0; i < s->layout.ntensors; i++) {
        for (int k = 0; k < 2; k++) {
            const struct stored_tensor *t = side_of(s, k, i);
            *widest = larger(*widest, dtype_bits(decoder_type(t)) / 8);
            scratch[k] = larger(scratch[k], decoder_scratch_bytes(t, LAYOUT_BLOCK));
        }
    }
}

static err_t take_room(struct pair *p, struct err *e)
{
    int64_t widest = 1, scratch[2] = {0, 0};
    char *raw;
    measure(&p->match.main, &widest, scratch);
    measure(&p->match.aside, &widest, scratch);
    TRY(arena_array(p->arena, "pair.raw", LAYOUT_BLOCK * widest, &raw, e));
    p->raw = raw;
    for (int k = 0; k < 2; k++) {
        if (scratch[k] == 0) /* nothing to decode on this side; there may be on the other */
            continue;
        TRY(arena_array(p->arena, "pair.scratch", scratch[k], &raw, e));
        p->scratch[k] = (struct decoder_scratch){.v = raw, .bytes = scratch[k], .most = LAYOUT_BLOCK};
    }
    return ERR_OK;
}

err_t pair_open(struct pair *p, const char *base_catalogue, const char *tuned_catalogue,
                enum arithmetic arithmetic, const struct match_policy *policy, const char *cell,
                const char *node, struct table *skipped, struct arena *a, struct err *e)
{
    static const struct readahead_setting unasked = {READ_AUTO, READAHEAD_BLOCK};
    *p = (struct pair){.arithmetic = arithmetic, .arena = a};
    TRY(catalogue_read(&p->base, base_catalogue, a, e));
    TRY(catalogue_read(&p->tuned, tuned_catalogue, a, e));
    TRY(checkpoint_verify(&p->base, e));
    TRY(checkpoint_verify(&p->tuned, e));
    TRY(match_build(&p->match, &p->base, &p->tuned, policy, cell, node, skipped, a, e));
    TRY(take_room(p, e));
    return pair_read_by(p, &unasked, e);
}

void pair_say(const struct pair *p, const char *cell, const struct log *log)
{
    char words[160];
    if (p->match.naming)
        log_info(log, "%s: %s", cell, p->match.naming);
    if (coverage_share(&p->match.coverage, -1) < 1) /* all is what everyone expects */
        log_info(log, "%s: %s", cell, coverage_words(&p->match.coverage, words, sizeof words));
}

err_t pair_read_by(struct pair *p, const struct readahead_setting *how, struct err *e)
{
    pair_close(p);
    err_t code = readahead_open(&p->reader, how, p->arena, e);
    p->base.reader = p->tuned.reader = p->reader;
    return code;
}

/* ---- reading ahead ---- */

/* The range that holds block number `count`; NULL where there is none. */
static const struct pair_range *range_of(const struct pair_plan *plan, int64_t count)
{
    for (int i = 0; i < plan->nranges; i++) {
        const struct pair_range *r = &plan->ranges[i];
        if (count >= r->count && count < r->count + r->to - r->from)
            return r;
    }
    return NULL;
}

/* Tells the file system, once a tensor, of what the reader does not fetch of it. */
static void advise(struct pair_plan *plan, int side, struct checkpoint *c, const struct stored_tensor *t,
                   int64_t first, int64_t elements)
{
    if (plan->advised[side] == t)
        return;
    checkpoint_advise(c, t, first, elements - first);
    plan->advised[side] = t;
}

/* Announces one piece of block number plan.next, from the side that is behind. */
static void announce(struct pair *p, const struct pair_range *r)
{
    struct pair_plan *plan = &p->plan;
    struct block at = layout_block(&r->set->layout, r->from + plan->next - r->count);
    int side = plan->sent[1] < plan->sent[0];
    struct checkpoint *c = side ? &p->tuned : &p->base;
    const struct stored_tensor *t = side_of(r->set, side, at.tensor);
    int64_t done = plan->sent[side];
    if (done < at.n) {
        advise(plan, side, c, t, at.first, r->set->layout.tensors[at.tensor].elements);
        plan->sent[side] += checkpoint_ahead(c, t, at.first + done, at.n - done, plan->next);
    }
    if (plan->sent[0] >= at.n && plan->sent[1] >= at.n) {
        plan->next++;
        plan->sent[0] = plan->sent[1] = 0;
    }
}

static void look_ahead(struct pair *p)
{
    const struct pair_range *r;
    while (readahead_room(p->reader) > 0 && (r = range_of(&p->plan, p->plan.next)) != NULL)
        announce(p, r);
}

void pair_expect(struct pair *p, const struct match_set *set, int64_t from, int64_t to)
{
    struct pair_plan *plan = &p->plan;
    if (plan->nranges == PAIR_RANGES || from < 0 || from >= to || to > set->layout.nblocks)
        return;
    const struct pair_range *last = plan->nranges > 0 ? &plan->ranges[plan->nranges - 1] : NULL;
    if (last && last->set == set && last->from == from && last->to == to && plan->now < last->count)
        return; /* it has been said */
    int64_t count = last ? last->count + last->to - last->from : plan->now + 1;
    plan->ranges[plan->nranges++] = (struct pair_range){set, from, to, count};
    plan->next = plan->next > plan->now ? plan->next : plan->now + 1;
    look_ahead(p);
}

/* Reading has come to elements [first, end) of tensor t: what lies before is past, and the reader may go on.
 */
static void come_to(struct pair *p, const struct match_set *set, int64_t t, int64_t first, int64_t end)
{
    struct pair_plan *plan = &p->plan;
    int64_t b = set->layout.tensors[t].first_block + first / LAYOUT_BLOCK, count = -1;
    int i = 0;
    for (; i < plan->nranges; i++) {
        const struct pair_range *r = &plan->ranges[i];
        count = r->count + b - r->from;
        if (r->set == set && b >= r->from && b < r->to && count >= plan->now)
            break;
    }
    if (i == plan->nranges)
        return;
    if (count > plan->now) {
        memmove(plan->ranges, plan->ranges + i, (size_t)(plan->nranges - i) * sizeof *plan->ranges);
        plan->nranges -= i;
        plan->now = count;
        readahead_passed(p->reader, count);
    }
    end -= first / LAYOUT_BLOCK * LAYOUT_BLOCK;
    if (plan->next < count || (plan->next == count && plan->sent[0] == 0 && plan->sent[1] == 0)) {
        plan->next = count + 1; /* of what is being read nothing is on its way: it is read when asked */
        plan->sent[0] = plan->sent[1] = 0;
    } else if (plan->next == count) {
        for (int k = 0; k < 2; k++)
            plan->sent[k] = plan->sent[k] < end ? end : plan->sent[k];
    }
    look_ahead(p);
}

/* ---- reading ---- */

/* One side of a block. Numbers as wide as the compare type are read in place, and converted there if they
 * must be; integers and bools stay as they are. */
static err_t read_side(const struct pair *p, struct checkpoint *c, const struct stored_tensor *t,
                       struct decoder_scratch *scratch, int64_t first, int64_t n, void *out, struct err *e)
{
    enum dtype type = decoder_type(t);
    int in_place = dtype_is_bits(type) || dtype_bits(type) == 8 * arithmetic_bytes(p->arithmetic);
    void *to = in_place ? out : p->raw;
    TRY(checkpoint_numbers(c, t, first, n, scratch, to, e));
    if (!dtype_is_bits(type))
        tensor_to_compare(p->arithmetic, type, to, n, out);
    return ERR_OK;
}

static err_t check_range(const struct match_set *s, int64_t t, int64_t first, int64_t n, struct err *e)
{
    if (t < 0 || t >= s->layout.ntensors || n < 0 || n > LAYOUT_BLOCK || first < 0 ||
        first > s->layout.tensors[t].elements - n)
        return err_set(e, ERR_BUG,
                       "%lld elements from %lld on of tensor %lld of a pair of %lld were asked for",
                       (long long)n, (long long)first, (long long)t, (long long)s->layout.ntensors);
    return ERR_OK;
}

static err_t read_both(struct pair *p, const struct match_set *s, int64_t t, int64_t first, int64_t n,
                       void *w0, void *w1, struct err *e)
{
    TRY(check_range(s, t, first, n, e));
    if (p->plan.nranges > 0 && n > 0)
        come_to(p, s, t, first, first + n);
    if (decoder_change(s->tuned[t]))
        memset(w0, 0, (size_t)(n * arithmetic_bytes(p->arithmetic)));
    else
        TRY(read_side(p, &p->base, side_of(s, 0, t), &p->scratch[0], first, n, w0, e));
    return read_side(p, &p->tuned, side_of(s, 1, t), &p->scratch[1], first, n, w1, e);
}

err_t pair_base(struct pair *p, const struct match_set *set, int64_t t, int64_t first, int64_t n, void *w0,
                struct err *e)
{
    TRY(check_range(set, t, first, n, e));
    return read_side(p, &p->base, set->base[t], &p->scratch[0], first, n, w0, e);
}

err_t pair_read(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e)
{
    return read_both(p, &p->match.main, t, first, n, w0, w1, e);
}

err_t pair_read_aside(struct pair *p, int64_t t, int64_t first, int64_t n, void *w0, void *w1, struct err *e)
{
    return read_both(p, &p->match.aside, t, first, n, w0, w1, e);
}

void pair_close(struct pair *p)
{
    checkpoint_close(&p->base);
    checkpoint_close(&p->tuned);
    readahead_close(p->reader);
    p->reader = p->base.reader = p->tuned.reader = NULL;
    p->plan = (struct pair_plan){0};
}
