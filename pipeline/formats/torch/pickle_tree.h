/* The tree of values that a pickle builds (pickle.h), and how it is walked. Values that hold themselves can
 * be made: a caller must not recurse without end. Nothing of it was executed or imported: an object is what
 * the pickle says of it, the name of its class or function, the arguments, a state and what it holds. */
#ifndef SINEW_PICKLE_TREE_H
#define SINEW_PICKLE_TREE_H

#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,   /* i */
    PICKLE_INT,    /* i */
    PICKLE_LONG,   /* an integer of more than 64 bits: nobody reads it */
    PICKLE_REAL,   /* x */
    PICKLE_TEXT,   /* text, n bytes; may hold anything, NUL included, and does not end in NUL */
    PICKLE_BYTES,  /* the same of a bytes or bytearray */
    PICKLE_TUPLE,  /* n items, see pickle_item */
    PICKLE_LIST,   /* n items, see pickle_next */
    PICKLE_SET,    /* n items, see pickle_next */
    PICKLE_DICT,   /* n pairs, see pickle_next; also of a name that is a map */
    PICKLE_NAME,   /* see pickle_id, pickle_names */
    PICKLE_CALL,   /* what calling a name would give: item 0 is the tuple of its arguments; n pairs or items
                      where it is a subclass of a map or list, see pickle_next; pickle_state, pickle_attribute
                    */
    PICKLE_OBJECT, /* the same of a class, made without calling its __init__ */
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
        struct {
            int32_t callee, parts; /* the reader's, counted from 1: the name; arguments and state in items */
        };
    };
    int32_t first, last; /* the reader's: items, cells, or the texts of a name */
};

/* An item of a list, or a pair of a map, in the order of the pickle. */
struct pickle_cell {
    int32_t key; /* -1 in a list */
    int32_t value;
    int32_t next; /* -1 at the end */
};

/* A name that the caller knows. */
struct pickle_name {
    const char *module, *name;
    int id;     /* the caller's, >= 0 */
    int is_map; /* calling it without arguments gives a map, empty at first */
};

struct pickle {
    const char *what;
    int64_t nvalues, nitems, ncells;
    struct pickle_value *values;
    int32_t *items; /* of tuples, calls and persistent ids */
    struct pickle_cell *cells;
    const struct pickle_value *root;
    const struct pickle_name *names; /* the caller's */
    int nnames;
};

/* Local. Item i of a tuple, or item 0 of a call, object or persistent id; NULL where there is none. */
const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *v, int64_t i);

/* Local. Walks a list, set or map, or what an object holds as one: `at` is NULL for the first, then what the
 * last call returned; NULL at the end. key (may be NULL) and value get the pair; an item has key NULL. */
const struct pickle_cell *pickle_next(const struct pickle *p, const struct pickle_value *v,
                                      const struct pickle_cell *at, const struct pickle_value **key,
                                      const struct pickle_value **value);

/* Local. The value of a text key in a map, or an object that holds pairs: of equal keys the last one's; NULL
 * where there is none, or v is no map. Linear. */
const struct pickle_value *pickle_get(const struct pickle *p, const struct pickle_value *v, const char *key);

/* Local. What v's class would be given to set its attributes by; NULL: nothing. */
const struct pickle_value *pickle_state(const struct pickle *p, const struct pickle_value *v);

/* Local. An attribute in v's state, which is a map, or the pair (map or None, map of slots); NULL where there
 * is none, or more than 1024 attributes. */
const struct pickle_value *pickle_attribute(const struct pickle *p, const struct pickle_value *v,
                                            const char *name);

/* Local. The same of a state that is at hand: a call may be given one among its arguments. */
const struct pickle_value *pickle_in_state(const struct pickle *p, const struct pickle_value *state,
                                           const char *name);

/* Local. The id of a name that the caller knows, or of the one that a call or object is of; -1: unknown to
 * it, or no such value. */
int pickle_id(const struct pickle *p, const struct pickle_value *v);

/* Local. The texts of a name, or of the one that a call or object is of: 1, or 0 where v has none (an object
 * of an object). */
int pickle_names(const struct pickle *p, const struct pickle_value *v, const struct pickle_value **module,
                 const struct pickle_value **name);

/* Local. Is v such a name, or an object (or call) of it? modules: "a.b", or "a.b|c" where a class has lived
 * in several; NULL: any. */
int pickle_is_name(const struct pickle *p, const struct pickle_value *v, const char *modules,
                   const char *name);
int pickle_is_object(const struct pickle *p, const struct pickle_value *v, const char *modules,
                     const char *name);

/* Local. Is it this text? */
int pickle_is(const struct pickle_value *v, const char *text);

/* Local. The kind in words ("a text"), for messages; NULL: "nothing". */
const char *pickle_kind_text(const struct pickle_value *v);

/* Local. The same, naming the class or function of an object: "an object of os.system, of which nothing was
 * executed". Gives `out`. */
enum { PICKLE_TOLD = 240 };
const char *pickle_told(const struct pickle *p, const struct pickle_value *v, char out[PICKLE_TOLD]);

/* Local. Behind that in a message, where the value stands in the pickle: " (byte 8 of data.pkl)", and with
 * `of` NULL, the file being the pickle, " (byte 8)"; "" where there is no value. of: at most 32 bytes. Gives
 * `out`. */
enum { PICKLE_WHERE = 72 };
const char *pickle_where(const struct pickle_value *v, const char *of, char out[PICKLE_WHERE]);

/* Local. At most size-1 bytes of a text, control characters and broken UTF-8 as '?', for messages. Gives
 * `out`. */
const char *pickle_shown(const char *text, int64_t n, char *out, int size);

#endif
