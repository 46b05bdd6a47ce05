#include "engine/verify/verify.h"

#include "hdf5/digest.h"
#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE_BLOCKS = 4096, /* 64 MiB: what a process reads at once of a file that several share */
    WHERE = 160          /* bytes of what is said of a place */
};

/* A file with digests: a node's artifact, or the archive behind the last of them. */
struct verify_file {
    int64_t nblocks; /* -1: it is not there; -2: it has no digests, or they are damaged */
    int64_t bytes;
    int64_t bad; /* first damaged block, as far as this process has looked; INT64_MAX: none */
};

struct verify {
    struct runner *r;
    struct arena *arena;
    struct verify_file *files; /* same on all processes, but for `bad` */
    int n;
    struct verify_counts *counts;
    struct progress progress;
};

static const char *path_of(const struct verify *v, int i)
{
    const struct dag *d = v->r->dag;
    return i < d->nnodes ? d->nodes[i].path : d->archive;
}

/* Says that a file is damaged. */
static void tell(struct verify *v, const char *path, const char *what)
{
    if (v->counts->damaged++ == 0)
        snprintf(v->counts->first, sizeof v->counts->first, "%.120s %.70s", path, what);
    printf("damaged  %s: %s\n", path, what);
}

/* Process 0. What there is to be read. What is no file with digests is told at once; a failure of the system
 * to open one says nothing of it. */
static err_t list_files(struct verify *v, struct err *e)
{
    for (int i = 0; i < v->n; i++) {
        struct verify_file *f = &v->files[i];
        const char *path = path_of(v, i);
        struct digest *d;
        struct err met;
        err_clear(&met);
        *f = (struct verify_file){.nblocks = -1, .bad = INT64_MAX};
        if (access(path, F_OK) != 0) {
            v->counts->absent += i < v->r->dag->nnodes;
            continue;
        }
        v->counts->files++;
        f->nblocks = -2;
        if (digest_open(path, v->arena, &d, &met) != ERR_OK) {
            if (met.code != ERR_DATA)
                return err_set(e, met.code, "%s", met.text);
            size_t n = strlen(path);
            const char *why = strncmp(met.text, path, n) == 0 ? met.text + n + 2 : met.text;
            char text[WHERE];
            snprintf(text, sizeof text, "%.*s", (int)strcspn(why, ";"), why);
            tell(v, path, text);
            continue;
        }
        f->bytes = digest_bytes(d);
        f->nblocks = f->bytes / DIGEST_BLOCK + (f->bytes % DIGEST_BLOCK > 0);
        v->counts->bytes += f->bytes;
        digest_close(d);
    }
    return ERR_OK;
}

/* Local. The pieces of a file that are this process's; `piece` counts through all files. */
static err_t check_file(struct verify *v, int i, int64_t *piece, struct err *e)
{
    const struct comm *c = v->r->comm;
    struct verify_file *f = &v->files[i];
    struct digest *d = NULL;
    for (int64_t from = 0; from < f->nblocks && e->code == ERR_OK; from += PIECE_BLOCKS) {
        int64_t bad = -1, to = min64(from + PIECE_BLOCKS, f->nblocks);
        if ((*piece)++ % c->np != c->me || f->bad < from)
            continue;
        struct err met;
        err_clear(&met);
        if (!d && digest_open(path_of(v, i), v->arena, &d, &met) != ERR_OK) {
            f->bad = met.code == ERR_DATA ? from : f->bad; /* it was whole when process 0 looked */
            if (met.code != ERR_DATA)
                err_set(e, met.code, "%s", met.text);
            break;
        }
        if (digest_bytes(d) != f->bytes) /* made anew meanwhile: it is another file */
            break;
        digest_check(d, from, to, &bad, e);
        f->bad = bad >= 0 ? bad : f->bad;
    }
    digest_close(d);
    return e->code;
}

/* Collective. The first damaged block of each file over all processes. */
static err_t share_damage(struct verify *v, struct err *e)
{
    int64_t *first;
    arena_array(v->arena, "verify.first", v->n, &first, e);
    TRY_ALL(v->r->comm, e);
    for (int i = 0; i < v->n; i++)
        first[i] = -v->files[i].bad;
    comm_max(v->r->comm, first, v->n);
    for (int i = 0; i < v->n; i++)
        v->files[i].bad = -first[i];
    arena_drop(v->arena, first);
    return ERR_OK;
}

/* Process 0. */
static void tell_damage(struct verify *v)
{
    for (int i = 0; i < v->n; i++) {
        const struct verify_file *f = &v->files[i];
        char where[WHERE], text[2 * WHERE];
        if (f->bad == INT64_MAX)
            continue;
        h5_where(path_of(v, i), f->bad, where, sizeof where, v->arena);
        snprintf(text, sizeof text, "bytes [%lld, %lld), in %s", (long long)(f->bad * DIGEST_BLOCK),
                 (long long)min64((f->bad + 1) * DIGEST_BLOCK, f->bytes), where);
        tell(v, path_of(v, i), text);
    }
}

/* ---- files that stages wrote beside their artifacts ---- */

/* One of them, by what its stage noted of it: its size, and the hash of all of it where that is known. what:
 * receives how it differs, or "". */
static err_t check_written(struct verify *v, const char *path, int64_t bytes, const char *hash, char *what,
                           size_t size, struct err *e)
{
    struct file_stamp now;
    what[0] = '\0';
    if (!file_stamp_of(path, &now)) {
        snprintf(what, size, "is not there");
        return ERR_OK;
    }
    v->counts->bytes += now.size_bytes;
    if (now.size_bytes != bytes)
        snprintf(what, size, "has %lld bytes, %lld were written", (long long)now.size_bytes,
                 (long long)bytes);
    if (what[0] || !hash[0])
        return ERR_OK;
    uint64_t found = 0;
    char text[20];
    TRY(hash_file(path, &found, e));
    snprintf(text, sizeof text, "%016" PRIx64, found);
    if (strcmp(text, hash) != 0)
        snprintf(what, size, "has other bytes than were written");
    return ERR_OK;
}

/* Process 0. What an artifact that is whole says that its stage wrote beside it. */
static err_t check_beside(struct verify *v, int i, struct err *e)
{
    const struct stage *stage = v->r->dag->nodes[i].stage;
    const int all = stage->scope == SCOPE_STUDY; /* their hash is of the whole file */
    struct h5 *f;
    struct table t;
    struct arena scratch;
    arena_init(&scratch, v->arena->mem);
    table_init(&t, "files", &scratch);
    if (h5_open_sealed(path_of(v, i), &scratch, &f, e) == ERR_OK) {
        h5_table_read(f, "files", &t, 0, -1, NULL, e);
        h5_close(f, e);
    }
    for (int64_t k = 0; k < t.nrows && e->code == ERR_OK; k++) {
        char what[WHERE], note[2 * WHERE];
        const char *path = table_text(&t, k, "path");
        v->counts->files++;
        check_written(v, path, table_int(&t, k, "size_bytes"), all ? table_text(&t, k, "header_hash") : "",
                      what, sizeof what, e);
        if (!what[0])
            continue;
        tell(v, path, what);
        snprintf(note, sizeof note, "%.120s %.80s", path, what);
        digest_note(path_of(v, i), note); /* time and size alone would not show it */
    }
    arena_release(&scratch);
    return e->code;
}

err_t verify_files(struct runner *r, struct verify_counts *counts, struct err *e)
{
    struct arena arena;
    struct verify v = {.r = r, .arena = &arena, .n = r->dag->nnodes + 1, .counts = counts};
    int64_t piece = 0;
    *counts = (struct verify_counts){.files = 0};
    arena_init(&arena, r->mem);
    arena_array(&arena, "verify.files", v.n, &v.files, e);
    if (r->comm->me == 0 && e->code == ERR_OK)
        list_files(&v, e);
    if (comm_agree(r->comm, e) == ERR_OK) {
        comm_bcast(r->comm, v.files, v.n * (int64_t)sizeof *v.files, 0);
        progress_start(&v.progress, r->log, "verify", "files", v.n);
        for (int i = 0; i < v.n && e->code == ERR_OK; i++) {
            check_file(&v, i, &piece, e);
            progress_at(&v.progress, i + 1, 0, 0);
        }
        progress_end(&v.progress);
        share_damage(&v, e);
    }
    if (r->comm->me == 0 && e->code == ERR_OK)
        tell_damage(&v);
    for (int i = 0; r->comm->me == 0 && i < r->dag->nnodes && e->code == ERR_OK; i++)
        if (r->dag->nodes[i].stage->writes_files && v.files[i].nblocks >= 0 && v.files[i].bad == INT64_MAX)
            check_beside(&v, i, e);
    comm_rest(r->comm);
    arena_release(&arena);
    return comm_agree(r->comm, e);
}
