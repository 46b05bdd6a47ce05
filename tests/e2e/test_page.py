#!/usr/bin/python3
"""The report of more cells than anyone reads one by one: the page has them all and a browser finds, filters, sorts and groups them;
text files have groups of them, and where a table is cut a sentence says where the rest stands."""
import csv
import html
import json
import os
import re
import shutil
import subprocess
import unittest

import h5py

import sinewlib as lib

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

STUDY = """study: page
output: "%(out)s"
matrix:
  families: [fa, fb]
  algorithms: [ppo, dpo]
  seeds: [%(seeds)s]
  base: "%(models)s/{family}/base"
  tuned: "%(models)s/{family}/{algorithm}/{seed}"
stages:
  synth: {scale: 0.00390625, layers: 1, architecture: qwen2.5-1.5b}
  load: {needs: [synth]}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  report: {needs: [mask], figures: false}
"""

# What a reader does with the table of all cells, and what the page shows then.
READER = """<script>
var errors = [], said = {};
window.onerror = function (m) { errors.push(String(m)) };
function texts(table) {
  return [].map.call(table.tBodies[0].rows, function (r) { return [].map.call(r.cells, function (c) { return c.textContent }) });
}
function change(e, value) { e.value = value; e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input')) }
function value(s, text) { return [].filter.call(s.options, function (o) { return o.textContent === text })[0].value }
window.onload = function () {
  var fold = document.querySelector('#sparsity details'), table = fold.querySelector('table');
  said.before = fold.querySelectorAll('.tools').length;
  fold.open = true;
  setTimeout(function () {
    var tools = fold.querySelector('.tools'), selects = tools.querySelectorAll('select'), by = {};
    selects.forEach(function (s) { by[s.parentNode.firstChild.textContent] = s });
    said.tools = Object.keys(by);
    said.groups = texts(table);
    said.count = tools.querySelector('output').textContent;
    table.tBodies[0].querySelectorAll('button')[1].click();
    said.opened = texts(table).length;
    change(by['group by'], '');
    said.flat = texts(table);
    change(by.algorithm, value(by.algorithm, 'dpo'));
    said.filtered = texts(table);
    change(tools.querySelector('input'), 'FB/ 7');
    said.found = texts(table);
    said.found_count = tools.querySelector('output').textContent;
    change(tools.querySelector('input'), '');
    change(by.algorithm, '');
    table.querySelectorAll('th button')[3].click();
    said.sorted = texts(table);
    table.querySelectorAll('th button')[3].click();
    said.turned = texts(table);
    said.mark = table.tHead.rows[0].cells[3].getAttribute('aria-sort');
    said.errors = errors;
    document.body.textContent = '';
    document.body.appendChild(document.createElement('pre')).textContent = JSON.stringify(said);
  }, 100);
};
</script>"""


def read(path):
    with open(path) as f:
        return f.read()


# In gnuplot's place: draws nothing, and at once. What is asked here is which figures there are.
PLOTTER = """#!/bin/sh
sed -n "s/^set output '\\(.*\\)'$/\\1/p" "$1" | while read -r file; do
  case $file in *.png) echo IEND ;; *) echo '<svg viewBox="0 0 6 4"><g/></svg>' ;; esac > "$file"
done
"""


class Figures(lib.Case):
    """What grows with the bases, the families or the layers is bounded, and says so."""
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("bin"))
        os.chmod(self.write("bin/gnuplot", PLOTTER), 0o755)
        self.env = {"PATH": self.path("bin") + ":" + os.environ["PATH"]}

    def figures(self):
        with open(self.path("out", "report", "figures", "index.csv"), newline="") as f:
            return {row["name"]: row for row in csv.DictReader(f)}

    def test_many_bases(self):
        families = ["f%02d" % i for i in range(30)]
        study = STUDY.replace("families: [fa, fb]", "families: [%s]" % ", ".join(families)).replace("needs: [mask], figures: false",
                                                                                                   "needs: [mask, overlap]")
        study = study.replace("  report:", "  overlap: {needs: [mask]}\n  report:")
        self.sinew(["run", self.write("study.yaml", study % {"out": self.path("out"), "models": self.path("models"), "seeds": "0"})],
                   env=self.env)
        figures, markdown = self.figures(), read(self.path("out", "report", "report.md"))
        for start, words in (("layer-module-", "Maps are drawn for the first 24 of 30 groups of cells; tensor_sparsity.csv has the"),
                             ("overlap-f", "Matrices are drawn for the first 24 of 30 bases with several cells; overlap.csv has the")):
            self.assertEqual(sorted(n for n in figures if n.startswith(start)), [start.rstrip("f") + f for f in families[:24]])
            self.assertIn(words + " numbers of all.", markdown)
            self.assertIn(words + " numbers of all.", read(self.path("out", "report", "report.html")))
        self.assertIn("The first 24 of 30 bases are drawn; consensus.csv has all.", figures["consensus"]["caption"])
        consensus = markdown[markdown.index("\n## Consensus"):].splitlines()
        rows = [[x.strip() for x in line.strip("|").split("|")] for line in consensus if line.startswith("| f")]
        self.assertEqual([row[0] for row in rows], families, "every base has its row")
        with h5py.File(self.path("out", "page.h5")) as f:
            shares = {(r["cell"].decode().split("/")[0], r["cell"].decode().split("/")[1]): r for r in f["tables/sparsity"][()]
                      if r["node"] == b"mask"}
            both = {r["base"].decode().split("/")[-2]: r for r in f["tables/overlap"][()] if r["scope"] == b"model"}
        for row in rows:
            ppo, dpo, pair = shares[row[0], "ppo"], shares[row[0], "dpo"], both[row[0]]
            union = ppo["updated"] + dpo["updated"] - pair["intersection"]
            self.assertEqual(row[2:4], ["%.2f" % (100.0 / pair["parameters"] * n) for n in (union, pair["intersection"])])

    def test_layers_that_leap(self):
        """A layer of number 1000000 is a row of the map, and not a million of them."""
        layers = (0, 7, 1000000)
        base = {"model.layers.%d.mlp.up_proj.weight" % i: ("F32", (4, 4), b"\0\0\x80\x3f" * 16) for i in layers}
        tuned = {name: ("F32", (4, 4), b"\0\0\0\x40" * (4 * k) + b"\0\0\x80\x3f" * (16 - 4 * k))
                 for k, name in enumerate(base)}
        os.makedirs(self.path("base"))
        os.makedirs(self.path("tuned"))
        lib.write_safetensors(self.path("base", "model.safetensors"), base)
        lib.write_safetensors(self.path("tuned", "model.safetensors"), tuned)
        config = self.write("study.yaml", """study: leap
output: "%s"
cells:
  - {family: f, algorithm: ppo, seed: 0, base: "%s", tuned: "%s"}
stages:
  load: {}
  delta: {needs: [load]}
  mask: {needs: [delta]}
  report: {needs: [mask], detail: 0}
""" % (self.path("out"), self.path("base"), self.path("tuned")))
        run = self.sinew(["run", config], env=self.env)
        self.assertLess(run.seconds, 30)
        self.assertIn("layer-module-f", self.figures())
        with open(self.path("out", "report", "figures", "layer-module-f.csv"), newline="") as f:
            rows = list(csv.reader(f))[1:]
        self.assertEqual([(r[1], float(r[3])) for r in rows], [("0", 100), ("7", 75), ("1000000", 50)])
        self.assertRegex(read(self.path("out", "report", "report.md")),
                         r"\n\| family \| algorithm \| cells \| sparsity % at 1e-5 \|\n.*\n\| f +\| ppo +\| +1 \| +75\.00 \|\n")


class Page(lib.Case):
    def setUp(self):
        super().setUp()
        self.config = self.write("study.yaml", STUDY % {
            "out": self.path("out"), "models": self.path("models"), "seeds": ", ".join(str(i) for i in range(16))})
        self.sinew(["run", self.config])
        self.cells = ["%s/%s/%d" % (f, a, s) for f in ("fa", "fb") for a in ("ppo", "dpo") for s in range(16)]

    def report(self, name):
        return self.path("out", "report", name)

    def test_tables(self):
        """Without a script the page has every cell; texts send the reader to the file that has them, and group them."""
        page, markdown = read(self.report("report.html")), read(self.report("report.md"))
        sparsity = page[page.index('<section id="sparsity"'):]
        self.assertEqual(re.findall(r"<tr><td>([^<]*)</td>", sparsity[:sparsity.index("</table>")]), self.cells)
        self.assertNotIn("stands in sparsity.md and", page)
        self.assertIn("The row of each of the 64 cells stands in sparsity.md and sparsity.txt.", markdown)
        self.assertNotIn("| fa/ppo/3 ", markdown)
        for name in ("sparsity.md", "sparsity.txt"):
            self.assertEqual([c for c in self.cells if not re.search(r"(?m)^(\| )?%s " % re.escape(c), read(self.report(name)))], [])

    def test_status(self):
        """Of many nodes, how many are what and why, and where; --all has a line for each, and the counts agree."""
        for cell in self.cells[:5] + ["fb/dpo/3"]:
            os.remove(self.path("out", "cells", *cell.split("/"), "delta.h5"))
        text, whole = (self.sinew(["status", self.config] + more).stdout for more in ([], ["--all"]))
        self.assertIn("\nfresh    delta            58 of 64 cells\n", text)
        self.assertIn("\nmissing  delta            6 of 64 cells (fa/ppo 5, fb/dpo 1)\n", text)
        self.assertIn("fresh    load             66 of 66 checkpoints\n", text)
        self.assertIn("\n'sinew status %s --all' has a line for each\n" % self.config, text)
        self.assertEqual(len(re.findall(r"(?m)^missing  delta +f[ab]/", whole)), 6)
        self.assertEqual(len(re.findall(r"(?m)^(fresh|missing) +(synth|load|delta|mask|report) ", whole)), 2 * 66 + 2 * 64 + 1)
        total = re.search(r"\n261 nodes: .*\n", whole).group(0)
        self.assertIn(total, text)
        self.assertLess(text.count("\n"), 12)

    @unittest.skipUnless(BROWSER, "chromium is not installed: the page was not used")
    def test_reader(self):
        self.write("view.html", read(self.report("report.html")).replace("</body>", READER + "</body>"))
        run = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + self.path("profile"),
                              "--virtual-time-budget=20000", "--dump-dom", "file://" + self.path("view.html")],
                             capture_output=True, text=True, timeout=120)
        said = json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", run.stdout, re.S).group(1)))
        self.assertEqual((said["errors"], said["before"], said["count"]), ([], 0, "64 rows"))
        self.assertEqual(said["tools"], ["family", "algorithm", "seed", "group by"])
        names = lambda key: [row[0] for row in said[key]]
        self.assertEqual(names("flat"), self.cells)
        figures = {row[0]: [float(x.replace(",", "")) for x in row[1:]] for row in said["flat"]}
        self.assertEqual(names("groups"), ["\u25b8 fa: 32 rows, means", "\u25b8 fb: 32 rows, means"])
        for family, group in zip(("fa", "fb"), said["groups"]):
            cells = [figures[c] for c in self.cells if c.startswith(family)]
            for k, shown in enumerate(group[1:]):
                mean = sum(c[k] for c in cells) / len(cells)
                self.assertAlmostEqual(float(shown.replace(",", "")), mean, delta=0.5 if k < 2 else 0.0051)
        self.assertEqual(said["opened"], 2 + 32)
        self.assertEqual(names("filtered"), [c for c in self.cells if "/dpo/" in c])
        self.assertEqual(names("found"), [row[0] for row in said["flat"]
                                          if row[0].startswith("fb/dpo/") and "7" in "\t".join(row)])
        self.assertEqual(said["found_count"], "%d of 64 rows" % len(said["found"]))
        for key, way in (("sorted", 1), ("turned", -1)):
            self.assertEqual(names(key), sorted(self.cells, key=lambda c: (way * figures[c][2], self.cells.index(c))))
        self.assertEqual(said["mark"], "descending")


if __name__ == "__main__":
    lib.main()
