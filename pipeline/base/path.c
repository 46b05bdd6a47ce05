#include "base/path.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *path_join(struct arena *a, const char *dir, const char *name, struct err *e)
{
    if (dir[0] == '\0' || strcmp(dir, ".") == 0)
        return arena_strdup(a, name, e);
    size_t n = strlen(dir);
    while (n > 0 && dir[n - 1] == '/')
        n--;
    while (*name == '/')
        name++;
    return arena_printf(a, e, "%.*s/%s", (int)n, dir, name);
}

/* The next piece of a path: its length, *path moved to its start; 0 at the end. "." pieces are passed over.
 */
static size_t piece(const char **path)
{
    for (;;) {
        *path += strspn(*path, "/");
        size_t n = strcspn(*path, "/");
        if (n != 1 || **path != '.')
            return n;
        *path += n;
    }
}

char *path_clean(struct arena *a, const char *path, struct err *e)
{
    char *clean;
    if (arena_array(a, "text", (int64_t)strlen(path) + 2, &clean, e) != ERR_OK)
        return NULL;
    size_t used = 0;
    if (path[0] == '/')
        clean[used++] = '/';
    int first = 1;
    for (size_t n = piece(&path); n > 0; path += n, n = piece(&path)) {
        if (!first)
            clean[used++] = '/';
        first = 0;
        memcpy(clean + used, path, n);
        used += n;
    }
    if (used == 0)
        clean[used++] = '.';
    clean[used] = '\0';
    return clean;
}

const char *path_last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_dir(struct arena *a, const char *path, struct err *e)
{
    const char *last = path_last(path);
    if (last == path)
        return arena_strdup(a, ".", e);
    size_t n = (size_t)(last - path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return arena_strndup(a, path, n, e);
}

char *path_relative(struct arena *a, const char *from_dir, const char *to, struct err *e)
{
    char *from = path_clean(a, from_dir, e), *target = path_clean(a, to, e);
    if (!from || !target)
        return NULL;
    if ((from[0] == '/') != (target[0] == '/')) {
        from = path_absolute(a, from, e);
        target = path_absolute(a, target, e);
        if (!from || !target)
            return NULL;
    }
    const char *f = from, *t = target;
    size_t nf = piece(&f), nt = piece(&t);
    while (nf > 0 && nf == nt && memcmp(f, t, nf) == 0) {
        f += nf;
        t += nt;
        nf = piece(&f);
        nt = piece(&t);
    }
    struct text way = {.arena = a};
    for (; nf > 0; f += nf, nf = piece(&f)) {
        if (nf == 2 && memcmp(f, "..", 2) == 0) /* where that leads, the text alone does not say */
            return path_absolute(a, target, e);
        if (text_add(&way, e, "%s..", way.used ? "/" : "") != ERR_OK)
            return NULL;
    }
    if (nt > 0 && text_add(&way, e, "%s%s", way.used ? "/" : "", t) != ERR_OK)
        return NULL;
    return way.text ? way.text : arena_strdup(a, ".", e);
}

const char *path_fault(const char *name)
{
    if (name[0] == '\0')
        return "is empty";
    if (name[0] == '/')
        return "is an absolute path";
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return "leaves the folder";
    }
    return NULL;
}

char *path_absolute(struct arena *a, const char *path, struct err *e)
{
    if (path[0] == '/')
        return path_clean(a, path, e);
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) {
        err_set(e, ERR_SYSTEM, "the current folder cannot be read: %s", strerror(errno));
        return NULL;
    }
    char *all = path_join(a, here, path, e);
    return all ? path_clean(a, all, e) : NULL;
}

err_t path_make_dir(const char *path, struct err *e)
{
    char part[PATH_MAX];
    int n = snprintf(part, sizeof part, "%s", path);
    if (n < 0 || n >= (int)sizeof part)
        return err_set(e, ERR_SYSTEM, "%s: path too long", path);
    for (int i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        /* other processes may create the same folder at the same time: only what stands there afterwards
         * counts */
        if (mkdir(part, 0777) != 0) {
            int reason = errno;
            struct stat st;
            if (stat(part, &st) != 0)
                return file_cannot(e, part, "created, a folder", reason, 0, 0);
            if (!S_ISDIR(st.st_mode))
                return err_set(e, ERR_SYSTEM,
                               "%s: folder cannot be created: a file of that name is in the way", part);
        }
        part[i] = kept;
    }
    return ERR_OK;
}
