#include "base/isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* LZCNT and F16C, which not every compiler's __builtin_cpu_supports knows: bit 5 of ECX in leaf 0x80000001 of
 * CPUID, and bit 29 of ECX in leaf 1 (AMD and Intel manuals, CPUID). */
static int has_lzcnt_and_f16c(void)
{
    unsigned a, b, c = 0, d, more = 0;
    return __get_cpuid(1, &a, &b, &c, &d) && __get_cpuid(0x80000001, &a, &b, &more, &d) && (c >> 29 & 1) &&
           (more >> 5 & 1);
}
#endif

static const char *const names[] = {"portable", "avx2", "avx512"};

const char *isa_name(enum isa isa)
{
    return names[isa];
}

static enum isa of_this_processor(void)
{
    enum isa best = ISA_PORTABLE;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && has_lzcnt_and_f16c())
        best = ISA_AVX2;
    if (best == ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bitalg") &&
        __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("gfni"))
        best = ISA_AVX512;
#endif
    return best;
}

enum isa isa_best(void)
{
    static _Atomic int known = -1; /* asked once: a virtual machine is left and entered anew at each CPUID */
    if (known < 0)
        known = (int)of_this_processor();
    const enum isa best = (enum isa)known;
    const char *wanted = getenv("SINEW_ISA");
    for (int i = 0; wanted && i < (int)best; i++)
        if (strcmp(wanted, names[i]) == 0)
            return (enum isa)i;
    return best;
}
