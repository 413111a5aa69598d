#!/usr/bin/env bash
# All interop suites against oxkeeper, with a time limit on each; the last line
# counts all of them. One suite alone is run by its own name.
#
#   run.sh              installs the peers first, builds oxkeeper unless
#                       $OXKEEPER names a binary
set -uo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
LIMIT_S=400
SUITES=(starts.py raw_frames.py newer_operations.py transcripts.py clients.py disk_both_ways.py snapshots_under_load.py
    kill_under_load.py ensemble.py newer_ensemble.py modes.py "kazoo_suite.py oxkeeper --processes 4"
    "kazoo_suite.py oxkeeper --servers 3 --processes 3 --modules test_client,test_connection,test_lock")

SUITES+=(sasl.py)
SUITES+=(tls.py quorum_tls.py)

# As clients of 3.8. The test left out wants TLS with certificates of X.509 version 1, which are refused.
SUITES+=("kazoo_suite.py oxkeeper --version 3.8 --processes 4 --without TestSSLClient")

# The tools beside the server.
SUITES+=(terminal.py files.py newer_cli.py)

# The way from Java and back, as the guide tells it.
SUITES+=(migration.py)

"$HERE/install.sh" || exit 1
if [ -z "${OXKEEPER:-}" ]; then
    cargo build --release --manifest-path "$HERE/../../Cargo.toml" || exit 1
    export OXKEEPER="${CARGO_TARGET_DIR:-$HERE/../../target}/release/oxkeeper"
fi

passed=0 failed=0
output="$(mktemp)"
trap 'rm -f "$output"' EXIT
for suite in "${SUITES[@]}"; do
    echo "== $suite"
    # A suite's options are words of their own.
    # shellcheck disable=SC2086
    timeout "$LIMIT_S" python3 "$HERE/"$suite 2>&1 | tee "$output" \
        | sed -u -E 's/^([0-9]+ passed, [0-9]+ failed)$/   \1/'
    status=${PIPESTATUS[0]}
    counts="$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$output" | tail -1)"
    if [[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        [ "$status" -ne 0 ] && [ "${BASH_REMATCH[2]}" -eq 0 ] && failed=$((failed + 1))
    else
        echo "FAILED $suite: no result (exit code $status; 124 is the time limit of $LIMIT_S s)"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
