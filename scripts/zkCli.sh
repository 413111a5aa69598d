#!/usr/bin/env bash
# The command line client:
#
#   zkCli.sh [-server HOST:PORT,...] [options] [command [arguments]]
#
# `zkCli.sh --help` lists options and commands. Of CLIENT_JVMFLAGS and JVMFLAGS the file of names and passwords has an
# effect: -Djava.security.auth.login.config=FILE, whose section Client says who this is (SASL).

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
exec "$OXKEEPER_BIN" cli "$@"
