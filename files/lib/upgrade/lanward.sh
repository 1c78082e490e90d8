# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=dash
#
# sysupgrade reads this before it packs what is kept: what the ledger has in memory goes to flash first, and before the list of files is made, since its file may not
# be there yet.

lanward_commit() {
	ubus -t 20 call lanward ledger_commit >/dev/null 2>&1
	return 0
}

# shellcheck disable=SC2034 # sysupgrade's list
sysupgrade_init_conffiles="lanward_commit $sysupgrade_init_conffiles"
