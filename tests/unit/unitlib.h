/* What the unit tests share: memory, an error and, where wanted, a folder, made before each test and given
 * back after it; a test that leaves memory held or a folder that cannot be removed has failed. */
#ifndef SINEW_UNITLIB_H
#define SINEW_UNITLIB_H

#include "../files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct mem mem;
    struct arena arena;
    struct err err;
    char folder[120]; /* "" where none was asked for */
};

enum { WITHOUT_FOLDER, WITH_FOLDER };

/* A new zeroed fixture of `size` bytes that begins with a struct bench, into *state. 0, or -1. */
static inline int bench_new(void **state, size_t size, int with_folder)
{
    struct bench *b = calloc(1, size);
    if (!b)
        return -1;
    mem_init(&b->mem, 0);
    arena_init(&b->arena, &b->mem);
    err_clear(&b->err);
    *state = b;
    return with_folder ? folder_make(b->folder, sizeof b->folder) : 0;
}

/* Gives the fixture back. 0, or 1 where something could not be: then the test has failed. */
static inline int bench_delete(void **state)
{
    struct bench *b = *state;
    arena_release(&b->arena);
    int left = b->mem.live_bytes != 0;
    if (b->folder[0])
        left |= folder_remove(b->folder) != 0;
    free(b);
    return left;
}

static inline int bench_setup(void **state)
{
    return bench_new(state, sizeof(struct bench), WITHOUT_FOLDER);
}

static inline int bench_setup_folder(void **state)
{
    return bench_new(state, sizeof(struct bench), WITH_FOLDER);
}

/* A test whose state is a struct bench; one with a folder; one that the file's own setup and teardown make.
 */
#define TEST_BENCH(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_delete)
#define TEST_FOLDER(f) cmocka_unit_test_setup_teardown(f, bench_setup_folder, bench_delete)
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The next of a sequence of random numbers (splitmix64), the same on every machine. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
