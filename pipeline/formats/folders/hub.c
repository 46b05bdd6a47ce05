#include "formats/folders/hub.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/folders/unread.h"
#include "formats/format.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_REF_BYTES = 4096, MAX_SNAPSHOTS = 10000, MAX_SHOWN = 6 };

static int is_folder(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && n < (int)sizeof path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A revision is one name: nothing that leads elsewhere, nothing unfit for a message. */
static int is_name(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x21 || *p == 0x7f || *p == '/')
            return 0;
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= NAME_MAX;
}

/* What refs/main says, without the white space round it; NULL where it is not there. */
static err_t read_main(const char *path, const char **revision, struct arena *a, struct err *e)
{
    char *file = path_join(a, path, "refs/main", e), *text;
    struct stat st;
    int64_t n;
    *revision = NULL;
    if (!file)
        return e->code;
    if (stat(file, &st) != 0)
        return ERR_OK;
    if (!S_ISREG(st.st_mode)) /* a pipe would be waited for */
        return err_set(e, ERR_DATA, "%s: expected a file with the name of a snapshot", file);
    TRY(file_read(a, file, MAX_REF_BYTES, &text, &n, e));
    text += strspn(text, " \t\r\n");
    text[strcspn(text, " \t\r\n")] = '\0';
    if (!is_name(text))
        return err_set(e, ERR_DATA, "%s: expected the name of a snapshot, found %s", file,
                       text[0] ? "what is no name of a folder" : "nothing");
    *revision = text;
    return ERR_OK;
}

/* The folders in snapshots/, sorted. */
static err_t list_snapshots(const char *dir, const char ***out, int64_t *n, struct arena *a, struct err *e)
{
    int64_t cap = 0;
    DIR *d = opendir(dir);
    *out = NULL;
    *n = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && *n < MAX_SNAPSHOTS && e->code == ERR_OK;
         entry = readdir(d))
        if (is_name(entry->d_name) && is_folder(dir, entry->d_name) &&
            arena_grow(a, "checkpoint.listing", *n + 1, &cap, out, e) == ERR_OK &&
            ((*out)[*n] = arena_strdup(a, entry->d_name, e)))
            ++*n;
    if (d)
        closedir(d);
    if (*n > 1 && e->code == ERR_OK)
        qsort(*out, (size_t)*n, sizeof **out, text_order);
    return e->code;
}

/* The snapshot's name: of refs/main, else the only one. */
static err_t choose(const char *path, const char *dir, const char **revision, struct arena *a, struct err *e)
{
    const char **names;
    int64_t n;
    TRY(read_main(path, revision, a, e));
    if (*revision && is_folder(dir, *revision))
        return ERR_OK;
    TRY(list_snapshots(dir, &names, &n, a, e));
    char *list =
        n > 0 ? text_join(a, names, n < MAX_SHOWN ? (int)n : MAX_SHOWN, ", ", e) : arena_strdup(a, "none", e);
    if (!list)
        return e->code;
    if (*revision)
        return err_set(
            e, ERR_DATA,
            "%s: refs/main names snapshot %s, but snapshots holds %.600s%s: fetch it again, or name one as "
            "%s/SNAPSHOT",
            path, *revision, list, n > MAX_SHOWN ? ", ..." : "", dir);
    if (n != 1)
        return err_set(
            e, ERR_DATA,
            "%s: a folder of the hub's cache with %lld snapshots (%.600s%s) and no refs/main that says "
            "which: name one as %s/SNAPSHOT",
            path, (long long)n, list, n > MAX_SHOWN ? ", ..." : "", dir);
    *revision = names[0];
    return ERR_OK;
}

err_t hub_resolve(const char *path, const char **to, const char **note, struct arena *a, struct err *e)
{
    char name[PATH_MAX];
    const struct format *format;
    const char *revision;
    *to = path;
    *note = NULL;
    if (!is_folder(path, "snapshots") || (!is_folder(path, "blobs") && !is_folder(path, "refs")))
        return ERR_OK;
    char *dir = path_join(a, path, "snapshots", e);
    if (!dir)
        return e->code;
    TRY(choose(path, dir, &revision, a, e));
    char *snapshot = path_join(a, dir, revision, e);
    if (!snapshot || !(*note = arena_printf(a, e, "snapshot %s of the hub's cache", revision)))
        return e->code;
    if (format_look(snapshot, &format, name, sizeof name) == FORMAT_NONE && is_folder(path, "blobs")) {
        char *blobs = path_join(a, path, "blobs", e);
        TRY(blobs ? unread_refuse_folder(blobs, a, e) : e->code);
    }
    *to = snapshot;
    return ERR_OK;
}

/* ---- by name ---- */

/* Bytes of a part of a name: letters, digits, '.', '_' and '-', the first no sign. */
static size_t word_of(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && s[0] != '.' && s[0] != '-' && s[0] != '_' ? n : 0;
}

static const char *cache_folder(struct arena *a, struct err *e)
{
    const char *hub = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    if (hub && hub[0])
        return arena_strdup(a, hub, e);
    if (home && home[0])
        return arena_printf(a, e, "%s/hub", home);
    return arena_printf(a, e, "%s/.cache/huggingface/hub", user ? user : "");
}

/* The snapshot of a revision: a commit is a folder's name, a branch a file of refs. */
static err_t find_revision(const char *model, const char *revision, const char **to, struct arena *a,
                           struct err *e)
{
    struct stat st;
    char *text;
    int64_t n;
    char *ref = arena_printf(a, e, "%s/refs/%s", model, revision);
    char *dir = ref ? path_join(a, model, "snapshots", e) : NULL;
    if (!dir)
        return e->code;
    if (stat(ref, &st) == 0 && S_ISREG(st.st_mode)) {
        TRY(file_read(a, ref, MAX_REF_BYTES, &text, &n, e));
        text[strcspn(text, " \t\r\n")] = '\0';
        revision = text;
    }
    if (is_name(revision) && is_folder(dir, revision))
        *to = path_join(a, dir, revision, e);
    return e->code;
}

err_t hub_locate(const char *name, const char **to, const char **cache, struct arena *a, struct err *e)
{
    size_t org = word_of(name), model = org > 0 && name[org] == '/' ? word_of(name + org + 1) : 0;
    const char *rest = name + org + 1 + model;
    *to = *cache = NULL;
    if (model == 0 || (rest[0] != '\0' && (rest[0] != '@' || word_of(rest + 1) != strlen(rest + 1))))
        return ERR_OK;
    *cache = cache_folder(a, e);
    char *folder = *cache ? arena_printf(a, e, "%s/models--%.*s--%.*s", *cache, (int)org, name, (int)model,
                                         name + org + 1)
                          : NULL;
    if (!folder)
        return e->code;
    struct stat st;
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
        return ERR_OK;
    if (rest[0] == '@')
        return find_revision(folder, rest + 1, to, a, e);
    *to = folder;
    return ERR_OK;
}
