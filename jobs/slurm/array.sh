#!/bin/bash
# A study as an array of short jobs, each on a share of its cells, and a last one that puts bases, archive and report together.
#   bash jobs/slurm/array.sh study.yaml 8                                  eight shares
#   bash jobs/slurm/array.sh study.yaml 8 --time=01:00:00 --account=mine   with options of sbatch, for all of them
#   bash jobs/slurm/array.sh --dry-run study.yaml 8                        only say what would be submitted
# One run at a time works in an output folder, so that the tasks run one after the other (--array=1-8%1). What that is for: a queue whose
# limit is shorter than the study, or that lets short jobs pass. It is not faster than one job, which more processes make faster
# (study.sbatch --nodes=...); tasks side by side on one study are not possible yet, and folders of their own would be studies of their own.
# Each task is study.sbatch: what is cut short is submitted again. The last job begins when all tasks have ended in whatever way
# (afterany: a task that ends at its limit has not ended well), does what they left, and says what is wrong with the rest. A damaged
# checkpoint costs its own cells (run --keep-going): the last job ends with status 3 and a report that marks what lacks. KEEP_GOING='' before
# the command has the first failure end a task.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { echo "array: $*"; }
complain() { echo "array: $*" >&2; }
usage() { sed -n '3,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

dry=''
if [ "${1:-}" = --dry-run ]; then
    dry=1
    shift
fi
{ [ $# -ge 2 ] && [[ $1 != -* ]]; } || usage
config=$1 shares=$2
shift 2
[[ $shares =~ ^[1-9][0-9]{0,4}$ ]] || { complain "$shares: a number of shares from 1 to 99999 is wanted"; exit 2; }

export KEEP_GOING=${KEEP_GOING-1}

# What is wrong with program, config or output shows here, before anything waits in a queue.
SHARES=$shares bash "$here/study.sbatch" --dry-run "$config" "$@"
tasks=(sbatch --parsable "--array=1-$shares%1" "$@" "$here/study.sbatch" "$config")
last=(sbatch --parsable "$@" "$here/study.sbatch" "$config")
if [ -n "$dry" ]; then
    say "tasks   SHARES=$shares ${tasks[*]}"
    say "last    ${last[*]} (when all tasks have ended)"
    exit 0
fi
array=$(SHARES=$shares "${tasks[@]}")
array=${array%%;*} # a cluster's name may stand behind
say "tasks $array: $shares shares of the cells, one after the other"
number=$(SHARES='' sbatch --parsable --dependency="afterany:$array" "${last[@]:2}")
say "last  ${number%%;*}: bases, archive and report, when all tasks have ended"
