/* Draft: a proposal as the YAML of a study, commented where something was guessed or left out. */
#ifndef SINEW_DRAFT_H
#define SINEW_DRAFT_H

#include "base/text.h"
#include "command/proposal.h"

/* Local. The study: cells that are a product of axes as a matrix with patterns, as far as it leaves out fewer
 * than it has, the others one by one; the stages that the cells have something for. name: of the study. Reads
 * the same with config_parse. Errors: SYSTEM (memory). */
err_t draft_write(struct text *out, const struct proposal *p, const char *name, struct err *e);

#endif
