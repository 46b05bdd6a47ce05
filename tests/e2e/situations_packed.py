"""Experts and projections that one side holds in one tensor and the other one by one: both orders, all names, two oddities at once."""
import numpy as np

from situationlib import compared, f32, joined, moved, numbers, refused, rounded, safetensors, step, torch_shards
from situations_scales import E4M3, codes, quantization, scales, spread

rng = np.random.default_rng(72)
EXPERTS, INNER, HIDDEN = 3, 6, 8
norm = {"model.norm.weight": numbers(rng, HIDDEN, scale=1)}


def apart(prefix, gate, up, down):
    """One tensor for each expert's projection, in the checkpoint's words."""
    w = {}
    for i in range(EXPERTS):
        for word, shape in ((gate, (INNER, HIDDEN)), (up, (INNER, HIDDEN)), (down, (HIDDEN, INNER))):
            w["%s.%d.%s.weight" % (prefix, i, word)] = numbers(rng, *shape)
    return w


def packed(w, prefix, gate, up, down, to=None):
    """The same in two tensors: gate above up, [E, 2I, H]; and [E, H, I]."""
    part = lambda word: np.stack([w["%s.%d.%s.weight" % (prefix, i, word)] for i in range(EXPERTS)])  # noqa: E731
    to = to or prefix
    return {to + ".gate_up_proj": np.concatenate([part(gate), part(up)], 1), to + ".down_proj": part(down)}


def both(what, one, two, pack, shards=1, base_files=None, tuned_files=None):
    """Per expert against packed, in both orders: the base's tensors are what is counted."""
    base_files, tuned_files = base_files or {}, tuned_files or {}
    in_one, in_two, n, m = pack(one), pack(two), norm, step(rng, norm)
    held = {name: r"packed: " for name in in_one}
    compared("7 packed", what + ": one by one against packed", safetensors({**one, **n}, **base_files),
             safetensors({**in_two, **m}, shards, **tuned_files), {**joined(one, two), **joined(n, m)}, held)
    compared("7 packed", what + ": packed against one by one", safetensors({**in_one, **n}, 1, **base_files),
             safetensors({**two, **m}, 4, **tuned_files), {**joined(in_one, in_two), **joined(n, m)}, held)


QWEN = ("model.layers.0.mlp.experts", "gate_proj", "up_proj", "down_proj")
MIXTRAL = ("model.layers.0.block_sparse_moe.experts", "w1", "w3", "w2")
one = apart(*QWEN)
two = step(rng, one)
both("Qwen3-MoE", one, two, lambda w: packed(w, *QWEN))
both("Qwen3-MoE, sharded so that a layer is cut", one, two, lambda w: packed(w, *QWEN), shards=2)
VISION = ("model.language_model.layers.0.mlp.experts",) + QWEN[1:]
one = apart(*VISION)
both("Qwen3-VL-MoE", one, step(rng, one), lambda w: packed(w, *VISION))
one = apart(*MIXTRAL)
two = step(rng, one)
both("Mixtral, w1 w3 w2", one, two, lambda w: packed(w, *MIXTRAL))
both("Mixtral against transformers 5's mlp", one, two, lambda w: packed(w, *MIXTRAL, to="model.layers.0.mlp.experts"))
words = {n.replace("block_sparse_moe", "mlp").replace("w1", "gate_proj").replace("w2", "down_proj").replace("w3", "up_proj"): x
         for n, x in two.items()}
compared("7 packed", "Mixtral's words against transformers 5's, each expert", safetensors(one), safetensors(words, 3),
         {n: (one[n], words[n.replace("block_sparse_moe", "mlp").replace("w1", "gate_proj").replace("w2", "down_proj")
                           .replace("w3", "up_proj")]) for n in one})
compared("7 packed", "Mixtral, .bin shards against packed safetensors", torch_shards({**one, **norm}, 3),
         safetensors({**packed(two, *MIXTRAL), **norm}), {**joined(one, two), **joined(norm, norm)},
         {n: "packed: " for n in packed(two, *MIXTRAL)})
shared = {"model.layers.0.mlp.shared_experts.%s.weight" % w: numbers(rng, INNER, HIDDEN) for w in ("gate_proj", "up_proj")}
shared["model.layers.0.mlp.gate.weight"] = numbers(rng, EXPERTS, HIDDEN)
one = {**apart(*QWEN), **shared}
two = step(rng, one)
compared("7 packed", "DeepSeek: one by one against packed, shared experts beside", safetensors(one),
         safetensors({**packed(two, *QWEN), **{n: two[n] for n in shared}}), joined(one, two), {n: "packed: " for n in packed(two, *QWEN)})
compared("7 packed", "packed on both sides", safetensors(packed(one, *QWEN)), safetensors(packed(two, *QWEN)),
         joined(packed(one, *QWEN), packed(two, *QWEN)))
wrapped = {"module." + n: x for n, x in packed(two, *QWEN).items()}
wrapped.update({"module." + n: two[n] for n in shared})
compared("7 packed", "packed and wrapped in module.", safetensors(one), safetensors(wrapped), joined(one, two),
         {n: "packed: " for n in packed(two, *QWEN)},
         delta='rename: ["module. ->"]')

# gpt-oss: [E, in, out], gate and up alternating, with biases.
G = "model.layers.0.mlp.experts"


def oss(w):
    gate, up, down = (np.stack([w["%s.%d.%s.weight" % (G, i, word)] for i in range(EXPERTS)]) for word in ("gate_proj", "up_proj", "down_proj"))
    gate_bias, up_bias, down_bias = (np.stack([w["%s.%d.%s.bias" % (G, i, word)] for i in range(EXPERTS)])
                                     for word in ("gate_proj", "up_proj", "down_proj"))
    woven = np.stack([gate, up], 2).reshape(EXPERTS, 2 * INNER, HIDDEN)
    return {G + ".gate_up_proj": np.ascontiguousarray(woven.transpose(0, 2, 1)), G + ".down_proj": np.ascontiguousarray(down.transpose(0, 2, 1)),
            G + ".gate_up_proj_bias": np.stack([gate_bias, up_bias], 2).reshape(EXPERTS, 2 * INNER), G + ".down_proj_bias": down_bias}


one = apart(*QWEN)
for i in range(EXPERTS):
    for word, size in (("gate_proj", INNER), ("up_proj", INNER), ("down_proj", HIDDEN)):
        one["%s.%d.%s.bias" % (G, i, word)] = numbers(rng, size)
both("gpt-oss, turned and interleaved, with biases", one, step(rng, one), oss)

# FP8 per expert against bf16 packed: scales and packing at once.
HI = 32
old, new, coded = {}, {}, {}
for i in range(2):
    for word, rows, cols in (("gate_proj", 16, HI), ("up_proj", 16, HI), ("down_proj", HI, 16)):
        name = "model.layers.0.mlp.experts.%d.%s.weight" % (i, word)
        entry, scale = scales("F32", -(-rows // 16), -(-cols // 16))
        c = codes(rows, cols)
        new[name] = rounded(E4M3[c] * spread(scale, rows, cols, 16, 16))
        coded.update({name: ("F8_E4M3", c), name + "_scale_inv": entry})
        old[name] = rounded(moved(rng, new[name]))
EXPERTS = 2
small = packed(old, *QWEN)
compared("7 packed", "bf16 packed against FP8 one by one", safetensors(small),
         safetensors(coded, 3, config=quantization(weight_block_size=[16, 16])), joined(small, packed(new, *QWEN)),
         {**{n: "packed: " for n in small}, **{n: "^scale of " for n in coded if n.endswith("inv")}})
compared("7 packed", "FP8 one by one against bf16 packed", safetensors(coded, config=quantization(weight_block_size=[16, 16])),
         safetensors(small, 2), joined(new, old),
         {**{n: "packed: " for n in small}, **{n: "^scale of " for n in coded if n.endswith("inv")}})

# Fused projections.
A = "model.layers.0.self_attn."
one = {A + "q_proj.weight": numbers(rng, 12, 8), A + "k_proj.weight": numbers(rng, 4, 8), A + "v_proj.weight": numbers(rng, 4, 8),
       "model.layers.0.mlp.gate_proj.weight": numbers(rng, 10, 8), "model.layers.0.mlp.up_proj.weight": numbers(rng, 10, 8)}
both("Phi-3: qkv_proj and gate_up_proj", one, step(rng, one), lambda w: {
    A + "qkv_proj.weight": np.concatenate([w[A + p + "_proj.weight"] for p in "qkv"]),
    "model.layers.0.mlp.gate_up_proj.weight": np.concatenate([w["model.layers.0.mlp.%s_proj.weight" % p] for p in ("gate", "up")])})

# What does not fit is refused, with what it looks like.
EXPERTS = 3
FAIL = {"delta": "unmatched: fail"}
one = apart(*QWEN)
two = packed(one, *QWEN)
fewer = {n: x for n, x in one.items() if ".experts.2." not in n}
refused("7 packed", "packed of 3 experts against 2 one by one", safetensors({**fewer, **norm}), safetensors({**two, **norm}),
        "of which 2 of 3 are on the other side", **FAIL)
more = {**one, "model.layers.0.mlp.experts.3.down_proj.weight": numbers(rng, HIDDEN, INNER)}
refused("7 packed", "packed of 3 experts against 4 one by one", safetensors({**more, **norm}), safetensors({**two, **norm}),
        "looks like a packing of others", **FAIL)
narrow = {n: np.ascontiguousarray(x[..., :-1]) for n, x in two.items()}
refused("7 packed", "packed, narrower than its parts", safetensors({**one, **norm}), safetensors({**narrow, **norm}),
        "their shapes do not fit it", **FAIL)
mixed = {n: f32(x) if "gate" in n else x for n, x in one.items()}
refused("7 packed", "packed in the base, one by one in two types", safetensors({**two, **norm}), safetensors({**mixed, **norm}),
        "the tuned checkpoint r", "they are of several types", **FAIL)
compared("7 packed", "one by one in two types against packed", safetensors({**mixed, **norm}), safetensors({**two, **norm}),
         {**joined(one, one), **joined(norm, norm)}, {n: "packed: " for n in two})
