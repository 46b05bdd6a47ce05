#!/usr/bin/python3
"""jobs/stage-in.sh against a stand-in for the model hub, which serves the hub's URLs and misbehaves as told: what is fetched is whole or is
not called so, an interrupted fetch goes on where it stopped, and a run of many steps passes through a disk that holds one of them."""
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import unittest
import urllib.parse

import numpy as np

import sinewlib as lib

SCRIPT = os.path.join(lib.ROOT, "jobs", "stage-in.sh")


class Hub(http.server.ThreadingHTTPServer):
    """files: (repository, revision) -> {path: bytes}. What goes wrong is told by the other members."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.cut, self.listed = {}, [], {}, {}
        self.ranges, self.page, self.seen = True, 1000, lambda path: None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return "http://127.0.0.1:%d" % self.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body, headers=(), cut=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def tree(self, repository, revision, query):
        files = self.server.files.get((repository, revision))
        if files is None:
            return self.reply(404, b"{}")
        first, page = int(query.get("cursor", ["0"])[0]), self.server.page
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "sub"}]
        for path, content in files.items():
            size = self.server.listed.get(path, len(content))
            entry = {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": size}
            if path.endswith(".safetensors"):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
                entry["xetHash"] = "0" * 64
            entries.append(dict(entry, path=path))
        link = '<%s/api/models/%s/tree/%s?recursive=true&cursor=%d>; rel="next"' % (self.server.url(), repository, revision, first + page)
        more = [("Link", link)] if first + page < len(entries) else []
        self.reply(200, json.dumps(entries[first:first + page], separators=(",", ":")).encode(), more)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        words = url.path.strip("/").split("/")
        self.server.asked.append((url.path, self.headers.get("Range"), self.headers.get("Authorization")))
        self.server.seen(url.path)
        if words[:2] == ["api", "models"]:
            return self.tree("/".join(words[2:4]), words[5], urllib.parse.parse_qs(url.query))
        if words[0] == "lfs":
            repository, revision, path = "/".join(words[1:3]), words[3], "/".join(words[4:])
        else:
            repository, revision, path = "/".join(words[:2]), words[3], "/".join(words[4:])
            if path.endswith(".safetensors"):  # large files lie elsewhere
                return self.reply(302, b"", [("Location", "/lfs/%s/%s/%s" % (repository, revision, path))])
        content = self.server.files.get((repository, revision), {}).get(path)
        if content is None:
            return self.reply(404, b"")
        cut = self.server.cut.pop(path, None)
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and self.server.ranges:
            first = int(asked.group(1))
            return self.reply(206, content[first:], [("Content-Range", "bytes %d-%d/%d" % (first, len(content) - 1, len(content)))], cut)
        self.reply(200, content, cut=cut)


@unittest.skipUnless(shutil.which("curl"), "curl is not installed")
class StageIn(lib.Case):
    def setUp(self):
        super().setUp()
        self.hub = Hub()
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.models = self.path("models")
        rng = np.random.default_rng(3)
        self.start = {"model.embed_tokens.weight": ("BF16", lib.bf16_round(rng.standard_normal((64, 32)).astype(np.float32))),
                      "model.layers.0.mlp.up_proj.weight": ("BF16", lib.bf16_round(rng.standard_normal((48, 32)).astype(np.float32)))}
        self.serve("org/tiny", "main", self.start)
        self.rng = rng

    def serve(self, repository, revision, tensors, **more):
        lib.write_checkpoint(self.path("tmp"), tensors)
        with open(self.path("tmp", "model.safetensors"), "rb") as f:
            weights = f.read()
        shutil.rmtree(self.path("tmp"))
        self.hub.files[repository, revision] = dict({"README.md": b"read me", "model.safetensors": weights, "config.json": b"{}",
                                                     "optimizer.pt": b"no model", "original/consolidated.00.pth": b"none"}, **more)

    def stage_in(self, *args, status=0, env=None):
        env = dict(os.environ, HF_ENDPOINT=self.hub.url(), SINEW_MODELS=self.models, SINEW_FETCH="curl", SINEW=lib.binary(), **(env or {}))
        run = subprocess.run([SCRIPT, *args], cwd=self.dir, env=lib.environment(env), capture_output=True, text=True, timeout=300)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        return run.stdout + run.stderr

    def fetched(self, name, path="model.safetensors"):
        with open(os.path.join(self.models, name, path), "rb") as f:
            return f.read()

    # ---- one model ----

    def test_by_name_and_revision(self):
        self.serve("org/tiny", "step_5", self.start)
        self.assertIn("nothing fetched", self.stage_in("org/tiny@step_5"))
        self.assertFalse(os.path.exists(self.models))
        text = self.stage_in("org/tiny@step_5", "org/tiny", "--run")
        self.assertIn("all there", text)
        for name, revision in (("org/tiny@step_5", "step_5"), ("org/tiny", "main")):
            self.assertEqual(sorted(os.listdir(os.path.join(self.models, name))), [".complete", "config.json", "model.safetensors"])
            self.assertEqual(self.fetched(name), self.hub.files["org/tiny", revision]["model.safetensors"])
        self.assertIn("0 to fetch", self.stage_in("org/tiny", "--run"))
        self.assertIn("org/none: the hub does not list it", self.stage_in("org/none", "--run", status=3))
        self.stage_in("org/tiny@../../etc", status=2)

    def test_a_list_of_several_pages(self):
        self.hub.page = 1
        self.stage_in("org/tiny", "--run")
        self.assertEqual(self.fetched("org/tiny", "config.json"), b"{}")

    def test_a_token(self):
        self.stage_in("org/tiny", "--run", env={"HF_TOKEN": "secret-word"})
        self.assertEqual({x[2] for x in self.hub.asked}, {"Bearer secret-word"})

    def test_goes_on_where_it_stopped(self):
        whole = self.hub.files["org/tiny", "main"]["model.safetensors"]
        for ranges in (True, False):
            with self.subTest(ranges=ranges):
                shutil.rmtree(self.models, ignore_errors=True)
                self.hub.ranges, self.hub.cut = True, {"model.safetensors": 1000}
                self.hub.asked.clear()
                # curl itself tries again where the connection broke: only the second process is to find a part
                self.hub.seen = lambda path: self.hub.cut.update({"model.safetensors": 0}) if self.hub.cut == {} else None
                text = self.stage_in("org/tiny", "--run", status=3)
                self.assertIn("of %d bytes came" % len(whole), text)
                self.assertFalse(os.path.exists(os.path.join(self.models, "org/tiny/.complete")))
                self.assertEqual(self.fetched("org/tiny", "model.safetensors.part"), whole[:1000])
                self.assertIn("begun", self.stage_in("org/tiny"))
                self.hub.seen, self.hub.cut, self.hub.ranges = lambda path: None, {}, ranges
                self.hub.asked.clear()
                self.stage_in("org/tiny", "--run")
                self.assertIn("bytes=1000-", [x[1] for x in self.hub.asked])
                self.assertEqual(self.fetched("org/tiny"), whole)

    def test_not_what_the_hub_lists(self):
        whole = self.hub.files["org/tiny", "main"]["model.safetensors"]
        self.hub.listed = {"model.safetensors": len(whole) + 10}
        self.assertIn("%d of %d bytes came" % (len(whole), len(whole) + 10), self.stage_in("org/tiny", "--run", status=3))
        self.hub.listed = {"model.safetensors": len(whole) - 10}
        self.assertIn("is not what the hub lists", self.stage_in("org/tiny", "--run", status=3))
        self.assertFalse(os.path.exists(os.path.join(self.models, "org/tiny/model.safetensors.part")))
        self.hub.listed = {}
        real, spoilt = hashlib.sha256, whole[:-1] + bytes([whole[-1] ^ 1])
        self.hub.files["org/tiny", "main"]["model.safetensors"] = spoilt
        hashlib.sha256 = lambda content=b"": real(whole if content == spoilt else content)
        self.addCleanup(setattr, hashlib, "sha256", real)
        self.assertIn("is not what the hub lists", self.stage_in("org/tiny", "--run", status=3))
        self.assertFalse(os.path.exists(os.path.join(self.models, "org/tiny/.complete")))
        hashlib.sha256 = real
        self.hub.files["org/tiny", "main"]["model.safetensors"] = whole
        self.stage_in("org/tiny", "--run")

    def test_paths_that_leave_the_folder(self):
        self.hub.files["org/tiny", "main"].update({"../../out.safetensors": b"x", "/etc/out.safetensors": b"x", "a/../../../out.safetensors": b"x",
                                                   "$(touch out).safetensors": b"x"})
        self.stage_in("org/tiny", "--run")
        self.assertEqual([f for _, _, files in os.walk(self.dir) for f in files if "out" in f], [])

    def test_full_disk(self):
        os.makedirs(self.models)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", self.models], capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.models], capture_output=True)
        config = self.write("study.yaml", "# hub: org/tiny 0.000000001\n")
        self.serve("org/big", "main", {"a": ("BF16", np.zeros(1 << 20, np.uint16))})
        self.assertIn("not enough space", self.stage_in("org/big", "--run", status=4))
        text = self.stage_in(config, "--run", status=4)
        self.assertIn("make room and run this again", text)
        subprocess.run(["mount", "-o", "remount,size=10m", self.models], check=True)
        self.stage_in(config, "--run")
        self.assertEqual(self.fetched("org/tiny"), self.hub.files["org/tiny", "main"]["model.safetensors"])

    # ---- a study ----

    def test_comments(self):
        for step in (1, 2, 3, 10, 20):
            self.serve("org/run", "step_%d" % step, self.start)
        config = self.write("study.yaml", "# hub: org/tiny 0.001\n  # hub: org/run@step_{1..3} 0.002\n# hub: org/run@step_{10,20} 0.002\n")
        text = self.stage_in(config)
        self.assertEqual(len(re.findall("^missing ", text, re.M)), 6)
        self.assertIn("6 to fetch, 0.011 GB", text)
        self.stage_in(config, "--only", "step_1", "--run")
        self.assertEqual(sorted(os.listdir(os.path.join(self.models, "org"))), ["run@step_1", "run@step_10"])
        self.assertIn("stands for too many", self.stage_in(self.write("many.yaml", "# hub: org/x@{1..999999} 1\n"), status=2))
        self.assertIn("is no ORGANISATION/NAME", self.stage_in(self.write("evil.yaml", "# hub: org/x@$(touch\u00a0out) 1\n"), status=2))

    def study(self):
        steps, tensors = (10, 20, 30, 40), self.start
        for step in steps:
            tensors = {name: (dtype, bits ^ (self.rng.random(bits.shape) < 0.1).astype(np.uint16)) for name, (dtype, bits) in tensors.items()}
            self.serve("org/run", "step_%d" % step, tensors)
        return self.write("study.yaml", """study: run
output: out
missing: kept
# hub: org/tiny 0.001
# hub: org/run@step_{10..40..10} 0.001
matrix:
  families: [tiny]
  algorithms: [grpo]
  seeds: [0]
  steps: [10, 20, 30, 40]
  base: "${SINEW_MODELS}/org/tiny"
  tuned: "${SINEW_MODELS}/org/run@step_{step}"
stages: {load: {}, delta: {needs: [load]}, mask: {needs: [delta]}, overlap: {needs: [mask]}, dynamics: {needs: [delta]}}
""")

    def test_one_at_a_time(self):
        config, env = self.study(), {"SINEW_MODELS": self.models}
        self.stage_in(config, "--run")
        self.sinew(["run", config], env=env)
        os.rename(self.path("out"), self.path("all-at-once"))
        shutil.rmtree(self.models)

        def there():
            return {x for x in (os.listdir(self.models + "/org") if os.path.isdir(self.models + "/org") else ()) if x.startswith("run@")}
        most = []
        self.hub.seen = lambda path: most.append(len(there()))
        self.assertIn("4 checkpoints to go through", self.stage_in(config, "--one-at-a-time"))
        self.assertEqual(most, [])
        # The hub loses the third step on the way; what was done stays done.
        third = self.hub.files.pop(("org/run", "step_30"))
        self.stage_in(config, "--one-at-a-time", "--run", status=3)
        self.assertEqual(there(), set())
        self.hub.files["org/run", "step_30"] = third
        self.hub.asked.clear()
        text = self.stage_in(config, "--one-at-a-time", "--run")
        self.assertIn("2 of 2 done: tiny/grpo/0@40", text)
        self.assertFalse([x for x in self.hub.asked if "step_10" in x[0] or "org/tiny" in x[0]])
        self.assertEqual(there(), set())
        self.assertLessEqual(max(most), 1)
        self.assertTrue(os.path.exists(os.path.join(self.models, "org/tiny/model.safetensors")))
        self.sinew(["run", config], env=env)
        self.assertEqual(lib.compare_archives(self.path("all-at-once", "run.h5"), self.path("out", "run.h5")), [])
        self.assertEqual(len(lib.table(self.path("out", "run.h5"), "dynamics")), 4)
        self.assertIn("0 checkpoints to go through", self.stage_in(config, "--one-at-a-time"))

    def test_one_at_a_time_keeps_what_it_did_not_fetch(self):
        config = self.study()
        self.stage_in("org/run@step_20", "--run")
        self.stage_in(config, "--one-at-a-time", "--run")
        self.assertEqual(sorted(os.listdir(self.models + "/org")), ["run@step_20", "tiny"])


if __name__ == "__main__":
    lib.main()
