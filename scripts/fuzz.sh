#!/usr/bin/env bash
# Fuzzes one target, or all of them in turn, guided by coverage:
#
#   scripts/fuzz.sh [TARGET|all] [SECONDS]     default: all, 60 seconds each
#
# A target is a place where bytes come in; tests/fuzz/targets/mod.rs lists them. It begins with tests/fuzz/corpus and
# keeps what it finds in target/fuzz-corpus, so that a later run goes on. An input that breaks a rule is left in
# tests/fuzz/artifacts: FUZZ_INPUT=<it> cargo test --test fuzz TARGET runs it again. What is mended goes into the corpus.
#
# Needs a nightly compiler (rustup toolchain install nightly), a C++ compiler, and cargo-fuzz, which is installed if it
# is missing. Without those, `FUZZ_RUNS=10000000 cargo test --release --test fuzz TARGET` runs mutations that no
# coverage guides.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted="${1:-all}"
seconds="${2:-60}"
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

targets="$(sed -n -E 's/^    target\("([a-z_]+)".*/\1/p' tests/fuzz/targets/mod.rs)"
if [ "$wanted" != all ]; then
    grep -qx -- "$wanted" <<<"$targets" || {
        echo "there is no target $wanted; there are ${targets//$'\n'/ }" >&2
        exit 2
    }
    targets="$wanted"
fi

target_dir="${CARGO_TARGET_DIR:-target}"
# No sanitizer: there is no unsafe code to find, and overflows are checked without one.
build=(--fuzz-dir tests/fuzz --target-dir "$target_dir/fuzz" --sanitizer none)
cargo +nightly fuzz build "${build[@]}" guided
failed=0
for target in $targets; do
    echo "== $target"
    found="$target_dir/fuzz-corpus/$target"
    longest="$(sed -n -E "s/^    target\(\"$target\", [a-z_:]+, ([0-9]+)\),/\1/p" tests/fuzz/targets/mod.rs)"
    mkdir -p "$found" tests/fuzz/artifacts
    FUZZ_TARGET="$target" cargo +nightly fuzz run "${build[@]}" guided "$found" "tests/fuzz/corpus/$target" -- \
        -artifact_prefix="tests/fuzz/artifacts/$target-" -max_len="$longest" -max_total_time="$seconds" \
        -rss_limit_mb=1024 -timeout=10 -verbosity="${FUZZ_VERBOSITY:-0}" -print_final_stats=1 2>&1 |
        grep -E -v '^stat::(new_units|slowest|peak)|^$' || failed=1
done
exit "$failed"
