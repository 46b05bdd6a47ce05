#include "formats/zero/zero_run.h"

int64_t zero_line_left(const struct zero_line *line)
{
    int64_t left = -line->at;
    for (int64_t i = line->run; i < line->n; i++)
        left += line->v[i * line->stride].n;
    return line->run < line->n ? left : 0;
}

int64_t zero_line_take(struct zero_line *line, int64_t n, int64_t start, struct stored_piece *out)
{
    int64_t pieces = 0;
    while (n > 0 && line->run < line->n) {
        const struct zero_run *run = &line->v[line->run * line->stride];
        int64_t have = min64(run->n - line->at, n);
        if (have > 0 && out)
            out[pieces] = (struct stored_piece){.start = {start},
                                                .dims = {have},
                                                .dtype = run->dtype,
                                                .file = run->file,
                                                .offset_bytes = run->offset_bytes +
                                                                line->at * (dtype_bits(run->dtype) / 8)};
        pieces += have > 0;
        start += have;
        n -= have;
        line->at += have;
        if (line->at == run->n) {
            line->run++;
            line->at = 0;
        }
    }
    return pieces;
}

int64_t zero_line_count(const struct zero_line *line, int64_t n)
{
    struct zero_line copy = *line;
    return zero_line_take(&copy, n, 0, NULL);
}
