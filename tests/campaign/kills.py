#!/usr/bin/python3
"""Kills: a study is killed inside its nodes, again and again, at random moments, with any signal to one process, to all, to mpirun or to
all that runs on one of two hosts (network namespaces, as root), and goes on on another number of processes. In the end its archive,
updates and entropies are those of a study that nobody disturbed, and nothing is left beside them. Says how much work was lost: for each
process that was killed, the seconds since it had kept something of its node, or since it began with that.

    kills.py --sinew PATH [--kills 75] [--seed 1] [--work demo,rank,entropy,overlap,pair] [--keep-after SECONDS] [--folder DIR]

A trial is a study from its checkpoints to its archive with one to three kills; --kills is how many there shall be of each work.
--keep-after: SINEW_STEPS_AFTER; "" leaves the program its own. `pair` is two checkpoints of 8 GB, and wants 30 GB of disk.
tests/fail/test_kills.py runs a few."""
import argparse
import collections
import glob
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import h5py
import numpy as np

import hostlib
import sinewlib as lib

STUDY = """study: killed
output: {folder}/out
memory_per_process: {memory}
matrix:
  families: [{family}]
  algorithms: [{algorithms}]
  seeds: {seeds}
  base: "{folder}/models/{{family}}/base"
  tuned: "{folder}/models/{{family}}/{{algorithm}}"
  logits: {{base: "{folder}/models/{{family}}/base/logits.safetensors", tuned: "{folder}/models/{{family}}/{{algorithm}}/logits.safetensors"}}
stages:
  synth: {{{synth}, steps: 4}}
  load: {{needs: [synth]}}
  delta: {{needs: [load]}}
{stages}
"""
MASKS = "  mask: {needs: [delta]}\n  overlap: {needs: [mask]}\n"
SUMS = "  delta-sums: {kind: delta, needs: [load], store: none}\n"
RANK = "  rank: {needs: [delta]}\n"
ENTROPY = "  token-entropy: {needs: [load]}\n"
# What is done, and how large it is.
WORK = {
    "short": dict(algorithms="ppo, grpo", synth="scale: 0.125, layers: 2, logits: 2048", stages=SUMS + MASKS + RANK + ENTROPY),
    "demo": dict(algorithms="ppo, grpo, dpo, kto", synth="scale: 0.125, layers: 8, logits: 256", stages=SUMS + MASKS + RANK + ENTROPY),
    "rank": dict(algorithms="ppo", synth="scale: 0.25, layers: 6, logits: 16", stages=RANK),
    "entropy": dict(algorithms="ppo", synth="scale: 0.0625, layers: 1, logits: 20000", stages=ENTROPY),
    "overlap": dict(algorithms="ppo, grpo, dpo", seeds=list(range(16)), synth="scale: 0.25, layers: 2, logits: 16", stages=MASKS),
    "pair": dict(family="tulu-3-8b", algorithms="grpo", synth="scale: 1, layers: 14, logits: 16", stages=MASKS, memory="1 GiB"),
}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Disturbed:
    """One study, its undisturbed archive beside it, and what was seen."""

    def __init__(self, folder, work, seed, keep_after="0", log=lambda text: None, np=0, **more):
        """np: processes of the undisturbed run. more: in place of what WORK says, such as seeds."""
        self.folder, self.random, self.keep_after, self.log = folder, random.Random(seed), keep_after, log
        self.config = os.path.join(folder, "study.yaml")
        fill = dict(family="qwen2.5-1.5b", memory="256 MiB", seeds=[0], folder=folder)
        fill.update(WORK[work], **more)
        os.makedirs(folder, exist_ok=True)
        with open(self.config, "w") as f:
            f.write(STUDY.format(**fill))
        self.lost, self.resumed, self.kills, self.problems, self.seen = [], {}, 0, [], collections.Counter()
        self.environment = {"SINEW_STEPS_AFTER": keep_after} if keep_after != "" else {}
        run = lib.run_sinew(np, ["run", self.config], cwd=folder, env=self.environment, timeout=3600)
        if run.returncode != 0:
            raise RuntimeError("undisturbed: " + run.text())
        at = [float(line[1:].split("s]")[0]) for line in run.stdout.splitlines() if " to do" in line or "done:" in line]
        self.seconds = at[-1] - at[2]                     # without synth and load, which are not killed
        self.reference = os.path.join(folder, "reference")
        os.rename(os.path.join(folder, "out"), self.reference)
        shutil.copytree(os.path.join(self.reference, "checkpoints"), os.path.join(folder, "out", "checkpoints"))

    def clear(self):
        """All but what is known of the checkpoints."""
        for path in glob.glob(os.path.join(self.folder, "out", "*")):
            if os.path.basename(path) != "checkpoints":
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    # ---- a kill ----

    def start(self, np, words=(), hosts=None, **env):
        if hosts:
            self.output = None
            return hosts.mpirun(np, ["run", self.config, *words], self.folder, env=dict(self.environment, **env))
        command = [lib.binary(), "run", self.config, *words]
        if np:
            command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np)] + command
        self.output = tempfile.TemporaryFile()
        return subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.folder,
                                env=lib.environment(dict(self.environment, **env), np=np), start_new_session=True)

    def journals(self, kind="*"):
        found = {}
        for path in glob.glob(os.path.join(self.folder, "out", "**", kind + ".h5.steps", "*.journal"), recursive=True):
            try:
                found[path] = os.stat(path)
            except OSError:
                pass
        return found

    def beats(self):
        """What the processes of a job say of themselves: [(number, node, label, when it began there, by the clock)]."""
        found = []
        for path in glob.glob(os.path.join(self.folder, "out", ".jobs", "*")):
            if path not in self.began:
                self.began[path] = time.time()
            try:
                with open(path) as f:
                    records = f.read().split("\n")[2:]
            except OSError:
                continue
            for words in (record.split("\t") for record in records):
                if len(words) > 17 and words[15]:
                    found.append((int(words[0]), words[15], words[16], self.began[path] + float(words[3]) - float(words[4])))
        return found

    def losses(self, at, before):
        """For each process that is at a node: seconds since it kept something of that, or began it."""
        found = []
        for number, node, label, began in self.beats():
            mine = [(path, st) for path, st in self.journals(node).items() if "/%s/" % label in path and path not in before]
            own = [st.st_mtime for path, st in mine if path.endswith("-%06d.journal" % number)] or [st.st_mtime for _, st in mine]
            found.append((max(0.0, at - max([began] + own)), node))
        return found

    def wait(self, process, kind):
        """Until a node of this kind has kept something, and a little longer; without a kind, a random part of the study's time."""
        self.began = {}
        if kind is None:
            deadline = time.monotonic() + self.random.random() * 1.2 * self.seconds + 0.1
            while process.poll() is None and time.monotonic() < deadline:
                self.beats()
                time.sleep(0.02)
            return
        before = self.journals(kind)
        while process.poll() is None:
            now = self.journals(kind)
            if any(path not in before for path in now):
                time.sleep(self.random.random() * 0.1)
                return
            time.sleep(0.001)

    def kill(self, np, kind=None, number=None, who=None):
        """Starts the study, and ends it. Returns whether it was ended, not over before."""
        number = number or self.random.choice(SIGNALS)
        who = who or self.random.choice(("one", "all", "mpirun"))
        before = self.journals()
        process = self.start(np)
        self.wait(process, kind)
        pids = lib_processes(process.pid, np)
        targets = {"one": [self.random.choice(pids)] if pids else [], "all": pids, "mpirun": [process.pid]}[who if np else "all"]
        lost, alive = self.losses(time.time(), before), process.poll() is None
        for pid in targets:
            try:
                os.kill(pid, number)
            except OSError:
                pass
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            if lib.processes_with(self.config):
                self.problems.append("still running 120 s after %s to %s of %d" % (number.name, who, np))
            else:                                 # mpirun alone, none of whose processes is left
                self.seen.update([("mpirun stands still,", "its processes have ended")])
            process.kill()
            process.wait()
        self.sweep()
        self.heard()
        self.status = process.returncode
        self.count(alive, number, who if np else "all", np, lost)
        return alive and process.returncode != 0

    def kill_host(self, np):
        """The same on two hosts, of which one is gone at once, with all that runs there."""
        folder = tempfile.mkdtemp(prefix="hosts-", dir=self.folder)
        hosts = hostlib.Hosts(folder, 2)
        try:
            before, host = self.journals(), self.random.choice(("n1", "n2"))
            process = self.start(np, hosts=hosts)
            self.wait(process, None)
            lost, alive = self.losses(time.time(), before), process.poll() is None
            hosts.clear(host)
            try:
                texts = process.communicate(timeout=120)
                self.text = "\n".join(texts)
            except subprocess.TimeoutExpired:
                self.problems.append("still running 120 s after the loss of %s, %d processes" % (host, np))
            self.note_resumed()
            self.count(alive, signal.SIGKILL, "host " + host, np, lost)
        finally:
            hosts.down()
            self.sweep()
            shutil.rmtree(folder, ignore_errors=True)

    def count(self, alive, number, who, np, lost):
        if alive:
            self.kills += 1
            node = lost[0][1] if lost else "between nodes"
            self.seen.update([("signal", number.name), ("to", who), ("processes", str(np)), ("in", node)])
            if number == signal.SIGKILL:          # in good order nothing is lost but what is in work
                self.lost += lost
        self.log("  %s to %s of %d%s: %s" % (number.name, who, np, " in " + lost[0][1] if lost else "", "ended" if alive else "it was over"))

    def sweep(self):
        """What mpirun's end has left behind."""
        deadline = time.monotonic() + 60
        while True:
            left = lib.processes_with(self.config)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            if not left or time.monotonic() > deadline:
                return

    def heard(self):
        self.output.seek(0)
        self.text = self.output.read().decode("utf-8", "replace")
        self.output.close()
        self.note_resumed()

    def note_resumed(self):
        """Which stages went on inside a node."""
        for line in self.text.splitlines():
            if "kept from an earlier run" in line:
                kind = line.split("] ")[1].split(" of ")[0]
                self.resumed[kind] = self.resumed.get(kind, 0) + 1

    # ---- the end ----

    def finish(self, np):
        process = self.start(np)
        status = process.wait(timeout=3600)
        self.heard()
        if status != 0:
            self.problems.append("status %d on %d processes: %s" % (status, np, self.text[-2000:]))
        out = os.path.join(self.folder, "out")
        left = [p for p in glob.glob(os.path.join(out, "**", "*"), recursive=True) if p.endswith((".partial", ".steps", ".journal"))]
        if left:
            self.problems.append("left behind: %s" % left)
        if status == 0:
            self.problems += lib.compare_archives(os.path.join(out, "killed.h5"), os.path.join(self.reference, "killed.h5"))
            for path in glob.glob(os.path.join(out, "**", "*.h5"), recursive=True):
                self.problems += different(path, os.path.join(self.reference, os.path.relpath(path, out)))
        self.clear()
        for path in glob.glob(os.path.join(out, ".*")):
            os.unlink(path)


def different(one, two):
    """Datasets of the update, the masks and the entropies that are not the same to the bit."""
    found = []
    if os.path.basename(one) not in ("delta.h5", "mask.h5", "token-entropy.h5"):
        return found
    with h5py.File(one, "r") as a, h5py.File(two, "r") as b:
        names = []
        b.visititems(lambda name, x: names.append(name) if isinstance(x, h5py.Dataset) and not name.startswith("tables") else None)
        for name in names:
            if name not in a or a[name].shape != b[name].shape or not same_bytes(a[name], b[name]):
                found.append("%s: %s differs" % (one, name))
    return found


def same_bytes(a, b, rows=1 << 24):
    """Two datasets of one shape, a part at a time where they are a line."""
    if len(a.shape) != 1:
        return a[()].tobytes() == b[()].tobytes()
    return all(a[i:i + rows].tobytes() == b[i:i + rows].tobytes() for i in range(0, a.shape[0], rows))


def lib_processes(pid, np):
    """Ids of sinew's processes of a run."""
    if not np:
        return [pid]
    found = []
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            for child in f.read().split():
                if os.path.realpath("/proc/%s/exe" % child) == os.path.realpath(lib.binary()):
                    found.append(int(child))
    except OSError:
        pass
    return found


def trial(study, most_kills=3, hosts=False):
    """Kills, then the end, on numbers of processes that differ from one to the next."""
    np = study.random.randrange(5)
    for _ in range(study.random.randint(1, most_kills)):
        if hosts and np >= 2 and study.random.random() < 0.25:
            study.kill_host(np)
        else:
            study.kill(np)
        np = study.random.choice([n for n in range(5) if n != np])
    study.finish(np)


def say(study, name):
    print("%s: %d kills (%s), undisturbed %.1f s; went on inside a node: %s" % (
        name, study.kills, ", ".join("%s %s: %d" % (kind, what, n) for (kind, what), n in sorted(study.seen.items())), study.seconds, study.resumed))
    for node in sorted({node for _, node in study.lost}):
        lost = sorted(seconds for seconds, where in study.lost if where == node)
        print("  seconds of work that a killed process lost in %s: median %.2f, worst %.2f (%d)" % (node, statistics.median(lost), lost[-1], len(lost)))
    print("  problems: %d" % len(study.problems))
    for problem in study.problems:
        print("  " + problem)
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sinew")
    parser.add_argument("--kills", type=int, default=75)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", default="demo,rank,entropy,overlap")
    parser.add_argument("--keep-after", default="1")
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.sinew:
        os.environ["SINEW"] = options.sinew
    folder = os.path.abspath(tempfile.mkdtemp(prefix="sinew-kills-", dir=options.folder))
    problems, hosts = 0, hostlib.possible()
    try:
        for i, name in enumerate(options.work.split(",")):
            study = Disturbed(os.path.join(folder, name), name, options.seed + i, options.keep_after, lambda text: print(text, flush=True))
            number = 0
            while study.kills < options.kills:
                print("%s, trial %d of seed %d" % (name, number, options.seed + i), flush=True)
                trial(study, hosts=hosts)
                number += 1
                if number % 5 == 0:
                    say(study, name)
            say(study, name)
            problems += len(study.problems)
            shutil.rmtree(os.path.join(folder, name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(problems != 0)


if __name__ == "__main__":
    main()
