"""File systems without locks: sinew runs there, one at a time in a folder, by a lock of its own, which a dead holder does not keep. They
are made by a library that fails flock and fcntl as such mounts do."""
import os
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
        self.out, self.lock = self.path("out"), self.path("out", ".lock")
        self.config = self.write("study.yaml", "study: s\noutput: out\ncells:\n  - {family: f, algorithm: a, seed: 0, base: base, "
                                               "tuned: tuned}\nstages:\n  load: {}\n  delta: {needs: [load]}\n  mask: {needs: [delta]}\n")
        self.shim = self.path("shim.so")
        with open(self.path("shim.c"), "w") as f:
            f.write(SHIM)
        if not shutil.which("cc") or subprocess.run(["cc", "-shared", "-fPIC", "-o", self.shim, self.path("shim.c"), "-ldl"]).returncode:
            self.skipTest("no compiler")

    def without(self, number=37):
        return {"LD_PRELOAD": self.shim, "WITHOUT_LOCKS": str(number), "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

    def run_once(self, np_=0, env=None):
        return lib.run_sinew(np_, ["run", self.config], cwd=self.dir, env=env, timeout=60)

    def start(self, env):
        return subprocess.Popen([lib.binary(), "run", self.config], cwd=self.dir, env=lib.environment(env), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def stopped(self, env):
        """A run that holds the folder and stands still. On a busy machine one may be over before it is looked at."""
        for _ in range(400):
            shutil.rmtree(self.out, ignore_errors=True)
            process = self.start(env)
            self.addCleanup(process.stderr.close)
            while process.poll() is None and not os.path.exists(self.lock):
                pass
            if process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if process.poll() is None and os.path.exists(self.lock) and os.path.getsize(self.lock) > 0:
                    return process
                process.send_signal(signal.SIGCONT)
            self.assertEqual(process.wait(timeout=60), 0)
        self.fail("it was too fast")

    def complete(self):
        self.assertEqual(sorted(os.listdir(self.out)), ["cells", "checkpoints", "s.h5"])
        self.assertEqual(len(lib.table(os.path.join(self.out, "s.h5"), "sparsity")), 9)

    def refused(self, env, *words):
        done = self.run_once(env=env)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (4, 1), done.text())
        for word in ("is in use by another run of sinew",) + words:
            self.assertIn(word, done.stderr)

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
        for env in (self.without(), {}):
            running = self.stopped(env)
            self.refused(env, ", process %d on %s;" % (running.pid, socket.gethostname()))
            if env:  # a machine whose mount has locks does not come in between
                self.refused({}, ", process %d on " % running.pid)
            running.send_signal(signal.SIGCONT)
            self.assertEqual(running.wait(timeout=60), 0)
            self.complete()

    def test_dead_holder(self):
        for env, then in ((self.without(), self.without()), (self.without(), {}), ({}, self.without())):
            running = self.stopped(env)
            running.kill()
            running.wait()
            self.assertTrue(os.path.exists(self.lock))
            several = [self.start(then) for _ in range(3)]
            said = [process.communicate(timeout=60)[1] for process in several]
            statuses = [process.returncode for process in several]
            self.assertIn(0, statuses, said)
            for status, text in zip(statuses, said):
                self.assertTrue(status == 0 or (status == 4 and "is in use by" in text), text)
            self.complete()
            self.assertEqual(self.run_once(env=then).returncode, 0)

    def test_what_cannot_be_known(self):
        os.makedirs(self.out)
        for text in ("file far-away 77 1234 other-boot pid:[1]\n", "file far-away 77", "\0" * 5000):
            for env in (self.without(), {}):
                if text[0] == "\0" and not env:
                    continue  # whatever stands there: the file system says that nobody holds it
                self.write("out/.lock", text)
                self.refused(env, "if that has ended, remove out/.lock")
                self.assertTrue(os.path.exists(self.lock))
        with open("/proc/sys/kernel/random/boot_id") as f:
            boot = f.read().strip()
        self.write("out/.lock", "file here %d 1 %s %s\n" % (os.getpid(), boot, os.readlink("/proc/self/ns/pid")))  # another began then
        self.assertEqual(self.run_once(env=self.without()).returncode, 0)
        self.write("out/.lock", "")  # as older ones left it
        began = time.monotonic()
        self.assertEqual(self.run_once(env=self.without()).returncode, 0)
        self.assertGreater(time.monotonic() - began, 1)
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


if __name__ == "__main__":
    lib.main()
