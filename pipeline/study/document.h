/* Document: a YAML file as a tree of nodes with their places, and the list of complaints about it. The one
 * file that includes yaml.h is document.c. Aliases, anchors and tags are refused (no config needs them, and
 * they can explode); so are documents deeper than DOCUMENT_DEPTH, invalid UTF-8, duplicate keys and a second
 * document.
 *
 * The second half asks a tree for its values. Whoever asks for the wrong thing receives nothing, and the
 * complaint is in the list; about an item that is absent (NULL) or was complained of before (ITEM_BAD)
 * nothing more is said, so that one mistake makes one complaint. */
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

/* Local. Sorts by place (stable): call once, before printing. */
void problems_sort(struct problems *p);

/* Local. Parses YAML. *root is NULL (and a problem is added) if the file is no YAML at all; duplicate keys
 * and aliases are problems too, but parsing goes on. */
err_t document_parse(const char *text, int64_t n, struct problems *p, struct arena *a, struct item **root,
                     struct err *e);

/* Local. Value of a key; NULL where the map has none. *key_mark, if not NULL, receives the key's place. */
struct item *item_get(const struct item *map, const char *key, struct mark *key_mark);

/* Who asks: where complaints go, who owns the answers, what stops everything (memory). The functions below
 * return -1 or NULL after a complaint, for what is absent or bad, and after an error in e. `what` names the
 * value in complaints ("matrix.seeds"). */
struct asker {
    struct problems *problems;
    struct arena *arena;
    struct err *e;
};

/* One key that a map may have. */
struct key {
    const char *name;
    int group; /* 0: optional; of the keys with the same number at least one must be there */
};

/* Local. "cells[3].base": the name of a part for complaints. Into text (size bytes; cut if too long), which
 * is returned. */
const char *part_name(char *text, int size, const char *whole, const char *part);

/* Local. 0 if the item is of this kind. */
int item_expect(const struct asker *r, const struct item *it, enum item_kind kind, const char *what);

/* Local. Checks a map's keys against the n keys it may have: unknown ones, with the nearest valid word, and
 * missing ones. */
void item_check_keys(const struct asker *r, const struct item *map, const struct key *keys, int n,
                     const char *what);

/* Local. Is the key there, or some unknown key that probably means it? */
int item_meant(const struct asker *r, const struct item *map, const struct key *keys, int n, const char *key);

/* Local. Is it a plain scalar without a value ("", ~ or null)? */
int item_is_null(const struct item *it);

/* A text with places to fill in: pieces of text, or word numbers. */
struct pattern {
    int n;
    int64_t cap;
    struct piece {
        const char *text; /* NULL: the word's value goes here */
        int word;
    } * pieces;
};

/* Local. Expands ${NAME} and ${NAME:-default} from the environment ("$${" stands for "${"), and takes {WORD}
 * for each of the nwords words apart; other {WORD} are complained of. nwords 0: braces mean nothing. */
int item_pattern(const struct asker *r, const struct item *it, const char *const *words, int nwords,
                 const char *what, struct pattern *out);

/* Local. The text of a pattern, each word replaced by its value. Arena-owned; NULL when e is set. */
char *pattern_fill(const struct asker *r, const struct pattern *p, const char *const *values);

/* Local. A scalar's text, the environment expanded. */
const char *item_text(const struct asker *r, const struct item *it, const char *what);

/* Local. As item_text, for what becomes part of a path or table: [A-Za-z0-9][A-Za-z0-9._-]*, at most 100
 * bytes. */
const char *item_name(const struct asker *r, const struct item *it, const char *what);
int name_is_valid(const char *name);

/* Local. A plain integer from min to INT64_MAX; a plain finite number. */
int item_int(const struct asker *r, const struct item *it, int64_t min, const char *what, int64_t *out);
int item_real(const struct asker *r, const struct item *it, const char *what, double *out);

/* Local. A list of scalars, or one scalar as a list of one. The scalars themselves are not looked at. */
int item_scalars(const struct asker *r, struct item *it, const char *what, struct item ***out, int *n);

#endif
