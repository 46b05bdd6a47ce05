#include "formats/decoders/merge.h"

#include <math.h>
#include <string.h>

enum { MODE, AXIS };
enum { UPDATE, WEIGHT, MAGNITUDE };

/* ---- making ---- */

static int64_t cols_of(const struct stored_tensor *t)
{
    return t->ndim > 0 && t->dims[0] > 0 ? t->elements / t->dims[0] : 1;
}

/* Is the type one that is added to, in float32? */
static int is_added_to(enum dtype type)
{
    return type == DTYPE_BF16 || type == DTYPE_F16 || type == DTYPE_F32;
}

static int magnitude_fits(const struct decoding *d)
{
    int64_t cols = cols_of(d->of), axis = d->numbers[AXIS];
    if (axis == MERGE_NO_AXIS)
        return d->nhelpers == 2;
    return d->nhelpers == 3 && d->of->elements > 0 && is_added_to(d->helpers[MAGNITUDE]->dtype) &&
           !d->helpers[MAGNITUDE]->decoding &&
           ((axis == MERGE_ROWS && d->helpers[MAGNITUDE]->elements == d->of->elements / cols) ||
            (axis == MERGE_COLUMNS && d->helpers[MAGNITUDE]->elements == cols));
}

static int merge_valid(const struct decoding *d)
{
    int64_t mode = d->numbers[MODE];
    if (d->nhelpers < 1 || mode < MERGE_ONCE || mode > MERGE_COPY || !isfinite(d->reals[0]) ||
        d->helpers[UPDATE]->elements != d->of->elements ||
        !dtype_is_compared(decoder_type(d->helpers[UPDATE])) || !is_added_to(d->out))
        return 0;
    if (mode == MERGE_COPY)
        return d->nhelpers == 1;
    enum dtype weight = d->nhelpers > 1 ? decoder_type(d->helpers[WEIGHT]) : DTYPE_COUNT;
    return d->nhelpers > 1 && d->helpers[WEIGHT]->elements == d->of->elements && is_added_to(weight) &&
           d->out == (mode == MERGE_ONCE || mode == MERGE_SAFE ? weight : DTYPE_F32) && magnitude_fits(d);
}

err_t merge_make(struct stored_tensor *t, const struct merge_parts *parts, struct arena *a, struct err *e)
{
    const int rounded = parts->mode != MERGE_EXACT && parts->mode != MERGE_ADDED;
    struct decoding *d;
    t->file = STORED_NOWHERE;
    TRY(decoder_derive(t, &decoder_merge, rounded ? decoder_type(parts->weight) : DTYPE_F32, a, &d, e));
    TRY(decoding_add_helper(d, parts->update, a, e));
    if (parts->mode != MERGE_COPY)
        TRY(decoding_add_helper(d, parts->weight, a, e));
    if (parts->magnitude && parts->mode != MERGE_COPY)
        TRY(decoding_add_helper(d, parts->magnitude, a, e));
    d->numbers[MODE] = parts->mode;
    d->numbers[AXIS] = parts->magnitude ? (int64_t)parts->axis : MERGE_NO_AXIS;
    d->reals[0] = parts->scale;
    if (parts->weight->decoding)
        d->problem = parts->weight->decoding->problem;
    if (d->problem || merge_valid(d))
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "tensor %s: %lld elements of %s and an update of %lld of %s from %s do not make it: expected as "
        "many of BF16, F16 or F32",
        t->name, (long long)parts->weight->elements, dtype_name(decoder_type(parts->weight)),
        (long long)parts->update->elements, dtype_name(decoder_type(parts->update)), parts->update->name);
}

const struct stored_tensor *merge_weight(const struct stored_tensor *t)
{
    return t->decoding->helpers[WEIGHT];
}

/* ---- the work of one call ---- */

/* At the beginning of the scratch: whose column norms stand there. Behind it a range as it is stored, the
 * same of weight and update as float32, the norms, and what the two helpers work in. */
struct merge_kept {
    const struct stored_tensor *norms_of;
};

struct merge_work {
    const struct decoding *d;
    const struct stored_source *from;
    struct merge_kept *kept;
    void *raw;
    float *w, *u;  /* of one range */
    double *norms; /* of all columns */
    struct decoder_scratch *update, *weight;
    int64_t cols, most;
};

enum { HEAD_BYTES = 64 };

static int64_t up(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static int64_t norms_bytes(const struct decoding *d)
{
    return d->numbers[AXIS] == MERGE_COLUMNS ? up(cols_of(d->of) * (int64_t)sizeof(double)) : 0;
}

/* What does not depend on the tensor comes first, so that it keeps its place, and the update's scratch what
 * it keeps, from one tensor to the next. */
static int64_t merge_scratch(const struct decoding *d, int64_t n)
{
    int64_t bytes = HEAD_BYTES + up(n * 8) + 2 * up(n * (int64_t)sizeof(float)) +
                    up(decoder_nested_bytes(d->helpers[UPDATE], n)) + norms_bytes(d);
    return d->nhelpers > 1 ? bytes + decoder_nested_bytes(d->helpers[WEIGHT], n) : bytes;
}

static void lay_out(struct merge_work *m, const struct decoding *d, const struct stored_source *from,
                    struct decoder_scratch *s)
{
    char *v = s->v;
    int64_t at = HEAD_BYTES;
    *m = (struct merge_work){.d = d, .from = from, .kept = s->v, .cols = cols_of(d->of), .most = s->most};
    m->raw = v + at;
    at += up(s->most * 8);
    m->w = (float *)(void *)(v + at);
    at += up(s->most * (int64_t)sizeof(float));
    m->u = (float *)(void *)(v + at);
    at += up(s->most * (int64_t)sizeof(float));
    m->update = decoder_nested(d->helpers[UPDATE], s, at);
    at += up(decoder_nested_bytes(d->helpers[UPDATE], s->most));
    m->norms = (double *)(void *)(v + at);
    at += norms_bytes(d);
    m->weight = d->nhelpers > 1 ? decoder_nested(d->helpers[WEIGHT], s, at) : NULL;
}

/* Elements [first, first + n) of a helper as float32, n at most m->most. */
static err_t take(const struct merge_work *m, int helper, int64_t first, int64_t n, float *out, struct err *e)
{
    const struct stored_tensor *t = m->d->helpers[helper];
    struct decoder_scratch *s = helper == UPDATE ? m->update : helper == WEIGHT ? m->weight : NULL;
    if (decoder_type(t) == DTYPE_F32)
        return decoder_numbers(t, m->from, first, n, s, out, e);
    TRY(decoder_numbers(t, m->from, first, n, s, m->raw, e));
    tensor_to_compare(ARITHMETIC_F32, decoder_type(t), m->raw, n, out);
    return ERR_OK;
}

/* The update, scaled. */
static err_t take_update(const struct merge_work *m, int64_t first, int64_t n, struct err *e)
{
    const float scale = (float)m->d->reals[0];
    TRY(take(m, UPDATE, first, n, m->u, e));
    if (scale != 1)
        for (int64_t i = 0; i < n; i++)
            m->u[i] *= scale;
    return ERR_OK;
}

static err_t take_both(const struct merge_work *m, int64_t first, int64_t n, struct err *e)
{
    TRY(take_update(m, first, n, e));
    return take(m, WEIGHT, first, n, m->w, e);
}

/* n floats as a type that is added to. */
static void round_to(enum dtype type, const float *x, int64_t n, void *out)
{
    if (type == DTYPE_BF16)
        tensor_to_compare(ARITHMETIC_BF16, DTYPE_F32, x, n, out);
    else if (type == DTYPE_F16)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)out)[i] = f16_from_float(x[i]);
    else
        memcpy(out, x, (size_t)n * sizeof *x);
}

/* ---- plain sums ---- */

enum { NEAR = 4096 }; /* elements whose steps follow each other in the nearest cache */

/* u is what is added, w as it is stored; so many elements that both, and the sum, stay near. */
static void add(const struct merge_work *m, const void *stored, float *u, int64_t n, void *out)
{
    const enum dtype type = m->d->out == DTYPE_F32 ? decoder_type(m->d->helpers[WEIGHT]) : m->d->out;
    if (m->d->numbers[MODE] == MERGE_SAFE) {
        round_to(m->d->out, u, n, m->w);
        tensor_to_compare(ARITHMETIC_F32, m->d->out, m->w, n, u);
    }
    tensor_to_compare(ARITHMETIC_F32, type, stored, n, m->w);
    for (int64_t i = 0; i < n; i++)
        m->w[i] += u[i];
    round_to(m->d->out, m->w, n, out);
}

static err_t read_plain(const struct merge_work *m, int64_t first, int64_t n, void *out, struct err *e)
{
    const int64_t mode = m->d->numbers[MODE], width = dtype_bits(m->d->out) / 8;
    TRY(take_update(m, first, n, e));
    if (mode == MERGE_COPY || mode == MERGE_ADDED) {
        round_to(m->d->out, m->u, n, out);
        return ERR_OK;
    }
    const struct stored_tensor *weight = m->d->helpers[WEIGHT];
    const int64_t wide = dtype_bits(decoder_type(weight)) / 8;
    TRY(decoder_numbers(weight, m->from, first, n, m->weight, m->raw, e));
    for (int64_t i = 0; i < n; i += NEAR)
        add(m, (const char *)m->raw + i * wide, m->u + i, n - i < NEAR ? n - i : NEAR,
            (char *)out + i * width);
    return ERR_OK;
}

/* ---- magnitudes ---- */

/* The sum of the weight with its update, as the library has it; `exact`: in double, where nothing is to be
 * lost. */
static inline double sum_at(int exact, const struct merge_work *m, int64_t i)
{
    return exact ? (double)m->w[i] + (double)m->u[i] : (double)(m->w[i] + m->u[i]);
}

static int is_exact(const struct merge_work *m)
{
    return m->d->numbers[MODE] == MERGE_ADDED;
}

/* Squares in the order of LANES sums, the same for every length of range that begins at a row. */
static inline __attribute__((always_inline)) double squares_of(int exact, const struct merge_work *m,
                                                               int64_t n, double before)
{
    enum { LANES = 8 };
    double sum[LANES] = {before};
    for (int64_t i = 0; i < n; i++) {
        double x = sum_at(exact, m, i);
        sum[i % LANES] += x * x;
    }
    double all = 0;
    for (int k = 0; k < LANES; k++)
        all += sum[k];
    return all;
}

static double squares(const struct merge_work *m, int64_t n, double before)
{
    return is_exact(m) ? squares_of(1, m, n, before) : squares_of(0, m, n, before);
}

/* n elements of the range from `at` on times one factor, into w: never behind what was written. */
static void scale_all(const struct merge_work *m, int64_t at, int64_t n, float magnitude, double norm)
{
    const float factor = magnitude / (float)norm, *w = m->w + at, *u = m->u + at;
    const double exactly = (double)magnitude / norm;
    if (is_exact(m))
        for (int64_t i = 0; i < n; i++)
            m->w[i] = (float)(exactly * ((double)w[i] + (double)u[i]) - (double)w[i]);
    else
        for (int64_t i = 0; i < n; i++)
            m->w[i] = factor * (w[i] + u[i]);
}

/* The norm of a whole row, which is in w and u afterwards where it fits. */
static err_t row_norm(const struct merge_work *m, int64_t row, double *norm, struct err *e)
{
    double sum = 0;
    for (int64_t done = 0, part; done < m->cols; done += part) {
        part = m->cols - done < m->most ? m->cols - done : m->most;
        TRY(take_both(m, row * m->cols + done, part, e));
        sum = squares(m, part, sum);
    }
    *norm = sqrt(sum);
    return ERR_OK;
}

/* n elements of one row from `col` on. */
static err_t read_row(const struct merge_work *m, int64_t row, int64_t col, int64_t n, void *out,
                      struct err *e)
{
    float magnitude;
    double norm;
    TRY(take(m, MAGNITUDE, row, 1, &magnitude, e));
    TRY(row_norm(m, row, &norm, e));
    int64_t at = m->cols <= m->most ? col : 0;
    if (m->cols > m->most)
        TRY(take_both(m, row * m->cols + col, n, e));
    scale_all(m, at, n, magnitude, norm);
    round_to(m->d->out, m->w, n, out);
    return ERR_OK;
}

/* Sums all columns' squares, row after row, unless that has been done. */
static err_t keep_norms(const struct merge_work *m, struct err *e)
{
    const int64_t all = m->d->of->elements;
    if (m->kept->norms_of == m->d->of)
        return ERR_OK;
    m->kept->norms_of = NULL;
    memset(m->norms, 0, (size_t)m->cols * sizeof *m->norms);
    for (int64_t done = 0, part; done < all; done += part) {
        part = all - done < m->most ? all - done : m->most;
        TRY(take_both(m, done, part, e));
        for (int64_t i = 0, col = done % m->cols; i < part; i++) {
            double x = sum_at(is_exact(m), m, i);
            m->norms[col] += x * x;
            col = col + 1 < m->cols ? col + 1 : 0;
        }
    }
    for (int64_t j = 0; j < m->cols; j++)
        m->norms[j] = sqrt(m->norms[j]);
    m->kept->norms_of = m->d->of;
    return ERR_OK;
}

/* n elements of one row from `col` on, each with its column's magnitude. */
static err_t read_columns(const struct merge_work *m, int64_t row, int64_t col, int64_t n, void *out,
                          struct err *e)
{
    float *magnitude =
        (float *)m->raw + m->most; /* behind as many as they are stored, 4 bytes each at most */
    TRY(keep_norms(m, e));
    TRY(take_both(m, row * m->cols + col, n, e));
    TRY(take(m, MAGNITUDE, col, n, magnitude, e));
    for (int64_t i = 0; i < n; i++) {
        double sum = sum_at(is_exact(m), m, i), norm = m->norms[col + i];
        m->w[i] = is_exact(m) ? (float)((double)magnitude[i] / norm * sum - (double)m->w[i])
                              : magnitude[i] / (float)norm * (float)sum;
    }
    round_to(m->d->out, m->w, n, out);
    return ERR_OK;
}

static err_t merge_read(const struct decoding *d, const struct stored_source *from, int64_t first, int64_t n,
                        struct decoder_scratch *s, void *out, struct err *e)
{
    struct merge_work m;
    lay_out(&m, d, from, s);
    if (d->numbers[AXIS] == MERGE_NO_AXIS)
        return read_plain(&m, first, n, out, e);
    const int64_t width = dtype_bits(d->out) / 8;
    for (int64_t done = 0, part; done < n; done += part) {
        int64_t row = (first + done) / m.cols, col = (first + done) % m.cols;
        part = m.cols - col < n - done ? m.cols - col : n - done;
        void *to = (char *)out + done * width;
        if (d->numbers[AXIS] == MERGE_ROWS)
            TRY(read_row(&m, row, col, part, to, e));
        else
            TRY(read_columns(&m, row, col, part, to, e));
    }
    return ERR_OK;
}

static const struct stored_tensor *merge_change(const struct decoding *d)
{
    return d->numbers[MODE] == MERGE_EXACT ? d->helpers[UPDATE] : NULL;
}

const struct decoder decoder_merge = {
    .name = "merge",
    .helper = "part",
    .valid = merge_valid,
    .scratch_bytes = merge_scratch,
    .read = merge_read,
    .change = merge_change,
};
