/* Matrices turned round: every instruction set against the definition, of all small sizes and steps, with
 * nothing written beside. */
#include "unitlib.h"

#include "elements/transpose/transpose.h"

enum { MOST = 70 };

static void check(enum isa isa, int64_t rows, int64_t cols, int64_t in_step, int64_t out_step)
{
    static uint16_t in[MOST * MOST], out[MOST * MOST];
    for (int i = 0; i < MOST * MOST; i++) {
        in[i] = (uint16_t)(i * 7 + 1);
        out[i] = 0xabcd;
    }
    transpose_16(isa, in, rows, cols, in_step, out, out_step);
    for (int64_t i = 0; i < MOST * MOST; i++) {
        const int64_t c = i / out_step, r = i % out_step;
        const uint16_t want = c < cols && r < rows ? in[r * in_step + c] : 0xabcd;
        if (out[i] != want)
            fail_msg("%s: %lld x %lld: column %lld, row %lld is %04x, expected %04x", isa_name(isa),
                     (long long)rows, (long long)cols, (long long)c, (long long)r, out[i], want);
    }
}

static void all_sizes(void **state)
{
    (void)state;
    enum isa isa;
    for (int choice = 0; isa_choice(choice, &isa); choice++)
        for (int64_t rows = 0; rows < 40; rows++)
            for (int64_t cols = 0; cols < 40; cols++)
                check(isa, rows, cols, cols + rows % 3, 41 + cols % 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
