#!/usr/bin/python3
"""The rival of delta: the arithmetic of the published sparsity script (arXiv:2505.11711) in torch, on tensors of the same pair.

    rival_pair.py BASE TUNED FOLDER [--against PROGRAM [--processes 2]] [--runs N] [--tensors PREFIX] [--threads 2] [--json FILE]

The script takes the difference of each tensor in bf16, joins all of them, counts the zeros, and asks torch.isclose for each of the
four tolerances of the paper's table 6; per layer it takes the mean over tensors of the share that is not zero. Here it does so with
the tensors whose names begin with PREFIX (default: all layers, without the embeddings), which are in memory before the clock starts;
its rate is that of their bytes. --against takes turns with bench_pair (the path of the program) on the whole pair, whose clock
includes the reading, and says how many times faster it was, from round to round, and whether every count is the same. FOLDER is
bench_pair's for artifacts. JSON lines are appended to FILE.
"""
import argparse
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

TOLERANCES = [1e-8, 1e-7, 1e-6, 1e-5]
TARGET = 100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base")
    parser.add_argument("tuned")
    parser.add_argument("folder")
    parser.add_argument("--against", metavar="PROGRAM")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--tensors", metavar="PREFIX", default="model.layers.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def read_model(torch, folder, prefix):
    """The bf16 tensors of a checkpoint whose names begin with the prefix, in the order of the file, and the parameters of all."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        header.pop("__metadata__", None)
        tensors, parameters = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            first, end = entry["data_offsets"]
            parameters += (end - first) // 2
            if not name.startswith(prefix):
                continue
            assert entry["dtype"] == "BF16", name
            f.seek(8 + length + first)
            tensors[name] = torch.frombuffer(bytearray(f.read(end - first)), dtype=torch.bfloat16).reshape(entry["shape"])
    return tensors, parameters


def script(torch, base, tuned):
    """What the published script computes. Counts for all tensors together, and non-zero elements by tensor."""
    deltas, nonzero, layers = [], {}, {}
    for name, before in base.items():
        delta = tuned[name] - before
        deltas.append(delta.flatten())
        nonzero[name] = int((delta != 0).sum())
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        if layer:
            layers.setdefault(int(layer[1]), []).append(nonzero[name] / delta.numel())
    everything = torch.cat(deltas)
    zeros = int((everything == 0).sum())
    close = [int(torch.isclose(everything, torch.zeros_like(everything), atol=t).sum()) for t in TOLERANCES]
    density = {layer: statistics.fmean(shares) for layer, shares in layers.items()}
    return zeros, close, nonzero, density


def ours(options):
    """One counted run of bench_pair on the whole pair, after one that warms up: its row."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), options.against, options.base, options.tuned,
                        options.folder, "--runs", "1", "--only", "none", "--json", out.name],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        return json.loads(out.readline())


def counts_differ(path, found):
    """Lines on each count of delta's artifact that is not that of the script."""
    import h5py
    zeros, close, nonzero, density = found
    with h5py.File(path) as f:
        tensors = {r["tensor"].decode(): r for r in f["tables/tensors"][()]}
        updated = {(r["tensor"].decode(), float(r["tolerance"])): int(r["updated"])
                   for r in f["tables/tensor_sparsity"][()] if r["criterion"] == b"absolute"}
        layers = {int(r["layer"]): float(r["mean_tensor_density"]) for r in f["tables/layers"][()]}
    complete = {int(t["layer"]) for t in tensors.values()} - {int(t["layer"]) for name, t in tensors.items() if name not in nonzero}
    parameters = sum(int(tensors[name]["parameters"]) for name in nonzero)
    pairs = [(f"{name}: not zero", int(tensors[name]["nonzero"]), n) for name, n in nonzero.items()]
    pairs.append(("zeros", parameters - sum(int(tensors[name]["nonzero"]) for name in nonzero), zeros))
    for t, n in zip(TOLERANCES, close):
        pairs.append((f"close at {t:g}", parameters - sum(updated[name, t] for name in nonzero), n))
    wrong = [f"{what}: {mine}, torch {theirs}" for what, mine, theirs in pairs if mine != theirs]
    return wrong + [f"layer {n}: {layers[n]}, torch {d}" for n, d in density.items()
                    if n in complete and abs(layers[n] - d) > 1e-12]


def main():
    options = arguments()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    # Only now: it reads the environment as it is loaded.
    import torch
    torch.set_num_threads(options.threads)
    base, parameters = read_model(torch, options.base, options.tensors)
    tuned, _ = read_model(torch, options.tuned, options.tensors)
    size = sum(t.numel() for t in base.values())
    if size == 0:
        sys.exit(f"rival_pair: no tensor of {options.base} begins with {options.tensors}")
    seconds, against = [], []
    for _ in range(options.runs):
        started = time.perf_counter()
        found = script(torch, base, tuned)
        seconds.append(time.perf_counter() - started)
        if options.against:
            against.append(ours(options))
    rates = [4e-9 * size / s for s in seconds]
    print(f"torch, script's arithmetic: {statistics.median(rates):.3f} GB/s with {options.threads} threads on {size} of {parameters} "
          f"parameters, " + " ".join(f"{s:.2f} s" for s in seconds), flush=True)
    if not options.against:
        return 0
    wrong = counts_differ(os.path.join(options.folder, "none.h5"), found)
    for line in wrong:
        print(f"rival_pair: counts differ: {line}")
    ratio = [row["gb_per_sec"] / rate for row, rate in zip(against, rates)]
    rate = statistics.median(row["gb_per_sec"] for row in against)
    what, rival = against[0]["what"], f"the published script's arithmetic in torch, {options.threads} threads"
    print(f"{what:34} {rate:7.2f} GB/s  torch {statistics.median(rates):7.3f} GB/s  ratio {statistics.median(ratio):.1f} "
          f"({min(ratio):.1f} to {max(ratio):.1f})  counts {'DIFFER' if wrong else 'equal'}", flush=True)
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": what, "rival": rival, "ratio": statistics.median(ratio), "least": min(ratio),
                                "most": max(ratio), "target": TARGET, "runs": options.runs, "gb_per_sec": rate,
                                "rival_gb_per_sec": statistics.median(rates), "rival_sec": seconds,
                                "rival_parameters": size, "equal": not wrong}) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
