#!/usr/bin/env bash
# Runs every check one after the other, says how long each took, and at the end what was measured, skipped and failed.
# Called by `make test`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

LANWARD_TEST_NOTES=$(mktemp)
export LANWARD_TEST_NOTES
trap 'rm -f "$LANWARD_TEST_NOTES"' EXIT
failed=()

# The packet tests wait more than they compute: more of them at once than there are processors.
threads=6
# As many as are promised; a single run of the test does fewer.
export LANWARD_RELOADS=${LANWARD_RELOADS:-1000}

part() { # NAME COMMAND...
	local name=$1 began=$SECONDS
	shift
	echo "== $name"
	if "$@"; then
		echo "== $name: passed in $((SECONDS - began)) s"
	else
		echo "== $name: FAILED after $((SECONDS - began)) s"
		failed+=("$name")
	fi
}

tests() {
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --workspace --test-threads $threads --status-level fail --final-status-level fail --show-progress none && cargo test --workspace --doc --quiet
	else
		cargo test --workspace --quiet -- --test-threads $threads
	fi
}

part 'lint' make --no-print-directory lint
part 'build' cargo build --workspace --all-targets --quiet
part 'tests' tests

echo
sort -u "$LANWARD_TEST_NOTES"
if [ "${#failed[@]}" -gt 0 ]; then
	echo "FAILED after $SECONDS s: ${failed[*]}"
	exit 1
fi
echo "passed in $SECONDS s"
