#!/bin/sh
# The packages feed's continuous integration runs this in a container with the package in it: test.sh PACKAGE VERSION.

case "${1:-$PKG_NAME}" in
lanward)
	lanward --version | grep -F "lanward ${2:-$PKG_VERSION}" || exit 1
	# No daemon and no kernel of its own there: the table from the configuration.
	lanward print | grep -F 'table inet lanward' || exit 1
	;;
*)
	echo "no such package: ${1:-$PKG_NAME}" >&2
	exit 1
	;;
esac
