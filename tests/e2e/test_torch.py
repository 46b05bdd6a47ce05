#!/usr/bin/python3
"""Checkpoints as torch itself writes them: the same weights as .bin files and as safetensors give the same archive; h5py reads them
through load's artifact; a pickle that would run code is refused by name and place, and nothing runs; old formats are refused with how
to convert; ZIP64 as written by others is read."""
import collections
import json
import os
import shutil
import zipfile

import h5py
import numpy as np

import sinewlib as lib

try:
    import torch
except ImportError:
    lib.skip("torch is not installed: python3-torch")

FOLDERS = ["base", "ppo/seed-0", "ppo/seed-1"]
CONFIG = """study: torch
output: %s
memory_per_process: 512 MiB
matrix:
  families: [tiny-a]
  algorithms: [ppo]
  seeds: [0, 1]
  base: "%s/base"
  tuned: "%s/{algorithm}/seed-{seed}"
stages:
  load: {%s}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  report: {needs: [mask, rank, overlap]}
"""
VIEWS = {"BF16": (np.int16, torch.bfloat16), "F16": (np.int16, torch.float16), "F32": (np.int32, torch.float32),
         "I64": (np.int64, torch.int64)}


def to_torch(dtype, bits):
    """A tensor of these raw bits; nothing is converted, so NaN keeps its payload."""
    integer, kind = VIEWS[dtype]
    return torch.from_numpy(np.ascontiguousarray(bits).reshape(bits.shape).view(integer).copy()).view(kind)


def raw_bits(tensor):
    """Its raw bits, row-major: what torch says the values are."""
    integers = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}
    tensor = tensor.detach().contiguous()
    return tensor.view(integers.get(tensor.dtype, tensor.dtype)).numpy()


def transposed(t):
    return t.t().contiguous().t() if t.dim() == 2 else t


def sliced(t):
    if t.dim() == 0 or t.numel() == 0:
        return t
    wide = torch.zeros([n + 3 for n in t.shape], dtype=t.dtype)
    part = wide[tuple(slice(1, n + 1) for n in t.shape)]
    part.copy_(t)
    return part


def stepped(t):
    if t.dim() == 0:
        return t
    wide = torch.zeros(list(t.shape[:-1]) + [2 * t.shape[-1]], dtype=t.dtype)
    wide[..., ::2].copy_(t)
    return wide[..., ::2]


def h5py_text(value):
    return value.decode() if isinstance(value, bytes) else value


LAYOUTS = [lambda t: t, transposed, sliced, stepped]


def as_laid_out(tensors, turn):
    """A state dict of the same values, laid out in every way torch knows; tied ones share a storage, repeated ones are expanded."""
    out = collections.OrderedDict()
    for i, (name, (dtype, bits)) in enumerate(tensors.items()):
        if name == "tied.weight":
            out[name] = out["lm_head.weight"]
        elif name == "expanded.weight":
            out[name] = to_torch(dtype, bits[:1]).expand(*bits.shape)
        else:
            out[name] = LAYOUTS[(i + turn) % 4](to_torch(dtype, bits))
    out._metadata = collections.OrderedDict(version=1)
    return out


def write_bin(folder, state, shards=1):
    os.makedirs(folder, exist_ok=True)
    if shards == 1:
        torch.save(state, os.path.join(folder, "pytorch_model.bin"))
        return
    weight_map = {}
    for i in range(shards):
        file = "pytorch_model-%05d-of-%06d.bin" % (i + 1, shards)
        part = collections.OrderedDict(list(state.items())[i::shards])
        torch.save(part, os.path.join(folder, file))
        weight_map.update({name: file for name in part})
    with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 0}, "weight_map": weight_map}, f)


class Torch(lib.Case):
    def make(self):
        rng = np.random.default_rng(5)
        base = lib.awkward_base(rng)
        made = {"base": base}
        for folder in FOLDERS[1:]:
            made[folder] = lib.awkward_tuned(base, rng)
        for tensors in made.values():
            tensors["tied.weight"] = tensors["lm_head.weight"]
            tensors["expanded.weight"] = ("BF16", np.tile(tensors["model.layers.0.self_attn.k_proj.bias"][1], (40, 1)))
        return made

    def study(self, name, load="", np_=2):
        config = self.write(name + ".yaml", CONFIG % (self.path(name), self.path("models"), self.path("models"), load))
        run = self.sinew(["run", config], np=np_)
        self.assertEqual(run.errors(), [])
        return self.path(name)

    def artifact(self, output, format_name, parameters):
        """The load artifact of the base: the one with the base's path."""
        for folder, _, files in os.walk(os.path.join(output, "checkpoints")):
            for file in files:
                path = os.path.join(folder, file)
                if file == "load.h5":
                    with h5py.File(path, "r") as f:
                        if h5py_text(f.attrs["checkpoint"]) == self.path("models", "base"):
                            self.assertEqual(h5py_text(f.attrs["format"]), format_name)
                            self.assertEqual(f.attrs["parameters"], parameters)
                            return path
        self.fail("no artifact of load")

    def check_tensors(self, path, tensors):
        """h5py sees the values torch has, bit for bit. Returns how many are copies."""
        copies = 0
        with h5py.File(path, "r") as f:
            for name, (dtype, bits) in tensors.items():
                d = f["tensors"][name]
                kind = {2: np.uint16, 4: np.uint32, 8: np.uint64}[bits.dtype.itemsize]
                shape = bits.shape or (1,)
                self.assertEqual(d.shape, shape, name)
                if bits.size:
                    self.assertEqual(d.id.get_type().get_size(), bits.dtype.itemsize)
                    found = np.empty(shape, kind)
                    d.id.read(h5py.h5s.ALL, h5py.h5s.ALL, found, d.id.get_type())
                    self.assertTrue((found == bits.view(kind).reshape(shape)).all(), name)
                copies += "copied" in d.attrs
                self.assertEqual("copied" in d.attrs, d.external is None and bits.size > 0, name)
        return copies

    def test_same_archive_as_safetensors(self):
        made = self.make()
        parameters = sum(bits.size for _, bits in made["base"].values())
        for folder, tensors in made.items():
            lib.write_checkpoint(self.path("models", folder), tensors, shards=1 + len(folder) % 2)
        expected = os.path.join(self.study("out-safetensors"), "torch.h5")
        os.rename(self.path("models"), self.path("safetensors"))
        for i, (folder, tensors) in enumerate(made.items()):
            state = as_laid_out(tensors, i)
            for name, (_, bits) in tensors.items():
                self.assertTrue((raw_bits(state[name]).tobytes() == bits.tobytes()), name)
            write_bin(self.path("models", folder), state, shards=1 if folder == "base" else 3)
        for np_ in (1, 3):
            output = self.study("out-np%d" % np_, np_=np_)
            self.assertEqual(lib.compare_archives(expected, os.path.join(output, "torch.h5")), [])
        self.assertGreater(self.check_tensors(self.artifact(output, "torch", parameters), made["base"]), 5)
        output = self.study("out-copy", load="copy: true", np_=2)
        self.assertEqual(lib.compare_archives(expected, os.path.join(output, "torch.h5")), [])
        with h5py.File(self.artifact(output, "torch", parameters), "r") as f:
            for name, (_, bits) in made["base"].items():
                self.assertIsNone(f["tensors"][name].external, name)
        # In a folder with both, safetensors is read.
        for folder in FOLDERS:
            os.rename(self.path("models", folder), self.path("bin-" + folder.replace("/", "-")))
            os.makedirs(self.path("models", folder))
            for file in os.listdir(self.path("safetensors", folder)):
                os.link(self.path("safetensors", folder, file), self.path("models", folder, file))
            with open(self.path("models", folder, "pytorch_model.bin"), "w") as f:
                f.write("not looked at")
        self.artifact(self.study("out-both"), "safetensors", parameters)

    # ---- one file against another ----

    def pair(self, tuned_file, status=0):
        """`check` and `run` of a .bin file against a safetensors base; returns the archive's tables, or the one error."""
        config = self.write("pair.yaml", """study: pair
output: %s
cells:
  - {family: f, algorithm: a, seed: 0, base: "%s", tuned: "%s"}
stages: {load: {}, delta: {needs: [load]}, mask: {needs: [delta]}}
""" % (self.path("pair"), self.path("base.safetensors"), tuned_file))
        shutil.rmtree(self.path("pair"), ignore_errors=True)
        run = lib.run_sinew(4 if status else 0, ["run", config], cwd=self.dir, timeout=30)
        self.assertEqual(run.returncode, status, run.text())
        if status == 0:
            return {name: lib.plain(rows) for name, rows in lib.tables(self.path("pair", "pair.h5")).items()}
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertEqual(lib.processes_with(self.dir), [], "processes left behind")
        self.assertFalse(os.path.exists(self.path("pair", "pair.h5")))
        once = lib.run_sinew(0, ["check", config], cwd=self.dir, timeout=30)
        self.assertEqual(once.returncode, status, once.text())
        return run.errors()[0]

    def base(self):
        bits = lib.bf16_round(np.linspace(-1, 1, 12, dtype=np.float32)).reshape(3, 4)
        lib.write_safetensors(self.path("base.safetensors"), {"w": ("BF16", bits.shape, bits.tobytes())})
        return bits

    def changed(self, tables):
        return tables["cells"][0]["bit_changed"]

    def test_spellings_and_wrappers(self):
        bits = self.base()
        bits[1, 2] += 1
        w = to_torch("BF16", bits)
        states = {"a.bin": {"w": w}, "a.pt": {"state_dict": {"w": w}, "epoch": 3, "lr": 0.1}, "a.pth": {"model": {"w": w}},
                  "p.bin": {"w": torch.nn.Parameter(w)}, "o.bin": collections.OrderedDict(w=w), "t.bin": {"w": transposed(w)}}
        for name, state in states.items():
            with self.subTest(name):
                torch.save(state, self.path(name))
                self.assertEqual(self.changed(self.pair(self.path(name))), 1)

    def test_zip64_and_other_writers(self):
        bits = self.base()
        bits[0, :3] += 1
        torch.save({"w": to_torch("BF16", bits)}, self.path("a.bin"))
        with zipfile.ZipFile(self.path("a.bin")) as z:
            entries = {name: z.read(name) for name in z.namelist()}
        with zipfile.ZipFile(self.path("python.bin"), "w") as z:          # ZIP64 in each entry's own header
            for name, data in entries.items():
                with z.open(zipfile.ZipInfo(name), "w", force_zip64=True) as f:
                    f.write(data)
        self.assertEqual(self.changed(self.pair(self.path("python.bin"))), 3)
        # An entry behind 4 GiB, the file sparse: places that only ZIP64 can say, in directory and end.
        hole = (1 << 32) + 4096
        with open(self.path("far.bin"), "wb") as raw:
            with zipfile.ZipFile(raw, "w", allowZip64=True) as z:
                z.writestr("archive/data.pkl", entries["a/data.pkl"])
                raw.seek(hole)
                z.start_dir = hole
                z.writestr("archive/data/0", entries["a/data/0"])
                z.writestr("archive/version", entries["a/version"])
        self.assertGreater(os.path.getsize(self.path("far.bin")), 1 << 32)
        self.assertEqual(self.changed(self.pair(self.path("far.bin"))), 3)
        with zipfile.ZipFile(self.path("deflated.bin"), "w", zipfile.ZIP_DEFLATED) as z:
            for name, data in entries.items():
                z.writestr(name, data)
        self.assertIn("is compressed (method 8)", self.pair(self.path("deflated.bin"), 3))

    def test_code_is_refused_and_does_not_run(self):
        self.base()
        ran = self.path("ran")

        class Evil:
            def __reduce__(self):
                return os.system, ("touch '%s'" % ran,)

        class Late:
            def __reduce__(self):
                return eval, ("open(%r, 'w')" % ran,)

        for name, value, word in (("system", {"w": Evil()}, "posix.system"), ("eval", {"a": torch.zeros(3), "w": Late()}, "__builtin__.eval")):
            torch.save(value, self.path(name + ".bin"))
            with zipfile.ZipFile(self.path(name + ".bin")) as z:
                text = z.read(name + "/data.pkl")
            message = self.pair(self.path(name + ".bin"), 3)
            self.assertIn("expected a tensor, found an object of %s; nothing of the file was executed" % word, message)
            at = text.index(b"R", text.index(b"c" + word.replace(".", "\n").encode()))
            self.assertIn("byte %d of data.pkl" % at, message)
            self.assertFalse(os.path.exists(ran))
        torch.save({"w": Evil()}, self.path("four.bin"), pickle_protocol=4)
        self.assertIn("expected a tensor, found an object of posix.system", self.pair(self.path("four.bin"), 3))
        self.assertFalse(os.path.exists(ran))
        # The trap works: this is what torch does with it.
        torch.load(self.path("system.bin"))
        self.assertTrue(os.path.exists(ran))

    def test_other_formats_are_refused(self):
        bits = self.base()
        torch.save({"w": to_torch("BF16", bits)}, self.path("old.bin"), _use_new_zipfile_serialization=False)
        message = self.pair(self.path("old.bin"), 3)
        self.assertIn("torch's format before 1.6", message)
        self.assertIn("python3 -c \"import torch; torch.save(torch.load('OLD'", message)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), self.path("script.pt"))
        self.assertIn("TorchScript", self.pair(self.path("script.pt"), 3))
        torch.save([to_torch("BF16", bits)], self.path("list.bin"))
        self.assertIn("expected a map of names to tensors, found a list", self.pair(self.path("list.bin"), 3))
        torch.save({"w": to_torch("BF16", bits)}, self.path("cut.bin"))
        os.truncate(self.path("cut.bin"), os.path.getsize(self.path("cut.bin")) - 40)
        self.assertIn("truncated", self.pair(self.path("cut.bin"), 3))

    def test_hostile_index(self):
        bits = self.base()
        folder = self.path("model")
        write_bin(folder, {})
        torch.save({"w": to_torch("BF16", bits)}, os.path.join(folder, "a.bin"))
        torch.save({"w": to_torch("BF16", bits ^ 1), "v": to_torch("BF16", bits)}, os.path.join(folder, "b.bin"))
        os.remove(os.path.join(folder, "pytorch_model.bin"))
        for weight_map, words in (({"w": "../x.bin"}, "leaves the folder"), ({"w": "/x.bin"}, "absolute path"),
                                  ({"w": "c.bin"}, "missing shard"), ({"w": "a.bin", "v": "a.bin"}, "found in no shard"),
                                  ({"w": "a.bin", "v": "b.bin"}, "found in two that differ in it: a.bin and b.bin"),
                                  ({"w": "x.safetensors"}, "is no .bin file"), ({}, "names no tensor")):
            with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w") as f:
                json.dump({"weight_map": weight_map}, f)
            self.assertIn(words, self.pair(folder, 3))


if __name__ == "__main__":
    lib.main()
