"""Names and extra tensors: wrappers, heads of values and scores, EMA copies, towers, buffers, tied heads."""
import numpy as np

from situationlib import (compared, f32, in_order, joined, llama, moved, numbers, refused, rounded, safetensors, step, torch_file,
                          torch_shards)

rng = np.random.default_rng(74)
base = llama(rng)
tuned = step(rng, base)
pairs = joined(base, tuned)
EMBED, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"

# ---- wrappers, with the rule that takes them away ----


def inside(w):
    return {n.replace(".layers.0.", ".layers.0._orig_mod.").replace(".layers.1.", ".layers.1._orig_mod."): x for n, x in w.items()}


def before(prefix):
    return lambda w: {prefix + n: x for n, x in w.items()}


def instead(old, new):
    return lambda w: {n.replace(old, new, 1): x for n, x in w.items()}


WRAPPERS = {"_orig_mod. in front": (before("_orig_mod."), '["_orig_mod. ->"]'),
            "_orig_mod. inside": (inside, '["*._orig_mod.* -> *"]'),
            "module.": (before("module."), '["module. ->"]'),
            "base_model.model.": (before("base_model.model."), '["base_model.model. ->"]'),
            "module._orig_mod.": (before("module._orig_mod."), '["module. ->", "_orig_mod. ->"]'),
            "language_model. in front": (before("language_model."), '["language_model. ->"]'),
            "model.language_model.": (instead("model.", "model.language_model."), '["model.language_model. -> model."]'),
            "pretrained_model. (TRL's value head)": (before("pretrained_model."), '["pretrained_model. ->"]')}
for what, (wrap, rule) in WRAPPERS.items():
    if what == "_orig_mod. inside":
        rule = '["model.layers.0._orig_mod. -> model.layers.0.", "model.layers.1._orig_mod. -> model.layers.1."]'
    compared("8 names", what, safetensors(base), safetensors(wrap(tuned), 2), pairs, delta="rename: " + rule)
    if "_orig_mod" in what or what == "module.":
        compared("8 names", what + ", in one .bin: by itself", safetensors(base), in_order(
            torch_file("pytorch_model.bin", wrap(tuned)), lambda folder: None), pairs)
    compared("8 names", what + ", in .bin shards", torch_shards(base, 2), torch_shards(wrap(tuned), 3), pairs, delta="rename: " + rule)
    refused("8 names", what + ", and no rule", safetensors(base), safetensors(wrap(tuned)), "rename", delta="unmatched: fail")
refused("8 names", "a rule that takes nothing away", safetensors(base), safetensors(tuned), "matches none of the", status=2,
        delta='rename: ["nothing. ->"]')

# ---- heads of their own, copies ----

EXTRA = {"v_head. of TRL": {"v_head.summary.weight": numbers(rng, 1, 16), "v_head.summary.bias": numbers(rng, 1)},
         "score.": {"score.weight": numbers(rng, 1, 16)},
         "a critic's value_head": {"value_head.weight": numbers(rng, 1, 16)},
         "critic. beside the actor": before("critic.")(tuned),
         "an EMA copy, ema.": before("ema.")(tuned),
         "an EMA copy, model_ema.module.": before("model_ema.module.")(tuned)}
SKIP = "unmatched: skip"
for what, more in EXTRA.items():
    left = {n: (x.size, "only in the tuned checkpoint") for n, x in more.items()}
    first = sorted(more)[0]
    if sum(x.size for x in more.values()) < 100:
        compared("8 heads", what, safetensors(base), safetensors({**tuned, **more}, 2), pairs, left, delta=SKIP)
        compared("8 heads", what + ", base", safetensors({**base, **more}), safetensors(tuned), pairs,
                 {n: (x.size, "only in the base checkpoint") for n, x in more.items()}, delta=SKIP)
        after = step(rng, more)
        compared("8 heads", what + ", both", safetensors({**base, **more}), safetensors({**tuned, **after}, 2), {**pairs, **joined(more, after)})
    refused("8 heads", what + ", and nothing said", safetensors(base), safetensors({**tuned, **more}), "%s is in the tuned" % first.replace(
        ".", r"\."), delta="unmatched: fail")

# ---- buffers, which are no parameters ----

MASK = np.tril(np.ones((1, 1, 8, 8), np.float32))
gpt2 = {"transformer.wte.weight": numbers(rng, 24, 16), "transformer.h.0.attn.c_attn.weight": numbers(rng, 16, 48),
        "transformer.h.0.attn.c_attn.bias": numbers(rng, 48), "transformer.h.0.attn.c_proj.bias": numbers(rng, 16)}
gpt2_tuned = step(rng, gpt2)
buffers = {"transformer.h.0.attn.bias": f32(MASK), "transformer.h.0.attn.masked_bias": f32(np.float32(-1e4)),
           "model.layers.0.self_attn.rotary_emb.inv_freq": f32(np.float32([1, 0.5]))}
as_bytes = {**buffers, "transformer.h.0.attn.bias": ("U8", MASK.astype(np.uint8))}
as_bools = {**buffers, "transformer.h.0.attn.bias": ("BOOL", MASK.astype(np.uint8))}
other = {n: f32(x.view(np.float32) + 1) for n, (_, x) in buffers.items()}
no = {n: "a buffer, which is no parameter" for n in buffers}
for what, one, two in (("tuned side only", {}, buffers), ("base side only", buffers, {}), ("both sides", buffers, buffers),
                       ("of bytes in the base, of floats tuned", as_bytes, buffers), ("of bools on both sides", as_bools, as_bools),
                       ("other values", buffers, other)):
    compared("8 buffers", "GPT-2's masks, inv_freq: " + what, safetensors({**gpt2, **one}), safetensors({**gpt2_tuned, **two}, 2),
             joined(gpt2, gpt2_tuned), no)
longer = {"transformer.h.0.attn.bias": f32(np.tril(np.ones((1, 1, 16, 16), np.float32)))}
compared("8 buffers", "a mask of another context length", safetensors({**gpt2, "transformer.h.0.attn.bias": f32(MASK)}),
         safetensors({**gpt2_tuned, **longer}), joined(gpt2, gpt2_tuned), {"transformer.h.0.attn.bias": "a buffer"})
bias = {"model.layers.0.self_attn.bias": numbers(rng, 16), "model.layers.0.norm.attn.bias": numbers(rng, 1, 1, 16)}
after = step(rng, bias)
compared("8 buffers", "a true bias of that name is a parameter", safetensors({**gpt2, **bias}), safetensors({**gpt2_tuned, **after}),
         {**joined(gpt2, gpt2_tuned), **joined(bias, after)})

# ---- tied heads ----

same = lambda w: {**w, HEAD: w[EMBED]}  # noqa: E731
TIED = r"^tied to model\.embed_tokens\.weight on the "
drift = {**tuned, HEAD: rounded(moved(rng, tuned[EMBED]))}
yes, no_tie = {"config": {"tie_word_embeddings": True}}, {"config": {"tie_word_embeddings": False}}
free = llama(rng, head=True)
free_tuned = step(rng, free)
compared("8 tied", "a head of its own on both sides", safetensors(free, **no_tie), safetensors(free_tuned, 2, **no_tie), joined(free, free_tuned))
refused("8 tied", "a head that is not tied, gone from the tuned side", safetensors(free, **no_tie),
        safetensors({n: x for n, x in free_tuned.items() if n != HEAD}, **no_tie), "lm_head.weight is in the base", delta="unmatched: fail")
