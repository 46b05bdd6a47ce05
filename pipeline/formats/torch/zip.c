#include "formats/torch/zip.h"

#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    END_BYTES = 22,       /* end of central directory record, without its comment */
    MAX_COMMENT = 65535,  /* of the end record */
    LOCATOR_BYTES = 20,   /* of the ZIP64 end record */
    END64_BYTES = 56,     /* ZIP64 end record without its extensible part */
    DIRECTORY_BYTES = 46, /* header of an entry in the directory, without name, extra and comment */
    LOCAL_BYTES = 30,     /* header before an entry's data, without name and extra */
    USUAL_BYTES = 256,    /* the same with both, mostly: read at once */
    HEAD_BYTES =
        1024, /* of the archive, kept while it is opened: what torch writes before its first storage */
    TAIL_BYTES = 2048, /* and behind its last, directory included, if there are few */
    MAX_NAME = 1024,
    MAX_ENTRIES = 1 << 20,
    MAX_DIRECTORY = 100000000 /* as large as a safetensors header may be */
};
static const uint32_t END_MARK = 0x06054b50, LOCATOR_MARK = 0x07064b50, END64_MARK = 0x06064b50,
                      DIRECTORY_MARK = 0x02014b50, LOCAL_MARK = 0x04034b50;
enum { ALL_ONES_16 = 0xffff, EXTRA_ZIP64 = 1 };
static const uint32_t ALL_ONES_32 = 0xffffffff;

/* Bits of the flags of an entry. */
enum { FLAG_ENCRYPTED = 1, FLAG_DESCRIPTOR = 8, FLAG_PATCHED = 32, FLAG_STRONG = 64, FLAG_MASKED = 1 << 13 };

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}
static uint32_t u16(const unsigned char *p)
{
    return (uint32_t)number(p, 2);
}
static uint32_t u32(const unsigned char *p)
{
    return (uint32_t)number(p, 4);
}
static uint64_t u64(const unsigned char *p)
{
    return number(p, 8);
}

/* Bytes of the archive. */
static err_t read_file(const struct zip *z, int64_t at, int64_t n, void *to, struct err *e)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got =
            pread(z->fd, (char *)to + done, (size_t)(n - done), (off_t)(z->start_bytes + at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(e, ERR_SYSTEM, "%s: cannot be read at byte %lld: %s", z->path,
                           (long long)(at + done), strerror(errno));
        if (got == 0)
            return err_set(e, ERR_DATA, "%s: ended while it was read: expected %lld bytes, found %lld",
                           z->path, (long long)z->size_bytes, (long long)(at + done));
        done += got;
    }
    return ERR_OK;
}

/* The same, from what is kept of the archive's ends where it lies there: an archive of one small tensor costs
 * two reads then, and a checkpoint may hold 1e5 of them. */
static err_t read_at(const struct zip *z, int64_t at, int64_t n, void *to, struct err *e)
{
    const int64_t tail = z->size_bytes - z->tail_bytes;
    if (at >= 0 && n <= z->head_bytes && at <= z->head_bytes - n)
        memcpy(to, z->head + at, (size_t)n);
    else if (at >= tail && n <= z->tail_bytes && at - tail <= z->tail_bytes - n)
        memcpy(to, z->tail + (at - tail), (size_t)n);
    else
        return read_file(z, at, n, to, e);
    return ERR_OK;
}

/* Reads the archive's ends into what is kept of them. */
static err_t keep_ends(struct zip *z, struct arena *a, struct err *e)
{
    unsigned char *head, *tail;
    int64_t n = min64(z->size_bytes, TAIL_BYTES), before = min64(z->size_bytes - n, HEAD_BYTES);
    TRY(arena_array(a, "zip.ends", n, &tail, e));
    TRY(arena_array(a, "zip.ends", before, &head, e));
    TRY(read_file(z, z->size_bytes - n, n, tail, e));
    TRY(read_file(z, 0, before, head, e));
    z->head = head;
    z->tail = tail;
    z->head_bytes = before;
    z->tail_bytes = n;
    return ERR_OK;
}

/* ---- the end of the archive ---- */

struct end {
    uint64_t entries, size, offset; /* of the central directory */
    int64_t at;                     /* where the first of the end records begins: the directory ends there */
};

/* Where the record that ends the archive begins in its last n bytes, comment included; -1: nowhere. Looked
 * for from behind, as readers do. */
static int64_t end_in(const unsigned char *p, int64_t n)
{
    for (int64_t i = n - END_BYTES; i >= 0; i--)
        if (u32(p + i) == END_MARK && i + END_BYTES + (int64_t)u16(p + i + 20) == n)
            return i;
    return -1;
}

/* Without a comment it lies in the end that is kept. */
static err_t find_end(const struct zip *z, struct arena *a, struct end *end, struct err *e)
{
    int64_t tail = z->tail_bytes, at = end_in(z->tail, tail);
    unsigned char *p = NULL;
    if (at < 0 && tail < z->size_bytes) {
        tail = min64(z->size_bytes, END_BYTES + MAX_COMMENT);
        TRY(arena_array(a, "zip.tail", tail, &p, e));
        TRY(read_file(z, z->size_bytes - tail, tail, p, e));
        at = end_in(p, tail);
    }
    if (at < 0) {
        arena_drop(a, p);
        return err_set(
            e, ERR_DATA,
            "%s: truncated, or no zip archive: expected the end of its central directory at the end of the "
            "file of %lld bytes, found none; copy the file again",
            z->path, (long long)z->size_bytes);
    }
    const unsigned char *q = (p ? p : z->tail) + at;
    int split = u16(q + 4) != 0 || u16(q + 6) != 0 || u16(q + 8) != u16(q + 10);
    *end = (struct end){u16(q + 10), u32(q + 12), u32(q + 16), z->size_bytes - tail + at};
    arena_drop(a, p);
    return split ? err_set(e, ERR_DATA, "%s: zip archive in several parts, expected one file", z->path)
                 : ERR_OK;
}

/* The ZIP64 record before it, where there is one, has the say; what the old record still holds must agree. */
static err_t find_end64(const struct zip *z, struct end *end, struct err *e)
{
    unsigned char p[END64_BYTES];
    if (end->at < LOCATOR_BYTES)
        return ERR_OK;
    int64_t locator = end->at - LOCATOR_BYTES;
    TRY(read_at(z, locator, LOCATOR_BYTES, p, e));
    if (u32(p) != LOCATOR_MARK)
        return ERR_OK;
    uint64_t at = u64(p + 8);
    if (u32(p + 4) != 0 || u32(p + 16) > 1)
        return err_set(e, ERR_DATA, "%s: zip archive in several parts, expected one file", z->path);
    if (locator < END64_BYTES || at > (uint64_t)(locator - END64_BYTES))
        return err_set(e, ERR_DATA,
                       "%s: ZIP64 end record at byte %" PRIu64
                       ": expected before byte %lld, where its locator stands",
                       z->path, at, (long long)locator);
    TRY(read_at(z, (int64_t)at, END64_BYTES, p, e));
    if (u32(p) != END64_MARK || u64(p + 4) != (uint64_t)locator - at - 12)
        return err_set(e, ERR_DATA, "%s: no ZIP64 end record of fitting size at byte %" PRIu64, z->path, at);
    struct end wide = {u64(p + 32), u64(p + 40), u64(p + 48), (int64_t)at};
    if (u32(p + 16) != 0 || u32(p + 20) != 0 || u64(p + 24) != wide.entries)
        return err_set(e, ERR_DATA, "%s: zip archive in several parts, expected one file", z->path);
    if ((end->entries != ALL_ONES_16 && end->entries != wide.entries) ||
        (end->size != ALL_ONES_32 && end->size != wide.size) ||
        (end->offset != ALL_ONES_32 && end->offset != wide.offset))
        return err_set(e, ERR_DATA,
                       "%s: the two end records of the zip archive contradict each other: %" PRIu64
                       " and %" PRIu64 " entries, directory of %" PRIu64 " and %" PRIu64 " bytes at %" PRIu64
                       " and %" PRIu64,
                       z->path, end->entries, wide.entries, end->size, wide.size, end->offset, wide.offset);
    *end = wide;
    return ERR_OK;
}

static err_t check_end(const struct zip *z, const struct end *end, struct err *e)
{
    uint64_t behind;
    if (size_add(end->offset, end->size, &behind) != 0 || behind != (uint64_t)end->at)
        return err_set(e, ERR_DATA,
                       "%s: central directory of %" PRIu64 " bytes at byte %" PRIu64
                       ": expected to end at byte %lld, where the end record begins",
                       z->path, end->size, end->offset, (long long)end->at);
    if (end->size > MAX_DIRECTORY)
        return err_set(e, ERR_DATA, "%s: central directory of %" PRIu64 " bytes, expected at most %d",
                       z->path, end->size, MAX_DIRECTORY);
    if (end->entries > MAX_ENTRIES || end->entries * DIRECTORY_BYTES > end->size)
        return err_set(e, ERR_DATA,
                       "%s: %" PRIu64
                       " entries announced, expected at most %d and what fits a central directory of "
                       "%" PRIu64 " bytes",
                       z->path, end->entries, MAX_ENTRIES, end->size);
    return ERR_OK;
}

/* ---- the directory ---- */

/* The fields of an entry's header that a ZIP64 extra field may hold instead. */
struct sizes {
    uint64_t full, stored, header;
};

/* Puts the values of the ZIP64 extra field in place of those that are all ones. wants_header: the offset too
 * may be there. 0; -1 where the extra field is damaged, comes twice or lacks a value. */
static int widen(const unsigned char *extra, int n, int wants_header, struct sizes *s)
{
    const unsigned char *found = NULL;
    int found_bytes = 0;
    for (int i = 0; i < n;) {
        if (n - i < 4)
            return -1;
        int bytes = (int)u16(extra + i + 2);
        if (bytes > n - i - 4)
            return -1;
        if (u16(extra + i) == EXTRA_ZIP64) {
            if (found)
                return -1;
            found = extra + i + 4;
            found_bytes = bytes;
        }
        i += 4 + bytes;
    }
    uint64_t *const fields[] = {&s->full, &s->stored, &s->header};
    for (int k = 0; k < (wants_header ? 3 : 2); k++) {
        if (*fields[k] != ALL_ONES_32)
            continue;
        if (found_bytes < 8)
            return -1;
        *fields[k] = u64(found);
        found += 8;
        found_bytes -= 8;
    }
    return 0;
}

static err_t check_name(const struct zip *z, const unsigned char *name, int n, int64_t i, struct err *e)
{
    if (n == 0 || n > MAX_NAME)
        return err_set(e, ERR_DATA, "%s: zip entry %lld: name of %d bytes, expected 1 to %d", z->path,
                       (long long)i, n, MAX_NAME);
    for (int k = 0; k < n;) {
        int width = text_utf8((const char *)name + k, n - k);
        if (width == 0 || name[k] < 0x20 || name[k] == 0x7f)
            return err_set(e, ERR_DATA, "%s: zip entry %lld: its name holds the byte 0x%02x", z->path,
                           (long long)i, (unsigned)name[k]);
        k += width;
    }
    return ERR_OK;
}

/* One header of the directory at p, of which `left` bytes are left; *used receives its length. The name is
 * copied to *names, which moves on. */
static err_t take_entry(struct zip *z, const unsigned char *p, int64_t left, char **names, int64_t *used,
                        struct err *e)
{
    int64_t i = z->nentries;
    if (left < DIRECTORY_BYTES || u32(p) != DIRECTORY_MARK)
        return err_set(e, ERR_DATA,
                       "%s: central directory: no header of entry %lld of the archive where it is expected",
                       z->path, (long long)i);
    int name = (int)u16(p + 28), extra = (int)u16(p + 30), comment = (int)u16(p + 32);
    *used = DIRECTORY_BYTES + name + extra + comment;
    if (*used > left)
        return err_set(e, ERR_DATA, "%s: central directory: entry %lld is cut off", z->path, (long long)i);
    p += DIRECTORY_BYTES;
    TRY(check_name(z, p, name, i, e));
    memcpy(*names, p, (size_t)name);
    struct zip_entry *entry = &z->entries[i];
    entry->name = *names;
    *names += name + 1; /* the buffer is zeroed */
    const unsigned char *extras = p + name;
    p -= DIRECTORY_BYTES;
    unsigned flags = u16(p + 8), method = u16(p + 10);
    if (flags & (FLAG_ENCRYPTED | FLAG_PATCHED | FLAG_STRONG | FLAG_MASKED))
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s is encrypted or patched (flags 0x%04x), expected plain data",
                       z->path, entry->name, flags);
    if (method != 0)
        return err_set(
            e, ERR_DATA,
            "%s: zip entry %.300s is compressed (method %u), expected to be stored as torch.save does: "
            "TorchScript, or zipped again; load it with torch and save its state dict",
            z->path, entry->name, method);
    struct sizes s = {u32(p + 24), u32(p + 20), u32(p + 42)};
    if (widen(extras, extra, 1, &s) != 0)
        return err_set(e, ERR_DATA, "%s: zip entry %.300s: damaged extra field in the central directory",
                       z->path, entry->name);
    if (s.full != s.stored)
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s: %" PRIu64 " bytes stored as %" PRIu64 ", expected as many",
                       z->path, entry->name, s.full, s.stored);
    uint64_t room = (uint64_t)z->directory_bytes;
    if (s.header > room || room - s.header < LOCAL_BYTES || s.full > room - s.header - LOCAL_BYTES)
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s: %" PRIu64 " bytes behind its header at byte %" PRIu64
                       ": expected before the central directory at byte %" PRIu64 " of a file of %lld bytes",
                       z->path, entry->name, s.full, s.header, room, (long long)z->size_bytes);
    entry->header_bytes = (int64_t)s.header;
    entry->size_bytes = (int64_t)s.full;
    z->nentries++;
    return ERR_OK;
}

/* ---- the headers before the data ---- */

/* What an entry's own header says. */
struct local {
    unsigned flags, method;
    struct sizes sizes;
    int64_t name, extra, behind; /* bytes of both, and where the data begin */
};

/* Reads it into `usual`, of USUAL_BYTES, or into a buffer of the arena where it is longer; *out is either. It
 * ends, with the data behind it, before the directory. */
static err_t read_local(const struct zip *z, const struct zip_entry *entry, struct local *l,
                        unsigned char *usual, unsigned char **out, struct arena *a, struct err *e)
{
    int64_t got = z->directory_bytes - entry->header_bytes; /* LOCAL_BYTES or more */
    got = got < USUAL_BYTES ? got : USUAL_BYTES;
    TRY(read_at(z, entry->header_bytes, got, usual, e));
    *out = usual;
    if (u32(usual) != LOCAL_MARK)
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s: no header at byte %lld, where the central directory has it",
                       z->path, entry->name, (long long)entry->header_bytes);
    *l = (struct local){.flags = u16(usual + 6),
                        .method = u16(usual + 8),
                        .sizes = {u32(usual + 22), u32(usual + 18), 0},
                        .name = u16(usual + 26),
                        .extra = u16(usual + 28)};
    int64_t bytes = LOCAL_BYTES + l->name + l->extra;
    l->behind = entry->header_bytes + bytes;
    if (l->behind > z->directory_bytes || entry->size_bytes > z->directory_bytes - l->behind)
        return err_set(
            e, ERR_DATA,
            "%s: zip entry %.300s: %lld bytes from byte %lld on: expected before the central directory at "
            "byte %lld",
            z->path, entry->name, (long long)entry->size_bytes, (long long)l->behind,
            (long long)z->directory_bytes);
    if (bytes <= got)
        return ERR_OK;
    TRY(arena_array(a, "zip.header", bytes, out, e));
    return read_at(z, entry->header_bytes, bytes, *out, e);
}

/* The local header decides where the data begin, because its extra field has a length of its own; all else
 * that it says must be what the directory says. */
static err_t check_local(const struct zip *z, struct zip_entry *entry, struct arena *a, struct err *e)
{
    unsigned char usual[USUAL_BYTES], *buf;
    struct local l;
    TRY(read_local(z, entry, &l, usual, &buf, a, e));
    const unsigned char *name = buf + LOCAL_BYTES;
    if (l.method != 0 || (l.flags & (FLAG_ENCRYPTED | FLAG_PATCHED | FLAG_STRONG | FLAG_MASKED)) ||
        (size_t)l.name != strlen(entry->name) || memcmp(name, entry->name, (size_t)l.name) != 0)
        return err_set(
            e, ERR_DATA,
            "%s: zip entry %.300s: its own header at byte %lld tells another name, method or encryption than "
            "the central directory",
            z->path, entry->name, (long long)entry->header_bytes);
    /* A writer that streams leaves the sizes to a descriptor behind the data: 0 here then. */
    struct sizes *s = &l.sizes;
    int later = (l.flags & FLAG_DESCRIPTOR) != 0, wide = s->full == ALL_ONES_32 || s->stored == ALL_ONES_32;
    if (wide && !later && widen(name + l.name, (int)l.extra, 0, s) != 0)
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s: damaged extra field in its own header at byte %lld", z->path,
                       entry->name, (long long)entry->header_bytes);
    int untold = later && (wide || (s->full == 0 && s->stored == 0));
    if (!untold && (s->full != (uint64_t)entry->size_bytes || s->stored != (uint64_t)entry->size_bytes))
        return err_set(e, ERR_DATA,
                       "%s: zip entry %.300s: %lld bytes in the central directory, %" PRIu64
                       " in its own header at byte "
                       "%lld; expected the same",
                       z->path, entry->name, (long long)entry->size_bytes, s->full,
                       (long long)entry->header_bytes);
    entry->offset_bytes = l.behind;
    if (buf != usual)
        arena_drop(a, buf);
    return ERR_OK;
}

static int by_header(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return (x->header_bytes > y->header_bytes) - (x->header_bytes < y->header_bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct zip_entry *)a)->name, ((const struct zip_entry *)b)->name);
}

/* All entries against each other, in the order of their places; then by name. */
static err_t check_entries(struct zip *z, struct arena *a, struct err *e)
{
    if (z->nentries > 0)
        qsort(z->entries, (size_t)z->nentries, sizeof *z->entries, by_header);
    for (int64_t i = 0; i < z->nentries; i++) {
        struct zip_entry *entry = &z->entries[i];
        TRY(check_local(z, entry, a, e));
        if (i > 0 && entry[-1].offset_bytes + entry[-1].size_bytes > entry->header_bytes)
            return err_set(
                e, ERR_DATA,
                "%s: zip entries %.300s and %.300s overlap: the first ends at byte %lld, the second begins "
                "at byte %lld",
                z->path, entry[-1].name, entry->name,
                (long long)(entry[-1].offset_bytes + entry[-1].size_bytes), (long long)entry->header_bytes);
        const uint64_t place[] = {z->directory_hash, (uint64_t)entry->offset_bytes};
        z->directory_hash = hash_bytes(place, sizeof place);
    }
    for (int64_t i = 0; i < z->nentries; i++) {
        z->entries[i].header_bytes += z->start_bytes;
        z->entries[i].offset_bytes += z->start_bytes;
    }
    if (z->nentries > 0)
        qsort(z->entries, (size_t)z->nentries, sizeof *z->entries, by_name);
    for (int64_t i = 1; i < z->nentries; i++)
        if (strcmp(z->entries[i - 1].name, z->entries[i].name) == 0)
            return err_set(e, ERR_DATA, "%s: zip entry %.300s stands there twice", z->path,
                           z->entries[i].name);
    return ERR_OK;
}

/* The entries, from what stands at the end of the archive. */
static err_t read_directory(struct zip *z, struct arena *a, struct err *e)
{
    struct end end = {0};
    TRY(find_end(z, a, &end, e));
    TRY(find_end64(z, &end, e));
    TRY(check_end(z, &end, e));
    z->directory_bytes = (int64_t)end.offset;
    unsigned char *p;
    char *names;
    int64_t size = (int64_t)end.size, at = 0, used = 0;
    TRY(arena_array(a, "zip.directory", size, &p, e));
    TRY(read_at(z, z->directory_bytes, size, p, e));
    TRY(arena_array(a, "zip.names", size, &names,
                    e)); /* an entry's header is longer than the end of a text */
    TRY(arena_array(a, "zip.entries", (int64_t)end.entries, &z->entries, e));
    for (uint64_t i = 0; i < end.entries; i++) {
        TRY(take_entry(z, p + at, size - at, &names, &used, e));
        at += used;
    }
    if (at != size)
        return err_set(e, ERR_DATA, "%s: central directory: %lld bytes behind its last entry, expected none",
                       z->path, (long long)(size - at));
    z->directory_hash = hash_bytes(p, (size_t)size);
    arena_drop(a, p);
    return check_entries(z, a, e);
}

err_t zip_open_at(struct zip *z, const char *path, int fd, int64_t start_bytes, int64_t size_bytes,
                  struct arena *a, struct err *e)
{
    *z = (struct zip){.path = path, .fd = fd, .start_bytes = start_bytes, .size_bytes = size_bytes};
    TRY(keep_ends(z, a, e));
    return read_directory(z, a, e);
}

err_t zip_open(struct zip *z, const char *path, int fd, int64_t size_bytes, struct arena *a, struct err *e)
{
    return zip_open_at(z, path, fd, 0, size_bytes, a, e);
}

const struct zip_entry *zip_find(const struct zip *z, const char *name)
{
    const struct zip_entry key = {.name = name};
    return z->nentries > 0 ? bsearch(&key, z->entries, (size_t)z->nentries, sizeof *z->entries, by_name)
                           : NULL;
}

err_t zip_read(const struct zip *z, const struct zip_entry *entry, int64_t max_bytes, struct arena *a,
               char **bytes, struct err *e)
{
    if (entry->size_bytes > max_bytes)
        return err_set(e, ERR_DATA, "%s: zip entry %.300s: %lld bytes, expected at most %lld", z->path,
                       entry->name, (long long)entry->size_bytes, (long long)max_bytes);
    TRY(arena_array(a, "zip.entry", entry->size_bytes, bytes, e));
    return read_at(z, entry->offset_bytes - z->start_bytes, entry->size_bytes, *bytes, e);
}
