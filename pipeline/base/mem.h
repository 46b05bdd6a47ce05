/* Memory: every buffer is counted against the per-process budget of the config, and lives in an arena.
 *
 * One `struct mem` per process holds the budget and the live and peak bytes. An arena is a lifetime (the run,
 * a node, an item): what is taken from it is released with it, so stage code rarely frees. Arenas share the
 * budget of their mem. */
#ifndef SINEW_MEM_H
#define SINEW_MEM_H

#include "base/err.h"
#include "base/inject/inject.h"

#include <stddef.h>
#include <stdint.h>

/* Someone who holds what can be had again, and gives it back when the budget is short. */
struct mem_giver {
    size_t (*give)(void *arg, size_t bytes); /* frees about so many bytes, if it can; returns how many */
    void *arg;
    struct mem_giver *next;
};

struct mem {
    size_t budget_bytes; /* 0: no limit */
    size_t live_bytes;
    size_t peak_bytes;
    size_t freed_bytes;       /* since it was last looked whether much is kept (mem_start) */
    struct arena *arenas;     /* all open arenas, for the table of the largest labels */
    struct mem_giver *givers; /* asked when the budget is short */
};

struct arena {
    struct mem *mem;
    struct block_head *blocks;
    struct arena *next, *prev;
};

/* Local, at the start of the program. Has the C library keep freed memory for the next node instead of giving
 * pages back to the system and asking for new ones, which takes small nodes longer than their work. Where it
 * is more than some tens of MiB when an arena is released, it all goes back. */
void mem_start(void);

/* Local. budget_bytes: what all arenas of m may hold together; 0 = unlimited. */
void mem_init(struct mem *m, size_t budget_bytes);

/* Local. g: borrowed until it is removed. */
void mem_giver_add(struct mem *m, struct mem_giver *g);
void mem_giver_remove(struct mem *m, const struct mem_giver *g);

/* Local. Is there room for so many bytes more under the budget, once those gave back who can? */
int mem_room(struct mem *m, size_t bytes);

/* Local. An empty arena drawing on m's budget. Released by arena_release. */
void arena_init(struct arena *a, struct mem *m);

/* Local. Frees everything taken from the arena; the arena is then empty and usable again. */
void arena_reset(struct arena *a);

/* Local. Frees everything and detaches the arena from its mem. Safe on a zeroed arena. */
void arena_release(struct arena *a);

/* Local. n elements of `size` bytes, zeroed, 64-byte aligned, owned by the arena. label: a static string
 * naming the buffer
 * ("delta.block"), shown when the budget is exceeded. n = 0 gives a valid pointer.
 * Errors: SYSTEM over budget (with the largest labels) or out of memory; DATA where n*size overflows. *out is
 * NULL then. */
err_t arena_array_at(struct arena *a, const char *label, int64_t n, size_t size, void **out, struct err *e);
#ifdef SINEW_INJECT
#define arena_array(a, label, n, ptr, e) \
    (INJECT("alloc", (e)) != ERR_OK      \
         ? (*(ptr) = NULL, (e)->code)    \
         : arena_array_at((a), (label), (n), sizeof **(ptr), (void **)(ptr), (e)))
#else
#define arena_array(a, label, n, ptr, e) \
    arena_array_at((a), (label), (n), sizeof **(ptr), (void **)(ptr), (e))
#endif

/* Local. As arena_array for a buffer that grows: *ptr (NULL or from this arena) holds *cap elements;
 * afterwards at least `need`, doubled, contents kept, the new part zeroed. */
err_t arena_grow_at(struct arena *a, const char *label, int64_t need, int64_t *cap, size_t size, void **ptr,
                    struct err *e);
#define arena_grow(a, label, need, cap, ptr, e) \
    arena_grow_at((a), (label), (need), (cap), sizeof **(ptr), (void **)(ptr), (e))

/* Local. Releases one buffer before its arena ends. p: NULL or from this arena. */
void arena_drop(struct arena *a, void *p);

/* Local. A copy of text, owned by the arena; NULL only when e is set. */
char *arena_strdup(struct arena *a, const char *text, struct err *e);
char *arena_strndup(struct arena *a, const char *text, size_t n, struct err *e);

/* Local. printf into a string owned by the arena; NULL only when e is set. */
char *arena_printf(struct arena *a, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Local. Overflow-checked arithmetic for sizes that come from files. 0 on success, -1 on overflow. */
int size_mul(uint64_t a, uint64_t b, uint64_t *out);
int size_add(uint64_t a, uint64_t b, uint64_t *out);

/* Local. The smaller one. */
static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Local. An int64 for an interface that demands int (MPI counts, BLACS). Errors: BUG if it does not fit. */
err_t to_int(int64_t x, int *out, struct err *e);

#endif
