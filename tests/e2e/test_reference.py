#!/usr/bin/python3
"""A small study with everything that is awkward (odd shapes, F16 and F32 against BF16, NaN, Inf, subnormals, -0, empty and
never changed tensors) against a recomputation by numpy and torch, in both arithmetics: counts, norms, histograms, masks bit by
bit, the rebuilt models, ranks and spectra, overlaps with both null models, consensus, entropies."""
import os
import shutil
import tempfile
import unittest

import h5py
import numpy as np
import torch

import sinewlib as lib

CELLS = {"tiny-a/%s/%d" % (a, s): (a, s) for a in ("ppo", "dpo") for s in (0, 1)}
TOLERANCES = [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]
MASKS = {"mask": ("absolute", 1e-5), "mask-bits": ("bits", 0), "mask-relative": ("relative", 1e-2)}


def ratio(a, b):
    return a / b if b else float("nan")


class Reference:
    """The checks, in one arithmetic; see the two classes below."""
    arithmetic = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="sinew-test-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.output = os.path.join(cls.dir, "out")
        made = lib.make_awkward(os.path.join(cls.dir, "models"))
        config = os.path.join(cls.dir, "awkward.yaml")
        with open(config, "w") as f:
            f.write(lib.awkward_config(os.path.join(cls.dir, "models"), cls.output, cls.arithmetic))
        run = lib.run_sinew(2, ["run", config], cwd=cls.dir)
        if run.returncode != 0:
            raise AssertionError("the study did not run: " + run.text())
        cls.archive = os.path.join(cls.output, "awkward.h5")
        cls.tables = {name: lib.plain(rows) for name, rows in lib.tables(cls.archive).items()}
        cls.names = sorted(name for name, (dtype, _) in made[None].items() if dtype != "I64")
        # cell -> tensor -> (old bits, new bits) in the compare type, flat
        cls.pairs, cls.shapes = {}, {}
        for cell, key in CELLS.items():
            cls.pairs[cell] = {}
            for name in cls.names:
                old = lib.to_compare(cls.arithmetic, *made[None][name])
                new = lib.to_compare(cls.arithmetic, *made[key][name])
                cls.shapes[name] = made[None][name][1].shape
                cls.pairs[cell][name] = old.ravel(), new.ravel()

    def artifact(self, cell, node):
        return os.path.join(self.output, "cells", cell, node + ".h5")

    def close(self, got, want, relative, message=None):
        if np.isnan(want):
            self.assertTrue(np.isnan(got), (message, got, want))
        else:
            self.assertLessEqual(abs(got - want), relative * abs(want) + 1e-300, (message, got, want))

    def updated(self, cell, name, criterion, tolerance):
        return lib.updated(self.arithmetic, *self.pairs[cell][name], criterion, tolerance)

    # ---- delta ----

    def test_torch_agrees_with_the_reference(self):
        """The rules above are the published scripts' rules: torch.isclose of the difference with atol."""
        def tensor(bits):
            if self.arithmetic == "f32":
                return torch.from_numpy(bits.view(np.float32).copy())
            return torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16)
        for cell in CELLS:
            for name in self.names:
                old, new = self.pairs[cell][name]
                if old.size == 0:
                    continue
                delta = tensor(new) - tensor(old)
                for tolerance in TOLERANCES:
                    close = torch.isclose(delta, torch.zeros_like(delta), atol=tolerance).numpy()
                    want = self.updated(cell, name, "absolute", tolerance)
                    self.assertTrue((want == ~close).all(), (cell, name, tolerance))

    def test_tensors(self):
        rows = {(r["cell"], r["tensor"]): r for r in self.tables["tensors"]}
        for cell in CELLS:                                                 # an integer tensor is reported, and in no total
            row = rows.pop((cell, "model.rotary.position_ids"))
            self.assertEqual((row["dtype_base"], row["parameters"], row["bit_changed"], row["nonzero"]), ("I64", 5, 0, 0))
            self.assertTrue(np.isnan([row["max_abs"], row["mean_abs"], row["l2"]]).all())
        self.assertEqual(len(rows), len(CELLS) * len(self.names))
        for cell in CELLS:
            for name in self.names:
                row, (old, new) = rows[cell, name], self.pairs[cell][name]
                d = lib.difference(self.arithmetic, old, new).astype(np.float64)
                finite = np.where(np.isfinite(d), np.abs(d), 0)
                w0, w1 = lib.to_float(self.arithmetic, old), lib.to_float(self.arithmetic, new)
                message = "%s %s" % (cell, name)
                self.assertEqual(row["parameters"], old.size, message)
                self.assertEqual(row["shape"], "x".join(map(str, self.shapes[name])) or "scalar", message)
                self.assertEqual(row["bit_changed"], int((old != new).sum()), message)
                self.assertEqual(row["nonzero"], int((d != 0).sum()), message)
                self.assertEqual(row["nan_count"], int((np.isnan(w0) | np.isnan(w1)).sum()), message)
                self.assertEqual(row["max_abs"], finite.max(initial=0), message)
                self.assertEqual((row["layer"], row["module"]), (lib.layer_of(name), lib.module_of(name)), message)
                self.close(row["l2"], np.sqrt((finite ** 2).sum()), 1e-12, message)
                if old.size:
                    self.close(row["mean_abs"], finite.sum() / old.size, 1e-12, message)
                dtypes = {"k_proj.weight": ("BF16", "F32"), ".0.mlp.up_proj": ("F16", "F16"), ".10.mlp.up_proj": ("F32", "F32")}
                want = next((v for k, v in dtypes.items() if k in name), ("BF16", "BF16"))
                self.assertEqual((row["dtype_base"], row["dtype_tuned"]), want, message)

    def test_counts(self):
        rows = {(r["cell"], r["node"], r["tensor"], r["criterion"], "%g" % r["tolerance"]): r["updated"]
                for r in self.tables["tensor_sparsity"]}
        totals = {(r["cell"], r["node"], r["criterion"], "%g" % r["tolerance"]): r for r in self.tables["sparsity"]}
        wanted = [("delta", "absolute", t) for t in TOLERANCES]
        wanted += [("mask", "absolute", 1e-5), ("mask-relative", "relative", 1e-2), ("delta", "relative", 1e-2), ("delta", "relative", 1e-3)]
        for cell in CELLS:
            for node, criterion, tolerance in wanted:
                total = 0
                for name in self.names:
                    want = int(self.updated(cell, name, criterion, tolerance).sum())
                    key = cell, node, name, criterion, "%g" % tolerance
                    self.assertEqual(rows[key], want, key)
                    total += want
                row = totals[cell, node, criterion, "%g" % tolerance]
                self.assertEqual(row["updated"], total)
                self.assertAlmostEqual(row["sparsity"], 1 - total / row["parameters"], delta=1e-15)

    def test_layers_and_modules(self):
        for table, column, of in (("layers", "layer", lib.layer_of), ("modules", "module", lib.module_of)):
            rows = {(r["cell"], r["node"], r[column]): r for r in self.tables[table]}
            for cell in CELLS:
                for node, (criterion, tolerance) in MASKS.items():
                    for key in {of(name) for name in self.names} - {-1}:
                        names = [name for name in self.names if of(name) == key]
                        updates = [self.updated(cell, name, criterion, tolerance) for name in names]
                        row, n = rows[cell, node, key], sum(u.size for u in updates)
                        self.assertEqual(row["parameters"], n)
                        self.assertEqual(row["updated"], sum(int(u.sum()) for u in updates), (cell, node, key))
                        if n:
                            self.assertAlmostEqual(row["sparsity"], 1 - row["updated"] / n, delta=1e-15)
                        if table == "layers":
                            density = np.mean([u.mean() for u in updates if u.size])
                            self.assertAlmostEqual(row["mean_tensor_density"], density, delta=1e-15)

    def test_histograms(self):
        rows = {(r["cell"], r["quantity"], r["bin"]): r for r in self.tables["histograms"] if r["node"] == "delta"}
        for cell in CELLS:
            pairs = [self.pairs[cell][name] for name in self.names]
            old, new = (np.concatenate([p[i] for p in pairs]) for i in (0, 1))
            bins = lib.magnitude_bin(self.arithmetic, old)
            elements, updates = np.bincount(bins, minlength=1024), np.bincount(bins[old != new], minlength=1024)
            for i in range(1024):
                row = rows.get((cell, "magnitude", i), {"elements": 0, "updated": 0})
                self.assertEqual((row["elements"], row["updated"]), (elements[i], updates[i]), (cell, i))
            d = np.abs(lib.difference(self.arithmetic, old, new).astype(np.float64))
            d = d[(old != new) & np.isfinite(d) & (d > 0)]
            exponents, counts = np.unique(np.floor(np.log2(d)).astype(int), return_counts=True)
            for exponent, count in zip(exponents, counts):
                self.assertEqual(rows[cell, "abs_delta", int(exponent)]["updated"], count, (cell, exponent))

    def test_skipped_tensors_stand_in_the_table(self):
        reasons = {(r["cell"], r["node"], r["tensor"]): r["reason"] for r in self.tables["skipped"]}
        cells = {r["cell"]: r for r in self.tables["cells"]}
        for cell in CELLS:
            self.assertIn((cell, "delta", "model.rotary.position_ids"), reasons)
            self.assertEqual((cells[cell]["skipped"], cells[cell]["tensors"]), (1, len(self.names)))
            ranked = {r["tensor"] for r in self.tables["rank"] if r["cell"] == cell}
            for name in self.names:
                self.assertTrue(name in ranked or (cell, "rank", name) in reasons, "%s %s is nowhere" % (cell, name))

    # ---- artifacts: masks and updates ----

    def test_masks_bit_by_bit(self):
        for cell in CELLS:
            for node, (criterion, tolerance) in MASKS.items():
                path = self.artifact(cell, node)
                order = lib.table(path, "compared")
                self.assertEqual([r["tensor"] for r in order], self.names)
                with h5py.File(path, "r") as f:
                    self.assertEqual(f["mask"].dtype, np.uint64)
                    words = f["mask"][()]
                for row, got in zip(order, lib.bitmap(words, [r["parameters"] for r in order])):
                    want = self.updated(cell, row["tensor"], criterion, tolerance)
                    wrong = np.flatnonzero(got != want)
                    self.assertEqual(wrong.size, 0, (cell, node, row["tensor"], wrong[:5]))

    def test_update_rebuilds_both_models(self):
        for cell in CELLS:
            path = self.artifact(cell, "delta")
            order = lib.table(path, "compared")
            with h5py.File(path, "r") as f:
                words, old, new = (f["update/" + x][()] for x in ("bitmap", "old", "new"))
            at = 0
            for row, changed in zip(order, lib.bitmap(words, [r["parameters"] for r in order])):
                w0, w1 = self.pairs[cell][row["tensor"]]
                n = int(changed.sum())
                forward, back = w0.copy(), w1.copy()
                forward[changed], back[changed] = new[at:at + n], old[at:at + n]
                self.assertTrue((forward == w1).all(), (cell, row["tensor"]))
                self.assertTrue((back == w0).all(), (cell, row["tensor"]))
                self.assertTrue((changed == (w0 != w1)).all(), (cell, row["tensor"]))
                at += n
            self.assertEqual((len(old), len(new)), (at, at))

    # ---- rank ----

    def test_ranks_and_spectra(self):
        with h5py.File(self.archive, "r") as f:
            spectra = f["spectra/rank"][()]
        rows = {(r["cell"], r["tensor"]): r for r in self.tables["rank"]}
        exact = 0
        for cell in CELLS:
            for name in self.names:
                shape = self.shapes[name]
                if len(shape) != 2 or 0 in shape:
                    self.assertNotIn((cell, name), rows)
                    continue
                d = lib.difference(self.arithmetic, *self.pairs[cell][name]).astype(np.float64).reshape(shape)
                if not np.isfinite(d).all():
                    self.assertNotIn((cell, name), rows, "an update with NaN or Inf has no rank")
                    continue
                row, s = rows[cell, name], np.linalg.svd(d, compute_uv=False)
                tolerance = max(shape) * 2.0 ** -23 * s[0]
                message = "%s %s %s" % (cell, name, row)
                self.assertEqual((row["rows"], row["cols"], row["max_rank"]), (shape[0], shape[1], min(shape)))
                self.close(row["sigma_max"], s[0], 1e-6, message)
                self.assertLessEqual(abs(row["sigma_min"] - s[-1]), 1e-5 * s[0], message)
                self.close(row["tolerance"], tolerance, 1e-6, message)
                want = int((s > tolerance).sum())
                exact += row["matrix_rank"] == want
                self.assertTrue(row["matrix_rank"] == want or (row["ambiguous"] and abs(row["matrix_rank"] - want) <= 1), message)
                if "gate_proj" in name:
                    self.assertLessEqual(row["matrix_rank"], 7)
                if s[0] == 0:
                    self.assertEqual((row["matrix_rank"], row["stable_rank"], row["effective_rank"]), (0, 0, 0))
                    self.assertTrue(np.isnan(row["top20_energy"]))
                else:
                    self.close(row["stable_rank"], (s ** 2).sum() / s[0] ** 2, 1e-6, message)
                    p = s[s > 0] / s.sum()
                    self.close(row["effective_rank"], np.exp(-(p * np.log(p)).sum()), 1e-3, message)
                    self.close(row["top20_energy"], (s[:20] ** 2).sum() / (s ** 2).sum(), 1e-6, message)
                got = spectra[row["spectrum_offset"]:row["spectrum_offset"] + row["spectrum_length"]]
                self.assertEqual(got.shape, s.shape)
                self.assertLessEqual(np.abs(got - s).max(), 1e-5 * s[0], message)
        self.assertGreaterEqual(exact, len(rows) - 2)

    # ---- overlap ----

    def scopes(self):
        scopes = {"model": self.names}
        for name in self.names:
            if lib.layer_of(name) >= 0:
                scopes.setdefault("layer:%d" % lib.layer_of(name), []).append(name)
            scopes.setdefault("module:" + lib.module_of(name), []).append(name)
        return {scope: names for scope, names in scopes.items() if sum(self.pairs["tiny-a/ppo/0"][n][0].size for n in names)}

    def test_overlaps(self):
        varies = {("tiny-a/ppo/0", "tiny-a/ppo/1"): "seed", ("tiny-a/ppo/0", "tiny-a/dpo/0"): "algorithm",
                  ("tiny-a/ppo/0", "tiny-a/dpo/1"): "algorithm+seed"}
        for node, mask in (("overlap", "mask"), ("overlap-bits", "mask-bits")):
            criterion, tolerance = MASKS[mask]
            rows = {(r["cell_1"], r["cell_2"], r["scope"]): r for r in self.tables["overlap"] if r["node"] == node}
            cells = list(CELLS)
            for i, a in enumerate(cells):
                for b in cells[i + 1:]:
                    for scope, names in self.scopes().items():
                        row = rows[a, b, scope]
                        self.check_overlap(row, a, b, names, criterion, tolerance)
                        if (a, b) in varies:
                            self.assertEqual(row["varies"], varies[a, b])

    def check_overlap(self, row, a, b, names, criterion, tolerance):
        n = u1 = u2 = both = 0
        matched = variance = 0.0
        for name in names:
            m1, m2 = (self.updated(c, name, criterion, tolerance) for c in (a, b))
            n, u1, u2, both = n + m1.size, u1 + int(m1.sum()), u2 + int(m2.sum()), both + int((m1 & m2).sum())
            bins = lib.magnitude_bin(self.arithmetic, self.pairs[a][name][0])
            nb, b1, b2 = (np.bincount(x, minlength=1024).astype(float) for x in (bins, bins[m1], bins[m2]))
            matched += (b1 * b2 / np.maximum(nb, 1)).sum()
            variance += (b1 * b2 * (nb - b1) * (nb - b2) / (np.maximum(nb, 1) ** 2 * np.maximum(nb - 1, 1))).sum()
        message = str(row)
        self.assertEqual((row["parameters"], row["updated_1"], row["updated_2"], row["intersection"]), (n, u1, u2, both))
        self.close(row["o1"], ratio(both, u1), 1e-15, message)
        self.close(row["o2"], ratio(both, u2), 1e-15, message)
        self.close(row["jaccard"], ratio(both, u1 + u2 - both), 1e-15, message)
        chance = u1 * u2 / n
        for kind, expected in (("random", chance), ("matched", matched)):
            self.close(row[kind + "_intersection"], expected, 1e-9, message)
            self.close(row[kind + "_o1"], ratio(expected, u1), 1e-9, message)
            self.close(row[kind + "_o2"], ratio(expected, u2), 1e-9, message)
            self.close(row[kind + "_jaccard"], ratio(expected, u1 + u2 - expected), 1e-9, message)
        if n > 1:
            uniform = u1 * u2 * (n - u1) * (n - u2) / (n * n * (n - 1))
            if uniform > 0:
                self.assertAlmostEqual(row["random_z"], (both - chance) / uniform ** 0.5, delta=1e-7 * (1 + abs(row["random_z"])))
        if variance > 0:
            self.assertAlmostEqual(row["matched_z"], (both - matched) / variance ** 0.5, delta=1e-7 * (1 + abs(row["matched_z"])))

    def test_consensus(self):
        rows = {(r["scope"], r["k"]): r for r in self.tables["consensus"] if r["node"] == "overlap"}
        for scope, names in self.scopes().items():
            votes = sum(np.concatenate([self.updated(cell, name, "absolute", 1e-5) for name in names]).astype(int)
                        for cell in CELLS)
            for k in range(1, len(CELLS) + 1):
                self.assertEqual(rows[scope, k]["updated_in_at_least_k"], int((votes >= k).sum()), (scope, k))
                self.assertEqual(rows[scope, k]["cells"], len(CELLS))

    # ---- token-entropy ----

    def test_entropies(self):
        rows = {(r["cell"], r["policy"]): r for r in self.tables["entropy"]}
        ids_rows = {(r["cell"], r["policy"], r["token_id"]): r for r in self.tables["token_ids"]}
        for cell, (algorithm, seed) in CELLS.items():
            for policy, folder in (("base", "base"), ("tuned", "%s/seed-%d" % (algorithm, seed))):
                got = lib.read_safetensors(os.path.join(self.dir, "models", "tiny-a", folder, "logits.safetensors"))
                x = got["logits"][1].view(np.float32).astype(np.float64)
                z = x - x.max(1, keepdims=True)
                log_sum = np.log(np.exp(z).sum(1, keepdims=True))
                h = -(np.exp(z - log_sum) * (z - log_sum)).sum(1)
                row = rows[cell, policy]
                self.assertEqual((row["tokens"], row["vocabulary"], row["temperature"]), (x.shape[0], x.shape[1], 1))
                for column, want in (("mean", h.mean()), ("median", np.median(h)), ("p80", np.percentile(h, 80))):
                    self.assertAlmostEqual(row[column], want, delta=1e-12)
                self.assertAlmostEqual(row["share_below_001"], (h < 0.01).mean(), delta=1e-15)
                self.assertEqual(row["forking_tokens"], int((h >= row["threshold"]).sum()))
                self.assertAlmostEqual(row["threshold"], np.percentile(h, 80), delta=1e-12)
                ids = got["token_ids"][1]
                for token_id in np.unique(ids):
                    if (cell, policy, token_id) in ids_rows:
                        one = ids_rows[cell, policy, token_id]
                        self.assertEqual(one["count"], int((ids == token_id).sum()))
                        self.assertAlmostEqual(one["mean"], h[ids == token_id].mean(), delta=1e-12)


class Bf16(Reference, unittest.TestCase):
    arithmetic = "bf16"


class F32(Reference, unittest.TestCase):
    arithmetic = "f32"


if __name__ == "__main__":
    lib.main()
