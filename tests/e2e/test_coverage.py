#!/usr/bin/python3
"""What a comparison's figures are of: which share of each side's parameters, said in the archive, the log, check, compare and the page,
and refused where it is too little; heads that are tied to the embedding, each way in which a checkpoint can hold them, against numpy;
and names that do not match, whose messages propose rules of rename that work when they are taken as they are written."""
import json
import os
import re
import unittest

import numpy as np
import torch

import sinewlib as lib

E, H = "model.embed_tokens.weight", "lm_head.weight"


def bf16(rng, *shape):
    return lib.bf16_round((rng.standard_normal(shape) * 0.02).astype(np.float32)).reshape(shape)


def step(rng, bits, share=0.3):
    """Some of the weights a step further."""
    return np.where(rng.random(bits.shape) < share, bits ^ 1, bits).astype(np.uint16)


def torch_bf16(bits):
    return torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16)


class Pairs(lib.Case):
    def setUp(self):
        super().setUp()
        self.cells = []
        os.makedirs(self.path("tmp"))
        self.env = {"TMPDIR": self.path("tmp"), "HOME": self.dir, "HF_HUB_CACHE": "", "HF_HOME": ""}

    def side(self, name, tensors, **config):
        lib.write_checkpoint(self.path(name), {n: ("BF16", x) for n, x in tensors.items()})
        if config:
            self.write(os.path.join(name, "config.json"), json.dumps(config))
        return name

    def cell(self, base, tuned):
        self.cells.append("  - {family: f%d, algorithm: a, seed: 0, base: %s, tuned: %s}\n" % (len(self.cells), base, tuned))
        return "f%d/a/0" % (len(self.cells) - 1)

    def config(self, delta="", stages="", top=""):
        return self.write("x.yaml", "study: x\noutput: out\n%scells:\n%sstages:\n  load: {}\n  delta: {needs: [load]%s}\n%s"
                          % (top, "".join(self.cells), ", " + delta if delta else "", stages))

    def tables(self, *names):
        found = lib.tables(self.path("out", "x.h5"))
        return [lib.plain(found[n]) for n in names]

    def compare(self, *args, status=0):
        done = lib.run_sinew(0, ["compare", *args], cwd=self.dir, env=self.env)
        self.assertEqual(done.returncode, status, done.text())
        return done


class Shares(Pairs):
    def test_of_each_side(self):
        rng = np.random.default_rng(1)
        base = {"model.layers.%d.q.weight" % i: bf16(rng, 50, 40) for i in range(4)}
        tuned = {n: step(rng, x) for n, x in base.items()}
        whole = self.cell(self.side("b0", base), self.side("t0", tuned))
        small = self.cell("b0", self.side("t1", dict(tuned, **{"v_head.summary.weight": bf16(rng, 1, 40)})))
        large = self.cell("b0", self.side("t2", dict(tuned, **{"extra.a": bf16(rng, 100), "extra.b": bf16(rng, 30, 100)})))
        buffer = self.cell(self.side("b3", dict(base, **{"h.0.attn.bias": bf16(rng, 1, 1, 30, 30)})),
                           self.side("t3", dict(tuned, **{"model.rotary_emb.inv_freq": bf16(rng, 500)})))
        want = {whole: (1, 1), small: (1, 8000 / 8040), large: (1, 8000 / 11100), buffer: (1, 1)}

        # check and run refuse what is too little, and say how to go on
        for verb in ("check", "run"):
            run = self.sinew([verb, self.config("unmatched: skip")], status=3)
            line, = run.errors()
            self.assertIn("100 % of the base's parameters and 72.07 % of the tuned side's are compared, expected at least 90.00 %", line)
            self.assertIn("of 2 tensors left out the largest: extra.b (3,000, only in the tuned checkpoint), extra.a (100, ", line)
            self.assertIn('"coverage: any" of delta, or a share such as 0.72, takes the comparison as it is', line)
        self.sinew(["check", self.config("unmatched: skip, coverage: 0.73")], status=3)
        for bad in ("most", "1.5", "-1", "nan", "[0.5]"):
            self.assertIn("coverage", self.sinew(["check", self.config("coverage: " + bad)], status=2).stderr)
        check = self.sinew(["check", self.config("unmatched: skip, coverage: 0.72")]).stdout
        self.assertIn(large + ": 100 % of the base's parameters and 72.07 % of the tuned side's are compared\n", check)
        self.assertIn(small + ": 100 % of the base's parameters and 99.50 % of the tuned side's are compared\n", check)
        self.assertNotIn(whole + ":", check)
        self.assertIn("inputs open and match, 2 pairs in part, the least 72.07 % of a side; nothing", check)

        stages = "  mask: {needs: [delta]}\n  report: {needs: [mask]}\n"
        run = self.sinew(["run", self.config("unmatched: skip, coverage: any", stages)])
        self.assertIn(large + ": 100 % of the base's parameters and 72.07 % of the tuned side's are compared", run.stdout)
        cells, verdicts = self.tables("cells", "verdicts")
        for row in cells:
            self.assertEqual((row["covered_base"], row["covered_tuned"]), want[row["cell"]], row["cell"])
            self.assertEqual(row["parameters"], 8000)
        first = {c: [r for r in verdicts if r["cell"] == c][0] for c in want}
        self.assertEqual({c: r["about"] == "coverage" for c, r in first.items()},
                         {whole: False, small: True, large: True, buffer: False})
        self.assertEqual(first[large]["sentence"], "100 % of the base's parameters and 72.07 % of the tuned side's are compared; 3,100 "
                         "are left out, and no figure tells of them (table skipped says which and why).")
        with open(self.path("out", "report", "report.md")) as f:
            page = f.read()
        self.assertIn("covered least: 100 % of the base's parameters and 72.07 % of the tuned side's", page)

    def test_compare(self):
        rng = np.random.default_rng(2)
        base = {"model.a.weight": bf16(rng, 30, 20), "model.b.weight": bf16(rng, 30, 20)}
        self.side("b", base)
        self.side("t", {"model.a.weight": step(rng, base["model.a.weight"])})
        done = self.compare("b", "t", "--unmatched", "skip", status=3)
        self.assertIn("50.00 % of the base's parameters and 100 % of the tuned side's are compared", done.stderr)
        self.assertEqual(done.stdout, "")
        for share in ("any", "0.5"):
            x = json.loads(self.compare("b", "t", "--unmatched", "skip", "--coverage", share, "--json").stdout)
            self.assertEqual((x["covered"], x["covered_base"], x["covered_tuned"], x["parameters"]), (0.5, 0.5, 1, 600))
            self.assertIn("50.00 % of the base's", x["verdict"][0])
        self.assertIn("--coverage", self.compare("b", "t", "--coverage", "all", status=2).stderr)
        self.compare("b", "t", "--unmatched", "skip", "--coverage", "0.51", status=3)


class Heads(Pairs):
    def test_tied(self):
        """base, tuned: what each holds; which pairs of old and new are compared, by numpy's own account of the four arrays."""
        rng = np.random.default_rng(3)
        q = bf16(rng, 60, 24)
        old = bf16(rng, 200, 24)                       # the base's embedding
        new = step(rng, old)                           # the tuned side's
        drift = step(rng, old, 0.2)                    # a head that went its own way
        head = bf16(rng, 200, 24)                      # one that was never the embedding
        q1 = step(rng, q)
        rows = (("tied on both sides", {E: old}, {E: new}, {E: (old, new)}, {}),
                ("an equal copy", {E: old}, {E: new, H: new}, {E: (old, new)}, {}),
                ("an equal copy before", {E: old, H: old}, {E: new}, {E: (old, new)}, {}),
                ("drifted", {E: old}, {E: new, H: drift}, {E: (old, new), H: (old, drift)}, {}),
                ("drifted, said to be tied", {E: old}, {E: new, H: drift}, {E: (old, new), H: (old, drift)}, {"tie_word_embeddings": True}),
                ("held twice", {E: old, H: old}, {E: new, H: new}, {E: (old, new)}, {}),
                ("held twice, then drifted", {E: old, H: old}, {E: new, H: drift}, {E: (old, new), H: (old, drift)}, {}),
                ("two matrices", {E: old, H: head}, {E: new, H: step(rng, head)}, None, {}),
                ("two became one", {E: old, H: head}, {E: new, H: new}, {E: (old, new), H: (head, new)}, {}))
        want = {}
        for i, (what, base, tuned, pairs, config) in enumerate(rows):
            pairs = pairs or {n: (base[n], tuned[n]) for n in base}
            name = self.cell(self.side("b%d" % i, {**base, "model.layers.0.q.weight": q}, **config),
                             self.side("t%d" % i, {**tuned, "model.layers.0.q.weight": q1}, **config))
            want[name] = (what, {**pairs, "model.layers.0.q.weight": (q, q1)})
        for i, (what, names) in enumerate((("shared storage", (E, H)), ("shared storage, by another name", ("transformer.wte.weight", H)))):
            base, tuned = {}, {}
            for folder, bits, side, layer in (("sb%d" % i, old, base, q), ("st%d" % i, new, tuned, q1)):
                os.makedirs(self.path(folder))
                shared = torch_bf16(bits)
                torch.save({names[0]: shared, names[1]: shared, "model.layers.0.q.weight": torch_bf16(layer)},
                           self.path(folder, "pytorch_model.bin"))
            want[self.cell("sb%d" % i, "st%d" % i)] = (what, {names[0]: (old, new), "model.layers.0.q.weight": (q, q1)})
            want[self.cell("b0" if i == 0 else "sb1", "st%d" % i)] = (what + " on one side",
                                                                     {names[0]: (old, new), "model.layers.0.q.weight": (q, q1)})

        self.sinew(["check", self.config("coverage: 1")])
        self.sinew(["run", self.config("coverage: 1", "  mask: {needs: [delta], criterion: bits}\n  none: {kind: delta, needs: [load], "
                                                       "store: none}\n  rank: {needs: [none], skip: []}\n")], np=2)
        cells, tensors, masks, ranks = self.tables("cells", "tensors", "tensor_sparsity", "rank")
        self.assertEqual(len(cells), len(want))
        for row in cells:
            what, pairs = want[row["cell"]]
            self.assertEqual((row["covered_base"], row["covered_tuned"], row["skipped_parameters"]), (1, 1, 0), what)
            self.assertEqual(row["parameters"], sum(a.size for a, _ in pairs.values()), what)
            self.assertEqual(row["bit_changed"], sum(int((a != b).sum()) for a, b in pairs.values()), what)
            self.assertEqual({r["tensor"]: r["bit_changed"] for r in tensors if r["cell"] == row["cell"]},
                             {n: int((a != b).sum()) for n, (a, b) in pairs.items()}, what)
            self.assertEqual({r["tensor"]: r["updated"] for r in masks if r["cell"] == row["cell"] and r["node"] == "mask"},
                             {n: int((a != b).sum()) for n, (a, b) in pairs.items()}, what)
            for r in (r for r in ranks if r["cell"] == row["cell"]):
                a, b = pairs[r["tensor"]]
                d = lib.difference("bf16", a, b).astype(np.float32).reshape(a.shape)
                self.assertEqual(r["matrix_rank"], np.linalg.matrix_rank(d), (what, r["tensor"]))

    def test_not_tied(self):
        """A base that says it has a head, and has none: a name that does not match, not a tied one."""
        rng = np.random.default_rng(4)
        e = bf16(rng, 20, 8)
        self.cell(self.side("b", {E: e}, tie_word_embeddings=False), self.side("t", {E: e, H: step(rng, e)}))
        self.assertIn("tensor lm_head.weight is in the tuned checkpoint", self.sinew(["check", self.config()], status=3).stderr)

    def test_counted_by_compare(self):
        rng = np.random.default_rng(5)
        e = bf16(rng, 30, 10)
        self.side("b", {E: e})
        new = step(rng, e)
        self.side("t", {E: new, H: new})
        x = json.loads(self.compare("b", "t", "--json").stdout)
        self.assertEqual((x["parameters"], x["covered_tuned"], x["taken"]["tuned"]["parameters"]), (300, 1, 300))


class Names(Pairs):
    BASE = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight",
            "model.norm.weight", "lm_head.weight"]
    VISION = ["visual.blocks.0.attn.qkv.weight", "visual.merger.ln_q.weight"]
    LLAVA = ["language_model.model.layers.0.q.weight", "language_model.lm_head.weight", "vision_tower.layers.0.q.weight",
             "multi_modal_projector.linear_1.weight"]

    WRAPPERS = ("module.", "_orig_mod.", "_orig_mod. inside", "both", "FSDP", "peft")

    def test_proposals_work_as_they_are_written(self):
        prefix = lambda p: (lambda n: p + n)
        part = lambda a, b: (lambda n: n.replace(a, b, 1))
        rows = (("module.", self.BASE, prefix("module."), 5), ("_orig_mod.", self.BASE, prefix("_orig_mod."), 5),
                ("_orig_mod. inside", self.BASE, part("self_attn.", "_orig_mod.self_attn."), 5),
                ("both", self.BASE, lambda n: "_orig_mod.module." + n.replace("q_proj", "_orig_mod.q_proj"), 5),
                ("FSDP", self.BASE, lambda n: "_fsdp_wrapped_module." + n.replace("layers.0", "layers.0._fsdp_wrapped_module"), 5),
                ("peft", self.BASE, prefix("base_model.model."), 5), ("an actor", self.BASE, prefix("actor.net."), 5),
                ("vision", self.BASE + self.VISION, lambda n: n if n == "lm_head.weight" else "model." + n.replace(
                    "model.", "language_model."), 7),
                ("a text model taken out", self.BASE, lambda n: "language_model." + n, 5),
                ("LLaVA", self.LLAVA, lambda n: n[15:] if "lm_head" in n else "model." + n.replace("language_model.model.", "language_model."), 4),
                ("no outer name", self.BASE, lambda n: n.replace("model.", "", 1), 5))
        rng = np.random.default_rng(6)
        for what, names, wrap, n in rows:
            base = {name: bf16(rng, 6, 4 + i) for i, name in enumerate(names)}
            tuned = {name: step(rng, x) for name, x in base.items()}
            self.cells = []
            self.cell(self.side("b", base), self.side("t", {wrap(name): x for name, x in tuned.items()}))
            rules = []
            if what in self.WRAPPERS:                     # taken off without being asked, and said
                self.assertIn("names are matched without", self.sinew(["check", self.config()]).stdout, what)
            else:
                line, = self.sinew(["check", self.config()], status=3).errors()
                found = re.search(r"; with rename: (\[.*?\]) (\d+) of (\d+) match", line)
                self.assertTrue(found, (what, line))
                self.assertEqual((int(found[2]), int(found[3])), (n, len(names)), (what, line))
                self.assertIn("the base's are ", line)
                self.assertIn("the tuned side's are ", line)
                self.sinew(["check", self.config("rename: " + found[1])])
                rules = [w for rule in json.loads(found[1]) for w in ("--rename", rule)]
            x = json.loads(self.compare("b", "t", "--rank", "none", *rules, "--json").stdout)
            self.assertEqual((x["parameters"], x["covered"], x["bit_changed"]),
                             (sum(v.size for v in base.values()), 1, sum(int((base[k] != tuned[k]).sum()) for k in base)), what)

    def test_a_few_alike_are_no_comparison(self):
        """unmatched: skip leaves nearly all out: refused, with the rule that joins them."""
        rng = np.random.default_rng(7)
        base = {n: bf16(rng, 6, 5) for n in self.BASE}
        self.cell(self.side("b", base), self.side("t", {n if n == "lm_head.weight" else "actor." + n: step(rng, x)
                                                        for n, x in base.items()}))
        line, = self.sinew(["check", self.config("unmatched: skip")], status=3).errors()
        self.assertIn("20.00 % of the base's parameters and 20.00 % of the tuned side's are compared", line)
        self.assertIn("with rename: [\"actor. ->\"] 5 of 5 match", line)


if __name__ == "__main__":
    lib.main()
