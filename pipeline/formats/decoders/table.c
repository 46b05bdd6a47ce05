#include "formats/decoder.h"
#include "formats/decoders/scaled.h"
#include "formats/decoders/turned.h"
#include "formats/decoders/view.h"

const struct decoder *const decoder_table[] = {
    &decoder_scaled, &decoder_turned, &decoder_view, &decoder_join, &decoder_cast, NULL,
};
