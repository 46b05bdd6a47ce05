/* What the fuzz targets share: bounded memory, an input of two parts, a torch archive around a pickle, and
 * what must hold after every input. Files are those of disk.h.
 *
 * A target fuzz_NAME.c is one parser: LLVMFuzzerTestOneInput gives it any bytes, and it may do nothing but
 * read them or refuse them with one message. The same source is built in two ways:
 *   the suite (any compiler)    with replay.c, which runs over tests/fuzz/corpus/NAME: ctest -L fuzz
 *   the preset `fuzz` (clang, libclang-rt-14-dev on Debian 12)    with libFuzzer:
 *       cmake --preset fuzz && cmake --build --preset fuzz
 *       build/fuzz/tests/fuzz/fuzz.NAME -max_len=4096 -timeout=10 FOUND tests/fuzz/corpus/NAME
 * FOUND is a folder for what it finds. clang is needed for this alone. make_corpus.py writes the seeds; an
 * input that once was a finding stays in the corpus as regression-*. */
#ifndef SINEW_FUZZLIB_H
#define SINEW_FUZZLIB_H

#include "base/err.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk.h"

enum { FUZZ_BUDGET = 16 << 20, FUZZ_MOST_SEC = 1 }; /* processor time, sanitizers and all */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct mem mem;
    struct arena arena;
    struct err err;
    struct timespec start;
};

/* In every build type: a finding ends the program. */
#define FUZZ_CHECK(x)                                                       \
    do {                                                                    \
        if (!(x)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
            abort();                                                        \
        }                                                                   \
    } while (0)

static inline void fuzz_begin(struct fuzz *f)
{
    mem_init(&f->mem, FUZZ_BUDGET);
    arena_init(&f->arena, &f->mem);
    err_clear(&f->err);
    clock_gettime(CLOCK_MONOTONIC, &f->start);
}

/* Has an input taken too long? The time on the wall costs nothing to ask for, and on a busy machine is no
 * answer; the processor's own, which is one, is asked for after so many inputs that together they take far
 * less, and where the wall says that it matters. */
static inline int fuzz_slow(const struct fuzz *f)
{
    enum { TOGETHER = 256 };
    static clock_t before;
    static int inputs;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int late = now.tv_sec - f->start.tv_sec > FUZZ_MOST_SEC;
    if (!late && inputs++ % TOGETHER != 0)
        return 0;
    clock_t spent = clock(), since = spent - before;
    before = spent;
    return late && since / CLOCKS_PER_SEC >= FUZZ_MOST_SEC;
}

/* An input is read, or refused with a message fit for a terminal, and is never our own fault; it held no more
 * than the budget, and nothing of it is left, neither memory nor what was opened. It took no longer than
 * small inputs may: what grows with the square of a length does. */
static inline void fuzz_end(struct fuzz *f, err_t code)
{
    FUZZ_CHECK(code == f->err.code);
    FUZZ_CHECK(code == ERR_OK || code == ERR_CONFIG || code == ERR_DATA || code == ERR_SYSTEM);
    FUZZ_CHECK((code == ERR_OK) == (f->err.text[0] == '\0'));
    for (const char *p = f->err.text; *p; p++)
        FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    FUZZ_CHECK(f->mem.peak_bytes <= FUZZ_BUDGET);
    arena_release(&f->arena);
    FUZZ_CHECK(f->mem.live_bytes == 0);
    FUZZ_CHECK(disk_open_count() == 0);
    FUZZ_CHECK(!fuzz_slow(f));
}

/* ---- an input that is two things ---- */

struct fuzz_pair {
    const uint8_t *data[2];
    size_t size[2];
};

/* The first one's length in front of both, `width` bytes of it, little-endian; what is too long is all there
 * is. size >= width. */
static inline struct fuzz_pair fuzz_pair_by_length(const uint8_t *data, size_t size, int width)
{
    size_t n = 0, rest = size - (size_t)width;
    for (int i = width - 1; i >= 0; i--)
        n = n << 8 | data[i];
    data += width;
    n = n < rest ? n : rest;
    return (struct fuzz_pair){{data, data + n}, {n, rest - n}};
}

/* A text, and behind a NUL byte, which no text has, the other; without one that is NULL. */
static inline struct fuzz_pair fuzz_pair_by_nul(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    return (struct fuzz_pair){{data, end ? end + 1 : NULL}, {n, end ? size - n - 1 : 0}};
}

/* The largest end of data that a .safetensors header names, below a bound. */
static inline size_t fuzz_data_end(const char *header, size_t n, size_t bound)
{
    static const char key[] = "data_offsets\":[";
    size_t most = 0;
    for (size_t i = 0; i + sizeof key < n; i++) {
        if (header[i] != key[0] || memcmp(header + i, key, sizeof key - 1) != 0)
            continue;
        size_t at = i + sizeof key - 1, end = 0;
        for (; at < n && ((header[at] >= '0' && header[at] <= '9') || header[at] == ','); at++) {
            end = header[at] == ',' ? 0 : 10 * end + (size_t)(header[at] - '0');
            end = end < bound ? end : bound;
        }
        most = end > most ? end : most;
    }
    return most;
}

/* ---- a zip archive as torch.save writes it: data.pkl and storages of 64, 10 and 8 bytes ---- */

enum { FUZZ_ENTRIES = 4, FUZZ_ARCHIVE_MORE = 1024 /* bytes beside the pickle's, at the most */ };

struct fuzz_archive {
    unsigned char *b;
    size_t n;
};

static inline void fuzz_put(struct fuzz_archive *z, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        z->b[z->n++] = (unsigned char)(x >> (8 * i));
}

static inline void fuzz_put_bytes(struct fuzz_archive *z, const void *p, size_t n)
{
    if (n > 0)
        memcpy(z->b + z->n, p, n);
    z->n += n;
}

/* Writes the archive to out (size + FUZZ_ARCHIVE_MORE bytes) and returns its length. */
static inline size_t fuzz_torch_archive(const void *pickle, size_t size, unsigned char *out)
{
    static const unsigned char zeros[64];
    const struct {
        const char *name;
        const void *data;
        size_t n;
    } entries[FUZZ_ENTRIES] = {{"a/data.pkl", pickle, size},
                               {"a/data/0", zeros, 64},
                               {"a/data/1", zeros, 10},
                               {"a/data/2", zeros, 8}};
    struct fuzz_archive z = {out, 0};
    size_t places[FUZZ_ENTRIES];
    for (int i = 0; i < FUZZ_ENTRIES; i++) {
        places[i] = z.n;
        fuzz_put(&z, 0x04034b50, 4);
        fuzz_put(&z, 0, 8);
        fuzz_put(&z, 0, 6);
        fuzz_put(&z, entries[i].n, 4);
        fuzz_put(&z, entries[i].n, 4);
        fuzz_put(&z, strlen(entries[i].name), 4); /* and an empty extra field */
        fuzz_put_bytes(&z, entries[i].name, strlen(entries[i].name));
        fuzz_put_bytes(&z, entries[i].data, entries[i].n);
    }
    size_t directory = z.n;
    for (int i = 0; i < FUZZ_ENTRIES; i++) {
        fuzz_put(&z, 0x02014b50, 4);
        fuzz_put(&z, 0, 8);
        fuzz_put(&z, 0, 8);
        fuzz_put(&z, entries[i].n, 4);
        fuzz_put(&z, entries[i].n, 4);
        fuzz_put(&z, strlen(entries[i].name), 6);
        fuzz_put(&z, 0, 8);
        fuzz_put(&z, places[i], 4);
        fuzz_put_bytes(&z, entries[i].name, strlen(entries[i].name));
    }
    size_t bytes = z.n - directory;
    fuzz_put(&z, 0x06054b50, 4);
    fuzz_put(&z, 0, 4);
    fuzz_put(&z, FUZZ_ENTRIES, 2);
    fuzz_put(&z, FUZZ_ENTRIES, 2);
    fuzz_put(&z, bytes, 4);
    fuzz_put(&z, directory, 4);
    fuzz_put(&z, 0, 2);
    return z.n;
}

/* An archive around a pickle as a file of the disk, in f's memory. */
static inline void fuzz_write_archive(struct fuzz *f, int file, const void *pickle, size_t size)
{
    unsigned char *archive;
    FUZZ_CHECK(arena_array(&f->arena, "archive", (int64_t)size + FUZZ_ARCHIVE_MORE, &archive, &f->err) ==
               ERR_OK);
    disk_write(file, archive, fuzz_torch_archive(pickle, size, archive));
}

#endif
