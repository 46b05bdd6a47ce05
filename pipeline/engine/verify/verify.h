/* Verify: is all that a study has written still what was written?
 *
 * Every artifact that is there, the archive, and the files that stages wrote beside their artifacts, each
 * byte read once, by all processes: a large file by ranges. Nothing is written but the notes by which a
 * damaged file is made anew (hdf5/digest.h), and no lock is taken. */
#ifndef SINEW_VERIFY_H
#define SINEW_VERIFY_H

#include "engine/runner.h"

struct verify_counts {
    int64_t files, bytes; /* that were read */
    int64_t damaged;      /* of them; files without digests, and written files that are another, are such */
    int64_t absent;       /* artifacts of the study that are not there */
    char first[200];      /* the first that is damaged, and why */
};

/* Collective. Tells of each damaged file on stdout, by process 0: which bytes, and where it can be said in
 * which dataset. counts: on process 0. Errors: SYSTEM; damage is none. */
err_t verify_files(struct runner *r, struct verify_counts *counts, struct err *e);

#endif
