"""Rows of logits and entropies, of a pair of models whose head has 64 rows: what the comparison's one sentence on entropies says, in
NumPy's figures, or what it is refused with."""
import json
import os

import numpy as np

import sinewlib as lib

TOKENS, WORDS = 60, 64
FINE = "The mean token entropy: base %.4g nats over %d tokens, tuned %.4g nats over %d tokens."
NOT = "not to be compared as they stand"


def entropy(x):
    """In nats, in float64; -inf counts as nothing."""
    p = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(-1)


def npy(a, bfloat16=None):
    """bfloat16: the type's name as ml_dtypes or an older numpy writes it; a holds bits then."""
    def make(folder):
        with open(os.path.join(folder, "logits.npy"), "wb") as f:
            if bfloat16:
                np.lib.format.write_array_header_1_0(f, {"descr": bfloat16, "fortran_order": False, "shape": a.shape})
                f.write(a.tobytes())
            else:
                np.save(f, a)
        return "logits.npy"
    return make


def tensors(**arrays):
    def make(folder):
        kinds = {"f": "F", "i": "I", "u": "U"}
        lib.write_safetensors(os.path.join(folder, "logits.safetensors"), {
            n: ("%s%d" % (kinds[a.dtype.kind], 8 * a.dtype.itemsize), a.shape, np.ascontiguousarray(a).tobytes()) for n, a in arrays.items()})
        return "logits.safetensors"
    return make


def make_rows():
    """(situation, base's file, tuned's file, words, exit status)."""
    rng = np.random.default_rng(5)
    x, y = (4 * rng.standard_normal((2, TOKENS, WORDS))).astype(np.float32)
    mask, bits = rng.random(TOKENS) < 0.6, lib.bf16_round(x)
    h, g, n = entropy(x), entropy(y), int(mask.sum())
    plain = npy(x)
    top = -np.sort(-y)[:, :20]
    cut = np.where(y < np.sort(y)[:, -20][:, None], np.float32(-np.inf), y)
    masked = [("mask called " + name, tensors(logits=x, **{name: mask.astype(np.int64)}), tensors(logits=y, **{name: mask.astype(np.float32)}),
               [FINE % (h[mask].mean(), n, g[mask].mean(), n)], 0)
              for name in ("mask", "completion_mask", "response_mask", "loss_mask", "attention_mask")]
    return [("logits of both policies", plain, npy(y), [FINE % (h.mean(), TOKENS, g.mean(), TOKENS)], 0),
            *masked,
            ("a tensor with a value a token that is no mask", tensors(logits=x, padding=mask.astype(np.int64)), npy(y),
             [FINE % (h.mean(), TOKENS, g.mean(), TOKENS)], 0),
            ("entropies [batch, tokens]", tensors(entropies=h.reshape(6, 10)), tensors(entropies=g.reshape(6, 10)),
             [FINE % (h.mean(), TOKENS, g.mean(), TOKENS)], 0),
            ("a 2-D .npy of entropies, against logits", plain, npy(g.reshape(10, 6)), ["vocabulary of 6", "has 64 rows", "entropies"], 3),
            (".npy of bfloat16, '|V2'", npy(bits, "|V2"), npy(bits, "<V2"),
             [FINE % ((entropy(lib.bf16_float(bits).reshape(x.shape)).mean(), TOKENS) * 2)], 0),
            ("top-k log-probabilities [tokens, 20]", plain, npy(top), ["60x20", "has 64 rows", "largest k"], 3),
            ("top-k of both, named logits", tensors(logits=top), tensors(logits=top), [NOT, "a vocabulary of 20 logits", "has 64 rows"], 0),
            ("all but 20 at -Inf", plain, npy(cut), [NOT, "for 60 of 60 tokens fewer than half of the logits are there"], 0),
            ("vocabularies that differ a little", plain, tensors(logits=y[:, :60]), [NOT, "vocabularies differ: 64 in the base's logits, 60 in the"], 0),
            ("vocabularies that differ by more than a factor of two", plain, tensors(logits=y[:, :20]), ["60x64", "60x20"], 3),
            ("a mask that is neither 0 nor 1", tensors(logits=x, loss_mask=np.full(TOKENS, 0.5, np.float32)), plain, ["neither 0 nor 1"], 3)]


def fault_of(folder, row):
    """Runs a row. Returns (what is wrong, or None; what was told)."""
    what, base, tuned, words, status = row
    paths = []
    for side, make in (("base", base), ("tuned", tuned)):
        lib.write_checkpoint(os.path.join(folder, side), {"lm_head.weight": ("BF16", np.ones((WORDS, 4), np.uint16))})
        os.makedirs(os.path.join(folder, side + "-logits"))
        paths.append(os.path.join(folder, side + "-logits", make(os.path.join(folder, side + "-logits"))))
    run = lib.run_sinew(0, ["compare", os.path.join(folder, "base"), os.path.join(folder, "tuned"), "--logits", *paths, "--rank", "none",
                            "--json"], cwd=folder)
    if run.returncode != status:
        return "status %s" % run.returncode, run.text()
    told = run.errors() if status else [s for s in json.loads(run.stdout)["verdict"] if "entrop" in s]
    if len(told) != 1 or (status and run.stdout):
        return "told: %s" % told, run.text()
    lacking = [word for word in words if word not in told[0]]
    return "not told: %s" % lacking if lacking else None, told[0]
