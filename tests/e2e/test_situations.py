#!/usr/bin/python3
"""All that people have on disk, one row a situation: scales, packings and quantizers; wrappers, heads, towers and buffers; index files
and shards in every disorder; config.json as Python writes it; the hub's cache; trainers' maps; logits; two of them at once. Each row's inputs are
made here, small; what is expected is numpy's figures, or a message and its status. Prints the table.

Elsewhere stand: more of logits (test_logits_fit.py), what no reader knows (../fail/test_refused.py), hostile files
(../fail/test_conformance.py), folders as trainers' libraries wrote them (test_trainers.py), runs of steps (test_steps.py)."""
import importlib
import json
import os
import re

import sinewlib as lib
import situationlib as table
import situations_logits as logits

for part in ("situations_scales", "situations_packed", "situations_folders", "situations_names", "situations_towers",
             "situations_twice", "situations_drawn"):
    importlib.import_module(part)
names = importlib.import_module("situations_names")


# The whole list, a regex a thing, "section what" as in the table: that no row gets lost with a file of rows.
LISTED = {
    "7 scales": ["128x128 by F32", "16x32 by BF16, weight_block_size", "16x32 weight_scale by F8_E8M0", "the tensor by F16, a scalar", r"the tensor by F32 \[1\]",
                 r"a row by BF16 \[out, 1\]", "MXFP8", "NVFP4: over", "NVFP4 of ModelOpt", "MXFP4 of compressed-tensors", "FP8 without its scales",
                 "input_scale beside", "key-value cache", "learned scales"],
    "7 MXFP4": ["gpt-oss: blocks against bf16", "blocks in the base"],
    "7 int8": ["bitsandbytes against int8", "compressed-tensors against int8"],
    "7 packed": ["Qwen3-MoE: packed", "Mixtral, w1 w3 w2", "transformers 5's mlp", "DeepSeek", "gpt-oss, turned and interleaved", "Phi-3", "Llama 4", "packed on both sides",
                 "FP8 one by one"],
    "7 quantizer": ["GPTQ", "AWQ", "bitsandbytes int8", "bitsandbytes nf4", "bitsandbytes fp4", "compressed-tensors int4", "compressed-tensors int8", "hqq", "torchao"],
    "8 names": ["_orig_mod. in front", "_orig_mod. inside", "^module", "base_model.model", "language_model. in front", "model.language_model", "pretrained_model", "FSDP inside"],
    "8 heads": ["v_head", "score", "value_head", "critic. beside", "EMA copy, ema", "EMA copy, model_ema"],
    "8 towers": ["visual.blocks.0 is not model.layers.0", "LLaVA", "model.visual. beside"],
    "8 mtp": ["Qwen3-Next: told", "Qwen3-Next, included", "DeepSeek's layer"],
    "8 buffers": ["GPT-2's masks, inv_freq: base", "tuned side only", "a true bias"],
    "8 tied": ["an equal head beside the tuned", "a head that drifted", "one storage", "held twice"],
    "8 index": ["without an index", "omits", "in other shards", "twice", "stray|model.safetensors beside", "another set", "no shard"],
    "8 config": ["BOM", "NaN and Infinity"],
    "8 hub": ["."],
    "8 maps": ["module", "model_state_dict", "^model", "state_dict"],
    "8 rules": ["Qwen2.5-VL before", "nothing in common"],
    "8 logits": ["completion_mask", "response_mask", "loss_mask", "entropies .batch, tokens", "V2", "top-k log", "20 at -Inf", "vocabularies that differ"],
}


class Situations(lib.Case):
    def test_nothing_of_the_list_is_missing(self):
        have = [(row.section, row.what) for row in table.rows] + [("8 logits", row[0]) for row in logits.make_rows()]
        missing = [(section, word) for section, words in LISTED.items() for word in words
                   if not any(s == section and re.search(word, what) for s, what in have)]
        self.assertEqual(missing, [])
        self.assertGreaterEqual(len(have), 456)

    def test_every_row(self):
        whole = table.Table(self.dir)
        whole.run_all()
        self.assertEqual(whole.print(), [])

    def test_logits(self):
        """More rows of the table: a pair's logits, by `sinew compare`."""
        faults = []
        print()
        for i, row in enumerate(logits.make_rows()):
            os.makedirs(self.path("l%d" % i))
            fault, told = logits.fault_of(self.path("l%d" % i), row)
            print("%3d %-9s %-66s %-9s %s%s" % (len(table.rows) + i, "8 logits", row[0], "refused" if row[4] else "compared",
                                                "FAIL: %s -- " % fault if fault else "", told[:160]), flush=True)
            faults += [(row[0], fault, told)] if fault else []
        self.assertEqual(faults, [])

    def test_compare_says_the_same(self):
        """One row of each section by `sinew compare`, first and last of what is compared and of what is refused."""
        whole, seen = table.Table(self.dir), {}
        for i, row in enumerate(table.rows):
            if row.delta == "":
                seen[row.section, row.pairs is None] = i
        for (section, bad), i in sorted(seen.items()):
            row = table.rows[i]
            with self.subTest("%s %s" % (section, row.what)):
                run = lib.run_sinew(0, ["compare", *whole.cell(i), "--json", "--rank", "none"], cwd=self.dir,
                                    env={"TMPDIR": self.dir, "HOME": self.dir})
                self.assertEqual(run.returncode, row.status, run.text())
                if bad:
                    self.assertEqual((len(run.errors()), run.stdout), (1, ""), run.text())
                    for word in row.words: # a key of a study is an option here
                        self.assertRegex(run.errors()[0], word.replace("mtp: include", "--mtp include"))
                    continue
                found = json.loads(run.stdout)
                want = {"parameters": sum(x.size for x, _ in row.pairs.values()),
                        "bit_changed": sum(int((lib.bf16_round(x) != lib.bf16_round(y)).sum()) for x, y in row.pairs.values())}
                self.assertEqual({k: found[k] for k in want}, want)
        self.assertEqual([f for f in os.listdir(self.dir) if f.startswith("sinew-compare")], [])

    def test_rules_that_are_proposed(self):
        """What a refusal proposes is taken as it is written, and compares."""
        whole = table.Table(self.dir)
        rows = [i for i, row in enumerate(table.rows) if row.section == "8 rules"]
        checked = whole.sinew("check", whole.study("rules", rows, "unmatched: fail"))
        for i in rows:
            row = table.rows[i]
            if row.what not in names.PROPOSED:
                continue
            with self.subTest(row.what):
                line, = whole.about(checked, i)
                rule = re.search(r"with rename: (\[.*?\]) \d+ of \d+ match", line).group(1)
                pairs, left = names.PROPOSED[row.what]
                row = row._replace(pairs=pairs, left=left, aside={})
                self.assertIsNone(whole.fault_of("p%d" % i, row, *whole.cell(i), "rename: " + rule), rule)


if __name__ == "__main__":
    lib.main()
