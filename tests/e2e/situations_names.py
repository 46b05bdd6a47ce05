"""Names and extra tensors: wrappers, heads of values and scores, EMA copies, towers, buffers, tied heads."""
import os

import numpy as np
import torch

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
yes, no_tie = {"config": {"tie_word_embeddings": True}}, {"config": {"tie_word_embeddings": False}}
free = llama(rng, head=True)
free_tuned = step(rng, free)
compared("8 tied", "a head of its own on both sides", safetensors(free, **no_tie), safetensors(free_tuned, 2, **no_tie), joined(free, free_tuned))
refused("8 tied", "a head that is not tied, gone from the tuned side", safetensors(free, **no_tie),
        safetensors({n: x for n, x in free_tuned.items() if n != HEAD}, **no_tie), "lm_head.weight is in the base", delta="unmatched: fail")

EQUAL = {HEAD: "an equal copy of the embedding"}
DRIFT = {HEAD: r"^tied to model\.embed_tokens\.weight on the (base|tuned) side, and compared with it"}
drifted = rounded(moved(rng, tuned[EMBED]))


def shared(w, file="pytorch_model.bin"):
    """The head and the embedding in one storage."""
    def make(folder):
        embedding = torch.from_numpy(w[EMBED].copy()).to(torch.bfloat16)
        os.makedirs(folder)
        torch.save({**{n: torch.from_numpy(x.copy()).to(torch.bfloat16) for n, x in w.items()}, EMBED: embedding, HEAD: embedding},
                   os.path.join(folder, file))
    return make


for what, one, two in (("no config.json", {}, {}), ("config.json says so", yes, yes), ("the tuned one says so", {}, yes)):
    what = ", " + what
    compared("8 tied", "an equal head beside the tuned embedding" + what, safetensors(base, **one), safetensors(same(tuned), **two), pairs, EQUAL)
    compared("8 tied", "an equal head beside the base's embedding" + what, safetensors(same(base), **one), safetensors(tuned, **two), pairs, EQUAL)
    compared("8 tied", "a head that drifted from the embedding, tuned" + what, safetensors(base, **one), safetensors({**tuned, HEAD: drifted}, 3, **two),
             {**pairs, HEAD: (base[EMBED], drifted)}, DRIFT)
    compared("8 tied", "a head of its own in the base, tied when tuned" + what, safetensors({**base, HEAD: drifted}, **one), safetensors(tuned, 2, **two),
             {**pairs, HEAD: (drifted, tuned[EMBED])}, DRIFT)
    compared("8 tied", "held twice on both sides" + what, safetensors(same(base), 2, **one), safetensors(same(tuned), 3, **two), pairs, EQUAL)
    compared("8 tied", "held twice in the base, drifted when tuned" + what, safetensors(same(base), 2, **one), safetensors({**tuned, HEAD: drifted}, **two),
             {**pairs, HEAD: (base[EMBED], drifted)})
compared("8 tied", "one storage under two names in a .bin", safetensors(base), shared(tuned), pairs, EQUAL)
compared("8 tied", "one storage on both sides", shared(base), shared(tuned), pairs, EQUAL)
compared("8 tied", "one storage in the base, an equal copy when tuned", shared(base), safetensors(same(tuned), 3), pairs, EQUAL)
compared("8 tied", "one storage in the base, drifted when tuned", shared(base), safetensors({**tuned, HEAD: drifted}),
         {**pairs, HEAD: (base[EMBED], drifted)})
compared("8 tied", "an equal head behind module.", safetensors(base), safetensors({"module." + n: x for n, x in same(tuned).items()}, 2), pairs,
         {"module." + HEAD: EQUAL[HEAD]}, delta='rename: ["module. ->"]')
compared("8 tied", "a drifted head behind module.", safetensors(base), safetensors({"module." + n: x for n, x in {**tuned, HEAD: drifted}.items()}),
         {**pairs, HEAD: (base[EMBED], drifted)}, {"module." + HEAD: "^tied to "}, delta='rename: ["module. ->"]')
compared("8 tied", "a head in float32 beside an embedding in bf16", safetensors(base), safetensors({**tuned, HEAD: f32(tuned[EMBED])}),
         {**pairs, HEAD: (base[EMBED], tuned[EMBED])}, DRIFT)
compared("8 tied", "equal copies of a model that is said not to be tied", safetensors(same(base), **no_tie), safetensors(same(tuned), **no_tie),
         pairs, EQUAL)
for what, embedding, head in (("GPT-2", "transformer.wte.weight", HEAD),
                              ("LLaVA", "language_model.model.embed_tokens.weight", "language_model.lm_head.weight")):
    old = {embedding: base[EMBED], "x.weight": base[NORM]}
    now = {embedding: tuned[EMBED], "x.weight": tuned[NORM]}
    compared("8 tied", what + ": an equal head, tuned", safetensors(old), safetensors({**now, head: tuned[EMBED]}), joined(old, now),
             {head: EQUAL[HEAD]})
    compared("8 tied", what + ": a drifted head, tuned", safetensors(old), safetensors({**now, head: drifted}),
             {**joined(old, now), head: (base[EMBED], drifted)}, {head: "^tied to "})

# ---- no rule was given: the one that would join them is tried and proposed ----


PROPOSED = {}  # what -> pairs and what is left out, under the rules that the refusal proposes


def proposed(what, old, new, values, count, shards=1, left=None):
    """values: the tuned side's, in the base's order of names; count: how many match under the rules."""
    refused("8 rules", what, safetensors(old), safetensors(new, shards), r"with rename: \[.*\] %s match" % count, delta="unmatched: fail")
    PROPOSED[what] = {n: (old[n], x) for n, x in zip(old, values.values())}, left or {}


def by_itself(what, old, new, values, shards=1, left=None):
    """What wrappers put into names needs no rule, on either side."""
    compared("8 names", what + ": by itself", safetensors(old), safetensors(new, shards), {n: (old[n], x) for n, x in zip(old, values.values())},
             left or {}, delta="unmatched: fail")


EXPERT = "model.layers.0.mlp.experts"
one = {"%s.%d.%s.weight" % (EXPERT, e, word): numbers(rng, *shape) for e in range(2)
       for word, shape in (("gate_proj", (6, 8)), ("up_proj", (6, 8)), ("down_proj", (8, 6)))}
pack = {EXPERT + ".gate_up_proj": np.stack([np.concatenate([one["%s.%d.%s.weight" % (EXPERT, e, w)] for w in ("gate_proj", "up_proj")])
                                           for e in range(2)]), EXPERT + ".down_proj": np.stack([one["%s.%d.down_proj.weight" % (EXPERT, e)]
                                                                                                for e in range(2)])}
by_itself("module. around what is packed otherwise", {**base, **one}, {"module." + n: x for n, x in {**tuned, **pack}.items()}, {**tuned, **one},
          3, {n: "packed: " for n in pack})
by_itself("the base wrapped, the tuned side not", before("module.")(base), tuned, tuned)
by_itself("the base compiled, the tuned side in module.", before("_orig_mod.")(base), before("module.")(tuned), tuned)
by_itself("FSDP inside and checkpointing, base in DeepSpeed's", before("_forward_module.")(base), {
    "_fsdp_wrapped_module." + n.replace("layers.0.", "layers.0._fsdp_wrapped_module._checkpoint_wrapped_module."): x for n, x in tuned.items()}, tuned)
proposed("policy. around what is packed otherwise", {**base, **one}, {"policy." + n: x for n, x in {**tuned, **pack}.items()}, {**tuned, **one},
         "12 of 12", 3, {n: "packed: " for n in pack})
proposed("the base wrapped by another, the tuned side not", before("actor.")(base), tuned, tuned, "6 of 6")
proposed("no model. in front of the tuned names", base, {n[len("model."):]: x for n, x in tuned.items()}, tuned, "6 of 6")
by_itself("module. and compiled, both inside", base, inside(before("module.")(tuned)), tuned)
VL = {"visual.blocks.0.attn.qkv.weight": numbers(rng, 8, 4), **base}
VL_TUNED = step(rng, VL)
newer = lambda w: {("model." + n if n.startswith("visual") else n.replace("model.", "model.language_model.", 1)): x  # noqa: E731
                   for n, x in w.items()}
proposed("Qwen2.5-VL before transformers 4.52 against after it", VL, newer(VL_TUNED), VL_TUNED, "7 of 7")
proposed("and the other way round", newer(VL), VL_TUNED, VL_TUNED, "7 of 7")
for what, (wrap, _) in WRAPPERS.items():
    if any(word in what for word in ("_orig_mod", "module.", "base_model")):
        by_itself(what + " of two shards", base, wrap(tuned), tuned, 2)
    else:
        proposed(what, base, wrap(tuned), tuned, "6 of 6", 2)
two = {**base, "score.weight": numbers(rng, 1, 16)}
refused("8 names", "wrappers off, and a head that is no pair's", safetensors(two), safetensors(before("module.")(tuned)),
        "score.weight is in the base checkpoint", "in the base only: 1, in the tuned only: 0", delta="unmatched: fail")
refused("8 rules", "TRL's value head around the model: the model's own match", safetensors(base), safetensors(
    {**before("pretrained_model.")(tuned), "v_head.summary.weight": numbers(rng, 1, 16)}), r"with rename: \[.*\] 6 of 6 match", delta="unmatched: fail")
refused("8 rules", "nothing in common: no rule is proposed", safetensors(base), safetensors({"a.%d" % i: numbers(rng, 3, 3) for i in range(6)}),
        "in the base only: 6, in the tuned only: 6", delta="unmatched: fail")
