/* The machine model: seconds and memory by hand; a stage's estimate is asked with as many headers as it needs
 * and no more, and what it is told is the same for all who ask. */

#include "unitlib.h"

#include <stdio.h>

#include "base/text.h"
#include "engine/machine.h"

/* Stages that tell what they were shown: a cost as soon as `needs` headers are there. */
static int shown; /* what the last question showed: 1 the base, 2 the tuned one as well */
static int asked;

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

static void seconds_and_memory(void **state)
{
    (void)state;
    const struct machine_model m = {.bytes_per_sec = 2, .flops_per_sec = 5, .spare = 8};
    const struct estimate x = {.read_bytes = 6, .write_bytes = 4, .flops = 20};
    assert_true(machine_sec(&m, &x) == 9);
    assert_int_equal(machine_memory(&m, 800), 700);
    assert_int_equal(machine_memory(&m, INT64_MAX), INT64_MAX - INT64_MAX / 8);
    assert_true(machine_assumed.bytes_per_sec == 1e9 && machine_assumed.flops_per_sec == 10e9);
    assert_int_equal(machine_memory(&machine_assumed, 800), 700);
}

static void estimates(void **state)
{
    struct bench *b = *state;
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
    assert_int_equal(machine_estimate(&machine_assumed, &dag, &node, 3, &headers, &x), 0); /* has no plan */
    const struct {
        void (*plan)(const struct plan_view *view, struct estimate *out);
        enum scope scope;
        int known, shown, asked;
    } cases[] = {
        {tell_at_once, SCOPE_CELL, 1, 0, 1},  {tell_by_base, SCOPE_CELL, 1, 1, 2},
        {tell_by_both, SCOPE_CELL, 1, 2, 3},  {tell_by_base, SCOPE_BASE, 1, 1, 2},
        {tell_by_both, SCOPE_BASE, 0, 1, 2},  {tell_by_base, SCOPE_CHECKPOINT, 1, 1, 2},
        {tell_at_once, SCOPE_STUDY, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage.plan = cases[i].plan;
        stage.scope = cases[i].scope;
        node.base = stage.scope == SCOPE_BASE ? cell.base : NULL;
        node.checkpoint = stage.scope == SCOPE_CHECKPOINT ? cell.tuned : NULL;
        shown = asked = 0;
        assert_int_equal(machine_estimate(&machine_assumed, &dag, &node, 3, &headers, &x), cases[i].known);
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
    assert_int_equal(machine_estimate(&machine_assumed, &dag, &node, 3, &headers, &x), 0);
    cell.base = "nowhere";
    assert_int_equal(machine_estimate(&machine_assumed, &dag, &node, 3, &headers, &x), 0);
    headers_release(&headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seconds_and_memory), TEST_FOLDER(estimates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
