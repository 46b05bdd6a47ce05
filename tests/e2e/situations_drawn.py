"""Pairs drawn at random from all that a side can be: how its numbers are kept, how its experts are packed, in what file or shards, with what
beside them. SINEW_DRAWN: how many; SINEW_SEED: of the draw."""
import os

import numpy as np

import sinewlib as lib
from situationlib import also, bf16, compared, f32, in_order, numbers, one_file, rounded, safetensors, step, torch_file, torch_shards
from situations_folders import hub, index, shard, write_shards
from situations_scales import E2M1, E4M3, codes, nibbles, scales, spread

COUNT, SEED = int(os.environ.get("SINEW_DRAWN", "24")), int(os.environ.get("SINEW_SEED", "1"))
H, I, EXPERTS = 64, 32, 2
PREFIX = "model.layers.1.mlp.experts"
PLAIN = {"F32": f32, "BF16": bf16, "F16": lambda x: ("F16", x.astype(np.float16).view(np.uint16)),
         "F64": lambda x: ("F64", x.astype(np.float64).view(np.uint64))}


# ---- how numbers are kept: each gives tensors, and what they are read as ----

def kept_plain(rng, name, x):
    kind = "BF16" if PREFIX in name else rng.choice(sorted(PLAIN))  # experts are of one type
    x = {"BF16": rounded, "F16": lambda y: y.astype(np.float16).astype(np.float32)}.get(kind, lambda y: y)(x)
    return {name: PLAIN[kind](x)}, x


def by_scales(name, x, down, across, kind, end):
    """x gives the shape alone; the numbers are of the codes."""
    c = codes(*x.shape)
    entry, scale = scales(kind, *(x.shape[:-2] + (-(-x.shape[-2] // down), -(-x.shape[-1] // across))))
    one = lambda c, s: E4M3[c] * spread(s, *c.shape, down, across)  # noqa: E731
    value = one(c, scale) if x.ndim == 2 else np.stack([one(a, b) for a, b in zip(c, scale)])
    return {name: ("F8_E4M3", c), name + end: entry}, rounded(value)


def kept_blocks(rng, name, x):
    return by_scales(name, x, 16, 32, rng.choice(["F32", "BF16", "F16", "F8_E8M0"]), rng.choice(["_scale_inv", "_scale"]))


def kept_rows(rng, name, x):
    return by_scales(name, x, 1, x.shape[-1], rng.choice(["F32", "BF16", "F16"]), "_scale")


def kept_whole(rng, name, x):
    tensors, value = by_scales(name, x, x.shape[-2], x.shape[-1], rng.choice(["F32", "BF16"]), "_scale")
    kind, entry = tensors[name + "_scale"]
    tensors[name + "_scale"] = kind, entry.reshape([(), (1,), (1, 1)][rng.integers(3)])
    return tensors, value


def kept_mxfp8(rng, name, x):
    return by_scales(name, x, 1, 32, "U8", "_scale")


def kept_four(rng, name, x):
    packed, values = nibbles(*x.shape)
    if rng.random() < 0.5:
        entry, scale = scales("U8", x.shape[0], x.shape[1] // 32)
        return {name + "_packed": ("U8", packed), name + "_scale": entry}, rounded(values * np.repeat(scale, 32, 1))
    s, over = codes(x.shape[0], x.shape[1] // 16) & 0x7f, np.float32([rng.uniform(20, 60)])
    scale = (E4M3[s] / over[0]).astype(np.float32)
    return ({name + "_packed": ("U8", packed), name + "_scale": ("F8_E4M3", s), name + "_global_scale": f32(over)},
            rounded(values * np.repeat(scale, 16, 1)))


SCHEMES = {"plain": (kept_plain, {}), "blocks": (kept_blocks, {"weight_block_size": [16, 32], "quant_method": "fp8"}), "rows": (kept_rows, {}),
           "whole": (kept_whole, {}), "mxfp8": (kept_mxfp8, {}), "four": (kept_four, {})}


# ---- where they lie ----

def stored(rng, tensors, where, config):
    """A side's maker, and what is said of it."""
    names = [n for n in sorted(tensors)]
    rng.shuffle(names)
    parts = [{n: tensors[n] for n in names[k::3]} for k in range(3)]
    places = {n: shard(k, 3) for k, p in enumerate(parts) for n in p}
    beside = [also({"config.json": config})] if config else []
    if where == "torch":
        return in_order(torch_file("pytorch_model.bin", tensors), *beside, lambda folder: None)
    if where == "torch shards":
        return in_order(torch_shards(tensors, 3, index=rng.random() < 0.5), *beside)
    if where == "map":
        wrap = str(rng.choice(["", "module.", "_orig_mod."]))
        return torch_file("m.pt", {"epoch": 1, str(rng.choice(["module", "model", "state_dict", "model_state_dict"])): {
            wrap + n: t for n, t in tensors.items()}})
    if where in ("twice", "omitted", "moved"):
        if where == "twice":
            parts[0].update({n: tensors[n] for n in list(parts[1])[:2]})
        if where == "omitted":
            places = {n: f for n, f in places.items() if n not in [list(p)[-1] for p in parts if len(p) > 1]}
        if where == "moved":
            places = dict(zip(places, np.roll(list(places.values()), 1).tolist()))
        return in_order(write_shards(parts), index(places), *beside)
    if where == "no index":
        return in_order(write_shards(parts), *beside)
    if where == "hub":
        return hub(in_order(write_shards(parts), index(places), *beside))
    if where == "stray":
        return in_order(torch_shards({n: t for n, t in tensors.items() if t[0] in PLAIN}, 2), one_file("model.safetensors", tensors), *beside)
    return in_order(safetensors(tensors, rng.integers(1, 4)), *beside)


WHERE = ("one", "no index", "twice", "omitted", "moved", "hub", "stray", "torch", "torch shards", "map")


# ---- a side ----

def weights(rng):
    w = {"model.embed_tokens.weight": numbers(rng, 24, H), "model.norm.weight": numbers(rng, H, scale=1)}
    for i in range(2):
        w["model.layers.%d.self_attn.q_proj.weight" % i] = numbers(rng, H, H)
    for e in range(EXPERTS):
        for word, shape in (("gate_proj", (I, H)), ("up_proj", (I, H)), ("down_proj", (H, I))):
            w["%s.%d.%s.weight" % (PREFIX, e, word)] = numbers(rng, *shape)
    return w


def packed(w):
    part = lambda word: np.stack([w["%s.%d.%s.weight" % (PREFIX, e, word)] for e in range(EXPERTS)])  # noqa: E731
    out = {n: x for n, x in w.items() if not n.startswith(PREFIX)}
    out[PREFIX + ".gate_up_proj"], out[PREFIX + ".down_proj"] = np.concatenate([part("gate_proj"), part("up_proj")], 1), part("down_proj")
    return out


def unpacked(w):
    out = {n: x for n, x in w.items() if not n.startswith(PREFIX)}
    for e in range(EXPERTS):
        both = w[PREFIX + ".gate_up_proj"][e]
        out["%s.%d.gate_proj.weight" % (PREFIX, e)], out["%s.%d.up_proj.weight" % (PREFIX, e)] = both[:I], both[I:]
        out["%s.%d.down_proj.weight" % (PREFIX, e)] = w[PREFIX + ".down_proj"][e]
    return out


class Side:
    def __init__(self, rng, w):
        self.where, self.pack = str(rng.choice(WHERE)), rng.random() < 0.4
        torch = self.where in ("torch", "torch shards", "map")
        self.scheme = "plain" if torch else str(rng.choice(sorted(SCHEMES)))
        keep, quantization = SCHEMES[self.scheme]
        w = packed(w) if self.pack else w
        tensors, self.value, self.left = {}, {}, {}
        for name, x in w.items():
            quantized = self.scheme != "plain" and x.ndim >= 2 and "embed" not in name and rng.random() < 0.7
            quantized = quantized and (x.ndim == 2 or self.scheme == "blocks")
            more, self.value[name] = (keep if quantized else kept_plain)(rng, name, x)
            tensors.update(more)
            self.left.update({n: "^scale of " for n in more if n.endswith(("_scale", "_scale_inv", "_global_scale"))})
        for n, t, why in (("model.rotary_emb.inv_freq", f32(np.float32([1, .5])), "a buffer"),
                          ("model.layers.0.self_attn.k_proj.k_scale", f32(np.float32([.5])), "a scale")):
            if rng.random() < 0.3:
                tensors[n], self.left[n] = t, why
        config = {"quantization_config": quantization} if quantization else {} if rng.random() < 0.5 else None
        self.make = stored(rng, tensors, self.where, config)

    def __str__(self):
        return "%s %s%s" % (self.where, self.scheme, " packed" if self.pack else "")


for k in range(COUNT):
    draw = np.random.default_rng([SEED, k])
    old = weights(draw)
    base, tuned = Side(draw, old), Side(draw, step(draw, old))
    value = tuned.value if base.pack == tuned.pack else packed(tuned.value) if base.pack else unpacked(tuned.value)
    left = {**base.left, **tuned.left}
    if base.pack != tuned.pack:
        left.update({PREFIX + end: "packed: " for end in (".gate_up_proj", ".down_proj")})
    compared("drawn", "%s; %s" % (base, tuned), base.make, tuned.make, {n: (x, value[n]) for n, x in base.value.items()}, left)
