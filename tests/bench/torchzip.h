/* A state dict of bf16 matrices as torch.save writes it: a zip archive (ZIP64, entries stored) of a pickle
 * and one storage for each tensor. For benchmarks, which write large files of their own. */
#ifndef SINEW_TORCHZIP_H
#define SINEW_TORCHZIP_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TORCHZIP_ENTRIES = 1024, TORCHZIP_NAME = 40, TORCHZIP_PICKLE = 1 << 19 };

struct torchzip {
    FILE *f;
    int64_t at;
    int entries, failed;
    struct {
        char name[TORCHZIP_NAME];
        int64_t local, bytes;
    } entry[TORCHZIP_ENTRIES];
};

static inline void torchzip_put(struct torchzip *z, const void *bytes, int64_t n)
{
    z->failed |= fwrite(bytes, 1, (size_t)n, z->f) != (size_t)n;
    z->at += n;
}

static inline void torchzip_number(struct torchzip *z, uint64_t x, int bytes)
{
    unsigned char b[16] = {0};
    for (int i = 0; i < bytes && i < 8; i++)
        b[i] = (unsigned char)(x >> (8 * i));
    torchzip_put(z, b, bytes);
}

/* An entry begins, of so many bytes, which come next and begin at a multiple of 64. Its sizes stand in the
 * central directory alone. */
static inline void torchzip_entry(struct torchzip *z, const char *name, int64_t bytes)
{
    static const char zeros[64];
    if (z->entries == TORCHZIP_ENTRIES) {
        z->failed = 1;
        return;
    }
    snprintf(z->entry[z->entries].name, TORCHZIP_NAME, "archive/%s", name);
    const char *full = z->entry[z->entries].name;
    const int64_t length = (int64_t)strlen(full), pad = 64 - (z->at + 34 + length) % 64;
    z->entry[z->entries].local = z->at;
    z->entry[z->entries++].bytes = bytes;
    torchzip_put(z, "PK\3\4", 4);
    torchzip_number(z, 0, 2);
    torchzip_number(z, 0x800, 2);
    torchzip_number(z, 0, 10); /* method, time, checksum */
    torchzip_number(z, (uint64_t)bytes, 4);
    torchzip_number(z, (uint64_t)bytes, 4);
    torchzip_number(z, (uint64_t)length, 2);
    torchzip_number(z, (uint64_t)(4 + pad), 2);
    torchzip_put(z, full, length);
    torchzip_put(z, "FB", 2);
    torchzip_number(z, (uint64_t)pad, 2);
    torchzip_put(z, zeros, pad);
}

/* The central directory and the end. */
static inline void torchzip_end(struct torchzip *z)
{
    const int64_t start = z->at;
    for (int i = 0; i < z->entries; i++) {
        const int64_t length = (int64_t)strlen(z->entry[i].name);
        torchzip_put(z, "PK\1\2", 4);
        torchzip_number(z, 0, 4);
        torchzip_number(z, 0x800, 2);
        torchzip_number(z, 0, 10);
        torchzip_number(z, 0xffffffff, 4);
        torchzip_number(z, 0xffffffff, 4);
        torchzip_number(z, (uint64_t)length, 2);
        torchzip_number(z, 28, 2);
        torchzip_number(z, 0, 10);
        torchzip_number(z, 0xffffffff, 4);
        torchzip_put(z, z->entry[i].name, length);
        torchzip_number(z, 1, 2);
        torchzip_number(z, 24, 2);
        torchzip_number(z, (uint64_t)z->entry[i].bytes, 8);
        torchzip_number(z, (uint64_t)z->entry[i].bytes, 8);
        torchzip_number(z, (uint64_t)z->entry[i].local, 8);
    }
    const int64_t end = z->at;
    torchzip_put(z, "PK\6\6", 4);
    torchzip_number(z, 44, 8);
    torchzip_number(z, 0, 4);
    torchzip_number(z, 0, 8);
    torchzip_number(z, (uint64_t)z->entries, 8);
    torchzip_number(z, (uint64_t)z->entries, 8);
    torchzip_number(z, (uint64_t)(end - start), 8);
    torchzip_number(z, (uint64_t)start, 8);
    torchzip_put(z, "PK\6\7", 4);
    torchzip_number(z, 0, 4);
    torchzip_number(z, (uint64_t)end, 8);
    torchzip_number(z, 1, 4);
    torchzip_put(z, "PK\5\6", 4);
    torchzip_number(z, 0, 4);
    torchzip_number(z, 0xffff, 2);
    torchzip_number(z, 0xffff, 2);
    torchzip_number(z, 0xffffffff, 4);
    torchzip_number(z, 0xffffffff, 4);
    torchzip_number(z, 0, 2);
}

/* Appends to a pickle; n stays where there is no more room, which the archive then tells. */
static inline void torchzip_pickle(struct torchzip *z, unsigned char *pickle, int64_t *n, const void *bytes,
                                   int64_t more)
{
    if (*n + more > TORCHZIP_PICKLE) {
        z->failed = 1;
        return;
    }
    memcpy(pickle + *n, bytes, (size_t)more);
    *n += more;
}

static inline void torchzip_text(struct torchzip *z, unsigned char *pickle, int64_t *n, const char *text)
{
    const uint32_t length = (uint32_t)strlen(text);
    torchzip_pickle(z, pickle, n, "X", 1);
    torchzip_pickle(z, pickle, n, &length, 4);
    torchzip_pickle(z, pickle, n, text, length);
}

static inline void torchzip_int(struct torchzip *z, unsigned char *pickle, int64_t *n, int64_t x)
{
    const int32_t four = (int32_t)x;
    torchzip_pickle(z, pickle, n, "J", 1);
    torchzip_pickle(z, pickle, n, &four, 4);
}

/* What a state dict says of one bf16 matrix, which is storage number `key`. */
static inline void torchzip_tensor(struct torchzip *z, unsigned char *pickle, int64_t *n, const char *name,
                                   int key, int64_t rows, int64_t cols)
{
#define PUT(text) torchzip_pickle(z, pickle, n, text, (int64_t)sizeof(text) - 1)
    char number[16];
    snprintf(number, sizeof number, "%d", key);
    torchzip_text(z, pickle, n, name);
    PUT("ctorch._utils\n_rebuild_tensor_v2\n((");
    torchzip_text(z, pickle, n, "storage");
    PUT("ctorch\nBFloat16Storage\n");
    torchzip_text(z, pickle, n, number);
    torchzip_text(z, pickle, n, "cpu");
    torchzip_int(z, pickle, n, rows * cols);
    PUT("tQK\0");
    torchzip_int(z, pickle, n, rows);
    torchzip_int(z, pickle, n, cols);
    PUT("\x86");
    torchzip_int(z, pickle, n, cols);
    torchzip_int(z, pickle, n, 1);
    PUT("\x86\x89");
    PUT("ccollections\nOrderedDict\n)RtR");
#undef PUT
}

#endif
