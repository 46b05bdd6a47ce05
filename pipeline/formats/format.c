#include "formats/format.h"

#include "base/path.h"
#include "base/text.h"
#include "formats/folders/shards.h"
#include "formats/folders/unread.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LISTED = 8 }; /* names from a folder shown in a message */

/* ---- recognising ---- */

/* The format that has this name of a file to itself. */
static const struct format *by_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    for (const struct format *const *f = format_table; *f; f++)
        for (const char *const *own = (*f)->names; own && *own; own++)
            if (strcmp(slash ? slash + 1 : name, *own) == 0)
                return *f;
    return NULL;
}

const struct format *format_of(const char *name)
{
    const struct format *own = by_name(name);
    if (own)
        return own;
    for (const struct format *const *f = format_table; *f; f++)
        for (int k = 0; k < FORMAT_ENDINGS && (*f)->endings[k]; k++)
            if (text_ends_with(name, (*f)->endings[k]))
                return *f;
    return NULL;
}

static const struct format *by_stem(const char *name)
{
    for (const struct format *const *f = format_table; *f; f++)
        if ((*f)->stem && strncmp(name, (*f)->stem, strlen((*f)->stem)) == 0)
            return *f;
    return NULL;
}

const struct format *format_claiming(const char *name)
{
    const struct format *f = format_of(name);
    return f ? f : by_stem(name);
}

const struct format *format_named(const char *name)
{
    for (const struct format *const *f = format_table; *f; f++)
        if (strcmp((*f)->name, name) == 0)
            return *f;
    return NULL;
}

int format_has_entry(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && n < (int)sizeof path && lstat(path, &st) == 0;
}

/* Is the file there? Then it is the name. */
static int offers(const char *dir, const char *file, char *name, int size)
{
    if (!file || !format_has_entry(dir, file))
        return 0;
    snprintf(name, (size_t)size, "%s", file);
    return 1;
}

/* What the folder offers of one format. */
static enum format_source look(const struct format *f, const char *dir, char *name, int size)
{
    if (offers(dir, f->model, name, size))
        return FORMAT_FILE;
    if (offers(dir, f->index, name, size))
        return FORMAT_INDEX;
    return f->find && f->find(dir, name, size) ? FORMAT_FILE : FORMAT_NONE;
}

enum format_source format_look(const char *dir, const struct format **format, char *name, int size)
{
    for (const struct format *const *f = format_table; *f; f++) {
        enum format_source source = look(*f, dir, name, size);
        *format = *f;
        if (source != FORMAT_NONE)
            return source;
    }
    *format = format_table[0];
    return FORMAT_NONE;
}

enum format_source format_look_masters(const char *dir, const struct format **format, char *name, int size)
{
    for (const struct format *const *f = format_table; *f; f++) {
        enum format_source source = (*f)->masters ? look(*f, dir, name, size) : FORMAT_NONE;
        *format = *f;
        if (source != FORMAT_NONE)
            return source;
    }
    return FORMAT_NONE;
}

/* Of a folder. A model's file may lie beside a trainer's: which is taken is a choice then. */
static int ignored_in(const char *dir)
{
    const struct format *format, *other;
    char name[PATH_MAX];
    if (format_look(dir, &format, name, sizeof name) == FORMAT_NONE)
        return -1;
    int beside = format_look_masters(dir, &other, name, sizeof name) != FORMAT_NONE;
    return beside ? format->ignores & ~CHOICE_OF_WEIGHTS : format->ignores;
}

int format_ignored(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return ignored_in(path);
    const struct format *format = format_of(path);
    if (!format)
        return -1;
    int adapter =
        strncmp(path_last(path), "adapter_model.", strlen("adapter_model.")) == 0; /* its file alone */
    return adapter ? format->ignores & ~CHOICE_OF_BASE : format->ignores;
}

/* ---- refusing ---- */

enum { MAX_WORDS = 64 }; /* of all rows together */

/* The words as a list with `last` before its last: "a, b and c". */
static char *listed(const char *const *words, int n, const char *last, struct arena *a, struct err *e)
{
    if (n < 2)
        return arena_strdup(a, n > 0 ? words[0] : "", e);
    char *most = text_join(a, words, n - 1, ", ", e);
    return most ? arena_printf(a, e, "%s %s %s", most, last, words[n - 1]) : NULL;
}

char *format_wanted(struct arena *a, struct err *e)
{
    const char *words[MAX_WORDS];
    int n = 0;
    for (const struct format *const *f = format_table; *f; f++) {
        const char *of[] = {(*f)->model, (*f)->index, (*f)->finds};
        for (int k = 0; k < 3 && n < MAX_WORDS; k++)
            if (of[k])
                words[n++] = of[k];
    }
    return listed(words, n, "and", a, e);
}

/* The names in a folder, sorted, into *out. *nmodels: how many look like a part of a model. */
static err_t list_folder(const char *dir, const char ***out, int64_t *n, int64_t *nmodels, struct arena *a,
                         struct err *e)
{
    DIR *d = opendir(dir);
    int64_t cap = 0;
    const char **names = NULL;
    *n = *nmodels = 0;
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", dir, strerror(errno));
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (entry->d_name[0] == '.')
            continue;
        if (arena_grow(a, "checkpoint.listing", *n + 1, &cap, &names, e) == ERR_OK &&
            (names[*n] = arena_strdup(a, entry->d_name, e))) {
            *nmodels += format_of(names[*n]) && by_stem(names[*n]);
            ++*n;
        }
    }
    closedir(d);
    if (*n > 0 && e->code == ERR_OK)
        qsort(names, (size_t)*n, sizeof *names, text_order);
    *out = names;
    return e->code;
}

/* Of the first set of shards in a folder that is not whole: what is missing of it; "" where none is. */
static void lacking(const char *dir, char *text, int size)
{
    text[0] = '\0';
    for (const struct format *const *f = format_table; *f && !text[0]; f++)
        if ((*f)->stem && (*f)->endings[0])
            shards_lacking(dir, (*f)->stem, (*f)->endings[0], text, size);
}

int format_has_parts(const char *dir)
{
    DIR *d = opendir(dir);
    int any = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && !any; entry = readdir(d))
        any = entry->d_name[0] != '.' && format_of(entry->d_name) && by_stem(entry->d_name);
    if (d)
        closedir(d);
    return any;
}

err_t format_refuse_folder(const char *dir, struct arena *a, struct err *e)
{
    const char **names = NULL;
    char missing[400];
    int64_t n, nmodels;
    TRY(unread_refuse_folder(dir, a, e));
    TRY(list_folder(dir, &names, &n, &nmodels, a, e));
    if (nmodels == 0)
        TRY(unread_refuse_beside(dir, a, e));
    char *list = n > 0 ? text_join(a, names, n < MAX_LISTED ? (int)n : MAX_LISTED, ", ", e)
                       : arena_strdup(a, "nothing", e);
    char *wanted = list ? format_wanted(a, e) : NULL;
    if (!wanted)
        return e->code;
    for (char *p = list; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    lacking(dir, missing, sizeof missing);
    if (nmodels > 0)
        err_mark_part(e);
    return err_set(e, ERR_DATA, "%s: no model found: looked for %s; found %.600s%s%s%s%s", dir, wanted, list,
                   n > MAX_LISTED ? ", ..." : "",
                   nmodels > 0 ? "; the index of these shards is missing, copy it too" : "",
                   nmodels > 0 && missing[0] ? "; " : "", nmodels > 0 ? missing : "");
}

err_t format_refuse_file(const char *path, struct arena *a, struct err *e)
{
    const char *words[MAX_WORDS];
    int n = 0;
    TRY(unread_refuse_file(path, a, e));
    for (const struct format *const *f = format_table; *f; f++)
        for (int k = 0; k < FORMAT_ENDINGS && (*f)->endings[k] && n < MAX_WORDS; k++)
            words[n++] = (*f)->endings[k];
    char *endings = listed(words, n, "or", a, e);
    if (!endings)
        return e->code;
    return err_set(e, ERR_DATA, "%s: expected a %s file or a folder%s", path, endings,
                   text_ends_with(path, ".json") ? ", found an index: name its folder instead"
                   : text_ends_with(path, ".distcp") || text_ends_with(path, ".metadata")
                       ? ", found a part of a distributed checkpoint: name its folder instead"
                       : "");
}
