#!/usr/bin/env bash
# Runs every check one after the other and says how long each took; at its end what was measured and what was skipped and why, and as its
# last line how many checks passed and failed. Called by `make test`. What a part prints is shown if it fails.
#
# Tests that wait for a kernel, for packets or for another program have a second try, for a machine that was busy elsewhere is no fault of ours. What
# they said at the first is shown all the same, and the end names them. What only computes has none, and more than three of them are no coincidence.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
exec </dev/null
built=${CARGO_TARGET_DIR:-target}/debug

# As many reloads as are promised, and more cases of the properties; a single run of a test does fewer.
export LANWARD_RELOADS=${LANWARD_RELOADS:-1000}
# As many restarts of tunnels as a minute allows.
export LANWARD_RESTARTS=${LANWARD_RESTARTS:-500}
# A million sources for each flood.
export LANWARD_FLOOD_SOURCES=${LANWARD_FLOOD_SOURCES:-1000000}
export PROPTEST_CASES=${PROPTEST_CASES:-1024}
# And the same ones in every run, so that what fails has been changed and not drawn by lot; another number draws others, and so does a test run by itself.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
export LANWARD_FUZZ_SEED=${LANWARD_FUZZ_SEED:-1}
# A part that hangs ends with an error.
patience=2400

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export LANWARD_TEST_NOTES=$scratch/notes
: >"$LANWARD_TEST_NOTES"
passed=0
failed=0
failures=()
again=0

# How many tests passed and failed, from what cargo test or cargo-nextest prints.
count() { # LOG
	sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
		/^test result: / { passed += $4; failed += $6 }
		/^ *Summary \[/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) passed += $(i - 1); if ($i ~ /^failed/) failed += $(i - 1) } }
		END { print passed + 0, failed + 0 }'
}

attempt() { # COMMAND...
	timeout --kill-after=10 $patience "$@" >"$scratch/log" 2>&1
}

# Shows what failed at first, and notes it.
failed_first() { # PART NAME...
	local part=$1 name
	shift
	sed 's/^/    /' "$scratch/log"
	for name; do
		again=$((again + 1))
		echo "SECOND TRY $name: it failed at first, see $part above" >>"$LANWARD_TEST_NOTES"
	done
}

# The tests that nextest had to try again.
tried_again() {
	sed -n 's/^ *FLAKY 2\/2 .* //p' "$scratch/log"
}

part() { # NAME COMMAND...
	local name=$1 began=$SECONDS good bad status=0 flaky
	shift
	printf '%-14s ' "$name"
	attempt "$@" || status=$?
	if [ "$status" != 0 ] && [ "${tries:-1}" = 2 ]; then
		echo 'at the second try; at the first:'
		failed_first "$name" "$name"
		status=0
		printf '%-14s ' "$name"
		attempt "$@" || status=$?
	fi
	read -r good bad <<<"$(count "$scratch/log")"
	# What is no set of tests counts as one check, and so does what failed before any test was run.
	if [ "$status" = 0 ] && [ "$good" = 0 ]; then good=1; fi
	if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
	passed=$((passed + good))
	failed=$((failed + bad))
	printf '%4s s  %s passed' $((SECONDS - began)) "$good"
	if [ "$status" = 0 ]; then
		mapfile -t flaky < <(tried_again)
		if [ ${#flaky[@]} = 0 ]; then
			echo
		else
			echo ', at the second try:'
			failed_first "$name" "${flaky[@]}"
		fi
		return
	fi
	[ "$status" = 124 ] && echo "not done after $patience s" >>"$scratch/log"
	echo ", $bad FAILED (status $status):"
	sed 's/^/    /' "$scratch/log"
	failures+=("$name")
}

tests() { # NAME THREADS ARGUMENT...
	local name=$1 threads=$2 retries=1
	shift 2
	case $name in
	units | architecture | config | contract | defect | fuzz | golden | knockd_import | package | page | profiles | said | spa_wire | 'oracle '*) retries=0 ;;
	esac
	if [ -n "$nextest" ]; then
		part "$name" cargo nextest run --workspace "$@" --no-fail-fast --test-threads "$threads" --retries $retries \
			--status-level retry --final-status-level flaky --show-progress none
	else
		part "$name" cargo test --workspace "$@" --no-fail-fast --quiet -- --test-threads "$threads"
	fi
}

nextest=
if cargo nextest --version >/dev/null 2>&1; then nextest=yes; fi
processors=$(nproc)

finish() {
	if [ "$again" -gt 3 ]; then
		failed=$((failed + again))
		failures+=("$again tests at their first try")
	fi
	echo
	sort -u "$LANWARD_TEST_NOTES"
	echo
	[ "$failed" = 0 ] || echo "FAILED: ${failures[*]}"
	echo "took $SECONDS s"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}

part 'lint' make --no-print-directory lint
part 'build' cargo build --workspace --all-targets --quiet
# Nothing that comes later could be run.
case ${failures[*]-} in *build*) finish ;; esac
tests 'units' "$processors" --lib --bin soak
# tests/netifd.rs and tests/probes.rs are the rig's own, tests/blobmsg.rs and tests/uci.rs the oracles'.
for file in tests/*.rs tests/rig/tests/*.rs tests/oracles/tests/*.rs; do
	name=$(basename "$file" .rs)
	case $file in
	# Their tests wait more than they compute: more of them at once than there are processors.
	tests/packets.rs | tests/hostile.rs | tests/neighbours.rs | tests/gate.rs | tests/scans.rs | tests/oracle_recent.rs | tests/init.rs | tests/spa.rs | tests/relay.rs | tests/relay_script.rs) tests "$name" 6 --test "$name" ;;
	# The sender of a flood takes a processor, and what is measured beside it another.
	tests/floods.rs | tests/gate_flood.rs) tests "$name" 1 --test "$name" ;;
	# This machine's kernel need not have what they are about.
	tests/wireguard.rs | tests/offload.rs | tests/offload_daemon.rs) tries=2 part "vm $name" tests/vm/test.sh "$name" ;;
	tests/rig/*) tests "rig $name" "$processors" --test "$name" ;;
	tests/oracles/*) tests "oracle $name" "$processors" --test "$name" ;;
	*) tests "$name" "$processors" --test "$name" ;;
	esac
done
# What no newer kernel shows: up to Linux 6.16 a set of ranges may seem empty while a reload fills it anew.
tries=2 part 'vm escapes' tests/vm/test.sh packets no_packet_escapes
# Routers of other architectures, emulated, with a part of what `make router-test` runs in them. What they want is installed here, and where it cannot
# be had they say so.
package/install-tools.sh >"$scratch/log" 2>&1 || sed 's/^/package\/install-tools.sh: /' "$scratch/log"
for architecture in mipsel armhf; do
	tries=2 part "router $architecture" tests/router/run.sh "$architecture" router wire bus nflog \
		packets:udp_above_the_level packets:an_outside_peer packets:exceptions_get_out packets:a_wan_device_is_covered
done
# What tests/fuzz.rs did for a moment, a little longer and led by coverage.
if cargo fuzz --version >/dev/null 2>&1; then
	for target in fuzz/fuzz_targets/*.rs; do
		name=$(basename "$target" .rs)
		part "fuzz $name" env LANWARD_FUZZ_SECONDS=10 fuzz/run.sh -1 "$name"
	done
else
	echo 'NOT ASKED cargo-fuzz: it is not installed; tests/fuzz.rs ran the same targets' >>"$LANWARD_TEST_NOTES"
fi
tries=2 part 'demo' "$built/demo"
# A minute of what `make soak` does for hours.
tries=2 part 'soak' "$built/soak" --minutes 1 --seed 7
finish
