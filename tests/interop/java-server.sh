#!/usr/bin/env bash
# Runs a Java ZooKeeper 3.4.14 in the foreground, as this very process:
#
#   java-server.sh <zoo.cfg>                             (QuorumPeerMain)
#   java-server.sh <port> <dataDir> [tickTime] [maxCnxns] (ZooKeeperServerMain)
#   java-server.sh --classpath                           (prints the class path)
#
# Its log goes to stdout. JVMFLAGS is handed to the JVM, for example
# JVMFLAGS="-Dzookeeper.snapCount=100". The jars are those of install.sh, and
# OXKEEPER_PEERS says where, as there. Exit code 69 means: run install.sh first.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
JARS="${OXKEEPER_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/oxkeeper-peers}/jars"

if [ ! -s "$JARS/zookeeper-3.4.14.jar" ] || ! command -v java >/dev/null; then
    echo "$JARS has no ZooKeeper 3.4.14, or there is no java: run $HERE/install.sh first" >&2
    exit 69
fi
# The directory itself is for log4j.properties, the rest for the classes.
CLASSPATH="$HERE/log4j:$JARS/*"
if [ "${1:-}" = --classpath ]; then
    echo "$CLASSPATH"
    exit 0
fi
main=org.apache.zookeeper.server.quorum.QuorumPeerMain
[ $# -gt 1 ] && main=org.apache.zookeeper.server.ZooKeeperServerMain

# The two -XX make a small server start in half the time. Files in UTF-8, as
# oxkeeper reads them whatever the locale is.
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dfile.encoding=UTF-8 \
    -Djava.awt.headless=true -Dzookeeper.jmx.log4j.disable=true ${JVMFLAGS:-} \
    -cp "$CLASSPATH" "$main" "$@"
