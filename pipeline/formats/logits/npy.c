#include "formats/logits/npy.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { MAGIC_BYTES = 6, SHOWN = 41 };

static const char magic[MAGIC_BYTES] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

int npy_is(const void *bytes, int64_t n)
{
    return n >= MAGIC_BYTES && memcmp(bytes, magic, MAGIC_BYTES) == 0;
}

/* What is left of the header's text. */
struct npy_cursor {
    const char *at, *end, *path;
};

static void skip_space(struct npy_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* Takes the character if it comes next. */
static int take(struct npy_cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return 0;
    c->at++;
    return 1;
}

/* The next few characters of the header, fit for a message. */
static const char *shown(const struct npy_cursor *c, char out[SHOWN])
{
    int n = 0;
    for (; n < SHOWN - 1 && c->at + n < c->end; n++)
        out[n] = c->at[n] < 0x20 || c->at[n] == 0x7f ? '?' : c->at[n];
    out[n] = '\0';
    return n > 0 ? out : "the end";
}

static err_t expect(const struct npy_cursor *c, const char *what, struct err *e)
{
    char found[SHOWN];
    return err_set(e, ERR_DATA, "%s: .npy header: expected %s, found %s", c->path, what, shown(c, found));
}

/* 'text' or "text", without escapes; cut to size if it is longer. */
static err_t take_text(struct npy_cursor *c, const char *what, char *out, size_t size, struct err *e)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return expect(c, what, e);
    const char *close = memchr(c->at + 1, *c->at, (size_t)(c->end - c->at - 1));
    if (!close || memchr(c->at, '\\', (size_t)(close - c->at)))
        return expect(c, what, e);
    size_t n = 0;
    for (const char *p = c->at + 1; p < close && n < size - 1; p++)
        out[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    out[n] = '\0';
    c->at = close + 1;
    return ERR_OK;
}

static err_t take_descr(struct npy_cursor *c, struct npy *h, struct err *e)
{
    static const struct {
        const char *descr;
        enum dtype dtype;
    } known[] = {{"<f4", DTYPE_F32},
                 {"<f8", DTYPE_F64},
                 {"<f2", DTYPE_F16},
                 {"|V2", DTYPE_BF16},
                 {"<V2", DTYPE_BF16}}; /* ml_dtypes' bfloat16, which numpy has no name for */
    char descr[SHOWN];
    TRY(take_text(c, "'descr' to be '<f2', '<f4', '<f8' or '|V2'", descr, sizeof descr, e));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(descr, known[i].descr) == 0) {
            h->dtype = known[i].dtype;
            return ERR_OK;
        }
    return err_set(
        e, ERR_DATA,
        "%s: .npy header: element type '%s', expected '<f2', '<f4', '<f8' or '|V2' (bfloat16); write the array "
        "again with .astype('<f4')",
        c->path, descr);
}

static err_t take_order(struct npy_cursor *c, int *fortran, struct err *e)
{
    skip_space(c);
    for (int value = 0; value < 2; value++) {
        const char *word = value ? "True" : "False";
        size_t n = strlen(word);
        if ((size_t)(c->end - c->at) >= n && memcmp(c->at, word, n) == 0) {
            c->at += n;
            *fortran = value;
            return ERR_OK;
        }
    }
    return expect(c, "'fortran_order' to be True or False", e);
}

static err_t take_shape(struct npy_cursor *c, struct npy *h, struct err *e)
{
    if (!take(c, '('))
        return expect(c, "'shape' to be a tuple of integers", e);
    for (int comma = 1; !take(c, ')'); comma = take(c, ',')) {
        if (!comma)
            return expect(c, "a comma or ) in 'shape'", e);
        if (c->at == c->end || *c->at < '0' || *c->at > '9')
            return expect(c, "an integer not below 0 in 'shape'", e);
        if (h->ndim == TENSOR_MAX_NDIM)
            return err_set(e, ERR_DATA, "%s: .npy header: more than %d dimensions", c->path, TENSOR_MAX_NDIM);
        uint64_t x = 0;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
            if (size_mul(x, 10, &x) != 0 || size_add(x, (uint64_t)(*c->at - '0'), &x) != 0 || x > INT64_MAX)
                return err_set(e, ERR_DATA, "%s: .npy header: dimension %d does not fit 64 bits", c->path,
                               h->ndim + 1);
        if (c->at < c->end && *c->at == 'L') /* Python 2 wrote its long integers so */
            c->at++;
        h->dims[h->ndim++] = (int64_t)x;
        skip_space(c);
        if (h->ndim == 1 && c->at < c->end && *c->at == ')') /* (3) is a number to Python, no tuple */
            return expect(c, "a comma after the only dimension in 'shape'", e);
    }
    return ERR_OK;
}

static err_t take_pairs(struct npy_cursor *c, struct npy *h, int *fortran, struct err *e)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    int seen[3] = {0};
    if (!take(c, '{'))
        return expect(c, "{", e);
    for (int comma = 1; !take(c, '}'); comma = take(c, ',')) {
        char key[SHOWN];
        int k = 0;
        if (!comma)
            return expect(c, "a comma or }", e);
        TRY(take_text(c, "a key in quotes", key, sizeof key, e));
        while (k < 3 && strcmp(key, keys[k]) != 0)
            k++;
        if (k == 3 || seen[k]++)
            return err_set(e, ERR_DATA, "%s: .npy header: key '%s' %s", c->path, key,
                           k < 3 ? "stands twice" : "is none of descr, fortran_order, shape");
        if (!take(c, ':'))
            return expect(c, "a colon", e);
        TRY(k == 0 ? take_descr(c, h, e) : k == 1 ? take_order(c, fortran, e) : take_shape(c, h, e));
    }
    skip_space(c);
    if (c->at != c->end)
        return expect(c, "nothing behind }", e);
    for (int k = 0; k < 3; k++)
        if (!seen[k])
            return err_set(e, ERR_DATA, "%s: .npy header: key '%s' is missing", c->path, keys[k]);
    return ERR_OK;
}

/* Where the header's text begins, and its length. */
static err_t find_text(const char *path, const unsigned char *b, int64_t n, int64_t file_bytes,
                       int64_t *start, int64_t *length, struct err *e)
{
    if (!npy_is(b, n))
        return err_set(e, ERR_DATA, "%s: is no .npy file: its first bytes are not \\x93NUMPY", path);
    *start = n > MAGIC_BYTES && b[MAGIC_BYTES] > 1 ? 12 : 10;
    if (n < *start)
        return err_set(e, ERR_DATA,
                       "%s: truncated within its header: expected at least %lld bytes, found %lld", path,
                       (long long)*start, (long long)file_bytes);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return err_set(e, ERR_DATA, "%s: .npy version %d.%d, expected 1.0, 2.0 or 3.0", path, b[6], b[7]);
    *length = b[8] | b[9] << 8;
    if (b[6] > 1)
        *length |= (int64_t)b[10] << 16 | (int64_t)b[11] << 24;
    if (*length > NPY_MAX_HEADER - 12)
        return err_set(e, ERR_DATA, "%s: .npy header of %lld bytes announced, expected at most %d", path,
                       (long long)*length, NPY_MAX_HEADER - 12);
    if (*start + *length > n)
        return err_set(e, ERR_DATA,
                       "%s: truncated within its header: expected at least %lld bytes, found %lld", path,
                       (long long)(*start + *length), (long long)file_bytes);
    return ERR_OK;
}

err_t npy_parse(struct npy *h, const char *path, const void *bytes, int64_t n, int64_t file_bytes,
                struct err *e)
{
    int64_t start = 0, length = 0;
    int fortran = 0;
    *h = (struct npy){.dtype = DTYPE_F32};
    TRY(find_text(path, bytes, n, file_bytes, &start, &length, e));
    struct npy_cursor c = {(const char *)bytes + start, (const char *)bytes + start + length, path};
    TRY(take_pairs(&c, h, &fortran, e));
    if (fortran && h->ndim > 1)
        return err_set(e, ERR_DATA,
                       "%s: the array is stored in Fortran order, expected C order; write it again with "
                       "numpy.ascontiguousarray",
                       path);
    uint64_t elements = 1, size;
    int over = 0;
    for (int i = 0; i < h->ndim; i++)
        over |= size_mul(elements, (uint64_t)h->dims[i], &elements) != 0;
    if (over || size_mul(elements, (uint64_t)dtype_bits(h->dtype) / 8, &size) != 0 ||
        size_add(size, (uint64_t)(start + length), &size) != 0 || size > INT64_MAX)
        return err_set(e, ERR_DATA, "%s: .npy header: the size of the array overflows", path);
    if ((int64_t)size != file_bytes)
        return err_set(e, ERR_DATA, "%s: %s: expected a file of %lld bytes by its header, found %lld", path,
                       file_bytes < (int64_t)size ? "truncated" : "bytes behind the array", (long long)size,
                       (long long)file_bytes);
    h->elements = (int64_t)elements;
    h->data_start = start + length;
    return ERR_OK;
}
