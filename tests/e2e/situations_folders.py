"""Index files and shards in every disorder, config.json as Python writes it, the hub's cache, trainers' maps."""
import argparse
import collections
import datetime
import json
import os

import numpy as np

import sinewlib as lib
from situationlib import (also, bf16, compared, entries, f32, in_order, joined, llama, moved, numbers, one_file, put, refused, rounded,
                          safetensors, step, torch_file, torch_shards)

rng = np.random.default_rng(73)
base, INDEX, TORCH_INDEX = llama(rng), "model.safetensors.index.json", "pytorch_model.bin.index.json"
tuned = step(rng, base)
pairs = joined(base, tuned)
plain = {"base": safetensors(base), "tuned": safetensors(tuned)}
EMBED, NORM, Q0 = "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"


def part(w, k, n):
    """Tensors of shard k of n, counted from 0."""
    names = sorted(w)
    return {x: w[x] for x in names[k::n]}


def shard(k, n, ending=".safetensors", stem="model"):
    return "%s-%05d-of-%05d%s" % (stem, k + 1, n, ending)


def write_shards(parts, ending=".safetensors"):
    """Files by their names: parts is a list of tensors, or name -> tensors."""
    stem = "model" if ending == ".safetensors" else "pytorch_model"
    files = parts if isinstance(parts, dict) else {shard(k, len(parts), ending, stem): p for k, p in enumerate(parts)}
    write = one_file if ending == ".safetensors" else torch_file
    return in_order(*[write(name, tensors) for name, tensors in files.items()], lambda folder: None)


def index(where, ending=".safetensors", **metadata):
    return also({INDEX if ending == ".safetensors" else TORCH_INDEX: {"metadata": metadata, "weight_map": where}})


def places(parts, ending=".safetensors"):
    stem = "model" if ending == ".safetensors" else "pytorch_model"
    return {n: shard(k, len(parts), ending, stem) for k, p in enumerate(parts) for n in p}


def everywhere(what, make, note=None, ending=".safetensors"):
    """The same disorder on the tuned side, on the base's, and on both."""
    odd_base, odd_tuned = make(base), make(tuned)
    notes = (note,) if note else ()
    compared("8 index", what, plain["base"], odd_tuned, pairs, notes=notes)
    compared("8 index", what + ", base", odd_base, plain["tuned"], pairs, notes=notes)
    compared("8 index", what + ", both", odd_base, odd_tuned, pairs, notes=notes)


for ending in (".safetensors", ".bin"):
    def made(make, ending=ending):
        return lambda w: make([part(w, k, 3) for k in range(3)], ending)

    def all_shards(parts, ending):
        return write_shards(parts, ending)

    def omits(parts, ending):
        where = places(parts, ending)
        return in_order(write_shards(parts, ending), index({n: f for n, f in where.items() if n not in (EMBED, Q0)}, ending))

    def moves(parts, ending):
        where = places(parts, ending)
        names = sorted(where)
        return in_order(write_shards(parts, ending), index({n: where[names[i - 1]] for i, n in enumerate(names)}, ending))

    def twice(parts, ending):
        parts = [{**p, NORM: next(q[NORM] for q in parts if NORM in q)} for p in parts]
        return in_order(write_shards(parts, ending), index(places(parts, ending), ending))

    def all_at_once(parts, ending):
        """A tensor in all shards, another that the index omits, a third elsewhere than it says, and a total that is wrong."""
        parts = [{**p, NORM: next(q[NORM] for q in parts if NORM in q)} for p in parts]
        where = places(parts, ending)
        where.pop(Q0)
        where[EMBED] = next(f for f in where.values() if f != where[EMBED])
        return in_order(write_shards(parts, ending), index(where, ending, total_size=-1, note="x"))

    def twice_without(parts, ending):
        return write_shards([{**p, NORM: next(q[NORM] for q in parts if NORM in q)} for p in parts], ending)

    kind = " (%s)" % ending
    everywhere("all shards k-of-n without an index" + kind, made(all_shards), "all 3 shards .* by their names", ending)
    everywhere("shards hold what the index omits" + kind, made(omits), "2 tensors that the index omits are read too", ending)
    everywhere("tensors in other shards than the index says" + kind, made(moves), "lie in another shard than the index says", ending)
    everywhere("one equal tensor in every shard" + kind, made(twice), "with the same bytes", ending)
    everywhere("twice, omitted and elsewhere at once" + kind, made(all_at_once),
               "same bytes.*(omits.*another shard|another shard.*omits)", ending)
    everywhere("no index, and a tensor in every shard" + kind, made(twice_without), "all 3 shards.*same bytes", ending)

thirds = [part(tuned, k, 3) for k in range(3)]
where = places(thirds)


refused("8 index", "one tensor in two shards that differ in it", plain["base"], in_order(
    write_shards([{**p, NORM: tuned[NORM] + (k == 2)} for k, p in enumerate(thirds)]), index(where)), NORM, "in two that differ in it")
refused("8 index", "the same without an index", plain["base"], write_shards([{**p, NORM: tuned[NORM] + (k == 2)} for k, p in enumerate(thirds)]),
        NORM, "in two that differ in it")
refused("8 index", "one tensor in two shards, of two types", plain["base"], in_order(write_shards(
    [{**p, NORM: f32(tuned[NORM]) if k == 2 else tuned[NORM]} for k, p in enumerate(thirds)]), index(where)), NORM, "in two that differ in it")
for ending in (".safetensors", ".bin"):
    w = places(thirds, ending)
    refused("8 index", "an index names a tensor that no shard has (%s)" % ending, plain["base"], in_order(
        write_shards(thirds, ending), index({**w, "model.layers.2.self_attn.q_proj.weight": w[NORM]}, ending)),
            "model.layers.2.self_attn.q_proj.weight", "found in no shard")
    refused("8 index", "an index of another set (%s)" % ending, plain["base"], in_order(
        write_shards(thirds, ending), index(places([part(tuned, k, 2) for k in range(2)], ending), ending)),
            "the index is of another set than the 3 shards that are there", "move it away")
    refused("8 index", "a shard is gone, with an index (%s)" % ending, plain["base"], in_order(
        write_shards({f: p for f, p in zip(sorted(set(w.values())), thirds) if "00002-" not in f}, ending), index(w, ending)),
            "missing shard", "expected 3 shards, found 2")
    refused("8 index", "a shard is gone, without an index (%s)" % ending, plain["base"],
            write_shards({f: p for f, p in zip(sorted(set(w.values())), thirds) if "00002-" not in f}, ending), "1 of 3 shards is missing",
            "00002-of-00003")
halves = [part(tuned, k, 2) for k in range(2)]
refused("8 index", "two whole sets without an index", plain["base"], in_order(write_shards(thirds), write_shards(halves)), "shards of 2 sets")
compared("8 index", "two whole sets, an index of one", plain["base"], in_order(
    write_shards([part(base, k, 2) for k in range(2)]), write_shards(thirds), index(where)), pairs)
compared("8 index", "shards of another set beside an index and its own", plain["base"], in_order(
    write_shards({"model-00001-of-00002.safetensors": base, "model-00002-of-00004.safetensors": base}), write_shards(thirds), index(where)), pairs,
         notes=(r"2 other shards lie there \(first model-00001-of-00002.safetensors\), which the index does not name",))
compared("8 index", "a stray set of shards beside model.safetensors", plain["base"], in_order(
    write_shards([part(base, k, 3) for k in range(3)]), one_file("model.safetensors", tuned)), pairs,
         notes=("model.safetensors was taken, as transformers takes it, not model-00001-of-00003.safetensors",))
compared("8 index", "a stray model.safetensors beside an index", plain["base"], in_order(
    write_shards([part(base, k, 3) for k in range(3)]), index(where), one_file("model.safetensors", tuned)), pairs,
         notes=("model.safetensors was taken, as transformers takes it, not model.safetensors.index.json",))
compared("8 index", "a stray pytorch_model.bin beside its index", plain["base"], in_order(
    write_shards([part(base, k, 3) for k in range(3)], ".bin"), index(places(thirds, ".bin"), ".bin"),
    torch_file("pytorch_model.bin", tuned), lambda folder: None), pairs,
         notes=("pytorch_model.bin was taken, as transformers takes it, not pytorch_model.bin.index.json",))
compared("8 index", "an index that names model.safetensors itself", plain["base"], in_order(
    one_file("model.safetensors", tuned), index({n: "model.safetensors" for n in tuned})), pairs)
compared("8 index", "safetensors beside pytorch_model.bin of other weights", plain["base"], in_order(
    torch_file("pytorch_model.bin", base), one_file("model.safetensors", tuned)), pairs, notes=("pytorch_model.bin",))
compared("8 index", "shards of safetensors beside shards of .bin", plain["base"], in_order(
    torch_shards(base, 3), write_shards(thirds), index(where)), pairs, notes=("pytorch_model.bin.index.json",))
compared("8 index", "shards of names of their own", plain["base"], in_order(
    write_shards({"part-%s.safetensors" % "abc"[k]: p for k, p in enumerate(thirds)}),
    index({n: "part-%s.safetensors" % "abc"[k] for k, p in enumerate(thirds) for n in p})), pairs)
compared("8 index", "shards in a folder below", plain["base"], in_order(
    write_shards({"below/" + shard(k, 3): p for k, p in enumerate(thirds)}), index({n: "below/" + f for n, f in where.items()})), pairs)
compared("8 index", "shards counted from 00000", plain["base"], in_order(
    write_shards({"model-%05d-of-00003.safetensors" % k: p for k, p in enumerate(thirds)}),
    index({n: "model-%05d-of-00003.safetensors" % k for k, p in enumerate(thirds) for n in p})), pairs)
compared("8 index", "an index with bare NaN and Infinity in it", plain["base"], in_order(write_shards(thirds), also(
    {INDEX: '{"metadata": {"total_size": NaN, "x": -Infinity}, "weight_map": %s}' % json.dumps(where)})), pairs)
compared("8 index", "an index with a BOM", plain["base"], in_order(write_shards(thirds), also(
    {INDEX: b"\xef\xbb\xbf" + json.dumps({"weight_map": where}).encode()})), pairs)
head = {"lm_head.weight": where[NORM]}
compared("8 index", "an index names the tied head, which no shard holds", plain["base"], in_order(
    write_shards(thirds), index({**where, **head}), also({"config.json": {"tie_word_embeddings": True}})), pairs, notes=("lm_head.weight",))
refused("8 index", "the same of a model whose head is not tied", plain["base"], in_order(
    write_shards(thirds), index({**where, **head}), also({"config.json": {"tie_word_embeddings": False}})), "lm_head.weight", "found in no shard")
refused("8 index", "model.safetensors is empty beside good shards", plain["base"], in_order(
    write_shards(thirds), index(where), also({"model.safetensors": b""})), "model.safetensors", "too short")
variant = one_file("model.fp16.safetensors", tuned)
compared("8 index", "a variant alone: model.fp16.safetensors", plain["base"], variant, pairs)
compared("8 index", "a variant beside the model, which is taken", plain["base"], in_order(one_file("model.fp16.safetensors", base),
                                                                                         one_file("model.safetensors", tuned)), pairs)
compared("8 index", "a variant beside the model, named", plain["base"], in_order(
    one_file("model.safetensors", base), variant, lambda folder: "model.fp16.safetensors"), pairs)
compared("8 index", "shards of safetensors without an index, and a .bin", plain["base"], in_order(
    write_shards([part(base, k, 3) for k in range(3)]), torch_file("pytorch_model.bin", tuned), lambda folder: None), pairs,
         notes=("pytorch_model.bin was taken, as transformers takes it, not model-00001-of-00003.safetensors",))

# ---- config.json as Python writes it ----

CONFIGS = {"bare NaN and Infinity": b'{"num_hidden_layers": 2, "rope": NaN, "a": [Infinity, -Infinity], "tie_word_embeddings": true}',
           "a BOM": b'\xef\xbb\xbf{"num_hidden_layers": 2}',
           "a BOM, NaN, and CRLF": b'\xef\xbb\xbf{\r\n"num_hidden_layers": 2,\r\n "x": -Infinity, "y": NaN}\r\n',
           "-0 and 30 digits": b'{"num_hidden_layers": 2, "y": -0, "z": 123456789012345678901234567890}',
           "null for the layers": b'{"num_hidden_layers": null}'}
for what, raw in CONFIGS.items():
    for side in ("base", "tuned"):
        sides = dict(plain)
        sides[side] = in_order(plain[side], also({"config.json": raw}))
        compared("8 config", "%s in the %s's config.json" % (what, side), sides["base"], sides["tuned"], pairs)
for what, raw in (("1e400", b'{"x": 1e400}'), ("no JSON", b'{"a": 1,}'), ("a list", b"[]"), ("UTF-16", '{"a": 1}'.encode("utf-16"))):
    refused("8 config", "%s in the base's config.json" % what, in_order(plain["base"], also({"config.json": raw})), plain["tuned"],
            "config.json", "mtp: include")

# ---- the hub's cache ----

REV = "0123456789abcdef0123456789abcdef01234567"


def hub(inside, refs=("main",), named="", leave_out=()):
    """models--ORG--NAME: blobs, a snapshot of links to them, refs."""
    def make(folder):
        root = os.path.join(folder, "models--org--name")
        snapshot, blobs = os.path.join(root, "snapshots", REV), os.path.join(root, "blobs")
        os.makedirs(blobs)
        inside(snapshot)
        for i, name in enumerate(sorted(os.listdir(snapshot))):
            os.rename(os.path.join(snapshot, name), os.path.join(blobs, "%040x" % i))
            os.symlink("../../blobs/%040x" % i, os.path.join(snapshot, name))
            if name in leave_out:
                os.remove(os.path.join(blobs, "%040x" % i))
        put(root, {"refs/" + r: REV for r in refs})
        return os.path.join("models--org--name", named)
    return make


sharded = in_order(write_shards(thirds), index(where), also({"config.json": b'{"num_hidden_layers": 2, "x": NaN}'}))
compared("8 hub", "the cache's folder, shards of links to blobs", plain["base"], hub(sharded), pairs)
compared("8 hub", "a snapshot in it", plain["base"], hub(sharded, named="snapshots/" + REV), pairs)
compared("8 hub", "a file of the snapshot", plain["base"], hub(plain["tuned"], named="snapshots/%s/model.safetensors" % REV), pairs)
compared("8 hub", "one snapshot and no refs", plain["base"], hub(plain["tuned"], refs=()), pairs)
compared("8 hub", "both sides, .bin", hub(torch_file("pytorch_model.bin", base)), hub(torch_shards(tuned, 2)), pairs)
compared("8 hub", "shards without an index in the cache", hub(write_shards([part(base, k, 3) for k in range(3)])), hub(sharded), pairs)
whole_cache = in_order(hub(plain["tuned"]), lambda folder: ".")
refused("8 hub", "the folder that holds the cache's models", plain["base"], whole_cache, "models--org--name")
refused("8 hub", "a blob is gone", plain["base"], hub(sharded, leave_out=(shard(1, 3),)), "00002-of-00003.safetensors")

# ---- trainers' maps ----

more = {"epoch": 3, "optimizer": {"state": {}, "lr": 1e-5}}
maps = {"plain": lambda w: w, "module": lambda w: {"module": w, **more}, "model": lambda w: {**more, "model": w},
        "state_dict": lambda w: {"state_dict": w, **more}, "model_state_dict": lambda w: {"epoch": 1, "model_state_dict": w},
        "state_dict -> model": lambda w: {"state_dict": {"model": w}, "step": 1},
        "model, with its EMA beside": lambda w: {"model": w, "ema": base}, "an OrderedDict": collections.OrderedDict,
        "module, each name in module.": lambda w: {"module": {"module." + n: x for n, x in w.items()}},
        "model, compiled": lambda w: {"model": {"_orig_mod." + n: x for n, x in w.items()}, "step": 7},
        "model, compiled inside": lambda w: {"model": {n.replace(".layers.0.", ".layers.0._orig_mod."): x for n, x in w.items()}},
        "compiled, in module.": lambda w: {"module._orig_mod." + n: x for n, x in w.items()},
        "compiled around module.": lambda w: {"_orig_mod.module." + n: x for n, x in w.items()}}
for what, wrap in maps.items():
    file = "model.pt" if what != "plain" else "step-100.pth"
    compared("8 maps", what, plain["base"], torch_file(file, wrap(tuned)), pairs)
wide = {n: moved(rng, x) for n, x in base.items()}
compared("8 maps", "model in float32, base a map too", torch_file("a.pt", maps["module"](base)),
         torch_file("b.pt", {"model": {n: f32(x) for n, x in wide.items()}}), joined(base, wide))
beside = {"args": argparse.Namespace(lr=1e-5), "loss": np.float64(0.5), "rng": np.random.default_rng(0).bytes(20), "when": datetime.date(2026, 1, 1)}
compared("8 maps", "model, with objects of other classes beside", plain["base"], torch_file("m.pt", {"model": tuned, **beside}), pairs)
compared("8 maps", "DeepSpeed's mp_rank_00_model_states.pt, copied alone", plain["base"], torch_file(
    "mp_rank_00_model_states.pt", {"module": tuned, "buffer_names": [], "ds_version": "0.19.8", "global_steps": 3}), pairs)
refused("8 maps", "two models in one file", plain["base"], torch_file("m.pt", {"model": tuned, "state_dict": base}), "expected one state dict")
refused("8 maps", "an optimiser's states alone", plain["base"], torch_file("o.pt", {"state": {0: {"exp_avg": f32(np.zeros((3, 3)))}}}),
        "o.pt")
refused("8 maps", "EMA weights alone, under their name", plain["base"], torch_file("e.pt", {"ema_state_dict": tuned, "decay": 0.999}), "e.pt")
