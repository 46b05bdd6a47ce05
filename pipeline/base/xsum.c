#include "base/xsum.h"

#include <math.h>
#include <string.h>

enum { WEIGHT_0 = -1074 };

void xsum_add(struct xsum *s, double x)
{
    const uint64_t hidden = (uint64_t)1 << 52;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int biased = (int)(bits >> 52 & 0x7ff), at = biased > 0 ? biased - 1 : 0;
    uint64_t mant = (bits & (hidden - 1)) | (biased > 0 ? hidden : 0); /* |x| = mant * 2^(at+WEIGHT_0) */
    unsigned __int128 wide = (unsigned __int128)mant << at % 32;       /* at most 84 bits: three limbs */
    int64_t *limb = s->limb + at / 32, sign = bits >> 63 ? -1 : 1;
    limb[0] += sign * (int64_t)((uint64_t)wide & 0xffffffff);
    limb[1] += sign * (int64_t)((uint64_t)wide >> 32);
    limb[2] += sign * (int64_t)(wide >> 64);
    if (++s->adds >= (int64_t)1 << 29)
        xsum_normalise(s);
}

/* Adds sign * mant * n * 2^(32 * (limb - s->limb) + shift), shift below 32: at most 116 bits, four limbs. */
static void add_product(int64_t *limb, int64_t sign, uint64_t mant, uint32_t n, int shift)
{
    unsigned __int128 wide = (unsigned __int128)mant * n << shift;
    for (int i = 0; i < 4; i++, wide >>= 32)
        limb[i] += sign * (int64_t)((uint64_t)wide & 0xffffffff);
}

void xsum_add_times(struct xsum *s, double x, int64_t n)
{
    const uint64_t hidden = (uint64_t)1 << 52;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int biased = (int)(bits >> 52 & 0x7ff), at = biased > 0 ? biased - 1 : 0;
    uint64_t mant = (bits & (hidden - 1)) | (biased > 0 ? hidden : 0);
    int64_t *limb = s->limb + at / 32, sign = bits >> 63 ? -1 : 1;
    add_product(limb, sign, mant, (uint32_t)n, at % 32);
    add_product(limb + 1, sign, mant, (uint32_t)(n >> 32), at % 32);
    s->adds += 2; /* a limb may have received both */
    if (s->adds >= (int64_t)1 << 29)
        xsum_normalise(s);
}

void xsum_add_sum(struct xsum *dst, const struct xsum *src)
{
    for (int i = 0; i < XSUM_LIMBS; i++)
        dst->limb[i] += src->limb[i];
    dst->adds += src->adds + 1;
    if (dst->adds >= (int64_t)1 << 29)
        xsum_normalise(dst);
}

void xsum_normalise(struct xsum *s)
{
    int64_t carry = 0;
    for (int i = 0; i < XSUM_LIMBS - 1; i++) {
        int64_t v = s->limb[i] + carry;
        carry = v / 4294967296;
        s->limb[i] = v % 4294967296;
    }
    s->limb[XSUM_LIMBS - 1] += carry;
    s->adds = 0;
}

double xsum_value(const struct xsum *s)
{
    struct xsum t = *s;
    /* Canonical form (non-negative limbs below 2^32, sign in the top limb), so that the value is a function
     * of the sum alone. */
    int64_t carry = 0;
    for (int i = 0; i < XSUM_LIMBS - 1; i++) {
        int64_t v = t.limb[i] + carry;
        carry = v >> 32;
        t.limb[i] = v & 0xffffffff;
    }
    t.limb[XSUM_LIMBS - 1] += carry;
    int negative = t.limb[XSUM_LIMBS - 1] < 0;
    if (negative) {
        carry = 0;
        for (int i = 0; i < XSUM_LIMBS; i++) {
            int64_t v = -t.limb[i] + carry;
            if (i < XSUM_LIMBS - 1) {
                carry = v >> 32;
                v &= 0xffffffff;
            }
            t.limb[i] = v;
        }
    }
    int top = XSUM_LIMBS - 1;
    while (top >= 0 && t.limb[top] == 0)
        top--;
    if (top < 0)
        return 0;
    /* The top limbs as one 128-bit integer with a sticky bit for the rest, rounded once by the conversion. */
    unsigned __int128 head = 0;
    int used = 0, i = top;
    for (; i >= 0 && used < 3; i--, used++)
        head = (head << 32) | (uint64_t)t.limb[i];
    int sticky = 0;
    for (int j = i; j >= 0; j--)
        sticky |= t.limb[j] != 0;
    double v = ldexp((double)(head << 1 | (unsigned)sticky), WEIGHT_0 + 32 * (i + 1) - 1);
    return negative ? -v : v;
}
