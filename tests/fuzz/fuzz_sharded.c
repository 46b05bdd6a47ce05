/* Two shards of a distributed checkpoint in safetensors files (dcp/sharded.c). The input is the length of the
 * first (4 bytes, little-endian), the first, and the second. */
#include "mutate.h"
#include "readlib.h"

enum { WIDTH = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[2] = {DISK "/dcp/shard-00001-model-00001-of-00001.safetensors",
                                         DISK "/dcp/shard-00002-model-00001-of-00001.safetensors"};
    static int files[2];
    struct fuzz f;
    struct checkpoint c;
    static const struct choice choice;
    if (size < WIDTH)
        return 0;
    struct fuzz_pair in = fuzz_pair_by_length(data, size, WIDTH);
    for (int i = 0; i < 2; i++) {
        files[i] = files[i] ? files[i] : disk_file(paths[i]);
        disk_write(files[i], in.data[i], in.size[i]);
    }
    fuzz_begin(&f);
    err_t code = fuzz_open(&f, &c, "safetensors shards of a distributed checkpoint", paths[0], &choice);
    if (code == ERR_OK)
        fuzz_read_ends(&c);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {0, WIDTH, {mutate_safetensors, mutate_safetensors}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
