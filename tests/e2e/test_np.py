#!/usr/bin/python3
"""The same study on 1, 2, 3, 4 and 7 processes gives the same archive: everything to the bit but for singular values (within
1e-5 of sigma_max) and what is computed from them; masks and updates byte for byte."""
import os

import h5py

import sinewlib as lib

CELLS = ["tiny-a/%s/%d" % (a, s) for a in ("ppo", "dpo") for s in (0, 1)]


class ProcessCounts(lib.Case):
    def study(self, np, arithmetic):
        output = self.path("%s-np%d" % (arithmetic, np))
        config = self.write("%s-np%d.yaml" % (arithmetic, np), lib.awkward_config(self.path("models"), output, arithmetic))
        self.sinew(["run", config], np=np)
        return output

    def check(self, arithmetic, counts):
        lib.make_awkward(self.path("models"))
        alone = self.study(1, arithmetic)
        for np in counts:
            with self.subTest(processes=np):
                output = self.study(np, arithmetic)
                differences = lib.compare_archives(os.path.join(alone, "awkward.h5"), os.path.join(output, "awkward.h5"))
                self.assertEqual(differences, [])
                self.compare_bulk(alone, output)

    def compare_bulk(self, one, two):
        for cell in CELLS:
            for node, names in (("delta", ["update/bitmap", "update/old", "update/new", "update/first_value", "update/nonfinite"]),
                                ("mask", ["mask"]), ("mask-bits", ["mask"]), ("mask-relative", ["mask"])):
                paths = [os.path.join(folder, "cells", cell, node + ".h5") for folder in (one, two)]
                with h5py.File(paths[0], "r") as f, h5py.File(paths[1], "r") as g:
                    for name in names:
                        a, b = f[name][()], g[name][()]
                        self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype), (cell, node, name))
                        self.assertTrue((a == b).all(), (cell, node, name))

    def test_bf16(self):
        self.check("bf16", [2, 3, 4, 7])

    def test_f32(self):
        self.check("f32", [3])


if __name__ == "__main__":
    lib.main()
