#!/bin/sh
# rustc's linker for a router: zig, for the target that cross.sh named. Where nobody unwinds, ZIG_UNWIND takes the unwinder's place.
for word; do
	shift
	case $word in
	-lunwind) set -- "$@" "${ZIG_UNWIND:-$word}" ;;
	*) set -- "$@" "$word" ;;
	esac
done
exec "$ZIG" cc -target "$ZIG_TARGET" -mcpu="$ZIG_CPU" "$@"
