#!/bin/sh
# Builds for a router: static, with musl, and with std from its sources, since no toolchain brings std for MIPS.
#
#   package/cross.sh ARCH             the program, as it is shipped: target/cross/bin/ARCH/lanward
#   package/cross.sh ARCH CARGO-ARGS  any other call of cargo, such as a test program for an emulated router:
#   package/cross.sh mipsel_24kc test --no-run --profile guest --test packets
#
# ARCH is OpenWrt's name, from package/targets. What cargo builds is in target/cross/RUST-TARGET/PROFILE. The profile `guest` unwinds, as a test harness
# needs; every other one must abort. What is shipped has no symbols; with them it is beside it as lanward.sym: for package/defect.py. Uses Debian's Rust
# (rustc-web and its sources) and zig as the linker: package/install-tools.sh installs both. ZIG names another zig.
set -eu

die() {
	echo "cross.sh: $1" >&2
	exit 2
}

package=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$package")
[ $# -gt 0 ] || die "which architecture? One of: $(sed -n 's/^\([a-z][^ ]*\) .*/\1/p' "$package/targets" | tr '\n' ' ')"
arch=$1
shift
line=$(awk -v arch="$arch" '$1 == arch' "$package/targets")
[ -n "$line" ] || die "no such architecture in package/targets: $arch"
read -r _ target zig_target zig_cpu <<END
$line
END

# Not rustup's, and not the ones that an outer cargo gave to a test.
rustc=/usr/bin/rustc
cargo=/usr/bin/cargo
ZIG=${ZIG:-$root/target/tools/zig/bin/python-zig}
missing=
[ -x $rustc ] || missing="$missing rustc-web"
[ -x $cargo ] || missing="$missing cargo-web"
[ -e "$($rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ] || missing="$missing rust-web-src"
command -v python3 >/dev/null || missing="$missing python3"
command -v "$ZIG" >/dev/null || missing="$missing zig"
[ -z "$missing" ] || die "missing:$missing; package/install-tools.sh installs it"

cross=$root/target/cross
mkdir -p "$cross"
unset RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS RUSTUP_TOOLCHAIN
export RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$cross"
export ZIG ZIG_TARGET="$zig_target" ZIG_CPU="$zig_cpu" ZIG_GLOBAL_CACHE_DIR="$cross/zig" ZIG_LOCAL_CACHE_DIR="$cross/zig"
export "CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER=$package/zig-cc.sh"
# time_t has 64 bits, or std panics from 2038 on where a word has 32: the variable is for std's libc, the cfg for the one that we depend on.
export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1

# What rustc is told, one word each: a path may have a space.
unit=$(printf '\037')
flags=
flag() {
	flags="$flags${flags:+$unit}$1"
}
flag --cfg=libc_unstable_musl_v1_2
flag -Ctarget-feature=+crt-static
flag -Clink-self-contained=no
flag -Crelocation-model=static
# What packs best is the same instructions in the same order wherever the same thing is written. So nothing that depends on what is around: no address
# reckoned at a function's head and kept on its stack, no order by how long instructions take. It costs cycles in loops, of which the daemon has few.
for off in machine-licm machine-cse machine-sink lsr tail-duplicate early-taildup post-ra; do
	flag "-Cllvm-args=-disable-$off"
done
flag -Cllvm-args=-enable-misched=false
flag -Cllvm-args=-pre-RA-sched=source
case $arch in
mips*)
	# A copy of three words or more is a call. In line it is six or eight instructions, and there are some four thousand.
	flag -Cllvm-args=-max-store-memcpy=2
	;;
esac

immediate=
case " $* " in
*' guest '*)
	std=std,panic_unwind,proc_macro,test
	features=panic-unwind
	;;
*)
	std=std,panic_abort
	features=optimize_for_size
	flag -Cforce-unwind-tables=no
	# {:?} says of our types which variant it is, no more. Strings and numbers are as ever.
	flag -Zfmt-debug=shallow
	# A panic is a trap: src/system/defect.rs tells where, and the symbols have the lines that the program has not.
	flag -Zlocation-detail=none
	immediate=yes
	# Nobody unwinds, or prints with the C library: this stands in for what could.
	export ZIG_UNWIND="$cross/stand_ins-$arch.o"
	"$ZIG" cc -target "$zig_target" -mcpu="$zig_cpu" -Os -ffunction-sections -c "$package/stand_ins.c" -o "$ZIG_UNWIND.$$"
	mv "$ZIG_UNWIND.$$" "$ZIG_UNWIND"
	;;
esac

# The same paths in every program, wherever it is built and whatever mirror the crates came from.
$cargo fetch --quiet --locked --manifest-path "$root/Cargo.toml" --target "$target"
crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
flag "--remap-path-prefix=$root=lanward"
for directory in "$crates"/*/; do
	flag "--remap-path-prefix=${directory%/}=crates"
done
library=$(cd "$($rustc --print sysroot)/lib/rustlib/src/rust/library" && pwd -P)
flag "--remap-path-prefix=$library=rust"
flag "--remap-path-prefix=$($rustc --print sysroot)/lib/rustlib/src/rust/library=rust"
export CARGO_ENCODED_RUSTFLAGS="$flags"

ship=
if [ $# = 0 ]; then
	ship=yes
	# Its symbols say to zig-cc.sh what the functions are; strip-sections.py takes them.
	set -- build --release --locked --bin lanward
	export ZIG_ORDER="$cross/order-$arch.ld"
fi
command=$1
shift
[ -z "$immediate" ] || set -- -Zpanic-immediate-abort --config 'profile.release.panic="immediate-abort"' \
	--config profile.release.strip=false --config 'profile.release.debug="line-tables-only"' "$@"
(cd "$root" && exec $cargo "$command" --target "$target" -Zbuild-std=$std -Zbuild-std-features=$features "$@")
if [ -n "$ship" ]; then
	mkdir -p "$cross/bin/$arch"
	python3 "$package/strip-sections.py" "$cross/$target/release/lanward" "$cross/bin/$arch/lanward"
	cp "$cross/$target/release/lanward" "$cross/bin/$arch/lanward.sym"
fi
