/* Help: what is said of the program itself, on the screen and in the manual. */
#ifndef SINEW_HELP_H
#define SINEW_HELP_H

#include "command/verb.h"

#include <stdio.h>

extern const char help_program[];  /* what sinew does, a sentence without its subject and end */
extern const char help_usage[];    /* how it is called */
extern const char help_config[];   /* what CONFIG is */
extern const char help_statuses[]; /* exit statuses, lines */

/* Local. The help of a verb; NULL: of the program. */
void help_print(FILE *to, const struct verb *about);

#endif
