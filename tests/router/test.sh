#!/usr/bin/env bash
# tests/router/test.sh [ARCHITECTURE...]: tests/router/run.sh for these architectures, or all five, one after the other.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
[ $# -gt 0 ] || set -- mipsel mips armhf arm64 amd64
failed=()
for architecture; do
	tests/router/run.sh "$architecture" || failed+=("$architecture")
	echo
done
[ ${#failed[@]} = 0 ] || { echo "FAILED: ${failed[*]}"; exit 1; }
