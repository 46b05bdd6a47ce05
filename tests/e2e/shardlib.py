"""One model in the layouts in which trainers leave it, written without torch: safetensors, the shards of FSDP, DeepSpeed's ZeRO folders, and
by dcplib a distributed checkpoint. Sources: pytorch, torch/_tensor.py, torch/distributed/tensor/_api.py (how a DTensor is pickled);
deepspeed, deepspeed/runtime/engine.py, deepspeed/runtime/zero/{stage_1_and_2,stage3}.py (what is saved)."""
import json
import os
import struct

import numpy as np

STORAGES = {"F32": ("Float", "float32", 4), "BF16": ("BFloat16", "bfloat16", 2)}
STEP = 1 << 22  # elements that are written at a time


# ---- a model ----

class Model:
    """Tensors by name: shape, and a function that gives elements [first, first+n) as an array of the type."""

    def __init__(self, dtype="F32"):
        self.dtype, self.tensors = dtype, {}

    def add(self, name, shape, part):
        self.tensors[name] = (tuple(shape), part)

    def add_array(self, name, x):
        flat = np.ascontiguousarray(x).reshape(-1)
        self.add(name, x.shape, lambda first, n: flat[first:first + n])

    def add_tile(self, name, shape, tile):
        """The tile again and again."""
        def part(first, n):
            at = (first + np.arange(0, n + len(tile), len(tile))) // len(tile)
            return np.concatenate([tile[max(first - k * len(tile), 0):first + n - k * len(tile)] for k in at
                                   if first + n > k * len(tile)] or [tile[:0]])
        self.add(name, shape, part)

    def numel(self, name):
        return int(np.prod(self.tensors[name][0], dtype=np.int64))

    def pieces(self, name, first, n):
        """Bytes of elements [first, first+n), piece by piece, zeros behind the tensor's end."""
        end = min(first + n, self.numel(name))
        for at in range(first, end, STEP):
            yield np.ascontiguousarray(self.tensors[name][1](at, min(STEP, end - at))).tobytes()
        if first + n > max(first, end):
            yield bytes((first + n - max(first, end)) * STORAGES[self.dtype][2])


def write_safetensors(path, model):
    header, at = {}, 0
    for name, (shape, _) in model.tensors.items():
        size = model.numel(name) * STORAGES[model.dtype][2]
        header[name] = {"dtype": model.dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in model.tensors:
            for piece in model.pieces(name, 0, model.numel(name)):
                f.write(piece)


# ---- archives ----

def write_archive(path, pickle, storages):
    """What torch.save writes: storages are lists of (size in bytes, pieces), each at a multiple of 64, sizes behind them."""
    entries = [("data.pkl", len(pickle), [pickle]), ("byteorder", 6, [b"little"])]
    entries += [("data/%d" % i, size, pieces) for i, (size, pieces) in enumerate(storages)] + [("version", 2, [b"3\n"])]
    top, central = os.path.basename(path).rsplit(".", 1)[0], bytearray()
    with open(path, "wb") as f:
        for name, size, pieces in entries:
            name, at = ("%s/%s" % (top, name)).encode(), f.tell()
            pad = (64 - (at + 30 + len(name) + 4) % 64) % 64
            f.write(struct.pack("<4s5H3I2H", b"PK\3\4", 0, 0x808, 0, 0, 0, 0, 0, 0, len(name), 4 + pad) + name)
            f.write(struct.pack("<2sH", b"FB", pad) + b"Z" * pad)
            start = f.tell()
            for piece in pieces:
                f.write(piece)
            assert f.tell() - start == size, (name, f.tell() - start, size)
            f.write(struct.pack("<4s3I", b"PK\7\10", 0, size, size))
            central += struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, 0x808, 0, 0, 0, 0, size, size, len(name), 28, 0, 0, 0, 0,
                                   0xffffffff) + name
            central[-len(name) - 26:-len(name) - 18] = b"\xff" * 8  # sizes and place stand in the ZIP64 field
            central += struct.pack("<2H3Q", 1, 24, size, size, at)
        start = f.tell()
        f.write(central)
        end64 = f.tell()
        f.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 0, 0, 0, len(entries), len(entries), len(central), start))
        f.write(struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1))
        f.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0))


# ---- pickles, protocol 2 ----

def text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def number(x):
    return b"J" + struct.pack("<i", x) if -1 << 31 <= x < 1 << 31 else b"\x8a\x08" + struct.pack("<q", x)


def numbers(v):
    return b"(" + b"".join(number(x) for x in v) + b"t"


def size_of(shape):
    return b"ctorch\nSize\n" + numbers(shape) + b"\x85R"


def mapped(pairs):
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def ordered(pairs):
    return b"ccollections\nOrderedDict\n)R(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def listed(items):
    return b"](" + b"".join(items) + b"e"


def strides_of(shape):
    out, step = [], 1
    for n in reversed(shape):
        out.insert(0, step)
        step *= n
    return out


def tensor(dtype, key, elements, shape, first=0):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\n" + STORAGES[dtype][0].encode() + b"Storage\n" +
            text(str(key)) + text("cpu") + number(elements) + b"tQ" + number(first) + numbers(shape) + numbers(strides_of(shape)) +
            b"\x89ccollections\nOrderedDict\n)RtR")


# ---- FSDP ----

def dtensor(dtype, key, shape, local, world, me):
    """A tensor of which the rank has some rows, on a mesh of one axis, as torch 2.15 pickles it."""
    home, kept = b"torch.distributed.tensor.", b"torch.distributed._mesh_layout\n"
    layout = (b"c" + kept + b"_MeshLayout\n)\x81}" + text("axes") + b"(c" + kept + b"_FlatLayout\n)\x81}(" + text("shape") +
              numbers([world]) + text("stride") + numbers([1]) + b"ubtsb")
    mesh = (b"ctorch.distributed.device_mesh\nDeviceMesh\n)\x81}(" + text("_layout") + layout + text("_flatten_rank_map") +
            numbers(range(world)) + text("_coordinate_on_dim") + numbers([me]) + text("_mesh_dim_names") + b"(" + text("fsdp") + b"tub")
    shard = b"c" + home + b"placement_types\nShard\n)\x81}" + text("dim") + b"K\0sb"
    spec = (b"c" + home + b"_dtensor_spec\nDTensorSpec\n)\x81}(" + text("mesh") + mesh + text("placements") + b"(" + shard + b"tub")
    state = b"N}(" + text("_local_tensor") + tensor(dtype, key, int(np.prod(local)), local) + text("_spec") + spec + b"u\x86"
    return (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_wrapper_subclass\nctorch.distributed.tensor\nDTensor\n"
            b"(Nctorch\n" + STORAGES[dtype][1].encode() + b"\n" + numbers(shape) + numbers(strides_of(shape)) + b"K\0NN\x89t" + state + b"tR")


def write_fsdp(folder, model, world):
    """model_world_size_W_rank_R.pt: of each tensor the rows that the rank has, ceil(rows / W) of them."""
    os.makedirs(folder, exist_ok=True)
    for me in range(world):
        pairs, storages = [], []
        for key, (name, (shape, _)) in enumerate(model.tensors.items()):
            rows = -(-shape[0] // world)
            first = min(me * rows, shape[0])
            local = (min(rows, shape[0] - first),) + shape[1:]
            row, n = model.numel(name) // shape[0], int(np.prod(local))
            pairs.append((name, dtensor(model.dtype, key, shape, local, world, me)))
            storages.append((n * STORAGES[model.dtype][2], model.pieces(name, first * row, n)))
        write_archive(os.path.join(folder, "model_world_size_%d_rank_%d.pt" % (world, me)), b"\x80\x02" + ordered(pairs) + b".", storages)


# ---- ZeRO ----

def model_states(groups, world, module, step=3):
    """groups: maps of name to shape. module: pairs of name and pickled tensor."""
    shapes = listed(ordered((k, size_of(s)) for k, s in g.items()) for g in groups)
    return b"\x80\x02" + mapped([("module", ordered(module)), ("buffer_names", listed([])), ("optimizer", b"N"), ("param_shapes", shapes),
                                 ("frozen_param_shapes", mapped([])), ("shared_params", mapped([])), ("frozen_param_fragments", mapped([])),
                                 ("global_steps", number(step)), ("dp_world_size", number(world)), ("mp_world_size", number(1)),
                                 ("ds_version", text("0.19.8"))]) + b"."


def optim_states(stage, world, flat, key, step=3):
    count = number(world) if stage == 3 else listed([number(world)] * len(flat))
    return b"\x80\x02" + mapped([("optimizer_state_dict", mapped([
        ("loss_scaler", b"cdeepspeed.runtime.fp16.loss_scaler\nLossScaler\n)\x81}" + text("cur_scale") + number(1) + b"sb"),
        ("zero_stage", b"cdeepspeed.runtime.zero.config\nZeroStageEnum\n" + number(stage) + b"\x85R"), ("partition_count", count),
        ("base_optimizer_state", mapped([("state", b"}" + number(0) + mapped([("step", number(step))]) + b"s")])),
        (key, listed(flat))])), ("ds_version", text("0.19.8"))]) + b"."


def write_zero(folder, model, world, stage=3, module=None):
    """A run's folder with `latest`. Two groups: what has more than one axis, and the rest. module: of stages up to 2, the model whose
    weights the module has."""
    step = os.path.join(folder, "global_step3")
    os.makedirs(step, exist_ok=True)
    with open(os.path.join(folder, "latest"), "w") as f:
        f.write("global_step3")
    names = [[k for k, (s, _) in model.tensors.items() if (len(s) > 1) == wide] for wide in (True, False)]
    groups = [{k: model.tensors[k][0] for k in group} for group in names if group]
    width = STORAGES[model.dtype][2]
    whole = (module or model) if stage < 3 else None
    for me in range(world):
        if stage == 3 or me == 0:
            pairs = [(k, tensor("BF16", 0, 0, (0,)) if stage == 3 else tensor(whole.dtype, i, whole.numel(k), whole.tensors[k][0]))
                     for i, k in enumerate(model.tensors)]
            storages = [(0, [])] if stage == 3 else [(whole.numel(k) * STORAGES[whole.dtype][2], whole.pieces(k, 0, whole.numel(k)))
                                                     for k in model.tensors]
            name = "zero_pp_rank_%d_mp_rank_00_model_states.pt" % me if stage == 3 else "mp_rank_00_model_states.pt"
            write_archive(os.path.join(step, name), model_states(groups, world, pairs), storages)
        flat, storages = [], []
        for key, group in enumerate(groups):
            if stage == 3:
                shares = [-(-model.numel(k) // world) for k in group]
                parts = [(k, me * n, n) for k, n in zip(group, shares)]
            else:
                parts = share_of_line(model, list(group), world, me)
            n = sum(p[2] for p in parts)
            flat.append(tensor(model.dtype, key, n, (n,)))
            storages.append((n * width, (piece for k, first, m in parts for piece in model.pieces(k, first, m))))
        name = "bf16_zero_pp_rank_%d_mp_rank_00_optim_states.pt" % me
        key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
        write_archive(os.path.join(step, name), optim_states(stage, world, flat, key), storages)


def share_of_line(model, names, world, me):
    """Rank me's part of the tensors one behind the other, whose number of elements is rounded up to 2 a rank, and its end cut off."""
    total = sum(model.numel(k) for k in names)
    share = -(-total // (2 * world)) * 2
    low, high, at, out = me * share, min((me + 1) * share, total), 0, []
    for k in names:
        first, end = max(low - at, 0), min(high - at, model.numel(k))
        if first < end:
            out.append((k, first, end - first))
        at += model.numel(k)
    return out
