#!/usr/bin/python3
"""DeepSpeed folders that were damaged on their way: ranks that are missing or of another run, files cut short or of other bytes. Each ends
with one message that names the file or folder and the cause, and never with a result."""
import os
import random
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import shardlib  # noqa: E402
import sinewlib as lib  # noqa: E402

STUDY = """study: s
output: out
cells:
  - {family: f, algorithm: a, seed: 0, base: base, tuned: run, weights: masters}
stages:
  load: {}
  delta: {needs: [load]}
"""
OPTIM = "global_step3/bf16_zero_pp_rank_%d_mp_rank_00_optim_states.pt"


class Zero(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(4)
        self.model = shardlib.Model("F32")
        for name, shape in (("model.embed_tokens.weight", (11, 6)), ("model.layers.0.mlp.up_proj.weight", (9, 6)), ("model.norm.weight", (6,))):
            self.model.add_array(name, rng.standard_normal(shape).astype(np.float32))
        shardlib.write_safetensors(self.path("base", "model.safetensors"), self.model)
        self.write("s.yaml", STUDY)

    def fresh(self, stage, world=3):
        shutil.rmtree(self.path("run"), ignore_errors=True)
        shardlib.write_zero(self.path("run"), self.model, world, stage)

    def refused(self, *words):
        run = self.sinew(["check", "s.yaml"], status=3)
        self.assertEqual(len(run.errors()), 1, run.text())
        for word in words:
            self.assertIn(word, run.errors()[0])

    def test_ranks(self):
        for stage in (1, 2, 3):
            self.fresh(stage)
            self.sinew(["check", "s.yaml"])
            os.remove(self.path("run", OPTIM % 2))
            self.refused("rank 2 are missing", "partition_count")
            self.fresh(stage)
            os.remove(self.path("run", OPTIM % 0))
            self.refused("rank 0 are missing")
            self.fresh(stage)
            shutil.copy(self.path("run", OPTIM % 1), self.path("run", OPTIM % 3))
            self.refused("rank 3 are there", "mixed")
            self.fresh(stage, 2)
            other = self.path("other")
            os.replace(self.path("run"), other)
            self.fresh(stage, 3)
            shutil.copy(os.path.join(other, OPTIM % 1), self.path("run", OPTIM % 1))
            self.refused("rank 1 says that there are 2 ranks", "mixed")
            shutil.rmtree(other)

    def test_latest(self):
        self.fresh(2)
        for text, word in (("global_step9", "copy it too"), ("../base", "leaves its folder"), (self.path("base"), "leaves its folder"),
                           ("", "is empty"), ("x" * 5000, "latest")):
            self.write("run/latest", text)
            self.refused("latest", word)

    def test_cut_short(self):
        for stage in (2, 3):
            self.fresh(stage)
            for name in sorted(os.listdir(self.path("run", "global_step3")))[::3]:  # in stage 3 those of rank 0: of the other model states nothing is read
                path = self.path("run", "global_step3", name)
                with open(path, "rb") as f:
                    whole = f.read()
                for n in (0, 3, 40, len(whole) // 2, len(whole) - 1):
                    with open(path, "wb") as f:
                        f.write(whole[:n])
                    self.refused(name)
                with open(path, "wb") as f:
                    f.write(whole)

    def test_other_bytes(self):
        """Bytes of a pickle are changed at random: what comes of it is read or refused, with one message and no signal."""
        rng = random.Random(6)
        for stage in (2, 3):
            self.fresh(stage)
            for _ in range(15):
                name = OPTIM % 1 if rng.random() < 0.6 else "global_step3/" + ("zero_pp_rank_0_" if stage == 3 else "") + "mp_rank_00_model_states.pt"
                path = self.path("run", name)
                with open(path, "rb") as f:
                    whole = f.read()
                start = whole.index(b"\x80\x02")
                changed = bytearray(whole)
                for _ in range(rng.randint(1, 3)):
                    changed[start + rng.randrange(1500) % (len(whole) - start)] = rng.choice([0, 1, 255, rng.randrange(256)])
                with open(path, "wb") as f:
                    f.write(changed)
                run = lib.run_sinew(0, ["check", "s.yaml"], cwd=self.dir)
                self.assertIn(run.returncode, (0, 3), run.text())
                self.assertEqual(len(run.errors()), int(run.returncode != 0), run.text())
                with open(path, "wb") as f:
                    f.write(whole)


if __name__ == "__main__":
    lib.main()
