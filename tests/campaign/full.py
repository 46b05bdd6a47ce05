#!/usr/bin/python3
"""No room: a study whose output folder is on a disk that fills up, over a quota, read-only from some moment on, removed or renamed while
it runs, or on a machine whose TMPDIR or /dev/shm is full. Each run ends by itself, with status 4 and one message that names a file and, where it is for
want of room, the bytes needed and free; no file under its final name is incomplete; and the next run, with room, gives the tables of a
study that nothing disturbed.

    full.py [--points 100] [--seed 1] [--only NUMBER] [--sinew PATH]

The disk is a small memory file system, which root can mount: of so many bytes or so many files, drawn between none and what the study
needs. The quota is a library that lies between the program and the system and answers what writes with EDQUOT, or EROFS, from some call
on, in one process or in all of them. tests/fail/test_full.py runs a few."""
import argparse
import filecmp
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import digestlib  # noqa: E402
import sinewlib as lib  # noqa: E402
import smallstudy  # noqa: E402

SLOWER = float(os.environ.get("SINEW_TEST_SLOWER", "1"))
LIMIT_SEC = 60
KINDS = ("bytes", "files", "quota", "readonly", "remount", "removed", "renamed", "start", "bytes", "bytes", "quota")
REASONS = {"quota": 122, "readonly": 30}
WORDS = {"bytes": "free on that file system", "files": "can hold no more files", "quota": "the disk quota is used up", "readonly": "the file system is read-only",
         "remount": "the file system is read-only"}
CONFIG = smallstudy.TEXT.replace("output: out", "output: disk/out")
# Calls that write below FULL_FOLDER fail with FULL_REASON from the FULL_AFTER-th on, in process FULL_PROCESS or (-1) in each.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int calls;

static int fails(const char *path)
{
    const char *folder = getenv("FULL_FOLDER"), *process = getenv("FULL_PROCESS"), *me = getenv("OMPI_COMM_WORLD_RANK");
    if (!folder || strncmp(path, folder, strlen(folder)) != 0)
        return 0;
    if (atoi(process) >= 0 && me && atoi(me) != atoi(process))
        return 0;
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) <= atoi(getenv("FULL_AFTER")))
        return 0;
    errno = atoi(getenv("FULL_REASON"));
    return 1;
}

static int open_fails(int fd)
{
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return fails(path);
}

static int name_fails(const char *name)
{
    char path[2 * PATH_MAX], here[PATH_MAX];
    if (name[0] == '/')
        return fails(name);
    snprintf(path, sizeof path, "%s/%s", getcwd(here, sizeof here) ? here : "", name);
    return fails(path);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
#define WRITES(type, name, declared, passed, ...) \
    type name declared { return open_fails(fd) ? -1 : REAL(type, name, __VA_ARGS__) passed; }
WRITES(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), int, const void *, size_t)
WRITES(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), int, const void *, size_t, off_t)
WRITES(ssize_t, pwrite64, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), int, const void *, size_t, off_t)
WRITES(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), int, const struct iovec *, int)
WRITES(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o), int, const struct iovec *, int, off_t)
WRITES(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o), int, const struct iovec *, int, off_t)
WRITES(int, fsync, (int fd), (fd), int)
WRITES(int, fdatasync, (int fd), (fd), int)
WRITES(int, fallocate, (int fd, int m, off_t o, off_t n), (fd, m, o, n), int, int, off_t, off_t)
WRITES(int, ftruncate, (int fd, off_t n), (fd, n), int, off_t)
WRITES(int, ftruncate64, (int fd, off_t n), (fd, n), int, off_t)
int posix_fallocate(int fd, off_t o, off_t n)
{
    return open_fails(fd) ? errno : REAL(int, posix_fallocate, int, off_t, off_t)(fd, o, n);
}
int rename(const char *a, const char *b) { return name_fails(b) ? -1 : REAL(int, rename, const char *, const char *)(a, b); }
int mkdir(const char *a, mode_t m) { return name_fails(a) ? -1 : REAL(int, mkdir, const char *, mode_t)(a, m); }

#define OPENS(name)                                                                             \
    int name(const char *path, int flags, ...)                                                  \
    {                                                                                           \
        va_list list;                                                                           \
        va_start(list, flags);                                                                  \
        int mode = va_arg(list, int);                                                           \
        va_end(list);                                                                           \
        if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && name_fails(path))                        \
            return -1;                                                                          \
        return REAL(int, name, const char *, int, ...)(path, flags, mode);                      \
    }
OPENS(open)
OPENS(open64)
"""


class Campaign:
    def __init__(self, folder, seed):
        self.folder, self.seed, self.failures, self.count = os.path.realpath(folder), seed, [], {}
        self.disk, self.out = os.path.join(self.folder, "disk"), os.path.join(self.folder, "disk", "out")
        self.whole, self.mounted = os.path.join(self.folder, "whole"), False
        os.makedirs(self.disk)

    def sinew(self, verb, np=0, env=None):
        return lib.run_sinew(np, [verb, "c.yaml"], cwd=self.folder, timeout=LIMIT_SEC, env=env)

    def make(self):
        """Checkpoints, the study that nothing disturbs, what it takes, and the library."""
        path = os.path.join(self.folder, "c.yaml")
        with open(path, "w") as f:
            f.write(smallstudy.with_synth(CONFIG))
        run = self.sinew("run")
        assert run.returncode == 0, run.text()
        shutil.rmtree(self.out)
        with open(path, "w") as f:
            f.write(CONFIG)
        run = self.sinew("run")
        assert run.returncode == 0, run.text()
        self.seconds = run.seconds
        os.rename(self.out, self.whole)
        paths = [os.path.join(d, x) for d, _, names in os.walk(self.whole) for x in names]
        self.bytes = sum(4096 * (os.path.getsize(x) // 4096 + 1) for x in paths)
        self.entries = sum(1 + len(names) for _, _, names in os.walk(self.whole))
        self.shim = os.path.join(self.folder, "shim.so")
        with open(os.path.join(self.folder, "shim.c"), "w") as f:
            f.write(SHIM)
        self.can_shim = bool(shutil.which("cc")) and \
            subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", self.shim, os.path.join(self.folder, "shim.c"), "-ldl"]).returncode == 0

    # ---- the disk ----

    def mount(self, options):
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.disk], capture_output=True).returncode == 0
        return self.mounted

    def room(self):
        """From here on there is enough."""
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,rw,size=1g,nr_inodes=100000", self.disk], check=True)

    def clear(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.disk], check=True)
            self.mounted = False
        for name in os.listdir(self.disk):
            shutil.rmtree(os.path.join(self.disk, name))

    def meanwhile(self, np, change):
        """A run in which, at a random moment, `change` happens: called again and again until it has."""
        command = [lib.binary(), "run", "c.yaml"]
        if np:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np)] + command
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(command, cwd=self.folder, env=lib.environment(np=np), stdout=out, stderr=err, stdin=subprocess.DEVNULL)
            started = time.monotonic()
            at, done = started + (0.2 if np else 0.02) + self.random.random() * self.seconds, False
            while process.poll() is None and time.monotonic() < started + LIMIT_SEC * SLOWER:
                if not done and time.monotonic() > at:
                    done = change()
                    # removing takes a while itself: what has ended before it had is over
                    self.late = b"done: " in os.pread(out.fileno(), 1 << 16, 0)
                time.sleep(0.0005)
            if process.poll() is None:
                process.kill()
                return lib.Run("timeout", "", "", 0, 0)
            texts = []
            for f in (out, err):
                f.seek(0)
                texts.append(f.read().decode("utf-8", "replace"))
        return lib.Run(process.returncode, texts[0], texts[1], time.monotonic() - started, 0)

    # ---- one point ----

    def short_of(self, kind, np):
        """Runs the study where there is not enough of something. None where this machine cannot do it."""
        if kind in ("bytes", "files"):
            most = self.bytes * 1.05 if kind == "bytes" else self.entries * 1.3
            few = self.random.random() < 0.15          # some at the very beginning
            amount = int(self.random.random() * (65536 if kind == "bytes" else 8) if few else self.random.random() * most)
            self.what = "%d %s" % (amount, kind)
            if not self.mount("size=%d" % max(amount, 4096) if kind == "bytes" else "size=1g,nr_inodes=%d" % max(amount, 2)):
                return None
            return self.sinew("run", np)
        if kind in REASONS:
            if not self.can_shim:
                return None
            after, who = self.random.choice((self.random.randrange(20), self.random.randrange(600))), self.random.randrange(-1, max(np, 1))
            self.what = "%s from call %d of process %d on" % (kind, after, who)
            return self.sinew("run", np, {"LD_PRELOAD": self.shim, "FULL_FOLDER": self.out, "FULL_AFTER": str(after), "FULL_PROCESS": str(who),
                                          "FULL_REASON": str(REASONS[kind]), "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"})
        if kind == "remount":
            if not self.mount("size=1g"):
                return None
            return self.meanwhile(np, lambda: subprocess.run(["mount", "-o", "remount,ro", self.disk], capture_output=True).returncode == 0)
        if kind == "start":
            return self.at_start(np)
        return self.meanwhile(np, self.remove if kind == "removed" else self.rename)

    def remove(self):
        if not os.path.isdir(self.out):
            return False
        shutil.rmtree(self.out, ignore_errors=True)
        return True

    def rename(self):
        if not os.path.isdir(self.out):
            return False
        os.rename(self.out, os.path.join(self.disk, "away"))
        return True

    def at_start(self, np):
        """TMPDIR or /dev/shm is full before the program begins; both are seen by this run alone."""
        self.what = place = self.random.choice(("tmp", "/dev/shm"))
        size = self.random.choice((4096, 65536))
        self.what += " of %d bytes" % size
        path = os.path.join(self.folder, place)
        if place == "tmp":
            os.makedirs(path, exist_ok=True)
        script = "mount -t tmpfs -o size=%d tmpfs %s && { head -c %d /dev/zero > %s/filled 2>/dev/null; exec \"$@\"; }" % (size, path, size, path)
        command = ["unshare", "-m", "sh", "-c", script, "sh"]
        if subprocess.run(command + ["true"], capture_output=True).returncode != 0:
            return None
        command += (["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np)] if np else []) + [lib.binary(), "run", "c.yaml"]
        try:
            run = subprocess.run(command, cwd=self.folder, env=lib.environment({"TMPDIR": path} if place == "tmp" else {}, np=np), capture_output=True,
                                 text=True, timeout=LIMIT_SEC * SLOWER, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return lib.Run("timeout", "", "", LIMIT_SEC, 0)
        return lib.Run(run.returncode, run.stdout, run.stderr, 0, 0)

    def judge(self, kind, np, run):
        """What is wrong with how it ended."""
        errors = run.errors()
        if run.returncode == 0 and not errors:
            if kind in ("removed", "renamed") and not os.path.exists(os.path.join(self.out, "s.h5")):
                return [] if self.late else ["gone, and not noticed"]
            return self.compare()                       # it was enough, or too late
        if kind == "start" and np and not errors and run.returncode not in ("timeout",):
            return []                                   # mpirun itself found no room, and says so
        wrong = []
        if run.returncode != 4 or len(errors) != 1:
            wrong.append("status %s, %d messages" % (run.returncode, len(errors)))
        elif kind in WORDS and (WORDS[kind] not in errors[0] or "disk/out" not in errors[0]):
            wrong.append("the message does not say what was needed: " + errors[0])
        elif kind != "start" and "disk" not in errors[0]:
            wrong.append("the message names no file: " + errors[0])
        left = lib.processes_with("c.yaml")
        if left:
            wrong.append("processes are left: %s" % left)
        return wrong + self.incomplete()

    def incomplete(self):
        """Files under their final names that are not what they should be."""
        found = []
        for folder, _, names in os.walk(self.disk):
            for path in (os.path.join(folder, x) for x in names):
                if path.endswith(".h5") and not digestlib.is_whole(path):
                    found.append("incomplete: " + path)
                same = os.path.join(self.whole, *os.path.relpath(path, self.disk).split(os.sep)[1:])
                if path.endswith(".csv") and not filecmp.cmp(path, same, shallow=False):
                    found.append("other than it should be: " + path)
        return found

    def compare(self):
        found = lib.compare_archives(os.path.join(self.whole, "s.h5"), os.path.join(self.out, "s.h5"))
        left = [os.path.join(d, x) for d, folders, names in os.walk(self.out) for x in names + folders
                if ".partial" in x or x.endswith((".lock", ".steps")) or x == ".jobs"]
        return found[:3] + ["left behind: " + x for x in left]

    def point(self, number):
        self.random = random.Random("%d point %d" % (self.seed, number))
        kind, np = KINDS[number % len(KINDS)], self.random.randrange(4)
        self.what = kind
        run = self.short_of(kind, np)
        if run is None:
            self.count["not on this machine: " + kind] = self.count.get("not on this machine: " + kind, 0) + 1
            self.clear()
            return
        wrong = self.judge(kind, np, run)
        ended = "done" if run.returncode == 0 else "refused"
        self.room()
        again = self.sinew("run", self.random.choice([n for n in range(4) if n != np]))
        if again.returncode != 0:
            wrong.append("the next run:\n" + again.text())
        else:
            wrong += self.compare()
        key = "%s %s" % (kind, "wrong" if wrong else ended)
        self.count[key] = self.count.get(key, 0) + 1
        if wrong:
            self.failures.append("point %d of seed %d, %s on %d processes: %s\n%s" % (number, self.seed, self.what, np, "\n".join(wrong), run.text()))
            print(self.failures[-1], flush=True)
        self.clear()


def run(points, seed, only=None):
    """Returns the campaign, whose `failures` are to be empty."""
    folder = tempfile.mkdtemp(prefix="sinew-full-")
    c = Campaign(folder, seed)
    try:
        c.make()
        for number in range(points):
            if only is None or only == number:
                c.point(number)
        print("seed %d: %d points: %s" % (seed, points, ", ".join("%s %d" % x for x in sorted(c.count.items()))), flush=True)
        return c
    finally:
        c.clear()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--points", type=int, default=100)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", type=int)
    words.add_argument("--sinew")
    args = words.parse_args()
    if args.sinew:
        os.environ["SINEW"] = args.sinew
    sys.exit(1 if run(args.points, args.seed, args.only).failures else 0)
