# shellcheck shell=dash disable=SC2013 # paths without blanks
# Stands in for OpenWrt's: what a package's scripts are run by.

user_exists() {
	grep -qs "^$1:" "$IPKG_INSTROOT/etc/passwd"
}

# The init scripts of a package, from the list that the package manager keeps.
init_scripts() {
	sed -n '/^\/etc\/init.d\//p' "$IPKG_INSTROOT/usr/lib/opkg/info/$pkgname.list"
}

default_postinst() {
	local pkgname script
	pkgname=$(basename "${1%.*}")
	for script in $(sed -n '/^\/etc\/uci-defaults\//p' "/usr/lib/opkg/info/$pkgname.list"); do
		# shellcheck source=/dev/null
		( [ -f "$script" ] && cd "$(dirname "$script")" && . "$script" ) && rm -f "$script"
	done
	for script in $(init_scripts); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" enable
		"$script" start
	done
}

default_prerm() {
	local pkgname script
	pkgname=$(basename "${1%.*}")
	if [ -f "/usr/lib/opkg/info/$pkgname.prerm-pkg" ]; then
		# shellcheck source=/dev/null
		( . "/usr/lib/opkg/info/$pkgname.prerm-pkg" )
	fi
	for script in $(init_scripts); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" disable
		"$script" stop
	done
}
