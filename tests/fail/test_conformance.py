#!/usr/bin/python3
"""The conformance table: what each good, bad or hostile file must lead to, under four processes. A bad one ends the job with exit
status 3 (or the one the table says), one message that names what is wrong, within 5 seconds beyond what starting four processes takes,
without any process above the memory budget and without a process left behind. Prints the table."""
import io
import json
import os
import re
import struct
import sys
import threading
import time
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import fsdplib  # noqa: E402
import sinewlib as lib  # noqa: E402

LIMIT_SEC = 5
TIMEOUT_SEC = 60
NP = 4
MIB = 1 << 20
DEFAULT_MIB = 64          # the smallest budget a config may name
BESIDE_MIB = 100          # what each process needs beside its budget, for MPI and HDF5
HUGE = 1 << 60
CONFIG = """study: table
output: out
memory_per_process: %d MiB
cells:
  - {family: f, algorithm: a, seed: 0, base: %s, tuned: %s%s}
stages: {load: {}, delta: {needs: [load], coverage: any}, mask: {needs: [delta]}%s}
"""
table = []

def watch(folder, peaks):
    """Notes how much each process of the binary that works in the folder ever held, in KiB: mpirun does not wait for those it ends."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if peaks.get(pid) is None:
                peaks[pid] = -1
                if os.readlink("/proc/%s/cwd" % pid) != os.path.realpath(folder):
                    continue
            elif peaks[pid] < 0:
                continue
            if os.readlink("/proc/%s/exe" % pid) != os.path.realpath(lib.binary()):
                peaks[pid] = None                            # mpirun, or a child before it becomes the program
                continue
            with open("/proc/%s/status" % pid) as f:
                peaks[pid] = max(peaks[pid] or 0, int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)))
        except (OSError, AttributeError):
            pass


def run_watched(folder, np, args):
    """As lib.run_sinew, with the largest process' peak, looked at every few milliseconds."""
    peaks, done, result = {}, threading.Event(), []
    command = threading.Thread(target=lambda: (result.append(lib.run_sinew(np, args, cwd=folder, timeout=TIMEOUT_SEC)), done.set()))
    command.start()
    while not done.wait(0.01):
        watch(folder, peaks)
    command.join()
    result[0].peak_kib = max([kib for kib in peaks.values() if kib] + [0])
    return result[0]


def sanitized():
    with open(lib.binary(), "rb") as f:
        return b"__asan_init" in f.read()


# ---- files of each kind ----

def st(header, data=b"", n=None):
    """A safetensors file: header as bytes, text or what becomes JSON; n: the length announced, if it is another."""
    if not isinstance(header, (bytes, str)):
        header = json.dumps(header)
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if n is None else n) + header + data


def t(dtype="F32", shape=(2, 2), begin=0, end=16):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def integer(n):
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(*n):
    return b"(" + b"".join(integer(x) for x in n) + b"t"


def storage(count=4, key="0", kind="FloatStorage"):
    return b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(size=(2, 2), stride=(2, 1), offset=0, of=None):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + (of or storage()) + integer(offset) + numbers(*size) + numbers(*stride)
            + b"\x89ccollections\nOrderedDict\n)RtR")


def state(*pairs):
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in pairs) + b"u."


def torch_file(data, storages=None, **options):
    """What torch.save would make of a pickle and storages."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as z:
        z.writestr("archive/data.pkl", data)
        z.writestr("archive/version", "3\n")
        for key, raw in (storages or {"0": bytes(16)}).items():
            z.writestr("archive/data/" + key, raw)
    return out.getvalue()


def patched(raw, *changes):
    """Bytes put in: (position after the last occurrence of a mark, offset, bytes)."""
    raw = bytearray(raw)
    for mark, offset, new in changes:
        at = raw.rindex(mark) + offset
        raw[at:at + len(new)] = new
    return bytes(raw)


def many_entries(n):
    """A zip archive of n empty entries."""
    local, directory = io.BytesIO(), io.BytesIO()
    for i in range(n):
        name = b"%07d" % i
        at = local.tell()
        local.write(struct.pack("<IHHHHHIIIHH", 0x04034b50, 20, 0, 0, 0, 0, 0, 0, 0, 7, 0) + name)
        directory.write(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 20, 20, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, at) + name)
    start, size = local.tell(), directory.tell()
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, n, n, size, start)
    locator = struct.pack("<IIQI", 0x07064b50, 0, start + size, 1)
    end = struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return local.getvalue() + directory.getvalue() + end64 + locator + end


def npy(header, data=b"", version=1):
    header = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def npy_of(shape, data=b"", descr="<f4", fortran=False):
    return npy("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n" % (descr, fortran, shape), data)


def llama(context, vocabulary, chunks, data=b""):
    return b"_logits_" + struct.pack("<Iii", context, vocabulary, chunks) + data


# ---- the table ----

class Conformance(lib.Case):
    def setUp(self):
        super().setUp()
        self.sanitized = sanitized()
        good = {"w": ("F32", (2, 2), struct.pack("<4f", 1, 2, 3, 4))}
        lib.write_safetensors(self.path("base", "model.safetensors"), good)
        os.makedirs(self.path("tuned"))
        self.measure()

    def measure(self):
        """What starting four processes takes, and what each holds then: a job that fails at once, measured under the same load."""
        self.write("c.yaml", CONFIG % (DEFAULT_MIB, "base", "gone", "", ""))
        run = run_watched(self.dir, NP, ["run", self.path("c.yaml")])
        self.assertEqual(run.returncode, 3, run.text())
        self.start_sec, self.start_kib = run.seconds, run.peak_kib
        self.measured = time.monotonic()

    def in_time(self, run):
        """Within the limit, beside what starting the processes and reading the headers takes under the same load. (A run reads them
        three times, by one process, to see what is fresh, what it will cost, and at last; the others wait, and take their share.)"""
        limit = (LIMIT_SEC + self.start_sec) * (4 if self.sanitized else 1)
        if run.seconds > limit:
            limit += 6 * run_watched(self.dir, 0, ["check", self.path("c.yaml")]).seconds
        self.assertLess(run.seconds, limit, "slow")

    def put(self, file, raw):
        path = self.path("tuned", file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if callable(raw):
            raw(path)
        else:
            with open(path, "wb") as f:
                f.write(raw)

    def case(self, what, files, *words, status=3, mib=DEFAULT_MIB, base="base", logits=False):
        """files: name in the folder tuned -> bytes, or a function that makes the path; a single one is model.safetensors.
        base "tuned": the pair is the file with itself."""
        with self.subTest(what):
            if time.monotonic() - self.measured > 20:
                self.measure()
            for folder, _, names in os.walk(self.path("tuned"), topdown=False):
                for name in names:
                    os.remove(os.path.join(folder, name))
                if folder != self.path("tuned"):
                    os.rmdir(folder)
            for file, raw in (files if isinstance(files, dict) else {"model.safetensors": files}).items():
                self.put(file, raw)
            if logits:
                self.put("model.safetensors", st({"w": t()}, bytes(16)))
            self.write("c.yaml", CONFIG % (mib, base, "tuned", ", logits: {base: tuned, tuned: tuned}" if logits else "",
                                           ", token-entropy: {needs: [load]}" if logits else ""))
            run = run_watched(self.dir, NP, ["run", self.path("c.yaml")] + (["--force"] if status == 0 else []))
            got = run.returncode
            row = [what, status, got, (run.errors() or [""])[0].replace("sinew: ", "").replace(self.dir + "/", ""), run.seconds,
                   run.peak_kib / 1024, "FAIL"]
            table.append(row)
            self.assertEqual(got, status, run.text())
            self.assertEqual(len(run.errors()), 0 if status == 0 else 1, run.text())
            if status != 0:
                self.assertFalse(os.path.exists(self.path("out", "table.h5")), "an archive under its final name")
            for word in words:
                self.assertIn(word, run.stderr)
            self.assertEqual(lib.processes_with(self.dir), [], "processes left behind")
            self.in_time(run)
            if not self.sanitized:               # a sanitizer keeps what was freed, and a shadow of all memory
                self.assertLess(run.peak_kib, (mib + max(BESIDE_MIB, self.start_kib / 1024)) * 1024, "memory")
            if status == 0:
                os.remove(self.path("out", "table.h5"))
            row[-1] = "ok"

    def good(self, what, files, **options):
        self.case(what, files, status=0, base="tuned", **options)

    def test_safetensors(self):
        """The cases of the reference implementation's own tests, and what others stumbled over."""
        w, pad = {"w": t()}, bytes(16)
        body = json.dumps(w)
        for what, raw, words in (
                ("empty file", b"", ["too short"]),
                ("header longer than the file", b"<" + bytes(7), ["truncated within its header"]),
                ("header length of 64 bits", b"<\0\0\0\0\xff\xff\xff" + body.encode(), ["no safetensors file"]),
                ("header of no UTF-8", st(b"\xff"), ["header"]),
                ("header cut in its JSON", st(b"{"), ["header"]),
                ("header of nothing", st(b""), ["header of 0 bytes"]),
                ("header that is a list", st([w]), ["expected a JSON map"]),
                ("header that is a number", st("17"), ["header"]),
                ("NUL behind the JSON", st(body + "\0\0\0", pad), ["header"]),
                ("two values", st(body + body, pad), ["header"]),
                ("bytes behind the tensors", st(w, pad + b"extra_bogus_data_for_polyglot_file"), ["bytes after the last tensor"]),
                ("2 bytes missing", st(w, pad[2:]), ["is cut off"]),
                ("header of 1e8 + 1 bytes", st(b"{}", n=100000001), ["at most 100000000"]),
                ("ten tensors at one place", st({"w%d" % i: t() for i in range(10)}, pad), ["overlap"]),
                ("a hole", st({"a": t("U8", [1], 0, 1), "b": t("U8", [1], 3, 4)}, pad[:4]), ["leave a hole"]),
                ("size of another shape", st({"w": t(end=4)}, pad[:4]), ["size mismatch"]),
                ("1 byte for 2^20 elements", st({"w": t(shape=[1024, 1024], end=1 << 22)}, b"x"), ["is cut off"]),
                ("shape that overflows", st({"w": t(shape=[2, 18446744073709551614])}, pad), ["w"]),
                ("size that overflows", st({"w": t(shape=[2, (1 << 63) - 1])}, pad), ["overflows"]),
                ("2^60 elements", st({"w": t("U8", [HUGE], 0, HUGE)}, pad), ["is cut off"]),
                ("2^62 elements of 4 bits", st({"w": t("F4", [1 << 62], 0, 1 << 61)}, pad), ["overflows"]),
                ("half a byte", st({"w": t("F4", [1, 3], 0, 2)}, pad[:2]), ["misaligned"]),
                ("reversed offsets", st({"w": t(begin=16, end=0)}, pad), ["reversed"]),
                ("negative offsets", st({"w": t(begin=-16, end=0)}, pad), ["not below 0"]),
                ("offset of a real number", st(body.replace("16]", "16.0]"), pad), ["real number"]),
                ("offset of 1e400", st(body.replace("16]", "1e400]"), pad), ["header"]),
                ("offset of 70000 digits", st(body.replace("16]", "9" * 70000 + "]"), pad), ["header"]),
                ("three offsets", st(body.replace("16]", "16, 16]"), pad), ["at most 2"]),
                ("no dtype", st({"w": {"shape": [2, 2], "data_offsets": [0, 16]}}, pad), ["dtype"]),
                ("unknown dtype", st({"w": t("BF17")}, pad), ["BF17"]),
                ("dtype of 1 MB", st({"w": t("B" * MIB)}, pad), ["BBBB"]),
                ("a million dimensions", st({"w": t(shape=[1] * 1000000)}, pad), ["shape"]),
                ("duplicate key", st("{%s, %s}" % (body[1:-1], body[1:-1]), pad), ["w"]),
                ("duplicate key, escaped", st('{%s, "\\u0077": {}}' % body[1:-1], pad), ["w"]),
                ("metadata that is no map of texts", st({"__metadata__": {"a": 1}, **w}, pad), ["__metadata__"]),
                ("name of 1 MB", st({"n" * MIB: t()}, pad), ["expected at most 512"]),
                ("name of nothing", st({"": t()}, pad), ["empty name"]),
                ("name with a NUL", st({"a\0b": t()}, pad), ["header"]),
                ("name that drives a terminal", st({"a\x1b[2J": t()}, pad), ["control character"]),
                ("nested 100000 deep", st('{"w":' + "[" * 100000, pad), ["header"]),
                ("two names that are one in HDF5", st({"a/b": t("U8", [1], 0, 1), "a|b": t("U8", [1], 1, 2)}, pad[:2]), ["distinct names"]),
                ("git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", ["git lfs pull"]),
                ("a zip archive", torch_file(state(("w", tensor()))), ["model.safetensors"]),
                ("a gigabyte of holes", lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 1 << 30), ["header of 0 bytes"])):
            self.case(what, raw, *words)
        self.case("100000 tensors at one place", st({"w%d" % i: t() for i in range(100000)}, pad), "overlap", mib=512)
        self.case("100000 tensors over a small budget", st({"w%d" % i: t() for i in range(100000)}, pad), "memory_per_process", status=4)
        self.case("200000 names of nothing", st("{" + ",".join('"w%d":{}' % i for i in range(200000)) + "}"), "dtype", mib=512)
        self.case("90 MB of brackets", st("{" + '"a":[],' * 11000000 + "}"), "header", mib=512)
        self.case("a text of 30 MB", st('{"a":"' + "x" * 30000000 + '"}'), "expected a map", mib=512)
        self.case("90 MB over a small budget", st('{"a":"' + "x" * 90000000 + '"}'), "memory_per_process", status=4)

    def test_safetensors_that_pass(self):
        w, pad = {"w": t()}, struct.pack("<4f", 1, 2, 3, 4)
        body = json.dumps(w)
        for what, raw in (
                ("white space around the JSON", st("\t\n" + body + " \r\n\t ", pad)),
                ("20 MB of white space", st(" " * 20000000 + body, pad)),
                ("a scalar", st({"w": t(shape=[], end=4)}, pad[:4])),
                ("an empty tensor", st({"v": t(shape=[2, 0], end=0), "w": t()}, pad)),
                ("an empty tensor of 2^62 columns", st({"v": t("BF16", [0, 1 << 62], 0, 0), "w": t()}, pad)),
                ("4 bits each", st({"v": t("F4", [1, 2], 0, 1), "w": t("F32", [1], 1, 5)}, bytes(5))),
                ("not aligned", st({"v": t("U8", [1], 0, 1), "w": t(begin=1, end=17)}, b"\1" + pad)),
                ("empty metadata and unknown fields", st({"__metadata__": {}, "w": dict(t(), note=[1])}, pad)),
                ("names of all kinds", st({"../../etc/passwd": t("U8", [1], 0, 1), ".": t("U8", [1], 1, 2),
                                           "\u03b8 \"%s\"": t("U8", [1], 2, 3), "w": t(begin=3, end=19)}, b"\1\2\3" + pad))):
            self.good(what, raw)

    def test_index(self):
        w = st({"w": t()}, bytes(16))

        def index(weight_map, **more):
            return json.dumps(dict(more, weight_map=weight_map)).encode()

        def fifo(path):
            os.mkfifo(path)

        name = "model.safetensors.index.json"
        for what, files, words in (
                ("no weight_map", {name: b"{}"}, ["weight_map"]),
                ("weight_map that is a list", {name: b'{"weight_map": [1]}'}, ["weight_map"]),
                ("no tensor", {name: index({})}, ["names no tensor"]),
                ("a shard that is a number", {name: index({"w": 1})}, ["expected a file name"]),
                ("missing shard", {name: index({"w": "a.safetensors"})}, ["missing shard"]),
                ("100000 missing shards", {name: index({"w%d" % i: "%d.safetensors" % i for i in range(100000)})}, ["missing shard"]),
                ("absolute path", {name: index({"w": "/etc/a.safetensors"})}, ["absolute path"]),
                ("path that leaves", {name: index({"w": "x/../../base/model.safetensors"})}, ["leaves the folder"]),
                ("path that is the folder", {name: index({"w": "."})}, ["is no .safetensors file"]),
                ("shard of another format", {name: index({"w": "a.bin"}), "a.bin": w}, ["is no .safetensors file"]),
                ("shard that is a folder", {name: index({"w": "a.safetensors"}), "a.safetensors/x": b""}, ["a.safetensors"]),
                ("shard that is a pipe", {name: index({"w": "a.safetensors"}), "a.safetensors": fifo}, ["no regular file"]),
                ("shard that is a device", {name: index({"w": "a.safetensors"}),
                                            "a.safetensors": lambda path: os.symlink("/dev/zero", path)}, ["no regular file"]),
                ("shard that leads to itself", {name: index({"w": "a.safetensors"}),
                                                "a.safetensors": lambda path: os.symlink("a.safetensors", path)}, ["a.safetensors"]),
                ("one shard by two names", {name: index({"w": "a.safetensors", "v": "./a.safetensors"}), "a.safetensors": w}, ["w"]),
                ("tensor in two shards", {name: index({"w": "a.safetensors", "v": "b.safetensors"}), "a.safetensors": w,
                                          "b.safetensors": w[:-1] + b"\1"}, ["found in two"]),
                ("tensor in no shard", {name: index({"w": "a.safetensors", "v": "a.safetensors"}), "a.safetensors": w}, ["found in no shard"]),
                ("tensor that the index lacks", {name: index({"v": "a.safetensors"}), "a.safetensors": w}, ["a.safetensors"]),
                ("duplicate entry", {name: b'{"weight_map": {"w": "a.safetensors", "w": "b.safetensors"}}'}, ["w"]),
                ("index of no UTF-8", {name: b'{"weight_map": {"\xff": "a"}}'}, ["index.json"]),
                ("index nested 100000 deep", {name: b'{"weight_map":' * 100000}, ["index.json"]),
                ("index that is a pipe", {name: fifo}, ["index.json"]),
                ("index that is a folder", {name + "/x": b""}, ["index.json"]),
                ("index of a terabyte of holes", {name: lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 1 << 40)},
                 ["index.json"]),
                ("model that is a pipe", {"model.safetensors": fifo}, ["no regular file"]),
                ("model that is a device", {"model.safetensors": lambda path: os.symlink("/dev/zero", path)}, ["no regular file"]),
                ("link that leads nowhere", {"model.safetensors": lambda path: os.symlink("gone", path)}, ["model.safetensors"]),
                ("shards without index", {"model-00001-of-00002.safetensors": w}, ["1 of 2 shards is missing"]),
                ("nothing there", {}, ["no model found", "found nothing"])):
            # what the system refuses to open is its error, not the file's
            self.case(what, files, *words, mib=128, status=4 if what == "shard that leads to itself" else 3)
        self.good("total_size and notes are not believed", {name: index({"w": "a.safetensors"}, metadata={"total_size": -1, "x": [1]}),
                                                            "a.safetensors": w})
        for what, raw in (("config of no JSON", b"{"), ("config with -1 layers", b'{"num_hidden_layers": -1}'),
                          ("config with 1e400 layers", b'{"num_hidden_layers": 1e400}'), ("config nested deep", b'{"a":' * 100000),
                          ("config that is a list", b"[]")):
            self.case(what, {"model.safetensors": w, "config.json": raw}, "config.json", base="tuned")

    def test_fsdp(self):
        """Shards of a run's ranks that are not what they should be."""
        w = np.zeros((4, 4), np.float32)
        rank = "model_world_size_2_rank_%d.pt"

        def run(first=None, second=None, mesh=(2,), placements=(0,), **wrong):
            out = [fsdplib.rank_file({"w": (w, placements)}, me, mesh, **wrong) for me in (0, 1)]
            return {rank % 0: out[0] if first is None else first, rank % 1: out[1] if second is None else second}

        good0, good1 = run().values()
        one = {"model_world_size_1_rank_0.pt": fsdplib.rank_file({"w": (w, (0,))}, 0, (1,))}
        other = fsdplib.rank_file({"v": (w, (0,))}, 1, (2,))
        larger = fsdplib.rank_file({"w": (np.zeros((6, 4), np.float32), (0,))}, 1, (2,))
        kinds = "torch.distributed.tensor.placement_types"
        code = fsdplib.archive(b"\x80\2}" + text("w") + b"cposix\nsystem\n" + text("touch ran") + b"\x85Rs.", {})
        for what, made, words in (
                ("a rank missing", {rank % 1: good1}, [rank % 0 + " is missing"]),
                ("a rank too many", dict(run(), **{rank % 2: good1}), ["rank 2 of 2"]),
                ("two world sizes", dict(run(), **one), ["shards of 1 ranks and of 2"]),
                ("a world of 2^40", {"model_world_size_1099511627776_rank_0.pt": good0}, ["rank_0.pt"]),
                ("a million ranks, one there", {"model_world_size_1000000_rank_0.pt": good0}, ["rank_1.pt is missing"]),
                ("a file cut off", run(second=good1[:-30]), [rank % 1, "truncated"]),
                ("an empty file", run(second=b""), [rank % 1]),
                ("a pipe", dict(run(), **{rank % 1: lambda path: os.mkfifo(path)}), ["no regular file"]),
                ("the same rank twice", run(second=good0), [rank % 1, "another rank's file?"]),
                ("another name", run(second=other), ["tensor v is none of rank 0's"]),
                ("another shape", run(second=larger), ["one run"]),
                ("a pickle that runs code", run(second=code), ["object of posix.system"]),
                ("_StridedShard", run(placement=fsdplib.made(kinds, "_StridedShard", dim=b"K\0", split_factor=b"K\2")), ["_StridedShard"]),
                ("Partial", run(placement=fsdplib.made(kinds, "Partial")), ["Partial"]),
                ("an axis of -2^31", run(placement=fsdplib.made(kinds, "Shard", dim=b"J\0\0\0\x80")), ["an axis of the tensor"]),
                ("ranks of others", run(ranks=fsdplib.numbers((5, 6))), ["up to 6"]),
                ("ranks that are no list", run(ranks=b"N", place=b"N"), ["its mesh does not say"]),
                ("a placement of nothing", run(placement=b"N"), ["placement"]),
                ("flat parameters", {rank % me: fsdplib.rank_file({"_fsdp_wrapped_module._flat_param": (w, None)}, me, (2,)) for me in (0, 1)},
                 ["LOCAL_STATE_DICT"])):
            self.case("fsdp: " + what, made, *words)
        self.assertFalse(os.path.exists(self.path("ran")))
        self.good("fsdp: two ranks", run())

    def test_torch(self):
        good = torch_file(state(("w", tensor())))
        end, central, local = b"PK\5\6", b"PK\1\2", b"PK\3\4"
        deep = b"\x80\x02" + b"(" * 4000000 + b"."
        itself = b"\x80\x02}q\0X\1\0\0\0wh\0s."
        for what, raw, words in (
                ("empty", b"", ["model.bin"]),
                ("no zip", b"PK\3\4" * 10, ["truncated, or no zip archive"]),
                ("cut off", good[:-30], ["truncated"]),
                ("directory elsewhere", patched(good, (end, 16, struct.pack("<I", 7))), ["central directory"]),
                ("more entries than there are", patched(good, (end, 8, struct.pack("<HH", 999, 999))), ["entries announced"]),
                ("fewer entries than there are", patched(good, (end, 8, struct.pack("<HH", 1, 1))), ["behind its last entry"]),
                ("entry behind the end", patched(good, (central, 42, struct.pack("<I", 0x7fffffff))), ["expected before the central directory"]),
                ("entry of 4 GB", patched(good, (central, 20, struct.pack("<II", 0xfffffffe, 0xfffffffe))), ["expected before"]),
                ("local header of another size", patched(good, (local, 18, struct.pack("<II", 9, 9))), ["in its own header"]),
                ("local header of another name", patched(good, (local, 30, b"z")), ["tells another name"]),
                ("no local header", patched(good, (local, 0, b"XX")), ["no header"]),
                ("two entries at one place", patched(good, (central, 42, struct.pack("<I", 0))), ["archive"]),
                ("ZIP64 with 2^60 entries", many_entries(1)[:-98] + struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, HUGE, HUGE,
                                                                                53, 37) + many_entries(1)[-42:], ["entries announced"]),
                ("compressed", torch_file(state(("w", tensor())), compression=zipfile.ZIP_DEFLATED), ["compressed"]),
                ("a pickle that runs code", torch_file(b"\x80\x02cposix\nsystem\n" + text("touch ran") + b"\x85R."), ["posix.system"]),
                ("a pickle of protocol 6", torch_file(b"\x80\6}."), ["protocol 6"]),
                ("an opcode that makes objects", torch_file(b"\x80\x02ccollections\nOrderedDict\n)\x81."), ["object of collections.OrderedDict"]),
                ("4 million marks", torch_file(deep), ["data.pkl"]),
                ("memo 2^32 - 1", torch_file(b"\x80\x02}r\xff\xff\xff\xff."), ["data.pkl"]),
                ("memo that was never put", torch_file(b"\x80\x02h\7."), ["data.pkl"]),
                ("text of 4 GB", torch_file(b"\x80\x02X\xff\xff\xff\xff."), ["data.pkl"]),
                ("integer of 255 bytes", torch_file(b"\x80\x02\x8a\xff" + bytes(255) + b"."), ["data.pkl"]),
                ("stack taken below its bottom", torch_file(b"\x80\x02u."), ["data.pkl"]),
                ("nothing left at the end", torch_file(b"\x80\x02."), ["data.pkl"]),
                ("no end", torch_file(b"\x80\x02}"), ["data.pkl"]),
                ("a map that holds itself", torch_file(itself), ["data.pkl"]),
                ("2^60 rows", torch_file(state(("w", tensor(size=(HUGE, 2))))), ["w"]),
                ("rows that overflow", torch_file(state(("w", tensor(size=(1 << 62, 4), stride=(4, 1))))), ["w"]),
                ("a stride of 2^62", torch_file(state(("w", tensor(stride=(1 << 62, 1))))), ["w"]),
                ("a negative stride", torch_file(state(("w", tensor(stride=(-2, 1))))), ["w"]),
                ("offset behind the storage", torch_file(state(("w", tensor(offset=HUGE)))), ["w"]),
                ("storage of 2^60 elements", torch_file(state(("w", tensor(of=storage(HUGE))))), ["storage"]),
                ("storage shorter than told", torch_file(state(("w", tensor())), {"0": bytes(15)}), ["15"]),
                ("storage that is not there", torch_file(state(("w", tensor(of=storage(key="../0"))))), ["../0"]),
                ("a million dimensions", torch_file(state(("w", tensor(size=[1] * 1000000, stride=[1] * 1000000)))), ["w"]),
                ("a tensor twice", torch_file(state(("w", tensor()), ("w", tensor()))), ["w"]),
                ("no tensor", torch_file(b"\x80\x02K\1."), ["expected a map"])):
            self.case("torch: " + what, {"pytorch_model.bin": raw}, *[w for w in words if w != "model.bin"], mib=512)
        self.assertFalse(os.path.exists(self.path("ran")))
        self.case("torch: a million entries", {"pytorch_model.bin": many_entries(1000000)}, "data.pkl", mib=1024)
        self.case("torch: a million entries over a small budget", {"pytorch_model.bin": many_entries(1000000)}, "memory_per_process",
                  status=4)
        shared = b"q\1"                                     # one storage, put into the memo and taken from it 200000 times
        first = ("w", tensor(size=(4,), stride=(1,), of=storage() + shared))
        many = state(first, *[("w%d" % i, tensor(size=(4,), stride=(1 << 61,), of=b"h\1")) for i in range(200000)])
        self.case("torch: 200000 tensors that overflow", {"pytorch_model.bin": torch_file(many)}, "w", mib=1024)
        def wrapped(bomb):
            return torch_file(b"\x80\x02}(" + text("note") + bomb + text("state_dict") + state(("w", tensor()))[2:-1] + b"u.")

        def twice(put, i):                                  # the value put into the memo last, two times, in another
            return b"(h%ch%c%bq%c" % (i, i, put, i + 1)

        # For a tensor they are refused; beside the state dict nobody looks at them.
        for what, bomb in (("tuples of tuples, 2^200 ways", b"(" + b")q\0" + b"".join(twice(b"t", i) for i in range(200)) + b"t"),
                           ("lists of lists, 2^100 ways",
                            b"(" + b"]q\0" + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(100)) + b"t")):
            self.case("torch: " + what, {"pytorch_model.bin": torch_file(state(("v", bomb), ("w", tensor())))},
                      "tensor v: value: expected a tensor, found a tuple")
            self.good("torch: beside, " + what, {"pytorch_model.bin": wrapped(bomb)})
        self.good("torch: expanded to 2^20 elements", {"pytorch_model.bin": torch_file(state(("w", tensor(size=(1 << 20,), stride=(0,)))))},
                  mib=512)

    def test_expanded_far_beyond_its_file(self):
        """Strides of 0 make any number of elements of a few bytes: more than ever were stored is refused, or takes forever."""
        for size in ((1 << 40,), (1 << 30, 1 << 30), (1 << 31, 1 << 31)):
            self.case("torch: expanded to %s" % "x".join(map(str, size)),
                      {"pytorch_model.bin": torch_file(state(("w", tensor(size=size, stride=[0] * len(size)))))}, "w", mib=512, base="tuned")

    def test_logits(self):
        def hdf5(**options):
            def make(path):
                with h5py.File(path, "w") as f:
                    f.create_dataset("logits", **options)
            return make

        ones = np.ones((4, 8), np.float32)
        for what, file, raw, words in (
                ("npy of 2^60 rows", "logits.npy", npy_of((HUGE, 8)), ["logits.npy"]),
                ("npy that overflows", "logits.npy", npy_of((1 << 62, 1 << 62)), ["logits.npy"]),
                ("npy of negative rows", "logits.npy", npy_of((-4, -8), ones.tobytes()), ["logits.npy"]),
                ("npy cut off", "logits.npy", npy_of((4, 8), ones.tobytes()[:-1]), ["logits.npy"]),
                ("npy with a header of 4 GB", "logits.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff", ["logits.npy"]),
                ("npy of objects", "logits.npy", npy_of((4, 8), ones.tobytes(), "|O"), ["logits.npy"]),
                ("npy by columns", "logits.npy", npy_of((4, 8), ones.tobytes(), fortran=True), ["logits.npy"]),
                ("npy that calls", "logits.npy", npy("__import__('os').system('touch ran')\n", ones.tobytes()), ["logits.npy"]),
                ("npy nested deep", "logits.npy", npy("{" + "(" * 60000, ones.tobytes()), ["logits.npy"]),
                ("npy of a million dimensions", "logits.npy", npy("{'shape': (%s)" % ("1," * 30000), ones.tobytes()), ["logits.npy"]),
                ("safetensors of 2^60 rows of nothing", "logits.safetensors", st({"logits": t("F32", [HUGE, 0], 0, 0)}), ["no elements"]),
                ("safetensors of one row of 2^60", "logits.safetensors", st({"logits": t("U8", [1, HUGE], 0, HUGE)}), ["cut off"]),
                ("safetensors without logits", "logits.safetensors", st({"x": t()}, bytes(16)), ["no tensor named logits"]),
                ("HDF5 of 2^40 rows never written", "logits.h5", hdf5(shape=(1 << 40, 1000), dtype="f4", chunks=(1, 1000)), ["chunks were written"]),
                ("HDF5 of 2^40 rows, packed, never written", "logits.h5",
                 hdf5(shape=(1 << 40, 1000), dtype="f4", chunks=(1, 1000), compression="gzip"), ["chunks were written"]),
                ("HDF5 with a chunk of 3 GB", "logits.h5", hdf5(shape=(4, 1 << 28), dtype="f4", chunks=(3, 1 << 28)), ["chunks of one row"]),
                ("HDF5 elsewhere", "logits.h5", hdf5(shape=(4, 8), dtype="f4", external=[("x.raw", 0, 128)]), ["other files"]),
                ("HDF5 of texts", "logits.h5", hdf5(shape=(4, 8), dtype="S4"), ["unknown element type"]),
                ("HDF5 cut off", "logits.h5", b"\x89HDF\r\n\x1a\n" + bytes(60), ["logits.h5"]),
                ("llama.cpp of 2^31 chunks", "logits.npy", llama(1 << 31, (1 << 31) - 1, (1 << 31) - 1), ["logits.npy"]),
                ("llama.cpp of no vocabulary", "logits.npy", llama(8, 0, 1, bytes(1000)), ["logits.npy"]),
                ("llama.cpp of negative chunks", "logits.npy", llama(8, 8, -1, bytes(1000)), ["logits.npy"]),
                ("llama.cpp cut off", "logits.npy", llama(8, 8, 2, bytes(100)), ["logits.npy"]),
                ("a pipe", "logits.npy", os.mkfifo, ["no regular file"]),
                ("nothing", "logits.npy", b"", ["logits.npy"]),
                ("anything", "logits", bytes(range(256)), ["logits"])):
            self.case("logits: " + what, {file: raw}, *words, logits=True)
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_config(self):
        good = CONFIG % (DEFAULT_MIB, "base", "tuned", "", "")
        head, axes = "study: s\noutput: out\n", "matrix: {families: [%s], algorithms: [a], seeds: [%s], base: '%s', tuned: t%s}\n"
        stages = "stages: {load: {}, delta: {needs: [load]}}\n"

        def many(pattern, n=30000):
            return ", ".join(pattern % i for i in range(n))

        bomb = "".join("a%d: &a%d [%s]\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 10 if i else ["x"] * 10)) for i in range(30))
        for what, text_, words in (
                ("aliases that multiply", bomb, ["anchors"]),
                ("merge keys that multiply", "a: &a {x: 1}\nb: {<<: [" + "*a, " * 10000 + "*a]}\n", ["anchors"]),
                ("tags", good.replace("study: table", "study: !!python/object/apply:os.system [id]"), ["tags"]),
                ("nested a million deep", "a: " + "[" * 1000000, ["deep"]),
                ("maps nested deep", "a: " + "{a: " * 100000, ["deep"]),
                ("indented deep", "".join("%sa:\n" % (" " * i) for i in range(1500)), ["deep"]),
                ("a text of 5 MB", "study: " + "s" * 5000000, ["4194304 bytes"]),
                ("a name of 3 MB", "study: " + "s" * 3000000, ["study"]),
                ("a quoted text of 3 MB", 'study: "' + "\\x41" * 700000 + '"', ["study"]),
                ("no UTF-8", b"study: \xff\xfe\n", ["UTF-8"]),
                ("UTF-16 without end", b"\xff\xfes\0", ["c.yaml"]),
                ("NUL", b"study: a\0b\n", ["c.yaml"]),
                ("30000 families", head + axes % (many("f%d"), "0", "b", "") + stages, ["matrix.families: 30000 values"]),
                ("a family twice among 10000", head + axes % (many("f%d", 9999) + ", " + many("f%d", 1), "0", "b", "") + stages, ["given twice"]),
                ("100 million cells", head + axes % (many("f%d", 9999), many("%d", 9999), "b", "") + stages, ["more than 10000 cells"]),
                ("30000 families excluded", head + axes % ("f", "0", "b", ", exclude: [{family: [%s]}]" % many("g%d")) + stages,
                 ["30000 values"]),
                ("9999 wrong families excluded", head + axes % (many("f%d", 9999), "0", "b", ", exclude: [{family: [%s]}]" % many("g%d", 9999))
                 + stages, ["is not in matrix.families"]),
                ("30000 exclusions", head + axes % ("f", "0", "b", ", exclude: [%s]" % many("{seed: %d}")) + stages, ["30000 entries"]),
                ("9999 exclusions of everything", head + axes % (many("f%d", 9999), "0", "b", ", exclude: [%s]" % ", ".join(["{seed: 0}"] * 9999))
                 + stages, ["more than 1000000 cells, each counted"]),
                ("90 exclusions of everything", head + axes % (many("f%d", 9999), "0", "b", ", exclude: [%s]" % ", ".join(["{seed: 0}"] * 90))
                 + stages, ["leaves no cell"]),
                ("a path of 1 MB", head + axes % ("f", "0", "{family}" * 100000, "") + stages, ["a path of"]),
                ("a variable 200000 times", head + axes % ("f", "0", "${PATH}" * 200000, "") + stages, ["a path of"]),
                ("30000 nodes", good.replace("load: {},", "load: {}, " + many("m%d: {kind: mask, needs: [delta]}") + ","), ["30003 nodes"]),
                ("a circle of 900 nodes", good.replace("load: {},", "load: {}, " + many("m%d: {kind: mask, needs: [delta, m]}", 900).replace(
                    ", m]", ", m899]") + ","), ["m899"]),
                ("a chain of 900 nodes", good.replace("load: {},", "load: {}, " + ", ".join(
                    "m%d: {kind: mask, needs: [delta, m%d]}" % (i, (i + 1) % 900) for i in range(900)) + ","), ["circle"]),
                ("30000 unknown keys", good + many("k%d: 1").replace(", ", "\n") + "\n", ["unknown key", "the first found are listed"]),
                ("30000 times one key", good + "k: 1\n" * 30000, ["k"]),
                ("30000 needs", good.replace("needs: [load]", "needs: [%s]" % many("n%d")), ["there is no node"]),
                ("30000 tolerances", good.replace("needs: [load]", "needs: [load], tolerances: [%s]" % many("%d")), ["tolerances"]),
                ("a config that is a folder", None, ["c.yaml"])):
            raw = text_.encode() if isinstance(text_, str) else text_
            with self.subTest(what):
                self.put_config(raw)
                run = run_watched(self.dir, NP, ["run", self.path("c.yaml")])
                row = ["config: " + what, 2, run.returncode, (run.errors() or [""])[0], run.seconds, run.peak_kib / 1024, "FAIL"]
                table.append(row)
                self.assertIn(run.returncode, (2,) if raw is not None else (2, 4), run.text())
                self.assertEqual(len(run.errors()), 1, run.text())
                for word in words:
                    self.assertIn(word, run.stderr)
                self.assertLess(len(run.stderr), 200000)
                self.assertEqual(lib.processes_with(self.dir), [], "processes left behind")
                self.in_time(run)
                if not self.sanitized:
                    self.assertLess(run.peak_kib, (1024 + BESIDE_MIB) * 1024, "memory")
                row[-1] = "ok"

    def put_config(self, raw):
        path = self.path("c.yaml")
        if os.path.isdir(path):
            os.rmdir(path)
        elif os.path.exists(path):
            os.remove(path)
        if raw is None:
            os.mkdir(path)
        else:
            with open(path, "wb") as f:
                f.write(raw)


def tearDownModule():
    print("\n%-45s %8s %4s %6s %5s  %s" % ("case", "expected", "got", "s", "MiB", "message"))
    for what, expected, got, message, seconds, mib, verdict in table:
        print("%-45s %8s %4s %6.1f %5.0f  %s%s" % (what, expected, got, seconds, mib, "" if verdict == "ok" else "FAIL ", message[:150]))
    print("%d of %d as expected" % (sum(row[-1] == "ok" for row in table), len(table)), flush=True)


if __name__ == "__main__":
    lib.main()
