#!/usr/bin/python3
"""A study of thousands of cells whose checkpoints are not there: what check, status and run do about it takes time in proportion to
the cells. Processor time is compared, four times the cells against as many as there are: a square would take sixteen times as long."""
import os
import resource

import sinewlib as lib

FEW, TIMES, MOST = 2500, 4, 6

CONFIG = """study: many
output: out
missing: %s
matrix:
  families: [%s]
  algorithms: [ppo]
  seeds: [%s]
  base: "nowhere/{family}/base"
  tuned: "nowhere/{family}/{algorithm}/{seed}"
  logits: {base: "nowhere/{family}/base/logits", tuned: "nowhere/{family}/{algorithm}/{seed}/logits"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
"""


def used_sec():
    """Of processor time, by all programs that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Many(lib.Case):
    def config(self, cells, bases, missing="fail"):
        families = ", ".join("f%d" % i for i in range(bases))
        seeds = ", ".join(str(i) for i in range(cells // bases))
        return self.write("%d-%d-%s.yaml" % (cells, bases, missing), CONFIG % (missing, families, seeds))

    def least_sec(self, verb, config, status):
        times = []
        for _ in range(3):
            before = used_sec()
            run = self.sinew([verb, config], status=status)
            times.append(used_sec() - before)
        return min(times), run

    def compare(self, verb, status, bases_of, missing="fail"):
        few, _ = self.least_sec(verb, self.config(FEW, bases_of(FEW), missing), status)
        many, run = self.least_sec(verb, self.config(TIMES * FEW, bases_of(TIMES * FEW), missing), status)
        print("%s: %.2f s for %d cells, %.2f s for %d" % (verb, few, FEW, many, TIMES * FEW))
        self.assertLess(many / few, MOST, verb)
        return run

    def test_check_on_one_base(self):
        run = self.compare("check", 3, lambda cells: 1)
        self.assertIn("10000 cells: 0 present, 0 incomplete, 10000 missing\n", run.stdout)

    def test_check_on_a_base_each(self):
        run = self.compare("check", 3, lambda cells: cells)
        self.assertIn("10000 cells: 0 present, 0 incomplete, 10000 missing\n", run.stdout)

    def test_status(self):
        run = self.compare("status", 0, lambda cells: 1)
        self.assertIn("nodes: 0 fresh, 0 stale, 0 partial, ", run.stdout)

    def test_run(self):
        run = self.compare("run", 3, lambda cells: cells)
        self.assertIn("10000 of 10000 cells lack a checkpoint", run.stderr)

    def test_run_without_the_missing(self):
        run = self.compare("run", 3, lambda cells: cells, "skip")
        self.assertIn("no cell has its checkpoints on disk", run.stderr)
        self.assertFalse(os.path.exists(self.path("out")))


if __name__ == "__main__":
    lib.main()
