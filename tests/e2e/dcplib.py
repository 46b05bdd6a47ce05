"""Torch distributed checkpoints as torch.distributed.checkpoint lays them out, written without torch: a pickle .metadata, and files of
items, each the archive that torch.save writes of one tensor. Source: pytorch, torch/distributed/checkpoint/{metadata,filesystem}.py."""
import os
import pickle
import struct
import sys
import types

HOME = "torch.distributed.checkpoint."
STORAGES = {"F32": ("float32", "FloatStorage", 4), "BF16": ("bfloat16", "BFloat16Storage", 2), "I64": ("int64", "LongStorage", 8),
            "F16": ("float16", "HalfStorage", 2), "U8": ("uint8", "ByteStorage", 1)}


def module(name):
    if name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
    return sys.modules[name]


class Size(tuple):
    """torch.Size, as it is pickled."""
    __module__, __qualname__ = "torch", "Size"

    def __reduce__(self):
        return (Size, (tuple(self),))


def install():
    """Names under which pickle finds what it writes, in a process that has no torch."""
    for name in ("torch", "torch.distributed", "torch.distributed.checkpoint"):
        module(name)
    torch = module("torch")
    torch.Size = Size
    for dtype, _, _ in STORAGES.values():
        setattr(torch, dtype, type(dtype, (), {"__module__": "torch", "__qualname__": dtype}))
    module(HOME + "metadata").TensorProperties = type(
        "TensorProperties", (), {"__module__": HOME + "metadata", "__getstate__": lambda x: x.state, "__setstate__": None})
    return torch


def made(name, **state):
    home = module(HOME + ("filesystem" if name == "_StorageInfo" else "metadata"))
    if not hasattr(home, name):
        setattr(home, name, type(name, (), {"__module__": home.__name__}))
    x = getattr(home, name)()
    x.__dict__.update(state)
    return x


def number(x):
    return b"J" + struct.pack("<i", x)


def numbers(v):
    return b"(" + b"".join(number(x) for x in v) + b"t"


def item(dtype, shape, data):
    """The archive of one row-major tensor: entries stored, data at multiples of 64, sizes behind them and in the directory alone."""
    _, storage, width = STORAGES[dtype]
    strides, step = [], 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    text = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n" + storage.encode() + b"\nX\x01\0\0\0000X\x03\0\0\0cpu" +
            number(len(data) // width) + b"tQK\0" + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR.")
    entries = [("data.pkl", text), (".format_version", b"1"), (".storage_alignment", b"64"), ("byteorder", b"little"), ("data/0", data),
               ("version", b"3\n"), (".data/serialization_id", b"0" * 40)]
    out, central = bytearray(), bytearray()
    for name, body in entries:
        name, at = ("archive/" + name).encode(), len(out)
        pad = (64 - (at + 30 + len(name) + 4) % 64) % 64
        out += struct.pack("<4s5H3I2H", b"PK\3\4", 0, 0x808, 0, 0, 0, 0, 0, 0, len(name), 4 + pad) + name
        out += struct.pack("<2sH", b"FB", pad) + b"Z" * pad + body + struct.pack("<4s3I", b"PK\7\10", 0, len(body), len(body))
        central += struct.pack("<4s6H3I5H2I", b"PK\1\2", 0, 0, 0x808, 0, 0, 0, 0, len(body), len(body), len(name), 0, 0, 0, 0, 0, at) + name
    end = len(out)
    out += central
    wide = len(out)
    out += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 0, 0, 0, len(entries), len(entries), len(central), end)
    out += struct.pack("<4sIQI", b"PK\6\7", 0, wide, 1)
    return bytes(out + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(entries), len(entries), len(central), end, 0))


class Writer:
    """A checkpoint that is written chunk by chunk; close() writes .metadata."""

    def __init__(self, folder):
        self.torch, self.folder = install(), folder
        self.entries, self.places, self.paths, self.files = {}, [], {}, {}
        os.makedirs(folder, exist_ok=True)

    def tensor(self, path, dtype, shape):
        """path: the steps in the saved map; the name has points between them."""
        properties = made("TensorProperties")
        properties.state = (getattr(self.torch, STORAGES[dtype][0]), None, False, None, False, None)
        name = ".".join(path)
        self.entries[name] = made("TensorStorageMetadata", properties=properties, size=Size(shape), chunks=[])
        self.paths[name] = tuple(path)
        return name

    def chunk(self, name, file, dtype, offsets, sizes, data):
        """data: the chunk's bytes, or an item made of them before."""
        f = self.files.get(file)
        if f is None:
            f = self.files[file] = open(os.path.join(self.folder, file), "wb")
        body = data if data[:4] == b"PK\3\4" else item(dtype, sizes, data)
        chunks = self.entries[name].chunks
        index = made("MetadataIndex", fqn=name, offset=Size(offsets), index=len(chunks))
        chunks.append(made("ChunkStorageMetadata", offsets=Size(offsets), sizes=Size(sizes)))
        self.places.append((index, made("_StorageInfo", relative_path=file, offset=f.tell(), length=len(body))))
        f.write(body)

    def value(self, path, file="__0_0.distcp", data=b"\x80\x02N."):
        name = ".".join(path)
        f = self.files.get(file)
        if f is None:
            f = self.files[file] = open(os.path.join(self.folder, file), "wb")
        self.entries[name] = made("BytesStorageMetadata")
        self.paths[name] = tuple(path)
        self.places.append((made("MetadataIndex", fqn=name), made("_StorageInfo", relative_path=file, offset=f.tell(), length=len(data))))
        f.write(data)

    def close(self):
        for f in self.files.values():
            f.close()
        whole = made("Metadata", state_dict_metadata=self.entries, planner_data=self.paths, storage_data=dict(self.places),
                     storage_meta=None, version="1.0.0")
        with open(os.path.join(self.folder, ".metadata"), "wb") as f:
            pickle.dump(whole, f, protocol=4)
