#!/usr/bin/env bash
# tests/router/kernel.sh
# Builds the big-endian MIPS guest of tests/router/run.sh, for which Debian has neither kernel nor programs: Linux, busybox and ip from Debian's
# sources, once, into target/router/mips (5 MB stay). Takes some eight minutes and 2 GB on the way.
#
# Wants Debian on amd64, apt-get, the compiler of package/cross.sh (zig, ZIG names it), and as root what is missing of the packages below.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=$PWD
# shellcheck source=/dev/null
. tests/router/debian.sh
cache=${CARGO_TARGET_DIR:-target}/router
mkdir -p "$cache"
cache=$(realpath "$cache")
began=$SECONDS

say() { printf '%4s s  %s\n' $((SECONDS - began)) "$*"; }

if [ -f "$cache/mips/vmlinuz" ] && [ -f "$cache/mips/base.cpio" ] && [ "$cache/mips/vmlinuz" -nt tests/router/malta.config ]; then
	echo "tests/router/kernel.sh: $cache/mips is there"
	exit
fi

zig=${ZIG:-$(command -v python-zig || command -v zig || echo "$project/target/tools/zig/bin/python-zig")}
[ -x "$zig" ] || { echo "tests/router/kernel.sh: no zig: see package/install-tools.sh, or name it by ZIG" >&2; exit 1; }
missing=()
for need in mips-linux-gnu-gcc:gcc-mips-linux-gnu gcc:gcc make:make flex:flex bison:bison bc:bc xz:xz-utils bzip2:bzip2 \
	dpkg-source:dpkg-dev pkg-config:pkg-config patch:patch; do
	command -v "${need%:*}" >/dev/null || missing+=("${need#*:}")
done
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -qq -y --no-install-recommends --no-remove "${missing[@]}" >/dev/null ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends --no-remove "${missing[@]}" >/dev/null; }
fi

work=$cache/build
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
cd "$work"
say 'downloading sources (150 MB)'
own_apt "$work/apt" amd64
apt-get -qq download linux-source-6.1
apt-get -qq source busybox iproute2 >sources.log 2>&1 || { cat sources.log >&2; exit 1; }
dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz | tar -xJ
rm -f linux-source-6.1_*.deb

kernel=(make -s -C linux-source-6.1 O="$work/kernel" ARCH=mips CROSS_COMPILE=mips-linux-gnu-)
KCONFIG_ALLCONFIG=$project/tests/router/malta.config "${kernel[@]}" allnoconfig
grep '^CONFIG_' "$project/tests/router/malta.config" | grep -vxFf kernel/.config >refused || true
if [ -s refused ]; then
	echo "tests/router/kernel.sh: the kernel does not take:" >&2
	cat refused >&2
	exit 1
fi

# busybox and ip for the same bare machine as our own programs: static, soft float.
cat >cc <<END
#!/bin/bash
words=()
for word; do
	case \$word in
	-Wl,--warn-common | -Wl,-Map* | -Wl,--verbose | -Wl,--sort-* | -static-libgcc) ;;
	*) words+=("\$word") ;;
	esac
done
exec "$zig" cc -target mips-linux-musleabi -mcpu=mips32r2+soft_float -s "\${words[@]}"
END
chmod +x cc
jobs=$(nproc)
say 'building busybox'
cd busybox-*/
make -s defconfig >/dev/null 2>&1
sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/; s/^CONFIG_TC=y/# CONFIG_TC is not set/; s/^CONFIG_IP=y/# CONFIG_IP is not set/
	s/^CONFIG_FEATURE_MOUNT_NFS=y/# CONFIG_FEATURE_MOUNT_NFS is not set/' .config
(yes '' || true) | make -s oldconfig >/dev/null 2>&1
make -s -j"$jobs" CC="$work/cc" HOSTCC=gcc AR=mips-linux-gnu-ar STRIP=mips-linux-gnu-strip busybox >../busybox.log 2>&1 ||
	{ tail -n 30 ../busybox.log >&2; exit 1; }
cd ../iproute2-*/
say 'building ip'
PKG_CONFIG=/bin/false CC=gcc ./configure >/dev/null
make -s -j"$jobs" SUBDIRS='lib ip' CC="$work/cc" AR=mips-linux-gnu-ar HOSTCC=gcc LDFLAGS=-static \
	CCOPTS='-O2 -D_GNU_SOURCE -w -include libgen.h' SHARED_LIBS=n >../iproute2.log 2>&1 || { tail -n 30 ../iproute2.log >&2; exit 1; }
cd ..
say 'building the kernel'
"${kernel[@]}" -j"$jobs" vmlinuz >kernel.log 2>&1 || { tail -n 30 kernel.log >&2; exit 1; }

mkdir -p root/usr/{bin,sbin,lib/modules} "$cache/mips.new"
for directory in bin sbin lib; do ln -s "usr/$directory" "root/$directory"; done
cp busybox-*/busybox iproute2-*/ip/ip root/bin/
: >root/lib/modules/order
archive root "$cache" >"$cache/mips.new/base.cpio"
cp kernel/vmlinuz "$cache/mips.new/"
rm -rf "$cache/mips"
mv -T "$cache/mips.new" "$cache/mips"
say "done: $(du -sh "$cache/mips" | cut -f1) in $cache/mips"
