/* What the fuzz targets share: bounded memory, the input as a file, a torch archive around a pickle, and what
 * must hold after every input.
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
#include <sys/mman.h>
#include <unistd.h>

enum { FUZZ_BUDGET = 16 << 20, FUZZ_PATH = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct mem mem;
    struct arena arena;
    struct err err;
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
}

/* An input is read, or refused with a message fit for a terminal, and is never our own fault; it held no more
 * than the budget, and nothing of it is left. */
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
}

/* A file without a name, in memory: made once and written anew for each input. */
static inline int fuzz_memory_file(void)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    return fd;
}

static inline void fuzz_write(int fd, const void *data, size_t size)
{
    FUZZ_CHECK(ftruncate(fd, (off_t)size) == 0);
    FUZZ_CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
}

static inline const char *fuzz_path(int fd, char path[FUZZ_PATH])
{
    snprintf(path, FUZZ_PATH, "/proc/self/fd/%d", fd);
    return path;
}

/* dir/name leads to the file in memory. */
static inline void fuzz_link(int fd, const char *dir, const char *name)
{
    char to[FUZZ_PATH], path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FUZZ_CHECK(symlink(fuzz_path(fd, to), path) == 0);
}

/* A new folder for links; whoever makes it removes it in an atexit function. */
static inline void fuzz_folder(char *dir, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(dir, size, "%s/sinew-fuzz-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    FUZZ_CHECK(n > 0 && (size_t)n < size && mkdtemp(dir) != NULL);
}

static inline void fuzz_unlink(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

/* ---- a zip archive as torch.save writes it: data.pkl and two storages of 64 and 10 bytes ---- */

enum { FUZZ_ARCHIVE_MORE = 1024 }; /* bytes beside the pickle's, at the most */

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
    } entries[3] = {{"a/data.pkl", pickle, size}, {"a/data/0", zeros, 64}, {"a/data/1", zeros, 10}};
    struct fuzz_archive z = {out, 0};
    size_t places[3];
    for (int i = 0; i < 3; i++) {
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
    for (int i = 0; i < 3; i++) {
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
    fuzz_put(&z, 3, 2);
    fuzz_put(&z, 3, 2);
    fuzz_put(&z, bytes, 4);
    fuzz_put(&z, directory, 4);
    fuzz_put(&z, 0, 2);
    return z.n;
}

#endif
