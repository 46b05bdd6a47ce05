"""`sinew compare` that a signal ends leaves nothing in TMPDIR, alone and under mpirun, early and in the midst of its work; with --report it
stops in good order and goes on."""
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402


class Signals(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(1)
        # ranks of these take longer than the second that mpirun lets pass before it hands on SIGTERM
        w = {"model.layers.%d.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (2048, 2048)).astype(np.uint16)) for i in range(6)}
        lib.write_checkpoint(self.path("base"), w)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ (rng.random(b.shape) < 0.5).astype(np.uint16)) for n, (t, b) in w.items()})
        self.tmp = self.path("tmp")
        os.makedirs(self.tmp)

    def start(self, *args, np_=0, **how):
        # as mpirun comes: a second between TERM and KILL
        env = lib.environment({"TMPDIR": self.tmp, "OMPI_MCA_odls_base_sigkill_timeout": "1"}, np_)
        launcher = ["mpirun", "--oversubscribe", "-n", str(np_)] if np_ else []
        process = subprocess.Popen([*launcher, lib.binary(), "compare", self.path("base"), self.path("tuned"), *args], env=env, cwd=self.dir,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def scratch(self):
        return [f for f in os.listdir(self.tmp) if f.startswith("sinew-compare")]

    def wait_for(self, process, within):
        """Until the folder is there, and in it what is asked for."""
        while not any(os.path.exists(os.path.join(self.tmp, f, within)) for f in self.scratch()):
            self.assertIsNone(process.poll(), "it was too fast")
            time.sleep(0.001)

    def end(self, process):
        said = process.communicate(timeout=60)
        self.assertEqual(self.scratch(), [], said)
        return said

    def test_alone(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for within in ("", "cells"):
                process = self.start("--rank", "all")
                self.wait_for(process, within)
                process.send_signal(number)
                said = self.end(process)
                self.assertEqual((process.returncode, said), (-number, ("", "")))

    def test_under_mpirun(self):
        for number, within in ((signal.SIGTERM, "cells"), (signal.SIGINT, ""), (signal.SIGHUP, "cells")):
            process = self.start("--rank", "all", np_=2)
            self.wait_for(process, within)
            process.send_signal(number)
            said = self.end(process)
            self.assertNotEqual(process.returncode, 0)
            self.assertEqual(said[0], "")

    def test_ignored(self):
        process = self.start("--rank", "none", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.wait_for(process, "")
        process.send_signal(signal.SIGHUP)
        self.assertIn("compared parameters", self.end(process)[0])
        self.assertEqual(process.returncode, 0)

    def test_in_good_order(self):
        process = self.start("--rank", "all")
        self.wait_for(process, "cells")
        process.send_signal(signal.SIGUSR1)
        said = self.end(process)
        self.assertEqual((process.returncode, said[0], said[1].count("\n")), (75, "", 1), said)
        self.assertIn("SIGUSR1", said[1])
        self.assertIn("; nothing is kept, and the same command begins anew", said[1])
        kept = self.path("kept")
        process = self.start("--rank", "all", "--report", kept)
        while not os.path.exists(os.path.join(kept, "cells")):
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        said = self.end(process)
        self.assertEqual((process.returncode, said[0]), (75, ""), said)
        self.assertIn("; what was done is kept, and the same command goes on from here", said[1])
        process = self.start("--rank", "all", "--report", kept)
        self.assertIn("compared parameters", self.end(process)[0])
        self.assertEqual(process.returncode, 0)
        self.assertTrue(os.path.exists(os.path.join(kept, "compare.h5")))
        shutil.rmtree(kept)


if __name__ == "__main__":
    lib.main()
