/* The page's one script: tables can be searched, filtered, sorted and grouped in the page. Without it all of
 * the page is there and folds by hand. It asks no network, and puts texts into the page as texts alone. */
#ifndef SINEW_HTML_SCRIPT_H
#define SINEW_HTML_SCRIPT_H

extern const char html_script[];

#endif
