#!/usr/bin/env python3
"""What torch does in a benchmark, as a process of its own: so a program of one Python measures the torch of any other.

    PYTHON torch_side.py THREADS        started by rivals.py, which says what it wants

Reads one JSON object per line from standard input, {"do": NAME, ...}, and answers each with one, {"failed": TEXT} where torch could
not. It needs torch and numpy alone. Every clock starts when the data are in memory, unless reading is part of what is measured.
"""
import ctypes
import json
import os
import re
import statistics
import struct
import sys
import time

TOLERANCES = [1e-8, 1e-7, 1e-6, 1e-5]
TRIAL_PARAMETERS = 1 << 25


# ---- what it is ----

def blas(torch):
    """The library that does the linear algebra, with its version: torch's own word where it was built with one, else what is loaded."""
    found = re.search(r"Math Kernel Library Version ([0-9.]+)", torch.__config__.show())
    if found:
        return "MKL " + found[1]
    torch.linalg.matrix_rank(torch.eye(2))  # so that it is loaded
    with open("/proc/self/maps") as f:
        paths = sorted({line.split()[-1] for line in f if re.search(r"lib(openblas|blas|blis|flexiblas)[^/]*\.so", line)})
    for path in paths:
        try:
            ask = ctypes.CDLL(path).openblas_get_config
        except (OSError, AttributeError):
            continue
        ask.restype = ctypes.c_char_p
        return " ".join(ask().decode().split()[:2])  # its name and version
    return os.path.basename(os.path.realpath(paths[0])) if paths else "unknown BLAS"


def about(state):
    import numpy
    torch = state["torch"]
    compiles = "no torch.compile"
    if hasattr(torch, "compile"):
        try:
            torch.compile(lambda x: (x * 2).sum(-1), dynamic=False)(torch.ones(4, 64))
            compiles = ""
        except Exception as e:  # whatever a compiler's absence comes to
            compiles = "torch.compile: " + (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
    return {"torch": torch.__version__, "blas": blas(torch), "numpy": numpy.__version__, "threads": torch.get_num_threads(),
            "no_compile": compiles}


def compiled(torch, function):
    """For one shape, afresh: what was compiled before is forgotten, so that no limit on how often one function is compiled strikes."""
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def clock(function):
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


# ---- entropy ----

def by_definition(torch):
    def entropy(x):
        logp = torch.log_softmax(x.float(), -1)
        return -(logp.exp() * logp).sum(-1)
    return entropy


def by_logsumexp(torch):
    def entropy(x):
        x = x.float()
        return torch.logsumexp(x, -1) - (torch.softmax(x, -1) * x).sum(-1)
    return entropy


FORMULAS = {"log_softmax": by_definition, "logsumexp": by_logsumexp}


def entropy_load(state, path, start, rows, vocabulary, step, most, dtype):
    """Every step-th row of the file, at most `most` of them."""
    import numpy as np
    torch = state["torch"]
    kind = {"bf16": (np.int16, torch.bfloat16), "f32": (np.float32, torch.float32)}[dtype]
    data = np.memmap(path, kind[0], "r", start, (rows, vocabulary))
    x = torch.from_numpy(np.ascontiguousarray(data[::step][:most]))
    state["logits"] = x.view(kind[1]) if dtype == "bf16" else x
    return {"rows": len(x)}


def entropy_over(torch, function, x, chunk):
    return torch.cat([function(x[i:i + chunk]) for i in range(0, len(x) - len(x) % chunk, chunk)])


def entropy_choose(state, how, chunks):
    """The quickest of the formulas and chunks, in a trial."""
    torch, x = state["torch"], state["logits"]
    seconds = {}

    def ready(name, chunk):
        function = compiled(torch, FORMULAS[name](torch)) if how == "compiled" else FORMULAS[name](torch)
        entropy_over(torch, function, x[:chunk], chunk)
        return function
    for name in FORMULAS:
        for chunk in chunks:
            if chunk > len(x):
                continue
            part = x[:max(chunk, min(32, len(x)) // chunk * chunk)]
            function = ready(name, chunk)
            seconds[name, chunk] = min(clock(lambda: entropy_over(torch, function, part, chunk))[0] for _ in range(3)) / len(part)
    best = min(seconds, key=seconds.get)
    state["entropy", how] = ready(*best), best[1]
    return {"formula": best[0], "chunk": best[1], "tried": {f"{n} {c}": s for (n, c), s in seconds.items()}}


def entropy_run(state, how, out):
    """Seconds a row; the entropies into the file."""
    import numpy as np
    torch, x = state["torch"], state["logits"]
    if how == "batch":
        function, chunk = by_definition(torch), len(x)
    else:
        function, chunk = state["entropy", how]
    seconds, found = clock(lambda: entropy_over(torch, function, x, chunk))
    np.save(out, found.double().numpy())
    return {"sec_per_row": seconds / len(found), "rows": len(found)}


# ---- a pair of checkpoints ----

def entries(folder):
    """Name, first byte, elements and shape of the bf16 tensors, in the order of the file."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
    header.pop("__metadata__", None)
    found = []
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            found.append((name, 8 + length + first, (end - first) // 2, entry["shape"]))
    return found


def pair_load(state, base, tuned, prefix):
    """The tensors whose names begin with the prefix, for the script; the places of all, for the loop."""
    torch = state["torch"]
    state["places"] = [(os.path.join(folder, "model.safetensors"), entries(folder)) for folder in (base, tuned)]
    state["pair"] = []
    for path, found in state["places"]:
        with open(path, "rb") as f:
            tensors = {}
            for name, at, n, shape in found:
                if name.startswith(prefix):
                    f.seek(at)
                    tensors[name] = torch.frombuffer(bytearray(f.read(2 * n)), dtype=torch.bfloat16).reshape(shape)
        state["pair"].append(tensors)
    return {"parameters": sum(t.numel() for t in state["pair"][0].values()),
            "all_parameters": sum(n for _, _, n, _ in state["places"][0][1])}


def pair_script(state):
    """The published script: counts for all tensors together, and non-zero elements by tensor."""
    torch = state["torch"]
    base, tuned = state["pair"]

    def script():
        deltas, nonzero, layers = [], {}, {}
        for name, before in base.items():
            delta = tuned[name] - before
            deltas.append(delta.flatten())
            nonzero[name] = int((delta != 0).sum())
            layer = re.match(r"model\.layers\.(\d+)\.", name)
            if layer:
                layers.setdefault(int(layer[1]), []).append(nonzero[name] / delta.numel())
        everything = torch.cat(deltas)
        zeros = int((everything == 0).sum())
        close = [int(torch.isclose(everything, torch.zeros_like(everything), atol=t).sum()) for t in TOLERANCES]
        return zeros, close, nonzero, {layer: statistics.fmean(shares) for layer, shares in layers.items()}
    seconds, (zeros, close, nonzero, density) = clock(script)
    return {"sec": seconds, "zeros": zeros, "close": close, "nonzero": nonzero, "density": sorted(density.items())}


def loop_of(torch, how):
    """Of two pieces: how many elements differ in bf16 arithmetic, and how many by more than one tolerance."""
    tolerance = float(torch.tensor(1e-5, dtype=torch.bfloat16))

    def counts(a, b):
        d = b - a
        return torch.count_nonzero(d), torch.count_nonzero(d.abs() > tolerance)
    return compiled(torch, counts) if how == "compiled" else counts


class Files:
    """The two files, mapped, or read into the same two pieces again and again."""

    def __init__(self, torch, places, reading, chunk):
        self.torch, self.reading = torch, reading
        paths = [path for path, _ in places]
        if reading == "mapped":
            self.all = [torch.from_file(path, False, os.path.getsize(path), dtype=torch.uint8) for path in paths]
        else:
            self.fd = [os.open(path, os.O_RDONLY) for path in paths]
            self.piece = [bytearray(2 * chunk) for _ in paths]
            self.tensor = [torch.frombuffer(piece, dtype=torch.bfloat16) for piece in self.piece]

    def get(self, which, at, n):
        if self.reading == "mapped":
            return self.all[which][at:at + 2 * n].view(self.torch.bfloat16)
        with memoryview(self.piece[which]) as view:
            got = os.preadv(self.fd[which], [view[:2 * n]], at)
        if got != 2 * n:
            raise OSError("a file is shorter than its header says")
        return self.tensor[which][:n]

    def close(self):
        for fd in getattr(self, "fd", []):
            os.close(fd)


def loop(torch, places, function, reading, chunk, most):
    """Differing elements by tensor, and those beyond the tolerance, of at most `most` parameters; and how many these were."""
    files = Files(torch, places, reading, chunk)
    eager = loop_of(torch, "eager")
    others = {name: at for name, at, _, _ in places[1][1]}
    nonzero, beyond, done = {}, 0, 0
    for name, at, n, _ in places[0][1]:
        totals = []
        for i in range(0, n, chunk):
            m = min(chunk, n - i)
            pieces = files.get(0, at + 2 * i, m), files.get(1, others[name] + 2 * i, m)
            totals.append((function if m == chunk else eager)(*pieces))
        nonzero[name] = int(sum(t[0] for t in totals))
        beyond += int(sum(t[1] for t in totals))
        done += n
        if done >= most:
            break
    files.close()
    return nonzero, beyond, done


def loop_choose(state, how, chunks):
    torch, places = state["torch"], state["places"]
    rate = {}

    def ready(chunk):
        function = loop_of(torch, how)
        ones = torch.ones(chunk, dtype=torch.bfloat16)
        function(ones, ones)
        for reading in ("mapped", "read"):
            loop(torch, places, function, reading, chunk, 2 * chunk)
        return function
    for chunk in chunks:
        function = ready(chunk)
        for reading in ("mapped", "read"):
            trials = [clock(lambda: loop(torch, places, function, reading, chunk, TRIAL_PARAMETERS)) for _ in range(3)]
            rate[reading, chunk] = max(found[2] / seconds for seconds, found in trials)
    best = max(rate, key=rate.get)
    state["loop", how] = ready(best[1]), best
    return {"reading": best[0], "chunk": best[1], "tried": {f"{r} {c}": x for (r, c), x in rate.items()}}


def loop_run(state, how):
    function, (reading, chunk) = state["loop", how]
    places = state["places"]
    seconds, (nonzero, beyond, done) = clock(lambda: loop(state["torch"], places, function, reading, chunk, float("inf")))
    return {"sec": seconds, "nonzero": nonzero, "beyond": beyond, "parameters": done}


# ---- rank ----

def rank_make(state, matrices, seed, density):
    """The matrices that bench_rank makes of the same seed: name, rows, columns."""
    import numpy as np
    import rank_matrix
    state["matrices"] = {name: rank_matrix.make(np, seed + i, rows, cols, density) for i, (name, rows, cols) in enumerate(matrices)}
    return {}


def rank_run(state, how):
    """matrix_rank in float32, as the published script calls it; or all singular values in float64, and the rank of float32's
    tolerance from them."""
    torch = state["torch"]

    def count(x):
        if how == "matrix_rank":
            return int(torch.linalg.matrix_rank(torch.from_numpy(x)))
        s = torch.linalg.svdvals(torch.from_numpy(x).double())
        return int((s > max(x.shape) * 2.0**-23 * s[0]).sum())
    each, ranks = {}, {}
    for name, x in state["matrices"].items():
        each[name], ranks[name] = clock(lambda: count(x))
    return {"sec": sum(each.values()), "each": each, "ranks": ranks}


# ---- masks ----

def overlap_run(state, masks, bits):
    """Seconds for all pairs of the masks that bench_overlap makes, by the count of bits that numpy has from 2.0 on."""
    import numpy as np
    import rival_overlap
    if not hasattr(np, "bitwise_count"):
        raise RuntimeError(f"numpy {np.__version__} has no bitwise_count")
    if state.get("masks", (0, 0))[:2] != (masks, bits):
        state["masks"] = masks, bits, rival_overlap.make(masks, bits)
    words, piece = state["masks"][2], 1 << 14
    both, counts = np.empty(piece, np.uint64), np.empty(piece, np.uint8)

    def pairs():
        found = []
        for i, a in enumerate(words):
            for b in words[i + 1:]:
                total = 0
                for at in range(0, len(a), piece):
                    n = min(piece, len(a) - at)
                    np.bitwise_and(a[at:at + n], b[at:at + n], out=both[:n])
                    np.bitwise_count(both[:n], out=counts[:n])
                    total += int(counts[:n].sum(dtype=np.uint64))
                found.append(total)
        return found
    seconds, found = clock(pairs)
    return {"sec": seconds, "both": found}


def forget(state):
    for key in [key for key in state if key != "torch"]:
        del state[key]
    return {}


VERBS = (about, entropy_load, entropy_choose, entropy_run, pair_load, pair_script, loop_choose, loop_run, rank_make, rank_run,
         overlap_run, forget)


def main():
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = sys.argv[1]
    # Only now: it reads the environment as it is loaded.
    import torch
    torch.set_num_threads(int(sys.argv[1]))
    state, answers = {"torch": torch}, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        question = json.loads(line)
        verb = {f.__name__: f for f in VERBS}[question.pop("do")]
        try:
            answer = verb(state, **question)
        except Exception as e:  # the rows of this rival are left out, and why is said
            answer = {"failed": f"{verb.__name__}: {type(e).__name__}: {(str(e).strip().splitlines() or [''])[0][:200]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
