#!/usr/bin/env bash
# Lays out and runs an ensemble of N servers on this machine, for trying out.
#
#   ensemble.sh up [N]            writes N configurations (1 to 99, default 3) unless they are there, starts all
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
#
# Exit codes: 0 done, or nothing to do; 1 a server did not start or end, or status found one that does not serve;
# 2 bad arguments.

ZOOBINDIR="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
# shellcheck source=scripts/zkEnv.sh
. "$ZOOBINDIR/zkEnv.sh" || exit 1

DIR="${ENSEMBLE_DIR:-$PWD/ensemble}"
case "$DIR" in
/*) ;;
*) DIR="$PWD/$DIR" ;;
esac
PORT="${ENSEMBLE_PORT:-21810}"
OBSERVERS="${ENSEMBLE_OBSERVERS:-0}"

usage() {
    sed -n '2,/^$/p' "${BASH_SOURCE[0]}" | sed -E 's/^# ?//'
}

# refuse WORDS...: what the caller asks for cannot be.
refuse() {
    echo "ensemble.sh: $*" >&2
    exit 2
}

# need_number WHAT VALUE LEAST MOST
need_number() {
    case "$2" in
    "" | *[!0-9]* | ??????*) refuse "$1 '$2': must be a number from $3 to $4" ;;
    esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        refuse "$1 $2: must be a number from $3 to $4"
    fi
}

# The numbers of the servers that are laid out.
numbers() {
    for cfg in "$DIR"/*/zoo.cfg; do
        [ -e "$cfg" ] && basename "$(dirname "$cfg")"
    done | sort -n
}

lay_out() {
    local count="$1" there k role servers=""
    there="$(numbers | wc -l)"
    if [ "$there" -gt 0 ]; then
        if [ -n "$count" ] && [ "$count" != "$there" ]; then
            refuse "$there servers are laid out in $DIR already; 'ensemble.sh clean' removes them"
        fi
        return
    fi
    count="${count:-3}"
    need_number ENSEMBLE_PORT "$PORT" 1 65200
    need_number ENSEMBLE_OBSERVERS "$OBSERVERS" 0 $((count - 1))
    for k in $(seq 1 "$count"); do
        role=""
        [ "$k" -gt $((count - OBSERVERS)) ] && role=":observer"
        servers+="server.$k=127.0.0.1:$((PORT + 100 + k)):$((PORT + 200 + k))$role"$'\n'
    done
    for k in $(seq 1 "$count"); do
        mkdir -p "$DIR/$k/data" && echo "$k" >"$DIR/$k/data/myid" || exit 1
        {
            printf 'tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%s\n' "$DIR/$k/data" $((PORT + k))
            [ "$k" -gt $((count - OBSERVERS)) ] && echo "peerType=observer"
            printf '%s' "$servers"
        } >"$DIR/$k/zoo.cfg"
    done
}

# The process of a server that runs. Its number may have gone to another program since it was written.
pid_of() {
    local pid words
    pid="$(cat "$DIR/$1/pid" 2>/dev/null)"
    kill -0 "${pid:-none}" 2>/dev/null || return 1
    if [ -r "/proc/$pid/cmdline" ]; then
        words="$(tr '\0' ' ' <"/proc/$pid/cmdline")"
    else
        words="$(ps -p "$pid" -o args= 2>/dev/null)"
    fi
    case "$words" in
    *"server $DIR/$1/zoo.cfg"*) echo "$pid" ;;
    *) return 1 ;;
    esac
}

port_of() {
    sed -n 's/^clientPort=//p' "$DIR/$1/zoo.cfg"
}

need_node() {
    case "${1:-}" in
    "") refuse "which server? $(numbers | paste -sd ' ')" ;;
    */* | .*) refuse "there is no server $1" ;;
    esac
    [ -e "$DIR/$1/zoo.cfg" ] || refuse "there is no server $1 in $DIR; 'ensemble.sh up' lays servers out"
}

need_nodes() {
    [ -n "$(numbers)" ] || refuse "there are no servers in $DIR; 'ensemble.sh up' lays some out"
}

start_node() {
    local pid
    if pid="$(pid_of "$1")"; then
        echo "server $1: already running as process $pid"
        return
    fi
    nohup "$OXKEEPER_BIN" server "$DIR/$1/zoo.cfg" >>"$DIR/$1/log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$DIR/$1/pid"
    # What is wrong with a port or a directory shows at once; the port of the clients opens before any election.
    for _ in $(seq 100); do
        sleep 0.1
        if ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid"
            echo "server $1: did not start (exit code $?); the end of $DIR/$1/log:" >&2
            tail -n 3 "$DIR/$1/log" >&2
            rm -f "$DIR/$1/pid"
            return 1
        fi
        [ -n "$(ask "$1" ruok)" ] && break
    done
    echo "server $1: started, client port $(port_of "$1"), log $DIR/$1/log"
}

stop_node() {
    local pid waited=0
    if ! pid="$(pid_of "$1")"; then
        echo "server $1: is not running"
        rm -f "$DIR/$1/pid"
        return
    fi
    kill "${2:--TERM}" "$pid" 2>/dev/null
    # One that is stopped hears nothing but -9.
    [ "${2:--TERM}" = -TERM ] && kill -CONT "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$waited" -ge 600 ]; then
            echo "server $1: process $pid does not end" >&2
            return 1
        fi
        sleep 0.05
        waited=$((waited + 1))
    done
    rm -f "$DIR/$1/pid"
    echo "server $1: ended"
}

# Asks a server a four-letter word.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$1")" || return
    printf '%s' "$2" >&3
    timeout 2 cat <&3
    exec 3>&-
} 2>/dev/null

status_node() {
    local pid answer="" mode zxid
    # Another program may have the port.
    pid="$(pid_of "$1")" && answer="$(ask "$1" srvr)"
    mode="$(sed -n 's/^Mode: //p' <<<"$answer")"
    zxid="$(sed -n 's/^Zxid: //p' <<<"$answer")"
    printf 'server %s: process %s, %s%s\n' "$1" "${pid:-none}" "${mode:-not serving}" "${zxid:+, zxid $zxid}"
    [ -n "$mode" ]
}

# each FUNCTION [MORE]: calls it for every server, with the server's number before the rest; fails if one does.
each() {
    local k act="$1" failed=0
    shift
    for k in $(numbers); do "$act" "$k" "$@" || failed=1; done
    return "$failed"
}

# How many words may follow the command.
case "${1:-}" in
up | logs) most=2 ;;
start | stop | kill | restart) most=2 ;;
*) most=1 ;;
esac
[ "$#" -le "$most" ] || refuse "too many arguments behind '$1'; 'ensemble.sh help' tells more"

case "${1:-}" in
up)
    need_program
    [ -z "${2:-}" ] || need_number "up" "$2" 1 99
    lay_out "${2:-}"
    each start_node
    ;;
down)
    need_nodes
    each stop_node
    ;;
status)
    need_nodes
    each status_node
    ;;
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
    stop_node "$2" -KILL && start_node "$2"
    ;;
logs)
    if [ -n "${2:-}" ]; then
        need_node "$2"
        exec tail -n 50 -F "$DIR/$2/log"
    fi
    need_nodes
    exec tail -n 20 -F "$DIR"/*/log
    ;;
clean)
    each stop_node -KILL || exit 1
    for k in $(numbers); do rm -rf "${DIR:?}/$k"; done
    rmdir "$DIR" 2>/dev/null || true
    ;;
help | -h | --help) usage ;;
"")
    usage >&2
    exit 2
    ;;
*) refuse "there is no command '$1'; 'ensemble.sh help' tells more" ;;
esac
