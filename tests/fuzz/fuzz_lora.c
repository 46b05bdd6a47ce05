/* An adapter on a base (formats/lora). The input is its adapter_config.json; behind a NUL byte, which no such
 * file has, adapter_model.safetensors follows. What it makes of the base is read in full, merged and exactly;
 * by libFuzzer one of the two, as the length says, for the two differ little. */
#include "mutate.h"
#include "readlib.h"

enum { AT_ONCE = 13 };

static const char base_header[] =
    "{\"model.embed_tokens.weight\":{\"dtype\":\"BF16\",\"shape\":[5,4],\"data_offsets\":[0,40]},"
    "\"model.layers.0.q_proj.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[40,88]},"
    "\"model.layers.0.q_proj.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[88,100]},"
    "\"model.layers.0.mlp.experts.gate_up_proj\":{\"dtype\":\"BF16\",\"shape\":[2,2,4],\"data_offsets\":[100,132]},"
    "\"model.layers.0.mlp.experts.down_proj\":{\"dtype\":\"BF16\",\"shape\":[2,4,1],\"data_offsets\":[132,148]},"
    "\"model.layers.1.mlp.experts.0.gate_proj.weight\":{\"dtype\":\"F16\",\"shape\":[1,4],\"data_offsets\":[148,156]},"
    "\"model.layers.1.mlp.experts.0.up_proj.weight\":{\"dtype\":\"F16\",\"shape\":[1,4],\"data_offsets\":[156,164]}}";

enum { BASE_BYTES = 164 };

static const char base_dir[] = DISK "/base", tuned_dir[] = DISK "/tuned";
static unsigned char base[8 + sizeof base_header - 1 + BASE_BYTES];
static int files[2]; /* the config, the adapter */

static void make_files(void)
{
    size_t n = sizeof base_header - 1;
    base[0] = (unsigned char)(n & 255);
    base[1] = (unsigned char)(n >> 8);
    memcpy(base + 8, base_header, n);
    for (int i = 0; i < BASE_BYTES; i++)
        base[8 + n + (size_t)i] = (unsigned char)(i % 7 == 3 ? 0x3f : i);
    disk_write(disk_file(DISK "/base/model.safetensors"), base, sizeof base);
    files[0] = disk_file(DISK "/tuned/adapter_config.json");
    files[1] = disk_file(DISK "/tuned/adapter_model.safetensors");
}

static void open_as(enum choice_adapter adapter)
{
    struct fuzz f;
    struct checkpoint c;
    const struct choice choice = {.adapter = adapter, .base = base_dir};
    fuzz_begin(&f);
    err_t code = checkpoint_open(&c, tuned_dir, &choice, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < c.ntensors && f.err.code == ERR_OK; i++) {
        FUZZ_CHECK(checkpoint_find(&c, c.tensors[i].name) == &c.tensors[i]);
        const struct stored_tensor *change = decoder_change(&c.tensors[i]);
        fuzz_read_numbers(&f, &c, &c.tensors[i], AT_ONCE);
        if (change && f.err.code == ERR_OK)
            fuzz_read_numbers(&f, &c, change, AT_ONCE);
    }
    checkpoint_close(&c);
    fuzz_end(&f, f.err.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!files[0])
        make_files();
    struct fuzz_pair in = fuzz_pair_by_nul(data, size);
    for (int i = 0; i < 2; i++)
        disk_write(files[i], in.data[i], in.size[i]);
#ifdef SINEW_FUZZ
    open_as(size % 2 ? CHOICE_ADAPTER_MERGED : CHOICE_ADAPTER_EXACT);
#else
    open_as(CHOICE_ADAPTER_MERGED);
    open_as(CHOICE_ADAPTER_EXACT);
#endif
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static const struct mutate_way way = {0, 0, {mutate_blindly, mutate_safetensors}};
    return mutate_pair(data, size, max, seed, &way);
}
#endif
