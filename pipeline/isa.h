/* Instruction sets: which inner loops this processor can run. The portable ones are the reference; the others
 * give the same bits. */
#ifndef SINEW_ISA_H
#define SINEW_ISA_H

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512 };

/* Local. The best this processor has and the environment variable SINEW_ISA (portable, avx2, avx512) allows.
 * AVX-512 means F, BW, DQ, VL, CD and VBMI2 (Ice Lake, Zen 4 and later). */
enum isa isa_best(void);

/* Local. "portable", "avx2", "avx512". */
const char *isa_name(enum isa isa);

#endif
