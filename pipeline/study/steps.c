#include "study/steps.h"

#include "study/choices.h"
#include "study/dag.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The path with the step in so many digits in each place of the mark; 0: it would be longer than a path may
 * be. */
static int fill(const char *marked, int64_t step, int digits, char *out, int size)
{
    int used = 0;
    for (const char *p = marked; *p; p++) {
        int n = *p == STEPS_MARK[0]
                    ? snprintf(out + used, (size_t)(size - used), "%0*lld", digits, (long long)step)
                    : snprintf(out + used, (size_t)(size - used), "%c", *p);
        used += n;
        if (n < 0 || used >= size)
            return 0;
    }
    return used > 0;
}

/* Is it on disk, or was it read when it was, by a cell that chooses so? */
static int is_known(const struct config *config, const char *path, const struct cell *cell,
                    struct arena *scratch, struct err *e)
{
    if (access(path, F_OK) == 0)
        return 1;
    struct choice all = cell->choice;
    all.base = cell->base;
    const char *folder = dag_checkpoint_folder(config, path, NULL, scratch, e);
    return folder && (access(folder, F_OK) == 0 || choices_catalogued(config, path, &all, scratch, e) >= 0);
}

/* The digits with which the path is there; 0: as it is, or not at all. */
static err_t find_digits(const struct config *config, const struct cell *cell, const char *marked,
                         const char *plain, int *digits, struct arena *scratch, struct err *e)
{
    char path[PATH_MAX], first[PATH_MAX], number[24];
    int shortest = snprintf(number, sizeof number, "%lld", (long long)cell->step);
    *digits = 0;
    if (is_known(config, plain, cell, scratch, e))
        return e->code;
    for (int n = shortest + 1; n <= STEPS_DIGITS && e->code == ERR_OK; n++) {
        if (!fill(marked, cell->step, n, path, sizeof path) || !is_known(config, path, cell, scratch, e))
            continue;
        if (*digits > 0)
            return err_set(
                e, ERR_DATA,
                "cell %s: there is no %s, and step %lld may be %s or %s; expected one of them: move the "
                "other away, or name the folder under cells",
                cell->name, plain, (long long)cell->step, first, path);
        *digits = n;
        memcpy(first, path, sizeof first);
    }
    return e->code;
}

static const char **path_at(struct cell *c, int which)
{
    const char **const paths[STEPS_PATHS] = {&c->base, &c->tuned, &c->logits_base, &c->logits_tuned};
    return paths[which];
}

/* Process 0. */
static err_t look(const struct config *config, int *digits, struct err *e)
{
    struct mem m;
    struct arena scratch;
    err_t code = ERR_OK;
    mem_init(&m, 0);
    arena_init(&scratch, &m);
    for (int64_t i = 0; i < (int64_t)config->ncells * STEPS_PATHS && code == ERR_OK; i++) {
        struct cell *cell = &config->cells[i / STEPS_PATHS];
        const char *marked = cell->steps ? cell->steps->path[i % STEPS_PATHS] : NULL;
        if (marked)
            code = find_digits(config, cell, marked, *path_at(cell, (int)(i % STEPS_PATHS)), &digits[i],
                               &scratch, e);
        arena_reset(&scratch);
    }
    arena_release(&scratch);
    return code;
}

err_t steps_settle(const struct comm *c, struct config *config, struct arena *a, struct err *e)
{
    int64_t n = (int64_t)config->ncells * STEPS_PATHS, changed = 0;
    int *digits = NULL;
    arena_array(a, "steps", n, &digits, e);
    TRY_ALL(c, e);
    if (c->me == 0)
        look(config, digits, e);
    TRY_ALL(c, e);
    comm_bcast(c, digits, n * (int64_t)sizeof *digits, 0);
    for (int64_t i = 0; i < n && e->code == ERR_OK; i++) {
        struct cell *cell = &config->cells[i / STEPS_PATHS];
        int which = (int)(i % STEPS_PATHS);
        char path[PATH_MAX];
        if (digits[i] == 0 || !fill(cell->steps->path[which], cell->step, digits[i], path, sizeof path))
            continue;
        *path_at(cell, which) = arena_strdup(a, path, e);
        changed++;
    }
    if (changed > 0 && e->code == ERR_OK)
        config_resolve(config, a, e);
    return comm_agree(c, e);
}
