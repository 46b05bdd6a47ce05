#!/usr/bin/python3
"""A campaign of injected failures: at each site of the program that a run passes (agreements, allocations, opens, creations, writes,
flushes, renames: `sinew run CONFIG --inject list` has them all) a failure, a delay and a death of one process, on 1, 2 and 3 processes.
What must hold of each: it ends in time, with one message and the right status, nothing incomplete stands under a final name, and the same
command without an injection then gives the tables of a run that nothing disturbed.

  inject.py --sinew PATH [--seconds S] [--seed N] [--part I/N] [--np 0,2,3] [--what error,delay,death] [--each] [--list]

Cases come in an order drawn by the seed (without one: by the day, so that the suite's short form goes round), as many as S seconds hold
(12); --seconds 0 runs all, or with --part 2/4 one quarter of them. --each: of each site, what is done there and number of processes one case
alone, whose process and pass are drawn, where else every process that passes has two. A case that does not hold is printed with how to do it again. Exit status: 0 all held, 1 not, 77 the program
is built without injection."""
import argparse
import glob
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

CONFIG = """study: injected
output: out
memory_per_process: 256 MiB
matrix:
  families: [f]
  algorithms: [a]
  seeds: [0, 1]
  base: models/base
  tuned: models/tuned-{seed}
  logits: {base: models/base.npy, tuned: "models/tuned-{seed}.npy"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy], figures: false}
"""
LIMIT_SEC = 10
SLOWER = float(os.environ.get("SINEW_TEST_SLOWER", "1"))


def make_study(folder):
    rng = np.random.default_rng(2)
    base = {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (16, 24)).astype(np.uint16)) for i in range(2)}
    lib.write_checkpoint(os.path.join(folder, "models", "base"), base)
    np.save(os.path.join(folder, "models", "base.npy"), rng.standard_normal((5, 12)).astype(np.float32))
    for seed in (0, 1):
        tuned = {name: (dtype, bits ^ (rng.random(bits.shape) < 0.3).astype(np.uint16)) for name, (dtype, bits) in base.items()}
        lib.write_checkpoint(os.path.join(folder, "models", "tuned-%d" % seed), tuned)
        np.save(os.path.join(folder, "models", "tuned-%d.npy" % seed), rng.standard_normal((5, 12)).astype(np.float32))
    with open(os.path.join(folder, "s.yaml"), "w") as f:
        f.write(CONFIG)


class Campaign:
    def __init__(self, folder):
        self.folder = folder
        make_study(folder)
        good = self.run(0)
        if good.returncode != 0:
            raise SystemExit("the study does not run: " + good.text())
        os.rename(self.path("out"), self.path("good"))

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def run(self, np_, *wishes):
        words = [word for wish in wishes for word in ("--inject", wish)]
        return lib.run_sinew(np_, ["run", "s.yaml"] + words, cwd=self.folder, timeout=4 * LIMIT_SEC)

    def clear(self):
        shutil.rmtree(self.path("out"), ignore_errors=True)

    def sites(self, np_):
        """(site, process, passes) of a run that nothing disturbs."""
        self.clear()
        found = []
        self.run(np_, "trace:trace-%d" % np_)
        for me in range(max(np_, 1)):
            with open(self.path("trace-%d.%d" % (np_, me))) as f:
                found += [line.split() for line in f]
        return [(site, int(me), int(passes)) for me, passes, site in found]

    def same_tables(self):
        differs = lib.compare_archives(self.path("good", "injected.h5"), self.path("out", "injected.h5"))
        return "; ".join(differs)

    def fault(self, np_, site, me, count, what):
        """What does not hold of one case, or None."""
        self.clear()
        for path in glob.glob(self.path("passed.*")):
            os.remove(path)
        run = self.run(np_, "%s:%d:%d:%s" % (site, me, count, what), "trace:passed")
        why = self.fault_of_run(run, np_, site, what, self.passes(site, me) < count)
        if why:
            return "%s\n%s" % (why, run.text())
        again = self.run(0)
        if again.returncode != 0 or again.errors():
            return "the next run does not complete\n%s\n---- after\n%s" % (again.text(), run.text())
        differs = self.same_tables()
        return "the next run's tables differ: %s" % differs if differs else None

    def passes(self, site, me):
        """How often a process came by a site in the run that has ended; 0 where it did not end well enough to tell."""
        path = self.path("passed.%d" % me)
        if not os.path.exists(path):
            return 0
        with open(path) as f:
            return sum(int(line.split()[1]) for line in f if line.split()[2] == site)

    def fault_of_run(self, run, np_, site, what, missed):
        if run.returncode == "timeout" or run.seconds > LIMIT_SEC * SLOWER + 3 * float(os.getloadavg()[0]):
            return "it took %.1f s" % run.seconds
        if lib.processes_with("s.yaml:%s" % site):
            return "processes are left"
        if run.returncode == 0 and not run.errors() and missed: # who has which node is chance
            return self.same_tables() or None
        if what == "death":
            if run.returncode == 0 or run.errors():
                return "a death is not the end of it, or it speaks"
            return None
        if run.returncode == 0 and not run.errors(): # a delay; or a failure of what can be done without
            return self.same_tables() or None
        if what == "delay":
            return "a delay is a failure"
        if run.returncode != 4:
            return "status %s, expected 4" % run.returncode
        if len(run.errors()) != 1:
            return "%d messages, expected one" % len(run.errors())
        return None


def main():
    words = argparse.ArgumentParser()
    for name, default in (("sinew", None), ("seconds", "12"), ("seed", str(int(time.time() // 86400))), ("np", "0,2,3"),
                          ("part", "1/1"), ("what", "error,delay,death")):
        words.add_argument("--" + name, default=default)
    words.add_argument("--each", action="store_true")
    words.add_argument("--list", action="store_true")
    words.add_argument("--verbose", action="store_true")
    asked = words.parse_args()
    if asked.sinew:
        os.environ["SINEW"] = asked.sinew
    known = lib.run_sinew(0, ["status", "--inject", "list"])
    if known.returncode != 0:
        lib.skip("this build has no injection")
    print("%d sites in the program, seed %s" % (len(known.stdout.splitlines()), asked.seed), flush=True)
    folder = tempfile.mkdtemp(prefix="sinew-inject-")
    campaign, chance = Campaign(folder), random.Random(int(asked.seed))
    cases = []
    for np_ in map(int, asked.np.split(",")):
        for site, me, passes in campaign.sites(np_):
            for what in asked.what.split(","):
                for count in {1, chance.randint(1, passes)}:
                    cases.append((np_, site, me, count, what))
    chance.shuffle(cases)
    if asked.each:
        cases = list({(np_, site, what): (np_, site, me, count, what) for np_, site, me, count, what in cases}.values())
    part, of = map(int, asked.part.split("/"))
    cases = cases[part - 1::of]
    if asked.list:
        print("\n".join("%d %s:%d:%d:%s" % case for case in cases))
        cases = []
    deadline = time.monotonic() + float(asked.seconds) if float(asked.seconds) > 0 else float("inf")
    done, bad = 0, 0
    for case in cases:
        if time.monotonic() > deadline:
            break
        why = campaign.fault(*case)
        done += 1
        if asked.verbose:
            print("%d %s %.1f" % (done, case, time.monotonic()), flush=True)
        if why:
            bad += 1
            print("np %d --inject %s:%d:%d:%s: %s" % (case + (why,)), flush=True)
    print("%d of %d cases, %d do not hold" % (done, len(cases), bad))
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
