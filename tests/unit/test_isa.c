/* Instruction sets: what SINEW_ISA allows, and which table of a list is taken. */
#include "unitlib.h"

#include "base/isa.h"

#include <stdlib.h>
#include <string.h>

static const int portable = 1, avx2 = 2, avx512 = 3, elsewhere = 4;

static const struct isa_row rows[] = {
    ISA_ROW(ISA_ELSEWHERE, elsewhere),
    ISA_ROW(ISA_AVX512 | ISA_AVX2, avx512),
    ISA_ROW(ISA_AVX2, avx2),
    ISA_ROW_PORTABLE(portable),
};

static void test_choose(void **state)
{
    (void)state;
    assert_ptr_equal(isa_choose(rows, ISA_PORTABLE), &portable);
    assert_ptr_equal(isa_choose(rows, ISA_AVX2), &avx2);
    assert_ptr_equal(isa_choose(rows, ISA_AVX2 | ISA_AVX512), &avx512);
    /* Sets are no ladder: one does not stand for another. */
    assert_ptr_equal(isa_choose(rows, ISA_AVX512), &portable);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(isa_name(ISA_PORTABLE), "portable");
    assert_string_equal(isa_name(ISA_AVX2), "avx2");
    assert_string_equal(isa_name(ISA_AVX2 | ISA_AVX512), "avx512");
    assert_string_equal(isa_name(ISA_AVX512), "portable");
}

static enum isa usable_with(const char *word)
{
    setenv("SINEW_ISA", word, 1);
    const enum isa isa = isa_usable();
    unsetenv("SINEW_ISA");
    return isa;
}

static void test_environment(void **state)
{
    (void)state;
    unsetenv("SINEW_ISA");
    const enum isa all = isa_usable();
    assert_int_equal(all & ISA_ELSEWHERE, 0);
    assert_int_equal(usable_with("portable"), ISA_PORTABLE);
    assert_int_equal(usable_with("avx2"), all & ISA_AVX2);
    assert_int_equal(usable_with("avx512"), all & (ISA_AVX2 | ISA_AVX512));
    /* What is no word of it forbids nothing. */
    assert_int_equal(usable_with(""), all);
    assert_int_equal(usable_with("AVX2"), all);
    assert_int_equal(usable_with("avx"), all);
}

/* Each more than the one before, the last all there is. */
static void test_choices(void **state)
{
    (void)state;
    enum isa isa, before = ISA_PORTABLE;
    int n = 0;
    for (; isa_choice(n, &isa); n++) {
        if (n == 0)
            assert_int_equal(isa, ISA_PORTABLE);
        else
            assert_true((isa & before) == before && isa != before);
        before = isa;
    }
    assert_true(n >= 1);
    assert_int_equal(before, isa_usable());
    setenv("SINEW_ISA", "portable", 1);
    assert_int_equal(isa_choice(0, &isa), 1);
    assert_int_equal(isa_choice(1, &isa), 0);
    unsetenv("SINEW_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
