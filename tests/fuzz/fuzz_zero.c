/* A DeepSpeed folder (zero.h) of one rank: the input is the pickle of its model states, then that of its
 * optimiser states, in archives that are in order, so that what is said of shapes, groups and paddings is
 * reached. Its first byte: 1 for stage 3, 2 for the model's weights, 4 for a universal checkpoint, whose
 * masters the second pickle is then; its next two: how long the first pickle is. Then every tensor is read.
 */
#include "mutate.h"
#include "readlib.h"

enum { WIDTH = 2, SHARDED = 1, MODEL = 2, UNIVERSAL = 4, FOLDERS = 4 };

/* The model's states, and what the second pickle is. */
static const char *const paths[FOLDERS][3] = {
    {DISK "/0/mp_rank_00_model_states.pt", DISK "/0/zero_pp_rank_0_mp_rank_00_optim_states.pt"},
    {DISK "/1/zero_pp_rank_0_mp_rank_00_model_states.pt",
     DISK "/1/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"},
    {DISK "/2/mp_rank_00_model_states.pt", DISK "/2/zero/a/fp32.pt", DISK "/2/zero/b/fp32.pt"},
    {DISK "/3/zero_pp_rank_0_mp_rank_00_model_states.pt", DISK "/3/zero/a/fp32.pt",
     DISK "/3/zero/b/fp32.pt"}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int files[FOLDERS][3];
    struct fuzz f;
    struct checkpoint c = {0};
    struct choice choice = {.weights = CHOICE_WEIGHTS_MASTERS};
    for (int i = 0; i < FOLDERS && !files[FOLDERS - 1][0]; i++)
        for (int k = 0; k < 3 && paths[i][k]; k++)
            files[i][k] = disk_file(paths[i][k]);
    if (size < 1 + WIDTH)
        return 0;
    struct fuzz_pair in = fuzz_pair_by_length(data + 1, size - 1, WIDTH);
    if (data[0] & MODEL)
        choice.weights = CHOICE_WEIGHTS_MODEL;
    int which = (data[0] & SHARDED) + (data[0] & UNIVERSAL ? 2 : 0);
    fuzz_begin(&f);
    for (int k = 0; k < 3 && paths[which][k]; k++)
        fuzz_write_archive(&f, files[which][k], in.data[k > 0], in.size[k > 0]);
    err_t code = fuzz_open(&f, &c, "deepspeed", paths[which][0], &choice);
    if (code == ERR_OK)
        fuzz_read_ends(&c);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {1, WIDTH, {mutate_pickle, mutate_pickle}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
