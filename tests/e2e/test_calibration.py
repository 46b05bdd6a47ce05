"""Measuring a machine: what `sinew plan --calibrate` writes, that plan goes by it, and that nothing else stays behind."""
import json
import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sinewlib as lib  # noqa: E402

STUDY = """study: s
output: "{out}"
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


class Calibration(lib.Case):
    def setUp(self):
        super().setUp()
        w = {"model.layers.0.mlp.up_proj.weight": ("BF16", np.random.default_rng(5).integers(0x3a00, 0x3d00, (64, 96)).astype(np.uint16))}
        lib.write_checkpoint(self.path("base"), w)
        lib.write_checkpoint(self.path("tuned"), {n: (t, b ^ 1) for n, (t, b) in w.items()})
        self.config = self.write("study.yaml", STUDY.format(out=self.path("out"), base=self.path("base"), tuned=self.path("tuned")))

    def plan(self, *more, **how):
        return self.sinew(["plan", self.config] + list(more), **how)

    def test_calibration(self):
        """A machine is measured into a file, which says what it is, and plan reads it back; nothing else stays behind."""
        machine = self.path("here.yaml")
        run = self.plan("--calibrate", "--machine", machine, np=2)
        self.assertEqual(os.listdir(self.path("out")), [])
        self.assertIn("Rates are those of %s, on " % machine, run.stdout)
        with open(machine) as f:
            text = f.read()
        for kind in ("load", "delta", "mask", "rank", "overlap", "dynamics", "token-entropy", "report"):
            self.assertRegex(text, r"(?m)^  %s: \{nodes: [0-9.e+]+, " % kind)
        numbers = dict(re.findall(r"(?m)^([a-z_]+): ([0-9.e+-]+) +#", text))
        for name in ("read_process", "write_process", "artifacts", "sealed", "flush", "start", "agree", "link_host", "link"):
            self.assertGreater(float(numbers[name]), 0, name)
        self.assertNotEqual(float(numbers["link_host"]), 2e9)              # as it is assumed
        self.assertLessEqual(float(numbers["link"]), float(numbers["link_host"]))
        for words in (r"dynamics: .*\belements: ", r"token-entropy: .*\blogits16: .*\blogits32: ", r"delta: .*\bdecoded: ", r"load: .*\bbytes: "):
            self.assertRegex(text, "(?m)^  " + words)
        self.assertEqual(self.plan("--machine", machine, np=2).stdout, run.stdout[run.stdout.index("study s:"):])
        x = json.loads(self.plan("--json", "--machine", machine).stdout)[0]
        self.assertTrue(x["measured"] and 0 < x["processor_seconds"] < 60)


if __name__ == "__main__":
    lib.main()
