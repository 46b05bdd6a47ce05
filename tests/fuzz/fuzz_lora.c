/* An adapter on a base (formats/lora). The input is its adapter_config.json; behind a NUL byte, which no such
 * file has, adapter_model.safetensors follows. What it makes of the base is read in full, merged and exactly.
 */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

#include <sys/stat.h>

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

static char base_dir[128], tuned_dir[128];
static int fds[3]; /* the base, the config, the adapter */

static void remove_folders(void)
{
    fuzz_unlink(base_dir, "model.safetensors");
    fuzz_unlink(tuned_dir, "adapter_config.json");
    fuzz_unlink(tuned_dir, "adapter_model.safetensors");
    rmdir(base_dir);
    rmdir(tuned_dir);
}

static void make_folders(void)
{
    unsigned char bytes[8 + sizeof base_header - 1 + BASE_BYTES] = {0};
    size_t n = sizeof base_header - 1;
    bytes[0] = (unsigned char)(n & 255);
    bytes[1] = (unsigned char)(n >> 8);
    memcpy(bytes + 8, base_header, n);
    for (int i = 0; i < BASE_BYTES; i++)
        bytes[8 + n + (size_t)i] = (unsigned char)(i % 7 == 3 ? 0x3f : i);
    fuzz_folder(base_dir, sizeof base_dir);
    fuzz_folder(tuned_dir, sizeof tuned_dir);
    for (int i = 0; i < 3; i++)
        fds[i] = fuzz_memory_file();
    fuzz_link(fds[0], base_dir, "model.safetensors");
    fuzz_link(fds[1], tuned_dir, "adapter_config.json");
    fuzz_link(fds[2], tuned_dir, "adapter_model.safetensors");
    fuzz_write(fds[0], bytes, sizeof bytes);
    atexit(remove_folders);
}

/* All numbers of a tensor, and of what was added to it. */
static void read_all(struct fuzz *f, struct checkpoint *c, const struct stored_tensor *t)
{
    char out[AT_ONCE * 8], *v;
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, AT_ONCE), .most = AT_ONCE};
    if (!decoder_is_number(t) || (t->decoding && t->decoding->problem) ||
        arena_array(&f->arena, "fuzz", s.bytes, &v, &f->err) != ERR_OK)
        return;
    s.v = v;
    for (int64_t i = 0, n; i < t->elements && f->err.code == ERR_OK; i += n) {
        n = t->elements - i < AT_ONCE ? t->elements - i : AT_ONCE;
        checkpoint_numbers(c, t, i, n, &s, out, &f->err);
    }
    arena_drop(&f->arena, v);
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
        read_all(&f, &c, &c.tensors[i]);
        if (change)
            read_all(&f, &c, change);
    }
    checkpoint_close(&c);
    fuzz_end(&f, f.err.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!base_dir[0])
        make_folders();
    const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size;
    fuzz_write(fds[1], data, n);
    fuzz_write(fds[2], end ? end + 1 : data, end ? size - n - 1 : 0);
    open_as(CHOICE_ADAPTER_MERGED);
    open_as(CHOICE_ADAPTER_EXACT);
    return 0;
}
