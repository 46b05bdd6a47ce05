#!/bin/bash
# Circles of files: which module calls whose functions, as the compiled objects tell. A module is a .c with its header. A circle
# through two rooms (the folders of pipeline/, each with those in it; the folders of stages/) is a fault: neither can be understood, tested or moved without the other. One within
# a room is printed, as a thing to know.
# Usage: circles.sh [BUILD]   the build folder whose objects are read; without it the newest of build/*
# Exit status: 0 in order, 1 not, 77 there is no build to read.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
shopt -s nullglob globstar

build=${1:-$(ls -td build/*/ 2>/dev/null | head -n 1)}
build=${build%/}
objects=()
unbuilt=0
for source in pipeline/**/*.c stages/**/*.c; do
    object=$(echo "$build"/CMakeFiles/sinew*.dir/"$source.o")
    if [ -e "$object" ]; then objects+=("$object"); else unbuilt=$((unbuilt + 1)); fi
done
[ ${#objects[@]} -gt 0 ] || { echo "circles: no objects in '$build': build first"; exit 77; }
[ $unbuilt -eq 0 ] || { echo "circles: $unbuilt sources have no object in $build: build first"; exit 1; }

# Lines "MODULE kind SYMBOL": what each module defines for others (+) and what it asks of others (-).
symbols() {
    nm -A -g -P "${objects[@]}" | awk '{
        module = $1
        sub(/^.*CMakeFiles\/sinew[a-z_]*\.dir\//, "", module)
        sub(/\.c\.o:$/, "", module)
        print module, ($3 == "U" ? "-" : "+"), $2
    }'
}

symbols | awk '
    function room(module) {
        if (match(module, /^pipeline\/[^\/]*\//)) return substr(module, 1, RLENGTH - 1) # a room of the machine with its alcoves
        sub(/\/[^\/]*$/, "", module)
        return module
    }
    # The shortest way from `from` to `to` over calls; inside: of one room alone. Leaves back[] behind it. Returns whether there is one.
    function find_way(from, to, inside,    queue, head, tail, at, n, next_ones, i) {
        split("", back)
        queue[tail++] = from
        back[from] = from
        while (head < tail) {
            at = queue[head++]
            if (at == to) return 1
            n = split(calls[at], next_ones, " ")
            for (i = 1; i <= n; i++)
                if (!(next_ones[i] in back) && (!inside || room(next_ones[i]) == room(from))) {
                    back[next_ones[i]] = at
                    queue[tail++] = next_ones[i]
                }
        }
        return 0
    }
    # The circle that begins with the call from u to v, and goes on as back[] says, from its smallest member on.
    function circle_text(u, v,    way, n, i, at, first, text) {
        for (at = u; at != v; at = back[at]) way[n++] = at
        way[n++] = v
        first = 0
        for (i = 1; i < n; i++) if (way[i] < way[first]) first = i
        at = way[first]
        text = at
        for (i = 1; i <= n; i++) {
            u = way[(first - i + n) % n]
            text = text " -> " u " (" by[at, u] ")"
            at = u
        }
        return text
    }
    $2 == "+" { home[$3] = $1; modules[$1] }
    $2 == "-" { asked_by[++nasked] = $1; asked[nasked] = $3 }
    END {
        for (i = 1; i <= nasked; i++) {
            to = home[asked[i]]
            from = asked_by[i]
            if (to == "" || to == from || (from, to) in by) continue
            by[from, to] = asked[i]
            calls[from] = calls[from] " " to
            edges[++nedges] = from SUBSEP to
        }
        for (i = 1; i <= nedges; i++) {
            split(edges[i], edge, SUBSEP)
            inside = room(edge[1]) == room(edge[2])
            if (!find_way(edge[2], edge[1], inside)) continue
            text = circle_text(edge[1], edge[2])
            if (text in said) continue
            said[text]
            if (inside) {
                print "circles: within a room: " text
            } else {
                print "circles: through two rooms: " text
                bad = 1
            }
        }
        nmodules = 0
        for (m in modules) nmodules++
        if (!bad) printf "circles: %d modules, %d calls between them, none in a circle of rooms\n", nmodules, nedges
        exit bad
    }'
