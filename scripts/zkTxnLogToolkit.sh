#!/usr/bin/env bash
# Prints a transaction log, or writes a copy of it whose checksums are right:
#
#   zkTxnLogToolkit.sh [-dhrvy] LOG
#
# `zkTxnLogToolkit.sh --help` says more. The log itself is never changed.

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

need_program
exec "$OXKEEPER_BIN" txnlog "$@"
