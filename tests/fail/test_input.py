#!/usr/bin/python3
"""Bad input: under four processes each case ends within seconds with the right exit status, exactly one message that names the
object, no archive under its final name and no process left behind. `check` finds the same and touches nothing."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

CONFIG = """study: bad
output: %s
memory_per_process: %s
matrix:
  families: [tiny]
  algorithms: [ppo]
  seeds: [0]
  base: "%s/base"
  tuned: "%s/tuned"
%sstages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
%s"""
LIMIT_SEC = 30
NP = 4


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


class Input(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(7)
        self.tensors = {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", lib.bf16_round(rng.standard_normal((32, 40)).astype(np.float32)))
                        for i in range(6)}
        self.tensors["model.norm.weight"] = ("F32", lib.float_bits(rng.standard_normal(40)))
        lib.write_checkpoint(self.path("models", "base"), self.tensors)
        tuned = {name: (dtype, bits + (rng.random(bits.shape) < 0.1)) for name, (dtype, bits) in self.tensors.items()}
        self.tuned = {name: (dtype, bits.astype(self.tensors[name][1].dtype)) for name, (dtype, bits) in tuned.items()}
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned)
        self.file = self.path("models", "tuned", "model.safetensors")
        self.configure()

    def configure(self, output=None, memory="512 MiB", logits=False):
        text = CONFIG % (output or self.path("out"), memory, self.path("models"), self.path("models"),
                         ('  logits: {base: "%s/base/logits.safetensors", tuned: "%s/tuned/logits.safetensors"}\n'
                          % (self.path("models"), self.path("models"))) if logits else "",
                         "  token-entropy: {needs: [load]}\n" if logits else "")
        self.config = self.write("bad.yaml", text)

    def refused(self, status, *words, check=True, np=NP):
        """`run` fails as it should, naming all words; so does `check`, where headers tell."""
        run = lib.run_sinew(np, ["run", self.config], cwd=self.dir, timeout=LIMIT_SEC)
        self.assertEqual(run.returncode, status, run.text())
        self.assertEqual(len(run.errors()), 1, run.text())
        for word in words:
            self.assertIn(word, run.errors()[0])
        self.assertFalse(os.path.exists(self.path("out", "bad.h5")), "an archive under its final name")
        self.assertEqual(lib.processes_with(self.dir), [], "processes left behind")
        self.assertLess(run.seconds, LIMIT_SEC)
        if check:
            before = sorted(os.listdir(self.dir))
            once = lib.run_sinew(0, ["check", self.config], cwd=self.dir, timeout=LIMIT_SEC)
            self.assertEqual(once.returncode, status, once.text())
            self.assertTrue(once.errors(), once.text())
            for word in words:
                self.assertIn(word, once.stderr)
            self.assertEqual(sorted(os.listdir(self.dir)), before)

    def header(self):
        with open(self.file, "rb") as f:
            n = struct.unpack("<Q", f.read(8))[0]
            return json.loads(f.read(n)), f.read()

    def test_good_input_passes(self):
        run = self.sinew(["run", self.config], np=NP)
        self.assertEqual(run.errors(), [])
        self.assertEqual([line for line in run.stderr.splitlines() if line.startswith("sinew")], [], "a clean run has no warning")
        self.assertTrue(os.path.isfile(self.path("out", "bad.h5")))

    def test_truncated_file(self):
        size = os.path.getsize(self.file)
        os.truncate(self.file, size - 100)
        self.refused(3, "model.safetensors", "model.", str(size), str(size - 100))

    def test_truncated_shard(self):
        os.remove(self.file)
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned, shards=3)
        path = self.path("models", "tuned", "model-00002-of-00003.safetensors")
        size = os.path.getsize(path)
        last = max(lib.read_safetensors(path), key=lambda name: self.place(path, name))
        os.truncate(path, size - 100)
        self.refused(3, "model-00002-of-00003.safetensors", last, str(size), str(size - 100))

    def place(self, path, name):
        with open(path, "rb") as f:
            n = struct.unpack("<Q", f.read(8))[0]
            return json.loads(f.read(n))[name]["data_offsets"][1]

    def test_too_long_file(self):
        with open(self.file, "ab") as f:
            f.write(b"extra bytes")
        self.refused(3, "model.safetensors")

    def test_missing_shard(self):
        os.remove(self.file)
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned, shards=3)
        os.remove(self.path("models", "tuned", "model-00003-of-00003.safetensors"))
        self.refused(3, "model-00003-of-00003.safetensors")

    def test_tensor_absent_from_its_shard(self):
        os.remove(self.file)
        folder = lib.write_checkpoint(self.path("models", "tuned"), self.tuned, shards=2)
        index = os.path.join(folder, "model.safetensors.index.json")
        with open(index) as f:
            content = json.load(f)
        content["weight_map"]["model.extra.weight"] = "model-00001-of-00002.safetensors"
        with open(index, "w") as f:
            json.dump(content, f)
        self.refused(3, "model.extra.weight", "model-00001-of-00002.safetensors")

    def test_index_that_leaves_the_folder(self):
        os.remove(self.file)
        folder = lib.write_checkpoint(self.path("models", "tuned"), self.tuned, shards=2)
        index = os.path.join(folder, "model.safetensors.index.json")
        with open(index) as f:
            text = f.read()
        with open(index, "w") as f:
            f.write(text.replace("model-00001-of", "../base/model-00001-of"))
        self.refused(3, "../base")

    def test_overlapping_offsets(self):
        header, data = self.header()
        second = sorted(header, key=lambda k: header[k].get("data_offsets", [0])[0] if k != "__metadata__" else -1)[2]
        begin, end = header[second]["data_offsets"]
        header[second]["data_offsets"] = [begin - 16, end - 16]
        lib.write_raw_safetensors(self.file, json.dumps(header), data)
        self.refused(3, "model.safetensors", "model.layers")

    def test_offsets_that_lie(self):
        _, data = self.header()
        for begin, end in ((0, 1 << 62), (-2, 6), (8, 0), (1 << 63, (1 << 63) + 8)):
            lib.write_raw_safetensors(self.file, json.dumps({"w.weight": entry("BF16", [2, 2], begin, end)}), data[:8])
            self.refused(3, "model.safetensors", check=False, np=2)

    def test_shape_that_overflows(self):
        lib.write_raw_safetensors(self.file, json.dumps({"w.weight": entry("BF16", [1 << 62, 4], 0, 8)}), bytes(8))
        self.refused(3, "model.safetensors", "w.weight")

    def test_duplicate_key(self):
        one = json.dumps({"w.weight": entry("BF16", [2, 2], 0, 8)})[1:-1]
        two = json.dumps({"w.weight": entry("BF16", [2, 2], 8, 16)})[1:-1]
        lib.write_raw_safetensors(self.file, "{%s, %s}" % (one, two), bytes(16))
        self.refused(3, "model.safetensors", "w.weight")

    def test_unknown_type(self):
        lib.write_raw_safetensors(self.file, json.dumps({"w.weight": entry("BF17", [2, 2], 0, 8)}), bytes(8))
        self.refused(3, "model.safetensors", "w.weight", "BF17")

    def test_garbage_header(self):
        for data in (b"", b"\x05", struct.pack("<Q", 1 << 40) + b"{}", struct.pack("<Q", 16) + b"\xff" * 16,
                     struct.pack("<Q", 8) + b"[1,2,3] ", struct.pack("<Q", 8) + b"{}\0\0\0\0\0\0", b"PK\x03\x04" * 10):
            with open(self.file, "wb") as f:
                f.write(data)
            self.refused(3, "model.safetensors", check=False, np=2)
        self.refused(3, "model.safetensors")

    def test_shapes_differ(self):
        name = "model.layers.3.mlp.up_proj.weight"
        self.tuned[name] = ("BF16", self.tuned[name][1].reshape(40, 32))
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned)
        self.refused(3, name, "32x40", "40x32")

    def test_tensor_on_one_side_only(self):
        name = "model.layers.3.mlp.up_proj.weight"
        del self.tuned[name]
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned)
        self.refused(3, name)
        self.tuned[name] = self.tensors[name]
        self.tuned["model.added.weight"] = self.tensors[name]
        lib.write_checkpoint(self.path("models", "tuned"), self.tuned)
        self.refused(3, "model.added.weight")

    def test_missing_checkpoint(self):
        os.rename(self.path("models", "tuned"), self.path("models", "gone"))
        self.refused(3, self.path("models", "tuned"))

    def test_folder_without_weights(self):
        os.rename(self.file, self.path("models", "tuned", "weights.bin"))
        self.refused(3, self.path("models", "tuned"))

    def write_logits(self, x, ids):
        for side in ("base", "tuned"):
            lib.write_safetensors(self.path("models", side, "logits.safetensors"),
                                  {"logits": ("F32", x.shape, x.tobytes()), "token_ids": ("I64", ids.shape, ids.tobytes())})

    def test_logits(self):
        x, ids = np.zeros((50, 8), np.float32), np.zeros(50, np.int64)
        self.configure(logits=True)
        self.write_logits(x, ids)
        self.sinew(["run", self.config], np=NP)
        os.remove(self.path("out", "bad.h5"))
        x[17, 3] = np.nan
        self.write_logits(x, ids)
        self.refused(3, "logits", "17", check=False)

    def test_missing_logits(self):
        self.configure(logits=True)
        self.write_logits(np.zeros((50, 8), np.float32), np.zeros(50, np.int64))
        os.remove(self.path("models", "tuned", "logits.safetensors"))
        self.refused(3, "tuned/logits.safetensors")

    def test_logits_whose_sizes_differ(self):
        self.configure(logits=True)
        self.write_logits(np.zeros((50, 8), np.float32), np.zeros(49, np.int64))
        self.refused(3, "logits.safetensors", "50", "49", check=False)

    def test_output_that_cannot_be_written(self):
        self.write("file", "no folder")
        self.configure(output=self.path("file", "out"))
        self.refused(4, self.path("file"), check=False)

    def test_memory_budget(self):
        """A matrix whose share is over the budget: a refusal that names it, not a crash."""
        rng = np.random.default_rng(1)
        base = lib.bf16_round(rng.standard_normal((4096, 4096)).astype(np.float32))
        for side, bits in (("base", base), ("tuned", base ^ (rng.random(base.shape) < 0.05).astype(np.uint16))):
            lib.write_checkpoint(self.path("models", side), {"big.weight": ("BF16", bits)})
        self.configure(memory="64 MiB")  # the smallest a config may name; the Gram matrix alone takes twice that
        run = lib.run_sinew(1, ["run", self.config], cwd=self.dir, timeout=60)
        self.assertEqual(run.returncode, 4, run.text())
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("memory_per_process", run.stderr)
        self.assertFalse(os.path.exists(self.path("out", "bad.h5")))

    def test_artifact_that_is_damaged(self):
        self.sinew(["run", self.config])
        path = self.path("out", "cells", "tiny", "ppo", "0", "delta.h5")
        os.truncate(path, os.path.getsize(path) // 2)
        os.remove(self.path("out", "bad.h5"))
        run = lib.run_sinew(NP, ["run", self.config], cwd=self.dir, timeout=LIMIT_SEC)
        # A file that cannot be read is not fresh: it is made again.
        self.assertEqual(run.returncode, 0, run.text())
        self.assertTrue(os.path.isfile(self.path("out", "bad.h5")))


if __name__ == "__main__":
    lib.main()
