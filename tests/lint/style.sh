#!/bin/bash
# House rules that grep can see:
#   - no banned calls, no marks of unfinished work, no variable called rank, no file past 600 lines
#   - each stage exports one symbol (what else it needs, recipes.sh looks for)
# Exit status: 0 in order, 1 not.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob globstar
bad=0
complain() {
    echo "style: $*"
    bad=1
}
complain_all() { # WHY LINES
    [ -z "$2" ] && return
    while IFS= read -r line; do
        complain "$line: $1"
    done <<<"$2"
}

ours=(pipeline/**/*.[ch] stages/**/*.[ch])
tests=(tests/unit/*.[ch] tests/mpi/*.[ch] tests/bench/*.[ch] tests/fuzz/*.[ch])
texts=(tests/e2e/* tests/fail/* tests/run.sh jobs/* jobs/*/* .ci/run configs/* CMakeLists.txt README.md CHANGELOG.md)
stages=(stages/*.c)
[ ${#stages[@]} -gt 0 ] || { echo "style: no stages found"; exit 1; }

# Comments and string literals are no code: blanked, so that line numbers stay.
code_of() {
    awk '{
        line = $0; out = ""
        gsub(/\\["\\]/, "", line)
        while (line != "") {
            if (inside) {
                at = index(line, "*/")
                if (!at) break
                line = substr(line, at + 2); inside = 0
            } else if (match(line, /\/\*|\/\/|"[^"]*"/)) {
                mark = substr(line, RSTART, 2)
                out = out substr(line, 1, RSTART - 1)
                if (mark == "//") break
                line = substr(line, RSTART + (mark == "/*" ? 2 : RLENGTH))
                inside = mark == "/*"
            } else {
                out = out line; break
            }
        }
        print FILENAME ":" FNR ": " out
    }' "$1"
}

# ---- words ----
code=$(for file in "${ours[@]}" "${tests[@]}"; do code_of "$file"; done)
complain_all "a banned call" "$(grep -E '[^_[:alnum:]](strcpy|strcat|sprintf|vsprintf|strtok|atoi|gets)[[:space:]]*\(' <<<"$code" | grep -v '^pipeline/base/banned.h:')"
complain_all "rank is linear algebra's word; a process is me of np" \
    "$(grep -E '[^_[:alnum:]](int|long|size_t|int64_t|int32_t)[[:space:]]+\*?rank[[:space:]]*[;,=)]' <<<"$code")"
complain_all "unfinished work" \
    "$(grep -nE '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' "${ours[@]}" "${tests[@]}" "${texts[@]}" 2>/dev/null)"
for file in "${ours[@]}" "${tests[@]}" tests/*/*.py; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || complain "$file: $lines lines; past 600 look for the second noun hiding in it"
done

# One tag, one struct: a reader who looks a name up finds one thing.
complain_all "this tag is defined more than once" "$(grep -HE '^[[:space:]]*(typedef )?(struct|union|enum) [a-z_0-9]+ \{' "${ours[@]}" |
    sed -E 's/^([^:]*):[[:space:]]*(typedef )?(struct|union|enum) ([a-z_0-9]+) .*/\4 \1/' | sort -u |
    awk '{ n[$1]++; where[$1] = where[$1] " " $2 } END { for (tag in n) if (n[tag] > 1) print tag ":" where[tag] }')"

# ---- stages ----
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for file in "${stages[@]}"; do
    name=$(basename "$file" .c)
    kind=$(sed -n 's/.*\.kind[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' "$file" | head -n 1)
    if [ -z "$kind" ]; then
        complain "$file declares no .kind"
        continue
    fi
    if command -v mpicc >/dev/null && command -v nm >/dev/null; then
        if mpicc -std=gnu11 -D_GNU_SOURCE -c -O0 -w -Ipipeline -Istages -o "$scratch/$name.o" "$file" \
            2>"$scratch/errors"; then
            symbols=$(nm --defined-only --extern-only "$scratch/$name.o" | awk '{ print $3 }' | tr '\n' ' ')
            [ "$symbols" = "stage_$name " ] || complain "$file exports $symbols- a stage exports stage_$name alone"
        else
            complain "$file does not compile by itself: $(grep -m 1 error "$scratch/errors")"
        fi
    fi
done

[ $bad -eq 0 ] && echo "style: ${#ours[@]} sources and ${#tests[@]} tests in order"
exit $bad
