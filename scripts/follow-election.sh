#!/usr/bin/env bash
# Shows the elections of an ensemble as they happen, from the logs of its servers, oxkeeper's or Java's:
#
#   follow-election.sh [--once] [OPTIONS] [[N=]LOG...]
#
# Without a LOG it takes those of the servers that ensemble.sh has laid out in $ENSEMBLE_DIR (default ./ensemble).
# --once tells what is there and ends. The options are those of 'oxkeeper rounds'; --help prints them.

here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
# shellcheck source=scripts/zkEnv.sh
. "$here/zkEnv.sh" || exit 1

follow=(--follow)
if [ "${1:-}" = --once ]; then
    follow=()
    shift
fi
need_program
exec "$OXKEEPER_BIN" rounds "${follow[@]}" --ensemble "${ENSEMBLE_DIR:-$PWD/ensemble}" "$@"
