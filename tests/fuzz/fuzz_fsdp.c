/* The shards of one or two ranks (torch/fsdp.h, torch/shard.h). The input is a byte: 1 for two ranks, 2 for
 * the weights as the model has them; the length of the data.pkl of rank 0 (2 bytes, little-endian), that, and
 * the one of rank 1, which where it is empty has rank 0's; in archives that are in order. Then every tensor
 * is read. */
#include "mutate.h"
#include "readlib.h"

enum { WIDTH = 2, BOTH = 1, MODEL = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[3] = {DISK "/one/model_world_size_1_rank_0.pt",
                                         DISK "/two/model_world_size_2_rank_0.pt",
                                         DISK "/two/model_world_size_2_rank_1.pt"};
    static int files[3];
    struct fuzz f;
    struct checkpoint c;
    if (size < 1 + WIDTH)
        return 0;
    for (int i = 0; i < 3; i++)
        files[i] = files[i] ? files[i] : disk_file(paths[i]);
    struct fuzz_pair in = fuzz_pair_by_length(data + 1, size - 1, WIDTH);
    int both = data[0] & BOTH, second = in.size[1] > 0;
    struct choice choice = {.weights = data[0] & MODEL ? CHOICE_WEIGHTS_MODEL : CHOICE_WEIGHTS_MASTERS};
    fuzz_begin(&f);
    fuzz_write_archive(&f, files[both], in.data[0], in.size[0]);
    if (both)
        fuzz_write_archive(&f, files[2], in.data[second], in.size[second]);
    err_t code = fuzz_open(&f, &c, "fsdp", paths[both], &choice);
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
