#!/usr/bin/python3
"""The artifact of load as h5py and h5dump read it, before and after checkpoints and artifacts are moved: with absolute paths, with
relative ones, and copied."""
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np

import sinewlib as lib

CONFIG = """study: moved
output: out
cells:
  - {family: f, algorithm: a, seed: 0, base: models/base, tuned: models/tuned}
stages: {load: {%s}, delta: {needs: [load]}, mask: {needs: [delta]}}
"""
PREFIX = {"HDF5_EXTFILE_PREFIX": "${ORIGIN}"}
READER = """import h5py, numpy, sys
with h5py.File(sys.argv[1], "r") as f:
    d = f["tensors"][sys.argv[2]]
    bits = numpy.empty(d.shape, numpy.uint16)
    d.id.read(h5py.h5s.ALL, h5py.h5s.ALL, bits, d.id.get_type())
    print(bits.tobytes().hex())
"""


def text(value):
    return value.decode() if isinstance(value, bytes) else value


class Moved(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(3)
        self.bits = {}
        for side in ("base", "tuned"):
            tensors = {"w%d" % i: ("BF16", rng.integers(0, 0x4000, (5, 7)).astype(np.uint16)) for i in range(4)}
            tensors["numbers"] = ("F32", lib.float_bits(np.arange(6) + 0.5))
            lib.write_checkpoint(self.path("one", "models", side), tensors, shards=2 if side == "base" else 1)
            self.bits[side] = {name: bits for name, (_, bits) in tensors.items()}

    def study(self, load, folder="one"):
        self.write(folder + "/study.yaml", CONFIG % load)
        return lib.run_sinew(2, ["run", "study.yaml"], cwd=self.path(folder))

    def artifacts(self, folder):
        found = {}
        for place, _, files in os.walk(self.path(folder, "out", "checkpoints")):
            if "load.h5" in files:
                path = os.path.join(place, "load.h5")
                with h5py.File(path, "r") as f:
                    found[os.path.basename(text(f.attrs["checkpoint"]))] = path
        self.assertEqual(sorted(found), ["base", "tuned"])
        return found

    def read(self, path, name, env=None, cwd="/"):
        """The bits a program of its own gets, or what it complains of."""
        done = subprocess.run([sys.executable, "-c", READER, path, name], capture_output=True, text=True, cwd=cwd,
                              env=dict({k: v for k, v in os.environ.items() if k != "HDF5_EXTFILE_PREFIX"}, **(env or {})))
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]

    def readable(self, folder, env=None):
        for side, path in self.artifacts(folder).items():
            for name in ("w0", "w3"):                           # of a checkpoint in shards, each from another
                bits = self.bits[side][name]
                self.assertEqual(self.read(path, name, env), bits.tobytes().hex(), (side, name))
        if shutil.which("h5dump"):
            dump = subprocess.run(["h5dump", "-d", "/tensors/numbers", path], capture_output=True, text=True, cwd="/",
                                  env=dict(os.environ, **(env or {})))
            self.assertIn("2.5, 3.5, 4.5", dump.stdout, dump.stderr)

    def attribute(self, folder, name):
        with h5py.File(self.artifacts(folder)["base"], "r") as f:
            return text(f["tensors"].attrs[name])

    def test_absolute(self):
        self.assertEqual(self.study("").returncode, 0)
        self.readable("one")
        self.readable("one", PREFIX)
        self.assertEqual(self.attribute("one", "paths"), "absolute")
        os.rename(self.path("one"), self.path("two"))
        for env in (None, PREFIX):                              # no setting changes an absolute path: the file says so
            self.assertIn("unable to open external raw data file", self.read(self.artifacts("two")["base"], "w0", env))
        self.assertIn("which no HDF5 setting changes", self.attribute("two", "moving"))
        self.assertIn("--stage NODE", self.attribute("two", "moving"))
        run = lib.run_sinew(2, ["run", "study.yaml", "--stage", "load"], cwd=self.path("two"))
        self.assertEqual(run.returncode, 0, run.text())
        self.readable("two")
        again = lib.run_sinew(2, ["run", "study.yaml"], cwd=self.path("two"))
        self.assertIn("nothing to do", again.stdout, again.text())

    def test_relative(self):
        self.assertEqual(self.study("paths: relative").returncode, 0)
        self.readable("one", PREFIX)
        self.assertEqual(self.attribute("one", "paths"), "relative")
        self.assertIn("HDF5_EXTFILE_PREFIX='${ORIGIN}'", self.attribute("one", "moving"))
        with h5py.File(self.artifacts("one")["tuned"], "r") as f:
            self.assertEqual(f["tensors"]["w0"].external[0][0], "../" * (os.path.relpath(f.filename, self.path("one")).count("/"))
                             + "models/tuned/model.safetensors")
        self.assertIn("unable to open external raw data file", self.read(self.artifacts("one")["base"], "w0"))
        os.rename(self.path("one"), self.path("two"))
        self.readable("two", PREFIX)
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)       # the same from within a program
        access.set_efile_prefix(b"${ORIGIN}")
        with h5py.File(self.artifacts("two")["tuned"], "r") as f:
            d = h5py.h5d.open(f.id, b"/tensors/w2", access)
            bits = np.empty((5, 7), np.uint16)
            d.read(h5py.h5s.ALL, h5py.h5s.ALL, bits, d.get_type())
            self.assertTrue((bits == self.bits["tuned"]["w2"]).all())
        again = lib.run_sinew(2, ["run", "study.yaml"], cwd=self.path("two"))
        self.assertIn("nothing to do", again.stdout, again.text())

    def test_relative_through_links(self):
        """The output folder and a checkpoint's are links to places of other depth; a shard is a link itself."""
        os.makedirs(self.path("deep", "er", "out"))
        os.makedirs(self.path("store"))
        os.symlink(self.path("deep", "er", "out"), self.path("one", "out"))
        os.rename(self.path("one", "models", "tuned"), self.path("store", "tuned"))
        os.symlink(self.path("store", "tuned"), self.path("one", "models", "tuned"))
        os.rename(self.path("store", "tuned", "model.safetensors"), self.path("store", "blob"))
        os.symlink("../blob", self.path("store", "tuned", "model.safetensors"))
        self.assertEqual(self.study("paths: relative").returncode, 0)
        self.readable("one", PREFIX)

    def test_copy(self):
        self.assertEqual(self.study("copy: true").returncode, 0)
        shutil.rmtree(self.path("one", "models"))
        os.rename(self.path("one"), self.path("two"))
        self.readable("two")
        self.assertEqual(self.attribute("two", "paths"), "none")


if __name__ == "__main__":
    lib.main()
