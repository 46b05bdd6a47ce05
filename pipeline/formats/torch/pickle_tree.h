/* The tree of values that a pickle builds (pickle.h), and how it is walked. Values that hold themselves can
 * be made: a caller must not recurse without end. */
#ifndef SINEW_PICKLE_TREE_H
#define SINEW_PICKLE_TREE_H

#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,       /* i */
    PICKLE_INT,        /* i */
    PICKLE_REAL,       /* x */
    PICKLE_TEXT,       /* text, n bytes; may hold anything, NUL included, and does not end in NUL */
    PICKLE_TUPLE,      /* n items, see pickle_item */
    PICKLE_LIST,       /* n items, see pickle_next */
    PICKLE_DICT,       /* n pairs, see pickle_next; also of a PICKLE_USE_DICT name */
    PICKLE_NAME,       /* i: index into the caller's names */
    PICKLE_CALL,       /* i: name that would be called; item 0: the tuple of its arguments */
    PICKLE_PERSISTENT, /* item 0: the persistent id */
    PICKLE_KIND_COUNT
};

struct pickle_value {
    enum pickle_kind kind;
    int32_t at; /* byte of the pickle where it came to be, for messages */
    int64_t n;
    union {
        int64_t i;
        double x;
        const char *text;
    };
    int32_t first, last; /* the reader's: items */
};

/* An item of a list, or a pair of a map, in the order of the pickle. */
struct pickle_cell {
    int32_t key; /* -1 in a list */
    int32_t value;
    int32_t next; /* -1 at the end */
};

struct pickle {
    const char *what;
    int64_t nvalues, nitems, ncells;
    struct pickle_value *values;
    int32_t *items; /* of tuples, calls and persistent ids */
    struct pickle_cell *cells;
    const struct pickle_value *root;
};

/* Local. Item i of a tuple, or item 0 of a call or persistent id; NULL where there is none. */
const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *v, int64_t i);

/* Local. Walks a list or map: `at` is NULL for the first, then what the last call returned; NULL at the end.
 * key (may be NULL) and value get the pair. */
const struct pickle_cell *pickle_next(const struct pickle *p, const struct pickle_value *v,
                                      const struct pickle_cell *at, const struct pickle_value **key,
                                      const struct pickle_value **value);

/* Local. Is it this text? */
int pickle_is(const struct pickle_value *v, const char *text);

/* Local. The kind in words ("a text"), for messages; NULL: "nothing". */
const char *pickle_kind_text(const struct pickle_value *v);

/* Local. At most size-1 bytes of a text, control characters and broken UTF-8 as '?', for messages. Gives
 * `out`. */
const char *pickle_shown(const char *text, int64_t n, char *out, int size);

#endif
