/* Pickles as data: a reader of Python's pickle format, protocols 2 to 5, that executes nothing of it.
 *
 * Source: CPython, Lib/pickletools.py (opcodes) and Lib/pickle.py (their order in what the writer makes).
 * torch.save writes protocol 2, a distributed checkpoint's .metadata is protocol 4. A pickle is a program;
 * here it builds nothing but a tree of values. A GLOBAL is two texts, of which the caller may know some;
 * calling one, or making an object of one, gives a value that says what would have been called with what.
 * No module is imported and no name is looked up, so that a foreign one does no harm, and whoever needs a
 * value of one kind refuses an object of another by its name (pickle_told). Stack, memo and number of values
 * are bounded by the bytes of the pickle; nothing recurses. Values that hold themselves can be made: a caller
 * must not recurse without end either. */
#ifndef SINEW_PICKLE_H
#define SINEW_PICKLE_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/torch/pickle_tree.h"

#include <stdint.h>

/* Local. Reads the pickle of n bytes, which must be the only one there. what: names it in messages ("FILE:
 * data.pkl"), borrowed; so are bytes and names, as long as the tree is used. Values are owned by the arena.
 * Errors: DATA with the opcode and the byte where it stands; SYSTEM over budget. */
err_t pickle_read(struct pickle *p, const char *what, const char *bytes, int64_t n,
                  const struct pickle_name *names, int nnames, struct arena *a, struct err *e);

#endif
