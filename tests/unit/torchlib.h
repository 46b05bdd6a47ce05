/* Zip archives made by hand, byte by byte, as torch.save writes them, and places in them where a test does
 * harm. */
#ifndef SINEW_TORCHLIB_H
#define SINEW_TORCHLIB_H

#include "unitlib.h"

enum { ZIPPED_BYTES = 1 << 16, ZIPPED_ENTRIES = 16 };

struct zipped {
    unsigned char b[ZIPPED_BYTES];
    size_t n;
    int entries;
    const char *names[ZIPPED_ENTRIES];
    size_t local[ZIPPED_ENTRIES]; /* where each entry's own header begins */
    size_t data[ZIPPED_ENTRIES];  /* its data */
    size_t sizes[ZIPPED_ENTRIES];
    size_t header[ZIPPED_ENTRIES]; /* its header in the central directory */
    size_t end64, locator, end;    /* the records behind it; 0 where there is none */
};

static inline void put_bytes(struct zipped *z, const void *p, size_t n)
{
    assert_true(z->n + n <= sizeof z->b);
    memcpy(z->b + z->n, p, n);
    z->n += n;
}

static inline void set_number(struct zipped *z, size_t at, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        z->b[at + (size_t)i] = i < 8 ? (unsigned char)(x >> (8 * i)) : 0;
}

static inline void put_number(struct zipped *z, uint64_t x, int bytes)
{
    assert_true(z->n + (size_t)bytes <= sizeof z->b);
    z->n += (size_t)bytes;
    set_number(z, z->n - (size_t)bytes, x, bytes);
}

/* An entry stored as it is, its data at a multiple of 64 bytes, by padding in the local header's extra field
 * alone, as torch has it. streamed: sizes are 0 in its own header and stand in a descriptor behind the data.
 */
static inline void zipped_add(struct zipped *z, const char *name, const void *data, size_t n, int streamed)
{
    int i = z->entries++;
    assert_true(i < ZIPPED_ENTRIES);
    z->names[i] = name;
    z->local[i] = z->n;
    z->sizes[i] = n;
    size_t pad = 64 - (z->n + 30 + strlen(name) + 4) % 64;
    put_bytes(z, "PK\3\4", 4);
    put_number(z, 0, 2);
    put_number(z, streamed ? 0x808 : 0x800, 2);
    put_number(z, 0, 10); /* method, time, checksum */
    put_number(z, streamed ? 0 : n, 4);
    put_number(z, streamed ? 0 : n, 4);
    put_number(z, strlen(name), 2);
    put_number(z, 4 + pad, 2);
    put_bytes(z, name, strlen(name));
    put_bytes(z, "FB", 2);
    put_number(z, pad, 2);
    for (size_t k = 0; k < pad; k++)
        put_bytes(z, "Z", 1);
    z->data[i] = z->n;
    put_bytes(z, data, n);
    if (streamed) {
        put_bytes(z, "PK\7\10", 4);
        put_number(z, 0, 4);
        put_number(z, n, 4);
        put_number(z, n, 4);
    }
}

/* The central directory and the end. wide: with the records of ZIP64, and sizes and places only there. */
static inline void zipped_end(struct zipped *z, int wide)
{
    size_t start = z->n, full;
    for (int i = 0; i < z->entries; i++) {
        z->header[i] = z->n;
        put_bytes(z, "PK\1\2", 4);
        put_number(z, 0, 4);
        put_number(z, 0x800, 2);
        put_number(z, 0, 10);
        put_number(z, wide ? 0xffffffff : z->sizes[i], 4);
        put_number(z, wide ? 0xffffffff : z->sizes[i], 4);
        put_number(z, strlen(z->names[i]), 2);
        put_number(z, wide ? 28 : 0, 2);
        put_number(z, 0, 10);
        put_number(z, wide ? 0xffffffff : z->local[i], 4);
        put_bytes(z, z->names[i], strlen(z->names[i]));
        if (wide) {
            put_number(z, 1, 2);
            put_number(z, 24, 2);
            put_number(z, z->sizes[i], 8);
            put_number(z, z->sizes[i], 8);
            put_number(z, z->local[i], 8);
        }
    }
    full = z->n - start;
    if (wide) {
        z->end64 = z->n;
        put_bytes(z, "PK\6\6", 4);
        put_number(z, 44, 8);
        put_number(z, 0, 4);
        put_number(z, 0, 8);
        put_number(z, (uint64_t)z->entries, 8);
        put_number(z, (uint64_t)z->entries, 8);
        put_number(z, full, 8);
        put_number(z, start, 8);
        z->locator = z->n;
        put_bytes(z, "PK\6\7", 4);
        put_number(z, 0, 4);
        put_number(z, z->end64, 8);
        put_number(z, 1, 4);
    }
    z->end = z->n;
    put_bytes(z, "PK\5\6", 4);
    put_number(z, 0, 4);
    put_number(z, wide ? 0xffff : (uint64_t)z->entries, 2);
    put_number(z, wide ? 0xffff : (uint64_t)z->entries, 2);
    put_number(z, wide ? 0xffffffff : full, 4);
    put_number(z, wide ? 0xffffffff : start, 4);
    put_number(z, 0, 2);
}

static inline void bytes_write(const char *path, const void *bytes, size_t n)
{
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The message of an error: contains all of words[4] (NULL ends them), no control characters. */
static inline void check_message(const struct err *e, const char *what, const char *const words[4])
{
    for (int i = 0; i < 4 && words[i]; i++)
        if (!strstr(e->text, words[i]))
            fail_msg("%s: expected \"%s\" in: %s", what, words[i], e->text);
    for (const char *p = e->text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    if (getenv("SINEW_TEST_SHOW"))
        print_message("%s: %s\n", what, e->text);
}

#endif
