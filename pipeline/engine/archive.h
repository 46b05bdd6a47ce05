/* Archive: the one results file of a study, put together by process 0 from the tables of all artifacts. */
#ifndef SINEW_ARCHIVE_H
#define SINEW_ARCHIVE_H

#include "study/dag.h"
#include "engine/fresh.h"

/* The version of what the archive promises its readers. It rises when a table, a column or a dataset is taken
 * away or renamed, or when its type, its units or its meaning change; not when one joins. What the version
 * promises stands in pipeline/hdf5/TABLES.md, which the test lint.tables holds against the declarations. */
enum { ARCHIVE_SCHEMA_VERSION = 2 };

/* How the archive came to be; texts are borrowed. */
struct provenance {
    const char *command; /* the command line */
    const char *host;
    int processes, threads;        /* threads: of BLAS, a process */
    const char *mpi, *hdf5, *blas; /* library versions */
};

/* Local, process 0. Is the archive there, and made of exactly these artifacts, by their keys and their
 * digests? all: freshness of every node. */
int archive_is_fresh(const struct dag *d, const struct freshness *all, struct arena *scratch);

/* Local, process 0. Can the archive be read? Errors: DATA where it is not there, is damaged, or is of another
 * schema version than this program's: what its columns mean is then not known. */
err_t archive_look(const struct dag *d, struct arena *scratch, struct err *e);

/* Local, process 0, which alone builds it now. Builds the archive under a partial name and renames it. Every
 * node below the study's must be fresh. The tables' rows stand in the order of the DAG's nodes, so they do
 * not depend on how the work was done. Memory is bounded: what does not fit 512 MiB, or an eighth of the
 * budget, is copied a few thousand rows at a time. Errors: DATA for a damaged artifact, SYSTEM. */
err_t archive_build(const struct dag *d, const struct freshness *all, const struct provenance *p,
                    struct arena *scratch, struct err *e);

#endif
