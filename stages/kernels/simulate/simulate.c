#include "kernels/simulate/simulate.h"

#include "kernels/simulate/simulate_loops.h"

#include <math.h>
#include <string.h>

/* The best first. */
static const struct isa_row sets[] = {
    ISA_ROW_AVX2(simulate_avx2),
    ISA_ROW_PORTABLE(simulate_portable),
};

static const struct simulate_loops *usable_loops(void)
{
    return isa_choose(sets, isa_usable());
}

enum { CHUNK = 1024, CANDIDATES = 16 };

/* Step sizes: typical published ones (SimPO 6e-7 to 1e-6, ORPO 5e-6 for mistral-orpo-beta). `coherent` is
 * measured nowhere: it was chosen by hand, once per algorithm and never per family, so that sparsity comes
 * out in the range that the study reports (RL about 0.7 to 0.96, the supervised control 0.05 to 0.2).
 * Sparsity of simulated checkpoints is therefore no finding. */
static const struct simulate_algorithm algorithms[] = {
    {"ppo", 1e-6, 8, 1},  {"grpo", 1e-6, 8, 1}, {"dpo", 5e-7, 12, 0},   {"simpo", 1e-6, 8, 0},
    {"kto", 5e-7, 12, 0}, {"orpo", 5e-6, 3, 0}, {"prime", 5e-7, 12, 1}, {"sft", 2e-5, 4, 0},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

const struct simulate_algorithm *simulate_algorithms(int *n)
{
    *n = ALGORITHMS;
    return algorithms;
}

const struct simulate_algorithm *simulate_find(const char *name)
{
    for (int i = 0; i < ALGORITHMS; i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

struct simulate_shares simulate_shares(const struct simulate_algorithm *a)
{
    if (a->on_policy)
        return (struct simulate_shares){.loss = 0.25, .algorithm = 0.15, .seed = 0.15, .step = 0.45};
    return (struct simulate_shares){.loss = 0.35, .algorithm = 0.15, .seed = 0.20, .step = 0.30};
}

uint64_t simulate_key(uint64_t parent, const char *word)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a; the length's and parent's influence is spread by mix */
    for (const char *p = word; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    return simulate_mix(simulate_mix(parent + 0x9e3779b97f4a7c15u) ^ h);
}

uint64_t simulate_key_number(uint64_t parent, int64_t number)
{
    return simulate_draw(simulate_mix(parent ^ 0x6e756d626572u), number);
}

/* Longer tails than simulate_four_sum, as trained weights have them; the factors keep the variance at 1. */
static inline float tailed(float z)
{
    return z * (0.9f + 0.036f * (z * z));
}

float simulate_normal(uint64_t key, int64_t index)
{
    return tailed(simulate_four_sum(simulate_draw(key, index)));
}

/* Nearest bf16, ties to even, still as float; the values here are finite. */
static inline float to_bf16(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    b = (b + 0x7fffu + ((b >> 16) & 1u)) & 0xffff0000u;
    memcpy(&x, &b, sizeof x);
    return x;
}

static inline uint16_t bf16_bits(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return (uint16_t)(b >> 16);
}

static int64_t chunk_size(int64_t done, int64_t n)
{
    return n - done < CHUNK ? n - done : CHUNK;
}

static void base(const struct simulate_loops *loops, const struct simulate_tensor *t, int64_t first,
                 int64_t n, float *out)
{
    loops->four_sums(t->base, first, n, out);
    for (int64_t i = 0; i < n; i++)
        out[i] = t->centre + t->spread * tailed(out[i]);
}

void simulate_base_f32(const struct simulate_tensor *t, int64_t first, int64_t n, float *out)
{
    base(usable_loops(), t, first, n, out);
}

void simulate_base_bf16(const struct simulate_tensor *t, int64_t first, int64_t n, uint16_t *out)
{
    const struct simulate_loops *loops = usable_loops();
    float w[CHUNK];
    for (int64_t done = 0, part; done < n; done += part) {
        part = chunk_size(done, n);
        base(loops, t, first + done, part, w);
        for (int64_t i = 0; i < part; i++)
            out[done + i] = bf16_bits(to_bf16(w[i]));
    }
}

/* Steps of up to CHUNK elements, in place on their bf16 base values w. */
static void steps(const struct simulate_loops *loops, const struct simulate_tensor *t, int64_t first,
                  int64_t n, int rounded, float *w)
{
    float persistent[CHUNK], algorithm[CHUNK], seed[CHUNK], step[CHUNK];
    loops->four_sums(t->loss, first, n, persistent);
    loops->four_sums(t->algorithm, first, n, algorithm);
    loops->four_sums(t->seed, first, n, seed);
    for (int64_t i = 0; i < n; i++)
        persistent[i] =
            t->part_loss * persistent[i] + t->part_algorithm * algorithm[i] + t->part_seed * seed[i];
    for (int64_t s = 0; s < t->steps; s++) {
        loops->four_sums(simulate_key_number(t->seed, s), first, n, step);
        if (rounded)
            for (int64_t i = 0; i < n; i++)
                w[i] = to_bf16(w[i] + (persistent[i] + t->part_step * step[i]));
        else
            for (int64_t i = 0; i < n; i++)
                w[i] = w[i] + (persistent[i] + t->part_step * step[i]);
    }
}

static void tuned_chunk(const struct simulate_loops *loops, const struct simulate_tensor *t, int64_t first,
                        int64_t n, int rounded, float *w)
{
    base(loops, t, first, n, w);
    for (int64_t i = 0; i < n; i++)
        w[i] = to_bf16(w[i]);
    if (t->steps > 0)
        steps(loops, t, first, n, rounded, w);
}

void simulate_tuned_bf16(const struct simulate_tensor *t, int64_t first, int64_t n, uint16_t *out)
{
    const struct simulate_loops *loops = usable_loops();
    float w[CHUNK];
    for (int64_t done = 0, part; done < n; done += part) {
        part = chunk_size(done, n);
        tuned_chunk(loops, t, first + done, part, 1, w);
        for (int64_t i = 0; i < part; i++)
            out[done + i] = bf16_bits(w[i]);
    }
}

void simulate_tuned_f32(const struct simulate_tensor *t, int64_t first, int64_t n, float *out)
{
    const struct simulate_loops *loops = usable_loops();
    for (int64_t done = 0, part; done < n; done += part) {
        part = chunk_size(done, n);
        tuned_chunk(loops, t, first + done, part, 0, out + done);
    }
}

/* Uniform in [0, 1), 53 bits. */
static double uniform(uint64_t key, int64_t index)
{
    return (double)(simulate_draw(key, index) >> 11) * 0x1p-53;
}

/* The token at which the softmax of the logits, added up in their order, passes the share u of its sum. */
static int64_t choose_token(const struct simulate_loops *loops, const float *logits, double top,
                            int64_t vocabulary, double u)
{
    double part[CHUNK], sum = 0;
    for (int64_t at = 0, n; at < vocabulary; at += n) {
        n = chunk_size(at, vocabulary);
        loops->exponentials(logits + at, top, n, part);
        for (int64_t i = 0; i < n; i++)
            sum += part[i];
    }
    double left = u * sum;
    for (int64_t at = 0, n; at < vocabulary - 1; at += n) {
        n = chunk_size(at, vocabulary - 1);
        loops->exponentials(logits + at, top, n, part);
        for (int64_t i = 0; i < n; i++) {
            left -= part[i];
            if (left < 0)
                return at + i;
        }
    }
    return vocabulary - 1;
}

/* The gap between neighbouring candidates' logits, in nats, of the token at quantile q of uncertainty.
 * Candidates then have geometric probabilities r^i (1 - r), r = exp(-gap), of entropy gap * r / (1 - r) -
 * ln(1 - r): 0.0073 nats at gap 7, 0.68 at 1.5, 2.3 at 0.3. */
static double gap_at(double q)
{
    static const double quantile[] = {0, 0.56, 0.60, 0.80, 1}, gap[] = {14, 7.2, 5, 1.5, 0.3};
    int i = 0;
    while (i < 3 && q > quantile[i + 1])
        i++;
    double f = (q - quantile[i]) / (quantile[i + 1] - quantile[i]);
    return gap[i] + f * (gap[i + 1] - gap[i]);
}

void simulate_logits(uint64_t key, int64_t row, int64_t vocabulary, float sharpen, float *logits,
                     int64_t *token_id)
{
    const struct simulate_loops *loops = usable_loops();
    uint64_t own = simulate_key_number(key, row);
    /* Everything but the candidates shares a mass of about 1e-4 in this vocabulary: -ln(vocabulary) by its
     * binary logarithm. */
    const float top = 20;
    float others = top - 10;
    for (int64_t v = vocabulary; v > 1; v /= 2)
        others -= 0.6931472f;
    loops->four_sums(own, 0, vocabulary, logits);
    for (int64_t j = 0; j < vocabulary; j++)
        logits[j] = others + 0.7f * logits[j];

    /* The rows' quantiles of uncertainty are multiples of the golden section: any number of consecutive rows
     * covers [0, 1) evenly, so the shares hold for few tokens as for many. */
    double turn = uniform(key, 0), fraction = (double)row * 0.6180339887498949 + turn;
    fraction -= floor(fraction);
    double gap = gap_at(fraction) * (double)sharpen;

    int64_t candidate[CANDIDATES], n = vocabulary / 2 < CANDIDATES ? vocabulary / 2 : CANDIDATES;
    uint64_t choice = simulate_key(own, "candidates");
    for (int64_t i = 0; i < n; i++) {
        double u = uniform(choice, i);
        int64_t id =
            (int64_t)((double)vocabulary * (u * u * u) * (u * u * u)); /* a few ids are common, as in text */
        for (int64_t k = 0; k < i; k++)
            if (candidate[k] == id) {
                id = (id + 1) % vocabulary;
                k = -1;
            }
        candidate[i] = id;
        logits[id] = top - (float)(gap * (double)i);
    }

    *token_id = choose_token(loops, logits, top, vocabulary, uniform(choice, CANDIDATES));
}
