#include "base/isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* LZCNT and F16C, which not every compiler's __builtin_cpu_supports knows: bit 5 of ECX in leaf 0x80000001 of
 * CPUID, and bit 29 of ECX in leaf 1 (AMD and Intel manuals, CPUID). */
static int has_lzcnt_and_f16c(void)
{
    unsigned a, b, c = 0, d, more = 0;
    return __get_cpuid(1, &a, &b, &c, &d) && __get_cpuid(0x80000001, &a, &b, &more, &d) && (c >> 29 & 1) &&
           (more >> 5 & 1);
}
#endif

/* What SINEW_ISA may say, and the sets that each word allows. */
static const struct {
    const char *word;
    enum isa allows;
} choices[] = {
    {"portable", ISA_PORTABLE},
#if defined(__aarch64__)
    {"neon", ISA_NEON},
#else
    {"avx2", ISA_AVX2},
    {"avx512", ISA_AVX2 | ISA_AVX512},
#endif
};

enum { CHOICES = sizeof choices / sizeof *choices };

static enum isa of_this_processor(void)
{
    enum isa has = ISA_PORTABLE;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && has_lzcnt_and_f16c())
        has |= ISA_AVX2;
    if (has == ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bitalg") &&
        __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("gfni"))
        has |= ISA_AVX512;
#elif defined(__aarch64__)
    has |= ISA_NEON;
#endif
    return has;
}

static enum isa of_this_processor_once(void)
{
    static _Atomic int known = -1; /* asked once: a virtual machine is left and entered anew at each CPUID */
    if (known < 0)
        known = (int)of_this_processor();
    return (enum isa)known;
}

enum isa isa_usable(void)
{
    const enum isa has = of_this_processor_once();
    const char *wanted = getenv("SINEW_ISA");
    for (int i = 0; wanted && i < CHOICES; i++)
        if (strcmp(wanted, choices[i].word) == 0)
            return has & choices[i].allows;
    return has;
}

static int suffices(enum isa isa, enum isa needs)
{
    return (needs & ~isa) == 0;
}

const char *isa_name(enum isa isa)
{
    int i = CHOICES - 1;
    while (!suffices(isa, choices[i].allows))
        i--;
    return choices[i].word;
}

int isa_choice(int i, enum isa *isa)
{
    const enum isa usable = isa_usable();
    for (int c = 0; c < CHOICES; c++)
        if (suffices(usable, choices[c].allows) && i-- == 0) {
            *isa = choices[c].allows;
            return 1;
        }
    return 0;
}

const void *isa_choose(const struct isa_row *rows, enum isa isa)
{
    while (!suffices(isa, rows->needs))
        rows++;
    return rows->loops;
}

#if defined(__x86_64__)
__attribute__((target("avx"))) static void empty_uppers(void)
{
    _mm256_zeroupper();
}

void isa_leave_vectors(void)
{
    if (__builtin_cpu_supports("avx"))
        empty_uppers();
}
#else
void isa_leave_vectors(void)
{
}
#endif
