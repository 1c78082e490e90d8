#!/bin/sh
# fuzz/run.sh [RUNS [TARGET...]]
# Lets libFuzzer search with every target, ten million inputs each if RUNS does not say otherwise, one after the other on one core, and says in a line what
# came of it. It wants Rust (the stable compiler will do), a C++ compiler, and cargo-fuzz (`cargo install cargo-fuzz`).
#
# It begins with what was found before (fuzz/found) and with the fixtures of the tests. What is new stays in fuzz/corpus, what fails in fuzz/artifacts.
#   LANWARD_FUZZ_SECONDS=60   at most so long each
#   LANWARD_FUZZ_LENGTH=4096  the longest input
#   LANWARD_FUZZ_SEED=1       the same dice in every run
#   LANWARD_FUZZ_KEEP=yes     where nothing fails, in the end fuzz/found becomes as few inputs as reach the same code: small enough for git, and run by `cargo test --test fuzz`
set -eu
cd "$(dirname "$0")/.."

runs=${1:-10000000}
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then
	for file in fuzz/fuzz_targets/*.rs; do
		set -- "$@" "$(basename "$file" .rs)"
	done
fi
cargo fuzz --version >/dev/null 2>&1 || {
	echo 'fuzz/run.sh: cargo-fuzz is not there: cargo install cargo-fuzz' >&2
	exit 1
}

# Panics, overflows and our own assertions are looked for, in code without `unsafe`; the sanitizers want a nightly compiler and see nothing more.
cargo fuzz build --release --debug-assertions --sanitizer none
seeds=$PWD/fuzz/target/seeds
LANWARD_FUZZ_SEEDS=$seeds cargo test --quiet --test fuzz -- --ignored --exact seeds >/dev/null
host=$(rustc -vV | sed -n 's/^host: //p')

# As few inputs as reach every edge that all of them reach when they are cut to 1024 bytes: what needs longer ones is not kept. (With libFuzzer's counters, how often an edge is taken, they would be ten times as many.)
keep() { # TARGET
	rm -rf "fuzz/target/merged/$1"
	mkdir -p "fuzz/target/merged/$1"
	"$program" -set_cover_merge=1 -use_counters=0 -max_len=1024 "fuzz/target/merged/$1" "fuzz/corpus/$1" "fuzz/found/$1" "$seeds/$1" >"$log" 2>&1
	# What once failed has a name with a hyphen, and stays.
	find "fuzz/found/$1" -name '*-*' -exec cp {} "fuzz/target/merged/$1" \;
	rm -rf "fuzz/found/$1"
	mv "fuzz/target/merged/$1" "fuzz/found/$1"
}

length=${LANWARD_FUZZ_LENGTH:-4096}
failed=
printf '%-12s %10s %8s %8s %8s %8s %6s %7s  %s\n' target runs seconds edges features inputs MB slowest found
for target; do
	program=fuzz/target/$host/release/$target
	mkdir -p "fuzz/corpus/$target" "fuzz/found/$target" "fuzz/artifacts/$target"
	log=fuzz/target/$target.log
	began=$(date +%s)
	status=0
	nice -n 19 "$program" -runs="$runs" -max_total_time="${LANWARD_FUZZ_SECONDS:-0}" -max_len="$length" -seed="${LANWARD_FUZZ_SEED:-0}" -timeout=60 -rss_limit_mb=512 \
		-print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" "fuzz/found/$target" "$seeds/$target" >"$log" 2>&1 || status=$?
	seconds=$(($(date +%s) - began))
	# `#10000000 DONE cov: 512 ft: 2044 corp: 301/45Kb …`, and `stat::number_of_executed_units: 10000000`
	awk -v target="$target" -v seconds="$seconds" -v status="$status" '
		/ cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1); if ($i == "ft:") features = $(i + 1); if ($i == "corp:") inputs = $(i + 1) } }
		/^stat::/ { stat[$1] = $2 }
		/^Test unit written to |artifact_prefix=.*Test unit written to / { found = $NF }
		END {
			sub("/.*", "", inputs)
			printf "%-12s %10d %8d %8d %8d %8d %6d %5d s  %s\n", target, stat["stat::number_of_executed_units:"], seconds, edges, features, inputs,
				stat["stat::peak_rss_mb:"], stat["stat::slowest_unit_time_sec:"], status == 0 ? "nothing" : found
		}' "$log"
	if [ "$status" != 0 ]; then
		failed="$failed $target"
	elif [ -n "${LANWARD_FUZZ_KEEP:-}" ]; then
		keep "$target"
	fi
done
[ -z "$failed" ] || {
	echo "fuzz/run.sh: something was found:$failed (fuzz/target/NAME.log says what)" >&2
	exit 1
}
