#!/usr/bin/python3
"""Models of several stacks: a vision tower's block 0 is not the language model's layer 0. A tiny pair with the names of Qwen2.5-VL
and known updates, in every table, figure and scope, on 1 to 3 processes; an encoder beside a decoder; a decoder alone;
multi-token prediction by name. Where a tensor belongs stands beside its name here; the figures are numpy's."""
import csv
import os
import shutil
import unittest

import numpy as np

import sinewlib as lib

GNUPLOT = shutil.which("gnuplot")
MASK = 1e-5

# name -> shape, stack, layer, module, share of elements moved in cell ppo, in cell dpo
VISION_LANGUAGE = {
    "lm_head.weight": ((40, 24), "", -1, "lm_head", 0.1, 0.1),
    "model.embed_tokens.weight": ((40, 24), "", -1, "embed_tokens", 0, 0.2),
    "model.layers.0.input_layernorm.weight": ((24,), "", 0, "input_layernorm", 0, 0.5),
    "model.layers.0.mlp.gate_proj.weight": ((36, 24), "", 0, "gate_proj", 0.25, 0.5),
    "model.layers.0.self_attn.q_proj.weight": ((24, 24), "", 0, "q_proj", 0.25, 0.1),
    "model.layers.10.mlp.gate_proj.weight": ((36, 24), "", 10, "gate_proj", 0.6, 0.3),
    "model.layers.2.mlp.gate_proj.weight": ((36, 24), "", 2, "gate_proj", 0.7, 0.2),
    "model.norm.weight": ((24,), "", -1, "norm", 0, 0),
    "visual.blocks.0.attn.qkv.weight": ((48, 16), "visual", 0, "qkv", 0.9, 0.8),
    "visual.blocks.0.mlp.gate_proj.weight": ((20, 16), "visual", 0, "gate_proj", 1, 0.05),
    "visual.blocks.10.mlp.gate_proj.weight": ((20, 16), "visual", 10, "gate_proj", 0.4, 0.4),
    "visual.blocks.9.mlp.gate_proj.weight": ((20, 16), "visual", 9, "gate_proj", 0, 0.1),
    "visual.merger.mlp.0.weight": ((24, 16), "visual", -1, "0", 0.3, 0.3),
    "visual.patch_embed.proj.weight": ((16, 12), "visual", -1, "proj", 0, 0),
}
TRANSLATOR = {
    "decoder.block.0.layer.0.SelfAttention.q.weight": ((16, 16), "decoder", 0, "q", 0.5, 0.1),
    "decoder.block.0.layer.2.DenseReluDense.wi.weight": ((32, 16), "decoder", 0, "wi", 0.25, 0.1),
    "encoder.block.0.layer.0.SelfAttention.q.weight": ((16, 16), "encoder", 0, "q", 0, 0.1),
    "encoder.final_layer_norm.weight": ((16,), "encoder", -1, "final_layer_norm", 0.5, 0.5),
    "shared.weight": ((24, 16), "", -1, "shared", 0.1, 0.1),
}
DECODER = {
    "model.decoder.embed_tokens.weight": ((24, 16), "", -1, "embed_tokens", 0.1, 0.1),
    "model.decoder.layers.0.fc1.weight": ((32, 16), "", 0, "fc1", 0.5, 0.1),
    "model.decoder.layers.1.fc1.weight": ((32, 16), "", 1, "fc1", 0.2, 0.1),
}
PREDICTOR = {
    "model.embed_tokens.weight": ((24, 16), "", -1, "embed_tokens", 0.1, 0.1),
    "model.layers.0.mlp.up_proj.weight": ((32, 16), "", 0, "up_proj", 0.5, 0.1),
    "mtp.fc.weight": ((16, 32), "mtp", -1, "fc", 0.5, 0.2),
    "mtp.layers.0.mlp.up_proj.weight": ((32, 16), "mtp", 0, "up_proj", 0.9, 0.2),
    "mtp.norm.weight": ((16,), "mtp", -1, "norm", 0.5, 0.2),
}


class Stacks(lib.Case):
    def make(self, model):
        """Checkpoints; per cell and tensor, which elements moved by more than the mask's tolerance."""
        rng = np.random.default_rng(7)
        base = {n: ("BF16", lib.bf16_round((0.5 + rng.random(x[0])).astype(np.float32)).reshape(x[0])) for n, x in model.items()}
        lib.write_checkpoint(self.path("base"), base)
        self.changed = {}
        for cell, k in (("m/dpo/0", 5), ("m/ppo/0", 4)):
            moved = {n: rng.random(x[0]) < x[k] for n, x in model.items()}
            tuned = {n: ("BF16", (base[n][1] + np.where(moved[n], rng.integers(1, 4, x[0]), 0)).astype(np.uint16)) for n, x in model.items()}
            lib.write_checkpoint(self.path(cell.split("/")[1]), tuned)
            self.changed[cell] = {n: m.reshape(-1) for n, m in moved.items()}
        self.model = model

    def run_study(self, delta="", np=0, name="x", stages="", report=False):
        config = self.write(name + ".yaml", """study: x
output: out-%s
cells:
  - {family: m, algorithm: ppo, seed: 0, base: base, tuned: ppo}
  - {family: m, algorithm: dpo, seed: 0, base: base, tuned: dpo}
stages:
  load: {}
  delta: {needs: [load]%s}
  mask: {needs: [delta], criterion: absolute, tolerance: %g}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
%s%s""" % (name, ", " + delta if delta else "", MASK, stages, "  report: {needs: [mask, rank, overlap]}\n" if report else ""))
        self.sinew(["run", config], np=np)
        self.archive = self.path("out-" + name, "x.h5")
        self.tables = {k: lib.plain(v) for k, v in lib.tables(self.archive).items()}

    def layers(self, names):
        """(stack, layer) -> names"""
        out = {}
        for n in names:
            _, stack, layer = self.model[n][:3]
            if layer >= 0:
                out.setdefault((stack, layer), []).append(n)
        return out

    def check_layers(self, node, names):
        want = self.layers(names)
        for cell, changed in self.changed.items():
            rows = [r for r in self.tables["layers"] if r["node"] == node and r["cell"] == cell]
            self.assertEqual([(r["stack"], r["layer"]) for r in rows], sorted(want), node)
            for row in rows:
                of = want[row["stack"], row["layer"]]
                size = sum(changed[n].size for n in of)
                count = sum(int(changed[n].sum()) for n in of)
                self.assertEqual((row["parameters"], row["updated"]), (size, count), row)
                self.assertEqual(row["sparsity"], 1 - count / size)
                self.assertAlmostEqual(row["mean_tensor_density"], sum(changed[n].mean() for n in of) / len(of), delta=1e-15)

    def check_tensors(self, names):
        for table, wanted in (("tensors", list(self.model)), ("rank", [n for n in names if len(self.model[n][0]) == 2])):
            for cell in self.changed:
                rows = {r["tensor"]: r for r in self.tables[table] if r["cell"] == cell}
                self.assertEqual(sorted(rows), sorted(wanted), table)
                for n, row in rows.items():
                    self.assertEqual((row["stack"], row["layer"], row["module"]), self.model[n][1:4], n)
        for cell in self.changed:
            rows = {r["tensor"]: r for r in self.tables["tensors"] if r["cell"] == cell}
            self.assertEqual({n: r["bit_changed"] for n, r in rows.items()}, {n: int(m.sum()) for n, m in self.changed[cell].items()})

    def check_overlap(self, names):
        scopes = {"model": list(names)}
        for (stack, layer), of in self.layers(names).items():
            scopes[(stack + "/" if stack else "") + "layer:%d" % layer] = of
        for n in names:
            scopes.setdefault("module:" + self.model[n][3], []).append(n)
        one, two = self.changed["m/ppo/0"], self.changed["m/dpo/0"]
        rows = {r["scope"]: r for r in self.tables["overlap"]}
        self.assertEqual(len(rows), len(self.tables["overlap"]))
        self.assertEqual(sorted(rows), sorted(scopes))
        for scope, of in scopes.items():
            row = rows[scope]
            self.assertEqual({row["cell_1"], row["cell_2"]}, set(self.changed))
            u = [sum(int(self.changed[c][n].sum()) for n in of) for c in (row["cell_1"], row["cell_2"])]
            both = sum(int((one[n] & two[n]).sum()) for n in of)
            size = sum(one[n].size for n in of)
            self.assertEqual((row["parameters"], row["updated_1"], row["updated_2"], row["intersection"]), (size, *u, both), scope)
            at_least = {r["k"]: r["updated_in_at_least_k"] for r in self.tables["consensus"] if r["scope"] == scope}
            self.assertEqual(at_least, {1: sum(u) - both, 2: both}, scope)

    def places(self, table, *parts):
        return {r["tensor"]: (r["stack"], r["layer"]) for r in lib.table(self.path(*parts), table)}

    def test_vision_language(self):
        self.make(VISION_LANGUAGE)
        names = list(VISION_LANGUAGE)
        archives = []
        for processes in (1, 2, 3):
            self.run_study(np=processes, name="np%d" % processes)
            archives.append(self.archive)
            self.check_layers("delta", names)
            self.check_layers("mask", names)
            self.check_tensors(names)
            self.check_overlap(names)
        for other in archives[1:]:
            self.assertEqual(lib.compare_archives(archives[0], other), [])
        want = {n: x[1:3] for n, x in VISION_LANGUAGE.items()}
        self.assertEqual(self.places("compared", "out-np3", "cells", "m", "ppo", "0", "mask.h5"), want)
        for name in os.listdir(self.path("out-np3", "checkpoints")):
            self.assertEqual(self.places("catalogue", "out-np3", "checkpoints", name, "load.h5"), want)

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_report(self):
        """Each stack has a map of its own, and rows of its own in the table by layer."""
        self.make(VISION_LANGUAGE)
        self.run_study(report=True)
        for stack, figure in (("", "layer-module-m"), ("visual", "layer-module-m-visual")):
            with open(self.path("out-x", "report", "figures", figure + ".csv"), newline="") as f:
                rows = list(csv.reader(f))[1:]
            seen = {(-1 if layer == "no layer" else int(layer), module): float(x) for _, layer, module, x in rows}
            want = {}
            for n, (shape, of, layer, module, *_) in VISION_LANGUAGE.items():
                if of == stack:
                    at = want.setdefault((layer, module), [0, 0])
                    at[0] += sum(int(c[n].sum()) for c in self.changed.values())
                    at[1] += len(self.changed) * int(np.prod(shape))
            self.assertEqual(sorted(seen), sorted(want))
            for key, (count, size) in want.items():
                self.assertAlmostEqual(seen[key], 100 * (1 - count / size), 9, key)
        with open(self.path("out-x", "report", "report.md")) as f:
            page = f.read()
        section = page[page.index("Sparsity by layer"):]
        rows = [line.split("|")[1].strip() for line in section[:section.index("Sparsity by module")].splitlines() if line.startswith("|")]
        self.assertEqual(rows[-6:], ["0", "2", "10", "visual 0", "visual 9", "visual 10"])
        self.assertIn("A word before the number names a stack of layers", section)
        for stack, text in (("", "the same, is %.2f %% in the mean layer ("), ("visual", "In the mean layer of visual it is %.2f %% (")):
            densities = [np.mean([c[n].mean() for n in of]) for c in self.changed.values()
                         for (s, _), of in self.layers(VISION_LANGUAGE).items() if s == stack]
            self.assertIn(text % (100 * np.mean(densities)), section)

    def test_encoder_and_decoder(self):
        self.make(TRANSLATOR)
        self.run_study(np=2)
        self.check_layers("delta", TRANSLATOR)
        self.check_tensors(list(TRANSLATOR))
        self.check_overlap(list(TRANSLATOR))
        self.assertIn("modules add up all stacks of layers: decoder, encoder\n",
                      self.sinew(["compare", self.path("base"), self.path("ppo")]).text())

    def test_decoder_alone(self):
        """OPT: its decoder is the model."""
        self.make(DECODER)
        self.run_study()
        self.check_layers("mask", DECODER)
        self.check_tensors(list(DECODER))
        self.check_overlap(list(DECODER))
        self.assertNotIn("stacks of layers", self.sinew(["compare", self.path("base"), self.path("ppo")]).text())

    def test_multi_token_prediction(self):
        """As DeepSeek's layer beyond the last: compared, told in rows of its own, in no total and no later stage."""
        self.make(PREDICTOR)
        self.run_study("coverage: any", stages="  all: {kind: delta, needs: [load], mtp: include}\n")
        own = [n for n in PREDICTOR if not n.startswith("mtp")]
        self.check_layers("mask", own)
        self.check_layers("all", list(PREDICTOR))
        layers = [r for r in self.tables["layers"] if r["node"] == "delta" and r["stack"] == "mtp"]
        self.assertEqual([(r["layer"], r["cell"], r["updated"]) for r in layers],
                         [(0, c, int(self.changed[c]["mtp.layers.0.mlp.up_proj.weight"].sum())) for c in ("m/ppo/0", "m/dpo/0")])
        self.check_overlap(own)
        self.assertNotIn("stacks of layers", self.sinew(["compare", "--coverage", "any", self.path("base"), self.path("ppo")]).text())
        skipped = {r["tensor"]: (r["parameters"], r["reason"]) for r in self.tables["skipped"] if r["node"] == "delta"}
        self.assertEqual(skipped, {"mtp.fc.weight": (512, "multi-token prediction"), "mtp.norm.weight": (16, "multi-token prediction"),
                                   "mtp.layers.0.mlp.up_proj.weight": (512, "multi-token-prediction layer 0")})
        for row in self.tables["cells"]:
            self.assertEqual((row["parameters"], row["skipped_parameters"]), (24 * 16 + 32 * 16, 1040))
        for row in self.tables["sparsity"]:
            if row["criterion"] == "bits":
                names = own if row["node"] == "delta" else list(PREDICTOR)
                self.assertEqual(row["updated"], sum(int(self.changed[row["cell"]][n].sum()) for n in names))


if __name__ == "__main__":
    lib.main()
