"""What is done while failures are injected: commands that between them pass as many sites of the program as can be passed in a second or
two each. Of each act: its folder, the command, what is put back before each case, and what must come out in the end."""
import glob
import json
import os
import shutil
import tarfile

import numpy as np
import sinewlib as lib

CONFIG = """study: injected
output: out
memory_per_process: 256 MiB
matrix:
  families: [f]
  algorithms: [a]
  seeds: [0, 1]
  base: models/base
  tuned: models/tuned-{seed}
  logits: {base: models/base.npy, tuned: "models/tuned-{seed}.npy"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy], figures: false}
"""

# Simulated runs of several steps, in float32, with ranks that are counted, copies, a machine's rates and a report with all figures.
STEPS = """study: injected
output: out
memory_per_process: 64 MiB
matrix:
  families: [qwen2.5-1.5b]
  algorithms: [ppo]
  seeds: [0]
  steps: [2, 4]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}-{step}"
  logits: {base: "models/{family}/base/logits.safetensors", tuned: "models/{family}/{algorithm}-{step}/logits.safetensors"}
stages:
  synth: {scale: 0.015625, layers: 2, steps: 4, logits: 8}
  load: {needs: [synth], copy: true}
  delta: {needs: [load]}
  delta-f32: {kind: delta, needs: [load], arithmetic: f32, store: none, relative_tolerances: [1e-3]}
  mask: {needs: [delta]}
  counted: {kind: rank, needs: [delta], spectrum: none, sample: 3}
  dynamics: {needs: [delta]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, counted, dynamics, token-entropy]}
"""

# One matrix that all processes decompose together, as none of several has the memory.
TEAM = """study: injected
output: out
memory_per_process: ${MEMORY:-256 MiB}
cells:
  - {family: f, algorithm: a, seed: 0, base: models/base, tuned: models/tuned}
stages:
  load: {}
  delta: {needs: [load]}
  rank: {needs: [delta]}
"""
TEAM_WIDTH = 2304

# The folders that are packed in tests/trainers: one cell each, and one node.
FOLDERS = "study: injected\noutput: out\nmemory_per_process: 256 MiB\ncells:\n"


def write_pair(folder, rng, tensors=2, shape=(16, 24)):
    base = {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, shape).astype(np.uint16)) for i in range(tensors)}
    lib.write_checkpoint(os.path.join(folder, "models", "base"), base)
    return base


def write_tuned(folder, name, base, rng):
    tuned = {name: (dtype, bits ^ (rng.random(bits.shape) < 0.3).astype(np.uint16)) for name, (dtype, bits) in base.items()}
    lib.write_checkpoint(os.path.join(folder, "models", name), tuned)


class Act:
    """The command `run` of a study. words: its words; environment: beside the tests' own; archive: what is compared in the end."""
    config, words, archive, environment = CONFIG, ("run", "s.yaml"), "injected.h5", {}
    processes = (0, 1, 2, 3)
    limit = 10    # seconds within which it has to end, whatever is injected
    long = False  # it takes too long for a sample

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.make()
        with open(os.path.join(folder, "s.yaml"), "w") as f:
            f.write(self.config)
        self.begin()

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def make(self):
        rng = np.random.default_rng(2)
        base = write_pair(self.folder, rng)
        np.save(self.path("models", "base.npy"), rng.standard_normal((5, 12)).astype(np.float32))
        for seed in (0, 1):
            write_tuned(self.folder, "tuned-%d" % seed, base, rng)
            np.save(self.path("models", "tuned-%d.npy" % seed), rng.standard_normal((5, 12)).astype(np.float32))

    def begin(self):
        """The undisturbed run."""
        self.keep(self.run(0, timeout=120))

    def keep(self, good):
        if good.returncode != 0:
            raise SystemExit("%s: does not run: %s" % (type(self).__name__, good.text()))
        os.rename(self.path("out"), self.path("good"))

    def run(self, np_, words=(), timeout=40):
        return lib.run_sinew(np_, list(self.words) + list(words), cwd=self.folder, timeout=timeout, env=self.environment)

    def clear(self):
        shutil.rmtree(self.path("out"), ignore_errors=True)

    def differs(self):
        """What is not as in the undisturbed run, as a text."""
        return "; ".join(lib.compare_archives(self.path("good", self.archive), self.path("out", self.archive)))


class Study(Act):
    """Every stage on small matrices."""


class Steps(Act):
    """Simulated steps; every process keeps what it has done of a node."""
    config, words, environment = STEPS, ("run", "s.yaml", "--keep-going"), {"SINEW_STEPS_AFTER": "0"}

    def make(self):
        pass

    def clear(self):
        Act.clear(self)
        shutil.rmtree(self.path("models"), ignore_errors=True)


class Team(Act):
    """A matrix that is laid out over all processes."""
    config, processes = TEAM, (2, 3)
    several = {"MEMORY": "64 MiB"}  # of each of several processes

    def make(self):
        rng = np.random.default_rng(3)
        base = write_pair(self.folder, rng, 1, (TEAM_WIDTH, TEAM_WIDTH))
        write_tuned(self.folder, "tuned", base, rng)

    def run(self, np_, words=(), timeout=40):
        self.environment = self.several if np_ > 1 else {}
        return Act.run(self, np_, words, timeout)


class Gram(Team):
    """The same, where each has the memory: they add up one Gram matrix."""
    several = {}


class Folders(Act):
    """Trainers' folders, adapters and scaled codes."""

    def make(self):
        for path in glob.glob(os.path.join(lib.ROOT, "tests", "trainers", "*.tar*")):
            with tarfile.open(path) as f:
                f.extractall(self.path("folders"))
        self.config = FOLDERS
        for i, (base, tuned) in enumerate(self.pairs()):
            self.config += '  - {family: f, algorithm: a%d, base: "%s", tuned: "%s"}\n' % (i, base, tuned)
        self.config += "stages:\n  load: {}\n  delta: {needs: [load], unmatched: skip, coverage: any}\n"

    def pairs(self):
        with open(os.path.join(lib.ROOT, "tests", "trainers", "cases.json")) as f:
            return [(os.path.join("folders", case["base"]), os.path.join("folders", case["tuned"])) for case in json.load(f) if "truth" in case]


class Verb(Act):
    """Another verb on a study that has been run, which it does not change: it has to end well in the end."""

    def begin(self):
        self.keep(lib.run_sinew(0, ["run", "s.yaml"], cwd=self.folder))
        self.clear()

    def clear(self):
        Act.clear(self)
        shutil.copytree(self.path("good"), self.path("out"))


class Check(Verb):
    words = ("check", "s.yaml")


class Plan(Verb):
    """Of all that there is to do."""
    words = ("plan", "s.yaml", "--processes", "1,4", "--probe")

    def clear(self):
        Act.clear(self)

    def differs(self):
        return ""


class Cells(Verb):
    words = ("check", "s.yaml", "--cells")


class Calibrate(Plan):
    """Small studies, half a minute of them."""
    words, limit, long, processes = ("plan", "s.yaml", "--calibrate"), 180, True, (2, 3)


class Machine(Plan):
    """With the rates of a machine that was measured."""
    words = ("plan", "s.yaml", "--machine", "machine.yaml")

    def make(self):
        Plan.make(self)
        with open(self.path("machine.yaml"), "w") as f:
            f.write("read_process: 1e9\nwrite_process: 1e9\nwork:\n  mask: {elements: 1e9}\n")


class Verify(Verb):
    words = ("verify", "s.yaml", "--full")


class Sample(Verb):
    words = ("verify", "s.yaml", "--sample", "2")


class Part(Verb):
    """One stage of one cell, made anew."""
    words = ("run", "s.yaml", "--stage", "delta", "--stage", "mask", "--cell", "f/a/0", "--cell", "f/a/1", "--force")


class Share(Verb):
    words = ("run", "s.yaml", "--share", "1/2", "--force")


class Number(Verb):
    words = ("run", "s.yaml", "--cell-index", "1", "--force", "--time-limit", "1h", "--take-over")


class Status(Verb):
    words = ("status", "s.yaml", "--all")


class Export(Verb):
    words = ("export", "mask", "s.yaml", "--cell", "f/a/0", "--node", "mask", "--to", "mask.safetensors", "--force")

    def begin(self):
        Verb.begin(self)
        self.run(0)
        os.rename(self.path("mask.safetensors"), self.path("good.safetensors"))

    def clear(self):
        Verb.clear(self)
        if os.path.exists(self.path("mask.safetensors")):
            os.remove(self.path("mask.safetensors"))

    def differs(self):
        with open(self.path("mask.safetensors"), "rb") as one, open(self.path("good.safetensors"), "rb") as two:
            return "" if one.read() == two.read() else "the exported mask"


class Compare(Act):
    words, archive = ("compare", "models/base", "models/tuned-0", "--report", "out", "--rank", "all"), "compare.h5"

    def make(self):
        rng = np.random.default_rng(4)
        base = write_pair(self.folder, rng, 3)
        lib.write_checkpoint(self.path("models", "base"), base, shards=2)
        write_tuned(self.folder, "tuned-0", base, rng)


class Init(Act):
    words, processes = ("init", "models"), (0,)

    def make(self):
        rng = np.random.default_rng(5)
        base = write_pair(self.folder, rng)
        for step in (10, 20):
            write_tuned(self.folder, "grpo/seed-1/global_step_%d" % step, base, rng)

    def begin(self):
        self.good = self.run(0).stdout

    def differs(self):
        return "" if self.run(0).stdout == self.good else "the proposal"


class Resume(Steps):
    """A study that was killed inside a node, whose steps are read."""

    def begin(self):
        Steps.begin(self)
        self.run(0, ("--inject", "trace:trace"), 120)
        with open(self.path("trace.0")) as f:
            sites = [line.split() for line in f]
        for _, passes, site in sites:
            Steps.clear(self)
            self.run(0, ("--inject", "%s:0:%d:death" % (site, max(1, int(passes) * 2 // 3))), 120)
            if glob.glob(self.path("out", "**", "*.journal"), recursive=True):
                break
        else:
            raise SystemExit("resume: no kill leaves steps of a node")
        os.rename(self.path("out"), self.path("killed"))
        shutil.move(self.path("models"), self.path("killed-models"))

    def clear(self):
        Steps.clear(self)
        shutil.copytree(self.path("killed"), self.path("out"))
        shutil.copytree(self.path("killed-models"), self.path("models"), copy_function=shutil.copy2)


ACTS = (Study, Steps, Resume, Team, Gram, Folders, Check, Cells, Plan, Machine, Verify, Sample, Part, Share, Number, Status, Export, Compare, Init,
        Calibrate)
