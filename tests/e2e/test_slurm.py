#!/usr/bin/python3
"""The study as a job of a real Slurm, which the test starts for itself. Cut short by a signal as the time limit sends it, or taken off
its node by another job, it is submitted again and ends with the tables of a run outside; where nothing would come of it, or somebody
cancelled it, it is not. An array of twenty tasks of which two are killed ends with the same tables, and one with a damaged checkpoint with
a report that marks it. A program that only pretends stands in for sinew where the job's script is asked after alone."""
import os
import shutil
import signal
import subprocess

import sinewlib as lib
import slurmlib

SCRIPT = os.path.join(lib.ROOT, "jobs", "slurm", "study.sbatch")
ARRAY = os.path.join(lib.ROOT, "jobs", "slurm", "array.sh")
STUDY = slurmlib.STUDY + "  report: {needs: [mask, overlap], figures: false}\n"
TASKS = 20
SMALL = """study: job
output: out
memory_per_process: 256 MiB
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo, grpo, dpo, kto]
  seeds: [0, 1, 2, 3, 4]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
stages:
  synth: {scale: 0.0625, layers: 2, steps: 2}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  overlap: {needs: [mask]}
  report: {needs: [mask, overlap], figures: false}
"""
# What it does the first time, the second, ... stands in $PLAY: a status to end with, `wait`, for a signal, or STATUS/HOST, where that is
# lost. Each time $DOES nodes are done.
PRETENDER = """#!/bin/bash
runs=$(cat runs 2>/dev/null | wc -l)
case $1 in
--version) echo "sinew of the test"; exit ;;
status)
    printf 'missing  archive          ./none.h5\n40 nodes: %d fresh, 0 stale, 0 partial, 0 missing\n' $((runs * ${DOES:-0}))
    [ "$runs" = 0 ] || [ -z "$SAYS" ] || echo "$SAYS"
    exit ;;
esac
echo run >>runs
words=($PLAY)
word=${words[$runs]}
case $word in
wait) ;;
4/*) echo "sinew: system error: host ${word#*/} (process 1) has not been heard of for 40 s: it is off [process 0 on n1]" >&2; exit 4 ;;
*/*) echo "  Remote daemon: [[1,0],1] on node ${word#*/}" >&2; exit "${word%/*}" ;;
*) exit "$word" ;;
esac
trap 'kill $!; exit 75' USR1 TERM
sleep 60 &
wait
exit 1
"""
KILLED = "killed   job  process 1 on n1, for 5 s: peak memory of a process 1 GB; memory is the likely cause: it held 1 GB"


def setUpModule():
    Job.slurm = None
    Job.place = lib.tempfile.mkdtemp(prefix="sinew-test-slurm-")
    lib.unittest.addModuleCleanup(shutil.rmtree, Job.place, ignore_errors=True)
    Job.slurm = slurmlib.Slurm(os.path.join(Job.place, "slurm"), ["n1", "n2", "n3"], cpus=8, partitions={
        "all": (["n1"], "Default=YES PreemptMode=OFF"), "low": (["n2", "n3"], "PriorityTier=1 GraceTime=30"),
        "high": (["n2", "n3"], "PriorityTier=2 PreemptMode=OFF")})
    lib.unittest.addModuleCleanup(Job.slurm.stop)
    Job.pretenders()
    Job.arrays()


class Job(lib.unittest.TestCase):
    """Each job begins in a folder of its own name, where its study.yaml and its log stand."""
    maxDiff = None

    @classmethod
    def folder(cls, name, config=""):
        folder = os.path.join(cls.place, name)
        os.makedirs(folder)
        with open(os.path.join(folder, "study.yaml"), "w") as f:
            f.write(config)
        return folder

    @classmethod
    def submit(cls, name, config, *options, **env):
        done = subprocess.run(["sbatch", "--parsable", "--job-name=" + name, "--output=log", *options, SCRIPT, "study.yaml"],
                              env=dict(cls.slurm.env, **env), cwd=cls.folder(name, config), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    @classmethod
    def pretenders(cls):
        """Jobs that mostly wait, at once: they go on while others are looked at."""
        program = os.path.join(cls.place, "pretender")
        with open(program, "w") as f:
            f.write(PRETENDER)
        os.chmod(program, 0o755)
        cls.pretending = {
            name: cls.submit(name, "", "--ntasks-per-node=1", *options, SINEW=program, PLAY=play, LAUNCH=launch, MAX_RESTARTS="2", **env)
            for name, play, launch, options, env in (
                ("limit", "wait 0", "srun", ["--time=1", "--signal=B:USR1@55"], {}), ("cancelled", "wait 0", "srun", [], {}),
                ("bounded", "75 75 75", "mpirun", [], {}), ("stuck", "75 4", "srun", [], {}), ("wrong", "2", "mpirun", [], {}),
                ("gone", "9", "srun", [], {}), ("successor", "75 0", "srun", ["--no-requeue"], {}),
                ("lost", "4/n7 205/n2 0", "srun", [], {"DOES": "12"}), ("nowhere", "205/n2 137", "mpirun", [], {}),
                ("memory", "137", "srun", [], {"SAYS": KILLED}))}

    @classmethod
    def array(cls, name, config, shares, **env):
        """Submits an array, each task with a log of its own. Returns the numbers of the array and of its last job."""
        said = cls.slurm.tell("bash", ARRAY, "study.yaml", str(shares), "--ntasks-per-node=1", "--output=log-%a", cwd=cls.folder(name, config),
                              env=dict({"SINEW": lib.binary()}, **env))
        return [int(said.split(word)[1].split(":")[0]) for word in ("tasks ", "last  ")]

    @classmethod
    def arrays(cls):
        """Two arrays, which go on while others are looked at: of one, two tasks are killed as soon as they work; of the other's checkpoints
        one has lost its end. The same study, alone, made the checkpoints."""
        alone = lib.run_sinew(0, ["run", "study.yaml"], cwd=cls.folder("alone", SMALL))
        assert alone.returncode == 0, alone.text()
        cls.twenty = cls.array("twenty", SMALL, TASKS)
        shutil.copytree(os.path.join(cls.place, "alone", "models"), os.path.join(cls.place, "models"))
        damaged = os.path.join(cls.place, "models", "qwen2.5-1.5b", "grpo", "seed-2", "model.safetensors")
        os.truncate(damaged, os.path.getsize(damaged) - 1000)
        cls.killed = cls.end_task(None)
        cls.cancelled = cls.end_task(cls.killed)
        config = SMALL.replace('"models/', '"../models/').replace("  synth: {scale: 0.0625, layers: 2, steps: 2}\n", "")
        cls.damaged = cls.array("damaged", config.replace("load: {needs: [synth]}", "load: {}"), 2)

    @classmethod
    def end_task(cls, other):
        """Ends a task at work: the first by SIGKILL to its process, another by scancel. Returns its number."""
        def there():
            return [(pid, share) for pid, share in cls.tasks_at_work() if share != other]
        pid, share = cls.slurm.until("a task works", there)[0]
        if other:
            cls.slurm.tell("scancel", "%d_%d" % (cls.twenty[0], share))
        else:
            os.kill(pid, signal.SIGKILL)
        return share

    @classmethod
    def tasks_at_work(cls):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
            if words[:2] == [lib.binary(), "run"] and "--share" in words and words[words.index("--share") + 1].endswith("/%d" % TASKS) and cls.works(pid):
                found.append((int(pid), int(words[words.index("--share") + 1].split("/")[0])))
        return found

    @staticmethod
    def works(pid):
        """Its signals are caught: the run has begun."""
        try:
            with open("/proc/%s/status" % pid) as f:
                return int([line for line in f if line.startswith("SigCgt")][0].split()[1], 16) >> (signal.SIGUSR1 - 1) & 1
        except (OSError, IndexError):
            return False

    def log(self, name):
        try:
            with open(os.path.join(self.place, name, "log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def finish(self, name, number, state, status=0, restarts=0, log=None):
        job = self.slurm.until("job %s ends" % name, lambda: self.slurm.ended(number), seconds=120)
        found = {"state": job["JobState"], "status": int(job["ExitCode"].split(":")[0]), "restarts": int(job["Restarts"])}
        if log:
            with open(os.path.join(self.place, log)) as f:
                log = f.read()
        self.assertEqual(found, {"state": state, "status": status, "restarts": restarts}, log or self.log(name))

    def pretended(self, name, state, status, restarts, runs):
        self.finish(name, self.pretending[name], state, status, restarts)
        with open(os.path.join(self.place, name, "runs")) as f:
            self.assertEqual(len(f.readlines()), runs, self.log(name))

    # ---- what becomes of a job ----

    def test_ends(self):
        self.pretended("wrong", "FAILED", 2, 0, 1)
        self.pretended("gone", "FAILED", 9, 0, 1)
        self.pretended("stuck", "FAILED", 4, 1, 2)
        self.pretended("bounded", "FAILED", 75, 2, 3)
        self.assertIn("submitted again 2 times already", self.log("bounded"))

    def test_host_lost(self):
        """It is submitted again while it gets on; once where it does not; never for want of memory."""
        self.pretended("lost", "COMPLETED", 0, 2, 3)
        for words in ("host lost (n7), 12 of 40 nodes are done; submitted again", "host lost (n2), 24 of 40 nodes are done; submitted again"):
            self.assertIn("study: " + words, self.log("lost"))
        self.pretended("nowhere", "FAILED", 137, 1, 2)
        self.assertIn("host lost (n2), 0 of 40 nodes are done; submitted again", self.log("nowhere"))
        self.assertIn(", 0 of 40 nodes are done; none of them in this job, as in the last, so it is not submitted again", self.log("nowhere"))
        self.pretended("memory", "FAILED", 137, 0, 1)
        self.assertIn("memory is the likely cause, so it is not submitted again", self.log("memory"))

    def test_ends_at_its_time_limit(self):
        self.pretended("limit", "COMPLETED", 0, 1, 2)
        self.assertIn("ended with status 75 after USR1", self.log("limit"))

    def test_cancelled(self):
        number = self.pretending["cancelled"]
        runs = os.path.join(self.place, "cancelled", "runs")
        self.slurm.until("the job runs", lambda: os.path.exists(runs))
        self.slurm.tell("scancel", str(number))
        job = self.slurm.until("the job ends", lambda: self.slurm.ended(number))
        self.assertEqual((job["JobState"], job["Restarts"]), ("CANCELLED", "0"), self.log("cancelled"))

    def test_successor(self):
        """A job that must not be submitted again has one like it take its place, which begins as if it were the second time."""
        self.finish("successor", self.pretending["successor"], "FAILED", 75)
        self.slurm.until("its successor ends", lambda: "submitted again 1 times of 2 at most" in self.log("successor") and
                         "ended with status 0" in self.log("successor"))

    # ---- the study itself ----

    def submit_study(self, name, *options, **env):
        return self.submit(name, STUDY, "--ntasks-per-node=2", *options, SINEW=lib.binary(), **env)

    def until_at_work(self, jobs):
        for name in jobs:
            self.slurm.until("job %s works" % name, lambda name=name: "to do" in self.log(name))

    def test_study(self):
        """At once: two are cut short as the time limit does it, two give way to another job. Meanwhile it runs outside, whole. mpirun
        does not hear in time that its job gives way: what ends it then is not for sinew to say."""
        jobs = {}
        for launch in ("srun", "mpirun"):
            jobs["low-" + launch] = self.submit_study("low-" + launch, "--partition=low", "--exclusive", LAUNCH=launch)
        self.until_at_work(jobs)
        other = int(self.slurm.tell("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"))
        cut = {"cut-" + launch: self.submit_study("cut-" + launch, LAUNCH=launch) for launch in ("srun", "mpirun")}
        cut["cut-steps"] = self.submit_study("cut-steps", LAUNCH="srun")
        self.until_at_work(cut)
        for name, number in cut.items():
            # To the script, as --signal=B:USR1@... sends it; or to its steps, of which srun is one and mpirun none.
            self.slurm.tell("scancel", *(["--batch"] if name != "cut-steps" else []), "--signal=USR1", str(number))
        jobs.update(cut)
        shares = self.slurm.tell("bash", ARRAY, "study.yaml", "3", "--ntasks-per-node=1", "--output=log", cwd=self.folder("shares", STUDY),
                                 env={"SINEW": lib.binary(), "LAUNCH": "mpirun"})
        whole = lib.run_sinew(0, ["run", "study.yaml"], cwd=self.folder("whole", STUDY))
        self.assertEqual(whole.returncode, 0, whole.text())
        self.slurm.until("the other job ends", lambda: self.slurm.ended(other))
        for name, number in jobs.items():
            with self.subTest(name=name):
                self.finish(name, number, "COMPLETED", restarts=1)
                if name != "low-mpirun":
                    self.assertIn("stopped by " + ("SIGUSR1" if name.startswith("cut") else "SIGTERM"), self.log(name))
                self.same_tables(name)
        with self.subTest(name="shares"):
            self.finish("shares", int(shares.split("last  ")[1].split(":")[0]), "COMPLETED")
            for share in ("--share 1/3", "--share 2/3", "--share 3/3"):
                self.assertIn(share, self.log("shares"))
            self.assertEqual(self.log("shares").count("ended with status 0"), 4, self.log("shares"))
            self.same_tables("shares")

    def test_array_with_killed_tasks(self):
        """One task was killed and comes back, one was cancelled, whose cells the last job does."""
        self.finish("twenty", self.twenty[1], "COMPLETED", log="twenty/log-4294967294")
        states = [self.slurm.ended("%d_%d" % (self.twenty[0], share)) for share in range(1, TASKS + 1)]
        found = {share + 1: (job["JobState"], job["Restarts"]) for share, job in enumerate(states)}
        expected = {share: ("COMPLETED", "0") for share in range(1, TASKS + 1)}
        expected.update({self.killed: ("COMPLETED", "1"), self.cancelled: ("CANCELLED", "0")})
        self.assertEqual(found, expected)
        self.same_tables("twenty", "alone")

    def test_array_with_a_damaged_checkpoint(self):
        self.finish("damaged", self.damaged[1], "FAILED", 3, log="damaged/log-4294967294")
        with open(os.path.join(self.place, "damaged", "out", "report", "report.md")) as f:
            report = f.read()
        self.assertIn("INCOMPLETE", report)
        self.assertIn("grpo/2", report)

    def same_tables(self, name, other="whole"):
        archives = [os.path.join(self.place, folder, "out", "job.h5") for folder in (other, name)]
        self.assertEqual(lib.compare_archives(*archives), [])

    # ---- before it is submitted ----

    def look(self, config, *words, status=0, script=SCRIPT, **env):
        with open(os.path.join(self.place, "look", "study.yaml"), "w") as f:
            f.write(config)
        done = subprocess.run(["bash", script, *words], env=dict(self.slurm.env, **dict({"SINEW": lib.binary()}, **env)),
                              cwd=os.path.join(self.place, "look"), capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_dry_run(self):
        self.folder("look")
        text = self.look(STUDY, "--dry-run", "study.yaml")
        for words in ("output  out", "submit  sbatch " + SCRIPT, "--signal=B:USR1@", "srun --mpi=pmix", "sbatch: Job "):
            self.assertIn(words, text)
        self.assertIn("submit it with 'sbatch", self.look(STUDY, "study.yaml", status=2))
        self.assertIn("cannot read the config none.yaml", self.look(STUDY, "--dry-run", "none.yaml", status=2))
        self.assertIn("unknown option --dry", self.look(STUDY, "--dry", status=2))
        self.assertIn("LAUNCH is srun or mpirun, not ssh", self.look(STUDY, "--dry-run", status=2, LAUNCH="ssh"))
        self.assertIn("no program at /nowhere/sinew", self.look(STUDY, "--dry-run", status=4, SINEW="/nowhere/sinew"))
        self.assertIn("study.yaml:2:1", self.look("study: bad\noutputt: x\n", "--dry-run", status=2))
        text = self.look(STUDY.replace("output: out", "output: study.yaml/out"), "--dry-run", status=4)
        self.assertIn("the output folder study.yaml/out cannot be written", text)
        text = self.look(STUDY, "--dry-run", "study.yaml", "6", "--time=7", script=ARRAY)
        self.assertIn("tasks   SHARES=6 sbatch --parsable --array=1-6 --time=7 " + SCRIPT + " study.yaml", text)
        self.assertIn("study.yaml has 6 cells, which is less than 7 shares", self.look(STUDY, "study.yaml", "7", script=ARRAY, status=2))
        self.assertIn("none: a number of shares", self.look(STUDY, "study.yaml", "none", script=ARRAY, status=2))


if __name__ == "__main__":
    why = slurmlib.wanting()
    if why:
        lib.skip(why)
    lib.main()
