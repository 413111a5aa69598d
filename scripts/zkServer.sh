#!/usr/bin/env bash
# Starts and stops a server:
#
#   zkServer.sh {start|start-foreground|stop|restart|status|upgrade|print-cmd} [CONFIG]
#
# CONFIG is a name in $ZOOCFGDIR, or a path; zkEnv.sh tells what else the environment can say. Besides:
#
#   ZOOPIDFILE        the file with the process number (default: zookeeper_server.pid in dataDir)
#   ZOO_STOP_SECONDS  how long stop waits for an orderly end before it kills (default: 60)
#   ZOO_NOEXEC        if not empty, start-foreground keeps this shell as the parent of the server
#
# Exit codes: 0 done, or nothing to do; 1 it failed, or status found no server; 2 bad usage or configuration.
# start-foreground ends with the server's own code.

USAGE="Usage: $0 {start|start-foreground|stop|restart|status|upgrade|print-cmd} [config]"

case "$1" in
start | start-foreground | stop | restart | status | upgrade | print-cmd) ;;
*)
    echo "$USAGE" >&2
    exit 2
    ;;
esac

here="${BASH_SOURCE[0]}"
while [ -L "$here" ]; do
    link="$(readlink "$here")"
    case "$link" in
    /*) here="$link" ;;
    *) here="$(dirname "$here")/$link" ;;
    esac
done
# shellcheck source=scripts/zkEnv.sh
. "$(dirname "$here")/zkEnv.sh" || exit 1

# Sets ZOOPIDFILE and makes its directory if that is called for.
choose_pid_file() {
    if [ -z "$ZOOPIDFILE" ]; then
        need_config
        local data_dir
        data_dir="$(config_value dataDir)"
        if [ -z "$data_dir" ]; then
            echo "$ZOOCFG sets no dataDir" >&2
            exit 2
        fi
        ZOOPIDFILE="$data_dir/zookeeper_server.pid"
    fi
}

# Whether the process is a server. Its number may have gone to another program since it was written.
is_server() {
    local words
    case "$1" in
    "" | *[!0-9]*) return 1 ;;
    esac
    kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ] || return 1
    if [ -r "/proc/$1/cmdline" ]; then
        words="$(tr '\0' ' ' <"/proc/$1/cmdline")"
    else
        words="$(ps -p "$1" -o args= 2>/dev/null)"
    fi
    case " $words" in
    *[/\ ]"$(basename "$OXKEEPER_BIN") server "* | *[/\ ]"oxkeeper server "*) return 0 ;;
    *" org.apache.zookeeper.server."*) return 0 ;;
    *) return 1 ;;
    esac
}

pid_in_file() {
    [ -f "$ZOOPIDFILE" ] && head -n 1 "$ZOOPIDFILE"
}

start() {
    local pid out="$ZOO_LOG_DIR/zookeeper.out"
    need_config
    need_program
    choose_pid_file
    mkdir -p "$(dirname "$ZOOPIDFILE")" "$ZOO_LOG_DIR" || exit 1
    echo -n "Starting zookeeper ... "
    pid="$(pid_in_file)"
    if is_server "$pid"; then
        echo "already running as process $pid."
        exit 0
    fi
    server_properties
    nohup "$OXKEEPER_BIN" server "${SERVER_PROPERTIES[@]}" "$ZOOCFG" >"$out" 2>&1 </dev/null &
    pid=$!
    if ! echo -n "$pid" 2>/dev/null >"$ZOOPIDFILE"; then
        kill "$pid" 2>/dev/null
        echo "FAILED TO WRITE PID to $ZOOPIDFILE"
        exit 1
    fi
    # What is wrong with a configuration, a directory or a port shows at once.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid"
            echo "SERVER DID NOT START (exit code $?); the end of $out:"
            rm -f "$ZOOPIDFILE"
            tail -n 5 "$out"
            exit 1
        fi
        sleep 0.1
    done
    echo STARTED
}

start_foreground() {
    need_config
    need_program
    server_properties
    if [ -n "$ZOO_NOEXEC" ]; then
        "$OXKEEPER_BIN" server "${SERVER_PROPERTIES[@]}" "$ZOOCFG"
    else
        exec "$OXKEEPER_BIN" server "${SERVER_PROPERTIES[@]}" "$ZOOCFG"
    fi
}

print_command() {
    local word
    need_program
    server_properties
    printf '"%s" server' "$OXKEEPER_BIN"
    for word in "${SERVER_PROPERTIES[@]}" "$ZOOCFG"; do
        printf ' "%s"' "$word"
    done
    printf ' > "%s" 2>&1 < /dev/null\n' "$ZOO_LOG_DIR/zookeeper.out"
}

# ends_within PID SECONDS: waits for the end of a process.
ends_within() {
    local tenths=$(($2 * 10))
    while is_server "$1"; do
        if [ "$tenths" -le 0 ]; then
            return 1
        fi
        tenths=$((tenths - 1))
        sleep 0.1
    done
}

stop() {
    local pid
    choose_pid_file
    echo -n "Stopping zookeeper ... "
    if [ ! -f "$ZOOPIDFILE" ]; then
        echo "no zookeeper to stop (could not find file $ZOOPIDFILE)"
        return
    fi
    pid="$(pid_in_file)"
    if ! is_server "$pid"; then
        echo "no zookeeper to stop (process ${pid:-of an empty pid file} is gone; removed $ZOOPIDFILE)"
        rm -f "$ZOOPIDFILE"
        return
    fi
    if ! kill -TERM "$pid"; then
        echo "FAILED: process $pid cannot be signalled"
        exit 1
    fi
    if ! ends_within "$pid" "${ZOO_STOP_SECONDS:-60}"; then
        echo -n "still running after ${ZOO_STOP_SECONDS:-60} s, killed ... "
        kill -KILL "$pid"
        if ! ends_within "$pid" 10; then
            echo "FAILED: process $pid cannot be killed"
            exit 1
        fi
    fi
    rm -f "$ZOOPIDFILE"
    echo STOPPED
}

status() {
    local host port mode
    need_config
    host="$(config_value clientPortAddress)"
    port="$(config_value clientPort)"
    # shellcheck disable=SC2016 # the inner shell expands $0 and $1
    mode="$(timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1" && printf srvr >&3 && cat <&3' \
        "${host:-localhost}" "$port" 2>/dev/null | grep '^Mode: ')"
    if [ -z "$mode" ]; then
        echo "Error contacting service. It is probably not running."
        exit 1
    fi
    echo "$mode"
}

upgrade() {
    echo "Upgrading: nothing to do. The data directories of ZooKeeper 3.1 to 3.4 are used as they are."
}

if [ "$1" != upgrade ]; then
    choose_config "$2"
    echo "Using config: $ZOOCFG" >&2
fi
case "$1" in
start) start ;;
start-foreground) start_foreground ;;
stop) stop ;;
restart)
    stop
    start
    ;;
status) status ;;
upgrade) upgrade ;;
print-cmd) print_command ;;
esac
