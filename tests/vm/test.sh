#!/usr/bin/env bash
# tests/vm/test.sh TEST: builds tests/TEST.rs and runs it in the virtual machine of tests/vm/run.sh.
set -euo pipefail

cd "$(dirname "$0")/../.."
program=$(cargo test --test "$1" --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
[ -n "$program" ] || { cargo test --test "$1" --no-run; exit 1; }
exec tests/vm/run.sh "$program"
