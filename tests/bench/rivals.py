"""The torches that programs of this folder measure against: Debian's and any other Python's, each in a process of its own
(torch_side.py), one of which works at a time.

    with rivals.sides(options) as sides:
        for side in sides:
            seconds = side.ask("rank_run", how="matrix_rank")["sec"]
"""
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

DEBIAN = "/usr/bin/python3"
SETTLE_SEC = 0.3  # threads of a torch that has just worked wait for more so long


class Failed(Exception):
    """A torch could not do what was asked: its rows are left out."""


class Side:
    """One Python's torch. debian: that of the distribution, at which the older targets are."""

    def __init__(self, python, threads, environment):
        self.python, self.threads, self.debian = python, threads, python == DEBIAN  # a virtual environment's is a link to it
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_side.py")
        self.process = subprocess.Popen([python, program, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **environment))
        self.about = self.ask("about")

    def ask(self, verb, **more):
        try:
            self.process.stdin.write(json.dumps(dict(more, do=verb)) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"{self.python} ended while it was asked for {verb}")
        time.sleep(SETTLE_SEC)
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(f"{self.name() if verb != 'about' else self.python}: {answer['failed']}")
        return answer

    def name(self):
        return f"torch {self.about['torch']} ({self.about['blas']})"

    def forms(self):
        """How a loop can be run: as it stands, and compiled where that is possible, which is said where it is not."""
        if not self.about["no_compile"]:
            return ["eager", "compiled"]
        print(f"{self.name()}: rows of compiled loops are left out, {self.about['no_compile']}", flush=True)
        return ["eager"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def add_arguments(parser):
    parser.add_argument("--python", action="append", default=[], metavar="PYTHON", help="a Python with another torch, may be repeated")
    parser.add_argument("--threads", type=int, help="of torch, default: as many as there are processes")


def start(python, threads, environment):
    """The torch of a Python; Failed where it has none."""
    try:
        done = subprocess.run([python, "-c", "import torch, numpy"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return Side(python, threads, environment)
    except OSError as e:
        raise Failed(f"{python}: {e.strerror}") from e
    raise Failed(f"{python}: there is no Python module torch, or none of numpy"
                 + (" (Debian package python3-torch)" if python == DEBIAN else ""))


@contextlib.contextmanager
def sides(options, **environment):
    """The torches that are there, the others' first, whose rows then stand above Debian's."""
    options.threads = options.threads or options.processes
    with tempfile.TemporaryDirectory() as folder:
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", os.environ.get("TORCHINDUCTOR_CACHE_DIR", folder))
        found = []
        try:
            for python in dict.fromkeys(options.python + [DEBIAN]):
                with left_out("rows of a torch"):
                    found.append(start(python, options.threads, environment))
            yield found
        finally:
            for side in found:
                side.close()


@contextlib.contextmanager
def left_out(what, out=None):
    """What a torch cannot do is said, and leaves out its rows alone."""
    try:
        yield
    except Failed as e:
        print(f"bench: {what}: left out: {e}", file=out or sys.stdout, flush=True)


def write(path, record):
    if path:
        with open(path, "a") as f:
            f.write(json.dumps(record) + "\n")


def main():
    """The torches of the Pythons in the arguments, one line each: version and BLAS."""
    for python in sys.argv[1:]:
        with left_out("torch", sys.stderr), contextlib.closing(start(python, 1, {})) as side:
            print(side.name())


if __name__ == "__main__":
    main()
