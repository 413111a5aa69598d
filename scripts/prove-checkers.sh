#!/usr/bin/env bash
# Proves that the history check (tests/it/history/) notices what it is there for: builds the servers with faults that
# are switched on one by one, and expects a broken promise each time. Prints a table.
#
#   scripts/prove-checkers.sh                     all faults that show in real processes, up to 3 seeds of 60 s each
#   scripts/prove-checkers.sh -s 120 -n 5         longer, more seeds
#   scripts/prove-checkers.sh WatchLost           some of them
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60 seeds=3
while getopts s:n: option; do
    case $option in
        s) seconds=$OPTARG ;;
        n) seeds=$OPTARG ;;
        *) sed -n '2,8s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))

# A build of its own: the usual one stays without faults.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/seeded-faults"
faults=("$@")
if [ ${#faults[@]} -eq 0 ]; then
    # These show only if something befalls one server, or all, in a certain millisecond: scenarios of the simulator have
    # it come then (scripts/simulate.sh --mutations).
    mapfile -t faults < <(sed -n '/pub const ALL/,/];/s/^ *SeededFault::\(.*\),$/\1/p' src/seeded_fault.rs |
        grep -vx -e AckNewLeaderBeforeSync -e EpochBeforeSync -e AcceptedInMemory -e HalfTreeKept \
            -e KeepNewerSnapshots -e LastRecordLost -e MoveUnnoticed)
fi
cargo test --features seeded-faults --locked --test it --no-run

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { # fault seed
    local test=promises_hold_under_faults
    # A replaced leader whose clients write answers no sync, whatever it believes: their writes are never decided. So
    # the history shows this one too rarely, and it has a test of its own.
    [ "$1" != SyncUnproven ] || test=answers_no_sync_from_the_past
    OXKEEPER_SEEDED_FAULT=$1 OXKEEPER_HISTORY_SEED=$2 OXKEEPER_HISTORY_SECONDS=$seconds \
        cargo test --features seeded-faults --locked --test it "$test" -- --nocapture >"$log" 2>&1
}

survivors=()
printf '%-26s %-6s %-8s %s\n' fault seeds seconds promise
for fault in "${faults[@]}"; do
    for seed in $(seq 1 "$seeds"); do
        run "$fault" "$seed" && continue
        if [ "$fault" = SyncUnproven ] && grep -q 'Ok(Ok(())), then Ok(Err(' "$log"; then
            printf '%-26s %-6s %-8s %s\n' "$fault" "$seed" - 'no sync from the past'
            continue 2
        fi
        if ! grep -q 'violations after' "$log"; then
            echo "$fault: the run failed otherwise:" >&2
            cat "$log" >&2
            exit 1
        fi
        after=$(sed -n 's/.* violations after \([0-9]*\) s.*/\1/p' "$log" | head -1)
        promise=$(sed -n '/ violations after /{n;p;}' "$log" | head -1 | cut -c1-110)
        kept=$(sed -n 's/.*everything is kept in //p' "$log" | head -1)
        rm -rf "${kept:?}"
        printf '%-26s %-6s %-8s %s\n' "$fault" "$seed" "$after" "$promise"
        continue 2
    done
    printf '%-26s %-6s %-8s %s\n' "$fault" "$seeds" - 'NOT NOTICED'
    survivors+=("$fault")
done

if ! run "" 1; then
    echo "without a fault a promise is broken as well:" >&2
    cat "$log" >&2
    exit 1
fi
echo "without a fault no promise is broken"
[ ${#survivors[@]} -eq 0 ] || { echo "not noticed: ${survivors[*]}" >&2; exit 1; }
