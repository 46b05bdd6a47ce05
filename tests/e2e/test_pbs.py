#!/usr/bin/python3
"""The study as a job of PBS, which Debian does not have: qsub and qstat are stand-ins, which write down what they are asked and start
nothing. That the job's script looks, runs, ends before its time and asks for a successor is tested; PBS itself is not."""
import os
import subprocess

import sinewlib as lib

SCRIPT = os.path.join(lib.ROOT, "jobs", "pbs", "study.pbs")
STUDY = """study: job
output: out
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo]
  seeds: [0]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
stages:
  synth: {scale: 0.015625, layers: 1, steps: 2}
  load: {needs: [synth]}
  delta: {needs: [load]}
"""
QSUB = '#!/bin/bash\nprintf "%s\\n" "$@" >asked\necho 8.server\n'
QSTAT = ('#!/bin/bash\nprintf "Job Id: %s\\n    queue = long\\n    Account_Name = mine\\n    Resource_List.select = 1:ncpus=2:mpi'
         '\\n\\tprocs=2\\n    Resource_List.walltime = 00:10:00\\n" "$2"\n')
# It may lose a host: before anything is done, or after something is.
MPIRUN = """#!/bin/bash
printf "%s\\n" "$@" >launched
while [ "$1" != "$SINEW" ]; do shift; done
[ -n "$LOSE" ] || exec "$@"
[ "$LOSE" != some ] || "$SINEW" run "$3" --stage synth -q || exit 1
echo "  Remote daemon: [[1,0],1] on node n2" >&2
exit 205
"""


class Pbs(lib.Case):
    def job(self, *words, status=0, config=STUDY, **env):
        for name, text in (("qsub", QSUB), ("qstat", QSTAT), ("mpirun", MPIRUN)):
            os.chmod(self.write("bin/" + name, text), 0o755)
        self.write("study.yaml", config)
        self.write("nodes", "n1\nn1\n")
        environment = lib.environment(dict({"SINEW": lib.binary(), "PATH": self.path("bin") + ":" + os.environ["PATH"]}, **env))
        done = subprocess.run(["bash", SCRIPT, *words], env=environment, cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def asked(self):
        with open(self.path("asked")) as f:
            return f.read().splitlines()

    def test_goes_on(self):
        inside = {"PBS_JOBID": "7.server", "PBS_O_WORKDIR": self.dir, "PBS_NODEFILE": self.path("nodes")}
        text = self.job(status=75, SINEW_TIME_LIMIT="0s", **inside)
        self.assertIn("stopped by the time limit", text)
        self.assertIn("successor 8.server", text)
        self.assertEqual(self.asked(), [
            "-W", "depend=afterany:7.server", "-v", "CONFIG=study.yaml,SINEW=%s,SINEW_RESTARTS=1,MAX_RESTARTS=30" % lib.binary(),
            "-l", "select=1:ncpus=2:mpiprocs=2", "-l", "walltime=00:10:00", "-A", "mine", "-q", "long", SCRIPT])
        with open(self.path("launched")) as f:
            self.assertEqual(f.read().splitlines()[:4], ["-n", "2", "--hostfile", self.path("nodes")])
        os.remove(self.path("asked"))
        self.job(status=4, SINEW_TIME_LIMIT="0s", **inside)                # again without a node done
        self.assertFalse(os.path.exists(self.path("asked")))
        self.job(SINEW_RESTARTS="1", **inside)
        self.assertFalse(os.path.exists(self.path("asked")))
        self.assertTrue(os.path.exists(self.path("out", "job.h5")))

    def test_lost_host(self):
        """Twice without getting on is enough."""
        inside = {"PBS_JOBID": "7.server", "PBS_NODEFILE": self.path("nodes")}
        text = self.job(status=75, LOSE="some", KEEP_GOING="1", SHARES="1", PBS_ARRAY_INDEX="1", **inside)
        self.assertIn("study: host lost (n2), 2 of 5 nodes are done; successor 8.server", text)
        self.assertIn("CONFIG=study.yaml,SHARE=1/1,KEEP_GOING=1,SINEW=", self.asked()[3])
        os.remove(self.path("asked"))
        self.assertIn("host lost (n2), 2 of 5 nodes are done; successor 8.server", self.job(status=75, LOSE="all", **inside))
        os.remove(self.path("asked"))
        self.assertIn("host lost (n2), 2 of 5 nodes are done; none of them in this job, as in the last, so it is not submitted again",
                      self.job(status=205, LOSE="all", **inside))
        self.assertFalse(os.path.exists(self.path("asked")))
        self.job(**inside)
        self.assertEqual([name for name in os.listdir(self.path("out")) if name.startswith(".lost")], [])

    def test_bounded(self):
        text = self.job(status=75, SINEW_TIME_LIMIT="0s", SINEW_RESTARTS="3", MAX_RESTARTS="3", PBS_JOBID="7.server")
        self.assertIn("3 successors already", text)
        self.assertFalse(os.path.exists(self.path("asked")))

    def test_dry_run(self):
        text = self.job("--dry-run", "study.yaml")
        for words in ("output  out", "submit  qsub -v CONFIG=study.yaml " + SCRIPT, "-l select=1:"):
            self.assertIn(words, text)
        self.assertIn("submit it with 'qsub", self.job("study.yaml", status=2))
        self.assertIn("cannot read the config none.yaml", self.job("--dry-run", "none.yaml", status=2))
        self.assertIn("no program at /nowhere/sinew", self.job("--dry-run", status=4, SINEW="/nowhere/sinew"))
        self.assertIn("study.yaml:2:1", self.job("--dry-run", status=2, config="study: bad\noutputt: x\n"))


if __name__ == "__main__":
    lib.main()
