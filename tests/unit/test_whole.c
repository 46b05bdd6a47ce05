/* Rows of logits that are no whole distribution, in every type: counted where they are to be, one logit
 * before and behind each bound. */
#include "unitlib.h"

#include "kernels/entropy/whole.h"

#include <math.h>

enum { ROOM = 5000 };

static double row[ROOM];
static int64_t cut, of_logs, lacking;

/* Counts the row in every type; the answers must agree. */
static void count(int64_t n)
{
    static uint16_t bf16[ROOM], f16[ROOM];
    static float f32[ROOM];
    for (int64_t i = 0; i < n; i++) {
        f32[i] = (float)row[i];
        bf16[i] = bf16_from_float(f32[i]);
        f16[i] = f16_from_float(f32[i]);
    }
    const struct {
        enum dtype type;
        const void *values;
    } all[] = {{DTYPE_F64, row}, {DTYPE_F32, f32}, {DTYPE_BF16, bf16}, {DTYPE_F16, f16}};
    for (int k = 0; k < 4; k++) {
        int64_t is[3] = {0};
        whole_count(all[k].type, all[k].values, n, &is[0], &is[1], &is[2]);
        if (k > 0 && (is[0] != cut || is[1] != of_logs || is[2] != lacking))
            fail_msg("%s: %d %d %d", dtype_name(all[k].type), (int)is[0], (int)is[1], (int)is[2]);
        cut = is[0];
        of_logs = is[1];
        lacking = is[2];
    }
}

static void test_cut(void **state)
{
    static const int64_t widths[] = {1, 2, 3, 20, 63, 64, 65, 128, 1000, 4097};
    static const double none[] = {-INFINITY, -9999, -10000, -65504};
    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof none / sizeof *none; k++)
            for (int64_t there = (widths[w] + 1) / 2 - 1; there <= (widths[w] + 1) / 2; there++)
                for (int way = 0; way < 3; way++) {
                    int64_t n = widths[w]; /* at the front, at the end, spread */
                    for (int64_t i = 0; i < n; i++) {
                        int is = way == 0   ? i < there
                                 : way == 1 ? i >= n - there
                                            : (i + 1) * there / n > i * there / n;
                        row[i] = is ? 1 : none[k];
                    }
                    count(n);
                    if (cut != (2 * there < n))
                        fail_msg("%d of %d, way %d: %d", (int)there, (int)n, way, (int)cut);
                }
    for (int64_t i = 0; i < ROOM; i++)
        row[i] = -8900; /* low, and there */
    count(ROOM);
    assert_int_equal(cut, 0);
}

static void test_lists(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        row[i] = log(0.25);
    count(4);
    assert_true(of_logs == 1 && lacking == 0);
    count(3); /* 0.75 */
    assert_true(of_logs == 1 && lacking == 1);
    row[4] = -INFINITY;
    count(5);
    assert_true(of_logs == 1 && lacking == 0 && cut == 0);
    row[3] = 0; /* 1.75 */
    count(4);
    assert_true(of_logs == 0 && lacking == 0);
    row[3] = 0.5;
    count(4);
    assert_true(of_logs == 0 && lacking == 0);
    for (int i = 0; i < ROOM; i++)
        row[i] = -20;
    count(4096);
    assert_true(of_logs == 1 && lacking == 1);
    count(4097); /* as long as a vocabulary */
    assert_true(of_logs == 0 && lacking == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut), cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
