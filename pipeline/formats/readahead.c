#include "formats/readahead.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    MAX_FILES = 128,          /* with a descriptor past the page cache; others are read through it */
    WATCH_LEAST = 1 << 14,    /* bytes of a read that is worth two looks at the clock */
    WATCH_BYTES = 4 << 20,    /* a judgement on so many bytes read when asked */
    MOST_PATIENCE = 15,       /* judgements: 60 MiB */
    FETCHED_BYTES = 64 << 20, /* the same on bytes fetched: going back is less urgent */
    READ_BYTES = 1 << 30      /* per pread: Linux itself stops below 2 GiB */
};

static const double SLOW_RATE = 3e9; /* bytes per second: slower than that memory seldom is */

enum state { STATE_FREE, STATE_WANTED, STATE_BUSY, STATE_READY, STATE_FAILED };

/* A block: room for a range, announced, under way or fetched. What it is belongs to the caller's thread, from
 * STATE_BUSY to STATE_READY its content to a fetching one; `state` is under the lock. */
struct slot {
    enum state state;
    int used; /* 0: free, without a look at state */
    int fd, direct;
    int64_t at, n, tag;
    uint64_t serial; /* of the announcement: fetched in this order */
    unsigned char *buf;
    int64_t skip; /* where byte `at` stands in buf */
};

/* What reads have cost. Waiting is what tells a device from memory that is slow or shared: a read of cached
 * pages never sleeps. */
struct watch {
    int64_t bytes;
    double sec, waited_sec; /* waited_sec: of reads that slept, where they were looked at that closely */
};

struct direct_file {
    int fd, direct;
};

struct readahead {
    struct readahead_setting how;
    struct arena *arena;
    int ahead;             /* announcements are taken */
    int closely;           /* the last judgement was that reads are slow: do they wait? */
    int unasked, patience; /* judgements left before that is asked again, and after the next time in vain */
    int broken;            /* no threads or no blocks to be had */
    struct watch watch;
    int64_t fetched; /* bytes taken from blocks */
    unsigned char *room;
    struct slot slots[READAHEAD_BLOCKS];
    int nused;
    uint64_t serial;
    struct direct_file files[MAX_FILES];
    int nfiles;
    /* shared with the threads */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int quit;
    struct watch fetching;
    pthread_t threads[READAHEAD_THREADS];
    int nthreads;
};

/* ---- counting what reads cost ---- */

/* How often this thread has slept. */
static long sleeps(void)
{
    struct rusage use;
    return getrusage(RUSAGE_THREAD, &use) == 0 ? use.ru_nvcsw : 0;
}

/* Do reads wait for a device? Then reading ahead begins. Where they are slow for another reason, a busy
 * machine, that is asked ever less often. */
static void judge_reading(struct readahead *r)
{
    struct watch *w = &r->watch;
    if (r->closely) {
        r->ahead = w->waited_sec > w->sec / 4;
        r->closely = 0;
        r->patience = r->ahead ? 0 : r->patience < MOST_PATIENCE ? 2 * r->patience + 1 : MOST_PATIENCE;
        r->unasked = r->patience;
    } else if (r->unasked > 0) {
        r->unasked--;
    } else {
        r->closely = (double)w->bytes < SLOW_RATE * w->sec;
    }
    *w = (struct watch){0};
}

/* One read when asked, in mode auto. First by the clock alone, which costs little; asking for sleeps costs
 * ten times that, so it is asked only once the clock has said that reads are slow. */
static ssize_t read_watched(struct readahead *r, int fd, void *buf, int64_t n, int64_t at)
{
    struct watch *w = &r->watch;
    long before = r->closely ? sleeps() : 0;
    double started = clock_sec();
    ssize_t got = pread(fd, buf, (size_t)n, (off_t)at);
    int error = errno;
    double sec = clock_sec() - started;
    w->bytes += got > 0 ? got : 0;
    w->sec += sec;
    if (r->closely && sleeps() != before)
        w->waited_sec += sec;
    if (w->bytes >= WATCH_BYTES)
        judge_reading(r);
    errno = error;
    return got;
}

/* Under the lock. In mode auto: have the fetching threads stopped waiting? Then reading when asked is as fast
 * and copies once. */
static void judge_fetching(struct readahead *r)
{
    struct watch *w = &r->fetching;
    if (r->how.mode != READ_AUTO || w->bytes < FETCHED_BYTES)
        return;
    r->ahead = w->waited_sec > w->sec / 8;
    *w = (struct watch){0};
}

/* ---- fetching ---- */

/* All of the slot's range through the page cache. 0, or -1. */
static int fetch_cached(struct slot *s)
{
    s->skip = 0;
    for (int64_t done = 0; done < s->n;) {
        ssize_t got = pread(s->fd, s->buf + done, (size_t)(s->n - done), (off_t)(s->at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        done += got;
    }
    return 0;
}

/* All of the slot's range past the page cache: the aligned range around it. 0, or -1. */
static int fetch_direct(struct slot *s)
{
    s->skip = s->at % READAHEAD_ALIGN;
    int64_t at = s->at - s->skip, need = s->skip + s->n,
            bytes = (need + READAHEAD_ALIGN - 1) / READAHEAD_ALIGN * READAHEAD_ALIGN;
    for (int64_t done = 0; done < need;) {
        ssize_t got = pread(s->direct, s->buf + done, (size_t)(bytes - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || (got % READAHEAD_ALIGN != 0 && done + got < need))
            return -1;
        done += got;
    }
    return 0;
}

/* Under the lock. The slot announced first of those that nobody fetches yet. */
static struct slot *next_wanted(struct readahead *r)
{
    struct slot *first = NULL;
    for (int i = 0; i < READAHEAD_BLOCKS; i++)
        if (r->slots[i].state == STATE_WANTED && (!first || r->slots[i].serial < first->serial))
            first = &r->slots[i];
    return first;
}

static void *fetch(void *arg)
{
    struct readahead *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        struct slot *s = next_wanted(r);
        if (!s) {
            pthread_cond_wait(&r->work, &r->lock);
            continue;
        }
        s->state = STATE_BUSY;
        pthread_mutex_unlock(&r->lock);
        long before = sleeps();
        double started = clock_sec();
        int failed = s->direct < 0 || fetch_direct(s) != 0; /* some file systems refuse at the read */
        if (failed)
            failed = fetch_cached(s) != 0;
        double sec = clock_sec() - started;
        int slept = sleeps() != before;
        pthread_mutex_lock(&r->lock);
        r->fetching.bytes += s->n;
        r->fetching.sec += sec;
        r->fetching.waited_sec += slept ? sec : 0;
        s->state = failed ? STATE_FAILED : STATE_READY;
        pthread_cond_broadcast(&r->done);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Threads and blocks. 0, or -1 where they are not to be had. */
static int start(struct readahead *r)
{
    struct err ignored;
    sigset_t all, before;
    const int64_t room = r->how.block_bytes + 2 * READAHEAD_ALIGN;
    err_clear(&ignored);
    if (arena_array(r->arena, "reader.blocks", READAHEAD_BLOCKS * room + READAHEAD_ALIGN, &r->room,
                    &ignored) != ERR_OK)
        return -1;
    unsigned char *aligned =
        r->room + (READAHEAD_ALIGN - (uintptr_t)r->room % READAHEAD_ALIGN) % READAHEAD_ALIGN;
    for (int i = 0; i < READAHEAD_BLOCKS; i++)
        r->slots[i].buf = aligned + i * room;
    sigfillset(&all); /* signals are for the thread that made the reader */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (r->nthreads < READAHEAD_THREADS && pthread_create(&r->threads[r->nthreads], NULL, fetch, r) == 0)
        r->nthreads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r->nthreads > 0 ? 0 : -1;
}

/* ---- the caller's side ---- */

static int64_t block_of(const struct readahead_setting *how)
{
    int64_t bytes = how->block_bytes > 0 ? how->block_bytes : READAHEAD_BLOCK;
    return (bytes + READAHEAD_ALIGN - 1) / READAHEAD_ALIGN * READAHEAD_ALIGN;
}

int64_t readahead_bytes(const struct readahead_setting *how)
{
    int64_t blocks = READAHEAD_BLOCKS * (block_of(how) + 2 * READAHEAD_ALIGN) + READAHEAD_ALIGN;
    return (int64_t)sizeof(struct readahead) + (how->mode == READ_PREAD ? 0 : blocks);
}

err_t readahead_open(struct readahead **out, const struct readahead_setting *how, struct arena *a,
                     struct err *e)
{
    struct readahead *r;
    *out = NULL;
    if (how->mode < READ_AUTO || how->mode > READ_DIRECT || how->block_bytes < 0 ||
        how->block_bytes > READ_BYTES)
        return err_set(e, ERR_BUG, "a reader of mode %d with blocks of %lld bytes was asked for", how->mode,
                       (long long)how->block_bytes);
    TRY(arena_array(a, "reader", 1, &r, e));
    r->how = *how;
    r->how.block_bytes = block_of(how);
    r->arena = a;
    r->ahead = how->mode == READ_THREAD || how->mode == READ_DIRECT;
    if (pthread_mutex_init(&r->lock, NULL) != 0 || pthread_cond_init(&r->work, NULL) != 0 ||
        pthread_cond_init(&r->done, NULL) != 0)
        return err_set(e, ERR_SYSTEM, "a lock cannot be made: %s", strerror(errno));
    *out = r;
    return ERR_OK;
}

int64_t readahead_block_bytes(const struct readahead *r)
{
    return r ? r->how.block_bytes : 0;
}

int readahead_room(struct readahead *r)
{
    if (!r || !r->ahead || r->broken)
        return 0;
    if (r->nthreads > 0) {
        pthread_mutex_lock(&r->lock);
        judge_fetching(r);
        pthread_mutex_unlock(&r->lock);
    }
    return r->ahead ? READAHEAD_BLOCKS - r->nused : 0;
}

/* The descriptor of the same file past the page cache; -1 where there is none. */
static int direct_of(struct readahead *r, int fd)
{
    if (r->how.mode != READ_DIRECT)
        return -1;
    for (int i = 0; i < r->nfiles; i++)
        if (r->files[i].fd == fd)
            return r->files[i].direct;
    if (r->nfiles == MAX_FILES)
        return -1;
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    r->files[r->nfiles++] = (struct direct_file){fd, direct};
    return direct;
}

void readahead_want(struct readahead *r, int fd, int64_t at, int64_t n, int64_t tag)
{
    if (!r || fd < 0 || at < 0 || n <= 0 || n > r->how.block_bytes || readahead_room(r) == 0)
        return;
    if (r->nthreads == 0 && start(r) != 0) {
        r->broken = 1;
        return;
    }
    struct slot *s = r->slots;
    while (s->used)
        s++;
    int direct = direct_of(r, fd);
    pthread_mutex_lock(&r->lock);
    s->used = 1;
    s->fd = fd;
    s->direct = direct;
    s->at = at;
    s->n = n;
    s->tag = tag;
    s->serial = ++r->serial;
    s->state = STATE_WANTED;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    r->nused++;
}

/* Under the lock. Not while a thread is at it. */
static void release(struct readahead *r, struct slot *s)
{
    s->state = STATE_FREE;
    s->used = 0;
    r->nused--;
}

void readahead_passed(struct readahead *r, int64_t tag)
{
    if (!r || r->nused == 0)
        return;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < READAHEAD_BLOCKS; i++) {
        struct slot *s = &r->slots[i];
        if (s->used && s->tag < tag && s->state != STATE_BUSY)
            release(r, s);
    }
    pthread_mutex_unlock(&r->lock);
}

/* The block that holds byte `at` of fd, or will. */
static struct slot *find(struct readahead *r, int fd, int64_t at)
{
    for (int i = 0; r->nused > 0 && i < READAHEAD_BLOCKS; i++) {
        struct slot *s = &r->slots[i];
        if (s->used && s->fd == fd && s->at <= at && at < s->at + s->n)
            return s;
    }
    return NULL;
}

/* Copies what the block has from byte `at` on, waiting for it. 0: the caller must read for himself. */
static ssize_t take(struct readahead *r, struct slot *s, void *buf, int64_t n, int64_t at)
{
    pthread_mutex_lock(&r->lock);
    int own = s->state == STATE_WANTED && s->direct < 0; /* not begun: the threads have no core, or no lead */
    while (!own && (s->state == STATE_WANTED || s->state == STATE_BUSY))
        pthread_cond_wait(&r->done, &r->lock);
    if (own || s->state == STATE_FAILED) {
        release(r, s);
        pthread_mutex_unlock(&r->lock);
        return 0;
    }
    pthread_mutex_unlock(&r->lock);
    int64_t left = s->at + s->n - at, bytes = n < left ? n : left;
    memcpy(buf, s->buf + s->skip + (at - s->at), (size_t)bytes);
    if (bytes == left) { /* blocks are read from front to back */
        pthread_mutex_lock(&r->lock);
        release(r, s);
        pthread_mutex_unlock(&r->lock);
    }
    r->fetched += bytes;
    return (ssize_t)bytes;
}

ssize_t readahead_read(struct readahead *r, int fd, void *buf, int64_t n, int64_t at)
{
    n = n < READ_BYTES ? n : READ_BYTES;
    if (!r)
        return pread(fd, buf, (size_t)n, (off_t)at);
    struct slot *s = find(r, fd, at);
    ssize_t got = s && n > 0 ? take(r, s, buf, n, at) : 0;
    if (got > 0)
        return got;
    if (r->how.mode == READ_AUTO && !r->ahead && n >= WATCH_LEAST)
        return read_watched(r, fd, buf, n, at);
    return pread(fd, buf, (size_t)n, (off_t)at);
}

/* Frees all blocks of a file, or of all files (fd -1). */
static void release_all(struct readahead *r, int fd)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < READAHEAD_BLOCKS; i++) {
        struct slot *s = &r->slots[i];
        if (!s->used || (fd >= 0 && s->fd != fd))
            continue;
        while (s->state == STATE_BUSY)
            pthread_cond_wait(&r->done, &r->lock);
        release(r, s);
    }
    pthread_mutex_unlock(&r->lock);
}

void readahead_forget(struct readahead *r, int fd)
{
    if (!r)
        return;
    if (r->nused > 0)
        release_all(r, fd);
    for (int i = 0; i < r->nfiles; i++)
        if (r->files[i].fd == fd) {
            if (r->files[i].direct >= 0)
                close(r->files[i].direct);
            r->files[i] = r->files[--r->nfiles];
            break;
        }
}

void readahead_close(struct readahead *r)
{
    if (!r)
        return;
    release_all(r, -1);
    pthread_mutex_lock(&r->lock);
    r->quit = 1;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->nthreads; i++)
        pthread_join(r->threads[i], NULL);
    for (int i = 0; i < r->nfiles; i++)
        if (r->files[i].direct >= 0)
            close(r->files[i].direct);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->lock);
    arena_drop(r->arena, r->room);
    arena_drop(r->arena, r);
}

int64_t readahead_fetched(const struct readahead *r)
{
    return r ? r->fetched : 0;
}
