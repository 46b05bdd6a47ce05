#!/usr/bin/python3
"""The report: from the archive alone, every table, figure and page; what a browser makes of the page at the widths of a desk and of
a telephone, light and dark; names that would do harm if they were not quoted; and what is left where gnuplot is missing or fails."""
import csv
import glob
import html.parser
import json
import os
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as tree

import h5py
import sinewlib as lib

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
GNUPLOT = shutil.which("gnuplot")
VOID = {"meta", "br", "hr", "img", "link", "input"}

# Put at the end of a copy of the page: what its figures and tables come to in this window. Texts of a figure must lie inside it
# and not on each other.
PROBE = """<script>
var errors = [];
window.onerror = function (m) { errors.push(String(m)) };
window.onload = function () {
  document.querySelectorAll('details').forEach(function (d) { d.open = true });
  var out = {width: innerWidth, scroll: document.documentElement.scrollWidth, figures: 0, problems: [], smallest: 1e9, tables: 0};
  document.querySelectorAll('figure').forEach(function (f) {
    var svg = f.querySelector('svg'), name = f.id;
    out.figures++;
    if (!svg) { out.problems.push(name + ': no drawing'); return }
    var box = svg.getBoundingClientRect(), texts = [];
    if (box.width < 200 || box.height < 100) out.problems.push(name + ': only ' + box.width + ' x ' + box.height);
    if (box.right > innerWidth + 1) out.problems.push(name + ': beyond the window');
    if (svg.querySelectorAll('path,polygon,use').length < 5) out.problems.push(name + ': nothing drawn');
    svg.querySelectorAll('text').forEach(function (t) {
      var b = t.getBoundingClientRect();
      if (!t.textContent.trim() || b.width == 0) return;
      out.smallest = Math.min(out.smallest, parseFloat(getComputedStyle(t).fontSize) * box.width / svg.viewBox.baseVal.width);
      if (b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 || b.bottom > box.bottom + 2)
        out.problems.push(name + ': cut off: ' + t.textContent);
      texts.push([b, t.textContent.trim()]);
    });
    for (var i = 0; i < texts.length; i++)
      for (var k = i + 1; k < texts.length; k++) {
        var a = texts[i][0], b = texts[k][0];
        var w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (w > 0 && h > 0 && w * h > 0.25 * Math.min(a.width * a.height, b.width * b.height))
          out.problems.push(name + ': overlap: ' + texts[i][1] + ' / ' + texts[k][1]);
      }
    if (!f.querySelector('figcaption').textContent.trim()) out.problems.push(name + ': no caption');
  });
  document.querySelectorAll('table').forEach(function (t) {
    out.tables++;
    if (t.tBodies.length != 1 || t.tBodies[0].rows.length == 0 || !t.textContent.trim()) out.problems.push('an empty table');
    if (t.getBoundingClientRect().width > t.parentNode.getBoundingClientRect().width + 2 &&
        getComputedStyle(t.parentNode).overflowX != 'auto') out.problems.push('a table is cut off');
  });
  out.dark = matchMedia('(prefers-color-scheme: dark)').matches;
  out.paper = getComputedStyle(document.body).backgroundColor;
  out.ink = getComputedStyle(document.body).color;
  out.errors = errors;
  parent.postMessage(JSON.stringify(out), '*');
};
</script>"""

FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><body style="margin:0"><pre id="said"></pre>
<iframe src="probe.html" style="border:0;width:%dpx;height:%dpx"></iframe>
<script>addEventListener('message', function (m) { document.getElementById('said').textContent = m.data })</script>"""


class Page(html.parser.HTMLParser):
    """Tags that fit, ids, what is loaded from elsewhere, rows of each table, elements of each drawing."""
    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.loads, self.links, self.tables, self.drawings, self.bad = [], [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.loads += [attrs[k] for k in ("src", "srcset", "data", "poster") if k in attrs]
        if tag in ("link", "iframe", "object", "embed", "base", "form"):
            self.bad.append(tag)
        self.bad += [k for k in attrs if k.startswith("on")]
        for key in ("href", "xlink:href"):
            if key in attrs:
                (self.links if tag == "a" else self.loads).append(attrs[key])
        if tag == "table":
            self.tables.append(0)
        elif tag == "tr" and "tbody" in self.open:
            self.tables[-1] += 1
        elif tag == "svg":
            self.drawings.append(0)
        elif "svg" in self.open:
            self.drawings[-1] += 1

    handle_startendtag = lambda self, tag, attrs: (self.handle_starttag(tag, attrs), tag not in VOID and self.handle_endtag(tag))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append("</%s>" % tag)


def read(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


class Report(lib.Case):
    def study(self, replace=(), steps=True, **options):
        models = lib.make_awkward(self.path("models"))
        text = lib.awkward_config(self.path("models"), self.path("out"))
        if steps:  # steps of one run, in the place of the second algorithm's runs
            text = text.replace("stages:\n", "cells:\n" + "".join(
                '  - {family: tiny-a, algorithm: ppo, seed: 7, step: %d, base: "%s", tuned: "%s", published: {sparsity: 0.8%d, '
                'rank: 99.%d}}\n' % (s, self.path("models", "tiny-a", "base"), self.path("models", "tiny-a", "dpo", "seed-%d" % s), s, s)
                for s in (0, 1)) + "stages:\n")
        for old, new in replace:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.config = self.write("study.yaml", text)
        self.sinew(["run", self.config], **options)
        return models

    def report(self, *words):
        return self.path("out", "report", *words)

    def index(self):
        with open(self.report("figures", "index.csv"), newline="") as f:
            return list(csv.DictReader(f))

    def files(self):
        found = {}
        for folder, _, names in os.walk(self.report()):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self.report())] = read(path, "rb")
        return found

    def check_page(self, drawn):
        text = read(self.report("report.html"))
        page = Page(text)
        self.assertEqual(page.bad, [])
        self.assertEqual(page.open, [])
        self.assertEqual([i for i in set(page.ids) if page.ids.count(i) > 1], [], "ids stand once")
        self.assertEqual([x for x in page.loads if not x.startswith("#")], [], "nothing is loaded")
        self.assertNotRegex(text, r"(?i)@import|url\(\s*['\"]?(https?:|//|data:)|https?://")
        for link in page.links:
            if link.startswith("#"):
                self.assertIn(link[1:], page.ids)
            else:
                self.assertTrue(os.path.getsize(self.report(link)) > 0, link)
        self.assertTrue(page.tables and all(page.tables), "a table without rows: %s" % page.tables)
        self.assertEqual(len(page.drawings), drawn)
        self.assertTrue(all(n > 20 for n in page.drawings), page.drawings)
        return text

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_archive_alone(self):
        self.study(np=2)
        first = self.files()
        self.assertIn("report.html", first)
        for name in ("models", "out/cells", "out/checkpoints", "out/bases", "out/study", "out/report"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        self.assertEqual(os.listdir(self.path("out")), ["awkward.h5"])
        self.sinew(["report", self.config])
        second = self.files()
        self.assertEqual(sorted(first), sorted(second))
        self.assertEqual([n for n in first if first[n] != second[n]], [], "the same from the archive alone, on one process")
        rows = self.index()
        names = [row["name"] for row in rows]
        for wanted in ("sparsity", "tolerance-delta", "layer-module-tiny-a", "rank", "spectra-modules", "spectra-cells",
                       "overlap-tiny-a", "overlap-against-chance", "overlap-by-what-varies", "update-rate-by-magnitude", "ulp-distance",
                       "abs-delta", "entropy-tiny-a", "consensus", "sparsity-by-step"):
            self.assertIn(wanted, names)
        for row in rows:
            self.assertEqual(row["drawn"], "1", row["name"])
            self.assertRegex(row["caption"], r"parameters.*Measured on the checkpoints")
            self.assertEqual(read(self.report("figures", row["name"] + ".png"), "rb")[:8], b"\x89PNG\r\n\x1a\n")
            svg = tree.parse(self.report("figures", row["name"] + ".svg")).getroot()
            self.assertGreater(len(list(svg.iter())), 20)
            with open(self.report("figures", row["name"] + ".csv"), newline="") as f:
                self.assertGreater(len(list(csv.reader(f))), 1)
        self.check_page(len(rows))
        markdown = read(self.report("report.md"))
        for name in names:
            self.assertIn("(figures/%s.png)" % name, markdown)
        self.assertRegex(markdown, "what is left to explain beyond that is|nothing is left to explain")
        self.assertEqual(glob.glob(self.report("*.partial*")), [])

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_numbers_of_figures(self):
        """Layer x module against the masks' own counts, and the published figures where they belong."""
        self.study()
        with h5py.File(self.path("out", "awkward.h5")) as f:
            tensors, counts, cells = f["tables/tensors"][()], f["tables/tensor_sparsity"][()], f["tables/cells"][()]
        total, updated = {}, {}
        where = {(t["cell"], t["tensor"]): (t["layer"], t["module"].decode()) for t in tensors}
        for t in tensors:
            key = (t["layer"], t["module"].decode())
            total[key] = total.get(key, 0) + t["parameters"]
        for t in counts:
            if t["node"] == b"mask":
                key = where[t["cell"], t["tensor"]]
                updated[key] = updated.get(key, 0) + t["updated"]
        with open(self.report("figures", "layer-module-tiny-a.csv"), newline="") as f:
            rows = list(csv.reader(f))[1:]
        seen = {(-1 if layer == "no layer" else int(layer), module): float(x) for _, layer, module, x in rows}
        expected = {k: 100 * (1 - updated[k] / total[k]) for k in updated if total[k] > 0}
        self.assertEqual(sorted(seen), sorted(expected))
        for key, x in expected.items():
            self.assertAlmostEqual(seen[key], x, 9, key)
        with open(self.report("figures", "sparsity.csv"), newline="") as f:
            rows = list(csv.reader(f))[1:]
        self.assertEqual(sorted(float(x) for series, _, x in rows if series == "published"), [80, 81])
        self.assertEqual(len([1 for series, _, _ in rows if series == "each cell"]), len(cells))

    def row(self, name, start):
        """The row of a page that begins so, its fields without blanks."""
        rows = [line for line in read(self.report(name)).splitlines() if line.startswith("| %s " % start)]
        self.assertTrue(rows, start)
        return [x.strip() for x in rows[0].strip("|").split("|")]

    def test_published_and_absent(self):
        """Cells that differ in their data alone each show their own published figures; a figure that several cells have stands beside
        each; cells that are not on disk say so and keep theirs."""
        lib.make_awkward(self.path("models"))
        base = self.path("models", "tiny-a", "base")
        given = [("orpo", 0, "beta", "ppo/seed-0", "{source: T6, sparsity: 0.7642, sparsity_1e-8: 0.71, rank_percent: 99.1}"),
                 ("orpo", 0, "alpha", "ppo/seed-1", "{source: T6, sparsity: 0.5323, sparsity_1e-8: 0.504, rank_percent: 98.2}"),
                 ("dpo", 0, "", "dpo/seed-0", "{source: T1, sparsity: 0.814}"),
                 ("dpo", 1, "", "dpo/seed-1", "{source: T1, sparsity: 0.814}"),
                 ("dpo", 2, "", "nothere", "{source: T1, sparsity: 0.9}"), ("kto", 0, "", "nothere", "{source: T1, sparsity: 0.96}"),
                 ("kto", 1, "", "nothere", "")]
        cells = ""
        for algorithm, seed, data, tuned, published in given:
            cells += '  - {family: tiny-a, algorithm: %s, seed: %d, base: "%s", tuned: "%s"%s%s}\n' % (
                algorithm, seed, base, self.path("models", "tiny-a", *tuned.split("/")), data and ", data: " + data,
                published and ", published: " + published)
        self.config = self.write("study.yaml", "study: own\noutput: %s\nmissing: skip\ncells:\n%sstages:\n  load: {}\n"
                                 "  delta: {needs: [load]}\n  mask: {needs: [delta]}\n  rank: {needs: [delta]}\n"
                                 "  report: {needs: [mask, rank]}\n" % (self.path("out"), cells))
        self.sinew(["run", self.config], np=2)
        with h5py.File(self.path("out", "own.h5")) as f:
            rows = f["tables/published"][()]
            sparsity = {(r["cell"].decode(), r["node"].decode(), r["tolerance"]): 100 * r["sparsity"] for r in f["tables/sparsity"][()]}
        names = {"tiny-a/%s/%d%s" % (a, s, d and "+" + d): p for a, s, d, _, p in given}
        self.assertEqual([(r["cell"].decode(), r["quantity"].decode(), r["value"]) for r in rows],
                         [(name, q, float(x)) for name, p in names.items() for q, x in re.findall(r"([a-z_0-9e-]+): ([0-9.]+)", p)])
        own = {"tiny-a/orpo/0+beta": "76.42", "tiny-a/orpo/0+alpha": "53.23", "tiny-a/dpo/0": "81.40", "tiny-a/dpo/1": "81.40",
               "tiny-a/dpo/2": "90.00", "tiny-a/kto/0": "96.00", "tiny-a/kto/1": "-"}
        absent = ("tiny-a/dpo/2", "tiny-a/kto/0", "tiny-a/kto/1")
        for name in ("sparsity.md", "report.md"):
            head = self.row(name, "cell")
            for cell, figure in own.items():
                row = dict(zip(head, self.row(name, cell)))
                self.assertEqual(row["published %"], figure, cell)
                self.assertEqual(row["parameters"] == "not measured", cell in absent, cell)
                if cell in absent:
                    self.assertEqual({x for k, x in row.items() if k not in ("cell", "parameters", "published %")}, {""})
                else:
                    self.assertEqual(row["sparsity % at 1e-5"], "%.2f" % sparsity[cell, "mask", 1e-5])
        markdown, plain = read(self.report("report.md")), read(self.report("sparsity.txt"))
        for text in (markdown, read(self.report("sparsity.md"))):
            self.assertRegex(text, r"\n> \*\*3 of 7 cells not measured\*\*, each because its checkpoints are not on disk")
        self.assertLess(markdown.index("3 of 7"), markdown.index("\n## "))
        self.assertRegex(plain, r"\n3 of 7 cells NOT MEASURED, each because ")
        self.assertRegex(plain, r"\ntiny-a/kto/0 +not measured +96\.00 *\n")
        self.assertNotRegex(plain, r"\S +0 +-")
        self.assertRegex(read(self.report("report.html")), r"(?s)3 of 7 cells not measured.*<h2.*>not measured<")
        # The sections of published figures and of ranks, each cell with its own.
        for start, published in (("tiny-a/orpo/0+beta", "99.10"), ("tiny-a/orpo/0+alpha", "98.20"), ("tiny-a/dpo/0", "-")):
            rank = markdown[markdown.index("\n## Rank"):].splitlines()
            self.assertEqual([x for x in rank if x.startswith("| %s " % start)][0].split("|")[-2].strip(), published)
        section = [[x.strip() for x in line.strip("|").split("|")] for line in
                   markdown[markdown.index("\n## Published"):markdown.index("\n## Left out")].splitlines() if line.startswith("| tiny")]
        shown = {(r[0], r[1]): r[2:] for r in section}
        mean = (sparsity["tiny-a/dpo/0", "mask", 1e-5] + sparsity["tiny-a/dpo/1", "mask", 1e-5]) / 2
        self.assertEqual(shown["tiny-a/dpo/0 and 1 more seed", "sparsity"], ["81.40", "%.2f" % mean, "T1"])
        self.assertEqual(shown["tiny-a/kto/0", "sparsity"], ["96.00", "not measured", "T1"])
        for data, figure in (("beta", "71.00"), ("alpha", "50.40")):
            cell = "tiny-a/orpo/0+" + data
            self.assertEqual(shown[cell, "sparsity_1e-8"], [figure, "%.2f" % sparsity[cell, "delta", 1e-8], "T6"])
        self.assertEqual(len(section), 9)
        # Figures: a diamond in the row of its own cell, none for a cell without a dot.
        with open(self.report("figures", "sparsity.csv"), newline="") as f:
            rows = [r for r in csv.reader(f) if r[0] == "published"]
        self.assertEqual(sorted((label, round(float(x), 6)) for _, label, x in rows),
                         [("dpo", 81.4), ("orpo+alpha", 53.23), ("orpo+beta", 76.42)])
        with open(self.report("figures", "tolerance-delta.csv"), newline="") as f:
            rows = [r for r in csv.reader(f) if r[0] == "published"]
        self.assertEqual(sorted(round(float(r[-1]), 6) for r in rows), [50.4, 71])

    def browse(self):
        page = read(self.report("report.html"))
        self.write("view/probe.html", page.replace("</body>", PROBE + "</body>"))
        for width in (1400, 400):
            for dark in (0, 1):
                self.write("view/frame.html", FRAME % (width, 9000))
                shot = self.path("view", "shot-%d-%d.png" % (width, dark))
                command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
                           "--user-data-dir=" + self.path("profile"), "--virtual-time-budget=20000",
                           "--blink-settings=preferredColorScheme=%d" % (0 if dark else 1), "--window-size=%d,3000" % max(width, 500)]
                url = "file://" + self.path("view", "frame.html")
                run = subprocess.run(command + ["--dump-dom", url], capture_output=True, text=True, timeout=120)
                self.assertEqual([x for x in run.stderr.splitlines() if "CONSOLE" in x or "Uncaught" in x], [])
                said = re.search(r'<pre id="said">(.*?)</pre>', run.stdout, re.S).group(1)
                self.assertTrue(said, "the page did not finish loading\n" + run.stderr[-2000:])
                out = json.loads(html.unescape(said))
                self.assertEqual(out["errors"], [])
                self.assertEqual(out["problems"], [], "at %d pixels" % width)
                self.assertEqual(out["width"], width)
                self.assertLessEqual(out["scroll"], width, "the page is wider than the window")
                self.assertEqual(out["dark"], bool(dark))
                self.assertGreaterEqual(out["smallest"], 9, "texts of figures are too small at %d pixels" % width)
                self.assertEqual(out["figures"], len(self.index()))
                self.assertGreater(out["tables"], 4)
                ink, paper = ([int(x) for x in re.findall(r"\d+", out[k])[:3]] for k in ("ink", "paper"))
                self.assertEqual(sum(paper) < sum(ink), bool(dark))
                subprocess.run(command + ["--screenshot=" + shot, url], capture_output=True, timeout=120, check=True)
                self.assertGreater(os.path.getsize(shot), 50000)

    @unittest.skipUnless(BROWSER and GNUPLOT, "chromium or gnuplot is not installed: the page was not loaded")
    def test_browser(self):
        self.study()
        self.browse()

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_seventy_cells(self):
        """The demonstration study with one seed: ten families, seven algorithms; its report from the archive alone, simulated and said to
        be so by each figure, with the rule."""
        text = read(os.path.join(lib.ROOT, "configs", "demo.yaml"))
        for old, new in (("seeds: [0, 1]", "seeds: [0]"), ("output: results/demo ", "output: out "), ("layers: 4 ", "layers: 2 "),
                         ("${SINEW_DEMO:-results/demo-checkpoints}", self.path("models"))):
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.config = self.write("study.yaml", text)
        self.sinew(["run", self.config], np=2, timeout=400)
        first = self.files()
        for name in ("models", "out/cells", "out/checkpoints", "out/bases", "out/study", "out/report"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        self.assertEqual(os.listdir(self.path("out")), ["demo.h5"])
        self.sinew(["report", self.config], timeout=400)
        self.assertEqual([n for n, data in self.files().items() if first[n] != data], [])
        self.assertEqual([row["name"] for row in self.index() if row["drawn"] != "1" or "SIMULATED" not in row["caption"]], [])
        page = self.check_page(len(self.index()))
        self.assertRegex(page, r"SIMULATED.*simulated optimiser steps by sinew synth, rule \d")
        if BROWSER:
            self.browse()

    def test_without_gnuplot(self):
        os.makedirs(self.path("bin"))
        os.symlink("/bin/true", self.path("bin", "ssh"))  # Open MPI looks for it even where it starts no process elsewhere
        self.study(steps=False, env={"PATH": self.path("bin")})
        text = self.check_page(0)
        self.assertIn("gnuplot-nox", text)
        self.assertIn("gnuplot-nox", read(self.report("report.md")))
        self.assertTrue(os.path.getsize(self.report("figures", "sparsity.csv")) > 0)
        self.assertFalse([n for n in os.listdir(self.report("figures")) if not n.endswith(".csv")])

    def test_gnuplot_fails(self):
        """A gnuplot that fails costs its figures and nothing else; pictures of an earlier report do not stay."""
        if GNUPLOT:
            self.study(steps=False)
            self.assertTrue(os.path.exists(self.report("figures", "sparsity.png")))
        self.write("bin/gnuplot", "#!/bin/sh\necho no such terminal >&2\nexit 3\n")
        os.chmod(self.path("bin", "gnuplot"), 0o755)
        if not GNUPLOT:
            self.study(steps=False, env={"PATH": self.path("bin") + ":" + os.environ["PATH"]})
        mine = self.write("out/report/figures/mine.png", "mine")
        run = self.sinew(["report", self.config], env={"PATH": self.path("bin") + ":" + os.environ["PATH"]})
        self.assertEqual(run.errors(), [])
        self.assertIn("no such terminal", run.stderr)
        self.assertIn("no such terminal", read(self.report("report.md")))
        self.assertTrue(all(row["drawn"] == "0" for row in self.index()))
        self.assertEqual([n for n in os.listdir(self.report("figures")) if not n.endswith(".csv")], ["mine.png"])
        self.assertTrue(os.path.exists(mine))

    def test_turned_off(self):
        self.study(steps=False, replace=[("token-entropy]}", "token-entropy], figures: false, html: false}")])
        self.assertFalse(os.path.exists(self.report("report.html")))
        self.assertFalse(os.path.exists(self.report("figures")))
        self.assertNotIn("gnuplot", read(self.report("report.md")))

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_one_cell(self):
        self.study(steps=False, replace=[("[ppo, dpo]", "[ppo]"), ("seeds: [0, 1]", "seeds: [0]")])
        rows = self.index()
        self.assertIn("sparsity", [row["name"] for row in rows])
        self.assertTrue(all(row["drawn"] == "1" for row in rows))
        self.check_page(len(rows))

    @unittest.skipUnless(GNUPLOT, "gnuplot is not installed")
    def test_names_do_nothing(self):
        """The name of a tensor is a text to gnuplot, to the browser and to Markdown, whatever stands in it."""
        rng = lib.np.random.default_rng(1)
        base = {}
        for module in ("q'`touch hacked`_proj", "<b>&amp;<script>x</script>", '"; system("touch hacked") #', "a|b$(touch hacked)@x{2}\\\\",
                       "[x](javascript:0)**", "EOD'; system 'touch hacked'"):
            for layer in (0, 1):
                bits = lib.bf16_round((rng.standard_normal((24, 16)) * 0.02).astype(lib.np.float32)).reshape(24, 16)
                base["model.layers.%d.%s.weight" % (layer, module)] = ("BF16", bits)
        lib.write_checkpoint(self.path("models", "tiny-a", "base"), base)
        for s in (0, 1):
            tuned = {k: (d, lib.np.where(rng.random(x.shape) < 0.3, x + 1, x).astype(lib.np.uint16)) for k, (d, x) in base.items()}
            lib.write_checkpoint(self.path("models", "tiny-a", "ppo", "seed-%d" % s), tuned)
        text = lib.awkward_config(self.path("models"), self.path("out")).replace("[ppo, dpo]", "[ppo]")
        text = re.sub(r"  logits:\n.*\n.*\n", "", text)
        self.config = self.write("study.yaml", text)
        self.sinew(["run", self.config])
        rows = self.index()
        self.assertIn("layer-module-tiny-a", [row["name"] for row in rows])
        self.assertEqual([row["name"] for row in rows if row["drawn"] != "1"], [])
        page = self.check_page(len(rows))
        self.assertEqual(page.count("<script"), 1)
        self.assertNotIn('href="javascript', page)
        for folder, _, names in os.walk(self.dir):
            self.assertNotIn("hacked", names, folder)


if __name__ == "__main__":
    lib.main()
