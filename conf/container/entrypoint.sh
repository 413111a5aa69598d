#!/usr/bin/env bash
# Writes zoo.cfg and myid from the variables of the official image of ZooKeeper unless they are there, and becomes
# the program. A zoo.cfg that is mounted is used as it is.
set -eu

CONFIG="${ZOO_CONF_DIR:=/conf}/zoo.cfg"
if [ ! -f "$CONFIG" ]; then
    {
        echo "clientPort=${ZOO_PORT:-2181}"
        echo "dataDir=${ZOO_DATA_DIR:=/data}"
        echo "dataLogDir=${ZOO_DATA_LOG_DIR:=/datalog}"
        echo "tickTime=${ZOO_TICK_TIME:-2000}"
        echo "initLimit=${ZOO_INIT_LIMIT:-5}"
        echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
        echo "autopurge.snapRetainCount=${ZOO_AUTOPURGE_SNAPRETAINCOUNT:-3}"
        echo "autopurge.purgeInterval=${ZOO_AUTOPURGE_PURGEINTERVAL:-0}"
        echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
        for server in ${ZOO_SERVERS:-}; do
            # Later images write the client's port behind a semicolon; here it has its own key.
            echo "${server%%;*}"
        done
    } >"$CONFIG"
fi
if [ ! -f "${ZOO_DATA_DIR:=/data}/myid" ]; then
    echo "${ZOO_MY_ID:-1}" >"$ZOO_DATA_DIR/myid"
fi
exec "$@"
