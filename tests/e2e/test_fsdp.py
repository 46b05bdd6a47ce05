#!/usr/bin/python3
"""Shards of FSDP runs through a whole study: they must give the tables of the same tensors in one safetensors file, as masters and rounded
to bf16, on any number of processes; files of many ranks are opened in bounded time and memory; and what trainers themselves wrote, where
it is there (../shared/trainers beside the project, or SINEW_TRAINERS), must give the tables of its truth."""
import json
import os
import time

import numpy as np

import fsdplib
import sinewlib as lib

TRAINERS = os.path.abspath(os.environ.get("SINEW_TRAINERS", os.path.join(lib.ROOT, "..", "shared", "trainers")))
KINDS = ("verl", "plain-", "accelerate-fsdp1-full")
STUDY = """study: s
output: out
memory_per_process: 256 MiB
cells:
  - {family: f, algorithm: trainer, seed: 0, base: "%s", tuned: "%s", weights: %s}
  - {family: f, algorithm: truth, seed: 0, base: "%s", tuned: "%s"}
stages:
  load: {}
  delta: {needs: [load], arithmetic: bf16, tolerances: [0, 1e-5, 1e-3]}
  delta-f32: {kind: delta, needs: [load], arithmetic: f32, tolerances: [0, 1e-5, 1e-3]}
"""
TABLES = ("cells", "tensors", "tensor_sparsity", "sparsity", "modules", "layers")
MESHES = (((1,), (0,)), ((2,), (0,)), ((5,), (0,)), ((16,), (0,)), ((2, 2), (None, 0)), ((3, 2), (0, 1)), ((2, 3), (0, 0)))


def rows(archive, table, algorithm):
    keep = [n for n in archive[table].dtype.names if n not in ("cell", "algorithm", "tuned", "dtype_tuned")]
    return [tuple(str(row[n]) for n in keep) for row in archive[table] if ("/%s/" % algorithm) in row["cell"].decode()]


class Fsdp(lib.Case):
    def compare(self, base, tuned, weights, truth, np=0):
        self.write("s.yaml", STUDY % (base, tuned, weights, base, truth))
        self.sinew(["run", "s.yaml", "-q", "--force"], np=np)
        archive = lib.tables(self.path("out", "s.h5"))
        for table in TABLES:
            self.assertEqual(rows(archive, table, "trainer"), rows(archive, table, "truth"), table)

    def tensors(self, rng, placements):
        """Base and tuned of a small model: name -> array, and the tuned ones with what cuts them."""
        base, tuned = {}, {}
        for layer in range(2):
            for word, shape in (("mlp.up_proj.weight", (37, 24)), ("self_attn.q_proj.weight", (3, 24)), ("input_layernorm.weight", (24,))):
                x = rng.standard_normal(shape).astype(np.float32)
                y = x + (rng.random(shape) < 0.3) * rng.standard_normal(shape).astype(np.float32) * np.float32(1e-3)
                key = "model.layers.%d.%s" % (layer, word)
                base[key], tuned[key] = x, (y.astype(np.float32), placements if len(shape) > max(a or 0 for a in placements) else None)
        base["model.steps"], tuned["model.steps"] = np.arange(5), (np.arange(5) * 2, None)
        return base, tuned

    def test_meshes(self):
        rng = np.random.default_rng(3)
        for i, (mesh, placements) in enumerate(MESHES):
            with self.subTest(mesh=mesh):
                base, tuned = self.tensors(rng, placements)
                header = {"float32": "F32", "int64": "I64"}
                lib.write_safetensors(self.path("base.safetensors"), {k: (header[str(x.dtype)], x.shape, x.tobytes()) for k, x in base.items()})
                whole = {k: x for k, (x, _) in tuned.items()}
                lib.write_safetensors(self.path("truth.safetensors"), {k: (header[str(x.dtype)], x.shape, x.tobytes()) for k, x in whole.items()})
                rounded = {k: ("BF16", x.shape, lib.bf16_round(x).astype(np.uint16).tobytes()) if x.dtype == np.float32
                           else ("I64", x.shape, x.tobytes()) for k, x in whole.items()}
                lib.write_safetensors(self.path("rounded.safetensors"), rounded)
                folder = "run-%d/global_step_7/actor" % i
                fsdplib.write(self.path(folder), tuned, mesh)
                self.compare("base.safetensors", folder, "masters", "truth.safetensors", np=3 if i == 3 else 0)
                self.compare("base.safetensors", folder, "model", "rounded.safetensors")

    def test_many_ranks(self):
        """256 files of 200 tensors in seconds and little memory: one is open at a time."""
        x = np.arange(512, dtype=np.float32).reshape(256, 2)
        tensors = {"model.layers.%d.mlp.%s.weight" % (i // 2, ("up_proj", "down_proj")[i % 2]): (x, (0,)) for i in range(200)}
        fsdplib.write(self.path("actor"), tensors, (256,))
        lib.write_safetensors(self.path("truth.safetensors"), {k: ("F32", x.shape, x.tobytes()) for k in tensors})
        self.write("s.yaml", STUDY % ("truth.safetensors", "actor", "masters", "truth.safetensors", "truth.safetensors"))
        began = time.monotonic()
        self.sinew(["check", "s.yaml"])
        self.assertLess(time.monotonic() - began, 60)

    def test_what_trainers_wrote(self):
        if not os.path.exists(os.path.join(TRAINERS, "cases.json")):
            self.skipTest("no trainers' folders there")
        with open(os.path.join(TRAINERS, "cases.json")) as f:
            cases = [c for c in json.load(f) if c["name"].startswith(KINDS) and "truth" in c]
        self.assertGreater(len(cases), 15)
        for case in cases:
            with self.subTest(case["tuned"]):
                base, tuned, truth = (os.path.join(TRAINERS, case[k]) for k in ("base", "tuned", "truth"))
                self.compare(base, tuned, case.get("weights", "default"), truth)


if __name__ == "__main__":
    lib.main()
