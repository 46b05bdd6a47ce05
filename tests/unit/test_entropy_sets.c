/* Entropy by every instruction set: the bits of the portable loops, for every type and every length near
 * those at which loops turn; and these near float64's own. Quick, for emulated processors too; test_entropy.c
 * and test_entropy_codes.c try much more. */
#include "unitlib.h"

#include "kernels/entropy/entropy.h"

#include <math.h>
#include <string.h>

enum { MOST = 3200, TYPES = 4 };

static const enum dtype types[TYPES] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_F64};

union logits {
    uint16_t code[MOST];
    float f32[MOST];
    double f64[MOST];
};

static double uniform_of(uint64_t *seed)
{
    return (double)(next_random(seed) >> 11) * 0x1p-53;
}

/* n logits: of a width, some -Inf. value: what they stand for. */
static void fill(union logits *x, double *value, enum dtype type, int64_t n, double width, uint64_t *seed)
{
    for (int64_t i = 0; i < n; i++) {
        double v = width * (uniform_of(seed) + uniform_of(seed) - 1);
        if (i > 0 && next_random(seed) % 16 == 0)
            v = -INFINITY;
        if (type == DTYPE_F64)
            value[i] = x->f64[i] = v;
        else if (type == DTYPE_F32)
            value[i] = x->f32[i] = (float)v;
        else if (type == DTYPE_BF16)
            value[i] = bf16_to_float(x->code[i] = bf16_from_float((float)v));
        else
            value[i] = f16_to_float(x->code[i] = f16_from_float((float)v));
    }
}

static double by_definition(const double *x, int64_t n, double temperature)
{
    double most = -INFINITY, s = 0, e = 0;
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++) {
        double z = (x[i] - most) / temperature, p = exp(z);
        s += p;
        e += p > 0 ? -z * p : 0;
    }
    return s > 0 ? log(s) + e / s : 0;
}

static void same_by_all(enum dtype type, const union logits *x, const double *value, int64_t n,
                        double temperature)
{
    static struct entropy_room room[8];
    enum isa isa;
    double expected, nats, wanted = by_definition(value, n, temperature);
    int64_t at;
    assert_int_equal(entropy_row(ISA_PORTABLE, type, x, n, temperature, &room[0], &expected, &at),
                     ENTROPY_FINE);
    assert_true(fabs(expected - wanted) <= 1e-11 * wanted + 1e-13);
    for (int choice = 1; isa_choice(choice, &isa); choice++) {
        assert_int_equal(entropy_row(isa, type, x, n, temperature, &room[choice], &nats, &at), ENTROPY_FINE);
        assert_memory_equal(&nats, &expected, sizeof nats);
    }
}

static void lengths(void **state)
{
    (void)state;
    static const int64_t length[] = {1,  2,    7,    8,    9,    31,   32,   33,   64,
                                     65, 1000, 1023, 1024, 1025, 2047, 2048, 2080, MOST};
    static const double temperature[] = {1, 0.07, 2.5};
    static union logits x;
    static double value[MOST];
    uint64_t seed = 5;
    for (int t = 0; t < TYPES; t++)
        for (size_t k = 0; k < sizeof length / sizeof *length; k++) {
            fill(&x, value, types[t], length[k], k % 3 == 0 ? 800 : 12, &seed);
            same_by_all(types[t], &x, value, length[k], temperature[k % 3]);
        }
}

/* Found in every lane, by every set: NaN and Inf, and where. */
static void faults(void **state)
{
    (void)state;
    static union logits x;
    static double value[MOST];
    static struct entropy_room room;
    static const uint16_t bad[2][2] = {{0x7fc1, 0x7f80}, {0xfe01, 0x7c00}}; /* NaN, Inf; bf16, F16 */
    uint64_t seed = 9;
    enum isa isa;
    for (int t = 0; t < 2; t++)
        for (int64_t where = 0; where < 80; where++) {
            fill(&x, value, types[t], 80, 5, &seed);
            x.code[where] = bad[t][where % 2];
            for (int choice = 0; isa_choice(choice, &isa); choice++) {
                double nats = 0;
                int64_t at = -1;
                assert_int_equal(entropy_row(isa, types[t], &x, 80, 1, &room, &nats, &at),
                                 where % 2 ? ENTROPY_INFINITE : ENTROPY_NAN);
                assert_int_equal(at, where);
                assert_true(isnan(nats));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lengths), cmocka_unit_test(faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
