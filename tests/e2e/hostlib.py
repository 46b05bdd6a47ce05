"""Several hosts on one machine: network, hostname, mounts and System V of their own, on one switch; they see the same files and the same
processors. As root, where namespaces may be made."""
import os
import shutil
import signal
import subprocess
import time

import sinewlib as lib

NET = "10.91.7"
AGENT = """#!/bin/bash
# In place of ssh: agent HOST COMMAND...
host=$1
shift
exec env -i HOME="$HOME" PATH="$PATH" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 nsenter -t "$(cat %s/$host.pid)" --net --uts --mount --ipc --wd=/ -- bash -c "$*"
"""


def possible():
    return os.geteuid() == 0 and all(shutil.which(p) for p in ("unshare", "nsenter", "ip")) and \
        subprocess.run(["unshare", "--net", "--uts", "--mount", "--ipc", "--propagation", "private", "true"], stderr=subprocess.DEVNULL).returncode == 0


def namespace_of(pid):
    try:
        return os.readlink("/proc/%s/ns/net" % pid)
    except OSError:
        return None


class Hosts:
    """n1 .. nN. `folder` is for their files; down() ends all that runs on them."""

    def __init__(self, folder, n):
        self.folder, self.names, self.holders = folder, ["n%d" % (i + 1) for i in range(n)], {}
        with open(os.path.join(folder, "hosts"), "w") as f:
            f.write("127.0.0.1 localhost\n" + "".join("%s.%d n%d\n" % (NET, i + 1, i + 1) for i in range(n)))
        with open(os.path.join(folder, "hostfile"), "w") as f:
            f.write("".join("%s slots=64\n" % name for name in self.names))
        self.agent = os.path.join(folder, "agent")
        with open(self.agent, "w") as f:
            f.write(AGENT % folder)
        os.chmod(self.agent, 0o755)
        self.hold("switch", ["unshare", "--net"], "ip link add sw type bridge && ip link set sw up")
        for i, name in enumerate(self.names):
            self.hold(name, ["unshare", "--net", "--uts", "--mount", "--ipc", "--propagation", "private"],
                      "hostname %s && mount -t tmpfs tmpfs /dev/shm && mount --bind %s/hosts /etc/hosts && ip link set lo up" % (name, folder))
            pid = str(self.holders[name].pid)
            self.command(["ip", "link", "add", "v%d" % i, "netns", str(self.holders["switch"].pid), "type", "veth", "peer", "name", "eth0", "netns", pid])
            self.on("switch", "ip link set v%d master sw up" % i, spaces=["--net"])
            self.on(name, "ip addr add %s.%d/24 dev eth0 && ip link set eth0 up" % (NET, i + 1))

    @staticmethod
    def command(words):
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def hold(self, name, unshare, begin):
        """A process that holds a host's namespaces; its number in a file for the agent."""
        process = subprocess.Popen(unshare + ["bash", "-c", begin + " && echo ready && exec sleep 1000"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.holders[name] = process
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("no host " + name)
        with open(os.path.join(self.folder, name + ".pid"), "w") as f:
            f.write(str(process.pid))

    def on(self, name, command, spaces=("--net", "--uts", "--mount", "--ipc")):
        self.command(["nsenter", "-t", str(self.holders[name].pid)] + list(spaces) + ["--", "bash", "-c", command])

    def address(self, name):
        return "%s.%d" % (NET, self.names.index(name) + 1)

    def inside(self, name, cwd):
        """What a command begins with that is to run on a host."""
        return ["nsenter", "-t", str(self.holders[name].pid), "--net", "--uts", "--mount", "--ipc", "--wd=" + cwd, "--"]

    def mpirun(self, np, args, cwd, env=None, mca=()):
        """Starts `sinew args` on np processes, spread over the hosts in turn, from n1 as from a job's first node."""
        words = self.inside("n1", cwd) + [
                 "mpirun", "--mca", "plm_rsh_agent", self.agent, "--hostfile", os.path.join(self.folder, "hostfile"), "--map-by", "node", "--rank-by", "slot", "--bind-to", "none", "--oversubscribe",
                 "--mca", "mpi_yield_when_idle", "1", "--mca", "oob_tcp_if_include", NET + ".0/24", "--mca", "btl_tcp_if_include", NET + ".0/24"]
        for name, value in mca:
            words += ["--mca", name, str(value)]
        for name, value in (env or {}).items():
            words += ["-x", "%s=%s" % (name, value)]
        own = lib.environment(np=np)
        words += [word for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "OPENBLAS_NUM_THREADS") if name in own for word in ("-x", name)]
        return subprocess.Popen(words + ["-n", str(np), lib.binary()] + list(args), env=own, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def processes(self, name, program=None):
        """The processes on a host, of one program or all but the holder."""
        own, found = namespace_of(self.holders[name].pid), []
        for pid in os.listdir("/proc"):
            if pid.isdigit() and int(pid) != self.holders[name].pid and namespace_of(pid) == own:
                try:
                    with open("/proc/%s/comm" % pid) as f:
                        if program in (None, f.read().strip()):
                            found.append(int(pid))
                except OSError:
                    pass
        return found

    def signal(self, name, number, program=None):
        for pid in self.processes(name, program):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def cut(self, name):
        self.on("switch", "ip link set v%d down" % self.names.index(name), spaces=["--net"])

    def join(self, name):
        self.on("switch", "ip link set v%d up" % self.names.index(name), spaces=["--net"])

    def clear(self, name):
        for _ in range(100):
            if not self.processes(name):
                return
            self.signal(name, signal.SIGKILL)
            time.sleep(0.05)

    def down(self):
        for name, process in self.holders.items():
            if name != "switch":
                self.clear(name)
            process.kill()
            process.wait()
            process.stdout.close()
