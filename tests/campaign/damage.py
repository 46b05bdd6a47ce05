#!/usr/bin/python3
"""Damage on purpose: artifacts and archives with a bit flipped, a page of zeros or of rubbish, two blocks exchanged, a block of another
file, an end cut off or added. Each must be found, when it is read or by `sinew verify`; none may be believed, crash or hang anything.

    damage.py [--trials 300] [--archives 50] [--contents 200] [--seed 1] [--sinew PATH]

Of each damaged artifact, the archive and what was made of it is taken away, so that everything is read again: `sinew run` must end with
status 0 and the archive of before, or with status 3, one message that names the file, and once more with status 0 and that archive. Where
the file still stands as it was damaged, nobody has read that part, and `sinew verify` must name it. Of each damaged archive `sinew report`
is asked first. And archives whose digests are right, but whose tables say what no run has written: extreme numbers, rows and tables that
are missing, twice or empty. Of those `sinew report` may say anything but a crash, a hang, or more than one message (its gnuplot is one that
draws nothing). What went wrong is printed with its number, from which --seed and --only make it again."""
import argparse
import filecmp
import os
import random
import shutil
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import digestlib  # noqa: E402
import sinewlib as lib  # noqa: E402
import smallstudy  # noqa: E402

LIMIT_SEC = 60
KINDS = ("bit", "byte", "zeros", "rubbish", "exchanged", "foreign", "cut", "cut-page", "added", "digests", "empty")
ABOVE = {"load.h5": ("delta", "token-entropy"), "delta.h5": ("mask", "rank"), "mask.h5": ("overlap",)}


EXTREMES = {"i": (0, 1, -1, 255, 1000000, 1 << 31, 1 << 40, (1 << 62), -(1 << 62), (1 << 63) - 1, -(1 << 63)),
            "f": (0.0, -0.0, 1e-320, 1e308, -1e308, float("inf"), -float("inf"), float("nan"), 1e-5, -1.0),
            "S": (b"", b"x", b"model", b"layer:0", b"bits", b"absolute", b"\x1b[31m", b"\xff\xfe", b"model.layers.1000000.mlp.up_proj.weight")}


def rewrite(f, name, rows):
    """The table, with other rows."""
    said = dict(f["tables"][name].attrs)
    del f["tables"][name]
    f["tables"].create_dataset(name, data=rows).attrs.update(said)


def other_content(f, rng):
    """Changes something in an archive that is open; says what."""
    name = rng.choice([x for x in f["tables"] if len(f["tables"][x])])
    rows, kind = f["tables"][name][()], rng.randrange(8)
    if kind == 0:
        del f["tables"][name]
        return "no table " + name
    if kind == 1:
        rewrite(f, name, rows[:0])
        return "an empty table " + name
    if kind == 2:
        rewrite(f, name, np.concatenate([rows, rows]))
        return "table %s twice" % name
    if kind == 3:
        rewrite(f, name, rows[[rng.randrange(len(rows)) for _ in rows]])
        return "rows of table %s drawn" % name
    column = rng.choice(rows.dtype.names)
    which = slice(None) if kind == 4 else rng.randrange(len(rows)) if kind < 7 else slice(0, len(rows), 2)
    value = rng.choice(EXTREMES[rows.dtype[column].kind])
    rows[column][which] = value
    f["tables"][name][...] = rows
    return "%s.%s of rows %s is %r" % (name, column, which, value)


def damage(data, kind, others, rng):
    """The file's bytes, damaged; never as they were."""
    n = len(data)
    out = bytearray(data)
    at = rng.randrange(n)
    if kind == "bit":
        out[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        out[at] ^= rng.randrange(1, 256)
    elif kind == "zeros":
        at -= at % 4096
        out[at:at + 4096] = bytes(len(out[at:at + 4096]))
    elif kind == "rubbish":
        span = rng.choice((16, 512, 4096, 65536))
        out[at:at + span] = bytes(rng.randrange(256) for _ in out[at:at + span])
    elif kind == "exchanged":
        size = rng.choice((512, 4096, 16384))
        a, b = rng.randrange(n // size + 1) * size, rng.randrange(n // size + 1) * size
        if a + size <= n and b + size <= n:
            out[a:a + size], out[b:b + size] = data[b:b + size], data[a:a + size]
    elif kind == "foreign":
        other = rng.choice(others)
        size = rng.choice((512, 4096, 16384))
        at -= at % size
        out[at:at + size] = other[at:at + size][:len(out[at:at + size])].ljust(len(out[at:at + size]), b"\0")
    elif kind == "cut":
        del out[rng.randrange(n):]
    elif kind == "cut-page":
        del out[-rng.choice((1, 8, 64, 128, 4096)):]
    elif kind == "added":
        out += bytes(rng.randrange(256) for _ in range(rng.choice((1, 64, 4096))))
    elif kind == "digests":                       # somewhere behind the data
        at = rng.randrange(len(digestlib.data_of(data)), n)
        out[at] ^= rng.randrange(1, 256)
    elif kind == "empty":
        out = bytearray()
    if bytes(out) == data:                        # it hit what was alike
        out[at] ^= 1
    return bytes(out)


class Campaign:
    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.out, self.whole = os.path.join(folder, "out"), os.path.join(folder, "whole")
        self.count = {"read": 0, "refused": 0, "verify": 0, "crashed": 0, "believed": 0, "other": 0}
        self.failures = []

    def sinew(self, verb, config="c.yaml", env=None):
        return lib.run_sinew(0, [verb, config], cwd=self.folder, timeout=LIMIT_SEC, env=env)

    def make(self):
        text = smallstudy.TEXT.replace("256 MiB", "1 GiB")
        with open(os.path.join(self.folder, "c.yaml"), "w") as f:
            f.write(smallstudy.with_synth(text))
        run = self.sinew("run")
        assert run.returncode == 0, run.text()
        shutil.rmtree(self.out)
        with open(os.path.join(self.folder, "c.yaml"), "w") as f:
            f.write(text)
        with open(os.path.join(self.folder, "figures.yaml"), "w") as f:
            f.write(text.replace("figures: false, html: false", "figures: true"))
        os.mkdir(os.path.join(self.folder, "bin"))
        with open(os.path.join(self.folder, "bin", "gnuplot"), "w") as f:
            f.write("#!/bin/sh\nexit 3\n")
        os.chmod(os.path.join(self.folder, "bin", "gnuplot"), 0o755)
        run = self.sinew("run")
        assert run.returncode == 0, run.text()
        os.rename(self.out, self.whole)
        self.files = sorted(os.path.relpath(os.path.join(d, x), self.whole) for d, _, names in os.walk(self.whole)
                            for x in names if x.endswith(".h5") and x not in ("s.h5", "report.h5"))
        self.data = {x: digestlib.content_of(os.path.join(self.whole, x)) for x in self.files + ["s.h5"]}
        self.reset()
        for x in self.files + ["s.h5"]:
            assert digestlib.is_whole(os.path.join(self.out, x)), x

    def reset(self):
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.whole, self.out)     # with the times of its files

    def put(self, name, data):
        with open(os.path.join(self.out, name), "wb") as f:
            f.write(data)

    def is_still(self, name, data):
        return digestlib.content_of(os.path.join(self.out, name)) == data

    def wrong(self, what, number, why):
        self.count[what] += 1
        self.failures.append("%s: trial %s (seed %d): %s" % (what, number, self.seed, why))
        print(self.failures[-1], flush=True)

    def judge_refusal(self, run, name, number):
        """Was that status 3 with one message that names the file?"""
        if run.returncode in (0, 3) and len(run.errors()) == (run.returncode == 3) and (run.returncode == 0 or name in run.stderr):
            return True
        self.wrong("other" if run.returncode in (2, 3, 4, 5) else "crashed", number, "%s\n%s" % (name, run.text()))
        return False

    def settle(self, name, number):
        """The study runs until it is done; then the archive must be that of before. How it was found, or None where it went wrong."""
        refused = 0
        for _ in range(3):
            run = self.sinew("run")
            if not self.judge_refusal(run, name, number):
                return None
            if run.returncode == 0:
                found = lib.compare_archives(os.path.join(self.whole, "s.h5"), os.path.join(self.out, "s.h5"))
                if found:
                    self.wrong("believed", number, "%s: %s" % (name, found[:3]))
                    return None
                return "refused" if refused else "read"
            refused += 1
        self.wrong("other", number, "%s: refused again and again\n%s" % (name, run.text()))
        return None

    def verify(self, name, number):
        run = self.sinew("verify")
        if run.returncode == 3 and name in run.stdout and len(run.errors()) == 1:
            return True
        self.wrong("believed" if run.returncode == 0 else "other", number, "%s: verify\n%s" % (name, run.text()))
        return False

    def artifact(self, number):
        rng = random.Random("%d artifact %d" % (self.seed, number))
        name, kind = self.files[number % len(self.files)], KINDS[number // len(self.files) % len(KINDS)]
        if number >= len(self.files) * len(KINDS):
            name, kind = rng.choice(self.files), rng.choice(KINDS)
        bad = damage(self.data[name], kind, list(self.data.values()), rng)
        self.reset()
        self.put(name, bad)
        os.remove(os.path.join(self.out, "s.h5"))
        for above in ABOVE.get(os.path.basename(name), ()):
            for folder, _, names in os.walk(self.out):
                if above + ".h5" in names and os.path.join(self.out, name) != os.path.join(folder, above + ".h5"):
                    os.remove(os.path.join(folder, above + ".h5"))
        how = self.settle(name, "%d (%s of %s)" % (number, kind, name))
        if how and self.is_still(name, bad):
            how = "verify" if self.verify(name, number) and self.settle(name, number) and not self.is_still(name, bad) else None
        if how:
            self.count[how] += 1

    def archive(self, number):
        rng = random.Random("%d archive %d" % (self.seed, number))
        kind = KINDS[number % len(KINDS)]
        bad = damage(self.data["s.h5"], kind, list(self.data.values()), rng)
        self.reset()
        self.put("s.h5", bad)
        run = self.sinew("report")
        if not self.judge_refusal(run, "s.h5", "%d (%s of the archive)" % (number, kind)):
            return
        how = "refused"
        if run.returncode == 0:
            pages = [x for x in os.listdir(os.path.join(self.whole, "report")) if x.endswith(".csv")]
            different = [x for x in pages if not filecmp.cmp(os.path.join(self.whole, "report", x),
                                                             os.path.join(self.out, "report", x), shallow=False)]
            if different:
                self.wrong("believed", number, "%s of the archive: %s" % (kind, different))
                return
            how = "verify" if self.verify("s.h5", number) else None
        if how and self.settle("s.h5", "%d (%s of the archive)" % (number, kind)):
            if self.is_still("s.h5", bad):
                self.wrong("believed", number, "%s of the archive: it stands as it was" % kind)
            else:
                self.count[how] += 1

    def content(self, number):
        rng = random.Random("%d content %d" % (self.seed, number))
        self.reset()
        archive = os.path.join(self.out, "s.h5")
        with h5py.File(archive, "r+") as f:
            what = ", ".join(other_content(f, rng) for _ in range(rng.choice((1, 1, 2))))
        digestlib.seal(archive)
        run = self.sinew("report", "figures.yaml", {"PATH": os.path.join(self.folder, "bin") + ":" + os.environ["PATH"]})
        if run.returncode in (0, 3) and len(run.errors()) == (run.returncode == 3):
            self.count["read" if run.returncode == 0 else "refused"] += 1
        else:
            self.wrong("crashed", number, "%s\n%s" % (what, run.text()))


def run(trials, archives, seed, only=None, contents=0):
    """Returns the campaign, whose `failures` are to be empty."""
    folder = tempfile.mkdtemp(prefix="sinew-damage-")
    try:
        c = Campaign(folder, seed)
        c.make()
        for number in range(trials):
            if only is None or only == number:
                c.artifact(number)
        found = dict(c.count)
        for number in range(archives):
            if only is None or only == number:
                c.archive(number)
        print("seed %d: %d damaged artifacts of %d files: %s" % (seed, trials, len(c.files), found))
        print("seed %d: %d damaged archives: %s" % (seed, archives, {k: c.count[k] - found[k] for k in found}), flush=True)
        found = dict(c.count)
        for number in range(contents):
            if only is None or only == number:
                c.content(number)
        print("seed %d: %d archives of other content: %s" % (seed, contents, {k: c.count[k] - found[k] for k in found}), flush=True)
        return c
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--trials", type=int, default=300)
    words.add_argument("--archives", type=int, default=50)
    words.add_argument("--contents", type=int, default=200)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", type=int)
    words.add_argument("--sinew")
    args = words.parse_args()
    if args.sinew:
        os.environ["SINEW"] = args.sinew
    sys.exit(1 if run(args.trials, args.archives, args.seed, args.only, args.contents).failures else 0)
