/* The shards of one or two ranks (torch/fsdp.h, torch/shard.h). The input is a byte that says how many, and
 * the data.pkl of rank 0, in an archive that is in order; rank 1 has the same, or what stands behind a first
 * STOP and "\0". Then every tensor is read. */
#include "readlib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const dirs[2] = {DISK "/one", DISK "/two"};
    static int one, two[2];
    struct fuzz f;
    struct checkpoint c;
    if (!one) {
        one = disk_file(DISK "/one/model_world_size_1_rank_0.pt");
        two[0] = disk_file(DISK "/two/model_world_size_2_rank_0.pt");
        two[1] = disk_file(DISK "/two/model_world_size_2_rank_1.pt");
    }
    if (size < 1)
        return 0;
    int both = data[0] & 1;
    const uint8_t *pickle = data + 1, *second = size > 1 ? memmem(pickle, size - 1, ".\0", 2) : NULL;
    size_t n = second ? (size_t)(second + 1 - pickle) : size - 1;
    fuzz_begin(&f);
    fuzz_write_archive(&f, both ? two[0] : one, pickle, n);
    if (both && second)
        fuzz_write_archive(&f, two[1], second + 2, size - 1 - n - 1);
    else if (both)
        fuzz_write_archive(&f, two[1], pickle, n);
    err_t code = checkpoint_open(&c, dirs[both], NULL, &f.arena, &f.err);
    if (code == ERR_OK)
        fuzz_read_ends(&c);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
