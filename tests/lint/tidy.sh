#!/bin/bash
# What clang-tidy 14 finds in each C file, by the checks of .clang-tidy: nothing. BUILD holds compile_commands.json.
#   tests/lint/tidy.sh [BUILD]
# Exit status: 0 in order, 1 not, 77 where clang-tidy 14 or the list of commands is missing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob globstar
build=${1:-build/dev}
. tests/lint/each.bash

tool=$(command -v clang-tidy-14 || command -v clang-tidy || echo none)
version=$("$tool" --version 2>/dev/null | sed -n 's/.*version \([0-9.]*\).*/\1/p')
[[ $version == 14.* ]] || { echo "tidy: skipped: clang-tidy 14 is not installed"; exit 77; }
[ -e "$build/compile_commands.json" ] || { echo "tidy: skipped: no $build/compile_commands.json"; exit 77; }

export CLANG_TIDY=$tool
EACH_CONFIG="$version $(cat .clang-tidy)"
# Walking all paths takes the most time, and is done for what users run.
tidy() { # FILE
    local less=
    [[ $1 == tests/* ]] && less=-clang-analyzer-*
    "$CLANG_TIDY" --quiet --warnings-as-errors='*' --checks="$less" -p "$EACH_BUILD" "$1" 2>/dev/null
}
# Files that the build does not compile here (fuzz targets without clang, benchmarks) stand in no command.
files=()
for file in pipeline/**/*.c stages/**/*.c tests/*/*.c; do
    grep -qF "/$file\"" "$build/compile_commands.json" && files+=("$file")
done
[ ${#files[@]} -gt 0 ] || { echo "tidy: $build compiles none of the files here"; exit 1; }
each_file tidy "$build" tidy "${files[@]}"
