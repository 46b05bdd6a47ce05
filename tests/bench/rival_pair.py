#!/usr/bin/python3
"""The rivals of delta in torch, on tensors of the same pair: the arithmetic of the published sparsity script (arXiv:2505.11711), and the
best loop that counts as little as can be asked for.

    rival_pair.py BASE TUNED FOLDER --against PROGRAM [--python PYTHON]... [--processes 2] [--runs N] [--tensors PREFIX] [--threads N]
                  [--json FILE]

The script takes the difference of each tensor in bf16, joins all of them, counts the zeros, and asks torch.isclose for each of the
four tolerances of the paper's table 6; per layer it takes the mean over tensors of the share that is not zero. Here it does so with
the tensors whose names begin with PREFIX (default: all layers, without the embeddings), which are in memory before the clock starts;
its rate is that of their bytes. The loop goes over both files, which it reads, in pieces, and counts of each what is not zero and what
is beyond one tolerance; it is the quickest, in a trial, of mapped files and files read into two buffers, of pieces of four sizes, and,
in a row of its own, compiled by torch.compile. Debian's torch, and that of each PYTHON, take turns with bench_pair (the path of the
program) on the whole pair, whose clock includes the reading; a line per row says how many times faster that was, and whether every
count is the same. FOLDER is bench_pair's for artifacts. JSON lines are appended to FILE. Exit status 1 where counts differ.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import rivals

TOLERANCES = [1e-8, 1e-7, 1e-6, 1e-5]
PIECES = {"eager": [1 << 16, 1 << 18, 1 << 20, 1 << 22], "compiled": [1 << 14, 1 << 16, 1 << 18, 1 << 20]}  # parameters
TARGETS = {"script": 100, "eager": 10, "compiled": 10}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("tuned")
    parser.add_argument("folder")
    parser.add_argument("--against", metavar="PROGRAM", required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--tensors", metavar="PREFIX", default="model.layers.")
    parser.add_argument("--json", metavar="FILE")
    rivals.add_arguments(parser)
    return parser.parse_args()


def ours(options):
    """One counted run of bench_pair on the whole pair, after one that warms up: its row."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), options.against, options.base, options.tuned,
                        options.folder, "--runs", "1", "--only", "none", "--json", out.name],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        return json.loads(out.readline())


def artifact(options):
    """Rows of delta's artifact: tensors by name, updated elements by name and tolerance, mean density by layer."""
    import h5py
    with h5py.File(os.path.join(options.folder, "none.h5")) as f:
        tensors = {r["tensor"].decode(): r for r in f["tables/tensors"][()]}
        updated = {(r["tensor"].decode(), float(r["tolerance"])): int(r["updated"])
                   for r in f["tables/tensor_sparsity"][()] if r["criterion"] == b"absolute"}
        layers = {int(r["layer"]): float(r["mean_tensor_density"]) for r in f["tables/layers"][()]}
    return tensors, updated, layers


def script_differs(made, found):
    """Lines on each count of delta's artifact that is not that of the script."""
    tensors, updated, layers = made
    nonzero = found["nonzero"]
    complete = {int(t["layer"]) for t in tensors.values()} - {int(t["layer"]) for name, t in tensors.items() if name not in nonzero}
    parameters = sum(int(tensors[name]["parameters"]) for name in nonzero)
    pairs = [(f"{name}: not zero", int(tensors[name]["nonzero"]), n) for name, n in nonzero.items()]
    pairs.append(("zeros", parameters - sum(int(tensors[name]["nonzero"]) for name in nonzero), found["zeros"]))
    for t, n in zip(TOLERANCES, found["close"]):
        pairs.append((f"close at {t:g}", parameters - sum(updated[name, t] for name in nonzero), n))
    wrong = [f"{what}: {mine}, torch {theirs}" for what, mine, theirs in pairs if mine != theirs]
    return wrong + [f"layer {n}: {layers[n]}, torch {d}" for n, d in found["density"] if n in complete and abs(layers[n] - d) > 1e-12]


def loop_differs(made, found):
    tensors, updated, _ = made
    wrong = [f"{name}: not zero: {int(tensors[name]['nonzero'])}, torch {n}" for name, n in found["nonzero"].items()
             if int(tensors[name]["nonzero"]) != n]
    beyond = sum(updated[name, TOLERANCES[-1]] for name in found["nonzero"])
    return wrong + ([f"beyond {TOLERANCES[-1]:g}: {beyond}, torch {found['beyond']}"] if beyond != found["beyond"] else [])


def prepare(options, side):
    """The rows of a torch: kind, and how the table names it."""
    size = side.ask("pair_load", base=options.base, tuned=options.tuned, prefix=options.tensors)["parameters"]
    if size == 0:
        sys.exit(f"rival_pair: no tensor of {options.base} begins with {options.tensors}")
    kinds = {"script": f"the published script's arithmetic in {side.name()}, {options.threads} threads"}
    for how in side.forms():
        with rivals.left_out(f"loop, {how}"):
            best = side.ask("loop_choose", how=how, chunks=PIECES[how])
            print(f"{side.name()}, {how} loop, GB/s by pieces: "
                  + ", ".join(f"{way}: {4e-9 * rate:.2f}" for way, rate in best["tried"].items()), flush=True)
            kinds[how] = (f"the best {how} loop in {side.name()}, {options.threads} threads: files {best['reading']}, "
                          f"{best['chunk']} parameters at once, reading included")
    return size, kinds


def run(side, kind, size):
    """Bytes a second of one run, and what was found."""
    found = side.ask("pair_script") if kind == "script" else side.ask("loop_run", how=kind)
    return 4e-9 * (size if kind == "script" else found["parameters"]) / found["sec"], found


def row(options, rival, kind, size, pairs, what, wrong):
    ratio = [mine["gb_per_sec"] / rate for rate, mine in pairs]
    rate, theirs = statistics.median(mine["gb_per_sec"] for _, mine in pairs), statistics.median(rate for rate, _ in pairs)
    print(f"{what:34} {rate:7.2f} GB/s  {rival} {theirs:7.3f} GB/s  ratio {statistics.median(ratio):.1f} "
          f"({min(ratio):.1f} to {max(ratio):.1f})  counts {'DIFFER' if wrong else 'equal'}", flush=True)
    rivals.write(options.json, {"what": what, "rival": rival, "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio),
                                "target": TARGETS[kind], "runs": len(ratio), "gb_per_sec": rate, "rival_gb_per_sec": theirs,
                                "rival_script_parameters": size, "equal": not wrong})


def main():
    options = arguments()
    wrong = []
    with rivals.sides(options) as sides:
        for side in sides:  # one after the other: each has the pair in memory
            with rivals.left_out("delta"):
                size, kinds = prepare(options, side)
                pairs, differ, what = {}, {}, ""
                for _ in range(options.runs):
                    for kind in kinds:
                        mine = ours(options)
                        what = mine["what"]
                        rate, found = run(side, kind, size)
                        pairs.setdefault(kind, []).append((rate, mine))
                        differ[kind] = (script_differs if kind == "script" else loop_differs)(artifact(options), found)
                for kind, rival in kinds.items():
                    for line in differ[kind]:
                        print(f"rival_pair: counts differ: {line}")
                    row(options, rival, kind, size, pairs[kind], what, differ[kind])
                    wrong += differ[kind]
                side.ask("forget")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
