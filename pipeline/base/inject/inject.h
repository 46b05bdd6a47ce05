/* Injection: failures made on purpose, so that the tests can see what becomes of each. Only in builds that
 * ask for it (SINEW_INJECT, which dev and asan do); in others all of this is nothing.
 *
 *   sinew run CONFIG --inject SITE:PROCESS:COUNT:WHAT
 *
 * A site is a place of the sources that can fail: an agreement, an allocation, an open, a creation, a write,
 * a flush, a rename; KIND@FILE@LINE. When process PROCESS (-1: each) passes it for the COUNT-th time, WHAT
 * happens: `error` is a failure of the system there, `delay` is two seconds, `death` is SIGKILL.
 * `--inject list` prints all sites; `--inject trace:FILE` runs, and each process writes how often
 * it passed which into FILE.PROCESS, a line each: process, times, site. */
#ifndef SINEW_INJECT_H
#define SINEW_INJECT_H

#include "base/err.h"

#ifdef SINEW_INJECT

#include <stdint.h>

struct arena;

struct inject_site {
    const char *kind, *file;
    int line;
    int64_t passes; /* by this process */
};

/* A place that can fail, which e has not done yet. Sets e, and is its code, where it is told to; else ERR_OK.
 */
#define INJECT(kind, e)                                                                                 \
    (__extension__({                                                                                    \
        static struct inject_site inject_here = {kind, __FILE__, __LINE__, 0};                          \
        static struct inject_site *const inject_listed __attribute__((section("sinew_inject"), used)) = \
            &inject_here;                                                                               \
        (void)inject_listed;                                                                            \
        inject_pass(&inject_here, (e));                                                                 \
    }))

/* Local. What INJECT calls. */
err_t inject_pass(struct inject_site *site, struct err *e);

/* Local. Takes --inject out of the words of a command line: *words becomes a list of the arena's without it.
 * 1 where all that is wanted is the list of sites, which has been printed. Errors: CONFIG where it is no such
 * text; SYSTEM. */
int inject_begin(int *nwords, char ***words, struct arena *a, struct err *e);

/* Local. From now on passes count, as of this process. */
void inject_process(int me);

/* Local. Writes the trace, where it is wanted. */
void inject_end(void);

#else

struct arena;

#define INJECT(kind, e) ERR_OK

static inline int inject_begin(const int *nwords, char ***words, struct arena *a, struct err *e)
{
    (void)nwords;
    (void)words;
    (void)a;
    (void)e;
    return 0;
}
static inline void inject_process(int me)
{
    (void)me;
}
static inline void inject_end(void)
{
}

#endif
#endif
