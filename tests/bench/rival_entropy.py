#!/usr/bin/python3
"""The rival of bench_entropy and of stage token-entropy: entropies of rows of bf16 logits by torch, with 2 threads.

    rival_entropy.py --against PROGRAM [--processes 2] [--runs 5] [--json FILE] [--rows 4096] [--torch-rows 128] [--threads 2]
                     [--folder FOLDER]

torch: log_softmax of the logits converted to float32, then -(p * logp).sum, in chunks of as many rows as were fastest in a trial
before the runs, and once more in one batch as a script would; it does --torch-rows of the rows in each run, and its time is scaled
to all of them. Ours does all rows. The logits, 4096 x 151936 (1.2 GB), are made in FOLDER (default $BENCH_FOLDER or
/dev/shm/sinew-bench, in a folder of its own that is removed at the end). One line per comparison; before them every row's entropy is
compared with numpy's in float64. JSON lines are appended to FILE. sinew itself is looked for beside PROGRAM. Exit status 1 where a
row is more than 1e-6 nats off.
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
import time

VOCABULARY = 151936
TARGET = 15
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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default=os.environ.get("BENCH_FOLDER", "/dev/shm/sinew-bench"))
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def header(name, dtype, shape, size):
    text = json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def make(torch, folder, rows):
    """A study with logits as models have them: most of the vocabulary far below a few likely tokens, some rows all but certain, some
    nearly uniform. Returns the byte where they begin."""
    for name in ("base", "tuned"):
        with open(os.path.join(folder, name + ".safetensors"), "wb") as f:
            f.write(header("w.weight", "BF16", [2, 2], 8) + bytes(8))
    with open(os.path.join(folder, "entropy.yaml"), "w") as f:
        f.write(STUDY)
    torch.manual_seed(1)
    with open(os.path.join(folder, "logits.safetensors"), "wb") as f:
        head = header("logits", "BF16", [rows, VOCABULARY], rows * VOCABULARY * 2)
        f.write(head)
        for first in range(0, rows, 64):
            n = min(64, rows - first)
            x = torch.randn(n, VOCABULARY) * (0.2 + 2.8 * torch.rand(n, 1)) + 4 * torch.randn(n, 1)
            x[torch.arange(n), torch.randint(VOCABULARY, (n,))] += 20 * torch.rand(n)
            f.write(x.to(torch.bfloat16).view(torch.int16).numpy().tobytes())
    return len(head)


def reference(np, path, start, rows):
    """Of each row, in float64, from the definition."""
    out = np.empty(rows)
    bits = np.memmap(path, np.uint16, "r", start, (rows, VOCABULARY))
    for i in range(rows):
        z = (bits[i].astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        z -= z.max()
        p = np.exp(z)
        s = p.sum()
        out[i] = np.log(s) - p.dot(z) / s
    return out


def by_torch(torch, x, chunk):
    """Seconds."""
    out = []
    started = time.perf_counter()
    for i in range(0, len(x), chunk):
        logp = torch.log_softmax(x[i:i + chunk].float(), -1)
        out.append(-(logp.exp() * logp).sum(-1))
    return time.perf_counter() - started, torch.cat(out)


def best_chunk(torch, x):
    seconds = {}
    for chunk in (1, 2, 4, 8, 16, 32):
        part = x[:32]
        seconds[chunk] = min(by_torch(torch, part, chunk)[0] for _ in range(3)) / len(part)
    chunk = min(seconds, key=seconds.get)
    print("torch, rows in a chunk: " + ", ".join(f"{c}: {1e6 * s:.0f} us/row" for c, s in seconds.items()) + f"; {chunk} it is",
          flush=True)
    return chunk


def mpi(options, *command, **more):
    return subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), *command], check=True,
                          stdout=subprocess.PIPE, text=True, env=dict(os.environ, OPENBLAS_NUM_THREADS="1"), **more).stdout


def kernel(np, options, logits, start, out):
    """Seconds for all rows in memory, the middle of three passes; entropies."""
    for path in (out, out + ".nats"):
        if os.path.exists(path):
            os.remove(path)
    mpi(options, options.against, logits, "--start", str(start), "--rows", str(options.rows), "--vocabulary", str(VOCABULARY),
        "--runs", "3", "--json", out)
    with open(out) as f:
        seconds = statistics.median(json.loads(f.read())["sec"])
    return seconds, np.fromfile(out + ".nats", np.float64)


def stage(np, options, folder):
    """Seconds of stage token-entropy on its slowest process, from the file in the page cache to the artifact; entropies."""
    import h5py
    sinew = os.path.join(os.path.dirname(os.path.abspath(options.against)), "sinew")
    text = mpi(options, sinew, "run", "entropy.yaml", "--force", cwd=folder)
    seconds = float(re.search(r"token-entropy +1 cells in .*max ([0-9.]+) s", text).group(1))
    with h5py.File(os.path.join(folder, "out", "cells", "m", "a", "0", "token-entropy.h5"), "r") as f:
        return seconds, f["token_entropy/tuned"][()]


def compare(options, what, ours, rival, off, chunk, target=None):
    """Seconds of the runs, ours and the rival's."""
    ratio = [r / o for r, o in zip(rival, ours)]
    rate = options.rows / statistics.median(ours)
    good = off <= BOUND
    print(f"{what:44} {rate:8.0f} rows/s ({rate * VOCABULARY * 2e-9:.1f} GB/s)  torch {options.rows / statistics.median(rival):6.0f} rows/s"
          f"  ratio {statistics.median(ratio):.1f} ({min(ratio):.1f} to {max(ratio):.1f})  "
          f"{'at most' if good else 'OFF BY'} {off:.1e} nats from float64", flush=True)
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": what, "rival": f"torch log_softmax entropy, {options.threads} threads, {chunk} rows at once",
                                "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio), "target": target,
                                "runs": len(ratio), "equal": bool(good), "sec": ours, "rival_sec": rival, "off_nats": off,
                                "rows_per_sec": rate, "rival_rows_measured": options.torch_rows,
                                "processes": options.processes}) + "\n")
    return good


def measure(np, torch, options, folder):
    start = make(torch, folder, options.rows)
    logits = os.path.join(folder, "logits.safetensors")
    wanted = reference(np, logits, start, options.rows)
    bits = np.memmap(logits, np.int16, "r", start, (options.rows, VOCABULARY))
    step = max(1, options.rows // options.torch_rows)
    x = torch.from_numpy(np.ascontiguousarray(bits[::step][:options.torch_rows])).view(torch.bfloat16)
    chunk = best_chunk(torch, x)
    rival, batch, ours, whole, off = [], [], [], [], [0.0, 0.0]
    for _ in range(options.runs):
        seconds, found = by_torch(torch, x, chunk)
        rival.append(seconds / len(x) * options.rows)
        batch.append(by_torch(torch, x, len(x))[0] / len(x) * options.rows)
        torch_off = float((found.double().numpy() - wanted[::step][:options.torch_rows]).__abs__().max())
        seconds, found = kernel(np, options, logits, start, os.path.join(folder, "bench.json"))
        ours.append(seconds)
        off[0] = max(off[0], float(np.abs(found - wanted).max()))
        seconds, found = stage(np, options, folder)
        whole.append(seconds)
        off[1] = max(off[1], float(np.abs(found - wanted).max()))
    print(f"entropies from {wanted.min():.3g} to {wanted.max():.4g} nats; torch measured on {len(x)} of {options.rows} rows and scaled, "
          f"its float32 is off by up to {torch_off:.1e} nats", flush=True)
    size = f"{options.rows} x {VOCABULARY} bf16 logits"
    good = compare(options, f"entropy of {size}", ours, rival, off[0], chunk, TARGET)
    compare(options, f"entropy of {size}", ours, batch, off[0], len(x))
    return compare(options, f"token-entropy stage, {size}", whole, rival, off[1], chunk) and good


def main():
    options = arguments()
    options.torch_rows = min(options.torch_rows, options.rows)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    # Only now: their libraries read the environment as they are loaded.
    import numpy
    import torch
    torch.set_num_threads(options.threads)
    options.against = os.path.abspath(options.against)
    folder = os.path.join(options.folder, "entropy")
    os.makedirs(folder)
    try:
        return 0 if measure(numpy, torch, options, folder) else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
