/* A torch distributed checkpoint of one file beside its metadata. The input is the length of the metadata (4
 * bytes, little-endian), the metadata, and the file; of an odd size, the weights as the model has them. What
 * opens is read to its end: every piece lies in its file. */
#include "mutate.h"
#include "readlib.h"

enum { WIDTH = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[2] = {DISK "/dcp/.metadata", DISK "/dcp/__0_0.distcp"};
    static int files[2];
    struct fuzz f;
    struct checkpoint c;
    const struct choice choice = {.weights = size % 2 ? CHOICE_WEIGHTS_MODEL : CHOICE_WEIGHTS_MASTERS};
    if (size < WIDTH)
        return 0;
    struct fuzz_pair in = fuzz_pair_by_length(data, size, WIDTH);
    for (int i = 0; i < 2; i++) {
        files[i] = files[i] ? files[i] : disk_file(paths[i]);
        disk_write(files[i], in.data[i], in.size[i]);
    }
    fuzz_begin(&f);
    err_t code = fuzz_open(&f, &c, "torch distributed checkpoint", paths[0], &choice);
    if (code == ERR_OK)
        fuzz_read_ends(&c);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {0, WIDTH, {mutate_pickle, mutate_in_place}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
