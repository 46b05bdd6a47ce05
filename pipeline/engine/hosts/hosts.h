/* Hosts: on which machine each process of a job is. */
#ifndef SINEW_HOSTS_H
#define SINEW_HOSTS_H

#include "base/comm.h"
#include "base/mem.h"

enum { HOST_NAME = 64 };

struct hosts {
    int n; /* different ones */
    /* Of each process: its host's name, the same for two that are on one host; the first process there. */
    char (*name)[HOST_NAME];
    int *first;
};

/* Collective. Who is where; the lists are the arena's. Errors: SYSTEM (memory). */
err_t hosts_gather(struct hosts *h, const struct comm *c, struct arena *a, struct err *e);

/* Local, pure. The numbers of a host's processes in words, "process 3", "processes 4 to 7", "8 processes, the
 * first 3", where `first` is its first. Returns text. */
const char *hosts_processes(const struct hosts *h, int np, int first, char *text, int size);

#endif
