/* Which elements of a vector a mask chooses, for the loops of sets without an instruction that packs them. */
#include "elements/bits/bits_loops.h"

/* The place of bit number k of those set in an 8-bit mask; 8 where there are fewer. */
#define UP_TO(mask, k, bit) (__builtin_popcount((mask) & ((2 << (bit)) - 1)) <= (k))
#define PLACE(mask, k)                                                                                   \
    (UP_TO(mask, k, 0) + UP_TO(mask, k, 1) + UP_TO(mask, k, 2) + UP_TO(mask, k, 3) + UP_TO(mask, k, 4) + \
     UP_TO(mask, k, 5) + UP_TO(mask, k, 6) + UP_TO(mask, k, 7))
#define PLACES(mask)                                                                                    \
    {                                                                                                   \
        PLACE(mask, 0), PLACE(mask, 1), PLACE(mask, 2), PLACE(mask, 3), PLACE(mask, 4), PLACE(mask, 5), \
            PLACE(mask, 6), PLACE(mask, 7)                                                              \
    }
#define FOUR(row, mask) row(mask), row((mask) + 1), row((mask) + 2), row((mask) + 3)
#define SIXTEEN(row, mask) \
    FOUR(row, mask), FOUR(row, (mask) + 4), FOUR(row, (mask) + 8), FOUR(row, (mask) + 12)
#define ALL(row)                                                                                            \
    SIXTEEN(row, 0x00), SIXTEEN(row, 0x10), SIXTEEN(row, 0x20), SIXTEEN(row, 0x30), SIXTEEN(row, 0x40),     \
        SIXTEEN(row, 0x50), SIXTEEN(row, 0x60), SIXTEEN(row, 0x70), SIXTEEN(row, 0x80), SIXTEEN(row, 0x90), \
        SIXTEEN(row, 0xa0), SIXTEEN(row, 0xb0), SIXTEEN(row, 0xc0), SIXTEEN(row, 0xd0), SIXTEEN(row, 0xe0), \
        SIXTEEN(row, 0xf0)

const uint8_t bits_places[256][8] = {ALL(PLACES)};
