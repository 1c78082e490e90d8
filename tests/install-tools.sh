#!/bin/sh
# Installs what the tests, the demo and the bench need and this machine lacks (Debian and Ubuntu, as root). Says what it does; quick
# where there is nothing to do.
set -eu

missing=
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

# Debian's /usr/sbin is not in everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin"
need ip iproute2
need nft nftables
need conntrack conntrack
need shellcheck shellcheck
need cc gcc
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "missing, and no apt-get here to install it:$missing" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "missing, and only root can install it:$missing" >&2
	exit 1
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Another run may hold the lock for a while.
options='-o DPkg::Lock::Timeout=300 -qq'
# shellcheck disable=SC2086 # words are wanted
if ! { apt-get $options install -y --no-install-recommends $missing ||
	{ apt-get $options update && apt-get $options install -y --no-install-recommends $missing; }; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
