/* Files and folders that are only memory, in place of a disk's: what a target's input is made of is opened,
 * listed and read without the kernel, which took most of the time.
 *
 * The calls that parsers make of the C library (open, stat, opendir, pread, ... : DISK_CALLS in
 * CMakeLists.txt) are led here by the linker's --wrap. A path below DISK is answered from a table, and no
 * other place can be reached from there; all other paths and descriptors go on to the C library. What is read
 * is copied out of the very buffer that a target gave, so that a sanitizer sees a read behind its end. One
 * thread; nothing can be written, for nothing that is fuzzed writes. */
#ifndef SINEW_FUZZ_DISK_H
#define SINEW_FUZZ_DISK_H

#include <stddef.h>

#define DISK "/fuzz"

/* An empty file and the folders above it. path: absolute, below DISK, kept as a copy.
 * Returns its number; aborts where the table is full. */
int disk_file(const char *path);

/* The file's content. data: borrowed until the next call for this file. */
void disk_write(int file, const void *data, size_t size);

/* How many descriptors and folders are open: none, once an input is done with. */
int disk_open_count(void);

#endif
