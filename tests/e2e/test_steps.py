#!/usr/bin/python3
"""A run fed step by step: each checkpoint is read while it is there and then removed; what is made of the kept updates is what
all checkpoints at once give, on any number of processes. Steps whose folders pad the number are found."""
import os
import shutil
import unittest

import numpy as np

import sinewlib as lib

STEPS = (10, 20, 30, 40, 50, 60)
STUDY = """study: run
output: %s
missing: %s
matrix:
  families: [tiny]
  algorithms: [grpo]
  seeds: [0]
  steps: [%s]
  base: base
  tuned: %s/%s
stages:
  load: {}
  delta: {needs: [load]%s}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  dynamics: {needs: [delta]}
  report: {needs: [mask, rank, overlap, dynamics], figures: false}
"""


class Steps(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(20261130)
        tensors = {"model.embed_tokens.weight": rng.standard_normal((40, 24)), "model.norm.weight": np.ones(24)}
        for layer in range(2):
            tensors["model.layers.%d.self_attn.q_proj.weight" % layer] = rng.standard_normal((24, 24))
        self.tensors = {name: ("BF16", lib.bf16_round((x * 0.02).astype(np.float32))) for name, x in tensors.items()}
        lib.write_checkpoint(self.path("base"), self.tensors)
        self.rng = rng
        self.made = {}
        for step in STEPS:
            self.tensors = {name: ("BF16", self.moved(bits)) for name, (_, bits) in self.tensors.items()}
            self.made[step] = self.tensors

    def moved(self, bits):
        up = self.rng.random(bits.shape) < 0.2
        return (bits + up - (self.rng.random(bits.shape) < 0.1)).astype(np.uint16)

    def fetch(self, folder, step):
        lib.write_checkpoint(self.path(folder, "iter_%07d" % step), self.made[step])

    def study(self, name, folder="iter", missing="kept", steps=STEPS, pattern="iter_{step}", delta=""):
        return self.write(name + ".yaml", STUDY % (name, missing, ", ".join(map(str, steps)), folder, pattern, delta))

    def one_at_a_time(self, name, np_=0, steps=STEPS):
        config = self.study(name, "disk")
        for step in steps:
            self.fetch("disk", step)
            run = self.sinew(["run", config, "--cell", "tiny/grpo/0@%d" % step], np=np_)
            self.assertNotIn("warning", run.stderr)
            shutil.rmtree(self.path("disk"))
        return config

    def test_all_at_once_and_one_at_a_time(self):
        for step in STEPS:
            self.fetch("disk", step)
        self.sinew(["run", self.study("all", "disk")], np=2)
        shutil.rmtree(self.path("disk"))
        for name, np_ in (("one", 0), ("two", 2)):
            config = self.one_at_a_time(name, np_)
            self.assertIn("6 kept", self.sinew(["check", config]).stdout)
            self.assertIn("6 cells kept", self.sinew(["plan", config]).stdout)
            run = self.sinew(["run", config], np=np_)
            self.assertIn("6 of 6 cells kept", run.stdout)
            self.assertNotIn("delta  ", run.stdout)
            self.assertEqual(lib.compare_archives(self.path("all", "run.h5"), self.path(name, "run.h5")), [])
            self.assertEqual([r["step"] for r in lib.table(self.path(name, "run.h5"), "dynamics")], list(STEPS))
            self.assertIn("nothing to do", self.sinew(["run", config]).stdout)
            self.assertIn("28 nodes: 28 fresh", self.sinew(["status", config]).stdout)

    def test_as_far_as_it_is(self):
        """What is not there yet is left out, and dynamics goes as far as the steps do; the next step lengthens it."""
        config = self.one_at_a_time("part", steps=STEPS[:3])
        run = self.sinew(["run", config])
        self.assertIn("3 of 6 cells kept", run.stdout)
        self.assertIn("3 of 6 cells left out", run.stdout)
        self.assertEqual([r["step"] for r in lib.table(self.path("part", "run.h5"), "dynamics")], [10, 20, 30])
        self.fetch("disk", 40)
        self.sinew(["run", config])
        self.assertEqual([r["step"] for r in lib.table(self.path("part", "run.h5"), "dynamics")], [10, 20, 30, 40])

    def test_removed_too_early(self):
        """Catalogued but not compared when it was removed: named, and never counted."""
        config = self.one_at_a_time("early", steps=STEPS[:2])
        self.fetch("disk", 30)
        self.sinew(["run", config, "--stage", "load", "--cell", "tiny/grpo/0@30"])
        shutil.rmtree(self.path("disk"))
        run = self.sinew(["run", config])
        self.assertIn("tiny/grpo/0@30 is left out: disk/iter_0000030 is gone, and delta of tiny/grpo/0@30 is not complete",
                      run.stderr)
        self.assertEqual([r["step"] for r in lib.table(self.path("early", "run.h5"), "dynamics")], [10, 20])
        self.assertIn("delta of tiny/grpo/0@30 is not complete", self.sinew(["status", config]).stdout)
        one = self.sinew(["run", config, "--cell", "tiny/grpo/0@30"], status=3)
        self.assertIn("fetch the checkpoint again", one.stderr)

    def test_other_parameters(self):
        """Kept updates are of the parameters they were made with: others need the checkpoints again."""
        self.one_at_a_time("other", steps=STEPS[:2])
        config = self.study("other", "disk", delta=", arithmetic: f32")
        run = self.sinew(["run", config], status=3)
        self.assertIn("its parameters changed", run.stderr)
        self.assertIn("is gone", run.stderr)

    def test_only_kept_says_so(self):
        """`fail` and `skip` are what they were: a catalogued checkpoint is no missing one, and check wants its files."""
        self.one_at_a_time("fail")
        config = self.study("fail", "disk", missing="fail")
        self.assertNotIn("kept", self.sinew(["run", config]).stdout)
        self.sinew(["check", config], status=3)

    def test_two_that_may_be_meant(self):
        for digits in (4, 7):
            lib.write_checkpoint(self.path("twice", "iter_%0*d" % (digits, 10)), self.made[10])
        config = self.study("twice", "twice", steps=STEPS[:1])
        for verb in ("check", "run"):
            run = self.sinew([verb, config], status=3)
            self.assertIn("step 10 may be twice/iter_0010 or twice/iter_0000010", run.stderr)


if __name__ == "__main__":
    lib.main()
