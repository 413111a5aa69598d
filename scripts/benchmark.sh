#!/usr/bin/env bash
# Measures oxkeeper beside ZooKeeper 3.4.14 on this machine, in one run, and writes a table and pictures.
#
#   benchmark.sh [--quick] [--groups GROUP,...] [--only ROW,...] [--rounds N] [--seconds S] [--out DIR]
#   benchmark.sh --ours HOST:PORT,... --theirs HOST:PORT,...     two ensembles that run already
#
# Both are driven in alternation with the same load by `oxkeeper bench`. Without addresses the peers that the
# tests need are installed first (a JDK, and ZooKeeper's own jars); with addresses nothing is started. Results:
# DIR/table.md, DIR/*.svg, DIR/results.json (default DIR: ./benchmark).
#
# Groups (default: the first three, about half an hour on two cores):
#   small     throughput, latency, sessions, watches, start, failover, memory; 1 server and 3
#   million   a tree of 1,000,000 nodes: memory, start, writes beside a snapshot, failover
#   curves    pictures: share of reads, percentiles of latency, servers that are killed and return
#   scaling   tables: connections, size of values, size of the tree, size of the ensemble (ten minutes more)
# --only names rows by their keys, as results.json has them. --quick runs everything short and small. What fails
# stands in the table with its reason, and the rest goes on.
#
# Redis stands beside it as a yardstick if redis-server and redis-benchmark are installed.
#
# Environment: OXKEEPER_BIN the program (default: a release build of this tree).
#
# Exit codes: 0 all was measured; 1 something failed, see the table; 2 bad arguments.
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
