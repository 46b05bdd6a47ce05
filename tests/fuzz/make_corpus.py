#!/usr/bin/python3
"""Writes the seeds of the fuzz targets, tests/fuzz/corpus/NAME/seed-*: small files in order and in disorder, and where torch is
installed genuine ones. What fuzzing found (other names) is left alone."""
import glob
import io
import json
import os
import pickletools
import re
import struct
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import dcplib  # noqa: E402
import fsdplib  # noqa: E402
from seedlib import (HERE, archive, byte, entry, listed, mapped, npy, numbers, pickled, safetensors, seed, storage, text,  # noqa: E402
                     two_parts, view)

# ---- safetensors, indexes, config.json ----

def make_safetensors():
    two = {"__metadata__": {"format": "pt"}, "model.layers.0.self_attn.q_proj.weight": entry("BF16", [2, 3], 0, 12),
           "lm_head.weight": entry("F32", [2], 12, 20)}
    seed("safetensors", "two", safetensors(two, bytes(20)))
    seed("safetensors", "unpadded", safetensors(two, bytes(20), pad=False))
    seed("safetensors", "empty", safetensors({}))
    seed("safetensors", "scalar", safetensors({"x": entry("F64", [], 0, 8)}, bytes(8)))
    seed("safetensors", "zero", safetensors({"x": entry("F16", [0, 4], 0, 0)}))
    seed("safetensors", "small-types", safetensors({"a": entry("F4", [4], 0, 2), "b": entry("F8_E4M3", [3], 2, 5),
                                                    "c": entry("BOOL", [1], 5, 6)}, bytes(6)))
    seed("safetensors", "hole", safetensors({"x": entry("U8", [1], 1, 2)}, bytes(2)))
    seed("safetensors", "overlap", safetensors({"x": entry("U8", [2], 0, 2), "y": entry("U8", [2], 1, 3)}, bytes(3)))
    seed("safetensors", "huge-shape", safetensors({"x": entry("F32", [1 << 62, 4], 0, 4)}, bytes(4)))
    seed("safetensors", "huge-number", safetensors(b'{"x":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}'))
    seed("safetensors", "twice", safetensors(b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                                             b'"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'))
    seed("safetensors", "deep", safetensors(b"[" * 3000))
    seed("safetensors", "lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n")
    seed("safetensors", "length", struct.pack("<Q", (1 << 64) - 1) + b"{}")


# ---- distributed checkpoints ----

def dcp(change=lambda w: None, boxes=(((0, 0), (2, 3)), ((2, 0), (2, 3)))):
    """A matrix of 4 x 3 in chunks and a scalar, beside an optimiser; change: what is done to the writer before its metadata is written."""
    with tempfile.TemporaryDirectory() as folder:
        w = dcplib.Writer(folder)
        name = w.tensor(("model", "layers.0.w"), "F32", (4, 3))
        for offsets, sizes in boxes:
            w.chunk(name, "__0_0.distcp", "F32", offsets, sizes, bytes(4 * sizes[0] * sizes[1]))
        w.chunk(w.tensor(("model", "s"), "BF16", ()), "__0_0.distcp", "BF16", (), (), bytes(2))
        w.value(("optimizer", "lr"))
        change(w)
        w.close()
        with open(os.path.join(folder, ".metadata"), "rb") as f, open(os.path.join(folder, "__0_0.distcp"), "rb") as g:
            return two_parts(f.read(), g.read())


def make_dcp():
    def place(**values):
        return lambda w: w.places[0][1].__dict__.update(values)
    seed("dcp", "rows", dcp())
    seed("dcp", "boxes", dcp(boxes=(((0, 0), (2, 2)), ((0, 2), (4, 1)), ((2, 0), (2, 2)))))
    seed("dcp", "gap", dcp(boxes=(((0, 0), (2, 3)),)))
    seed("dcp", "overlap", dcp(boxes=(((0, 0), (3, 3)), ((2, 0), (2, 3)))))
    seed("dcp", "empty", dcp(boxes=(((0, 0), (4, 3)), ((4, 0), (0, 3)))))
    seed("dcp", "parent", dcp(place(relative_path="../x")))
    seed("dcp", "beyond", dcp(place(offset=1 << 62)))
    seed("dcp", "negative", dcp(place(length=-1)))
    seed("dcp", "transformed", dcp(place(transform_descriptors=["stream.zstd"])))
    seed("dcp", "no-paths", dcp(lambda w: w.paths.clear()))
    seed("dcp", "two-models", dcp(lambda w: w.paths.update({"model.s": ("a", "model", "s"), "model.layers.0.w": ("b", "model", "w")})))
    seed("dcp", "huge", dcp(lambda w: w.entries["model.layers.0.w"].__dict__.update(size=dcplib.Size((1 << 40, 1 << 40)))))
    seed("dcp", "foreign", two_parts(b"\x80\x04cposix\nsystem\n\x8c\x04true\x85R.", b""))


def make_sharded():
    def shard(name, shape, offsets, end, info=None):
        text = info if info is not None else json.dumps({name: {"saved_offsets": offsets}})
        return safetensors({"__metadata__": {"format": "pt", "DCP_SHARDING_INFO": text}, name: entry("F32", shape, 0, end)}, bytes(end))
    first = shard("w", [1, 3], [0, 0], 12)
    seed("sharded", "rows", two_parts(first, shard("w", [2, 3], [1, 0], 24)))
    seed("sharded", "columns", two_parts(first, shard("w", [1, 2], [0, 3], 8)))
    seed("sharded", "gap", two_parts(first, shard("w", [1, 3], [2, 0], 12)))
    seed("sharded", "overlap", two_parts(first, shard("w", [1, 3], [0, 1], 12)))
    seed("sharded", "other-axes", two_parts(first, shard("w", [3], [1], 12)))
    seed("sharded", "huge", two_parts(first, shard("w", [1, 3], [(1 << 63) - 1, 0], 12)))
    seed("sharded", "negative", two_parts(first, shard("w", [1, 3], [-1, 0], 12)))
    seed("sharded", "no-info", two_parts(first, safetensors({"v": entry("F32", [2], 0, 8)}, bytes(8))))
    seed("sharded", "no-json", two_parts(first, shard("w", [1, 3], None, 12, info="{")))
    seed("sharded", "a-list", two_parts(first, shard("w", [1, 3], None, 12, info="[0]")))


class Array:
    """What fsdplib asks of a numpy array, which the seeds do without."""
    dtype = "float32"

    def __init__(self, *shape):
        self.shape, self.size = shape, 1
        for n in shape:
            self.size *= n

    def __getitem__(self, cut):
        cut = cut if isinstance(cut, tuple) else (cut,)
        kept = [range(n)[c] for n, c in zip(self.shape, cut)]
        return Array(*[len(k) for k in kept] + list(self.shape[len(cut):]))

    def copy(self, order):
        return self

    def tobytes(self):
        return bytes(4 * self.size)


def shards(mesh, placements, shape=(4, 4), who=(0, 1), **wrong):
    """The pickles of two ranks' files, as the target takes them; storages are the target's own: 64 bytes under 0."""
    out = []
    for me in who:
        part, value = fsdplib.dtensor(Array(*shape), "0", me, mesh, placements, **wrong)
        value = value.replace(b"J" + struct.pack("<i", part.size) + b"tQ", b"K\x10tQ")
        out.append(b"\x80\2}" + fsdplib.text("w") + value + b"s.")
    return out


def make_fsdp():
    def both(name, first, second=b"", model=0, two=1):
        seed("fsdp", name, bytes([two | model]) + struct.pack("<H", len(first)) + first + second)

    both("one", shards((1,), (0,), who=(0,))[0], two=0)
    both("rows", *shards((2,), (0,)))
    both("rows-model", *shards((2,), (0,)), model=2)
    both("columns", *shards((2,), (1,), shape=(2, 5)))
    both("copies", *shards((2,), (None,)))
    both("two-axes", *shards((1, 2), (1, 0), shape=(3, 4)))
    both("same-rank", shards((2,), (0,), who=(0,))[0])
    both("shape", shards((2,), (0,))[0], shards((2,), (0,), shape=(6, 2))[1])
    both("strided", *shards((2,), (0,), placement=fsdplib.made("a", "_StridedShard", dim=b"K\0")))
    both("no-dim", *shards((2,), (0,), placement=fsdplib.made("a", "Shard")))
    both("far-dim", *shards((2,), (0,), placement=fsdplib.made("a", "Shard", dim=b"J\xff\xff\xff\x7f")))
    both("foreign-ranks", *shards((2,), (0,), place=fsdplib.numbers((7,))))
    both("no-ranks", *shards((2,), (0,), ranks=b"N"))
    both("plain", b"\x80\2}" + fsdplib.text("w") + fsdplib.tensor(Array(4, 4), "0") + b"s.")


def first_tensor(data):
    """Of the data.pkl of a rank's file as a trainer wrote it the first tensor alone, made small: of 211 x 48 elements 3 x 4."""
    small = {211: 3, 106: 2, 105: 1, 48: 4, 211 * 48: 16, 106 * 48: 16, 105 * 48: 16}  # storages are the target's
    out, names = b"", 0
    ops = list(pickletools.genops(data))
    for (op, value, at), (_, _, end) in zip(ops, ops[1:]):
        names += op.name == "BINUNICODE" and value.endswith(".weight")
        if names == 2:
            break
        out += b"K" + bytes([small[value]]) if op.name.startswith("BININT") and value in small else data[at:end]
    return out.replace(text("1"), text("2")) + b"u."  # the mesh of two ranks


def make_genuine_fsdp():
    """Where checkpoints of trainers stand beside the tree: what torch 2.4 to 2.15 call the classes, and how they nest."""
    trainers = os.path.join(HERE, "..", "..", "..", "..", "shared", "trainers")
    if not os.path.isdir(trainers):
        print("no trainers' checkpoints beside the tree: the seeds made of them are left as they are", file=sys.stderr)
        return
    for name in ("plain-fsdp1-shardedtensor-w2", "verl-fsdp1-w2-run", "verl-fsdp1-w1-tied", "verl-fsdp2-w1", "verl-fsdp2-w2-tied-hf",
                 "verl03-torch24-fsdp1-w2", "verl03-torch24-hsdp2x2-tied", "verl03-torch25-fsdp1-w2"):
        parts = {}
        for path in glob.glob(os.path.join(trainers, name, "trainer", "**", "model_world_size_*_rank_[01].pt"), recursive=True):
            with zipfile.ZipFile(path) as z:
                parts[path[-4]] = first_tensor(z.read([x for x in z.namelist() if x.endswith("/data.pkl")][0]))
        first, second = parts["0"], parts.get("1", b"")
        seed("fsdp", "genuine-" + name, bytes([len(second) > 0]) + struct.pack("<H", len(first)) + first + second)


def make_index():
    both = {"metadata": {"total_size": 16}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    text = json.dumps(both)
    torch = text.replace(".safetensors", ".bin")
    seed("index", "both", text)
    seed("index", "torch", torch)
    seed("index", "one", json.dumps({"weight_map": {"a": "1.safetensors"}}))
    seed("index", "own-shard", text.encode() + b"\0" + safetensors({"a": entry("F16", [1], 0, 2)}, bytes(2)))
    seed("index", "in-two", text.encode() + b"\0" + safetensors({"b": entry("F16", [1], 0, 2)}, bytes(2)))
    seed("index", "own-archive", torch.encode() + b"\0" + archive(pickled([("a", view("0", "Float", (4, 2), (2, 1)))])))
    seed("index", "missing", text.replace("2.", "3."))
    seed("index", "parent", text.replace("2.", "../2."))
    seed("index", "below", text.replace("2.", "./2."))
    seed("index", "absolute", text.replace("2.", "/2."))
    seed("index", "no-text", text.replace('"2.safetensors"', "2"))
    seed("index", "no-map", '{"weight_map": []}')
    seed("index", "control", text.replace("b\"", "\\u0007\""))


def adapter_of(parts):
    """{name: shape} of float32 as a safetensors file with small numbers."""
    header, data = {}, b""
    for name, shape in parts.items():
        n = 1
        for x in shape:
            n *= x
        more = struct.pack("<%df" % n, *((i % 5 - 2) / 64 for i in range(n)))
        header["base_model.model.model." + name] = entry("F32", shape, len(data), len(data) + len(more))
        data += more
    return b"\0" + safetensors(header, data)


def make_lora():
    plain = b'{"peft_type": "LORA", "r": 2, "lora_alpha": 4}'
    q = {"layers.0.q_proj.lora_A.weight": [2, 4], "layers.0.q_proj.lora_B.weight": [3, 2]}
    experts = {"layers.0.mlp.experts.base_layer.lora_A.weight": [4, 4], "layers.0.mlp.experts.base_layer.lora_B.weight": [2, 4],
               "layers.0.mlp.experts.lora_A.weight": [4, 1], "layers.0.mlp.experts.lora_B.weight": [4, 4]}
    named = b'{"r": 2, "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}'
    single = {"layers.1.mlp.experts.lora_A.weight": [2, 4], "layers.1.mlp.experts.lora_B.weight": [2, 2]}
    embedding = {"embed_tokens.lora_embedding_A": [2, 5], "embed_tokens.lora_embedding_B": [4, 2],
                 "embed_tokens.lora_magnitude_vector": [4]}
    seed("lora", "plain", plain + adapter_of(q))
    seed("lora", "dora", b'{"r": 2, "use_dora": true}' + adapter_of(dict(q, **{"layers.0.q_proj.lora_magnitude_vector": [3]})))
    seed("lora", "embedding", plain + adapter_of(embedding))
    seed("lora", "bias", plain + adapter_of(dict(q, **{"layers.0.q_proj.lora_B.bias": [3]})))
    seed("lora", "experts", named + adapter_of(experts))
    seed("lora", "expert-by-expert", b'{"r": 2, "target_parameters": ["experts.gate_up_proj"]}' + adapter_of(single))
    seed("lora", "saved", plain + adapter_of(dict(q, **{"layers.0.q_proj.base_layer.bias": [3], "norm.weight": [2]})))
    seed("lora", "tokens", b'{"r": 2, "trainable_token_indices": [4, 0, 2]}' +
         adapter_of({"embed_tokens.token_adapter.trainable_tokens_delta": [3, 4]}))
    seed("lora", "patterns", b'{"rank_pattern": {"(q|v)_proj": 2, "layers\\\\.[0-9]+": 3}, "alpha_pattern": {".*_proj$": 5}}' +
         adapter_of(q))
    seed("lora", "unequal", plain + adapter_of({"layers.0.q_proj.lora_A.weight": [2, 4], "layers.0.q_proj.lora_B.weight": [3, 3]}))
    seed("lora", "no-b", plain + adapter_of({"layers.0.q_proj.lora_A.weight": [2, 4]}))
    seed("lora", "pissa", b'{"init_lora_weights": "pissa"}' + adapter_of(q))
    seed("lora", "no-weights", plain)


def make_scaled():
    def both(name, config, tensors):
        header, data = {}, b""
        for tensor, (dtype, shape, size) in tensors.items():
            header[tensor] = entry(dtype, shape, len(data), len(data) + size)
            data += bytes((37 * i + 56) & 255 for i in range(size))
        seed("scaled", name, json.dumps(config).encode() + b"\0" + safetensors(header, data))

    def groups(**weights):
        return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": {
            "targets": ["Linear"], "format": "pack-quantized", "weights": weights}}}}

    fp8, w = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [2, 4]}}, "layers.0.up_proj.weight"
    both("fp8-blocks", fp8, {w: ("F8_E4M3", [3, 6], 18), w + "_scale_inv": ("F32", [2, 2], 16)})
    both("fp8-e8m0", fp8, {w: ("F8_E4M3", [3, 6], 18), w + "_scale_inv": ("F8_E8M0", [2, 2], 4)})
    both("fp8-tensor", groups(num_bits=8, type="float", strategy="tensor"), {w: ("F8_E4M3", [3, 6], 18), w + "_scale": ("BF16", [1], 2)})
    both("fp8-rows", groups(num_bits=8, type="float", strategy="channel"), {w: ("F8_E5M2", [3, 6], 18), w + "_scale": ("F16", [3, 1], 6)})
    both("fp8-grid", groups(num_bits=8, type="float", strategy="block", block_structure=[2, 4]),
         {w: ("F8_E4M3", [3, 6], 18), w + "_scale": ("BF16", [2, 2], 8)})
    both("fp8-without", fp8, {w: ("F8_E4M3", [3, 6], 18)})
    both("mxfp8", groups(num_bits=8, type="float", strategy="group", group_size=32), {w: ("F8_E4M3", [1, 64], 64), w + "_scale": ("U8", [1, 2], 2)})
    both("nvfp4", groups(num_bits=4, type="float", strategy="tensor_group", group_size=16),
         {w + "_packed": ("U8", [2, 16], 32), w + "_scale": ("F8_E4M3", [2, 2], 4), w + "_global_scale": ("F32", [1], 4)})
    both("mxfp4", groups(num_bits=4, type="float", strategy="group", group_size=32), {w + "_packed": ("U8", [2, 16], 32), w + "_scale": ("U8", [2, 1], 2)})
    both("gpt-oss", {"quantization_config": {"quant_method": "mxfp4"}},
         {"experts.down_proj_blocks": ("U8", [2, 3, 1, 16], 96), "experts.down_proj_scales": ("U8", [2, 3, 1], 6)})
    both("gptq", {"quantization_config": {"quant_method": "gptq", "bits": 4}},
         {"a.qweight": ("I32", [1, 2], 8), "a.qzeros": ("I32", [1, 1], 4), "a.scales": ("F16", [1, 2], 4), "a.g_idx": ("I32", [8], 32)})
    both("bitsandbytes", {}, {"a.weight": ("U8", [8, 1], 8), "a.weight.absmax": ("F32", [1], 4), "a.weight.quant_state.bitsandbytes__nf4": ("U8", [3], 3)})
    both("int8", groups(num_bits=8, type="int", strategy="channel"), {w: ("I8", [2, 2], 4), w + "_scale": ("BF16", [2, 1], 4)})
    adapted = {"m.q.base_layer.weight": ("F32", [3, 4], 48), "m.q.lora_A.default.weight": ("F32", [2, 4], 32),
               "m.q.lora_B.default.weight": ("F32", [3, 2], 24), "n.weight": ("F32", [3], 12)}
    both("unmerged", {}, adapted)
    both("unmerged-dora", {}, dict(adapted, **{"m.q.lora_magnitude_vector.default.weight": ("F32", [3], 12)}))
    both("unmerged-saved", {"tie_word_embeddings": True},
         dict(adapted, **{"lm_head.original_module.weight": ("F32", [2, 4], 32), "lm_head.modules_to_save.default.weight": ("F32", [2, 4], 32),
                          "model.embed_tokens.weight": ("F32", [2, 4], 32)}))
    both("unmerged-two", {}, dict(adapted, **{"m.q.lora_A.other.weight": ("F32", [2, 4], 32), "m.q.lora_B.other.weight": ("F32", [3, 2], 24)}))
    both("awq", {"quantization_config": {"quant_method": "awq"}}, {"a.qweight": ("I32", [2, 1], 8), "a.qzeros": ("I32", [1, 1], 4), "a.scales": ("F16", [1, 8], 16)})
    both("int4", groups(num_bits=4, type="int", strategy="group", group_size=2),
         {w + "_packed": ("I32", [2, 1], 8), w + "_scale": ("BF16", [2, 1], 4), w + "_shape": ("I64", [2], 16)})
    both("no-method", {"quantization_config": {"quant_method": "hqq"}}, {w: ("U8", [2, 2], 4)})
    seed("scaled", "huge-blocks", json.dumps({"quantization_config": {"weight_block_size": [10 ** 18, 0]}}).encode() + b"\0"
         + safetensors({w: entry("F8_E4M3", [3, 6], 0, 18), w + "_scale_inv": entry("F32", [1, 1], 18, 22)}, bytes(22)))


def make_model():
    seed("model", "llama", json.dumps({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2,
                                       "tie_word_embeddings": False, "rope_theta": 1e4}))
    seed("model", "parts", json.dumps({"text_config": {"num_hidden_layers": 2, "tie_word_embeddings": True}}))
    seed("model", "huge", '{"num_hidden_layers": 1e400, "tie_word_embeddings": "yes"}')
    seed("model", "negative", '{"num_hidden_layers": -1}')
    seed("model", "list", "[]")


# ---- pickles and archives ----

def wide_archive():
    """One entry, every size and place in the records of ZIP64 alone."""
    name, data, ones = b"a/x", b"0123456789", 0xffffffff
    local = b"PK\3\4" + struct.pack("<HHHIIIIHH", 45, 0, 0, 0, 0, ones, ones, len(name), 20) + name \
        + struct.pack("<HHQQ", 1, 16, len(data), len(data)) + data
    directory = b"PK\1\2" + struct.pack("<HHHHIIIIHHHHHII", 45, 45, 0, 0, 0, 0, ones, ones, len(name), 28, 0, 0, 0, 0, ones) + name \
        + struct.pack("<HHQQQ", 1, 24, len(data), len(data), 0)
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(directory), len(local))
    locator = b"PK\6\7" + struct.pack("<IQI", 0, len(local) + len(directory), 1)
    return local + directory + end64 + locator + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xffff, 0xffff, ones, ones, 0)


def streamed_archive():
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.all = b""

        def writable(self):
            return True

        def write(self, b):
            self.all += bytes(b)
            return len(b)

    out = Pipe()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(zipfile.ZipInfo("a/x"), b"0123456789")
        z.writestr(zipfile.ZipInfo("a/y"), b"")
    return out.all


def make_zip():
    seed("zip", "three", archive(b"}."))
    seed("zip", "compressed", archive(b"}." * 20, method=zipfile.ZIP_DEFLATED))
    seed("zip", "wide", wide_archive())
    seed("zip", "streamed", streamed_archive())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.comment = b"a comment"
    seed("zip", "empty", out.getvalue())
    whole = archive(b"}.")
    seed("zip", "cut", whole[:-1])
    seed("zip", "twice", whole.replace(b"a/data/1", b"a/data/0"))


def state_dicts():
    plain = view("0", "Float", (4, 4), (4, 1))
    yield "plain", pickled([("a.weight", plain), ("b", view("1", "BFloat16", (5,), (1,), elements=5))])
    yield "transposed", pickled([("a", view("0", "Float", (4, 4), (1, 4)))])
    yield "sliced", pickled([("a", view("0", "Float", (2, 2), (4, 1), offset=5))])
    yield "expanded", pickled([("a", view("0", "Float", (3, 4), (0, 1)))])
    yield "outside", pickled([("a", view("0", "Float", (4, 5), (5, 1)))])
    yield "rows-overlap", pickled([("a", view("0", "Float", (4, 4), (3, 1)))])
    yield "no-elements", pickled([("a", view("0", "Float", (0, 4), (4, 1)))])
    yield "tied", pickled([("a", view("0", "Float", (4, 4), (4, 1))[:-1] + b"Rq\1"), ("b", b"h\1")])
    yield "nested", b"\x80\x02}(" + text("epoch") + b"K\5" + text("state_dict") + pickled([("a", plain)])[2:-1] + b"u."
    yield "optimizer", b"\x80\x02}(" + text("model") + b"}" + text("optimizer") + b"(K\1K\2l" + b"u."
    yield "parameter", pickled([("a", b"ctorch._utils\n_rebuild_parameter\n(" + plain + b"\x88ccollections\nOrderedDict\n)RtR")])
    yield "typed", pickled([("a", b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n"
                             b"ctorch.nn.parameter\nParameter\n" + plain[plain.index(b"("):-1] + b"}tR")])
    yield "fp8", pickled([("a", b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage("1", "Untyped", 10) + b"K\0" + numbers((10,))
                           + numbers((1,)) + b"\x89ccollections\nOrderedDict\n)Rctorch\nfloat8_e4m3fn\ntR")])
    yield "size", pickled([("a", plain.replace(numbers((4, 4)), b"ctorch\nSize\n" + numbers((4, 4)) + b"\x85R"))])
    yield "metadata", pickled([("a", plain)])[:-1] + b"}" + text("_metadata") + b"}sb."
    yield "runs-code", b"\x80\x02cposix\nsystem\n" + text("true") + b"\x85R."
    yield "self", b"\x80\x02}q\0" + text("a") + b"h\0s."


def make_torch():
    for name, pickle in state_dicts():
        seed("pickle", name, pickle)
        seed("statedict", name, pickle)
    seed("pickle", "values", b"\x80\x02(NK\1M\2\1J\3\0\0\x80\x8a\2\xff\xff\x88\x89G\x3f\xf0\0\0\0\0\0\0U\1x](K\1K\2e]K\1a}K\1K\2st\x85"
         b"r\1\0\0\0.")
    seed("pickle", "slot", b"\x80\x02}r\xff\xff\xff\x7f.")
    seed("pickle", "marks", b"\x80\x02" + b"(" * 4200)
    seed("pickle", "huge-text", b"\x80\x02X\xff\xff\xff\xff")
    for name in ("plain", "transposed", "nested"):
        seed("torchfile", name, archive(dict(state_dicts())[name]))
    plain = dict(state_dicts())["plain"]
    seed("torchfile", "byteorder", archive(plain, more=[("byteorder", b"little"), ("version", b"3\n")]))
    seed("torchfile", "big-endian", archive(plain, more=[("byteorder", b"big")]))
    seed("torchfile", "script", archive(plain, more=[("constants.pkl", b"\x80\x02).")]))
    seed("torchfile", "other-zip", archive(plain, top="a/b"))
    seed("torchfile", "legacy", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    seed("torchfile", "tar", bytes(257) + b"ustar\x0000" + bytes(247))
    try:
        import torch
    except ImportError:
        print("torch is not installed: its own files are left as they are", file=sys.stderr)
        return
    w = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    out = io.BytesIO()
    torch.save({"w": w.bfloat16(), "t": w.t(), "s": w[:, 1:]}, out)
    seed("torchfile", "genuine", out.getvalue())
    data = zipfile.ZipFile(out).read("archive/data.pkl")
    seed("pickle", "genuine", data)
    out = io.BytesIO()
    torch.save(torch.nn.Linear(4, 4, bias=False).state_dict(), out)
    data = zipfile.ZipFile(out).read("archive/data.pkl")
    seed("pickle", "genuine-linear", data)
    seed("statedict", "genuine-linear", data)


# ---- DeepSpeed ----

def zero_model(stage, shapes=((4, 2), (3,)), **more):
    """Parameters a and b, a name that shares a, a frozen one, a buffer; of stage 3 without elements in the module."""
    size = [b"ctorch\nSize\n" + numbers(x) + b"\x85R" for x in shapes]
    empty = view("1", "BFloat16", (0,), (1,), elements=5)
    whole = [view("0", "Float", x, (2, 1) if len(x) == 2 else (1,)) for x in shapes]
    a, b = [empty, empty] if stage == 3 else whole
    frozen = view("0", "Float", (2,), (1,), offset=14)
    pairs = {"module": mapped([("a", a), ("b", b), ("t", a), ("f", empty if stage == 3 else frozen), ("m", view("0", "Float", (1,), (1,)))]),
             "buffer_names": listed([text("m")]), "param_shapes": listed([mapped([("a", size[0]), ("b", size[1])])]),
             "frozen_param_shapes": mapped([("f", numbers((2,)))] if stage > 1 else []),
             "frozen_param_fragments": mapped([("f", frozen)] if stage > 1 else []), "shared_params": mapped([("t", text("a"))]),
             "dp_world_size": byte(1), "global_steps": byte(3), "ds_autoep_layers": b"N",
             "lr_scheduler": b"cother\nScheduler\n)\x81}" + text("last") + byte(3) + b"sb"}
    pairs.update(more)
    return b"\x80\x02" + mapped(pairs.items()) + b"."


def zero_optim(stage, elements=11, **more):
    flat = view("0", "Float", (elements,), (1,))
    if stage == 3:
        flat = (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n"
                + flat[flat.index(b"("):-1] + mapped([("ds_id", byte(0))]) + b"tR")
    pairs = {"zero_stage": b"cdeepspeed.runtime.zero.config\nZeroStageEnum\n" + byte(stage) + b"\x85R",
             "partition_count": byte(1) if stage == 3 else listed([byte(1)]), "group_paddings": listed([byte(0)]),
             "base_optimizer_state": mapped([("state", b"}" + byte(0) + mapped([("step", view("0", "Float", (), ()))]) + b"s")]),
             "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups": listed([flat]), "ds_version": text("0.19.8")}
    pairs.update(more)
    return b"\x80\x02" + mapped([("optimizer_state_dict", mapped(pairs.items()))]) + b"."


def make_zero():
    def both(name, stage, model, optim, weights=0):
        seed("zero", name, bytes([(stage == 3) | weights]) + struct.pack("<H", len(model)) + model + optim)

    for stage in (1, 2, 3):
        both("stage-%d" % stage, stage, zero_model(stage), zero_optim(stage))
        both("stage-%d-model" % stage, stage, zero_model(stage), zero_optim(stage), weights=2)
    whole = view("0", "Float", (3, 2), (2, 1))
    for stage in (1, 3):
        shapes = ((3, 2), (3, 2)) if stage == 1 else ((2, 3), (6,))
        master = b"\x80\x02" + (mapped([("cat_dim", byte(0)), ("param", whole)]) if stage == 1 else view("0", "Float", (6,), (1,))) + b"."
        both("universal-%d" % stage, stage, zero_model(stage, shapes), master, weights=4)
    both("universal-shape", 1, zero_model(1), b"\x80\x02" + mapped([("param", whole)]) + b".", weights=4)
    both("universal-none", 1, zero_model(1), b"\x80\x02}.", weights=4)
    both("padded", 2, zero_model(2), zero_optim(2, 15, param_alignment_paddings=listed([listed([byte(3), byte(1)])])))
    both("paddings-of-others", 2, zero_model(2), zero_optim(2, 15, param_alignment_paddings=listed([listed([byte(3)])])))
    both("too-short", 1, zero_model(1), zero_optim(1, 9))
    both("too-long", 3, zero_model(3), zero_optim(3, 13))
    both("huge-shape", 3, zero_model(3, param_shapes=listed([mapped([("a", numbers((255,) * 8)), ("b", numbers((3,)))])])), zero_optim(3))
    both("overflow", 3, zero_model(3, param_shapes=listed([mapped([("a", b"(" + b"\x8a\x08" + b"\xff" * 7 + b"\x7f" + byte(4) + b"t")])])),
         zero_optim(3))
    both("no-groups", 1, zero_model(1, param_shapes=listed([])), zero_optim(1, single_partition_of_fp32_groups=listed([])))
    both("ranks", 1, zero_model(1), zero_optim(1, partition_count=listed([byte(4)])))
    both("neither", 1, zero_model(1), b"\x80\x02" + mapped([("optimizer_state_dict", b"}")]) + b".")
    both("code", 3, zero_model(3), zero_optim(3, fp32_flat_groups=listed([b"cposix\nsystem\n" + text("true") + b"\x85R"])))
    both("pipeline", 1, zero_model(1, module=b"N"), zero_optim(1))
    both("self", 1, b"\x80\x02}q\0" + text("module") + b"h\0s" + text("param_shapes") + b"h\0s.", zero_optim(1))


# ---- logits ----

def make_npy():
    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    seed("npy", "two", npy(good, bytes(24)))
    seed("npy", "version-2", npy(good, bytes(24), 2))
    seed("npy", "version-3", npy(good, bytes(24), 3))
    seed("npy", "half", npy(good.replace("<f4", "<f2").replace("(2, 3)", "(3L,)"), bytes(6)))
    seed("npy", "double", npy(good.replace("<f4", "<f8").replace("(2, 3)", "()"), bytes(8)))
    seed("npy", "fortran", npy(good.replace("False", "True"), bytes(24)))
    seed("npy", "object", npy(good.replace("<f4", "|O"), b"cos\nsystem\n"))
    seed("npy", "overflow", npy(good.replace("(2, 3)", "(4611686018427387904, 4)"), bytes(24)))
    seed("npy", "digits", npy(good.replace("(2, 3)", "(" + "9" * 60 + ",)"), bytes(24)))
    seed("npy", "cut", npy(good, bytes(23)))
    seed("npy", "long", npy(good, version=2)[:8] + b"\xff\xff\xff\xff" + good.encode())


def llama(context, vocabulary, chunks, rows):
    ids = max(context, 0) * max(chunks, 0)
    return b"_logits_" + struct.pack("<Iii", context, vocabulary, chunks) + bytes(4 * ids) + rows


def make_llama():
    row = struct.pack("<ff4H", 1e-4, -6.0, 0, 1, 2, 65535)
    seed("llama", "two", llama(6, 4, 1, row * 2))
    seed("llama", "odd", llama(6, 3, 1, row * 2))
    seed("llama", "cut-range", llama(6, 4, 1, struct.pack("<ff4H", 16 / 65535, -16.5, 0, 1, 2, 65535) * 2))
    seed("llama", "nan", llama(6, 4, 1, struct.pack("<ff4H", float("nan"), 0, 0, 1, 2, 3) * 2))
    seed("llama", "chunks", llama(4, 4, 2, row * 2))
    seed("llama", "short", llama(6, 4, 1, row))
    seed("llama", "huge", b"_logits_" + struct.pack("<Iii", 0x7fffffff, 0x7fffffff, 0x7fffffff))
    seed("llama", "negative", b"_logits_" + struct.pack("<Iii", 512, -1, 1))


# ---- configs ----

STUDY = """study: demo
output: results/demo
memory_per_process: 2 GiB
matrix:
  families: [tiny-llama, tiny-qwen]
  algorithms: [ppo, grpo]
  seeds: [0, 1]
  base: "${FUZZ_UNSET:-models}/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
  exclude: [{family: tiny-qwen, seed: 1}]
stages:
  load: {}
  delta: {needs: [load], arithmetic: bf16, tolerances: [0, 1e-8, 1e-5]}
  mask: {needs: [delta], criterion: absolute, tolerance: 1e-5}
  mask-loose: {kind: mask, needs: [delta], tolerance: 1e-4}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  report: {needs: [mask, rank, overlap]}
"""

CELLS = """study: s
output: o
cells:
  - {family: f, algorithm: dpo, seed: 0, base: "a", tuned: 'b', published: {sparsity: 0.814}}
  - {family: f, algorithm: dpo, seed: 0, data: prime, step: 500, base: a, tuned: c, logits: {base: x, tuned: y}}
stages:
  load: {copy: true}
  token-entropy: {needs: [load]}
"""


def without_comments(name):
    """A config of the tree, small enough for a seed."""
    lines = open(os.path.join(HERE, "..", "..", "..", "configs", name)).read().split("\n")
    bare = [re.sub(r"(^|\s+)#.*$", "", line).rstrip() for line in lines]
    return "\n".join(x for x in bare if x) + "\n"


def make_config():
    seed("config", "reference", without_comments("reference.yaml"))
    seed("config", "demo", without_comments("demo.yaml"))
    seed("config", "matrix", STUDY)
    seed("config", "cells", CELLS)
    seed("config", "axes", STUDY.replace("  base:", "  data: [a, b]\n  steps: [1, 2]\n  base:"))
    seed("config", "choices", STUDY.replace("  exclude:", "  weights: masters\n  adapter: merged\n  merge: safe\n  exclude:"))
    seed("config", "cycle", STUDY.replace("load: {}", "load: {needs: [report]}"))
    seed("config", "typo", STUDY.replace("tolerance:", "tolerence:").replace("arithmetic", "arithmetik"))
    seed("config", "twice", STUDY + "study: again\n")
    seed("config", "aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    seed("config", "deep", "[" * 200)
    seed("config", "tag", "study: !!python/object:os.system x\n")
    seed("config", "control", b"study: \"\\0\\a\xc2\x85\"\n")
    seed("config", "no-utf8", b"study: \xff\n")
    seed("config", "block", "study: >-\n  a\n  b\n? output\n: |\n  o\n---\nx\n")


def make_packing():
    """Headers of two models: each kind of codes, and each packing against another."""
    def header(tensors):
        at, out = 0, {}
        bits = {"BF16": 16, "F32": 32, "I32": 32, "F4": 4}
        for name, (dtype, shape) in tensors.items():
            n = bits.get(dtype, 8)
            for d in shape:
                n *= d
            out[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n // 8]}
            at += n // 8
        return json.dumps(out, separators=(",", ":"))

    def both(name, base, tuned, config=None):
        quant = json.dumps({"quantization_config": config} if config else {})
        seed("packing", name, "\n".join([quant, header(base), header(tuned)]).encode())
    wide = {"x.weight": ("BF16", (20, 64))}
    both("blocks", wide, {"x.weight": ("F8_E4M3", (20, 64)), "x.weight_scale_inv": ("F32", (3, 2))}, {"weight_block_size": [8, 32]})
    both("rows", wide, {"x.weight": ("F8_E5M2", (20, 64)), "x.weight_scale": ("BF16", (20, 1)), "x.input_scale": ("F32", (1,))})
    both("tensor", wide, {"x.weight": ("F8_E4M3FNUZ", (20, 64)), "x.weight_scale": ("F32", ())})
    both("mxfp8", wide, {"x.weight": ("F8_E4M3", (20, 64)), "x.weight_scale": ("U8", (20, 2))},
         {"config_groups": {"g": {"weights": {"group_size": 32, "block_structure": None}}}})
    both("mxfp4", wide, {"x.weight_packed": ("U8", (20, 32)), "x.weight_scale": ("U8", (20, 2))})
    both("nvfp4", wide, {"x.weight_packed": ("U8", (20, 32)), "x.weight_scale": ("F8_E4M3", (20, 4)),
                         "x.weight_global_scale": ("F32", (1,))})
    both("modelopt", wide, {"x.weight": ("U8", (20, 32)), "x.weight_scale": ("F8_E4M3", (20, 4)), "x.weight_scale_2": ("F32", ())})
    both("f4", wide, {"x.weight": ("F4", (20, 64)), "x.scale": ("F8_E8M0", (20, 2))})
    experts = {"m.experts.gate_up_proj": ("BF16", (2, 64, 10)), "m.experts.down_proj": ("BF16", (2, 5, 64))}
    both("turned", experts, {"m.experts.gate_up_proj_blocks": ("U8", (2, 10, 2, 16)), "m.experts.gate_up_proj_scales": ("U8", (2, 10, 2)),
                             "m.experts.down_proj": ("BF16", (2, 5, 64))})
    split = {"m.experts.%d.%s.weight" % (e, w): ("BF16", (64, 5) if w == "down_proj" else (5, 64))
             for e in range(2) for w in ("gate_proj", "up_proj", "down_proj")}
    both("taken-apart", split, {"m.experts.gate_up_proj": ("BF16", (2, 10, 64)), "m.experts.down_proj": ("BF16", (2, 64, 5))})
    both("turned-apart", split, dict(experts))
    both("put-together", experts, split)
    both("fused", {"a.q_proj.weight": ("BF16", (8, 4)), "a.k_proj.weight": ("BF16", (2, 4)), "a.v_proj.weight": ("BF16", (2, 4))},
         {"a.qkv_proj.weight": ("BF16", (12, 4))})
    both("mixtral", {"l.block_sparse_moe.experts.0.w1.weight": ("BF16", (4, 4)), "n": ("BF16", (4,))},
         {"l.mlp.experts.0.gate_proj.weight": ("BF16", (4, 4)), "n": ("BF16", (4,))})
    both("quantized", wide, {"x.qweight": ("I32", (8, 20)), "x.g_idx": ("I32", (64,))}, {"quant_method": "gptq"})


for make in (make_safetensors, make_index, make_lora, make_scaled, make_packing, make_model, make_zip, make_torch, make_zero, make_npy, make_llama, make_config):
    make()

# What stands in for torch's classes there would be in the way of torch itself, and torch in its: dcplib has its own module torch.
for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
    del sys.modules[name]
import dcplib  # noqa: E402

for make in (make_dcp, make_sharded, make_fsdp, make_genuine_fsdp):
    make()
