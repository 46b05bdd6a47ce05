"""A full disk: one message, exit status 4, within seconds, on any number of processes; after room is made the run goes on and ends with
the same tables. Also: a second run on an output that is in use. The disk is a small memory file system, which only root can mount."""
import fcntl
import os
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402


class Disk(lib.Case):
    def config(self, output):
        rng = np.random.default_rng(3)
        base = {"model.layers.%d.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (512, 1024)).astype(np.uint16)) for i in range(4)}
        lib.write_checkpoint(self.path("models", "base"), base)
        for seed in (0, 1):
            tuned = {name: (dtype, bits ^ (rng.random(bits.shape) < 0.5).astype(np.uint16)) for name, (dtype, bits) in base.items()}
            lib.write_checkpoint(self.path("models", "tuned-%d" % seed), tuned)
        path = self.path("study.yaml")
        with open(path, "w") as f:
            f.write("study: full\noutput: %s\nmatrix:\n  families: [f]\n  algorithms: [a]\n  seeds: [0, 1]\n  base: %s/base\n"
                    "  tuned: %s/tuned-{seed}\nmemory_per_process: 64 MiB\nstages:\n  load: {}\n  delta: {needs: [load]}\n  mask: {needs: [delta]}\n" % (
                        output, self.path("models"), self.path("models")))
        return path

    def mount(self, kib):
        place = self.path("disk")
        os.makedirs(place, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dk" % kib, "tmpfs", place], capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", place], capture_output=True)
        return place

    def test_full(self):
        place = self.mount(3000)
        config = self.config(os.path.join(place, "out"))
        for np_ in (1, 2, 4):
            done = lib.run_sinew(np_, ["run", config], cwd=self.dir, timeout=60)
            self.assertEqual(done.returncode, 4, done.stderr)
            messages = [line for line in done.stderr.splitlines() if line.startswith("sinew: ")]
            self.assertEqual(len(messages), 1, done.stderr)
            self.assertRegex(messages[0], r"%s/\S+: cannot be \w+: no space left on the device; .*\d+( bytes)? are free on that file system; "
                             r"make room there .*give the same command again" % place)
            self.assertFalse(os.path.exists(os.path.join(place, "out", "full.h5")))
        subprocess.run(["mount", "-o", "remount,size=200m", place], check=True)
        done = lib.run_sinew(2, ["run", config], cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(lib.table(os.path.join(place, "out", "full.h5"), "cells")), 2)

    def test_output_in_use(self):
        config = self.config(self.path("out"))
        os.makedirs(self.path("out"))
        with open(self.path("out", ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = lib.run_sinew(2, ["run", config], cwd=self.dir)
            self.assertEqual(done.returncode, 4)
            self.assertIn("is in use by another run", done.stderr)
        done = lib.run_sinew(2, ["run", config], cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(self.path("out", ".lock")))

    def test_order_of_cells_changes_nothing(self):
        """Cells on one base do not depend on which of them comes first."""
        config = self.config(self.path("out"))
        self.assertEqual(lib.run_sinew(1, ["run", config], cwd=self.dir).returncode, 0)
        with open(config) as f:
            text = f.read()
        for seeds in ("[1, 0]", "[1]"):
            with open(config, "w") as f:
                f.write(text.replace("[0, 1]", seeds))
            done = lib.run_sinew(1, ["run", config], cwd=self.dir)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("to do", done.stdout)


if __name__ == "__main__":
    lib.main()
