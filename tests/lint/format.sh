#!/bin/bash
# The formatting is clang-format's, version 14, by .clang-format.
#   tests/lint/format.sh
# Exit status: 0 in order, 1 not, 77 where clang-format 14 is missing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob globstar

tool=$(command -v clang-format-14 || command -v clang-format || echo none)
version=$("$tool" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
[ "$version" = 14 ] || { echo "format: skipped: clang-format 14 is not installed"; exit 77; }
files=(pipeline/**/*.[ch] stages/**/*.[ch] tests/*.h tests/*/*.[ch])
[ ${#files[@]} -gt 0 ] || { echo "format: no files found"; exit 1; }
wrong=$(printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P "$(nproc)" "$tool" --dry-run -Werror 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error:.*/\1/p' | sort -u)
if [ -n "$wrong" ]; then
    sed 's/^/format: run clang-format -i on /' <<<"$wrong"
    exit 1
fi
echo "format: ${#files[@]} files in order"
