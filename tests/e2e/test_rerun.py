#!/usr/bin/python3
"""What runs again and what does not: nothing the second time; after a change, what changed and what depends on it; one stage of
one cell on request; and what `status` and `report` say meanwhile. Which nodes ran is read from their artifacts: an artifact that
was written has a new inode."""
import glob
import os
import re
import shutil

import sinewlib as lib

CELLS = ["tiny-a/%s/%d" % (a, s) for a in ("ppo", "dpo") for s in (0, 1)]


class Rerun(lib.Case):
    def setUp(self):
        super().setUp()
        lib.make_awkward(self.path("models"))
        self.text = lib.awkward_config(self.path("models"), self.path("out"))
        self.config = self.write("study.yaml", self.text)
        self.sinew(["run", self.config])

    def artifacts(self):
        """node -> set of places (cell, base or checkpoint) -> (inode, mtime)."""
        found = {}
        for top in ("cells", "checkpoints", "bases"):
            for folder, _, files in os.walk(self.path("out", top)):
                for file in files:
                    self.assertTrue(file.endswith(".h5"), "%s/%s lies about" % (folder, file))
                    status = os.stat(os.path.join(folder, file))
                    found[os.path.relpath(os.path.join(folder, file), self.path("out"))] = status.st_ino, status.st_mtime_ns
        return found

    def changed(self, args, **options):
        """Runs sinew and returns the artifacts that it wrote, by node: a dict node -> sorted places."""
        before = self.artifacts()
        self.last = self.sinew(args, **options)
        after, out = self.artifacts(), {}
        for path, identity in after.items():
            if before.get(path) != identity:
                place, file = os.path.split(path)
                out.setdefault(file[:-3], []).append(re.sub("^(cells|checkpoints|bases)/", "", place))
        return {node: sorted(places) for node, places in out.items()}

    def test_second_run_does_nothing(self):
        archive = os.stat(self.path("out", "awkward.h5"))
        self.assertEqual(self.changed(["run", self.config]), {})
        self.assertIn("nothing to do", self.last.stdout)
        self.assertEqual(os.stat(self.path("out", "awkward.h5")).st_mtime_ns, archive.st_mtime_ns)
        self.assertEqual(self.changed(["run", self.config], np=3), {}, "the number of processes is no reason to run")

    def test_below_what_is_fresh(self):
        """A node reads what its fresh input stands on, and begins when that is there again."""
        for np_ in (0, 2, 4):
            gone = [path for path in self.artifacts() if path.endswith(("load.h5", "rank.h5"))]
            for path in gone:
                os.remove(self.path("out", path))
            anew = self.changed(["run", self.config], np=np_)
            self.assertEqual(sorted(anew), ["load", "rank"], self.last.stdout)
            self.assertEqual(sum(len(places) for places in anew.values()), len(gone), self.last.stdout)

    def test_made_anew(self):
        """What ran again has the key that it had, and still the archive and the report are of what is there now."""
        archive, report = self.path("out", "awkward.h5"), self.path("out", "report", "report.md")
        for what in ("force", "stage", "gone", "cut"):
            with self.subTest(what=what):
                before = os.stat(archive).st_mtime_ns, os.stat(report).st_mtime_ns
                rank = next(p for p in self.artifacts() if p.endswith("rank.h5"))
                if what == "force":
                    self.sinew(["run", self.config, "--force"])
                elif what == "stage":                     # its own node alone, then the rest
                    self.sinew(["run", self.config, "--stage", "rank", "--force"])
                    self.sinew(["run", self.config])
                elif what == "gone":
                    os.remove(self.path("out", rank))
                    self.sinew(["run", self.config])
                else:                                     # between the node and the archive
                    with open(archive, "rb") as f:
                        old = f.read()
                    os.remove(self.path("out", rank))
                    self.sinew(["run", self.config])
                    with open(archive, "wb") as f:
                        f.write(old)
                    self.assertRegex(self.sinew(["status", self.config]).stdout, "stale +archive")
                    self.sinew(["run", self.config])
                self.assertGreater(os.stat(archive).st_mtime_ns, before[0])
                self.assertGreater(os.stat(report).st_mtime_ns, before[1])
                self.assertEqual(self.changed(["run", self.config]), {})
                self.assertIn("nothing to do", self.last.stdout)

    def test_links_are_not_followed(self):
        """Where sinew writes, no link leads it to another file."""
        victim, folder = self.write("victim", "mine"), self.path("elsewhere")
        os.mkdir(folder)
        shutil.rmtree(self.path("out", "report"))
        os.mkdir(self.path("out", "report"))
        artifacts = [self.path("out", p) for p in self.artifacts()]
        names = artifacts + [self.path("out", "awkward.h5")] + [
            self.path("out", "report", name) for name in ("report.html", "report.md", "cells.csv", "sparsity.csv", "sparsity.txt")]
        for name in names:
            os.symlink(victim, name + ".partial")
            os.symlink(victim, name + ".partial.elsewhere-77")
        os.symlink(folder, self.path("out", "report", "figures.partial"))
        for np in (0, 2):
            self.sinew(["run", self.config, "--force"], np=np)
            with open(victim) as f:
                self.assertEqual(f.read(), "mine")
            self.assertEqual(os.listdir(folder), [])
            for name in names:
                self.assertFalse(os.path.islink(name), name)
            self.assertEqual(glob.glob(self.path("out", "**", "*.partial*"), recursive=True), [])

    def test_parameter_of_one_stage(self):
        old = lib.table(self.path("out", "awkward.h5"), "overlap")
        report = os.stat(self.path("out", "report", "report.md")).st_mtime_ns
        changed_text = self.text.replace("criterion: absolute, tolerance: 1e-5", "criterion: absolute, tolerance: 1e-4")
        self.assertNotEqual(changed_text, self.text)
        self.write("study.yaml", changed_text)
        ran = self.changed(["run", self.config])
        self.assertEqual(ran.pop("mask"), sorted(CELLS))
        self.assertEqual(len(ran.pop("overlap")), 1)
        ran.pop("report", None)
        self.assertEqual(ran, {}, "only mask and what depends on it")
        self.assertNotEqual(os.stat(self.path("out", "report", "report.md")).st_mtime_ns, report)
        self.assertNotEqual(lib.table(self.path("out", "awkward.h5"), "overlap"), old)
        # The same as a study that never was anything else.
        self.write("fresh.yaml", changed_text.replace(self.path("out"), self.path("fresh")))
        self.sinew(["run", self.path("fresh.yaml")])
        self.assertEqual(lib.compare_archives(self.path("out", "awkward.h5"), self.path("fresh", "awkward.h5")), [])

    def test_spelling_of_a_parameter_is_no_change(self):
        self.write("study.yaml", self.text.replace("tolerance: 1e-5", "tolerance: 0.00001") + "# a comment\n")
        ran = self.changed(["run", self.config])
        ran.pop("report", None)
        self.assertEqual(ran, {})

    def test_changed_checkpoint(self):
        path = self.path("models", "tiny-a", "ppo", "seed-0", "model.safetensors")
        with open(path, "r+b") as f:
            f.seek(-3, os.SEEK_END)
            byte = f.read(1)
            f.seek(-3, os.SEEK_END)
            f.write(bytes([byte[0] ^ 1]))
        status = os.stat(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000000000))
        ran = self.changed(["run", self.config])
        self.assertEqual(len(ran["load"]), 1)
        for node in ("delta", "mask", "mask-bits", "mask-relative", "rank"):
            self.assertEqual(ran[node], ["tiny-a/ppo/0"], node)
        for node in ("overlap", "overlap-bits"):
            self.assertEqual(len(ran[node]), 1)

    def test_one_input_gone_and_another_changed(self):
        """That a file is gone hides no change of the others."""
        os.remove(self.path("models", "tiny-a", "ppo", "seed-0", "logits.safetensors"))
        with open(self.path("models", "tiny-a", "base", "logits.safetensors"), "r+b") as f:
            f.seek(-600, os.SEEK_END)
            f.write(b"\0" * 4)
        self.assertRegex(self.status_of("token-entropy"), "stale.*tiny-a/ppo/0")

    def test_one_stage_of_one_cell(self):
        ran = self.changed(["run", self.config, "--stage", "rank", "--cell", "tiny-a/dpo/1"])
        self.assertEqual(ran, {"rank": ["tiny-a/dpo/1"]})
        ran = self.changed(["run", self.config, "--stage", "mask", "--stage", "rank", "--cell", "tiny-a/dpo/1", "--cell",
                            "tiny-a/ppo/0"], np=2)
        self.assertEqual({n: ran[n] for n in ("mask", "rank")}, {n: ["tiny-a/dpo/1", "tiny-a/ppo/0"] for n in ("mask", "rank")})

    def test_input_of_the_stage_is_missing(self):
        os.remove(self.path("out", "cells", "tiny-a/dpo/1", "delta.h5"))
        run = self.sinew(["run", self.config, "--stage", "rank", "--cell", "tiny-a/dpo/1"], np=2, status=3)
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("delta", run.errors()[0])
        self.assertIn("tiny-a/dpo/1", run.errors()[0])
        self.assertRegex(run.errors()[0], r"sinew run\b.*--stage delta|missing.*run")
        self.assertFalse(os.path.exists(self.path("out", "cells", "tiny-a/dpo/1", "delta.h5")))
        # What it says helps.
        ran = self.changed(["run", self.config, "--stage", "delta", "--cell", "tiny-a/dpo/1"])
        self.assertEqual(ran, {"delta": ["tiny-a/dpo/1"]})
        self.sinew(["run", self.config, "--stage", "rank", "--cell", "tiny-a/dpo/1"])
        self.sinew(["run", self.config])

    def test_unknown_stage_and_cell(self):
        run = self.sinew(["run", self.config, "--stage", "rnak"], status=2)
        self.assertIn("rank", run.stderr)
        run = self.sinew(["run", self.config, "--cell", "tiny-a/ppp/0"], status=2)
        self.assertIn("tiny-a/ppp/0", run.stderr)

    def test_force(self):
        ran = self.changed(["run", self.config, "--force"])
        for node in ("delta", "mask", "mask-bits", "mask-relative", "rank", "token-entropy"):
            self.assertEqual(ran[node], sorted(CELLS), node)
        self.assertEqual(len(ran["load"]), 5)

    def status_of(self, node):
        """The lines of `status` about a node."""
        run = self.sinew(["status", self.config])
        lines = [line for line in run.stdout.splitlines() if re.search(r"(^|\s)%s(\s|:|$)" % re.escape(node), line)]
        self.assertTrue(lines, run.text())
        return "\n".join(lines)

    def test_status(self):
        for node in ("load", "delta", "mask", "rank", "overlap", "token-entropy", "report"):
            self.assertIn("fresh", self.status_of(node))
        # Some of a node's artifacts gone, one of them half written.
        path = self.path("out", "cells", "tiny-a/dpo/1", "rank.h5")
        partial = path + ".partial.elsewhere-77"
        os.rename(path, partial)
        self.assertIn("partial", self.status_of("rank"))
        # All gone.
        for cell in CELLS:
            os.remove(self.path("out", "cells", cell, "mask-bits.h5"))
        self.assertIn("missing", self.status_of("mask-bits"))
        # Parameters changed: stale, and the reason.
        self.write("study.yaml", self.text.replace("criterion: absolute, tolerance: 1e-5", "criterion: absolute, tolerance: 1e-4"))
        self.assertIn("stale", self.status_of("mask"))
        self.assertRegex(self.status_of("mask"), "param|toleran")
        self.assertIn("stale", self.status_of("overlap"))
        self.assertIn("fresh", self.status_of("delta"))
        # status itself writes nothing, and a run repairs it all.
        self.assertTrue(os.path.exists(partial))
        self.sinew(["run", self.config])
        self.assertIn("fresh", self.status_of("rank"))
        self.assertFalse(os.path.exists(partial))

    def test_status_before_the_first_run(self):
        self.write("study.yaml", self.text.replace(self.path("out"), self.path("never")))
        for node in ("load", "delta", "report"):
            self.assertIn("missing", self.status_of(node))
        self.assertFalse(os.path.exists(self.path("never")))

    def test_report_needs_no_checkpoint(self):
        shutil.rmtree(self.path("models"))
        with open(self.path("out", "report", "sparsity.csv")) as f:
            csv = f.read()
        shutil.rmtree(self.path("out", "report"))
        self.sinew(["report", self.config])
        with open(self.path("out", "report", "sparsity.csv")) as f:
            self.assertEqual(f.read(), csv)
        self.assertTrue(os.path.isfile(self.path("out", "report", "report.md")))

    def test_exclude_and_explicit_cells(self):
        models = self.path("models")
        text = self.text.replace("study: awkward", "study: cells").replace(self.path("out"), self.path("cells-out"))
        text = text.replace("  base:", "  exclude: [{algorithm: dpo, seed: 1}]\n  base:", 1)
        text = text.replace("stages:\n", """cells:
  - {family: tiny-a, algorithm: dpo, seed: 1, data: math, step: 40, base: "%s/tiny-a/base", tuned: "%s/tiny-a/dpo/seed-1", published: {sparsity: 0.814}}
  - {family: tiny-b, algorithm: grpo, seed: 42, base: "%s/tiny-a/dpo/seed-0", tuned: "%s/tiny-a/dpo/seed-1"}
stages:
""" % (models, models, models, models), 1)
        self.sinew(["run", self.write("cells.yaml", text)], np=2)
        archive = self.path("cells-out", "cells.h5")
        rows = lib.table(archive, "cells")
        self.assertEqual([r["cell"] for r in rows],
                         ["tiny-a/ppo/0", "tiny-a/ppo/1", "tiny-a/dpo/0", "tiny-a/dpo/1+math@40", "tiny-b/grpo/42"])
        self.assertEqual([(r["data"], r["step"], r["seed"]) for r in rows],
                         [("", -1, 0), ("", -1, 1), ("", -1, 0), ("math", 40, 1), ("", -1, 42)])
        self.assertTrue(os.path.isfile(self.path("cells-out", "cells", "tiny-a/dpo/1+math@40", "delta.h5")))
        published = lib.table(archive, "published")
        self.assertEqual([(r["quantity"], r["algorithm"], r["model"], r["value"]) for r in published if r["value"] == 0.814],
                         [("sparsity", "dpo", "tiny-a", 0.814)])
        # Two bases: no pair of cells across them.
        for row in lib.table(archive, "overlap"):
            self.assertNotIn("tiny-b/grpo/42", (row["cell_1"], row["cell_2"]))
        varies = {(r["cell_1"], r["cell_2"]): r["varies"] for r in lib.table(archive, "overlap")}
        self.assertEqual(varies["tiny-a/dpo/0", "tiny-a/dpo/1+math@40"], "seed+data+step")
        # The explicit cell without logits has no entropy, and says nothing false about it.
        self.assertNotIn("tiny-b/grpo/42", {r["cell"] for r in lib.table(archive, "entropy")})

    def test_plan_and_check_touch_nothing(self):
        self.write("study.yaml", self.text.replace(self.path("out"), self.path("never")))
        run = self.sinew(["plan", self.config], np=2)
        for node in ("load", "delta", "mask", "rank", "overlap", "token-entropy", "report"):
            self.assertIn(node, run.stdout)
        self.sinew(["check", self.config])
        self.assertFalse(os.path.exists(self.path("never")))


if __name__ == "__main__":
    lib.main()
