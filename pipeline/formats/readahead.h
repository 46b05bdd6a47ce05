/* Reader: pread with reading ahead, so that the next blocks of a file are on their way while the present ones
 * are computed on.
 *
 * The caller says which ranges it will read (readahead_want); threads of the reader's own fetch them into a
 * fixed number of blocks; readahead_read takes from there what has been fetched, and reads the rest itself. A
 * range that was announced and not read, or read and not announced, costs time and nothing else. So do the
 * threads' failures: a block that could not be fetched is read anew by the caller, who finds the error at the
 * read that needs it, as without a reader. All functions are for one thread of the process, that which made
 * the reader; the threads behind it call read(2)'s family alone, neither MPI nor HDF5.
 *
 * Files are not mapped. One that is cut short or cannot be read would then end the process by a signal, and
 * no check before a block is safe from what happens after it. What mapping gains is the file system's to say:
 * against pread 0.7 to 0.8 with pages of 4 KiB (tmpfs), 1.3 to 1.5 where the page cache has large ones (ext4,
 * if the block is then used in place). Nor is the file system told of the next blocks (POSIX_FADV_WILLNEED)
 * as a rule: in the page cache that costs a third to a half of reading them (tests/bench/bench_reader.c). */
#ifndef SINEW_READER_H
#define SINEW_READER_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>
#include <sys/types.h>

enum read_mode {
    READ_AUTO,   /* reads as `pread` until reads wait for a device, then as `thread`, until they do not */
    READ_PREAD,  /* reads when asked */
    READ_THREAD, /* reads ahead */
    READ_DIRECT  /* reads ahead and past the page cache, where the file system lets us; else as `thread` */
};

enum {
    READAHEAD_BLOCKS = 8,     /* fetched or under way at once */
    READAHEAD_THREADS = 2,    /* a pair has two files to read */
    READAHEAD_ALIGN = 4096,   /* of offset, size and buffer, for READ_DIRECT */
    READAHEAD_BLOCK = 1 << 19 /* default of block_bytes */
};

struct readahead_setting {
    int mode; /* enum read_mode */
    int64_t
        block_bytes; /* fetched at once, by one thread; rounded up to READAHEAD_ALIGN. 0: READAHEAD_BLOCK */
};

struct readahead;

/* Local. A reader, owned by the arena; ended by readahead_close before the arena is. Threads and blocks are
 * made when they are first needed; where they cannot be, over budget for one, the reader reads when asked. */
err_t readahead_open(struct readahead **r, const struct readahead_setting *how, struct arena *a,
                     struct err *e);

/* Local. Memory that a reader may take from its arena. Pure. */
int64_t readahead_bytes(const struct readahead_setting *how);

/* Local. Bytes of one block; 0 for NULL. */
int64_t readahead_block_bytes(const struct readahead *r);

/* Local. How many ranges readahead_want would take now. 0 where nothing is read ahead; r may be NULL. */
int readahead_room(struct readahead *r);

/* Local. Bytes [at, at+n) of fd, n at most block_bytes, will be read. tag: the caller's count, never
 * decreasing. fd stays open until readahead_forget. Without room nothing happens. */
void readahead_want(struct readahead *r, int fd, int64_t at, int64_t n, int64_t tag);

/* Local. What was announced with a tag below this one will not be read any more. */
void readahead_passed(struct readahead *r, int64_t tag);

/* Local. As pread(2): the bytes that were read, at least one and perhaps fewer than n, 0 at the end of the
 * file, -1 and errno. r may be NULL. */
ssize_t readahead_read(struct readahead *r, int fd, void *buf, int64_t n, int64_t at);

/* Local. fd is about to be closed: waits until no thread uses it. r may be NULL. */
void readahead_forget(struct readahead *r, int fd);

/* Local. Ends the threads and gives the blocks back. Waits for reads that are under way. r may be NULL. */
void readahead_close(struct readahead *r);

/* Local. Bytes that readahead_read took from what had been fetched, so far; for tests and measurements. */
int64_t readahead_fetched(const struct readahead *r);

#endif
