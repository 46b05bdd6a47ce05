/* Logits: a file of logits, or of entropies already computed, read row by row in bounded memory; a row is a
 * token. The formats plug in here and nowhere else:
 *   safetensors  tensors logits, token_ids (or input_ids), mask (or another name of companions.h)
 *   HDF5         datasets of the same names and shapes
 *   .npy         logits, or entropies where it has one dimension; bfloat16 as ml_dtypes writes it
 *   llama.cpp    the files of llama-perplexity --save-all-logits (llama.h)
 * Logits are [tokens, vocabulary] or [batch, tokens, vocabulary] in F16, BF16, F32 or F64. In place of logits
 * a safetensors or HDF5 file may hold "entropies" (or "entropy"), [tokens] or [batch, tokens], in nats. Which
 * format a file has is told by its first bytes. Opening reads headers only and checks every size before it is
 * used. */
#ifndef SINEW_LOGITS_H
#define SINEW_LOGITS_H

#include "formats/checkpoint.h"
#include "base/err.h"
#include "hdf5/h5.h"
#include "formats/logits/llama.h"
#include "base/mem.h"

#include <stdint.h>

struct logits {
    const char *path;     /* the file itself */
    const char *format;   /* "safetensors", "HDF5", ".npy", "llama.cpp" */
    int64_t tokens;       /* rows */
    int64_t vocabulary;   /* logits of a row; 0: the file holds entropies */
    int64_t per_sequence; /* rows of one sequence, 0 where there is no such dimension */
    int has_ids, has_mask;
    int64_t nunused; /* tensors with a value for each token that are not read: their names */
    const char **unused;
    int64_t size_bytes; /* of the file */
    int64_t row_bytes;  /* of a row in the file */

    /* The service's own. */
    struct checkpoint checkpoint; /* the one file, for checkpoint_read and checkpoint_verify */
    struct stored_file file;
    struct stored_tensor values, ids, mask; /* places in it; under HDF5 names and types only */
    struct h5 *h5;                          /* NULL: read by place */
    struct h5_source *h5_values, *h5_ids, *h5_mask;
    struct llama llama; /* chunks 0: another format */
    void *raw;          /* room for max_rows rows as they stand in the file */
    int64_t max_rows;
    struct readahead *reader;          /* NULL: each row is read when it is asked for */
    int64_t announced, expected_until; /* elements of values: up to which the reader was told, and may be */
};

/* Local. The file that a path of the config means: itself, or in a folder the first of logits.safetensors,
 * logits.h5 and logits.npy that is there (the first where none is). Arena-owned or path; NULL only when e is
 * set. */
const char *logits_file(const char *path, struct arena *a, struct err *e);

/* Local. Is `file` what logits_file may make of `path`? A folder never is: a checkpoint may be named so too.
 */
int logits_is_file_of(const char *file, const char *path);

/* Local. Opens path, a file or folder. l must not move while it is open; logits_close ends it, after a
 * failure as well. Errors: DATA for what breaks the format, misses, or does not fit together. */
err_t logits_open(struct logits *l, const char *path, struct arena *a, struct err *e);

/* Local. Makes room for reading up to max_rows rows at once, in the arena; 0 gives it back. */
err_t logits_reserve(struct logits *l, int64_t max_rows, struct arena *a, struct err *e);

/* Local. From now on rows are read as `how` says, ahead of what is asked for where it says so and the format
 * is read by place (not HDF5); NULL: when asked, as at first. The reader takes memory from the arena, and
 * gives it back at the next call or at logits_close, which comes before the arena's end. */
err_t logits_read_by(struct logits *l, const struct readahead_setting *how, struct arena *a, struct err *e);

/* Local. Rows [first, end) will be read, in order; what was said before is forgotten. A hint, as in
 * readahead.h: reading otherwise costs time alone. */
void logits_expect(struct logits *l, int64_t first, int64_t end);

/* Local. Rows [first, first+n), n <= max_rows, as float64: n * vocabulary logits (llama.cpp:
 * log-probabilities, which stand for the same distribution), or n entropies where vocabulary is 0. What they
 * are is not judged: NaN and Inf come through. Errors: DATA where the file has become shorter, or a row of
 * llama.cpp's has no scale; SYSTEM. */
err_t logits_read(struct logits *l, int64_t first, int64_t n, double *out, struct err *e);

/* Local. Do rows of logits stand in the file as BF16, F16, F32 or F64? Not in llama.cpp's; entropies are no
 * rows of logits. */
int logits_are_plain(const struct logits *l);

/* Local. The same rows of logits, but as they stand in the file: *type is BF16, F16, F32 or F64, *rows its n
 * * vocabulary elements, in l's own memory until the next call. llama.cpp's are converted into `room` (n *
 * vocabulary float64; else unused, may be NULL), which *rows is then. Not for entropies. */
err_t logits_rows(struct logits *l, int64_t first, int64_t n, double *room, enum dtype *type,
                  const void **rows, struct err *e);

/* Local. Of the same rows: the id of the token that was drawn from the row's distribution, or 1 for a row
 * that counts and 0 for one that does not. Only where has_ids or has_mask. */
err_t logits_read_ids(struct logits *l, int64_t first, int64_t n, int64_t *out, struct err *e);
err_t logits_read_mask(struct logits *l, int64_t first, int64_t n, int64_t *out, struct err *e);

/* Local. What the format calls the things it holds, for messages: "tensor", "dataset", "the". */
const char *logits_kind(const struct logits *l);

/* Local. "token 17", "sequence 2 token 5", "chunk 2 token 300" (of the chunk's context), into text. */
const char *logits_position(const struct logits *l, int64_t row, char *text, int size);

/* Local. Is the file still what it was when l was opened (size, mtime)? DATA if not. */
err_t logits_verify(const struct logits *l, struct err *e);

/* Local. Safe on a zeroed l, and twice. */
void logits_close(struct logits *l);

#endif
