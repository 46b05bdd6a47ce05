#include "formats/folders/shards.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SETS = 8, MAX_DIGITS = 6, COMPARE_BYTES = 1 << 20 };

/* ---- the same tensor in two shards ---- */

static err_t read_all(int fd, const char *path, char *to, int64_t n, int64_t at, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(fd, to + done, (size_t)(n - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, ERR_SYSTEM, "%s: cannot be read at byte %lld: %s", path, (long long)(at + done),
                           strerror(errno));
        if (got == 0)
            return err_set(e, ERR_DATA, "%s: ended while it was read, at byte %lld", path,
                           (long long)(at + done));
        done += got;
    }
    return ERR_OK;
}

/* Are the bytes of two tensors of the same type and shape the same? Both lie in one run. */
static err_t compare_bytes(const struct stored_list *list, const struct stored_tensor *x,
                           const struct stored_tensor *y, int *same, struct arena *a, struct err *e)
{
    const char *paths[2] = {list->files[x->file].path, list->files[y->file].path};
    const struct stored_tensor *of[2] = {x, y};
    int fds[2] = {-1, -1};
    struct file_stamp stamp;
    char *buffer;
    TRY(arena_array(a, "checkpoint.shards", 2 * (int64_t)COMPARE_BYTES, &buffer, e));
    err_t code = file_open(paths[0], &fds[0], &stamp, e);
    if (code == ERR_OK)
        code = file_open(paths[1], &fds[1], &stamp, e);
    *same = 1;
    for (int64_t at = 0; code == ERR_OK && *same && at < x->size_bytes; at += COMPARE_BYTES) {
        int64_t n = x->size_bytes - at < COMPARE_BYTES ? x->size_bytes - at : COMPARE_BYTES;
        for (int i = 0; i < 2 && code == ERR_OK; i++)
            code = read_all(fds[i], paths[i], buffer + i * (int64_t)COMPARE_BYTES, n,
                            of[i]->offset_bytes + at, e);
        *same = code != ERR_OK || memcmp(buffer, buffer + COMPARE_BYTES, (size_t)n) == 0;
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    arena_drop(a, buffer);
    return code;
}

static int same_kind(const struct stored_tensor *x, const struct stored_tensor *y)
{
    if (x->dtype != y->dtype || x->ndim != y->ndim || x->strides || y->strides || x->cut || y->cut ||
        x->file < 0 || y->file < 0 || x->size_bytes != y->size_bytes)
        return 0;
    return memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0;
}

/* Of each name one tensor; files: the shards' names, for messages. */
static err_t drop_repeated(struct stored_list *list, const char *dir, const char *const *files,
                           struct arena *a, struct err *e)
{
    int64_t kept = 0, dropped = 0, first = 0;
    for (int64_t i = 0; i < list->ntensors; i++) {
        const struct stored_tensor *t = &list->tensors[i], *last = kept > 0 ? &list->tensors[kept - 1] : NULL;
        int same = 0;
        if (!last || strcmp(last->name, t->name) != 0) {
            list->tensors[kept++] = *t;
            continue;
        }
        if (same_kind(last, t))
            TRY(compare_bytes(list, last, t, &same, a, e));
        if (!same)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: expected in one shard, found in two that differ in it: %s and %s",
                           dir, t->name, files[last->file], files[t->file]);
        first = dropped++ == 0 ? kept - 1 : first;
    }
    list->ntensors = kept;
    if (dropped > 0 &&
        !(list->note = arena_printf(a, e,
                                    "%lld tensors stand in two shards with the same bytes and are taken "
                                    "once (first %s)",
                                    (long long)dropped, list->tensors[first].name)))
        return e->code;
    return ERR_OK;
}

err_t shards_join(struct stored_list *out, const struct format *format, const char *dir,
                  const char *const *files, int64_t n, const struct choice *choice, struct arena *a,
                  struct err *e)
{
    struct stored_list *shards;
    TRY(arena_array(a, "checkpoint.shards", n, &shards, e));
    for (int64_t i = 0; i < n; i++) {
        char *path = path_join(a, dir, files[i], e);
        if (!path)
            return e->code;
        TRY(format->open(&shards[i], path, choice, a, e));
        if (shards[i].nfiles != 1)
            return err_set(e, ERR_BUG, "%s: a shard of %lld files", path, (long long)shards[i].nfiles);
    }
    TRY(stored_join(out, shards, n, a, e));
    arena_drop(a, shards);
    return drop_repeated(out, dir, files, a, e);
}

/* ---- sets by their names ---- */

/* STEM-K-of-N.ENDING: N with as many digits as it is written with. */
struct shard_number {
    int64_t k, n;
    int width, of_width; /* digits of k and of n */
};

static int64_t read_digits(const char **at, int *width)
{
    const char *from = *at;
    int64_t x = 0;
    while (isdigit((unsigned char)**at) && *at - from <= MAX_DIGITS)
        x = 10 * x + *(*at)++ - '0';
    *width = (int)(*at - from);
    return *width == 0 || *width > MAX_DIGITS ? -1 : x;
}

static int parse(const char *name, const char *stem, const char *ending, struct shard_number *s)
{
    size_t length = strlen(stem);
    if (strncmp(name, stem, length) != 0 || name[length] != '-')
        return 0;
    const char *at = name + length + 1;
    s->k = read_digits(&at, &s->width);
    if (s->k < 0 || strncmp(at, "-of-", 4) != 0)
        return 0;
    at += 4;
    s->n = read_digits(&at, &s->of_width);
    return s->n >= 2 && s->k >= 1 && s->k <= s->n && strcmp(at, ending) == 0;
}

static void print_name(char *name, int size, const char *stem, const char *ending,
                       const struct shard_number *s, int64_t k)
{
    snprintf(name, (size_t)size, "%s-%0*lld-of-%0*lld%s", stem, s->width, (long long)k, s->of_width,
             (long long)s->n, ending);
}

/* The sets of which the folder has a shard, at most MAX_SETS. */
static int find_sets(const char *dir, const char *stem, const char *ending, struct shard_number *sets)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && n < MAX_SETS; entry = readdir(d)) {
        struct shard_number s;
        int known = 0;
        if (!parse(entry->d_name, stem, ending, &s))
            continue;
        for (int i = 0; i < n; i++)
            known |= sets[i].n == s.n && sets[i].of_width == s.of_width && sets[i].width == s.width;
        if (!known)
            sets[n++] = s;
    }
    if (d)
        closedir(d);
    return n;
}

/* How many of a set are missing, and the first of them. */
static int64_t missing_of(const char *dir, const char *stem, const char *ending, const struct shard_number *s,
                          char *first, int size)
{
    int64_t missing = 0;
    char name[NAME_MAX + 1];
    for (int64_t k = 1; k <= s->n; k++) {
        print_name(name, sizeof name, stem, ending, s, k);
        if (!format_has_entry(dir, name) && missing++ == 0)
            snprintf(first, (size_t)size, "%s", name);
    }
    return missing;
}

int shards_find(const char *dir, const char *stem, const char *ending, char *name, int size, int64_t *n)
{
    struct shard_number sets[MAX_SETS];
    char first[NAME_MAX + 1];
    int whole = 0, nsets = find_sets(dir, stem, ending, sets);
    for (int i = 0; i < nsets; i++)
        if (missing_of(dir, stem, ending, &sets[i], first, sizeof first) == 0 && whole++ == 0) {
            print_name(name, size, stem, ending, &sets[i], 1);
            *n = sets[i].n;
        }
    return whole == 1;
}

void shards_lacking(const char *dir, const char *stem, const char *ending, char *text, int size)
{
    struct shard_number sets[MAX_SETS];
    char first[NAME_MAX + 1];
    int nsets = find_sets(dir, stem, ending, sets);
    text[0] = '\0';
    if (nsets > 1)
        snprintf(text, (size_t)size, "shards of %d sets lie there, of %lld files and of %lld", nsets,
                 (long long)sets[0].n, (long long)sets[1].n);
    int64_t missing = nsets == 1 ? missing_of(dir, stem, ending, &sets[0], first, sizeof first) : 0;
    if (missing > 0)
        snprintf(text, (size_t)size, "%lld of %lld shards %s missing, first %s", (long long)missing,
                 (long long)sets[0].n, missing == 1 ? "is" : "are", first);
}

static int name_order(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

int64_t shards_others(const char *dir, const char *stem, const char *ending, const char *const *files,
                      int64_t n, char *first)
{
    int64_t others = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        struct shard_number s;
        const char *name = entry->d_name;
        if (!parse(name, stem, ending, &s) || bsearch(name, files, (size_t)n, sizeof *files, name_order))
            continue;
        if (others++ == 0 || strcmp(name, first) < 0)
            snprintf(first, NAME_MAX + 1, "%s", name);
    }
    if (d)
        closedir(d);
    return others;
}

err_t shards_open_set(struct stored_list *out, const struct format *format, const char *path,
                      const struct choice *choice, struct arena *a, struct err *e)
{
    struct shard_number s;
    const char **files;
    char *dir = path_dir(a, path, e), name[NAME_MAX + 1];
    if (!dir)
        return e->code;
    if (!parse(path_last(path), format->stem, format->endings[0], &s))
        return err_set(e, ERR_BUG, "%s: no shard", path);
    TRY(arena_array(a, "checkpoint.shards", s.n, &files, e));
    for (int64_t k = 0; k < s.n; k++) {
        print_name(name, sizeof name, format->stem, format->endings[0], &s, k + 1);
        if (!(files[k] = arena_strdup(a, name, e)))
            return e->code;
    }
    TRY(shards_join(out, format, dir, files, s.n, choice, a, e));
    out->note = arena_printf(a, e, "all %lld shards %s to -of-%0*lld by their names, there is no %s%s%s",
                             (long long)s.n, files[0], s.of_width, (long long)s.n, format->index,
                             out->note ? "; " : "", out->note ? out->note : "");
    return out->note ? ERR_OK : e->code;
}
