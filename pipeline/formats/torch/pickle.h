/* Pickles as data: a restricted reader of Python's pickle format, protocol 2, as torch.save writes a state
 * dict.
 *
 * Source: CPython, Lib/pickletools.py (opcodes) and Lib/pickle.py (their order in what the writer makes); the
 * set of opcodes is that of torch/_weights_only_unpickler.py less those that make objects. A pickle is a
 * program; here it builds nothing but a tree of values. A GLOBAL is looked up in the caller's list, which is
 * a list of names: calling one gives a value that says what would have been called with what. Any other name,
 * and any other opcode, is refused by name and byte. Stack, memo and number of values are bounded by the
 * bytes of the pickle; nothing recurses. Values that hold themselves can be made: a caller must not recurse
 * without end either. */
#ifndef SINEW_PICKLE_H
#define SINEW_PICKLE_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/torch/pickle_tree.h"

#include <stdint.h>

/* What a pickle may do with a name. */
enum pickle_use {
    PICKLE_USE_NAME, /* mention it: a type */
    PICKLE_USE_CALL, /* call it */
    PICKLE_USE_DICT  /* call it without arguments: a map, empty at first */
};

struct pickle_name {
    const char *module, *name;
    enum pickle_use use;
    int id; /* the caller's */
};

/* Local. Reads the pickle of n bytes, which must be the only one there. what: names it in messages ("FILE:
 * data.pkl"), borrowed; so are bytes, as long as texts are used. Values are owned by the arena. Errors: DATA
 * with the opcode or GLOBAL and the byte where it stands; SYSTEM over budget. */
err_t pickle_read(struct pickle *p, const char *what, const char *bytes, int64_t n,
                  const struct pickle_name *names, int nnames, struct arena *a, struct err *e);

#endif
