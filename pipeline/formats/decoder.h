/* Decoders: how stored elements become numbers where they are none by themselves, as a table; and tensors of
 * which nothing is stored at all, because they follow from others.
 *
 * A decoder reads any range of a tensor's elements, in row-major order, as numbers of one type, from the
 * tensor's own stored elements and from the tensors that help it (scales, say). Some take tensors of a list
 * by themselves and find there what they need; others are given to a tensor by the format that opens it
 * (decoder_derive). What a decoding knows is plain data, so that a catalogue keeps it: nothing is looked up
 * again when it is read back. A helper may be decoded or derived itself, and need not stand in the list.
 * Whoever compares or lists tensors asks the functions below and knows no decoder by name. A new one is a
 * file with a row at its bottom and a line in decoders/table.c. */
#ifndef SINEW_DECODER_H
#define SINEW_DECODER_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/model_config.h"
#include "formats/stored.h"

enum { DECODING_NUMBERS = 24, DECODING_REALS = 4, DECODING_DEPTH = 8 };

struct decoder_scratch;

/* Elements [first, first+n) of tensors, in row-major order: a decoder's only way to bytes. `read` gives them
 * as they are stored, `numbers` as numbers of their decoder_type, with a scratch as for decoder_read (NULL
 * where the tensor is not decoded). depth: of decodings that ask each other. */
struct stored_source {
    err_t (*read)(void *arg, const struct stored_tensor *t, int64_t first, int64_t n, void *buf,
                  struct err *e);
    void *arg;
    int depth;
};
err_t decoder_numbers(const struct stored_tensor *t, const struct stored_source *from, int64_t first,
                      int64_t n, struct decoder_scratch *s, void *buf, struct err *e);

/* What a decoder works in, and keeps from one call to the next: zeroed before it is another's. */
struct decoder_scratch {
    const struct decoder *of;
    void *v; /* `bytes`, aligned as malloc aligns */
    int64_t bytes;
    int64_t most; /* elements that are read at a time, at most: what it was measured for */
};

/* How one tensor comes to its numbers. Plain data: a catalogue keeps all of it. */
struct decoding {
    const struct decoder *by;
    const struct stored_tensor *of;
    const struct stored_tensor **helpers; /* in an order that the decoder knows */
    int64_t nhelpers, helpers_cap;
    enum dtype out;                    /* the numbers it gives */
    const char *problem;               /* NULL; else why it cannot be, to stand behind "tensor T is TYPE" */
    const char *note;                  /* NULL; else what was done, for who reads the catalogue */
    int64_t numbers[DECODING_NUMBERS]; /* the decoder's own */
    double reals[DECODING_REALS];
};

struct decoder {
    const char *name;
    const char *helper; /* what serves a tensor is called: "scale" */

    /* Local. Before any tensor is taken: replaces what stands in a list, sorted by name, for a tensor of
     * another name or shape; it is sorted again. NULL: nothing does. Errors: DATA, SYSTEM over budget. */
    err_t (*derive)(struct stored_list *list, const struct model_config *config, struct arena *a,
                    struct err *e);

    /* Local, pure, cheap: asked of each tensor of a model. Does it decode t? NULL: only a format says so. */
    int (*takes)(const struct stored_tensor *t);

    /* Local. Of what it takes: finds what serves d->of in a list sorted by name, says d->out, or what is
     * wrong in d->problem: that is an error only for those who want the numbers. d->by NULL: it does not take
     * it after all. Errors: SYSTEM over budget. */
    err_t (*resolve)(struct decoding *d, const struct stored_list *list, const struct model_config *config,
                     struct arena *a, struct err *e);

    /* Local. Once all decodings of a list are known: gives them more helpers, which are used by nobody and
     * are no parameters. NULL: there are none. Errors: SYSTEM over budget. */
    err_t (*complete)(struct stored_list *list, struct arena *a, struct err *e);

    /* Local, pure. Is what a catalogue gives back one of its own, every number and helper as `read` expects
     * them? A catalogue is a file like any other. */
    int (*valid)(const struct decoding *d);

    /* Local, pure. Scratch for at most n elements of d->of at a time; that of helpers that are decoded
     * themselves included. */
    int64_t (*scratch_bytes)(const struct decoding *d, int64_t n);

    /* Local. Elements [first, first+n) of d->of as numbers, 0 < n <= s->most. Errors: those of the source. */
    err_t (*read)(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                  struct decoder_scratch *s, void *out, struct err *e);

    /* Local, pure. Of a tensor that another was added to and that has lost it by rounding: what was added.
     * NULL, here and returned: there is no such thing. */
    const struct stored_tensor *(*change)(const struct decoding *d);
};

/* NULL behind the last. */
extern const struct decoder *const decoder_table[];

/* Local, pure. A decoder by name; NULL: there is none. */
const struct decoder *decoder_find(const char *name);

/* Local. Gives t a decoding by `by`, to be filled in with helpers, numbers and reals. A tensor that is
 * derived has t->file STORED_NOWHERE, and name, module, layer, shape and elements as any other; its dtype
 * becomes `out`. Owned by the arena. t may be moved afterwards as long as decoder_resolve is called for its
 * list. Errors: SYSTEM over budget. */
err_t decoder_derive(struct stored_tensor *t, const struct decoder *by, enum dtype out, struct arena *a,
                     struct decoding **d, struct err *e);

/* Local. The next helper; it must stay where it is. Errors: SYSTEM over budget. */
err_t decoding_add_helper(struct decoding *d, const struct stored_tensor *helper, struct arena *a,
                          struct err *e);

/* Local, pure. Where a decoder's own scratch ends and that of a helper begins, which is kept there from call
 * to call: `at` bytes behind s->v, a multiple of 16. Its bytes are decoder_nested_bytes. */
int64_t decoder_nested_bytes(const struct stored_tensor *helper, int64_t n);
struct decoder_scratch *decoder_nested(const struct stored_tensor *helper, struct decoder_scratch *s,
                                       int64_t at);

/* Local. Completes the list, sorted by name: each tensor that one takes, and the format has not given any,
 * gets its decoding; helpers of the list are marked as serving; decodings know their tensors again where
 * these have moved. A list without such tensors costs a look at each. Errors: SYSTEM over budget. */
err_t decoder_resolve(struct stored_list *list, const struct model_config *config, struct arena *a,
                      struct err *e);

/* Local, pure. How t is decoded; NULL: it is not. */
const struct decoding *decoder_decoding(const struct stored_tensor *t);

/* Local, pure. What t serves; NULL: it is a tensor for its own sake. */
const struct decoding *decoder_served(const struct stored_tensor *t);

/* Local, pure. Are t's elements numbers that can be compared, once they are decoded? Of which type? */
int decoder_is_number(const struct stored_tensor *t);
enum dtype decoder_type(const struct stored_tensor *t);

/* Local, pure. What t is more than the base's tensor of its name, as a tensor of its own, in float32; the
 * difference of the two is this and not their numbers'. NULL: the difference is that of their numbers. */
const struct stored_tensor *decoder_change(const struct stored_tensor *t);

/* Local, pure. Scratch to read at most n elements of t at a time; 0 where it is not decoded. */
int64_t decoder_scratch_bytes(const struct stored_tensor *t, int64_t n);

/* Local. Elements [first, first+n) of a decoded t as numbers of decoder_type. Errors: BUG where it cannot be
 * or the scratch is too small, DATA where decodings ask each other without end; those of the source. */
err_t decoder_read(const struct stored_tensor *t, const struct stored_source *from, int64_t first, int64_t n,
                   struct decoder_scratch *s, void *out, struct err *e);

#endif
