#!/usr/bin/python3
"""Each stage on several processes against one: the rival is the same program, alone.

    rival_scaling.py SINEW FOLDER [--processes 2] [--runs N] [--size S] [--overlap PROGRAM] [--json FILE]

A study of one base and four tuned checkpoints (two runs with a step each, so that dynamics has something to follow), with logits, runs
from nothing in FOLDER on one process and on all, in turn. The shorter stages stand in it several times under several names; the time of
each is that of the process which had most work in it, by the run's own log, and they are added up. --size scales the widths of the model;
0.375 takes 6 GB and most of a minute on one process. Stages whose nodes take less than a twentieth of a second are too short to tell and
have no target: load, which reads headers, and overlap, which --overlap (the path of bench_overlap) measures on 21 masks of 1e9 bits.

Two things bound what a stage can gain, and are measured in the same round. As many runs of one process each as there are processes, side
by side, each with a folder of its own: they share nothing but the machine, so what they do in the time of one that is alone is what the
machine gives to that stage. (A stage can gain more than that, where the runs' larger data no longer fit a cache.) And three things that
are no part of sinew, on one process and on all: arithmetic, reading a file in memory, writing one. Side by side needs room for every
run's folder and is left out where there is none. JSON lines are appended to FILE.
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


def mpi(processes, *command):
    """The command, begun; runs side by side must not be bound to one core."""
    return subprocess.Popen(["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(processes), *command], stdout=subprocess.PIPE,
                            text=True)


def output(process):
    log = process.communicate()[0]
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return log


def stage_seconds(log):
    """Of each kind of stage: stages run beside each other, so it is what the process was at work in it that had most of it."""
    most = {}
    for name, sec in re.findall(r"(?m)^\[ *[0-9.]+s\] (\S+) +\d+ \w+ in .*\(a process: .* max ([0-9.]+) s\)", log):
        kind = re.sub(r"-\d+$", "", name)
        most[kind] = most.get(kind, 0) + float(sec)
    return {kind: max(sec, 0.01) for kind, sec in most.items()}


def studies(options, folders, processes):
    """Seconds of each kind of stage, of a run in each folder, all at the same time; bytes of one of them."""
    begun = [mpi(processes, options.sinew, "run", write_study(folder, options.size)) for folder in folders]
    seconds = [stage_seconds(output(p)) for p in begun]
    taken = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folders[0]) for name in names)
    return {kind: statistics.mean(s[kind] for s in seconds) for kind in seconds[0]}, taken


def large_overlap(options, folders, processes):
    """Seconds of stage overlap on masks of real size, of a run in each folder, all at the same time."""
    bits = str(int(1e9 * min(1, options.size / 0.375)))
    results = [os.path.join(folder, "overlap.json") for folder in folders]
    begun = [mpi(processes, options.overlap, "--masks", "21", "--bits", bits, "--runs", "3", "--json", result, "--folder", folder)
             for folder, result in zip(folders, results)]
    seconds = []
    for process, result in zip(begun, results):
        output(process)
        with open(result) as f:
            seconds.append(statistics.median(json.load(f)["stage"]))
    return {LARGE: statistics.mean(seconds)}


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


def room_for(folder, size):
    """Is there room for so many bytes, in the folder and in memory, where it may be?"""
    with open("/proc/meminfo") as f:
        available = int(re.search(r"MemAvailable: *(\d+)", f.read()).group(1)) * 1024
    return min(available, shutil.disk_usage(folder).free) > size + (2 << 30)


def fresh(folder, runs):
    """An empty folder for each run."""
    shutil.rmtree(folder, ignore_errors=True)
    folders = [os.path.join(folder, str(i)) for i in range(runs)]
    for path in folders:
        os.makedirs(path)
    return folders


def measure(options, folder, works):
    """Of every round, by what is measured: seconds on one process, on all, and of runs side by side."""
    alone, together, beside = {}, {}, {}

    def note(times, found):
        for name, sec in found.items():
            times.setdefault(name, []).append(sec)

    for _ in range(options.runs):
        for processes, runs, times in ((1, 1, alone), (options.processes, 1, together), (1, options.processes, beside)):
            folders = fresh(folder, runs)
            if times is beside and not room_for(folder, runs * taken):
                print(f"scaling: no room for {runs} runs side by side, {runs * taken / 1e9:.0f} GB in {folder}", flush=True)
                continue
            found, taken = studies(options, folders, processes)
            note(times, found)
            if options.overlap:
                note(times, large_overlap(options, fresh(folder, runs), processes))
            if times is beside:
                continue
            fresh(folder, 0)
            os.makedirs(folder)
            with open(os.path.join(folder, "bytes"), "wb") as f:
                for _ in range(256):
                    f.write(os.urandom(1 << 20))
            note(times, {name: machine(work, folder, processes) for name, work in works.items()})
    shutil.rmtree(folder, ignore_errors=True)
    return alone, together, beside


def report(options, what, rival, before, after, factor, target, remark):
    """One comparison: factor * before / after, a run at a time."""
    ratio = [factor * a / b for a, b in zip(before, after)]
    print(f"scaling: {what:48} {statistics.median(before):7.2f} s, {statistics.median(after):7.2f} s: {statistics.median(ratio):.2f} x "
          f"({min(ratio):.2f} to {max(ratio):.2f}){remark}", flush=True)
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": what, "rival": rival, "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio),
                                "target": target, "runs": len(ratio), "alone_sec": before, "together_sec": after}) + "\n")


def main():
    options = arguments()
    folder = os.path.join(os.path.abspath(options.folder), "scaling")
    works = {"arithmetic": compute, "reading memory files": read, "writing memory files": write}
    alone, together, beside = measure(options, folder, works)
    n = options.processes
    for name in [*STAGES, *([LARGE] if options.overlap else []), *works]:
        short = name in STAGES and statistics.median(alone[name]) < SHORT_SEC * STAGES[name][0]
        what = ("" if name in works else "stage ") + name
        report(options, f"{what}, {n} processes", "1 process", alone[name], together[name], 1, None if short or name in works else TARGET,
               ", too short to tell" if short else "")
        if name in beside and not short:
            report(options, f"{what}, {n} runs side by side", "the same runs one after another", alone[name], beside[name], n, None, "")


if __name__ == "__main__":
    main()
