"""Spack recipe, for the clone that it lies in:
    spack repo add jobs/packages/spack
    spack install sinew                      # what is committed on main; of the tree as it is: spack dev-build -d . sinew@main
"""
import os

from spack.package import *


class Sinew(CMakePackage):
    """Measures what reinforcement learning changed in a language model: which parameters were updated, by how much, of what
    rank, and how far two runs updated the same ones. MPI, parallel HDF5, ScaLAPACK."""

    git = "file://" + os.path.realpath(os.path.join(os.path.dirname(__file__), *[".."] * 5))

    version("main", branch="main")

    license("Apache-2.0")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10: +mpi")
    depends_on("openblas@0.3.7:")  # two-stage eigensolvers of LAPACK 3.7
    depends_on("netlib-scalapack@2.1: ^openblas")
    depends_on("libyaml")
    depends_on("jansson")
    depends_on("xxhash@0.8:")
    depends_on("gnuplot", type="run")

    generator("ninja")

    def cmake_args(self):
        return [self.define("SINEW_TESTS", False)]
