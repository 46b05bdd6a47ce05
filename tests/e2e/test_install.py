#!/usr/bin/python3
"""What `cmake --install` lays out: a program that starts, its manual page, job scripts and a module file that find it; the Debian package of
it; and what jobs/setup.sh says on a system of RPM packages."""
import os
import runpy
import shutil
import subprocess
import sys
import types
import unittest.mock

import sinewlib as lib

STUDY = "study: s\noutput: out\ncells:\n  - {family: f, algorithm: a, base: b, tuned: t}\nstages:\n  load: {}\n"


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, **more)


class Install(lib.Case):
    def setUp(self):
        super().setUp()
        self.build = os.path.dirname(lib.binary())
        if not os.path.exists(os.path.join(self.build, "sinew.1")):
            self.skipTest("the manual page was not built")

    def test_prefix(self):
        prefix = self.path("with blanks", "prefix")
        done = run("cmake", "--install", self.build, "--prefix", prefix)
        self.assertEqual(done.returncode, 0, done.stderr)
        share = os.path.join(prefix, "share")
        for name in ("man/man1/sinew.1", "bash-completion/completions/sinew", "zsh/site-functions/_sinew", "doc/sinew/copyright",
                     "sinew/configs/demo.yaml", "sinew/configs/study-2505.11711.yaml", "sinew/jobs/stage-in.sh", "sinew/jobs/slurm/array.sh"):
            self.assertTrue(os.path.getsize(os.path.join(share, name)), name)
        sinew = os.path.join(prefix, "bin", "sinew")
        self.assertEqual(run(sinew, "--version").stdout, run(lib.binary(), "--version").stdout)
        with open(os.path.join(share, "man/man1/sinew.1")) as f:
            self.assertIn(".TH SINEW", f.read().upper())

    def test_jobs_find_it(self):
        prefix = self.path("prefix")
        self.assertEqual(run("cmake", "--install", self.build, "--prefix", prefix).returncode, 0)
        sinew = os.path.join(prefix, "bin", "sinew")
        config = self.write("study.yaml", STUDY)
        env = {k: v for k, v in lib.environment().items() if k not in ("SINEW", "MANPATH")}
        for script in ("slurm/study.sbatch", "pbs/study.pbs"):
            dry = run("bash", os.path.join(prefix, "share/sinew/jobs", script), "--dry-run", config, cwd=self.dir, env=env)
            self.assertIn("study: program %s, sinew 0." % sinew, dry.stdout, dry.stderr)
            self.assertRegex(dry.stdout, r"study: state   \d+ nodes: 0 fresh, ")
            named = run("bash", os.path.join(prefix, "share/sinew/jobs", script), "--dry-run", config, cwd=self.dir,
                        env=dict(env, SINEW=lib.binary()))
            self.assertIn("study: program %s, sinew 0." % lib.binary(), named.stdout, named.stderr)
        init = "/usr/share/modules/init/bash"
        if os.path.exists(init):
            said = run("bash", "-c", ". %s; module use %s/share/sinew/modulefiles; module load sinew; command -v sinew; sinew --version; man -w sinew; "
                       "ls $SINEW_SHARE; module unload sinew; command -v sinew || echo none" % (init, prefix),
                       env=dict(env, PATH="/usr/bin:/bin"))
            lines = said.stdout.splitlines()
            self.assertEqual((lines[0], lines[2], lines[3:]), (sinew, os.path.join(prefix, "share/man/man1/sinew.1"), ["configs", "jobs", "modulefiles", "none"]),
                             said.stdout + said.stderr)

    def test_debian_package(self):
        if not shutil.which("dpkg-shlibdeps") or not shutil.which("file"):
            self.skipTest("no dpkg-dev, or no file")
        packed = run("cpack", "--config", os.path.join(self.build, "CPackConfig.cmake"), "-B", self.path("pack"), cwd=self.dir)
        self.assertEqual(packed.returncode, 0, packed.stdout + packed.stderr)
        package = self.path("pack", [f for f in os.listdir(self.path("pack")) if f.endswith(".deb")][0])
        names = [line.split()[-1] for line in run("dpkg-deb", "-c", package).stdout.splitlines()]
        for name in ("./usr/bin/sinew", "./usr/share/man/man1/sinew.1", "./usr/share/sinew/configs/demo.yaml", "./usr/share/doc/sinew/copyright"):
            self.assertIn(name, names)
        self.assertEqual([n for n in names if not n.startswith("./usr/")], [])
        needs = run("dpkg-deb", "-f", package, "Depends").stdout
        for library in ("openmpi-bin", "libhdf5-openmpi", "libscalapack-openmpi", "libopenblas", "libyaml", "libjansson", "libxxhash"):
            self.assertIn(library, needs)
        run("dpkg-deb", "-x", package, self.path("root"))
        for name in ("slurm/study.sbatch", "pbs/study.pbs"):
            with open(self.path("root/usr/share/sinew/jobs", name)) as f:
                self.assertIn("\nSINEW=${SINEW:-/usr/bin/sinew} ", f.read())
        with open(self.path("root/usr/share/sinew/modulefiles/sinew", os.listdir(self.path("root/usr/share/sinew/modulefiles/sinew"))[0])) as f:
            self.assertIn("\nset prefix /usr\n", f.read())

    def test_rpm_systems(self):
        setup = os.path.join(lib.ROOT, "jobs", "setup.sh")
        os.mkdir(self.path("bin"))
        for name in ("bash", "id"):
            os.symlink(shutil.which(name), self.path("bin", name))
        for installed, ends in (("openmpi|gcc", "pkgconf-pkg-config gnuplot"), ("*", None)):
            rpm = self.write("bin/rpm", "#!/bin/bash\ncase ${!#} in %s) ;; *) exit 1 ;; esac\n" % installed)
            os.chmod(rpm, 0o755)
            said = run("bash", setup, env={"PATH": self.path("bin")})
            self.assertEqual((said.returncode, said.stderr), (0, ""))
            lines = [line for line in said.stdout.splitlines() if line.startswith("setup:   dnf install ") and "epel" not in line]
            if ends:
                self.assertTrue(lines[0].startswith("setup:   dnf install openmpi-devel hdf5-openmpi-devel ") and lines[0].endswith(ends), said.stdout)
                self.assertNotIn(" gcc ", lines[0])
            else:
                self.assertEqual((lines, len(said.stdout.splitlines())), ([], 1))

    def test_recipes(self):
        """That of Spack, run with stand-ins for Spack's own words: it depends on all that the build looks for, and fetches this tree."""
        path = os.path.join(lib.ROOT, "jobs", "packages", "spack", "packages", "sinew", "package.py")
        said = {}

        def word(name):
            return lambda *words, **named: said.setdefault(name, []).append((words, named))

        class CMakePackage:
            def define(self, name, value):
                return "-D%s:BOOL=%s" % (name, "ON" if value else "OFF")

        module = types.ModuleType("spack.package")
        module.CMakePackage = CMakePackage
        for name in ("version", "license", "depends_on", "generator"):
            setattr(module, name, word(name))
        with unittest.mock.patch.dict(sys.modules, {"spack": types.ModuleType("spack"), "spack.package": module}):
            recipe = runpy.run_path(path)["Sinew"]
        self.assertEqual(recipe().cmake_args(), ["-DSINEW_TESTS:BOOL=OFF"])
        self.assertEqual(recipe.git, "file://" + os.path.realpath(lib.ROOT))
        needs = " ".join(words[0] for words, _ in said["depends_on"])
        for name in ("cmake@3.25:", "mpi", "hdf5@1.10: +mpi", "openblas", "netlib-scalapack", "libyaml", "jansson", "xxhash"):
            self.assertIn(name, needs)


if __name__ == "__main__":
    lib.main()
