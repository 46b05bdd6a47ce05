#!/bin/bash
# Layering: arrows point one way. Reads the #include lines of pipeline/ and stages/ and fails on the first kind of disorder:
#   - pipeline/ includes nothing from stages/; only registry.c names the stages
#   - a pipeline module includes only modules of its own or a lower layer, and headers make no cycle
#   - a stage includes service headers, its kernels, libc, libm and mpi.h, and no other stage
#   - a kernel computes: no MPI, no files, no memory but its caller's (an arena handed in)
#   - each foreign library is known to one file
#   - each .c includes its own header first, and each header compiles alone
# Exit status: 0 in order, 1 not.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob
bad=0
complain() {
    echo "layers: $*"
    bad=1
}

# Layers of the machine, lowest first. A module that stands in no line is on top, beside main.
layers=(
    "err log xsum isa turn_avx512 adder_avx2 classes_avx2 hash banned"
    "mem"
    "comm text table tensor json order zip pickle gnuplot reader"
    "magnitude magnitude_avx2 magnitude_avx512 bits bits_avx2 bits_avx512"
    "param h5 h5_internal h5_table h5_source checkpoint model_config strided safetensors torchfile npy llama grid grid_blas grid_team grid_cyclic
     grid_lapack gram symmetric document"
    "artifact layout fp8 match logits"
    "pair walk"
    "update"
    "stage"
    "registry matrix"
    "config"
    "dag"
    "fresh"
)
services="isa turn_avx512 stage gnuplot reader safetensors logits artifact h5 table layout update pair match checkpoint tensor comm mem log xsum grid bits magnitude walk text err param banned"
libc="assert complex ctype dirent errno fenv float inttypes limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib string strings time unistd fcntl sys/stat sys/types"
pure="assert float inttypes limits math stdarg stdbool stddef stdint stdio stdlib string immintrin"
pure_services="isa turn_avx512 adder_avx2 classes_avx2 err mem text tensor table bits magnitude xsum"

# The headers a file includes, as written, one per line.
includes() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*/\1/p' "$1"
}
has_word() { # WORD LIST
    case " $(echo $2) " in *" $1 "*) return 0 ;; esac
    return 1
}
layer_of() { # MODULE
    local i
    for i in "${!layers[@]}"; do
        has_word "$1" "${layers[$i]}" && { echo "$i"; return; }
    done
    echo "${#layers[@]}"
}

sources=(pipeline/*.c pipeline/*.h stages/*.c stages/*.h stages/kernels/*.c stages/kernels/*.h)
[ ${#sources[@]} -gt 0 ] || { echo "layers: no sources found"; exit 1; }

# ---- pipeline ----
for file in pipeline/*.[ch]; do
    module=$(basename "${file%.*}")
    own=$(layer_of "$module")
    # A .c may use what its own header may not show; it is held to its layer by the header alone, and by these two rules.
    for header in $(includes "$file"); do
        name=${header%.h}
        if [ -e "stages/$header" ] || [ -e "stages/kernels/$header" ] || [[ $header == */stages/* ]]; then
            complain "$file includes $header: the machine knows no stage"
        elif [ -e "pipeline/$header" ] && [ "$name" != "$module" ]; then
            other=$(layer_of "$name")
            if [ "$other" -gt "$own" ]; then
                complain "$file (layer $own) includes $header (layer $other): arrows point to lower layers"
            fi
        fi
    done
    if [ "$file" != pipeline/registry.c ] && grep -qE 'extern[[:space:]]+const[[:space:]]+struct[[:space:]]+stage[[:space:]]' "$file"; then
        complain "$file names a stage; only pipeline/registry.c does"
    fi
done

# Cycles between headers: tsort names them.
edges=$(for file in pipeline/*.h; do
    for header in $(includes "$file"); do
        [ -e "pipeline/$header" ] && echo "$(basename "$file") $header"
    done
done)
if [ -n "$edges" ] && cycle=$(echo "$edges" | tsort 2>&1 >/dev/null) && [ -n "$cycle" ]; then
    complain "headers of pipeline/ include each other in a cycle:" $cycle
fi

# ---- stages ----
kernels=$(for header in stages/kernels/*.h; do basename "$header"; done)
for file in stages/*.c; do
    for header in $(includes "$file"); do
        name=${header%.h}
        if [ "$header" = mpi.h ] || has_word "$name" "$libc" || has_word "$header" "$kernels"; then
            continue
        fi
        if [ ! -e "pipeline/$header" ] || ! has_word "$name" "$services"; then
            complain "$file includes $header: a stage sees services, kernels, libc, libm and mpi.h only"
        fi
    done
done
for file in stages/*.h; do
    complain "$file: a stage has no header"
done

# ---- kernels ----
for file in stages/kernels/*.[ch]; do
    for header in $(includes "$file"); do
        if ! has_word "${header%.h}" "$pure $pure_services" && ! has_word "$header" "$kernels"; then
            complain "$file includes $header: a kernel sees libc, other kernels and $pure_services only"
        fi
    done
    if grep -nE '\b(malloc|calloc|realloc|free|fopen|open|printf|fprintf|MPI_[A-Z][a-z_]*)[[:space:]]*\(' "$file" >/dev/null; then
        complain "$file allocates, prints, opens files or calls MPI: a kernel does not"
    fi
done

# ---- foreign libraries ----
one_file() { # WHAT HEADER-PATTERN ALLOWED-FILE
    local users
    users=$(grep -lE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)[>\"]" "${sources[@]}" | tr '\n' ' ')
    [ -z "$users" ] || [ "$users" = "$3 " ] || complain "$1 stands behind $3 alone, but is included by: $users"
}
one_file HDF5 'hdf5[a-z_]*\.h|H5[A-Za-z]*\.h' pipeline/h5_internal.h
users=$(grep -lE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"h5_internal\.h"' "${sources[@]}" | grep -vE '^pipeline/h5(_[a-z]+)?\.c$' | tr '\n' ' ')
[ -z "$users" ] || complain "h5_internal.h is for the HDF5 module alone, but is included by: $users"
one_file libyaml 'yaml\.h' pipeline/document.c
one_file "BLAS and LAPACK" 'cblas\.h|lapacke?\.h|openblas/.*|scalapack\.h' pipeline/grid_lapack.h
users=$(grep -lE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"grid_(lapack|team|cyclic)\.h"' "${sources[@]}" | grep -vE '^pipeline/(grid(_[a-z]+)?\.[ch]|symmetric\.c)$' | tr '\n' ' ')
[ -z "$users" ] || complain "grid's inner headers are for the linear algebra alone, but are included by: $users"
for library in jansson xxhash; do
    users=$(grep -lE "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$library\.h>" "${sources[@]}")
    [ "$(echo "$users" | wc -l)" -le 1 ] || complain "$library.h stands behind one file, but is included by:" $users
done
users=$(grep -lE '\b(Cblacs_|p[sd](syrk|syev|syevd|gesvd|gemm|lange)_|dsyrk_|dsyevd_|openblas_)' "${sources[@]}" | grep -vE '^pipeline/(grid|grid_blas|grid_cyclic|symmetric)\.c$|^pipeline/grid_lapack\.h$')
[ -z "$users" ] || complain "BLAS, BLACS and ScaLAPACK stand behind pipeline/grid*.c and symmetric.c, but are called by:" $users

# ---- own header first; headers alone ----
for file in pipeline/*.c stages/kernels/*.c; do
    header=$(basename "${file%.c}.h")
    [ -e "$(dirname "$file")/$header" ] || continue
    first=$(includes "$file" | head -n 1)
    [ "$first" = "$header" ] || [ "$first" = banned.h ] || complain "$file includes $first before its own header"
done
if command -v mpicc >/dev/null; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    hdf5=$(pkg-config --cflags hdf5-openmpi 2>/dev/null) # of h5_internal.h
    for header in pipeline/*.h stages/kernels/*.h; do
        echo "#include \"$(basename "$header")\"" >"$scratch/alone.c"
        mpicc -std=gnu11 -D_GNU_SOURCE -fsyntax-only -Ipipeline -Istages/kernels $hdf5 "$scratch/alone.c" 2>"$scratch/errors" ||
            complain "$header does not compile alone: $(grep -m 1 error "$scratch/errors")"
    done
else
    echo "layers: no mpicc here: that headers compile alone was not checked"
fi

[ $bad -eq 0 ] && echo "layers: ${#sources[@]} files in order"
exit $bad
