/* synth: checkpoints in the published format with the real names and proportions of the families, tuned by
 * simulated bf16 optimiser steps, and token logits. Everything it writes says that it is simulated, and
 * nothing that does not is touched. */
#include "study/stage.h"

#include "kernels/simulate/describe.h"
#include "kernels/simulate/families.h"
#include "compare/layout.h"
#include "formats/folders/simulated.h"
#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/safetensors_writer.h"
#include "kernels/simulate/shards.h"
#include "kernels/simulate/simulate.h"
#include "base/path.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RULE = 1 }; /* raised with the stage's version whenever the simulated numbers change */

enum { HEADER_BYTES = 250 }; /* about, of a tensor in a header and in the index */

struct synth_params {
    double scale;
    int64_t layers, steps, seed, shards, logits;
    const char *architecture;
    int dtype_tuned, hollow;
};

static const char *const tuned_types[] = {"BF16", "F32", NULL};

static const struct param synth_params[] = {
    {"scale", PARAM_REAL, offsetof(struct synth_params, scale), "1", "0.015625", 1e-6, 1, NULL,
     "factor on hidden, intermediate and vocabulary widths and on the number of experts; 1: true size"},
    {"layers", PARAM_INT, offsetof(struct synth_params, layers), "layers", "2", 0, 10000, NULL,
     "layers kept of each family; 0: all; a family with experts keeps at least one layer of each sort"},
    {"steps", PARAM_INT, offsetof(struct synth_params, steps), "simulated steps", "8", 0, 100000, NULL,
     "length of a tuning run, unless the cell has a step of its own"},
    {"seed", PARAM_INT, offsetof(struct synth_params, seed), NULL, "0", -9e15, 9e15, NULL,
     "of all weights and steps; the seeds of cells are apart from it"},
    {"shards", PARAM_INT, offsetof(struct synth_params, shards), "files", "1", 0, 99999, NULL,
     "model.safetensors, or so many shards with an index; 0: cut as the published checkpoint is"},
    {"dtype_tuned", PARAM_CHOICE, offsetof(struct synth_params, dtype_tuned), NULL, "BF16", 0, 0, tuned_types,
     "type of tuned weights; F32: trained in float32 from the bf16 base, where small steps add up instead of "
     "being absorbed"},
    {"logits", PARAM_INT, offsetof(struct synth_params, logits), "tokens", "512", 1, 1e9, NULL,
     "tokens per policy, where the matrix names logits"},
    {"hollow", PARAM_BOOL, offsetof(struct synth_params, hollow), NULL, NULL, 0, 0, NULL,
     "no weights: true headers over files of holes, which take no room and read as zeros, with the types and "
     "the additional tensors of the published checkpoint; for trying check, load and plan at full size"},
    {"architecture", PARAM_TEXT, offsetof(struct synth_params, architecture), NULL, "", 0, 0, NULL,
     "a known family's name: the architecture of all families, whatever they are called; empty: each "
     "family's own"},
    {0}};

/* One tensor to write. */
struct part {
    struct simulate_tensor how;
    enum dtype dtype;
    int file;
    int64_t offset; /* first byte in its file */
};

struct synth {
    struct ctx *ctx;
    const struct synth_params *p;
    struct family family;                       /* at the study's size */
    const struct simulate_algorithm *algorithm; /* NULL: this is a base */
    int64_t steps;
    struct simulate_run run;
    const char *sentence; /* what every output says of itself */
    uint64_t key;         /* of the family */
    int64_t ntensors;
    struct stored_tensor *tensors; /* in the order of the files */
    enum family_kind *kinds;       /* in the same order */
    struct part *parts;
    struct layout layout;
    int nfiles;
    struct safetensors_writer *files;
    struct safetensors_writer logits; /* path NULL: none */
    struct stored_tensor logits_tensors[2];
    uint64_t logits_key;
    void *block;
};

static int synth_check(const void *params, char *problem, int size)
{
    const struct synth_params *p = params;
    if (p->architecture[0] == '\0' || family_find(p->architecture))
        return 0;
    const char *names[SIMULATE_NAMES];
    simulate_unknown(problem, size, "architecture", p->architecture, names, simulate_family_names(names));
    return -1;
}

static const struct family *architecture_of(const struct synth_params *p, const struct cell *cell)
{
    return family_find(p->architecture[0] ? p->architecture : cell->family);
}

static void synth_plan(const struct plan_view *view, struct estimate *out)
{
    const struct synth_params *p = view->params;
    const struct family *full = view->cell ? architecture_of(p, view->cell) : NULL;
    if (!full)
        return;
    struct family f;
    family_shrink(full, p->scale, p->layers, &f);
    int64_t tensors;
    if (p->hollow)
        family_publish(full, &f);
    double n = (double)family_parameters(&f, &tensors);
    if (p->hollow) {
        *out = (struct estimate){.tensors = (double)tensors, .known = 1};
        out->write_bytes = HEADER_BYTES * (double)tensors;
        out->process_bytes = 1000 * (double)tensors;
        return;
    }
    double logits =
        view->cell->logits_tuned || view->cell->logits_base ? (double)p->logits * (double)f.vocabulary : 0;
    *out = (struct estimate){.work = {n}, .tensors = (double)tensors, .known = 1};
    out->write_bytes = n * (p->dtype_tuned ? 4 : 2) + 4 * logits;
    out->work[1] = strcmp(view->role, "tuned") == 0 ? n * (double)p->steps : 0;
    out->work[2] = logits;
    out->flops = n * (20 + 16 * (double)p->steps);
    out->process_bytes = 4 * fmax((double)f.vocabulary, LAYOUT_BLOCK) + 1000 * (double)tensors;
}

/* ---- what to write ---- */

struct listing {
    struct synth *s;
    struct err *e;
    int64_t n;
};

static enum dtype dtype_of(const struct synth *s, enum family_kind kind)
{
    if (kind == FAMILY_CORRECTION || kind == FAMILY_SCALE || (s->algorithm && s->p->dtype_tuned == 1))
        return DTYPE_F32;
    return family_is_fp8(&s->family, kind) ? DTYPE_F8_E4M3 : DTYPE_BF16;
}

static int list_tensor(void *arg, const struct family_tensor *from)
{
    struct listing *list = arg;
    struct synth *s = list->s;
    struct stored_tensor *t = &s->tensors[list->n];
    t->name = arena_strdup(s->ctx->arena, from->name, list->e);
    if (!t->name)
        return -1;
    s->kinds[list->n] = from->kind;
    t->dtype = dtype_of(s, from->kind);
    t->ndim = from->ndim;
    t->elements = 1;
    for (int d = 0; d < from->ndim; d++) {
        t->dims[d] = from->dims[d];
        t->elements *= from->dims[d];
    }
    t->size_bytes = t->elements * dtype_bits(t->dtype) / 8;
    t->layer = tensor_layer(t->name);
    list->n++;
    return 0;
}

/* Which algorithm, how many steps, and the sentence that every output carries. */
static err_t describe(struct synth *s, struct err *e)
{
    const struct cell *cell = s->ctx->cell;
    const struct synth_params *p = s->p;
    const char *names[SIMULATE_NAMES];
    char problem[1200];
    const struct family *full = architecture_of(p, cell);
    if (!full) {
        simulate_unknown(problem, sizeof problem, "family", cell->family, names,
                         simulate_family_names(names));
        return err_set(e, ERR_CONFIG, "%s; or name one of them as synth's architecture", problem);
    }
    family_shrink(full, p->scale, p->layers, &s->family);
    if (p->hollow && !(strcmp(s->ctx->role, "tuned") == 0 && p->dtype_tuned == 1))
        family_publish(full, &s->family);
    s->key = simulate_key(simulate_key_number(simulate_key(0, "sinew synth"), p->seed), cell->family);
    if (strcmp(s->ctx->role, "tuned") == 0) {
        if (strcmp(cell->tuned, s->ctx->checkpoint) != 0)
            return err_set(
                e, ERR_CONFIG,
                "%s: is the base of cell %s and the tuned checkpoint of another; synth does not chain "
                "checkpoints",
                s->ctx->checkpoint, cell->name);
        s->algorithm = simulate_find(cell->algorithm);
        if (!s->algorithm) {
            simulate_unknown(problem, sizeof problem, "algorithm", cell->algorithm, names,
                             simulate_algorithm_names(names));
            return err_set(e, ERR_CONFIG, "%s", problem);
        }
        s->steps = cell->step >= 0 ? cell->step : p->steps;
    }
    s->run = (struct simulate_run){cell->family, cell->data,   tuned_types[p->dtype_tuned],
                                   &s->family,   s->algorithm, cell->seed,
                                   s->steps,     p->layers,    p->steps,
                                   p->seed,      p->shards,    p->logits,
                                   p->scale,     RULE,         p->dtype_tuned == 1,
                                   p->hollow};
    s->sentence = simulate_sentence(&s->run, s->ctx->arena, e);
    return s->sentence ? ERR_OK : e->code;
}

static err_t add_output(struct synth *s, struct safetensors_writer *out, const char *path,
                        struct stored_tensor *t, int64_t n, struct err *e)
{
    const char *const metadata[] = {"format", "pt", "simulated", s->sentence};
    return safetensors_writer_plan(out, path, s->ctx->out->mark, t, n, metadata, 2, s->ctx->arena, e);
}

/* Where the model's list of tensors is cut into files: ends[k] is the first tensor behind file k. */
static err_t cut_files(struct synth *s, int64_t **ends, struct err *e)
{
    struct arena *a = s->ctx->arena;
    int64_t *bytes, files = s->p->shards > 0 ? s->p->shards : s->family.files;
    TRY(arena_array(a, "synth.ends", s->ntensors, ends, e));
    TRY(arena_array(a, "synth.bytes", s->ntensors, &bytes, e));
    for (int64_t i = 0; i < s->ntensors; i++)
        bytes[i] = s->tensors[i].size_bytes;
    s->nfiles = (int)shards_cut(bytes, s->ntensors, files, *ends);
    arena_drop(a, bytes);
    return ERR_OK;
}

/* Tensors [first, end) as they lie in file k: wider elements first, so that every tensor is aligned to its
 * type. */
static void sort_file(struct synth *s, int64_t first, int64_t end, int k, struct stored_tensor *sorted)
{
    const struct simulate_course how = {.key = s->key,
                                        .algorithm = s->algorithm,
                                        .data = s->ctx->cell->data,
                                        .seed = s->ctx->cell->seed,
                                        .steps = s->steps};
    int64_t n = first;
    for (int bits = 32; bits >= 8; bits /= 2)
        for (int64_t i = first; i < end; i++)
            if (dtype_bits(s->tensors[i].dtype) == bits) {
                s->parts[n].how = simulate_how(&how, s->tensors[i].name, s->kinds[i]);
                s->parts[n].dtype = s->tensors[i].dtype;
                s->parts[n].file = k;
                s->layout.tensors[n].elements = s->tensors[i].elements;
                sorted[n++] = s->tensors[i];
            }
}

/* DeepSeek numbers its 163 files in six digits. */
static char *name_of_file(const struct synth *s, int k, struct err *e)
{
    struct arena *a = s->ctx->arena;
    int digits = s->p->shards == 0 && s->family.files > 0 ? 6 : 5;
    return s->nfiles == 1 ? arena_strdup(a, "model.safetensors", e)
                          : arena_printf(a, e, "model-%05d-of-%0*d.safetensors", k + 1, digits, s->nfiles);
}

/* The files of the model, in the model's order. */
static err_t plan_files(struct synth *s, struct err *e)
{
    struct arena *a = s->ctx->arena;
    int64_t first = 0, *ends;
    TRY(cut_files(s, &ends, e));
    TRY(arena_array(a, "synth.files", s->nfiles, &s->files, e));
    struct stored_tensor *sorted;
    TRY(arena_array(a, "synth.tensors", s->ntensors, &sorted, e));
    TRY(arena_array(a, "synth.parts", s->ntensors, &s->parts, e));
    TRY(arena_array(a, "synth.layout", s->ntensors, &s->layout.tensors, e));
    s->layout.ntensors = s->ntensors;
    for (int k = 0; k < s->nfiles; k++) {
        sort_file(s, first, ends[k], k, sorted);
        char *name = name_of_file(s, k, e);
        char *path = name ? path_join(a, s->ctx->checkpoint, name, e) : NULL;
        if (!path)
            return e->code;
        TRY(add_output(s, &s->files[k], path, &sorted[first], ends[k] - first, e));
        for (int64_t i = first; i < ends[k]; i++)
            s->parts[i].offset = sorted[i].offset_bytes;
        first = ends[k];
    }
    s->tensors = sorted;
    layout_number(&s->layout);
    return ERR_OK;
}

static err_t plan_logits(struct synth *s, struct err *e)
{
    const struct cell *cell = s->ctx->cell;
    const char *path = s->algorithm ? cell->logits_tuned : cell->logits_base;
    if (!path)
        return ERR_OK;
    if (s->p->hollow)
        return err_set(
            e, ERR_CONFIG,
            "cell %s: logits of a hollow checkpoint would be a made-up measurement; leave `logits` "
            "out of the study",
            cell->name);
    int64_t rows = s->p->logits, v = s->family.vocabulary;
    s->logits_tensors[0] = (struct stored_tensor){.name = "token_ids",
                                                  .dtype = DTYPE_I64,
                                                  .ndim = 1,
                                                  .dims = {rows},
                                                  .elements = rows,
                                                  .size_bytes = 8 * rows};
    s->logits_tensors[1] = (struct stored_tensor){.name = "logits",
                                                  .dtype = DTYPE_F32,
                                                  .ndim = 2,
                                                  .dims = {rows, v},
                                                  .elements = rows * v,
                                                  .size_bytes = 4 * rows * v};
    s->logits_key = simulate_key(s->key, "logits");
    if (s->algorithm) {
        s->logits_key = simulate_key(simulate_key(s->logits_key, s->algorithm->name), cell->data);
        s->logits_key = simulate_key_number(simulate_key_number(s->logits_key, cell->seed), s->steps);
    }
    return add_output(s, &s->logits, path, s->logits_tensors, 2, e);
}

/* Local. Everything that is known before a byte is written; the same on every process. */
static err_t prepare(struct synth *s, struct err *e)
{
    struct arena *a = s->ctx->arena;
    TRY(describe(s, e));
    family_parameters(&s->family, &s->ntensors);
    TRY(arena_array(a, "synth.tensors", s->ntensors, &s->tensors, e));
    TRY(arena_array(a, "synth.kinds", s->ntensors, &s->kinds, e));
    struct listing list = {.s = s, .e = e};
    if (family_tensors(&s->family, list_tensor, &list) != 0)
        return e->code;
    TRY(plan_files(s, e));
    TRY(plan_logits(s, e));
    int64_t bytes = 4 * (int64_t)LAYOUT_BLOCK;
    if (s->logits.path && 4 * s->family.vocabulary > bytes)
        bytes = 4 * s->family.vocabulary;
    char *block;
    TRY(arena_array(a, "synth.block", bytes, &block, e));
    s->block = block;
    return ERR_OK;
}

/* ---- JSON beside the weights (process 0) ---- */

static err_t write_json(struct synth *s, const char *name, const struct text *t, struct err *e)
{
    char *path = path_join(s->ctx->arena, s->ctx->checkpoint, name, e);
    return path ? file_write(path, t->text, t->used, e) : e->code;
}

/* What the checkpoint is and how it was made. Its mark is what makes the folder ours on the next run, so it
 * is written first. */
static err_t write_run(struct synth *s, struct err *e)
{
    struct text t = {.arena = s->ctx->arena};
    TRY(simulate_run_text(&s->run, &t, e));
    return write_json(s, "run.json", &t, e);
}

static err_t write_config(struct synth *s, struct err *e)
{
    char config[4096];
    int n = family_config(&s->family, s->algorithm && s->p->dtype_tuned == 1 ? "float32" : "bfloat16", config,
                          sizeof config);
    if (n >= (int)sizeof config)
        return err_set(e, ERR_BUG, "config.json of %s needs %d bytes", s->family.name, n);
    const struct text t = {.text = config, .used = n};
    return write_json(s, "config.json", &t, e);
}

static err_t write_index(struct synth *s, struct err *e)
{
    struct text t = {.arena = s->ctx->arena};
    const char **files;
    TRY(arena_array(s->ctx->arena, "synth.index", s->ntensors, &files, e));
    for (int64_t i = 0; i < s->ntensors; i++)
        files[i] = path_last(s->files[s->parts[i].file].path);
    TRY(safetensors_index_text(s->tensors, s->ntensors, files, &t, e));
    return write_json(s, "model.safetensors.index.json", &t, e);
}

/* ---- weights and logits ---- */

static err_t clear_place(struct synth *s, struct err *e)
{
    struct simulated_place place = {
        .folder = s->ctx->checkpoint, .logits = s->logits.path, .nshards = s->nfiles};
    const char **names;
    TRY(arena_array(s->ctx->arena, "synth.names", s->nfiles, &names, e));
    for (int k = 0; k < s->nfiles; k++)
        names[k] = path_last(s->files[k].path);
    place.shards = names;
    return simulated_clear(&place, s->ctx->arena, e);
}

/* Hollow files on a file system without holes would be full ones. */
static err_t check_holes(const struct synth *s, struct err *e)
{
    int64_t bytes = 0;
    int holds = 1;
    char size[40];
    for (int k = 0; s->p->hollow && k < s->nfiles; k++)
        bytes += s->files[k].size_bytes;
    if (s->p->hollow)
        TRY(file_holds_holes(s->ctx->checkpoint, &holds, e));
    return holds
               ? ERR_OK
               : err_set(e, ERR_SYSTEM,
                         "%s: this file system keeps no holes: the hollow checkpoint would take %lld bytes "
                         "(%s); name a folder on another one (ext4, xfs, btrfs, tmpfs keep holes)",
                         s->ctx->checkpoint, (long long)bytes, human_bytes((double)bytes, size, sizeof size));
}

/* Process 0: all that must stand before the others can write. */
static err_t begin_files(struct synth *s, struct err *e)
{
    TRY(clear_place(s, e));
    TRY(path_make_dir(s->ctx->checkpoint, e));
    TRY(check_holes(s, e));
    TRY(write_run(s, e));
    TRY(write_config(s, e));
    for (int k = 0; k < s->nfiles; k++)
        TRY(safetensors_writer_create(&s->files[k], e));
    if (s->logits.path) {
        char *dir = path_dir(s->ctx->arena, s->logits.path, e);
        if (!dir)
            return e->code;
        TRY(path_make_dir(dir, e));
        TRY(safetensors_writer_create(&s->logits, e));
    }
    return ERR_OK;
}

static void make_block(const struct synth *s, const struct part *t, int64_t first, int64_t n)
{
    if (t->dtype == DTYPE_BF16)
        simulate_tuned_bf16(&t->how, first, n, s->block);
    else if (s->algorithm && t->how.steps > 0)
        simulate_tuned_f32(&t->how, first, n, s->block);
    else
        simulate_base_f32(&t->how, first, n, s->block);
}

/* Local. This process's blocks of the model; of a hollow one the files as they were created. */
static err_t write_weights(struct synth *s, struct err *e)
{
    const struct layout *l = &s->layout;
    int64_t from, to;
    if (s->p->hollow)
        return e->code;
    layout_share(l, 0, l->nblocks, s->ctx->comm->np, s->ctx->comm->me, &from, &to);
    struct safetensors_writer *out = NULL;
    for (int64_t b = from; b < to && e->code == ERR_OK; b++) {
        struct block at = layout_block(l, b);
        const struct part *t = &s->parts[at.tensor];
        if (out != &s->files[t->file]) {
            if (out && safetensors_writer_close(out, e) != ERR_OK)
                break;
            out = &s->files[t->file];
            if (safetensors_writer_open(out, e) != ERR_OK)
                break;
        }
        int64_t width = dtype_bits(t->dtype) / 8;
        ctx_item(s->ctx, l->tensors[at.tensor].name);
        make_block(s, t, at.first, at.n);
        safetensors_writer_put(out, s->block, at.n * width, t->offset + at.first * width, e);
        ctx_progress(s->ctx, (double)(b + 1 - from) / (double)(to - from), (double)(at.n * width));
    }
    return out ? safetensors_writer_close(out, e) : e->code;
}

/* Local. This process's rows of the logits. Training sharpens a policy: by a sixtieth per step on-policy, by
 * half of that off-policy, at most by a quarter. */
static err_t write_logits(struct synth *s, struct err *e)
{
    if (!s->logits.path || e->code != ERR_OK)
        return e->code;
    double sharpen = s->algorithm ? (double)s->steps / (s->algorithm->on_policy ? 60 : 120) : 0;
    sharpen = 1 + (sharpen < 0.25 ? sharpen : 0.25);
    int64_t v = s->family.vocabulary, from, to;
    split(s->p->logits, s->ctx->comm->np, s->ctx->comm->me, &from, &to);
    if (from == to)
        return ERR_OK;
    TRY(safetensors_writer_open(&s->logits, e));
    for (int64_t row = from; row < to && e->code == ERR_OK; row++) {
        int64_t id;
        simulate_logits(s->logits_key, row, v, (float)sharpen, s->block, &id);
        safetensors_writer_put(&s->logits, s->block, 4 * v, s->logits_tensors[1].offset_bytes + 4 * v * row,
                               e);
        safetensors_writer_put(&s->logits, &id, 8, s->logits_tensors[0].offset_bytes + 8 * row, e);
    }
    return safetensors_writer_close(&s->logits, e);
}

/* Process 0: final names; the index last, since it is what makes shards a checkpoint. */
static err_t finish_files(struct synth *s, struct err *e)
{
    for (int k = 0; k < s->nfiles; k++)
        TRY(safetensors_writer_commit(&s->files[k], e));
    if (s->nfiles > 1)
        TRY(write_index(s, e));
    return s->logits.path ? safetensors_writer_commit(&s->logits, e) : ERR_OK;
}

/* ---- the artifact (process 0) ---- */

static err_t add_file(struct synth *s, struct table *t, const char *path, int is_safetensors, struct err *e)
{
    char hash[17] = "";
    struct file_stamp stamp;
    if (!file_stamp_of(path, &stamp))
        return err_set(e, ERR_SYSTEM, "%s: has vanished: %s", path, strerror(errno));
    if (is_safetensors) {
        struct safetensors file;
        TRY(safetensors_open(&file, path, s->ctx->arena, e));
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)file.header_hash);
    }
    return TABLE_ADD(t, e, V_TEXT(path), V_INT(stamp.size_bytes), V_INT(stamp.mtime_ns), V_TEXT(hash));
}

static err_t write_artifact(struct synth *s, struct err *e)
{
    struct ctx *ctx = s->ctx;
    struct table t;
    table_init(&t, "files", ctx->arena);
    for (int k = 0; k < s->nfiles; k++)
        TRY(add_file(s, &t, s->files[k].path, 1, e));
    if (s->logits.path)
        TRY(add_file(s, &t, s->logits.path, 1, e));
    static const char *const beside[] = {"config.json", "run.json", "model.safetensors.index.json"};
    for (int i = 0; i < (s->nfiles > 1 ? 3 : 2); i++) {
        char *path = path_join(ctx->arena, ctx->checkpoint, beside[i], e);
        if (!path)
            return e->code;
        TRY(add_file(s, &t, path, 0, e));
    }
    struct h5 *f;
    TRY(artifact_tables(ctx->out, &f, e));
    TRY(h5_table_write(f, "files", &t, e));
    TRY(h5_set_text(f, "/", "simulated", s->sentence, e));
    TRY(h5_set_text(f, "/", "architecture", s->family.name, e));
    TRY(h5_set_text(f, "/", "stands_for", s->family.stands_for, e));
    TRY(h5_set_int(f, "/", "rule", RULE, e));
    TRY(h5_set_int(f, "/", "tensors", s->ntensors, e));
    return h5_set_int(f, "/", "parameters", s->layout.elements, e);
}

static err_t synth_run(struct ctx *ctx, struct err *e)
{
    const struct comm *c = ctx->comm;
    struct synth s = {.ctx = ctx, .p = ctx->params};
    prepare(&s, e);
    TRY_ALL(c, e);
    if (c->me == 0)
        begin_files(&s, e);
    TRY_ALL(c, e);
    write_weights(&s, e);
    write_logits(&s, e);
    TRY_ALL(c, e);
    if (c->me == 0 && finish_files(&s, e) == ERR_OK)
        write_artifact(&s, e);
    return comm_agree(c, e);
}

static const struct schema *const synth_tables[] = {&schema_files, NULL};

const struct stage stage_synth = {
    .kind = "synth",
    .brief = "writes simulated checkpoints and logits with the families' real names and proportions",
    .version = 1,
    .scope = SCOPE_CHECKPOINT,
    .params = synth_params,
    .params_size = sizeof(struct synth_params),
    .writes_files = 1,
    .inputs = (const char *const[]){NULL},
    .check = synth_check,
    .plan = synth_plan,
    .work = (const struct stage_work[]){WORK("elements", 250e6), WORK("steps", 400e6), WORK("logits", 200e6),
                                        WORK_END},
    .tables = synth_tables,
    .run = synth_run};
