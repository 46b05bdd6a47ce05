#include "formats/checkpoint.h"

#include "formats/decoder.h"
#include "formats/format.h"
#include "formats/index.h"
#include "formats/strided.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ADVISE_BYTES = 64 << 20 }; /* told the file system at once, at most */

/* ---- opening ---- */

int checkpoint_exists(const char *path)
{
    struct stat st;
    const struct format *format;
    char name[NAME_MAX + 1];
    if (stat(path, &st) != 0)
        return 0;
    return S_ISREG(st.st_mode) ||
           (S_ISDIR(st.st_mode) && format_look(path, &format, name, sizeof name) != FORMAT_NONE);
}

/* What the path leads to, as one list. */
static err_t open_list(struct stored_list *out, struct checkpoint *c, int is_dir, struct arena *a,
                       struct err *e)
{
    const struct format *format = format_of(c->path);
    char name[NAME_MAX + 1];
    if (!is_dir) {
        if (!format)
            return format_refuse_file(c->path, a, e);
        c->format = format->name;
        return format->open(out, c->path, a, e);
    }
    enum format_source source = format_look(c->path, &format, name, sizeof name);
    c->format = format->name;
    if (source == FORMAT_NONE)
        return format_refuse_folder(c->path, a, e);
    if (source == FORMAT_INDEX)
        return index_open(out, format, c->path, a, e);
    char *file = path_join(a, c->path, name, e);
    return file ? format->open(out, file, a, e) : e->code;
}

err_t checkpoint_open(struct checkpoint *c, const char *path, struct arena *a, struct err *e)
{
    struct stored_list list = {0};
    struct stat st;
    *c = (struct checkpoint){.format = format_table[0]->name};
    c->path = arena_strdup(a, path, e);
    if (!c->path)
        return e->code;
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                       "%s: no checkpoint: %s", path, strerror(errno));
    TRY(model_config_read(&c->config, path, a, e));
    TRY(open_list(&list, c, S_ISDIR(st.st_mode), a, e));
    stored_sort(&list);
    TRY(decoder_resolve(&list, a, e));
    c->simulated = list.simulated;
    c->nfiles = list.nfiles;
    c->files = list.files;
    c->ntensors = list.ntensors;
    c->tensors = list.tensors;
    for (int64_t i = 0; i < c->ntensors; i++)
        c->parameters += c->tensors[i].elements;
    return ERR_OK;
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
                              struct err *e)
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
    if ((int64_t)st.st_size < t->offset_bytes + stored_span(t))
        return refuse_short(f, t, (int64_t)st.st_size, e);
    if ((int64_t)st.st_size != f->size_bytes || mtime_of(&st) != f->mtime_ns)
        return refuse_changed(f, &st, e);
    return ERR_OK;
}

/* The file, open: for this use of it, by tensor t. */
static err_t use_file(struct checkpoint *c, struct stored_file *f, const struct stored_tensor *t,
                      struct err *e)
{
    f->last_use = ++c->reads;
    if (f->fd >= 0)
        return ERR_OK;
    err_t code = open_for_reading(c, f, t, e);
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
    struct stored_file *f = &c->files[t->file];
    TRY(use_file(c, f, t, e));
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
    if (!decoder_decoding(t))
        return checkpoint_read(c, t, first, n, buf, e);
    return decoder_read(t, &(struct stored_source){read_stored, c}, first, n, scratch, buf, e);
}

static void advise(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n)
{
    struct stored_file *f = &c->files[t->file];
    struct err ignored;
    int64_t at, bytes, width = dtype_bits(t->dtype) / 8;
    err_clear(&ignored);
    if (n <= 0 || use_file(c, f, t, &ignored) != ERR_OK)
        return;
    if (t->strides) {
        strided_range(t, first, n, &at, &bytes);
    } else {
        at = t->offset_bytes + first * width;
        bytes = n * width;
    }
    bytes = bytes < ADVISE_BYTES ? bytes : ADVISE_BYTES;
    posix_fadvise(f->fd, (off_t)at, (off_t)bytes, POSIX_FADV_WILLNEED); /* a hint: no error is one */
}

void checkpoint_advise(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n)
{
    const struct decoding *d = decoder_decoding(t);
    for (int i = 0; d && i < d->nhelpers; i++)
        advise(c, d->helpers[i], 0, d->helpers[i]->elements);
    if (t->strides)
        advise(c, t, first, n);
}

int64_t checkpoint_ahead(struct checkpoint *c, const struct stored_tensor *t, int64_t first, int64_t n,
                         int64_t tag)
{
    struct stored_file *f = &c->files[t->file];
    struct err ignored;
    int64_t width = dtype_bits(t->dtype) / 8, most = readahead_block_bytes(c->reader) / width;
    err_clear(&ignored);
    if (t->strides)
        return n;
    n = most > 0 && n > most ? most : n;
    if (use_file(c, f, t, &ignored) == ERR_OK)
        readahead_want(c->reader, f->fd, t->offset_bytes + first * width, n * width, tag);
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

void checkpoint_close(struct checkpoint *c)
{
    for (int64_t i = 0; i < c->nfiles; i++)
        if (c->files[i].fd >= 0)
            close_file(c, &c->files[i]);
}
