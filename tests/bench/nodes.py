#!/usr/bin/python3
"""What a node of a study costs beside its work, at the most: the demo study, whose 1000 nodes are tiny.

    nodes.py SINEW FOLDER [--processes 2] [--runs N] [--json FILE]

Runs configs/demo.yaml in FOLDER from nothing, its report without figures and page, and divides the wall time, as the run's own log
has it, by the nodes that ran. All that the nodes do is in it (simulating 150 checkpoints, 140 comparisons, 3000 singular value
decompositions, and the archive), so the overhead is less. Process time, user and system over all processes and mpirun, stands beside
it: it tells a busy machine from a slow program. A second run, in which nothing is left to do, gives the start: mpirun, MPI_Init, and
finding out that all is fresh. The row's rival is 5 ms a node. JSON lines are appended to FILE.
"""
import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RIVAL_MS, TARGET = 5, 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sinew")
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def write_study(folder):
    with open(os.path.join(ROOT, "configs", "demo.yaml")) as f:
        text = f.read()
    text, outputs = re.subn(r"(?m)^output:.*$", "output: %s" % os.path.join(folder, "results"), text)
    text, reports = re.subn(r"report: *\{", "report: {figures: false, html: false, ", text)
    assert (outputs, reports) == (1, 1), "configs/demo.yaml is not as it was"
    path = os.path.join(folder, "demo.yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


def run(options, study):
    """Its log, its wall time and its process time, in seconds."""
    environment = dict(os.environ, SINEW_DEMO=os.path.join(options.folder, "checkpoints"))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(["mpirun", "--oversubscribe", "-n", str(options.processes), options.sinew, "run", study],
                          check=True, stdout=subprocess.PIPE, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, time.monotonic() - started, used


def stages(log):
    """Seconds of each stage, by the times of its first and last line."""
    first, last = {}, {}
    for at, name, rest in re.findall(r"(?m)^\[ *([0-9.]+)s\] (\S+) +(.*)$", log):
        if re.search(r"\d+ of \d+ .* to do$", rest):
            first[name] = float(at)
        elif " in " in rest and name in first:
            last[name] = float(at) - first[name]
    return last


def main():
    options = arguments()
    options.folder = os.path.join(os.path.abspath(options.folder), "nodes")
    wall, cpu, start, by_stage, nodes = [], [], [], {}, 0
    for _ in range(options.runs):
        shutil.rmtree(options.folder, ignore_errors=True)
        os.makedirs(options.folder)
        study = write_study(options.folder)
        log, _, used = run(options, study)
        at, ran = re.search(r"(?m)^\[ *([0-9.]+)s\] done: (\d+) nodes ran", log).groups()
        nodes = int(ran)
        wall.append(float(at) * 1e3 / nodes)
        cpu.append(used * 1e3 / nodes)
        for name, sec in stages(log).items():
            by_stage.setdefault(name, []).append(sec)
        log, sec, _ = run(options, study)
        assert "nothing to do" in log, log
        start.append(sec)
    shutil.rmtree(options.folder)
    ratio = [RIVAL_MS / ms for ms in wall]
    print(f"nodes: {nodes} nodes on {options.processes} processes: {statistics.median(wall):.2f} ms a node "
          f"({min(wall):.2f} to {max(wall):.2f}), {statistics.median(cpu):.2f} ms of process time; "
          f"start with nothing to do {statistics.median(start):.2f} s")
    print("nodes: seconds by stage: " + ", ".join(f"{name} {statistics.median(x):.2f}" for name, x in by_stage.items()))
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": "per-node overhead, demo study", "rival": f"{RIVAL_MS} ms",
                                "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio), "target": TARGET,
                                "runs": options.runs, "ms_per_node": wall, "cpu_ms_per_node": cpu, "nodes": nodes,
                                "start_sec": start, "stage_sec": by_stage}) + "\n")


if __name__ == "__main__":
    main()
