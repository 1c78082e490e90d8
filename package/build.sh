#!/bin/sh
# Makes the packages that a router installs: dist/*.ipk, one of the daemon for each architecture, those of the page for all. Beside each daemon's are its symbols.
#
#   package/build.sh                               for every architecture in package/targets
#   package/build.sh ARCH...                       for these
#   package/build.sh --program FILE --into DIR ARCH  of a program that is there already, into another directory (the tests)
#
# APK names `apk` of apk-tools 3 (an OpenWrt 25.12 SDK has one in staging_dir/host/bin): then the same in that format, too.
#
# The same commit gives the same bytes, on any machine and in any directory: every time stamp is SOURCE_DATE_EPOCH, the commit's time.
set -eu
umask 022
export LC_ALL=C TZ=UTC

die() {
	echo "build.sh: $1" >&2
	exit 1
}

package=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$package")
program=
dist=$root/dist
while [ $# -gt 1 ]; do
	case $1 in
	--program) program=$(realpath "$2") ;;
	--into) mkdir -p "$2" && dist=$(realpath "$2") ;;
	*) break ;;
	esac
	shift 2
done
[ $# -gt 0 ] || {
	# shellcheck disable=SC2046 # one word each
	set -- $(sed -n 's/^\([a-z][^ ]*\) .*/\1/p' "$package/targets")
}
for arch; do
	grep -q "^$arch " "$package/targets" || die "no such architecture in package/targets: $arch"
done
command -v libdeflate-gzip >/dev/null || die 'libdeflate-gzip is missing; package/install-tools.sh installs it'

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
	SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null) || die "not a clone: set SOURCE_DATE_EPOCH to the commit's time"
fi
export SOURCE_DATE_EPOCH

mkdir -p "$dist"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM
case $root$stage in
*[[:space:]]*) die "make cannot read a path with a blank: $root, $stage" ;;
esac

say() {
	printf '%s\n' "$1"
}

# A directory as a tar that depends on nothing but names, modes and contents.
archive() { # DIRECTORY MEMBER...
	(cd "$1" && shift && exec tar --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$@")
}

# gzip's format, without name and time, 3.5 % smaller than `gzip -9` has it. (zopfli's is smaller by another 0.2 %, but it reckons with floating
# point: not the same bytes on every machine.)
deflate() {
	libdeflate-gzip -12 -c
}

# What opkg runs is the same in every package: OpenWrt's functions do the work (the user, uci-defaults, the service) and call the package's own
# postinst-pkg and prerm-pkg.
hook() { # FILE FUNCTION
	cat >"$1" <<END
#!/bin/sh
[ "\${IPKG_NO_SCRIPT}" = 1 ] && exit 0
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "\${IPKG_INSTROOT}/lib/functions.sh"
$2 "\$0" "\$@"
END
	chmod 0755 "$1"
}

field() { # CONTROL NAME
	sed -n "s/^$2: //p" "$1"
}

# A script as apk runs it: what default_postinst and default_prerm would read from opkg's files is said, and the package's own part follows.
apk_script() { # FUNCTIONS OWN-PART
	cat <<END
#!/bin/sh
[ "\${IPKG_NO_SCRIPT}" = 1 ] && exit 0
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "\${IPKG_INSTROOT}/lib/functions.sh"
export root="\${IPKG_INSTROOT}" pkgname="$name"
$1
END
	[ ! -f "$2" ] || sed '/^#!/d' "$2"
}

# As OpenWrt 25.12 does it: its functions find the lists of files, users and configuration files below /lib/apk/packages.
pack_apk() { # STAGED-PACKAGE FILE
	control=$1/control/control
	name=$(field "$control" Package)
	lists=$1/data/lib/apk/packages
	set -- "$1" "$2" "$(field "$control" Architecture | sed 's/^all$/noarch/')" "$(field "$control" Require-User)"
	(cd "$1/data" && find . ! -type d | sed 's/^\.//' | sort) >"$1/list"
	install -d -m0755 "$lists"
	mv "$1/list" "$lists/$name.list"
	[ -z "$4" ] || echo "$4" >"$lists/$name.rusers"
	if [ -f "$1/control/conffiles" ]; then
		cp "$1/control/conffiles" "$lists/$name.conffiles"
		while read -r file; do
			echo "$file $(sha256sum <"$1/data$file" | cut -d' ' -f1)"
		done <"$1/control/conffiles" >"$lists/$name.conffiles_static"
	fi
	apk_script 'add_group_and_user
default_postinst' "$1/control/postinst-pkg" >"$1/post-install"
	{
		printf '#!/bin/sh\nexport PKG_UPGRADE=1\n'
		sed 1d "$1/post-install"
	} >"$1/post-upgrade"
	apk_script default_prerm "$1/control/prerm-pkg" >"$1/pre-deinstall"
	find "$1/data" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	"$APK" mkpkg --output "$dist/$2" --files "$1/data" --info "name:$name" --info "version:$(field "$control" Version)" \
		--info "arch:$3" --info "description:$(field "$control" Description)" --info "license:$(field "$control" License)" \
		--info "origin:$(field "$control" SourceName)" --info "maintainer:$(field "$control" Maintainer)" \
		--info "depends:$(field "$control" Depends | tr -d ,)" --script "post-install:$1/post-install" \
		--script "post-upgrade:$1/post-upgrade" --script "pre-deinstall:$1/pre-deinstall"
	say "  $2: $(wc -c <"$dist/$2") bytes"
	# The lists are not in the other format.
	rm -r "$1/data/lib/apk"
	rmdir "$1/data/lib" 2>/dev/null || true
}

pack() { # STAGED-PACKAGE
	control=$1/control/control
	hook "$1/control/postinst" default_postinst
	hook "$1/control/prerm" default_prerm
	find "$1/control" -name '*-pkg' -exec chmod 0755 {} +
	archive "$1/data" . >"$1/data.tar"
	installed=$(wc -c <"$1/data.tar")
	sed -i "s/^Installed-Size: .*/Installed-Size: $installed/" "$control"
	deflate <"$1/data.tar" >"$1/data.tar.gz"
	archive "$1/control" . | deflate >"$1/control.tar.gz"
	echo 2.0 >"$1/debian-binary"
	ipk=$(field "$control" Package)_$(field "$control" Version)_$(field "$control" Architecture).ipk
	rm -f "$dist/$ipk"
	# In OpenWrt's order; the members themselves are compressed, so that a package is gzip of tar of gzip.
	archive "$1" ./debian-binary ./data.tar.gz ./control.tar.gz | deflate >"$dist/$ipk.new"
	mv "$dist/$ipk.new" "$dist/$ipk"
	[ -z "${APK:-}" ] || pack_apk "$1" "${ipk%.ipk}.apk"
	# What the files take, without tar's headers.
	files=$(find "$1/data" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
	bytes=$(wc -c <"$dist/$ipk")
	say "  $ipk: $bytes bytes, $files installed"
}

# A package's Makefile, read by our stand-in for OpenWrt's build system.
stage_package() { # DIRECTORY VARIABLE=VALUE...
	directory=$1
	shift
	env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES make --silent --no-print-directory -C "$directory" TOPDIR="$package/sdk" STAGE="$stage" "$@" ||
		die "$directory: could not be staged"
}

sizes=$stage/sizes
printf '%-26s %10s %10s %10s\n' package program ipk installed >"$sizes"
row() { # NAME PROGRAM
	printf '%-26s %10s %10s %10s\n' "$1" "$2" "$bytes" "$files" >>"$sizes"
}

number=0
for arch; do
	number=$((number + 1))
	say "$number/$# lanward for $arch"
	built=$program
	if [ -z "$built" ]; then
		"$package/cross.sh" "$arch"
		built=$root/target/cross/bin/$arch/lanward
		deflate <"$built.sym" >"$dist/lanward-$arch.sym.gz"
	fi
	stage_package "$package/lanward" ARCH="$arch" PROGRAM="$built"
	pack "$stage/lanward"
	row "$arch" "$(wc -c <"$built")"
done

say 'the page, for all'
stage_package "$root/luci-app/luci-app-lanward" ARCH=all
for staged in "$stage"/luci-*; do
	pack "$staged"
	row "${staged##*/}" -
done

(cd "$dist" && find . -name '*.[ai]pk' | sort | xargs sha256sum | sed 's| \./| |' >SHA256SUMS)
[ -n "$program" ] || echo "built by $(/usr/bin/rustc --version)" >>"$sizes"
mv "$sizes" "$dist/sizes.txt"
cat "$dist/sizes.txt"
