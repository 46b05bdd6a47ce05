#!/bin/bash
# Layering: arrows point one way. Reads the #include lines of pipeline/ and stages/ and fails on the first kind of disorder:
#   - a file of pipeline/ includes its own room and rooms on lower lines of the list below; only study/registry.c names the stages
#   - no file of pipeline/ holds a string that is a stage's kind
#   - headers make no cycle
#   - a stage includes services, its kernels, libc, libm and mpi.h, and no other stage; so do its parts, in the folder of its name
#   - the report's parts stand behind stages/report.c
#   - a part of the report includes its own room and lower ones, base and elements
#   - a kernel computes: no MPI, no files, no memory but its caller's (an arena handed in)
#   - what is for one processor stands in the files of its instruction set (_avx2, _avx512, _neon), and is guarded there
#   - each foreign library is known to one room, and there to the files named here
#   - a format or a decoder knows formats/stored.h and formats/format.h, not the checkpoint that is made of them
#   - each .c includes its own header first, and each header compiles alone
# Exit status: 0 in order, 1 not.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob globstar
bad=0
complain() {
    echo "layers: $*"
    bad=1
}

# The rooms of the machine, lowest first: what stands on a line may include what stands on the same line or above it.
rooms=(
    "base base/inject"
    "elements elements/bits elements/codes elements/convert elements/largest elements/lowrank elements/magnitude elements/transpose"
    "linalg"
    "hdf5"
    "formats formats/decoders formats/folders formats/safetensors formats/torch formats/dcp formats/zero formats/logits formats/lora"
    "compare compare/concentration compare/names"
    "study"
    "engine engine/hosts engine/state engine/machine engine/verify engine/locks"
    "export"
    "command command/verbs command/planning"
)
libc="assert complex ctype dirent errno fenv float inttypes limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib string strings time unistd fcntl sys/stat sys/types"
pure="assert float inttypes limits math stdarg stdbool stddef stdint stdio stdlib string immintrin arm_neon"

# The headers a file includes, as written, one per line.
includes() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*/\1/p' "$1"
}
has_word() { # WORD LIST
    case " $(echo $2) " in *" $1 "*) return 0 ;; esac
    return 1
}
level_of() { # ROOM
    local i
    for i in "${!rooms[@]}"; do
        has_word "$1" "${rooms[$i]}" && { echo "$i"; return; }
    done
    echo -1
}
matches() { # TEXT PATTERN...   globs
    local text=$1 pattern
    shift
    for pattern in "$@"; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $text == $pattern ]] && return 0
    done
    return 1
}

sources=(pipeline/**/*.[ch] stages/**/*.[ch])
[ ${#sources[@]} -gt 0 ] || { echo "layers: no sources found"; exit 1; }

# ---- pipeline ----
for file in pipeline/**/*.[ch]; do
    room=${file#pipeline/}
    room=${room%/*}
    if [ "$file" = pipeline/main.c ]; then
        own=${#rooms[@]}
    else
        own=$(level_of "$room")
        [ "$own" -ge 0 ] || { complain "$file stands in no room of the list"; continue; }
    fi
    for header in $(includes "$file"); do
        if [ -e "stages/$header" ] || [[ $header == *stages/* ]]; then
            complain "$file includes $header: the machine knows no stage"
        elif [ -e "pipeline/$header" ]; then
            other=$(level_of "${header%/*}")
            [ "$other" -le "$own" ] || complain "$file includes $header: arrows point to lower rooms"
        elif [ -e "$(dirname "$file")/$header" ]; then
            complain "$file includes $header without its room"
        fi
    done
    if [ "$file" != pipeline/study/registry.c ] && grep -qE 'extern[[:space:]]+const[[:space:]]+struct[[:space:]]+stage[[:space:]]' "$file"; then
        complain "$file names a stage; only pipeline/study/registry.c does"
    fi
done

# The machine names no stage: it asks what one declares. A verb's own word (command/) and a dataset's name in the files of
# others (formats/logits) may be the same as a stage's kind.
kinds=$(sed -n 's/.*\.kind[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' stages/*.c | sort -u | paste -sd '|')
while IFS= read -r line; do
    [[ $line == pipeline/command/* || $line == pipeline/formats/logits/* ]] ||
        complain "$line: the machine names a stage; let the stage declare what is asked of it (study/stage.h)"
done < <(grep -nE "^[^*]*\"($kinds)\"" pipeline/**/*.[ch] | grep -vE '/\*.*"('"$kinds"')"')

# Cycles between headers: tsort names them.
for top in pipeline stages; do
    edges=$(for file in "$top"/**/*.h; do
        for header in $(includes "$file"); do
            [ -e "$top/$header" ] && echo "${file#"$top"/} $header"
        done
    done)
    if [ -n "$edges" ] && cycle=$(echo "$edges" | tsort 2>&1 >/dev/null) && [ -n "$cycle" ]; then
        complain "headers of $top/ include each other in a cycle:" $cycle
    fi
done

# ---- stages ----
services=('base/*' 'elements/*' 'hdf5/*' 'formats/*' 'compare/*' linalg/grid.h study/stage.h study/param.h study/journal.h)
parts=()
for file in stages/*.c; do
    folder=${file%.c}
    [ "$file" = stages/report.c ] || parts+=("$folder"/*.[ch])
done
for file in stages/*.c "${parts[@]}"; do
    folder=${file#stages/}
    folder=${folder%.c}
    own=('kernels/*' "${folder%%/*}/*")
    for header in $(includes "$file"); do
        if [ "$header" = mpi.h ] || has_word "${header%.h}" "$libc" || { [ -e "stages/$header" ] && matches "$header" "${own[@]}"; }; then
            continue
        fi
        if [ ! -e "pipeline/$header" ] || ! matches "$header" "${services[@]}" || [ "$header" = hdf5/h5_internal.h ]; then
            complain "$file includes $header: a stage sees services, kernels, libc, libm and mpi.h only"
        fi
    done
done
for file in stages/*.h; do
    complain "$file: a stage has no header"
done
for file in stages/*/*.[ch]; do
    has_word "$file" "${parts[*]}" || [[ $file == stages/report/* ]] || complain "$file stands in the folder of no stage"
done

# ---- kernels, and the parts of the report ----
pure_files() { # FILE ALLOWED-GLOB...
    local file=$1 header
    shift
    for header in $(includes "$file"); do
        has_word "${header%.h}" "$pure" && continue
        { [ -e "stages/$header" ] || [ -e "pipeline/$header" ]; } && matches "$header" "$@" && continue
        complain "$file includes $header: it sees libc and $* only"
    done
    if grep -nE '\b(malloc|calloc|realloc|free|fopen|open|printf|fprintf|MPI_[A-Z][a-z_]*)[[:space:]]*\(' "$file" >/dev/null; then
        complain "$file allocates, prints, opens files or calls MPI: a kernel does not"
    fi
}
for file in stages/kernels/**/*.[ch]; do
    [[ $file == stages/kernels/*/* ]] || complain "$file: a kernel stands in the folder of its stage"
    pure_files "$file" 'base/*' 'elements/*' 'kernels/*'
done
# The rooms of the report, lowest first; what it is made from stands in stages/report/ itself.
drawn=(report report/chart report/figures report/body report/page)
for file in stages/report/**/*.[ch]; do
    own=$(dirname "${file#stages/}")
    has_word "$own" "${drawn[*]}" || complain "$file stands in no room of the report's list"
    below=()
    for room in "${drawn[@]}"; do
        below+=("$room")
        [ "$room" = "$own" ] && break
    done
    for header in $(includes "$file"); do
        if [[ $header == report/* ]] && ! has_word "$(dirname "$header")" "${below[*]}"; then
            complain "$file includes $header: arrows point to lower rooms of the report"
        fi
    done
    pure_files "$file" 'base/*' 'elements/*' hdf5/table.h 'report/*'
done

# ---- foreign libraries ----
behind() { # WHAT LINE-PATTERN ALLOWED-GLOB...
    local what=$1 pattern=$2 file
    shift 2
    for file in $(grep -lE "$pattern" "${sources[@]}"); do
        matches "$file" "$@" || complain "$what stands behind $*, but $file knows it"
    done
}
include='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]'
behind "x86's instructions" "${include}([a-z]mmintrin|immintrin|cpuid)\.h|\btarget\(" '*_avx2.[ch]' '*_avx512.[ch]' 'pipeline/base/isa.[ch]'
behind "ARM's instructions" "${include}arm_[a-z]+\.h" '*_neon.[ch]'
guarded() { # ARCHITECTURE FILE...
    local architecture=$1 file
    shift
    for file in "$@"; do
        grep -q "^#if defined($architecture)" "$file" || complain "$file: nothing in it may be compiled but for $architecture"
    done
}
guarded __x86_64__ {pipeline,stages}/**/*_avx{2,512}.[ch]
guarded __aarch64__ {pipeline,stages}/**/*_neon.[ch]
behind HDF5 "$include(hdf5[a-z_]*\.h|H5[A-Za-z]*\.h)[>\"]" pipeline/hdf5/h5_internal.h
behind h5_internal.h "$include(hdf5/)?h5_internal\.h\"" 'pipeline/hdf5/h5*.c'
behind libyaml "${include}yaml\.h" pipeline/study/document.c
behind jansson "${include}jansson\.h" pipeline/formats/json.c
behind xxhash "${include}xxhash\.h" pipeline/base/hash.c
behind "BLAS and LAPACK" "$include(cblas\.h|lapacke?\.h|openblas/.*|scalapack\.h)[>\"]" 'pipeline/linalg/*'
behind "grid's inner headers" "${include}linalg/grid_(lapack|team|cyclic)\.h\"" 'pipeline/linalg/*'
behind "BLAS, BLACS and ScaLAPACK" '\b(Cblacs_|p[sd](syrk|syev|syevd|gesvd|gemm|lange)_|dsyrk_|dsyevd_|openblas_)' 'pipeline/linalg/*'

# ---- formats: a format tells a list, the checkpoint reads by it ----
for file in $(grep -lE '^const struct (format|decoder) ' pipeline/formats/**/*.c); do
    for each in "$file" "${file%.c}.h"; do
        [ -e "$each" ] && includes "$each" | grep -qE '^formats/(checkpoint|catalogue|index)\.h$' &&
            complain "$each includes the checkpoint: a format or decoder sees formats/stored.h and formats/format.h"
    done
done

# ---- own header first; headers alone ----
for file in pipeline/**/*.c stages/*/**/*.c; do
    header=${file%.c}.h
    [ -e "$header" ] || continue
    header=${header#*/}
    first=$(includes "$file" | head -n 1)
    [ "$first" = "$header" ] || complain "$file includes $first before its own header"
done
if command -v mpicc >/dev/null; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    hdf5=$(pkg-config --cflags hdf5-openmpi 2>/dev/null) # of h5_internal.h
    for header in pipeline/**/*.h stages/**/*.h; do
        echo "#include \"${header#*/}\"" >"$scratch/alone.c"
        mpicc -std=gnu11 -D_GNU_SOURCE -fsyntax-only -Ipipeline -Istages $hdf5 "$scratch/alone.c" 2>"$scratch/errors" ||
            complain "$header does not compile alone: $(grep -m 1 error "$scratch/errors")"
    done
else
    echo "layers: no mpicc here: that headers compile alone was not checked"
fi

[ $bad -eq 0 ] && echo "layers: ${#sources[@]} files in order"
exit $bad
