#!/usr/bin/python3
"""The rivals of bench_entropy and of stage token-entropy: entropies of rows of bf16 and float32 logits by torch, and reading them.

    rival_entropy.py --against PROGRAM [--python PYTHON]... [--processes 2] [--runs 5] [--json FILE] [--rows 4096] [--torch-rows 128]
                     [--threads N] [--folder FOLDER]

torch, Debian's and that of each PYTHON: softmax and sums of the logits as float32, by the quicker of two formulas (from log_softmax; from
logsumexp and softmax) in chunks of as many rows as were fastest in a trial before the runs; as it stands, compiled by torch.compile, and
once more in one batch as a script would. It does --torch-rows of the rows in each run, which it has in memory, and its time is scaled
to all of them. Ours does all rows. The logits, 4096 x 151936 (1.2 and 2.5 GB, one after the other), are made in FOLDER (default
$BENCH_FOLDER or /dev/shm/sinew-bench, in a folder of its own that is removed at the end). One line per comparison; before them every
row's entropy is compared with numpy's in float64. JSON lines are appended to FILE. sinew itself is looked for beside PROGRAM. Exit
status 1 where a row is more than 1e-6 nats off.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys

import numpy as np

import rivals

VOCABULARY = 151936
CHUNKS = {"eager": [1, 2, 4, 8, 16, 32], "compiled": [2, 8, 32]}
TARGETS = {"debian": 15, "other": 3}  # than the best chunk: Debian's as it stands; another, compiled
READING_TARGET = 0.6
BOUND = 1e-6  # nats
STUDY = """study: entropy
output: out
cells:
  - {family: m, algorithm: a, seed: 0, base: base.safetensors, tuned: tuned.safetensors, logits: {tuned: logits.safetensors}}
stages: {load: {}, token-entropy: {needs: [load]}}
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="PROGRAM", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--torch-rows", type=int, default=128)
    parser.add_argument("--folder", default=os.environ.get("BENCH_FOLDER", "/dev/shm/sinew-bench"))
    parser.add_argument("--json", metavar="FILE")
    rivals.add_arguments(parser)
    return parser.parse_args()


def header(name, dtype, shape, size):
    text = json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def to_bf16(x):
    """To nearest even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def make(folder, rows, dtype):
    """A study with logits as models have them: most of the vocabulary far below a few likely tokens, some rows all but certain, some
    nearly uniform. Returns the byte where they begin."""
    for name in ("base", "tuned"):
        with open(os.path.join(folder, name + ".safetensors"), "wb") as f:
            f.write(header("w.weight", "BF16", [2, 2], 8) + bytes(8))
    with open(os.path.join(folder, "entropy.yaml"), "w") as f:
        f.write(STUDY)
    random = np.random.default_rng(1)
    with open(os.path.join(folder, "logits.safetensors"), "wb") as f:
        head = header("logits", dtype.upper(), [rows, VOCABULARY], rows * VOCABULARY * (2 if dtype == "bf16" else 4))
        f.write(head)
        for first in range(0, rows, 64):
            n = min(64, rows - first)
            x = random.standard_normal((n, VOCABULARY), np.float32) * (0.2 + 2.8 * random.random((n, 1), np.float32))
            x += 4 * random.standard_normal((n, 1), np.float32)
            x[np.arange(n), random.integers(VOCABULARY, size=n)] += 20 * random.random(n, np.float32)
            f.write((to_bf16(x) if dtype == "bf16" else x).tobytes())
    return len(head)


def reference(path, start, rows, dtype):
    """Of each row, in float64, from the definition."""
    out = np.empty(rows)
    stored = np.memmap(path, np.uint16 if dtype == "bf16" else np.float32, "r", start, (rows, VOCABULARY))
    for i in range(rows):
        z = ((stored[i].astype(np.uint32) << 16).view(np.float32) if dtype == "bf16" else stored[i]).astype(np.float64)
        z -= z.max()
        p = np.exp(z)
        s = p.sum()
        out[i] = np.log(s) - p.dot(z) / s
    return out


def mpi(options, *command, **more):
    return subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), *command], check=True,
                          stdout=subprocess.PIPE, text=True, env=dict(os.environ, OPENBLAS_NUM_THREADS="1"), **more).stdout


def kernel(options, logits, start, dtype, out):
    """Seconds for all rows in memory, and of reading them, the middle of three passes each; entropies."""
    for path in (out, out + ".nats"):
        if os.path.exists(path):
            os.remove(path)
    mpi(options, options.against, logits, "--type", dtype, "--start", str(start), "--rows", str(options.rows), "--vocabulary",
        str(VOCABULARY), "--runs", "3", "--json", out)
    with open(out) as f:
        found = json.loads(f.read())
    return statistics.median(found["sec"]), statistics.median(found["read_sec"]), np.fromfile(out + ".nats", np.float64)


def stage(options, folder):
    """Seconds of stage token-entropy on its slowest process, from the file in the page cache to the artifact; entropies."""
    import h5py
    sinew = os.path.join(os.path.dirname(os.path.abspath(options.against)), "sinew")
    text = mpi(options, sinew, "run", "entropy.yaml", "--force", cwd=folder)
    seconds = float(re.search(r"token-entropy +1 cells in .*max ([0-9.]+) s", text).group(1))
    with h5py.File(os.path.join(folder, "out", "cells", "m", "a", "0", "token-entropy.h5"), "r") as f:
        return seconds, f["token_entropy/tuned"][()]


def compare(options, what, width, ours, rival, rival_name, off, target=None):
    """Seconds of the runs, ours and the rival's. width: bytes of a logit."""
    ratio = [r / o for r, o in zip(rival, ours)]
    rate = options.rows / statistics.median(ours)
    good = off <= BOUND
    print(f"{what:44} {rate:8.0f} rows/s ({rate * VOCABULARY * width * 1e-9:.1f} GB/s)  {rival_name} "
          f"{options.rows / statistics.median(rival):6.0f} rows/s  ratio {statistics.median(ratio):.3g} ({min(ratio):.3g} to "
          f"{max(ratio):.3g})  {'at most' if good else 'OFF BY'} {off:.1e} nats from float64", flush=True)
    rivals.write(options.json, {"what": what, "rival": rival_name, "ratio": statistics.median(ratio), "least": min(ratio),
                                "most": max(ratio), "target": target, "runs": len(ratio), "equal": bool(good), "sec": ours,
                                "rival_sec": rival, "off_nats": off, "rows_per_sec": rate, "processes": options.processes})
    return good


def prepare(options, side, logits, start, dtype):
    """The rows of a torch, by how it is run: what the table calls it, and the target."""
    step = max(1, options.rows // options.torch_rows)
    side.ask("entropy_load", path=logits, start=start, rows=options.rows, vocabulary=VOCABULARY, step=step, most=options.torch_rows,
             dtype=dtype)
    kinds = {}
    for how in side.forms():
        with rivals.left_out(f"entropy, {how}"):
            best = side.ask("entropy_choose", how=how, chunks=CHUNKS[how])
            print(f"{side.name()}, {how}, us/row by rows at once: " + ", ".join(f"{w}: {1e6 * s:.0f}" for w, s in best["tried"].items()),
                  flush=True)
            target = TARGETS["debian"] if side.debian and how == "eager" else TARGETS["other"] if how == "compiled" else None
            kinds[how] = (f"{side.name()}, {how} {best['formula']} entropy, {options.threads} threads, {best['chunk']} rows at once",
                          target if dtype == "bf16" or not side.debian else None)
    kinds["batch"] = f"{side.name()}, log_softmax entropy, {options.threads} threads, {options.torch_rows} rows at once", None
    return kinds


def measure(sides, options, folder, dtype):
    start = make(folder, options.rows, dtype)
    logits, width = os.path.join(folder, "logits.safetensors"), 2 if dtype == "bf16" else 4
    wanted = reference(logits, start, options.rows, dtype)
    kinds = []
    for side in sides:
        with rivals.left_out("entropy"):
            kinds += [(side, how, *named) for how, named in prepare(options, side, logits, start, dtype).items()]
    seconds = {"kernel": [], "stage": [], "read": []}
    theirs, off = {i: [] for i in range(len(kinds))}, {"kernel": 0.0, "stage": 0.0}
    step, out = max(1, options.rows // options.torch_rows), os.path.join(folder, "torch.npy")
    for _ in range(options.runs):
        for i, (side, how, name, _) in enumerate(kinds):
            with rivals.left_out(name):
                found = side.ask("entropy_run", how=how, out=out)
                theirs[i].append(found["sec_per_row"] * options.rows)
                if len(theirs[i]) == 1:
                    nats = np.load(out)
                    print(f"{name}: off by up to {np.abs(nats - wanted[::step][:len(nats)]).max():.1e} nats", flush=True)
        kernel_sec, read_sec, nats = kernel(options, logits, start, dtype, os.path.join(folder, "bench.json"))
        seconds["kernel"].append(kernel_sec)
        seconds["read"].append(read_sec)
        off["kernel"] = max(off["kernel"], float(np.abs(nats - wanted).max()))
        stage_sec, nats = stage(options, folder)
        seconds["stage"].append(stage_sec)
        off["stage"] = max(off["stage"], float(np.abs(nats - wanted).max()))
    print(f"entropies from {wanted.min():.3g} to {wanted.max():.4g} nats; torch is measured on {options.torch_rows} of {options.rows} "
          "rows and scaled", flush=True)
    size, good = f"{options.rows} x {VOCABULARY} {dtype} logits", True
    for what, label in (("kernel", f"entropy of {size}"), ("stage", f"token-entropy stage, {size}")):
        for i, (side, how, name, target) in enumerate(kinds):
            if len(theirs[i]) == options.runs and (what == "kernel" or how != "batch"):
                good = compare(options, label, width, seconds[what], theirs[i], name, off[what], target if what == "kernel" else None) and good
        good = compare(options, label, width, seconds[what], seconds["read"], "reading the same bytes", off[what],
                       READING_TARGET) and good
    return good


def main():
    options = arguments()
    options.torch_rows = min(options.torch_rows, options.rows)
    options.against = os.path.abspath(options.against)
    good = True
    with rivals.sides(options) as sides:
        for dtype in ("bf16", "f32"):
            folder = os.path.join(options.folder, "entropy")
            os.makedirs(folder)
            try:
                good = measure(sides, options, folder, dtype) and good
            finally:
                shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
