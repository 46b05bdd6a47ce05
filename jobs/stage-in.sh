#!/bin/bash
# Fetches checkpoints from the model hub: those a study names, or those named here. Without --run it only says what would be fetched.
#   jobs/stage-in.sh CONFIG                       list models, sizes, what is there, free space
#   jobs/stage-in.sh CONFIG --run                 fetch what is missing; an interrupted run resumes
#   jobs/stage-in.sh CONFIG --only TEXT ...       only models whose name contains TEXT
#   jobs/stage-in.sh ORGANISATION/NAME[@REVISION]... [--run]       the same for models by name
#   jobs/stage-in.sh CONFIG --one-at-a-time [--run]   fetch a tuned checkpoint, run its cells, remove it, fetch the next: for runs whose
#                                                 steps do not fit on the disk together; dynamics and overlap then run from what is kept
# Models are the "# hub: ORGANISATION/NAME[@REVISION] GIGABYTES" comments of CONFIG; a revision may stand for several:
# step_{100,200,300} or step_{100..500..100}. They go to $SINEW_MODELS/ORGANISATION/NAME[@REVISION], which is what CONFIG's paths say.
# The hub's client (hf or huggingface-cli) fetches where it is installed, else curl; SINEW_FETCH=curl takes curl anyway. HF_ENDPOINT and
# HF_TOKEN are as for the client. SINEW is the program of --one-at-a-time, such as "mpirun -n 4 build/release/sinew".
# Exit status: 0 done or listed, 2 usage, 3 a model could not be fetched, 4 no client, folder or space; else that of sinew.
set -euo pipefail
usage() { sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
say() { echo "stage-in: $*"; }
complain() { echo "stage-in: $*" >&2; }
config='' run='' only='' one=''
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --run) run=1 ;;
    --one-at-a-time) one=1 ;;
    --only) [ $# -ge 2 ] || usage; only=$2; shift ;;
    -h | --help) usage ;;
    -*) complain "unknown option $1"; usage ;;
    *)
        if [ ! -e "$1" ] && [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$ ]]; then
            names+=("$1")
        else
            [ -z "$config" ] || usage
            config=$1
        fi ;;
    esac
    shift
done
[ -n "$config" ] || [ ${#names[@]} -gt 0 ] || usage
[ -z "$config" ] || [ ${#names[@]} -eq 0 ] || { complain "a CONFIG or names of models, not both"; usage; }
[ -z "$one" ] || [ -n "$config" ] || { complain "--one-at-a-time wants a CONFIG, whose cells it runs"; usage; }
[ -z "$config" ] || [ -r "$config" ] || { complain "cannot read $config"; exit 2; }
[ -n "${SINEW_MODELS:-}" ] || { complain "set SINEW_MODELS to the folder the models go to"; exit 2; }
SINEW_MODELS=${SINEW_MODELS%/}
endpoint=${HF_ENDPOINT:-https://huggingface.co}
endpoint=${endpoint%/}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# ---- what is to be fetched ----

# A name whose revision has {a,b,c} or {from..to[..step]}, as all the names it stands for. Nothing is evaluated.
expand() { # NAME
    local head tail inner value from to by
    if [[ ! $1 =~ ^([^{}]*)\{([^{}]*)\}([^{}]*)$ ]]; then
        echo "$1"
        return
    fi
    head=${BASH_REMATCH[1]} inner=${BASH_REMATCH[2]} tail=${BASH_REMATCH[3]}
    if [[ $inner =~ ^([0-9]{1,9})\.\.([0-9]{1,9})(\.\.([1-9][0-9]{0,8}))?$ ]]; then
        from=$((10#${BASH_REMATCH[1]})) to=$((10#${BASH_REMATCH[2]})) by=${BASH_REMATCH[4]:-1}
        [ $(((to - from) / by)) -lt 100000 ] || { complain "$1 stands for too many"; exit 2; }
        for ((value = from; value <= to; value += by)); do echo "$head$value$tail"; done
    else
        for value in ${inner//,/ }; do echo "$head$value$tail"; done
    fi
}

valid='^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$'
declare -A size_of=()
models=()
if [ -n "$config" ]; then
    while read -r name size; do
        each_of=$(expand "$name") || exit 2
        for each in $each_of; do
            [[ $each =~ $valid ]] || { complain "$config: \"$each\" is no ORGANISATION/NAME[@REVISION]"; exit 2; }
            case $each in *"$only"*) ;; *) continue ;; esac
            [ -n "${size_of[$each]:-}" ] || models+=("$each")
            size_of[$each]=$size
        done
    done < <(sed -n 's/^ *# hub: *\([^ ]*\) \([0-9.]*\) *$/\1 \2/p' "$config" | sort -u)
    [ ${#models[@]} -gt 0 ] || [ -n "$one" ] || { complain "$config names no model${only:+ with '$only' in its name}"; exit 2; }
else
    models=("${names[@]}")
fi

# A model is there when its folder holds weights and no download is under way in it.
is_there() {
    local dir=$SINEW_MODELS/$1
    [ -e "$dir/.complete" ] && [ -n "$(find "$dir" -maxdepth 1 \( -name '*.safetensors' -o -name '*.bin' \) -print -quit)" ]
}

# ---- fetching with curl ----

# A request to the hub. The token, where there is one, is not seen in the list of processes.
request() { # CURL-ARGUMENT...
    if [ -n "${HF_TOKEN:-}" ]; then
        curl -sS -L --retry 3 --retry-delay 1 --connect-timeout 30 --speed-limit 1 --speed-time 120 -K <(printf 'header = "Authorization: Bearer %s"\n' "$HF_TOKEN") "$@"
    else
        curl -sS -L --retry 3 --retry-delay 1 --connect-timeout 30 --speed-limit 1 --speed-time 120 "$@"
    fi
}

# The files of a model that are wanted, "SIZE SHA256-OR-- PATH" each, into $scratch/files: weights, their indexes and the configuration.
# A repository's other formats are left where they are. Of each file's JSON object only plain texts and numbers are taken.
list_files() { # NAME
    local repository=${1%@*} revision=main url
    [ "$repository" = "$1" ] || revision=${1##*@}
    url="$endpoint/api/models/$repository/tree/$revision?recursive=true"
    : >"$scratch/files"
    while [ -n "$url" ]; do
        request -f -D "$scratch/head" -o "$scratch/tree" "$url" 2>"$scratch/error" || {
            complain "$1: the hub does not list it: $(tail -n 1 "$scratch/error")"
            return 1
        }
        tr -d '\n' <"$scratch/tree" | sed 's/}, *{/}\n{/g' | awk '
            match($0, /"type" *: *"file"/) && match($0, /"path" *: *"[A-Za-z0-9._=+@\/-]+"/) {
                path = substr($0, RSTART, RLENGTH); sub(/^"path" *: *"/, "", path); sub(/"$/, "", path)
                name = path; sub(/.*\//, "", name)
                if (path ~ /(^|\/)\.\.?(\/|$)/ || path ~ /^\// ||
                    name !~ /\.safetensors$|\.safetensors\.index\.json$|^pytorch_model.*\.bin$|^pytorch_model\.bin\.index\.json$|^config\.json$|^adapter_config\.json$|^adapter_model\.bin$/) next
                sha = "-"
                if (match($0, /"lfs" *: *[{][^}]*"oid" *: *"(sha256:)?[0-9a-f]+"/)) {
                    sha = substr($0, RSTART, RLENGTH); sub(/"$/, "", sha); sub(/.*[":]/, "", sha)
                }
                if (!match($0, /"size" *: *[0-9]+/)) next
                size = substr($0, RSTART, RLENGTH); sub(/.*: */, "", size)
                print size, sha, path
            }' >>"$scratch/files"
        url=$(tr -d '\r' <"$scratch/head" | sed -n 's/^[Ll]ink: *<\([^>]*\)>; *rel="next".*/\1/p' | tail -n 1)
    done
    grep -qE '\.(safetensors|bin)$' "$scratch/files" || { complain "$1: no weights among its files on the hub"; return 1; }
}

bytes_of() { stat -c %s "$1" 2>/dev/null || echo 0; }

# One file into the model's folder, from where an interrupted fetch stopped.
fetch_file() { # NAME SIZE SHA PATH
    local repository=${1%@*} revision=main file=$SINEW_MODELS/$1/$4 part status=0 have
    [ "$repository" = "$1" ] || revision=${1##*@}
    part=$file.part
    [ "$(bytes_of "$file")" != "$2" ] || [ ! -e "$file" ] || return 0
    mkdir -p "$(dirname "$file")" || return 4
    [ "$(bytes_of "$part")" -le "$2" ] || rm -f "$part"
    if [ "$(bytes_of "$part")" -lt "$2" ] || [ ! -e "$part" ]; then
        request -f -C - -o "$part" "$endpoint/$repository/resolve/$revision/$4" 2>"$scratch/error" || status=$?
        if [ $status -eq 33 ]; then # the server cannot begin in the middle
            rm -f "$part"
            status=0
            request -f -o "$part" "$endpoint/$repository/resolve/$revision/$4" 2>"$scratch/error" || status=$?
        fi
    fi
    have=$(bytes_of "$part")
    if [ $status -eq 23 ]; then
        complain "$1: $4: cannot be written: no room in $SINEW_MODELS? $have of $2 bytes are kept; make room and run this again to go on"
        return 4
    elif [ "$have" -lt "$2" ]; then
        complain "$1: $4: $have of $2 bytes came$([ $status -eq 0 ] || echo ": $(tail -n 1 "$scratch/error")"); run this again to go on"
        return 3
    elif [ "$have" -gt "$2" ] || { [ "$3" != - ] && [ "$(sha256sum <"$part" | cut -d ' ' -f 1)" != "$3" ]; }; then
        rm -f "$part"
        complain "$1: $4: what came is not what the hub lists ($2 bytes${3:+, SHA-256 $3}); it was thrown away; run this again"
        return 3
    fi
    mv "$part" "$file"
}

fetch_by_curl() { # NAME
    local bytes sha path status
    list_files "$1" || return 3
    while read -r bytes sha path; do
        status=0
        fetch_file "$1" "$bytes" "$sha" "$path" </dev/null || status=$?
        [ $status -eq 0 ] || return $status
    done <"$scratch/files"
}

fetch_by_client() { # NAME
    local repository=${1%@*} revision=()
    [ "$repository" = "$1" ] || revision=(--revision "${1##*@}")
    "${client[@]}" "$repository" ${revision[@]+"${revision[@]}"} --local-dir "$SINEW_MODELS/$1" --include '*.safetensors' '*.safetensors.index.json' \
        'pytorch_model*.bin' 'pytorch_model.bin.index.json' 'config.json' 'adapter_config.json' 'adapter_model.bin' </dev/null || {
        complain "$1 was not fetched; run this again to resume"
        return 3
    }
}

# Returns 0, 3 or 4. The mark says that the model is whole, and why it was fetched.
fetch() { # NAME [WHY]
    local status=0
    say "$1"
    if [ ${#client[@]} -gt 0 ]; then
        fetch_by_client "$1" || status=$?
    else
        fetch_by_curl "$1" || status=$?
    fi
    [ $status -ne 0 ] || echo "${2:-}" >"$SINEW_MODELS/$1/.complete" || status=4
    return $status
}

find_client() {
    client=()
    if [ "${SINEW_FETCH:-}" != curl ] && command -v hf >/dev/null; then
        client=(hf download)
    elif [ "${SINEW_FETCH:-}" != curl ] && command -v huggingface-cli >/dev/null; then
        client=(huggingface-cli download)
    elif ! command -v curl >/dev/null; then
        complain "neither the hub's client (hf or huggingface-cli) nor curl is installed; with one, run this again, or fetch by hand:"
        for name in "$@"; do echo "  $name -> $SINEW_MODELS/$name" >&2; done
        exit 4
    fi
}

make_folder() { mkdir -p "$SINEW_MODELS" 2>/dev/null || { complain "cannot create $SINEW_MODELS"; exit 4; }; }

# Gigabytes free where the models go, and the folder that says so.
find_room() {
    place=$SINEW_MODELS
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    free=$(df -Pk "$place" | awk 'NR == 2 { printf "%.9f", $4 * 1024 / 1e9 }')
}
held_by() { [ ! -d "$SINEW_MODELS/$1" ] && echo 0 || du -sk "$SINEW_MODELS/$1" | awk '{ print $1 * 1024 / 1e9 }'; }

# Gigabytes of a model: by CONFIG's comment, else by the hub's list; 0 where neither says it.
gigabytes() { # NAME
    if [ -n "${size_of[$1]:-}" ]; then
        echo "${size_of[$1]}"
    elif command -v curl >/dev/null && list_files "$1" 2>/dev/null; then
        awk '{ n += $1 } END { printf "%.3f", n / 1e9 }' "$scratch/files"
    else
        echo 0
    fi
}

# ---- one at a time ----

# The cells of CONFIG and their states, as sinew sees them: "CELL<tab>STATE<tab>BASE<tab>TUNED" each.
list_cells() {
    $SINEW check "$config" --cells >"$scratch/cells" || exit $?
}

# "ORGANISATION/NAME[@REVISION]" of a path of CONFIG; nothing where it does not lie in SINEW_MODELS.
model_at() {
    case $1 in "$SINEW_MODELS"/*) ;; *) return ;; esac
    [[ ${1#"$SINEW_MODELS"/} =~ $valid ]] && echo "${1#"$SINEW_MODELS"/}" || true
}

# Fetches a model with room for it, or ends.
fetch_or_end() { # NAME WHY
    local need held status=0
    need=$(gigabytes "$1")
    held=$(held_by "$1")
    find_room
    if ! awk -v n="$need" -v h="$held" -v f="$free" 'BEGIN { exit !(n - h <= f) }'; then
        complain "not enough space for $1: $need GB, $(printf %.1f "$free") GB free in $place"
        exit 4
    fi
    fetch "$1" "$2" || status=$?
    [ $status -eq 0 ] || exit $status
}

# Removes a checkpoint whose cells do without it from now on: put aside first, so that it is there again where they do not.
remove_model() { # NAME CELL...
    local dir=$SINEW_MODELS/$1 aside=$SINEW_MODELS/$1.removed cell
    shift
    rm -rf "$aside"
    mv "$dir" "$aside"
    list_cells
    for cell in "$@"; do
        if [ "$(awk -F '\t' -v c="$cell" '$1 == c { print $2 }' "$scratch/cells")" != kept ]; then
            mv "$aside" "$dir"
            complain "$cell is not complete without ${dir#"$SINEW_MODELS"/}, which stays; 'sinew status $config' says what lacks"
            exit 3
        fi
    done
    rm -rf "$aside"
}

one_at_a_time() {
    local root cell state base tuned name cells=() options=() done=0 all
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    [ -n "${SINEW:-}" ] || SINEW=$root/build/release/sinew
    [ -x "${SINEW%% *}" ] || command -v "${SINEW%% *}" >/dev/null || { complain "no ${SINEW%% *}: build it, or set SINEW"; exit 4; }
    list_cells
    mapfile -t bases < <(cut -f 3 "$scratch/cells" | sort -u)
    # Tuned checkpoints that are wanted: those of cells without, and those that an interrupted run has left behind.
    mapfile -t tuned_of < <(awk -F '\t' '$2 != "kept" && !seen[$4]++ { print $4 }' "$scratch/cells")
    all=${#tuned_of[@]}
    say "$all checkpoints to go through one at a time, ${#bases[@]} base$([ ${#bases[@]} -eq 1 ] || echo s) to keep"
    [ -n "$run" ] || { printf '  %s\n' ${tuned_of[@]+"${tuned_of[@]}"}; say "nothing fetched; --run fetches"; exit 0; }
    make_folder
    find_client
    for base in "${bases[@]}"; do
        name=$(model_at "$base")
        [ -z "$name" ] || is_there "$name" || fetch_or_end "$name" ""
    done
    for tuned in ${tuned_of[@]+"${tuned_of[@]}"}; do
        name=$(model_at "$tuned")
        case $name in *"$only"*) ;; *) continue ;; esac
        mapfile -t cells < <(awk -F '\t' -v t="$tuned" '$4 == t && $2 != "kept" { print $1 }' "$scratch/cells")
        if [ -z "$name" ]; then
            [ -e "$tuned" ] || { complain "${cells[0]}: $tuned is not in $SINEW_MODELS/ORGANISATION/NAME[@REVISION]"; exit 3; }
        elif ! is_there "$name"; then
            fetch_or_end "$name" one-at-a-time
        fi
        options=()
        for cell in "${cells[@]}"; do options+=(--cell "$cell"); done
        $SINEW run "$config" "${options[@]}" </dev/null || exit $?
        # What was not fetched for this, or is a base too, stays.
        if [ -n "$name" ] && grep -qx one-at-a-time "$SINEW_MODELS/$name/.complete" && ! printf '%s\n' "${bases[@]}" | grep -qxF -- "$tuned"; then
            remove_model "$name" "${cells[@]}"
        fi
        done=$((done + 1))
        say "$done of $all done: ${cells[*]}"
        list_cells
    done
    say "all cells are kept; next: sinew run $config"
}

if [ -n "$one" ]; then
    one_at_a_time
    exit 0
fi

# ---- all together ----

wanted=() need=0 held=0
for name in "${models[@]}"; do
    size=$(gigabytes "$name")
    if is_there "$name"; then
        printf 'there    %8s GB  %s\n' "$size" "$name"
        continue
    fi
    state=missing
    [ -d "$SINEW_MODELS/$name" ] && state=begun
    printf '%-8s %8s GB  %s\n' "$state" "$size" "$name"
    wanted+=("$name")
    need=$(awk -v a="$need" -v b="$size" 'BEGIN { print a + b }')
    held=$(awk -v a="$held" -v b="$(held_by "$name")" 'BEGIN { print a + b }')
done

[ -z "$run" ] || make_folder
find_room
say "${#wanted[@]} to fetch, $need GB, of which about $held GB are there; $(printf %.1f "$free") GB free in $place"
[ ${#wanted[@]} -gt 0 ] || exit 0
if ! awk -v n="$need" -v h="$held" -v f="$free" 'BEGIN { exit !(n - h <= f) }'; then
    complain "not enough space; point SINEW_MODELS to a larger disk, or use --only or --one-at-a-time"
    [ -z "$run" ] || exit 4
fi
[ -n "$run" ] || { say "nothing fetched; --run fetches"; exit 0; }

find_client "${wanted[@]}"
failed=0
for name in "${wanted[@]}"; do
    status=0
    fetch "$name" || status=$?
    [ $status -ne 4 ] || exit 4
    [ $status -eq 0 ] || failed=1
done
[ "$failed" -eq 0 ] || exit 3
say "all there${config:+; next: sinew check $config}"
