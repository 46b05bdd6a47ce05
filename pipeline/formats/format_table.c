#include "formats/format.h"

/* clang-format off: a line a row */
extern const struct format format_safetensors, format_safetensors_shards, format_safetensors_single;
extern const struct format format_torch, format_torch_shards;
extern const struct format format_dcp, format_sharded;

/* The order is transformers', and more looks at the end. */
const struct format *const format_table[] = {
    &format_safetensors,
    &format_torch,
    &format_safetensors_shards,
    &format_torch_shards,
    &format_safetensors_single,
    &format_dcp,
    &format_sharded,
    NULL,
};
