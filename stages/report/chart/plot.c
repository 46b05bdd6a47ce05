#include "report/chart/plot.h"

#include "report/sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 540,        /* of every picture, in its own pixels */
    FONT = 15,          /* of its texts */
    LABEL_LENGTH = 30,  /* characters; longer names are cut in the middle */
    LEGEND_LENGTH = 50, /* the same for the legend, where a name may have a line of its own */
    PALETTE = 8,
    INK = PALETTE, /* the colour of texts */
    LEGEND_HEIGHT = 22,
    TOP = 22,
    RIGHT = 24
};
#define GLYPH (0.6 * FONT) /* width of a character, rather too wide than too narrow */

static const char *const colours[PALETTE] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                             "#e69f00", "#56b4e9", "#7a6a53", "#8a63d2"};
static const int marks[PALETTE] = {7, 5, 9, 13, 11, 15, 4, 6};

/* Quotes a text for gnuplot: in single quotes nothing but the quote itself means anything. Long texts lose
 * their middle. */
static void quote(struct text *out, const char *text, int most, struct err *e)
{
    int length = 0, at = 0;
    for (const char *p = text; *p; p++)
        length += (*p & 0xc0) != 0x80;
    int head = (most - 1) / 2, tail = length - (most - 1 - head);
    text_add(out, e, "'");
    for (const char *p = text; *p; p++) {
        at += (*p & 0xc0) != 0x80;
        if (length > most && at > head && at <= tail) {
            if (at == head + 1 && (*p & 0xc0) != 0x80)
                text_add(out, e, "…");
        } else if (*p == '\'') {
            text_add(out, e, "''");
        } else {
            text_add(out, e, "%c", (unsigned char)*p < ' ' || *p == '`' ? ' ' : *p);
        }
    }
    text_add(out, e, "'");
}

static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static int longest(const struct keys *l)
{
    int most = 0;
    for (int64_t i = 0; i < l->n; i++) {
        int n = width_of(l->text[i]);
        most = n > most ? n : most;
    }
    return most < LABEL_LENGTH ? most : LABEL_LENGTH;
}

static void number(struct text *out, double x, struct err *e)
{
    text_add(out, e, isnan(x) ? "*" : "%.9g", x);
}

static void set_range(struct text *out, const char *axis, double from, double to, struct err *e)
{
    text_add(out, e, "set %srange [", axis);
    number(out, from, e);
    text_add(out, e, ":");
    number(out, to, e);
    text_add(out, e, "]\n");
}

/* Label i stands at place i, or at its negative. every: of many labels only some are written. */
static void set_tics(struct text *out, const char *axis, const struct keys *l, double shift, int every,
                     struct err *e)
{
    text_add(out, e, "set %stics %sscale 0 (", axis, shift > 0 ? "add " : "");
    for (int64_t i = 0; i < l->n; i += every) {
        text_add(out, e, i > 0 ? "," : "");
        quote(out, l->text[i], LABEL_LENGTH, e);
        text_add(out, e, " %.9g", (double)i + shift);
    }
    text_add(out, e, ")\n");
}

/* The title of an axis, at a place in pixels from the lower left corner: where gnuplot would put it, labels
 * of many sizes would push it out of the picture. */
static void set_title(struct text *out, const char *text, double x, double y, int height, int turned,
                      struct err *e)
{
    if (!text[0])
        return;
    text_add(out, e, "set label ");
    quote(out, text, 62, e);
    text_add(out, e, " at screen %.4f, screen %.4f center%s\n", x / WIDTH, y / height,
             turned ? " rotate by 90" : "");
}

/* ---- curves and rows ---- */

static int shown_series(const struct chart *c)
{
    int n = 0;
    for (int i = 0; i < c->nseries; i++)
        n += c->series[i].n > 0;
    return n;
}

/* Lines of the legend below the axes. */
static int legend_lines(const struct chart *c, int *columns)
{
    int n = shown_series(c), most = 1;
    for (int i = 0; i < c->nseries; i++) {
        int w = c->series[i].n > 0 ? width_of(c->series[i].name) : 0;
        most = w > most ? w : most;
    }
    for (int i = 0; i < c->nmarks; i++, n++)
        most = width_of(c->marks[i].text) > most ? width_of(c->marks[i].text) : most;
    most = most < LEGEND_LENGTH ? most : LEGEND_LENGTH;
    int across = (int)((WIDTH - 24) / (GLYPH * most + 46));
    *columns = across < 1 ? 1 : across < n ? across : n;
    return n < 2 && c->kind == CHART_CURVES ? 0 : (n + *columns - 1) / *columns;
}

static void put_data(const struct chart *c, struct text *out, struct err *e)
{
    for (int i = 0; i < c->nseries; i++) {
        const struct chart_series *s = &c->series[i];
        if (s->n == 0)
            continue;
        text_add(out, e, "$d%d << EOD\n", i);
        for (int64_t k = 0; k < s->n; k++)
            text_add(out, e, "%.9g %.9g\n", s->x[k], s->y[k]);
        text_add(out, e, "EOD\n");
    }
}

/* Lines across the figure; the legend names them. */
static void put_marks(const struct chart *c, struct text *out, struct err *e)
{
    for (int i = 0; i < c->nmarks; i++) {
        const struct chart_mark *m = &c->marks[i];
        if (m->axis == 'x')
            text_add(out, e, "set arrow from first %.9g, graph 0 to first %.9g, graph 1 ", m->value,
                     m->value);
        else if (m->axis == 'y')
            text_add(out, e, "set arrow from graph 0, first %.9g to graph 1, first %.9g ", m->value,
                     m->value);
        else
            continue;
        text_add(out, e, "nohead dt 2 lw 1.5 lc rgb '#808080'\n");
    }
}

/* Colour, mark and dash of a series; nth among those of its kind. */
static void put_look(const struct chart_series *s, int nth, int line, struct text *out, struct err *e)
{
    const char *colour = s->style == CHART_HOLLOW  ? "black"
                         : s->style == CHART_FAINT ? "#8c8c8c"
                                                   : colours[nth % PALETTE];
    int mark = s->style == CHART_HOLLOW ? 12 : s->style == CHART_FAINT ? 2 : marks[nth % PALETTE];
    const char *size = s->style == CHART_HOLLOW                ? "1.4"
                       : s->style == CHART_FAINT               ? (s->n > 1500 && !line ? "0.3" : "0.6")
                       : s->style == CHART_DOTS && s->n > 1500 ? "0.4"
                                                               : "0.8";
    if (line)
        text_add(out, e, "lw 2 dt %d lc rgb '%s'", 1 + nth / PALETTE, colour);
    else
        text_add(out, e, "pt %d ps %s lc rgb '%s'%s", mark, size, colour,
                 s->style == CHART_HOLLOW ? " lw 2" : "");
}

static int has_line(const struct chart_series *s)
{
    return s->style == CHART_LINE || s->style == CHART_LINE_POINTS;
}

/* The legend below the axes, row after row; gnuplot's own would guess its width. */
static void put_legend(const struct chart *c, int columns, int lines, int height, struct text *out,
                       struct err *e)
{
    int at = 0, nth = 0;
    for (int i = 0; i < c->nseries + c->nmarks && lines > 0; i++) {
        const struct chart_series *s = i < c->nseries ? &c->series[i] : NULL;
        const struct chart_mark *m = s ? NULL : &c->marks[i - c->nseries];
        if (s && s->n == 0)
            continue;
        double x = 16 + (WIDTH - 24.0) * (at % columns) / columns;
        double y = (lines - at / columns - 0.6) * LEGEND_HEIGHT + 4;
        if (!s || has_line(s)) {
            text_add(out, e, "set arrow from screen %.4f, screen %.4f to screen %.4f, screen %.4f nohead ",
                     x / WIDTH, y / height, (x + 26) / WIDTH, y / height);
            if (s)
                put_look(s, nth, 1, out, e);
            else
                text_add(out, e, "lw 1.5 dt 2 lc rgb '#808080'");
            text_add(out, e, "\n");
        }
        text_add(out, e, "set label ");
        quote(out, s ? s->name : m->text, LEGEND_LENGTH, e);
        text_add(out, e, " at screen %.4f, screen %.4f left\n", (x + 32) / WIDTH, y / height);
        if (s && s->style != CHART_LINE) {
            text_add(out, e, "set label '' at screen %.4f, screen %.4f point ", (x + 13) / WIDTH, y / height);
            put_look(s, nth, 0, out, e);
            text_add(out, e, "\n");
        }
        nth += s && s->style < CHART_HOLLOW;
        at++;
    }
}

static void put_plot(const struct chart *c, struct text *out, struct err *e)
{
    int put = 0, nth = 0;
    text_add(out, e, "plot ");
    for (int i = 0; i < c->nmarks; i++)
        if (c->marks[i].axis == 'd')
            text_add(out, e, "%sx with lines dt 2 lw 1.5 lc rgb '#808080' notitle", put++ ? ", \\\n  " : "");
    for (int i = 0; i < c->nseries; i++) {
        const struct chart_series *s = &c->series[i];
        if (s->n == 0)
            continue;
        if (has_line(s)) {
            text_add(out, e, "%s$d%d using 1:2 with lines ", put++ ? ", \\\n  " : "", i);
            put_look(s, nth, 1, out, e);
            text_add(out, e, " notitle");
        }
        if (s->style != CHART_LINE) {
            text_add(out, e, "%s$d%d using 1:2 with points ", put++ ? ", \\\n  " : "", i);
            put_look(s, nth, 0, out, e);
            text_add(out, e, " notitle");
        }
        nth += s->style < CHART_HOLLOW;
    }
    text_add(out, e, "\n");
}

/* Everything but the terminal; returns the height. */
static int axes_script(const struct chart *c, struct text *out, struct err *e)
{
    int columns, lines = legend_lines(c, &columns), height, left = c->log_y ? 96 : 74, bottom = 62;
    double least = NAN, greatest = NAN;
    for (int i = 0; i < c->nseries; i++)
        for (int64_t k = 0; k < c->series[i].n; k++) {
            double v = c->kind == CHART_ROWS ? c->series[i].x[k] : c->series[i].y[k];
            least = fmin(least, v);
            greatest = fmax(greatest, v);
        }
    text_add(out, e,
             "set key off\nset border 3 lc rgb '#808080'\nset tics nomirror textcolor rgb 'black'\nset grid "
             "back dt 3 lw 0.7 lc rgb '#9a9a9a'\n");
    if (c->kind == CHART_ROWS) {
        left = (int)(GLYPH * longest(&c->labels)) + 22;
        height = TOP + bottom + lines * LEGEND_HEIGHT + 40 + 24 * (int)c->labels.n;
        set_tics(out, "y", &c->labels, 0, 1, e);
        set_range(out, "y", (double)c->labels.n - 0.4, -0.6, e);
        if (isnan(c->x_min) && isnan(c->x_max) && greatest - least < 1e-6 * (1 + fabs(greatest)))
            set_range(out, "x", least - 1, greatest + 1, e); /* one value only */
        else
            set_range(out, "x", c->x_min, c->x_max, e);
    } else {
        int turned =
            c->columns.n > 0 && (double)c->columns.n * (longest(&c->columns) + 1.5) * GLYPH > WIDTH - left;
        height = TOP + bottom + lines * LEGEND_HEIGHT + 320;
        if (turned)
            bottom += (int)(GLYPH * longest(&c->columns)) - FONT;
        if (c->columns.n > 0) {
            set_tics(out, "x", &c->columns, 0, 1, e);
            text_add(out, e, turned ? "set xtics rotate by 90 right\n" : "");
            set_range(out, "x", -0.3, (double)c->columns.n - 0.7, e);
        } else {
            set_range(out, "x", c->x_min, c->x_max, e);
        }
        set_range(out, "y", c->y_min, c->y_max, e);
        text_add(out, e, "%s%s", c->log_x ? "set logscale x\nset format x '%.0e'\n" : "",
                 c->log_y ? "set logscale y\nset format y '%g'\n" : "");
    }
    double middle = (left + WIDTH - RIGHT) / 2.0,
           center = (bottom + lines * LEGEND_HEIGHT + height - TOP) / 2.0;
    set_title(out, c->x_title, middle, lines * LEGEND_HEIGHT + 18, height, 0, e);
    if (c->kind == CHART_CURVES)
        set_title(out, c->y_title, 14, center, height, 1, e);
    text_add(out, e,
             "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen %.4f\n"
             "set bmargin at screen %.4f\n",
             (double)left / WIDTH, 1 - (double)RIGHT / WIDTH, 1 - (double)TOP / height,
             (double)(bottom + lines * LEGEND_HEIGHT) / height);
    put_marks(c, out, e);
    put_legend(c, columns, lines, height, out, e);
    put_plot(c, out, e);
    return height;
}

/* ---- matrices ---- */

/* The numbers printed in the cells of a matrix, where they have room. */
static void put_numbers(const struct chart *c, double least, double greatest, double cell, struct text *out,
                        struct err *e)
{
    int64_t gap = c->labels.n + 2;
    char text[32];
    int decimals = !c->whole && cell >= 4.2 * GLYPH;
    if (cell < (decimals ? 4 : 2.2) * GLYPH || c->labels.n > 40)
        return;
    for (int b = 0; b < c->nblocks; b++)
        for (int64_t i = 0; i < c->labels.n * c->columns.n; i++) {
            double x = c->blocks[b].values[i];
            if (isnan(x))
                continue;
            snprintf(text, sizeof text, "%.*f", x > 99.95 ? 0 : decimals, x); /* 100, not 100.0: it is wide */
            text_add(out, e, "set label '%s' at %lld,%lld center front tc rgb '%s'\n", text,
                     (long long)(i % c->columns.n), (long long)(b * gap + i / c->columns.n),
                     (x - least) > 0.55 * (greatest - least) ? "#101010" : "#fefefe");
        }
}

static int matrix_script(const struct chart *c, struct text *out, struct err *e)
{
    double least, greatest;
    int rows = (int)c->labels.n, left = (int)(GLYPH * longest(&c->labels)) + 40, right = 96;
    double cell = (double)(WIDTH - left - right) / (double)c->columns.n;
    int turned = (longest(&c->columns) + 1) * GLYPH > cell;
    int bottom = (turned ? (int)(GLYPH * longest(&c->columns)) + 48 : 58);
    int gap = c->nblocks > 1 ? rows + 2 : rows, every = rows > 48 ? 4 : 1;
    int places = c->nblocks > 1 ? c->nblocks * gap - 1 : rows;
    int tall = rows > 48 ? 9 : rows > 16 ? 18 : places < 8 ? 200 / places : 26;
    tall = tall > 60 ? 60 : tall;
    int top = c->nblocks > 1 ? TOP + 12 : TOP;
    int height = top + bottom + places * tall;
    chart_range(c, &least, &greatest);
    double from = isnan(c->y_min) ? least : c->y_min, to = isnan(c->y_max) ? greatest : c->y_max;
    if (to - from < 1e-9 * (1 + fabs(to)))
        from = to - 1; /* one value only */
    text_add(out, e,
             "set key off\nset border 0\nset palette defined (0 '#00224e', 0.2 '#2a3f6d', 0.4 '#575d6d', 0.6 "
             "'#838079', 0.8 '#bbae6c', 1 '#fee838')\n"
             "set cbtics nomirror\n");
    set_range(out, "cb", from, to, e);
    set_range(out, "x", -0.5, (double)c->columns.n - 0.5, e);
    set_range(out, "y", places - 0.5, -0.5 - (c->nblocks > 1), e);
    set_tics(out, "x", &c->columns, 0, 1, e);
    if (turned)
        text_add(out, e, "set xtics rotate by 90 right\n");
    for (int b = 0; b < c->nblocks; b++) {
        set_tics(out, "y", &c->labels, b * gap, every, e);
        if (c->nblocks < 2)
            continue;
        text_add(out, e, "set label ");
        quote(out, c->blocks[b].title, 60, e);
        text_add(out, e, " at -0.5,%g left\n", b * gap - 1.05);
    }
    set_title(out, c->x_title, (left + WIDTH - right) / 2.0, 18, height, 0, e);
    set_title(out, c->value_title, WIDTH - 14, (bottom + height - top) / 2.0, height, 1, e);
    put_numbers(c, from, to, cell, out, e);
    text_add(out, e,
             "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen %.4f\n"
             "set bmargin at screen %.4f\n",
             (double)left / WIDTH, 1 - (double)right / WIDTH, 1 - (double)top / height,
             (double)bottom / height);
    text_add(out, e, "$d << EOD\n");
    for (int b = 0; b < c->nblocks; b++)
        for (int64_t i = 0; i < c->labels.n * c->columns.n; i++)
            if (!isnan(c->blocks[b].values[i]))
                text_add(out, e, "%lld %lld %.9g\n", (long long)(i % c->columns.n),
                         (long long)(b * gap + i / c->columns.n), c->blocks[b].values[i]);
    text_add(
        out, e,
        "EOD\nplot $d using 1:2:(0.48):(0.48):3 with boxxyerror fillstyle solid 1 noborder fc palette z\n");
    return height;
}

err_t plot_script(const struct chart *c, struct text *out, struct err *e)
{
    struct text body = {.arena = out->arena};
    int height = c->kind == CHART_MATRIX ? matrix_script(c, &body, e) : axes_script(c, &body, e);
    put_data(c, out, e);
    for (int i = 0; i < 2; i++) {
        text_add(out, e, "reset\n");
        if (i == 0)
            text_add(
                out, e,
                "set terminal svg size %d,%d dynamic font 'DejaVu Sans,%d' noenhanced linewidth 1 background "
                "'white'\n",
                WIDTH, height, FONT);
        else
            text_add(out, e,
                     "set terminal pngcairo size %d,%d background 'white' font 'DejaVu Sans,%d' noenhanced "
                     "linewidth 2 pointscale 2\n",
                     2 * WIDTH, 2 * height,
                     (int)(2 * FONT * 0.75)); /* points of 1/72 inch at 96 to the inch */
        text_add(out, e, "set encoding utf8\nset output '%s.%s'\n", c->name, i == 0 ? "svg" : "png");
        text_add(out, e, "%s", body.text ? body.text : "");
        text_add(out, e, "unset output\n");
    }
    return e->code;
}

/* ---- an SVG file as an element of a page ---- */

/* A colour of the palette at p, as gnuplot writes it ("rgb(  0, 114, 178)"): its number, INK for black, or
 * -1.
 */
static int colour_at(const char *p, int *length)
{
    unsigned r, g, b, code;
    int n = 0;
    if (strncmp(p, "rgb(", 4) != 0 || sscanf(p, "rgb(%u,%u,%u)%n", &r, &g, &b, &n) != 3 || n == 0)
        return -1;
    *length = n;
    if (r == 0 && g == 0 && b == 0)
        return INK;
    for (int i = 0; i < PALETTE; i++)
        if (sscanf(colours[i], "#%x", &code) == 1 && code == (r << 16 | g << 8 | b))
            return i;
    return -1;
}

static int starts(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

int plot_inline(const char *svg, const char *name, const char *title, struct text *out, struct err *e)
{
    const char *open = strstr(svg, "<svg"), *box = open ? strstr(open, "viewBox=\"") : NULL;
    const char *body = open ? strchr(open, '>') : NULL, *end = body ? strstr(body, "</svg>") : NULL;
    double width, height;
    if (!end || !box || box > body || sscanf(box, "viewBox=\"0 0 %lf %lf\"", &width, &height) != 2)
        return 0;
    text_add(out, e, "<svg class=\"plot\" viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">", width,
             height, title);
    const char *at = body + 1, *done = at;
    for (; at < end; at++) {
        const char *skip = at, *instead = NULL;
        char variable[24];
        int colour, width_at;
        if (starts(at, "<title>") || starts(at, "<desc>")) {
            const char *close = strstr(at, at[1] == 't' ? "</title>" : "</desc>");
            skip = close ? strchr(close, '>') + 1 : at;
            instead = "";
        } else if (starts(at, "<rect") && strchr(at, '>')) {
            const char *close = strchr(at, '>'), *fill = strstr(at, "fill=\"#ffffff\"");
            skip = fill && fill < close ? close + 1 : at; /* the background */
            instead = "";
        } else if (starts(at, "'black'") || starts(at, "\"black\"")) {
            skip = at + 7;
            instead = "\"currentColor\"";
        } else if (*at == 'r' && (colour = colour_at(at, &width_at)) >= 0) {
            snprintf(variable, sizeof variable, "var(--c%d)", colour);
            skip = at + width_at;
            instead = colour == INK ? "currentColor" : variable;
        } else if (starts(at, " id='") || starts(at, " id=\"")) {
            skip = at + 5;
        } else if (starts(at, "='#") || starts(at, "=\"#")) {
            skip = at + 3;
        } else if (starts(at, "url(#")) {
            skip = at + 5;
        }
        if (skip == at)
            continue;
        text_add(out, e, "%.*s", (int)(at - done), done);
        if (instead)
            text_add(out, e, "%s", instead);
        else
            text_add(out, e, "%.*s%s-", (int)(skip - at), at, name);
        at = skip - 1;
        done = skip;
    }
    text_add(out, e, "%.*s</svg>\n", (int)(end - done), done);
    return e->code == ERR_OK;
}
