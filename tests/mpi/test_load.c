/* load, on as many processes as the program is started with: datasets that refer to the checkpoint and copied
 * ones hold the tensors' bytes, empty and scalar ones too; a bad checkpoint is refused by all processes
 * alike. With a folder as argument the artifacts are left there, for a look by other programs. One line per
 * failed check; exit status 0 or 1. */
#include "pair.h"
#include "registry.h"
#include "safetensors.h"
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void check(const struct comm *c, int ok, const char *what, const char *detail)
{
    if (ok)
        return;
    printf("process %d: %s: %s\n", c->me, what, detail);
    failures++;
}

struct world {
    struct comm comm;
    struct mem mem;
    struct arena arena;
    struct log log;
    char root[200], model[300];
};

enum { LINE = 1001, TENSORS = 8 };

static const struct checkpoint_tensor tensors[TENSORS] = {
    {.name = "model.layers.0.up.weight", .dtype = DTYPE_BF16, .ndim = 2, .dims = {5, 7}},
    {.name = "line", .dtype = DTYPE_BF16, .ndim = 1, .dims = {LINE}},
    {.name = "with/slash", .dtype = DTYPE_F16, .ndim = 1, .dims = {3}},
    {.name = "empty", .dtype = DTYPE_F32, .ndim = 2, .dims = {0, 4}},
    {.name = "scalar", .dtype = DTYPE_F32},
    {.name = "bytes", .dtype = DTYPE_I8, .ndim = 3, .dims = {2, 3, 2}},
    {.name = "nibbles", .dtype = DTYPE_F4, .ndim = 2, .dims = {3, 2}},
    {.name = "none", .dtype = DTYPE_I64, .ndim = 1, .dims = {0}},
};

/* Byte k of tensor i; floats of these bytes are no NaN. */
static unsigned char byte_of(int i, int64_t k)
{
    return (unsigned char)((37 * i + 11 * k) % 101);
}

/* Process 0. */
static void write_model(struct world *w, int64_t cut, struct err *e)
{
    struct checkpoint_tensor t[TENSORS];
    char *header;
    int64_t n;
    memcpy(t, tensors, sizeof t);
    FILE *f = fopen(w->model, "wb");
    if (!f || safetensors_header(t, TENSORS, NULL, 0, &w->arena, &header, &n, e) != ERR_OK) {
        check(&w->comm, 0, w->model, "not written");
        return;
    }
    fwrite(header, 1, (size_t)n, f);
    for (int i = 0; i < TENSORS; i++)
        for (int64_t k = 0; k < t[i].size_bytes; k++)
            fputc(byte_of(i, k), f);
    fclose(f);
    if (cut > 0 && truncate(w->model, t[TENSORS - 1].offset_bytes - cut) != 0)
        check(&w->comm, 0, w->model, "not cut");
}

static err_t load(struct world *w, const char *copy, const char *path, struct err *e)
{
    const struct stage *s = registry_find("load");
    char *params, problem[300] = "";
    double bytes = 0;
    struct artifact out;
    TRY(arena_array(&w->arena, "params", (int64_t)s->params_size, &params, e));
    TRY(param_defaults(s->params, params, &w->arena, e));
    if (param_set(&s->params[0], params, &copy, 1, 0, &w->arena, problem, sizeof problem, e) != 0)
        check(&w->comm, 0, "copy", problem);
    struct ctx ctx = {.comm = &w->comm,
                      .arena = &w->arena,
                      .log = &w->log,
                      .params = params,
                      .node = "load",
                      .label = w->model,
                      .checkpoint = w->model,
                      .role = "base",
                      .out = &out,
                      .bytes_done = &bytes};
    TRY(artifact_begin(&out, &w->comm, path, &w->arena, e));
    err_t code = s->run(&ctx, e);
    err_t ended = artifact_end(&out, code == ERR_OK, e);
    return code != ERR_OK ? code : ended;
}

/* Process 0. One line of bytes in the artifact, as the type says. */
static void check_line(struct world *w, const char *path, const char *dataset, enum h5_type type, int tensor,
                       int64_t n, int64_t bytes)
{
    struct h5 *f;
    struct h5_bulk *d;
    struct err e;
    int64_t found = -1;
    unsigned char buf[4 * LINE] = {0};
    err_clear(&e);
    if (h5_open(path, 0, &w->arena, &f, &e) != ERR_OK) {
        check(&w->comm, 0, path, e.text);
        return;
    }
    if (h5_find(f, dataset, type, &d, &found, &e) == ERR_OK && found == n)
        h5_get(d, 0, n, buf, &e);
    check(&w->comm, e.code == ERR_OK, dataset, e.text);
    check(&w->comm, found == n, dataset, "has another length");
    int same = 1;
    for (int64_t k = 0; k < bytes; k++)
        same &= buf[k] == byte_of(tensor, k);
    check(&w->comm, same, dataset, "holds other bytes");
    h5_close(f, &e);
}

/* Process 0. */
static void check_artifact(struct world *w, const char *path)
{
    struct checkpoint c, read;
    struct err e;
    err_clear(&e);
    if (checkpoint_open(&c, w->model, &w->arena, &e) != ERR_OK ||
        catalogue_read(&read, path, &w->arena, &e) != ERR_OK) {
        check(&w->comm, 0, path, e.text);
        return;
    }
    check(&w->comm, read.ntensors == TENSORS && read.parameters == c.parameters, path, "catalogue differs");
    for (int64_t i = 0; i < read.ntensors && i < c.ntensors; i++)
        check(&w->comm,
              strcmp(c.tensors[i].name, read.tensors[i].name) == 0 &&
                  c.tensors[i].dtype == read.tensors[i].dtype &&
                  c.tensors[i].offset_bytes == read.tensors[i].offset_bytes,
              c.tensors[i].name, "differs in the catalogue");
    check_line(w, path, "/tensors/line", H5_BF16, 1, LINE, 2 * LINE);
    check_line(w, path, "/tensors/with|slash", H5_REAL16, 2, 3, 6);
    check_line(w, path, "/tensors/scalar", H5_REAL32, 4, 1, 4);
    check_line(w, path, "/tensors/nibbles", H5_BITS8, 6, 3, 3);
    check_line(w, path, "/tensors/none", H5_INT64, 7, 0, 0);
}

static void run(struct world *w)
{
    static const char *const copies[] = {"false", "true"};
    char path[300];
    struct err e;
    err_clear(&e);
    if (w->comm.me == 0)
        write_model(w, 0, &e);
    MPI_Barrier(w->comm.mpi);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/copy-%s.h5", w->root, copies[i]);
        err_clear(&e);
        load(w, copies[i], path, &e);
        check(&w->comm, e.code == ERR_OK, path, e.text);
        if (w->comm.me == 0 && e.code == ERR_OK)
            check_artifact(w, path);
    }
    MPI_Barrier(w->comm.mpi);
    if (w->comm.me == 0)
        write_model(w, 3, &e);
    MPI_Barrier(w->comm.mpi);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/bad-%s.h5", w->root, copies[i]);
        err_clear(&e);
        check(&w->comm, load(w, copies[i], path, &e) == ERR_DATA, "a truncated file", "was not refused");
        check(&w->comm, strstr(e.text, "truncated: tensor ") != NULL, "a truncated file", e.text);
        check(&w->comm, e.process == 0, "a truncated file", "was found by another process than 0");
        check(&w->comm, access(path, F_OK) != 0, path, "was left behind");
    }
    MPI_Barrier(w->comm.mpi);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct world w = {0};
    comm_init(&w.comm, MPI_COMM_WORLD);
    mem_init(&w.mem, 0);
    arena_init(&w.arena, &w.mem);
    log_init(&w.log, LOG_QUIET, w.comm.me == 0);
    h5_start();
    snprintf(w.root, sizeof w.root, "%s", argc > 1 ? argv[1] : "/tmp/sinew-load-XXXXXX");
    if (argc == 1 && w.comm.me == 0 && !mkdtemp(w.root))
        MPI_Abort(MPI_COMM_WORLD, 1);
    comm_bcast(&w.comm, w.root, (int64_t)sizeof w.root, 0);
    snprintf(w.model, sizeof w.model, "%s/model.safetensors", w.root);
    run(&w);
    if (argc == 1 && w.comm.me == 0) {
        char path[300];
        unlink(w.model);
        snprintf(path, sizeof path, "%s/copy-false.h5", w.root);
        unlink(path);
        snprintf(path, sizeof path, "%s/copy-true.h5", w.root);
        unlink(path);
        rmdir(w.root);
    }
    arena_release(&w.arena);
    check(&w.comm, w.mem.live_bytes == 0, "memory", "is still held at the end");
    int64_t all = failures;
    comm_sum(&w.comm, &all, 1);
    MPI_Finalize();
    return all != 0;
}
