#include "formats/safetensors/safetensors.h"

#include "formats/folders/shards.h"
#include "formats/format.h"
#include "base/hash.h"
#include "formats/json.h"
#include "base/text.h"
#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREFIX_BYTES = SAFETENSORS_PREFIX_BYTES,
    MAX_HEADER_BYTES = SAFETENSORS_MAX_HEADER_BYTES,
    MAX_NAME_BYTES = 512 /* ours: names become columns of fixed width and HDF5 links */
};

/* ---- sizes ---- */

enum safetensors_fault safetensors_count(const struct stored_tensor *t, int64_t *elements, int64_t *bytes)
{
    uint64_t n = 1, bits;
    for (int i = 0; i < t->ndim; i++)
        if (size_mul(n, (uint64_t)t->dims[i], &n) != 0)
            return SAFETENSORS_OVERFLOW;
    if (size_mul(n, (uint64_t)dtype_bits(t->dtype), &bits) != 0)
        return SAFETENSORS_OVERFLOW;
    if (bits % 8 != 0)
        return SAFETENSORS_MISALIGNED;
    *elements = (int64_t)n; /* fits: a type has at least 4 bits */
    *bytes = (int64_t)(bits / 8);
    return SAFETENSORS_COUNTED;
}

/* ---- reading: the header's bytes ---- */

static err_t read_bytes(int fd, const char *path, char *to, int64_t n, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(fd, to + done, (size_t)(n - done), (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
        if (got == 0)
            return err_set(e, ERR_DATA,
                           "%s: ended while its header was read: expected %lld bytes, found %lld", path,
                           (long long)n, (long long)done);
        done += got;
    }
    return ERR_OK;
}

/* Checks the lengths that stand before the header and reads it, prefix included, into *bytes (arena-owned).
 */
static err_t read_header(struct safetensors *s, int fd, struct arena *a, char **bytes, struct err *e)
{
    if (s->size_bytes < PREFIX_BYTES)
        return err_set_part(e,
                            "%s: too short for a safetensors file: expected at least %d bytes (the header's "
                            "length), found %lld",
                            s->path, PREFIX_BYTES, (long long)s->size_bytes);
    unsigned char prefix[PREFIX_BYTES];
    TRY(read_bytes(fd, s->path, (char *)prefix, PREFIX_BYTES, e));
    TRY(file_refuse_pointer(s->path, (const char *)prefix, PREFIX_BYTES, s->size_bytes, e));
    uint64_t n = 0;
    for (int i = PREFIX_BYTES - 1; i >= 0; i--)
        n = n << 8 | prefix[i];
    if (n > MAX_HEADER_BYTES)
        return err_set(e, ERR_DATA,
                       "%s: no safetensors file: header of %" PRIu64
                       " bytes announced, expected at most %d (file: %lld bytes)",
                       s->path, n, MAX_HEADER_BYTES, (long long)s->size_bytes);
    s->data_start = PREFIX_BYTES + (int64_t)n;
    if (s->size_bytes < s->data_start)
        return err_set_part(
            e,
            "%s: truncated within its header, before the first tensor: expected at least %lld "
            "bytes, found %lld; copy "
            "the file again",
            s->path, (long long)s->data_start, (long long)s->size_bytes);
    if (n == 0)
        return err_set(e, ERR_DATA, "%s: header of 0 bytes, expected a JSON map", s->path);
    TRY(arena_array(a, "safetensors.header", s->data_start, bytes, e));
    TRY(read_bytes(fd, s->path, *bytes, s->data_start, e));
    s->header_hash = hash_bytes(*bytes, (size_t)s->data_start);
    return ERR_OK;
}

/* ---- reading: the entries ---- */

/* A text of the file, cut and without control characters, fit for a message. */
static const char *shown(const char *text, char *out, int size)
{
    int n = 0;
    for (; n < size - 1 && text[n]; n++)
        out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    out[n] = '\0';
    return out;
}

static err_t check_name(const char *path, const char *name, struct err *e)
{
    char begin[101];
    size_t n = strlen(name);
    if (n == 0)
        return err_set(e, ERR_DATA, "%s: a tensor has the empty name", path);
    if (n > MAX_NAME_BYTES)
        return err_set(e, ERR_DATA, "%s: tensor %s...: name of %zu bytes, expected at most %d", path,
                       shown(name, begin, sizeof begin), n, MAX_NAME_BYTES);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return err_set(e, ERR_DATA,
                           "%s: the tensor name beginning with \"%.*s\" holds the control character 0x%02x",
                           path, (int)i, name, (unsigned)(unsigned char)name[i]);
    return ERR_OK;
}

/* A list of at most max integers >= 0. field: "shape", "data_offsets". */
static err_t read_numbers(const char *path, const char *name, const char *field, const struct json_item *v,
                          int max, int64_t *out, int *n, struct err *e)
{
    if (json_item_kind(v) != JSON_KIND_LIST)
        return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected a list of integers, found %s", path, name,
                       field, json_item_kind_text(v));
    int64_t count = json_item_count(v);
    if (count > max)
        return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected at most %d numbers, found %lld", path, name,
                       field, max, (long long)count);
    for (int i = 0; i < (int)count; i++) {
        const struct json_item *number = json_item_at(v, i);
        if (json_item_kind(number) == JSON_KIND_REAL)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: %s: expected an integer of 64 bits, found the real number %.17g",
                           path, name, field, json_item_real(number));
        if (json_item_kind(number) != JSON_KIND_INT)
            return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected an integer, found %s", path, name, field,
                           json_item_kind_text(number));
        out[i] = json_item_int(number);
        if (out[i] < 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: %s: expected an integer not below 0, found %lld",
                           path, name, field, (long long)out[i]);
    }
    *n = (int)count;
    return ERR_OK;
}

/* One entry as it stands; offset_bytes and size_bytes get begin and END until check_places has looked at
 * them. Unknown fields are passed over, as in the reference. */
static err_t read_entry(const char *path, const char *name, const struct json_item *v,
                        struct stored_tensor *t, struct err *e)
{
    if (json_item_kind(v) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: expected a map with dtype, shape and data_offsets, found %s", path,
                       name, json_item_kind_text(v));
    const struct json_item *dtype = json_item_get(v, "dtype");
    if (json_item_kind(dtype) != JSON_KIND_TEXT)
        return err_set(e, ERR_DATA, "%s: tensor %s: dtype: expected a text, found %s", path, name,
                       json_item_kind_text(dtype));
    char found[41];
    t->dtype = dtype_find(json_item_text(dtype));
    if (t->dtype == DTYPE_COUNT)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %s: unknown dtype \"%s\", expected BF16, F16, F32 or another of the format", path,
            name, shown(json_item_text(dtype), found, sizeof found));
    TRY(read_numbers(path, name, "shape", json_item_get(v, "shape"), TENSOR_MAX_NDIM, t->dims, &t->ndim, e));
    int64_t ends[2] = {0, 0};
    int n = 0;
    TRY(read_numbers(path, name, "data_offsets", json_item_get(v, "data_offsets"), 2, ends, &n, e));
    if (n != 2)
        return err_set(e, ERR_DATA, "%s: tensor %s: data_offsets: expected 2 numbers, found %d", path, name,
                       n);
    t->offset_bytes = ends[0];
    t->size_bytes = ends[1];
    return ERR_OK;
}

static err_t read_metadata(struct safetensors *s, const struct json_item *v, struct arena *a, struct err *e)
{
    if (json_item_kind(v) == JSON_KIND_NULL) /* as good as absent to the reference */
        return ERR_OK;
    if (json_item_kind(v) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA, "%s: __metadata__: expected a map of texts, found %s", s->path,
                       json_item_kind_text(v));
    int64_t n = json_item_count(v);
    TRY(arena_array(a, "safetensors.metadata", n, &s->metadata_keys, e));
    TRY(arena_array(a, "safetensors.metadata", n, &s->metadata_values, e));
    char name[101];
    const char *key;
    const struct json_item *value;
    for (void *at = json_item_next(v, NULL, &key, &value); at; at = json_item_next(v, at, &key, &value)) {
        if (json_item_kind(value) != JSON_KIND_TEXT)
            return err_set(e, ERR_DATA, "%s: __metadata__: %s: expected a text, found %s", s->path,
                           shown(key, name, sizeof name), json_item_kind_text(value));
        s->metadata_keys[s->nmetadata] = arena_strdup(a, key, e);
        s->metadata_values[s->nmetadata] = arena_strdup(a, json_item_text(value), e);
        if (!s->metadata_keys[s->nmetadata] || !s->metadata_values[s->nmetadata])
            return e->code;
        s->nmetadata++;
    }
    return ERR_OK;
}

int safetensors_is_metadata(const char *key)
{
    return strcmp(key, "__metadata__") == 0;
}

/* All entries into s->tensors, names and modules in one buffer: a large model has 1e5 of them. */
static err_t read_entries(struct safetensors *s, const struct json_item *root, struct arena *a, struct err *e)
{
    if (json_item_kind(root) != JSON_KIND_MAP)
        return err_set(e, ERR_DATA, "%s: header: expected a JSON map, found %s", s->path,
                       json_item_kind_text(root));
    const char *key;
    const struct json_item *value;
    int64_t n = 0, bytes = 0;
    for (void *at = json_item_next(root, NULL, &key, &value); at;
         at = json_item_next(root, at, &key, &value)) {
        if (safetensors_is_metadata(key)) {
            TRY(read_metadata(s, value, a, e));
            continue;
        }
        TRY(check_name(s->path, key, e));
        n++;
        bytes += 2 * ((int64_t)strlen(key) + 1);
    }
    char *names;
    TRY(arena_array(a, "safetensors.names", bytes, &names, e));
    TRY(arena_array(a, "safetensors.tensors", n, &s->tensors, e));
    for (void *at = json_item_next(root, NULL, &key, &value); at;
         at = json_item_next(root, at, &key, &value)) {
        if (safetensors_is_metadata(key))
            continue;
        struct stored_tensor *t = &s->tensors[s->ntensors++];
        int room = (int)strlen(key) + 1;
        memcpy(names, key, (size_t)room);
        tensor_module(key, names + room, room);
        t->name = names;
        t->module = names + room;
        t->layer = tensor_layer(key);
        names += 2 * room;
        TRY(read_entry(s->path, t->name, value, t, e));
    }
    return ERR_OK;
}

/* ---- reading: the places ---- */

static int by_place(const void *a, const void *b)
{
    const struct stored_tensor *x = a, *y = b;
    if (x->offset_bytes != y->offset_bytes)
        return x->offset_bytes < y->offset_bytes ? -1 : 1;
    if (x->size_bytes != y->size_bytes)
        return x->size_bytes < y->size_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Tensors in the order of their places: without hole or overlap, of the size that type and shape ask for, up
 * to the end of the file. On the way, places become offsets from the start of the file, and ends become
 * sizes. */
static err_t check_places(struct safetensors *s, struct err *e)
{
    int64_t at = 0, room = s->size_bytes - s->data_start;
    const char *cut = NULL;
    if (s->ntensors > 0)
        qsort(s->tensors, (size_t)s->ntensors, sizeof *s->tensors, by_place);
    for (int64_t i = 0; i < s->ntensors; i++) {
        struct stored_tensor *t = &s->tensors[i];
        int64_t begin = t->offset_bytes, end = t->size_bytes, bytes;
        char shape[200];
        if (end < begin)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: data_offsets [%lld, %lld] are reversed: expected begin <= end",
                           s->path, t->name, (long long)begin, (long long)end);
        if (begin != at)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s: data_offsets [%lld, %lld] %s: expected to begin at byte %lld, %s%s", s->path,
                t->name, (long long)begin, (long long)end,
                begin < at ? "overlap another tensor" : "leave a hole", (long long)at,
                i > 0 ? "at the end of tensor " : "the start of the data", i > 0 ? t[-1].name : "");
        enum safetensors_fault fault = safetensors_count(t, &t->elements, &bytes);
        if (fault == SAFETENSORS_OVERFLOW)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s: shape %s of %s overflows: expected a size of at most 64 bits, found "
                "data_offsets [%lld, %lld]",
                s->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape), dtype_name(t->dtype),
                (long long)begin, (long long)end);
        if (fault == SAFETENSORS_MISALIGNED)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s: shape %s of %s is misaligned: expected whole bytes, found %d bits each",
                s->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape), dtype_name(t->dtype),
                dtype_bits(t->dtype));
        if (end - begin != bytes)
            return err_set(
                e, ERR_DATA,
                "%s: tensor %s: size mismatch: shape %s of %s, expected %lld bytes, found %lld (data_offsets "
                "[%lld, %lld])",
                s->path, t->name, shape_text(t->ndim, t->dims, shape, sizeof shape), dtype_name(t->dtype),
                (long long)bytes, (long long)(end - begin), (long long)begin, (long long)end);
        at = end;
        if (end > room && !cut)
            cut = t->name;
        t->size_bytes = bytes;
    }
    if (cut)
        return err_set_part(e,
                            "%s: truncated: tensor %s is cut off: expected a file of %" PRIu64
                            " bytes, found %lld; copy the file again",
                            s->path, cut, (uint64_t)s->data_start + (uint64_t)at, (long long)s->size_bytes);
    if (at != room)
        return err_set(
            e, ERR_DATA, "%s: bytes after the last tensor%s%s: expected a file of %lld bytes, found %lld",
            s->path, s->ntensors > 0 ? ", " : "", s->ntensors > 0 ? s->tensors[s->ntensors - 1].name : "",
            (long long)(s->data_start + at), (long long)s->size_bytes);
    for (int64_t i = 0; i < s->ntensors; i++)
        s->tensors[i].offset_bytes += s->data_start;
    return ERR_OK;
}

err_t safetensors_open(struct safetensors *s, const char *path, struct arena *a, struct err *e)
{
    *s = (struct safetensors){0};
    s->path = arena_strdup(a, path, e);
    if (!s->path)
        return e->code;
    struct file_stamp stamp;
    int fd;
    TRY(file_open(path, &fd, &stamp, e));
    s->size_bytes = stamp.size_bytes;
    s->mtime_ns = stamp.mtime_ns;
    struct json_doc *doc = NULL;
    char *bytes = NULL, *what;
    err_t code = read_header(s, fd, a, &bytes, e);
    close(fd);
    if (code == ERR_OK && !(what = arena_printf(a, e, "%s: header", path)))
        code = e->code;
    if (code == ERR_OK)
        code = json_doc_parse(&doc, what, bytes + PREFIX_BYTES, s->data_start - PREFIX_BYTES, a, e);
    arena_drop(a, bytes);
    if (code == ERR_OK)
        code = read_entries(s, json_doc_root(doc), a, e);
    json_doc_release(doc);
    return code == ERR_OK ? check_places(s, e) : code;
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    for (int64_t i = 0; i < s->nmetadata; i++)
        if (strcmp(s->metadata_keys[i], key) == 0)
            return s->metadata_values[i];
    return NULL;
}

/* ---- as a format ---- */

static err_t open_list(struct stored_list *out, const char *path, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    (void)choice;
    struct safetensors s;
    TRY(safetensors_open(&s, path, a, e));
    *out = (struct stored_list){
        .simulated = safetensors_metadata(&s, "simulated"), .ntensors = s.ntensors, .tensors = s.tensors};
    return stored_add_file(out, s.path, s.size_bytes, s.mtime_ns, s.header_hash, a, e);
}

/* model-00001-of-00004.safetensors is no model by itself. */
static int is_one_shard_of_many(const char *name)
{
    const char *of = strstr(name, "-of-");
    return of && isdigit((unsigned char)of[4]) && strtol(of + 4, NULL, 10) > 1;
}

/* A folder without the usual names, but with one file alone that can only be the model. */
static int find_single(const char *dir, char *name, int size)
{
    DIR *d = opendir(dir);
    int found = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        if (strncmp(entry->d_name, "model", 5) == 0 && text_ends_with(entry->d_name, ".safetensors")) {
            snprintf(name, (size_t)size, "%s", entry->d_name);
            found++;
        }
    if (d)
        closedir(d);
    return found == 1 && !is_one_shard_of_many(name);
}

const struct format format_safetensors = {
    .name = "safetensors",
    .endings = {".safetensors"},
    .stem = "model",
    .model = "model.safetensors",
    .index = "model.safetensors.index.json",
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .open = open_list,
};

static int find_shards(const char *dir, char *name, int size)
{
    int64_t n;
    return shards_find(dir, format_safetensors.stem, format_safetensors.endings[0], name, size, &n);
}

static err_t open_shards(struct stored_list *out, const char *path, const struct choice *choice,
                         struct arena *a, struct err *e)
{
    return shards_open_set(out, &format_safetensors, path, choice, a, e);
}

const struct format format_safetensors_shards = {
    .name = "safetensors",
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .finds = "all shards model-*-of-*.safetensors",
    .find = find_shards,
    .open = open_shards,
};

const struct format format_safetensors_single = {
    .name = "safetensors",
    .ignores = CHOICE_OF_WEIGHTS | CHOICE_OF_BASE,
    .finds = "a single model*.safetensors",
    .find = find_single,
    .open = open_list,
};
