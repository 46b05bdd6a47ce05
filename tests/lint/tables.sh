#!/bin/bash
# The page of all tables and datasets, pipeline/hdf5/TABLES.md, is what the declarations say, and what it promises of the archive
# is kept or the archive's schema version has risen; sinew_tables says what to do.
# Usage: tables.sh [BUILD]   the build folder with the program; without it the newest of build/*
# Exit status: 0 in order, 1 not, 77 there is no build to ask.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-$(ls -td build/*/ 2>/dev/null | head -n 1)}
program=${build%/}/tests/sinew_tables
[ -x "$program" ] || { echo "tables: no $program: build first"; exit 77; }
page=pipeline/hdf5/TABLES.md
"$program" --check $page || exit 1

# The guard itself: a page that promises what the schema does not hold must be refused, and stay as it is.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed 's/^| `stable_rank` | float64/| `stable_rank` | int64/' $page >"$scratch/page.md"
cp "$scratch/page.md" "$scratch/before.md"
for mode in --check --write; do
    if "$program" $mode "$scratch/page.md" 2>"$scratch/says"; then
        echo "tables: $mode took a column of another type for the same"
        exit 1
    fi
    grep -q 'rank` | `stable_rank` | int64 | 1' "$scratch/says" && grep -q 'raise ARCHIVE_SCHEMA_VERSION' "$scratch/says" ||
        { echo "tables: $mode does not say what changed and what to do:"; cat "$scratch/says"; exit 1; }
done
cmp -s "$scratch/page.md" "$scratch/before.md" || { echo "tables: --write wrote over a promise"; exit 1; }
# A column that joined is written without further ado.
sed '/^| `stable_rank` /d' $page >"$scratch/page.md"
"$program" --write "$scratch/page.md" && cmp -s "$scratch/page.md" $page ||
    { echo "tables: --write did not add a column"; exit 1; }
echo "tables: $page is what the schema says"
