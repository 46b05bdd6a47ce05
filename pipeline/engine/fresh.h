/* Freshness: is a node's artifact still what its stage, parameters and inputs would give?
 *
 * A node's key is a hash of four parts: the stage (kind and version), its parameters, the keys of the
 * artifacts below it (the archive's for a node of the whole study), and the files it reads itself (path,
 * size, modification time, header hash, hash of a sample of its blocks: hash_sample). The artifact carries
 * the parts, so that a stale one can say why. Keys are computed from the config and the files, never from the
 * artifacts: what lies below decides, not when it was written. One exception: files that are gone cannot have
 * changed, so an artifact of theirs stays fresh. */
#ifndef SINEW_FRESH_H
#define SINEW_FRESH_H

#include "formats/headers.h"
#include "study/dag.h"
#include "base/hash.h"

enum fresh_state { STATE_FRESH, STATE_STALE, STATE_PARTIAL, STATE_MISSING, STATE_COUNT };

/* What a run that keeps going lacks of a node (state/failures.h). */
enum failure_state {
    FAILURE_NONE,
    FAILURE_FAILED,  /* its stage failed */
    FAILURE_LEFT,    /* it was not run: what it needs is not there */
    FAILURE_PARTIAL, /* it was made of the cells that are there */
    FAILURE_COUNT
};

struct freshness {
    enum fresh_state state;
    char stage[HASH_TEXT], params[HASH_TEXT], inputs[HASH_TEXT], files[HASH_TEXT], key[HASH_TEXT];
    const char *files_text;   /* the fingerprints behind `files`, one line per file */
    char why[160];            /* stale: what changed; "" otherwise */
    enum failure_state lacks; /* of this run; told before the archive is put together, on process 0 */
    const char *lacks_why;    /* NULL where nothing lacks */
};

/* Local. "fresh", "stale", "partial", "missing". */
const char *fresh_name(enum fresh_state s);

/* Local. "failed", "not run", "in part"; "" for none. */
const char *failure_name(enum failure_state s);

/* Local (process 0's work). Computes the freshness of node i into all[i]; all[] of the nodes it needs must
 * have been computed. headers: what checkpoints are is asked of it, in its present round. keep: lifetime of
 * all[]. Errors: SYSTEM (memory); a damaged artifact is stale, not an error. */
err_t fresh_node(const struct dag *d, int i, struct freshness *all, struct headers *headers,
                 struct arena *keep, struct err *e);

/* Local. Are the files that node i reads by itself what they were when f's key was computed? Errors: DATA,
 * which names the first that is not. */
err_t fresh_still(const struct dag *d, int i, const struct freshness *f, struct headers *headers,
                  struct mem *mem, struct err *e);

/* Local, process 0. Writes the key and its parts into an artifact about to be completed. */
err_t fresh_mark(const struct dag *d, int i, const struct freshness *f, struct h5 *artifact, struct err *e);

#endif
