/* Reading ahead: the same bytes in every mode, each fetched once; errors where pread has them; nothing left
 * behind, no thread and no memory; pairs of every kind of tensor read through it. pread is the test's own:
 * it counts, waits as a device would, and fails when told to. */
#include "unitlib.h"

#include "hdf5/digest.h"
#include "compare/pair.h"
#include "formats/catalogue.h"
#include "formats/readahead.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static atomic_llong read_bytes, read_fails; /* bytes read; reads that fail from now on, -1: all */
static atomic_int read_waits_ms;

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    long long fails = atomic_load(&read_fails);
    while (fails > 0 && !atomic_compare_exchange_weak(&read_fails, &fails, fails - 1)) {
    }
    if (fails != 0) {
        errno = EIO;
        return -1;
    }
    int ms = atomic_load(&read_waits_ms);
    if (ms > 0)
        nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
    ssize_t got = (ssize_t)syscall(SYS_pread64, fd, buf, n, at);
    atomic_fetch_add(&read_bytes, got > 0 ? got : 0);
    return got;
}

static int own_threads; /* of a program without a reader */

static int count_threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d))
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n - own_threads;
}

/* A thread that has been waited for is seen a moment longer. */
static void check_no_threads(void)
{
    for (int i = 0; i < 1000 && count_threads() > 0; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_int_equal(count_threads(), 0);
}

/* ---- bytes ---- */

static unsigned char byte_at(int64_t i)
{
    uint64_t z = ((uint64_t)i / 8 + 1) * 0x9e3779b97f4a7c15u;
    return (unsigned char)(z >> (8 * (i % 8)));
}

/* A file of n bytes in the folder, open for reading. */
static int make_file(struct bench *b, const char *name, int64_t n, int64_t start)
{
    char path[200];
    unsigned char *content = malloc((size_t)n + 1);
    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    for (int64_t i = 0; i < n; i++)
        content[i] = byte_at(start + i);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
    free(content);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static struct readahead *make_reader(struct bench *b, int mode, int64_t block)
{
    struct readahead *r = NULL;
    assert_int_equal(readahead_open(&r, &(struct readahead_setting){mode, block}, &b->arena, &b->err),
                     ERR_OK);
    return r;
}

/* Reads [at, at+n) and compares. */
static void check_bytes(struct readahead *r, int fd, int64_t at, int64_t n, int64_t start)
{
    unsigned char *buf = malloc((size_t)n + 1);
    for (int64_t done = 0; done < n;) {
        ssize_t got = readahead_read(r, fd, buf + done, n - done, at + done);
        assert_true(got > 0 && got <= n - done);
        done += got;
    }
    for (int64_t i = 0; i < n; i++)
        if (buf[i] != byte_at(start + at + i))
            fail_msg("byte %lld is wrong", (long long)(at + i));
    free(buf);
}

/* Two files in turn, announced in order, in pieces of all lengths. */
static void test_in_order(void **state)
{
    struct bench *b = *state;
    enum { N = 3 << 20 };
    int64_t size[2] = {N + 123, N / 2 + 5}, blocks[] = {4096, 1 << 16, 300000, 1 << 19};
    int fd[2] = {make_file(b, "a", size[0], 0), make_file(b, "b", size[1], 77)};
    uint64_t seed = 1;
    for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++)
        for (int k = 0; k < 4; k++) {
            size_t before = b->mem.live_bytes;
            struct readahead *r = make_reader(b, mode, blocks[k]);
            int64_t block = readahead_block_bytes(r), at[2] = {3, 0}, ahead[2] = {3, 0}, tag = 0;
            assert_true(block >= blocks[k] && block < blocks[k] + READAHEAD_ALIGN);
            atomic_store(&read_bytes, 0);
            while (at[0] < size[0] || at[1] < size[1]) {
                for (int i = 0; i < 2; i++) {
                    ahead[i] = ahead[i] > at[i] ? ahead[i] : at[i];
                    while (ahead[i] < size[i] && readahead_room(r) > 0 && ahead[i] < at[i] + 3 * block) {
                        int64_t n = size[i] - ahead[i] < block ? size[i] - ahead[i] : block;
                        readahead_want(r, fd[i], ahead[i], n, tag++);
                        ahead[i] += n;
                    }
                }
                for (int i = 0; i < 2; i++) {
                    int64_t n = (int64_t)(next_random(&seed) % 200000), left = size[i] - at[i];
                    n = n < left ? n : left;
                    check_bytes(r, fd[i], at[i], n, i ? 77 : 0);
                    at[i] += n;
                }
            }
            enum { HEADS = 200 }; /* of the arena's own, per buffer */
            int plain = mode == READ_PREAD || mode == READ_AUTO;
            struct readahead_setting how = {plain ? READ_PREAD : mode, block};
            assert_true(b->mem.live_bytes - before <= (size_t)readahead_bytes(&how) + HEADS);
            assert_int_equal(count_threads(), plain ? 0 : READAHEAD_THREADS);
            assert_true(!plain || readahead_fetched(r) == 0);
            if (mode == READ_DIRECT && block > 200000)
                assert_int_equal(readahead_fetched(r), size[0] - 3 + size[1]);
            readahead_close(r);
            assert_int_equal(b->mem.live_bytes, before);
            check_no_threads();
        }
    close(fd[0]);
    close(fd[1]);
}

/* A slow device: what is on its way is waited for and what is not begun is not fetched as well, so each byte
 * comes once. */
static void test_once(void **state)
{
    struct bench *b = *state;
    enum { N = 1 << 20, BLOCK = 1 << 16 };
    int fd = make_file(b, "a", N, 0);
    struct readahead *r = make_reader(b, READ_THREAD, BLOCK);
    int64_t ahead = 0;
    atomic_store(&read_waits_ms, 1);
    atomic_store(&read_bytes, 0);
    for (int64_t at = 0; at < N; at += BLOCK / 4) {
        for (; ahead < N && readahead_room(r) > 0; ahead += BLOCK)
            readahead_want(r, fd, ahead, BLOCK, 0);
        if (at == 0)
            nanosleep(&(struct timespec){0, 20000000}, NULL); /* the lead */
        check_bytes(r, fd, at, BLOCK / 4, 0);
    }
    atomic_store(&read_waits_ms, 0);
    assert_true(readahead_fetched(r) > 0);
    assert_int_equal(atomic_load(&read_bytes), N);
    readahead_close(r);
    close(fd);
}

/* Announced and not read, read and not announced, backwards, over the edges of blocks, forgotten. */
static void test_out_of_order(void **state)
{
    struct bench *b = *state;
    enum { N = 1 << 20, BLOCK = 1 << 16 };
    int fd[2] = {make_file(b, "a", N, 0), make_file(b, "b", N, 5)};
    for (int mode = READ_THREAD; mode <= READ_DIRECT; mode++) {
        struct readahead *r = make_reader(b, mode, BLOCK);
        uint64_t seed = 7;
        for (int64_t tag = 0; tag < 300; tag++) {
            for (int k = (int)(next_random(&seed) % 4); k > 0; k--) {
                int64_t at = (int64_t)(next_random(&seed) % (N - BLOCK));
                readahead_want(r, fd[k % 2], at, 1 + (int64_t)(next_random(&seed) % BLOCK), tag);
                if (k == 2)
                    check_bytes(r, fd[k % 2], at, BLOCK, k % 2 ? 5 : 0);
            }
            int64_t at = (int64_t)(next_random(&seed) % (N - BLOCK)),
                    n = (int64_t)(next_random(&seed) % BLOCK);
            check_bytes(r, fd[tag % 2], at, n, tag % 2 ? 5 : 0);
            readahead_passed(r, tag - 2);
            if (tag % 50 == 49)
                readahead_forget(r, fd[tag / 50 % 2]);
        }
        readahead_passed(r, 1000);
        readahead_want(r, fd[0], 0, BLOCK, 1000);
        readahead_want(r, fd[1], 0, BLOCK, 1000);
        readahead_forget(r, fd[0]); /* under way, perhaps: another file may have the number now */
        assert_int_equal(dup2(fd[1], fd[0]), fd[0]);
        check_bytes(r, fd[0], 0, BLOCK, 5);
        close(fd[0]);
        fd[0] = make_file(b, "a", N, 0);
        readahead_want(r, fd[1], BLOCK, BLOCK, 1001);
        readahead_want(r, fd[1], 0, BLOCK + READAHEAD_ALIGN, 1001); /* too much: not taken */
        readahead_want(r, -1, 0, 1, 1001);
        readahead_want(r, fd[1], -1, 1, 1001);
        readahead_close(r);
        check_no_threads();
    }
    close(fd[0]);
    close(fd[1]);
}

/* What threads fail at, the caller reads himself: as pread has it. */
static void test_failures(void **state)
{
    struct bench *b = *state;
    enum { N = 200000, BLOCK = 1 << 16 };
    int fd = make_file(b, "a", N, 0);
    unsigned char buf[BLOCK];
    for (int mode = READ_THREAD; mode <= READ_DIRECT; mode++) {
        struct readahead *r = make_reader(b, mode, BLOCK);
        for (int64_t at = 0; at < 5 * BLOCK; at += BLOCK)
            readahead_want(r, fd, at, BLOCK, 0);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        check_bytes(r, fd, 0, 3 * BLOCK, 0);
        int64_t at = 3 * BLOCK;
        while (at < N) {
            ssize_t got = readahead_read(r, fd, buf, BLOCK, at);
            assert_true(got > 0);
            at += got;
        }
        assert_int_equal(at, N);
        assert_int_equal(readahead_read(r, fd, buf, BLOCK, N), 0);
        assert_int_equal(readahead_read(r, fd, buf, BLOCK, 4 * BLOCK), 0);
        readahead_passed(r, 1);
        atomic_store(&read_fails, 2); /* both ways of mode direct */
        readahead_want(r, fd, 0, BLOCK, 1);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        atomic_store(&read_fails, 0);
        check_bytes(r, fd, 0, BLOCK, 0);
        atomic_store(&read_fails, -1);
        readahead_want(r, fd, 0, BLOCK, 1);
        errno = 0;
        assert_int_equal(readahead_read(r, fd, buf, BLOCK, 0), -1);
        assert_int_equal(errno, EIO);
        atomic_store(&read_fails, 0);
        readahead_close(r);
    }
    assert_true(readahead_read(NULL, fd, buf, BLOCK, 0) == BLOCK && buf[5] == byte_at(5));
    assert_int_equal(readahead_room(NULL), 0);
    readahead_want(NULL, fd, 0, 1, 0);
    readahead_passed(NULL, 0);
    readahead_forget(NULL, fd);
    readahead_close(NULL);
    close(fd);
}

static void test_refused(void **state)
{
    struct bench *b = *state;
    static const struct readahead_setting wrong[] = {{-1, 0}, {READ_DIRECT + 1, 0}, {READ_AUTO, -1}};
    for (int i = 0; i < 3; i++) {
        struct readahead *r;
        err_clear(&b->err);
        assert_int_equal(readahead_open(&r, &wrong[i], &b->arena, &b->err), ERR_BUG);
        assert_null(r);
    }
    err_clear(&b->err);
    int fd = make_file(b, "a", 100000, 0);
    b->mem.budget_bytes = b->mem.live_bytes + (1 << 18);
    struct readahead *r = make_reader(b, READ_THREAD, 0); /* blocks do not fit: it reads when asked */
    assert_int_equal(readahead_room(r), READAHEAD_BLOCKS);
    readahead_want(r, fd, 0, 100000, 0);
    assert_int_equal(readahead_room(r), 0);
    check_bytes(r, fd, 0, 100000, 0);
    assert_int_equal(readahead_fetched(r), 0);
    readahead_close(r);
    b->mem.budget_bytes = 0;
    close(fd);
}

/* Mode auto reads ahead while reads wait, and only then. */
static void test_auto(void **state)
{
    struct bench *b = *state;
    enum { N = 4 << 20, PIECE = 1 << 17, BLOCK = 1 << 18 };
    int fd = make_file(b, "a", N, 0);
    struct readahead *r = make_reader(b, READ_AUTO, BLOCK);
    int64_t tag = 0, fetched = 0, on = 0, off = 0;
    for (int round = 0; round < 60; round++) {
        atomic_store(&read_waits_ms, round >= 2 && round < 8 ? 2 : 0);
        int64_t ahead = 0;
        for (int64_t at = 0; at < N; at += PIECE, tag++) {
            ahead = ahead > at ? ahead : at;
            readahead_passed(r, tag - BLOCK / PIECE);
            for (; ahead < N && readahead_room(r) > 0; ahead += BLOCK)
                readahead_want(r, fd, ahead, BLOCK, tag + (ahead - at) / PIECE);
            check_bytes(r, fd, at, PIECE, 0);
        }
        if (round < 2)
            assert_int_equal(readahead_fetched(r), 0);
        on += round < 8 && readahead_room(r) > 0;
        off += round == 59 && readahead_room(r) == 0;
        fetched = round == 7 ? readahead_fetched(r) : fetched;
    }
    assert_true(on > 0 && fetched > N);
    assert_int_equal(off, 1);
    readahead_close(r);
    check_no_threads();
    close(fd);
}

/* ---- checkpoints and pairs ---- */

enum { LONG = 2 * LAYOUT_BLOCK + 777, ROWS = 600, COLS = 1000 };

struct fixture {
    struct bench bench;
    char model[2][250], catalogue[2][250];
};

/* Two checkpoints of every kind of tensor that pairs may have, and their catalogues. */
static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    struct arena *a = &f->bench.arena;
    struct err *e = &f->bench.err;
    static const enum dtype dtypes[2][7] = {
        {DTYPE_BF16, DTYPE_F8_E4M3, DTYPE_F32, DTYPE_I64, DTYPE_BF16, DTYPE_F16, DTYPE_BF16},
        {DTYPE_F32, DTYPE_F8_E4M3, DTYPE_F32, DTYPE_I64, DTYPE_BF16, DTYPE_F64, DTYPE_BF16}};
    static const int64_t transposed[] = {1, ROWS};
    h5_start();
    for (int side = 0; side < 2; side++) {
        struct stored_tensor t[] = {
            {.name = "a.weight", .ndim = 1, .dims = {LONG}},
            {.name = "b.weight", .ndim = 2, .dims = {ROWS, COLS}},
            {.name = "b.weight_scale_inv", .ndim = 2, .dims = {(ROWS + 127) / 128, (COLS + 127) / 128}},
            {.name = "c.ids", .ndim = 1, .dims = {70000}},
            {.name = "d.weight", .ndim = 2, .dims = {COLS, ROWS}},
            {.name = "e.weight", .ndim = 2, .dims = {3, 100000}},
            {.name = "f.weight", .ndim = 2, .dims = {0, 5}}};
        const void *bytes[7];
        for (int i = 0; i < 7; i++) {
            t[i].dtype = dtypes[side][i];
            int64_t n = dtype_bits(t[i].dtype) / 8;
            for (int d = 0; d < t[i].ndim; d++)
                n *= t[i].dims[d];
            unsigned char *content;
            if (arena_array(a, "content", n, &content, e) != ERR_OK)
                return -1;
            for (int64_t k = 0; k < n; k++)
                content[k] = byte_at(k + 3 * i + (k % 1001 == 0 ? side : 0));
            bytes[i] = content;
        }
        const char *name = side ? "tuned" : "base";
        struct checkpoint c;
        struct h5 *h;
        snprintf(f->model[side], sizeof f->model[side], "%s/%s.safetensors", f->bench.folder, name);
        snprintf(f->catalogue[side], sizeof f->catalogue[side], "%s/%s.h5", f->bench.folder, name);
        if (model_write(f->model[side], t, 7, bytes, NULL, 0, a, e) != 0 ||
            checkpoint_open(&c, f->model[side], NULL, a, e) != ERR_OK)
            return -1;
        for (int64_t i = 0; i < c.ntensors; i++)
            if (strcmp(c.tensors[i].name, "d.weight") == 0) { /* as torch saves a transposed one */
                c.tensors[i].dims[0] = ROWS;
                c.tensors[i].dims[1] = COLS;
                c.tensors[i].strides = transposed;
            }
        if (h5_create(f->catalogue[side], a, &h, e) != ERR_OK || catalogue_write(&c, h, a, e) != ERR_OK ||
            h5_close(h, e) != ERR_OK || digest_seal(f->catalogue[side], a, e) != ERR_OK)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

static void open_pair(struct fixture *f, struct pair *p, enum arithmetic arithmetic, int mode, int64_t block)
{
    static const struct match_policy policy = {.rows = MATCH_ROWS_FAIL};
    struct err *e = &f->bench.err;
    assert_int_equal(
        pair_open(p, f->catalogue[0], f->catalogue[1], arithmetic, &policy, "", "", NULL, &f->bench.arena, e),
        ERR_OK);
    assert_int_equal(pair_read_by(p, &(struct readahead_setting){mode, block}, e), ERR_OK);
}

/* Blocks [from, to) of a set, in pieces, one after the other into out. */
static int64_t read_blocks(struct fixture *f, struct pair *p, const struct match_set *s, int64_t from,
                           int64_t to, int64_t piece, unsigned char *out)
{
    int64_t width = s == &p->match.aside ? 8 : arithmetic_bytes(p->arithmetic), used = 0;
    for (int64_t b = from; b < to; b++) {
        struct block at = layout_block(&s->layout, b);
        for (int64_t done = 0; done < at.n; done += piece) {
            int64_t n = at.n - done < piece ? at.n - done : piece;
            unsigned char *w0 = out + used, *w1 = w0 + n * width;
            err_t code = s == &p->match.aside
                             ? pair_read_aside(p, at.tensor, at.first + done, n, w0, w1, &f->bench.err)
                             : pair_read(p, at.tensor, at.first + done, n, w0, w1, &f->bench.err);
            assert_int_equal(code, ERR_OK);
            used += 2 * n * width;
        }
    }
    return used;
}

static void test_pair(void **state)
{
    struct fixture *f = *state;
    enum { ROOM = 64 << 20 };
    unsigned char *expected = calloc(1, ROOM), *found = calloc(1, ROOM);
    static const int64_t pieces[] = {LAYOUT_BLOCK, 1 << 16, 1000}, blocks[] = {1 << 16, 0};
    for (int arithmetic = 0; arithmetic < ARITHMETIC_COUNT; arithmetic++)
        for (int piece = 0; piece < 3; piece++) {
            struct pair p;
            open_pair(f, &p, (enum arithmetic)arithmetic, READ_PREAD, 0);
            const struct match *m = &p.match;
            assert_true(m->main.layout.ntensors == 5 && m->aside.layout.ntensors == 1);
            int64_t n = m->main.layout.nblocks, half = n / 2;
            int64_t used = read_blocks(f, &p, &m->main, 0, n, pieces[piece], expected);
            used += read_blocks(f, &p, &m->aside, 0, 1, pieces[piece], expected + used);
            assert_true(used < ROOM);
            pair_close(&p);
            for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++)
                for (int k = 0; k < 2; k++) {
                    open_pair(f, &p, (enum arithmetic)arithmetic, mode, blocks[k]);
                    memset(found, 0, (size_t)used);
                    pair_expect(&p, &m->main, 0, half);
                    pair_expect(&p, &m->main, half, n);
                    pair_expect(&p, &m->main, half, n); /* said already */
                    pair_expect(&p, &m->aside, 0, 1);
                    pair_expect(&p, &m->aside, 0, 5); /* there are no such blocks */
                    pair_expect(&p, &m->aside, 1, 1);
                    assert_int_equal(p.plan.nranges, 3);
                    int64_t at = read_blocks(f, &p, &m->main, 0, n, pieces[piece], found);
                    read_blocks(f, &p, &m->aside, 0, 1, pieces[piece], found + at);
                    assert_memory_equal(found, expected, (size_t)used);
                    if (mode == READ_DIRECT)
                        assert_true(readahead_fetched(p.reader) > used / 8);
                    /* once more, otherwise than was said: the second half, then the first */
                    pair_expect(&p, &m->main, 0, n);
                    memset(found, 0, (size_t)used);
                    int64_t second = read_blocks(f, &p, &m->main, half, n, pieces[piece], found);
                    assert_memory_equal(found, expected + at - second, (size_t)second);
                    int64_t first = read_blocks(f, &p, &m->main, 0, half, pieces[piece], found);
                    assert_memory_equal(found, expected, (size_t)first);
                    for (int i = 0; i < 2 * PAIR_RANGES; i++)
                        pair_expect(&p, &m->main, i % (int)n, n);
                    assert_true(p.plan.nranges <= PAIR_RANGES);
                    pair_close(&p);
                    check_no_threads();
                }
        }
    free(expected);
    free(found);
}

/* A file cut short after it was opened: the same message, at the same read, in every mode. */
static void test_cut_short(void **state)
{
    struct fixture *f = *state;
    char texts[READ_DIRECT + 1][sizeof f->bench.err.text];
    int64_t reads[READ_DIRECT + 1];
    void *w0 = malloc((size_t)LAYOUT_BLOCK * 4), *w1 = malloc((size_t)LAYOUT_BLOCK * 4);
    struct stat st;
    assert_int_equal(stat(f->model[1], &st), 0);
    char saved[300];
    snprintf(saved, sizeof saved, "%s.saved", f->model[1]);
    for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++) {
        struct pair p;
        struct err *e = &f->bench.err;
        open_pair(f, &p, ARITHMETIC_BF16, mode, 1 << 16);
        const struct layout *l = &p.match.main.layout;
        assert_int_equal(pair_read(&p, 0, 0, 10, w0, w1, e), ERR_OK);
        int64_t cut = (int64_t)LAYOUT_BLOCK * 5; /* of the tuned side's F32 "a.weight": in its second block */
        char command[1200];
        snprintf(command, sizeof command, "cp -p %s %s && truncate -s %lld %s", f->model[1], saved,
                 (long long)cut, f->model[1]);
        assert_int_equal(system(command), 0);
        pair_expect(&p, &p.match.main, 0, l->nblocks);
        reads[mode] = 0;
        for (int64_t b = 0; b < l->nblocks && e->code == ERR_OK; b++) {
            struct block at = layout_block(l, b);
            for (int64_t done = 0; done < at.n && e->code == ERR_OK; done += 5000, reads[mode]++)
                pair_read(&p, at.tensor, at.first + done, at.n - done < 5000 ? at.n - done : 5000, w0, w1, e);
        }
        assert_int_equal(e->code, ERR_DATA);
        snprintf(texts[mode], sizeof texts[mode], "%s", e->text);
        err_clear(e);
        pair_close(&p);
        check_no_threads();
        snprintf(command, sizeof command, "mv %s %s", saved, f->model[1]);
        assert_int_equal(system(command), 0);
    }
    for (int mode = READ_AUTO; mode <= READ_DIRECT; mode++) {
        if (getenv("SINEW_TEST_SHOW"))
            print_message("%lld %s\n", (long long)reads[mode], texts[mode]);
        assert_non_null(strstr(texts[mode], "truncated while in use: tensor a.weight is cut off"));
        assert_string_equal(texts[mode], texts[READ_PREAD]);
        assert_int_equal(reads[mode], reads[READ_PREAD]);
    }
    free(w0);
    free(w1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_FOLDER(test_in_order),
        TEST_FOLDER(test_once),
        TEST_FOLDER(test_out_of_order),
        TEST_FOLDER(test_failures),
        TEST_FOLDER(test_refused),
        TEST_FOLDER(test_auto),
        TEST(test_pair),
        TEST(test_cut_short),
    };
    own_threads = count_threads();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
