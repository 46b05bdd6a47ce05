#include "engine/verify/again.h"

#include "compare/update.h"
#include "engine/verify/recatalogue.h"
#include "formats/checkpoint.h"
#include "hdf5/digest.h"
#include "base/hash.h"
#include "study/tables.h"

#include <stdio.h>
#include <string.h>

/* A node that stores an update. */
struct again_node {
    int node;
    int64_t ntensors;
    int64_t first; /* its tensors begin here in the line of all of them, from which is drawn */
};

struct again {
    struct runner *r;
    const struct again_sample *sample;
    struct again_counts *counts;
    struct arena arena; /* of the whole comparison */
    struct again_node *nodes;
    int n;
    char *drawn; /* per tensor of the line; NULL: all are compared */
};

/* Does a node of this kind store one? */
static int stores(const struct node *n)
{
    return n->stage->datasets == update_datasets;
}

/* Says what differs. */
static void tell(struct again *g, const char *path, const char *what)
{
    if (g->counts->otherwise++ == 0)
        snprintf(g->counts->first, sizeof g->counts->first, "%.110s, %.80s", path, what);
    printf("differs  %s: %s\n", path, what);
    digest_note(path, "the checkpoints give other values than are stored");
}

/* ---- which ---- */

/* Process 0. Why the node is not compared; NULL: it is. */
static const char *left_out(const struct node *n, const struct freshness *f)
{
    if (f->state != STATE_FRESH)
        return f->why[0] ? f->why : fresh_name(f->state);
    return checkpoint_exists(n->cell->base) && checkpoint_exists(n->cell->tuned)
               ? NULL
               : "its checkpoints are not there any more";
}

/* Process 0. A checkpoint's catalogue against its headers, where these are still there. */
static err_t compare_catalogue(struct again *g, const struct node *n, struct err *e)
{
    char what[200];
    if (!checkpoint_exists(n->checkpoint))
        return ERR_OK;
    TRY(recatalogue_compare(g->r, n, what, sizeof what, e));
    g->counts->catalogues++;
    if (what[0])
        tell(g, n->path, what);
    return ERR_OK;
}

/* Process 0. The nodes to compare, and what is said of the others. */
static err_t list_nodes(struct again *g, struct err *e)
{
    const struct dag *d = g->r->dag;
    struct freshness *all;
    TRY(arena_array(&g->arena, "again.states", d->nnodes, &all, e));
    headers_round(g->r->headers);
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *n = &d->nodes[i];
        TRY(fresh_node(d, i, all, g->r->headers, &g->arena, e));
        if (recatalogue_is_of(n) && all[i].state == STATE_FRESH)
            TRY(compare_catalogue(g, n, e));
        if (!stores(n))
            continue;
        const char *why = left_out(n, &all[i]);
        if (why) {
            printf("left out %s: %s\n", n->path, why);
            g->counts->left++;
            continue;
        }
        struct arena scratch;
        struct update_head head;
        arena_init(&scratch, g->arena.mem);
        if (update_look(n->path, &head, &scratch, e) == ERR_OK)
            g->nodes[g->n++] = (struct again_node){.node = i, .ntensors = head.layout.ntensors};
        arena_release(&scratch);
        TRY(e->code);
    }
    return ERR_OK;
}

/* Draws from the line of all tensors: the same on all processes. */
static err_t draw(struct again *g, struct err *e)
{
    int64_t total = 0;
    for (int k = 0; k < g->n; k++) {
        g->nodes[k].first = total;
        total += g->nodes[k].ntensors;
    }
    if (g->sample->draws == 0 || total == 0)
        return ERR_OK;
    TRY(arena_array(&g->arena, "again.drawn", total, &g->drawn, e));
    for (int64_t i = 0; i < g->sample->draws; i++) {
        const int64_t of[2] = {g->sample->seed, i};
        g->drawn[hash_bytes(of, sizeof of) % (uint64_t)total] = 1;
    }
    return ERR_OK;
}

/* ---- one node ---- */

struct again_pair {
    const struct layout *layout;
    struct update *stored, *again; /* stored: NULL where no bits are stored */
    int bytes;                     /* of a value */
    int64_t *changed;              /* per tensor, by the checkpoints, as this process counted */
    int64_t bad;                   /* first block that differs, as far as it has looked; INT64_MAX: none */
    int64_t elements, tensors;
};

/* Do two parts hold the same of the block that is their i-th? Values and positions before it are alike. */
static int same_block(const struct again_pair *x, const struct update_part *p, const struct update_part *q,
                      int64_t i, const struct block *first)
{
    const struct block at = layout_block(x->layout, p->from + i);
    const int64_t v = p->first_value[i], n = p->first_value[i + 1] - v, word = at.word - first->word;
    const size_t bytes = (size_t)(n * x->bytes), skip = (size_t)(v * x->bytes);
    return p->first_value[i + 1] == q->first_value[i + 1] &&
           memcmp(p->words + word, q->words + word, (size_t)at.nwords * sizeof *p->words) == 0 &&
           memcmp((const char *)p->old_bits + skip, (const char *)q->old_bits + skip, bytes) == 0 &&
           memcmp((const char *)p->new_bits + skip, (const char *)q->new_bits + skip, bytes) == 0;
}

/* The first of blocks [from, to) in which they differ; -1: none. What is NaN or infinite and did not change
 * counts to the first block. */
static int64_t first_difference(const struct again_pair *x, const struct update_part *p,
                                const struct update_part *q)
{
    const struct block first = layout_block(x->layout, p->from);
    for (int64_t i = 0; i < p->to - p->from; i++)
        if (!same_block(x, p, q, i, &first))
            return p->from + i;
    if (p->nnonfinite == 0 && q->nnonfinite == 0)
        return -1;
    int same = p->nnonfinite == q->nnonfinite &&
               memcmp(p->nonfinite, q->nonfinite, (size_t)p->nnonfinite * sizeof *p->nonfinite) == 0 &&
               memcmp(p->nonfinite_bits, q->nonfinite_bits, (size_t)(p->nnonfinite * x->bytes)) == 0;
    return same ? -1 : p->from;
}

/* Local. Blocks [from, to) of tensor t. */
static err_t compare_blocks(struct again_pair *x, int64_t t, int64_t from, int64_t to, struct err *e)
{
    struct update_part p, q;
    TRY(update_read(x->again, from, to, &q, e));
    x->changed[t] += q.nvalues;
    if (!x->stored)
        return ERR_OK;
    TRY(update_read(x->stored, from, to, &p, e));
    int64_t bad = first_difference(x, &p, &q);
    x->bad = bad >= 0 && bad < x->bad ? bad : x->bad;
    return ERR_OK;
}

/* Collective, but for the agreement, which the caller makes. This process's share of the tensors that are to
 * be compared: their windows go round. */
static err_t compare_share(struct again *g, const struct again_node *node, struct again_pair *x,
                           struct err *e)
{
    const struct comm *c = g->r->comm;
    int64_t piece = 0,
            window = update_window_blocks(update_arithmetic(x->again), (int64_t)g->r->mem->budget_bytes / 2);
    for (int64_t t = 0; t < x->layout->ntensors && e->code == ERR_OK; t++) {
        const struct layout_tensor *tensor = &x->layout->tensors[t];
        if (g->drawn && !g->drawn[node->first + t])
            continue;
        x->tensors++;
        x->elements += tensor->elements;
        const int64_t end = tensor->first_block + tensor->nblocks;
        for (int64_t b = tensor->first_block; b < end; b += window, piece++)
            if (piece % c->np == c->me)
                TRY(compare_blocks(x, t, b, min64(b + window, end), e));
    }
    return e->code;
}

/* Process 0. The counts of table tensors against those of the checkpoints. Returns whether all are right. */
static int counts_agree(struct again *g, const struct again_node *node, const struct again_pair *x,
                        struct err *e)
{
    const char *path = g->r->dag->nodes[node->node].path;
    struct arena scratch;
    struct table t;
    struct h5 *f;
    int64_t row = 0;
    int agree = 1;
    arena_init(&scratch, g->arena.mem);
    table_start(&t, tables_find("tensors"), &scratch);
    if (h5_open_sealed(path, &scratch, &f, e) == ERR_OK) {
        h5_table_read(f, "tensors", &t, 0, -1, NULL, e);
        h5_close(f, e);
    }
    for (int64_t i = 0; i < x->layout->ntensors && agree && e->code == ERR_OK; i++) {
        const char *name = x->layout->tensors[i].name;
        char what[200];
        if (g->drawn && !g->drawn[node->first + i])
            continue;
        while (row < t.nrows && strcmp(table_text(&t, row, "tensor"), name) != 0)
            row++;
        if (row < t.nrows && table_int(&t, row, "bit_changed") == x->changed[i])
            continue;
        snprintf(what, sizeof what, "tensor %.100s: %lld elements changed, table tensors says %lld", name,
                 (long long)x->changed[i],
                 row < t.nrows ? (long long)table_int(&t, row, "bit_changed") : -1LL);
        tell(g, path, what);
        agree = 0;
    }
    arena_release(&scratch);
    return agree;
}

/* Process 0. What came of it. */
static void conclude(struct again *g, const struct again_node *node, const struct again_pair *x,
                     struct err *e)
{
    g->counts->updates++;
    g->counts->tensors += x->tensors;
    g->counts->elements += x->elements;
    if (x->bad == INT64_MAX) {
        counts_agree(g, node, x, e);
        return;
    }
    const struct block at = layout_block(x->layout, x->bad);
    char what[200];
    snprintf(what, sizeof what, "tensor %.100s: elements [%lld, %lld) are not as stored",
             x->layout->tensors[at.tensor].name, (long long)at.first, (long long)(at.first + at.n));
    tell(g, g->r->dag->nodes[node->node].path, what);
}

/* Collective. */
static err_t compare_node(struct again *g, const struct again_node *node, struct err *e)
{
    const struct runner *r = g->r;
    const struct node *n = &r->dag->nodes[node->node];
    const struct readahead_setting *how = &r->dag->config->read;
    struct arena a;
    struct update_head head;
    struct again_pair x = {.bad = INT64_MAX};
    arena_init(&a, r->mem);
    if (update_look(n->path, &head, &a, e) == ERR_OK &&
        update_open_again(n->path, how, &a, &x.again, e) == ERR_OK &&
        (!head.stored || update_open(n->path, how, &a, &x.stored, e) == ERR_OK)) {
        x.layout = update_layout(x.again);
        x.bytes = arithmetic_bytes(update_arithmetic(x.again));
        arena_array(&a, "again.changed", x.layout->ntensors, &x.changed, e);
    }
    if (comm_agree(r->comm, e) == ERR_OK) {
        compare_share(g, node, &x, e);
        if (comm_agree(r->comm, e) == ERR_OK) {
            int64_t bad = -x.bad;
            comm_max(r->comm, &bad, 1);
            x.bad = -bad;
            comm_sum(r->comm, x.changed, x.layout->ntensors);
            if (r->comm->me == 0)
                conclude(g, node, &x, e);
        }
    }
    err_item(e, "%s", n->path);
    update_close(x.stored);
    update_close(x.again);
    arena_release(&a);
    return comm_agree(r->comm, e);
}

err_t again_compare(struct runner *r, const struct again_sample *s, struct again_counts *counts,
                    struct err *e)
{
    struct again g = {.r = r, .sample = s, .counts = counts};
    struct progress progress;
    *counts = (struct again_counts){.updates = 0};
    arena_init(&g.arena, r->mem);
    arena_array(&g.arena, "again.nodes", r->dag->nnodes, &g.nodes, e);
    if (r->comm->me == 0 && e->code == ERR_OK)
        list_nodes(&g, e);
    if (comm_agree(r->comm, e) == ERR_OK) {
        comm_bcast(r->comm, &g.n, (int64_t)sizeof g.n, 0);
        comm_bcast(r->comm, g.nodes, g.n * (int64_t)sizeof *g.nodes, 0);
        draw(&g, e);
    }
    if (comm_agree(r->comm, e) == ERR_OK) {
        progress_start(&progress, r->log, "recomputing", "updates", g.n);
        for (int k = 0; k < g.n && compare_node(&g, &g.nodes[k], e) == ERR_OK; k++)
            progress_at(&progress, k + 1, 0, 0);
        progress_end(&progress);
    }
    arena_release(&g.arena);
    return e->code;
}
