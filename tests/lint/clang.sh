#!/bin/bash
# Clang warns of nothing in any C file: a second compiler's opinion, at the warnings that gcc is asked for in CMakeLists.txt.
#   tests/lint/clang.sh [BUILD]
# Exit status: 0 in order, 1 not, 77 where clang is missing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob globstar
build=${1:-build/dev}
. tests/lint/each.bash

version=$(clang --version 2>/dev/null | head -n 1)
[ -n "$version" ] || { echo "clang: skipped: clang is not installed"; exit 77; }
[ -e "$build/version.h" ] || { echo "clang: skipped: $build is no build"; exit 77; }

# gcc judges the two left out: formats that come as arguments of our own printf-like functions, and OpenMP's pragmas.
CLANG_FLAGS="-std=gnu11 -D_GNU_SOURCE -include pipeline/base/banned.h -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes
    -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wno-format-nonliteral -Wno-unknown-pragmas -Werror -ffp-contract=off"
export CLANG_FLAGS
EACH_CONFIG="$version $CLANG_FLAGS"
compile() { # FILE
    # shellcheck disable=SC2086 # words on purpose
    clang -fsyntax-only $CLANG_FLAGS -Ipipeline -Istages -Itests -I"$EACH_BUILD" $EACH_FOREIGN "$1"
}
files=(pipeline/**/*.c stages/**/*.c tests/*/*.c)
[ ${#files[@]} -gt 0 ] || { echo "clang: no files found"; exit 1; }
each_file clang "$build" compile "${files[@]}"
