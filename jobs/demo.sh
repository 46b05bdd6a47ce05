#!/bin/bash
# From a bare Debian 12 to a finished study: packages, build, the demonstration study, its sparsity table.
#   jobs/demo.sh                 from any folder
#   PROCESSES=4 jobs/demo.sh     on another number of processes than two
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
results=results/demo

echo "demo: 1/4 packages"
. jobs/setup.sh
echo "demo: 2/4 build in build/release"
cmake --preset release
cmake --build --preset release
echo "demo: 3/4 the study configs/demo.yaml on ${PROCESSES:-2} processes"
mpirun --oversubscribe -n "${PROCESSES:-2}" build/release/sinew run configs/demo.yaml

echo "demo: 4/4 update sparsity of all cells"
echo
cat "$results/report/sparsity.txt"
echo
echo "demo: archive  $PWD/$results/demo.h5"
echo "demo: report   $PWD/$results/report/report.md"
echo "demo: page     $PWD/$results/report/report.html   (open it in a browser)"
