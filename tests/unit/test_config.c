/* Config: what is accepted and what it becomes; what is refused, each mistake once, at its place. The stages
 * are stand-ins. */

#include "configlib.h"

#include "base/text.h"
#include "study/order.h"

/* ---- what is accepted ---- */

static void check_full(const struct config *c)
{
    assert_string_equal(c->study, "demo");
    assert_string_equal(c->output, "results/demo");
    assert_int_equal(c->memory_bytes, 1 << 30);
    static const char *const names[] = {"tiny-llama/ppo/0+x@500", "tiny-llama/ppo/2+x@500",
                                        "tiny-llama/dpo/2+x@500", "tiny-qwen/ppo/0+x@500",
                                        "tulu-3-8b/dpo/7",        "zephyr/kto/0"};
    assert_int_equal(c->ncells, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(c->cells[i].name, names[i]);
    const struct cell *cell = &c->cells[2];
    assert_string_equal(cell->family, "tiny-llama");
    assert_string_equal(cell->algorithm, "dpo");
    assert_int_equal(cell->seed, 2);
    assert_string_equal(cell->data, "x");
    assert_int_equal(cell->step, 500);
    assert_string_equal(cell->base, "/models/tiny-llama/base");
    assert_string_equal(cell->tuned, "/else/tiny-llama/dpo/seed-2-x@500");
    assert_string_equal(cell->logits_base, "l/tiny-llama");
    assert_string_equal(cell->logits_tuned, "l/dpo");
    assert_int_equal(cell->npublished, 0);
    assert_int_equal(cell->choice.weights, CHOICE_WEIGHTS_MASTERS);
    assert_int_equal(cell->choice.adapter, CHOICE_ADAPTER_DEFAULT);
    cell = &c->cells[4];
    assert_int_equal(cell->choice.weights, CHOICE_WEIGHTS_DEFAULT); /* the matrix's are its own cells' */
    assert_string_equal(cell->base, "/models/b{x}");
    assert_string_equal(cell->data, "");
    assert_int_equal(cell->step, -1);
    assert_null(cell->logits_base);
    assert_int_equal(cell->npublished, 2);
    assert_string_equal(cell->published[0].quantity, "sparsity");
    assert_string_equal(cell->published[0].source, "Table 1");
    assert_true(cell->published[1].value == 99.8);
    cell = &c->cells[5];
    assert_string_equal(cell->tuned, "${t}/$x");
    assert_int_equal(cell->choice.weights, CHOICE_WEIGHTS_DEFAULT);
    assert_int_equal(cell->choice.adapter, CHOICE_ADAPTER_EXACT);
    assert_int_equal(cell->choice.merge, CHOICE_MERGE_SAFE);
    assert_null(cell->choice.base);
    assert_null(cell->logits_base);
    assert_string_equal(cell->logits_tuned, "l");
    assert_int_equal(cell->npublished, 2);
    assert_string_equal(cell->published[0].source, "A");
    assert_string_equal(cell->published[1].source, "");
    assert_true(cell->published[1].value == 0.1);

    static const char *const nodes[] = {"report", "load", "delta", "mask", "mask-loose", "rank"};
    static const char *const params[] = {
        "",
        "",
        "arithmetic: bf16, tolerances: [0, 1e-08, 1e-07], blocks: 7, store: false",
        "criterion: absolute, tolerance: 1e-05, eta: 0.001, note: \"a: b, #c /models\"",
        "criterion: relative, tolerance: 0.0001, eta: 0.001, note: \"\"",
        ""};
    assert_int_equal(c->nnodes, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(c->nodes[i].name, nodes[i]);
        assert_string_equal(c->nodes[i].params_text, params[i]);
    }
    assert_int_equal(c->nodes[0].nneeds, 3);
    assert_int_equal(c->nodes[0].needs[0], 3);
    assert_int_equal(c->nodes[0].needs[1], 4);
    assert_int_equal(c->nodes[0].needs[2], 5);
    assert_int_equal(c->nodes[1].nneeds, 0);
    assert_int_equal(c->nodes[4].nneeds, 2);
    assert_ptr_equal(c->nodes[4].stage, &stage_mask);
    const struct delta_params *delta = c->nodes[2].params;
    assert_int_equal(delta->tolerances.n, 3);
    assert_int_equal(delta->blocks, 7);
    assert_int_equal(delta->store, 0);
}

static void full_config(void **state)
{
    struct fixture *b = *state;
    accept(b, full);
    check_full(&b->config);
    assert_string_equal(b->config.text, full);
    assert_string_equal(b->config.file, "s.yaml");
    assert_int_equal(b->config.nodes[0].mark.line, 30);
    assert_int_equal(b->config.nodes[0].mark.column, 3);
}

static void resolved_round_trip(void **state)
{
    struct fixture *b = *state;
    accept(b, full);
    char *resolved = strdup(b->config.resolved);
    setenv("MODELS", "/elsewhere", 1); /* all is expanded already */
    accept(b, resolved);
    check_full(&b->config);
    assert_string_equal(b->config.resolved, resolved);
    free(resolved);
    /* awkward texts survive, whatever they look like */
    setenv("MODELS", "a \"b\" ${MODELS} $${x} {family} \\n \t\n# : \xe2\x80\xa8\xc3\xa9", 1);
    accept(b, HEAD "cells: [{family: no, algorithm: 'null', base: \"${MODELS}\", tuned: '1e5'}]\n"
                   "stages: {load: , delta: {needs: load}, mask: {needs: delta, note: \"${MODELS}\"}}\n");
    assert_string_equal(b->config.cells[0].base, getenv("MODELS"));
    resolved = strdup(b->config.resolved);
    accept(b, resolved);
    assert_string_equal(b->config.cells[0].base, getenv("MODELS"));
    assert_string_equal(b->config.cells[0].name, "no/null/0");
    assert_string_equal(((const struct mask_params *)b->config.nodes[2].params)->note, getenv("MODELS"));
    assert_string_equal(b->config.resolved, resolved);
    free(resolved);
}

static void small_configs(void **state)
{
    struct fixture *b = *state;
    accept(b, HEAD CELLS STAGES);
    assert_int_equal(b->config.memory_bytes, 2147483648);
    assert_int_equal(b->config.read.mode, READ_AUTO);
    assert_int_equal(b->config.read.block_bytes, READAHEAD_BLOCK);
    accept(b, HEAD CELLS STAGES "read: direct\nread_block: 1 MB\n");
    assert_int_equal(b->config.read.mode, READ_DIRECT);
    assert_int_equal(b->config.read.block_bytes, 1000000);
    assert_non_null(strstr(b->config.resolved, "read: direct\nread_block: 1000000\n"));
    assert_int_equal(b->config.cells[0].seed, 0);
    accept(b, "{study: 2025, output: \"${MODELS}/x\", memory_per_process: 64 MiB, " CELLS ", " STAGES "}");
    assert_string_equal(b->config.output, "/models/x");
    accept(b, "\xef\xbb\xbf---\r\nstudy: a\r\noutput: o\r\n" CELLS STAGES "...\n");
    accept(b, HEAD "matrix: {families: f, algorithms: a, seeds: 3, base: b, tuned: t}\n" STAGES);
    assert_string_equal(b->config.cells[0].name, "f/a/3");
    accept(b, HEAD CELLS "stages: {load: ~, other: {kind: load, needs: []}}\n");
    accept(b, HEAD
           "matrix: {families: f, algorithms: a, seeds: [9223372036854775807], base: b, tuned: t}\n" STAGES);
    accept(b, HEAD AXES PATHS "  exclude: [{seed: [0, 1], family: f}, {algorithm: a}]\n" STAGES);
    assert_int_equal(b->config.ncells, 2);
    assert_string_equal(b->config.cells[1].name, "g/b/1");
}

/* ---- what is refused ---- */

static void five_mistakes(void **state)
{
    struct fixture *b = *state;
    REFUSE(b,
           "study: demo\n"
           "output: out\n"
           "memory_per_proces: 1 GiB\n"
           "matrix:\n"
           "  families: [f]\n"
           "  algorithms: [a]\n"
           "  seeds: [zero]\n"
           "  base: ${SINEW_UNSET}/b\n"
           "  tuned: t/{seed}\n"
           "stages:\n"
           "  load: {}\n"
           "  delta: {needs: [laod]}\n"
           "  mask: {needs: [delta], tolerance: 7}\n"
           "  rank: {needs: [delta]}\n",
           "s.yaml:3:1: the config: unknown key \"memory_per_proces\"; did you mean memory_per_process?",
           "s.yaml:7:11: matrix.seeds: expected an integer of at least 0, found \"zero\"",
           "s.yaml:8:9: matrix.base: the environment variable SINEW_UNSET is not set",
           "s.yaml:12:19: stages.delta.needs: there is no node \"laod\"; did you mean load?",
           "s.yaml:13:37: stages.mask.tolerance: expected a number from 0 to 1, found \"7\"");
    assert_string_equal(b->bench.err.text, "s.yaml: 5 errors");
    REFUSE(b,
           "study: demo\noutput: out\noutput: out2\n" CELLS "stages:\n"
           "  load: {}\n"
           "  dleta: {needs: [load], tolerances: []}\n"     /* a kind by its name */
           "  mask: {needs: [delta], criterion: absolut}\n" /* not a second complaint */
           "  overlap: {needs: [rank]}\n"
           "  rank: {kind: rnk, needs: [delta], whatever: 1}\n"
           "  a: {kind: mask, needs: [b]}\n"
           "  b: {kind: delta, needs: [a]}\n",
           "s.yaml:3:1: duplicate key \"output\" (first in line 2)",
           "s.yaml:7:3: stages.dleta: unknown kind \"dleta\"; did you mean delta?",
           "s.yaml:8:37: stages.mask.criterion: expected one of absolute, bits, relative, found \"absolut\"; "
           "did you mean "
           "absolute?",
           "s.yaml:10:16: stages.rank.kind: unknown kind \"rnk\"; did you mean rank?",
           "s.yaml:11:27: stages.a.needs: a circle: a -> b -> a");
}

static void keys(void **state)
{
    struct fixture *b = *state;
    REFUSE(b, "{}", "1:1: the config: missing key study", "missing key output", "missing key matrix or cells",
           "missing key stages");
    REFUSE(b, "[]", "1:1: the config: expected a map, found a list");
    REFUSE(b, "study\n", "expected a map, found \"study\"");
    REFUSE(b, HEAD CELLS "stges: {load: {}}\n",
           "4:1: the config: unknown key \"stges\"; did you mean stages?");
    REFUSE(b, HEAD "matrx: {}\n" STAGES, "unknown key \"matrx\"");
    REFUSE(b, HEAD CELLS STAGES "zzz: 1\n",
           "unknown key \"zzz\"; valid keys: study, output, memory_per_process, read, read_block, missing, "
           "matrix, ");
    REFUSE(b, HEAD CELLS STAGES "read: mapped\nread_block: 1 KiB\n",
           "read: expected one of auto, pread, thread, direct, found \"mapped\"",
           "read_block: expected a size (\"2 GiB\", \"512 MB\") from 64 KiB to 64 MiB, found \"1 KiB\"");
    REFUSE(b, HEAD "matrix: {}\n" STAGES, "missing key families", "missing key algorithms",
           "missing key seeds", "missing key base", "3:9: matrix: missing key tuned");
    REFUSE(b, HEAD "matrix: {famlies: f, algorithms: a, seeds: 0, base: '{family}', tuned: t}\n" STAGES,
           "unknown key \"famlies\"; did you mean families?");
    REFUSE(b,
           HEAD "matrix: {families: f, algorithms: a, seeds: 0, dta: x, base: '{data}', tuned: t}\n" STAGES,
           "unknown key \"dta\"; did you mean data?");
    REFUSE(b, HEAD "cells: [{family: f, algorithm: a, base: b, tunde: t, logits: {bse: x}}]\n" STAGES,
           "cells[0]: unknown key \"tunde\"; did you mean tuned?",
           "cells[0].logits: unknown key \"bse\"; did you mean base?");
    REFUSE(b, HEAD "cells: [{}]\n" STAGES, "missing key family", "missing key algorithm", "missing key base",
           "missing key tuned");
    REFUSE(
        b, HEAD AXES PATHS "  weights: mastres\n  adapter: [exact]\n" STAGES,
        "9:12: matrix.weights: expected one of default, masters, model, found \"mastres\"; did you mean masters?",
        "10:12: matrix.adapter: expected one of default, merged, exact, found a list");
    REFUSE(b,
           HEAD "cells: [{family: f, algorithm: a, base: b, tuned: t, weigths: model, merge: ''}]\n" STAGES,
           "cells[0]: unknown key \"weigths\"; did you mean weights?",
           "cells[0].merge: expected one of default, safe, found \"\"");
    REFUSE(b, HEAD CELLS "stages: {load: {}, delta: {need: load}}\n",
           "unknown key \"need\"; did you mean needs?");
    REFUSE(b, HEAD CELLS "stages: {load: {}, d: {kid: delta, needs: load}}\n",
           "unknown key \"kid\"; did you mean kind?");
    REFUSE(b, HEAD CELLS "stages: {load: {}, delta: {needs: load, tolrances: 1}}\n",
           "did you mean tolerances?");
    REFUSE(b, HEAD CELLS "stages: {load: {}, load: {x: 1}}\n",
           "4:20: duplicate key \"load\" (first in line 4)");
    REFUSE(b, HEAD CELLS "stages: {load: {kind: load, kind: load, kind: load}}\n", "duplicate key \"kind\"",
           "duplicate key \"kind\"");
    REFUSE(b, HEAD CELLS STAGES "? [a]\n: 1\n", "a key must be a word, found a list");
}

static void values(void **state)
{
    struct fixture *b = *state;
    REFUSE(b, "study: [a]\noutput: {}\nmemory_per_process: lots\nmatrix: 1\ncells: {}\nstages: []\n",
           "1:8: study: expected a text, found a list", "2:9: output: expected a text, found a map",
           "3:21: memory_per_process: expected a size (\"2 GiB\", \"512 MB\") of at least 64 MiB, found "
           "\"lots\"",
           "4:9: matrix: expected a map, found \"1\"", "5:8: cells: expected a list, found a map",
           "6:9: stages: expected a map, found a list");
    REFUSE(b, "study:\noutput: ''\nmemory_per_process: 63 MiB\nmatrix:\ncells: []\nstages: {}\n",
           "study: expected a text, found nothing", "output: the path is empty",
           "of at least 64 MiB, found \"63 MiB\"", "matrix: expected a map, found nothing",
           "cells: the list is empty", "stages: the map is empty");
    REFUSE(b, "study: a/b\noutput: o\n" CELLS STAGES, "1:8: study: \"a/b\" is no valid name");
    REFUSE(
        b,
        HEAD
        "matrix: {families: [.., -a, 'a b'], algorithms: [], seeds: [-1, 1.5, '1'], data: [a+b], steps: {},\n"
        "  base: '', tuned: ~}\n" STAGES,
        "\"..\" is no valid name", "\"-a\" is no valid name", "\"a b\" is no valid name",
        "matrix.algorithms: the list is empty", "found \"-1\"", "found \"1.5\"",
        "found the text \"1\" in quotes", "\"a+b\" is no valid name",
        "matrix.steps: expected a list, found a map", "matrix.base: the path is empty",
        "matrix.tuned: expected a text, found nothing");
    REFUSE(b,
           HEAD "matrix: {families: [a, a], algorithms: [[a]], seeds: [0, +0], base: b, tuned: t}\n" STAGES,
           "matrix.families: \"a\" is given twice", "matrix.algorithms: expected a text, found a list",
           "matrix.seeds: \"0\" is given twice");
    REFUSE(b,
           HEAD "cells: [1, {family: f, algorithm: a, seed: x, step: -1, base: b, tuned: t, published: {a: "
                "b, 'x y': 1,\n"
                "  source: [], s: nan}}, {family: f, algorithm: a, base: b, tuned: t, published: 3, logits: "
                "l}]\n" STAGES,
           "cells[0]: expected a map, found \"1\"", "cells[1].seed: expected an integer",
           "cells[1].step: expected", "cells[1].published.a: expected a number, found \"b\"",
           "\"x y\" is no valid name of a quantity", "cells[1].published.source: expected a text",
           "cells[1].published.s: expected a number, found \"nan\"",
           "cells[2].published: expected a map, found \"3\"", "cells[2].logits: expected a map, found \"l\"");
    REFUSE(
        b,
        HEAD CELLS
        "stages: {'a b': {kind: load}, load: 1, delta: {needs: [load], blocks: [1, 2], tolerances: [0, x], "
        "store: maybe, arithmetic: {}}, \n  mask: {needs: delta, tolerance: '1e-5', eta: , note: [a]}}\n",
        "stages.a b: no valid name", "stages.load: expected a map, found \"1\"",
        "stages.delta.blocks: expected an integer from 1 to 100, found a list",
        "stages.delta.tolerances: expected a list of numbers from 0 to 1, found \"x\"",
        "stages.delta.store: expected true or false, found \"maybe\"",
        "stages.delta.arithmetic: expected one of bf16, f32, found a map",
        "stages.mask.tolerance: expected a number from 0 to 1, found a text in quotes",
        "stages.mask.eta: expected a number from 0 to 1, found nothing",
        "stages.mask.note: expected a text, found a list");
    REFUSE(b, HEAD CELLS "stages: {load: {}, delta: {needs: [load], tolerances: []}}\n",
           "4:20: stages.delta: tolerances: at least one is needed");
}

static void environment(void **state)
{
    struct fixture *b = *state;
    REFUSE(b,
           "study: ${SINEW_UNSET}\noutput: ${\nmemory_per_process: ${1}\n"
           "cells: [{family: '${A-b}', algorithm: '${}', base: '${A', tuned: "
           "'${SINEW_UNSET}${SINEW_UNSET:-x}'}]\n" STAGES,
           "1:8: study: the environment variable SINEW_UNSET is not set; set it, or write "
           "${SINEW_UNSET:-default}",
           "output: expected ${NAME} or ${NAME:-default}, found \"${\"", "found \"${1}\"", "found \"${A-b}\"",
           "found \"${}\"", "found \"${A\"", "cells[0].tuned: the environment variable SINEW_UNSET");
    setenv("SINEW_UNSET", "\xff", 1);
    REFUSE(b, "study: a\noutput: ${SINEW_UNSET}\n" CELLS STAGES, "SINEW_UNSET is not valid UTF-8");
    /* what is shown of a text drives no terminal, and is cut within no character */
    REFUSE(b, "study: \"\\e[2J\\u009b\"\noutput: o\n" CELLS STAGES, "study: \" [2J  \" is no valid name");
    REFUSE(b,
           "study: 12345678901234567890123456789012345678901234567890123456789\xc3\xa9\noutput: o\n" CELLS
               STAGES,
           "56789 \" is no valid name");
    setenv("SINEW_UNSET", "a{seed}", 1);
    accept(
        b, HEAD
        "matrix: {families: f, algorithms: a, seeds: 3, base: b, tuned: '${SINEW_UNSET}-{seed}'}\n" STAGES);
    assert_string_equal(b->config.cells[0].tuned, "a{seed}-3"); /* what a variable holds is not read again */
}

static void patterns(void **state)
{
    struct fixture *b = *state;
    REFUSE(b, HEAD AXES "  base: '{familiy}/{model}'\n  tuned: '{seed'\n" STAGES,
           "7:9: matrix.base: unknown placeholder {familiy}; did you mean {family}?",
           "7:9: matrix.base: unknown placeholder \"{model}\"; there are {family} {algorithm} {seed} {data} "
           "{step}",
           "8:10: matrix.tuned: unknown placeholder \"{seed\"");
    REFUSE(b, HEAD AXES "  base: '{data}'\n  tuned: '{family}'\n  logits: {base: '{step}'}\n" STAGES,
           "matrix.base: {data} is used, but the matrix has no key data",
           "matrix.logits.base: {step} is used, but the matrix has no key steps");
    REFUSE(b,
           HEAD AXES PATHS
           "  exclude: [{family: h}, {seed: 5, algorithm: a}, {data: x}, {}, {sed: 1}, 4]\n" STAGES,
           "matrix.exclude.family: \"h\" is not in matrix.families",
           "matrix.exclude.seed: \"5\" is not in matrix.seeds",
           "matrix.exclude.data: the matrix has no key data",
           "matrix.exclude: missing key family or algorithm or seed or data or step",
           "matrix.exclude: unknown key \"sed\"; did you mean seed?",
           "matrix.exclude: expected a map, found \"4\"");
    REFUSE(b, HEAD AXES PATHS "  exclude: {family: f}\n" STAGES,
           "matrix.exclude: expected a list, found a map");
    REFUSE(b, HEAD AXES PATHS "  exclude: [{family: [f, g]}]\n" STAGES,
           "3:1: matrix: exclude leaves no cell");
}

static void cells_twice(void **state)
{
    struct fixture *b = *state;
    REFUSE(b,
           HEAD AXES PATHS "cells:\n  - {family: f, algorithm: b, seed: 1, base: x, tuned: y}\n"
                           "  - {family: h, algorithm: b, seed: 1, base: x, tuned: y}\n"
                           "  - {family: h, algorithm: b, seed: 1, data: d, base: x, tuned: y}\n"
                           "  - {family: h, algorithm: b, seed: 1, base: z, tuned: y}\n" STAGES,
           "10:5: cell f/b/1 is named twice (first in line 3)",
           "13:5: cell h/b/1 is named twice (first in line 11)");
}

static void too_many_cells(void **state)
{
    struct fixture *b = *state;
    struct text t = {.arena = &b->bench.arena};
    text_add(&t, &b->bench.err,
             HEAD "matrix:\n  families: f\n  algorithms: [a, b]\n  base: b\n  tuned: t\n  seeds: [0");
    for (int i = 1; i < 1000; i++)
        text_add(&t, &b->bench.err, ",%d", i);
    text_add(&t, &b->bench.err, "]\n  steps: [0");
    for (int i = 1; i < 60; i++)
        text_add(&t, &b->bench.err, ",%d", i);
    text_add(&t, &b->bench.err, "]\n" STAGES);
    char *copy = strdup(t.text);
    REFUSE(b, copy, "3:1: matrix: more than 10000 cells");
    free(copy);
}

static void needs(void **state)
{
    struct fixture *b = *state;
#define NODES(text) HEAD CELLS "stages:\n  load: {}\n" text
    REFUSE(b, NODES("  delta: {}\n"),
           "6:3: stages.delta: delta needs a node of kind load; write needs: [load]");
    REFUSE(b, NODES("  mask: {needs: []}\n"),
           "6:10: stages.mask: mask needs a node of kind delta; there is none");
    REFUSE(b, NODES("  delta: {needs: [load, load]}\n"), "6:25: stages.delta.needs: \"load\" is given twice");
    REFUSE(b, NODES("  l: {kind: load}\n  delta: {needs: [load, l]}\n"),
           "7:25: stages.delta.needs: \"load\" and \"l\" are both of kind load; delta takes one");
    REFUSE(
        b, NODES("  delta: {needs: load}\n  overlap: {needs: [delta]}\n"),
        "7:21: stages.overlap.needs: \"delta\" is of kind delta, which overlap does not take; it takes mask");
    REFUSE(b, NODES("  x: {kind: load, needs: [load]}\n"), "which load does not take; it takes nothing");
    REFUSE(b, NODES("  delta: {needs: {}}\n"), "stages.delta.needs: expected a list, found a map");
    REFUSE(b, NODES("  delta: {needs: [[load]]}\n"), "stages.delta.needs: expected a text, found a list");
    REFUSE(b, NODES("  delta: {needs: }\n"), "stages.delta.needs: expected a list, found nothing");
    REFUSE(b, NODES("  delta: {needs: load}\n  mask: {needs: [delta, nothing]}\n"),
           "there is no node \"nothing\"; nodes: load, delta, mask");
    REFUSE(b, NODES("  delta: {needs: load}\n  mask: {needs: delta}\n  report: {needs: [mask, load]}\n"),
           "8:26: stages.report.needs: \"load\" is of kind load, which report does not take; it takes mask, "
           "rank");
    REFUSE(b, NODES("  delta: {needs: load}\n  report: {}\n"),
           "report needs a node of kind mask; there is none");
    REFUSE(b, NODES("  q: {kind: frobnicate}\n  mask: {needs: q}\n"),
           "unknown kind \"frobnicate\"; kinds: load, delta, mask, rank, overlap, report");
    accept(b,
           NODES("  delta: {needs: load}\n  m: {kind: mask, needs: delta}\n  n: {kind: mask, needs: delta}\n"
                 "  report: {needs: [m, n]}\n"));
}

static void circles(void **state)
{
    struct fixture *b = *state;
    REFUSE(b, NODES("  delta: {needs: [delta]}\n"), "6:19: stages.delta.needs: a circle: delta -> delta");
    REFUSE(b,
           NODES("  delta: {needs: [load, c]}\n  b: {kind: mask, needs: [delta]}\n  c: {kind: report, needs: "
                 "[b]}\n"
                 "  d: {kind: rank, needs: [delta]}\n"),
           "6:25: stages.delta.needs: a circle: delta -> c -> b -> delta");
    REFUSE(b,
           NODES("  x: {kind: rank, needs: y}\n  y: {kind: rank, needs: x}\n"
                 "  p: {kind: rank, needs: q}\n  q: {kind: rank, needs: p}\n"),
           "a circle: x -> y -> x", "a circle: p -> q -> p");
}

static void order(void **state)
{
    struct fixture *b = *state;
    int none[1] = {0}, two[] = {2, 3}, three[] = {3}, *lists[] = {two, three, three, none},
        counts[] = {2, 1, 1, 0};
    int sorted[4], ncycles;
    struct order_cycle *cycles;
    assert_int_equal(order_sort(4, counts, lists, sorted, &cycles, &ncycles, &b->bench.arena, &b->bench.err),
                     ERR_OK);
    assert_int_equal(ncycles, 0);
    static const int expected[] = {3, 1, 2, 0};
    assert_memory_equal(sorted, expected, sizeof sorted);
    assert_int_equal(order_sort(0, NULL, NULL, sorted, &cycles, &ncycles, &b->bench.arena, &b->bench.err),
                     ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(full_config),   TEST(resolved_round_trip),
                                       TEST(small_configs), TEST(five_mistakes),
                                       TEST(keys),          TEST(values),
                                       TEST(environment),   TEST(patterns),
                                       TEST(cells_twice),   TEST(too_many_cells),
                                       TEST(needs),         TEST(circles),
                                       TEST(order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
