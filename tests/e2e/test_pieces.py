#!/usr/bin/python3
"""Tensors in several pieces as h5py reads them through the artifact of load: mpi.test_pieces leaves its artifacts, of a checkpoint in one
file and of the same one cut in every way, and both must show the same arrays."""
import os
import subprocess

import h5py
import numpy as np

import sinewlib as lib


def bits(dataset):
    out = np.empty(dataset.shape, "V%d" % dataset.id.get_type().get_size())
    dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, out, dataset.id.get_type())
    return out.tobytes()


class Pieces(lib.Case):
    def test_views(self):
        program = os.path.join(os.path.dirname(lib.binary()), "tests", "mpi.test_pieces")
        if not os.path.exists(program):
            self.skipTest("%s was not built" % program)
        folder = self.path("left")
        os.mkdir(folder)
        subprocess.run([program, folder], check=True, env=lib.environment())
        segments = 0
        for kind in range(6):
            with h5py.File(os.path.join(folder, "base.h5"), "r") as one, h5py.File(os.path.join(folder, "base-%d.h5" % kind), "r") as cut:
                self.assertEqual(sorted(one["tensors"]), sorted(cut["tensors"]))
                for name, whole in one["tensors"].items():
                    view = cut["tensors"][name]
                    self.assertEqual((view.shape, view.id.get_type()), (whole.shape, whole.id.get_type()))
                    self.assertEqual(bits(view), bits(whole), "%s, kind %d" % (name, kind))
                    external = view.id.get_create_plist().get_external_count()
                    segments = max(segments, external)
                    referred = external > 0 or kind % 2 == 1 or "copied" in view.attrs
                    self.assertTrue(referred, "%s, kind %d: neither segments nor a word that it was copied" % (name, kind))
        self.assertGreaterEqual(segments, 3)


if __name__ == "__main__":
    lib.main()
