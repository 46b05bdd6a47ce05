/* Weights and what an adapter adds to them, as one tensor that is derived from both.
 *
 * W + s U, rounded to W's type as PEFT rounds it: once, after adding in float32; or, where it is told to be
 * safe and for some kinds of weights always, U first and then the sum (src/peft/tuners/lora/layer.py, merge).
 * With magnitudes m, one for each output, it is (m / |W + U|) (W + U), by the norms of the rows that belong
 * to an output, all in float32 and rounded once (src/peft/tuners/lora/variants.py, merge_unsafe). Or not
 * rounded at all: then what was added is a tensor of its own, which the difference of two checkpoints is
 * taken from instead of a sum that has lost it (decoder_change). */
#ifndef SINEW_DECODER_MERGE_H
#define SINEW_DECODER_MERGE_H

#include "formats/decoder.h"

enum merge_mode {
    MERGE_ONCE,  /* the sum rounded to W's type */
    MERGE_SAFE,  /* U rounded to it, then the sum */
    MERGE_EXACT, /* the sum in float32; what was added stands beside it */
    MERGE_ADDED, /* what is added, in float32, and not the sum */
    MERGE_COPY   /* U alone, rounded to W's type */
};

/* Where the magnitudes go. */
enum merge_axis { MERGE_NO_AXIS, MERGE_ROWS, MERGE_COLUMNS };

struct merge_parts {
    enum merge_mode mode;
    const struct stored_tensor *weight, *update;
    const struct stored_tensor *magnitude; /* NULL: none */
    enum merge_axis axis;
    double scale; /* of the update: 1 where it is scaled already */
};

extern const struct decoder decoder_merge;

/* Local. Makes t, derived, whose name and shape are filled in, of these parts; weight, update and t have as
 * many elements, t's first axis has its rows. Errors: DATA, naming t, where they do not fit each other or the
 * weight's numbers are of a type that is not added to; SYSTEM over budget. */
err_t merge_make(struct stored_tensor *t, const struct merge_parts *parts, struct arena *a, struct err *e);

/* Local, pure. The weight of a tensor that merge_make made exactly. */
const struct stored_tensor *merge_weight(const struct stored_tensor *t);

#endif
