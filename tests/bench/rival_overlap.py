#!/usr/bin/python3
"""The rivals of bench_overlap: numpy's bitwise_and and a table of the set bits of 16-bit numbers, for all pairs of masks; and its
bitwise_count, where a numpy has that (2.0 and later).

    rival_overlap.py --against PROGRAM [--python PYTHON]... [--processes 2] [--runs N] [--masks 21] [--bits N] [--fraction F]
                     [--folder FOLDER] [--json FILE]

First the counts of bench_overlap (the path of the program) on small masks are compared with numpy's, each pair and each number of
the consensus. Then numpy is timed on a fraction of the bits (default 1/25: it takes time in proportion) and bench_overlap on all of
them. What 500 masks on one base take, of a hundredth of the bits each, is held against loading what the kernel's tiles load: every word comes
from memory once, and from the cache once for every four masks that it is compared with. One line per row: the median ratio over the runs, with the least and the most. --folder adds the stage on mask files there.
JSON lines are appended to FILE. Exit status 1 if a count differs.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import rivals

PIECE = 1 << 17  # 16-bit numbers at a time, so that numpy's intermediate arrays stay in the cache
SMALL = [(1, 1000), (2, 64), (5, 100037), (21, 1000037), (64, 300001)]  # masks, bits


def number(stream, i):
    """SplitMix64, as bench_overlap makes it."""
    with np.errstate(over="ignore"):
        z = (np.uint64(stream << 40) + i + np.uint64(1)) * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return z ^ (z >> np.uint64(31))


def make(masks, bits):
    """The masks that bench_overlap makes."""
    i = np.arange((bits + 63) // 64, dtype=np.uint64)
    shared = number(0, i) & number(1, i)
    if bits % 64:
        shared[-1] &= np.uint64((1 << bits % 64) - 1)
    return [shared & (number(2 + 2 * m, i) | number(3 + 2 * m, i)) for m in range(masks)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="PROGRAM", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--masks", type=int, default=21)
    parser.add_argument("--bits", type=int, default=10**9)
    parser.add_argument("--fraction", type=float, default=0.04)
    parser.add_argument("--folder", metavar="FOLDER")
    parser.add_argument("--json", metavar="FILE")
    rivals.add_arguments(parser)
    return parser.parse_args()


def bench(options, *more):
    command = ["mpirun", "--oversubscribe", "-n", str(options.processes), options.against, *map(str, more)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ, OPENBLAS_NUM_THREADS="1"))


def check(options):
    """Counts bit by bit, from the bits unpacked."""
    for masks, bits in SMALL:
        with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
            bench(options, "--masks", masks, "--bits", bits, "--runs", 0, "--counts", out.name)
            found = json.load(out)
        x = np.array([np.unpackbits(m.view(np.uint8)) for m in make(masks, bits)], dtype=np.float32)
        product = (x @ x.T).astype(np.int64)  # exact: below 2^24
        consensus = np.bincount(x.sum(axis=0).astype(np.int64), minlength=masks + 1)
        same = (found["own"] == product.diagonal().tolist() and found["both"] == product[np.triu_indices(masks, 1)].tolist()
                and found["exactly"][1:] == consensus[1:].tolist())
        print(f"check: {masks} masks of {bits} bits: counts {'equal' if same else 'DIFFER from'} numpy's", flush=True)
        if not same:
            return False
    return True


def numpy_pairs(masks, table):
    """Seconds for all pairs."""
    words = [m.view(np.uint16) for m in masks]
    both, counts = np.empty(PIECE, np.uint16), np.empty(PIECE, np.uint8)
    started = time.perf_counter()
    for i, a in enumerate(words):
        for b in words[i + 1:]:
            total = 0
            for at in range(0, len(a), PIECE):
                n = min(PIECE, len(a) - at)
                np.bitwise_and(a[at:at + n], b[at:at + n], out=both[:n])
                np.take(table, both[:n], out=counts[:n], mode="clip")  # this mode alone writes to `out` directly
                total += int(counts[:n].sum(dtype=np.uint64))
    return time.perf_counter() - started


def bit_counts(options, bits):
    """Seconds of the runs, scaled to all bits, of each Python's numpy that counts bits itself; by how the table calls it."""
    found = {}
    for python in dict.fromkeys(options.python):
        with rivals.left_out("a row of overlap"), contextlib.closing(rivals.start(python, 1, {})) as side:
            name = f"numpy {side.about['numpy']}, bitwise_count, 1 thread"
            found[name] = [side.ask("overlap_run", masks=options.masks, bits=bits)["sec"] * options.bits / bits
                           for _ in range(options.runs)]
    return found


def row(options, what, rival, seconds, rival_seconds, target, size, note=""):
    ratio = [r / s for s, r in zip(seconds, rival_seconds)]
    middle, least, most = statistics.median(ratio), min(ratio), max(ratio)
    rate, rival_rate = (size / statistics.median(x) / 1e9 for x in (seconds, rival_seconds))
    print(f"{what:46} {rate:7.2f} GB/s  {rival} {rival_rate:.3g} GB/s  ratio {middle:.3g} ({least:.3g} to {most:.3g})"
          f"{'' if target is None else f'  target {target}'}{note}", flush=True)
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": what, "rival": rival, "ratio": middle, "least": least, "most": most, "target": target,
                                "runs": len(ratio), "gb_per_sec": rate, "rival_gb_per_sec": rival_rate, "sec": seconds,
                                "rival_sec": rival_seconds, "note": note.strip()}) + "\n")


def main():
    options = arguments()
    if not check(options):
        return 1
    table = np.array([bin(i).count("1") for i in range(1 << 16)], dtype=np.uint8)
    bits = max(64, int(options.bits * options.fraction))
    small = make(options.masks, bits)
    slow = [numpy_pairs(small, table) * options.bits / bits for _ in range(options.runs)]
    del small
    counting = bit_counts(options, bits)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        folder = ["--folder", options.folder] if options.folder else []
        bench(options, "--masks", options.masks, "--bits", options.bits, "--runs", options.runs, "--json", out.name, *folder)
        found = json.load(out)
    what = f"{options.masks} masks of {options.bits:.3g} bits"
    size = found["bytes"]
    row(options, f"all pairs of {what}", "numpy", found["pairs"], slow, 20, size,
        f"  (numpy on {options.fraction:.3g} of the bits, scaled)")
    for name, seconds in counting.items():
        row(options, f"all pairs of {what}", name, found["pairs"], seconds, None, size,
            f"  (numpy on {options.fraction:.3g} of the bits, scaled)")
    row(options, f"all pairs of {what}, in memory", "reading memory", found["pairs"], found["read"], 0.5, size)
    row(options, f"pairs and consensus of {what}", "reading memory", found["pairs_consensus"], found["read"], None, size)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        many = max(64, options.bits // 100)
        bench(options, "--masks", 500, "--bits", many, "--runs", options.runs, "--json", out.name)
        large = json.load(out)
    row(options, f"all pairs of 500 masks of {many:.3g} bits", "loading what the tiles load", large["pairs"], large["tiles"], 0.4,
        large["bytes"], f"  (of reading them once from memory: {statistics.median(large['read']) / statistics.median(large['pairs']):.2g})")
    if options.folder:
        row(options, f"stage overlap, {what}", "reading the files", found["stage"], found["read_files"], None, size)
        row(options, f"stage overlap, {what}", "numpy", found["stage"], slow, None, size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
