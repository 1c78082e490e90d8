#!/usr/bin/env bash
# tests/vm/test.sh TEST [ARGUMENT...]
# Builds tests/TEST.rs and runs it, with these arguments, in the virtual machine of tests/vm/run.sh.
set -euo pipefail

cd "$(dirname "$0")/../.."
program=$(cargo test --test "$1" --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
[ -n "$program" ] || { cargo test --test "$1" --no-run; exit 1; }
# These tests wait more than they compute: more of them at once than the machine has processors.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
shift
exec tests/vm/run.sh "$program" "$@"
