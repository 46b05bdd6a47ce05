#!/usr/bin/python3
"""Training dynamics of runs with steps: every count against numpy and torch, on a walk of awkward values always, and on a real
run and its recorded figures (oracle.json) where they are: ../shared/tinyrl beside the project, or SINEW_TINYRL."""
import json
import os
import unittest

import numpy as np
import torch

import sinewlib as lib

TINYRL = os.path.abspath(os.environ.get("SINEW_TINYRL", os.path.join(lib.ROOT, "..", "shared", "tinyrl")))


def differs_by_torch(old, new, tolerance):
    """Two arrays of bf16 bits: where torch.isclose of their bf16 difference to zero says no."""
    old, new = (torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16) for x in (old, new))
    delta = new - old
    return ~torch.isclose(delta, torch.zeros_like(delta), atol=tolerance).numpy()


def reference(members, differs):
    """members: bits of the start, then of each checkpoint of the run, each all parameters in one array. Rows and totals."""
    start, previous, ever = members[0], members[0], np.zeros(members[0].shape, bool)
    final = differs(start, members[-1])
    rows = []
    for now in members[1:]:
        from_start, from_previous = differs(start, now), differs(previous, now)
        ever |= from_start | from_previous
        rows.append({"updated_from_start": int(from_start.sum()), "updated_from_previous": int(from_previous.sum()),
                     "ever_updated": int(ever.sum()), "outside_final": int((from_previous & ~final).sum()),
                     "ever_outside_final": int((ever & ~final).sum()), "parameters": start.size})
        previous = now
    for row in rows:
        row["sparsity_from_start"] = 1 - row["updated_from_start"] / start.size
        row["sparsity_from_previous"] = 1 - row["updated_from_previous"] / start.size
        for column, whole in (("outside_final", int(ever.sum())), ("ever_outside_final", row["ever_updated"])):
            row[column + "_share"] = row[column] / whole if whole else float("nan")
    totals = {"steps": len(rows), "parameters": start.size, "never_updated": int((~ever).sum()),
              "cancelled": int((ever & ~final).sum()), "final_subnetwork": int(final.sum())}
    for word in ("never_updated", "cancelled", "final_subnetwork"):
        totals[word + "_share"] = totals[word] / start.size
    return rows, totals


class Dynamics(lib.Case):
    def check(self, archive, node, run, steps, members, differs):
        """Rows of a node and run; members: the start, then one array per step."""
        rows = [r for r in lib.table(archive, "dynamics") if (r["node"], r["run"]) == (node, run)]
        totals = [r for r in lib.table(archive, "dynamics_totals") if (r["node"], r["run"]) == (node, run)]
        self.assertEqual([r["step"] for r in rows], steps, (node, run))
        self.assertEqual([r["previous_step"] for r in rows], [-1] + steps[:-1])
        self.assertEqual(len(totals), 1)
        want, want_totals = reference(members, differs)
        for row, figures in list(zip(rows, want)) + [(totals[0], want_totals)]:
            for column, value in figures.items():
                if isinstance(value, int):
                    self.assertEqual(row[column], value, (node, run, row, column))
                elif np.isnan(value):
                    self.assertTrue(np.isnan(row[column]), (node, run, row, column))
                else:
                    self.assertAlmostEqual(row[column], value, delta=1e-15, msg=(node, run, row, column))
        total = totals[0]
        self.assertEqual(total["never_updated"] + total["cancelled"] + total["final_subnetwork"], total["parameters"])
        return rows, total


def walk(rng, start, tensors):
    """The next step: some elements move, some return to the start, the special values are dealt anew."""
    out = {}
    for name, (dtype, bits) in tensors.items():
        first = start[name][1]
        if dtype == "I64" or bits.size == 0 or "input_layernorm" in name:
            out[name] = (dtype, bits)
            continue
        if "post_attention_layernorm" in name:
            keep = rng.random(bits.shape) < 0.5
            out[name] = (dtype, np.where(keep, bits, rng.permutation(bits)).astype(bits.dtype))
            continue
        move, back = rng.random(bits.shape) < 0.15, rng.random(bits.shape) < 0.1
        wide = lib.to_float("f32", lib.to_compare("f32", dtype, bits)).astype(np.float64)
        step = rng.choice([-1, 1], bits.shape) * 10.0 ** rng.uniform(-7, -3, bits.shape)
        with np.errstate(all="ignore"):
            new = (wide + step).astype(np.float32)
        moved = {"BF16": lib.bf16_round, "F16": lib.half_bits, "F32": lib.float_bits}[dtype](new)
        out[name] = (dtype, np.where(back, first, np.where(move, moved, bits)).astype(bits.dtype).reshape(bits.shape))
    return out


class Synthetic(Dynamics):
    RUNS = {("ppo", 0, ""): [10, 20, 30, -1], ("ppo", 0, "math"): [5, 15], ("ppo", 1, ""): [10], ("dpo", 0, ""): [-1]}
    NODES = {"dynamics": ("bf16", "absolute", 1e-5), "dynamics-loose": ("bf16", "absolute", 1e-4),
             "dynamics-bits": ("bf16", "bits", 0), "dynamics-none": ("bf16", "absolute", 1e-5),
             "dynamics-f32": ("f32", "absolute", 1e-5), "dynamics-f32-bits": ("f32", "bits", 0)}

    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(20250511)
        self.start = lib.awkward_base(rng)
        # Small values, where the tolerance is many steps of the type: they drift across it and swing within it.
        small = self.start["model.layers.0.self_attn.q_proj.weight"]
        small[1][:] = lib.bf16_round((rng.standard_normal(small[1].shape) * 1e-5).astype(np.float32))
        lib.write_checkpoint(self.path("models", "base"), self.start)
        self.made, cells = {}, []
        for (algorithm, seed, data), steps in self.RUNS.items():
            tensors = self.start
            for step in steps:
                tensors = walk(rng, self.start, tensors)
                self.made[algorithm, seed, data, step] = tensors
                folder = "%s-%d%s%s" % (algorithm, seed, data, "" if step < 0 else "-%d" % step)
                lib.write_checkpoint(self.path("models", folder), tensors, shards=1 + 2 * (step == 20))
                cells.append("  - {family: tiny-a, algorithm: %s, seed: %d%s%s, base: models/base, tuned: models/%s}\n" % (
                    algorithm, seed, ", data: " + data if data else "", "" if step < 0 else ", step: %d" % step, folder))
        # A base without runs, for which there is nothing to count.
        cells.append("  - {family: tiny-a, algorithm: dpo, seed: 7, base: models/ppo-0-10, tuned: models/dpo-0}\n")
        rng.shuffle(cells)
        self.cells = "".join(cells)

    def study(self, output, memory="1 GiB"):
        return self.write(output + ".yaml", """study: steps
output: %s
memory_per_process: %s
cells:
%sstages:
  load: {}
  delta: {needs: [load]}
  delta-none: {kind: delta, needs: [load], store: none}
  delta-f32: {kind: delta, needs: [load], arithmetic: f32}
  dynamics: {needs: [delta]}
  dynamics-loose: {kind: dynamics, needs: [delta], tolerance: 1e-4}
  dynamics-bits: {kind: dynamics, needs: [delta], criterion: bits}
  dynamics-none: {kind: dynamics, needs: [delta-none]}
  dynamics-f32: {kind: dynamics, needs: [delta-f32]}
  dynamics-f32-bits: {kind: dynamics, needs: [delta-f32], criterion: bits}
""" % (output, memory, self.cells))

    def bits(self, arithmetic, tensors):
        return np.concatenate([lib.to_compare(arithmetic, dtype, bits).ravel() for name, (dtype, bits) in sorted(tensors.items())
                               if dtype != "I64"])

    def test_counts(self):
        self.sinew(["run", self.study("one")])
        archive = self.path("one", "steps.h5")
        drifted = cancelled = 0
        for node, (arithmetic, criterion, tolerance) in self.NODES.items():
            for (algorithm, seed, data), steps in self.RUNS.items():
                if steps == [-1]:
                    continue
                run = "tiny-a/%s/%d%s" % (algorithm, seed, "+" + data if data else "")
                members = [self.bits(arithmetic, x) for x in
                           [self.start] + [self.made[algorithm, seed, data, step] for step in steps]]
                differs = lambda a, b: lib.updated(arithmetic, a, b, criterion, tolerance)
                rows, total = self.check(archive, node, run, steps, members, differs)
                cancelled += total["cancelled"]
                by_steps = np.any([differs(a, b) for a, b in zip(members, members[1:])], axis=0)
                drifted += int((~by_steps & differs(members[0], members[-1])).sum())
        # The cases that make the definitions matter do occur.
        self.assertGreater(drifted, 0)
        self.assertGreater(cancelled, 0)
        found = lib.table(archive, "dynamics_totals")
        self.assertEqual(len(found), 3 * len(self.NODES))
        self.assertEqual({r["base"] for r in found}, {"models/base"})

    def test_any_number_of_processes_and_little_memory(self):
        for np_, output, memory in ((1, "one", "1 GiB"), (3, "three", "64 MiB")):
            self.sinew(["run", self.study(output, memory)], np=np_)
        self.assertEqual(lib.compare_archives(self.path("one", "steps.h5"), self.path("three", "steps.h5")), [])

    def test_no_steps_is_no_error(self):
        config = self.write("plain.yaml", """study: plain
output: plain
cells:
  - {family: tiny-a, algorithm: dpo, seed: 0, base: models/base, tuned: models/dpo-0}
stages: {load: {}, delta: {needs: [load]}, dynamics: {needs: [delta]}}
""")
        self.sinew(["run", config], np=2)
        for table in ("dynamics", "dynamics_totals"):
            self.assertEqual(lib.table(self.path("plain", "plain.h5"), table), [])
        self.assertIn("nothing to do", self.sinew(["run", config]).stdout)

    def test_a_tensor_missing_in_one_step(self):
        """A type that is not compared leaves the tensor out of one step: the steps no longer fit."""
        tensors = dict(self.made["ppo", 0, "", 20])
        tensors["model.norm.weight"] = ("U8", np.zeros((), np.uint8))
        lib.write_checkpoint(self.path("models", "other"), tensors)
        config = self.write("bad.yaml", """study: bad
output: bad
cells:
  - {family: tiny-a, algorithm: ppo, seed: 0, step: 10, base: models/base, tuned: models/ppo-0-10}
  - {family: tiny-a, algorithm: ppo, seed: 0, step: 20, base: models/base, tuned: models/other}
stages: {load: {}, delta: {needs: [load]}, dynamics: {needs: [delta]}}
""")
        run = self.sinew(["run", config], np=3, status=3)
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("tensor model.norm.weight was compared in tiny-a/ppo/0@10 only", run.errors()[0])


@unittest.skipUnless(os.path.isfile(os.path.join(TINYRL, "oracle.json")), "no tinyrl: set SINEW_TINYRL to its place")
class RealRun(Dynamics):
    STEPS = [16, 32, 48, 64]

    def test_real_run(self):
        folder = os.path.join(TINYRL, "tiny-llama", "grpo", "seed-0")
        places = [os.path.join(TINYRL, "tiny-llama", "base")] + [os.path.join(folder, "checkpoint-%d" % s) for s in self.STEPS]
        places.append(folder)
        cells = "".join("  - {family: tiny-llama, algorithm: grpo, seed: 0%s, base: %s, tuned: %s}\n" % (
            "" if step < 0 else ", step: %d" % step, places[0], place) for step, place in zip(self.STEPS + [-1], places[1:]))
        tolerances = ["1e-8", "1e-7", "1e-6", "1e-5", "1e-4", "1e-3"]
        nodes = "".join("  at-%s: {kind: dynamics, needs: [delta], tolerance: %s}\n" % (t, t) for t in tolerances)
        config = self.write("study.yaml", "study: real\noutput: out\ncells:\n%sstages:\n  load: {}\n  delta: {needs: [load]}\n%s"
                            "  exact: {kind: dynamics, needs: [delta], criterion: bits}\n" % (cells, nodes))
        self.sinew(["run", config], np=2)
        archive = self.path("out", "real.h5")
        models = [lib.read_checkpoint(place) for place in places]
        members = [np.concatenate([m[name][1].ravel() for name in sorted(models[0])]) for m in models]
        with open(os.path.join(TINYRL, "oracle.json")) as f:
            recorded = json.load(f)["families"]["tiny-llama"]["cells"]["grpo/seed-0"]["checkpoints"]
        steps = self.STEPS + [-1]
        for node, differs in [("exact", lambda a, b: a != b)] + [
                ("at-" + t, lambda a, b, t=t: differs_by_torch(a, b, float(t))) for t in tolerances]:
            rows, total = self.check(archive, node, "tiny-llama/grpo/0", steps, members, differs)
            for row in rows[:-1]:
                figures = recorded["checkpoint-%d" % row["step"]]
                for column, key in (("updated_from_start", "vs_base"), ("updated_from_previous", "vs_previous")):
                    want = (figures[key]["bit_changed"] if node == "exact"
                            else figures[key]["numel"] - figures[key]["close"][node[3:]])
                    self.assertEqual(row[column], want, (node, row["step"], column))
            if node in ("exact", "at-1e-5"):
                print("%s: never %.4f, cancelled %.4f, final %.4f; updates outside the final subnetwork by step %s" % (
                    node, total["never_updated_share"], total["cancelled_share"], total["final_subnetwork_share"],
                    ["%.3f" % r["outside_final_share"] for r in rows]))


if __name__ == "__main__":
    lib.main()
