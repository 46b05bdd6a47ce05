#!/bin/bash
# A study as an array of jobs side by side, each on a share of its cells, and a last one that puts bases, archive and report together.
#   bash jobs/slurm/array.sh study.yaml 8                                  eight shares
#   bash jobs/slurm/array.sh study.yaml 8 --time=01:00:00 --account=mine   with options of sbatch, for all of them
#   bash jobs/slurm/array.sh --dry-run study.yaml 8                        only say what would be submitted
# All work in the study's one output folder: a node of it is run by one task, and what another has (a base's checkpoint, which all shares
# want) is waited for. AT_ONCE=4 before the command has no more than so many tasks run at a time. What it is for: a queue that lets small
# or short jobs pass, or nodes here and there instead of many at once; shares finer than the nodes at hand even out what cells cost.
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
at_once=${AT_ONCE:-}
[[ $at_once =~ ^([1-9][0-9]{0,4})?$ ]] || { complain "AT_ONCE=$at_once: a number from 1 to 99999 is wanted"; exit 2; }
tasks=(sbatch --parsable "--array=1-$shares${at_once:+%$at_once}" "$@" "$here/study.sbatch" "$config")
last=(sbatch --parsable "$@" "$here/study.sbatch" "$config")
if [ -n "$dry" ]; then
    say "tasks   SHARES=$shares ${tasks[*]}"
    say "last    ${last[*]} (when all tasks have ended)"
    exit 0
fi
array=$(SHARES=$shares "${tasks[@]}")
array=${array%%;*} # a cluster's name may stand behind
say "tasks $array: $shares shares of the cells, ${at_once:-all} at a time"
number=$(SHARES='' sbatch --parsable --dependency="afterany:$array" "${last[@]:2}")
say "last  ${number%%;*}: bases, archive and report, when all tasks have ended"
