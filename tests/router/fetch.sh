#!/usr/bin/env bash
# tests/router/fetch.sh ARCHITECTURE...    mipsel, armhf, arm64 or amd64
# Downloads Debian's kernel and tools of another architecture (50 to 80 MB) and leaves what tests/router/run.sh boots in
# target/router/ARCHITECTURE: vmlinuz and base.cpio. Touches neither this machine's apt nor its dpkg. Ends with 3 if it cannot be downloaded.
#
# Wants Debian, apt-get, dpkg-deb and xz.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=/dev/null
. tests/router/debian.sh
cache=${CARGO_TARGET_DIR:-target}/router
mkdir -p "$cache"
cache=$(realpath "$cache")

# The guest's own programs.
tools='nftables iproute2 conntrack busybox-static netbase'
# The kernel's modules that the tests want, with what they need. The first is what libcrc32c asks for, by no symbol.
modules='crc32c_generic nf_tables nft_ct nft_limit nft_log nf_log_syslog nft_reject nft_reject_inet nft_chain_nat nft_nat nft_masq nft_redir nft_fib nft_fib_inet
	nft_fib_ipv4 nft_fib_ipv6 nft_objref nft_quota nft_hash nft_numgen nft_connlimit nft_socket nft_flow_offload nf_flow_table_inet
	nf_conntrack_netlink nf_conntrack_ftp nfnetlink_log veth dummy tun bridge 8021q'

kernel_of() {
	case $1 in
	mipsel) echo linux-image-4kc-malta ;;
	armhf) echo linux-image-armmp ;;
	arm64) echo linux-image-cloud-arm64 ;;
	amd64) echo linux-image-cloud-amd64 ;;
	*)
		echo "tests/router/fetch.sh: no architecture $1" >&2
		exit 2
		;;
	esac
}

fetch() ( # ARCHITECTURE
	architecture=$1
	made=$(mktemp -d "$cache/$architecture.XXXXXX")
	trap 'rm -rf "$made"' EXIT
	cannot() {
		echo "cannot download Debian's packages for $architecture: $(tail -n 1 "$made/log")" >&2
		exit 3
	}
	meta=$(kernel_of "$architecture")
	own_apt "$made/apt" "$architecture" >"$made/log" 2>&1 || cannot
	export APT_CONFIG=$made/apt/conf
	# The kernel alone: what it depends on is for an installed system.
	kernel=$(apt-cache depends --important "$meta" | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | sed -n 1p)
	mkdir -p "$made"/debs/partial "$made"/root/usr/{bin,sbin,lib}
	# shellcheck disable=SC2086 # words are wanted
	apt-get -qq install --download-only -y -o Dir::Cache::archives="$made/debs" $tools >"$made/log" 2>&1 || cannot
	(cd "$made/debs" && apt-get -qq download "${kernel:-$meta}") >"$made/log" 2>&1 || cannot
	cd "$made/root"
	for directory in bin sbin lib; do ln -s "usr/$directory" "$directory"; done
	ln -s usr/lib lib64
	for package in ../debs/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink
	done
	mv boot/vmlinu[xz]-* ../vmlinuz
	keep_modules
	keep_tools
	cd "$made"
	archive root "$cache" >base.cpio
	rm -rf root debs apt log
	chmod 755 "$made"
	rm -rf "${cache:?}/$architecture"
	mv -T "$made" "$cache/$architecture"
	trap - EXIT
)

# Of the kernel's modules those named above and what they need, in the order in which they can be loaded. What is built in is not among them.
keep_modules() {
	local module file
	declare -A files=() kept=()
	while read -r file; do
		module=$(basename "$file" .xz)
		module=${module%.ko}
		files[${module//-/_}]=$file
	done < <(find lib/modules/ -name '*.ko' -o -name '*.ko.xz')
	mkdir ../kept
	for module in $modules; do keep_module "$module"; done
	rm -rf usr/lib/modules
	mv ../kept usr/lib/modules
}

keep_module() { # MODULE
	local file=${files[$1]:-} needed
	if [ -z "$file" ] || [ -n "${kept[$1]:-}" ]; then return; fi
	kept[$1]=yes
	case $file in
	*.xz) xz -dc "$file" >"../kept/$1.ko" ;;
	*) cp "$file" "../kept/$1.ko" ;;
	esac
	for needed in $(tr '\0' '\n' <"../kept/$1.ko" | sed -n 's/^depends=//p' | tr ',-' ' _'); do keep_module "$needed"; done
	echo "$1" >>../kept/order
}

# Of the packages only the programs that the tests start, and their libraries.
keep_tools() {
	local file
	rm -rf boot var usr/share etc/{apt,gss} usr/lib/linux-image-* usr/lib/*/{gconv,engines-3,ossl-modules,audit,perl*,security,xtables}
	find usr/bin usr/sbin -type f ! -name nft ! -name ip ! -name conntrack ! -name busybox -delete
	find . -xtype l -delete
	file=$(find . -name busybox -type f -path '*bin/*')
	[ "$file" = ./usr/bin/busybox ] || mv "$file" usr/bin/busybox
}

for architecture; do
	kernel_of "$architecture" >/dev/null
	[ -f "$cache/$architecture/base.cpio" ] || fetch "$architecture"
done
