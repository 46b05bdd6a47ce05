#!/usr/bin/python3
"""A run that is killed inside a node goes on there, on another number of processes, and ends as if nothing had been (a few trials of
tests/campaign/kills.py, which has the long form)."""
import glob
import os
import re
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "campaign"))
import kills
import sinewlib as lib


class Kills(lib.Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="sinew-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.study = kills.Disturbed(cls.folder, "short", 11)

    def test_inside_nodes(self):
        study = self.study
        # Each kind of node by SIGKILL, then a stop in good order, without mpirun and with.
        for kind, np, who, then in (("delta", 0, "all", 2), ("delta-sums", 0, "all", 0), ("rank", 2, "one", 0)):
            with self.subTest(kind=kind):
                for _ in range(20):                       # it may be over before it is killed
                    study.kill(np, kind, signal.SIGKILL, who)
                    study.finish(then)
                    if study.resumed.get(kind):
                        break
        self.assertEqual(study.problems, [])
        for kind in ("delta", "delta-sums", "rank"):
            self.assertGreaterEqual(study.resumed.get(kind, 0), 1, study.resumed)

    def test_stopped_in_good_order(self):
        """Stopped twice in one node: what is kept of it counts, and status 4 is for those that get nowhere."""
        study = self.study
        stopped = 0
        for _ in range(30):
            if not study.kill(0, "rank", signal.SIGUSR1):
                study.clear()                             # it was quicker
                stopped = 0
                continue
            self.assertEqual(study.status, 75, study.text)
            if re.search("stopped by SIGUSR1; .* done in this run and kept, and [0-9]+ steps? of what was in work; ", study.text):
                stopped += 1
                if stopped == 2:
                    break
        self.assertEqual(stopped, 2)
        self.assertNotIn("missing  rank", self.sinew(["status", study.config]).stdout.split("grpo")[0])
        study.finish(2)
        self.assertEqual(study.problems, [])

    def test_other_parameters(self):
        """Steps of other parameters are not used, nor such whose bytes are not as they were written."""
        study = self.study
        for _ in range(20):
            if study.kill(0, "delta", signal.SIGKILL):
                break
            study.clear()
        for path in study.journals():
            with open(path, "r+b") as f:
                size = os.path.getsize(path)
                for at in range(size // 3, size, size // 3 + 1):
                    f.seek(at)
                    byte = f.read(1)
                    f.seek(at)
                    f.write(bytes([byte[0] ^ 1]))
        with open(study.config) as f:
            text = f.read()
        with open(study.config, "w") as f:
            f.write(text.replace("delta: {needs: [load]}", "delta: {needs: [load], tolerances: [0]}"))
        run = self.sinew(["run", study.config, "--stage", "delta"])
        self.assertNotIn("kept from an earlier run", run.stdout)
        self.assertEqual(glob.glob(os.path.join(self.folder, "out", "**", "*.steps"), recursive=True), [])
        with open(study.config, "w") as f:
            f.write(text)
        study.finish(0)
        self.assertEqual(study.problems, [])


if __name__ == "__main__":
    lib.main()
