/* Errors: one code per family, one text per error, the first cause wins.
 *
 * A function that can fail returns err_t and takes the `struct err *e` it writes its text into. Callers act
 * on the family; people read the text, which names the object, what was expected, what was found and, where
 * there is one, the remedy. Nothing here knows of processes: carrying an error to all of them is comm_agree's
 * work (comm.h). */
#ifndef SINEW_ERR_H
#define SINEW_ERR_H

/* code, exit status, what the family means; of two at once the later one is told */
#define ERR_LIST(X)                                  \
    X(ERR_OK, 0, "done")                             \
    X(ERR_STOPPED, 75, "interrupted, resumable")     \
    X(ERR_CONFIG, 2, "configuration or usage error") \
    X(ERR_DATA, 3, "bad input data")                 \
    X(ERR_SYSTEM, 4, "system error")                 \
    X(ERR_NUMERIC, 5, "numeric error")               \
    X(ERR_BUG, 70, "internal error")

typedef enum {
#define X(code, status, text) code,
    ERR_LIST(X)
#undef X
        ERR_COUNT
} err_t;

struct err {
    err_t code;
    int part;        /* DATA of which a part is not there or was cut short, so that fetching it again helps */
    int process;     /* who failed; -1 before an agreement has said so */
    char where[96];  /* source file:line of the first cause */
    char item[256];  /* node, tensor or file being worked on; "" where not known */
    char host[64];   /* host of the failing process; "" before agreement */
    char text[1536]; /* one message, no trailing newline */
};

/* Local. Sets an empty error. */
void err_clear(struct err *e);

/* Local. Records an error unless one is recorded already (the first cause is kept), and returns the recorded
 * code. code: not ERR_OK. fmt: as printf, one sentence or two, no newline at the end. */
err_t err_set_at(struct err *e, err_t code, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
#define err_set(e, code, ...) err_set_at((e), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Local. As err_set of DATA, and sets `part`. */
#define err_set_part(e, ...) (err_mark_part(e), err_set((e), ERR_DATA, __VA_ARGS__))
void err_mark_part(struct err *e);

/* Local. Names the item an error belongs to, if an error is recorded and none is named yet. */
void err_item(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Local. The exit status of a family (design: 0 2 3 4 5 70 75). */
int err_status(err_t code);

/* Local. The family in words, a static string. */
const char *err_name(err_t code);

/* Passes a failure up. The function must hold nothing that needs releasing. */
#define TRY(call)                \
    do {                         \
        err_t try_code = (call); \
        if (try_code != ERR_OK)  \
            return try_code;     \
    } while (0)

/* Passes a failure to the function's `out:` label; `code` is the function's own err_t. */
#define TRY_OUT(code, call)   \
    do {                      \
        (code) = (call);      \
        if ((code) != ERR_OK) \
            goto out;         \
    } while (0)

#endif
