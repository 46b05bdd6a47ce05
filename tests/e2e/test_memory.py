#!/usr/bin/python3
"""Memory per process while two 1 GB checkpoints are compared stays under 300 MB: delta, mask and overlap, on one process and on
two. Skipped where less than 6 GB of disk are free."""
import os
import shutil
import struct
import json
import tempfile

import numpy as np

import sinewlib as lib

ROWS, COLS, TENSORS, TILE = 8192, 4096, 15, 1 << 22  # 15 * 67 MB = 1.007 GB
LIMIT_KIB = 300 * 1000 * 1000 // 1024

CONFIG = """study: memory
output: %s
matrix:
  families: [big]
  algorithms: [ppo]
  seeds: [0, 1]
  base: "%s/base"
  tuned: "%s/tuned"
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  overlap: {needs: [mask]}
"""


def write_big(path, tile):
    """A checkpoint whose tensors repeat one tile of bits."""
    size = 2 * ROWS * COLS
    header = {"model.layers.%d.mlp.up_proj.weight" % i: {"dtype": "BF16", "shape": [ROWS, COLS],
                                                         "data_offsets": [i * size, (i + 1) * size]} for i in range(TENSORS)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path))
    data = tile.tobytes()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _ in range(TENSORS * size // len(data)):
            f.write(data)


class Memory(lib.Case):
    def test_two_checkpoints_of_1_gb(self):
        rng = np.random.default_rng(3)
        base = lib.bf16_round((rng.standard_normal(TILE, dtype=np.float32) * np.float32(0.02)))
        moved = rng.random(TILE, dtype=np.float32) < 0.1
        write_big(self.path("base", "model.safetensors"), base)
        write_big(self.path("tuned", "model.safetensors"), base + moved.astype(np.uint16))
        self.assertGreater(os.path.getsize(self.path("base", "model.safetensors")), 1e9)
        changed = int(moved.sum()) * (TENSORS * ROWS * COLS // TILE)
        for np_ in (0, 2):
            output = self.path("out")
            config = self.write("memory.yaml", CONFIG % (output, self.dir, self.dir))
            run = self.sinew(["run", config], np=np_, timeout=240)
            print("processes: %d, %.1f s, largest process %d MB" % (max(np_, 1), run.seconds, run.peak_kib * 1024 // 1000000))
            self.assertLess(run.peak_kib, LIMIT_KIB)
            row = lib.table(os.path.join(output, "memory.h5"), "cells")[0]
            self.assertEqual((row["parameters"], row["bit_changed"]), (TENSORS * ROWS * COLS, changed))
            shutil.rmtree(output)


if __name__ == "__main__":
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 6e9:
        lib.skip("less than 6 GB free in %s" % tempfile.gettempdir())
    lib.main()
