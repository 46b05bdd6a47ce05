"""The digests of a file of sinew, read and written from what pipeline/hdf5/digest.h says of them and by nothing of sinew's: to find
damage by itself, and to make files whose content is not what sinew wrote although their digests are right."""
import ctypes
import struct

BLOCK, PAGE = 1 << 14, 1 << 11
MAGIC = b"sinew digests 1\n"
FOOTER = struct.Struct("<16sqqqQQQ")


def xxh3(data):
    lib = ctypes.CDLL("libxxhash.so.0")
    lib.XXH3_64bits.restype = ctypes.c_uint64
    lib.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return lib.XXH3_64bits(bytes(data), len(data))


def packed(hashes):
    return struct.pack("<%dQ" % len(hashes), *hashes)


def digests(data):
    """What stands behind these data."""
    blocks = [xxh3(data[at:at + BLOCK]) for at in range(0, len(data), BLOCK)]
    pages = packed([xxh3(packed(blocks[at:at + PAGE])) for at in range(0, len(blocks), PAGE)])
    footer = FOOTER.pack(MAGIC, len(data), BLOCK, len(blocks), xxh3(pages), 0, 0)[:-8]
    return packed(blocks) + pages + footer + struct.pack("<Q", xxh3(footer))


def data_of(content):
    """The data of a sealed file, None where it carries no digests."""
    if content[-FOOTER.size:-FOOTER.size + 16] != MAGIC:
        return None
    return content[:struct.unpack_from("<q", content, len(content) - FOOTER.size + 16)[0]]


def content_of(path):
    with open(path, "rb") as f:
        return f.read()


def is_whole(path):
    content = content_of(path)
    data = data_of(content)
    return data is not None and data + digests(data) == content


def seal(path):
    """Writes the digests of a file anew, or for the first time."""
    content = content_of(path)
    data = data_of(content)
    data = content if data is None else data
    with open(path, "wb") as f:
        f.write(data + digests(data))
