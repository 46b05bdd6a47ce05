#!/usr/bin/python3
"""`run --keep-going`: a damaged checkpoint, and damaged logits, cost what needs them and no more. On one process and on three: the exit
status is 3, one message; table failed, report.md and report.html name what lacks; what was made of the other cells is what a study of
these alone gives. Once all is mended a run gives the archive of a run that nothing disturbed, to the byte in every table."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

CONFIG = """study: going
output: %s
memory_per_process: 256 MiB
matrix:
  families: [tiny]
  algorithms: [ppo]
  seeds: [%s]
  base: "%s/base"
  tuned: "%s/tuned-{seed}"
  logits: {base: "%s/base.npy", tuned: "%s/tuned-{seed}.npy"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy], figures: false}
"""
SEEDS = (0, 1, 2, 3)
CELL = "tiny/ppo/%d"


def tables(path, leave=("failed",)):
    with h5py.File(path) as f:
        return {name: f["tables"][name][()].tobytes() for name in f["tables"] if name not in leave}


class KeepGoing(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(11)
        base = {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (24, 40)).astype(np.uint16)) for i in range(3)}
        lib.write_checkpoint(self.path("models", "base"), base)
        np.save(self.path("models", "base.npy"), rng.standard_normal((9, 30)).astype(np.float32))
        for seed in SEEDS:
            tuned = {name: (dtype, bits ^ (rng.random(bits.shape) < 0.3).astype(np.uint16)) for name, (dtype, bits) in base.items()}
            lib.write_checkpoint(self.path("models", "tuned-%d" % seed), tuned)
            np.save(self.path("models", "tuned-%d.npy" % seed), rng.standard_normal((9, 30)).astype(np.float32))

    def study(self, name, seeds=SEEDS):
        models = self.path("models")
        return self.write(name + ".yaml", CONFIG % (name, ", ".join(map(str, seeds)), models, models, models, models))

    def damage(self):
        """Seed 1's header is cut short; seed 2's logits are no such file. Returns what was there."""
        whole = {}
        for file, keep in (("tuned-1/model.safetensors", 60), ("tuned-2.npy", 20)):
            path = self.path("models", file)
            with open(path, "rb") as f:
                whole[path] = (f.read(), os.stat(path))
            with open(path, "wb") as f:
                f.write(whole[path][0][:keep])
        return whole

    def mend(self, whole):
        for path, (data, st) in whole.items():
            with open(path, "wb") as f:
                f.write(data)
            os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

    def test_going_and_mended(self):
        good = self.study("good")
        self.sinew(["run", good])
        self.assertEqual(len(lib.table(self.path("good", "going.h5"), "failed")), 0)
        few = self.study("few", (0, 2, 3))
        self.sinew(["run", few])
        whole = self.damage()
        for np_ in (1, 3):
            config = self.study("out%d" % np_)
            if np_ == 3:
                stopped = self.sinew(["run", config], np=np_, status=3)
                self.assertEqual(len(stopped.errors()), 1, stopped.text())
            run = self.sinew(["run", config, "--keep-going"], np=np_, status=3)
            self.look(run, self.path("out%d" % np_))
            again = self.sinew(["run", config, "--keep-going"], np=np_, status=3)
            self.assertNotIn("archive        ", again.stdout, "nothing has changed: it is not built anew")
            self.look(again, self.path("out%d" % np_))
        self.mend(whole)
        for np_ in (1, 3):
            self.sinew(["run", self.path("out%d.yaml" % np_)], np=np_)
            self.assertEqual(tables(self.path("out%d" % np_, "going.h5"), ()), tables(self.path("good", "going.h5"), ()))
            with open(self.path("out%d" % np_, "report", "report.md")) as f:
                self.assertNotIn("INCOMPLETE", f.read())

    def look(self, run, out):
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("2 nodes failed", run.errors()[0])
        archive = os.path.join(out, "going.h5")
        failed = {(r["cell"], r["node"]): (r["state"], r["reason"]) for r in lib.table(archive, "failed")}
        self.assertEqual({k: v[0] for k, v in failed.items()}, {
            ("", "load"): "failed", (CELL % 1, "delta"): "not run", (CELL % 1, "mask"): "not run", (CELL % 1, "rank"): "not run",
            (CELL % 1, "token-entropy"): "not run", (CELL % 2, "token-entropy"): "failed", ("", "overlap"): "in part"})
        self.assertIn("tuned-1/model.safetensors", failed["", "load"][1])
        self.assertIn("tuned-2.npy", failed[CELL % 2, "token-entropy"][1])
        self.assertIn("3 of 4 cells, without " + CELL % 1, failed["", "overlap"][1])
        for name in ("overlap", "consensus", "rank", "sparsity", "layers"):
            self.assertEqual(repr(lib.table(archive, name)), repr(lib.table(self.path("few", "going.h5"), name)), name)
        cells = {r["cell"]: r["parameters"] for r in lib.table(archive, "cells")}
        self.assertEqual((len(cells), cells[CELL % 1]), (4, 0))
        with h5py.File(archive) as f:
            self.assertEqual(sorted(f["cells/tiny/ppo"]), ["0", "2", "3"])
        for page in ("report.md", "report.html", "sparsity.txt"):
            with open(os.path.join(out, "report", page)) as f:
                text = f.read()
            self.assertIn("INCOMPLETE", text, page)
            self.assertIn("1 of 4 cells", text, page)
        with open(os.path.join(out, "report", "report.md")) as f:
            sections = dict((s.split("\n")[0], s) for s in f.read().split("\n## ")[1:])
        self.assertIn("mask of " + CELL % 1, sections["Sparsity"])
        self.assertIn("rank of " + CELL % 1, sections["Rank of the updates"])
        self.assertIn("In part:", sections["Overlap of updated sets"])
        self.assertIn("token-entropy of " + CELL % 2, sections["Token entropy"])

    def test_a_base_costs_its_cells(self):
        """Nothing is left of a study of one base: no figure, the report says why."""
        path = self.path("models", "base", "model.safetensors")
        with open(path, "r+b") as f:
            f.truncate(100)
        run = self.sinew(["run", self.study("out"), "--keep-going"], np=2, status=3)
        self.assertIn("1 node failed", run.errors()[0])
        states = [r["state"] for r in lib.table(self.path("out", "going.h5"), "failed")]
        self.assertEqual(states.count("failed"), 1)
        self.assertEqual(states.count("not run"), 4 * 4 + 1)


if __name__ == "__main__":
    lib.main()
