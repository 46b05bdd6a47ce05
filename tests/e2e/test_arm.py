"""The inner loops on 64-bit ARM: the unit tests of those that have NEON, and of the portable ones beside them, built with
Debian's cross compiler and run by qemu. Every set gives the bits of the portable loops there too, and these the right ones."""
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["bits", "change", "codes", "entropy_sets", "largest", "magnitude", "overlap_counts", "size", "tensor", "transpose"]
COMPILER = "aarch64-linux-gnu-gcc"
FLAGS = ["-D_GNU_SOURCE", "-O2", "-std=gnu11", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra",
         "-Werror", "-I" + str(ROOT / "tests/arm"), "-I" + str(ROOT / "pipeline"), "-I" + str(ROOT / "stages")]
SOURCES = ["pipeline/base/isa.c", "pipeline/base/xsum.c", "pipeline/base/err.c", "pipeline/base/text.c", "pipeline/compare/norms.c", "pipeline/elements/tensor.c"]
FOLDERS = ["pipeline/elements/*/*.c", "stages/kernels/change/*.c", "stages/kernels/entropy/entropy*.c", "stages/kernels/overlap/overlap_*.c",
           "stages/kernels/size/*.c"]


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, SINEW_TEST_BRIEF="1"))
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not shutil.which(COMPILER) or not emulator:
        print("skipped: the Debian packages gcc-aarch64-linux-gnu and qemu-user-static are wanted, one of them is not installed")
        sys.exit(77)
    sources = SOURCES + [str(path.relative_to(ROOT)) for folder in FOLDERS for path in sorted(ROOT.glob(folder))]
    sources += [f"tests/unit/test_{name}.c" for name in TESTS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        objects = {source: Path(folder) / (source.replace("/", "-") + ".o") for source in sources}
        list(pool.map(lambda item: run(COMPILER, *FLAGS, "-c", ROOT / item[0], "-o", item[1]), objects.items()))
        library = [path for source, path in objects.items() if not source.startswith("tests/")]

        def check(name):
            program = Path(folder) / name
            run(COMPILER, "-static", "-Wl,--gc-sections", objects[f"tests/unit/test_{name}.c"], *library, "-lm", "-o", program)
            said = run(emulator, program)
            assert said.count(": fine\n") >= 1, f"{name}: {said}"
            return name, said.count(": fine\n")
        for name, n in pool.map(check, TESTS):
            print(f"{name}: {n} tests on ARM")
    sets = [source for source in sources if source.endswith("_neon.c")]
    assert len(sets) >= 7, sets


if __name__ == "__main__":
    main()
