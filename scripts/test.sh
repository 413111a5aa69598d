#!/usr/bin/env bash
# Installs what the tests need, then runs all of them: style, units, whole-server tests, real clients and Java.
#
#   scripts/test.sh          everything, as CI does
#   scripts/test.sh quick    without the real clients (cargo alone)
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

if [ "${1:-all}" = quick ]; then
    export OXKEEPER_NO_JAVA=1
else
    step "what the tests need"
    tests/interop/install.sh
fi

step "style"
cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings

step "build"
cargo build --release --locked

step "units and whole-server tests"
cargo test --release --locked

if [ "${1:-all}" != quick ]; then
    step "real clients and Java"
    tests/interop/run.sh
fi
