#include "base/file.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char PARTIAL[] = ".partial";
enum { READ_STEP = 65536, COMPARE_STEP = 1 << 18 };

/* ---- what could not be written ---- */

int file_is_room(int why)
{
    return why == ENOSPC || why == EDQUOT || why == EFBIG || why == EROFS;
}

/* The file system that holds path, which may not be there yet; 0: not known. */
static int room_at(const char *path, struct statvfs *fs)
{
    char folder[PATH_MAX];
    int length = (int)(path_last(path) - path);
    if (statvfs(path, fs) == 0)
        return 1;
    return length < (int)sizeof folder &&
           snprintf(folder, sizeof folder, "%.*s", length > 0 ? length : 1, length > 0 ? path : ".") > 0 &&
           statvfs(folder, fs) == 0;
}

/* Bytes free there to who is no root; -1: not known. */
static long long free_at(const char *path)
{
    struct statvfs fs;
    return room_at(path, &fs) ? (long long)fs.f_bavail * (long long)fs.f_frsize : -1;
}

/* Is it files that there can be no more of, whatever room for bytes there is? */
static int has_no_inodes(const char *path)
{
    struct statvfs fs;
    return room_at(path, &fs) && fs.f_files > 0 && fs.f_favail == 0; /* some count none */
}

/* What a file may come to here, where that is limited; -1: it is not. */
static long long most_of_a_file(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? (long long)limit.rlim_cur
                                                                                   : -1;
}

/* "; 4096 bytes more are needed, 20480 for the whole file, 0 are free", as far as is known. */
static void say_need(char *text, size_t size, int64_t more, int64_t whole, long long has, const char *is)
{
    int n = 0;
    text[0] = '\0';
    if (more > 0)
        n = snprintf(text, size, "; at least %lld bytes more are needed", (long long)more);
    if (whole > 0 && n < (int)size)
        n += snprintf(text + n, size - (size_t)n, "%s %lld for the whole file", more > 0 ? "," : "; it needs",
                      (long long)whole);
    if (has >= 0 && n < (int)size)
        snprintf(text + n, size - (size_t)n, "%s %lld%s %s", n > 0 ? "," : ";", has, n > 0 ? "" : " bytes",
                 is);
}

err_t file_cannot_at(struct err *e, const char *source, int line, const char *path, const char *done, int why,
                     int64_t more, int64_t whole)
{
    static const char again[] = ", and give the same command again: what is complete stays";
    char need[200];
    long long most = most_of_a_file();
    if (why == EFBIG && most >= 0)
        say_need(need, sizeof need, more, whole, most, "are allowed for one file (ulimit -f)");
    else
        say_need(need, sizeof need, more, whole, free_at(path), "are free on that file system");
    switch (why) {
    case ENOSPC:
        if (has_no_inodes(path))
            return err_set_at(
                e, ERR_SYSTEM, source, line,
                "%s: cannot be %s: that file system can hold no more files, however small (its inodes are used up: "
                "df -i); remove some there or write elsewhere%s",
                path, done, again);
        return err_set_at(e, ERR_SYSTEM, source, line,
                          "%s: cannot be %s: no space left on the device%s; make room there or write "
                          "elsewhere%s",
                          path, done, need, again);
    case EDQUOT:
        return err_set_at(
            e, ERR_SYSTEM, source, line,
            "%s: cannot be %s: the disk quota is used up%s, whoever's quota it is (see quota -s, "
            "lfs quota); make room there or write elsewhere%s",
            path, done, need, again);
    case EFBIG:
        return err_set_at(e, ERR_SYSTEM, source, line,
                          "%s: cannot be %s: the file would be larger than one may be%s; raise the limit or "
                          "write elsewhere%s",
                          path, done, need, again);
    case EROFS:
        return err_set_at(e, ERR_SYSTEM, source, line,
                          "%s: cannot be %s: the file system is read-only%s; have it mounted for writing or "
                          "write elsewhere%s",
                          path, done, need, again);
    default:
        return err_set_at(e, ERR_SYSTEM, source, line, "%s: cannot be %s: %s", path, done, strerror(why));
    }
}

/* How large a file is; 0: it is not there. */
static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

err_t file_read(struct arena *a, const char *path, int64_t max_bytes, char **text, int64_t *n, struct err *e)
{
    *text = NULL;
    *n = 0;
    TRY(INJECT("open", e));
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

err_t file_put(int fd, const char *path, const void *bytes, int64_t n, int64_t whole, struct err *e)
{
    TRY(INJECT("write", e));
    for (int64_t done = 0; done < n;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, (size_t)(n - done));
        if (wrote == 0 || (wrote < 0 && errno != EINTR))
            return file_cannot(e, path, "written", wrote == 0 ? ENOSPC : errno, n - done, whole);
        done += wrote > 0 ? wrote : 0;
    }
    return ERR_OK;
}

err_t file_create(const char *path, int *fd, struct err *e)
{
    *fd = -1;
    TRY(INJECT("create", e));
    if (unlink(path) == 0 || errno == ENOENT)
        *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return *fd >= 0 ? ERR_OK : file_cannot(e, path, "created", errno, 0, 0);
}

/* ---- partial names ---- */

void file_mark(char mark[FILE_MARK])
{
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = '\0';
    snprintf(mark, FILE_MARK, "%.30s-%lld", host[0] ? host : "host", (long long)getpid());
}

char *file_partial(struct arena *a, const char *path, const char *mark, struct err *e)
{
    char own[FILE_MARK];
    if (!mark)
        file_mark(own);
    return arena_printf(a, e, "%s%s.%s", path, PARTIAL, mark ? mark : own);
}

/* Is it a partial name of the file called name, or, where that is NULL, of any? Its end is a mark, or
 * nothing.
 */
static int is_partial(const char *entry, const char *name)
{
    const char *at = NULL;
    for (const char *next = entry; (next = strstr(next, PARTIAL)); next++)
        at = next;
    if (!at || (name && ((size_t)(at - entry) != strlen(name) || memcmp(entry, name, strlen(name)) != 0)))
        return 0;
    const char *mark = at + strlen(PARTIAL), *pid = strrchr(mark, '-');
    return !*mark || (*mark == '.' && pid && pid[1] && pid[1 + strspn(pid + 1, "0123456789")] == '\0');
}

/* Removes a file, a link, or a folder with the files in it. */
static void remove_entry(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0)
        return;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    for (const struct dirent *x; list && (x = readdir(list));)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            unlinkat(fd, x->d_name, 0);
    if (list)
        closedir(list);
    else if (fd >= 0)
        close(fd);
    unlinkat(folder, name, AT_REMOVEDIR);
}

/* How many partial names of path, or of any in the folder where name is NULL, are there; drop: removes them.
 */
static int each_partial(const char *folder, const char *name, int drop)
{
    DIR *list = opendir(folder);
    int n = 0;
    for (const struct dirent *x; list && (x = readdir(list));)
        if (is_partial(x->d_name, name)) {
            n++;
            if (drop)
                remove_entry(dirfd(list), x->d_name);
        }
    if (list)
        closedir(list);
    return n;
}

static int partials_of(const char *path, int drop)
{
    char folder[PATH_MAX];
    const char *name = path_last(path);
    int length = (int)(name - path);
    if (length >= (int)sizeof folder)
        return 0;
    snprintf(folder, sizeof folder, "%.*s", length > 0 ? length : 1, length > 0 ? path : ".");
    return each_partial(folder, name, drop);
}

int file_has_partial(const char *path)
{
    return partials_of(path, 0) > 0;
}

void file_sweep(const char *path)
{
    partials_of(path, 1);
}

void file_sweep_folder(const char *folder)
{
    each_partial(folder, NULL, 1);
}

err_t file_write(const char *path, const char *text, int64_t n, struct err *e)
{
    char partial[PATH_MAX], mark[FILE_MARK];
    file_mark(mark);
    int length = snprintf(partial, sizeof partial, "%s%s.%s", path, PARTIAL, mark), fd;
    if (length < 0 || length >= (int)sizeof partial)
        return err_set(e, ERR_SYSTEM, "%s: path too long", path);
    TRY(file_create(partial, &fd, e));
    err_t code = file_put(fd, partial, text, n, n, e);
    if (close(fd) != 0 && code == ERR_OK) /* network file systems report a full disk here */
        code = file_cannot(e, partial, "written", errno, 0, n);
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
    TRY(INJECT("flush", e));
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be opened to flush it: %s", path, strerror(errno));
    err_t code = ERR_OK;
    if (fsync(fd) != 0 && !((flags & O_DIRECTORY) && (errno == EINVAL || errno == EROFS || errno == ENOTSUP)))
        code = file_cannot(e, path, "flushed to the disk", errno, 0, flags & O_DIRECTORY ? 0 : size_of(path));
    close(fd);
    return code;
}

err_t file_commit(const char *partial, const char *path, struct err *e)
{
    TRY(flush(partial, 0, e));
    TRY(INJECT("rename", e));
    if (rename(partial, path) != 0)
        return file_cannot(e, path, "put in place of its partial file", errno, 0, 0);
    struct mem m;
    struct arena a = {0};
    mem_init(&m, 0);
    arena_init(&a, &m);
    char *dir = path_dir(&a, path, e);
    err_t code = dir ? flush(dir, O_DIRECTORY, e) : e->code;
    arena_release(&a);
    return code;
}

/* ---- opening, and what a file was like then ---- */

struct file_stamp file_stamp_from(const struct stat *st)
{
    return (struct file_stamp){(int64_t)st->st_size,
                               (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
}

int file_stamp_of(const char *path, struct file_stamp *stamp)
{
    struct stat st;
    *stamp = (struct file_stamp){0};
    if (stat(path, &st) != 0)
        return 0;
    *stamp = file_stamp_from(&st);
    return 1;
}

int file_stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns;
}

err_t file_open(const char *path, int *fd, struct file_stamp *stamp, struct err *e)
{
    struct stat st;
    *fd = -1;
    TRY(INJECT("open", e));
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR)) /* a link to what was not copied with it */
        return err_set_part(e, "%s: cannot be opened: %s", path, strerror(errno));
    if (*fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot be opened: %s", path, strerror(errno));
    err_t code = ERR_OK;
    if (fstat(*fd, &st) != 0)
        code = err_set(e, ERR_SYSTEM, "%s: cannot be examined: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = err_set(e, ERR_DATA, "%s: is no regular file", path);
    else
        *stamp = file_stamp_from(&st);
    if (code != ERR_OK) {
        close(*fd);
        *fd = -1;
    }
    return code;
}

err_t file_refuse_pointer(const char *path, const char *head, int64_t n, int64_t size_bytes, struct err *e)
{
    if (n >= 8 && (strncasecmp(head, "<!doctyp", 8) == 0 || strncasecmp(head, "<html", 5) == 0))
        return err_set(
            e, ERR_DATA,
            "%s: is a web page, saved in place of the file (found %lld bytes); fetch the file itself, "
            "as hf download ORG/NAME --local-dir FOLDER does",
            path, (long long)size_bytes);
    if (n < 8 || memcmp(head, "version ", 8) != 0)
        return ERR_OK;
    return err_set(e, ERR_DATA,
                   "%s: is a git-lfs pointer, not the file itself (found %lld bytes); run git lfs pull", path,
                   (long long)size_bytes);
}

/* ---- two files ---- */

err_t file_get(int fd, const char *path, void *to, int64_t at, int64_t n, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, (size_t)(n - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(e, ERR_SYSTEM, "%s: cannot be read at byte %lld: %s", path, (long long)(at + done),
                           got < 0 ? strerror(errno) : "it has become shorter");
        done += got;
    }
    return ERR_OK;
}

err_t file_compare(const char *path, const char *other, int *same, struct arena *a, struct err *e)
{
    const char *paths[2] = {path, other};
    struct file_stamp stamps[2] = {{0}, {0}};
    int fds[2] = {-1, -1};
    char *text;
    *same = 0;
    TRY(arena_array(a, "file text", 2 * (int64_t)COMPARE_STEP, &text, e));
    for (int i = 0; i < 2 && e->code == ERR_OK; i++)
        file_open(paths[i], &fds[i], &stamps[i], e);
    int64_t n = e->code == ERR_OK ? stamps[0].size_bytes : 0;
    *same = e->code == ERR_OK && stamps[1].size_bytes == n;
    for (int64_t at = 0; *same && at < n && e->code == ERR_OK; at += COMPARE_STEP) {
        int64_t step = n - at < COMPARE_STEP ? n - at : COMPARE_STEP;
        for (int i = 0; i < 2 && e->code == ERR_OK; i++)
            file_get(fds[i], paths[i], text + i * (int64_t)COMPARE_STEP, at, step, e);
        *same = e->code == ERR_OK && memcmp(text, text + COMPARE_STEP, (size_t)step) == 0;
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    arena_drop(a, text);
    return e->code;
}

/* ---- holes ---- */

enum { HOLE_BYTES = 8 << 20, BLOCK_BYTES = 512 /* what st_blocks counts, whatever the file system's are */ };

err_t file_holds_holes(const char *dir, int *holds, struct err *e)
{
    char path[PATH_MAX];
    struct stat st = {0};
    *holds = 0;
    int length = snprintf(path, sizeof path, "%s/.holes-XXXXXX", dir);
    if (length < 0 || length >= (int)sizeof path)
        return err_set(e, ERR_SYSTEM, "%s: the name is too long for a file in it", dir);
    int fd = mkstemp(path);
    if (fd < 0)
        return file_cannot(e, path, "created", errno, 0, 0);
    if (ftruncate(fd, HOLE_BYTES) != 0 || fsync(fd) != 0 || fstat(fd, &st) != 0)
        err_set(e, ERR_SYSTEM, "%s: cannot be made %d bytes long: %s", path, HOLE_BYTES, strerror(errno));
    *holds = (int64_t)st.st_blocks * BLOCK_BYTES < HOLE_BYTES / 2;
    close(fd);
    unlink(path);
    return e->code;
}
