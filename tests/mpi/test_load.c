/* load, on as many processes as the program is started with: datasets that refer to the checkpoint and copied
 * ones hold the tensors' bytes, empty and scalar ones too; a bad checkpoint is refused by all processes
 * alike. With a folder as argument the artifacts are left there, for a look by other programs. One line per
 * failed check; exit status 0 or 1. */
#include "stagelib.h"

enum { LINE = 1001, TENSORS = 8 };

static const struct stored_tensor tensors[TENSORS] = {
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

/* Collective. Writes the model; cut > 0: without the last so many bytes before the empty last tensor's place.
 */
static char *make_model(struct world *w, int64_t cut)
{
    const void *bytes[TENSORS];
    int64_t end = 0;
    for (int i = 0; i < TENSORS; i++) {
        struct stored_tensor t = tensors[i];
        int64_t n = dtype_bits(t.dtype);
        for (int d = 0; d < t.ndim; d++)
            n *= t.dims[d];
        unsigned char *content = take(w, n / 8 + 1, 1);
        for (int64_t k = 0; k < n / 8; k++)
            content[k] = byte_of(i, k);
        bytes[i] = content;
        end += n / 8;
    }
    char *path = write_model(w, "model", tensors, TENSORS, bytes);
    struct stat s;
    if (cut > 0 && w->comm.me == 0)
        check(w, stat(path, &s) == 0 && s.st_size > end && truncate(path, s.st_size - cut) == 0,
              "%s: not cut", path);
    MPI_Barrier(w->comm.mpi);
    return path;
}

static err_t load(struct world *w, const char *model, const char *copy, const char *path, struct err *e)
{
    const char *const settings[] = {"copy", copy, NULL};
    struct ctx ctx = {.label = model, .checkpoint = model, .role = "base"};
    return run_stage(w, ctx, "load", settings, path, e);
}

/* Process 0. One line of bytes in the artifact, as the type says. */
static void check_line(struct world *w, const char *path, const char *dataset, enum h5_type type, size_t size,
                       int tensor, int64_t n, int64_t bytes)
{
    int64_t found;
    const unsigned char *buf = read_bulk(w, path, dataset, type, size, &found);
    check_int(w, dataset, found, n);
    int same = 1;
    for (int64_t k = 0; k < bytes && k < found * (int64_t)size; k++)
        same &= buf[k] == byte_of(tensor, k);
    check(w, same, "%s: %s holds other bytes", path, dataset);
}

/* Process 0. */
static void check_artifact(struct world *w, const char *model, const char *path)
{
    struct checkpoint c, read;
    struct err e;
    err_clear(&e);
    if (checkpoint_open(&c, model, NULL, &w->arena, &e) != ERR_OK ||
        catalogue_read(&read, path, &w->arena, &e) != ERR_OK) {
        check(w, 0, "%s: %s", path, e.text);
        return;
    }
    check(w, read.ntensors == TENSORS && read.parameters == c.parameters, "%s: catalogue differs", path);
    for (int64_t i = 0; i < read.ntensors && i < c.ntensors; i++)
        check(w,
              strcmp(c.tensors[i].name, read.tensors[i].name) == 0 &&
                  c.tensors[i].dtype == read.tensors[i].dtype &&
                  c.tensors[i].offset_bytes == read.tensors[i].offset_bytes,
              "%s differs in the catalogue", c.tensors[i].name);
    check_line(w, path, "/tensors/line", H5_BF16, 2, 1, LINE, 2 * LINE);
    check_line(w, path, "/tensors/with|slash", H5_REAL16, 2, 2, 3, 6);
    check_line(w, path, "/tensors/scalar", H5_REAL32, 4, 4, 1, 4);
    check_line(w, path, "/tensors/nibbles", H5_BITS8, 1, 6, 3, 3);
    check_line(w, path, "/tensors/none", H5_INT64, 8, 7, 0, 0);
}

int main(int argc, char **argv)
{
    static const char *const copies[] = {"false", "true"};
    struct world w;
    struct err e;
    MPI_Init(&argc, &argv);
    world_init(&w, argc > 1 ? argv[1] : NULL, 0);
    const char *model = make_model(&w, 0);
    for (int i = 0; i < 2; i++) {
        char *path = in_root(&w, "copy-%s.h5", copies[i]);
        check(&w, load(&w, model, copies[i], path, &e) == ERR_OK, "%s: %s", path, e.text);
        if (w.comm.me == 0 && e.code == ERR_OK)
            check_artifact(&w, model, path);
    }
    make_model(&w, 3);
    for (int i = 0; i < 2; i++) {
        char *path = in_root(&w, "bad-%s.h5", copies[i]);
        err_t code = load(&w, model, copies[i], path, &e);
        check_refusal(&w, code, &e, ERR_DATA, "truncated: tensor ", path);
        check(&w, e.process == 0, "a truncated file was found by process %d instead of 0", e.process);
    }
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
