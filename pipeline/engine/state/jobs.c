#include "engine/state/jobs.h"

#include "base/log.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_JOBS = 4096, /* files that are looked at */
    AT_LEAST_SEC =
        60, /* of silence, before a job elsewhere is taken for dead: networks hold attributes back */
    AHEAD_SEC = 60,
    AHEAD_MOST_SEC = 86400 /* said of it: no file is removed for such an age */
};
static const double NEARLY_ALL = 0.85; /* of the memory there is */

const char *jobs_name(const char *host, int64_t pid, char *text, int size)
{
    snprintf(text, (size_t)size, "%.63s-%lld", host, (long long)pid);
    for (char *s = text; *s; s++)
        if (*s == '/' || (s == text && *s == '.'))
            *s = '_';
    return text;
}

/* ---- when ---- */

/* Seconds from st's time to now, by the clock that gave it: that of a file made in the folder. */
static double age_of(const char *folder, const struct stat *st)
{
    char path[PATH_MAX];
    struct timespec now;
    struct stat made;
    clock_gettime(CLOCK_REALTIME, &now);
    int n = snprintf(path, sizeof path, "%s/.now-%lld-XXXXXX", folder, (long long)getpid());
    int fd = n > 0 && n < (int)sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (fstat(fd, &made) == 0)
            now = made.st_mtim;
        close(fd);
        unlink(path);
    }
    double age =
        (double)(now.tv_sec - st->st_mtim.tv_sec) + 1e-9 * (double)(now.tv_nsec - st->st_mtim.tv_nsec);
    if (age < -AHEAD_SEC) /* of before that clock was set back: who lives would have written since */
        return fmin(-age, AHEAD_MOST_SEC);
    return age > 0 ? age : 0;
}

double jobs_age(const char *output, const char *host, int64_t pid)
{
    char folder[PATH_MAX], path[PATH_MAX], name[128];
    struct stat st;
    if (snprintf(folder, sizeof folder, "%s/" JOBS_FOLDER, output) >= (int)sizeof folder ||
        snprintf(path, sizeof path, "%.3900s/%s", folder, jobs_name(host, pid, name, sizeof name)) >=
            (int)sizeof path ||
        lstat(path, &st) != 0)
        return -1;
    return age_of(folder, &st);
}

/* ---- reading ---- */

/* The next field of a record, up to a tab, which becomes its end. NULL: there is none. */
static char *next_field(char **at)
{
    char *field = *at, *end = field ? strchr(field, '\t') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return field;
}

static int64_t int_field(char **at, int *bad)
{
    char *field = next_field(at), *end = field;
    long long value = field ? strtoll(field, &end, 10) : 0;
    *bad |= !field || end == field || *end;
    return value;
}

static double real_field(char **at, int *bad)
{
    char *field = next_field(at), *end = field;
    double value = field ? strtod(field, &end) : 0;
    *bad |= !field || end == field || *end || !(value >= 0 && value < 1e12);
    return value;
}

static void text_field(char **at, char *to, size_t size, int *bad)
{
    const char *field = next_field(at);
    *bad |= !field || strlen(field) >= size;
    snprintf(to, size, "%.*s", (int)size - 1, field ? field : "");
    text_plain(to, 0);
}

/* One record; 0 where its process has written none, or nothing that can be read. */
static int read_process(char text[JOBS_RECORD + 1], int number, struct job_process *p)
{
    char *at = text;
    int bad = 0;
    *p = (struct job_process){0};
    if (text[0] == ' ')
        return 0;
    p->number = (int)int_field(&at, &bad);
    text_field(&at, p->host, sizeof p->host, &bad);
    p->pid = int_field(&at, &bad);
    p->up_sec = real_field(&at, &bad);
    p->node_sec = real_field(&at, &bad);
    p->share = real_field(&at, &bad);
    p->now_bytes = int_field(&at, &bad);
    p->peak_bytes = int_field(&at, &bad);
    p->after.limit_bytes = int_field(&at, &bad);
    p->after.of_group = (int)int_field(&at, &bad);
    p->before.kills_group = int_field(&at, &bad);
    p->after.kills_group = int_field(&at, &bad);
    p->before.kills_machine = int_field(&at, &bad);
    p->after.kills_machine = int_field(&at, &bad);
    text_field(&at, p->artifact, sizeof p->artifact, &bad);
    text_field(&at, p->node, sizeof p->node, &bad);
    text_field(&at, p->label, sizeof p->label, &bad);
    int none = 0; /* older programs wrote no item */
    text_field(&at, p->item, sizeof p->item, &none);
    if (none)
        p->item[0] = '\0';
    return !bad && p->number == number;
}

static err_t read_processes(struct job_record *j, int fd, int np, struct arena *a, struct err *e)
{
    char text[JOBS_RECORD + 1];
    TRY(arena_array(a, "jobs.process", np, &j->process, e));
    for (int p = 0; p < np; p++) {
        if (pread(fd, text, JOBS_RECORD, (off_t)(p + 1) * JOBS_RECORD) != JOBS_RECORD)
            break;
        text[JOBS_RECORD] = '\0';
        j->nprocesses += read_process(text, p, &j->process[j->nprocesses]);
    }
    return ERR_OK;
}

/* Does the job run? Where its process can be asked, that decides; else how long it is silent. */
static enum job_state state_of(const struct job_record *j, enum holder_state holder)
{
    double silent = j->every_sec * JOBS_SILENT_BEATS;
    if (holder == HOLDER_ALIVE || holder == HOLDER_DEAD)
        return holder == HOLDER_ALIVE ? JOB_RUNS : JOB_KILLED;
    return j->age_sec < (silent > AT_LEAST_SEC ? silent : AT_LEAST_SEC) ? JOB_RUNS : JOB_KILLED;
}

/* *is: it is a job's file. */
static err_t read_job(struct job_record *j, const char *folder, int *is, struct arena *a, struct err *e)
{
    char text[JOBS_RECORD + 1], end = '\0';
    struct stat st;
    long long np = 0, every = 0;
    *is = 0;
    int fd = open(j->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return ERR_OK;
    enum holder_state holder = holder_read(&j->holder, j->path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, text, JOBS_RECORD, 0) == JOBS_RECORD &&
        holder != HOLDER_NONE) {
        text[JOBS_RECORD] = '\0';
        const char *line = strchr(text, '\n');
        *is = line && sscanf(line + 1, "job 1 %9lld %9lld %63s%c", &np, &every, j->number, &end) == 4 &&
              end == '\n' && np > 0 && np <= JOBS_MOST && every > 0 &&
              st.st_size <= (np + 1) * (off_t)JOBS_RECORD;
    }
    if (*is) {
        text_plain(j->number, 0);
        text_plain(j->holder.host, 0);
        j->every_sec = (double)every;
        j->age_sec = age_of(folder, &st);
        j->state = state_of(j, holder);
        read_processes(j, fd, (int)np, a, e);
    }
    close(fd);
    return e->code;
}

static int path_order(const void *x, const void *y)
{
    return strcmp(((const struct job_record *)x)->path, ((const struct job_record *)y)->path);
}

err_t jobs_read(const char *output, struct job_record **jobs, int *n, struct arena *a, struct err *e)
{
    int64_t cap = 0;
    *jobs = NULL;
    *n = 0;
    char *folder = arena_printf(a, e, "%s/" JOBS_FOLDER, output);
    if (!folder)
        return e->code;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && e->code == ERR_OK && *n < MOST_JOBS && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && arena_grow(a, "jobs", *n + 1, &cap, jobs, e) == ERR_OK) {
            int is = 0;
            (*jobs)[*n] = (struct job_record){.path = arena_printf(a, e, "%s/%s", folder, entry->d_name)};
            if ((*jobs)[*n].path)
                read_job(&(*jobs)[*n], folder, &is, a, e);
            *n += is;
        }
    if (dir)
        closedir(dir);
    if (*n > 1)
        qsort(*jobs, (size_t)*n, sizeof **jobs, path_order);
    return e->code;
}

/* ---- memory ---- */

/* A file of the system, its end added; returns how many bytes, 0 where it cannot be read. */
static ssize_t read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? n : 0;
}

/* The number behind a word at the beginning of a line; -1 where there is none. */
static int64_t number_after(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, n) == 0)
            return strtoll(line + n + strspn(line + n, " \t"), NULL, 10);
    }
    return -1;
}

/* The least limit of the process's control group and those above it, of either version of the interface; and
 * how often the kernel has killed in its own. */
static void look_at_group(struct memory_room *room)
{
    char text[4096], group[1024] = "", path[2048];
    read_small("/proc/self/cgroup", text, sizeof text);
    const char *line = strstr(text, ":memory:"),
               *two = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    const char *root = line ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    const char *limit = line ? "memory.limit_in_bytes" : "memory.max";
    const char *at = line ? line + 8 : two ? strchr(two, ':') + 2 : NULL;
    if (!at)
        return;
    snprintf(group, sizeof group, "%.*s", (int)strcspn(at, "\n"), at);
    for (int first = 1;; first = 0) {
        snprintf(path, sizeof path, "%s%s/%s", root, strcmp(group, "/") == 0 ? "" : group, limit);
        long long bytes = read_small(path, text, sizeof text) ? strtoll(text, NULL, 10) : 0; /* "max" is 0 */
        if (bytes > 0 && bytes < room->limit_bytes) {
            room->limit_bytes = bytes;
            room->of_group = 1;
        }
        if (first) {
            snprintf(path, sizeof path, "%s%s/%s", root, strcmp(group, "/") == 0 ? "" : group,
                     line ? "memory.oom_control" : "memory.events");
            if (read_small(path, text, sizeof text))
                room->kills_group = number_after(text, "oom_kill ");
        }
        char *slash = strrchr(group, '/');
        if (!slash || group[1] == '\0' || group[0] == '\0')
            return;
        *slash = '\0';
    }
}

void memory_room_look(struct memory_room *room)
{
    char text[8192];
    *room = (struct memory_room){.kills_group = -1, .kills_machine = -1};
    read_small("/proc/meminfo", text, sizeof text);
    int64_t kib = number_after(text, "MemTotal:");
    room->limit_bytes = kib > 0 ? kib * 1024 : 0;
    look_at_group(room);
    if (read_small("/proc/vmstat", text, sizeof text))
        room->kills_machine = number_after(text, "oom_kill ");
}

void memory_resident(int64_t *now, int64_t *peak)
{
    char text[4096];
    read_small("/proc/self/status", text, sizeof text);
    int64_t most = number_after(text, "VmHWM:"), resident = number_after(text, "VmRSS:");
    *now = resident > 0 ? resident * 1024 : 0;
    *peak = most > 0 ? most * 1024 : *now;
}

/* Of a job on this machine the kernel can be asked now; of one elsewhere what it last wrote has to do. */
static int was_killed_for(const struct job_record *j, const struct job_process *p)
{
    struct memory_room now = p->after;
    struct lock_holder self;
    holder_self(&self, "");
    if (strcmp(self.boot, j->holder.boot) == 0 && strcmp(self.boot, "-") != 0) {
        struct memory_room here;
        memory_room_look(&here);
        if (here.kills_machine > now.kills_machine)
            now.kills_machine = here.kills_machine;
    }
    return (p->before.kills_group >= 0 && now.kills_group > p->before.kills_group) ||
           (p->before.kills_machine >= 0 && now.kills_machine > p->before.kills_machine);
}

const char *jobs_memory_cause(const struct job_record *j, char *text, int size)
{
    char held[32], there[32];
    text[0] = '\0';
    for (int i = 0; i < j->nprocesses && !text[0]; i++) {
        const struct job_process *p = &j->process[i];
        int64_t sum = 0;
        for (int k = 0; k < j->nprocesses; k++)
            if (strcmp(j->process[k].host, p->host) == 0)
                sum += j->process[k].now_bytes;
        human_bytes((double)sum, held, sizeof held);
        human_bytes((double)p->after.limit_bytes, there, sizeof there);
        if (was_killed_for(j, p))
            snprintf(
                text, (size_t)size,
                "memory is the likely cause: the kernel has killed for want of it since the job began, which "
                "held %s of %s on %s",
                held, there, p->host);
        else if (p->after.limit_bytes > 0 && (double)sum > NEARLY_ALL * (double)p->after.limit_bytes)
            snprintf(text, (size_t)size, "memory is the likely cause: it held %s of the %s that %s has on %s",
                     held, there, p->after.of_group ? "its control group" : "the machine", p->host);
    }
    return text;
}
