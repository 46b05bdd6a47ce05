#!/usr/bin/python3
"""Several hosts: the same tables on any number of them; a host that is killed, frozen or cut off, or does not see the output folder, ends the
job with one message that names it, and the next run goes on."""
import os
import signal
import subprocess
import time

import numpy as np

import hostlib
import sinewlib as lib

STUDY = """study: s
output: out
cells:
  - {family: f, algorithm: a, seed: 0, base: m/base, tuned: m/t0}
  - {family: f, algorithm: a, seed: 1, base: m/base, tuned: m/t1}
stages: {load: {}, delta: {needs: [load]}, mask: {needs: [delta]}, rank: {needs: [delta]}, overlap: {needs: [mask]}}
"""
# As jobs/slurm/study.sbatch has them, in a tenth of the time.
KEEPALIVE = (("oob_tcp_keepalive_time", 3), ("oob_tcp_keepalive_intvl", 1), ("oob_tcp_keepalive_probes", 2))


class OnHosts(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(11)
        base = {"model.layers.%d.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (192, 256)).astype(np.uint16)) for i in range(4)}
        lib.write_checkpoint(self.path("m/base"), base)
        for k in range(2):
            lib.write_checkpoint(self.path("m/t%d" % k), {n: (t, b ^ (rng.random(b.shape) < 0.3).astype(np.uint16)) for n, (t, b) in base.items()})
        self.config, self.out = self.write("study.yaml", STUDY), self.path("out", "s.h5")
        self.sinew(["run", self.config])
        os.rename(self.path("out"), self.path("alone"))

    def hosts(self, n):
        folder = self.path("hosts%d" % n)
        os.mkdir(folder)
        hosts = hostlib.Hosts(folder, n)
        self.addCleanup(hosts.down)
        return hosts

    def ended(self, process, timeout):
        try:
            out, err = process.communicate(timeout=timeout * float(os.environ.get("SINEW_TEST_SLOWER", "1")))
        except subprocess.TimeoutExpired:
            process.kill()
            self.fail("still running: %s" % (process.communicate(),))
        return process.returncode, out, [line for line in err.splitlines() if line.startswith("sinew: ") and "warning" not in line], err

    def equal(self):
        self.assertEqual(lib.compare_archives(self.path("alone", "s.h5"), self.out), [])

    def run_on(self, hosts, np_, **more):
        return hosts.mpirun(np_, ["run", self.config], self.dir, **more)

    def test_tables_are_equal(self):
        for n, np_ in ((2, 5), (4, 4)):
            hosts = self.hosts(n)
            status, out, _, err = self.ended(self.run_on(hosts, np_), 60)
            self.assertEqual(status, 0, out + err)
            self.equal()
            hosts.down()
            os.rename(self.path("out"), self.path("out%d" % n))

    def stalled(self, hosts, **more):
        """A run on two hosts of which the second's processes stand still, so that it lasts until it is ended."""
        for _ in range(20):
            process = self.run_on(hosts, 4, mca=KEEPALIVE, **more)
            while process.poll() is None and not os.path.exists(self.path("out", "checkpoints")):
                time.sleep(0.005)
            hosts.signal("n2", signal.SIGSTOP, "sinew")
            time.sleep(1)
            if process.poll() is None:
                return process
            process.communicate()
            subprocess.run(["rm", "-rf", self.path("out")], check=True)
        self.fail("it was too fast")

    def goes_on(self):
        self.sinew(["run", self.config], np=2)
        self.equal()
        subprocess.run(["rm", "-rf", self.path("out")], check=True)

    def test_lost(self):
        hosts = self.hosts(2)
        # Frozen as a whole: its kernel answers, so that no connection breaks. The heartbeats tell, and mpirun is ended.
        process = self.stalled(hosts, env={"SINEW_LOST_AFTER": 5})
        hosts.signal("n2", signal.SIGSTOP)
        status, _, said, err = self.ended(process, 40)
        self.assertNotEqual(status, 0)
        self.assertEqual(len(said), 1, err)
        self.assertRegex(said[0], r"host n2 \((processes 1 to 3|2 processes, the first 1|processes 2 to 3)\) has not been heard of for 5 s")
        self.assertIn("[process 0 on n1]", said[0])
        hosts.clear("n2")
        self.goes_on()
        # Killed, and cut off: mpirun hears of it by itself, or by the keep-alive messages that the job scripts ask for.
        for what, others in ((lambda: hosts.clear("n2"), 0), (lambda: hosts.cut("n2"), 1)):
            process = self.stalled(hosts, env={"SINEW_LOST_AFTER": 0})
            what()
            status, _, said, err = self.ended(process, 30)
            self.assertNotEqual(status, 0)
            # mpirun's own words: it names the host unless it hears first that the program ended which started its daemon there.
            self.assertRegex(err, r"n2|unable to reliably start one or more daemons")
            if others:
                hosts.join("n2")
            hosts.clear("n2")
            self.goes_on()

    def test_without_the_folder(self):
        os.mkdir(self.path("out"))
        hosts = self.hosts(2)
        hosts.on("n2", "mount -t tmpfs none " + self.path("out"))
        status, _, said, err = self.ended(self.run_on(hosts, 2), 40)
        self.assertEqual(len(said), 1, err)
        self.assertIn("out: the output folder is not the same on every host: what process 0 on n1 has just written there is not to be seen", said[0])
        self.assertTrue(said[0].endswith("[process 1 on n2]"), said[0])
        hosts.on("n2", "umount " + self.path("out"))
        hosts.on("n2", "mount -t tmpfs none " + self.path("m"))
        status, _, said, err = self.ended(self.run_on(hosts, 2), 40)
        self.assertEqual(len(said), 1, err)
        self.assertIn("m/base: process 0 on n1 sees this checkpoint, and here it is not", said[0])
        self.assertTrue(said[0].endswith("[process 1 on n2]"), said[0])
        self.assertFalse(os.path.exists(self.path("out", "checkpoints")))

    def test_refused(self):
        hosts = self.hosts(2)
        status, _, said, err = self.ended(self.run_on(hosts, 2, env={"SINEW_LOST_AFTER": "soon"}), 40)
        self.assertEqual(len(said), 1, err)
        self.assertIn("SINEW_LOST_AFTER=soon: expected a number of seconds", said[0])


if __name__ == "__main__":
    if not hostlib.possible():
        lib.skip("hosts of namespaces need root, unshare, nsenter and ip")
    lib.main()
