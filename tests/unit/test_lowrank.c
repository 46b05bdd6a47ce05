/* Rows of a product of two thin matrices: hand-made sums, and every instruction set against the plain loop.
 */
#include "unitlib.h"

#include "elements/lowrank/lowrank.h"

#include <math.h>
#include <string.h>

enum { ROOM = 1 << 16 };

static float number(uint64_t *x)
{
    return ((float)(next_random(x) % 20001) - 10000.0f) * 0x1p-17f;
}

/* Terms whose sum depends on their order and on being fused: 1 + 2^-24 + 2^-24 stays 1 step by step, while
 * a product that is rounded first loses its last bits. */
static void one_by_one(void **state)
{
    (void)state;
    float left[3] = {1, 0x1p-12f, 0x1p-12f}, right[3] = {1, 0x1p-12f, 0x1p-12f}, out;
    lowrank_rows(ISA_PORTABLE, left, 1, 3, right, 1, 1, 2, &out);
    assert_true(out == 2);
    float a[2] = {1, 1 + 0x1p-12f}, b[2] = {-1 - 0x1p-11f, 1 + 0x1p-12f};
    lowrank_rows(ISA_PORTABLE, a, 1, 2, b, 1, 1, 1, &out);
    assert_true(out == 0x1p-24f);
}

/* A sum begins at +0, so that products of -0 leave no sign. */
static void zeros(void **state)
{
    (void)state;
    enum isa isa;
    float left[2] = {-0.0f, 0}, right[2 * 64] = {0}, out[64];
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        lowrank_rows(isa, left, 1, 2, right, 64, 64, 1, out);
        for (int j = 0; j < 64; j++)
            assert_int_equal(signbit(out[j]), 0);
    }
}

static void compare(int64_t rows, int64_t r, int64_t cols, int64_t stride)
{
    static float left[ROOM], right[ROOM], expected[ROOM], got[ROOM + 1];
    uint64_t seed = (uint64_t)(rows * 1000 + r * 100 + cols);
    enum isa isa;
    assert_true(rows * r <= ROOM && r * stride <= ROOM && rows * cols <= ROOM);
    for (int64_t i = 0; i < rows * r; i++)
        left[i] = number(&seed);
    for (int64_t i = 0; i < r * stride; i++)
        right[i] = number(&seed);
    lowrank_rows(ISA_PORTABLE, left, rows, r, right, cols, stride, 0.7f, expected);
    for (int choice = 0; isa_choice(choice, &isa); choice++) {
        memset(got, 0x55, sizeof got);
        lowrank_rows(isa, left, rows, r, right, cols, stride, 0.7f, got);
        assert_memory_equal(got, expected, (size_t)(rows * cols) * sizeof *got);
        uint32_t behind;
        memcpy(&behind, got + rows * cols, sizeof behind);
        assert_int_equal(behind, 0x55555555);
    }
}

static void every_shape(void **state)
{
    (void)state;
    for (int64_t cols = 1; cols < 130; cols++)
        for (int64_t rows = 1; rows < 10; rows += 1 + rows / 4)
            compare(rows, 5, cols, cols + cols % 3);
    for (int64_t r = 1; r < 70; r += 7)
        compare(6, r, 200, lowrank_stride(200));
}

static void strides(void **state)
{
    (void)state;
    for (int64_t cols = 1; cols < 3000; cols += 13) {
        int64_t stride = lowrank_stride(cols);
        assert_true(stride >= cols && stride < cols + 32 && stride / 16 % 2 == 1 && stride % 16 == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_one),
        cmocka_unit_test(zeros),
        cmocka_unit_test(every_shape),
        cmocka_unit_test(strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
