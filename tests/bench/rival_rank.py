#!/usr/bin/python3
"""The rival of bench_rank: torch.linalg.matrix_rank in float32, as the published script calls it, on the same matrices.

    rival_rank.py [--against PROGRAM [--processes 2]] [--runs N] [--only layer|embedding] [--scale S] [--threads 2] [--json FILE]

One line per row: its name, seconds of each run (the matrices are made outside the clock) and the ranks. --against takes turns with
bench_rank (the path of the program), says how many times faster it was, from run to run, and whether the ranks are the same; torch
then runs on the same kernels of OpenBLAS, which would choose old ones for a young processor. JSON lines are appended to FILE.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

DENSITY = 38  # of 256 elements
LAYER = [("q_proj", 4096, 4096), ("k_proj", 1024, 4096), ("v_proj", 1024, 4096), ("o_proj", 4096, 4096),
         ("gate_proj", 14336, 4096), ("up_proj", 14336, 4096), ("down_proj", 4096, 14336)]
EMBEDDING = [("embed_tokens", 128256, 4096)]
# The rows of bench_rank: what they say of themselves in the table, and how much faster than torch they should be.
ROWS = {"layer, spectrum full": ("rank with full spectra, seven matrices of an 8B layer", 2.2),
        "layer, spectrum none": ("rank with `spectrum: none`, the same matrices", 4.5),
        "embedding, spectrum full": ("rank with full spectrum, 128256 x 4096 embedding", 3),
        "embedding, spectrum none": ("rank with `spectrum: none`, the same embedding", 3)}


def make(np, seed, rows, cols):
    """The matrix that bench_rank makes of the same seed."""
    x = np.empty((rows, cols), np.float32)
    step = max(1, (1 << 22) // cols)
    with np.errstate(over="ignore"):
        for r in range(0, rows, step):
            n = min(step, rows - r) * cols
            z = np.arange(r * cols + 1, r * cols + 1 + n, dtype=np.uint64) + np.uint64(seed << 40)
            z *= np.uint64(0x9e3779b97f4a7c15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
            z ^= z >> np.uint64(31)
            size = (1 + ((z >> np.uint64(8)) & np.uint64(3))).astype(np.float32)
            sign = np.where(z >> np.uint64(63), np.float32(-1), np.float32(1))
            value = np.ldexp(sign * size, -14 - ((z >> np.uint64(16)) & np.uint64(3)).astype(np.int32))
            part = np.where((z & np.uint64(255)) < DENSITY, value, np.float32(0))
            x[r:r + n // cols] = part.reshape(-1, cols)
    return x


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="PROGRAM")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", choices=["layer", "embedding"])
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def ours(name, options):
    """One run of bench_rank: its rows by name."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")
        subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), options.against, "--only", name,
                        "--scale", str(options.scale), "--json", out.name],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        return {r["what"]: r for r in map(json.loads, out.read().splitlines())}


def write(options, record):
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps(record) + "\n")


def compare(np, torch, name, matrices, first_seed, options):
    made = {m: make(np, first_seed + i, rows // options.scale, cols // options.scale)
            for i, (m, rows, cols) in enumerate(matrices)}
    seconds, against = [], []
    for _ in range(options.runs):
        each, ranks = {}, {}
        for m, x in made.items():
            started = time.perf_counter()
            ranks[m] = int(torch.linalg.matrix_rank(torch.from_numpy(x)))
            each[m] = time.perf_counter() - started
        seconds.append(sum(each.values()))
        if options.against:
            against.append(ours(name, options))
    print(f"torch, {name}: " + " ".join(f"{s:.2f} s" for s in seconds) + f" with {options.threads} threads; "
          + ", ".join(f"{m} rank {ranks[m]} in {each[m]:.2f} s" for m in ranks), flush=True)
    write(options, {"what": f"torch, {name}", "sec": seconds, "threads": options.threads, "ranks": ranks})
    same = True
    for what in [w for w in (against[0] if against else {}) if w != "dgemm"]:
        rows = [run[what] for run in against]
        ratio = [rival / r["sec"][0] for rival, r in zip(seconds, rows)]
        equal = all({m: x["rank"] for m, x in r["matrices"].items()} == ranks for r in rows)
        rate = statistics.median(run["dgemm"]["gflops_per_process"] for run in against)
        same = same and equal
        print(f"{what:34} {statistics.median(r['sec'][0] for r in rows):7.2f} s  torch {statistics.median(seconds):7.2f} s  "
              f"ratio {statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})  "
              f"ranks {'equal' if equal else 'DIFFER'}  dgemm {rate:.0f} GF/s per process", flush=True)
        row, target = ROWS[what]
        if options.scale > 1:
            row, target = f"{row}, sizes / {options.scale}", None
        write(options, {"what": row, "rival": f"torch.linalg.matrix_rank, {options.threads} threads",
                        "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio), "target": target,
                        "runs": options.runs, "equal": equal, "sec": [r["sec"][0] for r in rows], "rival_sec": seconds,
                        "methods": {m: x["method"] for m, x in rows[0]["matrices"].items()},
                        "dgemm_gflops_per_process": rate})
    return same


def main():
    options = arguments()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    if options.against:
        os.environ["OPENBLAS_CORETYPE"] = subprocess.run([options.against, "--kernels"], check=True, stdout=subprocess.PIPE,
                                                         text=True).stdout.strip()
    # Only now: their libraries read the environment as they are loaded.
    import numpy
    import torch
    torch.set_num_threads(options.threads)
    same = True
    for name, matrices, seed in (("layer", LAYER, 0), ("embedding", EMBEDDING, 100)):
        if options.only in (None, name):
            same = compare(numpy, torch, name, matrices, seed, options) and same
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
