#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the machine that tests/vm/run.sh boots.
/bin/busybox --install -s /bin
# The tools before busybox's own of the same names.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
ln -s /proc/self/fd /dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "/dev/${number#*:}"; done
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
# Anybody may run `ip netns add`, which wants to share mounts.
mount --make-rshared / 2>/dev/null
ip link set lo up
# By itself the kernel loads what is wanted, but two who want the same at once are too much for busybox's modprobe.
for module in veth dummy tun bridge wireguard nfnetlink_log nf_log_syslog nf_flow_table_inet nf_conntrack_netlink xt_recent xt_conntrack; do
	modprobe "$module"
done
find /lib/modules -name 'nft_*.ko' | sed 's|.*/||; s|\.ko$||' | while read -r module; do modprobe "$module"; done
# Room for as many flows as a machine with more memory has by itself.
echo 65536 >/sys/module/nf_conntrack/parameters/hashsize
echo 262144 >/proc/sys/net/netfilter/nf_conntrack_max
# What is printed is to arrive as it is.
stty raw -F /dev/ttyS1
stty raw -F /dev/ttyS2
export CI=1 LANWARD_TEST_NOTES=/tmp/notes
: >"$LANWARD_TEST_NOTES"
sh /task >/dev/ttyS1 2>&1 </dev/null
status=$?
{
	echo "ended $status"
	cat "$LANWARD_TEST_NOTES"
} >/dev/ttyS2
# Until it has been sent.
stty -F /dev/ttyS1 sane
stty -F /dev/ttyS2 sane
poweroff -f
