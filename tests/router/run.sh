#!/usr/bin/env bash
# tests/router/run.sh ARCHITECTURE [TEST...]
# Boots an emulated router (qemu, no KVM) with the packaged program, and runs the project's own tests in it against that program and the
# kernel there. ARCHITECTURE is mipsel, mips (big endian), armhf, arm64 or amd64. TEST is a file of tests/ with a selection below, or
# FILE:NAME for those of its tests whose names contain NAME; all of the selection if none is named.
#
# In there: Debian's kernel, nft, ip, conntrack and busybox of the architecture (tests/router/fetch.sh), the files of the package that
# package/build.sh makes, and test programs built by package/cross.sh. The big-endian guest is built by tests/router/kernel.sh; it has no nft:
# what needs one is left out there, and what is proved behind fw4 elsewhere is proved behind the rig's plain firewall.
#
# Wants Debian on amd64 and what package/cross.sh wants; qemu is unpacked into target/router where it is not installed. Where something cannot be
# had it says so and ends well, but with CI set it is an error. Ends with 1 if a test failed, 125 if the guest gave no answer.
#
# LANWARD_ROUTER_LIMIT   seconds that the guest may take (default 900)
# LANWARD_ROUTER_MEMORY  MiB (default 256)
# LANWARD_ROUTER_PACKAGE an .ipk instead of one that is made for this
# LANWARD_ROUTER_NFT     a static nft for the guest, where it has none
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; exit 2; }
architecture=$1
shift
wanted=("$@")
cd "$(dirname "$0")/../.."
project=$PWD
# shellcheck source=/dev/null
. tests/router/debian.sh
cache=${CARGO_TARGET_DIR:-target}/router
mkdir -p "$cache"
cache=$(realpath "$cache")
began=$SECONDS

say() { printf '[%s %3s s] %s\n' "$architecture" $((SECONDS - began)) "$*"; }
skip() { # WHY
	echo "SKIPPED router $architecture: $1" | tee -a "${LANWARD_TEST_NOTES:-/dev/null}" >&2
	[ -z "${CI:-}" ] || exit 1
	exit 0
}

# The machine that qemu makes. One serial line carries everything.
console=ttyS0
processors=1
case $architecture in
mipsel) openwrt=mipsel_24kc qemu=(qemu-system-mipsel -M malta -cpu 24Kf) ;;
mips) openwrt=mips_24kc qemu=(qemu-system-mips -M malta -cpu 24Kf) ;;
armhf) openwrt=arm_cortex-a7_neon-vfpv4 qemu=(qemu-system-arm -M 'virt,highmem=off' -cpu cortex-a7) console=ttyAMA0 processors=2 ;;
arm64) openwrt=aarch64_cortex-a53 qemu=(qemu-system-aarch64 -M virt -cpu cortex-a53) console=ttyAMA0 processors=2 ;;
amd64) openwrt=x86_64 qemu=(qemu-system-x86_64 -M q35 -accel tcg -cpu max) processors=2 ;;
*)
	echo "tests/router/run.sh: no architecture $architecture" >&2
	exit 2
	;;
esac

# What is run there, one file of tests/ a line: seconds that it may take.
selection() {
	echo 'router 240'
	echo 'wire 120'
	echo 'links 240'
	echo 'bus 240'
	has_nft || return 0
	echo 'nflog 240'
	echo 'conntrack 240'
	echo 'packets 600'
	echo 'privileges 240'
}
# What of these is left out, by a part of the tests' names, and why.
left_out() {
	echo 'wire nothing_that_ubusd_ever_said: it computes for minutes'
	has_nft || echo 'router behind_fw4: no nft for this guest'
	echo 'nflog a_flood_leaves_time: how a flood shares the processor is not to be seen where a process emulates it'
	echo 'nflog a_hundred_thousand_copies: it takes half a minute'
	echo 'links many_routes: a slow emulator may need longer than the ten seconds that a reading has'
	echo 'conntrack a_full_table: it measures the processor'
	echo 'privileges whom_it_cannot_become: no setpriv in the guest'
	echo 'privileges it_holds_a_relays_tunnel: no SSH server in the guest'
}
has_nft() { [ "$architecture" != mips ] || [ -n "${LANWARD_ROUTER_NFT:-}" ]; }

[ "$(uname -m)" = x86_64 ] || skip 'only on amd64'
for tool in apt-get dpkg-deb xz; do
	command -v "$tool" >/dev/null || skip "no $tool here to bring a router's kernel"
done
if [ "$architecture" = mips ]; then
	[ -f "$cache/mips/vmlinuz" ] || skip 'its kernel is not built: make router-kernel'
else
	[ -f "$cache/$architecture/base.cpio" ] || say 'downloading the kernel and the tools'
	status=0
	why=$(tests/router/fetch.sh "$architecture" 2>&1) || status=$?
	[ "$status" != 3 ] || skip "$why"
	[ "$status" = 0 ] || { echo "$why" >&2; exit 1; }
fi
if ! command -v "${qemu[0]}" >/dev/null; then
	package=${qemu[0]/%mipsel/mips}
	package=${package/%aarch64/arm}
	package=${package/%x86_64/x86}
	[ -d "$cache/$package" ] || say "downloading $package"
	own_program "$cache/$package" "$package" || skip "no $package"
	libraries=$(find "$cache/$package" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
	qemu=(env "LD_LIBRARY_PATH=$libraries" "$cache/$package/usr/bin/${qemu[0]}" -L "$cache/$package/usr/share/qemu"
		-L "$cache/$package/usr/share/seabios" "${qemu[@]:1}")
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
mkdir -p "$root"/{proc,sys,dev,run,tmp,root,tests,etc,usr/bin,usr/sbin,usr/lib}
for directory in bin sbin lib; do ln -s "usr/$directory" "$root/$directory"; done
mkdir -p "$root/var/lib" "$root/var/empty"
ln -s /run "$root/var/run"
cp tests/router/init.sh "$root/init"
chmod 755 "$root/init"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
[ -z "${LANWARD_ROUTER_NFT:-}" ] || cp "$LANWARD_ROUTER_NFT" "$root/usr/sbin/nft"

# The program and its files, as the package brings them.
package=${LANWARD_ROUTER_PACKAGE:-}
if [ -z "$package" ]; then
	say 'building the package'
	status=0
	package/build.sh --into "$scratch/dist" "$openwrt" >"$scratch/log" 2>&1 || status=$?
	[ "$status" != 2 ] || skip "$(tail -n 1 "$scratch/log")"
	[ "$status" = 0 ] || { cat "$scratch/log" >&2; exit 1; }
	package=$(echo "$scratch"/dist/lanward_*.ipk)
fi
tar -xzOf "$package" ./data.tar.gz | tar -xz --keep-directory-symlink -C "$root"

say 'building the tests'
tests=()
while read -r name limit; do
	[ -n "$name" ] || continue
	filters=()
	if [ ${#wanted[@]} -gt 0 ]; then
		asked=no
		for want in "${wanted[@]}"; do
			[ "${want%%:*}" = "$name" ] || continue
			asked=yes
			[ "$want" = "$name" ] || filters+=("${want#*:}")
		done
		[ "$asked" = yes ] || continue
	fi
	while read -r file part why; do
		[ "$file" = "$name" ] || continue
		filters+=(--skip "${part%:}")
		echo "NOT ASKED router $architecture: $name, $part $why" | tee -a "${LANWARD_TEST_NOTES:-/dev/null}"
	done < <(left_out)
	tests+=("$name $limit ${filters[*]-}")
done < <(selection)
[ ${#tests[@]} -gt 0 ] || { echo "tests/router/run.sh: none of ${wanted[*]} is in the selection" >&2; exit 2; }
names=()
for line in "${tests[@]}"; do names+=(--test "${line%% *}"); done
package/cross.sh "$openwrt" test --no-run --profile guest --locked "${names[@]}" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
built=$(sed -n 's/^ *Executable tests.*(\(.*\))$/\1/p' "$scratch/log")
for line in "${tests[@]}"; do
	name=${line%% *}
	program=$(grep "/$name-[0-9a-f]*$" <<<"$built")
	cp "$program" "$root/tests/$name"
done
mkdir -p "$root$project/tests/rig"
cp -r tests/openwrt tests/ubus-wire tests/golden "$root$project/tests/"
cp -r files "$root$project/"

# What the guest does, in order.
{
	echo 'status=0'
	while IFS='=' read -r name _; do
		case $name in
		LANWARD_TEST_NOTES | LANWARD_ROUTER_* | LANWARD_VM_* | LANWARD_PROGRAM) ;;
		LANWARD_* | PROPTEST_* | RUST_*) printf 'export %s=%q\n' "$name" "${!name}" ;;
		esac
	done < <(env)
	for line in "${tests[@]}"; do
		read -r name limit words <<<"$line"
		cat <<-END
			echo "ROUTER-TEST $name \$(cut -d' ' -f1 /proc/uptime)"
			timeout -k 5 $limit /tests/$name --test-threads $processors $words
			ended=\$?
			[ \$ended = 0 ] || { status=1; echo "ROUTER-FAILED $name \$ended"; }
		END
	done
	# shellcheck disable=SC2016 # the guest's
	echo 'exit $status'
} >"$root/task"
cat "$cache/$architecture/base.cpio" <(archive "$root" "$cache") >"$scratch/initrd"
rm -rf "$root"

say "booting: $(du -m "$scratch/initrd" | cut -f1) MB, ${names[*]/--test/}"
ended=0
timeout --foreground --kill-after=5 "${LANWARD_ROUTER_LIMIT:-900}" "${qemu[@]}" -smp $processors -m "${LANWARD_ROUTER_MEMORY:-256}" \
	-nodefaults -no-user-config -display none -no-reboot -serial stdio -kernel "$cache/$architecture/vmlinuz" -initrd "$scratch/initrd" \
	-append "console=$console panic=-1 quiet" </dev/null 2>&1 | sed -u 's/\r//g' | tee "$scratch/console" |
	sed -u -n '/^ROUTER-\(NOTE\|END\)/d; p' || ended=$?

read -r status up < <(sed -n 's/^ROUTER-END //p' "$scratch/console") || true
if [ -z "${status:-}" ]; then
	{
		echo "tests/router/run.sh: the guest ended without an answer (qemu's status $ended, 124: not done in time). Its last words:"
		tail -n 40 "$scratch/console"
	} >&2
	exit 125
fi
sed -n "s/^ROUTER-NOTE \(measured\|SKIPPED\|NOT ASKED\) /\1 router $architecture: /p" "$scratch/console" | tee -a "${LANWARD_TEST_NOTES:-/dev/null}"
# For the bench's table.
if grep -q '^ROUTER-NOTE measured at rest' "$scratch/console"; then
	sed -n 's/^ROUTER-NOTE measured at rest: //p' "$scratch/console" >"$cache/$architecture/at-rest"
fi
sed -n 's/^ROUTER-FAILED \(.*\) \(.*\)$/FAILED: \1 (status \2; 124 or 143: not done in time)/p' "$scratch/console"
say "booted in $(sed -n 's/^ROUTER-UP //p' "$scratch/console") s, done after $up s there: $(awk '/^test result: / { passed += $4; failed += $6; left += $10 }
	END { printf "%d passed, %d failed, %d left out", passed, failed, left }' "$scratch/console")"
exit "$status"
