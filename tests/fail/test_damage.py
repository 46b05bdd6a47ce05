#!/usr/bin/python3
"""Damaged artifacts and archives: found, named, made anew, and never believed. A short form of tests/campaign/damage.py; what others read
of a file with digests; `sinew verify` with what it computes again; and archives whose digests are right and whose content is not."""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

import h5py

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "campaign")]
import damage  # noqa: E402
import digestlib  # noqa: E402
import sinewlib as lib  # noqa: E402

LIMIT_SEC = 60
TEXT = """study: s
output: out
memory_per_process: 1 GiB
matrix:
  families: [tulu-3-8b]
  algorithms: [ppo]
  seeds: [0, 1]
  base:  "ckpt/{family}/base"
  tuned: "ckpt/{family}/{algorithm}/seed-{seed}"
stages:
  synth: {scale: 0.015625, layers: 2, steps: 8}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta], tolerance: 1e-5}
  rank: {needs: [delta]}
  report: {needs: [mask, rank], figures: false, html: false}
"""


class Campaign(unittest.TestCase):
    def test_campaign(self):
        c = damage.run(trials=13, archives=3, seed=1, contents=6)
        self.assertEqual(c.failures, [])
        self.assertEqual(c.count["read"] + c.count["refused"] + c.count["verify"], 22)


class Damage(lib.Case):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TEXT)
        self.sinew(["run", "s.yaml"])
        self.archive = self.path("out", "s.h5")
        self.delta = self.path("out", "cells", "tulu-3-8b/ppo/1", "delta.h5")

    def refused(self, run, *words):
        self.assertEqual(len(run.errors()), 1, run.text())
        for word in words:
            self.assertIn(word, run.stdout + run.stderr)

    def edit(self, path, change):
        """Changes a file by h5py, and writes its digests as they are then."""
        with h5py.File(path, "r+") as f:
            change(f)
        digestlib.seal(path)

    def flip(self, path, at):
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 16]))

    def test_others_read_it(self):
        files = [p for p in glob.glob(self.path("out", "**", "*.h5"), recursive=True)]
        self.assertEqual(len(files), 14)
        for path in files:
            self.assertTrue(digestlib.is_whole(path), path)
        import pandas
        with h5py.File(self.archive, "r") as f:
            self.assertEqual(len(pandas.DataFrame(f["tables/cells"][()])), 2)
            with h5py.File(self.delta, "r") as g:  # and by the link from the archive
                self.assertTrue((f["cells/tulu-3-8b/ppo/1/delta/update/new"][()] == g["update/new"][()]).all())
        if shutil.which("h5dump"):
            subprocess.run(["h5dump", "-d", "/update/first_value", self.delta], check=True, capture_output=True, timeout=60)
        whole = digestlib.content_of(self.delta)
        with h5py.File(self.delta, "r+"):          # looked at with the right to write, and nothing written
            pass
        self.assertEqual(digestlib.content_of(self.delta)[:1000], whole[:1000])
        self.assertIn("carries no digests", self.sinew(["status", "s.yaml"]).stdout)

    def test_verify(self):
        self.assertRegex(self.sinew(["verify", "s.yaml"], np=2).stdout, r"\d+ files, .*: 0 damaged\n")
        with h5py.File(self.delta, "r") as f:
            at = f["update/new"].chunks and f["update/new"].id.get_chunk_info(0).byte_offset or f["update/new"].id.get_offset()
        self.flip(self.delta, at + 20000)
        self.flip(self.path("out", "cells", "tulu-3-8b/ppo/0", "mask.h5"), 3)
        csv = self.path("out", "report", "cells.csv")
        times = os.stat(csv)
        self.flip(csv, 30)
        os.utime(csv, ns=(times.st_atime_ns, times.st_mtime_ns))
        for np in (0, 3):
            run = self.sinew(["verify", "s.yaml"], np=np, status=3)
            self.refused(run, "3 of ", "are damaged")
            self.assertRegex(run.stdout, r"damaged  \S*ppo/1/delta.h5: bytes \[\d+, \d+\), in dataset /update/new\n")
            self.assertRegex(run.stdout, r"damaged  \S*ppo/0/mask.h5: bytes \[0, 16384\), in HDF5's own structures\n")
            self.assertRegex(run.stdout, r"damaged  \S*cells.csv: has other bytes than were written\n")
        status = self.sinew(["status", "s.yaml"]).stdout
        self.assertEqual(len(re.findall("stale .*damaged", status)), 3, status)
        before = lib.tables(self.archive)
        self.sinew(["run", "s.yaml"])
        self.sinew(["verify", "s.yaml"])
        self.assertEqual(glob.glob(self.path("out", "**", "*.damaged"), recursive=True), [])
        self.assertTrue(all((lib.same(before["sparsity"][c], x[c])).all() for x in [lib.tables(self.archive)["sparsity"]]
                            for c in ("updated", "sparsity")))

    def test_computed_again(self):
        self.assertRegex(self.sinew(["verify", "s.yaml", "--full"]).stdout, r"2 updates, \d+ tensors, \d+ elements computed again, 3 catalogues read again: 0 ")
        one, three = (self.sinew(["verify", "s.yaml", "--sample", "4", "--seed", "9"], np=np).stdout for np in (1, 3))
        self.assertEqual(one, three)
        self.assertIn(" 4 tensors", one)

        def other_bit(f):
            f["update/new"][7] ^= 1
        self.edit(self.delta, other_bit)
        run = self.sinew(["verify", "s.yaml", "--full"], np=2, status=3)
        self.refused(run, "1 artifacts are not what the checkpoints give")
        self.assertRegex(run.stdout, r"differs  \S*ppo/1/delta.h5: tensor lm_head.weight: elements \[0, \d+\) are not as stored\n")
        self.sinew(["run", "s.yaml"])

        def other_count(f):
            rows = f["tables/tensors"][()]
            rows["bit_changed"][3] += 1
            f["tables/tensors"][...] = rows
        self.edit(self.delta, other_count)
        run = self.sinew(["verify", "s.yaml", "--full"], status=3)
        self.assertRegex(run.stdout, r"differs .*: tensor model.layers.0.mlp.*: \d+ elements changed, table tensors says \d+\n")
        self.assertIn("; 1 left out", self.sinew(["verify", "s.yaml", "--full"]).stdout)  # it is stale by now
        catalogue = [p for p in glob.glob(self.path("out", "checkpoints", "*", "load.h5")) if "base" in p][0]

        def other_place(f):
            rows = f["tables/catalogue"][()]
            rows["offset_bytes"][4] += 2
            f["tables/catalogue"][...] = rows
        self.edit(catalogue, other_place)
        run = self.sinew(["verify", "s.yaml", "--full"], status=3)
        self.assertRegex(run.stdout, r"differs  \S*base\S*load.h5: tensor model.layers.0\S* is not as in the headers\n")
        for words in (["--sample", "x"], ["--sample", "0"], ["--seed", "3"]):
            self.refused(self.sinew(["verify", "s.yaml"] + words, status=2), words[0])

    def test_other_content(self):
        """Archives that carry digests, and tables that no run has written."""
        shutil.copy(self.archive, self.path("whole.h5"))

        def empty(name):
            return lambda f: damage.rewrite(f, name, f["tables"][name][()][:0])

        def bin_of_2_40(f):
            rows = f["tables/histograms"][()]
            rows["bin"][0] = 1 << 40
            f["tables/histograms"][...] = rows

        def no_cells(f):
            del f["tables/cells"]

        def version_3(f):
            f.attrs["schema_version"] = 3

        def no_version(f):
            del f.attrs["schema_version"]
        for change, words in ((empty("cells"), "table cells is empty or not there"), (no_cells, "table cells is empty or not there"),
                              (empty("sparsity"), "they do not belong together"), (bin_of_2_40, "bin 1099511627776"),
                              (version_3, "is of schema version 3, expected"), (no_version, "schema_version")):
            shutil.copy(self.path("whole.h5"), self.archive)
            self.edit(self.archive, change)
            self.refused(self.sinew(["report", "s.yaml"], status=3, timeout=LIMIT_SEC), "s.h5" if "bin" not in words else "report", words)
        with h5py.File(self.archive, "r+"):
            pass
        self.refused(self.sinew(["report", "s.yaml"], status=3), "s.h5", "carries no digests")


if __name__ == "__main__":
    lib.main()
