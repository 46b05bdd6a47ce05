/* Instruction sets: which inner loops this processor can run. The portable ones are the reference; the others
 * give the same bits.
 *
 * The loops X of a room or kernel are files of one pattern. X_loops.h says what they do, as a struct of
 * functions, and declares a const table of them for each set (ISA_TABLES). X_portable.c holds the reference,
 * X_avx2.c, X_avx512.c and X_neon.c what the sets do better, where there is such a file; each fills its
 * table, and what vectors leave over it hands to the portable loop, by that one's own name. X.c has a list of
 * rows (ISA_ROW_...), the best first, and takes the first for which what is usable suffices. Loops for one
 * more set are one more file, which is empty where the compiler makes code for another architecture, and one
 * row of the list. */
#ifndef SINEW_ISA_H
#define SINEW_ISA_H

#include <stddef.h>

/* Sets as bits: a value of this type stands for any number of them. AVX2 means FMA, BMI, BMI2, POPCNT, LZCNT
 * and F16C too (Haswell, Zen and later); AVX-512 means F, BW, DQ, VL, CD, VBMI, VBMI2, BITALG, VPOPCNTDQ and
 * GFNI (Ice Lake, Zen 4 and later). NEON is what every 64-bit ARM has. */
enum isa {
    ISA_PORTABLE = 0, /* plain C needs none */
    ISA_AVX2 = 1 << 0,
    ISA_AVX512 = 1 << 1,
    ISA_NEON = 1 << 2,
    ISA_ELSEWHERE = 1 << 30 /* no processor has it: needed by the rows that are for another architecture */
};

/* Local. What this processor has and the environment variable SINEW_ISA (portable, avx2, avx512; on ARM
 * portable, neon) allows: that word's sets and those of the words before it; any other word allows all. */
enum isa isa_usable(void);

/* Local. The last word of SINEW_ISA all of whose sets are among these. */
const char *isa_name(enum isa isa);

/* Local. Choice i = 0, 1, ... of what SINEW_ISA can leave of isa_usable's sets, the first ISA_PORTABLE: so
 * every table of loops that can run here is chosen once. Returns 0 where there are no more. */
int isa_choice(int i, enum isa *isa);

/* Local. To be called after a library's loops that may leave the upper halves of the vector registers in use:
 * every loop in SSE code that follows, ours or a library's, would run at less than half its speed. Compilers
 * see to it for what they compile. */
void isa_leave_vectors(void);

/* Declares the tables of the loops X, each a const `type`, for all sets; those of no file are never used. */
#define ISA_TABLES(type, x) extern const type x##_portable, x##_avx2, x##_avx512, x##_neon

/* A row of a list of such tables: one of them, and the sets it needs. */
struct isa_row {
    enum isa needs;
    const void *loops;
};

/* Local. The table of the first row for which these sets suffice; the last row is the portable one. */
const void *isa_choose(const struct isa_row *rows, enum isa isa);

#define ISA_ROW(set, table) \
    {                       \
        set, &(table)       \
    }
#define ISA_ROW_NONE        \
    {                       \
        ISA_ELSEWHERE, NULL \
    }
#define ISA_ROW_PORTABLE(table) ISA_ROW(ISA_PORTABLE, table)

#if defined(__x86_64__)
#define ISA_ROW_AVX2(table) ISA_ROW(ISA_AVX2, table)
#define ISA_ROW_AVX512(table) ISA_ROW(ISA_AVX512, table)

/* What a function that needs a set begins with, and one that must be part of its caller. */
#define AVX2 __attribute__((target("avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt")))
#define AVX512                                                                                               \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi,avx512vbmi2,avx512bitalg," \
                          "avx512vpopcntdq,gfni,avx2,fma,f16c,bmi,bmi2,popcnt,lzcnt")))
#define AVX2_INLINE AVX2 static inline __attribute__((always_inline))
#define AVX512_INLINE AVX512 static inline __attribute__((always_inline))
#else
#define ISA_ROW_AVX2(table) ISA_ROW_NONE
#define ISA_ROW_AVX512(table) ISA_ROW_NONE
#endif

#if defined(__aarch64__)
#define ISA_ROW_NEON(table) ISA_ROW(ISA_NEON, table)
#else
#define ISA_ROW_NEON(table) ISA_ROW_NONE
#endif

#endif
