#include "engine/machine.h"

const struct machine_model machine_assumed = {.bytes_per_sec = 1e9, .flops_per_sec = 10e9, .spare = 8};

int64_t machine_memory(const struct machine_model *m, int64_t memory_bytes)
{
    return memory_bytes - memory_bytes / m->spare;
}

double machine_sec(const struct machine_model *m, const struct estimate *x)
{
    return (x->read_bytes + x->write_bytes) / m->bytes_per_sec + x->flops / m->flops_per_sec;
}

static struct checkpoint *borrow(struct headers *h, const char *path, const struct choice *choice)
{
    struct checkpoint *c;
    struct err ignored;
    err_clear(&ignored);
    headers_get(h, path, choice, &c, &ignored);
    return c;
}

static int ask(const struct node *n, const struct plan_view *view, struct estimate *x)
{
    *x = (struct estimate){0};
    n->stage->plan(view, x);
    return x->known;
}

int machine_estimate(const struct machine_model *m, const struct dag *d, const struct node *n, int np,
                     struct headers *h, struct estimate *x)
{
    const struct config *c = d->config;
    struct plan_view view = {.cell = n->cell,
                             .ncells = n->ncells,
                             .np = np,
                             .memory_bytes = machine_memory(m, c->memory_bytes),
                             .read = c->read,
                             .params = c->nodes[n->decl].params};
    struct checkpoint *base = NULL, *tuned = NULL;
    *x = (struct estimate){0};
    if (!n->stage->plan || n->stage->scope == SCOPE_STUDY)
        return 0;
    if (!ask(n, &view, x)) {
        base = n->checkpoint ? borrow(h, n->checkpoint, &n->choice)
               : n->base     ? borrow(h, n->base, &n->choice)
                             : borrow(h, n->cell->base, &n->cell->base_choice);
        view.base = base;
        if (base && !ask(n, &view, x) && n->stage->scope == SCOPE_CELL) {
            tuned = borrow(h, n->cell->tuned, &n->cell->tuned_choice);
            view.tuned = tuned;
            if (tuned)
                ask(n, &view, x);
        }
    }
    headers_put(h, tuned);
    headers_put(h, base);
    return x->known;
}
