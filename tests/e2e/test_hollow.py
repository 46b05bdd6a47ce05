#!/usr/bin/python3
"""Hollow checkpoints: the largest pair of the study at true size, as files of holes, through check and plan within the memory that a
study gives a process; what says that they hold nothing; where they are refused."""
import json
import os
import shutil
import struct
import subprocess

import sinewlib as lib

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>

int fstat(int fd, struct stat *st)
{
    int (*real)(int, struct stat *) = (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat");
    int status = real(fd, st);
    if (status == 0)
        st->st_blocks = (st->st_size + 511) / 512;
    return status;
}
"""
STUDY = """study: s
output: out
memory_per_process: 512 MiB
cells:
  - {family: %s, algorithm: grpo, base: m/base, tuned: m/tuned%s}
stages:
  synth: {hollow: true, scale: %s, layers: %d, shards: 0}
  load: {needs: [synth]}
  delta: {needs: [load], coverage: any}
  mask: {needs: [delta]}
  report: {needs: [delta, mask], figures: false, html: false}
"""


def header(path):
    with open(path, "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


class Hollow(lib.Case):
    def setUp(self):
        super().setUp()
        with open(self.path("probe"), "wb") as f:
            f.truncate(64 << 20)
        if os.stat(self.path("probe")).st_blocks * 512 > 1 << 20:
            self.skipTest("no holes in this file system")

    def study(self, family, scale="1", layers=0, more=""):
        return self.write("study.yaml", STUDY % (family, more, scale, layers))

    def test_true_size(self):
        if "SINEW_TEST_SLOWER" in os.environ:
            self.skipTest("a matter of time and memory")
        config = self.study("deepseek-v3")
        self.sinew(["run", config, "--stage", "synth"])
        taken = sum(os.stat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(self.path("m")) for f in files)
        self.assertLess(taken, 100e6)
        for side in ("base", "tuned"):
            with open(self.path("m", side, "model.safetensors.index.json")) as f:
                index = json.load(f)
            with open(self.path("m", side, "config.json")) as f:
                model = json.load(f)
            shards = sorted(set(index["weight_map"].values()))
            self.assertEqual((len(index["weight_map"]), len(shards), shards[162]), (91991, 163, "model-00163-of-000163.safetensors"))
            self.assertEqual(index["metadata"]["total_size"], 688574839360)
            self.assertEqual((model["num_nextn_predict_layers"], model["quantization_config"]["weight_block_size"]), (1, [128, 128]))
            found = {}
            for shard in shards:
                tensors = header(self.path("m", side, shard))
                self.assertTrue(tensors.pop("__metadata__")["simulated"].startswith("hollow: no weights"))
                end = max(t["data_offsets"][1] for t in tensors.values())
                size = os.path.getsize(self.path("m", side, shard))
                self.assertTrue(3.5e9 < end < size < end + 200e3, shard)
                self.assertEqual({index["weight_map"][n] for n in tensors}, {shard})
                found.update(tensors)
            self.assertEqual(set(found), set(index["weight_map"]))
            w = "model.layers.3.self_attn.kv_a_proj_with_mqa.weight"
            self.assertEqual((found[w]["dtype"], found[w]["shape"]), ("F8_E4M3", [576, 7168]))
            self.assertEqual((found[w + "_scale_inv"]["dtype"], found[w + "_scale_inv"]["shape"]), ("F32", [5, 56]))
            self.assertEqual(found["model.layers.3.mlp.gate.weight"]["dtype"], "BF16")
            # 671e9 parameters and those of the layer that predicts one token further (model card): scales are none.
            self.assertEqual(sum(t["shape"][0] * (t["shape"] + [1])[1] for n, t in found.items() if not n.endswith("_inv")), 684489845504)
        check = self.sinew(["check", config])
        self.assertEqual(check.stdout.count("hollow: it holds no weights, every number is zero"), 2)
        self.assertIn("98.03 % of the base's parameters", check.stdout)  # the layer for multi-token prediction is no part of it
        plan = self.sinew(["plan", config])
        for done in (check, plan):
            self.assertLess(done.peak_kib, 512 << 10)

    def test_a_run(self):
        for family, checked in (("deepseek-v3", 2), ("eurus-2-7b", 2)):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            shutil.rmtree(self.path("m"), ignore_errors=True)
            run = self.sinew(["run", self.study(family, "0.015625", 4)], np=2)
            self.assertEqual([l for l in run.stderr.splitlines() if "hollow" in l],
                             ["sinew: warning: %d of the checkpoints to be read are hollow: no weights, and no figure means anything" % checked])
            archive = self.path("out", "s.h5")
            self.assertEqual({r["updated"] for r in lib.table(archive, "sparsity")}, {0})
            said = [r["sentence"] for r in lib.table(archive, "verdicts") if r["about"] == "unchanged"]
            self.assertEqual(len(said), 1)
            self.assertIn("are zero on both sides: these files hold no weights", said[0])
            with open(self.path("out", "report", "report.md")) as f:
                report = f.read()
            self.assertIn("2 of 2 checkpoints are simulated, for instance: hollow: no weights", report)
            with open(self.path("m", "base", "run.json")) as f:
                self.assertIs(json.load(f)["hollow"], True)
        compared = self.sinew(["compare", "m/base", "m/tuned"])
        self.assertIn("parameters are zero on both sides", compared.stdout)

    def test_without_holes(self):
        with open(self.path("shim.c"), "w") as f:
            f.write(SHIM)
        if not shutil.which("cc") or subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("shim.so"), self.path("shim.c"), "-ldl"]).returncode:
            self.skipTest("no compiler")
        refused = self.sinew(["run", self.study("tulu-3-8b"), "--stage", "synth"], status=4,
                             env={"LD_PRELOAD": self.path("shim.so"), "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"})
        self.assertEqual(len(refused.errors()), 1)
        self.assertIn("m/base: this file system keeps no holes: the hollow checkpoint would take 160606", refused.errors()[0])
        self.assertEqual(os.listdir(self.path("m", "base")), [])

    def test_refused(self):
        config = self.study("tulu-3-8b", more=", logits: {base: m/b.safetensors, tuned: m/t.safetensors}")
        refused = self.sinew(["run", config, "--stage", "synth"], status=2)
        self.assertIn("logits of a hollow checkpoint would be a made-up measurement", refused.errors()[0])


if __name__ == "__main__":
    lib.main()
