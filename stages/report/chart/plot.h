/* Plot: the script by which gnuplot draws a chart, and the picture it gives made fit to stand in a page.
 *
 * A script is complete in itself: the numbers stand in it, texts are quoted so that nothing in a name is
 * executed, and it writes NAME.svg and NAME.png into the folder it runs in. Sizes are chosen so that the
 * picture can be read at the width of a phone: few characters across, labels cut rather than overlapping.
 * Colours are those of Okabe and Ito and of cividis, which people with any colour vision tell apart; curves
 * differ in their marks too. */
#ifndef SINEW_PLOT_H
#define SINEW_PLOT_H

#include "report/chart/chart.h"

/* Local. Appends the script. */
err_t plot_script(const struct chart *c, struct text *out, struct err *e);

/* Local. Appends the drawing of an SVG file of gnuplot as an element of an HTML page: no prologue, no
 * background, texts and axes in the colour of the page's text, curves in the page's colours --c0 to --c7, ids
 * made unique by the name, scaled to the place it receives. title: what a screen reader says. Nothing is
 * appended where svg is no such file: returns 0 then, else 1. */
int plot_inline(const char *svg, const char *name, const char *title, struct text *out, struct err *e);

#endif
