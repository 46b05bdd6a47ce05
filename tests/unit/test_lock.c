/* Lock: one holder of a file at a time; the next gets it when the lock is given back, or its holder is dead
 * by all signs of life. */
#include "unitlib.h"

#include "engine/locks/lock.h"

#include <stdio.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct comm world = {.np = 1};

static void start(struct locks *l, const char *output, struct bench *b)
{
    assert_int_equal(locks_start(l, &world, output, 0, &b->err), ERR_OK);
}

/* Takes the lock and must get it, or not. */
static void take(struct locks *l, const char *path, int gets, struct lock_report *r, struct bench *b)
{
    assert_int_equal(lock_take(l, path, r, &b->err), ERR_OK);
    assert_int_equal(l->now.held, gets);
}

static void test_taken_and_given_back(void **state)
{
    struct bench *b = *state;
    struct locks first, second;
    struct lock_report r;
    char output[160], path[180], file[200], who[80], here[80];
    snprintf(output, sizeof output, "%s/made/here", b->folder);
    snprintf(path, sizeof path, "%s/cells/a/x.h5", output);
    snprintf(file, sizeof file, "%s.lock", path);
    start(&first, output, b);
    start(&second, output, b);
    lock_look(&second, path, &r);
    assert_false(r.held);
    take(&first, path, 1, &r, b);
    assert_int_equal(access(file, F_OK), 0);
    take(&second, path, 0, &r, b);
    assert_true(r.held);
    assert_int_equal(r.who.pid, getpid());
    assert_int_equal(r.state, HOLDER_ALIVE);
    snprintf(here, sizeof here, "process %lld on ", (long long)getpid());
    assert_memory_equal(lock_who(&r, who, sizeof who), here, strlen(here));
    lock_look(&second, path, &r);
    assert_true(r.held);
    lock_drop(&second); /* which never had it */
    lock_tidy(&second, path);
    assert_int_equal(access(file, F_OK), 0);

    lock_drop(&first);
    assert_int_not_equal(access(file, F_OK), 0);
    take(&second, path, 1, &r, b);
    assert_false(locks_end(&second)); /* and gives it back; the other is still there */
    assert_int_not_equal(access(file, F_OK), 0);
    assert_true(locks_end(&first));
    assert_true(locks_end(&first));
    snprintf(file, sizeof file, "%s/.lock", output);
    assert_int_not_equal(access(file, F_OK), 0);
}

/* What was taken from a holder that was thought to be dead is not its to remove. */
static void test_lost(void **state)
{
    struct bench *b = *state;
    struct locks first, second;
    struct lock_report r;
    char path[160], file[200];
    snprintf(path, sizeof path, "%s/x.h5", b->folder);
    snprintf(file, sizeof file, "%s.lock", path);
    start(&first, b->folder, b);
    start(&second, b->folder, b);
    take(&first, path, 1, &r, b);
    assert_int_equal(unlink(file), 0);
    take(&second, path, 1, &r, b);
    lock_drop(&first);
    assert_int_equal(access(file, F_OK), 0);
    lock_drop(&second);
    assert_int_not_equal(access(file, F_OK), 0);
    locks_end(&first);
    locks_end(&second);
}

static void write_lock(const char *file, const char *text, int silent_sec)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - silent_sec}, {.tv_sec = time(NULL) - silent_sec}};
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
}

/* Of holders elsewhere the age of the lock tells. */
static void test_signs_of_life(void **state)
{
    struct bench *b = *state;
    static const char *const texts[] = {"flock far 77 1 other-boot pid:[1]\n",
                                        "file far 77 1 other-boot pid:[1]\n", "file far"};
    struct locks l;
    struct lock_report r;
    char path[160], file[200];
    snprintf(path, sizeof path, "%s/x.h5", b->folder);
    snprintf(file, sizeof file, "%s.lock", path);
    start(&l, b->folder, b);
    for (int i = 0; i < 3; i++)
        for (int over = 0; over < 2; over++) {
            int limit = over ? LOCK_LOST_SEC : LOCK_DEAD_SEC;
            l.take_over = over;
            write_lock(file, texts[i], limit - 5);
            take(&l, path, 0, &r, b);
            assert_true(r.held && r.state == HOLDER_UNKNOWN);
            assert_in_range((int)r.silent_sec, limit - 5, limit);
            write_lock(file, texts[i], limit + 1);
            lock_look(&l, path, &r);
            assert_false(r.held);
            take(&l, path, 1, &r, b);
            lock_drop(&l);
        }
    struct stat st;
    write_lock(file, texts[1], -3600); /* the clock was set back since */
    lock_look(&l, path, &r);
    assert_true(r.held && r.silent_sec == 0);
    assert_int_equal(stat(file, &st), 0);
    assert_true(st.st_mtim.tv_sec <= time(NULL) + 1);
    locks_end(&l);
}

/* A holder is not silent, whatever it does. */
static void test_pulse(void **state)
{
    struct bench *b = *state;
    struct locks l;
    struct lock_report r;
    struct stat before, after;
    char path[160];
    snprintf(path, sizeof path, "%s/x.h5", b->folder);
    start(&l, b->folder, b);
    take(&l, path, 1, &r, b);
    assert_int_equal(stat(l.now.path, &before), 0);
    struct timespec most = {.tv_sec = LOCK_BEAT_SEC + 1};
    nanosleep(&most, NULL);
    assert_int_equal(stat(l.now.path, &after), 0);
    assert_in_range(after.st_mtim.tv_sec - before.st_mtim.tv_sec, LOCK_BEAT_SEC - 1, LOCK_BEAT_SEC + 1);
    locks_end(&l);
}

static void test_no_folder(void **state)
{
    struct bench *b = *state;
    struct locks l;
    struct lock_report r;
    char file[160], path[200];
    snprintf(file, sizeof file, "%s/file", b->folder);
    write_lock(file, "", 0);
    assert_int_equal(locks_start(&l, &world, file, 0, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, file));
    locks_end(&l);
    err_clear(&b->err);
    start(&l, b->folder, b);
    snprintf(path, sizeof path, "%s/below/x.h5", file);
    assert_int_equal(lock_take(&l, path, &r, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "x.h5.lock: cannot be written"));
    lock_drop(&l);
    locks_end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_taken_and_given_back), TEST_FOLDER(test_lost),
                                       TEST_FOLDER(test_signs_of_life), TEST_FOLDER(test_pulse),
                                       TEST_FOLDER(test_no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
