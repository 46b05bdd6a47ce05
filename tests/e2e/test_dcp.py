#!/usr/bin/python3
"""Torch distributed checkpoints through a whole study: tensors cut into boxes at random over several files, beside an optimiser, must give
the tables of the same tensors in one safetensors file; and very many chunks are opened in bounded time and memory."""
import os
import time

import numpy as np

import dcplib
import sinewlib as lib

STUDY = """study: s
output: out
memory_per_process: 256 MiB
cells:
  - {family: f, algorithm: trainer, seed: 0, base: base.safetensors, tuned: %s}
  - {family: f, algorithm: truth, seed: 0, base: base.safetensors, tuned: truth.safetensors}
stages:
  load: {}
  delta: {needs: [load], arithmetic: bf16, tolerances: [0, 1e-5, 1e-3]}
  delta-f32: {kind: delta, needs: [load], arithmetic: f32, tolerances: [0, 1e-5, 1e-3]}
"""
TABLES = ("cells", "tensors", "tensor_sparsity", "sparsity", "modules", "layers")


def pieces(rng, shape, depth):
    """Boxes that make up a shape, cut at random."""
    axes = [i for i, n in enumerate(shape) if n > 1]
    if depth == 0 or not axes:
        return [([0] * len(shape), list(shape))]
    axis = int(rng.choice(axes))
    at = int(rng.integers(1, shape[axis]))
    out = []
    for start, n in ((0, at), (at, shape[axis] - at)):
        part = list(shape)
        part[axis] = n
        for offsets, sizes in pieces(rng, part, depth - 1):
            offsets[axis] += start
            out.append((offsets, sizes))
    return out


def rows(archive, table, algorithm):
    keep = [n for n in archive[table].dtype.names if n not in ("cell", "algorithm", "tuned")]
    return [tuple(str(row[n]) for n in keep) for row in archive[table] if ("/%s/" % algorithm) in row["cell"].decode()]


class Dcp(lib.Case):
    def tensors(self, rng):
        out = {}
        for layer in range(2):
            for name, shape in (("mlp.up_proj.weight", (37, 24)), ("mlp.experts.w", (3, 11, 8)), ("norm.weight", (24,))):
                x = rng.standard_normal(shape).astype(np.float32)
                y = x + (rng.random(shape) < 0.3) * rng.standard_normal(shape).astype(np.float32) * np.float32(1e-3)
                out["model.layers.%d.%s" % (layer, name)] = ("F32", x, y.astype(np.float32))
        x = rng.standard_normal((19, 6)).astype(np.float32).view(np.uint32) >> 16
        y = np.where(rng.random(x.shape) < 0.2, x ^ 1, x)
        out["lm_head.weight"] = ("BF16", x.astype(np.uint16), y.astype(np.uint16))
        out["model.scale"] = ("F32", np.float32(1.5).reshape(()), np.float32(1.25).reshape(()))
        out["model.steps"] = ("I64", np.arange(5), np.arange(5) * 2)
        out["model.none"] = ("F32", np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
        return out

    def write_safetensors(self, name, tensors, which):
        header, at, data = {}, 0, []
        for key, value in tensors.items():
            body = np.ascontiguousarray(value[which]).tobytes()
            header[key] = {"dtype": value[0], "shape": list(value[which].shape), "data_offsets": [at, at + len(body)]}
            at += len(body)
            data.append(body)
        text = lib.json.dumps(header).encode()
        with open(self.path(name), "wb") as f:
            f.write(lib.struct.pack("<Q", len(text)) + text + b"".join(data))

    def write_dcp(self, folder, tensors, rng, files):
        w = dcplib.Writer(self.path(folder))
        for key, (dtype, _, y) in tensors.items():
            name = w.tensor(("model", key), dtype, y.shape)
            for offsets, sizes in pieces(rng, y.shape, 3):
                box = y[tuple(slice(o, o + n) for o, n in zip(offsets, sizes))]
                w.chunk(name, "__%d_0.distcp" % rng.integers(files), dtype, offsets, sizes, np.ascontiguousarray(box).tobytes())
            if dtype == "F32" and y.ndim:
                moment = w.tensor(("optimizer", "state", key, "exp_avg"), "F32", y.shape)
                w.chunk(moment, "__0_0.distcp", "F32", [0] * y.ndim, y.shape, np.zeros(y.shape, np.float32).tobytes())
        w.value(("optimizer", "param_groups", "0", "lr"))
        w.close()

    def test_boxes(self):
        for seed, files, np_ in ((1, 3, 0), (2, 5, 3)):
            rng = np.random.default_rng(seed)
            tensors = self.tensors(rng)
            self.write_safetensors("base.safetensors", tensors, 1)
            self.write_safetensors("truth.safetensors", tensors, 2)
            folder = "step-%d" % seed
            self.write_dcp(folder, tensors, rng, files)
            self.write("study.yaml", STUDY % folder)
            self.sinew(["run", "study.yaml", "--force"], np=np_)
            archive = {}
            with lib.h5py.File(self.path("out", "s.h5"), "r") as f:
                for table in TABLES:
                    archive[table] = f["tables"][table][()]
            for table in TABLES:
                truth = rows(archive, table, "truth")
                self.assertEqual(rows(archive, table, "trainer"), truth, "%s, seed %d" % (table, seed))
                self.assertTrue(truth, table)

    def test_note(self):
        rng = np.random.default_rng(3)
        tensors = self.tensors(rng)
        self.write_safetensors("base.safetensors", tensors, 1)
        self.write_safetensors("truth.safetensors", tensors, 2)
        self.write_dcp("step-3", tensors, rng, 2)
        self.write("study.yaml", STUDY % "step-3")
        run = self.sinew(["check", "study.yaml"])
        self.assertIn("the model is what lies under model", run.stdout)
        self.assertIn("left out: optimizer (7 tensors, 1 other value)", run.stdout)
        os.remove(self.path("step-3", "__1_0.distcp"))
        run = self.sinew(["check", "study.yaml"], status=3)
        self.assertIn("__1_0.distcp: is missing", run.stdout + run.stderr)
        os.remove(self.path("step-3", ".metadata"))
        run = self.sinew(["check", "study.yaml"], status=3)
        self.assertIn(".metadata is lost", run.stdout + run.stderr)

    def test_torchtitan(self):
        """A Llama of torchtitan's: names of its own, rows of queries and keys in pairs; against the base in published names and order."""
        rng = np.random.default_rng(4)
        heads, kv, half, width = 4, 2, 3, 8
        names = {"model.embed_tokens.weight": ("tok_embeddings.weight", 11, 0), "lm_head.weight": ("output.weight", 11, 0),
                 "model.layers.0.self_attn.q_proj.weight": ("layers.0.attention.wq.weight", 2 * heads * half, heads),
                 "model.layers.0.self_attn.k_proj.weight": ("layers.0.attention.wk.weight", 2 * kv * half, kv),
                 "model.layers.0.self_attn.v_proj.weight": ("layers.0.attention.wv.weight", 2 * kv * half, 0),
                 "model.layers.0.self_attn.o_proj.weight": ("layers.0.attention.wo.weight", width, 0),
                 "model.layers.0.mlp.gate_proj.weight": ("layers.0.feed_forward.w1.weight", 13, 0)}
        tensors, ours = {}, {}
        for theirs, (name, rows_, paired) in names.items():
            x = rng.standard_normal((rows_, width)).astype(np.float32)
            y = np.where(rng.random(x.shape) < 0.3, x * np.float32(1.01), x)
            tensors[theirs] = ("F32", x, y)
            z = y.reshape(paired, 2, half, width).transpose(0, 2, 1, 3).reshape(y.shape) if paired else y
            ours[name] = ("F32", None, np.ascontiguousarray(z))
        self.write_safetensors("base.safetensors", tensors, 1)
        self.write_safetensors("truth.safetensors", tensors, 2)
        w = dcplib.Writer(self.path("step-4"))
        for key, (dtype, _, y) in ours.items():
            name = w.tensor((key,), dtype, y.shape)
            for offsets, sizes in pieces(rng, y.shape, 2):
                box = y[tuple(slice(o, o + n) for o, n in zip(offsets, sizes))]
                w.chunk(name, "__%d_0.distcp" % rng.integers(2), dtype, offsets, sizes, np.ascontiguousarray(box).tobytes())
        w.value(("train_state", "step"))
        w.close()
        self.write("config.json", '{"model_type": "llama", "num_attention_heads": %d, "num_key_value_heads": %d}' % (heads, kv))
        self.write("study.yaml", STUDY % "step-4")
        self.assertIn("names are torchtitan's", self.sinew(["check", "study.yaml"]).stdout)
        for rule in ("", ", rename: [torchtitan]"):
            asked = STUDY.replace("  - {family: f, algorithm: truth", "  # - {family: f, algorithm: truth") if rule else STUDY
            self.write("study.yaml", asked.replace("arithmetic: f32,", "arithmetic: f32%s," % rule).replace("arithmetic: bf16,", "arithmetic: bf16%s," % rule) % "step-4")
            self.sinew(["run", "study.yaml", "--force"], np=0 if rule else 2)
            with lib.h5py.File(self.path("out", "s.h5"), "r") as f:
                archive = {table: f["tables"][table][()] for table in TABLES}
            for table in TABLES:
                if not rule:
                    truth = {t: rows(archive, t, "truth") for t in TABLES}
                    self.assertTrue(truth[table], table)
                self.assertEqual(rows(archive, table, "trainer"), truth[table], table + rule)

    def test_many_chunks(self):
        """1e4 chunks of 200 tensors over 50 processes: opening them takes no more than seconds, and memory by the chunk."""
        processes, count, n = 50, 200, 4
        w = dcplib.Writer(self.path("many"))
        names = ["model.layers.%d.mlp.experts.%d.up_proj.weight" % (i // 16, i % 16) for i in range(count)]
        for name in names:
            w.tensor(("model", name), "F32", (processes * n,))
        for who in range(processes):
            body = dcplib.item("F32", (n,), np.arange(who * n, (who + 1) * n, dtype=np.float32).tobytes())
            for name in names:
                w.chunk("model." + name, "__%d_0.distcp" % who, "F32", (who * n,), (n,), body)
        w.close()
        whole = np.arange(processes * n, dtype=np.float32)
        for name in ("base.safetensors", "truth.safetensors"):
            self.write_safetensors(name, {key: ("F32", whole) for key in names}, 1)
        self.write("study.yaml", STUDY % "many")
        started = time.monotonic()
        run = self.sinew(["check", "study.yaml"])
        seconds = time.monotonic() - started
        print("%d chunks opened in %.2f s, peak %d MiB" % (processes * count, seconds, run.peak_kib >> 10))
        self.assertLess(seconds, 10 * float(os.environ.get("SINEW_TEST_SLOWER", "1")))
        if "SINEW_TEST_SLOWER" not in os.environ:  # sanitizers keep what was freed, and a shadow of all memory
            self.assertLess(run.peak_kib, 200 << 10)
        self.sinew(["run", "study.yaml"])
        with lib.h5py.File(self.path("out", "s.h5"), "r") as f:
            cells = f["tables/cells"][()]
        self.assertEqual({int(row["bit_changed"]) for row in cells}, {0})
        self.assertEqual({int(row["parameters"]) for row in cells}, {processes * count * n})


if __name__ == "__main__":
    lib.main()
