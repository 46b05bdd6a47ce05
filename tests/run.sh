#!/bin/bash
# From a bare Debian 12 to tested: packages, a dev build, every test. Runs from any folder.
#   tests/run.sh [CTEST ARGUMENT...]     e.g. tests/run.sh -R np4    tests/run.sh -L unit
# Exit status 0 only if at least one test ran and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

echo "tests: 1/3 packages"
. jobs/setup.sh --tests
echo "tests: 2/3 dev build in build/dev"
cmake --preset dev
cmake --build --preset dev
echo "tests: 3/3 ctest"
log=$root/build/dev/ctest.log
status=0
ctest --test-dir build/dev --no-tests=error --output-on-failure --parallel "$(nproc)" "$@" 2>&1 | tee "$log" || status=$?

# ctest's own summary, as one line that a reader finds at the end.
summary=$(grep -E '^[0-9]+% tests passed' "$log" || true)
skipped=$(grep -c -E '\*\*\*Skipped' "$log" || true)
if [ "$status" -ne 0 ] || [ -z "$summary" ]; then
    echo "tests: FAILED (${summary:-no test ran}; log: $log)"
    exit 1
fi
echo "tests: green ($summary; $skipped skipped; log: $log)"
