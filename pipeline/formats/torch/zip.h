/* ZIP archives as places in a file: the central directory of entries that are stored as they are.
 *
 * Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5 (ZIP64 included). Nothing is unpacked: a
 * compressed or encrypted entry is refused, so that every entry is a run of bytes at an offset. An archive is
 * hostile input. Offsets, sizes and counts are checked before use; entries may neither share bytes nor names,
 * and the header before each entry must agree with the directory. Checksums are not compared: torch may leave
 * them out. */
#ifndef SINEW_ZIP_H
#define SINEW_ZIP_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct zip_entry {
    const char *name;
    int64_t header_bytes; /* where its own header begins; the data may lie further behind it than the
                             directory says */
    int64_t offset_bytes; /* of its data, from the start of the file */
    int64_t size_bytes;
};

struct zip {
    const char *path;
    int fd;                          /* borrowed */
    int64_t start_bytes, size_bytes; /* of the archive in the file */
    int64_t nentries;
    struct zip_entry *entries;        /* sorted by name, bytewise */
    int64_t directory_bytes;          /* where the central directory begins */
    uint64_t directory_hash;          /* XXH3 of the central directory and of the places found */
    const unsigned char *head, *tail; /* the archive's first and last bytes, kept for what reads them again */
    int64_t head_bytes, tail_bytes;
};

/* Local. Reads the directory and the header of every entry of an open regular file of size_bytes. path: for
 * messages, borrowed as long as z is used. Everything is owned by the arena. Errors: DATA for an archive that
 * breaks the format or holds what is refused (which rule, entry, expected, found), SYSTEM where the file
 * cannot be read. */
err_t zip_open(struct zip *z, const char *path, int fd, int64_t size_bytes, struct arena *a, struct err *e);

/* Local. The same of an archive that is size_bytes of a file, from start_bytes on: places in entries are from
 * the start of the file, those in messages from the start of the archive, which `path` must name. What an
 * archive of one tensor holds beside it is read with two calls to the system. The range must lie in the file.
 */
err_t zip_open_at(struct zip *z, const char *path, int fd, int64_t start_bytes, int64_t size_bytes,
                  struct arena *a, struct err *e);

/* Local. An entry by name; NULL where there is none. Binary search. */
const struct zip_entry *zip_find(const struct zip *z, const char *name);

/* Local. The whole entry, arena-owned. Errors: DATA where it is longer than max_bytes, or the file has become
 * shorter. */
err_t zip_read(const struct zip *z, const struct zip_entry *entry, int64_t max_bytes, struct arena *a,
               char **bytes, struct err *e);

#endif
