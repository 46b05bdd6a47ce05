#include "study/config.h"

#include "study/cells.h"
#include "study/item.h"
#include "study/order.h"
#include "study/param.h"
#include "study/registry.h"
#include "base/path.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { PROBLEM = 600, WHAT = 320, NUMBER = 40 };
enum { MAX_NODES = 1000 }; /* of one study */

static const struct key top_keys[] = {
    {"study", 1},  {"output", 2},     {"memory_per_process", 0},
    {"read", 0},   {"read_block", 0}, {"missing", 0},
    {"matrix", 3}, {"cells", 3},      {"stages", 4},
};
#define NTOP ((int)(sizeof top_keys / sizeof top_keys[0]))

static const char *const read_words[] = {"auto", "pread", "thread", "direct", NULL}; /* enum read_mode */
static const char *const missing_words[] = {"fail", "skip", "kept", NULL};

/* Declared as parameters are: one place for the defaults, the ranges and the words of a complaint. */
static const struct param settings[] = {
    {"memory_per_process", PARAM_BYTES, offsetof(struct config, memory_bytes), NULL, "2 GiB",
     CONFIG_LEAST_MEMORY, 9e18, NULL, "what each process may hold in memory, at least 64 MiB"},
    {"read", PARAM_CHOICE, offsetof(struct config, read.mode), NULL, "auto", 0, 0, read_words,
     "how checkpoints and logits are read: pread when asked; thread ahead; direct ahead and past the page "
     "cache; auto ahead while reading waits for a device"},
    {"read_block", PARAM_BYTES, offsetof(struct config, read.block_bytes), NULL, "512 KiB", 65536, 1 << 26,
     NULL, "what is read ahead at once, from 64 KiB to 64 MiB; 8 of these are held"},
    {"missing", PARAM_CHOICE, offsetof(struct config, missing), NULL, "fail", 0, 0, missing_words,
     "cells whose checkpoints are not on disk: fail refuses to run, skip leaves them out and reports them as "
     "not measured; kept does too, but goes on with those that were read in full before they were removed"},
    {0},
};

/* What is known of a node beyond its declaration while the config is read. */
struct draft {
    const struct item *body; /* its map; NULL where it has none */
    const char *meant;       /* the kind is unknown, and is probably this one; NULL */
    struct mark needs_mark;  /* of `needs`, or of the node */
    struct mark *need_marks; /* parallel to needs */
    int needs_bad;           /* some of its needs were complained of */
};

/* The nodes of a config that is being read. */
struct drafts {
    const struct asker *r;
    int n;
    struct node_decl *nodes;
    struct draft *drafts;
    const char **names;
};

/* ---- one node ---- */

/* The keys a node of this kind may have. NULL when r->e is set. */
static struct key *node_keys(const struct asker *r, const struct stage *stage, int *n)
{
    struct key *keys;
    int nparams = 0;
    while (stage && stage->params && stage->params[nparams].name)
        nparams++;
    if (arena_array(r->arena, "config", nparams + 2, &keys, r->e) != ERR_OK)
        return NULL;
    keys[0].name = "kind";
    keys[1].name = "needs";
    for (int i = 0; i < nparams; i++)
        keys[i + 2].name = stage->params[i].name;
    *n = nparams + 2;
    return keys;
}

/* Complains of a kind that there is none of; the likely one goes to *meant. */
static void refuse_kind(const struct asker *r, struct mark at, const char *what, const char *kind,
                        const char **meant)
{
    int n;
    const struct stage *const *stages = registry_stages(&n);
    const char **kinds;
    if (arena_array(r->arena, "config", n, &kinds, r->e) != ERR_OK)
        return;
    for (int i = 0; i < n; i++)
        kinds[i] = stages[i]->kind;
    *meant = text_nearest(kind, kinds, n);
    char *all = *meant ? NULL : text_join(r->arena, kinds, n, ", ", r->e);
    problem_add(r->problems, at, "%s: unknown kind \"%.60s\"; %s%s%s", what, kind,
                *meant ? "did you mean " : "kinds: ",
                *meant ? *meant
                : all  ? all
                       : "",
                *meant ? "?" : "");
}

/* The stage of a node: by `kind`, or by the node's name. NULL after a complaint. */
static const struct stage *find_stage(const struct asker *r, const struct node_decl *node,
                                      struct draft *draft, const char *what)
{
    static const struct key keys[] = {{"kind", 0}, {"needs", 0}};
    char name[WHAT];
    const struct item *it = item_get(draft->body, "kind", NULL);
    if (!it) {
        const struct stage *stage = registry_find(node->name);
        if (stage)
            return stage;
        if (draft->body && item_meant(r, draft->body, keys, 2, "kind")) {
            /* the key kind is misspelled: only that is said, as what else may stand here is not known */
            for (int i = 0; i < draft->body->n; i++) {
                const char *const word[] = {"kind"};
                if (text_nearest(draft->body->keys[i], word, 1))
                    problem_add(r->problems, draft->body->key_marks[i],
                                "%s: unknown key \"%.60s\"; did you mean kind?", what, draft->body->keys[i]);
            }
            return NULL;
        }
        refuse_kind(r, node->mark, what, node->name, &draft->meant);
        return NULL;
    }
    part_name(name, WHAT, what, "kind");
    const char *kind = item_text(r, it, name);
    const struct stage *stage = kind ? registry_find(kind) : NULL;
    const char *meant = NULL;
    if (kind && !stage)
        refuse_kind(r, it->mark, name, kind, &meant);
    return stage;
}

/* Parameters of a node whose stage is known: defaults, what the file says, the stage's own rules. */
static void read_params(const struct asker *r, struct node_decl *node, const struct draft *draft,
                        const char *what)
{
    const struct stage *stage = node->stage;
    if (arena_array_at(r->arena, "params", 1, stage->params_size ? stage->params_size : 1, &node->params,
                       r->e) != ERR_OK ||
        param_defaults(stage->params, node->params, r->arena, r->e) != ERR_OK)
        return;
    int bad = 0;
    char name[WHAT];
    for (const struct param *p = stage->params; p && p->name; p++) {
        struct item *it = item_get(draft->body, p->name, NULL);
        part_name(name, WHAT, what, p->name);
        if (it && item_param(r, it, p, name, node->params) != 0)
            bad = 1;
    }
    char problem[PROBLEM] = "";
    if (!bad && stage->check && stage->check(node->params, problem, sizeof problem) != 0)
        problem_add(r->problems, node->mark, "%s: %s", what, problem);
    struct text t = {.arena = r->arena};
    text_add(&t, r->e, "%s", "");
    for (const struct param *p = stage->params; p && p->name && r->e->code == ERR_OK; p++) {
        text_add(&t, r->e, "%s%s: ", t.used ? ", " : "", p->name);
        param_text(p, node->params, &t, r->e);
    }
    node->params_text = t.text;
}

/* Kind and parameters of one entry of `stages`; its needs wait until all names are known. */
static void read_node(const struct asker *r, struct item *it, struct node_decl *node, struct draft *draft)
{
    char what[WHAT];
    part_name(what, WHAT, "stages", node->name);
    if (!name_is_valid(node->name))
        problem_add(
            r->problems, node->mark,
            "%s: no valid name: letters, digits, '.', '_' and '-', a letter or digit first, at most 100",
            what);
    if (it->kind == ITEM_MAP)
        draft->body = it;
    else if (!item_is_null(it)) {
        item_expect(r, it, ITEM_MAP, what);
        node->stage = registry_find(node->name);
        draft->needs_bad = 1;
        return;
    }
    node->stage = find_stage(r, node, draft, what);
    if (!node->stage)
        return;
    int n = 0;
    struct key *keys = node_keys(r, node->stage, &n);
    if (!keys)
        return;
    if (draft->body) {
        item_check_keys(r, draft->body, keys, n, what);
        /* a misspelled "needs" is one mistake: what it would have brought is not missing */
        draft->needs_bad =
            !item_get(draft->body, "needs", NULL) && item_meant(r, draft->body, keys, n, "needs");
    }
    read_params(r, node, draft, what);
}

/* ---- needs ---- */

/* Does the name fail to be found only because its node's kind, by default its name, is misspelled? */
static int is_meant_name(const struct drafts *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (d->drafts[i].meant && strcmp(d->drafts[i].meant, name) == 0)
            return 1;
    return 0;
}

/* The names in `needs` as indices. */
static void read_needs(const struct drafts *d, int at)
{
    const struct asker *r = d->r;
    struct node_decl *node = &d->nodes[at];
    struct draft *draft = &d->drafts[at];
    char what[WHAT];
    snprintf(what, sizeof what, "stages.%.200s.needs", node->name);
    draft->needs_mark = node->mark;
    struct item *it = item_get(draft->body, "needs", &draft->needs_mark);
    struct item **items;
    int n;
    if (!it)
        return;
    if (item_scalars(r, it, what, &items, &n) != 0) {
        draft->needs_bad = 1;
        return;
    }
    if (arena_array(r->arena, "config", n, &node->needs, r->e) != ERR_OK ||
        arena_array(r->arena, "config", n, &draft->need_marks, r->e) != ERR_OK)
        return;
    for (int i = 0; i < n; i++) {
        const char *name = item_text(r, items[i], what);
        int found = -1, twice = 0;
        for (int k = 0; name && k < d->n && found < 0; k++)
            found = strcmp(d->names[k], name) == 0 ? k : -1;
        for (int k = 0; k < node->nneeds; k++)
            twice |= node->needs[k] == found;
        if (found >= 0 && !twice) {
            draft->need_marks[node->nneeds] = items[i]->mark;
            node->needs[node->nneeds++] = found;
            continue;
        }
        draft->needs_bad = 1;
        if (twice) {
            problem_add(r->problems, items[i]->mark, "%s: \"%s\" is given twice", what, name);
        } else if (name && !is_meant_name(d, name)) {
            const char *near = text_nearest(name, d->names, d->n);
            char *all = near ? NULL : text_join(r->arena, d->names, d->n, ", ", r->e);
            problem_add(r->problems, items[i]->mark, "%s: there is no node \"%.60s\"; %s%s%s", what, name,
                        near ? "did you mean " : "nodes: ",
                        near  ? near
                        : all ? all
                              : "",
                        near ? "?" : "");
        }
    }
}

/* An entry of stage.inputs: '?' may be absent, '*' any number. */
struct port {
    const char *kind;
    int optional, many;
};

static struct port port_of(const char *entry)
{
    struct port p = {.kind = entry};
    for (; *p.kind == '?' || *p.kind == '*'; p.kind++) {
        p.optional |= *p.kind == '?';
        p.many |= *p.kind == '*';
    }
    return p;
}

/* Does a node of the stage below fit the port? */
static int port_takes(struct port port, const struct stage *below)
{
    if (strcmp(port.kind, STAGE_REPORTED) == 0)
        return below->reported;
    return strcmp(port.kind, below->kind) == 0;
}

/* "load, mask": the kinds that a stage takes, for complaints. */
static const char *port_list(const struct asker *r, const struct stage *stage)
{
    int n;
    const struct stage *const *stages = registry_stages(&n);
    struct text t = {.arena = r->arena};
    for (int i = 0; stage->inputs && stage->inputs[i]; i++) {
        struct port port = port_of(stage->inputs[i]);
        for (int k = 0; k < n; k++)
            if (port_takes(port, stages[k]))
                text_add(&t, r->e, "%s%s", t.text ? ", " : "", stages[k]->kind);
    }
    return t.text ? t.text : "nothing";
}

/* Does the node take what it needs, and get what it must have? in_cycle: nodes of a circle, whose needs were
 * complained of. */
static void check_ports(const struct drafts *d, int at, const int *in_cycle)
{
    const struct asker *r = d->r;
    const struct node_decl *node = &d->nodes[at];
    const struct draft *draft = &d->drafts[at];
    const struct stage *stage = node->stage;
    int said = draft->needs_bad || in_cycle[at];
    if (!stage)
        return;
    for (int k = 0; k < node->nneeds; k++) {
        const struct node_decl *below = &d->nodes[node->needs[k]];
        if (!below->stage || (in_cycle[at] && in_cycle[at] == in_cycle[node->needs[k]])) {
            said = 1;
            continue;
        }
        struct port port = {0};
        for (int i = 0; stage->inputs && stage->inputs[i] && !port.kind; i++)
            if (port_takes(port_of(stage->inputs[i]), below->stage))
                port = port_of(stage->inputs[i]);
        const char *same = NULL;
        for (int j = 0; j < k; j++)
            if (d->nodes[node->needs[j]].stage == below->stage)
                same = d->names[node->needs[j]];
        if (!port.kind)
            problem_add(r->problems, draft->need_marks[k],
                        "stages.%s.needs: \"%s\" is of kind %s, which %s does not take; it takes %s",
                        node->name, below->name, below->stage->kind, stage->kind, port_list(r, stage));
        else if (same && !port.many)
            problem_add(r->problems, draft->need_marks[k],
                        "stages.%s.needs: \"%s\" and \"%s\" are both of kind %s; %s takes one", node->name,
                        same, below->name, below->stage->kind, stage->kind);
        said |= !port.kind;
    }
    for (int i = 0; stage->inputs && stage->inputs[i] && !said; i++) {
        struct port port = port_of(stage->inputs[i]);
        int there = port.optional;
        for (int k = 0; k < node->nneeds && !there; k++)
            there = port_takes(port, d->nodes[node->needs[k]].stage);
        if (there)
            continue;
        const char *have = NULL;
        for (int k = 0; k < d->n && !have; k++)
            if (d->nodes[k].stage && port_takes(port, d->nodes[k].stage))
                have = d->names[k];
        problem_add(r->problems, draft->needs_mark, "stages.%s: %s needs a node of kind %s%s%s%s", node->name,
                    stage->kind, port.kind, have ? "; write needs: [" : "; there is none", have ? have : "",
                    have ? "]" : "");
    }
}

/* Complains of circles; in_cycle[i] is the number (from 1) of the circle that node i is in, or 0. */
static void check_cycles(const struct drafts *d, int *in_cycle)
{
    const struct asker *r = d->r;
    int *order, *nneeds, **needs, ncycles;
    struct order_cycle *cycles;
    if (arena_array(r->arena, "config", d->n, &order, r->e) != ERR_OK ||
        arena_array(r->arena, "config", d->n, &nneeds, r->e) != ERR_OK ||
        arena_array(r->arena, "config", d->n, &needs, r->e) != ERR_OK)
        return;
    for (int i = 0; i < d->n; i++) {
        nneeds[i] = d->nodes[i].nneeds;
        needs[i] = d->nodes[i].needs;
    }
    if (order_sort(d->n, nneeds, needs, order, &cycles, &ncycles, r->arena, r->e) != ERR_OK)
        return;
    for (int c = 0; c < ncycles; c++) {
        int first = cycles[c].members[0], next = cycles[c].members[cycles[c].n > 1];
        struct mark at = d->nodes[first].mark;
        for (int k = 0; k < nneeds[first]; k++)
            if (needs[first][k] == next)
                at = d->drafts[first].need_marks[k];
        for (int k = 0; k < cycles[c].n; k++)
            in_cycle[cycles[c].members[k]] = c + 1;
        char *text = order_cycle_text(&cycles[c], d->names, r->arena, r->e);
        problem_add(r->problems, at, "stages.%s.needs: a circle: %s", d->names[first], text ? text : "");
    }
}

static void read_stages(const struct asker *r, const struct item *map, struct config *c)
{
    if (item_expect(r, map, ITEM_MAP, "stages") != 0)
        return;
    if (map->n == 0)
        problem_add(r->problems, map->mark, "stages: the map is empty");
    if (map->n > MAX_NODES) {
        problem_add(r->problems, map->mark, "stages: %d nodes, expected at most %d", map->n, MAX_NODES);
        return;
    }
    struct drafts d = {.r = r, .n = map->n, .names = map->keys};
    int *in_cycle;
    if (arena_array(r->arena, "config", map->n, &d.nodes, r->e) != ERR_OK ||
        arena_array(r->arena, "config", map->n, &d.drafts, r->e) != ERR_OK ||
        arena_array(r->arena, "config", map->n, &in_cycle, r->e) != ERR_OK)
        return;
    for (int i = 0; i < map->n && r->e->code == ERR_OK; i++) {
        d.nodes[i].name = map->keys[i];
        d.nodes[i].mark = map->key_marks[i];
        read_node(r, map->items[i], &d.nodes[i], &d.drafts[i]);
    }
    for (int i = 0; i < map->n && r->e->code == ERR_OK; i++)
        read_needs(&d, i);
    if (r->e->code == ERR_OK)
        check_cycles(&d, in_cycle);
    for (int i = 0; i < map->n && r->e->code == ERR_OK; i++)
        check_ports(&d, i, in_cycle);
    c->nodes = d.nodes;
    c->nnodes = map->n;
}

/* ---- the whole ---- */

err_t config_resolve(struct config *c, struct arena *a, struct err *e)
{
    struct text t = {.arena = a};
    char number[NUMBER];
    TRY(text_add(&t, e, "study: \"%s\"\noutput: ", c->study));
    TRY(param_quote(&t, c->output, e));
    TRY(text_add(&t, e, "\nmemory_per_process: %s\n", bytes_text(c->memory_bytes, number, sizeof number)));
    TRY(text_add(&t, e, "read: %s\nread_block: %s\nmissing: %s\n", read_words[c->read.mode],
                 bytes_text(c->read.block_bytes, number, sizeof number), missing_words[c->missing]));
    TRY(matrix_text(c->cells, c->ncells, &t, e));
    TRY(text_add(&t, e, "stages:\n"));
    for (int i = 0; i < c->nnodes; i++) {
        const struct node_decl *node = &c->nodes[i];
        TRY(text_add(&t, e, "  \"%s\": {kind: %s, needs: [", node->name, node->stage->kind));
        for (int k = 0; k < node->nneeds; k++)
            TRY(text_add(&t, e, "%s\"%s\"", k ? ", " : "", c->nodes[node->needs[k]].name));
        TRY(text_add(&t, e, "]%s%s}\n", node->params_text[0] ? ", " : "", node->params_text));
    }
    c->resolved = t.text;
    return ERR_OK;
}

static void read_all(const struct asker *r, struct item *root, struct config *c)
{
    if (item_expect(r, root, ITEM_MAP, "the config") != 0)
        return;
    item_check_keys(r, root, top_keys, NTOP, "the config");
    c->study = item_name(r, item_get(root, "study", NULL), "study");

    const struct item *it = item_get(root, "output", NULL);
    const char *output = item_text(r, it, "output");
    if (output && !output[0])
        problem_add(r->problems, it->mark, "output: the path is empty");
    c->output = output ? path_clean(r->arena, output, r->e) : NULL;

    param_defaults(settings, c, r->arena, r->e);
    for (const struct param *p = settings; p->name; p++) {
        struct item *given = item_get(root, p->name, NULL);
        if (given)
            item_param(r, given, p, p->name, c);
    }

    struct cells cells = {0};
    struct mark at = {1, 1};
    const struct item *matrix = item_get(root, "matrix", &at);
    if (matrix)
        matrix_expand(r, matrix, at, &cells);
    const struct item *list = item_get(root, "cells", NULL);
    if (list)
        matrix_cells(r, list, &cells);
    matrix_check_names(r, &cells);
    c->ncells = cells.n;
    c->cells = cells.list;

    const struct item *stages = item_get(root, "stages", NULL);
    if (stages)
        read_stages(r, stages, c);
}

err_t config_parse(struct config *c, const char *file, const char *text, int64_t n, struct problems *problems,
                   struct arena *a, struct err *e)
{
    *c = (struct config){
        .file = arena_strdup(a, file, e), .text = arena_strndup(a, text, (size_t)n, e), .text_bytes = n};
    *problems = (struct problems){.arena = a, .file = c->file};
    struct asker r = {.problems = problems, .arena = a, .e = e};
    struct item *root;
    if (e->code != ERR_OK)
        return e->code;
    TRY(document_parse(c->text, n, problems, a, &root, e));
    if (root)
        read_all(&r, root, c);
    TRY(problems_end(problems, e));
    return config_resolve(c, a, e);
}
