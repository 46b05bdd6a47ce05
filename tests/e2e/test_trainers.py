#!/usr/bin/python3
"""Folders as trainers' own libraries left them (shards, masters, adapters, scales, packed experts), read where they are: a
cell tuned to such a folder must give, row by row, the tables of a cell tuned to its truth, a safetensors file that the same
library's own merger or loader made. Every case stands in one study, in both arithmetics, on one and on two processes.

A few small folders of each kind are packed in tests/trainers (made.txt says how they were made). Many more are read from
../shared/trainers beside the project, or SINEW_TRAINERS, where that is there. SINEW_CASES: a regex, for names of cases."""
import glob
import json
import os
import re
import shutil
import tarfile
import tempfile
import unittest

import numpy as np

import sinewlib as lib

PACKED = os.path.join(lib.ROOT, "tests", "trainers")
GENUINE = os.path.abspath(os.environ.get("SINEW_TRAINERS", os.path.join(lib.ROOT, "..", "shared", "trainers")))
ARITHMETICS = ("bf16", "f32")
TABLES = ("cells", "tensors", "tensor_sparsity", "sparsity", "modules", "layers")
# Columns in which a folder and its truth may differ: what it is called, and what in it serves other tensors, such as scales.
ITS_OWN = ("cell", "algorithm", "tuned", "dtype_tuned", "skipped")

# What the refusal of a folder must name, beside the folder.
CAUSES = {"awq": "quantized after training.*AWQ|AWQ.*quantized after training", "gptq": "quantized after training.*GPTQ|GPTQ.*quantized after training",
          "bnb": "bitsandbytes", "int4": "quantized after training", "int8": "quantized after training",
          "lora-pissa": "PiSSA", "zero3-ungathered": "ZeRO.3"}

# Folders and truths that have buffers of the model's own, which the base's file lacks: those are left out on both sides.
BUFFERS = ("zero1-frozen", "zero2-w3", "zero3-w3")
# Truths that lack parameters which the folder has, unchanged: the library's merger forgets what was frozen.
FORGETS = (("zero1-frozen", "masters"),)


def study(root, cases, stages):
    """A config with two cells for each case: its folder, and its truth if it has one."""
    text = "study: s\noutput: ${OUTPUT:-out}\nmemory_per_process: 256 MiB\ncells:\n"
    for i, c in enumerate(cases):
        keys = "".join(", %s: %s" % (k, c[k]) for k in ("weights", "adapter", "merge") if k in c)
        for side, tuned, more in (("folder", c["tuned"], keys), ("truth", c.get("truth"), "")):
            if tuned:
                text += '  - {family: f, algorithm: c%d-%s, base: "%s", tuned: "%s"%s}\n' % (
                    i, side, os.path.join(root, c["base"]), os.path.join(root, tuned), more)
    return text + "stages:\n  load: {}\n" + stages


def delta(arithmetic, unmatched="fail"):
    return ("  delta-%s: {kind: delta, needs: [load], arithmetic: %s, unmatched: %s, tolerances: [0, 1e-8, 1e-6, 1e-5, 1e-3]}\n" %
            (arithmetic, arithmetic, unmatched if unmatched == "fail" else unmatched + ", coverage: any"))


def title(case):
    return " ".join([case["name"], case["tuned"]] + [case[k] for k in ("weights", "adapter", "merge") if k in case])


class Folders:
    """What both collections are asked. root: the folder; cases: a list, as in cases.json."""
    maxDiff = None

    @classmethod
    def begin(cls, root, cases):
        cls.dir = tempfile.mkdtemp(prefix="sinew-test-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.root = root if root else cls.dir
        only = os.environ.get("SINEW_CASES")
        if only:
            cases = [c for c in cases if re.match(only, c["name"])]
        cls.true = [c for c in cases if "truth" in c]
        cls.exact = [c for c in cases if "delta" in c]
        cls.refused = [c for c in cases if c.get("expect") == "refused"]

    def some(self, cases):
        """The cases; skips the test where there are none."""
        if not cases:
            self.skipTest("no such case is picked")
        return cases

    def run_study(self, name, text, np_=0, verb="run"):
        config = os.path.join(self.dir, name + ".yaml")
        with open(config, "w") as f:
            f.write(text)
        output = "out-%s-%d" % (name, np_)
        run = lib.run_sinew(np_, [verb, config] + (["-q"] if verb == "run" else []), cwd=self.dir, env={"OUTPUT": output},
                            timeout=240)
        return run, os.path.join(self.dir, output, "s.h5")

    def rows(self, tables, name, i, side):
        """A case's rows of a table, in order, without what may differ."""
        cell = "f/c%d-%s/0" % (i, side)
        return [{k: v for k, v in row.items() if k not in ITS_OWN} for row in tables[name] if row["cell"] == cell]

    def check_case(self, tables, i, case):
        arithmetics = case.get("arithmetic", ARITHMETICS)
        names = TABLES
        forgotten = set()
        if (case["name"], case.get("weights")) in FORGETS:
            names = ("tensors", "tensor_sparsity")
            has = {row["tensor"] for row in self.rows(tables, "tensors", i, "truth")}
            forgotten = {row["tensor"] for row in self.rows(tables, "tensors", i, "folder")} - has
            self.assertTrue(forgotten and has, title(case))
            for row in self.rows(tables, "tensors", i, "folder"):
                self.assertTrue(row["tensor"] not in forgotten or row["bit_changed"] == 0, (title(case), row))
        for name in names:
            found = [row for row in self.rows(tables, name, i, "folder") if row.get("tensor") not in forgotten]
            wanted = self.rows(tables, name, i, "truth")
            self.assertTrue(found, (title(case), name))
            self.assertEqual(len(found), len(wanted), (title(case), name))
            for x, y in zip(found, wanted):
                if not x.get("node", "delta-bf16").endswith(tuple(arithmetics)):  # a table without nodes is the first's
                    continue
                different = {k: (x[k], y[k]) for k in x
                             if x[k] != y[k] and not (isinstance(x[k], float) and np.isnan(x[k]) and np.isnan(y[k]))}
                self.assertEqual(different, {}, (title(case), name, x.get("tensor", x.get("module", x.get("layer")))))

    def check_all(self, name, cases, unmatched):
        text = study(self.root, cases, "".join(delta(a, unmatched) for a in ARITHMETICS))
        run, archive = self.run_study(name, text, verb="check")
        self.assertEqual(run.returncode, 0, run.text())
        run, archive = self.run_study(name, text)
        self.assertEqual(run.returncode, 0, run.text())
        tables = {table: lib.plain(rows) for table, rows in lib.tables(archive).items()}
        for i, case in enumerate(cases):
            with self.subTest(title(case)):
                self.check_case(tables, i, case)
        run, other = self.run_study(name, text, np_=2)
        self.assertEqual(run.returncode, 0, run.text())
        self.assertEqual(lib.compare_archives(archive, other), [])
        print("%d folders equal their truths" % len(cases))

    def test_1_truths(self):
        self.check_all("truths", self.some([c for c in self.true if c["name"] not in BUFFERS]), "fail")

    def test_1_truths_with_buffers(self):
        self.check_all("buffers", self.some([c for c in self.true if c["name"] in BUFFERS]), "skip")

    def whole(self, case, but):
        """What an adapter brings whole (biases, heads, rows of embeddings): tensor -> elements that differ between the base and
        the merged truth, of the tensors that are not in `but`."""
        merged = next(c["truth"] for c in self.true if (c["name"], c.get("merge")) == (case["name"], case.get("merge")))
        old, new = lib.read_checkpoint(os.path.join(self.root, case["base"])), lib.read_safetensors(os.path.join(self.root, merged))
        counts = {name: int((lib.to_float("f32", lib.to_compare("f32", *old[name])) !=
                             lib.to_float("f32", lib.to_compare("f32", *bits))).sum())
                  for name, bits in new.items() if name in old and name not in but}
        return {name: n for name, n in counts.items() if n > 0}

    def check_exact(self, tables, i, case):
        """The update is the adapter's own: norms as in float64, and of no higher rank."""
        truth = lib.read_safetensors(os.path.join(self.root, case["delta"]))
        tensors = {row["tensor"]: row for row in self.rows(tables, "tensors", i, "folder")}
        ranks = {row["tensor"]: row for row in self.rows(tables, "rank", i, "folder")}
        for name, (dtype, bits) in truth.items():
            x = bits.view({"F64": np.float64, "F32": np.float32}[dtype]).astype(np.float64)
            row = tensors[name]
            for column, wanted in (("l2", np.sqrt((x * x).sum())), ("max_abs", np.abs(x).max()), ("mean_abs", np.abs(x).mean())):
                self.assertAlmostEqual(row[column], wanted, delta=1e-6 * wanted, msg="%s %s %s" % (title(case), name, column))
            if x.ndim == 2 and name in ranks:
                self.assertLessEqual(ranks[name]["matrix_rank"], np.linalg.matrix_rank(x.astype(np.float32)), name)
        beside = {name: row["nonzero"] for name, row in tensors.items() if name not in truth and row["nonzero"]}
        whole = self.whole(case, truth)  # there rounded to the weights' type, which may hide some
        self.assertEqual(sorted(beside), sorted(whole), title(case))
        self.assertTrue(all(beside[name] >= n for name, n in whole.items()), (title(case), beside, whole))

    def test_2_exact_updates(self):
        text = study(self.root, self.some(self.exact), delta("f32") + "  rank: {needs: [delta-f32]}\n")
        run, archive = self.run_study("exact", text)
        self.assertEqual(run.returncode, 0, run.text())
        tables = {name: lib.plain(rows) for name, rows in lib.tables(archive).items()}
        for i, case in enumerate(self.exact):
            with self.subTest(title(case)):
                self.check_exact(tables, i, case)
        run, other = self.run_study("exact", text, np_=2)
        self.assertEqual(run.returncode, 0, run.text())
        self.assertEqual(lib.compare_archives(archive, other), [])
        print("%d adapters are their own update" % len(self.exact))

    def test_3_refusals(self):
        run, _ = self.run_study("refused", study(self.root, self.some(self.refused), delta("bf16")), verb="check")
        self.assertEqual(run.returncode, 3, run.text())
        for case in self.refused:
            cause = next(text for name, text in CAUSES.items() if case["name"].startswith(name))
            with self.subTest(title(case)):
                said = [line for line in run.errors() if os.path.join(self.root, case["tuned"]) in line]
                self.assertTrue(any(re.search(cause, line, re.IGNORECASE) for line in said), (cause, said or run.text()))
        run, _ = self.run_study("refuse-1", study(self.root, self.refused[:1], delta("bf16")), np_=2)
        self.assertEqual((run.returncode, len(run.errors())), (3, 1), run.text())
        print("%d folders are refused by their cause" % len(self.refused))


class Packed(Folders, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(PACKED, "cases.json")) as f:
            cls.begin(None, json.load(f))
        for path in glob.glob(os.path.join(PACKED, "*.tar.xz")):
            with tarfile.open(path) as t:
                t.extractall(cls.dir)


class Genuine(Folders, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        path = os.path.join(GENUINE, "cases.json")
        if not os.path.isfile(path):
            raise unittest.SkipTest("%s is not there (set SINEW_TRAINERS to its folder)" % path)
        with open(path) as f:
            cls.begin(GENUINE, json.load(f))


if __name__ == "__main__":
    lib.main()
