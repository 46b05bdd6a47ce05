#include "compare/pair.h"

#include "formats/catalogue.h"

#include <string.h>

/* ---- pairs ---- */

err_t pair_check(const struct checkpoint *base, const struct checkpoint *tuned,
                 const struct match_policy *policy, const char *cell, struct arena *a, struct err *e)
{
    struct match m;
    err_t code = match_build(&m, base, tuned, policy, cell, "", NULL, a, e);
    err_item(e, "%s", cell);
    return code;
}

/* Bytes of the widest element of a set, as it is read. */
static int widest_in(const struct match_set *s)
{
    int widest = 1;
    for (int64_t i = 0; i < s->layout.ntensors; i++) {
        int x = dtype_bits(s->base[i].tensor->dtype) / 8, y = dtype_bits(s->tuned[i].tensor->dtype) / 8;
        int codes = s->base[i].scale || s->tuned[i].scale ? 4 : 0; /* codes, and bf16 on the way to f32 */
        widest = x > widest ? x : widest;
        widest = y > widest ? y : widest;
        widest = codes > widest ? codes : widest;
    }
    return widest;
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
    int main = widest_in(&p->match.main), aside = widest_in(&p->match.aside);
    char *raw;
    TRY(arena_array(a, "pair.raw", (int64_t)LAYOUT_BLOCK * (main > aside ? main : aside), &raw, e));
    p->raw = raw;
    for (int i = 0; i < 2; i++) {
        p->scales[i].cap = fp8_scales_needed(LAYOUT_BLOCK);
        TRY(arena_array(a, "pair.scales", p->scales[i].cap, &p->scales[i].v, e));
    }
    return pair_read_by(p, &unasked, e);
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

/* Tells the file system, once, of what the reader does not fetch: a strided tensor from this block on, or the
 * scales of a tensor of codes. */
static void advise(struct pair_plan *plan, int side, struct checkpoint *c, const struct match_side *s,
                   int64_t first, int64_t elements)
{
    const struct stored_tensor *t = s->scale ? s->scale : s->tensor;
    if ((!s->scale && !t->strides) || plan->advised[side] == t)
        return;
    if (s->scale)
        checkpoint_advise(c, t, 0, t->elements);
    else
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
    const struct match_side *s = side ? &r->set->tuned[at.tensor] : &r->set->base[at.tensor];
    int64_t done = plan->sent[side];
    if (done < at.n) {
        advise(plan, side, c, s, at.first, r->set->layout.tensors[at.tensor].elements);
        plan->sent[side] += checkpoint_ahead(c, s->tensor, at.first + done, at.n - done, plan->next);
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

/* FP8: through bf16, whatever the compare type. The codes stand in the first quarter of raw, bf16 in its
 * second half. */
static err_t read_codes(const struct pair *p, struct checkpoint *c, const struct match_side *s,
                        struct fp8_scales *scales, int64_t first, int64_t n, void *out, struct err *e)
{
    uint16_t *bf16 = p->arithmetic == ARITHMETIC_BF16 ? out : (uint16_t *)p->raw + LAYOUT_BLOCK;
    TRY(fp8_read(c, s->tensor, s->scale, first, n, p->raw, scales, bf16, e));
    if (p->arithmetic != ARITHMETIC_BF16)
        tensor_to_compare(p->arithmetic, DTYPE_BF16, bf16, n, out);
    return ERR_OK;
}

/* One side of a block. Elements as wide as the compare type are read in place, and converted there if they
 * must be; integers and bools stay as they are. */
static err_t read_side(const struct pair *p, struct checkpoint *c, const struct match_side *s,
                       struct fp8_scales *scales, int64_t first, int64_t n, void *out, struct err *e)
{
    const struct stored_tensor *t = s->tensor;
    if (s->scale)
        return read_codes(p, c, s, scales, first, n, out, e);
    int in_place = dtype_is_bits(t->dtype) || dtype_bits(t->dtype) == 8 * arithmetic_bytes(p->arithmetic);
    void *to = in_place ? out : p->raw;
    TRY(checkpoint_read(c, t, first, n, to, e));
    if (!dtype_is_bits(t->dtype))
        tensor_to_compare(p->arithmetic, t->dtype, to, n, out);
    return ERR_OK;
}

static err_t read_both(struct pair *p, const struct match_set *s, int64_t t, int64_t first, int64_t n,
                       void *w0, void *w1, struct err *e)
{
    if (t < 0 || t >= s->layout.ntensors || n < 0 || n > LAYOUT_BLOCK || first < 0 ||
        first > s->layout.tensors[t].elements - n)
        return err_set(e, ERR_BUG,
                       "%lld elements from %lld on of tensor %lld of a pair of %lld were asked for",
                       (long long)n, (long long)first, (long long)t, (long long)s->layout.ntensors);
    if (p->plan.nranges > 0 && n > 0)
        come_to(p, s, t, first, first + n);
    TRY(read_side(p, &p->base, &s->base[t], &p->scales[0], first, n, w0, e));
    return read_side(p, &p->tuned, &s->tuned[t], &p->scales[1], first, n, w1, e);
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
