#!/usr/bin/python3
"""The rival of bench_rank: torch.linalg.matrix_rank in float32, as the published script calls it, on the same matrices.

    rival_rank.py [--json] [--repeat N] [--only layer|embedding] [--scale S] [--threads 2]

One line per row: its name, seconds of each repeat (the matrices themselves are made outside the clock) and the ranks.
"""
import argparse
import json
import time

import numpy as np
import torch

DENSITY = 38  # of 256 elements
LAYER = [("q_proj", 4096, 4096), ("k_proj", 1024, 4096), ("v_proj", 1024, 4096), ("o_proj", 4096, 4096),
         ("gate_proj", 14336, 4096), ("up_proj", 14336, 4096), ("down_proj", 4096, 14336)]
EMBEDDING = [("embed_tokens", 128256, 4096)]


def make(seed, rows, cols):
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
    return torch.from_numpy(x)


def row(name, matrices, first_seed, options):
    seconds, ranks = [0.0] * options.repeat, {}
    each = {}
    for i, (matrix, rows, cols) in enumerate(matrices):
        x = make(first_seed + i, rows // options.scale, cols // options.scale)
        for t in range(options.repeat):
            started = time.perf_counter()
            ranks[matrix] = int(torch.linalg.matrix_rank(x))
            each[matrix] = time.perf_counter() - started
            seconds[t] += each[matrix]
        del x
    if options.json:
        print(json.dumps({"row": name, "seconds": [round(s, 4) for s in seconds], "threads": options.threads,
                          "matrices": {m: {"rank": ranks[m], "seconds": round(each[m], 4)} for m in ranks}}), flush=True)
    else:
        print(f"{name}: " + " ".join(f"{s:.3f} s" for s in seconds) + f" with {options.threads} threads; "
              + ", ".join(f"{m} rank {ranks[m]} in {each[m]:.2f} s" for m in ranks), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", choices=["layer", "embedding"])
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only != "embedding":
        row("layer", LAYER, 0, options)
    if options.only != "layer":
        row("embedding", EMBEDDING, 100, options)


if __name__ == "__main__":
    main()
