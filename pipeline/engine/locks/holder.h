/* Holder: which process holds a file, as one line of the lock beside it, and whether it still can. */
#ifndef SINEW_HOLDER_H
#define SINEW_HOLDER_H

#include <stdint.h>

enum {
    HOLDER_TEXT = 256 /* of the line, its end included */
};

struct lock_holder {
    int64_t pid, start; /* start: when it began, in the kernel's clock ticks since its boot */
    char lock[8];       /* "flock": the file system knows that it holds; "file": the file alone says so */
    char host[64];      /* for people */
    char boot[40];      /* the kernel's boot: equal, and pids are of one kernel */
    char space[40];     /* the namespace that pids are counted in */
};

enum holder_state {
    HOLDER_NONE,   /* nothing is said: what older programs wrote, or a line that is being written */
    HOLDER_DEAD,   /* its process has ended */
    HOLDER_ALIVE,  /* it runs on this machine */
    HOLDER_UNKNOWN /* of another machine, boot or container, or a line that cannot be read */
};

/* Local. When a process began, in the kernel's clock ticks since its boot; 0 where that cannot be told, -1
 * where it has ended and waits to be asked how. */
int64_t holder_started(int64_t pid);

/* Local. This process, by this kind of lock. What the system does not tell is "-" or 0. */
void holder_self(struct lock_holder *h, const char *lock);

/* Local. The line, with its newline; returns its length. */
int holder_write(const struct lock_holder *h, char text[HOLDER_TEXT]);

/* Local. Who an open file names, or one under a name, and in which state; self: this process. A file that is
 * not there names nobody. */
enum holder_state holder_read_open(struct lock_holder *h, int fd, const struct lock_holder *self);
enum holder_state holder_read(struct lock_holder *h, const char *path);

/* Local. Was what h names of the kernel of this process, which then knows the truth about its locks? */
int holder_is_near(const struct lock_holder *h, const struct lock_holder *self);

/* Local. Do both name the same process? */
int holder_same(const struct lock_holder *a, const struct lock_holder *b);

#endif
