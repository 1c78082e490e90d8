#!/bin/sh
# rustc's linker for a router: zig, for the target that cross.sh named. Where nobody unwinds, ZIG_UNWIND takes the unwinder's place (and some of musl's). ZIG_ORDER is
# where to keep the order of the functions that packs best: then the program is linked twice.
set -eu
program=
before=
for word; do
	shift
	[ "$before" != -o ] || program=$word
	before=$word
	case $word in
	-lunwind) set -- "$@" "${ZIG_UNWIND:-$word}" ;;
	*) set -- "$@" "$word" ;;
	esac
done
# -Os is for musl, which zig builds as it links; without -g it would then take the symbols.
set -- "$ZIG" cc -target "$ZIG_TARGET" -mcpu="$ZIG_CPU" -Os -g "$@"
[ -n "${ZIG_ORDER:-}" ] || exec "$@"
"$@"
python3 "$(dirname "$0")/order-functions.py" "$program" >"$ZIG_ORDER"
exec "$@" -T "$ZIG_ORDER"
