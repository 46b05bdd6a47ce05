#include "study/journal.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 1 << 16, /* small steps are written together */
    MOST_FILES = 1 << 20,
    NAME_BYTES = 32
};
static const double AFTER_SEC = 20, WRITE_SEC = 1, FLUSH_SEC = 10, SUM_SEC = 20;
static const char SUFFIX[] = ".steps", ENDING[] = ".journal", MAGIC[8] = "sinewst1";

/* One process's file of one run: RUN-PROCESS.journal. */
struct step_file {
    int run, process;
};

struct file_head {
    char magic[sizeof MAGIC], key[40];
    uint64_t digest; /* of what stands before */
};

struct record_head {
    int64_t item, bytes;
    uint64_t payload; /* digest */
    uint64_t digest;  /* of this head and the place in the file it was written for */
};

struct journal {
    const struct comm *comm;
    const struct log *log;
    struct arena *arena;
    const char *folder;
    struct file_head head;
    struct step_file *files;
    int64_t nfiles;
    struct step *steps; /* by item */
    int64_t nsteps, cap;
    int open_fd; /* of file `open_file`, which is read */
    int64_t open_file;
    /* what this process writes */
    int run, fd, broken;
    int64_t end, used; /* bytes of the file, and of the buffer behind them */
    char *buffer;
    double began_sec, wrote_sec, flushed_sec, summed_sec, after_sec;
    int64_t written;
};

/* ---- names ---- */

static int name_of(char *path, const char *folder, const struct step_file *f)
{
    int n = snprintf(path, PATH_MAX, "%s/%06d-%06d%s", folder, f->run, f->process, ENDING);
    return n > 0 && n < PATH_MAX;
}

static int is_name(const char *name, struct step_file *f)
{
    int used = 0;
    return strlen(name) < NAME_BYTES && sscanf(name, "%9d-%9d%n", &f->run, &f->process, &used) == 2 &&
           used > 0 && strcmp(name + used, ENDING) == 0 && f->run >= 0 && f->process >= 0;
}

static int folder_of(char *folder, const char *artifact)
{
    int n = snprintf(folder, PATH_MAX, "%s%s", artifact, SUFFIX);
    return n > 0 && n < PATH_MAX;
}

int journal_stands(const char *artifact)
{
    char folder[PATH_MAX];
    return folder_of(folder, artifact) && access(folder, F_OK) == 0;
}

void journal_remove(const char *artifact)
{
    char folder[PATH_MAX], path[PATH_MAX];
    struct step_file f;
    DIR *d = folder_of(folder, artifact) ? opendir(folder) : NULL;
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));)
        if (is_name(entry->d_name, &f) && name_of(path, folder, &f))
            unlink(path);
    closedir(d);
    rmdir(folder); /* stays where something else is in it */
}

/* ---- reading ---- */

static uint64_t head_digest(const struct record_head *h, int64_t at)
{
    const int64_t words[] = {h->item, h->bytes, (int64_t)h->payload, at};
    return hash_bytes(words, sizeof words);
}

static int read_at(int fd, void *to, int64_t n, int64_t at)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, (size_t)(n - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        done += got;
    }
    return 1;
}

static int open_step_file(const struct journal *j, int64_t file, int64_t *bytes)
{
    char path[PATH_MAX];
    struct stat st;
    int fd = name_of(path, j->folder, &j->files[file])
                 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
                 : -1;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    *bytes = fd >= 0 ? (int64_t)st.st_size : 0;
    return fd;
}

/* Notes the whole records of one file; one of another key is removed. */
static err_t scan(struct journal *j, int64_t file, struct err *e)
{
    struct file_head head;
    struct record_head h;
    int64_t bytes;
    err_t code = ERR_OK;
    int fd = open_step_file(j, file, &bytes);
    if (fd < 0)
        return ERR_OK;
    int ours = read_at(fd, &head, (int64_t)sizeof head, 0) && memcmp(&head, &j->head, sizeof head) == 0;
    for (int64_t at = (int64_t)sizeof head; ours && code == ERR_OK && bytes - at >= (int64_t)sizeof h;) {
        if (!read_at(fd, &h, (int64_t)sizeof h, at) || h.digest != head_digest(&h, at))
            break;
        at += (int64_t)sizeof h;
        if (h.bytes < 0 || h.bytes > bytes - at)
            break;
        code = arena_grow(j->arena, "journal.steps", j->nsteps + 1, &j->cap, &j->steps, e);
        if (code == ERR_OK)
            j->steps[j->nsteps++] = (struct step){h.item, h.bytes, file, at, h.payload};
        at += h.bytes;
    }
    close(fd);
    char path[PATH_MAX];
    if (!ours && name_of(path, j->folder, &j->files[file]))
        unlink(path);
    return code;
}

/* By item; of those with one number the one that was put last first. */
static int step_order(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    if (x->file != y->file)
        return x->file > y->file ? -1 : 1;
    return (x->at < y->at) - (x->at > y->at);
}

static int file_order(const void *a, const void *b)
{
    const struct step_file *x = a, *y = b;
    return x->run != y->run ? (x->run > y->run) - (x->run < y->run)
                            : (x->process > y->process) - (x->process < y->process);
}

/* Process 0. The files of earlier runs. */
static err_t list_files(struct journal *j, struct err *e)
{
    struct step_file f;
    int64_t cap = 0;
    DIR *d = opendir(j->folder);
    if (!d)
        return ERR_OK;
    for (struct dirent *entry; e->code == ERR_OK && j->nfiles < MOST_FILES && (entry = readdir(d));)
        if (is_name(entry->d_name, &f) &&
            arena_grow(j->arena, "journal.files", j->nfiles + 1, &cap, &j->files, e) == ERR_OK)
            j->files[j->nfiles++] = f;
    closedir(d);
    if (j->nfiles > 0)
        qsort(j->files, (size_t)j->nfiles, sizeof *j->files, file_order);
    return e->code;
}

/* Collective. Each process has noted the records of its files: all learn all of them. */
static err_t share_steps(struct journal *j, struct err *e)
{
    const struct comm *c = j->comm;
    struct step *all = NULL;
    int64_t total = j->nsteps, at = 0;
    comm_sum(c, &total, 1);
    arena_array(j->arena, "journal.steps", total, &all, e);
    TRY_ALL(c, e);
    for (int p = 0; p < c->np; p++) {
        int64_t n = j->nsteps;
        comm_bcast(c, &n, (int64_t)sizeof n, p);
        if (c->me == p && n > 0)
            memcpy(all + at, j->steps, (size_t)n * sizeof *all);
        comm_bcast(c, all + at, n * (int64_t)sizeof *all, p);
        at += n;
    }
    arena_drop(j->arena, j->steps);
    j->steps = all;
    j->nsteps = 0;
    qsort(all, (size_t)total, sizeof *all, step_order);
    for (int64_t i = 0; i < total; i++)
        if (i == 0 || all[i].item != all[i - 1].item)
            all[j->nsteps++] = all[i];
    return ERR_OK;
}

/* Collective. What earlier runs have left. */
static err_t find_steps(struct journal *j, struct err *e)
{
    const struct comm *c = j->comm;
    if (c->me == 0)
        list_files(j, e);
    TRY_ALL(c, e);
    comm_bcast(c, &j->nfiles, (int64_t)sizeof j->nfiles, 0);
    if (j->nfiles == 0)
        return ERR_OK;
    if (c->me != 0)
        arena_array(j->arena, "journal.files", j->nfiles, &j->files, e);
    TRY_ALL(c, e);
    comm_bcast(c, j->files, j->nfiles * (int64_t)sizeof *j->files, 0);
    j->run = j->files[j->nfiles - 1].run + 1;
    for (int64_t i = c->me; i < j->nfiles && e->code == ERR_OK; i += c->np)
        scan(j, i, e);
    TRY_ALL(c, e);
    return share_steps(j, e);
}

/* The seconds that a node runs before anything is written. */
static double after_sec(void)
{
    const char *text = getenv("SINEW_STEPS_AFTER");
    char *end = NULL;
    double sec = text ? strtod(text, &end) : AFTER_SEC;
    return text && (end == text || *end || !(sec >= 0)) ? AFTER_SEC : sec;
}

err_t journal_open(struct journal **out, const struct comm *c, const char *artifact, const char *key,
                   int anew, const struct log *log, struct arena *a, struct err *e)
{
    struct journal *j = NULL;
    *out = NULL;
    if (arena_array(a, "journal", 1, &j, e) == ERR_OK &&
        arena_array(a, "journal.buffer", BUFFER_BYTES, &j->buffer, e) == ERR_OK)
        j->folder = arena_printf(a, e, "%s%s", artifact, SUFFIX);
    if (e->code == ERR_OK && c->me == 0 && anew)
        journal_remove(artifact);
    TRY_ALL(c, e);
    j->comm = c;
    j->log = log;
    j->arena = a;
    j->fd = j->open_fd = -1;
    j->run = 1;
    memcpy(j->head.magic, MAGIC, sizeof MAGIC);
    snprintf(j->head.key, sizeof j->head.key, "%s", key);
    j->head.digest = hash_bytes(&j->head, offsetof(struct file_head, digest));
    j->began_sec = j->wrote_sec = j->flushed_sec = j->summed_sec = clock_sec();
    j->after_sec = after_sec();
    err_t code = find_steps(j, e);
    if (j->nsteps > 0 && j->after_sec > 0) /* it is a long one */
        j->began_sec -= j->after_sec;
    *out = j;
    if (code != ERR_OK)
        journal_close(j);
    return code;
}

int64_t journal_steps(const struct journal *j, const struct step **steps)
{
    *steps = j ? j->steps : NULL;
    return j ? j->nsteps : 0;
}

const struct step *journal_find(const struct journal *j, int64_t item)
{
    int64_t from = 0, to = j ? j->nsteps : 0;
    while (from < to) {
        int64_t middle = from + (to - from) / 2;
        if (j->steps[middle].item == item)
            return &j->steps[middle];
        if (j->steps[middle].item < item)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

int journal_get(struct journal *j, const struct step *s, void *bytes)
{
    int64_t size;
    if (j->open_fd < 0 || j->open_file != s->file) {
        if (j->open_fd >= 0)
            close(j->open_fd);
        j->open_fd = open_step_file(j, s->file, &size);
        j->open_file = s->file;
    }
    return j->open_fd >= 0 && read_at(j->open_fd, bytes, s->bytes, s->at) &&
           hash_bytes(bytes, (size_t)s->bytes) == s->digest;
}

/* ---- writing ---- */

/* Writing has failed: the node goes on without. What was written whole stays. */
static void give_up(struct journal *j, const char *what)
{
    if (!j->broken)
        log_warn(
            j->log,
            "%s: cannot be %s: %s; the node goes on, but a run that is stopped begins it again from what "
            "was kept before",
            j->folder, what, strerror(errno));
    j->broken = 1;
    j->used = 0;
    if (j->fd >= 0 && ftruncate(j->fd, (off_t)j->end) != 0)
        j->end = 0; /* a torn record ends what is read */
}

static int write_at(struct journal *j, const void *bytes, int64_t n, int64_t at)
{
    for (int64_t done = 0; done < n;) {
        ssize_t wrote = pwrite(j->fd, (const char *)bytes + done, (size_t)(n - done), (off_t)(at + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return 0;
        done += wrote;
    }
    return 1;
}

/* The file, with its head. */
static int begin_file(struct journal *j)
{
    char path[PATH_MAX];
    struct err e;
    const struct step_file own = {j->run, j->comm->me};
    err_clear(&e);
    if (mkdir(j->folder, 0777) != 0 && errno != EEXIST)
        return 0;
    if (!name_of(path, j->folder, &own) || file_create(path, &j->fd, &e) != ERR_OK ||
        !write_at(j, &j->head, (int64_t)sizeof j->head, 0))
        return 0;
    j->end = (int64_t)sizeof j->head;
    return 1;
}

static void write_buffer(struct journal *j)
{
    if (j->used == 0)
        return;
    if (!write_at(j, j->buffer, j->used, j->end)) {
        give_up(j, "written");
        return;
    }
    j->end += j->used;
    j->used = 0;
}

/* What was put reaches the file soon, and the disk a little later. */
static void write_when_due(struct journal *j)
{
    double now = clock_sec(), hasty = fmin(1, j->after_sec);
    if (now - j->wrote_sec >= WRITE_SEC * hasty) {
        write_buffer(j);
        j->wrote_sec = now;
    }
    if (now - j->flushed_sec >= FLUSH_SEC * hasty && !j->broken) {
        write_buffer(j);
        if (j->after_sec > 0 && !j->broken)
            fdatasync(j->fd); /* where it fails the disk tells at the next write, or a digest later */
        j->flushed_sec = clock_sec();
    }
}

void journal_keep_from(struct journal *j, double sec)
{
    if (j)
        j->after_sec = fmin(j->after_sec, sec);
}

int journal_due(struct journal *j)
{
    return j && !j->broken && clock_sec() - j->began_sec >= j->after_sec;
}

int journal_sum_due(struct journal *j)
{
    if (!journal_due(j) || clock_sec() - j->summed_sec < fmin(SUM_SEC, j->after_sec))
        return 0;
    j->summed_sec = clock_sec();
    return 1;
}

void journal_put(struct journal *j, int64_t item, const struct hash_part *parts, int n)
{
    struct record_head h = {.item = item};
    if (!journal_due(j))
        return;
    if (j->fd < 0 && !begin_file(j)) {
        give_up(j, "made");
        return;
    }
    for (int i = 0; i < n; i++)
        h.bytes += (int64_t)parts[i].n;
    h.payload = hash_parts(parts, n);
    if ((int64_t)sizeof h + h.bytes > BUFFER_BYTES - j->used)
        write_buffer(j);
    if (j->broken)
        return;
    h.digest = head_digest(&h, j->end + j->used);
    memcpy(j->buffer + j->used, &h, sizeof h); /* there is room for a head */
    j->used += (int64_t)sizeof h;
    int small = h.bytes <= BUFFER_BYTES - j->used;
    if (!small) {
        int64_t at = j->end + (int64_t)sizeof h;
        int fine = 1;
        for (int i = 0; i < n && fine; at += (int64_t)parts[i++].n)
            fine = write_at(j, parts[i].bytes, (int64_t)parts[i].n, at);
        if (!fine) {
            give_up(j, "written");
            return;
        }
        write_buffer(j); /* the head behind its bytes */
        j->end += h.bytes;
    }
    for (int i = 0; i < n && small; i++) {
        memcpy(j->buffer + j->used, parts[i].bytes, parts[i].n);
        j->used += (int64_t)parts[i].n;
    }
    j->written++;
    write_when_due(j);
}

int journal_run(const struct journal *j)
{
    return j->run;
}

int64_t journal_written(const struct journal *j)
{
    return j ? j->written : 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->open_fd >= 0)
        close(j->open_fd);
    if (j->fd >= 0) {
        write_buffer(j);
        close(j->fd);
    }
    j->open_fd = j->fd = -1;
}
