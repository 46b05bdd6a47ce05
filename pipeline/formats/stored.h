/* Stored tensors: what any format tells of a tensor and of the file it lies in.
 *
 * A format (format.h) fills these lists from headers; a checkpoint reads by them. Nothing here opens a file.
 */
#ifndef SINEW_STORED_H
#define SINEW_STORED_H

#include "base/err.h"
#include "base/mem.h"
#include "elements/tensor.h"

#include <stdint.h>

/* A piece: a box of a tensor, and where the box's elements lie. */
struct stored_piece {
    int64_t start[TENSOR_MAX_NDIM], dims[TENSOR_MAX_NDIM]; /* per axis of the tensor; of a flat cut the first
                                                              alone, in the row-major order of all elements */
    enum dtype dtype;       /* the tensor's: a piece of another type is refused */
    int file;               /* index into the list of files */
    int64_t offset_bytes;   /* of the box's first element, from the start of the file */
    int64_t span_bytes;     /* to behind its last; filled in by stored_assemble */
    const int64_t *strides; /* as a tensor's; NULL in a flat cut */
};

/* The pieces of a tensor that lies in several: each element in exactly one. */
struct stored_cut {
    int flat; /* pieces are runs of the row-major order of all elements, each without gaps */
    int64_t n;
    struct stored_piece *v; /* by start; none is empty */
    int64_t *reach;         /* of piece i: the largest end along the first axis of pieces 0 to i */
};

struct decoding;

enum { STORED_NOWHERE = -1 };

struct stored_tensor {
    const char *name;
    enum dtype dtype;
    int ndim;
    int64_t dims[TENSOR_MAX_NDIM];
    int64_t elements;
    int64_t layer; /* -1 where there is none */
    const char *module;
    int file;             /* index into the list of files; of several pieces the first one's, as is the next.
                             STORED_NOWHERE: the tensor is derived, nothing of it is stored, its decoding says how it
                             comes about */
    int64_t offset_bytes; /* of the first element, from the start of the file */
    int64_t size_bytes;   /* of all elements; where they do not lie row-major, not of the place they take */
    const int64_t
        *strides; /* NULL: row-major, without gaps. Else elements to step per axis, each >= 0, as torch
                     saves a transposed, sliced or expanded tensor; several may share their bytes */
    const struct stored_cut *cut;  /* NULL: all elements lie as said here, in one piece. Else in several */
    struct decoding *decoding;     /* NULL: its elements are what they say; else how they become numbers
                                      (decoder.h) */
    const struct decoding *serves; /* NULL: it is a tensor for its own sake; else whose decoding needs it */
};

struct stored_file {
    const char *path; /* as opened: folder + name */
    int64_t size_bytes;
    int64_t mtime_ns;
    uint64_t
        header_hash;  /* XXH3 of the header (8 + N bytes for safetensors; data.pkl and directory for torch) */
    int fd;           /* -1 while not open; a checkpoint's, as are the next */
    int64_t last_use; /* checkpoint.reads at the last read */
    uint64_t sample;  /* what checkpoint_sample found, once it has looked */
    int sampled;
};

/* How the simulated text begins of a checkpoint that holds no weights, only holes in their place. */
#define STORED_HOLLOW "hollow:"

/* What opening a format gives: tensors in any order, and the files they lie in. */
struct stored_list {
    const char *simulated;  /* text of the files' own "simulated" metadata, NULL for real weights */
    const char *note;       /* what was taken, a sentence or two for who compares it; NULL: nothing to say */
    int adapted;            /* an adapter is part of it: what is chosen of adapters matters */
    const char *config_dir; /* folder of the model's config.json; NULL: the checkpoint's own */
    int64_t ntensors, nfiles;
    struct stored_tensor *tensors;
    struct stored_file *files;
    int64_t files_cap; /* of stored_add_file */
};

/* Local. The next file of a list, not open; path is borrowed. Errors: SYSTEM over budget. */
err_t stored_add_file(struct stored_list *list, const char *path, int64_t size_bytes, int64_t mtime_ns,
                      uint64_t header_hash, struct arena *a, struct err *e);

/* Local. Several lists as one: files in the given order, tensors sorted. The parts' arrays of tensors go back
 * to the arena. Errors: SYSTEM over budget. */
err_t stored_join(struct stored_list *out, const struct stored_list *parts, int64_t n, struct arena *a,
                  struct err *e);

/* Local. The tensors by name, bytewise; of one name, by file. Pure. */
void stored_sort(struct stored_list *list);

/* Local. One of n tensors sorted by name; NULL if there is none. Binary search. Pure. */
const struct stored_tensor *stored_find(const struct stored_tensor *tensors, int64_t n, const char *name);

/* Local. The one whose name is `name` with its end replaced; NULL: the name ends otherwise, there is none, or
 * e is set (memory). */
const struct stored_tensor *stored_find_named(const struct stored_list *list, const char *name,
                                              const char *end, const char *by, struct arena *a,
                                              struct err *e);

/* Local. Completes t, whose name, type and shape are filled in, from its n pieces: elements, size, and place
 * or cut. v and what its strides point to are the arena's, and t's from now on. flat: pieces are runs of the
 * row-major order of all elements. The same box twice (a replica) is taken once, the first that is given; an
 * empty one is passed over. Pieces that lie in the order of the tensor without strides become a flat cut, one
 * piece no cut at all. Every element must lie in exactly one piece, every piece within t and its file, and of
 * t's type: else DATA, under `path`, with the tensor and the first elements concerned. Cost: that of sorting
 * the pieces' corners. */
err_t stored_assemble(struct stored_tensor *t, struct stored_piece *v, int64_t n, int flat,
                      const struct stored_list *files, const char *path, struct arena *a, struct err *e);

/* Local, pure. Does t lie in the row-major order of its elements, in one run or several one behind the other?
 * Not where it is derived. */
int stored_in_runs(const struct stored_tensor *t);

/* Local, pure. The first piece of a cut that may hold what lies at index `at` of the first axis (of a flat
 * cut: element `at`) or behind; those that hold it follow until one starts behind it. */
int64_t stored_piece_from(const struct stored_cut *cut, int64_t at);

/* Local. Bytes from the first element to behind the last, as the strides lay them out; -1 where that
 * overflows. Of a tensor in one piece. Pure. */
int64_t stored_span(const struct stored_tensor *t);

#endif
