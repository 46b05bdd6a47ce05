#!/usr/bin/python3
"""A run that is asked to end early: by a signal to one process, to all or to mpirun, by its time limit, by a file. It ends at once,
says in one line how to go on, with status 75; the same command, on any number of processes, then ends with the tables of a run
that nobody stopped. Asked for a second time it does not wait; stopped again without having done anything it says that."""
import glob
import os
import random
import shutil
import signal
import subprocess
import time

import sinewlib as lib

PATIENCE_SEC = 20     # mpirun itself takes two seconds and more on a busy machine
STUDY = """study: stopped
output: %s
memory_per_process: 256 MiB
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo, grpo, dpo]
  seeds: [0, 1, 2]
  base: "%s/{family}/base"
  tuned: "%s/{family}/{algorithm}/seed-{seed}"
  logits: {base: "%s/{family}/base/logits.safetensors", tuned: "%s/{family}/{algorithm}/seed-{seed}/logits.safetensors"}
stages:
  synth: {scale: 0.125, layers: 4, steps: 4, logits: 256}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy], figures: false}
"""


class Stop(lib.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(7)
        self.config = self.study("out")

    def study(self, output):
        models = self.path("models-" + output)
        return self.write(output + ".yaml", STUDY % ((self.path(output),) + (models,) * 4))

    def start(self, np, extra=()):
        command = [lib.binary(), "run", self.config, *extra]
        if np:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np)] + command
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.dir,
                                env=lib.environment(np=np), start_new_session=True)

    def workers(self, process, np):
        """The processes of the run, once each of them catches signals."""
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            pids = [process.pid]
            if np:
                with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as f:
                    pids = [int(p) for p in f.read().split()]
            if len(pids) == max(np, 1) and all(map(self.catches, pids)):
                return pids
            self.assertLess(time.monotonic(), deadline, "the run does not begin")
            self.assertIsNone(process.poll(), "the run ended before it was stopped")
            time.sleep(0.005)

    @staticmethod
    def catches(pid):
        try:
            if os.path.realpath("/proc/%d/exe" % pid) != os.path.realpath(lib.binary()):
                return False                             # mpirun's child, which has mpirun's signals
            with open("/proc/%d/status" % pid) as f:
                mask = int([line for line in f if line.startswith("SigCgt")][0].split()[1], 16)
        except (OSError, IndexError):
            return False
        return bool(mask >> (signal.SIGUSR1 - 1) & 1)

    def finish(self, process):
        try:
            out, err = process.communicate(timeout=PATIENCE_SEC)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.fail("still running %d s after it was asked to end" % PATIENCE_SEC)
        return process.returncode, [line for line in err.splitlines() if line.startswith("sinew: ") and "warning" not in line], out + err

    def check_tables(self):
        """The archive is that of the same study in the same place, undisturbed."""
        for folder in ("out", "models-out"):
            os.rename(self.path(folder), self.path("stopped-" + folder))
        self.sinew(["run", self.config])
        self.assertEqual(lib.compare_archives(self.path("out", "stopped.h5"), self.path("stopped-out", "stopped.h5")), [])

    def test_signals(self):
        kinds = [(who, np, number) for who in ("one", "all", "mpirun") for np in (0, 1, 2, 3)
                 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2) if np or who == "one"]
        self.random.shuffle(kinds)
        stopped = 0
        for who, np, number in kinds[:20]:
            with self.subTest(who=who, np=np, signal=number.name):
                process = self.start(np)
                pids = self.workers(process, np)
                time.sleep(self.random.random() * 0.6)
                for pid in {"one": [self.random.choice(pids)], "all": pids, "mpirun": [process.pid]}[who]:
                    if process.poll() is None:
                        os.kill(pid, number)
                status, errors, text = self.finish(process)
                if status == 0:
                    shutil.rmtree(self.path("out"))         # it was quicker; from the start again
                    continue
                stopped += 1
                if who == "mpirun" and number in (signal.SIGTERM, signal.SIGINT):
                    self.assertNotEqual(status, 0)          # its own, after a second's grace for the processes
                    continue
                self.assertIn(status, (75, 4), text)
                self.assertEqual(len(errors), 1, text)
                self.assertIn("stopped by " + number.name if status == 75 else "stopped again by " + number.name, errors[0])
                self.assertIn("sinew run %s' goes on from here" % self.config if status == 75 else "more time", errors[0])
        self.assertGreater(stopped, 10)
        self.assertEqual(lib.processes_with(self.dir), [])
        self.sinew(["run", self.config], np=2)
        self.assertEqual(glob.glob(self.path("out", "**", "*.partial*"), recursive=True), [])
        self.assertFalse(os.path.exists(self.path("out", ".stopped")))
        self.check_tables()

    def test_time_limit(self):
        """Cut again and again it gets there, and each time before the limit. The limit counts from the start of the program."""
        ends = []
        for np in (0, 2, 1, 3, 0, 2, 1, 3, 0, 0, 0, 0):
            run = lib.run_sinew(np, ["run", self.config, "--time-limit", "%gs" % (1.2 * 1.25 ** len(ends))], cwd=self.dir)
            ends.append(run.returncode)
            if run.returncode == 0:
                break
            self.assertIn(run.returncode, (75, 4), run.text())
            self.assertIn("by the time limit", run.errors()[0])
        self.assertEqual(ends[-1], 0, ends)
        self.check_tables()

    def test_told_by_the_environment(self):
        for name, value in (("SINEW_TIME_LIMIT", "00:00"), ("SLURM_JOB_END_TIME", "%d" % time.time()), ("PBS_WALLTIME", "1")):
            with self.subTest(name=name):
                shutil.rmtree(self.path("out"), ignore_errors=True)
                env = {name: value}
                time.sleep(1.1 if name == "PBS_WALLTIME" else 0)  # the session began before that
                run = lib.run_sinew(0, ["run", self.config], cwd=self.dir, env=env)
                if name == "PBS_WALLTIME":
                    self.assertIn(run.returncode, (0, 75), run.text())
                    continue
                self.assertEqual(run.returncode, 75, run.text())
                again = lib.run_sinew(0, ["run", self.config], cwd=self.dir, env=env)
                self.assertEqual(again.returncode, 4, again.text())
                self.assertIn("stopped again by the time limit before anything of a node was kept", again.errors()[0])
        run = self.sinew(["run", self.config, "--time-limit", "10"], status=2)
        self.assertIn("--time-limit 10: no length of time; say 90s, 45m", run.stderr)
        run = self.sinew(["run", self.config], status=2, env={"SINEW_TIME_LIMIT": "tomorrow"})
        self.assertIn("SINEW_TIME_LIMIT=tomorrow: no length", run.stderr)

    def test_file(self):
        for np in (0, 2):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            process = self.start(np)
            self.workers(process, np)
            while not os.path.exists(self.path("out")):
                time.sleep(0.005)
            with open(self.path("out", "stop"), "w"):
                pass
            status, errors, text = self.finish(process)
            self.assertEqual(status, 75, text)
            self.assertIn("by the file stop in the output folder", errors[0])
            self.assertFalse(os.path.exists(self.path("out", "stop")), "the next run would stop, too")
        self.sinew(["run", self.config])

    def test_a_stage_in_parts(self):
        """What was completed of a stage that was cut counts: whoever is stopped in it again and again gets on."""
        done = lambda: set(glob.glob(self.path("out", "**", "synth.h5"), recursive=True))  # noqa: E731
        for np in (3, 0):
            before, process = done(), self.start(np)
            while not done() - before and process.poll() is None:
                time.sleep(0.005)
            with open(self.path("out", "stop"), "w"):
                pass
            status, errors, text = self.finish(process)
            self.assertEqual(status, 75, text)
            made = len(done() - before)
            self.assertIn("%d node%s done in this run" % (made, " was" if made == 1 else "s were"), errors[0])

    def test_twice_is_at_once(self):
        process = self.start(0)
        self.workers(process, 0)
        os.kill(process.pid, signal.SIGSTOP)             # both are there before it can look
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
        status, errors, text = self.finish(process)
        self.assertIn(status, (-signal.SIGINT, 75), text)
        self.sinew(["run", self.config])


if __name__ == "__main__":
    lib.main()
