#!/bin/bash
# What cppcheck finds in each C file: nothing.
#   tests/lint/cppcheck.sh [BUILD]
# Exit status: 0 in order, 1 not, 77 where cppcheck is missing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob globstar
build=${1:-build/dev}
. tests/lint/each.bash

version=$(cppcheck --version 2>/dev/null)
[ -n "$version" ] || { echo "cppcheck: skipped: cppcheck is not installed"; exit 77; }

# Left out: what stands in headers that it does not find (MPI's, HDF5's: the compilers read those).
CPPCHECK_FLAGS="--std=c11 --enable=warning,performance,portability --inline-suppr --suppress=missingInclude
    --suppress=missingIncludeSystem --suppressions-list=tests/lint/cppcheck.supp --error-exitcode=1 --quiet -D_GNU_SOURCE -D__x86_64__ -D__LP64__"
export CPPCHECK_FLAGS
EACH_CONFIG="$version $CPPCHECK_FLAGS $(cat tests/lint/cppcheck.supp)"
inspect() { # FILE
    # shellcheck disable=SC2086 # words on purpose
    cppcheck $CPPCHECK_FLAGS --template='{file}:{line}: {severity}: {message} [{id}]' -Ipipeline -Istages -Itests \
        -I"$EACH_BUILD" "$1"
}
files=(pipeline/**/*.c stages/**/*.c tests/*/*.c)
[ ${#files[@]} -gt 0 ] || { echo "cppcheck: no files found"; exit 1; }
each_file cppcheck "$build" inspect "${files[@]}"
