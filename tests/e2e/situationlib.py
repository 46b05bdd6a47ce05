"""What the table of situations stands on: a row is a pair of inputs made small, and what sinew must say of it. Rows are run by the
study, many cells in one process start; what is compared is held against numpy's figures in both arithmetics, what is refused
against its message, which must be the same whatever `unmatched` says."""
import collections
import json
import os
import re
import struct

import h5py
import numpy as np
import torch

import sinewlib as lib

TOLERANCES = (0, 1e-5, 1e-3)
NODES = {"delta": "bf16", "wide": "f32"}
CONFIG = "study: s\noutput: out-%s\nmemory_per_process: 64 MiB\ncells:\n%sstages:\n  load: {}\n%s"
DELTA = "  %s: {kind: delta, needs: [load], arithmetic: %s, tolerances: %s%s}\n"

# ---- rows ----

Row = collections.namedtuple("Row", "section what base tuned pairs left notes delta words status aside layers")
rows = []


def compared(section, what, base, tuned, pairs, left=None, notes=(), delta="", aside=None, layers=None):
    """A pair that is compared. base, tuned: what makes a side (below). pairs: tensor -> (old, new), arrays of float32 as a reader
    of the format has them. left: tensor -> regex of its reason, or (parameters, regex), all that table skipped has. notes: regexes
    of what is said of its folders. delta: more keys of stage delta. aside: tensor -> (old, new), raw bits, of what is
    compared but counts in no total. layers: (stack, layer) -> its tensors, in all."""
    rows.append(Row(section, what, base, tuned, pairs, left or {}, notes, delta, (), 0, aside or {}, layers))


def refused(section, what, base, tuned, *words, delta="", status=3):
    """A pair that is refused with one message; words: regexes that it matches."""
    rows.append(Row(section, what, base, tuned, None, None, (), delta, words, status, None, None))


# ---- numbers ----

def numbers(rng, *shape, scale=0.02):
    """float32 that bf16 holds."""
    return lib.bf16_float(lib.bf16_round((rng.standard_normal(shape) * scale).astype(np.float32))).reshape(shape)


def moved(rng, x, share=0.4):
    """After a step: some elements moved, by little and by much, and some by too little for bf16."""
    step = (rng.random(x.shape) < share) * rng.standard_normal(x.shape) * 10.0 ** rng.uniform(-7, -2, x.shape)
    return (x + step).astype(np.float32)


def rounded(x):
    """What bf16 holds of it, as float32."""
    return lib.bf16_float(lib.bf16_round(x)).reshape(np.shape(x))


def llama(rng, layers=2, head=False):
    """name -> float32, in small."""
    w = {"model.embed_tokens.weight": numbers(rng, 24, 16), "model.norm.weight": numbers(rng, 16, scale=1)}
    for i in range(layers):
        w["model.layers.%d.self_attn.q_proj.weight" % i] = numbers(rng, 16, 16)
        w["model.layers.%d.mlp.up_proj.weight" % i] = numbers(rng, 20, 16)
    if head:
        w["lm_head.weight"] = numbers(rng, 24, 16)
    return w


def step(rng, w):
    """As bf16 keeps it."""
    return {n: rounded(moved(rng, x)) for n, x in w.items()}


def joined(w, v):
    return {n: (w[n], v[n]) for n in w}


# ---- sides: each is a function of its folder, that returns the path to be named, or None for the folder ----

def bf16(x):
    return "BF16", lib.bf16_round(x).reshape(np.shape(x))


def f32(x):
    return "F32", np.asarray(x, np.float32).view(np.uint32)


def entries(tensors):
    """name -> (dtype, raw bits); a bare array of float32 is written as bf16."""
    return {n: t if isinstance(t, tuple) else bf16(t) for n, t in tensors.items()}


def put(folder, files):
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else json.dumps(data).encode())


def safetensors(tensors, shards=1, named=None, **files):
    """files: name without its ending -> what config.json, say, holds. named: what of the folder is named in the study."""
    def make(folder):
        lib.write_checkpoint(folder, entries(tensors), shards)
        put(folder, {name + ".json": value for name, value in files.items()})
        return named
    return make


def in_order(*makes):
    """Several into one folder; what is named is the last one's."""
    def make(folder):
        return [m(folder) for m in makes][-1]
    return make


def also(files):
    """More files beside."""
    return lambda folder: put(folder, files)


def one_file(name, tensors):
    """A safetensors file of that name."""
    return lambda folder: lib.write_safetensors(os.path.join(folder, name), {
        n: (dtype, bits.shape, bits.tobytes()) for n, (dtype, bits) in entries(tensors).items()})


def as_torch(x):
    """An entry as torch has it."""
    dtype, bits = x if isinstance(x, tuple) else bf16(x)
    if dtype == "BF16":
        return torch.from_numpy(np.ascontiguousarray(bits).view(np.int16).copy()).view(torch.bfloat16)
    kind = {"F32": np.float32, "F64": np.float64, "F16": np.float16}.get(dtype, bits.dtype)
    return torch.from_numpy(np.ascontiguousarray(bits).view(kind).copy())


def torch_file(name, value):
    """torch.save of a map whose arrays are made tensors, at any depth."""
    def convert(v):
        if isinstance(v, dict):
            return type(v)((k, convert(x)) for k, x in v.items())
        return as_torch(v) if isinstance(v, (tuple, np.ndarray)) else v

    def make(folder):
        os.makedirs(folder, exist_ok=True)
        torch.save(convert(value), os.path.join(folder, name))
        return name
    return make


def torch_shards(tensors, shards, index=True):
    """pytorch_model-K-of-N.bin."""
    def make(folder):
        names, where = sorted(tensors), {}
        for i in range(shards):
            file = "pytorch_model-%05d-of-%05d.bin" % (i + 1, shards)
            torch_file(file, {n: tensors[n] for n in names[i::shards]})(folder)
            where.update({n: file for n in names[i::shards]})
        if index:
            put(folder, {"pytorch_model.bin.index.json": {"metadata": {}, "weight_map": where}})
    return make


# ---- running ----

def short(text):
    return re.sub(r"^sinew: (bad input data|bad configuration): ", "", text)


class Table:
    """All rows, run; figures() gives what failed."""

    def __init__(self, folder):
        self.folder, self.got = folder, {}
        self.cells = {}

    def cell(self, i):
        """The paths of a row's two sides, made when they are asked for."""
        if i not in self.cells:
            self.cells[i] = [self.make(i, side) for side in ("base", "tuned")]
        return self.cells[i]

    def make(self, i, side):
        path = os.path.join("r%03d" % i, side)
        named = getattr(rows[i], side)(os.path.join(self.folder, path))
        return os.path.join(path, named) if named else path

    def study(self, name, chosen, delta):
        """A config of these rows, with delta in both arithmetics."""
        cells = "".join("  - {family: f, algorithm: r%03d, seed: 0, base: \"%s\", tuned: \"%s\"}\n" % (
            i, *self.cell(i)) for i in chosen)
        nodes = "".join(DELTA % (node, arithmetic, list(TOLERANCES), ", " + delta if delta else "")
                        for node, arithmetic in NODES.items())
        with open(os.path.join(self.folder, name + ".yaml"), "w") as f:
            f.write(CONFIG % (name, cells, nodes))
        return name + ".yaml"

    def sinew(self, *args):
        return lib.run_sinew(0, list(args), cwd=self.folder, timeout=120)

    @staticmethod
    def about(run, i):
        """The error lines about a row, which both nodes may have said."""
        return sorted({line for line in run.errors() if re.search(r"\br%03d/" % i, line)})

    def run_all(self):
        groups = {}
        for i, row in enumerate(rows):
            groups.setdefault((row.pairs is not None, row.delta), []).append(i)
        for k, ((good, delta), chosen) in enumerate(sorted(groups.items())):
            if good:
                self.run_compared("g%d" % k, chosen, delta)
            else:
                self.run_refused("b%d" % k, chosen, delta)

    def run_refused(self, name, chosen, delta):
        """unmatched says nothing about them, but where the row itself says it."""
        for more in ("", "unmatched: skip") if delta == "" else ("",):
            run = self.sinew("check", self.study(name, chosen, ", ".join(x for x in (delta, more) if x)))
            for i in chosen:
                said = self.about(run, i)
                row, told = rows[i], " / ".join(map(short, said)) or "compared"
                missing = [w for w in row.words if not any(re.search(w, line) for line in said)]
                fault = ("not refused" if not said or run.returncode != row.status else
                         "%d messages" % len(said) if len(said) != 1 else "lacks " + missing[0] if missing else None)
                if fault or i not in self.got:
                    fault = fault and "%s%s: %s" % (fault, " under " + more if more else "", told)
                    if self.got.get(i, (None, None))[1] is None:
                        self.got[i] = (told, fault)

    def fault_of(self, name, row, base, tuned, delta):
        """Why a pair of these paths is not compared as the row says; None: it is."""
        rows.append(row)
        i = len(rows) - 1
        self.cells[i] = [base, tuned]
        self.run_compared(name, [i], delta)
        rows.pop()
        return self.got.pop(i)[1]

    def run_compared(self, name, chosen, delta):
        run = self.sinew("run", self.study(name, chosen, delta))
        if run.returncode != 0:  # those that are refused are told, the rest are run
            checked = self.sinew("check", name + ".yaml")
            for i in chosen:
                refusal = self.about(checked, i)
                if refusal:
                    self.got[i] = (" / ".join(map(short, refusal)), "refused")
            chosen = [i for i in chosen if i not in self.got]
            run = self.sinew("run", self.study(name, chosen, delta)) if chosen else run
        if chosen and run.returncode != 0:
            for i in chosen:
                self.got[i] = (" / ".join(map(short, run.errors())), "its study failed")
        elif chosen:
            archive = os.path.join(self.folder, "out-" + name, "s.h5")
            tables = {n: lib.plain(t) for n, t in lib.tables(archive).items()}
            with h5py.File(archive, "r") as f:
                said = f["provenance/notes"][()].decode().splitlines() if "notes" in f["provenance"] else []
            for i in chosen:
                self.got[i] = self.look(i, {n: [r for r in t if r.get("cell") == "f/r%03d/0" % i] for n, t in tables.items()},
                                        [line for line in said if re.search(r"\br%03d/" % i, line)])

    # ---- one row's figures ----

    def look(self, i, tables, said):
        row = rows[i]
        cell, = tables["cells"]
        told = "%d parameters, %d changed" % (cell["parameters"], cell["bit_changed"])
        faults = list(self.totals(row, cell)) + list(self.tensors(row, tables)) + list(self.left_out(row, tables))
        faults += list(self.layers(row, tables))
        faults += ["no note: " + note for note in row.notes if not any(re.search(note, line) for line in said)]
        return told, "; ".join(faults[:4]) or None

    @staticmethod
    def totals(row, cell):
        want = sum(old.size for old, _ in row.pairs.values())
        if cell["parameters"] != want:
            yield "%d parameters, expected %d" % (cell["parameters"], want)
        want = sum(int((lib.bf16_round(old) != lib.bf16_round(new)).sum()) for old, new in row.pairs.values())
        if cell["bit_changed"] != want:
            yield "%d changed, expected %d" % (cell["bit_changed"], want)

    @staticmethod
    def tensors(row, tables):
        names = {r["tensor"] for r in tables["tensor_sparsity"]}
        if names - set(row.aside) != set(row.pairs):
            yield "tensors %s, missing %s" % (sorted(names - set(row.pairs) - set(row.aside))[:3], sorted(set(row.pairs) - names)[:3])
        for r in tables["tensor_sparsity"]:
            if r["tensor"] in row.pairs:
                arithmetic = NODES[r["node"]]
                old, new = (lib.to_compare(arithmetic, *f32(x)) for x in row.pairs[r["tensor"]])
                want = int(lib.updated(arithmetic, old, new, r["criterion"], r["tolerance"]).sum())
                if r["updated"] != want:
                    yield "%s: %d updated by %s %g in %s, expected %d" % (
                        r["tensor"], r["updated"], r["criterion"], r["tolerance"], arithmetic, want)
        for r in tables["tensors"]:
            if r["tensor"] in row.pairs:
                d = lib.difference("bf16", *(lib.bf16_round(x) for x in row.pairs[r["tensor"]])).astype(np.float64)
                d = d[np.isfinite(d)]
                want = np.sqrt((d * d).sum())
                if abs(r["l2"] - want) > 1e-6 * want:
                    yield "%s: norm %g, expected %g" % (r["tensor"], r["l2"], want)
        found = {r["tensor"]: r["bit_changed"] for r in tables["tensors"] if r["tensor"] not in row.pairs}
        want = {name: int((old != new).sum()) for name, (old, new) in row.aside.items()}
        if found != want:
            yield "aside %s, expected %s" % (found, want)

    @staticmethod
    def layers(row, tables):
        """Which stack each tensor is in, and what is told of each layer of each."""
        if row.layers is None:
            return
        for r in tables["tensors"]:
            want = [place for place, names in row.layers.items() if r["tensor"] in names]
            if (r["stack"], r["layer"]) != (want[0] if want else (r["stack"], -1)):
                yield "%s stands in layer %d of stack \"%s\"" % (r["tensor"], r["layer"], r["stack"])
        want = {}
        for place, names in row.layers.items():
            both = [(lib.bf16_round(x), lib.bf16_round(y)) for x, y in (row.pairs[n] for n in names if n in row.pairs)]
            want[place] = sum(x.size for x, _ in both), sum(int((lib.difference("bf16", x, y) != 0).sum()) for x, y in both)
        found = {(r["stack"], r["layer"]): (r["parameters"], r["updated"]) for r in tables["layers"] if r["node"] == "delta"}
        for place in sorted(set(found) | set(want)):
            if want.get(place) != found.get(place):
                yield "layer %s: %s, expected %s" % (place, found.get(place), want.get(place))

    @staticmethod
    def left_out(row, tables):
        found = {r["tensor"]: r for r in tables["skipped"] if r["node"] == "delta"}
        for name in sorted(set(found) ^ set(row.left)):
            yield "%s is left out: %s" % (name, found[name]["reason"]) if name in found else "%s is not left out" % name
        for name in sorted(set(found) & set(row.left)):
            want = row.left[name] if isinstance(row.left[name], tuple) else (0, row.left[name])
            if found[name]["parameters"] != want[0] or not re.search(want[1], found[name]["reason"]):
                yield "%s is left out with %d parameters: %s" % (name, found[name]["parameters"], found[name]["reason"])

    # ---- the printed table ----

    def print(self):
        print("\n%3s %-9s %-66s %-9s %s" % ("", "section", "situation", "expected", "got"))
        for i, row in enumerate(rows):
            told, fault = self.got.get(i, ("nothing", "not run"))
            print("%3d %-9s %-66s %-9s %s%s" % (i, row.section, row.what[:66], "compared" if row.pairs is not None else "refused",
                                                "FAIL: %s -- " % fault if fault else "", told[:160]))
        good = sum(fault is None for _, fault in self.got.values())
        print("%d of %d situations as expected" % (good, len(rows)), flush=True)
        return [(i, rows[i].what, fault) for i, (_, fault) in sorted(self.got.items()) if fault]


def packed_header(header, data):
    """A safetensors file of a header that is written by hand."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
