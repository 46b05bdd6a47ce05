/* The .npy format: the header of one array, checked in full before any size is used. Nothing is executed: the
 * header, a literal of Python, is read by a parser that knows the three keys and no more.
 *
 * Source: numpy/lib/format.py, "Format specification" of NEP 1 (versions 1.0, 2.0, 3.0). Stricter than there:
 * C order and little-endian floating point only, no bytes behind the array. */
#ifndef SINEW_NPY_H
#define SINEW_NPY_H

#include "base/err.h"
#include "elements/tensor.h"

#include <stdint.h>

/* The first NPY_MAX_HEADER bytes of a file hold the header of every array that is read here. */
enum { NPY_MAX_HEADER = 12 + 65535 };

struct npy {
    enum dtype dtype; /* F16, F32, F64; BF16 for elements of two bytes without a type */
    int ndim;         /* 0: a scalar */
    int64_t dims[TENSOR_MAX_NDIM], elements, data_start;
};

/* Local. Do n bytes begin as a .npy file does? */
int npy_is(const void *bytes, int64_t n);

/* Local. Reads the header from the first n bytes (n = file_bytes, or at least NPY_MAX_HEADER) of a file of
 * file_bytes. path: for messages. Errors: DATA with expected and found. */
err_t npy_parse(struct npy *h, const char *path, const void *bytes, int64_t n, int64_t file_bytes,
                struct err *e);

#endif
