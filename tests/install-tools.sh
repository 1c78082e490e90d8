#!/bin/sh
# tests/install-tools.sh [--no-browser]
# Installs what the tests, the demo and the bench need and this machine lacks (Debian and Ubuntu, as root). Says what it does; quick
# where there is nothing to do.
set -eu

# The browser is by far the largest part; the other packages of Python are left out with it.
browser=yes
[ "${1:-}" != --no-browser ] || browser=no

missing=
need() { # PACKAGE COMMAND...: the package is there where the command succeeds
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
any() { # FILE...: what a pattern has become
	[ -e "$1" ]
}

# Debian's /usr/sbin is not in everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin"
need iproute2 command -v ip
need nftables command -v nft
# nft asks it what the protocols' names mean.
need netbase test -e /etc/protocols
need conntrack command -v conntrack
need util-linux command -v unshare
need shellcheck command -v shellcheck
# The init script is run by what runs it on a router.
need busybox-static command -v busybox
# The page's code is run without a browser.
need nodejs command -v node
# And in one, with Playwright in a place of its own; so have the tools of whoever has many routers.
if [ "$browser" = yes ]; then
	need chromium command -v chromium
	need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
	need python3-venv /usr/bin/python3 -c 'import ensurepip, venv'
fi
# What the exporter on a router is written in.
need lua5.1 command -v lua5.1
# The gate's tests: real servers behind it, real clients before it, and scanners.
need openssh-client command -v ssh
need openssh-server command -v sshd
need dropbear-bin command -v dropbear
need dovecot-imapd test -x /usr/lib/dovecot/imap
need curl command -v curl
need openssl command -v openssl
need nmap command -v nmap
need iptables command -v iptables
# Knocks and authenticated packets: what others made for them. (knockd's package starts nothing unless told to.)
need knockd command -v knockd
need fwknop-client command -v fwknop
need fwknop-server command -v fwknopd
# What a phone makes of a key's QR code.
need zbar-tools command -v zbarimg
# A daemon whose clock is wrong.
need faketime command -v faketime
# The page as it is packed.
need python3-rjsmin /usr/bin/python3 -c 'import rjsmin'
need python3-rcssmin /usr/bin/python3 -c 'import rcssmin'
# Local time as the C library and Python know it.
need python3 python3 -c 'import zoneinfo'
need tzdata test -e /usr/share/zoneinfo/Pacific/Kiritimati
# libubox and libuci are built from their C code, to be asked what they make of the same input.
need gcc command -v cc
need libc6-dev test -e /usr/include/stdlib.h
need cmake command -v cmake
need make command -v make
# And the packages are made.
need libdeflate-tools command -v libdeflate-gzip
need pkg-config command -v pkg-config
need libjson-c-dev test -e /usr/include/json-c/json.h
need libclang-dev any /usr/lib/llvm-*/lib/libclang.so

# Packages of Python in target/tools/NAME. Quick where they are.
install_python() { # NAME PACKAGE==VERSION...
	place=$(dirname "$0")/../target/tools/$1
	shift
	[ "$(cat "$place/wanted" 2>/dev/null)" != "$*" ] || return 0
	echo "installing: $*"
	rm -rf "$place"
	mkdir -p "$(dirname "$place")"
	/usr/bin/python3 -m venv "$place"
	"$place/bin/pip" install --quiet --disable-pip-version-check "$@"
	echo "$*" >"$place/wanted"
}
# Playwright and axe (the browser is Debian's); and what reads metrics, their queries, OpenWISP's templates and Ansible's plays.
install_pythons() {
	[ "$browser" = yes ] || return 0
	install_python browser playwright==1.65.2 axe-playwright-python==0.1.8
	install_python fleet prometheus-client==0.26.0 promql-parser==0.12.0 netjsonconfig==1.3.1 ansible-core==2.19.14
}
if [ -z "$missing" ]; then
	install_pythons
	exit 0
fi

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
policy=
trap 'rm -f "$log" $policy' EXIT
trap 'exit 1' HUP INT TERM
# Servers are installed for their programs: none is started on this machine, now or later, but those that were here before.
services=
command -v sshd >/dev/null 2>&1 || services="$services ssh"
command -v dovecot >/dev/null 2>&1 || services="$services dovecot"
command -v fwknopd >/dev/null 2>&1 || services="$services fwknop-server"
command -v knockd >/dev/null 2>&1 || services="$services knockd"
if [ ! -e /usr/sbin/policy-rc.d ]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
# Another run may hold the lock for a while.
options='-o DPkg::Lock::Timeout=300 -qq'
# shellcheck disable=SC2086 # words are wanted
if ! { apt-get $options install -y --no-install-recommends $missing ||
	{ apt-get $options update && apt-get $options install -y --no-install-recommends $missing; }; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
for service in $services; do
	update-rc.d "$service" disable >/dev/null 2>&1 || true
done
install_pythons
