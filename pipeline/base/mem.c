#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    ALIGN = 64,
    SMALL = 1 << 16,        /* bytes */
    KEEP_BUFFER = 16 << 20, /* larger buffers come from the system and go back to it at once */
    KEEP_FREE = 32 << 20    /* freed memory that is kept when an arena is released */
};

/* Stands before each buffer; its size is a multiple of ALIGN so that the buffer is aligned too. */
struct block_head {
    struct block_head *prev, *next;
    struct arena *owner;
    const char *label;
    size_t bytes;
    void *from; /* what malloc gave: a little before the head, which is aligned */
    char pad[ALIGN - 4 * sizeof(void *) - sizeof(char *) - sizeof(size_t)];
};
_Static_assert(sizeof(struct block_head) == ALIGN, "head keeps the buffer aligned");

void mem_start(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, KEEP_BUFFER);
    mallopt(M_TRIM_THRESHOLD, KEEP_FREE);
#endif
}

/* The C library by itself gives back only what is free at the end of its heap, where one small buffer can pin
 * all below it. */
static void give_back(struct mem *m)
{
    if (m->freed_bytes <= KEEP_FREE)
        return;
    m->freed_bytes = 0;
#ifdef __GLIBC__
    if (mallinfo2().fordblks > KEEP_FREE)
        malloc_trim(0);
#endif
}

void mem_init(struct mem *m, size_t budget_bytes)
{
    *m = (struct mem){.budget_bytes = budget_bytes};
}

void mem_giver_add(struct mem *m, struct mem_giver *g)
{
    g->next = m->givers;
    m->givers = g;
}

void mem_giver_remove(struct mem *m, const struct mem_giver *g)
{
    for (struct mem_giver **p = &m->givers; *p; p = &(*p)->next)
        if (*p == g) {
            *p = g->next;
            break;
        }
}

static int fits(const struct mem *m, size_t bytes)
{
    return !m->budget_bytes || (bytes <= m->budget_bytes && m->live_bytes <= m->budget_bytes - bytes);
}

int mem_room(struct mem *m, size_t bytes)
{
    for (struct mem_giver *g = m->givers; g && !fits(m, bytes) && bytes <= m->budget_bytes; g = g->next)
        g->give(g->arg, m->live_bytes + bytes - m->budget_bytes);
    return fits(m, bytes);
}

void arena_init(struct arena *a, struct mem *m)
{
    *a = (struct arena){.mem = m, .next = m->arenas};
    if (a->next)
        a->next->prev = a;
    m->arenas = a;
}

static void unlink_block(struct block_head *h)
{
    if (h->prev)
        h->prev->next = h->next;
    else
        h->owner->blocks = h->next;
    if (h->next)
        h->next->prev = h->prev;
    h->owner->mem->live_bytes -= h->bytes;
    h->owner->mem->freed_bytes += h->bytes;
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct block_head *h = a->blocks;
        unlink_block(h);
        free(h->from); /* NOLINT(clang-analyzer-unix.Malloc): it has just left the list */
    }
}

void arena_release(struct arena *a)
{
    if (!a->mem)
        return;
    arena_reset(a);
    if (a->prev)
        a->prev->next = a->next;
    else
        a->mem->arenas = a->next;
    if (a->next)
        a->next->prev = a->prev;
    give_back(a->mem);
    *a = (struct arena){0};
}

/* The five labels that hold most, as "label 1.2 MiB, ...", for the refusal's text. */
static void largest_labels(const struct mem *m, char *text, size_t size)
{
    struct {
        const char *label;
        size_t bytes;
    } top[64];
    int n = 0;
    for (const struct arena *a = m->arenas; a; a = a->next)
        for (const struct block_head *h = a->blocks; h; h = h->next) {
            int i = 0;
            while (i < n && strcmp(top[i].label, h->label) != 0)
                i++;
            if (i == n && n < 64) {
                top[n].label = h->label;
                top[n++].bytes = 0;
            }
            if (i < n)
                top[i].bytes += h->bytes;
        }
    size_t used = 0;
    text[0] = '\0';
    for (int shown = 0; shown < 5; shown++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (top[i].bytes > 0 && (best < 0 || top[i].bytes > top[best].bytes))
                best = i;
        if (best < 0)
            break;
        int w = snprintf(text + used, size - used, "%s%s %.1f MiB", shown ? ", " : "", top[best].label,
                         (double)top[best].bytes / 1048576.0);
        if (w < 0 || (size_t)w >= size - used)
            break;
        used += (size_t)w;
        top[best].bytes = 0;
    }
}

/* A matrix that is gone through by columns needs a page for each: with large pages the processor remembers
 * where they are. What is asked for is what lies within; no is an answer. */
static void ask_for_large_pages(char *from, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t large = (size_t)2 << 20;
    size_t before = (large - (uintptr_t)from % large) % large;
    if (bytes > before + large)
        madvise(from + before, (bytes - before) / large * large, MADV_HUGEPAGE);
#else
    (void)from;
    (void)bytes;
#endif
}

/* Aligned here: aligned_alloc takes several times as long as malloc for small buffers, and there are very
 * many. Large ones that come from the system are zero already, and calloc knows. */
static struct block_head *zeroed_block(size_t bytes)
{
    size_t padded = bytes + ALIGN;
    char *from = padded < SMALL ? malloc(padded) : calloc(1, padded);
    if (!from)
        return NULL;
    if (padded >= KEEP_BUFFER)
        ask_for_large_pages(from, padded);
    struct block_head *h = (struct block_head *)(void *)(from + (ALIGN - (uintptr_t)from % ALIGN) % ALIGN);
    if (padded < SMALL)
        memset(h, 0, bytes);
    h->from = from;
    return h;
}

err_t arena_array_at(struct arena *a, const char *label, int64_t n, size_t size, void **out, struct err *e)
{
    *out = NULL;
    uint64_t bytes, total;
    if (n < 0 || size_mul((uint64_t)n, size, &bytes) != 0 ||
        size_add(bytes, sizeof(struct block_head), &total) != 0 || total > SIZE_MAX / 2)
        return err_set(e, ERR_DATA, "%s: a size of %lld x %zu bytes cannot be held in memory", label,
                       (long long)n, size);
    struct mem *m = a->mem;
    if (!mem_room(m, (size_t)total)) {
        char top[400];
        largest_labels(m, top, sizeof top);
        return err_set(e, ERR_SYSTEM,
                       "memory budget exceeded: %s needs %.1f MiB, %.1f of %.1f MiB in use (%s); raise "
                       "memory_per_process or use more processes (%lld MiB would have done so far)",
                       label, (double)total / 1048576.0, (double)m->live_bytes / 1048576.0,
                       (double)m->budget_bytes / 1048576.0, top,
                       (long long)((total + m->live_bytes + 1048575) / 1048576));
    }
    struct block_head *h = zeroed_block((size_t)total);
    if (!h)
        return err_set(e, ERR_SYSTEM, "out of memory: %s needs %.1f MiB", label, (double)total / 1048576.0);
    h->owner = a;
    h->label = label;
    h->bytes = (size_t)total;
    h->next = a->blocks;
    if (h->next)
        h->next->prev = h;
    a->blocks = h;
    m->live_bytes += h->bytes;
    if (m->live_bytes > m->peak_bytes)
        m->peak_bytes = m->live_bytes;
    *out = h + 1;
    return ERR_OK;
}

err_t arena_grow_at(struct arena *a, const char *label, int64_t need, int64_t *cap, size_t size, void **ptr,
                    struct err *e)
{
    if (*ptr && need <= *cap)
        return ERR_OK;
    int64_t want = *cap > 8 ? *cap : 8;
    while (want < need)
        want = want > INT64_MAX / 2 ? need : 2 * want;
    void *bigger;
    TRY(arena_array_at(a, label, want, size, &bigger, e));
    if (*ptr) {
        memcpy(bigger, *ptr, (size_t)*cap * size);
        arena_drop(a, *ptr);
    }
    *ptr = bigger;
    *cap = want;
    return ERR_OK;
}

void arena_drop(struct arena *a, void *p)
{
    (void)a;
    if (!p)
        return;
    struct block_head *h = (struct block_head *)p - 1;
    unlink_block(h);
    free(h->from);
}

char *arena_strndup(struct arena *a, const char *text, size_t n, struct err *e)
{
    char *copy;
    if (arena_array(a, "text", (int64_t)n + 1, &copy, e) != ERR_OK)
        return NULL;
    memcpy(copy, text, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *text, struct err *e)
{
    return arena_strndup(a, text, strlen(text), e);
}

char *arena_printf(struct arena *a, struct err *e, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = NULL;
    if (n >= 0 && arena_array(a, "text", (int64_t)n + 1, &text, e) == ERR_OK)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

int size_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_mul_overflow(a, b, out) ? -1 : 0;
}

int size_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_add_overflow(a, b, out) ? -1 : 0;
}

err_t to_int(int64_t x, int *out, struct err *e)
{
    if (x < -2147483647 || x > 2147483647)
        return err_set(e, ERR_BUG, "%lld does not fit an int", (long long)x);
    *out = (int)x;
    return ERR_OK;
}
