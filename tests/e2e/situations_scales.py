"""Weights under scales, and the codes of quantizers that are refused."""
import numpy as np

import sinewlib as lib
from situationlib import bf16, compared, f32, joined, moved, numbers, refused, rounded, safetensors, step

rng = np.random.default_rng(71)
W, NORM = "model.layers.0.mlp.up_proj.weight", "model.norm.weight"
norm = {NORM: numbers(rng, 16, scale=1)}
norm_moved = step(rng, norm)


# ---- codes and scales, by their definitions ----

def e4m3():
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    size = np.where(exponent == 0, mantissa * 2.0 ** -9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    return np.where(code & 128, -size, size).astype(np.float32)


E4M3 = e4m3()
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def codes(*shape):
    """FP8 codes, none of them NaN."""
    return (rng.integers(0, 127, shape) | rng.integers(0, 2, shape) << 7).astype(np.uint8)


def scales(dtype, *shape):
    """(entry, float32)."""
    size = (2.0 ** rng.uniform(-16, -9, shape)).astype(np.float32)
    if dtype == "F32":
        return f32(size), size
    if dtype == "BF16":
        return bf16(size), rounded(size)
    if dtype == "F16":
        return ("F16", lib.half_bits(size).reshape(shape)), size.astype(np.float16).astype(np.float32)
    power = rng.integers(110, 119, shape).astype(np.uint8)  # E8M0, or the same as bytes
    return (dtype, power), (2.0 ** (power.astype(np.float64) - 127)).astype(np.float32)


def spread(scale, rows, cols, down, across):
    return np.repeat(np.repeat(scale, down, 0), across, 1)[:rows, :cols]


def fp8(rows, cols, dtype, down, across, name="_scale_inv", shape=None):
    """(tensors, decoded): codes with one scale for each down x across of them; shape: what the scales' is written as."""
    entry, scale = scales(dtype, -(-rows // down), -(-cols // across))
    c = codes(rows, cols)
    if shape is not None:
        entry = (entry[0], entry[1].reshape(shape))
    return {W: ("F8_E4M3", c), W + name: entry}, rounded(E4M3[c] * spread(scale, rows, cols, down, across))


def quantization(**entries):
    return {"quantization_config": dict(entries)}


def pair(what, tensors, decoded, sides=("tuned",), left=None, shards=1, **files):
    """The codes against bf16 near them, on either side."""
    left = {n: r"^scale of " for n in tensors if n != W} if left is None else left
    near = rounded(moved(rng, decoded))
    for side in sides:
        if side == "tuned":
            compared("7 scales", what, safetensors({W: near, **norm}), safetensors({**tensors, **norm_moved}, shards, **files),
                     {W: (near, decoded), **joined(norm, norm_moved)}, left)
        else:
            compared("7 scales", what + ", base", safetensors({**tensors, **norm}, shards, **files), safetensors({W: near, **norm_moved}),
                     {W: (decoded, near), **joined(norm, norm_moved)}, left)


BLOCKS = {"weight_block_size": [16, 32], "quant_method": "fp8"}
for dtype in ("F32", "BF16", "F16", "F8_E8M0"):
    pair("128x128 by %s, config says nothing" % dtype, *fp8(130, 150, dtype, 128, 128))
    pair("16x32 by %s, weight_block_size, ragged" % dtype, *fp8(30, 70, dtype, 16, 32), sides=("tuned", "base"), shards=3,
         config=quantization(**BLOCKS))
    pair("16x32 weight_scale by %s, block_structure" % dtype, *fp8(30, 70, dtype, 16, 32, "_scale"), config=quantization(
        quant_method="compressed-tensors", config_groups={"group_0": {"weights": {"block_structure": [16, 32]}}}))
    pair("a row by %s [out, 1]" % dtype, *fp8(30, 70, dtype, 1, 70, "_scale"), sides=("tuned", "base"))
    pair("the tensor by %s, a scalar" % dtype, *fp8(30, 70, dtype, 30, 70, "_scale", ()))
    pair("the tensor by %s [1]" % dtype, *fp8(30, 70, dtype, 30, 70, "_scale", (1,)), sides=("tuned", "base"))
pair("a row by F32 [out]", *fp8(30, 70, "F32", 1, 70, "_scale", (30,)))
pair("blocks in text_config", *fp8(30, 70, "F32", 16, 32), config={"text_config": quantization(**BLOCKS)})
pair("blocks in compression_config", *fp8(30, 70, "F32", 16, 32, "_scale"),
     config={"compression_config": {"config_groups": {"g": {"weights": {"block_structure": "16x32"}}}}})
pair("one block only, larger than the tensor", *fp8(30, 70, "F32", 128, 128))
pair("MXFP8: a byte for 32", *fp8(30, 96, "U8", 1, 32, "_scale"), sides=("tuned", "base"), shards=2)
tensors, decoded = fp8(30, 70, "F32", 30, 70, "_scale", (1,))
pair("input_scale beside (static activations)", {**tensors, W.replace("weight", "input_scale"): f32(np.float32([0.5]))}, decoded)
tensors, decoded = fp8(30, 70, "F32", 16, 32)
kv = {"model.layers.0.self_attn.k_proj.k_scale": f32(np.float32([0.5])), "model.layers.0.self_attn.attn.v_scale": f32(np.float32(0.5))}
pair("scales of the key-value cache beside", {**tensors, **kv}, decoded, config=quantization(**BLOCKS),
     left={W + "_scale_inv": "^scale of ", **{n: "a scale, which is no parameter" for n in kv}})
compared("7 scales", "scales of the key-value cache beside bf16, both sides", safetensors({**norm, **kv}), safetensors({**norm_moved, **kv}),
         joined(norm, norm_moved), {n: "a scale, which is no parameter" for n in kv})
wider = {"blocks.0.attn.q_scale": numbers(rng, 4, 1, 8), "model.layers.0.layer_scale": numbers(rng, 16), "logit_scale": numbers(rng, 1)}
after = step(rng, wider)
compared("7 scales", "learned scales of those names are parameters", safetensors(wider), safetensors(after), joined(wider, after))
pair("a kept scale of activations, input_scale_ub", {**tensors, W.replace("weight", "input_scale_ub"): f32(np.float32([1200]))}, decoded,
     config=quantization(**BLOCKS))

one, old = fp8(30, 70, "F32", 16, 32)
two = {W: ("F8_E4M3", np.where(rng.random((30, 70)) < 0.9, one[W][1], codes(30, 70)).astype(np.uint8)), W + "_scale_inv": one[W + "_scale_inv"]}
new = rounded(E4M3[two[W][1]] * spread(one[W + "_scale_inv"][1].view(np.float32), 30, 70, 16, 32))
compared("7 scales", "FP8 on both sides, some codes changed", safetensors(one, config=quantization(**BLOCKS)),
         safetensors(two, 2, config=quantization(**BLOCKS)), {W: (old, new)}, {W + "_scale_inv": "^scale of "})
other, new = fp8(30, 70, "BF16", 1, 70, "_scale")
compared("7 scales", "FP8 by blocks against FP8 by rows", safetensors(one, config=quantization(**BLOCKS)), safetensors(other),
         {W: (old, new)}, {W + "_scale_inv": "^scale of ", W + "_scale": "^scale of "})
near = rounded(moved(rng, old))
compared("7 scales", "widened to bf16, with the scales left in it", safetensors({W: near, **norm}),
         safetensors({W: old, W + "_scale_inv": one[W + "_scale_inv"], **norm_moved}), {W: (near, old), **joined(norm, norm_moved)},
         {W + "_scale_inv": "scale"})

# Four bits.


def nibbles(*shape):
    """(bytes with the low nibble first, values)."""
    c = rng.integers(0, 16, shape).astype(np.uint8)
    return c[..., ::2] | c[..., 1::2] << 4, E2M1[c]


def nvfp4(rows, cols):
    packed, values = nibbles(rows, cols)
    s, over = codes(rows, cols // 16) & 0x7f, np.float32([37.5])
    scale = (E4M3[s] / over[0]).astype(np.float32)
    tensors = {W + "_packed": ("U8", packed), W + "_scale": ("F8_E4M3", s), W + "_global_scale": f32(over)}
    return tensors, rounded(values * np.repeat(scale, 16, 1))


def mxfp4(rows, cols):
    packed, values = nibbles(rows, cols)
    entry, scale = scales("U8", rows, cols // 32)
    return {W + "_packed": ("U8", packed), W + "_scale": entry}, rounded(values * np.repeat(scale, 32, 1))


FORMAT = quantization(quant_method="compressed-tensors", format="nvfp4-pack-quantized")
pair("NVFP4: over the tensor's own scale", *nvfp4(20, 64), sides=("tuned", "base"), shards=2, config=FORMAT,
     left={W + end: "^scale of " for end in ("_scale", "_global_scale")})
pair("MXFP4 of compressed-tensors", *mxfp4(20, 64), sides=("tuned", "base"), left={W + "_scale": "^scale of "})

E = "model.layers.0.mlp.experts."


def gptoss(experts, out, inner):
    """X_blocks, X_scales for a tensor [E, in, out]."""
    packed, values = nibbles(experts, out, inner)
    entry, scale = scales("U8", experts, out, inner // 32)
    wide = rounded(values * np.repeat(scale, 32, 2)).transpose(0, 2, 1)
    return {"_blocks": ("U8", packed.reshape(experts, out, inner // 32, 16)), "_scales": entry}, np.ascontiguousarray(wide)


coded, wide = {}, {}
for word, out, inner in (("gate_up_proj", 24, 64), ("down_proj", 32, 32)):
    parts, wide[E + word] = gptoss(3, out, inner)
    coded.update({E + word + end: t for end, t in parts.items()})
near = step(rng, wide)
left = {n: "^block of " for n in coded if n.endswith("_scales")}
compared("7 MXFP4", "gpt-oss: blocks against bf16 [E, in, out]", safetensors({**near, **norm}), safetensors({**coded, **norm_moved}, 3),
         {**joined(near, wide), **joined(norm, norm_moved)}, left)
compared("7 MXFP4", "gpt-oss: blocks in the base, bf16 tuned", safetensors({**coded, **norm}), safetensors({**near, **norm_moved}),
         {**joined(wide, near), **joined(norm, norm_moved)}, left)

# ---- refused: scales that do not fit ----

tensors, decoded = fp8(30, 70, "F32", 16, 32)
plain = safetensors({W: decoded, **norm})
refused("7 scales", "FP8 without its scales", plain, safetensors({W: tensors[W], **norm}), "its scales .* are not there")
refused("7 scales", "blocks of a size that config does not say", plain, safetensors({**tensors, **norm}), "expected F32 1x1", "128x128")
refused("7 scales", "weight_block_size of another grid", plain,
        safetensors({**tensors, **norm}, config=quantization(weight_block_size=[16, 16])), "expected F32 2x5")
refused("7 scales", "weight_block_size of 0", plain, safetensors({**tensors, **norm}, config=quantization(weight_block_size=[0, 32])),
        "weight_block_size of config.json")
refused("7 scales", "scales of integers", plain, safetensors({W: tensors[W], W + "_scale_inv": ("I32", np.ones((2, 3), np.int32)), **norm},
                                                             config=quantization(**BLOCKS)), "its scales .* are I32")
nv, decoded = nvfp4(20, 64)
over = dict(nv, **{W + "_global_scale": f32(np.float32([1, 2]))})
refused("7 scales", "NVFP4 with two scales of the whole", safetensors({W: decoded}), safetensors(over), "expected one number")
del nv[W + "_global_scale"]
refused("7 scales", "NVFP4 without the scale of the whole", safetensors({W: decoded}), safetensors(nv), "global_scale")

# ---- refused: quantizers ----

plain = {W: numbers(rng, 64, 32), **norm}
X = W[:-len(".weight")]
I32, U8, I8 = (lambda *s, kind=kind, name=name: (name, rng.integers(0, 100, s).astype(kind)) for kind, name in (
    (np.int32, "I32"), (np.uint8, "U8"), (np.int8, "I8")))
F16 = lambda *s: ("F16", lib.half_bits(rng.random(s).astype(np.float32)).reshape(s))  # noqa: E731
QUANTIZERS = {
    "GPTQ": ("gptq", {".qweight": I32(8, 32), ".qzeros": I32(1, 4), ".scales": F16(1, 32), ".g_idx": I32(64)}, "gptq"),
    "AWQ": ("awq", {".qweight": I32(32, 8), ".qzeros": I32(1, 8), ".scales": F16(1, 64)}, "awq"),
    "bitsandbytes int8": ("bitsandbytes", {".weight": I8(64, 32), ".SCB": f32(rng.random(64).astype(np.float32)),
                                           ".weight_format": ("U8", np.uint8(0))}, "bitsandbytes"),
    "bitsandbytes nf4": ("bitsandbytes", {".weight": U8(1024, 1), ".weight.absmax": U8(32), ".weight.quant_map": f32(np.zeros(16)),
                                          ".weight.nested_absmax": f32(np.zeros(1)), ".weight.quant_state.bitsandbytes__nf4": U8(80)}, "nf4"),
    "bitsandbytes fp4": ("bitsandbytes", {".weight": U8(1024, 1), ".weight.absmax": f32(np.zeros(32)), ".weight.quant_map": f32(np.zeros(16)),
                                          ".weight.quant_state.bitsandbytes__fp4": U8(80)}, "fp4"),
    "compressed-tensors int4": ("compressed-tensors", {".weight_packed": I32(64, 4), ".weight_scale": bf16(np.ones((64, 1), np.float32)),
                                                       ".weight_shape": ("I64", np.array([64, 32]))}, "compressed-tensors"),
    "compressed-tensors int4, zero points": ("compressed-tensors", {
        ".weight_packed": I32(64, 4), ".weight_scale": bf16(np.ones((64, 1), np.float32)), ".weight_zero_point": I32(8, 1),
        ".weight_g_idx": I32(32), ".weight_shape": ("I64", np.array([64, 32]))}, "compressed-tensors"),
    "compressed-tensors int8": ("compressed-tensors", {".weight": I8(64, 32), ".weight_scale": bf16(np.ones((64, 1), np.float32))},
                                "compressed-tensors|int8"),
    "mlx": ("", {".weight": ("U32", rng.integers(0, 9, (64, 4)).astype(np.uint32)), ".scales": F16(64, 1), ".biases": F16(64, 1)}, "mlx"),
    "hqq": ("hqq", {".W_q": U8(32, 32), ".meta": U8(7)}, "hqq"),
    "eetq": ("eetq", {".weight": I8(64, 32), ".weight_scales": F16(64)}, "eetq"),
    "torchao": ("torchao", {"._weight_qdata": I8(64, 32), "._weight_scale": f32(np.ones(64))}, "torchao"),
    "quanto": ("quanto", {".weight._data": I8(64, 32), ".weight._scale": f32(np.ones((64, 1)))}, "quanto"),
    "aqlm": ("aqlm", {".codes": I8(8, 4, 2), ".codebooks": F16(2, 256, 1, 8), ".scales": F16(8, 1, 1, 1)}, "aqlm"),
    "exl2": ("exl2", {".q_weight": I32(8, 32), ".q_scale": I32(2, 4), ".q_groups": ("I16", np.zeros(8, np.int16))}, "exl2"),
}
AFTER = ("quantized after training", "measures the quantizer")
for what, (method, parts, said) in QUANTIZERS.items():
    coded = {**{X + end: t for end, t in parts.items()}, **norm}
    config = {"config": quantization(quant_method=method)} if method else {}
    refused("7 quantizer", what, safetensors(plain), safetensors(coded, 2, **config), "the tuned checkpoint", said, *AFTER)
    refused("7 quantizer", what + ", base, config gone", safetensors(coded), safetensors(plain), "the base checkpoint", *AFTER)
    if ".weight" not in parts or parts[".weight"][0] != "I8":
        refused("7 quantizer", what + ", both sides", safetensors(coded, **config), safetensors(coded, **config), *AFTER)
refused("7 quantizer", "by config.json alone: a matrix of integers", safetensors(plain),
        safetensors({W: I8(64, 32), **norm}, config=quantization(quant_method="newbits")), "newbits", *AFTER)
refused("7 quantizer", "int8 in one layer, bf16 in the others", safetensors({**plain, W.replace("0", "1"): plain[W]}),
        safetensors({**plain, W.replace("0", "1"): I8(64, 32), W.replace("0", "1") + "_scale": f32(np.ones((64, 1)))}), *AFTER)
refused("7 quantizer", "int8 against the int8 of another quantizer", safetensors(
    {W: I8(64, 32), W + "_scale": f32(np.ones((64, 1))), **norm}), safetensors({W: I8(64, 32), X + ".SCB": f32(np.ones(64)), **norm}), *AFTER)
widened = step(rng, plain)
compared("7 quantizer", "widened again, config.json still says gptq", safetensors(plain),
         safetensors(widened, config=quantization(quant_method="gptq", bits=4)), joined(plain, widened))
