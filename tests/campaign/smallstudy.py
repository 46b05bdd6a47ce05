"""A study of every stage on two cells, for campaigns that run it many times."""

TEXT = """study: s
output: out
memory_per_process: 256 MiB
matrix:
  families: [tulu-3-8b]
  algorithms: [ppo, grpo]
  seeds: [0]
  base:  "ckpt/{family}/base"
  tuned: "ckpt/{family}/{algorithm}/seed-{seed}"
  logits: {base: "ckpt/{family}/base/logits.safetensors", tuned: "ckpt/{family}/{algorithm}/seed-{seed}/logits.safetensors"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta], tolerance: 1e-5}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  token-entropy: {needs: [load]}
  report: {needs: [mask, rank, overlap, token-entropy], figures: false, html: false}
"""


def with_synth(text):
    """The same, which makes its checkpoints first."""
    return text.replace("load: {}", "synth: {scale: 0.015625, layers: 2, steps: 8, logits: 64}\n  load: {needs: [synth]}")
