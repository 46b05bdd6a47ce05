#!/usr/bin/python3
"""Wrong configs and wrong command lines: every mistake is reported with its place before any work starts, with exit status 2,
and a correct one passes."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import sinewlib as lib  # noqa: E402

GOOD = """study: demo
output: out
memory_per_process: 2 GiB
matrix:
  families: [tiny]
  algorithms: [ppo, dpo]
  seeds: [0, 1]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/seed-{seed}"
cells:
  - {family: big, algorithm: dpo, seed: 0, base: "models/a", tuned: "models/b", published: {sparsity: 0.814}}
stages:
  load: {}
  delta: {needs: [load], arithmetic: bf16, tolerances: [0, 1e-5]}
  mask: {needs: [delta], criterion: absolute, tolerance: 1e-5}
  mask-loose: {kind: mask, needs: [delta], tolerance: 1e-4}
  rank: {needs: [delta]}
  overlap: {needs: [mask]}
  report: {needs: [mask, rank, overlap]}
"""

# what is wrong: (text to replace, its replacement, the words of the replacement the complaint may point at, its pattern)
MISTAKES = {
    "unknown key at the top": ("output: out", "outptu: out", ["outptu"], "outptu.*output"),
    "unknown key in the matrix": ("  seeds: [0, 1]", "  seeds: [0, 1]\n  famlies: [x]", ["famlies"], "famlies.*families"),
    "unknown key of a stage": ("tolerance: 1e-4}", "tolerence: 1e-4}", ["tolerence"], "tolerence.*tolerance"),
    "unknown key of a cell": ("seed: 0, base", "sead: 0, seed: 0, base", ["sead"], "sead.*seed"),
    "duplicate key": ("  rank: {needs: [delta]}", "  rank: {needs: [delta]}\n  rank: {needs: [delta]}", ["rank"], "rank"),
    "wrong type of a number": ("seeds: [0, 1]", "seeds: [0, one]", ["one"], "one"),
    "wrong type of a list": ("families: [tiny]", "families: {a: tiny}", ["families", "{"], "list"),
    "wrong type of a map": ("  rank: {needs: [delta]}", "  rank: [delta]", ["rank", "["], "rank|map"),
    "number out of range": ("tolerance: 1e-4}", "tolerance: -1}", ["tolerance", "-1"], "-1"),
    "not a number": ("tolerance: 1e-4}", "tolerance: small}", ["tolerance", "small"], "small"),
    "unknown choice": ("arithmetic: bf16", "arithmetic: bf61", ["arithmetic", "bf61"], "bf61.*bf16"),
    "no bytes": ("2 GiB", "2 Gigs", ["memory_per_process", "2"], "Gigs"),
    "unset variable": ("models/a", "${SINEW_TEST_UNSET}/a", ['"'], "SINEW_TEST_UNSET"),
    "unknown kind": ("{kind: mask, needs", "{kind: maks, needs", ["maks", "mask-loose"], "maks.*mask"),
    "unknown stage": ("  rank: {needs: [delta]}", "  rnak: {needs: [delta]}\n  rank: {needs: [delta]}", ["rnak"], "rnak.*rank"),
    "unknown need": ("overlap: {needs: [mask]}", "overlap: {needs: [mask-lose]}", ["mask-lose", "["], "mask-lose.*mask-loose"),
    "missing need": ("overlap: {needs: [mask]}", "overlap: {}", ["overlap", "{"], "mask"),
    "need of the wrong kind": ("overlap: {needs: [mask]}", "overlap: {needs: [rank]}", ["overlap", "{", "rank", "["], "mask"),
    "unknown placeholder": ("{family}/base", "{famly}/base", ["base", '"'], "famly"),
    "cell named twice": ("family: big, algorithm: dpo", "family: tiny, algorithm: dpo", ["{", "family", "tiny", "-"], "tiny/dpo/0"),
    "cell without tuned": (', tuned: "models/b"', "", ["{", "family", "-"], "tuned"),
    "an alias": ("families: [tiny]", "families: &f [tiny]", ["families", "[", "&f"], "anchor|alias"),
    "no YAML": ("families: [tiny]", "families: [tiny", [], "."),
    "study with a slash": ("study: demo", "study: ../demo", ["study", "../demo"], "study|name|/"),
}


class Config(lib.Case):
    def check(self, text, verb="check", np=0, **options):
        self.write("study.yaml", text)
        run = self.sinew([verb, "study.yaml"], np=np, status=2, **options)
        places = [(int(m.group(1)), int(m.group(2)), m.group(3))
                  for m in re.finditer(r"^study\.yaml:(\d+):(\d+): (.*)$", run.stderr, re.M)]
        self.assertFalse(os.path.exists(self.path("out")))
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("study.yaml", run.errors()[0])
        for _, _, complaint in places:
            self.assertNotIn("study.yaml:", complaint, "the place stands there twice")
        return run, places

    def make_models(self):
        tensor = {"w.weight": ("BF16", (2, 2), bytes(8))}
        for folder in ["a", "b", "tiny/base"] + ["tiny/%s/seed-%d" % (a, s) for a in ("ppo", "dpo") for s in (0, 1)]:
            lib.write_safetensors(self.path("models", folder, "model.safetensors"), tensor)

    def test_the_good_one_passes(self):
        self.make_models()
        self.write("study.yaml", GOOD)
        run = self.sinew(["check", "study.yaml"])
        self.assertEqual(run.stderr, "")
        self.assertEqual(os.listdir(self.dir).count("out"), 0)

    def test_each_mistake(self):
        for what, (old, new, words, pattern) in MISTAKES.items():
            with self.subTest(what):
                self.assertEqual(GOOD.count(old), 1, old)
                text = GOOD.replace(old, new)
                _, places = self.check(text)
                self.assertTrue(places, "no complaint")
                start = GOOD.index(old)
                first = GOOD[:start].count("\n") + 1
                lines = range(first, first + new.count("\n") + 1) if new else [first]
                hits = [p for p in places if p[0] in lines and re.search(pattern, p[2])]
                if words:
                    self.assertTrue(hits, "expected a complaint like /%s/ on lines %s, found %s" % (pattern, list(lines), places))
                    line = text.splitlines()[hits[0][0] - 1]
                    at = line[hits[0][1] - 1:]
                    self.assertTrue(at.startswith(tuple(words)) or (new == "" and at), "%s points at '%s'" % (hits[0], at))

    def test_five_mistakes_five_messages(self):
        text = GOOD
        changes = ["unknown key of a stage", "wrong type of a number", "unset variable", "unknown choice", "unknown need"]
        for what in changes:
            old, new = MISTAKES[what][:2]
            text = text.replace(old, new)
        for verb, np in (("check", 0), ("run", 0), ("run", 4), ("plan", 2)):
            run, places = self.check(text, verb, np)
            self.assertEqual(len(places), 5, run.text())
            self.assertEqual(places, sorted(places), "in the order of the file")
            for what in changes:
                self.assertTrue(any(re.search(MISTAKES[what][3], p[2]) for p in places), (what, places))
            self.assertIn("5", run.errors()[0])

    def test_cycle_is_spelled_out(self):
        text = GOOD.replace("  rank: {needs: [delta]}", "  a: {kind: mask, needs: [delta, b]}\n  b: {kind: mask, needs: [delta, c]}\n"
                            "  c: {kind: mask, needs: [delta, a]}")
        text = text.replace("[mask, rank, overlap]", "[mask, overlap]")
        run, places = self.check(text)
        self.assertRegex(" ".join(p[2] for p in places), r"a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c|"
                         r"a -> c -> b -> a|c -> b -> a -> c|b -> a -> c -> b")

    def test_environment(self):
        self.make_models()
        text = GOOD.replace("models/a", "${SINEW_TEST_MODELS}/a").replace("models/b", "${SINEW_TEST_UNSET:-models}/b")
        self.write("study.yaml", text)
        self.sinew(["check", "study.yaml"], env={"SINEW_TEST_MODELS": "models"})

    def test_awkward_files(self):
        for name, data in (("empty", b""), ("only a comment", b"# nothing\n"), ("a list", b"- a\n"), ("binary", bytes(range(256))),
                           ("bad UTF-8", b"study: \xff\xfe\n"), ("deep", b"[" * 5000), ("a scalar", b"study\n"),
                           ("two documents", GOOD.encode() + b"---\n" + GOOD.encode()), ("a bomb", b"a: &a [x,x]\nb: [*a,*a]\n")):
            with self.subTest(name):
                with open(self.path("awkward.yaml"), "wb") as f:
                    f.write(data)
                run = self.sinew(["check", "awkward.yaml"], status=2)
                self.assertEqual(len(run.errors()), 1, run.text())

    def test_no_such_file(self):
        run = self.sinew(["run", "nowhere.yaml"], np=2, status=2)
        self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("nowhere.yaml", run.errors()[0])


class Usage(lib.Case):
    VERBS = ("check", "plan", "run", "status", "report")

    def test_help(self):
        run = self.sinew(["--help"])
        for verb in self.VERBS:
            self.assertIn(verb, run.stdout)
            self.assertIn(verb, self.sinew([verb, "--help"]).stdout)
        self.assertIn("--stage", self.sinew(["run", "--help"]).stdout)

    def test_version(self):
        version = self.sinew(["--version"]).stdout
        self.assertRegex(version, r"sinew \d+\.\d+")
        for verb in self.VERBS:
            self.assertEqual(self.sinew([verb, "--version"]).stdout, version)

    def test_help_under_mpirun_is_printed_once(self):
        self.assertEqual(self.sinew(["--version"], np=3).stdout.count("sinew "), self.sinew(["--version"]).stdout.count("sinew "))

    def test_usage_errors(self):
        self.write("study.yaml", GOOD)
        for args in ([], ["rnu", "study.yaml"], ["run"], ["run", "study.yaml", "--stagee", "rank"], ["run", "study.yaml", "--stage"],
                     ["run", "study.yaml", "other.yaml"], ["check", "study.yaml", "--force"], ["--wrong"]):
            with self.subTest(" ".join(args)):
                run = self.sinew(args, status=2)
                self.assertEqual(len(run.errors()), 1, run.text())
        self.assertIn("run", self.sinew(["rnu", "study.yaml"], status=2).stderr)


if __name__ == "__main__":
    lib.main()
