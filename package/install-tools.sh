#!/bin/sh
# Installs what package/build.sh needs and this machine lacks (Debian 12, as root): Debian's Rust with the sources of its standard library, a
# compressor, what makes the page's files small, and zig, a C compiler and linker for every target, from PyPI into target/tools/zig. Quick where
# there is nothing to do.
set -eu
zig_version=0.15.2
root=$(cd "$(dirname "$0")/.." && pwd)

missing=
need() { # PACKAGE COMMAND...: the package is there where the command succeeds
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
recent() { # PACKAGE: installed, and not older than Cargo.lock's crates ask for
	dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo 0)" ge 1.88
}
# Not the rustc and cargo of Debian 12 itself, which are too old and may be there under the same names.
need rustc-web recent rustc-web
need cargo-web recent cargo-web
need rust-web-src recent rust-web-src
need python3-venv python3 -c 'import ensurepip'
need python3-rjsmin /usr/bin/python3 -c 'import rjsmin'
need python3-rcssmin /usr/bin/python3 -c 'import rcssmin'
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
need make command -v make
need git command -v git
need libdeflate-tools command -v libdeflate-gzip

if [ -n "$missing" ]; then
	command -v apt-get >/dev/null 2>&1 || {
		echo "missing, and no apt-get here to install it:$missing" >&2
		exit 1
	}
	[ "$(id -u)" = 0 ] || {
		echo "missing, and only root can install it:$missing" >&2
		exit 1
	}
	echo "installing:$missing"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	export DEBIAN_FRONTEND=noninteractive
	options='-o DPkg::Lock::Timeout=300 -qq'
	# First the lists: with those that a machine was made with, apt would take the compiler of that day.
	# shellcheck disable=SC2086 # words are wanted
	if ! { apt-get $options update && apt-get $options install -y --no-install-recommends $missing; } >"$log" 2>&1; then
		cat "$log" >&2
		exit 1
	fi
fi

[ -z "${ZIG:-}" ] || exit 0
tools=$root/target/tools
if [ "$("$tools/zig/bin/python-zig" version 2>/dev/null)" != $zig_version ]; then
	echo "installing: zig $zig_version (target/tools/zig)"
	rm -rf "$tools/zig"
	mkdir -p "$tools"
	/usr/bin/python3 -m venv "$tools/zig"
	"$tools/zig/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig_version"
fi
