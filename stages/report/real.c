#include "report/real.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DIGITS = 17,      /* that tell every double from its neighbours */
    LEAST_DIGITS = 15 /* of which every text survives being a double */
};
static const double QUICK_LEAST = 0x1p-36, QUICK_MOST = 1e15;

/* x = mantissa 2^exponent, held as an integer of 17 digits and what is left of it: x 10^power =
 * mantissa 5^power / 2^shift exactly, which 128 bits hold for all powers from 0 to 27. */
struct real_scaled {
    unsigned __int128 value; /* mantissa 5^power */
    uint64_t mantissa, five; /* 5^power */
    int power, shift;
    uint64_t whole; /* value / 2^shift: of 17 digits */
    int more;       /* is there a rest? */
};

static uint64_t fives(int power)
{
    uint64_t five = 1;
    for (int i = 0; i < power; i++)
        five *= 5;
    return five;
}

/* x: within the quick range, positive. */
static struct real_scaled scale(double x)
{
    static const uint64_t least = 10000000000000000; /* 10^16 */
    int exponent;
    struct real_scaled s = {.mantissa = (uint64_t)ldexp(frexp(x, &exponent), 53)};
    exponent -= 53;
    s.power = DIGITS - 1 - (int)floor((exponent + 52) * 0.30102999566398120); /* or one too many */
    for (;; s.power--) {
        s.five = fives(s.power);
        s.value = (unsigned __int128)s.mantissa * s.five;
        s.shift = -(exponent + s.power);
        s.whole = (uint64_t)(s.value >> s.shift);
        if (s.whole < 10 * least)
            break;
    }
    s.more = s.value != (unsigned __int128)s.whole << s.shift;
    return s;
}

/* The nearest integer to whole / unit and its rest, to even in the middle. */
static uint64_t rounded(const struct real_scaled *s, uint64_t unit)
{
    uint64_t n = s->whole / unit, rest = s->whole % unit, half = unit / 2;
    if (unit == 1) {
        unsigned __int128 left = s->value - ((unsigned __int128)s->whole << s->shift),
                          middle = (unsigned __int128)1 << (s->shift - 1);
        return n + (left > middle || (left == middle && n % 2));
    }
    return n + (rest > half || (rest == half && (s->more || n % 2)));
}

/* Is x the double nearest to n unit / 10^power? Half the distance to the next one is 5^power / 2 in units of
 * value, half of that below a power of two; in the middle an even mantissa is taken. */
static int reads_back(const struct real_scaled *s, uint64_t n, uint64_t unit)
{
    unsigned __int128 text = (unsigned __int128)n * unit << s->shift;
    int below = text < s->value, edge = below && s->mantissa == (uint64_t)1 << 52;
    unsigned __int128 twice = (below ? s->value - text : text - s->value) << (edge ? 2 : 1);
    return twice < s->five || (twice == s->five && s->mantissa % 2 == 0);
}

/* Writes the value n / 10^places as %g does for numbers below 1e15, without the zeros at its end. */
static int write_digits(uint64_t n, int places, char *text)
{
    char digits[24]; /* from the last on */
    int at = 0, count = 0, exponent;
    for (; n % 10 == 0; places--)
        n /= 10;
    for (; n > 0; n /= 10)
        digits[count++] = (char)('0' + n % 10);
    exponent = count - 1 - places;
    if (exponent < -4) {
        for (int i = count - 1; i >= 0; i--) {
            text[at++] = digits[i];
            if (i == count - 1 && i > 0)
                text[at++] = '.';
        }
        text[at++] = 'e';
        text[at++] = '-';
        text[at++] = (char)('0' - exponent / 10);
        text[at++] = (char)('0' - exponent % 10);
        return at;
    }
    if (exponent < 0)
        text[at++] = '0';
    for (int i = exponent < 0 ? -1 : exponent; i >= -places || i >= 0; i--) { /* the digit of 10^i */
        int k = i + places;
        if (i == -1)
            text[at++] = '.';
        text[at++] = k >= 0 && k < count ? digits[k] : '0';
    }
    return at;
}

static int write_quick(double x, char *text)
{
    const struct real_scaled s = scale(x);
    uint64_t unit = 100;
    int places = s.power - (DIGITS - LEAST_DIGITS);
    for (; unit > 1; unit /= 10, places++) {
        uint64_t n = rounded(&s, unit);
        if (reads_back(&s, n, unit))
            return write_digits(n, places, text);
    }
    return write_digits(rounded(&s, 1), places, text);
}

static int write_any(double x, char text[REAL_TEXT])
{
    static const char *const shorter[] = {"%.15g", "%.16g", "%.17g"};
    int n = 0;
    for (int i = 0; i < 3; i++) {
        n = strfromd(text, REAL_TEXT, shorter[i], x); /* a printf that knows nothing but reals */
        if (strtod(text, NULL) == x)
            break;
    }
    return n;
}

int real_exact(double x, char text[REAL_TEXT])
{
    const double size = fabs(x);
    const char *word = isnan(x) ? "nan" : isinf(x) ? x > 0 ? "inf" : "-inf" : NULL;
    int n = 0;
    if (word)
        return snprintf(text, REAL_TEXT, "%s", word);
    if (!(size >= QUICK_LEAST && size < QUICK_MOST))
        return write_any(x, text);
    if (x < 0)
        text[n++] = '-';
    n += write_quick(size, text + n);
    text[n] = '\0';
    return n;
}
