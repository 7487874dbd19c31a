#!/bin/sh
# Checks a booted live system. Nothing is installed or changed on it.
#
#   ssh root@<ip> 'sh -s' < iso/builder/smoketest.sh               every check
#   ssh root@<ip> 'sh -s -- lan audit' < iso/builder/smoketest.sh  these alone
#
# Prints one line a check: `PASS|FAIL|SKIP name: reason`. Checks of a GPU are required where one is on the bus, and skipped
# with their reason elsewhere. Exit code 0: no FAIL; 1: at least one; 2: no check has that name,
# or this is no live system.
# shellcheck disable=SC2317 # the checks are called by their names
set -u

checks='release kernel one-kernel bee tools no-package-manager no-archives
    service-bee-sshsetup service-ssh service-bee-network service-bee-addresses service-bee-nvidia service-bee-audit
    failed-units
    ssh-order ssh-policy host-keys passwords shell no-network-wait lan addresses stick
    nouveau nvidia-files nvidia-libs nvidia-modules nvidia-symbols nvidia-nodes nvidia-smi
    audit audit-fresh audit-collectors audit-nvidia'

release=/etc/bee-release
order=/usr/local/lib/nvidia/load-order
certificate=/usr/local/lib/nvidia/signing-certificate.der
audit=/var/log/bee-audit.json
marker=/etc/bee/password-fallback

# A check is a function check_NAME: what it prints is its reason, its exit code the verdict (77 as in Automake: skipped).
# Each runs in a subshell, so `fail` ends the check and not the test.
fail() {
    echo "$*"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

released() {
    sed -n "s/^$1=//p" "$release" | tr -d "\"'"
}

gpus_on_the_bus() {
    for device in /sys/bus/pci/devices/*; do
        [ -e "$device/vendor" ] || continue
        [ "$(cat "$device/vendor")" = 0x10de ] || continue
        case $(cat "$device/class") in
        0x03* | 0x12*) echo "${device##*/}" ;; # display controllers, processing accelerators
        esac
    done
}

count() {
    # shellcheck disable=SC2086 # a list of words is what is counted
    set -- $1
    echo $#
}

needs_driver() {
    [ "$(released NVIDIA_VERSION)" != none ] || skip "this image was built without the NVIDIA driver"
    [ -s "$order" ] || fail "$order is missing"
}

needs_gpu() {
    needs_driver
    gpus=$(gpus_on_the_bus)
    [ -n "$gpus" ] || skip "no NVIDIA GPU on the bus"
}

# --- the image

check_release() {
    for key in BEE_VERSION GIT_COMMIT SUITE KERNEL_ABI NVIDIA_VERSION BUILD_DATE; do
        [ -n "$(released "$key")" ] || fail "$release does not say $key"
    done
    left=$(grep -o '@[A-Z_]*@' /etc/motd) && fail "/etc/motd has placeholders left: $(echo "$left" | tr '\n' ' ')"
    echo "bee $(released BEE_VERSION), $(released SUITE), NVIDIA $(released NVIDIA_VERSION)"
}

check_kernel() {
    [ "$(uname -r)" = "$(released KERNEL_ABI)" ] || fail "$(uname -r) runs, the image was built for $(released KERNEL_ABI)"
    uname -r
}

check_one_kernel() {
    found=$(cd /lib/modules && echo *)
    [ "$found" = "$(uname -r)" ] || fail "/lib/modules holds $found, $(uname -r) runs"
    echo "$found alone"
}

check_bee() {
    version=$(bee --version 2>&1) || fail "bee does not start: $version"
    case $version in
    *"$(released BEE_VERSION)"*) echo "$version" ;;
    *) fail "$version, the image was built with $(released BEE_VERSION)" ;;
    esac
}

check_tools() {
    for tool in dmidecode lsblk smartctl nvme lspci ipmitool qrencode dhclient avahi-autoipd insmod; do
        command -v "$tool" >/dev/null || fail "$tool is not in the image"
    done
    echo "every tool of the audit is in the image"
}

# The boot happened at btime; whatever a package manager writes must be older.
check_no_package_manager() {
    booted=$(awk '/^btime / { print $2 }' /proc/stat)
    for unit in apt-daily apt-daily-upgrade unattended-upgrades packagekit; do
        if systemctl is-active --quiet "$unit.timer" || systemctl is-active --quiet "$unit.service"; then fail "$unit is active"; fi
    done
    written=$(find /var/lib/dpkg/status /var/lib/dpkg/lock /var/lib/apt/lists /var/log/apt /var/log/dpkg.log -newermt "@$booted" 2>/dev/null)
    [ -z "$written" ] || fail "written since boot: $(echo "$written" | tr '\n' ' ')"
    for process in /proc/[0-9]*/comm; do
        case $(cat "$process" 2>/dev/null) in
        apt | apt-get | aptitude | dpkg | unattended-upgr) fail "a package manager runs: ${process%/comm}" ;;
        esac
    done
    echo "no package manager ran since boot"
}

check_no_archives() {
    named=$(grep -rhE '^[[:space:]]*(deb|deb-src|URIs:)[[:space:]]' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1)
    # A URL may hold a password.
    [ -z "$named" ] || fail "apt has a source: $(echo "$named" | sed 's#://[^ ]*@#://#')"
    echo "apt knows no archive"
}

# --- the boot sequence

check_service() {
    state=$(systemctl is-active "$1.service")
    [ "$state" = active ] || fail "$1.service is $state: journalctl -u $1"
    echo "$1.service is active"
}

check_failed_units() {
    failed=$(systemctl list-units --failed --plain --no-legend 2>&1) || fail "$failed"
    [ -z "$failed" ] || fail "failed: $(echo "$failed" | awk '{ print $1 }' | tr '\n' ' ')"
    echo "no unit failed"
}

monotonic() {
    systemctl show -p "$2" --value "$1"
}

check_ssh_order() {
    decided=$(monotonic bee-sshsetup.service ActiveEnterTimestampMonotonic)
    started=$(monotonic ssh.service ExecMainStartTimestampMonotonic)
    [ "$decided" -gt 0 ] || fail "bee-sshsetup has not finished"
    [ "$started" -ge "$decided" ] || fail "sshd started $started us after boot, bee-sshsetup finished at $decided"
    echo "sshd started after bee-sshsetup had finished"
}

check_ssh_policy() {
    effective=$(sshd -T -C user=root 2>&1) || fail "sshd refuses its configuration: $effective"
    if [ -e "$marker" ]; then wanted=yes; else wanted=no; fi
    for line in "passwordauthentication $wanted" 'kbdinteractiveauthentication no' 'pubkeyauthentication yes' 'permitemptypasswords no'; do
        echo "$effective" | grep -qx "$line" || fail "sshd -T does not say: $line"
    done
    echo "key yes, password $wanted"
}

check_host_keys() {
    for key in /run/live/rootfs/*/etc/ssh/ssh_host_*_key; do
        [ ! -e "$key" ] || fail "the image carries a host key: $key"
    done
    key=/etc/ssh/ssh_host_ed25519_key
    [ -s "$key" ] || fail "$key is missing"
    [ "$(stat -c %a:%U "$key")" = 600:root ] || fail "$key is $(stat -c %a:%U "$key"), not 600:root"
    echo "made at boot"
}

check_passwords() {
    while IFS=: read -r user hash _; do
        case $hash in
        '!'* | '*'*) ;;
        '') fail "$user has an empty password" ;;
        *) if [ "$user" != root ] || [ ! -e "$marker" ]; then fail "$user has a password"; fi ;;
        esac
    done </etc/shadow
    if [ -e "$marker" ]; then echo "root has the build's password, nobody else has one"; else echo "nobody has a password"; fi
}

check_shell() {
    state=$(systemctl is-active bee-shell.service)
    case " $(cat /proc/cmdline) " in
    *' bee.shell=tty1 '*)
        [ "$state" = active ] || fail "bee.shell=tty1 was asked for, and bee-shell.service is $state"
        echo "root's shell is on tty1, by bee.shell=tty1"
        ;;
    *)
        [ "$state" = inactive ] || fail "bee-shell.service is $state, and bee.shell=tty1 was not asked for"
        echo "no shell without a log-in"
        ;;
    esac
}

check_no_network_wait() {
    if systemctl is-active --quiet network-online.target; then fail "network-online.target is active: something waited for it"; fi
    for unit in bee-sshsetup bee-nvidia bee-audit ssh; do
        after=$(systemctl show -p After --value "$unit.service" 2>&1) || fail "$after"
        case " $after " in
        *' network-online.target '* | *' bee-network.service '*) fail "$unit.service waits for the network" ;;
        esac
    done
    echo "neither sshd nor the audit waits for the network"
}

# Reachable is what a neighbour proves: the operator's own connection, or the gateway.
check_lan() {
    physical=
    for device in /sys/class/net/*/device; do
        [ -e "$device" ] || continue
        interface=${device%/device}
        physical="$physical ${interface##*/}"
    done
    [ -n "$physical" ] || skip "no physical network interface"
    for interface in $physical; do
        address=$(ip -4 -o address show dev "$interface" scope global | awk '{ print $4; exit }')
        [ -n "$address" ] || continue
        gateway=$(ip -4 route show default dev "$interface" | awk '{ print $3; exit }')
        if [ -n "$gateway" ] && command -v ping >/dev/null; then ping -c 1 -W 2 "$gateway" >/dev/null 2>&1; fi
        neighbour=$(ip -4 neighbour show dev "$interface" | awk '/lladdr/ && !/FAILED/ { print $1; exit }')
        [ -n "$neighbour" ] || continue
        echo "$interface has $address and reaches $neighbour"
        exit 0
    done
    fail "no address, or nobody answers, on:$physical"
}

check_addresses() {
    told=/run/bee-addresses
    for address in $(ip -o address show up scope global | awk '!/ tentative/ { split($4, part, "/"); print part[1] }'); do
        grep -qF "ssh root@$address" "$told" 2>/dev/null || fail "$told does not tell of $address"
    done
    [ -s "$told" ] || skip "no address"
    echo "the consoles tell how to log in at $(grep -c . "$told") addresses"
}

# What a stick labelled BEE needs, in the image: nothing can be fetched where it is plugged in.
check_stick() {
    for module in usb-storage uas sd_mod vfat nls_cp437 nls_ascii exfat ext4; do
        modinfo -n "$module" >/dev/null 2>&1 || fail "the kernel has no $module"
    done
    echo "USB sticks with vfat, exfat and ext4 can be written"
}

# --- NVIDIA

check_nouveau() {
    if grep -q '^nouveau ' /proc/modules; then fail "nouveau is loaded"; fi
    modprobe --showconfig | grep -qx 'blacklist nouveau' || fail "nouveau is not blacklisted"
    echo "blacklisted and not loaded"
}

# Debian's kernel locks itself down under Secure Boot, and then takes signed modules only.
wants_signatures() {
    grep -q '\[integrity\]\|\[confidentiality\]' /sys/kernel/security/lockdown 2>/dev/null
}

# Who signed the modules, and what to do where this machine may not know that.
signature() {
    enrol="enrol that certificate in this machine (mokutil --import), or switch Secure Boot off"
    signer=$(modinfo -F signer /usr/local/lib/nvidia/nvidia.ko)
    if [ -n "$signer" ]; then
        echo "signed by $signer"
        if wants_signatures; then echo "(Secure Boot is on: if the kernel refuses them, $enrol: $certificate)"; fi
    elif wants_signatures; then
        echo "NOT SIGNED, and under Secure Boot, which is on, the kernel refuses them:" \
            "build with sign_key= and sign_cert= and $enrol"
    else
        echo "not signed, which this kernel does not ask for"
    fi
}

check_nvidia_files() {
    needs_driver
    while IFS= read -r module; do
        [ -s "$module" ] || fail "$order names $module, which is missing"
        built_for=$(modinfo -F vermagic "$module" | cut -d ' ' -f 1)
        [ "$built_for" = "$(uname -r)" ] || fail "$module is for $built_for, $(uname -r) runs"
    done <"$order"
    grep -q '/nvidia\.ko$' "$order" || fail "$order has no nvidia.ko"
    echo "$(grep -c . "$order") modules for $(uname -r), $(signature)"
}

check_nvidia_libs() {
    needs_driver
    version=$(released NVIDIA_VERSION)
    for name in libnvidia-ml libcuda; do
        link=/usr/lib/$name.so.1
        [ -L "$link" ] || fail "$link is not a link"
        target=$(readlink -f "$link")
        [ -s "$target" ] || fail "$link leads nowhere"
        [ "${target##*/}" = "$name.so.$version" ] || fail "$link leads to $target, not to version $version"
    done
    [ -x /usr/local/bin/nvidia-smi ] || fail "/usr/local/bin/nvidia-smi is missing"
    echo "libnvidia-ml.so.1 and libcuda.so.1 lead to $version"
}

forced() {
    case " $(cat /proc/cmdline) " in
    *' bee.nvidia=force '*) return 0 ;;
    *) return 1 ;;
    esac
}

missing_modules() {
    while IFS= read -r module; do
        name=${module##*/}
        name=$(printf '%s' "${name%%.ko*}" | tr - _)
        grep -q "^$name " /proc/modules || echo "$module"
    done <"$order"
}

# What bee-nvidia said the last time that it was started: an earlier try may have ended otherwise.
said_by_bee_nvidia() {
    journalctl -b --no-pager -o cat "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID bee-nvidia)"
}

check_nvidia_modules() {
    needs_driver
    if ! forced; then needs_gpu; fi
    missing=$(missing_modules)
    if [ -z "$missing" ]; then
        echo "all $(grep -c . "$order") are in the kernel"
        exit 0
    fi
    if [ -z "$(gpus_on_the_bus)" ] && said_by_bee_nvidia | grep -q '/nvidia\.ko: .*No such device'; then
        missing=$(echo "$missing" | grep -v '^/usr/local/lib/nvidia/')
        [ -z "$missing" ] || fail "not in the kernel: $(echo "$missing" | tr '\n' ' ')"
        echo "nvidia.ko answers No such device (no GPU on the bus); all that it needs is in the kernel"
        exit 0
    fi
    missing=$(echo "$missing" | tr '\n' ' ')
    if wants_signatures; then missing="$missing; NVIDIA's are $(signature)"; fi
    fail "not in the kernel: $missing"
}

check_nvidia_symbols() {
    refused=$(dmesg | grep -iE 'unknown symbol|disagrees about version of symbol|version magic' | tail -n 1)
    [ -z "$refused" ] || fail "the kernel refused a module: $refused"
    echo "the kernel refused no module's symbols"
}

check_nvidia_nodes() {
    needs_gpu
    for node in nvidiactl nvidia0 nvidia-uvm; do
        [ -c "/dev/$node" ] || fail "/dev/$node is missing"
    done
    echo "/dev/nvidiactl, /dev/nvidia0 and /dev/nvidia-uvm are there"
}

check_nvidia_smi() {
    needs_gpu
    seen=$(nvidia-smi -L 2>&1) || fail "nvidia-smi: $(echo "$seen" | head -n 1)"
    seen=$(echo "$seen" | grep -c '^GPU ')
    [ "$seen" -eq "$(count "$gpus")" ] || fail "nvidia-smi sees $seen GPUs, the bus has $(count "$gpus")"
    echo "sees all $seen GPUs"
}

# --- the audit

check_audit() {
    [ -s "$audit" ] || fail "$audit is missing"
    said=$(bee validate "$audit" 2>&1) || fail "not valid: $(echo "$said" | head -n 1)"
    echo "$audit is valid"
}

check_audit_fresh() {
    [ -s "$audit" ] || fail "$audit is missing"
    booted=$(awk '/^btime / { print $2 }' /proc/stat)
    [ "$(stat -c %Y "$audit")" -ge "$booted" ] || fail "$audit is older than this boot"
    echo "written since boot"
}

# One line a collector, as the audit says it: name, status, reasons.
collectors() {
    python3 -I -c '
import json, sys
for collector in json.load(open(sys.argv[1], encoding="utf-8"))["collectors"]:
    print(collector["name"], collector["status"], "; ".join(collector["reasons"]))
' "$audit"
}

check_audit_collectors() {
    said=$(collectors 2>&1) || fail "$audit does not say its collectors: $(echo "$said" | tail -n 1)"
    partial=
    for name in board cpu memory storage pcie psu nvidia; do
        line=$(echo "$said" | grep "^$name ") || fail "no collector $name in the audit"
        case $line in
        *' failed '*) fail "$line" ;;
        *' partial '*) partial="$partial; $line" ;;
        esac
    done
    echo "all seven are there, none failed$partial"
}

check_audit_nvidia() {
    line=$(collectors 2>&1 | grep '^nvidia ') || fail "the audit does not say how its NVIDIA enrichment went"
    gpus=$(gpus_on_the_bus)
    [ -n "$gpus" ] || skip "no NVIDIA GPU on the bus; the audit says: $line"
    needs_driver
    case $line in
    'nvidia ok '*) echo "enriched by nvidia-smi" ;;
    *) fail "$line" ;;
    esac
}

# ---

run() {
    case $1 in
    service-*) reason=$(check_service "${1#service-}" 2>&1) ;;
    *) reason=$("check_$(printf '%s' "$1" | tr - _)" 2>&1) ;;
    esac
    case $? in
    0) verdict=PASS ;;
    77) verdict=SKIP ;;
    *)
        verdict=FAIL
        failures=$((failures + 1))
        ;;
    esac
    printf '%s %s: %s\n' "$verdict" "$1" "$(printf '%s' "$reason" | tr '\n' ' ')"
}

# The script itself comes on stdin: everything is read before the first check runs, and no check can eat the rest of it.
main() {
    failures=0
    for name; do
        # shellcheck disable=SC2086 # words
        printf '%s\n' $checks | grep -qxF -e "$name" && continue
        echo "smoketest: no check $name; there are: $(echo "$checks" | tr -s '\n ' ' ')" >&2
        exit 2
    done
    if [ ! -d /run/systemd/system ] || [ ! -e "$release" ]; then
        echo "smoketest: no live system: systemd does not run here, or $release is missing" >&2
        exit 2
    fi
    # shellcheck disable=SC2086 # words
    [ $# -gt 0 ] || set -- $checks
    for name; do run "$name"; done
    [ "$failures" -eq 0 ] || exit 1
    exit 0
}

main "$@" </dev/null
