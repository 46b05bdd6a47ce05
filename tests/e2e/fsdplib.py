"""The shards of an FSDP run, one file for each rank, as torch pickles DTensors, written without torch. Source: pytorch,
torch/distributed/tensor/_api.py, _dtensor_spec.py, torch/distributed/device_mesh.py."""
import io
import os
import struct
import zipfile

STORAGES = {"float32": b"FloatStorage", "uint16": b"BFloat16Storage", "int64": b"LongStorage"}
DTYPES = {"float32": b"float32", "uint16": b"bfloat16", "int64": b"int64"}


def name(module, word):
    return b"c" + module.encode() + b"\n" + word.encode() + b"\n"


def text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def numbers(v):
    return b"(" + b"".join(b"J" + struct.pack("<i", x) for x in v) + b"t"


def made(module, word, **state):
    """An object of a class with these attributes."""
    return name(module, word) + b")\x81}(" + b"".join(text(k) + v for k, v in state.items()) + b"ub"


def strides(shape):
    out, step = [], 1
    for n in reversed(shape):
        out.insert(0, step)
        step *= n
    return out


def tensor(x, key):
    """A plain one; x is a numpy array, bf16 as uint16."""
    kind = str(x.dtype)
    return (name("torch._utils", "_rebuild_tensor_v2") + b"((" + text("storage") + b"ctorch\n" + STORAGES[kind] + b"\n" + text(key) +
            text("cpu") + b"J" + struct.pack("<i", x.size) + b"tQK\0" + numbers(x.shape) + numbers(strides(x.shape)) +
            b"\x89" + name("collections", "OrderedDict") + b")RtR")


def coordinates(me, mesh):
    out = []
    for n in reversed(mesh):
        out.insert(0, me % n)
        me //= n
    return out


def local(x, me, mesh, placements):
    """What rank `me` holds; placements: for each axis of the mesh the axis it cuts, or None for a copy."""
    for n, at, axis in zip(mesh, coordinates(me, mesh), placements):
        if axis is not None:
            chunk = -(-x.shape[axis] // n)
            x = x[(slice(None),) * axis + (slice(chunk * at, chunk * (at + 1)),)]
    return x.copy(order="C")


def dtensor(x, key, me, mesh, placements, **wrong):
    """wrong: ranks, place, placement: bytes in place of what is right."""
    world = 1
    for n in mesh:
        world *= n
    kinds = "torch.distributed.tensor.placement_types"
    layout = made("torch.distributed._mesh_layout", "_MeshLayout", shape=numbers(mesh), stride=numbers(strides(mesh)))
    device_mesh = made("torch.distributed.device_mesh", "DeviceMesh", _layout=layout,
                       _flatten_rank_map=wrong.get("ranks", numbers(range(world))),
                       _coordinate_on_dim=wrong.get("place", numbers(coordinates(me, mesh))))
    places = b"(" + b"".join(wrong.get("placement") or (made(kinds, "Replicate") if axis is None else
                                                        made(kinds, "Shard", dim=b"K" + bytes([axis]))) for axis in placements) + b"t"
    spec = made("torch.distributed.tensor._dtensor_spec", "DTensorSpec", mesh=device_mesh, placements=places)
    part = local(x, me, mesh, placements)
    return part, (name("torch._tensor", "_rebuild_from_type_v2") + b"(" + name("torch._utils", "_rebuild_wrapper_subclass") +
                  name("torch.distributed.tensor", "DTensor") + b"(Nctorch\n" + DTYPES[str(x.dtype)] + b"\n" + numbers(x.shape) +
                  numbers(strides(x.shape)) + b"K\0NN\x89tN}(" + text("_local_tensor") + tensor(part, key) + text("_spec") + spec +
                  b"u\x86tR")


def archive(pickle, storages):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("archive/data.pkl", pickle)
        for key, data in storages.items():
            z.writestr("archive/data/" + key, data)
    return out.getvalue()


def rank_file(tensors, me, mesh, **wrong):
    """tensors: name -> (array, placements, or None for one that every rank has whole)."""
    pickle, storages = b"\x80\2" + name("collections", "OrderedDict") + b")R(", {}
    for i, (word, (x, placements)) in enumerate(tensors.items()):
        part, value = (x, tensor(x, str(i))) if placements is None else dtensor(x, str(i), me, mesh, placements, **wrong)
        pickle += text(word) + value
        storages[str(i)] = part.tobytes()
    return archive(pickle + b"u.", storages)


def write(folder, tensors, mesh):
    world = 1
    for n in mesh:
        world *= n
    os.makedirs(folder, exist_ok=True)
    for me in range(world):
        with open(os.path.join(folder, "model_world_size_%d_rank_%d.pt" % (world, me)), "wb") as f:
            f.write(rank_file(tensors, me, mesh))
