#!/usr/bin/python3
"""What a node of a study costs beside its work, at the most: the demo study, whose 1000 nodes are tiny.

    nodes.py SINEW FOLDER [--processes 2] [--runs N] [--json FILE]

Runs configs/demo.yaml in FOLDER from nothing, its report without figures and page, and divides the wall time, as the run's own log
has it, by the nodes that ran. All that the nodes do is in it (simulating 150 checkpoints, 140 comparisons, 3000 singular value
decompositions, and the archive), so the overhead is less. Process time, user and system over all processes and mpirun, stands beside
it: it tells a busy machine from a slow program. A second run, in which nothing is left to do, gives the start: mpirun, MPI_Init, and
finding out that all is fresh. The row's rival is 5 ms a node. A second row holds the run's wall time against what its processes had to do,
as the log tells of each stage, archive and report, divided among them: what lacks to 1 is time in which a process waited for others.
JSON lines are appended to FILE.
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
PATH_TARGET = 0.8


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


LAST_LINE = r"(?m)^\[ *([0-9.]+)s\] (\S+) +\d+ \w+ in .*\(a process: min [0-9.]+, mean ([0-9.]+), max ([0-9.]+) s\)"


def stages(log, processes):
    """Seconds that all processes together were at work in each stage, archive and report included, by the run's own log. Of these two,
    which one process does while the others wait, those of one."""
    work, last = {}, 0
    for at, name, mean, most in re.findall(LAST_LINE, log):
        work[name] = float(most) if name == "report" else float(mean) * processes
        last = last if name == "report" else max(last, float(at))
    work["archive"] = float(re.search(r"(?m)^\[ *([0-9.]+)s\] archive ", log).group(1)) - last
    return work


def main():
    options = arguments()
    options.folder = os.path.join(os.path.abspath(options.folder), "nodes")
    wall, cpu, start, path, by_stage, nodes = [], [], [], [], {}, 0
    for _ in range(options.runs):
        shutil.rmtree(options.folder, ignore_errors=True)
        os.makedirs(options.folder)
        study = write_study(options.folder)
        log, _, used = run(options, study)
        at, ran = re.search(r"(?m)^\[ *([0-9.]+)s\] done: (\d+) nodes ran", log).groups()
        nodes = int(ran)
        wall.append(float(at) * 1e3 / nodes)
        cpu.append(used * 1e3 / nodes)
        work = stages(log, options.processes)
        for name, sec in work.items():
            by_stage.setdefault(name, []).append(sec)
        path.append(sum(work.values()) / options.processes / float(at))
        log, sec, _ = run(options, study)
        assert "nothing to do" in log, log
        start.append(sec)
    shutil.rmtree(options.folder)
    ratio = [RIVAL_MS / ms for ms in wall]
    print(f"nodes: {nodes} nodes on {options.processes} processes: {statistics.median(wall):.2f} ms a node "
          f"({min(wall):.2f} to {max(wall):.2f}), {statistics.median(cpu):.2f} ms of process time; "
          f"start with nothing to do {statistics.median(start):.2f} s")
    print(f"nodes: work of all stages / processes over wall time: {statistics.median(path):.2f} ({min(path):.2f} to {max(path):.2f})")
    print("nodes: seconds of work by stage: " + ", ".join(f"{name} {statistics.median(x):.2f}" for name, x in by_stage.items()))
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps({"what": "per-node overhead, demo study", "rival": f"{RIVAL_MS} ms",
                                "ratio": statistics.median(ratio), "least": min(ratio), "most": max(ratio), "target": TARGET,
                                "runs": options.runs, "ms_per_node": wall, "cpu_ms_per_node": cpu, "nodes": nodes,
                                "start_sec": start, "stage_sec": by_stage}) + "\n")
            f.write(json.dumps({"what": "the demo study as a whole", "rival": "its work / processes", "ratio": statistics.median(path),
                                "least": min(path), "most": max(path), "target": PATH_TARGET, "runs": options.runs}) + "\n")


if __name__ == "__main__":
    main()
