/* Real: a double as the shortest text that reads back as the same double. A table of many thousand rows is
 * little else. */
#ifndef SINEW_REPORT_REAL_H
#define SINEW_REPORT_REAL_H

enum { REAL_TEXT = 40 }; /* bytes of a text, its end included */

/* Local, pure. The first of %.15g, %.16g and %.17g that strtod reads as x, or nan, inf, -inf. Whole numbers
 * below 1e15 have no exponent. Returns the text's length. The same as printf would give, to the letter, in a
 * seventh of the time where 2^-36 <= |x| < 1e15. */
int real_exact(double x, char text[REAL_TEXT]);

#endif
