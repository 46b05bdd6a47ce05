#include "formats/format.h"

/* A line a row. */
/* clang-format off */
extern const struct format format_safetensors, format_safetensors_shards, format_safetensors_single;
extern const struct format format_torch, format_torch_shards;
extern const struct format format_lora, format_lora_below;
extern const struct format format_dcp, format_sharded;
extern const struct format format_zero;
extern const struct format format_fsdp;

/* The order is transformers', an adapter's own folder, and more looks behind. An adapter in a folder below is
 * the last: where there are weights beside it, they are meant. */
const struct format *const format_table[] = {
    &format_safetensors,
    &format_torch,
    &format_safetensors_shards,
    &format_torch_shards,
    &format_lora,
    &format_safetensors_single,
    &format_dcp,
    &format_sharded,
    &format_zero,
    &format_fsdp,
    &format_lora_below,
    NULL,
};
