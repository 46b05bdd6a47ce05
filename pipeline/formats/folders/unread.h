/* Unread: what people have in place of a checkpoint and what cannot be read as one: formats that hold no
 * tensors to compare as they are, a run's folder, an optimiser's, a tokenizer's, a download that is not
 * complete. Each is known by names, or by a file's first bytes, and refused by its own name with the one line
 * that helps.
 *
 * A new kind is a row of the table in unread.c, with what recognises it and what to do; nothing is opened but
 * folders, and of a file that was named its first bytes. Only where no format knows better is it asked. */
#ifndef SINEW_UNREAD_H
#define SINEW_UNREAD_H

#include "base/err.h"
#include "base/mem.h"

/* Local. DATA where a folder that no format knows is of a known kind, or has checkpoints below it or beside
 * it: what it is, by which entry that was told, and what to do. ERR_OK: it is of no known kind. Looks two
 * folders down at the most, and at a bounded number of entries of each. */
err_t unread_refuse_folder(const char *dir, struct arena *a, struct err *e);

/* Local. Would unread_refuse_folder refuse it for what it is? 0 also of a download that has not ended, which
 * is as good as absent. */
int unread_knows(const char *dir);

/* Local. The same of a folder without anything of a model, by what else is in it: an optimiser's states, a
 * tokenizer, a data set; where the model is, if it is beside. */
err_t unread_refuse_beside(const char *dir, struct arena *a, struct err *e);

/* Local. The same of a file that the user named, whatever ending it has: also of one with an ending that a
 * format knows, if its name or its first bytes say that it is another thing (an optimiser's state, a GGUF
 * file called .bin, a part of a model whose other parts stand beside it). */
err_t unread_refuse_file(const char *path, struct arena *a, struct err *e);

#endif
