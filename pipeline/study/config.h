/* Config: the study's YAML file, checked in full: every error found is listed with its place before any work
 * starts.
 *
 * Process 0 reads the file; all processes parse the same bytes, so nothing else needs to be sent. */
#ifndef SINEW_CONFIG_H
#define SINEW_CONFIG_H

#include "study/document.h"
#include "base/err.h"
#include "base/mem.h"
#include "formats/readahead.h"
#include "study/stage.h"

/* One entry of `stages:` (key = node name). */
struct node_decl {
    const char *name;          /* "mask-loose" */
    const struct stage *stage; /* of kind */
    void *params;              /* the stage's parameter struct, defaults filled */
    const char *params_text; /* canonical "key: value, ..." of all parameters: equal parameters, equal text */
    int nneeds;
    int *needs; /* indices into config.nodes */
    struct mark mark;
};

#define CONFIG_LEAST_MEMORY 67108864.0 /* bytes a process needs at least */

enum missing { MISSING_FAIL, MISSING_SKIP, MISSING_KEPT };

struct config {
    const char *file; /* as given on the command line */
    const char *text; /* the YAML as read */
    int64_t text_bytes;
    const char *study, *output;
    int64_t memory_bytes;
    struct readahead_setting read; /* how checkpoints are read */
    int missing;                   /* enum missing: what to do about cells whose checkpoints are not there */
    int nabsent; /* cells left out for that reason (presence.h); they stand behind the others in cells */
    int ncells;
    struct cell
        *cells; /* matrix product in the order of the axes (families slowest), then the explicit cells */
    int nnodes;
    struct node_decl *nodes; /* in the order of the file */
    const char *resolved;    /* YAML text with defaults filled in and patterns expanded; re-creates the run */
};

/* Local. Parses and validates the bytes of a config. Errors in it go to `problems`, all of them, as
 * FILE:LINE:COL: text; if there are any, CONFIG is returned and e says how many. Everything is owned by the
 * arena. Nothing outside is looked at but the environment. */
err_t config_parse(struct config *c, const char *file, const char *text, int64_t n, struct problems *problems,
                   struct arena *a, struct err *e);

/* Local. Writes c->resolved from what the config is now: after its cells' paths have changed. Errors: SYSTEM
 * (memory). */
err_t config_resolve(struct config *c, struct arena *a, struct err *e);

#endif
