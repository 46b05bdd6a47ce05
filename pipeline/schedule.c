#include "schedule.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A node may need this many times its bytes in memory on one process: float64 copies of bf16 matrices and
 * their products. */
enum { MEMORY_FACTOR = 16 };

/* Bytes of a checkpoint: the file, or the files of the folder (those that are no part of the model count too:
 * never too little). */
static double path_bytes(const char *path)
{
    struct stat st;
    if (!path || stat(path, &st) != 0)
        return -1;
    if (!S_ISDIR(st.st_mode))
        return (double)st.st_size;
    DIR *dir = opendir(path);
    double sum = 0;
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (double)st.st_size;
    if (dir)
        closedir(dir);
    return sum;
}

/* What a node moves, as far as can be told without opening anything; -1 where it cannot. */
static double node_bytes(const struct dag *d, const struct node *n)
{
    struct plan_view view = {.cell = n->cell,
                             .ncells = n->ncells,
                             .np = 1,
                             .memory_bytes = d->config->memory_bytes,
                             .params = d->config->nodes[n->decl].params};
    struct estimate x = {0};
    if (n->stage->plan)
        n->stage->plan(&view, &x);
    if (x.known)
        return x.read_bytes + x.write_bytes;
    if (n->stage->scope == SCOPE_CHECKPOINT)
        return path_bytes(n->checkpoint);
    if (n->stage->scope == SCOPE_BASE)
        return path_bytes(n->base) * n->ncells;
    if (n->stage->scope == SCOPE_STUDY)
        return -1;
    double base = path_bytes(n->cell->base), tuned = path_bytes(n->cell->tuned);
    return base < 0 || tuned < 0 ? -1 : base + tuned;
}

struct job {
    int node;
    double bytes;
};

static int larger_first(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->node > y->node) - (x->node < y->node);
}

err_t schedule_nodes(const struct dag *d, int from, int to, const char *todo, int np, int *owner,
                     struct arena *scratch, struct err *e)
{
    struct job *jobs;
    double *load;
    int n = 0;
    TRY(arena_array(scratch, "schedule.jobs", to - from, &jobs, e));
    TRY(arena_array(scratch, "schedule.load", np, &load, e));
    for (int i = from; i < to; i++) {
        owner[i - from] = SCHEDULE_ALL;
        if (!todo[i] || np == 1)
            continue;
        double bytes = node_bytes(d, &d->nodes[i]);
        if (bytes >= 0 && bytes * MEMORY_FACTOR <= (double)d->config->memory_bytes)
            jobs[n++] = (struct job){i, bytes};
    }
    if (n < 2)
        return ERR_OK;
    qsort(jobs, (size_t)n, sizeof *jobs, larger_first);
    for (int k = 0; k < n; k++) {
        int least = 0;
        for (int p = 1; p < np; p++)
            if (load[p] < load[least])
                least = p;
        owner[jobs[k].node - from] = least;
        load[least] += jobs[k].bytes + 1e5; /* what a node costs beside its bytes */
    }
    return ERR_OK;
}
