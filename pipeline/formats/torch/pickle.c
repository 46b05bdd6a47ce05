#include "formats/torch/pickle.h"

#include "formats/torch/pickle_stack.h"

#include <string.h>

enum {
    LEAST_PROTOCOL = 2, /* torch.save's */
    MOST_PROTOCOL = 5,
    MAX_BYTES = 1 << 30, /* positions and indices are int32 */
    MAX_LINE = 256       /* module or name of a GLOBAL */
};

/* The pickle's bytes and the place in them. */
struct reader {
    struct pickle_stack s;
    const unsigned char *bytes;
    int64_t n, at;
};

/* ---- bytes ---- */

/* The next n bytes; NULL, and e set, where there are not as many. */
static const unsigned char *take(struct reader *r, uint64_t n, struct err *e)
{
    if (n > (uint64_t)(r->n - r->at)) {
        err_set(e, ERR_DATA,
                "%s: byte %lld: opcode %s: the pickle ends within it: expected %llu bytes, found %lld",
                r->s.out->what, (long long)r->s.opcode_at, pickle_opcode(r->s.opcode), (unsigned long long)n,
                (long long)(r->n - r->at));
        return NULL;
    }
    const unsigned char *p = r->bytes + r->at;
    r->at += (int64_t)n;
    return p;
}

static err_t take_number(struct reader *r, int bytes, uint64_t *x, struct err *e)
{
    const unsigned char *p = take(r, (uint64_t)bytes, e);
    *x = 0;
    if (!p)
        return e->code;
    for (int i = bytes - 1; i >= 0; i--)
        *x = *x << 8 | p[i];
    return ERR_OK;
}

/* A text up to the next line feed, as a value that is not on the stack. */
static err_t take_line(struct reader *r, int32_t *index, struct err *e)
{
    int64_t left = r->n - r->at, most = left < MAX_LINE ? left : MAX_LINE;
    const unsigned char *p = r->bytes + r->at, *end = most > 0 ? memchr(p, '\n', (size_t)most) : NULL;
    if (!end)
        return pickle_stack_refuse(
            &r->s, e, left < MAX_LINE ? "the pickle ends within its name" : "name of more than 256 bytes");
    r->at += end - p + 1;
    return pickle_stack_make(
        &r->s, (struct pickle_value){.kind = PICKLE_TEXT, .text = (const char *)p, .n = end - p}, index, e);
}

/* ---- numbers and texts ---- */

static err_t add_constant(struct reader *r, int i, enum pickle_kind kind, struct err *e)
{
    struct pickle_value v = {.kind = kind, .i = i, .first = -1, .last = -1};
    return pickle_stack_add(&r->s, v, e);
}

static err_t add_integer(struct reader *r, int64_t x, struct err *e)
{
    return pickle_stack_add(&r->s, (struct pickle_value){.kind = PICKLE_INT, .i = x}, e);
}

static err_t read_unsigned(struct reader *r, int bytes, struct err *e)
{
    uint64_t x;
    TRY(take_number(r, bytes, &x, e));
    return add_integer(r, (int64_t)x, e);
}

/* At most 8 bytes, little-endian, two's complement. */
static err_t read_signed(struct reader *r, int bytes, struct err *e)
{
    uint64_t x;
    TRY(take_number(r, bytes, &x, e));
    if (bytes > 0 && bytes < 8 && x >> (8 * bytes - 1) & 1)
        x |= ~(uint64_t)0 << (8 * bytes);
    return add_integer(r, (int64_t)x, e);
}

/* Random numbers' states, say, are whole numbers of any length. */
static err_t read_long(struct reader *r, int length_bytes, struct err *e)
{
    uint64_t bytes;
    TRY(take_number(r, length_bytes, &bytes, e));
    if (bytes <= 8)
        return read_signed(r, (int)bytes, e);
    const unsigned char *p = take(r, bytes, e);
    return p ? pickle_stack_add(&r->s, (struct pickle_value){.kind = PICKLE_LONG, .n = (int64_t)bytes}, e)
             : e->code;
}

static err_t read_real(struct reader *r, struct err *e)
{
    const unsigned char *p = take(r, 8, e);
    if (!p)
        return e->code;
    uint64_t bits = 0;
    struct pickle_value v = {.kind = PICKLE_REAL};
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    memcpy(&v.x, &bits, sizeof v.x);
    return pickle_stack_add(&r->s, v, e);
}

static err_t read_text(struct reader *r, int length_bytes, enum pickle_kind kind, struct err *e)
{
    uint64_t n;
    TRY(take_number(r, length_bytes, &n, e));
    const unsigned char *p = take(r, n, e);
    if (!p)
        return e->code;
    return pickle_stack_add(&r->s,
                            (struct pickle_value){.kind = kind, .text = (const char *)p, .n = (int64_t)n}, e);
}

/* ---- names ---- */

static int is_text(const struct pickle_value *v, const char *text)
{
    return strlen(text) == (size_t)v->n && memcmp(text, v->text, (size_t)v->n) == 0;
}

/* A name of two texts, on the stack: known to the caller, or of no use but in a message. */
static err_t add_name(struct reader *r, int32_t module, int32_t name, struct err *e)
{
    const struct pickle *p = r->s.out;
    struct pickle_value v = {.kind = PICKLE_NAME, .i = -1, .first = module, .last = name};
    for (int i = 0; i < p->nnames && v.i < 0; i++)
        if (is_text(&p->values[name], p->names[i].name) && is_text(&p->values[module], p->names[i].module))
            v.i = i;
    return pickle_stack_add(&r->s, v, e);
}

static err_t read_global(struct reader *r, struct err *e)
{
    int32_t module = 0, name = 0;
    TRY(take_line(r, &module, e));
    TRY(take_line(r, &name, e));
    return add_name(r, module, name, e);
}

static err_t read_stack_global(struct reader *r, struct err *e)
{
    TRY(pickle_stack_need(&r->s, 2, e));
    const struct pickle_value *name = pickle_stack_top(&r->s, 0), *module = pickle_stack_top(&r->s, 1);
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
        return pickle_stack_refuse(&r->s, e, "expected the texts of a module and a name");
    if (name->n >= MAX_LINE || module->n >= MAX_LINE)
        return pickle_stack_refuse(&r->s, e, "name of more than 256 bytes");
    r->s.depth -= 2;
    return add_name(r, r->s.stack[r->s.depth], r->s.stack[r->s.depth + 1], e);
}

/* ---- values of values ---- */

/* n values from the stack, or (n < 0) those above the mark. */
static err_t read_tuple(struct reader *r, int n, struct err *e)
{
    int64_t first = r->s.depth - n;
    if (n >= 0)
        TRY(pickle_stack_need(&r->s, n, e));
    else
        TRY(pickle_stack_pop_mark(&r->s, &first, e));
    return pickle_stack_gather(&r->s, first, PICKLE_TUPLE, e);
}

/* All above the mark as one value: LIST, DICT, FROZENSET. */
static err_t read_marked(struct reader *r, int step, enum pickle_kind kind, struct err *e)
{
    int64_t first = 0;
    int32_t to = 0;
    TRY(pickle_stack_pop_mark(&r->s, &first, e));
    TRY(pickle_stack_make(&r->s, (struct pickle_value){.kind = kind, .first = -1, .last = -1}, &to, e));
    TRY(pickle_stack_fill(&r->s, first, to, step, e));
    return pickle_stack_push(&r->s, to, e);
}

/* The stack from `first` on goes into what lies below: a value of that kind, or an object, which may be a
 * subclass of it. */
static err_t append_from(struct reader *r, int64_t first, int step, enum pickle_kind kind, struct err *e)
{
    int64_t floor = r->s.nmarks > 0 ? r->s.marks[r->s.nmarks - 1] : 0;
    int32_t to = first > floor ? r->s.stack[first - 1] : -1;
    enum pickle_kind found = to < 0 ? PICKLE_NONE : r->s.out->values[to].kind;
    if (found != kind && found != PICKLE_CALL && found != PICKLE_OBJECT)
        return pickle_stack_refuse(&r->s, e,
                                   kind == PICKLE_DICT  ? "expected a map below its items"
                                   : kind == PICKLE_SET ? "expected a set below its items"
                                                        : "expected a list below its items");
    return pickle_stack_fill(&r->s, first, to, step, e);
}

static err_t append(struct reader *r, int step, enum pickle_kind kind, struct err *e)
{
    TRY(pickle_stack_need(&r->s, step + 1, e));
    return append_from(r, r->s.depth - step, step, kind, e);
}

static err_t append_marked(struct reader *r, int step, enum pickle_kind kind, struct err *e)
{
    int64_t first = 0;
    TRY(pickle_stack_pop_mark(&r->s, &first, e));
    return append_from(r, first, step, kind, e);
}

static err_t call(struct reader *r, int n, enum pickle_kind kind, struct err *e)
{
    (void)n;
    return pickle_stack_call(&r->s, kind, e);
}

static err_t build(struct reader *r, struct err *e)
{
    return pickle_stack_build(&r->s, e);
}

/* With a map of arguments by name on top: they are left alone, as is all that an unknown class is given. */
static err_t new_object_ex(struct reader *r, struct err *e)
{
    TRY(pickle_stack_need(&r->s, 3, e));
    if (pickle_stack_top(&r->s, 0)->kind != PICKLE_DICT)
        return pickle_stack_refuse(&r->s, e, "expected a map of arguments");
    r->s.depth--;
    return pickle_stack_call(&r->s, PICKLE_OBJECT, e);
}

static err_t persistent(struct reader *r, struct err *e)
{
    TRY(pickle_stack_need(&r->s, 1, e));
    return pickle_stack_gather(&r->s, r->s.depth - 1, PICKLE_PERSISTENT, e);
}

/* ---- the stack and the memo ---- */

static err_t mark(struct reader *r, struct err *e)
{
    return pickle_stack_mark(&r->s, e);
}

static err_t memoize(struct reader *r, struct err *e)
{
    return pickle_stack_memoize(&r->s, e);
}

static err_t put(struct reader *r, int length_bytes, struct err *e)
{
    uint64_t slot;
    TRY(take_number(r, length_bytes, &slot, e));
    return pickle_stack_put(&r->s, slot, e);
}

static err_t get(struct reader *r, int length_bytes, struct err *e)
{
    uint64_t slot;
    TRY(take_number(r, length_bytes, &slot, e));
    return pickle_stack_get(&r->s, slot, e);
}

/* One value, or the mark where nothing is above it, as Python's reader has it. */
static err_t pop(struct reader *r, struct err *e)
{
    int64_t first;
    if (r->s.nmarks > 0 && r->s.depth == r->s.marks[r->s.nmarks - 1])
        return pickle_stack_pop_mark(&r->s, &first, e);
    TRY(pickle_stack_need(&r->s, 1, e));
    r->s.depth--;
    return ERR_OK;
}

static err_t pop_to_mark(struct reader *r, struct err *e)
{
    return pickle_stack_pop_mark(&r->s, &r->s.depth, e);
}

static err_t duplicate(struct reader *r, struct err *e)
{
    TRY(pickle_stack_need(&r->s, 1, e));
    return pickle_stack_push(&r->s, r->s.stack[r->s.depth - 1], e);
}

/* ---- the pickle as a whole ---- */

static err_t protocol(struct reader *r, struct err *e)
{
    uint64_t version;
    TRY(take_number(r, 1, &version, e));
    if (version >= LEAST_PROTOCOL && version <= MOST_PROTOCOL)
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: byte %lld: pickle protocol %d, expected %d to %d; save it again with the pickle_protocol that "
        "torch.save has by itself",
        r->s.out->what, (long long)r->s.opcode_at, (int)version, LEAST_PROTOCOL, MOST_PROTOCOL);
}

/* Announces so many bytes, which are there. */
static err_t frame(struct reader *r, struct err *e)
{
    uint64_t n;
    TRY(take_number(r, 8, &n, e));
    if (!take(r, n, e))
        return e->code;
    r->at -= (int64_t)n;
    return ERR_OK;
}

static err_t stop(struct reader *r, struct err *e)
{
    if (r->s.depth != 1 || r->s.nmarks > 0)
        return pickle_stack_refuse(&r->s, e, "expected one value on the stack");
    if (r->at != r->n)
        return pickle_stack_refuse(&r->s, e, "bytes behind the end of the pickle");
    r->s.out->root = pickle_stack_top(&r->s, 0);
    return ERR_OK;
}

/* What an opcode does: one of three shapes of function, and what it is given. */
struct act {
    err_t (*plain)(struct reader *r, struct err *e);
    err_t (*sized)(struct reader *r, int n, struct err *e);
    err_t (*makes)(struct reader *r, int n, enum pickle_kind kind, struct err *e);
    int n;
    enum pickle_kind kind;
};

static const struct act acts[256] = {
    /* values of the bytes behind */
    ['N'] = {.makes = add_constant, 0, PICKLE_NONE},
    [0x88] = {.makes = add_constant, 1, PICKLE_BOOL},
    [0x89] = {.makes = add_constant, 0, PICKLE_BOOL},
    ['K'] = {.sized = read_unsigned, .n = 1},
    ['M'] = {.sized = read_unsigned, .n = 2},
    ['J'] = {.sized = read_signed, .n = 4},
    [0x8a] = {.sized = read_long, .n = 1},
    [0x8b] = {.sized = read_long, .n = 4},
    ['G'] = {.plain = read_real},
    ['X'] = {.makes = read_text, 4, PICKLE_TEXT},
    ['T'] = {.makes = read_text, 4, PICKLE_TEXT},
    ['U'] = {.makes = read_text, 1, PICKLE_TEXT},
    [0x8c] = {.makes = read_text, 1, PICKLE_TEXT},
    [0x8d] = {.makes = read_text, 8, PICKLE_TEXT},
    ['C'] = {.makes = read_text, 1, PICKLE_BYTES},
    ['B'] = {.makes = read_text, 4, PICKLE_BYTES},
    [0x8e] = {.makes = read_text, 8, PICKLE_BYTES},
    [0x96] = {.makes = read_text, 8, PICKLE_BYTES},
    ['c'] = {.plain = read_global},
    [0x93] = {.plain = read_stack_global},
    /* values of values */
    [')'] = {.sized = read_tuple, .n = 0},
    [0x85] = {.sized = read_tuple, .n = 1},
    [0x86] = {.sized = read_tuple, .n = 2},
    [0x87] = {.sized = read_tuple, .n = 3},
    ['t'] = {.sized = read_tuple, .n = -1},
    [']'] = {.makes = add_constant, 0, PICKLE_LIST},
    ['}'] = {.makes = add_constant, 0, PICKLE_DICT},
    [0x8f] = {.makes = add_constant, 0, PICKLE_SET},
    ['l'] = {.makes = read_marked, 1, PICKLE_LIST},
    ['d'] = {.makes = read_marked, 2, PICKLE_DICT},
    [0x91] = {.makes = read_marked, 1, PICKLE_SET},
    ['a'] = {.makes = append, 1, PICKLE_LIST},
    ['e'] = {.makes = append_marked, 1, PICKLE_LIST},
    ['s'] = {.makes = append, 2, PICKLE_DICT},
    ['u'] = {.makes = append_marked, 2, PICKLE_DICT},
    [0x90] = {.makes = append_marked, 1, PICKLE_SET},
    ['R'] = {.makes = call, 0, PICKLE_CALL},
    [0x81] = {.makes = call, 0, PICKLE_OBJECT},
    [0x92] = {.plain = new_object_ex},
    ['b'] = {.plain = build},
    ['Q'] = {.plain = persistent},
    /* the stack, the memo, the whole */
    ['('] = {.plain = mark},
    ['0'] = {.plain = pop},
    ['1'] = {.plain = pop_to_mark},
    ['2'] = {.plain = duplicate},
    ['q'] = {.sized = put, .n = 1},
    ['r'] = {.sized = put, .n = 4},
    ['h'] = {.sized = get, .n = 1},
    ['j'] = {.sized = get, .n = 4},
    [0x94] = {.plain = memoize},
    [0x80] = {.plain = protocol},
    [0x95] = {.plain = frame},
    ['.'] = {.plain = stop},
};

static err_t step(struct reader *r, struct err *e)
{
    const struct act *act = &acts[r->s.opcode];
    if (act->plain)
        return act->plain(r, e);
    if (act->sized)
        return act->sized(r, act->n, e);
    if (act->makes)
        return act->makes(r, act->n, act->kind, e);
    return err_set(e, ERR_DATA,
                   "%s: byte %lld: opcode 0x%02x (%s) is refused: none that writers of protocols 2 to 5 "
                   "use; nothing of the file was executed",
                   r->s.out->what, (long long)r->s.opcode_at, (unsigned)r->s.opcode,
                   pickle_opcode(r->s.opcode));
}

err_t pickle_read(struct pickle *p, const char *what, const char *bytes, int64_t n,
                  const struct pickle_name *names, int nnames, struct arena *a, struct err *e)
{
    *p = (struct pickle){.what = what, .names = names, .nnames = nnames};
    if (n > MAX_BYTES)
        return err_set(e, ERR_DATA, "%s: pickle of %lld bytes, expected at most %d", what, (long long)n,
                       MAX_BYTES);
    struct reader r = {
        .s = {.out = p, .arena = a, .bytes = n}, .bytes = (const unsigned char *)bytes, .n = n};
    while (!p->root) {
        if (r.at >= n)
            return err_set(e, ERR_DATA, "%s: byte %lld: the pickle ends without its end (opcode STOP)", what,
                           (long long)r.at);
        r.s.opcode_at = r.at;
        r.s.opcode = r.bytes[r.at++];
        TRY(step(&r, e));
    }
    arena_drop(a, r.s.stack);
    arena_drop(a, r.s.marks);
    arena_drop(a, r.s.memo);
    return ERR_OK;
}
