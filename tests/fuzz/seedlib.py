"""The pieces that seeds of the fuzz targets are made of: files in order, and small enough to be read by eye."""
import io
import json
import os
import struct
import zipfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def seed(target, name, data):
    folder = os.path.join(HERE, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def safetensors(header, data=b"", pad=True):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def two_parts(first, second):
    return struct.pack("<I", len(first)) + first + second


def text(s):
    b = s.encode()
    return b"X" + struct.pack("<I", len(b)) + b


def numbers(x):
    return b"(" + b"".join(b"K" + bytes([i]) for i in x) + b"t"


def storage(key, kind, elements):
    return (b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"Storage\n" + text(key) + text("cpu") + b"K"
            + bytes([elements]) + b"tQ")


def view(key, kind, shape, strides, offset=0, elements=16):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(key, kind, elements) + b"K" + bytes([offset]) + numbers(shape)
            + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR")


def pickled(pairs):
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(text(k) + v for k, v in pairs) + b"u."


def archive(pickle, top="a", more=(), method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in [("data.pkl", pickle), ("data/0", bytes(64)), ("data/1", bytes(10)), *more]:
            z.writestr(zipfile.ZipInfo(top + "/" + name), data, method)
    return out.getvalue()


def mapped(pairs):
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def listed(items):
    return b"](" + b"".join(items) + b"e"


def byte(x):
    return b"K" + bytes([x])


def npy(header, data=b"", version=1):
    text = header.encode()
    text += b" " * (-(len(text) + 1 + (10 if version == 1 else 12)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data
