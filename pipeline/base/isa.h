/* Instruction sets: which inner loops this processor can run. The portable ones are the reference; the others
 * give the same bits. */
#ifndef SINEW_ISA_H
#define SINEW_ISA_H

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512 };

/* Local. The best this processor has and the environment variable SINEW_ISA (portable, avx2, avx512) allows.
 * AVX2 means FMA, BMI, BMI2, POPCNT, LZCNT and F16C too (Haswell, Zen and later); AVX-512 means F, BW, DQ,
 * VL, CD, VBMI, VBMI2, BITALG, VPOPCNTDQ and GFNI (Ice Lake, Zen 4 and later). */
enum isa isa_best(void);

/* What a function that needs one of them is compiled for. */
#define ISA_AVX2_TARGET "avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt"
#define ISA_AVX512_TARGET                                                                                   \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi,avx512vbmi2,avx512bitalg,avx512vpopcntdq,gfni," \
    "avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt"

/* Local. "portable", "avx2", "avx512". */
const char *isa_name(enum isa isa);

#endif
