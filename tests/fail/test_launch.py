"""More tasks than MPI knows: one sentence, exit status 2, nothing written; and what only looks like it runs. What Slurm 22.05 sets in a step,
in the shell of an allocation and in a batch script is set here; where a Slurm runs, srun itself is asked."""
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402

import numpy as np  # noqa: E402

SHELL = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NPROCS": "8"}
BATCH = dict(SHELL, SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_TASK_PID="1234", SLURM_TASKS_PER_NODE="8")


def step(tasks, task, **more):
    return dict(BATCH, SLURM_STEP_ID="0", SLURM_STEPID="0", SLURM_STEP_NUM_TASKS=str(tasks), SLURM_PROCID=str(task), **more)


class Launch(lib.Case):
    def setUp(self):
        super().setUp()
        for side in ("base", "tuned"):
            lib.write_checkpoint(self.path(side), {"w.weight": ("BF16", np.ones((4, 4), np.uint16))})
        self.config = self.write("study.yaml", "study: s\noutput: out\ncells:\n  - {family: f, algorithm: a, seed: 0, base: base, "
                                               "tuned: tuned}\nstages:\n  load: {}\n")

    def run_in(self, env, verb="run", np_=0):
        return lib.run_sinew(np_, [verb, self.config], cwd=self.dir, env=env, timeout=60)

    def test_tasks_that_do_not_know_each_other(self):
        for verb in ("run", "check"):
            first = self.run_in(step(4, 0), verb)
            self.assertEqual((first.returncode, first.stdout), (2, ""), first.text())
            self.assertEqual(len(first.stderr.splitlines()), 1, first.stderr)
            self.assertIn("srun has started 4 tasks", first.stderr)
            self.assertIn("srun --mpi=pmix", first.stderr)
        other = self.run_in(step(4, 3))
        self.assertEqual((other.returncode, other.text().count("sinew:")), (2, 0), other.text())
        foreign = self.run_in({"PMI_SIZE": "3", "PMI_RANK": "0"})
        self.assertEqual(foreign.returncode, 2, foreign.text())
        self.assertEqual(len(foreign.stderr.splitlines()), 1, foreign.stderr)
        self.assertIn("3 processes were started (PMI_SIZE), but MPI knows of one", foreign.stderr)
        other = self.run_in({"PMI_SIZE": "3", "PMI_RANK": "2"})
        self.assertEqual((other.returncode, other.stderr), (2, ""))
        self.assertFalse(os.path.exists(self.path("out")))

    def test_shells_of_allocations(self):
        for env in (SHELL, BATCH, step(1, 0)):
            self.assertEqual(self.run_in(env, "check").returncode, 0, env)
        done = self.run_in(BATCH)
        self.assertEqual(done.returncode, 0, done.text())
        # mpirun in a step of several: its own count is the innermost
        if "SLURM_JOB_ID" not in os.environ:
            env = {k: v for k, v in step(4, 0).items() if "STEP" in k}
            self.assertEqual(self.run_in(env, "check", np_=2).returncode, 0)

    def test_room_to_start(self):
        """Too little address space, in which OpenBLAS would wait for ever, and too few files: said before anything is started."""
        if "SINEW_TEST_SLOWER" in os.environ:
            self.skipTest("a sanitizer maps more than any limit")
        config = self.write("c.yaml", "study: s\noutput: out\ncells: []\n")
        for which, value, words in ((resource.RLIMIT_AS, 150 << 20, "150 MiB (ulimit -v)"), (resource.RLIMIT_AS, 400 << 20, "400 MiB (ulimit -v)"),
                                    (resource.RLIMIT_DATA, 100 << 20, "100 MiB (ulimit -d)"), (resource.RLIMIT_NOFILE, 12, "files at a time")):
            for start in ([], ["mpirun", "--oversubscribe", "-n", "2", "prlimit", "--%s=%d" % ({resource.RLIMIT_AS: "as", resource.RLIMIT_DATA: "data",
                                                                                                resource.RLIMIT_NOFILE: "nofile"}[which], value)]):
                def bound(which=which, value=value, alone=not start):
                    resource.setrlimit(which, (value, value)) if alone else None
                run = subprocess.run(start + [lib.binary(), "status", config], cwd=self.dir, env=lib.environment(None, 2 if start else 0),
                                     capture_output=True, text=True, timeout=60, preexec_fn=bound)
                told = [line for line in run.stderr.splitlines() if line.startswith("sinew: ")]
                self.assertEqual((run.returncode, len(told)), (4, 1), run.stderr)
                self.assertIn(words, told[0])

    def test_slurm(self):
        if not shutil.which("srun") or subprocess.run(["sinfo"], capture_output=True, timeout=30).returncode != 0:
            self.skipTest("no Slurm runs here")
        words = [lib.binary(), "check", self.config]
        for how, status in ((["--mpi=none", "-n", "2"], 2), (["--mpi=none", "-n", "1"], 0), (["--mpi=pmix", "-n", "2"], 0)):
            done = subprocess.run(["srun", *how, *words], cwd=self.dir, capture_output=True, text=True, timeout=120, env=lib.environment())
            self.assertEqual(done.returncode, status, (how, done.stderr))
            self.assertEqual(done.stderr.count("sinew:"), status // 2, done.stderr)


if __name__ == "__main__":
    lib.main()
