#include "formats/logits/logits.h"

#include "formats/logits/companions.h"
#include "formats/logits/npy.h"
#include "formats/safetensors/safetensors.h"
#include "base/path.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const file_names[] = {"logits.safetensors", "logits.h5", "logits.npy"};
enum { NFILE_NAMES = sizeof file_names / sizeof *file_names };

/* The names that are looked for, the better first. */
static const char *const values_names[] = {"logits", "entropies", "entropy", NULL};

/* ---- which file, and what it is ---- */

const char *logits_file(const char *path, struct arena *a, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return path;
    for (int i = 0; i < NFILE_NAMES; i++) {
        char *file = path_join(a, path, file_names[i], e);
        if (!file || lstat(file, &st) == 0)
            return file;
    }
    return path_join(a, path, file_names[0], e);
}

int logits_is_file_of(const char *file, const char *path)
{
    size_t n = strlen(path);
    struct stat st;
    if (strcmp(file, path) == 0)
        return stat(file, &st) != 0 || !S_ISDIR(st.st_mode);
    while (n > 0 && path[n - 1] == '/')
        n--;
    if (strncmp(file, path, n) != 0)
        return 0;
    for (int i = 0; i < NFILE_NAMES; i++)
        if (file[n] == '/' && strcmp(file + n + 1, file_names[i]) == 0)
            return 1;
    return 0;
}

/* The file's size, time and first bytes (at most `room` of them, *n found). */
static err_t read_head(struct logits *l, char *head, int64_t room, int64_t *n, struct err *e)
{
    struct file_stamp stamp;
    int fd;
    TRY(file_open(l->path, &fd, &stamp, e));
    err_t code = ERR_OK;
    *n = 0;
    while (code == ERR_OK && *n < room) {
        ssize_t got = pread(fd, head + *n, (size_t)(room - *n), (off_t)*n);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            code = err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", l->path, strerror(errno));
        *n += got > 0 ? got : 0;
    }
    close(fd);
    if (code != ERR_OK)
        return code;
    l->size_bytes = stamp.size_bytes;
    if (*n < room && *n != l->size_bytes)
        return err_set(e, ERR_DATA, "%s: changed while it was opened: expected %lld bytes, found %lld",
                       l->path, (long long)l->size_bytes, (long long)*n);
    l->file = (struct stored_file){
        .path = l->path, .size_bytes = l->size_bytes, .mtime_ns = stamp.mtime_ns, .fd = -1};
    l->checkpoint = (struct checkpoint){.path = l->path, .format = l->format, .nfiles = 1, .files = &l->file};
    return ERR_OK;
}

/* By the first bytes; an HDF5 file may begin with a block of its user's, a safetensors file with anything. */
static const char *find_format(const struct logits *l, const char *head, int64_t n)
{
    if (npy_is(head, n))
        return ".npy";
    if (llama_is(head, n))
        return "llama.cpp";
    if (n >= 8 && memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0)
        return "HDF5";
    if (text_ends_with(l->path, ".npy"))
        return ".npy";
    if (text_ends_with(l->path, ".h5") || text_ends_with(l->path, ".hdf5"))
        return "HDF5";
    if (text_ends_with(l->path, ".safetensors") || (n > 8 && strchr("{ \t\r\n", head[8]) && head[8] != '\0'))
        return "safetensors";
    return NULL;
}

/* ---- what a file must hold ---- */

const char *logits_kind(const struct logits *l)
{
    return l->format[0] == 's' ? "tensor" : l->format[0] == 'H' ? "dataset" : "the";
}

/* Sets tokens and vocabulary from the type and shape of l->values: the logits, or else the entropies. */
static err_t take_values(struct logits *l, int are_logits, struct err *e)
{
    const struct stored_tensor *t = &l->values;
    char shape[160];
    if (dtype_is_compared(t->dtype) == 0 && t->dtype != DTYPE_F64)
        return err_set(e, ERR_DATA, "%s: %s %s: dtype %s, expected F32, F16, BF16 or F64", l->path,
                       logits_kind(l), t->name, dtype_name(t->dtype));
    if (are_logits && t->ndim != 2 && t->ndim != 3)
        return err_set(e, ERR_DATA,
                       "%s: %s %s: shape %s, expected tokens x vocabulary or batch x tokens x vocabulary",
                       l->path, logits_kind(l), t->name, shape_text(t->ndim, t->dims, shape, sizeof shape));
    if (!are_logits && t->ndim != 1 && t->ndim != 2)
        return err_set(e, ERR_DATA, "%s: %s %s: shape %s, expected tokens or batch x tokens entropies",
                       l->path, logits_kind(l), t->name, shape_text(t->ndim, t->dims, shape, sizeof shape));
    if (t->elements == 0)
        return err_set(e, ERR_DATA, "%s: %s %s has no elements", l->path, logits_kind(l), t->name);
    l->vocabulary = are_logits ? t->dims[t->ndim - 1] : 0;
    l->tokens = are_logits ? t->elements / l->vocabulary : t->elements;
    l->per_sequence = t->ndim == 2 + are_logits ? t->dims[1] : 0;
    l->row_bytes = dtype_bits(t->dtype) / 8 * (are_logits ? l->vocabulary : 1);
    return ERR_OK;
}

/* ---- the formats ---- */

static err_t open_safetensors(struct logits *l, struct arena *a, struct err *e)
{
    struct safetensors s;
    TRY(safetensors_open(&s, l->path, a, e));
    l->file.size_bytes = l->size_bytes = s.size_bytes;
    l->file.mtime_ns = s.mtime_ns;
    l->file.header_hash = s.header_hash;
    int found = -1;
    for (int k = 0; values_names[k] && found < 0; k++)
        for (int64_t i = 0; i < s.ntensors && found < 0; i++)
            if (strcmp(s.tensors[i].name, values_names[k]) == 0) {
                l->values = s.tensors[i];
                found = k;
            }
    if (found < 0)
        return err_set(e, ERR_DATA, "%s: no tensor named logits, entropies or entropy", l->path);
    TRY(take_values(l, found == 0, e));
    return companions_take(l, s.tensors, s.ntensors, a, e);
}

/* What is listed of an HDF5 file, one after another. */
struct dataset_list {
    struct stored_tensor *list;
    int64_t n, cap;
    struct arena *arena;
    struct err *e;
};

static err_t list_dataset(void *arg, const char *name, int64_t elements)
{
    struct dataset_list *x = arg;
    TRY(arena_grow(x->arena, "logits.datasets", x->n + 1, &x->cap, &x->list, x->e));
    char *own = arena_strdup(x->arena, name, x->e);
    x->list[x->n++] = (struct stored_tensor){.name = own, .elements = elements};
    return x->e->code;
}

static err_t open_dataset(struct logits *l, const char *name, int row_ndim, struct h5_source **d,
                          struct stored_tensor *t, struct err *e)
{
    struct h5_source_info info;
    TRY(h5_source_open(l->h5, name, row_ndim, d, &info, e));
    *t = (struct stored_tensor){
        .name = name, .dtype = info.dtype, .ndim = info.ndim, .elements = info.elements};
    memcpy(t->dims, info.dims, sizeof t->dims);
    return ERR_OK;
}

/* Of the datasets those that are read are opened: their types and shapes are known then. */
static err_t open_hdf5(struct logits *l, struct arena *a, struct err *e)
{
    struct dataset_list x = {.arena = a, .e = e};
    int k = 0;
    TRY(h5_open(l->path, 0, a, &l->h5, e));
    while (values_names[k] && !h5_has(l->h5, values_names[k]))
        k++;
    if (!values_names[k])
        return err_set(e, ERR_DATA, "%s: no dataset named logits, entropies or entropy", l->path);
    TRY(open_dataset(l, values_names[k], k == 0, &l->h5_values, &l->values, e));
    TRY(take_values(l, k == 0, e));
    TRY(h5_each_dataset(l->h5, list_dataset, &x, e));
    for (int64_t i = 0; i < x.n; i++) {
        struct stored_tensor *t = &x.list[i];
        enum companion what = companions_find(x.list, x.n, t->name);
        if (what != COMPANION_NONE)
            TRY(open_dataset(l, t->name, 0, what == COMPANION_IDS ? &l->h5_ids : &l->h5_mask, t, e));
    }
    return companions_take(l, x.list, x.n, a, e);
}

static err_t open_npy(struct logits *l, const char *head, int64_t n, struct err *e)
{
    struct npy h;
    TRY(npy_parse(&h, l->path, head, n, l->size_bytes, e));
    l->values = (struct stored_tensor){.name = "array",
                                       .dtype = h.dtype,
                                       .ndim = h.ndim,
                                       .elements = h.elements,
                                       .offset_bytes = h.data_start,
                                       .size_bytes = l->size_bytes - h.data_start};
    memcpy(l->values.dims, h.dims, sizeof h.dims);
    return take_values(l, h.ndim != 1, e);
}

static err_t open_llama(struct logits *l, const char *head, int64_t n, struct err *e)
{
    struct llama h;
    TRY(llama_parse(&h, l->path, head, n, l->size_bytes, e));
    l->llama = h;
    l->values = (struct stored_tensor){.name = "log-probabilities",
                                       .dtype = DTYPE_U16,
                                       .elements = (l->size_bytes - h.rows_start) / 2,
                                       .offset_bytes = h.rows_start,
                                       .size_bytes = l->size_bytes - h.rows_start};
    l->ids = (struct stored_tensor){.name = "tokens",
                                    .dtype = DTYPE_I32,
                                    .elements = h.chunks * h.context,
                                    .offset_bytes = h.tokens_start,
                                    .size_bytes = h.rows_start - h.tokens_start};
    l->has_ids = 1;
    l->tokens = h.chunks * h.scored;
    l->vocabulary = h.vocabulary;
    l->per_sequence = h.scored;
    l->row_bytes = h.row_bytes;
    return ERR_OK;
}

err_t logits_open(struct logits *l, const char *path, struct arena *a, struct err *e)
{
    char *head = NULL;
    int64_t n = 0;
    *l = (struct logits){.format = ""};
    if (!(l->path = logits_file(path, a, e)))
        return e->code;
    TRY(arena_array(a, "logits.head", NPY_MAX_HEADER, &head, e));
    err_t code = read_head(l, head, NPY_MAX_HEADER, &n, e);
    const char *format = code == ERR_OK ? find_format(l, head, n) : NULL;
    if (code == ERR_OK && !format)
        code =
            err_set(e, ERR_DATA,
                    "%s: unknown format: expected safetensors, HDF5, .npy or llama.cpp's _logits_", l->path);
    if (code == ERR_OK) {
        l->format = l->checkpoint.format = format;
        code = format[0] == 's'   ? open_safetensors(l, a, e)
               : format[0] == 'H' ? open_hdf5(l, a, e)
               : format[0] == '.' ? open_npy(l, head, n, e)
                                  : open_llama(l, head, n, e);
    }
    arena_drop(a, head);
    return code;
}

void logits_close(struct logits *l)
{
    struct err ignored;
    err_clear(&ignored);
    checkpoint_close(&l->checkpoint);
    readahead_close(l->reader);
    l->reader = l->checkpoint.reader = NULL;
    h5_close(l->h5, &ignored);
    l->h5 = NULL;
}

err_t logits_verify(const struct logits *l, struct err *e)
{
    return checkpoint_verify(&l->checkpoint, e);
}

/* ---- reading ---- */

err_t logits_reserve(struct logits *l, int64_t max_rows, struct arena *a, struct err *e)
{
    /* The integers beside the values pass through it too. */
    int64_t bytes = l->row_bytes > 8 ? l->row_bytes : 8;
    arena_drop(a, l->raw);
    l->raw = NULL;
    l->max_rows = max_rows;
    if (max_rows == 0)
        return ERR_OK;
    return arena_array_at(a, "logits.raw", max_rows, (size_t)bytes, &l->raw, e);
}

static err_t check_rows(const struct logits *l, int64_t first, int64_t n, struct err *e)
{
    if (first < 0 || n < 0 || n > l->max_rows || first > l->tokens - n)
        return err_set(e, ERR_BUG, "%lld rows of %s from %lld on were asked for, of %lld, %lld at once",
                       (long long)n, l->path, (long long)first, (long long)l->tokens, (long long)l->max_rows);
    return ERR_OK;
}

static void widen(enum dtype t, const void *raw, int64_t n, double *out)
{
    const uint16_t *bits = raw;
    const float *single = raw;
    if (t == DTYPE_F64)
        memcpy(out, raw, (size_t)n * sizeof *out);
    else if (t == DTYPE_F32)
        for (int64_t i = 0; i < n; i++)
            out[i] = single[i];
    else if (t == DTYPE_F16)
        for (int64_t i = 0; i < n; i++)
            out[i] = f16_to_float(bits[i]);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = bf16_to_float(bits[i]);
}

static err_t decode_llama(struct logits *l, int64_t first, int64_t n, double *out, struct err *e)
{
    char where[64];
    for (int64_t i = 0; i < n; i++) {
        const char *fault =
            llama_row(&l->llama, (const char *)l->raw + i * l->row_bytes, out + i * l->vocabulary);
        if (fault)
            return err_set(e, ERR_DATA, "%s: %s: %s", l->path,
                           logits_position(l, first + i, where, sizeof where), fault);
    }
    return ERR_OK;
}

/* ---- reading ahead ---- */

err_t logits_read_by(struct logits *l, const struct readahead_setting *how, struct arena *a, struct err *e)
{
    readahead_close(l->reader);
    l->reader = NULL;
    if (how && !l->h5)
        readahead_open(&l->reader, how, a, e);
    l->checkpoint.reader = l->reader;
    return e->code;
}

/* Elements of one row in the file. */
static int64_t width_of(const struct logits *l)
{
    return l->row_bytes / (dtype_bits(l->values.dtype) / 8);
}

/* Announces what is expected as far as the reader takes it. What is announced has the number of its last row
 * for a tag. */
static void look_ahead(struct logits *l)
{
    int64_t width = width_of(l), most = readahead_block_bytes(l->reader) / (dtype_bits(l->values.dtype) / 8);
    while (l->announced < l->expected_until && readahead_room(l->reader) > 0) {
        int64_t n = l->expected_until - l->announced;
        n = n < most ? n : most;
        l->announced +=
            checkpoint_ahead(&l->checkpoint, &l->values, l->announced, n, (l->announced + n - 1) / width);
    }
}

void logits_expect(struct logits *l, int64_t first, int64_t end)
{
    l->announced = first * width_of(l);
    l->expected_until = end * width_of(l);
}

/* Rows [first, end) are about to be read: what lies before is past, and the reader may go on. */
static void come_to(struct logits *l, int64_t first, int64_t end)
{
    if (!l->reader)
        return;
    readahead_passed(l->reader, first);
    /* of what is being read nothing more is announced */
    if (l->announced < end * width_of(l))
        l->announced = end * width_of(l);
    look_ahead(l);
}

static err_t read_raw(struct logits *l, int64_t first, int64_t n, struct err *e)
{
    int64_t width = width_of(l);
    TRY(check_rows(l, first, n, e));
    if (l->h5)
        return h5_source_read(l->h5_values, first, n, l->raw, e);
    come_to(l, first, first + n);
    return checkpoint_read(&l->checkpoint, &l->values, first * width, n * width, l->raw, e);
}

err_t logits_read(struct logits *l, int64_t first, int64_t n, double *out, struct err *e)
{
    TRY(read_raw(l, first, n, e));
    if (l->llama.chunks > 0)
        return decode_llama(l, first, n, out, e);
    widen(l->values.dtype, l->raw, n * (l->vocabulary > 0 ? l->vocabulary : 1), out);
    return ERR_OK;
}

int logits_are_plain(const struct logits *l)
{
    return l->vocabulary > 0 && l->llama.chunks == 0;
}

err_t logits_rows(struct logits *l, int64_t first, int64_t n, double *room, enum dtype *type,
                  const void **rows, struct err *e)
{
    int plain = logits_are_plain(l);
    *type = plain ? l->values.dtype : DTYPE_F64;
    *rows = plain ? l->raw : room;
    return plain ? read_raw(l, first, n, e) : logits_read(l, first, n, room, e);
}

err_t logits_read_ids(struct logits *l, int64_t first, int64_t n, int64_t *out, struct err *e)
{
    const struct llama *h = &l->llama;
    TRY(check_rows(l, first, n, e));
    if (h->chunks == 0)
        return companions_read(l, &l->ids, l->h5_ids, first, n, out, e);
    for (int64_t done = 0, part; done < n; done += part) {
        int64_t chunk = (first + done) / h->scored, row = (first + done) % h->scored;
        part = h->scored - row < n - done ? h->scored - row : n - done;
        TRY(companions_read(l, &l->ids, NULL, chunk * h->context + h->first + row + 1, part, out + done, e));
    }
    return ERR_OK;
}

err_t logits_read_mask(struct logits *l, int64_t first, int64_t n, int64_t *out, struct err *e)
{
    TRY(check_rows(l, first, n, e));
    TRY(companions_read(l, &l->mask, l->h5_mask, first, n, out, e));
    for (int64_t i = 0; i < n; i++)
        out[i] = out[i] != 0;
    return ERR_OK;
}

const char *logits_position(const struct logits *l, int64_t row, char *text, int size)
{
    if (l->per_sequence > 0)
        snprintf(text, (size_t)size, "%s %lld token %lld", l->llama.chunks > 0 ? "chunk" : "sequence",
                 (long long)(row / l->per_sequence), (long long)(l->llama.first + row % l->per_sequence));
    else
        snprintf(text, (size_t)size, "token %lld", (long long)row);
    return text;
}
