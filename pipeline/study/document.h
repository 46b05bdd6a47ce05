/* Document: a YAML file as a tree of nodes with their places, and the list of complaints about it. The one
 * file that includes yaml.h is document.c. Aliases, anchors and tags are refused (no config needs them, and
 * they can explode); so are documents deeper than DOCUMENT_DEPTH, invalid UTF-8, duplicate keys and a second
 * document. What the tree's values are is asked by item.h. */
#ifndef SINEW_DOCUMENT_H
#define SINEW_DOCUMENT_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum { DOCUMENT_DEPTH = 32 };

struct mark {
    int line, column; /* from 1 */
};

enum item_kind { ITEM_SCALAR, ITEM_LIST, ITEM_MAP, ITEM_BAD /* was complained of */ };

struct item {
    enum item_kind kind;
    struct mark mark;
    const char *text;    /* scalar: its text, ${NAME} not yet expanded */
    int quoted;          /* scalar in quotes: a string, whatever it looks like */
    int n;               /* list: items; map: pairs */
    struct item **items; /* list items, or map values */
    const char **keys;   /* map keys */
    struct mark *key_marks;
};

enum { PROBLEMS_LISTED = 200 }; /* nobody reads more; a hostile file could have millions */

/* Complaints in the order of the file. */
struct problems {
    struct arena *arena;
    const char *file;
    int n;
    int64_t cap;
    struct problem {
        struct mark mark;
        int order; /* in which they were added */
        char *text;
    } * list;
    int lost; /* not recorded, for want of memory */
    int more; /* beyond the first PROBLEMS_LISTED: counted */
};

/* Local. Adds FILE:LINE:COL: text. */
void problem_add(struct problems *p, struct mark at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Local. What reading a file has come to, once it has been read: sorts the list by place (stable) and returns
 * CONFIG where there are problems, with their number; SYSTEM where some are lost for want of memory; else e's
 * own code. */
err_t problems_end(struct problems *p, struct err *e);

/* Local. Parses YAML. *root is NULL (and a problem is added) if the file is no YAML at all; duplicate keys
 * and aliases are problems too, but parsing goes on. */
err_t document_parse(const char *text, int64_t n, struct problems *p, struct arena *a, struct item **root,
                     struct err *e);

/* Local. Value of a key; NULL where the map has none. *key_mark, if not NULL, receives the key's place. */
struct item *item_get(const struct item *map, const char *key, struct mark *key_mark);

#endif
