#include "checkpoint.h"

#include "json.h"
#include "safetensors.h"
#include "text.h"

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

#define MODEL_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"

enum {
    MAX_INDEX_BYTES = 100000000, /* as large as the format lets a header be */
    MAX_LISTED = 8,              /* names from a folder shown in a message */
    READ_BYTES = 1 << 30         /* per pread: Linux itself stops below 2 GiB */
};

/* ---- where the tensors are ---- */

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

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

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_INDEX };

/* What a folder offers, in the order of preference; name gets the file. */
static enum source look(const char *dir, char *name, int size)
{
    snprintf(name, (size_t)size, "%s", MODEL_FILE);
    if (has_entry(dir, MODEL_FILE))
        return SOURCE_FILE;
    snprintf(name, (size_t)size, "%s", INDEX_FILE);
    if (has_entry(dir, INDEX_FILE))
        return SOURCE_INDEX;
    DIR *d = opendir(dir);
    int found = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        if (strncmp(entry->d_name, "model", 5) == 0 && ends_with(entry->d_name, ".safetensors")) {
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
    char name[NAME_MAX + 1];
    if (stat(path, &st) != 0)
        return 0;
    return S_ISREG(st.st_mode) || (S_ISDIR(st.st_mode) && look(path, name, sizeof name) != SOURCE_NONE);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int is_torch(const char *name)
{
    return ends_with(name, ".bin") || ends_with(name, ".pt") || ends_with(name, ".pth") ||
           ends_with(name, ".bin.index.json");
}

/* Says what was looked for in a folder, and what is there instead. */
static err_t refuse_folder(const char *dir, struct arena *a, struct err *e)
{
    DIR *d = opendir(dir);
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", dir, strerror(errno));
    const char **names = NULL, *torch = NULL;
    int64_t n = 0, cap = 0, nmodels = 0;
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (entry->d_name[0] == '.')
            continue;
        if (arena_grow(a, "checkpoint.listing", n + 1, &cap, &names, e) == ERR_OK &&
            (names[n] = arena_strdup(a, entry->d_name, e))) {
            torch = is_torch(names[n]) ? names[n] : torch;
            nmodels += strncmp(names[n], "model", 5) == 0 && ends_with(names[n], ".safetensors");
            n++;
        }
    }
    closedir(d);
    if (e->code != ERR_OK)
        return e->code;
    if (n > 0)
        qsort(names, (size_t)n, sizeof *names, by_text);
    char *list = n > 0 ? text_join(a, names, n < MAX_LISTED ? (int)n : MAX_LISTED, ", ", e)
                       : arena_strdup(a, "nothing", e);
    if (!list)
        return e->code;
    for (char *p = list; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    const char *remedy = nmodels > 0 ? "; the index of these shards is missing, copy it too"
                         : torch     ? "; torch .bin files are not read, convert them to safetensors"
                                     : "";
    return err_set(e, ERR_DATA,
                   "%s: no model found: looked for %s, %s and a single model*.safetensors; found %.600s%s%s",
                   dir, MODEL_FILE, INDEX_FILE, list, n > MAX_LISTED ? ", ..." : "", remedy);
}

/* ---- one file ---- */

static int by_name_then_file(const void *a, const void *b)
{
    const struct checkpoint_tensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->file > y->file) - (x->file < y->file);
}

/* Takes the opened shards over into c: files in the given order, tensors sorted by name. */
static err_t gather(struct checkpoint *c, const struct safetensors *shards, int64_t n, struct arena *a,
                    struct err *e)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += shards[i].ntensors;
    TRY(arena_array(a, "checkpoint.files", n, &c->files, e));
    TRY(arena_array(a, "checkpoint.tensors", total, &c->tensors, e));
    c->nfiles = n;
    for (int64_t i = 0; i < n; i++) {
        const struct safetensors *s = &shards[i];
        c->files[i] = (struct checkpoint_file){.path = s->path,
                                               .size_bytes = s->size_bytes,
                                               .mtime_ns = s->mtime_ns,
                                               .header_hash = s->header_hash,
                                               .fd = -1};
        const char *simulated = safetensors_metadata(s, "simulated");
        c->simulated = c->simulated ? c->simulated : simulated;
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

static err_t open_file(struct checkpoint *c, const char *path, struct arena *a, struct err *e)
{
    struct safetensors s;
    TRY(safetensors_open(&s, path, a, e));
    return gather(c, &s, 1, a, e);
}

/* ---- an index and its shards ---- */

struct entry {
    const char *tensor, *file; /* as the index says; the names lie in one buffer */
};

struct index {
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
static const char *path_fault(const char *file)
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
    return ends_with(file, ".safetensors") ? NULL : "is no .safetensors file";
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
        const char *fault = path_fault(entry->file);
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

static err_t open_index(struct checkpoint *c, const char *dir, struct arena *a, struct err *e)
{
    struct index x = {.dir = dir, .path = path_join(a, dir, INDEX_FILE, e)};
    if (!x.path)
        return e->code;
    char *text;
    int64_t n;
    struct json_doc *doc = NULL;
    TRY(file_read(a, x.path, MAX_INDEX_BYTES, &text, &n, e));
    err_t code = json_doc_parse(&doc, x.path, text, n, a, e);
    arena_drop(a, text);
    if (code == ERR_OK)
        code = read_weight_map(&x, json_doc_root(doc), a, e);
    json_doc_release(doc);
    TRY(code);
    TRY(list_shards(&x, a, e));
    struct safetensors *shards;
    TRY(arena_array(a, "checkpoint.shards", x.nfiles, &shards, e));
    for (int64_t i = 0; i < x.nfiles; i++) {
        char *path = path_join(a, dir, x.files[i], e);
        if (!path)
            return e->code;
        TRY(safetensors_open(&shards[i], path, a, e));
    }
    TRY(gather(c, shards, x.nfiles, a, e));
    TRY(match_index(c, &x, e));
    arena_drop(a, shards);
    arena_drop(a, x.files);
    arena_drop(a, x.names);
    arena_drop(a, x.entries);
    return ERR_OK;
}

/* ---- opening ---- */

static err_t refuse_file(const char *path, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: expected a .safetensors file or a folder%s", path,
                   ends_with(path, ".json") ? ", found an index: name its folder instead"
                   : is_torch(path)         ? ": torch files are not read, convert them to safetensors"
                                            : "");
}

err_t checkpoint_open(struct checkpoint *c, const char *path, struct arena *a, struct err *e)
{
    *c = (struct checkpoint){.format = "safetensors"};
    c->path = arena_strdup(a, path, e);
    if (!c->path)
        return e->code;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                       "%s: no checkpoint: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return ends_with(path, ".safetensors") ? open_file(c, path, a, e) : refuse_file(path, e);
    char name[NAME_MAX + 1];
    char *file;
    switch (look(path, name, sizeof name)) {
    case SOURCE_FILE:
        file = path_join(a, path, name, e);
        return file ? open_file(c, file, a, e) : e->code;
    case SOURCE_INDEX:
        return open_index(c, path, a, e);
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
    if ((int64_t)st.st_size < t->offset_bytes + t->size_bytes)
        return refuse_short(f, t, (int64_t)st.st_size, e);
    if ((int64_t)st.st_size != f->size_bytes || mtime_of(&st) != f->mtime_ns)
        return refuse_changed(f, &st, e);
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
    f->last_use = ++c->reads;
    if (f->fd < 0) {
        err_t code = open_for_reading(c, f, t, e);
        if (code != ERR_OK) {
            if (f->fd >= 0)
                close_file(c, f);
            return code;
        }
    }
    int64_t at = t->offset_bytes + first * width, bytes = n * width;
    for (int64_t done = 0; done < bytes;) {
        int64_t pass = bytes - done < READ_BYTES ? bytes - done : READ_BYTES;
        ssize_t got = pread(f->fd, (char *)buf + done, (size_t)pass, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, ERR_SYSTEM, "%s: tensor %s: cannot be read at byte %lld: %s", f->path, t->name,
                           (long long)(at + done), strerror(errno));
        if (got == 0)
            return refuse_short(f, t, at + done, e);
        done += got;
    }
    return ERR_OK;
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
