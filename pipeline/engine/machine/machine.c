#include "engine/machine/machine.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { NODE_AGREEMENTS = 40 /* of a node's team, about */ };

struct machine machine_assume(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return (struct machine){.measured = "",
                            .processes_per_host = cores > 0 ? cores : 1,
                            .host_bytes = pages > 0 && page > 0 ? (int64_t)pages * page : (int64_t)4 << 30,
                            .resident_bytes = 50 << 20,
                            .several_bytes = 50 << 20,
                            .read_process = 1e9,
                            .read_host = 2e9,
                            .read_all = 20e9,
                            .write_process = 0.5e9,
                            .write_host = 1e9,
                            .write_all = 10e9,
                            .flops_per_sec = 10e9,
                            .nodes_per_sec = 500,
                            .tensors_per_sec = 40e3,
                            .artifacts_per_sec = 600,
                            .seal_per_sec = 1e9,
                            .start_sec = 0.2,
                            .flush_sec = 1e-3,
                            .agree_sec = 20e-6,
                            .link_host = 2e9,
                            .link = 1e9,
                            .crowding = 1,
                            .spare = 8};
}

int64_t machine_memory(const struct machine *m, int64_t memory_bytes)
{
    return memory_bytes - memory_bytes / m->spare;
}

double machine_resident(const struct machine *m, int np)
{
    return (double)(np > 1 ? m->several_bytes : m->resident_bytes);
}

int machine_nrates(const struct stage *s)
{
    int n = 0;
    while (s->work && n < STAGE_WORKS && s->work[n].name)
        n++;
    return s->work ? RATE_WORK + n : 0;
}

const char *machine_rate_name(const struct stage *s, int k)
{
    return k == RATE_NODES ? "nodes" : k == RATE_TENSORS ? "tensors" : s->work[k - RATE_WORK].name;
}

double machine_amount(const struct estimate *x, int k)
{
    return k == RATE_NODES ? 1 : k == RATE_TENSORS ? x->tensors : x->work[k - RATE_WORK];
}

double machine_rate(const struct machine *m, const struct stage *s, int k, int *measured)
{
    double rate = k == RATE_NODES     ? m->nodes_per_sec
                  : k == RATE_TENSORS ? m->tensors_per_sec
                                      : s->work[k - RATE_WORK].per_sec;
    int found = 0;
    for (int i = 0; i < m->nrates; i++)
        if (m->rates[i].stage == s && m->rates[i].per_sec[k] > 0) {
            rate = m->rates[i].per_sec[k];
            found = 1;
        }
    if (measured)
        *measured = found;
    return rate;
}

static double on_host(const struct machine *m, int np)
{
    return fmin(np, (double)m->processes_per_host);
}

double machine_read_rate(const struct machine *m, int np)
{
    return fmin(fmin(m->read_process, m->read_host / on_host(m, np)), m->read_all / np);
}

double machine_write_rate(const struct machine *m, int np)
{
    return fmin(fmin(m->write_process, m->write_host / on_host(m, np)), m->write_all / np);
}

double machine_slowdown(const struct machine *m, int np)
{
    double most = (double)m->processes_per_host - 1;
    return most > 0 ? 1 + (m->crowding - 1) * (on_host(m, np) - 1) / most : 1;
}

double machine_team_sec(const struct machine_cost *c, int64_t processes_per_host, double processes)
{
    double all = log2(fmax(1, processes)), within = fmin(all, log2(fmax(1, (double)processes_per_host)));
    return c->agree * all + c->share_host * within + c->share * (all - within);
}

struct machine_cost machine_cost(const struct machine *m, const struct stage *s, const struct estimate *x,
                                 int np)
{
    struct machine_cost c = {.read = (x->read_bytes - x->reread_bytes) / machine_read_rate(m, np),
                             .write = x->write_bytes / machine_write_rate(m, np),
                             .parts = x->parts,
                             .agree = NODE_AGREEMENTS * m->agree_sec,
                             .share_host = x->shared_bytes > 0 ? x->shared_bytes / m->link_host : 0,
                             .share = x->shared_bytes > 0 ? x->shared_bytes / m->link : 0};
    double slower = machine_slowdown(m, np);
    if (!s->work)
        c.work = slower * x->flops / m->flops_per_sec;
    for (int k = 0; k < machine_nrates(s); k++) {
        int alone = k < RATE_WORK || s->work[k - RATE_WORK].alone;
        *(alone ? &c.serial : &c.work) += slower * machine_amount(x, k) / machine_rate(m, s, k, NULL);
    }
    c.serial += s->work ? m->flush_sec : 0;
    c.work += s->work ? slower * x->write_bytes / m->seal_per_sec : 0;
    return c;
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
    if (x->tensors <= 0 && view->base)
        x->tensors = (double)view->base->ntensors * (n->stage->scope == SCOPE_BASE ? view->ncells : 1);
    double ahead = view->read.mode == READ_AUTO || view->read.mode == READ_PREAD
                       ? (double)readahead_bytes(&view->read)
                       : 0; /* as long as reading does not wait */
    if (x->likely_bytes <= 0)
        x->likely_bytes = fmax(x->process_bytes / 4, x->process_bytes - ahead);
    if (x->disk_bytes <= 0)
        x->disk_bytes = x->write_bytes;
    return x->known;
}

/* How much there is of what a study's own node is about: cells, tensors of all their bases, pairs on a base.
 */
static void look_at_study(const struct dag *d, struct headers *h, struct plan_view *view)
{
    const struct config *c = d->config;
    const char *path = NULL;
    double tensors = 0;
    view->ncells = c->ncells;
    for (int i = 0; i < c->ncells; i++) {
        if (!path || strcmp(path, c->cells[i].base) != 0) {
            struct checkpoint *base = borrow(h, c->cells[i].base, &c->cells[i].base_choice);
            tensors = base ? (double)base->ntensors : 0;
            view->bases += 1;
            headers_put(h, base);
        }
        path = c->cells[i].base;
        view->tensors += tensors;
    }
    int decl = -1; /* one stage of those at a base: all have the same cells */
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        if (n->stage->scope != SCOPE_BASE || (decl >= 0 && n->decl != decl))
            continue;
        decl = n->decl;
        view->pairs += 0.5 * n->ncells * (n->ncells - 1);
    }
}

int machine_estimate(const struct machine *m, const struct dag *d, const struct node *n, int np,
                     struct headers *h, struct estimate *x)
{
    const struct config *c = d->config;
    struct plan_view view = {.cell = n->cell,
                             .role = n->role ? n->role : "",
                             .ncells = n->ncells,
                             .np = np,
                             .memory_bytes = machine_memory(m, c->memory_bytes),
                             .read = c->read,
                             .params = c->nodes[n->decl].params};
    struct checkpoint *base = NULL, *tuned = NULL;
    *x = (struct estimate){0};
    if (!n->stage->plan)
        return 0;
    if (n->stage->scope == SCOPE_STUDY) {
        look_at_study(d, h, &view);
        return ask(n, &view, x);
    }
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
