#!/bin/bash
# Fetches the checkpoints a study names from the model hub. Without --run it only says what would be fetched.
#   jobs/stage-in.sh CONFIG             list models, sizes, what is there, free space
#   jobs/stage-in.sh CONFIG --run       fetch what is missing with the hub's command-line client; an interrupted run resumes
#   jobs/stage-in.sh CONFIG --only TEXT ...  only models whose name contains TEXT
# Models are the "# hub: ORGANISATION/NAME GIGABYTES" comments of CONFIG; they go to $SINEW_MODELS/ORGANISATION/NAME.
# Exit status: 0 done or listed, 2 usage, 3 a model could not be fetched, 4 no client, folder or space.
set -euo pipefail
usage() { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
config= run= only=
while [ $# -gt 0 ]; do
    case $1 in
    --run) run=1 ;;
    --only) [ $# -ge 2 ] || usage; only=$2; shift ;;
    -h | --help) usage ;;
    -*) echo "stage-in: unknown option $1" >&2; usage ;;
    *) [ -z "$config" ] || usage; config=$1 ;;
    esac
    shift
done
[ -n "$config" ] || usage
[ -r "$config" ] || { echo "stage-in: cannot read $config" >&2; exit 2; }
[ -n "${SINEW_MODELS:-}" ] || { echo "stage-in: set SINEW_MODELS to the folder the models go to" >&2; exit 2; }

models=$(sed -n 's/^ *# hub: *\([^ ]*\) \([0-9.]*\) *$/\1 \2/p' "$config" | sort -u | { grep -F -- "$only" || true; })
[ -n "$models" ] || { echo "stage-in: $config names no model${only:+ with '$only' in its name}" >&2; exit 2; }

# A model is there when its folder holds weights and no download is under way in it.
is_there() {
    local dir=$SINEW_MODELS/$1
    [ -d "$dir" ] && ls "$dir" | grep -qE '\.(safetensors|bin)$' && [ -e "$dir/.complete" ]
}

wanted=() need=0
while read -r name size; do
    if is_there "$name"; then
        printf 'there    %8s GB  %s\n' "$size" "$name"
    else
        state=missing
        [ -d "$SINEW_MODELS/$name" ] && state=begun
        printf '%-8s %8s GB  %s\n' "$state" "$size" "$name"
        wanted+=("$name")
        need=$(awk -v a="$need" -v b="$size" 'BEGIN { print a + b }')
    fi
done <<<"$models"

if [ -n "$run" ]; then
    mkdir -p "$SINEW_MODELS" 2>/dev/null || { echo "stage-in: cannot create $SINEW_MODELS" >&2; exit 4; }
fi
place=$SINEW_MODELS
while [ ! -d "$place" ]; do place=$(dirname "$place"); done
free=$(df -Pk "$place" | awk 'NR == 2 { printf "%.1f", $4 * 1024 / 1e9 }')
held=0
for name in ${wanted[@]+"${wanted[@]}"}; do
    [ -d "$SINEW_MODELS/$name" ] && held=$(du -sk "$SINEW_MODELS/$name" | awk -v a="$held" '{ print a + $1 * 1024 / 1e9 }')
done
echo "stage-in: ${#wanted[@]} to fetch, $need GB, of which about $held GB are there; $free GB free in $place"
[ ${#wanted[@]} -gt 0 ] || exit 0
if ! awk -v n="$need" -v h="$held" -v f="$free" 'BEGIN { exit !(n - h <= f) }'; then
    echo "stage-in: not enough space; point SINEW_MODELS to a larger disk or use --only" >&2
    [ -z "$run" ] || exit 4
fi
[ -n "$run" ] || { echo "stage-in: nothing fetched; --run fetches"; exit 0; }

if command -v hf >/dev/null; then
    client=(hf download)
elif command -v huggingface-cli >/dev/null; then
    client=(huggingface-cli download)
else
    echo "stage-in: the hub's client (hf or huggingface-cli) is not installed; with it, run this again, or fetch by hand:" >&2
    for name in "${wanted[@]}"; do echo "  $name -> $SINEW_MODELS/$name" >&2; done
    exit 4
fi
failed=0
for name in "${wanted[@]}"; do
    echo "stage-in: $name"
    # Weights, their indexes and the configuration; a repository's other formats are left where they are.
    if "${client[@]}" "$name" --local-dir "$SINEW_MODELS/$name" --include '*.safetensors' '*.safetensors.index.json' \
        'pytorch_model*.bin' 'pytorch_model.bin.index.json' 'config.json'; then
        touch "$SINEW_MODELS/$name/.complete"
    else
        echo "stage-in: $name was not fetched; run this again to resume" >&2
        failed=1
    fi
done
[ "$failed" -eq 0 ] || exit 3
echo "stage-in: all there; next: sinew check $config"
