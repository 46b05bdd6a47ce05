/* What a pickle's opcodes work on: a stack with marks, a memo, and the values they build (pickle_tree.h).
 *
 * Source: CPython, Lib/pickle.py (class _Unpickler). All that grows is bounded: by the bytes of the pickle,
 * by the number of values, by the arena's budget. Values are indices, for their array moves as it grows. All
 * functions are Local; their errors are DATA, with the opcode and its byte, and SYSTEM over budget. */
#ifndef SINEW_PICKLE_STACK_H
#define SINEW_PICKLE_STACK_H

#include "base/err.h"
#include "base/mem.h"
#include "formats/torch/pickle_tree.h"

struct pickle_stack {
    struct pickle *out;
    struct arena *arena;
    int64_t opcode_at; /* the opcode being done */
    unsigned char opcode;
    int64_t bytes;                 /* of the pickle: memo slots are below */
    int32_t *stack, *marks, *memo; /* value indices; stack heights; value indices + 1 */
    int64_t depth, nmarks, nmemo;
    int64_t stack_cap, marks_cap, memo_cap, values_cap, items_cap, cells_cap;
};

/* The name of an opcode, of all up to protocol 5: a refused one is called by it. A static string. */
const char *pickle_opcode(unsigned char code);

/* `why` says what was expected and found. */
err_t pickle_stack_refuse(const struct pickle_stack *s, struct err *e, const char *why);

/* A new value; *index receives it. The second puts it on the stack. */
err_t pickle_stack_make(struct pickle_stack *s, struct pickle_value v, int32_t *index, struct err *e);
err_t pickle_stack_add(struct pickle_stack *s, struct pickle_value v, struct err *e);

err_t pickle_stack_push(struct pickle_stack *s, int32_t value, struct err *e);

/* Are there n values above the last mark? */
err_t pickle_stack_need(const struct pickle_stack *s, int64_t n, struct err *e);

/* The value `below` the top, 0: the top itself; there must be as many. Valid until the next value is made. */
struct pickle_value *pickle_stack_top(const struct pickle_stack *s, int64_t below);

err_t pickle_stack_mark(struct pickle_stack *s, struct err *e);

/* Takes the last mark away; *first receives the height of the stack where it stood. */
err_t pickle_stack_pop_mark(struct pickle_stack *s, int64_t *first, struct err *e);

/* The top into slot `slot` of the memo, or the next one; and back. */
err_t pickle_stack_put(struct pickle_stack *s, uint64_t slot, struct err *e);
err_t pickle_stack_memoize(struct pickle_stack *s, struct err *e);
err_t pickle_stack_get(struct pickle_stack *s, uint64_t slot, struct err *e);

/* The stack from `first` on becomes the items of one value, of kind tuple or persistent id. */
err_t pickle_stack_gather(struct pickle_stack *s, int64_t first, enum pickle_kind kind, struct err *e);

/* The stack from `first` on becomes cells of value `to`: step 1 items, 2 pairs. */
err_t pickle_stack_fill(struct pickle_stack *s, int64_t first, int32_t to, int step, struct err *e);

/* The top two, a name or object and the tuple of arguments, become a call or object. */
err_t pickle_stack_call(struct pickle_stack *s, enum pickle_kind kind, struct err *e);

/* The top becomes the state of what is below it, which has none yet. */
err_t pickle_stack_build(struct pickle_stack *s, struct err *e);

#endif
