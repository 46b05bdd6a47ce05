#!/bin/bash
# Measures sinew against named rivals on this machine: builds release, makes its data with synth, runs each group of rows and ends with
# one table. Every ratio is taken within one run, against a rival measured in turn with it.
#   tests/bench/run.sh [OPTION...] [GROUP...]     groups: pair types scaled rank overlap entropy memory nodes scaling; without
#                                                 any: all of them. Only when named: read, the ways of reading files, and
#                                                 shards, a trainer's layouts of one model (7 GB in memory)
#   --quick            one run of each on smaller data, a minute or three: do the programs work?
#   --runs N           counted runs of each row (default 5), but of
#   --slow-runs N      rank and scaling, of which one takes minutes (default 1 and 2)
#   --processes N      (default 2)
#   --folder FOLDER    data in memory (default /dev/shm/sinew-bench, 5 GB)
#   --disk FOLDER      data on disk (default build/bench/data, 26 GB for the larger row of memory, which is left out if there is less)
#   --python PYTHON    the torch of this Python too, as a rival beside Debian's: PyTorch's own in a virtual environment, say, with a
#                      C++ compiler at hand for torch.compile; may be repeated. What is not there is left out with a line
#   --record FILE      the table with a description of the machine to FILE; --date TEXT: and that date
# The same rows as JSON lines: build/bench/bench.json. Both folders are removed at the end. tests/bench/README.md says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
all="pair types scaled rank overlap entropy memory nodes scaling"
folder=/dev/shm/sinew-bench disk=$PWD/build/bench/data quick="" runs="" slow_runs="" np=2 record=() python=() groups=""
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 && shift && continue ;;
    --runs | --slow-runs | --processes | --folder | --disk | --python | --record | --date) [ $# -ge 2 ] || usage ;;&
    --runs) runs=$2 ;;
    --slow-runs) slow_runs=$2 ;;
    --processes) np=$2 ;;
    --folder) folder=$2 ;;
    --disk) disk=$2 ;;
    --python) python+=("$1" "$2") ;;
    --record | --date) record+=("$1" "$2") ;;
    *)
        case " $all read shards " in *" $1 "*) groups+=" $1" && shift && continue ;; esac
        usage
        ;;
    esac
    shift 2
done
groups=${groups:-$all} runs=${runs:-${quick:+1}} runs=${runs:-5} slow_runs=${slow_runs:-${quick:+1}}
export BENCH_FOLDER=$folder OPENBLAS_NUM_THREADS=1 TORCHINDUCTOR_CACHE_DIR=$PWD/build/bench/inductor
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

echo "bench: build in build/bench"
cmake -G Ninja -S . -B build/bench -DCMAKE_BUILD_TYPE=Release "-DCMAKE_C_FLAGS_RELEASE=-O3 -DNDEBUG" -DSINEW_BENCH=ON \
    -DSINEW_TESTS=OFF >/dev/null
cmake --build build/bench >/dev/null
bin=build/bench json=$PWD/build/bench/bench.json failed=""
rm -f "$json" && touch "$json"
for place in "$folder" "$disk"; do
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then
        echo "bench: $place is not empty, and would be removed at the end: remove it, or name another folder" >&2
        exit 2
    fi
done
trap 'rm -rf "$folder" "$disk"' EXIT
mkdir -p "$folder" "$disk"
echo "bench: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $np processes, $runs runs"

mpi() { mpirun --oversubscribe -n "$np" "$@"; }

# has MODULE...: can Python import them? What is missing is said; a rival that is missing takes its rows with it and nothing else.
has() {
    local module
    for module in "$@"; do
        if ! /usr/bin/python3 -c "import $module" 2>/dev/null; then
            echo "bench: $group: skipped, there is no Python module $module (Debian package python3-$module)"
            return 1
        fi
    done
}

group_pair() {
    echo "bench: pair: data in $folder"
    mpi $bin/sinew run tests/bench/pair.yaml -q
    mpi $bin/bench_pair "$folder/base" "$folder/tuned" "$folder" --runs "$runs" --json "$json"
    if has numpy h5py; then
        /usr/bin/python3 tests/bench/rival_pair.py "$folder/base" "$folder/tuned" "$folder" --against $bin/bench_pair \
            "${python[@]}" --processes "$np" --runs "$runs" --json "$json" ${quick:+--tensors model.layers.0.}
    fi
}

group_types() {
    mpi $bin/bench_types "$folder" --runs "$runs" --json "$json" ${quick:+--million 8}
}

group_scaled() {
    $bin/bench_scaled "$folder" --runs "$runs" --json "$json" ${quick:+--mb 8}
}

group_rank() {
    /usr/bin/python3 tests/bench/rival_rank.py --against $bin/bench_rank "${python[@]}" --processes "$np" \
        --runs "${slow_runs:-1}" --json "$json" ${quick:+--scale 8}
}

group_overlap() {
    has numpy || return 0
    /usr/bin/python3 tests/bench/rival_overlap.py --against $bin/bench_overlap "${python[@]}" --processes "$np" --runs "$runs" \
        --json "$json" --folder "$folder" ${quick:+--bits 20000000}
}

group_entropy() {
    has numpy h5py || return 0
    /usr/bin/python3 tests/bench/rival_entropy.py --against $bin/bench_entropy "${python[@]}" --processes "$np" --runs "$runs" \
        --json "$json" --folder "$folder" ${quick:+--rows 256}
}

group_memory() {
    /usr/bin/python3 tests/bench/memory.py $bin/sinew "$disk" --processes "$np" --json "$json" ${quick:+--gigabytes 1}
}

group_nodes() {
    /usr/bin/python3 tests/bench/nodes.py $bin/sinew "$folder" --processes "$np" --runs "$runs" --json "$json"
}

group_scaling() {
    /usr/bin/python3 tests/bench/rival_scaling.py $bin/sinew "$folder" --processes "$np" --runs "${slow_runs:-2}" --json "$json" \
        --overlap $bin/bench_overlap ${quick:+--size 0.0625}
}

group_shards() {
    has numpy h5py || return 0
    /usr/bin/python3 tests/bench/shards.py "$folder/shards" --sinew $bin/sinew --processes "$np" --runs "$runs" --json "$json" \
        ${quick:+--gib 0.25}
}

group_read() {
    mpi $bin/bench_reader "$folder" --runs "$runs" --json "$json" ${quick:+--mb 64}
}

for group in $groups; do
    started=$SECONDS
    # A subshell of its own, not a condition: errexit holds in it.
    set +e
    (set -e && "group_$group")
    status=$?
    set -e
    [ $status = 0 ] || failed+=" $group"
    rm -rf "${folder:?}"/* "${disk:?}"/*
    echo "bench: $group took $((SECONDS - started)) s"
done
echo
/usr/bin/python3 tests/bench/table.py "$json" --processes "$np" "${python[@]}" ${quick:+--trial} "${record[@]}"
echo
echo "bench: $SECONDS s in all; rows as JSON in $json"
if [ -n "$failed" ]; then
    echo "bench: failed:$failed" >&2
    exit 1
fi
