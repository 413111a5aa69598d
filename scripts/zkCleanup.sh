#!/usr/bin/env bash
# Removes old snapshots and transaction logs of the server whose configuration $ZOOCFG names (see zkEnv.sh):
#
#   zkCleanup.sh -n COUNT
#
# The COUNT newest snapshots stay, 3 at least, and the logs that they need. Prints what it removes.

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

choose_config ""
need_config
need_program
data_dir="$(config_value dataDir)"
data_log_dir="$(config_value dataLogDir)"
if [ -z "$data_dir" ]; then
    echo "$ZOOCFG sets no dataDir" >&2
    exit 2
fi
exec "$OXKEEPER_BIN" purge "${data_log_dir:-$data_dir}" "$data_dir" "$@"
