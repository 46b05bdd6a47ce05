#include "base/hash.h"

#include "base/file.h"
#include "base/isa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY /* for a state on the stack */
#include <xxhash.h>
#ifdef SINEW_HASH_DISPATCH
#include <xxh_x86dispatch.h> /* puts its own functions, which choose their loops, in the place of those above */
#endif

/* ---- those of the library that use vectors ---- */

uint64_t hash_bytes(const void *bytes, size_t n)
{
    const uint64_t hash = XXH3_64bits(bytes, n);
    isa_leave_vectors();
    return hash;
}

static void take_in(XXH3_state_t *state, const void *bytes, size_t n)
{
    XXH3_64bits_update(state, bytes, n);
    isa_leave_vectors();
}

static uint64_t hash_so_far(const XXH3_state_t *state)
{
    const uint64_t hash = XXH3_64bits_digest(state);
    isa_leave_vectors();
    return hash;
}

/* ---- */

uint64_t hash_parts(const struct hash_part *parts, int n)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (int i = 0; i < n; i++)
        take_in(&state, parts[i].bytes, parts[i].n);
    return hash_so_far(&state);
}

err_t hash_file(const char *path, uint64_t *hash, struct err *e)
{
    char some[1 << 16];
    struct file_stamp stamp;
    int fd;
    *hash = 0;
    TRY(file_open(path, &fd, &stamp, e));
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (ssize_t n = 1; n != 0 && e->code == ERR_OK;) {
        n = read(fd, some, sizeof some);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err_set(e, ERR_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
        else
            take_in(&state, some, (size_t)n);
    }
    *hash = hash_so_far(&state);
    close(fd);
    return e->code;
}

enum { SAMPLE_BYTES = 4096 };

/* The block that stands for stretch i of n, of a file of `all` blocks, all > n. */
static int64_t sample_place(int64_t size_bytes, int64_t all, int64_t i, int64_t n)
{
    if (i == 0 || i == n - 1)
        return i == 0 ? 0 : all - 1;
    const int64_t from = 1 + (all - 2) * (i - 1) / (n - 2), to = 1 + (all - 2) * i / (n - 2);
    const int64_t drawn[2] = {size_bytes, i};
    return from + (int64_t)(hash_bytes(drawn, sizeof drawn) % (uint64_t)(to - from));
}

/* One block, of which a file's last may lack an end. */
static err_t read_sample(int fd, const char *path, int64_t block, int64_t size_bytes, uint64_t *hash,
                         struct err *e)
{
    char some[SAMPLE_BYTES];
    const int64_t at = block * SAMPLE_BYTES,
                  n = size_bytes - at < SAMPLE_BYTES ? size_bytes - at : SAMPLE_BYTES;
    TRY(file_get(fd, path, some, at, n, e));
    *hash = hash_bytes(some, (size_t)n);
    return ERR_OK;
}

err_t hash_sample(const char *path, int blocks, uint64_t *hash, struct err *e)
{
    uint64_t hashes[HASH_SAMPLE_MOST];
    int64_t places[HASH_SAMPLE_MOST];
    struct file_stamp stamp;
    int fd;
    *hash = 0;
    TRY(file_open(path, &fd, &stamp, e));
    const int64_t all = (stamp.size_bytes + SAMPLE_BYTES - 1) / SAMPLE_BYTES, n = all < blocks ? all : blocks;
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* hints: no error of theirs is one */
    for (int64_t i = 0; i < n; i++) {
        places[i] = n == all ? i : sample_place(stamp.size_bytes, all, i, n);
        posix_fadvise(fd, (off_t)(places[i] * SAMPLE_BYTES), SAMPLE_BYTES, POSIX_FADV_WILLNEED);
    }
    for (int64_t i = 0; i < n && e->code == ERR_OK; i++)
        read_sample(fd, path, places[i], stamp.size_bytes, &hashes[i], e);
    close(fd);
    if (e->code == ERR_OK)
        *hash = hash_bytes(hashes, (size_t)n * sizeof *hashes);
    return e->code;
}

void hash_text(const char *text, char out[HASH_TEXT])
{
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    isa_leave_vectors();
    snprintf(out, HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}
