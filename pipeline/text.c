#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NEAREST_LETTERS = 128, /* longer words get no suggestion */
    READ_STEP = 65536
};

err_t text_add(struct text *t, struct err *e, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int64_t room = t->text ? t->cap - t->used : 0;
    int n = vsnprintf(room > 0 ? t->text + t->used : NULL, room > 0 ? (size_t)room : 0, fmt, ap);
    va_end(ap);
    err_t code = ERR_OK;
    if (n < 0) {
        code = err_set(e, ERR_BUG, "text cannot be formatted: \"%s\"", fmt);
    } else if (n >= room) {
        code = arena_grow(t->arena, "text", t->used + n + 1, &t->cap, &t->text, e);
        if (code == ERR_OK)
            vsnprintf(t->text + t->used, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (code == ERR_OK)
        t->used += n;
    else if (room > 0)
        t->text[t->used] = '\0'; /* what was written of it is no part of the text */
    return code;
}

err_t text_put(struct text *t, struct err *e, const char *s, int64_t n)
{
    TRY(arena_grow(t->arena, "text", t->used + n + 1, &t->cap, &t->text, e));
    memcpy(t->text + t->used, s, (size_t)n);
    t->used += n;
    t->text[t->used] = '\0';
    return ERR_OK;
}

err_t text_put_int(struct text *t, struct err *e, int64_t value)
{
    char digits[20]; /* from the last on */
    int at = (int)sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    return text_put(t, e, digits + at, (int)sizeof digits - at);
}

int text_utf8(const char *s, int64_t n)
{
    if (n <= 0)
        return 0;
    unsigned lead = (unsigned char)s[0];
    if (lead < 0x80)
        return 1;
    int width = lead >= 0xC2 && lead <= 0xDF   ? 2
                : (lead & 0xF0) == 0xE0        ? 3
                : lead >= 0xF0 && lead <= 0xF4 ? 4
                                               : 0;
    if (width == 0 || width > n)
        return 0;
    for (int i = 1; i < width; i++)
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 0;
    /* longer than needed, UTF-16 surrogates, above U+10FFFF */
    unsigned second = (unsigned char)s[1];
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
        return 0;
    return width;
}

/* The code point of a valid character of 2 or 3 bytes if it is a control, a line break, a byte order mark or
 * a noncharacter: YAML refuses those or folds them away, so they are written as escapes. 0 for all others. */
static unsigned unprintable(const char *s, int width)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned point = width == 2   ? (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu)
                     : width == 3 ? (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu)
                                  : 0;
    int odd = point < 0xA0 || point == 0x2028 || point == 0x2029 || point == 0xFEFF || point >= 0xFFFE;
    return odd ? point : 0;
}

err_t text_add_json(struct text *t, struct err *e, const char *s)
{
    TRY(text_put(t, e, "\"", 1));
    int64_t left = (int64_t)strlen(s);
    while (left > 0) {
        int64_t plain = 0; /* what most texts are all of */
        while (s[plain] >= 0x20 && s[plain] < 0x7F && s[plain] != '"' && s[plain] != '\\')
            plain++;
        TRY(text_put(t, e, s, plain));
        s += plain;
        left -= plain;
        if (left == 0)
            break;
        unsigned char c = (unsigned char)*s;
        int width = text_utf8(s, left);
        if (width == 0)
            TRY(text_add(t, e, "\\ufffd"));
        else if (c == '"' || c == '\\')
            TRY(text_add(t, e, "\\%c", c));
        else if (c == '\n')
            TRY(text_add(t, e, "\\n"));
        else if (c == '\t')
            TRY(text_add(t, e, "\\t"));
        else if (c == '\r')
            TRY(text_add(t, e, "\\r"));
        else if (c < 0x20 || c == 0x7F)
            TRY(text_add(t, e, "\\u%04x", c));
        else if (width > 1 && unprintable(s, width))
            TRY(text_add(t, e, "\\u%04x", unprintable(s, width)));
        else
            TRY(text_put(t, e, s, width));
        s += width ? width : 1;
        left -= width ? width : 1;
    }
    return text_put(t, e, "\"", 1);
}

/* Optimal string alignment: insert, delete, change and swap of neighbours cost one; case costs nothing. */
static int distance(const char *a, const char *b)
{
    int na = (int)strlen(a), nb = (int)strlen(b);
    int rows[3][NEAREST_LETTERS + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= nb; j++)
        above[j] = before[j] = j;
    for (int i = 1; i <= na; i++) {
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int best = above[j - 1] + (ca != cb);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        int *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[nb];
}

const char *text_nearest(const char *word, const char *const *words, int n)
{
    size_t length = strlen(word);
    if (length > NEAREST_LETTERS)
        return NULL;
    int limit = (int)length / 3;
    if (limit < 2)
        limit = length < 2 ? 0 : length < 4 ? 1 : 2; /* most of the word must be left */
    const char *nearest = NULL;
    for (int i = 0; i < n; i++) {
        if (strlen(words[i]) > NEAREST_LETTERS)
            continue;
        int d = distance(word, words[i]);
        if (d <= limit) {
            nearest = words[i];
            limit = d - 1; /* the first of equals stays */
        }
    }
    return nearest;
}

char *text_join(struct arena *a, const char *const *words, int n, const char *sep, struct err *e)
{
    size_t bytes = 0, nsep = strlen(sep);
    for (int i = 0; i < n; i++)
        bytes += strlen(words[i]) + nsep;
    char *all;
    if (arena_array(a, "text", (int64_t)bytes + 1, &all, e) != ERR_OK)
        return NULL;
    char *at = all;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        if (i > 0) {
            memcpy(at, sep, nsep);
            at += nsep;
        }
        memcpy(at, words[i], length);
        at += length;
    }
    return all;
}

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
                return err_set(e, ERR_SYSTEM, "%s: folder cannot be created: %s", part, strerror(reason));
            if (!S_ISDIR(st.st_mode))
                return err_set(e, ERR_SYSTEM,
                               "%s: folder cannot be created: a file of that name is in the way", part);
        }
        part[i] = kept;
    }
    return ERR_OK;
}

err_t file_read(struct arena *a, const char *path, int64_t max_bytes, char **text, int64_t *n, struct err *e)
{
    *text = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be opened: %s", path, strerror(errno));
    err_t code = ERR_OK;
    char *all = NULL;
    int64_t used = 0, cap = 0;
    struct stat st;
    int64_t expected = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
    for (;;) {
        if (used > max_bytes || expected > max_bytes) {
            code = err_set(e, ERR_DATA, "%s: more than the %lld bytes expected at most", path,
                           (long long)max_bytes);
            break;
        }
        /* a byte more than expected, to see the end without growing */
        int64_t room = expected >= used ? expected + 1 : used + READ_STEP;
        if (!all)
            cap = room + 1;
        code = all ? arena_grow(a, "file text", room + 1, &cap, &all, e)
                   : arena_array(a, "file text", cap, &all, e);
        if (code != ERR_OK)
            break;
        ssize_t got = read(fd, all + used, (size_t)(cap - used - 1));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            code = err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
            break;
        }
        if (got == 0)
            break;
        used += got;
    }
    close(fd);
    if (code != ERR_OK) {
        arena_drop(a, all);
        return code;
    }
    all[used] = '\0';
    *text = all;
    *n = used;
    return ERR_OK;
}

static err_t write_all(int fd, const char *path, const char *text, int64_t n, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t wrote = write(fd, text + done, (size_t)(n - done));
        if (wrote < 0 && errno != EINTR)
            return err_set(e, ERR_SYSTEM, "%s: cannot be written: %s", path, strerror(errno));
        done += wrote > 0 ? wrote : 0;
    }
    return ERR_OK;
}

err_t file_write(const char *path, const char *text, int64_t n, struct err *e)
{
    char partial[PATH_MAX];
    int length = snprintf(partial, sizeof partial, "%s.partial", path);
    if (length < 0 || length >= (int)sizeof partial)
        return err_set(e, ERR_SYSTEM, "%s: path too long", path);
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be created: %s", partial, strerror(errno));
    err_t code = write_all(fd, partial, text, n, e);
    if (close(fd) != 0 && code == ERR_OK) /* network file systems report a full disk here */
        code = err_set(e, ERR_SYSTEM, "%s: cannot be written: %s", partial, strerror(errno));
    if (code == ERR_OK)
        code = file_commit(partial, path, e);
    if (code != ERR_OK)
        unlink(partial);
    return code;
}

/* Flushes what stands under a name. Some file systems cannot flush a folder (EINVAL): that is not an error.
 */
static err_t flush(const char *path, int flags, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be opened to flush it: %s", path, strerror(errno));
    err_t code = ERR_OK;
    if (fsync(fd) != 0 && !((flags & O_DIRECTORY) && (errno == EINVAL || errno == EROFS || errno == ENOTSUP)))
        code = err_set(e, ERR_SYSTEM, "%s: cannot be flushed to the disk: %s", path, strerror(errno));
    close(fd);
    return code;
}

err_t file_commit(const char *partial, const char *path, struct err *e)
{
    TRY(flush(partial, 0, e));
    if (rename(partial, path) != 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be renamed to %s: %s", partial, path, strerror(errno));
    struct mem m;
    struct arena a = {0};
    mem_init(&m, 0);
    arena_init(&a, &m);
    char *dir = path_dir(&a, path, e);
    err_t code = dir ? flush(dir, O_DIRECTORY, e) : e->code;
    arena_release(&a);
    return code;
}
