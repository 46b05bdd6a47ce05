#include "formats/catalogue.h"
#include "formats/head.h"
#include "hdf5/h5.h"
#include "study/stage.h"
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Load: validates a checkpoint once and catalogues it.
 *
 * The artifact holds the tables of catalogue.h and, per tensor, the dataset
 * /tensors/NAME: by default an external one, whose bytes stay where they are, in the checkpoint's own files;
 * with `copy: true` the tensor itself. A tensor in several pieces that follow one another is one dataset over
 * as many segments. HDF5 knows neither strides nor boxes: a tensor that does not lie row-major in its file
 * (torch saves transposed and sliced ones as they are), or is cut across its rows, is always copied, so that
 * its values stand there. Of a tensor that follows from others (an adapter's target, say) nothing is stored:
 * it has no dataset unless all is copied, and table decodings says how it comes about.
 *
 * HDF5 1.10 looks for an external file under the name as it is if that is absolute, whatever prefix is set,
 * and else from the prefix on (HDF5_EXTFILE_PREFIX, or H5Pset_efile_prefix; in it ${ORIGIN} is the folder of
 * the HDF5 file), from the current folder on where there is none. No name is therefore both found without a
 * setting and still found after a move: `paths` chooses, and the artifact says what to do.
 */

enum { PART_BYTES = 64 << 20 }; /* of a tensor copied at a time, by each process */

enum paths { PATHS_ABSOLUTE, PATHS_RELATIVE };
static const char *const paths_choices[] = {"absolute", "relative", NULL};

struct load_params {
    int copy, paths;
};

static const struct param load_params[] = {
    {"copy", PARAM_BOOL, offsetof(struct load_params, copy), NULL, "false", 0, 0, NULL,
     "write the tensors into the artifact, instead of datasets that refer to the checkpoint's own files"},
    {"paths", PARAM_CHOICE, offsetof(struct load_params, paths), NULL, "absolute", 0, 0, paths_choices,
     "how the artifact's datasets name those files: absolute: read without any setting, until the checkpoint "
     "is "
     "moved; relative: still read when artifact and checkpoint are moved together, with "
     "HDF5_EXTFILE_PREFIX='${ORIGIN}' in the environment"},
    {0}};

static const char *const load_inputs[] = {"?synth", NULL};

/* ---- how a tensor stands in HDF5 ---- */

/* type: what h5py shows; exact: it means the same numbers there, otherwise it is bits of the same width. */
static enum h5_type stored_type(enum dtype t, int *exact)
{
    *exact = 1;
    switch (t) {
    case DTYPE_BF16:
        return H5_BF16;
    case DTYPE_F16:
        return H5_REAL16;
    case DTYPE_F32:
        return H5_REAL32;
    case DTYPE_F64:
        return H5_REAL64;
    case DTYPE_I64:
        return H5_INT64;
    case DTYPE_U8:
        return H5_BITS8;
    case DTYPE_U16:
        return H5_BITS16;
    case DTYPE_U32:
        return H5_BITS32;
    case DTYPE_U64:
        return H5_BITS64;
    default:
        break;
    }
    *exact = 0;
    int bits = dtype_bits(t);
    return bits == 64 ? H5_BITS64 : bits == 32 ? H5_BITS32 : bits == 16 ? H5_BITS16 : H5_BITS8;
}

/* Can a dataset refer to the tensor's own bytes? HDF5 wants them in order, in a limited number of segments.
 */
static int is_referred(const struct stored_tensor *t)
{
    return stored_in_runs(t) && (!t->cut || t->cut->n <= H5_SEGMENTS);
}

/* Does the tensor follow from others, so that none of its bytes are in a file? */
static int is_derived(const struct stored_tensor *t)
{
    return t->file == STORED_NOWHERE;
}

/* The tensor as it is stored: a scalar as one element, a type below a byte as its bytes in one line. */
static struct stored_tensor stored_as(const struct stored_tensor *t)
{
    struct stored_tensor s = *t;
    if (dtype_bits(t->dtype) % 8 != 0) {
        s.dtype = DTYPE_U8;
        s.elements = s.size_bytes;
        s.ndim = 1;
        s.dims[0] = s.size_bytes;
    } else if (t->ndim == 0) {
        s.ndim = 1;
        s.dims[0] = 1;
    }
    return s;
}

/* /tensors/NAME for each tensor; '/' would make groups of a name, and '.' alone is the group itself. Two
 * names that become one are refused: nothing is left out in silence. */
static err_t dataset_names(const struct checkpoint *c, char ***out, struct arena *a, struct err *e)
{
    char **names, **sorted;
    TRY(arena_array(a, "load.names", c->ntensors, &names, e));
    TRY(arena_array(a, "load.names", c->ntensors, &sorted, e));
    for (int64_t i = 0; i < c->ntensors; i++) {
        const char *name = c->tensors[i].name;
        names[i] = sorted[i] = arena_printf(a, e, "/tensors/%s", strcmp(name, ".") == 0 ? "|" : name);
        if (!names[i])
            return e->code;
        for (char *p = names[i] + strlen("/tensors/"); *p; p++)
            *p = *p == '/' ? '|' : *p;
    }
    if (c->ntensors > 0)
        qsort(sorted, (size_t)c->ntensors, sizeof *sorted, text_order);
    for (int64_t i = 1; i < c->ntensors; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return err_set(e, ERR_DATA,
                           "%s: two tensor names become %s when / is written as |; expected distinct names",
                           c->path, sorted[i]);
    arena_drop(a, sorted);
    *out = names;
    return ERR_OK;
}

/* ---- the stage ---- */

static err_t load_files(const struct ctx *ctx, err_t (*add)(void *arg, const char *path, struct err *e),
                        void *arg, struct err *e)
{
    return add(arg, ctx->checkpoint, e);
}

static const struct stage_work load_work[] = {WORK("bytes", 1.5e9), WORK_END};

static void load_plan(const struct plan_view *view, struct estimate *out)
{
    const struct load_params *p = view->params;
    const struct checkpoint *c = view->base;
    if (!c)
        return;
    double n = (double)c->ntensors, bytes = 0, largest = 0;
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        double size = p->copy || (!is_derived(t) && !is_referred(t)) ? (double)c->tensors[i].size_bytes : 0;
        bytes += size;
        largest = size > largest ? size : largest;
    }
    out->read_bytes = 150 * n; /* a header's share of a tensor */
    out->write_bytes = 1000 * n;
    out->process_bytes = 1500 * n + 1e6; /* header, its tree, the tables, the datasets: measured */
    out->read_bytes += bytes;
    out->write_bytes += bytes;
    out->work[0] = bytes;
    out->process_bytes += largest < PART_BYTES ? largest : PART_BYTES;
    out->likely_bytes = 1500 * n + 1e6 + (p->copy ? fmin(largest, PART_BYTES) : 0);
    out->known = 1;
}

/* What all processes must have read alike before they create datasets together. */
static uint64_t fingerprint(const struct checkpoint *c)
{
    uint64_t h = (uint64_t)c->ntensors;
    for (int64_t i = 0; i < c->nfiles; i++)
        h = h * 0x9e3779b97f4a7c15u + c->files[i].header_hash + (uint64_t)c->files[i].size_bytes;
    return h;
}

/* Collective. Process 0 opens the checkpoint, and with it the others if they shall copy: only after it has
 * found it good, so that a bad one gives one message, and only what it has seen. */
static err_t open_on_all(struct ctx *ctx, struct checkpoint **c, int everywhere, struct err *e)
{
    const struct comm *m = ctx->comm;
    if (m->me == 0)
        headers_get(ctx->headers, ctx->checkpoint, &ctx->choice, c, e);
    TRY_ALL(m, e);
    if (!everywhere)
        return ERR_OK;
    uint64_t seen = *c ? fingerprint(*c) : 0;
    comm_bcast(m, &seen, (int64_t)sizeof seen, 0);
    if (m->me != 0 && headers_get(ctx->headers, ctx->checkpoint, &ctx->choice, c, e) == ERR_OK &&
        fingerprint(*c) != seen)
        err_set(e, ERR_DATA, "%s: changed while it was opened; run sinew run again", ctx->checkpoint);
    TRY_ALL(m, e);
    return ERR_OK;
}

/* Memory to copy parts through: of all tensors, or only of those that no dataset can refer to. */
static int64_t part_bytes(const struct checkpoint *c, int not_referred_only)
{
    int64_t most = 0;
    for (int64_t i = 0; i < c->ntensors; i++) {
        struct stored_tensor s = stored_as(&c->tensors[i]);
        if (not_referred_only && (is_referred(&s) || is_derived(&s)))
            continue;
        int64_t bytes = s.size_bytes < PART_BYTES ? s.size_bytes : PART_BYTES;
        int64_t row_bytes = s.elements > 0 ? s.size_bytes / s.dims[0] : 0;
        bytes = row_bytes > bytes ? row_bytes : bytes; /* a row is written whole */
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Through which tensors are copied; scratch is for those that are derived. */
struct load_part {
    char *v;
    int64_t bytes;
    struct decoder_scratch scratch;
};

enum { PART_ELEMENTS = 1 << 16 }; /* of a derived tensor at a time */

static err_t take_part(struct load_part *p, const struct checkpoint *c, int not_referred_only,
                       struct arena *a, struct err *e)
{
    char *scratch;
    *p = (struct load_part){.bytes = part_bytes(c, not_referred_only), .scratch = {.most = PART_ELEMENTS}};
    for (int64_t i = 0; !not_referred_only && i < c->ntensors; i++) {
        int64_t bytes = is_derived(&c->tensors[i]) ? decoder_scratch_bytes(&c->tensors[i], PART_ELEMENTS) : 0;
        p->scratch.bytes = bytes > p->scratch.bytes ? bytes : p->scratch.bytes;
    }
    TRY(arena_array(a, "load.scratch", p->scratch.bytes, &scratch, e));
    p->scratch.v = scratch;
    return arena_array(a, "load.part", p->bytes, &p->v, e);
}

/* Elements [first, first+n) as they are stored; of a derived tensor, as the numbers it stands for. */
static err_t read_part(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                       struct load_part *p, struct err *e)
{
    if (!is_derived(t))
        return checkpoint_read(c, t, first, n, p->v, e);
    int64_t width = dtype_bits(t->dtype) / 8;
    for (int64_t done = 0; done < n;) {
        int64_t some = n - done < PART_ELEMENTS ? n - done : PART_ELEMENTS;
        TRY(checkpoint_numbers(c, t, first + done, some, &p->scratch, p->v + done * width, e));
        done += some;
    }
    return ERR_OK;
}

/* Local. The part of process me of np of one tensor's rows, part by part. */
static err_t copy_rows(struct checkpoint *c, const struct stored_tensor *s, int np, int me, struct h5_bulk *d,
                       struct load_part *part, struct err *e)
{
    if (s->elements == 0)
        return ERR_OK;
    int64_t rows = s->dims[0], row_elements = s->elements / rows, row_bytes = s->size_bytes / rows, from, to;
    int64_t pass = part->bytes / row_bytes; /* not below 1 */
    split(rows, np, me, &from, &to);
    for (int64_t r = from; r < to; r += pass) {
        int64_t n = to - r < pass ? to - r : pass;
        TRY(read_part(c, s, r * row_elements, n * row_elements, part, e));
        TRY(h5_array_put_rows(d, r, n, part->v, e));
    }
    return ERR_OK;
}

/* Collective. A failure to copy stays in e until the next dataset is created, or the end: both agree. */
static err_t copy_tensors(struct ctx *ctx, struct checkpoint *c, struct err *e)
{
    char **names = NULL;
    struct load_part part = {.v = NULL};
    if (dataset_names(c, &names, ctx->arena, e) == ERR_OK)
        take_part(&part, c, 0, ctx->arena, e);
    TRY_ALL(ctx->comm, e);
    struct h5 *f;
    TRY(artifact_bulk(ctx->out, &f, e));
    for (int64_t i = 0; i < c->ntensors; i++) {
        struct stored_tensor s = stored_as(&c->tensors[i]);
        struct h5_bulk *d;
        int exact;
        ctx_item(ctx, names[i]);
        TRY(h5_array(f, names[i], stored_type(s.dtype, &exact), s.ndim, s.dims, &d, e));
        copy_rows(c, &s, ctx->comm->np, ctx->comm->me, d, &part, e);
        ctx_progress(ctx, (double)(i + 1) / (double)c->ntensors, 2.0 * (double)s.size_bytes / ctx->comm->np);
    }
    TRY_ALL(ctx->comm, e);
    arena_drop(ctx->arena, part.v);
    return ERR_OK;
}

/* The folder of a file without links on the way: ".." in a relative path is then what it seems. */
static const char *real_dir(struct arena *a, const char *path, struct err *e)
{
    char real[PATH_MAX], *dir = path_dir(a, path, e);
    if (dir && !realpath(dir, real)) {
        err_set(e, ERR_SYSTEM, "%s: the folder cannot be resolved: %s", dir, strerror(errno));
        return NULL;
    }
    return dir ? arena_strdup(a, real, e) : NULL;
}

/* The name of a file of the checkpoint in the artifact's datasets. NULL when e is set. The file itself may be
 * a link: it moves with the others. */
static char *name_of_file(struct ctx *ctx, const char *path, enum paths paths, struct err *e)
{
    struct arena *a = ctx->arena;
    if (paths == PATHS_ABSOLUTE)
        return path_absolute(a, path, e);
    const char *from = real_dir(a, ctx->out->path, e), *dir = from ? real_dir(a, path, e) : NULL;
    const char *to = dir ? path_join(a, dir, path_last(path), e) : NULL;
    return to ? path_relative(a, from, to, e) : NULL;
}

/* Where the tensor's bytes are, as segments: at most H5_SEGMENTS. Returns how many. */
static int64_t segments_of(const struct stored_tensor *t, char *const *paths, struct h5_segment *out)
{
    out[0] = (struct h5_segment){paths[t->file], t->offset_bytes, t->size_bytes};
    for (int64_t i = 0; t->cut && i < t->cut->n; i++) {
        const struct stored_piece *p = &t->cut->v[i];
        out[i] = (struct h5_segment){paths[p->file], p->offset_bytes, p->span_bytes};
    }
    return t->cut ? t->cut->n : 1;
}

/* Process 0. The datasets that refer to the checkpoint's files; copies of the tensors that none can refer to.
 */
static err_t refer(struct ctx *ctx, struct checkpoint *c, struct h5 *f, char **names, struct err *e)
{
    const struct load_params *p = ctx->params;
    char **paths;
    struct h5_segment *segments;
    struct load_part part;
    TRY(take_part(&part, c, 1, ctx->arena, e));
    TRY(arena_array(ctx->arena, "load.paths", c->nfiles, &paths, e));
    TRY(arena_array(ctx->arena, "load.segments", H5_SEGMENTS, &segments, e));
    for (int64_t i = 0; i < c->nfiles; i++)
        if (!(paths[i] = name_of_file(ctx, c->files[i].path, (enum paths)p->paths, e)))
            return e->code;
    for (int64_t i = 0; i < c->ntensors; i++) {
        struct stored_tensor s = stored_as(&c->tensors[i]);
        int exact;
        enum h5_type type = stored_type(s.dtype, &exact);
        if (is_derived(&s))
            continue;
        if (is_referred(&s)) {
            int64_t n = segments_of(&s, paths, segments);
            TRY(h5_external(f, names[i], type, s.ndim, s.dims, segments, n, e));
            continue;
        }
        struct h5_bulk *d;
        ctx_item(ctx, names[i]);
        TRY(h5_array(f, names[i], type, s.ndim, s.dims, &d, e));
        TRY(copy_rows(c, &s, 1, 0, d, &part, e));
        ctx_progress(ctx, (double)(i + 1) / (double)c->ntensors, 2.0 * (double)s.size_bytes);
    }
    arena_drop(ctx->arena, part.v);
    return ERR_OK;
}

/* What becomes of the datasets when the files are moved, for those who read them. */
static const char *moving_text(int copied, enum paths paths)
{
    if (copied)
        return "The tensors stand in this file, which can be moved by itself.";
    if (paths == PATHS_RELATIVE)
        return "The checkpoint's files are named from this file's folder on: both can be moved together. Set "
               "HDF5_EXTFILE_PREFIX='${ORIGIN}' in the environment before h5py, h5dump or any other program "
               "opens a dataset; without it HDF5 looks from the current folder on.";
    return "The checkpoint's files are named by absolute paths, which no HDF5 setting changes: datasets "
           "cannot be "
           "read once the files are elsewhere. 'sinew run CONFIG --stage NODE' for this node writes them "
           "anew "
           "from the headers; with 'paths: relative' they can be moved together.";
}

static const char *why_copied(const struct stored_tensor *t)
{
    if (!t->cut)
        return "does not lie row-major in the checkpoint's file: copied";
    return t->cut->flat ? "lies in more pieces than a dataset can refer to: copied"
                        : "its pieces do not lie one behind the other in row-major order: copied";
}

/* What the cell chose to take of the checkpoint, as attributes; none where it left all to the default. */
static err_t write_choice(struct h5 *f, const struct choice *c, struct err *e)
{
    if (c->weights != CHOICE_WEIGHTS_DEFAULT)
        TRY(h5_set_text(f, "/", "weights", choice_weights_words[c->weights], e));
    if (c->adapter != CHOICE_ADAPTER_DEFAULT)
        TRY(h5_set_text(f, "/", "adapter", choice_adapter_words[c->adapter], e));
    if (c->merge != CHOICE_MERGE_DEFAULT)
        TRY(h5_set_text(f, "/", "merge", choice_merge_words[c->merge], e));
    return c->base ? h5_set_text(f, "/", "base", c->base, e) : ERR_OK;
}

/* Process 0. Tables, and what a reader of the file needs to know. */
static err_t write_tables(struct ctx *ctx, struct checkpoint *c, int copied, struct err *e)
{
    const struct load_params *p = ctx->params;
    struct h5 *f;
    char **names;
    TRY(artifact_tables(ctx->out, &f, e));
    TRY(dataset_names(c, &names, ctx->arena, e));
    TRY(h5_group(f, "/tensors", "", e));
    if (!copied)
        TRY(refer(ctx, c, f, names, e));
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        int exact;
        stored_type(t->dtype, &exact);
        if (!copied && is_derived(t))
            continue;
        if (!exact)
            TRY(h5_set_text(f, names[i], "bits_of_dtype", dtype_name(t->dtype), e));
        if (strcmp(names[i] + strlen("/tensors/"), t->name) != 0)
            TRY(h5_set_text(f, names[i], "name", t->name, e));
        if (!copied && !is_referred(t))
            TRY(h5_set_text(f, names[i], "copied", why_copied(t), e));
    }
    TRY(h5_set_text(
        f, "/tensors", "description",
        copied
            ? "The tensors of the checkpoint, copied; / in a name is written as |. Where a "
              "dataset has the attribute "
              "bits_of_dtype, its integers are the raw bits of that safetensors type."
            : "The tensors of the checkpoint, read from its own files (external storage), or "
              "copied where they have the attribute copied; / in a name is written as |. A "
              "tensor that follows from others (table decodings) has none. Where a dataset has the attribute bits_of_dtype, its integers are the raw bits of that "
              "safetensors type.",
        e));
    TRY(h5_set_text(f, "/tensors", "paths", copied ? "none" : paths_choices[p->paths], e));
    TRY(h5_set_text(f, "/tensors", "moving", moving_text(copied, (enum paths)p->paths), e));
    TRY(h5_set_text(
        f, "/", "description",
        "Catalogue of one checkpoint: its files, every tensor with its place, and the tensors as datasets.",
        e));
    TRY(write_choice(f, &ctx->choice, e));
    return catalogue_write(c, f, ctx->arena, e);
}

static err_t load_run(struct ctx *ctx, struct err *e)
{
    const struct load_params *p = ctx->params;
    struct checkpoint *c = NULL;
    err_t code;
    TRY_OUT(code, open_on_all(ctx, &c, p->copy, e));
    if (p->copy)
        TRY_OUT(code, copy_tensors(ctx, c, e));
    TRY_OUT(code, artifact_bulk_done(ctx->out, e));
    if (ctx->comm->me == 0) {
        if (head_look(c, ctx->arena, e) == ERR_OK)
            write_tables(ctx, c, p->copy, e);
        checkpoint_verify(c, e); /* what was copied and catalogued is what lies there now */
    }
    code = comm_agree(ctx->comm, e);
out:
    headers_put(ctx->headers, c);
    return code;
}

static const struct schema *const load_tables[] = {
    &schema_files,         &schema_catalogue, &schema_pieces,  &schema_sources,
    &schema_source_pieces, &schema_decodings, &schema_helpers, NULL};

const struct stage stage_load = {
    .kind = "load",
    .brief = "validates a checkpoint and catalogues its tensors",
    .version = 5,
    .scope = SCOPE_CHECKPOINT,
    .params = load_params,
    .params_size = sizeof(struct load_params),
    .inputs = load_inputs,
    .files = load_files,
    .plan = load_plan,
    .work = load_work,
    .tables = load_tables,
    .run = load_run,
};
