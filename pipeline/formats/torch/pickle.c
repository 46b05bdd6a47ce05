#include "formats/torch/pickle.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    PROTOCOL = 2,         /* torch.save's */
    MAX_BYTES = 1 << 30,  /* positions and indices are int32 */
    MAX_VALUES = 1 << 24, /* a state dict has some 12 per tensor */
    MAX_STACK = 1 << 22,  /* writers put 1000 items at a time there, torch's own C++ writer a whole dict */
    MAX_MARKS = 1 << 12,  /* lists in lists: a state dict has 4 */
    MAX_LINE = 256        /* module or name of a GLOBAL */
};

/* All opcodes up to protocol 5, so that a refused one is called by its name. */
static const struct {
    unsigned char code;
    const char *name;
} opcodes[] = {
    {'(', "MARK"},
    {'.', "STOP"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'J', "BININT"},
    {'K', "BININT1"},
    {'L', "LONG"},
    {'M', "BININT2"},
    {'N', "NONE"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {'R', "REDUCE"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'X', "BINUNICODE"},
    {'a', "APPEND"},
    {'b', "BUILD"},
    {'c', "GLOBAL"},
    {'d', "DICT"},
    {'}', "EMPTY_DICT"},
    {'e', "APPENDS"},
    {'g', "GET"},
    {'h', "BINGET"},
    {'i', "INST"},
    {'j', "LONG_BINGET"},
    {'l', "LIST"},
    {']', "EMPTY_LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'q', "BINPUT"},
    {'r', "LONG_BINPUT"},
    {'s', "SETITEM"},
    {'t', "TUPLE"},
    {')', "EMPTY_TUPLE"},
    {'u', "SETITEMS"},
    {'G', "BINFLOAT"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x80, "PROTO"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x85, "TUPLE1"},
    {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},
    {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},
    {0x8a, "LONG1"},
    {0x8b, "LONG4"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

static const char *opcode_name(unsigned char code)
{
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++)
        if (opcodes[i].code == code)
            return opcodes[i].name;
    return "unknown";
}

/* The machine: a stack with marks, a memo, and a place in the bytes. */
struct machine {
    struct pickle *out;
    struct arena *arena;
    const unsigned char *bytes;
    int64_t n, at, opcode_at; /* the next byte; the opcode being done */
    unsigned char opcode;
    int32_t *stack, *marks, *memo; /* value indices; stack heights; value indices + 1 */
    int64_t depth, nmarks;
    int64_t stack_cap, marks_cap, memo_cap, values_cap, items_cap, cells_cap;
    const struct pickle_name *names;
    int nnames;
};

/* `why` says what was expected and found. */
static err_t refuse(const struct machine *r, struct err *e, const char *why)
{
    return err_set(e, ERR_DATA, "%s: byte %lld: opcode %s: %s", r->out->what, (long long)r->opcode_at,
                   opcode_name(r->opcode), why);
}

/* ---- bytes ---- */

/* The next n bytes; NULL, and e set, where there are not as many. */
static const unsigned char *take(struct machine *r, uint64_t n, struct err *e)
{
    if (n > (uint64_t)(r->n - r->at)) {
        err_set(e, ERR_DATA,
                "%s: byte %lld: opcode %s: the pickle ends within it: expected %llu bytes, found %lld",
                r->out->what, (long long)r->opcode_at, opcode_name(r->opcode), (unsigned long long)n,
                (long long)(r->n - r->at));
        return NULL;
    }
    const unsigned char *p = r->bytes + r->at;
    r->at += (int64_t)n;
    return p;
}

static err_t take_number(struct machine *r, int bytes, uint64_t *x, struct err *e)
{
    const unsigned char *p = take(r, (uint64_t)bytes, e);
    *x = 0;
    if (!p)
        return e->code;
    for (int i = bytes - 1; i >= 0; i--)
        *x = *x << 8 | p[i];
    return ERR_OK;
}

/* A text up to the next line feed. */
static err_t take_line(struct machine *r, const char **text, int *n, struct err *e)
{
    int64_t left = r->n - r->at, most = left < MAX_LINE ? left : MAX_LINE;
    const unsigned char *p = r->bytes + r->at, *end = most > 0 ? memchr(p, '\n', (size_t)most) : NULL;
    if (!end)
        return refuse(r, e,
                      left < MAX_LINE ? "the pickle ends within its name" : "name of more than 256 bytes");
    *text = (const char *)p;
    *n = (int)(end - p);
    r->at += *n + 1;
    return ERR_OK;
}

/* ---- values ---- */

static err_t push(struct machine *r, int32_t value, struct err *e)
{
    if (r->depth >= MAX_STACK)
        return refuse(r, e, "more than 4194304 values on the stack");
    TRY(arena_grow(r->arena, "pickle.stack", r->depth + 1, &r->stack_cap, &r->stack, e));
    r->stack[r->depth++] = value;
    return ERR_OK;
}

/* A new value on the stack; *index receives it. */
static err_t add_value(struct machine *r, struct pickle_value v, int32_t *index, struct err *e)
{
    struct pickle *p = r->out;
    if (p->nvalues >= MAX_VALUES)
        return refuse(r, e, "more than 16777216 values");
    TRY(arena_grow(r->arena, "pickle.values", p->nvalues + 1, &r->values_cap, &p->values, e));
    v.at = (int32_t)r->opcode_at;
    p->values[p->nvalues] = v;
    *index = (int32_t)p->nvalues++;
    return push(r, *index, e);
}

static err_t add(struct machine *r, struct pickle_value v, struct err *e)
{
    int32_t index;
    return add_value(r, v, &index, e);
}

/* Values above the last mark. */
static int64_t above_mark(const struct machine *r)
{
    return r->depth - (r->nmarks > 0 ? r->marks[r->nmarks - 1] : 0);
}

static err_t need(const struct machine *r, int64_t n, struct err *e)
{
    return above_mark(r) < n ? refuse(r, e, "too few values on the stack") : ERR_OK;
}

/* Takes the last mark away; *first receives the height of the stack where it stood. */
static err_t pop_mark(struct machine *r, int64_t *first, struct err *e)
{
    if (r->nmarks == 0)
        return refuse(r, e, "no mark on the stack");
    *first = r->marks[--r->nmarks];
    return ERR_OK;
}

static struct pickle_value *top(struct machine *r)
{
    return &r->out->values[r->stack[r->depth - 1]];
}

/* The stack from `first` on becomes the items of one value. */
static err_t add_items(struct machine *r, int64_t first, struct pickle_value v, struct err *e)
{
    struct pickle *p = r->out;
    v.n = r->depth - first;
    v.first = (int32_t)p->nitems; /* below MAX_BYTES: each was a value taken from the stack */
    TRY(arena_grow(r->arena, "pickle.items", p->nitems + v.n, &r->items_cap, &p->items, e));
    for (int64_t i = 0; i < v.n; i++)
        p->items[p->nitems++] = r->stack[first + i];
    r->depth = first;
    return add(r, v, e);
}

/* Adds the stack from `first` on to the list or map below it: step 1 or 2 at a time. */
static err_t add_cells(struct machine *r, int64_t first, enum pickle_kind kind, struct err *e)
{
    struct pickle *p = r->out;
    int step = kind == PICKLE_DICT ? 2 : 1;
    int64_t floor = r->nmarks > 0 ? r->marks[r->nmarks - 1] : 0;
    if (first <= floor || p->values[r->stack[first - 1]].kind != kind)
        return refuse(
            r, e, kind == PICKLE_DICT ? "expected a map below its items" : "expected a list below its items");
    if ((r->depth - first) % step != 0)
        return refuse(r, e, "a key without a value");
    struct pickle_value *to = &p->values[r->stack[first - 1]];
    TRY(arena_grow(r->arena, "pickle.cells", p->ncells + (r->depth - first) / step, &r->cells_cap, &p->cells,
                   e));
    for (int64_t i = first; i < r->depth; i += step) {
        int32_t cell = (int32_t)p->ncells++;
        p->cells[cell] = (struct pickle_cell){step == 2 ? r->stack[i] : -1, r->stack[i + step - 1], -1};
        if (to->n++ == 0)
            to->first = cell;
        else
            p->cells[to->last].next = cell;
        to->last = cell;
    }
    r->depth = first;
    return ERR_OK;
}

/* ---- opcodes ---- */

static err_t add_integer(struct machine *r, int64_t x, struct err *e)
{
    return add(r, (struct pickle_value){.kind = PICKLE_INT, .i = x}, e);
}

/* n bytes, little-endian, two's complement. */
static err_t read_integer(struct machine *r, int bytes, int is_signed, struct err *e)
{
    uint64_t x;
    TRY(take_number(r, bytes, &x, e));
    if (is_signed && bytes > 0 && bytes < 8 && x >> (8 * bytes - 1) & 1)
        x |= ~(uint64_t)0 << (8 * bytes);
    return add_integer(r, (int64_t)x, e);
}

static err_t read_long(struct machine *r, struct err *e)
{
    uint64_t bytes;
    TRY(take_number(r, 1, &bytes, e));
    if (bytes > 8)
        return refuse(r, e, "an integer of more than 64 bits");
    return read_integer(r, (int)bytes, 1, e);
}

static err_t read_real(struct machine *r, struct err *e)
{
    const unsigned char *p = take(r, 8, e);
    if (!p)
        return e->code;
    uint64_t bits = 0;
    struct pickle_value v = {.kind = PICKLE_REAL};
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    memcpy(&v.x, &bits, sizeof v.x);
    return add(r, v, e);
}

static err_t read_text(struct machine *r, int length_bytes, struct err *e)
{
    uint64_t n;
    TRY(take_number(r, length_bytes, &n, e));
    const unsigned char *p = take(r, n, e);
    return p ? add(r, (struct pickle_value){.kind = PICKLE_TEXT, .text = (const char *)p, .n = (int64_t)n}, e)
             : e->code;
}

static err_t read_global(struct machine *r, struct err *e)
{
    const char *module = "", *name = "";
    char shown_module[100], shown_name[100];
    int module_n = 0, name_n = 0;
    TRY(take_line(r, &module, &module_n, e));
    TRY(take_line(r, &name, &name_n, e));
    for (int i = 0; i < r->nnames; i++) {
        const struct pickle_name *x = &r->names[i];
        if (strlen(x->module) == (size_t)module_n && memcmp(x->module, module, (size_t)module_n) == 0 &&
            strlen(x->name) == (size_t)name_n && memcmp(x->name, name, (size_t)name_n) == 0)
            return add(r, (struct pickle_value){.kind = PICKLE_NAME, .i = i}, e);
    }
    return err_set(
        e, ERR_DATA,
        "%s: byte %lld: GLOBAL %s.%s is refused: no name that a state dict needs; nothing of the file was "
        "executed",
        r->out->what, (long long)r->opcode_at,
        pickle_shown(module, module_n, shown_module, sizeof shown_module),
        pickle_shown(name, name_n, shown_name, sizeof shown_name));
}

static err_t put(struct machine *r, int length_bytes, struct err *e)
{
    uint64_t slot;
    TRY(take_number(r, length_bytes, &slot, e));
    TRY(need(r, 1, e));
    /* Writers count slots from 0: one beyond the bytes of the pickle serves only to ask for memory. */
    if (slot >= (uint64_t)r->n)
        return refuse(r, e, "memo slot beyond the length of the pickle");
    TRY(arena_grow(r->arena, "pickle.memo", (int64_t)slot + 1, &r->memo_cap, &r->memo, e));
    r->memo[slot] = r->stack[r->depth - 1] + 1;
    return ERR_OK;
}

static err_t get(struct machine *r, int length_bytes, struct err *e)
{
    uint64_t slot;
    TRY(take_number(r, length_bytes, &slot, e));
    if (slot >= (uint64_t)r->memo_cap || r->memo[slot] == 0)
        return refuse(r, e, "memo slot that was never put");
    return push(r, r->memo[slot] - 1, e);
}

static err_t mark(struct machine *r, struct err *e)
{
    if (r->nmarks >= MAX_MARKS)
        return refuse(r, e, "more than 4096 values within each other");
    TRY(arena_grow(r->arena, "pickle.marks", r->nmarks + 1, &r->marks_cap, &r->marks, e));
    r->marks[r->nmarks++] = (int32_t)r->depth;
    return ERR_OK;
}

static err_t read_tuple(struct machine *r, int n, struct err *e)
{
    int64_t first = 0;
    if (n >= 0) {
        TRY(need(r, n, e));
        first = r->depth - n;
    } else {
        TRY(pop_mark(r, &first, e));
    }
    return add_items(r, first, (struct pickle_value){.kind = PICKLE_TUPLE}, e);
}

/* A call is noted, not made. */
static err_t reduce(struct machine *r, struct err *e)
{
    TRY(need(r, 2, e));
    const struct pickle_value *arguments = top(r), *name = &r->out->values[r->stack[r->depth - 2]];
    if (arguments->kind != PICKLE_TUPLE)
        return refuse(r, e, "expected a tuple of arguments");
    if (name->kind != PICKLE_NAME)
        return refuse(r, e, "expected a GLOBAL to call");
    int64_t which = name->i;
    const struct pickle_name *x = &r->names[which];
    char why[200];
    if (x->use == PICKLE_USE_NAME || (x->use == PICKLE_USE_DICT && arguments->n > 0)) {
        snprintf(why, sizeof why, "a call of %.60s.%.60s%s is refused", x->module, x->name,
                 x->use == PICKLE_USE_DICT ? " with arguments" : "");
        return refuse(r, e, why);
    }
    if (x->use == PICKLE_USE_DICT) {
        r->depth -= 2;
        return add(r, (struct pickle_value){.kind = PICKLE_DICT, .first = -1, .last = -1}, e);
    }
    r->stack[r->depth - 2] = r->stack[r->depth - 1];
    r->depth--;
    return add_items(r, r->depth - 1, (struct pickle_value){.kind = PICKLE_CALL, .i = which}, e);
}

/* Attributes: an OrderedDict of torch has `_metadata`, of no use here. The values stay in the tree, unused.
 */
static err_t build(struct machine *r, struct err *e)
{
    TRY(need(r, 2, e));
    if (top(r)->kind != PICKLE_DICT || r->out->values[r->stack[r->depth - 2]].kind != PICKLE_DICT)
        return refuse(r, e, "expected a map of attributes for an OrderedDict");
    r->depth--;
    return ERR_OK;
}

static err_t append(struct machine *r, int marked, enum pickle_kind kind, struct err *e)
{
    int64_t first = 0;
    if (marked) {
        TRY(pop_mark(r, &first, e));
    } else {
        int step = kind == PICKLE_DICT ? 2 : 1;
        TRY(need(r, step + 1, e));
        first = r->depth - step;
    }
    return add_cells(r, first, kind, e);
}

static err_t protocol(struct machine *r, struct err *e)
{
    uint64_t version;
    TRY(take_number(r, 1, &version, e));
    if (version == PROTOCOL)
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: byte %lld: pickle protocol %d, expected %d; save it again with the pickle_protocol that "
        "torch.save has by itself",
        r->out->what, (long long)r->opcode_at, (int)version, PROTOCOL);
}

static err_t stop(struct machine *r, struct err *e)
{
    if (r->depth != 1 || r->nmarks > 0)
        return refuse(r, e, "expected one value on the stack");
    if (r->at != r->n)
        return refuse(r, e, "bytes behind the end of the pickle");
    r->out->root = top(r);
    return ERR_OK;
}

static err_t step(struct machine *r, struct err *e)
{
    switch (r->opcode) {
    case 0x80:
        return protocol(r, e);
    case '.':
        return stop(r, e);
    case '(':
        return mark(r, e);
    case 'N':
        return add(r, (struct pickle_value){.kind = PICKLE_NONE}, e);
    case 0x88:
    case 0x89:
        return add(r, (struct pickle_value){.kind = PICKLE_BOOL, .i = r->opcode == 0x88}, e);
    case 'K':
        return read_integer(r, 1, 0, e);
    case 'M':
        return read_integer(r, 2, 0, e);
    case 'J':
        return read_integer(r, 4, 1, e);
    case 0x8a:
        return read_long(r, e);
    case 'G':
        return read_real(r, e);
    case 'X':
        return read_text(r, 4, e);
    case 'U':
        return read_text(r, 1, e);
    case 'c':
        return read_global(r, e);
    case ')':
        return read_tuple(r, 0, e);
    case 0x85:
    case 0x86:
    case 0x87:
        return read_tuple(r, r->opcode - 0x84, e);
    case 't':
        return read_tuple(r, -1, e);
    case ']':
        return add(r, (struct pickle_value){.kind = PICKLE_LIST, .first = -1, .last = -1}, e);
    case '}':
        return add(r, (struct pickle_value){.kind = PICKLE_DICT, .first = -1, .last = -1}, e);
    case 'a':
        return append(r, 0, PICKLE_LIST, e);
    case 'e':
        return append(r, 1, PICKLE_LIST, e);
    case 's':
        return append(r, 0, PICKLE_DICT, e);
    case 'u':
        return append(r, 1, PICKLE_DICT, e);
    case 'q':
        return put(r, 1, e);
    case 'r':
        return put(r, 4, e);
    case 'h':
        return get(r, 1, e);
    case 'j':
        return get(r, 4, e);
    case 'R':
        return reduce(r, e);
    case 'b':
        return build(r, e);
    case 'Q':
        TRY(need(r, 1, e));
        return add_items(r, r->depth - 1, (struct pickle_value){.kind = PICKLE_PERSISTENT}, e);
    default:
        break;
    }
    return err_set(
        e, ERR_DATA,
        "%s: byte %lld: opcode 0x%02x (%s) is refused: none that a state dict needs; nothing of the file was "
        "executed",
        r->out->what, (long long)r->opcode_at, (unsigned)r->opcode, opcode_name(r->opcode));
}

err_t pickle_read(struct pickle *p, const char *what, const char *bytes, int64_t n,
                  const struct pickle_name *names, int nnames, struct arena *a, struct err *e)
{
    *p = (struct pickle){.what = what};
    if (n > MAX_BYTES)
        return err_set(e, ERR_DATA, "%s: pickle of %lld bytes, expected at most %d", what, (long long)n,
                       MAX_BYTES);
    struct machine r = {.out = p,
                        .arena = a,
                        .bytes = (const unsigned char *)bytes,
                        .n = n,
                        .names = names,
                        .nnames = nnames};
    while (!p->root) {
        if (r.at >= n)
            return err_set(e, ERR_DATA, "%s: byte %lld: the pickle ends without its end (opcode STOP)", what,
                           (long long)r.at);
        r.opcode_at = r.at;
        r.opcode = r.bytes[r.at++];
        TRY(step(&r, e));
    }
    arena_drop(a, r.stack);
    arena_drop(a, r.marks);
    arena_drop(a, r.memo);
    return ERR_OK;
}
