#!/bin/bash
# Measures sinew against named rivals on this machine: builds release, makes its data with synth, prints a row per comparison.
#   tests/bench/run.sh [FOLDER]     data and artifacts go to FOLDER (default /dev/shm/sinew-bench, 6 GB; removed at the end)
# Every ratio is taken within one run, against a rival measured in turn with it; no absolute time is a target. The same rows as
# JSON lines: build/bench/bench.json. RUNS=9 sets the number of counted rounds (default 5), PROCESSES=4 that of processes (2).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:-/dev/shm/sinew-bench} runs=${RUNS:-5} np=${PROCESSES:-2}
export BENCH_FOLDER=$folder OPENBLAS_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

echo "bench: build in build/bench"
cmake -G Ninja -S . -B build/bench -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_FLAGS_RELEASE=-O3 -DNDEBUG" -DSINEW_BENCH=ON \
    -DSINEW_TESTS=OFF >/dev/null
cmake --build build/bench >/dev/null
json=$PWD/build/bench/bench.json
rm -f "$json"

mkdir -p "$folder"
trap 'rm -rf "$folder"' EXIT
echo "bench: data in $folder"
mpirun --oversubscribe -n "$np" build/bench/sinew run tests/bench/pair.yaml -q
echo "bench: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $np processes, $runs runs"
mpirun --oversubscribe -n "$np" build/bench/bench_pair "$folder/base" "$folder/tuned" "$folder" --runs "$runs" --json "$json"
/usr/bin/python3 tests/bench/rival_rank.py --against build/bench/bench_rank --processes "$np" --runs "$runs" --json "$json"
echo "bench: rows as JSON in $json"
