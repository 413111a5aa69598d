#!/usr/bin/env bash
# Measures oxkeeper beside ZooKeeper 3.4.14 on this machine, in one run, and writes a table and pictures.
#
#   benchmark.sh [--quick] [--rounds N] [--seconds S] [--only ROW,...] [--out DIR]
#   benchmark.sh --ours HOST:PORT,... --theirs HOST:PORT,...     two ensembles that run already
#
# Both are driven in alternation with the same load by `oxkeeper bench`. Without addresses the peers that the
# tests need are installed first (a JDK, and ZooKeeper's own jars); with addresses nothing is started. Results:
# DIR/table.md, DIR/*.svg, DIR/results.json (default DIR: ./benchmark).
#
# Environment: OXKEEPER_BIN the program (default: a release build of this tree).
#
# Exit codes: 0 measured; 1 a server did not start, or an answer was wrong; 2 bad arguments.
set -euo pipefail

HERE="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
case "${1:-}" in
-h | --help)
    sed -n '2,/^set/{/^set/!p}' "${BASH_SOURCE[0]}" | sed -E 's/^# ?//'
    exit 0
    ;;
esac
if [ -z "${OXKEEPER_BIN:-}" ]; then
    cargo build --release --manifest-path "$HERE/../Cargo.toml" >&2
    OXKEEPER_BIN="${CARGO_TARGET_DIR:-$HERE/../target}/release/oxkeeper"
fi
export OXKEEPER="$OXKEEPER_BIN"
case " $* " in
*" --theirs"*) ;;
*) "$HERE/../tests/interop/install.sh" >&2 ;;
esac
exec python3 "$HERE/../tests/benchmark/compare.py" "$@"
