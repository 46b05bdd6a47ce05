/* Where nodes run: hand-computed cases, and on random ones what must hold of every schedule: each job once,
 * on a team that has processes and memory for it, in one order in which teams only get smaller, done within
 * twice of what no schedule can beat. */

#include "unitlib.h"

#include <math.h>
#include <stdio.h>

#include "base/comm.h"
#include "engine/schedule.h"

enum { MOST = 300 };

static int team_least(int np, int level)
{
    return np >> level > 1 ? np >> level : 1;
}

/* When the last process is done, by following each process through its slots; checks the slots on the way. */
static double follow(const struct job *jobs, const struct schedule_slot *slots, int n, int np)
{
    static double clock[5000];
    int seen[MOST] = {0};
    double end = 0;
    for (int p = 0; p < np; p++)
        clock[p] = 0;
    for (int s = 0; s < n; s++) {
        const struct job *j = NULL;
        int from, to;
        for (int i = 0; i < n; i++)
            if (jobs[i].node == slots[s].node)
                j = &jobs[i];
        assert_non_null(j);
        assert_int_equal(seen[j - jobs]++, 0);
        assert_true(slots[s].level >= 0 && slots[s].level <= j->deepest);
        assert_true(s == 0 || slots[s].level >= slots[s - 1].level);
        assert_true(slots[s].team >= 0 && slots[s].team < 1 << slots[s].level);
        comm_team_range(np, slots[s].level, slots[s].team, &from, &to);
        assert_true(from >= 0 && from < to && to <= np);
        assert_true(to - from >= team_least(np, slots[s].level));
        double start = 0;
        for (int p = from; p < to; p++) {
            assert_int_equal(comm_team_of(np, slots[s].level, p), slots[s].team);
            start = fmax(start, clock[p]);
        }
        for (int p = from; p < to; p++)
            clock[p] = start + slots[s].sec;
        end = fmax(end, start + slots[s].sec);
    }
    return end;
}

static double run(struct bench *b, const struct job *jobs, int n, int np, struct schedule_slot *slots)
{
    static struct job shared[MOST];
    double told;
    for (int i = 0; i < n; i++) { /* a hundredth of the work is not divided */
        shared[i] = jobs[i];
        shared[i].sec = 0.99 * jobs[i].sec;
        shared[i].fixed = 0.01 * jobs[i].sec;
    }
    assert_int_equal(schedule_jobs(shared, n, np, slots, &told, &b->arena, &b->err), ERR_OK);
    double end = follow(jobs, slots, n, np);
    assert_true(fabs(told - end) <= 1e-9 * end);
    return end;
}

static void equal_jobs(struct job *jobs, int n, int np, double sec)
{
    for (int i = 0; i < n; i++)
        jobs[i] = (struct job){.node = 10 + i, .deepest = comm_levels(np), .sec = sec};
}

static int levels_used(const struct schedule_slot *slots, int n, int level)
{
    int used = 0;
    for (int i = 0; i < n; i++)
        used += slots[i].level == level;
    return used;
}

/* np >> level, or one more each: whole numbers of processes, all of them, none twice, halves of halves. */
static void teams(void **state)
{
    (void)state;
    for (int np = 1; np < 70; np++) {
        assert_true(1 << comm_levels(np) >= np && (np == 1 || 1 << (comm_levels(np) - 1) < np));
        for (int level = 0; level <= comm_levels(np); level++) {
            int next = 0, from, to, up_from, up_to;
            for (int k = 0; k < 1 << level; k++) {
                comm_team_range(np, level, k, &from, &to);
                assert_int_equal(from, next);
                assert_in_range(to - from, np >> level, (np >> level) + 1);
                for (int p = from; p < to; p++)
                    assert_int_equal(comm_team_of(np, level, p), k);
                if (level > 0) {
                    comm_team_range(np, level - 1, k / 2, &up_from, &up_to);
                    assert_true(from >= up_from && to <= up_to);
                }
                next = to;
            }
            assert_int_equal(next, np);
        }
    }
    assert_int_equal(comm_levels(1), 0);
    assert_int_equal(comm_levels(7), 3);
    assert_int_equal(comm_levels(8), 3);
}

static void one_process(void **state)
{
    struct bench *b = *state;
    struct job jobs[3];
    struct schedule_slot slots[3];
    equal_jobs(jobs, 3, 1, 1);
    run(b, jobs, 3, 1, slots);
    assert_int_equal(levels_used(slots, 3, 0), 3);
}

/* More jobs than processes, all alike: each on one process. */
static void many_small(void **state)
{
    struct bench *b = *state;
    struct job jobs[140];
    struct schedule_slot slots[140];
    equal_jobs(jobs, 140, 2, 0.01);
    double end = run(b, jobs, 140, 2, slots);
    assert_int_equal(levels_used(slots, 140, 1), 140);
    assert_true(fabs(end - 70 * 0.012) < 1e-9);
}

/* Fewer jobs than processes: no process without work while others have much. */
static void few_long(void **state)
{
    struct bench *b = *state;
    struct job jobs[4];
    struct schedule_slot slots[4];
    equal_jobs(jobs, 1, 8, 10);
    run(b, jobs, 1, 8, slots);
    assert_int_equal(levels_used(slots, 1, 0), 1);
    equal_jobs(jobs, 4, 8, 10);
    double end = run(b, jobs, 4, 8, slots);
    assert_true(end < 1.1 * 4 * 10 / 8);
}

/* Five alike on two processes: not three on one of them and two on the other. */
static void odd(void **state)
{
    struct bench *b = *state;
    struct job jobs[5];
    struct schedule_slot slots[5];
    equal_jobs(jobs, 5, 2, 1);
    assert_true(run(b, jobs, 5, 2, slots) < 2.7);
}

/* One much longer than the others: a team for it, the others beside it, none of them on all processes. */
static void one_long(void **state)
{
    struct bench *b = *state;
    struct job jobs[41];
    struct schedule_slot slots[41];
    equal_jobs(jobs, 41, 8, 1);
    jobs[17].sec = 40;
    double end = run(b, jobs, 41, 8, slots);
    assert_int_equal(slots[0].node, jobs[17].node);
    assert_int_equal(slots[0].level, 1);
    assert_int_equal(levels_used(slots, 41, 0), 0);
    assert_true(levels_used(slots, 41, 3) > 30);
    assert_true(end < 1.15 * 80 / 8);
}

/* Small teams are too small for two of them. */
static void memory(void **state)
{
    struct bench *b = *state;
    struct job jobs[23];
    struct schedule_slot slots[23];
    equal_jobs(jobs, 23, 7, 0.1);
    jobs[3].deepest = 1;
    jobs[9].deepest = 0;
    run(b, jobs, 23, 7, slots);
    assert_int_equal(slots[0].node, jobs[9].node);
    assert_int_equal(slots[1].node, jobs[3].node);
    assert_true(levels_used(slots, 23, 3) >= 14);
}

/* Seventy cells on four thousand processes. */
static void wide(void **state)
{
    struct bench *b = *state;
    struct job jobs[70];
    struct schedule_slot slots[70];
    equal_jobs(jobs, 70, 4096, 3600);
    double end = run(b, jobs, 70, 4096, slots);
    assert_true(levels_used(slots, 70, 0) == 0);
    assert_true(end < 3 * (70.0 * 3600 / 4096 + 0.01 * 3600));
}

static void random_cases(void **state)
{
    struct bench *b = *state;
    static struct job jobs[MOST];
    static struct schedule_slot slots[MOST], again[MOST];
    uint64_t seed = 1;
    for (int round = 0; round < 400; round++) {
        int n = 1 + (int)(next_random(&seed) % (MOST - 1));
        int np = 1 + (int)(next_random(&seed) % (round % 20 ? 40 : 3000));
        double sum = 0, longest = 0;
        for (int i = 0; i < n; i++) {
            int levels = comm_levels(np), any = (int)(next_random(&seed) % (unsigned)(levels + 1));
            jobs[i] = (struct job){.node = i,
                                   .deepest = next_random(&seed) % 5 ? levels : any,
                                   .sec = exp((double)(next_random(&seed) % 1000) / 100) / 100};
            /* no schedule is faster than any job at its best, or than all work shared */
            double best = INFINITY;
            for (int level = jobs[i].deepest; level >= 0; level--) {
                int p = team_least(np, level);
                best = fmin(best, 0.002 + 0.001 * log2(p) + jobs[i].sec * (0.99 / p + 0.01));
            }
            longest = fmax(longest, best);
            int least =
                team_least(np, jobs[i].deepest); /* with what the smallest team costs more than one process */
            sum += least * (0.002 + 0.001 * log2(least) + jobs[i].sec * (0.99 / least + 0.01));
        }
        double end = run(b, jobs, n, np, slots), bound = fmax(longest, sum / np);
        if (end > 2.5 * bound)
            print_message("round %d: %d jobs on %d processes end after %g, bound %g\n", round, n, np, end,
                          bound);
        assert_true(end <= 2.5 * bound);
        run(b, jobs, n, np, again);
        for (int i = 0; i < n; i++)
            assert_true(again[i].node == slots[i].node && again[i].level == slots[i].level &&
                        again[i].team == slots[i].team);
        arena_reset(&b->arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BENCH(teams),    TEST_BENCH(one_process), TEST_BENCH(many_small),
        TEST_BENCH(few_long), TEST_BENCH(one_long),    TEST_BENCH(memory),
        TEST_BENCH(wide),     TEST_BENCH(odd),         TEST_BENCH(random_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
