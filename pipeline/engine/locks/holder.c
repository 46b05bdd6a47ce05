#include "engine/locks/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* At most size - 1 bytes of a file of the system, up to the first white space; "" where it cannot be read. */
static void first_word(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, " \t\n")] = '\0';
}

/* Field 22 of /proc/PID/stat. The program's name, in brackets, may hold anything. */
int64_t holder_started(int64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strrchr(text, ')');
    if (at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0))
        return -1; /* it has ended, and nobody has asked how */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoll(at + 1, NULL, 10) : 0;
}

void holder_self(struct lock_holder *h, const char *lock)
{
    *h = (struct lock_holder){.pid = getpid()};
    h->start = holder_started(h->pid);
    snprintf(h->lock, sizeof h->lock, "%s", lock);
    gethostname(h->host, sizeof h->host - 1);
    first_word("/proc/sys/kernel/random/boot_id", h->boot, sizeof h->boot);
    ssize_t n = readlink("/proc/self/ns/pid", h->space, sizeof h->space - 1);
    h->space[n > 0 ? n : 0] = '\0';
    char *const words[] = {h->host, h->boot, h->space};
    for (int i = 0; i < 3; i++) {
        words[i][strcspn(words[i], " \t\n")] = '\0';
        if (!words[i][0])
            words[i][0] = '-';
    }
}

int holder_write(const struct lock_holder *h, char text[HOLDER_TEXT])
{
    return snprintf(text, HOLDER_TEXT, "%s %s %lld %lld %s %s\n", h->lock, h->host, (long long)h->pid,
                    (long long)h->start, h->boot, h->space);
}

int holder_same(const struct lock_holder *a, const struct lock_holder *b)
{
    return a->pid == b->pid && a->start == b->start && strcmp(a->boot, b->boot) == 0 &&
           strcmp(a->space, b->space) == 0 && strcmp(a->host, b->host) == 0;
}

int holder_is_near(const struct lock_holder *h, const struct lock_holder *self)
{
    return h->boot[0] && strcmp(h->boot, "-") != 0 && strcmp(h->boot, self->boot) == 0;
}

enum holder_state holder_read_open(struct lock_holder *h, int fd, const struct lock_holder *self)
{
    char text[HOLDER_TEXT], end = '\0';
    long long pid = 0, start = 0;
    *h = (struct lock_holder){.host = "-"};
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return HOLDER_NONE;
    text[n] = '\0';
    if (sscanf(text, "%7s %63s %lld %lld %39s %39s%c", h->lock, h->host, &pid, &start, h->boot, h->space,
               &end) != 7 ||
        end != '\n' || pid < 1 || pid > INT32_MAX)
        return HOLDER_UNKNOWN;
    h->pid = pid;
    h->start = start;
    if (!holder_is_near(h, self) || strcmp(h->space, self->space) != 0)
        return HOLDER_UNKNOWN;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return HOLDER_DEAD;
    int64_t now = holder_started(pid); /* another process may have got its number */
    return start != 0 && now != 0 && now != start ? HOLDER_DEAD : HOLDER_ALIVE;
}

enum holder_state holder_read(struct lock_holder *h, const char *path)
{
    struct lock_holder self;
    holder_self(&self, "");
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    enum holder_state state = holder_read_open(h, fd, &self);
    if (fd >= 0)
        close(fd);
    return state;
}
