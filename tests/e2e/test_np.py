#!/usr/bin/python3
"""The same study on 1, 2, 3, 4 and 7 processes gives the same archive: everything to the bit but for singular values (within
1e-5 of sigma_max) and what is computed from them; masks and updates byte for byte. So do teams of several processes beside
single ones, and a cell that fails on one of them ends the run on all."""
import glob
import os

import h5py
import numpy

import sinewlib as lib

CELLS = ["tiny-a/%s/%d" % (a, s) for a in ("ppo", "dpo") for s in (0, 1)]


class ProcessCounts(lib.Case):
    def study(self, np, arithmetic):
        output = self.path("%s-np%d" % (arithmetic, np))
        config = self.write("%s-np%d.yaml" % (arithmetic, np), lib.awkward_config(self.path("models"), output, arithmetic))
        self.sinew(["run", config], np=np)
        return output

    def check(self, arithmetic, counts):
        lib.make_awkward(self.path("models"))
        alone = self.study(1, arithmetic)
        for np in counts:
            with self.subTest(processes=np):
                output = self.study(np, arithmetic)
                differences = lib.compare_archives(os.path.join(alone, "awkward.h5"), os.path.join(output, "awkward.h5"))
                self.assertEqual(differences, [])
                self.assertEqual(self.moved(output), self.moved(alone), "bytes of all processes")
                self.compare_bulk(alone, output)

    def moved(self, output):
        """What each node read and wrote, over all its processes; those that share a matrix of rank read all of it."""
        with h5py.File(os.path.join(output, "awkward.h5"), "r") as f:
            rows = f["provenance/timings"][()]
        return {(r["node"], r["label"]): r["bytes"] for r in rows if r["node"] not in (b"report", b"rank")}

    def compare_bulk(self, one, two):
        for cell in CELLS:
            for node, names in (("delta", ["update/bitmap", "update/old", "update/new", "update/first_value", "update/nonfinite"]),
                                ("mask", ["mask"]), ("mask-bits", ["mask"]), ("mask-relative", ["mask"])):
                paths = [os.path.join(folder, "cells", cell, node + ".h5") for folder in (one, two)]
                with h5py.File(paths[0], "r") as f, h5py.File(paths[1], "r") as g:
                    for name in names:
                        a, b = f[name][()], g[name][()]
                        self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype), (cell, node, name))
                        self.assertTrue((a == b).all(), (cell, node, name))

    def test_bf16(self):
        self.check("bf16", [2, 3, 4, 7])

    def test_f32(self):
        self.check("f32", [3])


class Teams(lib.Case):
    """Cells of very different size."""
    SIZES = {"long": (2, 1500, 1000), "middle": (1, 700, 700), "short": (1, 30, 40)}
    CELLS = [("long", 1), ("middle", 8), ("short", 4)]

    def setUp(self):
        super().setUp()
        rng = numpy.random.default_rng(7)
        for family, seeds in self.CELLS:
            n, rows, cols = self.SIZES[family]
            base = {"layers.%d.w.weight" % i: lib.bf16_round(rng.standard_normal((rows, cols)).astype(numpy.float32) * 0.02)
                    for i in range(n)}
            self.write_model(family, "base", base)
            for seed in range(seeds):
                tuned = {name: numpy.where(rng.random(w.shape) < 0.2, w ^ 1, w).astype(numpy.uint16) for name, w in base.items()}
                self.write_model(family, str(seed), tuned)

    def write_model(self, family, name, tensors):
        lib.write_checkpoint(self.path("models", family, name), {k: ("BF16", w) for k, w in tensors.items()})

    def config(self, output):
        cells = "".join("  - {family: %s, algorithm: dpo, seed: %d, base: %s, tuned: %s}\n" % (
            family, seed, self.path("models", family, "base"), self.path("models", family, str(seed)))
            for family, seeds in self.CELLS for seed in range(seeds))
        return self.write(output + ".yaml", """study: teams
output: %s
cells:
%sstages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
""" % (self.path(output), cells))

    def processes(self, output, node):
        """How many worked on each cell."""
        found = {}
        for path in glob.glob(self.path(output, "cells", "*", "dpo", "*", node + ".h5")):
            with h5py.File(path, "r") as f:
                found[os.path.relpath(os.path.dirname(path), self.path(output, "cells"))] = int(f.attrs["processes"])
        return found

    def test_side_by_side(self):
        self.sinew(["run", self.config("np1")])
        for np in (2, 3, 4, 7, 24):  # the last: more processes than nodes
            with self.subTest(processes=np):
                output = "np%d" % np
                self.sinew(["run", self.config(output)], np=np)
                self.assertEqual(lib.compare_archives(self.path("np1", "teams.h5"), self.path(output, "teams.h5")), [])
                run = self.sinew(["run", self.config(output)], np=1)
                self.assertIn("nothing to do", run.stdout)
                if np == 4:
                    plan = self.sinew(["plan", self.config(output), "--processes", "1,2"]).stdout
                    self.assertIn("Everything is fresh, nothing to do", plan)
                    self.assertNotIn("Scaling", plan)
                if np == 7:
                    teams = self.processes(output, "rank")
                    self.assertEqual(len(teams), 13)
                    self.assertTrue(1 < teams["long/dpo/0"] < np, teams)
                    self.assertEqual({n for cell, n in teams.items() if cell.startswith("short")}, {1})

    def break_cell(self, family, seed, rows):
        """Its update cannot be made: `load` finds nothing wrong with the checkpoint by itself, `delta` does."""
        self.write_model(family, str(seed), {"layers.0.w.weight": numpy.zeros((rows, 40), numpy.uint16)})

    def run_broken(self, cells, np):
        config = self.config("broken%d" % np)
        run = self.sinew(["run", config], np=np, status=3, timeout=60)
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertTrue(any(cell in run.errors()[0] for cell in cells), run.text())
        self.assertIn("delta", run.errors()[0])
        self.assertEqual(glob.glob(self.path("broken%d" % np, "**", "*.partial*"), recursive=True), [])
        # What was done by then stays, and is as it should be.
        for path in glob.glob(self.path("broken%d" % np, "cells", "*", "dpo", "*", "delta.h5")):
            with h5py.File(path, "r") as f:
                self.assertIn("key", f.attrs)
        for cell in cells:
            self.assertFalse(os.path.exists(self.path("broken%d" % np, "cells", cell, "delta.h5")))

    def test_one_of_a_team_fails(self):
        self.break_cell("long", 0, 70000)  # by its size, it gets several processes
        for np in (2, 7):
            self.run_broken(["long/dpo/0"], np)

    def test_one_alone_fails(self):
        self.break_cell("short", 2, 31)
        for np in (2, 3, 7):
            self.run_broken(["short/dpo/2"], np)

    def test_several_fail_at_once(self):
        self.break_cell("long", 0, 70000)
        self.break_cell("middle", 1, 8000)
        for seed in range(4):
            self.break_cell("short", seed, 31)
        self.run_broken(["long/dpo/0", "middle/dpo/1"] + ["short/dpo/%d" % s for s in range(4)], 7)


if __name__ == "__main__":
    lib.main()
