#!/bin/busybox sh
# The first program of a guest. It reaches the host's file system by virtiofs, lays a folder in memory over it, so that
# the guest may write and the host never sees it, and goes on there. The kernel's arguments `remora.NAME=VALUE` say what
# to run.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
die() { echo "init: $*" >/dev/console; $B reboot -f; }

read -r ARGUMENTS </proc/cmdline
for argument in $ARGUMENTS; do
    case $argument in remora.*=*) name=${argument%%=*}; eval "${name#remora.}='${argument#*=}'" ;; esac
done
read -r RELEASE </proc/sys/kernel/osrelease

for module in /modules/*; do $B insmod "$module" || die "cannot load $module"; done
$B mount -t virtiofs -o ro host /lower || die "cannot reach the host's file system"
$B mount -t tmpfs -o size=90%,mode=755 upper /upper
$B mkdir /upper/files /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root || die "no overlay"

R=/root
$B mount -t tmpfs -o mode=755 run $R/run
$B mkdir -p $R/run/vm $R/run/lock $R/lib/modules/"$RELEASE"
$B mkdir -m 1777 $R/run/tmp
$B cp /bin/busybox /job.json $R/run/vm/
$B mount --bind "/lower$modules" $R/lib/modules/"$RELEASE" || die "no modules"
$B cp "/lower$config" $R/boot/config-"$RELEASE"
$B mkdir -p /dev/pts /dev/shm
$B mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
$B mount -t tmpfs shm /dev/shm
$B ln -sfn /proc/self/fd /dev/fd
$B ln -sfn fd/0 /dev/stdin
$B ln -sfn fd/1 /dev/stdout
$B ln -sfn fd/2 /dev/stderr
$B mount -t securityfs security /sys/kernel/security
$B mount -t debugfs debug /sys/kernel/debug
$B mount -t tracefs tracing /sys/kernel/tracing
$B mount -t bpf bpf /sys/fs/bpf
$B mount -t cgroup2 cgroup /sys/fs/cgroup
for port in /sys/class/virtio-ports/*; do read -r name <"$port/name"; $B ln -s /dev/"${port##*/}" $R/run/vm/"$name"; done
$B hostname guest
$B ip link set lo up
echo 1 >/proc/sys/kernel/sysrq

$B cat >$R/run/vm/go.sh <<'GO'
B=/run/vm/busybox
$B setsid "$1" vm-guest /run/vm/job.json </dev/null >/run/vm/out 2>/run/vm/err
echo $? >/run/vm/code
$B sync
# Restart at once: the emulator ends with that, and no device is shut down slowly.
echo b >/proc/sysrq-trigger
GO

# The second processor comes now: while it runs, setting up PCI trips over a race in the emulator.
for online in /sys/devices/system/cpu/cpu[1-9]*/online; do [ -f "$online" ] && echo 1 >"$online"; done
for folder in proc sys dev; do $B mount --move /$folder $R/$folder; done
exec $B switch_root $R /run/vm/busybox sh /run/vm/go.sh "$guest"
