#include "command/proposal.h"

#include "base/path.h"
#include "command/naming.h"
#include "compare/pair.h"
#include "formats/checkpoint.h"
#include "formats/folders/hub.h"
#include "formats/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- bases ---- */

/* How a base was found. */
enum base_source { BASE_NAMED, BASE_NEAR, BASE_FIRST, BASE_STEP, BASE_INSTEAD };

/* A tuned checkpoint while it is thought about. */
struct candidate {
    const struct sighting *s;
    struct naming naming;
    const struct sighting *base; /* NULL: none was found */
    enum base_source source;
};

struct thought {
    struct proposal *p;
    struct survey *survey;
    struct arena *arena;
    struct naming *namings; /* parallel to survey->found */
    int64_t n;
    struct candidate *tuned;
};

/* May it be what others are compared with? */
static int may_be_base(const struct thought *w, int64_t i)
{
    return !w->survey->found[i].adapter && w->namings[i].step < 0;
}

/* The nearest checkpoint that the name given by another one means: a path, the end of one, or a hub's
 * ORG/NAME. */
static const struct sighting *find_named(const struct thought *w, const struct sighting *s, const char *name)
{
    const struct sighting *best = NULL;
    struct stat st;
    int exists = stat(name, &st) == 0, nearest = -1;
    size_t n = strlen(name);
    for (int64_t i = 0; i < w->survey->n; i++) {
        const struct sighting *f = &w->survey->found[i];
        size_t have = strlen(f->path);
        int same = exists && f->device == st.st_dev && f->inode == st.st_ino;
        int ends =
            have >= n && strcmp(f->path + have - n, name) == 0 && (have == n || f->path[have - n - 1] == '/');
        int near = naming_common(f->path, s->path);
        if (f == s || !may_be_base(w, i) || !(same || ends || (f->hub && strcmp(f->hub, name) == 0)))
            continue;
        if (same)
            return f;
        if (near > nearest) {
            nearest = near;
            best = f;
        }
    }
    return best;
}

/* A checkpoint outside the folders given, by the path or the hub's name that an adapter gives for its base.
 */
static err_t find_outside(struct thought *w, const char *name, const struct sighting **out, struct err *e)
{
    const char *path = name, *slash = strchr(name, '/'), *model, *hub;
    *out = NULL;
    if (!checkpoint_exists(path)) {
        struct survey cache = {.arena = w->arena, .log = w->survey->log};
        TRY(hub_locate(name, &model, &hub, w->arena, e));
        if (model)
            TRY(survey_look(&cache, model, e));
        path = cache.n > 0 ? cache.found[0].path : name;
    }
    if (!checkpoint_exists(path))
        return ERR_OK;
    struct sighting *s;
    TRY(arena_array(w->arena, "proposal.base", 1, &s, e));
    s->path = arena_strdup(w->arena, path, e);
    s->hub = slash && !strchr(slash + 1, '/') && name[0] != '/' ? name : NULL;
    *out = s;
    return e->code;
}

/* The nearest folder that is called as bases are. */
static const struct sighting *find_near(const struct thought *w, const struct sighting *s)
{
    const struct sighting *best = NULL;
    int nearest = -1, likely = 0;
    for (int64_t i = 0; i < w->survey->n; i++) {
        const struct sighting *f = &w->survey->found[i];
        int near = naming_common(f->path, s->path);
        if (f == s || !w->namings[i].base || !may_be_base(w, i))
            continue;
        if (near > nearest || (near == nearest && w->namings[i].base < likely)) {
            nearest = near;
            likely = w->namings[i].base;
            best = f;
        }
    }
    return best;
}

/* The first of the folders given that is a checkpoint itself, and no step. */
static const struct sighting *find_first(const struct thought *w, const struct sighting *s)
{
    const struct sighting *best = NULL;
    for (int64_t i = 0; i < w->survey->n; i++) {
        const struct sighting *f = &w->survey->found[i];
        if (f != s && f->is_root && may_be_base(w, i) && (!best || f->root < best->root))
            best = f;
    }
    return best && best->root < s->root ? best : NULL;
}

/* Are two checkpoints steps of one run: is their way the same but for the step? */
static int same_run(const struct thought *w, int64_t i, int64_t k)
{
    const char *p = w->survey->found[i].path, *q = w->survey->found[k].path;
    struct span a = w->namings[i].step_at, b = w->namings[k].step_at;
    return a.n > 0 && b.n > 0 && a.at == b.at && strncmp(p, q, (size_t)a.at) == 0 &&
           strcmp(p + a.at + a.n, q + b.at + b.n) == 0;
}

/* The first step of the run that a step is of; NULL where it is itself that. */
static const struct sighting *find_first_step(const struct thought *w, const struct sighting *s)
{
    int64_t at = s - w->survey->found, best = at;
    for (int64_t i = 0; i < w->survey->n; i++)
        if (w->namings[i].step < w->namings[best].step && !w->survey->found[i].adapter && same_run(w, at, i))
            best = i;
    return best == at ? NULL : &w->survey->found[best];
}

static err_t find_base(struct thought *w, struct candidate *c, struct err *e)
{
    const char *names[] = {c->s->adapter, c->s->came_from};
    c->source = BASE_NAMED;
    for (int i = 0; i < 2 && !c->base; i++)
        if (names[i] && names[i][0])
            c->base = find_named(w, c->s, names[i]);
    if (!c->base && c->s->adapter && c->s->adapter[0])
        TRY(find_outside(w, c->s->adapter, &c->base, e));
    if (!c->base && (c->base = find_near(w, c->s)))
        c->source = BASE_NEAR;
    if (!c->base && (c->base = find_first(w, c->s)))
        c->source = BASE_FIRST;
    if (!c->base && c->s->came_from && c->s->came_from[0])
        TRY(find_outside(w, c->s->came_from, &c->base, e));
    if (!c->base) {
        c->source = BASE_STEP;
        c->base = find_first_step(w, c->s);
    }
    return ERR_OK;
}

/* Did the user name the first as a folder of its own, before that of the second? The base comes first. */
static int is_given_before(const struct sighting *base, const struct sighting *tuned)
{
    return base->is_root && base->root < tuned->root;
}

/* All that are not bases alone. A base that stands on another one, as sft on base, is a cell too. */
static err_t find_bases(struct thought *w, struct err *e)
{
    char *is_base;
    TRY(arena_array(w->arena, "proposal.bases", w->survey->n, &is_base, e));
    TRY(arena_array(w->arena, "proposal.tuned", w->survey->n, &w->tuned, e));
    for (int64_t i = 0; i < w->survey->n; i++) {
        struct candidate c = {.s = &w->survey->found[i], .naming = w->namings[i]};
        TRY(find_base(w, &c, e));
        if (c.base && w->namings[i].base && c.source != BASE_NAMED &&
            (c.base < w->survey->found || c.base >= w->survey->found + w->survey->n ||
             w->namings[c.base - w->survey->found].base >= w->namings[i].base ||
             (naming_common(c.base->path, c.s->path) <= c.s->known && !is_given_before(c.base, c.s))))
            c.base = NULL; /* another family's base */
        w->tuned[w->n++] = c;
    }
    for (int64_t i = 0; i < w->n; i++) {
        const struct sighting *b = w->tuned[i].base;
        if (b >= w->survey->found && b < w->survey->found + w->survey->n)
            is_base[b - w->survey->found] = 1;
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < w->n; i++)
        if (w->tuned[i].base)
            w->tuned[kept++] = w->tuned[i];
        else if (!is_base[i])
            TRY(survey_add_note(w->survey, w->tuned[i].s->path,
                                "no base was found for it: give the base's folder to 'sinew init' too, first",
                                e));
    w->n = kept;
    return ERR_OK;
}

/* ---- matching ---- */

/* A checkpoint held open: the base of cell after cell. */
struct held {
    struct arena arena;
    const struct sighting *of;
    struct checkpoint c;
    struct err bad;
};

static err_t hold(struct held *h, const struct sighting *s, const char *base)
{
    if (h->of == s)
        return h->bad.code;
    const struct choice choice = {.base = base};
    arena_reset(&h->arena);
    err_clear(&h->bad);
    h->of = s;
    return checkpoint_open(&h->c, s->path, &choice, &h->arena, &h->bad);
}

static int is_f32(const struct checkpoint *c)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->ntensors; i++)
        n += decoder_type(&c->tensors[i]) == DTYPE_F32 ? c->tensors[i].elements : 0;
    return 2 * n > c->parameters;
}

/* What a choice of weights comes to: a number that differs where the types of tensors do; 0:
 * they cannot be had. */
static uint64_t weights_under(const struct proposed *cell, enum choice_weights weights, struct mem *m)
{
    const struct choice choice = {.weights = weights, .base = cell->base->path};
    struct arena scratch;
    struct checkpoint c;
    struct err bad;
    uint64_t sum = 1;
    err_clear(&bad);
    arena_init(&scratch, m);
    if (checkpoint_open(&c, cell->tuned->path, &choice, &scratch, &bad) != ERR_OK)
        sum = 0;
    for (int64_t i = 0; sum > 0 && i < c.ntensors; i++)
        sum = 31 * sum + (uint64_t)decoder_type(&c.tensors[i]);
    arena_release(&scratch);
    return sum;
}

/* Does it hold the optimiser's weights beside the model's? */
static int has_masters(const struct proposed *cell, const struct checkpoint *c, struct mem *m)
{
    const struct format *format = format_named(c->format);
    return format && !(format->ignores & CHOICE_OF_WEIGHTS) && !cell->tuned->adapter &&
           weights_under(cell, CHOICE_WEIGHTS_MASTERS, m) != weights_under(cell, CHOICE_WEIGHTS_MODEL, m);
}

/* With tensors left out that have no partner, as long as run would compare so many: where the names differ,
 * the few that happen to be alike are no comparison, and strictly is what is said. */
static err_t try_loose(const struct checkpoint *base, const struct checkpoint *tuned,
                       const struct err *strictly, struct arena *scratch, struct err *bad)
{
    static const struct match_policy loose = {
        .rows = MATCH_ROWS_COMMON, .skip_unmatched = 1, .coverage = COVERAGE_LEAST};
    struct match m;
    if (match_build(&m, base, tuned, &loose, "", "", NULL, scratch, bad) != ERR_OK)
        *bad = *strictly;
    return bad->code;
}

/* Does the pair match as delta does by default, else with tensors left out that have no partner? Why it does
 * not, and with the latter why not as by default, goes to bad. */
static err_t try_pair(const struct proposal *p, struct proposed *cell, struct held *base, struct held *tuned,
                      struct err *bad)
{
    static const struct match_policy strict = {0};
    struct arena scratch;
    struct err first;
    err_clear(&first);
    if (hold(base, cell->base, NULL) != ERR_OK) {
        *bad = base->bad;
        return bad->code;
    }
    if (hold(tuned, cell->tuned, cell->base->path) != ERR_OK) {
        *bad = tuned->bad;
        return bad->code;
    }
    arena_init(&scratch, p->arena->mem);
    err_t code = pair_check(&base->c, &tuned->c, &strict, cell->tuned->path, NULL, NULL, &scratch, &first);
    if (code != ERR_OK) {
        cell->unmatched = 1;
        arena_reset(&scratch);
        code = try_loose(&base->c, &tuned->c, &first, &scratch, bad);
    }
    arena_release(&scratch);
    cell->masters = code == ERR_OK && has_masters(cell, &tuned->c, p->arena->mem);
    cell->f32 = code == ERR_OK && is_f32(&tuned->c) && !is_f32(&base->c);
    if (code == ERR_OK && cell->unmatched)
        *bad = first;
    return code;
}

/* ---- names ---- */

static const char *const guesses[] = {
    [BASE_NEAR] = NULL,
    [BASE_NAMED] = NULL,
    [BASE_FIRST] = "its base is the first folder that was given",
    [BASE_STEP] = "no base was found: the run's first step stands in for it",
    [BASE_INSTEAD] = "it does not match the base that was found: the run's first step stands in for it",
};

static err_t name_cell(struct thought *w, const struct candidate *c, struct proposed *cell, struct span *raw,
                       struct err *e)
{
    char *family, *rest, *above = NULL;
    TRY(naming_family(cell->base, raw, &family, w->arena, e));
    cell->family = family;
    TRY(naming_rest(cell->tuned, cell->base, family, &rest, w->arena, e));
    cell->seed = c->naming.seed >= 0 ? c->naming.seed : 0;
    cell->step = c->naming.step;
    cell->guessed = guesses[c->source];
    cell->seed_guessed = c->naming.seed < 0;
    if (c->naming.algorithm.n > 0)
        above = arena_strndup(w->arena, cell->tuned->path + c->naming.algorithm.at,
                              (size_t)c->naming.algorithm.n, e);
    else if (!rest[0])
        TRY(naming_above(cell->tuned, &above, w->arena, e));
    cell->algorithm_guessed = !above;
    cell->algorithm = above ? above : rest[0] ? rest : cell->tuned->adapter ? "lora" : "tuned";
    return e->code;
}

static int same_name(const struct proposed *a, const struct proposed *b)
{
    return a->seed == b->seed && a->step == b->step && strcmp(a->family, b->family) == 0 &&
           strcmp(a->algorithm, b->algorithm) == 0;
}

/* Two cells of one name: the later takes what else its path says into it, then a number. */
static err_t part_names(struct thought *w, struct proposed *cell, struct err *e)
{
    const struct proposal *p = w->p;
    const char *first = cell->algorithm;
    for (int tries = 1; tries <= SURVEY_FOUND; tries++) {
        int taken = 0;
        for (int64_t i = 0; i < p->n && !taken; i++)
            taken = same_name(&p->cells[i], cell);
        if (!taken)
            return ERR_OK;
        char *rest;
        TRY(naming_rest(cell->tuned, cell->base, cell->family, &rest, w->arena, e));
        if (tries == 1 && rest[0] && strcmp(rest, first) != 0)
            cell->algorithm = guess_word(w->arena, rest, (int)strlen(rest), e);
        else
            cell->algorithm = arena_printf(w->arena, e, "%.80s-%d", first, tries);
        cell->guessed = "it is called by its folder, as another one would have the same name";
        if (!cell->algorithm)
            return e->code;
    }
    return ERR_OK;
}

static err_t make_patterns(struct thought *w, struct proposed *cell, struct span raw, struct err *e)
{
    int whole = raw.n == (int)strlen(cell->family) &&
                strncmp(cell->base->path + raw.at, cell->family, (size_t)raw.n) == 0;
    struct naming_words words = {.family = whole ? cell->family : NULL, .seed = -1, .step = -1};
    char *base, *tuned;
    TRY(naming_pattern(cell->base, &words, &base, w->arena, e));
    words.algorithm = cell->algorithm;
    words.seed = cell->seed;
    words.step = cell->step;
    TRY(naming_pattern(cell->tuned, &words, &tuned, w->arena, e));
    cell->base_pattern = base;
    cell->tuned_pattern = tuned;
    return ERR_OK;
}

/* ---- the whole ---- */

/* One cell from a candidate, unless it cannot be compared, which is noted. */
static err_t propose(struct thought *w, struct candidate *c, struct held *base, struct held *tuned,
                     struct err *e)
{
    struct proposal *p = w->p;
    struct proposed cell = {.tuned = c->s, .base = c->base};
    struct err bad, again;
    struct span raw;
    err_clear(&bad);
    err_clear(&again);
    if (try_pair(p, &cell, base, tuned, &bad) != ERR_OK) {
        const struct sighting *first = c->source == BASE_STEP ? NULL : find_first_step(w, c->s);
        cell = (struct proposed){.tuned = c->s, .base = first};
        if (!first || try_pair(p, &cell, base, tuned, &again) != ERR_OK)
            return survey_add_note(w->survey, c->s->path, bad.text, e);
        TRY(survey_add_note(w->survey, c->base->path, bad.text, e));
        c->source = BASE_INSTEAD;
    }
    if (cell.unmatched)
        cell.unmatched_why = arena_strdup(w->arena, c->source == BASE_INSTEAD ? again.text : bad.text, e);
    TRY(name_cell(w, c, &cell, &raw, e));
    TRY(part_names(w, &cell, e));
    TRY(make_patterns(w, &cell, raw, e));
    TRY(arena_grow(p->arena, "proposal.cells", p->n + 1, &p->cap, &p->cells, e));
    p->cells[p->n++] = cell;
    return ERR_OK;
}

static err_t propose_all(struct thought *w, struct err *e)
{
    struct held base = {.of = NULL}, tuned = {.of = NULL};
    err_t code = ERR_OK;
    arena_init(&base.arena, w->arena->mem);
    arena_init(&tuned.arena, w->arena->mem);
    err_clear(&base.bad);
    err_clear(&tuned.bad);
    for (int64_t i = 0; i < w->n && code == ERR_OK; i++)
        code = propose(w, &w->tuned[i], &base, &tuned, e);
    arena_release(&tuned.arena);
    arena_release(&base.arena);
    return code;
}

/* Leaving tensors out is said once for all cells: where some match in full, those that do not are left out,
 * rather than that all are matched less strictly. */
static err_t settle_unmatched(struct thought *w, struct err *e)
{
    struct proposal *p = w->p;
    int64_t full = 0, kept = 0;
    for (int64_t i = 0; i < p->n; i++)
        full += !p->cells[i].unmatched;
    if (full == 0) {
        p->unmatched = p->n > 0 ? p->cells[0].unmatched_why : NULL;
        return ERR_OK;
    }
    for (int64_t i = 0; i < p->n; i++)
        if (!p->cells[i].unmatched)
            p->cells[kept++] = p->cells[i];
        else
            TRY(survey_add_note(w->survey, p->cells[i].tuned->path, p->cells[i].unmatched_why, e));
    p->n = kept;
    return ERR_OK;
}

err_t proposal_make(struct proposal *p, struct err *e)
{
    struct survey *s = p->survey;
    struct thought w = {.p = p, .survey = s, .arena = p->arena};
    TRY(arena_array(p->arena, "proposal.namings", s->n, &w.namings, e));
    for (int64_t i = 0; i < s->n; i++)
        w.namings[i] = naming_of(&s->found[i]);
    TRY(find_bases(&w, e));
    TRY(propose_all(&w, e));
    TRY(settle_unmatched(&w, e));
    if (p->n > 0)
        return ERR_OK;
    for (int64_t i = 0; i < s->nnotes; i++)
        if (s->n > 1 || strcmp(s->notes[i].path, s->found[0].path) != 0)
            return err_set(
                e, ERR_DATA, "%lld checkpoint%s found, first %s, and no two that can be compared; %s: %s",
                (long long)s->n, s->n == 1 ? "" : "s", s->found[0].path, s->notes[i].path, s->notes[i].why);
    return err_set(
        e, ERR_DATA,
        "%lld checkpoint%s found, first %s, and nothing to compare it with: give the base's folder too, first",
        (long long)s->n, s->n == 1 ? "" : "s", s->found[0].path);
}
