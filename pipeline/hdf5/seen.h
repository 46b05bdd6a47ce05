/* Seen: hashes of what a process writes into a file, taken while the bytes are in its cache, so that who
 * seals the file (digest.h) reads again only what nobody has hashed: HDF5's own structures, blocks of which
 * two processes have written a part each, and what was written more than once.
 *
 * Each process has a seen of its own for the file and tells it of all that it writes there. A block counts as
 * known where exactly one process has written it, whole and in one piece, and nobody has touched it since. */
#ifndef SINEW_SEEN_H
#define SINEW_SEEN_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct seen_file;

enum { SEEN_KNOWN = 1 }; /* what the marks of all processes for a block add up to where its hash is known */

/* Local. Nothing has been written. Owned by the arena. It grows with what is written, by 1 byte of 2000, to
 * 16 MiB or a 64th of the budget at most; what is written beyond that is not known. */
err_t seen_create(struct seen_file **out, struct arena *a, struct err *e);

/* Local. Bytes [at, at + n) of the file are these from now on. */
void seen_write(struct seen_file *s, int64_t at, int64_t n, const void *bytes);

/* Local. What is known of page k of the file's list of hashes (DIGEST_PAGE blocks): hashes, 0 where not
 * known, and marks, which are to be added up over the processes, as the hashes are. */
void seen_page(const struct seen_file *s, int64_t k, uint64_t *hashes, uint16_t *marks);

#endif
