/* Digests: what is read of a file is what was written into it.
 *
 * A sealed file carries, behind its data, the hashes of all of them. HDF5 looks at nothing behind its own
 * end, so that h5py, h5dump and links from other files read a sealed file as any other; who opens it to write
 * (h5py with "r+") cuts the digests off, and it is sealed no longer. All numbers are little-endian, all
 * hashes XXH3-64:
 *
 *   data     `bytes` bytes, cut into blocks of 16 KiB, the last one shorter
 *   list     8 bytes for each block: its hash
 *   pages    8 bytes for each 2048 entries of the list: their hash
 *   footer   64 bytes: "sinew digests 1\n", bytes, 16384, number of blocks, hash of the pages, 0, and the
 * hash of the footer up to here
 *
 * Every byte of the file is covered, HDF5's own structures included, and a block is checked whenever it is
 * read, by reading one page of the list beside it: the memory of an open file does not grow with it, but for
 * 8 bytes each 32 MiB. The hashes tell damage from wholeness, not friend from foe. */
#ifndef SINEW_DIGEST_H
#define SINEW_DIGEST_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum {
    DIGEST_BLOCK = 1 << 14, /* bytes of data that have a hash of their own */
    DIGEST_PAGE = 1 << 11   /* hashes in a page of the list */
};

/* ---- sealing ---- */

/* A file that is being sealed: each page of its list is computed by whoever likes, and put by one, in order.
 */
struct digest_writer {
    const char *path;
    struct arena *arena;
    int64_t bytes, nblocks, npages; /* of the data */
    uint64_t *pages;                /* hash of each page that was put */
    int64_t put;
    int fd; /* -1 where this process only computes */
};

/* Local. Begins for a file of so many bytes, complete and closed. puts: this process puts the pages. */
err_t digest_writer_open(struct digest_writer *w, const char *path, int64_t bytes, int puts, struct arena *a,
                         struct err *e);

/* Local. Computes page k: hashes has room for DIGEST_PAGE, and holds those of the blocks whose mark is
 * SEEN_KNOWN (hdf5/seen.h); the others are read from the file. marks: NULL, none is known. Returned in *n:
 * how many the page has. Errors: SYSTEM, not readable. */
err_t digest_writer_page(const struct digest_writer *w, int64_t k, const uint16_t *marks, uint64_t *hashes,
                         int *n, struct err *e);

/* Local. Writes the next page behind those before, and in the end what stands behind the last. */
err_t digest_writer_put(struct digest_writer *w, const uint64_t *hashes, int n, struct err *e);
err_t digest_writer_end(struct digest_writer *w, struct err *e);

/* Local. Closes; safe on one that could not be opened. */
void digest_writer_close(struct digest_writer *w);

/* Local. All of that by one process, which has written the file. seen: what it knows of it; NULL: nothing. */
struct seen_file;
err_t digest_seal_seen(const char *path, const struct seen_file *seen, struct arena *a, struct err *e);
err_t digest_seal(const char *path, struct arena *a, struct err *e);

/* ---- reading ---- */

struct digest; /* an open sealed file */

/* Local. Opens a sealed file. Its buffers are the arena's until digest_close. Errors: DATA "carries no
 * digests" where what stands at its end is no footer, or where the footer is damaged; SYSTEM. */
err_t digest_open(const char *path, struct arena *a, struct digest **out, struct err *e);
void digest_close(struct digest *d);

/* Local. Bytes of the data. The path it was opened by. */
int64_t digest_bytes(const struct digest *d);
const char *digest_path(const struct digest *d);

/* Local. Bytes [at, at + n) of the data, each block that they touch checked; behind the end there are zeros.
 * What does not match makes the file damaged: DATA, this and every later read fails with the same error,
 * which digest_error remembers (code ERR_OK: none), and a note of it is left beside the file (digest_noted).
 */
err_t digest_read(struct digest *d, int64_t at, int64_t n, void *buf);
const struct err *digest_error(const struct digest *d);

/* Local. Checks blocks [from, to) of the data without keeping them; *bad: the first that is damaged, -1 where
 * none is. Damage is no error here, and is noted as above; errors: SYSTEM. */
err_t digest_check(struct digest *d, int64_t from, int64_t to, int64_t *bad, struct err *e);

/* Local. Forgets the error, for who looks what else can be read. Returns the block it was met in, -1. */
int64_t digest_forget(struct digest *d);

/* ---- a file as a whole ---- */

/* Local. A hash that stands for all bytes of a sealed file; 0 where it is not sealed. */
uint64_t digest_of(const char *path);

/* Local. Is it known that this file is damaged? Whoever meets damage leaves the note PATH.damaged, where the
 * folder can be written, so that the file is made anew although its first bytes are whole. The note counts as
 * long as the file is the same by size and time. why: receives what was found. */
int digest_noted(const char *path, char *why, size_t size);

/* Local. Leaves such a note by hand: what belongs to this file is damaged elsewhere. */
void digest_note(const char *path, const char *what);

/* Local. Removes the note, if there is one: the file under that name is another one now. */
void digest_note_remove(const char *path);

#endif
