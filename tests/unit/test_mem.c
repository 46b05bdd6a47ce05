/* Memory: alignment, lifetimes, the budget and the text of its refusal, growth, sizes that overflow. */
#include "unitlib.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 64, MIB = 1 << 20 }; /* bytes counted beside each buffer */

static void arrays(void **state)
{
    struct bench *b = *state;
    for (int64_t n = 0; n < 200; n += 7) {
        double *x;
        assert_int_equal(arena_array(&b->arena, "x", n, &x, &b->err), ERR_OK);
        assert_non_null(x);
        assert_int_equal((uintptr_t)x % 64, 0);
        for (int64_t i = 0; i < n; i++) {
            assert_true(x[i] == 0);
            x[i] = -1;
        }
    }
    assert_true(b->mem.live_bytes >= 8 * 7 * 28 * 29 / 2);
}

static void lifetimes(void **state)
{
    struct bench *b = *state;
    struct arena run, node;
    char *a, *c, *d;
    arena_init(&run, &b->mem);
    arena_init(&node, &b->mem);
    assert_int_equal(arena_array(&run, "a", 1000, &a, &b->err), ERR_OK);
    assert_int_equal(b->mem.live_bytes, 1000 + HEAD);
    assert_int_equal(arena_array(&node, "c", 500, &c, &b->err), ERR_OK);
    assert_int_equal(arena_array(&node, "d", 300, &d, &b->err), ERR_OK);
    assert_int_equal(b->mem.live_bytes, 1800 + 3 * HEAD);
    arena_drop(&node, c);
    arena_drop(&node, NULL);
    assert_int_equal(b->mem.live_bytes, 1300 + 2 * HEAD);
    arena_reset(&node);
    assert_int_equal(b->mem.live_bytes, 1000 + HEAD);
    assert_int_equal(arena_array(&node, "c", 100, &c, &b->err), ERR_OK); /* usable again */
    arena_release(&run);
    assert_int_equal(b->mem.live_bytes, 100 + HEAD);
    memset(c, 1, 100);
    arena_release(&node);
    arena_release(&node); /* a released one is a zeroed one */
    assert_int_equal(b->mem.live_bytes, 0);
    assert_int_equal(b->mem.peak_bytes, 1800 + 3 * HEAD);
    assert_ptr_equal(b->mem.arenas, &b->arena);
}

static void budget(void **state)
{
    struct bench *b = *state;
    struct arena other;
    char *p;
    b->mem.budget_bytes = 8 * MIB;
    arena_init(&other, &b->mem);
    assert_int_equal(arena_array(&b->arena, "delta.old", 2 * MIB, &p, &b->err), ERR_OK);
    assert_int_equal(arena_array(&other, "delta.new", 3 * MIB, &p, &b->err), ERR_OK);
    assert_int_equal(arena_array(&b->arena, "delta.old", MIB, &p, &b->err), ERR_OK);
    p = (char *)1;
    assert_int_equal(arena_array(&b->arena, "rank.gram", 5 * MIB / 2, &p, &b->err), ERR_SYSTEM);
    assert_null(p);
    assert_string_equal(
        b->err.text,
        "memory budget exceeded: rank.gram needs 2.5 MiB, 6.0 of 8.0 MiB in use (delta.old 3.0 "
        "MiB, delta.new 3.0 MiB); raise memory_per_process or use more processes (9 MiB would have done so "
        "far)");
    assert_int_equal(b->mem.live_bytes, 6 * MIB + 3 * HEAD);
    err_clear(&b->err);
    /* What is left, to the byte; then not one more, until something is given back. */
    assert_int_equal(arena_array(&b->arena, "rest", 2 * MIB - 4 * HEAD, &p, &b->err), ERR_OK);
    assert_int_equal(b->mem.live_bytes, 8 * MIB);
    char *none;
    assert_int_equal(arena_array(&other, "none", 0, &none, &b->err), ERR_SYSTEM);
    err_clear(&b->err);
    arena_drop(&b->arena, p);
    assert_int_equal(arena_array(&other, "none", 0, &none, &b->err), ERR_OK);
    assert_int_equal(arena_array(&other, "huge", INT64_MAX / 2, &none, &b->err), ERR_SYSTEM);
    arena_release(&other);
    assert_true(b->mem.peak_bytes == 8 * MIB);
}

/* Five labels at the most, the largest first. */
static void refusal_names_the_largest(void **state)
{
    struct bench *b = *state;
    static const char *const labels[] = {"one", "two", "three", "four", "five", "six", "seven"};
    char *p;
    b->mem.budget_bytes = 40 * MIB;
    for (int i = 0; i < 7; i++)
        assert_int_equal(arena_array(&b->arena, labels[i], (i + 1) * MIB, &p, &b->err), ERR_OK);
    assert_int_equal(arena_array(&b->arena, "more", 100 * MIB, &p, &b->err), ERR_SYSTEM);
    assert_non_null(
        strstr(b->err.text, "(seven 7.0 MiB, six 6.0 MiB, five 5.0 MiB, four 4.0 MiB, three 3.0 MiB)"));
}

static void growth(void **state)
{
    struct bench *b = *state;
    int32_t *v = NULL;
    int64_t cap = 0;
    for (int64_t n = 1; n <= 5000; n++) {
        int64_t before = cap;
        assert_int_equal(arena_grow(&b->arena, "v", n, &cap, &v, &b->err), ERR_OK);
        assert_true(cap >= n && (before == 0 || cap == before || cap == 2 * before));
        for (int64_t i = n - 1; i < cap; i++)
            assert_int_equal(v[i], 0);
        v[n - 1] = (int32_t)n;
    }
    for (int64_t i = 0; i < 5000; i++)
        assert_int_equal(v[i], i + 1);
    assert_int_equal(b->mem.live_bytes, cap * 4 + HEAD);
    /* At once by more than double; then refused: what is there stays. */
    assert_int_equal(arena_grow(&b->arena, "v", 100000, &cap, &v, &b->err), ERR_OK);
    assert_true(cap >= 100000 && v[4999] == 5000 && v[5000] == 0 && v[cap - 1] == 0);
    b->mem.budget_bytes = b->mem.live_bytes + 1000;
    int64_t held = cap;
    const int32_t *old = v;
    assert_int_equal(arena_grow(&b->arena, "v", cap + 1, &cap, &v, &b->err), ERR_SYSTEM);
    assert_true(cap == held && v == old && v[4999] == 5000);
    int32_t *none = NULL;
    int64_t none_cap = 0;
    err_clear(&b->err);
    b->mem.budget_bytes = 0;
    assert_int_equal(arena_grow(&b->arena, "none", 0, &none_cap, &none, &b->err), ERR_OK);
    assert_non_null(none);
}

static void overflow(void **state)
{
    struct bench *b = *state;
    double *p;
    b->mem.budget_bytes = MIB;
    static const int64_t sizes[] = {INT64_MAX, INT64_MAX / 8 + 1, INT64_MAX / 16, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        err_clear(&b->err);
        p = (double *)1;
        err_t code = arena_array(&b->arena, "header", sizes[i], &p, &b->err);
        /* the third can be addressed, and is over budget */
        assert_int_equal(code, i == 2 ? ERR_SYSTEM : ERR_DATA);
        assert_null(p);
        assert_non_null(strstr(b->err.text, "header"));
    }
    int64_t cap = 0;
    p = NULL;
    err_clear(&b->err);
    assert_int_equal(arena_grow(&b->arena, "header", INT64_MAX - 1, &cap, &p, &b->err), ERR_DATA);
    assert_true(cap == 0 && !p);
    uint64_t out;
    assert_int_equal(size_mul(UINT64_MAX / 3, 3, &out), 0);
    assert_true(out == UINT64_MAX);
    assert_int_equal(size_mul(UINT64_MAX / 3 + 1, 3, &out), -1);
    assert_int_equal(size_add(UINT64_MAX - 5, 5, &out), 0);
    assert_int_equal(size_add(UINT64_MAX - 5, 6, &out), -1);
    int narrow;
    err_clear(&b->err);
    assert_int_equal(to_int(INT32_MAX, &narrow, &b->err), ERR_OK);
    assert_int_equal(narrow, INT32_MAX);
    assert_int_equal(to_int((int64_t)INT32_MAX + 1, &narrow, &b->err), ERR_BUG);
}

static void texts(void **state)
{
    struct bench *b = *state;
    char word[] = "tensor name";
    char *copy = arena_strdup(&b->arena, word, &b->err), *part = arena_strndup(&b->arena, word, 6, &b->err);
    char *line = arena_printf(&b->arena, &b->err, "%s/%d%%", word, 7);
    word[0] = 'T';
    assert_string_equal(copy, "tensor name");
    assert_string_equal(part, "tensor");
    assert_string_equal(line, "tensor name/7%");
    assert_string_equal(arena_printf(&b->arena, &b->err, "%s", ""), "");
    b->mem.budget_bytes = b->mem.live_bytes;
    assert_null(arena_strdup(&b->arena, word, &b->err));
    assert_int_equal(b->err.code, ERR_SYSTEM);
    assert_null(arena_printf(&b->arena, &b->err, "%d", 1));
}

static double resident_mib(void)
{
    long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &all, &resident) != 2)
        skip();
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / MIB;
}

/* What a node has freed is the system's again, also where a small buffer that lives on was taken last. */
static void freed(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    const int keeps = 1; /* its allocator, what is freed */
#else
    const int keeps = 0;
#endif
    struct bench *b = *state;
    enum { BUFFERS = 50, BYTES = 4 * MIB };
    if (keeps)
        skip();
    mem_start();
    double before = resident_mib();
    for (int node = 0; node < 3; node++) {
        struct arena a;
        char *buffer, *kept;
        arena_init(&a, &b->mem);
        for (int i = 0; i < BUFFERS; i++) {
            assert_int_equal(arena_array(&a, "buffer", BYTES, &buffer, &b->err), ERR_OK);
            memset(buffer, 1, BYTES);
        }
        assert_int_equal(arena_array(&b->arena, "kept", 40, &kept, &b->err), ERR_OK);
        assert_true(resident_mib() - before < 1.25 * BUFFERS * BYTES / MIB);
        arena_release(&a);
        assert_true(resident_mib() - before < 0.25 * BUFFERS * BYTES / MIB);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(arrays), TEST_BENCH(lifetimes), TEST_BENCH(budget), TEST_BENCH(refusal_names_the_largest),
        TEST_BENCH(growth), TEST_BENCH(overflow),  TEST_BENCH(texts),  TEST_BENCH(freed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
