/* What the tests of the safetensors reader and of its writer share: a folder, the path of a file in it, and
 * files made byte by byte. */
#ifndef SINEW_TEST_SAFETENSORSLIB_H
#define SINEW_TEST_SAFETENSORSLIB_H

#include "unitlib.h"

struct fixture {
    struct bench bench;
    char path[250];
};

static int setup(void **state)
{
    if (bench_new(state, sizeof(struct fixture), WITH_FOLDER) != 0)
        return -1;
    struct fixture *f = *state;
    snprintf(f->path, sizeof f->path, "%s/model.safetensors", f->bench.folder);
    return 0;
}

static int teardown(void **state)
{
    return bench_delete(state);
}

/* Announced length, header bytes, then data_bytes of data. */
static void write_file(const char *path, uint64_t announced, const void *header, size_t n, size_t data_bytes)
{
    unlink(path); /* anew: cutting a file short first is slow on some file systems */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(announced >> (8 * i) & 255), f);
    assert_int_equal(fwrite(header, 1, n, f), n);
    for (size_t i = 0; i < data_bytes; i++)
        fputc((int)(i & 255), f);
    assert_int_equal(fclose(f), 0);
}

#endif
