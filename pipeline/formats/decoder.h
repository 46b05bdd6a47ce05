/* Decoders: how stored elements become numbers where they are none by themselves, as a table.
 *
 * A decoder takes tensors of a list, finds there what else it needs of each (scales, say), and reads any
 * range of the tensor's elements in row-major order as numbers of one type. What it reads beside the tensor
 * is no parameter: it serves. Whoever compares or lists tensors asks the functions below and knows no decoder
 * by name. A new one is a file with a row at its bottom and a line in decoder.c. */
#ifndef SINEW_DECODER_H
#define SINEW_DECODER_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/stored.h"

enum { DECODER_HELPERS = 4 };

/* Elements [first, first+n) of a stored tensor as they are stored, in row-major order: a decoder's only way
 * to bytes.
 */
struct stored_source {
    err_t (*read)(void *arg, const struct stored_tensor *t, int64_t first, int64_t n, void *buf,
                  struct err *e);
    void *arg;
};

/* What a decoder works in, and keeps from one call to the next: zeroed before it is another's. */
struct decoder_scratch {
    const struct decoder *of;
    void *v; /* `bytes` */
    int64_t bytes;
    int64_t most; /* elements that are read at a time, at most: what it was measured for */
};

/* How one tensor is decoded. The tensor and those that serve it all refer to it. */
struct decoding {
    const struct decoder *by;
    const struct stored_tensor *of;
    const struct stored_tensor *helpers[DECODER_HELPERS];
    int nhelpers;
    const char *problem; /* NULL; else why it cannot be, to stand behind "tensor T is TYPE" */
    const void *data;    /* the decoder's own */
};

struct decoder {
    const char *name;
    const char *helper; /* what serves a tensor is called: "scale" */
    enum dtype out;     /* the numbers it gives */

    /* Local, pure, cheap: asked of each tensor of a model. Does it decode t? */
    int (*takes)(const struct stored_tensor *t);

    /* Local. Finds what serves d->of in a list sorted by name, or says what is wrong in d->problem: that is
     * an error only for those who want the numbers. Errors: SYSTEM over budget. */
    err_t (*resolve)(struct decoding *d, const struct stored_list *list, struct arena *a, struct err *e);

    /* Local, pure. Scratch for at most n elements at a time, whatever the tensor. */
    int64_t (*scratch_bytes)(int64_t n);

    /* Local. Elements [first, first+n) of d->of as numbers, 0 < n <= s->most. Errors: those of the source. */
    err_t (*read)(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                  struct decoder_scratch *s, void *out, struct err *e);
};

/* Local. Gives each tensor of a list, sorted by name, its decoding, where one takes it and the format has not
 * given it one, and marks what serves it. A list without such tensors costs a look at each. Errors: SYSTEM
 * over budget. */
err_t decoder_resolve(struct stored_list *list, struct arena *a, struct err *e);

/* Local, pure. How t is decoded; NULL: it is not. */
const struct decoding *decoder_decoding(const struct stored_tensor *t);

/* Local, pure. What t serves; NULL: it is a tensor for its own sake. */
const struct decoding *decoder_served(const struct stored_tensor *t);

/* Local, pure. Are t's elements numbers that can be compared, once they are decoded? Of which type? */
int decoder_is_number(const struct stored_tensor *t);
enum dtype decoder_type(const struct stored_tensor *t);

/* Local, pure. Scratch to read at most n elements of t at a time; 0 where it is not decoded. */
int64_t decoder_scratch_bytes(const struct stored_tensor *t, int64_t n);

/* Local. Elements [first, first+n) of a decoded t as numbers of decoder_type. Errors: BUG where it cannot be
 * or the scratch is too small; those of the source. */
err_t decoder_read(const struct stored_tensor *t, const struct stored_source *from, int64_t first, int64_t n,
                   struct decoder_scratch *s, void *out, struct err *e);

#endif
