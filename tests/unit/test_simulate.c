/* Simulation: the generator against an independent NumPy one, steps against the rounding rule, logits against
 * the entropies they are meant to have. */
#include "kernels/simulate/simulate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 100000 };

static float value(uint16_t bits)
{
    uint32_t b = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static struct simulate_tensor tensor(const char *algorithm, const char *name, int64_t seed, int64_t steps)
{
    const struct simulate_algorithm *a = simulate_find(algorithm);
    assert_non_null(a);
    struct simulate_shares s = simulate_shares(a);
    assert_true(fabs(s.loss + s.algorithm + s.seed + s.step - 1) < 1e-12);
    double move = a->step_size * a->coherent;
    uint64_t root = simulate_key(9, name), own = simulate_key(root, algorithm);
    return (struct simulate_tensor){.base = simulate_key(root, "base"),
                                    .spread = 0.022f,
                                    .loss = simulate_key(root, "loss"),
                                    .algorithm = own,
                                    .seed = simulate_key_number(own, seed),
                                    .part_loss = (float)(move * sqrt(s.loss)),
                                    .part_algorithm = (float)(move * sqrt(s.algorithm)),
                                    .part_seed = (float)(move * sqrt(s.seed)),
                                    .part_step = (float)(move * sqrt(s.step)),
                                    .steps = steps};
}

static void numbers_as_numpy_makes_them(void **state)
{
    (void)state;
    assert_true(simulate_key(0, "a") == 0x223510de0dd4615fu);
    assert_true(simulate_key(simulate_key(0, "a"), "model.norm.weight") == 0x11a4eedb6baf64d5u);
    assert_true(simulate_key_number(5, -1) == 0x2b2fc42f4cdaaefbu);
    assert_true(simulate_key_number(0, 7) == 0x947c3ebf790a4f04u);
    assert_true(simulate_normal(7, 0) == 0x1.1bf5dap+0f);
    assert_true(simulate_normal(7, 1) == 0x1.fa37e4p-1f);
    assert_true(simulate_normal(7, 2) == 0x1.26689cp-4f);
    static const uint16_t base[] = {0x3ad2, 0xbbe3, 0xbc7e, 0x3c64, 0xbc42, 0xbc24};
    static const uint16_t tuned[] = {0x3add, 0xbbe4, 0xbc7e, 0x3c64, 0xbc43, 0xbc21};
    uint64_t key = simulate_key(0, "t");
    struct simulate_tensor t = {.base = key,
                                .spread = 0.02f,
                                .loss = key + 1,
                                .algorithm = key + 2,
                                .seed = key + 3,
                                .part_loss = 2e-5f,
                                .part_algorithm = 1e-5f,
                                .part_seed = 1.5e-5f,
                                .part_step = 2e-5f,
                                .steps = 5};
    uint16_t out[6];
    simulate_base_bf16(&t, 0, 6, out);
    assert_memory_equal(out, base, sizeof base);
    simulate_tuned_bf16(&t, 0, 6, out);
    assert_memory_equal(out, tuned, sizeof tuned);
}

static void normal_numbers(void **state)
{
    (void)state;
    double m[5] = {0};
    for (int64_t i = 0; i < 4 * N; i++) {
        double x = simulate_normal(3, i), p = 1;
        assert_true(fabs(x) < 4.7);
        for (int k = 1; k <= 4; k++)
            m[k] += p *= x;
    }
    for (int k = 1; k <= 4; k++)
        m[k] /= 4 * N;
    assert_true(fabs(m[1]) < 0.01); /* six standard errors of the mean */
    assert_true(fabs(m[2] - 1) < 0.02);
    assert_true(fabs(m[3]) < 0.05);
    assert_true(m[4] > 2.9 && m[4] < 3.8);
}

/* Any part made alone is that part of the whole: what lets processes divide the work as they like. */
static void parts_make_the_whole(void **state)
{
    (void)state;
    static uint16_t whole[N], part[N];
    static float whole_f[N], part_f[N];
    struct simulate_tensor t = tensor("grpo", "w", 0, 3);
    static const int64_t cuts[] = {0, 1, 7, 1024, 1030, 5000, 60001, N};
    simulate_tuned_bf16(&t, 0, N, whole);
    simulate_tuned_f32(&t, 0, N, whole_f);
    for (size_t k = 0; k + 1 < sizeof cuts / sizeof *cuts; k++) {
        simulate_tuned_bf16(&t, cuts[k], cuts[k + 1] - cuts[k], part + cuts[k]);
        simulate_tuned_f32(&t, cuts[k], cuts[k + 1] - cuts[k], part_f + cuts[k]);
    }
    assert_memory_equal(whole, part, sizeof whole);
    assert_memory_equal(whole_f, part_f, sizeof whole_f);
    int64_t far = (int64_t)1 << 40; /* a tensor longer than any index of 32 bits */
    simulate_tuned_bf16(&t, far, 10, part);
    simulate_tuned_bf16(&t, far + 4, 1, whole);
    assert_int_equal(part[4], whole[0]);
}

static void no_steps_give_the_base(void **state)
{
    (void)state;
    static uint16_t base[N], tuned[N];
    static float wide[N];
    struct simulate_tensor t = tensor("dpo", "w", 0, 0);
    simulate_base_bf16(&t, 0, N, base);
    simulate_tuned_bf16(&t, 0, N, tuned);
    assert_memory_equal(base, tuned, sizeof base);
    simulate_tuned_f32(&t, 0, N, wide);
    for (int64_t i = 0; i < N; i++)
        assert_true(wide[i] == value(base[i]));
}

/* A weight whose half unit in the last place is more than any step can reach never moves; every one that
 * moved could. */
static void small_steps_are_absorbed(void **state)
{
    (void)state;
    static uint16_t base[N], tuned[N];
    struct simulate_tensor t = tensor("ppo", "w", 0, 8);
    double reach = 3.47 * (t.part_loss + t.part_algorithm + t.part_seed + t.part_step);
    simulate_base_bf16(&t, 0, N, base);
    simulate_tuned_bf16(&t, 0, N, tuned);
    int64_t moved = 0, absorbed = 0;
    for (int64_t i = 0; i < N; i++) {
        int exponent;
        frexpf(value(base[i]), &exponent);
        /* Downwards from a power of two the spacing halves: 2^(exponent - 10) is the least half unit. */
        if (ldexp(1, exponent - 10) > reach) {
            assert_int_equal(base[i], tuned[i]);
            absorbed++;
        }
        moved += base[i] != tuned[i];
    }
    assert_true(absorbed > N / 10 && moved > N / 20);
}

/* Step k of a run is a step of the longer run, and another seed's run is another. */
static void runs_nest(void **state)
{
    (void)state;
    static uint16_t at[3][N];
    static float wide[2][N];
    for (int k = 0; k < 3; k++) {
        struct simulate_tensor t = tensor("ppo", "w", k == 2, 4 + (k == 1));
        simulate_tuned_bf16(&t, 0, N, at[k]);
        if (k < 2)
            simulate_tuned_f32(&t, 0, N, wide[k]);
    }
    struct simulate_tensor t = tensor("ppo", "w", 0, 5);
    double reach = 3.47 * (t.part_loss + t.part_algorithm + t.part_seed + t.part_step) + 1e-8;
    int64_t later = 0, other = 0;
    for (int64_t i = 0; i < N; i++) {
        assert_true(fabs((double)wide[1][i] - wide[0][i]) < reach);
        later += at[0][i] != at[1][i];
        other += at[0][i] != at[2][i];
    }
    assert_true(later > 0 && later < N / 5 && other > 0);
}

static double sparsity(const char *algorithm, int64_t seed, float centre, float spread, uint16_t *tuned)
{
    static uint16_t base[N];
    struct simulate_tensor t = tensor(algorithm, "w", seed, 8);
    t.centre = centre;
    t.spread = spread;
    simulate_base_bf16(&t, 0, N, base);
    simulate_tuned_bf16(&t, 0, N, tuned);
    int64_t equal = 0;
    for (int64_t i = 0; i < N;
         i++) /* 1.00136e-05: the tolerance rounded to bf16; both differences are exact in float */
        equal += fabsf(value(tuned[i]) - value(base[i])) <= 1.00136e-5f;
    return (double)equal / N;
}

static void sparsity_of_algorithms(void **state)
{
    (void)state;
    static uint16_t tuned[N];
    int n;
    const struct simulate_algorithm *list = simulate_algorithms(&n);
    assert_int_equal(n, 8);
    for (int i = 0; i < n; i++) {
        double s = sparsity(list[i].name, 0, 0, 0.022f, tuned);
        if (strcmp(list[i].name, "sft") == 0)
            assert_true(s > 0.05 && s < 0.20);
        else
            assert_true(s > 0.68 && s < 0.96);
        assert_true(sparsity(list[i].name, 0, 1, 0.1f, tuned) == 1); /* norms */
    }
    assert_null(simulate_find("adam"));
}

static void seeds_overlap_above_chance(void **state)
{
    (void)state;
    static uint16_t base[N], one[N], two[N];
    struct simulate_tensor t = tensor("dpo", "w", 0, 8);
    simulate_base_bf16(&t, 0, N, base);
    sparsity("dpo", 0, 0, t.spread, one);
    sparsity("dpo", 1, 0, t.spread, two);
    int64_t n1 = 0, n2 = 0, both = 0;
    for (int64_t i = 0; i < N; i++) {
        n1 += one[i] != base[i];
        n2 += two[i] != base[i];
        both += one[i] != base[i] && two[i] != base[i];
    }
    assert_true((double)both / (double)n1 > 3 * (double)n2 / N);
    assert_true(both < n1);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Entropies of T tokens in nats, ascending, by libm; mean_p: what the drawn tokens' probabilities are on
 * average, expected_p: what they should be. */
static void entropies(int64_t vocabulary, int tokens, float sharpen, double *h, double *mean_p,
                      double *expected_p)
{
    float *z = malloc((size_t)vocabulary * sizeof *z);
    assert_non_null(z);
    *mean_p = *expected_p = 0;
    for (int t = 0; t < tokens; t++) {
        int64_t id = -1;
        simulate_logits(5, t, vocabulary, sharpen, z, &id);
        assert_true(id >= 0 && id < vocabulary);
        double sum = 0, s = 0, square = 0;
        for (int64_t j = 0; j < vocabulary; j++)
            sum += exp(z[j] - 20.0);
        for (int64_t j = 0; j < vocabulary; j++) {
            double p = exp(z[j] - 20.0) / sum;
            s -= p * log(p);
            square += p * p;
        }
        h[t] = s;
        *mean_p += exp(z[id] - 20.0) / sum / tokens;
        *expected_p += square / tokens;
    }
    free(z);
    qsort(h, (size_t)tokens, sizeof *h, ascending);
}

static void token_entropies(void **state)
{
    (void)state;
    static const struct {
        int64_t vocabulary;
        int tokens;
    } sizes[] = {{504, 1000}, {2008, 128}, {32000, 64}};
    static double base[1000], tuned[1000];
    for (int k = 0; k < 3; k++) {
        int n = sizes[k].tokens, certain = 0;
        double p, expected;
        entropies(sizes[k].vocabulary, n, 1, base, &p, &expected);
        for (int i = 0; i < n; i++)
            certain += base[i] < 0.01;
        assert_true(2 * certain > n && certain < 0.65 * n);
        assert_true(base[4 * n / 5] > 0.5 && base[4 * n / 5] < 0.9);
        assert_true(fabs(p - expected) < 5 * 0.35 / sqrt(n));
        entropies(sizes[k].vocabulary, n, 1.13f, tuned, &p, &expected);
        assert_true(tuned[4 * n / 5] < base[4 * n / 5]);
    }
    float z[8];
    int64_t id;
    simulate_logits(1, 0, 8, 1, z, &id); /* the smallest vocabulary */
    assert_true(id >= 0 && id < 8);
}

/* The loops of this machine give the bits of the portable ones, whatever is left over at their ends. */
static void all_machines_agree(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 7, 8, 9, 1023, 1024, 1025, 3001};
    static uint16_t bits[2][2][3001];
    static float reals[2][3][3001];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k], vocabulary = n < 8 ? 8 : n, id[2][9];
        struct simulate_tensor t = tensor("orpo", "w", 3, 5);
        t.centre = 0.125f;
        memset(bits, 0, sizeof bits);
        memset(reals, 0, sizeof reals);
        for (int i = 0; i < 2; i++) {
            setenv("SINEW_ISA", i ? "avx512" : "portable", 1);
            simulate_base_bf16(&t, 77 + n, n, bits[i][0]);
            simulate_tuned_bf16(&t, -5, n, bits[i][1]);
            simulate_base_f32(&t, INT64_C(1) << 40, n, reals[i][0]);
            simulate_tuned_f32(&t, 2, n, reals[i][1]);
            for (int64_t row = 0; row < 9; row++)
                simulate_logits(11, row, vocabulary, 1.1f, reals[i][2], &id[i][row]);
        }
        unsetenv("SINEW_ISA");
        assert_memory_equal(bits[0], bits[1], sizeof bits[0]);
        assert_memory_equal(reals[0], reals[1], sizeof reals[0]);
        assert_memory_equal(id[0], id[1], sizeof id[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_as_numpy_makes_them),
        cmocka_unit_test(normal_numbers),
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(no_steps_give_the_base),
        cmocka_unit_test(small_steps_are_absorbed),
        cmocka_unit_test(runs_nest),
        cmocka_unit_test(sparsity_of_algorithms),
        cmocka_unit_test(seeds_overlap_above_chance),
        cmocka_unit_test(token_entropies),
        cmocka_unit_test(all_machines_agree),
    };
    return cmocka_run_group_tests_name("simulate", tests, NULL, NULL);
}
