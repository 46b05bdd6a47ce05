#!/usr/bin/python3
"""Peak memory of each process from load to overlap, at checkpoints of 1 GB and of 8 GB.

    memory.py SINEW FOLDER [--gigabytes 1 8] [--processes 2] [--json FILE]

For each size a base and its tuned checkpoints (three of 1 GB, two of 8 GB: overlap wants two) are simulated in FOLDER, which should be
on a disk: 26 GB for the larger size, which is left out with a line that says so where there is less. Then `sinew run` does load,
delta (with the update stored), mask and overlap in one go, with the default settings, in a process under this script's eye for each
MPI process. What counts is the peak resident set that the kernel reports for it (ru_maxrss): its own memory, and the pages it
touched of shared libraries, of MPI's shared memory and of mapped files, which its neighbours count too. The rival is the published
script: 20 bytes per parameter in one process, however much memory that takes. JSON lines are appended to FILE.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

TARGET_MIB, SCRIPT_BYTES = 256, 20
MIB = 1 << 20
# By nominal size: family, layers kept, seeds. True widths.
SIZES = {1: ("llama-3.2-1b", 4, 3), 8: ("mistral-7b", 18, 2)}
# Two simulated steps: about an eighth of the bits change, and the data are there sooner.
STUDY = """study: memory
output: "{folder}/{output}"
matrix:
  families: [{family}]
  algorithms: [grpo]
  seeds: {seeds}
  base: "{folder}/models/base"
  tuned: "{folder}/models/seed-{{seed}}"
stages:
  {stages}
"""
SYNTH = "synth: {scale: 1, layers: %d, steps: 2}"
STAGES = """load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  overlap: {needs: [mask]}"""


def watch(out, command):
    """Runs the command as this process's only child and writes its peak to OUT.ME."""
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    with open("%s.%s" % (out, os.environ.get("OMPI_COMM_WORLD_RANK", "0")), "w") as f:
        f.write("%d\n" % (usage.ru_maxrss * 1024))
    return os.waitstatus_to_exitcode(status)


def write_study(path, folder, size, output, stages):
    family, _, seeds = SIZES[size]
    with open(path, "w") as f:
        f.write(STUDY.format(folder=folder, output=output, family=family, seeds=list(range(seeds)), stages=stages))
    return path


def measure(options, size):
    """One size: data, run, row. Returns the row, or None where there is no room for the data."""
    folder = os.path.join(os.path.abspath(options.folder), "memory")
    _, layers, seeds = SIZES[size]
    need = 1.1e9 * size * (seeds + 1)
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < need:
        print("memory: the %d GB row is left out: it needs %.0f GB in %s, and %.0f GB are free" %
              (size, need / 1e9, folder, free / 1e9), flush=True)
        return None
    mpirun = ["mpirun", "--oversubscribe", "-n", str(options.processes)]
    try:
        started = time.monotonic()
        data = write_study(os.path.join(folder, "data.yaml"), folder, size, "data", SYNTH % layers)
        subprocess.run(mpirun + [options.sinew, "run", data, "-q"], check=True)
        made = time.monotonic()
        model = os.path.getsize(os.path.join(folder, "models", "base", "model.safetensors"))
        study = write_study(os.path.join(folder, "study.yaml"), folder, size, "results", STAGES)
        out = os.path.join(folder, "peak")
        subprocess.run(mpirun + [sys.executable, os.path.abspath(__file__), "--watch", out, options.sinew, "run", study, "-q"],
                       check=True)
        ended = time.monotonic()
        peaks = []
        for me in range(options.processes):
            with open("%s.%d" % (out, me)) as f:
                peaks.append(int(f.read()) / MIB)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rival = SCRIPT_BYTES * (model / 2) / MIB
    what = "peak memory of a process, delta to overlap, %d x %.2f GB" % (seeds + 1, model / 1e9)
    print("%s: %s MiB; the published script's %d bytes per parameter are %.0f MiB, %.0f times as much; data made in %.0f s, run in "
          "%.0f s" % (what, ", ".join("%.0f" % p for p in peaks), SCRIPT_BYTES, rival, rival / max(peaks), made - started,
                      ended - made), flush=True)
    return {"what": what, "rival": "published script, %d bytes per parameter: %.0f MiB" % (SCRIPT_BYTES, rival), "unit": "MiB",
            "better": "less", "ratio": max(peaks), "least": min(peaks), "most": max(peaks), "target": TARGET_MIB, "runs": 1,
            "rival_mib": rival, "peak_mib": peaks, "mean_mib": statistics.fmean(peaks), "checkpoint_bytes": model,
            "data_sec": made - started, "run_sec": ended - made}


def main():
    if sys.argv[1:2] == ["--watch"]:
        return watch(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sinew")
    parser.add_argument("folder")
    parser.add_argument("--gigabytes", type=int, nargs="+", choices=sorted(SIZES), default=sorted(SIZES))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    for size in options.gigabytes:
        row = measure(options, size)
        if row and options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
