#!/usr/bin/python3
"""Masks for a trainer: the exported file, read by plain python and torch, equals masks recomputed by numpy; the README's example of
masked training leaves what is masked alone; a tuned model against another one; and what is refused."""
import json
import os
import re
import shutil
import struct
import sys
import types

import numpy as np
import torch

import digestlib
import sinewlib as lib

CELL = "tiny-a/ppo/1"


def metadata(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        return json.loads(f.read(n))["__metadata__"]


class Export(lib.Case):
    def setUp(self):
        super().setUp()
        self.made = lib.make_awkward(self.path("models"))
        extra = ("cells:\n  - {family: tiny-a, algorithm: full-to-sub, base: %s, tuned: %s}\n" % (
            self.path("models", "tiny-a", "ppo", "seed-0"), self.path("models", "tiny-a", "dpo", "seed-1")))
        self.config = self.write("study.yaml", lib.awkward_config(self.path("models"), self.path("out"), extra=extra))

    def run_study(self):
        self.sinew(["run", self.config, "--stage", "load", "--stage", "delta", "--stage", "mask", "--stage", "mask-bits",
                    "--stage", "mask-relative"], np=2)

    def export(self, to, *options, cell=CELL, node="mask", np=0, status=0, config=None):
        return self.sinew(["export", "mask", config or self.config, "--cell", cell, "--node", node, "--to", to] + list(options),
                          np=np, status=status)

    def wanted(self, base, tuned, criterion, tolerance):
        """name -> boolean array of the compared tensors."""
        return {name: np.reshape(lib.updated("bf16", *(lib.to_compare("bf16", *x[name]) for x in (base, tuned)), criterion,
                                             tolerance), bits.shape)
                for name, (dtype, bits) in base.items() if dtype != "I64"}

    def row(self, cell, node, tolerance=None):
        rows = [r for r in lib.table(self.path("out", "cells", cell, node + ".h5"), "sparsity")
                if tolerance is None or (r["criterion"] == "absolute" and r["tolerance"] == tolerance)]
        self.assertEqual(len(rows), 1)
        return rows[0]

    def check_metadata(self, path, node, want, criterion, tolerance):
        data, row = metadata(path), self.row(CELL, node)
        updated, parameters = (sum(int(getattr(x, w)() if w == "sum" else x.size) for x in want.values()) for w in ("sum", "size"))
        self.assertEqual((data["format"], data["cell"], data["node"]), ("pt", CELL, node))
        self.assertEqual((data["study"], data["arithmetic"], data["criterion"]), ("awkward", "bf16", criterion))
        self.assertEqual(float(data["tolerance"]), tolerance)
        self.assertEqual((int(data["updated"]), int(data["parameters"])), (updated, parameters))
        self.assertEqual((row["updated"], row["parameters"]), (updated, parameters))
        self.assertEqual(float(data["density"]), updated / parameters)
        self.assertAlmostEqual(float(data["density"]), 1 - row["sparsity"], delta=1e-15)
        self.assertRegex(data["sinew_version"], r"^\d+\.\d+\.\d+")
        skipped = json.loads(data["skipped"])
        self.assertEqual(list(skipped), ["model.rotary.position_ids"])
        self.assertIn("I64", skipped["model.rotary.position_ids"])
        return data

    def test_bytes(self):
        self.run_study()
        for np_, node, criterion, tolerance in ((0, "mask", "absolute", 1e-5), (3, "mask-bits", "bits", 0),
                                                (0, "mask-relative", "relative", 1e-2)):
            path = self.path(node + ".safetensors")
            run = self.export(path, np=np_, node=node)
            self.assertEqual(run.stdout.count(CELL), 1, run.text())
            want = self.wanted(self.made[None], self.made["ppo", 1], criterion, tolerance)
            masks = lib.read_safetensors(path)
            self.assertEqual(sorted(masks), sorted(want))
            for name, (dtype, mask) in masks.items():
                self.assertEqual((dtype, mask.shape), ("U8", self.made[None][name][1].shape), name)
                self.assertTrue((mask == want[name]).all(), name)
            self.assertNotIn("shapes", self.check_metadata(path, node, want, criterion, tolerance))
            self.assertEqual([f for f in os.listdir(self.path("out")) if ".partial" in f], [])

    def test_bits(self):
        self.run_study()
        path = self.path("packed.safetensors")
        self.export(path, "--format", "bits", np=2)
        want = self.wanted(self.made[None], self.made["ppo", 1], "absolute", 1e-5)
        shapes = json.loads(self.check_metadata(path, "mask", want, "absolute", 1e-5)["shapes"])
        masks = lib.read_safetensors(path)
        self.assertEqual(sorted(masks), sorted(want))
        self.assertEqual(shapes, {name: list(x.shape) for name, x in want.items()})
        for name, (dtype, packed) in masks.items():
            n = want[name].size
            self.assertEqual((dtype, packed.shape), ("U8", ((n + 7) // 8,)), name)
            bits = np.unpackbits(packed, bitorder="little")
            self.assertTrue((bits[:n].reshape(shapes[name]) == want[name]).all() and not bits[n:].any(), name)

    def test_without_checkpoints_and_archive(self):
        self.run_study()
        shutil.rmtree(self.path("models"))
        self.export(self.path("mask.safetensors"))

    def test_example_of_the_readme(self):
        """Trains a small torch model with the exported mask by the code that the README shows."""
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(8, 33), torch.nn.Tanh(), torch.nn.Linear(33, 2)).to(torch.bfloat16)
        raw = lambda: {k: ("BF16", v.detach().clone().view(torch.int16).numpy().view(np.uint16)) for k, v in
                       model.state_dict().items()}
        before = raw()
        rng = np.random.default_rng(5)
        after = {k: (t, np.where(rng.random(x.shape) < 0.2, x ^ 64, x)) for k, (t, x) in before.items()}
        lib.write_checkpoint(self.path("start"), before)
        lib.write_checkpoint(self.path("end"), after)
        config = self.write("train.yaml", """study: train
output: %s
cells: [{family: net, algorithm: grpo, base: %s, tuned: %s}]
stages: {load: {}, delta: {needs: [load]}, mask: {needs: [delta]}}
""" % (self.path("out"), self.path("start"), self.path("end")))
        self.sinew(["run", config])
        self.export(self.path("mask.safetensors"), config=config, cell="net/grpo/0")

        with open(os.path.join(lib.ROOT, "README.md")) as f:
            code = re.search(r"((?:    .*\n)*    from safetensors\.torch import load_file\n(?:    .*\n)*)", f.read()).group(1)
        code = code.replace("lr=1e-6", "lr=1e-2")                          # five steps must be seen in bf16
        library = types.ModuleType("safetensors.torch")
        library.load_file = lambda path: {k: torch.from_numpy(x.copy()) for k, (_, x) in lib.read_safetensors(path).items()}
        sys.modules.update({"safetensors": types.ModuleType("safetensors"), "safetensors.torch": library})
        folder = os.getcwd()
        os.chdir(self.dir)
        try:
            exec("".join(line[4:] for line in code.splitlines(True)), {
                "model": model, "batches": [torch.randn(16, 8).to(torch.bfloat16) for _ in range(5)],
                "loss": lambda model, batch: (model(batch).float() ** 2).sum()})
        finally:
            os.chdir(folder)
        moved = outside = 0
        for name, (_, new) in raw().items():
            trained, old = before[name][1] != after[name][1], before[name][1]
            moved += int((new != old)[trained].sum())
            outside += int((new != old)[~trained].sum())
        self.assertEqual(outside, 0)
        self.assertGreater(moved, 30)

    def test_one_tuned_model_against_another(self):
        """A cell whose base is a tuned checkpoint: its sparsity is the share of equal parameters."""
        self.sinew(["run", self.config], np=2)
        cell, a, b = "tiny-a/full-to-sub/0", self.made["ppo", 0], self.made["dpo", 1]
        rows = [r for r in lib.table(self.path("out", "awkward.h5"), "sparsity") if (r["cell"], r["node"]) == (cell, "delta")]
        for tolerance in (1e-5, 1e-4):
            want = self.wanted(a, b, "absolute", tolerance)
            differ, n = sum(int(x.sum()) for x in want.values()), sum(x.size for x in want.values())
            found = [r for r in rows if r["criterion"] == "absolute" and r["tolerance"] == tolerance]
            self.assertEqual([(r["updated"], r["parameters"]) for r in found], [(differ, n)])
            self.assertAlmostEqual(found[0]["sparsity"], (n - differ) / n, delta=1e-15)
            self.assertTrue(0 < differ < n)
        self.export(self.path("between.safetensors"), cell=cell)
        masks = lib.read_safetensors(self.path("between.safetensors"))
        for name, want in self.wanted(a, b, "absolute", 1e-5).items():
            self.assertTrue((masks[name][1] == want).all(), name)

    def refused(self, status, text, run):
        self.assertEqual(run.returncode, status, run.text())
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn(text, run.errors()[0])
        return run.errors()[0]

    def test_usage(self):
        to = self.path("mask.safetensors")
        for words, text in (
                (["mask", self.config, "--node", "mask", "--to", to], "wants one --cell"),
                (["mask", self.config, "--cell", CELL, "--cell", CELL, "--node", "mask", "--to", to], "wants one --cell"),
                (["mask", self.config, "--cell", CELL, "--to", to], "wants --node"),
                (["mask", self.config, "--cell", CELL, "--node", "mask"], "wants --to"),
                (["mask", "--cell", CELL, "--node", "mask", "--to", to], "one CONFIG file"),
                (["masks", self.config, "--cell", CELL, "--node", "mask", "--to", to], "did you mean 'mask'"),
                (["mask", self.config, "--cell", CELL, "--node", "mask", "--to", to, "--format", "bit"], "did you mean 'bits'"),
                (["mask", self.config, "--stage", "mask", "--cell", CELL, "--node", "mask", "--to", to], "--stage"),
                (["mask", self.config, "--cell", "tiny-a/ppo/2", "--node", "mask", "--to", to], "did you mean 'tiny-a/ppo/"),
                (["mask", self.config, "--cell", CELL, "--node", "mask-bit", "--to", to], "did you mean 'mask-bits'"),
                (["mask", self.config, "--cell", CELL, "--node", "rank", "--to", to], "is of kind rank, not mask")):
            self.refused(2, text, self.sinew(["export"] + words, status=2))
            self.assertFalse(os.path.exists(to))
        self.refused(2, "options of 'sinew export'", self.sinew(["run", self.config, "--to", to], status=2))
        self.assertIn("--format", self.sinew(["export", "--help"]).stdout)

    def test_missing_and_stale(self):
        """The message names a command, and that command mends it."""
        to = self.path("mask.safetensors")
        for np_, state, change in ((2, "is missing", None), (0, "is stale: its parameters changed", ("tolerance: 1e-5", "tolerance: 1e-6"))):
            if change:
                with open(self.config) as f:
                    text = f.read()
                self.write("study.yaml", text.replace(*change))
            error = self.refused(3, state, self.export(to, np=np_, status=3))
            self.assertFalse(os.path.exists(to))
            command = re.search(r"run 'sinew (run [^']*)' first", error).group(1)
            self.sinew(command.split(), np=2)
            self.export(to)
            os.remove(to)
        os.remove(self.path("out", "cells", CELL, "delta.h5"))
        self.refused(3, "lists the parameters that were left out", self.export(to, status=3))

    def test_damaged(self):
        import h5py
        self.run_study()
        with h5py.File(self.path("out", "cells", CELL, "mask.h5"), "r+") as f:
            f["mask"][3] ^= np.uint64(1)
        to = self.path("mask.safetensors")
        self.refused(3, "carries no digests", self.export(to, status=3))
        digestlib.seal(self.path("out", "cells", CELL, "mask.h5"))
        self.refused(3, "bits set", self.export(to, np=2, status=3))
        self.assertEqual([x for x in os.listdir(self.dir) if "safetensors" in x], [])

    def test_overwriting(self):
        self.run_study()
        to, again = self.path("mask.safetensors"), self.path("again.safetensors")
        self.export(to)
        self.export(again)
        with open(to, "rb") as f, open(again, "rb") as g:
            first = f.read()
            self.assertEqual(first, g.read())
        self.refused(2, "give --force", self.export(to, "--format", "bits", status=2))
        with open(to, "rb") as f:
            self.assertEqual(f.read(), first)
        self.export(to, "--format", "bits", "--force")
        self.assertLess(os.path.getsize(to), len(first))
        self.write("other.txt", "notes")
        self.export(self.path("other.txt"), "--force")
        weights = self.path("models", "tiny-a", "base", "model.safetensors")
        with open(weights, "rb") as f:
            kept = f.read()
        self.refused(2, "did not export", self.export(weights, "--force", np=2, status=2))
        with open(weights, "rb") as f:
            self.assertEqual(f.read(), kept)
        self.refused(2, "no file", self.export(self.dir, "--force", status=2))
        self.refused(4, "cannot be created", self.export(self.path("nowhere", "mask.safetensors"), status=4))


if __name__ == "__main__":
    lib.main()
