/* Between size.c and its loops; nobody else includes it. */
#ifndef SINEW_SIZE_LOOPS_H
#define SINEW_SIZE_LOOPS_H

#include "kernels/size/size.h"

struct size_loops {
    void (*base_bf16)(struct size_lanes *lanes, const uint16_t *bits, int64_t n);
    void (*base_f32)(struct size_lanes *lanes, const uint32_t *bits, int64_t n);
    void (*changed_bf16)(struct size_lanes *lanes, const uint16_t *old_bits, const uint16_t *new_bits,
                         int64_t n);
    void (*changed_f32)(struct size_lanes *lanes, const uint32_t *old_bits, const uint32_t *new_bits,
                        int64_t n);
};

ISA_TABLES(struct size_loops, size);

/* Local. The reference; the vector loops give it what is not finite, and what is left at the end. */
void size_base_bf16_portable(struct size_lanes *lanes, const uint16_t *bits, int64_t n);
void size_base_f32_portable(struct size_lanes *lanes, const uint32_t *bits, int64_t n);
void size_changed_bf16_portable(struct size_lanes *lanes, const uint16_t *old_bits, const uint16_t *new_bits,
                                int64_t n);
void size_changed_f32_portable(struct size_lanes *lanes, const uint32_t *old_bits, const uint32_t *new_bits,
                               int64_t n);

#endif
