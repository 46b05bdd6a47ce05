/* Order: hand-computed cases, circles of every form, and on random graphs what must hold of every order. */

#include "unitlib.h"

#include "study/order.h"

enum { MOST = 60 };

/* A graph: needs[i] lists what i needs. */
struct graph {
    int n, nneeds[MOST], lists[MOST][MOST], *needs[MOST];
};

static void graph_init(struct graph *g, int n)
{
    *g = (struct graph){.n = n};
    for (int i = 0; i < n; i++)
        g->needs[i] = g->lists[i];
}

static void need(struct graph *g, int i, int other)
{
    g->lists[i][g->nneeds[i]++] = other;
}

static int needs_directly(const struct graph *g, int i, int other)
{
    for (int k = 0; k < g->nneeds[i]; k++)
        if (g->lists[i][k] == other)
            return 1;
    return 0;
}

/* Sorts; returns the number of circles. Whatever the graph, each thing stands in the order once. */
static int sort(struct bench *b, const struct graph *g, int *order, struct order_cycle **cycles)
{
    int ncycles, seen[MOST] = {0};
    assert_int_equal(order_sort(g->n, g->nneeds, g->needs, order, cycles, &ncycles, &b->arena, &b->err),
                     ERR_OK);
    for (int i = 0; i < g->n; i++) {
        assert_in_range(order[i], 0, g->n - 1);
        assert_int_equal(seen[order[i]]++, 0);
    }
    return ncycles;
}

static void check_order(struct bench *b, const struct graph *g, const int *expected)
{
    int order[MOST];
    struct order_cycle *cycles;
    assert_int_equal(sort(b, g, order, &cycles), 0);
    assert_memory_equal(order, expected, (size_t)g->n * sizeof *order);
}

static void nothing_and_one(void **state)
{
    struct graph g;
    graph_init(&g, 0);
    check_order(*state, &g, NULL);
    graph_init(&g, 1);
    check_order(*state, &g, (const int[]){0});
}

/* Of those that may come next the smallest first, again after each step. */
static void smallest_first(void **state)
{
    struct graph g;
    graph_init(&g, 5);
    check_order(*state, &g, (const int[]){0, 1, 2, 3, 4});
    need(&g, 0, 4); /* 4 frees 0, which then comes before what is left */
    need(&g, 2, 0);
    check_order(*state, &g, (const int[]){1, 3, 4, 0, 2});
}

static void chain_backwards(void **state)
{
    struct graph g;
    int expected[MOST];
    graph_init(&g, MOST);
    for (int i = 0; i < MOST - 1; i++)
        need(&g, i, i + 1);
    for (int i = 0; i < MOST; i++)
        expected[i] = MOST - 1 - i;
    check_order(*state, &g, expected);
}

/* One need given twice is one need. */
static void twice(void **state)
{
    struct graph g;
    graph_init(&g, 2);
    need(&g, 0, 1);
    need(&g, 0, 1);
    check_order(*state, &g, (const int[]){1, 0});
}

static void check_cycle(struct bench *b, const struct order_cycle *c, const char *expected)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    assert_string_equal(order_cycle_text(c, names, &b->arena, &b->err), expected);
}

static void on_itself(void **state)
{
    struct bench *b = *state;
    struct graph g;
    struct order_cycle *cycles;
    int order[MOST];
    graph_init(&g, 3);
    need(&g, 1, 1);
    assert_int_equal(sort(b, &g, order, &cycles), 1);
    assert_int_equal(cycles[0].n, 1);
    check_cycle(b, &cycles[0], "b -> b");
}

/* Told from its smallest member on, in the direction of needing, whoever was met first. */
static void spelled_out(void **state)
{
    struct bench *b = *state;
    struct graph g;
    struct order_cycle *cycles;
    int order[MOST];
    graph_init(&g, 6);
    need(&g, 0, 5); /* waits for the circle, is not of it */
    need(&g, 5, 2);
    need(&g, 2, 4);
    need(&g, 4, 5);
    need(&g, 1, 0);
    assert_int_equal(sort(b, &g, order, &cycles), 1);
    check_cycle(b, &cycles[0], "c -> e -> f -> c");
}

static void two_apart(void **state)
{
    struct bench *b = *state;
    struct graph g;
    struct order_cycle *cycles;
    int order[MOST];
    graph_init(&g, 7);
    need(&g, 0, 1);
    need(&g, 1, 0);
    need(&g, 6, 3);
    need(&g, 3, 6);
    need(&g, 2, 1); /* below both, free of either */
    need(&g, 2, 6);
    assert_int_equal(sort(b, &g, order, &cycles), 2);
    check_cycle(b, &cycles[0], "a -> b -> a");
    check_cycle(b, &cycles[1], "d -> g -> d");
}

/* Two circles with a member in common are told as one of the two: none has a member in two. */
static void two_joined(void **state)
{
    struct bench *b = *state;
    struct graph g;
    struct order_cycle *cycles;
    int order[MOST];
    graph_init(&g, 3);
    need(&g, 0, 1);
    need(&g, 1, 0);
    need(&g, 1, 2);
    need(&g, 2, 1);
    assert_int_equal(sort(b, &g, order, &cycles), 1);
    check_cycle(b, &cycles[0], "a -> b -> a");
}

/* Random graphs, of which half may have no circle. */
static void random_graphs(void **state)
{
    struct bench *b = *state;
    uint64_t seed = 7;
    int with = 0, without = 0;
    for (int round = 0; round < 600; round++) {
        struct graph g;
        struct order_cycle *cycles;
        int order[MOST], place[MOST], in_cycle[MOST] = {0};
        graph_init(&g, 1 + (int)(next_random(&seed) % MOST));
        for (int k = (int)(next_random(&seed) % (unsigned)(2 * g.n)); k > 0; k--) {
            int i = (int)(next_random(&seed) % (unsigned)g.n), j = (int)(next_random(&seed) % (unsigned)g.n);
            if (round % 2 == 0 && i >= j) /* a numbering in which all needs are smaller: no circle */
                continue;
            if (g.nneeds[j] < MOST)
                need(&g, j, i);
        }
        int n = sort(b, &g, order, &cycles);
        for (int i = 0; i < g.n; i++)
            place[order[i]] = i;
        if (n == 0)
            for (int i = 0; i < g.n; i++)
                for (int k = 0; k < g.nneeds[i]; k++)
                    assert_true(place[g.lists[i][k]] < place[i]);
        for (int c = 0; c < n; c++)
            for (int k = 0; k < cycles[c].n; k++) {
                int member = cycles[c].members[k];
                assert_true(needs_directly(&g, member, cycles[c].members[(k + 1) % cycles[c].n]));
                assert_true(member >= cycles[c].members[0]);
                assert_int_equal(in_cycle[member]++, 0);
            }
        assert_true(round % 2 || n == 0);
        with += n > 0;
        without += n == 0;
        arena_reset(&b->arena);
    }
    assert_true(with > 100 && without > 300);
}

static void no_memory(void **state)
{
    struct bench *b = *state;
    struct graph g;
    struct order_cycle *cycles;
    int order[MOST], ncycles, done = 0;
    graph_init(&g, 4);
    need(&g, 0, 1);
    need(&g, 1, 2);
    need(&g, 2, 0);
    for (size_t budget = 1; !done; budget += 64) {
        assert_true(budget < 100000);
        err_clear(&b->err);
        arena_reset(&b->arena);
        b->mem.budget_bytes = budget;
        err_t code = order_sort(4, g.nneeds, g.needs, order, &cycles, &ncycles, &b->arena, &b->err);
        assert_true(code == ERR_OK || code == ERR_SYSTEM);
        done = code == ERR_OK && ncycles == 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(nothing_and_one), TEST_BENCH(smallest_first), TEST_BENCH(chain_backwards),
        TEST_BENCH(twice),           TEST_BENCH(on_itself),      TEST_BENCH(spelled_out),
        TEST_BENCH(two_apart),       TEST_BENCH(two_joined),     TEST_BENCH(random_graphs),
        TEST_BENCH(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
