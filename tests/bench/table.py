#!/usr/bin/python3
"""The one table of tests/bench/run.sh, from the JSON lines that its programs wrote.

    table.py JSON [--trial] [--record FILE] [--date TEXT] [--processes 2] [--python PYTHON]...

A line is a row of the table if it has a ratio: what was measured; the rival; ratio, the median over the runs, and its least and most;
target, null where there is none; runs. With `"better": "less"` the ratio must not exceed the target instead of reaching it, `unit` is
what it is in where it is no ratio, `"equal": false` says that the results were not those of the rival, which no speed makes good. Of
two lines with the same what and rival the later counts. --trial: these are no measurements, no target applies. --record writes table
and machine to FILE as text.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys

import rivals

HEAD = ["what", "rival", "ratio", "target", "met", "spread", "runs"]
RIGHT = {"ratio", "target", "runs"}
WIDTH = 52


def number(x):
    if x is None:
        return "-"
    return "%.0f" % x if abs(x) >= 99.5 else "%.3g" % x


def row(r):
    less, unit = r.get("better") == "less", " " + r["unit"] if r.get("unit") else ""
    target, ratio = r.get("target"), r["ratio"]
    same = all(r.get(key, True) for key in ("equal", "ranks_equal", "counts_equal"))
    met = "results differ" if not same else "-" if target is None else "yes" if (ratio <= target if less else ratio >= target) else "NO"
    return {"what": r["what"], "rival": r.get("rival", "-"), "ratio": number(ratio) + unit,
            "target": "-" if target is None else ("<= " if less else ">= ") + number(target) + unit, "met": met,
            "spread": "%s to %s" % (number(r.get("least", ratio)), number(r.get("most", ratio))), "runs": str(r.get("runs", 1))}


def wrap(text, width):
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def render(records):
    rows = [{key: wrap(value, WIDTH if key == "what" else 40 if key == "rival" else 99) for key, value in row(r).items()}
            for r in records]
    wide = {key: max([len(key)] + [len(line) for r in rows for line in r[key]]) for key in HEAD}

    def line(cells):
        return "  ".join(c.rjust(wide[k]) if k in RIGHT else c.ljust(wide[k]) for k, c in zip(HEAD, cells)).rstrip()
    out = [line(HEAD), line(["-" * wide[key] for key in HEAD])]
    for r in rows:
        for i in range(max(len(v) for v in r.values())):
            out.append(line([r[key][i] if i < len(r[key]) else "" for key in HEAD]))
    return "\n".join(out) + "\n"


def read(path):
    rows = {}
    with open(path) as f:
        for text in f:
            r = json.loads(text)
            if "ratio" in r:
                rows[r["what"], r.get("rival")] = r
    return list(rows.values())


# ---- the machine ----

def first(path, pattern, otherwise="unknown"):
    try:
        with open(path) as f:
            found = re.search(pattern, f.read(), re.M)
        return found[1].strip() if found else otherwise
    except OSError:
        return otherwise


def said(*command):
    """The first line a command prints, or None."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60)
        return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None
    except (OSError, subprocess.TimeoutExpired):
        return None


def package(name):
    return said("dpkg-query", "-W", "-f", "${Version}", name) or "unknown"


def vectors():
    flags = " %s " % first("/proc/cpuinfo", r"^flags\s*:(.*)$", "")
    return ", ".join(f for f in ("avx2", "fma", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512_bf16") if " %s " % f in flags)


def torches(pythons):
    """The torches of Debian's Python and of these, each with its BLAS."""
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rivals.py")
    found = [said(sys.executable, program, python) for python in [rivals.DEBIAN] + pythons]
    return [text for text in found if text] or ["no torch"]


def machine(processes, pythons):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    caches = [said("getconf", name) for name in ("LEVEL1_DCACHE_SIZE", "LEVEL2_CACHE_SIZE", "LEVEL3_CACHE_SIZE")]
    caches = ["%d KiB" % (int(c) // 1024) if c and c.isdigit() and int(c) else "?" for c in caches]
    commit = said("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12")
    return [("processor", "%s, %d cores, %s" % (first("/proc/cpuinfo", r"^model name\s*:(.*)$"), os.cpu_count(), vectors())),
            ("caches", "level 1 data %s, level 2 %s, level 3 %s" % tuple(caches)),
            ("memory", "%.1f GiB" % (int(first("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) / 2**20)),
            ("system", "%s, kernel %s" % (first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'), platform.release())),
            ("compiler", said("cc", "--version") or "unknown"),
            ("libraries", "Open MPI %s, HDF5 %s, OpenBLAS %s, ScaLAPACK %s" % (
                package("libopenmpi3"), package("libhdf5-openmpi-103-1"), package("libopenblas0-pthread"),
                package("libscalapack-openmpi2.2"))),
            ("rivals", "%s, numpy %s" % (", ".join(torches(pythons)),
                                         said(sys.executable, "-c", "import numpy; print(numpy.__version__)") or "none")),
            ("sinew", "commit %s, %d processes" % (commit or "unknown", processes))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json")
    parser.add_argument("--trial", action="store_true")
    parser.add_argument("--record", metavar="FILE")
    parser.add_argument("--date", metavar="TEXT")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--python", action="append", default=[], metavar="PYTHON")
    options = parser.parse_args()
    rows = read(options.json)
    if options.trial:
        rows = [dict(r, target=None) for r in rows]
    table = render(rows) + ("A trial on little data, one run of each: no target applies.\n" if options.trial else "")
    print(table, end="")
    if options.record:
        about = machine(options.processes, options.python) + ([("date", options.date)] if options.date else [])
        with open(options.record, "w") as f:
            f.write("A reference run of tests/bench/run.sh\n\n")
            f.writelines("%-10s %s\n" % pair for pair in about)
            f.write("\n" + table)
            f.write("\nratio: the median over the runs, each taken against the rival in the same run; spread: the least and the most.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
