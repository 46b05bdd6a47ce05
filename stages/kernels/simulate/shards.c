#include "kernels/simulate/shards.h"

/* Shard k ends where k + 1 shares are full, but leaves a tensor to each shard after it. */
static int64_t cut_evenly(const int64_t *bytes, int64_t n, int64_t files, int64_t *ends)
{
    int64_t total = 0, before = 0, end = 0;
    for (int64_t i = 0; i < n; i++)
        total += bytes[i];
    for (int64_t k = 0; k < files; k++) {
        do
            before += bytes[end++];
        while (end < n - (files - 1 - k) && before + bytes[end] / 2 < total / files * (k + 1));
        ends[k] = k == files - 1 ? n : end;
    }
    return files;
}

static int64_t cut_by_size(const int64_t *bytes, int64_t n, int64_t *ends)
{
    int64_t files = 0, present = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && present + bytes[i] > SHARDS_FILE_BYTES) {
            ends[files++] = i;
            present = 0;
        }
        present += bytes[i];
    }
    ends[files++] = n;
    return files;
}

int64_t shards_cut(const int64_t *bytes, int64_t n, int64_t files, int64_t *ends)
{
    if (n == 0)
        return 0;
    return files > 0 ? cut_evenly(bytes, n, files < n ? files : n, ends) : cut_by_size(bytes, n, ends);
}
