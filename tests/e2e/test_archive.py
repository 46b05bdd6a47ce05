#!/usr/bin/python3
"""The archive as its users meet it: pandas, h5py, h5dump, moved to another place."""
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pandas

import sinewlib as lib

TABLES = {
    "cells": "cell family algorithm seed data step base tuned tensors skipped parameters bit_changed nonzero",
    "sparsity": "cell node criterion tolerance parameters updated sparsity",
    "layers": "cell node layer parameters updated sparsity mean_tensor_density",
    "modules": "cell node module parameters updated sparsity",
    "tensors": "cell tensor layer module dtype_base dtype_tuned shape parameters bit_changed nonzero max_abs mean_abs l2 nan_count",
    "tensor_sparsity": "cell node tensor criterion tolerance updated",
    "rank": "cell node tensor layer module rows cols matrix_rank max_rank rank_percent tolerance sigma_max sigma_min stable_rank "
            "effective_rank ambiguous spectrum_offset spectrum_length",
    "overlap": "node base cell_1 cell_2 varies scope parameters updated_1 updated_2 intersection o1 o2 jaccard random_intersection "
               "random_o1 random_o2 random_jaccard matched_intersection matched_o1 matched_o2 matched_jaccard random_z matched_z",
    "consensus": "node base scope cells k updated_in_at_least_k",
    "entropy": "cell node policy tokens vocabulary temperature mean median p80 share_below_001 threshold forking_tokens",
    "token_ids": "cell node policy token_id count mean",
    "skipped": "cell node tensor parameters reason",
    "published": "source quantity algorithm model value cell",
}


class Archive(lib.Case):
    def setUp(self):
        super().setUp()
        self.made = lib.make_awkward(self.path("models"))
        self.text = lib.awkward_config(self.path("models"), self.path("out"))
        self.config = self.write("awkward.yaml", self.text)
        self.sinew(["run", self.config], np=2)
        self.archive = self.path("out", "awkward.h5")

    def test_pandas(self):
        with h5py.File(self.archive, "r") as f:
            frame = pandas.DataFrame(f["tables/sparsity"][()])
            self.assertGreater(len(frame), 0)
            self.assertEqual(frame["sparsity"].dtype, np.float64)
            self.assertEqual(frame["updated"].dtype, np.int64)
            self.assertTrue(frame["sparsity"].between(0, 1).all())
            mean = frame[frame["node"] == b"mask"].groupby("cell")["sparsity"].mean()
            self.assertEqual(len(mean), 4)

    def test_every_table_of_the_contract(self):
        with h5py.File(self.archive, "r") as f:
            for name, columns in TABLES.items():
                dataset = f["tables/" + name]
                self.assertEqual(dataset.ndim, 1)
                self.assertTrue(dataset.attrs["description"])
                for column in columns.split():
                    self.assertIn(column, dataset.dtype.names, name)
            for name in f["tables"]:
                for column in f["tables/" + name].dtype.names:
                    kind = f["tables/" + name].dtype[column]
                    if kind.kind == "S":
                        self.assertEqual(h5py.check_string_dtype(kind).encoding, "utf-8", (name, column))
                    else:
                        self.assertIn(kind, (np.int64, np.float64), (name, column))

    def test_blas_kernels(self):
        """OpenBLAS gives a processor that it does not know its oldest kernels; the user's choice stands."""
        old = {"Prescott", "Core2", "Penryn", "Nehalem", "Sandybridge", "Atom", "Barcelona", "Bulldozer", "Piledriver", "Steamroller"}
        with open("/proc/cpuinfo") as f:
            flags = set(re.search(r"(?m)^flags\s*:(.*)|\Z", f.read()).group(0).split())
        with h5py.File(self.archive, "r") as f:
            words = f["provenance"].attrs["blas"].split()
        if "DYNAMIC_ARCH" not in words:
            self.skipTest("this OpenBLAS has kernels for one processor")
        if {"avx2", "fma"} <= flags and "OPENBLAS_CORETYPE" not in os.environ:
            self.assertFalse(old & set(words), words)
        if "pni" in flags:
            again = self.write("again.yaml", self.text.replace(self.path("out"), self.path("again")))
            self.sinew(["run", again], np=2, env={"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "2"})
            with h5py.File(self.path("again", "awkward.h5"), "r") as f:
                self.assertIn("Prescott", f["provenance"].attrs["blas"].split())
                self.assertEqual(f["provenance"].attrs["blas_threads"], 2)

    def test_root(self):
        with h5py.File(self.archive, "r") as f:
            for name in ("schema_version", "study", "sinew_version", "created"):
                self.assertIn(name, f.attrs)
            study = f.attrs["study"]
            self.assertEqual(study.decode() if isinstance(study, bytes) else study, "awkward")
            config = f["config"][()]
            self.assertEqual(config.decode() if isinstance(config, bytes) else config, self.text)
            self.assertIn("provenance", f)
            resolved = f["resolved"][()]
            resolved = resolved.decode() if isinstance(resolved, bytes) else resolved
        try:
            import yaml
        except ImportError:
            print("python3-yaml is not installed: /resolved was not parsed")
            return
        study = yaml.safe_load(resolved)
        self.assertEqual(study["study"], "awkward")
        self.assertEqual(set(study["stages"]), set(yaml.safe_load(self.text)["stages"]))
        self.assertEqual(float(study["stages"]["mask"]["tolerance"]), 1e-5)
        self.assertEqual(study["stages"]["delta"]["arithmetic"], "bf16")

    def test_resolved_runs_again(self):
        """/resolved re-creates the run: as a config it finds everything fresh."""
        with h5py.File(self.archive, "r") as f:
            resolved = f["resolved"][()]
        config = self.write("resolved.yaml", resolved.decode() if isinstance(resolved, bytes) else resolved)
        self.sinew(["check", config])
        before = os.stat(self.path("out", "cells", "tiny-a/ppo/0", "delta.h5")).st_mtime_ns
        self.sinew(["run", config])
        self.assertEqual(os.stat(self.path("out", "cells", "tiny-a/ppo/0", "delta.h5")).st_mtime_ns, before)

    def test_links_to_artifacts_survive_a_move(self):
        def links(archive):
            with h5py.File(archive, "r") as f:
                seen = 0
                for cell in ("tiny-a/ppo/0", "tiny-a/ppo/1", "tiny-a/dpo/0", "tiny-a/dpo/1"):
                    group = f["cells"][cell]
                    for node in ("delta", "mask", "rank", "token-entropy"):
                        self.assertGreater(len(group[node]), 0, (cell, node))
                        seen += 1
                    self.assertIn("tables/tensors", group["delta"])
                    self.assertGreater(group["mask"]["mask"].shape[0], 0)
                    link = group.get("delta", getlink=True)
                    self.assertIsInstance(link, h5py.ExternalLink)
                    self.assertFalse(os.path.isabs(link.filename), link.filename)
                return seen
        self.assertEqual(links(self.archive), 16)
        os.rename(self.path("out"), self.path("elsewhere"))
        shutil.rmtree(self.path("models"))
        self.assertEqual(links(self.path("elsewhere", "awkward.h5")), 16)

    def test_h5dump(self):
        run = subprocess.run(["h5dump", "-H", self.archive], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:])
        self.assertIn('DATASET "sparsity"', run.stdout)
        self.assertIn("description", run.stdout)

    def test_catalogue_reads_the_weights_in_place(self):
        found = 0
        for folder, _, files in os.walk(self.path("out", "checkpoints")):
            for file in files:
                with h5py.File(os.path.join(folder, file), "r") as f:
                    found += self.check_catalogue(f)
        self.assertGreaterEqual(found, 5 * 10)

    def check_catalogue(self, f):
        """Every dataset whose bytes stand in another file is equal to those bytes, and to the tensor as numbers."""
        checked = []

        def visit(name, item):
            if not isinstance(item, h5py.Dataset) or not item.external:
                return
            path, offset, size = item.external[0]
            self.assertEqual(len(item.external), 1)
            self.assertTrue(os.path.isabs(path), path)
            values = item[()]
            with open(path, "rb") as weights:
                weights.seek(offset)
                raw = weights.read(size)
            self.assertEqual(len(raw), size, name)
            if item.dtype == np.float32 and size == 2 * values.size:      # bf16, which numpy shows as float32
                want = lib.bf16_float(np.frombuffer(raw, np.uint16)).reshape(item.shape)
            else:
                want = np.frombuffer(raw, item.dtype).reshape(item.shape)
            self.assertTrue(lib.same(values, want).all() if values.dtype.kind == "f" else (values == want).all(), name)
            checked.append(name)

        f.visititems(visit)
        rows = lib.plain(f["tables/catalogue"][()])
        self.assertEqual([r["tensor"] for r in rows], sorted(self.made[None]))
        for row in rows:
            self.assertTrue(os.path.isfile(row["file"]))
            self.assertLessEqual(row["offset_bytes"] + row["size_bytes"], os.path.getsize(row["file"]))
        return len(checked)

    def test_report(self):
        for name in TABLES:
            path = self.path("out", "report", name + ".csv")
            self.assertTrue(os.path.isfile(path), path)
            frame = pandas.read_csv(path)
            with h5py.File(self.archive, "r") as f:
                self.assertEqual(len(frame), len(f["tables/" + name]), name)
        frame = pandas.read_csv(self.path("out", "report", "sparsity.csv"))
        rows = lib.table(self.archive, "sparsity")
        self.assertEqual(list(frame["updated"]), [r["updated"] for r in rows])
        self.assertTrue(np.allclose(frame["sparsity"], [r["sparsity"] for r in rows], rtol=1e-14, atol=0))
        with open(self.path("out", "report", "report.md")) as f:
            page = f.read()
        for word in ("parsity", "olerance", "ayer", "odule", "ank", "verlap", "ntropy", "atched"):
            self.assertIn(word, page)

    def test_nothing_partial_is_left(self):
        for folder, _, files in os.walk(self.path("out")):
            for file in files:
                self.assertNotIn(".partial", file, os.path.join(folder, file))


if __name__ == "__main__":
    lib.main()
