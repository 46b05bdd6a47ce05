#!/usr/bin/python3
"""A real Slurm of two hosts, with networks of their own: a job over both, under srun. A host whose processes stand still is noticed and
named, and the job is submitted again and goes on."""
import os
import shutil
import signal

import hostlib
import sinewlib as lib
import slurmlib

SCRIPT = os.path.join(lib.ROOT, "jobs", "slurm", "study.sbatch")


class OnHosts(lib.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("hosts"))
        self.hosts = hostlib.Hosts(self.path("hosts"), 2)
        self.addCleanup(self.hosts.down)
        self.slurm = slurmlib.Slurm(self.path("slurm"), ["n1", "n2"], {"all": (["n1", "n2"], "Default=YES")}, cpus=4, kill_wait=2, hosts=self.hosts)
        self.addCleanup(self.slurm.stop)

    def log(self):
        try:
            with open(self.path("log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def test_frozen(self):
        self.write("study.yaml", slurmlib.STUDY)
        said = self.slurm.tell("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--output=log", SCRIPT, "study.yaml", cwd=self.dir,
                               env={"SINEW": lib.binary(), "LAUNCH": "srun", "SINEW_LOST_AFTER": "4", "SLURM_WAIT": "2"})
        number = int(said)
        self.slurm.until("the job works", lambda: "to do" in self.log() and self.hosts.processes("n2", "sinew"))
        self.hosts.signal("n2", signal.SIGSTOP, "sinew")
        self.slurm.until("the job is submitted again", lambda: "submitted again (scontrol" in self.log())
        self.assertEqual(self.log().count("host n2 (process 1) has not been heard of for 4 s"), 1, self.log())
        self.assertIn("study: host lost (n2), ", self.log())
        job = self.slurm.until("the job ends", lambda: self.slurm.ended(number))
        self.assertEqual((job["JobState"], job["Restarts"]), ("COMPLETED", "1"), self.log())
        os.rename(self.path("out"), self.path("lost"))
        shutil.rmtree(self.path("models"))
        self.sinew(["run", "study.yaml"])
        self.assertEqual(lib.compare_archives(self.path("out", "job.h5"), self.path("lost", "job.h5")), [])


if __name__ == "__main__":
    why = slurmlib.wanting()
    if why or not hostlib.possible():
        lib.skip(why or "hosts of namespaces need root, unshare, nsenter and ip")
    lib.main()
