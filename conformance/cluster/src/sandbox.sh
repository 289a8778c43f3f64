#!/bin/bash
# Process 1 of a set of namespaces: makes them a machine of its own, then reaps what ends in them.
#
#   sandbox.sh control|node HOSTNAME DIRECTORY
#
# Says who it is (process id and start time, as the machine counts), waits for a line to go on, says `ready`. It ends,
# and with it everything in the namespaces, once its stdin does, unless the line `keep` came before.
set -eu
role=$1 name=$2 work=$3

# This is still the machine's /proc.
IFS= read -r stat </proc/self/stat
read -ra fields <<<"${stat##*) }"
echo "${stat%% *} ${fields[19]}"
read -r _

own_copy() { # of a directory, for what is written there
    mkdir -p "$work/upper$1" "$work/under$1"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$work/upper$1,workdir=$work/under$1" "$1"
}

own_directory() { # a real one, since an upper directory may not lie on an overlay
    mkdir -p "$work/real$1" "$1"
    mount --bind "$work/real$1" "$1"
}

own_sys() { # a sysfs shows the interfaces of the namespace that it was mounted in
    mkdir -p "$work/cgroup"
    mount --rbind /sys/fs/cgroup "$work/cgroup"
    mount -t sysfs sysfs /sys
    mount --rbind "$work/cgroup" /sys/fs/cgroup
    umount --recursive "$work/cgroup"
    mount -t bpf bpf /sys/fs/bpf
}

node() {
    for directory in /etc /var /opt; do own_copy "$directory"; done
    for directory in /var/lib/containerd /var/lib/kubelet; do own_directory "$directory"; done
    mount -t tmpfs tmpfs /run
    mkdir -p /etc/cni/net.d /run/lock
    own_sys
    echo 1 >/proc/sys/net/ipv4/ip_forward
    if [ -e /proc/sys/net/ipv6 ]; then echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; fi
    mount --make-rshared /
}

mount --make-rprivate /
mount -t proc proc /proc
hostname "$name"
ip link set lo up
if [ "$role" = node ]; then node; fi
echo ready
exec >/dev/null
while IFS= read -r word; do
    if [ "$word" = keep ]; then
        exec </dev/null
        while :; do
            sleep infinity &
            wait "$!" || true
        done
    fi
done
