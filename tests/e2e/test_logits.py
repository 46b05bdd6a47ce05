#!/usr/bin/python3
"""Logits in every format: the same logits give the same entropies, whoever wrote them; entropies that are given are taken as they
are; masks, token ids, -Inf; what is damaged, hostile or no logits is refused with its place. References are NumPy's, in float64."""
import os
import struct
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sinewlib as lib  # noqa: E402

CONFIG = """study: logits
output: out
memory_per_process: %s
cells:
%sstages:
  load: {}
  token-entropy: {needs: [load], temperature: %s, histogram_bins: 8}
"""
CELL = "  - {family: tiny, algorithm: %s, seed: 0, base: models/base, tuned: models/tuned, logits: {tuned: %s}}\n"


def entropy(x, temperature=1.0):
    """Of each row, from the definition: terms with p = 0 contribute nothing."""
    with np.errstate(all="ignore"):
        z = np.asarray(x, np.float64) / temperature
        z = z - z.max(-1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
        p = np.exp(log_p)
        return -np.where(p > 0, p * log_p, 0).sum(-1) + 0.0


def as_bf16(h5group, name, bits):
    """A dataset of bfloat16 as h5py's low level can write one: a float of 16 bits with the exponent of float32."""
    t = h5py.h5t.IEEE_F32LE.copy()
    t.set_fields(15, 7, 8, 0, 7)
    t.set_size(2)
    t.set_ebias(127)
    d = h5py.h5d.create(h5group.id, name.encode(), t, h5py.h5s.create_simple(bits.shape))
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(bits), mtype=t)


def llama_rows(x):
    """Rows of uint16 as llama-perplexity writes them: scale, lowest, a code per entry, padded to an even number."""
    x = np.asarray(x, np.float32)
    out = np.full((len(x), 4 + (x.shape[1] + 1) // 2 * 2), 0xBEEF, np.uint16)  # the padding is whatever memory held
    for row, logits in zip(out, x):
        top = logits.max()
        low = np.maximum(logits.min(), top - np.float32(16))
        log_sum = np.float32(np.log(np.exp((logits - top).astype(np.float64)).sum()))
        scale = np.float32((top - low) / np.float32(65535))
        row[:4] = np.array([scale, low - top - log_sum], np.float32).view(np.uint16)
        row[4:4 + len(logits)] = 0
        if scale > 0:
            row[4:4 + len(logits)] = np.where(logits > low, np.rint((logits - low) / scale), 0).astype(np.uint16)
    return out


def llama_entropies(rows, vocabulary):
    """An independent decoding. What is cut 16 below the largest logit counts as nothing, as for the program that wrote it."""
    out = []
    for row in rows:
        scale, low = (float(v) for v in row[:4].view(np.float32))
        codes = row[4:4 + vocabulary].astype(np.float64)
        log_p = low + scale * codes
        if scale * 65535 > 15.9998:
            log_p = log_p[codes > 0]
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        out.append(-(p * np.log(p)).sum())
    return np.array(out)


def write_llama(path, x, tokens, context):
    """x: rows for the second half of each chunk of tokens; returns the rows as written."""
    rows = llama_rows(x)
    with open(path, "wb") as f:
        f.write(b"_logits_" + struct.pack("<Iii", context, x.shape[1], len(tokens) // context))
        f.write(np.asarray(tokens, "<i4").tobytes() + rows.tobytes())
    return rows


class Logits(lib.Case):
    def setUp(self):
        super().setUp()
        for side in ("base", "tuned"):
            lib.write_checkpoint(self.path("models", side), {"w.weight": ("BF16", np.ones((2, 2), np.uint16))})
        self.rng = np.random.default_rng(5)
        self.x = (4 * self.rng.standard_normal((150, 33))).astype(np.float32)
        self.ids = self.rng.integers(0, 33, 150)
        self.mask = self.rng.random(150) < 0.7

    def configure(self, files, temperature=1, memory="256 MiB"):
        cells = "".join(CELL % (name, path) for name, path in files.items())
        self.config = self.write("logits.yaml", CONFIG % (memory, cells, temperature))

    def measure(self, files, np_=2, **options):
        """files: algorithm -> path; runs, and gives algorithm -> entropies."""
        self.configure(files, **options)
        run = self.sinew(["run", self.config], np=np_)
        self.assertEqual(run.errors(), [])
        self.sinew(["check", self.config])
        self.rows = {r["cell"].split("/")[1]: r for r in lib.table(self.path("out", "logits.h5"), "entropy")}
        out = {}
        for name in files:
            with h5py.File(self.path("out", "cells", "tiny", name, "0", "token-entropy.h5"), "r") as f:
                out[name] = f["token_entropy/tuned"][()]
        return out

    def refused(self, file, *words, status=3, check=True, np_=0, **options):
        """Run and, where headers tell, check: one message with all words."""
        self.configure({"ppo": file}, **options)
        run = lib.run_sinew(np_, ["run", self.config], cwd=self.dir, timeout=60)
        self.assertEqual(run.returncode, status, run.text())
        self.assertEqual(len(run.errors()), 1, run.text())
        for word in (os.path.basename(file),) + words:
            self.assertIn(word, run.errors()[0])
        self.assertFalse(os.path.exists(self.path("out", "logits.h5")))
        once = lib.run_sinew(0, ["check", self.config], cwd=self.dir, timeout=60)
        self.assertEqual(once.returncode, status if check else 0, once.text())
        for word in words if check else ():
            self.assertIn(word, once.stderr)

    def close(self, got, want, tolerance=1e-12, message=None):
        self.assertEqual(got.shape, want.shape, message)
        self.assertTrue((np.isnan(got) == np.isnan(want)).all(), message)
        off = np.nanmax(np.abs(got - want))
        self.assertLessEqual(off, tolerance, message)

    # ---- the same logits in every format ----

    def write_formats(self, x):
        """algorithm -> (path, the logits as the file holds them)."""
        half, bf16 = x.astype(np.float16), lib.bf16_round(x)
        files = {}
        for name, (dtype, bits) in {"st32": ("F32", x), "st16": ("F16", half), "stbf": ("BF16", bf16),
                                    "st64": ("F64", x.astype(np.float64))}.items():
            lib.write_safetensors(self.path(name + ".safetensors"), {"logits": (dtype, bits.shape, bits.tobytes())})
            files[name] = name + ".safetensors"
        for name, a in {"h32": x, "h64": x.astype(np.float64), "h16": half, "hbig": x.astype(">f4")}.items():
            with h5py.File(self.path(name + ".h5"), "w") as f:
                f["logits"] = a
            files[name] = name + ".h5"
        with h5py.File(self.path("hbf.h5"), "w") as f:
            as_bf16(f, "logits", bf16)
        with h5py.File(self.path("hzip.h5"), "w", userblock_size=512) as f:
            f.create_dataset("logits", data=x, chunks=(16, 7), compression="gzip", shuffle=True)
        files["hbf"], files["hzip"] = "hbf.h5", "hzip.h5"
        for name, a in {"n32": x, "n64": x.astype(np.float64), "n16": half}.items():
            np.save(self.path(name + ".npy"), a)
            files[name] = name + ".npy"
        with open(self.path("n2.npy"), "wb") as f:
            np.lib.format.write_array(f, x, version=(2, 0))
        files["n2"] = "n2.npy"
        wide = {name: x.astype(np.float64) for name in files}
        for name in ("st16", "h16", "n16"):
            wide[name] = half.astype(np.float64)
        for name in ("stbf", "hbf"):
            wide[name] = lib.bf16_float(bf16).astype(np.float64)
        return files, wide

    def test_every_format(self):
        self.x[self.rng.random(self.x.shape) < 0.2] = -np.inf  # cut from the vocabulary
        self.x[:, 0] = 0
        self.x[7, 1:] = -np.inf  # one choice
        files, wide = self.write_formats(self.x)
        got = self.measure(files)
        for name in files:
            self.close(got[name], entropy(wide[name]), 1e-12, name)
            self.assertEqual((self.rows[name]["tokens"], self.rows[name]["vocabulary"]), (150, 33))
        for name in ("st64", "h32", "h64", "hbig", "hzip", "n32", "n64", "n2"):
            self.assertTrue((got[name] == got["st32"]).all(), name)
        self.assertTrue((got["h16"] == got["st16"]).all() and (got["n16"] == got["st16"]).all())
        self.assertTrue((got["hbf"] == got["stbf"]).all())
        self.assertEqual(got["st32"][7], 0)

    def test_float64_is_not_narrowed(self):
        x = np.zeros((40, 3))
        x[:, 1] = 1e-9 * np.arange(40) - 30  # next to one another in float32
        x[:, 2] = -1e300
        np.save(self.path("fine.npy"), x)
        got = self.measure({"fine": "fine.npy"})["fine"]
        q = np.exp(x[:, 1])
        self.close(got / (np.log1p(q) + q * -x[:, 1] / (1 + q)), np.ones(40), 1e-13)
        self.assertEqual(len(np.unique(got)), 40)

    def test_temperature(self):
        files, wide = self.write_formats(self.x)
        for name, got in self.measure(files, temperature=2.5).items():
            self.close(got, entropy(wide[name], 2.5), 1e-12, name)

    def test_sequences_masks_and_ids(self):
        x, ids, mask = self.x.reshape(3, 50, 33), self.ids.reshape(3, 50), self.mask.reshape(3, 50)
        lib.write_safetensors(self.path("st.safetensors"),
                              {"logits": ("F32", x.shape, x.tobytes()), "input_ids": ("I64", ids.shape, ids.tobytes()),
                               "attention_mask": ("BOOL", mask.shape, mask.tobytes())})
        files = {"st": "st.safetensors"}
        variants = {"bool": (np.int64, bool), "narrow": (np.int16, np.uint8), "big": (">i8", np.int32), "wide": (np.uint64, np.int64)}
        for name, (ids_type, mask_type) in variants.items():
            with h5py.File(self.path(name + ".h5"), "w") as f:
                f["logits"], f["token_ids"], f["mask"] = x, ids.astype(ids_type), mask.astype(mask_type)
            files[name] = name + ".h5"
        with h5py.File(self.path("flat.h5"), "w") as f:  # one element per token is enough
            f["logits"], f["input_ids"], f["attention_mask"] = x, self.ids, self.mask.reshape(150, 1)
        files["flat"] = "flat.h5"
        want = np.where(self.mask, entropy(self.x), np.nan)
        got = self.measure(files)
        table = lib.table(self.path("out", "logits.h5"), "token_ids")
        for name in files:
            self.close(got[name], want, 1e-12, name)
            self.assertTrue(((got[name] == got["st"]) | np.isnan(want)).all(), name)
            self.assertEqual(self.rows[name]["tokens"], self.mask.sum())
            rows = {r["token_id"]: r for r in table if "/%s/" % name in r["cell"]}
            for i in np.unique(self.ids[self.mask]):
                of = self.mask & (self.ids == i)
                self.assertEqual(rows[i]["count"], of.sum())
                self.assertAlmostEqual(rows[i]["mean"], want[of].mean(), delta=1e-12)

    def test_number_of_processes(self):
        files, _ = self.write_formats(self.x)
        np.save(self.path("given.npy"), entropy(self.x))
        files["given"] = "given.npy"
        write_llama(self.path("x.kld"), self.x, self.rng.integers(0, 33, 10 * 32), 32)
        files["llama"] = "x.kld"
        one = self.measure(files, np_=0)
        os.rename(self.path("out"), self.path("out1"))
        three = self.measure(files, np_=3)
        for name in files:
            self.assertTrue((one[name] == three[name]).all(), name)
        self.assertEqual(lib.compare_archives(self.path("out1", "logits.h5"), self.path("out", "logits.h5")), [])

    def test_folder(self):
        """logits.safetensors, then logits.h5, then logits.npy."""
        os.makedirs(self.path("all"))
        np.save(self.path("all", "logits.npy"), self.x)
        self.close(self.measure({"a": "all"})["a"], entropy(self.x))
        with h5py.File(self.path("all", "logits.h5"), "w") as f:
            f["logits"] = 2 * self.x
        self.close(self.measure({"a": "all"})["a"], entropy(2 * self.x))
        lib.write_safetensors(self.path("all", "logits.safetensors"), {"logits": ("F32", self.x.shape, (3 * self.x).tobytes())})
        self.close(self.measure({"a": "all"})["a"], entropy(3 * self.x))

    def test_larger_than_memory(self):
        """1 GiB of logits, all 0, in a file with a hole; the budget is 64 MiB."""
        rows, v = 4096, 1 << 16
        with open(self.path("big.npy"), "wb") as f:
            np.lib.format.write_array_header_1_0(f, {"descr": "<f4", "fortran_order": False, "shape": (rows, v)})
            f.truncate(f.tell() + 4 * rows * v)
        self.configure({"big": "big.npy"}, memory="64 MiB")
        run = self.sinew(["run", self.config], np=2)
        with h5py.File(self.path("out", "cells", "tiny", "big", "0", "token-entropy.h5"), "r") as f:
            self.close(f["token_entropy/tuned"][()], np.full(rows, np.log(v)))
        self.assertLess(run.peak_kib, 256 << 10)

    # ---- entropies already computed ----

    def test_entropies_given(self):
        h = np.abs(self.rng.standard_normal(150)).astype(np.float32)
        h[3], h[4] = 0, -0.0
        files = {"npy": "h.npy", "half": "half.npy"}
        np.save(self.path("h.npy"), h)
        np.save(self.path("half.npy"), h.astype(np.float16))
        for name, tensor in (("st", "entropies"), ("st1", "entropy")):
            lib.write_safetensors(self.path(name + ".safetensors"),
                                  {tensor: ("F32", h.shape, h.tobytes()), "token_ids": ("I64", h.shape, (1000 * self.ids).tobytes())})
            files[name] = name + ".safetensors"
        for name, tensor in (("h5", "entropies"), ("h51", "entropy")):
            with h5py.File(self.path(name + ".h5"), "w") as f:
                f[tensor], f["mask"], f["token_ids"] = h.astype(np.float64), self.mask, np.where(self.mask, self.ids, -100)
            files[name] = name + ".h5"
        got = self.measure(files)
        wide = h.astype(np.float64)
        for name in ("npy", "st", "st1"):
            self.assertTrue((got[name] == wide).all(), name)
            row = self.rows[name]
            self.assertEqual((row["tokens"], row["vocabulary"], row["temperature"]), (150, 0, 1))
            self.assertAlmostEqual(row["mean"], wide.mean(), delta=1e-12)
            self.assertAlmostEqual(row["median"], np.median(wide), delta=1e-15)
            self.assertAlmostEqual(row["threshold"], np.percentile(wide, 80), delta=1e-12)
            self.assertAlmostEqual(row["share_below_001"], (wide < 0.01).mean(), delta=1e-15)
        self.assertTrue((got["half"] == h.astype(np.float16).astype(np.float64)).all())
        for name in ("h5", "h51"):
            self.assertTrue((got[name][self.mask] == wide[self.mask]).all() and np.isnan(got[name][~self.mask]).all())
        archive = self.path("out", "logits.h5")
        bins = [r for r in lib.table(archive, "entropy_histogram") if "/npy/" in r["cell"]]
        self.assertEqual((bins[0]["lower"], bins[-1]["upper"]), (0, wide.max()))
        self.assertEqual([r["count"] for r in bins], list(np.histogram(wide, 8, (0, wide.max()))[0]))
        for name, scale, of in (("st", 1000, np.ones(150, bool)), ("h5", 1, self.mask)):
            rows = {r["token_id"]: r["count"] for r in lib.table(archive, "token_ids") if "/%s/" % name in r["cell"]}
            self.assertEqual(rows, {scale * i: int((self.ids[of] == i).sum()) for i in np.unique(self.ids[of])})

    def test_entropies_that_are_none(self):
        h = np.ones(150)
        np.save(self.path("h.npy"), h)
        for value in (-1e-9, np.nan, np.inf, -np.inf, 64):
            h[:] = 1
            h[101] = value
            np.save(self.path("h.npy"), h)
            self.refused("h.npy", "token 101: entropy", check=False, np_=3)
        h[:] = 1
        np.save(self.path("h.npy"), h)
        self.refused("h.npy", "temperature must be 1", status=2, check=False, temperature=2)
        lib.write_safetensors(self.path("ids.safetensors"), {"entropy": ("F64", h.shape, h.tobytes()),
                                                             "token_ids": ("I64", h.shape, np.full(150, 1 << 40).tobytes())})
        self.refused("ids.safetensors", "token 0: token id 1099511627776", check=False, np_=3)
        lib.write_safetensors(self.path("h3.safetensors"), {"entropies": ("F64", (25, 3, 2), h.tobytes())})
        self.refused("h3.safetensors", "entropies", "25x3x2", "batch x tokens")

    # ---- llama.cpp ----

    def test_llama(self):
        for context, chunks, vocabulary in ((32, 10, 33), (33, 5, 34), (3, 7, 1)):
            scored = context - 1 - context // 2
            x = (3 * self.rng.standard_normal((chunks * scored, vocabulary))).astype(np.float32)
            x[::3] *= 4  # beyond the range
            tokens = self.rng.integers(0, vocabulary, chunks * context)
            rows = write_llama(self.path("x.kld"), x, tokens, context)
            got = self.measure({"llama": "x.kld"}, np_=3)["llama"]
            self.close(got, llama_entropies(rows, vocabulary), 1e-12)
            self.close(got, entropy(x), 2e-3)
            drawn = tokens.reshape(chunks, context)[:, context // 2 + 1:].ravel()
            counts = {r["token_id"]: r["count"] for r in lib.table(self.path("out", "logits.h5"), "token_ids")}
            self.assertEqual(counts, {i: int((drawn == i).sum()) for i in np.unique(drawn)})
            self.assertEqual(self.rows["llama"]["vocabulary"], vocabulary)

    def test_llama_of_a_certain_token(self):
        """What is cut 16 nats below the largest must not add up to an entropy that is not there."""
        x = np.full((15, 50001), -40, np.float32)
        x[np.arange(15), np.arange(15)] = 0
        rows = write_llama(self.path("x.kld"), x, np.zeros(32, int), 32)
        got = self.measure({"llama": "x.kld"})["llama"]
        self.close(got, llama_entropies(rows, 50001), 1e-12)
        self.close(got, entropy(x), 1e-9)

    def test_llama_damaged(self):
        tokens = self.rng.integers(0, 33, 320)
        write_llama(self.path("x.kld"), self.x, tokens, 32)
        size = os.path.getsize(self.path("x.kld"))
        with open(self.path("x.kld"), "rb") as f:
            whole = f.read()
        for cut, complete in ((1, 9), (size - 12, 0), (size - 30, 0), (15 * 38 * 2, 9), (15 * 38 * 2 + 2, 8)):
            with open(self.path("x.kld"), "wb") as f:
                f.write(whole[:size - cut])
            words = ["truncated", str(size - cut)]
            self.refused("x.kld", *(words + [str(size), "%d chunks are complete" % complete] if size - cut >= 20 else words))
        with open(self.path("x.kld"), "wb") as f:
            f.write(whole + b"\0")
        self.refused("x.kld", "longer")
        row = 20 + 4 * 320 + (3 * 15 + 4) * 38 * 2
        for scale, word in ((np.nan, "NaN"), (-1.0, "scale"), (1e30, "scale")):
            with open(self.path("x.kld"), "wb") as f:
                f.write(whole[:row] + struct.pack("<f", scale) + whole[row + 4:])
            self.refused("x.kld", "chunk 3 token 20", word, check=False, np_=3)
        tokens[16 + 5] = 33
        write_llama(self.path("x.kld"), self.x, tokens, 32)
        self.refused("x.kld", "chunk 0 token 20", "token id 33, expected 0 to 32", check=False)

    # ---- refusals ----

    def test_nan_and_inf(self):
        for value, word in ((np.nan, "NaN"), (np.inf, "+Inf")):
            x = self.x.copy()
            x[117, 13] = value
            files, _ = self.write_formats(x)
            for name in ("st32", "stbf", "h16", "hbf", "hzip", "n64"):
                self.refused(files[name], "token 117: the logit of vocabulary index 13 is " + word, check=False, np_=3)
        x = self.x.reshape(3, 50, 33).copy()
        x[2, 17, 5] = np.nan
        np.save(self.path("x.npy"), x)
        self.refused("x.npy", "sequence 2 token 17: the logit of vocabulary index 5 is NaN", check=False)
        x = self.x.copy()
        x[9] = -np.inf
        np.save(self.path("x.npy"), x)
        self.refused("x.npy", "token 9: every logit is -Inf", check=False)

    def test_masked_tokens_may_be_anything(self):
        x = self.x.copy()
        x[~self.mask] = np.nan
        with h5py.File(self.path("x.h5"), "w") as f:
            f["logits"], f["mask"] = x, self.mask
        self.close(self.measure({"a": "x.h5"})["a"], np.where(self.mask, entropy(self.x), np.nan))
        with h5py.File(self.path("none.h5"), "w") as f:
            f["logits"], f["mask"] = x, np.zeros(150, bool)
        os.remove(self.path("out", "logits.h5"))
        self.refused("none.h5", "leaves no token", check=False)

    def test_truncated(self):
        files, _ = self.write_formats(self.x)
        for name in ("st32", "h32", "hzip", "n32"):
            path = self.path(files[name])
            os.truncate(path, os.path.getsize(path) - 100)
            self.refused(files[name], np_=3)
            os.truncate(path, 9)
            self.refused(files[name])
            os.truncate(path, 0)
            self.refused(files[name])

    def test_npy_that_is_none(self):
        np.save(self.path("x.npy"), np.asfortranarray(self.x))
        self.refused("x.npy", "Fortran")
        np.save(self.path("x.npy"), self.x.astype(np.int32))
        self.refused("x.npy", "'<i4'")
        np.save(self.path("x.npy"), np.array([{}, print]), allow_pickle=True)
        self.refused("x.npy", "'|O'")
        np.save(self.path("x.npy"), np.float32(1))
        self.refused("x.npy", "scalar")
        np.save(self.path("x.npy"), self.x[:0])
        self.refused("x.npy", "no elements")
        np.savez(self.path("x.npz"), self.x)
        self.refused("x.npz", "unknown format")

    def test_hdf5_that_is_none(self):
        def refused(*words, **options):
            f.close()
            self.refused("x.h5", *words, **options)
            return h5py.File(self.path("x.h5"), "w")

        f = h5py.File(self.path("x.h5"), "w")
        f = refused("no dataset named logits")
        f["logits"] = self.ids
        f = refused("dataset logits", "I64")
        f["logits"] = self.x.astype(np.complex64)
        f = refused("dataset logits", "unknown element type")
        f["logits"] = h5py.Empty("f4")
        f = refused("dataset logits")
        f["logits"] = self.x[0]
        f = refused("dataset logits", "shape 33")
        f["logits"], f["token_ids"] = self.x, self.ids[1:]
        f = refused("token_ids", "149", "150")
        f["logits"], f["token_ids"] = self.x, self.ids.astype(np.float32)
        f = refused("token_ids", "F32")
        f.create_group("logits")
        f = refused("logits")
        # Announced, but never written, in whole or in part: no values are made up.
        f.create_dataset("logits", (1 << 40, 50000), "f4", chunks=(1, 50000))
        f = refused("dataset logits", "0 of its 1099511627776 chunks")
        d = f.create_dataset("logits", self.x.shape, "f4", chunks=(10, 33))
        d[:140] = self.x[:140]
        f = refused("14 of its 15 chunks")
        # Values of other files.
        with h5py.File(self.path("other.h5"), "w") as g:
            g["logits"] = self.x
        f["logits"] = h5py.ExternalLink("other.h5", "logits")
        f = refused("logits")
        f["away"], f["logits"] = h5py.ExternalLink("other.h5", "/"), h5py.SoftLink("/away/logits")
        f = refused("logits")
        self.x.tofile(self.path("raw"))
        f.create_dataset("logits", self.x.shape, "f4", external=[(self.path("raw"), 0, self.x.nbytes)])
        f = refused("other files")
        virtual = h5py.VirtualLayout(self.x.shape, "f4")
        virtual[:] = h5py.VirtualSource(self.path("other.h5"), "logits", self.x.shape)
        f.create_virtual_dataset("logits", virtual)
        f = refused("other files")
        # A few bytes that unpack to more than the memory.
        f.create_dataset("logits", data=np.zeros((1024, 8192), np.float32), chunks=(1024, 8192), compression="gzip")
        refused("chunks of one row", "32.0 MiB", memory="64 MiB").close()

    def test_file_that_changes_is_stale(self):
        np.save(self.path("x.npy"), self.x)
        self.measure({"a": "x.npy"})
        np.save(self.path("x.npy"), 2 * self.x)
        self.assertIn("stale", self.sinew(["status", self.config]).stdout)


if __name__ == "__main__":
    lib.main()
