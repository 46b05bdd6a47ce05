/* Lock: one holder of an output folder at a time; the next gets it when the file is gone. */
#include "unitlib.h"

#include "engine/lock.h"

#include <stdio.h>
#include <unistd.h>

static const struct comm world = {.np = 1};

static void test_taken_and_given_back(void **state)
{
    struct bench *b = *state;
    struct lock first, second;
    char output[160], file[180];
    snprintf(output, sizeof output, "%s/made/here", b->folder);
    snprintf(file, sizeof file, "%s/.lock", output);
    assert_int_equal(lock_take(&first, &world, output, &b->arena, &b->err), ERR_OK);
    assert_int_equal(access(file, F_OK), 0);

    assert_int_equal(lock_take(&second, &world, output, &b->arena, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, "is in use by another run of sinew"));
    lock_drop(&second); /* which never had it */
    assert_int_equal(access(file, F_OK), 0);

    lock_drop(&first);
    assert_int_not_equal(access(file, F_OK), 0);
    err_clear(&b->err);
    assert_int_equal(lock_take(&second, &world, output, &b->arena, &b->err), ERR_OK);
    lock_drop(&second);
    lock_drop(&second);
    assert_int_not_equal(access(file, F_OK), 0);
}

static void test_no_folder(void **state)
{
    struct bench *b = *state;
    struct lock lock;
    char file[160];
    snprintf(file, sizeof file, "%s/file", b->folder);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(lock_take(&lock, &world, file, &b->arena, &b->err), ERR_SYSTEM);
    assert_non_null(strstr(b->err.text, file));
    lock_drop(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(test_taken_and_given_back), TEST_FOLDER(test_no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
