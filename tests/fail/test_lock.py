"""Several runs at once in one output folder: each node is one run's, what another has is waited for, and a dead holder does not keep it;
on file systems without locks, too, which are made by a library that fails flock and fcntl as such mounts do."""
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

static int fails(void) { errno = atoi(getenv("WITHOUT_LOCKS")); return -1; }
int flock(int fd, int operation) { (void)fd, (void)operation; return fails(); }

static int control(const char *name, int fd, int what, void *arg)
{
    if (what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW)
        return fails();
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    return real(fd, what, arg);
}

#define CONTROL(name)                      \
    int name(int fd, int what, ...)        \
    {                                      \
        va_list list;                      \
        va_start(list, what);              \
        void *arg = va_arg(list, void *);  \
        va_end(list);                      \
        return control(#name, fd, what, arg); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)
"""
NONE = {"ENOLCK": 37, "EOPNOTSUPP": 95, "ENOSYS": 38, "ENOTSUPP": 524}


class Lock(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(3)
        w = {"model.layers.%d.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (256, 512)).astype(np.uint16)) for i in range(3)}
        lib.write_checkpoint(self.path("base"), w)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ (rng.random(b.shape) < 0.5).astype(np.uint16)) for n, (t, b) in w.items()})
        self.out = self.path("out")
        self.config = self.write("study.yaml", "study: s\noutput: out\ncells:\n  - {family: f, algorithm: a, seed: 0, base: base, "
                                               "tuned: tuned}\nstages:\n  load: {}\n  delta: {needs: [load]}\n  mask: {needs: [delta]}\n")
        self.shim = self.path("shim.so")
        with open(self.path("shim.c"), "w") as f:
            f.write(SHIM)
        if not shutil.which("cc") or subprocess.run(["cc", "-shared", "-fPIC", "-o", self.shim, self.path("shim.c"), "-ldl"]).returncode:
            self.skipTest("no compiler")

    def without(self, number=37):
        return {"LD_PRELOAD": self.shim, "WITHOUT_LOCKS": str(number), "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

    def run_once(self, np_=0, env=None, more=()):
        return lib.run_sinew(np_, ["run", self.config, *more], cwd=self.dir, env=env, timeout=60)

    def start(self, env, *more):
        process = subprocess.Popen([lib.binary(), "run", self.config, *more], cwd=self.dir, env=lib.environment(env),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        return process

    def ended(self, process):
        """What it said, once it has ended well."""
        text, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (0, ""), text)
        return text

    def locks(self):
        """Locks of nodes and of the archive; one of which the name is being given away counts, too."""
        return [os.path.join(folder, file) for folder, _, files in os.walk(self.out) for file in files
                if file.endswith(".h5.lock")]

    def waiting(self, process, word):
        """Until it says that it waits, so: for whatever others have before, it waits too."""
        said = ""
        while not re.search("waiting .*" + word, said):
            line = process.stdout.readline()
            self.assertNotEqual(line, "", said)
            said += line

    def stopped(self, env):
        """A run that holds a node and stands still. On a busy machine one may be over before it is looked at."""
        for _ in range(400):
            shutil.rmtree(self.out, ignore_errors=True)
            process = self.start(env)
            while process.poll() is None and not self.locks():
                pass
            if process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                held = self.locks() if process.poll() is None else []
                if held and os.path.getsize(held[0]) > 0 and not held[0].endswith("/s.h5.lock") and not os.path.exists(held[0][:-5]):
                    return process
                process.send_signal(signal.SIGCONT)
            self.ended(process)
        self.fail("it was too fast")

    def complete(self, but=()):
        """What a run that was killed said of itself (.jobs) stays until the next one begins; what it locked where there are locks, for one
        that has some."""
        self.assertEqual(sorted(set(os.listdir(self.out)) - {".jobs", *but}), ["cells", "checkpoints", "s.h5"])
        self.assertEqual(len(lib.table(os.path.join(self.out, "s.h5"), "sparsity")), 9)

    def test_runs_without_locks(self):
        first = None
        for np_, number in ((0, "ENOLCK"), (0, "ENOSYS"), (2, "EOPNOTSUPP"), (3, "ENOTSUPP")):
            shutil.rmtree(self.out, ignore_errors=True)
            done = self.run_once(np_, dict(self.without(NONE[number]), HDF5_USE_FILE_LOCKING="TRUE"))
            self.assertEqual((done.returncode, done.stderr), (0, ""), number)
            self.complete()
            first = first or shutil.copytree(self.out, self.path("first"))
            self.assertEqual(lib.compare_archives(os.path.join(first, "s.h5"), os.path.join(self.out, "s.h5")), [], number)

    def test_two_at_once(self):
        """The second does what it can and waits for the rest, whatever their mounts are like; it ends when it is asked to."""
        for env, then in ((self.without(), self.without()), ({}, {}), (self.without(), {})):
            running = self.stopped(env)
            second, third = self.start(then), self.start(then)
            for process in (second, third):
                self.waiting(process, "which process %d on %s has" % (running.pid, re.escape(socket.gethostname())))
            third.send_signal(signal.SIGTERM)
            self.assertEqual((third.wait(timeout=60), len(third.stderr.readlines())), (75, 1))
            running.send_signal(signal.SIGCONT)
            self.ended(running)
            self.ended(second)
            self.complete()

    def test_dead_holder(self):
        for env, then in ((self.without(), self.without()), (self.without(), {}), ({}, self.without())):
            running = self.stopped(env)
            running.kill()
            running.wait()
            self.assertTrue(self.locks())
            for process in [self.start(then) for _ in range(3)]:
                self.ended(process)
            self.complete(() if env or not then else (".lock",))
            self.assertIn("nothing to do", self.run_once(env=then).stdout)

    def test_holder_that_dies(self):
        """While it is waited for."""
        for env in (self.without(), {}):
            running = self.stopped(env)
            second = self.start(env)
            self.waiting(second, "process %d " % running.pid)
            running.kill()
            running.wait()
            self.ended(second)
            self.complete()

    def held(self, text, silent=0):
        """The lock of the first node, by somebody else."""
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.path("out", "cells", "f", "a", "0"))
        lock = self.write("out/cells/f/a/0/delta.h5.lock", text)
        os.utime(lock, (time.time() - silent,) * 2)
        return lock

    def test_signs_of_life(self):
        """Of a holder on another machine the age of its lock tells."""
        for text in ("file far-away 77 1234 other-boot pid:[1]\n", "flock far-away 77 1234 other-boot pid:[1]\n", "file far-away 77"):
            for env in (self.without(), {}):
                lock = self.held(text)
                waits = [self.start(env), self.start(env, "--take-over")]
                for process in waits:
                    self.waiting(process, "for delta of f/a/0, which " + (
                        "process 77 on far-away has" if text[-1] == "\n" else "another run has"))
                    self.assertTrue(os.path.exists(lock))
                os.utime(lock, (time.time() - 30,) * 2)
                self.ended(waits[1])
                self.ended(waits[0])
                self.complete()
                self.held(text, silent=130)
                self.assertEqual(self.run_once(env=env).returncode, 0)
                self.complete()

    def test_a_long_silence_is_told(self):
        lock = self.held("file far-away 77 1234 other-boot pid:[1]\n", silent=50)
        process = self.start({})
        self.waiting(process, r"no sign of life for 5\d s: after 120 it is taken over, and by a run with --take-over after 20")
        os.remove(lock)
        self.ended(process)

    def test_what_was_left(self):
        with open("/proc/sys/kernel/random/boot_id") as f:
            boot = f.read().strip()
        near = "file here %d 1 %s %s\n" % (os.getpid(), boot, os.readlink("/proc/self/ns/pid"))
        self.held(near)  # another process of that number began then
        self.assertEqual(self.run_once(env=self.without()).returncode, 0)
        self.complete()
        for env in (self.without(), {}):  # a run that was killed just behind the end of its node
            lock = self.write("out/cells/f/a/0/delta.h5.lock", near)
            self.assertIn("nothing to do", self.run_once(env=env).stdout)
            self.assertFalse(os.path.exists(lock))
        self.held("")  # that is being written, but by nobody
        began = time.monotonic()
        self.assertEqual(self.run_once(env=self.without()).returncode, 0)
        self.assertGreater(time.monotonic() - began, 1)
        self.complete()
        self.held("\0" * 5000)  # whatever stands there: the file system says that nobody holds it
        self.assertEqual(self.run_once().returncode, 0)
        self.complete()

    def test_pairs(self):
        """Started together, with and without locks and mixed: each ends well, and nothing is left but what is complete."""
        for k in range(24):
            shutil.rmtree(self.out, ignore_errors=True)
            envs = [({}, self.without(NONE["ENOSYS"]))[i] for i in ((0, 0), (1, 1), (0, 1), (1, 1))[k % 4]]
            for process in [self.start(env) for env in envs]:
                self.ended(process)
            self.complete()
            self.assertEqual(self.files(), ["cells/f/a/0/delta.h5", "cells/f/a/0/mask.h5", "s.h5"])

    def files(self):
        """All files in the output, catalogues aside; each of them is whole."""
        found = sorted(os.path.relpath(os.path.join(folder, file), self.out) for folder, _, files in os.walk(self.out) for file in files)
        for file in found:
            with h5py.File(os.path.join(self.out, file), "r") as f:
                self.assertTrue("key" in f.attrs, file)
        return [file for file in found if not file.startswith("checkpoints")]

    def test_an_older_sinew(self):
        """It locks the folder as a whole."""
        os.makedirs(self.out)
        with open(self.path("out", ".lock"), "w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            done = self.run_once()
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (4, 1), done.text())
            self.assertIn("is in use by another run of sinew, an older one", done.stderr)
        running = self.stopped({})
        with open(self.path("out", ".lock")) as f:
            self.assertRaises(OSError, fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        running.send_signal(signal.SIGCONT)
        self.ended(running)
        self.complete()

    def test_logits_that_are_being_written(self):
        with open(self.config) as f:
            text = f.read().replace("tuned: tuned", "tuned: tuned, logits: {tuned: x.h5}") + "  token-entropy: {needs: [load]}\n"
        self.write("study.yaml", text)
        with h5py.File(self.path("x.h5"), "w") as f:
            f["logits"] = np.zeros((70, 300), np.float32)
            f.flush()
            done = self.run_once()
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (3, 1), done.text())
            self.assertIn("x.h5: another program has it open for writing", done.stderr)
        self.assertEqual(self.run_once().returncode, 0)

    def test_probe_says_so(self):
        """plan --probe on such a mount: the locks are missing, what is left does, and nothing of it stays behind."""
        for number, np_ in ((37, 0), (524, 2)):
            run = lib.run_sinew(np_, ["plan", self.config, "--probe"], cwd=self.dir, env=self.without(number), timeout=60)
            self.assertEqual(run.returncode, 0, run.text())
            self.assertRegex(run.stdout, r"(?m)^locks of whole files \(flock\) +no +lock files with signs of life do instead; .*HDF5_USE_FILE_LOCKING=FALSE")
            self.assertRegex(run.stdout, r"(?m)^locks of ranges \(fcntl\) +no ")
            self.assertRegex(run.stdout, r"(?m)^one file by all, read back +yes +%d process" % max(1, np_))
            self.assertEqual(os.listdir(self.out), [])
            shutil.rmtree(self.out)


if __name__ == "__main__":
    lib.main()
