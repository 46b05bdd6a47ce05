#include "study/cells.h"
#include "study/choices.h"
#include "study/param.h"
#include "study/steps.h"
#include "base/path.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum axis_id { FAMILY, ALGORITHM, SEED, DATA, STEP, NAXES };
enum pattern_id { BASE, TUNED, LOGITS_BASE, LOGITS_TUNED, NPATTERNS };
enum { NUMBER = 40, WHAT = 160, SHOWN = 60 };
enum {
    MAX_GUESSED = 1000,               /* words among which the one that was meant is looked for */
    MAX_EXCLUDED = 100 * MATRIX_CELLS /* cells that all entries of exclude cover */
};

/* The axes: their words in patterns, cells and exclude, and their keys in the matrix. */
static const char *const axis_words[NAXES] = {"family", "algorithm", "seed", "data", "step"};
static const char *const axis_keys[NAXES] = {"families", "algorithms", "seeds", "data", "steps"};

/* The paths: their keys, and their names in complaints. */
static const char *const path_keys[NPATTERNS] = {"base", "tuned", "base", "tuned"};
static const char *const path_names[NPATTERNS] = {"base", "tuned", "logits.base", "logits.tuned"};

static const struct key matrix_keys[] = {
    {"families", 1}, {"algorithms", 2}, {"seeds", 3},   {"data", 0},    {"steps", 0},   {"base", 4},
    {"tuned", 5},    {"logits", 0},     {"exclude", 0}, {"weights", 0}, {"adapter", 0}, {"merge", 0},
};
static const struct key logits_keys[] = {{"base", 1}, {"tuned", 1}};
static const struct key exclude_keys[] = {
    {"family", 1}, {"algorithm", 1}, {"seed", 1}, {"data", 1}, {"step", 1}};
static const struct key cell_keys[] = {
    {"family", 1}, {"algorithm", 2}, {"seed", 0},      {"data", 0},    {"step", 0},    {"base", 3},
    {"tuned", 4},  {"logits", 0},    {"published", 0}, {"weights", 0}, {"adapter", 0}, {"merge", 0},
};
#define NKEYS(keys) ((int)(sizeof(keys) / sizeof(keys)[0]))

/* A text and the number it has among its like. */
struct named_cell {
    const char *name;
    int at;
};

/* Values of an axis as text; n is 0 where the matrix has no such axis. sorted: the same by text, each with
 * its place in values. bad: complained of, so nothing can be checked by it. */
struct axis {
    int n, bad;
    const char **values;
    struct named_cell *sorted;
};

/* One entry of exclude: the values it names on each axis. */
struct exclude {
    struct axis axis[NAXES];
};

struct matrix {
    struct axis axis[NAXES];
    struct pattern patterns[NPATTERNS];
    int has[NPATTERNS];
    struct choice choice;
    int nexcludes;
    struct exclude *excludes;
};

/* One value of an axis as it stands in names and paths; NULL after a complaint. */
static const char *axis_value(const struct asker *r, const struct item *it, enum axis_id axis,
                              const char *what)
{
    if (axis != SEED && axis != STEP)
        return item_name(r, it, what);
    int64_t number;
    if (item_int(r, it, 0, what, &number) != 0)
        return NULL;
    return arena_printf(r->arena, r->e, "%lld", (long long)number);
}

static int compare_named(const void *left, const void *right)
{
    const struct named_cell *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->at > b->at) - (a->at < b->at);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct named_cell *)left)->name, ((const struct named_cell *)right)->name);
}

/* Place of a value in axis->values, which holds each once; -1 where it is not. */
static int axis_find(const struct axis *axis, const char *value)
{
    const struct named_cell key = {.name = value};
    const struct named_cell *found =
        axis->n > 0 ? bsearch(&key, axis->sorted, (size_t)axis->n, sizeof key, by_name) : NULL;
    return found ? found->at : -1;
}

/* Complains of a value that the matrix does not have. */
static void refuse_value(const struct asker *r, struct mark at, enum axis_id id, const char *what,
                         const char *value, const struct axis *within)
{
    if (within->n == 0) {
        problem_add(r->problems, at, "%s: the matrix has no key %s", what, axis_keys[id]);
        return;
    }
    struct text_hint hint;
    int nguessed = within->n <= MAX_GUESSED ? within->n : 0;
    problem_add(r->problems, at, "%s: \"%s\" is not in matrix.%s%s", what, value, axis_keys[id],
                text_meant(&hint, value, within->values, nguessed, "; ", "", ""));
}

/* Sorts the values and complains of those given twice. marks: where each stands. Returns 0, or -1 after
 * complaints. */
static int sort_axis(const struct asker *r, const char *what, struct axis *axis, const struct mark *marks)
{
    int bad = 0, first = 0;
    for (int i = 0; i < axis->n; i++)
        axis->sorted[i] = (struct named_cell){axis->values[i], i};
    if (axis->n > 0)
        qsort(axis->sorted, (size_t)axis->n, sizeof *axis->sorted, compare_named);
    for (int i = 1; i < axis->n; i++) {
        const struct named_cell *value = &axis->sorted[i];
        if (by_name(value, &axis->sorted[first]) != 0) {
            first = i;
            continue;
        }
        problem_add(r->problems, marks[value->at], "%s: \"%s\" is given twice", what, value->name);
        bad = -1;
    }
    return bad;
}

/* A list of values, each given once. within: values that may be named, NULL for any. */
static void read_axis(const struct asker *r, struct item *it, enum axis_id id, const char *what,
                      const struct axis *within, struct axis *out)
{
    struct item **items;
    struct mark *marks;
    int n, bad = 0;
    out->bad = 1;
    if (item_scalars(r, it, what, &items, &n) != 0)
        return;
    if (n == 0 || n > MATRIX_CELLS) {
        if (n == 0)
            problem_add(r->problems, it->mark, "%s: the list is empty", what);
        else
            problem_add(r->problems, it->mark, "%s: %d values, expected at most %d", what, n, MATRIX_CELLS);
        return;
    }
    if (arena_array(r->arena, "config", n, &out->values, r->e) != ERR_OK ||
        arena_array(r->arena, "config", n, &out->sorted, r->e) != ERR_OK ||
        arena_array(r->arena, "config", n, &marks, r->e) != ERR_OK)
        return;
    for (int i = 0; i < n; i++) {
        const char *value = axis_value(r, items[i], id, what);
        if (value && within && !within->bad && axis_find(within, value) < 0) {
            refuse_value(r, items[i]->mark, id, what, value, within);
            value = NULL;
        }
        bad |= !value;
        if (!value)
            continue;
        out->values[out->n] = value;
        marks[out->n++] = items[i]->mark;
    }
    out->bad = sort_axis(r, what, out, marks) != 0 || bad;
    arena_drop(r->arena, marks);
}

/* A pattern of the matrix, or the plain path of a cell (nwords 0). Returns 0, or -1 after a complaint. */
static int read_pattern(const struct asker *r, const struct item *it, int nwords, const char *what,
                        struct pattern *out)
{
    if (item_pattern(r, it, axis_words, nwords, what, out) != 0)
        return -1;
    int filled = 0;
    for (int i = 0; i < out->n; i++)
        filled |= !out->pieces[i].text || out->pieces[i].text[0];
    if (!filled)
        problem_add(r->problems, it->mark, "%s: the path is empty", what);
    return filled ? 0 : -1;
}

/* base, tuned and logits, of a matrix or a cell, into patterns; has[] says which are there. Returns 0, or -1
 * after complaints. */
static int read_paths(const struct asker *r, const struct item *map, int nwords, const char *what,
                      struct pattern *patterns, int *has)
{
    char name[WHAT];
    int bad = 0;
    const struct item *logits = item_get(map, "logits", NULL);
    part_name(name, WHAT, what, "logits");
    if (logits && item_expect(r, logits, ITEM_MAP, name) == 0)
        item_check_keys(r, logits, logits_keys, NKEYS(logits_keys), name);
    else if (logits)
        bad = 1;
    for (int i = 0; i < NPATTERNS; i++) {
        const struct item *it = item_get(i < LOGITS_BASE ? map : logits, path_keys[i], NULL);
        part_name(name, WHAT, what, path_names[i]);
        has[i] = it != NULL;
        if (it && read_pattern(r, it, nwords, name, &patterns[i]) != 0)
            bad = 1;
    }
    if (!has[BASE] || !has[TUNED])
        bad = 1; /* said with the keys */
    return bad ? -1 : 0;
}

/* Patterns may use an axis only if the matrix has it. */
static void check_words(const struct asker *r, const struct item *map, const struct matrix *m)
{
    for (int i = 0; i < NPATTERNS; i++)
        for (int k = 0; k < m->patterns[i].n; k++) {
            const struct piece *part = &m->patterns[i].pieces[k];
            if (part->text || m->axis[part->word].n > 0 || m->axis[part->word].bad)
                continue;
            const struct item *it =
                item_get(i < LOGITS_BASE ? map : item_get(map, "logits", NULL), path_keys[i], NULL);
            problem_add(r->problems, it->mark, "matrix.%s: {%s} is used, but the matrix has no key %s",
                        path_names[i], axis_words[part->word], axis_keys[part->word]);
            break;
        }
}

static void read_excludes(const struct asker *r, const struct item *list, struct matrix *m)
{
    if (item_expect(r, list, ITEM_LIST, "matrix.exclude") != 0 ||
        arena_array(r->arena, "config", list->n, &m->excludes, r->e) != ERR_OK)
        return;
    if (list->n > MATRIX_CELLS) {
        problem_add(r->problems, list->mark, "matrix.exclude: %d entries, expected at most %d", list->n,
                    MATRIX_CELLS);
        return;
    }
    for (int i = 0; i < list->n; i++) {
        struct item *entry = list->items[i];
        struct exclude *x = &m->excludes[m->nexcludes++];
        if (item_expect(r, entry, ITEM_MAP, "matrix.exclude") != 0)
            continue;
        item_check_keys(r, entry, exclude_keys, NKEYS(exclude_keys), "matrix.exclude");
        for (int k = 0; k < NAXES; k++) {
            char what[WHAT];
            part_name(what, WHAT, "matrix.exclude", axis_words[k]);
            struct item *it = item_get(entry, axis_words[k], NULL);
            if (it)
                read_axis(r, it, (enum axis_id)k, what, &m->axis[k], &x->axis[k]);
        }
    }
}

/* Values of an axis that a cell is counted by: one where the matrix has no such axis. */
static int64_t axis_size(const struct matrix *m, int axis)
{
    return m->axis[axis].n ? m->axis[axis].n : 1;
}

/* Cells that all entries of exclude cover together, each counted as often as it is covered; more than
 * MAX_EXCLUDED: as many as were counted by then. */
static int64_t count_excluded(const struct matrix *m)
{
    int64_t all = 0;
    for (int i = 0; i < m->nexcludes && all <= MAX_EXCLUDED; i++) {
        int64_t n = 1; /* not above the number of cells */
        for (int k = 0; k < NAXES; k++)
            n *= m->excludes[i].axis[k].n ? m->excludes[i].axis[k].n : axis_size(m, k);
        all += n;
    }
    return all;
}

/* Marks the cells that an entry of exclude covers. at: the number of the cell as far as the axes before
 * `axis` tell it. */
static void mark_excluded(const struct matrix *m, const struct exclude *x, int axis, int64_t at, char *out)
{
    if (axis == NAXES) {
        out[at] = 1;
        return;
    }
    const struct axis *named = &x->axis[axis];
    int64_t size = axis_size(m, axis), n = named->n ? named->n : size;
    for (int64_t i = 0; i < n; i++) {
        int64_t value = named->n ? axis_find(&m->axis[axis], named->values[i]) : i;
        mark_excluded(m, x, axis + 1, at * size + value, out);
    }
}

/* A filled pattern as a clean path; NULL where the pattern is not there, when e is set, or after a complaint
 * that it is longer than any path may be, with *bad set. */
static const char *path_of(const struct asker *r, const struct pattern *p, int has, const char *const *values,
                           struct mark at, int *bad)
{
    char *path = has ? pattern_fill(r, p, values) : NULL;
    if (!path)
        return NULL;
    size_t n = strlen(path);
    if (n < PATH_MAX)
        return path_clean(r->arena, path, r->e);
    if (!*bad)
        problem_add(r->problems, at, "a path of %zu bytes, %.*s..., expected fewer than %d", n, SHOWN, path,
                    PATH_MAX);
    arena_drop(r->arena, path);
    *bad = 1;
    return NULL;
}

/* The paths in which the step's digits are looked for on disk: those whose patterns have {step}. NULL: none,
 * or e is set. */
static const struct steps *steps_of(const struct asker *r, const struct pattern *patterns, const int *has,
                                    const char *const *values, struct mark at, int *bad)
{
    const char *marked[NAXES];
    struct steps *steps = NULL;
    memcpy(marked, values, sizeof marked);
    marked[STEP] = STEPS_MARK;
    for (int i = 0; i < NPATTERNS && values[STEP][0]; i++) {
        int places = 0;
        for (int k = 0; has[i] && k < patterns[i].n; k++)
            places += !patterns[i].pieces[k].text && patterns[i].pieces[k].word == STEP;
        if (places == 0)
            continue;
        if (!steps && arena_array(r->arena, "config", 1, &steps, r->e) != ERR_OK)
            return NULL;
        steps->path[i] = path_of(r, &patterns[i], 1, marked, at, bad);
    }
    return steps;
}

/* A new cell from the texts of its axes ("" for data, step without any) and its paths; NULL when e is set, or
 * after a complaint. */
static struct cell *add_cell(const struct asker *r, struct cells *out, const char *const *values,
                             const struct pattern *patterns, const int *has, struct mark at)
{
    if (arena_grow(r->arena, "config", out->n + 1, &out->cap, &out->list, r->e) != ERR_OK ||
        arena_grow(r->arena, "config", out->n + 1, &out->cap_marks, &out->marks, r->e) != ERR_OK)
        return NULL;
    struct cell *c = &out->list[out->n];
    *c = (struct cell){
        .family = values[FAMILY], .algorithm = values[ALGORITHM], .data = values[DATA], .step = -1};
    int_parse(values[SEED], &c->seed);
    if (values[STEP][0])
        int_parse(values[STEP], &c->step);
    c->name = arena_printf(r->arena, r->e, "%s/%s/%s%s%s%s%s", c->family, c->algorithm, values[SEED],
                           c->data[0] ? "+" : "", c->data, values[STEP][0] ? "@" : "", values[STEP]);
    const char **const paths[NPATTERNS] = {&c->base, &c->tuned, &c->logits_base, &c->logits_tuned};
    int bad = 0;
    for (int i = 0; i < NPATTERNS; i++)
        *paths[i] = path_of(r, &patterns[i], has[i], values, at, &bad);
    c->steps = steps_of(r, patterns, has, values, at, &bad);
    if (bad || r->e->code != ERR_OK)
        return NULL;
    out->marks[out->n++] = at;
    return c;
}

/* The product of the axes, the last one fastest. */
static void expand(const struct asker *r, const struct matrix *m, struct mark at, struct cells *out)
{
    int before = out->n;
    int64_t total = 1;
    for (int k = 0; k < NAXES; k++) {
        total *= axis_size(m, k);
        if (total > MATRIX_CELLS) {
            problem_add(r->problems, at, "matrix: more than %d cells", MATRIX_CELLS);
            return;
        }
    }
    if (count_excluded(m) > MAX_EXCLUDED) {
        problem_add(r->problems, at,
                    "matrix.exclude: more than %d cells, each counted as often as it is excluded",
                    MAX_EXCLUDED);
        return;
    }
    char *excluded;
    if (arena_array(r->arena, "config", total, &excluded, r->e) != ERR_OK)
        return;
    for (int i = 0; i < m->nexcludes; i++)
        mark_excluded(m, &m->excludes[i], 0, 0, excluded);
    for (int64_t i = 0; i < total; i++) {
        const char *values[NAXES];
        int64_t rest = i;
        for (int k = NAXES - 1; k >= 0; k--) {
            int64_t n = axis_size(m, k);
            values[k] = m->axis[k].n ? m->axis[k].values[rest % n] : "";
            rest /= n;
        }
        struct cell *c = excluded[i] ? NULL : add_cell(r, out, values, m->patterns, m->has, at);
        if (!excluded[i] && !c)
            return;
        if (c)
            c->choice = m->choice;
    }
    arena_drop(r->arena, excluded);
    if (out->n == before)
        problem_add(r->problems, at, "matrix: exclude leaves no cell");
}

void matrix_expand(const struct asker *r, const struct item *matrix, struct mark at, struct cells *out)
{
    struct matrix *m;
    if (item_expect(r, matrix, ITEM_MAP, "matrix") != 0 ||
        arena_array(r->arena, "config", 1, &m, r->e) != ERR_OK)
        return;
    int said = r->problems->n;
    item_check_keys(r, matrix, matrix_keys, NKEYS(matrix_keys), "matrix");
    for (int k = 0; k < NAXES; k++) {
        char what[WHAT];
        part_name(what, WHAT, "matrix", axis_keys[k]);
        struct item *it = item_get(matrix, axis_keys[k], NULL);
        if (it)
            read_axis(r, it, (enum axis_id)k, what, NULL, &m->axis[k]);
        else
            m->axis[k].bad =
                k <= SEED || item_meant(r, matrix, matrix_keys, NKEYS(matrix_keys), axis_keys[k]);
    }
    int bad = read_paths(r, matrix, NAXES, "matrix", m->patterns, m->has) != 0;
    bad |= choices_read(r, matrix, "matrix", &m->choice) != 0;
    check_words(r, matrix, m);
    const struct item *excludes = item_get(matrix, "exclude", NULL);
    if (excludes)
        read_excludes(r, excludes, m);
    for (int k = 0; k < NAXES; k++)
        bad |= m->axis[k].bad;
    if (!bad && said == r->problems->n && r->e->code == ERR_OK)
        expand(r, m, at, out);
}

/* ---- explicit cells ---- */

/* One map of quantities with an optional source, added to the cell's published figures. */
static void read_source(const struct asker *r, const struct item *map, const char *what, struct cell *c,
                        int64_t *cap)
{
    char name[WHAT];
    if (item_expect(r, map, ITEM_MAP, what) != 0)
        return;
    const char *source = "";
    const struct item *it = item_get(map, "source", NULL);
    part_name(name, WHAT, what, "source");
    if (it && !(source = item_text(r, it, name)))
        source = "";
    for (int i = 0; i < map->n; i++) {
        if (strcmp(map->keys[i], "source") == 0)
            continue;
        if (!name_is_valid(map->keys[i])) {
            problem_add(r->problems, map->key_marks[i], "%s: \"%.60s\" is no valid name of a quantity", what,
                        map->keys[i]);
            continue;
        }
        double value;
        part_name(name, WHAT, what, map->keys[i]);
        if (item_real(r, map->items[i], name, &value) != 0)
            continue;
        if (arena_grow(r->arena, "config", c->npublished + 1, cap, &c->published, r->e) != ERR_OK)
            return;
        c->published[c->npublished++] =
            (struct published){.source = source, .quantity = map->keys[i], .value = value};
    }
}

/* A map of quantities, or a list of such maps where several sources published figures. */
static void read_published(const struct asker *r, const struct item *it, const char *what, struct cell *c)
{
    int64_t cap = 0;
    if (it->kind != ITEM_LIST) {
        read_source(r, it, what, c, &cap);
        return;
    }
    for (int i = 0; i < it->n; i++)
        read_source(r, it->items[i], what, c, &cap);
}

static void read_cell(const struct asker *r, const struct item *map, const char *what, struct cells *out)
{
    if (item_expect(r, map, ITEM_MAP, what) != 0)
        return;
    char name[WHAT];
    item_check_keys(r, map, cell_keys, NKEYS(cell_keys), what);
    const char *values[NAXES] = {[SEED] = "0", [DATA] = "", [STEP] = ""};
    int bad = 0;
    for (int k = 0; k < NAXES; k++) {
        const struct item *it = item_get(map, axis_words[k], NULL);
        part_name(name, WHAT, what, axis_words[k]);
        if (it)
            values[k] = axis_value(r, it, (enum axis_id)k, name);
        bad |= !values[k];
    }
    struct pattern patterns[NPATTERNS] = {{0}};
    int has[NPATTERNS];
    bad |= read_paths(r, map, 0, what, patterns, has) != 0;
    struct cell unplaced = {0};
    bad |= choices_read(r, map, what, &unplaced.choice) != 0;
    const struct item *published = item_get(map, "published", NULL);
    part_name(name, WHAT, what, "published");
    if (published)
        read_published(r, published, name, &unplaced);
    struct cell *c = bad ? NULL : add_cell(r, out, values, patterns, has, map->mark);
    if (c) {
        c->choice = unplaced.choice;
        c->npublished = unplaced.npublished;
        c->published = unplaced.published;
    }
}

void matrix_cells(const struct asker *r, const struct item *list, struct cells *out)
{
    if (item_expect(r, list, ITEM_LIST, "cells") != 0)
        return;
    if (list->n == 0)
        problem_add(r->problems, list->mark, "cells: the list is empty");
    for (int i = 0; i < list->n && r->e->code == ERR_OK; i++) {
        char what[WHAT];
        snprintf(what, sizeof what, "cells[%d]", i);
        if (i == MATRIX_CELLS) {
            problem_add(r->problems, list->items[i]->mark, "cells: more than %d cells", MATRIX_CELLS);
            return;
        }
        read_cell(r, list->items[i], what, out);
    }
}

void matrix_check_names(const struct asker *r, const struct cells *cells)
{
    struct named_cell *all;
    if (arena_array(r->arena, "config", cells->n, &all, r->e) != ERR_OK)
        return;
    for (int i = 0; i < cells->n; i++)
        all[i] = (struct named_cell){cells->list[i].name, i};
    qsort(all, (size_t)cells->n, sizeof *all, compare_named);
    int first = 0;
    for (int i = 1; i < cells->n; i++) {
        if (strcmp(all[i].name, all[first].name) != 0)
            first = i;
        else
            problem_add(r->problems, cells->marks[all[i].at], "cell %s is named twice (first in line %d)",
                        all[i].name, cells->marks[all[first].at].line);
    }
    arena_drop(r->arena, all);
}

/* "  key: "value"" of one more pair of a flow map. */
static err_t add_pair(struct text *out, const char *key, const char *value, struct err *e)
{
    TRY(text_add(out, e, ", %s: ", key));
    return param_quote(out, value, e);
}

static err_t add_published(struct text *out, const struct cell *c, struct err *e)
{
    TRY(text_add(out, e, ", published: ["));
    for (int i = 0; i < c->npublished; i++) {
        const struct published *p = &c->published[i];
        char number[NUMBER];
        TRY(text_add(out, e, "%s{source: ", i ? ", " : ""));
        TRY(param_quote(out, p->source, e));
        TRY(text_add(out, e, ", \"%s\": %s}", p->quantity, real_text(p->value, number, sizeof number)));
    }
    return text_add(out, e, "]");
}

err_t matrix_text(const struct cell *cells, int n, struct text *out, struct err *e)
{
    TRY(text_add(out, e, "cells:\n"));
    for (int i = 0; i < n; i++) {
        const struct cell *c = &cells[i];
        TRY(text_add(out, e, "  - {family: \"%s\", algorithm: \"%s\", seed: %lld", c->family, c->algorithm,
                     (long long)c->seed));
        if (c->data[0])
            TRY(add_pair(out, "data", c->data, e));
        if (c->step >= 0)
            TRY(text_add(out, e, ", step: %lld", (long long)c->step));
        TRY(add_pair(out, "base", c->base, e));
        TRY(add_pair(out, "tuned", c->tuned, e));
        if (c->logits_base || c->logits_tuned) {
            TRY(text_add(out, e, ", logits: {"));
            if (c->logits_base) {
                TRY(text_add(out, e, "base: "));
                TRY(param_quote(out, c->logits_base, e));
            }
            if (c->logits_tuned) {
                TRY(text_add(out, e, "%stuned: ", c->logits_base ? ", " : ""));
                TRY(param_quote(out, c->logits_tuned, e));
            }
            TRY(text_add(out, e, "}"));
        }
        TRY(choices_text(&c->choice, out, e));
        if (c->npublished > 0)
            TRY(add_published(out, c, e));
        TRY(text_add(out, e, "}\n"));
    }
    return ERR_OK;
}
