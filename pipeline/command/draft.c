#include "command/draft.h"

#include "study/cells.h"
#include "study/param.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AXES = 4, NUMBER = 24 };
enum draft_axis { FAMILY, ALGORITHM, SEED, STEP };
static const char *const axis_keys[AXES] = {"families", "algorithms", "seeds", "steps"};
static const char *const axis_words[AXES] = {"family", "algorithm", "seed", "step"};

/* Cells whose paths are one pattern. */
struct group {
    int64_t n;
    const struct proposed **cells;
    int naxis[AXES];         /* different values */
    const char **axis[AXES]; /* in the order in which they come */
    int64_t product;         /* cells of the axes together */
};

/* The cell's value on an axis, as it stands in a config; "" where it has none. */
static const char *value_of(const struct proposed *c, int axis, char *number)
{
    if (axis == FAMILY)
        return c->family;
    if (axis == ALGORITHM)
        return c->algorithm;
    if (axis == STEP && c->step < 0)
        return "";
    snprintf(number, NUMBER, "%lld", (long long)(axis == SEED ? c->seed : c->step));
    return number;
}

static int find_value(const struct group *g, int axis, const char *value)
{
    for (int i = 0; i < g->naxis[axis]; i++)
        if (strcmp(g->axis[axis][i], value) == 0)
            return i;
    return -1;
}

static err_t add_to_group(struct group *g, const struct proposed *c, struct arena *a, struct err *e)
{
    char number[NUMBER];
    for (int k = 0; k < AXES; k++) {
        const char *value = value_of(c, k, number);
        if (find_value(g, k, value) < 0 && !(g->axis[k][g->naxis[k]++] = arena_strdup(a, value, e)))
            return e->code;
    }
    g->cells[g->n++] = c;
    return ERR_OK;
}

/* Those of a base alone are compared with nothing. */
static int has_logits(const struct proposed *c)
{
    return c->tuned->logits ? 1 + c->base->logits : 0;
}

static int same_pattern(const struct proposed *a, const struct proposed *b)
{
    return a->base_pattern && b->base_pattern && a->tuned_pattern && b->tuned_pattern &&
           strcmp(a->base_pattern, b->base_pattern) == 0 && strcmp(a->tuned_pattern, b->tuned_pattern) == 0 &&
           has_logits(a) == has_logits(b) && (a->step < 0) == (b->step < 0);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = 0, y = 0;
    int_parse(*(const char *const *)a, &x);
    int_parse(*(const char *const *)b, &y);
    return (x > y) - (x < y);
}

/* The cells of the pattern of cell `first`. */
static err_t gather(struct group *g, const struct proposal *p, int64_t first, struct arena *a, struct err *e)
{
    *g = (struct group){.product = 1};
    TRY(arena_array(a, "draft.cells", p->n, &g->cells, e));
    for (int k = 0; k < AXES; k++)
        TRY(arena_array(a, "draft.axis", p->n, &g->axis[k], e));
    for (int64_t i = first; i < p->n; i++)
        if (same_pattern(&p->cells[first], &p->cells[i]))
            TRY(add_to_group(g, &p->cells[i], a, e));
    for (int k = 0; k < AXES; k++) {
        if (k >= SEED && g->naxis[k] > 0)
            qsort(g->axis[k], (size_t)g->naxis[k], sizeof *g->axis[k], by_number);
        g->product = g->product > MATRIX_CELLS ? g->product : g->product * g->naxis[k];
    }
    return ERR_OK;
}

/* The largest group that is more than half of its product. n is 0 where there is none of two cells. */
static err_t find_matrix(struct group *best, const struct proposal *p, struct arena *a, struct err *e)
{
    char *seen;
    *best = (struct group){0};
    TRY(arena_array(a, "draft.seen", p->n, &seen, e));
    for (int64_t i = 0; i < p->n; i++) {
        struct group g;
        if (seen[i] || !p->cells[i].tuned_pattern || !p->cells[i].base_pattern)
            continue;
        TRY(gather(&g, p, i, a, e));
        for (int64_t k = 0; k < g.n; k++)
            seen[g.cells[k] - p->cells] = 1;
        if (g.n > 1 && g.n > best->n && 2 * g.n > g.product)
            *best = g;
    }
    return ERR_OK;
}

/* ---- the matrix ---- */

/* A name as YAML has it; one that YAML could take for something else stands in quotes. */
static err_t put_name(struct text *t, const char *name, struct err *e)
{
    static const char *const special[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    int quote = name[0] >= '0' && name[0] <= '9';
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        quote |= strcmp(name, special[i]) == 0;
    return text_add(t, e, quote ? "\"%s\"" : "%s", name);
}

/* A value as it stands in a config: seeds and steps are numbers. */
static err_t put_value(struct text *t, int is_number, const char *value, struct err *e)
{
    return is_number ? text_add(t, e, "%s", value) : put_name(t, value, e);
}

static const char no_seed[] = "0 where no folder's name says one",
                  no_algorithm[] = "where no folder's name says a known one";

static err_t put_axis(struct text *t, const struct group *g, int axis, struct err *e)
{
    TRY(text_add(t, e, "  %s: [", axis_keys[axis]));
    for (int i = 0; i < g->naxis[axis]; i++) {
        TRY(text_add(t, e, "%s", i ? ", " : ""));
        TRY(put_value(t, axis == SEED || axis == STEP, g->axis[axis][i], e));
    }
    int seeds = 0, algorithms = 0;
    for (int64_t i = 0; i < g->n; i++) {
        seeds += g->cells[i]->seed_guessed;
        algorithms += g->cells[i]->algorithm_guessed;
    }
    if ((axis == SEED && seeds > 0) || (axis == ALGORITHM && algorithms > 0))
        return text_add(t, e, "] # guessed %s\n", axis == SEED ? no_seed : no_algorithm);
    return text_add(t, e, "]\n");
}

/* A pattern; a place of an axis with one value, that one, which reads better. A step stays a place. */
static err_t put_pattern(struct text *t, const struct group *g, const char *pattern, struct arena *a,
                         struct err *e)
{
    struct text path = {.arena = a};
    TRY(text_add(&path, e, "%s", ""));
    for (const char *p = pattern; *p;) {
        int axis = -1;
        for (int k = 0; k < AXES && *p == '{'; k++)
            if (strncmp(p + 1, axis_words[k], strlen(axis_words[k])) == 0)
                axis = k;
        size_t n = axis < 0 ? 1 : strlen(axis_words[axis]) + 2;
        if (axis >= 0 && axis != STEP && g->naxis[axis] == 1)
            TRY(text_add(&path, e, "%s", g->axis[axis][0]));
        else
            TRY(text_add(&path, e, "%.*s", (int)n, p));
        p += n;
    }
    err_t code = param_quote(t, path.text, e);
    arena_drop(a, path.text);
    return code;
}

static err_t put_logits(struct text *t, const struct group *g, struct arena *a, struct err *e)
{
    const struct proposed *c = g->cells[0];
    if (!has_logits(c))
        return ERR_OK;
    TRY(text_add(t, e, "  logits: {"));
    if (c->base->logits) {
        TRY(text_add(t, e, "base: "));
        TRY(put_pattern(t, g, c->base_pattern, a, e));
    }
    TRY(text_add(t, e, "%stuned: ", c->base->logits ? ", " : ""));
    TRY(put_pattern(t, g, c->tuned_pattern, a, e));
    return text_add(t, e, "}\n");
}

/* The keys by which more could be taken of a checkpoint than is by default. */
static err_t put_choices(struct text *t, const struct proposed *c, const char *indent, struct err *e)
{
    if (c->masters)
        TRY(text_add(
            t, e,
            "%s# weights: masters or model, to take what the trainer trained or what is deployed; 'sinew check' says which is taken\n",
            indent));
    if (c->tuned->adapter)
        TRY(text_add(
            t, e, "%s# adapter: exact, for its own update instead of the merged weights, which bf16 rounds\n",
            indent));
    return ERR_OK;
}

/* What of the product is not there. */
static err_t put_excluded(struct text *t, const struct group *g, struct arena *a, struct err *e)
{
    char *there, number[NUMBER];
    int said = 0;
    TRY(arena_array(a, "draft.there", g->product, &there, e));
    for (int64_t i = 0; i < g->n; i++) {
        int64_t at = 0;
        for (int k = 0; k < AXES; k++)
            at = at * g->naxis[k] + find_value(g, k, value_of(g->cells[i], k, number));
        there[at] = 1;
    }
    for (int64_t i = 0; i < g->product; i++) {
        int at[AXES];
        int64_t rest = i;
        if (there[i])
            continue;
        for (int k = AXES - 1; k >= 0; k--) {
            at[k] = (int)(rest % g->naxis[k]);
            rest /= g->naxis[k];
        }
        TRY(text_add(t, e, "%s    - {", said++ ? "" : "  exclude: # not on disk\n"));
        for (int k = 0, some = 0; k < AXES; k++) {
            if (g->naxis[k] == 1)
                continue;
            TRY(text_add(t, e, "%s%s: ", some++ ? ", " : "", axis_words[k]));
            TRY(put_value(t, k == SEED || k == STEP, g->axis[k][at[k]], e));
        }
        TRY(text_add(t, e, "}\n"));
    }
    return ERR_OK;
}

/* ---- what was guessed ---- */

/* A text in a comment: one line of it, whatever it holds. */
static err_t put_comment(struct text *t, const char *text, struct err *e)
{
    for (const char *p = text; *p; p++)
        TRY(text_put(t, e, (unsigned char)*p < 0x20 || *p == 0x7f || (unsigned char)*p >= 0x80 ? "?" : p, 1));
    return ERR_OK;
}

static err_t put_guess(struct text *t, const struct proposed *c, const char *indent, struct err *e)
{
    return c->guessed ? text_add(t, e, "%s# guessed: %s\n", indent, c->guessed) : ERR_OK;
}

static err_t put_matrix(struct text *t, const struct group *g, struct arena *a, struct err *e)
{
    if (g->n == 0)
        return ERR_OK;
    TRY(text_add(t, e, "matrix:\n"));
    for (int k = 0; k < AXES; k++)
        if (g->axis[k][0][0])
            TRY(put_axis(t, g, k, e));
    for (int64_t i = 0, said = 0; i < g->n && !said; i++)
        if (g->cells[i]->guessed) {
            TRY(put_guess(t, g->cells[i], "  ", e));
            said = 1;
        }
    TRY(text_add(t, e, "  base: "));
    TRY(put_pattern(t, g, g->cells[0]->base_pattern, a, e));
    TRY(text_add(t, e, "\n  tuned: "));
    TRY(put_pattern(t, g, g->cells[0]->tuned_pattern, a, e));
    TRY(text_add(t, e, "\n"));
    TRY(put_logits(t, g, a, e));
    TRY(put_choices(t, g->cells[0], "  ", e));
    return put_excluded(t, g, a, e);
}

/* ---- explicit cells ---- */

static err_t put_cell(struct text *t, const struct proposed *c, struct err *e)
{
    TRY(put_guess(t, c, "  ", e));
    TRY(put_choices(t, c, "  ", e));
    TRY(text_add(t, e, "  - {family: "));
    TRY(put_name(t, c->family, e));
    TRY(text_add(t, e, ", algorithm: "));
    TRY(put_name(t, c->algorithm, e));
    TRY(text_add(t, e, ", seed: %lld", (long long)c->seed));
    if (c->step >= 0)
        TRY(text_add(t, e, ", step: %lld", (long long)c->step));
    TRY(text_add(t, e, ",\n     base: "));
    TRY(param_quote(t, c->base->path, e));
    TRY(text_add(t, e, ",\n     tuned: "));
    TRY(param_quote(t, c->tuned->path, e));
    if (has_logits(c)) {
        TRY(text_add(t, e, ",\n     logits: {%s", c->base->logits ? "base: " : ""));
        TRY(c->base->logits ? param_quote(t, c->base->path, e) : ERR_OK);
        TRY(text_add(t, e, "%stuned: ", c->base->logits ? ", " : ""));
        TRY(param_quote(t, c->tuned->path, e));
        TRY(text_add(t, e, "}"));
    }
    return text_add(t, e, "}\n");
}

/* What was guessed of several cells is said once. */
static err_t put_cell_guesses(struct text *t, const struct proposal *p, struct err *e)
{
    int seeds = 0, algorithms = 0;
    for (int64_t i = 0; i < p->n; i++) {
        seeds |= p->cells[i].seed_guessed;
        algorithms |= p->cells[i].algorithm_guessed;
    }
    if (seeds)
        TRY(text_add(t, e, "  # guessed: seeds, %s\n", no_seed));
    return algorithms ? text_add(t, e, "  # guessed: algorithms, %s\n", no_algorithm) : ERR_OK;
}

static err_t put_cells(struct text *t, const struct proposal *p, const struct group *matrix, struct err *e)
{
    int said = 0;
    for (int64_t i = 0; i < p->n; i++) {
        int in = 0;
        for (int64_t k = 0; k < matrix->n && !in; k++)
            in = matrix->cells[k] == &p->cells[i];
        if (in)
            continue;
        if (!said++) {
            TRY(text_add(t, e, "cells:\n"));
            TRY(put_cell_guesses(t, p, e));
        }
        TRY(put_cell(t, &p->cells[i], e));
    }
    return ERR_OK;
}

/* ---- stages ---- */

/* What the cells have something for. */
struct wanted {
    int overlap, dynamics, logits, f32;
};

static struct wanted look(const struct proposal *p)
{
    struct wanted w = {0};
    for (int64_t i = 0; i < p->n; i++) {
        const struct proposed *a = &p->cells[i];
        w.logits |= has_logits(a) != 0;
        w.f32 |= a->f32;
        for (int64_t k = 0; k < i; k++) {
            const struct proposed *b = &p->cells[k];
            int same = strcmp(a->base->path, b->base->path) == 0;
            w.overlap |= same;
            w.dynamics |= same && a->step != b->step && a->seed == b->seed &&
                          strcmp(a->family, b->family) == 0 && strcmp(a->algorithm, b->algorithm) == 0;
        }
        if (w.overlap && w.dynamics && w.logits && w.f32)
            break;
    }
    return w;
}

static err_t put_stages(struct text *t, const struct proposal *p, struct err *e)
{
    struct wanted w = look(p);
    TRY(text_add(t, e, "stages:\n  load: {}\n"));
    if (p->unmatched) {
        TRY(text_add(t, e, "  # Tensors without a partner are left out, and listed in table skipped: "));
        TRY(put_comment(t, p->unmatched, e));
        TRY(text_add(t, e, "\n"));
    }
    TRY(text_add(t, e, "  delta: {needs: [load]%s}\n",
                 p->unmatched ? ", unmatched: skip, rows: common" : ""));
    if (w.f32)
        TRY(text_add(
            t, e,
            "  # Some tuned weights are float32 and their base is not. What bf16 hides shows in one more:\n"
            "  # delta-f32: {kind: delta, needs: [load], arithmetic: f32, store: none}\n"));
    TRY(text_add(t, e, "  mask: {needs: [delta]}\n  rank: {needs: [delta]}\n"));
    if (w.overlap)
        TRY(text_add(t, e, "  overlap: {needs: [mask]}\n"));
    if (w.dynamics)
        TRY(text_add(t, e, "  dynamics: {needs: [delta]}\n"));
    if (w.logits)
        TRY(text_add(t, e, "  token-entropy: {needs: [load]}\n"));
    return text_add(t, e, "  report: {needs: [mask, rank%s%s%s]}\n", w.overlap ? ", overlap" : "",
                    w.dynamics ? ", dynamics" : "", w.logits ? ", token-entropy" : "");
}

/* Was it said already, or is it in the study after all, as a base? */
static int is_settled(const struct proposal *p, int64_t note)
{
    const struct survey_note *notes = p->survey->notes;
    for (int64_t i = 0; i < note; i++)
        if (strcmp(notes[i].path, notes[note].path) == 0)
            return 1;
    for (int64_t i = 0; i < p->n; i++)
        if (strcmp(p->cells[i].base->path, notes[note].path) == 0)
            return 1;
    return 0;
}

static err_t put_notes(struct text *t, const struct proposal *p, struct err *e)
{
    const struct survey *s = p->survey;
    int said = 0;
    for (int64_t i = 0; i < s->nnotes; i++) {
        if (is_settled(p, i))
            continue;
        TRY(text_add(t, e, "%s#   ", said++ ? "" : "\n# Seen, and not in the study:\n"));
        TRY(put_comment(t, s->notes[i].path, e));
        TRY(text_add(t, e, ": "));
        TRY(put_comment(t, s->notes[i].why, e));
        TRY(text_add(t, e, "\n"));
    }
    return ERR_OK;
}

err_t draft_write(struct text *out, const struct proposal *p, const char *name, struct err *e)
{
    struct group matrix;
    TRY(find_matrix(&matrix, p, p->arena, e));
    TRY(text_add(
        out, e,
        "# A study of %lld cell%s, as 'sinew init' found them. configs/reference.yaml explains every key.\nstudy: ",
        (long long)p->n, p->n == 1 ? "" : "s"));
    TRY(put_name(out, name, e));
    TRY(text_add(out, e, "\noutput: results/%s # relative to where sinew runs\n", name));
    TRY(put_matrix(out, &matrix, p->arena, e));
    TRY(put_cells(out, p, &matrix, e));
    TRY(put_stages(out, p, e));
    return put_notes(out, p, e);
}
