#!/usr/bin/python3
"""Pairs that do not match one to one, and every element type: F32 and F64 against BF16 as torch has them, FP8 with block scales
against a float32 reference, integers by their bits, embeddings of different height, tied heads, tensors on one side only, other
names, layers of multi-token prediction. Each figure against numpy or torch."""
import json
import os
import unittest

import numpy as np
import torch

import sinewlib as lib

CELL = "m/ppo/0"
TOLERANCES = [0, 1e-8, 1e-5, 1e-3]


def bf16(rng, *shape):
    return "BF16", lib.bf16_round((rng.standard_normal(shape) * 0.02).astype(np.float32)).reshape(shape)


def moved(rng, tensor, dtype="BF16", share=0.3):
    """The tensor after a step: some elements moved, most of them by too little for bf16 to show."""
    wide = lib.bf16_float(tensor[1]).astype(np.float64)
    step = (rng.random(wide.shape) < share) * rng.standard_normal(wide.shape) * 10.0 ** rng.uniform(-9, -2, wide.shape)
    new = (wide + step).reshape(tensor[1].shape)
    if dtype == "F64":
        return "F64", new.view(np.uint64)
    new = new.astype(np.float32)
    return ("F32", new.view(np.uint32)) if dtype == "F32" else ("BF16", lib.bf16_round(new).reshape(new.shape))


def config_json(folder, **entries):
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(entries, f)


# ---- FP8, by its definition ----

def fp8_values():
    values = np.empty(256, np.float32)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        size = mantissa * 2.0 ** -9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
        values[code] = np.nan if code & 127 == 127 else -size if code & 128 else size
    return values


def dequantised(codes, scale):
    """bf16 bits: float32(code) * scale of its 128x128 block, to nearest even."""
    rows, cols = codes.shape
    wide = np.repeat(np.repeat(scale, 128, 0), 128, 1)[:rows, :cols]
    with np.errstate(all="ignore"):
        return lib.bf16_round((fp8_values()[codes] * wide).astype(np.float32)).reshape(codes.shape)


def quantised(rng, rows, cols):
    codes = rng.integers(0, 256, (rows, cols)).astype(np.uint8)
    codes.reshape(-1)[:256] = np.arange(256)
    scale = (2.0 ** rng.uniform(-14, -6, (-(-rows // 128), -(-cols // 128)))).astype(np.float32)
    return codes, scale


class Pairs(lib.Case):
    def make(self, base, tuned, base_shards=1, tuned_shards=1):
        lib.write_checkpoint(self.path("base"), base, base_shards)
        lib.write_checkpoint(self.path("tuned"), tuned, tuned_shards)

    def config(self, delta="", stages="", name="x"):
        return self.write(name + ".yaml", """study: %s
output: out-%s
cells:
  - {family: m, algorithm: ppo, seed: 0, base: base, tuned: tuned}
stages:
  load: {}
  delta: {needs: [load], tolerances: %s%s}
%s""" % (name, name, TOLERANCES, ", " + delta if delta else "", stages))

    def run_study(self, delta="", stages="", name="x", np=0):
        """Tables of the archive."""
        self.sinew(["run", self.config(delta, stages, name)], np=np)
        self.archive = self.path("out-" + name, name + ".h5")
        return {k: lib.plain(v) for k, v in lib.tables(self.archive).items()}

    def refused(self, delta, *texts, status=3):
        """Both check and run under this delta refuse with one message that holds the texts."""
        config = self.config(delta, name="bad")
        for verb, processes in (("check", 0), ("run", 2)):
            run = self.sinew([verb, config], np=processes, status=status)
            self.assertEqual(len(run.errors()), 1, run.text())
            for text in texts:
                self.assertIn(text, run.errors()[0])
        self.assertFalse(os.path.exists(self.path("out-bad", "bad.h5")))

    def check_counts(self, tables, pairs, arithmetic="bf16", node="delta"):
        """pairs: name -> (old, new) bits in the compare type: what the headline must add up to."""
        total = {"bits": 0, **{t: 0 for t in TOLERANCES}}
        for name, (old, new) in pairs.items():
            rows = [r for r in tables["tensor_sparsity"] if r["tensor"] == name and r["node"] == node]
            self.assertEqual(len(rows), 1 + len(TOLERANCES), name)
            for row in rows:
                key = "bits" if row["criterion"] == "bits" else row["tolerance"]
                want = lib.updated(arithmetic, old, new, row["criterion"], row["tolerance"]).sum()
                self.assertEqual(row["updated"], want, (name, key))
                total[key] += want
        parameters = sum(old.size for old, _ in pairs.values())
        for row in tables["sparsity"]:
            if row["node"] == node:
                self.assertEqual((row["updated"], row["parameters"]),
                                 (total["bits" if row["criterion"] == "bits" else row["tolerance"]], parameters))
        return total

    def skipped(self, tables, node="delta"):
        return {r["tensor"]: (r["parameters"], r["reason"]) for r in tables["skipped"] if r["node"] == node}

    def cell(self, tables):
        row, = tables["cells"]
        return row


class Types(Pairs):
    def test_f32_and_f64_as_torch_has_them(self):
        """F32 and F64 against BF16: what torch counts after .to(torch.bfloat16), halfway cases of both roundings included."""
        rng = np.random.default_rng(1)
        base = {"model.layers.%d.q_proj.weight" % i: bf16(rng, 200, 300) for i in range(3)}
        names = sorted(base)
        tuned = {name: moved(rng, base[name], dtype) for name, dtype in zip(names, ("F32", "F64", "BF16"))}
        f32, f64 = (tuned[n][1].reshape(-1) for n in names[:2])
        f32[:4] = [0x3f808000, 0x3f818000, 0x00008000, 0x7f7fffff]
        near = np.array([1 + 2.0 ** -8, 1 + 2.0 ** -8 + 2.0 ** -40, 1 + 3 * 2.0 ** -8 - 2.0 ** -40, 1e-45, 1e300, -1e-50])
        f64[:6] = near.view(np.uint64)                                 # the second is halfway only after its first rounding
        self.make(base, tuned, 1, 2)

        def loaded(dtype, bits):
            if dtype == "BF16":
                return torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16)
            return torch.from_numpy(bits.view(np.float32 if dtype == "F32" else np.float64).copy()).to(torch.bfloat16)
        as_bits = lambda t: t.view(torch.int16).numpy().view(np.uint16)
        pairs = {n: (as_bits(loaded(*base[n])), as_bits(loaded(*tuned[n]))) for n in names}
        tables = self.run_study(np=2)
        self.check_counts(tables, pairs)
        for name in names:
            delta = loaded(*tuned[name]) - loaded(*base[name])
            for tolerance in TOLERANCES:
                close = torch.isclose(delta, torch.zeros_like(delta), atol=tolerance)
                row, = [r for r in tables["tensor_sparsity"]
                        if (r["tensor"], r["criterion"], r["tolerance"]) == (name, "absolute", tolerance)]
                self.assertEqual(row["updated"], int((~close).sum()), (name, tolerance))
        dtypes = {r["tensor"]: (r["dtype_base"], r["dtype_tuned"]) for r in tables["tensors"]}
        self.assertEqual([dtypes[n] for n in names], [("BF16", "F32"), ("BF16", "F64"), ("BF16", "BF16")])
        self.assertEqual(self.skipped(tables), {})
        self.assertEqual(self.cell(tables)["skipped_parameters"], 0)

        with np.errstate(all="ignore"):
            wide = {n: (lib.bf16_float(base[n][1]).view(np.uint32), v) for n, v in (
                (names[0], tuned[names[0]][1]), (names[1], tuned[names[1]][1].view(np.float64).astype(np.float32).view(np.uint32)),
                (names[2], lib.bf16_float(tuned[names[2]][1]).view(np.uint32)))}
        self.check_counts(self.run_study("arithmetic: f32", name="wide"), wide, "f32")

    def test_integers_and_bools(self):
        rng = np.random.default_rng(2)
        base, tuned, want = {"w.weight": bf16(rng, 30, 40)}, {}, {}
        tuned["w.weight"] = moved(rng, base["w.weight"])
        for dtype, kind in (("BOOL", np.uint8), ("U8", np.uint8), ("I8", np.int8), ("I16", np.int16), ("I32", np.int32),
                            ("I64", np.int64), ("U64", np.uint64)):
            name = "ids." + dtype
            old = rng.integers(0, 2 if dtype == "BOOL" else 100, 70000).astype(kind)
            new = np.where(rng.random(old.size) < 0.1, 1 - old if dtype == "BOOL" else old + 1, old).astype(kind)
            new[-1] = 1 - old[-1]
            base[name], tuned[name], want[name] = (dtype, old), (dtype, new), int((old != new).sum())
        base["kind"], tuned["kind"] = ("I32", np.arange(5, dtype=np.int32)), ("I64", np.arange(5))
        base["f8"] = tuned["f8"] = ("F8_E5M2", np.arange(6, dtype=np.uint8))
        self.make(base, tuned)
        tables = self.run_study("coverage: any", stages="  mask: {needs: [delta], criterion: bits}\n  rank: {needs: [delta]}\n", np=3)
        self.check_counts(tables, {"w.weight": (base["w.weight"][1], tuned["w.weight"][1])})
        rows = {r["tensor"]: r for r in tables["tensors"]}
        self.assertEqual(set(rows), {"w.weight"} | set(want))
        for name, changed in want.items():
            row = rows[name]
            self.assertEqual((row["bit_changed"], row["nonzero"], row["parameters"]), (changed, changed, 70000), name)
            self.assertTrue(np.isnan([row["max_abs"], row["mean_abs"], row["l2"]]).all())
        skipped = self.skipped(tables)
        self.assertEqual(skipped.pop("kind"), (5, "type I32 in the base is not compared with I64 in the tuned checkpoint"))
        self.assertEqual(skipped.pop("f8"), (6, "type F8_E5M2 is not compared"))
        self.assertEqual(skipped, {n: (70000, "type %s: compared by bits only" % n[4:]) for n in want})
        cell = self.cell(tables)
        self.assertEqual((cell["tensors"], cell["skipped"], cell["parameters"], cell["skipped_parameters"]),
                         (1, 9, 1200, 7 * 70000 + 11))
        for row in tables["modules"] + tables["layers"]:
            self.assertEqual(row["module"], "w")


class Fp8(Pairs):
    SHAPES = {"model.layers.0.q.weight": (300, 200), "model.layers.0.o.weight": (128, 128),
              "model.layers.1.q.weight": (1, 700), "model.layers.1.o.weight": (257, 1100)}

    def quantise(self, rng, shapes):
        """The checkpoint's tensors, and what they mean in bf16."""
        tensors, bits = {}, {}
        for name, (rows, cols) in shapes.items():
            codes, scale = quantised(rng, rows, cols)
            tensors[name] = ("F8_E4M3", codes)
            tensors[name + "_scale_inv"] = ("F32", scale.view(np.uint32))
            bits[name] = dequantised(codes, scale)
        return tensors, bits

    def test_against_bf16(self):
        """All codes: the dequantised checkpoint in BF16 differs from the codes in nothing, in either arithmetic."""
        rng = np.random.default_rng(3)
        codes, bits = self.quantise(rng, self.SHAPES)
        norm = {"model.norm.weight": bf16(rng, 77)}
        files = lib.write_checkpoint(self.path("base"), dict(codes, **norm), 3)
        with open(os.path.join(files, "model.safetensors.index.json")) as f:
            places = json.load(f)["weight_map"]
        self.assertTrue(any(places[n] != places[n + "_scale_inv"] for n in self.SHAPES))
        lib.write_checkpoint(self.path("tuned"), dict({n: ("BF16", b) for n, b in bits.items()}, **norm))
        for arithmetic in ("bf16", "f32"):
            tables = self.run_study("arithmetic: " + arithmetic, name=arithmetic, np=2)
            cell = self.cell(tables)
            self.assertEqual((cell["bit_changed"], cell["tensors"], cell["skipped_parameters"]), (0, 5, 0))
            self.assertEqual(cell["parameters"], 77 + sum(r * c for r, c in self.SHAPES.values()))
            self.assertEqual(self.skipped(tables), {n + "_scale_inv": (0, "scale of " + n) for n in self.SHAPES})
            for row in tables["tensors"]:
                if row["tensor"] in bits:
                    self.assertEqual((row["dtype_base"], row["dtype_tuned"]), ("F8_E4M3", "BF16"))
                    self.assertEqual(row["nan_count"], int(np.isnan(lib.bf16_float(bits[row["tensor"]])).sum()))

    def test_pair_of_codes(self):
        """Other codes and other scales on both sides; a mask of the stored update and one of the pair read again."""
        rng = np.random.default_rng(4)
        one, old = self.quantise(rng, self.SHAPES)
        two, new = self.quantise(rng, self.SHAPES)
        for name in self.SHAPES:                                       # most codes stay, as do some scales
            keep = rng.random(self.SHAPES[name]) < 0.8
            codes = np.where(keep, one[name][1], two[name][1])
            scale = one[name + "_scale_inv"][1].copy()
            scale[0, 0] += 5
            two[name], two[name + "_scale_inv"] = ("F8_E4M3", codes), ("F32", scale)
            new[name] = dequantised(codes, scale.view(np.float32))
        self.make(one, two, 4, 1)
        nodes = "".join("  none%s: {kind: delta, needs: [load], store: none, tolerances: [0], arithmetic: %s}\n"
                        "  mask%s: {kind: mask, needs: [none%s]}\n" % (a, a, a, a) for a in ("bf16", "f32"))
        tables = self.run_study(stages=nodes + "  mask: {needs: [delta]}\n", np=2)
        self.check_counts(tables, {n: (old[n], new[n]) for n in self.SHAPES})
        for name in self.SHAPES:
            got = {r["node"]: r["updated"] for r in tables["tensor_sparsity"]
                   if r["tensor"] == name and r["node"].startswith("mask")}
            for node, arithmetic in (("mask", "bf16"), ("maskbf16", "bf16"), ("maskf32", "f32")):
                pair = [b if arithmetic == "bf16" else lib.bf16_float(b).view(np.uint32) for b in (old[name], new[name])]
                self.assertEqual(got[node], lib.updated(arithmetic, *pair, "absolute", 1e-5).sum(), (name, node))

    def test_refused(self):
        rng = np.random.default_rng(5)
        tensors, bits = self.quantise(rng, {"x.weight": (300, 200)})
        self.make(tensors, {"x.weight": ("BF16", bits["x.weight"])})
        lib.write_checkpoint(self.path("base"), {"x.weight": tensors["x.weight"]})
        self.refused("", "tensor x.weight of the base checkpoint base is F8_E4M3, but its scales x.weight_scale_inv are not there")
        lib.write_checkpoint(self.path("base"), dict(tensors, **{"x.weight_scale_inv": ("F32", np.zeros((2, 2), np.uint32))}))
        self.refused("", "its scales x.weight_scale_inv are F32 2x2, expected F32 3x2")


class Report(Pairs):
    def test_left_out(self):
        """The page folds reasons that differ in a name or a size alone, and says what share of the parameters it covers."""
        rng = np.random.default_rng(13)
        base, tuned = {}, {}
        for i in range(40):
            name = "model.layers.%d.q.weight" % i
            codes, scale = quantised(rng, 150, 130)
            base[name], base[name + "_scale_inv"] = ("F8_E4M3", codes), ("F32", scale.view(np.uint32))
            tuned[name] = moved(rng, ("BF16", dequantised(codes, scale)))
        for i in range(3):
            name = "model.layers.%d.embed.weight" % i
            base[name], tuned[name] = bf16(rng, 100 + i, 50), bf16(rng, 110, 50)
            base["model.layers.%d.extra.weight" % i] = bf16(rng, 7 + i, 10)
        self.make(base, tuned)
        tables = self.run_study("rows: common, unmatched: skip", "  mask: {needs: [delta]}\n  report: {needs: [mask]}\n")
        cell = self.cell(tables)
        self.assertEqual(cell["skipped_parameters"], 50 * (10 + 9 + 8) + 10 * (7 + 8 + 9))
        self.assertEqual(len(self.skipped(tables)), 46)
        covered = cell["parameters"] / (cell["parameters"] + cell["skipped_parameters"])
        percent = "%.2f" % (int(1e4 * covered) / 100)
        texts = {}
        for file in ("report.md", "report.html", "sparsity.md", "sparsity.txt", "skipped.csv"):
            with open(self.path("out-x", "report", file)) as f:
                texts[file] = f.read()
        self.assertEqual(texts["skipped.csv"].count("scale of "), 40)
        for file in ("report.md", "report.html"):
            self.assertNotIn("scale of ", texts[file])
            self.assertEqual(texts[file].count("scales of FP8 tensors"), 1)
            self.assertEqual(texts[file].count("rows only in the tuned checkpoint"), 1)
            self.assertIn(percent + " % of the parameters covered", texts[file])
            self.assertRegex(texts[file], percent + r" % of all; 46 tensors, or rows of them, were left out")
        rows = {w[3]: w[:3] for w in ([x.strip() for x in line.strip("| ").split("|")]
                                      for line in texts["report.md"].splitlines() if line.startswith("| delta")) if len(w) == 4}
        self.assertEqual(rows["scales of FP8 tensors, used with them"], ["delta", "40", "0"])
        self.assertEqual(rows["rows only in the tuned checkpoint"], ["delta", "3", "1,350"])
        self.assertEqual(rows["only in the base checkpoint"], ["delta", "3", "240"])
        for file in ("sparsity.md", "sparsity.txt"):
            self.assertIn("covered %", texts[file])
            self.assertIn(percent, texts[file])


class Names(Pairs):
    def test_rows(self):
        rng = np.random.default_rng(6)
        name, other = "model.embed_tokens.weight", "model.layers.0.q.weight"
        base = {name: bf16(rng, 5000, 61), other: bf16(rng, 50, 61)}
        tuned = {n: moved(rng, t) for n, t in base.items()}
        tuned[name] = ("BF16", np.concatenate([tuned[name][1], bf16(rng, 8, 61)[1]]))
        self.make(base, tuned)
        self.refused("", "tensor %s: shape 5000x61" % name, "5008x61", "rows: common")
        pairs = {name: (base[name][1], tuned[name][1][:5000]), other: (base[other][1], tuned[other][1])}
        stages = "  mask: {needs: [delta]}\n  rank: {needs: [delta]}\n"
        for store in ("update", "none"):
            tables = self.run_study("rows: common, store: " + store, stages, store, np=2)
            self.check_counts(tables, pairs)
            self.assertEqual(self.skipped(tables), {name: (488, "rows 5000..5007 only in tuned")})
            cell = self.cell(tables)
            self.assertEqual((cell["tensors"], cell["skipped"], cell["skipped_parameters"], cell["parameters"]),
                             (2, 1, 488, 5050 * 61))
            for n, (old, new) in pairs.items():
                row, = [r for r in tables["tensor_sparsity"] if r["node"] == "mask" and r["tensor"] == n]
                self.assertEqual(row["updated"], lib.updated("bf16", old, new, "absolute", 1e-5).sum())
                row, = [r for r in tables["rank"] if r["tensor"] == n]
                delta = torch.from_numpy(lib.difference("bf16", old, new))
                self.assertEqual((row["rows"], row["matrix_rank"]), (old.shape[0], int(torch.linalg.matrix_rank(delta))))
        tables = self.run_study("rows: skip, coverage: any", name="skip")
        self.check_counts(tables, {other: pairs[other]})
        self.assertEqual(self.skipped(tables), {name: (5008 * 61, "shape 5000x61 in the base, 5008x61 in the tuned checkpoint")})
        tuned[name] = ("BF16", tuned[name][1][:4000])
        self.make(base, tuned)
        self.assertEqual(self.skipped(self.run_study("rows: common, coverage: 0.8", name="lower")),
                         {name: (61000, "rows 4000..4999 only in base")})

    def test_tied_head(self):
        rng = np.random.default_rng(7)
        embedding = "model.embed_tokens.weight"
        base = {embedding: bf16(rng, 20, 8)}
        tuned = {embedding: moved(rng, base[embedding]), "lm_head.weight": bf16(rng, 20, 8)}
        self.make(base, tuned)
        tables = self.run_study()
        self.check_counts(tables, {embedding: (base[embedding][1], tuned[embedding][1]),
                                   "lm_head.weight": (base[embedding][1], tuned["lm_head.weight"][1])})
        tied = "tied to model.embed_tokens.weight on the base side, and compared with it"
        self.assertEqual(self.skipped(tables), {"lm_head.weight": (0, tied)})
        config_json(self.path("base"), tie_word_embeddings=False)
        self.refused("", "tensor lm_head.weight is in the tuned checkpoint", "unmatched: skip")
        config_json(self.path("base"), tie_word_embeddings=True)
        self.assertEqual(self.cell(self.run_study())["skipped"], 1)

    def test_one_side_only(self):
        rng = np.random.default_rng(8)
        base = {"a.weight": bf16(rng, 9, 8), "b.weight": bf16(rng, 7)}
        tuned = {"a.weight": moved(rng, base["a.weight"]), "c.weight": bf16(rng, 3, 2)}
        self.make(base, tuned)
        self.refused("", "tensor b.weight is in the base checkpoint", "in the base only: 1, in the tuned only: 1")
        tables = self.run_study("unmatched: skip", "  mask: {needs: [delta]}\n")
        self.check_counts(tables, {"a.weight": (base["a.weight"][1], tuned["a.weight"][1])})
        self.assertEqual(self.skipped(tables), {"b.weight": (7, "only in the base checkpoint"),
                                                "c.weight": (6, "only in the tuned checkpoint")})
        self.assertEqual(self.cell(tables)["skipped_parameters"], 13)

    def test_rename(self):
        rng = np.random.default_rng(9)
        base = {"model.layers.%d.%s.weight" % (i, m): bf16(rng, 11, 13) for i in range(2) for m in "qkv"}
        tuned = {n: moved(rng, t) for n, t in base.items()}
        pairs = {n: (base[n][1], tuned[n][1]) for n in base}
        self.make(base, {"base_model.model." + n.replace("q.weight", "q.base_layer.weight"): t for n, t in tuned.items()}, 1, 3)
        rules = 'rename: ["base_model.model.* -> *", "*.base_layer.weight -> *.weight"]'
        # What wrappers put into names is off; of six tensors two have other names still.
        self.refused("", "in the base only: 2, in the tuned only: 2", "\"rename\" of delta")
        for store in ("update", "none"):
            tables = self.run_study(rules + ", store: " + store, "  mask: {needs: [delta]}\n", store, np=2)
            self.check_counts(tables, pairs)
            for name, (old, new) in pairs.items():
                row, = [r for r in tables["tensor_sparsity"] if r["node"] == "mask" and r["tensor"] == name]
                self.assertEqual(row["updated"], lib.updated("bf16", old, new, "absolute", 1e-5).sum())
        self.sinew(["check", self.config(rules)])
        self.refused('rename: ["module.* -> *"]', "\"module.* -> *\" matches none of the 6 tensors", status=2)
        self.refused('rename: ["base_model.model.model.layers.0.q -> base_model.model.model.layers.1.q"]', "would both become",
                     status=2)
        run = self.sinew(["check", self.config('rename: ["a.* b"]')], status=2)
        self.assertRegex(run.stderr, r"x\.yaml:\d+:\d+: .*rename: expected \"PATTERN -> REPLACEMENT\", found \"a\.\* b\"")


class MultiTokenPrediction(Pairs):
    def test_layer_is_reported_but_not_counted(self):
        rng = np.random.default_rng(10)
        base = {"model.layers.%d.%s.weight" % (i, m): bf16(rng, 20 + i, 16) for i in range(3) for m in ("q", "norm")}
        base["model.layers.2.embed_tokens.weight"] = bf16(rng, 40, 16)
        tuned = {n: moved(rng, t) for n, t in base.items()}
        self.make(base, tuned)
        config_json(self.path("base"), num_hidden_layers=2, num_nextn_predict_layers=1)
        main = {n: (base[n][1], tuned[n][1]) for n in base if ".layers.2." not in n}
        extra = {n: (base[n][1], tuned[n][1]) for n in base if n not in main}
        stages = ("  mask: {needs: [delta]}\n  rank: {needs: [delta]}\n  all: {kind: delta, needs: [load], mtp: include, "
                  "store: none, tolerances: %s}\n  mask-all: {kind: mask, needs: [all]}\n" % TOLERANCES)
        tables = self.run_study("coverage: any", stages, np=2)
        self.check_counts({**tables, "sparsity": tables["sparsity"]}, main)
        self.check_counts(tables, {**main, **extra}, node="all")
        reason = "multi-token-prediction layer 2"
        self.assertEqual(self.skipped(tables), {n: (old.size, reason) for n, (old, _) in extra.items()})
        self.assertEqual(self.skipped(tables, "all"), {})
        cell = self.cell(tables)
        self.assertEqual((cell["parameters"], cell["skipped_parameters"]),
                         tuple(sum(old.size for old, _ in part.values()) for part in (main, extra)))
        self.assertEqual(cell["bit_changed"], sum(int((old != new).sum()) for old, new in main.values()))
        rows = {r["tensor"]: r for r in tables["tensors"]}
        for name, (old, new) in {**main, **extra}.items():
            self.assertEqual(rows[name]["bit_changed"], int((old != new).sum()), name)
            self.assertEqual(rows[name]["max_abs"], np.abs(lib.difference("bf16", old, new)).max(), name)
        layers = {r["layer"]: r for r in tables["layers"] if r["node"] == "delta"}
        self.assertEqual(sorted(layers), [0, 1, 2])
        self.assertEqual((layers[2]["parameters"], layers[2]["updated"]),
                         (sum(o.size for o, _ in extra.values()),
                          sum(int((lib.difference("bf16", o, n) != 0).sum()) for o, n in extra.values())))
        for table, node, of in (("rank", "rank", main), ("tensor_sparsity", "mask", main),
                                ("tensor_sparsity", "mask-all", {**main, **extra})):
            self.assertEqual({r["tensor"] for r in tables[table] if r["node"] == node}, set(of), (table, node))
        self.assertEqual([r["layer"] for r in tables["layers"] if r["node"] == "mask"], [0, 1])

        config_json(self.path("base"), num_hidden_layers=3)                # what depends on the file is stale with it
        self.sinew(["run", self.path("x.yaml")])
        tables = {k: lib.plain(v) for k, v in lib.tables(self.archive).items()}
        self.check_counts(tables, {**main, **extra})
        self.assertEqual(self.skipped(tables), {})
        self.assertIn("nothing to do", self.sinew(["run", self.path("x.yaml")]).stdout)

    def test_config_that_cannot_be_read(self):
        rng = np.random.default_rng(11)
        base = {"model.layers.0.q.weight": bf16(rng, 4, 4)}
        self.make(base, {n: moved(rng, t) for n, t in base.items()})
        with open(self.path("base", "config.json"), "w") as f:
            f.write("{\"num_hidden_layers\": 1,")
        self.refused("", "base/config.json: no valid JSON", "mtp: include")
        self.assertEqual(self.cell(self.run_study("mtp: include"))["tensors"], 1)
        config_json(self.path("base"), num_hidden_layers="many")
        self.refused("", "num_hidden_layers: expected a number of layers, found a text")


class Processes(Pairs):
    def test_same_on_any_number(self):
        """One pair with all of it, on 1 to 4 processes: the same archive."""
        rng = np.random.default_rng(12)
        codes, scale = quantised(rng, 700, 500)
        base = {"model.embed_tokens.weight": bf16(rng, 3000, 100), "model.layers.0.q.weight": ("F8_E4M3", codes),
                "model.layers.0.q.weight_scale_inv": ("F32", scale.view(np.uint32)), "ids": ("I64", np.arange(300000)),
                "model.layers.1.q.weight": bf16(rng, 600, 500), "model.layers.0.norm.weight": bf16(rng, 33)}
        q = ("BF16", dequantised(codes, scale))
        new = {"module." + n: moved(rng, base[n], d) for n, d in (
            ("model.layers.1.q.weight", "F64"), ("model.layers.0.norm.weight", "F32"))}
        new["module.model.embed_tokens.weight"] = ("BF16", np.concatenate([moved(rng, base["model.embed_tokens.weight"])[1],
                                                                           bf16(rng, 5, 100)[1]]))
        new["module.model.layers.0.q.weight"] = moved(rng, q)
        new["module.ids"] = ("I64", np.where(rng.random(300000) < 0.01, 7, np.arange(300000)))
        new["module.lm_head.weight"] = bf16(rng, 3000, 100)
        self.make(base, new, 3, 2)
        config_json(self.path("base"), num_hidden_layers=1)
        archives = []
        for n in (1, 2, 3, 4):
            self.run_study("rows: common, rename: [module. ->], coverage: any", "  mask: {needs: [delta]}\n", "np%d" % n, np=n)
            archives.append({k: lib.plain(v) for k, v in lib.tables(self.archive).items()})
        for other in archives[1:]:
            self.assertEqual(str(archives[0]), str(other))
        tables = archives[0]
        embedding, old_q = "model.embed_tokens.weight", q[1]
        self.check_counts(tables, {
            embedding: (base[embedding][1], new["module." + embedding][1][:3000]),
            "model.layers.0.q.weight": (old_q, new["module.model.layers.0.q.weight"][1]),
            "model.layers.0.norm.weight": (base["model.layers.0.norm.weight"][1],
                                           lib.to_compare("bf16", *new["module.model.layers.0.norm.weight"])),
            "lm_head.weight": (base[embedding][1], new["module.lm_head.weight"][1])})
        self.assertEqual(self.skipped(tables), {
            embedding: (500, "rows 3000..3004 only in tuned"), "ids": (300000, "type I64: compared by bits only"),
            "model.layers.0.q.weight_scale_inv": (0, "scale of model.layers.0.q.weight"),
            "model.layers.1.q.weight": (300000, "multi-token-prediction layer 1"),
            "module.lm_head.weight": (0, "tied to model.embed_tokens.weight on the base side, and compared with it")})


if __name__ == "__main__":
    lib.main()
