#include "formats/lora/pattern.h"

#include <stdint.h>
#include <stdio.h>

#include <string.h>

enum { DEPTH = 40, REPEATS = 255, NOWHERE = -1 };

enum state_kind {
    STATE_BYTE,  /* a byte of the set, then next */
    STATE_SPLIT, /* next or other */
    STATE_BEGIN, /* at the name's beginning, then next */
    STATE_END,   /* at its end, then next */
    STATE_MATCH
};

struct pattern_state {
    enum state_kind kind;
    int next, other;
    int seen;        /* the step at which it was last reached */
    uint32_t set[8]; /* 256 bits */
};

struct module_pattern {
    const char *plain; /* the key where all of it but its dots are characters; then there are no states */
    struct pattern_state *v;
    int n, cap, start;
    int *now, *then; /* states reached, before and behind a byte */
    int step;
};

/* A piece of the graph while it is made: where it is entered; all ways out of it lead to its last state, a
 * split whose `next` is not yet known. */
struct pattern_piece {
    int in, out;
};

/* A key while it is read. */
struct pattern_reader {
    struct module_pattern *p;
    const char *at;
    int depth;
    char *problem;
    int size;
};

/* ---- sets of bytes ---- */

static void set_add(uint32_t *set, int from, int to)
{
    for (int c = from; c <= to; c++)
        set[c / 32] |= 1u << c % 32;
}

static void set_turn(uint32_t *set)
{
    for (int i = 0; i < 8; i++)
        set[i] = ~set[i];
}

static int set_has(const uint32_t *set, unsigned char c)
{
    return set[c / 32] >> c % 32 & 1;
}

/* The class of a letter behind a backslash: 1, and 0 where it has none. Names are ASCII where these matter.
 */
static int set_class(uint32_t *set, char letter)
{
    uint32_t s[8] = {0};
    switch (letter | 0x20) {
    case 'd':
        set_add(s, '0', '9');
        break;
    case 's':
        set_add(s, '\t', '\r');
        set_add(s, 0x1c, 0x1f);
        set_add(s, ' ', ' ');
        break;
    case 'w':
        set_add(s, '0', '9');
        set_add(s, 'a', 'z');
        set_add(s, 'A', 'Z');
        set_add(s, '_', '_');
        set_add(s, 0x80, 0xff);
        break;
    default:
        return 0;
    }
    if (letter >= 'A' && letter <= 'Z')
        set_turn(s);
    for (int i = 0; i < 8; i++)
        set[i] |= s[i];
    return 1;
}

/* ---- making states ---- */

static int refuse(struct pattern_reader *r, const char *what)
{
    if (r->problem[0] == '\0')
        snprintf(r->problem, (size_t)r->size, "%s", what);
    return NOWHERE;
}

static int add_state(struct pattern_reader *r, enum state_kind kind, int next, int other)
{
    struct module_pattern *p = r->p;
    if (r->problem[0] != '\0')
        return NOWHERE;
    if (p->n == p->cap)
        return refuse(r, "is too long once its repetitions are written out");
    p->v[p->n] = (struct pattern_state){.kind = kind, .next = next, .other = other, .seen = -1};
    return p->n++;
}

static struct pattern_piece nothing(struct pattern_reader *r)
{
    int at = add_state(r, STATE_SPLIT, NOWHERE, NOWHERE);
    return (struct pattern_piece){at, at};
}

/* A state and the way out behind it. */
static struct pattern_piece one(struct pattern_reader *r, enum state_kind kind, const uint32_t *set)
{
    struct pattern_piece x = nothing(r);
    x.in = add_state(r, kind, x.out, NOWHERE);
    if (x.in != NOWHERE && set)
        memcpy(r->p->v[x.in].set, set, sizeof r->p->v[x.in].set);
    return x;
}

static void lead(struct pattern_reader *r, int out, int to)
{
    if (r->problem[0] == '\0')
        r->p->v[out].next = to;
}

static struct pattern_piece follow(struct pattern_reader *r, struct pattern_piece x, struct pattern_piece y)
{
    lead(r, x.out, y.in);
    return (struct pattern_piece){x.in, y.out};
}

static struct pattern_piece either(struct pattern_reader *r, struct pattern_piece x, struct pattern_piece y)
{
    struct pattern_piece end = nothing(r);
    lead(r, x.out, end.in);
    lead(r, y.out, end.in);
    return (struct pattern_piece){add_state(r, STATE_SPLIT, x.in, y.in), end.out};
}

static struct pattern_piece optional(struct pattern_reader *r, struct pattern_piece x)
{
    return either(r, x, nothing(r));
}

/* Any number of times, none included. */
static struct pattern_piece star(struct pattern_reader *r, struct pattern_piece x)
{
    struct pattern_piece end = nothing(r);
    int again = add_state(r, STATE_SPLIT, x.in, end.in);
    lead(r, x.out, again);
    return (struct pattern_piece){again, end.out};
}

/* ---- reading a key ---- */

static struct pattern_piece read_choice(struct pattern_reader *r);

/* An escaped byte, or its class into set; inside of [...] or not. 0, or NOWHERE. */
static int read_escape(struct pattern_reader *r, uint32_t *set, int *byte)
{
    char c = *r->at;
    *byte = -1;
    if (c == '\0')
        return refuse(r, "ends with a backslash");
    r->at++;
    if (set_class(set, c))
        return 0;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return refuse(r, "holds an escape that is not understood (\\d, \\w, \\s and escaped signs are)");
    *byte = (unsigned char)c;
    set_add(set, *byte, *byte);
    return 0;
}

/* One byte of a class, or the first of a range. 0, or NOWHERE. */
static int read_class_item(struct pattern_reader *r, uint32_t *set)
{
    int from = (unsigned char)*r->at++, to;
    uint32_t one_byte[8] = {0};
    if (from == '\\' && read_escape(r, one_byte, &from) != 0)
        return NOWHERE;
    if (from >= 0 && r->at[0] == '-' && r->at[1] != ']' && r->at[1] != '\0') {
        r->at++;
        to = (unsigned char)*r->at++;
        if (to == '\\' && (read_escape(r, one_byte, &to) != 0 || to < 0))
            return refuse(r, "holds a range that ends with a class");
        if (to < from)
            return refuse(r, "holds a range that runs backwards");
        set_add(one_byte, from, to);
    } else if (from >= 0) {
        set_add(one_byte, from, from);
    }
    for (int i = 0; i < 8; i++)
        set[i] |= one_byte[i];
    return 0;
}

static struct pattern_piece read_class(struct pattern_reader *r)
{
    uint32_t set[8] = {0};
    int negated = *r->at == '^';
    r->at += negated;
    for (int first = 1; first || *r->at != ']'; first = 0) {
        if (*r->at == '\0') {
            refuse(r, "holds a [ without its ]");
            return nothing(r);
        }
        if (read_class_item(r, set) != 0)
            return nothing(r);
    }
    r->at++;
    if (negated)
        set_turn(set);
    return one(r, STATE_BYTE, set);
}

/* Behind "(": a group, with or without a number or a name. */
static struct pattern_piece read_group(struct pattern_reader *r)
{
    if (r->at[0] == '?') {
        if (r->at[1] == ':') {
            r->at += 2;
        } else if (r->at[1] == 'P' && r->at[2] == '<' && strchr(r->at, '>')) {
            r->at = strchr(r->at, '>') + 1;
        } else {
            refuse(r, "holds a group (?...) that is not understood: looking ahead or behind, or flags");
            return nothing(r);
        }
    }
    if (++r->depth > DEPTH)
        refuse(r, "holds groups in groups deeper than 40");
    struct pattern_piece x = r->depth > DEPTH ? nothing(r) : read_choice(r);
    r->depth--;
    if (*r->at != ')')
        refuse(r, "holds a ( without its )");
    else
        r->at++;
    return x;
}

static struct pattern_piece read_one(struct pattern_reader *r)
{
    uint32_t set[8] = {0};
    int byte;
    char c = *r->at++;
    switch (c) {
    case '(':
        return read_group(r);
    case '[':
        return read_class(r);
    case '^':
        return one(r, STATE_BEGIN, NULL);
    case '$':
        return one(r, STATE_END, NULL);
    case '.':
        set_add(set, '\n', '\n');
        set_turn(set);
        return one(r, STATE_BYTE, set);
    case '*':
    case '+':
    case '?':
        refuse(r, "repeats nothing");
        return nothing(r);
    case '\\':
        if (read_escape(r, set, &byte) != 0)
            return nothing(r);
        return one(r, STATE_BYTE, set);
    default:
        set_add(set, (unsigned char)c, (unsigned char)c);
        return one(r, STATE_BYTE, set);
    }
}

static int read_number(const char **at, int *n)
{
    int digits = 0;
    for (*n = 0; **at >= '0' && **at <= '9' && digits < 6; digits++)
        *n = *n * 10 + (*(*at)++ - '0');
    return digits;
}

/* What stands behind an item: how often it comes. most -1: any number. Returns 0 where there is nothing. As
 * in Python a { that begins no such count is a character. */
static int read_count(struct pattern_reader *r, int *least, int *most)
{
    const char *at = r->at;
    char c = *at++;
    if (c == '*' || c == '+' || c == '?') {
        *least = c == '+';
        *most = c == '?' ? 1 : -1;
    } else if (c == '{') {
        int low = read_number(&at, least), comma = *at == ',', high = 0;
        at += comma;
        *most = *least;
        if (comma && !(high = read_number(&at, most)))
            *most = -1;
        if (*at++ != '}' || !(low || high))
            return 0;
    } else {
        return 0;
    }
    r->at = at + (*at == '?');
    if (*r->at == '+' && c != '{')
        refuse(r, "holds a possessive repetition, which is not understood");
    if (*least > REPEATS || *most > REPEATS || (*most >= 0 && *most < *least))
        refuse(r, "holds a repetition {m,n} with m above n, or above 255");
    return 1;
}

/* An item with its count. A repetition is the item read so often, from the same place of the key. */
static struct pattern_piece read_item(struct pattern_reader *r)
{
    const char *begin = r->at;
    int least, most;
    struct pattern_piece x = read_one(r);
    if (r->problem[0] != '\0' || !read_count(r, &least, &most))
        return x;
    const char *end = r->at;
    struct pattern_piece all = nothing(r);
    int times = most < 0 ? least + 1 : most;
    for (int i = 0; i < times && r->problem[0] == '\0'; i++) {
        if (i > 0) {
            r->at = begin;
            x = read_one(r);
        }
        all = follow(r, all, i < least ? x : most < 0 ? star(r, x) : optional(r, x));
    }
    r->at = end;
    if (strchr("*+?", *end) && *end != '\0')
        refuse(r, "repeats a repetition");
    return all;
}

static struct pattern_piece read_choice(struct pattern_reader *r)
{
    struct pattern_piece x = nothing(r);
    while (*r->at != '\0' && *r->at != ')' && *r->at != '|' && r->problem[0] == '\0')
        x = follow(r, x, read_item(r));
    while (*r->at == '|' && r->problem[0] == '\0') {
        struct pattern_piece y = nothing(r);
        r->at++;
        while (*r->at != '\0' && *r->at != ')' && *r->at != '|' && r->problem[0] == '\0')
            y = follow(r, y, read_item(r));
        x = either(r, x, y);
    }
    return x;
}

/* What stands before the key: nothing, or any text that ends with a dot. */
static struct pattern_piece read_before(struct pattern_reader *r)
{
    uint32_t any[8] = {0}, dot[8] = {0};
    set_add(any, '\n', '\n');
    set_turn(any);
    set_add(dot, '.', '.');
    return optional(r, follow(r, star(r, one(r, STATE_BYTE, any)), one(r, STATE_BYTE, dot)));
}

/* Nothing but characters that mean themselves, and dots: most keys are names, and there may be one for each
 * module of a model. */
static int is_plain(const char *key)
{
    for (; *key != '\0'; key++)
        if (!strchr("._-", *key) && !(*key >= '0' && *key <= '9') && !(*key >= 'a' && *key <= 'z') &&
            !(*key >= 'A' && *key <= 'Z'))
            return 0;
    return 1;
}

/* The states of a key, in no more room than they need. */
static err_t make_states(struct module_pattern *p, struct pattern_reader *r, struct arena *a, struct err *e)
{
    struct pattern_state *room;
    TRY(arena_array(a, "adapter.pattern", PATTERN_STATES, &room, e));
    p->v = room;
    p->cap = PATTERN_STATES;
    struct pattern_piece all = follow(r, read_before(r), read_choice(r));
    if (*r->at != '\0')
        refuse(r, "holds a ) without its (");
    p->start = all.in;
    struct pattern_piece end = one(r, STATE_END, NULL);
    lead(r, all.out, end.in);
    lead(r, end.out, add_state(r, STATE_MATCH, NOWHERE, NOWHERE));
    TRY(arena_array(a, "adapter.pattern", p->n, &p->v, e));
    TRY(arena_array(a, "adapter.pattern", p->n, &p->now, e));
    TRY(arena_array(a, "adapter.pattern", p->n, &p->then, e));
    memcpy(p->v, room, (size_t)p->n * sizeof *room);
    arena_drop(a, room);
    return ERR_OK;
}

struct module_pattern *pattern_make(const char *key, char *problem, int size, struct arena *a, struct err *e)
{
    struct module_pattern *p;
    problem[0] = '\0';
    if (arena_array(a, "adapter.pattern", 1, &p, e) != ERR_OK)
        return NULL;
    struct pattern_reader r = {.p = p, .at = key, .problem = problem, .size = size};
    if (is_plain(key)) {
        p->plain = arena_strdup(a, key, e);
        return p->plain ? p : NULL;
    }
    if (strlen(key) > PATTERN_LENGTH) {
        refuse(&r, "is longer than 1000 characters");
        return NULL;
    }
    return make_states(p, &r, a, e) == ERR_OK && problem[0] == '\0' ? p : NULL;
}

/* ---- matching ---- */

/* Adds a state and all that are reached from it without a byte to a list that ends at n. Each state is added
 * once a step, so that the list of what is still to be looked at, its own tail, never grows past them all. */
static int reach(struct module_pattern *p, int *list, int n, int from, int begin, int end)
{
    if (from == NOWHERE || p->v[from].seen == p->step)
        return n;
    p->v[from].seen = p->step;
    list[n] = from;
    int last = n + 1;
    for (; n < last; n++) {
        const struct pattern_state *s = &p->v[list[n]];
        if (s->kind == STATE_BYTE || s->kind == STATE_MATCH || (s->kind == STATE_BEGIN && !begin) ||
            (s->kind == STATE_END && !end))
            continue;
        int way[2] = {s->next, s->kind == STATE_SPLIT ? s->other : NOWHERE};
        for (int k = 0; k < 2; k++)
            if (way[k] != NOWHERE && p->v[way[k]].seen != p->step) {
                p->v[way[k]].seen = p->step;
                list[last++] = way[k];
            }
    }
    return last;
}

static int ends_plainly(const char *key, const char *name)
{
    size_t k = strlen(key), n = strlen(name);
    if (k > n || (k < n && name[n - k - 1] != '.'))
        return 0;
    while (k > 0 && (key[k - 1] == name[n - 1] || key[k - 1] == '.')) {
        k--;
        n--;
    }
    return k == 0;
}

int pattern_matches(struct module_pattern *p, const char *name)
{
    if (p->plain)
        return ends_plainly(p->plain, name);
    for (int i = 0; i < p->n; i++)
        p->v[i].seen = -1;
    p->step = 0;
    int n = reach(p, p->now, 0, p->start, 1, name[0] == '\0');
    for (const char *c = name; *c != '\0'; c++) {
        int m = 0;
        p->step++;
        for (int i = 0; i < n; i++) {
            const struct pattern_state *s = &p->v[p->now[i]];
            if (s->kind == STATE_BYTE && set_has(s->set, (unsigned char)*c))
                m = reach(p, p->then, m, s->next, 0, c[1] == '\0');
        }
        int *swap = p->now;
        p->now = p->then;
        p->then = swap;
        n = m;
    }
    for (int i = 0; i < n; i++)
        if (p->v[p->now[i]].kind == STATE_MATCH)
            return 1;
    return 0;
}
