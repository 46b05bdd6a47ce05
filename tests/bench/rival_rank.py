#!/usr/bin/python3
"""The rivals of bench_rank: torch.linalg.matrix_rank in float32, as the published script calls it, and torch.linalg.svdvals in float64,
on the same matrices.

    rival_rank.py --against PROGRAM [--python PYTHON]... [--processes 2] [--runs N] [--only layer|embedding] [--scale S] [--threads N]
                  [--json FILE]

Debian's torch, and that of each PYTHON, take turns with bench_rank (the path of the program); one line per row says how many times
faster that was, from run to run, and whether the ranks are the same. The matrices are made outside the clock. An OpenBLAS under a torch
has the kernels that bench_rank has, since by itself it would choose old ones for a young processor. float64 is for a PYTHON's torch, or
for Debian's where that is the only one. JSON lines are appended to FILE. Exit status 1 where ranks differ.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import rivals

DENSITY = 38  # of 256 elements
LAYER = [("q_proj", 4096, 4096), ("k_proj", 1024, 4096), ("v_proj", 1024, 4096), ("o_proj", 4096, 4096),
         ("gate_proj", 14336, 4096), ("up_proj", 14336, 4096), ("down_proj", 4096, 14336)]
EMBEDDING = [("embed_tokens", 128256, 4096)]
# The rows of bench_rank: what they say of themselves in the table.
ROWS = {"layer, spectrum full": "rank with full spectra, seven matrices of an 8B layer",
        "layer, spectrum none": "rank with `spectrum: none`, the same matrices",
        "embedding, spectrum full": "rank with full spectrum, 128256 x 4096 embedding",
        "embedding, spectrum none": "rank with `spectrum: none`, the same embedding"}
# How much faster than torch they should be: than matrix_rank of Debian's, than that of another, than svdvals in float64.
TARGETS = {"layer, spectrum full": (2.2, 3, 5), "layer, spectrum none": (4.5, 7, None),
           "embedding, spectrum full": (3, 3, 5), "embedding, spectrum none": (3, 7, None)}
HOW = {"matrix_rank": "torch.linalg.matrix_rank, float32", "svdvals": "torch.linalg.svdvals, float64"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="PROGRAM", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", choices=["layer", "embedding"])
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    rivals.add_arguments(parser)
    return parser.parse_args()


def ours(name, options):
    """One run of bench_rank: its rows by name."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")
        subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), options.against, "--only", name,
                        "--scale", str(options.scale), "--json", out.name],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        return {r["what"]: r for r in map(json.loads, out.read().splitlines())}


def compare(sides, name, matrices, first_seed, options):
    made = [(m, rows // options.scale, cols // options.scale) for m, rows, cols in matrices]
    runs = {}  # of a rival: each run of it and ours beside it
    for turn in range(options.runs):
        mine = ours(name, options)
        for side in sides:
            with rivals.left_out(f"rank, {name}"):
                side.ask("rank_make", matrices=made, seed=first_seed, density=DENSITY)
                for how in ["matrix_rank"] + ["svdvals"] * (side is sides[0]):
                    found = side.ask("rank_run", how=how)
                    runs.setdefault((side, how), []).append((found, mine))
                    print(f"{side.name()}, {HOW[how]}, {name}: {found['sec']:.2f} s with {options.threads} threads; "
                          + ", ".join(f"{m} rank {r} in {found['each'][m]:.2f} s" for m, r in found["ranks"].items()), flush=True)
                side.ask("forget")
    return all([row(options, side, how, what, pairs) for (side, how), pairs in runs.items() for what in pairs[0][1]
                if what in ROWS and (how == "matrix_rank" or what.endswith("full"))])


def row(options, side, how, what, pairs):
    rows = [mine[what] for _, mine in pairs]
    ratio = [found["sec"] / r["sec"][0] for (found, _), r in zip(pairs, rows)]
    equal = all({m: x["rank"] for m, x in r["matrices"].items()} == found["ranks"] for (found, _), r in zip(pairs, rows))
    rate = statistics.median(mine["dgemm"]["gflops_per_process"] for _, mine in pairs)
    rival = f"{HOW[how]}, {side.name()}, {options.threads} threads"
    print(f"{what:34} {statistics.median(r['sec'][0] for r in rows):7.2f} s  {rival} "
          f"{statistics.median(found['sec'] for found, _ in pairs):.2f} s  ratio {statistics.median(ratio):.2f} "
          f"({min(ratio):.2f} to {max(ratio):.2f})  ranks {'equal' if equal else 'DIFFER'}  dgemm {rate:.0f} GF/s per process", flush=True)
    target = TARGETS[what][2 if how == "svdvals" else 0 if side.debian else 1]
    text = ROWS[what] if options.scale == 1 else f"{ROWS[what]}, sizes / {options.scale}"
    rivals.write(options.json, {"what": text, "rival": rival, "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio),
                                "target": target if options.scale == 1 else None, "runs": len(ratio), "equal": equal,
                                "sec": [r["sec"][0] for r in rows], "rival_sec": [found["sec"] for found, _ in pairs],
                                "methods": {m: x["method"] for m, x in rows[0]["matrices"].items()},
                                "dgemm_gflops_per_process": rate})
    return equal


def main():
    options = arguments()
    core = subprocess.run([options.against, "--kernels"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    same = True
    with rivals.sides(options, OPENBLAS_CORETYPE=core) as sides:
        for name, matrices, seed in (("layer", LAYER, 0), ("embedding", EMBEDDING, 100)):
            if options.only in (None, name) and sides:
                same = compare(sides, name, matrices, seed, options) and same
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
