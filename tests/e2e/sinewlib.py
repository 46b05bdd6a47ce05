"""What the end-to-end tests share: writing and reading safetensors in plain python, running sinew under mpirun, reading and
comparing archives, and an independent reference for the update of a pair.

A test file is started as `/usr/bin/python3 FILE --sinew PATH` (or with SINEW in the environment) and ends with exit status 0
(passed), 1 (failed) or 77 (skipped, with the reason on stdout)."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = 1 << 18  # elements of a block of the layout
NUMPY = {"BF16": np.uint16, "F16": np.uint16, "F32": np.uint32, "I64": np.int64, "U8": np.uint8, "F64": np.uint64}


# ---- starting a test file ----

def skip(why):
    """Ends the test file as skipped."""
    print("skipped: " + why, flush=True)
    sys.exit(77)


def binary():
    path = os.environ.get("SINEW", os.path.join(ROOT, "build", "dev", "sinew"))
    return os.path.abspath(path)


def main():
    """Runs the tests of the calling file; takes --sinew PATH out of the command line."""
    for i, word in enumerate(sys.argv):
        if word == "--sinew":
            os.environ["SINEW"] = sys.argv[i + 1]
            del sys.argv[i:i + 2]
            break
    if not os.access(binary(), os.X_OK):
        print("no sinew binary at %s: give --sinew PATH" % binary())
        sys.exit(1)
    unittest.main(module="__main__", verbosity=2)


class Case(unittest.TestCase):
    """A test with a folder of its own, removed at the end."""
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sinew-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *words):
        return os.path.join(self.dir, *words)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def sinew(self, args, np=0, status=0, env=None, timeout=120):
        """Runs sinew and checks its exit status."""
        run = run_sinew(np, args, cwd=self.dir, env=env, timeout=timeout)
        self.assertEqual(run.returncode, status, "sinew %s\n%s" % (" ".join(args), run.text()))
        return run


# ---- running sinew ----

class Run:
    def __init__(self, returncode, stdout, stderr, seconds, peak_kib):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr
        self.seconds, self.peak_kib = seconds, peak_kib

    def text(self):
        return "exit status %s after %.1f s\n---- stdout\n%s\n---- stderr\n%s" % (
            self.returncode, self.seconds, self.stdout[-6000:], self.stderr[-6000:])

    def errors(self):
        """The error lines of sinew itself: warnings and what mpirun adds are none."""
        return [line for line in self.stderr.splitlines()
                if line.startswith("sinew: ") and not line.startswith("sinew: warning:")]


def environment(extra=None, np=0):
    env = dict(os.environ)
    if os.geteuid() == 0:
        env["OMPI_ALLOW_RUN_AS_ROOT"] = env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    env.setdefault("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
    env.setdefault("OPENBLAS_NUM_THREADS", "1")
    if np > 0:
        env["ASAN_OPTIONS"] = "detect_leaks=0"  # what MPI keeps until the end: see tests/leaks.supp
        # Not to be looked for on one machine, a third of a start. And where a process ends with another status than 0, mpirun
        # sends signals to the others and sleeps for a second after each: our processes end by themselves by then.
        for name, value in (("pml", "ob1"), ("osc", "^ucx"), ("odls_base_sigkill_timeout", "0")):
            env.setdefault("OMPI_MCA_" + name, value)
    env.update(extra or {})
    return env


def run_sinew(np, args, cwd=None, env=None, timeout=120):
    """np = 0: without mpirun. On timeout the whole process group is killed and the exit status is "timeout". A build that is
    slower than others says in SINEW_TEST_SLOWER how many times as long it may take."""
    timeout *= float(os.environ.get("SINEW_TEST_SLOWER", "1"))
    command = [binary()] + list(args)
    if np > 0:
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(np)] + command
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, cwd=cwd, env=environment(env, np), stdout=out, stderr=err,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        usage, status, timed_out = None, 0, False
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - started > timeout:
                timed_out = True
                # mpirun passes SIGTERM on to its processes, which are in groups of their own.
                os.killpg(process.pid, signal.SIGTERM)
                time.sleep(2)
                os.killpg(process.pid, signal.SIGKILL)
                pid, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read().decode("utf-8", "replace"))
    # ru_maxrss covers the children the process has waited for: under mpirun the largest of all.
    return Run("timeout" if timed_out else process.returncode, texts[0], texts[1], time.monotonic() - started,
               usage.ru_maxrss)


def processes_with(word):
    """Ids of the processes of the binary under test that have `word` in their command line and stay. mpirun does not wait for what
    it ends: a process on its way out is given three seconds."""
    deadline = time.monotonic() + 3 * float(os.environ.get("SINEW_TEST_SLOWER", "1"))
    while True:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/exe" % pid) != os.path.realpath(binary()):
                    continue
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    if word.encode() in f.read():
                        found.append(int(pid))
            except OSError:
                pass
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


# ---- safetensors ----

def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> (dtype, shape, bytes), laid out in that order."""
    header, at = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    write_raw_safetensors(path, json.dumps(header), b"".join(data for _, _, data in tensors.values()))


def write_raw_safetensors(path, header, data):
    """header: the JSON text, which may be wrong on purpose."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = header.encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """name -> (dtype, array of raw bits)."""
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = (8 + n + x for x in entry["data_offsets"])
        tensors[name] = (entry["dtype"], np.frombuffer(raw[a:b], NUMPY[entry["dtype"]]).reshape(entry["shape"]))
    return tensors


def write_checkpoint(folder, tensors, shards=1):
    """tensors: name -> (dtype, array of raw bits). shards > 1: cut by name, with an index."""
    packed = {name: (dtype, bits.shape, bits.tobytes()) for name, (dtype, bits) in tensors.items()}
    if shards == 1:
        write_safetensors(os.path.join(folder, "model.safetensors"), packed, {"format": "pt"})
        return folder
    names, weight_map = sorted(packed), {}
    for i in range(shards):
        file = "model-%05d-of-%05d.safetensors" % (i + 1, shards)
        part = names[i::shards]
        write_safetensors(os.path.join(folder, file), {name: packed[name] for name in reversed(part)})
        weight_map.update({name: file for name in part})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": sum(len(t[2]) for t in packed.values())}, "weight_map": weight_map}, f)
    return folder


def read_checkpoint(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read_safetensors(os.path.join(folder, "model.safetensors"))
    with open(index) as f:
        files = set(json.load(f)["weight_map"].values())
    return {k: v for file in sorted(files) for k, v in read_safetensors(os.path.join(folder, file)).items()}


# ---- the update of a pair, independently of sinew ----

def bf16_round(x):
    """float32 array -> bf16 bits, to nearest even; a NaN becomes 0x7fc0."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    out = ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7fc0), out)


def bf16_float(bits):
    return (np.ascontiguousarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def to_compare(arithmetic, dtype, bits):
    """Raw bits of a tensor -> its bits in the compare type."""
    if dtype == "F16":
        wide = np.ascontiguousarray(bits).view(np.float16).astype(np.float32)
    elif dtype == "F32":
        wide = np.ascontiguousarray(bits).view(np.float32)
    elif arithmetic == "bf16":
        return bits
    else:
        wide = bf16_float(bits)
    return bf16_round(wide) if arithmetic == "bf16" else wide.view(np.uint32)


def to_float(arithmetic, bits):
    return bf16_float(bits) if arithmetic == "bf16" else np.ascontiguousarray(bits).view(np.float32)


def difference(arithmetic, old, new):
    """new - old as float32, rounded to the compare type."""
    with np.errstate(all="ignore"):
        d = to_float(arithmetic, new) - to_float(arithmetic, old)
        return bf16_float(bf16_round(d)) if arithmetic == "bf16" else d


def tolerance_in(arithmetic, tolerance):
    t = np.float32(tolerance)
    return float(bf16_float(bf16_round(np.array([t])))[0]) if arithmetic == "bf16" else float(t)


def updated(arithmetic, old, new, criterion, tolerance):
    """Boolean array: which elements count as updated."""
    if criterion == "bits":
        return old != new
    d = difference(arithmetic, old, new).astype(np.float64)
    if criterion == "absolute":
        return ~(np.isfinite(d) & (np.abs(d) <= tolerance_in(arithmetic, tolerance)))
    big = np.maximum(np.abs(to_float(arithmetic, old).astype(np.float64)),
                     np.abs(to_float(arithmetic, new).astype(np.float64)))
    with np.errstate(all="ignore"):
        return ~(np.isfinite(d) & (np.abs(d) <= tolerance * big))


def magnitude_bin(arithmetic, bits):
    """The top 10 bits of |w|: exponent and mantissa bits."""
    if arithmetic == "bf16":
        return (bits.astype(np.int64) & 0x7fff) >> 5
    return (bits.astype(np.int64) & 0x7fffffff) >> 21


def layer_of(name):
    found = re.search(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)(?:\.|$)", name)
    return int(found.group(1)) if found else -1


def module_of(name):
    words = name.split(".")
    if len(words) > 1 and words[-1] in ("weight", "bias"):
        words.pop()
    return words[-1]


# ---- archives and artifacts ----

def plain(rows):
    """A compound dataset as a list of dicts, byte strings as str."""
    names = rows.dtype.names
    return [{k: (v.decode() if isinstance(v, bytes) else v.item() if hasattr(v, "item") else v)
             for k, v in zip(names, row)} for row in rows]


def table(path, name):
    """Rows of a table of an archive or artifact, as dicts."""
    with h5py.File(path, "r") as f:
        return plain(f["tables/" + name][()])


def tables(path):
    with h5py.File(path, "r") as f:
        return {name: f["tables/" + name][()] for name in f["tables"]}


def bitmap(words, sizes):
    """uint64 words -> one boolean array per tensor; each tensor begins at a word."""
    bits = np.unpackbits(np.ascontiguousarray(words, "<u8").view(np.uint8), bitorder="little").astype(bool)
    out, at = [], 0
    for n in sizes:
        out.append(bits[at:at + n])
        if bits[at + n:at + (n + 63) // 64 * 64].any():
            raise AssertionError("bits set behind the end of a tensor")
        at += (n + 63) // 64 * 64
    if at != bits.size:
        raise AssertionError("the bitmap has %d bits, the tensors take %d" % (bits.size, at))
    return out


def same(a, b):
    """Equal to the bit but for the sign and payload of NaN."""
    if a.dtype.kind == "f":
        return (a == b) | (np.isnan(a) & np.isnan(b))
    return a == b


def compare_archives(one, two):
    """Differences between the /tables and /spectra of two archives, as texts. Everything is compared to the bit but for what
    comes from singular values: those agree within 1e-5 of sigma_max, ranks unless flagged ambiguous."""
    found = []
    a, b = tables(one), tables(two)
    if sorted(a) != sorted(b):
        return ["tables differ: %s and %s" % (sorted(a), sorted(b))]
    for name in sorted(a):
        x, y = a[name], b[name]
        if x.shape != y.shape or x.dtype.names != y.dtype.names:
            found.append("%s: %s rows of %s, %s of %s" % (name, x.shape, x.dtype.names, y.shape, y.dtype.names))
            continue
        for column in x.dtype.names:
            u, v = x[column], y[column]
            if name == "rank" and column in ("sigma_max", "sigma_min", "tolerance"):
                equal = same(u, v) | (np.abs(u - v) <= 1e-5 * x["sigma_max"])
            elif name == "rank" and column in ("stable_rank", "effective_rank", "top20_energy"):
                equal = same(u, v) | (np.abs(u - v) <= 1e-5 * np.abs(u))
            elif name == "rank" and column in ("matrix_rank", "rank_percent"):
                equal = same(u, v) | (x["ambiguous"] != 0) | (y["ambiguous"] != 0)
            else:
                equal = same(u, v)
            if not equal.all():
                i = int(np.flatnonzero(~equal)[0])
                found.append("%s.%s: %d of %d rows differ, first row %d: %s and %s, %s" % (
                    name, column, int((~equal).sum()), len(u), i, u[i], v[i], x[i]))
    with h5py.File(one, "r") as f, h5py.File(two, "r") as g:
        for node in f.get("spectra", {}):
            s, t = f["spectra"][node][()], g["spectra"][node][()]
            if s.shape != t.shape:
                found.append("spectra/%s: %s and %s values" % (node, s.shape, t.shape))
                continue
            for row in a["rank"][a["rank"]["node"] == node.encode()]:
                at, n = row["spectrum_offset"], row["spectrum_length"]
                if at >= 0 and n > 0 and np.abs(s[at:at + n] - t[at:at + n]).max() > 1e-5 * row["sigma_max"]:
                    found.append("spectra/%s: %s %s differs" % (node, row["cell"], row["tensor"]))
    return found


# ---- a small set of pairs with everything that is awkward ----

def float_bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32)


def half_bits(x):
    return np.ascontiguousarray(x, np.float16).view(np.uint16)


def awkward_base(rng):
    """name -> (dtype, raw bits): blocks and a bit, odd sizes, all types, scalars, nothing, NaN, Inf, subnormals, -0."""
    def bf16(*shape):
        scale = 10.0 ** rng.uniform(-4, 0, shape)
        return "BF16", bf16_round((rng.standard_normal(shape) * scale).astype(np.float32)).reshape(shape)

    special = np.array([0x0000, 0x8000, 0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x0080, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7f80,
                        0x7f80, 0x7fc0, 0x7fc1, 0xffc0, 0x3f80, 0x7fc0, 0x3727, 0x0002, 0x7f7f, 0x3f80, 0x3f80], np.uint16)
    with_nan = bf16(8, 9)
    with_nan[1][3, 4] = 0x7fc0
    low = bf16(90, 50)
    return {
        "model.embed_tokens.weight": bf16(700, 600),                       # more than one block
        "model.layers.0.self_attn.q_proj.weight": bf16(33, 65),
        "model.layers.0.self_attn.k_proj.weight": bf16(65, 7),             # F32 after tuning
        "model.layers.0.self_attn.k_proj.bias": bf16(7),
        "model.layers.0.mlp.up_proj.weight": ("F16", half_bits(rng.standard_normal((64, 64)) * 0.05)),
        "model.layers.0.input_layernorm.weight": bf16(129),                # never updated
        "model.layers.1.self_attn.v_proj.weight": bf16(40, 30),            # never updated
        "model.layers.1.mlp.gate_proj.weight": low,                        # rank 7
        "model.layers.1.mlp.down_proj.weight": with_nan,
        "model.layers.1.mlp.experts.weight": bf16(2, 3, 5),
        "model.layers.1.post_attention_layernorm.weight": ("BF16", special),
        "model.layers.10.mlp.up_proj.weight": ("F32", float_bits(rng.standard_normal((31, 64)) * 0.02)),
        "model.norm.weight": ("BF16", bf16(1)[1].reshape(())),             # a scalar
        "model.empty.weight": ("BF16", np.zeros((3, 0), np.uint16)),
        "model.rotary.position_ids": ("I64", np.arange(5)),                # no floating point: skipped
        "lm_head.weight": bf16(1, 513),
    }


def awkward_tuned(base, rng, share=0.2):
    tuned = {}
    for name, (dtype, bits) in base.items():
        if "input_layernorm" in name or "v_proj" in name or dtype == "I64" or bits.size == 0:
            tuned[name] = (dtype, bits.copy())
            continue
        wide = to_float("f32", to_compare("f32", dtype, bits)).astype(np.float64)
        move = rng.random(bits.shape) < share
        if "gate_proj" in name:
            move = np.zeros(bits.shape, bool)
            move[rng.choice(bits.shape[0], 7, replace=False)] = True
        step = rng.standard_normal(bits.shape) * 10.0 ** rng.uniform(-9, -2, bits.shape)
        with np.errstate(all="ignore"):
            new = np.where(move, wide + step, wide).astype(np.float32)
        if "k_proj.weight" in name:                                        # half way cases, overflow of bf16, subnormals
            new = new.copy()
            new[0, :] = np.array([0x3f808000, 0x3f818000, 0x7f7fffff, 0x00000001, 0x00008000, 0x7fc00001, 0xff800000],
                                 np.uint32).view(np.float32)
            tuned[name] = ("F32", float_bits(new))
        elif dtype == "F16":
            tuned[name] = ("F16", half_bits(new))
        elif dtype == "F32":
            tuned[name] = ("F32", float_bits(new))
        else:
            # Elements that did not move keep their bits, NaN payloads included.
            tuned[name] = ("BF16", np.where(move, bf16_round(new), bits).reshape(bits.shape).astype(np.uint16))
    special = np.array([0x8000, 0x0000, 0x0000, 0x8000, 0x0002, 0x0001, 0x0080, 0x007f, 0xff7f, 0x7f7f, 0x7f80, 0xff80, 0xff80,
                        0x3f80, 0x7fc0, 0x7fc0, 0x3f80, 0x7fc0, 0x7fc1, 0x3728, 0x8002, 0x7f80, 0x3f81, 0x3f80], np.uint16)
    name = "model.layers.1.post_attention_layernorm.weight"
    tuned[name] = ("BF16", special)
    # One weight exactly on the rounded tolerance, and one a unit in the last place above it.
    on = "lm_head.weight"
    first = int(bf16_round(np.array([1e-5], np.float32))[0])
    base[on][1].reshape(-1)[:4] = [0, 0, 0x8000, 0]
    tuned[on][1].reshape(-1)[:4] = [first, first + 1, 0x8000 | first, first - 1]
    return tuned


def make_awkward(folder, algorithms=("ppo", "dpo"), seeds=(0, 1)):
    """Writes base and tuned checkpoints under folder/tiny-a/...; every second tuned one is sharded. Returns their tensors by
    (algorithm, seed), the base's under None. Deterministic."""
    rng = np.random.default_rng(20250511)
    base = awkward_base(rng)
    made = {(a, s): awkward_tuned(base, rng) for a in algorithms for s in seeds}
    write_checkpoint(os.path.join(folder, "tiny-a", "base"), base)
    for i, ((algorithm, seed), tensors) in enumerate(made.items()):
        write_checkpoint(os.path.join(folder, "tiny-a", algorithm, "seed-%d" % seed), tensors, shards=1 + 2 * (i % 2))
        write_logits(os.path.join(folder, "tiny-a", algorithm, "seed-%d" % seed, "logits.safetensors"), rng)
    write_logits(os.path.join(folder, "tiny-a", "base", "logits.safetensors"), rng)
    made[None] = base
    return made


def write_logits(path, rng, tokens=203, vocabulary=37):
    sharp = 10.0 ** rng.uniform(-1, 1.3, (tokens, 1))
    x = (rng.standard_normal((tokens, vocabulary)) * sharp).astype(np.float32)
    ids = rng.integers(0, vocabulary, tokens).astype(np.int64)
    write_safetensors(path, {"logits": ("F32", x.shape, x.tobytes()), "token_ids": ("I64", ids.shape, ids.tobytes())})
    return x, ids


def awkward_config(models, output, arithmetic="bf16", extra=""):
    """A study of make_awkward's pairs with every stage and all three criteria of mask."""
    return """study: awkward
output: %s
memory_per_process: 1 GiB
matrix:
  families: [tiny-a]
  algorithms: [ppo, dpo]
  seeds: [0, 1]
  base: "%s/{family}/base"
  tuned: "%s/{family}/{algorithm}/seed-{seed}"
  logits:
    base: "%s/{family}/base/logits.safetensors"
    tuned: "%s/{family}/{algorithm}/seed-{seed}/logits.safetensors"
%sstages:
  load: {}
  delta: {needs: [load], arithmetic: %s, tolerances: [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3], relative_tolerances: [1e-2, 1e-3]}
  mask: {needs: [delta], criterion: absolute, tolerance: 1e-5}
  mask-bits: {kind: mask, needs: [delta], criterion: bits}
  mask-relative: {kind: mask, needs: [delta], criterion: relative, eta: 1e-2}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  overlap-bits: {kind: overlap, needs: [mask-bits]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy]}
""" % (output, models, models, models, models, extra, arithmetic)
