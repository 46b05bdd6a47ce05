#include "formats/index.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/folders/shards.h"
#include "formats/json.h"
#include "formats/model_config.h"

#include <errno.h>
#include <limits.h>
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

/* A whole set of other shards beside the index says that this is not theirs. */
static err_t refuse_missing(const struct index *x, const struct entry *first, int64_t of_first,
                            int64_t missing, struct err *e)
{
    char name[NAME_MAX + 1], other[NAME_MAX + 200] = "";
    int64_t n;
    if (shards_find(x->dir, x->format->stem, x->format->endings[0], name, sizeof name, &n))
        snprintf(
            other, sizeof other,
            "; the index is of another set than the %lld shards that are there (%s, ...): move it away, and they are "
            "read by their names",
            (long long)n, name);
    return err_set_part(e,
                        "%s/%s: missing shard: %s names it for %lld tensors (%.300s, ...); expected %lld "
                        "shards, found %lld%s",
                        x->dir, first->file, x->path, (long long)of_first, first->tensor,
                        (long long)x->nfiles, (long long)(x->nfiles - missing), other);
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
        return refuse_missing(x, first, of_first, missing, e);
    qsort(x->entries, (size_t)x->n, sizeof *x->entries, by_tensor);
    return ERR_OK;
}

/* One more sentence behind what the list says of itself. */
static err_t add_note(struct stored_list *list, struct arena *a, struct err *e, int64_t n, const char *what,
                      const struct stored_tensor *first, const char *file)
{
    if (n == 0)
        return ERR_OK;
    list->note = arena_printf(a, e, "%s%s%lld tensors %s (first %s in %s)", list->note ? list->note : "",
                              list->note ? "; " : "", (long long)n, what, first->name, file);
    return list->note ? ERR_OK : e->code;
}

/* An entry that no shard has. A head that is tied to the embedding is not saved, and some indices name it all
 * the same: no tensor is lost then, which is said. */
static err_t take_missing(struct stored_list *c, const struct index *x, const struct entry *entry,
                          struct arena *a, struct err *e)
{
    struct model_config config = {.tied = MODEL_TIED_NO};
    if (text_ends_with(entry->tensor, "lm_head.weight"))
        TRY(model_config_read(&config, x->dir, a, e));
    if (config.tied != MODEL_TIED_YES)
        return err_set(
            e, ERR_DATA,
            "%s: tensor %.300s: expected in shard %s, found in no shard: fetch the index and its shards "
            "again, one of them is of another set",
            x->path, entry->tensor, entry->file);
    c->note = arena_printf(a, e,
                           "%s%stensor %.300s, which the index names, is in no shard: config.json ties it "
                           "to the embedding",
                           c->note ? c->note : "", c->note ? "; " : "", entry->tensor);
    return c->note ? ERR_OK : e->code;
}

/* Every tensor that the index names must be in a shard. What it omits, or has elsewhere, is read as
 * transformers reads it, which takes all that the shards hold; that is said. Both lists are sorted by tensor.
 */
static err_t match_index(struct stored_list *c, const struct index *x, struct arena *a, struct err *e)
{
    const struct stored_tensor *first_omitted = NULL, *first_moved = NULL;
    int64_t omitted = 0, moved = 0, i = 0;
    for (int64_t k = 0; i < x->n || k < c->ntensors;) {
        const struct stored_tensor *t = k < c->ntensors ? &c->tensors[k] : NULL;
        int order = i == x->n ? 1 : !t ? -1 : strcmp(x->entries[i].tensor, t->name);
        if (order < 0)
            TRY(take_missing(c, x, &x->entries[i], a, e));
        if (order > 0 && omitted++ == 0)
            first_omitted = t;
        if (order == 0 && strcmp(x->entries[i].file, x->files[t->file]) != 0 && moved++ == 0)
            first_moved = t;
        i += order <= 0;
        k += order >= 0;
    }
    TRY(add_note(c, a, e, omitted, "that the index omits are read too, as transformers reads them",
                 first_omitted, omitted > 0 ? x->files[first_omitted->file] : ""));
    return add_note(c, a, e, moved, "lie in another shard than the index says", first_moved,
                    moved > 0 ? x->files[first_moved->file] : "");
}

/* Shards of another set in the folder are not read, as transformers does not read them: that is said. */
static err_t note_strays(struct stored_list *c, const struct index *x, struct arena *a, struct err *e)
{
    char first[NAME_MAX + 1];
    int64_t n = shards_others(x->dir, x->format->stem, x->format->endings[0], x->files, x->nfiles, first);
    if (n == 0)
        return ERR_OK;
    c->note = arena_printf(a, e, "%s%s%lld other shard%s there (first %s), which the index does not name",
                           c->note ? c->note : "", c->note ? "; " : "", (long long)n,
                           n == 1 ? " lies" : "s lie", first);
    return c->note ? ERR_OK : e->code;
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
    err_t code = json_doc_parse_python(&doc, x.path, text, n, a, e);
    arena_drop(a, text);
    if (code == ERR_OK)
        code = read_weight_map(&x, json_doc_root(doc), a, e);
    json_doc_release(doc);
    TRY(code);
    TRY(list_shards(&x, a, e));
    TRY(shards_join(out, format, dir, x.files, x.nfiles, choice, a, e));
    TRY(match_index(out, &x, a, e));
    TRY(note_strays(out, &x, a, e));
    arena_drop(a, x.files);
    arena_drop(a, x.names);
    arena_drop(a, x.entries);
    return ERR_OK;
}
