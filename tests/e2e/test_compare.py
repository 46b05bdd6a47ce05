#!/usr/bin/python3
"""`sinew compare BASE TUNED`: a pair in one line. What it prints against numpy and, where they are beside the project, against the
reference figures of real checkpoints; the ways in which a side can be named; what it refuses; and that it leaves nothing behind."""
import json
import os
import shutil
import subprocess
import unittest

import numpy as np

import sinewlib as lib

TINYRL = os.path.abspath(os.environ.get("SINEW_TINYRL", os.path.join(lib.ROOT, "..", "shared", "tinyrl")))
KEYS = ["base", "tuned", "parameters", "covered", "covered_base", "covered_tuned", "bit_changed", "relative_norm", "cosine", "norm_base",
        "norm_tuned", "norm_delta", "one_minus_cosine", "top_0_1_percent_energy", "top_1_percent_energy", "top_5_percent_energy", "taken", "sparsity", "modules", "rank",
        "entropy", "skipped", "verdict"]


def weights(seed=3):
    rng = np.random.default_rng(seed)
    w = {}
    for layer in range(2):
        for name, shape in (("self_attn.q_proj", (64, 48)), ("self_attn.k_proj", (32, 48)), ("mlp.up_proj", (96, 48))):
            w["model.layers.%d.%s.weight" % (layer, name)] = (rng.standard_normal(shape) * 0.02).astype(np.float32)
    w["model.norm.weight"] = np.ones(48, np.float32)
    return w


def as_bf16(w):
    return {n: ("BF16", lib.bf16_round(x).reshape(x.shape)) for n, x in w.items()}


class Compare(lib.Case):
    def setUp(self):
        super().setUp()
        self.tmp = self.path("tmp")
        os.makedirs(self.tmp, exist_ok=True)
        self.env = {"TMPDIR": self.tmp, "HOME": self.path("home"), "HF_HUB_CACHE": "", "HF_HOME": ""}

    def run_compare(self, *args, np_=0, status=0, env=None):
        done = lib.run_sinew(np_, ["compare", *args], cwd=self.dir, env=dict(self.env, **(env or {})))
        self.assertEqual(done.returncode, status, done.text())
        self.assertEqual([f for f in os.listdir(self.tmp) if f.startswith("sinew-compare")], [], "a folder was left behind")
        if status:
            self.assertEqual(done.stdout, "")
            self.assertEqual(len([l for l in done.stderr.splitlines() if l.startswith("sinew: ")]), 1, done.stderr)
        return done

    def object(self, *args, **how):
        found = json.loads(self.run_compare(*args, "--json", **how).stdout)
        self.assertEqual(list(found), KEYS)
        return found

    def pair(self, tuned, base=None):
        lib.write_checkpoint(self.path("base"), as_bf16(base or weights()))
        lib.write_checkpoint(self.path("tuned"), tuned)
        return self.path("base"), self.path("tuned")

    def moved(self, share):
        rng = np.random.default_rng(9)
        w = as_bf16(weights())
        for n, (t, bits) in w.items():
            w[n] = (t, np.where(rng.random(bits.shape) < share, bits ^ 1, bits).astype(np.uint16))
        return w

    def test_figures_are_numpys_on_any_number_of_processes(self):
        base, tuned = self.pair(self.moved(0.3))
        old, new = lib.read_checkpoint(base), lib.read_checkpoint(tuned)
        a = np.concatenate([lib.bf16_float(old[n][1]).astype(np.float64).reshape(-1) for n in sorted(old)])
        b = np.concatenate([lib.bf16_float(new[n][1]).astype(np.float64).reshape(-1) for n in sorted(old)])
        found = [self.object(base, tuned, "--rank", "all", np_=n) for n in (0, 1, 2, 3)]
        for other in found[1:]:
            for key in ("parameters", "covered", "covered_base", "covered_tuned", "bit_changed", "relative_norm", "cosine", "sparsity", "modules", "verdict"):
                self.assertEqual(found[0][key], other[key], key)
        x = found[0]
        self.assertEqual((x["base"], x["tuned"]), (base, tuned))
        self.assertEqual((x["parameters"], x["covered"], x["bit_changed"]), (a.size, 1, int((a != b).sum())))
        self.assertAlmostEqual(x["relative_norm"], np.linalg.norm(b - a) / np.linalg.norm(a), delta=1e-12)
        for key, of in (("norm_base", a), ("norm_tuned", b), ("norm_delta", b - a)):
            self.assertAlmostEqual(x[key] / np.linalg.norm(of), 1, delta=1e-12)
        self.assertAlmostEqual(x["cosine"], a @ b / np.linalg.norm(a) / np.linalg.norm(b), delta=1e-12)
        self.assertEqual([s["tolerance"] for s in x["sparsity"] if s["criterion"] == "absolute"],
                         [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
        relative = [s for s in x["sparsity"] if s["criterion"] == "relative"][0]
        self.assertEqual(relative["updated"], int((np.abs(b - a) > 1e-3 * np.maximum(np.abs(a), np.abs(b))).sum()))
        self.assertEqual({m["module"]: m["parameters"] for m in x["modules"]},
                         {"q_proj": 6144, "k_proj": 3072, "up_proj": 9216, "norm": 48})
        self.assertEqual(x["rank"]["measured"], 6)
        for row in x["rank"]["matrices"]:
            d = lib.difference("bf16", old[row["tensor"]][1], new[row["tensor"]][1])
            self.assertEqual(row["matrix_rank"], np.linalg.matrix_rank(np.asarray(d, np.float32).reshape(old[row["tensor"]][1].shape)))

    def sentence(self, *args, **how):
        return self.object(*args, **how)["verdict"]

    def test_another_pair_another_sentence(self):
        base, tuned = self.pair(as_bf16(weights()))
        said = self.sentence(base, tuned)
        self.assertEqual(said[:3], ["All 18,480 compared parameters are the same in bf16, bit for bit.", "The update is zero.",
                                    "All parameters of both sides are compared."])
        one = as_bf16(weights())
        one["model.norm.weight"][1][7] += 1
        base, tuned = self.pair(one)
        self.assertEqual(self.sentence(base, tuned)[0],
                         "1 of the 18,480 compared parameters changed in bf16, all of them in one of 7 tensors, model.norm.weight.")
        base, tuned = self.pair(self.moved(2))
        self.assertEqual(self.sentence(base, tuned)[0], "Every one of the 18,480 compared parameters changed in bf16.")
        low = weights()
        rng = np.random.default_rng(1)
        for n in low:
            if low[n].ndim == 2:
                low[n] = low[n] + (rng.standard_normal((low[n].shape[0], 2)) @ rng.standard_normal((2, 48)) * 0.002).astype(np.float32)
        base, tuned = self.pair({n: ("F32", lib.float_bits(x)) for n, x in low.items()})
        lib.write_checkpoint(base, {n: ("F32", lib.float_bits(x)) for n, x in weights().items()})
        said = self.sentence(base, tuned, "--arithmetic", "f32", "--rank", "all")
        self.assertIn("compared parameters are unchanged in float32", said[0])
        self.assertFalse([s for s in said if "Rounding" in s])
        extra = self.moved(0.1)
        extra["mtp.layers.0.extra.weight"] = ("BF16", np.zeros((7, 9), np.uint16))
        base, tuned = self.pair(extra)
        self.run_compare(base, tuned, status=3)

    def test_pairs_that_hardly_belong_together(self):
        """The verdict asks for the base where most weights point elsewhere, with numpy's cosine; never of what was tuned from it."""
        rng = np.random.default_rng(4)
        old = {n: lib.bf16_float(bits).astype(np.float32).reshape(bits.shape) for n, (t, bits) in as_bf16(weights()).items()}
        matrices = sorted(n for n in old if old[n].ndim == 2)
        order = {n: n.replace("layers.0.", "layers.X.").replace("layers.1.", "layers.0.").replace("layers.X.", "layers.1.") for n in old}
        half = {n: x[rng.permutation(len(x))] if n in matrices[:2] else x for n, x in old.items()}
        scale = {n: 2.0 ** (np.floor(np.log2(np.abs(x).max())) - 8) for n, x in old.items()}
        pairs = {"unrelated": (weights(8), 6), "rows": ({n: x[rng.permutation(len(x))] if x.ndim == 2 else x for n, x in old.items()}, 6),
                 "layers": ({order[n]: x for n, x in old.items()}, 6), "two": (half, 2),
                 "sft": ({n: x + (rng.standard_normal(x.shape) * 1e-3).astype(np.float32) for n, x in old.items()}, 0),
                 "rl": ({n: x + (rng.standard_normal(x.shape) * 2e-5).astype(np.float32) for n, x in old.items()}, 0),
                 "identical": (old, 0), "quantized": ({n: np.round(x / scale[n]) * scale[n] for n, x in old.items()}, 0)}
        base = self.path("kin")
        lib.write_checkpoint(base, as_bf16(old))
        for name, (new, apart) in pairs.items():
            new = {n: np.asarray(x, np.float32) for n, x in new.items()}
            lib.write_checkpoint(self.path(name), as_bf16(new))
            x = self.object(base, self.path(name), "--rank", "none")
            asked = [s for s in x["verdict"] if "is the base what the tuned side was trained from" in s]
            self.assertEqual(len(asked), apart > 0, (name, x["verdict"]))
            if not apart:
                continue
            a, b = [np.concatenate([lib.bf16_float(lib.bf16_round(w[n])).astype(np.float64).reshape(-1) for n in matrices
                                    if name != "two" or n in matrices[:2]]) for w in (old, new)]
            self.assertEqual(x["verdict"][0], asked[0])
            self.assertTrue(asked[0].startswith("In %d of 6 matrices, with %.2f %% of the compared parameters, old and new weights have a cosine "
                                                "of %.3f;" % (apart, 100 * a.size / x["parameters"], a @ b / np.linalg.norm(a) / np.linalg.norm(b))), asked)

    def test_zeros(self):
        """Zeros with another sign; a tensor whose base is all zero; one matrix that changed, which the sample of ranks has then."""
        name = "model.layers.1.self_attn.k_proj.weight"
        plus, minus, zero, one = as_bf16(weights()), as_bf16(weights()), as_bf16(weights()), as_bf16(weights())
        plus[name][1][3, :] = 0
        minus[name][1][3, :] = 0x8000
        zero[name][1][:] = 0
        one[name][1][:] ^= 1
        lib.write_checkpoint(self.path("plus"), plus)
        lib.write_checkpoint(self.path("minus"), minus)
        x = self.object(self.path("plus"), self.path("minus"))
        self.assertEqual(x["verdict"][:2],
                         ["48 of the 18,480 compared parameters changed in bf16, all of them in one of 7 tensors, %s. The values are the same: "
                          "only zeros have another sign (0 and -0)." % name, "The update is zero."])
        for w in (zero, one): # a module of its own, and more matrices than a sample has
            for i in range(6):
                w["model.layers.%d.extra.weight" % i] = ("BF16", np.full((40, 30), 0x3c00, np.uint16))
            w["model.only.weight"] = w.pop(name)
        lib.write_checkpoint(self.path("zero"), zero)
        lib.write_checkpoint(self.path("one"), one)
        x = self.object(self.path("zero"), self.path("one"))
        self.assertEqual([m["relative_norm"] for m in x["modules"] if m["module"] == "only"], [None])
        self.assertEqual([(m["tensor"], m["matrix_rank"]) for m in x["rank"]["matrices"] if m["matrix_rank"]],
                         [("model.only.weight", min(one["model.only.weight"][1].shape))])
        self.assertEqual(len(x["rank"]["matrices"]), 8)
        self.assertIn("The update of the one matrix measured has 100 % of full rank (11 more did not change).", x["verdict"])
        text = self.run_compare(self.path("zero"), self.path("one")).stdout
        self.assertRegex(text, r"(?m)^only +1536 +0.0000% +-$")
        self.assertIn("-: the base's weights are all zero", text)
        self.assertNotIn("nan", text)

    def test_ways_to_name_a_side(self):
        base, tuned = self.pair(self.moved(0.2))
        want = self.object(base, tuned)["bit_changed"]
        file = os.path.join(tuned, "model.safetensors")
        self.assertEqual(self.object(base, file)["bit_changed"], want)
        home = self.path("home")
        shutil.copytree(tuned, os.path.join(home, "runs", "grpo"))
        self.assertEqual(self.object(base, "~/runs/grpo")["bit_changed"], want)
        model = os.path.join(home, ".cache", "huggingface", "hub", "models--org--tuned")
        revision = "0123456789abcdef0123456789abcdef01234567"
        shutil.copytree(tuned, os.path.join(model, "snapshots", revision))
        os.makedirs(os.path.join(model, "refs"))
        for ref in ("main", "step_100"):
            with open(os.path.join(model, "refs", ref), "w") as f:
                f.write(revision)
        for name in (model, "org/tuned", "org/tuned@main", "org/tuned@step_100", "org/tuned@" + revision):
            x = self.object(base, name)
            self.assertEqual((x["bit_changed"], x["taken"]["tuned"]["given"], x["taken"]["tuned"]["commit"]), (want, name, revision))
        self.assertIn("tuned  org/tuned@step_100, commit %s\n" % revision, self.run_compare(base, "org/tuned@step_100").stdout)
        elsewhere = self.path("cache")
        shutil.move(os.path.dirname(model), elsewhere)
        self.assertEqual(self.object(base, "org/tuned", env={"HF_HUB_CACHE": elsewhere})["bit_changed"], want)
        gone = self.run_compare(base, "org/tuned", status=3).stderr
        self.assertIn("jobs/stage-in.sh org/tuned --run", gone)
        self.assertIn("jobs/stage-in.sh org/tuned@other --run",
                      self.run_compare(base, "org/tuned@other", status=3, env={"HF_HUB_CACHE": elsewhere}).stderr)

    def test_refused(self):
        base, tuned = self.pair(self.moved(0.2))
        self.assertIn("/no-such-place: no such file or folder", self.run_compare(base, "/no-such-place", status=3).stderr)
        self.assertIn("BASE and TUNED", self.run_compare(base, status=2).stderr)
        self.assertIn("'grown'", self.run_compare(base, tuned, "--rank", "grown", status=2).stderr)
        for np_ in (1, 2):
            lib.write_checkpoint(self.path("other"), {"x.weight": ("BF16", np.zeros((3, 4), np.uint16))})
            self.run_compare(base, self.path("other"), np_=np_, status=3)

    def test_errors_speak_of_options(self):
        """What helps is told as an option that can be pasted, in no word of a study that nobody wrote."""
        old, new = as_bf16(weights()), self.moved(0.2)
        base, tuned = self.pair(new)
        x = self.object(base, tuned)
        taller = dict(new, **{"model.embed_tokens.weight": ("BF16", np.zeros((9, 4), np.uint16))})
        lib.write_checkpoint(self.path("tall"), taller)
        lib.write_checkpoint(self.path("low"), dict(old, **{"model.embed_tokens.weight": ("BF16", np.zeros((8, 4), np.uint16))}))
        lib.write_checkpoint(self.path("extra"), dict(new, **{"score.weight": ("BF16", np.zeros((99, 99), np.uint16))}))
        lib.write_checkpoint(self.path("other"), {"policy." + n: v for n, v in new.items()})
        wrapped = {"_fsdp_wrapped_module." + n.replace(".mlp.", "._checkpoint_wrapped_module.mlp."): v for n, v in new.items()}
        lib.write_checkpoint(self.path("wrapped"), wrapped)
        adapter = self.path("adapter")
        os.makedirs(adapter)
        with open(os.path.join(adapter, "adapter_config.json"), "w") as f:
            json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}, f)
        rng = np.random.default_rng(5)
        lib.write_checkpoint(adapter, {"base_model.model.model.layers.0.self_attn.q_proj.lora_%s.weight" % k: ("F32", lib.float_bits(
            (rng.standard_normal(shape) * 0.05).astype(np.float32))) for k, shape in (("A", (2, 48)), ("B", (64, 2)))})
        os.rename(os.path.join(adapter, "model.safetensors"), os.path.join(adapter, "adapter_model.safetensors"))
        cases = [(["low", "tall"], 3, "--rows common compares the rows that both have, --rows skip leaves"),
                 (["base", "extra"], 3, "--rename matches names that differ, --unmatched skip leaves the others out"),
                 (["base", "extra", "--unmatched", "skip"], 3, "--coverage any, or a share such as 0.65, takes"),
                 (["base", "other"], 3, "; with --rename 'policy. ->' 7 of 7 match"),
                 (["base", "tuned", "--rename", "a -> b"], 2, "--rename \"a -> b\" matches none of the 7 tensors"),
                 (["base", "tuned", "--rename", "bad"], 2, "--rename: expected \"PATTERN -> REPLACEMENT\", found \"bad\""),
                 (["base", "tuned", "--memory", "3"], 2, "--memory: expected a size (\"2 GiB\", \"512 MB\") of at least 64 MiB"),
                 (["adapter", "base"], 3, "name it as the tuned side, and as its base the model")]
        for words, status, said in cases:
            told = self.run_compare(*[self.path(w) if i < 2 else w for i, w in enumerate(words)], status=status).stderr
            self.assertIn(said, told)
            for word in ("of delta", "in delta", "unmatched:", "rename: [", "rows:", "coverage:", "the study", " cell"):
                self.assertNotIn(word, told, words)
        self.assertEqual(self.object(base, self.path("other"), "--rename", "policy. ->")["bit_changed"], x["bit_changed"])
        y = self.object(self.path("low"), self.path("tall"), "--rows", "common")
        self.assertEqual((y["parameters"], y["bit_changed"]), (x["parameters"] + 32, x["bit_changed"]))
        y = self.object(base, self.path("wrapped"))
        self.assertEqual((y["bit_changed"], y["taken"]["names"]),
                         (x["bit_changed"], "names are matched without \"_fsdp_wrapped_module.\", \"_checkpoint_wrapped_module.\", which wrappers of "
                                            "modules put there"))
        # An adapter's own update is of its rank in float32, which is the default then, and not in bf16, which is said.
        y = self.object(base, adapter, "--adapter", "exact", "--rank", "all")
        self.assertEqual([m["matrix_rank"] for m in y["rank"]["matrices"] if m["matrix_rank"]], [2])
        self.assertIn("parameters changed in float32", y["verdict"][0])
        rounds = "rounds the adapter's own update, and its rank is that of the rounding; --arithmetic f32 keeps it"
        self.assertIn(rounds, self.run_compare(base, adapter, "--adapter", "exact", "--arithmetic", "bf16").stdout)
        self.assertNotIn(rounds, self.run_compare(base, adapter, "--adapter", "exact").stdout)

    def test_its_study_and_its_report(self):
        base, tuned = self.pair(self.moved(0.2))
        what_ran = self.run_compare(base, tuned, "--print-config", "--report", self.path("page"), "--rank", "none").stdout
        self.assertIn('output: "%s"' % self.path("page"), what_ran)
        self.assertIn("report: {needs: [mask]}", what_ran)
        self.assertFalse(os.path.exists(self.path("page")))
        config = self.run_compare(base, tuned, "--print-config").stdout
        with open(self.path("study.yaml"), "w") as f:
            f.write(config)
        done = lib.run_sinew(0, ["run", self.path("study.yaml")], cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.text())
        rows = lib.table(self.path("results/compare/compare.h5"), "cells")
        x = self.object(base, tuned)
        self.assertEqual(rows[0]["bit_changed"], x["bit_changed"])
        self.run_compare(base, tuned, "--report", self.path("page"))
        self.assertTrue(os.path.exists(self.path("page/report/report.html")))
        verdicts = lib.table(self.path("page/compare.h5"), "verdicts")
        self.assertEqual([r["sentence"] for r in verdicts], x["verdict"])

    def test_reader_that_goes_away(self):
        base, tuned = self.pair(self.moved(0.2))
        process = subprocess.Popen([lib.binary(), "compare", base, tuned], stdout=subprocess.PIPE, env=lib.environment(self.env))
        process.stdout.close()
        process.wait(timeout=60)
        self.assertEqual([f for f in os.listdir(self.tmp) if f.startswith("sinew-compare")], [])

    def test_real_checkpoints(self):
        if not os.path.isdir(TINYRL):
            self.skipTest("no tinyrl folder")
        with open(os.path.join(TINYRL, "oracle.json")) as f:
            cells = json.load(f)["families"]["tiny-llama"]["cells"]
        for name in ("grpo/seed-0", "sft/seed-1", "dpo/seed-0"):
            total = cells[name]["total"]
            x = self.object(os.path.join(TINYRL, "tiny-llama", "base"), os.path.join(TINYRL, "tiny-llama", name))
            self.assertEqual((x["parameters"], x["bit_changed"]), (total["numel"], total["bit_changed"]))
            unchanged = 100 * (1 - total["bit_changed"] / total["numel"])
            self.assertTrue(x["verdict"][0].startswith("%.2f %% of the 799,872 compared parameters are unchanged" % unchanged), x["verdict"])


if __name__ == "__main__":
    lib.main()
