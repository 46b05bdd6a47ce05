#!/usr/bin/python3
"""What a trainer's shards hold, against numpy: what bf16 hides of float32 masters, in both arithmetics; shards of ten times the memory
budget are streamed as safetensors are; and those of 256 ranks are opened in bounded time and memory."""
import os
import shutil
import tempfile

import numpy as np

import shardlib
import sinewlib as lib

STUDY = """study: s
output: out
memory_per_process: %s
cells:
  - {family: f, algorithm: a, seed: 0, base: "%s", tuned: "%s", weights: masters}
stages:
  load: {}
%s"""
BOTH = "  bf16: {kind: delta, needs: [load], arithmetic: bf16}\n  f32: {kind: delta, needs: [load], arithmetic: f32}\n"
STREAM = "  delta: {needs: [load], arithmetic: f32, store: none}\n"
BUDGET_MIB = 64
ROWS, COLS, TENSORS, TILE = 4096, 4096, 10, 1 << 20  # 10 * 67 MB of float32 = 671 MB
SHAPES = {"model.embed_tokens.weight": (37, 20), "model.layers.0.mlp.up_proj.weight": (28, 20), "model.layers.0.input_layernorm.weight": (20,),
          "model.layers.1.mlp.up_proj.weight": (29, 20), "model.norm.weight": (20,)}


def bf16(x):
    return lib.bf16_round(np.ascontiguousarray(x, dtype=np.float32))


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Shards(lib.Case):
    def rows(self, node):
        archive = os.path.join(self.path("out"), "s.h5")
        return {row["tensor"]: row for row in lib.table(archive, "tensors") if row.get("node", node) == node}

    def masters(self, rng):
        """Weights as they were, and masters that a few small steps moved: mostly within a bf16 rounding."""
        before = {k: widened(bf16(rng.standard_normal(s).astype(np.float32) * np.float32(0.02))) for k, s in SHAPES.items()}
        after = {k: x + rng.standard_normal(x.shape).astype(np.float32) * np.float32(2e-5) * (rng.random(x.shape) < 0.8)
                 for k, x in before.items()}
        return before, {k: x.astype(np.float32) for k, x in after.items()}

    def test_absorbed(self):
        """Masters against their own bf16 export, and against the base: counts of each tensor as numpy has them."""
        rng = np.random.default_rng(11)
        before, after = self.masters(rng)
        base, export, masters = shardlib.Model("BF16"), shardlib.Model("BF16"), shardlib.Model("F32")
        for k in SHAPES:
            base.add_array(k, bf16(before[k]))
            export.add_array(k, bf16(after[k]))
            masters.add_array(k, after[k])
        shardlib.write_safetensors(self.path("base", "model.safetensors"), base)
        shardlib.write_safetensors(self.path("export", "model.safetensors"), export)
        shardlib.write_fsdp(self.path("fsdp"), masters, 3)
        for stage, world in ((1, 3), (2, 5), (3, 7)):
            shardlib.write_zero(self.path("zero-%d" % stage), masters, world, stage, export)
        for tuned in ("zero-1", "zero-2", "zero-3", "fsdp"):
            for against, old in (("export", {k: widened(bf16(x)) for k, x in after.items()}), ("base", before)):
                for arithmetic, np_ in (("bf16", 0), ("f32", 2)):
                    self.write("s.yaml", STUDY % ("256 MiB", against, tuned, "  delta: {needs: [load], arithmetic: %s}\n" % arithmetic))
                    self.sinew(["run", "s.yaml", "--force"], np=np_)
                    rows = {row["tensor"]: row for row in lib.table(self.path("out", "s.h5"), "tensors")}
                    for k in SHAPES:
                        x, y = (old[k], after[k]) if arithmetic == "f32" else (bf16(old[k]), bf16(after[k]))
                        self.assertEqual((rows[k]["parameters"], rows[k]["bit_changed"]), (x.size, int((x != y).sum())),
                                         "%s of %s against %s, %s" % (k, tuned, against, arithmetic))
                    if against == "export":
                        total = sum(row["bit_changed"] for row in rows.values())
                        self.assertEqual(total > 0, arithmetic == "f32", tuned)

    def peak(self, tuned, np_):
        shutil.rmtree(self.path("out"), ignore_errors=True)
        self.write("s.yaml", STUDY % ("%d MiB" % BUDGET_MIB, "base", tuned, STREAM))
        run = self.sinew(["run", "s.yaml", "-q"], np=np_, timeout=300)
        row = lib.table(self.path("out", "s.h5"), "cells")[0]
        print("%s, %d processes: %.1f s, largest process %d MB" % (tuned, max(np_, 1), run.seconds, run.peak_kib * 1024 // 1000000))
        return run.peak_kib, (row["parameters"], row["bit_changed"])

    def test_ten_times_the_budget(self):
        if shutil.disk_usage(tempfile.gettempdir()).free < 6e9:
            self.skipTest("less than 6 GB free in %s" % tempfile.gettempdir())
        rng = np.random.default_rng(12)
        old = rng.standard_normal(TILE).astype(np.float32) * np.float32(0.02)
        new = old + (rng.random(TILE) < 0.1) * np.float32(1e-3)
        base, masters = shardlib.Model("BF16"), shardlib.Model("F32")
        for i in range(TENSORS):
            name = "model.layers.%d.mlp.up_proj.weight" % i
            base.add_tile(name, (ROWS, COLS), bf16(old))
            masters.add_tile(name, (ROWS, COLS), new.astype(np.float32))
        shardlib.write_safetensors(self.path("base", "model.safetensors"), base)
        shardlib.write_safetensors(self.path("plain", "model.safetensors"), masters)
        shardlib.write_zero(self.path("zero"), masters, 4)
        shardlib.write_fsdp(self.path("fsdp"), masters, 4)
        self.assertGreater(os.path.getsize(self.path("plain", "model.safetensors")), 10 * BUDGET_MIB << 20)
        expected = (TENSORS * ROWS * COLS, TENSORS * ROWS * COLS // TILE * int((widened(bf16(old)) != new.astype(np.float32)).sum()))
        for np_ in (0, 2):
            plain, counts = self.peak("plain", np_)
            self.assertEqual(counts, expected)
            for tuned in ("zero", "fsdp"):
                peak, counts = self.peak(tuned, np_)
                self.assertEqual(counts, expected, tuned)
                self.assertLess(peak, 1.1 * plain + 8192, "%s: %d KiB, safetensors %d" % (tuned, peak, plain))

    def test_256_ranks(self):
        """Opening reads headers alone: seconds and some tens of megabytes, whatever the ranks hold."""
        masters = shardlib.Model("F32")
        x = np.arange(512, dtype=np.float32)
        for i in range(300):
            masters.add_array("model.layers.%d.mlp.experts.%d.up_proj.weight" % (i // 10, i % 10), x.reshape(256, 2))
        base = shardlib.Model("F32")
        base.tensors = masters.tensors
        shardlib.write_safetensors(self.path("base", "model.safetensors"), base)
        shardlib.write_zero(self.path("zero"), masters, 256)
        shardlib.write_fsdp(self.path("fsdp"), masters, 256)
        for tuned in ("zero", "fsdp"):
            self.write("s.yaml", STUDY % ("512 MiB", "base", tuned, BOTH))
            run = self.sinew(["check", "s.yaml"])
            print("%s, 256 ranks: check takes %.1f s, %d MB" % (tuned, run.seconds, run.peak_kib * 1024 // 1000000))
            self.assertLess(run.seconds, 10 * float(os.environ.get("SINEW_TEST_SLOWER", "1")))
            self.assertLess(run.peak_kib, 512 << 10)


if __name__ == "__main__":
    lib.main()
