#!/usr/bin/python3
"""Logits that are not what they are taken for: vocabularies that differ from the model's or the other policy's, lists of the largest,
rows cut before they were written, masks of other names, entropies by batch. Refused, or said in the headline; figures are NumPy's."""
import json
import os
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sinewlib as lib  # noqa: E402
from test_logits import CELL, CONFIG, entropy  # noqa: E402

ROWS = 64  # of the models' head


class Fit(lib.Case):
    def setUp(self):
        super().setUp()
        for side, head in (("base", "lm_head.weight"), ("tuned", "lm_head.weight"), ("embed", "model.embed_tokens.weight"),
                           ("bare", "w.weight")):
            lib.write_checkpoint(self.path("models", side), {head: ("BF16", np.ones((ROWS, 4), np.uint16))})
        self.rng = np.random.default_rng(8)
        self.x = (4 * self.rng.standard_normal((60, ROWS))).astype(np.float32)

    def tensors(self, name, **tensors):
        """A safetensors file; arrays as they are, or (type, bits)."""
        as_type = {"f": "F%d", "i": "I%d", "b": "BOOL", "u": "U%d"}
        listed = {}
        for key, a in tensors.items():
            t, a = a if isinstance(a, tuple) else (None, a)
            t = t or (as_type[a.dtype.kind] if a.dtype.kind == "b" else as_type[a.dtype.kind] % (8 * a.dtype.itemsize))
            listed[key] = (t, a.shape, np.ascontiguousarray(a).tobytes())
        lib.write_safetensors(self.path(name), listed)
        return name

    def npy(self, name, a):
        np.save(self.path(name), a)
        return name

    def compare(self, base, tuned, *args, models=("base", "tuned"), status=0):
        sides = [self.path("models", m) for m in models]
        done = lib.run_sinew(0, ["compare", *sides, "--logits", self.path(base), self.path(tuned), "--rank", "none", *args], cwd=self.dir)
        self.assertEqual(done.returncode, status, done.text())
        return done

    def verdict(self, base, tuned, **how):
        """The one sentence on entropies, of JSON and of the text."""
        said = [s for s in json.loads(self.compare(base, tuned, "--json", **how).stdout)["verdict"] if "entrop" in s]
        self.assertEqual(len(said), 1)
        return said[0]

    def refused(self, base, tuned, *words, **how):
        done = self.compare(base, tuned, status=3, **how)
        lines = [line for line in done.stderr.splitlines() if line.startswith("sinew: ")]
        self.assertEqual((len(lines), done.stdout), (1, ""), done.text())
        for word in words:
            self.assertIn(word, lines[0])

    def test_read_and_told(self):
        """What is read: one run over all that has a right value, each against NumPy."""
        x, bits = self.x, lib.bf16_round(self.x)
        h = entropy(x)
        mask = self.rng.random(60) < 0.6
        other = ~mask
        files, want = {}, {}
        for name, descr in (("void", "|V2"), ("ml", "<V2")):
            with open(self.path(name + ".npy"), "wb") as f:
                np.lib.format.write_array_header_1_0(f, {"descr": descr, "fortran_order": False, "shape": bits.shape})
                f.write(bits.tobytes())
            files[name], want[name] = name + ".npy", entropy(lib.bf16_float(bits))
        files["batch"] = self.tensors("batch.safetensors", entropies=h.reshape(6, 10), mask=mask.reshape(6, 10))
        with h5py.File(self.path("batch.h5"), "w") as f:
            f["entropy"], f["response_mask"], f["note"] = h.reshape(6, 10), mask.astype(np.float32), np.arange(7)
        files["batch5"] = "batch.h5"
        files["trl"] = self.tensors("trl.safetensors", logits=x, input_ids=np.arange(60), completion_mask=mask.astype(np.int64),
                                    attention_mask=np.ones(60, np.int64), hidden=np.ones((60, 2), np.float32))
        files["verl"] = self.tensors("verl.safetensors", logits=x.reshape(6, 10, ROWS), response_mask=mask.reshape(6, 10).astype(np.int32))
        files["loss"] = self.tensors("loss.safetensors", logits=x, loss_mask=mask.astype(np.float32))
        files["lossbf"] = self.tensors("lossbf.safetensors", logits=x, loss_mask=("BF16", lib.bf16_round(mask.astype(np.float32))))
        files["pad"] = self.tensors("pad.safetensors", logits=x, padding_mask=other)
        with h5py.File(self.path("pad.h5"), "w") as f:
            f["logits"], f["mask"], f["padding_mask"], f["entropies"] = x, mask, other, h
        files["pad5"] = "pad.h5"
        self.write("study.yaml", CONFIG % ("256 MiB", "".join(CELL % (n, p) for n, p in files.items()), 1))
        self.sinew(["run", self.path("study.yaml")], np=2)
        archive = self.path("out", "logits.h5")
        rows = {r["cell"].split("/")[1]: r for r in lib.table(archive, "entropy")}
        for name in files:
            of = want.get(name, h)
            of = of if name in want or name == "pad" else of[mask]
            self.assertEqual(rows[name]["tokens"], len(of), name)
            self.assertAlmostEqual(rows[name]["mean"], of.mean(), delta=1e-12, msg=name)
            self.assertAlmostEqual(rows[name]["median"], np.median(of), delta=1e-12, msg=name)
            self.assertEqual((rows[name]["caveat"], rows[name]["cut_tokens"]), ("", 0), name)
        unused = sorted((r["cell"].split("/")[1], r["tensor"]) for r in lib.table(archive, "skipped") if "not used" in r["reason"])
        self.assertEqual(unused, [("pad", "padding_mask"), ("pad5", "entropies"), ("pad5", "padding_mask"), ("trl", "attention_mask")])
        values = {r["cell"].split("/")[1]: r for r in lib.table(archive, "verdicts")}
        self.assertEqual(values["trl"]["sentence"],
                         "The mean token entropy of the tuned policy is %.4g nats over %d tokens." % (h[mask].mean(), mask.sum()))
        self.assertAlmostEqual(values["trl"]["value"], h[mask].mean(), delta=1e-12)
        half = mask.astype(np.float32)
        half[9] = 0.5
        bad = self.tensors("half.safetensors", logits=x, loss_mask=half)
        self.refused(bad, bad, "half.safetensors", "token 9", "loss_mask is neither 0 nor 1")

    def test_vocabularies(self):
        whole = self.npy("whole.npy", self.x)
        batch = self.npy("batch.npy", entropy(self.x).reshape(10, 6))
        top = self.tensors("top.safetensors", logits=-np.sort(-self.x)[:, :20])
        self.refused(whole, batch, "batch.npy", "10x6", "vocabulary of 6", "lm_head.weight has 64 rows", "entropies")
        self.refused(self.npy("top.npy", -np.sort(-self.x)[:, :20]), whole, "top.npy", "60x20", "model.embed_tokens.weight has 64 rows",
                     "largest k", models=("embed", "embed"))
        self.refused(top, whole, "whole.npy: shape 60x64", "top.safetensors", "shape 60x20")
        self.assertIn("stand, a vocabulary of 20 logits, and the model's head has 64 rows", self.verdict(top, top))
        self.refused(whole, batch, "10x6", "whole.npy", "60x64", models=("bare", "bare"))
        near = self.npy("near.npy", self.x[:, :60])
        named = self.tensors("near.safetensors", logits=self.x[:, :60])
        self.refused(whole, near, "60x60", "60x64", models=("bare", "bare"))
        self.assertIn("the vocabularies differ", self.verdict(whole, near))
        differ = "the vocabularies differ: 64 in the base's logits, 60 in the tuned's"
        self.assertIn("not to be compared as they stand, " + differ, self.verdict(whole, named))
        text = self.compare(whole, named).stdout
        self.assertEqual(text.count(differ), 3)  # the headline, and each policy's own line
        self.assertLess(text.index(differ), text.index("counts as updated"))
        config = self.compare(whole, batch, "--print-config").stdout
        self.write("pair.yaml", config)
        check = lib.run_sinew(0, ["check", self.path("pair.yaml")], cwd=self.dir)
        self.assertEqual(check.returncode, 3, check.text())
        self.assertIn("lm_head.weight has 64 rows", check.stderr)

    def test_rows_in_part(self):
        whole = self.npy("whole.npy", self.x)
        mean = entropy(self.x).mean()
        fine = self.verdict(whole, self.npy("hot.npy", self.x / 2))
        self.assertEqual(fine, "The mean token entropy: base %.4g nats over 60 tokens, tuned %.4g nats over 60 tokens." % (
            mean, entropy(self.x / 2).mean()))
        lowest = np.sort(self.x)[:, -20][:, None]
        for value in (-np.inf, -1e4, np.finfo(np.float32).min):
            cut = np.where(self.x < lowest, np.float32(value), self.x)
            said = self.verdict(whole, self.npy("cut.npy", cut))
            self.assertIn("not to be compared as they stand, tuned: for 60 of 60 tokens fewer than half of the logits are there", said)
            self.assertIn("tuned %.4g nats" % entropy(cut).mean(), said)
        few = self.x.copy()
        few[7, 10:] = -np.inf
        few[8, 33:] = -np.inf  # 33 of 64 are there
        self.assertIn("for 1 of 60 tokens", self.verdict(whole, self.npy("few.npy", few)))
        log_p = self.x - np.log(np.exp(self.x.astype(np.float64)).sum(-1, keepdims=True))
        full = self.tensors("full.safetensors", logits=("BF16", lib.bf16_round(log_p.astype(np.float32))))
        self.assertNotIn("not to be", self.verdict(whole, full))
        tops = [self.npy("top%d.npy" % k, -np.sort(-log_p)[:, :5].astype(np.float32)) for k in (0, 1)]
        said = self.verdict(*tops, models=("bare", "bare"))
        self.assertIn("log-probabilities that do not sum to 1, the largest of a longer list", said)
        five = self.npy("five.npy", self.x[:, :5])
        self.assertIn("a vocabulary of 5 logits, and nothing says that the model's is so small", self.verdict(five, five, models=("bare", "bare")))


if __name__ == "__main__":
    lib.main()
