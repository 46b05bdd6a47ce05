/* Machine files: a machine as YAML, as `sinew plan --calibrate` writes it and a person may. A map of the
 * machine's own numbers, and under `work` one for each stage that was measured; whatever is left out is
 * assumed (machine_assume). */
#ifndef SINEW_MACHINE_FILE_H
#define SINEW_MACHINE_FILE_H

#include "base/text.h"
#include "engine/machine/machine.h"
#include "study/document.h"

/* Local. Parses the bytes of a machine file over what m holds. Mistakes in it go to `problems`, all of them,
 * as FILE:LINE:COL: text; if there are any, CONFIG is returned and e says how many. Owned by the arena. */
err_t machine_parse(struct machine *m, const char *file, const char *text, int64_t n,
                    struct problems *problems, struct arena *a, struct err *e);

/* Local. The file's text, added to out: reading it gives m again. head: lines of comment. */
err_t machine_write(const struct machine *m, const char *head, struct text *out, struct err *e);

#endif
