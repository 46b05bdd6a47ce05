#!/usr/bin/python3
"""Each stage on several processes against one: the rival is the same program, alone.

    rival_scaling.py SINEW FOLDER [--processes 2] [--runs N] [--size S] [--overlap PROGRAM] [--json FILE]

A study of one base and four tuned checkpoints (two runs with a step each, so that dynamics has something to follow), with logits, runs
from nothing in FOLDER on one process and on all, in turn. The shorter stages stand in it several times under several names; the time of
each is that between its first and its last line in the run's own log, and they are added up. --size scales the widths of the model;
0.375 takes 6 GB and most of a minute on one process. In the same round three things that are no part of sinew do the same work on
one process and on all: arithmetic, reading a file in memory, writing one. They bound what a stage can gain: what the machine itself does
not do faster on more processes, no stage does. Stages whose nodes take less than a twentieth of a second are too short to tell and have
no target: load, which reads headers, and overlap, which --overlap (the path of bench_overlap) measures on 21 masks of 1e9 bits.
JSON lines are appended to FILE.
"""
import argparse
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import time

TARGET, SHORT_SEC = 1.8, 0.05
LARGE = "overlap of 21 large masks"
# By stage: how often it stands in the study, and its parameters. The first delta is what all others need.
STAGES = {"synth": (1, "scale: {size}, layers: 1, logits: 6144"), "load": (1, "needs: [synth]"), "delta": (6, "needs: [load], {store}"),
          "mask": (6, "needs: [delta]"), "rank": (1, "needs: [delta]"), "overlap": (10, "needs: [mask]"), "dynamics": (2, "needs: [delta]"),
          "token-entropy": (2, "needs: [load]")}
STUDY = """study: scaling
output: "{folder}/results"
cells:
{cells}stages:
{stages}"""
CELL = """  - {{family: mistral-7b, algorithm: grpo, seed: {seed}, {step}base: "{folder}/base", tuned: "{folder}/{name}",
     logits: {{base: "{folder}/base/logits.safetensors", tuned: "{folder}/{name}/logits.safetensors"}}}}
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sinew")
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=float, default=0.375)
    parser.add_argument("--overlap", metavar="PROGRAM")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def write_study(folder, size):
    cells = "".join(CELL.format(folder=folder, seed=seed, name="%d-%s" % (seed, step or "end"),
                                step="step: %d, " % step if step else "") for seed in (0, 1) for step in (4, 0))
    stages = ""
    for kind, (times, parameters) in STAGES.items():
        for i in range(times):
            text = parameters.format(size=size, store="store: %s" % ("none" if i % 2 else "update"))
            stages += "  %s: {kind: %s, %s}\n" % (kind + "-%d" % i if i else kind, kind, text)
    path = os.path.join(folder, "study.yaml")
    with open(path, "w") as f:
        f.write(STUDY.format(folder=folder, cells=cells, stages=stages))
    return path


def run(options, study, processes):
    """Seconds of each kind of stage."""
    log = subprocess.run(["mpirun", "--oversubscribe", "-n", str(processes), options.sinew, "run", study], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    first, last = {}, {}
    for at, name, rest in re.findall(r"(?m)^\[ *([0-9.]+)s\] (\S+) +(.*)$", log):
        if re.search(r"\d+ of \d+ .* to do$", rest):
            first[name] = float(at)
        elif " in " in rest and name in first:
            kind = re.sub(r"-\d+$", "", name)
            last[kind] = last.get(kind, 0) + float(at) - first[name]
    return {kind: max(sec, 0.01) for kind, sec in last.items()}


def large_overlap(options, folder, processes):
    """Seconds of stage overlap on masks of real size."""
    os.makedirs(folder)
    out = os.path.join(folder, "overlap.json")
    subprocess.run(["mpirun", "--oversubscribe", "-n", str(processes), options.overlap, "--masks", "21", "--bits",
                    str(int(1e9 * min(1, options.size / 0.375))), "--runs", "3", "--json", out, "--folder", folder], check=True,
                   stdout=subprocess.DEVNULL)
    with open(out) as f:
        sec = statistics.median(json.load(f)["stage"])
    shutil.rmtree(folder)
    return sec


# ---- what the machine does ----

def compute(_, share):
    x = 1
    for _ in range(int(12000000 * share)):
        x = x * 6364136223846793005 + 1442695040888963407 & 0xffffffffffffffff


def read(folder, share):
    buffer = bytearray(1 << 20)
    with open(os.path.join(folder, "bytes"), "rb", buffering=0) as f:
        for _ in range(int(4096 * share)):
            if f.readinto(buffer) < len(buffer):
                f.seek(0)


def write(folder, share):
    block = os.urandom(1 << 20)
    path = os.path.join(folder, "written.%d" % os.getpid())
    with open(path, "wb", buffering=0) as f:
        for _ in range(int(1024 * share)):
            f.write(block)
    os.remove(path)


def timed(work, folder, share, start, queue):
    start.wait()
    began = time.monotonic()
    work(folder, share)
    queue.put((began, time.monotonic()))


def machine(work, folder, processes):
    """Seconds that the work takes, shared among processes."""
    start, queue = multiprocessing.Barrier(processes), multiprocessing.Queue()
    all_of_them = [multiprocessing.Process(target=timed, args=(work, folder, 1 / processes, start, queue)) for _ in range(processes)]
    for p in all_of_them:
        p.start()
    times = [queue.get() for _ in all_of_them]
    for p in all_of_them:
        p.join()
    return max(end for _, end in times) - min(begin for begin, _ in times)


def main():
    options = arguments()
    folder = os.path.join(os.path.abspath(options.folder), "scaling")
    works = {"arithmetic": compute, "reading memory files": read, "writing memory files": write}
    alone, together = {}, {}
    for _ in range(options.runs):
        for processes, times in ((1, alone), (options.processes, together)):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            for name, sec in run(options, write_study(folder, options.size), processes).items():
                times.setdefault(name, []).append(sec)
            shutil.rmtree(folder)
            if options.overlap:
                times.setdefault(LARGE, []).append(large_overlap(options, folder, processes))
            os.makedirs(folder)
            with open(os.path.join(folder, "bytes"), "wb") as f:
                for _ in range(256):
                    f.write(os.urandom(1 << 20))
            for name, work in works.items():
                times.setdefault(name, []).append(machine(work, folder, processes))
    shutil.rmtree(folder)
    for name in [*STAGES, *([LARGE] if options.overlap else []), *works]:
        ratio = [a / b for a, b in zip(alone[name], together[name])]
        short = name in STAGES and statistics.median(alone[name]) < SHORT_SEC * STAGES[name][0]
        what = ("" if name in works else "stage ") + name
        print(f"scaling: {what:28} {statistics.median(alone[name]):7.2f} s, on {options.processes} processes "
              f"{statistics.median(together[name]):7.2f} s: {statistics.median(ratio):.2f} x ({min(ratio):.2f} to {max(ratio):.2f})"
              + (", too short to tell" if short else ""), flush=True)
        if options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps({"what": f"{what}, {options.processes} processes", "rival": "1 process",
                                    "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio),
                                    "target": None if short or name in works else TARGET, "runs": options.runs,
                                    "alone_sec": alone[name], "together_sec": together[name]}) + "\n")


if __name__ == "__main__":
    main()
