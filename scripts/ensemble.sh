#!/usr/bin/env bash
# Lays out and runs an ensemble of N servers on this machine, for trying out.
#
#   ensemble.sh up [N]            writes N configurations (default 3) unless they are there, starts all
#   ensemble.sh down              stops all, in order
#   ensemble.sh status            one line a server: process, role, last zxid
#   ensemble.sh start|stop|kill K starts one server, stops it in order, or kills it with -9
#   ensemble.sh restart K         kills it and starts it again
#   ensemble.sh logs [K]          follows the logs of all, or of one
#   ensemble.sh clean             stops all and removes everything
#
# Environment: ENSEMBLE_DIR where all of it lies (default ./ensemble), ENSEMBLE_PORT the first client port
# (default 21810; server K has +K, and +100 and +200 for the other servers), ENSEMBLE_OBSERVERS how many of the
# last servers only observe (default 0), OXKEEPER_BIN the program.


ZOOBINDIR="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=scripts/zkEnv.sh
. "$ZOOBINDIR/zkEnv.sh"

DIR="${ENSEMBLE_DIR:-$PWD/ensemble}"
PORT="${ENSEMBLE_PORT:-21810}"
OBSERVERS="${ENSEMBLE_OBSERVERS:-0}"

usage() {
    sed -n '2,15p' "${BASH_SOURCE[0]}" | sed -E 's/^# ?//' >&2
    exit 2
}

# The numbers of the servers that are laid out.
numbers() {
    for cfg in "$DIR"/*/zoo.cfg; do
        [ -e "$cfg" ] && basename "$(dirname "$cfg")"
    done | sort -n
}

lay_out() {
    local count="$1" k servers=""
    [ -n "$(numbers)" ] && return
    for k in $(seq 1 "$count"); do
        local role=""
        [ "$k" -gt $((count - OBSERVERS)) ] && role=":observer"
        servers+="server.$k=127.0.0.1:$((PORT + 100 + k)):$((PORT + 200 + k))$role"$'\n'
    done
    for k in $(seq 1 "$count"); do
        mkdir -p "$DIR/$k/data"
        echo "$k" >"$DIR/$k/data/myid"
        {
            printf 'tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%s\n' "$DIR/$k/data" $((PORT + k))
            [ "$k" -gt $((count - OBSERVERS)) ] && echo "peerType=observer"
            printf '%s' "$servers"
        } >"$DIR/$k/zoo.cfg"
    done
}

pid_of() {
    local pid
    pid="$(cat "$DIR/$1/pid" 2>/dev/null)" && kill -0 "$pid" 2>/dev/null && echo "$pid"
}

need_node() {
    [ -e "$DIR/${1:-}/zoo.cfg" ] || {
        echo "There is no server ${1:-} in $DIR; 'ensemble.sh up' lays servers out" >&2
        exit 2
    }
}

start_node() {
    [ -n "$(pid_of "$1")" ] && return
    "$OXKEEPER_BIN" server "$DIR/$1/zoo.cfg" >>"$DIR/$1/log" 2>&1 &
    echo $! >"$DIR/$1/pid"
    echo "server $1: started, client port $((PORT + $1)), log $DIR/$1/log"
}

stop_node() {
    local pid waited=0
    pid="$(pid_of "$1")" || return 0
    kill "${2:--TERM}" "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null && [ "$waited" -lt 600 ]; do
        sleep 0.05
        waited=$((waited + 1))
    done
    kill -0 "$pid" 2>/dev/null && {
        echo "server $1 (process $pid) does not end" >&2
        return 1
    }
    rm -f "$DIR/$1/pid"
    echo "server $1: ended"
}

# Asks a server a four-letter word.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$((PORT + $1))" || return
    printf '%s' "$2" >&3
    timeout 2 cat <&3
    exec 3>&-
} 2>/dev/null

status_node() {
    local pid answer mode zxid
    pid="$(pid_of "$1")"
    answer="$(ask "$1" srvr)"
    mode="$(sed -n 's/^Mode: //p' <<<"$answer")"
    zxid="$(sed -n 's/^Zxid: //p' <<<"$answer")"
    printf 'server %s: process %s, %s%s\n' "$1" "${pid:-none}" "${mode:-not serving}" "${zxid:+, zxid $zxid}"
}

# each FUNCTION [MORE]: calls it for every server, with the server's number before the rest.
each() {
    local k act="$1"
    shift
    for k in $(numbers); do "$act" "$k" "$@"; done
}

case "${1:-}" in
up)
    need_program
    lay_out "${2:-3}"
    each start_node
    ;;
down) each stop_node ;;
status) each status_node ;;
start)
    need_program
    need_node "${2:-}"
    start_node "$2"
    ;;
stop)
    need_node "${2:-}"
    stop_node "$2"
    ;;
kill)
    need_node "${2:-}"
    stop_node "$2" -KILL
    ;;
restart)
    need_program
    need_node "${2:-}"
    stop_node "$2" -KILL
    start_node "$2"
    ;;
logs)
    if [ -n "${2:-}" ]; then
        need_node "$2"
        exec tail -n 50 -F "$DIR/$2/log"
    fi
    exec tail -n 20 -F "$DIR"/*/log
    ;;
clean)
    each stop_node -KILL
    for k in $(numbers); do rm -rf "${DIR:?}/$k"; done
    rmdir "$DIR" 2>/dev/null || true
    ;;
*) usage ;;
esac
