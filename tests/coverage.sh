#!/usr/bin/env bash
# tests/coverage.sh [TEST...]
# Which lines of src/ the tests reach, daemons that are killed included: by file, the least first, and all together. Without a name: the units and all of tests/*.rs but those
# that need a virtual machine, a browser or a package. It builds everything once more, into target/coverage. Some tests miss their times in such a build; what they reached counts.
set -euo pipefail
cd "$(dirname "$0")/.."

major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for tool in profdata cov; do
	command -v "llvm-$tool-$major" >/dev/null || {
		echo "tests/coverage.sh: no llvm-$tool-$major: apt install llvm-$major (the compiler's own version is needed)" >&2
		exit 1
	}
done
if [ $# -eq 0 ]; then
	for file in tests/*.rs; do
		case $file in
		tests/browser.rs | tests/fleet.rs | tests/floods.rs | tests/package.rs | tests/offload*.rs | tests/wireguard.rs) ;;
		*) set -- "$@" "$(basename "$file" .rs)" ;;
		esac
	done
fi

export CARGO_TARGET_DIR=$PWD/target/coverage
# Counters that live in the file itself outlast SIGKILL.
export RUSTFLAGS='-C instrument-coverage -C llvm-args=-runtime-counter-relocation'
counts=$CARGO_TARGET_DIR/counts
export LLVM_PROFILE_FILE=$counts/%p%c.profraw
mkdir -p "$CARGO_TARGET_DIR"
rm -rf "$counts" "$CARGO_TARGET_DIR/sum"
mkdir -m 1777 "$counts"

# Each process leaves some hundred KiB: they are added up after each part.
add_up() {
	find "$counts" -name '*.profraw' -size +0 >"$CARGO_TARGET_DIR/list"
	[ ! -e "$CARGO_TARGET_DIR/sum" ] || echo "$CARGO_TARGET_DIR/sum" >>"$CARGO_TARGET_DIR/list"
	"llvm-profdata-$major" merge -sparse -failure-mode=all -f "$CARGO_TARGET_DIR/list" -o "$CARGO_TARGET_DIR/sum.new" 2>/dev/null
	mv "$CARGO_TARGET_DIR/sum.new" "$CARGO_TARGET_DIR/sum"
	find "$counts" -name '*.profraw' -delete
}

run() { # NAME ARGUMENTS...
	local name=$1
	shift
	printf '%-16s' "$name"
	PROPTEST_CASES=${PROPTEST_CASES:-64} cargo nextest run --no-fail-fast --cargo-quiet "$@" 2>&1 | sed -n 's/^ *Summary *//p'
	add_up
}

cargo build --workspace --quiet
programs=()
run units --lib || true
for name; do
	run "$name" --test "$name" || true
done
while read -r program; do
	programs+=(-object "$program")
done < <(find "$CARGO_TARGET_DIR/debug/deps" -maxdepth 1 -type f -executable ! -name '*.so')
"llvm-cov-$major" report --instr-profile="$CARGO_TARGET_DIR/sum" "${programs[@]}" -object "$CARGO_TARGET_DIR/debug/lanward" --ignore-filename-regex='(registry|rustc|rustlib|tests/)' 2>/dev/null |
	awk '$1 ~ /\.rs$/ && $1 !~ /tests\.rs$|properties\.rs$/ { lines += $8; missed += $9; printf "%6.1f %%  %5d lines  %s\n", 100 * ($8 - $9) / ($8 + !$8), $8, $1 }
		END { printf "%6.1f %%  %5d lines  all of src/ without its tests\n", 100 * (lines - missed) / lines, lines }' | sort -n
