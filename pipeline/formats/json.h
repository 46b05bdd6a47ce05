/* JSON as it comes in checkpoint headers and indexes: parsed whole, strictly, within the memory budget. The
 * one file that includes jansson.h is json.c.
 *
 * Strict: UTF-8 only, no duplicate keys, no NUL, integers exact within int64, JSON white space alone around
 * the value. What the parser allocates is counted against the budget of the arena's mem while the document
 * lives, so that a small file which unfolds to a large tree is refused like any other buffer that is too
 * large. */
#ifndef SINEW_JSON_H
#define SINEW_JSON_H

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct json_doc;  /* a parsed text */
struct json_item; /* a value in it; borrowed, lives as long as the document */

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_INT,
    JSON_KIND_REAL,
    JSON_KIND_TEXT,
    JSON_KIND_LIST,
    JSON_KIND_MAP
};

/* Local. Parses n bytes whose top value is a map or a list. what: names the text in messages ("FILE:
 * header"). Released by json_doc_release. Errors: DATA with line, column and byte of the first fault; SYSTEM
 * over budget. *d is NULL then. */
err_t json_doc_parse(struct json_doc **d, const char *what, const char *text, int64_t n, struct arena *a,
                     struct err *e);

/* Local. The same of JSON as Python writes it, which config files hold: a byte order mark in front is passed
 * over, and NaN, Infinity and -Infinity, which are no JSON, are null. */
err_t json_doc_parse_python(struct json_doc **d, const char *what, const char *text, int64_t n,
                            struct arena *a, struct err *e);

/* Local. Frees the document and gives its bytes back to the budget. NULL is fine. */
void json_doc_release(struct json_doc *d);

/* Local. The top value. */
const struct json_item *json_doc_root(const struct json_doc *d);

/* Local. The kind; null also for no item. An integer beyond int64 is kept as JSON_KIND_REAL, rounded, so that
 * it can be named but not used. (A text with such a number has no exact reals: 4.0 is then told as 4.) */
enum json_kind json_item_kind(const struct json_item *v);

/* Local. The kind in words ("a number that is no integer of 64 bits"), for messages; NULL: "nothing". */
const char *json_item_kind_text(const struct json_item *v);

/* Local. The value of an int (of a bool 0 or 1), a real, a text; 0 or "" for another kind. */
int64_t json_item_int(const struct json_item *v);
double json_item_real(const struct json_item *v);
const char *json_item_text(const struct json_item *v);

/* Local. Items of a list or pairs of a map; 0 for another kind. */
int64_t json_item_count(const struct json_item *v);

/* Local. Item i of a list; NULL where there is none. */
const struct json_item *json_item_at(const struct json_item *list, int64_t i);

/* Local. Value of a key; NULL where the map has none. */
const struct json_item *json_item_get(const struct json_item *map, const char *key);

/* Local. Walks a map in the order of the file: `at` is NULL for the first pair, then what the last call
 * returned; NULL at the end. */
void *json_item_next(const struct json_item *map, void *at, const char **key, const struct json_item **value);

#endif
