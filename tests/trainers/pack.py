#!/usr/bin/python3
"""pack.py SOURCE: packs a few of the folders in SOURCE (see made.txt) as they are kept here, one archive for each kind, and the
cases that go with them. Of a case its base, its folder and its truth are kept, without what sinew never opens: tokenizers,
schedulers, random states, optimisers that lie apart. A solid archive holds what several cases share but once."""
import io
import json
import lzma
import os
import re
import sys
import tarfile

KINDS = {
    "fsdp": "verl-fsdp1-w3-tied verl-fsdp2-hsdp2x2-tied verl03-torch24-hsdp2x2-tied plain-compile-bf16-tied plain-fsdp1-shardedtensor-w2",
    "dcp": "dcp-tp2xdp2 dcp-hf-sharded-w2 accelerate-fsdp2-w2-tied",
    "zero": "zero-w11 zero1-frozen zero3-w3 zero2-rr-align zero3-ungathered",
    "lora": "lora-bf16-bin lora-bias-only lora-dora lora-embed-tied lora-tokens lora-unmerged-dora lora-modules-to-save lora-pissa "
            "lora-patterns",
    "scales": "fp8-channel-ct fp8-inv-e8m0 mxfp4-gptoss nvfp4-ct mxfp4-ct mxfp8-ct awq gptq bnb-nf4 int8-ct",
    "experts": "experts-qwen3moe experts-qwen3moe-rev experts-gptoss experts-deepseekv3",
}
NEVER_OPENED = re.compile(r"tokenizer|README|extra_state|optimizer|scheduler|rng_state|random_states|training_args|trainer_state|zero_to_"
                          r"|generation_config|recipe|chat_template|special_tokens|merges|vocab|made\.txt|expected\.json")


def files_of(source, case):
    for key in ("base", "tuned", "truth", "delta"):
        path = os.path.join(source, case.get(key, ""))
        if key in case and os.path.isfile(path):
            yield case[key]
        for folder, _, names in os.walk(path) if key in case else ():
            for name in names:
                file = os.path.relpath(os.path.join(folder, name), source)
                if not NEVER_OPENED.search(file[len(case["name"]):]):
                    yield file


def main(source):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(source, "cases.json")) as f:
        cases = json.load(f)
    kept = []
    for kind, names in KINDS.items():
        mine = [c for c in cases if c["name"] in names.split()]
        kept += mine
        files = sorted({f for c in mine for f in files_of(source, c)}, key=lambda f: (not f.endswith(".json"), f.split("/")[1], f))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as t:
            for file in files:
                with open(os.path.join(source, file), "rb") as f:
                    data = f.read()
                entry = tarfile.TarInfo(file)
                entry.size = len(data)
                t.addfile(entry, io.BytesIO(data))
        data = lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME)
        with open(os.path.join(here, kind + ".tar.xz"), "wb") as f:
            f.write(data)
        print("%-8s %3d files %8d bytes" % (kind, len(files), len(data)))
    with open(os.path.join(here, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in kept) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1])
