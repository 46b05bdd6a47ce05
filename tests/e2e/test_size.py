#!/usr/bin/python3
"""Size and direction of an update (norms, relative norm, cosine) in tables cells, tensors, layers and modules against numpy in
float64: awkward types, cancellation, non-finite elements, and pairs whose cosine rounds to 1. The same on any number of processes."""
import math
import os
import unittest

import numpy as np

import sinewlib as lib

COLUMNS = ("norm_base", "norm_tuned", "norm_delta", "relative_norm", "cosine", "one_minus_cosine")
TOP = {"top_0_1_percent_energy": 1000, "top_1_percent_energy": 100, "top_5_percent_energy": 20}


def wide(arithmetic, entry):
    dtype, bits = entry
    with np.errstate(all="ignore"):
        x = lib.to_float(arithmetic, lib.to_compare(arithmetic, dtype, bits)).astype(np.float64)
    return x.reshape(-1)


def figures(parts):
    """Of pairs of float64 vectors, as one vector: the six figures. Sums by math.fsum, which rounds once."""
    a = np.concatenate([x for x, _ in parts]) if parts else np.zeros(0)
    b = np.concatenate([y for _, y in parts]) if parts else np.zeros(0)
    with np.errstate(all="ignore"):
        keep = np.isfinite(a) & np.isfinite(b)
    a, b = a[keep], b[keep]
    d = b - a
    base, tuned, delta = (math.fsum(x * x) for x in (a, b, d))
    gain = math.fsum(b * b - a * a)
    out = {"norm_base": math.sqrt(base), "norm_tuned": math.sqrt(tuned), "norm_delta": math.sqrt(delta),
           "relative_norm": math.nan, "cosine": math.nan, "one_minus_cosine": math.nan}
    if base > 0:
        out["relative_norm"] = out["norm_delta"] / out["norm_base"]
    if base > 0 and tuned > 0:
        longer = gain / (math.sqrt(base) + math.sqrt(tuned))
        out["one_minus_cosine"] = max(0.0, (delta - longer * longer) / (2 * math.sqrt(base) * math.sqrt(tuned)))
        out["cosine"] = 1 - out["one_minus_cosine"]
    return out


def concentration(parts, n, arithmetic):
    """Of pairs of float64 vectors and n elements: energy of the ceil(n / 1000, 100, 20) largest differences in the compare type, by
    sorting."""
    with np.errstate(all="ignore"):
        d = np.concatenate([(b.astype(np.float32) - a.astype(np.float32)) for a, b in parts]) if parts else np.zeros(0, np.float32)
    if arithmetic == "bf16":
        d = lib.bf16_float(lib.bf16_round(d))
    d = np.sort(np.abs(d[np.isfinite(d)].astype(np.float64)))[::-1]
    total = math.fsum(d * d)
    return {c: math.fsum(d[:-(-n // k)] ** 2) / total if total > 0 else math.nan for c, k in TOP.items()}


class Size(lib.Case):
    def check_top(self, row, want, where):
        for column, expected in want.items():
            got = row[column]
            if math.isnan(expected):
                self.assertTrue(math.isnan(got), (where, column, got))
            else:
                self.assertTrue(abs(got - expected) <= 1e-12 * expected and 0 <= got <= 1, (where, column, got, expected))

    def check(self, row, want, where):
        for column in COLUMNS:
            got, expected = row[column], want[column]
            if math.isnan(expected):
                self.assertTrue(math.isnan(got), (where, column, got))
            else:
                self.assertLessEqual(abs(got - expected), 1e-12 * abs(expected) + (1e-13 if column == "cosine" else 0),
                                     (where, column, got, expected))

    def check_cell(self, tables, arithmetic, cell, base, tuned):
        pairs = {n: (wide(arithmetic, base[n]), wide(arithmetic, tuned[n])) for n in base if not base[n][0].startswith("I")}
        rows = {r["tensor"]: r for r in tables["tensors"] if r["cell"] == cell}
        for name, pair in pairs.items():
            self.check(rows[name], figures([pair]), (cell, name))
            self.check_top(rows[name], concentration([pair], len(pair[0]), arithmetic), (cell, name))
        whole = [r for r in tables["cells"] if r["cell"] == cell][0]
        self.check(whole, figures(list(pairs.values())), cell)
        self.check_top(whole, concentration(list(pairs.values()), whole["parameters"], arithmetic), cell)
        for table, key, of in (("layers", "layer", lib.layer_of), ("modules", "module", lib.module_of)):
            found = [r for r in tables[table] if r["cell"] == cell and r["node"] == "delta"]
            self.assertTrue(found)
            for r in found:
                self.check(r, figures([p for n, p in pairs.items() if of(n) == r[key]]), (cell, table, r[key]))
        return rows

    def study(self, config, output, processes=(1, 2, 3, 4)):
        archives = []
        for np_ in processes:
            path = self.path("study-%d.yaml" % np_)
            with open(path, "w") as f:
                f.write(config(os.path.join(output, str(np_))))
            done = lib.run_sinew(np_, ["run", path], cwd=self.dir)
            self.assertEqual(done.returncode, 0, done.stderr)
            archives.append(lib.tables([e.path for e in os.scandir(os.path.join(output, str(np_))) if e.name.endswith(".h5")][0]))
        for other in archives[1:]:
            for name in ("cells", "tensors", "layers", "modules"):
                for column in COLUMNS + (tuple(TOP) if name in ("cells", "tensors") else ()):
                    a, b = archives[0][name][column], other[name][column]
                    self.assertTrue(np.array_equal(a.view(np.int64), b.view(np.int64)), (name, column))
        return {name: lib.plain(rows) for name, rows in archives[0].items()}

    def test_awkward_pairs(self):
        models = self.path("models")
        made = lib.make_awkward(models)
        for arithmetic in ("bf16", "f32"):
            tables = self.study(lambda out, a=arithmetic: lib.awkward_config(models, out, a), self.path("out-" + arithmetic), (1, 3))
            for (algorithm, seed) in [k for k in made if k]:
                self.check_cell(tables, arithmetic, "tiny-a/%s/%d" % (algorithm, seed), made[None], made[algorithm, seed])

    def test_directions_that_a_cosine_hides(self):
        rng = np.random.default_rng(5)
        w = rng.standard_normal((300, 700)).astype(np.float32) * np.float32(0.02)
        one = w.copy()
        one[17, 5] = np.nextafter(one[17, 5], np.float32(9))
        small = w.copy()
        small[::3] += np.float32(1e-6) * rng.standard_normal(small[::3].shape).astype(np.float32)
        zero = np.zeros((4, 5), np.float32)
        base = {"model.layers.0.self_attn.q_proj.weight": w, "model.layers.0.self_attn.k_proj.weight": w,
                "model.layers.1.self_attn.q_proj.weight": w, "model.layers.1.self_attn.k_proj.weight": zero,
                "model.layers.1.mlp.up_proj.weight": w, "model.layers.2.mlp.up_proj.weight": np.float32([[1e-30, 3e30]]),
                "lm_head.weight": np.float32([[3.0]])}
        tuned = {"model.layers.0.self_attn.q_proj.weight": one, "model.layers.0.self_attn.k_proj.weight": small,
                 "model.layers.1.self_attn.q_proj.weight": w, "model.layers.1.self_attn.k_proj.weight": zero + np.float32(1e-3),
                 "model.layers.1.mlp.up_proj.weight": -w, "model.layers.2.mlp.up_proj.weight": np.float32([[2e-30, 3e30]]),
                 "lm_head.weight": np.float32([[3.5]])}
        base, tuned = ({n: ("F32", lib.float_bits(x)) for n, x in side.items()} for side in (base, tuned))
        lib.write_checkpoint(self.path("base"), base)
        lib.write_checkpoint(self.path("tuned"), tuned)
        tables = self.study(lambda out: """study: s
output: %s
cells:
  - {family: f, algorithm: a, base: "%s", tuned: "%s"}
stages:
  load: {}
  delta: {needs: [load], arithmetic: f32, store: none}
""" % (out, self.path("base"), self.path("tuned")), self.path("out"))
        rows = self.check_cell(tables, "f32", "f/a/0", base, tuned)
        hidden = rows["model.layers.0.self_attn.q_proj.weight"]
        self.assertTrue(hidden["cosine"] == 1 and 0 < hidden["one_minus_cosine"] < 1e-15)
        self.assertEqual(rows["model.layers.1.mlp.up_proj.weight"]["cosine"], -1)
        self.assertTrue(math.isnan(rows["model.layers.1.self_attn.k_proj.weight"]["relative_norm"]))
        self.assertEqual(rows["model.layers.1.self_attn.q_proj.weight"]["one_minus_cosine"], 0)

    def test_concentration(self):
        """Where the largest end: among equal ones, within a bin of float32, at one huge element, below one element of a small tensor;
        nothing changed; what is not finite."""
        rng = np.random.default_rng(11)
        w = (rng.standard_normal(400000) * 0.02).astype(np.float32)
        sides = {}

        def add(name, before, after):
            sides["model.layers.%d.mlp.%s.weight" % (len(sides), name)] = (np.float32(before), np.float32(after))
        add("equal", np.zeros(30000), np.full(30000, 1e-3))
        add("signs", np.zeros(2000), np.where(np.arange(2000) % 2, 2.0 ** -9, -2.0 ** -9))
        add("huge", w[:5000], np.concatenate([w[:4999] + np.float32(1e-7), [3e38]]))
        add("far", np.zeros(3000), np.concatenate([np.full(1500, -3e38), np.full(1500, 1e-44)]))
        add("small", w[:7], w[:7] + np.float32(1e-3) * np.arange(7, dtype=np.float32))
        add("one", [1.0], [1.5])
        add("same", w[:1001], w[:1001])
        add("zeros", np.zeros(50), -np.zeros(50))
        add("gauss", w, w + (rng.standard_normal(w.size) * 1e-4).astype(np.float32))
        add("sparse", w, np.where(rng.random(w.size) < 0.03, w * np.float32(1.01), w))
        add("narrow", np.zeros(60000), 1 + rng.integers(0, 30000, 60000) * 2.0 ** -23)  # one bin of float32
        odd = w[:4000] + (rng.standard_normal(4000) * 1e-3).astype(np.float32)
        odd[::7], odd[1::7] = np.nan, np.inf
        add("odd", w[:4000], odd)
        base, tuned = ({n: ("F32", lib.float_bits(x[i].reshape(1, -1))) for n, x in sides.items()} for i in (0, 1))
        lib.write_checkpoint(self.path("base"), base)
        lib.write_checkpoint(self.path("tuned"), tuned)
        for arithmetic, store in (("bf16", "update"), ("f32", "update"), ("f32", "none")):
            tables = self.study(lambda out: """study: s
output: %s
cells:
  - {family: f, algorithm: a, base: "%s", tuned: "%s"}
stages:
  load: {}
  delta: {needs: [load], arithmetic: %s, store: %s}
""" % (out, self.path("base"), self.path("tuned"), arithmetic, store), self.path("top-%s-%s" % (arithmetic, store)), (1, 3))
            pairs = {n: (wide(arithmetic, base[n]), wide(arithmetic, tuned[n])) for n in base}
            by_kind = {}
            for r in tables["tensors"]:
                pair = pairs[r["tensor"]]
                self.check_top(r, concentration([pair], len(pair[0]), arithmetic), (arithmetic, r["tensor"]))
                by_kind[r["tensor"].split(".")[-2]] = r
            whole = tables["cells"][0]
            self.check_top(whole, concentration(list(pairs.values()), whole["parameters"], arithmetic), arithmetic)
            for column, share in TOP.items():
                self.assertAlmostEqual(by_kind["equal"][column], 1 / share, delta=1e-13)
            self.assertEqual([by_kind["one"][c] for c in TOP], [1, 1, 1])
            self.assertEqual(by_kind["sparse"]["top_5_percent_energy"], 1)

    def test_published_counterparts(self):
        """What a study names as published stands beside what it measured, by the definitions of those who published it."""
        rng = np.random.default_rng(3)
        base, tuned = {}, {}
        for i, shape in enumerate([(40, 60), (64, 30), (30, 40), (20, 20), (1200,)]):
            w = (rng.standard_normal(shape) * 0.02).astype(np.float32)
            d = (rng.standard_normal(shape) * 1e-4 * (rng.random(shape) < 0.4)).astype(np.float32)
            name = "model.layers.%d.mlp.up_proj.weight" % i
            base[name], tuned[name] = ("F32", lib.float_bits(w)), ("F32", lib.float_bits(w + d * (i != 2)))
        lib.write_checkpoint(self.path("base"), base)
        lib.write_checkpoint(self.path("tuned"), tuned)
        config = self.write("study.yaml", """study: s
output: %s
cells:
  - {family: f, algorithm: a, base: "%s", tuned: "%s",
     published: {source: p, relative_norm: 0.000712, effective_rank: 2727.1, top20_energy: 0.216, sparsity_relative_1e-3: 81.4}}
stages:
  load: {}
  delta: {needs: [load], arithmetic: f32}
  relative: {kind: mask, needs: [delta], criterion: relative, tolerance: 1e-3}
  absolute: {kind: mask, needs: [delta], tolerance: 1e-3}
  rank: {needs: [delta]}
  report: {needs: [relative, absolute, rank], figures: false}
""" % (self.path("out"), self.path("base"), self.path("tuned")))
        done = lib.run_sinew(0, ["run", config], cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("out", "report", "report.md")) as f:
            page = f.read()
        pairs = {n: tuple(x[n][1].view(np.float32).astype(np.float64) for x in (base, tuned)) for n in base}
        large = [(a, b - a) for a, b in pairs.values() if a.size >= 1000]
        moved = [np.linalg.svd(d, compute_uv=False) for a, d in large if a.ndim == 2 and d.any()]
        whole = np.concatenate([np.abs(b - a).ravel() > 1e-3 * np.maximum(np.abs(a), np.abs(b)).ravel() for a, b in pairs.values()])
        ranks = [np.exp(-sum(p * np.log(p) for p in s / s.sum())) for s in moved]
        want = {"relative_norm": ("0.000712", np.mean([np.linalg.norm(d) / np.linalg.norm(a) for a, d in large]), "1"),
                "effective_rank": ("2727.1", np.mean(ranks), "1"),
                "top20_energy": ("21.60", 100 * np.mean([(s[:20] ** 2).sum() / (s ** 2).sum() for s in moved]), "%"),
                "sparsity_relative_1e-3": ("81.40", 100 * (1 - whole.mean()), "%")}
        for quantity, (published, measured, unit) in want.items():
            row = [[x.strip() for x in line.split("|")[1:-1]] for line in page.splitlines() if "| %s " % quantity in line]
            self.assertEqual(len(row), 1, quantity)
            self.assertEqual((row[0][2], row[0][4], row[0][5]), (published, unit, "p"), row)
            self.assertAlmostEqual(float(row[0][3]), measured, delta=1e-3 * measured, msg=quantity)
        size = page[page.index("## Size and direction"):page.index("## Which weights move")]
        self.assertIn("The update's norm is", size)
        self.assertIn("that moved furthest hold", size)
        self.assertRegex(size, r"\| f/a/0 +\|")
        self.assertRegex(size, r"\| up_proj +\|")


if __name__ == "__main__":
    lib.main()
