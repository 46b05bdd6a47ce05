"""Two oddities at once: what is read alone must be read together."""
import numpy as np

from situationlib import (also, bf16, compared, f32, in_order, joined, moved, numbers, one_file, refused, rounded, safetensors, step,
                          torch_file, torch_shards)
from situations_folders import hub, index, shard, write_shards
from situations_scales import (AFTER, BLOCKS, E2M1, E4M3, I8, QUANTIZERS, W, X, codes, fp8, nibbles, norm, norm_moved, quantization,
                               scales, spread)

rng = np.random.default_rng(75)
SCALE = W + "_scale_inv"
coded, new = fp8(30, 70, "F32", 16, 32)
old = rounded(moved(rng, new))
base = safetensors({W: old, **norm})
pairs = {W: (old, new), **joined(norm, norm_moved)}
left = {SCALE: "^scale of "}
config = {"config.json": b'\xef\xbb\xbf{"x": NaN, "quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 32]}}'}
SECTION = "7 and 8"

# ---- scales in disordered shards ----

parts = [{W: coded[W]}, {SCALE: coded[SCALE], **norm_moved}]
where = {n: shard(k, 2) for k, p in enumerate(parts) for n in p}
compared(SECTION, "FP8's scales in a shard, omitted by the index", base, in_order(
    write_shards(parts), index({n: f for n, f in where.items() if n != SCALE}), also(config)), pairs, left, notes=("the index omits",))
compared(SECTION, "FP8's scales in both shards, equal", base, in_order(
    write_shards([{**parts[0], SCALE: coded[SCALE]}, parts[1]]), index(where), also(config)), pairs, left, notes=("same bytes",))
compared(SECTION, "FP8, shards without an index, block size behind a BOM", base, in_order(write_shards(parts), also(config)), pairs, left)
compared(SECTION, "the same from the hub's cache", base, hub(in_order(write_shards(parts), also(config))), pairs, left)
other = f32(coded[SCALE][1].view(np.float32) * 2)
refused(SECTION, "FP8's scales in both shards, other ones", base, in_order(
    write_shards([{**parts[0], SCALE: other}, parts[1]]), index(where), also(config)), "in two that differ in it")
refused(SECTION, "FP8's scales in a shard that is gone", base, in_order(
    write_shards({shard(0, 2): parts[0]}), index(where), also(config)), "missing shard")
refused(SECTION, "FP8's scales named by the index, in no shard", base, in_order(
    write_shards([{W: coded[W]}, norm_moved]), index(where), also(config)), "weight_scale_inv", "found in no shard")
wrapped = {"module." + n: t for n, t in {**coded, **norm_moved}.items()}
compared(SECTION, "FP8 behind module.", base, safetensors(wrapped, 2, config=quantization(**BLOCKS)), pairs,
         {"module." + SCALE: "^scale of "}, delta='rename: ["module. ->"]')
for kind, cast in (("F32", lambda x: f32(x)), ("F64", lambda x: ("F64", x.astype(np.float64).view(np.uint64))),
                   ("F16", lambda x: ("F16", x.astype(np.float16).view(np.uint16)))):
    near = moved(rng, new)
    near = near.astype(np.float16).astype(np.float32) if kind == "F16" else near
    compared(SECTION, "FP8 against %s" % kind, safetensors({W: cast(near)}), safetensors(coded, config=quantization(**BLOCKS)),
             {W: (near, new)}, left)
    if kind != "F64":
        compared(SECTION, "%s in .bin against FP8" % kind, torch_shards({W: cast(near), **norm}, 2),
                 safetensors({**coded, **norm_moved}, config=quantization(**BLOCKS)), {W: (near, new), **joined(norm, norm_moved)}, left)
scaled = {**coded, W + "_scale": f32(np.float32(1))}
compared(SECTION, "weight_scale_inv and weight_scale beside each other", base, safetensors({**scaled, **norm_moved}, config=quantization(**BLOCKS)),
         pairs, {**left, W + "_scale": "scale"})
compared(SECTION, "a scale whose weight is elsewhere", base, safetensors({W: new, "model.layers.9.q_proj.weight_scale": f32(np.float32(1)),
                                                                         **norm_moved}), pairs, {"model.layers.9.q_proj.weight_scale": "a scale"})
one, decoded = fp8(30, 70, "BF16", 30, 70, "_scale", (1, 1))
compared(SECTION, "the tensor by BF16 [1, 1], row scales on the other side", safetensors(coded, config=quantization(**BLOCKS)),
         safetensors(one), {W: (new, decoded)}, {**left, W + "_scale": "^scale of "})

# ---- experts: three dimensions of FP8, four bits of ModelOpt ----

E, I, H = 2, 16, 32
name = "model.layers.0.mlp.experts."
packed, wide, apart = {}, {}, {}
for word, rows, cols in (("gate_up_proj", 2 * I, H), ("down_proj", H, I)):
    c = codes(E, rows, cols)
    entry, scale = scales("F32", E, rows // 16, cols // 16)
    packed.update({name + word: ("F8_E4M3", c), name + word + "_scale_inv": entry})
    wide[name + word] = rounded(np.stack([E4M3[c[e]] * spread(scale[e], rows, cols, 16, 16) for e in range(E)]))
for e in range(E):
    apart["%s%d.gate_proj.weight" % (name, e)] = wide[name + "gate_up_proj"][e, :I]
    apart["%s%d.up_proj.weight" % (name, e)] = wide[name + "gate_up_proj"][e, I:]
    apart["%s%d.down_proj.weight" % (name, e)] = wide[name + "down_proj"][e]
near = step(rng, apart)
blocks = {"config": quantization(weight_block_size=[16, 16])}
inv = {name + word + "_scale_inv": "^scale of " for word in ("gate_up_proj", "down_proj")}
compared(SECTION, "bf16 one by one against FP8 packed [E, ., .]", safetensors(near), safetensors(packed, 2, **blocks), joined(near, apart),
         {**inv, **{n: "packed: " for n in wide}})
after = step(rng, wide)
compared(SECTION, "FP8 packed [E, ., .] against bf16 packed", safetensors(packed, **blocks), safetensors(after), joined(wide, after), inv)
bytes4, values = nibbles(20, 64)
s, second = codes(20, 4) & 0x7f, np.float32(0.03)
four = rounded(values * np.repeat((E4M3[s] * second).astype(np.float32), 16, 1))
near = rounded(moved(rng, four))
compared("7 scales", "NVFP4 of ModelOpt: weight_scale_2 multiplies", safetensors({W: near}),
         safetensors({W: ("U8", bytes4), W + "_scale": ("F8_E4M3", s), W + "_scale_2": f32(second), X + ".input_scale": f32(second)}),
         {W: (near, four)}, {W + "_scale": "^scale of ", W + "_scale_2": "^scale of ", X + ".input_scale": "scale"})

# ---- quantizers, in every place ----

plain = {W: numbers(rng, 64, 32), **norm}
gptq = {X + end: t for end, t in QUANTIZERS["GPTQ"][1].items()}
names = sorted(gptq)
refused(SECTION, "GPTQ in the hub's cache, shards without an index", safetensors(plain), hub(write_shards([
    {n: gptq[n] for n in names[:2]}, {**{n: gptq[n] for n in names[2:]}, **norm}])), "gptq", *AFTER)
refused(SECTION, "GPTQ behind module.", safetensors(plain), safetensors({"module." + n: t for n, t in {**gptq, **norm}.items()}), "gptq", *AFTER)
refused(SECTION, "GPTQ in a .bin", safetensors(plain), in_order(torch_file("pytorch_model.bin", {**gptq, **norm}), lambda folder: None),
        "gptq", *AFTER)
refused(SECTION, "GPTQ in a trainer's map", safetensors(plain), torch_file("m.pt", {"module": {**gptq, **norm}}), "gptq", *AFTER)
refused(SECTION, "GPTQ against FP8", safetensors({**coded, **norm}, config=quantization(**BLOCKS)), safetensors({**gptq, **norm}), "gptq", *AFTER)
refused(SECTION, "GPTQ beside good weights of the same name", safetensors(plain), safetensors({**plain, **gptq}), "gptq", *AFTER)

# ---- integers against integers of the same kind: their bits ----

for what, ends, config in (("bitsandbytes", (".SCB",), quantization(quant_method="bitsandbytes")),
                           ("compressed-tensors", (".weight_scale",), quantization(quant_method="compressed-tensors"))):
    scale = f32(rng.random(64 if what == "bitsandbytes" else (64, 1)).astype(np.float32))
    one, two = I8(64, 32), I8(64, 32)
    beside = {X + ends[0]: scale}
    sides = safetensors({W: one, **beside, **norm}, config=config), safetensors({W: two, **beside, **norm_moved}, 2, config=config)
    compared("7 int8", "int8 of %s against int8: the bits, said" % what, *sides, joined(norm, norm_moved),
             {W: (64 * 32, "type I8: compared by bits only"), X + ends[0]: "scale of integers"}, aside={W: (one[1], two[1])},
             delta="coverage: any")
    refused("7 int8", "int8 of %s against int8: no headline of what is left" % what, *sides, "0.77 %", delta="coverage: 0.5")
    refused("7 int8", "int8 of %s in the base, bf16 tuned" % what, safetensors({W: one, **beside, **norm}, config=config), safetensors(plain),
            *AFTER)

# ---- names and shards ----

wide = {n: f32(moved(rng, x)) for n, x in plain.items()}
compared(SECTION, "float32 compiled .bin shards without an index, module. in the base", torch_shards({"module." + n: x for n, x in plain.items()}, 2),
         torch_shards({"module." + n: x for n, x in wide.items()}, 2, index=False),
         {"module." + n: (x, wide[n][1].view(np.float32)) for n, x in plain.items()})
compared(SECTION, "a map of float32 against shards of bf16, base in the hub's cache", hub(write_shards([{W: plain[W]}, norm])),
         torch_file("m.pt", {"model_state_dict": wide, "epoch": 1}), {n: (x, wide[n][1].view(np.float32)) for n, x in plain.items()})
buffer = {"module.h.0.attn.bias": ("BOOL", np.ones((1, 1, 4, 4), np.uint8))}
compared(SECTION, "a buffer behind module., renamed", safetensors(plain), safetensors({**{"module." + n: x for n, x in plain.items()}, **buffer}),
         joined(plain, plain), {"module.h.0.attn.bias": "a buffer"}, delta='rename: ["module. ->"]')

# ---- what is stored odd inside ----

c = codes(30, 70)
c[0, :4], c[29, 69] = [127, 255, 127, 0], 255
entry, scale = scales("F8_E8M0", 2, 3)
entry[1][1, 2], scale[1, 2] = 255, np.nan
with np.errstate(invalid="ignore"):
    odd = np.where(c & 127 == 127, np.nan, E4M3[c] * spread(scale, 30, 70, 16, 32)).astype(np.float32)
    odd = rounded(odd)
compared(SECTION, "FP8 with NaN among codes and scales", safetensors({W: old, **norm}),
         safetensors({W: ("F8_E4M3", c), SCALE: entry, **norm_moved}, config=quantization(**BLOCKS)),
         {W: (old, odd), **joined(norm, norm_moved)}, left)
V = W.replace("layers.0", "layers.1")
two, decoded = fp8(30, 70, "F32", 1, 70, "_scale")
mixed_base = {W: coded[W], SCALE: coded[SCALE], V: rounded(moved(rng, decoded))}
compared(SECTION, "FP8 in one layer of the base, in another of the tuned side", safetensors(mixed_base, config=quantization(**BLOCKS)),
         safetensors({W: old, V: two[W], V + "_scale": two[W + "_scale"]}), {W: (new, old), V: (mixed_base[V], decoded)},
         {SCALE: "^scale of ", V + "_scale": "^scale of "})
empty = {"empty.weight": ("F8_E4M3", np.zeros((0, 16), np.uint8)), "empty.weight_scale": f32(np.float32(1))}
compared(SECTION, "an empty tensor of FP8", safetensors({**norm, "empty.weight": numbers(rng, 0, 16)}), safetensors({**norm_moved, **empty}),
         {**joined(norm, norm_moved), "empty.weight": (numbers(rng, 0, 16),) * 2}, {"empty.weight_scale": "^scale of "})

# ---- packings: who lies how, where shapes do not tell; scales and packings on both sides ----

QKV = "model.layers.0.self_attn."
fused, wide = fp8(24, 64, "F32", 24, 64, "_scale", (1,))
q, k, v = wide[:16], wide[16:20], wide[20:]
near = {QKV + "q_proj.weight": rounded(moved(rng, q)), QKV + "k_proj.weight": rounded(moved(rng, k)), QKV + "v_proj.weight": rounded(moved(rng, v))}
compared("7 packed", "q, k, v of bf16 against qkv of FP8", safetensors(near), safetensors(
    {QKV + "qkv_proj.weight": fused[W], QKV + "qkv_proj.weight_scale": fused[W + "_scale"]}),
         {QKV + word + "_proj.weight": (near[QKV + word + "_proj.weight"], x) for word, x in zip("qkv", (q, k, v))},
         {QKV + "qkv_proj.weight": "packed: ", QKV + "qkv_proj.weight_scale": "^scale of "})


def experts(prefix, inner, hidden):
    return {"%s.%d.%s.weight" % (prefix, e, word): numbers(rng, *((inner, hidden) if word != "down_proj" else (hidden, inner)))
            for e in range(3) for word in ("gate_proj", "up_proj", "down_proj")}


def pack(w, prefix, turned):
    part = lambda word: np.stack([w["%s.%d.%s.weight" % (prefix, e, word)] for e in range(3)])  # noqa: E731
    both = {prefix + ".gate_up_proj": np.concatenate([part("gate_proj"), part("up_proj")], 1), prefix + ".down_proj": part("down_proj")}
    return {n: np.ascontiguousarray(x.transpose(0, 2, 1)) if turned else x for n, x in both.items()}


for what, prefix, turned in (("Qwen3-VL-MoE, turned, not interleaved", "model.language_model.layers.0.mlp.experts", True),
                             ("Llama 4's feed_forward, turned", "language_model.model.layers.0.feed_forward.experts", True),
                             ("straight", "model.layers.0.mlp.experts", False)):
    for shape, inner, hidden in (("", 6, 10), (", gate_up square", 8, 16), (", down square", 12, 12)):
        one = experts(prefix, inner, hidden)
        after = step(rng, one)
        held = {n: "packed: " for n in pack(one, prefix, turned)}
        compared("7 packed", what + shape, safetensors(one), safetensors(pack(after, prefix, turned)), joined(one, after), held)
        compared("7 packed", what + shape + ", packed base", safetensors(pack(one, prefix, turned)), safetensors(after),
                 joined(pack(one, prefix, turned), pack(after, prefix, turned)), held)

# ---- a file or a folder that is named oddly ----

compared("8 paths", "spaces, quotes and letters of all kinds", base, in_order(
    lambda folder: safetensors({**coded, **norm_moved}, config=quantization(**BLOCKS))(folder + "/a b's (1) Ωß日本"),
    lambda folder: "a b's (1) Ωß日本"), pairs, left)
compared("8 paths", "a slash at the end", base, in_order(safetensors({**coded, **norm_moved}, config=quantization(**BLOCKS)), lambda folder: "./"),
         pairs, left)
