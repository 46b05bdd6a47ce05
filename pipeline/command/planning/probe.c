#include "command/planning/probe.h"

#include "base/file.h"
#include "base/path.h"
#include "command/planning/share.h"
#include "engine/scratch.h"
#include "hdf5/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { EACH = 1 << 18 }; /* numbers that a process writes, 2 MiB */

struct probe {
    const struct comm *c;
    const char *folder;
    struct arena *a;
};

static void say(const struct probe *p, const char *what, const char *found, const char *advice)
{
    if (p->c->me == 0)
        printf("%-34s %-14s %s\n", what, found, advice);
}

/* ---- what process 0 tries alone ---- */

static int opened(const struct probe *p, const char *name, struct err *e)
{
    char *path = arena_printf(p->a, e, "%s/%s", p->folder, name);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666) : -1;
    if (path && fd < 0)
        err_set(e, ERR_SYSTEM, "%s: cannot be made: %s", path, strerror(errno));
    return fd;
}

static void try_locks(const struct probe *p, struct err *e)
{
    int fd = opened(p, "locks", e);
    if (fd < 0)
        return;
    const char *why = flock(fd, LOCK_EX | LOCK_NB) == 0 ? NULL : strerror(errno);
    say(p, "locks of whole files (flock)", why ? "no" : "yes",
        why ? "lock files with signs of life do instead; for h5py and h5dump set HDF5_USE_FILE_LOCKING=FALSE"
            : "");
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    why = fcntl(fd, F_SETLK, &range) == 0 ? NULL : strerror(errno);
    say(p, "locks of ranges (fcntl)", why ? "no" : "yes",
        why ? "nothing is held that would need them, but by processes of several hosts on NFS: leave its locks on"
            : "");
    close(fd);
}

/* Files under names of their own, which come into being whole. */
static void try_names(const struct probe *p, struct err *e)
{
    char *from = arena_printf(p->a, e, "%s/from", p->folder), *to = arena_printf(p->a, e, "%s/to", p->folder);
    double started = clock_sec();
    char text[64];
    if (!from || !to || file_write(from, "sinew\n", 6, e) != ERR_OK) /* flushed and renamed */
        return;
    snprintf(text, sizeof text, "%.1f ms each", 1e3 * (clock_sec() - started));
    say(p, "flush, rename, flush of the folder", "yes", text);
    int linked = link(from, to) == 0;
    say(p, "a second name for a file (link)", linked ? "yes" : "no",
        linked ? "" : "only asked for where there are no locks; a file that must be new does instead");
}

/* ---- what all processes try together ---- */

/* Does every process see what process 0 has written, and its bytes? */
static err_t try_sight(const struct probe *p, struct err *e)
{
    char *path = arena_printf(p->a, e, "%s/from", p->folder), *text;
    int64_t n = 0;
    comm_agree(p->c, e); /* it is there now */
    if (path && e->code == ERR_OK && (file_read(p->a, path, 100, &text, &n, e) != ERR_OK || n != 6)) {
        char host[64] = "";
        gethostname(host, sizeof host - 1);
        err_clear(e);
        err_set(
            e, ERR_SYSTEM,
            "%s: host %s does not see it as process 0 has written it: the output folder must be one that all "
            "hosts share, without caching of attributes (NFS: actimeo=0 or noac)",
            path, host);
    }
    TRY_ALL(p->c, e);
    say(p, "every process sees new files", "yes", "");
    return ERR_OK;
}

static int64_t value_at(int64_t i)
{
    return (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u >> 1);
}

/* Each process writes its part into one HDF5 file, as stages do; then each reads the part of the next. */
static err_t try_writing(const struct probe *p, struct err *e)
{
    const struct comm *c = p->c;
    struct artifact out = {.comm = c};
    struct h5 *f = NULL;
    struct h5_bulk *d;
    int64_t *values, n = 0, next = (c->me + 1) % c->np;
    char *path = arena_printf(p->a, e, "%s/together.h5", p->folder);
    arena_array(p->a, "probe.values", EACH, &values, e);
    TRY_ALL(c, e);
    for (int64_t i = 0; i < EACH; i++)
        values[i] = value_at(c->me * (int64_t)EACH + i);
    artifact_begin(&out, c, path, p->a, e);
    if (comm_agree(c, e) == ERR_OK && artifact_bulk(&out, &f, e) == ERR_OK &&
        h5_bulk(f, "/values", H5_INT64, (int64_t)EACH * c->np, 0, "numbers", NULL, &d, e) == ERR_OK)
        h5_put(d, c->me * (int64_t)EACH, EACH, values, e);
    if (comm_agree(c, e) == ERR_OK)
        artifact_bulk_done(&out, e);
    if (c->me == 0 && e->code == ERR_OK && artifact_tables(&out, &f, e) == ERR_OK)
        h5_set_int(f, "/", "processes", c->np, e);
    err_t code = comm_agree(c, e);
    artifact_end(&out, code == ERR_OK, e);
    TRY_ALL(c, e);
    if (h5_open(path, 0, p->a, &f, e) == ERR_OK && h5_find(f, "/values", H5_INT64, &d, &n, e) == ERR_OK)
        h5_get(d, next * EACH, EACH, values, e);
    h5_close(f, e);
    for (int64_t i = 0; i < EACH && e->code == ERR_OK; i++)
        if (values[i] != value_at(next * EACH + i))
            err_set(
                e, ERR_SYSTEM,
                "%s: what process %lld wrote does not read back as it was: nothing that is written here by "
                "several processes can be believed; on NFS mount it with locks",
                path, (long long)next);
    TRY_ALL(c, e);
    char text[80];
    snprintf(text, sizeof text, "%d process%s%s", c->np, c->np > 1 ? "es" : "",
             c->np > 1 ? "" : "; under mpirun all processes of the job to come would try it");
    say(p, "one file by all, read back", "yes", text);
    return ERR_OK;
}

err_t probe_output(const struct runner *r, const char *in, double *free_bytes, struct err *e)
{
    struct probe p = {.c = r->comm, .a = r->arena};
    struct statvfs fs;
    *free_bytes = 0;
    if (p.c->me == 0 && path_make_dir(in, e) == ERR_OK)
        scratch_make(in, ".probe", &p.folder, p.a, e);
    TRY_ALL(p.c, e);
    TRY(share_text(p.c, &p.folder, p.a, e));
    if (p.c->me == 0) {
        printf("%s:\n", in);
        if (statvfs(p.folder, &fs) == 0)
            *free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
        try_locks(&p, e);
        if (e->code == ERR_OK)
            try_names(&p, e);
    }
    err_t code = comm_agree(p.c, e);
    if (code == ERR_OK && (code = try_sight(&p, e)) == ERR_OK)
        code = try_writing(&p, e);
    comm_rest(p.c);
    if (p.c->me == 0)
        scratch_remove();
    return code;
}
