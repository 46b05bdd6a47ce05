#include "formats/checkpoint.h"

#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/strided.h"
#include "base/path.h"
#include "base/file.h"
#include "base/text.h"
#include "formats/torch/torchfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A published format: what its model and its index are called in a folder, and how its files' names end. */
struct format {
    const char *name, *model, *index, *endings[4];
};

/* In the order of preference, which is transformers'. */
static const struct format formats[] = {
    {"safetensors", "model.safetensors", "model.safetensors.index.json", {".safetensors"}},
    {"torch", "pytorch_model.bin", "pytorch_model.bin.index.json", {".bin", ".pt", ".pth"}},
};
enum { NFORMATS = sizeof formats / sizeof *formats };
static const struct format *const SAFETENSORS = &formats[0];

enum {
    MAX_INDEX_BYTES = 100000000, /* as large as the format lets a header be */
    MAX_LISTED = 8,              /* names from a folder shown in a message */
    ADVISE_BYTES = 64 << 20      /* told the file system at once, at most */
};

/* ---- where the tensors are ---- */

/* Is there a directory entry of that name? A link that leads nowhere counts: opening it then gives the
 * reason. */
static int has_entry(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && n < (int)sizeof path && lstat(path, &st) == 0;
}

/* model-00001-of-00004.safetensors is no model by itself. */
static int is_one_shard_of_many(const char *name)
{
    const char *of = strstr(name, "-of-");
    return of && isdigit((unsigned char)of[4]) && strtol(of + 4, NULL, 10) > 1;
}

/* The format that the file's name ends as; NULL where there is none. */
static const struct format *format_of(const char *name)
{
    for (int i = 0; i < NFORMATS; i++)
        for (int k = 0; formats[i].endings[k]; k++)
            if (text_ends_with(name, formats[i].endings[k]))
                return &formats[i];
    return NULL;
}

enum folder_source { SOURCE_NONE, SOURCE_FILE, SOURCE_INDEX };

/* What a folder offers, in the order of preference; name receives the file. */
static enum folder_source look(const char *dir, const struct format **format, char *name, int size)
{
    for (int i = 0; i < NFORMATS; i++) {
        *format = &formats[i];
        snprintf(name, (size_t)size, "%s", formats[i].model);
        if (has_entry(dir, name))
            return SOURCE_FILE;
        snprintf(name, (size_t)size, "%s", formats[i].index);
        if (has_entry(dir, name))
            return SOURCE_INDEX;
    }
    *format = SAFETENSORS;
    DIR *d = opendir(dir);
    int found = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        if (strncmp(entry->d_name, "model", 5) == 0 && text_ends_with(entry->d_name, ".safetensors")) {
            snprintf(name, (size_t)size, "%s", entry->d_name);
            found++;
        }
    if (d)
        closedir(d);
    return found == 1 && !is_one_shard_of_many(name) ? SOURCE_FILE : SOURCE_NONE;
}

int checkpoint_exists(const char *path)
{
    struct stat st;
    const struct format *format;
    char name[NAME_MAX + 1];
    if (stat(path, &st) != 0)
        return 0;
    return S_ISREG(st.st_mode) ||
           (S_ISDIR(st.st_mode) && look(path, &format, name, sizeof name) != SOURCE_NONE);
}

/* Says what was looked for in a folder, and what is there instead. */
static err_t refuse_folder(const char *dir, struct arena *a, struct err *e)
{
    DIR *d = opendir(dir);
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", dir, strerror(errno));
    const char **names = NULL;
    int64_t n = 0, cap = 0, nmodels = 0;
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (entry->d_name[0] == '.')
            continue;
        if (arena_grow(a, "checkpoint.listing", n + 1, &cap, &names, e) == ERR_OK &&
            (names[n] = arena_strdup(a, entry->d_name, e))) {
            nmodels += format_of(names[n]) &&
                       (strncmp(names[n], "model", 5) == 0 || strncmp(names[n], "pytorch_model", 13) == 0);
            n++;
        }
    }
    closedir(d);
    if (e->code != ERR_OK)
        return e->code;
    if (n > 0)
        qsort(names, (size_t)n, sizeof *names, text_order);
    char *list = n > 0 ? text_join(a, names, n < MAX_LISTED ? (int)n : MAX_LISTED, ", ", e)
                       : arena_strdup(a, "nothing", e);
    if (!list)
        return e->code;
    for (char *p = list; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    return err_set(
        e, ERR_DATA,
        "%s: no model found: looked for %s, %s, %s, %s and a single model*.safetensors; found %.600s%s%s",
        dir, formats[0].model, formats[0].index, formats[1].model, formats[1].index, list,
        n > MAX_LISTED ? ", ..." : "",
        nmodels > 0 ? "; the index of these shards is missing, copy it too" : "");
}

/* ---- one file ---- */

static int by_name_then_file(const void *a, const void *b)
{
    const struct checkpoint_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->file > y->file) - (x->file < y->file);
}

/* A file of any format, opened. */
struct shard {
    struct checkpoint_file file;
    const char *simulated;
    int64_t ntensors;
    struct checkpoint_tensor *tensors;
};

static err_t open_shard(struct shard *out, const struct format *format, const char *path, struct arena *a,
                        struct err *e)
{
    if (format == SAFETENSORS) {
        struct safetensors s;
        TRY(safetensors_open(&s, path, a, e));
        *out = (struct shard){{.path = s.path,
                               .size_bytes = s.size_bytes,
                               .mtime_ns = s.mtime_ns,
                               .header_hash = s.header_hash,
                               .fd = -1},
                              safetensors_metadata(&s, "simulated"),
                              s.ntensors,
                              s.tensors};
        return ERR_OK;
    }
    struct torchfile t;
    TRY(torchfile_open(&t, path, a, e));
    *out = (struct shard){{.path = t.path,
                           .size_bytes = t.size_bytes,
                           .mtime_ns = t.mtime_ns,
                           .header_hash = t.header_hash,
                           .fd = -1},
                          NULL,
                          t.ntensors,
                          t.tensors};
    return ERR_OK;
}

/* Takes the opened shards over into c: files in the given order, tensors sorted by name. */
static err_t take_shards(struct checkpoint *c, const struct shard *shards, int64_t n, struct arena *a,
                         struct err *e)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += shards[i].ntensors;
    TRY(arena_array(a, "checkpoint.files", n, &c->files, e));
    TRY(arena_array(a, "checkpoint.tensors", total, &c->tensors, e));
    c->nfiles = n;
    for (int64_t i = 0; i < n; i++) {
        const struct shard *s = &shards[i];
        c->files[i] = s->file;
        c->simulated = c->simulated ? c->simulated : s->simulated;
        for (int64_t k = 0; k < s->ntensors; k++) {
            c->tensors[c->ntensors] = s->tensors[k];
            c->tensors[c->ntensors].file = (int)i;
            c->parameters += s->tensors[k].elements;
            c->ntensors++;
        }
        arena_drop(a, s->tensors);
    }
    if (total > 0)
        qsort(c->tensors, (size_t)total, sizeof *c->tensors, by_name_then_file);
    return ERR_OK;
}

static err_t open_file(struct checkpoint *c, const struct format *format, const char *path, struct arena *a,
                       struct err *e)
{
    struct shard s;
    TRY(open_shard(&s, format, path, a, e));
    return take_shards(c, &s, 1, a, e);
}

/* ---- an index and its shards ---- */

struct entry {
    const char *tensor, *file; /* as the index says; the names lie in one buffer */
};

struct index {
    const struct format *format;
    const char *path, *dir;
    int64_t n, nfiles;
    struct entry *entries; /* sorted by tensor */
    const char **files;    /* distinct, sorted */
    char *names;
};

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->tensor, ((const struct entry *)b)->tensor);
}

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->file, ((const struct entry *)b)->file);
}

static int has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return 1;
    return 0;
}

/* A shard must lie in the folder (or below): an index is as untrusted as any other input. NULL: the name is
 * fine. */
static const char *path_fault(const struct format *format, const char *file)
{
    if (file[0] == '\0')
        return "is empty";
    if (file[0] == '/')
        return "is an absolute path";
    for (const char *p = file; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return "leaves the folder";
    }
    if (format_of(file) == format)
        return NULL;
    return format == SAFETENSORS ? "is no .safetensors file" : "is no .bin file";
}

static const char *copy_to(char **at, const char *text)
{
    char *start = *at;
    size_t n = strlen(text) + 1;
    memcpy(start, text, n);
    *at += n;
    return start;
}

static err_t read_weight_map(struct index *x, const struct json_item *root, struct arena *a, struct err *e)
{
    const struct json_item *map =
        json_item_kind(root) == JSON_KIND_MAP ? json_item_get(root, "weight_map") : NULL;
    if (json_item_kind(map) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA, "%s: expected a map \"weight_map\" of tensor names to files, found %s",
                       x->path, json_item_kind_text(map));
    const char *key;
    const struct json_item *value;
    int64_t bytes = 0;
    for (void *at = json_item_next(map, NULL, &key, &value); at; at = json_item_next(map, at, &key, &value))
        bytes += (int64_t)strlen(key) + (int64_t)strlen(json_item_text(value)) + 2;
    TRY(arena_array(a, "checkpoint.index", json_item_count(map), &x->entries, e));
    TRY(arena_array(a, "checkpoint.index", bytes, &x->names, e));
    char *to = x->names;
    for (void *at = json_item_next(map, NULL, &key, &value); at; at = json_item_next(map, at, &key, &value)) {
        struct entry *entry = &x->entries[x->n++];
        if (has_control(key) || has_control(json_item_text(value)))
            return err_set(e, ERR_DATA, "%s: entry %lld of \"weight_map\" holds a control character", x->path,
                           (long long)x->n);
        entry->tensor = copy_to(&to, key);
        entry->file = copy_to(&to, json_item_text(value));
        if (json_item_kind(value) != JSON_KIND_TEXT)
            return err_set(e, ERR_DATA, "%s: tensor %.300s: expected a file name, found %s", x->path,
                           entry->tensor, json_item_kind_text(value));
        const char *fault = path_fault(x->format, entry->file);
        if (fault)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %.300s: the file \"%.300s\" %s: expected a shard in the index's folder", x->path,
                entry->tensor, entry->file, fault);
    }
    if (x->n == 0)
        return err_set(e, ERR_DATA, "%s: \"weight_map\" names no tensor", x->path);
    return ERR_OK;
}

/* The distinct files, which must all be there; then the entries by tensor. */
static err_t list_shards(struct index *x, struct arena *a, struct err *e)
{
    qsort(x->entries, (size_t)x->n, sizeof *x->entries, by_file);
    TRY(arena_array(a, "checkpoint.shards", x->n, &x->files, e));
    const struct entry *first = NULL;
    int64_t missing = 0, of_first = 0;
    for (int64_t i = 0; i < x->n; i++) {
        const struct entry *entry = &x->entries[i];
        if (x->nfiles == 0 || strcmp(x->files[x->nfiles - 1], entry->file) != 0) {
            x->files[x->nfiles++] = entry->file;
            if (!has_entry(x->dir, entry->file)) {
                missing++;
                first = first ? first : entry;
            }
        }
        of_first += first && strcmp(first->file, entry->file) == 0;
    }
    if (missing > 0)
        return err_set(e, ERR_DATA,
                       "%s/%s: missing shard: %s names it for %lld tensors (%.300s, ...); expected %lld "
                       "shards, found %lld",
                       x->dir, first->file, x->path, (long long)of_first, first->tensor, (long long)x->nfiles,
                       (long long)(x->nfiles - missing));
    qsort(x->entries, (size_t)x->n, sizeof *x->entries, by_tensor);
    return ERR_OK;
}

/* The index and the shards must name the same tensors at the same places, each once. Both lists are sorted by
 * tensor. */
static err_t match_index(const struct checkpoint *c, const struct index *x, struct err *e)
{
    for (int64_t k = 1; k < c->ntensors; k++)
        if (strcmp(c->tensors[k - 1].name, c->tensors[k].name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: expected in one shard, found in two: %s and %s",
                           x->path, c->tensors[k].name, x->files[c->tensors[k - 1].file],
                           x->files[c->tensors[k].file]);
    for (int64_t i = 0, k = 0; i < x->n || k < c->ntensors;) {
        int order = i == x->n ? 1 : k == c->ntensors ? -1 : strcmp(x->entries[i].tensor, c->tensors[k].name);
        if (order < 0)
            return err_set(e, ERR_DATA, "%s: tensor %.300s: expected in shard %s, found in no shard", x->path,
                           x->entries[i].tensor, x->entries[i].file);
        const char *file = x->files[c->tensors[k].file];
        if (order > 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: found in shard %s, but not in the index", x->path,
                           c->tensors[k].name, file);
        if (strcmp(x->entries[i].file, file) != 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: expected in shard %s, found in shard %s", x->path,
                           c->tensors[k].name, x->entries[i].file, file);
        i++;
        k++;
    }
    return ERR_OK;
}

/* A pipe would be waited for, a device never end. */
static err_t check_index_file(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT ? ERR_DATA : ERR_SYSTEM, "%s: cannot be opened: %s", path,
                       strerror(errno));
    return S_ISREG(st.st_mode) ? ERR_OK : err_set(e, ERR_DATA, "%s: is no regular file", path);
}

static err_t open_index(struct checkpoint *c, const struct format *format, const char *dir, struct arena *a,
                        struct err *e)
{
    struct index x = {.format = format, .dir = dir, .path = path_join(a, dir, format->index, e)};
    if (!x.path)
        return e->code;
    char *text;
    int64_t n;
    struct json_doc *doc = NULL;
    TRY(check_index_file(x.path, e));
    TRY(file_read(a, x.path, MAX_INDEX_BYTES, &text, &n, e));
    err_t code = json_doc_parse(&doc, x.path, text, n, a, e);
    arena_drop(a, text);
    if (code == ERR_OK)
        code = read_weight_map(&x, json_doc_root(doc), a, e);
    json_doc_release(doc);
    TRY(code);
    TRY(list_shards(&x, a, e));
    struct shard *shards;
    TRY(arena_array(a, "checkpoint.shards", x.nfiles, &shards, e));
    for (int64_t i = 0; i < x.nfiles; i++) {
        char *path = path_join(a, dir, x.files[i], e);
        if (!path)
            return e->code;
        TRY(open_shard(&shards[i], format, path, a, e));
    }
    TRY(take_shards(c, shards, x.nfiles, a, e));
    TRY(match_index(c, &x, e));
    arena_drop(a, shards);
    arena_drop(a, x.files);
    arena_drop(a, x.names);
    arena_drop(a, x.entries);
    return ERR_OK;
}

/* ---- opening ---- */

err_t checkpoint_open(struct checkpoint *c, const char *path, struct arena *a, struct err *e)
{
    const struct format *format = format_of(path);
    *c = (struct checkpoint){.format = format ? format->name : SAFETENSORS->name};
    c->path = arena_strdup(a, path, e);
    if (!c->path)
        return e->code;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                       "%s: no checkpoint: %s", path, strerror(errno));
    TRY(model_config_read(&c->config, path, a, e));
    if (!S_ISDIR(st.st_mode)) {
        if (!format)
            return err_set(e, ERR_DATA, "%s: expected a .safetensors, .bin, .pt or .pth file or a folder%s",
                           path,
                           text_ends_with(path, ".json") ? ", found an index: name its folder instead" : "");
        return open_file(c, format, path, a, e);
    }
    char name[NAME_MAX + 1];
    char *file;
    enum folder_source source = look(path, &format, name, sizeof name);
    c->format = format->name;
    switch (source) {
    case SOURCE_FILE:
        file = path_join(a, path, name, e);
        return file ? open_file(c, format, file, a, e) : e->code;
    case SOURCE_INDEX:
        return open_index(c, format, path, a, e);
    case SOURCE_NONE:
        break;
    }
    return refuse_folder(path, a, e);
}

const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    int64_t low = 0, high = c->ntensors - 1;
    while (low <= high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(name, c->tensors[middle].name);
        if (order == 0)
            return &c->tensors[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- reading ---- */

static int64_t mtime_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static err_t refuse_changed(const struct checkpoint_file *f, const struct stat *st, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: changed since it was catalogued (expected %lld bytes, found %lld%s); run sinew run again",
        f->path, (long long)f->size_bytes, (long long)st->st_size,
        (int64_t)st->st_size == f->size_bytes ? ", with another modification time" : "");
}

static err_t refuse_short(const struct checkpoint_file *f, const struct checkpoint_tensor *t,
                          int64_t file_bytes, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: truncated while in use: tensor %s is cut off: expected a file of %lld bytes, found %lld",
        f->path, t->name, (long long)f->size_bytes, (long long)file_bytes);
}

static void close_file(struct checkpoint *c, struct checkpoint_file *f)
{
    readahead_forget(c->reader, f->fd);
    close(f->fd);
    f->fd = -1;
    c->nopen--;
}

static void close_least_used(struct checkpoint *c)
{
    struct checkpoint_file *oldest = NULL;
    for (int64_t i = 0; i < c->nfiles; i++)
        if (c->files[i].fd >= 0 && (!oldest || c->files[i].last_use < oldest->last_use))
            oldest = &c->files[i];
    if (oldest)
        close_file(c, oldest);
}

static err_t open_for_reading(struct checkpoint *c, struct checkpoint_file *f,
                              const struct checkpoint_tensor *t, struct err *e)
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
    if ((int64_t)st.st_size < t->offset_bytes + checkpoint_span(t))
        return refuse_short(f, t, (int64_t)st.st_size, e);
    if ((int64_t)st.st_size != f->size_bytes || mtime_of(&st) != f->mtime_ns)
        return refuse_changed(f, &st, e);
    return ERR_OK;
}

/* The file, open: for this use of it, by tensor t. */
static err_t use_file(struct checkpoint *c, struct checkpoint_file *f, const struct checkpoint_tensor *t,
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

int64_t checkpoint_span(const struct checkpoint_tensor *t)
{
    int64_t last = 0, bytes;
    if (!t->strides || t->elements == 0)
        return t->size_bytes;
    for (int i = 0; i < t->ndim; i++)
        if (t->strides[i] < 0 || __builtin_mul_overflow(t->dims[i] - 1, t->strides[i], &bytes) ||
            __builtin_add_overflow(last, bytes, &last))
            return -1;
    return __builtin_add_overflow(last, 1, &last) ||
                   __builtin_mul_overflow(last, dtype_bits(t->dtype) / 8, &bytes)
               ? -1
               : bytes;
}

/* A tensor's file while it is read. */
struct reading {
    struct readahead *reader;
    const struct checkpoint_file *file;
    const struct checkpoint_tensor *tensor;
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

err_t checkpoint_read(struct checkpoint *c, const struct checkpoint_tensor *t, int64_t first, int64_t n,
                      void *buf, struct err *e)
{
    int64_t width = dtype_bits(t->dtype) / 8;
    if (first < 0 || n < 0 || first > t->elements - n || t->file < 0 || t->file >= c->nfiles ||
        dtype_bits(t->dtype) % 8 != 0)
        return err_set(e, ERR_BUG, "%lld elements from %lld on of tensor %s (%lld of %s) were asked for",
                       (long long)n, (long long)first, t->name, (long long)t->elements, dtype_name(t->dtype));
    if (n == 0)
        return ERR_OK;
    struct checkpoint_file *f = &c->files[t->file];
    TRY(use_file(c, f, t, e));
    struct reading r = {c->reader, f, t};
    if (!t->strides)
        return read_bytes(&r, t->offset_bytes + first * width, n * width, buf, e);
    return strided_read(t, first, n, &(struct strided_source){read_bytes, &r}, buf, e);
}

void checkpoint_advise(struct checkpoint *c, const struct checkpoint_tensor *t, int64_t first, int64_t n)
{
    struct checkpoint_file *f = &c->files[t->file];
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

int64_t checkpoint_ahead(struct checkpoint *c, const struct checkpoint_tensor *t, int64_t first, int64_t n,
                         int64_t tag)
{
    struct checkpoint_file *f = &c->files[t->file];
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
        const struct checkpoint_file *f = &c->files[i];
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
