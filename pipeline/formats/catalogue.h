/* Catalogue: a checkpoint's lists as `load` keeps them in its artifact, so that later stages read headers no
 * more.
 *
 * Tables "files" and "catalogue", a table "pieces" where a tensor lies in several, and attributes; what is
 * used as a size or an index is checked on the way back. */
#ifndef SINEW_CATALOGUE_H
#define SINEW_CATALOGUE_H

#include "formats/checkpoint.h"
#include "hdf5/h5.h"

/* Local, serial file. Writes a checkpoint as a catalogue into an open artifact. */
err_t catalogue_write(const struct checkpoint *c, struct h5 *f, struct arena *a, struct err *e);

/* Local. Reads it back: c is filled, owned by the arena, with no file open. Errors: DATA for a damaged one.
 */
err_t catalogue_read(struct checkpoint *c, const char *artifact, struct arena *a, struct err *e);

/* Local. Are the files of the checkpoint that a catalogue is of what they were, by size and time, as far as
 * they are still there? For who has read them: a mixture is then no result. An artifact that is no catalogue
 * has none. Errors: DATA with the file's name. */
err_t catalogue_stood(const char *artifact, struct arena *scratch, struct err *e);

#endif
