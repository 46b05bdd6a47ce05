#include "base/terminal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 80 };              /* of a terminal that does not say */
static const double PAUSE = 0.25; /* seconds between two drawings */

int terminal_is(FILE *stream)
{
    const char *kind = getenv("TERM");
    return isatty(fileno(stream)) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

void terminal_init(struct terminal *t, FILE *stream, int speak)
{
    *t = (struct terminal){.stream = stream, .live = speak && terminal_is(stream), .drawn_sec = -PAUSE};
}

static int width_of(FILE *stream)
{
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : WIDTH;
}

/* Bytes of the first n characters of UTF-8. */
static int bytes_of(const char *text, int n)
{
    int at = 0;
    for (int c = 0; text[at] && (c < n || (text[at] & 0xc0) == 0x80); at++)
        c += (text[at] & 0xc0) != 0x80;
    return at;
}

void terminal_draw(struct terminal *t, const char *text)
{
    double now = clock_sec();
    if (!t || !t->live || now - t->drawn_sec < PAUSE)
        return;
    /* One column stays free: a terminal that is full goes on in the next line. */
    fprintf(t->stream, "\r%.*s\033[K", bytes_of(text, width_of(t->stream) - 1), text);
    fflush(t->stream);
    t->shown = 1;
    t->drawn_sec = now;
}

void terminal_wipe(struct terminal *t)
{
    if (!t || !t->shown)
        return;
    fputs("\r\033[K", t->stream);
    fflush(t->stream);
    t->shown = 0;
}

void terminal_wipe_any(FILE *stream)
{
    if (terminal_is(stream))
        fputs("\r\033[K", stream);
}

static int has_colour(FILE *stream)
{
    const char *no = getenv("NO_COLOR");
    return !(no && no[0]) && terminal_is(stream);
}

const char *terminal_colour(FILE *stream, enum terminal_colour colour)
{
    static const char *const codes[] = {
        [TERMINAL_RED] = "\033[31m", [TERMINAL_GREEN] = "\033[32m", [TERMINAL_YELLOW] = "\033[33m"};
    return has_colour(stream) ? codes[colour] : "";
}

const char *terminal_plain(FILE *stream)
{
    return has_colour(stream) ? "\033[0m" : "";
}
