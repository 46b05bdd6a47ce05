/* The machine model: seconds and memory by hand; a stage's estimate is asked with as many headers as it needs
 * and no more, and what it is told is the same for all who ask. */

#include "unitlib.h"

#include <stdio.h>

#include "base/text.h"
#include "engine/machine/machine.h"

/* Stages that tell what they were shown: a cost as soon as `needs` headers are there. */
static int shown; /* what the last question showed: 1 the base, 2 the tuned one as well */
static int asked;
static struct machine assumed;

static void tell(const struct plan_view *view, struct estimate *out, int needs)
{
    asked++;
    shown = !view->base ? 0 : !view->tuned ? 1 : 2;
    out->known = shown >= needs;
    out->read_bytes = view->base ? (double)view->base->parameters : 1;
    out->process_bytes = (double)view->memory_bytes;
    out->flops = view->np;
}

static void tell_at_once(const struct plan_view *view, struct estimate *out)
{
    tell(view, out, 0);
}

static void tell_by_base(const struct plan_view *view, struct estimate *out)
{
    tell(view, out, 1);
}

static void tell_by_both(const struct plan_view *view, struct estimate *out)
{
    tell(view, out, 2);
}

static char *put_file(struct bench *b, const char *name, int64_t elements)
{
    struct stored_tensor t = {.name = "x", .dtype = DTYPE_U8, .ndim = 1, .dims = {elements}};
    char zeros[64] = "", *path = arena_printf(&b->arena, &b->err, "%s/%s", b->folder, name);
    const void *bytes[] = {zeros};
    assert_true(path && elements <= (int64_t)sizeof zeros);
    assert_int_equal(model_write(path, &t, 1, bytes, NULL, 0, &b->arena, &b->err), 0);
    return path;
}

static const struct stage_work two_kinds[] = {WORK("parts", 4), WORK_ALONE("rows", 10), WORK_END};

/* Without a list of work a stage's time is that of its flops; with one it is its nodes', its tensors' and
 * each kind's, what one process does apart from the rest. */
static void seconds_and_memory(void **state)
{
    (void)state;
    const struct stage plain = {.kind = "plain"}, rich = {.kind = "rich", .work = two_kinds};
    struct machine m = {.read_process = 2,
                        .read_host = 100,
                        .read_all = 100,
                        .write_process = 4,
                        .write_host = 100,
                        .write_all = 100,
                        .flops_per_sec = 5,
                        .nodes_per_sec = 2,
                        .tensors_per_sec = 5,
                        .flush_sec = 0.25,
                        .seal_per_sec = 8,
                        .crowding = 1,
                        .processes_per_host = 8,
                        .spare = 8};
    const struct estimate x = {.read_bytes = 6,
                               .reread_bytes = 2,
                               .write_bytes = 8,
                               .flops = 20,
                               .tensors = 10,
                               .work = {8, 30},
                               .parts = 3};
    struct machine_cost c = machine_cost(&m, &plain, &x, 1);
    assert_true(c.work == 4 && c.serial == 0 && c.read == 2 && c.write == 2 && c.parts == 3);
    c = machine_cost(&m, &rich, &x, 1);
    assert_true(c.work == 2 + 1 && c.serial == 0.5 + 2 + 3 + 0.25);
    const struct machine_rates rates[] = {{&plain, {1, 1}}, {&rich, {4, 0, 8}}};
    m.rates = rates;
    m.nrates = 2;
    c = machine_cost(&m, &rich, &x, 1); /* what the file leaves out is assumed */
    assert_true(c.work == 1 + 1 && c.serial == 0.25 + 2 + 3 + 0.25);
    /* What a team adds up goes over links of its hosts, and between them where they are several. */
    m.agree_sec = 1.0 / 1024;
    m.link_host = 10;
    m.link = 5;
    const struct estimate together = {.shared_bytes = 20};
    c = machine_cost(&m, &plain, &together, 1);
    assert_true(machine_team_sec(&c, 8, 1) == 0);
    assert_true(machine_team_sec(&c, 8, 2) == c.agree + 2 && c.agree > 0);
    assert_true(machine_team_sec(&c, 8, 32) == 5 * c.agree + 3 * 2 + 2 * 4);
    assert_true(machine_team_sec(&c, 1, 4) == 2 * c.agree + 2 * 4);
    m.resident_bytes = 3;
    m.several_bytes = 4;
    assert_true(machine_resident(&m, 1) == 3 && machine_resident(&m, 2) == 4);
    int measured;
    assert_true(machine_rate(&m, &rich, RATE_TENSORS, &measured) == 5 && !measured);
    assert_true(machine_rate(&m, &rich, RATE_WORK, &measured) == 8 && measured);
    assert_int_equal(machine_nrates(&rich), 4);
    assert_int_equal(machine_nrates(&plain), 0);
    assert_string_equal(machine_rate_name(&rich, RATE_WORK + 1), "rows");
    assert_int_equal(machine_memory(&m, 800), 700);
    assert_int_equal(machine_memory(&m, INT64_MAX), INT64_MAX - INT64_MAX / 8);
    assumed = machine_assume();
    assert_int_equal(machine_memory(&assumed, 800), 700);
}

/* Processes share a host's disk, hosts the file system; what they slow each other down by grows with a
 * host's. */
static void sharing(void **state)
{
    (void)state;
    const struct machine m = {.read_process = 10,
                              .read_host = 20,
                              .read_all = 100,
                              .write_process = 5,
                              .write_host = 40,
                              .write_all = 60,
                              .processes_per_host = 5,
                              .crowding = 3,
                              .spare = 8};
    assert_true(machine_read_rate(&m, 1) == 10 && machine_read_rate(&m, 4) == 5 &&
                machine_read_rate(&m, 5) == 4);
    assert_true(machine_read_rate(&m, 25) == 4 && machine_read_rate(&m, 50) == 2);
    assert_true(machine_write_rate(&m, 5) == 5 && machine_write_rate(&m, 24) == 2.5);
    assert_true(machine_slowdown(&m, 1) == 1 && machine_slowdown(&m, 3) == 2 &&
                machine_slowdown(&m, 500) == 3);
}

static void estimates(void **state)
{
    struct bench *b = *state;
    assumed = machine_assume();
    struct headers headers;
    struct estimate x;
    struct stage stage = {.kind = "s", .scope = SCOPE_CELL};
    struct node_decl decl = {.name = "s", .stage = &stage};
    const struct config config = {.memory_bytes = 800, .nodes = &decl, .nnodes = 1};
    const struct dag dag = {.config = &config};
    struct cell cell = {.base = put_file(b, "base.safetensors", 10),
                        .tuned = put_file(b, "tuned.safetensors", 20)};
    struct node node = {.stage = &stage, .cell = &cell};
    headers_init(&headers, &b->mem);
    assert_int_equal(machine_estimate(&assumed, &dag, &node, 3, &headers, &x), 0); /* has no plan */
    const struct {
        void (*plan)(const struct plan_view *view, struct estimate *out);
        enum scope scope;
        int known, shown, asked;
    } cases[] = {
        {tell_at_once, SCOPE_CELL, 1, 0, 1},  {tell_by_base, SCOPE_CELL, 1, 1, 2},
        {tell_by_both, SCOPE_CELL, 1, 2, 3},  {tell_by_base, SCOPE_BASE, 1, 1, 2},
        {tell_by_both, SCOPE_BASE, 0, 1, 2},  {tell_by_base, SCOPE_CHECKPOINT, 1, 1, 2},
        {tell_at_once, SCOPE_STUDY, 1, 0, 1}, {tell_by_base, SCOPE_STUDY, 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage.plan = cases[i].plan;
        stage.scope = cases[i].scope;
        node.base = stage.scope == SCOPE_BASE ? cell.base : NULL;
        node.checkpoint = stage.scope == SCOPE_CHECKPOINT ? cell.tuned : NULL;
        shown = asked = 0;
        assert_int_equal(machine_estimate(&assumed, &dag, &node, 3, &headers, &x), cases[i].known);
        assert_int_equal(shown, cases[i].shown);
        assert_int_equal(asked, cases[i].asked);
        if (asked > 0)
            assert_true(x.process_bytes == 700 && x.flops == 3);
        if (shown > 0)
            assert_true(x.read_bytes == (node.checkpoint ? 20 : 10));
    }
    assert_int_equal(headers.opened, 2);
    stage.scope = SCOPE_CELL;
    stage.plan = tell_by_both;
    node.checkpoint = NULL;
    cell.tuned = "nowhere";
    assert_int_equal(machine_estimate(&assumed, &dag, &node, 3, &headers, &x), 0);
    cell.base = "nowhere";
    assert_int_equal(machine_estimate(&assumed, &dag, &node, 3, &headers, &x), 0);
    headers_release(&headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seconds_and_memory), cmocka_unit_test(sharing),
                                       TEST_FOLDER(estimates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
