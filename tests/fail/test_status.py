#!/usr/bin/python3
"""`status` while a run is at work, after SIGKILL, after the kernel killed it for want of memory, and after it was stopped: what runs where,
what was killed at which node, with what peak, whether memory was the cause. The next run takes what was left away."""
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

CONFIG = """study: seen
output: out
memory_per_process: 512 MiB
matrix:
  families: [f]
  algorithms: [a]
  seeds: [0]
  base: base
  tuned: tuned
stages:
  load: {}
  delta: {needs: [load]}
  rank: {needs: [delta]}
"""


class Status(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(5)
        base = {"model.layers.%d.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (1800, 1800)).astype(np.uint16)) for i in range(12)}
        lib.write_checkpoint(self.path("base"), base)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ (rng.random(b.shape) < 0.5).astype(np.uint16)) for n, (t, b) in base.items()})
        self.config = self.write("s.yaml", CONFIG)

    def start(self, np_=0):
        """A run, and wait until it says that it is at rank, by what is on the disk alone. It stands still from then on."""
        command = [lib.binary(), "run", self.config, "--force"]  # rank keeps what it has done: not here
        if np_:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np_)] + command
        folder = self.path("out", ".jobs")
        old = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        run = subprocess.Popen(command, cwd=self.dir, env=lib.environment(None, np_), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(run.kill)
        deadline = time.monotonic() + 60 * float(os.environ.get("SINEW_TEST_SLOWER", "1"))
        while run.poll() is None and time.monotonic() < deadline:
            texts = []
            for name in set(os.listdir(folder)) - old if os.path.isdir(folder) else []:
                with open(os.path.join(folder, name)) as f:
                    texts.append(f.read())
            if any("\trank\tf/a/0\t" in text for text in texts):
                for pid in lib.processes_with(self.dir):
                    os.kill(pid, signal.SIGSTOP)
                return run
            time.sleep(0.005)
        self.fail("it was never at rank: %s" % (run.stderr.read() if run.poll() is not None else "running"))

    def status(self):
        return self.sinew(["status", self.config]).stdout

    def end(self, run, number):
        os.kill(run.pid, number)
        for pid in lib.processes_with(self.dir):
            os.kill(pid, signal.SIGCONT)
        run.communicate(timeout=60)
        self.assertEqual(lib.processes_with(self.dir), [])

    def test_running_killed_stopped(self):
        for np_ in (0, 3):
            run = self.start(np_)
            text = self.status()
            self.assertRegex(text, r"(?m)^running  job +process \d+ on \S+, %d process.*: rank of f/a/0, \d+ %%" % (np_ or 1))
            self.assertRegex(text, r"(?m)^running  rank +f/a/0: \d+ % after .* on .*, process \d, peak memory [\d.]+ MB")
            self.assertRegex(text, r"(?m)^fresh    delta")
            self.assertRegex(text, r"(?m)^3 nodes below|^4 nodes: |1 running")
            for pid in lib.processes_with(self.dir) or [run.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            run.communicate(timeout=60)
            self.assertEqual(lib.processes_with(self.dir), [])
            text = self.status()
            self.assertRegex(text, r"(?m)^killed   job +process \d+ on .*, last heard of .* ago: rank of f/a/0, ")
            self.assertRegex(text, r"(?m)^killed   rank +f/a/0: ")
            self.assertIn("1 killed", text)
            self.assertNotIn("memory is the likely cause", text)
        run = self.start()
        self.assertEqual(len(os.listdir(self.path("out", ".jobs"))), 1, "what was left of dead jobs is taken away")
        self.end(run, signal.SIGTERM)
        self.assertEqual(run.returncode, 75)
        self.assertRegex(self.status(), r"(?m)^stopped  job +the last run ended early, in good order")
        self.sinew(["run", self.config], np=2)
        text = self.status()
        self.assertFalse(re.search("(?m)^(stopped|killed|running)", text), text)
        self.assertFalse(os.path.exists(self.path("out", ".jobs")))

    def test_want_of_memory(self):
        """A control group of less memory than the run wants; only root can make one."""
        if "SINEW_TEST_SLOWER" in os.environ:
            self.skipTest("a sanitizer wants more memory than the group has, before anything begins")
        group = "/sys/fs/cgroup/memory/sinew-test-%d" % os.getpid()
        try:
            os.mkdir(group)
            self.addCleanup(os.rmdir, group)
            with open(group + "/memory.limit_in_bytes", "w") as f:
                f.write("45000000")
        except OSError:
            self.skipTest("no control group can be made here")

        def enter():
            with open(group + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))
        command = [lib.binary(), "run", self.config]
        run = subprocess.run(command, cwd=self.dir, env=lib.environment(), capture_output=True, timeout=120, preexec_fn=enter)
        self.assertEqual(run.returncode, -signal.SIGKILL, run)
        text = self.status()
        self.assertRegex(text, r"(?m)^killed   job .*memory is the likely cause: the kernel has killed for want of it")


if __name__ == "__main__":
    lib.main()
