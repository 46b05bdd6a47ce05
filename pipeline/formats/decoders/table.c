#include "formats/decoder.h"
#include "formats/decoders/lora.h"
#include "formats/decoders/merge.h"
#include "formats/decoders/scaled.h"
#include "formats/decoders/turned.h"
#include "formats/decoders/view.h"

const struct decoder *const decoder_table[] = {
    &decoder_scaled, &decoder_turned, &decoder_view,  &decoder_join,
    &decoder_cast,   &decoder_lora,   &decoder_merge, NULL,
};
