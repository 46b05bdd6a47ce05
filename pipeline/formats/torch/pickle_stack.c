#include "formats/torch/pickle_stack.h"

enum {
    MAX_VALUES = 1 << 24, /* a state dict has some 12 per tensor */
    MAX_STACK = 1 << 22,  /* writers put 1000 items at a time there, torch's own C++ writer a whole dict */
    MAX_MARKS = 1 << 12   /* lists in lists: a state dict has 4 */
};

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

const char *pickle_opcode(unsigned char code)
{
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++)
        if (opcodes[i].code == code)
            return opcodes[i].name;
    return "unknown";
}

err_t pickle_stack_refuse(const struct pickle_stack *s, struct err *e, const char *why)
{
    return err_set(e, ERR_DATA, "%s: byte %lld: opcode %s: %s", s->out->what, (long long)s->opcode_at,
                   pickle_opcode(s->opcode), why);
}

/* ---- values and the stack ---- */

err_t pickle_stack_push(struct pickle_stack *s, int32_t value, struct err *e)
{
    if (s->depth >= MAX_STACK)
        return pickle_stack_refuse(s, e, "more than 4194304 values on the stack");
    TRY(arena_grow(s->arena, "pickle.stack", s->depth + 1, &s->stack_cap, &s->stack, e));
    s->stack[s->depth++] = value;
    return ERR_OK;
}

err_t pickle_stack_make(struct pickle_stack *s, struct pickle_value v, int32_t *index, struct err *e)
{
    struct pickle *p = s->out;
    if (p->nvalues >= MAX_VALUES)
        return pickle_stack_refuse(s, e, "more than 16777216 values");
    TRY(arena_grow(s->arena, "pickle.values", p->nvalues + 1, &s->values_cap, &p->values, e));
    v.at = (int32_t)s->opcode_at;
    p->values[p->nvalues] = v;
    *index = (int32_t)p->nvalues++;
    return ERR_OK;
}

err_t pickle_stack_add(struct pickle_stack *s, struct pickle_value v, struct err *e)
{
    int32_t index = 0;
    TRY(pickle_stack_make(s, v, &index, e));
    return pickle_stack_push(s, index, e);
}

/* The height of the last mark. */
static int64_t base(const struct pickle_stack *s)
{
    return s->nmarks > 0 ? s->marks[s->nmarks - 1] : 0;
}

err_t pickle_stack_need(const struct pickle_stack *s, int64_t n, struct err *e)
{
    return s->depth - base(s) < n ? pickle_stack_refuse(s, e, "too few values on the stack") : ERR_OK;
}

struct pickle_value *pickle_stack_top(const struct pickle_stack *s, int64_t below)
{
    return &s->out->values[s->stack[s->depth - 1 - below]];
}

err_t pickle_stack_mark(struct pickle_stack *s, struct err *e)
{
    if (s->nmarks >= MAX_MARKS)
        return pickle_stack_refuse(s, e, "more than 4096 values within each other");
    TRY(arena_grow(s->arena, "pickle.marks", s->nmarks + 1, &s->marks_cap, &s->marks, e));
    s->marks[s->nmarks++] = (int32_t)s->depth;
    return ERR_OK;
}

err_t pickle_stack_pop_mark(struct pickle_stack *s, int64_t *first, struct err *e)
{
    if (s->nmarks == 0)
        return pickle_stack_refuse(s, e, "no mark on the stack");
    *first = s->marks[--s->nmarks];
    return ERR_OK;
}

/* ---- the memo ---- */

err_t pickle_stack_put(struct pickle_stack *s, uint64_t slot, struct err *e)
{
    TRY(pickle_stack_need(s, 1, e));
    /* Writers count slots from 0: one beyond the bytes of the pickle serves only to ask for memory. */
    if (slot >= (uint64_t)s->bytes)
        return pickle_stack_refuse(s, e, "memo slot beyond the length of the pickle");
    TRY(arena_grow(s->arena, "pickle.memo", (int64_t)slot + 1, &s->memo_cap, &s->memo, e));
    s->nmemo += s->memo[slot] == 0;
    s->memo[slot] = s->stack[s->depth - 1] + 1;
    return ERR_OK;
}

/* The slot is the number of those in use, as Python's reader has it. */
err_t pickle_stack_memoize(struct pickle_stack *s, struct err *e)
{
    return pickle_stack_put(s, (uint64_t)s->nmemo, e);
}

err_t pickle_stack_get(struct pickle_stack *s, uint64_t slot, struct err *e)
{
    if (slot >= (uint64_t)s->memo_cap || s->memo[slot] == 0)
        return pickle_stack_refuse(s, e, "memo slot that was never put");
    return pickle_stack_push(s, s->memo[slot] - 1, e);
}

/* ---- values of values ---- */

/* Room for n more items, and where they begin. Their number stays below 2^31: each was a value on the stack,
 * of which a pickle of 2^30 bytes has as many, or one of two parts of a value. */
static err_t more_items(struct pickle_stack *s, int64_t n, int32_t *first, struct err *e)
{
    struct pickle *p = s->out;
    TRY(arena_grow(s->arena, "pickle.items", p->nitems + n, &s->items_cap, &p->items, e));
    *first = (int32_t)p->nitems;
    p->nitems += n;
    return ERR_OK;
}

err_t pickle_stack_gather(struct pickle_stack *s, int64_t first, enum pickle_kind kind, struct err *e)
{
    struct pickle_value v = {.kind = kind, .n = s->depth - first};
    TRY(more_items(s, v.n, &v.first, e));
    for (int64_t i = 0; i < v.n; i++)
        s->out->items[v.first + i] = s->stack[first + i];
    s->depth = first;
    return pickle_stack_add(s, v, e);
}

err_t pickle_stack_fill(struct pickle_stack *s, int64_t first, int32_t to, int step, struct err *e)
{
    struct pickle *p = s->out;
    if ((s->depth - first) % step != 0)
        return pickle_stack_refuse(s, e, "a key without a value");
    TRY(arena_grow(s->arena, "pickle.cells", p->ncells + (s->depth - first) / step, &s->cells_cap, &p->cells,
                   e));
    struct pickle_value *v = &p->values[to];
    for (int64_t i = first; i < s->depth; i += step) {
        int32_t cell = (int32_t)p->ncells++;
        p->cells[cell] = (struct pickle_cell){step == 2 ? s->stack[i] : -1, s->stack[i + step - 1], -1};
        if (v->n++ == 0)
            v->first = cell;
        else
            p->cells[v->last].next = cell;
        v->last = cell;
    }
    s->depth = first;
    return ERR_OK;
}

static int is_object(const struct pickle_value *v)
{
    return v->kind == PICKLE_CALL || v->kind == PICKLE_OBJECT;
}

/* A call is noted, not made: that of a name, or of what another would give (getattr does). */
err_t pickle_stack_call(struct pickle_stack *s, enum pickle_kind kind, struct err *e)
{
    TRY(pickle_stack_need(s, 2, e));
    const struct pickle_value *arguments = pickle_stack_top(s, 0), *callee = pickle_stack_top(s, 1);
    if (arguments->kind != PICKLE_TUPLE)
        return pickle_stack_refuse(s, e, "expected a tuple of arguments");
    if (callee->kind != PICKLE_NAME && !is_object(callee))
        return pickle_stack_refuse(
            s, e, kind == PICKLE_CALL ? "expected a GLOBAL to call" : "expected a GLOBAL to make one of");
    struct pickle_value v = {.kind = kind, .first = -1, .last = -1};
    if (kind == PICKLE_CALL && callee->kind == PICKLE_NAME && callee->i >= 0 &&
        s->out->names[callee->i].is_map && arguments->n == 0) {
        s->depth -= 2;
        v.kind = PICKLE_DICT;
        return pickle_stack_add(s, v, e);
    }
    int32_t parts = 0;
    TRY(more_items(s, 2, &parts, e));
    s->out->items[parts] = s->stack[s->depth - 1];
    s->out->items[parts + 1] = -1;
    v.callee = s->stack[s->depth - 2] + 1;
    v.parts = parts + 1;
    s->depth -= 2;
    return pickle_stack_add(s, v, e);
}

err_t pickle_stack_build(struct pickle_stack *s, struct err *e)
{
    TRY(pickle_stack_need(s, 2, e));
    int32_t to = s->stack[s->depth - 2], state = s->stack[s->depth - 1], parts = 0;
    struct pickle_value *v = &s->out->values[to];
    if (!is_object(v) && v->kind != PICKLE_DICT && v->kind != PICKLE_LIST && v->kind != PICKLE_SET)
        return pickle_stack_refuse(s, e, "expected an object below its state");
    if (v->parts == 0) {
        TRY(more_items(s, 2, &parts, e));
        s->out->items[parts] = s->out->items[parts + 1] = -1;
        v->parts = parts + 1;
    }
    /* A second state would add to the first or replace it, as its class has it: no writer makes one. */
    if (s->out->items[v->parts] >= 0)
        return pickle_stack_refuse(s, e, "a second state of one object");
    s->out->items[v->parts] = state;
    s->depth--;
    return ERR_OK;
}
