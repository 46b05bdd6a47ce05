"""Parity with the two published scripts, whose arithmetic is done here in torch: a synthesised pair of each of the ten families and a
pair of adversarial tensors. Every per-tensor count at every tolerance, the share of exact zeros, the layer density and the rank of every
matrix. Zero differences are allowed in counts; a rank may differ by one only where it is flagged ambiguous."""
import numpy as np
import torch

import sinewlib as lib

torch.set_num_threads(2)
TOLERANCES = [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]
FAMILIES = ["tulu-3-8b", "tulu-3-70b", "deepseek-math-7b", "deepseek-v3", "mistral-7b", "eurus-7b", "math-shepherd-7b", "llama-3-8b",
            "eurus-2-7b", "qwen2.5-1.5b"]
STAGES = """stages:
  %sload: {%s}
  delta: {needs: [load], tolerances: [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]}
  rank: {needs: [delta]}
"""


def as_bf16(entry):
    """A checkpoint's tensor as the published scripts load it: torch_dtype=bfloat16."""
    dtype, bits = entry
    if dtype == "BF16":
        return torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16)
    if dtype == "F16":
        return torch.from_numpy(bits.view(np.float16).copy()).to(torch.bfloat16)
    return torch.from_numpy(bits.view(np.float32).copy()).to(torch.bfloat16)


def published_rank(delta):
    """The rank script's call, one matrix at a time."""
    return int(torch.linalg.matrix_rank(delta.float()))


class Parity(lib.Case):
    def compare(self, archive, cells):
        """cells: name -> (base folder, tuned folder)."""
        tables = {name: lib.plain(rows) for name, rows in lib.tables(archive).items()}
        counts = {(r["cell"], r["tensor"], r["criterion"], r["tolerance"]): r["updated"] for r in tables["tensor_sparsity"]}
        tensors = {(r["cell"], r["tensor"]): r for r in tables["tensors"]}
        layers = {(r["cell"], r["layer"]): r for r in tables["layers"]}
        ranks = {(r["cell"], r["tensor"]): r for r in tables["rank"]}
        compared = matrices = 0
        for cell, (base, tuned) in cells.items():
            old, new = lib.read_checkpoint(base), lib.read_checkpoint(tuned)
            density = {}
            for name in sorted(old):
                delta = as_bf16(new[name]) - as_bf16(old[name])
                zero = torch.zeros_like(delta)
                nonzero = delta.numel() - int((delta == 0).sum())
                self.assertEqual(tensors[cell, name]["nonzero"], nonzero, (cell, name))
                for tolerance in TOLERANCES:
                    close = int(torch.isclose(delta, zero, atol=tolerance).sum())
                    self.assertEqual(counts[cell, name, "absolute", tolerance], delta.numel() - close, (cell, name, tolerance))
                    compared += 1
                if name.startswith("model.layers.") and delta.numel() > 0:
                    density.setdefault(int(name.split(".")[2]), []).append(nonzero / delta.numel())
                if "layernorm" in name or delta.dim() < 2 or delta.numel() == 0 or not torch.isfinite(delta.float()).all():
                    self.assertNotIn((cell, name), ranks)
                    continue
                if delta.dim() > 2:
                    continue
                row = ranks[cell, name]
                want = published_rank(delta)
                matrices += 1
                if row["matrix_rank"] != want:
                    self.assertTrue(row["ambiguous"] and abs(row["matrix_rank"] - want) <= 1, (cell, name, row["matrix_rank"], want))
            for layer, shares in density.items():
                self.assertAlmostEqual(layers[cell, layer]["mean_tensor_density"], sum(shares) / len(shares), delta=1e-15)
        return compared, matrices

    def run_study(self, config, np_=2):
        path = self.path("study.yaml")
        with open(path, "w") as f:
            f.write(config)
        done = lib.run_sinew(np_, ["run", path], cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_synthesised_pair_of_each_family(self):
        models = self.path("models")
        self.run_study("study: parity\noutput: %s\nmatrix:\n  families: [%s]\n  algorithms: [dpo]\n  seeds: [0]\n"
                       "  base: \"%s/{family}/base\"\n  tuned: \"%s/{family}/{algorithm}\"\n" % (
                           self.path("out"), ", ".join(FAMILIES), models, models) +
                       STAGES % ("synth: {layers: 2}\n  ", "needs: [synth]"))
        compared, matrices = self.compare(self.path("out", "parity.h5"), {
            "%s/dpo/0" % f: ("%s/%s/base" % (models, f), "%s/%s/dpo" % (models, f)) for f in FAMILIES})
        self.assertGreater(compared, 10 * 20 * 7)
        self.assertGreater(matrices, 10 * 10)

    def test_adversarial_tensors(self):
        """Signed zeros, subnormals, Inf, NaN, values one bf16 step either side of each tolerance, 1-element and empty tensors."""
        around = []
        for tolerance in TOLERANCES[1:]:
            at = torch.tensor(tolerance).bfloat16().view(torch.int16).item()
            around += [at - 1, at, at + 1]
        steps = np.array(around, np.uint16)
        special = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x0080, 0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x7f7f, 0xff7f, 0x3f80, 0xbf80],
                           np.uint16)
        pairs = np.array([(a, b) for a in special for b in special], np.uint16)
        rng = np.random.default_rng(5)
        base = {
            "model.layers.0.steps.weight": ("BF16", np.zeros_like(steps)),
            "model.layers.0.steps_down.weight": ("BF16", steps | 0x8000),
            "model.layers.1.special.weight": ("BF16", pairs[:, 0].copy()),
            "model.layers.1.one.weight": ("BF16", np.array([0x3f80], np.uint16)),
            "model.layers.1.empty.weight": ("BF16", np.zeros((0, 7), np.uint16)),
            "model.layers.1.random.weight": ("BF16", rng.integers(0, 1 << 16, (37, 53)).astype(np.uint16)),
            "model.layers.2.zero.weight": ("BF16", rng.integers(0x3a00, 0x3d00, (16, 9)).astype(np.uint16)),
            "model.layers.2.matrix.weight": ("BF16", rng.integers(0x3a00, 0x3d00, (40, 24)).astype(np.uint16)),
        }
        tuned = {name: (dtype, bits.copy()) for name, (dtype, bits) in base.items()}
        tuned["model.layers.0.steps.weight"] = ("BF16", steps)
        tuned["model.layers.0.steps_down.weight"] = ("BF16", np.zeros_like(steps))
        tuned["model.layers.1.special.weight"] = ("BF16", pairs[:, 1].copy())
        tuned["model.layers.1.one.weight"] = ("BF16", np.array([0x3f81], np.uint16))
        tuned["model.layers.1.random.weight"] = ("BF16", rng.integers(0, 1 << 16, (37, 53)).astype(np.uint16))
        moved = tuned["model.layers.2.matrix.weight"][1]
        moved[rng.random(moved.shape) < 0.2] ^= 1
        lib.write_checkpoint(self.path("base"), base)
        lib.write_checkpoint(self.path("tuned"), tuned)
        self.run_study("study: parity\noutput: %s\ncells:\n  - {family: odd, algorithm: grpo, seed: 0, base: \"%s\", tuned: \"%s\"}\n" % (
            self.path("out"), self.path("base"), self.path("tuned")) + STAGES % ("", ""), np_=3)
        compared, _ = self.compare(self.path("out", "parity.h5"), {"odd/grpo/0": (self.path("base"), self.path("tuned"))})
        self.assertEqual(compared, len(base) * len(TOLERANCES))
        zero = [r for r in lib.table(self.path("out", "parity.h5"), "rank") if r["tensor"].endswith("2.zero.weight")]
        self.assertEqual([r["matrix_rank"] for r in zero], [0])


if __name__ == "__main__":
    lib.main()
