/* Catalogues again: does load's artifact say of a checkpoint what its headers say? */
#ifndef SINEW_RECATALOGUE_H
#define SINEW_RECATALOGUE_H

#include "engine/runner.h"

/* Local. Does a node of this kind write a catalogue? */
int recatalogue_is_of(const struct node *n);

/* Local, process 0. Compares the catalogue of a node with the headers of its checkpoint, tensor by tensor.
 * what: receives the first difference, "" where there is none. Errors: DATA where either cannot be read;
 * SYSTEM. */
err_t recatalogue_compare(const struct runner *r, const struct node *n, char *what, size_t size,
                          struct err *e);

#endif
