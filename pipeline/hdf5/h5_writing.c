/* Files that are being written, as HDF5 has them: a driver of our own, for one process and for several.
 *
 * Of several processes each has HDF5 lay out the same file by itself: all make the same calls that create and
 * extend, in the same order, so that HDF5 gives all of them the same addresses. What is data goes into the
 * file, each process its own; HDF5's own structures go there from process 0 alone, and from the others into a
 * file in memory that only they see. So nothing but plain writes of disjoint ranges meets in the file: no
 * process waits for another one inside HDF5, and no lock or buffer of MPI-IO stands between.
 *
 * A write that fails is remembered here, with the system's reason, and HDF5 is told that all is well: it
 * cannot close a file of which it knows that something is missing, and would go down at the program's end. */
#include "hdf5/h5.h"

#include "hdf5/digest.h"
#include "hdf5/h5_internal.h"
#include "hdf5/seen.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 1 << 19,   /* hashed and then written, while it is in the cache */
    RESERVE_BYTES = 1 << 20, /* room is asked for in no smaller parts */
    PUSH_BYTES = 1 << 25,    /* and so much is handed to the disk at once */
    LOCK_BYTES = 1 << 16,    /* locks end at multiples of it, and so do pages */
    ALIGN_FROM = 1 << 18,    /* bytes of what HDF5 places at a multiple of a block of digests */
    MEMORY = 0x01021994, /* a file system as statfs calls it: tmpfs, which would fill the room with zeros */
    NFS = 0x6969         /* as statfs calls it */
};

struct writing {
    int fd;
    int aside;              /* where HDF5's own structures go; -1: into the file */
    int shared, locks;      /* locks: ranges are locked while they are written */
    int locked;             /* a lock was had once */
    struct seen_file *seen; /* NULL: nobody wants to know */
    const char *path;
    haddr_t end;  /* of what HDF5 has allocated */
    haddr_t size; /* of the file, as far as this process has made it */
    int reserves; /* this process reserves what HDF5 allocates */
    haddr_t reserved;
    int pushes; /* there is a disk behind it */
    size_t pushed;
    struct err error;
};

struct writing_access {
    struct writing *writing;
};

/* HDF5's open file. */
struct writing_file {
    H5FD_t hdf5; /* first: HDF5 knows it by this */
    struct writing *writing;
};

static struct writing *of(const H5FD_t *file)
{
    return ((const struct writing_file *)file)->writing;
}

static H5FD_t *writing_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    const struct writing_access *how = H5Pget_driver_info(access);
    (void)flags, (void)most;
    if (!how || strcmp(name, how->writing->path) != 0)
        return NULL;
    struct writing_file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->writing = how->writing;
    return &f->hdf5;
}

static herr_t writing_close(H5FD_t *file)
{
    free(file);
    return 0;
}

/* What several processes write is placed when it is created, and nothing is held back that could be written
 * over what another one has written. */
static herr_t writing_query(const H5FD_t *file, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    *flags |= file && of(file)->shared ? H5FD_FEAT_ALLOCATE_EARLY
                                       : H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE;
    return 0;
}

static haddr_t writing_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return of(file)->end;
}

/* Asks the system for the room that HDF5 has allocated, before anything is written there: a disk that cannot
 * hold it says so at once and not after hours, and blocks that are reserved are written in two thirds of the
 * time. Where a file system does not do that, nothing is lost. */
static void reserve(struct writing *w)
{
    const off_t from = (off_t)w->reserved, n = (off_t)w->end - from;
    if (n < RESERVE_BYTES || fallocate(w->fd, FALLOC_FL_KEEP_SIZE, from, n) == 0) {
        w->reserved = n < RESERVE_BYTES ? w->reserved : w->end;
        return;
    }
    int why = errno;
    w->reserves = 0;
    if (!file_is_room(why))
        return;
    fallocate(w->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, from, n); /* what was got is free again */
    file_cannot(&w->error, w->path, "written", why, n, (int64_t)w->end);
}

static herr_t writing_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    struct writing *w = of(file);
    (void)type;
    w->end = end;
    if (w->reserves && w->error.code == ERR_OK)
        reserve(w);
    return 0;
}

static haddr_t writing_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return of(file)->size;
}

static herr_t writing_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n, void *buf)
{
    const struct writing *w = of(file);
    const int fd = w->aside >= 0 && type != H5FD_MEM_DRAW ? w->aside : w->fd;
    char *p = buf;
    (void)transfer;
    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) { /* behind the end there are zeros */
            memset(p, 0, n);
            return 0;
        }
        p += got;
        at += (haddr_t)got;
        n -= (size_t)got;
    }
    return 0;
}

/* On a network file system hosts hold pages back and write them whole: a lock has them written, and read anew
 * by the next one. Where the file system has no locks there are none; a lock that fails otherwise, or later,
 * could cost another one's bytes, and ends the file. */
static void lock_range(struct writing *w, short type, haddr_t at, size_t n)
{
    const off_t from = (off_t)(at - at % LOCK_BYTES);
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = (off_t)(at + n) - from + LOCK_BYTES};
    while (w->locks && fcntl(w->fd, F_SETLKW, &range) != 0) {
        const int why = errno;
        if (why == EINTR)
            continue;
        if (w->locked || (why != ENOLCK && why != ENOSYS && why != EOPNOTSUPP && why != EINVAL))
            file_cannot(&w->error, w->path, "locked for writing", why, 0, (int64_t)w->end);
        w->locks = 0;
    }
    w->locked |= w->locks;
}

/* Bytes of a write that go at once: up to a multiple of a piece. */
static size_t piece(haddr_t at, size_t n)
{
    const size_t most = PIECE_BYTES - (size_t)(at % PIECE_BYTES);
    return n < most ? n : most;
}

/* The disk works on what has been written while more is computed, so that little is waited for in the end. */
static void push(struct writing *w, size_t n)
{
    w->pushed += n;
    if (!w->pushes || w->pushed < PUSH_BYTES)
        return;
    w->pushed = 0;
#ifdef SYNC_FILE_RANGE_WRITE
    sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* what fails is told by the flush at the end */
#endif
}

static void write_file(struct writing *w, haddr_t at, size_t n, const char *p)
{
    for (size_t ready = 0; n > 0;) {
        if (ready == 0) {
            ready = piece(at, n);
            if (w->seen)
                seen_write(w->seen, (int64_t)at, (int64_t)ready, p);
        }
        ssize_t wrote = pwrite(w->fd, p, ready, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            haddr_t whole = at + n > w->end ? at + n : w->end;
            file_cannot(&w->error, w->path, "written", wrote < 0 ? errno : ENOSPC, (int64_t)n,
                        (int64_t)whole);
            return;
        }
        p += wrote;
        at += (haddr_t)wrote;
        n -= (size_t)wrote;
        ready -= (size_t)wrote;
        w->size = at > w->size ? at : w->size;
    }
}

static herr_t writing_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                            const void *buf)
{
    struct writing *w = of(file);
    (void)transfer;
    if (w->error.code != ERR_OK)
        return 0;
    if (w->aside >= 0 && type != H5FD_MEM_DRAW) {
        ssize_t wrote = pwrite(w->aside, buf, n, (off_t)at);
        if (wrote != (ssize_t)n)
            err_set(&w->error, ERR_SYSTEM, "%s: no memory for the file's structures: %s", w->path,
                    strerror(wrote < 0 ? errno : ENOMEM));
        return 0;
    }
    if (w->locks)
        lock_range(w, F_WRLCK, at, n);
    if (w->error.code != ERR_OK)
        return 0;
    write_file(w, at, n, buf);
    if (w->locks)
        lock_range(w, F_UNLCK, at, n);
    push(w, n);
    return 0;
}

/* The file becomes as long as HDF5 says that it is. What others have written lies within that. */
static herr_t writing_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    struct writing *w = of(file);
    struct stat st;
    (void)transfer, (void)closing;
    if (w->aside >= 0 || w->error.code != ERR_OK)
        return 0;
    if (fstat(w->fd, &st) != 0 || ((haddr_t)st.st_size != w->end && ftruncate(w->fd, (off_t)w->end) != 0))
        file_cannot(&w->error, w->path, "made as long as it is to be", errno, 0, (int64_t)w->end);
    w->size = w->end;
    return 0;
}

static const H5FD_class_t writing_class = {
    .name = "sinew_writing",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(struct writing_access),
    .open = writing_open,
    .close = writing_close,
    .query = writing_query,
    .get_eoa = writing_get_eoa,
    .set_eoa = writing_set_eoa,
    .get_eof = writing_get_eof,
    .read = writing_read,
    .write = writing_write,
    .truncate = writing_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* HDF5's handle; below 0 on failure. */
static hid_t open_by(struct writing *w, int create)
{
    const struct writing_access how = {w};
    hid_t driver = H5FDregister(&writing_class), access = H5Pcreate(H5P_FILE_ACCESS), id = -1;
    H5Pset_alignment(access, ALIGN_FROM, DIGEST_BLOCK);
    if (driver >= 0 && H5Pset_driver(access, driver, &how) >= 0)
        id = create ? H5Fcreate(w->path, H5F_ACC_TRUNC, H5P_DEFAULT, access)
                    : H5Fopen(w->path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    if (driver >= 0)
        H5FDunregister(driver);
    return id;
}

/* Takes the descriptor, which is closed where that fails. c: the processes that write, NULL: this one alone.
 */
static err_t begin(int fd, const char *path, const struct comm *c, int create, struct seen_file *seen,
                   struct arena *a, struct h5 **f, struct err *e)
{
    struct writing *w = NULL;
    struct statfs fs;
    struct stat st;
    char *name = arena_strdup(a, path, e);
    if (name && arena_array(a, "h5.writing", 1, &w, e) == ERR_OK) {
        *w = (struct writing){.fd = fd, .aside = -1, .shared = c && c->np > 1, .seen = seen, .path = name};
        err_clear(&w->error);
        int known = fstatfs(fd, &fs) == 0;
        w->locks = w->shared && known && fs.f_type == NFS;
        w->pushes = known && fs.f_type != MEMORY;
        w->reserves = create && (!c || c->me == 0) && w->pushes;
        w->size = !create && fstat(fd, &st) == 0 ? (haddr_t)st.st_size : 0;
        if (c && c->me > 0 && (w->aside = memfd_create("structures", MFD_CLOEXEC)) < 0)
            err_set(e, ERR_SYSTEM, "%s: no memory for the file's structures: %s", path, strerror(errno));
    }
    hid_t id = e->code == ERR_OK ? open_by(w, create) : -1;
    if (id < 0 && e->code == ERR_OK)
        h5_fail_path(e, create ? ERR_SYSTEM : ERR_DATA, path,
                     create ? "create the file" : "open the file, it is damaged or no HDF5 file", "");
    if (id >= 0 && h5_wrap(id, path, c, a, f, e) == ERR_OK) {
        (*f)->writing = w;
        return ERR_OK;
    }
    if (w && w->aside >= 0)
        close(w->aside);
    close(fd);
    return e->code;
}

err_t h5_create_seen(const char *path, struct seen_file *seen, struct arena *a, struct h5 **f, struct err *e)
{
    *f = NULL;
    TRY(INJECT("create", e));
    unlink(path); /* a link that lies there is not followed */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return file_cannot(e, path, "created", errno, 0, 0);
    return begin(fd, path, NULL, 1, seen, a, f, e);
}

err_t h5_create(const char *path, struct arena *a, struct h5 **f, struct err *e)
{
    return h5_create_seen(path, NULL, a, f, e);
}

err_t h5_open_seen(const char *path, struct seen_file *seen, struct arena *a, struct h5 **f, struct err *e)
{
    *f = NULL;
    TRY(INJECT("open", e));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s: cannot open the file: %s", path, strerror(errno));
    return begin(fd, path, NULL, 0, seen, a, f, e);
}

err_t h5_create_parallel(const struct comm *c, const char *path, struct seen_file *seen, struct arena *a,
                         struct h5 **f, struct err *e)
{
    const int how = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    int fd = -1;
    *f = NULL;
    if (c->me == 0 && (fd = open(path, how | O_CREAT | O_EXCL, 0666)) < 0)
        file_cannot(e, path, "created", errno, 0, 0);
    if (comm_agree(c, e) != ERR_OK) { /* else it is there for the others */
        if (fd >= 0)
            close(fd);
        return e->code;
    }
    if (c->me > 0 && (fd = open(path, how)) < 0)
        err_set(e, ERR_SYSTEM, "%s: cannot open the file: %s", path, strerror(errno));
    if (fd >= 0)
        begin(fd, path, c, 1, seen, a, f, e);
    if (comm_agree(c, e) != ERR_OK && *f) {
        h5_drop(*f);
        *f = NULL;
    }
    return e->code;
}

err_t h5_written(const struct h5 *f, struct err *e)
{
    const struct err *failed = f->writing ? &f->writing->error : NULL;
    if (failed && failed->code != ERR_OK && e->code == ERR_OK)
        *e = *failed;
    return e->code;
}

err_t h5_written_end(struct h5 *f, struct err *e)
{
    struct writing *w = f->writing;
    if (!w)
        return e->code;
    h5_written(f, e);
    if (w->aside >= 0)
        close(w->aside);
    if (close(w->fd) != 0) /* network file systems report a full disk here */
        file_cannot(e, w->path, "closed", errno, 0, (int64_t)w->end);
    w->fd = w->aside = -1;
    return e->code;
}

int64_t h5_written_bytes(const struct h5 *f)
{
    return (int64_t)f->writing->end;
}
