#!/usr/bin/python3
"""Shards against safetensors: the same weights as one file, as FSDP's shards, as a distributed checkpoint and as a ZeRO folder.

    shards.py FOLDER [--sinew PROGRAM] [--gib 1] [--ranks 4] [--runs 5] [--processes 1] [--keep] [--json FILE]

The weights (float32 masters; the base is bf16) are written to FOLDER by tests/e2e/shardlib.py and dcplib.py, without torch. Then delta
with `store: none` compares the base with each layout in turn, so that all have the same conditions; the rate is that of the bytes that
delta reads, by its own clock (load, which reads headers, is not in it). What is to be reached: 0.9 of safetensors' rate.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import h5py
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import dcplib  # noqa: E402
import shardlib  # noqa: E402

TARGET = 0.9
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
ROWS, COLS, TILE = 4096, 4096, 1 << 20
STUDY = """study: s
output: out-%s
cells:
  - {family: f, algorithm: a, seed: 0, base: base, tuned: %s, weights: masters}
stages:
  load: {}
  delta: {needs: [load], arithmetic: f32, store: none}
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--sinew", default=os.path.join(ROOT, "build", "release", "sinew"))
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="use what FOLDER has from a run before, and leave it")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def write_dcp(folder, model, ranks):
    """Rows cut as FSDP cuts them, a file a rank."""
    w = dcplib.Writer(folder)
    for name, (shape, _) in model.tensors.items():
        w.tensor(("model", name), "F32", shape)
    for me in range(ranks):
        for name, (shape, _) in model.tensors.items():
            rows = -(-shape[0] // ranks)
            first = min(me * rows, shape[0])
            local = (min(rows, shape[0] - first),) + shape[1:]
            row = model.numel(name) // shape[0]
            data = b"".join(model.pieces(name, first * row, local[0] * row))
            w.chunk("model." + name, "__%d_0.distcp" % me, "F32", (first,) + (0,) * (len(shape) - 1), local, data)
    w.close()


def write_all(folder, gib, ranks):
    rng = np.random.default_rng(1)
    old = rng.standard_normal(TILE).astype(np.float32) * np.float32(0.02)
    old = ((old.view(np.uint32) + 0x7fff + ((old.view(np.uint32) >> 16) & 1)) >> 16).astype(np.uint16)
    new = (old.astype(np.uint32) << 16).view(np.float32) + (rng.random(TILE) < 0.1).astype(np.float32) * np.float32(1e-4)
    base, masters = shardlib.Model("BF16"), shardlib.Model("F32")
    for i in range(max(1, round(gib * (1 << 30) / (4 * ROWS * COLS)))):
        base.add_tile("model.layers.%d.mlp.up_proj.weight" % i, (ROWS, COLS), old)
        masters.add_tile("model.layers.%d.mlp.up_proj.weight" % i, (ROWS, COLS), new)
    shardlib.write_safetensors(os.path.join(folder, "base", "model.safetensors"), base)
    shardlib.write_safetensors(os.path.join(folder, "safetensors", "model.safetensors"), masters)
    shardlib.write_fsdp(os.path.join(folder, "fsdp"), masters, ranks)
    shardlib.write_zero(os.path.join(folder, "zero-3"), masters, ranks)
    shardlib.write_zero(os.path.join(folder, "zero-1"), masters, ranks, 1, base)
    write_dcp(os.path.join(folder, "dcp"), masters, ranks)


def measure(options, layout):
    """Bytes a second of delta, by its own clock, and its counts."""
    shutil.rmtree(os.path.join(options.folder, "out-" + layout), ignore_errors=True)
    config = os.path.join(options.folder, layout + ".yaml")
    with open(config, "w") as f:
        f.write(STUDY % (layout, layout))
    command = [os.path.abspath(options.sinew), "run", layout + ".yaml"]
    if options.processes > 1:
        command = ["mpirun", "--oversubscribe", "-n", str(options.processes)] + command
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    run = subprocess.run(command, cwd=options.folder, env=env, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit("%s: status %d\n%s" % (" ".join(command), run.returncode, run.stderr))
    found = re.search(r" delta .* ([0-9.]+) ([kMGT]?B)/s", run.stdout)
    if not found:
        sys.exit("delta says no rate:\n" + run.stdout)
    with h5py.File(os.path.join(options.folder, "out-" + layout, "s.h5"), "r") as f:
        counts = [int(f["tables/cells"][0][name]) for name in ("parameters", "bit_changed")]
    return float(found.group(1)) * UNITS[found.group(2)], counts


def main():
    options = arguments()
    layouts = ["safetensors", "fsdp", "dcp", "zero-3", "zero-1"]
    if not (options.keep and os.path.exists(os.path.join(options.folder, "dcp", ".metadata"))):
        os.makedirs(options.folder, exist_ok=True)
        write_all(options.folder, options.gib, options.ranks)
    rates, counts = {x: [] for x in layouts}, {}
    for _ in range(options.runs):
        for layout in layouts:
            rate, counts[layout] = measure(options, layout)
            rates[layout].append(rate)
    missed = 0
    for layout in layouts[1:]:
        ratios = sorted(a / b for a, b in zip(rates[layout], rates["safetensors"]))
        ratio, equal = statistics.median(ratios), counts[layout] == counts["safetensors"]
        missed |= not equal
        print("%-12s %6.2f GB/s, safetensors %6.2f: %.2f (%.2f to %.2f), target %.1f%s" % (
            layout, statistics.median(rates[layout]) / 1e9, statistics.median(rates["safetensors"]) / 1e9, ratio, ratios[0], ratios[-1],
            TARGET, "" if equal else "  OTHER COUNTS"))
        if options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps({"what": "delta of %s, %d ranks" % (layout, options.ranks), "rival": "the same weights in safetensors",
                                    "ratio": ratio, "least": ratios[0], "most": ratios[-1], "target": TARGET, "runs": options.runs,
                                    "equal": equal, "rates": rates[layout]}) + "\n")
    if not options.keep:
        shutil.rmtree(options.folder)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
