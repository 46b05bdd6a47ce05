/* Log: progress on stdout, warnings and the one error message on stderr, from process 0 only, one line at a
 * time, no control characters, so that a batch job's log file reads well. Before a terminal, progress is its
 * live line instead (terminal.h). */
#ifndef SINEW_LOG_H
#define SINEW_LOG_H

#include "base/terminal.h"

#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_QUIET, LOG_INFO, LOG_DETAIL };

struct log {
    enum log_level level;
    int speak;                 /* this process prints */
    double started_sec;        /* clock at start of the run */
    struct terminal *terminal; /* whose live line shows progress, at every level; NULL: none */
};

/* Local. speak: true on process 0. */
void log_init(struct log *l, enum log_level level, int speak);

/* Local. Seconds on a monotonic clock. */
double clock_sec(void);

/* Local. Seconds of a processor that this process has had so far, and the children that it waited for. */
double processor_sec(void);

/* Local. "[  12.345s] text" on stdout at level info, or only with --verbose for detail. */
void log_info(const struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_detail(const struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Local. "sinew: warning: text" on stderr, at every level. */
void log_warn(const struct log *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Local. Writes a byte count as "12.3 MB" (decimal units) or seconds as "3 min 20 s" into text, and returns
 * text. */
const char *human_bytes(double bytes, char *text, int size);
const char *human_sec(double sec, char *text, int size);

/* Progress of one long activity: done of total units and bytes; prints at most every few seconds, and never
 * at the end (the end line is the caller's). On a terminal it is the live line; lines are printed then for a
 * standard output that is a file. */
struct progress {
    const struct log *log;
    const char *what, *unit; /* "delta", "cells" */
    int64_t total, done;
    double bytes; /* processed so far, 0 if not meaningful */
    int sharers;  /* who do about as much each, of which this process tells its own */
    double started_sec, last_sec, every_sec;
};

/* Local. what and unit are borrowed for the life of p. */
void progress_start(struct progress *p, const struct log *l, const char *what, const char *unit,
                    int64_t total);

/* Local. `done` units so far; fraction: of the unit in work, 0..1. Prints "what done/total unit, rate,
 * remaining time" when due. */
void progress_at(struct progress *p, int64_t done, double fraction, double bytes);

/* Local. Wipes the live line. */
void progress_end(struct progress *p);

#endif
