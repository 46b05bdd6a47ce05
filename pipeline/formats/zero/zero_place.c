#include "formats/zero/zero_place.h"

#include <math.h>
#include <string.h>

/* ---- do the files belong together? ---- */

static err_t check_world(const struct zero_model *m, const struct zero_optim *o, int64_t saver, int64_t world,
                         const char *path, struct err *e)
{
    if (o->partitions > 0 && o->partitions != o->most_partitions)
        return err_set(
            e, ERR_DATA,
            "%s: rank %lld: partition_count: groups cut over %lld ranks beside groups cut over %lld: "
            "expected all to be cut over %lld; experts that are cut over groups of ranks are not read",
            path, (long long)saver, (long long)o->partitions, (long long)o->most_partitions,
            (long long)world);
    int64_t told = o->partitions > 0 ? o->partitions : m->world;
    const char *key = o->partitions > 0 ? "partition_count" : "dp_world_size";
    if (told > world)
        return err_set_part(
            e,
            "%s: the optimiser states of rank %lld are missing: rank %lld says that there are %lld ranks "
            "(%s), found %lld files; copy those of all ranks into one folder",
            path, (long long)world, (long long)saver, (long long)told, key, (long long)world);
    if (told > 0 && told < world)
        return err_set(
            e, ERR_DATA,
            "%s: the optimiser states of rank %lld are there, but rank %lld says that there are %lld ranks "
            "(%s): files of two runs are mixed; keep those of one",
            path, (long long)(world - 1), (long long)saver, (long long)told, key);
    if (m->world > world) /* fewer are told of old, where sequences are cut too */
        return err_set(
            e, ERR_DATA,
            "%s: the model states are of %lld ranks (dp_world_size), found optimiser states of %lld: "
            "copy those of all ranks of this step, and no others",
            path, (long long)m->world, (long long)world);
    return ERR_OK;
}

/* Of stages up to 2 the last ranks' parts may be shorter, by what was cut off; of stage 3 none is. */
static err_t check_sizes(const struct zero_optim *a, const struct zero_optim *b, int64_t saver,
                         const char *path, struct err *e)
{
    for (int64_t g = 0; g < a->ngroups; g++) {
        int64_t x = a->groups[g].n, y = b->groups[g].n;
        int same = x == y || (a->cut && b->cut && x + a->cut[g] == y + b->cut[g]);
        if (!same && (a->sharded || (a->cut && b->cut) || y > x))
            return err_set(
                e, ERR_DATA,
                "%s: group %lld has %lld elements on rank 0 and %lld on rank %lld: expected parts of one "
                "size; files of two runs are mixed",
                path, (long long)g, (long long)x, (long long)y, (long long)saver);
        if (a->groups[g].dtype != b->groups[g].dtype)
            return err_set(e, ERR_DATA,
                           "%s: group %lld is %s on rank 0 and %s on rank %lld: expected one type; files "
                           "of two runs are mixed",
                           path, (long long)g, dtype_name(a->groups[g].dtype), dtype_name(b->groups[g].dtype),
                           (long long)saver);
    }
    return ERR_OK;
}

static err_t check_rank(const struct zero_optim *a, const struct zero_optim *b, int64_t saver,
                        const char *path, struct err *e)
{
    if (a->sharded != b->sharded)
        return err_set(e, ERR_DATA,
                       "%s: the optimiser states of rank 0 are of stage %s, those of rank %lld of stage "
                       "%s: files of two runs are mixed",
                       path, a->sharded ? "3" : "1 or 2", (long long)saver, b->sharded ? "3" : "1 or 2");
    if (a->ngroups != b->ngroups)
        return err_set(
            e, ERR_DATA,
            "%s: %lld groups on rank 0, %lld on rank %lld: expected as many; files of two runs are mixed",
            path, (long long)a->ngroups, (long long)b->ngroups, (long long)saver);
    TRY(check_sizes(a, b, saver, path, e));
    if (!isnan(a->step) && !isnan(b->step) && a->step != b->step)
        return err_set(
            e, ERR_DATA,
            "%s: the optimiser states of rank 0 are of step %.0f, those of rank %lld of step %.0f: two "
            "steps are mixed; copy the files of all ranks of one step",
            path, a->step, (long long)saver, b->step);
    if (strcmp(a->version, b->version) != 0)
        return err_set(
            e, ERR_DATA,
            "%s: the optimiser states of rank 0 are of DeepSpeed %s, those of rank %lld of %s: files of two "
            "runs are mixed",
            path, a->version, (long long)saver, b->version);
    return ERR_OK;
}

err_t zero_check_ranks(const struct zero_model *m, const struct zero_optim *ranks, int64_t world,
                       const char *path, struct err *e)
{
    for (int64_t r = 0; r < world; r++) {
        TRY(check_world(m, &ranks[r], r, world, path, e));
        TRY(check_rank(&ranks[0], &ranks[r], r, path, e));
    }
    if (!ranks[0].sharded && m->ngroups != ranks[0].ngroups)
        return err_set(
            e, ERR_DATA,
            "%s: the model states have the shapes of %lld groups (param_shapes), the optimiser states %lld "
            "groups: files of two runs are mixed",
            path, (long long)m->ngroups, (long long)ranks[0].ngroups);
    return ERR_OK;
}

/* ---- pieces ---- */

/* The pieces of one tensor while they are put together. */
struct placing {
    const struct stored_list *list;
    const char *path;
    struct arena *a;
};

static err_t refuse_short(const struct placing *g, const struct stored_tensor *t, int64_t left, int64_t saver,
                          struct err *e)
{
    char where[60] = "its group has";
    if (saver >= 0)
        snprintf(where, sizeof where, "the groups of rank %lld have", (long long)saver);
    return err_set(e, ERR_DATA,
                   "%s: tensor %s: %s %lld elements left for it: expected more, by the shapes of the model "
                   "states; files of two runs are mixed",
                   g->path, t->name, where, (long long)left);
}

/* t, whose pieces are v. */
static err_t complete(const struct placing *g, struct stored_tensor *t, struct stored_piece *v, int64_t n,
                      enum dtype dtype, struct err *e)
{
    t->dtype = n > 0 ? v[0].dtype : dtype;
    return stored_assemble(t, v, n, 1, g->list, g->path, g->a, e);
}

/* ---- stages up to 2 ---- */

static err_t take_paddings(struct zero_model *m, const struct zero_optim *o, const char *path, struct err *e)
{
    int64_t at = 0, next = 0;
    for (int64_t g = 0; o->alignments && g < o->ngroups; g++) {
        int64_t n = 0;
        for (; at + n < m->nparams && m->params[at + n].group == g; n++)
            m->params[at + n].padding = n < o->naligned[g] ? o->alignments[next + n] : 0;
        if (n != o->naligned[g])
            return err_set(e, ERR_DATA,
                           "%s: group %lld: %lld parameters (param_shapes), but %lld paddings behind them "
                           "(param_alignment_paddings): expected as many",
                           path, (long long)g, (long long)n, (long long)o->naligned[g]);
        at += n;
        next += o->naligned[g];
    }
    return ERR_OK;
}

/* What is left of a group's line behind its last parameter is padding, below 2 elements a rank; or padding
 * behind the last parameter has been cut off with it. */
static err_t check_rest(const struct placing *g, int64_t group, int64_t left, int64_t missing, int64_t world,
                        struct err *e)
{
    if (left < 2 * world && missing < 2 * world)
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: group %lld: %lld elements %s by the shapes of the model states (param_shapes): expected fewer "
        "than %lld, for padding; files of two runs are mixed",
        g->path, (long long)group, (long long)(left >= 2 * world ? left : missing),
        left >= 2 * world ? "too many" : "too few", (long long)(2 * world));
}

/* All parameters of one group, from params on. */
static err_t place_group(const struct placing *g, struct zero_param *params, int64_t n, struct zero_line line,
                         int64_t world, struct err *e)
{
    int64_t left = zero_line_left(&line), missing = 0;
    enum dtype dtype = line.n > 0 ? line.v[0].dtype : DTYPE_F32;
    for (int64_t i = 0; i < n; i++) {
        struct stored_tensor *t = &params[i].t;
        struct stored_piece *v;
        if (t->elements > left)
            return refuse_short(g, t, left, -1, e);
        TRY(arena_array(g->a, "zero.pieces", zero_line_count(&line, t->elements), &v, e));
        TRY(complete(g, t, v, zero_line_take(&line, t->elements, 0, v), dtype, e));
        left -= t->elements;
        missing = params[i].padding > left ? params[i].padding - left : 0;
        zero_line_take(&line, params[i].padding - missing, 0, NULL);
        left -= params[i].padding - missing;
    }
    return n > 0 ? check_rest(g, params[0].group, left, missing, world, e) : ERR_OK;
}

/* The runs of all ranks and groups in one array: that of rank r and group g at r * ngroups + g. */
static err_t gather(struct zero_run **out, const struct zero_optim *ranks, int64_t world, struct arena *a,
                    struct err *e)
{
    int64_t n = ranks[0].ngroups;
    TRY(arena_array(a, "zero.runs", n * world, out, e));
    for (int64_t r = 0; r < world; r++)
        for (int64_t k = 0; k < n; k++)
            (*out)[r * n + k] = ranks[r].groups[k];
    return ERR_OK;
}

/* ---- stage 3 ---- */

/* A tensor of n elements, rank r's share of which is what comes next in line r. */
static err_t place_shares(const struct placing *g, struct stored_tensor *t, struct zero_line *lines,
                          int64_t world, enum dtype dtype, struct err *e)
{
    int64_t share = t->elements / world + (t->elements % world > 0), count = 0, n = 0;
    for (int64_t r = 0; r < world; r++)
        count += zero_line_count(&lines[r], share);
    struct stored_piece *v;
    TRY(arena_array(g->a, "zero.pieces", count, &v, e));
    for (int64_t r = 0; r < world; r++) {
        int64_t start = min64(r * share, t->elements), own = min64(share, t->elements - start);
        n += zero_line_take(&lines[r], own, start, v + n);
        zero_line_take(&lines[r], share - own, 0, NULL); /* padding */
    }
    return complete(g, t, v, n, dtype, e);
}

static err_t place_sharded(const struct placing *g, struct zero_model *m, struct zero_line *lines,
                           int64_t world, struct err *e)
{
    enum dtype dtype = lines[0].n > 0 ? lines[0].v[0].dtype : DTYPE_F32;
    int64_t left = zero_line_left(&lines[0]); /* as of each other rank: their sizes are the same */
    for (int64_t i = 0; i < m->nparams; i++) {
        struct stored_tensor *t = &m->params[i].t;
        int64_t share = t->elements / world + (t->elements % world > 0);
        if (share > left)
            return refuse_short(g, t, left, 0, e);
        left -= share;
        TRY(place_shares(g, t, lines, world, dtype, e));
    }
    if (left > 0)
        return err_set(
            e, ERR_DATA,
            "%s: %lld elements of each rank's groups belong to no parameter, by the shapes of the model "
            "states (param_shapes): expected none; files of two runs are mixed",
            g->path, (long long)left);
    return ERR_OK;
}

err_t zero_place_params(struct zero_model *m, const struct zero_optim *ranks, int64_t world,
                        const struct stored_list *list, const char *path, struct arena *a, struct err *e)
{
    const struct placing g = {list, path, a};
    struct zero_run *runs;
    struct zero_line *lines;
    int64_t ngroups = ranks[0].ngroups, at = 0;
    TRY(gather(&runs, ranks, world, a, e));
    if (ranks[0].sharded) {
        TRY(arena_array(a, "zero.lines", world, &lines, e));
        for (int64_t r = 0; r < world; r++)
            lines[r] = (struct zero_line){.v = runs + r * ngroups, .n = ngroups, .stride = 1};
        return place_sharded(&g, m, lines, world, e);
    }
    TRY(take_paddings(m, &ranks[0], path, e));
    for (int64_t k = 0; k < ngroups; k++) {
        int64_t n = 0;
        while (at + n < m->nparams && m->params[at + n].group == k)
            n++;
        TRY(place_group(&g, m->params + at, n,
                        (struct zero_line){.v = runs + k, .n = world, .stride = ngroups}, world, e));
        at += n;
    }
    return ERR_OK;
}

err_t zero_place_frozen(struct zero_model *m, const struct zero_run *fragments, int64_t world,
                        const struct stored_list *list, const char *path, struct arena *a, struct err *e)
{
    const struct placing g = {list, path, a};
    struct zero_line *lines;
    TRY(arena_array(a, "zero.lines", world, &lines, e));
    for (int64_t i = 0; i < m->nfrozen; i++) {
        struct stored_tensor *t = &m->frozen[i].t;
        int64_t share = t->elements / world + (t->elements % world > 0);
        for (int64_t r = 0; r < world; r++) {
            const struct zero_run *run = &fragments[r * m->nfrozen + i];
            if (run->n != share)
                return err_set(
                    e, ERR_DATA,
                    "%s: frozen tensor %s: rank %lld has %lld elements of %lld: expected %lld, its share "
                    "of %lld ranks; files of two runs are mixed",
                    path, t->name, (long long)r, (long long)run->n, (long long)t->elements, (long long)share,
                    (long long)world);
            lines[r] = (struct zero_line){.v = run, .n = 1, .stride = 1};
        }
        TRY(place_shares(&g, t, lines, world, fragments[i].dtype, e));
    }
    return ERR_OK;
}
