#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the machines that tests/router/run.sh boots: a router's small root with Debian's tools. Runs /task, and says by lines
# that begin with ROUTER- what run.sh wants to know.
/bin/busybox --install -s /bin
# The tools before busybox's own of the same names.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/console 2>&1 </dev/null
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
# Anybody may run `ip netns add`, which wants to share mounts.
mount --make-rshared /
while read -r module; do
	insmod "/lib/modules/$module.ko" || echo "no module $module"
done </lib/modules/order
ip link set lo up
# Room for as many flows as a machine with more memory has by itself.
echo 262144 >/proc/sys/net/netfilter/nf_conntrack_max
read -r up _ </proc/uptime
echo "ROUTER-UP $up"
export CI=1 LANWARD_TEST_NOTES=/tmp/notes LANWARD_PROGRAM=/usr/sbin/lanward LANWARD_TEST_SLOWNESS=10
: >"$LANWARD_TEST_NOTES"
sh /task
status=$?
sed 's/^/ROUTER-NOTE /' "$LANWARD_TEST_NOTES"
read -r up _ </proc/uptime
echo "ROUTER-END $status $up"
sync
poweroff -f
