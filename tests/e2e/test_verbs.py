"""What sinew says of its verbs: the help, the manual page and the README tell of the same ones, with the same options."""
import os
import re
import shutil
import subprocess
import unittest

from sinewlib import ROOT, Case, main

LISTED = re.compile(r"^  ([a-z]+) +(\S.*)$", re.M)
OPTION = re.compile(r"^  (?:-(\w), |    )--([a-z-]+)", re.M)


class Verbs(Case):
    def verbs(self):
        """What `sinew --help` lists: (name, brief) in its order."""
        text = self.sinew(["--help"]).stdout
        block = text.split("\n\n")[2]
        found = LISTED.findall(block)
        self.assertEqual(len(found), len(block.splitlines()), block)
        return found

    def test_readme(self):
        with open(os.path.join(ROOT, "README.md")) as f:
            rows = re.findall(r"^\| `sinew ([a-z]+)` \| (.*) \|$", f.read(), re.M)
        self.assertEqual(rows, self.verbs())

    def test_each_explains_itself(self):
        for name, brief in self.verbs():
            text = self.sinew([name, "--help"]).stdout
            self.assertTrue(text.startswith("sinew %s " % name), text)
            self.assertIn(brief, text)
            self.assertEqual(text, self.sinew(["help", name]).stdout)
            self.assertTrue({"verbose", "quiet", "help"} <= {o for _, o in OPTION.findall(text)}, text)

    def test_manual_names_all(self):
        page = self.sinew(["manual"]).stdout.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
        for name, brief in self.verbs():
            self.assertIn('.SS "sinew %s' % name, page)
            self.assertIn(brief, page)
            section = page.split('.SS "sinew %s' % name)[1].split("\n.S")[0] + page.split(".SH OPTIONS OF ALL VERBS")[1]
            for letter, option in OPTION.findall(self.sinew([name, "--help"]).stdout):
                self.assertIn("%s--%s" % ("-%s, " % letter if letter else "", option), section)

    def test_manual_is_good_roff(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        page = self.sinew(["manual"]).stdout
        run = subprocess.run(["groff", "-man", "-Tascii", "-ww"], input=page, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("NAME", re.sub(r".[\b]", "", run.stdout))

    def complete(self, *words):
        """What bash offers for the last of these words."""
        script = self.write("completion.bash", self.sinew(["completion"]).stdout)
        program = ". %s; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _sinew 2>/dev/null; printf '%%s\\n' \"${COMPREPLY[@]}\"" % script
        run = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True, text=True, cwd=self.dir)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout.split()

    def test_completion(self):
        listed = [name for name, _ in self.verbs()]
        self.assertLessEqual(set(listed), set(self.complete("sinew", "")))
        self.assertIn("init", self.complete("sinew", "in"))
        self.assertNotIn("manual", self.complete("sinew", ""))
        for name in listed:
            options = {"--" + o for _, o in OPTION.findall(self.sinew([name, "--help"]).stdout)}
            self.assertLessEqual(options, set(self.complete("sinew", name, "--")))
        self.write("study.yaml", "")
        self.assertEqual(self.complete("sinew", "run", "stu"), ["study.yaml"])

    def test_zsh(self):
        """A line for each verb with each of its options and letters; and zsh takes it, where there is one."""
        text = self.sinew(["completion", "zsh"]).stdout
        self.assertTrue(text.startswith("#compdef sinew\n"))
        for name, _ in self.verbs():
            self.assertIn("\n        '%s:" % name, text)
            part = text[text.index("\n    %s)\n" % name):].split(";;")[0]
            for letter, option in OPTION.findall(self.sinew([name, "--help"]).stdout):
                self.assertRegex(part, r"'\*?--%s=?\[" % option)
        if shutil.which("zsh"):
            run = subprocess.run(["zsh", "-n", self.write("_sinew", text)], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(self.sinew(["completion", "bash"]).stdout, self.sinew(["completion"]).stdout)
        for words in (["fish"], ["bash", "zsh"]):
            self.sinew(["completion"] + words, status=2)

    def test_alone_without_a_folder_of_mpi(self):
        """A process alone makes no folder for MPI, which others of this host would have in common with it, and remove."""
        config = self.write("study.yaml", "study: s\noutput: out\nstages: {load: {}}\n")
        run = self.sinew(["check", config], status=2, env={"TMPDIR": self.path("study.yaml", "none")})
        self.assertIn("study.yaml:", run.stderr)
        self.assertNotIn("orte", run.stderr)

    def test_manual_is_no_study(self):
        self.assertNotIn("manual", self.sinew(["--help"]).stdout)
        self.sinew(["manual", "study.yaml"], status=2)


if __name__ == "__main__":
    main()
