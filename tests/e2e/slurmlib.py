"""A Slurm of Debian's packages on this machine, for tests: munged, slurmctld and slurmd with a key, ports and a folder of their own,
which end with the test. Nodes are made up (as many processors as a test wants); all are this machine. Only root can start jobs."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time

import sinewlib as lib

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "mpirun")
CONF = """ClusterName=sinew
SlurmctldHost=%(host)s(%(address)s)
SlurmctldPort=%(ctld_port)d
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=%(dir)s/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=%(dir)s/ctld
SlurmdSpoolDir=%(dir)s/spool.%%n
SlurmctldPidFile=%(dir)s/slurmctld.pid
SlurmdPidFile=%(dir)s/slurmd.%%n.pid
SlurmctldLogFile=%(dir)s/slurmctld.log
SlurmdLogFile=%(dir)s/slurmd.%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=%(kill_wait)d
MinJobAge=3600
MessageTimeout=60
SlurmdTimeout=300
JobRequeue=1
"""
# Of seconds of work, so that there is something to interrupt.
STUDY = """study: job
output: out
memory_per_process: 256 MiB
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo, grpo, dpo]
  seeds: [0, 1]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
stages:
  synth: {scale: 0.25, layers: 3, steps: 4}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  overlap: {needs: [mask]}
"""


def wanting():
    """Why no Slurm can be started here; None where one can. A machine's own programs stand in sbin, too."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        return "not installed: %s (packages slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge)" % ", ".join(lacking)
    if os.geteuid() != 0:
        return "only root can start a Slurm that starts jobs"
    return None


def end_with_the_test():
    """In a child: it gets SIGTERM as soon as the test is gone, in whatever way."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)           # PR_SET_PDEATHSIG


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    """partitions: name -> (nodes' names, further words of slurm.conf). hosts: of hostlib, on which the nodes of their names are, the first
    of them with all but the key's daemon; without, MPI works within a node alone."""

    def __init__(self, folder, nodes, partitions, cpus=2, kill_wait=5, hosts=None):
        self.dir, self.daemons, self.hosts = folder, [], hosts
        os.makedirs(os.path.join(folder, "ctld"))
        os.chmod(folder, 0o755)                          # munge looks at who may enter
        ctld_port, *ports = free_ports(1 + len(nodes))
        host = nodes[0] if hosts else socket.gethostname().split(".")[0]
        address = hosts.address if hosts else lambda name: "127.0.0.1"
        text = CONF % {"host": host, "address": address(nodes[0]), "ctld_port": ctld_port, "dir": folder, "kill_wait": kill_wait}
        if hosts:                                        # PMIx's files, which each node has for itself
            text += "TmpFS=%s\n" % os.path.join(folder, "own")
            os.makedirs(os.path.join(folder, "own"))
            for name in nodes:
                hosts.on(name, "mount -t tmpfs none " + os.path.join(folder, "own"))
        for name, port in zip(nodes, ports):
            os.makedirs(os.path.join(folder, "spool." + name))
            text += "NodeName=%s NodeHostname=%s NodeAddr=%s Port=%d CPUs=%d RealMemory=65536 State=UNKNOWN\n" % (
                name, name if hosts else host, address(name), port, cpus)
        for name, (where, words) in partitions.items():
            text += "PartitionName=%s Nodes=%s MaxTime=INFINITE State=UP %s\n" % (name, ",".join(where), words)
        with open(os.path.join(folder, "slurm.conf"), "w") as f:
            f.write(text)
        # More processors are said to be there than there are: processes that wait are not to spin.
        self.env = lib.environment({"SLURM_CONF": os.path.join(folder, "slurm.conf"), "OMPI_MCA_mpi_yield_when_idle": "1"}, np=1)
        try:
            self.start(nodes)
        except BaseException:
            self.stop()
            raise

    def start(self, nodes):
        place = lambda name: os.path.join(self.dir, name)  # noqa: E731
        with open(place("munge.key"), "wb") as f:
            f.write(os.urandom(128))
        os.chmod(place("munge.key"), 0o600)
        self.daemon("munged", "--foreground", "--force", "--num-threads=2", "--key-file=" + place("munge.key"),
                    "--socket=" + place("munge.socket"), "--pid-file=" + place("munged.pid"), "--log-file=" + place("munged.log"),
                    "--seed-file=" + place("munged.seed"))
        self.until("munged answers", lambda: os.path.exists(place("munge.socket")))
        self.daemon("slurmctld", "-D")
        for name in nodes:
            self.daemon("slurmd", "-D", "-N", name)
        self.until("all nodes are idle", lambda: set(self.tell("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"})

    def on_host(self, command, cwd=None):
        """The same on the host that it is for: a node's daemon on its own, the rest on the first."""
        if not self.hosts or command[0] == "munged":
            return list(command)
        return self.hosts.inside(command[-1] if command[0] == "slurmd" else self.hosts.names[0], cwd or self.dir) + list(command)

    def daemon(self, *command):
        with open(os.path.join(self.dir, command[0] + ".out"), "ab") as out:
            self.daemons.append(subprocess.Popen(self.on_host(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                                 start_new_session=True, preexec_fn=end_with_the_test))

    def until(self, what, true, seconds=60):
        deadline = time.monotonic() + seconds * float(os.environ.get("SINEW_TEST_SLOWER", "1"))
        while True:
            found = true()
            if found:
                return found
            ended = [d.args[0] for d in self.daemons if d.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise AssertionError("%s: %s\n%s" % (what, "ended: " + ", ".join(ended) if ended else "not within %d s" % seconds, self.logs()))
            time.sleep(0.25)

    def logs(self):
        text = ""
        for name in sorted(os.listdir(self.dir)):
            if name.endswith((".log", ".out")):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    text += "---- %s\n%s" % (name, f.read()[-2500:])
        return text

    def tell(self, *command, env=None, cwd=None):
        """What a command of Slurm prints; nothing where it fails."""
        done = subprocess.run(self.on_host(command, cwd), env=dict(self.env, **(env or {})), cwd=cwd, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def job(self, number):
        """What Slurm knows of a job, as a dict."""
        words = self.tell("scontrol", "-o", "show", "job", str(number)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def ended(self, number):
        """The job, once it is over; else None."""
        job = self.job(number)
        return job if job.get("JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED") else None

    def stop(self):
        """Ends jobs and what was started, by its id, the first last."""
        if len(self.daemons) > 1:
            self.tell("scancel", "--user=root")
            deadline = time.monotonic() + 8
            while self.tell("squeue", "-h") and time.monotonic() < deadline:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                daemon.terminate()
                try:
                    daemon.wait(8)
                except subprocess.TimeoutExpired:
                    os.killpg(daemon.pid, signal.SIGKILL)
                    daemon.wait()
        self.daemons = []
