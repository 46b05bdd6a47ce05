#include "formats/checkpoint.h"

#include "formats/decoder.h"
#include "formats/folders/hub.h"
#include "formats/folders/opening.h"
#include "formats/folders/unread.h"
#include "formats/format.h"
#include "formats/lora/lora.h"
#include "formats/strided.h"
#include "base/hash.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ADVISE_BYTES = 64 << 20, /* told the file system at once, at most */
    SAMPLE_BLOCKS = 1024,    /* of a checkpoint of many files */
    SAMPLE_LEAST = 8         /* of each of these */
};

/* ---- opening ---- */

int checkpoint_exists(const char *path)
{
    struct stat st;
    const struct format *format;
    const char *to, *note;
    char name[PATH_MAX];
    struct mem m;
    struct arena a = {0};
    struct err e;
    if (stat(path, &st) != 0) /* a link to nothing is no absence, nor is what may not be looked at */
        return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
    if (!S_ISDIR(st.st_mode))
        return S_ISREG(st.st_mode);
    if (format_look(path, &format, name, sizeof name) != FORMAT_NONE)
        return 1;
    mem_init(&m, 0);
    arena_init(&a, &m);
    err_clear(&e);
    int exists = hub_resolve(path, &to, &note, &a, &e) != ERR_OK ||
                 format_look(to, &format, name, sizeof name) != FORMAT_NONE || format_has_parts(to) ||
                 unread_knows(to);
    arena_release(&a);
    return exists;
}

err_t checkpoint_open(struct checkpoint *c, const char *path, const struct choice *choice, struct arena *a,
                      struct err *e)
{
    static const struct choice unasked;
    struct stored_list list = {0};
    struct opening o;
    choice = choice ? choice : &unasked;
    *c = (struct checkpoint){.format = format_table[0]->name};
    c->path = arena_strdup(a, path, e);
    if (!c->path)
        return e->code;
    err_t code = opening_list(&o, &list, c->path, choice, a, e);
    c->format = o.format->name;
    TRY(code);
    TRY(lora_complete(&list, o.path, choice, a, e));
    TRY(model_config_read(&c->config, list.config_dir ? list.config_dir : o.path, a, e));
    stored_sort(&list);
    code = decoder_resolve(&list, &c->config, a, e);
    err_item(e, "%s", o.path);
    TRY(code);
    TRY(quantized_find(&c->quantized, &list, &c->config.quant, a, e));
    c->note = o.note && list.note ? arena_printf(a, e, "%s; %s", o.note, list.note)
              : o.note            ? o.note
                                  : list.note;
    c->simulated = list.simulated;
    if (checkpoint_is_hollow(c) && e->code == ERR_OK)
        c->note = arena_printf(a, e, "%s%shollow: it holds no weights, every number is zero",
                               c->note ? c->note : "", c->note ? "; " : "");
    if (e->code != ERR_OK)
        return e->code;
    c->adapted = list.adapted;
    c->nfiles = list.nfiles;
    c->files = list.files;
    c->ntensors = list.ntensors;
    c->tensors = list.tensors;
    for (int64_t i = 0; i < c->ntensors; i++)
        c->parameters += c->tensors[i].serves ? 0 : c->tensors[i].elements;
    return ERR_OK;
}

int checkpoint_is_hollow(const struct checkpoint *c)
{
    return c->simulated && strncmp(c->simulated, STORED_HOLLOW, strlen(STORED_HOLLOW)) == 0;
}

const struct stored_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    return stored_find(c->tensors, c->ntensors, name);
}

/* ---- reading ---- */

static int64_t mtime_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static err_t refuse_changed(const struct stored_file *f, const struct stat *st, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: changed since it was catalogued (expected %lld bytes, found %lld%s); run sinew run again",
        f->path, (long long)f->size_bytes, (long long)st->st_size,
        (int64_t)st->st_size == f->size_bytes ? ", with another modification time" : "");
}

static err_t refuse_short(const struct stored_file *f, const struct stored_tensor *t, int64_t file_bytes,
                          struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: truncated while in use: tensor %s is cut off: expected a file of %lld bytes, found %lld",
        f->path, t->name, (long long)f->size_bytes, (long long)file_bytes);
}

static void close_file(struct checkpoint *c, struct stored_file *f)
{
    readahead_forget(c->reader, f->fd);
    close(f->fd);
    f->fd = -1;
    c->nopen--;
}

static void close_least_used(struct checkpoint *c)
{
    struct stored_file *oldest = NULL;
    for (int64_t i = 0; i < c->nfiles; i++)
        if (c->files[i].fd >= 0 && (!oldest || c->files[i].last_use < oldest->last_use))
            oldest = &c->files[i];
    if (oldest)
        close_file(c, oldest);
}

static err_t open_for_reading(struct checkpoint *c, struct stored_file *f, const struct stored_tensor *t,
                              int64_t end_bytes, struct err *e)
{
    if (c->nopen >= CHECKPOINT_MAX_OPEN)
        close_least_used(c);
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_DATA : ERR_SYSTEM, "%s: tensor %s: cannot be opened: %s",
                       f->path, t->name, strerror(errno));
    f->fd = fd;
    c->nopen++;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", f->path, strerror(errno));
    if ((int64_t)st.st_size < end_bytes)
        return refuse_short(f, t, (int64_t)st.st_size, e);
    if ((int64_t)st.st_size != f->size_bytes || mtime_of(&st) != f->mtime_ns)
        return refuse_changed(f, &st, e);
    return ERR_OK;
}

/* The file, open: for this use of it, by tensor t, whose bytes in it end before end_bytes. */
static err_t use_file(struct checkpoint *c, struct stored_file *f, const struct stored_tensor *t,
                      int64_t end_bytes, struct err *e)
{
    f->last_use = ++c->reads;
    if (f->fd >= 0)
        return ERR_OK;
    err_t code = open_for_reading(c, f, t, end_bytes, e);
    if (code != ERR_OK && f->fd >= 0)
        close_file(c, f);
    return code;
}

/* A tensor's file while it is read. */
struct reading {
    struct readahead *reader;
    const struct stored_file *file;
    const struct stored_tensor *tensor;
};

/* Bytes [at, at+bytes) of the file; a strided_source. */
static err_t read_bytes(void *arg, int64_t at, int64_t bytes, void *buf, struct err *e)
{
    const struct reading *r = arg;
    for (int64_t done = 0; done < bytes;) {
        ssize_t got = readahead_read(r->reader, r->file->fd, (char *)buf + done, bytes - done, at + done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, ERR_SYSTEM, "%s: tensor %s: cannot be read at byte %lld: %s", r->file->path,
                           r->tensor->name, (long long)(at + done), strerror(errno));
        if (got == 0)
            return refuse_short(r->file, r->tensor, at + done, e);
        done += got;
    }
    return ERR_OK;
}

/* The piece's share of elements [first, first+n) of t, to its places in buf. */
static err_t read_piece(struct checkpoint *c, const struct stored_tensor *t, const struct stored_piece *p,
                        int64_t first, int64_t n, void *buf, struct err *e)
{
    struct stored_file *f = &c->files[p->file];
    TRY(use_file(c, f, t, p->offset_bytes + p->span_bytes, e));
    struct reading r = {c->reader, f, t};
    int64_t width = dtype_bits(t->dtype) / 8, strides[TENSOR_MAX_NDIM], step = 1;
    if (t->cut->flat) {
        int64_t from = first > p->start[0] ? first : p->start[0];
        int64_t bytes = (min64(first + n, p->start[0] + p->dims[0]) - from) * width;
        return read_bytes(&r, p->offset_bytes + (from - p->start[0]) * width, bytes,
                          (char *)buf + (from - first) * width, e);
    }
    for (int i = t->ndim - 1; i >= 0; i--) {
        strides[i] = p->strides ? p->strides[i] : step;
        step *= p->dims[i];
    }
    const struct strided_view view = {t->ndim, t->dims,         p->start,      p->dims,
                                      strides, p->offset_bytes, p->span_bytes, width};
    return strided_read_box(&view, first, n, &(struct strided_source){read_bytes, &r}, buf, e);
}

/* The pieces that elements [first, first+n) of t touch are among those of the cut from *from to before *to.
 */
static void pieces_of(const struct stored_tensor *t, int64_t first, int64_t n, int64_t *from, int64_t *to)
{
    const struct stored_cut *cut = t->cut;
    int64_t row = cut->flat ? 1 : t->elements / t->dims[0], last = (first + n - 1) / row;
    *from = *to = stored_piece_from(cut, first / row);
    while (*to < cut->n && cut->v[*to].start[0] <= last)
        ++*to;
}

static err_t read_cut(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                      void *buf, struct err *e)
{
    int64_t from, to;
    for (pieces_of(t, first, n, &from, &to); from < to; from++)
        TRY(read_piece(c, t, &t->cut->v[from], first, n, buf, e));
    return ERR_OK;
}

err_t checkpoint_read(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                      void *buf, struct err *e)
{
    int64_t width = dtype_bits(t->dtype) / 8;
    if (first < 0 || n < 0 || first > t->elements - n || t->file < 0 || t->file >= c->nfiles ||
        dtype_bits(t->dtype) % 8 != 0)
        return err_set(e, ERR_BUG, "%lld elements from %lld on of tensor %s (%lld of %s) were asked for",
                       (long long)n, (long long)first, t->name, (long long)t->elements, dtype_name(t->dtype));
    if (n == 0)
        return ERR_OK;
    if (t->cut)
        return read_cut(c, t, first, n, buf, e);
    struct stored_file *f = &c->files[t->file];
    TRY(use_file(c, f, t, t->offset_bytes + stored_span(t), e));
    struct reading r = {c->reader, f, t};
    if (!t->strides)
        return read_bytes(&r, t->offset_bytes + first * width, n * width, buf, e);
    return strided_read(t, first, n, &(struct strided_source){read_bytes, &r}, buf, e);
}

static err_t read_stored(void *arg, const struct stored_tensor *t, int64_t first, int64_t n, void *buf,
                         struct err *e)
{
    return checkpoint_read(arg, t, first, n, buf, e);
}

err_t checkpoint_numbers(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                         struct decoder_scratch *scratch, void *buf, struct err *e)
{
    return decoder_numbers(t, &(struct stored_source){.read = read_stored, .arg = c}, first, n, scratch, buf,
                           e);
}

/* Bytes [at, at+bytes) of a file, which t's end before end_bytes, at most *left of them in all. */
static void advise_bytes(struct checkpoint *c, struct stored_file *f, const struct stored_tensor *t,
                         int64_t end_bytes, int64_t at, int64_t bytes, int64_t *left)
{
    struct err ignored;
    err_clear(&ignored);
    bytes = min64(bytes, *left);
    if (bytes <= 0 || use_file(c, f, t, end_bytes, &ignored) != ERR_OK)
        return;
    posix_fadvise(f->fd, (off_t)at, (off_t)bytes, POSIX_FADV_WILLNEED); /* a hint: no error is one */
    *left -= bytes;
}

static void advise(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n)
{
    int64_t at, bytes, left = ADVISE_BYTES, width = dtype_bits(t->dtype) / 8, from, to;
    if (n <= 0)
        return;
    if (t->cut) {
        for (pieces_of(t, first, n, &from, &to); from < to && left > 0; from++) {
            const struct stored_piece *p = &t->cut->v[from];
            advise_bytes(c, &c->files[p->file], t, p->offset_bytes + p->span_bytes, p->offset_bytes,
                         p->span_bytes, &left);
        }
        return;
    }
    if (t->strides) {
        strided_range(t, first, n, &at, &bytes);
    } else {
        at = t->offset_bytes + first * width;
        bytes = n * width;
    }
    advise_bytes(c, &c->files[t->file], t, t->offset_bytes + stored_span(t), at, bytes, &left);
}

void checkpoint_advise(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n)
{
    const struct decoding *d = decoder_decoding(t);
    for (int64_t i = 0; d && i < d->nhelpers; i++)
        if (d->helpers[i]->file >= 0)
            advise(c, d->helpers[i], 0, d->helpers[i]->elements);
    if (t->file >= 0 && !stored_in_runs(t))
        advise(c, t, first, n);
}

int64_t checkpoint_ahead(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                         int64_t tag)
{
    struct err ignored;
    int64_t width = dtype_bits(t->dtype) / 8, most = readahead_block_bytes(c->reader) / width;
    int64_t at = t->offset_bytes + first * width, end = t->offset_bytes + t->size_bytes;
    int file = t->file;
    err_clear(&ignored);
    if (!stored_in_runs(t))
        return n;
    if (t->cut) {
        const struct stored_piece *p = &t->cut->v[stored_piece_from(t->cut, first)];
        n = min64(n, p->start[0] + p->dims[0] - first);
        at = p->offset_bytes + (first - p->start[0]) * width;
        end = p->offset_bytes + p->span_bytes;
        file = p->file;
    }
    n = most > 0 && n > most ? most : n;
    if (use_file(c, &c->files[file], t, end, &ignored) == ERR_OK)
        readahead_want(c->reader, c->files[file].fd, at, n * width, tag);
    return n;
}

err_t checkpoint_verify(const struct checkpoint *c, struct err *e)
{
    for (int64_t i = 0; i < c->nfiles; i++) {
        const struct stored_file *f = &c->files[i];
        struct stat st;
        if (stat(f->path, &st) != 0)
            return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                           "%s: was catalogued, but cannot be found now: %s", f->path, strerror(errno));
        if ((int64_t)st.st_size != f->size_bytes || mtime_of(&st) != f->mtime_ns)
            return refuse_changed(f, &st, e);
    }
    return ERR_OK;
}

err_t checkpoint_sample(struct checkpoint *c, int64_t file, uint64_t *hash, struct err *e)
{
    struct stored_file *f = &c->files[file];
    const int64_t share = SAMPLE_BLOCKS / c->nfiles;
    *hash = 0;
    if (!f->sampled) {
        const int64_t blocks = share < SAMPLE_LEAST ? SAMPLE_LEAST : min64(share, HASH_SAMPLE_MOST);
        TRY(hash_sample(f->path, (int)blocks, &f->sample, e));
        f->sampled = 1;
    }
    *hash = f->sample;
    return ERR_OK;
}

struct checkpoint_extent checkpoint_extent(const struct checkpoint *c)
{
    struct checkpoint_extent x = {0};
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        x.bytes += (double)t->size_bytes;
        x.decoded += t->decoding ? (double)t->elements : 0;
        if ((double)t->layer >= x.layers)
            x.layers = (double)t->layer + 1;
    }
    return x;
}

void checkpoint_close(struct checkpoint *c)
{
    for (int64_t i = 0; i < c->nfiles; i++)
        if (c->files[i].fd >= 0)
            close_file(c, &c->files[i]);
}
