#!/usr/bin/python3
"""`sinew init`: trees of folders as people and trainers leave them become studies that `sinew check` finds in order, with the cells
that are meant; whatever the names hold. Also the genuine folders of ../shared/trainers, where they are."""
import os
import re
import shutil
import subprocess
import unittest

import numpy as np

import sinewlib as lib

TRAINERS = os.path.abspath(os.environ.get("SINEW_TRAINERS", os.path.join(lib.ROOT, "..", "shared", "trainers")))


class Init(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(7)
        self.tensors = {"model.embed_tokens.weight": ("BF16", lib.bf16_round(rng.standard_normal((12, 8)).astype(np.float32))),
                        "model.layers.0.self_attn.q_proj.weight": ("BF16", lib.bf16_round(rng.standard_normal((8, 8)).astype(np.float32)))}
        self.rng = rng

    def checkpoint(self, *words, tensors=None, dtype="BF16"):
        """A checkpoint a little off the others."""
        out = {}
        for name, (kind, bits) in (tensors or self.tensors).items():
            out[name] = (kind, (bits + (self.rng.random(bits.shape) < 0.3)).astype(bits.dtype))
        lib.write_checkpoint(self.path(*words), out)

    def init(self, *folders, status=0, **options):
        """The study that is printed, written to study.yaml and checked; its text and its cells: name, base, tuned."""
        run = self.sinew(["init", *folders], status=status, **options)
        if status:
            self.assertEqual(run.stdout, "")
            self.assertEqual(len(run.errors()), 1, run.stderr)
            return run.errors()[0], None
        config = self.write("study.yaml", run.stdout)
        self.sinew(["check", config])
        self.sinew(["run", config, "-q"])
        study = re.search(r"^study: \"?([^\"\n]*)", run.stdout, re.M).group(1)
        cells = lib.table(self.path("results", study, study + ".h5"), "cells")
        shutil.rmtree(self.path("results"))
        return run.stdout, sorted((c["cell"], c["base"], c["tuned"]) for c in cells)

    def stages(self, text):
        return re.findall(r"^  ([a-z-]+): \{(?:needs|\})", text.split("\nstages:\n")[1], re.M)

    def test_the_matrix_of_a_study(self):
        want = []
        for family in ("tiny-a", "tiny-b"):
            self.checkpoint("models", family, "base")
            for algorithm in ("grpo", "dpo"):
                for seed in (0, 1, 10):
                    if (family, seed) == ("tiny-b", 10):
                        continue
                    self.checkpoint("models", family, algorithm, "seed-%d" % seed)
                    want.append(("%s/%s/%d" % (family, algorithm, seed), "models/%s/base" % family, "models/%s/%s/seed-%d" % (family, algorithm, seed)))
        text, cells = self.init("models")
        self.assertEqual(cells, sorted(want))
        self.assertIn('  tuned: "models/{family}/{algorithm}/seed-{seed}"\n', text)
        self.assertIn("  seeds: [0, 1, 10]\n", text)
        self.assertEqual(text.count("    - {"), 2)
        self.assertNotIn("cells:", text)
        self.assertNotIn("# guessed", text)
        self.assertEqual(self.stages(text), ["load", "delta", "mask", "rank", "overlap", "report"])

    def test_steps_of_a_run(self):
        for pattern, words in (("global_step_%d", ("actor",)), ("checkpoint-%d", ()), ("iter_%07d", ()), ("epoch_%d", ())):
            with self.subTest(pattern):
                shutil.rmtree(self.path("mine"), ignore_errors=True)
                self.checkpoint("mine", "base")
                for step in (9, 10, 100):
                    self.checkpoint("mine", "grpo", pattern % step, *words)
                text, cells = self.init("mine")
                self.assertEqual([c[0] for c in cells], ["mine/grpo/0@10", "mine/grpo/0@100", "mine/grpo/0@9"])
                self.assertEqual(cells[2][2], os.path.join("mine", "grpo", pattern % 9, *words))
                self.assertIn("  steps: [9, 10, 100]\n", text)
                self.assertIn("  seeds: [0] # guessed 0 where no folder's name says one\n", text)
                self.assertIn("  algorithms: [grpo]\n", text)
                self.assertIn("dynamics", self.stages(text))

    def test_the_end_of_a_run_and_parts(self):
        """The final model at the top of the steps; what belongs to a checkpoint is none by itself."""
        self.checkpoint("m", "base")
        self.checkpoint("m", "dpo")
        self.checkpoint("m", "dpo", "checkpoint-5")
        self.checkpoint("m", "dpo", "original")
        self.checkpoint("m", "dpo", "checkpoint-5", "critic")
        text, cells = self.init("m")
        self.assertEqual([c[0] for c in cells], ["m/dpo/0", "m/dpo/0@5"])
        self.assertIn("m/dpo/checkpoint-5/critic: lies in a step's checkpoint", text)

    def test_the_base_elsewhere(self):
        self.checkpoint("hub", "Tiny-1B")
        self.checkpoint("runs", "ppo", "step-3")
        text, cells = self.init("hub/Tiny-1B", "runs")
        self.assertEqual(cells, [("Tiny-1B/ppo/0@3", "hub/Tiny-1B", "runs/ppo/step-3")])
        self.assertIn("# guessed: its base is the first folder that was given", text)
        message, _ = self.init("runs", status=3)
        self.assertIn("give the base's folder", message)

    def test_what_no_name_says_and_a_base_that_is_tuned(self):
        """A seed and an algorithm that nothing says are told as guessed; sft, given behind its base, is tuned from that."""
        for name in ("plain", "sft", "grpo", "mine"):
            self.checkpoint(name)
        text, cells = self.init("plain", "sft", "grpo", "mine")
        self.assertIn("plain/sft/0", [c[0] for c in cells])
        self.assertNotIn("no base was found", text)
        self.assertIn("  # guessed: seeds, 0 where no folder's name says one\n", text)
        self.assertIn("  # guessed: algorithms, where no folder's name says a known one\n", text)
        text, _ = self.init("plain", "grpo")
        self.assertNotIn("# guessed: algorithms", text)

    def test_no_base_but_steps(self):
        for step in (0, 4, 8):
            self.checkpoint("runs", "grpo", "step-%d" % step)
        text, cells = self.init("runs")
        self.assertEqual([c[1:] for c in cells], [("runs/grpo/step-0", "runs/grpo/step-4"), ("runs/grpo/step-0", "runs/grpo/step-8")])
        self.assertIn("# guessed: no base was found: the run's first step stands in for it", text)

    def test_a_base_that_config_json_names(self):
        self.checkpoint("org", "tiny")
        self.checkpoint("org", "other")
        self.checkpoint("org", "other", "base")
        self.checkpoint("out", "grpo")
        self.write("out/grpo/config.json", '{"_name_or_path": "org/tiny"}')
        _, cells = self.init("org", "out")
        self.assertIn(("tiny/grpo/0", "org/tiny", "out/grpo"), cells)

    def test_the_hubs_cache(self):
        """Links to blobs; branches are steps, told by refs."""
        root = self.path("hub", "models--org--tiny-rl")
        self.checkpoint("hub", "models--org--tiny", "snapshots", "a" * 40)
        os.makedirs(os.path.join(root, "refs"))
        for step, revision in ((10, "b" * 40), (20, "c" * 40)):
            self.checkpoint("hub", "models--org--tiny-rl", "snapshots", revision)
            with open(os.path.join(root, "refs", "step_%d" % step), "w") as f:
                f.write(revision)
            file = os.path.join(root, "snapshots", revision, "model.safetensors")
            os.makedirs(os.path.join(root, "blobs"), exist_ok=True)
            os.rename(file, os.path.join(root, "blobs", "%d" % step))
            os.symlink("../../blobs/%d" % step, file)
        self.write("hub/models--org--tiny-rl/refs/other", "\n")
        for revision in ("b" * 40, "c" * 40):
            self.write("hub/models--org--tiny-rl/snapshots/%s/config.json" % revision, '{"_name_or_path": "org/tiny"}')
        _, cells = self.init("hub")
        self.assertEqual([(c[0].rsplit("@")[1], c[1], c[2][-4:]) for c in cells],
                         [("10", "hub/models--org--tiny/snapshots/" + "a" * 40, "bbbb"), ("20", "hub/models--org--tiny/snapshots/" + "a" * 40, "cccc")])

    def test_logits(self):
        self.checkpoint("m", "base")
        for algorithm in ("ppo", "grpo"):
            self.checkpoint("m", algorithm)
            lib.write_logits(self.path("m", algorithm, "logits.safetensors"), self.rng)
        lib.write_logits(self.path("m", "base", "logits.safetensors"), self.rng)
        text, cells = self.init("m")
        self.assertEqual(len(cells), 2)
        self.assertIn('  logits: {base: "m/base", tuned: "m/{algorithm}"}\n', text)
        self.assertIn("token-entropy", self.stages(text))

    def test_files(self):
        """Checkpoints that are files; what lies beside them is none."""
        self.checkpoint("base")
        for step in (1, 2):
            self.checkpoint("tmp")
            os.makedirs(self.path("run"), exist_ok=True)
            os.rename(self.path("tmp", "model.safetensors"), self.path("run", "dpo-step%d.safetensors" % step))
        self.write("run/optimizer.pt", "no model")
        self.write("run/broken-step3.safetensors", "no model")
        text, cells = self.init("base", "run")
        self.assertEqual([c[2] for c in cells], ["run/dpo-step1.safetensors", "run/dpo-step2.safetensors"])
        self.assertIn('"run/dpo-step{step}.safetensors"', text)
        self.assertIn("#   run/broken-step3.safetensors: ", text)
        self.assertNotIn("optimizer.pt", text)

    def test_pairs_that_do_not_match(self):
        """Left out with the reason where others match; otherwise left out are the tensors, if they are few."""
        self.checkpoint("m", "base")
        more = dict(self.tensors, **{"score.weight": ("BF16", np.zeros((1, 8), np.uint16))})
        other = {"other." + name: tensor for name, tensor in self.tensors.items()}
        self.checkpoint("m", "ppo", tensors=more)
        text, cells = self.init("m")
        self.assertEqual(len(cells), 1)
        self.assertIn("unmatched: skip", text)
        self.checkpoint("m", "grpo")
        self.checkpoint("m", "kto", tensors=other)
        text, cells = self.init("m")
        self.assertEqual([c[0] for c in cells], ["m/grpo/0"])
        self.assertNotIn(", unmatched: skip", text)
        self.assertIn("#   m/ppo: tensor score.weight", text)
        self.assertIn("#   m/kto: tensor ", text)
        shutil.rmtree(self.path("m", "grpo"))
        shutil.rmtree(self.path("m", "ppo"))
        message, _ = self.init("m", status=3)
        self.assertIn("m/kto: tensor ", message)

    def test_names_of_any_kind(self):
        names = ["a b", "${HOME}", "x'y\"z", "back\\slash", "#tag: [x]", "{step}", "caf\u00e9", "- dash", "null", "%s%n"]
        self.checkpoint("m", "base")
        for name in names:
            self.checkpoint("m", name)
        self.checkpoint("m", "two\nlines")
        self.checkpoint("m", os.fsdecode(b"\xff\xfe"))
        text, cells = self.init("m")
        self.assertEqual(sorted(c[2] for c in cells), sorted("m/" + name for name in names))
        self.assertEqual(text.count("cannot hold its name"), 2)

    def test_links_and_depth(self):
        self.checkpoint("m", "base")
        self.checkpoint("elsewhere", "grpo")
        self.checkpoint("m", "ppo")
        os.symlink("..", self.path("m", "round"))
        os.symlink(".", self.path("m", "here"))
        os.symlink("nowhere", self.path("m", "gone"))
        os.symlink("../elsewhere/grpo", self.path("m", "dpo"))
        os.symlink("ppo", self.path("m", "latest"))
        os.mkfifo(self.path("m", "pipe.pt"))
        os.mkfifo(self.path("m", "ppo", "config.json"))
        os.mkfifo(self.path("m", "ppo", "adapter_config.json"))
        self.checkpoint("m", *"abcdefghij")
        text, cells = self.init("m")
        self.assertEqual([c[2] for c in cells], ["m/dpo", "m/ppo"])
        self.assertIn("m/round: is a link to a folder", text)
        self.assertIn("too deep", text)

    def test_what_may_not_be_read(self):
        self.checkpoint("m", "base")
        self.checkpoint("m", "ppo")
        os.makedirs(self.path("m", "closed"), mode=0o700)
        os.chmod(self.path("m", "closed"), 0 if os.geteuid() else 0o700)
        os.chmod(self.dir, 0o755)
        other = {"user": 65534} if os.geteuid() == 0 else {}
        try:
            run = subprocess.run([lib.binary(), "init", "m"], cwd=self.dir, capture_output=True, text=True, **other)
        except PermissionError:
            self.skipTest("another user cannot start the program here")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("warning: m/closed: cannot be listed: Permission denied", run.stderr)
        self.assertIn("#   m/closed: cannot be listed", run.stdout)

    def test_nothing(self):
        os.makedirs(self.path("empty", "deeper"))
        message, _ = self.init("empty", status=3)
        self.assertIn("empty: no checkpoint in it or below it: looked for ", message)
        self.assertIn("model.safetensors", message)
        self.assertIn("in 2 folders", message)
        self.write("empty/deeper/model-q4.gguf", "GGUF")
        message, _ = self.init("empty", status=3)
        self.assertIn("GGUF", message.split("levels deep")[1])
        self.checkpoint("m", "alone")
        message, _ = self.init("m", status=3)
        self.assertIn("1 checkpoint found, first m/alone, and nothing to compare it with", message)
        message, _ = self.init("nowhere", status=3)
        self.assertIn("nowhere: No such file", message)
        self.assertIn("wants one FOLDER or more", self.sinew(["init"], status=2).stderr)

    def test_said_once_under_mpirun(self):
        self.checkpoint("m", "base")
        self.checkpoint("m", "ppo")
        self.assertEqual(self.sinew(["init", "m"], np=3).stdout, self.sinew(["init", "m"]).stdout)

    def test_the_readmes_trainers(self):
        """What README has a user of each trainer type: init, check, run, on a folder that the trainer wrote."""
        if not os.path.isdir(TRAINERS):
            self.skipTest("no %s" % TRAINERS)
        for name, ncells in (("verl-fsdp1-w2-run", 3), ("trl-grpo-lora", 2), ("zero2-w3", 1), ("titan-llama3-w2", 1)):
            with self.subTest(name):
                text, cells = self.init(os.path.join(TRAINERS, name, "base"), os.path.join(TRAINERS, name, "trainer"))
                self.assertGreaterEqual(len(cells), ncells, text)
                self.assertEqual("dynamics" in self.stages(text), len(cells) > 1)

    def test_genuine_folders(self):
        """A study that passes check, or a refusal with a reason."""
        if not os.path.isdir(TRAINERS):
            self.skipTest("no %s" % TRAINERS)
        studies = 0
        for name in sorted(os.listdir(TRAINERS)):
            folder = os.path.join(TRAINERS, name)
            if not os.path.isdir(os.path.join(folder, "trainer")):
                continue
            run = lib.run_sinew(0, ["init", os.path.join(folder, "base"), os.path.join(folder, "trainer")], cwd=self.dir)
            self.assertIn(run.returncode, (0, 3), name + run.text())
            if run.returncode == 0:
                config = self.write(name + ".yaml", run.stdout)
                self.assertEqual(lib.run_sinew(0, ["check", config], cwd=self.dir).returncode, 0, name)
                studies += 1
            else:
                self.assertEqual(len(run.errors()), 1, name + run.text())
        print("studies of %d genuine folders" % studies)
        self.assertGreater(studies, 0)


if __name__ == "__main__":
    lib.main()
