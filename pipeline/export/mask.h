/* Export: what a study found, in a form that other programs take up: masks for a trainer. Process 0 does the
 * work; the others wait for its verdict. */
#ifndef SINEW_EXPORT_H
#define SINEW_EXPORT_H

#include "engine/runner.h"

enum export_format { EXPORT_BYTES, EXPORT_BITS };

struct export_request {
    const char *what; /* "mask" */
    const char *cell, *node;
    const char *to; /* the file to write */
    enum export_format format;
    int force; /* overwrite an existing file */
};

/* Local. The format of this name ("bytes", "bits"). Errors: CONFIG with the nearest valid word. */
err_t export_format_find(const char *name, enum export_format *format, struct err *e);

/* Collective. Writes the mask of a cell as a safetensors file: one U8 tensor per compared parameter, by name.
 * Bytes: of the parameter's shape, 1 where it was updated, else 0. Bits: of shape [ceil(elements / 8)], least
 * significant bit first, row major. In __metadata__: format, sinew_version, study, cell, node, arithmetic,
 * criterion, tolerance, parameters, updated, density, mask_format, shapes (of bits only; JSON) and skipped
 * (JSON: what was not compared and is therefore not in the file, tensors or some of their rows, with the
 * reason).
 * The file is written under a partial name and renamed; memory does not grow with the model but for its
 * header. Errors: CONFIG for an unknown cell or node (with the nearest), a node that is no mask, and a file
 * that must not be overwritten; DATA where the mask is missing, stale or damaged, with what to run; SYSTEM.
 */
err_t export_mask(struct runner *r, const struct export_request *x, struct err *e);

#endif
