/* HTML style: how the report's page looks. */
#ifndef SINEW_HTML_STYLE_H
#define SINEW_HTML_STYLE_H

extern const char html_style[];

#endif
