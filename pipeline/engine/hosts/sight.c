#include "engine/hosts/sight.h"

#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOKS = 25, /* a network file system may take some seconds to show what was made elsewhere */
    LOOK_EVERY_NS = 200000000,
    MOST_PATHS = 200, /* of checkpoints */
    NAME_BYTES = FILE_MARK + 8
};

/* ---- the output folder ---- */

/* Process 0. A file whose text is told by nothing but itself, under a name of this run's own, as others may
 * work in the folder. */
static err_t make_mark(const char *output, char name[NAME_BYTES], char text[FILE_MARK], struct arena *a,
                       struct err *e)
{
    file_mark(text);
    snprintf(name, NAME_BYTES, ".seen-%s", text);
    const char *path = path_join(a, output, name, e);
    return path ? file_write(path, text, (int64_t)strlen(text), e) : e->code;
}

static int sees_mark(const char *path, const char *text, struct arena *a)
{
    struct err no;
    char *found;
    int64_t n;
    err_clear(&no);
    return file_read(a, path, FILE_MARK, &found, &n, &no) == ERR_OK && strcmp(found, text) == 0;
}

static err_t look_for_mark(const struct hosts *h, const char *path, const char *text, const char *output,
                           struct arena *a, struct err *e)
{
    const struct timespec nap = {.tv_nsec = LOOK_EVERY_NS};
    for (int i = 0; i < LOOKS; i++) {
        if (sees_mark(path, text, a))
            return ERR_OK;
        nanosleep(&nap, NULL);
    }
    return err_set(
        e, ERR_SYSTEM,
        "%s: the output folder is not the same on every host: what process 0 on %s has just written "
        "there is not to be seen; expected one file system that all hosts share, under the same path",
        output, h->name[0]);
}

/* ---- the checkpoints ---- */

/* The paths that a study's cells name, each side in turn, without one that repeats the cell before. */
static int paths_of(const struct dag *d, const char **paths)
{
    int n = 0;
    for (int i = 0; i < d->config->ncells && n + 2 <= MOST_PATHS; i++) {
        const struct cell *cell = &d->config->cells[i];
        if (i == 0 || strcmp(cell->base, d->config->cells[i - 1].base) != 0)
            paths[n++] = cell->base;
        paths[n++] = cell->tuned;
    }
    return n;
}

static err_t look_for_checkpoints(const struct hosts *h, const char *const *paths, const char *seen, int n,
                                  struct err *e)
{
    for (int i = 0; i < n; i++)
        if (seen[i] && access(paths[i], F_OK) != 0)
            return err_set(
                e, ERR_SYSTEM,
                "%s: process 0 on %s sees this checkpoint, and here it is not (%s); expected one file "
                "system that all hosts share, under the same path",
                paths[i], h->name[0], strerror(errno));
    return ERR_OK;
}

err_t sight_check(const struct hosts *h, const struct comm *c, const struct dag *d, struct arena *a,
                  struct err *e)
{
    const char *output = d->config->output, *paths[MOST_PATHS];
    char name[NAME_BYTES] = "", text[FILE_MARK] = "", seen[MOST_PATHS] = {0};
    if (h->n == 1)
        return ERR_OK;
    int n = paths_of(d, paths);
    if (c->me == 0)
        make_mark(output, name, text, a, e);
    for (int i = 0; i < n && c->me == 0; i++)
        seen[i] = access(paths[i], F_OK) == 0;
    TRY_ALL(c, e);
    comm_bcast(c, name, NAME_BYTES, 0);
    comm_bcast(c, text, FILE_MARK, 0);
    comm_bcast(c, seen, n, 0);
    const char *path = path_join(a, output, name, e);
    if (path && c->me > 0 && h->first[c->me] == c->me && look_for_mark(h, path, text, output, a, e) == ERR_OK)
        look_for_checkpoints(h, paths, seen, n, e);
    comm_rest(c);
    if (c->me == 0 && path)
        unlink(path);
    return comm_agree(c, e);
}
