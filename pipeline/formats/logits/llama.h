/* llama.cpp's files of log-probabilities, as llama-perplexity --save-all-logits writes them.
 *
 * Source: ggml-org/llama.cpp, tools/perplexity/perplexity.cpp (the writer perplexity, process_logits and
 * log_softmax, the reader kl_divergence). Little-endian: "_logits_", uint32 context, int32 vocabulary, int32
 * chunks; int32 tokens[chunks * context]; then for each chunk its rows. Of a chunk only the second half is
 * evaluated: rows stand for the tokens first = context / 2 to context - 2 of it, and the row of token i is
 * the distribution that token i + 1 was drawn from. A row is float scale, float lowest, and a uint16 code per
 * vocabulary entry, padded to an even number: ln p = lowest + scale * code.
 *
 * What lies more than RANGE = 16 below the largest logit is written as code 0. In a row that spans the whole
 * range, code 0 therefore means "at the most lowest": the program that wrote the file counts such entries as
 * nothing, and so does this one (their p is below 1.2e-7 of the largest; counted at that, 1e5 of them would
 * outweigh the entropy of a token that is all but certain).
 *
 * Writes are not checked there, so files that end early are common: sizes are compared here first. */
#ifndef SINEW_LLAMA_H
#define SINEW_LLAMA_H

#include "base/err.h"

#include <stdint.h>

enum { LLAMA_HEADER = 20 };

struct llama {
    int64_t context, vocabulary, chunks;
    int64_t first;  /* the first token of a chunk that has a row */
    int64_t scored; /* rows of a chunk */
    int64_t tokens_start, rows_start, row_bytes;
};

/* Local. Do n bytes begin as such a file does? */
int llama_is(const void *bytes, int64_t n);

/* Local. Reads the header from the first n bytes (at least LLAMA_HEADER, or all there are) of a file of
 * file_bytes. Errors: DATA with expected and found bytes, and how many chunks are complete. */
err_t llama_parse(struct llama *h, const char *path, const void *bytes, int64_t n, int64_t file_bytes,
                  struct err *e);

/* Local. One row (row_bytes bytes) as natural logarithms of probabilities, -Inf where the file says "next to
 * nothing"; not normalised: their exponentials sum to 1 within the rounding of the codes. NULL, or what is
 * wrong with the row in words. */
const char *llama_row(const struct llama *h, const void *row, double *out);

#endif
