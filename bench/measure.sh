#!/bin/sh
# Measure everything that docs/performance.md shows: results to bench/results, pictures to
# docs/pictures. About an hour and a half, on a quiet machine with two cores or more:
#
#   bench/measure.sh [ENGINE...]        (uring native epoll)
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- uring native epoll
engines=
for engine; do engines="$engines --engine $engine"; done

# measure NAME VERB [OPTION...]
measure() {
    name=$1
    shift
    # shellcheck disable=SC2086  # one word an option
    jackfield bench "$@" $engines --save "$name" --plot "docs/pictures/bench-$name.png"
}

measure echo echo
measure fanout fanout
measure fanout-one fanout --senders 1 --in-flight 1 --service chat --service room \
    --peer uvloop --peer c-send-loop
measure accept accept
measure udp udp
measure idle idle --rounds 3
measure latency latency
measure start start --engine auto

# Growth: the peer that comes closest, and the limit; fewer rounds of many numbers.
measure echo-connections echo --grow connections --rounds 3 --peer uvloop --peer c-epoll
measure echo-size echo --grow size --rounds 3 --peer uvloop --peer c-epoll
measure fanout-members fanout --grow members --rounds 3 --peer redis --peer c-send-loop
measure udp-size udp --size 16,64,256,1024,4096,16384 --rounds 3 --peer uvloop --peer c-mmsg
measure idle-connections idle --connections 1000,5000,15000 --rounds 3 \
    --peer uvloop --peer c-epoll
