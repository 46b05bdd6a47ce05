"""Layers of different towers are different layers; multi-token prediction is none of the model's own."""
import numpy as np

import sinewlib as lib
from situationlib import compared, joined, llama, numbers, safetensors, step, torch_file

rng = np.random.default_rng(76)


def shaped(names):
    """Tensors of different sizes, so that no two layers are told apart by chance alone."""
    return {n: numbers(rng, 8 + i, 6) for i, n in enumerate(names)}


def towers(what, layers, others=(), wrap=lambda n: n, rule="", **files):
    """layers: (stack, layer) -> names; others: in no layer."""
    w = shaped([n for names in layers.values() for n in names] + list(others))
    after = step(rng, w)
    compared("8 towers", what, safetensors(w, **files), safetensors({wrap(n): x for n, x in after.items()}, 2), joined(w, after), layers=layers,
             delta="rename: " + rule if rule else "")


QWEN_VL = {("", 0): ["model.layers.0.mlp.up_proj.weight"], ("", 10): ["model.layers.10.mlp.up_proj.weight"],
           ("visual", 0): ["visual.blocks.0.attn.qkv.weight", "visual.blocks.0.mlp.up_proj.weight"],
           ("visual", 10): ["visual.blocks.10.mlp.up_proj.weight"]}
OWN = ["model.embed_tokens.weight", "visual.patch_embed.proj.weight", "visual.merger.mlp.0.weight"]
towers("Qwen2.5-VL: visual.blocks.0 is not model.layers.0", QWEN_VL, OWN)
towers("the same, tuned behind module.", QWEN_VL, OWN, lambda n: "module." + n, '["module. ->"]')
towers("the same, tuned compiled", QWEN_VL, OWN, lambda n: "_orig_mod." + n, '["_orig_mod. ->"]')
NEWER = {(stack, layer): [("model." + n if stack else n.replace("model.", "model.language_model.")) for n in names]
         for (stack, layer), names in QWEN_VL.items()}
towers("model.visual. beside model.language_model.", NEWER, ["model.language_model.embed_tokens.weight"])
both = shaped([n for names in QWEN_VL.values() for n in names])
after = step(rng, both)
compared("8 towers", "Qwen2.5-VL before transformers 4.52 against after it", safetensors(both), safetensors(
    {("model." + n if n.startswith("visual") else n.replace("model.", "model.language_model.", 1)): x for n, x in after.items()}),
         joined(both, after), layers=QWEN_VL, delta='rename: ["model.visual. -> visual.", "model.language_model. -> model."]')
towers("LLaVA: vision_tower.vision_model.encoder", {
    ("", 0): ["language_model.model.layers.0.mlp.up_proj.weight"],
    ("vision_tower", 0): ["vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"]}, ["multi_modal_projector.linear_1.weight"])
towers("Whisper: an encoder and a decoder", {("encoder", 0): ["model.encoder.layers.0.fc1.weight"],
                                            ("decoder", 0): ["model.decoder.layers.0.fc1.weight"]})
towers("OPT: a decoder alone is the model", {("", 0): ["model.decoder.layers.0.fc1.weight"], ("", 1): ["model.decoder.layers.1.fc1.weight"]})
towers("a vision model alone", {("", 0): ["vision_model.encoder.layers.0.mlp.fc1.weight"]})
towers("audio beside text", {("", 0): ["language_model.model.layers.0.mlp.up_proj.weight"], ("audio_tower", 0): ["audio_tower.layers.0.fc1.weight"]})
towers("num_hidden_layers of text_config, a tower that is deeper", {
    ("", 0): ["model.layers.0.mlp.up_proj.weight"], ("visual", 5): ["visual.blocks.5.mlp.up_proj.weight"]},
       config={"text_config": {"num_hidden_layers": 1}})

# ---- multi-token prediction ----

base = llama(rng)
tuned = step(rng, base)
MTP = shaped(["mtp.layers.0.mlp.up_proj.weight", "mtp.fc.weight", "mtp.norm.weight"])
EXTRA = shaped(["model.layers.2.mlp.up_proj.weight", "model.layers.2.eh_proj.weight"])
for what, more, files in (("mtp.* of Qwen3-Next", MTP, {}), ("DeepSeek's layer behind the last", EXTRA, {"config": {"num_hidden_layers": 2}})):
    after = step(rng, more)
    left = {n: (x.size, "multi-token.prediction") for n, x in more.items()}
    bits = {n: (lib.bf16_round(x), lib.bf16_round(after[n])) for n, x in more.items()}
    compared("8 mtp", what + ": told, not counted", safetensors({**base, **more}, **files), safetensors({**tuned, **after}, 2),
             joined(base, tuned), left, aside=bits)
    compared("8 mtp", what + ", included", safetensors({**base, **more}, **files), safetensors({**tuned, **after}),
             {**joined(base, tuned), **joined(more, after)}, delta="mtp: include")
    compared("8 mtp", what + ", behind module. in a trainer's map", safetensors({**base, **more}, **files), torch_file(
        "m.pt", {"model": {"module." + n: x for n, x in {**tuned, **after}.items()}}), joined(base, tuned), left, aside=bits)
