#include "engine/lock.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Process 0. Opens and locks the file. The holder removes it at the end, so a lock that was got on a file no
 * longer there counts for nothing. */
static err_t lock_file(struct lock *l, const char *output, struct err *e)
{
    for (;;) {
        struct stat held, there;
        int fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return err_set(e, ERR_SYSTEM, "%s: cannot be written: %s", output, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int taken = errno == EWOULDBLOCK;
            close(fd);
            if (taken)
                err_set(
                    e, ERR_SYSTEM,
                    "%s is in use by another run of sinew; wait for it, or give this study another output",
                    output);
            return e->code;
        }
        if (fstat(fd, &held) == 0 && stat(l->path, &there) == 0 && held.st_ino == there.st_ino) {
            l->held = 1;
            l->fd = fd;
            return ERR_OK;
        }
        close(fd);
    }
}

err_t lock_take(struct lock *l, const struct comm *c, const char *output, struct arena *a, struct err *e)
{
    *l = (struct lock){0};
    if (c->me == 0 && path_make_dir(output, e) == ERR_OK && (l->path = path_join(a, output, ".lock", e)))
        lock_file(l, output, e);
    return comm_agree(c, e);
}

void lock_drop(struct lock *l)
{
    if (!l->held)
        return;
    unlink(l->path);
    close(l->fd);
    l->held = 0;
}
