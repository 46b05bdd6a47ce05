/* The writer of updates: windows of several processes come out in order and complete, however far one is
 * ahead, and a failure that one brings ends the writing of all before long. */
#include "stagelib.h"

#include "compare/update.h"

enum { TENSORS = 5, ELEMENTS = 70 };

/* Tensors of a few blocks; windows that leave some processes without a block. */
static void make_layout(struct layout *l, struct layout_tensor *t)
{
    for (int i = 0; i < TENSORS; i++)
        t[i] = (struct layout_tensor){.name = "t", .elements = (int64_t)(3 + i) * LAYOUT_BLOCK + ELEMENTS};
    *l = (struct layout){.ntensors = TENSORS, .tensors = t};
    layout_number(l);
}

/* Of each block the first elements differ, as many as its number says. */
static int64_t changed(int64_t block)
{
    return block * 7 % ELEMENTS;
}

static void old_and_new(int64_t block, uint16_t *old_bits, uint16_t *new_bits)
{
    for (int64_t i = 0; i < ELEMENTS; i++) {
        old_bits[i] = (uint16_t)(100 * block + i);
        new_bits[i] = (uint16_t)(old_bits[i] + (i < changed(block)));
    }
}

/* A block's first elements stand for all of it: the others are equal, and not NaN. */
static void fill(struct world *w, struct update_part *p, const struct layout *l, int64_t from, int64_t to)
{
    static uint16_t old_bits[LAYOUT_BLOCK], new_bits[LAYOUT_BLOCK];
    struct err e;
    err_clear(&e);
    check(w, update_part_start(p, from, to, &e) == ERR_OK, "%s", e.text);
    for (int64_t b = from; b < to; b++) {
        old_and_new(b, old_bits, new_bits);
        update_part_block(p, b);
        check(w, update_part_add(p, old_bits, new_bits, layout_block(l, b).n, NULL, &e) == ERR_OK, "%s",
              e.text);
    }
    update_part_block(p, to);
}

/* Writes all windows. lead: process 0 puts as many as can wait before another begins, so that whoever waits
 * for one that is behind waits for ever. fails: the window in which the last process fails; -1: none. */
static err_t write_all(struct world *w, const struct layout *l, const char *path, int lead, int fails,
                       struct err *e)
{
    struct update_part part[UPDATE_WAITING + 1];
    struct update_writer *writer = NULL;
    struct artifact out;
    struct arena a;
    int window = 0, go = 1;
    err_clear(e);
    arena_init(&a, &w->mem);
    for (int i = 0; i <= UPDATE_WAITING; i++)
        update_part_init(&part[i], ARITHMETIC_BF16, &a);
    err_t code = artifact_begin(&out, &w->comm, path, &a, e);
    if (code == ERR_OK)
        code = update_writer_open(&writer, &out, &w->comm, l, ARITHMETIC_BF16, &a, e);
    if (lead && w->comm.me > 0)
        MPI_Recv(&go, 1, MPI_INT, 0, 0, w->comm.mpi, MPI_STATUS_IGNORE);
    for (int64_t begin = 0, end, from, to; code == ERR_OK && begin < l->nblocks; begin = end, window++) {
        struct update_part *p = &part[window % (UPDATE_WAITING + 1)];
        end = begin + 1 + window % 3;
        end = end < l->nblocks ? end : l->nblocks;
        for (int q = 1; q < w->comm.np && lead && w->comm.me == 0 && window == UPDATE_WAITING; q++)
            MPI_Send(&go, 1, MPI_INT, q, 0, w->comm.mpi);
        layout_share(l, begin, end, w->comm.np, w->comm.me, &from, &to);
        fill(w, p, l, from, to);
        code = update_writer_flush(writer, e);
        if (window == fails && w->comm.me == w->comm.np - 1)
            err_set(e, ERR_DATA, "made to fail");
        if (code == ERR_OK)
            update_writer_put(writer, p, e);
    }
    check(w, fails < 0 || window <= fails + 1 + UPDATE_WAITING,
          "%d windows were begun with a failure in window %d", window, fails);
    if (code == ERR_OK)
        code = update_writer_close(writer, e);
    err_t ended = artifact_end(&out, code == ERR_OK, e);
    arena_release(&a);
    return code != ERR_OK ? code : ended;
}

static void *read_back(struct world *w, struct h5 *f, const char *name, enum h5_type type, int64_t expected)
{
    struct h5_bulk *d;
    struct err e;
    int64_t n = -1;
    void *v = take(w, expected, sizeof(int64_t));
    err_clear(&e);
    if (!check(w, h5_find(f, name, type, &d, &n, &e) == ERR_OK && n == expected, "%s has %lld, expected %lld",
               name, (long long)n, (long long)expected))
        return v;
    check(w, h5_get(d, 0, n, v, &e) == ERR_OK, "%s", e.text);
    return v;
}

/* Local. What stands in the artifact is what one process alone would have written. */
static void compare(struct world *w, const struct layout *l, const char *path)
{
    struct h5 *f;
    struct err e;
    int64_t nvalues = 0, at = 0;
    err_clear(&e);
    for (int64_t b = 0; b < l->nblocks; b++)
        nvalues += changed(b) < layout_block(l, b).n ? changed(b) : layout_block(l, b).n;
    if (!check(w, h5_open_sealed(path, &w->arena, &f, &e) == ERR_OK, "%s", e.text))
        return;
    const uint64_t *words = read_back(w, f, "/update/bitmap", H5_BITS64, l->nwords);
    const uint16_t *old_bits = read_back(w, f, "/update/old", H5_BITS16, nvalues),
                   *new_bits = read_back(w, f, "/update/new", H5_BITS16, nvalues);
    const int64_t *first = read_back(w, f, "/update/first_value", H5_INT64, l->nblocks + 1);
    for (int64_t b = 0; b < l->nblocks; b++) {
        struct block x = layout_block(l, b);
        uint16_t a[ELEMENTS], c[ELEMENTS];
        int64_t n = changed(b) < x.n ? changed(b) : x.n;
        old_and_new(b, a, c);
        check_int(w, "a block's first value", first[b], at);
        check_int(w, "a block's changed bits", bits_count(words + x.word, x.nwords), n);
        check(w,
              n == 0 || (memcmp(old_bits + at, a, (size_t)n * 2) == 0 &&
                         memcmp(new_bits + at, c, (size_t)n * 2) == 0),
              "block %lld is not what was written", (long long)b);
        at += n;
    }
    check_int(w, "the end of the values", first[l->nblocks], nvalues);
    h5_close(f, &e);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct world w;
    world_init(&w, NULL, 0);
    static struct layout_tensor tensors[TENSORS];
    struct layout l;
    struct err e;
    make_layout(&l, tensors);
    for (int lead = 0; lead < 2; lead++) {
        const char *path = in_root(&w, "lead-%d.h5", lead);
        check(&w, write_all(&w, &l, path, lead, -1, &e) == ERR_OK, "%s", e.text);
        if (w.comm.me == 0)
            compare(&w, &l, path);
    }
    for (int fails = 0; fails < 3 * UPDATE_WAITING; fails += 2)
        check(&w,
              write_all(&w, &l, in_root(&w, "fails.h5"), 0, fails, &e) == ERR_DATA &&
                  strcmp(e.text, "made to fail") == 0,
              "a failure in window %d became %d: %s", fails, (int)e.code, e.text);
    int failed = world_end(&w);
    MPI_Finalize();
    return failed;
}
