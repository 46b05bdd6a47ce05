#include "formats/format.h"

extern const struct format format_safetensors, format_torch, format_safetensors_single, format_dcp,
    format_sharded;

/* The order is transformers', and one more look at the end. */
const struct format *const format_table[] = {
    &format_safetensors, &format_torch, &format_safetensors_single, &format_dcp, &format_sharded, NULL,
};
