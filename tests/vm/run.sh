#!/usr/bin/env bash
# tests/vm/run.sh PROGRAM [ARGUMENT...]
# Runs a program as root in a virtual machine with Debian's kernel, for what the kernel here may lack: flow tables, WireGuard. Shows what it
# prints and ends with its exit status. Everything is in the machine's memory and gone with it.
#
# In there: PROGRAM and what was built beside it (lanward, the broker, lanward-ubus), tests/ and files/ under the paths that they have here;
# the tools below, as far as this machine has them, and busybox; all of the kernel's network modules. CI is set: nothing in there may be skipped.
# LANWARD_*, PROPTEST_* and RUST_* are handed in, notes for LANWARD_TEST_NOTES are handed out.
#
# Wants Debian on amd64, apt-get and dpkg-deb, no root and no KVM. The kernel, busybox, wg, and qemu where it is not installed, are downloaded
# once (28 MB, qemu 17 MB) into target/vm and unpacked there. Where they cannot be had it says so and ends well, but with CI set it is an error.
#
# LANWARD_VM_ACCEL   tcg (default, everywhere) or kvm
# LANWARD_VM_MEMORY  MiB (default 512)
# LANWARD_VM_LIMIT   seconds that it may take (default 1000)
# LANWARD_VM_TOOLS   more tools
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; exit 2; }
program=$1
shift
[ -f "$program" ] || { echo "tests/vm/run.sh: no program $program" >&2; exit 2; }
program=$(realpath "$program")
cd "$(dirname "$0")/../.."
project=$PWD
cache=${CARGO_TARGET_DIR:-target}/vm
mkdir -p "$cache"
cache=$(realpath "$cache")
tools="ip nft conntrack sysctl wg ssh sshd dropbear iptables tcpdump bash ${LANWARD_VM_TOOLS:-}"

skip() { # WHY
	echo "SKIPPED vm ${program##*/}: $1" | tee -a "${LANWARD_TEST_NOTES:-/dev/null}" >&2
	[ -z "${CI:-}" ] || exit 1
	exit 0
}

# The packages to bring, as far as apt-get knows them.
packages() { # kernel|qemu
	local kernel
	case $1 in
	kernel)
		kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
		echo "${kernel:-linux-image-cloud-amd64} busybox-static wireguard-tools"
		;;
	qemu)
		# What would be installed for it here.
		apt-get install --print-uris --no-install-recommends -qq qemu-system-x86 2>/dev/null |
			sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | grep . || echo qemu-system-x86
		;;
	esac
}

# Makes a directory of the cache out of packages; skips everything if they are not to be had. Another run may be doing the same.
bring() { # kernel|qemu
	made=$(mktemp -d "$cache/$1.XXXXXX")
	cd "$made"
	# shellcheck disable=SC2046 # words are wanted
	if ! apt-get download -qq $(packages "$1") >log 2>&1; then
		# The lists of packages may be missing or out of date.
		apt-get update -qq >/dev/null 2>&1 || true
		apt-get download -qq $(packages "$1") >log 2>&1 || skip "cannot download $(packages "$1" | xargs): $(tail -n 1 log)"
	fi
	for package in *.deb; do dpkg-deb -x "$package" root; done
	rm -f -- *.deb log
	if [ "$1" = kernel ]; then strip_kernel; fi
	cd "$project"
	mv -T "$made" "$cache/$1" 2>/dev/null || rm -rf "$made"
}

# Keeps the kernel, the tools, and the network's modules with busybox as the first part of what the kernel unpacks when it boots.
strip_kernel() {
	local from version part
	mkdir -p tools base/bin
	cp "$(find root -name busybox -type f -path '*bin/*')" "$(find root -name wg -type f -path '*bin/*')" tools/
	cp root/boot/vmlinuz-* vmlinuz
	cp tools/busybox base/bin/
	from=$(find root -type d -path '*/lib/modules/*' -prune)
	version=${from##*/}
	mkdir -p "base/lib/modules/$version"
	cp "$from"/modules.{builtin,builtin.modinfo,order} "base/lib/modules/$version/"
	for part in net/{core,netfilter,ipv4,ipv6,bridge,llc,802,8021q,sched,packet,unix,key,xfrm} drivers/net/{wireguard,veth.ko,dummy.ko,tun.ko} crypto lib arch/x86/crypto; do
		[ -e "$from/kernel/$part" ] || continue
		mkdir -p "base/lib/modules/$version/kernel/${part%/*}"
		cp -r "$from/kernel/$part" "base/lib/modules/$version/kernel/${part%/*}/"
	done
	find base -name '*.ko.xz' -exec xz -d {} +
	tools/busybox depmod -b base "$version"
	archive base "$PWD/tools/busybox" >base.cpio
	rm -rf base root
}

archive() { # DIRECTORY BUSYBOX
	(cd "$1" && find . | "$2" cpio -o -H newc 2>/dev/null)
}

# A program with the libraries that it needs, at its path here.
put() { # FILE [PATH]
	local path=${2:-$1} library
	mkdir -p "$root${path%/*}"
	cp -L "$1" "$root$path"
	# Most of a test is what a debugger wants.
	strip --strip-debug "$root$path" 2>/dev/null || true
	# What is no dynamic program has none.
	{ ldd "$1" 2>/dev/null || true; } | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
		[ -e "$root$library" ] || { mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library"; }
	done
}

[ "$(uname -m)" = x86_64 ] || skip 'only on amd64'
for tool in apt-get dpkg-deb; do
	command -v "$tool" >/dev/null || skip "no $tool here to bring Debian's kernel"
done
scratch=$(mktemp -d)
made=$scratch/none
trap 'rm -rf "$scratch" "$made"' EXIT
[ -d "$cache/kernel" ] || bring kernel
qemu=(qemu-system-x86_64)
if ! command -v qemu-system-x86_64 >/dev/null; then
	[ -d "$cache/qemu" ] || bring qemu
	libraries=$cache/qemu/root/usr/lib/x86_64-linux-gnu:$cache/qemu/root/lib/x86_64-linux-gnu
	qemu=(env LD_LIBRARY_PATH="$libraries" "$cache/qemu/root/usr/bin/qemu-system-x86_64"
		-L "$cache/qemu/root/usr/share/seabios" -L "$cache/qemu/root/usr/share/qemu")
fi

root=$scratch/root
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,run,tmp,etc,root,var/lib,var/empty}
cp "$project/tests/vm/init.sh" "$root/init"
ln -s /run "$root/var/run"
ln -s /bin/busybox "$root/sbin/modprobe"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
cp /etc/protocols /etc/services "$root/etc/" 2>/dev/null || true
PATH=$PATH:/usr/sbin:/sbin:$cache/kernel/tools
for tool in $tools; do
	path=$(command -v "$tool") || continue
	put "$path" "/usr/bin/$tool"
done
put "$program"
built=$(dirname "${program%/*}")
for beside in lanward lanward-broker lanward-ubus; do
	case $program in */deps/*) [ ! -x "$built/$beside" ] || put "$built/$beside" ;; esac
done
mkdir -p "$root$project"
cp -r "$project/tests" "$project/files" "$root$project/"
{
	printf 'cd %q\n' "$project"
	while IFS='=' read -r name _; do
		case $name in
		LANWARD_TEST_NOTES | LANWARD_VM_*) ;;
		LANWARD_* | PROPTEST_* | RUST_*) printf 'export %s=%q\n' "$name" "${!name}" ;;
		esac
	done < <(env)
	printf 'exec'
	printf ' %q' "$program" "$@"
	echo
} >"$root/task"
cat "$cache/kernel/base.cpio" <(archive "$root" "$cache/kernel/tools/busybox") >"$scratch/initrd"
rm -rf "$root"

accel=${LANWARD_VM_ACCEL:-tcg}
cpu=max
[ "$accel" != kvm ] || cpu=host
# One serial line each: the kernel's words, the program's, its status and notes.
ended=0
timeout --foreground --kill-after=5 "${LANWARD_VM_LIMIT:-1000}" "${qemu[@]}" \
	-M q35 -accel "$accel" -cpu "$cpu" -smp 2 -m "${LANWARD_VM_MEMORY:-512}" \
	-nodefaults -no-user-config -display none -no-reboot \
	-serial "file:$scratch/console" -chardev stdio,id=out,signal=off -serial chardev:out -serial "file:$scratch/end" \
	-kernel "$cache/kernel/vmlinuz" -initrd "$scratch/initrd" \
	-append 'console=ttyS0 panic=-1 quiet mitigations=off' </dev/null || ended=$?

status=$(sed -n '1s/^ended \([0-9]*\)$/\1/p' "$scratch/end" 2>/dev/null)
if [ -z "$status" ]; then
	{
		echo "tests/vm/run.sh: the machine ended without an answer (qemu's status $ended, 124: not done in time). Its last words:"
		tail -n 70 "$scratch/console" 2>/dev/null || true
	} >&2
	exit 125
fi
[ -z "${LANWARD_TEST_NOTES:-}" ] || sed 1d "$scratch/end" >>"$LANWARD_TEST_NOTES"
exit "$status"
