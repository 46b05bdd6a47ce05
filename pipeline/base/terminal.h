/* Terminal: what is shown to who sits before one: a live line at the bottom of stderr, and colours.
 *
 * A live line is drawn where stderr is a terminal that can be written over (not TERM=dumb), by one process,
 * and wiped before any other line is printed. Where stderr is a file or a pipe, as under mpirun, there is
 * none, and no control character is ever written. */
#ifndef SINEW_TERMINAL_H
#define SINEW_TERMINAL_H

#include <stdio.h>

struct terminal {
    FILE *stream;
    int live;  /* there is a live line */
    int shown; /* it stands there now */
    double drawn_sec;
};

/* Local. speak: true on the process that may draw. */
void terminal_init(struct terminal *t, FILE *stream, int speak);

/* Local. Draws the text, which is one line, cut to the width that the terminal has now; some times a second
 * at most, what comes between is left out. */
void terminal_draw(struct terminal *t, const char *text);

/* Local. Wipes the line. t: NULL for none. */
void terminal_wipe(struct terminal *t);

/* Local. Wipes whatever line stands on the stream, where it is a terminal: for last words, when nobody knows
 * what stands there. */
void terminal_wipe_any(FILE *stream);

/* Local. Is the stream a terminal, and one that can be written over? */
int terminal_is(FILE *stream);

/* Local. What begins and ends a text of a colour on the stream; "" both where the stream is no terminal or
 * the environment has NO_COLOR (no-color.org). */
enum terminal_colour { TERMINAL_RED, TERMINAL_GREEN, TERMINAL_YELLOW };
const char *terminal_colour(FILE *stream, enum terminal_colour colour);
const char *terminal_plain(FILE *stream);

#endif
