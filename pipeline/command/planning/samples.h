/* Samples: files for a calibration of kinds that simulated checkpoints do not have, since reading them is
 * work of another kind. */
#ifndef SINEW_SAMPLES_H
#define SINEW_SAMPLES_H

#include "base/mem.h"

/* Local. Writes the logits of the file `from` (logits.h) into the new file `to`, an .npy of bfloat16: each
 * the upper half of a float. Errors: those of reading; SYSTEM. */
err_t samples_halves(const char *from, const char *to, struct arena *a, struct err *e);

/* Local. Writes a checkpoint of F8_E4M3 with a scale for each block of 128 x 128 into a new folder: so many
 * layers of one square matrix each. tuned: about a twentieth of the codes of the one that is not have their
 * last bit turned. Errors: SYSTEM. */
err_t samples_fp8(const char *folder, int64_t layers, int64_t width, int tuned, struct arena *a,
                  struct err *e);

#endif
