#!/usr/bin/python3
"""Size and direction of an update (norms, relative norm, cosine) in tables cells, tensors, layers and modules against numpy in
float64: awkward types, cancellation, non-finite elements, and pairs whose cosine rounds to 1. The same on any number of processes."""
import math
import os
import unittest

import numpy as np

import sinewlib as lib

COLUMNS = ("norm_base", "norm_tuned", "norm_delta", "relative_norm", "cosine", "one_minus_cosine")


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


class Size(lib.Case):
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
        self.check([r for r in tables["cells"] if r["cell"] == cell][0], figures(list(pairs.values())), cell)
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
                for column in COLUMNS:
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


if __name__ == "__main__":
    lib.main()
