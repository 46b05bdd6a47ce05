#!/usr/bin/python3
"""A study of as many cells as one asks for, and what its report costs.

    many.py SINEW FOLDER [--families 20] [--algorithms 5] [--seeds 20] [--steps 0] [--processes 2] [--json FILE]

Writes FOLDER/study.yaml, whose cells stage synth makes up as small as it can, and runs it in FOLDER; what is fresh there already is
kept. Then `sinew report` is run once more and timed, and its files are weighed; where chromium is installed, the time until
report.html is laid out and drawn is taken too. Processor time stands beside the wall time: it tells a busy machine from a slow program. The defaults are 2000 cells, 100 on each base; `--families 1
--algorithms 5 --seeds 100` are 500 cells on one base, 124750 pairs. JSON lines are appended to FILE.
"""
import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time

ALGORITHMS = ["ppo", "grpo", "dpo", "simpo", "kto", "orpo", "prime"]
LIMITS = {"report_sec": 60, "page_sec": 3, "page_mib": 25}

STUDY = """study: many
output: {folder}/results
memory_per_process: 1 GiB
matrix:
  families: [{families}]
  algorithms: [{algorithms}]
  seeds: [{seeds}]{steps}
  base: "{folder}/checkpoints/{{family}}/base"
  tuned: "{folder}/checkpoints/{{family}}/{{algorithm}}/seed-{{seed}}{step}"
stages:
  synth: {{scale: 0.00390625, layers: 2, architecture: qwen2.5-1.5b}}
  load: {{needs: [synth]}}
  delta: {{needs: [load]}}
  mask: {{needs: [delta]}}
  rank: {{needs: [delta]}}
  overlap: {{needs: [mask]}}{dynamics}
  report: {{needs: [mask, rank, overlap{needs}]}}
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sinew")
    parser.add_argument("folder", type=os.path.abspath)
    parser.add_argument("--families", type=int, default=20)
    parser.add_argument("--algorithms", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


def write_study(options):
    os.makedirs(options.folder, exist_ok=True)
    steps = ", ".join(str(100 * (i + 1)) for i in range(options.steps))
    path = os.path.join(options.folder, "study.yaml")
    with open(path, "w") as f:
        f.write(STUDY.format(
            folder=options.folder,
            families=", ".join("family-%02d" % i for i in range(options.families)),
            algorithms=", ".join(ALGORITHMS[:options.algorithms]),
            seeds=", ".join(str(i) for i in range(options.seeds)),
            steps="\n  steps: [%s]" % steps if steps else "",
            step="/step-{step}" if steps else "",
            dynamics="\n  dynamics: {needs: [delta]}" if steps else "",
            needs=", dynamics" if steps else ""))
    return path


def sinew(options, *words):
    """Wall time and processor time in seconds, and what was printed."""
    command = ["mpirun", "--oversubscribe", "-n", str(options.processes)] if words[0] == "run" else []
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command + [options.sinew, *words], check=True, stdout=subprocess.PIPE, text=True)
    sec, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return sec, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def page_sec(page):
    """Until headless Chromium has laid the page out and drawn it; its own start, as an empty page takes it, is left out."""
    browser = shutil.which("chromium")
    if not browser:
        return None
    with tempfile.TemporaryDirectory() as folder:
        def shot(address):
            started = time.monotonic()
            subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1000",
                            "--user-data-dir=" + folder, "--screenshot=" + os.path.join(folder, "page.png"), address],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return time.monotonic() - started
        shot("about:blank")
        empty = min(shot("about:blank") for _ in range(3))
        return min(shot("file://" + page) for _ in range(3)) - empty


def mib(path):
    return os.path.getsize(path) / 2**20


def main():
    options = arguments()
    study = write_study(options)
    run_sec, _, log = sinew(options, "run", study)
    report = os.path.join(options.folder, "results", "report")
    page = os.path.join(report, "report.html")
    row = {"what": "a report of %d cells" % (options.families * options.algorithms * options.seeds * max(options.steps, 1)),
           "run_sec": run_sec, "log_lines": log.count("\n"),
           "status_lines": sinew(options, "status", study)[2].count("\n"),
           **dict(zip(("report_sec", "report_cpu_sec"), sinew(options, "report", study))),
           "pairs": sum(int(n) for n in re.findall(r"each of the (\d+) pairs", open(os.path.join(report, "report.md")).read())),
           "figures": sum(name.endswith(".svg") for name in os.listdir(os.path.join(report, "figures"))),
           "page_mib": mib(page), "page_sec": page_sec(page),
           "md_mib": mib(os.path.join(report, "report.md")),
           "folder_mib": sum(mib(os.path.join(at, name)) for at, _, names in os.walk(report) for name in names)}
    for key, value in row.items():
        limit = LIMITS.get(key)
        missed = limit is not None and value is not None and value > limit
        print("%-14s %s%s" % (key, "%.2f" % value if isinstance(value, float) else value,
                              "  above %s" % limit if missed else ""))
    if options.json:
        with open(options.json, "a") as f:
            f.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
