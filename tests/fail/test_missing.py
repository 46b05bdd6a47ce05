#!/usr/bin/python3
"""`missing: skip` leaves out what is absent and nothing else: of a checkpoint that is damaged, or is another thing, a part is there, and
check says so. `incomplete` is what a part of is not there, `refused` what is whole and is not read."""
import os
import sys
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib

T = {"model.layers.%d.q.weight" % i: ("BF16", np.arange(64 * i, 64 * i + 64, dtype=np.uint16).reshape(8, 8)) for i in range(4)}


def shards(keep, index):
    """Two shards, of which some are kept, with their index or without."""
    def make(folder):
        lib.write_checkpoint(folder, T, 2)
        for name in os.listdir(folder):
            if name.endswith(".safetensors") and name not in ["model-0000%d-of-00002.safetensors" % k for k in keep]:
                os.remove(os.path.join(folder, name))
        if not index:
            os.remove(os.path.join(folder, "model.safetensors.index.json"))
    return make


def files(*names, text="x"):
    def make(folder):
        for name in names:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
    return make


def link(name):
    return lambda folder: os.symlink("/no-such-place/x", os.path.join(folder, name))


def cut_short(folder):
    path = os.path.join(lib.write_checkpoint(folder, T), "model.safetensors")
    os.truncate(path, os.path.getsize(path) - 1)


ROWS = {
    "empty": ("missing", lambda folder: None), "a page": ("missing", files("README.md")), "a config": ("missing", files("config.json")),
    "an index": ("incomplete", shards([], True)), "one shard of two": ("incomplete", shards([1], True)),
    "the first, no index": ("incomplete", shards([1], False)), "the second, no index": ("incomplete", shards([2], False)),
    "a link to nothing": ("incomplete", link("model.safetensors")), "a shard's link to nothing": (
        "incomplete", link("model-00001-of-00002.safetensors")),
    "a torch file's": ("incomplete", link("pytorch_model.bin")), "nothing in it": ("incomplete", files("model.safetensors", text="")),
    "cut short": ("incomplete", cut_short), "no .metadata": ("incomplete", files("__0_0.distcp")),
    "one rank of two": ("incomplete", files("model_world_size_2_rank_0.pt")),
    "a step that is not there": ("incomplete", files("latest", text="global_step5")),
    "a step of verl's": ("incomplete", files("latest_checkpointed_iteration.txt", text="5")),
    "an adapter's config": ("incomplete", files("adapter_config.json", text='{"peft_type": "LORA"}')),
    "an adapter's weights": ("incomplete", files("adapter_model.safetensors")),
    "no torch file": ("refused", files("pytorch_model.bin")), "another format": ("refused", files("m.gguf", text="GGUF")),
    "no pickle": ("refused", files(".metadata")),
}


class Missing(lib.Case):
    def check(self, names, status):
        config = "study: x\noutput: out\nmissing: skip\ncells:\n  - {family: m, algorithm: good, seed: 0, base: base, tuned: good}\n"
        for i, name in enumerate(names):
            config += "  - {family: m, algorithm: a%d, seed: 0, base: base, tuned: \"%s\"}\n" % (i, name)
        path = self.write("x.yaml", config + "stages:\n  load: {}\n  delta: {needs: [load]}\n")
        return self.sinew(["check", path], status=status)

    def test_states(self):
        for name in ("base", "good"):
            lib.write_checkpoint(self.path(name), T)
        for name, (_, make) in ROWS.items():
            os.makedirs(self.path(name))
            make(self.path(name))
        os.symlink("/no-such-place/y", self.path("a link"))
        want = {name: state for name, (state, _) in ROWS.items()}
        want.update({"a link": "incomplete", "nowhere": "missing", "base/x": "missing"})
        names = list(want)
        run = self.check(names, 3)
        for i, name in enumerate(names):
            line, = [l for l in run.stdout.splitlines() if "m/a%d/0: " % i in l]
            self.assertEqual(line.split()[0], want[name], line)
        count = {s: list(want.values()).count(s) for s in ("missing", "incomplete", "refused")}
        self.assertIn("%d cells: 1 present, %d incomplete, %d missing, %d refused\n" % (
            1 + len(names), count["incomplete"], count["missing"], count["refused"]), run.stdout)
        absent = [n for n in names if want[n] == "missing"]
        self.assertIn("%d missing" % len(absent), self.check(absent, 0).stdout)
        for name in ("the first, no index", "a link", "a step of verl's"):  # run leaves none of them out either
            self.check([name], 3)
            self.assertEqual(len(self.sinew(["run", self.path("x.yaml")], status=3).errors()), 1)


if __name__ == "__main__":
    lib.main()
