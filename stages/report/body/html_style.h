/* HTML style: how the report's page looks, and the one line of script that unfolds it for the printer. */
#ifndef SINEW_HTML_STYLE_H
#define SINEW_HTML_STYLE_H

extern const char html_style[], html_script[];

#endif
