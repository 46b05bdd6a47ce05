#!/bin/bash
# From a bare Debian 12 to tested: packages, then the suite of the dev build and that of the build with sanitizers (address
# and undefined behaviour). Runs from any folder.
#   tests/run.sh                        both suites
#   tests/run.sh CTEST ARGUMENT...      the dev suite alone, by these arguments: tests/run.sh -R np4    tests/run.sh -L unit
# The last line says "N passed, N failed, N skipped", of all suites together. Exit status 0 only if no test failed and in
# each suite at least one passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
passed=0 failed=0 skipped=0 bad=0

# ctest's lines "12/150 Test  #3: name ....   Passed    0.10 sec" in LOG that say WHAT of a test.
count() { # WHAT LOG
    grep -cE "^ *[0-9]+/[0-9]+ +Test +#[0-9]+: .*$1" "$2" || true
}

suite() { # PRESET CTEST-ARGUMENT...
    local preset=$1 log status=0 all p s
    shift
    echo "tests: $preset build in build/$preset"
    cmake --preset "$preset"
    cmake --build --preset "$preset"
    log=$root/build/$preset/ctest.log
    # Half as many again as there are processors: a script that starts short runs waits for a good part of its time.
    ctest --test-dir "build/$preset" --no-tests=error --output-on-failure --parallel "$(($(nproc) * 3 / 2))" "$@" 2>&1 | tee "$log" ||
        status=$?
    all=$(count "" "$log") p=$(count " Passed +[0-9.]+ sec" "$log") s=$(count "\*\*\*Skipped" "$log")
    passed=$((passed + p)) skipped=$((skipped + s)) failed=$((failed + all - p - s))
    # A suite of which nothing ran, or that ended before it said what failed, has failed as well.
    if [ "$p" -eq 0 ] || [ "$status" -ne 0 ]; then
        bad=1
        [ $((all - p - s)) -gt 0 ] || failed=$((failed + 1))
        echo "tests: FAILED: the $preset suite (log: $log)"
    else
        echo "tests: green: the $preset suite (log: $log)"
    fi
}

echo "tests: packages"
. jobs/setup.sh --tests
suite dev "$@"
if [ $# -eq 0 ]; then
    # The lint tests read the same files whatever the build.
    suite asan --label-exclude 'lint|analysis'
fi
echo "$passed passed, $failed failed, $skipped skipped"
exit $bad
