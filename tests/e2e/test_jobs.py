#!/usr/bin/python3
"""Several jobs on one study at once, as an array of a scheduler starts them: each runs nodes that no other one has, whoever is killed
leaves its nodes to the others, and the archive is that of one job which was alone. The file `stop` ends them all."""
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import time

import sinewlib as lib

CELLS = 20
STUDY = """study: shared
output: out
memory_per_process: 256 MiB
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo, grpo, dpo, kto]
  seeds: [0, 1, 2, 3, 4]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
stages:
  synth: {scale: 0.02, layers: 2, steps: 2}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  report: {needs: [mask, rank, overlap], figures: false}
"""
NODES = 2 * (CELLS + 1) + 3 * CELLS + 2


class Jobs(lib.Case):
    @classmethod
    def setUpClass(cls):
        """The archive of one job."""
        cls.place = lib.tempfile.mkdtemp(prefix="sinew-test-jobs-")
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        with open(os.path.join(cls.place, "study.yaml"), "w") as f:
            f.write(STUDY)
        done = lib.run_sinew(0, ["run", "study.yaml"], cwd=cls.place)
        assert done.returncode == 0, done.text()
        cls.alone = os.path.join(cls.place, "alone.h5")
        os.rename(os.path.join(cls.place, "out", "shared.h5"), cls.alone)

    def setUp(self):
        super().setUp()
        for folder in ("out", "models"):
            shutil.rmtree(os.path.join(self.place, folder), ignore_errors=True)
        self.random, self.started = random.Random(5), 0

    def start(self, *words, np=0):
        # Several mpirun that begin at once on one host quarrel over who makes the folder of their sessions: each has its own.
        self.started += 1
        session = os.path.join(self.place, "session-%d" % self.started)
        args = (["mpirun", "--oversubscribe", "--mca", "orte_tmpdir_base", session, "-n", str(np)] if np else [])
        args += [lib.binary(), "run", "study.yaml", *words]
        return subprocess.Popen(args, cwd=self.place, env=lib.environment(np=np), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, processes):
        """What they said; each ended well."""
        texts = [process.communicate(timeout=120)[0] for process in processes]
        for process, text in zip(processes, texts):
            self.assertEqual(process.returncode, 0, text)
            self.assertNotIn("warning", text)
        return texts

    def ran(self, texts):
        return sum(int(n) for text in texts for n in re.findall(r"done: (\d+) nodes ran", text))

    def left(self):
        names = glob.glob(os.path.join(self.place, "out", "**"), recursive=True) + glob.glob(os.path.join(self.place, "out", ".*"))
        return [name for name in names if ".partial" in name or ".lock" in name or "stop" in name]

    def same_as_alone(self):
        self.assertEqual(lib.compare_archives(self.alone, os.path.join(self.place, "out", "shared.h5")), [])
        self.assertTrue(os.path.exists(os.path.join(self.place, "out", "report", "report.html")))
        self.assertEqual(self.left(), [])

    def test_an_array(self):
        """Twenty jobs, each with a cell of its own and all with the base; two are killed; then one puts the whole together."""
        jobs = [self.start("--cell-index", str(k + 1), np=2 if k % 10 == 4 else 0) for k in range(CELLS)]
        for job in (jobs[3], jobs[11]):
            time.sleep(self.random.random() * 0.5)
            job.kill()
            job.communicate()
        texts = self.end([job for job in jobs if job.returncode is None])
        self.assertTrue(all("not built: " in text for text in texts), texts[0])
        texts += self.end([self.start(np=2)])
        self.assertLessEqual(self.ran(texts), NODES)
        self.same_as_alone()

    def test_all_on_everything(self):
        """Six jobs, one of which is killed as soon as it has a node: what the others then run, each node is run once."""
        jobs = [self.start(np=(0, 0, 2, 0, 3, 0)[k]) for k in range(6)]
        killed = jobs[1]
        while not glob.glob(os.path.join(self.place, "out", "**", "*.lock"), recursive=True):
            time.sleep(0.002)
        killed.kill()
        killed.communicate()
        texts = self.end([job for job in jobs if job is not killed])
        self.assertLessEqual(self.ran(texts), NODES)
        self.same_as_alone()
        jobs = [self.start("--stage", "delta", "--stage", "mask", "--stage", "rank") for _ in range(2)]  # each does all of it
        self.assertEqual(self.ran(self.end(jobs)), 2 * 3 * CELLS)
        self.end([self.start()])
        self.same_as_alone()

    def test_report_beside_a_run(self):
        self.end([self.start()])
        report = os.path.join(self.place, "out", "report")

        def pages():
            found = {}
            for name in ("report.md", "sparsity.csv"):
                with open(os.path.join(report, name), "rb") as f:
                    found[name] = re.sub(rb"[0-9-]+T[0-9:]+Z", b"", f.read())
            return found

        before = pages()
        jobs = [self.start("--stage", "rank", "--stage", "overlap", "--stage", "report")]
        for _ in range(3):
            jobs.append(subprocess.Popen([lib.binary(), "report", "study.yaml"], cwd=self.place, env=lib.environment(),
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        self.end(jobs)
        self.assertEqual(pages(), before)
        self.end([self.start()])
        self.same_as_alone()

    def test_stop_ends_them_all(self):
        jobs = [self.start("--share", "%d/4" % (k + 1)) for k in range(4)]
        while len(glob.glob(os.path.join(self.place, "out", "checkpoints", "*", "synth.h5"))) < 4:
            time.sleep(0.002)
        with open(os.path.join(self.place, "out", "stop"), "w"):
            pass
        texts = [job.communicate(timeout=60)[0] for job in jobs]
        self.assertIn(75, [job.returncode for job in jobs], texts)
        for job, text in zip(jobs, texts):  # one that had done its part before it looked has ended well
            self.assertIn(job.returncode, (0, 75), text)
        self.assertFalse(os.path.exists(os.path.join(self.place, "out", "stop")))
        self.end([self.start()])
        self.end([self.start("--share", "%d/4" % (k + 1)) for k in range(4)])
        self.same_as_alone()

    def test_numbers(self):
        done = self.sinew(["check", "--cells", os.path.join(self.place, "study.yaml")])
        names = [line.split("\t")[0] for line in done.stdout.splitlines()]
        self.assertEqual(len(names), CELLS)
        self.end([self.start("--cell-index", "7,2-3")])
        made = {os.path.dirname(os.path.relpath(path, os.path.join(self.place, "out", "cells")))
                for path in glob.glob(os.path.join(self.place, "out", "cells", "**", "delta.h5"), recursive=True)}
        self.assertEqual(made, {names[k - 1] for k in (7, 2, 3)})
        for words, says in ((["--cell-index", "21"], "the study has cells 1 to 20; 'sinew check --cells study.yaml' lists them"),
                            (["--cell-index", "one"], "such as 3, 7-9 or 1,4,7-9"), (["--cell-index", "1", "--share", "1/2"], "one of them")):
            done = lib.run_sinew(0, ["run", "study.yaml", *words], cwd=self.place)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.text())
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    lib.main()
