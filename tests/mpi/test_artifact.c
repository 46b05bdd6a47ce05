/* Artifacts: sealed by all processes together, they are byte for byte what one process would have sealed;
 * what stood under the name before stays until the new one is complete. */
#include "stagelib.h"

#include "hdf5/artifact.h"
#include "hdf5/digest.h"
#include "base/file.h"

#include <unistd.h>

enum { MIB = 1 << 20 };

/* Process 0. The bytes of a file; owned by the world. */
static char *bytes_of(struct world *w, const char *path, int64_t *n)
{
    struct err e;
    char *text;
    err_clear(&e);
    check(w, file_read(&w->arena, path, (int64_t)1 << 30, &text, n, &e) == ERR_OK, "%s", e.text);
    return text;
}

/* The same elements in a dataset that grows, in rounds, each process writing its share of each; in the end a
 * few of process 0's are written over by the last process. */
static void grow(struct world *w, struct h5 *f, int64_t n, struct arena *a, struct err *e)
{
    enum { ROUNDS = 5 };
    struct h5_bulk *d;
    h5_bulk(f, "/grows", H5_INT64, 0, n, "values", NULL, &d, e);
    for (int r = 0; r < ROUNDS && e->code == ERR_OK; r++) {
        int64_t begin, end, from, to, *v;
        split(n, ROUNDS, r, &begin, &end);
        split(end - begin, w->comm.np, w->comm.me, &from, &to);
        arena_array(a, "test", to - from, &v, e);
        for (int64_t i = from; i < to; i++)
            v[i - from] = (begin + i) * 0x9e3779b97f + (begin + i == 0);
        h5_bulk_grow(d, end, e);
        h5_put(d, begin + from, to - from, v, e);
    }
    MPI_Barrier(w->comm.mpi);
    if (w->comm.me == w->comm.np - 1)
        h5_put(d, 0, 1, &(int64_t){0}, e);
}

/* An artifact of n elements, each process writing its share. */
static void make(struct world *w, const char *path, int64_t n, int complete)
{
    struct artifact out;
    struct arena a;
    struct err e;
    struct h5 *f = NULL;
    struct h5_bulk *d;
    int64_t from, to, *v;
    err_clear(&e);
    arena_init(&a, &w->mem);
    split(n, w->comm.np, w->comm.me, &from, &to);
    arena_array(&a, "test", to - from, &v, &e);
    for (int64_t i = from; i < to; i++)
        v[i - from] = i * 0x9e3779b97f;
    artifact_begin(&out, &w->comm, path, &a, &e);
    artifact_bulk(&out, &f, &e);
    h5_bulk(f, "/v", H5_INT64, n, 0, "values", NULL, &d, &e);
    h5_put(d, from, to - from, v, &e);
    grow(w, f, n, &a, &e);
    artifact_bulk_done(&out, &e);
    if (w->comm.me == 0 && artifact_tables(&out, &f, &e) == ERR_OK)
        h5_set_int(f, "/", "n", n, &e);
    check(w, e.code == ERR_OK, "%s", e.text);
    artifact_end(&out, complete, &e);
    check(w, e.code == ERR_OK, "%s", e.text);
    arena_release(&a);
}

static void sealed_alike(struct world *w, int64_t n)
{
    const char *path = in_root(w, "a.h5");
    make(w, path, n, 1);
    if (w->comm.me == 0) {
        struct err e;
        int64_t have, again;
        err_clear(&e);
        char *sealed = bytes_of(w, path, &have);
        uint64_t was = digest_of(path);
        struct digest *d;
        check(w, digest_open(path, &w->arena, &d, &e) == ERR_OK, "%s", e.text);
        check(w, truncate(path, digest_bytes(d)) == 0, "cannot be cut");
        digest_close(d);
        check(w, digest_seal(path, &w->arena, &e) == ERR_OK, "%s", e.text);
        char *by_one = bytes_of(w, path, &again);
        check(w, have == again && memcmp(sealed, by_one, (size_t)have) == 0,
              "%lld elements are not sealed by %d processes as by one", (long long)n, w->comm.np);
        check(w, was != 0 && digest_of(path) == was, "the digest is another one");
    }
    MPI_Barrier(w->comm.mpi);
    int64_t found;
    int64_t *v = read_bulk(w, path, "/v", H5_INT64, sizeof *v, &found);
    check_int(w, "elements", found, n);
    int64_t grown, *g = read_bulk(w, path, "/grows", H5_INT64, sizeof *g, &grown);
    check_int(w, "elements that grew", grown, n);
    for (int64_t i = 0; i < found && i < grown; i += found / 1000 + 1) {
        check_int(w, "an element", v[i], i * 0x9e3779b97f);
        check_int(w, "an element that grew", g[i], i * 0x9e3779b97f);
    }
    MPI_Barrier(w->comm.mpi);
    make(w, path, n / 2, 0); /* not complete: what was there is untouched */
    v = read_bulk(w, path, "/v", H5_INT64, sizeof *v, &found);
    check_int(w, "elements", found, n);
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct world w;
    world_init(&w, NULL, 0);
    sealed_alike(&w, 3);
    sealed_alike(&w, 100000);
    sealed_alike(&w, 5 * (int64_t)MIB); /* three pages of digests */
    int failed = world_end(&w);
    MPI_Finalize();
    return failed;
}
