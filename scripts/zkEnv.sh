# Sourced by the other scripts; sets, from the environment and from what lies beside it:
#
#   ZOOBINDIR       the directory of the scripts, symbolic links followed
#   ZOOCFGDIR       the directory of the configuration: what the caller says, else ../conf, else /etc/zookeeper
#   ZOOCFG          the configuration: a name in ZOOCFGDIR, or a path (default: zoo.cfg)
#   ZOO_LOG_DIR     where zookeeper.out and log files go (default: the working directory)
#   ZOO_LOG4J_PROP  level and appenders of the log (default: INFO,CONSOLE)
#   OXKEEPER_BIN    the program: what the caller says, else ../target/release, ../bin, or the PATH
#
# $ZOOCFGDIR/zookeeper-env.sh and $ZOOCFGDIR/java.env are sourced if they are there, as by ZooKeeper's own
# scripts; SERVER_JVMFLAGS and JVMFLAGS may be set in them.
# shellcheck shell=bash

# Prints the program's path, or says how to get it.
find_program() {
    local candidate
    for candidate in "$ZOOBINDIR/../target/release/oxkeeper" "$ZOOBINDIR/../bin/oxkeeper"; do
        if [ -x "$candidate" ]; then
            echo "$(cd "$(dirname "$candidate")" && pwd)/oxkeeper"
            return
        fi
    done
    command -v oxkeeper
}

# config_value KEY: prints the last value of a key in $ZOOCFG, without the blanks around it.
config_value() {
    local key="${1//./\\.}"
    sed -n -E "s/^[[:space:]]*$key([[:space:]]*[=:]|[[:space:]])[[:space:]]*//p" "$ZOOCFG" |
        sed -E 's/[[:space:]]+$//' | tail -n 1
}

# Ends the script unless the configuration can be read.
need_config() {
    if [ ! -f "$ZOOCFG" ] || [ ! -r "$ZOOCFG" ]; then
        echo "Cannot read the configuration $ZOOCFG: copy conf/zoo_sample.cfg to it, or name another" >&2
        exit 2
    fi
}

# Ends the script unless there is a program to run.
need_program() {
    if [ -z "$OXKEEPER_BIN" ] || ! command -v "$OXKEEPER_BIN" >/dev/null; then
        echo "Cannot find the program oxkeeper: build it with 'cargo build --release', or set OXKEEPER_BIN" >&2
        exit 1
    fi
}

# choose_config ARGUMENT: sets ZOOCFG to a path, from a script's argument or from the environment.
choose_config() {
    local wanted="${1:-$ZOOCFG}"
    case "$wanted" in
    "")
        ZOOCFG="$ZOOCFGDIR/zoo.cfg"
        if [ ! -e "$ZOOCFG" ] && [ -e "$ZOOCFGDIR/zoo_sample.cfg" ]; then
            echo "There is no $ZOOCFG; the sample beside it is used" >&2
            ZOOCFG="$ZOOCFGDIR/zoo_sample.cfg"
        fi
        ;;
    */*) ZOOCFG="$wanted" ;;
    *) ZOOCFG="$ZOOCFGDIR/$wanted" ;;
    esac
}

# server_properties: sets SERVER_PROPERTIES to the -D words of the log. What the flags say of it wins.
server_properties() {
    local flags=" $SERVER_JVMFLAGS $JVMFLAGS "
    SERVER_PROPERTIES=()
    case "$flags" in
    *" -Dzookeeper.log.dir="*) ;;
    *) SERVER_PROPERTIES+=("-Dzookeeper.log.dir=$ZOO_LOG_DIR") ;;
    esac
    case "$flags" in
    *" -Dzookeeper.root.logger="*) ;;
    *) SERVER_PROPERTIES+=("-Dzookeeper.root.logger=$ZOO_LOG4J_PROP") ;;
    esac
}

# Whoever sources this has followed the links to it.
ZOOBINDIR="$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ -z "$ZOOCFGDIR" ]; then
    if [ -d "$ZOOBINDIR/../conf" ]; then
        ZOOCFGDIR="$(cd "$ZOOBINDIR/../conf" && pwd)"
    else
        ZOOCFGDIR=/etc/zookeeper
    fi
fi
for file in zookeeper-env.sh java.env; do
    if [ -f "$ZOOCFGDIR/$file" ]; then
        # shellcheck source=/dev/null
        . "$ZOOCFGDIR/$file"
    fi
done
unset file
ZOO_LOG_DIR="${ZOO_LOG_DIR:-.}"
ZOO_LOG4J_PROP="${ZOO_LOG4J_PROP:-INFO,CONSOLE}"
OXKEEPER_BIN="${OXKEEPER_BIN:-$(find_program)}"
# The files above may have set them without exporting them.
export SERVER_JVMFLAGS JVMFLAGS CLIENT_JVMFLAGS
