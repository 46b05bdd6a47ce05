/* token-entropy, on as many processes as the program is started with: rows of logits whose entropies have
 * closed forms (one choice, two equal ones, two unequal ones, all equal), in three types, with masks and
 * token ids; quantiles, thresholds and means by hand; a NaN among the logits is refused alike by all. One
 * line per failed check; exit status 0 or 1. */
#include "stagelib.h"

/* 300 tokens are not whole units of work; 3 sequences of 50 even less. */
enum { TOKENS = 300, VOCABULARY = 16, SEQUENCES = 3, LENGTH = 50, ALL = SEQUENCES * LENGTH };

static const struct cell empty_cell = {
    .name = "tiny/ppo/0", .family = "tiny", .algorithm = "ppo", .data = "", .step = -1};

/* Kinds of rows. */
enum { ONE, TWO, UNIFORM, UNEQUAL };

static float logit(int kind, int64_t token, int64_t v)
{
    int64_t first = token % VOCABULARY, second = (token + 5) % VOCABULARY;
    switch (kind) {
    case ONE:
        return v == first ? 3 : -INFINITY;
    case TWO:
        return v == first || v == second ? -7.5f : -INFINITY;
    case UNEQUAL: /* 2 nats apart */
        return v == first ? 1 : v == second ? -1 : -INFINITY;
    default:
        return 0.25f;
    }
}

/* A coin of odds exp(d) : 1 has entropy ln(1 + q) + d q / (1 + q), q = exp(-d). */
static double nats(int kind, double temperature)
{
    double d = 2 / temperature, q = exp(-d);
    return kind == ONE       ? 0
           : kind == TWO     ? log(2)
           : kind == UNIFORM ? log(VOCABULARY)
                             : log1p(q) + d * q / (1 + q);
}

/* Kind of row of a token of each policy. */
static int base_kind(int64_t token)
{
    return (int)(token % 3); /* a hundred each of ONE, TWO, UNIFORM */
}

static int tuned_kind(int64_t token)
{
    return token % 2 == 0 ? UNEQUAL : ONE;
}

static int64_t id_of(int64_t token)
{
    return token % 5;
}

/* The second sequence is 20 tokens long. */
static int counts(int64_t token)
{
    return token / LENGTH != 1 || token % LENGTH < 20;
}

/* Collective. nan_at: the token that receives a NaN, or -1. */
static const char *write_base(struct world *w, const char *name, int64_t nan_at)
{
    const struct stored_tensor t = {
        .name = "logits", .dtype = DTYPE_F32, .ndim = 2, .dims = {TOKENS, VOCABULARY}};
    float *x = take(w, TOKENS * VOCABULARY, sizeof *x);
    for (int64_t i = 0; i < TOKENS * VOCABULARY; i++)
        x[i] = logit(base_kind(i / VOCABULARY), i / VOCABULARY, i % VOCABULARY);
    if (nan_at >= 0)
        x[nan_at * VOCABULARY + 7] = NAN;
    const void *bytes = x;
    return write_model(w, name, &t, 1, &bytes);
}

static const char *write_tuned(struct world *w)
{
    const struct stored_tensor t[] = {
        {.name = "logits", .dtype = DTYPE_BF16, .ndim = 3, .dims = {SEQUENCES, LENGTH, VOCABULARY}},
        {.name = "input_ids", .dtype = DTYPE_I64, .ndim = 2, .dims = {SEQUENCES, LENGTH}},
        {.name = "attention_mask", .dtype = DTYPE_BOOL, .ndim = 2, .dims = {SEQUENCES, LENGTH}}};
    uint16_t *x = take(w, ALL * VOCABULARY, sizeof *x);
    int64_t *ids = take(w, ALL, sizeof *ids);
    unsigned char *mask = take(w, ALL, 1);
    for (int64_t i = 0; i < ALL; i++) {
        for (int64_t v = 0; v < VOCABULARY; v++)
            x[i * VOCABULARY + v] = bf16_from_float(logit(tuned_kind(i), i, v));
        ids[i] = id_of(i);
        mask[i] = (unsigned char)counts(i);
        if (!counts(i))
            x[i * VOCABULARY] = 0x7fc0; /* what is left out may be anything */
    }
    const void *bytes[] = {x, ids, mask};
    return write_model(w, "tuned", t, 3, bytes);
}

/* Collective. */
static err_t run(struct world *w, const char *base, const char *tuned, const char *temperature,
                 const char *path, struct err *e)
{
    const char *const settings[] = {"temperature",    temperature, "quantiles", "[0, 0.3333, 0.5, 0.8, 1]",
                                    "histogram_bins", "5",         NULL};
    struct cell cell = empty_cell;
    cell.logits_base = base;
    cell.logits_tuned = tuned;
    struct ctx ctx = {.label = cell.name, .cell = &cell};
    return run_stage(w, ctx, "token-entropy", settings, path, e);
}

struct expected {
    const char *policy;
    int64_t tokens, forking;
    double mean, median, p80, below, threshold;
};

/* Process 0. */
static void check_policy(struct world *w, const char *path, const struct expected *x, double temperature)
{
    struct table t = read_table(w, path, "entropy");
    int64_t r = find_row(&t, 0, "policy", x->policy);
    check_int(w, "tokens", table_int(&t, r, "tokens"), x->tokens);
    check_int(w, "vocabulary", table_int(&t, r, "vocabulary"), VOCABULARY);
    check_int(w, "forking tokens", table_int(&t, r, "forking_tokens"), x->forking);
    check_real(w, "temperature", table_real(&t, r, "temperature"), temperature, 0);
    check_real(w, "mean", table_real(&t, r, "mean"), x->mean, 1e-13);
    check_real(w, "median", table_real(&t, r, "median"), x->median, 1e-13);
    check_real(w, "p80", table_real(&t, r, "p80"), x->p80, 1e-13);
    check_real(w, "threshold", table_real(&t, r, "threshold"), x->threshold, 1e-13);
    check_real(w, "share below 0.01", table_real(&t, r, "share_below_001"), x->below, 1e-15);
}

/* Process 0. Entropy and forking mask, token by token. */
static void check_tokens(struct world *w, const char *path, const char *policy, int64_t tokens,
                         int (*kind)(int64_t), int (*counted)(int64_t), double temperature, double threshold)
{
    char name[40];
    int64_t n, words, wrong = 0, forks_wrong = 0;
    snprintf(name, sizeof name, "token_entropy/%s", policy);
    const double *h = read_bulk(w, path, name, H5_REAL64, sizeof *h, &n);
    snprintf(name, sizeof name, "forking/%s", policy);
    const uint64_t *forks = read_bulk(w, path, name, H5_BITS64, sizeof *forks, &words);
    check_int(w, policy, n, tokens);
    check_int(w, policy, words, (tokens + 63) / 64);
    for (int64_t i = 0; i < n && i / 64 < words; i++) {
        double expected = counted && !counted(i) ? NAN : nats(kind(i), temperature);
        wrong += isnan(expected) ? !isnan(h[i]) : !(fabs(h[i] - expected) <= 1e-13);
        forks_wrong += (int)(forks[i / 64] >> i % 64 & 1) != (expected >= threshold - 1e-9);
    }
    check_int(w, "tokens of another entropy", wrong, 0);
    check_int(w, "tokens wrongly forking or not", forks_wrong, 0);
}

/* Process 0. Base: 100 tokens each of 0, ln 2 and ln 16 = 4 ln 2. Position 0.3333 * 299 = 99.6567 lies
 * between the last 0 and the first ln 2. */
static void check_base(struct world *w, const char *path, double temperature)
{
    const double ln2 = log(2);
    const struct expected x = {"base", TOKENS, 100, 5 * ln2 / 3, ln2, 4 * ln2, 1.0 / 3, 4 * ln2};
    const double quantiles[] = {0, 0.6567 * ln2, ln2, 4 * ln2, 4 * ln2};
    static const int64_t histogram[] = {100, 100, 0, 0, 100};
    struct table q = read_table(w, path, "entropy_quantiles"), h = read_table(w, path, "entropy_histogram");
    check_policy(w, path, &x, temperature);
    check_tokens(w, path, "base", TOKENS, base_kind, NULL, temperature, 4 * ln2);
    for (int i = 0; i < 5; i++) {
        check_real(w, "quantile", table_real(&q, i, "value"), quantiles[i], 1e-12);
        check_int(w, "histogram", table_int(&h, i, "count"), histogram[i]);
        check_real(w, "edge", table_real(&h, i, "upper"), 4 * ln2 * (i + 1) / 5, 1e-14);
    }
}

/* Process 0. Tuned: tokens 70 to 99 are left out; of the other 120 the even 60 are unequal, the odd 60 have
 * one choice. Each id has 24 tokens, 12 of each kind. */
static void check_tuned(struct world *w, const char *path, double temperature)
{
    const double h = nats(UNEQUAL, temperature);
    const struct expected x = {"tuned", 120, 60, h / 2, h / 2, h, 0.5, h};
    struct table ids = read_table(w, path, "token_ids");
    check_policy(w, path, &x, temperature);
    check_tokens(w, path, "tuned", ALL, tuned_kind, counts, temperature, h);
    check_int(w, "token ids", ids.nrows, 5);
    for (int i = 0; i < 5; i++) {
        check_text(w, "policy", table_text(&ids, i, "policy"), "tuned");
        check_int(w, "token id", table_int(&ids, i, "token_id"), i);
        check_int(w, "tokens of the id", table_int(&ids, i, "count"), 24);
        check_real(w, "mean of the id", table_real(&ids, i, "mean"), h / 2, 1e-13);
    }
}

/* Collective. One token: less than there are processes. */
static void one_token(struct world *w)
{
    const struct stored_tensor t = {.name = "logits", .dtype = DTYPE_F16, .ndim = 2, .dims = {1, 3}};
    static const uint16_t zeros[3];
    const void *bytes = zeros;
    struct err e;
    char *path = in_root(w, "one.h5");
    check(w, run(w, NULL, write_model(w, "one", &t, 1, &bytes), "1", path, &e) == ERR_OK, "%s", e.text);
    if (w->comm.me == 0) {
        struct table found = read_table(w, path, "entropy"), skipped = read_table(w, path, "skipped");
        check_int(w, "policies", found.nrows, 1);
        check_real(w, "mean of one token", table_real(&found, 0, "mean"), log(3), 1e-15);
        check_real(w, "p80 of one token", table_real(&found, 0, "p80"), log(3), 1e-15);
        check_text(w, "reason", table_text(&skipped, 0, "reason"), "no logits of the base policy are given");
    }
}

int main(int argc, char **argv)
{
    static const char *const temperatures[] = {"1", "0.5"};
    struct world w;
    struct err e;
    MPI_Init(&argc, &argv);
    world_init(&w, NULL, 0);
    const char *base = write_base(&w, "base", -1), *tuned = write_tuned(&w);
    char *path = in_root(&w, "entropy.h5"), *bad = in_root(&w, "bad.h5");
    for (int i = 0; i < 2; i++) {
        double temperature = strtod(temperatures[i], NULL);
        check(&w, run(&w, base, tuned, temperatures[i], path, &e) == ERR_OK, "%s", e.text);
        if (w.comm.me == 0 && e.code == ERR_OK) {
            check_base(&w, path, temperature);
            check_tuned(&w, path, temperature);
        }
        MPI_Barrier(w.comm.mpi);
    }
    one_token(&w);

    /* A NaN at the last token: one process finds it. Then a file cut short. */
    const char *broken = write_base(&w, "nan", TOKENS - 1);
    err_t code = run(&w, broken, tuned, "1", bad, &e);
    check_refusal(&w, code, &e, ERR_DATA, "token 299: the logit of vocabulary index 7 is NaN", bad);
    if (w.comm.me == 0)
        check(&w, truncate(broken, 4000) == 0, "%s: not cut", broken);
    MPI_Barrier(w.comm.mpi);
    code = run(&w, base, broken, "1", bad, &e);
    check_refusal(&w, code, &e, ERR_DATA, broken, bad);
    int status = world_end(&w);
    MPI_Finalize();
    return status;
}
