#!/usr/bin/env bash
# Simulates ensembles under faults: whole worlds in one thread each, every one from a seed (tests/sim/).
#
#   scripts/simulate.sh                 one minute
#   scripts/simulate.sh --minutes 60    as many seeds as an hour has time for
#   scripts/simulate.sh --seeds 1000    so many; --from 5000 begins elsewhere
#   scripts/simulate.sh --seed 42       one again, line by line
#   scripts/simulate.sh --failures 20   goes on until so many have failed, not only one
#   scripts/simulate.sh --mutations     proves that the checkers notice faults that are built in on purpose
#
# A world that breaks a promise ends the run: its seed, its plan of faults and its table of state changes are shown.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=promises_hold_from_every_seed features=()
export OXKEEPER_SIM_MINUTES=1
while [ $# -gt 0 ]; do
    case $1 in
        --minutes) export OXKEEPER_SIM_MINUTES=${2:?}; shift ;;
        --seeds) export OXKEEPER_SIM_SEEDS=${2:?}; unset OXKEEPER_SIM_MINUTES; shift ;;
        --seed) export OXKEEPER_SIM_SEED=${2:?}; shift ;;
        --failures) export OXKEEPER_SIM_FAILURES=${2:?}; shift ;;
        --from) export OXKEEPER_SIM_FROM=${2:?}; shift ;;
        --mutations)
            # A build of its own: the usual one stays without faults.
            export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/seeded-faults"
            tests=every_seeded_fault features=(--features seeded-faults)
            ;;
        *) sed -n '2,12s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
exec cargo test --release --locked "${features[@]}" --test sim "$tests" -- --nocapture
