#!/usr/bin/python3
"""Cuts: a study whose every job is too short for it. Each job is told its end by --time-limit, SINEW_TIME_LIMIT, SLURM_JOB_END_TIME or
PBS_WALLTIME, works on another number of processes than the one before, and has to be over before that end, with status 75; the next
goes on. In the end the archive, updates and entropies are those of a study that nobody cut.

    cuts.py --sinew PATH [--jobs 30x30,15x120,5x600] [--at-once 4] [--larger 1] [--seed 1] [--work rank,entropy,delta,overlap] [--folder DIR]

--jobs: so many cuts of jobs of so many seconds, shared among the kinds of work, of which --at-once are cut side by side: a machine with
more to do than it has processors for is the harder case. A study that is over within its job is begun anew; where that is so again and
again, it is to be --larger. tests/e2e/test_stop.py has a short form."""
import argparse
import concurrent.futures
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import kills
import sinewlib as lib

SUMS = "".join("  sums-%d: {kind: delta, needs: [load], arithmetic: f32, store: none, tolerances: [1e-%d]}\n" % (k, k) for k in range(3, 9))
# What a kind of work is beside kills.WORK's, and of how many seeds for jobs of a minute; how its work grows with them.
LONG = {
    "rank": ("rank", 16, 1, dict(synth="scale: 0.5, layers: 6, logits: 16")),
    "entropy": ("entropy", 30, 1, {}),
    "delta": ("pair", 8, 1, dict(synth="scale: 0.5, layers: 4, logits: 16", stages=kills.MASKS + SUMS)),
    "overlap": ("overlap", 48, 2, dict(synth="scale: 0.125, layers: 2, logits: 16")),
}
LEAST = 3  # cuts of one study
WAYS = ("--time-limit", "SINEW_TIME_LIMIT", "SLURM_JOB_END_TIME", "PBS_WALLTIME")


class Cut:
    """One study, and the jobs that cut it. spare: of each cut, the seconds between the job's end and its limit."""

    def __init__(self, study, name, seed, log=lambda text: None):
        self.study, self.name, self.random, self.log = study, name, random.Random(seed), log
        self.problems, self.spare, self.over, self.np = study.problems, [], 0, None

    def job(self, limit, way=None, np=None):
        """Starts the study with a limit of so many seconds. Returns whether it was cut; else it was over."""
        way = way or self.random.choice(WAYS)
        self.np = np if np is not None else self.random.choice([n for n in range(4) if n != self.np])
        words, env = [], {}
        if way == "--time-limit":
            words = [way, "%ds" % limit]
        else:
            env[way] = {"SINEW_TIME_LIMIT": "%ds" % limit, "PBS_WALLTIME": "%d" % limit}.get(way) or "%d" % (time.time() + limit)
        started = time.monotonic()
        process, status = self.study.start(self.np, words, **env), "none"
        try:
            status = process.wait(timeout=limit + 300)
        except subprocess.TimeoutExpired:
            self.study.sweep()
        took = time.monotonic() - started
        self.study.heard()
        what = "%s, %d s by %s on %d processes: status %s after %.1f s" % (self.name, limit, way, self.np, status, took)
        self.log(what)
        if status == 75:
            self.spare.append(limit - took)
        if status == 0:
            self.over += 1
        if status not in (0, 75) or took >= limit:
            self.problems.append("%s\n%s" % (what, self.study.text[-2000:]))
            self.log(self.problems[-1])
        return status == 75

    def cuts(self, limits):
        """So many cuts; then the study to its end, whose tables are looked at."""
        for limit in limits:
            for _ in range(5):
                if self.job(limit):
                    break
                self.study.clear()
            else:
                self.problems.append("%s: over within %d s again and again: --larger" % (self.name, limit))
                return
        self.study.finish(self.random.randrange(4))


def chain(folder, name, limit, number, options):
    """All cuts of one kind of work by one limit."""
    log = lambda text: print("[%s] %s" % (time.strftime("%H:%M:%S"), text), flush=True)  # noqa: E731
    kind, seeds, power, more = LONG[name]
    seeds = list(range(max(1, round(seeds * (options.larger * max(limit, 60) / 60) ** (1 / power)))))
    folder = os.path.join(folder, "%s-%d" % (name, limit))
    try:
        study = kills.Disturbed(folder, kind, options.seed, "20", np=3, seeds=seeds, **more)
        log("%s for %d s: undisturbed on 3 processes %.1f s" % (name, limit, study.seconds))
        cut = Cut(study, name, options.seed, log)
        cut.cuts([limit] * number)
        return cut
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def share(jobs, names):
    """(kind of work, limit, number) of each study, the longest first."""
    work = []
    for number, limit in [map(int, words.split("x")) for words in jobs.split(",")]:
        studies = max(1, min(len(names), number // LEAST + (number % LEAST > 0)))
        work += [(names[k], limit, len(range(k, number, studies))) for k in range(studies)]
    return sorted(work, key=lambda x: -x[1])


def say(done):
    """Prints what was seen. Returns the number of problems."""
    problems, by_limit = 0, {}
    for (name, limit, _), cut in done:
        found = [repr(cut)] if isinstance(cut, Exception) else cut.problems
        problems += len(found)
        print("%s, %d s: %s" % (name, limit, "failed" if isinstance(cut, Exception) else "%d cuts, %d times over before; went on inside a node: %s" % (
            len(cut.spare), cut.over, cut.study.resumed)))
        for problem in found:
            print("  " + problem)
        if not isinstance(cut, Exception):
            by_limit.setdefault(limit, []).extend(cut.spare)
    for limit, spare in sorted(by_limit.items()):
        if spare:
            print("jobs of %d s: %d of %d ended with 75 before the limit; seconds to spare: least %.1f, median %.1f, most %.1f" % (
                limit, sum(s > 0 for s in spare), len(spare), min(spare), statistics.median(spare), max(spare)))
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sinew")
    parser.add_argument("--jobs", default="30x30,15x120,5x600")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--larger", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", default=",".join(LONG))
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.sinew:
        os.environ["SINEW"] = options.sinew
    folder = tempfile.mkdtemp(prefix="sinew-cuts-", dir=options.folder)
    work = share(options.jobs, options.work.split(","))

    def one(item):
        try:
            return item, chain(folder, *item, options)
        except Exception as e:  # said with the others
            return item, e

    try:
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            done = list(pool.map(one, work))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(say(done) != 0)


if __name__ == "__main__":
    main()
