#include "compare/pair.h"

#include "hdf5/h5.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- catalogues ---- */

err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e)
{
    struct table files, tensors;
    const char **paths;
    table_init(&files, "files", a);
    table_init(&tensors, "catalogue", a);
    TRY(arena_array(a, "catalogue.paths", c->nfiles, &paths, e));
    for (int64_t i = 0; i < c->nfiles; i++) {
        const struct checkpoint_file *file = &c->files[i];
        char hash[20];
        snprintf(hash, sizeof hash, "%016" PRIx64, file->header_hash);
        /* absolute, so that it is found from wherever a later command runs */
        paths[i] = path_absolute(a, file->path, e);
        if (!paths[i])
            return e->code;
        TRY(TABLE_ADD(&files, e, V_TEXT(paths[i]), V_INT(file->size_bytes), V_INT(file->mtime_ns),
                      V_TEXT(hash)));
    }
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct checkpoint_tensor *t = &c->tensors[i];
        char shape[200], strides[200] = "";
        if (t->strides)
            shape_text(t->ndim, t->strides, strides, sizeof strides);
        TRY(TABLE_ADD(&tensors, e, V_TEXT(t->name), V_TEXT(shape_text(t->ndim, t->dims, shape, sizeof shape)),
                      V_TEXT(dtype_name(t->dtype)), V_INT(t->layer), V_TEXT(t->module), V_INT(t->elements),
                      V_TEXT(paths[t->file]), V_INT(t->offset_bytes), V_INT(t->size_bytes), V_TEXT(strides)));
    }
    TRY(h5_table_write(f, "files", &files, e));
    TRY(h5_table_write(f, "catalogue", &tensors, e));
    char *path = path_absolute(a, c->path, e);
    if (!path)
        return e->code;
    TRY(h5_set_text(f, "/", "checkpoint", c->path, e));
    TRY(h5_set_text(f, "/", "checkpoint_absolute", path, e));
    TRY(h5_set_text(f, "/", "format", c->format, e));
    TRY(h5_set_text(f, "/", "simulated", c->simulated ? c->simulated : "", e));
    TRY(h5_set_text(f, "/", "config", c->config.path ? c->config.path : "", e));
    TRY(h5_set_text(f, "/", "config_problem", c->config.problem ? c->config.problem : "", e));
    TRY(h5_set_int(f, "/", "config_layers", c->config.layers, e));
    TRY(h5_set_int(f, "/", "config_tied", c->config.tied, e));
    TRY(h5_set_int(f, "/", "tensors", c->ntensors, e));
    return h5_set_int(f, "/", "parameters", c->parameters, e);
}

static err_t take_files(struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e)
{
    struct table t;
    table_init(&t, "files", a);
    TRY(h5_table_read(f, "files", &t, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.files", t.nrows, &c->files, e));
    c->nfiles = t.nrows;
    for (int64_t i = 0; i < t.nrows; i++)
        c->files[i] =
            (struct checkpoint_file){.path = table_text(&t, i, "path"),
                                     .size_bytes = table_int(&t, i, "size_bytes"),
                                     .mtime_ns = table_int(&t, i, "mtime_ns"),
                                     .header_hash = strtoull(table_text(&t, i, "header_hash"), NULL, 16),
                                     .fd = -1};
    arena_drop(a, t.values);
    return ERR_OK;
}

/* Index of a file by path, beginning at `near`: neighbours in the list mostly lie in one file. -1: none. */
static int find_file(const struct checkpoint *c, const char *path, int near)
{
    for (int64_t k = 0; k < c->nfiles; k++) {
        int64_t i = (near + k) % c->nfiles;
        if (strcmp(c->files[i].path, path) == 0)
            return (int)i;
    }
    return -1;
}

/* An artifact is a file like any other: what is used as a size or an index is checked. */
static err_t check_row(const struct checkpoint *c, const struct checkpoint_tensor *t, const char *artifact,
                       struct err *e)
{
    int64_t n = 1, bits;
    int bad = t->dtype == DTYPE_COUNT || t->file < 0 || t->offset_bytes < 0;
    for (int i = 0; i < t->ndim; i++)
        bad |= __builtin_mul_overflow(n, t->dims[i], &n);
    bad |= n != t->elements || __builtin_mul_overflow(n, (int64_t)dtype_bits(t->dtype), &bits) ||
           bits / 8 != t->size_bytes;
    if (!bad) {
        int64_t span = checkpoint_span(t);
        bad = span < 0 || span > c->files[t->file].size_bytes - t->offset_bytes;
    }
    if (t > c->tensors && strcmp(t[-1].name, t->name) >= 0)
        bad = 1;
    if (bad)
        return err_set(e, ERR_DATA,
                       "%s: the catalogue is damaged at tensor %s; run sinew run again with --force",
                       artifact, t->name);
    return ERR_OK;
}

static err_t take_strides(struct checkpoint_tensor *t, const char *text, struct arena *a, struct err *e)
{
    int64_t strides[TENSOR_MAX_NDIM], *kept;
    int n = 0;
    if (text[0] == '\0')
        return ERR_OK;
    TRY(shape_parse(text, &n, strides, e));
    if (n != t->ndim)
        return err_set(e, ERR_DATA, "tensor %s: expected %d strides, found %d", t->name, t->ndim, n);
    TRY(arena_array(a, "checkpoint.strides", n, &kept, e));
    memcpy(kept, strides, (size_t)n * sizeof *kept);
    t->strides = kept;
    return ERR_OK;
}

static err_t take_tensors(struct checkpoint *c, struct h5 *f, const char *artifact, struct arena *a,
                          struct err *e)
{
    struct table t;
    table_init(&t, "catalogue", a);
    TRY(h5_table_read(f, "catalogue", &t, 0, -1, NULL, e));
    TRY(arena_array(a, "checkpoint.tensors", t.nrows, &c->tensors, e));
    int near = 0;
    for (int64_t i = 0; i < t.nrows; i++) {
        struct checkpoint_tensor *x = &c->tensors[i];
        *x = (struct checkpoint_tensor){.name = table_text(&t, i, "tensor"),
                                        .module = table_text(&t, i, "module"),
                                        .layer = table_int(&t, i, "layer"),
                                        .dtype = dtype_find(table_text(&t, i, "dtype")),
                                        .elements = table_int(&t, i, "parameters"),
                                        .file = find_file(c, table_text(&t, i, "file"), near),
                                        .offset_bytes = table_int(&t, i, "offset_bytes"),
                                        .size_bytes = table_int(&t, i, "size_bytes")};
        TRY(shape_parse(table_text(&t, i, "shape"), &x->ndim, x->dims, e));
        TRY(take_strides(x, table_text(&t, i, "strides"), a, e));
        TRY(check_row(c, x, artifact, e));
        near = x->file;
        c->parameters += x->elements;
        c->ntensors++;
    }
    arena_drop(a, t.values);
    return ERR_OK;
}

static err_t take_config(struct model_config *m, struct h5 *f, struct err *e)
{
    char *path, *problem;
    int64_t tied;
    TRY(h5_get_text(f, "/", "config", &path, e));
    TRY(h5_get_text(f, "/", "config_problem", &problem, e));
    TRY(h5_get_int(f, "/", "config_layers", &m->layers, e));
    TRY(h5_get_int(f, "/", "config_tied", &tied, e));
    m->path = path[0] ? path : NULL;
    m->problem = problem[0] ? problem : NULL;
    m->tied = tied == MODEL_TIED_YES  ? MODEL_TIED_YES
              : tied == MODEL_TIED_NO ? MODEL_TIED_NO
                                      : MODEL_TIED_UNKNOWN;
    return ERR_OK;
}

err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e)
{
    struct h5 *f;
    char *path, *format, *simulated;
    *c = (struct checkpoint){0};
    TRY(h5_open(artifact, 0, a, &f, e));
    err_t code = h5_get_text(f, "/", "checkpoint", &path, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "format", &format, e);
    if (code == ERR_OK)
        code = h5_get_text(f, "/", "simulated", &simulated, e);
    if (code == ERR_OK)
        code = take_config(&c->config, f, e);
    if (code == ERR_OK) {
        c->path = path;
        c->format = format;
        c->simulated = simulated[0] ? simulated : NULL;
        code = take_files(c, f, a, e);
    }
    if (code == ERR_OK)
        code = take_tensors(c, f, artifact, a, e);
    err_t closed = h5_close(f, e);
    return code != ERR_OK ? code : closed;
}

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
    const struct checkpoint_tensor *t = s->scale ? s->scale : s->tensor;
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
    const struct checkpoint_tensor *t = s->tensor;
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
