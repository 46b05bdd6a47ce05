#include "export/mask.h"

#include "elements/bits/bits.h"
#include "compare/maskfile.h"
#include "compare/update.h"
#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/safetensors_writer.h"
#include "base/file.h"
#include "base/text.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_WORDS = 1 << 13 }; /* of a mask in memory: half a million elements */

static const char OURS[] = "sinew_version"; /* the metadata by which an exported file is known again */

struct export
{
    struct runner *r;
    const struct export_request *x;
    struct arena *arena; /* of the export */
    const struct node *node;
    const struct node_decl *decl;
    struct maskfile *mask;
    struct maskfile_kind kind;
    struct layout layout;
    struct stored_tensor *tensors; /* to be written */
    int64_t updated;               /* as the artifact says */
    struct safetensors_writer file;
    int64_t at; /* bytes of the file that have been written */
};

err_t export_format_find(const char *name, enum export_format *format, struct err *e)
{
    static const char *const names[] = {"bytes", "bits"};
    for (int i = 0; i < 2; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum export_format)i;
            return ERR_OK;
        }
    struct text_hint hint;
    return err_set(e, ERR_CONFIG, "--format '%s': expected bytes or bits%s", name,
                   text_meant(&hint, name, names, 2, "; ", "'", ""));
}

/* ---- what to export ---- */

static err_t find_decl(struct export *p, struct err *e)
{
    const struct config *c = p->r->dag->config;
    const char **masks, **names;
    int nmasks = 0;
    TRY(arena_array(p->arena, "export.names", c->nnodes, &masks, e));
    TRY(arena_array(p->arena, "export.names", c->nnodes, &names, e));
    for (int i = 0; i < c->nnodes; i++) {
        names[i] = c->nodes[i].name;
        if (stage_writes(c->nodes[i].stage, maskfile_datasets))
            masks[nmasks++] = names[i];
        if (strcmp(names[i], p->x->node) == 0)
            p->decl = &c->nodes[i];
    }
    if (p->decl && stage_writes(p->decl->stage, maskfile_datasets))
        return ERR_OK;
    const char *list = text_join(p->arena, masks, nmasks, ", ", e);
    if (!list)
        return e->code;
    if (nmasks == 0)
        list = "none";
    if (p->decl)
        return err_set(e, ERR_CONFIG, "--node '%s' is of kind %s, not mask; %s has these masks: %s",
                       p->x->node, p->decl->stage->kind, c->file, list);
    struct text_hint hint;
    if (!text_meant(&hint, p->x->node, masks, nmasks, "; ", "'", "")[0])
        text_meant(&hint, p->x->node, names, c->nnodes, "; ", "'", "");
    return err_set(e, ERR_CONFIG, "--node '%s' is not in the config%s; it has these masks: %s", p->x->node,
                   hint.text, list);
}

/* The node of the cell, which must be fresh. */
static err_t find_node(struct export *p, struct err *e)
{
    const struct dag *d = p->r->dag;
    const char *cell = p->x->cell, *file = d->config->file;
    const struct selection only = {.cells = {1, &cell}};
    struct freshness *all;
    char *wanted;
    int at = -1;
    TRY(selection_check(&only, d->config, p->r->arena, e));
    TRY(find_decl(p, e));
    for (int i = 0; i < d->nnodes; i++)
        if (&d->config->nodes[d->nodes[i].decl] == p->decl && strcmp(d->nodes[i].label, cell) == 0)
            at = i;
    if (at < 0)
        return err_set(e, ERR_BUG, "%s of %s is no node of the study", p->x->node, cell);
    p->node = &d->nodes[at];
    /* Its freshness needs that of what lies below it, and of nothing else. */
    TRY(arena_array(p->arena, "export.states", d->nnodes, &all, e));
    TRY(arena_array(p->arena, "export.wanted", d->nnodes, &wanted, e));
    wanted[at] = 1;
    headers_round(p->r->headers);
    for (int i = at; i >= 0; i--)
        for (int k = 0; wanted[i] && k < d->nodes[i].ninputs; k++)
            wanted[d->nodes[i].input_nodes[k]] = 1;
    for (int i = 0; i <= at; i++)
        if (wanted[i])
            TRY(fresh_node(d, i, all, p->r->headers, p->arena, e));
    if (all[at].state != STATE_FRESH)
        return err_set(
            e, ERR_DATA,
            "%s of %s: the artifact %s is %s%s%s; run 'sinew run %s --cell %s' first, or 'sinew run "
            "%s' for the whole study",
            p->x->node, cell, p->node->path, fresh_name(all[at].state), all[at].why[0] ? ": " : "",
            all[at].why, file, cell, file);
    return ERR_OK;
}

/* ---- what is known of it ---- */

static err_t open_mask(struct export *p, struct err *e)
{
    struct arena *a = p->arena;
    TRY(maskfile_read(p->node->path, &p->layout, &p->kind, a, e));
    TRY(maskfile_open(p->node->path, &p->layout, a, &p->mask, e));
    TRY(maskfile_updated(p->mask, &p->updated, e));
    TRY(arena_array(a, "export.tensors", p->layout.ntensors, &p->tensors, e));
    for (int64_t i = 0; i < p->layout.ntensors; i++) {
        const struct layout_tensor *from = &p->layout.tensors[i];
        struct stored_tensor *to = &p->tensors[i];
        *to = (struct stored_tensor){.name = from->name, .dtype = DTYPE_U8, .ndim = from->ndim};
        memcpy(to->dims, from->dims, sizeof to->dims);
        if (p->x->format == EXPORT_BITS) {
            to->ndim = 1;
            to->dims[0] = (from->elements + 7) / 8;
        }
    }
    return ERR_OK;
}

/* What was left out, as the delta below the mask lists it: a JSON map of name and reason. */
static err_t skipped_text(struct export *p, struct text *out, struct err *e)
{
    const struct input *delta = NULL;
    struct table t;
    for (int i = 0; i < p->node->ninputs; i++)
        if (stage_writes(p->r->dag->nodes[p->node->input_nodes[i]].stage, update_datasets))
            delta = &p->node->inputs[i];
    if (!delta || access(delta->path, F_OK) != 0)
        return err_set(e, ERR_DATA,
                       "%s of %s needs its delta%s%s, which lists the parameters that were left out; run "
                       "'sinew run %s --cell %s' first",
                       p->x->node, p->x->cell, delta ? ", " : "", delta ? delta->path : "",
                       p->r->dag->config->file, p->x->cell);
    TRY(update_skipped(delta->path, &t, p->arena, e));
    TRY(text_add(out, e, "{"));
    for (int64_t i = 0, next; i < t.nrows; i = next) {
        const char *name = table_text(&t, i, "tensor");
        struct text reasons = {.arena = p->arena}; /* rows of one tensor follow each other */
        for (next = i; next < t.nrows && strcmp(table_text(&t, next, "tensor"), name) == 0; next++)
            TRY(text_add(&reasons, e, "%s%s", next > i ? "; " : "", table_text(&t, next, "reason")));
        TRY(text_add(out, e, "%s", i ? "," : ""));
        TRY(text_add_json(out, e, name));
        TRY(text_add(out, e, ":"));
        TRY(text_add_json(out, e, reasons.text));
    }
    return text_add(out, e, "}");
}

/* The shapes that a packed mask has lost: a JSON map of name and shape. */
static err_t shapes_text(const struct layout *l, struct text *out, struct err *e)
{
    TRY(text_add(out, e, "{"));
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        TRY(text_add(out, e, "%s", i ? "," : ""));
        TRY(text_add_json(out, e, t->name));
        TRY(text_add(out, e, ":["));
        for (int d = 0; d < t->ndim; d++)
            TRY(text_add(out, e, "%s%lld", d ? "," : "", (long long)t->dims[d]));
        TRY(text_add(out, e, "]"));
    }
    return text_add(out, e, "}");
}

static err_t plan_file(struct export *p, struct err *e)
{
    struct arena *a = p->arena;
    struct text shapes = {.arena = a}, skipped = {.arena = a};
    char tolerance[40], density[40], updated[24], parameters[24];
    double n = (double)p->layout.elements;
    TRY(skipped_text(p, &skipped, e));
    TRY(shapes_text(&p->layout, &shapes, e));
    real_text(p->kind.tolerance, tolerance, sizeof tolerance);
    real_text(n > 0 ? (double)p->updated / n : 0, density, sizeof density);
    snprintf(updated, sizeof updated, "%lld", (long long)p->updated);
    snprintf(parameters, sizeof parameters, "%lld", (long long)p->layout.elements);
    const char *const metadata[] = {"format",      "pt",
                                    OURS,          SINEW_VERSION,
                                    "study",       p->r->dag->config->study,
                                    "cell",        p->x->cell,
                                    "node",        p->x->node,
                                    "arithmetic",  p->kind.arithmetic,
                                    "criterion",   p->kind.criterion,
                                    "tolerance",   tolerance,
                                    "parameters",  parameters,
                                    "updated",     updated,
                                    "density",     density,
                                    "skipped",     skipped.text,
                                    "mask_format", p->x->format == EXPORT_BITS ? "bits" : "bytes",
                                    "shapes",      shapes.text};
    int pairs = (int)(sizeof metadata / sizeof *metadata) / 2;
    if (p->x->format == EXPORT_BYTES)
        pairs--; /* the tensors have their shapes */
    return safetensors_writer_plan(&p->file, p->x->to, NULL, p->tensors, p->layout.ntensors, metadata, pairs,
                                   a, e);
}

/* ---- the file ---- */

/* May the file be written? Never over a checkpoint: inputs are read-only. */
static err_t check_target(struct export *p, struct err *e)
{
    const char *to = p->x->to;
    struct stat st;
    if (stat(to, &st) != 0)
        return ERR_OK;
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_CONFIG, "--to %s: is there and no file", to);
    if (!p->x->force)
        return err_set(e, ERR_CONFIG, "--to %s: is there; give --force to overwrite it", to);
    struct safetensors s;
    struct err none; /* what is no safetensors file is no checkpoint */
    err_clear(&none);
    if (safetensors_open(&s, to, p->arena, &none) == ERR_OK && !safetensors_metadata(&s, OURS))
        return err_set(
            e, ERR_CONFIG,
            "--to %s: holds tensors that sinew did not export; --force does not overwrite those, remove "
            "it yourself",
            to);
    return ERR_OK;
}

static err_t put(struct export *p, const void *bytes, int64_t n, struct err *e)
{
    TRY(safetensors_writer_put(&p->file, bytes, n, p->at, e));
    p->at += n;
    return ERR_OK;
}

/* Elements of `words` as bytes of 0 and 1, or 8 to a byte, into out. Returns the bytes. */
static int64_t unfold(enum export_format format, const uint64_t *words, int64_t n, unsigned char *out)
{
    if (format == EXPORT_BYTES) {
        for (int64_t i = 0; i < n; i++)
            out[i] = words[i / 64] >> (i % 64) & 1;
        return n;
    }
    for (int64_t i = 0; i < (n + 7) / 8; i++)
        out[i] = (unsigned char)(words[i / 8] >> (8 * (i % 8)));
    return (n + 7) / 8;
}

static err_t put_tensors(struct export *p, struct err *e)
{
    const struct layout *l = &p->layout;
    uint64_t *words;
    unsigned char *out;
    int64_t updated = 0;
    TRY(arena_array(p->arena, "export.words", CHUNK_WORDS, &words, e));
    TRY(arena_array(p->arena, "export.bytes", 64 * CHUNK_WORDS, &out, e));
    for (int64_t i = 0; i < l->ntensors; i++) {
        const struct layout_tensor *t = &l->tensors[i];
        for (int64_t at = 0; at < t->nwords; at += CHUNK_WORDS) {
            int64_t nwords = t->nwords - at < CHUNK_WORDS ? t->nwords - at : CHUNK_WORDS;
            int64_t left = t->elements - 64 * at, n = left < 64 * nwords ? left : 64 * nwords;
            TRY(maskfile_words(p->mask, t->first_word + at, nwords, words, e));
            updated += bits_count(words, nwords);
            TRY(put(p, out, unfold(p->x->format, words, n, out), e));
        }
    }
    if (updated != p->updated)
        return err_set(
            e, ERR_DATA,
            "%s: the mask has %lld bits set, its table sparsity says %lld; delete it and run 'sinew run "
            "%s --cell %s'",
            p->node->path, (long long)updated, (long long)p->updated, p->r->dag->config->file, p->x->cell);
    return ERR_OK;
}

static err_t write_file(struct export *p, struct err *e)
{
    TRY(plan_file(p, e));
    p->at = p->file.header_bytes;
    if (safetensors_writer_create(&p->file, e) == ERR_OK && safetensors_writer_open(&p->file, e) == ERR_OK)
        put_tensors(p, e);
    if (safetensors_writer_close(&p->file, e) == ERR_OK)
        safetensors_writer_commit(&p->file, e);
    if (e->code != ERR_OK)
        safetensors_writer_discard(&p->file);
    return e->code;
}

/* Process 0. */
static err_t export_root(struct export *p, struct err *e)
{
    TRY(find_node(p, e));
    TRY(check_target(p, e));
    err_t code = open_mask(p, e);
    if (code == ERR_OK)
        code = write_file(p, e);
    maskfile_close(p->mask);
    TRY(code);
    const struct layout *l = &p->layout;
    double n = l->elements > 0 ? (double)l->elements : 1;
    log_info(p->r->log, "%s of %s: %lld of %lld parameters updated (density %.6f), %lld tensors, %s",
             p->x->node, p->x->cell, (long long)p->updated, (long long)l->elements, (double)p->updated / n,
             (long long)l->ntensors, p->x->to);
    return ERR_OK;
}

err_t export_mask(struct runner *r, const struct export_request *x, struct err *e)
{
    struct arena arena;
    struct export p = {.r = r, .x = x, .arena = &arena};
    arena_init(&arena, r->mem);
    if (r->comm->me == 0)
        export_root(&p, e);
    arena_release(&arena);
    return comm_agree(r->comm, e);
}
