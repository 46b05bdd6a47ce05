#include "engine/hosts/hosts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Neighbours are mostly on one host; else the first ones of the hosts so far are looked through. */
static void find_firsts(struct hosts *h, int np)
{
    for (int p = 0; p < np; p++) {
        int known = p;
        if (p > 0 && strcmp(h->name[p], h->name[p - 1]) == 0)
            known = h->first[p - 1];
        for (int q = 0; q < p && known == p; q++)
            if (h->first[q] == q && strcmp(h->name[q], h->name[p]) == 0)
                known = q;
        h->first[p] = known;
        h->n += known == p;
    }
}

err_t hosts_gather(struct hosts *h, const struct comm *c, struct arena *a, struct err *e)
{
    char own[HOST_NAME] = "";
    *h = (struct hosts){0};
    arena_array(a, "hosts.names", c->np, &h->name, e);
    arena_array(a, "hosts.first", c->np, &h->first, e);
    TRY_ALL(c, e);
    gethostname(own, sizeof own - 1);
    MPI_TRY(MPI_Allgather(own, HOST_NAME, MPI_CHAR, h->name, HOST_NAME, MPI_CHAR, c->mpi));
    find_firsts(h, c->np);
    return ERR_OK;
}

const char *hosts_processes(const struct hosts *h, int np, int first, char *text, int size)
{
    int n = 0, last = first;
    for (int p = first; p < np; p++)
        if (h->first[p] == first) {
            last = p;
            n++;
        }
    if (n == 1)
        snprintf(text, (size_t)size, "process %d", first);
    else if (last - first == n - 1)
        snprintf(text, (size_t)size, "processes %d to %d", first, last);
    else
        snprintf(text, (size_t)size, "%d processes, the first %d", n, first);
    return text;
}
