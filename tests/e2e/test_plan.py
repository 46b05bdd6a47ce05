"""Planning: the table and the JSON of plan on numbers of processes, machine files, and memory that will not fit."""
import json
import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sinewlib as lib  # noqa: E402

STUDY = """study: s
output: "{out}"
memory_per_process: {memory}
cells:
  - {{family: f, algorithm: a, seed: 0, base: "{base}", tuned: "{tuned}"}}
stages:
  load: {{}}
  delta: {{needs: [load]}}
  mask: {{needs: [delta]}}
  rank: {{needs: [delta]}}
  overlap: {{needs: [mask]}}
  report: {{needs: [mask, rank, overlap]}}
"""
STAGES = ["load", "delta", "mask", "rank", "overlap", "report", "archive"]


class Plan(lib.Case):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(5)
        w = {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", rng.integers(0x3a00, 0x3d00, (256, 384)).astype(np.uint16))
             for i in range(4)}
        lib.write_checkpoint(self.path("base"), w)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ (rng.random(b.shape) < 0.2).astype(np.uint16)) for n, (t, b) in w.items()})
        self.config = self.study("2 GiB")

    def study(self, memory):
        return self.write("study.yaml", STUDY.format(out=self.path("out"), memory=memory, base=self.path("base"), tuned=self.path("tuned")))

    def plan(self, *more, **how):
        return self.sinew(["plan", self.config] + list(more), **how)

    def listed(self, *more):
        return json.loads(self.plan("--json", *more).stdout)

    def test_json_has_an_object_for_each_number(self):
        one = self.listed()
        self.assertEqual([x["processes"] for x in one], [1])
        many = self.listed("--processes", "256,1,16,1")
        self.assertEqual([x["processes"] for x in many], [1, 16, 256])
        self.assertEqual(many[0], one[0])
        for x in many:
            self.assertEqual([s["stage"] for s in x["stages"]], STAGES)
            self.assertTrue(x["fits"] and not x["measured"] and x["unknown"] == 0)
            self.assertGreater(x["seconds"], sum(s["seconds"] for s in x["stages"]))
            self.assertGreaterEqual(x["disk"], sum(s["write_bytes"] for s in x["stages"]) - 10)
            self.assertGreater(x["memory_per_process"], max(s["memory_per_process"] for s in x["stages"]))
            for s in x["stages"]:
                self.assertEqual(s["bytes"], s["read_bytes"] + s["write_bytes"])
                self.assertIn(s["bound"], {"arithmetic", "reading", "writing", "per-node overhead", "one node", "one matrix", "one block", "-"})
        # More processes take no longer (but for agreeing with each other), nor do they read or compute something else.
        for a, b in zip(many, many[1:]):
            for s, t in zip(a["stages"], b["stages"]):
                self.assertLessEqual(t["seconds"], s["seconds"] + 0.03)
                self.assertEqual((s["read_bytes"], s["flops"]), (t["read_bytes"], t["flops"]))

    def test_reading_and_arithmetic_by_hand(self):
        """One process, rates of a file: what is divided, what is read, what stands beside it."""
        machine = self.write("machine.yaml", "read_process: 1e4\nwrite_process: 1e12\nwrite_host: 1e12\nflush: 0\nstart: 0\n"
                             "work: {delta: {nodes: 1000, tensors: 1e6, bf16: 1e9, stored: 1e9}, mask: {elements: 1e4, nodes: 1e6, tensors: 1e6}}\n")
        x = self.listed("--machine", machine)[0]
        stages = {s["stage"]: s for s in x["stages"]}
        elements = 4 * 256 * 384
        self.assertAlmostEqual(stages["delta"]["seconds"], 2 * 2 * elements / 1e4, delta=0.02)
        self.assertEqual(stages["delta"]["bound"], "reading")
        self.assertAlmostEqual(stages["mask"]["seconds"], elements / 1e4, delta=0.02)
        self.assertEqual(stages["mask"]["bound"], "arithmetic")
        self.assertTrue(x["measured"])
        # What was read is not reread from there, and what is fresh takes nothing.
        self.sinew(["run", self.config, "--stage", "load"])
        self.sinew(["run", self.config, "--stage", "delta"])
        x = self.listed("--machine", machine)[0]
        stages = {s["stage"]: s for s in x["stages"]}
        self.assertEqual((stages["delta"]["nodes"], stages["delta"]["seconds"], stages["delta"]["bound"]), (0, 0, "-"))
        self.assertGreater(stages["mask"]["seconds"], elements / 1e4 - 1)

    def test_table(self):
        text = self.plan("--processes", "1,16,4096").stdout
        rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
        for stage in STAGES + ["total"]:
            self.assertIn(stage, rows)
        self.assertRegex(text, r"(?m)^processes +1 +16 +4096$")
        self.assertRegex(text, r"(?m)^Scaling stops at \d+ process(es)?: twice as many are less than a tenth faster; most time there goes to ")
        self.assertIn("Nothing was measured", text)

    def test_the_output_folder_s_machine_is_taken(self):
        os.makedirs(self.path("out"))
        self.write("out/machine.yaml", "measured: by hand\nprocesses_per_host: 3\n")
        text = self.plan("--processes", "1,7").stdout
        self.assertRegex(text, r"(?m)^hosts +1 +3$")
        self.assertIn("out/machine.yaml, by hand", text)
        self.sinew(["run", self.config], np=2)

    def test_mistakes_in_a_machine_file(self):
        machine = self.write("m.yaml", "read_proces: 1\nflush: fast\nwork: {dleta: {}, mask: {bits: 1, elements: 0}}\n")
        for verb in ("plan", "run"):
            run = self.sinew([verb, self.config, "--machine", machine], status=2)
            for said in ("m.yaml:1:1: the machine: unknown key \"read_proces\"; did you mean read_process?",
                         "m.yaml:2:8: flush: expected a number from 0 to 1000000, found \"fast\"",
                         "m.yaml:3:8: work: unknown key \"dleta\"; did you mean delta?",
                         "m.yaml:3:26: work.mask: unknown key \"bits\"; valid keys: nodes, tensors, elements",
                         "m.yaml:3:45: work.mask.elements: expected a number of at least 1e-06, found \"0\""):
                self.assertIn(said, run.stderr)
            self.assertEqual(run.stderr.count("m.yaml: 5 errors"), 1)
        self.sinew(["plan", self.config, "--machine", self.path("nowhere")], status=2)
        for bad in ("", "0", "1,,2", "1e3", "70000", "-1"):
            self.assertIn("--processes: expected numbers from 1 to 65536", self.plan("--processes", bad, status=2).stderr)

    def test_memory_that_will_not_fit(self):
        """A matrix whose Gram matrix is larger than what a process has: said before the run, with what would do, and that does."""
        rng = np.random.default_rng(6)
        w = {"model.layers.0.mlp.up_proj.weight": ("BF16", rng.integers(0x3a00, 0x3d00, (4096, 3000)).astype(np.uint16))}
        lib.write_checkpoint(self.path("base"), w)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ 1) for n, (t, b) in w.items()})
        self.study("64 MiB")
        run = self.plan(status=4)
        self.assertRegex(run.stderr, r"rank would need .* over memory_per_process, on 1 process: memory_per_process: \d+ MiB would do")
        would = run.stderr.split("memory_per_process: ")[1].split(" would do")[0]
        self.assertFalse(json.loads(self.plan("--json", status=4).stdout)[0]["fits"])
        self.study(would)
        self.assertTrue(self.listed()[0]["fits"])
        self.study("%d MiB" % (int(would.split()[0]) - 8))
        run = self.plan("--json")
        self.assertFalse(json.loads(run.stdout)[0]["fits"])
        self.assertIn("it may be refused; memory_per_process: %s would do" % would, run.stderr)

    def test_probe(self):
        """On tmpfs and on a disk: all there, room told beside what the run takes, the folder as it was; and one that cannot be written."""
        for np_ in (0, 2):
            text = self.sinew(["plan", self.config, "--probe"], np=np_).stdout
            for tried in ("locks of whole files (flock)", "locks of ranges (fcntl)", "flush, rename, flush of the folder",
                          "every process sees new files", "one file by all, read back"):
                self.assertRegex(text, r"(?m)^%s +yes" % re.escape(tried))
            self.assertRegex(text, r"(?m)^room +[0-9.]+ [kMGT]?B +[0-9.]+ [kMGT]?B at the most for this run$")
            self.assertEqual(os.listdir(self.path("out")), [])
        self.assertIn("give one of them", self.plan("--probe", "--json", status=2).stderr)
        self.write("file", "")
        self.config = self.write("study.yaml", STUDY.format(out=self.path("file", "out"), memory="1 GiB", base=self.path("base"),
                                                            tuned=self.path("tuned")))
        run = self.plan("--probe", status=4)
        self.assertIn(self.path("file"), run.stderr)


if __name__ == "__main__":
    lib.main()
