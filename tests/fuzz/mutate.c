#include "mutate.h"

enum { MOST_OPS = 1024, MOST_RUN = 6, BLIND = 4 /* one change of so many */ };

uint32_t mutate_below(uint32_t *dice, uint32_t n)
{
    *dice ^= *dice << 13; /* Marsaglia's xorshift */
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice % n;
}

size_t mutate_blindly(uint8_t *data, size_t size, size_t max, uint32_t *dice)
{
    (void)dice;
    return LLVMFuzzerMutate(data, size, max);
}

/* Of the same size: what behind a shorter one is as it was. */
size_t mutate_in_place(uint8_t *data, size_t size, size_t max, uint32_t *dice)
{
    (void)max;
    (void)dice;
    if (size > 0)
        LLVMFuzzerMutate(data, size, size);
    return size;
}

/* data[at, at + old) becomes `with`; the size afterwards, or the same where there is no room. */
static size_t replace(uint8_t *data, size_t size, size_t max, size_t at, size_t old, const void *with,
                      size_t n)
{
    if (size - old + n > max)
        return size;
    memmove(data + at + n, data + at + old, size - at - old);
    if (n > 0)
        memcpy(data + at, with, n);
    return size - old + n;
}

/* ---- pickles ---- */

static size_t number_at(const uint8_t *p, int width)
{
    size_t x = 0;
    for (int i = width - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

/* How an operation goes on behind its byte: 'n' with n bytes, 'w' with a length of w bytes and as many, 'l'
 * with lines. */
struct op_kind {
    char how;
    int n;
};

static struct op_kind kind_of(uint8_t op)
{
    static const struct {
        const char *ops;
        struct op_kind kind;
    } kinds[] = {
        {"Kqh\x80", {'n', 1}}, {"M", {'n', 2}},         {"Jrj", {'n', 4}},
        {"G\x95", {'n', 8}},   {"U\x8c\x8a", {'w', 1}}, {"XT\x8b", {'w', 4}},
        {"ci", {'l', 2}},      {"ILFSVpgP", {'l', 1}},  {"\x8d\x8e", {'w', 8}},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strchr(kinds[i].ops, op))
            return kinds[i].kind;
    return (struct op_kind){'n', 0};
}

/* The length of the operation at p, n > 0 bytes being left. */
static size_t op_length(const uint8_t *p, size_t n)
{
    struct op_kind kind = p[0] ? kind_of(p[0]) : (struct op_kind){'n', 0};
    size_t length = 1, head = (size_t)kind.n;
    if (kind.how == 'n')
        length += head;
    else if (kind.how == 'w')
        length = n > head ? 1 + head + (number_at(p + 1, kind.n) & 0xffffff) : n;
    for (int i = 0; kind.how == 'l' && i < kind.n; i++) {
        const uint8_t *end = memchr(p + length, '\n', n - length);
        length = end ? (size_t)(end - p) + 1 : n;
    }
    return length < n ? length : n;
}

/* Where operations begin, and behind the last the end; their count. */
static size_t list_ops(const uint8_t *data, size_t size, size_t at[MOST_OPS + 1])
{
    size_t n = 0, here = 0;
    for (; here < size && n < MOST_OPS; n++) {
        at[n] = here;
        here += op_length(data + here, size - here);
    }
    at[n] = here;
    return n;
}

/* The argument of an operation. A text keeps a length that is right. */
static size_t change_argument(uint8_t *data, size_t size, size_t max, size_t at, size_t length,
                              uint32_t *dice)
{
    static const uint64_t numbers[] = {0,          1,          2,          3,          4,          5,
                                       16,         17,         127,        255,        256,        0x7fff,
                                       0x7fffffff, 0x80000000, UINT32_MAX, 1ull << 40, 64,         1024,
                                       0xffff,     1ull << 62, INT64_MAX,  1ull << 63, UINT64_MAX, 10};
    struct op_kind kind = data[at] ? kind_of(data[at]) : (struct op_kind){'n', 0};
    uint64_t number = numbers[mutate_below(dice, sizeof numbers / sizeof *numbers)];
    if (kind.how == 'n') {
        for (size_t i = 1; i < length; i++)
            data[at + i] = (uint8_t)(number >> (8 * (i - 1)));
        return size;
    }
    size_t head = kind.how == 'w' ? 1 + (size_t)kind.n : 1;
    uint8_t text[256];
    size_t n = length > head ? length - head : 0;
    if (n == 0 || n > sizeof text / 2)
        return size;
    memcpy(text, data + at + head, n);
    n = LLVMFuzzerMutate(text, n, kind.how == 'w' ? sizeof text - 1 : n);
    size_t now = replace(data, size, max, at + head, length - head, text, n);
    for (int i = 0; now != size && i < kind.n && kind.how == 'w'; i++)
        data[at + 1 + (size_t)i] = (uint8_t)(n >> (8 * i));
    return now;
}

/* Something that a pickle may hold, in front of an operation. */
static size_t insert_value(uint8_t *data, size_t size, size_t max, size_t at, uint32_t *dice)
{
    static const struct {
        const char *bytes;
        size_t n;
    } values[] = {
#define VALUE(x) {x, sizeof x - 1}
        VALUE("N"),
        VALUE("}"),
        VALUE("]"),
        VALUE(")"),
        VALUE("("),
        VALUE("0"),
        VALUE("2"),
        VALUE("K\0"),
        VALUE("K\1"),
        VALUE("K\2"),
        VALUE("K\x10"),
        VALUE("J\xff\xff\xff\x7f"),
        VALUE("J\xff\xff\xff\xff"),
        VALUE("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"),
        VALUE("\x88"),
        VALUE("\x89"),
        VALUE("G\x7f\xf8\0\0\0\0\0\0"),
        VALUE("X\1\0\0\0a"),
        VALUE("X\0\0\0\0"),
        VALUE("\x8c\1b"),
        VALUE("h\0"),
        VALUE("h\1"),
        VALUE("h\2"),
        VALUE("q\0"),
        VALUE("q\1"),
        VALUE("\x94"),
        VALUE("t"),
        VALUE("\x85"),
        VALUE("\x86"),
        VALUE("\x87"),
        VALUE("R"),
        VALUE("\x81"),
        VALUE("b"),
        VALUE("s"),
        VALUE("u"),
        VALUE("e"),
        VALUE("a"),
        VALUE("Q"),
        VALUE("\x93"),
        VALUE("ctorch\nSize\n"),
        VALUE("(K\4K\4t"),
        VALUE("(K\0K\4t"),
        VALUE("ctorch\nBFloat16Storage\n"),
        VALUE("ctorch\nDoubleStorage\n"),
        VALUE("ctorch\nFloatStorage\n"),
        VALUE("ccollections\nOrderedDict\n)R"),
        VALUE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
              "0X\3\0\0\0cpuK\x10tQ"),
        VALUE("ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nBFloat16Storage\nX\1\0\0\0"
              "1X\3\0\0\0cpuK\5tQK\0K\5\x85K\1\x85\x89}tR"),
#undef VALUE
    };
    uint32_t i = mutate_below(dice, sizeof values / sizeof *values);
    return replace(data, size, max, at, 0, values[i].bytes, values[i].n);
}

/* A run of operations to before another one; the old place keeps it or not. */
static size_t copy_run(uint8_t *data, size_t size, size_t max, size_t from, size_t n, size_t to, int keep)
{
    uint8_t run[512];
    if (n > sizeof run)
        return size;
    memcpy(run, data + from, n);
    if (keep || (to > from && to < from + n))
        return replace(data, size, max, to, 0, run, n);
    size = replace(data, size, max, from, n, NULL, 0);
    return replace(data, size, max, to > from ? to - n : to, 0, run, n);
}

size_t mutate_pickle(uint8_t *data, size_t size, size_t max, uint32_t *dice)
{
    size_t at[MOST_OPS + 1], n = list_ops(data, size, at);
    if (n == 0 || mutate_below(dice, BLIND) == 0)
        return LLVMFuzzerMutate(data, size, max);
    for (uint32_t more = 1 + mutate_below(dice, 3); more > 0 && n > 0; more--) {
        uint32_t first = mutate_below(dice, (uint32_t)n), to = mutate_below(dice, (uint32_t)n);
        uint32_t run = 1 + mutate_below(dice, MOST_RUN), end = first + run < n ? first + run : (uint32_t)n;
        size_t length = at[end] - at[first];
        switch (mutate_below(dice, 8)) {
        case 0:
            size = replace(data, size, max, at[first], length, NULL, 0);
            break;
        case 1:
            size = copy_run(data, size, max, at[first], length, at[to], 1);
            break;
        case 2:
            size = copy_run(data, size, max, at[first], length, at[to], 0);
            break;
        case 3:
        case 4:
            size = insert_value(data, size, max, at[first], dice);
            break;
        default:
            size = change_argument(data, size, max, at[first], at[first + 1] - at[first], dice);
        }
        n = list_ops(data, size, at);
    }
    return size;
}

/* ---- .safetensors ---- */

/* A header of 8 bytes of length and text, and data: the text is changed, the length said anew, and mostly
 * there is as much data as the text says. */
size_t mutate_safetensors(uint8_t *data, size_t size, size_t max, uint32_t *dice)
{
    size_t n = size >= 8 ? number_at(data, 8) : 0;
    if (size < 8 || n > size - 8 || mutate_below(dice, 2 * BLIND) == 0)
        return LLVMFuzzerMutate(data, size, max);
    size_t rest = size - 8 - n;
    if (n + max == size)
        return LLVMFuzzerMutate(data, size, max);
    uint8_t *kept = malloc(rest + 1);
    FUZZ_CHECK(kept);
    memcpy(kept, data + 8 + n, rest);
    n = LLVMFuzzerMutate(data + 8, n, n + (max - size));
    for (int i = 0; i < 8; i++)
        data[i] = (uint8_t)((uint64_t)n >> (8 * i));
    size_t wanted = mutate_below(dice, 2 * BLIND) == 0 ? rest : fuzz_data_end((const char *)data + 8, n, max);
    wanted = wanted < max - 8 - n ? wanted : max - 8 - n;
    for (size_t i = 0; i < wanted; i++)
        data[8 + n + i] = i < rest ? kept[i] : (uint8_t)(37 * i + 56);
    free(kept);
    return 8 + n + wanted;
}

/* ---- two parts ---- */

static size_t put_parts(uint8_t *out, const struct fuzz_pair *in, int width)
{
    size_t at = 0;
    for (int i = 0; i < width; i++)
        out[at++] = (uint8_t)(in->size[0] >> (8 * i));
    if (in->size[0] > 0)
        memmove(out + at, in->data[0], in->size[0]);
    at += in->size[0];
    if (width == 0 && in->data[1])
        out[at++] = 0;
    if (in->size[1] > 0)
        memmove(out + at, in->data[1], in->size[1]);
    return at + in->size[1];
}

size_t mutate_pair(uint8_t *data, size_t size, size_t max, unsigned seed, const struct mutate_way *way)
{
    uint32_t dice = seed | 1;
    size_t front = way->head + (size_t)way->width;
    if (size < front || max < front + 2 || mutate_below(&dice, 4 * BLIND) == 0)
        return LLVMFuzzerMutate(data, size, max);
    struct fuzz_pair in = way->width ? fuzz_pair_by_length(data + way->head, size - way->head, way->width)
                                     : fuzz_pair_by_nul(data + way->head, size - way->head);
    int which = in.data[1] && mutate_below(&dice, 2);
    size_t room = max - size + in.size[which]; /* the other one stays as it is */
    if (room == 0)
        return LLVMFuzzerMutate(data, size, max);
    uint8_t *part = malloc(room + 1), *all = malloc(max + 1);
    FUZZ_CHECK(part && all);
    if (in.size[which] > 0)
        memcpy(part, in.data[which], in.size[which]);
    in.size[which] = way->parts[which](part, in.size[which], room, &dice);
    in.data[which] = part;
    size = way->head + put_parts(all, &in, way->width);
    memcpy(data + way->head, all, size - way->head);
    free(part);
    free(all);
    return size;
}
