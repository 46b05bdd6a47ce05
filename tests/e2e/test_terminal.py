#!/usr/bin/python3
"""What is shown to who sits before a terminal, and to who does not: a live line on stderr that is wiped before other lines, colours
unless NO_COLOR is set, and in files and pipes, as under mpirun, not one control character."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time

import sinewlib as lib

STUDY = """study: terminal
output: out
matrix:
  families: [f]
  algorithms: [ppo, dpo, kto]
  seeds: [0, 1, 2, 3, 4, 5]
  base: "models/{family}/base"
  tuned: "models/{family}/{algorithm}/{seed}"
stages:
  synth: {scale: 0.00390625, layers: 1, architecture: qwen2.5-1.5b}
  load: {needs: [synth]}
  delta: {needs: [load]}
"""
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
COLUMNS = 48


class Screen:
    """A terminal's other end: what is written to it, as it comes."""
    def __init__(self, columns=COLUMNS):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.bytes = b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        try:
            while True:
                piece = os.read(self.master, 65536)
                if not piece:
                    return
                self.bytes += piece
        except OSError:  # the last one who could write has gone
            pass

    def text(self):
        os.close(self.slave)
        self.thread.join()
        os.close(self.master)
        return self.bytes.decode().replace("\r\n", "\n")


def seen(text):
    """Lines as they are left on the screen: a carriage return goes to the line's begin, ESC [ K wipes what follows."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for piece in re.split(r"(\r|\x1b\[K)", re.sub(r"\x1b\[\d*m", "", line)):
            if piece == "\r":
                at = 0
            elif piece == "\x1b[K":
                shown = shown[:at]
            else:
                at = 0 if not shown else at
                shown = shown[:at] + piece + shown[at + len(piece):]
                at += len(piece)
        lines.append(shown)
    return lines


class Terminal(lib.Case):
    def setUp(self):
        super().setUp()
        self.write("study.yaml", STUDY)

    def start(self, words, stdout, stderr, **environment):
        env = dict(lib.environment(), TERM="xterm")
        env.pop("NO_COLOR", None)
        env.update(environment)
        began = time.monotonic()
        run = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, cwd=self.dir, timeout=120)
        return run, time.monotonic() - began

    def test_line(self):
        """stderr is a terminal, stdout a file: the live line here, plain lines there."""
        screen = Screen()
        run, sec = self.start([lib.binary(), "run", "study.yaml"], subprocess.PIPE, screen.slave)
        text = screen.text()
        self.assertEqual(run.returncode, 0, text)
        self.assertNotRegex(run.stdout.decode(), CONTROL)
        self.assertIn("done: ", run.stdout.decode())
        drawn = re.findall(r"\r([^\r\x1b]+)\x1b\[K", text)
        self.assertTrue(drawn and all(len(x) < COLUMNS for x in drawn), drawn)
        self.assertRegex(drawn[0], r"^(synth|load|delta) +\d+/\d+ (checkpoints|cells) \(\d+ %\), ")
        self.assertLessEqual(len(drawn), 4 * sec + 1, "four times a second")
        self.assertEqual([x for x in seen(text) if x], [], "nothing is left of it")

    def test_one_terminal(self):
        """Both are one terminal: lines are whole, and the live line is on none of them."""
        screen = Screen(200)
        run, _ = self.start([lib.binary(), "run", "study.yaml"], screen.slave, screen.slave)
        text = screen.text()
        self.assertEqual(run.returncode, 0, text)
        self.assertRegex(text, r"\r[a-z]+ +\d+/\d+ [^\r]*, about [^\r]* left\x1b\[K")
        self.assertEqual([x for x in seen(text) if x and not re.match(r"\[ +\d+\.\d\ds\] \S", x)], [])

    def test_no_line(self):
        """Not on a terminal that cannot be written over, not in silence, and not through mpirun."""
        for words, environment in (([lib.binary(), "run", "study.yaml"], {"TERM": "dumb"}),
                                   ([lib.binary(), "run", "study.yaml", "--force", "--quiet"], {}),
                                   (["mpirun", "--oversubscribe", "-n", "2", lib.binary(), "run", "study.yaml", "--force"], {})):
            screen = Screen()
            run, _ = self.start(words, subprocess.PIPE, screen.slave, **environment)
            text = screen.text()
            self.assertEqual(run.returncode, 0, text)
            self.assertNotRegex(run.stdout.decode() + text, CONTROL)
            self.assertEqual("done: " in run.stdout.decode(), "--quiet" not in words)

    def test_colour(self):
        wrong = [lib.binary(), "run", "nowhere.yaml"]
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
            screen = Screen()
            run, _ = self.start(wrong, subprocess.PIPE, screen.slave, **environment)
            text = screen.text()
            self.assertEqual(run.returncode, 2)
            self.assertEqual("\x1b[31m" in text, coloured, environment)
            self.assertRegex(re.sub(r"\x1b\[\d*m", "", text), r"^sinew: [a-z ]+: nowhere\.yaml: ")
        run, _ = self.start(wrong, subprocess.PIPE, subprocess.PIPE)
        self.assertNotRegex(run.stderr.decode(), CONTROL)

    def test_error_below_the_line(self):
        """A message stands on a line of its own, whatever was being shown."""
        self.sinew(["run", "study.yaml"])
        weights = self.path("models", "f", "ppo", "0", "model.safetensors")
        os.truncate(weights, 100)
        screen = Screen(300)
        run, _ = self.start([lib.binary(), "run", "study.yaml", "--stage", "delta"], subprocess.PIPE, screen.slave)
        lines = [x for x in seen(screen.text()) if x]
        self.assertNotEqual(run.returncode, 0)
        self.assertTrue(lines and lines[0].startswith("sinew: "), lines)


if __name__ == "__main__":
    lib.main()
