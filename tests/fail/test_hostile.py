#!/usr/bin/python3
"""Genuine folders of trainers, damaged byte by byte and piece by piece: each is read or refused with one message, and nothing crashes,
hangs, runs out of its memory or follows a path out of the folder. Damage that can only be wrong (a rank that is missing, a number that
became negative) must be refused.

The folders are those of ../shared/trainers or of SINEW_TRAINERS; SINEW_HOSTILE says how many damaged copies of each there are (8),
SINEW_HOSTILE_SEED which. What was found is printed with the seed of the copy, from which the same copy is made again."""
import io
import json
import os
import pickletools
import random
import re
import shutil
import struct
import sys
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402

TRAINERS = os.environ.get("SINEW_TRAINERS", os.path.join(lib.ROOT, "..", "shared", "trainers"))
COPIES = int(os.environ.get("SINEW_HOSTILE", "8"))
SEED = int(os.environ.get("SINEW_HOSTILE_SEED", "1"))
ONLY = os.environ.get("SINEW_HOSTILE_ONLY", "")
LIMIT_SEC = 20  # for one copy
BATCH = 40
BUDGET_MIB = 64
LIMIT_KIB = (BUDGET_MIB + 128) * 1024  # libraries and pages of the program beside the budget; not told of a build with sanitizers
KINDS = ["verl-fsdp1-w3-tied", "verl-fsdp1-hsdp2x2", "verl-fsdp2-w4", "verl03-torch24-fsdp1-w2", "verl03-torch24-hsdp2x2-tied",
         "plain-fsdp1-shardedtensor-w2", "plain-compile-bf16-tied", "accelerate-fsdp1-full-w2", "accelerate-fsdp2-w2-tied",
         "dcp-tp2xdp2", "dcp-nested-w3", "dcp-hf-sharded-w2", "dcp-app-stateful-async-w2-tied", "titan-llama3-w3-async-fusedqkv",
         "zero1-w2", "zero1-bf16opt", "zero1-frozen", "zero2-rr-align", "zero3-w3", "zero3-moe-w2", "zero-w11",
         "lora-qv", "lora-patterns", "lora-dora", "lora-embed-tied", "lora-tokens", "lora-bf16-bin", "lora-unmerged", "lora-moe-params",
         "lora-bias-only", "lora-modules-to-save", "fp8-inv-e8m0", "fp8-block-ct", "fp8-channel-ct", "fp8-tensor-ct", "mxfp4-gptoss",
         "mxfp4-ct", "mxfp8-ct", "nvfp4-ct", "experts-mixtral", "experts-gptoss", "gptq", "bnb-nf4", "int4-ct"]
NUMBERS = [0, 1, -1, 2, 3, 7, 255, 256, 65535, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 40, (1 << 62), (1 << 63) - 1,
           -(1 << 63), 1 << 64, 10**30]
TEXTS = ["", ".", "..", "../x", "/etc/passwd", "x" * 5000, "a/../../b", "\x1b[31m", "\n", "model.embed_tokens.weight", "-1", "nan",
         "999999999999999999999", "%s%n", "(((((((((a+)+)+)+)+)+)+)+)+$", "[", "\\", "\u03b8", "model", "cpu", "float64"]
VALUES = NUMBERS + TEXTS + [None, True, False, [], {}, [[]], {"a": {}}, 0.5, -0.0, 1e308, [1] * 1000, float("nan"), float("inf")]


# ---- damage to bytes and files ----

def numbers_in(data, rng):
    """Eight or four bytes somewhere become an extreme number."""
    width = rng.choice((2, 4, 8))
    if len(data) <= width:
        return data
    at = spot(len(data) - width, rng)
    return data[:at] + struct.pack("<Q", rng.choice(NUMBERS) & ((1 << 64) - 1))[:width] + data[at + width:]


def spot(size, rng):
    """Where headers and directories are: near the start, near the end, or anywhere."""
    where = rng.randrange(4)
    span = min(size, 4096)
    return rng.randrange(span + 1) if where == 0 else size - rng.randrange(span + 1) if where < 3 else rng.randrange(size + 1)


def flipped(data, rng):
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if out:
            out[min(spot(len(out), rng), len(out) - 1)] = rng.randrange(256)
    return bytes(out)


def cut(data, rng):
    return data[:spot(len(data), rng)]


def spliced(data, rng):
    """A run of bytes is left out, doubled or moved."""
    a, b = sorted(spot(len(data), rng) for _ in range(2))
    return rng.choice((data[:a] + data[b:], data[:b] + data[a:], data[:a] + data[b:] + data[a:b]))


# ---- damage to what the bytes mean ----

def json_damaged(value, rng):
    """One leaf or branch of a JSON value is another one."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        act = rng.random()
        out = dict(value) if isinstance(value, dict) else list(value)
        if act < 0.1:
            del out[key]
        elif act < 0.2 and isinstance(out, dict):
            out[rng.choice(TEXTS)] = out.pop(key)
        elif act < 0.25 and isinstance(out, list):
            out.append(out[key])
        elif act < 0.3:
            other = rng.choice(keys)
            out[key], out[other] = out[other], out[key]
        else:
            out[key] = json_damaged(value[key], rng)
        return out
    if isinstance(value, int) and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 2, 64, -value, value))
    return rng.choice(VALUES)


def json_file(data, rng):
    try:
        return json.dumps(json_damaged(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return flipped(data, rng)


def safetensors_file(data, rng):
    if len(data) < 8 or struct.unpack("<Q", data[:8])[0] > len(data) - 8:
        return flipped(data, rng)
    n = struct.unpack("<Q", data[:8])[0]
    text = json_file(data[8:8 + n], rng)
    return struct.pack("<Q", len(text)) + text + data[8 + n:]


INTS = {"BININT1": (b"K", "<B"), "BININT2": (b"M", "<H"), "BININT": (b"J", "<i")}


def int_op(x):
    if x >> 31 in (0, -1):
        return b"J" + struct.pack("<i", x)
    raw = x.to_bytes((x.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def pickle_file(data, rng):
    """An operand of a pickle is another one, or an operation is left out, doubled or exchanged."""
    try:
        ops = [(op, arg, at) for op, arg, at in pickletools.genops(data)]
    except Exception:
        return flipped(data, rng)
    ends = [at for _, _, at in ops[1:]] + [len(data)]
    for _ in range(20):
        i = rng.randrange(len(ops))
        op, arg, at = ops[i]
        if op.name in ("PROTO", "STOP", "FRAME"):
            continue
        act = rng.random()
        if act < 0.15:
            return data[:at] + data[ends[i]:]
        if act < 0.3:
            return data[:ends[i]] + data[at:ends[i]] + data[ends[i]:]
        if act < 0.4:
            k = rng.randrange(len(ops))
            return data[:at] + data[ops[k][2]:ends[k]] + data[ends[i]:]
        if op.name in INTS or op.name == "LONG1":
            return data[:at] + int_op(rng.choice(NUMBERS + [arg + 1, arg - 1, 2 * arg, -arg])) + data[ends[i]:]
        if op.name in ("BINUNICODE", "SHORT_BINUNICODE"):
            text = rng.choice(TEXTS + [arg + "x", arg[:-1]]).encode("utf-8")
            return data[:at] + b"X" + struct.pack("<I", len(text)) + text + data[ends[i]:]
        if op.name == "GLOBAL":
            name = rng.choice(["posix system", "builtins eval", "torch HalfStorage", "torch DoubleStorage", "torch Size", "a b",
                               "torch.distributed.tensor.placement_types Partial", "torch.distributed.tensor.placement_types _StridedShard"])
            return data[:at] + b"c" + name.replace(" ", "\n").encode() + b"\n" + data[ends[i]:]
        if op.name in ("BINGET", "LONG_BINGET"):
            return data[:at] + b"h" + bytes([rng.randrange(256)]) + data[ends[i]:]
    return flipped(data, rng)


def zip_file(data, rng):
    """The pickle of an archive is damaged and the archive packed anew; or an entry is renamed, lost, doubled or short."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            entries = [(info.filename, z.read(info)) for info in z.infolist()]
    except Exception:
        return flipped(data, rng)
    i = rng.randrange(len(entries))
    pickles = [k for k, (name, _) in enumerate(entries) if name.endswith(".pkl")]
    act = rng.random()
    if pickles and act < 0.75:
        i = rng.choice(pickles)
        entries[i] = (entries[i][0], pickle_file(entries[i][1], rng))
    elif act < 0.8:
        del entries[i]
    elif act < 0.85:
        entries.append(entries[i])
    elif act < 0.9:
        entries[i] = (rng.choice(TEXTS[1:]).replace("\n", "n"), entries[i][1])
    else:
        entries[i] = (entries[i][0], cut(entries[i][1], rng))
    out = io.BytesIO()
    import warnings
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))) as z:
        warnings.simplefilter("ignore")
        for name, content in entries:
            z.writestr(zipfile.ZipInfo(name), content, z.compression)
    return out.getvalue()


def meaning(name, data, rng):
    if name.endswith(".json"):
        return json_file(data, rng)
    if name.endswith(".safetensors"):
        return safetensors_file(data, rng)
    if data[:2] == b"PK" and not name.endswith(".distcp"):
        return zip_file(data, rng)
    if name == ".metadata":
        return pickle_file(data, rng)
    if name.endswith(".distcp"):
        return rng.choice((flipped, numbers_in, cut, spliced))(data, rng)
    return rng.choice(TEXTS).encode("utf-8", "surrogatepass")


# ---- a damaged copy ----

def files_of(folder):
    return sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, fs in os.walk(folder) for f in fs)


def swap(folder, names, rng):
    a, b = (os.path.join(folder, rng.choice(names)) for _ in range(2))
    if a != b:
        os.rename(a, a + ".x")
        os.rename(b, a)
        os.rename(a + ".x", b)


def renumbered(folder, name, rng):
    """A copy of the file as another rank's, or its name with another number."""
    found = list(re.finditer(r"\d+", name))
    if not found:
        return
    m = rng.choice(found)
    other = name[:m.start()] + str(rng.choice((0, 1, int(m.group()) + 1, 99999, 10**18))).rjust(len(m.group()), "0") + name[m.end():]
    if os.path.exists(os.path.join(folder, other)):
        return
    os.makedirs(os.path.dirname(os.path.join(folder, other)), exist_ok=True)
    (shutil.copyfile if rng.random() < 0.5 else os.rename)(os.path.join(folder, name), os.path.join(folder, other))


def replaced(path, rng):
    """Something else stands under the name."""
    os.remove(path)
    act = rng.randrange(7)
    if act == 0:
        os.mkfifo(path)
    elif act == 1:
        os.symlink(path, path)
    elif act == 2:
        os.symlink("/dev/zero", path)
    elif act == 3:
        os.mkdir(path)
    elif act == 4:
        os.symlink("..", path)
    elif act == 5:
        open(path, "w").close()


def damage(folder, seed):
    """Damages a copy in one way, or in two."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2))):
        names = [n for n in files_of(folder) if os.path.isfile(os.path.join(folder, n)) and not os.path.islink(os.path.join(folder, n))]
        read = [n for n in names if not re.search(r"tokeniz|optim_world|extra_state|README|vocab|merges|generation_", n)] or names
        if not read:
            return
        name = rng.choice(read)
        path = os.path.join(folder, name)
        act = rng.random()
        if act < 0.06:
            os.remove(path)
        elif act < 0.12:
            swap(folder, read, rng)
        elif act < 0.18:
            renumbered(folder, name, rng)
        elif act < 0.24:
            replaced(path, rng)
        else:
            with open(path, "rb") as f:
                data = f.read()
            how = rng.choice((flipped, numbers_in, cut, spliced, None, None, None, None, None, None))
            data = how(data, rng) if how else meaning(os.path.basename(name), data, rng)
            os.remove(path)  # it may be a link to the genuine one
            with open(path, "wb") as f:
                f.write(data)


def cases():
    with open(os.path.join(TRAINERS, "cases.json")) as f:
        found = {}
        for case in json.load(f):
            if case["name"] in KINDS and case["name"].startswith(ONLY):
                found.setdefault(case["name"], []).append(case)
    return found


CONFIG = """study: hostile
output: out
memory_per_process: %d MiB
cells:
%sstages:
  load: {}
  delta: {needs: [load], arithmetic: f32, unmatched: skip, coverage: any}
"""


class Hostile(lib.Case):
    def cell(self, case, path, i):
        keys = "".join(", %s: %s" % (k, case[k]) for k in ("weights", "adapter") if k in case)
        return '  - {family: f, algorithm: a, seed: %d, base: "%s", tuned: "%s"%s}\n' % (i, os.path.join(TRAINERS, case["base"]), path, keys)

    def copies(self, case, seeds):
        """(seed, case, path) of the damaged copies."""
        top = case["name"]
        tuned = os.path.relpath(case["tuned"], top)
        out = []
        for seed in seeds:
            root = self.path("t%d" % seed)
            source = os.path.join(TRAINERS, case["tuned"])
            if os.path.isfile(source):
                os.makedirs(root)
                shutil.copyfile(source, os.path.join(root, os.path.basename(source)))
                damage(root, seed)
                out.append((seed, case, os.path.join(root, os.path.basename(source))))
            else:
                path = os.path.join(root, os.path.basename(tuned))
                shutil.copytree(source, path)
                damage(path, seed)
                out.append((seed, case, path))
        return out

    def run_on(self, verb, copies, np_=0):
        text = CONFIG % (BUDGET_MIB, "".join(self.cell(case, path, i) for i, (_, case, path) in enumerate(copies)))
        shutil.rmtree(self.path("out"), ignore_errors=True)
        return lib.run_sinew(np_, [verb, self.write("s.yaml", text), "-q"] if verb == "run" else [verb, self.write("s.yaml", text)],
                             cwd=self.dir, timeout=LIMIT_SEC * max(1, len(copies) // 4))

    def bad(self, run):
        """What is wrong with how a run ended; None where nothing is."""
        if run.returncode not in (0, 2, 3, 4):
            return "ended with %s after %.1f s" % (run.returncode, run.seconds)
        if run.peak_kib > LIMIT_KIB and "SINEW_TEST_SLOWER" not in os.environ:
            return "took %d MiB" % (run.peak_kib // 1024)
        if "Sanitizer" in run.stderr or "runtime error" in run.stderr or "internal error" in run.stderr:
            return "a sanitizer or sinew itself complains"
        if (run.returncode == 0) != (not run.errors()):
            return "status %d with %d messages" % (run.returncode, len(run.errors()))
        if re.search("[\x00-\x08\x0b-\x1f\x7f]", run.stdout + run.stderr):
            return "control characters are printed"
        return None

    def judge(self, copies, np_):
        """Reads the copies, all together where that ends well, else one by one."""
        check = self.run_on("check", copies)
        fault = self.bad(check)
        if fault and len(copies) > 1:
            half = len(copies) // 2
            return self.judge(copies[:half], np_) + self.judge(copies[half:], np_)
        if fault:
            return [(copies[0], "check " + fault, check.text())]
        refused = [c for c in copies if any(c[2] in line for line in check.errors())]
        good = [c for c in copies if c not in refused]
        return self.read(good, np_) if good else []

    def read(self, copies, np_):
        run = self.run_on("run", copies, np_)
        fault = self.bad(run)
        if len(copies) > 1 and (fault or run.returncode != 0):
            return [found for c in copies for found in self.read([c], np_)]
        if fault is None and len(run.errors()) > 1:
            fault = "more than one message"
        if fault is None and run.returncode == 4 and not re.search("memory_per_process|cannot be opened|cannot be listed", run.stderr):
            fault = "an error of the system"
        return [(copies[0], "run " + fault, run.text())] if fault else []

    def test_certain(self):
        """Damage that can only be wrong is refused by its cause."""
        def of(folder, end):
            return sorted(os.path.join(folder, n) for n in files_of(folder) if re.search(end, n))

        for name, end in (("verl-fsdp2-w4", "model_world_size"), ("verl03-torch24-fsdp1-w2", "model_world_size"),
                          ("zero1-w2", "optim_states.pt$"), ("zero2-rr-align", "optim_states.pt$"), ("zero-w11", "optim_states.pt$")):
            case = next(c for found in cases().get(name, [])[:1] for c in [found])
            for what, do, words in (
                    ("a rank's file is missing", lambda a, b: os.remove(a), "missing"),
                    ("a rank's file is another's", lambda a, b: shutil.copyfile(a, b), "the same file|another rank's file"),
                    ("a rank too many", lambda a, b: shutil.copyfile(a, re.sub(r"rank_\d+", "rank_77", a, 1)), "missing|expected ranks below"),
                    ("a rank's file is empty", lambda a, b: open(b, "w").close(), "no torch file")):
                with self.subTest(name + ": " + what):
                    path = self.path("certain", "tuned")
                    shutil.rmtree(path, ignore_errors=True)
                    shutil.copytree(os.path.join(TRAINERS, case["tuned"]), path)
                    do(*of(path, end)[:2])
                    run = self.run_on("check", [(0, case, path)])
                    self.assertEqual((run.returncode, len(run.errors())), (3, 1), run.text())
                    self.assertRegex(run.errors()[0], words)

    def test_damaged(self):
        found, n = [], 0
        for name, these in cases().items():
            rng = random.Random("%s %d" % (name, SEED))
            seeds = [rng.randrange(1 << 40) for _ in range(COPIES)]
            for start in range(0, COPIES, BATCH):
                copies = [c for i, seed in enumerate(seeds[start:start + BATCH]) for c in self.copies(these[i % len(these)], [seed])]
                found += [(name,) + f for f in self.judge(copies, 2 if start % (2 * BATCH) else 0)]
                n += len(copies)
                for seed, _, _ in copies:
                    shutil.rmtree(self.path("t%d" % seed), ignore_errors=True)
            print("%s: %d copies, %d found" % (name, n, len(found)), flush=True)
        for name, (seed, case, _), fault, text in found:
            print("==== %s %s seed %d: %s\n%s" % (name, case["tuned"], seed, fault, text[:3000]), flush=True)
        self.assertEqual([(f[0], f[1][0], f[2]) for f in found], [])


if __name__ == "__main__":
    if not os.path.exists(os.path.join(TRAINERS, "cases.json")):
        lib.skip("no genuine folders in %s" % TRAINERS)
    lib.main()
