#!/usr/bin/python3
"""Adapters on their bases in whole studies, against numpy: merged gives the tables of the merged file, exact has s B A as its update in
norms, ranks, masks and runs, beside cells that are not exact; bases in shards; the same on any number of processes."""
import json
import math
import os

import numpy as np

import sinewlib as lib

R, ALPHA = 3, 6
STUDY = """study: lora
output: %s
memory_per_process: 256 MiB
cells:
%s
stages:
  load: {}
  delta: {needs: [load], arithmetic: %s}
  mask: {needs: [delta], tolerance: 1e-5}
  mask-relative: {kind: mask, needs: [delta], criterion: relative}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  dynamics: {needs: [delta]}
"""
REPORT = "  report: {needs: [mask, rank, overlap, dynamics]}\n"


def fused(b, a):
    """B A in float32, over k in order, each step rounded once (a product of two floats is exact in double)."""
    total = np.zeros((b.shape[0], a.shape[1]), np.float32)
    for k in range(b.shape[1]):
        total = (b[:, k:k + 1].astype(np.float64) * a[k:k + 1, :] + total).astype(np.float32)
    return total


def write_adapter(folder, factors, config):
    os.makedirs(folder)
    tensors = {}
    for module, (a, b) in factors.items():
        for word, x in (("lora_A", a), ("lora_B", b)):
            tensors["base_model.model.%s.%s.weight" % (module, word)] = ("F32", x.shape, x.tobytes())
    lib.write_safetensors(os.path.join(folder, "adapter_model.safetensors"), tensors)
    with open(os.path.join(folder, "adapter_config.json"), "w") as f:
        json.dump(config, f)


class Lora(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(11)
        shapes = {"model.layers.%d.%s.weight" % (n, m): s for n in range(2)
                  for m, s in (("self_attn.q_proj", (130, 90)), ("mlp.up_proj", (200, 90)))}
        self.base = {n: ("BF16", lib.bf16_round(rng.standard_normal(s).astype(np.float32) * 0.02)) for n, s in shapes.items()}
        self.base["model.norm.weight"] = ("BF16", lib.bf16_round(np.ones(90, np.float32)))
        lib.write_checkpoint(self.path("base"), self.base, shards=2)
        self.update = {}
        for step, modules in ((1, ("q_proj",)), (2, ("q_proj", "up_proj"))):
            factors = {n[:-7]: (rng.standard_normal((R, s[1])).astype(np.float32) * 0.01,
                                rng.standard_normal((s[0], R)).astype(np.float32) * 0.01)
                       for n, s in shapes.items() if n.split(".")[-2] in modules}
            write_adapter(self.path("step-%d" % step), factors, {"r": R, "lora_alpha": ALPHA})
            self.update[step] = {m + ".weight": fused(b, a) * np.float32(ALPHA / R) for m, (a, b) in factors.items()}
        merged = dict(self.base)
        for name, d in self.update[2].items():
            merged[name] = ("BF16", lib.bf16_round(lib.bf16_float(merged[name][1]) + d))
        lib.write_checkpoint(self.path("merged"), merged)

    def cell(self, algorithm, tuned, step, more=""):
        return '  - {family: f, algorithm: %s, seed: 0, step: %d, base: "%s", tuned: "%s"%s}' % (
            algorithm, step, self.path("base"), self.path(tuned), more)

    def run_study(self, cells, arithmetic, np_=0, output="out", more=""):
        config = self.write("study.yaml", STUDY % (output, "\n".join(cells), arithmetic) + more)
        self.sinew(["run", config, "-q"], np=np_)
        return {n: lib.plain(rows) for n, rows in lib.tables(self.path(output, "lora.h5")).items()}

    def test_merged(self):
        cells = [self.cell("adapter", "step-2", 2), self.cell("file", "merged", 2)]
        for arithmetic in ("bf16", "f32"):
            tables = self.run_study(cells, arithmetic, output=arithmetic)
            for name in ("tensors", "tensor_sparsity", "rank", "layers", "modules"):
                rows = {a: [{k: v for k, v in r.items() if k not in ("cell", "spectrum_offset")} for r in tables[name]
                            if r["cell"].startswith("f/%s/" % a)] for a in ("adapter", "file")}
                self.assertEqual(repr(rows["adapter"]), repr(rows["file"]), name)

    def check_exact(self, tables, cell, update):
        rows = {r["tensor"]: r for r in tables["tensors"] if r["cell"] == cell}
        ranks = {r["tensor"]: r["matrix_rank"] for r in tables["rank"] if r["cell"] == cell}
        for name, (_, bits) in self.base.items():
            w = lib.bf16_float(bits).astype(np.float64)
            d = update.get(name, np.zeros_like(w)).astype(np.float64)
            want = {"nonzero": np.count_nonzero(d), "max_abs": np.abs(d).max(), "l2": np.linalg.norm(d), "norm_delta": np.linalg.norm(d),
                    "norm_base": np.linalg.norm(w), "norm_tuned": np.linalg.norm(w + d),
                    "relative_norm": np.linalg.norm(d) / np.linalg.norm(w),
                    "cosine": (w * (w + d)).sum() / np.linalg.norm(w) / np.linalg.norm(w + d)}
            for column, x in want.items():
                self.assertTrue(math.isclose(rows[name][column], x, rel_tol=1e-9, abs_tol=1e-12), (cell, name, column, rows[name], x))
            if w.ndim == 2:
                self.assertEqual(ranks[name], R if name in update else 0, (cell, name))
        above = sum(np.count_nonzero(np.abs(d) > np.float32(1e-5)) for d in update.values())
        got = [r["updated"] for r in tables["sparsity"] if r["cell"] == cell and r["node"] == "mask"]
        self.assertEqual(got, [above], cell)

    def test_exact(self):
        exact = ", adapter: exact"
        cells = [self.cell("run", "step-1", 1, exact), self.cell("run", "step-2", 2, exact), self.cell("merged", "step-2", 2)]
        tables = self.run_study(cells, "f32", more=REPORT)
        self.check_exact(tables, "f/run/0@1", self.update[1])
        self.check_exact(tables, "f/run/0@2", self.update[2])
        pairs = {(r["cell_1"], r["cell_2"]) for r in tables["overlap"]}
        self.assertIn(("f/run/0@1", "f/run/0@2"), pairs)
        for np_ in (2, 3):
            again = self.run_study(cells, "f32", np_, "out-%d" % np_)
            for name in ("cells", "tensors", "tensor_sparsity", "overlap", "dynamics"):
                self.assertEqual(repr(again[name]), repr(tables[name]), (np_, name))

    def test_refused(self):
        with open(self.path("step-2", "adapter_config.json"), "w") as f:
            json.dump({"r": R, "lora_alpha": ALPHA, "init_lora_weights": "pissa"}, f)
        config = self.write("study.yaml", STUDY % ("out", self.cell("run", "step-2", 2), "f32"))
        for args in (["check", config], ["run", config]):
            run = self.sinew(args, status=3)
            self.assertEqual(len(run.errors()), 1)
            self.assertIn("PiSSA: the base's weights were changed", run.errors()[0])


    def test_an_adapter_without_a_tensor_is_no_model(self):
        write_adapter(self.path("empty"), {}, {"peft_type": "LORA", "r": R, "lora_alpha": ALPHA, "target_modules": ["q_proj"]})
        for np_ in (0, 2):
            message = self.sinew(["compare", self.path("base"), self.path("empty")], np=np_, status=3).stderr
            self.assertIn("an adapter without a tensor", message)

if __name__ == "__main__":
    lib.main()
