/* Survey: the checkpoints that lie in and below folders, found by the table of formats. Nothing is opened but
 * small files beside the weights that name a base.
 *
 * Bounded: so many levels, folders and checkpoints. A link to a folder is looked at, for a checkpoint may be
 * linked to where it is wanted, but never walked into. What cannot be listed, and what was seen and left out,
 * is noted. */
#ifndef SINEW_SURVEY_H
#define SINEW_SURVEY_H

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdint.h>
#include <sys/types.h>

enum { SURVEY_DEPTH = 8, SURVEY_FOLDERS = 100000, SURVEY_FOUND = 10000 };

/* A checkpoint. */
struct sighting {
    const char *path; /* as a config names it: the folder given, and the way down from it */
    int known;        /* bytes of path before the first name that may say something of the checkpoint */
    int root;         /* which of the folders given it was found in; the checkpoint itself where `is_root` */
    int is_root;
    const char *says; /* what stands in place of its last name, which is no word of its own (a hub's
                         revision): the branch; NULL */
    const char *hub;  /* "ORGANISATION/NAME" where it lies in a hub's cache; NULL */
    const char
        *adapter; /* it is an adapter, and this its base's name, "" where it names none; NULL: it is none */
    const char *came_from; /* what config.json says that the model was made from; NULL */
    int logits;            /* logits lie beside the weights */
    dev_t device;
    ino_t inode;
};

/* Something that is told beside the study. */
struct survey_note {
    const char *path, *why;
};

/* Zero-initialise, set arena and log, look; then `found` is in the order of paths. */
struct survey {
    struct arena *arena;
    const struct log *log;
    int64_t n, cap;
    struct sighting *found;
    int64_t nnotes, cap_notes;
    struct survey_note *notes;
    int64_t nfolders; /* looked at */
    int nroots;       /* given */
    int64_t nlinks, cap_links;
    struct sighting *links; /* to folders, put off until all folders have been looked at */
};

/* Local. Looks in a folder given by the user, which may be a checkpoint itself, a file too. Errors: DATA
 * where there is no such folder; SYSTEM (memory). */
err_t survey_look(struct survey *s, const char *path, struct err *e);

/* Local. After the last folder: looks at the links that were put off, and sorts. Errors: SYSTEM (memory). */
err_t survey_end(struct survey *s, struct err *e);

/* Local. Notes something about a path. Errors: SYSTEM (memory). */
err_t survey_add_note(struct survey *s, const char *path, const char *why, struct err *e);

#endif
