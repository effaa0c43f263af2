#!/bin/sh
# capture.sh DIR: copy into DIR/root what `status` reads of this machine, for a tree of this kind.
# Runs in the lab's guests too: it needs sh, cat, mkdir and a few files, no Python.
# Nothing that locks a kernel down answers to any of these reads. Look through the command line
# and the log before you check a tree in: they may hold names and secrets.
set -u
out=${1:?usage: capture.sh DIR}/root
release=$(cat /proc/sys/kernel/osrelease)

copy() {
    [ -f "$1" ] && mkdir -p "$out/${1%/*}" && cat "$1" >"$out/$1" 2>/dev/null
}

for file in /proc/version /proc/cmdline /proc/stat /proc/swaps /proc/config.gz /etc/os-release \
    /proc/1/cgroup /.dockerenv /run/.containerenv /run/systemd/container \
    /proc/self/status /proc/self/limits /proc/self/uid_map \
    "/boot/config-$release" "/lib/modules/$release/config" \
    /sys/kernel/security/lockdown /sys/kernel/security/lsm /sys/fs/selinux/enforce \
    /sys/module/module/parameters/sig_enforce /sys/module/msr/parameters/allow_writes \
    /sys/devices/system/cpu/vulnerabilities/spectre_v2 \
    /sys/firmware/efi/fw_platform_size /sys/firmware/efi/efivars/SecureBoot-* \
    /sys/firmware/efi/efivars/SetupMode-* /sys/firmware/efi/efivars/Mok*; do
    copy "$file"
done
for name in osrelease modules_disabled kexec_load_disabled perf_event_paranoid sysrq \
    dmesg_restrict; do
    copy "/proc/sys/kernel/$name"
done
[ -d /sys/firmware ] && mkdir -p "$out/sys/firmware/acpi" && : >"$out/sys/firmware/acpi/.keep"
mkdir -p "$out/var/log" && dmesg >"$out/var/log/dmesg"
