#!/usr/bin/python3
"""A campaign of injected failures: at each site of the program that the acts of acts.py pass (agreements, allocations, opens, creations,
writes, flushes, renames: `sinew run CONFIG --inject list` has them all) a failure, a delay and a death of one process, on 1, 2 and 3 processes.
What must hold of each: it ends in time, with one message and the right status, nothing incomplete stands under a final name, and the same
command without an injection then gives the tables of a run that nothing disturbed.

  inject.py --sinew PATH [--seconds S] [--seed N] [--part I/N] [--np 0,2,3] [--what error,delay,death] [--each]
            [--acts study,steps,...] [--without study,...] [--skip N] [--list]

Cases come in an order drawn by the seed (without one: by the day, so that the suite's short form goes round), as many as S seconds hold
(12), of the first act and of one of the others; --seconds 0 runs all, or with --part 2/4 one quarter of them. --each: of each site, what
is done there and number of processes one case alone, whose process and pass are drawn, where else every process that passes has two.
--skip: so many were done before. --acts: these alone; a site that an earlier act passes is that one's. --without: cases of these are left
out, and of their sites. A case that does not hold is printed with how to do it again. Exit status: 0 all held, 1 not, 77 the program is built without injection."""
import argparse
import glob
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import acts  # noqa: E402
import sinewlib as lib  # noqa: E402

SLOWER = float(os.environ.get("SINEW_TEST_SLOWER", "1"))


class Campaign:
    """One act of acts.py, and what is injected into it."""

    def __init__(self, act, folder):
        self.act = act(os.path.join(folder, act.__name__.lower()))
        self.name = act.__name__.lower()

    def run(self, np_, *wishes):
        return self.act.run(np_, [word for wish in wishes for word in ("--inject", wish)], 4 * self.act.limit)

    def sites(self, np_):
        """(site, process, passes) of a run that nothing disturbs."""
        self.act.clear()
        found = []
        run = self.run(np_, "trace:trace-%d" % np_)
        if run.returncode != 0:
            raise SystemExit("%s does not run on %d processes: %s" % (self.name, np_, run.text()))
        for path in glob.glob(self.act.path("trace-%d.*" % np_)):
            with open(path) as f:
                found += [line.split() for line in f]
        if not found:
            raise SystemExit("%s passes no site on %d processes" % (self.name, np_))
        return [(site, int(me), int(passes)) for me, passes, site in found]

    def fault(self, np_, site, me, count, what):
        """What does not hold of one case, or None."""
        self.act.clear()
        for path in glob.glob(self.act.path("passed.*")):
            os.remove(path)
        run = self.run(np_, "%s:%d:%d:%s" % (site, me, count, what), "trace:passed")
        missed = self.passes(site, me) < count and (what != "death" or os.path.exists(self.act.path("passed.%d" % me)))
        why = self.fault_of_run(run, "%s:%d:%d:%s" % (site, me, count, what), what, missed)
        if why:
            return "%s\n%s" % (why, run.text())
        again = self.run(0)
        if again.returncode != 0 or again.errors():
            return "the next run does not complete\n%s\n---- after\n%s" % (again.text(), run.text())
        differs = self.differs()
        return "the next run's results differ: %s" % differs if differs else None

    def passes(self, site, me):
        """How often a process came by a site in the run that has ended; 0 where it did not end well enough to tell."""
        path = self.act.path("passed.%d" % me)
        if not os.path.exists(path):
            return 0
        with open(path) as f:
            return sum(int(line.split()[1]) for line in f if line.split()[2] == site)

    def differs(self):
        try:
            return self.act.differs()
        except OSError as e:
            return "no result: %s" % e

    def fault_of_run(self, run, wish, what, missed):
        """missed: the process lived to its end and did not come by."""
        if run.returncode == "timeout" or run.seconds > self.act.limit * SLOWER + 3 * float(os.getloadavg()[0]):
            return "it took %.1f s" % run.seconds
        if lib.processes_with(wish):
            return "processes are left"
        if run.returncode == 0 and not run.errors() and missed: # who has which node is chance
            return self.differs() or None
        if what == "death":
            if run.returncode == 0 or run.errors():
                return "a death is not the end of it, or it speaks"
            return None
        if run.returncode == 0 and not run.errors(): # a delay; or a failure of what can be done without
            return self.differs() or None
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
                          ("part", "1/1"), ("what", "error,delay,death"), ("acts", ""), ("without", ""), ("skip", "0")):
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
    known = set(known.stdout.split())
    print("%d sites in the program, seed %s" % (len(known), asked.seed), flush=True)
    folder = tempfile.mkdtemp(prefix="sinew-inject-")
    chance, cases, passed = random.Random(int(asked.seed)), [], set()
    picked = asked.acts.split(",") if asked.acts else [act.__name__.lower() for act in acts.ACTS]
    if not asked.acts and float(asked.seconds) > 0: # a short form: of the others one, another one by each seed
        short = [act.__name__.lower() for act in acts.ACTS if not act.long]
        picked = short[:1] + [short[1 + int(asked.seed) % (len(short) - 1)]]
    for act in acts.ACTS:
        if act.__name__.lower() not in picked:
            continue
        campaign, before = Campaign(act, folder), set(passed)
        for np_ in map(int, asked.np.split(",")):
            for site, me, passes in campaign.sites(np_) if np_ in act.processes else []:
                passed.add((np_, site))
                for what in asked.what.split(",") if (np_, site) not in before else []: # an earlier act has it
                    for count in {1, chance.randint(1, passes)}:
                        cases.append((campaign, np_, site, me, count, what))
    passed = {site for _, site in passed}
    print("%d sites are passed" % len(passed), flush=True)
    chance.shuffle(cases)
    if asked.each:
        cases = list({(np_, site, what): (campaign, np_, site, me, count, what) for campaign, np_, site, me, count, what in cases}.values())
    cases = [case for case in cases if case[0].name not in asked.without.split(",")]
    part, of = map(int, asked.part.split("/"))
    cases = cases[part - 1::of][int(asked.skip):]
    if asked.list:
        print("\n".join("%s: %d %s:%d:%d:%s" % (case[0].name, *case[1:]) for case in cases))
        print("\n".join("not passed: " + site for site in sorted(known - passed)))
        cases = []
    deadline = time.monotonic() + float(asked.seconds) if float(asked.seconds) > 0 else float("inf")
    done, bad = 0, 0
    for case in cases:
        if time.monotonic() > deadline:
            break
        why = case[0].fault(*case[1:])
        done += 1
        if asked.verbose:
            print("%d %s %s %.1f" % (done, case[0].name, case[1:], time.monotonic()), flush=True)
        if why:
            bad += 1
            print("%s, np %d --inject %s:%d:%d:%s: %s" % (case[0].name, *case[1:], why), flush=True)
    print("%d of %d cases, %d do not hold" % (done, len(cases), bad))
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
