#include "formats/decoder.h"
#include "formats/decoders/fp8.h"
#include "formats/decoders/view.h"

const struct decoder *const decoder_table[] = {
    &decoder_fp8, &decoder_view, &decoder_join, &decoder_cast, NULL,
};
