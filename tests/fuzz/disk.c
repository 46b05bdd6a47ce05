#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_NODES = 32,
    MAX_PATH = 256,
    MAX_OPEN = 512,
    MAX_LISTED = 8,
    FIRST_FD = 1 << 20 /* no descriptor of the kernel's is as high */
};

/* A file or a folder; 0 is DISK itself, and its own folder. */
struct node {
    char path[MAX_PATH];
    size_t length;
    const char *name;
    int folder; /* the one it stands in */
    int is_folder;
    const unsigned char *data;
    size_t size;
};

struct opened {
    int used, node;
    size_t at;
};

/* What opendir gives: the folder, and the next node to look at; -2 and -1 are "." and "..". */
struct listed {
    int used, node, at;
    struct dirent entry;
};

/* The calls that are taken over have no argument to stand in for these. */
static struct {
    int nnodes, nopen;
    struct node nodes[MAX_NODES];
    struct opened opened[MAX_OPEN];
    struct listed listed[MAX_LISTED];
} disk = {.nnodes = 1, .nodes = {{.path = DISK, .length = sizeof DISK - 1, .name = "fuzz", .is_folder = 1}}};

/* The C library's own calls, and what the linker puts in their place. */
int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __real_pread(int fd, void *to, size_t n, off_t at);
int __real_stat(const char *path, struct stat *st);
int __real_lstat(const char *path, struct stat *st);
int __real_fstat(int fd, struct stat *st);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir(DIR *d);
int __real_closedir(DIR *d);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_lstat(const char *path, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir(DIR *d);
int __wrap_closedir(DIR *d);

/* ---- the table ---- */

static int is_ours(const char *path)
{
    size_t n = sizeof DISK - 1;
    return strncmp(path, DISK, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* -1: there is none. */
static int node_at(const char *path, size_t n)
{
    for (int i = 0; i < disk.nnodes; i++)
        if (disk.nodes[i].length == n && memcmp(disk.nodes[i].path, path, n) == 0)
            return i;
    return -1;
}

/* The node under a name in a folder; "" and "." are the folder, ".." the one above, which DISK is of itself.
 */
static int node_in(int folder, const char *name, size_t n)
{
    if (n == 0 || (n == 1 && name[0] == '.'))
        return folder;
    if (n == 2 && name[0] == '.' && name[1] == '.')
        return disk.nodes[folder].folder;
    for (int i = 1; i < disk.nnodes; i++)
        if (disk.nodes[i].folder == folder && strlen(disk.nodes[i].name) == n &&
            memcmp(disk.nodes[i].name, name, n) == 0)
            return i;
    return -1;
}

/* What a path below DISK leads to; -1 with errno where it leads nowhere. */
static int find(const char *path)
{
    int at = node_at(path, strlen(path));
    if (at >= 0)
        return at;
    at = 0;
    for (const char *name = path + sizeof DISK - 1; *name && at >= 0;) {
        name++;
        size_t n = strcspn(name, "/");
        if (!disk.nodes[at].is_folder) {
            errno = ENOTDIR;
            return -1;
        }
        at = node_in(at, name, n);
        name += n;
    }
    if (at < 0)
        errno = ENOENT;
    return at;
}

static int add(const char *path, size_t n, int folder, int is_folder)
{
    if (disk.nnodes == MAX_NODES || n >= MAX_PATH) {
        fprintf(stderr, "%s: no room for this path: raise MAX_NODES or MAX_PATH of disk.c\n", path);
        abort();
    }
    struct node *x = &disk.nodes[disk.nnodes];
    memcpy(x->path, path, n);
    x->length = n;
    x->name = strrchr(x->path, '/') + 1;
    x->folder = folder;
    x->is_folder = is_folder;
    return disk.nnodes++;
}

int disk_file(const char *path)
{
    int folder = 0;
    for (const char *end = strchr(path + sizeof DISK, '/'); end; end = strchr(end + 1, '/')) {
        int at = node_at(path, (size_t)(end - path));
        folder = at >= 0 ? at : add(path, (size_t)(end - path), folder, 1);
    }
    return add(path, strlen(path), folder, 0);
}

void disk_write(int file, const void *data, size_t size)
{
    disk.nodes[file].data = data;
    disk.nodes[file].size = size;
}

int disk_open_count(void)
{
    return disk.nopen;
}

/* ---- files ---- */

static struct opened *opened_at(int fd)
{
    return fd >= FIRST_FD && fd < FIRST_FD + MAX_OPEN && disk.opened[fd - FIRST_FD].used
               ? &disk.opened[fd - FIRST_FD]
               : NULL;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    if (!is_ours(path))
        return __real_open(path, flags, mode);
    int node = find(path), i = 0;
    if (node < 0)
        return -1;
    while (i < MAX_OPEN && disk.opened[i].used)
        i++;
    int problem = i == MAX_OPEN                                          ? EMFILE
                  : (flags & O_ACCMODE) != O_RDONLY                      ? EROFS
                  : flags & O_DIRECT                                     ? EINVAL
                  : (flags & O_DIRECTORY) && !disk.nodes[node].is_folder ? ENOTDIR
                                                                         : 0;
    if (problem) {
        errno = problem;
        return -1;
    }
    disk.opened[i] = (struct opened){.used = 1, .node = node};
    disk.nopen++;
    return FIRST_FD + i;
}

int __wrap_close(int fd)
{
    struct opened *x = opened_at(fd);
    if (!x)
        return __real_close(fd);
    x->used = 0;
    disk.nopen--;
    return 0;
}

static ssize_t read_at(const struct node *x, void *to, size_t n, size_t at)
{
    if (x->is_folder) {
        errno = EISDIR;
        return -1;
    }
    size_t rest = at < x->size ? x->size - at : 0;
    n = n < rest ? n : rest;
    if (n > 0)
        memcpy(to, x->data + at, n);
    return (ssize_t)n;
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    struct opened *x = opened_at(fd);
    if (!x)
        return __real_read(fd, to, n);
    ssize_t got = read_at(&disk.nodes[x->node], to, n, x->at);
    x->at += got > 0 ? (size_t)got : 0;
    return got;
}

ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at)
{
    struct opened *x = opened_at(fd);
    if (!x)
        return __real_pread(fd, to, n, at);
    if (at < 0) {
        errno = EINVAL;
        return -1;
    }
    return read_at(&disk.nodes[x->node], to, n, (size_t)at);
}

static int tell(int node, struct stat *st)
{
    const struct node *x = &disk.nodes[node];
    *st = (struct stat){.st_dev = 1,
                        .st_ino = (ino_t)node + 1,
                        .st_mode = x->is_folder ? S_IFDIR | 0755 : S_IFREG | 0644,
                        .st_nlink = 1,
                        .st_size = (off_t)x->size,
                        .st_mtim = {.tv_sec = 1}};
    return 0;
}

int __wrap_stat(const char *path, struct stat *st)
{
    if (!is_ours(path))
        return __real_stat(path, st);
    int node = find(path);
    return node < 0 ? -1 : tell(node, st);
}

int __wrap_lstat(const char *path, struct stat *st)
{
    return is_ours(path) ? __wrap_stat(path, st) : __real_lstat(path, st);
}

int __wrap_fstat(int fd, struct stat *st)
{
    const struct opened *x = opened_at(fd);
    return x ? tell(x->node, st) : __real_fstat(fd, st);
}

/* ---- folders ---- */

static struct listed *listed_at(DIR *d)
{
    for (int i = 0; i < MAX_LISTED; i++)
        if ((void *)d == (void *)&disk.listed[i])
            return &disk.listed[i];
    return NULL;
}

DIR *__wrap_opendir(const char *path)
{
    if (!is_ours(path))
        return __real_opendir(path);
    int node = find(path);
    if (node < 0)
        return NULL;
    for (int i = 0; i < MAX_LISTED && disk.nodes[node].is_folder; i++)
        if (!disk.listed[i].used) {
            disk.listed[i] = (struct listed){.used = 1, .node = node, .at = -2};
            disk.nopen++;
            return (DIR *)(void *)&disk.listed[i];
        }
    errno = disk.nodes[node].is_folder ? EMFILE : ENOTDIR;
    return NULL;
}

struct dirent *__wrap_readdir(DIR *d)
{
    struct listed *x = listed_at(d);
    if (!x)
        return __real_readdir(d);
    while (x->at > 0 && x->at < disk.nnodes && disk.nodes[x->at].folder != x->node)
        x->at++;
    if (x->at >= disk.nnodes)
        return NULL;
    int is_folder = x->at < 0 || disk.nodes[x->at].is_folder;
    snprintf(x->entry.d_name, sizeof x->entry.d_name, "%s",
             x->at == -2   ? "."
             : x->at == -1 ? ".."
                           : disk.nodes[x->at].name);
    x->entry.d_type = is_folder ? DT_DIR : DT_REG;
    x->at = x->at == -1 ? 1 : x->at + 1; /* 0, DISK, stands in no folder */
    return &x->entry;
}

int __wrap_closedir(DIR *d)
{
    struct listed *x = listed_at(d);
    if (!x)
        return __real_closedir(d);
    x->used = 0;
    disk.nopen--;
    return 0;
}
