#include "formats/logits/llama.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static const char magic[8] = {'_', 'l', 'o', 'g', 'i', 't', 's', '_'};

/* Logits below the largest by more than this are cut; a row that reaches that far has been. */
static const double RANGE = 16, CUT = 16 * (1 - 1e-5);

enum { CODES = 65535, HEAD_CODES = 4 };

int llama_is(const void *bytes, int64_t n)
{
    return n >= (int64_t)sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

static int64_t word(const void *bytes, int at)
{
    int32_t x;
    memcpy(&x, (const char *)bytes + at, sizeof x);
    return x;
}

static err_t check_size(const struct llama *h, const char *path, int64_t expected, int64_t found,
                        struct err *e)
{
    if (expected == found)
        return ERR_OK;
    int64_t complete = found < h->rows_start ? 0 : (found - h->rows_start) / (h->row_bytes * h->scored);
    return err_set(e, ERR_DATA,
                   "%s: %s: expected %lld bytes by its header (context %lld, vocabulary %lld, %lld chunks), "
                   "found %lld%s: %lld chunks are complete%s",
                   path, found < expected ? "truncated" : "longer than it should be", (long long)expected,
                   (long long)h->context, (long long)h->vocabulary, (long long)h->chunks, (long long)found,
                   found < expected ? "" : " bytes", (long long)(complete < h->chunks ? complete : h->chunks),
                   found < expected ? "; llama.cpp does not notice a full disk: write it again" : "");
}

err_t llama_parse(struct llama *h, const char *path, const void *bytes, int64_t n, int64_t file_bytes,
                  struct err *e)
{
    *h = (struct llama){.tokens_start = LLAMA_HEADER};
    if (!llama_is(bytes, n))
        return err_set(e, ERR_DATA, "%s: is no file of llama.cpp's logits: its first bytes are not _logits_",
                       path);
    if (n < LLAMA_HEADER)
        return err_set(e, ERR_DATA, "%s: truncated within its header: expected at least %d bytes, found %lld",
                       path, LLAMA_HEADER, (long long)file_bytes);
    h->context = word(bytes, 8);
    h->vocabulary = word(bytes, 12);
    h->chunks = word(bytes, 16);
    if (h->context < 3 || h->vocabulary < 1 || h->chunks < 1)
        return err_set(e, ERR_DATA,
                       "%s: context %lld, vocabulary %lld, %lld chunks in its header: expected at least 3, 1 "
                       "and 1",
                       path, (long long)h->context, (long long)h->vocabulary, (long long)h->chunks);
    h->first = h->context / 2;
    h->scored = h->context - 1 - h->first;
    h->row_bytes = 2 * ((h->vocabulary + 1) / 2 * 2 + HEAD_CODES);
    uint64_t tokens, rows, all;
    if (size_mul((uint64_t)h->chunks, (uint64_t)h->context * 4, &tokens) != 0 ||
        size_mul((uint64_t)h->chunks, (uint64_t)h->scored, &rows) != 0 ||
        size_mul(rows, (uint64_t)h->row_bytes, &rows) != 0 || size_add(tokens, LLAMA_HEADER, &tokens) != 0 ||
        size_add(tokens, rows, &all) != 0 || all > INT64_MAX)
        return err_set(e, ERR_DATA, "%s: the size announced by its header overflows", path);
    h->rows_start = (int64_t)tokens;
    return check_size(h, path, (int64_t)all, file_bytes, e);
}

const char *llama_row(const struct llama *h, const void *row, double *out)
{
    float head[2];
    memcpy(head, row, sizeof head);
    double scale = head[0], lowest = head[1];
    if (isnan(scale) || isnan(lowest))
        return "the scale of its log-probabilities is NaN: so were its logits";
    if (!(scale >= 0) || scale * CODES > RANGE + 1 || lowest > 0 || !isfinite(lowest))
        return "the scale of its log-probabilities is none that llama.cpp writes";
    const uint16_t *codes = (const uint16_t *)row + HEAD_CODES;
    int cut = scale * CODES >= CUT;
    for (int64_t j = 0; j < h->vocabulary; j++)
        out[j] = codes[j] == 0 && cut ? -INFINITY : lowest + scale * codes[j];
    return NULL;
}
