/* Journal: what was put is there again, whole and under the same key or not at all. */
#include "unitlib.h"

#include "study/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static const struct comm world = {.np = 1};
static const char KEY[] = "0123456789abcdef0123456789abcdef", OTHER[] = "ff23456789abcdef0123456789abcdef";
enum { SMALL = 24, LARGE = 100000, ITEMS = 50 };

struct desk {
    struct bench bench;
    char artifact[160], file[220];
    unsigned char bytes[LARGE];
    struct log log;
};

static int desk_setup(void **state)
{
    if (bench_new(state, sizeof(struct desk), WITH_FOLDER) != 0)
        return -1;
    struct desk *d = *state;
    snprintf(d->artifact, sizeof d->artifact, "%s/node.h5", d->bench.folder);
    snprintf(d->file, sizeof d->file, "%s.steps/000001-000000.journal", d->artifact);
    log_init(&d->log, LOG_QUIET, 0);
    return setenv("SINEW_STEPS_AFTER", "0", 1);
}

static struct journal *desk_open(struct desk *d, const char *key, int anew)
{
    struct journal *j;
    assert_int_equal(
        journal_open(&j, &world, d->artifact, key, anew, &d->log, &d->bench.arena, &d->bench.err), ERR_OK);
    return j;
}

/* The bytes of an item: small and large ones in turn. */
static int64_t item_bytes(struct desk *d, int64_t item)
{
    int64_t n = item % 7 == 3 ? LARGE : item % 5 == 1 ? 0 : SMALL;
    for (int64_t i = 0; i < n; i++)
        d->bytes[i] = (unsigned char)(item * 31 + i * (item + 1));
    return n;
}

static void put(struct desk *d, struct journal *j, int64_t item)
{
    size_t n = (size_t)item_bytes(d, item), half = n / 3;
    const struct hash_part parts[] = {{d->bytes, half}, {d->bytes + half, n - half}};
    journal_put(j, item, parts, 2);
}

static int same(struct desk *d, struct journal *j, int64_t item)
{
    static unsigned char found[LARGE];
    const struct step *s = journal_find(j, item);
    if (!s || s->bytes != item_bytes(d, item))
        return 0;
    return journal_get(j, s, found) && memcmp(found, d->bytes, (size_t)s->bytes) == 0;
}

static void put_all(struct desk *d)
{
    struct journal *j = desk_open(d, KEY, 0);
    for (int64_t i = 0; i < ITEMS; i++)
        put(d, j, 3 * i - 10);
    assert_int_equal(journal_written(j), ITEMS);
    journal_close(j);
}

static void test_there_again(void **state)
{
    struct desk *d = *state;
    const struct step *steps;
    put_all(d);
    struct journal *j = desk_open(d, KEY, 0);
    assert_int_equal(journal_steps(j, &steps), ITEMS);
    for (int64_t i = 0; i < ITEMS; i++) {
        assert_int_equal(steps[i].item, 3 * i - 10);
        assert_true(same(d, j, 3 * i - 10));
    }
    assert_null(journal_find(j, 0));
    assert_null(journal_find(j, 3 * ITEMS));
    put(d, j, 0); /* a second run's file */
    journal_close(j);
    j = desk_open(d, KEY, 0);
    assert_int_equal(journal_steps(j, &steps), ITEMS + 1);
    assert_true(same(d, j, 0) && same(d, j, -10));
    journal_close(j);
    assert_true(journal_stands(d->artifact));
    journal_remove(d->artifact);
    assert_false(journal_stands(d->artifact));
}

static void test_of_other_parameters(void **state)
{
    struct desk *d = *state;
    const struct step *steps;
    put_all(d);
    struct journal *j = desk_open(d, OTHER, 0);
    assert_int_equal(journal_steps(j, &steps), 0);
    assert_int_not_equal(access(d->file, F_OK), 0);
    journal_close(j);
    put_all(d);
    j = desk_open(d, KEY, 1);
    assert_int_equal(journal_steps(j, &steps), 0);
    journal_close(j);
}

/* Wherever the file is cut or one of its bytes is another, what is given back is what was put. */
static void test_damaged(void **state)
{
    struct desk *d = *state;
    struct stat st;
    put_all(d);
    assert_int_equal(stat(d->file, &st), 0);
    unsigned char *whole = malloc((size_t)st.st_size);
    int fd = open(d->file, O_RDONLY);
    assert_int_equal(read(fd, whole, (size_t)st.st_size), st.st_size);
    close(fd);
    for (int trial = 0; trial < 300; trial++) {
        off_t at = trial < 150 ? trial : (off_t)((uint64_t)trial * 2654435761u % (uint64_t)st.st_size);
        int cut = trial % 2, kept = 0;
        fd = open(d->file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        assert_int_equal(write(fd, whole, (size_t)(cut ? at : st.st_size)), cut ? at : st.st_size);
        unsigned char other = whole[at] ^ 0x40;
        assert_int_equal(cut ? 1 : pwrite(fd, &other, 1, at), 1);
        close(fd);
        struct journal *j = desk_open(d, KEY, 0);
        for (int64_t i = 0; i < ITEMS; i++)
            if (same(d, j, 3 * i - 10))
                kept++;
            else if (journal_find(j, 3 * i - 10))
                assert_false(journal_get(j, journal_find(j, 3 * i - 10), d->bytes));
        assert_true(kept < ITEMS);
        journal_close(j);
        arena_reset(&d->bench.arena);
    }
    free(whole);
}

/* A name that leads elsewhere is not followed, and what is no journal's stays. */
static void test_strangers(void **state)
{
    struct desk *d = *state;
    const struct step *steps;
    char other[220];
    put_all(d);
    snprintf(other, sizeof other, "%s/else", d->bench.folder);
    assert_int_equal(rename(d->file, other), 0);
    assert_int_equal(symlink(other, d->file), 0);
    struct journal *j = desk_open(d, KEY, 0);
    assert_int_equal(journal_steps(j, &steps), 0);
    journal_close(j);
    snprintf(d->file, sizeof d->file, "%s.steps/notes.txt", d->artifact);
    assert_true(fclose(fopen(d->file, "w")) == 0);
    journal_remove(d->artifact);
    assert_int_equal(access(d->file, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

/* A disk that is full costs the steps that no longer fit, and nothing else. */
static void test_full(void **state)
{
    struct desk *d = *state;
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 2 * LARGE + 50;
    struct journal *j = desk_open(d, KEY, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int64_t i = 0; i < ITEMS; i++)
        put(d, j, i);
    assert_false(journal_due(j));
    journal_close(j);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    j = desk_open(d, KEY, 0);
    assert_true(same(d, j, 3) && !journal_find(j, 17));
    journal_close(j);
}

static void test_not_yet(void **state)
{
    struct desk *d = *state;
    setenv("SINEW_STEPS_AFTER", "100", 1);
    struct journal *j = desk_open(d, KEY, 0);
    put(d, j, 1);
    assert_int_equal(journal_written(j), 0);
    assert_false(journal_sum_due(j));
    journal_close(j);
    assert_false(journal_stands(d->artifact));
    journal_keep_from(NULL, 0);
    j = desk_open(d, "key", 0); /* of a short job */
    journal_keep_from(j, 1000);
    assert_false(journal_due(j));
    journal_keep_from(j, 0);
    assert_true(journal_due(j));
    journal_close(j);
    assert_false(journal_due(NULL));
    assert_int_equal(journal_written(NULL), 0);
    assert_null(journal_find(NULL, 1));
}

#define TEST_DESK(test) cmocka_unit_test_setup_teardown(test, desk_setup, bench_delete)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_DESK(test_there_again), TEST_DESK(test_of_other_parameters),
                                       TEST_DESK(test_damaged),     TEST_DESK(test_strangers),
                                       TEST_DESK(test_full),        TEST_DESK(test_not_yet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
