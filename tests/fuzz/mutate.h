/* Mutators for libFuzzer that know what they change: a pickle operation by operation, a .safetensors file
 * whose lengths are right again afterwards, one of the two parts of an input without a shift of the other.
 * Bytes that are changed blindly seldom come past a length. A share of all changes is blind nevertheless, so
 * that nothing is out of reach.
 *
 * A target that wants one defines LLVMFuzzerCustomMutator by it, with SINEW_FUZZ alone: it is libFuzzer that
 * calls. */
#ifndef SINEW_FUZZ_MUTATE_H
#define SINEW_FUZZ_MUTATE_H

#include "fuzzlib.h"

/* Changes data in place, at most `max` bytes, and returns its new size; *dice is what chance it has. */
typedef size_t mutator(uint8_t *data, size_t size, size_t max, uint32_t *dice);

mutator mutate_blindly, mutate_in_place, mutate_pickle, mutate_safetensors;

/* How an input of two parts is made: bytes in front, then the first's length in `width` bytes and both, or
 * with 0 the first, a NUL byte and the second, which may be missing with its NUL. */
struct mutate_way {
    size_t head;
    int width;
    mutator *parts[2];
};
size_t mutate_pair(uint8_t *data, size_t size, size_t max, unsigned seed, const struct mutate_way *way);

/* libFuzzer's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* A number below n > 0. */
uint32_t mutate_below(uint32_t *dice, uint32_t n);

#endif
