#include "base/log.h"

#include "base/text.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum { FIRST_LINE_SEC = 5, EVERY_SEC = 10 };

double clock_sec(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + 1e-6 * (double)t->tv_usec;
}

double processor_sec(void)
{
    double sum = 0;
    const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage r;
        if (getrusage(whose[i], &r) == 0)
            sum += seconds(&r.ru_utime) + seconds(&r.ru_stime);
    }
    return sum;
}

void log_init(struct log *l, enum log_level level, int speak)
{
    *l = (struct log){.level = level, .speak = speak, .started_sec = clock_sec()};
}

/* What holds names from outside; cut where it is longer than any message. */
static void print_plain(FILE *f, const char *fmt, va_list ap)
{
    char text[4096];
    vsnprintf(text, sizeof text, fmt, ap);
    text_plain(text, 0);
    fputs(text, f);
}

static void say(const struct log *l, const char *fmt, va_list ap)
{
    terminal_wipe(l->terminal);
    printf("[%8.2fs] ", clock_sec() - l->started_sec);
    print_plain(stdout, fmt, ap);
    putchar('\n');
    fflush(stdout);
}

void log_info(const struct log *l, const char *fmt, ...)
{
    if (!l->speak || l->level < LOG_INFO)
        return;
    va_list ap;
    va_start(ap, fmt);
    say(l, fmt, ap);
    va_end(ap);
}

void log_detail(const struct log *l, const char *fmt, ...)
{
    if (!l->speak || l->level < LOG_DETAIL)
        return;
    va_list ap;
    va_start(ap, fmt);
    say(l, fmt, ap);
    va_end(ap);
}

void log_warn(const struct log *l, const char *fmt, ...)
{
    if (!l->speak)
        return;
    va_list ap;
    va_start(ap, fmt);
    terminal_wipe(l->terminal);
    fprintf(stderr, "sinew: %swarning:%s ", terminal_colour(stderr, TERMINAL_YELLOW), terminal_plain(stderr));
    print_plain(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

const char *human_bytes(double bytes, char *text, int size)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int u = 0;
    while (bytes >= 999.5 && u < 5) {
        bytes /= 1000;
        u++;
    }
    snprintf(text, (size_t)size, u == 0 ? "%.0f %s" : bytes < 9.995 ? "%.2f %s" : "%.1f %s", bytes, unit[u]);
    return text;
}

const char *human_sec(double sec, char *text, int size)
{
    if (sec < 9.95)
        snprintf(text, (size_t)size, "%.1f s", sec);
    else if (sec < 119.5)
        snprintf(text, (size_t)size, "%.0f s", sec);
    else if (sec < 7200)
        snprintf(text, (size_t)size, "%d min %02d s", (int)sec / 60, (int)sec % 60);
    else
        snprintf(text, (size_t)size, "%.0f h %02d min", (double)((int64_t)sec / 3600),
                 (int)((int64_t)sec / 60 % 60));
    return text;
}

void progress_start(struct progress *p, const struct log *l, const char *what, const char *unit,
                    int64_t total)
{
    double now = clock_sec();
    *p = (struct progress){.log = l, .what = what, .unit = unit, .total = total, .sharers = 1};
    p->started_sec = now;
    p->last_sec = now - EVERY_SEC + FIRST_LINE_SEC;
    p->every_sec = EVERY_SEC;
}

/* "delta          12/40 cells (30 %), 1.2 GB/s, about 3 min 20 s left" */
static void describe(const struct progress *p, double part, char *text, int size)
{
    double spent = clock_sec() - p->started_sec;
    char speed[48], rate[32], left[32] = "?";
    if (part > 0)
        human_sec(spent / part - spent, left, sizeof left);
    if (p->bytes > 0)
        snprintf(speed, sizeof speed, "%s/s", human_bytes(p->bytes / spent, rate, sizeof rate));
    else
        snprintf(speed, sizeof speed, "%.3g %s/s", part * (double)p->total / spent, p->unit);
    snprintf(text, (size_t)size, "%-14s %lld/%lld %s (%.0f %%), %s, about %s left", p->what,
             (long long)p->done, (long long)p->total, p->unit, 100 * part, speed, left);
}

void progress_at(struct progress *p, int64_t done, double fraction, double bytes)
{
    struct terminal *terminal = p->log->terminal;
    char text[256];
    p->done = done;
    p->bytes = bytes * p->sharers;
    double now = clock_sec(), part = ((double)done + fraction) / (double)(p->total > 0 ? p->total : 1);
    int live = terminal && terminal->live, due = now - p->last_sec >= p->every_sec;
    if (part >= 1 || (!live && !due))
        return;
    describe(p, part, text, sizeof text);
    if (live)
        terminal_draw(terminal, text);
    if (!due)
        return;
    p->last_sec = now;
    if (!live || !terminal_is(stdout)) /* the eyes that see the one would see the other */
        log_info(p->log, "%s", text);
}

void progress_end(struct progress *p)
{
    terminal_wipe(p->log->terminal);
}
