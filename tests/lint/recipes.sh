#!/bin/bash
# The recipes of stages/README.md are true: what is in the tree was made by them. A recipe's list of files is a block
#
#     ```files
#     for GLOB... : PATTERN        each line of these files that fits the extended regular expression is one thing made
#     file GLOB...                 one of these files is there
#     line FILE : PATTERN          that file has a line that fits
#     some GLOB... : PATTERN       one of these files has one
#     ```
#
# In the lines after `for`, {1} and {2} are what the pattern's groups held, {kind} is {1} with '-' in the place of '_', {file} the
# file's name without ending and {dir} its folder. A recipe by which nothing was made fits no longer, and that is a fault too.
# Exit status: 0 in order, 1 not.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
shopt -s nullglob globstar
page=stages/README.md
bad=0 recipes=0 things=0
complain() {
    echo "recipes: $*"
    bad=1
}

# What one thing of a recipe lacks.
judge() { # TITLE FILE MATCH-GROUPS... ; reads the recipe's lines from $rules
    local title=$1 file=$2 one=$3 two=$4 rule text where pattern choice
    while IFS= read -r rule; do
        text=${rule//"{1}"/$one}
        text=${text//"{2}"/$two}
        text=${text//"{kind}"/${one//_/-}}
        text=${text//"{dir}"/$(dirname "$file")}
        text=${text//"{file}"/$(basename "${file%.*}")}
        case $text in
        "file "*)
            # shellcheck disable=SC2206 # globs on purpose
            choice=(${text#file })
            for where in "${choice[@]}"; do
                [ -e "$where" ] && continue 2
            done
            complain "$title: $file has no ${text#file }"
            ;;
        "line "* | "some "*)
            where=${text#* }
            pattern=${where#* : }
            where=${where%% : *}
            # shellcheck disable=SC2086 # globs on purpose
            grep -qE -- "$pattern" $where 2>/dev/null || complain "$title: $file: no line of $where fits $pattern"
            ;;
        *) complain "$page: $title: \"$rule\" is no rule" ;;
        esac
    done <<<"$rules"
}

follow() { # TITLE FOR-LINE ; and $rules
    local title=$1 globs pattern file line found=0
    globs=${2#for }
    pattern=${globs#* : }
    globs=${globs%% : *}
    recipes=$((recipes + 1))
    # shellcheck disable=SC2086 # globs on purpose
    for file in $globs; do
        while IFS= read -r line; do
            [[ $line =~ $pattern ]] || continue
            found=$((found + 1))
            judge "$title" "$file" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]:-}"
        done < <(grep -E -- "$pattern" "$file")
    done
    [ $found -gt 0 ] || complain "$page: $title: nothing in the tree fits: $2"
    things=$((things + found))
}

title='' inside=0 head='' rules=''
while IFS= read -r line; do
    case $line in
    '## '*) title=${line#'## '} ;;
    '```files') inside=1 head='' rules='' ;;
    '```')
        [ $inside -eq 1 ] && follow "$title" "$head"
        inside=0
        ;;
    'for '*) if [ $inside -eq 1 ]; then head=$line; fi ;;
    *) if [ $inside -eq 1 ]; then rules+=${rules:+$'\n'}$line; fi ;;
    esac
done <"$page"
[ $recipes -gt 0 ] || complain "$page has no recipe"
[ $bad -eq 0 ] && echo "recipes: $things things made by $recipes recipes"
exit $bad
