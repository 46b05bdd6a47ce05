/* Item: asks a document's tree for its values: maps with known keys, texts, names, numbers, lists.
 *
 * Whoever asks for the wrong thing receives nothing, and the complaint is in the list; about an item that is
 * absent (NULL) or was complained of before (ITEM_BAD) nothing more is said, so that one mistake makes one
 * complaint. */
#ifndef SINEW_ITEM_H
#define SINEW_ITEM_H

#include "study/document.h"
#include "study/param.h"

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

/* Local. Sets parameter p of `params` from what stands in the file. */
int item_param(const struct asker *r, struct item *it, const struct param *p, const char *what, void *params);

#endif
