#!/usr/bin/python3
"""What a cell's keys weights, adapter and merge choose, as a user meets it: one folder as two checkpoints, what is said of it, what
is fresh, and a folder that was removed. The folders are those packed in tests/trainers."""
import os
import shutil
import tarfile

import h5py
import numpy as np

import sinewlib as lib

PACKED = os.path.join(lib.ROOT, "tests", "trainers")
HEAD = "study: s\noutput: out\nmissing: %s\ncells:\n"
CELL = "  - {family: f, algorithm: %s, seed: 0, base: %s, tuned: %s%s}\n"
STAGES = ("stages: {load: {}, delta: {needs: load, arithmetic: %s}, mask: {needs: delta}, overlap: {needs: mask},\n"
          "  report: {needs: [mask, overlap], figures: false}}\n")


class Choices(lib.Case):
    def unpack(self, kind):
        with tarfile.open(os.path.join(PACKED, kind + ".tar.xz")) as t:
            t.extractall(self.dir)

    def study(self, cells, missing="fail", arithmetic="f32"):
        """cells: (algorithm, base, tuned, more keys)."""
        self.write("s.yaml", HEAD % missing + "".join(CELL % c for c in cells) + STAGES % arithmetic)

    def rows(self, name, *columns):
        return [tuple(row[c] for c in columns) for row in lib.table(self.path("out", "s.h5"), name)]

    def notes(self):
        with h5py.File(self.path("out", "s.h5"), "r") as f:
            return f["provenance/notes"][()].decode().splitlines() if "notes" in f["provenance"] else None

    def test_one_folder_is_several_checkpoints(self):
        self.unpack("dcp")
        base, tuned = "dcp-tp2xdp2/base", "dcp-tp2xdp2/trainer/step-3"
        cells = [("plain", base, tuned, ""), ("masters", base, tuned, ", weights: masters"), ("model", base, tuned, ", weights: model")]
        self.study(cells)
        checked = self.sinew(["check", "s.yaml"])
        self.assertIn("3 cells, 5 stages, 12 nodes; 4 inputs", checked.stdout)  # the base is one
        said = [line for line in checked.stdout.splitlines() if line.startswith(tuned)]
        names = [tuned, tuned + " (weights: masters)", tuned + " (weights: model)"]
        self.assertEqual(len(said), len(names), said)
        self.assertTrue(all(line.startswith(name + ": ") for line, name in zip(said, names)), said)
        run = self.sinew(["run", "s.yaml"])
        for line in said:
            self.assertEqual(run.stdout.count("] " + line + "\n"), 1, run.stdout)
        self.assertEqual(self.notes(), said)
        with open(self.path("out", "report", "report.md")) as f:
            report = f.read()
        for line in said:
            self.assertEqual(report.count("\n- " + line + "\n"), 1, line)
        plain, masters, model = (n for _, n in self.rows("cells", "cell", "bit_changed"))
        self.assertTrue(plain == masters > model, (plain, masters, model))  # bf16 hides most of what changed
        self.assertEqual(len(self.rows("overlap", "cell_1")), len(set(self.rows("overlap", "cell_1", "cell_2", "scope"))))
        self.assertIn("12 nodes: 12 fresh", self.sinew(["status", "s.yaml"]).stdout)
        shown = self.sinew(["run", "s.yaml", "--cell", "f/model/0", "--force"]).stdout
        self.assertIn("2 of 4 checkpoints", shown)
        one = self.sinew(["plan", "s.yaml"], np=2).stdout
        self.assertRegex(one, "total +12 +11")             # the report is of the archive that was

    def test_a_cell_alone_is_named_as_before(self):
        """Where nothing is chosen, artifacts lie where they lay, and the archive says nothing of it."""
        self.unpack("experts")
        base = "experts-qwen3moe/base"
        self.study([("same", base, base, "")])
        self.sinew(["run", "s.yaml"])
        before = sorted(os.listdir(self.path("out", "checkpoints")))
        self.assertIsNone(self.notes())
        with open(self.path("out", "report", "report.md")) as f:
            self.assertNotIn("could mean more", f.read())
        self.study([("same", base, base, ", weights: masters, adapter: merged")])  # safetensors have neither
        run = self.sinew(["run", "s.yaml"])
        self.assertNotIn("to do", run.stdout)
        with h5py.File(self.path("out", "s.h5"), "r") as f:
            self.assertIn(", weights: masters, adapter: merged}", f["resolved"][()].decode())
        self.assertTrue(set(before) <= set(os.listdir(self.path("out", "checkpoints"))))

    def test_a_removed_folder_is_what_it_was(self):
        self.unpack("dcp")
        base, tuned = "dcp-tp2xdp2/base", "dcp-tp2xdp2/trainer/step-3"
        cells = [("masters", base, tuned, ", weights: masters"), ("model", base, tuned, ", weights: model")]
        self.study(cells, missing="kept")
        self.sinew(["run", "s.yaml"])
        before = lib.tables(self.path("out", "s.h5"))
        shutil.rmtree(self.path(os.path.dirname(tuned)))
        self.assertIn("9 nodes: 9 fresh", self.sinew(["status", "s.yaml"]).stdout)
        os.unlink(self.path("out", "s.h5"))
        self.sinew(["run", "s.yaml"], np=2)
        after = lib.tables(self.path("out", "s.h5"))
        self.assertTrue(all(lib.same(before[name][c], after[name][c]).all() for name in ("cells", "tensor_sparsity", "overlap")
                            for c in before[name].dtype.names))
        # What was never read is not there, whatever else was read of the folder.
        self.study(cells + [("plain", base, tuned, "")], missing="fail")
        self.assertIn("1 of 3 cells lack a checkpoint, first f/plain/0", self.sinew(["run", "s.yaml"], status=3).stderr)

    def test_an_adapter_is_one_on_its_base(self):
        self.unpack("lora")
        base, other, tuned = "lora-dora/base", "other", "lora-dora/trainer"
        shutil.copytree(self.path(base), self.path(other))
        cells = [("merged", base, tuned, ""), ("exact", base, tuned, ", adapter: exact"), ("said", base, tuned, ", adapter: merged"),
                 ("other", other, tuned, ""), ("chain", tuned, base, ""), ("file", base, tuned + "/adapter_model.safetensors", "")]
        self.study(cells, missing="kept")
        run = self.sinew(["run", "s.yaml"])
        self.assertIn("load           6 of 6 checkpoints", run.stdout)
        status = self.sinew(["status", "s.yaml"]).stdout
        for label in (base, other, tuned + " (base: %s)" % base, tuned + " (base: %s)" % other,
                      tuned + " (adapter: exact, base: %s)" % base, tuned + "/adapter_model.safetensors (base: %s)" % base):
            self.assertIn("fresh    load             %s\n" % label, status)
        counts = {cell.split("/")[1]: n for cell, n in self.rows("cells", "cell", "bit_changed")}
        self.assertEqual({counts[c] for c in ("said", "other", "chain", "file")}, {counts["merged"]})
        self.assertGreater(counts["exact"], counts["merged"])
        # An exact update knows no weights: it overlaps with others, and has no matched chance.
        for one, two, chance in self.rows("overlap", "cell_1", "cell_2", "matched_intersection"):
            self.assertEqual(np.isnan(chance), "f/exact/0" in (one, two), (one, two, chance))
        # One note for each, and the folder's own adapter is none beside weights.
        self.assertEqual(len(self.notes()), 4, self.notes())
        self.assertNotIn("beside the weights", "".join(self.notes()))
        # What stands on a base is stale with it, and with nothing else.
        os.utime(self.path(other, "model.safetensors"), (1000, 1000))
        status = self.sinew(["status", "s.yaml"]).stdout
        self.assertEqual(status.count("stale    load"), 2, status)
        self.assertIn("stale    load             %s (base: %s)" % (tuned, other), status)
        self.sinew(["run", "s.yaml"])
        # The adapter goes, and what was read of it stays.
        shutil.rmtree(self.path(tuned))
        self.assertIn("22 nodes: 22 fresh", self.sinew(["status", "s.yaml"]).stdout)

    def test_words(self):
        base = "b"
        self.study([("x", base, base, ", weights: mastres"), ("y", base, base, ", adaptor: exact")])
        run = self.sinew(["check", "s.yaml"], status=2)
        self.assertIn("cells[0].weights: expected one of default, masters, model, found \"mastres\"; did you mean masters?", run.stderr)
        self.assertIn("cells[1]: unknown key \"adaptor\"; did you mean adapter?", run.stderr)


if __name__ == "__main__":
    lib.main()
