# For the lint tests that ask a program about each file by itself: runs them side by side and remembers what was in order.
#   . tests/lint/each.bash
#   each_file NAME BUILD FUNCTION FILE...
#
# FUNCTION FILE prints what is wrong with the file and ends with status 0 where nothing is. What it says depends on the file,
# on the headers of this tree that it includes, on EACH_CONFIG (a text: the program's version and settings) and on nothing
# else; where all of that is as it was when the file was last in order, the file is not looked at again. What is remembered
# stands in BUILD/lint/NAME, one empty file for each content that was in order.

# What decides about FILE, as one word.
each_key() { # FILE
    local depends
    depends=$(cc -MM -w -std=gnu11 -D_GNU_SOURCE -Ipipeline -Istages -Itests -I"$EACH_BUILD" $EACH_FOREIGN "$1" 2>/dev/null |
        sed 's/^[^:]*://; s/\\$//')
    # A header that cannot be found leaves the list empty: the file is then looked at each time.
    [ -n "$depends" ] || { echo "none-$RANDOM$RANDOM"; return; }
    # shellcheck disable=SC2086 # names without blanks
    { echo "$EACH_CONFIG"; cat $depends; } | sha256sum | cut -c1-40
}

each_one() { # FILE
    local key said status
    key=$(each_key "$1")
    [ -e "$EACH_CACHE/$key" ] && return 0
    said=$("$EACH_FUNCTION" "$1" 2>&1)
    status=$?
    if [ $status -eq 0 ]; then
        : >"$EACH_CACHE/$key"
    else
        printf '%s\n' "$said"
        return 1
    fi
}

each_file() { # NAME BUILD FUNCTION FILE...
    local name=$1
    EACH_BUILD=$2 EACH_FUNCTION=$3 EACH_CACHE=$2/lint/$1
    # Headers of other people are no matter of the lint: -isystem keeps them out of the list of headers and of warnings.
    EACH_FOREIGN=$({ pkg-config --cflags hdf5-openmpi; mpicc --showme:compile; } 2>/dev/null | sed 's/-I *\//-isystem \//g' | tr '\n' ' ')
    shift 3
    mkdir -p "$EACH_CACHE"
    find "$EACH_CACHE" -type f -mtime +30 -delete
    export EACH_BUILD EACH_FUNCTION EACH_CACHE EACH_FOREIGN EACH_CONFIG
    export -f each_key each_one "$EACH_FUNCTION"
    if printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" bash -c 'each_one "$0"'; then
        echo "$name: $# files in order"
    else
        return 1
    fi
}
