#include "formats/index.h"

#include "base/file.h"
#include "base/path.h"
#include "formats/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_INDEX_BYTES = 100000000 }; /* as large as the format lets a header be */

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
        const char *fault = path_fault(entry->file); /* a shard lies in the folder or below */
        char other[40];
        if (!fault && format_of(entry->file) != x->format) {
            snprintf(other, sizeof other, "is no %s file", x->format->endings[0]);
            fault = other;
        }
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
            if (!format_has_entry(x->dir, entry->file)) {
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
static err_t match_index(const struct stored_list *c, const struct index *x, struct err *e)
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

err_t index_open(struct stored_list *out, const struct format *format, const char *dir,
                 const struct choice *choice, struct arena *a, struct err *e)
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
    struct stored_list *shards;
    TRY(arena_array(a, "checkpoint.shards", x.nfiles, &shards, e));
    for (int64_t i = 0; i < x.nfiles; i++) {
        char *path = path_join(a, dir, x.files[i], e);
        if (!path)
            return e->code;
        TRY(format->open(&shards[i], path, choice, a, e));
        if (shards[i].nfiles != 1)
            return err_set(e, ERR_BUG, "%s: a shard of %lld files", path, (long long)shards[i].nfiles);
    }
    TRY(stored_join(out, shards, x.nfiles, a, e));
    TRY(match_index(out, &x, e));
    arena_drop(a, shards);
    arena_drop(a, x.files);
    arena_drop(a, x.names);
    arena_drop(a, x.entries);
    return ERR_OK;
}
