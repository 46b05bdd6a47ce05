#!/usr/bin/python3
"""Inputs that change under a run. A checkpoint that is overwritten, replaced or removed while it is read, and one that changes between two
nodes: the run ends with status 3 and one message that names the file, nothing that was read of a mixture is kept, and the next run gives
the tables of a study of what lies there then. The moment is chosen by a delay that is injected into the program."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

CONFIG = """study: ground
output: %s
matrix:
  families: [f]
  algorithms: [a]
  seeds: [0, 1]
  base: base
  tuned: tuned-{seed}
stages:
  load: {}
  delta: {needs: [load]%s}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
"""
SLOWER = float(os.environ.get("SINEW_TEST_SLOWER", "1"))


class Changing(lib.Case):
    def setUp(self):
        super().setUp()
        if lib.run_sinew(0, ["status", "--inject", "list"]).returncode != 0:
            self.skipTest("this build has no injection")
        self.rng = np.random.default_rng(8)
        self.base = {"model.layers.%d.up_proj.weight" % i: ("BF16", self.rng.integers(0x3a00, 0x3d00, (64, 64)).astype(np.uint16)) for i in range(4)}
        lib.write_checkpoint(self.path("base"), self.base)
        for seed in (0, 1):
            self.tune(seed)

    def tune(self, seed, name="tuned-%d"):
        lib.write_checkpoint(self.path(name % seed), {n: (t, b ^ (self.rng.random(b.shape) < 0.3).astype(np.uint16)) for n, (t, b) in self.base.items()})

    def config(self, name, more=""):
        return self.write(name + ".yaml", CONFIG % (name, more))

    def site(self, config, node):
        """The agreement inside a stage's file that a run passes most often, and how often it does in each of the two cells."""
        trace = self.path("trace")
        self.sinew(["run", config, "--force", "--inject", "trace:" + trace])
        with open(trace + ".0") as f:
            found = [line.split() for line in f if "agree@stages/%s.c" % node in line]
        os.remove(trace + ".0")
        passes, site = max((int(passes), site) for _, passes, site in found)
        return site, passes // 2

    def under_way(self, config, site, count, node, cell, change, words=("--force",)):
        """Runs with a delay of two seconds at a pass of the site, in which `change` is called. Returns status and standard error."""
        run = subprocess.Popen([lib.binary(), "run", config, *words, "--inject", "%s:0:%d:delay" % (site, count)], cwd=self.dir,
                               env=lib.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        folder = self.path(os.path.basename(config)[:-5], ".jobs")
        deadline = time.monotonic() + 20 * SLOWER
        while time.monotonic() < deadline and run.poll() is None:
            texts = []
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                with open(os.path.join(folder, name)) as f:
                    texts.append(f.read())
            if any("\t%s\t%s\t" % (node, cell) in text for text in texts):
                break
            time.sleep(0.01)
        change()
        _, errors = run.communicate(timeout=30 * SLOWER)
        return run.returncode, errors

    def in_place(self, path):
        """Other bits, the same header, size and inode."""
        size = os.path.getsize(path)
        with open(path, "r+b") as f:
            f.seek(size - 64 * 64 * 2)
            f.write(self.rng.integers(0x3a00, 0x3d00, 64 * 64).astype(np.uint16).tobytes())

    def check_given_up(self, status, errors, config, file, kept):
        name = os.path.basename(config)[:-5]
        messages = [line for line in errors.splitlines() if line.startswith("sinew: ")]
        self.assertEqual((status, len(messages)), (3, 1), errors)
        self.assertIn(file, messages[0])
        self.assertEqual(os.path.exists(self.path(name, "cells", "f", "a", "1", "delta.h5")), kept, errors)

    def check_next(self, config):
        name = os.path.basename(config)[:-5]
        self.sinew(["run", config])
        fresh = self.config("fresh-" + name)
        self.sinew(["run", fresh])
        self.assertEqual(lib.compare_archives(self.path(name, "ground.h5"), self.path("fresh-" + name, "ground.h5")), [])

    def test_while_it_is_read(self):
        config = self.config("read")
        site, passes = self.site(config, "delta")
        file = self.path("tuned-1", "model.safetensors")

        def replaced():
            self.tune(1, "new-%d")
            os.replace(self.path("new-1", "model.safetensors"), file)
        for change in (lambda: self.in_place(file), replaced, lambda: os.rename(file, file + ".away")):
            for name in os.listdir(self.path("read", "cells", "f", "a", "1")):
                path = self.path("read", "cells", "f", "a", "1", name)
                os.remove(path) if os.path.isfile(path) else None
            status, errors = self.under_way(config, site, passes + 1, "delta", "f/a/1", change)
            self.check_given_up(status, errors, config, "tuned-1/model.safetensors", False)
        os.rename(file + ".away", file)
        self.check_next(config)

    def test_under_a_node_alone(self):
        """The checkpoint changes while a node reads it whose load was fresh before: by --stage, where delta stores nothing."""
        config, file = self.config("alone", ", store: none"), self.path("tuned-1", "model.safetensors")
        self.sinew(["run", config])
        for node in ("mask", "delta"):
            site, passes = self.site(config, node)
            os.remove(self.path("alone", "cells", "f", "a", "1", node + ".h5"))
            status, errors = self.under_way(config, site, passes + 1, node, "f/a/1", lambda: self.in_place(file), ("--stage", node))
            self.check_given_up(status, errors, config, "tuned-1/model.safetensors", node == "mask")
            self.assertFalse(os.path.exists(self.path("alone", "cells", "f", "a", "1", node + ".h5")))
            run = self.sinew(["run", config, "--stage", "mask"], status=3)
            self.assertRegex(run.stderr, "delta.h5 is (stale|missing)")
            self.sinew(["run", config])
        self.check_next(config)

    def test_under_the_old_time(self):
        """A checkpoint of other bytes under the same size, time and header: found when it is asked what is fresh."""
        config, file = self.config("old"), self.path("tuned-1", "model.safetensors")
        self.sinew(["run", config])
        self.assertIn("all fresh", self.sinew(["run", config]).stdout.replace("nothing to do", "all fresh"))
        before = os.stat(file)
        self.in_place(file)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertIn("tuned-1/model.safetensors (its bytes, not its size or time)", self.sinew(["status", config]).stdout)
        self.check_next(config)

    def test_times_in_the_future(self):
        """What was written before the clock was set back: artifacts of the future are as fresh as others, inputs of the future are inputs."""
        config = self.config("future")
        self.sinew(["run", config])
        ahead, ago = time.time() + 1e8, 1e8

        def all_at(folder, when):
            for top, _, names in os.walk(self.path(folder)):
                for name in names:
                    os.utime(os.path.join(top, name), (when, when))
        for when in (ahead, ago):
            all_at("future", when)
            self.assertIn("nothing to do", self.sinew(["run", config]).stdout)
            self.sinew(["verify", config])
        for when in (ahead, ago):
            for folder in ("base", "tuned-0", "tuned-1"):
                all_at(folder, when)
            self.assertIn("base/model.safetensors (its time)", self.sinew(["status", config]).stdout)
            self.assertIn("archive", self.sinew(["run", config]).stdout)
            self.assertIn("nothing to do", self.sinew(["run", config]).stdout)
        self.check_next(config)

    def test_an_error_of_the_moment(self):
        """config.json cannot be read when load opens the checkpoint: that is no finding about the model, and the next run has it."""
        config = self.config("moment")
        for folder in ("base", "tuned-0", "tuned-1"):
            self.write(os.path.join(folder, "config.json"), '{"num_hidden_layers": 4}')
        sites = [x for x in self.sinew(["status", config, "--inject", "list"]).stdout.split() if x.startswith("open@base/file.c@")]
        site = min(sites, key=lambda x: int(x.rsplit("@", 1)[1]))         # what reads a file whole
        for count in range(1, 12):
            run = lib.run_sinew(0, ["run", config, "--inject", "%s:0:%d:error" % (site, count)], cwd=self.dir)
            self.assertIn(run.returncode, (0, 2, 4), run.text())
            if run.returncode == 0:
                break
        self.assertGreater(count, 3, "the study's file and three of config.json are read")
        self.assertEqual(run.returncode, 0, run.text())
        for folder, _, names in os.walk(self.path("moment")):
            if "load.h5" in names:
                with h5py.File(os.path.join(folder, "load.h5")) as f:
                    self.assertIn("config.json layers 4 tied 0 problem 0000000000000000", f["files_read"][()].decode())

    def test_between_two_nodes(self):
        """The checkpoint of the second cell changes after load has seen it, while the first cell is read: no archive is made of both."""
        config = self.config("between")
        site, passes = self.site(config, "delta")
        os.remove(self.path("between", "ground.h5"))
        file = self.path("tuned-1", "model.safetensors")
        status, errors = self.under_way(config, site, 1, "delta", "f/a/0", lambda: self.in_place(file))
        self.check_given_up(status, errors, config, "tuned-1", True)
        self.assertFalse(os.path.exists(self.path("between", "ground.h5")))
        self.check_next(config)


if __name__ == "__main__":
    lib.main()
