/* Simulation: weights, bf16 optimiser steps and token logits from counter-based random numbers.
 *
 * Every number is a function of a key and an index, so any process can make any part of any tensor, and
 * nothing depends on how the work is divided. Only exactly rounded IEEE operations are used (no libm), so the
 * bits are the same on every machine.
 *
 * The rule, one for all families. Base weights are normal, of the size that trained language models have. A
 * tuned weight starts there and takes S steps w <- bf16(w + move * u_t),   rounded to nearest even, no
 * float32 master copy, so a step of less than half a unit in the last place is absorbed, and whether a weight
 * moves depends on its magnitude (arXiv:2602.03839). u_t has unit variance and four parts: what the loss asks
 * of every run on the family, what the algorithm adds, what the seed's data order adds, and what is new in
 * each step. move = step_size * coherent: a simulated step stands for `coherent` optimiser steps of the
 * algorithm's published step size that go one way, each moving a weight by at most about step_size as Adam's
 * do. Pure C: no MPI, no files, no allocation. */
#ifndef SINEW_SIMULATE_H
#define SINEW_SIMULATE_H

#include <stdint.h>

/* An algorithm as far as its steps go. */
struct simulate_algorithm {
    const char *name;
    double step_size; /* the learning rate of published runs */
    int coherent;     /* optimiser steps that one simulated step stands for */
    int on_policy;    /* fresh samples each step: more of each step is new, and the policy sharpens sooner */
};

/* Shares of the variance of u_t; their sum is 1. */
struct simulate_shares {
    double loss, algorithm, seed, step;
};

/* Local. All algorithms; *n of them. */
const struct simulate_algorithm *simulate_algorithms(int *n);

/* Local. By name; NULL where there is none. */
const struct simulate_algorithm *simulate_find(const char *name);

/* Local. Shares of an algorithm's direction. */
struct simulate_shares simulate_shares(const struct simulate_algorithm *a);

/* Local. The key of a named or numbered child of a key: keys of different paths are independent. */
uint64_t simulate_key(uint64_t parent, const char *word);
uint64_t simulate_key_number(uint64_t parent, int64_t number);

/* Local. Unit normal number `index` of a key's sequence: within +-4.6, symmetric, variance 1 within 2 %. */
float simulate_normal(uint64_t key, int64_t index);

/* How a tensor's weights are made and how they move. */
struct simulate_tensor {
    uint64_t base;        /* key of the base weights */
    float centre, spread; /* mean and standard deviation of the base weights */
    uint64_t loss, algorithm,
        seed; /* keys of the persistent directions; the steps' own key follows from seed */
    float part_loss, part_algorithm, part_seed, part_step; /* move * sqrt(share) */
    int64_t steps;                                         /* 0: the weights are the base's */
};

/* Local. Elements [first, first+n) of the base as bf16 bits; or before rounding, as float. */
void simulate_base_bf16(const struct simulate_tensor *t, int64_t first, int64_t n, uint16_t *out);
void simulate_base_f32(const struct simulate_tensor *t, int64_t first, int64_t n, float *out);

/* Local. The same elements after the steps: in bf16, each step rounded; or from the bf16 base with steps in
 * float32, as a run with float32 weights has them, where nothing is absorbed on the way. */
void simulate_tuned_bf16(const struct simulate_tensor *t, int64_t first, int64_t n, uint16_t *out);
void simulate_tuned_f32(const struct simulate_tensor *t, int64_t first, int64_t n, float *out);

/* Local. Token `row` of a policy's rollouts: vocabulary logits, and the token drawn from their softmax.
 * Entropies follow arXiv:2506.01939: 56 % of the tokens are nearly certain (below 0.01 nats), the 80th
 * percentile lies near 0.7 nats, the rest fork. sharpen >= 1 multiplies the gaps between candidates: 1 for a
 * base policy. vocabulary >= 8. */
void simulate_logits(uint64_t key, int64_t row, int64_t vocabulary, float sharpen, float *logits,
                     int64_t *token_id);

#endif
