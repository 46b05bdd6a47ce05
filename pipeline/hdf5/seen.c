#include "hdf5/seen.h"

#include "hdf5/digest.h"
#include "base/hash.h"

#include <string.h>

enum {
    RUN = 64,  /* blocks: 1 MiB of a file */
    SLAB = 32, /* runs that are allocated at once */
    MOST_BYTES = 16 << 20,
    MOST_SHARE = 64, /* of the budget */
    TOUCHED = 2      /* mark of a block that this process has written, but does not know */
};

/* Blocks one behind the other; a bit of `whole` for each that is known, of `part` for each that was touched
 * and is not. */
struct run {
    uint64_t whole, part;
    uint64_t hash[RUN];
};

struct seen_file {
    struct arena *arena;
    struct run **runs; /* by their number in the file; NULL: nothing was written there */
    int64_t nruns, cap;
    struct run *slab; /* runs [used, SLAB) of it are free */
    int used;
    int64_t bytes, most; /* of all slabs */
    int lost;            /* something was written of which nothing is kept */
};

err_t seen_create(struct seen_file **out, struct arena *a, struct err *e)
{
    TRY(arena_array(a, "digest.seen", 1, out, e));
    struct seen_file *s = *out;
    *s = (struct seen_file){.arena = a, .most = MOST_BYTES, .used = SLAB};
    if (a->mem->budget_bytes > 0)
        s->most = min64(s->most, (int64_t)(a->mem->budget_bytes / MOST_SHARE));
    return ERR_OK;
}

/* A new run; NULL: there is no room for it. */
static struct run *new_run(struct seen_file *s)
{
    struct err ignored;
    void *slab;
    err_clear(&ignored);
    if (s->used == SLAB) {
        const int64_t bytes = SLAB * (int64_t)sizeof *s->slab;
        if (s->bytes + bytes > s->most ||
            arena_array_at(s->arena, "digest.seen", SLAB, sizeof *s->slab, &slab, &ignored) != ERR_OK)
            return NULL;
        s->slab = slab;
        s->used = 0;
        s->bytes += bytes;
    }
    return &s->slab[s->used++];
}

/* Run r; NULL: it is not kept, and `lost` says so. */
static struct run *run_of(struct seen_file *s, int64_t r)
{
    struct err ignored;
    err_clear(&ignored);
    if (r >= s->nruns && arena_grow(s->arena, "digest.seen", r + 1, &s->cap, &s->runs, &ignored) == ERR_OK)
        s->nruns = r + 1;
    if (r < s->nruns && !s->runs[r])
        s->runs[r] = new_run(s);
    if (r < s->nruns && s->runs[r])
        return s->runs[r];
    s->lost = 1;
    return NULL;
}

void seen_write(struct seen_file *s, int64_t at, int64_t n, const void *bytes)
{
    const char *p = bytes;
    while (n > 0) {
        const int64_t b = at / DIGEST_BLOCK, skip = at % DIGEST_BLOCK, part = min64(n, DIGEST_BLOCK - skip);
        struct run *r = run_of(s, b / RUN);
        const uint64_t bit = (uint64_t)1 << b % RUN;
        if (r && part == DIGEST_BLOCK) {
            r->hash[b % RUN] = hash_bytes(p, DIGEST_BLOCK);
            r->whole |= bit;
            r->part &= ~bit;
        } else if (r) {
            r->whole &= ~bit;
            r->part |= bit;
        }
        at += part;
        p += part;
        n -= part;
    }
}

void seen_page(const struct seen_file *s, int64_t k, uint64_t *hashes, uint16_t *marks)
{
    for (int64_t i = 0; i < DIGEST_PAGE / RUN; i++) {
        const int64_t number = k * (DIGEST_PAGE / RUN) + i;
        const struct run *r = number < s->nruns ? s->runs[number] : NULL;
        for (int64_t j = 0; j < RUN; j++) {
            const int whole = r && (r->whole >> j & 1), part = r ? (int)(r->part >> j & 1) : s->lost;
            hashes[i * RUN + j] = whole ? r->hash[j] : 0;
            marks[i * RUN + j] = (uint16_t)(whole ? SEEN_KNOWN : part ? TOUCHED : 0);
        }
    }
}
