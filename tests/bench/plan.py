#!/usr/bin/python3
"""Plan against reality: ten studies of different size and shape, planned with a machine that was measured right before, then run.

    plan.py SINEW FOLDER [--by wall|processor] [--runs N] [--only NAME...] [--machine FILE] [--json FILE]

`sinew plan --calibrate` measures this machine with one process; the studies' checkpoints are simulated in FOLDER (3 GB, on a disk); then each
study is planned from its headers and run, three times, with one or two processes. Of each the ratio of real to planned is told: its
time, and the largest resident set of a process (ru_maxrss) beside what was planned for it, each the median of the runs. Targets: time
within a factor of 1.5 in nine of ten, memory within 1.2. `--by wall` (the default) wants a quiet machine; `--by processor` takes
processor time instead, user and system, of which a process that waits for another uses as much as it waits: on a machine that others
use, too.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

HEAD = """study: {name}
output: "{folder}/{name}/out"
memory_per_process: 2 GiB
matrix:
  families: [{families}]
  algorithms: [{algorithms}]
  seeds: {seeds}
  base: "{folder}/{data}/{{family}}/base"
  tuned: "{folder}/{data}/{{family}}/{{algorithm}}-{{seed}}"
{logits}stages:
"""
LOGITS = """  logits:
    base: "{folder}/{data}/{{family}}/base/logits.safetensors"
    tuned: "{folder}/{data}/{{family}}/{{algorithm}}-{{seed}}/logits.safetensors"
"""
ALL = {"load": "{}", "delta": "{needs: [load]}", "mask": "{needs: [delta]}", "rank": "{needs: [delta]}", "overlap": "{needs: [mask]}",
       "report": "{needs: [mask, rank, overlap]}"}


def stages(*names, **more):
    return {name: more.get(name, ALL[name]) for name in names} | {name: body for name, body in more.items() if name not in names}


# Simulated checkpoints: families, algorithms, seeds, and synth's own keys.
DATA = {
    "tiny": ("tulu-3-8b, qwen2.5-1.5b, deepseek-v3, eurus-7b", "ppo, dpo, kto", [0, 1], "scale: 0.015625, layers: 4, logits: 64"),
    "cells": ("llama-3-8b", "ppo, grpo, dpo, simpo, kto, orpo, prime", [0, 1, 2], "scale: 0.0625, layers: 4"),
    "pair": ("llama-3-8b", "grpo", [0], "scale: 0.5, layers: 3"),
    "matrices": ("deepseek-math-7b", "dpo", [0], "scale: 0.375, layers: 3"),
    "tokens": ("mistral-7b", "ppo", [0, 1], "scale: 0.5, layers: 1, logits: 3000"),
}
# name: data, processes, stages
STUDIES = {
    "tiny": ("tiny", 1, ALL | {"token-entropy": "{needs: [load]}", "report": "{needs: [mask, rank, overlap, token-entropy]}"}),
    "tiny-2": ("tiny", 2, ALL | {"token-entropy": "{needs: [load]}", "report": "{needs: [mask, rank, overlap, token-entropy]}"}),
    "cells": ("cells", 1, stages("load", "delta", "mask", "overlap")),
    "pair": ("pair", 1, stages("load", "delta", "mask")),
    "pair-2": ("pair", 2, stages("load", "delta", "mask")),
    "pair-f32": ("pair", 1, stages("load", delta="{needs: [load], arithmetic: f32, store: none}")),
    "matrices": ("matrices", 1, stages("load", "delta", "rank")),
    "counted": ("matrices", 2, stages("load", "delta", rank="{needs: [delta], spectrum: none}")),
    "tokens": ("tokens", 1, stages("load", **{"token-entropy": "{needs: [load]}"})),
    "fp8": ("fp8", 1, stages("load", "delta", "mask")),
}
FACTOR, MEMORY = 1.5, 1.2


def study_text(folder, name, data, body):
    families, algorithms, seeds, keys = DATA.get(data, ("f", "a", [0], ""))
    logits = LOGITS.format(folder=folder, data=data) if "logits" in keys else ""
    text = HEAD.format(folder=folder, name=name, data=data, families=families, algorithms=algorithms, seeds=seeds, logits=logits)
    return text + "".join("  %s: %s\n" % (node, keys) for node, keys in body.items())


def write_safetensors(path, tensors):
    """tensors: name: (dtype, shape, bytes)."""
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for _, _, data in tensors.values():
            f.write(data)


def make_fp8(folder):
    """A pair of F8_E4M3 with a scale for each 128 x 128 block, a twentieth of the codes changed."""
    rng = np.random.default_rng(1)
    rows, cols, layers = 4096, 4096, 6
    for side in ("base", "a-0"):
        tensors = {}
        for layer in range(layers):
            codes = np.random.default_rng(layer).integers(1, 120, (rows, cols), dtype=np.uint8)
            if side != "base":
                codes ^= (rng.random((rows, cols)) < 0.05).astype(np.uint8)
            name = "model.layers.%d.mlp.up_proj.weight" % layer
            scales = np.full((rows // 128, cols // 128), 0.001, np.float32)
            tensors[name] = ("F8_E4M3", [rows, cols], codes.tobytes())
            tensors[name + "_scale_inv"] = ("F32", list(scales.shape), scales.tobytes())
        write_safetensors(os.path.join(folder, "fp8", "f", side, "model.safetensors"), tensors)
        with open(os.path.join(folder, "fp8", "f", side, "config.json"), "w") as f:
            json.dump({"num_hidden_layers": layers, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, f)


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


def make_data(options, needed):
    for name in needed:
        if name == "fp8":
            make_fp8(options.folder)
            continue
        body = {"synth": "{steps: 8, %s}" % DATA[name][3]}
        path = put(os.path.join(options.folder, "data-%s.yaml" % name), study_text(options.folder, "data-" + name, name, body))
        subprocess.run([options.sinew, "run", path, "-q"], check=True)


def forget(folder):
    """Asks the system to keep nothing of the checkpoints in memory."""
    os.sync()
    for where, _, files in os.walk(folder):
        for name in files:
            fd = os.open(os.path.join(where, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def watch(out, command):
    """Runs the command as this process's only child; its peak, and its processor time, go to OUT.ME."""
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    with open("%s.%s" % (out, os.environ.get("OMPI_COMM_WORLD_RANK", "0")), "w") as f:
        json.dump([usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime], f)
    return os.waitstatus_to_exitcode(status)


def measure(options, name, machine):
    """The medians of all runs."""
    rows = [run(options, name, machine) for _ in range(options.runs)]
    return rows[0] | {key: statistics.median(row[key] for row in rows) for key in ("wall", "processor", "peak")}


def run(options, name, machine):
    data, processes, body = STUDIES[name]
    folder = os.path.join(options.folder, "run-" + name)
    shutil.rmtree(folder, ignore_errors=True)
    path = put(os.path.join(folder, "study.yaml"), study_text(options.folder, "run-" + name, data, body))
    plan = json.loads(subprocess.run([options.sinew, "plan", path, "--json", "--machine", machine, "--processes", str(processes)],
                                     check=True, stdout=subprocess.PIPE, text=True).stdout)[0]
    if plan["unknown"]:
        raise SystemExit("%s: %d nodes could not be planned" % (name, plan["unknown"]))
    forget(os.path.join(options.folder, data))
    out = os.path.join(folder, "watched")
    command = [sys.executable, os.path.abspath(__file__), "--watch", out, options.sinew, "run", path, "-q", "--machine", machine]
    started = time.monotonic()
    subprocess.run(command if processes == 1 else ["mpirun", "--oversubscribe", "-n", str(processes)] + command, check=True)
    wall = time.monotonic() - started
    peaks, worked = [], []
    for me in range(processes):
        with open("%s.%d" % (out, me)) as f:
            peak, sec = json.load(f)
        peaks.append(peak)
        worked.append(sec)
    shutil.rmtree(folder)
    return {"study": name, "processes": processes, "wall": wall, "processor": sum(worked), "planned_wall": plan["seconds"],
            "planned_processor": plan["processor_seconds"],
            "peak": max(peaks), "planned_peak": plan["memory_per_process"]}


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--watch":
        return watch(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sinew")
    parser.add_argument("folder")
    parser.add_argument("--by", choices=("wall", "processor"), default="wall")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(STUDIES), default=list(STUDIES))
    parser.add_argument("--machine", metavar="FILE", help="rates that were measured before; not measured anew then")
    parser.add_argument("--keep", action="store_true", help="the data, which are not made anew where they are")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    options.folder = os.path.join(os.path.abspath(options.folder), "plan")
    options.sinew = os.path.abspath(options.sinew)
    needed = {STUDIES[name][0] for name in options.only}
    make_data(options, sorted(d for d in needed if not os.path.isdir(os.path.join(options.folder, d))))
    machine = options.machine or os.path.join(options.folder, "machine.yaml")
    if not options.machine:
        name = options.only[0]
        path = put(os.path.join(options.folder, "calibration", "study.yaml"), study_text(options.folder, "calibration", STUDIES[name][0], STUDIES[name][2]))
        started = time.monotonic()
        subprocess.run([options.sinew, "plan", path, "-q", "--calibrate", "--machine", machine], check=True, stdout=subprocess.DEVNULL)
        print("plan: calibrated in %.0f s" % (time.monotonic() - started))
    met = fits = 0
    print("%-10s %2s %9s %9s %6s %11s %9s %6s %9s %9s %6s" % ("study", "np", "wall", "planned", "ratio", "processor", "planned", "ratio", "peak MB",
                                                             "planned", "ratio"))
    for name in options.only:
        row = measure(options, name, machine)
        ratio = {by: row[by] / row["planned_" + by] for by in ("wall", "processor", "peak")}
        met += 1 / FACTOR <= ratio[options.by] <= FACTOR
        fits += 1 / MEMORY <= ratio["peak"] <= MEMORY
        print("%-10s %2d %9.2f %9.2f %6.2f %11.2f %9.2f %6.2f %9.1f %9.1f %6.2f" % (
            name, row["processes"], row["wall"], row["planned_wall"], ratio["wall"], row["processor"], row["planned_processor"],
            ratio["processor"], row["peak"] / 1e6, row["planned_peak"] / 1e6, ratio["peak"]), flush=True)
        if options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps(row) + "\n")
    n = len(options.only)
    print("plan: time within a factor of %.1f (by %s) in %d of %d, peak memory within %.1f in %d of %d" %
          (FACTOR, options.by, met, n, MEMORY, fits, n))
    if not options.keep:
        shutil.rmtree(options.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
